"""Whether a flush should hold back a little, so that one send per member carries more frames.

With M members a flush costs B seconds however few frames it carries, so at λ messages a second flushing at
once takes a share λB of a core, until that reaches 1 and batches grow by themselves. Holding back pays only
where the stream really goes on meanwhile and its frames meet in the same sends; a publisher that waits for
its acknowledgement, or many small rooms, bring nothing. So each wait is judged by what it brought, and one in
vain makes the next 1, 4, 16 ... 256 rounds go at once.

A wait ends best with an arrival: timers of uvloop tick in whole milliseconds. So it ends at the arrival after
which the next is expected too late.

Invariant: `wait` never asks for more than what the budget leaves after the time a flush takes, counted from
the first `wait` of the round, and for nothing at all unless messages have been arriving for some time.
"""

from __future__ import annotations

from math import exp

WINDOW = 0.02  # seconds over which the rate of messages is taken
MORE = 3.0  # messages that must be expected meanwhile: 500/s within 2 ms bring 1 and gained nothing
SHARE = 0.25  # of a core that flushing at once would take
EVENTS = 3.0  # iterations with messages in the window: one large burst is not a stream
QUIET = 5.0  # expected messages that did not come: the stream has stopped
ENOUGH = 32  # messages gathered: a send that carries so many costs little more than its frames
NEXT = 0.8  # messages expected in what is left of a wait: with fewer it would end at a timer, too late
MOST_SKIPPED = 256  # rounds sent at once between two tries


class HoldBack:
    """The judgement for one server; times in seconds of one clock, counters as they stand since the start."""

    __slots__ = (
        "budget", "_rate", "_events", "_seen", "_at", "_arrival", "_base", "_deliveries", "_sends", "_cost",
        "_first", "_found", "_limit", "_skip", "_skipped",
    )  # fmt: skip

    def __init__(self, budget: float) -> None:
        self.budget = budget  # seconds; 0 never waits
        self._rate = 0.0  # messages in the window, decaying
        self._events = 0.0  # calls that saw new messages, decaying
        self._seen = 0  # messages counted so far
        self._at = 0.0  # when the window was last brought up to date
        self._arrival = 0.0  # when the last new message was seen
        self._base = 0  # messages at the last flush
        self._deliveries = 0
        self._sends = 0
        self._cost = 0.0  # seconds of a flush with messages
        self._first = -1.0  # when this round began to wait; negative: it does not
        self._found = 0  # messages at that time
        self._limit = 0.0  # how long this round may wait
        self._skip = 0  # rounds still to send at once
        self._skipped = 0  # how many there were after the last wait in vain

    def wait(self, now: float, messages: int) -> float:
        """Seconds to hold back from `now`, 0 to flush; ask again whenever something more was put.

        `messages` counts the puts on all fan-outs since the start (`Broadcaster.messages`).
        """
        self._arrived(now, messages)
        gathered = messages - self._base
        if self.budget <= 0.0 or not 0 < gathered < ENOUGH:
            return 0.0
        if self._first < 0.0:
            if not self._promising():
                return 0.0
            self._first = now
            self._found = gathered
            self._limit = self.budget - self._cost  # the flush is over when the budget is
        left = self._first + self._limit - now
        stopped = (now - self._arrival) * self._rate > QUIET * WINDOW
        return 0.0 if stopped or left * self._rate < NEXT * WINDOW else left

    def flushed(self, now: float, seconds: float, messages: int, deliveries: int, sends: int) -> None:
        """Learn from a flush that ended at `now` and took `seconds`; counters as they stand after it."""
        gathered = messages - self._base
        delivered, sent = deliveries - self._deliveries, sends - self._sends
        self._base, self._deliveries, self._sends = messages, deliveries, sends
        if gathered:
            self._cost += (seconds - self._cost) * 0.2 if self._cost else seconds
        if self._first < 0.0:
            self._skip -= self._skip > 0
            return
        idle = now - seconds - self._arrival
        self._first = -1.0
        if gathered >= 2 * self._found and delivered >= 1.5 * sent and idle <= self._limit / 2:
            self._skipped = 0
            return
        self._skipped = min(MOST_SKIPPED, max(1, 4 * self._skipped))
        self._skip = self._skipped

    def _arrived(self, now: float, messages: int) -> None:
        fade = exp((self._at - now) / WINDOW)
        self._rate *= fade
        self._events *= fade
        self._at = now
        if messages == self._seen:
            return
        self._rate += messages - self._seen
        self._events += 1.0
        self._seen = messages
        self._arrival = now

    def _promising(self) -> bool:
        if self._skip or self._cost >= self.budget or self._events < EVENTS:
            return False
        rate = self._rate / WINDOW
        return rate * (self.budget - self._cost) >= MORE and rate * self._cost >= SHARE
