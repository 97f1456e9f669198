#include "tunnel/process.h"

#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

void tt_process_hide_memory(void)
{
    const struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0,
                0); /* a core may be piped to a program, whatever the limit */
}

void tt_process_raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static bool is_for_good(uid_t uid, gid_t gid)
{
    uid_t r, e, s;
    gid_t rg, eg, sg;
    if (getresuid(&r, &e, &s) || r != uid || e != uid || s != uid)
        return false;
    if (getresgid(&rg, &eg, &sg) || rg != gid || eg != gid || sg != gid)
        return false;
    return setuid(0) < 0 && setgid(0) < 0 && setgroups(0, NULL) < 0;
}

const char *tt_process_become(const char *user)
{
    const struct passwd *p = getpwnam(user);
    if (!p)
        return "there is no such user";
    if (p->pw_uid == 0 || p->pw_gid == 0)
        return "that is root, or has its group";
    const uid_t uid = p->pw_uid;
    const gid_t gid = p->pw_gid;
    const bool is_so_already = geteuid() == uid; /* with groups that somebody gave it */
    if (!is_so_already && (setgroups(0, NULL) || setgid(gid) || setuid(uid)))
        return "it is not permitted (start as root)";
    if (!is_for_good(uid, gid) || (!is_so_already && getgroups(0, NULL) != 0))
        return "there would be a way back";
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return NULL;
}
