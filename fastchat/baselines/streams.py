"""asyncio streams on uvloop: a coroutine per client, a `writer.write` per delivery.

What one writes first with asyncio, done well: whoever sends drains its own stream and nobody else's, so no
slow reader holds a room up. Invariant: of who does not read no more than OUTBOX_BYTES waits; then it is
dropped, without BYE.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import uvloop

from fastchat.baselines.dialogue import Dialogue, farewell
from fastchat.baselines.hall import Hall, Lock
from fastchat.baselines.listener import listeners, named
from fastchat.config import Config
from fastchat.errors import Code
from fastchat.protocol.framing import tcp_frame
from fastchat.transports.caps import raise_descriptor_limit

READ_BYTES = 64 * 1024  # of one read: many small frames at once
END_SECONDS = 2.0  # for peers to read their BYE
DISCARD_BYTES = 4 * 1024 * 1024  # of a peer that goes on sending after its BYE

LOG = logging.getLogger(__name__)


class Link:
    """The sending side of a connection; a `Member`. On a loop nothing needs a lock."""

    __slots__ = ("lock", "_writer", "_transport", "_most", "_over")

    def __init__(self, writer: asyncio.StreamWriter, most: int) -> None:
        self.lock: Lock = nullcontext()
        self._writer = writer
        self._transport = writer.transport
        self._most = most
        self._over = False  # BYE was said

    def send(self, frames: bytes, patient: bool = True) -> bool:
        """Nobody is waited for: what the kernel does not take stays in the transport's buffer."""
        if not self._over and not self._transport.is_closing():
            self._writer.write(frames)
            if self._transport.get_write_buffer_size() > self._most:
                self._transport.abort()
        return True

    def write(self, frames: bytes) -> None:
        self.send(frames)

    def end(self) -> None:
        """Say nothing more."""
        self._over = True
        if not self._transport.is_closing():
            self._writer.write_eof()

    def part(self, frames: bytes) -> None:
        """Say the last words and close."""
        self.send(frames)
        self._writer.close()

    def abort(self) -> None:
        """Close it, whatever waits."""
        self._transport.abort()


class StreamsServer:
    """The server on asyncio streams: `listen()`, then `serve()` until `stop()` is called elsewhere."""

    def __init__(
        self,
        config: Config,
        *,
        patience: float = END_SECONDS,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """`patience`: seconds for peers to read their BYE; `clock`: nanoseconds since 1970."""
        self._config = config
        self._hall = Hall(config, config.node or f"streams-{secrets.token_hex(4)}", nullcontext)
        self._patience = patience
        self._clock = clock
        self._listeners: list[socket.socket] = []
        self._links: dict[Link, asyncio.Task[Any]] = {}
        self._stopped = asyncio.Event()

    @property
    def addresses(self) -> list[str]:
        """Where it listens: "127.0.0.1:9999"."""
        return [named(one) for one in self._listeners]

    def listen(self) -> None:
        """Let clients come; they wait until `serve`. Raises ConfigError."""
        self._listeners = listeners(self._config)
        raise_descriptor_limit()
        self._loop = uvloop.new_event_loop()

    def stop(self) -> None:
        """Let `serve` come to its end; from any thread or signal handler, in vain where it has."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopped.set)

    def serve(self) -> None:
        """Talk to everybody until `stop`, then end everything."""
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        backlog = self._config.backlog
        servers = [await asyncio.start_server(self._talk, sock=s, backlog=backlog) for s in self._listeners]
        await self._stopped.wait()
        for server in servers:
            server.close()
        frame = tcp_frame(farewell(Code.DRAINING, "the server is going down"))
        for link in list(self._links):
            link.part(frame)
        await self._through()
        for link in list(self._links):
            link.abort()
        await self._through()

    async def _through(self) -> None:
        """Wait for everybody's task to end, but not for long."""
        if self._links:
            await asyncio.wait(self._links.values(), timeout=self._patience)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(writer, self._config.outbox_bytes)
        dialogue = Dialogue(self._hall, link)
        task = asyncio.current_task()
        assert task is not None
        self._links[link] = task
        try:
            while data := await reader.read(READ_BYTES):
                if not dialogue.receive(data, self._clock() // 1_000_000):
                    dialogue.lost()
                    link.end()
                    await _linger(reader, self._patience)
                    break
                await writer.drain()  # of its own: a peer that does not read may not go on asking
        except ConnectionError as error:
            LOG.debug("a connection ended: %s", error)
        finally:
            dialogue.lost()
            del self._links[link]
            writer.close()


async def _linger(reader: asyncio.StreamReader, patience: float) -> None:
    """Wait for the peer to close: closing with input unread would have the kernel take the BYE back."""
    discarded = 0
    try:
        async with asyncio.timeout(patience):
            while discarded < DISCARD_BYTES and (data := await reader.read(READ_BYTES)):
                discarded += len(data)
    except (OSError, TimeoutError):
        return
