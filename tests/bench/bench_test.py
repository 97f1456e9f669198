#!/usr/bin/env python3
"""That the benchmark says what it measured, and that its peer moves what it says.

    bench_test.py COMMAND...    tests/bench/peer in the build directory, with valgrind and its options
                                before it if it is to be watched
"""

import contextlib
import dataclasses
import io
import itertools
import os
import re
import subprocess
import sys
import tempfile
import time
import unittest
from unittest import mock

import bare
import children
import counts
import crowds
import document
import longlink
import measures
import report
import sealed
import tools
import workers
from children import Child, Server
from pairs import (CALLBACK, CARRIERS, GO_CLIENTS, LEGACY, OURS, PACKETS, PeerPair, PLAIN, SEALED,
                   TUNED, limited)

peer = []  # the words that start it


def runs(*speeds):
    return [{"mb_per_s": speed, "cpu_s_per_gb": 1 / speed} for speed in speeds]


def silent_ms(*silences):
    return {OURS: [{"silences_ms": list(silences)}]}


class ReportTest(unittest.TestCase):
    def test_numbers_have_three_digits_that_mean_something(self):
        for value, text in ((1234.5, "1,234"), (52.94, "52.9"), (0.051234, "0.0512"), (0, "0"),
                            (None, "-")):
            self.assertEqual(report.digits(value), text)

    def test_a_ratio_is_the_median_of_the_ratios_of_each_round(self):
        results = {OURS: runs(10, 30, 50), PLAIN: runs(20, 30, 400)}
        self.assertEqual(report.ratio(results, OURS, PLAIN, "mb_per_s"), 0.5)

    def test_nothing_is_compared_with_itself(self):
        self.assertIsNone(report.ratio({PLAIN: runs(1)}, PLAIN, PLAIN, "mb_per_s"))

    def test_a_percentile_is_a_value_that_came(self):
        values = list(range(100, 0, -1))
        for percent, value in ((50, 50), (99, 99), (100, 100), (1, 1)):
            self.assertEqual(report.percentile(values, percent), value)
        self.assertEqual(report.percentile([1, 2, 3], 50), 2)

    def test_what_two_workers_can_gain_depends_on_who_needs_the_cores(self):
        def run(server_s, clients_s, *threads_s):
            return {"amount": 10, "seconds": 2, "server_s": server_s, "clients_s": clients_s,
                    "threads_s": threads_s}
        cases = (  # the clients need: nothing, as much as the server, a third of it; the server more
            (run(1, 0, 1), run(1, 0, 0.5, 0.5), 2, 2),
            (run(1, 1, 1), run(1, 1, 0.5, 0.5), 1, 2),
            (run(3, 1, 3), run(3, 1, 2, 1), 1.5, 1.5),
            (run(1, 0, 1), run(2, 0, 1, 1), 1, 1),
        )
        for one, two, gain, scaling in cases:
            self.assertAlmostEqual(workers.most_gain(one, two, 2), gain)
            self.assertAlmostEqual(workers.scaling(one, two), scaling)
        lines = report.workers({"8 ping-pongs": {1: cases[2][0], 2: cases[2][1]}})
        self.assertEqual([cell.strip() for cell in lines[-1].split("|")[2:-1]],
                         ["5.00 round trips/s", "300,000", "100,000", "67 + 33", "1.00x",
                          report.times(workers.most_gain(*cases[2][:2], os.cpu_count())), "1.50x"])

    def test_the_cpu_of_a_crowd_is_divided_among_its_sessions(self):
        run = {"sessions": 10_000, "bytes_with": 3210, "bytes_without": 987, "cpu_share": 0.01}
        cells = [cell.strip() for cell in report.idle({CALLBACK: [run]})[-1].split("|")[2:-1]]
        self.assertEqual(cells, ["10,000", "3.21", "0.987", "1.00", "1.00"])

    def test_what_a_server_grew_by_is_divided_among_the_sessions_that_came(self):
        run = {"sessions": 500, "sessions_per_s": 250, "seconds": 2, "p50_us": 1, "p99_us": 2,
               "server_s": 1, "client_s": 0.5, "server_before_bytes": 1_000_000,
               "server_after_bytes": 2_000_000}
        cells = [cell.strip() for cell in report.visits({OURS: [run]})[-1].split("|")[6:-1]]
        self.assertEqual(cells, ["50.0", "25.0", "2,000", "2.00", "2.00"])

    def test_a_bare_loop_is_compared_with_the_first(self):
        def run(mb_per_s, cpu_s):
            return {"mb_per_s": mb_per_s, "sender_s_per_gb": cpu_s, "receiver_s_per_gb": cpu_s,
                    "writes_per_mb": 4, "reads_per_mb": None}
        rows = [("loop", 0, run(1000, 0.1)), (OURS, 1, run(500, 0.2))]
        lines = report.bare({"rows": rows, "instructions": 1.5})
        cells = [cell.strip() for cell in lines[3].split("|")[1:-1]]
        self.assertEqual(cells, [OURS, "1", "4.00", "-", "500", "0.500x", "0.400", "0.200 + 0.200", "2.00x"])
        self.assertIn("1.50 instructions", lines[-1])
        self.assertEqual(len(report.bare({"rows": rows, "instructions": None})), 4)

    def test_all_system_calls_are_counted(self):
        table = """\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 81.23    0.349047           9     38032        12 recvfrom
100.00    0.429676           7     57119{errors} total
"""
        for errors in ("          ", "        12"):
            self.assertEqual(bare.calls_in(table.format(errors=errors)), 57119)

    def test_a_table_is_aligned(self):
        self.assertEqual(report.table(("", "MB/s"), [("ours", "1"), ("x", "12345")]),
                         ["|      |  MB/s |",
                          "|------|------:|",
                          "| ours |     1 |",
                          "| x    | 12345 |"])


class VerdictTest(unittest.TestCase):
    def outcomes(self, results):
        return [row[-1] for row in document.targets(results)]

    def test_three_times_the_speed_at_a_third_of_the_cpu_is_reached(self):
        self.assertEqual(self.outcomes({"down": {LEGACY: runs(601), TUNED: runs(200)}}),
                         ["reached", "reached"])

    def test_less_is_not(self):
        self.assertEqual(self.outcomes({"down": {LEGACY: runs(599), TUNED: runs(200)}}),
                         ["NOT REACHED", "NOT REACHED"])

    def test_what_was_not_measured_is_left_out(self):
        self.assertEqual(self.outcomes({"down": {LEGACY: runs(599)}}), [])

    def test_many_streams_are_judged_by_their_sum_and_by_the_slowest(self):
        eight = [{"mb_per_s": 90, "slowest_share": 0.49}]
        self.assertEqual(self.outcomes({"down": {OURS: runs(100)}, "streams": {OURS: eight}}),
                         ["reached", "NOT REACHED"])

    def test_what_is_kept_is_judged_with_one_connection_and_with_several(self):
        def kept(*ended):
            return {"kept": {name: [{"whole": 100, "ended": n}]
                             for name, n in zip((OURS, CARRIERS), ended)}}
        self.assertEqual(self.outcomes(kept(95, 95)), ["reached"] * 2)
        self.assertEqual(self.outcomes(kept(95, 94)), ["reached", "NOT REACHED"])

    def test_sealing_is_judged_by_what_it_adds_beside_a_bare_loop(self):
        def of(plain_s, sealed_s):
            return {CALLBACK: [{"cpu_s_per_gb": plain_s}],
                    SEALED: [{"cpu_s_per_gb": sealed_s, "bare_s_per_gb": 2}]}
        self.assertEqual(self.outcomes({"sealed": {"down": of(1, 3.29), "up": of(1, 3.31)}}),
                         ["reached", "NOT REACHED"])

    def tunnels(self, mb_per_s, cpu_s, ssh=100, socat=100):
        def of(mb_per_s, cpu_s):
            return [{"mb_per_s": mb_per_s, "tunnel_s_per_gb": cpu_s}]
        runs = {PLAIN: of(1000, 0), tools.OURS: of(mb_per_s, cpu_s), tools.SSH: of(ssh, 1),
                tools.SOCAT: of(socat, 1)}
        return {"tools": {"down": runs, "up": runs}}

    def test_tunnels_are_judged_by_speed_and_cpu(self):
        self.assertEqual(self.outcomes(self.tunnels(200, 0.75)), ["reached"] * 6)
        self.assertEqual(self.outcomes(self.tunnels(119, 0.76)),
                         ["NOT REACHED"] * 4 + ["reached"] * 2)
        self.assertEqual(self.outcomes(self.tunnels(200, 0.75, socat=334)),
                         ["reached"] * 4 + ["NOT REACHED"] * 2)

    def test_plain_tcp_has_no_cpu_of_a_tunnel(self):
        lines = report.tools(self.tunnels(200, 0.75)["tools"])
        cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:5]]
        self.assertEqual(cells, [[PLAIN, "down", "1,000", "0.200x", "-", "-"],
                                 [tools.OURS, "down", "200", "-", "0.750", "-"],
                                 [tools.SSH, "down", "100", "2.00x", "1.00", "0.750x"]])

    def link(self, plain, ours, p99_ms, rtt_ms=100):
        def run(pair, mb_per_s, direction="down"):
            return {"pair": pair, "rtt_ms": rtt_ms, "direction": direction, "carries": 20, "rate": 10,
                    "mb_per_s": mb_per_s, "words_p50_us": 1, "words_p99_us": p99_ms * 1000}
        other = run(PLAIN, 1, "up")
        return {"missing": None, "runs": [other, run(PLAIN, plain), run(OURS, ours)]}

    def test_a_long_link_is_judged_by_its_bottleneck_and_by_words(self):
        self.assertEqual(self.outcomes({"link": self.link(8, 9, 220)}), ["reached"] * 2)
        self.assertEqual(self.outcomes({"link": self.link(8, 8.9, 221)}), ["NOT REACHED"] * 2)
        self.assertEqual(self.outcomes({"link": self.link(8, 9, 20.3, 0.1)}), ["reached", "NOT REACHED"])

    def test_a_run_over_a_link_is_compared_with_that_over_the_same(self):
        cells = [cell.strip() for cell in report.link(self.link(8, 4, 200))[-1].split("|")[1:-1]]
        self.assertEqual(cells, [OURS, "100 ms", "down", "20.0", "10.0", "4.00", "0.400x", "0.500x",
                                 "0.00100", "200"])

    def test_where_there_is_no_link_the_report_says_why(self):
        left_out = {"missing": "need root", "runs": []}
        self.assertEqual(report.link(left_out), ["Left out: need root."])
        self.assertEqual(self.outcomes({"link": left_out}), [])

    def test_text_is_judged_by_its_limit(self):
        rows = [("core", 100_000, 1), ("library", 250_001, 1)]
        self.assertEqual(self.outcomes({"size": rows}), ["reached", "NOT REACHED"])

    def test_many_clients_are_judged_by_their_worst_number(self):
        def of(*speeds):
            return {OURS: [{"clients": n, "mb_per_s": speed}
                           for n, speed in zip((1, 10, 40), speeds)]}
        self.assertEqual(self.outcomes({"uploaders-long": of(100, 80, 200)}), ["reached"])
        self.assertEqual(self.outcomes({"uploaders-long": of(100, 200, 79)}), ["NOT REACHED"])

    def test_the_gap_is_judged_by_its_99th_percentile(self):
        mostly_short = [1] * 98
        self.assertEqual(self.outcomes({"gap-fin": silent_ms(*mostly_short, 2.9, 500)}),
                         ["reached"])
        self.assertEqual(self.outcomes({"gap-rst": silent_ms(*mostly_short, 3.1, 3.1)}),
                         ["NOT REACHED"])

    def idle(self, bytes_with, bytes_without, few_share, many_share, go_share, count=10_000):
        def of(sessions, share):
            return {"sessions": sessions, "cpu_share": share, "bytes_with": bytes_with,
                    "bytes_without": bytes_without}
        return self.outcomes({"idle": {CALLBACK: [of(100, few_share), of(count, many_share)],
                                       GO_CLIENTS: [of(count, go_share)]}})

    def test_idle_sessions_are_judged_by_memory_and_by_cpu(self):
        self.assertEqual(self.idle(3000, 1000, 0.0001, 0.01, 0.05), ["reached"] * 5)
        self.assertEqual(self.idle(3001, 1001, 0.00008, 0.0101, 0.0501), ["NOT REACHED"] * 5)

    def test_a_small_crowd_is_not_judged(self):
        self.assertEqual(self.idle(3001, 1001, 0, 0, 0, count=9999), [])

    def held(self, alive, few_us, many_us):
        return self.outcomes({"held": [{"sessions": 100, "alive": 100, "p50_us": few_us},
                                       {"sessions": 1000, "alive": alive, "p50_us": many_us}]})

    def test_held_sessions_are_to_live_and_to_slow_down_nobody(self):
        self.assertEqual(self.held(1000, 100, 120), ["reached"] * 2)
        self.assertEqual(self.held(999, 100, 121), ["NOT REACHED"] * 2)

    def test_new_sessions_are_to_be_five_times_those_of_go(self):
        def made(ours):
            return {"visits": {CALLBACK: [{"sessions_per_s": ours}], TUNED: [{"sessions_per_s": 1000}]}}
        self.assertEqual(self.outcomes(made(5000)), ["reached"])
        self.assertEqual(self.outcomes(made(4999)), ["NOT REACHED"])

    def warnings(self, plain, tuned, load=0.0, hurried=False):
        results = {"down": {PLAIN: runs(plain), TUNED: runs(tuned)}}
        return list(document.warnings(results, load, hurried))

    def test_a_slow_tuned_pair_on_a_fast_machine_is_told(self):
        self.assertEqual(len(self.warnings(2000, 199)), 1)
        self.assertEqual(len(self.warnings(2000, 200)), 0)
        self.assertEqual(len(self.warnings(1999, 100)), 0)

    def test_a_busy_machine_is_told(self):
        self.assertEqual(len(self.warnings(2000, 300, load=1000)), 1)

    def test_fewer_rounds_are_told(self):
        self.assertEqual(len(self.warnings(2000, 300, hurried=True)), 1)


GCC, CLANG = "gcc 12, release", "clang 14, release"
ROWS = [work.row(size) for work in counts.WORKS for size in work.sizes]
EACH = 1000  # instructions of each row


class CountsTest(unittest.TestCase):
    """make bench-core, with numbers that are given in place of counted ones."""

    def setUp(self):
        folder = self.enterContext(tempfile.TemporaryDirectory())
        self.recorded = os.path.join(folder, "instructions.txt")

    def record(self, numbers, built=GCC):
        with open(self.recorded, "w", encoding="utf-8") as file:
            file.write(counts.Record(built, numbers).text())

    @staticmethod
    def usual_but(others):
        return {**dict.fromkeys(ROWS, EACH), **others}

    def run_counts(self, others=(), *options):
        """Returns the exit status and all that is said."""
        said = io.StringIO()
        with mock.patch.multiple(counts, RECORDED=self.recorded, built_with=lambda build: GCC,
                                 measure=lambda build, progress: self.usual_but(dict(others))), \
                contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            status = counts.main(["build", *options])
        return status, said.getvalue()

    def test_ten_percent_more_is_let_pass_and_eleven_are_not(self):
        self.record(self.usual_but({}))
        for count, status, change in ((500, 0, "-50.0 %"), (1000, 0, "+0.0 %"), (1100, 0, "+10.0 %"),
                                      (1110, 1, "+11.0 % MORE")):
            with self.subTest(count=count):
                got, said = self.run_counts(dict.fromkeys(ROWS, count))
                self.assertEqual(got, status)
                self.assertIn(f"| 1,000 | {change} |", re.sub(" +", " ", said))
                self.assertEqual(said.count("MORE"), status * len(ROWS))
                self.assertEqual("too much: " + "; ".join(ROWS) in said, bool(status))

    def test_what_another_compiler_made_is_not_compared(self):
        self.record(self.usual_but({}), CLANG)
        status, said = self.run_counts({ROWS[0]: 5 * EACH})
        self.assertEqual(status, 0)
        self.assertIn(f"recorded with {CLANG}, not compared: this is {GCC}", said)
        self.assertNotIn("%", said.split("\n\n")[0])

    def test_where_nothing_is_recorded_nothing_is_compared(self):
        status, said = self.run_counts()
        self.assertEqual(status, 0)
        self.assertIn("nothing is recorded, not compared", said)

    def test_a_row_that_is_not_recorded_is_not_compared(self):
        self.record({ROWS[0]: EACH})
        self.assertEqual(self.run_counts({ROWS[1]: 5 * EACH})[0], 0)
        self.assertEqual(self.run_counts({ROWS[0]: 5 * EACH})[0], 1)

    def test_more_remotes_must_not_cost_more_whatever_is_recorded(self):
        many = [row for row in ROWS if row.endswith("of 100,000")]
        self.assertEqual(len(many), 2)
        for row in many:
            for count, status in ((1100, 0), (1110, 1), (900, 0), (890, 1)):
                for options in ((), ("--record",)):
                    with self.subTest(row=row, count=count, options=options):
                        self.record(self.usual_but({row: count}))
                        got, said = self.run_counts({row: count}, *options)
                        self.assertEqual(got, status)
                        self.assertEqual(said.count("NOT ALIKE"), status)
                        self.assertEqual(f"too much: {row}\n" in said, bool(status))
                        self.assertNotIn("MORE", said)

    def test_what_is_recorded_is_compared_with(self):
        self.record(self.usual_but({}))
        status, said = self.run_counts({ROWS[0]: 5 * EACH}, "--record")
        self.assertEqual(status, 0)
        self.assertIn("+400.0 % MORE", said)
        self.assertEqual(self.run_counts({ROWS[0]: 5 * EACH})[0], 0)
        self.assertEqual(self.run_counts({ROWS[0]: 6 * EACH})[0], 1)

    def test_every_row_is_shown_and_recorded(self):
        said = self.run_counts()[1]
        for row in ROWS:
            self.assertIn(f"| {row} ", said)
        here = os.path.dirname(os.path.abspath(__file__))
        recorded = counts.read_record(os.path.join(here, "instructions.txt"))
        self.assertEqual(list(recorded.counts), ROWS)

    def test_the_document_has_every_row_and_both_windows(self):
        counted = counts.Record(GCC, self.usual_but({}))
        verdict = counts.judge(counted, counted)
        lines = report.instructions({"rows": verdict.rows, "lines": verdict.lines,
                                     "windows": ["acked 811 811"]})
        self.assertEqual([line.split("|")[1].strip() for line in lines[2:2 + len(ROWS)]], ROWS)
        self.assertEqual(lines[2 + len(ROWS)], "")
        self.assertIn(f"built and recorded with {GCC}", lines)
        self.assertEqual(lines[-2:], ["acked 811 811", "```"])
        self.assertEqual(report.instructions(None), ["Left out."])

    def test_all_that_is_to_be_counted_is_done(self):
        program = os.path.join(os.path.dirname(peer[-1]), "core_count")
        for work in counts.WORKS:
            for size in work.sizes:
                with self.subTest(work=work.name, size=size):
                    children.run([*peer[:-1], program, work.name, str(size), "20"], 60)

    def test_work_that_is_not_there_is_told(self):
        program = os.path.join(os.path.dirname(peer[-1]), "core_count")
        for words in ((), ("nothing", "1", "1"), ("ping", "0", "0"), ("ping", "0")):
            with self.assertRaisesRegex(children.Failed, "status 2"):
                children.run([*peer[:-1], program, *words], 60)


class FakePair:
    """Its speed is its number."""

    guess_mb_per_s = 1

    def __init__(self, name, speed):
        self.name = name
        self.speed = speed

    def transfer(self, *_):
        return {"seconds": 1, "mb_per_s": self.speed}


class MeasuresTest(unittest.TestCase):
    def test_packets_of_all_sizes_are_measures_of_our_pair(self):
        pairs = {name: FakePair(name, n)
                 for n, name in enumerate((PLAIN, TUNED, *map(limited, PACKETS)))}
        got = measures.packets(measures.Bench(measures.Plan(side_rounds=2), pairs, "", lambda line: None))
        found = {name: [(run["packet_bytes"], run["mb_per_s"]) for run in rounds]
                 for name, rounds in got.items()}
        self.assertEqual(found, {
            PLAIN: [(None, 0)] * 2, TUNED: [(1500, 1)] * 2,
            OURS: [(size, 2 + n) for n, size in enumerate(PACKETS) for _round in range(2)]})

    def test_a_late_measure_has_the_fewest_rounds(self):
        plan = measures.Plan(rounds=3, limit_s=-1, fewest_rounds=1)
        bench = measures.Bench(plan, {PLAIN: FakePair(PLAIN, 0)}, "", lambda line: None)
        self.assertEqual(bench.take_turns("what", (PLAIN,), lambda pair: pair.speed), {PLAIN: [0]})
        self.assertTrue(bench.hurried)

    def test_a_measure_may_have_a_number_of_rounds_of_its_own(self):
        bench = measures.Bench(measures.Plan(rounds=5), {PLAIN: None}, "", lambda line: None)
        for rounds, count in ((None, 5), (3, 3)):
            self.assertEqual(len(bench.take_turns("what", (PLAIN,), lambda pair: 0, rounds)[PLAIN]), count)
        self.assertFalse(bench.hurried)


class PeerTest(unittest.TestCase):
    def tearDown(self):
        children.kill_all()

    def client(self, kind, mode, *options, api="blocking"):
        common = ["--kind", kind, "--api", api, "--mode", mode]
        with Server([*peer, "server", *common, "127.0.0.1:0"]) as server:
            said = children.run_json([*peer, "client", *common, *options, server.address], 120)
        self.assertEqual(server.process.returncode, 0)
        return said

    def test_all_bytes_of_all_streams_are_counted(self):
        for kind in ("plain", "turbotunnel", "turbotunnel-sealed"):
            for mode in ("source", "sink", "echo"):
                with self.subTest(kind=kind, mode=mode):
                    got = self.client(kind, mode, "--bytes", "300001", "--streams", "3")
                    self.assertEqual(got["bytes"], 900003)
                    self.assertEqual(got["connections"], 3 if kind == "plain" else 1)

    def test_several_connections_carry_one_session(self):
        got = self.client("turbotunnel", "sink", "--carriers", "3", "--bytes", "30000001")
        self.assertEqual(got["bytes"], 30_000_001)
        self.assertGreaterEqual(got["connections"], 2)

    def test_words_are_said_beside_a_stream(self):
        for kind in ("plain", "turbotunnel"):
            for mode in ("source", "sink"):
                with self.subTest(kind=kind, mode=mode):
                    common = ["--kind", kind, "--mode"]
                    with Server([*peer, "server", *common, "choose", "127.0.0.1:0"]) as server:
                        got = children.run_json([*peer, "client", *common, mode, "--words", "--duration",
                                                 "0.05", server.address], 60)
                    self.assertEqual(got["mode"], mode)
                    self.assertGreater(got["words"], 0)
                    self.assertLessEqual(got["words_p50_us"], got["words_p99_us"])

    def test_packets_can_be_limited(self):
        got = self.client("turbotunnel", "source", "--max-packet", "1400", "--bytes", "300001")
        self.assertEqual(got["bytes"], 300001)
        with self.assertRaisesRegex(children.Failed, "must be 1400 to 65535"):
            self.client("turbotunnel", "source", "--max-packet", "1399", "--bytes", "1")

    def test_round_trips_are_counted(self):
        for kind, api in (("plain", "blocking"), ("turbotunnel", "blocking"),
                          ("turbotunnel", "callback")):
            with self.subTest(kind=kind, api=api):
                got = self.client(kind, "echo", "--pingpong", "20", api=api)
                self.assertEqual(got["round_trips"], 20)
                self.assertLessEqual(got["p50_us"], got["p99_us"])

    def test_a_transfer_by_time_ends(self):
        for kind in ("plain", "turbotunnel"):
            for mode in ("source", "sink", "echo"):
                with self.subTest(kind=kind, mode=mode):
                    self.assertEqual(self.client(kind, mode, "--duration", "0.05")["mode"], mode)

    def test_a_server_that_is_gone_is_an_error(self):
        with Server([*peer, "server", "127.0.0.1:0"]) as server:
            address = server.address
        for kind in ("plain", "turbotunnel"):
            with self.assertRaises(children.Failed):
                children.run([*peer, "client", "--kind", kind, "--bytes", "1", address], 60)

    def test_bulk_by_callbacks_is_counted(self):
        for kind, mode in itertools.product(("turbotunnel", "turbotunnel-sealed"), ("sink", "source")):
            with self.subTest(kind=kind, mode=mode):
                said = self.client(kind, mode, "--bytes", "3000001", api="callback")
                self.assertEqual(said["bytes"], 3000001)
                many = self.client(kind, mode, "--bytes", "100001", "--streams", "5", api="callback")
                self.assertEqual(many["bytes"], 500005)
                self.assertGreater(many["slowest_share"], 0)
                self.client(kind, mode, "--duration", "0.05", api="callback")

    def visits(self, *options, kind="turbotunnel"):
        """Returns what the client said, once the server knows that all sessions were closed; a legacy
        client does not tell it.
        """
        common = ["--kind", kind, "--api", "callback"]
        with Server([*peer, "server", "--api", "callback", "127.0.0.1:0"]) as server:
            got = children.run_json(
                [*peer, "client", *common, "--visits", "20", *options, server.address], 60)
            deadline = time.monotonic() + 60
            while kind == "turbotunnel" and server.state()["sessions"] > 0:
                self.assertLess(time.monotonic(), deadline, "closed sessions are counted as alive")
        return got

    def test_sessions_that_come_and_go_are_counted(self):
        for kind, visitors in (("turbotunnel", 1), ("turbotunnel-legacy", 1),
                               ("turbotunnel-legacy", 3), ("turbotunnel-legacy", 50)):
            with self.subTest(kind=kind, visitors=visitors):
                got = self.visits("--visitors", str(visitors), kind=kind)
                self.assertEqual(got["sessions"], 20)
                self.assertLessEqual(got["p50_us"], got["p99_us"])

    def test_sessions_stop_coming_when_time_is_up(self):
        self.assertLessEqual(self.visits("--duration", "0.001")["sessions"], 20)

    def test_bad_usage_is_told(self):
        for words in ([], ["server"], ["client", "127.0.0.1:1"], ["server", "--mode", "x", "a:1"],
                      ["server", "--kind", "plain", "--api", "callback", "a:1"],
                      ["server", "--kind", "plain", "--max-packet", "1400", "a:1"],
                      ["server", "--api", "callback", "--max-packet", "1400", "a:1"],
                      ["client", "--api", "callback", "--mode", "echo", "--bytes", "1", "a:1"],
                      ["client", "--words", "a:1"], ["client", "--mode", "choose", "a:1"],
                      ["server", "--api", "callback", "--mode", "choose", "a:1"],
                      ["client", "--api", "callback", "--words", "--mode", "sink", "--bytes", "1", "a:1"],
                      ["server", "--workers", "2", "a:1"],
                      ["server", "--api", "callback", "--workers", "0", "a:1"],
                      ["client", "--visits", "1", "a:1"]):
            with self.assertRaisesRegex(children.Failed, "status 2"):
                children.run([*peer, *words], 60)


class LinkTest(unittest.TestCase):
    def bench(self, link_s, insists):
        bench = measures.Bench(measures.Plan(link_s=link_s), {}, "", lambda line: None)
        bench.insists = insists
        return bench

    def test_a_link_that_cannot_be_is_left_out_but_not_when_it_is_asked_for(self):
        with mock.patch.object(longlink, "missing", lambda: "need root"):
            self.assertEqual(longlink.measure(self.bench(1, False)), {"missing": "need root", "runs": []})
            with self.assertRaisesRegex(children.Failed, "no link: need root"):
                longlink.measure(self.bench(1, True))

    def test_a_quick_run_has_none(self):
        self.assertIn("quick", longlink.measure(self.bench(0, False))["missing"])


class SealedTest(unittest.TestCase):
    def test_a_bare_loop_follows_each_sealed_transfer(self):
        pairs = {name: FakePair(name, 1) for name in sealed.NAMES}
        bench = measures.Bench(measures.Plan(side_rounds=4), pairs, "", lambda line: None)
        with mock.patch.object(sealed, "bare_s_per_gb", lambda bench: 2):
            got = sealed.measure(bench)
        for direction in ("down", "up"):
            for name, runs in got[direction].items():
                bare_s = [run.get("bare_s_per_gb") for run in runs]
                self.assertEqual(bare_s, [2 if name == SEALED else None] * 4)

    def test_the_bare_loop_takes_a_size_of_packets(self):
        program = os.path.join(os.path.dirname(peer[-1]), "seal_cost")
        said = children.run([*peer[:-1], program, "1", "1234"], 60).output.decode().split()
        self.assertEqual(said[0], "1234")
        self.assertTrue(all(float(number) > 0 for number in said[1:]), said)
        for words in (("0",), ("x",), ("-1",), ("1", "0"), ("1", "65001"), ("1", "1", "1")):
            with self.assertRaisesRegex(children.Failed, "status 2"):
                children.run([*peer[:-1], program, *words], 60)


class ToolsTest(unittest.TestCase):
    """Each tunnel carries a stream, and leaves nothing behind."""

    def tearDown(self):
        children.kill_all()

    def through(self, start, mode):
        pair = PeerPair(PLAIN, "", "plain", "blocking", 0)
        pair.peer = peer
        build = os.path.dirname(os.path.dirname(os.path.dirname(peer[-1])))
        with Server(pair.server(mode)) as server, tools.Tunnel(start, build, server.address) as tunnel:
            got = children.run_json(pair.client(mode, tunnel.entry, bytes=3_000_001), 60)
            self.assertEqual(got["bytes"], 3_000_001)
        self.assertTrue(all(child not in children.running for child in tunnel.processes))

    def test_every_tunnel_carries_a_stream(self):
        for name, start in tools.STARTS.items():
            for mode in ("source",) if name in tools.ENDS_BOTH else ("source", "sink"):
                with self.subTest(name=name, mode=mode):
                    self.through(start, mode)

    def test_a_tunnel_that_is_not_installed_is_told(self):
        with mock.patch.object(tools.shutil, "which", lambda name, path: None):
            with self.assertRaisesRegex(children.Failed, "socat is not installed: run scripts/bootstrap"):
                with tools.Tunnel(tools.start_socat, "", "127.0.0.1:1"):
                    pass

    def test_what_descendants_used_is_counted_when_they_have_ended_too(self):
        busy = "i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done"
        for command, processes in ((f"{busy}; echo ready >&2; read x", 1),
                                   (f"(sh -c '{busy}; :'); echo ready >&2; read x", 1),
                                   (f"sh -c '{busy}; echo ready >&2; read x'; :", 2)):
            with self.subTest(command=command):
                child = Child(["/bin/sh", "-c", command], stdin=subprocess.PIPE)
                child.wait_said("ready")
                self.assertEqual(len(tools.descendants(child.process.pid)), processes)
                self.assertGreaterEqual(tools.family_cpu_s(child.process.pid), 0.02)
                child.kill()


class BareTest(unittest.TestCase):
    """The loop that nothing is done in."""

    def run_bare(self, *words):
        program = os.path.join(os.path.dirname(peer[-1]), "bare")
        return children.run_json([*peer[:-1], program, *map(str, words)], 60)

    def test_all_sizes_are_moved_and_calls_are_counted(self):
        for write, piece, read, copies in ((65536, 0, 65536, 0), (262144, 1376, 65536, 2), (100, 10, 7, 1)):
            with self.subTest(write=write, piece=piece):
                got = self.run_bare(write, piece, read, copies, 0.02)
                self.assertGreaterEqual(got["bytes"], write)
                self.assertGreaterEqual(round(got["writes_per_mb"] * got["bytes"] / 1e6),
                                        got["bytes"] // write)
                self.assertGreaterEqual(round(got["reads_per_mb"] * got["bytes"] / 1e6),
                                        got["bytes"] // read)

    def test_bad_usage_is_told(self):
        for words in ((), (0, 0, 1, 0, 1), (1 << 21, 0, 1, 0, 1), (100, 0, 0, 0, 1), (100, 0, 1, 0, 0)):
            with self.assertRaisesRegex(children.Failed, "status 1"):
                self.run_bare(*words)


class CrowdTest(unittest.TestCase):
    """The same as is done with thousands."""

    def setUp(self):
        plan = measures.Plan(crowds=(20,), held_sessions=(3, 20), batch_sessions=7, first_echoes=5)
        pair = PeerPair(CALLBACK, "", "turbotunnel", "callback", 0)
        pair.peer = peer
        self.bench = measures.Bench(plan, {CALLBACK: pair}, "", lambda line: None)

    def tearDown(self):
        children.kill_all()

    def test_an_idle_crowd_is_there_and_leaves(self):
        for burst_bytes in (1, 300_000):
            with self.subTest(burst_bytes=burst_bytes):
                (found,) = crowds.hold(self.bench, [(CALLBACK, 20, burst_bytes)], 0.01)
                self.assertEqual(found["sessions"], 20)
                self.assertGreater(found["bytes_with"], 0)

    def test_sessions_outlive_their_clients(self):
        few, many = crowds.held(self.bench)
        self.assertEqual((few["sessions"], few["alive"]), (3, 3))
        self.assertEqual((many["sessions"], many["alive"]), (20, 20))

    def test_workers_share_the_load(self):
        load = dataclasses.replace(workers.LOADS[2], clients=1,
                                   options=lambda _: {"visits": 200, "visitors": 32})
        for count in (1, 2):
            run = workers.run_load(self.bench.pairs[CALLBACK], load, count, 0.2)
            self.assertEqual(run["amount"], 200)
            self.assertGreater(run["clients_s"], 0)
            busy = sum(s > 0.01 * run["server_s"] for s in run["threads_s"])
            self.assertEqual(busy, 1 if count == 1 else 3)  # the third accepts

    def test_the_servers_processor_time_is_measured(self):
        plan = self.bench.plan
        plan.visits_s, plan.visitors = 0.05, 4
        got = crowds.come_and_go(self.bench, self.bench.pairs[CALLBACK])
        self.assertGreater(got["sessions"], 0)
        self.assertGreater(got["server_s"], 0)


if __name__ == "__main__":
    peer = sys.argv[1:]
    unittest.main(argv=sys.argv[:1])
