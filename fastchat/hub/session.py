"""One connection as the hub sees it: an outbox, a phase and, once CONNECT has succeeded, a user in rooms.

Invariant: whatever arrives, a session answers by the table of the protocol (`protocol/session.py`) and
raises nothing; after BYE it says nothing more and is in no room.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from fastchat.broadcast import Outbox
from fastchat.errors import Code, FrameError, ProtocolError
from fastchat.hub.commands import TABLES
from fastchat.hub.limits import MAX_HELD, RETRY_MS
from fastchat.hub.rates import Bucket
from fastchat.hub.reading import INTERNAL
from fastchat.hub.roles import Grant
from fastchat.hub.users import User
from fastchat.identity.base import GUEST
from fastchat.protocol.codec import bye, decode_command, error, ping_push
from fastchat.protocol.messages import Command, Connect
from fastchat.protocol.rules import EARLY_FRAME
from fastchat.protocol.session import Phase, frame_limit, struck_out, too_early

if TYPE_CHECKING:
    from fastchat.hub.hub import Hub
    from fastchat.hub.reading import Turns
    from fastchat.hub.room import Room

NOBODY = User("", "")  # of a session before CONNECT
TOKEN_REFUSED = (Code.TOKEN_EXPIRED, Code.TOKEN_INVALID)  # what costs more to look at than to send


class Link(Protocol):
    """What a session needs of its connection besides the outbox."""

    def bye(self, payload: bytes, code: int) -> None:
        """Put BYE (a WebSocket closes with 4000 + code) and end."""

    def pause(self, ms: int) -> None:
        """Read nothing from the peer for so long, once what has been read already is served."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a connection comes from."""

    address: str
    transport: str  # "tcp", "ws" or "unix"
    secure: bool
    reserved: bool = False  # never refused for load
    accepted: float = 0.0  # when: seconds of a clock of which only the order counts
    shared: bool = False  # many people come from this address: it does not tell them apart


class Session:
    """What receives the payloads of one connection. Times are server ms since 1970 and never go back."""

    __slots__ = (
        "hub", "link", "outbox", "peer", "user", "identity", "rooms", "entering", "secret", "former", "phase",
        "handlers", "strikes", "refused", "held", "grants", "paced", "turns",
    )  # fmt: skip

    def __init__(self, hub: Hub, link: Link, outbox: Outbox, peer: Peer) -> None:
        self.hub = hub
        self.link = link
        self.outbox = outbox
        self.peer = peer
        self.user = NOBODY
        self.identity = GUEST
        self.rooms: dict[str, Room] = {}  # those it is a member of
        self.entering: dict[str, Room] | None = None  # those it will be in once the engine has answered
        self.secret = b""  # digest
        self.former = b""  # digest of the secret it came with, until CONNECT's result has arrived
        self.phase = Phase.NEW
        self.handlers = TABLES[Phase.NEW]
        self.strikes = 0
        self.refused = 0  # commands, before CONNECT has succeeded
        self.grants: Mapping[str, Grant] | None = None  # rooms that join tokens opened
        self.paced = None if hub.pacing is None else Bucket(0.0, 0.0)  # what it has used up of its pace
        self.turns: Turns | None = None  # of its HISTORYs
        self.held: list[bytes] | None = None  # what came while CONNECT was being answered

    @property
    def connected(self) -> bool:
        """Whether CONNECT has succeeded."""
        return self.phase is Phase.LIVE

    @property
    def closing(self) -> bool:
        """Whether BYE was said, or the connection is lost."""
        return self.phase is Phase.CLOSING

    def frame_limit(self, peeked: bytes, json: bool = False) -> int:
        """Tell how many bytes the frame that waits may have, given what it begins with."""
        return frame_limit(self.phase, peeked, self.hub.config.max_frame, json)

    def count(self, frames: int, size: int, now: int) -> None:
        """Count frames that came, of so many bytes, whatever was in them."""
        if self.paced is not None and self.hub.pacing is not None:
            self.hub.pacing.came(self, self.paced, frames, size, now)

    def receive(self, payloads: list[bytes], now: int) -> None:
        """Take commands, each a msgpack value of at most `frame_limit` bytes."""
        if self.paced is not None:
            self.count(len(payloads), sum(map(len, payloads)), now)
        if self.phase is not Phase.LIVE:
            self._receive_early(payloads, now)
            return
        if self.former:
            self.hub.resumes.heard(self)
        limits = self.hub.limits
        for payload in payloads:
            command = None
            try:
                command = decode_command(payload, limits)
                self.handlers[type(command)](self, command, now)
            except ProtocolError as refusal:
                self._refused(command, refusal, now)
            except Exception as fault:  # ours, not the peer's: nobody else must notice
                self._failed(command, fault)

    def _receive_early(self, payloads: list[bytes], now: int) -> None:
        """Take what comes before CONNECT has succeeded, or after BYE."""
        for index, payload in enumerate(payloads):
            if self.phase is Phase.LIVE:
                self.receive(payloads[index:], now)
                return
            if self.phase is Phase.CLOSING:
                return
            if self.phase is Phase.CONNECTING:
                self._hold(payload, now)
                continue
            command = None
            try:
                command = decode_command(payload, self.hub.limits)
                if len(payload) > EARLY_FRAME and type(command) is not Connect:  # in fragments nobody peeks
                    raise FrameError(Code.TOO_LARGE, f"before CONNECT a frame may have {EARLY_FRAME} bytes")
                self.handlers[type(command)](self, command, now)
            except FrameError as refusal:
                self.bye(refusal.code, refusal.text, now)
            except ProtocolError as refusal:
                self._refused(command, refusal, now)
            except Exception as fault:
                self._failed(command, fault)

    def _hold(self, payload: bytes, now: int) -> None:
        """Keep what a hasty client sends before it has the result of CONNECT."""
        if self.held is None:
            self.held = []
        if len(self.held) >= MAX_HELD:
            self.bye(Code.MALFORMED, "more commands than may wait for CONNECT", now)
            return
        self.held.append(payload)

    def _refused(self, command: Command | None, refusal: ProtocolError, now: int) -> None:
        if self.phase is Phase.CLOSING:
            return
        self.error(refusal.id if command is None else command.id, refusal)
        if self.hub.limiting is not None and not refusal.code.temporary:
            self.hub.limiting.mistake(self, now)
        nobody = self.user is NOBODY
        malformed = command is None and refusal.code is Code.MALFORMED
        if malformed or (nobody and refusal.code in TOKEN_REFUSED):
            self.strikes += 1
            if struck_out(self.strikes):
                what = "malformed frames" if malformed else "tokens that were refused"
                self.bye(refusal.code, f"too many {what}", now)
                return
        self.refused += nobody
        if nobody and too_early(self.refused):
            self.bye(refusal.code, "too much was refused before CONNECT", now)

    def _failed(self, command: Command | None, fault: Exception) -> None:
        self.hub.report("a command" if command is None else type(command).__name__, fault)
        self.error(0 if command is None else command.id, INTERNAL)

    def error(self, id: int, refusal: ProtocolError) -> None:
        """Put ERROR; temporary codes say when to try again."""
        code, retry_ms = refusal.code, refusal.retry_ms
        if retry_ms is None and code.temporary:
            retry_ms = RETRY_MS
        self.outbox.put(error(id, code, refusal.text, retry_ms, refusal.field))

    def live(self, now: int) -> None:
        """CONNECT has succeeded: take what was held back meanwhile."""
        self.become(Phase.LIVE)
        held, self.held = self.held, None
        if held:
            self.receive(held, now)

    def become(self, phase: Phase) -> None:
        """Go to another phase: other commands are answered, or otherwise."""
        self.phase = phase
        self.handlers = TABLES[phase]

    def malformed(self, refusal: ProtocolError, now: int) -> None:
        """Answer what was not even a msgpack value; the third of them ends the connection."""
        if self.former and self.phase is Phase.LIVE:
            self.hub.resumes.heard(self)
        self._refused(None, refusal, now)

    def refuse(self, refusal: ProtocolError, now: int) -> None:
        """End a connection whose framing is broken or whose frame is too long."""
        self.bye(refusal.code, refusal.text, now)

    def timeout(self, now: int) -> None:
        """End a connection that sent no CONNECT, or nothing at all, for too long."""
        self.bye(Code.TIMEOUT, "nothing heard for too long", now)

    def slow(self, now: int) -> None:
        """End a connection that does not read; the outbox was cleared by its owner."""
        self.bye(Code.SLOW_CONSUMER, "too slow: more waits for you than this server keeps", now)

    def ping(self, now: int) -> None:
        """Ask for a sign of life."""
        self.outbox.put(ping_push(now))

    def bye(self, code: Code, text: str, now: int, after_ms: int | None = None) -> None:
        """Leave everything and end the connection with BYE."""
        if self.phase is Phase.CLOSING:
            return
        self.lost(now)
        if after_ms is None and code.temporary:
            after_ms = RETRY_MS
        self.link.bye(bye(code, text, code.reconnect, after_ms), code)

    def lost(self, now: int) -> None:
        """Leave everything: the connection is gone, or about to go."""
        if self.phase is Phase.CLOSING:
            return
        self.become(Phase.CLOSING)
        self.held = self.entering = None
        self.hub.close(self, now)
