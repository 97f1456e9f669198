#include "tunnel/allow.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "test.h"

static struct tt_ip ip_of(const char *text)
{
    struct tt_ip ip;
    assert_true(tt_ip_of_text(&ip, text));
    return ip;
}

struct question {
    const char *rule;
    const char *host; /* as it was asked for */
    unsigned port;
    const char *ip; /* what it resolved to */
    bool allowed;
};

static const struct question questions[] = {
    /* ports */
    {"example.org:80", "example.org", 80, "198.51.100.1", true},
    {"example.org:80", "example.org", 81, "198.51.100.1", false},
    {"example.org:80-90", "example.org", 79, "198.51.100.1", false},
    {"example.org:80-90", "example.org", 80, "198.51.100.1", true},
    {"example.org:80-90", "example.org", 90, "198.51.100.1", true},
    {"example.org:80-90", "example.org", 91, "198.51.100.1", false},
    {"example.org:*", "example.org", 1, "198.51.100.1", true},
    {"example.org:*", "example.org", 65535, "198.51.100.1", true},
    {"example.org:*", "example.org", 0, "198.51.100.1", false},
    /* names */
    {"Example.ORG:80", "eXample.org", 80, "198.51.100.1", true},
    {"example.org.:80", "example.org", 80, "198.51.100.1", true},
    {"example.org:80", "example.org.", 80, "198.51.100.1", true},
    {"example.org:80", "example.org..", 80, "198.51.100.1", false},
    {"example.org:80", "www.example.org", 80, "198.51.100.1", false},
    {"example.org:80", "example.orgs", 80, "198.51.100.1", false},
    {"example.org:80", "example.or", 80, "198.51.100.1", false},
    /* networks, by whatever name they were asked for */
    {"198.51.100.0/24:80", "any.name", 80, "198.51.100.255", true},
    {"198.51.100.0/24:80", "any.name", 80, "198.51.101.0", false},
    {"198.51.100.128/25:80", "any.name", 80, "198.51.100.127", false},
    {"198.51.100.7:80", "198.51.100.7", 80, "198.51.100.7", true},
    {"198.51.100.7:80", "198.51.100.8", 80, "198.51.100.8", false},
    {"[2001:db8::/32]:80", "any.name", 80, "2001:db8:ffff::1", true},
    {"[2001:db8::/33]:80", "any.name", 80, "2001:db8:ffff::1", false},
    {"[2001:db8::1]:80", "any.name", 80, "2001:db8::1", true},
    {"[2001:db8::1]:80", "any.name", 80, "2001:db8::2", false},
    /* everything is one kind each, and never what is private */
    {"0.0.0.0/0:80", "any.name", 80, "198.51.100.1", true},
    {"0.0.0.0/0:80", "any.name", 80, "2001:db8::1", false},
    {"[::/0]:80", "any.name", 80, "198.51.100.1", false},
    {"[::/0]:80", "any.name", 80, "2001:db8::1", true},
    {"*:80", "any.name", 80, "198.51.100.1", true},
    {"*:80", "any.name", 80, "2001:db8::1", true},
    {"*:80", "any.name", 80, "::ffff:198.51.100.1", true},
    {"*:80", "any.name", 80, "0.0.0.0", false},
    {"*:80", "any.name", 80, "10.1.2.3", false},
    {"*:80", "any.name", 80, "100.64.0.1", false},
    {"*:80", "any.name", 80, "100.63.255.255", true},
    {"*:80", "any.name", 80, "100.128.0.0", true},
    {"*:80", "any.name", 80, "127.0.0.1", false},
    {"*:80", "any.name", 80, "127.255.255.255", false},
    {"*:80", "any.name", 80, "169.254.169.254", false},
    {"*:80", "any.name", 80, "172.15.255.255", true},
    {"*:80", "any.name", 80, "172.16.0.0", false},
    {"*:80", "any.name", 80, "172.31.255.255", false},
    {"*:80", "any.name", 80, "172.32.0.0", true},
    {"*:80", "any.name", 80, "192.168.1.1", false},
    {"*:80", "any.name", 80, "198.18.0.1", false},
    {"*:80", "any.name", 80, "224.0.0.1", false},
    {"*:80", "any.name", 80, "239.255.255.255", false},
    {"*:80", "any.name", 80, "255.255.255.255", false},
    {"*:80", "any.name", 80, "::", false},
    {"*:80", "any.name", 80, "::1", false},
    {"*:80", "any.name", 80, "::127.0.0.1", false},
    {"*:80", "any.name", 80, "::ffff:127.0.0.1", false},
    {"*:80", "any.name", 80, "::ffff:10.0.0.1", false},
    {"*:80", "any.name", 80, "64:ff9b::c633:6401", true}, /* 198.51.100.1 */
    {"*:80", "any.name", 80, "64:ff9b::7f00:1", false},   /* 127.0.0.1 */
    {"*:80", "any.name", 80, "64:ff9b::a9fe:a9fe", false},
    {"*:80", "any.name", 80, "64:ff9b:1::1", false},
    {"*:80", "any.name", 80, "2001::1", false},
    {"*:80", "any.name", 80, "2002:7f00:1::", false},
    {"*:80", "any.name", 80, "fc00::1", false},
    {"*:80", "any.name", 80, "fdff::1", false},
    {"*:80", "any.name", 80, "fe80::1", false},
    {"*:80", "any.name", 80, "ff02::1", false},
    {"0.0.0.0/0:80", "any.name", 80, "127.0.0.1", false},
    {"64.0.0.0/2:80", "any.name", 80, "127.0.0.1", false}, /* a network around it is no name */
    {"[::/0]:80", "any.name", 80, "::1", false},
    {"[::/0]:80", "any.name", 80, "fd00::1", false},
    /* a rule that names them */
    {"127.0.0.1:80", "any.name", 80, "127.0.0.1", true},
    {"127.0.0.0/8:80", "any.name", 80, "127.1.2.3", true},
    {"127.0.0.1:80", "any.name", 80, "::ffff:127.0.0.1", true},
    {"[::1]:80", "any.name", 80, "::1", true},
    {"10.0.0.0/8:80", "any.name", 80, "10.200.0.1", true},
    {"10.0.0.0/7:80", "any.name", 80, "10.200.0.1", false},
    {"10.1.0.0/16:*", "any.name", 80, "10.1.0.1", true},
    {"10.1.0.0/16:*", "any.name", 80, "10.2.0.1", false},
    {"[fd00::/8]:80", "any.name", 80, "fd12::1", true},
    {"[64:ff9b::/96]:80", "any.name", 80, "64:ff9b::7f00:1", true},
    {"db.internal:5432", "db.internal", 5432, "10.0.0.7", true},
    {"db.internal:5432", "db.external", 5432, "10.0.0.7", false},
    {"db.internal:5432-5433", "db.internal", 5432, "10.0.0.7", false},
    {"db.internal:*", "db.internal", 5432, "10.0.0.7", false},
    {"db.internal:*", "db.internal", 5432, "198.51.100.1", true},
};

static void test_what_a_rule_allows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(questions); i++) {
        const struct question *q = &questions[i];
        struct tt_rules rules = {NULL, 0};
        assert_null(tt_rules_add(&rules, q->rule));
        const struct tt_ip ip = ip_of(q->ip);
        if (tt_rules_allow(&rules, q->host, (uint16_t)q->port, &ip) != q->allowed)
            fail_msg("rule %s, host %s, port %u, address %s: not %d", q->rule, q->host, q->port,
                     q->ip, q->allowed);
        if (q->allowed) /* or nobody would look the name up */
            assert_true(tt_rules_may(&rules, q->host, (uint16_t)q->port));
        tt_rules_dispose(&rules);
    }
}

static void test_without_rules_nothing_is_allowed(void **state)
{
    (void)state;
    const struct tt_rules none = {NULL, 0};
    const struct tt_ip ip = ip_of("198.51.100.1");
    assert_false(tt_rules_may(&none, "example.org", 80));
    assert_false(tt_rules_allow(&none, "example.org", 80, &ip));
    assert_false(tt_rules_allow_bind(&none, &ip, 80));
}

static void test_any_of_several_rules_does(void **state)
{
    (void)state;
    struct tt_rules rules = {NULL, 0};
    const struct tt_ip ip = ip_of("10.0.0.1");
    assert_null(tt_rules_add(&rules, "*:80"));
    assert_null(tt_rules_add(&rules, "example.org:81"));
    assert_false(tt_rules_may(&rules, "example.com", 81));
    assert_true(tt_rules_may(&rules, "example.com", 80));
    assert_false(tt_rules_allow(&rules, "example.com", 80, &ip));
    assert_null(tt_rules_add(&rules, "10.0.0.1:80"));
    assert_true(tt_rules_allow(&rules, "example.com", 80, &ip));
    tt_rules_dispose(&rules);
}

static void test_rules_that_make_no_sense(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "x",
        ":80",
        "x:",
        "x:y",
        "x:70000",
        "x:80-",
        "x:-80",
        "x:90-80",
        "x:80-70000",
        "x:080808",
        "::1:80",
        "[::1:80",
        "[::1]80",
        "[x]:80",
        "[1.2.3.4]:80",
        "1.2.3.4/33:80",
        "1.2.3.4/:80",
        "1.2.3.4/x:80",
        "name/8:80",
        "[::1/129]:80",
        "[::/x]:80",
        "a b:80",
        "*.example.org:80",
        ".:80",
        "[]:80",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct tt_rules rules = {NULL, 0};
        if (!tt_rules_add(&rules, bad[i]))
            fail_msg("'%s' was taken", bad[i]);
        assert_int_equal(rules.count, 0);
    }
}

static void test_there_is_a_limit_to_rules(void **state)
{
    (void)state;
    struct tt_rules rules = {NULL, 0};
    for (int i = 0; i < TT_MOST_RULES; i++)
        assert_null(tt_rules_add(&rules, "*:80"));
    assert_non_null(tt_rules_add(&rules, "*:80"));
    tt_rules_dispose(&rules);
}

static const struct {
    const char *rule;
    const char *ip;
    unsigned port;
    bool allowed;
} binds[] = {
    {"8000-8010", "127.0.0.1", 8000, true},
    {"8000-8010", "127.0.0.1", 8011, false},
    {"8000-8010", "0.0.0.0", 8000, false},
    {"8000-8010", "::1", 8000, false},
    {"[::1]:8000", "::1", 8000, true},
    {"*:8000", "0.0.0.0", 8000, true},
    {"*:8000", "::", 8000, true},
    {"0.0.0.0:8000", "0.0.0.0", 8000, true},
    {"0.0.0.0:8000", "192.168.0.1", 8000, false},
    {"192.168.0.0/24:*", "192.168.0.1", 1, true},
    {"*", "127.0.0.1", 1, true},
    {"*", "127.0.0.1", 0, true},
    {"2-65535", "127.0.0.1", 0, false},
    {"1-65534", "127.0.0.1", 0, false},
    {"1-65535", "127.0.0.1", 0, true},
};

static void test_where_may_be_listened(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(binds); i++) {
        struct tt_rules rules = {NULL, 0};
        assert_null(tt_rules_add_bind(&rules, binds[i].rule));
        const struct tt_ip ip = ip_of(binds[i].ip);
        if (tt_rules_allow_bind(&rules, &ip, (uint16_t)binds[i].port) != binds[i].allowed)
            fail_msg("%s, %s port %u: not %d", binds[i].rule, binds[i].ip, binds[i].port,
                     binds[i].allowed);
        tt_rules_dispose(&rules);
    }
    struct tt_rules rules = {NULL, 0};
    assert_non_null(tt_rules_add_bind(&rules, "name:80"));
    assert_non_null(tt_rules_add_bind(&rules, "x"));
    assert_int_equal(rules.count, 0);
}

static void test_addresses_of_sockets(void **state)
{
    (void)state;
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr other = {.sa_family = AF_UNIX};
    struct tt_ip ip;
    const struct tt_ip four = ip_of("127.0.0.1");
    const struct tt_ip six = ip_of("::1");
    assert_true(tt_ip_of_sockaddr(&ip, (const struct sockaddr *)(const void *)&in));
    assert_memory_equal(ip.bytes, four.bytes, 16);
    assert_true(ip.is_v4);
    assert_true(tt_ip_of_sockaddr(&ip, (const struct sockaddr *)(const void *)&in6));
    assert_memory_equal(ip.bytes, six.bytes, 16);
    assert_false(ip.is_v4);
    assert_false(tt_ip_of_sockaddr(&ip, &other));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_rule_allows),
        cmocka_unit_test(test_without_rules_nothing_is_allowed),
        cmocka_unit_test(test_any_of_several_rules_does),
        cmocka_unit_test(test_rules_that_make_no_sense),
        cmocka_unit_test(test_there_is_a_limit_to_rules),
        cmocka_unit_test(test_where_may_be_listened),
        cmocka_unit_test(test_addresses_of_sockets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
