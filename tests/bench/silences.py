#!/usr/bin/env python3
"""make silences: what an application sees of each fault, over plain TCP, the Go pairs and ours.

    silences.py BUILD                 all of it, and write docs/silences.md
    silences.py BUILD --only freeze   one fault; nothing is written
    silences.py BUILD --only limits   where connections freeze after so many bytes; nothing is written

Each client plays ping-pong with 64 bytes, or downloads, through lilbastard, which does the same to every
connection a while after it was opened. All clients of a fault run at the same time; none of them needs
much.
Exit status: 0 measured (whatever came out), 1 something failed, 2 bad usage.
"""

import argparse
import contextlib
import dataclasses
import datetime
import json
import os
import statistics
import subprocess
import sys
import time

import children
import machine
import pairs
import report
from children import Child, Server
from pairs import DEFAULTS, OURS, PLAIN, TUNED

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DOCUMENT = os.path.join(ROOT, "docs/silences.md")
NAMES = (PLAIN, DEFAULTS, TUNED, OURS)
DELAYS_MS = (1, 25)  # each way

RUN_S = 14     # of a client
PATIENCE_S = 26  # after which one that hangs is ended

LIMITS = "limits"
LIMITS_BYTES = (9_000, 15_000, 20_000, 64_000, 256_000, 1_000_000)
DOWNLOADERS = (PLAIN, TUNED, OURS)
DOWNLOAD_DELAY_MS = 25


@dataclasses.dataclass
class Fault:
    about: str
    options: tuple  # of lilbastard


FAULTS = {
    "fin": Fault("ended in order every 2 s", ("-w", "2", "--how", "fin")),
    "rst": Fault("reset every 2 s", ("-w", "2", "--how", "rst")),
    "freeze": Fault("frozen every 2 s: both sockets stay open, nothing comes through",
                    ("-w", "2", "--how", "freeze")),
    "ghost": Fault("ended for the client alone every 3 s: the server's side stays open and silent",
                   ("-w", "3", "--how", "ghost")),
    "outage": Fault("reset after 4 s, and none can be made for 5 s",
                    ("-w", "4", "--how", "rst", "--refuse", "5")),
}  # fmt: skip

INTRODUCTION = """\
# Silences

Written by `make silences`; run it to see what your machine says. Nothing in here is typed by hand.

How long an application hears nothing when the connections under it end, freeze or leave a ghost
behind. Each client plays ping-pong with 64 bytes for {run_s} s through `lilbastard`, which harms every
connection in the same way; the number is the longest time between two answers, the worst of {rounds}
clients. **lost**: the client ended with an error. **silent for good**: no answer came until the client
was ended, {patience_s} s after its start. The pairs are those of [the benchmarks](benchmarks.md), all at
their defaults but the tuned Go pair.
"""

DOWNLOADS = """\
## Where connections freeze after so many bytes

Downloads of {run_s} s through `lilbastard --how freeze --after-bytes down:BYTES`, with a round trip of
{rtt_ms} ms, from the first connection on, with no budget given: kB/s over the whole time, what is lost
while the limit is not known yet included; the median of {rounds} clients. **stops**: nothing came any
more, {patience_s} s after the start of the client.
"""


class Cell:
    """One client, with a server and a proxy of its own."""

    def __init__(self, stack, build, pair, harm, delay_ms, mode, **what):
        server = stack.enter_context(Server(pair.server(mode)))
        proxy = stack.enter_context(Server(
            [os.path.join(build, "apps/lilbastard"), *harm, "--delay", str(delay_ms),
             "127.0.0.1:0", server.address]))
        self.client = Child(pair.client(mode, proxy.address, duration=RUN_S, **what),
                            stdout=subprocess.PIPE)

    def outcome(self, deadline, number):
        """That number of what the client prints, "lost" or "silent for good"."""
        while not self.client.ended():
            if time.monotonic() > deadline:
                self.client.kill()
                return "silent for good"
            time.sleep(0.02)
        output = self.client.process.stdout.read()
        if self.client.reap(1) != 0:
            return "lost"
        return json.loads(output)[number]


def measure(build, all_pairs, fault):
    """{(pair's name, delay): outcome}, of one client each."""
    deadline = time.monotonic() + PATIENCE_S
    with contextlib.ExitStack() as stack:
        cells = {(name, delay): Cell(stack, build, all_pairs[name], fault.options, delay, "echo",
                                     pingpong=10_000_000)
                 for name in NAMES for delay in DELAYS_MS}
        return {key: cell.outcome(deadline, "longest_silence_ms") for key, cell in cells.items()}


def measure_downloads(build, all_pairs):
    """{(pair's name, limit): outcome}, of one client each."""
    deadline = time.monotonic() + PATIENCE_S
    with contextlib.ExitStack() as stack:
        cells = {(name, limit): Cell(stack, build, all_pairs[name],
                                     ("--how", "freeze", "--after-bytes", f"down:{limit}"),
                                     DOWNLOAD_DELAY_MS, "source")
                 for name in DOWNLOADERS for limit in LIMITS_BYTES}
        return {key: cell.outcome(deadline, "mb_per_s") for key, cell in cells.items()}


def typical(outcomes):
    if any(isinstance(outcome, str) for outcome in outcomes):
        return "stops"
    return f"{statistics.median(outcomes) * 1000:,.0f} kB/s"


def download_rows(rounds):
    for limit in LIMITS_BYTES:
        yield (f"{limit // 1000:,} kB",
               *(typical([one[pair, limit] for one in rounds]) for pair in DOWNLOADERS))


def worst(outcomes):
    for word in ("silent for good", "lost"):
        if word in outcomes:
            return word
    return f"{max(outcomes):,.0f} ms"


def rows(name, rounds):
    for delay in DELAYS_MS:
        yield (FAULTS[name].about, f"{2 * delay} ms",
               *(worst([one[pair, delay] for one in rounds]) for pair in NAMES))


def write(table, downloads, facts, rounds, took_s):
    now = datetime.datetime.now(datetime.timezone.utc)
    facts_of_text = {"run_s": RUN_S, "rounds": rounds, "patience_s": PATIENCE_S,
                     "rtt_ms": 2 * DOWNLOAD_DELAY_MS}
    lines = INTRODUCTION.format(**facts_of_text).splitlines()
    lines += ["", *table, ""]
    lines += DOWNLOADS.format(**facts_of_text).splitlines()
    lines += ["", *downloads, "", "## This run", ""]
    lines += report.table(("", ""), [("date", now.strftime("%Y-%m-%d %H:%M UTC")), *facts,
                                     ("took", f"{took_s:.0f} s")])
    with open(DOCUMENT, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    print("written to docs/silences.md")


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", metavar="BUILD")
    parser.add_argument("--only", action="append", choices=(*FAULTS, LIMITS),
                        help="this fault alone; may be given again")
    parser.add_argument("--rounds", type=int, metavar="N", default=3)
    return parser.parse_args(arguments)


def in_rounds(what, rounds, measure_once):
    results = []
    for number in range(1, rounds + 1):
        print(f"{what}: round {number} of {rounds}", file=sys.stderr)
        results.append(measure_once())
    return results


def run(options):
    began, load = time.monotonic(), os.getloadavg()[0]
    all_pairs = pairs.all_pairs(options.build)
    wanted = options.only or (*FAULTS, LIMITS)
    lines, downloads = [], []
    for name in wanted:
        if name == LIMITS:
            downloads += download_rows(in_rounds(
                name, options.rounds, lambda: measure_downloads(options.build, all_pairs)))
        else:
            lines += rows(name, in_rounds(
                name, options.rounds, lambda: measure(options.build, all_pairs, FAULTS[name])))
    silences = report.table(("every connection is", "round trip", *NAMES), lines)
    speeds = report.table(("frozen after", *DOWNLOADERS), downloads)
    for rows_of_table, table in ((lines, silences), (downloads, speeds)):
        if rows_of_table:
            print("\n".join(table))
    if not options.only:
        facts = machine.facts(options.build, ROOT, load)
        write(silences, speeds, facts, options.rounds, time.monotonic() - began)


def main(arguments):
    options = parse(arguments)
    return children.guarded("silences", lambda: run(options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
