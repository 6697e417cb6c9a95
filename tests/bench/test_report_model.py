"""The model's line: made again from what a result keeps, or else what the result says of each trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from fastchat.bench.report_model import STEPS, line
from fastchat.bench.report_points import Curve, Predicted, Spread, Trial
from fastchat.capacity import SHAPES, Model

CLIENTS, PAYLOAD, LIMIT = 300, 100, 0.02


def curve(coefficients: Mapping[str, Any] | None, rooms: str = "room") -> Curve:
    said = Predicted(0.001, 0.002, 0.001)
    trials = tuple(
        Trial(rho, 100 * rho, 100 * rho, 0.001, 0.002, 0.001, 0.5, True, False, said) for rho in (0.2, 1.1)
    )
    return Curve("fastchat", rooms, PAYLOAD, CLIENTS, Spread(90, 100, 110), LIMIT, trials, coefficients)


@pytest.mark.parametrize("coalescing", [True, False])
def test_the_line_is_the_models_up_to_the_largest_load(coalescing: bool) -> None:
    model = Model(a=8e-6, b=4e-6, c=40e-9, e=30e-6, coalescing=coalescing)
    found = line(curve(model.as_dict()))
    assert len(found) == STEPS + 1
    assert (found[0][0], found[-1][0]) == (0.05, pytest.approx(1.1))
    rho, said = found[10]
    assert said.p99 == pytest.approx(model.latency(100 * rho, SHAPES["room"](CLIENTS), PAYLOAD))
    assert (said.iteration is not None) == coalescing


@pytest.mark.parametrize("coefficients", [None, {}, {"a": 1}, {"a": "x", "b": "y"}, {"nonsense": 1}])
def test_without_a_model_the_line_joins_what_was_said_of_the_trials(coefficients: Any) -> None:
    assert [rho for rho, _ in line(curve(coefficients))] == [0.2, 1.1]


def test_rooms_that_nobody_knows_have_the_line_of_the_trials() -> None:
    model = Model(a=8e-6, b=4e-6, c=40e-9, e=30e-6)
    assert len(line(curve(model.as_dict(), rooms="hall"))) == 2


def test_beyond_saturation_there_is_no_latency() -> None:
    slow = Model(a=8e-3, b=4e-6, c=40e-6, e=30e-6)
    assert line(curve(slow.as_dict()))[-1][1].p99 is None
