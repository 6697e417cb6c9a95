from collections.abc import Callable
from typing import Any, final

from fastchat.bench.dialects import Script
from fastchat.bench.plan import Plan

__all__ = ["Histogram", "Swarm", "die_with_parent"]

PROGRESS: float
BROKEN_DRAIN: float
MODES: dict[str, int]
SCHEDULES: dict[str, int]
FIRST_RING: int
FIRST_ROOM_RING: int
ADDRESS_CLIENTS: int
ALPHABET: bytes
LATE: float
BUSY: float

def die_with_parent() -> None: ...
@final
class Histogram:
    def record(self, value: int) -> None: ...
    def repeat(self, value: int, times: int) -> None: ...
    def percentile(self, share: float) -> float: ...
    def summary(self) -> dict[str, float]: ...
    def sparse(self) -> list[list[int]]: ...

@final
class Swarm:
    def __new__(cls, plan: Plan, script: Script | None = None) -> Swarm: ...
    def connect(self, progress: Callable[[dict[str, Any]], None] | None = None) -> dict[str, Any]: ...
    def rest(self, seconds: float) -> None: ...
    def run(self, progress: Callable[[dict[str, Any]], None] | None = None) -> dict[str, Any]: ...
