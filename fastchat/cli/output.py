"""Lines to stdout without stopping the event loop when whoever reads them is slow."""

from __future__ import annotations

import asyncio
import os
import select
import sys


class Output:
    """stdout, line by line. BrokenPipeError: nobody reads any more."""

    async def line(self, text: str) -> None:
        """Write one line; a full pipe holds back the caller, not the loop."""
        if not _takes():
            await asyncio.to_thread(_wait)
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def _takes() -> bool:
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):
        return True  # not a file: a test's buffer
    return bool(select.select([], [descriptor], [], 0)[1])


def _wait() -> None:
    select.select([], [sys.stdout.fileno()], [])


def nobody_reads() -> None:
    """After BrokenPipeError: the interpreter must not meet it again when it flushes at its end."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    except (OSError, ValueError):
        return
