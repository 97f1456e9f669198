#include "tunnel/socks5.h"

#include <arpa/inet.h>
#include <string.h>

#include <turbotunnel/stream.h>

#define VERSION      5
#define USER_VERSION 1
#define CONNECT      1

enum method { NO_AUTHENTICATION = 0, USER_AND_PASSWORD = 2, NO_METHOD = 0xff };
enum address_type { IPV4 = 1, NAME = 3, IPV6 = 4 };
enum reply_code {
    SUCCEEDED = 0,
    GENERAL_FAILURE = 1,
    NOT_ALLOWED = 2,
    HOST_UNREACHABLE = 4,
    REFUSED = 5,
    NO_SUCH_COMMAND = 7,
    NO_SUCH_ADDRESS_TYPE = 8,
};

/* --- lengths --- */

static size_t greeting_length(const uint8_t *m, size_t have)
{
    return have < 2 ? 2 : 2 + (size_t)m[1];
}

static size_t user_length(const uint8_t *m, size_t have)
{
    if (have < 2)
        return 2;
    const size_t name_end = 2 + (size_t)m[1];
    return have <= name_end ? name_end + 1 : name_end + 1 + m[name_end];
}

/* A type that nobody knows has no more bytes: it is refused by then. */
static size_t request_length(const uint8_t *m, size_t have)
{
    if (have < 5)
        return 5;
    switch (m[3]) {
    case IPV4:
        return 4 + 4 + 2;
    case IPV6:
        return 4 + 16 + 2;
    case NAME:
        return 4 + 1 + (size_t)m[4] + 2;
    default:
        return 5;
    }
}

static size_t message_length(const struct tt_socks *s)
{
    switch (s->stage) {
    case TT_SOCKS_GREETING:
        return greeting_length(s->message, s->have);
    case TT_SOCKS_USER:
        return user_length(s->message, s->have);
    case TT_SOCKS_REQUEST:
        return request_length(s->message, s->have);
    case TT_SOCKS_DONE:
    case TT_SOCKS_FAILED:
    default:
        return s->have;
    }
}

size_t tt_socks_missing(const struct tt_socks *s)
{
    return message_length(s) - s->have;
}

/* --- replies --- */

static void write_reply(uint8_t reply[TT_SOCKS_REPLY], enum reply_code code)
{
    memset(reply, 0, TT_SOCKS_REPLY);
    reply[0] = VERSION;
    reply[1] = (uint8_t)code;
    reply[3] = IPV4; /* 0.0.0.0:0: where we connected from is no business of the program's */
}

void tt_socks_success(uint8_t reply[TT_SOCKS_REPLY])
{
    write_reply(reply, SUCCEEDED);
}

void tt_socks_answer(uint8_t reply[TT_SOCKS_REPLY], uint32_t code)
{
    static const uint8_t codes[] = {
        [TT_RESET_NONE] = GENERAL_FAILURE,         [TT_RESET_REFUSED] = REFUSED,
        [TT_RESET_UNREACHABLE] = HOST_UNREACHABLE, [TT_RESET_NO_SUCH_NAME] = HOST_UNREACHABLE,
        [TT_RESET_NOT_ALLOWED] = NOT_ALLOWED,      [TT_RESET_BY_PROGRAM] = GENERAL_FAILURE,
        [TT_RESET_LIMIT] = GENERAL_FAILURE,
    };
    write_reply(reply,
                (enum reply_code)(code < sizeof codes ? codes[code] : (uint8_t)GENERAL_FAILURE));
}

static void reply_two(struct tt_socks *s, uint8_t first, uint8_t second)
{
    s->reply[0] = first;
    s->reply[1] = second;
    s->reply_len = 2;
}

static void fail(struct tt_socks *s, enum reply_code code)
{
    write_reply(s->reply, code);
    s->reply_len = TT_SOCKS_REPLY;
    s->stage = TT_SOCKS_FAILED;
}

/* --- messages --- */

static void go_on(struct tt_socks *s, enum tt_socks_stage stage)
{
    s->stage = stage;
    s->have = 0;
}

/* Another protocol gets no reply: it would not understand it. */
static bool is_version(struct tt_socks *s, uint8_t version)
{
    if (s->message[0] == version)
        return true;
    s->stage = TT_SOCKS_FAILED;
    return false;
}

static void greet(struct tt_socks *s)
{
    const uint8_t *methods = s->message + 2;
    const size_t count = s->message[1];
    if (memchr(methods, NO_AUTHENTICATION, count)) {
        reply_two(s, VERSION, NO_AUTHENTICATION);
        go_on(s, TT_SOCKS_REQUEST);
    } else if (memchr(methods, USER_AND_PASSWORD, count)) {
        reply_two(s, VERSION, USER_AND_PASSWORD);
        go_on(s, TT_SOCKS_USER);
    } else {
        reply_two(s, VERSION, NO_METHOD);
        s->stage = TT_SOCKS_FAILED;
    }
}

static void take_target(struct tt_socks *s)
{
    const uint8_t *address = s->message + 4;
    uint8_t header[TT_TARGET_MAX];
    struct tt_target *t = &s->target;
    *t = (struct tt_target){.kind = TT_TARGET_HOST_PORT,
                            .port = tt_get_be16(s->message + s->have - 2)};
    if (s->message[3] == NAME) {
        if (address[0] < sizeof t->host)
            memcpy(t->host, address + 1, address[0]);
        if (memchr(t->host, '\0', address[0])) {
            fail(s, HOST_UNREACHABLE);
            return;
        }
    } else {
        (void)inet_ntop(s->message[3] == IPV4 ? AF_INET : AF_INET6, address, t->host,
                        sizeof t->host);
    }
    if (t->port == 0 || tt_target_write(header, t) == 0)
        fail(s, HOST_UNREACHABLE); /* no name that could be one */
    else
        s->stage = TT_SOCKS_DONE;
}

static void request(struct tt_socks *s)
{
    const uint8_t type = s->message[3];
    if (s->message[1] != CONNECT)
        fail(s, NO_SUCH_COMMAND);
    else if (type != IPV4 && type != NAME && type != IPV6)
        fail(s, NO_SUCH_ADDRESS_TYPE);
    else
        take_target(s);
}

void tt_socks_came(struct tt_socks *s, size_t len)
{
    s->have += len;
    s->reply_len = 0;
    if (s->have == 0 || !is_version(s, s->stage == TT_SOCKS_USER ? USER_VERSION : VERSION) ||
        tt_socks_missing(s) > 0)
        return;
    if (s->stage == TT_SOCKS_GREETING) {
        greet(s);
    } else if (s->stage == TT_SOCKS_USER) {
        reply_two(s, USER_VERSION, 0);
        go_on(s, TT_SOCKS_REQUEST);
    } else if (s->stage == TT_SOCKS_REQUEST) {
        request(s);
    }
}
