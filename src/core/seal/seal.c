#include "core/seal/seal.h"

#include <turbotunnel/error.h>

int tt_sealer_init(struct tt_sealer *s, const struct tt_random *random,
                   uint64_t (*wall_s)(void *ctx), void *wall_ctx)
{
    *s = (struct tt_sealer){.random = *random, .wall_s = wall_s, .wall_ctx = wall_ctx};
    return tt_crypto_new(&s->crypto);
}

void tt_sealer_dispose(struct tt_sealer *s)
{
    tt_gather_reset(&s->plain);
    tt_crypto_free(s->crypto);
    s->crypto = NULL;
}

static uint32_t get_be24(const uint8_t *p)
{
    return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

static void put_be24(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 16);
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)v;
}

bool tt_sealed_header_read(struct tt_sealed_header *h, struct tt_span packet)
{
    if (packet.len < TT_SEALED_OVERHEAD || packet.ptr[0] != TT_SEALED_DATA)
        return false;
    h->carrier = get_be24(packet.ptr + 1);
    h->counter = tt_get_be32(packet.ptr + 4);
    return true;
}

int tt_sealed_data_write(struct tt_sealer *s, const uint8_t key[TT_KEY_LEN],
                         const struct tt_sealed_header *h, uint8_t kind, uint8_t *room,
                         uint32_t len)
{
    room[0] = TT_SEALED_DATA;
    put_be24(room + 1, h->carrier);
    tt_put_be32(room + 4, h->counter);
    room[TT_SEALED_DATA_HEADER] = kind;
    return tt_crypto_seal(s->crypto, key, h->counter, tt_span_of(room, TT_SEALED_DATA_HEADER),
                          room + TT_SEALED_DATA_HEADER, (size_t)len + 1);
}

/* The length of the padding stands in the last two bytes, and does not count them. */
static int take_off_padding(struct tt_span *plain)
{
    if (plain->len < 3)
        return TT_E_PROTO;
    const uint32_t padding = tt_get_be16(plain->ptr + plain->len - 2) + 2u;
    if (padding > plain->len - 1)
        return TT_E_PROTO;
    plain->len -= padding;
    return TT_OK;
}

/* What came is ours to change: it was read for this session alone. */
static uint8_t *writable(struct tt_span packet)
{
    return (uint8_t *)packet.ptr;
}

int tt_sealed_data_read(struct tt_sealer *s, const uint8_t key[TT_KEY_LEN],
                        const struct tt_sealed_header *h, struct tt_span packet,
                        struct tt_span *plain)
{
    uint8_t *const bytes = writable(packet) + TT_SEALED_DATA_HEADER;
    const size_t len = packet.len - TT_SEALED_DATA_HEADER;
    const int err = tt_crypto_open(s->crypto, key, h->counter,
                                   tt_span_of(packet.ptr, TT_SEALED_DATA_HEADER), bytes, len);
    if (err)
        return err;
    *plain = tt_span_of(bytes, len - TT_TAG_LEN);
    if (!(bytes[0] & TT_SEALED_PADDED))
        return TT_OK;
    bytes[0] &= (uint8_t)~TT_SEALED_PADDED;
    return take_off_padding(plain);
}
