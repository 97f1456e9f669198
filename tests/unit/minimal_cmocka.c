#include "minimal_cmocka.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static jmp_buf out_of_test;
static bool in_test;

void minimal_fail(const char *file, int line, const char *format, ...)
{
    va_list args;
    fprintf(stderr, "%s:%d: ", file, line);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n");
    if (!in_test)
        exit(1);
    longjmp(out_of_test, 1);
}

void minimal_int(const char *file, int line, const char *text, uintmax_t a, uintmax_t b, int equal)
{
    if ((a == b) != (equal != 0))
        minimal_fail(file, line, "%s: %#jx, %#jx", text, a, b);
}

void minimal_string(const char *file, int line, const char *a, const char *b, int equal)
{
    if ((strcmp(a, b) == 0) != (equal != 0))
        minimal_fail(file, line, "\"%s\" %s \"%s\"", a, equal ? "!=" : "==", b);
}

void minimal_memory(const char *file, int line, const void *a, const void *b, size_t size,
                    int equal)
{
    if ((memcmp(a, b, size) == 0) != (equal != 0))
        minimal_fail(file, line, "%zu bytes of memory are %s", size,
                     equal ? "not the same" : "the same");
}

void minimal_range(const char *file, int line, const char *text, uintmax_t value, uintmax_t min,
                   uintmax_t max, int inside)
{
    if ((value >= min && value <= max) != (inside != 0))
        minimal_fail(file, line, "%s is %ju, which is %s %ju to %ju", text, value,
                     inside ? "outside" : "inside", min, max);
}

/* Whether the test got to its end. */
static bool run_one(const struct CMUnitTest *t)
{
    void *state = NULL;
    in_test = true;
    if (setjmp(out_of_test) != 0) {
        in_test = false;
        return false;
    }
    if (t->setup && t->setup(&state) != 0)
        minimal_fail(t->name, 0, "the setup failed");
    t->test(&state);
    if (t->teardown && t->teardown(&state) != 0)
        minimal_fail(t->name, 0, "the teardown failed");
    in_test = false;
    return true;
}

int minimal_run(const struct CMUnitTest *tests, size_t count, int (*setup)(void **state),
                int (*teardown)(void **state))
{
    void *state = NULL;
    int failed = 0;

    if (setup && setup(&state) != 0)
        minimal_fail("setup", 0, "the setup of all tests failed");
    for (size_t i = 0; i < count; i++) {
        const bool good = run_one(&tests[i]);
        printf("%s %s\n", good ? "[       OK ]" : "[  FAILED  ]", tests[i].name);
        failed += !good;
    }
    if (teardown && teardown(&state) != 0)
        minimal_fail("teardown", 0, "the teardown of all tests failed");
    printf("tests: %zu passed, %d failed\n", count - (size_t)failed, failed);
    return failed;
}
