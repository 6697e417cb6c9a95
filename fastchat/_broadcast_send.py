"""How a share leaves an outbox in the pure twin: to the descriptor, to the transport, or into the queue.

Invariant: a frame of which a part has left is handed over whole before anything else happens to its outbox.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from fastchat._broadcast_outbox import Outbox, framed
from fastchat._broadcast_queue import Frame, Gap, Run, oldest, sieve, superseded
from fastchat.config import Policy

if TYPE_CHECKING:
    from fastchat._broadcast_py import Broadcaster


def finish(core: Broadcaster, outbox: Outbox) -> None:
    """Note that an ending outbox has nothing left."""
    if outbox._ending and not (outbox._ended or outbox._queue or outbox._gathered):
        outbox._ended = True
        core._done.append(outbox)


def deliver(core: Broadcaster, outbox: Outbox, run: Run) -> None:
    """Give the connection its share of the round, or let it wait."""
    sent = 0
    if not outbox._queue and not outbox._paused:
        data = run.joined
        if outbox._fd >= 0:
            sent = send(core, outbox, data)
        if sent < 0:
            return
        if len(data) - sent <= core._hand:
            core._counts["deliveries"] += run.deliveries
            if sent < len(data):
                hand_over(core, outbox, data[sent:])
            return
    drain(core, outbox, wait(core, outbox, run, sent))


def wait(core: Broadcaster, outbox: Outbox, run: Run, sent: int) -> int:
    """Let a share wait without its first `sent` bytes; returns how many of its first frame are out."""
    for frame in run.frames:
        if not outbox._queue and sent >= len(frame.data):
            sent -= len(frame.data)
            core._counts["deliveries"] += frame.room is not None
            continue
        outbox._queue.append(core._hold(frame))
        outbox._pending += len(frame.data)
        outbox._latest |= frame.room is not None and frame.room.policy is Policy.LATEST
    core._holders[outbox] = None
    return sent


def drain(core: Broadcaster, outbox: Outbox, sent: int) -> None:
    """Hand the queue to the transport until it pauses; of the first frame `sent` bytes are out."""
    queue = outbox._queue
    while queue and (sent or not outbox._paused):
        parts: list[bytes] = []
        size = 0
        while queue and (not parts or size + len(getattr(queue[0], "data", b"")) <= core._hand):
            item = queue.popleft()
            parts.append(gap_frame(core, outbox, item) if isinstance(item, Gap) else item.data)
            size += len(parts[-1])
            if isinstance(item, Frame):
                outbox._pending -= len(item.data)
                core._release((item,))
                core._counts["deliveries"] += item.room is not None
        if outbox.closed:  # by what made a gap
            return
        hand_over(core, outbox, b"".join(parts)[sent:])
        sent = 0


def gap_frame(core: Broadcaster, outbox: Outbox, gap: Gap) -> bytes:
    """The gap as its client hears of it; nothing where the room fails to say it."""
    try:
        return framed(gap.room.gap(gap.start, gap.end, gap.why), outbox.wire, core._to_json)
    except Exception as error:
        core._errors.append(error)
        return b""


def send(core: Broadcaster, outbox: Outbox, data: bytes) -> int:
    """How many bytes the kernel took; -1: the descriptor refused."""
    counts = core._counts
    while True:
        counts["sends"] += 1
        try:
            size = core._faults.draw(len(data)) if core._faults else len(data)
            sent = os.write(outbox._fd, data[:size])
        except InterruptedError:
            continue
        except BlockingIOError:
            counts["again"] += 1
            return 0
        except OSError as error:
            give_up(core, outbox, error.errno or 0)
            return -1
        counts["bytes"] += sent
        counts["partial"] += sent < len(data)
        return sent


def hand_over(core: Broadcaster, outbox: Outbox, data: bytes) -> None:
    """Write to the transport; what it has to keep counts until it resumes."""
    size = len(data)
    core._counts["writes"] += 1
    core._counts["bytes"] += size
    outbox._handed += size
    outbox._pending += size
    core.total += size
    core._holders[outbox] = None
    try:
        outbox._sink.write(data)
    except Exception as error:
        core._errors.append(error)
        give_up(core, outbox, getattr(error, "errno", None) or 0)
    if not outbox._paused:
        outbox._returned()


def give_up(core: Broadcaster, outbox: Outbox, number: int) -> None:
    """The descriptor or the transport refused: nothing more is accepted or sent."""
    outbox._clear()
    outbox._fd = -1
    outbox._ending = outbox._ended = True
    for room in list(outbox._rooms):
        room._forget(outbox)
    core._counts["failed"] += 1
    core._broken.append((outbox, number))


def sift(
    core: Broadcaster, outbox: Outbox, why: str, counter: str, drop: Callable[[Frame], bool | None]
) -> None:
    """Drop from the queue, and count what went."""
    gone = sieve(outbox._queue, why, drop)
    outbox._pending -= sum(len(frame.data) for frame in gone)
    core._release(gone)
    core._counts[counter] += len(gone)


def limit(core: Broadcaster, outbox: Outbox) -> None:
    """Apply the policies of the rooms, and the connection's own limit."""
    if outbox._latest:
        sift(core, outbox, "slow", "superseded", superseded(outbox._queue))
    if outbox._pending > core._outbox_bytes:
        sift(core, outbox, "slow", "dropped", oldest(outbox._pending - core._outbox_bytes))
    if outbox._pending > core._outbox_bytes:
        cut_off(core, outbox, "slow")


def balance(core: Broadcaster) -> None:
    """While more is held than allowed, cut the connections that hold most."""
    if core.total - core._doomed <= core._total_bytes:
        return
    for outbox in sorted(core._holders, key=lambda outbox: outbox._pending, reverse=True):
        if core.total - core._doomed <= core._total_bytes:
            return
        if not (outbox._was_cut and (outbox._ending or outbox._over)):
            cut_off(core, outbox, "cut")


def cut_off(core: Broadcaster, outbox: Outbox, counter: str) -> None:
    """Forget all that waits; the owner hears of it after the loop."""
    outbox._clear()
    core._counts[counter] += 1
    core._doomed += outbox._handed - outbox._doomed
    outbox._doomed = outbox._handed
    outbox._was_cut = True
    if outbox._ending:
        finish(core, outbox)
        return
    outbox._over = True
    core._slow.append(outbox)
