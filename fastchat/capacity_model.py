"""The load model of one server: what its coefficients say about rates, clients and latency.

N >= r x C for a server that relays: N depends on who hears whom and on the latency that is accepted. See
docs/LOAD_MODEL.md for where each formula comes from and where it breaks.

Invariant: pure arithmetic; seconds of CPU and of the clock, messages a second, bytes of payload.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import partial
from math import exp, inf, isfinite, sqrt
from typing import Any, NamedTuple

from fastchat.capacity_latency import Flusher, percentile_coalescing
from fastchat.capacity_linear import student
from fastchat.capacity_queue import percentile_queue
from fastchat.capacity_round import Costs, alone, flows, held, length, sends, together
from fastchat.capacity_sample import NAMES, Sample, spread, work
from fastchat.capacity_search import largest_rate, most_clients
from fastchat.capacity_shape import CapacityError, Part, Rooms, clients, parts

P99 = 0.99
MEDIAN = 0.5  # percentiles above it are made by stalls too: most deliveries meet none


class Estimate(NamedTuple):
    """A value and its 95 % confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Model:
    """Coefficients of one server on one machine, CPU seconds each, and how well they are known."""

    a: float  # per message in
    b: float  # per send, with few sockets
    c: float = 0.0  # per frame in a send
    d: float = 0.0  # per byte of a frame
    e: float = 0.0  # per iteration with a flush
    b1: float = 0.0  # more per send for each 1,000 sockets: their state does not stay in the caches
    a1: float = 0.0  # more per message for each byte of its frame: to read and to take apart
    covariance: tuple[tuple[float, ...], ...] = ()  # in the order of NAMES; empty: the coefficients are exact
    freedom: int = 0  # samples beyond the coefficients; 0 with a covariance: many
    coalescing: bool = True  # one send per member and round; else one per delivery, as threads do
    overhead: float = 0.0  # bytes of a frame beside the payload
    stall: float = 0.0  # seconds: variance, per second, of the time in which the machine stands still
    hold: float = 0.0  # seconds: the server's flush_budget_ms; 0: it never holds back
    flush_sends: int = 512  # after which a flush lets reading go on
    flush_seconds: float = 0.002  # the same

    def __post_init__(self) -> None:
        numbers = [getattr(self, name) for name in NAMES]
        if not all(isfinite(value) and value >= 0.0 for value in numbers) or self.a + self.b + self.e <= 0.0:
            raise CapacityError(f"coefficients {numbers}: seconds, none negative, and work costs something")

    def coefficients(self) -> Mapping[str, Estimate]:
        """The coefficients that the model has, each with its interval."""
        found = {}
        for i, name in enumerate(NAMES):
            value = getattr(self, name)
            half = self._quantile * sqrt(max(0.0, self.covariance[i][i])) if self.covariance else 0.0
            if value or half:
                found[name] = Estimate(value, max(0.0, value - half), value + half)
        return found

    def cpu(self, sample: Sample) -> float:
        """CPU seconds that the work of a sample should have cost."""
        prices: list[float] = [getattr(self, name) for name in NAMES]
        return sum(price * count for price, count in zip(prices, work(sample), strict=True))

    def costs(self, rooms: Rooms, size: float) -> Costs:
        """What work costs with so many members, for payloads of `size` bytes."""
        if not size >= 0:
            raise CapacityError(f"payload of {size} bytes: give 0 or more")
        send = self.b + self.b1 * spread(clients(rooms))
        whole = size + self.overhead
        return Costs(self.a + self.a1 * whole, send, self.c + self.d * whole, self.e)

    def iteration(self, rate: float, rooms: Rooms, size: float = 0.0) -> float:
        """Mean seconds of an iteration with a flush at `rate` messages/s in all; infinite beyond saturation.

        Without coalescing: the seconds that one message takes.
        """
        where = parts(rooms)
        costs = self.costs(rooms, size)
        streams = flows(where, _positive(rate))
        if not self.coalescing:
            return alone(costs, streams)
        return max(length(costs, streams), held(costs, streams, self.hold))

    def latency(self, rate: float, rooms: Rooms, size: float = 0.0, percentile: float = P99) -> float:
        """Seconds from a message's arrival until its delivery to a member is sent: a percentile over all."""
        if not 0.0 < percentile < 1.0:
            raise CapacityError(f"percentile {percentile}: give a share between 0 and 1, such as 0.99")
        return self._latency(rate, parts(rooms), self.costs(rooms, size), percentile)

    def requests_per_second(self, rooms: Rooms, size: float, limit: float) -> Estimate:
        """N: the largest rate, messages/s, with p99 within `limit` seconds; 0 where a single one is late."""
        where, costs = parts(rooms), self.costs(rooms, size)
        streams = flows(where, 1.0)
        ceiling = 1.0 / (together(costs, streams) if self.coalescing else alone(costs, streams))
        _check_limit(limit)
        rate = largest_rate(lambda rate: _excess(self._latency(rate, where, costs, P99), limit), ceiling)
        if not rate:
            return Estimate(0.0, 0.0, 0.0)
        seconds = self._busy(rate, where, costs)
        needed = partial(self._needed, size=size, seconds=seconds)
        low = largest_rate(lambda rate: _excess(needed(rate, where, side=1.0), seconds), 2 * ceiling)
        high = largest_rate(lambda rate: _excess(needed(rate, where, side=-1.0), seconds), 2 * ceiling)
        return Estimate(rate, min(low, rate), max(high, rate))

    def max_clients(self, r: float, scaled: Callable[[int], Rooms], size: float, limit: float) -> Estimate:
        """C: the most clients who may speak `r` times a second each, in the rooms that so many form."""
        _positive(r)
        _check_limit(limit)

        def excess(count: int) -> float:
            rooms = scaled(count)
            return _excess(self._latency(r * count, parts(rooms), self.costs(rooms, size), P99), limit)

        most = most_clients(excess)
        if not most:
            return Estimate(0.0, 0.0, 0.0)
        seconds = self._busy(r * most, parts(scaled(most)), self.costs(scaled(most), size))
        needed = partial(self._needed, size=size, seconds=seconds)

        def bound(side: float) -> int:
            return most_clients(lambda n: _excess(needed(r * n, parts(scaled(n)), side=side), seconds))

        low, high = bound(1.0), bound(-1.0)
        return Estimate(float(most), float(min(low, most)), float(max(high, most)))

    def utilisation(self, rate: float, rooms: Rooms, size: float, limit: float) -> float:
        """rho = rate / N; infinite where nothing can be served within the limit."""
        most = self.requests_per_second(rooms, size, limit).value
        return rate / most if most else inf

    def dearer(self, part: float) -> Model:
        """The same server where all costs so much more: 0.05 is 5 %."""
        times = 1.0 + part
        prices = {name: times * getattr(self, name) for name in NAMES}
        rows = tuple(tuple(times * times * value for value in row) for row in self.covariance)
        return Model.from_dict(self.as_dict() | prices | {"covariance": rows})

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `Model(**that)` makes the model again."""
        return asdict(self)

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Model:
        """Read what `as_dict` gave, also after JSON. Raises CapacityError."""
        known = {field.name for field in fields(cls)}
        if not {"a", "b"} <= set(found) <= known:
            raise CapacityError(f"no model: {sorted(found)} are not its fields {sorted(known)}")
        rows = tuple(tuple(row) for row in found.get("covariance", ()))
        return cls(**{**found, "covariance": rows})

    @property
    def _quantile(self) -> float:
        return student(self.freedom)

    def _latency(self, rate: float, where: tuple[Part, ...], costs: Costs, share: float) -> float:
        streams = flows(where, _positive(rate))
        stall = self.stall if share > MEDIAN else 0.0
        if not self.coalescing:
            return percentile_queue(costs, streams, share, stall)
        return percentile_coalescing(
            costs, streams, Flusher(self.flush_sends, self.flush_seconds, self.hold), share, stall
        )

    def _busy(self, rate: float, where: tuple[Part, ...], costs: Costs) -> float:
        """Seconds of work in a round; of a server that does not gather, in a second."""
        streams = flows(where, rate)
        return length(costs, streams) if self.coalescing else rate * alone(costs, streams)

    def _work(self, rate: float, where: tuple[Part, ...], size: float, seconds: float) -> list[float]:
        """What a round of so many seconds holds, in the order of NAMES; without coalescing a second."""
        streams = flows(where, rate)
        messages = rate * (seconds if self.coalescing else 1.0)
        fan_out = sum(flow.rooms * flow.rate * flow.members for flow in streams) / rate
        calls = messages * fan_out
        if self.coalescing:
            started = exp(-messages)
            messages += started
            calls = sends(streams, seconds) + started * fan_out
        frames = messages * fan_out
        dearer = calls * spread(sum(part.rooms * part.members for part in where))
        whole = size + self.overhead
        return [messages, calls, frames, frames * whole, 1.0, dearer, messages * whole]

    def _needed(
        self, rate: float, where: tuple[Part, ...], *, size: float, seconds: float, side: float
    ) -> float:
        """Seconds of work in a round where it costs as much (1) or as little (-1) as the intervals allow."""
        counts = self._work(rate, where, size, seconds)
        expected = sum(getattr(self, name) * count for name, count in zip(NAMES, counts, strict=True))
        variance = sum(
            x * y * value
            for x, row in zip(counts, self.covariance, strict=False)
            for y, value in zip(counts, row, strict=True)
        )
        return float(max(0.0, expected + side * self._quantile * sqrt(max(0.0, variance))))


def _positive(rate: float) -> float:
    if not (rate > 0.0 and isfinite(rate)):
        raise CapacityError(f"rate of {rate} messages/s: give a positive number")
    return rate


def _check_limit(seconds: float) -> None:
    if not seconds > 0.0:
        raise CapacityError(f"latency limit of {seconds} s: give a positive number of seconds")


def _excess(found: float, limit: float) -> float:
    """How far beyond the limit, between -1 and 1 and about straight in the rate: 1 / T is."""
    return max(-1.0, 1.0 - limit / found) if found > 0.0 else -1.0
