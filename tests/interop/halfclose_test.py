#!/usr/bin/env python3
"""Half close with a Go server: python3 tests/interop/halfclose_test.py BUILD_DIR [WORD]...

The server's echo stays 4 MB behind until our input ends. From then on its writer has 4 MB to send to
a stream whose end it has seen; this smux gives such a writer up when it must wait for the window
(R-29). So every byte that comes back shows that the window was opened before the end was sent.
"""

import itertools

import peers
from peers import GoServer, json_stats

import harness
from echo import TURBO_CLIENT, Proxy, echo, random_bytes
from harness import check, equal

BEHIND = 4 << 20


def server_of(smux, tuned):
    return GoServer("-smux", smux, "-stats", "-echo-behind", BEHIND, *(["-tuned"] if tuned else []))


def must_have_given_up_nothing(server):
    equal(server.stop(), 0, "exit status of the server")
    stats = json_stats(server.lines)
    equal((stats["streams"], stats["streams_failed"]), (1, 0), "streams, and streams that failed")


def direct(smux, tuned, size):
    data = random_bytes(size)
    with server_of(smux, tuned) as server:
        result = echo(TURBO_CLIENT, "--smux", smux, server.address, data=data)
        result.must_be_whole(data)
        must_have_given_up_nothing(server)
    return f"{result.seconds:.1f} s"


def through_terminations(smux, tuned, *options):
    data = random_bytes(BEHIND + (2 << 20))
    with server_of(smux, tuned) as server, Proxy(*options, upstream=server.address) as proxy:
        result = echo(TURBO_CLIENT, "--smux", smux, proxy.address, data=data)
        result.must_be_whole(data)
        must_have_given_up_nothing(server)
        equal(proxy.stop(), 0, "exit status of the proxy")
        ends = proxy.forwarded()[0]
        check(ends >= 2, f"only {ends} connections were ended")
    return f"{result.seconds:.1f} s, {ends} ends"


def add_test(name, test, *arguments):
    def run():
        return test(*arguments)
    run.__name__ = f"test_{name}"
    globals()[run.__name__] = run


for v in (2, 1):
    # kcp-go's own parameters: a window of 32 segments of ours a tick of 0.1 s, so this takes a while.
    add_test(f"{BEHIND}_bytes_smux_{v}_untuned", direct, v, False, BEHIND)
    # Less than it holds back, all of it, and with some of it back before the end.
    for n in (0, 1, BEHIND, 3 * BEHIND):
        add_test(f"{n}_bytes_smux_{v}", direct, v, True, n)
    # Ends while it sends up, and while all of the rest comes down behind our end.
    for h, w in itertools.product(("fin", "rst"), ("up", "down")):
        add_test(f"ended_by_{h}_on_the_way_{w}_smux_{v}", through_terminations, v, True,
                 "--after-bytes", f"{w}:1500K", "--how", h)

if __name__ == "__main__":
    harness.main(globals(), jobs=2, prepare=peers.build)
