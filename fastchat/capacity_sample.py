"""What an interval of measurement holds, and which counts the coefficients of the model are prices of.

Invariant: CPU seconds are the sum of `work` times the coefficients, in the order of NAMES.
"""

from __future__ import annotations

from typing import NamedTuple

NAMES = ("a", "b", "c", "d", "e", "b1", "a1")
MANY_SOCKETS = 1000  # for each so many a send costs b1 more


class Sample(NamedTuple):
    """What one interval of measurement cost and did, at any load below saturation."""

    cpu: float  # seconds of the server process
    seconds: float  # of the clock
    messages: int  # in
    sends: int  # system calls to members
    frames: int  # deliveries in them
    bytes: int  # of those frames
    rounds: int  # iterations with a flush; 0 where the server has none
    sockets: int  # open connections
    flush: float | None = None  # seconds of `cpu` that the flushes took, where that is known


def work(sample: Sample) -> tuple[float, ...]:
    """Counts of a sample, in the order of NAMES."""
    dearer = sample.sends * spread(sample.sockets)
    read = sample.messages * sample.bytes / sample.frames if sample.frames else 0.0
    return (sample.messages, sample.sends, sample.frames, sample.bytes, sample.rounds, dearer, read)


def spread(sockets: float) -> float:
    """Tell how many b1 a send costs with so many sockets."""
    return sockets / MANY_SOCKETS
