#!/usr/bin/env python3
"""That plots show what was measured: points at their places, and figures of the right numbers.

    plot_test.py
"""

import os
import tempfile
import types
import unittest
import xml.etree.ElementTree as ET

import document
import figures
import measures
import plot
import report
from pairs import OURS, PLAIN, TUNED
from plot import Axis, Series

SVG = "{http://www.w3.org/2000/svg}"


class Picture:
    """A plot, read back."""

    def __init__(self, text):
        self.text = text
        self.root = ET.fromstring(text)

    def groups(self, name):
        return [group for group in self.root.iter(SVG + "g") if group.get("class") == name]

    def ticks(self, axis):
        """{text: its coordinate}, of the lines that go with the texts."""
        (group,) = self.groups(axis)
        texts = [text.text for text in group.iter(SVG + "text") if text.get("class") != "label"]
        places = [float(line.get(axis + "1")) for line in group.iter(SVG + "line")]
        assert len(texts) == len(places)
        return dict(zip(texts, places))

    def series(self, name):
        (group,) = [g for g in self.groups("series") if g.find(SVG + "title").text == name]
        return group

    def names(self):
        return [group.find(SVG + "title").text for group in self.groups("series")]

    def circles(self, name):
        return [(float(c.get("cx")), float(c.get("cy"))) for c in self.series(name).iter(SVG + "circle")]

    def lines(self, name):
        return [[tuple(map(float, pair.split(","))) for pair in line.get("points").split()]
                for line in self.series(name).iter(SVG + "polyline")]

    def said(self):
        return [text.text for text in self.root.iter(SVG + "text")]


def draw(*series, x=Axis("x"), y=Axis("y")):
    return Picture(plot.draw("Title", x, y, list(series)))


class TickTest(unittest.TestCase):
    def test_linear_ticks_begin_at_zero_and_are_round(self):
        for highest, ticks in ((0, [0, 1]), (1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
                               (4633, [0, 1000, 2000, 3000, 4000, 5000]),
                               (100, [0, 20, 40, 60, 80, 100]), (101, [0, 50, 100, 150]),
                               (0.007, [0, 0.002, 0.004, 0.006, 0.008])):
            self.assertEqual(plot.linear_ticks(highest), ticks, highest)

    def test_logarithmic_ticks_enclose_the_values(self):
        for lowest, highest, ticks in ((1400, 16384, [1000, 2000, 5000, 10000, 20000]),
                                       (0.3, 32, [0.2, 0.5, 1, 2, 5, 10, 20, 50]),
                                       (1, 1e4, [1, 10, 100, 1000, 10000]),
                                       (3, 70000, [1, 10, 100, 1000, 10000, 100000]),
                                       (5, 5, [2, 5, 10]), (7, 7, [5, 10]),
                                       (1, 1, [0.5, 1, 2])):
            self.assertEqual(plot.log_ticks(lowest, highest), ticks, (lowest, highest))

    def test_their_text_has_no_more_digits_than_it_needs(self):
        for value, text in ((0, "0"), (0.2, "0.2"), (100, "100"), (20000, "20,000"), (2.5, "2.5")):
            self.assertEqual(plot.tick_text(value), text)


class DrawTest(unittest.TestCase):
    def test_points_are_where_the_ticks_of_their_values_are(self):
        for x, y in ((Axis("x"), Axis("y")), (Axis("x", log=True), Axis("y", log=True)),
                     (Axis("x", log=True), Axis("y"))):
            with self.subTest(x=x, y=y):
                picture = draw(Series("a", [(1, 100), (10, 20)]), x=x, y=y)
                at_x, at_y = picture.ticks("x"), picture.ticks("y")
                at_1 = at_x["1"] if x.log else self.tenth(at_x)
                self.assertEqual(picture.circles("a"), [(at_1, at_y["100"]), (at_x["10"], at_y["20"])])
                self.assertEqual(picture.lines("a"), [picture.circles("a")])

    def tenth(self, places):
        return round(places["0"] + (places["10"] - places["0"]) / 10, 1)

    def test_larger_is_to_the_right_and_higher(self):
        (left, low), (right, high) = draw(Series("a", [(1, 1), (2, 2)])).circles("a")
        self.assertLess(left, right)
        self.assertGreater(low, high)

    def test_equal_factors_are_equal_distances_on_a_logarithmic_scale(self):
        picture = draw(Series("a", [(n, 1) for n in (1, 10, 100)]), x=Axis("", log=True))
        places = [x for x, _ in picture.circles("a")]
        self.assertAlmostEqual(places[1] - places[0], places[2] - places[1], delta=0.2)

    def test_points_are_joined_in_the_order_of_x(self):
        self.assertEqual(draw(Series("a", [(3, 1), (1, 2), (2, 3)])).circles("a"),
                         draw(Series("a", [(1, 2), (2, 3), (3, 1)])).circles("a"))

    def test_zero_is_at_the_end_of_a_logarithmic_scale(self):
        picture = draw(Series("a", [(0, 1), (10, 1), (100, 1)]), x=Axis("", log=True))
        self.assertEqual(picture.circles("a")[0][0], picture.ticks("x")["10"])

    def test_one_point_is_a_mark_without_a_line(self):
        picture = draw(Series("a", [(5, 7)]))
        self.assertEqual(len(picture.circles("a")), 1)
        self.assertEqual(picture.lines("a"), [])

    def test_steps_go_from_the_bottom_to_the_right_end(self):
        picture = draw(Series("a", [(2, 50), (4, 100)], join="steps"), y=Axis("%", top=100))
        at_x, at_y = picture.ticks("x"), picture.ticks("y")
        self.assertEqual(picture.lines("a"), [[
            (at_x["2"], at_y["0"]), (at_x["2"], at_y_of(at_y, 50)), (at_x["4"], at_y_of(at_y, 50)),
            (at_x["4"], at_y["100"]), (plot.RIGHT, at_y["100"])]])

    def test_a_level_goes_from_end_to_end_and_does_not_widen_the_x_axis(self):
        picture = draw(Series("a", [(1, 5), (2, 10)]), Series("b", [(1e9, 10)], join="level"))
        y = picture.ticks("y")["10"]
        self.assertEqual(picture.lines("b"), [[(plot.LEFT, y), (plot.RIGHT, y)]])
        self.assertIn("2", picture.ticks("x"))

    def test_nothing_is_a_picture_that_says_so(self):
        for series in ((), (Series("a", []),)):
            for axis in (Axis("x"), Axis("x", log=True)):
                picture = draw(*series, x=axis, y=axis)
                self.assertEqual(picture.names(), [])
                self.assertIn("nothing was measured", picture.said())

    def test_an_axis_goes_to_the_top_that_is_given(self):
        self.assertIn("100", draw(Series("a", [(1, 30)]), y=Axis("%", top=100)).ticks("y"))

    def test_title_axes_and_legend_are_written(self):
        said = draw(Series("ours & <theirs>", [(1, 1)]), x=Axis("size, bytes"), y=Axis("MB/s")).said()
        for words in ("Title", "size, bytes", "MB/s", "ours & <theirs>"):
            self.assertIn(words, said)

    def test_all_is_inside_the_picture(self):
        picture = draw(*(Series(f"a{n}", [(n, 10**n)], look=n) for n in range(6)), y=Axis("", log=True))
        for element in picture.root.iter():
            for direction, most in (("x", plot.WIDTH), ("y", plot.HEIGHT)):
                for key in (direction, direction + "1", direction + "2", "c" + direction):
                    self.assertTrue(0 <= float(element.get(key, 0)) <= most, (element.tag, key))

    def test_the_same_data_give_the_same_bytes(self):
        series = [Series("a", [(1 / 3, 2), (2, 1 / 7)]), Series("b", [(1, 1)], look=1, dashed=True)]
        self.assertEqual(draw(*series).text, draw(*series).text)

    def test_each_look_is_another(self):
        looks = [plot.mark(n, 0, 0) for n in range(len(plot.COLOURS))]
        self.assertEqual(len(set(looks)), len(looks))
        shapes = [look.rpartition(" fill")[0] for look in looks]
        self.assertEqual(len(set(shapes)), len(plot.MARKS) + 1)

    def test_colours_can_be_told_from_either_paper(self):
        for paper in plot.PAPERS:
            for colour in plot.COLOURS:
                self.assertGreaterEqual(contrast(paper, colour), 3, (paper, colour))


def at_y_of(ticks, value):
    return round(ticks["0"] + (ticks["100"] - ticks["0"]) * value / 100, 1)


def luminance(colour):
    """As WCAG 2 has it."""
    parts = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055)**2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(a, b):
    dark, light = sorted((luminance(a), luminance(b)))
    return (light + 0.05) / (dark + 0.05)


def gaps(*silences):
    return [{"silences_ms": list(some)} for some in silences]


def speeds(size, *values):
    return [{"packet_bytes": size, "mb_per_s": value, "cpu_s_per_gb": 1} for value in values]


RESULTS = {
    "packets": {PLAIN: speeds(None, 4000, 5000, 4500), TUNED: speeds(1500, 500, 600, 590),
                OURS: speeds(1400, 1000, 900, 950) + speeds(16384, 2000, 2100, 2200)},
    "gap-fin": {OURS: gaps([2, 1], [4, 3]), TUNED: gaps([30])},
    "gap-rst": {OURS: gaps([1])},
    "gap-none": {OURS: gaps([0.5])},
    "idle": {OURS: [{"sessions": 1000, "bytes_with": 5000, "bytes_without": 4500, "cpu_share": 0.01},
                    {"sessions": 100, "bytes_with": 6000, "bytes_without": 5500, "cpu_share": 0.001}],
             TUNED: [{"sessions": 1000, "bytes_with": 90000, "bytes_without": 89500, "cpu_share": 0.2}]},
}


class FiguresTest(unittest.TestCase):
    def test_throughput_is_the_median_of_each_size(self):
        ours, = [s for s in figures.packets(RESULTS)[2] if s.name == OURS]
        self.assertEqual((ours.join, ours.points), ("line", [(1400, 950), (16384, 2100)]))

    def test_plain_tcp_has_no_packets_and_is_a_level(self):
        plain, = [s for s in figures.packets(RESULTS)[2] if s.name == PLAIN]
        self.assertEqual((plain.join, plain.points[0][1]), ("level", 4500))

    def test_gaps_of_all_rounds_are_accumulated(self):
        ours, = [s for s in figures.gap("gap-fin", "gap-none")(RESULTS)[2] if s.name == OURS]
        self.assertEqual(ours.points, [(1, 25), (2, 50), (3, 75), (4, 100)])

    def test_silences_without_a_termination_are_beside_the_gaps_if_they_were_measured(self):
        def names(results):
            return [s.name for s in figures.gap("gap-fin", "gap-none")(results)[2]]
        self.assertEqual(names(RESULTS), [OURS, TUNED, OURS + ", in peace"])
        self.assertEqual(names({"gap-fin": RESULTS["gap-fin"]}), [OURS, TUNED])

    def test_idle_sessions_may_have_one_number_or_many(self):
        memory = {s.name: s.points for s in figures.idle_memory(RESULTS)[2]}
        self.assertEqual(memory, {OURS: [(1000, 5), (100, 6)], TUNED: [(1000, 90)],
                                  OURS + ", disconnected": [(1000, 4.5), (100, 5.5)],
                                  TUNED + ", disconnected": [(1000, 89.5)]})
        cpu = {s.name: s.points for s in figures.idle_cpu(RESULTS)[2]}
        self.assertEqual(cpu, {OURS: [(1000, 1), (100, 0.1)], TUNED: [(1000, 20)]})

    def test_a_pair_looks_alike_in_all_plots(self):
        looks = {}
        for figure in figures.FIGURES:
            if figure.chapter in RESULTS:
                for series in figure.show(RESULTS)[2]:
                    looks.setdefault(series.name.split(", in")[0].split(", disc")[0], set()).add(series.look)
        self.assertEqual([len(each) for each in looks.values()], [1] * len(looks))

    def test_a_pair_that_is_not_listed_looks_like_no_other(self):
        series = figures.by_sessions({"idle": {"new": RESULTS["idle"][OURS]}}, lambda run: 1)
        self.assertNotIn(series[0].look, figures.LOOKS.values())
        self.assertLess(series[0].look, len(plot.COLOURS))

    def test_what_was_measured_is_written(self):
        with tempfile.TemporaryDirectory() as folder:
            for _again in range(2):
                figures.write(os.path.join(folder, "new"), RESULTS)
            self.assertEqual(sorted(os.listdir(folder + "/new")),
                             ["gap-fin.svg", "gap-rst.svg", "idle-cpu.svg", "idle-memory.svg", "packets.svg"])
            for name in os.listdir(folder + "/new"):
                ET.parse(os.path.join(folder, "new", name))

    def test_a_chapter_shows_its_figures(self):
        self.assertEqual(figures.shown("packets"),
                         ["", "![Download by the size of packets](benchmarks/packets.svg)"])
        self.assertEqual(figures.shown("echo"), [])

    def test_the_document_shows_the_figures_below_the_table(self):
        chapter = types.SimpleNamespace(title="Packets", about="", lines=report.packets)
        text = document.text({"packets": chapter}, RESULTS, [], measures.Plan(), [], 1)
        self.assertTrue(text.endswith("|\n" + "\n".join(figures.shown("packets")) + "\n"))


if __name__ == "__main__":
    unittest.main()
