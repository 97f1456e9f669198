#!/usr/bin/env python3
"""make bench: plain TCP, our pair and the Go pairs, side by side in one run.

    bench.py BUILD                              everything, and write docs/benchmarks.md
    bench.py BUILD --only down --rounds 3       some of it; nothing is written
    bench.py BUILD --list                       what there is
    QUICK=1 bench.py BUILD                      everything, coarsely, within a minute; nothing is written

Exit status: 0 measured (whatever came out), 1 something failed, 2 bad usage.
"""

import argparse
import os
import signal
import sys

import children
import measures
import pairs
from measures import Bench, Plan
from statistics import median

MEASURES = {
    "down": (measures.down, "one stream, server to client"),
    "up": (measures.up, "one stream, client to server"),
    "echo": (measures.echo, "one stream, there and back"),
    "streams": (measures.streams, "eight streams of one session, server to client"),
    "files": (measures.files, "the example programs, from a file"),
    "pingpong": (measures.pingpong, "64 bytes there and back"),
}


def progress(line):
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K" + line)
        sys.stderr.flush()


def ratio(results, name, base, key):
    if base not in results:
        return float("nan")
    return median(a[key] / b[key] for a, b in zip(results[name], results[base]))


def show(what, results):
    print(f"\n{what}")
    for name in results:
        rows = results[name]
        if "mb_per_s" in rows[0]:
            print(f"  {name:24}{median(r['mb_per_s'] for r in rows):10.2f} MB/s"
                  f"{ratio(results, name, pairs.PLAIN, 'mb_per_s'):8.2f}x plain"
                  f"{ratio(results, name, pairs.TUNED, 'mb_per_s'):8.2f}x tuned"
                  f"{median(r['cpu_s_per_gb'] for r in rows):10.2f} CPU s/GB"
                  f"{ratio(results, name, pairs.PLAIN, 'cpu_s_per_gb'):8.2f}x plain"
                  f"{ratio(results, name, pairs.TUNED, 'cpu_s_per_gb'):8.2f}x tuned"
                  f"{median(r.get('slowest_share', 1) for r in rows):6.2f}", flush=True)
        else:
            print(f"  {name:24}{median(r['p50_us'] for r in rows):10.1f} us p50"
                  f"{median(r['p99_us'] for r in rows):10.1f} us p99", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--only", action="append", choices=MEASURES)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    try:
        bench = Bench(Plan(rounds=arguments.rounds), pairs.all_pairs(arguments.build),
                      arguments.build, progress)
        for name in arguments.only or MEASURES:
            show(MEASURES[name][1], MEASURES[name][0](bench))
    except children.Failed as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1
    finally:
        children.kill_all()
    return 0


if __name__ == "__main__":
    sys.exit(main())
