"""A database that is open: its transactions, and what is known of it between them.

Invariant: outside of a transaction, what is known here (rooms, keys) is what the database holds. Used by one
thread at a time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from errno import ESTALE
from pathlib import Path

from fastchat.config import Config, Durability
from fastchat.engine.base import Fact, Record
from fastchat.engine.checkpoint import LOG_BYTES, MOST_PAGES
from fastchat.engine.epochs import close_epochs, note, open_epochs
from fastchat.engine.keys import Keys, digest
from fastchat.engine.logs import Log, Logs
from fastchat.engine.schema import connect

MAX_RECORDS = 100_000  # lines of the audit log that are kept
SWEPT = 50  # rooms looked at in one `tick` for what is past its age: milliseconds
MOST_KEYS = 5000  # keys forgotten in one `tick`


class Displaced(OSError):
    """The file that was opened is no longer at its path: whatever is written to it nobody will find."""

    def __init__(self, path: Path) -> None:
        super().__init__(ESTALE, f"{path} was moved, removed or replaced while the server ran")


class Store:
    """The database at `path`; `boot` tells one start of the machine from the next, `fresh` makes epochs."""

    def __init__(self, path: Path, config: Config, boot: str, fresh: Callable[[], str]) -> None:
        self.facts: Sequence[Fact] = ()  # as they were when it was opened
        self.moved: Sequence[str] = ()  # held rooms that were not found as they were left, when it was opened
        self.keys = Keys(config.idempotency_seconds, config.idempotency_bytes)
        self.path = path
        self.powers = any(room.durability is Durability.POWER for room in config.rooms.values())
        self._config = config
        self._boot = boot
        self._fresh = fresh
        self._power = False  # as PRAGMA synchronous stands
        self._held: dict[str, Log] = {}  # those of `logs`, also while it is not open
        self._file: tuple[int, int] | None = None  # device and inode of what was opened
        self._swept = 0  # the last room looked at for its age
        self._ages = any(options.history_age_seconds for options in config.rooms.values())

    def open(self) -> None:
        """Open it. Raises ConfigError (`connect`), sqlite3.Error where it is damaged or cannot be written,
        OSError where it cannot be made, or is not the one that was open before.
        """
        self._check_place()
        self.database = connect(self.path)
        try:
            found = self.database.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(f"quick_check: {found}")
            self.facts = [Fact._make(row) for row in self.database.execute("SELECT * FROM facts")]
            self.database.execute(f"PRAGMA wal_autocheckpoint = {MOST_PAGES}")
            self.database.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
            self.database.execute("PRAGMA secure_delete = FAST")  # what is deleted shall not stay readable
            open_epochs(self.database, self._config, self._boot, self._fresh)
            self.database.execute("PRAGMA synchronous = NORMAL")
            self._power = False
            self.logs = Logs(self.database, self._config, self._epoch())
            self.moved = self.logs.take_over(self._held, self._fresh)
            self._load_keys()
            self._file = self._found()
        except BaseException:
            self.database.close()
            raise
        self._held = self.logs.held

    def release(self, room: str) -> None:
        """Forget what is known of a room that nobody holds any more, whether it is open or not."""
        self._held.pop(room, None)

    def _found(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def _check_place(self) -> None:
        if self._file is not None and self._found() != self._file:
            raise Displaced(self.path)

    def close(self) -> None:
        """Close it in order: nothing is lost from here on, whatever befalls the machine."""
        try:
            close_epochs(self.database)
        finally:
            self.database.close()

    def drop(self) -> None:
        """Close it after it has failed."""
        self.database.close()

    def _epoch(self) -> str:
        found: str = self.database.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()[0]
        return found

    def _load_keys(self) -> None:
        self.keys = Keys(self._config.idempotency_seconds, self._config.idempotency_bytes)
        for room, owner, key, offset, ts in self.database.execute(
            "SELECT room, owner, key, offset, ts FROM keys ORDER BY ts, id"
        ):
            name = digest(room, owner, key)
            if self.keys.get(name) is None:
                self.keys.put(name, owner, offset, ts)

    # transactions

    def begin(self, power: bool) -> None:
        """Begin to write; with `power`, `commit` returns only once it is on the disk."""
        if power != self._power:
            self.database.execute(f"PRAGMA synchronous = {'FULL' if power else 'NORMAL'}")
            self._power = power
        self.database.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """End what was begun; it is with the kernel."""
        self.database.execute("COMMIT")

    def roll_back(self, logs: Sequence[Log], keys: int) -> None:
        """Undo what was begun, and what is known of these rooms and of the keys put last."""
        self.keys.undo(keys)
        if self.database.in_transaction:  # it ends by itself after some failures
            self.database.execute("ROLLBACK")
        self.logs.epoch = self._epoch()
        for log in logs:
            self.logs.read(log)

    # what is written besides messages

    def keep_keys(self, rows: Sequence[tuple[int, str, str, str, int]]) -> None:
        """Keep keys: ts, room, owner, key, offset."""
        self.database.executemany(
            "INSERT INTO keys (ts, room, owner, key, offset) VALUES (?, ?, ?, ?, ?)", rows
        )

    def keep_facts(self, facts: Sequence[Fact]) -> None:
        """Keep facts in place of those before them."""
        for fact in facts:
            if fact.value:
                self.database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?)", fact)
            else:
                self.database.execute(
                    "DELETE FROM facts WHERE kind = ? AND room = ? AND subject = ?", fact[:3]
                )

    def keep_records(self, records: Sequence[Record]) -> None:
        """Append to the audit log, and forget its oldest lines."""
        self.database.executemany(
            "INSERT INTO records (ts, room, by, action, user, detail) VALUES (?, ?, ?, ?, ?, ?)", records
        )
        self.database.execute(
            "DELETE FROM records WHERE id <= (SELECT max(id) FROM records) - ?", (MAX_RECORDS,)
        )

    # forgetting

    def tick(self, now: int) -> None:
        """Forget keys whose time is over and, a few rooms at a time, messages past their age.

        Raises OSError where the file is no longer where it was opened.
        """
        self._check_place()
        life = self._config.idempotency_seconds * 1000
        self.keys.expire(now, MOST_KEYS)
        self.database.execute(
            "DELETE FROM keys WHERE id IN (SELECT id FROM keys WHERE ts <= ? ORDER BY ts LIMIT ?)",
            (now - life, MOST_KEYS),
        )
        if self._ages:
            self._sweep(now)

    def _sweep(self, now: int) -> None:
        found = self.database.execute(
            "SELECT id, name FROM rooms WHERE id > ? ORDER BY id LIMIT ?", (self._swept, SWEPT)
        ).fetchall()
        self._swept = found[-1][0] if len(found) == SWEPT else 0
        changed, emptied = [], []
        for id, name in found:
            if not self._config.room(name).history_age_seconds:
                continue
            held = self.logs.held.get(name)
            log = held or Log(name, self.logs.epoch, self._config)
            if held is None:
                self.logs.read(log)
            self.logs.clear(log, now)
            changed.append(log)
            if held is None and log.oldest > log.head:
                emptied.append((id,))
        self.logs.update(changed)
        if emptied:
            self._forget(emptied)

    def _forget(self, rooms: Sequence[tuple[int]]) -> None:
        """Forget empty rooms; they come back, if they do, in an epoch in which nobody has seen an offset."""
        self.database.executemany("DELETE FROM rooms WHERE id = ?", rooms)
        self.logs.epoch = self._fresh()
        note(self.database, "epoch", self.logs.epoch)
