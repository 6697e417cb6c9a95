"""What the commands do to a store: read one moment of it, copy it, fill a room, all or nothing."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastchat.engine import schema, vault
from fastchat.engine.archive import ArchiveError, Header
from fastchat.engine.base import Entry, Record
from fastchat.engine.lock import Lock
from fastchat.errors import ConfigError, StoreError
from fastchat.protocol.codec import EMPTY, NIL, pack

NOW = 1_000_000


def entry(offset: int, data: object = "hi", expires: int = 0, **opts: object) -> Entry:
    return Entry(offset, offset, "ada", pack(data), pack(opts), expires, "g:1")


def fill(folder: Path, room: str, entries: list[Entry], replace: bool = False) -> int:
    with vault.changing(folder) as database:
        return vault.put(database, room, entries[-1].offset if entries else 0, entries, replace)


def read(folder: Path, room: str) -> tuple[Header, list[Entry]]:
    with vault.reading(folder) as database:
        header, entries = vault.export(database, room, NOW)
        return header, list(entries)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "data"
    fill(
        found, "lobby", [entry(3), entry(4, reply_to=3), entry(5, None, change="edit", target=3, value="ho")]
    )
    return found


def rows(folder: Path, query: str) -> list[tuple[object, ...]]:
    database = sqlite3.connect(folder / schema.FILE)
    try:
        return database.execute(query).fetchall()
    finally:
        database.close()


def test_a_room_goes_in_and_comes_out(folder: Path) -> None:
    header, entries = read(folder, "lobby")
    assert (header.room, header.offset, [one.offset for one in entries]) == ("lobby", 5, [3, 4, 5])
    assert entries[1] == entry(4, reply_to=3)
    size = sum(len(one.data) + len(one.opts) + vault.CHARGE for one in entries)
    assert rows(folder, "SELECT head, oldest, bytes, power FROM rooms") == [(5, 3, size, 0)]
    assert rows(folder, "SELECT offset, target FROM messages WHERE target") == [(5, 3)]


def test_only_edits_are_found_by_their_target(folder: Path) -> None:
    """A deletion blanks what stands under that target: edits, and nothing else."""
    changes = [entry(2, None, change=kind, target=1, value=None) for kind in ("react", "delete")]
    for number, change in enumerate(changes):
        fill(folder, f"room{number}", [entry(1), change])
    assert rows(folder, "SELECT count(*) FROM messages WHERE target = 1") == [(0,)]


def test_a_room_that_has_messages_is_left_alone_unless_told(folder: Path) -> None:
    before = read(folder, "lobby")
    with pytest.raises(StoreError, match="lobby has 3 messages already; --replace"):
        fill(folder, "lobby", [entry(1)])
    assert read(folder, "lobby") == before
    assert fill(folder, "lobby", [entry(1)], replace=True) == 1
    header, entries = read(folder, "lobby")
    assert (header.offset, [one.offset for one in entries]) == (1, [1])
    assert header.epoch != before[0].epoch
    assert rows(folder, "SELECT count(*) FROM messages") == [(1,)]


def test_replacing_forgets_what_was_remembered_of_the_old_messages(folder: Path) -> None:
    with vault.changing(folder) as database:
        for room in ("lobby", "other"):
            database.execute(
                "INSERT INTO keys (ts, room, owner, key, offset) VALUES (1, ?, 'ada', 'k', 3)", (room,)
            )
            for kind in ("mark", "role"):
                database.execute("INSERT INTO facts VALUES (?, ?, 'ada', ?)", (kind, room, pack(3)))
    fill(folder, "lobby", [entry(1)], replace=True)
    assert rows(folder, "SELECT room FROM keys") == [("other",)]
    assert sorted(rows(folder, "SELECT room, kind FROM facts")) == [
        ("lobby", "role"), ("other", "mark"), ("other", "role"),
    ]  # fmt: skip


def test_an_empty_room_may_be_imported_and_filled_later(folder: Path) -> None:
    with vault.changing(folder) as database:
        assert vault.put(database, "old", 17, [], False) == 0
    assert read(folder, "old")[0].offset == 17
    assert rows(folder, "SELECT head, oldest FROM rooms WHERE name = 'old'") == [(17, 18)]
    assert fill(folder, "old", [entry(18)]) == 1


def test_a_bad_line_leaves_everything_as_it_was(folder: Path) -> None:
    before = read(folder, "lobby")

    def broken() -> Iterator[Entry]:
        yield entry(1)
        raise ArchiveError("line 3: broken")

    with pytest.raises(ArchiveError), vault.changing(folder) as database:
        vault.put(database, "lobby", 1, broken(), True)
    assert read(folder, "lobby") == before
    fill(folder, "lobby", [entry(1)], replace=True)  # nobody holds the lock any more


def test_of_what_has_expired_only_the_place_is_told(folder: Path) -> None:
    fill(folder, "ttl", [entry(1, "gone", NOW), entry(2, "kept", NOW + 1)])
    gone, kept = read(folder, "ttl")[1]
    assert (gone.offset, gone.data, gone.opts, gone.expires) == (1, NIL, EMPTY, NOW)
    assert kept.data == pack("kept")


def test_entries_that_only_wait_to_be_cleared_away_are_not_told(folder: Path) -> None:
    with vault.changing(folder) as database:
        database.execute("UPDATE rooms SET oldest = 4 WHERE name = 'lobby'")
    assert [one.offset for one in read(folder, "lobby")[1]] == [4, 5]


def test_while_somebody_has_the_folder_nothing_is_put_in(folder: Path) -> None:
    lock = Lock(folder)
    try:
        with pytest.raises(ConfigError, match="in use by another fastchat"):
            fill(folder, "new", [entry(1)])
        assert read(folder, "lobby")[0].offset == 5  # but it may be read
    finally:
        lock.release()


def test_what_is_not_there_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing is kept there"):
        read(tmp_path, "lobby")
    assert list(tmp_path.iterdir()) == [folder]  # and nothing was made
    with pytest.raises(StoreError, match="no room loby is kept there; there are lobby"):
        read(folder, "loby")
    for number in range(12):
        fill(folder, f"r{number:02}", [entry(1)])
    with pytest.raises(StoreError, match=r"there are lobby, r00, .*, r08 and 3 more"):
        read(folder, "x")


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / schema.FILE).write_bytes(b"hello " * 1000)
    with pytest.raises(StoreError, match="cannot be read.*docs/STORE.md"):
        read(tmp_path, "lobby")
    (tmp_path / schema.FILE).unlink()
    database = sqlite3.connect(tmp_path / schema.FILE)
    database.execute("CREATE TABLE x (y)")
    database.close()
    with pytest.raises(ConfigError, match="another program"):
        read(tmp_path, "lobby")


def no_progress(copied: int, size: int) -> None: ...


def test_a_copy_is_whole_private_and_says_that_it_is_one(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.write_text("an older one")
    seen: list[tuple[int, int]] = []
    with vault.reading(folder) as database:
        size = vault.backup(database, target, lambda *at: seen.append(at), NOW)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600 and target.stat().st_size == size
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.db", "data"]
    assert seen[-1][0] == seen[-1][1] > 0
    copy = tmp_path / "restored"
    copy.mkdir()
    target.rename(copy / schema.FILE)
    assert rows(copy, "SELECT value FROM meta WHERE name = 'restored'") == [(str(NOW),)]
    assert read(copy, "lobby") == read(folder, "lobby")
    assert rows(folder, "SELECT value FROM meta WHERE name = 'restored'") == []


def test_a_copy_is_of_one_moment_whatever_is_written_meanwhile(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy must neither begin anew with every write, nor see any."""
    fill(folder, "big", [entry(offset, "x" * 2000) for offset in range(1, 500)])
    monkeypatch.setattr(vault, "PAGES", 8)
    writer = schema.connect(folder / schema.FILE)
    steps = 0

    def write(copied: int, size: int) -> None:
        nonlocal steps
        steps += 1
        writer.execute("INSERT INTO records VALUES (NULL, 1, '', 'ada', 'ban', 'bob', x'80')")

    try:
        with vault.reading(folder) as database:
            vault.backup(database, tmp_path / "copy.db", write, NOW)
    finally:
        writer.close()
    assert 20 < steps < 200
    copy = sqlite3.connect(tmp_path / "copy.db")
    assert copy.execute("SELECT count(*) FROM records").fetchone() == (0,)
    assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    copy.close()
    assert rows(folder, "SELECT count(*) FROM records") == [(steps,)]


def test_a_copy_that_cannot_be_written_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    with vault.reading(folder) as database:
        with pytest.raises(StoreError, match="was not written: No such file"):
            vault.backup(database, tmp_path / "no" / "copy.db", no_progress, NOW)
        (tmp_path / "taken").mkdir()
        with pytest.raises(StoreError, match="was not written"):
            vault.backup(database, tmp_path / "taken", no_progress, NOW)

        def full(copied: int, size: int) -> None:
            raise OSError(28, "No space left on device")

        with pytest.raises(StoreError, match="was not written: No space left"):
            vault.backup(database, tmp_path / "copy.db", full, NOW)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "taken"]


@pytest.mark.parametrize("name", [schema.FILE, f"{schema.FILE}-wal", f"{schema.FILE}-shm", "lock", "link"])
def test_nothing_is_copied_onto_what_is_kept(folder: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "link").hardlink_to(folder / schema.FILE)
    (tmp_path / "other").symlink_to(folder)
    before = (folder / schema.FILE).stat()
    with vault.reading(folder) as database:
        for target in (folder / name, tmp_path / "other" / name) if name != "link" else (tmp_path / "link",):
            with pytest.raises(StoreError, match="belongs to what is copied"):
                vault.backup(database, target, no_progress, NOW)
    after = (folder / schema.FILE).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_copy_beside_the_log_of_another_database_is_not_opened(folder: Path, tmp_path: Path) -> None:
    with vault.reading(folder) as database:
        vault.backup(database, tmp_path / "copy.db", no_progress, NOW)
    path = folder / schema.FILE
    path.write_bytes((tmp_path / "copy.db").read_bytes())
    log = folder / f"{schema.FILE}-wal"
    log.write_bytes(b"what was newer")
    with pytest.raises(ConfigError, match="is a copy, and fastchat.db-wal beside it"):
        schema.connect(path)
    with pytest.raises(ConfigError, match="is a copy"):
        read(folder, "lobby")
    assert path.read_bytes() == (tmp_path / "copy.db").read_bytes() and log.read_bytes() == b"what was newer"
    log.unlink()
    schema.connect(path).close()


def test_the_last_lines_of_the_audit_log(folder: Path) -> None:
    lines = [Record(number, room, "ada", "ban", "bob", b"\x80") for number, room in enumerate("abab")]
    with vault.changing(folder) as database:
        database.executemany(
            "INSERT INTO records (ts, room, by, action, user, detail) VALUES (?, ?, ?, ?, ?, ?)", lines
        )
    with vault.reading(folder) as database:
        assert vault.records(database, None, 3) == lines[1:]
        assert vault.records(database, "a", 10) == lines[::2]
        assert vault.records(database, "c", 10) == []
