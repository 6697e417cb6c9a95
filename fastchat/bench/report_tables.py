"""The numbers under each plot, as text for people; docs/BENCHMARKS.md has the same tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastchat.bench.report_numbers import (
    between,
    count,
    deviation,
    kibibytes,
    milliseconds,
    number,
    share,
    three,
)
from fastchat.bench.report_points import Calibration, Cell, Curve, Evidence, Knee, Spread, rooms_in_words

Row = tuple[str, ...]
BANDS = {"fastchat": 0.10, "fastchat-ws": 0.10, "threaded": 0.20}  # how far a prediction may be off
BAND = 0.10
NONE = "–"
MEANINGS = {
    "a": "a message in",
    "b": "a send to a member",
    "a1": "a byte of a message in",
    "b1": "added to a send by each 1,000 sockets",
    "c": "a frame to a member",
    "d": "a byte of a frame",
    "e": "an iteration with a flush",
}


@dataclass(frozen=True, slots=True)
class Table:
    """`words` columns from the left hold words, the others numbers."""

    title: str
    head: Row
    rows: tuple[Row, ...]
    words: int = 1


def band(server: str) -> float:
    """How far a prediction may be off."""
    return BANDS.get(server, BAND)


def curves(evidence: Evidence) -> list[Table]:
    """Every load of every curve; the model's word in brackets."""
    return [_curve(curve) for curve in evidence.curves]


def _curve(curve: Curve) -> Table:
    head = (
        "rho", "offered /s", "achieved /s", "p50 ms (model)", "p99 ms (model)", "iteration ms (model)",
        "CPU share", "within the limits",
    )  # fmt: skip
    rows = tuple(
        (
            f"{trial.rho:.2f}",
            number(trial.offered),
            number(trial.achieved),
            _twice(trial.p50, trial.model.p50),
            _twice(trial.p99, trial.model.p99),
            _twice(trial.iteration, trial.model.iteration),
            share(trial.cpu),
            ("yes" if trial.passed else "no") + (", generator saturated" if trial.saturated else ""),
        )
        for trial in curve.trials
    )
    allowed = f"N = {number(curve.allowed.median)} messages/s at p99 <= {milliseconds(curve.limit)}"
    return Table(f"{curve.name}, {curve.about}; {allowed}", head, rows, words=0)


def _twice(measured: float | None, model: float | None) -> str:
    """Milliseconds."""
    first, second = (NONE if one is None else three(1e3 * one) for one in (measured, model))
    return f"{first} ({second})"


def knees(evidence: Evidence) -> list[Table]:
    """A table for each server, and the coefficients that its predictions come from."""
    found = []
    for server in dict.fromkeys(knee.server for knee in evidence.knees):
        own = [knee for knee in evidence.knees if knee.server == server]
        head = ("rooms", "r /s", "bytes", "predicted clients", "95 %", "measured", "error", "p99 there")
        found.append(Table(f"{server}: {verdict(own, server)}", head, tuple(map(_knee, own))))
    return found + [_calibration(one) for one in evidence.calibrations]


def verdict(found: Sequence[Knee], server: str) -> str:
    """How many predictions were close enough, in words."""
    errors = [abs(knee.error) for knee in found if knee.error is not None]
    inside = sum(error <= band(server) for error in errors)
    unknown = len(found) - len(errors)
    rest = f", {unknown} without a knee" if unknown else ""
    return f"{inside} of {len(found)} predictions within {share(band(server))} of what was measured{rest}"


def _knee(knee: Knee) -> Row:
    high = NONE if knee.high is None else count(knee.high)
    measured = f"{count(knee.low)} to {high}" if knee.measured else f"{count(knee.low)} passed; {knee.end}"
    return (
        rooms_in_words(knee.rooms),
        f"{knee.rate:g}",
        count(knee.payload),
        count(knee.predicted.median),
        f"{count(knee.predicted.low)} to {count(knee.predicted.high)}",
        measured,
        NONE if knee.error is None else deviation(knee.error),
        NONE if knee.p99 is None else milliseconds(knee.p99),
    )


def _calibration(one: Calibration) -> Table:
    drift = ""
    if one.drift is not None:
        drift = "; at times they cost from {} to {} more".format(*map(deviation, one.drift))
    fit = f"fitted on {one.loads} light loads, {share(one.residual)} off in the median"
    title = f"{one.server}: the model, {fit}{drift}"
    rows = tuple(
        (name, MEANINGS.get(name, ""), *(three(1e6 * one) for one in (found.median, found.low, found.high)))
        for name, found in one.coefficients
    )
    return Table(title, ("coefficient", "CPU time of", "µs", "from", "to"), rows, words=2)


def fan_out(evidence: Evidence) -> list[Table]:
    """Flat out: deliveries per CPU second. Paced: latency and share of a core."""
    found = []
    for mode, title, text in (
        ("flood", "flat out: deliveries per CPU second, and how many times that fastchat delivers", _per_cpu),
        ("paced", "paced: deliveries per CPU second, and how many times that fastchat delivers", _per_cpu),
        ("paced", "paced: p99 latency and share of a core", _paced),
    ):
        cells = [cell for cell in evidence.cells if cell.mode == mode]
        if cells:
            found.append(_matrix(title, cells, text))
    return found


def _matrix(title: str, cells: Sequence[Cell], text: Any) -> Table:
    members = sorted({cell.members for cell in cells})
    places = {(cell.server, cell.members): cell for cell in cells}
    servers = list(dict.fromkeys(cell.server for cell in cells))
    head = ("server", *(f"{count(one)} members" for one in members))
    rows = tuple(
        (server, *(text(places[server, one]) if (server, one) in places else NONE for one in members))
        for server in servers
    )
    return Table(title, head, rows)


def _per_cpu(cell: Cell) -> str:
    times = f"; fastchat {three(cell.ratio.median)} ×" if cell.ratio else ""
    return f"{ranged(cell.per_cpu)}{times}"


def _paced(cell: Cell) -> str:
    return f"{milliseconds(cell.p99.median)}, {share(cell.cpu.median)}"


def ranged(spread: Spread) -> str:
    """The median, and the lowest and highest where they read differently."""
    ends = between(spread.low, spread.high)
    middle = number(spread.median)
    return middle if ends == middle else f"{middle} ({ends})"


def memory(evidence: Evidence) -> list[Table]:
    if not evidence.holdings:
        return []
    head = ("server", "connections", "resident each", "kernel each", "connected per s", "all served after")
    rows = tuple(
        (
            one.server,
            count(one.connections),
            kibibytes(one.resident.median),
            kibibytes(one.kernel.median) if one.kernel else NONE,
            number(one.connect_rate.median),
            milliseconds(one.served.median),
        )
        for one in evidence.holdings
    )
    return [Table("medians over the rounds", head, rows)]


def overload(evidence: Evidence) -> list[Table]:
    if not evidence.overloads:
        return []
    head = (
        "server", "rooms", "rho", "admission", "offered /s", "delivered /s", "refused /s", "lost", "p50",
        "p99",
    )  # fmt: skip
    rows = tuple(
        (
            one.server,
            rooms_in_words(one.rooms),
            f"{one.rho:g}",
            "on" if one.admission else "off",
            number(one.offered.median),
            number(one.achieved.median),
            number(one.refused.median),
            count(one.lost),
            milliseconds(one.p50.median),
            milliseconds(one.p99.median),
        )
        for one in evidence.overloads
    )
    return [Table("medians over the rounds", head, rows, words=2)]
