"""The terminal of `fastchat chat`: lines typed at the bottom, messages scrolling above them.

Invariant: the terminal is given back as it was found, however the conversation ends. Where stdin or stdout
is no terminal there is no editing: lines in, lines out.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import termios
import tty
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from fastchat.cli.editor import Editor
from fastchat.cli.output import Output
from fastchat.cli.stdin import lines, typed

REDRAWN = (signal.SIGCONT, signal.SIGWINCH)  # after Ctrl-Z and fg the terminal is the shell's; its new size
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
        loop = asyncio.get_running_loop()
        try:
            for number in REDRAWN:
                loop.add_signal_handler(number, self._take)
            self._take()
            yield
        finally:
            for number in REDRAWN:
                loop.remove_signal_handler(number)
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
        if not self.interactive:
            async for line in lines():
                yield line
            return
        async for text in typed():
            completed = self._editor.feed(text)
            self._draw()
            for line in completed:
                yield line
            if self._editor.ended:
                return

    def _take(self) -> None:
        tty.setcbreak(sys.stdin)  # no echo, key by key; Ctrl-C is still a signal
        self._draw()

    def _draw(self) -> None:
        columns = shutil.get_terminal_size().columns - len(self._prompt) - MARGIN
        text, column = self._editor.view(max(8, columns))
        self._write(f"\r\x1b[K{self._prompt}{text}\r\x1b[{len(self._prompt) + column}C")

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
