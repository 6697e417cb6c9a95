"""The engine that keeps rooms in a SQLite database (`Engine`): the loop's side of it.

Invariant: the loop's thread never touches the database. It queues jobs for the thread of the store and tells
their outcomes, which come back in the same order; rooms whose durability is "memory" live in a memory engine
and never wait.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeAlias

from fastchat.config import Config, Durability
from fastchat.engine.base import UNREAD, Fact, Page, Query, Record, Sink, Stored
from fastchat.engine.jobs import JOB_BYTES, WRITES, Append, Change, Job, Keep, Read, Release, Tick, Told
from fastchat.engine.memory import MemoryEngine
from fastchat.engine.outages import RETRY_MS, Outcomes
from fastchat.engine.store import Store
from fastchat.engine.writer import Writer
from fastchat.errors import Code, ProtocolError

BUSY_RETRY_MS = 100  # what publishers are told to wait while the queue is full
TICK_MS = 1000  # between two jobs that forget what is past its time

LOG = logging.getLogger(__name__)

Post: TypeAlias = Callable[[Callable[[], None]], object]
_new = tuple.__new__  # a NamedTuple's own __new__ takes twice as long


class _Held:
    """A room of the store that is held."""

    __slots__ = ("power", "waiting")

    def __init__(self, power: bool) -> None:
        self.power = power
        self.waiting = 0  # jobs of it whose outcome is not told


class SqliteEngine:
    """Keeps rooms in a store. `post` has the loop's thread call something soon, from any thread."""

    def __init__(self, config: Config, memory: MemoryEngine, store: Store, post: Post) -> None:
        self.bytes = 0  # charged for jobs whose outcome is not told
        self.jobs = 0  # how many these are
        self._config = config
        self._limit = config.store_queue_bytes
        self._memory = memory
        self._store = store
        self._post = post
        self._writer = Writer(store, self._hand_over, self._reopened, config.flush_budget_ms / 1000)
        self._known = False  # the facts
        self._held: dict[str, _Held] = {}
        self._sink: Sink | None = None
        self._now = 0
        self._ticked = 0

    def start(self) -> None:
        """Open the store; takes as long as checking it does. Raises ConfigError."""
        self._known = self._writer.start()

    def close(self) -> None:
        """Do what is queued and close the store in order. Not on the loop's thread: it waits."""
        self._writer.close()

    def attach(self, sink: Sink) -> None:
        self._sink = sink
        self._memory.attach(sink)

    def hold(self, room: str) -> None:
        options = self._config.room(room)
        if options.durability is Durability.MEMORY or options.radius:  # such rooms have nothing to keep
            self._memory.hold(room)
        elif room not in self._held:
            self._held[room] = _Held(options.durability is Durability.POWER)

    def release(self, room: str, now: int) -> None:
        if self._held.pop(room, None) is None:
            self._memory.release(room, now)
        else:
            self._writer.put(Release(room))

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
        held = self._held.get(room)
        if held is None:
            return self._memory.append(room, user, author, data, opts, key, expires, keep, now, ticket)
        if not keep and key is None and not held.waiting:
            return _new(Stored, (0, now, False))
        charge = JOB_BYTES + len(data) + len(opts)
        power = held.power and keep
        job = (ticket, charge, power, room, user, author, data, opts, key, expires, keep, now)
        self._put(_new(Append, job), charge)
        held.waiting += 1
        self._now = now
        return None

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
        held = self._held.get(room)
        if held is None:
            return self._memory.change(room, user, author, kind, target, value, privileged, now, ticket)
        charge = JOB_BYTES + len(value)
        power = held.power
        self._put(
            Change(ticket, charge, power, room, user, author, kind, target, value, privileged, now), charge
        )
        held.waiting += 1
        self._now = now
        return None

    def facts(self) -> Sequence[Fact] | None:
        return self._store.facts if self._known else None

    def keep(self, facts: Sequence[Fact], records: Sequence[Record], ticket: object) -> bool:
        if not self._known:  # what is kept may say something else of the same subjects
            raise ProtocolError(Code.STORE_UNAVAILABLE, "the store is not available", retry_ms=RETRY_MS)
        charge = JOB_BYTES * (1 + len(facts) + len(records))
        charge += sum(len(fact.value) for fact in facts) + sum(len(record.detail) for record in records)
        self._put(Keep(ticket, charge, facts, records), charge)
        return False

    def read(self, queries: Sequence[Query], ticket: object) -> Sequence[Page] | None:
        volatile = frozenset(place for place, query in enumerate(queries) if query.room not in self._held)
        if len(volatile) == len(queries):
            return self._memory.read(queries, ticket)
        charge = JOB_BYTES * (1 + len(queries))
        late = all(query.late for query in queries)
        self._put(Read(ticket, charge, queries, volatile, self._now, late), charge)
        return None

    def after(self, call: Callable[[], None]) -> None:
        """Call it, on the loop's thread, once the outcome of all that was asked before is told."""
        self.jobs += 1
        self._writer.put(Read(call, 0, (), frozenset(), self._now))

    def tick(self, now: int) -> None:
        self._memory.tick(now)
        self._now = max(now, self._now)
        if now - self._ticked >= TICK_MS:
            self._ticked = now
            self._writer.put(Tick(now))

    def _put(self, job: Job, charge: int) -> None:
        if self.bytes + charge > self._limit:
            text = "more waits to be stored than may wait"
            raise ProtocolError(Code.OVERLOADED, text, retry_ms=BUSY_RETRY_MS)
        self.bytes += charge
        self.jobs += 1
        self._writer.put(job)

    # outcomes

    def _reopened(self) -> None:
        """Take it that the store is open again, on its thread."""
        with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._post(partial(self._tell_reopened, self._store.facts, self._store.moved))

    def _tell_reopened(self, facts: Sequence[Fact], moved: Sequence[str]) -> None:
        assert self._sink is not None
        if not self._known:
            self._known = True
            self._sink.known(facts)
        if moved:
            self._sink.moved(moved)

    def _hand_over(self, outcomes: Outcomes) -> None:
        """Take the outcomes of a batch, on the thread of the store."""
        try:
            self._post(partial(self._told, outcomes))
        except RuntimeError:  # the loop is closed: nobody is left to be told
            self._writer.told()

    def _told(self, outcomes: Outcomes) -> None:
        """Tell the outcomes of a batch, on the loop's thread."""
        assert self._sink is not None
        stored = self._sink.stored
        for job, outcome in outcomes:
            self.bytes -= job.charge
            self.jobs -= 1
            if isinstance(job, WRITES):
                held = self._held.get(job.room)
                if held is not None:
                    held.waiting -= 1
            try:
                if type(outcome) is Stored:
                    stored(job.ticket, outcome)
                else:
                    self._tell(job, outcome)
            except Exception as fault:  # one that cannot be told must not keep the others from it
                LOG.error("telling of %s failed with %s", type(job).__name__, type(fault).__name__)
        self._writer.told()

    def _tell(self, job: Told, outcome: object) -> None:
        sink = self._sink
        assert sink is not None
        if isinstance(outcome, ProtocolError) and isinstance(job, Read) and job.volatile:
            outcome = [UNREAD] * len(job.queries)  # rooms in memory do not suffer for the others
        if isinstance(outcome, ProtocolError):
            sink.failed(job.ticket, outcome)
        elif isinstance(job, Keep):
            sink.kept(job.ticket)
        else:
            assert isinstance(job, Read) and isinstance(outcome, list)
            if not job.queries:  # nobody asks for nothing but `after`
                job.ticket()  # type: ignore[operator]
                return
            for place in job.volatile:
                outcome[place] = (self._memory.read((job.queries[place],), None) or (None,))[0]
            sink.pages(job.ticket, outcome)
