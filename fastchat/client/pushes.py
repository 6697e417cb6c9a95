"""What each push of the server does to the core: one function a push, and the table of them.

They raise KeyError, TypeError and their like where a result is not of its shape; the core turns that into
ServerFault in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from fastchat.client.events import Complaint, Event, Online, Presence
from fastchat.client.failures import Refused
from fastchat.client.feed import Feed
from fastchat.client.requests import OWN, Kind, Request
from fastchat.errors import Code
from fastchat.protocol import messages as wire

if TYPE_CHECKING:
    from fastchat.client.core import Core

RETRY_MS = 1000  # a room that refused us for now without saying until when
TURNED_OUT = {  # NOTICE actions that end a membership
    "kick": (Code.KICKED, "you were kicked"),
    "ban": (Code.BANNED, "you were banned"),
}


def _result(core: Core, push: wire.Result, size: int, now: float) -> None:
    if core.greeting(push.id):
        _let_in(core, push.body, size, now)
        return
    request = core.requests.pop(push.id)
    if request is None:
        return  # its caller has given up waiting
    if request.kind is Kind.RENEW:
        core.passport.renewed(push.body, now)
    feed = core.feeds.get(request.room)
    if feed is not None:
        _room_result(core, feed, request, push, size, now)
    if request.kind not in OWN:
        core.answer(push.id, push.body)


def _room_result(core: Core, feed: Feed, request: Request, push: wire.Result, size: int, now: float) -> None:
    if request.kind in (Kind.JOIN, Kind.REJOIN) and feed.join_id == push.id:
        feed.joined(push.body, size)
    elif request.kind is Kind.FILL:
        feed.filled(push.body, size)
    elif request.kind is Kind.PUBLISH and not request.echo and feed.live and push.body["offset"]:
        feed.offer(push.body["offset"], push.body["offset"], None, 0)
    core.progress(feed, now)


def _let_in(core: Core, body: Mapping[str, Any], size: int, now: float) -> None:
    again = core.let_in(body, now)
    core.tell(Online(core.passport.user, str(body.get("node", "")), again), 0)
    rooms: Mapping[str, Any] = body.get("rooms") or {}
    for room, joined in rooms.items():
        feed = core.feeds.get(room)
        if feed is None:
            continue
        if "error" in joined:
            code, text, *rest = joined["error"]
            retry_ms = rest[0].get("retry_ms") if rest else None
            if code == Code.FORBIDDEN and feed.token is not None:
                continue  # the server has forgotten what the token opened: it is shown again
            _not_rejoined(core, feed, Refused(code, text, retry_ms=retry_ms), now)
            continue
        feed.joined(joined, size // len(rooms))
        core.progress(feed, now)
    core.resume(again, now)


def _not_rejoined(core: Core, feed: Feed, refusal: Refused, now: float) -> None:
    if refusal.temporary:
        feed.retry_at = now + (refusal.retry_ms or RETRY_MS) / 1000
    else:
        core.turned_out(feed.room, refusal)


def _error(core: Core, push: wire.Error, size: int, now: float) -> None:
    refusal = Refused(push.code, push.text, retry_ms=push.retry_ms, field=push.field)
    if core.greeting(push.id):
        core.turned_away(refusal, refusal.temporary)
        return
    if push.id == 0:
        core.tell(Complaint(refusal.code, push.text), size)
        return
    request = core.requests.pop(push.id)
    if request is None or core.out.hold(push.id, request, refusal, now):
        return
    feed = core.feeds.get(request.room)
    if request.kind is Kind.REJOIN and feed is not None:
        _not_rejoined(core, feed, refusal, now)
    elif request.kind is Kind.FILL and feed is not None:
        feed.asking = False
        if refusal.temporary:
            feed.retry_at = now + (refusal.retry_ms or RETRY_MS) / 1000
        else:
            feed.abandon("unavailable")
            core.progress(feed, now)
    elif request.kind is Kind.JOIN and feed is not None and feed.epoch is None:
        core.drop(request.room, refusal)
    elif request.kind is Kind.RENEW:
        core.passport.unrenewed(now)
        core.tell(Complaint(refusal.code, push.text), size)
    if request.kind not in OWN:
        core.answer(push.id, refusal)


def _message(core: Core, push: wire.Message, size: int, now: float) -> None:
    feed = core.feeds.get(push.room)
    if feed is None or not feed.live:
        return  # of a membership that has ended
    if push.offset == 0:
        feed.tell(push, size)
    else:
        feed.offer(push.offset, push.offset, push, size)
    core.progress(feed, now)


def _change(core: Core, push: wire.Change, size: int, now: float) -> None:
    feed = core.feeds.get(push.room)
    if feed is not None and feed.live:
        feed.offer(push.offset, push.offset, push, size)
        core.progress(feed, now)


def _gap(core: Core, push: wire.Gap, size: int, now: float) -> None:
    feed = core.feeds.get(push.room)
    if feed is not None and feed.live:
        feed.offer(push.start, push.end, push, size)
        core.progress(feed, now)


def _presence(core: Core, push: wire.PresencePush, size: int, now: float) -> None:
    if push.room in core.feeds:
        core.tell(Presence(push.room, push.joined, push.left, push[3]), size)


def _notice(core: Core, push: wire.Notice, size: int, now: float) -> None:
    if push.room and push.room not in core.feeds:
        return
    core.tell(push, size)
    if not push.room:
        return  # about the whole server: if we are turned out, BYE says so
    end = TURNED_OUT.get(push.action)
    if end is not None and push.user.casefold() == core.passport.user.casefold():
        code, word = end
        by, reason = f" by {push.by}" if push.by else "", f": {push.reason}" if push.reason else ""
        why = f"{word}{by}{reason}"
        core.turned_out(push.room, Refused(code, why))


def _to_user(core: Core, push: Event, size: int, now: float) -> None:
    core.tell(push, size)


def _ping(core: Core, push: wire.PingPush, size: int, now: float) -> None:
    core.post(wire.Pong(0), now)


def _bye(core: Core, push: wire.Bye, size: int, now: float) -> None:
    core.turned_away(Refused(push.code, push.text, retry_ms=push.after_ms), push.reconnect)


HANDLERS: Mapping[type, Callable[[Core, Any, int, float], None]] = {
    wire.Result: _result,
    wire.Error: _error,
    wire.Message: _message,
    wire.PresencePush: _presence,
    wire.DirectPush: _to_user,
    wire.Change: _change,
    wire.Notice: _notice,
    wire.Gap: _gap,
    wire.PingPush: _ping,
    wire.SignalPush: _to_user,
    wire.Bye: _bye,
}
