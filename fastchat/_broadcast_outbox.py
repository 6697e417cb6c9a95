"""Outboxes of the pure twin: what waits for one connection, and how a payload becomes a frame of its wire.

Invariant: an outbox is among a fan-out's members exactly while the fan-out is among the outbox's rooms.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from fastchat._broadcast_base import Sink, Wire
from fastchat._broadcast_queue import Frame, Queue, Run
from fastchat.protocol.framing import tcp_frame, ws_frame

if TYPE_CHECKING:
    from fastchat._broadcast_py import Broadcaster
    from fastchat._broadcast_rooms import Fanout

TEXT = 1  # opcode, RFC 6455 section 5.2


def framed(payload: bytes, wire: int, to_json: Callable[[bytes], bytes]) -> bytes:
    """The payload as one frame of the wire."""
    if wire == Wire.TCP:
        return tcp_frame(payload)
    return ws_frame(to_json(payload), TEXT) if wire == Wire.WS_JSON else ws_frame(payload)


class Outbox:
    """What waits for one connection."""

    __slots__ = (
        "wire", "closed", "_pending", "_core", "_sink", "_fd", "_paused", "_ending", "_ended", "_over",
        "_floor", "_rooms", "_mine", "_mine_bytes", "_share", "_queue", "_handed", "_doomed", "_gathered",
        "_latest", "_was_cut",
    )  # fmt: skip

    def __init__(self, core: Broadcaster, sink: Sink, wire: int, fd: int) -> None:
        self.wire = Wire(wire)
        self.closed = False
        self._pending = 0  # bytes waiting in the queue or with the transport
        self._core = core
        self._sink = sink
        self._fd = fd
        self._paused = False
        self._ending = self._ended = False
        self._over = False  # cut: nothing is accepted until clear()
        self._was_cut = False  # what waits now is its goodbye
        self._floor = 0  # frames up to this order were forgotten
        self._rooms: dict[Fanout, None] = {}
        self._mine: list[Frame] = []  # private frames of the next round
        self._mine_bytes = 0
        self._share: list[Run] = []  # of the round under way
        self._queue: Queue = deque()
        self._handed = 0  # bytes with a transport that has paused us
        self._doomed = 0  # of these, what goes because we were cut
        self._gathered = False  # in the next round
        self._latest = False  # the queue has frames of a room with policy `latest`

    @property
    def pending(self) -> int:
        """Bytes waiting in the queue or with the transport, and private ones of the next round."""
        return self._pending + self._mine_bytes

    def put(self, payload: bytes) -> None:
        """Queue one payload, framed for this wire."""
        self.put_raw(framed(payload, self.wire, self._core._to_json))

    def put_raw(self, frame: bytes) -> None:
        """Queue bytes that are framed already."""
        if self._ending or self._over or self.closed:
            return
        core = self._core
        core._counts["replies"] += 1
        if self._pending + self._mine_bytes > core._outbox_bytes:
            core._cut(self, "slow")
            self._gather()
            return
        self._mine.append(core._hold(Frame(frame, core._next())))
        self._mine_bytes += len(frame)
        self._gather()

    def pause(self) -> None:
        """The transport holds bytes: nothing more may be sent."""
        self._paused = True

    def resume(self) -> None:
        """The transport holds nothing any more."""
        self._paused = False
        self._returned()
        if self._queue:
            self._gather()

    def clear(self) -> None:
        """Forget what waits; what kernel or transport have begun is theirs."""
        self._clear()
        if self._ending and not self._ended and not self.closed:
            self._gather()

    def _clear(self) -> None:
        core = self._core
        self._floor = core._order
        core._release(self._mine)
        self._share, self._mine, self._mine_bytes = [], [], 0
        core._release(self._queue)
        self._queue.clear()
        self._latest = False
        self._pending = self._handed
        self._over = False

    def end(self) -> None:
        """Accept nothing more, leave all rooms; `Sink.ended` follows when all is handed over."""
        if self._ending or self.closed:
            return
        self._ending = True
        for room in list(self._rooms):
            room._hurry()
            room.remove(self)
        self._gather()

    def close(self) -> None:
        """The connection is lost, its descriptor still open: forget the descriptor and everything else."""
        if self.closed:
            return
        self.closed = True
        self._clear()
        self._returned()
        self._fd = -1
        for room in list(self._rooms):
            room._forget(self)

    def _gather(self) -> None:
        if not self._gathered:
            self._gathered = True
            self._core._gathered.append(self)
        self._core._arm()

    def _returned(self) -> None:
        self._core.total -= self._handed
        self._core._doomed -= self._doomed
        self._pending -= self._handed
        self._handed = self._doomed = 0
        if not self._queue:
            self._core._holders.pop(self, None)
