"""Connections: how many can be asked for, and what a sample says of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastchat.bench import connections
from fastchat.bench.connections import FIGURES, bound, figures, most_threads, plan, steps
from fastchat.bench.targets import BUILT_IN
from fastchat.capacity import clients
from tests.bench.samples import sample

US, _, THREADED, _ = BUILT_IN


def test_threads_bound_the_server_that_has_one_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "most_threads", lambda: 300)
    monkeypatch.setattr(connections, "most_connections", lambda: 19_700)
    assert bound(THREADED) == (300, "threads of a process")
    assert bound(US) == (19_700, "descriptors of a process")


def test_the_least_limit_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limits = {"/proc/sys/kernel/threads-max": 9000, "/proc/sys/vm/max_map_count": 4000}
    monkeypatch.setattr(connections, "_limit", lambda path: limits.get(path, connections.NO_LIMIT))
    assert most_threads() == 2000 - connections.THREADS_SPARE
    monkeypatch.undo()
    (tmp_path / "max").write_text("max\n")
    assert connections._limit(str(tmp_path / "max")) == connections.NO_LIMIT
    assert connections._limit(str(tmp_path / "absent")) == connections.NO_LIMIT
    (tmp_path / "max").write_text("7\n")
    assert connections._limit(str(tmp_path / "max")) == 7


def test_steps_rise_to_what_is_possible() -> None:
    assert steps(19_700) == (100, 1000, 5000, 19_700)
    assert steps(700) == (100, 700)
    assert steps(19_700, (50, 30_000)) == (50, 19_700)


@pytest.mark.parametrize("sessions", [1, 9, 10, 105, 19_700])
def test_everybody_has_a_room(sessions: int) -> None:
    load = plan(sessions)
    assert clients(load.groups) == sessions
    assert all(1 <= group.members <= connections.TEAM for group in load.groups)


def test_figures_are_for_each_connection() -> None:
    taken = sample(members=1024)  # 1 MiB of resident memory, 4 KiB of the kernel's each
    found = {name: compute(taken) for name, (_, compute) in FIGURES.items()}
    assert found["KiB/connection"] == 1 and found["kernel KiB/connection"] == 4
    assert found["connections/s"] == 2048 and found["served s"] == 0.5
    assert found["CPU share"] == 0.5 and found["p99 ms"] == pytest.approx(3)


def test_failed_samples_have_no_figures() -> None:
    entries = [
        {"server": "fastchat", "sessions": 9, "failed": "", "sample": sample(threads=2)},
        {"server": "fastchat", "sessions": 9, "failed": "", "sample": sample(threads=4)},
        {"server": "fastchat", "sessions": 9, "failed": "died", "sample": None},
    ]
    (row,) = [one for one in figures(entries) if one["figure"] == "threads"]
    assert (row["low"], row["median"], row["high"]) == (2, 3, 4)
