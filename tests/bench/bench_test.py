#!/usr/bin/env python3
"""That the benchmark says what it measured, and that its peer moves what it says.

    bench_test.py COMMAND...    tests/bench/peer in the build directory, with valgrind and its options
                                before it if it is to be watched
"""

import sys
import unittest

import children
import document
import report
from children import Server
from pairs import LEGACY, OURS, PLAIN, TUNED

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
        for kind in ("plain", "turbotunnel"):
            for mode in ("source", "sink", "echo"):
                with self.subTest(kind=kind, mode=mode):
                    got = self.client(kind, mode, "--bytes", "300001", "--streams", "3")
                    self.assertEqual(got["bytes"], 900003)
                    self.assertEqual(got["connections"], 3 if kind == "plain" else 1)

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
        for mode in ("sink", "source"):
            with self.subTest(mode=mode):
                said = self.client("turbotunnel", mode, "--bytes", "3000001", api="callback")
                self.assertEqual(said["bytes"], 3000001)
                self.client("turbotunnel", mode, "--duration", "0.05", api="callback")

    def test_bad_usage_is_told(self):
        for words in ([], ["server"], ["client", "127.0.0.1:1"], ["server", "--mode", "x", "a:1"],
                      ["server", "--kind", "plain", "--api", "callback", "a:1"],
                      ["client", "--api", "callback", "--streams", "2", "--bytes", "1", "a:1"],
                      ["client", "--api", "callback", "--mode", "echo", "--bytes", "1", "a:1"]):
            with self.assertRaisesRegex(children.Failed, "status 2"):
                children.run([*peer, *words], 60)


if __name__ == "__main__":
    peer = sys.argv[1:]
    unittest.main(argv=sys.argv[:1])
