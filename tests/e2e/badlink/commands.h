/* commands.h - lines that change the link while it runs, each answered with one line. */
#ifndef TT_BAD_COMMANDS_H
#define TT_BAD_COMMANDS_H

#include "direction.h"

/* Does what the line says, and prints `ok`, `error: ` and why, or, for `stats`, the counters as
 * JSON. The line is written over.
 */
void tt_bad_command(struct tt_bad_direction directions[2], char *line, uint64_t now_ns, FILE *out);

#endif
