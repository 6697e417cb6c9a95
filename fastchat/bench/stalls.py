"""What p99 under light load tells of the moments in which the machine stands still.

Neighbours on the same host, the hypervisor, interrupts, collections of garbage: none of it is in the price of
a message, all of it delays some. `Model.stall` sums it up as a variance per second, and near the knee, where
what was left undone is made up for slowly, it decides (docs/LOAD_MODEL.md, "Stalls").

Loads of short iterations are not asked: there p99 is the wait of a flush that was held back in vain.

Invariant: never negative; a load that the bare model already explains says 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import sqrt
from statistics import median

from fastchat.bench.light import Light
from fastchat.capacity import Model

STEADY = 0.0025  # seconds that an iteration must last: more than flush_budget_ms
LEAST, MOST = 1e-6, 1e-2  # seconds, within which it is looked for
HALVINGS = 6  # of that, as factors: to a sixth


def learnt(model: Model, late: Sequence[tuple[Light, float]]) -> float:
    """The stall, in seconds, with which the model's p99 is the measured one: the median over the loads.

    `late` are p99s in seconds as they were measured; of a load's repeats the one in the middle counts.
    """
    repeats: dict[Light, list[float]] = {}
    for light, seconds in late:
        repeats.setdefault(light, []).append(seconds)
    found = [
        _stall(model, light, median(seconds))
        for light, seconds in repeats.items()
        if not model.coalescing or model.iteration(light.rate, light.shape, light.payload) >= STEADY
    ]
    return median(found) if found else 0.0


def _stall(model: Model, light: Light, seconds: float) -> float:
    low, high = LEAST, MOST
    if replace(model, stall=0.0).latency(light.rate, light.shape, light.payload) >= seconds:
        return 0.0
    for _ in range(HALVINGS):
        middle = sqrt(low * high)
        if replace(model, stall=middle).latency(light.rate, light.shape, light.payload) < seconds:
            low = middle
        else:
            high = middle
    return sqrt(low * high)
