#include "tunnel/reset_text.h"

#include <turbotunnel/stream.h>

static const char *const texts[] = {
    [TT_RESET_NONE] = "the connection was ended",
    [TT_RESET_REFUSED] = "connection refused",
    [TT_RESET_UNREACHABLE] = "the target could not be reached",
    [TT_RESET_NO_SUCH_NAME] = "the target's name could not be resolved",
    [TT_RESET_NOT_ALLOWED] = "the server does not allow it",
    [TT_RESET_BY_PROGRAM] = "connection reset",
    [TT_RESET_LIMIT] = "a limit is reached",
};

const char *tt_reset_text(uint32_t code)
{
    return code < sizeof texts / sizeof texts[0] ? texts[code] : "reset for a reason unknown here";
}
