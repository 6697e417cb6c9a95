"""A server made of the load model's equations, for tests of what measures servers.

What it does in a load is reckoned apart from `capacity`: iterations are followed until they no longer change,
not solved for. Only how late its deliveries are is taken from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import exp
from random import Random
from typing import Any

from fastchat.bench.failure import BenchError
from fastchat.bench.load import Listener
from fastchat.bench.rig import Load
from fastchat.capacity import OVERHEAD, Model

HOLD = 0.002  # seconds
SETTLED = 1e-9  # seconds
LONGEST = 1.0  # seconds an iteration may last before the server counts as overwhelmed
ERRORS = ("corrupt", "lost", "duplicate", "order", "refused", "closed", "unexpected", "unacknowledged")


@dataclass
class SimulatedServer:
    """CPU seconds: `a` a message, `b` a send, `c` a frame, `d` a byte, `e` an iteration."""

    a: float = 12e-6
    b: float = 4e-6
    c: float = 60e-9
    d: float = 0.1e-9
    e: float = 30e-6
    coalescing: bool = True
    noise: float = 0.0  # of CPU times and latencies
    hiccups: float = 0.0  # trials that fail for no reason
    dies_after: int | None = None  # loads
    most: float = 1e12  # deliveries/s that the generator can take
    random: Random = field(default_factory=lambda: Random(1))
    loads: list[Load] = field(default_factory=list)
    starts: int = 0

    @property
    def model(self) -> Model:
        """The true one."""
        c, e = (self.c, self.e) if self.coalescing else (0.0, 0.0)
        b = self.b if self.coalescing else self.b + self.c
        return Model(self.a, b, c, self.d, e, coalescing=self.coalescing, overhead=OVERHEAD, hold=HOLD)

    @contextmanager
    def opened(self) -> Iterator[SimulatedServer]:
        self.starts += 1
        yield self

    def put(self, load: Load, listen: Listener | None = None) -> dict[str, Any]:
        if self.dies_after is not None and len(self.loads) >= self.dies_after:
            raise BenchError("the server died in the middle")
        self.loads.append(load)
        if listen is not None:
            listen({"event": "progress", "seconds": 1.0, "p99_ms": 1.0})
        return self.sample(load)

    def sample(self, load: Load) -> dict[str, Any]:
        copies = sum(g.rooms * g.members * g.members for g in load.shape) / load.clients
        size = load.payload + OVERHEAD
        if self.coalescing:
            length, sends = self.iteration(load, size)
            overwhelmed = length >= LONGEST
        else:
            service = self.a + copies * (self.b + self.c + self.d * size)
            used = load.rate * service
            overwhelmed = used >= 1.0
            length = 0.0
            sends = copies * load.rate * load.seconds
        p99 = min(LONGEST, self.model.latency(load.rate, load.shape, load.payload))
        if self.random.random() < self.hiccups:
            p99 = 0.5
        frames = load.rate * load.seconds * copies
        rounds = round(load.seconds / length) if length else 0
        cpu = (
            self.a * load.rate * load.seconds
            + self.b * sends
            + (self.c + self.d * size) * frames
            + self.e * rounds
        )
        saturated = frames / load.seconds > self.most
        return self.report(load, p99, cpu, sends, frames, rounds, length, overwhelmed, saturated)

    def iteration(self, load: Load, size: float) -> tuple[float, float]:
        """How long one lasts, and the sends of the whole load."""
        length, sends = 0.0, 0.0
        each = load.rate / load.clients
        for _ in range(100_000):
            before, sends, frames = length, 0.0, 0.0
            for group in load.shape:
                reached = 1 - exp(-each * group.members * length)
                sends += group.rooms * group.members * reached
                frames += group.rooms * group.members * each * group.members * length
            work = self.e + load.rate * length * self.a + sends * self.b + frames * (self.c + self.d * size)
            length = min(LONGEST, (before + work) / 2 if before else max(work, 1e-5))
            if abs(length - before) < SETTLED:
                break
        return length, sends * load.seconds / length

    def report(
        self, load: Load, p99: float, cpu: float, sends: float, frames: float, rounds: int,
        length: float, overwhelmed: bool, saturated: bool,
    ) -> dict[str, Any]:  # fmt: skip
        p99 = self.noisy(5.0 if saturated else p99) * 1e6
        cpu = self.noisy(cpu)
        messages = round(load.rate * load.seconds)
        latencies = {"count": round(frames), "mean": p99 / 2, "p50": p99 / 1.86, "p90": p99, "p99": p99,
                     "p999": p99, "max": p99, "buckets": [[1, 2]]}  # fmt: skip
        counters = {
            "seconds": load.seconds, "cpu_seconds": cpu, "rounds": rounds, "round_seconds": rounds * length,
            "flush_seconds": max(0.0, cpu - self.a * messages),
            "publishes": messages, "sends": round(sends), "deliveries": round(frames),
            "bytes": round(frames * (load.payload + OVERHEAD)), "refused_publishes": 0,
            "refused_connections": 0, "sessions": load.clients,
        }  # fmt: skip
        return {
            "event": "done",
            "members": load.clients,
            "seconds": load.seconds,
            "offered": load.rate,
            "achieved": load.rate * (0.9 if overwhelmed else 1.0),
            "messages": messages,
            "deliveries": round(frames),
            "bytes": counters["bytes"],
            "server_cpu": cpu,
            "busy": 0.99 if saturated else 0.5,
            "saturated": saturated,
            "overloaded": False,
            "lateness_us": {"p99": 50.0},
            "each_us": latencies,
            "last_us": latencies,
            "errors": dict.fromkeys(ERRORS, 0),
            "first_error": "",
            "refused_101": 0,
            "counters": counters if self.coalescing else None,
            "series": [],
            "foreign": 0.0,
        }

    def noisy(self, value: float) -> float:
        return value * self.random.lognormvariate(0.0, self.noise) if self.noise else value
