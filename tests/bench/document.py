"""docs/benchmarks.md, and what there is to say about the numbers."""

import datetime
import os
import textwrap
from statistics import median

import report
from pairs import LEGACY, OURS, PLAIN, TUNED

INTRODUCTION = """\
# Benchmarks

Written by `make bench`; run it to see what your machine says. Nothing in here is typed by hand.

- **plain TCP**: sockets, blocking calls, 64 KiB buffers (`tests/bench/peer --kind plain`).
  **iperf3** is the same by a program that others know.
- **turbotunnel**: the C pair through the blocking calls of the library, all settings at their
  defaults (`tests/bench/peer`). **callbacks**: through the callback API, one thread. **legacy**: as
  if the peer were a Go program, that is packets of 1400 bytes and no control packets (`--legacy`);
  the targets against the Go pair are measured with it.
- **Go, tuned**: kcp-go and smux as an expert would set them: nodelay 1,10,2,1; windows of 4096; MTU
  1500; stream mode; smux 2 with frames of 65535, 4 MiB for a stream, 32 MiB for a session; queues of
  8192; packets joined into one TCP write; 64 KiB buffers; GOGC=400 (`tests/interop/go -tuned`).
- **Go, defaults**: the worked example as it is.

Both ends run on this machine and talk over loopback. Numbers are medians over {rounds} rounds; in each
round the pairs take turns, and a ratio is the median of the ratios of each round. A run takes about
{run_s:g} s; the first, which finds out how many bytes that is, does not count. CPU seconds are user and
system time of both ends. MB and GB are powers of ten.
"""


def throughput_targets(results):
    if "down" not in results:
        return
    speed = report.ratio(results["down"], LEGACY, TUNED, "mb_per_s")
    cpu = report.ratio(results["down"], LEGACY, TUNED, "cpu_s_per_gb")
    yield ("download in packets of 1400, against the tuned Go pair", "at least 2x", report.times(speed), speed >= 2)
    yield ("its CPU per GB, against the same", "at most 0.5x", report.times(cpu), cpu <= 0.5)


def gap_targets(results):
    for name, end in (("gap-fin", "FIN"), ("gap-rst", "RST")):
        if name in results:
            p99 = p99_ms(results, name)
            peace = ""
            if "gap-none" in results:
                peace = f" (left in peace: {report.digits(p99_ms(results, 'gap-none'))} ms)"
            yield (f"recovery gap after {end}, p99", "below 10 ms",
                   f"{report.digits(p99)} ms{peace}", p99 < 10)


def p99_ms(results, name):
    return report.percentile(report.silences(results[name], OURS), 99)


def targets(results):
    rows = [*throughput_targets(results), *gap_targets(results)]
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
    lines = INTRODUCTION.format(rounds=plan.rounds, run_s=plan.run_s).splitlines()
    lines += ["", "## This run", ""]
    lines += report.table(("", ""), [("date", now.strftime("%Y-%m-%d %H:%M UTC")), *facts,
                                     ("took", f"{took_s:.0f} s")])
    lines += ["", "## Targets", ""] + verdict_lines[3:]
    for name, chapter in chapters.items():
        lines += ["", "## " + chapter.title, "", *wrap(chapter.about), ""]
        lines += chapter.lines(results[name])
    return "\n".join(lines) + "\n"
