/* log.h - lines on standard error, for people or (--json-log) for programs. */
#ifndef TT_TUNNEL_LOG_H
#define TT_TUNNEL_LOG_H

#include <stdbool.h>

enum tt_log_level {
    TT_LOG_ANSWER, /* always: somebody has asked (SIGUSR1) */
    TT_LOG_ERROR,  /* always */
    TT_LOG_NOTICE, /* unless --quiet */
    TT_LOG_DETAIL, /* with -v */
};

#define TT_LOG_STATUS 200 /* bytes of a status line at most */

struct tt_log {
    bool json;
    bool live; /* standard error is a terminal that shows a status line below the log */
    enum tt_log_level most;
    char status[TT_LOG_STATUS]; /* what is shown there now */
};

/* One line. event: a word for programs, such as "listening". The loop's thread, or before it runs.
 */
void tt_log(struct tt_log *log, enum tt_log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Replaces the status line ("": none), where there is one. */
void tt_log_status(struct tt_log *log, const char *status);

#endif
