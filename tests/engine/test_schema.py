"""The database's version, its migrations, and the lock of its folder."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fastchat.engine import schema
from fastchat.engine.lock import Lock
from fastchat.engine.schema import FILE, connect
from fastchat.errors import ConfigError


def shape(database: sqlite3.Connection) -> list[tuple[str, ...]]:
    return list(database.execute("SELECT type, name, tbl_name FROM sqlite_schema ORDER BY name"))


def test_a_new_file_has_this_version_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    database = connect(tmp_path / FILE)
    assert database.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS),)
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    database.execute("INSERT INTO meta VALUES ('epoch', 'x')")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {FILE: 0o600, f"{FILE}-wal": 0o600, f"{FILE}-shm": 0o600}
    database.close()


def test_an_empty_file_is_version_0(tmp_path: Path) -> None:
    (tmp_path / FILE).touch()
    database = connect(tmp_path / FILE)
    assert ("table", "messages", "messages") in shape(database)
    database.close()


def test_an_older_file_is_brought_up_and_keeps_what_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = connect(tmp_path / FILE)
    database.execute("INSERT INTO facts VALUES ('role', 'lobby', 't:1', x'03')")
    database.close()
    later = (
        "ALTER TABLE facts ADD COLUMN note TEXT NOT NULL DEFAULT 'none'",
        "CREATE TABLE more (id INTEGER PRIMARY KEY); CREATE INDEX most ON more (id)",
    )
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, *later))
    database = connect(tmp_path / FILE)
    assert database.execute("SELECT * FROM facts").fetchall() == [("role", "lobby", "t:1", b"\3", "none")]
    assert database.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS),)
    assert ("index", "most", "more") in shape(database)
    database.close()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = connect(tmp_path / FILE)
    before = shape(database)
    database.close()
    wrong = "CREATE TABLE more (id INTEGER); CREATE TABLE rooms (id INTEGER)"
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, wrong))
        with pytest.raises(sqlite3.OperationalError, match="already exists"):
            connect(tmp_path / FILE)
    database = connect(tmp_path / FILE)
    assert shape(database) == before
    database.close()


def test_a_newer_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    database = connect(tmp_path / FILE)
    database.execute("PRAGMA user_version = 99")
    database.close()
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(ConfigError, match=r"newer fastchat \(version 99 .* --data"):
        connect(tmp_path / FILE)
    assert (tmp_path / FILE).read_bytes() == before


def test_the_database_of_somebody_else_is_refused(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / FILE)
    other.execute("CREATE TABLE theirs (id INTEGER)")
    other.close()
    with pytest.raises(ConfigError, match="of another program"):
        connect(tmp_path / FILE)


@pytest.mark.parametrize("garbage", [b"hello " * 1000, b"SQLite format 3\0" + b"\xff" * 8000])
def test_what_is_no_database_is_said_and_left_alone(tmp_path: Path, garbage: bytes) -> None:
    (tmp_path / FILE).write_bytes(garbage)
    with pytest.raises(sqlite3.DatabaseError):
        connect(tmp_path / FILE)
    assert (tmp_path / FILE).read_bytes() == garbage


# --- the lock


def test_the_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "a" / "data")
    assert stat.S_IMODE((tmp_path / "a" / "data").stat().st_mode) == 0o700
    assert (tmp_path / "a" / "data" / "lock").read_text() == f"{os.getpid()}\n"
    lock.release()
    lock.release()


def test_two_cannot_hold_one_folder(tmp_path: Path) -> None:
    lock = Lock(tmp_path)
    with pytest.raises(ConfigError, match=rf"in use by another fastchat \(pid {os.getpid()}\)"):
        Lock(tmp_path)
    lock.release()
    Lock(tmp_path).release()


def test_a_full_disk_does_not_keep_anybody_from_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    lock = Lock(tmp_path)
    with pytest.raises(ConfigError, match=r"in use by another fastchat \(pid \?\)"):
        Lock(tmp_path)
    lock.release()


def test_a_process_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from fastchat.engine.lock import Lock\n"
        "lock = Lock(pathlib.Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match=rf"\(pid {process.pid}\)"):
            Lock(tmp_path)
        process.kill()
    Lock(tmp_path).release()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="--data"):
        Lock(tmp_path / "file" / "data")
