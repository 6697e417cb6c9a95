"""export, import, backup and audit: what they print, and what they say when they cannot."""

from __future__ import annotations

import json
import os
import pty
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fastchat.cli import backup, main
from fastchat.engine import schema, vault
from fastchat.engine.base import Entry, Record
from fastchat.engine.lock import Lock
from fastchat.protocol.codec import EMPTY, pack

RECORDS = [
    Record(1_767_225_600_000, "lobby", "ada", "ban", "bob", pack({"seconds": 60, "reason": "spam\x1b[31m"})),
    Record(1_767_225_601_000, "", "ada", "unban", "bob", EMPTY),
]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a room and two lines of the log, which the commands find by FASTCHAT_DATA."""
    folder = tmp_path / "data"
    entries = [
        Entry(1, 2, "ada", pack("hello"), EMPTY, 0, "g:1"),
        Entry(2, 3, "bob", pack(b"\0"), EMPTY, 0, "g:2"),
    ]
    with vault.changing(folder) as database:
        vault.put(database, "lobby", 2, entries, False)
        database.executemany(
            "INSERT INTO records (ts, room, by, action, user, detail) VALUES (?, ?, ?, ?, ?, ?)", RECORDS
        )
    monkeypatch.setenv("FASTCHAT_DATA", str(folder))
    return folder


def call(runner: CliRunner, *arguments: str, stdin: bytes | None = None) -> Result:
    return runner.invoke(main, list(arguments), input=stdin, prog_name="fastchat")


def test_a_room_goes_out_and_comes_in_elsewhere(runner: CliRunner, data: Path, tmp_path: Path) -> None:
    out = call(runner, "export", "lobby")
    assert out.exit_code == 0
    head, first, second = map(json.loads, out.stdout.splitlines())
    assert (head["room"], head["offset"], first["data"], second["data"]) == (
        "lobby",
        2,
        "hello",
        {"$bin": "AA=="},
    )
    other = str(tmp_path / "other")
    done = call(runner, "import", "-", "--room", "den", "--data", other, stdin=out.stdout_bytes)
    assert (done.exit_code, done.stdout) == (0, "den: 2 messages, up to offset 2\n")
    again = call(runner, "export", "den", "--data", other)
    assert again.stdout.splitlines()[1:] == out.stdout.splitlines()[1:]
    assert json.loads(again.stdout.splitlines()[0])["epoch"] != head["epoch"]
    assert call(runner, "export", "--list", "--data", other).stdout == "        2  den\n"


def test_a_file_is_written_whole_or_not_at_all(runner: CliRunner, data: Path, tmp_path: Path) -> None:
    target = tmp_path / "lobby.jsonl"
    done = call(runner, "export", "lobby", "--output", str(target))
    assert (done.exit_code, done.output) == (0, "")
    assert target.read_text() == call(runner, "export", "lobby").stdout
    assert target.stat().st_mode & 0o777 == 0o600
    missing = call(runner, "export", "lobby", "--output", str(tmp_path / "no" / "file"))
    assert missing.exit_code == 2 and "was not written: No such file" in missing.stderr
    assert sorted(os.listdir(tmp_path)) == ["data", "lobby.jsonl"]


def test_what_is_there_is_replaced_only_when_told(runner: CliRunner, data: Path) -> None:
    exported = call(runner, "export", "lobby").stdout_bytes
    refused = call(runner, "import", "-", stdin=exported)
    assert refused.exit_code == 2 and "lobby has 2 messages already; --replace" in refused.stderr
    done = call(runner, "import", "-", "--replace", stdin=exported)
    assert (done.exit_code, done.stdout) == (0, "lobby: 2 messages, up to offset 2\n")


WRONG = {
    "a room that is not there": (["export", "loby"], "no room loby is kept there; there are lobby"),
    "a folder with nothing in it": (["export", "lobby", "--data", "nowhere"], "nothing is kept there"),
    "a backup of nothing": (["backup", "x.db", "--data", "nowhere"], "nothing is kept there"),
    "the log of nothing": (["audit", "--data", "nowhere"], "nothing is kept there"),
    "no room and no list": (["export"], "name the ROOM to export, or --list"),
    "a room and a list": (["export", "lobby", "--list"], "name the ROOM to export, or --list"),
    "a file that is not there": (
        ["import", "no.jsonl"],
        "no.jsonl: No such file or directory; nothing was imported",
    ),
    "a bad name for the room": (["import", "-", "--room", "a b"], "--room a b: a room is"),
    "an empty file": (["import", "-"], "stdin, line 1: the file is empty; nothing was imported"),
}


@pytest.mark.parametrize("arguments, says", WRONG.values(), ids=WRONG)
def test_what_cannot_be_done_is_told(runner: CliRunner, data: Path, arguments: list[str], says: str) -> None:
    done = call(runner, *arguments, stdin=b"")
    assert done.exit_code == 2 and says in done.stderr, done.stderr
    assert not Path("nowhere").exists()


def test_a_bad_line_is_named_and_nothing_is_imported(runner: CliRunner, data: Path, tmp_path: Path) -> None:
    lines = call(runner, "export", "lobby").stdout_bytes.splitlines(keepends=True)
    file = tmp_path / "bad.jsonl"
    file.write_bytes(b"".join([*lines[:2], lines[2].replace(b'"bob"', b'""')]))
    done = call(runner, "import", str(file), "--room", "new")
    assert done.exit_code == 2 and "bad.jsonl, line 3: a name is 1 to 32 characters" in done.stderr
    assert "nothing was imported" in done.stderr
    assert call(runner, "export", "--list").stdout == "        2  lobby\n"


def test_while_a_server_has_the_folder_nothing_is_imported(runner: CliRunner, data: Path) -> None:
    exported = call(runner, "export", "lobby").stdout_bytes
    lock = Lock(data)
    try:
        done = call(runner, "import", "-", "--replace", stdin=exported)
    finally:
        lock.release()
    assert done.exit_code == 2 and f"in use by another fastchat (pid {os.getpid()}); stop it" in done.stderr


def test_a_copy_opens_as_a_folder_of_its_own(
    runner: CliRunner, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "PATIENCE", 0.0)
    (tmp_path / "restored").mkdir()
    target = tmp_path / "restored" / schema.FILE
    done = call(runner, "backup", str(target))
    assert done.exit_code == 0 and f"{target}: {target.stat().st_size:,} bytes in " in done.stdout
    assert "100 % of " in done.stderr
    assert call(runner, "export", "lobby", "--data", str(target.parent)).exit_code == 0


def test_a_corrupt_file_is_told_by_every_command(runner: CliRunner, data: Path, tmp_path: Path) -> None:
    database = sqlite3.connect(data / schema.FILE)
    database.execute("PRAGMA journal_mode = DELETE")
    database.close()
    content = bytearray((data / schema.FILE).read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    (data / schema.FILE).write_bytes(content)
    target = tmp_path / "copy.db"
    for arguments in (["export", "lobby"], ["backup", str(target)], ["audit"], ["export", "--list"]):
        done = call(runner, *arguments)
        assert done.exit_code == 2 and "malformed" in done.stderr, done.output
    assert not target.exists()


def test_the_log_as_a_table_and_as_json(runner: CliRunner, data: Path) -> None:
    head, first, second = call(runner, "audit").stdout.splitlines()
    assert head.split() == ["when", "room", "by", "action", "user", "detail"]
    assert first.split()[2:] == ["lobby", "ada", "ban", "bob", "seconds=60", "reason=spam␛[31m"]
    assert second.split()[2:] == ["(server)", "ada", "unban", "bob"]
    lines = call(runner, "audit", "lobby", "--json").stdout.splitlines()
    assert [json.loads(line)["detail"] for line in lines] == [{"seconds": 60, "reason": "spam\x1b[31m"}]
    assert call(runner, "audit", "--last", "1", "--json").stdout.count("\n") == 1
    empty = call(runner, "audit", "den")
    assert (empty.exit_code, empty.stdout) == (0, "") and "nothing is in the log of den" in empty.stderr


def test_a_terminal_never_sees_what_would_move_it(data: Path) -> None:
    with vault.changing(data) as database:
        evil = Entry(1, 2, "eve", pack("\x9b31m \u202e"), EMPTY, 0, "g:1")
        vault.put(database, "evil", 1, [evil], False)
    reader, terminal = pty.openpty()
    try:
        subprocess.run([sys.executable, "-m", "fastchat", "export", "evil"], stdout=terminal, check=True)
        shown = os.read(reader, 65536).decode()
    finally:
        os.close(reader)
        os.close(terminal)
    assert "\\u009b31m \\u202e" in shown and shown.replace("\r\n", "").isprintable()


def test_a_reader_that_leaves_is_no_fault(data: Path) -> None:
    with vault.changing(data) as database:
        vault.put(
            database,
            "long",
            5000,
            [Entry(n, 1, "ada", pack("x" * 99), EMPTY, 0, "") for n in range(1, 5001)],
            False,
        )
    command = f"{sys.executable} -m fastchat export long | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert (done.stdout.count("\n"), done.stderr, done.returncode) == (1, "", 0)
