"""`bench capacity` from calibration to summary, on servers made of a formula."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fastchat.bench.campaign import Campaign
from fastchat.bench.grid import QUICK, QUICK_CURVES, Point, choose
from fastchat.bench.light import lights
from fastchat.bench.logbook import Logbook
from fastchat.bench.pace import FULL, Pace
from fastchat.bench.pace import QUICK as QUICK_PACE
from fastchat.bench.results import Record, mistakes
from tests.bench.simulated import SimulatedServer

pytestmark = pytest.mark.usefixtures("coarse")

SCHEMA = Path(__file__).parents[2] / "bench_results" / "schema-capacity.json"


class Silent:
    """Nobody waits; what is planned is added up."""

    def __init__(self) -> None:
        self.planned = 0.0
        self.done = 0.0
        self.said: list[str] = []
        self._step = 0.0

    def begin(self, label: str, seconds: float) -> None:
        self._step = seconds

    def live(self, text: str) -> None:
        pass

    def end(self, text: str) -> None:
        self.done += self._step

    def add(self, seconds: float) -> None:
        self.planned += seconds

    def say(self, text: str) -> None:
        self.said.append(text)


def campaign(
    server: SimulatedServer,
    points: Sequence[Point],
    pace: Pace = FULL,
    path: Path | None = None,
    curves: Sequence[Point] = (),
) -> Campaign:
    document: dict[str, Any] = {"kind": "capacity", "settings": {"limit_ms": 20.0}}
    log = Logbook("fastchat", Record(document, path), Silent())
    return Campaign(log, server.opened, server.coalescing, pace, 0.02, points, curves)


def found(run: Campaign) -> dict[str, Any]:
    part: dict[str, Any] = run.log.record.document["servers"]["fastchat"]
    return part


ONCE = replace(FULL, rounds=1, between=0)
AND_BETWEEN = replace(FULL, rounds=1, fractions=(0.5, 1.1))


def test_the_model_predicts_the_knees() -> None:
    run = campaign(SimulatedServer(), choose(["*-r5-*"]), ONCE)
    run.run()
    assert found(run)["summary"]["points"] == 8
    assert found(run)["summary"]["within_10"] == 8
    assert found(run)["failures"] == []
    for row in found(run)["points"]:
        assert row["measured"]["low"] < row["measured"]["high"]
        assert row["passing"]["p99_ms"] <= 20 < row["failing"]["p99_ms"]
        assert row["utilisation"] == pytest.approx(1.0, abs=0.1)


def test_noise_and_hiccups_cost_little() -> None:
    server = SimulatedServer(noise=0.03, hiccups=0.05, random=Random(7))
    run = campaign(server, choose(["*-r10-1000B"]), FULL)
    run.run()
    assert found(run)["summary"]["within_10"] >= 3
    assert -0.05 < found(run)["drift"]["low"] <= found(run)["drift"]["high"] < 0.05


class Drifting(SimulatedServer):
    """Dearer by three tenths after so many loads, in all that it does."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self._after = after

    def put(self, load: Any, listen: Any = None) -> dict[str, Any]:
        if len(self.loads) == self._after:
            self.a, self.b, self.c, self.d, self.e = (
                1.3 * cost for cost in (self.a, self.b, self.c, self.d, self.e)
            )
        return super().put(load, listen)


def test_a_machine_that_becomes_slower_is_followed() -> None:
    points = choose(["room-r5-*", "teams-50-r5-*"])
    run = campaign(Drifting(len(lights(True)) + 34), points, replace(FULL, rounds=1))
    run.run()
    errors = [row["error"] for row in found(run)["points"]]
    drifts = [row["drift"] for row in found(run)["points"]]
    assert drifts[-1] - drifts[0] > 0.15
    assert abs(errors[0]) < 0.12 and abs(errors[-1]) < 0.12
    assert found(run)["drift"] == {"low": min(drifts), "high": max(drifts)}


def test_the_light_loads_between_are_other_than_the_trials_and_say_so() -> None:
    run = campaign(SimulatedServer(), choose(["room-r5-100B"]), replace(FULL, rounds=1))
    run.run()
    kinds = [sample["kind"] for sample in run.log.record.samples[len(lights(True)) :]]
    assert kinds[:4] == ["calibration", "trial", "calibration", "trial"]
    repeats = {load["load"]: load["repeats"] for load in found(run)["calibration"]["loads"]}
    assert sum(repeats.values()) == len(lights(True)) + kinds.count("calibration")


class Mute(SimulatedServer):
    """Nothing was relayed in every third load, as far as its counters say."""

    def put(self, load: Any, listen: Any = None) -> dict[str, Any]:
        sample = super().put(load, listen)
        if len(self.loads) % 3 == 0:
            sample["counters"] |= {"publishes": 0, "sends": 0, "deliveries": 0, "cpu_seconds": 0.0}
        return sample


def test_a_light_load_that_tells_nothing_costs_nothing_else() -> None:
    run = campaign(Mute(), choose(["room-r5-*"]), replace(FULL, rounds=2))
    run.run()
    assert found(run)["failures"] == [] and found(run)["summary"]["within_10"] == 2
    talk = run.log.talk
    assert isinstance(talk, Silent) and any("left out" in text for text in talk.said)


def test_a_server_that_dies_between_trials_keeps_what_was_found() -> None:
    server = SimulatedServer(dies_after=len(lights(True)) + 7)
    run = campaign(server, choose(["room-r5-*"]), replace(FULL, rounds=1))
    run.run()
    assert [row["point"] for row in found(run)["points"]] == ["room-r5-100B"]
    assert found(run)["points"][0]["measured"]["end"] == "cut short"
    assert any("died in the middle" in text for text in found(run)["failures"])


def test_no_trial_is_in_a_prediction() -> None:
    class Dearer(SimulatedServer):
        """The loads of the grid, told by their payloads, take twice the CPU time."""

        def put(self, load: Any, listen: Any = None) -> dict[str, Any]:
            sample = super().put(load, listen)
            if load.payload in (100, 1000):
                sample["server_cpu"] *= 2
                sample["counters"]["cpu_seconds"] *= 2
                sample["counters"]["flush_seconds"] *= 2
            return sample

    runs = [campaign(server, choose(["room-r5-*"]), FULL) for server in (SimulatedServer(), Dearer())]
    for run in runs:
        run.run()
    told = [[row["predicted"]["value"] for row in found(run)["points"]] for run in runs]
    assert told[0] == told[1]


def test_a_server_that_sends_each_delivery_apart_has_a_model_of_its_own() -> None:
    run = campaign(SimulatedServer(coalescing=False), choose(["*-r5-*"]), ONCE)
    run.run()
    assert found(run)["summary"]["within_20"] == 8


def test_a_saturated_generator_is_not_the_servers_fault() -> None:
    run = campaign(SimulatedServer(most=1e6), choose(["room-r5-100B"]), ONCE)
    run.run()
    (row,) = found(run)["points"]
    assert row["measured"]["end"] == "generator saturated"
    assert row["error"] is None and row["measured"]["low"] > 0
    assert found(run)["summary"]["measured"] == 0


def test_a_dying_server_keeps_its_samples(tmp_path: Path) -> None:
    path = tmp_path / "capacity.json"
    server = SimulatedServer(dies_after=len(lights(True)) + 4)
    run = campaign(server, choose(["room-r5-*"]), ONCE, path)
    run.run()
    kept = json.loads(path.read_text())
    part = kept["servers"]["fastchat"]
    assert len(kept["samples"]) == len(lights(True)) + 4
    assert [sample["kind"] for sample in kept["samples"]].count("trial") == 4
    assert [row["point"] for row in part["points"]] == ["room-r5-100B"]
    assert part["points"][0]["measured"]["end"] == "cut short" and part["points"][0]["measured"]["low"] > 0
    assert len(part["failures"]) == 2 and "died in the middle" in part["failures"][0]


def test_a_server_that_dies_while_it_is_calibrated_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "capacity.json"
    run = campaign(SimulatedServer(dies_after=3), QUICK, ONCE, path)
    run.run()
    kept = json.loads(path.read_text())
    assert len(kept["samples"]) == 3
    assert kept["servers"]["fastchat"]["failures"] == ["calibration: the server died in the middle"]


class Neighboured(SimulatedServer):
    """Others use half a core in every second load, which then looks overwhelmed."""

    def put(self, load: Any, listen: Any = None) -> dict[str, Any]:
        sample = super().put(load, listen)
        if len(self.loads) % 2:
            sample["foreign"] = 0.5
            sample["each_us"]["p99"] = 1e6
            sample["counters"]["cpu_seconds"] *= 2
        return sample


def test_what_others_disturbed_is_taken_again() -> None:
    run = campaign(Neighboured(), choose(["room-r5-100B"]), ONCE)
    run.run()
    assert abs(found(run)["points"][0]["error"]) < 0.1
    assert found(run)["calibration"]["residual"] < 0.02
    talk = run.log.talk
    assert isinstance(talk, Silent) and any("others used 0.50 cores" in text for text in talk.said)


def test_a_machine_that_is_never_quiet_is_measured_all_the_same() -> None:
    class Noisy(SimulatedServer):
        def put(self, load: Any, listen: Any = None) -> dict[str, Any]:
            return super().put(load, listen) | {"foreign": 0.5}

    server = Noisy()
    run = campaign(server, (), replace(ONCE, fractions=()))
    run.run()
    assert len(server.loads) == len(lights(True)) * (1 + ONCE.patience)
    assert found(run)["failures"] == []


def test_ctrl_c_keeps_the_point_that_was_searched(tmp_path: Path) -> None:
    class Interrupted(SimulatedServer):
        def put(self, load: Any, listen: Any = None) -> dict[str, Any]:
            if len(self.loads) == len(lights(True)) + 3:
                raise KeyboardInterrupt
            return super().put(load, listen)

    path = tmp_path / "capacity.json"
    run = campaign(Interrupted(), choose(["room-r5-*"]), ONCE, path)
    with pytest.raises(KeyboardInterrupt):
        run.run()
    kept = json.loads(path.read_text())
    assert len(kept["samples"]) == len(lights(True)) + 3
    assert kept["servers"]["fastchat"]["points"][0]["trials"] == 3


def test_curves_go_from_a_fifth_of_the_capacity_to_beyond_it() -> None:
    run = campaign(SimulatedServer(), (), ONCE, curves=QUICK_CURVES)
    run.run()
    curve = [one for one in run.log.record.samples if one["kind"] == "curve"]
    assert [one["fraction"] for one in curve] == list(FULL.fractions)
    for one in curve:
        assert one["offered"] / one["model"]["requests_per_second"]["value"] == pytest.approx(one["fraction"])
        if one["fraction"] <= 1:
            assert one["model"]["p99_ms"] == pytest.approx(one["p99_ms"], rel=0.1)


def test_too_many_connections_are_replaced_and_said() -> None:
    run = campaign(SimulatedServer(a=4e-6, b=1e-6), choose(["teams-5-r2-100B"]), ONCE)
    run.run()
    assert list(found(run)["replaced"]) == ["teams-5-r2-100B"]
    (row,) = found(run)["points"]
    assert row["point"] == found(run)["replaced"]["teams-5-r2-100B"] and row["error"] is not None


@pytest.mark.parametrize("coalescing", [True, False])
def test_a_quick_run_fits_into_two_minutes(coalescing: bool) -> None:
    server = SimulatedServer(coalescing=coalescing)
    run = campaign(server, QUICK, QUICK_PACE, curves=QUICK_CURVES)
    talk = run.log.talk
    assert isinstance(talk, Silent)
    planned = QUICK_PACE.total(coalescing, QUICK, QUICK_CURVES)
    run.run()
    assert planned < 120 and talk.done + server.starts < 120
    assert planned + talk.planned == pytest.approx(talk.done + server.starts, rel=0.3)
    assert len(run.log.record.document["servers"]["fastchat"]["points"]) == len(QUICK)


def test_a_result_is_what_its_schema_says(tmp_path: Path) -> None:
    path = tmp_path / "capacity.json"
    run = campaign(SimulatedServer(), choose(["room-r5-100B"]), AND_BETWEEN, path, QUICK_CURVES)
    run.run()
    rules = json.loads(SCHEMA.read_text())
    rules["required"] = [name for name in rules["required"] if name in ("kind", "samples", "servers")]
    rules["properties"]["settings"]["required"] = []
    assert mistakes(json.loads(path.read_text()), rules) == []
