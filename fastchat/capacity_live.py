"""What a running server can do, from its own counters: capacity, load, utilisation, headroom.

Every beat tells the load of the moment, every window of about a second brings the filter a sample. Nobody
says which rooms there are; it is seen: how many get a copy of a message (the fan-out F), and how many
different members an iteration reaches (the recipients D), from how many frames share a send.

Invariant: pure arithmetic on totals, and nothing counts as known before the work has shown it.
"""

from __future__ import annotations

from collections import deque
from math import exp, inf

from fastchat.admission import Outlook
from fastchat.capacity_filter import Z95, Costs, Filter, Shape
from fastchat.config import Config
from fastchat.meter import Done, Totals

BLINK = 0.3  # seconds over which the offered load is averaged for the gates
BEATS = 3  # whose iterations are looked at together
WINDOW = 1.0  # seconds of a sample
WORK = 0.005  # CPU seconds in a window below which it tells more about the clock than about the work
PUBLISHES = 20  # in a window, the same
NEWCOMERS = 0.05  # of the sessions: with more new ones in a window it tells about CONNECT
SAMPLES = 5  # that the capacity must rest on
SURE = 0.25  # half-width of the capacity's interval, as a part of it, with which refusals are allowed
BUSY = 0.5  # share of a core in a window that shows real load ...
ENGAGED = 0.1  # ... or the part of the allowed iteration that one lasts
P99_ITERATIONS = 2.0 - 0.02**0.5  # p99 of the latency, in iterations (docs/LOAD_MODEL.md)
STRETCH = 4.0  # bare flushes that an iteration may last in any case: a huge room is slow, not dead
NEAR = 0.9  # of the capacity: how long an iteration lasts there ...
TARGET = 1.4  # ... and how many times as long while the bucket chooses
ROUNDS = 8  # until what is let in and what refusing the rest costs agree
FLOOR = 0.1  # of the rate that is let in whatever refusing costs
FORGIVE = 0.05  # of the share of others is forgotten in each window that does not show it
LEAST_SHARE = 0.05  # of a core that others leave us: less is a fault of measuring


class Live:
    """The load model of one server at work."""

    def __init__(self, config: Config) -> None:
        self.limit = config.latency_limit_ms / 1000
        self.filter = Filter()
        self.costs: Costs | None = None  # in seconds of the clock: more than CPU where others compute
        self.shape = Shape(0.0, 0.0, 0.0)
        self.capacity = 0.0  # messages/s; 0: unknown
        self.deviation = 0.0  # of the capacity
        self.allowed = self.limit / P99_ITERATIONS  # seconds an iteration may last
        self.load = 0.0  # messages/s of the last window, refused ones too
        self.clients = 0
        self.cpu = 0.0  # share of a core in the last window
        self.share = 1.0  # of a core that others leave us
        self.iteration = 0.0  # seconds, what is usual in the last beats
        self.mean = 0.0  # seconds
        self.sends = 0.0  # per flush
        self.frames = 0.0  # per send
        self._publish = config.publish_utilisation
        self._budget = config.flush_budget_ms / 1000
        self._proven = False  # real load was seen
        self._target = 0.0
        self._rate = 0.0  # messages/s to let in while not all can be
        self._offered = 0.0  # messages/s, of the moment
        self._totals: Totals | None = None
        self._opened: Totals | None = None  # when the window began
        self._beats: deque[tuple[int, float]] = deque(maxlen=BEATS)

    def beat(self, totals: Totals, median: float, age: float) -> Outlook:
        """Take the totals of a beat.

        `median` is that of the iterations of the last few beats, 0 where there were none; it shrugs off the
        single long one that somebody else caused. `age` is how long the oldest put has waited for the end of
        its flush. Both in seconds.
        """
        last, self._totals = self._totals, totals
        if last is None or self._opened is None:
            self._opened = totals
            return self.outlook
        seconds = totals.time - last.time
        if seconds <= 0.0:
            return self.outlook
        weight = 1.0 - exp(-seconds / BLINK)
        self._offered += ((totals.publishes - last.publishes) / seconds - self._offered) * weight
        self._beats.append((totals.rounds - last.rounds, totals.round_seconds - last.round_seconds))
        rounds = sum(count for count, _ in self._beats)
        self.mean = sum(length for _, length in self._beats) / max(rounds, 1)
        self.iteration = median or age
        if totals.time - self._opened.time >= WINDOW:
            opened, self._opened = self._opened, totals
            self._window(opened, totals)
        return self.outlook

    @property
    def sure(self) -> bool:
        """Whether the capacity is known well enough to refuse somebody because of it."""
        narrow = self.capacity > 0.0 and Z95 * self.deviation <= SURE * self.capacity
        return self._shown and narrow

    @property
    def _shown(self) -> bool:
        return self._proven and self.filter.windows >= SAMPLES

    @property
    def outlook(self) -> Outlook:
        """What the gates need to know."""
        most = self.capacity + Z95 * self.deviation if self._shown else inf
        return Outlook(
            self.sure,
            self.capacity,
            most,
            self._offered,
            self._let_in(),
            self._target,
            self.allowed,
            self.iteration,
        )

    def _let_in(self) -> float:
        """Messages/s to let in: who is refused has been read and answered, too."""
        most, costs = self._rate, self.costs
        if costs is None or self._offered <= most:
            return most
        rate = most
        for _ in range(ROUNDS):
            rate = min(most, costs.rate(self._target, self.shape, self._offered - rate))
        return max(FLOOR * most, rate)

    def _window(self, first: Totals, last: Totals) -> None:
        """Look at a second of work."""
        seconds = last.time - first.time
        publishes, refused = last.publishes - first.publishes, last.refused - first.refused
        cpu = last.cpu - first.cpu
        self.load = publishes / seconds
        self.clients = last.sessions
        self.cpu = cpu / seconds
        rounds, messages = last.rounds - first.rounds, last.messages - first.messages
        sends, frames = last.sends - first.sends, last.deliveries - first.deliveries
        if not (rounds and messages and sends and frames):
            return
        size = last.bytes - first.bytes
        self._see_shape(first.done, last.done, size / frames, last.sessions)
        self._see_share(cpu, seconds, last.round_seconds - first.round_seconds, rounds)
        about_messages = (
            cpu >= WORK
            and messages >= PUBLISHES
            and last.opened - first.opened <= max(1.0, NEWCOMERS * last.sessions)
        )
        if not self.shape.recipients:
            return
        if about_messages and self.filter.learn(cpu, (messages, sends, frames, size, rounds, refused)):
            self._foresee()
            length = (last.round_seconds - first.round_seconds) / rounds
            self._proven |= self.cpu >= BUSY or length >= ENGAGED * self.allowed
        elif self.costs is not None:
            self._foresee()

    def _see_shape(self, first: Done, last: Done, size: float, sessions: int) -> None:
        """See who gets what, in whole iterations: a long one puts in one window and sends in the next."""
        rounds, messages = last.rounds - first.rounds, last.messages - first.messages
        sends, frames = last.sends - first.sends, last.deliveries - first.deliveries
        if not (messages and frames):
            return
        self.sends, self.frames = sends / rounds, frames / sends
        fan_out = frames / messages
        seen = Shape(fan_out, recipients(rounds, sends, frames, fan_out, sessions), size)
        self.shape = _between(self.shape, seen)

    def _see_share(self, cpu: float, seconds: float, round_seconds: float, rounds: int) -> None:
        """See what part of the core is ours: iterations that last longer than their CPU time were waiting."""
        if round_seconds < BUSY * seconds or round_seconds < 2 * self._budget * rounds:
            self.share += (1.0 - self.share) * FORGIVE
            return
        seen = min(1.0, max(LEAST_SHARE, cpu / round_seconds))
        self.share += (seen - self.share) / 2

    def _foresee(self) -> None:
        """Say what can be done, for rooms of the present shape."""
        shape, share = self.shape, self.share
        self.costs = costs = Costs(*(cost / share for cost in self.filter.costs))
        self.allowed = max(self.limit / P99_ITERATIONS, STRETCH * costs.bare(shape))
        self.capacity = costs.rate(self.allowed, shape)
        self.deviation = self.filter.deviation(self.allowed * share, shape) * share
        near = costs.iteration(NEAR * self.capacity, shape)
        self._target = min(self.allowed, max(TARGET * near, 2 * self._budget))
        self._rate = min(self._publish * self.capacity, costs.rate(self._target, shape))


def _between(old: Shape, new: Shape) -> Shape:
    """Smooth what is seen over some windows."""
    return Shape(*((a + b) / 2 for a, b in zip(old, new, strict=True))) if old.recipients else new


def recipients(rounds: int, sends: int, frames: int, fan_out: float, sessions: int) -> float:
    """Estimate how many different members a busy iteration reaches.

    With y frames per member and iteration, sends / frames = (1 - exp(-y)) / y. Where sends are hardly shared,
    y is near 0 and nothing tells the members apart: then all sessions count, which is the careful side.
    """
    share = sends / frames
    low, high = 0.0, 1.0 / share + 1.0
    for _ in range(40):
        y = (low + high) / 2
        if y > 0.0 and (1.0 - exp(-y)) / y > share:
            low = y
        else:
            high = y
    most = max(float(sessions), fan_out)
    return most if low * most * rounds <= frames else max(fan_out, frames / rounds / low)
