"""Who is let in when more comes than the server can do: new connections first, then single messages.

Two gates, each with hysteresis. The one of connections closes while some capacity is left; the one of
messages lets a token bucket choose, whose rate is what the model says can be done, so that whoever is served
is served as if the rest had not come. A wrong model must not shut a healthy server: a gate closes only while
iterations really last long, and the bucket's rate follows what they then do.

Invariant: no gate closes unless the model is sure, and one that refuses nobody for a while opens.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

HYSTERESIS = 0.05  # of utilisation: so far it must fall below the threshold before a gate opens
LONG = 0.5  # of the allowed iteration: only where iterations last longer are messages refused
WARNING = 0.4  # the same for new connections, which are to stop coming earlier
CALM_BEATS = 10  # a second: nothing refused opens the gate of messages, short iterations that of connections
SLACK = 1.5  # target iterations whose messages the bucket holds: they are read at once
RETRY_MS = 1000  # ms told to the refused while offered load equals capacity, in proportion beyond it
LONGEST_RETRY = 30  # times RETRY_MS at most
HIGH, LOW = 1.2, 0.6  # of the target iteration: outside of it the bucket's rate is trimmed
DOWN, UP = 0.93, 1.03  # what it is trimmed by in a beat
FEWEST, MOST = 0.3, 3.0  # how far it may be trimmed
FALLING = 0.95  # an iteration below this part of the one before needs no further trimming


class Outlook(NamedTuple):
    """What the model makes of the last beats."""

    sure: bool  # whether the capacity may be relied on
    capacity: float  # messages/s at which an iteration lasts as long as it is allowed to
    most: float  # what the capacity is at most, in all likelihood; infinite while nothing is known
    offered: float  # messages/s that come, refused ones too
    rate: float  # messages/s to let in while not all can be
    target: float  # seconds an iteration then lasts
    allowed: float  # seconds an iteration may last
    iteration: float  # seconds it lasted in this beat

    @property
    def utilisation(self) -> float:
        """Offered load as a part of the capacity; 0 while that is unknown."""
        return self.offered / self.capacity if self.capacity > 0.0 else 0.0


class Admission:
    """The gates of one server. Times are server ms and never go back."""

    __slots__ = (
        "on", "publishes", "refused_publishes", "refused_connections", "closed", "full", "trim",
        "_connect", "_publish", "_retry_ms", "_tokens", "_rate", "_burst", "_at", "_calm", "_short",
        "_noted", "_before",
    )  # fmt: skip

    def __init__(self, on: bool, connect: float = 0.9, publish: float = 0.97) -> None:
        """`connect` and `publish` are utilisations above which each is refused."""
        self.on = on
        self.publishes = 0  # PUBLISH commands that came
        self.refused_publishes = 0
        self.refused_connections = 0
        self.closed = False  # the gate of messages: the bucket chooses
        self.full = False  # the gate of connections: none is let in
        self.trim = 1.0  # what the rate is multiplied with, since models err
        self._connect = connect
        self._publish = publish
        self._retry_ms = RETRY_MS
        self._tokens = 0.0
        self._rate = 0.0  # tokens per ms
        self._burst = 1.0
        self._at = 0  # when the bucket was last filled
        self._calm = 0  # beats since something was refused
        self._short = 0  # beats with iterations that are no warning
        self._noted = 0  # refused by the last beat
        self._before = 0.0  # the iteration of the last beat

    def publish(self, now: int) -> int:
        """Take a token; else the ms after which to try again. To be asked only while `closed`."""
        tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if tokens >= 1.0:
            self._tokens = tokens - 1.0
            return 0
        self._tokens = tokens
        self.refused_publishes += 1
        return self._retry_ms

    def connect(self) -> int:
        """Refuse a connection: the ms after which to try again. To be asked only while `full`."""
        self.refused_connections += 1
        return 2 * self._retry_ms

    def judge(self, outlook: Outlook, now: int) -> None:
        """Open and close the gates; called once a beat."""
        used = outlook.utilisation
        long = outlook.iteration > WARNING * outlook.allowed
        self._short = 0 if long else self._short + 1
        refused = self.refused_publishes - self._noted
        self._noted = self.refused_publishes
        self._calm = 0 if refused else self._calm + 1
        if not self.on or outlook.capacity <= 0.0:
            self.closed = self.full = False
            return
        if self.closed:
            self.closed = used >= self._publish - HYSTERESIS and self._calm < CALM_BEATS
        elif self._exceeds(outlook, self._publish) and outlook.iteration > LONG * outlook.allowed:
            self.closed = True
            self.trim, self._tokens, self._at, self._calm = 1.0, 0.0, now, 0
            self._before = inf  # what was before says nothing about the bucket
        if self.closed:
            self.full = True
            self._set(outlook, refused)
        elif self.full:
            self.full = used >= self._connect - HYSTERESIS and self._short < CALM_BEATS
        else:
            self.full = long and self._exceeds(outlook, self._connect)
        self._before = outlook.iteration
        self._retry_ms = round(RETRY_MS * min(max(used, 1.0), LONGEST_RETRY))

    def _exceeds(self, outlook: Outlook, share: float) -> bool:
        """Whether more is offered than that part of the capacity: by a good estimate, or beyond all doubt."""
        sure = outlook.sure and outlook.utilisation > share
        return sure or outlook.offered > share * outlook.most

    def _set(self, outlook: Outlook, refused: int) -> None:
        """Set the bucket to what can be done, corrected by what iterations do."""
        iteration, target = outlook.iteration, outlook.target
        if iteration > HIGH * target and iteration > FALLING * self._before:
            self.trim = max(FEWEST, self.trim * DOWN)
        elif iteration < LOW * target and refused:
            self.trim = min(MOST, self.trim * UP)
        rate = outlook.rate * self.trim
        self._rate = rate / 1000
        self._burst = 1.0 + SLACK * rate * target
