"""An engine that answers later: what a writer thread or a server elsewhere looks like to the hub."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from fastchat.config import Config
from fastchat.engine.base import Fact, Page, Query, Record, Sink, Stored
from fastchat.engine.memory import MemoryEngine
from fastchat.errors import Code, ProtocolError

DOWN = ProtocolError(Code.STORE_UNAVAILABLE, "the store does not answer", retry_ms=500)


class LaterEngine:
    """Queues what it is asked, in order, until `answer` or `fail`."""

    def __init__(self, config: Config, epoch: str = "later") -> None:
        self.inner = MemoryEngine(config, epoch)
        self.waiting: deque[tuple[Callable[[], None], Callable[[], None]]] = deque()
        self.down = False  # what is kept cannot be read
        self._sink: Sink | None = None

    def attach(self, sink: Sink) -> None:
        self._sink = sink

    @property
    def sink(self) -> Sink:
        assert self._sink is not None
        return self._sink

    def hold(self, room: str) -> None:
        self.inner.hold(room)

    def release(self, room: str, now: int) -> None:
        self.inner.release(room, now)

    def tick(self, now: int) -> None:
        self.inner.tick(now)

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
        def store() -> None:
            try:
                stored = self.inner.append(room, user, author, data, opts, key, expires, keep, now, ticket)
            except ProtocolError as error:
                self.sink.failed(ticket, error)
                return
            assert stored is not None
            self.sink.stored(ticket, stored)

        self._queue(store, ticket)
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
        def change() -> None:
            try:
                stored = self.inner.change(
                    room, user, author, kind, target, value, privileged, now, ticket
                )
            except ProtocolError as error:
                self.sink.failed(ticket, error)
                return
            assert stored is not None
            self.sink.stored(ticket, stored)

        self._queue(change, ticket)
        return None

    def facts(self) -> Sequence[Fact] | None:
        return None if self.down else self.inner.facts()

    def keep(self, facts: Sequence[Fact], records: Sequence[Record], ticket: object) -> bool:
        if self.down:
            raise DOWN

        def keep() -> None:
            self.inner.keep(facts, records, ticket)
            self.sink.kept(ticket)

        self._queue(keep, ticket)
        return False

    def read(self, queries: Sequence[Query], ticket: object) -> Sequence[Page] | None:
        def tell() -> None:
            pages = self.inner.read(queries, ticket)
            assert pages is not None
            self.sink.pages(ticket, pages)

        self._queue(tell, ticket)
        return None

    def _queue(self, do: Callable[[], None], ticket: object) -> None:
        self.waiting.append((do, lambda: self.sink.failed(ticket, DOWN)))

    def answer(self, count: int = 1 << 30) -> None:
        """Do and tell the next of what waits."""
        while self.waiting and count:
            self.waiting.popleft()[0]()
            count -= 1

    def fail(self, count: int = 1 << 30) -> None:
        """Tell that the next of what waits has failed."""
        while self.waiting and count:
            self.waiting.popleft()[1]()
            count -= 1
