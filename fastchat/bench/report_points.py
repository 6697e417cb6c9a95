"""What the report draws and tabulates, whatever file it came from: seconds, bytes, messages per second.

Rho is the load r x C divided by N, the messages per second that the model allows at the latency limit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

ROOMS = {
    "room": "one room",
    "teams-5": "teams of 5",
    "teams-50": "teams of 50",
    "mixed": "mixed rooms",
}


def rooms_in_words(rooms: str) -> str:
    return ROOMS.get(rooms, rooms)


class Spread(NamedTuple):
    """A figure over the rounds."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(min(values), median(values), max(values))


@dataclass(frozen=True, slots=True)
class Knee:
    """The largest number of clients that a server still serves: predicted, and measured as a bracket."""

    server: str
    rooms: str
    rate: float  # r: messages a second and client
    payload: int  # bytes
    predicted: Spread  # clients; low and high are the 95 % interval
    measured: float | None  # clients; None where no bracket was found
    low: int  # the most clients that passed
    high: int | None  # the fewest above them that did not
    end: str  # why the search ended
    trials: int
    p99: float | None  # seconds, with the most clients that passed

    @property
    def error(self) -> float | None:
        """How far the prediction lies above what was measured, as a share of it."""
        return None if self.measured is None else self.predicted.median / self.measured - 1


@dataclass(frozen=True, slots=True)
class Predicted:
    """What the model says of one load; None where it sees no end of the waiting."""

    p50: float | None  # seconds
    p99: float | None  # seconds
    iteration: float | None  # seconds


@dataclass(frozen=True, slots=True)
class Trial:
    """One load of a curve, as it was measured and as the model says it."""

    rho: float
    offered: float  # r x C, messages a second
    achieved: float  # messages a second
    p50: float  # seconds
    p99: float  # seconds
    iteration: float | None  # mean seconds of a loop iteration; None for a server that counts none
    cpu: float  # CPU seconds of the server per second
    passed: bool  # within both limits
    saturated: bool  # the generator was at its own limit
    model: Predicted

    @property
    def verdict(self) -> str:
        """ "passed", "failed", or "saturated" where a failure says nothing of the server."""
        if self.passed:
            return "passed"
        return "saturated" if self.saturated else "failed"


@dataclass(frozen=True, slots=True)
class Curve:
    """The same clients in the same rooms, from little load to too much."""

    server: str
    rooms: str
    payload: int  # bytes
    clients: int
    allowed: Spread  # N: messages a second within the latency limit; low and high are the 95 % interval
    limit: float  # seconds, for p99
    trials: tuple[Trial, ...]  # by rising load
    coefficients: Mapping[str, Any] | None = None  # all that makes the model again

    @property
    def name(self) -> str:
        return f"{self.server}: {rooms_in_words(self.rooms)}"

    @property
    def about(self) -> str:
        return f"{self.clients:,} clients, {self.payload:,} bytes"

    @property
    def knee(self) -> tuple[float, float] | None:
        """The load before the first that failed, and that one.

        None where none failed, or the very first, or where the generator was what failed.
        """
        place = next((place for place, trial in enumerate(self.trials) if not trial.passed), 0)
        if place == 0 or self.trials[place].saturated:
            return None
        return self.trials[place - 1].offered, self.trials[place].offered


@dataclass(frozen=True, slots=True)
class Cell:
    """One server at one point of the comparison, over all rounds."""

    server: str
    mode: str  # "flood" or "paced"
    members: int
    per_cpu: Spread  # deliveries per CPU second of the server process
    p99: Spread  # seconds
    cpu: Spread  # CPU seconds of the server per second
    ratio: Spread | None  # fastchat's deliveries per CPU second over this one's, on the same wire, by round


@dataclass(frozen=True, slots=True)
class Holding:
    """What connections cost that say little."""

    server: str
    connections: int
    resident: Spread  # bytes of each connection
    kernel: Spread | None  # bytes of each connection, both ends
    connect_rate: Spread  # connections a second
    served: Spread  # seconds until the last was served


@dataclass(frozen=True, slots=True)
class Overload:
    """A server at or beyond what the model allows, with admission or without, over all rounds."""

    server: str
    rooms: str
    rho: float  # that was asked for
    admission: bool
    offered: Spread  # messages a second
    achieved: Spread  # messages a second that were delivered
    refused: Spread  # messages a second that were refused with 101
    lost: int  # messages that did not reach everybody as they should, over all rounds
    p50: Spread  # seconds
    p99: Spread  # seconds


@dataclass(frozen=True, slots=True)
class Calibration:
    """The coefficients of a server's model, in CPU seconds, each with its 95 % interval."""

    server: str
    coefficients: tuple[tuple[str, Spread], ...]
    residual: float  # median of how far the light loads lie from the fit, as a share
    loads: int
    drift: tuple[float, float] | None  # how much dearer the same loads were at times, from and to, as shares


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the report has; each may be empty. `notices` say what was left out, and why."""

    calibrations: tuple[Calibration, ...] = ()
    curves: tuple[Curve, ...] = ()
    knees: tuple[Knee, ...] = ()
    cells: tuple[Cell, ...] = ()
    holdings: tuple[Holding, ...] = ()
    overloads: tuple[Overload, ...] = ()
    notices: tuple[str, ...] = ()
