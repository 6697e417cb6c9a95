"""What happens at twice the load that the model allows, with admission and without.

The same rooms are put under 0.9 N first, then under 2 N with admission, then under 2 N without. With it,
those whose messages are let in should notice little: their p99 stays within twice what it is at 0.9 N, and
what was acknowledged reaches everybody. Without it, everything is let in and nothing is on time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any, NamedTuple, TypeAlias

from fastchat.bench.findings import Figures, modelled
from fastchat.bench.logbook import Logbook
from fastchat.bench.pace import START_SECONDS
from fastchat.bench.rig import AROUND, CONNECT, Load, Rig, Sample
from fastchat.capacity import SHAPES, Group, Model, Shape

AdmissionOpener: TypeAlias = Callable[[bool], AbstractContextManager[Rig]]  # with admission, or without

TIMES = 2.0  # p99 of those let in, against that at 0.9 N, at most
TIMEOUT = 30.0  # seconds that what is under way may take after the last message
LOST = ("corrupt", "lost", "duplicate", "order")  # what must not befall an acknowledged message


class Case(NamedTuple):
    """Rooms, and the bytes of a message."""

    name: str
    shape: Shape
    payload: int


class Phase(NamedTuple):
    """A load as a part of N, with admission or without."""

    name: str
    fraction: float
    admission: bool


CASES = (
    Case("room", (Group(1, 300),), 1000),
    Case("teams-50", SHAPES["teams-50"](1000), 100),
)
CALM, SHED, FREE = PHASES = (
    Phase("0.9 N", 0.9, True),
    Phase("2 N, admission", 2.0, True),
    Phase("2 N, no admission", 2.0, False),
)


@dataclass(frozen=True, slots=True)
class Lengths:
    """How thoroughly: seconds of load and warm-up, rounds, cases."""

    rounds: int = 3
    seconds: float = 5.0
    warmup: float = 8.0  # the server's own model has to see five seconds of the load first
    cases: tuple[Case, ...] = CASES

    def total(self) -> float:
        """Seconds that it usually takes."""
        clients = sum(group.rooms * group.members for case in self.cases for group in case.shape)
        once = len(self.cases) * (START_SECONDS + AROUND + self.warmup + self.seconds)
        return self.rounds * len(PHASES) * (once + CONNECT * clients)


def beyond(quick: bool) -> Lengths:
    return Lengths(1, 2.5, cases=CASES[1:]) if quick else Lengths()


@dataclass(slots=True)
class Overload:
    """One server through all cases and phases, some rounds of it, each sample on a server of its own."""

    log: Logbook
    opened: AdmissionOpener
    model: Model
    limit: float  # seconds, for p99
    lengths: Lengths = Lengths()
    _capacities: dict[str, float] = field(default_factory=dict)
    _seen: dict[tuple[str, str], list[Figures]] = field(default_factory=dict)

    def run(self) -> None:
        """Do it all, the phases interleaved. What fails costs its own sample only."""
        for number in range(self.lengths.rounds):
            for case in self.lengths.cases:
                for phase in PHASES:
                    what = f"{case.name}, {phase.name}, {number + 1}"
                    self.log.guarded(what, partial(self._put, what, case, phase))

    def capacity(self, case: Case) -> float:
        """N of the case's rooms, which the model takes a moment to say."""
        if case.name not in self._capacities:
            found = self.model.requests_per_second(case.shape, case.payload, self.limit)
            self._capacities[case.name] = found.value
        return self._capacities[case.name]

    def _load(self, case: Case, phase: Phase) -> Load:
        rate, lengths = phase.fraction * self.capacity(case), self.lengths
        return Load(case.shape, rate, case.payload, lengths.seconds, lengths.warmup, timeout=TIMEOUT)

    def _put(self, what: str, case: Case, phase: Phase) -> None:
        load = self._load(case, phase)
        about = modelled(self.model, load.rate, case.shape, case.payload, self.limit)
        with self.opened(phase.admission) as rig:
            _, seen = self.log.put(
                rig, what, load, more=shed, kind="overload", case=case.name, phase=phase.name,
                rho=phase.fraction, admission=phase.admission, rate=load.rate, model=about,
            )  # fmt: skip
        self._seen.setdefault((case.name, phase.name), []).append(seen)
        self.log.keep(overload=[self._finding(one) for one in self.lengths.cases])

    def _finding(self, case: Case) -> dict[str, Any]:
        """A case: medians of each phase over the rounds, and whether it holds what it should."""
        phases = {phase.name: middle(self._seen.get((case.name, phase.name), ())) for phase in PHASES}
        calm, shed = phases[CALM.name], phases[SHED.name]
        ratio = shed["p99_ms"] / calm["p99_ms"] if calm and shed and calm["p99_ms"] else None
        gone = sum(seen["lost"] for phase in PHASES for seen in self._seen.get((case.name, phase.name), ()))
        given_up = any(seen["given_up"] for seen in self._seen.get((case.name, SHED.name), ()))
        chosen = bool(shed and shed["refused"])  # where nothing was refused, admission had no part in it
        return {
            "case": case.name,
            "rooms": [list(group) for group in case.shape],
            "payload": case.payload,
            "requests_per_second": self.capacity(case),
            "phases": phases,
            "ratio": ratio,
            "lost": gone,
            "kept": None if ratio is None else bool(ratio <= TIMES and not gone and chosen and not given_up),
        }


def shed(sample: Sample) -> Figures:
    """What was refused, and what was lost though it was not.

    Of the 101s those that admission said, in the steady part of the load; a room with more than can be sent
    says 101 too.
    """
    counters = sample["counters"] or {}
    return {
        "refused": counters.get("refused_publishes", 0),
        "refused_in_all": sample["refused_101"],
        "refused_connections": counters.get("refused_connections", 0),
        "lost": lost(sample),
        "given_up": bool(sample["overloaded"]),
    }


def lost(sample: Sample) -> int:
    """Acknowledged messages that did not reach everybody as they should."""
    errors: Mapping[str, int] = sample["errors"]
    return sum(errors[kind] for kind in LOST)


def middle(found: Sequence[Figures]) -> dict[str, float] | None:
    """The median of each figure; None where there is no sample."""
    if not found:
        return None
    names = [name for name, value in found[0].items() if not isinstance(value, bool)]
    numbers = {name: [one[name] for one in found if one[name] is not None] for name in names}
    return {name: median(values) for name, values in numbers.items() if values}
