"""REFRESH: another token before the one in use expires; what it allows counts at once.

Invariant: who a session is does not change; rooms that the new token does not open are left.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fastchat.errors import Code, ProtocolError
from fastchat.hub.joining import depart, stop_waiting
from fastchat.hub.proving import allowed, verify
from fastchat.hub.roles import without_roles
from fastchat.protocol.codec import notice, result
from fastchat.protocol.messages import Refresh

if TYPE_CHECKING:
    from fastchat.hub.room import Room
    from fastchat.hub.session import Session

REASON = "your new token does not open this room"


def refresh(session: Session, command: Refresh, now: int) -> None:
    """Answer REFRESH (PROTOCOL, "Commands")."""
    hub, mine = session.hub, session.identity
    identity = verify(session, command.token, now)
    if identity.id != mine.id:
        raise ProtocolError(Code.TOKEN_INVALID, "the token is somebody else's", field="token")
    if identity.once != mine.once:
        hub.once.use(identity)
    hub.expiry.remove(session)
    session.identity = replace(identity, hidden=mine.hidden)  # others were told, or not told, of the member
    if session.identity != mine:
        session.grants = without_roles(session.grants)
    hub.expiry.add(session)
    for room in list(session.rooms.values()):
        if not allowed(session, room.name):
            _expel(session, room, now)
    for name in list(session.entering or ()):
        if not allowed(session, name):
            stop_waiting(session, name)
    if command.id:
        session.outbox.put(result(command.id, {"expires": identity.expires}))


def _expel(session: Session, room: Room, now: int) -> None:
    session.outbox.put(notice(room.packed, "kick", session.user.packed, reason=REASON))
    depart(session, room, now)
