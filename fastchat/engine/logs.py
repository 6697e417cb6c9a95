"""Rooms of a store, as its thread knows them: where each begins and ends, and how it is read and cleared.

Invariant: the entries from `oldest` to `head` are all in the database, and the room's row says so in the same
transaction. Nothing here begins or ends a transaction.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from itertools import chain
from typing import TypeAlias

from fastchat.config import Config, Durability
from fastchat.engine.base import Entry, Page, Query
from fastchat.engine.pages import cut, cut_older
from fastchat.errors import Code, ProtocolError

ENTRY_BYTES = 208  # bytes charged per entry besides data and opts, as in memory
SLACK = 8  # a room is cleared once it is this part over its count, down to its count: not at every message
MAX_SLACK = 1000  # entries
BYTE_SLACK = 64 * 1024  # bytes cleared at once beyond what must go
MOST_CLEARED = 2000  # entries cleared at once: milliseconds
RETRY_MS = 10_000  # what a reader is told to wait who would get a page with a hole

LOG = logging.getLogger(__name__)

# Of `messages`. Blobs are bytearrays: of every bytes that is bound, sqlite3 asks whether somebody has
# registered an adapter, and the AttributeError inside that question costs more than the copy.
Row: TypeAlias = tuple[int, int, int, str, str, bytearray, bytearray, int, int]

CHUNK = 32  # rows in one statement: each statement lets go of the interpreter, and under load waits for it
_ROW = "(?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT = f"INSERT INTO messages VALUES {_ROW}"
_INSERT_CHUNK = f"INSERT INTO messages VALUES {', '.join([_ROW] * CHUNK)}"
_FIELDS = "SELECT offset, ts, user, data, opts, expires, author FROM messages WHERE room = ?"


class Log:
    """One room."""

    __slots__ = (
        "name", "id", "epoch", "head", "oldest", "bytes", "power", "count_limit", "byte_limit", "age_ms",
        "begins", "kept",
    )  # fmt: skip

    def __init__(self, name: str, epoch: str, config: Config) -> None:
        options = config.room(name)
        self.name = name
        self.id = 0  # of its row; 0: it has none yet
        self.epoch = epoch
        self.head = 0
        self.oldest = 1
        self.bytes = 0
        self.power = options.durability is Durability.POWER
        self.count_limit = options.history
        self.byte_limit = options.history_bytes
        self.age_ms = options.history_age_seconds * 1000
        self.kept = 0  # `head` as it was last committed
        self.begins = 0  # ts of the oldest entry, kept where age counts; 0: not known

    @property
    def floor(self) -> int:
        """The oldest offset that may be seen, as far as numbers go."""
        return max(self.oldest, self.head - self.count_limit + 1)


class Logs:
    """All rooms that anybody has asked for, until they are released."""

    def __init__(self, database: sqlite3.Connection, config: Config, epoch: str) -> None:
        self.epoch = epoch  # of rooms without a row
        self.held: dict[str, Log] = {}
        self._database = database
        self._config = config

    def get(self, name: str) -> Log:
        """The room, read from the database where it is not known."""
        log = self.held.get(name)
        if log is None:
            log = Log(name, self.epoch, self._config)
            self.read(log)
            self.held[name] = log
        return log

    def read(self, log: Log) -> None:
        """Read the room's row again; without one it is an empty room in the epoch it has been told."""
        found = self._database.execute(
            "SELECT id, epoch, head, oldest, bytes FROM rooms WHERE name = ?", (log.name,)
        ).fetchone()
        log.begins = 0
        if found is None:
            log.id, log.head, log.oldest, log.bytes = 0, 0, 1, 0
        else:
            log.id, log.epoch, log.head, log.oldest, log.bytes = found
        log.kept = log.head

    def take_over(self, held: Mapping[str, Log], fresh: Callable[[], str]) -> list[str]:
        """Hold the rooms that were held before the database was opened again, in the epochs they were told.

        Returns those that are not as they were left. Where offsets that were told are missing, they will be
        given again: such a room goes on in an epoch made by `fresh`.
        """
        moved = []
        for name, old in held.items():
            log = Log(name, old.epoch, self._config)
            self.read(log)
            if log.head < old.kept and log.epoch == old.epoch:
                log.epoch = fresh()
                self._database.execute("UPDATE rooms SET epoch = ? WHERE id = ?", (log.epoch, log.id))
            self.held[name] = log
            if (log.epoch, log.head) != (old.epoch, old.kept):
                moved.append(name)
        return moved

    def create(self, log: Log) -> None:
        """Give the room a row."""
        log.id = self._database.execute(
            "INSERT INTO rooms (name, epoch, head, oldest, bytes, power) VALUES (?, ?, 0, 1, 0, ?)",
            (log.name, log.epoch, log.power),
        ).lastrowid or 0  # fmt: skip

    def insert(self, rows: list[Row]) -> None:
        """Store entries."""
        done = 0
        while len(rows) - done >= CHUNK:
            self._database.execute(_INSERT_CHUNK, list(chain.from_iterable(rows[done : done + CHUNK])))
            done += CHUNK
        self._database.executemany(_INSERT, rows[done:] if done else rows)

    def update(self, logs: list[Log]) -> None:
        """Let the rows say what the rooms are."""
        self._database.executemany(
            "UPDATE rooms SET head = ?, oldest = ?, bytes = ? WHERE id = ?",
            [(log.head, log.oldest, log.bytes, log.id) for log in logs],
        )

    # reading

    def floor(self, log: Log, now: int) -> int:
        """The oldest offset that may be seen."""
        if not log.age_ms or not self.aged(log, now):
            return log.floor
        found = self._database.execute(
            "SELECT offset FROM messages WHERE room = ? AND offset >= ? AND ts > ? ORDER BY offset LIMIT 1",
            (log.id, log.floor, now - log.age_ms),
        ).fetchone()
        return log.head + 1 if found is None else int(found[0])

    def aged(self, log: Log, now: int) -> bool:
        """Whether its oldest entry is past its age."""
        if not log.begins and log.oldest <= log.head:
            found = self._database.execute(
                "SELECT ts FROM messages WHERE room = ? AND offset = ?", (log.id, log.oldest)
            ).fetchone()
            log.begins = found[0] if found else 0
        return bool(log.age_ms) and log.oldest <= log.head and log.begins <= now - log.age_ms

    def entry(self, log: Log, offset: int, now: int) -> Entry | None:
        """The entry at this offset, None if none may be seen there."""
        if not self.floor(log, now) <= offset <= log.head:
            return None
        found = self._database.execute(_FIELDS + " AND offset = ?", (log.id, offset)).fetchone()
        return None if found is None else Entry._make(found)

    def page(self, query: Query, now: int, most: int) -> Page:
        """Answer a query with `most` bytes of data, or one entry."""
        log = self.get(query.room)
        oldest, end = self.floor(log, now), log.head + 1
        recovered: bool | None = None
        if query.since is not None:
            epoch, offset = query.since
            recovered = epoch == log.epoch and oldest - 1 <= offset < end
        if query.since is not None and recovered:
            entries, more = self._take(cut, most, log, query.since[1] + 1, end, "")
        elif query.since is None and query.after is not None:
            start = min(max(query.after + 1, oldest), end)
            stop = min(start + query.limit, end)
            entries, more = self._take(cut, most, log, start, stop, "")
            more = more or stop < end
        elif query.since is None and query.before is not None:
            stop = min(max(query.before, oldest), end)
            start = max(stop - query.limit, oldest)
            entries, more = self._take(cut_older, most, log, start, stop, " DESC")
            more = more or start > oldest
        else:
            start = max(end - query.limit, oldest)
            entries, more = self._take(cut_older, most, log, start, end, " DESC")
        return Page(log.epoch, log.head, recovered, entries, more)

    def _take(
        self,
        cutter: Callable[[Iterator[Entry], int], tuple[list[Entry], bool]],
        most: int,
        log: Log,
        start: int,
        stop: int,
        order: str,
    ) -> tuple[list[Entry], bool]:
        if start >= stop:
            return [], False
        question = f"{_FIELDS} AND offset >= ? AND offset < ? ORDER BY offset{order}"
        with closing(self._database.execute(question, (log.id, start, stop))) as rows:
            entries, more = cutter(map(Entry._make, rows), most)
        if len(entries) < stop - start and not more:
            LOG.error("messages are missing in a room of the store: it is damaged")
            raise ProtocolError(Code.STORE_UNAVAILABLE, "messages are missing", retry_ms=RETRY_MS)
        return entries, more

    # clearing

    def clear(self, log: Log, now: int) -> None:
        """Delete what is over the limits of the room, the oldest first; the row is for `update`."""
        if not log.id:
            return
        surplus = log.head - log.oldest + 1 - log.count_limit
        excess = log.bytes - log.byte_limit
        crowded = surplus > min(log.count_limit // SLACK, MAX_SLACK)
        if excess <= 0 and not log.age_ms:
            if crowded:
                self._clear_before(log, log.floor)
            return
        if not crowded and excess <= 0 and not self.aged(log, now):
            return
        goal = excess + min(log.byte_limit // SLACK, BYTE_SLACK) if excess > 0 else 0
        before = now - log.age_ms if log.age_ms else -1
        floor = log.floor
        freed, last, begins = 0, log.oldest - 1, 0
        with closing(
            self._database.execute(
                "SELECT offset, ts, length(data) + length(opts) FROM messages"
                " WHERE room = ? AND offset >= ? ORDER BY offset LIMIT ?",
                (log.id, log.oldest, MOST_CLEARED),
            )
        ) as rows:
            for offset, ts, size in rows:
                needed = freed < excess or (freed < goal and offset < log.head)
                if not (needed or offset < floor or ts <= before):
                    begins = ts
                    break
                freed += size + ENTRY_BYTES
                last = offset
        self._database.execute("DELETE FROM messages WHERE room = ? AND offset <= ?", (log.id, last))
        log.oldest, log.begins = last + 1, begins
        log.bytes -= freed

    def empty(self, log: Log) -> None:
        """Delete all its entries; the row is for `update`."""
        self._database.execute("DELETE FROM messages WHERE room = ?", (log.id,))
        log.bytes = log.begins = 0

    def _clear_before(self, log: Log, floor: int) -> None:
        """Delete what stands before an offset, some of it if it is much."""
        floor = min(floor, log.oldest + MOST_CLEARED)
        freed, count = self._database.execute(
            "SELECT ifnull(sum(length(data) + length(opts)), 0), count(*) FROM messages"
            " WHERE room = ? AND offset >= ? AND offset < ?",
            (log.id, log.oldest, floor),
        ).fetchone()
        self._database.execute("DELETE FROM messages WHERE room = ? AND offset < ?", (log.id, floor))
        log.oldest, log.begins = floor, 0
        log.bytes -= freed + count * ENTRY_BYTES
