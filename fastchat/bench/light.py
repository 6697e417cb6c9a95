"""The light loads on which the model is fitted: other payloads and other teams than those it is tested on.

They keep a server at 5 to 60 % of what it can do. What they vary: how many get a message, how many messages
share an iteration, how long messages are, how many sockets there are, and how those are spread over rooms.

Invariant: neighbours in the order are unlike each other, so that a few in a row say something of everything.
"""

from __future__ import annotations

from typing import NamedTuple

from fastchat.bench.rig import Load
from fastchat.capacity import Group, Shape


class Light(NamedTuple):
    """A light load: rooms, messages/s over all, bytes of a message."""

    shape: Shape
    rate: float
    payload: int

    @property
    def name(self) -> str:
        rooms = " + ".join(f"{group.rooms} x {group.members}" for group in self.shape)
        return f"{rooms}, {self.rate:g}/s, {self.payload} B"

    def load(self, seconds: float, warmup: float) -> Load:
        return Load(self.shape, self.rate, self.payload, seconds, warmup)


def one(members: int, rate: float, payload: int) -> Light:
    return many(1, members, rate, payload)


def many(rooms: int, members: int, rate: float, payload: int) -> Light:
    return Light((Group(rooms, members),), rate, payload)


MIXED = Light((Group(120, 8), Group(12, 30), Group(1, 160)), 4_000, 64)
COALESCING = (
    one(400, 6_800, 400),
    many(250, 8, 6_000, 400),
    one(1000, 1_500, 64),
    many(1000, 8, 5_000, 64),
    many(60, 30, 2_500, 400),
    one(200, 2_500, 2000),
    many(500, 8, 7_000, 400),
    one(600, 4_000, 400),
    MIXED,
    one(50, 1_500, 64),
    many(120, 30, 2_200, 64),
    one(800, 500, 2000),
    many(250, 8, 9_000, 64),
    one(800, 2_500, 400),
    many(1000, 8, 4_000, 2000),
    one(200, 6_000, 64),
    many(40, 30, 6_000, 400),
    one(600, 900, 2000),
    many(120, 30, 2_000, 2000),
    one(600, 6_200, 64),
)
QUICK_COALESCING = tuple(COALESCING[i] for i in (0, 1, 2, 4, 5, 6, 8, 9, 11, 12))
SEPARATE = (  # a send for each delivery: what counts is messages and deliveries
    one(20, 400, 64),
    many(60, 8, 800, 400),
    one(60, 200, 2000),
    many(30, 30, 300, 64),
    one(200, 60, 400),
    many(250, 8, 3_000, 64),
    one(20, 2_000, 400),
    one(200, 150, 2000),
    many(60, 30, 900, 400),
    one(60, 800, 64),
    many(250, 8, 2_000, 2000),
    one(200, 250, 64),
)
QUICK_SEPARATE = tuple(SEPARATE[i] for i in (1, 2, 5, 6, 8, 11))


def lights(coalescing: bool, few: bool = False) -> tuple[Light, ...]:
    """The loads for a server of that kind."""
    if few:
        return QUICK_COALESCING if coalescing else QUICK_SEPARATE
    return COALESCING if coalescing else SEPARATE
