"""From files to what is drawn: units, pairs within a round, and entries that cannot be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fastchat.bench.report_files import File, load
from fastchat.bench.report_points import Curve, Predicted, Spread, Trial
from fastchat.bench.report_reading import (
    calibrations,
    cells,
    curves,
    evidence,
    grown,
    holdings,
    knees,
    named,
    overloads,
)
from tests.bench.report_fixtures import capacity, compare, connections, document, overload, write


def file(content: dict[str, Any]) -> File:
    return File(f"{content['kind']}.json", content)


def test_knees_are_in_clients_and_errors_a_share_of_what_was_measured() -> None:
    found = knees(file(capacity()), notices := [])
    assert len(found) == 48 and notices == []
    first = found[0]
    assert (first.server, first.rooms, first.rate, first.payload) == ("fastchat", "room", 2.0, 100)
    assert first.measured and first.error == pytest.approx(first.predicted.median / first.measured - 1)
    assert first.p99 == pytest.approx(0.017, rel=0.06)
    unknown = [one for one in found if one.measured is None]
    assert [one.end for one in unknown] == ["generator saturated"] * 2 and unknown[0].error is None


def test_curves_are_in_seconds_and_by_rising_load() -> None:
    found = curves(file(capacity()), notices := [])
    assert [one.rooms for one in found] == ["room", "teams-5", "teams-50", "room"] and notices == []
    first = found[0]
    assert [round(trial.rho, 2) for trial in first.trials] == [0.2, 0.4, 0.6, 0.8, 0.9, 1.0, 1.1]
    assert first.limit == 0.02 and 0.001 < first.trials[0].p50 < 0.01
    assert first.allowed.low < first.allowed.median < first.allowed.high
    assert found[3].trials[0].iteration is None


def test_a_model_without_end_is_none_and_its_interval_falls_onto_the_value() -> None:
    content = capacity()
    sample = content["samples"][0]
    sample["model"] |= {"p99_ms": None, "requests_per_second": {"value": 100.0, "low": None, "high": None}}
    first = curves(file(content), [])[0]
    assert first.trials[-1].model.p99 is None and first.allowed == Spread(100.0, 100.0, 100.0)


def trial(offered: float, passed: bool, saturated: bool = False) -> Trial:
    unknown = Predicted(None, None, None)
    return Trial(offered / 100, offered, offered, 0.001, 0.002, None, 0.5, passed, saturated, unknown)


@pytest.mark.parametrize(
    ("passed", "knee"),
    [((True, True, False), (20.0, 30.0)), ((True, False, True), (10.0, 20.0)), ((True, True, True), None),
     ((False, False, False), None)],
)  # fmt: skip
def test_the_knee_of_a_curve_lies_before_the_first_failure(
    passed: tuple[bool, ...], knee: tuple[float, float] | None
) -> None:
    trials = tuple(trial(10.0 * place, one) for place, one in enumerate(passed, 1))
    curve = Curve("fastchat", "room", 100, 10, Spread(90, 100, 110), 0.02, trials)
    assert curve.knee == knee


def test_a_load_that_the_generator_could_not_make_shows_no_knee() -> None:
    trials = (trial(10.0, True), trial(20.0, False, saturated=True), trial(30.0, False))
    assert Curve("fastchat", "room", 100, 10, Spread(90, 100, 110), 0.02, trials).knee is None
    assert [one.verdict for one in trials] == ["passed", "saturated", "failed"]


def test_points_are_named_after_rooms_rate_and_payload() -> None:
    assert named("teams-5-r10-100B") == ("teams-5", 100) and named("room-r2-1000B") == ("room", 1000)


def sample(server: str, round_: int, deliveries: int, cpu: float = 1.0) -> dict[str, Any]:
    timing = {"count": 1, "p99": 2000.0}
    return {
        "server": server, "mode": "flood", "members": 10, "round": round_, "failed": "",
        "sample": {"deliveries": deliveries, "server_cpu": cpu, "seconds": 2.0, "each_us": timing},
    }  # fmt: skip


def test_ratios_are_taken_within_a_round_and_on_the_same_wire() -> None:
    samples = [
        sample("fastchat", 1, 100), sample("other", 1, 50), sample("page", 1, 10),
        sample("fastchat-ws", 1, 80), sample("fastchat", 2, 30), sample("other", 2, 10),
        sample("other", 3, 1),
    ]  # fmt: skip
    servers = {"page": {"wire": "ws"}, "fastchat-ws": {"wire": "ws"}, "other": {"wire": "tcp"}}
    content = document("compare", "x", samples=samples, servers=servers)
    found = {one.server: one for one in cells(file(content), [])}
    assert found["fastchat"].ratio is None
    assert found["other"].ratio == Spread(2.0, 2.5, 3.0)  # of rounds 1 and 2; round 3 has no pair
    assert found["page"].ratio == Spread(8.0, 8.0, 8.0)
    assert found["fastchat-ws"].ratio == Spread(1.25, 1.25, 1.25)
    assert found["other"].per_cpu == Spread(1.0, 10.0, 50.0)
    assert found["other"].cpu.median == 0.5 and found["other"].p99.median == 0.002


def test_flat_out_counts_until_the_last_member() -> None:
    one = sample("fastchat", 1, 5)
    one["sample"] |= {"each_us": {"count": 0, "p99": 0.0}, "last_us": {"count": 3, "p99": 7000.0}}
    (found,) = cells(file(document("compare", "x", samples=[one])), [])
    assert found.p99.median == 0.007


def test_memory_is_what_grew_for_each_connection() -> None:
    found = holdings(file(connections()), [])
    largest = next(one for one in found if (one.server, one.connections) == ("threaded", 19000))
    assert largest.resident.median == 21000 and largest.kernel and largest.kernel.median == 6100
    assert grown({"before": 10, "connected": 30}) == 20
    assert grown({"before": {"a": 1, "b": 2}, "connected": {"a": 5, "b": 2}}) == 4


def test_memory_of_the_kernel_may_be_unknown() -> None:
    content = connections()
    for one in content["samples"]:
        one["sample"]["kernel"] = None
    assert {one.kernel for one in holdings(file(content), [])} == {None}


def test_refusals_are_a_rate_and_losses_a_sum() -> None:
    content = overload()
    content["samples"][0]["lost"] = 2
    found = overloads(file(content), [])
    assert [(one.rho, one.admission) for one in found[:3]] == [(0.9, True), (2.0, True), (2.0, False)]
    shed = found[1]
    assert shed.refused.median == pytest.approx(shed.offered.median - shed.achieved.median, rel=0.01)
    assert found[0].lost == 2 and found[2].refused.median == 0


def test_coefficients_and_drift() -> None:
    first, _ = calibrations(file(capacity()), [])
    assert dict(first.coefficients)["a"].median == 12e-6
    assert (first.loads, first.drift) == (12, (-0.03, 0.012))


@pytest.mark.parametrize("entry", [None, 7, {}, {"failed": ""}, {"failed": "", "sample": {"server_cpu": 0}}])
def test_an_entry_that_cannot_be_read_costs_only_itself(entry: Any) -> None:
    content = compare()
    whole = len(cells(file(content), []))
    content["samples"].insert(3, entry)
    notices: list[str] = []
    assert len(cells(file(content), notices)) == whole
    assert len(notices) == 1 and notices[0].startswith("compare.json: samples[3] was left out")


@pytest.mark.parametrize("kind", ["capacity", "compare", "connections", "overload"])
@pytest.mark.parametrize("content", [{}, {"samples": None, "servers": None}, {"samples": {}, "servers": []}])
def test_a_result_without_anything_yet(kind: str, content: dict[str, Any]) -> None:
    found = evidence({kind: file({"kind": kind} | content)})
    assert found.curves == found.knees == found.cells == found.holdings == found.overloads == ()


def test_a_full_result_wins_over_a_quick_one_and_a_new_one_over_an_old_one(tmp_path: Path) -> None:
    write(tmp_path, "compare")
    quick = compare() | {"settings": {"quick": True}, "started": "2030-01-01"}
    (tmp_path / "a-quick.json").write_text(json.dumps(quick))
    newer = compare() | {"started": "2027-01-01"}
    (tmp_path / "newer.json").write_text(json.dumps(newer))
    (tmp_path / "index.json").write_text("{}")
    (tmp_path / "schema-compare.json").write_text("{}")
    assert {kind: one.name for kind, one in load(tmp_path).items()} == {"compare": "newer.json"}
    (tmp_path / "newer.json").unlink()
    (tmp_path / "compare.json").unlink()
    assert load(tmp_path)["compare"].quick
