#!/usr/bin/env python3
"""make bench: plain TCP, our pair and the Go pairs, side by side in one run.

    bench.py BUILD                             all of it, and write docs/benchmarks.md with its plots
    bench.py BUILD --only down --rounds 3      some of it; nothing is written
    QUICK=1 bench.py BUILD                     all of it, coarsely, within a minute; nothing is written

BUILD is where meson built. Numbers of every round go to BUILD/bench.json, and figures.py draws them once
more. With --plots DIR what was measured is drawn in any case, and into DIR.
Exit status: 0 measured (whatever came out), 1 something failed, 2 bad usage.
"""

import argparse
import dataclasses
import json
import os
import sys
import time

import bare
import children
import crowds
import document
import figures
import longlink
import machine
import measures
import pairs
import report
import sealed
import tools
import workers

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DOCUMENT = os.path.join(ROOT, "docs/benchmarks.md")
PLOTS = os.path.join(ROOT, "docs/benchmarks")


@dataclasses.dataclass
class Chapter:
    title: str
    about: str
    measure: object  # Bench -> results
    lines: object    # results -> lines of a table


CHAPTERS = {
    "down": Chapter("One stream, download", "Server to client.", measures.down, report.throughput),
    "bare": Chapter("A bare loop", "The same bytes between two processes that do nothing but `writev` "
                    "and `read` (`tests/bench/bare`): with the sizes of our peers, in the pieces of a "
                    "session, segments of 1376 bytes with headers of 24, and with copies between a "
                    "program's buffer and a library's. Beside them the peers, one download each, with "
                    "the system calls of all their threads as `strace -c` counts them, the sender's in "
                    "an upload. Copies are those at each end, the kernel's own not among them.",
                    bare.measure, report.bare),
    "packets": Chapter("Download by the size of packets", "One stream, with longer and longer packets "
                       "(`--max-packet`); a session makes none longer than the last. Plain TCP "
                       "has none of its own.",
                       measures.packets, report.packets),
    "up": Chapter("One stream, upload", "Client to server, until the server has said that it has "
                  "all.", measures.up, report.throughput),
    "echo": Chapter("One stream, echo", "Each byte goes there and back, and is counted once.",
                    measures.echo, report.throughput),
    "streams": Chapter("Eight streams, download", "Of one session; with plain TCP, eight "
                       "connections. The last column: how far the slowest stream was when the first "
                       "was done.", measures.streams, report.throughput),
    "many-streams": Chapter("A hundred streams, download", "The same with a hundred.",
                            measures.many_streams, report.throughput),
    "uploaders": Chapter("Many clients at once, 4 MB each", "Uploads, each of a program and in a session "
                         "of its own, whose start and end are in the time. Two rounds, since Go takes "
                         "long for one.", measures.uploaders, report.uploaders),
    "uploaders-long": Chapter("Many clients at once, for a while", "The same by time: what each of them "
                              "measured, added up. Go's sink must be told how many bytes will come, so "
                              "it is not here.", measures.uploaders_long, report.uploaders),
    "kept": Chapter("Connections that end", "A download through `lilbastard -w 1`, which ends each "
                    "connection after a second, beside the same through a `lilbastard` that does no "
                    "harm.", measures.kept, report.kept),
    "sealed": Chapter("Sealed", "One stream by callbacks, with keys and without. What sealing costs is the "
                      "difference of their CPU seconds. Beside it a bare loop, of libcrypto's calls alone, that "
                      "seals and opens packets as long as a bulk stream's (`tests/bench/seal_cost`): two of "
                      "them at once, since both ends of a session are busy at once.",
                      sealed.measure, report.sealed),
    "tools": Chapter("Tunnels", "The program `turbotunnel` beside others that lead a connection through two "
                     "processes: one bulk stream of plain TCP at a time, between the same two peers. "
                     "`turbotunnel client --listen` and `server --forward`, sealed; `ssh -L` with an `sshd` of "
                     "its own, both with the settings that they come with; `stunnel` with a "
                     "pre-shared key; `kcptun`, which is KCP and smux over UDP, without compression; and "
                     "two `socat -b 65536`, which seal nothing. kcptun ends both directions of a stream "
                     "together, so that an upload cannot be answered: it is not here. CPU seconds are those "
                     "of the tunnel's processes. A run takes a little more than half a second.",
                     tools.measure, report.tools),
    "link": Chapter("Over a long link", "One stream of a session between two network namespaces, "
                    "joined by `tests/e2e/badlink`, a program that carries each packet with its delay. "
                    "Its bottleneck is set to half of what it carries of plain TCP, with a queue for as "
                    "much as a round trip holds, 256 KiB at least. Packets count with their headers, so "
                    "that no stream gets all of it. Start and end are in the time. Words: 64 bytes, "
                    "echoed, one every 5 ms: on a second stream, with plain TCP on a second connection.",
                    longlink.measure, report.link),
    "files": Chapter("The example programs, echo", "`examples/*/client <file >/dev/null`, start and "
                     "end of the program included.", measures.files, report.throughput),
    "pingpong": Chapter("Ping-pong", "64 bytes there and back, one after the other.",
                        measures.pingpong, report.pingpong),
    "gap-fin": Chapter("Recovery gap after a FIN", "The longest silence of each of many short "
                       "ping-pongs, in which `lilbastard --how fin` ends the connection once.",
                       measures.gap_fin, report.gap),
    "gap-rst": Chapter("Recovery gap after an RST", "The same with `--how rst`.", measures.gap_rst,
                       report.gap),
    "gap-none": Chapter("Silence without a termination", "The same ping-pongs left in peace: how "
                        "much of the gaps is the scheduler's.", measures.gap_none, report.gap),
    "gap-bulk": Chapter("Recovery gap of a download", "After a FIN, at full speed: here client, server "
                        "and proxy compete for the processors. Go at its defaults is not here: its "
                        "downloads pause for 400 ms by themselves.", measures.gap_bulk, report.gap),
    "gap-bulk-none": Chapter("Silence of a download", "The same downloads left in peace.",
                             measures.gap_bulk_none, report.gap),
    "idle": Chapter("Idle sessions", "Resident memory of the server with the sessions, less that "
                    "before the first, divided, when it has given the system back what it does not "
                    "use (`malloc_trim`, Go's `FreeOSMemory`). Each session has a stream on which "
                    "64 kB were echoed (64 bytes with Go clients at a server of ours). "
                    "\"Disconnected\": the client was killed, the connections have ended, and the "
                    "sessions are kept. Our clients say something after 20 to 30 s of silence, Go's "
                    "and the server's end of theirs every 10 s: the callbacks are watched for 30 s, "
                    "all at the same time, in which each of our clients says something once; the rest "
                    "for 2 s. `turbotunnel` and plain TCP have a thread for each stream, as the "
                    "examples do.", crowds.idle, report.idle),
    "held": Chapter("Sessions without a connection", "Held by one server (callbacks): clients of 5,000 "
                    "sessions at a time came, each session had one echo, and were killed. New "
                    "sessions then come one after the other: the time from the call that begins one "
                    "to its first echo.", crowds.held, report.held),
    "visits": Chapter("New sessions", "64 at once, each dialled, used for one echo of 64 bytes, closed, "
                      "and followed by the next; one process at each end, ours with one thread, Go's with "
                      "as many as it likes. Which end limits is seen from the share of a core that "
                      "each used. What a server's memory grew by is divided by the sessions: ours "
                      "remembers a closed one for a minute, Go's learns of the end after a minute of "
                      "silence.", crowds.visits, report.visits),
    "workers": Chapter("Two workers", "The same load at a server (callbacks) with one worker and with two. The "
                       "clients share the cores with it: \"to gain here\" is what the processor time of both "
                       "ends leaves to be gained on this machine, with a core for each worker. The last "
                       "column is what two workers give when each thread has a core, and the clients are "
                       "elsewhere: by the work of the busiest thread. With two there is a third thread, "
                       "which accepts.", workers.measure, report.workers),
    "size": Chapter("Size", "Of the library with all that it is made of (libuv is not in it), and of the "
                    "core alone: its objects linked together.", measures.size, report.size),
    "instructions": Chapter("Instructions", "Of the core's work, counted by callgrind, so that they are the "
                            "same whatever else the machine does. What costs more than 10 % above what is "
                            "recorded in `tests/bench/instructions.txt` is marked, and `make bench-core`, "
                            "which counts the same, fails. Below the table: of one segment, at two "
                            "windows (`tests/bench/kcp-count`).",
                            measures.instructions, report.instructions),
}


def run(bench, names):
    """Measures, and prints each table when it is there. Returns {chapter's name: results}."""
    results = {}
    for name in names:
        chapter, began = CHAPTERS[name], time.monotonic()
        results[name] = chapter.measure(bench)
        report.show_progress("")
        title = f"{chapter.title} ({time.monotonic() - began:.0f} s)"
        print("\n".join(["", title, ""] + chapter.lines(results[name])), flush=True)
    return results


def save(build, results):
    with open(os.path.join(build, "bench.json"), "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1)


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", metavar="BUILD")
    parser.add_argument("--only", action="append", choices=CHAPTERS,
                        help="measure this alone; may be given again")
    parser.add_argument("--rounds", type=int, metavar="N")
    parser.add_argument("--plots", metavar="DIR", help="draw what was measured into DIR")
    return parser.parse_args(arguments)


def choose_plan(options):
    plan = measures.QUICK if os.environ.get("QUICK", "0") not in ("", "0") else measures.Plan()
    rounds = options.rounds
    return dataclasses.replace(plan, rounds=rounds, side_rounds=rounds) if rounds else plan


def measure(options):
    load, began = os.getloadavg()[0], time.monotonic()
    plan = choose_plan(options)
    bench = measures.Bench(plan, pairs.all_pairs(options.build), options.build, report.show_progress)
    bench.insists = bool(options.only)
    facts = machine.facts(options.build, ROOT, load)
    results = run(bench, options.only or CHAPTERS)
    save(options.build, results)
    took_s = time.monotonic() - began
    verdict = document.verdict(results, load, bench.hurried)
    print("\n".join(verdict))
    print(f"\ntook {took_s:.0f} s")
    if plan == measures.Plan() and not options.only:
        text = document.text(CHAPTERS, results, facts, plan, verdict, took_s)
        with open(DOCUMENT, "w", encoding="utf-8") as file:
            file.write(text)
        figures.write(PLOTS, results)
        print("written to docs/benchmarks.md")
    if options.plots:
        figures.write(options.plots, results)


def main(arguments):
    options = parse(arguments)
    return children.guarded("bench", lambda: measure(options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
