"""Who this client is to the server: its name, its token, and the secret it comes back with.

Invariant: a fresh token is wanted in time before the one in use ends, and once after it was refused; never
again and again. Times are seconds on the caller's own clock, what comes from the server is in milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastchat.errors import Code
from fastchat.protocol.messages import VERSION, Connect

LIFE = 0.8  # of what remains of a token, after which a fresh one is asked for
SOONEST = 1.0  # seconds: between two attempts to get a fresh one
DOUBTS = 5  # times that 307 is taken for our own session, after a CONNECT whose result we never saw


class Passport:
    """What CONNECT and REFRESH show, and what became of it."""

    __slots__ = (
        "user", "resume", "token", "wanting", "due", "_name", "_client", "_renewable", "_fresh", "_number",
        "_doubts", "_lead_ms", "_ends",
    )  # fmt: skip

    def __init__(self, name: str | None, token: str | None, client: str, renewable: bool = False) -> None:
        self.user = ""  # as the server calls us
        self.resume: str | None = None
        self.token = token
        self.wanting = renewable and token is None  # the shell should bring a fresh token (`renew`)
        self.due: float | None = None  # when a fresh token will be wanted
        self._name, self._client = name, client
        self._renewable = renewable
        self._fresh = False  # the server has not accepted the token yet
        self._number = 0  # of the CONNECT that has no answer
        self._doubts = 0
        self._lead_ms = 0.0  # the server's clock before ours
        self._ends: float | None = None  # when the token does

    def greet(self, number: int) -> Connect:
        """The CONNECT of a new connection."""
        self._number = number
        return Connect(number, VERSION, self.token, self._name, self.resume, self._client)

    def awaits(self, number: int) -> bool:
        """Is this the answer to CONNECT?"""
        return number == self._number

    def let_in(self, body: Mapping[str, Any], now: float) -> bool:
        """Take CONNECT's result; True when it was not the first."""
        again = self.resume is not None
        self.user, self.resume = str(body["user"]), str(body["session"])  # KeyError: not of its shape
        self._number = self._doubts = 0
        if body.get("time"):
            self._lead_ms = int(body["time"]) - now * 1000
        self.renewed(body, now)
        return again

    def turned_away(self, code: int) -> bool:
        """CONNECT was refused, or BYE said: may the next connection fare better for something we do?"""
        self._number = 0
        if code in (Code.TOKEN_EXPIRED, Code.TOKEN_INVALID) and self._renewable and not self._fresh:
            self.wanting = True
            return True
        if code == Code.NAME_TAKEN and self._doubts:
            self._doubts -= 1  # our name is borne by a session of ours that the server has not seen die
            return True
        return False

    def lost(self) -> None:
        """The connection is gone; a CONNECT without its answer may have been carried out."""
        if self._number and self.resume is not None:
            self._doubts = DOUBTS
        self._number = 0

    def renew(self, token: str) -> None:
        """The shell brought a fresh token."""
        self.token, self.wanting, self._fresh, self.due = token, False, True, None

    def renewed(self, body: Mapping[str, Any], now: float) -> None:
        """The server has accepted the token; `expires` says until when."""
        expires = body.get("expires") if self.token is not None else None
        self._fresh = False
        self._ends = self.due = None
        if expires:
            self._ends = (int(expires) - self._lead_ms) / 1000
            if self._renewable:
                self.due = now + max(SOONEST, LIFE * (self._ends - now))

    def unrenewed(self, now: float) -> None:
        """No fresh token was to be had, or the server refused it: try again before the old one ends."""
        self.wanting = self._fresh = False
        left = self._ends - now if self._ends is not None else 0.0
        self.due = now + max(SOONEST, left / 2)

    def tick(self, now: float) -> None:
        """Want a fresh token when it is time."""
        if self.due is not None and self.due <= now:
            self.wanting, self.due = True, None

    def stale(self, now: float) -> bool:
        """Should a fresh token be brought before the next connection?"""
        self.tick(now)
        return self.wanting
