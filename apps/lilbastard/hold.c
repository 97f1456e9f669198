#include "hold.h"

#include "clock.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* Bytes that arrived in the same step, and so are due together. */
struct tt_lil_mark {
    uint64_t due_us;
    size_t bytes;
};

#define MARKS       512
#define MIN_STEP_US 1000

/* What more is idle goes back to the system. */
#define MAX_IDLE_BYTES (32u << 20)

static uint8_t *pool_take(struct tt_lil_pool *pool)
{
    void *buffer = pool->idle;

    if (!buffer) {
        size_t bytes = pool->buffer_bytes;
        return malloc(bytes > sizeof(void *) ? bytes : sizeof(void *));
    }
    memcpy(&pool->idle, buffer, sizeof pool->idle);
    pool->idle_count--;
    return buffer;
}

static void pool_give(struct tt_lil_pool *pool, void *buffer)
{
    if (pool->idle_count >= MAX_IDLE_BYTES / pool->buffer_bytes) {
        free(buffer);
        return;
    }
    memcpy(buffer, &pool->idle, sizeof pool->idle);
    pool->idle = buffer;
    pool->idle_count++;
}

void tt_lil_pool_dispose(struct tt_lil_pool *pool)
{
    while (pool->idle)
        free(pool_take(pool));
}

int tt_lil_hold_init(struct tt_lil_hold *hold, struct tt_lil_pool *pool, uint64_t delay_us)
{
    *hold = (struct tt_lil_hold){.pool = pool, .delay_us = delay_us};
    if (delay_us == 0)
        return 0;
    /* What is held spans the delay and a step at either end, so it needs fewer than MARKS marks. */
    hold->step_us = delay_us / (MARKS - 4) + 1;
    if (hold->step_us < MIN_STEP_US)
        hold->step_us = MIN_STEP_US;
    hold->marks = malloc(MARKS * sizeof *hold->marks);
    return hold->marks ? 0 : -ENOMEM;
}

void tt_lil_hold_dispose(struct tt_lil_hold *hold)
{
    if (hold->ring)
        pool_give(hold->pool, hold->ring);
    free(hold->marks);
    *hold = (struct tt_lil_hold){0};
}

size_t tt_lil_hold_room(const struct tt_lil_hold *hold)
{
    return hold->pool->buffer_bytes - hold->held_bytes;
}

/* When what arrives at now_us is due: never before its delay has passed. */
static uint64_t due_time(const struct tt_lil_hold *hold, uint64_t now_us)
{
    const uint64_t due_us = now_us + hold->delay_us + hold->step_us - 1;
    return due_us - due_us % hold->step_us;
}

uint64_t tt_lil_hold_arrival_due_us(const struct tt_lil_hold *hold)
{
    return hold->delay_us > 0 ? due_time(hold, tt_lil_now_us()) : 0;
}

size_t tt_lil_hold_due_bytes(struct tt_lil_hold *hold, uint64_t now_us)
{
    while (hold->mark_count > 0 && hold->marks[hold->first_mark].due_us <= now_us) {
        hold->due_bytes += hold->marks[hold->first_mark].bytes;
        hold->first_mark = (hold->first_mark + 1) % MARKS;
        hold->mark_count--;
    }
    return hold->due_bytes;
}

uint64_t tt_lil_hold_next_due_us(const struct tt_lil_hold *hold)
{
    return hold->mark_count > 0 ? hold->marks[hold->first_mark].due_us : UINT64_MAX;
}

/* Notes that bytes arrived now. */
static void mark_arrival(struct tt_lil_hold *hold, size_t bytes)
{
    if (hold->delay_us == 0) {
        hold->due_bytes += bytes;
        return;
    }
    const uint64_t now_us = tt_lil_now_us();
    tt_lil_hold_due_bytes(hold, now_us); /* makes room among the marks */
    const uint64_t due_us = due_time(hold, now_us);
    const size_t last = (hold->first_mark + hold->mark_count - 1) % MARKS;
    if (hold->mark_count > 0 && hold->marks[last].due_us == due_us) {
        hold->marks[last].bytes += bytes;
        return;
    }
    assert(hold->mark_count < MARKS); /* see tt_lil_hold_init() */
    hold->marks[(hold->first_mark + hold->mark_count) % MARKS] =
        (struct tt_lil_mark){.due_us = due_us, .bytes = bytes};
    hold->mark_count++;
}

/* Describes `bytes` bytes of the ring from `at` on, in one piece or two. Returns how many. */
static int ring_pieces(const struct tt_lil_hold *hold, size_t at, size_t bytes,
                       struct iovec pieces[2])
{
    const size_t size = hold->pool->buffer_bytes;
    at %= size;
    const size_t until_end = size - at;
    pieces[0] = (struct iovec){hold->ring + at, bytes < until_end ? bytes : until_end};
    if (bytes <= until_end)
        return 1;
    pieces[1] = (struct iovec){hold->ring, bytes - until_end};
    return 2;
}

static void give_back_if_empty(struct tt_lil_hold *hold)
{
    if (hold->held_bytes > 0)
        return;
    pool_give(hold->pool, hold->ring);
    hold->ring = NULL;
    hold->start_bytes = 0;
}

ssize_t tt_lil_hold_receive(struct tt_lil_hold *hold, int fd)
{
    struct iovec pieces[2];

    if (!hold->ring)
        hold->ring = pool_take(hold->pool);
    if (!hold->ring)
        return -ENOMEM;
    const size_t room = tt_lil_hold_room(hold);
    const int count = ring_pieces(hold, hold->start_bytes + hold->held_bytes, room, pieces);
    ssize_t n = readv(fd, pieces, count);
    if (n < 0)
        n = -errno;
    if (n > 0) {
        hold->held_bytes += (size_t)n;
        mark_arrival(hold, (size_t)n);
    }
    give_back_if_empty(hold);
    return n;
}

int tt_lil_hold_newest(const struct tt_lil_hold *hold, size_t bytes, struct iovec pieces[2])
{
    return ring_pieces(hold, hold->start_bytes + hold->held_bytes - bytes, bytes, pieces);
}

ssize_t tt_lil_hold_send(struct tt_lil_hold *hold, int fd, size_t max_bytes)
{
    struct iovec pieces[2];
    const size_t bytes = hold->due_bytes < max_bytes ? hold->due_bytes : max_bytes;
    const struct msghdr message = {
        .msg_iov = pieces,
        .msg_iovlen = (size_t)ring_pieces(hold, hold->start_bytes, bytes, pieces),
    };
    const ssize_t n = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0)
        return -errno;
    hold->start_bytes = (hold->start_bytes + (size_t)n) % hold->pool->buffer_bytes;
    hold->held_bytes -= (size_t)n;
    hold->due_bytes -= (size_t)n;
    give_back_if_empty(hold);
    return n;
}
