"""Plain HTTP on the same port: a page that says what this is, and what a supervisor asks.

aiohttp serves the requests through its public request handler; this module keeps count and time. Slow heads
are cut by aiohttp's keep-alive timeout, slow bodies by its lingering time, readers that do not read here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web
from aiohttp.http import HttpProcessingError

from fastchat.config import Config
from fastchat.transports.deadlines import NONE
from fastchat.transports.page import PAGE, PAGE_POLICY
from fastchat.transports.wiring import Wiring

QUIET_SECONDS = 30.0  # neither a byte in nor one out: the connection is cut
LINE_LIMIT = 8 * 1024  # bytes of a request line or a header
HEADERS_LIMIT = 64  # of a request

HEADERS = {
    "Server": "fastchat",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
NOTHING = "default-src 'none'; frame-ancestors 'none'"  # content policy of what is no page

LOG = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Calm(logging.LoggerAdapter[logging.Logger]):
    """aiohttp logs a request that is no HTTP as its own error, and quotes it; but it is the peer's."""

    def log(self, level: int, msg: object, *args: Any, **kwargs: Any) -> None:
        if isinstance(kwargs.get("exc_info"), HttpProcessingError):
            level = logging.DEBUG
            kwargs["exc_info"] = None  # it may hold a token
        super().log(level, msg, *args, **kwargs)


class HttpSite:
    """The pages of one server; `handler()` serves one connection."""

    def __init__(
        self, config: Config, ready: Callable[[], bool], capacity: Callable[[], Mapping[str, object]]
    ) -> None:
        """`ready` tells whether new sessions are welcome (`/readyz`), `capacity` what `/capacity` says."""
        self._ready = ready
        self._measured = capacity
        app = web.Application(middlewares=[harden])
        app.router.add_get("/", self._page)
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/readyz", self._readiness)
        app.router.add_get("/capacity", self._capacity)
        self._runner = web.AppRunner(
            app,
            handle_signals=False,
            access_log=None,
            logger=_Calm(LOG, {}),
            keepalive_timeout=config.connect_seconds,
            lingering_time=config.linger_seconds,
            max_line_size=LINE_LIMIT,
            max_field_size=LINE_LIMIT,
            max_headers=HEADERS_LIMIT,
            shutdown_timeout=config.linger_seconds,
        )

    async def start(self) -> None:
        await self._runner.setup()

    async def stop(self) -> None:
        """Let requests under way finish, then close every connection."""
        await self._runner.cleanup()

    def handler(self) -> asyncio.Protocol:
        """A request handler for a new connection."""
        server = self._runner.server
        assert server is not None, "start() comes first"
        return server()

    async def _page(self, request: web.Request) -> web.Response:
        return web.Response(
            text=PAGE, content_type="text/html", headers={"Content-Security-Policy": PAGE_POLICY}
        )

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _capacity(self, request: web.Request) -> web.Response:
        return web.json_response(self._measured())

    async def _readiness(self, request: web.Request) -> web.Response:
        if self._ready():
            return web.Response(text="ready\n")
        return web.Response(text="draining\n", status=503, headers={"Retry-After": "5"})


@web.middleware
async def harden(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Put the headers of caution on every answer, refusals too."""
    try:
        response = await handler(request)
    except web.HTTPException as refusal:
        response = web.Response(status=refusal.status, text=f"{refusal.status} {refusal.reason}\n")
        if "Allow" in refusal.headers:
            response.headers["Allow"] = refusal.headers["Allow"]
    response.headers.update(HEADERS)
    response.headers.setdefault("Content-Security-Policy", NOTHING)
    response.headers.setdefault("Cache-Control", "no-store")
    return response


class HttpConnection(asyncio.Protocol):
    """A connection whose bytes go to aiohttp's request handler."""

    __slots__ = ("bucket", "_wiring", "_transport", "_address", "_handler", "_heard")

    def __init__(self, wiring: Wiring, transport: asyncio.Transport, address: str) -> None:
        self.bucket = NONE
        self._wiring = wiring
        self._transport = transport
        self._address = address
        self._handler = wiring.http()
        self._heard = wiring.time()

    def begin(self, head: bytes) -> None:
        """Take over from the front door, with the bytes that have come already."""
        wiring = self._wiring
        self._transport.set_protocol(self)
        wiring.connections.add(self)
        wiring.deadlines.put(self, self._heard + QUIET_SECONDS)
        self._handler.connection_made(self._transport)
        self.data_received(head)

    def data_received(self, data: bytes) -> None:
        self._heard = self._wiring.time()
        self._handler.data_received(data)

    def eof_received(self) -> bool | None:
        return self._handler.eof_received()

    def pause_writing(self) -> None:
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        self._heard = self._wiring.time()
        self._handler.resume_writing()

    def due(self, now: float) -> float:
        if now - self._heard >= QUIET_SECONDS:
            self._transport.abort()
            return 0.0
        return self._heard + QUIET_SECONDS

    def abort(self) -> None:
        self._transport.abort()

    def leave(self) -> None:
        """`HttpSite.stop` closes what is idle and waits for what is not."""

    def connection_lost(self, exc: Exception | None) -> None:
        wiring = self._wiring
        wiring.deadlines.drop(self)
        wiring.connections.discard(self)
        wiring.caps.release(self._address)
        self._handler.connection_lost(exc)
        del self._handler, self._transport
