#include "core/control.h"

#include <turbotunnel/error.h>

#define LATER_TYPES_THAT_END 0x80u

static uint32_t write_hello(uint8_t *out, const struct tt_control *c)
{
    out[1] = c->hello.version;
    tt_put_be16(out + 2, c->hello.max_packet);
    tt_put_be16(out + 4, c->hello.flags);
    tt_put_be32(out + 6, c->hello.carrier);
    return 10;
}

uint32_t tt_control_write(uint8_t out[TT_CONTROL_MAX], const struct tt_control *c)
{
    out[0] = (uint8_t)c->type;
    switch (c->type) {
    case TT_CONTROL_HELLO:
        return write_hello(out, c);
    case TT_CONTROL_PING:
    case TT_CONTROL_PONG:
        memcpy(out + 1, c->token, TT_CONTROL_TOKEN);
        return 1 + TT_CONTROL_TOKEN;
    case TT_CONTROL_CLOSE:
        out[1] = c->reason;
        return 2;
    case TT_CONTROL_STATE:
        tt_put_be32(out + 1, c->state.carrier);
        out[5] = c->state.state;
        return 6;
    case TT_CONTROL_LIMIT:
        tt_put_be32(out + 1, c->limit.bytes);
        tt_put_be16(out + 5, c->limit.seconds);
        return 7;
    }
    return 0;
}

static void read_token(struct tt_control *c, struct tt_reader *r)
{
    const uint8_t *token = tt_read_bytes(r, TT_CONTROL_TOKEN);
    if (token)
        memcpy(c->token, token, TT_CONTROL_TOKEN);
}

static void read_hello(struct tt_control *c, struct tt_reader *r)
{
    c->hello.version = tt_read_u8(r);
    c->hello.max_packet = tt_read_be16(r);
    c->hello.flags = tt_read_be16(r);
    c->hello.carrier = tt_read_be32(r);
}

static void read_body(struct tt_control *c, struct tt_reader *r)
{
    switch (c->type) {
    case TT_CONTROL_HELLO:
        read_hello(c, r);
        break;
    case TT_CONTROL_PING:
    case TT_CONTROL_PONG:
        read_token(c, r);
        break;
    case TT_CONTROL_CLOSE:
        c->reason = tt_read_u8(r);
        break;
    case TT_CONTROL_STATE:
        c->state.carrier = tt_read_be32(r);
        c->state.state = tt_read_u8(r);
        break;
    case TT_CONTROL_LIMIT:
        c->limit.bytes = tt_read_be32(r);
        c->limit.seconds = tt_read_be16(r);
        break;
    }
}

int tt_control_read(struct tt_control *c, struct tt_span packet)
{
    if (packet.len == 0)
        return TT_E_AGAIN;
    struct tt_reader r = tt_reader_over(packet);
    const uint8_t type = tt_read_u8(&r);
    if (type >= LATER_TYPES_THAT_END)
        return TT_E_PROTO;
    if (type < TT_CONTROL_HELLO || type > TT_CONTROL_LIMIT)
        return TT_E_AGAIN;
    struct tt_control read = {.type = (enum tt_control_type)type};
    read_body(&read, &r);
    if (r.failed)
        return TT_E_PROTO;
    *c = read;
    return TT_OK;
}
