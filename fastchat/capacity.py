"""The load model N >= r x C: what a server can do, calculated from what its work costs (docs/LOAD_MODEL.md).

>>> model = Model(a=8e-6, b=4e-6, c=40e-9, e=30e-6)
>>> round(model.requests_per_second([Group(1, 1000)], 100, 0.02).value, -3)
13000.0

Invariant: pure arithmetic. Nothing here reads a clock, a counter or a file, or draws by chance.
"""

from fastchat.capacity_calibrate import OVERHEAD, calibrate
from fastchat.capacity_model import P99, Estimate, Model
from fastchat.capacity_sample import NAMES, Sample
from fastchat.capacity_shape import (
    SHAPES,
    CapacityError,
    Crowd,
    Group,
    Rooms,
    Shape,
    clients,
    mixed,
    one_room,
    teams,
)

__all__ = [
    "NAMES", "OVERHEAD", "P99", "SHAPES", "CapacityError", "Crowd", "Estimate", "Group", "Model", "Rooms",
    "Sample", "Shape", "calibrate", "clients", "mixed", "one_room", "teams",
]  # fmt: skip
