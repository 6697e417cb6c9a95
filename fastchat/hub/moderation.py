"""The rules of all rooms: who may connect, join and speak, and when what was decided ends.

Invariant: `rules` has an entry for exactly the rooms in which something counts, and "" for the whole server;
a server without any pays one test for a message.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from fastchat.engine.base import Fact
from fastchat.errors import Code, ProtocolError
from fastchat.hub.facts import Facts
from fastchat.hub.formers import Formers, noted
from fastchat.hub.limits import EXPIRE_MOST, RESUME_MS, RETRY_MS
from fastchat.hub.roles import EVERYWHERE, role_in, role_of
from fastchat.hub.sanctions import KINDS, USER, Rules, Sanction, subjects
from fastchat.hub.spans import span
from fastchat.hub.users import User
from fastchat.identity.base import GUEST_ID, Identity, Role

if TYPE_CHECKING:
    from fastchat.hub.room import Room
    from fastchat.hub.session import Peer, Session

MAX_SPOKEN = 10_000  # users of one room whose last message slow mode remembers
FEW = 1000  # endings that nobody looks through for old ones
AGAIN_MS = 10_000  # ms until a store that failed is asked again to forget


class Moderation:
    """The rules of one server."""

    __slots__ = ("rules", "_facts", "_due", "_most", "_guests", "_formers")

    def __init__(self, facts: Facts) -> None:
        self.rules: dict[str, Rules] = {}
        self._facts = facts
        self._due: list[tuple[int, Fact]] = []  # a heap: when it ends, and the fact with an empty value
        self._most = FEW  # entries of it at which those that are about nothing are taken out
        self._guests: dict[str, set[str]] = {}  # identities of guests, and the rooms where they have a role
        self._formers = Formers()
        self.load()

    def load(self) -> None:
        """Take what is kept; called again where that is known only later."""
        for kind in KINDS:
            for (room, subject), value in self._facts.of(kind).items():
                self.take(Fact(kind, room, subject, value))

    def of(self, room: str) -> Rules | None:
        """Return what counts in a room, or with "" everywhere; None where nothing does."""
        return self.rules.get(room)

    def take(self, fact: Fact) -> None:
        """Let a fact that is kept count."""
        rules = self.rules.get(fact.room)
        if rules is None:
            rules = self.rules[fact.room] = Rules()
        until = rules.take(fact)
        if fact.kind == "role" and fact.subject.startswith(GUEST_ID):
            self._given(fact)
        if until:
            self._end(until, fact._replace(value=b""))
        if rules.empty:
            del self.rules[fact.room]

    def _given(self, fact: Fact) -> None:
        """Remember to which guests something was given."""
        rooms = self._guests.setdefault(fact.subject, set())
        if fact.value:
            rooms.add(fact.room)
            return
        rooms.discard(fact.room)
        if not rooms:
            del self._guests[fact.subject]

    def come(self, session: Session, now: int) -> None:
        """Somebody bears a name now: what counted for an earlier name may count on."""
        self._formers.come(session, now)

    def ended(self, session: Session, now: int) -> None:
        """Let what was given to a guest count no more once nobody can come back as that guest."""
        user = session.user
        self._formers.gone(session, now)
        for room in self._guests.get(user.id, ()):
            self._end(now + RESUME_MS, Fact("role", room, user.id, b""))

    def _end(self, until: int, fact: Fact) -> None:
        """Look at it when it ends; what is lifted and decided again and again must not gather here."""
        heappush(self._due, (until, fact))
        if len(self._due) < self._most:
            return
        last = {one: end for end, one in sorted(self._due) if self._counts(one)}
        self._due = sorted((end, one) for one, end in last.items())  # a heap as well
        self._most = max(FEW, 2 * len(self._due))

    def _counts(self, fact: Fact) -> bool:
        """Whether there is anything that could end."""
        rules = self.rules.get(fact.room)
        if rules is None:
            return False
        if fact.kind == "role":
            return fact.subject in rules.ops
        return fact.subject in (rules.bans if fact.kind == "ban" else rules.mutes)

    def expire(self, users: Iterable[User], now: int) -> None:
        """Forget what has ended; until then nothing asks for it, for it binds nobody."""
        gone: list[Fact] = []
        while self._due and self._due[0][0] <= now and len(gone) < EXPIRE_MOST:
            until, fact = heappop(self._due)
            if self._stands(fact, users, now):
                gone.append(fact)
        if not gone:
            return

        def forgotten(refusal: ProtocolError | None) -> None:
            for fact in gone:
                if refusal is None:
                    self.take(fact)
                else:
                    heappush(self._due, (now + AGAIN_MS, fact))

        kept = [fact for fact in gone if not fact.subject.startswith(GUEST_ID)]
        try:
            self._facts.put(kept, (), forgotten)
        except ProtocolError as refusal:
            forgotten(refusal)

    def _stands(self, fact: Fact, users: Iterable[User], now: int) -> bool:
        """Whether what has ended is still what counts: it may have been lifted or decided anew."""
        rules = self.rules.get(fact.room)
        if rules is None:
            return False
        if fact.kind == "role":
            return fact.subject in rules.ops and not any(one.id == fact.subject for one in users)
        sanction = (rules.bans if fact.kind == "ban" else rules.mutes).get(fact.subject)
        return sanction is not None and 0 < sanction.until <= now


def may_connect(moderation: Moderation, key: str, identity: Identity, peer: Peer, now: int) -> None:
    """Raise ProtocolError BANNED for somebody who is banned from the whole server."""
    rules = moderation.of(EVERYWHERE)
    if rules is None or not rules.bans:
        return
    op = rules.ops.get(identity.id)
    role = role_in(identity, EVERYWHERE)
    if op is not None:
        role = max(role, op.role)
    _not_banned(rules, subjects(key, identity.id, _address(peer)), role, now)


def may_enter(session: Session, name: str, room: Room | None, now: int) -> None:
    """Raise ProtocolError BANNED, FORBIDDEN or ROOM_FULL for who may not become a member of this room."""
    rules = session.hub.moderation.of(name)
    if rules is None:
        return
    role = role_of(session, name)
    _not_banned(rules, _subjects(session), role, now)
    if role >= Role.MODERATOR:
        return
    if rules.locked and session.identity.id not in rules.insiders:
        raise ProtocolError(Code.FORBIDDEN, "the room is locked")
    if rules.cap and room is not None and room.taken >= rules.cap and not session.identity.hidden:
        raise ProtocolError(Code.ROOM_FULL, "the room is full", retry_ms=RETRY_MS)


def is_banned(session: Session, name: str, now: int) -> bool:
    """Whether somebody is banned from this room."""
    rules = session.hub.moderation.of(name)
    if rules is None or not rules.bans:
        return False
    try:
        _not_banned(rules, _subjects(session), role_of(session, name), now)
    except ProtocolError:
        return True
    return False


def may_be_heard(session: Session, name: str, now: int, *, message: bool = True) -> None:
    """Raise ProtocolError MUTED, FORBIDDEN or SLOW_MODE for who may not speak in this room now.

    With `name` "" it is about speaking at all. What is no `message` (an edit, a reaction) need not be slow.
    """
    moderation = session.hub.moderation
    not_muted(session, name, now)
    rules = moderation.of(name) if name else None
    if rules is None:
        return
    if not (rules.locked or rules.slow) or role_of(session, name) >= Role.MODERATOR:
        return
    if rules.locked:
        raise ProtocolError(Code.FORBIDDEN, "the room is locked")
    last = _spoken(rules, session.user) if message else 0
    if last + rules.slow > now:
        text = f"slow mode: one message in {span(rules.slow)}"
        raise ProtocolError(Code.SLOW_MODE, text, retry_ms=last + rules.slow - now)


def not_muted(session: Session, name: str, now: int) -> None:
    """Raise ProtocolError MUTED for who is muted in this room, or everywhere."""
    moderation = session.hub.moderation
    for place in (EVERYWHERE, name) if name else (EVERYWHERE,):
        rules = moderation.of(place)
        if rules is not None and rules.mutes:
            _not_muted(rules, session, place, now)


def spoke(session: Session, name: str, now: int) -> None:
    """Remember when somebody's message came, where slow mode wants to know."""
    rules = session.hub.moderation.of(name)
    if rules is None or not rules.slow:
        return
    noted(session.user)
    spoken = rules.spoken
    spoken.pop(session.user.key, None)
    spoken[session.user.key] = now  # so the longest silent is the first
    while len(spoken) > 1:
        key = next(iter(spoken))
        if spoken[key] + rules.slow > now and len(spoken) <= MAX_SPOKEN:
            return
        del spoken[key]


def _spoken(rules: Rules, user: User) -> int:
    """When the user's last message came, under whatever name; 0: none did."""
    spoken = rules.spoken
    return max(spoken.get(key, 0) for key in (user.key, *(user.formers or ())))


def _subjects(session: Session) -> list[str]:
    return subjects(session.user.key, session.identity.id, _address(session.peer))


def _address(peer: Peer) -> str:
    """Where somebody comes from, "" where no ban of an address counts."""
    return "" if peer.reserved else peer.address


def _not_banned(rules: Rules, under: list[str], role: Role, now: int) -> None:
    for subject in under:
        ban = rules.bans.get(subject)
        if ban is not None and ban.binds(role, now):
            raise ProtocolError(Code.BANNED, _said("banned", ban, now))


def _not_muted(rules: Rules, session: Session, name: str, now: int) -> None:
    under = subjects(session.user.key, session.identity.id)
    for subject in (*under, *(USER + key for key in session.user.formers or ())):
        mute = rules.mutes.get(subject)
        if mute is not None and mute.binds(role_of(session, name), now):
            noted(session.user)
            raise ProtocolError(Code.MUTED, _said("muted", mute, now))


def _said(what: str, sanction: Sanction, now: int) -> str:
    """Say for how long and why."""
    time = f" for {span(sanction.until - now)}" if sanction.until else ""
    return f"{what}{time}" + (f": {sanction.reason}" if sanction.reason else "")
