"""Sinks and gaps that do whatever they like while they are called: nothing breaks, nothing stays counted."""

from __future__ import annotations

import contextlib
import gc
import random
import socket
from collections.abc import Callable
from typing import Any

import pytest

from fastchat.config import Policy

WIRES = 3
DEEPEST = 3  # calls within calls


class Sink:
    """Takes bytes, pauses, fails, and in each call does something to somebody."""

    def __init__(self, chaos: Chaos, wire: int) -> None:
        self.chaos = chaos
        ours, self.peer = socket.socketpair()
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
        self.ours = ours
        fd = ours.fileno() if chaos.draw.random() < 0.7 else -1
        self.outbox = chaos.core.outbox(self, wire, fd)

    def write(self, data: bytes) -> None:
        self.chaos.late += self.outbox.closed
        draw = self.chaos.draw.random()
        if draw < 0.3:
            self.outbox.pause()
        self.chaos.meddle()
        if draw > 0.95:
            raise OSError(5, "no")

    def slow(self) -> None:
        self.chaos.meddle()
        self.outbox.clear()
        self.outbox.put(b"BYE")
        self.outbox.end()

    def ended(self) -> None:
        self.chaos.meddle()
        self.outbox.close()

    def failed(self, errno: int) -> None:
        self.chaos.meddle()
        self.outbox.close()

    def close(self) -> None:
        self.outbox.close()
        self.ours.close()
        self.peer.close()


class Chaos:
    """One broadcaster, and a seed that says what befalls it."""

    def __init__(self, twin: Any, seed: int) -> None:
        self.draw = draw = random.Random(seed)
        self.now = 1.0
        self.depth = 0
        self.offset = 0
        self.late = 0  # writes to connections that were closed
        self.gone: list[Sink] = []
        self.core = twin.Broadcaster(
            wake=lambda: None, to_json=self.to_json, clock=lambda: self.now,
            outbox_bytes=draw.choice([400, 8000]), total_bytes=draw.choice([3000, 10**6]),
            batch_bytes=draw.choice([300, 10**5]), flush_sends=draw.choice([1, 3, 512]),
        )  # fmt: skip
        self.core._inject(seed, partial=300, again=200, interrupt=50, broken=20)
        self.rooms = [
            self.core.fanout(policy, self.gap, tick, radius)
            for policy, tick, radius in zip(
                [*Policy, Policy.DROP, Policy.DROP], [0.0, 0.0, 0.0, 0.5, 0.0], [0, 0, 0, 0, 5.0], strict=True
            )
        ]
        self.sinks = [Sink(self, wire) for wire in range(WIRES)]

    def to_json(self, payload: bytes) -> bytes:
        if self.draw.random() < 0.03:
            raise ValueError("no JSON")
        return b'"%d"' % len(payload)

    def gap(self, start: int, end: int, why: str) -> bytes:
        self.meddle()
        if self.draw.random() < 0.1:
            self.replace(self.draw.choice(self.sinks))
        if self.draw.random() < 0.1:
            raise ValueError("no gap")
        return b"%d-%d" % (start, end)

    def meddle(self) -> None:
        if self.depth < DEEPEST and self.draw.random() < 0.3:
            self.depth += 1
            self.step()
            self.depth -= 1

    def step(self) -> None:
        """Do one thing to somebody."""
        draw = self.draw
        sink, room = draw.choice(self.sinks), draw.choice(self.rooms)
        outbox = sink.outbox
        deeds: list[tuple[int, Callable[[], object]]] = [
            (16, lambda: room.add(outbox)),
            (6, lambda: room.remove(outbox)),
            (12, lambda: self.rooms[-1].place(outbox, *self.place())),
            (1, lambda: self.rooms[-1].unplace(outbox)),
            (30, lambda: self.publish(room)),
            (12, lambda: outbox.put(b"r" * draw.choice([0, 3, 100, 700]))),
            (3, outbox.pause),
            (5, outbox.resume),
            (2, outbox.clear),
            (1, outbox.end),
            (2, lambda: self.replace(sink)),
            (1, lambda: self.core.flush(self.now)),
            (6, lambda: sink.peer.recv(4096, socket.MSG_DONTWAIT)),
        ]
        deed = draw.choices([do for _, do in deeds], [weight for weight, _ in deeds])[0]
        with contextlib.suppress(ValueError, OSError, ExceptionGroup):
            deed()

    def publish(self, room: Any) -> None:
        self.offset += 1
        size, skip = self.draw.choice([0, 1, 20, 200, 900]), self.draw.choice([[], [self.sinks[0].outbox]])
        expires = self.draw.choice([0.0, self.now + 0.3])
        at = self.place() if room is self.rooms[-1] else None
        room.put(b"m" * size, self.offset, skip=skip, expires=expires, keep=self.draw.random() < 0.1, at=at)

    def place(self) -> tuple[float, float]:
        return self.draw.uniform(-4, 4), self.draw.uniform(-4, 4)

    def replace(self, sink: Sink) -> None:
        """Lose a connection, and get another of some wire."""
        sink.outbox.close()
        self.gone.append(sink)
        self.sinks[self.sinks.index(sink)] = Sink(self, self.draw.randrange(WIRES))

    def end(self) -> int:
        """Close everything; return how many bytes are still counted."""
        for _ in range(1000):
            for sink in [*self.sinks, *self.gone]:
                sink.close()
            self.now += 1.0
            with contextlib.suppress(ExceptionGroup):
                if not self.core.flush(self.now) and not self.core.dirty:
                    break
        total: int = self.core.total
        return total


@pytest.mark.parametrize("seed", range(40))
def test_callbacks_may_do_anything(twin: Any, seed: int) -> None:
    chaos = Chaos(twin, seed)
    for turn in range(150):
        for _ in range(chaos.draw.randrange(1, 10)):
            chaos.step()
        chaos.now += chaos.draw.choice([0.0, 0.1])
        if turn % 50 == 0:
            gc.collect()
        with contextlib.suppress(ExceptionGroup):
            chaos.core.flush(chaos.now)
    stats = chaos.core.stats()
    assert stats.deliveries and stats.writes and stats.partial, "nothing happened"
    assert chaos.end() == 0
    assert chaos.late == 0
