#include "core/seal/parameters.h"

#include <string.h>

#include <turbotunnel/error.h>

enum type {
    PADDING = 0,
    TIME = 3,
    INSTANCE = 4,
    RESUME = 5,
    STATE = 6,
};

/* From here up a type must be understood. */
#define FIRST_CRITICAL 128u

#define HEAD_LEN 2u

/* By type: the length of its value; 0: it is skipped. 1 and 2 are reserved. */
static const uint8_t length_of[] = {
    [TIME] = sizeof(uint64_t),
    [INSTANCE] = TT_INSTANCE_LEN,
    [RESUME] = TT_RESUME_LEN,
    [STATE] = 1,
};

static uint8_t *write_head(uint8_t *at, enum type type, uint32_t len)
{
    at[0] = (uint8_t)type;
    at[1] = (uint8_t)len;
    return at + HEAD_LEN;
}

static uint8_t *write_bytes(uint8_t *at, enum type type, const uint8_t *value)
{
    at = write_head(at, type, length_of[type]);
    memcpy(at, value, length_of[type]);
    return at + length_of[type];
}

/* What has a head cannot be shorter than that: one byte that is missing becomes two. */
static uint8_t *write_padding(uint8_t *at, uint32_t missing)
{
    const uint32_t len = missing > HEAD_LEN ? missing - HEAD_LEN : 0;
    at = write_head(at, PADDING, len);
    memset(at, 0, len);
    return at + len;
}

uint32_t tt_parameters_write(uint8_t out[TT_PARAMETERS_MAX], const struct tt_parameters *p,
                             uint32_t padded)
{
    uint8_t time[sizeof(uint64_t)];
    uint8_t *at = out;
    tt_put_be64(time, p->time_s);
    at = p->server ? write_bytes(at, INSTANCE, p->instance) : write_bytes(at, TIME, time);
    if (!p->server && p->has_resume)
        at = write_bytes(at, RESUME, p->resume);
    if (p->server && p->state != 0)
        at = write_bytes(at, STATE, &p->state);
    const uint32_t len = (uint32_t)(at - out);
    if (padded > len)
        at = write_padding(at, padded - len);
    return (uint32_t)(at - out);
}

static bool is_state(uint8_t state)
{
    return state >= TT_SEAL_KNOWN && state <= TT_SEAL_FULL;
}

/* The other message's are checked as well, and skipped. */
static bool is_of(bool server, uint8_t type)
{
    return server == (type == INSTANCE || type == STATE);
}

/* Takes one that is known, and of the right length. False: its value has no meaning. */
static bool take(struct tt_parameters *p, uint8_t type, const uint8_t *value)
{
    switch ((enum type)type) {
    case TIME:
        p->time_s = tt_get_be64(value);
        return true;
    case INSTANCE:
        memcpy(p->instance, value, TT_INSTANCE_LEN);
        return true;
    case RESUME:
        p->has_resume = true;
        memcpy(p->resume, value, TT_RESUME_LEN);
        return true;
    case STATE:
        p->state = value[0];
        return is_state(p->state);
    case PADDING:
        break;
    }
    return true;
}

/* Reads the next one; *seen has a bit for each known type. */
static bool read_one(struct tt_parameters *p, struct tt_reader *r, unsigned *seen)
{
    const uint8_t type = tt_read_u8(r);
    const uint8_t len = tt_read_u8(r);
    const uint8_t *value = tt_read_bytes(r, len);
    if (!value || type >= FIRST_CRITICAL)
        return false;
    if (type >= sizeof(length_of) || length_of[type] == 0)
        return true;
    if (len != length_of[type] || (*seen & 1u << type) != 0)
        return false;
    *seen |= 1u << type;
    return !is_of(p->server, type) || take(p, type, value);
}

int tt_parameters_read(struct tt_parameters *p, struct tt_span payload)
{
    struct tt_parameters q = {.server = p->server};
    unsigned seen = 0;
    if (payload.len == 0 || payload.len > TT_PARAMETERS_MAX)
        return TT_E_PROTO;
    struct tt_reader r = tt_reader_over(payload);
    while (tt_reader_left(&r) > 0)
        if (!read_one(&q, &r, &seen))
            return TT_E_PROTO;
    if ((seen & 1u << (p->server ? INSTANCE : TIME)) == 0)
        return TT_E_PROTO;
    *p = q;
    return TT_OK;
}
