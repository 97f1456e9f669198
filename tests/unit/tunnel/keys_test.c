#include "tunnel/keys.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <turbotunnel/error.h>

#include "test.h"

#define HEX    "000102030405060708090a0b0c0d0e0f101112131415161718191A1b1C1d1e1f"
#define BASE64 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"

static void expect_counting(const uint8_t key[TT_KEY_BYTES])
{
    for (unsigned i = 0; i < TT_KEY_BYTES; i++)
        assert_int_equal(key[i], i);
}

static void test_public_keys(void **state)
{
    (void)state;
    static const char *const good[] = {HEX, BASE64, BASE64 "="};
    static const char *const bad[] = {
        "",
        HEX "0",
        "0" HEX,
        "g" HEX,
        BASE64 "==",
        BASE64 "A",
        "AAEC",
        "g00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9", /* bits behind the key */
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh-", /* another alphabet */
        "-AECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    };
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        uint8_t key[TT_KEY_BYTES] = {0xff};
        assert_true(tt_key_parse_public(key, good[i], strlen(good[i])));
        expect_counting(key);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        uint8_t key[TT_KEY_BYTES];
        memset(key, 0xee, sizeof key);
        if (tt_key_parse_public(key, bad[i], strlen(bad[i])))
            fail_msg("'%s' was taken", bad[i]);
        for (size_t at = 0; at < sizeof key; at++)
            assert_int_equal(key[at], 0xee);
    }
}

static char path[] = "/tmp/keys_test.XXXXXX";

static void write_file(const char *text, mode_t mode)
{
    const int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void test_private_keys(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        mode_t mode;
        const char *why; /* NULL: it is good */
    } rows[] = {
        {HEX, 0600, NULL},
        {HEX "\n", 0600, NULL},
        {HEX "\n", 0400, NULL},
        {HEX "\n", 0640, "others may read or write it (chmod 600 it)"},
        {HEX "\n", 0604, "others may read or write it (chmod 600 it)"},
        {HEX "\n", 0620, "others may read or write it (chmod 600 it)"},
        {"", 0600, "it is not one line of 64 hexadecimal digits"},
        {"\n" HEX, 0600, "it is not one line of 64 hexadecimal digits"},
        {HEX "\n\n", 0600, "it is not one line of 64 hexadecimal digits"},
        {HEX "\nmore", 0600, "it is not one line of 64 hexadecimal digits"},
        {BASE64 "=\n", 0600, "it is not one line of 64 hexadecimal digits"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint8_t key[TT_KEY_BYTES];
        struct tt_error_text why = {""};
        write_file(rows[i].text, rows[i].mode);
        const int err = tt_key_load_private(key, path, &why);
        if (!rows[i].why) {
            assert_int_equal(err, TT_OK);
            expect_counting(key);
            continue;
        }
        assert_int_equal(err, TT_E_INVAL);
        assert_non_null(strstr(why.text, rows[i].why));
        assert_non_null(strstr(why.text, path));
        assert_null(strstr(why.text, "000102")); /* nothing of the key */
    }
    struct tt_error_text why;
    uint8_t key[TT_KEY_BYTES];
    assert_int_equal(tt_key_load_private(key, "/nowhere", &why), TT_E_INVAL);
    assert_int_equal(tt_key_load_private(key, "/tmp", &why), TT_E_INVAL);
}

static void test_lists_of_keys(void **state)
{
    (void)state;
    uint8_t key[TT_KEY_BYTES];
    uint8_t other[TT_KEY_BYTES] = {1};
    struct tt_key_list list;
    struct tt_error_text why;
    assert_true(tt_key_parse_public(key, HEX, strlen(HEX)));
    write_file("# friends\n\n  " HEX "  alice\n" BASE64 "= bob # twice\n", 0644);
    assert_int_equal(tt_key_list_load(&list, path, &why), TT_OK);
    assert_int_equal(list.count, 2);
    assert_true(tt_key_list_has(&list, key));
    assert_false(tt_key_list_has(&list, other));
    tt_key_list_dispose(&list);
    assert_false(tt_key_list_has(&list, key));
    write_file(HEX "\nalice " HEX "\n", 0644);
    assert_int_equal(tt_key_list_load(&list, path, &why), TT_E_INVAL);
    assert_non_null(strstr(why.text, ":2: it does not begin with a public key"));
    assert_int_equal(list.count, 0);
    assert_int_equal(tt_key_list_load(&list, "/nowhere", &why), TT_E_INVAL);
    assert_int_equal(tt_key_list_load(&list, "/tmp", &why), TT_E_INVAL);
}

static void test_long_lists_of_keys(void **state)
{
    (void)state;
    struct tt_key_list list;
    struct tt_error_text why;
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (unsigned i = 0; i < TT_MOST_KEYS; i++)
        (void)fprintf(file, "%064x\n", i);
    (void)fclose(file);
    assert_int_equal(tt_key_list_load(&list, path, &why), TT_OK);
    assert_int_equal(list.count, TT_MOST_KEYS);
    for (unsigned i = 0; i < TT_MOST_KEYS; i++) {
        const uint8_t *key = list.keys[i];
        assert_int_equal(key[31] | key[30] << 8 | key[29] << 16, i);
    }
    tt_key_list_dispose(&list);
    file = fopen(path, "a");
    assert_non_null(file);
    (void)fprintf(file, "%064x\n", 1);
    (void)fclose(file);
    assert_int_equal(tt_key_list_load(&list, path, &why), TT_E_FULL);
}

static int make_file(void **state)
{
    (void)state;
    const int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_public_keys),
        cmocka_unit_test(test_private_keys),
        cmocka_unit_test(test_lists_of_keys),
        cmocka_unit_test(test_long_lists_of_keys),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
