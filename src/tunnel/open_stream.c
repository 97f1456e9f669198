#include "tunnel/open_stream.h"

#include <stdio.h>

#include <turbotunnel/stream.h>

int tt_open_stream(struct tt_session *session, const struct tt_target *target,
                   struct tt_stream **stream)
{
    uint8_t header[TT_TARGET_MAX];
    size_t taken;
    const size_t len = tt_target_write(header, target);
    int err = session ? tt_session_open_stream(session, stream) : TT_E_CLOSED;
    if (err)
        return err;
    err = tt_stream_try_write(*stream, header, len, &taken); /* it is empty: all or nothing */
    if (err)
        tt_stream_reset(*stream, TT_RESET_NONE);
    return err;
}

void tt_target_address(struct tt_address *address, const struct tt_target *target)
{
    *address = (struct tt_address){.port = ""};
    (void)snprintf(address->host, sizeof address->host, "%s", target->host);
    (void)snprintf(address->port, sizeof address->port, "%u", target->port);
}
