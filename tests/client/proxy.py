"""A link that fails on demand: bytes pass between a client and a server until the test cuts it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Proxy:
    """Listens on a port of its own and carries bytes to `target` on 127.0.0.1."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.accepted = 0
        self.refusing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Break every connection that stands, with all that is under way."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def stop(self) -> None:
        self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.accepted += 1
        try:
            if self.refusing:
                return
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
            self._writers.add(back)
            pipes = [asyncio.ensure_future(pipe(reader, back)), asyncio.ensure_future(pipe(there, writer))]
            await asyncio.wait(pipes, return_when=asyncio.FIRST_COMPLETED)
            for one in pipes:
                one.cancel()
            await asyncio.gather(*pipes, return_exceptions=True)
            back.transport.abort()
            self._writers.discard(back)
        except (OSError, asyncio.CancelledError):
            return
        finally:
            writer.transport.abort()
            self._writers.discard(writer)
            self._tasks.discard(task)


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        return


@asynccontextmanager
async def proxied(target: int) -> AsyncIterator[Proxy]:
    proxy = Proxy(target)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
