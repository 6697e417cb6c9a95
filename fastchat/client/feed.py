"""One room's order as this client sees it: duplicates dropped, holes noticed, GAP respected.

Invariant: what comes out has ascending offsets, and every offset passed over is named by a Gap or a Lost.
Messages beyond a hole are held, within a bound; what does not fit is asked for again by HISTORY.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fastchat.client.events import Gap, Lost, Member, Position, Presence, RoomEvent
from fastchat.protocol.codec import entry_of

HELD_ITEMS = 1024  # messages beyond a hole that are kept; HISTORY brings the rest
HELD_BYTES = 1024 * 1024  # ... and their bytes on the wire
FILL = 256  # messages asked for in one HISTORY


class Held(NamedTuple):
    """Something that covers the offsets `first` to `last` and waits for those before it."""

    first: int
    last: int
    order: int  # ties are broken by arrival, so that events are never compared
    event: RoomEvent | None  # None: these offsets are accounted for and nothing is to be told
    size: int  # bytes


class Feed:
    """A room this client is in, or wants to be in again."""

    __slots__ = (
        "room", "epoch", "position", "head", "live", "asking", "retry_at", "presence", "history", "since",
        "token", "join_id", "_out", "_held", "_held_bytes", "_arrivals",
    )  # fmt: skip

    def __init__(
        self,
        room: str,
        *,
        since: Position | None = None,
        history: int = 0,
        presence: bool = False,
        token: str | None = None,
    ) -> None:
        self.room = room
        self.since = since  # where the caller asked to begin, until the first JOIN is answered
        self.history = history
        self.presence = presence
        self.token = token
        self.epoch: str | None = None  # None until the first JOIN is answered
        self.position = 0  # the last offset that came out
        self.head = 0  # the highest offset known to exist
        self.live = False  # JOIN was answered on this connection
        self.asking = False  # a HISTORY for the hole is under way
        self.retry_at: float | None = None  # when JOIN or HISTORY is tried again
        self.join_id = 0  # the JOIN under way
        self._out: list[tuple[RoomEvent, int]] = []
        self._held: list[Held] = []
        self._held_bytes = 0
        self._arrivals = 0

    def where(self) -> Position | None:
        """The position to recover from."""
        return self.since if self.epoch is None else (self.epoch, self.position)

    def take(self) -> list[tuple[RoomEvent, int]]:
        """What came out since the last call, each with its bytes on the wire."""
        out, self._out = self._out, []
        return out

    def offline(self) -> None:
        """The connection is gone: nothing asked for on it will come."""
        self.live = self.asking = False
        self.retry_at = None

    def missing(self) -> tuple[int, int] | None:
        """`after` and `limit` of the HISTORY that the hole needs now, if any."""
        if not self.live or self.asking or self.retry_at is not None or self.position >= self.head:
            return None
        end = self._held[0].first - 1 if self._held else self.head
        return self.position, min(FILL, end - self.position)

    def joined(self, body: Mapping[str, Any], size: int) -> None:
        """Take the result of JOIN, or this room's part of CONNECT's. KeyError and so on: it is malformed."""
        epoch, offset, recovered = str(body["epoch"]), int(body["offset"]), body.get("recovered")
        entries = body.get("messages") or []
        wanted = self.where()
        self._forget_held()
        first = int(entries[0][0]) if entries else offset + 1
        if wanted is None:
            self.position = self.head = first - 1
        elif recovered and wanted[0] == epoch:
            self.position = wanted[1]
        else:
            self._lost(wanted, (epoch, offset), first)
            behind = wanted[0] == epoch and wanted[1] <= offset  # else our offsets mean nothing to it
            self.position = self.head = max(wanted[1], first - 1) if behind else first - 1
        self.head = max(self.head, offset)
        self.epoch, self.since, self.live = epoch, None, True
        each = size // max(1, len(entries))
        self._replay(entries, each)
        if not recovered and not body.get("more"):
            self._skip_to(offset, "expired")
        if self.presence and isinstance(body.get("presence"), Sequence):
            members = tuple(Member(*row[:3]) for row in body["presence"])
            self._out.append((Presence(self.room, members, (), int(body["members"]), True), size))

    def filled(self, body: Mapping[str, Any], size: int) -> None:
        """Take the result of the HISTORY that `missing` asked for."""
        self.asking = False
        epoch, offset = str(body["epoch"]), int(body["offset"])
        if epoch != self.epoch:
            self._lost((self.epoch or "", self.position), (epoch, offset), offset + 1)
            self._forget_held()
            self.epoch, self.position, self.head = epoch, offset, offset
            return
        entries = body.get("messages") or []
        before = self.position
        self._replay(entries, size // max(1, len(entries)))
        if self.position == before:  # nothing of what was asked for exists any more
            self.abandon("expired")

    def abandon(self, why: str) -> None:
        """Give the first hole up: its offsets will not come."""
        self.asking = False
        self._skip_to(self._held[0].first - 1 if self._held else self.head, why)

    def offer(self, first: int, last: int, event: RoomEvent | None, size: int) -> None:
        """Take what covers the offsets `first` to `last`: a message, a change, a gap, or nothing to tell."""
        if last <= self.position:
            return
        self.head = max(self.head, last)
        self._arrivals += 1
        item = Held(first, last, self._arrivals, event, size)
        if first <= self.position + 1:
            self._deliver(item)
            self._drain()
        elif len(self._held) < HELD_ITEMS and self._held_bytes + size <= HELD_BYTES:
            heapq.heappush(self._held, item)
            self._held_bytes += size

    def tell(self, event: RoomEvent, size: int) -> None:
        """Pass on what has no place in the order: ephemeral messages, presence, notices."""
        self._out.append((event, size))

    def _replay(self, entries: Sequence[Any], each: int) -> None:
        for entry in entries:
            event = entry_of(self.room, entry)
            offset = event.start if isinstance(event, Gap) else event.offset
            self.head = max(self.head, offset)
            if offset > self.position + 1:
                self._skip_to(offset - 1, "expired")
            self.offer(offset, offset, event, each)

    def _deliver(self, item: Held) -> None:
        event = item.event
        if isinstance(event, Gap) and item.first <= self.position:
            event = event._replace(start=self.position + 1)
        self.position = item.last
        if event is not None:
            self._out.append((event, item.size))

    def _drain(self) -> None:
        while self._held and self._held[0].first <= self.position + 1:
            item = heapq.heappop(self._held)
            self._held_bytes -= item.size
            if item.last > self.position:
                self._deliver(item)

    def _skip_to(self, last: int, why: str) -> None:
        """Move to `last`, telling each stretch that is passed over; what is held on the way is delivered."""
        while self.position < last:
            end = min(last, self._held[0].first - 1) if self._held else last
            if end > self.position:
                self._out.append((Gap(self.room, self.position + 1, end, why), 0))
                self.position = end
            self._drain()

    def _lost(self, since: Position, now: Position, first: int) -> None:
        missed = max(0, first - 1 - since[1]) if since[0] == now[0] else None
        self._out.append((Lost(self.room, since, now, missed), 0))

    def _forget_held(self) -> None:
        self._held.clear()
        self._held_bytes = 0
        self.asking = False
        self.retry_at = None
