#include "core/session_id.h"

#include <turbotunnel/error.h>

int tt_session_id_generate(struct tt_session_id *id, const struct tt_random *random)
{
    struct tt_session_id drawn;
    int err = random->fill(random->ctx, drawn.bytes, sizeof(drawn.bytes));
    if (err)
        return err;
    *id = drawn;
    return TT_OK;
}

void tt_session_id_format(char text[TT_SESSION_ID_TEXT], const struct tt_session_id *id)
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < TT_SESSION_ID_LEN; i++) {
        *text++ = digits[id->bytes[i] >> 4];
        *text++ = digits[id->bytes[i] & 15];
    }
    *text = '\0';
}

/* The value of a hexadecimal digit, or -1: also for the NUL that ends a string early. */
static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int tt_session_id_parse(struct tt_session_id *id, const char *text)
{
    struct tt_session_id parsed;
    for (int i = 0; i < TT_SESSION_ID_LEN; i++, text += 2) {
        const int high = digit_value(text[0]);
        const int low = high < 0 ? -1 : digit_value(text[1]);
        if (low < 0)
            return TT_E_INVAL;
        parsed.bytes[i] = (uint8_t)(high << 4 | low);
    }
    if (*text != '\0')
        return TT_E_INVAL;
    *id = parsed;
    return TT_OK;
}
