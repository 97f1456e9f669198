#include <stdlib.h>

#include <turbotunnel/error.h>

#include "core/base/clock.h"
#include "core/control.h"
#include "count.h"
#include "endpoint_pair.h"
#include "require.h"

static struct endpoint_pair pair; /* too large for the stack */

/* --- bytes of a stream --- */

static void write_round(void *ctx)
{
    static const uint8_t bytes[COUNT_ROUND_BYTES];
    struct endpoint_pair *p = ctx;
    size_t taken;
    require(tt_smux_write(p->client.stream, bytes, sizeof(bytes), &taken) == TT_OK &&
                taken == sizeof(bytes),
            "tt_smux_write");
}

void count_endpoints(uint32_t max_packet_bytes, uint32_t times)
{
    endpoint_pair_open(&pair, max_packet_bytes);
    for (uint32_t i = 1; i <= times; i++) {
        counted(write_round, &pair);
        endpoint_pair_carry(&pair);
        require(pair.server.read_bytes == (uint64_t)i * COUNT_ROUND_BYTES, "not all was read");
    }
    require(pair.server.endpoint.kcp.receive.duplicates == 0, "something was sent again");
    endpoint_pair_close(&pair);
}

/* --- PING --- */

static uint8_t ping_bytes[TT_CONTROL_MAX];
static uint32_t ping_len;

static void answer_ping(void *ctx)
{
    struct endpoint_pair *p = ctx;
    require(tt_endpoint_receive(&p->server.endpoint, p->now_us, &p->server.carrier,
                                tt_span_of(ping_bytes, ping_len), NULL) == TT_OK,
            "tt_endpoint_receive");
    require(endpoint_pair_pull(p, &p->server) > 0, "no answer");
}

void count_ping(uint32_t unused, uint32_t times)
{
    const struct tt_control ping = {.type = TT_CONTROL_PING, .token = "7 bytes"};
    (void)unused;
    ping_len = tt_control_write(ping_bytes, &ping);
    endpoint_pair_open(&pair, TT_KCP_DEFAULT_MTU);
    const uint64_t greetings = pair.server.endpoint.stats.control_out;
    for (uint32_t i = 0; i < times; i++) {
        pair.now_us += TT_MS; /* more are not answered */
        counted(answer_ping, &pair);
    }
    require(pair.server.endpoint.stats.control_out - greetings == times, "not one PONG for each");
    endpoint_pair_close(&pair);
}
