"""The report reads what the laboratory writes: files made by its own code, and the names of the schemas."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fastchat.bench.grid import Point
from fastchat.bench.overload import CASES, Lengths
from fastchat.bench.pace import FULL
from fastchat.bench.report import report
from fastchat.bench.report_files import load
from fastchat.bench.report_model import line
from fastchat.bench.report_points import Evidence
from fastchat.bench.report_reading import evidence
from fastchat.bench.results import schema
from tests.bench.simulated import SimulatedServer
from tests.bench.test_campaign import campaign
from tests.bench.test_overload import Guarded, overload

RESULTS = Path(__file__).parents[2] / "bench_results"
POINT = Point("room", 5.0, 100)

pytestmark = pytest.mark.usefixtures("coarse")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pace = replace(FULL, rounds=1, between=1, fractions=(0.4, 0.9, 1.1))
    campaign(SimulatedServer(), [POINT], pace, tmp_path / "capacity.json", [POINT]).run()
    overload(Guarded(), tmp_path / "overload.json", replace(Lengths(), rounds=2)).run()
    return tmp_path


def read(folder: Path) -> Evidence:
    found = evidence(load(folder))
    assert found.notices == ()
    return found


def test_capacity_and_overload_are_understood(folder: Path) -> None:
    found = read(folder)
    written = json.loads((folder / "capacity.json").read_text())["servers"]["fastchat"]
    (knee,) = found.knees
    assert knee.predicted.median == written["points"][0]["predicted"]["value"]
    assert knee.error == pytest.approx(written["points"][0]["error"]) and knee.p99
    (calibration,) = found.calibrations
    assert calibration.drift == (written["drift"]["low"], written["drift"]["high"])
    (curve,) = found.curves
    assert [round(trial.rho, 2) for trial in curve.trials] == [0.4, 0.9, 1.1]
    assert [trial.verdict for trial in curve.trials] == ["passed", "passed", "failed"]
    assert line(curve)[0][0] == 0.05  # made from the coefficients, not from the three trials
    assert [(one.rooms, one.rho, one.admission) for one in found.overloads] == [
        (case.name, rho, admission)
        for case in sorted(CASES, key=lambda case: case.name)
        for rho, admission in ((0.9, True), (2.0, True), (2.0, False))
    ]
    shed = found.overloads[1]
    assert shed.refused.median == pytest.approx(shed.offered.median - shed.achieved.median, rel=0.05)


def test_they_are_drawn(folder: Path) -> None:
    made = report(folder, folder / "report")
    names = {"index", "throughput", "latency", "utilisation", "knees", "overload"}
    assert {path.stem for path in made.written} == names and made.notices == ()


@pytest.mark.parametrize(
    ("kind", "entry", "sample"),
    [
        (
            "compare",
            {"round", "members", "mode", "server", "failed", "sample"},
            {"deliveries", "server_cpu", "seconds", "each_us", "last_us"},
        ),
        (
            "connections",
            {"server", "sessions", "failed", "sample"},
            {"members", "connect_seconds", "resident", "kernel"},
        ),
    ],
)
def test_what_the_report_reads_is_what_the_schemas_ask_for(
    kind: str, entry: set[str], sample: set[str]
) -> None:
    rules = schema(kind, RESULTS)["properties"]["samples"]["items"]
    assert entry <= set(rules["required"])
    assert sample <= set(rules["properties"]["sample"]["required"])
