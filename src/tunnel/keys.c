#include "tunnel/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/address.h"

#define HEX_DIGITS    64
#define BASE64_DIGITS 43
#define LINE_BYTES    1024

/* --- digits --- */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool tt_hex_parse(uint8_t *bytes, size_t n, const char *text, size_t len)
{
    if (len != 2 * n)
        return false;
    for (size_t i = 0; i < n; i++) {
        const int high = hex_value(text[2 * i]);
        const int low = hex_value(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

bool tt_key_parse_private(uint8_t key[TT_KEY_BYTES], const char *text, size_t len)
{
    const bool good = tt_hex_parse(key, TT_KEY_BYTES, text, len);
    if (!good)
        tt_key_wipe(key, TT_KEY_BYTES);
    return good;
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* 43 digits are 258 bits: the last two must be 0, or two texts would be one key. */
static bool parse_base64(uint8_t key[TT_KEY_BYTES], const char *text)
{
    unsigned bits = 0;
    unsigned held = 0; /* bits that are not out yet */
    size_t at = 0;
    for (size_t i = 0; i < BASE64_DIGITS; i++) {
        const int value = base64_value(text[i]);
        if (value < 0)
            return false;
        bits = bits << 6 | (unsigned)value;
        held += 6;
        if (held >= 8) {
            held -= 8;
            key[at++] = (uint8_t)(bits >> held);
            bits &= (1u << held) - 1;
        }
    }
    return bits == 0;
}

bool tt_key_parse_public(uint8_t key[TT_KEY_BYTES], const char *text, size_t len)
{
    uint8_t parsed[TT_KEY_BYTES];
    bool good = false;
    if (len == HEX_DIGITS)
        good = tt_hex_parse(parsed, TT_KEY_BYTES, text, HEX_DIGITS);
    else if (len == BASE64_DIGITS || (len == BASE64_DIGITS + 1 && text[BASE64_DIGITS] == '='))
        good = parse_base64(parsed, text);
    if (good)
        memcpy(key, parsed, sizeof parsed);
    return good;
}

/* --- a private key --- */

static int refuse(struct tt_error_text *why, const char *path, const char *problem)
{
    tt_why(why, "key file %.150s: %s", path, problem);
    return TT_E_INVAL;
}

/* Whether it is a file of ours that nobody else may read or write. */
static const char *problem_of(int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return strerror(errno);
    if (!S_ISREG(st.st_mode))
        return "it is not a file";
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return "it belongs to somebody else";
    if (st.st_mode & (S_IRWXG | S_IRWXO))
        return "others may read or write it (chmod 600 it)";
    return NULL;
}

static int read_private(uint8_t key[TT_KEY_BYTES], int fd, const char *path,
                        struct tt_error_text *why)
{
    char text[HEX_DIGITS + 3];
    const char *problem = problem_of(fd);
    if (problem)
        return refuse(why, path, problem);
    ssize_t n = read(fd, text, sizeof text);
    if (n < 0)
        return refuse(why, path, strerror(errno));
    if (n > HEX_DIGITS && text[n - 1] == '\n')
        n--;
    const bool good = tt_key_parse_private(key, text, (size_t)n);
    tt_key_wipe(text, sizeof text);
    if (good)
        return TT_OK;
    return refuse(why, path, "it is not one line of 64 hexadecimal digits");
}

int tt_key_load_private(uint8_t key[TT_KEY_BYTES], const char *path, struct tt_error_text *why)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return refuse(why, path, strerror(errno));
    const int err = read_private(key, fd, path, why);
    close(fd);
    return err;
}

/* --- a list of public keys --- */

static int add_key(struct tt_key_list *list, const uint8_t key[TT_KEY_BYTES])
{
    if (list->count == TT_MOST_KEYS)
        return TT_E_FULL;
    if ((list->count & (list->count + 1)) == 0 || list->count == 0) { /* room doubles */
        void *more = realloc(list->keys, (list->count * 2 + 1) * sizeof *list->keys);
        if (!more)
            return TT_E_NOMEM;
        list->keys = more;
    }
    memcpy(list->keys[list->count++], key, TT_KEY_BYTES);
    return TT_OK;
}

/* 0, or an error: TT_E_INVAL: there is something that is no key. */
static int take_line(struct tt_key_list *list, const char *line)
{
    static const char blank[] = " \t\r\n";
    uint8_t key[TT_KEY_BYTES];
    line += strspn(line, blank);
    const size_t len = strcspn(line, blank);
    if (len == 0 || *line == '#')
        return TT_OK;
    if (!tt_key_parse_public(key, line, len))
        return TT_E_INVAL;
    return add_key(list, key);
}

static const char *text_of(int err)
{
    if (err == TT_E_INVAL)
        return "it does not begin with a public key (64 hexadecimal digits, or base64)";
    return err == TT_E_FULL ? "there are more than 100000 keys" : tt_strerror(err);
}

static int take_lines(struct tt_key_list *list, FILE *file, const char *path,
                      struct tt_error_text *why)
{
    char line[LINE_BYTES];
    unsigned number = 0;
    int err = TT_OK;
    while (!err && fgets(line, sizeof line, file)) {
        number++;
        err = strlen(line) == sizeof line - 1 ? TT_E_INVAL : take_line(list, line);
    }
    if (err)
        tt_why(why, "%.150s:%u: %s", path, number, text_of(err));
    else if (ferror(file))
        err = refuse(why, path, strerror(errno));
    return err;
}

int tt_key_list_load(struct tt_key_list *list, const char *path, struct tt_error_text *why)
{
    FILE *file = fopen(path, "re");
    *list = (struct tt_key_list){NULL, 0};
    if (!file)
        return refuse(why, path, strerror(errno));
    const int err = take_lines(list, file, path, why);
    (void)fclose(file);
    if (err)
        tt_key_list_dispose(list);
    return err;
}

bool tt_key_list_has(const struct tt_key_list *list, const uint8_t key[TT_KEY_BYTES])
{
    for (size_t i = 0; i < list->count; i++)
        if (memcmp(list->keys[i], key, TT_KEY_BYTES) == 0)
            return true;
    return false;
}

void tt_key_list_dispose(struct tt_key_list *list)
{
    free(list->keys);
    *list = (struct tt_key_list){NULL, 0};
}

/* --- all of them --- */

void tt_tunnel_keys_dispose(struct tt_tunnel_keys *keys)
{
    tt_key_wipe(keys->private_key, sizeof keys->private_key);
    tt_key_list_dispose(&keys->clients);
}

int tt_tunnel_keys_load(struct tt_tunnel_keys *keys, const struct tt_tunnel_options *o,
                        struct tt_error_text *why)
{
    int err = TT_OK;
    *keys = (struct tt_tunnel_keys){.has_private = o->key != NULL,
                                    .has_clients = o->authorized_clients != NULL};
    memcpy(keys->server_key, o->server_key, sizeof keys->server_key);
    if (o->key)
        err = tt_key_load_private(keys->private_key, o->key, why);
    if (!err && o->authorized_clients)
        err = tt_key_list_load(&keys->clients, o->authorized_clients, why);
    if (!err && keys->has_private && o->command == TT_COMMAND_SERVER)
        err = tt_instance_load(keys->instance, o->key, why);
    if (err)
        tt_tunnel_keys_dispose(keys);
    return err;
}
