"""PUBLISH: order and keep it, then let the room have it, encoded once.

Invariant: whoever does not get a stored message that others get is told by GAP, and a message that got an
offset is broadcast even when its publisher is gone by then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fastchat.broadcast import Outbox
from fastchat.engine.base import Stored
from fastchat.errors import Code, ProtocolError
from fastchat.hub.limits import BUSY_RETRY_MS
from fastchat.hub.room import Room
from fastchat.protocol.codec import EMPTY, gap, message, pack, publish_result
from fastchat.protocol.messages import Publish

if TYPE_CHECKING:
    from fastchat.hub.session import Session

_new = tuple.__new__  # a NamedTuple's own __new__ takes twice as long


class Pending(NamedTuple):
    """A PUBLISH that waits for the engine; the ticket of `Engine.append`."""

    session: Session
    command: Publish


def publish(session: Session, command: Publish, now: int) -> None:
    """Answer PUBLISH (PROTOCOL, "Commands")."""
    hub = session.hub
    admission = hub.admission
    _, name, data, key, _, ephemeral, ttl_ms = command
    room = session.rooms.get(name)
    if room is None:
        room = entering(session, name)
    admission.publishes += 1  # what goes to no room of its publisher is no load, and takes nobody's place
    if admission.closed and not session.peer.reserved:
        retry_ms = admission.publish(now)
        if retry_ms:
            session.outbox.put(hub.refusal.encode(command.id, retry_ms))
            return
    size = len(data) + room.overhead
    waiting = room.storing_bytes  # must find room in the batch as well, once it is stored
    if room.members.full(size + waiting) or (waiting and waiting + size > hub.config.batch_bytes):
        raise ProtocolError(Code.OVERLOADED, "the room has more than can be sent", retry_ms=BUSY_RETRY_MS)
    user = session.user
    stored = hub.engine.append(
        name,
        user.name,
        user.id,
        data,
        EMPTY if key is None and not ephemeral else _opts(command),
        None if key is None else (user.key, key),
        now + ttl_ms if ttl_ms else 0,
        not ephemeral,
        now,
        _new(Pending, (session, command)),
    )
    if stored is not None:
        deliver(session, command, room, stored)
        return
    room.busy += 1
    room.storing_bytes += size


def entering(session: Session, name: str) -> Room:
    """Return a room whose JOIN the engine has not answered: its order is behind that JOIN already."""
    room = session.entering.get(name) if session.entering else None
    if room is None:
        raise ProtocolError(Code.NOT_A_MEMBER, "not a member of this room")
    return room


def _opts(command: Publish) -> bytes:
    opts: dict[str, object] = {}
    if command.ephemeral:
        opts["ephemeral"] = True
    if command.key is not None:
        opts["key"] = command.key
    return pack(opts)


def deliver(session: Session, command: Publish, room: Room, stored: Stored) -> None:
    """Broadcast what got its place, and acknowledge it."""
    id, _, data, key, echo, ephemeral, ttl_ms = command
    offset, ts, duplicate = stored
    if not duplicate:
        hub = session.hub
        user = session.user
        opts = EMPTY if key is None and not ephemeral else _opts(command)
        payload = message(room.packed, offset, ts, user.packed, data, opts)
        if echo and not ttl_ms and not hub.blocks.by:
            taken = room.members.put(payload, offset)
        else:
            hidden = _hidden(session, room, echo)
            expires = hub.clock() + ttl_ms / 1000 if ttl_ms else 0.0
            taken = room.members.put(payload, offset, skip=hidden, expires=expires)
            if offset and hidden:
                _announce(session, command, room, offset, hidden)
        if not taken and offset:  # `full` was wrong by a little: stored it is, so nobody may miss it silently
            room.members.put(gap(room.packed, offset, offset, "slow"), keep=True)
    if id:
        session.outbox.put(publish_result(id, offset, ts, duplicate))


def _hidden(session: Session, room: Room, echo: bool) -> list[Outbox]:
    """List the outboxes that do not get what this session publishes."""
    hub = session.hub
    hidden = [] if echo else [session.outbox]
    blockers = hub.blocks.by.get(session.user.key)
    if blockers:
        for key in room.presence.members.keys() & blockers:  # the smaller of the two is walked
            for one in room.presence.members[key].user.sessions:
                if room.name in one.rooms:
                    hidden.append(one.outbox)
    return hidden


def _announce(session: Session, command: Publish, room: Room, offset: int, hidden: list[Outbox]) -> None:
    """Say GAP to who does not get it; to the publisher the result says the offset."""
    payload = gap(room.packed, offset, offset, "hidden")
    for outbox in hidden:
        if outbox is session.outbox and (command.id or room.name not in session.rooms):
            continue
        outbox.put(payload)


def stored(ticket: Pending, place: Stored) -> None:
    """Go on with a PUBLISH that the engine has answered."""
    session, command = ticket
    room = _settle(ticket)
    try:
        deliver(session, command, room, place)
    finally:
        session.hub.drop(room, session.hub.now)


def failed(ticket: Pending, refusal: ProtocolError) -> None:
    """Tell the publisher that nothing was stored."""
    session, command = ticket
    room = _settle(ticket)
    if not session.closing:
        session.error(command.id, refusal)
    session.hub.drop(room, session.hub.now)


def _settle(ticket: Pending) -> Room:
    session, command = ticket
    room = session.hub.rooms[command.room]  # it stays while something of it is under way
    room.busy -= 1
    room.storing_bytes -= len(command.data) + room.overhead
    return room
