/* options.h - badlink's command line. */
#ifndef TT_BAD_OPTIONS_H
#define TT_BAD_OPTIONS_H

#include "settings.h"

#include <stdbool.h>

struct tt_bad_options {
    const char *nets[2]; /* names of namespaces: the client's, the server's; borrowed from argv */
    struct tt_bad_settings settings[2]; /* TT_BAD_UP, TT_BAD_DOWN */
    uint64_t seed;
    bool help; /* asked for: print it and do nothing else */
};

#define TT_BAD_OPTIONS_ERROR 512

/* Reads the command line; words of argv are written over. Returns 0, or -1 and one line in error
 * that says what is wrong. With help set the rest may be missing.
 */
int tt_bad_options_parse(struct tt_bad_options *options, int argc, char **argv,
                         char error[TT_BAD_OPTIONS_ERROR]);

void tt_bad_options_print_help(FILE *out);

#endif
