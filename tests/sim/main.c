/* sim - runs the simulated world of sim.h with random seeds.
 *
 *   sim [--trace] FIRST[-LAST]
 *
 * Without a range: the seed TT_SEED, or the first TT_SEEDS (4000) ones. One seed: also prints the
 * digest of its run; --trace: what happened, as JSON lines. The last line is `N seeds passed, N
 * failed`. Exit status: 0 all passed, 1 not, 2 bad usage.
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
    fputs("usage: sim [--trace] [FIRST[-LAST]]\n", stderr);
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

static int run(uint64_t first, uint64_t last, FILE *trace)
{
    uint64_t passed = 0, failed = 0, digest = 0;

    for (uint64_t seed = first; seed <= last; seed++) {
        running_seed = seed;
        if (sim_run_seed(seed, trace, &digest))
            passed++;
        else
            failed++;
    }
    if (first == last && passed)
        printf("seed %" PRIu64 ": digest %016" PRIx64 "\n", first, digest);
    printf("%" PRIu64 " seeds passed, %" PRIu64 " failed\n", passed, failed);
    return failed ? 1 : 0;
}

/* The range from the environment, as text. */
static const char *default_range(char *text, size_t cap)
{
    const char *seed = getenv("TT_SEED");
    const char *seeds = getenv("TT_SEEDS");
    if (seed)
        return seed;
    snprintf(text, cap, "1-%s", seeds ? seeds : DEFAULT_SEEDS);
    return text;
}

int main(int argc, char **argv)
{
    char text[64];
    uint64_t first, last;
    const bool trace = argc > 1 && strcmp(argv[1], "--trace") == 0;
    const int at = trace ? 2 : 1;
    const char *range = argc > at ? argv[at] : default_range(text, sizeof text);

    if (argc > at + 1 || !parse_range(range, &first, &last))
        return usage();
    signal(SIGABRT, crashed);
    signal(SIGSEGV, crashed);
    return run(first, last, trace ? stdout : NULL);
}
