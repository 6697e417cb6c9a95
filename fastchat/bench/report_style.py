"""How every plot looks, and how it becomes a PNG file.

Invariant: no two series of a plot are told apart by colour alone; marker or line style differ too, and the
colours differ in brightness, so that a grey print can be read. Nothing touches pyplot or a display.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any, NamedTuple

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from PIL import Image

from fastchat.bench.report_numbers import number

DPI = 100
WIDTH = 9.0  # inches: 900 pixels, what a README shows without shrinking
SHADES = 64  # colours of a PNG: line art needs no more, and stays small
INK, FAINT, PAPER = "#1a1a1a", "#8c8c8c", "#ffffff"
LIMIT = "#b3261e"  # a limit, always dashed

SETTINGS = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that every machine draws the same
    "font.size": 11.0,
    "axes.titlesize": 12.0,
    "axes.titlelocation": "left",
    "axes.labelsize": 11.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e2e2e2",
    "grid.linewidth": 0.8,
    "legend.fontsize": 10.0,
    "legend.frameon": False,
    "lines.linewidth": 1.7,
    "lines.markersize": 6.0,
    "figure.facecolor": PAPER,
    "figure.titlesize": 13.0,
    "hatch.linewidth": 0.8,
}


class Look(NamedTuple):
    """Of one series."""

    colour: str
    marker: str
    line: Any  # a name, or (0, lengths of dashes and gaps)
    hollow: bool = False

    @property
    def face(self) -> str:
        """What the marker is filled with."""
        return PAPER if self.hollow else self.colour


LOOKS = (
    Look("#0b3c8c", "o", "-"),
    Look("#d1660a", "s", "--"),
    Look("#1a1a1a", "^", "-."),
    Look("#1f9e77", "D", ":"),
    Look("#9c2c77", "v", (0, (5, 1, 1, 1, 1, 1))),
    Look("#7a7a7a", "P", (0, (7, 2))),
    Look("#5aa9e6", "X", (0, (3, 1, 1, 1))),
    Look("#8a6d00", "*", (0, (1, 1))),
)
OURS = ("fastchat", "fastchat-ws", "threaded", "streams")  # have the same look in every plot


def look(name: str, names: Sequence[str]) -> Look:
    """The look of a series: our own servers first, then the others; the second time round hollow."""
    order = [*OURS, *(one for one in names if one not in OURS)]
    turn, place = divmod(order.index(name), len(LOOKS))
    line = LOOKS[(place + turn) % len(LOOKS)].line
    return LOOKS[place]._replace(line=line, hollow=turn % 2 == 1)


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the report's style, and leave matplotlib's settings as they were."""
    with rc_context(SETTINGS):  # type: ignore[arg-type]
        yield


def figure(height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure of so many inches in height, with its axes row by row."""
    made = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
    made.get_layout_engine().set(w_pad=0.08, h_pad=0.06)  # type: ignore[union-attr, call-arg]
    axes = made.subplots(rows, columns, squeeze=False)
    return made, [one for row in axes for one in row]


def png(drawn: Figure) -> bytes:
    """The picture as a PNG file."""
    canvas = FigureCanvasAgg(drawn)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = bytes(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    image = Image.frombuffer("RGBA", canvas.get_width_height(), pixels)
    small = image.convert("RGB").quantize(SHADES, dither=Image.Dither.NONE)
    file = BytesIO()
    small.save(file, "PNG", optimize=True)
    return file.getvalue()


def people(axis_of: Axes, which: str, text: Callable[[float], str] = number) -> None:
    """Label the ticks of the axis "x" or "y" with numbers for people."""
    axis = axis_of.xaxis if which == "x" else axis_of.yaxis
    if axis.get_scale() == "log":
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_minor_locator(NullLocator())
    else:
        axis.set_major_locator(MaxNLocator(5))
    axis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions near those wanted, at least `gap` apart and within the bounds where there is room for all."""
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    clusters: list[list[float]] = []  # sum of the wanted places of the first, how many
    for place, index in enumerate(order):
        clusters.append([wanted[index] - place * gap, 1])
        while len(clusters) > 1 and clusters[-2][0] / clusters[-2][1] > clusters[-1][0] / clusters[-1][1]:
            last = clusters.pop()
            clusters[-1][0] += last[0]
            clusters[-1][1] += last[1]
    bases = [total / many for total, many in clusters for _ in range(int(many))]
    most = high - gap * max(0, len(wanted) - 1)
    found = [0.0] * len(wanted)
    for place, index in enumerate(order):
        found[index] = max(low, min(bases[place], max(low, most))) + place * gap
    return found


def merged(axes: Sequence[Axes]) -> tuple[list[Any], list[str]]:
    """Handles and labels of a legend for all of the axes, each label once."""
    found: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return list(found.values()), list(found)
