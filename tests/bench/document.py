"""docs/benchmarks.md, and what there is to say about the numbers."""

import dataclasses
import datetime
import os
import textwrap
from statistics import median

import figures
import report
import tools
from pairs import CALLBACK, CARRIERS, GO_CLIENTS, LEGACY, OURS, PLAIN, TUNED

INTRODUCTION = """\
# Benchmarks

Written by `make bench`; run it to see what your machine says. Nothing in here is typed by hand.

- **plain TCP**: sockets, blocking calls, 64 KiB buffers (`tests/bench/peer --kind plain`).
  **iperf3** is the same by a program that others know.
- **turbotunnel**: the C pair through the blocking calls of the library, all settings at their
  defaults (`tests/bench/peer`). **callbacks**: through the callback API, one thread at each end, in
  bulk without a copy of the program's own (`tt_stream_room`, `tt_stream_peek`). **sealed**: the
  same with keys (`docs/security.md`); all else is without. **legacy**: as
  if the peer were a Go program, that is packets of 1400 bytes and no control packets (`--legacy`);
  the targets against the Go pair are measured with it.
- **Go, tuned**: kcp-go and smux as an expert would set them: nodelay 1,10,2,1; windows of 4096; MTU
  1500; stream mode; smux 2 with frames of 65535, 4 MiB for a stream, 32 MiB for a session; queues of
  8192; packets joined into one TCP write; 64 KiB buffers; GOGC=400 (`tests/interop/go -tuned`).
- **Go, defaults**: the worked example as it is.

Both ends run on this machine and talk over loopback. Numbers are medians over {rounds} rounds, or
{side_rounds} where a chapter asks one more question about the same; in each round the pairs take turns,
and a ratio is the median of the ratios of each round. A run takes about {run_s:g} s; the first, which
finds out how many bytes that is, does not count. CPU seconds are user and system time of both ends.
MB and GB are powers of ten.
"""


@dataclasses.dataclass
class Target:
    """Of a number of ours, or of its ratio to a peer's. It is left out where that was not measured."""

    what: str
    chapter: str
    ours: str
    base: str
    key: str
    goal: float
    at_least: bool

    def row(self, results):
        found = results.get(self.chapter, {})
        if self.ours not in found or self.base not in found:
            return None
        got = report.ratio(found, self.ours, self.base, self.key)
        reached = got >= self.goal if self.at_least else got <= self.goal
        goal = f"{'at least' if self.at_least else 'at most'} {self.goal:g}x"
        return (f"{self.what}, {self.ours}, of {self.base}'s", goal, report.times(got), reached)


SPEED, CPU, TUNNEL_CPU = "mb_per_s", "cpu_s_per_gb", "tunnel_s_per_gb"
TARGETS = (
    Target("download, MB/s", "down", CALLBACK, PLAIN, SPEED, 0.6, True),
    Target("download, CPU", "down", CALLBACK, PLAIN, CPU, 2, False),
    Target("upload, MB/s", "up", CALLBACK, PLAIN, SPEED, 0.6, True),
    Target("upload, CPU", "up", CALLBACK, PLAIN, CPU, 2, False),
    Target("download, MB/s", "down", OURS, PLAIN, SPEED, 0.6, True),
    Target("download, CPU", "down", OURS, PLAIN, CPU, 2, False),
    Target("download, MB/s", "down", LEGACY, TUNED, SPEED, 3, True),
    Target("download, CPU", "down", LEGACY, TUNED, CPU, 0.333, False),
    Target("example programs, MB/s", "files", OURS, PLAIN, SPEED, 0.5, True),
    Target("example programs, CPU", "files", OURS, PLAIN, CPU, 2.5, False),
    Target("ping-pong, p50", "pingpong", CALLBACK, PLAIN, "p50_us", 1.5, False),
    Target("ping-pong, p99", "pingpong", CALLBACK, PLAIN, "p99_us", 2, False),
    Target("ping-pong, p50", "pingpong", OURS, PLAIN, "p50_us", 2.5, False),
    Target("ping-pong, p99", "pingpong", OURS, PLAIN, "p99_us", 3, False),
    Target("new sessions a second", "visits", CALLBACK, TUNED, "sessions_per_s", 5, True),
)


def ratio_targets(results):
    return [row for row in (target.row(results) for target in TARGETS) if row]


def streams_targets(results):
    """Many streams of one session, beside one, and how even they are."""
    for chapter, count in (("streams", 8), ("many-streams", 100)):
        for name in (CALLBACK, OURS):
            many, one = (results.get(which, {}).get(name) for which in (chapter, "down"))
            if not many or not one:
                continue
            share = median(a[SPEED] / b[SPEED] for a, b in zip(many, one))
            even = report.mid(many, "slowest_share")
            yield (f"{count} streams, of one stream's MB/s, {name}", "at least 0.9x",
                   report.times(share), share >= 0.9)
            yield (f"slowest of {count} streams, of its fair share, {name}", "at least 0.5x",
                   report.times(even), even >= 0.5)


def clients_targets(results):
    for name in (CALLBACK, OURS):
        if name in results.get("uploaders-long", {}):
            worst = report.worst_share(results["uploaders-long"][name])
            yield (f"10 or 40 uploaders, of one's MB/s, {name}", "at least 0.8x", report.times(worst),
                   worst >= 0.8)
    for name in (OURS, CARRIERS):
        if name in results.get("kept", {}):
            share = report.kept_share(results["kept"], name)
            yield (f"download while connections end, MB/s, {name}", "at least 0.95x",
                   report.times(share), share >= 0.95)


SEALING_AT_MOST = 1.15


def sealed_targets(results):
    for direction, runs in results.get("sealed", {}).items():
        share = report.sealing_of_bare(runs)
        yield (f"sealing, {direction}, CPU, of a bare loop of libcrypto's",
               f"at most {SEALING_AT_MOST:g}x", report.times(share), share <= SEALING_AT_MOST)


def tools_targets(results):
    """What the tool's number is to be of another tunnel's, in each direction."""
    goals = (("down", tools.SSH, SPEED, 2, True), ("up", tools.SSH, SPEED, 1.2, True),
             ("down", tools.SSH, TUNNEL_CPU, 0.75, False), ("up", tools.SSH, TUNNEL_CPU, 0.75, False),
             ("down", tools.SOCAT, SPEED, 0.6, True), ("up", tools.SOCAT, SPEED, 0.6, True))
    for direction, other, key, goal, at_least in goals:
        runs = results.get("tools", {}).get(direction, {})
        if other not in runs:
            continue
        got = report.ratio(runs, tools.OURS, other, key)
        yield (f"turbotunnel, the program, {direction}, {'MB/s' if key == SPEED else 'CPU'}, of {other}'s",
               f"{'at least' if at_least else 'at most'} {goal:g}x", report.times(got),
               got >= goal if at_least else got <= goal)


def link_targets(results):
    for run in results.get("link", {"runs": []})["runs"]:
        if run["pair"] != OURS:
            continue
        plain = report.beside(results["link"], run, PLAIN)
        where = f"round trip of {run['rtt_ms']:g} ms, {run['direction']}"
        share = run["mb_per_s"] / run["rate"]
        yield (f"{where}, MB/s, of the bottleneck", "at least 0.9x",
               f"{report.times(share)} (plain TCP: {report.times(plain['mb_per_s'] / run['rate'])})",
               share >= 0.9)
        yield at_most(f"{where}, words beside it, p99", " ms", round(2 * run["rtt_ms"] + 20, 1),
                      run["words_p99_us"] / 1000)


MOST_TEXT = {"core": 100_000, "library": 250_000}


def size_targets(results):
    for what, text, _file in results.get("size", []):
        yield (f"text of the {what}, bytes", f"at most {MOST_TEXT[what]:,}", f"{text:,}",
               text <= MOST_TEXT[what])


def gap_targets(results):
    for name, end in (("gap-fin", "FIN"), ("gap-rst", "RST")):
        if name in results:
            p99 = p99_ms(results, name)
            peace = ""
            if "gap-none" in results:
                peace = f" (left in peace: {report.digits(p99_ms(results, 'gap-none'))} ms)"
            yield (f"recovery gap after {end}, p99", "at most 3 ms",
                   f"{report.digits(p99)} ms{peace}", p99 <= 3)


def p99_ms(results, name):
    return report.percentile(report.silences(results[name], OURS), 99)


def at_most(what, unit, goal, got):
    return (what, f"at most {goal:g}{unit}", report.digits(got) + unit, got <= goal)


CROWD = 10_000  # of fewer, what the server has anyway is too much of it


def idle_targets(results):
    if CALLBACK not in results.get("idle", {}):
        return
    few, *_, many = results["idle"][CALLBACK]
    if many["sessions"] < CROWD:
        return
    count = f"{many['sessions']:,} idle sessions"
    yield at_most(f"{count}, server's memory each", " kB", 3, many["bytes_with"] / 1000)
    yield at_most(f"{count}, disconnected, memory each", " kB", 1, many["bytes_without"] / 1000)
    yield at_most(f"{count}, server's CPU, of a core", " %", 1, many["cpu_share"] * 100)
    yield at_most(f"the same for each session, of that with {few['sessions']:,}", "x", 1.2,
                  report.cpu_us_each(many) / report.cpu_us_each(few))
    (go,) = results["idle"][GO_CLIENTS]
    yield at_most(f"{go['sessions']:,} idle sessions of Go clients, server's CPU, of a core", " %", 5,
                  go["cpu_share"] * 100)


def held_targets(results):
    if "held" not in results:
        return
    few, many = results["held"]
    yield (f"{many['sessions']:,} sessions held", "all alive", f"{many['alive']:,}",
           many["alive"] == many["sessions"])
    yield at_most(f"a new one's first echo, of that with {few['sessions']:,} held", "x", 1.2,
                  many["p50_us"] / few["p50_us"])


def targets(results):
    rows = [*ratio_targets(results), *streams_targets(results), *clients_targets(results),
            *sealed_targets(results), *tools_targets(results), *link_targets(results), *idle_targets(results), *held_targets(results), *gap_targets(results),
            *size_targets(results)]
    return [(what, goal, got, "reached" if reached else "NOT REACHED")
            for what, goal, got, reached in rows]


def warnings(results, load, hurried):
    """What makes the numbers less worth."""
    if hurried:
        yield "It took so long that the last measures had fewer rounds."
    if load > 0.3 * len(os.sched_getaffinity(0)):
        yield (f"The machine had other things to do (load {load:.1f} before the start): the ratios "
               "mean something, the rest little.")
    if "down" not in results:
        return
    plain, tuned = (median(run["mb_per_s"] for run in results["down"][name])
                    for name in (PLAIN, TUNED))
    if tuned < 200 and plain >= 2000:
        yield (f"The tuned Go pair made only {tuned:.0f} MB/s where plain TCP made {plain:.0f}: "
               "something is wrong with it, and what is compared with it looks too good.")


def wrap(paragraph):
    return textwrap.wrap(paragraph, 100, break_on_hyphens=False)


def verdict(results, load, hurried):
    lines = []
    rows = targets(results)
    if rows:
        lines += ["", "Targets", ""] + report.table(("", "goal", "measured", ""), rows)
    for warning in warnings(results, load, hurried):
        lines += ["", *wrap("Warning: " + warning)]
    return lines


def text(chapters, results, facts, plan, verdict_lines, took_s):
    now = datetime.datetime.now(datetime.timezone.utc)
    lines = INTRODUCTION.format(rounds=plan.rounds, side_rounds=plan.side_rounds, run_s=plan.run_s).splitlines()
    lines += ["", "## This run", ""]
    lines += report.table(("", ""), [("date", now.strftime("%Y-%m-%d %H:%M UTC")), *facts,
                                     ("took", f"{took_s:.0f} s")])
    lines += ["", "## Targets", ""] + verdict_lines[3:]
    for name, chapter in chapters.items():
        lines += ["", "## " + chapter.title, "", *wrap(chapter.about), ""]
        lines += chapter.lines(results[name]) + figures.shown(name)
    return "\n".join(lines) + "\n"
