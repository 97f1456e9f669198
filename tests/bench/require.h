/* require.h - what a program that counts takes for granted. When it does not hold, the program
 * ends: a count of work that was not done would look like a good one.
 */
#ifndef TESTS_BENCH_REQUIRE_H
#define TESTS_BENCH_REQUIRE_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static inline void require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "count: %s\n", what);
        exit(1);
    }
}

#endif
