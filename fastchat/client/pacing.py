"""What the server takes only so fast: publishes and changes that wait because one of them came too early.

Invariant: what is said in a room after a refusal came waits behind what was refused, so that a sender's
messages keep their order; they go one at a time, as far apart as the server asked for.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Container

from fastchat.client.failures import Refused
from fastchat.errors import Code

# Nothing of what was refused with these was carried out, and the same may pass in a moment
PATIENT = frozenset((Code.OVERLOADED, Code.STORE_UNAVAILABLE, Code.RATE, Code.SLOW_MODE))
PAUSE_MS = 1000  # where the server does not say how long


class Queue:
    """The publishes of one room that wait, by their ids, which ascend as they are made."""

    __slots__ = ("due", "pause", "refusal", "numbers")

    def __init__(self, refusal: Refused, now: float) -> None:
        self.pause = (refusal.retry_ms or PAUSE_MS) / 1000  # seconds between two
        self.due = now + self.pause  # when the next may go
        self.refusal = refusal  # why they wait
        self.numbers: list[int] = []


class Pacing:
    """The rooms in which publishes wait."""

    __slots__ = ("_queues",)

    def __init__(self) -> None:
        self._queues: dict[str, Queue] = {}

    def hold(self, room: str, number: int, refusal: Refused, until: float, now: float) -> bool:
        """Let one that was refused wait, if it may be tried again before `until`."""
        former = self._queues.get(room)
        queue = Queue(refusal, now)
        if queue.due > until:
            return False
        if former is not None:
            queue.numbers = former.numbers
        insort(queue.numbers, number)
        self._queues[room] = queue
        return True

    def queue(self, room: str, number: int, until: float) -> bool:
        """Let a new one wait if others do; raises their Refused where its turn cannot come before `until`."""
        queue = self._queues.get(room)
        if queue is None:
            return False
        if queue.due + queue.pause * len(queue.numbers) > until:
            raise queue.refusal.with_traceback(None)
        queue.numbers.append(number)
        return True

    def resend(self, room: str, number: int) -> bool:
        """Let one that the last connection left without an answer take its place, if others wait there."""
        queue = self._queues.get(room)
        if queue is not None and number not in queue.numbers:
            insort(queue.numbers, number)
        return queue is not None

    def due(self) -> float | None:
        """When `go` has something to do."""
        return min((queue.due for queue in self._queues.values()), default=None)

    def go(self, now: float, alive: Container[int]) -> list[int]:
        """Take those that may be sent now; of those not `alive` nobody waits for the answer any more."""
        ready: list[int] = []
        for room, queue in list(self._queues.items()):
            queue.numbers = [number for number in queue.numbers if number in alive]
            if queue.due > now:
                continue
            if not queue.numbers:
                del self._queues[room]
                continue
            queue.due = now + queue.pause
            ready.append(queue.numbers.pop(0))
        return ready
