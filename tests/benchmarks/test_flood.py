"""The benchmark of a flooder: it judges by pairs of samples, and runs against a real server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import bench_flood, results
from benchmarks.bench_flood import judge


def sample(
    rate: int,
    p99: float,
    relayed: int = 0,
    muted: float = 0.0,
    wrong: int = 0,
    tried: int = 600_000,
    cut: float = 0.0,
    until: float = 0.0,
) -> dict[str, Any]:
    flood = {"relayed": relayed, "muted_after": muted, "cut_after": cut, "seconds": 12.0, "tried": tried}
    flood["relayed_until"] = until or muted or 12.0
    return {"rate": rate, "p99_ms": p99, "wrong": wrong, "flood": flood}


def pair(quiet: float, flooded: float, relayed: int = 70) -> list[dict[str, Any]]:
    return [sample(0, quiet), sample(50_000, flooded, relayed)]


def test_the_others_are_compared_within_a_round() -> None:
    verdict = judge([*pair(1.0, 1.2), *pair(4.0, 4.4), *pair(1.0, 3.0)])
    assert verdict["ratio"] == {"median": 1.2, "low": 1.1, "high": 3.0}
    assert verdict["relayed"]["median"] == 1.0 and verdict["met"]


def test_each_target_can_be_missed() -> None:
    assert not judge(pair(1.0, 1.4))["met"]
    assert not judge(pair(1.0, 1.0, relayed=60))["met"]
    assert not judge(pair(1.0, 1.0, relayed=80))["met"]
    assert not judge([sample(0, 1.0, wrong=1), sample(50_000, 1.0, 70)])["met"]


def test_a_flood_that_was_none_meets_nothing() -> None:
    """On a busy machine the flooder may not come to its rate; what a cut keeps it from does not count."""
    assert judge([sample(0, 1.0), sample(50_000, 1.0, 70, tried=540_000)])["met"]
    verdict = judge([sample(0, 1.0), sample(50_000, 1.0, 70, tried=530_000)])
    assert not verdict["met"] and verdict["offered"] == 0.883
    assert not judge([*pair(1.0, 1.0), sample(0, 1.0), sample(50_000, 1.0, 70, tried=1000)])["met"]
    assert judge([sample(0, 1.0), sample(50_000, 1.0, 70, tried=290_000, cut=6.0)])["met"]


def test_what_is_allowed_ends_with_the_mute() -> None:
    assert judge([sample(0, 1.0), sample(50_000, 1.0, relayed=60, muted=10.0)])["relayed"]["median"] == 1.0


def test_a_pause_at_the_end_does_not_count_but_silence_does() -> None:
    paused = [sample(0, 1.0), sample(50_000, 1.0, relayed=65, until=11.0)]
    assert judge(paused)["relayed"]["median"] == 1.0 and judge(paused)["met"]
    assert not judge([sample(0, 1.0), sample(50_000, 1.0, relayed=60, until=10.0)])["met"]
    assert judge(pair(1.0, 1.0, relayed=70 * 95 // 100 + 1))["met"]


def test_a_small_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_flood, "WARMUP", 0.2)
    monkeypatch.setattr(bench_flood, "MEMBERS", 5)
    out = tmp_path / "flood.json"
    size = ["--rate", "20000", "--seconds", "0.8", "--rounds", "1"]
    assert bench_flood.main([*size, "--out", str(out)]) in (0, 1)
    assert "relayed of the flood" in capsys.readouterr().out
    result = json.loads(out.read_text())
    assert results.mistakes(result, results.schema("flood")) == []
    quiet, flooded = result["samples"]
    assert quiet["wrong"] == flooded["wrong"] == 0, flooded["first_error"]
    assert quiet["flood"]["sent"] == quiet["flood"]["relayed"] == 0
    flood = flooded["flood"]
    assert flood["tried"] > 1000 and flood["sent"] > 100 and flood["refused"] > 100
    assert 10 <= flood["relayed"] <= 10 + 5 * 1.5


def test_what_cannot_be_measured_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_flood, "MEMBERS", 10**9)
    assert bench_flood.main(["--rounds", "1"]) == 2
    assert "bench_flood: " in capsys.readouterr().err
