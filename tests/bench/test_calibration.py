"""Fitting the model on light loads of a server whose costs are known."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from fastchat.bench.calibration import Calibration, fit, sample_of, tells
from fastchat.bench.drift import drifts
from fastchat.bench.light import Light, lights, many, one
from fastchat.bench.stalls import learnt
from fastchat.capacity import SHAPES, CapacityError, Sample
from tests.bench.simulated import SimulatedServer

pytestmark = pytest.mark.usefixtures("coarse")

BUSY = range(5, 46)  # per cent of what the server can do


def measured(server: SimulatedServer, rounds: int = 1, few: bool = False) -> list[tuple[Light, Sample]]:
    return [
        (light, sample_of(server.put(light.load(2.0, 0.5))))
        for _ in range(rounds)
        for light in lights(server.coalescing, few)
    ]


def dearer(sample: Sample, times: float) -> Sample:
    """The same work for so many times the CPU time."""
    flush = None if sample.flush is None else sample.flush * times
    return sample._replace(cpu=sample.cpu * times, flush=flush)


def calibrated(server: SimulatedServer, rounds: int = 1, few: bool = False) -> Calibration:
    return fit(measured(server, rounds, few), server.coalescing)


@pytest.mark.parametrize("few", [False, True])
def test_the_costs_are_found_again(few: bool) -> None:
    model = calibrated(SimulatedServer(), few=few).model
    assert model.a == pytest.approx(12e-6, rel=0.02)
    assert model.b == pytest.approx(4e-6, rel=0.02)
    assert model.c + 140 * model.d == pytest.approx(60e-9 + 140 * 0.1e-9, rel=0.05)


@pytest.mark.parametrize("few", [False, True])
def test_the_costs_of_a_server_that_sends_each_delivery_apart_are_found(few: bool) -> None:
    model = calibrated(SimulatedServer(coalescing=False), few=few).model
    assert model.a == pytest.approx(12e-6, rel=0.05)
    assert model.b + 140 * model.d == pytest.approx(4e-6 + 60e-9 + 140 * 0.1e-9, rel=0.02)


def test_noise_shows_in_the_residuals_and_hardly_in_the_model() -> None:
    found = calibrated(SimulatedServer(noise=0.05, random=Random(3)), rounds=3)
    assert found.model.b == pytest.approx(4e-6, rel=0.1)
    assert 0.002 < found.to_json()["residual"] < 0.1
    assert all(row.repeats == 3 and 0 < row.spread < 0.5 for row in found.rows)


def test_a_repeat_that_was_disturbed_does_not_count() -> None:
    samples = measured(SimulatedServer(), rounds=3)
    light, sample = samples[5]
    samples[5] = light, dearer(sample, 3)
    found = fit(samples, True)
    assert found.model.b == pytest.approx(4e-6, rel=0.02)
    assert not any(row.far for row in found.rows)


def test_a_load_that_was_always_disturbed_is_left_out_and_said() -> None:
    samples = measured(SimulatedServer())
    light, sample = samples[5]
    samples[5] = light, dearer(sample, 3)
    found = fit(samples, True)
    assert [row.light for row in found.rows if row.far] == [light]
    assert [row["load"] for row in found.to_json()["loads"] if row["far"]] == [light.name]
    assert found.model.b == pytest.approx(4e-6, rel=0.02)


def test_a_model_that_fits_nothing_leaves_nothing_out() -> None:
    random = Random(5)
    samples = measured(SimulatedServer())
    samples = [(light, dearer(sample, random.choice((0.3, 3.0)))) for light, sample in samples]
    found = fit(samples, True)
    assert not any(row.far for row in found.rows)
    assert max(abs(row.residual) for row in found.rows) > 0.5


def test_too_few_loads_are_said() -> None:
    with pytest.raises(CapacityError):
        fit(measured(SimulatedServer())[:1], True)


def test_drift_is_what_the_same_work_costs_more() -> None:
    samples = measured(SimulatedServer())
    model = fit(samples, True).model
    half = len(samples) // 2
    later = [(light, dearer(sample, 1.1)) for light, sample in samples[half - 3 : half + 3]]
    assert drifts([samples, later, []], model) == pytest.approx([0.0, 0.1, 0.0], abs=0.005)


def test_a_load_that_the_model_tells_badly_is_no_drift() -> None:
    samples = measured(SimulatedServer())
    model = fit(samples, True).model
    odd = [(light, dearer(sample, 1.5 if n < 4 else 1.0)) for n, (light, sample) in enumerate(samples)]
    later = [(light, dearer(sample, 1.2)) for light, sample in odd[:5]]
    assert drifts([odd, later], model) == pytest.approx([0.0, 0.2], abs=0.01)


@pytest.mark.parametrize("coalescing", [True, False])
def test_the_loads_are_light_and_unlike_each_other(coalescing: bool) -> None:
    model = calibrated(SimulatedServer(coalescing=coalescing)).model
    for light in lights(coalescing):
        used = 100 * model.utilisation(light.rate, light.shape, light.payload, 0.02)
        assert round(used) in BUSY or used < 5, (light.name, used)
    assert len(set(lights(coalescing))) == len(lights(coalescing))
    assert set(lights(coalescing, few=True)) <= set(lights(coalescing))


def test_a_light_load_says_what_it_is() -> None:
    assert one(200, 400, 64).name == "1 x 200, 400/s, 64 B"
    assert many(250, 8, 3000, 400).load(2.0, 0.5).clients == 2000


def test_repeats_of_a_load_do_not_narrow_the_intervals() -> None:
    random = Random(3)
    samples = measured(SimulatedServer(), rounds=6)
    odd = {light: random.gauss(1.0, 0.05) for light in lights(True)}  # the model's own misfit
    wrong = [(light, dearer(sample, odd[light])) for light, sample in samples]
    few, many_ = (fit(wrong[: len(odd) * n], True).model.coefficients()["b"] for n in (1, 6))
    assert many_.high - many_.low == pytest.approx(few.high - few.low, rel=0.3)


def test_a_sample_in_which_others_had_the_core_tells_nothing() -> None:
    _, sample = measured(SimulatedServer())[0]
    assert tells(sample)
    assert not tells(sample._replace(flush=sample.cpu))
    assert not any(tells(sample._replace(**{name: 0})) for name in ("cpu", "messages", "sends", "frames"))


def test_stalls_are_learnt_from_p99() -> None:
    model = calibrated(SimulatedServer()).model
    still = replace(model, stall=4e-4)
    late = [
        (light, still.latency(light.rate, light.shape, light.payload))
        for light in (one(1500, 900, 64), one(800, 2_500, 400), one(600, 6_200, 64))
    ]
    assert learnt(model, late) == pytest.approx(4e-4, rel=0.2)
    assert learnt(model, [*late, *((light, 10 * p99) for light, p99 in late[:1])]) == learnt(model, late)
    assert learnt(model, [(light, p99 / 10) for light, p99 in late]) == 0.0  # never quicker than the model
    assert learnt(model, []) == 0.0
    assert learnt(model, [(many(250, 8, 9_000, 64), 0.002)]) == 0.0  # a flush held back in vain, no stall
    teams = SHAPES["teams-5"]
    assert still.max_clients(5.0, teams, 100, 0.02).value < model.max_clients(5.0, teams, 100, 0.02).value
