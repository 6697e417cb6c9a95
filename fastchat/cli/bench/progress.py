"""How far a long run is: one line with a bar and the time left on a terminal, plain lines otherwise.

Invariant: what is printed goes to the error output, so that --json leaves the output to the result.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import IO

CLEAR = "\r\x1b[K"
BAR = 12  # characters
EVERY = 0.1  # seconds between two refreshes of the line


class Progress:
    """A run of steps whose durations are estimated beforehand, in seconds.

    `begin` names a step, `live` says how it goes, `end` says what came out. `left` learns from the steps
    that are over how much longer than estimated they took.
    """

    def __init__(
        self,
        stream: IO[str],
        planned: float,
        *,
        columns: int = 80,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stream = stream
        self.terminal = stream.isatty()
        self.stopped = False  # Ctrl-C was heard: no further step begins
        self._planned = planned
        self._columns = columns
        self._clock = clock
        self._begun = clock()
        self._done = 0.0  # of what was planned
        self._label, self._step, self._step_begun = "", 0.0, self._begun
        self._drawn = -EVERY

    def begin(self, label: str, seconds: float) -> None:
        """The next step, and how long it is estimated to take. Raises KeyboardInterrupt after Ctrl-C."""
        if self.stopped:
            raise KeyboardInterrupt
        self._label, self._step, self._step_begun = label, seconds, self._clock()
        self.live("")

    def live(self, text: str) -> None:
        """How the step goes; shown on a terminal only, and not too often."""
        now = self._clock()
        if not self.terminal or (text and now - self._drawn < EVERY):
            return
        self._drawn = now
        head = f"{self._bar()} {clock_time(self.left())} left  "
        line = f"{head}{self._label}  {text}".rstrip()
        self.stream.write(CLEAR + line[: self._columns - 1])
        self.stream.flush()

    def end(self, text: str) -> None:
        """What came out of the step: a line that stays."""
        took = self._clock() - self._step_begun
        self._done += self._step
        self._step = 0.0
        left = f", {clock_time(self.left())} left" if self._planned - self._done > 1 else ""
        self.say(f"{self._label}  {text}  ({took:.1f} s{left})")

    def say(self, text: str) -> None:
        """A line of its own."""
        self.stream.write(f"{CLEAR if self.terminal else ''}{text}\n")
        self.stream.flush()

    def add(self, seconds: float) -> None:
        """More is planned than was (a trial to be repeated); or less, if negative."""
        self._planned = max(self._done, self._planned + seconds)

    def close(self) -> None:
        """Take the line away."""
        if self.terminal:
            self.stream.write(CLEAR)
            self.stream.flush()

    def left(self) -> float:
        """Seconds until the end, at the pace so far."""
        now = self._clock()
        within = min(self._step, now - self._step_begun) if self._step else 0.0
        before = self._step_begun if self._step else now
        pace = (before - self._begun) / self._done if self._done else 1.0
        return max(0.0, self._planned - self._done - within) * pace

    def _bar(self) -> str:
        within = min(self._step, self._clock() - self._step_begun) if self._step else 0.0
        share = min(1.0, (self._done + within) / self._planned) if self._planned else 1.0
        full = int(share * BAR)
        return f"[{'#' * full}{'.' * (BAR - full)}] {share:4.0%}"


def clock_time(seconds: float) -> str:
    """A duration as people say it: 45 s, 3:20 min, 1:05 h."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02} h"
