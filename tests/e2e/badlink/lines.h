/* lines.h - a stream of bytes, cut into lines. */
#ifndef TT_BAD_LINES_H
#define TT_BAD_LINES_H

#include <stdbool.h>
#include <stddef.h>

#define TT_BAD_LINE_TEXT 256

/* All zeroes is the beginning of a stream. */
struct tt_bad_lines {
    char text[TT_BAD_LINE_TEXT]; /* of the line that is not complete yet */
    size_t len;                  /* of which so much is kept; what is longer is cut off */
};

/* Takes one byte. Returns the line that it ended, without its end, valid until the next call; or
 * NULL. A line that is too long is cut: no command is so long, so it is answered with an error.
 */
char *tt_bad_lines_take(struct tt_bad_lines *lines, char byte);

#endif
