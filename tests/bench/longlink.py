"""A bulk stream over a link with a bottleneck, near and far, and words beside it.

The link is badlink's (tests/e2e/netns.py), between two network namespaces. It is a program, so it carries
less than loopback does. How much is measured first, by plain TCP, and the bottleneck is set to a share of
it: what is compared is how well each fills a bottleneck, not what badlink costs.
"""

import os
import sys

import children
from children import Server
from pairs import OURS, PLAIN

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))
import harness  # noqa: E402
import netns    # noqa: E402

MB = 1_000_000
RTTS_MS = (0.1, 100)  # the first is what badlink takes anyway, without a delay
FAR = 4               # times as long, until TCP knows what it may send
SHARE_OF_CAPACITY = 0.5
LEAST_QUEUE_BYTES = 256 << 10  # of the bottleneck; else what a round trip holds
DIRECTIONS = {"down": "source", "up": "sink"}


def missing():
    """Why there can be no such link here, or None."""
    try:
        netns.require()
        with netns.opened(netns.NODE):
            return None
    except (harness.Failed, OSError) as why:
        return str(why)


def transfer(link, pair, mode, seconds):
    """One client, one bulk stream, and words on a stream of their own."""
    *command, _loopback = pair.server("choose")
    with link.server.inside():
        server = Server([*command, f"{link.server.ipv4}:0"])
    with server:
        with link.client.inside():
            return children.run_json(
                [*pair.client(mode, server.address, duration=seconds), "--words"], 60 + 10 * seconds)


def capacity(link, pair, seconds):
    """What badlink carries of plain TCP, in bytes a second: the slower direction's."""
    return min(transfer(link, pair, mode, seconds)["mb_per_s"] for mode in DIRECTIONS.values()) * MB


def over(bench, rtt_ms):
    """[one run of each pair in each direction]"""
    seconds = bench.plan.link_s * (1 if rtt_ms < 1 else FAR)
    plain = bench.pairs[PLAIN]
    with netns.BadLink("--delay", int(rtt_ms / 2)) as link:
        bench.progress(f"round trip of {rtt_ms} ms: what the link carries")
        carries = capacity(link, plain, seconds / 2)
        rate = int(carries * SHARE_OF_CAPACITY)
        queue = max(LEAST_QUEUE_BYTES, int(rate * rtt_ms / 1000))
        link.set(f"rate {rate}", f"queue {queue}")
        runs = []
        for direction, mode in DIRECTIONS.items():
            for name in (PLAIN, OURS):
                bench.progress(f"round trip of {rtt_ms} ms, {direction}: {name}")
                got = transfer(link, bench.pairs[name], mode, seconds)
                runs.append({"pair": name, "rtt_ms": rtt_ms, "direction": direction,
                             "carries": carries / MB, "rate": rate / MB, **got})
        return runs


def measure(bench):
    """{"missing": why there is no link, or None, "runs": [...]}. Asked for by name, it must be there."""
    why = missing() if bench.plan.link_s else "it takes longer than a quick run may"
    if why and bench.insists:
        raise children.Failed(f"no link: {why}")
    if why:
        return {"missing": why, "runs": []}
    harness.build_dir = bench.build
    try:
        return {"missing": None, "runs": [run for rtt_ms in RTTS_MS for run in over(bench, rtt_ms)]}
    except harness.Failed as failure:
        raise children.Failed(str(failure)) from None
