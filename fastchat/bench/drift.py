"""How much dearer everything was at one time than at another, from light loads that were put again and again.

A load that the model tells badly does so at all times, and a time that was slow was so for all loads. The two
are told apart by Tukey's median polish (Exploratory Data Analysis, 1977, chapter 11) of the logarithms.

Invariant: over the loads the middle one is told rightly; what is left is the time's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, log
from statistics import median

from fastchat.bench.calibration import Measured, residual
from fastchat.bench.light import Light
from fastchat.capacity import Model

POLISHES = 10  # it stands still after a few


def drifts(times: Sequence[Sequence[Measured]], model: Model) -> list[float]:
    """How much dearer than by the model all was at each time: 0.05 is 5 %. A time without samples says 0."""
    logs = [[(light, log(1.0 + residual(one, model))) for light, one in samples] for samples in times]
    of_light: Mapping[Light, float] = {}
    of_time = [0.0] * len(logs)
    for _ in range(POLISHES):
        of_light = _of_lights(logs, of_time)
        of_time = [
            median(value - of_light[light] for light, value in samples) if samples else 0.0
            for samples in logs
        ]
    level = median(of_light.values()) if of_light else 0.0
    return [exp(one + level) - 1.0 if samples else 0.0 for one, samples in zip(of_time, logs, strict=True)]


def evened(times: Sequence[Sequence[Measured]], drift: Sequence[float]) -> list[Measured]:
    """All samples with the CPU seconds that they would have taken at the usual, the middle prices."""
    usual = median(dearer for samples, dearer in zip(times, drift, strict=True) for _ in samples)
    found: list[Measured] = []
    for samples, dearer in zip(times, drift, strict=True):
        factor = (1.0 + dearer) / (1.0 + usual)
        for light, one in samples:
            flush = None if one.flush is None else one.flush / factor
            found.append((light, one._replace(cpu=one.cpu / factor, flush=flush)))
    return found


def _of_lights(
    logs: Sequence[Sequence[tuple[Light, float]]], of_time: Sequence[float]
) -> Mapping[Light, float]:
    found: dict[Light, list[float]] = {}
    for samples, time in zip(logs, of_time, strict=True):
        for light, value in samples:
            found.setdefault(light, []).append(value - time)
    return {light: median(values) for light, values in found.items()}
