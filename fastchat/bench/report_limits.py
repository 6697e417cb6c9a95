"""Plots of what was promised: the knee predicted and measured, and a server beyond it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fastchat.bench.report_numbers import milliseconds, share
from fastchat.bench.report_points import ROOMS, Knee, Overload, rooms_in_words
from fastchat.bench.report_style import FAINT, INK, LIMIT, LOOKS, PAPER, figure, merged, people
from fastchat.bench.report_tables import band

MARKERS = dict(zip(ROOMS, LOOKS, strict=False))
TIMES = 2.0  # p99 of those let in, against that below the limit, at most
CLEAR = {"facecolor": PAPER, "edgecolor": "none", "pad": 1.0}  # so that no line runs through a text
MOST = 3  # cases beside each other
SMALL = 100  # bytes: payloads above it are drawn hollow


def knees(found: Sequence[Knee]) -> Figure | None:
    """Predicted against measured, a panel for each server, with the band that was promised."""
    measured = [knee for knee in found if knee.measured is not None]
    servers = sorted({knee.server for knee in measured})
    if not servers:
        return None
    made, axes = figure(5.6, 1, len(servers))
    made.suptitle("The knee: predicted from light loads, and measured", x=0.01, ha="left", weight="bold")
    for axis, server in zip(axes, servers, strict=True):
        total = sum(knee.server == server for knee in found)
        _knees(axis, [knee for knee in measured if knee.server == server], server, total)
    axes[0].set_ylabel("measured knee, clients")
    handles, labels = merged(axes)
    made.legend(handles, labels, loc="outside lower center", ncols=3)
    return made


def _knees(axis: Axes, found: Sequence[Knee], server: str, total: int) -> None:
    values = [value for knee in found for value in (knee.predicted.median, knee.measured) if value]
    ends = [min(values) / 1.4, max(values) * 1.4]
    tolerance = band(server)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.fill_between(
        ends,
        [end / (1 + tolerance) for end in ends],
        [end / (1 - tolerance) for end in ends],
        color="#dddddd",
        label=f"within {share(tolerance)}",
    )
    axis.plot(ends, ends, color=FAINT, linestyle="--", linewidth=1.1, label="as predicted")
    for rooms in dict.fromkeys(knee.rooms for knee in found):
        style = MARKERS.get(rooms, LOOKS[-1])
        for hollow in (False, True):
            own = [k for k in found if k.rooms == rooms and (k.payload > SMALL) == hollow]
            if not own:
                continue
            size = f"more than {SMALL} bytes" if hollow else f"{SMALL} bytes"
            axis.errorbar(
                [knee.predicted.median for knee in own],
                [knee.measured or 0.0 for knee in own],
                yerr=(
                    [max(0.0, (knee.measured or 0.0) - knee.low) for knee in own],
                    [max(0.0, (knee.high or knee.measured or 0.0) - (knee.measured or 0.0)) for knee in own],
                ),
                linestyle="",
                marker=style.marker,
                color=style.colour,
                markerfacecolor="white" if hollow else style.colour,
                markersize=8,
                elinewidth=1,
                label=f"{rooms_in_words(rooms)}, {size}",
            )
    inside = sum(abs(knee.error or 0.0) <= tolerance for knee in found)
    axis.set_title(f"{server}: {inside} of {total} within {share(tolerance)}")
    axis.set_xlim(*ends)
    axis.set_ylim(*ends)
    axis.set_xlabel("predicted knee, clients")
    people(axis, "x")
    people(axis, "y")


def overload(found: Sequence[Overload]) -> Figure | None:
    """p99 and refusals at and beyond what the model allows, with admission and without, a column a case."""
    cases = list(dict.fromkeys((one.server, one.rooms) for one in found))[:MOST]
    if not cases:
        return None
    made, axes = figure(6.6, 2, len(cases))
    made.suptitle("Beyond its capacity: refuse a part, or be late for all", x=0.01, ha="left", weight="bold")
    for column, case in enumerate(cases):
        shown = [one for one in found if (one.server, one.rooms) == case]
        upper, lower = axes[column], axes[len(cases) + column]
        names = [f"rho {one.rho:g}\nadmission {'on' if one.admission else 'off'}" for one in shown]
        for axis in (upper, lower):
            axis.set_xticks(list(range(len(shown))), names)
            axis.set_xlim(-0.6, len(shown) - 0.4)
            axis.grid(False, axis="x")
            axis.tick_params(axis="x", length=0, labelsize=10)
        upper.set_title(f"{case[0]}: {rooms_in_words(case[1])}")
        _latencies(upper, shown)
        _refusals(lower, shown)
    axes[0].set_ylabel("p99 latency")
    axes[len(cases)].set_ylabel("per cent of what was offered")
    made.legend(*merged(axes), loc="outside lower center", ncols=3)
    return made


def _latencies(axis: Axes, shown: Sequence[Overload]) -> None:
    axis.set_yscale("log")
    for place, one in enumerate(shown):
        axis.bar(place, 1e3 * one.p99.median, width=0.6, **_bar(one.admission))
        axis.annotate(
            milliseconds(one.p99.median),
            (place, 1e3 * one.p99.median),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            bbox=CLEAR,
        )
    values = [1e3 * one.p99.median for one in shown]
    base = next((one.p99.median for one in shown if one.rho < 1), None)
    if base:
        label = f"{TIMES:g} × p99 at rho below 1"
        axis.axhline(1e3 * TIMES * base, color=LIMIT, linestyle="--", linewidth=1.3, label=label)
        values.append(1e3 * TIMES * base)
    axis.set_ylim(min(values) / 4, max(values) * 3)
    people(axis, "y", lambda value: milliseconds(value / 1e3))


def _refusals(axis: Axes, shown: Sequence[Overload]) -> None:
    for place, one in enumerate(shown):
        total = one.offered.median or 1.0
        delivered, refused = one.achieved.median / total, one.refused.median / total
        axis.bar(place, 100 * delivered, width=0.6, color=LOOKS[0].colour, label="delivered")
        axis.bar(
            place, 100 * refused, bottom=100 * delivered, width=0.6, color="white", edgecolor=INK, hatch="xx",
            label="refused (101)",
        )  # fmt: skip
        axis.annotate(
            f"{share(delivered)} + {share(refused)}" if refused else share(delivered),
            (place, 100 * (delivered + refused)),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
        )
    axis.axhline(100, color=FAINT, linestyle=":", linewidth=1.2)
    axis.set_ylim(0, 130)
    axis.set_yticks([0, 25, 50, 75, 100])


def _bar(admission: bool) -> dict[str, Any]:
    if admission:
        return {"color": LOOKS[0].colour, "label": "admission on"}
    return {"color": "white", "edgecolor": LOOKS[1].colour, "hatch": "///", "label": "admission off"}
