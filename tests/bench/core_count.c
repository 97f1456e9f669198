/* What the core does, to be counted: tests/bench/counts.py runs this under callgrind.
 *
 *     core_count WORK SIZE TIMES      the kinds of work, and what SIZE is of: count.h
 *
 * Exit status: 0, or 2 for wrong arguments, or 1 if something went wrong.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "count.h"

static const struct work {
    const char *name;
    void (*run)(uint32_t size, uint32_t times);
} works[] = {
    {"kcp-sent", count_kcp_sent},           {"kcp-acked", count_kcp_acked},
    {"kcp-received", count_kcp_received},   {"smux-sent", count_smux_sent},
    {"smux-received", count_smux_received}, {"encapsulated", count_encapsulated},
    {"decapsulated", count_decapsulated},   {"decapsulated-halves", count_decapsulated_halves},
    {"endpoints", count_endpoints},         {"ping", count_ping},
    {"remote-found", count_remote_found},   {"remote-expired", count_remote_expired},
};

/* Callgrind knows it by its name (--toggle-collect), so it must stay a function. */
__attribute__((noinline)) void counted(void (*step)(void *ctx), void *ctx)
{
    step(ctx);
}

static const struct work *work_named(const char *name)
{
    for (size_t i = 0; i < sizeof(works) / sizeof(works[0]); i++) {
        if (strcmp(name, works[i].name) == 0)
            return &works[i];
    }
    return NULL;
}

int main(int argc, char **argv)
{
    const struct work *work = argc == 4 ? work_named(argv[1]) : NULL;
    const unsigned long size = work ? strtoul(argv[2], NULL, 10) : 0;
    const unsigned long times = work ? strtoul(argv[3], NULL, 10) : 0;
    if (times == 0 || times > UINT32_MAX || size > UINT32_MAX) {
        fprintf(stderr, "usage: core_count WORK SIZE TIMES\n");
        return 2;
    }
    work->run((uint32_t)size, (uint32_t)times);
    return 0;
}
