"""The broadcast core in Python: the twin of `_broadcast.pyx`, and the clearer statement of what both do.

Every frame has a place in one global order, given by the put that made it. A round freezes what gathered in
the due fan-outs and outboxes; each outbox then gets its share of the frozen frames, sorted by that order, in
one write. What a connection does not take waits in its queue as references to the same frames.

Invariant: a frame counts once in `Broadcaster.total`, for as long as a round, an outbox or a queue holds it;
what the transport holds counts for each connection.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from itertools import chain

from fastchat._broadcast_base import CLOCK_SENDS, HAND_BYTES, Faults, Sink, Stats, Wire
from fastchat._broadcast_outbox import Outbox
from fastchat._broadcast_queue import Frame, Gap, Run, merged, stale
from fastchat._broadcast_rooms import Fanout
from fastchat._broadcast_send import balance, cut_off, deliver, drain, finish, limit, sift, wait
from fastchat.config import Policy

__all__ = ["Broadcaster", "Fanout", "Outbox"]


class Broadcaster:
    """All outboxes and fan-outs of one server, and their flush."""

    def __init__(
        self,
        *,
        wake: Callable[[], None],
        to_json: Callable[[bytes], bytes],
        clock: Callable[[], float],
        outbox_bytes: int,
        total_bytes: int,
        batch_bytes: int,
        flush_sends: int = 512,
        flush_seconds: float = 0.002,
    ) -> None:
        self.total = 0  # bytes held, shared frames once
        self._wake = wake
        self._to_json = to_json
        self._clock = clock
        self._outbox_bytes = outbox_bytes
        self._total_bytes = total_bytes
        self._batch_bytes = batch_bytes
        self._flush_sends = flush_sends
        self._flush_seconds = flush_seconds
        self._hand = min(HAND_BYTES, outbox_bytes // 4)
        self._order = 0  # of the last put
        self._doomed = 0  # handed bytes of connections that were cut: they go with the connection
        self._armed = self._flushing = False
        self._ready: dict[Fanout, None] = {}  # have a batch, due now
        self._ticking: dict[Fanout, None] = {}  # have a batch, due at their tick
        self._gathered: list[Outbox] = []
        self._round: deque[Outbox] = deque()  # not served yet
        self._frozen: list[Frame] = []
        self._holders: dict[Outbox, None] = {}  # have bytes pending
        self._slow: list[Outbox] = []
        self._done: list[Outbox] = []
        self._broken: list[tuple[Outbox, int]] = []
        self._errors: list[Exception] = []
        self._counts = dict.fromkeys(Stats._fields, 0)
        self._faults: Faults | None = None

    def outbox(self, sink: Sink, wire: Wire, fd: int = -1) -> Outbox:
        """A connection's outbox; `fd` (non-blocking, no TLS) allows sends on the descriptor itself."""
        return Outbox(self, sink, wire, fd)

    def fanout(
        self,
        policy: Policy,
        gap: Callable[[int, int, str], bytes],
        coalesce: float = 0.0,
        radius: float = 0.0,
    ) -> Fanout:
        """A room; `gap(from, to, why)` makes the GAP payload, `coalesce` is its tick in seconds.

        With a `radius` its members have places, and a put `at` a place reaches those within the radius.
        """
        return Fanout(self, policy, gap, coalesce, radius)

    @property
    def waiting(self) -> bool:
        """Would a flush have something to do, whatever the time?"""
        return bool(self._ready or self._gathered or self._round)

    @property
    def dirty(self) -> bool:
        """Is anything queued at all, rooms that wait for their tick included?"""
        return self.waiting or bool(self._ticking)

    def next_due(self, now: float) -> float | None:
        """When the next tick of a room with something queued is due, on the clock; None: there is none."""
        return max(now, min(room._due for room in self._ticking)) if self._ticking else None

    @property
    def messages(self) -> int:
        """Puts on all fan-outs since the start."""
        return self._counts["messages"]

    @property
    def deliveries(self) -> int:
        """Frames of fan-outs taken by kernel or transport since the start, once per member."""
        return self._counts["deliveries"]

    @property
    def sends(self) -> int:
        """Sends on descriptors and writes to transports since the start."""
        return self._counts["sends"] + self._counts["writes"]

    def watch(self) -> None:
        """Call `wake` again at the next put: for a flusher that holds back and looks again."""
        self._armed = False

    def stats(self) -> Stats:
        """The counters."""
        return Stats(**self._counts)

    def flush(self, now: float) -> bool:
        """Send what gathered; True: the fairness limit cut it short, call again in the next iteration.

        Every sink is served before an ExceptionGroup of what sinks and gaps raised is raised.
        """
        if self._flushing:
            return True
        self._flushing, self._armed = True, False
        try:
            if not self._round:
                self._freeze(now)
            self._serve_some(now)
            if not self._round:
                self._release(self._frozen)
                self._frozen = []
                balance(self)
        finally:
            self._flushing = False
        self._call()
        errors, self._errors = self._errors, []
        if self._ready or self._gathered or errors:
            self._arm()
        if errors:
            raise ExceptionGroup("sinks or gaps failed", errors)
        return bool(self._round)

    def _inject(
        self, seed: int, partial: int = 0, again: int = 0, interrupt: int = 0, broken: int = 0
    ) -> None:
        """For tests: make sends fail deterministically, rates per mille."""
        self._faults = Faults(seed, partial, again, interrupt, broken)

    def _arm(self) -> None:
        if not self._armed:
            self._armed = True
            self._wake()

    def _next(self) -> int:
        self._order += 1
        return self._order

    def _hold(self, frame: Frame) -> Frame:
        if not frame.holders:
            self.total += len(frame.data)
        frame.holders += 1
        return frame

    def _release(self, frames: Iterable[Frame | Gap]) -> None:
        for frame in frames:
            if isinstance(frame, Gap):
                continue
            frame.holders -= 1
            if not frame.holders:
                self.total -= len(frame.data)

    def _freeze(self, now: float) -> None:
        rooms = [*self._ready, *(room for room in self._ticking if room._due <= now)]
        self._ready = {}
        todo: dict[Outbox, None] = {}
        expired = stale(now)
        for room in rooms:
            self._ticking.pop(room, None)
            late: set[int] = set()  # wires of which a batch has something that waited too long
            for wire, batch in room._freeze():
                self._frozen += batch.frames
                if batch.expiring and any(map(expired, batch.frames)):
                    late.add(wire)
                if room._grid is not None:
                    continue
                whole = Run(batch.frames, wire in late)
                members = ((outbox, since, self._order) for outbox, since in room._members[wire].items())
                for outbox, since, until in chain(batch.left, members):
                    self._give(todo, outbox, whole, max(since, outbox._floor), until, batch.skips.get(outbox))
            for outbox, frames in room._grid.freeze() if room._grid is not None else ():
                self._give(todo, outbox, Run(frames, outbox.wire in late), outbox._floor, self._order, None)
        gathered, self._gathered = self._gathered, []
        for outbox in gathered:
            outbox._gathered = False
            if outbox.closed:
                continue
            todo[outbox] = None
            if outbox._mine:
                self._frozen += outbox._mine
                outbox._share.append(Run(outbox._mine))
                outbox._mine, outbox._mine_bytes = [], 0
        self._counts["rounds"] += bool(todo)
        self._round.extend(todo)

    def _give(
        self,
        todo: dict[Outbox, None],
        outbox: Outbox,
        run: Run,
        since: int,
        until: int,
        skip: set[int] | None,
    ) -> None:
        frames = run.frames
        if outbox.closed or outbox._over:
            return
        if skip or since >= frames[0].order or until < frames[-1].order:
            skip = skip or set()
            frames = [frame for frame in frames if since < frame.order <= until and frame.order not in skip]
            if not frames:
                return
            run = Run(frames, run.stale)
        outbox._share.append(run)
        todo[outbox] = None

    def _serve_some(self, now: float) -> None:
        deadline = self._clock() + self._flush_seconds
        served = 0
        while self._round:
            outbox = self._round.popleft()
            if outbox.closed:
                continue
            self._serve(outbox, now)
            served += 1
            if served >= self._flush_sends or (served % CLOCK_SENDS == 0 and self._clock() >= deadline):
                break

    def _serve(self, outbox: Outbox, now: float) -> None:
        share, outbox._share = outbox._share, []
        run = merged(share) if len(share) > 1 else share[0] if share else None
        if run is not None and run.stale:
            wait(self, outbox, run, 0)
            run = None
        if outbox._queue and not outbox._paused:
            sift(self, outbox, "expired", "expired", stale(now))
        if run is not None:
            deliver(self, outbox, run)
        else:
            drain(self, outbox, 0)
        if outbox._queue:
            limit(self, outbox)
        finish(self, outbox)

    def _cut(self, outbox: Outbox, counter: str) -> None:
        cut_off(self, outbox, counter)

    def _call(self) -> None:
        slow, self._slow = self._slow, []
        done, self._done = self._done, []
        broken, self._broken = self._broken, []
        for outbox, number in broken:
            self._guard(outbox, outbox._sink.failed, number)
        for outbox in slow:
            self._guard(outbox, outbox._sink.slow)
        for outbox in done:
            self._guard(outbox, outbox._sink.ended)

    def _guard(self, outbox: Outbox, call: Callable[..., None], *arguments: int) -> None:
        if outbox.closed:
            return
        try:
            call(*arguments)
        except Exception as error:
            self._errors.append(error)
