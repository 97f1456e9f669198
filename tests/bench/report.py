"""Tables of what was measured, for the terminal and for docs/benchmarks.md alike."""

import math
import os
import sys
from statistics import median

import workers as loads
from pairs import CALLBACK, OURS, PLAIN, SEALED, TUNED
from tools import OURS as TURBOTUNNEL


def digits(value, count=3):
    """A number with three digits that mean something: 1070, 52.9, 0.0512."""
    if value is None or math.isnan(value):
        return "-"
    if value == 0:
        return "0"
    places = max(0, count - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{places}f}"


def times(value):
    """A ratio: 2.44x, 0.1x is written 0.10x."""
    return "-" if value is None else f"{digits(value, 2 if value < 0.1 else 3)}x"


def mid(rows, key):
    return median(row[key] for row in rows)


def ratio(results, name, base, key):
    """The median of the ratios of each round, or None without the base."""
    if base not in results or name == base:
        return None
    return median(a[key] / b[key] for a, b in zip(results[name], results[base]))


def percentile(values, percent):
    """The smallest value that so many percent are not above."""
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


def table(heads, rows):
    """Lines of a table: the first column to the left, numbers to the right."""
    cells = [list(heads)] + [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(heads))]

    def line(row):
        out = [cell.ljust(widths[i]) if i == 0 else cell.rjust(widths[i])
               for i, cell in enumerate(row)]
        return "| " + " | ".join(out) + " |"

    rule = "|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":"
                          for i, w in enumerate(widths)) + "|"
    return [line(cells[0]), rule] + [line(row) for row in cells[1:]]


def throughput(results):
    heads = ("", "MB/s", "lowest-highest", "x plain", "x tuned Go", "CPU s/GB", "sender + receiver",
             "x plain", "x tuned Go")
    has_shares = any("slowest_share" in row for rows in results.values() for row in rows)
    eight = has_shares and any(row.get("streams", 1) > 1 for row in results[OURS])
    rows = []
    for name, runs in results.items():
        speeds = [run["mb_per_s"] for run in runs]
        row = [name, digits(mid(runs, "mb_per_s")), f"{digits(min(speeds))}-{digits(max(speeds))}",
               times(ratio(results, name, PLAIN, "mb_per_s")),
               times(ratio(results, name, TUNED, "mb_per_s")),
               digits(mid(runs, "cpu_s_per_gb")),
               f"{digits(mid(runs, 'sender_s_per_gb'))} + {digits(mid(runs, 'receiver_s_per_gb'))}",
               times(ratio(results, name, PLAIN, "cpu_s_per_gb")),
               times(ratio(results, name, TUNED, "cpu_s_per_gb"))]
        rows.append(row + ([digits(mid(runs, "slowest_share"))] if eight else []))
    return table(heads + (("slowest stream",) if eight else ()), rows)


def of_packet(runs, size):
    return [run for run in runs if run["packet_bytes"] == size]


def packets(results):
    rows = []
    for name, runs in results.items():
        for size in dict.fromkeys(run["packet_bytes"] for run in runs):
            some = of_packet(runs, size)
            rows.append((name, f"{size:,}" if size else "-", digits(mid(some, "mb_per_s")),
                         digits(mid(some, "cpu_s_per_gb"))))
    return table(("", "packets of up to, bytes", "MB/s", "CPU s/GB"), rows)


def pingpong(results):
    heads = ("", "p50 us", "p99 us", "p50 x plain", "p99 x plain", "p50 x tuned Go",
             "CPU us a round trip, client")
    rows = []
    for name, runs in results.items():
        cpu = median(run["cpu_seconds"] / run["round_trips"] * 1e6 for run in runs)
        rows.append((name, digits(mid(runs, "p50_us")), digits(mid(runs, "p99_us")),
                     times(ratio(results, name, PLAIN, "p50_us")),
                     times(ratio(results, name, PLAIN, "p99_us")),
                     times(ratio(results, name, TUNED, "p50_us")), digits(cpu)))
    return table(heads, rows)


def silences(results, name):
    return [ms for run in results[name] for ms in run["silences_ms"]]


def gap(results):
    rows = []
    for name in results:
        all_ms = silences(results, name)
        rows.append((name, len(all_ms), digits(percentile(all_ms, 50)),
                     digits(percentile(all_ms, 99)), digits(max(all_ms))))
    return table(("", "count", "p50 ms", "p99 ms", "longest ms"), rows)


def idle(results):
    rows = []
    for name, runs in results.items():
        for run in runs:
            without = None if name == PLAIN else run["bytes_without"] / 1000
            rows.append((name, f"{run['sessions']:,}", digits(run["bytes_with"] / 1000), digits(without),
                         digits(run["cpu_share"] * 100), digits(cpu_us_each(run))))
    return table(("server", "sessions", "kB each", "kB each, disconnected", "CPU, % of a core",
                  "us of CPU a session, each second"), rows)


def cpu_us_each(run):
    """The server's processor time for one idle session, in us each second."""
    return run["cpu_share"] / run["sessions"] * 1e6


def held(found):
    rows = [(f"{run['sessions']:,}", f"{run['alive']:,}", digits(run["bytes_each"] / 1000),
             digits(run["p50_us"]), digits(run["p99_us"])) for run in found]
    return table(("sessions that came", "alive", "kB each", "a new one's first echo, p50 us", "p99 us"),
                 rows)


def visits(results):
    rows = []
    for name, (run,) in results.items():
        grown = run["server_after_bytes"] - run["server_before_bytes"]
        rows.append((name, digits(run["sessions_per_s"]),
                     times(ratio(results, name, TUNED, "sessions_per_s")), digits(run["p50_us"] / 1000),
                     digits(run["p99_us"] / 1000), digits(100 * run["server_s"] / run["seconds"]),
                     digits(100 * run["client_s"] / run["seconds"]),
                     digits(1e6 * run["server_s"] / run["sessions"]),
                     digits(run["server_after_bytes"] / 1e6), digits(grown / run["sessions"] / 1000)))
    return table(("server", "sessions/s", "x tuned Go", "first echo, p50 ms", "p99 ms",
                  "server, % of a core", "client, % of a core", "server, us a session",
                  "server, MB at the end", "grown by, kB a session"), rows)


def workers(found):
    """found: of workers.measure."""
    rows = []
    units = {load.name: load.unit for load in loads.LOADS}
    for name, runs in found.items():
        one, two = (runs[count] for count in loads.COUNTS)
        for count, run in runs.items():
            rate, each = run["amount"] / run["seconds"], 1e6 / run["amount"]
            busiest = " + ".join(digits(100 * s / run["server_s"], 2) for s in run["threads_s"][:count])
            rows.append((f"{name}, {count}", f"{digits(rate)} {units[name]}s/s".replace("MBs", "MB"),
                         digits(run["server_s"] * each), digits(run["clients_s"] * each), busiest,
                         *(gains(one, two) if run is two else ("", "", ""))))
    return table(("load, workers", "a second", "server, us for each", "clients, us for each",
                  "busiest threads, % of the server's", "gained", "to gain here",
                  "with a core for each thread"), rows)


def gains(one, two):
    gained = two["amount"] / two["seconds"] / (one["amount"] / one["seconds"])
    return (times(gained), times(loads.most_gain(one, two, os.cpu_count())),
            times(loads.scaling(one, two)))


def uploaders(results):
    counts = sorted({run["clients"] for runs in results.values() for run in runs})
    rows = []
    for name, runs in results.items():
        rows.append((name, *(digits(mid(of_count(runs, n), "mb_per_s")) for n in counts),
                     times(worst_share(runs))))
    return table(("MB/s of all together", *(f"{n} clients" for n in counts), "worst x one"), rows)


def of_count(runs, clients):
    return [run for run in runs if run["clients"] == clients]


def worst_share(runs):
    """The sum of the worst number of clients, as a share of what one makes alone."""
    alone = mid(of_count(runs, 1), "mb_per_s")
    return min(mid(of_count(runs, n), "mb_per_s") for n in {run["clients"] for run in runs}) / alone


def kept_share(results, name):
    return median(run["ended"] / run["whole"] for run in results[name])


def kept(results):
    rows = [(name, digits(mid(runs, "whole")), digits(mid(runs, "ended")),
             times(kept_share(results, name))) for name, runs in results.items()]
    return table(("", "MB/s, left in peace", "MB/s, ended every second", "kept"), rows)


def bare(results):
    first = results["rows"][0][2]
    rows = []
    for what, copies, run in results["rows"]:
        cpu = run["sender_s_per_gb"] + run["receiver_s_per_gb"]
        rows.append((what, copies, digits(run["writes_per_mb"]), digits(run["reads_per_mb"]),
                     digits(run["mb_per_s"]), times(run["mb_per_s"] / first["mb_per_s"]), digits(cpu),
                     f"{digits(run['sender_s_per_gb'])} + {digits(run['receiver_s_per_gb'])}",
                     times(cpu / (first["sender_s_per_gb"] + first["receiver_s_per_gb"]))))
    lines = table(("", "copies", "calls/MB, sender", "receiver", "MB/s", "x first", "CPU s/GB",
                   "sender + receiver", "x first"), rows)
    if results["instructions"]:
        lines += ["", f"To this the core adds {digits(results['instructions'])} instructions for each byte, "
                  "of both ends together (`tests/bench/instructions.txt`)."]
    return lines


def sealed(results):
    rows = []
    for direction, runs in results.items():
        for name in runs:
            is_sealed = name == SEALED
            rows.append((name, direction, digits(mid(runs[name], "mb_per_s")),
                         times(ratio(runs, name, PLAIN, "mb_per_s")),
                         times(ratio(runs, name, CALLBACK, "mb_per_s")),
                         digits(mid(runs[name], "cpu_s_per_gb")),
                         f"{digits(mid(runs[name], 'sender_s_per_gb'))} + "
                         f"{digits(mid(runs[name], 'receiver_s_per_gb'))}",
                         digits(median(sealing_costs(runs)) if is_sealed else None),
                         digits(mid(runs[name], "bare_s_per_gb") if is_sealed else None),
                         times(sealing_of_bare(runs) if is_sealed else None)))
    return table(("", "", "MB/s", "x plain", "x not sealed", "CPU s/GB", "sender + receiver",
                  "sealing, s/GB", "bare loop, s/GB", "x bare loop"), rows)


def tools(results):
    rows = []
    for direction, runs in results.items():
        for name in runs:
            cpu = None if name == PLAIN else mid(runs[name], "tunnel_s_per_gb")
            rows.append((name, direction, digits(mid(runs[name], "mb_per_s")),
                         times(ratio(runs, TURBOTUNNEL, name, "mb_per_s")), digits(cpu),
                         times(cpu and ratio(runs, TURBOTUNNEL, name, "tunnel_s_per_gb"))))
    return table(("", "", "MB/s", "ours, x this", "CPU s/GB of the tunnel", "ours, x this"), rows)


def sealing_costs(runs):
    """[CPU seconds a GB that sealing adds to a session, in each round]"""
    return [sealed["cpu_s_per_gb"] - plain["cpu_s_per_gb"]
            for plain, sealed in zip(runs[CALLBACK], runs[SEALED])]


def sealing_of_bare(runs):
    """The same as a share of the bare loop's: the median of each round's."""
    return median(cost / run["bare_s_per_gb"] for cost, run in zip(sealing_costs(runs), runs[SEALED]))


def link(results):
    if results["missing"]:
        return [f"Left out: {results['missing']}."]
    rows = [(run["pair"], f"{run['rtt_ms']:g} ms", run["direction"], digits(run["carries"]),
             digits(run["rate"]), digits(run["mb_per_s"]), times(run["mb_per_s"] / run["rate"]),
             times(run["mb_per_s"] / beside(results, run, PLAIN)["mb_per_s"]),
             digits(run["words_p50_us"] / 1000), digits(run["words_p99_us"] / 1000))
            for run in results["runs"]]
    return table(("", "round trip", "", "badlink carries, MB/s", "bottleneck, MB/s", "MB/s", "x bottleneck",
                  "x plain", "words, p50 ms", "p99 ms"), rows)


def beside(results, run, name):
    """The run of that pair over the same link."""
    return next(other for other in results["runs"] if other["pair"] == name
                and all(other[key] == run[key] for key in ("rtt_ms", "direction")))


def size(rows):
    return table(("", "text, bytes", "stripped file, bytes"),
                 [(what, f"{text:,}", f"{file:,}") for what, text, file in rows])


def counts(rows):
    return table(("what", "instructions", "recorded", "change"), rows)


def instructions(results):
    if not results:
        return ["Left out."]
    return [*counts(results["rows"]), "", "```text", *results["lines"], "", *results["windows"], "```"]


def show_progress(line):
    """Only a person sees it."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K" + line)
        sys.stderr.flush()
