#include "counters.h"

#include <inttypes.h>

static void print_tally(const char *comma, const char *name, const struct tt_bad_tally *tally,
                        FILE *out)
{
    fprintf(out, "%s\"%s\": {\"packets\": %" PRIu64 ", \"bytes\": %" PRIu64 "}", comma, name,
            tally->packets, tally->bytes);
}

void tt_bad_counters_print(const struct tt_bad_counters *counters, FILE *out)
{
    const char *comma = "{";

#define X(name)                                                                                    \
    print_tally(comma, #name, &counters->name, out);                                               \
    comma = ", ";
    TT_BAD_COUNTERS(X)
#undef X
    fputs("}", out);
}
