/* options.h - lilbastard's command line. One table makes the parser and --help. */
#ifndef TT_LIL_OPTIONS_H
#define TT_LIL_OPTIONS_H

#include "address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum tt_lil_how { TT_LIL_FIN, TT_LIL_RST, TT_LIL_FREEZE, TT_LIL_GHOST };
enum tt_lil_count { TT_LIL_COUNT_TOTAL, TT_LIL_COUNT_UP, TT_LIL_COUNT_DOWN };

struct tt_lil_options {
    const char *listen_text, *upstream_text; /* as given; borrowed from argv */
    struct tt_lil_endpoint listen, upstream;
    uint64_t lifetime_us; /* 0: never ended by age */
    enum tt_lil_how how;
    enum tt_lil_count count; /* what after_bytes counts */
    uint64_t after_bytes;    /* 0: never ended by bytes */
    uint64_t refuse_us;      /* 0: does not refuse */
    uint64_t delay_us;       /* 0: no delay */
    uint64_t rate_bytes_s;   /* 0: no limit */
    size_t buffer_bytes;     /* 0: not given */
    double jitter_percent;
    uint64_t seed;
    bool seed_given;
    const char *dump_path; /* NULL: nothing is dumped; borrowed from argv */
    uint64_t dump_max_bytes;
    uint64_t max_connections;
    bool help, version; /* asked for: print it and do nothing else */
};

#define TT_LIL_ERROR_TEXT 512

/* Reads the command line. Returns 0, or -1 and one line in error that says what is wrong and what
 * to do. With help or version set the rest may be missing.
 */
int tt_lil_options_parse(struct tt_lil_options *options, int argc, char **argv,
                         char error[TT_LIL_ERROR_TEXT]);

void tt_lil_options_print_help(FILE *out);

/* "fin", "rst", "freeze" or "ghost". */
const char *tt_lil_how_text(enum tt_lil_how how);

#endif
