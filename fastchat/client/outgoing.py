"""What goes to the server: requests, those that wait for their turn, and payloads for the shell to take.

Invariant: a request is put as soon as the connection is ready for it, except what waits behind a publish
that the server has not taken yet.
"""

from __future__ import annotations

from collections.abc import Mapping

from fastchat.client.failures import Refused
from fastchat.client.feed import Feed
from fastchat.client.pacing import PATIENT, Pacing
from fastchat.client.pulse import Pulse
from fastchat.client.requests import Request, Requests, check_size, join_payload

MAX_FRAME = 16 * 1024  # bytes, until the server names its own


class Outgoing:
    """Requests without an answer, and what they put on the line."""

    __slots__ = ("requests", "pacing", "max_frame", "payloads", "_pulse", "_feeds")

    def __init__(self, pulse: Pulse, feeds: Mapping[str, Feed]) -> None:
        self.requests = Requests()
        self.pacing = Pacing()
        self.max_frame = MAX_FRAME  # bytes of a command
        self.payloads: list[bytes] = []
        self._pulse, self._feeds = pulse, feeds

    def put(self, payload: bytes, now: float) -> None:
        """Let the shell send this."""
        self.payloads.append(payload)
        self._pulse.spoke(now)

    def begin(self, number: int, request: Request, ready: bool, now: float) -> None:
        """Begin to wait for an answer; `ready`: the connection takes requests. Refused: too long or fast."""
        check_size(request.payload, self.max_frame)
        waits = request.patient and self.pacing.queue(request.room, number, request.until)
        self.requests.add(number, request)
        if ready and not waits:
            self._transmit(number, request, now)

    def resend(self, now: float) -> None:
        """Send what was not sent on this connection, in the order it was made."""
        for number, request in self.requests:
            waits = request.patient and self.pacing.resend(request.room, number)
            if not request.sent and not waits:
                self._transmit(number, request, now)

    def hold(self, number: int, request: Request, refusal: Refused, now: float) -> bool:
        """Let a publish that was refused for now wait and go again, if its caller has the time."""
        if not request.patient or refusal.code not in PATIENT:
            return False
        if not self.pacing.hold(request.room, number, refusal, request.until, now):
            return False
        request.sent = False
        self.requests.add(number, request)
        return True

    def pace(self, now: float) -> None:
        """Send what has waited long enough."""
        for number in self.pacing.go(now, self.requests):
            self._transmit(number, self.requests[number], now)

    def _transmit(self, number: int, request: Request, now: float) -> None:
        if request.payload:
            payload = request.payload
        elif request.room in self._feeds:
            payload = join_payload(number, self._feeds[request.room])
        else:
            return
        request.sent = True
        self.put(payload, now)
