"""Lines to stdout without stopping the event loop when whoever reads them is slow."""

from __future__ import annotations

import asyncio
import os
import select
import sys

MOMENT = 0.2  # seconds: a program that ends waits no longer for its reader


class Output:
    """stdout, line by line. BrokenPipeError: nobody reads any more."""

    async def line(self, text: str) -> None:
        """Write one line; a full pipe holds back the caller, not the loop."""
        while not _takes(0):
            await asyncio.to_thread(_takes, MOMENT)
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def _takes(seconds: float) -> bool:
    """Wait until stdout takes something, at most so long."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):
        return True  # not a file: a test's buffer
    return bool(select.select([], [descriptor], [], seconds)[1])


def nobody_reads() -> None:
    """After BrokenPipeError: the interpreter must not meet it again when it flushes at its end."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    except (OSError, ValueError):
        return
