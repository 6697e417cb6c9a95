"""Plots of one load from little to too much: throughput, latency, and the CPU share that misleads.

Each curve has a panel of its own, so that every panel has few lines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fastchat.bench.report_model import line
from fastchat.bench.report_numbers import number
from fastchat.bench.report_points import Curve, Predicted, Trial
from fastchat.bench.report_style import FAINT, LIMIT, LOOKS, figure, merged, people

PANEL = 3.6  # inches of height
MOST = 4  # panels of a picture


def throughput(curves: Sequence[Curve]) -> Figure | None:
    """Achieved against offered load, with the line N and the knee."""
    title = "A server keeps up with what is offered while that stays below N"
    return _panels(curves, _throughput, title, "messages per second")


def latency(curves: Sequence[Curve]) -> Figure | None:
    """p50, p99 and iteration length against rho, with the model's lines."""
    return _panels(curves, _latency, "Latency bends up where rho = r × C / N nears 1", "milliseconds")


def _panels(
    curves: Sequence[Curve], draw: Callable[[Axes, Curve], None], title: str, unit: str
) -> Figure | None:
    shown = [curve for curve in curves if curve.trials][:MOST]
    if not shown:
        return None
    columns = 2 if len(shown) > 1 else 1
    rows = ceil(len(shown) / columns)
    made, axes = figure(1.2 + PANEL * rows, rows, columns)
    made.suptitle(title, x=0.01, ha="left", weight="bold")
    for place, (axis, curve) in enumerate(zip(axes, shown, strict=False)):
        draw(axis, curve)
        axis.set_title(f"{curve.name}\n{curve.about}")
        if place % columns == 0:
            axis.set_ylabel(unit)
    for axis in axes[len(shown) :]:
        axis.set_axis_off()
    handles, labels = merged(axes[: len(shown)])
    made.legend(handles, labels, loc="outside lower center", ncols=3)
    return made


def _throughput(axis: Axes, curve: Curve) -> None:
    top = 1.08 * max(*(trial.offered for trial in curve.trials), curve.allowed.median)
    axis.plot([0, top], [0, top], color=FAINT, linestyle=":", label="achieved = offered")
    low, middle, high = curve.allowed
    axis.axhspan(low, high, color=LIMIT, alpha=0.12, linewidth=0)
    axis.axhline(middle, color=LIMIT, linestyle="--", label="N, predicted, with its 95 % interval")
    if curve.knee:
        axis.axvspan(*curve.knee, color="#cfcfcf", linewidth=0, label="the measured knee lies in here")
    for verdict, marker, face, label in (
        ("passed", "o", LOOKS[0].colour, "measured, p99 within the limit"),
        ("failed", "X", "white", "measured, beyond a limit"),
        ("saturated", "P", FAINT, "the generator was the limit"),
    ):
        found = [trial for trial in curve.trials if trial.verdict == verdict]
        if not found:
            continue
        axis.plot(
            [trial.offered for trial in found],
            [trial.achieved for trial in found],
            linestyle="",
            marker=marker,
            markersize=8,
            markerfacecolor=face,
            markeredgecolor=LOOKS[0].colour,
            label=label,
        )
    axis.annotate(
        f"N = {number(middle)}/s",
        (0.02, middle),
        xycoords=("axes fraction", "data"),
        xytext=(0, 4),
        textcoords="offset points",
        color=LIMIT,
    )
    axis.set_xlim(0, top)
    axis.set_ylim(0, 1.12 * top)
    axis.set_xlabel("offered r × C, messages per second")
    people(axis, "x")
    people(axis, "y")


def _latency(axis: Axes, curve: Curve) -> None:
    series: tuple[tuple[str, Callable[[Trial | Predicted], float | None]], ...] = (
        ("p99", lambda one: one.p99),
        ("p50", lambda one: one.p50),
        ("iteration", lambda one: one.iteration),
    )
    model = line(curve)
    highest = max(trial.p99 for trial in curve.trials)
    for (name, value), style in zip(series, LOOKS, strict=False):
        measured = [(trial.rho, found) for trial in curve.trials if (found := value(trial))]
        predicted = [
            (rho, found)
            for rho, said in model
            if (found := value(said)) and found <= max(2 * highest, 2 * curve.limit)
        ]
        axis.plot(*_columns(predicted), color=style.colour, linestyle=style.line, label=f"{name}, model")
        axis.plot(
            *_columns(measured),
            linestyle="",
            marker=style.marker,
            color=style.colour,
            markerfacecolor="white" if name == "iteration" else style.colour,
            label=f"{name}, measured",
        )
    axis.axhline(1e3 * curve.limit, color=LIMIT, linestyle="--", linewidth=1.2)
    axis.annotate(
        f"limit {1e3 * curve.limit:g} ms",
        (0.02, 1e3 * curve.limit),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        color=LIMIT,
    )
    axis.axvline(1, color=FAINT, linewidth=1.2, linestyle=":")
    axis.set_yscale("log")
    axis.set_xlim(0, 1.08 * max(1.0, curve.trials[-1].rho))
    axis.set_xlabel("rho = r × C / N")
    people(axis, "y")


def _columns(pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Rho, and milliseconds of seconds."""
    return [rho for rho, _ in pairs], [1e3 * seconds for _, seconds in pairs]


def utilisation(curves: Sequence[Curve]) -> Figure | None:
    """CPU share and rho beside each other: the one is full long before the other."""
    shown = [curve for curve in curves if curve.trials]
    if not shown:
        return None
    made, (axis,) = figure(4.6 + 0.2 * len(shown))
    made.suptitle("A busy CPU is not a loaded server", x=0.01, ha="left", weight="bold")
    bound = 1.08 * max(1.0, *(curve.trials[-1].rho for curve in shown))
    for curve, style in zip(shown, LOOKS, strict=False):
        axis.plot(
            [trial.rho for trial in curve.trials],
            [100 * trial.cpu for trial in curve.trials],
            color=style.colour,
            linestyle=style.line,
            marker=style.marker,
            label=f"CPU share, {curve.name}, {curve.about}",
        )
    axis.plot([0, bound], [0, 100 * bound], color=LIMIT, linestyle="--", label="load: rho × 100 %")
    axis.axvline(1, color=FAINT, linewidth=1.2, linestyle=":")
    axis.set_xlim(0, bound)
    axis.set_ylim(0, 100 * bound)
    axis.set_xlabel("rho = r × C / N, the part of what the server can carry that is asked of it")
    axis.set_ylabel("per cent of a core, and of N")
    made.legend(loc="outside lower left", ncols=1)
    return made
