"""What is kept, for the commands that read it, copy it and fill it beside the server.

Invariant: reading and copying see one moment and hold nobody up; putting something in needs the `Lock`, is
all or nothing, and gives the room a new epoch.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastchat.engine import lock, schema
from fastchat.engine.archive import Header
from fastchat.engine.base import Entry, Record
from fastchat.engine.changes import EDIT
from fastchat.engine.lock import FILE_MODE, Lock, sync
from fastchat.errors import ConfigError, StoreError
from fastchat.protocol.codec import EMPTY, NIL, unpack

CHARGE = 208  # bytes charged per entry besides data and opts
EPOCH_BYTES = 6  # of chance in a new epoch
PAGES = 256  # pages of the database copied between two looks at the progress
BATCH = 500  # rows fetched at a time

Progress = Callable[[int, int], None]  # bytes copied, bytes in all


@contextmanager
def reading(folder: Path) -> Iterator[sqlite3.Connection]:
    """Open what is kept in a folder as it stands at this moment, whether a server has it or not.

    Raises ConfigError where nothing is kept there, or by another version.
    """
    path = folder / schema.FILE
    if not path.is_file():
        raise ConfigError(
            f"{folder}: nothing is kept there ({schema.FILE} is missing); name the folder with --data"
        )
    try:
        schema.check_beside(path)
        database = sqlite3.connect(path, schema.BUSY_SECONDS, isolation_level=None)
        try:
            database.execute("PRAGMA query_only = 1")
            if schema.version(database, path) != len(schema.MIGRATIONS):
                raise ConfigError(
                    f"{path} is of an older fastchat; start fastchat serve once, it is brought up to date"
                )
            database.execute("BEGIN")
            database.execute("SELECT count(*) FROM meta").fetchone()  # the moment is now
            yield database
        finally:
            database.close()
    except sqlite3.Error as error:
        raise StoreError(f'{path} cannot be read: {error}. See docs/STORE.md, "A corrupt file"') from error


@contextmanager
def changing(folder: Path) -> Iterator[sqlite3.Connection]:
    """Open a folder for one change, in one transaction, while no server has it; it is made if need be.

    Raises ConfigError where somebody has it.
    """
    lock = Lock(folder)
    path = folder / schema.FILE
    try:
        database = schema.connect(path)
        try:
            database.execute("PRAGMA synchronous = FULL")
            database.execute("BEGIN IMMEDIATE")
            yield database
            database.execute("COMMIT")
        finally:
            database.close()  # without COMMIT nothing has happened
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"{path}: nothing was changed: {error}") from error
    finally:
        lock.release()


def rooms(database: sqlite3.Connection) -> list[tuple[str, int]]:
    """Names of all rooms, and how many messages each keeps."""
    rows = database.execute("SELECT name, head - oldest + 1 FROM rooms ORDER BY name")
    return [(str(name), int(count)) for name, count in rows]


def export(database: sqlite3.Connection, room: str, now: int) -> tuple[Header, Iterator[Entry]]:
    """Read a room; of what has expired only the place is told. Raises StoreError for an unknown one."""
    row = database.execute("SELECT id, epoch, head, oldest FROM rooms WHERE name = ?", (room,)).fetchone()
    if row is None:
        raise StoreError(f"no room {room} is kept there{_others(database)}")
    number, epoch, head, oldest = row
    return Header(room, epoch, head), _entries(database, number, oldest, head, now)


def _entries(database: sqlite3.Connection, room: int, oldest: int, head: int, now: int) -> Iterator[Entry]:
    rows = database.execute(
        "SELECT offset, ts, user, data, opts, expires, author FROM messages"
        " WHERE room = ? AND offset BETWEEN ? AND ? ORDER BY offset",
        (room, oldest, head),
    )
    while found := rows.fetchmany(BATCH):
        for entry in map(Entry._make, found):
            expired = 0 < entry.expires <= now
            yield entry._replace(data=NIL, opts=EMPTY) if expired else entry


def _others(database: sqlite3.Connection) -> str:
    names = [name for name, _ in rooms(database)]
    if not names:
        return ": nothing was ever said in a room that lasts"
    more = f" and {len(names) - 10:,} more" if len(names) > 10 else ""
    return f"; there are {', '.join(names[:10])}{more}"


def put(database: sqlite3.Connection, room: str, newest: int, entries: Iterable[Entry], replace: bool) -> int:
    """Fill a room that has no messages, or with `replace` any, under a new epoch; gives their number.

    What was remembered of the messages that it had (keys, read marks) is forgotten.
    """
    row = database.execute("SELECT id, head - oldest + 1 FROM rooms WHERE name = ?", (room,)).fetchone()
    if row is not None and row[1] > 0 and not replace:
        raise StoreError(f"{room} has {row[1]:,} messages already; --replace puts these in their place")
    if row is not None:
        database.execute("DELETE FROM messages WHERE room = ?", (row[0],))
        database.execute("DELETE FROM rooms WHERE id = ?", (row[0],))
    database.execute("DELETE FROM keys WHERE room = ?", (room,))
    database.execute("DELETE FROM facts WHERE kind = 'mark' AND room = ?", (room,))
    number = database.execute(
        "INSERT INTO rooms (name, epoch, head, oldest, bytes, power) VALUES (?, ?, ?, ?, 0, 0)",
        (room, secrets.token_hex(EPOCH_BYTES), newest, newest + 1),
    ).lastrowid
    count = size = oldest = 0
    for entry in entries:
        oldest = oldest or entry.offset
        count += 1
        size += len(entry.data) + len(entry.opts) + CHARGE
        _insert(database, number, entry)
    if count:
        database.execute("UPDATE rooms SET oldest = ?, bytes = ? WHERE id = ?", (oldest, size, number))
    return count


def _insert(database: sqlite3.Connection, room: int | None, entry: Entry) -> None:
    opts: Any = unpack(entry.opts)
    target = opts["target"] if opts.get("change") == EDIT else 0
    offset, ts, user, data, packed, expires, author = entry
    database.execute(
        "INSERT INTO messages (room, offset, ts, user, author, data, opts, expires, target)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (room, offset, ts, user, author, data, packed, expires, target),
    )


def records(database: sqlite3.Connection, room: str | None, last: int) -> Sequence[Record]:
    """The last so many lines of the audit log, the oldest first; of one room, or None: of all."""
    where = "" if room is None else "WHERE room = ?"
    rows = database.execute(
        f"SELECT ts, room, by, action, user, detail FROM records {where} ORDER BY id DESC LIMIT ?",
        (last,) if room is None else (room, last),
    ).fetchall()
    return [Record._make(row) for row in reversed(rows)]


def backup(database: sqlite3.Connection, target: Path, progress: Progress, now: int) -> int:
    """Copy everything as it stands at the moment of `database` into a new file; gives its bytes.

    The file appears whole or not at all, is checked before, and is for this user's eyes only. It says that it
    is a copy: a server that opens it gives every room a new epoch, for members may have seen offsets that
    came after it. Raises StoreError.
    """
    _check_elsewhere(database, target)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))
        try:
            _copy(database, part, progress, now)
            descriptor = os.open(part, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
                size = os.fstat(descriptor).st_size
            finally:
                os.close(descriptor)
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)
        sync(target.absolute().parent)
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"{target} was not written: {getattr(error, 'strerror', None) or error}") from error
    return size


def _check_elsewhere(database: sqlite3.Connection, target: Path) -> None:
    """Raise StoreError where the target is what is copied, or a file that belongs to it."""
    source = Path(database.execute("PRAGMA database_list").fetchone()[2])
    for name in (*(source.name + end for end in ("", *schema.BESIDE)), lock.FILE):
        own = source.with_name(name)
        if own.resolve() == target.resolve() or (own.exists() and target.exists() and own.samefile(target)):
            raise StoreError(f"{target} belongs to what is copied: name a file elsewhere")


def _copy(database: sqlite3.Connection, part: Path, progress: Progress, now: int) -> None:
    page: int = database.execute("PRAGMA page_size").fetchone()[0]
    copy = sqlite3.connect(part, isolation_level=None)
    try:
        # The source is in a read transaction: it stays at its moment however much the server writes, and the
        # copy never begins anew.
        database.backup(
            copy, pages=PAGES, progress=lambda _, left, total: progress((total - left) * page, total * page)
        )
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, without -wal and -shm
        copy.execute("INSERT OR REPLACE INTO meta VALUES ('restored', ?)", (str(now),))
        wrong = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
        if wrong != "ok":
            raise StoreError(f"what is kept is damaged ({wrong}); no copy was made")
    finally:
        copy.close()
