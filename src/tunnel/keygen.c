/* keygen.c - files that the tool makes: private keys, and the server's instance beside its key. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/address.h"
#include "tunnel/keys.h"
#include "tunnel/tunnel.h"

#define KEY_TEXT      (2 * TT_KEY_BYTES + 1)
#define INSTANCE_TEXT (2 * TT_INSTANCE_BYTES + 1)
#define PATH_BYTES    4096

void tt_key_format(char *text, const uint8_t *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    text[2 * n] = '\0';
}

/* A file of its own, never over another; gone again when it could not be written. 0 or errno. */
static int write_new(const char *path, mode_t mode, const char *text)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    const size_t len = strlen(text);
    if (fd < 0)
        return errno;
    int err = write(fd, text, len) == (ssize_t)len && fsync(fd) == 0 ? 0 : errno;
    if (close(fd) < 0 && !err)
        err = errno;
    if (err)
        (void)unlink(path);
    return err;
}

/* --- keys --- */

/* Says the public key alone, so that a script can take it. Returns the exit status. */
static int say_public(const uint8_t private_key[TT_KEY_BYTES])
{
    uint8_t key[TT_KEY_BYTES];
    char text[KEY_TEXT];
    const int err = tt_key_public(private_key, key);
    if (err) {
        (void)fprintf(stderr, "turbotunnel: the public key: %s\n", tt_strerror(err));
        return TT_EXIT_FAILED;
    }
    tt_key_format(text, key, TT_KEY_BYTES);
    return puts(text) < 0 || fflush(stdout) ? TT_EXIT_FAILED : TT_EXIT_DONE;
}

int tt_keygen(const char *path)
{
    uint8_t key[TT_KEY_BYTES];
    char text[KEY_TEXT + 1];
    const int err = tt_key_generate(key);
    if (err) {
        (void)fprintf(stderr, "turbotunnel: no random numbers: %s\n", tt_strerror(err));
        return TT_EXIT_FAILED;
    }
    tt_key_format(text, key, TT_KEY_BYTES);
    text[KEY_TEXT - 1] = '\n';
    text[KEY_TEXT] = '\0';
    const int os_err = write_new(path, S_IRUSR | S_IWUSR, text);
    tt_key_wipe(text, sizeof text);
    int status = TT_EXIT_FAILED;
    if (os_err)
        (void)fprintf(stderr, "turbotunnel: write a private key to %s: %s%s\n", path,
                      strerror(os_err),
                      os_err == EEXIST ? " (a key is never written over a file)" : "");
    else
        status = say_public(key);
    tt_key_wipe(key, sizeof key);
    return status;
}

int tt_pubkey(void)
{
    char text[2 * KEY_TEXT];
    uint8_t key[TT_KEY_BYTES];
    size_t n = fread(text, 1, sizeof text, stdin);
    if (n > 0 && text[n - 1] == '\n')
        n--;
    const bool good = tt_key_parse_private(key, text, n);
    tt_key_wipe(text, sizeof text);
    if (!good) {
        (void)fputs("turbotunnel: standard input is not a private key: one line of 64 hexadecimal "
                    "digits (turbotunnel pubkey <FILE)\n",
                    stderr);
        return TT_EXIT_FAILED;
    }
    const int status = say_public(key);
    tt_key_wipe(key, sizeof key);
    return status;
}

/* --- the instance --- */

static int refuse(struct tt_error_text *why, const char *path, const char *problem)
{
    tt_why(why, "the server's instance, in %.200s: %s", path, problem);
    return TT_E_INVAL;
}

/* 0 or errno; EINVAL: it is none. */
static int read_instance(uint8_t instance[TT_INSTANCE_BYTES], const char *path)
{
    char text[INSTANCE_TEXT + 2];
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno;
    const ssize_t n = read(fd, text, sizeof text);
    const int err = n < 0 ? errno : 0;
    close(fd);
    if (err)
        return err;
    const size_t len = n > 0 && text[n - 1] == '\n' ? (size_t)n - 1 : (size_t)n;
    return tt_hex_parse(instance, TT_INSTANCE_BYTES, text, len) ? 0 : EINVAL;
}

/* Whole or not at all, and never over another: two servers with one key may be started at once. 0
 * or errno; EEXIST: somebody else was first.
 */
static int write_whole(const char *path, const char *text)
{
    char beside[PATH_BYTES + 24];
    (void)snprintf(beside, sizeof beside, "%s.%ld", path, (long)getpid());
    int err = write_new(beside, S_IRUSR | S_IWUSR, text);
    if (err)
        return err;
    if (link(beside, path) < 0)
        err = errno;
    (void)unlink(beside);
    return err;
}

static int make_instance(uint8_t instance[TT_INSTANCE_BYTES], const char *path)
{
    uint8_t random[TT_KEY_BYTES];
    char text[INSTANCE_TEXT + 1];
    if (tt_key_generate(random))
        return EIO;
    memcpy(instance, random, TT_INSTANCE_BYTES);
    tt_key_format(text, instance, TT_INSTANCE_BYTES);
    text[INSTANCE_TEXT - 1] = '\n';
    text[INSTANCE_TEXT] = '\0';
    return write_whole(path, text);
}

int tt_instance_load(uint8_t instance[TT_INSTANCE_BYTES], const char *key_path,
                     struct tt_error_text *why)
{
    char path[PATH_BYTES];
    if (snprintf(path, sizeof path, "%s.instance", key_path) >= (int)sizeof path)
        return refuse(why, key_path, "its name is too long");
    int err = read_instance(instance, path);
    if (err == ENOENT)
        err = make_instance(instance, path);
    if (err == EEXIST)
        err = read_instance(instance, path);
    if (err == EINVAL)
        return refuse(why, path, "it is not one line of 16 hexadecimal digits");
    return err ? refuse(why, path, strerror(err)) : TT_OK;
}
