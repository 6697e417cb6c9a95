"""Plots that compare servers: deliveries per CPU second, and memory of each connection."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fastchat.bench.report_numbers import count, number, three
from fastchat.bench.report_points import Cell, Holding
from fastchat.bench.report_style import DPI, FAINT, INK, LOOKS, figure, look, people, spread

TITLES = {
    "flood": "flat out: one publisher keeps its window full",
    "paced": "paced: as many deliveries a second for all",
}
LINE = 15.0  # pixels between the labels at the ends of the lines
KIB = 1024.0


def fan_out(cells: Sequence[Cell]) -> Figure | None:
    """Deliveries per CPU second against members, a panel for each mode, each line labelled at its end."""
    modes = [mode for mode in TITLES if any(cell.mode == mode for cell in cells)]
    if not modes:
        return None
    names = sorted({cell.server for cell in cells})
    most = max(len({cell.server for cell in cells if cell.mode == mode}) for mode in modes)
    height = max(4.2, most * LINE / DPI + 1.4)
    made, axes = figure(height * len(modes) + 0.4, len(modes), 1)
    made.suptitle("What a CPU second of the server delivers", x=0.01, ha="left", weight="bold")
    for axis, mode in zip(axes, modes, strict=True):
        _lines(axis, [cell for cell in cells if cell.mode == mode], names)
        axis.set_title(TITLES[mode])
        axis.set_ylabel("deliveries per CPU second")
    axes[-1].set_xlabel("members of the room")
    _label(made, axes, [[cell for cell in cells if cell.mode == mode] for mode in modes], names)
    return made


def _lines(axis: Axes, cells: Sequence[Cell], names: Sequence[str]) -> None:
    axis.set_xscale("log")
    axis.set_yscale("log")
    for name in sorted({cell.server for cell in cells}):
        style = look(name, names)
        own = sorted((cell for cell in cells if cell.server == name), key=lambda cell: cell.members)
        ends = (
            [cell.per_cpu.median - cell.per_cpu.low for cell in own],
            [cell.per_cpu.high - cell.per_cpu.median for cell in own],
        )
        axis.errorbar(
            [cell.members for cell in own],
            [cell.per_cpu.median for cell in own],
            yerr=ends,
            color=style.colour,
            linestyle=style.line,
            marker=style.marker,
            markerfacecolor=style.face,
            capsize=0,
            elinewidth=0.7,
            linewidth=2.6 if name == "fastchat" else 1.4,
        )
    members = sorted({cell.members for cell in cells})
    axis.set_xticks(members, [count(one) for one in members])
    axis.set_xticks([], minor=True)
    axis.set_xlim(members[0] * 0.8, members[-1] * 1.15)
    low, high = axis.get_ylim()
    if high < 10 * low:  # a scale of its own would blow noise up to differences
        middle = (low * high) ** 0.5
        axis.set_ylim(middle / 10**0.5, middle * 10**0.5)
    people(axis, "y")


def _label(
    made: Figure, axes: Sequence[Axes], panels: Sequence[Sequence[Cell]], names: Sequence[str]
) -> None:
    """Write each server's name beside the end of its line, with what it reached there."""
    made.get_layout_engine().set(rect=(0, 0, 0.76, 1))  # type: ignore[union-attr, call-arg]
    made.draw_without_rendering()
    for axis, cells in zip(axes, panels, strict=True):
        last = {cell.server: cell for cell in sorted(cells, key=lambda cell: cell.members)}
        ends = [(cell.members, cell.per_cpu.median) for cell in last.values()]
        pixels = [axis.transData.transform(end) for end in ends]
        box = axis.get_window_extent()
        heights = spread([float(pixel[1]) for pixel in pixels], LINE, box.y0 + 4, box.y1 - 4)
        for (name, _), end, height in zip(last.items(), ends, heights, strict=True):
            style = look(name, names)
            label = axis.annotate(
                f"{name}  {number(end[1])}",
                end,
                xytext=(box.x1 + 24, height),
                textcoords="figure pixels",
                va="center",
                color=style.colour,
                weight="bold" if name == "fastchat" else "normal",
                fontsize=10,
                annotation_clip=False,
                arrowprops={
                    "arrowstyle": "-",
                    "color": style.colour,
                    "linewidth": 0.5,
                    "relpos": (0, 0.5),
                    "shrinkA": 1,
                    "shrinkB": 4,
                },
            )
            label.set_in_layout(False)  # or the plot would shrink to make room for it once more


def memory(holdings: Sequence[Holding]) -> Figure | None:
    """Resident and kernel memory of each connection, a bar for each server at its largest step."""
    largest = {one.server: one for one in sorted(holdings, key=lambda one: one.connections)}
    shown = sorted(largest.values(), key=_total, reverse=True)
    if not shown:
        return None
    made, (axis,) = figure(1.9 + 0.42 * len(shown))
    made.suptitle("What an idle connection costs in memory", x=0.01, ha="left", weight="bold")
    places = list(range(len(shown)))
    resident = [one.resident.median / KIB for one in shown]
    kernel = [max(0.0, one.kernel.median) / KIB if one.kernel else 0.0 for one in shown]
    axis.barh(places, resident, height=0.62, color=LOOKS[0].colour, label="resident, of the server process")
    axis.barh(
        places,
        kernel,
        left=resident,
        height=0.62,
        color="#dfe7f5",
        edgecolor=INK,
        hatch="///",
        linewidth=0.6,
        label="kernel, both ends on this machine",
    )
    widest = max(one + two for one, two in zip(resident, kernel, strict=True))
    for place, one, two in zip(places, resident, kernel, strict=True):
        text = f"{three(one)} + {three(two)}" if two else f"{three(one)}"
        axis.text(one + two + 0.012 * widest, place, text, va="center")
    axis.set_yticks(places, [f"{one.server}\n{count(one.connections)} connections" for one in shown])
    axis.tick_params(axis="y", length=0, labelsize=10)
    axis.set_xlim(0, 1.2 * widest)
    axis.grid(False, axis="y")
    axis.set_xlabel("KiB of each connection")
    axis.spines["left"].set_color(FAINT)
    made.legend(loc="outside lower center", ncols=2)
    return made


def _total(one: Holding) -> float:
    return one.resident.median + (one.kernel.median if one.kernel else 0.0)
