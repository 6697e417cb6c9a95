"""JOIN and LEAVE: becoming a member at the very place in the room's order that the result tells.

Invariant: a member gets, live, exactly the messages behind the `offset` of its result; the result is put
before anything of the room.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastchat.engine.base import Page, Query
from fastchat.engine.pages import weight
from fastchat.errors import Code, ProtocolError
from fastchat.hub.limits import MAX_RESULT, READ_COST, RECOVERY, RESULT_ROOM, RETRY_MS
from fastchat.hub.moderation import may_enter
from fastchat.hub.proving import check_allowed, grant
from fastchat.hub.reading import Reading, check_room, has_read, members, messages, read, refuse, reserve
from fastchat.hub.room import Room
from fastchat.identity.base import GUEST, Identity
from fastchat.protocol.codec import EMPTY, join_body, result_raw
from fastchat.protocol.messages import Join, Leave, Position

if TYPE_CHECKING:
    from fastchat.hub.session import Session


def join(session: Session, command: Join, now: int) -> None:
    """Answer JOIN (PROTOCOL, "Commands"); who is a member already gets a fresh result and stays one."""
    check_room(session)
    if command.token is None:
        admit(session, command.room)
    else:
        _admit_with(command.token, session, command.room, now)
    reserve(session, _reserved(command), now)
    question = query(session, command.room, command.since, command.history)
    read(Reading(session, command, _answer, _give_up), (question,), now)


def _admit_with(token: str, session: Session, name: str, now: int) -> None:
    """Let the session in by a join token, which is used only if nothing else stands against it."""
    before = session.grants
    try:
        admit(session, name, grant(session, name, token, now))
    except ProtocolError:
        session.grants = before
        raise


def _reserved(command: Join) -> int:
    """Tell how many bytes count until the length of the answer is known: chat lines are short."""
    return RECOVERY if command.since is not None else min(command.history * READ_COST, MAX_RESULT)


def query(session: Session, name: str, since: Position | None, history: int) -> Query:
    """Ask for what came after `since`, or else the newest `history` messages."""
    return Query(name, min(history, session.hub.config.room(name).history), since)


def admit(session: Session, name: str, ticket: Identity = GUEST) -> Room:
    """Let the session wait for its place in a room, and take its `ticket` as used; raises ProtocolError."""
    check_allowed(session, name)
    hub = session.hub
    room = session.rooms.get(name)
    waiting = session.entering
    if room is None and (waiting is None or name not in waiting):
        if len(session.rooms) + len(waiting or ()) >= hub.config.max_rooms:
            raise ProtocolError(Code.TOO_MANY_ROOMS, "a session cannot be in more rooms", retry_ms=RETRY_MS)
        known = hub.rooms.get(name)
        if known is not None and known.crowded and not session.identity.hidden:
            raise ProtocolError(Code.ROOM_FULL, "the room is full", retry_ms=RETRY_MS)
        if hub.moderation.rules:
            may_enter(session, name, known, hub.now)
    entered = room
    if room is None:
        room = hub.room(name)
    try:
        hub.once.use(ticket)
    except ProtocolError:
        hub.drop(room, hub.now)
        raise
    if entered is None:
        if waiting is None:
            waiting = session.entering = {}
        waiting[room.name] = room
    room.entering += 1
    return room


def enter(session: Session, name: str, watch: bool | None, now: int) -> Room:
    """Take the place that `admit` let the session wait for.

    `watch` says whether it wants PRESENCE, None leaves that as it is. Raises ProtocolError where it has left,
    or may not come in any more.
    """
    room = withdraw(session, name)
    try:
        _take_place(session, room, now)
    except ProtocolError:
        session.hub.drop(room, now)
        raise
    if watch is not None:
        _watch(session, room, watch)
    session.hub.touch(room, now)
    return room


def _take_place(session: Session, room: Room, now: int) -> None:
    if room.name in session.rooms:
        return
    if not stop_waiting(session, room.name):  # nobody who is closing waits
        raise ProtocolError(Code.NOT_A_MEMBER, "left before it was joined")
    if session.hub.moderation.rules:  # the room may have been locked meanwhile
        may_enter(session, room.name, room, now)
    session.rooms[room.name] = room
    room.members.add(session.outbox)
    room.show(session, now)


def stop_waiting(session: Session, name: str) -> bool:
    """Take the room from those the session waits for; tells whether it was among them."""
    if session.entering is None or session.entering.pop(name, None) is None:
        return False
    if not session.entering:
        session.entering = None
    return True


def withdraw(session: Session, name: str) -> Room:
    """Wait no longer; the room is not dropped yet."""
    room = session.hub.rooms[name]
    room.entering -= 1
    return room


def _watch(session: Session, room: Room, on: bool) -> None:
    if room.watchers is None:
        if not on:
            return
        room.watchers = session.hub.fanout(room)
    if not on:
        room.watchers.remove(session.outbox)
        return
    room.presence.watch(session.user)
    room.watchers.add(session.outbox)


def _answer(session: Session, command: Join, pages: Sequence[Page], now: int) -> None:
    try:
        room = enter(session, command.room, command.presence, now)
    except ProtocolError as refusal:
        has_read(session, weight(pages[0]), now, _reserved(command))
        refuse(session, command, refusal, now)
        return
    room.stand(pages[0])
    size = weight(pages[0])
    if command.id:
        found = body(session, room, pages[0], command.presence, now)
        session.outbox.put(result_raw(command.id, found))
        size = len(found)
    has_read(session, size, now, _reserved(command))


def _give_up(session: Session, command: Join, refusal: ProtocolError, now: int) -> None:
    abandon(session, command.room, now)
    has_read(session, 0, now, _reserved(command))
    refuse(session, command, refusal, now)


def abandon(session: Session, name: str, now: int) -> None:
    """Undo `admit`: the engine has no answer."""
    room = withdraw(session, name)
    stop_waiting(session, name)
    session.hub.drop(room, now)


def unread(session: Session, name: str, now: int) -> ProtocolError:
    """Undo `admit`: the engine has answers, but not for this room; returns the refusal."""
    abandon(session, name, now)
    return ProtocolError(Code.STORE_UNAVAILABLE, "the store is not available", retry_ms=RETRY_MS)


def body(session: Session, room: Room, page: Page, watch: bool, now: int, size: int = MAX_RESULT) -> bytes:
    """Encode a join result of at most `size` bytes; a longer recovery says `more`."""
    size -= RESULT_ROOM
    who: list[bytes] | None = None
    if watch:
        who = [] if room.presence.large else members(room.presence, len(room.presence), size // 2)
        size -= sum(map(len, who))
    found, cut = messages(page.entries, session.user.blocks, now, size, page.recovered is True)
    return join_body(
        epoch=page.epoch,
        offset=page.offset,
        recovered=page.recovered,
        messages=found,
        members=len(room.presence),
        presence=who,
        read=session.hub.marks.get(room, session.user.id) or None,
        more=cut or page.more,
    )


def leave(session: Session, command: Leave, now: int) -> None:
    """Answer LEAVE (PROTOCOL, "Commands"); what was put before still comes."""
    room = session.rooms.get(command.room)
    if not stop_waiting(session, command.room) and room is None:
        raise ProtocolError(Code.NOT_A_MEMBER, "not a member of this room")
    if room is not None:
        depart(session, room, now)
    if command.id:
        session.outbox.put(result_raw(command.id, EMPTY))


def depart(session: Session, room: Room, now: int) -> None:
    """Take a member out of a room."""
    del session.rooms[room.name]
    room.members.remove(session.outbox)
    if room.watchers is not None:
        room.watchers.remove(session.outbox)
    room.unshow(session)
    session.hub.touch(room, now)
    session.hub.drop(room, now)
