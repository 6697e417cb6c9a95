"""Which function answers which command in which phase, made from the protocol's own table.

Invariant: every phase has an answer for every command, and it is the one of `protocol.session.RULES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from fastchat.errors import Code, ProtocolError
from fastchat.hub.changing import delete, edit, react
from fastchat.hub.connecting import connect
from fastchat.hub.joining import join, leave
from fastchat.hub.limiting import CHARGES, Charge
from fastchat.hub.marking import mark
from fastchat.hub.moderating import moderate
from fastchat.hub.people import block, direct, signal, state
from fastchat.hub.publishing import publish
from fastchat.hub.reading import history, presence
from fastchat.hub.renewing import refresh
from fastchat.protocol.codec import OPS, ping_result
from fastchat.protocol.messages import (
    Block,
    Connect,
    Delete,
    Direct,
    Edit,
    History,
    Join,
    Leave,
    Mark,
    Moderate,
    Ping,
    Pong,
    Presence,
    Publish,
    React,
    Refresh,
    Signal,
    State,
)
from fastchat.protocol.session import RULES, Phase

if TYPE_CHECKING:
    from fastchat.hub.session import Session

Handler: TypeAlias = "Callable[[Session, Any, int], None]"


def ping(session: Session, command: Ping, now: int) -> None:
    """Answer PING with the server's time."""
    if command.id:
        session.outbox.put(ping_result(command.id, now))


def ignore(session: Session, command: object, now: int) -> None:
    """Need no answer: PONG has done its work by arriving, and after BYE nothing counts."""


HANDLERS: Mapping[type, Handler] = {
    Connect: connect,
    Join: join,
    Leave: leave,
    Publish: publish,
    Direct: direct,
    History: history,
    Presence: presence,
    State: state,
    Edit: edit,
    Delete: delete,
    React: react,
    Moderate: moderate,
    Block: block,
    Signal: signal,
    Refresh: refresh,
    Ping: ping,
    Pong: ignore,
    Mark: mark,
}

TEXTS: Mapping[Code, str] = {
    Code.CONNECT_FIRST: "CONNECT comes first",
    Code.ALREADY_CONNECTED: "this connection is connected already",
}


def _refuse(code: Code) -> Handler:
    def refuse(session: Session, command: object, now: int) -> None:
        raise ProtocolError(code, TEXTS[code])

    return refuse


def _limited(handler: Handler, charge: Charge) -> Handler:
    def act(session: Session, command: Any, now: int) -> None:
        limiting = session.hub.limiting
        if limiting is not None:
            wait = charge(limiting, session, command, now)
            if wait:
                limiting.over(session, command.id, wait, now)
                return
        handler(session, command, now)

    return act


_REFUSALS = {code: _refuse(code) for code in TEXTS}
_WITHIN_LIMITS = {
    command: _limited(handler, CHARGES[command]) if command in CHARGES else handler
    for command, handler in HANDLERS.items()
}


def _table(phase: Phase) -> dict[type, Handler]:
    if phase is Phase.CLOSING:
        return dict.fromkeys(HANDLERS, ignore)
    rules = ((command, RULES[phase][OPS[command]]) for command in HANDLERS)
    return {command: _WITHIN_LIMITS[command] if code is None else _REFUSALS[code] for command, code in rules}


TABLES: Mapping[Phase, dict[type, Handler]] = {phase: _table(phase) for phase in Phase}
