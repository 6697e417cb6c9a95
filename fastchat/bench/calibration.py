"""Measure the model's coefficients at light load, on other rooms and payloads than those it is tested on.

The loads keep a server at 5 to 45 % of what it can do. What they vary: how many get a message, how many
messages share an iteration, how long messages are, how many sockets there are. Each load is measured several
times, the rounds interleaved, and the repeat that lies in the middle stands for it; what then still lies far
from the fit is left out, and said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, NamedTuple, TypeAlias

from fastchat.bench.counters import counted, observed
from fastchat.bench.rig import Load
from fastchat.capacity import Group, Model, Sample, Shape, calibrate

FAR = 0.2  # of the predicted CPU time: a sample so far from the fit met something else
HOLD = 0.002  # seconds that a flush may be held back: the server's flush_budget_ms, as it comes
STEADY = 0.0025  # seconds: in shorter iterations a p99 is made of single disturbances, not of iterations
HALVINGS = 6  # of that: to a hundredth or so
SLOWEST = 1.0  # more than twice as dear is no spell
MOST_FAR = 0.2  # of the loads: if more lie far out it is the model that is wrong, and none is left out


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


Measured: TypeAlias = tuple[Light, Sample]
Late: TypeAlias = Sequence[tuple[Light, float]]  # seconds: p99 as it was measured


def one(members: int, rate: float, payload: int) -> Light:
    return Light((Group(1, members),), rate, payload)


def many(rooms: int, members: int, rate: float, payload: int) -> Light:
    return Light((Group(rooms, members),), rate, payload)


COALESCING = (
    one(50, 1_500, 64),
    one(400, 6_800, 400),
    one(200, 400, 400),
    one(200, 6_000, 64),
    one(200, 2_500, 2000),
    one(600, 200, 64),
    one(600, 4_000, 400),
    one(600, 900, 2000),
    one(1500, 100, 400),
    one(1500, 900, 64),
    one(1500, 250, 2000),
    many(250, 8, 2_500, 64),
    many(250, 8, 6_000, 400),
    many(1000, 8, 4_000, 2000),
    many(60, 30, 1_000, 400),
    many(120, 30, 2_200, 64),
    one(600, 6_200, 64),
    one(1000, 2_000, 400),
)
QUICK_COALESCING = tuple(COALESCING[i] for i in (1, 3, 4, 5, 6, 8, 9, 12, 14, 15))
SEPARATE = (  # a send for each delivery: what counts is messages and deliveries
    one(20, 400, 64),
    one(20, 2_000, 400),
    one(60, 200, 2000),
    one(60, 800, 64),
    one(200, 60, 400),
    one(200, 250, 64),
    one(200, 150, 2000),
    many(60, 8, 800, 400),
    many(250, 8, 3_000, 64),
    many(250, 8, 2_000, 2000),
    many(30, 30, 300, 64),
    many(60, 30, 900, 400),
)
QUICK_SEPARATE = tuple(SEPARATE[i] for i in (1, 3, 4, 6, 8, 11))


def lights(coalescing: bool, few: bool = False) -> tuple[Light, ...]:
    """The loads for a server of that kind."""
    if few:
        return QUICK_COALESCING if coalescing else QUICK_SEPARATE
    return COALESCING if coalescing else SEPARATE


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured for one load, and how well the model says it again."""

    light: Light
    sample: Sample  # the repeat that lies in the middle
    repeats: int
    spread: float  # between the repeats, of the CPU time
    residual: float  # of the predicted CPU time: measured / predicted - 1
    far: bool  # left out of the fit


@dataclass(frozen=True, slots=True)
class Calibration:
    """A model and what it was fitted on."""

    model: Model
    rows: tuple[Row, ...]

    def to_json(self) -> dict[str, Any]:
        """For a result: coefficients in CPU seconds with their 95 % intervals, and every load."""
        return {
            "coefficients": {
                name: {"value": one.value, "low": one.low, "high": one.high}
                for name, one in self.model.coefficients().items()
            },
            "model": self.model.as_dict(),
            "residual": median(abs(row.residual) for row in self.rows),
            "loads": [
                {
                    "load": row.light.name,
                    "repeats": row.repeats,
                    "spread": row.spread,
                    "residual": row.residual,
                    "far": row.far,
                }
                for row in self.rows
            ],
        }


def sample_of(measured: Mapping[str, Any]) -> Sample:
    """The model's sample: by the server's own counters where it has any."""
    return counted(measured["counters"]) if measured["counters"] else observed(measured)


def fit(measured: Sequence[Measured], coalescing: bool, late: Late = ()) -> Calibration:
    """Fit the model. Raises CapacityError where the samples do not determine it."""
    beside = overhead(measured)
    first = calibrate([sample for _, sample in measured], coalescing=coalescing, overhead=beside)
    repeats: dict[Light, list[Sample]] = {}
    for light, sample in measured:
        repeats.setdefault(light, []).append(sample)
    chosen = {light: central(samples, first) for light, samples in repeats.items()}
    model = calibrate(list(chosen.values()), coalescing=coalescing, overhead=beside)
    far = {light for light, sample in chosen.items() if abs(residual(sample, model)) > FAR}
    if far and len(far) <= MOST_FAR * len(chosen):
        near = [sample for light, sample in chosen.items() if light not in far]
        model = calibrate(near, coalescing=coalescing, overhead=beside)
    else:
        far = set()
    rows = (
        Row(
            light,
            sample,
            len(repeats[light]),
            spread(repeats[light], first),
            residual(sample, model),
            light in far,
        )
        for light, sample in chosen.items()
    )
    model = replace(model, hold=HOLD if coalescing else 0.0)
    return Calibration(replace(model, slow=slowness(model, late) if coalescing else 0.0), tuple(rows))


def slowness(model: Model, late: Late) -> float:
    """How much dearer everything is in the machine's slow spells: what p99 under light load tells.

    The formula's p99 is that of a machine that is always equally fast; the median over the loads of what has
    to be added to all costs so that it becomes the measured one. Of a load's repeats the best counts, for a
    hiccup makes a p99 longer and never shorter, and the search for a knee forgives hiccups too.
    """
    best: dict[Light, float] = {}
    for light, seconds in late:
        best[light] = min(seconds, best.get(light, seconds))
    found = [
        _spell(model, light, seconds)
        for light, seconds in best.items()
        if model.iteration(light.rate, light.shape, light.payload) >= STEADY
    ]
    return median(found) if found else 0.0


def _spell(model: Model, light: Light, seconds: float) -> float:
    low, high = 0.0, SLOWEST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        slower = replace(model, slow=middle)
        if slower.latency(light.rate, light.shape, light.payload) < seconds:
            low = middle
        else:
            high = middle
    return low


def overhead(measured: Sequence[Measured]) -> float:
    """Bytes of a frame beside its payload: the least, since acknowledgements are counted in."""
    return max(0.0, min(sample.bytes / sample.frames - light.payload for light, sample in measured))


def residual(sample: Sample, model: Model) -> float:
    """How much more CPU time was measured than the model says, as a part of that."""
    predicted = model.cpu(sample)
    return sample.cpu / predicted - 1 if predicted > 0 else 0.0


def central(samples: Sequence[Sample], model: Model) -> Sample:
    """The repeat that is neither dear nor cheap by a first model: repeats differ in their counts."""
    ordered = sorted(samples, key=lambda sample: residual(sample, model))
    return ordered[(len(ordered) - 1) // 2]


def spread(samples: Sequence[Sample], model: Model) -> float:
    found = [residual(sample, model) for sample in samples]
    return max(found) - min(found)


def drift(measured: Sequence[Measured], model: Model) -> float:
    """How much dearer everything has become since the model was fitted: 0.05 is 5 %."""
    return median(residual(sample, model) for _, sample in measured)
