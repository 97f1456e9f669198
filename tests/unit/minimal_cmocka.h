/* minimal_cmocka.h - a stand-in for the few macros of cmocka that our unit tests use, for machines
 * that have none. Same names, same arguments; a failed assertion ends the test, not the program.
 *
 * The last line it prints is "tests: N passed, N failed"; scripts/check-portable reads it.
 */
#ifndef TESTS_UNIT_MINIMAL_CMOCKA_H
#define TESTS_UNIT_MINIMAL_CMOCKA_H

#include <stddef.h>
#include <stdint.h>

struct CMUnitTest {
    const char *name;
    void (*test)(void **state);
    int (*setup)(void **state);
    int (*teardown)(void **state);
};

#if defined(__GNUC__)
#define MINIMAL_NORETURN      __attribute__((noreturn))
#define MINIMAL_PRINTF(at, n) __attribute__((format(printf, at, n)))
#else
#define MINIMAL_NORETURN
#define MINIMAL_PRINTF(at, n)
#endif

/* Prints where and what, and leaves the test. */
MINIMAL_NORETURN MINIMAL_PRINTF(3, 4) void minimal_fail(const char *file, int line,
                                                        const char *format, ...);

/* Runs all; returns how many failed, as cmocka does. */
int minimal_run(const struct CMUnitTest *tests, size_t count, int (*setup)(void **state),
                int (*teardown)(void **state));

/* The comparisons. Each leaves the test unless what its name says holds. */
void minimal_int(const char *file, int line, const char *text, uintmax_t a, uintmax_t b, int equal);
void minimal_string(const char *file, int line, const char *a, const char *b, int equal);
void minimal_memory(const char *file, int line, const void *a, const void *b, size_t size,
                    int equal);
void minimal_range(const char *file, int line, const char *text, uintmax_t value, uintmax_t min,
                   uintmax_t max, int inside);

#define MINIMAL_HERE   __FILE__, __LINE__
#define MINIMAL_INT(a) ((uintmax_t)(a))
#define MINIMAL_PTR(p) ((uintmax_t)(uintptr_t)(p))

#define assert_int_equal(a, b)                                                                     \
    minimal_int(MINIMAL_HERE, #a " == " #b, MINIMAL_INT(a), MINIMAL_INT(b), 1)
#define assert_int_not_equal(a, b)                                                                 \
    minimal_int(MINIMAL_HERE, #a " != " #b, MINIMAL_INT(a), MINIMAL_INT(b), 0)
#define assert_ptr_equal(a, b)                                                                     \
    minimal_int(MINIMAL_HERE, #a " == " #b, MINIMAL_PTR(a), MINIMAL_PTR(b), 1)
#define assert_ptr_not_equal(a, b)                                                                 \
    minimal_int(MINIMAL_HERE, #a " != " #b, MINIMAL_PTR(a), MINIMAL_PTR(b), 0)
#define assert_null(p)                   minimal_int(MINIMAL_HERE, #p " == NULL", MINIMAL_PTR(p), 0, 1)
#define assert_non_null(p)               minimal_int(MINIMAL_HERE, #p " != NULL", MINIMAL_PTR(p), 0, 0)
#define assert_true(c)                   minimal_int(MINIMAL_HERE, #c, (c) ? 1 : 0, 1, 1)
#define assert_false(c)                  minimal_int(MINIMAL_HERE, "not " #c, (c) ? 1 : 0, 0, 1)
#define assert_string_equal(a, b)        minimal_string(MINIMAL_HERE, a, b, 1)
#define assert_string_not_equal(a, b)    minimal_string(MINIMAL_HERE, a, b, 0)
#define assert_memory_equal(a, b, n)     minimal_memory(MINIMAL_HERE, a, b, n, 1)
#define assert_memory_not_equal(a, b, n) minimal_memory(MINIMAL_HERE, a, b, n, 0)
#define assert_in_range(v, min, max)                                                               \
    minimal_range(MINIMAL_HERE, #v, MINIMAL_INT(v), MINIMAL_INT(min), MINIMAL_INT(max), 1)
#define assert_not_in_range(v, min, max)                                                           \
    minimal_range(MINIMAL_HERE, #v, MINIMAL_INT(v), MINIMAL_INT(min), MINIMAL_INT(max), 0)
#define fail_msg(...) minimal_fail(MINIMAL_HERE, __VA_ARGS__)
#define fail()        minimal_fail(MINIMAL_HERE, "failed")

#define cmocka_unit_test(f)                                                                        \
    {                                                                                              \
#f, f, NULL, NULL                                                                          \
    }
#define cmocka_unit_test_setup(f, up)                                                              \
    {                                                                                              \
#f, f, up, NULL                                                                            \
    }
#define cmocka_unit_test_teardown(f, down)                                                         \
    {                                                                                              \
#f, f, NULL, down                                                                          \
    }
#define cmocka_unit_test_setup_teardown(f, up, down)                                               \
    {                                                                                              \
#f, f, up, down                                                                            \
    }
#define cmocka_run_group_tests(tests, up, down)                                                    \
    minimal_run(tests, sizeof(tests) / sizeof((tests)[0]), up, down)
#define cmocka_run_group_tests_name(name, tests, up, down)                                         \
    ((void)(name), cmocka_run_group_tests(tests, up, down))

#endif
