"""The engine that keeps everything in memory and answers at once.

Invariant: a room's entries are contiguous and end at its newest offset, and the bytes charged for all
entries stay within the limits per room and over all. A room that was forgotten after it had messages comes
back under another epoch, for its offsets begin again.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from itertools import islice

from fastchat.config import Config, RoomOptions
from fastchat.engine.base import Entry, Fact, Page, Query, Record, Sink, Stored
from fastchat.engine.changes import EDIT, blank, fold
from fastchat.engine.edits import Edits
from fastchat.engine.keys import Keys, digest
from fastchat.engine.pages import Kept, cut, cut_older, span, together
from fastchat.protocol.codec import NIL

ENTRY_BYTES = 208  # bytes charged per entry besides data and opts: tuple, integers, headers, slot
LOG_BYTES = 1024  # bytes charged per room that is kept: log, deque, table entries
AGED = 100  # rooms looked at in one tick for messages past their age
MAX_RECORDS = 10_000  # lines of the audit log that are kept
LEVELS = 64  # size classes: bit lengths of a room's bytes

_new = tuple.__new__  # a NamedTuple's own __new__ takes twice as long


class _Log:
    """The entries of one room."""

    __slots__ = (
        "epoch", "offset", "entries", "edits", "bytes", "level", "count_limit", "byte_limit", "age_ms",
        "idle_ms", "held",
    )  # fmt: skip

    def __init__(self, epoch: str, options: RoomOptions) -> None:
        self.epoch = epoch
        self.offset = 0
        # Plain tuples of the fields of an Entry: the cyclic collector lets go of such a tuple at first sight,
        # but walks through every NamedTuple that is kept, and a walk through 300,000 took 300 ms.
        self.entries: deque[Kept] = deque()
        self.edits = Edits()
        self.bytes = 0
        self.level = 0
        self.count_limit = options.history
        self.byte_limit = options.history_bytes
        self.age_ms = options.history_age_seconds * 1000  # 0: no entry goes for its age
        self.idle_ms = options.history_seconds * 1000
        self.held = True


class MemoryEngine:
    """Keeps rooms in memory (`Engine`); `epoch` must differ from that of every earlier run."""

    def __init__(self, config: Config, epoch: str) -> None:
        self.bytes = 0  # charged for entries and rooms kept
        self._config = config
        self._limit = config.history_total_bytes
        self._base = epoch
        self._forgotten = 0  # rooms forgotten with messages in them: each time the epoch moves on
        self._epoch = f"{epoch}.0"
        self._logs: dict[str, _Log] = {}
        # Which room gives way when all are over the limit: the one in the highest size class, so that
        # nobody's large rooms push out the others' small ones.
        self._levels: list[OrderedDict[_Log, None]] = [OrderedDict() for _ in range(LEVELS)]
        # Empty rooms by how long they are kept, the longest empty first. (A plain dict is slow to give its
        # first item once many before it are deleted.)
        self._idle: dict[int, OrderedDict[str, int]] = {}
        self._aged: OrderedDict[str, _Log] = OrderedDict()  # rooms whose entries age
        self._now = 0  # as last told
        self._facts: dict[tuple[str, str, str], Fact] = {}
        self.records: deque[Record] = deque(maxlen=MAX_RECORDS)  # the audit log, the newest last
        self._keys = Keys(config.idempotency_seconds, config.idempotency_bytes)

    def attach(self, sink: Sink) -> None:
        """Nothing is ever told later."""

    def __len__(self) -> int:
        """How many rooms are kept."""
        return len(self._logs)

    def hold(self, room: str) -> None:
        log = self._logs.get(room)
        if log is None:
            log = self._logs[room] = _Log(self._epoch, self._config.room(room))
            if log.age_ms:
                self._aged[room] = log
            self.bytes += LOG_BYTES
            return
        if not log.held:
            del self._idle[log.idle_ms][room]
            log.held = True

    def release(self, room: str, now: int) -> None:
        log = self._logs[room]
        log.held = False
        idle = self._idle.setdefault(log.idle_ms, OrderedDict())  # one per namespace's setting: few
        if not log.entries:
            self._forget(room, log)
            return
        idle[room] = now + log.idle_ms
        if self.bytes > self._limit:
            self._shed()

    def append(
        self,
        room: str,
        user: str,
        author: str,
        data: bytes,
        opts: bytes,
        key: tuple[str, str] | None,
        expires: int,
        keep: bool,
        now: int,
        ticket: object,
    ) -> Stored | None:
        if key is not None:
            name = digest(room, *key)
            known = self._keys.get(name)
            if known is not None:
                return Stored(known[1], known[0], True)
            self._keys.check(key[0], now)
        offset = self._store(room, user, author, data, opts, expires, now) if keep else 0
        if key is not None:
            self._keys.put(name, key[0], offset, now)
        return _new(Stored, (offset, now, False))

    def _store(
        self, room: str, user: str, author: str, data: bytes, opts: bytes, expires: int, now: int
    ) -> int:
        log = self._logs[room]
        if log.age_ms:
            self._age(log, now)
        log.offset = offset = log.offset + 1
        entries = log.entries
        entries.append((offset, now, user, data, opts, expires, author))
        charge = len(data) + len(opts) + ENTRY_BYTES
        size = log.bytes + charge
        while size > log.byte_limit or len(entries) > log.count_limit:
            oldest = entries.popleft()
            freed = len(oldest[3]) + len(oldest[4]) + ENTRY_BYTES
            size -= freed
            charge -= freed
        log.bytes = size
        self.bytes += charge
        if size.bit_length() != log.level:
            self._classify(log)
        if self.bytes > self._limit:
            self._shed()
        return offset

    def _age(self, log: _Log, now: int) -> None:
        """Drop the entries that are past their age."""
        entries, before, freed = log.entries, now - log.age_ms, 0
        while entries and entries[0][1] <= before:
            oldest = entries.popleft()
            freed += len(oldest[3]) + len(oldest[4]) + ENTRY_BYTES
        log.bytes -= freed
        self.bytes -= freed
        self._classify(log)

    def _classify(self, log: _Log) -> None:
        if log.level:
            del self._levels[log.level][log]
        log.level = log.bytes.bit_length()
        if log.level:
            self._levels[log.level][log] = None

    def _shed(self) -> None:
        """Get below the limit: the longest empty rooms go, then the oldest entries of the largest rooms."""
        while self.bytes > self._limit and self._idle:
            rooms = min(self._idle.values(), key=lambda rooms: next(iter(rooms.values()), 1 << 62))
            if not rooms:
                break
            room = next(iter(rooms))
            self._forget(room, self._logs[room])
        # Rooms with members keep their LOG_BYTES: the hub bounds how many there are.
        for level in range(LEVELS - 1, 0, -1):
            logs = self._levels[level]
            while logs and self.bytes > self._limit:
                self._halve(next(iter(logs)))

    def _halve(self, log: _Log) -> None:
        """Drop oldest entries until the room is in a lower size class, so the next call takes another."""
        entries = log.entries
        goal = (1 << (log.level - 1)) - 1
        before = log.bytes
        while log.bytes > goal:
            oldest = entries.popleft()
            log.bytes -= len(oldest[3]) + len(oldest[4]) + ENTRY_BYTES
        self.bytes -= before - log.bytes
        self._classify(log)

    def _forget(self, room: str, log: _Log) -> None:
        if not log.held:
            self._idle[log.idle_ms].pop(room, None)
        del self._logs[room]
        self._aged.pop(room, None)
        self.bytes -= log.bytes + LOG_BYTES
        log.bytes = 0
        self._classify(log)
        if log.offset:
            self._forgotten += 1
            self._epoch = f"{self._base}.{self._forgotten:x}"

    def change(
        self,
        room: str,
        user: str,
        author: str,
        kind: str,
        target: int,
        value: bytes,
        privileged: bool,
        now: int,
        ticket: object,
    ) -> Stored | None:
        log = self._logs[room]
        if log.age_ms:
            self._age(log, now)
        entries = log.entries
        oldest = log.offset + 1 - len(entries)
        at = target - oldest
        message = Entry._make(entries[at]) if 0 <= at < len(entries) else None
        folded = fold(message, kind, target, value, user, author, privileged, now)
        if folded is None:
            return Stored(0, now, True)
        assert message is not None
        self._replace(log, at, message._replace(data=folded.data, opts=folded.opts))
        for edit in log.edits.of(target) if folded.blank else ():
            old = Entry._make(entries[edit - oldest])
            self._replace(log, edit - oldest, old._replace(opts=blank(target)))
        offset = self._store(room, user, author, NIL, folded.entry, message.expires, now)
        if kind == EDIT:
            log.edits.note(target, offset, offset + 1 - len(entries))
        return Stored(offset, now, False)

    def _replace(self, log: _Log, at: int, entry: Entry) -> None:
        """Keep another entry in place of one; `_store` then sees to the limits."""
        old = log.entries[at]
        log.entries[at] = (*entry,)
        grown = len(entry.data) + len(entry.opts) - len(old[3]) - len(old[4])
        log.bytes += grown
        self.bytes += grown

    def facts(self) -> Sequence[Fact]:
        return list(self._facts.values())

    def keep(self, facts: Sequence[Fact], records: Sequence[Record], ticket: object) -> bool:
        for fact in facts:
            if fact.value:
                self._facts[fact[:3]] = fact
            else:
                self._facts.pop(fact[:3], None)
        self.records.extend(records)
        return True

    def read(self, queries: Sequence[Query], ticket: object) -> Sequence[Page] | None:
        return together(queries, self._page)

    def _page(self, query: Query, most: int) -> Page:
        log = self._logs[query.room]
        if log.age_ms:
            self._age(log, self._now)
        newest, count = log.offset, len(log.entries)
        oldest = newest - count + 1
        recovered: bool | None = None
        if query.since is not None:
            epoch, offset = query.since
            recovered = epoch == log.epoch and oldest - 1 <= offset <= newest
        if query.since is not None and recovered:
            entries, more = cut(span(log.entries, query.since[1] + 1 - oldest, count), most)
        elif query.since is None and query.after is not None:
            start = min(max(query.after + 1 - oldest, 0), count)
            stop = min(start + query.limit, count)
            entries, more = cut(span(log.entries, start, stop), most)
            more = more or stop < count
        elif query.since is None and query.before is not None:
            stop = min(max(query.before - oldest, 0), count)
            start = max(stop - query.limit, 0)
            entries, more = cut_older(reversed(span(log.entries, start, stop)), most)
            more = more or start > 0
        else:
            start = max(count - query.limit, 0)
            entries, more = cut_older(reversed(span(log.entries, start, count)), most)
        return Page(log.epoch, newest, recovered, entries, more)

    def tick(self, now: int) -> None:
        self._now = now
        self._keys.expire(now)
        for room in list(islice(self._aged, AGED)):
            self._aged.move_to_end(room)
            self._age(self._aged[room], now)
        for rooms in list(self._idle.values()):
            for room in [room for room, at in islice(rooms.items(), 100) if at <= now]:
                self._forget(room, self._logs[room])
