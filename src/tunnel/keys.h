/* keys.h - keys as people write them, and the files they are in. The one place of the tool that
 * touches keys.
 *
 * A private key is in a file of one line, 64 hexadecimal digits, which its owner alone may read; it
 * is never an argument, in the environment or in a log. A public key is 64 hexadecimal digits, or
 * 43 or 44 characters of base64.
 */
#ifndef TT_TUNNEL_KEYS_H
#define TT_TUNNEL_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <turbotunnel/options.h>

#include "tunnel/options.h"

#define TT_KEY_BYTES 32

/* Returns whether the text is one. */
bool tt_key_parse_public(uint8_t key[TT_KEY_BYTES], const char *text, size_t len);

/* 0, or TT_E_INVAL with the reason in *why: it cannot be read, others may read it, or it is no key.
 */
int tt_key_load_private(uint8_t key[TT_KEY_BYTES], const char *path, struct tt_error_text *why);

/* Public keys, one a line; what follows a key is a remark, and # begins one. */
struct tt_key_list {
    uint8_t (*keys)[TT_KEY_BYTES]; /* owned */
    size_t count;
};

#define TT_MOST_KEYS 100000

/* 0, TT_E_INVAL (cannot be read, or a line is no key), TT_E_FULL or TT_E_NOMEM, with the reason in
 * *why. */
int tt_key_list_load(struct tt_key_list *list, const char *path, struct tt_error_text *why);
bool tt_key_list_has(const struct tt_key_list *list, const uint8_t key[TT_KEY_BYTES]);
void tt_key_list_dispose(struct tt_key_list *list);

/* All that the options name. */
struct tt_keys {
    bool has_private;
    uint8_t private_key[TT_KEY_BYTES];
    bool has_clients; /* otherwise anybody may come */
    struct tt_key_list clients;
    uint8_t server_key[TT_KEY_BYTES]; /* client */
};

/* Loads them. 0, or an error as above with the reason in *why; then there is nothing to dispose of.
 */
int tt_keys_load(struct tt_keys *keys, const struct tt_tunnel_options *o,
                 struct tt_error_text *why);
void tt_keys_dispose(struct tt_keys *keys);

/* Overwrites, also where a compiler would say that nobody reads it again. */
void tt_key_wipe(void *secret, size_t len);

#endif
