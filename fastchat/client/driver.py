"""The core on a real loop: connects, connects again, keeps the clock, and stops reading when nobody takes.

Invariants: what waits for consumers is bounded (`queue_bytes`; up to READ_AHEAD while somebody waits for an
answer that stands behind it); what waits for the server is bounded (PENDING_BYTES, and the transport).
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fastchat.client.address import Address
from fastchat.client.core import Core, Phase
from fastchat.client.events import Event
from fastchat.client.failures import Disconnected, RequestTimeout
from fastchat.client.link import Link, plain
from fastchat.client.tokens import NoToken, Tokens
from fastchat.client.wires import TcpWire, Wire, WsWire
from fastchat.errors import FastChatError

LOG = logging.getLogger("fastchat.client")

READ_AHEAD = 8 * 1024 * 1024  # bytes: an answer may stand behind all that the server and the kernels hold
PENDING_BYTES = 4 * 1024 * 1024  # of requests without an answer; then callers wait
BATCH = 64  # payloads that one write takes together
LINGER_SECONDS = 1.0  # how long the server may take to see that we are leaving


class Hooks(NamedTuple):
    """What the driver asks of whoever holds the consumers."""

    queued: Callable[[], int]  # bytes that wait for them
    deliver: Callable[[Event, int], None]  # an event, and its bytes on the wire
    ended: Callable[[FastChatError], None]  # nothing more comes


class Driver:
    """Carries one core over sockets, on the loop it is started on."""

    def __init__(
        self,
        core: Core,
        address: Address,
        hooks: Hooks,
        tokens: Tokens,
        tls: ssl.SSLContext | None,
        connect_seconds: float,
        queue_bytes: int,
    ) -> None:
        self.core = core
        self._address = address
        self._hooks = hooks
        self._tokens = tokens
        self._tls = tls
        self._connect_seconds = connect_seconds
        self._queue_bytes = queue_bytes
        self._link: Link | None = None
        self._reading = True
        self._writable = True
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._scheduled = False
        self._phase = core.phase  # as last seen
        self._parting: Link | None = None
        self._why = ""  # the last connection ended
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Connect for the first time; raises CannotConnect or Refused."""
        self._loop = asyncio.get_running_loop()
        self._gate = asyncio.Lock()
        self._space = asyncio.Event()
        self._turn = asyncio.Event()  # the phase changed, or a link is gone
        self._runner = self._loop.create_task(self._run(), name="fastchat client")
        self._runner.add_done_callback(self._ran)
        try:
            while self.core.phase in (Phase.OFFLINE, Phase.GREETING):
                await self._next_turn()
        finally:
            if self.core.phase is not Phase.READY:
                self._runner.cancel()
                if self._link is not None:
                    self._link.abort("not wanted any more")
        if self.core.failure is not None:
            raise self.core.failure.with_traceback(None)

    async def stop(self, failure: FastChatError) -> None:
        """End for good: what waits is answered with `failure`, what was sent still arrives."""
        self.pump()
        self.core.end(failure)
        self.pump()
        while self._link is not None:
            await self._next_turn()
        self._runner.cancel()
        await asyncio.wait([self._runner])

    async def call(self, begin: Callable[[float], int], seconds: float) -> Mapping[str, Any]:
        """Begin a request and wait for its answer, at most `seconds`; raises what `failures` lists."""
        number = 0
        try:
            async with asyncio.timeout(seconds):
                await self.space()
                number = begin(self._loop.time())
                answer: asyncio.Future[Any] = self._loop.create_future()
                self._waiting[number] = answer
                self.poke()
                self.regulate()  # the answer may stand behind what nobody takes
                body: Mapping[str, Any] = await answer
                return body
        except TimeoutError:
            raise RequestTimeout(f"no answer within {seconds:g} s from {self._address.url}") from None
        finally:
            self._waiting.pop(number, None)
            self.core.requests.pop(number)

    async def space(self) -> None:
        """Wait until more may be sent; first come, first served."""
        if self.core.unsent >= BATCH:
            await asyncio.sleep(0)  # who never waits would fill memory before anything is written
        async with self._gate:
            while self._full():
                self._space.clear()
                await self._space.wait()

    def now(self) -> float:
        """Seconds on the loop's clock."""
        return self._loop.time()

    def poke(self) -> None:
        """Send what gathers in this iteration of the loop, at its end, in one write."""
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self.pump)

    def pump(self) -> None:
        """Hand over what the core has for the server, for consumers and for callers."""
        self._scheduled = False
        payloads = self.core.take_payloads()
        if payloads and self._link is not None:
            self._link.send(payloads)
        for event, size in self.core.take_events():
            self._hooks.deliver(event, size)
        for number, answer in self.core.take_answers():
            self._resolve(number, answer)
        if self.core.failure is not None:
            self._hooks.ended(self.core.failure)
        if not self._full():
            self._space.set()
        if self.core.phase is not self._phase:
            self._phase = self.core.phase
            self._turn.set()
        if self.core.closing:
            self._part()
        self._tokens.look(self.pump)
        self.regulate()
        self._arm()

    def regulate(self) -> None:
        """Stop reading when too much waits for consumers, take it up when half of it is taken."""
        limit = self._queue_bytes if self._reading else self._queue_bytes // 2
        reading = self._hooks.queued() <= (READ_AHEAD if self._waiting else limit)
        if reading == self._reading or self._link is None:
            return
        self._reading = reading
        self._link.read(reading)
        self.core.pulse.deaf(not reading, self.now())
        self._arm()

    # what the link tells

    def link_ready(self, link: Link) -> None:
        self._reading = self._writable = True
        self.core.opened(self.now())
        self.pump()

    def link_payloads(self, link: Link, payloads: list[bytes]) -> None:
        now = self.now()
        try:
            for payload in payloads:
                self.core.receive(payload, now)
        finally:
            self.pump()

    def link_writable(self, link: Link, writable: bool) -> None:
        self._writable = writable
        self.pump()

    def link_lost(self, link: Link, why: str) -> None:
        if self._link is link:
            self._link, self._why = None, why
            self._turn.set()

    # inside

    def _full(self) -> bool:
        if self.core.failure is not None:
            return False  # whoever waits to send should hear of it
        return not self._writable or self.core.requests.bytes >= PENDING_BYTES

    async def _next_turn(self) -> None:
        self._turn.clear()
        await self._turn.wait()

    async def _run(self) -> None:
        while self.core.phase is not Phase.ENDED:
            why = await self._connection()
            self.core.lost(f"{self._address.url}: {why}", self.now())
            self._writable = True
            self.pump()
            if self.core.retry_at is not None:
                await asyncio.sleep(self.core.retry_at - self.now())

    def _ran(self, runner: asyncio.Task[None]) -> None:
        """Nobody may wait for ever because of a mistake of ours."""
        if runner.cancelled() or runner.exception() is None:
            return
        LOG.error("the client's own task failed", exc_info=runner.exception())
        self.core.end(Disconnected(f"the client failed: {runner.exception()!r}"))
        self.pump()

    async def _connection(self) -> str:
        """One connection from its first byte to its last; says why it ended."""
        try:
            async with asyncio.timeout(self._connect_seconds):
                await self._tokens.before_connecting()
                await self._open()
                while self.core.phase is not Phase.READY and self._link is not None:
                    await self._next_turn()
        except ssl.SSLError as error:
            self._link, self._why = None, f"TLS failed: {error.reason or error}"
        except TimeoutError:
            self._give_up(f"no answer within {self._connect_seconds:g} s")
        except OSError as error:
            self._link, self._why = None, plain(error)
        except NoToken as error:
            self._why = str(error)
        while self._link is not None:
            await self._next_turn()
        return self._why

    async def _open(self) -> None:
        address = self._address
        wire: Wire = WsWire(address.url) if address.websocket else TcpWire()
        link = self._link = Link(self, wire)
        if address.path:
            await self._loop.create_unix_connection(lambda: link, address.path)
        else:
            tls = self._tls if address.tls else None
            await self._loop.create_connection(lambda: link, address.host, address.port, ssl=tls)

    def _give_up(self, why: str) -> None:
        if self._link is not None and self._link.open:
            self._link.abort(why)
        else:
            self._link, self._why = None, why

    def _part(self) -> None:
        """Leave in good order; a server that does not close in its turn is not waited for long."""
        if self._link is not None and self._parting is not self._link:
            self._parting = self._link
            self._link.finish()
            self._loop.call_later(LINGER_SECONDS, self._link.abort, "the server does not close")

    def _resolve(self, number: int, answer: object) -> None:
        waiter = self._waiting.pop(number, None)
        if waiter is None or waiter.done():
            return
        if isinstance(answer, BaseException):
            waiter.set_exception(answer)
        else:
            waiter.set_result(answer)

    def _arm(self) -> None:
        """One timer, never later than the core's next deadline; one that comes early is set again."""
        due = self.core.deadline() if self.core.phase is Phase.READY else None
        if self._timer is not None:
            if due is not None and self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = None if due is None else self._loop.call_at(due, self._tick)

    def _tick(self) -> None:
        self._timer = None
        try:
            self.core.tick(self.now())
        except Disconnected as silence:
            if self._link is not None:
                self._link.abort(str(silence))
        self.pump()
