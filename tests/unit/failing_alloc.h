/* failing_alloc.h - an allocator that counts, and that refuses one chosen allocation.
 *
 * To see every failure path of some code, run it again and again, refusing the first allocation,
 * then the second, and so on until a run needs fewer:
 *
 *     struct failing_alloc f = {.refused = true};
 *     for (size_t n = 0; f.refused; n++) {
 *         failing_alloc_init(&f, n);
 *         ... the code, with &f.alloc ...
 *         assert_int_equal(f.live, 0);
 *     }
 */
#ifndef TESTS_UNIT_FAILING_ALLOC_H
#define TESTS_UNIT_FAILING_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <turbotunnel/alloc.h>

#define FAIL_NEVER SIZE_MAX

struct failing_alloc {
    struct tt_alloc alloc; /* hand out its address; the struct must stay where it is */
    size_t fail_at;        /* the call that gets no memory, counted from 0; change it at will */
    size_t calls;          /* so far, refused ones included */
    bool refused;          /* fail_at was reached */
    size_t live;           /* blocks not yet given back */
    size_t live_bytes;
    size_t most_bytes; /* the largest value of live_bytes so far */
};

void failing_alloc_init(struct failing_alloc *f, size_t fail_at);

#endif
