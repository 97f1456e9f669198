"""Plots as SVG, by hand: nothing to install, and the same data give the same bytes.

    text = draw("Title", Axis("packet, bytes", log=True), Axis("MB/s"),
                [Series("ours", [(1400, 900), (4096, 1200)], look=0)])

A linear axis begins at zero. A plot paints its own paper, light or dark as the reader prefers, so that
it can be read wherever it is shown.
"""

import dataclasses
import math
from xml.sax.saxutils import escape, quoteattr

WIDTH, HEIGHT = 760, 380
LEFT, RIGHT, TOP, BOTTOM = 80, 520, 50, 320  # of the frame; the legend is to the right of it
LEGEND_X, LEGEND_STEP = 544, 24
MARK = 4  # half the size of a mark

PAPERS = ("#ffffff", "#0d1117")
# Each can be told from both papers; plot_test.py computes how well.
COLOURS = ("#2f81d7", "#d1701f", "#a55fd0", "#7d8590", "#2c9464", "#d0506e", "#8a8a2a")

STYLE = f"""\
text {{ font: 13px sans-serif; fill: #1f2328; }}
.title {{ font-size: 16px; font-weight: bold; }}
.paper {{ fill: {PAPERS[0]}; }}
.grid {{ stroke: #d0d7de; }}
.frame {{ stroke: #57606a; fill: none; }}
@media (prefers-color-scheme: dark) {{
  text {{ fill: #e6edf3; }}
  .paper {{ fill: {PAPERS[1]}; }}
  .grid {{ stroke: #30363d; }}
  .frame {{ stroke: #8b949e; }}
}}"""


@dataclasses.dataclass
class Axis:
    label: str          # what, and its unit
    log: bool = False
    top: float = None   # of a linear one, where its end is known: 100 %


@dataclasses.dataclass
class Series:
    """Points are (x, y), drawn in the order of x. How they are joined:

    line   with straight lines, and a mark on each
    steps  a level is kept until the next point: a cumulative distribution
    level  not at all: the y of the first is drawn from end to end, since x means nothing to it
    """

    name: str
    points: list
    look: int = 0       # which colour and mark; the same for the same thing in all plots
    join: str = "line"
    dashed: bool = False


# --- scales -----------------------------------------------------------------------------------


def linear_ticks(highest, wanted=5):
    """From 0 to the first that is not below highest, in steps of 1, 2 or 5."""
    if highest <= 0:
        return [0, 1]
    power = 10.0 ** math.floor(math.log10(highest / wanted))
    step = next(m * power for m in (1, 2, 5, 10) if m * power * wanted >= highest * (1 - 1e-9))
    return [round(n * step, 12) for n in range(math.ceil(highest / step - 1e-9) + 1)]


def log_ticks(lowest, highest):
    """From the last not above lowest to the first not below highest: powers of ten, and in a short
    range 2 and 5 times these too. One value is not at an end.
    """
    mantissas = (1, 2, 5) if highest / lowest < 1000 else (1,)
    first, last = math.floor(math.log10(lowest)) - 1, math.ceil(math.log10(highest)) + 1
    all_ticks = [m * 10**n if n >= 0 else m / 10**-n
                 for n in range(first, last + 1) for m in mantissas]
    below = [tick for tick in all_ticks if tick < lowest or tick == lowest < highest]
    above = [tick for tick in all_ticks if tick > highest or tick == highest > lowest]
    return [tick for tick in all_ticks if below[-1] <= tick <= above[0]]


class Scale:
    """Where values are between two places of the picture."""

    def __init__(self, axis, values, begin, end):
        self.log = axis.log
        if not axis.log:
            self.ticks = linear_ticks(max(values, default=0) if axis.top is None else axis.top)
        else:
            positive = [value for value in values if value > 0] or [1]
            self.ticks = log_ticks(min(positive), max(positive))
        self.begin, self.end = begin, end

    def place(self, value):
        """What is beyond the ends, as zero is on a logarithmic scale, is at the end."""
        low, high = self.ticks[0], self.ticks[-1]
        value = min(max(value, low), high)
        share = math.log(value / low) / math.log(high / low) if self.log else (value - low) / (high - low)
        return self.begin + share * (self.end - self.begin)


# --- drawing ----------------------------------------------------------------------------------


def number(value):
    """A coordinate: 12.3, or 12."""
    return f"{value:.1f}".removesuffix(".0")


def tick_text(value):
    return f"{value:,.6f}".rstrip("0").rstrip(".")


def tag(name, content=None, **attributes):
    words = "".join(f' {key.rstrip("_").replace("_", "-")}={quoteattr(str(value))}'
                    for key, value in attributes.items())
    return f"<{name}{words}/>" if content is None else f"<{name}{words}>{content}</{name}>"


def text(words, x, y, **attributes):
    return tag("text", escape(words), x=number(x), y=number(y), **attributes)


def line(x1, y1, x2, y2, **attributes):
    return tag("line", x1=number(x1), y1=number(y1), x2=number(x2), y2=number(y2), **attributes)


def group(class_, lines):
    return [f'<g class="{class_}">', *lines, "</g>"]


def x_axis(axis, scale):
    for tick in scale.ticks:
        x = scale.place(tick)
        yield line(x, TOP, x, BOTTOM, class_="grid")
        yield text(tick_text(tick), x, BOTTOM + 20, text_anchor="middle")
    yield text(axis.label, (LEFT + RIGHT) / 2, BOTTOM + 44, text_anchor="middle", class_="label")


def y_axis(axis, scale):
    for tick in scale.ticks:
        y = scale.place(tick)
        yield line(LEFT, y, RIGHT, y, class_="grid")
        yield text(tick_text(tick), LEFT - 8, y + 4, text_anchor="end")
    x, y = number(LEFT - 60), number((TOP + BOTTOM) / 2)
    yield tag("text", escape(axis.label), x=x, y=y, text_anchor="middle", class_="label",
              transform=f"rotate(-90 {x} {y})")


MARKS = (
    ((-1, -1), (1, -1), (1, 1), (-1, 1)),            # square
    ((0, -1.4), (1.4, 0), (0, 1.4), (-1.4, 0)),      # diamond
    ((0, -1.3), (1.3, 1), (-1.3, 1)),                # triangle
    ((0, 1.3), (1.3, -1), (-1.3, -1)),               # the other way up
)


def mark(look, x, y):
    colour = COLOURS[look % len(COLOURS)]
    if look % (len(MARKS) + 1) == 0:
        return tag("circle", cx=number(x), cy=number(y), r=MARK, fill=colour)
    corners = MARKS[look % (len(MARKS) + 1) - 1]
    points = " ".join(f"{number(x + MARK * dx)},{number(y + MARK * dy)}" for dx, dy in corners)
    return tag("polygon", points=points, fill=colour)


def stroke(series):
    dashes = {"stroke_dasharray": "6 4"} if series.dashed else {}
    return {"stroke": COLOURS[series.look % len(COLOURS)], "stroke_width": 2, "fill": "none", **dashes}


def polyline(places, series):
    return tag("polyline", points=" ".join(f"{number(x)},{number(y)}" for x, y in places), **stroke(series))


def stairs(places):
    """From the bottom, and on to the right end."""
    y = BOTTOM
    for next_x, next_y in places:
        yield from ((next_x, y), (next_x, next_y))
        y = next_y
    yield (RIGHT, y)


def body(series, xs, ys):
    places = [(xs.place(x), ys.place(y)) for x, y in sorted(series.points)]
    yield tag("title", escape(series.name))
    if series.join == "level":
        yield polyline([(LEFT, places[0][1]), (RIGHT, places[0][1])], series)
    elif series.join == "steps":
        yield polyline(stairs(places), series)
    else:
        if len(places) > 1:
            yield polyline(places, series)
        yield from (mark(series.look, x, y) for x, y in places)


def legend(all_series):
    for n, series in enumerate(all_series):
        y = TOP + 10 + n * LEGEND_STEP
        if series.join != "line" or len(series.points) > 1:
            yield line(LEGEND_X, y, LEGEND_X + 28, y, **stroke(series))
        if series.join == "line":
            yield mark(series.look, LEGEND_X + 14, y)
        yield text(series.name, LEGEND_X + 36, y + 4)


def draw(title, x, y, all_series):
    """Returns the text of the file. A series without points is left out."""
    all_series = [series for series in all_series if series.points]
    xs = Scale(x, [px for s in all_series if s.join != "level" for px, _ in s.points], LEFT, RIGHT)
    ys = Scale(y, [py for s in all_series for _, py in s.points], BOTTOM, TOP)
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
             f'height="{HEIGHT}" role="img">',
             tag("title", escape(title)), tag("style", STYLE),
             tag("rect", width=WIDTH, height=HEIGHT, rx=6, class_="paper"),
             text(title, LEFT, 30, class_="title"), *group("x", x_axis(x, xs)), *group("y", y_axis(y, ys)),
             tag("rect", x=LEFT, y=TOP, width=RIGHT - LEFT, height=BOTTOM - TOP, class_="frame")]
    for series in all_series:
        lines += group("series", body(series, xs, ys))
    lines += group("legend", legend(all_series))
    if not all_series:
        lines.append(text("nothing was measured", (LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2,
                          text_anchor="middle"))
    return "\n".join([*lines, "</svg>"]) + "\n"
