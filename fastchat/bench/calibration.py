"""Fit the model on what light loads cost, and say how well it tells them again.

Each load is measured several times, and all of it is fitted. A load of which even the repeat in the middle
lies far from the fit is left out, and said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, TypeAlias

from fastchat.bench.counters import counted, observed
from fastchat.bench.light import Light
from fastchat.bench.stalls import learnt
from fastchat.capacity import Model, Sample, calibrate

FAR = 0.2  # of the predicted CPU time: a sample so far from the fit met something else
MOST_FAR = 0.2  # of the loads: if more lie far out it is the model that is wrong, and none is left out


Measured: TypeAlias = tuple[Light, Sample]
Late: TypeAlias = Sequence[tuple[Light, float]]  # seconds: p99 as it was measured


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


def tells(sample: Sample) -> bool:
    """Whether a sample is one: a flush is told by the clock, and others may have had the core in it."""
    done = sample.messages and sample.sends and sample.frames and sample.cpu > 0.0
    return bool(done and (sample.flush is None or sample.flush < sample.cpu))


def fit(measured: Sequence[Measured], coalescing: bool, late: Late = ()) -> Calibration:
    """Fit the model. Raises CapacityError where the samples do not determine it."""
    beside = overhead(measured)
    model = calibrate([sample for _, sample in measured], coalescing=coalescing, overhead=beside)
    repeats: dict[Light, list[Sample]] = {}
    for light, sample in measured:
        repeats.setdefault(light, []).append(sample)
    chosen = {light: central(samples, model) for light, samples in repeats.items()}
    far = {light for light, sample in chosen.items() if abs(residual(sample, model)) > FAR}
    if len(far) > MOST_FAR * len(chosen):
        far = set()
    if far:
        near = [sample for light, sample in measured if light not in far]
        model = calibrate(near, coalescing=coalescing, overhead=beside)
    rows = (
        Row(
            light,
            sample,
            len(repeats[light]),
            spread(repeats[light], model),
            residual(sample, model),
            light in far,
        )
        for light, sample in chosen.items()
    )
    model = replace(model, stall=learnt(model, late))
    return Calibration(_by_loads(model, len(measured), chosen), tuple(rows))


def _by_loads(model: Model, samples: int, loads: Sized) -> Model:
    """The model with the intervals of so many loads: repeats of one miss the truth in the same direction."""
    repeats, names = samples / len(loads), len(model.coefficients())
    rows = tuple(tuple(repeats * value for value in row) for row in model.covariance)
    return replace(model, covariance=rows, freedom=max(1, len(loads) - names))


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
