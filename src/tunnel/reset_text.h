/* reset_text.h - why a stream was reset, in words. */
#ifndef TT_TUNNEL_RESET_TEXT_H
#define TT_TUNNEL_RESET_TEXT_H

#include <stdint.h>

/* A static string for an enum tt_reset_code or any other number. */
const char *tt_reset_text(uint32_t code);

#endif
