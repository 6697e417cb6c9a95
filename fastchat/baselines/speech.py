"""What a baseline answers to which command: CONNECT, JOIN, LEAVE, PUBLISH, PING and PONG.

There is no history, presence, resumption or timer, and a `key` is carried but not remembered. Invariant:
every phase has an answer for every command, by the protocol's own table; what is not spoken gets 301.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from fastchat.baselines.hall import Place, Room
from fastchat.errors import Code, ProtocolError
from fastchat.protocol.codec import (
    EMPTY,
    OPS,
    connect_result,
    error,
    gap,
    join_body,
    pack,
    ping_result,
    publish_result,
    result_raw,
)
from fastchat.protocol.messages import VERSION, Connect, Join, Leave, Ping, Pong, Position, Publish
from fastchat.protocol.names import room_name, user_name
from fastchat.protocol.session import RULES, Phase

if TYPE_CHECKING:
    from fastchat.baselines.dialogue import Dialogue

Handler: TypeAlias = "Callable[[Dialogue, Any, int], None]"

RETRY_MS = 1000  # ms told with a temporary refusal
NO_TIMER = 0  # ms: silence is not asked about
NO_RATE = 0  # no limit
NO_SECRET = ""  # nothing to resume with


def connect(dialogue: Dialogue, command: Connect, now: int) -> None:
    """Answer CONNECT, its rooms included."""
    if command.version < 1:
        text = f"this server speaks version {VERSION}"
        dialogue.put(error(command.id, Code.VERSION_NOT_SUPPORTED, text))
        dialogue.bye(Code.VERSION_NOT_SUPPORTED, text)
        return
    if command.token is not None:
        raise ProtocolError(Code.TOKEN_INVALID, "this server takes no tokens")
    dialogue.name = dialogue.hall.claim(None if command.name is None else _checked(command.name))
    dialogue.packed = pack(dialogue.name)
    dialogue.phase = Phase.LIVE
    with dialogue.link.lock:  # the result comes before the first message of any room
        bodies = {name: _body(dialogue, name, since) for name, since in command.rooms.items()}
        if command.id:
            dialogue.put(connect_result(command.id, _about(dialogue, command, now), bodies))
        dialogue.link.write(dialogue.take())


def _about(dialogue: Dialogue, command: Connect, now: int) -> dict[str, object]:
    hall = dialogue.hall
    return {
        "version": min(command.version, VERSION),
        "user": dialogue.name,
        "session": NO_SECRET,
        "node": hall.node,
        "time": now,
        "ping_ms": NO_TIMER,
        "limits": {"max_frame": hall.max_frame, "rooms": hall.max_rooms, "rate": NO_RATE, "burst": NO_RATE},
        "features": FEATURES,
    }


def _checked(name: str) -> str:
    try:
        return user_name(name, "name")
    except ProtocolError as refusal:  # PROTOCOL, "Codes": 307 is "taken or not allowed"
        raise ProtocolError(Code.NAME_TAKEN, refusal.text, field="name") from None


def _body(dialogue: Dialogue, name: str, since: Position | None) -> bytes:
    try:
        return _joined(dialogue.enter(room_name(name)), since)
    except ProtocolError as refusal:
        opts = {"retry_ms": RETRY_MS} if refusal.code.temporary else {}
        return pack({"error": [refusal.code, refusal.text, opts]})


def join(dialogue: Dialogue, command: Join, now: int) -> None:
    """Answer JOIN; who is a member already gets a fresh result."""
    with dialogue.link.lock:  # the result comes before the first message of the room
        place = dialogue.enter(command.room)
        if command.id:
            dialogue.put(result_raw(command.id, _joined(place, command.since)))
        dialogue.link.write(dialogue.take())


def _joined(place: Place, since: Position | None) -> bytes:
    """The body of a JOIN result: nothing is kept, so recovered is who missed nothing."""
    epoch = place.room.epoch
    return join_body(
        epoch=epoch,
        offset=place.offset,
        recovered=None if since is None else since == (epoch, place.offset),
        messages=(),
        members=place.members,
    )


def leave(dialogue: Dialogue, command: Leave, now: int) -> None:
    """Answer LEAVE."""
    dialogue.hall.leave(dialogue.room(command.room), dialogue.link)
    del dialogue.rooms[command.room]
    if command.id:
        dialogue.put(result_raw(command.id, EMPTY))


def publish(dialogue: Dialogue, command: Publish, now: int) -> None:
    """Answer PUBLISH, after the whole room has it; `ttl_ms` cannot pass before that."""
    id, name, data, key, echo, ephemeral, *_ = command
    room = dialogue.room(name)
    opts = EMPTY if key is None and not ephemeral else _opts(command)
    aside = None if echo else lambda offset: _instead(dialogue, id, room, offset, now)
    offset = room.publish(dialogue.link, dialogue.packed, data, opts, now, not ephemeral, aside)
    if id and echo:
        dialogue.put(publish_result(id, offset, now))


def _opts(command: Publish) -> bytes:
    opts: dict[str, object] = {"ephemeral": True} if command.ephemeral else {}
    if command.key is not None:
        opts["key"] = command.key
    return pack(opts)


def _instead(dialogue: Dialogue, id: int, room: Room, offset: int, now: int) -> bytes:
    """What tells the offset to a publisher without echo, in the room's order: it stands for the message."""
    if id:
        dialogue.put(publish_result(id, offset, now))
    elif offset:
        dialogue.put(gap(room.packed, offset, offset, "hidden"))
    return dialogue.take()


def ping(dialogue: Dialogue, command: Ping, now: int) -> None:
    """Answer PING with the server's time."""
    if command.id:
        dialogue.put(ping_result(command.id, now))


def pong(dialogue: Dialogue, command: Pong, now: int) -> None:
    """Needs no answer."""


SPOKEN: Mapping[type, Handler] = {
    Connect: connect,
    Join: join,
    Leave: leave,
    Publish: publish,
    Ping: ping,
    Pong: pong,
}
SPOKEN_OPS = frozenset(OPS[command] for command in SPOKEN)
FEATURES = sorted(op.name.lower() for op in SPOKEN_OPS)

TEXTS: Mapping[Code, str] = {
    Code.CONNECT_FIRST: "CONNECT comes first",
    Code.ALREADY_CONNECTED: "this connection is connected already",
}


def unknown(op: int, id: int = 0) -> ProtocolError:
    """What refuses an operation that is not spoken."""
    return ProtocolError(Code.UNKNOWN_OPERATION, f"a baseline does not speak operation {op}", id=id)


def _refusing(code: Code, text: str) -> Handler:
    def refuse(dialogue: Dialogue, command: object, now: int) -> None:
        raise ProtocolError(code, text)

    return refuse


def _table(phase: Phase) -> dict[type, Handler]:
    answers = {command: _refusing(Code.UNKNOWN_OPERATION, unknown(op).text) for command, op in OPS.items()}
    for command, handler in SPOKEN.items():
        code = RULES[phase][OPS[command]]
        answers[command] = handler if code is None else _refusing(code, TEXTS[code])
    return answers


HANDLERS: Mapping[Phase, dict[type, Handler]] = {phase: _table(phase) for phase in (Phase.NEW, Phase.LIVE)}
