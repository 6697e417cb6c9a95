"""The database of what is kept: its tables, its version, how it is opened.

Invariant: what `connect` gives is a database of this version, or it raises; a file that it cannot
read is left as it is.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from fastchat.engine.lock import FILE_MODE, sync
from fastchat.errors import ConfigError

FILE = "fastchat.db"  # in the folder of what is kept, beside its -wal and -shm
APPLICATION = 0x46435354  # PRAGMA application_id: "FCST" tells the file from other people's databases
BESIDE = ("-wal", "-shm", "-journal")  # what SQLite keeps beside the file
FORMAT_AT, ROLLBACK = 18, b"\1\1"  # where the header says how it is written, and what a copy says there
BUSY_SECONDS = 2.0  # how long a statement waits for whoever reads or copies the file

# meta: "epoch" of rooms that have no row yet; "boot" and "clean" say how it was last left (`epochs`);
# "restored", in a copy, lets every room have a new epoch when it is next opened.
# rooms: `head` is the newest offset, `oldest` the first not yet cleared away (head + 1: none is there);
# `bytes` what these entries are charged; `power` is 1 as long as every message of the epoch was synced before
# anybody saw it.
# messages: data and opts are what a reader gets, changes already folded in; `target` is the message that an
# edit is of, else 0.
# keys: what was answered to the key of a PUBLISH, the oldest first.
_FIRST = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE rooms (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    epoch TEXT NOT NULL,
    head INTEGER NOT NULL,
    oldest INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    power INTEGER NOT NULL
);
CREATE TABLE messages (
    room INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    ts INTEGER NOT NULL,
    user TEXT NOT NULL,
    author TEXT NOT NULL,
    data BLOB NOT NULL,
    opts BLOB NOT NULL,
    expires INTEGER NOT NULL,
    target INTEGER NOT NULL,
    PRIMARY KEY (room, offset)
) WITHOUT ROWID;
CREATE INDEX edits ON messages (room, target, offset) WHERE target > 0;
CREATE TABLE keys (
    id INTEGER PRIMARY KEY,
    ts INTEGER NOT NULL,
    room TEXT NOT NULL,
    owner TEXT NOT NULL,
    key TEXT NOT NULL,
    offset INTEGER NOT NULL
);
CREATE INDEX keys_by_time ON keys (ts);
CREATE TABLE facts (
    kind TEXT NOT NULL,
    room TEXT NOT NULL,
    subject TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (kind, room, subject)
) WITHOUT ROWID;
CREATE TABLE records (
    id INTEGER PRIMARY KEY,
    ts INTEGER NOT NULL,
    room TEXT NOT NULL,
    by TEXT NOT NULL,
    action TEXT NOT NULL,
    user TEXT NOT NULL,
    detail BLOB NOT NULL
);
"""

# MIGRATIONS[n] makes version n + 1 (PRAGMA user_version) of version n; what was released is never changed.
MIGRATIONS: Sequence[str] = (_FIRST,)


def connect(path: Path) -> sqlite3.Connection:
    """Open the database, made or brought to this version where needed; who writes holds the `Lock`.

    Transactions are begun and ended by hand. Raises ConfigError where it is of a later version or no database
    of ours, sqlite3.Error where it cannot be read or written, OSError where it cannot be made.
    """
    if not path.exists():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))  # the log takes its mode
        sync(path.parent)
    check_beside(path)
    database = sqlite3.connect(path, BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        migrate(database, path)
    except BaseException:
        database.close()
        raise
    return database


def check_beside(path: Path) -> None:
    """Raise ConfigError where a copy was put beside the log of another database.

    SQLite would apply the log to the copy, and what comes of that is neither. A database of ours is written
    with a log as soon as it is made; a copy is not, until it is opened.
    """
    log = path.with_name(path.name + BESIDE[0])
    if not log.exists():
        return
    with path.open("rb") as file:
        file.seek(FORMAT_AT)
        if file.read(len(ROLLBACK)) != ROLLBACK:
            return
    raise ConfigError(
        f"{path} is a copy, and {log.name} beside it belongs to the database that was there before: move"
        f' {path.parent} away and put the copy into a new folder (docs/STORE.md, "Copies")'
    )


def version(database: sqlite3.Connection, path: Path) -> int:
    """The version of its tables, 0 for none. Raises ConfigError where this fastchat does not know them."""
    found: int = database.execute("PRAGMA user_version").fetchone()[0]
    application: int = database.execute("PRAGMA application_id").fetchone()[0]
    tables: int = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if application != APPLICATION and (tables or found):
        raise ConfigError(f"{path} is the database of another program; name another folder with --data")
    if found > len(MIGRATIONS):
        raise ConfigError(
            f"{path} was written by a newer fastchat (version {found} of its tables; this one knows"
            f" {len(MIGRATIONS)}): install that, or name another folder with --data"
        )
    return found


def migrate(database: sqlite3.Connection, path: Path) -> None:
    """Bring the tables to this version, one transaction for each step."""
    found = version(database, path)
    database.execute("PRAGMA journal_mode = WAL")
    for number, script in enumerate(MIGRATIONS[found:], found + 1):
        _step(database, script, number)


def _step(database: sqlite3.Connection, script: str, number: int) -> None:
    database.execute("PRAGMA synchronous = FULL")
    database.execute("BEGIN IMMEDIATE")
    try:
        for statement in script.split(";"):
            database.execute(statement)
        database.execute(f"PRAGMA application_id = {APPLICATION}")
        database.execute(f"PRAGMA user_version = {number}")
        database.execute("COMMIT")
    except BaseException:
        database.execute("ROLLBACK")
        raise
