"""Jobs done in order and committed at once.

Invariant: a job sees what those before it did. Nothing of a batch is kept before `finish` has returned, and
nothing after `undo`.
"""

from __future__ import annotations

from typing import TypeAlias

from fastchat.engine.base import MAX_PAGE, Page, Stored
from fastchat.engine.changes import EDIT, blank, edit_head, fold
from fastchat.engine.jobs import Append, Change, Job, Keep, Read, Release, Stop, Tick
from fastchat.engine.keys import digest
from fastchat.engine.logs import ENTRY_BYTES, Log, Row
from fastchat.engine.pages import weight
from fastchat.engine.store import Store
from fastchat.protocol.codec import EMPTY, NIL

Outcome: TypeAlias = Stored | list[Page | None] | None

READ_BYTES = 100  # bytes charged per entry read besides its data: reading short ones takes its time too

_EMPTY = bytearray(EMPTY)  # of most messages; nobody changes it
_new = tuple.__new__  # a NamedTuple's own __new__ takes twice as long


class Batch:
    """One transaction; it begins with the first job that writes."""

    def __init__(self, store: Store, power: bool) -> None:
        self.page_bytes = 0  # charged for the pages read so far
        self._store = store
        self._logs = store.logs
        self._power = power
        self._begun = False
        self._rows: list[Row] = []  # entries not yet handed to the database
        self._touched: dict[str, Log] = {}  # rooms whose row is to be updated
        self._keys: list[tuple[int, str, str, str, int]] = []
        self._now = 0
        self._kept = False
        self.ticked = False  # a second is over

    @property
    def wrote(self) -> bool:
        """Whether it had to store anything: a disk that is full lets everything else pass."""
        return bool(self._touched or self._keys or self._kept)

    def do(self, job: Job) -> Outcome:
        """Do one job. Raises ProtocolError where it is refused; any other exception fails the whole batch."""
        match job:
            case Append():
                return self.append(job)
            case Read():
                return self._read(job)
            case Change():
                return self._change(job)
            case Keep():
                self._begin()
                self._kept = True
                self._store.keep_facts(job.facts)
                if job.records:
                    self._store.keep_records(job.records)
            case Tick():
                self._flush()
                self._begin()
                self.ticked = True
                self._store.tick(job.now)
            case Release():
                self._release(job.room)
            case Stop():
                pass
        return None

    def finish(self) -> None:
        """Commit."""
        self._flush()
        touched = list(self._touched.values())
        for log in touched:
            self._logs.clear(log, self._now)
        if touched:
            self._logs.update(touched)
        if self._keys:
            self._store.keep_keys(self._keys)
        if self._begun:
            self._store.commit()
        for log in touched:
            log.kept = log.head

    def undo(self) -> None:
        """Let nothing of it have been."""
        logs = self._logs.held if self.ticked else self._touched
        self._store.roll_back(list(logs.values()), len(self._keys))

    def _begin(self) -> None:
        if not self._begun:
            self._store.begin(self._power)
            self._begun = True

    def _flush(self) -> None:
        if self._rows:
            rows, self._rows = self._rows, []
            self._logs.insert(rows)

    def append(self, job: Append) -> Stored:
        """`do` of what comes most."""
        _, _, _, room, user, author, data, opts, key, expires, keep, now = job
        if key is not None:
            keys = self._store.keys
            name = digest(room, *key)
            known = keys.get(name)
            if known is not None:
                return Stored(known[1], known[0], True)
            keys.check(key[0], now)
        offset = self._place(room, user, author, data, opts, expires, 0, now) if keep else 0
        if key is not None:
            self._begin()
            keys.put(name, key[0], offset, now)
            self._keys.append((now, room, *key, offset))
        return _new(Stored, (offset, now, False))

    def _place(
        self, room: str, user: str, author: str, data: bytes, opts: bytes, expires: int, target: int, now: int
    ) -> int:
        """Put an entry at the end of its room."""
        log = self._touched.get(room) or self._touch(room)
        self._now = now
        log.head = offset = log.head + 1
        if log.count_limit:
            log.bytes += len(data) + len(opts) + ENTRY_BYTES
            bare = _EMPTY if opts == EMPTY else bytearray(opts)
            self._rows.append((log.id, offset, now, user, author, bytearray(data), bare, expires, target))
        else:
            if log.oldest < offset:  # it kept something once
                self._logs.empty(log)
            log.oldest = offset + 1
        return offset

    def _touch(self, room: str) -> Log:
        """Begin to write to a room."""
        self._begin()
        log = self._logs.get(room)
        self._touched[room] = log
        if not log.id:
            self._logs.create(log)
        return log

    def _change(self, job: Change) -> Stored:
        _, _, _, room, user, author, kind, target, value, privileged, now = job
        self._flush()
        log = self._logs.get(room)
        message = self._logs.entry(log, target, now)
        folded = fold(message, kind, target, value, user, author, privileged, now)
        if folded is None:
            return Stored(0, now, True)
        assert message is not None
        self._touch(room)
        database = self._store.database
        database.execute(
            "UPDATE messages SET data = ?, opts = ? WHERE room = ? AND offset = ?",
            (folded.data, folded.opts, log.id, target),
        )
        log.bytes += len(folded.data) + len(folded.opts) - len(message.data) - len(message.opts)
        if folded.blank:
            self._blank(log, target)
        edited = target if kind == EDIT else 0
        return Stored(
            self._place(room, user, author, NIL, folded.entry, message.expires, edited, now), now, False
        )

    def _blank(self, log: Log, target: int) -> None:
        """Let the edits of a message no longer say what."""
        where = " FROM messages WHERE room = ? AND target = ? AND offset >= ?"
        found = self._store.database.execute(
            "SELECT count(*), ifnull(sum(length(opts)), 0)" + where, (log.id, target, log.oldest)
        ).fetchone()
        nothing = blank(target)
        assert nothing.startswith(edit_head(target))
        self._store.database.execute(
            "UPDATE messages SET opts = ? WHERE room = ? AND target = ? AND offset >= ?",
            (nothing, log.id, target, log.oldest),
        )
        log.bytes += found[0] * len(nothing) - found[1]

    def _read(self, job: Read) -> list[Page | None]:
        self._flush()
        pages: list[Page | None] = []
        most = MAX_PAGE  # of all pages together
        for place, query in enumerate(job.queries):
            if place in job.volatile:
                pages.append(None)
                continue
            page = self._logs.page(query, job.now, most)
            size = weight(page)
            most -= size
            self.page_bytes += size + len(page.entries) * READ_BYTES
            pages.append(page)
        return pages

    def _release(self, room: str) -> None:
        if room not in self._touched:
            self._store.release(room)
