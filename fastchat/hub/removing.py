"""Taking somebody out of a room, or off the server, because a moderator says so.

Invariant: who is taken out gets the NOTICE that says so, and nothing of the room after it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from fastchat.errors import Code, ProtocolError
from fastchat.hub.addresses import network_of
from fastchat.hub.joining import depart, stop_waiting
from fastchat.hub.moderation import is_banned, may_connect
from fastchat.hub.roles import role_of
from fastchat.hub.sanctions import ADDRESS, IDENTITY
from fastchat.identity.base import Role
from fastchat.protocol.codec import notice

if TYPE_CHECKING:
    from fastchat.hub.hub import Hub
    from fastchat.hub.session import Session

TEXTS = {Code.KICKED: "a moderator ended this connection", Code.BANNED: "a moderator banned you"}


def expel(hub: Hub, key: str, room: str, code: Code, now: int) -> None:
    """Take all sessions of a user out of a room, or with "" off the server."""
    user = hub.users.get(key)
    if user is not None:
        for session in user.sessions:
            _expel(session, room, code, now)


def expel_others(hub: Hub, subjects: Collection[str], room: str, rank: Role, now: int) -> None:
    """Take out everybody below `rank` whose identity or address is among these subjects of a ban.

    Walks all sessions: few do that, and seldom.
    """
    found = [
        session
        for session in hub.sessions
        if session.user.sessions  # CONNECT has named it, though it may not be answered yet
        and (not room or room in session.rooms or room in (session.entering or ()))
        and _is_among(session, subjects)
        and role_of(session, room) < rank
    ]
    for session in found:
        _ban(session, room, now)


def expel_banned(hub: Hub, now: int) -> None:
    """Take out everybody who is banned; walks all sessions, once what is kept is known at last."""
    for session in list(hub.sessions):
        user = session.user
        if not user.sessions:
            continue
        try:
            may_connect(hub.moderation, user.key, session.identity, session.peer, now)
        except ProtocolError as refusal:
            session.bye(refusal.code, refusal.text, now)
            continue
        for name in (*session.rooms, *(session.entering or ())):
            if is_banned(session, name, now):
                _ban(session, name, now)


def part(hub: Hub, rooms: Collection[str], now: int) -> None:
    """End the connections of all members of rooms that are not what they were told; they come back."""
    gone = set(rooms)
    for session in list(hub.sessions):
        if not gone.isdisjoint(session.rooms):
            session.bye(Code.STORE_UNAVAILABLE, "a room was not found as it was left", now)


def _ban(session: Session, room: str, now: int) -> None:
    there = session.rooms.get(room)
    if there is not None:
        there.members.put(notice(there.packed, "ban", session.user.packed), keep=True)
    _expel(session, room, Code.BANNED, now)


def _is_among(session: Session, subjects: Collection[str]) -> bool:
    if IDENTITY + session.identity.id in subjects:
        return True
    return not session.peer.reserved and ADDRESS + network_of(session.peer.address) in subjects


def _expel(session: Session, name: str, code: Code, now: int) -> None:
    if not name:
        session.bye(code, TEXTS[code], now)
        return
    stop_waiting(session, name)
    room = session.rooms.get(name)
    if room is not None:
        depart(session, room, now)
