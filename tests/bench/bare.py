"""What stands between a session and plain TCP: the same bytes in a bare loop of writev and read, with the
sizes and the pieces of a session, and with a copy more; beside it the sessions, and the system calls of each.
"""

import os
import re
import shutil
import tempfile
from statistics import median

import children
import counts
from children import Server
from pairs import CALLBACK, OURS, PLAIN

KIB = 1024
SEGMENT_BYTES = 1376
ROUNDS = 3
TRACED_BYTES = 100_000_000  # in a run of a second

# How it is shown: bytes of a write, of its pieces (0: one), of a read, copies of each byte at each end.
LOOPS = {
    "writes of 64 KiB, reads of 64 KiB": (64 * KIB, 0, 64 * KIB, 0),
    "64 KiB, 256 KiB": (64 * KIB, 0, 256 * KIB, 0),
    "256 KiB, 256 KiB": (256 * KIB, 0, 256 * KIB, 0),
    "256 KiB, 64 KiB": (256 * KIB, 0, 64 * KIB, 0),
    "256 KiB in segments, 64 KiB": (256 * KIB, SEGMENT_BYTES, 64 * KIB, 0),
    "the same, and one copy at each end": (256 * KIB, SEGMENT_BYTES, 64 * KIB, 1),
    "the same, and two": (256 * KIB, SEGMENT_BYTES, 64 * KIB, 2),
}
PEERS = {PLAIN: 0, CALLBACK: 0, OURS: 1}  # copies of each byte at each end


def loop(bench, sizes):
    program = os.path.join(bench.build, "tests/bench/bare")
    return children.run_json([program, *map(str, sizes), str(bench.plan.run_s / 4)], 60)


def calls_in(table):
    """The number of all system calls, of what strace -c says."""
    return int(re.search(r"^100\.00 +\S+ +\d+ +(\d+) +(?:\d+ +)?total$", table, re.MULTILINE)[1])


def traced_calls(pair, mode, size):
    """System calls of the client for each MB, or None without strace. Traced it is slower, but it sends
    and reads as much at a time."""
    if not shutil.which("strace"):
        return None
    with tempfile.NamedTemporaryFile("r") as table, Server(pair.server(mode)) as server:
        children.run(["strace", "-f", "-c", "-o", table.name,
                      *pair.client(mode, server.address, bytes=size)], 60)
        return calls_in(table.read()) / (size / 1e6)


def peer(bench, name):
    """A download and its costs; sender and receiver are traced in an upload and a download."""
    pair = bench.pairs[name]
    traced = int(TRACED_BYTES * bench.plan.run_s)
    got = pair.transfer("source", 1, int(pair.guess_mb_per_s * 1e6 * bench.plan.run_s), 60)
    return {**got, "writes_per_mb": traced_calls(pair, "sink", traced),
            "reads_per_mb": traced_calls(pair, "source", traced)}


def typical(runs):
    return {key: median(run[key] for run in runs)
            for key in ("mb_per_s", "sender_s_per_gb", "receiver_s_per_gb", "writes_per_mb", "reads_per_mb")}


def recorded_instructions():
    """Of the core at both ends, for each byte of a stream in long packets; None where nothing is recorded."""
    record = counts.read_record(counts.RECORDED)
    count = record.counts.get("1,000 bytes between endpoints, packets of 65,535") if record else None
    return count and count / 1000


def measure(bench):
    """{"rows": [(what, copies, numbers)], "instructions": of the core for each byte}"""
    rounds = [{} for _ in range(min(ROUNDS, bench.plan.rounds))]
    for number, runs in enumerate(rounds, 1):
        for what, sizes in LOOPS.items():
            bench.progress(f"bare loops: round {number} of {len(rounds)}: {what}")
            runs[what] = loop(bench, sizes)
    rows = [(what, sizes[-1], typical([runs[what] for runs in rounds])) for what, sizes in LOOPS.items()]
    for name, copies in PEERS.items():
        bench.progress(f"bare loops: {name}")
        rows.append((name, copies, peer(bench, name)))
    return {"rows": rows, "instructions": recorded_instructions()}
