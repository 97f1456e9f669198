#include <string.h>

#include <turbotunnel/error.h>

#include "tunnel/target.h"

#define PREFIX 2 /* kind and length */

size_t tt_target_missing(const uint8_t *header, size_t have)
{
    if (have < PREFIX)
        return PREFIX - have;
    return PREFIX + (size_t)header[1] - have;
}

static bool printable(const uint8_t *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] <= 0x20 || text[i] >= 0x7f)
            return false;
    return true;
}

/* The rest is a host. */
static int take_host(struct tt_target *t, struct tt_reader *r)
{
    const size_t len = tt_reader_left(r);
    const uint8_t *text = tt_read_bytes(r, len);
    if (r->failed || len >= sizeof t->host || !printable(text, len))
        return TT_E_PROTO;
    memcpy(t->host, text, len);
    t->host[len] = '\0';
    return len == 0 && t->kind == TT_TARGET_HOST_PORT ? TT_E_PROTO : TT_OK;
}

static bool has_number(enum tt_target_kind kind)
{
    return kind == TT_TARGET_LISTEN || kind == TT_TARGET_ARRIVED;
}

static bool has_host(enum tt_target_kind kind)
{
    return kind == TT_TARGET_HOST_PORT || kind == TT_TARGET_LISTEN;
}

int tt_target_parse(struct tt_target *out, struct tt_span header)
{
    struct tt_reader r = tt_reader_over(header);
    struct tt_target t = {.number = 0};
    const uint8_t kind = tt_read_u8(&r);
    const uint8_t len = tt_read_u8(&r);

    if (r.failed || tt_reader_left(&r) != len || kind < TT_TARGET_FIXED || kind > TT_TARGET_PROBE)
        return TT_E_PROTO;
    t.kind = (enum tt_target_kind)kind;
    if (has_number(t.kind))
        t.number = tt_read_be16(&r);
    if (has_host(t.kind)) {
        t.port = tt_read_be16(&r);
        const int err = take_host(&t, &r);
        if (err)
            return err;
    }
    if (t.kind == TT_TARGET_PROBE) {
        t.up = tt_read_be32(&r);
        t.down = tt_read_be32(&r);
    }
    if (r.failed || tt_reader_left(&r) > 0)
        return TT_E_PROTO;
    *out = t;
    return TT_OK;
}

size_t tt_target_write(uint8_t header[TT_TARGET_MAX], const struct tt_target *t)
{
    const size_t host_len = has_host(t->kind) ? strlen(t->host) : 0;
    uint8_t *at = header + PREFIX;

    if (has_number(t->kind)) {
        tt_put_be16(at, t->number);
        at += 2;
    }
    if (has_host(t->kind)) {
        tt_put_be16(at, t->port);
        at += 2;
    }
    if (t->kind == TT_TARGET_PROBE) {
        tt_put_be32(at, t->up);
        tt_put_be32(at + 4, t->down);
        at += 8;
    }
    const size_t len = (size_t)(at - header) - PREFIX + host_len;
    if (len > UINT8_MAX || !printable((const uint8_t *)t->host, host_len) ||
        (host_len == 0 && t->kind == TT_TARGET_HOST_PORT))
        return 0;
    memcpy(at, t->host, host_len);
    header[0] = (uint8_t)t->kind;
    header[1] = (uint8_t)len;
    return PREFIX + len;
}
