"""The flush in the event loop: once at the end of an iteration in which something was put, or a little later.

`HoldBack` says whether waiting gathers more, and is asked again whenever more was put. Timers of uvloop tick
in whole milliseconds, so a timer is only what ends a wait in which nothing comes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from fastchat.broadcast import Broadcaster
from fastchat.holdback import HoldBack
from fastchat.meter import Meter

LOG = logging.getLogger(__name__)


class Flusher:
    """Drives one Broadcaster; `wake` is its callback. `time` is a monotonic clock in seconds."""

    __slots__ = (
        "_loop", "_time", "_holdback", "_meter", "_broadcaster", "_soon", "_timer", "_ends", "_cut", "_spent",
        "_first", "_began", "_batch",
    )  # fmt: skip

    def __init__(
        self, loop: asyncio.AbstractEventLoop, time: Callable[[], float], holdback: HoldBack, meter: Meter
    ) -> None:
        self._loop = loop
        self._time = time
        self._holdback = holdback
        self._meter = meter
        self._broadcaster: Broadcaster | None = None
        self._soon = False  # a run is scheduled at the end of this iteration
        self._timer: asyncio.TimerHandle | None = None
        self._ends = 0.0  # when the timer runs
        self._cut = False  # the fairness limit cut the flush short: it goes on without waiting
        self._spent = 0.0  # seconds this flush has taken so far
        self._first = -1.0  # when the first put since the last flush began came; negative: none
        self._began = -1.0  # the same of the batch that is being flushed
        self._batch = 0  # messages since the start, up to the last of that batch

    def serve(self, broadcaster: Broadcaster) -> None:
        """Tell whose flush it is: the Broadcaster takes `wake`, so it is made after us."""
        self._broadcaster = broadcaster

    def wake(self) -> None:
        """Something was put, or a room began to wait for its tick."""
        if self._first < 0.0:
            self._first = self._time()
        self._go_on()

    def _go_on(self) -> None:
        if not self._soon:
            self._soon = True
            self._loop.call_soon(self._run)

    def age(self, now: float) -> float:
        """Seconds since the first put that has not reached everybody; 0 where there is none."""
        first = self._began if self._cut else self._first
        return max(0.0, now - first) if first >= 0.0 else 0.0

    def stop(self) -> None:
        """Run no more."""
        self._broadcaster = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _run(self) -> None:
        """Hold back, or flush and see what is due next."""
        self._soon = False
        broadcaster = self._broadcaster
        if broadcaster is None:
            return
        now = self._time()
        if broadcaster.waiting and not self._cut:
            wait = self._holdback.wait(now, broadcaster.messages)
            if wait > 0.0:
                broadcaster.watch()
                self._at(now, now + wait)
                return
        self._flush(broadcaster, now)
        if self._cut:
            self._go_on()
            return
        due = broadcaster.next_due(now)
        if due is not None:
            self._at(now, due)

    def _flush(self, broadcaster: Broadcaster, now: float) -> None:
        if not self._cut:
            self._began, self._first = self._first, -1.0
            self._batch = broadcaster.messages
        try:
            self._cut = broadcaster.flush(now)
        except Exception:  # every connection was served before it was raised
            LOG.exception("the flush failed for some connections")
            self._cut = broadcaster.waiting
        ended = self._time()
        self._spent += ended - now
        if self._cut:
            return
        spent, deliveries, sends = self._spent, broadcaster.deliveries, broadcaster.sends
        self._holdback.flushed(ended, spent, broadcaster.messages, deliveries, sends)
        self._meter.flushed(self._began, ended, spent, self._batch, sends, deliveries)
        self._spent = 0.0

    def _at(self, now: float, when: float) -> None:
        """Run at that time at the latest; a timer that runs earlier finds out that it need not."""
        if self._timer is not None:
            if self._ends <= when:
                return
            self._timer.cancel()
        self._ends = when
        self._timer = self._loop.call_later(max(0.0, when - now), self._timed)

    def _timed(self) -> None:
        self._timer = None
        if not self._soon:
            self._run()
