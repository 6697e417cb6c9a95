"""What one user may do in a second: say, change, join and read; and what becomes of who does more.

All sessions of a user share their limits. What a guest has used up stays with the address: neither another
name nor another connection brings a fresh burst.

Invariant: a command over a limit changes nothing but its sender's conduct, and is answered like any other;
who is within the limits pays for a look-up and some arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from fastchat.config import Config, RoomOptions
from fastchat.errors import Code
from fastchat.hub.addresses import network_of
from fastchat.hub.ladder import LADDER, Conduct, Standing
from fastchat.hub.limits import (
    MAX_CONDUCTS,
    MISTAKES,
    MISTAKES_RATE,
    MOST_PAUSE_MS,
    READ_COST,
    RESERVED_SHARE,
    STATE_SECONDS,
    TIDY_MS,
)
from fastchat.hub.rates import Bucket, Limit
from fastchat.hub.refusing import Refusal
from fastchat.protocol.messages import (
    Direct,
    Join,
    Mark,
    Moderate,
    Presence,
    Refresh,
    Signal,
    State,
)

if TYPE_CHECKING:
    from fastchat.hub.session import Session

TEXT = "more than one user may do in this time"
SILENT_TEXT = "too much for too long: nothing of yours passes for a while"


Charge: TypeAlias = "Callable[[Limiting, Session, Any, int], int]"


class Limiting:
    """The limits of one server, and the conduct of those who went over them and left."""

    __slots__ = (
        "messages", "states", "joins", "reads", "mistakes", "refused", "climbed", "_config",
        "_refusal", "_silence", "_conducts", "_limits", "_most_reserved", "_turn", "_tidy_at",
    )  # fmt: skip

    def __init__(self, config: Config) -> None:
        rooms = {"default": config.room("default"), **config.rooms}
        self._config = config
        self.messages = {name: _messages(options, config) for name, options in rooms.items()}
        self.states = {
            name: Limit(options.state_rate, options.state_rate * STATE_SECONDS)
            for name, options in rooms.items()
        }
        self.joins = Limit(config.join_rate, config.join_burst)
        self.reads = Limit(0.0, 0.0, config.read_rate, config.read_burst)
        self._most_reserved = config.read_burst // RESERVED_SHARE
        self.mistakes = Limit(MISTAKES_RATE, MISTAKES)
        self.refused = 0  # commands
        self.climbed = dict.fromkeys(Standing, 0)  # users who came to each rung
        self._refusal = Refusal(Code.RATE, TEXT)
        self._silence = Refusal(Code.RATE, SILENT_TEXT)
        self._conducts: dict[str, Conduct] = {}  # of users who left, by `_name`
        self._limits = (
            *self.messages.values(), *self.states.values(), self.joins, self.reads, self.mistakes
        )  # fmt: skip
        self._turn = 0
        self._tidy_at = 0

    def of(self, room: str) -> Limit:
        """The limit of messages in a room."""
        return self.messages[self._config.namespace(room)]

    def about(self, session: Session) -> dict[str, int | float]:
        """Tell what CONNECT's result says: messages a second and at once, where no namespace says more."""
        limit, identity = self.messages["default"], session.identity
        rate, burst = identity.rate or limit.rate, identity.burst or limit.burst
        return {"rate": int(rate) if rate == int(rate) else rate, "burst": int(burst) if rate else 0}

    # what a command costs

    def speak(self, session: Session, limit: Limit, size: int, now: int) -> int:
        """Let a message of so many bytes pass: 0, or the ms after which it may."""
        user, identity = session.user, session.identity
        if user.conduct is not None:
            if user.conduct.forgiven(now):
                user.conduct = None
            elif user.conduct.silent_until:
                return user.conduct.silent_until - now
        who = user.id or user.key
        bucket = limit.used.get(who)
        if bucket is None:
            bucket = limit.open(who, _origin(session), now)
        if identity.rate or identity.burst:
            return limit.take_at(bucket, identity.rate, identity.burst, size, now)
        return limit.take(bucket, size, now)

    def tell(self, session: Session, limit: Limit, now: int) -> int:
        """Let a state or the like pass; a token's own rate is for messages alone."""
        conduct = session.user.conduct
        if conduct is not None and conduct.silent_until > now:
            return conduct.silent_until - now
        return self._take(session, limit, 0, now)

    def renew(self, session: Session, now: int) -> int:
        """Let somebody show a token, which costs the server more than saying no to a wrong command."""
        return self._take(session, self.mistakes, 0, now)

    def join(self, session: Session, reading: bool, now: int) -> int:
        """Let somebody into a room, with messages of its past if `reading`."""
        wait = self.read(session, now) if reading else 0
        return wait or self._take(session, self.joins, 0, now)

    def read(self, session: Session, now: int) -> int:
        """Let somebody ask for something long, whose length `has_read` tells later."""
        return self._take(session, self.reads, READ_COST, now)

    def reserve(self, session: Session, size: int, now: int) -> None:
        """Count bytes that are about to be read: they make the next reader wait until `has_read`."""
        self.reads.add(self._bucket(session, self.reads, now), min(size, self._most_reserved), now)

    def has_read(self, session: Session, size: int, now: int, reserved: int = 0) -> None:
        """Count the bytes of a long answer in place of those that were reserved.

        Nothing is given back to who did not stay for it.
        """
        reserved = min(reserved, self._most_reserved)
        if session.closing:
            size = max(size, reserved)
        self.reads.add(self._bucket(session, self.reads, now), size - reserved, now)
        if session.closing and not session.user.sessions:
            self.reads.leave(session.user.id or session.user.key, _origin(session), now)

    def _take(self, session: Session, limit: Limit, size: int, now: int) -> int:
        return limit.take(self._bucket(session, limit, now), size, now)

    def _bucket(self, session: Session, limit: Limit, now: int) -> Bucket:
        who = session.user.id or session.user.key
        return limit.used.get(who) or limit.open(who, _origin(session), now)

    # who does too much

    def over(self, session: Session, id: int, wait: int, now: int) -> None:
        """Answer a command that is over a limit, and see what else its sender deserves."""
        self.refused += 1
        conduct = self._note(session, wait, now)
        if conduct is None:
            return
        silent_ms = conduct.silent_until - now
        if conduct.climbed == now and silent_ms > 0:
            wait = silent_ms
        refusal = self._silence if wait == silent_ms else self._refusal
        session.outbox.put(refusal.encode(id, wait))

    def mistake(self, session: Session, now: int) -> None:
        """Count a command that was refused as wrong: thousands of them are a flood like any other.

        Before CONNECT has succeeded they count for the address, whoever it is: tokens take long to check.
        """
        if session.user.key:
            wait = self._take(session, self.mistakes, 0, now)
            if wait:
                self._note(session, wait, now)
            return
        who = "@" + network_of(session.peer.address)
        wait = self.mistakes.take(self.mistakes.used.get(who) or self.mistakes.open(who, "", now), 0, now)
        if wait:
            self.refused += 1
            session.bye(Code.RATE, TEXT, now, wait)

    def _note(self, session: Session, wait: int, now: int) -> Conduct | None:
        """Take note of what came too early, and slow its sender down; None when they were cut off."""
        user = session.user
        conduct = user.conduct
        if conduct is None or conduct.forgiven(now):
            conduct = user.conduct = Conduct(now)
        if conduct.over(wait, now):
            self.climbed[conduct.standing] += 1
            if conduct.standing is Standing.CUT:
                session.bye(Code.RATE, SILENT_TEXT, now, LADDER[Standing.CUT].silent_ms)
                return None
        if conduct.standing >= Standing.SLOWED:
            session.link.pause(min(wait, MOST_PAUSE_MS))
        return conduct

    # who comes and goes

    def come(self, session: Session) -> None:
        """Somebody bears a name now: what they did before they left still counts."""
        if self._conducts and session.user.conduct is None:
            session.user.conduct = self._conducts.get(_name(session))

    def gone(self, session: Session, now: int) -> None:
        """The last session of a user has ended."""
        user = session.user
        conduct = user.conduct
        if conduct is not None and not conduct.forgiven(now):
            name = _name(session)
            known = self._conducts.get(name)
            if conduct.worse(known) and (known is not None or len(self._conducts) < MAX_CONDUCTS):
                self._conducts[name] = conduct
        origin = _origin(session)
        if origin:
            for limit in self._limits:
                limit.leave(user.id or user.key, origin, now)

    def tick(self, now: int) -> None:
        """Forget what counts no more, one limit at a time."""
        if now < self._tidy_at:
            return
        self._tidy_at = now + TIDY_MS
        self._turn = (self._turn + 1) % len(self._limits)
        self._limits[self._turn].forget(now)
        if self._conducts:
            kept = self._conducts.items()
            self._conducts = {name: conduct for name, conduct in kept if not conduct.forgiven(now)}


def _messages(options: RoomOptions, config: Config) -> Limit:
    """Make the limit of messages in rooms of one namespace; the longest one always passes a full bucket."""
    byte_burst = max(2 * options.rate_bytes, config.max_frame)
    return Limit(options.rate, options.burst, options.rate_bytes, byte_burst)


def _origin(session: Session) -> str:
    """Where a guest comes from; "" for who has a token: that tells better who they are.

    Where many have one address it is the name as well.
    """
    if not session.identity.guest:
        return ""
    network = network_of(session.peer.address) or "unix"
    return f"{session.user.key} {network}" if session.peer.shared else network


def _name(session: Session) -> str:
    """What a conduct is remembered by: a guest's address, for any name is as good as another."""
    origin = _origin(session)
    return f"@{origin}" if origin else session.user.id


# What each command costs, besides those that all members get: `publishing.may_speak` sees to these. LEAVE,
# BLOCK, PING and PONG have no limit here, only the pace of their connection (`pacing`).


def _direct(limiting: Limiting, session: Session, command: Direct | Signal, now: int) -> int:
    return limiting.speak(session, limiting.messages["default"], len(command.data), now)


def _state(limiting: Limiting, session: Session, command: State | Mark | Moderate, now: int) -> int:
    return limiting.tell(session, limiting.states[session.hub.config.namespace(command.room)], now)


def _refresh(limiting: Limiting, session: Session, command: Refresh, now: int) -> int:
    return limiting.renew(session, now)


def _join(limiting: Limiting, session: Session, command: Join, now: int) -> int:
    reading = command.history > 0 or command.presence or command.since is not None
    return limiting.join(session, reading, now)


def _read(limiting: Limiting, session: Session, command: Presence, now: int) -> int:
    return limiting.read(session, now)


CHARGES: Mapping[type, Charge] = {
    Join: _join,
    Direct: _direct,
    Presence: _read,
    State: _state,
    Moderate: _state,
    Signal: _direct,
    Refresh: _refresh,
    Mark: _state,
}
