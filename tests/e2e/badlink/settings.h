/* settings.h - how bad the link is, and the words that say so. One table makes the options, the
 * commands and --help.
 */
#ifndef TT_BAD_SETTINGS_H
#define TT_BAD_SETTINGS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { TT_BAD_UP, TT_BAD_DOWN }; /* from the client to the server, and back */

/* Of one direction. */
struct tt_bad_settings {
    uint64_t delay_ns;
    uint64_t jitter_ns;    /* each packet takes from 0 to so much longer */
    uint64_t rate_bytes_s; /* of the line; 0: no limit */
    uint64_t queue_bytes;  /* what may wait for the line */
    uint64_t hold_bytes;   /* what may be on the line and under way, all overhead included */
    uint64_t loss_permille, reorder_permille, duplicate_permille;
    uint64_t blackhole; /* 1: nothing arrives */
};

struct tt_bad_setting {
    const char *name;
    const char *operand; /* what --help calls its value */
    /* Reads a value. Returns NULL, or why it is no good (a static string). */
    const char *(*read)(uint64_t *out, const char *text);
    size_t offset; /* of a uint64_t in struct tt_bad_settings */
    const char *help;
};

/* A perfect link, but for its bounds. */
struct tt_bad_settings tt_bad_settings_default(void);

/* NULL if there is none of that name. */
const struct tt_bad_setting *tt_bad_setting_find(const char *name);

/* The i-th of all, for i from 0; NULL behind the last. */
const struct tt_bad_setting *tt_bad_setting_at(size_t i);

/* Sets it from "VALUE" for both directions, "up VALUE" or "down VALUE" for one ("both VALUE" may be
 * said too); a colon is as good as a space. The words are written over.
 *
 * Returns NULL; or why not (a static string), and nothing has changed.
 */
const char *tt_bad_setting_set(const struct tt_bad_setting *setting,
                               struct tt_bad_settings directions[2], char *words);

void tt_bad_settings_print_help(FILE *out);

#endif
