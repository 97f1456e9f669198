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

#include <turbotunnel/keys.h>
#include <turbotunnel/options.h>

#include "tunnel/options.h"

/* Returns whether the text is one. */
bool tt_key_parse_public(uint8_t key[TT_KEY_BYTES], const char *text, size_t len);

/* Exactly n bytes as digits, either case. */
bool tt_hex_parse(uint8_t *bytes, size_t n, const char *text, size_t len);

/* Returns whether the text is a private key: 64 digits, and nothing else. */
bool tt_key_parse_private(uint8_t key[TT_KEY_BYTES], const char *text, size_t len);

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

/* A server's instance: what tells it from others that have the same key (sealed.md M-3). It is
 * beside the key, in FILE.instance, and made when it is not there. 0, TT_E_INVAL or TT_E_SYSTEM,
 * with the reason in *why.
 */
int tt_instance_load(uint8_t instance[TT_INSTANCE_BYTES], const char *key_path,
                     struct tt_error_text *why);

/* The digits of n bytes, lower case, and a zero behind them. */
void tt_key_format(char *text, const uint8_t *bytes, size_t n);

/* turbotunnel keygen FILE: a new private key to the file, which must not be there, the public one
 * to standard output; turbotunnel pubkey: the public key of the private one in standard input.
 * Return the exit status.
 */
int tt_keygen(const char *path);
int tt_pubkey(void);

/* All that the options name. */
struct tt_tunnel_keys {
    bool has_private;
    uint8_t private_key[TT_KEY_BYTES];
    bool has_clients; /* otherwise anybody may come */
    struct tt_key_list clients;
    uint8_t instance[TT_INSTANCE_BYTES]; /* server */
    uint8_t server_key[TT_KEY_BYTES];    /* client */
};

/* Loads them. 0, or an error as above with the reason in *why; then there is nothing to dispose of.
 */
int tt_tunnel_keys_load(struct tt_tunnel_keys *keys, const struct tt_tunnel_options *o,
                        struct tt_error_text *why);
void tt_tunnel_keys_dispose(struct tt_tunnel_keys *keys);

#endif
