#include "tunnel/socks5.h"

#include <turbotunnel/stream.h>

#include "test.h"

#define NO_AUTH     "\5\1\0"
#define NO_AUTH_OK  "\5\0"
#define REPLY(code) "\5" code "\0\1\0\0\0\0\0\0"
#define NAME_253                                                                                   \
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"                             \
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"                             \
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"                             \
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abc"

struct story {
    const uint8_t *sent;
    size_t sent_len;
    const uint8_t *said; /* all that is said back */
    size_t said_len;
    enum tt_socks_stage end;
    const char *host;
    unsigned port;
    size_t unread; /* of what was sent: asked for by nobody */
};

static const struct story stories[] = {
    {BYTES(NO_AUTH "\5\1\0\1\1\2\3\4\0\x50"), BYTES(NO_AUTH_OK), TT_SOCKS_DONE, "1.2.3.4", 80, 0},
    {BYTES(NO_AUTH "\5\1\0\3\7example\1\xbb"), BYTES(NO_AUTH_OK), TT_SOCKS_DONE, "example", 443, 0},
    {BYTES(NO_AUTH "\5\1\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\xff\xff"), BYTES(NO_AUTH_OK),
     TT_SOCKS_DONE, "::1", 65535, 0},
    {BYTES(NO_AUTH "\5\1\0\3\xfd" NAME_253 "\0\1"), BYTES(NO_AUTH_OK), TT_SOCKS_DONE, NAME_253, 1,
     0},
    {BYTES(NO_AUTH "\5\1\0\1\1\2\3\4\0\x50"
                   "data"),
     BYTES(NO_AUTH_OK), TT_SOCKS_DONE, "1.2.3.4", 80, 4},
    /* user names */
    {BYTES("\5\2\2\1\1\2me\3you\5\1\0\1\1\2\3\4\0\x50"), BYTES("\5\2\1\0"), TT_SOCKS_DONE,
     "1.2.3.4", 80, 0},
    {BYTES("\5\1\2\1\0\0\5\1\0\1\1\2\3\4\0\x50"), BYTES("\5\2\1\0"), TT_SOCKS_DONE, "1.2.3.4", 80,
     0},
    {BYTES("\5\3\1\2\0\5\1\0\1\1\2\3\4\0\x50"), BYTES("\5\0"), TT_SOCKS_DONE, "1.2.3.4", 80, 0},
    /* not far enough */
    {BYTES(""), BYTES(""), TT_SOCKS_GREETING, "", 0, 0},
    {BYTES("\5\2\0"), BYTES(""), TT_SOCKS_GREETING, "", 0, 0},
    {BYTES(NO_AUTH "\5\1\0\1\1\2\3\4\0"), BYTES(NO_AUTH_OK), TT_SOCKS_REQUEST, "", 0, 0},
    {BYTES("\5\1\2\1\5"), BYTES("\5\2"), TT_SOCKS_USER, "", 0, 0},
    /* other protocols */
    {BYTES("\4\1\0\x50\1\2\3\4\0"), BYTES(""), TT_SOCKS_FAILED, "", 0, 7},
    {BYTES("GET "), BYTES(""), TT_SOCKS_FAILED, "", 0, 2},
    {BYTES("\5\1\2\5\2me\3you"), BYTES("\5\2"), TT_SOCKS_FAILED, "", 0, 6},
    {BYTES(NO_AUTH "\4\1\0\1\1\2\3\4\0\x50"), BYTES(NO_AUTH_OK), TT_SOCKS_FAILED, "", 0, 5},
    /* methods that are not there */
    {BYTES("\5\0"), BYTES("\5\xff"), TT_SOCKS_FAILED, "", 0, 0},
    {BYTES("\5\2\1\3"), BYTES("\5\xff"), TT_SOCKS_FAILED, "", 0, 0},
    /* requests that cannot be */
    {BYTES(NO_AUTH "\5\2\0\1\1\2\3\4\0\x50"), BYTES(NO_AUTH_OK REPLY("\7")), TT_SOCKS_FAILED, "", 0,
     0},
    {BYTES(NO_AUTH "\5\3\0\1\1\2\3\4\0\x50"), BYTES(NO_AUTH_OK REPLY("\7")), TT_SOCKS_FAILED, "", 0,
     0},
    {BYTES(NO_AUTH "\5\1\0\2\1"), BYTES(NO_AUTH_OK REPLY("\10")), TT_SOCKS_FAILED, "", 0, 0},
    {BYTES(NO_AUTH "\5\1\0\0\1"), BYTES(NO_AUTH_OK REPLY("\10")), TT_SOCKS_FAILED, "", 0, 0},
    {BYTES(NO_AUTH "\5\1\0\3\0\0\x50"), BYTES(NO_AUTH_OK REPLY("\4")), TT_SOCKS_FAILED, "", 0, 0},
    {BYTES(NO_AUTH "\5\1\0\3\3a b\0\x50"), BYTES(NO_AUTH_OK REPLY("\4")), TT_SOCKS_FAILED, "", 0,
     0},
    {BYTES(NO_AUTH "\5\1\0\3\3a\0b\0\x50"), BYTES(NO_AUTH_OK REPLY("\4")), TT_SOCKS_FAILED, "", 0,
     0},
    {BYTES(NO_AUTH "\5\1\0\3\xfe" NAME_253 "x\0\x50"), BYTES(NO_AUTH_OK REPLY("\4")),
     TT_SOCKS_FAILED, "", 0, 0},
    {BYTES(NO_AUTH "\5\1\0\1\1\2\3\4\0\0"), BYTES(NO_AUTH_OK REPLY("\4")), TT_SOCKS_FAILED, "", 0,
     0},
};

/* Gives it as much as it asks for, but at most so many bytes at a time. */
static void tell(const struct story *story, size_t most)
{
    struct tt_socks s = {.stage = TT_SOCKS_GREETING};
    uint8_t said[64];
    size_t said_len = 0;
    size_t at = 0;
    size_t missing;
    while ((missing = tt_socks_missing(&s)) > 0 && at < story->sent_len) {
        size_t n = missing < most ? missing : most;
        n = n < story->sent_len - at ? n : story->sent_len - at;
        assert_true(s.have + n <= sizeof s.message);
        memcpy(s.message + s.have, story->sent + at, n);
        tt_socks_came(&s, n);
        at += n;
        memcpy(said + said_len, s.reply, s.reply_len);
        said_len += s.reply_len;
    }
    assert_int_equal(s.stage, story->end);
    assert_int_equal(said_len, story->said_len);
    assert_memory_equal(said, story->said, said_len);
    if (most == SIZE_MAX) /* in crumbs another protocol is known earlier */
        assert_int_equal(story->sent_len - at, story->unread);
    if (story->end != TT_SOCKS_DONE)
        return;
    assert_int_equal(s.target.kind, TT_TARGET_HOST_PORT);
    assert_string_equal(s.target.host, story->host);
    assert_int_equal(s.target.port, story->port);
}

static void test_stories(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(stories); i++) {
        tell(&stories[i], SIZE_MAX);
        tell(&stories[i], 3);
        tell(&stories[i], 1);
    }
}

static void test_the_longest_message_fits(void **state)
{
    (void)state;
    struct tt_socks s = {.stage = TT_SOCKS_USER};
    memset(s.message, 0xff, sizeof s.message);
    s.message[0] = 1;
    size_t missing;
    while (s.stage == TT_SOCKS_USER && (missing = tt_socks_missing(&s)) > 0) {
        assert_true(s.have + missing <= sizeof s.message);
        tt_socks_came(&s, missing);
    }
    assert_int_equal(s.stage, TT_SOCKS_REQUEST);
}

static void test_replies(void **state)
{
    (void)state;
    static const struct {
        uint32_t code;
        const uint8_t *reply;
        size_t len;
    } replies[] = {
        {TT_RESET_NONE, BYTES(REPLY("\1"))},        {TT_RESET_REFUSED, BYTES(REPLY("\5"))},
        {TT_RESET_UNREACHABLE, BYTES(REPLY("\4"))}, {TT_RESET_NO_SUCH_NAME, BYTES(REPLY("\4"))},
        {TT_RESET_NOT_ALLOWED, BYTES(REPLY("\2"))}, {TT_RESET_BY_PROGRAM, BYTES(REPLY("\1"))},
        {TT_RESET_LIMIT, BYTES(REPLY("\1"))},       {7, BYTES(REPLY("\1"))},
        {UINT32_MAX, BYTES(REPLY("\1"))},
    };
    uint8_t reply[TT_SOCKS_REPLY];
    for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
        tt_socks_answer(reply, replies[i].code);
        assert_int_equal(replies[i].len, sizeof reply);
        assert_memory_equal(reply, replies[i].reply, sizeof reply);
    }
    tt_socks_success(reply);
    assert_memory_equal(reply, REPLY("\0"), sizeof reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stories),
        cmocka_unit_test(test_the_longest_message_fits),
        cmocka_unit_test(test_replies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
