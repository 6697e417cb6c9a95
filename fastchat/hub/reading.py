"""HISTORY and PRESENCE, and how a page of the engine becomes `messages`.

Invariant: a reader sees a contiguous run of offsets; what it may not see stands as a tombstone, and no
result is longer than MAX_RESULT. Of one session's HISTORYs the engine has at most MAX_READS, and MAX_WAITING
wait; what waits is gone with the session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from fastchat.engine.base import Entry, Page, Query
from fastchat.engine.changes import DELETION
from fastchat.engine.pages import weight
from fastchat.errors import Code, ProtocolError
from fastchat.hub.limits import (
    BUSY_RETRY_MS,
    MAX_LISTED,
    MAX_READS,
    MAX_RESULT,
    MAX_WAITING,
    READ_COST,
    RESULT_ROOM,
)
from fastchat.hub.publishing import entering
from fastchat.protocol.codec import EXPIRED, HIDDEN, NIL, entry, history_body, pack, presence_body, result_raw
from fastchat.protocol.messages import History
from fastchat.protocol.messages import Presence as PresenceCommand
from fastchat.protocol.names import fold
from fastchat.protocol.rules import MAX_UINT

if TYPE_CHECKING:
    from fastchat.hub.presence import Presence
    from fastchat.hub.session import Session

INTERNAL = ProtocolError(Code.INTERNAL, "internal error")
MAX_LIMIT = 10_000  # messages a HISTORY may ask for; MAX_RESULT cuts earlier


class Turns:
    """The HISTORYs of one session that are not answered."""

    __slots__ = ("asked", "waiting")

    def __init__(self) -> None:
        self.asked = 0  # those the engine was asked
        self.waiting: list[History] = []


class Reading:
    """Something that waits for pages; the ticket of `Engine.read`."""

    __slots__ = ("session", "command", "answer", "give_up")

    def __init__(
        self,
        session: Session,
        command: Any,
        answer: Callable[[Session, Any, Sequence[Page], int], None],
        give_up: Callable[[Session, Any, ProtocolError, int], None],
    ) -> None:
        self.session = session
        self.command = command
        self.answer = answer
        self.give_up = give_up


def read(ticket: Reading, queries: Sequence[Query], now: int) -> None:
    """Ask the engine; answer at once if it does."""
    try:
        pages = ticket.session.hub.engine.read(queries, ticket)
    except ProtocolError as refusal:
        ticket.give_up(ticket.session, ticket.command, refusal, now)
        return
    except Exception as fault:  # what waits for the pages must be undone before anybody hears of it
        ticket.session.hub.report("Engine.read", fault)
        ticket.give_up(ticket.session, ticket.command, INTERNAL, now)
        return
    if pages is not None:
        ticket.answer(ticket.session, ticket.command, pages, now)


def refuse(session: Session, command: Any, refusal: ProtocolError, now: int) -> None:
    """Answer ERROR, if anybody is still there to hear it."""
    if not session.closing:
        session.error(command.id, refusal)


def check_room(session: Session) -> None:
    """Raise ProtocolError OVERLOADED for a long answer to somebody who has not read the earlier ones."""
    if session.outbox.pending > session.hub.config.outbox_bytes // 2:
        raise ProtocolError(Code.OVERLOADED, "read what waits for you first", retry_ms=BUSY_RETRY_MS)


def reserve(session: Session, size: int, now: int) -> None:
    """Count bytes that are about to be read, where there are limits."""
    if session.hub.limiting is not None:
        session.hub.limiting.reserve(session, size, now)


def has_read(session: Session, size: int, now: int, reserved: int) -> None:
    """Count bytes that were read in place of those reserved, where there are limits."""
    if session.hub.limiting is not None:
        session.hub.limiting.has_read(session, size, now, reserved)


def history(session: Session, command: History, now: int) -> None:
    """Answer HISTORY (PROTOCOL, "Commands")."""
    room = session.rooms.get(command.room)
    if room is None:
        room = entering(session, command.room)
    check_room(session)
    turns = session.turns
    if turns is None:
        turns = session.turns = Turns()
    if len(turns.waiting) >= MAX_WAITING:
        limiting = session.hub.limiting
        wait = limiting.read(session, now) if limiting is not None else 0
        if limiting is not None and wait:
            limiting.over(session, command.id, wait, now)
            return
        raise ProtocolError(Code.RATE, "read what you asked for first", retry_ms=BUSY_RETRY_MS)
    room.busy += 1  # it stays until the engine has answered, whoever leaves
    turns.waiting.append(command)
    _ask(session, turns, now)


def _ask(session: Session, turns: Turns, now: int) -> None:
    """Ask the engine for what waits, as far as the session may."""
    limiting = session.hub.limiting
    while turns.waiting and turns.asked < MAX_READS:
        command = turns.waiting[0]
        if limiting is not None:
            wait = limiting.read(session, now)
            if wait and turns.asked:
                return  # most of what is reserved for the other is given back when it is answered
            if wait:
                del turns.waiting[0]
                _settle(session, command, now)
                limiting.over(session, command.id, wait, now)
                continue
        reserve(session, _reserved(session, command), now)
        del turns.waiting[0]
        turns.asked += 1
        before = MAX_UINT if command.after is None and command.before is None else command.before
        query = Query(command.room, min(command.limit, MAX_LIMIT), None, command.after, before, True)
        read(Reading(session, command, _answer_history, _give_up_history), (query,), now)


def _reserved(session: Session, command: History) -> int:
    """Tell how many bytes an answer may have, besides what it costs in any case."""
    return min(command.limit * session.hub.config.max_frame, MAX_RESULT) - READ_COST


def _answered(session: Session, command: History, size: int, now: int) -> None:
    """Count what was read, and ask for what has waited for it."""
    turns = session.turns
    assert turns is not None
    turns.asked -= 1
    if session.closing:
        return  # what was reserved counts: else who leaves would read for nothing
    has_read(session, size, now, _reserved(session, command))
    _ask(session, turns, now)


def forget(session: Session, now: int) -> None:
    """Ask for nothing more: the session is gone."""
    if session.turns is not None:
        waiting, session.turns.waiting = session.turns.waiting, []
        for command in waiting:
            _settle(session, command, now)


def _give_up_history(session: Session, command: History, refusal: ProtocolError, now: int) -> None:
    _settle(session, command, now)
    refuse(session, command, refusal, now)
    _answered(session, command, 0, now)


def _settle(session: Session, command: History, now: int) -> None:
    room = session.hub.rooms[command.room]
    room.busy -= 1
    session.hub.drop(room, now)


def _answer_history(session: Session, command: History, pages: Sequence[Page], now: int) -> None:
    _settle(session, command, now)
    size = weight(pages[0])
    try:
        if command.id and not session.closing:
            size = _put_history(session, command, pages[0], now)
    finally:
        _answered(session, command, size, now)


def _put_history(session: Session, command: History, page: Page, now: int) -> int:
    """Put the result of HISTORY; returns its length."""
    upward = command.after is not None
    found, cut = messages(page.entries, session.user.blocks, now, MAX_RESULT - RESULT_ROOM, upward)
    if not found and page.entries:  # longer than a result may be by what stands around it: alone it goes
        one = page.entries[0 if upward else -1]
        found, _ = messages([one], session.user.blocks, now, 2 * MAX_RESULT, upward)
        cut = len(page.entries) > 1
    body = history_body(epoch=page.epoch, offset=page.offset, messages=found, more=page.more or cut)
    session.outbox.put(result_raw(command.id, body))
    return len(body)


def messages(
    entries: Sequence[Entry], blocks: frozenset[str], now: int, size: int, upward: bool
) -> tuple[list[bytes], bool]:
    """Encode entries for one reader up to `size` bytes, from the oldest if `upward`, else from the newest.

    Returns them in ascending order, and whether any was left out.
    """
    names: dict[str, bytes] = {}
    found: list[bytes] = []
    for offset, ts, user, data, opts, expires, _ in entries if upward else reversed(entries):
        name = names.get(user)
        if name is None:
            name = names[user] = pack(user)
        if expires and expires <= now:
            one = entry(offset, ts, name, NIL, EXPIRED)
        elif blocks and fold(user) in blocks and not opts.startswith(DELETION):
            one = entry(offset, ts, name, NIL, HIDDEN)
        else:
            one = entry(offset, ts, name, data, opts)
        size -= len(one)
        if size < 0:
            break
        found.append(one)
    if not upward:
        found.reverse()
    return found, len(found) < len(entries)


def presence(session: Session, command: PresenceCommand, now: int) -> None:
    """Answer PRESENCE (PROTOCOL, "Commands")."""
    room = session.rooms.get(command.room)
    if room is None:
        raise ProtocolError(Code.NOT_A_MEMBER, "not a member of this room")
    check_room(session)
    if command.id:
        found = members(room.presence, min(command.limit, MAX_LISTED), MAX_RESULT - RESULT_ROOM)
        body = presence_body(len(room.presence), found)
        session.outbox.put(result_raw(command.id, body))
        if session.hub.limiting is not None:
            session.hub.limiting.has_read(session, len(body), now)


def members(presence: Presence, limit: int, size: int) -> list[bytes]:
    """Encode the first members of a room, at most `limit` and `size` bytes of them."""
    found: list[bytes] = []
    for one in _first(presence.members.values(), limit):
        packed = one.packed()
        size -= len(packed)
        if size < 0:
            break
        found.append(packed)
    return found


def _first(values: Iterable[Any], count: int) -> Iterable[Any]:
    return (value for value, _ in zip(values, range(count), strict=False))
