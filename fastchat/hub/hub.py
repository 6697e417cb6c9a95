"""The hub: every session, user and room of this server, and what passes between them.

Invariant: the hub touches no socket, clock, task or log. Whatever it knows of time it was told, and what it
calls back (`engine`, `broadcaster`, `report`) it was given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from fastchat.admission import Admission
from fastchat.broadcast import Broadcaster, Fanout, Outbox
from fastchat.config import Config
from fastchat.engine.base import Engine, Fact, Page, Stored
from fastchat.engine.keys import Keys
from fastchat.errors import Code, ProtocolError
from fastchat.hub import publishing
from fastchat.hub.blocks import Blocks
from fastchat.hub.expiry import Expiry
from fastchat.hub.facts import Facts, Keeping
from fastchat.hub.joining import depart
from fastchat.hub.limiting import Limiting
from fastchat.hub.limits import AUDIENCE, MAX_ALL_ROOMS, PUSH_BYTES, RETRY_MS
from fastchat.hub.marking import Marks
from fastchat.hub.moderation import Moderation
from fastchat.hub.once import Once
from fastchat.hub.owners import Owners
from fastchat.hub.pacing import Pacing
from fastchat.hub.reading import INTERNAL, Reading, forget
from fastchat.hub.refusals import Refusals
from fastchat.hub.refusing import Refusal
from fastchat.hub.removing import expel_banned, part
from fastchat.hub.resume import Resumes
from fastchat.hub.room import Room
from fastchat.hub.screening import Screening
from fastchat.hub.seen import LastSeen, Online, Seen, online
from fastchat.hub.session import NOBODY, Link, Peer, Session
from fastchat.hub.users import Users
from fastchat.protocol.codec import Limits, gap, presence_push
from fastchat.protocol.session import Phase

if TYPE_CHECKING:
    from random import Random

    from fastchat.identity.tokens import Verifier

DIRECT_SHARE = 8  # the part of `idempotency_bytes` that keys of DIRECT may take, besides the engine's


class Hub:
    """One server's people and rooms; implements `engine.Sink`.

    `now` is server time in ms since 1970, the same for all calls and never going back. `clock` is the clock
    the broadcaster was given, in seconds. `random` makes secrets: outside of tests it is a SystemRandom.
    `report` is told what went wrong inside: what was being done and the exception, whose text may hold what
    users wrote, so only its type and traceback are for the log.
    `admission` counts what is published and says what is too much; without it nothing is. `verifier` checks
    tokens; without it there are none. `screening` looks at what is published before it counts.
    """

    def __init__(
        self,
        config: Config,
        engine: Engine,
        broadcaster: Broadcaster,
        random: Random,
        node: str,
        *,
        clock: Callable[[], float],
        report: Callable[[str, Exception], None],
        admission: Admission | None = None,
        verifier: Verifier | None = None,
        screening: Screening | None = None,
    ) -> None:
        self.config = config
        self.engine = engine
        self.broadcaster = broadcaster
        self.random = random
        self.node = node
        self.clock = clock
        self.report = report
        self.admission = admission or Admission(False)
        self.verifier = verifier
        self.screening = screening
        self.refusal = Refusal()
        self.limiting = Limiting(config) if config.rate_limits else None
        self.pacing = Pacing(config) if config.rate_limits else None
        self.limits = Limits(config.max_depth, config.max_elements)
        self.now = 0  # as last told
        self.draining = False
        self.sessions: set[Session] = set()
        self.opened = 0  # sessions since the start
        self.users = Users()
        self.rooms: dict[str, Room] = {}
        self.blocks = Blocks()
        self.resumes = Resumes(random)
        self.expiry = Expiry()
        share = config.idempotency_bytes // DIRECT_SHARE
        self.directs = Keys(config.idempotency_seconds, share)
        self._changed: dict[Room, int] = {}  # rooms whose watchers are to be told, and when
        engine.attach(self)
        self.facts = Facts(engine)
        self.marks = Marks(self.facts)
        self.seen = Seen(self.facts, self.users)
        self.moderation = Moderation(self.facts)
        self.refusals = Refusals(self.facts)
        self.owners = Owners(self.facts)
        self.once = Once(self.facts)

    # connections

    def open(self, link: Link, outbox: Outbox, peer: Peer, now: int) -> Session:
        """Take a new connection; it ends with `Session.lost`."""
        self.now = now
        session = Session(self, link, outbox, peer)
        self.sessions.add(session)
        self.opened += 1
        if self.draining:
            session.bye(Code.DRAINING, "the server is going down", now)
        return session

    def close(self, session: Session, now: int) -> None:
        """Take a session out of everything; called by the session, once."""
        self.sessions.discard(session)
        if session.user is NOBODY:
            return
        for room in list(session.rooms.values()):
            depart(session, room, now)
        forget(session, now)
        self.resumes.end(session, now)
        self.expiry.remove(session)
        user = self.users.unseat(session)
        self.seen.left(session, now)
        if not user.sessions:
            if self.limiting is not None:
                self.limiting.gone(session, now)
            self.blocks.remove(user, user.blocks)
            if self.moderation.rules:
                self.moderation.ended(session, now)

    def drain(self, now: int, after_ms: int) -> None:
        """Say BYE 102 to everybody, now and from now on."""
        self.draining = True
        self.marks.flush(now, last=True)
        refusal = ProtocolError(Code.DRAINING, "the server is going down", retry_ms=after_ms)
        for screen in [room.screen for room in self.rooms.values() if room.screen is not None]:
            screen.give_up(refusal)
        for session in list(self.sessions):
            session.bye(Code.DRAINING, "the server is going down", now, after_ms)
        self.seen.flush(now, last=True)

    def online(self, after: str = "", limit: int = 100) -> list[Online]:
        """List who is here by their folded names, from behind the one `after`; at most MAX_LISTED."""
        return online(self.users, after, limit)

    def last_seen(self, name: str) -> LastSeen | None:
        """Tell when a user with a token was here last; raises ProtocolError for what is no name."""
        return self.seen.last(name, self.now)

    def tick(self, now: int) -> None:
        """Do what time has made due; called about ten times a second."""
        self.now = now
        for room in [room for room, due in self._changed.items() if due <= now]:
            del self._changed[room]
            self._tell(room)
        for session in self.expiry.due(now):
            session.bye(Code.TOKEN_EXPIRED, "your token has expired", now)
        self.once.expire(now)
        self.owners.tick(now)
        self.resumes.expire(now)
        self.directs.expire(now)
        self.marks.flush(now)
        self.seen.flush(now)
        self.moderation.expire(self.users, now)
        if self.limiting is not None:
            self.limiting.tick(now)
        self.engine.tick(now)

    # rooms

    def room(self, name: str) -> Room:
        """Return the room, made if it is not there; raises ProtocolError TOO_MANY_ROOMS."""
        room = self.rooms.get(name)
        if room is not None:
            return room
        if len(self.rooms) >= MAX_ALL_ROOMS:
            raise ProtocolError(Code.TOO_MANY_ROOMS, "the server has too many rooms", retry_ms=RETRY_MS)
        limit = None if self.limiting is None else self.limiting.of(name)
        room = Room(name, self.config.room(name), self.broadcaster, limit)
        room.screen = None if self.screening is None else self.screening.screen(room.options)
        self.engine.hold(name)
        self.rooms[name] = room
        return room

    def drop(self, room: Room, now: int) -> None:
        """Let go of the room if nobody needs it."""
        if not room.idle or self.rooms.get(room.name) is not room:
            return
        del self.rooms[room.name]
        self._changed.pop(room, None)
        self.engine.release(room.name, now)

    def fanout(self, room: Room) -> Fanout:
        """Make the fan-out for the watchers of a room."""
        return self.broadcaster.fanout(room.options.policy, partial(gap, room.packed), 0.0)

    def touch(self, room: Room, now: int) -> None:
        """See to it that the watchers are told in time what has changed."""
        presence = room.presence
        if not presence.watched:
            return
        if room.watchers is None or not len(room.watchers):
            presence.unwatch()
            self._changed.pop(room, None)
        elif presence.changed and room not in self._changed:
            audience = max(len(room.watchers), AUDIENCE)
            self._changed[room] = now + room.options.presence_ms * audience // AUDIENCE

    def _tell(self, room: Room) -> None:
        """Push what has changed to the watchers, in several pushes if it is long."""
        watchers = room.watchers
        if watchers is None:
            return
        counted = room.presence.counted
        joined, left = room.presence.take()
        while joined or left or counted:
            first, joined = _portion(joined)
            gone, left = _portion(left)
            counted = False
            watchers.put(presence_push(room.packed, first, gone, len(room.presence)), keep=True)

    # engine.Sink

    def stored(self, ticket: object, stored: Stored) -> None:
        assert isinstance(ticket, publishing.Pending)
        self._later(ticket.session, ticket.command, publishing.stored, ticket, stored)

    def failed(self, ticket: object, error: ProtocolError) -> None:
        if isinstance(ticket, publishing.Pending):
            self._later(ticket.session, ticket.command, publishing.failed, ticket, error)
            return
        if isinstance(ticket, Keeping):
            self._kept(self.facts.failed, ticket, error)
            return
        assert isinstance(ticket, Reading)
        session, command = ticket.session, ticket.command
        self._later(session, command, ticket.give_up, session, command, error, self.now)

    def kept(self, ticket: object) -> None:
        assert isinstance(ticket, Keeping)
        self._kept(self.facts.kept, ticket)

    def known(self, facts: Sequence[Fact]) -> None:
        self.facts.take(facts)
        self.moderation.load()
        self.owners.load()
        self.once.load()
        expel_banned(self, self.now)

    def moved(self, rooms: Sequence[str]) -> None:
        part(self, rooms, self.now)

    def _kept(self, act: Callable[..., None], *arguments: object) -> None:
        try:
            act(*arguments)
        except Exception as fault:
            self.report("what was kept", fault)

    def pages(self, ticket: object, pages: Sequence[Page]) -> None:
        assert isinstance(ticket, Reading)
        session, command = ticket.session, ticket.command
        self._later(session, command, ticket.answer, session, command, pages, self.now)

    def _later(self, session: Session, command: Any, act: Callable[..., None], *arguments: object) -> None:
        """Do what the engine has made possible; a fault of ours is answered like one at once."""
        try:
            act(*arguments)
        except Exception as fault:
            self.report(type(command).__name__, fault)
            if session.phase is not Phase.CLOSING:
                session.error(command.id, INTERNAL)


def _portion(items: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Split off what fits into one push."""
    size = 0
    for count, item in enumerate(items):
        size += len(item)
        if size > PUSH_BYTES and count:
            return items[:count], items[count:]
    return items, []
