"""What is measured. Each measure has rounds, and in each round the pairs take turns, so that whatever
else the machine does meets all of them, and a ratio is of two runs side by side.

A measure returns {pair's name: [numbers of each round]}.
"""

import copy
import dataclasses
import json
import os
import subprocess
import tempfile
import time

import children
import counts
from children import Child, Server
from pairs import (CALLBACK, CARRIERS, DEFAULTS, GB, IPERF, LEGACY, OURS, PACKETS, PLAIN, TUNED,
                   TUNED_MTU, limited)

MB = 1_000_000


@dataclasses.dataclass
class Plan:
    """How much is done."""

    rounds: int = 5
    side_rounds: int = 3        # of chapters that answer one more question about the same
    run_s: float = 1.0          # of one run that measures throughput or ping-pong
    first_run_s: float = 0.2    # of the first, which finds out how many bytes that is
    terminations: int = 20      # a round
    idle_sessions: int = 500
    idle_s: float = 2.0         # for which the server's processor time is watched
    crowds: tuple = (100, 1000, 10_000)    # idle sessions of callbacks, which are watched ...
    crowd_watch_s: float = 30.0            # ... for so long: each sends something every 25 s
    held_sessions: tuple = (100, 100_000)  # without a connection
    batch_sessions: int = 5000             # of one client process
    first_echoes: int = 500
    visits_s: float = 5.0       # for which sessions come and go, ...
    visitors: int = 64          # ... so many at once
    workers_s: float = 1.5      # of each load
    uploaders: tuple = (1, 10, 40)
    link_s: float = 1.0         # of a transfer over a near link; a far one is given more
    all: bool = True            # also what takes its time: Go at its defaults, many Go clients, valgrind
    limit_s: float = 200.0      # after which each measure has fewest_rounds
    fewest_rounds: int = 2


QUICK = Plan(rounds=2, side_rounds=1, run_s=0.2, first_run_s=0.05, terminations=3, idle_sessions=50, idle_s=0.3,
             crowds=(20, 100, 500), crowd_watch_s=0.3, held_sessions=(20, 500), batch_sessions=250,
             first_echoes=50, visits_s=0.3, workers_s=0.2, uploaders=(1, 40), link_s=0, all=False,
             limit_s=15.0, fewest_rounds=1)

HERE = os.path.dirname(os.path.abspath(__file__))


def scaled(plan, share):
    """The same with runs of a share of the time."""
    return dataclasses.replace(plan, run_s=plan.run_s * share, first_run_s=plan.first_run_s * share)


class Bench:
    def __init__(self, plan, pairs, build, progress):
        self.plan = plan
        self.pairs = pairs
        self.build = build
        self.progress = progress  # called with a line for whoever waits
        self.late_at = time.monotonic() + plan.limit_s
        self.hurried = False      # some measures had fewer rounds
        self.insists = False      # what cannot be measured here is a failure

    def among(self, pairs, plan):
        """The same for other pairs, with another plan. That it was hurried is to be asked of both."""
        other = copy.copy(self)
        other.pairs, other.plan = pairs, plan
        return other

    def present(self, names):
        return [name for name in names if self.plan.all or name != DEFAULTS]

    def take_turns(self, what, names, one_run, rounds=None):
        """Calls one_run(pair) for each pair in each round."""
        names = self.present(names)
        results = {name: [] for name in names}
        rounds = rounds or self.plan.rounds
        for number in range(1, rounds + 1):
            if number > self.plan.fewest_rounds and time.monotonic() > self.late_at:
                self.hurried = True
                break
            for name in names:
                self.progress(f"{what}: round {number} of {rounds}: {name}")
                results[name].append(one_run(self.pairs[name]))
        return results


# --- throughput -------------------------------------------------------------------------------


def sized(bench, what, names, one_transfer, rounds=None):
    """Rounds of one_transfer(pair, bytes), the bytes such that each takes about plan.run_s."""
    sizes = {}

    def one_run(pair):
        if pair.name not in sizes:
            sizes[pair.name] = find_size(bench.plan, pair, one_transfer)
        return one_transfer(pair, sizes[pair.name])

    return bench.take_turns(what, names, one_run, rounds)


def find_size(plan, pair, one_transfer):
    """Doubles and more, since start and end weigh too much in a short run to tell the rest."""
    size = int(pair.guess_mb_per_s * MB * plan.first_run_s) + 1000
    while True:
        seconds = one_transfer(pair, size)["seconds"]
        if seconds > plan.run_s / 3:
            return int(size * plan.run_s / seconds) + 1000
        size = int(size * min(10, max(2, plan.run_s / seconds)))


def transfers(bench, what, mode, streams, names, rounds=None):
    limit_s = 60 + 20 * bench.plan.run_s

    def one_transfer(pair, total_bytes):
        return pair.transfer(mode, streams, total_bytes // streams, limit_s)

    return sized(bench, what, names, one_transfer, rounds)


ONE_STREAM = (PLAIN, IPERF, CALLBACK, OURS, LEGACY, TUNED, DEFAULTS)


def down(bench):
    return transfers(bench, "download", "source", 1, ONE_STREAM)


def up(bench):
    return transfers(bench, "upload", "sink", 1, ONE_STREAM)


def echo(bench):
    return transfers(bench, "echo", "echo", 1, (PLAIN, OURS, LEGACY, TUNED, DEFAULTS),
                     bench.plan.side_rounds)


def streams(bench):
    return transfers(bench, "eight streams", "source", 8,
                     (PLAIN, CALLBACK, OURS, LEGACY, TUNED, DEFAULTS), bench.plan.side_rounds)


def many_streams(bench):
    return transfers(bench, "a hundred streams", "source", 100, (PLAIN, CALLBACK, OURS, TUNED),
                     bench.plan.side_rounds)


def packets(bench):
    """packet_bytes is None for plain TCP, which has none of its own."""
    size_of = {PLAIN: None, TUNED: TUNED_MTU, **{limited(size): size for size in PACKETS}}
    results = {}
    found = transfers(bench, "sizes of packets", "source", 1, size_of, bench.plan.side_rounds)
    for name, runs in found.items():
        pair = name if name in (PLAIN, TUNED) else OURS
        results.setdefault(pair, []).extend({**run, "packet_bytes": size_of[name]} for run in runs)
    return results


UPLOAD_BYTES = 4 * MB


def start_uploads(pair, server, clients, **how_much):
    return [Child(pair.client("sink", server.address, **how_much), stdout=subprocess.PIPE)
            for _ in range(clients)]


def finish_uploads(pair, running):
    """Returns what each of them printed."""
    said = [child.process.stdout.read() for child in running]
    for child in running:
        if child.reap(120) != 0:
            raise children.Failed(f"{pair.name}: one of {len(running)} clients failed")
    return [json.loads(line) for line in said]


def upload_files(pair, clients):
    """So many clients at once, each with a session of its own: start and end are in the time."""
    with Server(pair.server("sink", UPLOAD_BYTES)) as server:
        began = time.monotonic()
        finish_uploads(pair, start_uploads(pair, server, clients, bytes=UPLOAD_BYTES))
        seconds = time.monotonic() - began
    return {"clients": clients, "mb_per_s": clients * UPLOAD_BYTES / MB / seconds}


def upload_for_long(pair, clients, seconds):
    with Server(pair.server("sink")) as server:
        said = finish_uploads(pair, start_uploads(pair, server, clients, duration=seconds))
    return {"clients": clients, "mb_per_s": sum(one["mb_per_s"] for one in said)}


def for_each_count(bench, what, names, upload, rounds=None):
    results = {}
    for clients in bench.plan.uploaders:
        turns = bench.take_turns(f"{clients} {what}", names, lambda pair, n=clients: upload(pair, n),
                                 rounds)
        for name, runs in turns.items():
            results.setdefault(name, []).extend(runs)
    return results


def uploaders(bench):
    names = (PLAIN, OURS, LEGACY, *((TUNED,) if bench.plan.all else ()))
    return for_each_count(bench, "uploaders of 4 MB", names, upload_files, bench.plan.fewest_rounds)


def uploaders_long(bench):
    seconds = 1.5 * bench.plan.run_s
    return for_each_count(bench, "uploaders", (PLAIN, CALLBACK, OURS, LEGACY),
                          lambda pair, clients: upload_for_long(pair, clients, seconds),
                          bench.plan.side_rounds)


def kept(bench):
    """What is left of a download when lilbastard ends each connection after a second."""
    bastard = os.path.join(bench.build, "apps/lilbastard")
    seconds = 3 * bench.plan.run_s

    def download(pair, ending):
        with Server(pair.server("source")) as server:
            with Server([bastard, *ending, "127.0.0.1:0", server.address]) as proxy:
                return children.run_json(
                    pair.client("source", proxy.address, duration=seconds), 120)["mb_per_s"]

    def one_run(pair):
        return {"whole": download(pair, []), "ended": download(pair, ["-w", "1"])}

    return bench.take_turns("connections that end", (OURS, CARRIERS, TUNED), one_run)


def files(bench):
    """Start and end of the client are in the time: it is what the user of a program sees."""

    def one_transfer(pair, total_bytes):
        with tempfile.TemporaryFile() as file:
            file.truncate(total_bytes)
            with Server(pair.example_server()) as server:
                client = children.run(pair.example_client(server.address), 90, file,
                                      subprocess.DEVNULL)
        gb = total_bytes / GB
        return {"bytes": total_bytes, "seconds": client.seconds,
                "mb_per_s": total_bytes / MB / client.seconds, "sender_s_per_gb": client.cpu_s / gb,
                "receiver_s_per_gb": server.used_cpu_s() / gb,
                "cpu_s_per_gb": (client.cpu_s + server.used_cpu_s()) / gb}

    return sized(bench, "example programs", (PLAIN, OURS, LEGACY, TUNED, DEFAULTS), one_transfer)


# --- ping-pong --------------------------------------------------------------------------------


def pingpong(bench):
    def one_run(pair):
        with Server(pair.server("echo")) as server:
            return children.run_json(pair.client(
                "echo", server.address, pingpong=100_000, duration=bench.plan.run_s), 60)

    return bench.take_turns("ping-pong", (PLAIN, CALLBACK, OURS, TUNED, DEFAULTS), one_run)


# --- recovery gap -----------------------------------------------------------------------------


LIFETIME_S = 0.12  # of a connection: by then all is flowing


def look(bench, pair, mode, ending, options, wanted):
    """The longest silence of each of so many short clients through lilbastard, in ms. With an ending
    each sees one termination and what follows it. A silence of another cause counts as well.
    """
    bastard = os.path.join(bench.build, "apps/lilbastard")
    silences_ms = []
    with Server(pair.server(mode)) as server:
        with Server([bastard, *ending, "127.0.0.1:0", server.address]) as proxy:
            for _ in range(3 * wanted):
                got = children.run_json(pair.client(mode, proxy.address, **options), 60)
                if bool(ending) == (got["connections"] > 1):
                    silences_ms.append(got["longest_silence_ms"])
                if len(silences_ms) == wanted:
                    return {"silences_ms": silences_ms}
    raise children.Failed(f"{pair.name}: only {len(silences_ms)} of {wanted} terminations came")


def gaps(bench, what, names, mode, how, share=1.0, **options):
    ending = ["-w", str(LIFETIME_S), "--how", how] if how else []

    def one_round(pair):
        wanted = max(1, round(bench.plan.terminations * share * pair.terminations_share))
        duration = round(LIFETIME_S + pair.look_s, 3)
        return look(bench, pair, mode, ending, {"duration": duration, **options}, wanted)

    return bench.take_turns(what, names, one_round)


def gap_fin(bench):
    return gaps(bench, "recovery gap, fin", (OURS, TUNED, DEFAULTS), "echo", "fin",
                pingpong=100_000)


def gap_rst(bench):
    return gaps(bench, "recovery gap, rst", (OURS, TUNED, DEFAULTS), "echo", "rst",
                pingpong=100_000)


def gap_none(bench):
    return gaps(bench, "silences, ping-pong", (OURS, TUNED), "echo", None, pingpong=100_000)


def gap_bulk(bench):
    return gaps(bench, "recovery gap, download", (OURS, TUNED), "source", "fin", 0.3)


def gap_bulk_none(bench):
    return gaps(bench, "silences, download", (OURS, TUNED), "source", None, 0.3)


# --- size -------------------------------------------------------------------------------------


def size(bench):
    """[(what, bytes of text, bytes of the stripped file)]"""
    bench.progress("size")
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        core, stripped = os.path.join(scratch, "core.o"), os.path.join(scratch, "stripped")
        archive = os.path.join(bench.build, "src/libturbotunnel-core.a")
        children.run(["ld", "-r", "--whole-archive", archive, "-o", core], 60)
        library = os.path.realpath(os.path.join(bench.build, "src/libturbotunnel.so"))
        for what, path in (("core", core), ("library", library)):
            children.run(["strip", "--strip-unneeded", path, "-o", stripped], 60)
            numbers = children.run(["size", stripped], 60).output.decode().splitlines()[1].split()
            rows.append((what, int(numbers[0]), os.path.getsize(stripped)))
    return rows


# --- instructions -----------------------------------------------------------------------------


def instructions(bench):
    """Counted, not timed: the same on a busy machine. {"rows": of the table, "lines": about them,
    "windows": what kcp-count says}
    """
    if not bench.plan.all:
        return None
    _, verdict = counts.count_and_judge(bench.build, bench.progress)
    bench.progress("instructions of KCP")
    done = children.run([os.path.join(HERE, "kcp-count"), bench.build], 300)
    return {"rows": verdict.rows, "lines": verdict.lines,
            "windows": done.output.decode().splitlines()}
