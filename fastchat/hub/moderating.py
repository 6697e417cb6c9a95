"""MODERATE: who may do what to whom in a room, kept before it is answered, and told to the members.

Invariant: nobody acts on somebody of their own role or a higher one; what was answered survives a restart;
and every act, done or refused, has its line in the audit log, but for a kick while the store is away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastchat.engine.base import Record
from fastchat.errors import Code, ProtocolError
from fastchat.hub.acts import ACTS, Act, Deed
from fastchat.hub.reading import INTERNAL
from fastchat.hub.roles import EVERYWHERE, role_of, role_of_key
from fastchat.hub.users import User
from fastchat.identity.base import GUEST_ID
from fastchat.protocol.codec import EMPTY, notice, pack, result_raw
from fastchat.protocol.messages import Moderate
from fastchat.protocol.names import fold, user_name

if TYPE_CHECKING:
    from fastchat.hub.session import Session

MAX_REASON = 200  # characters: one line on a screen


def moderate(session: Session, command: Moderate, now: int) -> None:
    """Answer MODERATE (PROTOCOL, "Moderation")."""
    act = ACTS.get(command.action)
    if act is None:
        raise ProtocolError(Code.BAD_ARGUMENT, f"action must be one of {', '.join(ACTS)}", field="action")
    if command.room and command.room not in session.rooms:
        raise ProtocolError(Code.NOT_A_MEMBER, "not a member of this room")
    if command.room == EVERYWHERE and not act.everywhere:
        raise ProtocolError(Code.BAD_ARGUMENT, f"{command.action} needs a room", field="room")
    if command.reason is not None and len(command.reason) > MAX_REASON:
        text = f"reason must be at most {MAX_REASON} characters"
        raise ProtocolError(Code.BAD_ARGUMENT, text, field="reason")
    deed = _deed(session, command, act, now)
    try:
        _check(deed, act)
        deed.facts = act.plan(deed)
    except ProtocolError as refusal:
        if refusal.code is Code.FORBIDDEN:
            session.hub.refusals.note(_record(deed, refused=True))
        raise
    kept = [fact for fact in deed.facts if not (fact.kind == "role" and fact.subject.startswith(GUEST_ID))]

    if not kept:  # a kick need not wait for the store, nor for one that is away
        _finish(deed, act, None)
        session.hub.refusals.write(_record(deed))
        return

    def then(refusal: ProtocolError | None) -> None:
        _finish(deed, act, refusal)

    session.hub.facts.put(kept, (_record(deed),), then)


def _deed(session: Session, command: Moderate, act: Act, now: int) -> Deed:
    hub = session.hub
    hub.now = now  # else a JOIN in the same tick would find a ban to begin in the future
    name = key = ""
    if act.about_user:
        here = hub.users.get(command.user)
        name = user_name(command.user) if here is None else here.name
        key = fold(name)
        here = hub.users.get(key)
        name = name if here is None else here.name
    return Deed(hub, session, command, role_of(session, command.room), name, key, now)


def _check(deed: Deed, act: Act) -> None:
    """Raise ProtocolError FORBIDDEN where the role does not reach."""
    themselves = act.about_user and deed.key == deed.session.user.key
    if themselves and act.themselves:
        return
    if deed.role < act.right:
        text = f"{deed.command.action} needs the role {act.right.name.lower()}"
        raise ProtocolError(Code.FORBIDDEN, text)
    if act.about_user and role_of_key(deed.hub, deed.key, deed.room) >= deed.role:
        raise ProtocolError(Code.FORBIDDEN, "their role is not below yours", field="user")


def _record(deed: Deed, refused: bool = False) -> Record:
    """Make the line of the audit log; what it says is bounded, for names and the reason are."""
    command = deed.command
    detail = {
        "id": deed.session.identity.id,
        "seconds": command.seconds,
        "members": command.members,
        "address": command.address,
        "reason": command.reason,
        "refused": refused,
    }
    said = pack({name: value for name, value in detail.items() if value})
    return Record(deed.now, command.room, deed.session.user.name, command.action, deed.user, said)


def _finish(deed: Deed, act: Act, refusal: ProtocolError | None) -> None:
    """Carry out what is kept, and answer."""
    session, command = deed.session, deed.command
    if refusal is None:
        try:
            for fact in deed.facts:
                deed.hub.moderation.take(fact)
            _tell(deed)
            act.carry(deed)
        except Exception as fault:
            deed.hub.report(f"MODERATE {command.action}", fault)
            refusal = INTERNAL
    if session.closing:
        return
    if refusal is not None:
        session.error(command.id, refusal)
    elif command.id:
        session.outbox.put(result_raw(command.id, EMPTY))


def _tell(deed: Deed) -> None:
    """Push NOTICE to the members of the room; of the whole server to those whom it is about."""
    command = deed.command
    payload = notice(
        pack(command.room),
        command.action,
        pack(deed.user),
        seconds=command.seconds or (0 if command.action == "slow" else None),
        reason=command.reason,
        by=deed.session.user.name,
        members=command.members if command.action == "cap" else None,
    )
    if command.room:
        room = deed.hub.rooms.get(command.room)
        if room is not None:
            room.members.put(payload, keep=True)
        return
    if deed.target is not None:
        tell(deed.target, payload)


def tell(user: User, payload: bytes) -> None:
    """Put a push on every session of a user that has its result of CONNECT."""
    for one in user.sessions:
        if one.connected:
            one.outbox.put(payload)

