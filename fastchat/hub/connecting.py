"""CONNECT: which version is spoken, who it is, and back into the rooms it names, all in one round trip.

Invariant: a refused CONNECT changes nothing, the connection can try again; a name is borne by one guest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from fastchat.engine.base import UNREAD, Page
from fastchat.engine.pages import weight
from fastchat.errors import Code, ProtocolError
from fastchat.hub.joining import abandon, admit, body, enter, query, unread
from fastchat.hub.limiting import TEXT as RATE_TEXT
from fastchat.hub.limits import MAX_RESULT, RECOVERY, RESULT_ROOM, RETRY_MS
from fastchat.hub.moderation import may_connect
from fastchat.hub.proving import prove, same, token_name
from fastchat.hub.reading import Reading, has_read, read, reserve
from fastchat.hub.refusing import TEXT
from fastchat.hub.roles import Grant, without_roles
from fastchat.hub.users import NO_BLOCKS, User
from fastchat.identity.base import GUEST, GUEST_ID, Identity
from fastchat.identity.names import looks
from fastchat.protocol.codec import OPS, connect_result, pack
from fastchat.protocol.messages import VERSION, Connect
from fastchat.protocol.names import fold, room_name, user_name
from fastchat.protocol.session import Phase

if TYPE_CHECKING:
    from fastchat.hub.session import Session

FEATURES = sorted(op.name.lower() for op in OPS.values())  # what this server does: the rest gets ERROR 301
NO_RATE = {"rate": 0, "burst": 0}  # where there are no limits
GUEST_BITS = 64  # of a guest's id: no two alike


class _Claim(NamedTuple):
    """Who a CONNECT wants to be."""

    name: str
    old: Session | None  # the living session from which the name is taken over
    blocks: frozenset[str]
    identity: Identity  # that was shown now
    before: Identity | None = None  # of the session whose secret counted
    grants: Mapping[str, Grant] | None = None
    shown: str | None = None  # the secret that counted


class _Entry(NamedTuple):
    """A CONNECT on its way through the engine."""

    command: Connect
    secret: str
    rooms: tuple[str, ...]  # those the engine is asked about, in its order
    refused: dict[str, bytes]

    @property
    def id(self) -> int:
        """The command's, for an ERROR."""
        return self.command.id


def connect(session: Session, command: Connect, now: int) -> None:
    """Answer CONNECT (PROTOCOL, "Commands")."""
    hub = session.hub
    if command.version < 1:
        text = f"this server speaks version {VERSION}"
        session.error(command.id, ProtocolError(Code.VERSION_NOT_SUPPORTED, text))
        session.bye(Code.VERSION_NOT_SUPPORTED, text, now)
        return
    if hub.draining:
        session.bye(Code.DRAINING, "the server is going down", now)
        return
    if hub.admission.full and not session.peer.reserved and not _returns(session, command):
        retry_ms = hub.admission.connect()
        session.error(command.id, ProtocolError(Code.OVERLOADED, TEXT, retry_ms=retry_ms))
        session.bye(Code.OVERLOADED, TEXT, now, retry_ms)
        return
    claim = _claim(session, command, now)
    bearer = _bearer(session, claim)
    if hub.moderation.rules:
        try:
            may_connect(hub.moderation, fold(claim.name), bearer, session.peer, now)
        except ProtocolError as refusal:
            session.error(command.id, refusal)
            session.bye(refusal.code, refusal.text, now)
            return
    _settle(session, claim)
    if claim.old is not None:
        hub.resumes.revoke(claim.old)
        claim.old.bye(Code.REPLACED, "your name was taken over with your secret", now)
    elif claim.shown is not None:
        hub.resumes.forget(claim.shown)
    _displace(session, claim.name, bearer, now)
    session.identity, session.grants = bearer, claim.grants
    if claim.before is not None and bearer != claim.before:
        session.grants = without_roles(claim.grants)
    user = hub.users.seat(session, claim.name)
    if hub.limiting is not None:
        hub.limiting.come(session)
    hub.moderation.come(session, now)
    hub.expiry.add(session)
    hub.blocks.add(user, claim.blocks)
    secret = hub.resumes.issue(session, claim.shown)
    session.become(Phase.CONNECTING)
    _resume_rooms(session, command, secret, now)


def _returns(session: Session, command: Connect) -> bool:
    """Whether it takes over from a session that is there already: that brings no load."""
    return command.resume is not None and session.hub.resumes.living(command.resume, session) is not None


def _claim(session: Session, command: Connect, now: int) -> _Claim:
    """Find out who the CONNECT is of; raises ProtocolError, and nothing has changed."""
    hub = session.hub
    wanted = None if command.name is None else _checked(command.name)
    identity = prove(session, command.token, now)  # dear: after what is cheap
    key = None if wanted is None else fold(wanted)
    if not identity.guest:
        named = token_name(identity)
        if key not in (None, fold(named)):
            raise ProtocolError(Code.NAME_TAKEN, "your token has another name", field="name")
        wanted, key = named, fold(named)
    claim = _Claim(wanted or "", None, NO_BLOCKS, identity)
    if command.resume is not None:
        old = hub.resumes.living(command.resume, session)
        if old is not None and key in (None, old.user.key) and same(old.identity, identity):
            name = wanted or old.user.name
            _check_free(session, name, identity, old.user)
            return _Claim(name, old, old.user.blocks, identity, old.identity, old.grants, command.resume)
        ended = hub.resumes.ended(command.resume, now)
        if ended is not None and key in (None, fold(ended.name)) and same(ended.identity, identity):
            if wanted is None and _is_free(session, ended.name, identity):
                wanted = ended.name
            claim = _Claim(
                wanted or "", None, ended.blocks, identity, ended.identity, ended.grants, command.resume
            )
    if wanted is None:
        return claim._replace(name=hub.users.guest(hub.random))
    _check_free(session, wanted, identity, None)
    return claim


def _check_free(session: Session, name: str, identity: Identity, old: User | None) -> None:
    """Raise ProtocolError NAME_TAKEN where others bear the name or one like it; `old` is about to go."""
    users = session.hub.users
    user = users.get(fold(name))
    mine = user is not None and (user is old or (not identity.guest and user.id == identity.id))
    if user is not None and not mine and not _gives_way(user, identity):
        raise ProtocolError(Code.NAME_TAKEN, "somebody here has this name", field="name")
    if any(one is not user and not _gives_way(one, identity) for one in users.alike(name)):
        raise ProtocolError(Code.NAME_TAKEN, "somebody here has a name that looks like it", field="name")
    if not looks(name):
        raise ProtocolError(Code.NAME_TAKEN, "nothing of this name is to be seen", field="name")


def _is_free(session: Session, name: str, identity: Identity) -> bool:
    """Whether nobody here has the name or one like it, nor owns it."""
    return not session.hub.users.alike(name) and not session.hub.owners.taken(name, identity)


def _gives_way(user: User, identity: Identity) -> bool:
    """Whether this user must leave the name to who comes: else a guest could lock them out."""
    return not identity.guest and user.id.startswith(GUEST_ID)


def _displace(session: Session, name: str, identity: Identity, now: int) -> None:
    """End the sessions of guests who bear the name of somebody with a token, or one like it."""
    users = session.hub.users
    bearers = dict.fromkeys((*users.alike(name), users.get(fold(name))))
    for user in [one for one in bearers if one is not None and _gives_way(one, identity)]:
        for one in user.sessions:
            one.bye(Code.REPLACED, "your name belongs to somebody with a token", now)


def _settle(session: Session, claim: _Claim) -> None:
    """Take what the claim needs: its name, and its token where that counts once; raises ProtocolError."""
    hub, identity = session.hub, claim.identity
    if hub.owners.taken(claim.name, identity):
        raise ProtocolError(Code.NAME_TAKEN, "this name, or one like it, is somebody else's", field="name")
    if identity.guest:
        return
    again = claim.before is not None and claim.before.once == identity.once
    if not again:
        hub.once.check(identity)
    hub.owners.claim(identity, claim.name)
    if not again:
        hub.once.use(identity)


def _bearer(session: Session, claim: _Claim) -> Identity:
    """Return who the session is from now on; a guest who comes back is who they were."""
    if not claim.identity.guest:
        return claim.identity
    if claim.before is not None:
        return claim.before
    return replace(GUEST, id=f"{GUEST_ID}{session.hub.random.getrandbits(GUEST_BITS):016x}")


def _checked(name: str) -> str:
    try:
        return user_name(name, "name")
    except ProtocolError as error:  # PROTOCOL, "Codes": 307 is "taken or not allowed"
        raise ProtocolError(Code.NAME_TAKEN, error.text, field="name") from None


def _resume_rooms(session: Session, command: Connect, secret: str, now: int) -> None:
    admitted: list[str] = []
    refused: dict[str, bytes] = {}
    for name in command.rooms:
        try:
            wanted = room_name(name)
            _within_limits(session, command.rooms[name] is not None, now)
            admit(session, wanted)
        except ProtocolError as refusal:
            refused[name] = _error(refusal)
            continue
        admitted.append(name)
    entry = _Entry(command, secret, tuple(admitted), refused)
    if not admitted:
        _answer(session, entry, (), now)
        return
    reserve(session, _reserved(entry), now)
    queries = [query(session, name, command.rooms[name], 0) for name in admitted]
    read(Reading(session, entry, _answer, _give_up), queries, now)


def _reserved(entry: _Entry) -> int:
    """Tell how many bytes count until it is known how much was missed."""
    rooms = entry.command.rooms
    return min(RECOVERY * sum(rooms[name] is not None for name in entry.rooms), MAX_RESULT)


def _within_limits(session: Session, reading: bool, now: int) -> None:
    limiting = session.hub.limiting
    wait = limiting.join(session, reading, now) if limiting is not None else 0
    if wait:
        raise ProtocolError(Code.RATE, RATE_TEXT, retry_ms=wait)


def _error(refusal: ProtocolError) -> bytes:
    """Say what ERROR would, from its code on."""
    opts = {"retry_ms": refusal.retry_ms or RETRY_MS} if refusal.code.temporary else {}
    return pack({"error": [refusal.code, refusal.text, opts]})


def _answer(session: Session, entry: _Entry, pages: Sequence[Page], now: int) -> None:
    command, secret, names, bodies = entry
    size = MAX_RESULT - RESULT_ROOM - sum(map(len, bodies.values()))
    for place, (name, page) in enumerate(zip(names, pages, strict=True)):
        try:
            if page is UNREAD:
                raise unread(session, name, now)
            room = enter(session, name, None, now)
        except ProtocolError as refusal:
            bodies[name] = _error(refusal)
            size -= len(bodies[name]) + len(name)
            continue
        room.stand(page)
        spare = RESULT_ROOM * (len(names) - place)  # each of the others needs as much to say `more`
        bodies[name] = body(session, room, page, False, now, max(size - spare, 2 * RESULT_ROOM))
        size -= len(bodies[name]) + len(name)
    has_read(session, sum(map(weight, pages)), now, _reserved(entry))
    if session.closing:
        return
    if command.id:
        session.outbox.put(connect_result(command.id, _about(session, command, secret, now), bodies))
    session.live(now)


def _give_up(session: Session, entry: _Entry, refusal: ProtocolError, now: int) -> None:
    """The engine does not answer: connected, but in no room."""
    for name in entry.rooms:
        abandon(session, name, now)
        entry.refused[name] = _error(refusal)
    has_read(session, 0, now, _reserved(entry))
    _answer(session, entry._replace(rooms=()), (), now)


def _about(session: Session, command: Connect, secret: str, now: int) -> dict[str, object]:
    hub, expires = session.hub, session.identity.expires
    return ({"expires": expires} if expires else {}) | {
        "version": min(command.version, VERSION),
        "user": session.user.name,
        "session": secret,
        "node": hub.node,
        "time": now,
        "ping_ms": hub.config.ping_ms,
        "limits": {
            "max_frame": hub.config.max_frame,
            "rooms": hub.config.max_rooms,
            **(NO_RATE if hub.limiting is None else hub.limiting.about(session)),
        },
        "features": FEATURES,
    }
