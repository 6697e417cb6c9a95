"""The terminal of `fastchat chat`: lines typed at the bottom, messages scrolling above them.

Invariant: the terminal is given back as it was found, however the conversation ends. Where stdin or stdout
is no terminal there is no editing: lines in, lines out.
"""

from __future__ import annotations

import asyncio
import codecs
import os
import shutil
import sys
import termios
import threading
import tty
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from fastchat.cli.editor import Editor
from fastchat.cli.output import Output

CHUNK = 4096  # bytes read from stdin at a time
MARGIN = 2  # columns that stay free behind what is typed


class Console:
    """Reads lines, prints lines."""

    def __init__(self) -> None:
        self.interactive = sys.stdin.isatty() and sys.stdout.isatty()
        self._editor = Editor()
        self._output = Output()
        self._prompt = ""

    @contextmanager
    def opened(self, prompt: str) -> Iterator[None]:
        """Take the terminal, and give it back."""
        self._prompt = prompt
        if not self.interactive:
            yield
            return
        found = termios.tcgetattr(sys.stdin)
        try:
            tty.setcbreak(sys.stdin)  # no echo, key by key; Ctrl-C is still a signal
            self._draw()
            yield
        finally:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, found)
            self._write("\r\x1b[K")

    async def show(self, line: str) -> None:
        """Print a line above what is being typed."""
        if not self.interactive:
            await self._output.line(line)
            return
        self._write(f"\r\x1b[K{line}\n")
        self._draw()

    async def lines(self) -> AsyncIterator[str]:
        """What is typed, or comes through the pipe, line by line."""
        async for text in self._characters():
            if not self.interactive:
                yield text
                continue
            completed = self._editor.feed(text)
            self._draw()
            for line in completed:
                yield line
            if self._editor.ended:
                return

    async def _characters(self) -> AsyncIterator[str]:
        """Whole lines from a pipe, as much as there is from a terminal.

        A thread reads: an event loop can wait for terminals and pipes, not for files.
        """
        loop = asyncio.get_running_loop()
        chunks: asyncio.Queue[bytes] = asyncio.Queue(1)

        def read() -> None:
            try:
                while True:
                    chunk = os.read(sys.stdin.fileno(), CHUNK)
                    asyncio.run_coroutine_threadsafe(chunks.put(chunk), loop).result()
                    if not chunk:
                        return
            except (OSError, RuntimeError, asyncio.CancelledError):
                return  # the terminal is gone, or the loop has ended

        threading.Thread(target=read, name="stdin", daemon=True).start()
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        rest = ""
        while chunk := await chunks.get():
            text = decoder.decode(chunk)
            if self.interactive:
                yield text
                continue
            *lines, rest = (rest + text).split("\n")
            for line in lines:
                yield line.rstrip("\r")
        if rest:
            yield rest

    def _draw(self) -> None:
        columns = shutil.get_terminal_size().columns - len(self._prompt) - MARGIN
        text, column = self._editor.view(max(8, columns))
        self._write(f"\r\x1b[K{self._prompt}{text}\r\x1b[{len(self._prompt) + column}C")

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
