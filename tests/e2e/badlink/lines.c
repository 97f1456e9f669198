#include "lines.h"

char *tt_bad_lines_take(struct tt_bad_lines *lines, char byte)
{
    if (byte == '\n') {
        lines->text[lines->len] = '\0';
        lines->len = 0;
        return lines->text;
    }
    if (lines->len < sizeof lines->text - 1)
        lines->text[lines->len++] = byte;
    return NULL;
}
