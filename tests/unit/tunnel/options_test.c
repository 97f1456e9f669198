#include "tunnel/options.h"

#include <stdlib.h>

#include "test.h"

#define MOST_WORDS 12

/* Parses the words behind "turbotunnel". The object is heap memory: it is large. */
static int parse(struct tt_tunnel_options *o, const char *const words[MOST_WORDS],
                 char error[TT_USAGE_TEXT])
{
    char *argv[MOST_WORDS + 2] = {(char *)"turbotunnel"};
    int argc = 1;
    while (argc <= MOST_WORDS && words[argc - 1]) {
        argv[argc] = (char *)words[argc - 1];
        argc++;
    }
    return tt_tunnel_options_parse(o, argc, argv, error);
}

#define SERVER "server", "--insecure", "--listen", "tcp://h:1", "--forward", "h:2"
#define CLIENT "client", "--insecure", "--connect", "tcp://h:1", "--stdio"

static const struct {
    const char *words[MOST_WORDS];
    const char *error; /* in the message */
} bad[] = {
    {{NULL}, "no command"},
    {{"serve"}, "argument serve: the first word must be server, client"},
    {{SERVER, "--drain"}, "option --drain: needs a value"},
    {{SERVER, "--insecure=1"}, "option --insecure=1: takes no value"},
    {{SERVER, "--drain=x"}, "option --drain x: it is not a number of seconds"},
    {{SERVER, "--drain", "0"}, "it must be from 0.001 to 1000000000 seconds"},
    {{SERVER, "--drain", "1e3"}, "it is not a number of seconds"},
    {{SERVER, "--max-sessions", "16777217"}, "it is too large"},
    {{SERVER, "--max-sessions", "0"}, "it must be at least 1"},
    {{SERVER, "--max-sessions", "1K"}, "it is not a whole number;"},
    {{SERVER, "--max-buffer", "1KB"}, "it is not a whole number such as"},
    {{SERVER, "--max-buffer", "99999999999999999999"}, "it is too large"},
    {{SERVER, "--socks", "1"}, "argument --socks: there is no such option"},
    {{SERVER, "--drai", "1"}, "argument --drai: there is no such option"},
    {{SERVER, "-"}, "argument -: there is no such option"},
    {{SERVER, "--"}, "argument --: there is no such option"},
    {{SERVER, "--listen", "quic://h:1"}, "not supported by this build; supported: tcp://, unix:"},
    {{CLIENT, "-x"}, "argument -x: there is no such option"},
    {{CLIENT, "-W", "h:1"}, "standard input leads to one place alone"},
    {{CLIENT, "-L1:h:2"}, "go with no listener"},
    {{CLIENT, "-R", "1:h:2"}, "go with no listener"},
    {{CLIENT, "--key", ""}, "it is empty"},
};

static void test_what_makes_no_sense(void **state)
{
    struct tt_tunnel_options *o = *state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char error[TT_USAGE_TEXT] = "";
        if (parse(o, bad[i].words, error) == 0 || !strstr(error, bad[i].error))
            fail_msg("row %zu: '%s' is not about '%s'", i, error, bad[i].error);
        assert_null(strchr(error, '\n'));
        tt_tunnel_options_dispose(o);
    }
}

static void test_values_arrive(void **state)
{
    struct tt_tunnel_options *o = *state;
    char error[TT_USAGE_TEXT];
    assert_int_equal(parse(o,
                           (const char *const[MOST_WORDS]){SERVER, "--drain=0.5", "--max-sessions",
                                                           "7", "--max-buffer", "3M", "-v"},
                           error),
                     0);
    assert_int_equal(o->command, TT_COMMAND_SERVER);
    assert_true(o->insecure && o->verbose && !o->quiet);
    assert_int_equal(o->url_count, 1);
    assert_string_equal(o->urls[0], "h:1");
    assert_string_equal(o->forward, "h:2");
    assert_int_equal(o->drain_us, 500000);
    assert_int_equal(o->library.max_sessions, 7);
    assert_int_equal(o->library.max_buffer_bytes, 3 << 20);
    assert_int_equal(o->connect_timeout_us, 10000000);
    tt_tunnel_options_dispose(o);

    assert_int_equal(parse(o,
                           (const char *const[MOST_WORDS]){"client", "--insecure", "--connect",
                                                           "unix:/a", "--connect=tcp://h:2",
                                                           "-L1:h:2", "-D", "3", "--carriers", "4"},
                           error),
                     0);
    assert_int_equal(o->url_count, 2);
    assert_string_equal(o->urls[0], "unix:/a");
    assert_int_equal(o->forward_count, 2);
    assert_string_equal(o->forwards[0].bind, "127.0.0.1:1");
    assert_true(!o->forwards[0].socks && o->forwards[1].socks);
    assert_int_equal(o->library.carriers, 4);
    tt_tunnel_options_dispose(o);
}

static void test_there_are_limits(void **state)
{
    struct tt_tunnel_options *o = *state;
    char error[TT_USAGE_TEXT];
    char *argv[2 * TT_MOST_FORWARDS + 8] = {(char *)"turbotunnel", (char *)"client",
                                            (char *)"--insecure", (char *)"--connect=tcp://h:1"};
    int argc = 4;
    for (int i = 0; i < TT_MOST_FORWARDS; i++)
        argv[argc++] = (char *)"-D1";
    assert_int_equal(tt_tunnel_options_parse(o, argc, argv, error), 0);
    tt_tunnel_options_dispose(o);
    argv[argc++] = (char *)"-D1";
    assert_int_equal(tt_tunnel_options_parse(o, argc, argv, error), -1);
    assert_non_null(strstr(error, "there are more than 64"));
    tt_tunnel_options_dispose(o);
    argc = 4;
    for (int i = 1; i <= TT_MOST_URLS; i++)
        argv[argc++] = (char *)"--connect=tcp://h:1";
    assert_int_equal(tt_tunnel_options_parse(o, argc, argv, error), -1);
    assert_non_null(strstr(error, "there are more than 16"));
    tt_tunnel_options_dispose(o);
}

static int make_options(void **state)
{
    *state = malloc(sizeof(struct tt_tunnel_options));
    return *state ? 0 : -1;
}

static int free_options(void **state)
{
    free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_makes_no_sense),
        cmocka_unit_test(test_values_arrive),
        cmocka_unit_test(test_there_are_limits),
    };
    return cmocka_run_group_tests(tests, make_options, free_options);
}
