"""The model's line through a curve: the model is made again from the coefficients that a result keeps."""

from __future__ import annotations

from math import isfinite

from fastchat.bench.report_points import Curve, Predicted
from fastchat.capacity import SHAPES, CapacityError, Model, Shape

STEPS = 24  # of a line: smooth enough at 900 pixels, and each takes some 40 ms

Line = tuple[tuple[float, Predicted], ...]  # rho, and what the model says there


def line(curve: Curve) -> Line:
    """From a twentieth of N to the largest load that was tried.

    Where the model cannot be made again, what it said of each trial is the line.
    """
    said = tuple((trial.rho, trial.model) for trial in curve.trials)
    if curve.coefficients is None or curve.rooms not in SHAPES:
        return said
    try:
        model = Model.from_dict(curve.coefficients)
        shape = SHAPES[curve.rooms](curve.clients)
        end = max(1.0, curve.trials[-1].rho)
        loads = (0.05 + (end - 0.05) * step / STEPS for step in range(STEPS + 1))
        return tuple((rho, at(model, rho * curve.allowed.median, shape, curve.payload)) for rho in loads)
    except (CapacityError, TypeError):
        return said


def at(model: Model, rate: float, shape: Shape, payload: int) -> Predicted:
    """What the model says at a rate of messages a second; an iteration only where there are any."""
    return Predicted(
        finite(model.latency(rate, shape, payload, 0.5)),
        finite(model.latency(rate, shape, payload)),
        finite(model.iteration(rate, shape, payload)) if model.coalescing else None,
    )


def finite(seconds: float) -> float | None:
    return seconds if isfinite(seconds) else None
