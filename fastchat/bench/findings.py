"""What follows from the samples of `bench capacity`: figures of a trial, a point's row, the summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, TypeAlias

from fastchat.bench.grid import Point
from fastchat.bench.knee import End, Knee, Verdict
from fastchat.bench.load import latency
from fastchat.capacity import Estimate, Model, Shape

Figures: TypeAlias = dict[str, Any]

DISTURBED = 0.1  # cores that others may use before a sample says little
CLOSE = 0.10  # an error of the prediction that is good
FAIR = 0.20


def figures(sample: Mapping[str, Any]) -> Figures:
    """What a sample says, in the units of the report. Rates are messages/s over all clients."""
    counters = sample.get("counters")
    length = None  # of an iteration
    seconds = sample["seconds"] or 1.0  # 0: given up before anything was timed, and so all counts are
    if counters and counters["rounds"]:
        length = counters["round_seconds"] / counters["rounds"] * 1e3
    return {
        "clients": sample["members"],
        "offered": sample["offered"],
        "achieved": sample["achieved"],
        "deliveries_per_second": sample["deliveries"] / seconds,
        "p50_ms": latency(sample, "p50") * 1e3,
        "p99_ms": latency(sample, "p99") * 1e3,
        "iteration_ms": length,
        "cpu": sample["server_cpu"] / seconds,  # cores
        "busy": sample["busy"],
        "saturated": sample["saturated"],
        "foreign": sample["foreign"],
    }


def disturbed(seen: Figures) -> bool:
    """Whether others used the machine meanwhile."""
    return seen["foreign"] is not None and seen["foreign"] > DISTURBED


def modelled(model: Model, rate: float, shape: Shape, payload: int, limit: float) -> Figures:
    """What the model says of the same load; None where it sees no end of the waiting."""
    capacity = model.requests_per_second(shape, payload, limit)
    return {
        "requests_per_second": told(capacity),
        "utilisation": rate / capacity.value if capacity.value else None,
        "iteration_ms": finite(model.iteration(rate, shape, payload) * 1e3),
        "p50_ms": finite(model.latency(rate, shape, payload, 0.5) * 1e3),
        "p99_ms": finite(model.latency(rate, shape, payload, 0.99) * 1e3),
    }


def finite(value: float) -> float | None:
    """JSON has no infinity."""
    return value if abs(value) < 1e12 else None


def told(estimate: Estimate) -> dict[str, float | None]:
    return {"value": finite(estimate.value), "low": finite(estimate.low), "high": finite(estimate.high)}


def deviation(predicted: float, knee: Knee) -> float | None:
    """The error of a prediction, as a part of what was measured; None where no knee was."""
    return None if knee.clients is None else predicted / knee.clients - 1


def row(
    point: Point,
    predicted: Estimate,
    capacity: Estimate | None,
    knee: Knee,
    trials: Sequence[tuple[Verdict, Figures]],
    drift: float = 0.0,
    beforehand: float | None = None,
) -> dict[str, Any]:
    """A point of the grid: predicted, measured, how they differ, and what it looked like at the edge.

    `capacity` is N for the rooms of the measured knee, as the model says it; `drift` how much dearer light
    loads were meanwhile than usual, which both contain; `beforehand` what was predicted before the search.
    """
    error = deviation(predicted.value, knee)
    load = point.rate * place(knee)
    return {
        "point": point.name,
        "rooms": point.rooms,
        "rate": point.rate,
        "payload": point.payload,
        "predicted": told(predicted),
        "beforehand": None if beforehand is None else finite(beforehand),
        "measured": {"low": knee.low, "high": knee.high, "clients": knee.clients, "end": knee.end.value},
        "error": error,
        "drift": drift,
        "trials": len(trials),
        "passing": edge(trials, Verdict.PASSED, knee.low),
        "failing": edge(trials, Verdict.FAILED, knee.high),
        "requests_per_second": told(capacity) if capacity else None,
        "utilisation": load / capacity.value if capacity and capacity.value else None,
    }


def place(knee: Knee) -> int:
    """So many clients stand for the knee: the middle of its bracket, or what passed."""
    return round(knee.clients or knee.low)


def edge(trials: Sequence[tuple[Verdict, Figures]], verdict: Verdict, clients: int | None) -> Figures | None:
    """The last trial of that verdict with so many clients."""
    fitting = [one for found, one in trials if found is verdict and one["clients"] == clients]
    return fitting[-1] if fitting else None


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How well the predictions fit. Points without a knee are counted by the reason."""
    errors = [row["error"] for row in rows if row["error"] is not None]
    known = [row for row in rows if row["error"] is not None and row.get("beforehand") is not None]
    before = [row["beforehand"] / row["measured"]["clients"] - 1 for row in known]
    return {
        "points": len(rows),
        "measured": len(errors),
        "within_10": sum(abs(error) <= CLOSE for error in errors),
        "within_20": sum(abs(error) <= FAIR for error in errors),
        "within_10_beforehand": sum(abs(error) <= CLOSE for error in before),
        "median_error": median(errors) if errors else None,
        "median_deviation": median(map(abs, errors)) if errors else None,
        "ends": {end.value: sum(row["measured"]["end"] == end.value for row in rows) for end in End},
    }
