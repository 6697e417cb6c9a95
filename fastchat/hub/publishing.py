"""PUBLISH: order and keep it, then let the room have it, encoded once; changes go the same way.

Invariant: whoever does not get a stored message that others get is told by GAP, and a message that got an
offset is broadcast even when its publisher is gone by then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from fastchat.broadcast import Outbox
from fastchat.engine.base import Stored
from fastchat.errors import Code, ProtocolError
from fastchat.hub.flagging import flagging
from fastchat.hub.limits import BUSY_RETRY_MS
from fastchat.hub.moderation import may_be_heard, spoke
from fastchat.hub.near import put_near
from fastchat.hub.room import Room
from fastchat.protocol.codec import EMPTY, gap, message, pack, publish_result
from fastchat.protocol.messages import Delete, Edit, Publish, React

if TYPE_CHECKING:
    from fastchat.hub.session import Session

Spoken: TypeAlias = Publish | Edit | Delete | React  # what all members of a room get
_new = tuple.__new__  # a NamedTuple's own __new__ takes twice as long


class Pending(NamedTuple):
    """A PUBLISH or a change that waits for the engine; the ticket of `Engine.append` and `Engine.change`."""

    session: Session
    command: Any  # a `Spoken`, as `deliver` wants it
    body: bytes  # opts of the message, or the value of the change
    size: int  # bytes that will have to find room in the batch
    deliver: Callable[[Pending, Room, Stored], None]
    expires: float = 0.0  # on the broadcaster's clock, 0: never; however late the engine answers


def publish(session: Session, command: Publish, now: int) -> None:
    """Answer PUBLISH (PROTOCOL, "Commands")."""
    room = may_speak(session, command, len(command.data), now)
    if room is None:
        return
    if room.screen is not None:
        room.screen.take(session, command, room, _store, now)
        return
    _store(session, command, room, now)


def may_speak(session: Session, command: Spoken, size: int, now: int) -> Room | None:
    """Check who wants all members of a room to get something of so many bytes.

    Returns the room, None if refused already.

    Raises ProtocolError for all other refusals.
    """
    room = session.rooms.get(command.room)
    if room is None:
        room = entering(session, command.room)
    hub = session.hub
    admission = hub.admission
    admission.publishes += 1  # what goes to no room of its publisher is no load, and takes nobody's place
    if admission.closed and not session.peer.reserved:
        retry_ms = admission.publish(now)
        if retry_ms:
            session.outbox.put(hub.refusal.encode(command.id, retry_ms))
            return None
    limit = room.limit
    if limit is not None:
        limiting = hub.limiting
        assert limiting is not None
        wait = limiting.speak(session, limit, size, now)
        if wait:
            limiting.over(session, command.id, wait, now)
            return None
    if hub.moderation.rules and type(command) is not Delete:  # who deletes says nothing
        may_be_heard(session, command.room, now, message=type(command) is Publish)
    return room


def _store(session: Session, command: Publish, room: Room, now: int, flag: str = "") -> None:
    _, name, data, key, _, ephemeral, ttl_ms, reply_to, mentions = command
    plain = key is None and not ephemeral and not reply_to and not mentions
    opts = EMPTY if plain else _opts(command)
    hub, user = session.hub, session.user
    size = len(data) + len(opts) + room.overhead
    if room.storing_bytes or room.members.full(size):
        check_full(session, room, size)
    expires = hub.clock() + ttl_ms / 1000 if ttl_ms else 0.0
    act = deliver if not flag else flagging(deliver, flag)
    ticket = _new(Pending, (session, command, opts, size, act, expires))
    stored = hub.engine.append(
        name,
        user.name,
        user.id,
        data,
        opts,
        None if key is None else (user.owner, key),
        now + ttl_ms if ttl_ms else 0,
        not (ephemeral or room.near),
        now,
        ticket,
    )
    if hub.moderation.rules:
        spoke(session, name, now)
    if stored is not None:
        act(ticket, room, stored)
    else:
        wait(ticket, room)


def check_full(session: Session, room: Room, size: int) -> None:
    """Raise ProtocolError OVERLOADED if the batch has no room for a push of `size` bytes."""
    waiting = room.storing_bytes  # must find room in the batch as well, once it is stored
    if room.members.full(size + waiting) or (waiting and waiting + size > session.hub.config.batch_bytes):
        raise ProtocolError(Code.OVERLOADED, "the room has more than can be sent", retry_ms=BUSY_RETRY_MS)


def wait(ticket: Pending, room: Room) -> None:
    """Count what the engine has not answered yet."""
    room.busy += 1
    room.storing_bytes += ticket.size


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
    if command.reply_to:
        opts["reply_to"] = command.reply_to
    if command.mentions:
        opts["mentions"] = command.mentions
    return pack(opts)


def deliver(ticket: Pending, room: Room, stored: Stored) -> None:
    """Broadcast what got its place, and acknowledge it."""
    session, command, opts, _, _, expires = ticket
    id, _, data, _, echo, _, _, _, _ = command
    offset, ts, duplicate = stored
    if not duplicate:
        payload = message(room.packed, offset, ts, session.user.packed, data, opts)
        spread(session, command, room, payload, offset, echo, expires)
    if id:
        session.outbox.put(publish_result(id, offset, ts, duplicate))


def spread(
    session: Session,
    command: Spoken,
    room: Room,
    payload: bytes,
    offset: int,
    echo: bool = True,
    expires: float = 0.0,
) -> None:
    """Put a push on every member but those who do not want to hear this user, and tell them of the gap."""
    hub = session.hub
    if offset:
        room.newest = offset
    if room.near and not offset:
        taken = put_near(room.members, session.outbox, payload, _hidden(session, room, echo), expires)
    elif echo and not expires and (not hub.blocks.by or type(command) is Delete):  # who deletes says nothing
        taken = room.members.put(payload, offset)
    else:
        hidden = _hidden(session, room, echo)
        taken = room.members.put(payload, offset, skip=hidden, expires=expires)
        if offset and hidden:
            _announce(session, command, room, offset, hidden)
    if not taken and offset:  # `full` was wrong by a little: stored it is, so nobody may miss it silently
        room.members.put(gap(room.packed, offset, offset, "slow"), keep=True)


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
        hidden += [one.outbox for one in room.hidden or () if one.user.key in blockers]
    return hidden


def _announce(session: Session, command: Spoken, room: Room, offset: int, hidden: list[Outbox]) -> None:
    """Say GAP to who does not get it; to the publisher the result says the offset."""
    payload = gap(room.packed, offset, offset, "hidden")
    for outbox in hidden:
        if outbox is session.outbox and (command.id or room.name not in session.rooms):
            continue
        outbox.put(payload)


def stored(ticket: Pending, place: Stored) -> None:
    """Go on with what the engine has stored."""
    room = _settle(ticket)
    try:
        ticket.deliver(ticket, room, place)
    finally:
        ticket.session.hub.drop(room, ticket.session.hub.now)


def failed(ticket: Pending, refusal: ProtocolError) -> None:
    """Tell who said it that nothing was stored."""
    session = ticket.session
    room = _settle(ticket)
    if not session.closing:
        session.error(ticket.command.id, refusal)
    session.hub.drop(room, session.hub.now)


def _settle(ticket: Pending) -> Room:
    room = ticket.session.hub.rooms[ticket.command.room]  # it stays while something of it is under way
    room.busy -= 1
    room.storing_bytes -= ticket.size
    return room
