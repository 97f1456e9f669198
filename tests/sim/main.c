/* sim - runs the simulated world of sim.h with random seeds.
 *
 *   sim [--trace] FIRST[-LAST]...
 *
 * Without a range: the seed TT_SEED, or TT_SEEDS (4000) of them: of plain sessions the first three
 * fifths, of sealed ones a fifth, of attacked ones the rest. One seed: also prints the digest of
 * its run; --trace: what happened, as JSON lines. The last line is `N seeds passed, N failed`. Exit
 * status: 0 all passed, 1 not, 2 bad usage.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim.h"

#define DEFAULT_SEEDS "4000"

static volatile uint64_t running_seed;

/* An assertion of the core says where, but not in which run. */
static void crashed(int signal_number)
{
    char text[64];
    int len =
        snprintf(text, sizeof text, "seed %" PRIu64 ": signal %d\n", running_seed, signal_number);
    if (len > 0 && write(STDERR_FILENO, text, (size_t)len) < 0)
        _exit(3);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static int usage(void)
{
    fputs("usage: sim [--trace] [FIRST[-LAST]]...\n", stderr);
    return 2;
}

static bool parse_range(const char *text, uint64_t *first, uint64_t *last)
{
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    *first = *last = strtoull(text, &end, 10);
    if (*end == '-' && end[1] >= '0' && end[1] <= '9')
        *last = strtoull(end + 1, &end, 10);
    return *end == '\0' && errno == 0 && *first <= *last && *last < UINT64_MAX;
}

/* What came of all that ran so far. */
struct tally {
    uint64_t passed, failed;
};

static void run(struct tally *t, uint64_t first, uint64_t last, FILE *trace)
{
    uint64_t digest = 0;
    for (uint64_t seed = first; seed <= last; seed++) {
        running_seed = seed;
        const bool passed = sim_run_seed(seed, trace, &digest);
        t->passed += passed;
        t->failed += !passed;
        if (first == last && passed)
            printf("seed %" PRIu64 ": digest %016" PRIx64 "\n", first, digest);
    }
}

/* So many that begin with that one. */
static void run_first(struct tally *t, uint64_t first, uint64_t count, FILE *trace)
{
    if (count > 0)
        run(t, first, first + count - 1, trace);
}

/* What the environment asks for; false: it makes no sense. */
static bool run_default(struct tally *t, FILE *trace)
{
    const char *seed = getenv("TT_SEED");
    const char *seeds = getenv("TT_SEEDS");
    uint64_t first, last;
    if (!parse_range(seed ? seed : seeds ? seeds : DEFAULT_SEEDS, &first, &last))
        return false;
    if (seed || first != last) {
        run(t, first, last, trace);
        return true;
    }
    const uint64_t fifth = last / 5;
    run_first(t, 1, last - 2 * fifth, trace);
    run_first(t, SIM_SEALED_SEEDS, fifth, trace);
    run_first(t, SIM_ATTACKED_SEEDS, fifth, trace);
    return true;
}

static bool run_ranges(struct tally *t, char **ranges, FILE *trace)
{
    uint64_t first, last;
    for (char **range = ranges; *range; range++)
        if (!parse_range(*range, &first, &last))
            return false;
    for (char **range = ranges; *range; range++)
        if (parse_range(*range, &first, &last))
            run(t, first, last, trace);
    return true;
}

int main(int argc, char **argv)
{
    const bool trace = argc > 1 && strcmp(argv[1], "--trace") == 0;
    FILE *const out = trace ? stdout : NULL;
    char **const ranges = argv + (trace ? 2 : 1);
    struct tally t = {.passed = 0};

    signal(SIGABRT, crashed);
    signal(SIGSEGV, crashed);
    if (!(*ranges ? run_ranges(&t, ranges, out) : run_default(&t, out)))
        return usage();
    printf("%" PRIu64 " seeds passed, %" PRIu64 " failed\n", t.passed, t.failed);
    return t.failed ? 1 : 0;
}
