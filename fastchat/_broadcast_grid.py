"""Who is near, in the pure twin: members by the cells of a grid as wide as the radius.

Invariant: whoever is within the radius of a place is in a cell that `near` looks at, whatever is rounded.
"""

from __future__ import annotations

from itertools import product
from math import floor
from typing import TYPE_CHECKING

from fastchat._broadcast_base import MARGIN, checked_place, checked_radius
from fastchat._broadcast_queue import Frame

if TYPE_CHECKING:
    from fastchat._broadcast_outbox import Outbox

Cell = tuple[int, int]


class Grid:
    """The places of a room's members, and the frames that were chosen for each since the last round."""

    __slots__ = ("ranges", "_radius", "_places", "_cells", "_picked", "_left")

    def __init__(self, radius: float) -> None:
        self.ranges = 0  # of frames that stand together, over all members
        self._radius = checked_radius(radius)
        self._places: dict[Outbox, tuple[float, float]] = {}
        self._cells: dict[Cell, dict[Outbox, None]] = {}
        self._picked: dict[Outbox, list[Frame]] = {}
        self._left: list[tuple[Outbox, list[Frame]]] = []  # of members removed meanwhile

    def place(self, outbox: Outbox, x: float, y: float) -> None:
        """Let the member be there; raises ValueError."""
        x, y = checked_place(x, y)
        self.unplace(outbox)
        self._places[outbox] = (x, y)
        self._cells.setdefault(self._cell(x, y), {})[outbox] = None

    def unplace(self, outbox: Outbox) -> None:
        """Let the member be nowhere."""
        place = self._places.pop(outbox, None)
        if place is None:
            return
        cell = self._cell(*place)
        del self._cells[cell][outbox]
        if not self._cells[cell]:
            del self._cells[cell]

    def position(self, outbox: Outbox) -> tuple[float, float] | None:
        """Tell where the member is."""
        return self._places.get(outbox)

    def _cell(self, x: float, y: float) -> Cell:
        return floor(x / self._radius), floor(y / self._radius)

    def near(self, x: float, y: float) -> list[Outbox]:
        """List the members within the radius, its edge included."""
        radius, margin = self._radius, self._radius * MARGIN
        left, low = self._cell(x - margin, y - margin)
        right, high = self._cell(x + margin, y + margin)
        found = []
        for cell in product(range(left, right + 1), range(low, high + 1)):
            for outbox in self._cells.get(cell, ()):
                dx, dy = self._places[outbox][0] - x, self._places[outbox][1] - y
                if dx * dx + dy * dy <= radius * radius:
                    found.append(outbox)
        return found

    def pick(self, outbox: Outbox, frame: Frame, before: Frame | None) -> None:
        """Choose the frame for the member; `before` is the frame before it in its batch."""
        frames = self._picked.setdefault(outbox, [])
        self.ranges += not frames or frames[-1] is not before
        frames.append(frame)

    def part(self, outbox: Outbox) -> None:
        """The member leaves; what was chosen for it still comes."""
        frames = self._picked.pop(outbox, None)
        if frames:
            self._left.append((outbox, frames))

    def forget(self, outbox: Outbox) -> None:
        """The member is gone, with all that was chosen for it."""
        self.unplace(outbox)
        self._picked.pop(outbox, None)

    def freeze(self) -> list[tuple[Outbox, list[Frame]]]:
        """Take what was chosen for whom."""
        taken = [*self._left, *self._picked.items()]
        self._left, self._picked, self.ranges = [], {}, 0
        return taken
