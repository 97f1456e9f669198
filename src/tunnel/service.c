#include "tunnel/service.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* The first is 3, by sd_listen_fds(3). */
static const char *const descriptors[] = {"fd:3",  "fd:4",  "fd:5",  "fd:6",  "fd:7",  "fd:8",
                                          "fd:9",  "fd:10", "fd:11", "fd:12", "fd:13", "fd:14",
                                          "fd:15", "fd:16", "fd:17", "fd:18"};

/* The length of the address, or 0: there is none. */
static socklen_t address_of(struct sockaddr_un *un)
{
    const char *name = getenv("NOTIFY_SOCKET");
    const size_t len = name ? strlen(name) : 0;
    if (len < 2 || len >= sizeof un->sun_path || (name[0] != '/' && name[0] != '@'))
        return 0;
    *un = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(un->sun_path, name, len);
    if (name[0] == '@')
        un->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

static void send_text(const char *text)
{
    struct sockaddr_un un;
    const socklen_t len = address_of(&un);
    const struct timeval patience = {.tv_sec = 1};
    const int fd = len > 0 ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;
    if (fd < 0)
        return;
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    (void)!sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&un, len);
    close(fd);
}

void tt_service_notify(enum tt_service_state state)
{
    struct timespec now;
    char text[80];
    switch (state) {
    case TT_SERVICE_READY:
        send_text("READY=1");
        break;
    case TT_SERVICE_STOPPING:
        send_text("STOPPING=1");
        break;
    case TT_SERVICE_RELOADING:
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        (void)snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
                       (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
        send_text(text);
        break;
    }
}

static long number_in(const char *variable)
{
    const char *text = getenv(variable);
    char *end;
    const long n = text ? strtol(text, &end, 10) : -1;
    return text && *text && *end == '\0' ? n : -1;
}

size_t tt_service_sockets(const char **addresses, size_t most)
{
    const size_t known = sizeof descriptors / sizeof descriptors[0];
    const long count = number_in("LISTEN_FDS");
    size_t i = 0;
    if (number_in("LISTEN_PID") != (long)getpid())
        return 0;
    for (; (long)i < count && i < most && i < known; i++)
        addresses[i] = descriptors[i];
    return i;
}
