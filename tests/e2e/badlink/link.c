#include "link.h"

#include "commands.h"
#include "dice.h"
#include "lines.h"
#include "tun.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S UINT64_C(1000000000)

/* Packets taken from a device before the others get their turn. */
#define TURN_PACKETS 64

#define MAX_PACKET 65536 /* bytes; no IP packet is longer */

/* What the loop waits for. The first two are also the ends of the link, and the directions that
 * begin there.
 */
enum source { CLIENT, SERVER, TIMER, INPUT, SOURCES };

enum outcome { GOES_ON, ENDED, FAILED };

struct link {
    int epoll, timer;
    int tuns[2]; /* at CLIENT and SERVER */
    struct tt_bad_direction directions[2];
    uint64_t armed_ns; /* what the timer is set to; TT_BAD_NEVER: it is not */
    struct tt_bad_lines lines;
};

static enum outcome failed(const char *what)
{
    fprintf(stderr, "badlink: %s: %s\n", what, strerror(errno));
    return FAILED;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static bool write_to_tun(void *ctx, const uint8_t *bytes, size_t len)
{
    const int *tun = ctx;
    return write(*tun, bytes, len) == (ssize_t)len;
}

/* --- a turn of the loop --- */

/* Takes up to so many packets from a device. */
static enum outcome take_packets(struct link *link, int end, int limit)
{
    uint8_t bytes[MAX_PACKET];

    for (int i = 0; i < limit; i++) {
        const ssize_t n = read(link->tuns[end], bytes, sizeof bytes);
        if (n < 0 && errno == EAGAIN)
            return GOES_ON;
        if (n < 0)
            return failed("a device is gone");
        tt_bad_direction_take(&link->directions[end], bytes, (size_t)n, now_ns());
    }
    return GOES_ON;
}

static void run_directions(struct link *link)
{
    const uint64_t now = now_ns();
    tt_bad_direction_run(&link->directions[TT_BAD_UP], now);
    tt_bad_direction_run(&link->directions[TT_BAD_DOWN], now);
}

/* What was sent before a command is treated as before it: so it is all taken first. The limit only
 * matters when packets come as fast as we take them, and lets in all that were there.
 */
static enum outcome settle(struct link *link)
{
    for (int end = 0; end < 2; end++) {
        if (take_packets(link, end, 2 * TT_BAD_TUN_QUEUE) != GOES_ON)
            return FAILED;
    }
    run_directions(link);
    return GOES_ON;
}

/* Does what standard input says. One read: it may be shared, so it must not be made non-blocking,
 * and a second one could block.
 */
static enum outcome take_commands(struct link *link)
{
    char bytes[1024];
    const ssize_t n = read(STDIN_FILENO, bytes, sizeof bytes);

    if (n < 0)
        return errno == EINTR ? GOES_ON : failed("read standard input");
    if (n == 0)
        return ENDED;
    for (ssize_t i = 0; i < n; i++) {
        char *line = tt_bad_lines_take(&link->lines, bytes[i]);
        if (!line)
            continue;
        if (settle(link) != GOES_ON)
            return FAILED;
        tt_bad_command(link->directions, line, now_ns(), stdout);
        if (fflush(stdout) != 0)
            return failed("write standard output");
    }
    return GOES_ON;
}

static void set_timer(struct link *link)
{
    const uint64_t up_ns = tt_bad_direction_deadline_ns(&link->directions[TT_BAD_UP]);
    const uint64_t down_ns = tt_bad_direction_deadline_ns(&link->directions[TT_BAD_DOWN]);
    const uint64_t at_ns = up_ns < down_ns ? up_ns : down_ns;
    struct itimerspec spec = {0};

    if (at_ns == link->armed_ns)
        return;
    if (at_ns != TT_BAD_NEVER) {
        spec.it_value.tv_sec = (time_t)(at_ns / NS_PER_S);
        spec.it_value.tv_nsec = (long)(at_ns % NS_PER_S);
    }
    timerfd_settime(link->timer, TFD_TIMER_ABSTIME, &spec, NULL);
    link->armed_ns = at_ns;
}

/* When the timer has fired nothing is read from it: what was due is not due any more afterwards, so
 * it is set to another time, or to none, and that makes it silent.
 */
static enum outcome turn(struct link *link)
{
    struct epoll_event events[SOURCES];
    bool ready[SOURCES] = {false};
    const int n = epoll_wait(link->epoll, events, SOURCES, -1);

    if (n < 0)
        return errno == EINTR ? GOES_ON : failed("wait for events");
    for (int i = 0; i < n; i++)
        ready[events[i].data.u32] = true;
    for (int end = 0; end < 2; end++) {
        if (ready[end] && take_packets(link, end, TURN_PACKETS) != GOES_ON)
            return FAILED;
    }
    const enum outcome outcome = ready[INPUT] ? take_commands(link) : GOES_ON;
    run_directions(link);
    set_timer(link);
    return outcome;
}

/* --- begin and end --- */

static bool watch(struct link *link, int fd, enum source source)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = source};
    return epoll_ctl(link->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

static int open_ends(struct link *link, const struct tt_bad_options *options)
{
    char error[TT_BAD_ERROR_TEXT];

    for (int end = 0; end < 2; end++) {
        link->tuns[end] = tt_bad_tun_open(options->nets[end], error);
        if (link->tuns[end] < 0) {
            fprintf(stderr, "badlink: %s\n", error);
            return -1;
        }
        tt_bad_direction_init(&link->directions[end], &options->settings[end],
                              tt_bad_draw(options->seed, (uint64_t)end, TT_BAD_DIRECTION),
                              write_to_tun, &link->tuns[!end]);
    }
    return 0;
}

static int open_loop(struct link *link)
{
    link->epoll = epoll_create1(EPOLL_CLOEXEC);
    link->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (link->epoll < 0 || link->timer < 0 || !watch(link, link->timer, TIMER) ||
        !watch(link, link->tuns[CLIENT], CLIENT) || !watch(link, link->tuns[SERVER], SERVER)) {
        failed("make the event loop");
        return -1;
    }
    if (!watch(link, STDIN_FILENO, INPUT)) {
        failed("watch standard input, which must be a pipe or a terminal");
        return -1;
    }
    return 0;
}

static void dispose(struct link *link)
{
    const int fds[] = {link->epoll, link->timer, link->tuns[CLIENT], link->tuns[SERVER]};

    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
    tt_bad_direction_dispose(&link->directions[TT_BAD_UP]);
    tt_bad_direction_dispose(&link->directions[TT_BAD_DOWN]);
}

int tt_bad_link_run(const struct tt_bad_options *options)
{
    struct link link = {.epoll = -1, .timer = -1, .tuns = {-1, -1}, .armed_ns = TT_BAD_NEVER};
    enum outcome outcome = FAILED;

    if (open_ends(&link, options) == 0 && open_loop(&link) == 0) {
        puts("ready");
        fflush(stdout);
        do
            outcome = turn(&link);
        while (outcome == GOES_ON);
    }
    dispose(&link);
    return outcome == ENDED ? 0 : -1;
}
