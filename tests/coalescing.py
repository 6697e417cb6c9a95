"""A coalescing server in a few lines, for tests of what judges one: costs, a clock of its own, no sockets.

It does what the model says a server does (docs/LOAD_MODEL.md): an iteration reads what has come, then flushes
it to everybody who is to have something. Every tenth of a second `Live` and `Admission` get their beat.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import exp
from random import Random

from fastchat.admission import Admission, Outlook
from fastchat.broadcast import Stats
from fastchat.capacity_filter import Costs, Shape
from fastchat.capacity_live import Live
from fastchat.config import Config
from fastchat.meter import MICRO, Meter, Recent
from fastchat.transports.gauge import MOMENT

BEAT = 0.1  # seconds
STALL = 0.05  # seconds


class Coalescing:
    """One server under load; `latencies` are (arrival, seconds to the last member) of what was let in."""

    def __init__(self, costs: Costs, shape: Shape, sessions: int, config: Config, seed: int = 1) -> None:
        self.costs = costs
        self.shape = shape
        self.sessions = sessions
        self.random = Random(seed)
        self.noise = 0.05  # of what an iteration costs
        self.meter = Meter()
        self.moment = Recent(self.meter.lengths, MOMENT)
        self.live = Live(config)
        self.admission = Admission(config.admission, config.connect_utilisation, config.publish_utilisation)
        self.now = 0.0
        self.cpu = 0.0
        self.other = 0.0  # CPU seconds a beat takes for other things
        self.stalls = 0.0  # part of the iterations in which somebody else has the core for STALL seconds
        self.opened = sessions
        self.counts = dict.fromkeys(Stats._fields, 0)
        self.latencies: list[tuple[float, float]] = []
        self.outlook: Outlook | None = None
        self.on_beat: Callable[[], None] = lambda: None
        self._due = BEAT

    def flood(self, window: int, seconds: float) -> None:
        """Keep that many messages under way, for some time."""
        end = self.now + seconds
        while self.now < end:
            self._iteration([self.now] * window)

    def pace(self, rate: float, seconds: float) -> None:
        """Messages come when they come, so many in a second, for some time."""
        end = self.now + seconds
        arrivals = self._arrivals(rate, self.now)
        waiting = next(arrivals)
        while self.now < end:
            if waiting > self.now:
                self._rest(min(waiting, end))
            taken = []
            while waiting <= self.now:
                taken.append(waiting)
                waiting = next(arrivals)
            if taken:
                self._iteration(taken)

    def p99(self, since: float) -> float:
        """The latency of what arrived since then."""
        found = sorted(latency for arrival, latency in self.latencies if arrival >= since)
        return found[int(0.99 * len(found))]

    def _arrivals(self, rate: float, now: float) -> Iterator[float]:
        while True:
            now += self.random.expovariate(rate)
            yield now

    def _rest(self, until: float) -> None:
        while self._due <= until:
            self.now = max(self.now, self._due)
            self._beat()
        self.now = max(self.now, until)

    def _iteration(self, arrivals: list[float]) -> None:
        costs, shape, admission = self.costs, self.shape, self.admission
        start, first = self.now, -1.0
        spent = 0.0
        taken = []
        for arrival in arrivals:
            admission.publishes += 1
            if admission.closed and admission.publish(int((start + spent) * 1000)):
                spent += costs.f
                continue
            spent += costs.a
            if first < 0.0:
                first = start + spent
            taken.append(arrival)
        if not taken:
            self._spend(spent)
            return
        k = len(taken)
        sends = round(shape.recipients * (1.0 - exp(-k * shape.fan_out / shape.recipients)))
        sends = max(1, sends if shape.recipients > shape.fan_out else round(shape.recipients))
        frames = round(k * shape.fan_out)
        flush = sends * costs.b + frames * (costs.c + costs.d * shape.size) + costs.e
        flush *= self.random.gauss(1.0, self.noise)
        if self.random.random() < self.stalls:
            self.now += STALL
        self._spend(spent + flush)
        self.counts["messages"] += k
        self.counts["sends"] += sends
        self.counts["deliveries"] += frames
        self.counts["bytes"] += round(frames * shape.size)
        counts = self.counts
        self.meter.flushed(first, self.now, flush, counts["messages"], counts["sends"], counts["deliveries"])
        self.latencies += [(arrival, self.now - arrival) for arrival in taken]
        if self._due <= self.now:
            self._beat()

    def _spend(self, seconds: float) -> None:
        self.cpu += seconds
        self.now += seconds

    def _beat(self) -> None:
        self._due = self.now + BEAT
        self._spend(self.other)
        admission = self.admission
        totals = self.meter.totals(
            self.now,
            self.cpu,
            Stats(**self.counts),
            admission.publishes,
            admission.refused_publishes,
            self.sessions,
            self.opened,
        )
        self.moment.turn(self.now)
        self.outlook = self.live.beat(totals, self.moment.percentile(0.5) / MICRO, 0.0)
        admission.judge(self.outlook, int(self.now * 1000))
        self.on_beat()
