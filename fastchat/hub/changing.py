"""EDIT, DELETE and REACT: what becomes of a message after it was published.

Invariant: a change takes an offset in the room's order like a message, and every member gets it, or a GAP.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from fastchat.engine import changes
from fastchat.engine.base import Record, Stored
from fastchat.errors import ProtocolError
from fastchat.hub.flagging import flagging
from fastchat.hub.publishing import Pending, check_full, may_speak, spread, wait
from fastchat.hub.roles import role_of
from fastchat.hub.room import Room
from fastchat.identity.base import Role
from fastchat.protocol.codec import NIL, change, pack, publish_result
from fastchat.protocol.messages import Delete, Edit, React
from fastchat.protocol.names import emoji_name

if TYPE_CHECKING:
    from fastchat.hub.session import Session

KINDS = {Edit: changes.EDIT, Delete: changes.DELETE, React: changes.REACT}


def edit(session: Session, command: Edit, now: int) -> None:
    """Answer EDIT (PROTOCOL, "Commands"); the engine knows whose message it is."""
    room = may_speak(session, command, len(command.data), now)
    if room is None:
        return
    if room.screen is not None:
        room.screen.take(session, command, room, _edit, now)
        return
    _edit(session, command, room, now)


def _edit(session: Session, command: Edit, room: Room, now: int, flag: str = "") -> None:
    _store(session, command, room, command.data, now, flag=flag)


def delete(session: Session, command: Delete, now: int) -> None:
    """Answer DELETE (PROTOCOL, "Commands"); a moderator may delete what others wrote."""
    room = may_speak(session, command, 0, now)
    if room is not None:
        _store(session, command, room, NIL, now, role_of(session, room.name) >= Role.MODERATOR)


def react(session: Session, command: React, now: int) -> None:
    """Answer REACT (PROTOCOL, "Commands")."""
    room = may_speak(session, command, 0, now)
    if room is None:
        return
    emoji = emoji_name(command.emoji)
    if room.screen is not None and command.on:
        room.screen.let_pass((emoji,), "emoji")
    _store(session, command, room, pack([emoji, command.on]), now)


def _store(
    session: Session,
    command: Edit | Delete | React,
    room: Room,
    value: bytes,
    now: int,
    privileged: bool = False,
    flag: str = "",
) -> None:
    user = session.user
    size = len(value) + room.overhead
    check_full(session, room, size)
    deliver = _deliver_noted if privileged else flagging(_deliver, flag)
    ticket = Pending(session, command, value, size, deliver)
    kind = KINDS[type(command)]
    stored = session.hub.engine.change(
        room.name, user.name, user.id, kind, command.offset, value, privileged, now, ticket
    )
    if stored is not None:
        deliver(ticket, room, stored)
    else:
        wait(ticket, room)


def _deliver(ticket: Pending, room: Room, stored: Stored) -> None:
    """Broadcast a change that got its place, and acknowledge it."""
    session, command, value, *_ = ticket
    offset, ts, duplicate = stored
    if not duplicate:
        kind = KINDS[type(command)]
        payload = change(room.packed, offset, ts, session.user.packed, kind, command.offset, value)
        spread(session, command, room, payload, offset)
    if command.id:
        session.outbox.put(publish_result(command.id, offset, ts, duplicate))


def _deliver_noted(ticket: Pending, room: Room, stored: Stored) -> None:
    """Deliver a deletion by a moderator, and write it down: whose message it was only the engine knows."""
    session, command = ticket.session, ticket.command
    _deliver(ticket, room, stored)
    detail = pack({"id": session.identity.id, "offset": command.offset})
    record = Record(stored.ts, room.name, session.user.name, "delete", "", detail)
    with suppress(ProtocolError):  # the store is away: the room's history says so, too, with who did it
        session.hub.facts.put((), (record,))
