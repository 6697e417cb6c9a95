"""stdin without stopping the event loop, whatever it is: a terminal, a pipe or a file.

A daemon thread reads: a loop cannot wait for files, and a program that ends must not wait for a line that
nobody types any more.
"""

from __future__ import annotations

import asyncio
import codecs
import os
import sys
import threading
from collections.abc import AsyncIterator

CHUNK = 4096  # bytes read at a time; one chunk waits, then the thread does


async def typed() -> AsyncIterator[str]:
    """Characters as they come; what is not UTF-8 becomes the replacement character."""
    loop = asyncio.get_running_loop()
    chunks: asyncio.Queue[bytes] = asyncio.Queue(1)
    descriptor = sys.stdin.fileno()

    def read() -> None:
        try:
            while True:
                chunk = os.read(descriptor, CHUNK)
                asyncio.run_coroutine_threadsafe(chunks.put(chunk), loop).result()
                if not chunk:
                    return
        except (OSError, RuntimeError, asyncio.CancelledError):
            return  # the terminal is gone, or the loop has ended

    threading.Thread(target=read, name="stdin", daemon=True).start()
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    while chunk := await chunks.get():
        yield decoder.decode(chunk)


async def lines() -> AsyncIterator[str]:
    """Lines without their ends; the last one may lack its own."""
    rest = ""
    async for text in typed():
        *whole, rest = (rest + text).split("\n")
        for line in whole:
            yield line.rstrip("\r")
    if rest:
        yield rest
