"""Requests that wait for their answer, by id.

Invariant: each is answered once or forgotten, and `bytes` is what they hold together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from fastchat.client.failures import Refused
from fastchat.client.feed import Feed
from fastchat.errors import Code
from fastchat.protocol.codec import encode_command
from fastchat.protocol.messages import Connect, Join

MAX_ID = 2**32 - 1  # docs/PROTOCOL.md, "Shape"; 0 asks for no reply
CONNECT_LIMIT = 8 * 1024  # bytes (docs/PROTOCOL.md, "Framing": limits before CONNECT)
ROOM_HEADROOM = 16  # bytes beside a room's name and epoch: headers, and an offset of 9 bytes


class Kind(Enum):
    """What the core itself does with the answer."""

    CALL = "call"  # nothing: it is the caller's
    JOIN = "join"  # the room begins, then it is the caller's
    PUBLISH = "publish"  # without echo the result stands for the message, then it is the caller's
    CHANGE = "change"  # nothing; like a publish it may wait for its turn
    REJOIN = "rejoin"  # the room goes on after a reconnection; nobody waits
    FILL = "fill"  # HISTORY for a hole; nobody waits
    PROBE = "probe"  # PING to a silent server; nobody waits
    RENEW = "renew"  # REFRESH with a fresh token; nobody waits


OWN = frozenset({Kind.REJOIN, Kind.FILL, Kind.PROBE, Kind.RENEW})  # the core's: they end with the connection


@dataclass(slots=True)
class Request:
    """A command under way."""

    kind: Kind
    payload: bytes = b""  # JOIN and REJOIN are made when they are sent: the position moves on
    room: str = ""
    again: bool = True  # carrying it out twice is the same as once
    echo: bool = True
    until: float = 0.0  # when whoever waits for the answer gives up
    sent: bool = False  # on the connection that stands

    @property
    def patient(self) -> bool:
        """It may wait while the server takes no more: what was refused was not done, and goes again once."""
        return self.kind in (Kind.PUBLISH, Kind.CHANGE) and self.until > 0


class Requests:
    """The table of requests under way."""

    __slots__ = ("_table", "_last", "bytes")

    def __init__(self) -> None:
        self._table: dict[int, Request] = {}
        self._last = 0
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._table)

    def __contains__(self, number: object) -> bool:
        return number in self._table

    def __getitem__(self, number: int) -> Request:
        return self._table[number]

    def __iter__(self) -> Iterator[tuple[int, Request]]:
        """A snapshot in the order they were made: whoever iterates may answer."""
        return iter(list(self._table.items()))

    def new_id(self) -> int:
        """An id that no request under way has."""
        self._last = self._last % MAX_ID + 1
        while self._last in self._table:
            self._last = self._last % MAX_ID + 1
        return self._last

    def add(self, number: int, request: Request) -> None:
        """Begin to wait for the answer to `number`."""
        self._table[number] = request
        self.bytes += len(request.payload)

    def joining(self, room: str) -> list[tuple[int, Request]]:
        """Whatever would bring this client into a room, or fill it."""
        kinds = (Kind.JOIN, Kind.REJOIN, Kind.FILL)
        return [(number, one) for number, one in self if one.room == room and one.kind in kinds]

    def pop(self, number: int) -> Request | None:
        """Stop waiting; None when nobody waits for this id (any more)."""
        request = self._table.pop(number, None)
        if request is not None:
            self.bytes -= len(request.payload)
        return request


def check_size(payload: bytes, limit: int) -> None:
    """Refuse here what would cost us the connection there (305); `limit` in bytes."""
    if len(payload) > limit:
        raise Refused(Code.TOO_LARGE, f"too long: {len(payload):,} bytes, the server takes {limit:,}")


def connect_payload(connect: Connect, feeds: Iterable[Feed]) -> bytes:
    """CONNECT with as many rooms to resume as fit into its frame; the others are joined after it."""
    free = CONNECT_LIMIT - len(encode_command(connect)) - ROOM_HEADROOM
    rooms: dict[str, tuple[str, int]] = {}
    for feed in feeds:
        if feed.epoch is None:
            continue  # it was never joined
        size = len(feed.room) + len(feed.epoch.encode()) + ROOM_HEADROOM
        if size <= free:
            free -= size
            rooms[feed.room] = (feed.epoch, feed.position)
    return encode_command(connect._replace(rooms=rooms)) if rooms else encode_command(connect)


def join_payload(number: int, feed: Feed) -> bytes:
    """JOIN, from where the room stands now; a token that has opened it may count once only."""
    token = None if feed.live else feed.token
    return encode_command(Join(number, feed.room, feed.where(), feed.history, feed.presence, token))
