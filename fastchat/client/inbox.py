"""What waits for one consumer, counted in bytes.

Nothing is dropped here: whoever fills an inbox looks at `bytes` and stops reading the socket in time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
OVERHEAD = 256  # bytes: what an item costs beside its bytes on the wire


class Inbox(Generic[T]):
    """A queue for one event loop; several tasks may take from it, each item goes to one of them."""

    __slots__ = ("bytes", "_items", "_waiters", "_taken", "_ended", "_failure", "__weakref__")

    def __init__(self, taken: Callable[[], None]) -> None:
        self.bytes = 0
        self._items: deque[tuple[T, int]] = deque()
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._taken = taken  # called after each item that was taken
        self._ended = False
        self._failure: BaseException | None = None

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T, size: int) -> None:
        """Append an item that had `size` bytes on the wire."""
        if self._ended:
            return
        self._items.append((item, size + OVERHEAD))
        self.bytes += size + OVERHEAD
        self._wake()

    def put_first(self, items: Sequence[T], size: int) -> None:
        """Put items before all that wait; `size` bytes each."""
        for item in reversed(items):
            self._items.appendleft((item, size + OVERHEAD))
            self.bytes += size + OVERHEAD
            self._wake()

    def end(self, failure: BaseException | None = None) -> None:
        """Nothing more comes; once empty, taking raises `failure`, or StopAsyncIteration."""
        if self._ended:
            return
        self._ended, self._failure = True, failure
        while self._waiters:
            self._wake()

    async def get(self) -> T:
        """Take the oldest item, waiting for one."""
        while not self._items:
            if self._ended:
                raise self._failure.with_traceback(None) if self._failure else StopAsyncIteration
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake()  # the item was meant for us: somebody else should have it
                raise
        item, size = self._items.popleft()
        self.bytes -= size
        self._taken()
        return item

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return


class Stream(Generic[T]):
    """Iterate over an inbox; letting go of the stream lets go of what waits in it."""

    __slots__ = ("_inbox",)

    def __init__(self, inbox: Inbox[T]) -> None:
        self._inbox = inbox

    def __aiter__(self) -> Stream[T]:
        return self

    async def __anext__(self) -> T:
        return await self._inbox.get()
