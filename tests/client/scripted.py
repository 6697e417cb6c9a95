"""A core and the other end of its line, played by the test: commands decoded, pushes encoded."""

from __future__ import annotations

import random
from typing import Any

from fastchat.client.core import Core
from fastchat.client.events import Event
from fastchat.client.feed import Feed
from fastchat.protocol import codec
from fastchat.protocol.messages import Command, Connect, Join

LIMITS = codec.Limits(32, 4096)
PING_MS = 25_000


class Script:
    """Everything that a test says to a core, and hears of it."""

    def __init__(self, **given: Any) -> None:
        self.core = Core(rng=random.Random(7), **given)
        self.now = 1000.0  # seconds
        self.told: list[Event] = []
        self.answers: dict[int, Any] = {}

    def sent(self) -> list[Command]:
        """What the core has sent since the last call."""
        return [codec.decode_command(payload, LIMITS) for payload in self.core.take_payloads()]

    def say(self, *payloads: bytes) -> None:
        """Let the core hear this, and gather what it tells."""
        for payload in payloads:
            self.core.receive(payload, self.now)
        self.gather()

    def gather(self) -> None:
        self.told.extend(event for event, _ in self.core.take_events())
        for number, answer in self.core.take_answers():
            assert number not in self.answers, "answered twice"
            self.answers[number] = answer

    def events(self) -> list[Event]:
        """What was told since the last call."""
        told, self.told = self.told, []
        return told

    def open(self) -> Connect:
        """A connection stands; gives the CONNECT that is sent."""
        self.core.opened(self.now)
        (connect,) = self.sent()
        assert isinstance(connect, Connect)
        return connect

    def let_in(self, connect: Connect, *, user: str = "ada", max_frame: int = 16384, **rooms: bytes) -> None:
        """Answer CONNECT; `rooms` are join bodies."""
        body = {"user": user, "session": "secret", "node": "n", "ping_ms": PING_MS}
        body |= {"limits": {"max_frame": max_frame}}
        self.say(codec.connect_result(connect.id, body, rooms))

    def connected(self, **given: Any) -> Script:
        self.let_in(self.open(), **given)
        self.events()
        return self

    def joined(self, room: str = "lobby", offset: int = 0, epoch: str = "e1", **given: Any) -> Feed:
        """Join a room that stands at `offset`."""
        feed = Feed(room, **given)
        self.core.join(feed, self.now)
        (join,) = self.sent()
        assert isinstance(join, Join)
        self.say(codec.result_raw(join.id, join_body(offset, epoch)))
        self.events()
        return feed


def join_body(
    offset: int,
    epoch: str = "e1",
    messages: tuple[bytes, ...] = (),
    recovered: bool | None = None,
    **given: Any,
) -> bytes:
    return codec.join_body(
        epoch=epoch, offset=offset, recovered=recovered, messages=messages, members=1, **given
    )


def entry(offset: int, data: object = None, opts: bytes = codec.EMPTY) -> bytes:
    """One of `messages`; its data is its offset where none is given."""
    return codec.entry(offset, offset * 1000, codec.pack("bob"), codec.pack(data or offset), opts)


def message(offset: int, room: str = "lobby", data: object = None) -> bytes:
    return codec.message(
        codec.pack(room), offset, offset * 1000, codec.pack("bob"), codec.pack(data or offset)
    )


def gap(start: int, end: int, why: str = "slow", room: str = "lobby") -> bytes:
    return codec.gap(codec.pack(room), start, end, why)


def shape(event: Any) -> Any:
    """An event in short: a message is its offset, a gap (start, end, why), anything else its type's name."""
    name = type(event).__name__
    if name == "Message":
        return event.offset
    if name == "Gap":
        return event.start, event.end, event.why
    return name


def shapes(events: list[Any]) -> list[Any]:
    return [shape(event) for event in events]
