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

/* Of two lengths the smaller. */
static inline uint32_t tt_min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Fixed-width fields at p; the caller has checked that they are there. Copied as a whole and turned
 * round where the machine wants it: put together byte by byte, compilers make 60 instructions of a
 * header that is 8.
 */
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define TT_LE16(v) __builtin_bswap16(v)
#define TT_LE32(v) __builtin_bswap32(v)
#define TT_LE64(v) __builtin_bswap64(v)
#define TT_BE16(v) (v)
#define TT_BE32(v) (v)
#define TT_BE64(v) (v)
#else
#define TT_LE16(v) (v)
#define TT_LE32(v) (v)
#define TT_LE64(v) (v)
#define TT_BE16(v) __builtin_bswap16(v)
#define TT_BE32(v) __builtin_bswap32(v)
#define TT_BE64(v) __builtin_bswap64(v)
#endif

static inline uint16_t tt_get_be16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return TT_BE16(v);
}

static inline uint32_t tt_get_be32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return TT_BE32(v);
}

static inline uint64_t tt_get_be64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return TT_BE64(v);
}

static inline uint16_t tt_get_le16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return TT_LE16(v);
}

static inline uint32_t tt_get_le32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return TT_LE32(v);
}

static inline uint64_t tt_get_le64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return TT_LE64(v);
}

static inline void tt_put_be16(uint8_t *p, uint16_t v)
{
    v = TT_BE16(v);
    memcpy(p, &v, sizeof v);
}

static inline void tt_put_be32(uint8_t *p, uint32_t v)
{
    v = TT_BE32(v);
    memcpy(p, &v, sizeof v);
}

static inline void tt_put_be64(uint8_t *p, uint64_t v)
{
    v = TT_BE64(v);
    memcpy(p, &v, sizeof v);
}

static inline void tt_put_le16(uint8_t *p, uint16_t v)
{
    v = TT_LE16(v);
    memcpy(p, &v, sizeof v);
}

static inline void tt_put_le32(uint8_t *p, uint32_t v)
{
    v = TT_LE32(v);
    memcpy(p, &v, sizeof v);
}

static inline void tt_put_le64(uint8_t *p, uint64_t v)
{
    v = TT_LE64(v);
    memcpy(p, &v, sizeof v);
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

static inline uint32_t tt_read_be32(struct tt_reader *r)
{
    const uint8_t *p = tt_read_bytes(r, 4);
    return p ? tt_get_be32(p) : 0;
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
