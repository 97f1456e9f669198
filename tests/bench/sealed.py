"""What sealing costs a session, beside libcrypto in a bare loop.

The loop (tests/bench/seal_cost) seals and opens packets as long as a session's, and does nothing else. In
each round two of them run at once, since a session has two ends that are busy at once.
"""

import os
import subprocess
from statistics import median

import children
import measures
from children import Child
from pairs import CALLBACK, PLAIN, SEALED

NAMES = (PLAIN, CALLBACK, SEALED)
DIRECTIONS = {"down": "source", "up": "sink"}

# What a bulk stream is sealed in: 11 segments of 1,400 bytes (BEST_PACKET, src/core/session/carriers.c),
# and a byte that says what they are.
PACKET_BYTES = 11 * 1400 + 1

LOOPS = 2             # at once
LOOP_ROUNDS = 9       # of seal_cost, which tells their mean; in each the bare loop and ours
LOOP_MB_PER_S = 1000  # about; of sealing and opening


def bare_s_per_gb(bench):
    """Of sealing and opening 10^9 bytes."""
    megabytes = max(1, int(LOOP_MB_PER_S * bench.plan.run_s / (2 * LOOP_ROUNDS)))
    command = [os.path.join(bench.build, "tests/bench/seal_cost"), str(megabytes), str(PACKET_BYTES)]
    loops = [Child(command, stdout=subprocess.PIPE) for _ in range(LOOPS)]
    said = [loop.process.stdout.read().decode() for loop in loops]
    for loop in loops:
        if loop.reap(60) != 0:
            raise children.Failed("seal_cost failed")
    return median(float(line.split()[1]) for line in said)


def transfers(bench, direction):
    """Rounds; those of the sealed pair are followed by the bare loop, so that both are of one moment."""
    def one_transfer(pair, size):
        got = pair.transfer(DIRECTIONS[direction], 1, size, 60 + 20 * bench.plan.run_s)
        return {**got, "bare_s_per_gb": bare_s_per_gb(bench)} if pair.name == SEALED else got

    return measures.sized(bench, f"sealed, {direction}", NAMES, one_transfer, bench.plan.side_rounds)


def measure(bench):
    """{direction: {pair's name: [numbers of each round]}}"""
    return {direction: transfers(bench, direction) for direction in DIRECTIONS}
