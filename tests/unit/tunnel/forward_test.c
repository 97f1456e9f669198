#include "tunnel/forward.h"

#include "test.h"
#include "tunnel/url.h"

static void test_forwards(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *bind; /* NULL: refused */
        const char *host;
        unsigned port;
    } rows[] = {
        {"8080:example.org:80", "127.0.0.1:8080", "example.org", 80},
        {"0:h:1", "127.0.0.1:0", "h", 1},
        {"1.2.3.4:8080:h:80", "1.2.3.4:8080", "h", 80},
        {"localhost:8080:h:80", "localhost:8080", "h", 80},
        {"*:8080:h:80", ":8080", "h", 80},
        {":8080:h:80", ":8080", "h", 80},
        {"[::1]:8080:h:80", "[::1]:8080", "h", 80},
        {"8080:[2001:db8::1]:80", "127.0.0.1:8080", "2001:db8::1", 80},
        {"[::1]:8080:[::2]:80", "[::1]:8080", "::2", 80},
        {"", NULL, "", 0},
        {"8080", NULL, "", 0},
        {"8080:80", NULL, "", 0},
        {"h:80", NULL, "", 0},
        {"8080:h:", NULL, "", 0},
        {"8080::80", NULL, "", 0},
        {"8080:h:0", NULL, "", 0},
        {"8080:h:70000", NULL, "", 0},
        {"8080:h h:80", NULL, "", 0},
        {"x:h:80", NULL, "", 0},
        {"70000:h:80", NULL, "", 0},
        {"8080:::1:80", NULL, "", 0},
        {"::1:8080:h:80", NULL, "", 0},
        {"[::1:8080:h:80", NULL, "", 0},
        {"unix:/a/b:h:80", "unix:/a/b", "h", 80},
        {"unix:/a:b:[::1]:80", "unix:/a:b", "::1", 80},
        {"unix::h:80", NULL, "", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tt_forward f;
        const char *why = tt_forward_parse(&f, rows[i].text);
        if (!why != (rows[i].bind != NULL))
            fail_msg("'%s': %s", rows[i].text, why ? why : "was taken");
        if (why)
            continue;
        assert_string_equal(f.bind, rows[i].bind);
        assert_int_equal(f.target.kind, TT_TARGET_HOST_PORT);
        assert_string_equal(f.target.host, rows[i].host);
        assert_int_equal(f.target.port, rows[i].port);
        assert_false(f.socks);
    }
}

static void test_what_the_server_shall_listen_for(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *host; /* to listen at; NULL: refused */
        unsigned port;
        const char *target;
        unsigned target_port;
    } rows[] = {
        {"8080:h:80", "127.0.0.1", 8080, "h", 80},
        {"0:h:80", "127.0.0.1", 0, "h", 80},
        {"*:8080:h:80", "", 8080, "h", 80},
        {"[::1]:8080:[::2]:80", "::1", 8080, "::2", 80},
        {"192.0.2.1:8080:h:80", "192.0.2.1", 8080, "h", 80},
        {"localhost:8080:h:80", NULL, 0, "", 0},
        {"unix:/a:h:80", NULL, 0, "", 0},
        {"8080:h", NULL, 0, "", 0},
        {"", NULL, 0, "", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tt_remote_forward r;
        const char *why = tt_remote_parse(&r, 7, rows[i].text);
        if (!why != (rows[i].host != NULL))
            fail_msg("'%s': %s", rows[i].text, why ? why : "was taken");
        if (why)
            continue;
        assert_string_equal(r.text, rows[i].text);
        assert_int_equal(r.listen.kind, TT_TARGET_LISTEN);
        assert_int_equal(r.listen.number, 7);
        assert_string_equal(r.listen.host, rows[i].host);
        assert_int_equal(r.listen.port, rows[i].port);
        assert_int_equal(r.target.kind, TT_TARGET_HOST_PORT);
        assert_string_equal(r.target.host, rows[i].target);
        assert_int_equal(r.target.port, rows[i].target_port);
    }
}

static void test_binds(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *bind; /* NULL: refused */
    } rows[] = {
        {"1080", "127.0.0.1:1080"},
        {"*:1080", ":1080"},
        {"[::1]:1080", "[::1]:1080"},
        {"h:1080", "h:1080"},
        {"", NULL},
        {"h", NULL},
        {"h:", NULL},
        {"99999", NULL},
        {"::1:80", NULL},
        {"123456", NULL},
        {"unix:/a/b", "unix:/a/b"},
        {"unix:", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char bind[TT_BIND_TEXT];
        const char *why = tt_bind_parse(bind, rows[i].text);
        if (!why != (rows[i].bind != NULL))
            fail_msg("'%s': %s", rows[i].text, why ? why : "was taken");
        if (!why)
            assert_string_equal(bind, rows[i].bind);
    }
}

static void test_urls(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        const char *address; /* NULL: refused */
    } rows[] = {
        {"tcp://h:1", "h:1"},
        {"tcp://[::1]:1", "[::1]:1"},
        {"tcp://0.0.0.0:0", "0.0.0.0:0"},
        {"unix:/a", "unix:/a"},
        {"unix:a", "unix:a"},
        {"", NULL},
        {"h:1", NULL},
        {"tcp:h:1", NULL},
        {"tcp://h", NULL},
        {"tcp://h:x", NULL},
        {"tcp://::1:80", NULL},
        {"tcp://unix:/a", NULL},
        {"tls://h:1", NULL},
        {"TCP://h:1", NULL},
        {"unix:", NULL},
        {"https://h:1/", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *address;
        const char *why = tt_url_parse(rows[i].url, &address);
        if (!why != (rows[i].address != NULL))
            fail_msg("'%s': %s", rows[i].url, why ? why : "was taken");
        if (!why)
            assert_string_equal(address, rows[i].address);
    }
    const char *address;
    assert_string_equal(tt_url_parse("tls://h:1", &address),
                        "not supported by this build; supported: tcp://, unix:");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forwards),
        cmocka_unit_test(test_what_the_server_shall_listen_for),
        cmocka_unit_test(test_binds),
        cmocka_unit_test(test_urls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
