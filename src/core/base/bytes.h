/* bytes.h - spans of bytes, and cursors that check every read and write.
 *
 * A reader fails once and stays failed: read every field, then ask. Nothing else in the core does
 * pointer arithmetic on bytes that came from outside. One statement a field: C does not order the
 * expressions of an initializer list.
 */
#ifndef TT_CORE_BASE_BYTES_H
#define TT_CORE_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Borrowed bytes. Passed by value, never freed through. */
struct tt_span {
    const uint8_t *ptr;
    size_t len;
};

static inline struct tt_span tt_span_of(const void *ptr, size_t len)
{
    return (struct tt_span){(const uint8_t *)ptr, len};
}

/* Drops n bytes from the front; n is at most s->len. */
static inline void tt_span_skip(struct tt_span *s, size_t n)
{
    s->ptr += n;
    s->len -= n;
}

/* Fixed-width fields at p; the caller has checked that they are there. */
static inline uint16_t tt_get_be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint16_t tt_get_le16(const uint8_t *p)
{
    return (uint16_t)(p[1] << 8 | p[0]);
}

static inline uint32_t tt_get_le32(const uint8_t *p)
{
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static inline uint64_t tt_get_le64(const uint8_t *p)
{
    return (uint64_t)tt_get_le32(p + 4) << 32 | tt_get_le32(p);
}

static inline void tt_put_be16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void tt_put_le16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline void tt_put_le32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
}

struct tt_reader {
    const uint8_t *pos;
    const uint8_t *end;
    bool failed;
};

static inline struct tt_reader tt_reader_over(struct tt_span s)
{
    return (struct tt_reader){.pos = s.ptr, .end = s.ptr + s.len, .failed = false};
}

static inline size_t tt_reader_left(const struct tt_reader *r)
{
    return r->failed ? 0 : (size_t)(r->end - r->pos);
}

/* The next n bytes, or NULL. */
static inline const uint8_t *tt_read_bytes(struct tt_reader *r, size_t n)
{
    if (r->failed || (size_t)(r->end - r->pos) < n) {
        r->failed = true;
        return NULL;
    }
    r->pos += n;
    return r->pos - n;
}

static inline uint8_t tt_read_u8(struct tt_reader *r)
{
    const uint8_t *p = tt_read_bytes(r, 1);
    return p ? p[0] : 0;
}

static inline uint16_t tt_read_be16(struct tt_reader *r)
{
    const uint8_t *p = tt_read_bytes(r, 2);
    return p ? tt_get_be16(p) : 0;
}

static inline uint16_t tt_read_le16(struct tt_reader *r)
{
    const uint8_t *p = tt_read_bytes(r, 2);
    return p ? tt_get_le16(p) : 0;
}

static inline uint32_t tt_read_le32(struct tt_reader *r)
{
    const uint8_t *p = tt_read_bytes(r, 4);
    return p ? tt_get_le32(p) : 0;
}

#endif
