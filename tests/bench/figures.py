#!/usr/bin/env python3
"""The plots of docs/benchmarks.md: what of the results each of them shows.

    figures.py BUILD DIR     draws what the last `make bench` has left in BUILD/bench.json into DIR
"""

import dataclasses
import json
import os
import sys

import plot
import report
from pairs import CALLBACK, DEFAULTS, LEGACY, OURS, PLAIN, TUNED
from plot import Axis, Series

LOOKS = {name: look for look, name in enumerate((OURS, TUNED, DEFAULTS, PLAIN, CALLBACK, LEGACY))}


def look(name):
    """Of a pair that is not listed: one that is no other's."""
    return LOOKS.get(name, len(LOOKS))


def packets(results):
    series = []
    for name, runs in results["packets"].items():
        sizes = sorted({run["packet_bytes"] for run in runs if run["packet_bytes"]})
        points = [(size, report.mid(report.of_packet(runs, size), "mb_per_s"))
                  for size in sizes]
        level = [(0, report.mid(runs, "mb_per_s"))]
        series.append(Series(name, points or level, look(name), "line" if points else "level"))
    return Axis("largest packet, bytes", log=True), Axis("MB/s"), series


def cumulative(name, all_ms, look, dashed=False):
    """How many percent are not longer."""
    count = len(all_ms)
    points = [(ms, 100 * (n + 1) / count) for n, ms in enumerate(sorted(all_ms))]
    return Series(name, points, look, "steps", dashed)


def gap(ended, in_peace):
    """Of two chapters: with terminations and without."""

    def show(results):
        peace = results.get(in_peace, {})
        series = [cumulative(name, report.silences(results[ended], name), look(name))
                  for name in results[ended]]
        series += [cumulative(name + ", in peace", report.silences(peace, name), look(name), True)
                   for name in peace]
        return Axis("longest silence, ms", log=True), Axis("not longer, %", top=100), series

    return show


def by_sessions(results, number_of):
    return [Series(name, [(run["sessions"], number_of(run)) for run in runs], look(name))
            for name, runs in results["idle"].items()]


def disconnected(results):
    """Those whose server still has sessions when their clients have gone."""
    return [Series(name + ", disconnected",
                   [(run["sessions"], run["bytes_without"] / 1000) for run in runs], look(name),
                   dashed=True)
            for name, runs in results["idle"].items() if name != PLAIN]


def idle_memory(results):
    return (Axis("sessions", log=True), Axis("kB each, server"),
            by_sessions(results, lambda run: run["bytes_with"] / 1000) + disconnected(results))


def idle_cpu(results):
    return (Axis("sessions", log=True), Axis("server CPU, % of a core"),
            by_sessions(results, lambda run: run["cpu_share"] * 100))


@dataclasses.dataclass
class Figure:
    name: str     # of the file
    chapter: str  # without which there is nothing to show, and below whose table it is
    title: str
    show: object  # {chapter: results} -> axis, axis, series


FIGURES = (
    Figure("packets", "packets", "Download by the size of packets", packets),
    Figure("gap-fin", "gap-fin", "Recovery gap after a FIN", gap("gap-fin", "gap-none")),
    Figure("gap-rst", "gap-rst", "Recovery gap after an RST", gap("gap-rst", "gap-none")),
    Figure("gap-bulk", "gap-bulk", "Recovery gap of a download", gap("gap-bulk", "gap-bulk-none")),
    Figure("idle-memory", "idle", "Memory of idle sessions", idle_memory),
    Figure("idle-cpu", "idle", "Processor time of idle sessions", idle_cpu),
)


def shown(chapter):
    """Lines of docs/benchmarks.md."""
    return [line for figure in FIGURES if figure.chapter == chapter
            for line in ("", f"![{figure.title}](benchmarks/{figure.name}.svg)")]


def write(folder, results):
    """All of which there are results."""
    os.makedirs(folder, exist_ok=True)
    for figure in FIGURES:
        if figure.chapter in results:
            with open(os.path.join(folder, figure.name + ".svg"), "w", encoding="utf-8") as file:
                file.write(plot.draw(figure.title, *figure.show(results)))


def main(arguments):
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    with open(os.path.join(arguments[0], "bench.json"), encoding="utf-8") as file:
        write(arguments[1], json.load(file))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
