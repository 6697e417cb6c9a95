"""The door before the front door where TLS is on: accepts, counts, and shakes hands.

An event loop's own server would hand a connection over only after the TLS handshake, and one address could
hold all descriptors by not finishing it. So connections are accepted here, and counted before anything else.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import sys

from fastchat.transports.front import Front
from fastchat.transports.wiring import Wiring

ACCEPTS = 64  # connections accepted in one iteration
PAUSE_SECONDS = 1.0  # out of descriptors: how long nothing is accepted

LOG = logging.getLogger(__name__)


class SecureListener:
    """Accepts on a listening socket, which it owns."""

    def __init__(self, wiring: Wiring, listener: socket.socket, context: ssl.SSLContext) -> None:
        self._wiring = wiring
        self._listener = listener
        self._context = context
        self._shaking: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._watch()

    def close(self) -> None:
        """Accept no more; handshakes under way are given up."""
        if self._listener.fileno() < 0:
            return
        if self._pause is not None:
            self._pause.cancel()
        self._wiring.loop.remove_reader(self._listener.fileno())
        self._listener.close()
        for task in self._shaking:
            task.cancel()

    async def closed(self) -> None:
        """Wait until the handshakes given up are gone."""
        await asyncio.gather(*self._shaking, return_exceptions=True)

    def _watch(self) -> None:
        self._pause = None
        self._wiring.loop.add_reader(self._listener.fileno(), self._ready)

    def _ready(self) -> None:
        """Accept what waits, at most so much that others get their turn."""
        wiring = self._wiring
        for _ in range(ACCEPTS):
            try:
                accepted, place = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                LOG.warning("cannot accept: %s; trying again in %g s", error.strerror, PAUSE_SECONDS)
                wiring.loop.remove_reader(self._listener.fileno())
                self._pause = wiring.loop.call_later(PAUSE_SECONDS, self._watch)
                return
            address = sys.intern(place[0])
            if not wiring.caps.admit(address):
                accepted.close()  # before the handshake there are no words to refuse with
                continue
            accepted.setblocking(False)
            task = wiring.loop.create_task(self._shake(accepted, address))
            self._shaking.add(task)
            task.add_done_callback(self._shaking.discard)

    async def _shake(self, accepted: socket.socket, address: str) -> None:
        wiring = self._wiring
        front = Front(wiring, address, wiring.time())
        try:
            await wiring.loop.connect_accepted_socket(
                lambda: front,
                accepted,
                ssl=self._context,
                ssl_handshake_timeout=wiring.config.connect_seconds,
                ssl_shutdown_timeout=wiring.config.linger_seconds,
            )
        except (OSError, asyncio.CancelledError) as error:  # ssl.SSLError and TimeoutError are OSErrors
            LOG.debug("%s: no TLS: %r", address, error)
            if not front.begun:
                wiring.caps.release(address)
