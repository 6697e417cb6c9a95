"""What a running server can do, from its own counters: capacity, load, utilisation, headroom.

Every beat tells the load of the moment, every window of about a second brings the model a sample. The room
shapes are not asked for but seen: how many get a copy (the fan-out), and how many different members an
iteration reaches, from how many frames share a send.

Invariant: pure arithmetic on totals; a window that does not fit the model's picture does not spoil it.
"""

from __future__ import annotations

from math import exp, inf, isfinite
from typing import NamedTuple

from fastchat.admission import Outlook
from fastchat.config import Config
from fastchat.meter import Totals

BLINK = 0.3  # seconds over which the offered load is averaged for the gates
WINDOW = 1.0  # seconds of a sample for the model
BEATS = 3  # whose iterations are looked at together


class Live:
    """The load model of one server at work; `limit` is the p99 in seconds that is good enough."""

    def __init__(self, limit: float, budget: float) -> None:
        """`budget` is how long a flush may be held back, seconds: shorter iterations are no goal."""
        self.limit = limit
        self.iteration = 0.0
        self.sends = 0.0
        self.frames = 0.0

    def beat(self, totals: Totals, age: float) -> Outlook:
        return Outlook(False, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)

    def report(self) -> dict[str, object]:
        return {}

    def limits(self, room: int, waiting: int, config: Config) -> tuple[str, str]:
        return "idle", "no load yet"
