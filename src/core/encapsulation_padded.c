#include "core/encapsulation_padded.h"

#include <string.h>

#include <turbotunnel/error.h>

/* Of a prefix's first byte, and of the ones after it. */
#define IS_DATA     0x80
#define FIRST_MORE  0x40
#define FIRST_BITS  0x3f
#define LATER_MORE  0x80
#define LATER_BITS  0x7f
#define LATER_SHIFT 7

/* The first lengths that need two and three bytes of prefix. */
#define TWO_BYTES   ((size_t)1 << 6)
#define THREE_BYTES ((size_t)1 << 13)

static size_t prefix_len_of(size_t len)
{
    return len < TWO_BYTES ? 1 : len < THREE_BYTES ? 2 : 3;
}

/* Writes a prefix of n bytes for len, which need not be the shortest one. */
static void write_prefix(uint8_t *out, size_t n, uint8_t kind, size_t len)
{
    const unsigned later = (unsigned)(n - 1);
    out[0] = (uint8_t)(kind | (later > 0 ? FIRST_MORE : 0) | (len >> (LATER_SHIFT * later)));
    for (unsigned i = 1; i <= later; i++) {
        const size_t bits = (len >> (LATER_SHIFT * (later - i))) & LATER_BITS;
        out[i] = (uint8_t)((i < later ? LATER_MORE : 0) | bits);
    }
}

static uint8_t take_byte(struct tt_span *in)
{
    const uint8_t byte = in->ptr[0];
    tt_span_skip(in, 1);
    return byte;
}

static int fail(struct tt_padded_decap *d)
{
    d->state = TT_PADDED_FAILED;
    return TT_E_TOO_LONG;
}

/* Goes on from a prefix that is whole. */
static int end_prefix(struct tt_padded_decap *d)
{
    if (d->state == TT_PADDED_PADDING_PREFIX) {
        d->state = d->len > 0 ? TT_PADDED_PADDING : TT_PADDED_START;
        return TT_OK;
    }
    if (d->len > d->max_packet)
        return fail(d);
    d->state = TT_PADDED_DATA;
    return TT_OK;
}

static int take_first_byte(struct tt_padded_decap *d, uint8_t byte)
{
    d->state = byte & IS_DATA ? TT_PADDED_DATA_PREFIX : TT_PADDED_PADDING_PREFIX;
    d->len = byte & FIRST_BITS;
    d->prefix_have = 1;
    return byte & FIRST_MORE ? TT_OK : end_prefix(d);
}

static int take_later_byte(struct tt_padded_decap *d, uint8_t byte)
{
    d->len = d->len << LATER_SHIFT | (byte & LATER_BITS);
    d->prefix_have++;
    if (!(byte & LATER_MORE))
        return end_prefix(d);
    return d->prefix_have < TT_PADDED_MAX_PREFIX ? TT_OK : fail(d);
}

static void skip_padding(struct tt_padded_decap *d, struct tt_span *in)
{
    const uint32_t n = in->len < d->len ? (uint32_t)in->len : d->len;
    tt_span_skip(in, n);
    d->len -= n;
    if (d->len == 0)
        d->state = TT_PADDED_START;
}

static int take_packet(struct tt_padded_decap *d, struct tt_span *in, struct tt_span *packet)
{
    int err = tt_packet_body_take(&d->body, d->len, in, packet);
    if (!err)
        d->state = TT_PADDED_START;
    return err;
}

/* Does what can be done in the present state. TT_E_AGAIN: nothing came out, but maybe will, now
 * or after more input.
 */
static int step(struct tt_padded_decap *d, struct tt_span *in, struct tt_span *packet)
{
    int err = TT_OK;
    switch (d->state) {
    case TT_PADDED_START:
        err = take_first_byte(d, take_byte(in));
        break;
    case TT_PADDED_DATA_PREFIX:
    case TT_PADDED_PADDING_PREFIX:
        err = take_later_byte(d, take_byte(in));
        break;
    case TT_PADDED_DATA:
        return take_packet(d, in, packet);
    case TT_PADDED_PADDING:
        skip_padding(d, in);
        break;
    case TT_PADDED_FAILED:
        return TT_E_TOO_LONG;
    }
    return err ? err : TT_E_AGAIN;
}

int tt_padded_prefix(uint8_t prefix[TT_PADDED_MAX_PREFIX], size_t *prefix_len, size_t len)
{
    if (len > TT_PADDED_MAX_PACKET)
        return TT_E_INVAL;
    *prefix_len = prefix_len_of(len);
    write_prefix(prefix, *prefix_len, IS_DATA, len);
    return TT_OK;
}

void tt_padded_padding(uint8_t *out, size_t n)
{
    while (n > 0) {
        const size_t chunk = n < TT_PADDED_MAX_PADDING_CHUNK ? n : TT_PADDED_MAX_PADDING_CHUNK;
        /* A chunk of 65 needs two bytes of prefix, though for a length of 63 one would do: 64
         * after one byte cannot be said.
         */
        const size_t prefix = chunk <= TWO_BYTES ? 1 : 2;
        write_prefix(out, prefix, 0, chunk - prefix);
        memset(out + prefix, 0, chunk - prefix);
        out += chunk;
        n -= chunk;
    }
}

size_t tt_padded_packet_room(size_t n)
{
    static const size_t longest[] = {TWO_BYTES - 1, THREE_BYTES - 1, TT_PADDED_MAX_PACKET};
    size_t room = 0;
    for (size_t i = 0; i < TT_PADDED_MAX_PREFIX && n > i; i++) {
        const size_t after_prefix = n - (i + 1);
        const size_t fits = after_prefix < longest[i] ? after_prefix : longest[i];
        room = fits > room ? fits : room;
    }
    return room;
}

int tt_padded_decap_init(struct tt_padded_decap *d, size_t max_packet, const struct tt_alloc *alloc)
{
    if (max_packet < 1 || max_packet > TT_PADDED_MAX_PACKET)
        return TT_E_INVAL;
    *d = (struct tt_padded_decap){.max_packet = max_packet, .state = TT_PADDED_START};
    tt_packet_body_init(&d->body, alloc);
    return TT_OK;
}

void tt_padded_decap_dispose(struct tt_padded_decap *d)
{
    tt_packet_body_release(&d->body);
}

int tt_padded_decap_next(struct tt_padded_decap *d, struct tt_span *in, struct tt_span *packet)
{
    if (d->state == TT_PADDED_START)
        tt_packet_body_release(&d->body); /* the packet given out last */
    int err = TT_E_AGAIN;
    /* A packet of length 0 comes out without any more input. */
    while (err == TT_E_AGAIN && (in->len > 0 || (d->state == TT_PADDED_DATA && d->len == 0)))
        err = step(d, in, packet);
    return err;
}

int tt_padded_decap_end(const struct tt_padded_decap *d)
{
    return d->state == TT_PADDED_START ? TT_OK : TT_E_TRUNCATED;
}
