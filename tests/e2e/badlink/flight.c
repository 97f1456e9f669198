#include "flight.h"

#include <stdlib.h>

#define FIRST_CAPACITY 256

static bool is_before(const struct tt_bad_packet *a, const struct tt_bad_packet *b)
{
    if (a->due_ns != b->due_ns)
        return a->due_ns < b->due_ns;
    return a->number < b->number;
}

static bool make_room(struct tt_bad_flight *flight)
{
    if (flight->count < flight->capacity)
        return true;
    const size_t capacity = flight->capacity ? 2 * flight->capacity : FIRST_CAPACITY;
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): it is pointers that are in the heap */
    struct tt_bad_packet **heap = reallocarray(flight->heap, capacity, sizeof *heap);
    if (!heap)
        return false;
    flight->heap = heap;
    flight->capacity = capacity;
    return true;
}

bool tt_bad_flight_add(struct tt_bad_flight *flight, struct tt_bad_packet *packet)
{
    if (!make_room(flight))
        return false;
    size_t at = flight->count++;
    while (at > 0) {
        const size_t parent = (at - 1) / 2;
        if (!is_before(packet, flight->heap[parent]))
            break;
        flight->heap[at] = flight->heap[parent];
        at = parent;
    }
    flight->heap[at] = packet;
    return true;
}

uint64_t tt_bad_flight_next_ns(const struct tt_bad_flight *flight)
{
    return flight->count ? flight->heap[0]->due_ns : TT_BAD_NEVER;
}

/* Puts the packet where the top was, or as deep below it as it belongs. */
static void sink(struct tt_bad_flight *flight, struct tt_bad_packet *packet)
{
    size_t at = 0;

    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= flight->count)
            break;
        if (child + 1 < flight->count && is_before(flight->heap[child + 1], flight->heap[child]))
            child++;
        if (!is_before(flight->heap[child], packet))
            break;
        flight->heap[at] = flight->heap[child];
        at = child;
    }
    flight->heap[at] = packet;
}

struct tt_bad_packet *tt_bad_flight_take(struct tt_bad_flight *flight)
{
    if (flight->count == 0)
        return NULL;
    struct tt_bad_packet *top = flight->heap[0];
    flight->count--;
    if (flight->count > 0)
        sink(flight, flight->heap[flight->count]);
    return top;
}

void tt_bad_flight_dispose(struct tt_bad_flight *flight)
{
    for (size_t i = 0; i < flight->count; i++)
        free(flight->heap[i]);
    free(flight->heap);
    *flight = (struct tt_bad_flight){0};
}
