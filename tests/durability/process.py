"""A real `fastchat serve` of its own, on a free port and a data directory, that may be killed at any time."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path

START = 30.0  # seconds until it listens, on a machine that is busy with other things
LISTENS = re.compile(rb"listens on .*127\.0\.0\.1:(\d+)")


class ServerProcess:
    """Start, kill, start again; `port` is None while it is down."""

    def __init__(self, *arguments: str, under: Sequence[str] = ()) -> None:
        """`under`: a command that runs it, like strace."""
        self.port: int | None = None
        self.starts = 0
        self._command = [*under, sys.executable, "-m", "fastchat", "serve", "--port", "0", *arguments]
        self._process: asyncio.subprocess.Process | None = None
        self._said: asyncio.Task[bytes] | None = None
        self._up = asyncio.Event()

    async def start(self) -> None:
        """Start it, and wait until it listens. AssertionError with its last words if it does not."""
        await self.begin()
        assert self._process is not None and self._process.stdout is not None and self._said is not None
        async with asyncio.timeout(START):
            line = await self._process.stdout.readline()
        found = LISTENS.search(line)
        if found is None:
            words = (await self._said).decode(errors="replace")
            raise AssertionError(f"the server did not start again: {line!r}\n{words[-2000:]}")
        self.port = int(found[1])
        self._up.set()

    async def begin(self) -> None:
        """Start it, and wait for nothing."""
        assert self._process is None
        self.starts += 1
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        assert self._process.stderr is not None
        self._said = asyncio.create_task(self._process.stderr.read())

    async def up(self) -> int:
        """Wait until it listens; gives the port."""
        await self._up.wait()
        assert self.port is not None
        return self.port

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def kill(self) -> str:
        """kill -9; gives what it had said on stderr."""
        return await self._end(9)

    async def stop(self) -> str:
        """SIGTERM, and wait until it has drained."""
        return await self._end(15)

    async def _end(self, signal: int) -> str:
        process, said = self._process, self._said
        if process is None or process.stdout is None or said is None:
            return ""
        self.port = None
        self._up.clear()
        try:
            with contextlib.suppress(ProcessLookupError):  # it is dead already
                process.send_signal(signal)
            async with asyncio.timeout(START):
                await process.wait()
                await process.stdout.read()  # who traces it may have it open a little longer
                words = await said
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        self._process = self._said = None
        return words.decode(errors="replace")


def storing(data: Path, *arguments: str, engine: str = "sqlite") -> list[str]:
    """Arguments of a server that keeps what is said in `data`."""
    return ["--limits", "off", "--set", f"engine={engine}", "--set", f"data={data}", *arguments]


def complaints(words: str) -> str:
    """What of a server's words on stderr should not be there."""
    return words[-2000:] if "Traceback" in words or " ERROR " in words else ""
