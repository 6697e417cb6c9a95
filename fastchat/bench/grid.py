"""The points at which the model is tested: how often each client speaks, how much, and in which rooms.

Invariant: no point has the payload, or the teams, of a load that the model was fitted on (`light`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from fastchat.bench.failure import BenchError
from fastchat.capacity import SHAPES, Shape

RATES = (2.0, 5.0, 10.0)  # messages a second and client: a lively chat, a crowd, a game
PAYLOADS = (100, 1000)  # bytes: a line, a small state
ROOMS = ("room", "teams-5", "teams-50", "mixed")
LIMIT_MS = 20.0  # for the 99th percentile of deliveries, from the time a message was meant to be sent
MOST_CLIENTS = 19_000  # descriptors are capped at 20,000 a process on small machines
MARGIN = 1.15  # a knee may lie so far above its prediction and must still be within reach
FASTER = (3.0, 4.0, 6.0, 8.0, 12.0, 15.0, 20.0, 25.0, 30.0)  # in place of a rate that needs too many


@dataclass(frozen=True, slots=True)
class Point:
    """So many messages a second from each client, of so many bytes, in rooms of that shape."""

    rooms: str  # a name in capacity.SHAPES
    rate: float  # messages a second and client
    payload: int  # bytes

    @property
    def name(self) -> str:
        return f"{self.rooms}-r{self.rate:g}-{self.payload}B"

    def shape(self, clients: int) -> Shape:
        """The rooms of so many clients."""
        return SHAPES[self.rooms](clients)


GRID = tuple(Point(rooms, rate, payload) for rooms in ROOMS for rate in RATES for payload in PAYLOADS)
QUICK = (Point("room", 5.0, 100), Point("teams-5", 10.0, 100), Point("teams-50", 10.0, 1000))
CURVES = (Point("room", 5.0, 100), Point("teams-5", 10.0, 100), Point("teams-50", 5.0, 1000))
QUICK_CURVES = CURVES[:1]


def choose(patterns: Sequence[str], points: Sequence[Point] = GRID) -> tuple[Point, ...]:
    """The points whose names fit one of the patterns; all for none. Raises BenchError for a useless one."""
    for pattern in patterns:
        if not any(fnmatchcase(point.name, pattern) for point in GRID):
            raise BenchError(
                f"--points {pattern}: no such point; there are {', '.join(point.name for point in GRID)},"
                " and patterns such as 'room-*' or '*-1000B'"
            )
    if not patterns:
        return tuple(points)
    return tuple(point for point in GRID if any(fnmatchcase(point.name, one) for one in patterns))


def within_reach(
    points: Sequence[Point], predicted: Callable[[Point], float], most: int = MOST_CLIENTS
) -> dict[Point, Point]:
    """For each point what is measured in its place: itself, or with a rate that needs fewer clients.

    One process has only so many descriptors, and a knee that lies beyond them cannot be seen.
    """
    chosen: dict[Point, Point] = {}
    taken = set(points)
    for point in points:
        instead = point
        if predicted(point) * MARGIN > most:
            faster = (replace(point, rate=rate) for rate in FASTER if rate > point.rate)
            fits = (one for one in faster if one not in taken and predicted(one) * MARGIN <= most)
            instead = next(fits, point)
        taken.add(instead)
        chosen[point] = instead
    return chosen
