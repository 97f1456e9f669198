#!/usr/bin/env python3
"""make bench-core: what the core's work costs in instructions, and whether it costs more than it did.

    counts.py BUILD            count, and compare with tests/bench/instructions.txt
    counts.py BUILD --record   count, and write that file

Instructions depend on the compiler, its flags and the C library, but not on what else the machine does.
What was recorded with others is not compared. What must cost the same however many there are is
compared in any case.
Exit status: 0 nothing costs more than 10 % too much, 1 something does, or failed; 2 bad usage.
"""

import argparse
import dataclasses
import os
import platform
import re
import sys

import callgrind
import children
import machine
import report

HERE = os.path.dirname(os.path.abspath(__file__))
RECORDED = os.path.join(HERE, "instructions.txt")
LARGEST_PERCENT = 10


@dataclasses.dataclass
class Work:
    """What core_count.c does under that name, with something of each of these sizes."""

    what: str
    name: str
    sizes: tuple
    times: tuple = (2048, 3 * 2048)  # of the shorter and the longer run
    parts: int = 1                   # each time is so many of what is shown
    alike: bool = False              # whatever the size, it must cost the same

    def row(self, size):
        return self.what.format(size)


WORKS = (
    Work("KCP segment sent, {:,} in flight", "kcp-sent", (1024,)),
    Work("KCP segment acknowledged, {:,} in flight", "kcp-acked", (1024,)),
    Work("KCP segment received in order, window of {:,}", "kcp-received", (1024,)),
    Work("smux frame of {:,} bytes written and sent", "smux-sent", (1000, 16_000)),
    Work("smux frame of {:,} bytes received and read", "smux-received", (1000, 16_000)),
    Work("packet of {:,} bytes encapsulated", "encapsulated", (24, 16_000)),
    Work("packet of {:,} bytes decapsulated", "decapsulated", (24, 16_000)),
    Work("packet of {:,} bytes decapsulated, in two reads", "decapsulated-halves", (16_000,)),
    Work("PING received and answered", "ping", (0,)),
    Work("1,000 bytes between endpoints, packets of {:,}", "endpoints", (65_535, 1400), (64, 192),
         parts=256),  # COUNT_ROUND_BYTES
    Work("remote found, of {:,}", "remote-found", (100, 100_000), alike=True),
    Work("remote expired, of {:,}", "remote-expired", (100, 100_000), alike=True),
)


def count_row(program, work, size):
    def count_times(times):
        return callgrind.count([program, work.name, str(size), str(times)], "counted")

    return round(callgrind.count_one(count_times, work.times) / work.parts)


def measure(build, progress):
    """{row: instructions}"""
    program = os.path.join(build, "tests/bench/core_count")
    counts = {}
    for work in WORKS:
        for size in work.sizes:
            progress(f"instructions: {work.row(size)}")
            counts[work.row(size)] = count_row(program, work, size)
    return counts


def built_with(build):
    """All that the numbers depend on beside the code."""
    options = [machine.build_option(build, name) for name in ("buildtype", "b_sanitize", "c_args")]
    return ", ".join([machine.compiler_major(build), *(o for o in options if o not in ("none", "[]")),
                      " ".join(platform.libc_ver()), platform.machine()])


# --- what is recorded ---


@dataclasses.dataclass
class Record:
    built: str
    counts: dict  # {row: instructions}

    def text(self):
        rows = [f"{count:6}  {row}" for row, count in self.counts.items()]
        return "\n".join(["# Instructions; written by make bench-core RECORD=1 (tests/bench/counts.py).",
                          f"built with {self.built}", *rows]) + "\n"


def parse_record(text):
    built = re.search(r"^built with (.*)$", text, re.MULTILINE)
    rows = re.findall(r"^ *(\d+)  (.*)$", text, re.MULTILINE)
    return Record(built[1] if built else "?", {row: int(count) for count, row in rows})


def read_record(path):
    """None: there is none yet."""
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as file:
        return parse_record(file.read())


# --- what is to be said ---


def percent_more(count, base):
    return (count - base) / base * 100


@dataclasses.dataclass
class Verdict:
    rows: list    # of the table
    lines: list   # what there is to say beside it
    dear: list    # rows that cost too much
    unlike: list  # and those that cost more or less than the same among fewer


def compare_row(row, count, recorded):
    """The table's row, and whether it costs too much."""
    if recorded is None:
        return (row, f"{count:,}", "-", "-"), False
    percent = percent_more(count, recorded)
    dear = percent > LARGEST_PERCENT
    return (row, f"{count:,}", f"{recorded:,}", f"{percent:+.1f} %{' MORE' if dear else ''}"), dear


def compare_sizes(work, counts):
    """The line about work that must cost the same at all sizes, and whether it does."""
    few, many = work.sizes
    percent = percent_more(counts[work.row(many)], counts[work.row(few)])
    alike = abs(percent) <= LARGEST_PERCENT
    return f"{work.row(many)}: {percent:+.1f} % beside {few:,}, {'ok' if alike else 'NOT ALIKE'}", alike


def compare_builds(now, record):
    """What there is to say, and whether the numbers can be compared."""
    if record is None:
        return "nothing is recorded, not compared: make bench-core RECORD=1", False
    if record.built != now.built:
        return f"recorded with {record.built}, not compared: this is {now.built}", False
    return f"built and recorded with {now.built}", True


def judge(now, record):
    """now and record: of what was counted, and of what is recorded (None: nothing)."""
    line, comparable = compare_builds(now, record)
    verdict = Verdict([], [line], [], [])
    for row, count in now.counts.items():
        cells, dear = compare_row(row, count, record.counts.get(row) if comparable else None)
        verdict.rows.append(cells)
        verdict.dear += [row] if dear else []
    for work in (work for work in WORKS if work.alike):
        line, alike = compare_sizes(work, now.counts)
        verdict.lines.append(line)
        verdict.unlike += [] if alike else [work.row(work.sizes[-1])]
    return verdict


def count_and_judge(build, progress):
    now = Record(built_with(build), measure(build, progress))
    return now, judge(now, read_record(RECORDED))


# --- the program ---


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", metavar="BUILD")
    parser.add_argument("--record", action="store_true", help="write what was counted")
    return parser.parse_args(arguments)


def run(options):
    now, verdict = count_and_judge(options.build, report.show_progress)
    report.show_progress("")
    print("\n".join([*report.counts(verdict.rows), "", *verdict.lines]), flush=True)
    if options.record:
        with open(RECORDED, "w", encoding="utf-8") as file:
            file.write(now.text())
        print("written to tests/bench/instructions.txt")
    too_much = dict.fromkeys(([] if options.record else verdict.dear) + verdict.unlike)
    if too_much:
        raise children.Failed(f"more than {LARGEST_PERCENT} % too much: {'; '.join(too_much)}")


def main(arguments):
    options = parse(arguments)
    return children.guarded("bench-core", lambda: run(options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
