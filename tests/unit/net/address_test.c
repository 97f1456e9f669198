#include "net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <turbotunnel/error.h>

#include "test.h"

#define PATH_107                                                                                   \
    "/123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"                             \
    "0123456789abcdef0123456789abcdef0123456789a"

static const struct {
    const char *text;
    const char *host; /* NULL: refused */
    const char *port;
    bool is_path;
} rows[] = {
    {"h:1", "h", "1", false},
    {":0", "", "0", false},
    {"[::1]:65535", "::1", "65535", false},
    {"unix:/run/a.sock", "/run/a.sock", "", true},
    {"unix:a:1", "a:1", "", true},
    {"unix:" PATH_107, PATH_107, "", true},
    {"unix:" PATH_107 "b", NULL, "", false},
    {"unix:", NULL, "", false},
    {"unix", NULL, "", false},
    {"h", NULL, "", false},
    {"h:65536", NULL, "", false},
    {"::1:1", NULL, "", false},
};

static void test_addresses_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tt_address a;
        struct tt_error_text why;
        memset(&a, 0x5a, sizeof a);
        const int err = tt_address_parse(&a, rows[i].text, &why);
        if (err != (rows[i].host ? TT_OK : TT_E_INVAL))
            fail_msg("'%s': %d", rows[i].text, err);
        if (err)
            continue;
        assert_string_equal(a.host, rows[i].host);
        assert_string_equal(a.port, rows[i].port);
        assert_int_equal(a.is_path, rows[i].is_path);
    }
}

static void test_addresses_are_shown(void **state)
{
    (void)state;
    char text[TT_ADDRESS_TEXT];
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = htonl(0x7f000001)};
    struct sockaddr_in6 in6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(80), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = PATH_107};
    struct sockaddr_un unnamed = {.sun_family = AF_UNIX};
    tt_address_format(text, (const struct sockaddr *)(const void *)&in);
    assert_string_equal(text, "127.0.0.1:80");
    tt_address_format(text, (const struct sockaddr *)(const void *)&in6);
    assert_string_equal(text, "[::1]:80");
    tt_address_format(text, (const struct sockaddr *)(const void *)&un);
    assert_string_equal(text, "unix:" PATH_107);
    tt_address_format(text, (const struct sockaddr *)(const void *)&unnamed);
    assert_string_equal(text, "unix:");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses_are_read),
        cmocka_unit_test(test_addresses_are_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
