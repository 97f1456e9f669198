#include "tun.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define NET_FOLDER "/run/netns"
#define NODE       "/dev/net/tun"

static const char *advice(int error, const char *when_missing)
{
    if (error == EPERM || error == EACCES)
        return "; badlink needs root, or CAP_SYS_ADMIN and CAP_NET_ADMIN";
    if (error == ENOENT || error == ENODEV || error == ENXIO)
        return when_missing;
    return "";
}

static bool enter(const char *net, char error[TT_BAD_ERROR_TEXT])
{
    char path[256];

    snprintf(path, sizeof path, NET_FOLDER "/%s", net);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const bool done = fd >= 0 && setns(fd, CLONE_NEWNET) == 0;
    if (!done)
        snprintf(error, TT_BAD_ERROR_TEXT, "cannot enter the network namespace %s: %s%s", net,
                 strerror(errno), advice(errno, "; make it: ip netns add NAME"));
    if (fd >= 0)
        close(fd);
    return done;
}

static struct ifreq request(void)
{
    struct ifreq r = {0};
    snprintf(r.ifr_name, sizeof r.ifr_name, "%s", TT_BAD_DEVICE);
    return r;
}

static bool set_queue(void)
{
    struct ifreq r = request();
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return false;
    r.ifr_qlen = TT_BAD_TUN_QUEUE;
    const bool done = ioctl(fd, SIOCSIFTXQLEN, &r) == 0;
    close(fd);
    return done;
}

int tt_bad_tun_open(const char *net, char error[TT_BAD_ERROR_TEXT])
{
    struct ifreq r = request();

    if (!enter(net, error))
        return -1;
    /* After entering: the device belongs to the namespace in which its node was opened. */
    const int fd = open(NODE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        snprintf(error, TT_BAD_ERROR_TEXT, "cannot open %s: %s%s", NODE, strerror(errno),
                 advice(errno, "; load the module tun, or make the node: mknod " NODE " c 10 200"));
        return -1;
    }
    r.ifr_flags = IFF_TUN | IFF_NO_PI;
    if (ioctl(fd, TUNSETIFF, &r) < 0 || !set_queue()) {
        snprintf(error, TT_BAD_ERROR_TEXT, "cannot make the device %s in %s: %s%s", TT_BAD_DEVICE,
                 net, strerror(errno), advice(errno, ""));
        close(fd);
        return -1;
    }
    return fd;
}
