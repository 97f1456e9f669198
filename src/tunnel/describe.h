/* describe.h - a session in words, for SIGUSR1 and the status line. */
#ifndef TT_TUNNEL_DESCRIBE_H
#define TT_TUNNEL_DESCRIBE_H

#include <turbotunnel/session.h>

#include "core/base/list.h"

#define TT_DESCRIPTION 240

/* streams: those that are joined to a connection. The loop's thread. */
void tt_describe_session(char text[TT_DESCRIPTION], struct tt_session *session,
                         const struct tt_list *streams);

#endif
