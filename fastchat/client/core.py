"""The client without sockets: payloads and time in; payloads, events, answers and deadlines out.

Invariants: a request is answered exactly once; what the server may have carried out is sent again only
where that cannot double it; no hole in a room's order stays unnoticed; nothing is sent before CONNECT's
result but CONNECT. Times are seconds on the caller's own clock.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from enum import Enum
from typing import Any

from fastchat.client.backoff import Backoff
from fastchat.client.events import Event, Left, Offline
from fastchat.client.failures import CannotConnect, Closed, Disconnected, Refused, ServerFault
from fastchat.client.feed import Feed
from fastchat.client.outgoing import Outgoing
from fastchat.client.passport import Passport
from fastchat.client.pulse import INTERVAL, Beat, Pulse
from fastchat.client.pushes import HANDLERS
from fastchat.client.requests import OWN, Kind, Request, check_size, connect_payload
from fastchat.errors import FastChatError, ProtocolError
from fastchat.protocol import messages as wire
from fastchat.protocol.codec import decode_push, encode_command


class Phase(Enum):
    """Where the connection stands."""

    OFFLINE = "offline"
    GREETING = "greeting"  # CONNECT is sent, its result is not here
    READY = "ready"
    ENDED = "ended"  # for good; `failure` says why


class Core:
    """One user's conversation with a server, over as many connections as it takes."""

    def __init__(
        self,
        *,
        name: str | None = None,
        token: str | None = None,
        renewable: bool = False,
        client: str = "fastchat-python",
        rng: random.Random | None = None,
    ) -> None:
        """`renewable`: the shell can bring fresh tokens, and does where `passport.wanting` says so."""
        self.phase = Phase.OFFLINE
        self.failure: FastChatError | None = None
        self.closing = False  # the shell should end this connection
        self.retry_at: float | None = None  # when the shell should connect again
        self.feeds: dict[str, Feed] = {}
        self.pulse, self._online_at = Pulse(), 0.0  # the shell tells it when it stops reading
        self.out = Outgoing(self.pulse, self.feeds)
        self.requests = self.out.requests
        self.passport = Passport(name, token, client, renewable)
        self.blocked: set[str] = set()  # blocks are made anew on every connection
        self.connections = 0  # so far
        self._backoff = Backoff(rng or random.Random())
        self._after_ms = 0
        self._why = ""
        self._events: list[tuple[Event, int]] = []
        self._answers: list[tuple[int, Any]] = []

    # what the shell takes

    @property
    def unsent(self) -> int:
        """How many payloads wait to be taken."""
        return len(self.out.payloads)

    def take_payloads(self) -> list[bytes]:
        """What is to be sent now, in order, without the wire's framing."""
        payloads, self.out.payloads = self.out.payloads, []
        return payloads

    def take_events(self) -> list[tuple[Event, int]]:
        """What there is to tell, in order, each with its bytes on the wire."""
        events, self._events = self._events, []
        return events

    def take_answers(self) -> list[tuple[int, Any]]:
        """Answered requests: (id, body), or (id, exception)."""
        answers, self._answers = self._answers, []
        return answers

    def deadline(self) -> float | None:
        """When `tick` wants to be called; offline, when the next connection is due."""
        if self.phase is not Phase.READY:
            return self.retry_at
        dues = [feed.retry_at for feed in self.feeds.values()]
        dues += [self.pulse.due(), self.out.pacing.due(), self.passport.due]
        return min(due for due in dues if due is not None)

    # requests

    def request(
        self,
        command: wire.Command,
        now: float,
        kind: Kind = Kind.CALL,
        again: bool = True,
        until: float = 0.0,
    ) -> int:
        """Send a command, now or when the connection stands; its answer comes under the id given back.

        `again`: carrying it out twice is the same as once, so it may be sent again after a loss. `until`:
        a PUBLISH that comes too early for the server waits, if its turn comes before that time.
        """
        number = self.requests.new_id()
        payload = encode_command(command._replace(id=number))
        room, echo = getattr(command, "room", ""), getattr(command, "echo", True)
        return self._begin(number, Request(kind, payload, room, again, echo, until), now)

    def post(self, command: wire.Command, now: float) -> None:
        """Send a command that asks for no reply; Disconnected where no connection stands."""
        if self.phase is not Phase.READY:
            raise self.failure.with_traceback(None) if self.failure else Disconnected("not connected")
        payload = encode_command(command)
        check_size(payload, self.out.max_frame)
        self.out.put(payload, now)

    def join(self, feed: Feed, now: float) -> int:
        """Join a room, or join it again to ask for more; the answer is JOIN's body."""
        feed.join_id = self._begin(self.requests.new_id(), Request(Kind.JOIN, room=feed.room), now, feed)
        return feed.join_id

    def leave(self, room: str, now: float) -> int:
        """Leave a room: nothing more of it is told, whatever is still under way."""
        self.drop(room, Closed(f"the room {room} was left"))
        return self.request(wire.Leave(0, room), now)

    def abandon(self, room: str, now: float) -> None:
        """Nobody waits for this room's JOIN any more, and the server may have let us in."""
        if self.phase is Phase.READY:
            self.post(wire.Leave(0, room), now)

    # the connection's life

    def opened(self, now: float) -> None:
        """A connection stands: ask to be let in, with every room that can be resumed in the same breath."""
        self.phase, self.closing, self.retry_at = Phase.GREETING, False, None
        self._after_ms, self._why = 0, ""
        self.connections += 1
        self.pulse.start(now)
        connect = self.passport.greet(self.requests.new_id())
        self.out.put(connect_payload(connect, self.feeds.values()), now)

    def receive(self, payload: bytes, now: float) -> None:
        """Take one payload. ServerFault: the connection cannot be trusted any more."""
        if self.phase in (Phase.OFFLINE, Phase.ENDED) or self.closing:
            return
        self.pulse.heard(now)
        try:
            push = decode_push(payload)
            if push is not None:  # None: a later version says what this one does not know
                HANDLERS[type(push)](self, push, len(payload), now)
        except ProtocolError as error:
            raise ServerFault(f"the server does not speak fastchat's protocol: {error.text}") from error
        except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
            raise ServerFault(f"the server sent a result of an unknown shape: {error!r}") from error

    def lost(self, why: str, now: float) -> None:
        """The connection is gone, or none came about: plan the next one."""
        if self.phase is Phase.ENDED:
            return
        self.passport.lost()
        if self.passport.resume is None:  # never let in: whoever called should know at once
            self.end(CannotConnect(why))
            return
        if self.phase is Phase.READY:
            self._backoff.lived(now - self._online_at)
        self.phase, self.closing = Phase.OFFLINE, False
        self.out.payloads.clear()
        for feed in self.feeds.values():
            feed.offline()
        for number, request in self.requests:
            if request.kind in OWN:
                self.requests.pop(number)
            elif request.sent and not request.again:
                self.answer(number, Disconnected(f"{why}; it is not known whether this was carried out"))
            request.sent = False
        delay = self._backoff.next(self._after_ms)
        self.retry_at = now + delay
        self._events.append((Offline(self._why or why, delay), 0))
        self._why = ""  # what ended this connection says nothing of the next

    def end(self, failure: FastChatError) -> None:
        """Stop for good; everything that waits is answered with `failure`."""
        if self.phase is Phase.ENDED:
            return
        self.phase, self.failure, self.closing, self.retry_at = Phase.ENDED, failure, True, None
        for number, _ in self.requests:
            self.answer(number, failure)

    def tick(self, now: float) -> None:
        """Do what is due. Disconnected: the server has fallen silent, the shell should let go."""
        if self.phase is not Phase.READY:
            return
        for feed in list(self.feeds.values()):
            if feed.retry_at is not None and feed.retry_at <= now:
                feed.retry_at = None
                self._fill(feed, now) if feed.live else self._rejoin(feed, now)
        self.out.pace(now)
        self.passport.tick(now)
        beat = self.pulse.beat(now)
        if beat is Beat.GIVE_UP:
            raise Disconnected("the server has fallen silent")
        if beat is Beat.ASK:
            self.request(wire.Ping(0), now, Kind.PROBE)
        elif beat is Beat.SPEAK:
            self.post(wire.Pong(0), now)

    # what a push does (pushes.py)

    def greeting(self, number: int) -> bool:
        """Is this the answer to CONNECT?"""
        return self.phase is Phase.GREETING and self.passport.awaits(number)

    def let_in(self, body: Mapping[str, Any], now: float) -> bool:
        """CONNECT was answered; True when it was not the first time."""
        self.out.max_frame = int(body["limits"]["max_frame"])
        self.pulse.interval = max(1.0, int(body.get("ping_ms") or INTERVAL * 1000) / 1000)
        again = self.passport.let_in(body, now)
        self.phase, self._online_at = Phase.READY, now
        return again

    def resume(self, again: bool, now: float) -> None:
        """Take up what CONNECT did not: other rooms, presence, blocks, every request without an answer."""
        for feed in list(self.feeds.values()):
            if feed.retry_at is None and (feed.presence or not feed.live):
                self._rejoin(feed, now)
        for user in sorted(self.blocked):
            self.post(wire.Block(0, user, True), now)
        self.out.resend(now)
        if again and not self.out.payloads:  # the server holds our old secret until it hears from us
            self.post(wire.Pong(0), now)

    def renew(self, token: str, now: float) -> None:
        """The shell brought a fresh token."""
        self.passport.renew(token)
        if self.phase is Phase.READY:
            self.request(wire.Refresh(0, token), now, Kind.RENEW)

    def turned_away(self, refusal: Refused, reconnect: bool) -> None:
        """BYE, or CONNECT refused: over for good, or until the server says it may be tried again."""
        hopeful = self.passport.turned_away(refusal.code) or reconnect
        if not hopeful or self.passport.resume is None:
            self.end(refusal)
            return
        self._after_ms, self._why, self.closing = refusal.retry_ms or 0, str(refusal), True

    def answer(self, number: int, answer: object) -> None:
        """Answer the caller of a request, with a body or an exception."""
        self.requests.pop(number)
        self._answers.append((number, answer))

    def tell(self, event: Event, size: int) -> None:
        """Tell an event; `size` is its bytes on the wire."""
        self._events.append((event, size))

    def progress(self, feed: Feed, now: float) -> None:
        """Tell what came out of a room, and ask for its first hole if it has one."""
        self._events.extend(feed.take())
        self._fill(feed, now)

    def drop(self, room: str, failure: FastChatError) -> None:
        """The room is no longer ours; whoever waits to get in hears why."""
        self.feeds.pop(room, None)
        for number, request in self.requests.joining(room):
            self.requests.pop(number) if request.kind in OWN else self.answer(number, failure)

    def turned_out(self, room: str, refusal: Refused) -> None:
        """The server took the room from us."""
        self.drop(room, refusal)
        self.tell(Left(room, refusal.code, refusal.text), 0)

    def _begin(self, number: int, request: Request, now: float, feed: Feed | None = None) -> int:
        if self.failure is not None:
            raise self.failure.with_traceback(None)  # it is raised again and again
        if feed is not None:
            self.feeds[feed.room] = feed
        self.out.begin(number, request, self.phase is Phase.READY, now)
        return number

    def _fill(self, feed: Feed, now: float) -> None:
        missing = feed.missing()
        if missing is not None:
            feed.asking = True
            after, limit = missing
            self.request(wire.History(0, feed.room, after, None, limit), now, Kind.FILL)

    def _rejoin(self, feed: Feed, now: float) -> None:
        if feed.join_id not in self.requests:
            request = Request(Kind.REJOIN, room=feed.room)
            feed.join_id = self._begin(self.requests.new_id(), request, now)
