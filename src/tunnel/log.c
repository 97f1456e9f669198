#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tunnel/log.h"

#define LINE_BYTES 1024

static const char *const level_names[] = {[TT_LOG_ANSWER] = "answer",
                                          [TT_LOG_ERROR] = "error",
                                          [TT_LOG_NOTICE] = "notice",
                                          [TT_LOG_DETAIL] = "detail"};

/* A whole line goes out with one call, so that lines of several programs do not mix. */
static void put(const char *line, int len)
{
    if (len > 0)
        (void)!write(STDERR_FILENO, line, (size_t)len);
}

/* Text between quotes of JSON. What does not fit is cut. */
static void escape(char *out, size_t cap, const char *text)
{
    size_t n = 0;
    for (; *text && n + 7 < cap; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            out[n++] = '\\';
        if (c < 0x20 || c >= 0x7f)
            n += (size_t)snprintf(out + n, cap - n, "\\u%04x", c);
        else
            out[n++] = (char)c;
    }
    out[n] = '\0';
}

/* Names and addresses come from outside: nothing of them may steer a terminal. */
static void make_harmless(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

static void put_json(enum tt_log_level level, const char *event, const char *message)
{
    char escaped[LINE_BYTES];
    char line[LINE_BYTES + 200];
    struct timespec now;
    struct tm utc;
    char when[32];

    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &utc);
    (void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &utc);
    escape(escaped, sizeof escaped, message);
    put(line, snprintf(line, sizeof line,
                       "{\"time\":\"%s.%03ldZ\",\"level\":\"%s\",\"event\":\"%s\","
                       "\"message\":\"%s\"}\n",
                       when, now.tv_nsec / 1000000, level_names[level], event, escaped));
}

static void put_text(const struct tt_log *log, const char *message)
{
    char line[LINE_BYTES + TT_LOG_STATUS + 32];
    put(line, snprintf(line, sizeof line, "%sturbotunnel: %s\n%s", log->live ? "\r\033[K" : "",
                       message, log->live ? log->status : ""));
}

void tt_log(struct tt_log *log, enum tt_log_level level, const char *event, const char *format, ...)
{
    char message[LINE_BYTES];
    va_list args;

    if (level > log->most)
        return;
    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    make_harmless(message);
    if (log->json)
        put_json(level, event, message);
    else
        put_text(log, message);
}

void tt_log_status(struct tt_log *log, const char *status)
{
    char line[TT_LOG_STATUS + 32];
    if (!log->live || strcmp(status, log->status) == 0)
        return;
    (void)snprintf(log->status, sizeof log->status, "%s", status);
    put(line, snprintf(line, sizeof line, "\r\033[K%s", log->status));
}
