"""The composition root: builds the parts, listens, drains, stops.

Everything else gets its collaborators from here. It logs and never prints.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import signal
import socket
import time
import traceback
from collections.abc import Callable

from fastchat.admission import Admission
from fastchat.broadcast import Broadcaster
from fastchat.config import Config
from fastchat.engine.base import Engine
from fastchat.engine.choice import ChosenEngine
from fastchat.errors import ConfigError
from fastchat.holdback import HoldBack
from fastchat.hub import Hub
from fastchat.identity.keys import verifier
from fastchat.meter import Meter
from fastchat.protocol.codec import Limits
from fastchat.protocol.jsonwire import to_json
from fastchat.screens import Screens
from fastchat.transports.caps import Caps, Networks, most_connections
from fastchat.transports.clock import Clock
from fastchat.transports.collector import Collector
from fastchat.transports.deadlines import Deadlines
from fastchat.transports.echo import Echo, EchoConnection
from fastchat.transports.flusher import Flusher
from fastchat.transports.front import Front
from fastchat.transports.gauge import Gauge
from fastchat.transports.http import HttpSite
from fastchat.transports.listen import UnixListener, tcp_sockets
from fastchat.transports.secure import SecureListener
from fastchat.transports.tls import tls_context
from fastchat.transports.websocket import WsConnection
from fastchat.transports.wiring import Wiring

TICK_SECONDS = 0.1  # hub.tick, and how late a deadline may be
SLICE = 500  # deadlines met in one loop iteration: some milliseconds of work
# connections asyncio accepts in one iteration: it takes the backlog for that number, and out of descriptors
# it tries, fails and logs as often
ACCEPTS = 64
RECONNECT_MS = 1000  # after a drain: the next server wants a moment to start

SIGNALS = (signal.SIGINT, signal.SIGTERM)

LOG = logging.getLogger(__name__)


def _report(what: str, fault: Exception) -> None:
    """Log a fault of ours without the exception's text: that may hold what users wrote."""
    trace = "".join(traceback.format_tb(fault.__traceback__))
    LOG.error("%s failed with %s\n%s", what, type(fault).__name__, trace)


class Server:
    """A chat server: `await start()`, then `await drain()`; or `await run()`, which waits for a signal."""

    def __init__(
        self, config: Config, *, engine: Engine | None = None, echo: bool = False, token_secret: str = ""
    ) -> None:
        """`token_secret` is for HS256, where no file of `token_keys` has it.

        `echo` is for the Autobahn suite alone: `/ws` sends messages back and knows no rooms.
        """
        self._config = config
        self._store = ChosenEngine(engine)
        self._echo = echo
        self._verifier = verifier(config, token_secret)
        self._listeners: list[asyncio.AbstractServer] = []
        self._secure: list[SecureListener] = []
        self._unix: UnixListener | None = None
        self._tick: asyncio.TimerHandle | None = None
        self._sweeping = False  # more deadlines are due than one slice holds
        self._collector = Collector()
        self.addresses: list[str] = []  # "127.0.0.1:9999", "[::1]:9999", "unix:/run/chat", once started
        self.port = 0  # the TCP port, once started; 0: none

    @property
    def connections(self) -> int:
        """Connections that count against the cap."""
        return self.wiring.caps.total

    async def start(self) -> None:
        """Listen. Raises ConfigError, with what to do, where that cannot work; nothing is left open then."""
        if not self._config.host and self._config.unix is None:
            raise ConfigError("nowhere to listen: give a host, a Unix socket or both.")
        await self._store.open(self._config)
        try:
            self._build(self._store.engine)
        except BaseException:
            await self._store.close()
            raise
        try:
            await self._listen()
        except BaseException:
            await self.stop()
            raise
        self._beat()
        LOG.info("listening on %s", ", ".join(self.addresses))

    def _build(self, engine: Engine) -> None:
        config = self._config
        loop = asyncio.get_running_loop()
        now = time.monotonic()
        meter = Meter()
        self._flusher = Flusher(loop, time.monotonic, HoldBack(config.flush_budget_ms / 1000), meter)
        self.broadcaster = Broadcaster(
            wake=self._flusher.wake,
            to_json=to_json,
            clock=time.monotonic,
            outbox_bytes=config.outbox_bytes,
            total_bytes=config.total_bytes,
            batch_bytes=config.batch_bytes,
            flush_sends=config.flush_sends,
            flush_seconds=config.flush_ms / 1000,
        )
        self._flusher.serve(self.broadcaster)
        node = config.node or f"node-{secrets.token_hex(4)}"
        self._screens = Screens(config, lambda: self.wiring.now())
        self.hub = Hub(
            config,
            engine,
            self.broadcaster,
            random.SystemRandom(),
            node,
            clock=time.monotonic,
            report=_report,
            verifier=self._verifier,
            admission=Admission(config.admission, config.connect_utilisation, config.publish_utilisation),
            screening=self._screens.screening,
        )
        self._site = HttpSite(
            config, lambda: not self.wiring.draining, lambda: self.gauge.capacity(time.monotonic())
        )
        self.wiring = Wiring(
            config=config,
            loop=loop,
            time=time.monotonic,
            clock=Clock(now, time.time()),
            hub=Echo(config.max_frame) if self._echo else self.hub,
            broadcaster=self.broadcaster,
            deadlines=Deadlines(now, TICK_SECONDS),
            caps=Caps(
                most_connections(config.max_connections),
                config.connections_per_address,
                config.exempt_addresses,
            ),
            reserved=Networks(config.reserved_addresses),
            limits=Limits(config.max_depth, config.max_elements),
            http=self._site.handler,
            websocket=EchoConnection if self._echo else WsConnection,
        )
        self.gauge = Gauge(self.wiring, self.hub, meter, self._flusher, time.thread_time)

    async def _listen(self) -> None:
        config, wiring = self._config, self.wiring
        loop = wiring.loop
        context = tls_context(config)
        await self._site.start()

        def front() -> Front:
            return Front(wiring)

        waiting = tcp_sockets(config) if config.host else []
        try:
            while waiting:
                listener = waiting[0]
                if context is None:
                    self._listeners.append(await loop.create_server(front, sock=listener, backlog=ACCEPTS))
                listener.listen(config.backlog)
                if context is not None:
                    self._secure.append(SecureListener(wiring, listener, context))
                self._note(waiting.pop(0))
        finally:
            for listener in waiting:
                listener.close()
        if config.unix is not None:
            self._unix = UnixListener(config.unix, config)
            self._listeners.append(
                await loop.create_unix_server(front, sock=self._unix.socket, backlog=ACCEPTS)
            )
            self._unix.socket.listen(config.backlog)
            self.addresses.append(f"unix:{config.unix}")

    def _note(self, listener: socket.socket) -> None:
        host, port = listener.getsockname()[:2]
        self.port = port
        self.addresses.append(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")

    def _beat(self) -> None:
        """Every tick: follow the wall clock, let the hub do what is due, meet deadlines."""
        wiring = self.wiring
        self._tick = wiring.loop.call_later(TICK_SECONDS, self._beat)
        now = time.monotonic()
        wiring.clock.sync(now, time.time())
        self.hub.tick(wiring.clock.ms(now))
        if not self._sweeping:
            self._sweep()
        self.gauge.beat(now)
        self._collector.beat(now, time.thread_time())

    def _sweep(self) -> None:
        wiring = self.wiring
        self._sweeping = False  # whatever happens, the next beat sweeps again
        self._sweeping = wiring.deadlines.sweep(time.monotonic(), SLICE)
        if self._sweeping:
            wiring.loop.call_soon(self._sweep)

    async def drain(self) -> None:
        """Say BYE 102 to everybody, wait until it is with them or `drain_seconds` have passed, then stop."""
        wiring = self.wiring
        if not wiring.draining:
            wiring.draining = True
            LOG.info("draining %d sessions", wiring.sessions)
            self._stop_listening()
            await self._store.settle(self._config.drain_seconds)  # what was published is heard before BYE
            for connection in list(wiring.connections):
                connection.leave()
            self.hub.drain(wiring.now(), RECONNECT_MS)
        try:
            async with asyncio.timeout(self._config.drain_seconds):
                await wiring.sessions_gone()
        except TimeoutError:
            LOG.warning("%d sessions did not take the rest in time", wiring.sessions)
        await self.stop()

    async def stop(self) -> None:
        """Close everything at once; what was published by then is stored."""
        wiring = self.wiring
        wiring.draining = True
        self._stop_listening()
        await self._site.stop()
        for connection in list(wiring.connections):
            connection.abort()
        for secure in self._secure:
            await secure.closed()
        self._secure.clear()
        while wiring.connections:  # their connection_lost comes in the next iteration
            await asyncio.sleep(0)
        if self._tick is not None:
            self._tick.cancel()
        await self._screens.stop()
        self._flusher.stop()
        await self._store.close()

    def _stop_listening(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        for secure in self._secure:
            secure.close()
        if self._unix is not None:
            self._unix.remove()
            self._unix = None

    async def run(self, ready: Callable[[], None] | None = None) -> None:
        """Serve until SIGINT or SIGTERM, then drain; the second signal ends at once.

        `ready` is called once the server listens. Until the end the process is ours: signals, and when the
        garbage collector works.
        """
        await self.start()
        self._collector.take()
        self._screens.watch()
        loop = asyncio.get_running_loop()
        first, second = asyncio.Event(), asyncio.Event()

        def heard() -> None:
            (second if first.is_set() else first).set()

        for number in SIGNALS:
            loop.add_signal_handler(number, heard)
        try:
            if ready is not None:
                ready()
            await first.wait()
            draining = asyncio.ensure_future(self.drain())
            hurried = asyncio.ensure_future(second.wait())
            await asyncio.wait((draining, hurried), return_when=asyncio.FIRST_COMPLETED)
            for task in (draining, hurried):
                task.cancel()
            outcome, _ = await asyncio.gather(draining, hurried, return_exceptions=True)
            if isinstance(outcome, Exception):
                raise outcome
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)
            self._collector.release()
            await self.stop()
