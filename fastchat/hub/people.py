"""From one user to another, past the rooms: DIRECT, SIGNAL, BLOCK, and one's own STATE.

Invariant: nobody is cut off for what others send them: who has too much waiting is not sent more. Nobody
learns that they are blocked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastchat.engine.keys import digest
from fastchat.errors import Code, ProtocolError
from fastchat.hub.limits import BUSY_RETRY_MS, MAX_STATE, RETRY_MS
from fastchat.hub.moderation import may_be_heard, not_muted
from fastchat.hub.near import moved
from fastchat.hub.roles import EVERYWHERE
from fastchat.hub.texts import silent, strings
from fastchat.hub.users import User
from fastchat.protocol.codec import EMPTY, direct_push, result, result_raw, signal_push
from fastchat.protocol.messages import Block, Direct, Signal, State
from fastchat.protocol.names import fold, user_name

if TYPE_CHECKING:
    from fastchat.hub.session import Session


def direct(session: Session, command: Direct, now: int) -> None:
    """Answer DIRECT (PROTOCOL, "Commands")."""
    hub, user = session.hub, session.user
    if hub.moderation.rules:
        may_be_heard(session, EVERYWHERE, now)
    to = _key(session, command.user)
    if command.key is not None:
        name = digest(to, user.owner, command.key)
        known = hub.directs.get(name)
        if known is not None:
            ts, sessions = known
            _reply(session, command.id, {"ts": ts, "sessions": sessions, "duplicate": True})
            return
        hub.directs.check(user.owner, now)
    sessions = _send(session, _online(session, to), direct_push(now, user.packed, command.data))
    if command.key is not None:
        hub.directs.put(name, user.owner, sessions, now)
    _reply(session, command.id, {"ts": now, "sessions": sessions})


def signal(session: Session, command: Signal, now: int) -> None:
    """Answer SIGNAL (PROTOCOL, "Commands")."""
    if session.hub.moderation.rules:
        may_be_heard(session, EVERYWHERE, now)
    target = _online(session, _key(session, command.user))
    sessions = _send(session, target, signal_push(session.user.packed, command.data))
    _reply(session, command.id, {"sessions": sessions})


def _key(session: Session, name: str) -> str:
    """Fold a user's name, quickly when it is that of somebody here as they are registered."""
    return name if session.hub.users.get(name) is not None else fold(user_name(name))


def _online(session: Session, key: str) -> User:
    user = session.hub.users.get(key)
    if user is None or not any(one.connected for one in user.sessions):  # nothing precedes CONNECT's result
        raise ProtocolError(Code.USER_NOT_ONLINE, "this user is not online", retry_ms=RETRY_MS)
    return user


def _send(session: Session, target: User, payload: bytes) -> int:
    """Put a push on every session of the target that has room; raises OVERLOADED if none has."""
    if session.user.key in target.blocks:
        return len(target.sessions)
    most = session.hub.config.outbox_bytes // 2 - len(payload)
    sent = 0
    for one in target.sessions:
        if one.connected and one.outbox.pending <= most:
            one.outbox.put(payload)
            sent += 1
    if not sent:
        raise ProtocolError(Code.OVERLOADED, "this user has too much waiting", retry_ms=BUSY_RETRY_MS)
    return sent


def _reply(session: Session, id: int, body: dict[str, object]) -> None:
    if id:
        session.outbox.put(result(id, body))


def block(session: Session, command: Block, now: int) -> None:
    """Answer BLOCK (PROTOCOL, "Commands"); the other need not be online."""
    key = fold(user_name(command.user))
    if key == session.user.key:
        raise ProtocolError(Code.BAD_ARGUMENT, "nobody can block themselves", field="user")
    blocks = session.hub.blocks
    change = blocks.add if command.on else blocks.remove
    change(session.user, (key,))
    _acknowledge(session, command.id)


def state(session: Session, command: State, now: int) -> None:
    """Answer STATE (PROTOCOL, "Commands")."""
    room = session.rooms.get(command.room)
    if room is None:
        raise ProtocolError(Code.NOT_A_MEMBER, "not a member of this room")
    if len(command.state) > MAX_STATE:
        raise ProtocolError(Code.TOO_LARGE, f"a state may have {MAX_STATE} bytes", field="state")
    if session.hub.moderation.rules and not silent(command.state):
        not_muted(session, room.name, now)
    if room.screen is not None and not silent(command.state):
        room.screen.let_pass(strings(command.state), "state")
    told: bytes | None = command.state
    if room.near:
        told = moved(room.members, session.outbox, command.state)
    if told is not None and room.shows(session):
        room.presence.set_state(session.user, told, session)
        session.hub.touch(room, now)
    _acknowledge(session, command.id)


def _acknowledge(session: Session, id: int) -> None:
    if id:
        session.outbox.put(result_raw(id, EMPTY))
