#include "core/base/siphash.h"

#include <stddef.h>

struct state {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate_left(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

/* The names, shifts and order of the paper's figure 2.1. */
static inline void sip_round(struct state *s)
{
    s->v0 += s->v1;
    s->v1 = rotate_left(s->v1, 13) ^ s->v0;
    s->v0 = rotate_left(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotate_left(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotate_left(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotate_left(s->v1, 17) ^ s->v2;
    s->v2 = rotate_left(s->v2, 32);
}

static inline struct state start(const uint8_t key[TT_SIPHASH_KEY])
{
    const uint64_t k0 = tt_get_le64(key);
    const uint64_t k1 = tt_get_le64(key + 8);
    return (struct state){
        .v0 = k0 ^ UINT64_C(0x736f6d6570736575),
        .v1 = k1 ^ UINT64_C(0x646f72616e646f6d),
        .v2 = k0 ^ UINT64_C(0x6c7967656e657261),
        .v3 = k1 ^ UINT64_C(0x7465646279746573),
    };
}

static inline void take_word(struct state *s, uint64_t word)
{
    s->v3 ^= word;
    sip_round(s);
    sip_round(s);
    s->v0 ^= word;
}

static inline uint64_t finish(struct state *s)
{
    s->v2 ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(s);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

uint64_t tt_siphash(const uint8_t key[TT_SIPHASH_KEY], struct tt_span in)
{
    struct state s = start(key);
    /* The last word: what is left over, and the length modulo 256 in the top byte. */
    uint64_t last = (uint64_t)in.len << 56;

    for (; in.len >= 8; tt_span_skip(&in, 8))
        take_word(&s, tt_get_le64(in.ptr));
    for (size_t i = 0; i < in.len; i++)
        last |= (uint64_t)in.ptr[i] << (8 * i);
    take_word(&s, last);
    return finish(&s);
}

uint64_t tt_siphash_u64(const uint8_t key[TT_SIPHASH_KEY], uint64_t v)
{
    struct state s = start(key);
    take_word(&s, v);
    take_word(&s, UINT64_C(8) << 56);
    return finish(&s);
}
