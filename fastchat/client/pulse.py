"""Is the server still there, and does it know that we are: silence measured, with time as an argument.

A server that says nothing for one interval is asked, after two it is given up. While the shell does not
read, silence says nothing; then we speak by ourselves, since the server's PING stands unread.
"""

from __future__ import annotations

from enum import Enum

INTERVAL = 25.0  # seconds, until the server names its own (`ping_ms` of CONNECT's result)


class Beat(Enum):
    """What to do now."""

    NOTHING = "nothing"
    ASK = "ask"  # send PING
    SPEAK = "speak"  # send PONG
    GIVE_UP = "give up"


class Pulse:
    """The silence of one connection; times are seconds."""

    __slots__ = ("interval", "_heard", "_spoke", "_asked", "_deaf")

    def __init__(self) -> None:
        self.interval = INTERVAL
        self.start(0.0)

    def start(self, now: float) -> None:
        """A connection begins."""
        self._heard = self._spoke = now
        self._asked = self._deaf = False

    def heard(self, now: float) -> None:
        """The server said something."""
        self._heard, self._asked = now, False

    def spoke(self, now: float) -> None:
        """We said something."""
        self._spoke = now

    def deaf(self, deaf: bool, now: float) -> None:
        """The shell stopped reading, or took it up again."""
        self._deaf = deaf
        self.heard(now)

    def due(self) -> float:
        """When `beat` has something to do."""
        if self._deaf:
            return self._spoke + self.interval
        return self._heard + self.interval * (2 if self._asked else 1)

    def beat(self, now: float) -> Beat:
        """What is due."""
        if now < self.due():
            return Beat.NOTHING
        if self._deaf:
            return Beat.SPEAK
        if self._asked:
            return Beat.GIVE_UP
        self._asked = True
        return Beat.ASK
