"""What others use of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastchat.bench import neighbours
from fastchat.bench.neighbours import busy, foreign


def test_busy_seconds_only_grow() -> None:
    before = busy()
    sum(range(2_000_000))
    after = busy()
    assert before is not None and after is not None and 0 < before <= after


def test_idle_and_waiting_are_not_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 200 300 9999 9999 400 500 600 0 0\ncpu0 1 1 1 1\n")
    monkeypatch.setattr(neighbours, "STAT", stat)
    monkeypatch.setattr(neighbours.os, "sysconf", lambda name: 100)
    assert busy() == 21.0


@pytest.mark.parametrize("text", ["", "cpu x", "cpu 1 2"])
def test_what_nobody_tells_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    stat = tmp_path / "stat"
    stat.write_text(text)
    monkeypatch.setattr(neighbours, "STAT", stat)
    assert busy() is None
    monkeypatch.setattr(neighbours, "STAT", tmp_path / "nowhere")
    assert busy() is None


def test_what_is_ours_is_not_foreign() -> None:
    assert foreign(10.0, 13.0, 2.0, 1.2) == pytest.approx(0.3)
    assert foreign(10.0, 12.0, 2.0, 1.2) == 0.0
    assert foreign(None, 12.0, 2.0, 1.2) is None
