"""The benchmark of presence: it judges by pairs of turns, and runs against a real server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import bench_presence, results


def turn(watched: bool, cpu: float, behind: bool = False) -> dict[str, Any]:
    return {"watched": watched, "seconds": 2.0, "server_cpu": cpu, "behind": behind}


def test_what_presence_costs_is_the_difference_within_a_round() -> None:
    pairs = [(0.9, 1.0), (1.8, 2.0), (0.7, 1.0)]  # the machine was slower in the second
    samples = [turn(on, cpu) for off, with_it in pairs for on, cpu in ((False, off), (True, with_it))]
    verdict = bench_presence.judge(samples)
    assert (verdict["low"], verdict["part"], verdict["high"]) == (0.1, 0.1, 0.3)
    assert verdict["core"] == 0.1 and verdict["met"]
    assert not bench_presence.judge([turn(False, 0.5), turn(True, 1.0)])["met"]


def test_a_turn_with_too_few_joins_meets_nothing() -> None:
    """Not even where nobody watched: fewer joins there make presence look dear."""
    for late in (False, True):
        verdict = bench_presence.judge([turn(False, 0.9, not late), turn(True, 1.0, late)])
        assert verdict["behind"] == 1 and not verdict["met"]


def test_a_small_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_presence, "REST", 0.0)
    out = tmp_path / "presence.json"
    size = ["--members", "5", "--rate", "200", "--seconds", "0.3", "--rounds", "1"]
    assert bench_presence.main([*size, "--out", str(out)]) in (0, 1)
    result = json.loads(out.read_text())
    assert results.mistakes(result, results.schema("presence")) == []
    off, on = result["samples"]
    assert not off["watched"] and off["pushes"] == 0
    assert on["watched"] and on["pushes"] >= 1 and on["joins"] >= 10


def test_what_cannot_be_measured_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench_presence.main(["--members", "100000000"]) == 2
    assert "descriptors" in capsys.readouterr().err
