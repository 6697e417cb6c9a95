"""Checkpoints are made beside the thread that writes, and their failures are nobody's."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from pathlib import Path

import pytest

from fastchat.config import Config
from fastchat.engine.checkpoint import Checkpointer
from fastchat.engine.schema import FILE
from tests.conftest import TIMEOUT
from tests.engine.contract import NOW
from tests.engine.rigs import StoreRig


def in_the_file_alone(folder: Path) -> int:
    """How many messages the database has without its log."""
    alone = folder / "alone.db"
    shutil.copy(folder / FILE, alone)
    database = sqlite3.connect(alone)
    try:
        tables = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        found: int = tables and database.execute("SELECT count(*) FROM messages").fetchone()[0]
        return found
    finally:
        database.close()


def test_a_checkpoint_brings_what_is_written_into_the_database(tmp_path: Path) -> None:
    rig = StoreRig(Config(), tmp_path)
    rig.engine.hold("lobby")
    for _ in range(10):
        rig.append()
    assert in_the_file_alone(tmp_path) == 0
    Checkpointer(tmp_path / FILE)._checkpoint()
    assert in_the_file_alone(tmp_path) == 10
    assert rig.append().offset == 11
    rig.close()


def test_it_is_asked_for_when_there_is_something_to_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nudges: list[str] = []
    monkeypatch.setattr(Checkpointer, "nudge", lambda self: nudges.append("now"))
    rig = StoreRig(Config(), tmp_path)
    rig.engine.hold("lobby")

    def tick(now: int) -> list[str]:
        nudges.clear()
        rig.engine.tick(now)
        rig.engine.after(lambda: None)  # in the same batch or a later one
        rig.settle()
        rig.read()
        return list(nudges)

    rig.append()
    assert tick(NOW) + tick(NOW + 1000), "something was written"
    assert tick(NOW + 2000) == tick(NOW + 3000) == []
    nudges.clear()
    for _ in range(300):
        rig.append("x" * 100)
    assert nudges, "a log that grows is not left to grow until the next tick"
    rig.close()


def test_a_nudge_makes_one_and_a_failure_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = [threading.Event(), threading.Event()]
    waiting = iter(rounds)

    def failing(self: Checkpointer) -> None:
        next(waiting).set()
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(Checkpointer, "_checkpoint", failing)
    checkpointer = Checkpointer(tmp_path / FILE)
    checkpointer.start()
    for one in rounds:
        checkpointer.nudge()
        assert one.wait(TIMEOUT)
    checkpointer.close()


def test_it_never_makes_a_database(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        Checkpointer(tmp_path / FILE)._checkpoint()
    assert list(tmp_path.iterdir()) == []
