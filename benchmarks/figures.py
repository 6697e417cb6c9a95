"""Figures, claims and scenarios: how samples are judged.

A scenario runs its cases one after the other in every round, each against a fresh server, and judges its
claims by the median over the rounds of a figure, or of the ratio of two cases' figures of the same round.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.load import Options, Sample

MIB = 1024 * 1024


def errors(sample: Sample) -> float:
    """Faults of any kind that the generator saw."""
    return float(sum(sample["errors"].values()))


def per_session(sample: Sample) -> float:
    """KiB of resident memory per connected session."""
    memory = sample["resident"]
    return float((memory["connected"] - memory["before"]) / sample["members"] / 1024)


def per_cpu(count: str) -> Callable[[Sample], float]:
    return lambda sample: float(sample[count] / sample["server_cpu"])


def latency(histogram: str, percentile: str) -> Callable[[Sample], float]:
    """In milliseconds."""
    return lambda sample: float(sample[histogram][percentile] / 1e3)


FIGURES: Mapping[str, tuple[str, Callable[[Sample], float]]] = {
    "deliveries/CPU s": ("deliveries per CPU second of the server", per_cpu("deliveries")),
    "replies/CPU s": ("replies per CPU second of the server", per_cpu("replies")),
    "publishes/s": ("messages published, stored and delivered a second",
                    lambda s: s["messages"] / s["seconds"]),
    "p50 ack ms": ("half of the publishes were acknowledged within", latency("ack_us", "p50")),
    "p99 ack ms": ("99 % of the publishes were acknowledged within", latency("ack_us", "p99")),
    "p99 loop ms": ("99 % of PINGs, which wait for the event loop alone, were answered within",
                    latency("ping_us", "p99")),
    "p99 idle loop ms": ("the same before the load", latency("idle_ping_us", "p99")),
    "p50 sync ms": ("half of the syncs of the disk took at most", latency("sync_us", "p50")),
    "p99 sync ms": ("99 % of the syncs of the disk took at most", latency("sync_us", "p99")),
    "p99 last ms": ("99 % of messages were with their last member in", latency("last_us", "p99")),
    "p99 each ms": ("99 % of deliveries took at most", latency("each_us", "p99")),
    "p50 last ms": ("half of the messages were with their last member in", latency("last_us", "p50")),
    "CPU share": ("CPU seconds of the server per second", lambda s: s["server_cpu"] / s["seconds"]),
    "generator CPU share": ("CPU seconds of the generator per second", lambda s: s["busy"]),
    "KiB/session": ("resident memory per connected session", per_session),
    "errors": ("lost, duplicated, reordered, corrupt, refused", errors),
    "cut": ("stalled members whose connection was ended", lambda s: float(s["stalled"]["cut"])),
    "gaps": ("GAPs that stalled members found", lambda s: float(s["stalled"]["gaps"])),
    "MiB kept": ("most bytes that waited for one stalled member", lambda s: s["stalled"]["most_bytes"] / MIB),
    "MiB grown": ("growth of the server's resident memory under the load",
                  lambda s: (s["resident"]["after"] - s["resident"]["connected"]) / MIB),
    "partial sends": ("sends of which the kernel took a part or nothing",
                      lambda s: float(s["faults"]["partial"] + s["faults"]["refused"])),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """One server under one load."""

    label: str
    server: str
    load: Options
    settings: Mapping[str, str] = field(default_factory=dict)  # FASTCHAT_*
    rooms: str = ""  # TOML for [rooms.*]
    faults: bool = False  # its kernel is a bad one


@dataclass(frozen=True, slots=True)
class Claim:
    """`figure` of `case` (divided by that of `over`) is at least or at most something."""

    figure: str
    case: str
    over: str = ""
    at_least: float | None = None
    at_most: float | None = None
    floor: float = 0.0  # of a ratio: what is less counts as this much

    @property
    def text(self) -> str:
        floor = f", {self.floor:g} at least" if self.floor else ""
        return f"{self.figure}: {self.case}" + (f" / {self.over}{floor}" if self.over else "")

    @property
    def target(self) -> str:
        if self.at_least is not None:
            return f">= {self.at_least:g}"
        return f"<= {self.at_most:g}" if self.at_most is not None else "reported"

    def met(self, value: float) -> str:
        """ "yes" or "no"; "" where nothing was promised."""
        if self.at_least is not None:
            return "yes" if value >= self.at_least else "no"
        if self.at_most is not None:
            return "yes" if value <= self.at_most else "no"
        return ""


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    about: str
    cases: tuple[Case, ...]
    figures: tuple[str, ...]
    claims: tuple[Claim, ...]
    rounds: int = 5


Rounds = Sequence[Mapping[str, Sample]]  # one mapping from a case's label to its sample per round


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def evaluate(scenario: Scenario, rounds: Rounds) -> list[dict[str, Any]]:
    """Median and spread of every figure of every case."""
    found = []
    for case in scenario.cases:
        samples = [one[case.label] for one in rounds if case.label in one]
        for figure in scenario.figures if samples else ():
            if figure == "partial sends" and not case.faults:
                continue
            meaning, compute = FIGURES[figure]
            row = {"case": case.label, "figure": figure, "meaning": meaning}
            found.append(row | spread([compute(sample) for sample in samples]))
    return found


def judge(scenario: Scenario, rounds: Rounds) -> list[dict[str, Any]]:
    """Each claim with its median and spread; ratios are taken within a round, before the median."""
    verdicts = []
    for claim in scenario.claims:
        compute = FIGURES[claim.figure][1]
        values = []
        for one in rounds:
            if claim.case not in one or (claim.over and claim.over not in one):
                continue
            below = max(compute(one[claim.over]), claim.floor) if claim.over else 1.0
            values.append(max(compute(one[claim.case]), claim.floor) / below)
        if not values:
            continue
        row: dict[str, Any] = {"claim": claim.text, "target": claim.target} | spread(values)
        verdicts.append(row | {"met": claim.met(row["median"])})
    return verdicts


def faults(rounds: Rounds) -> list[dict[str, Any]]:
    """Every sample in which the generator saw anything wrong, with the first of it in words."""
    return [
        {"round": number, "case": label, "errors": sample["errors"], "first": sample["first_error"]}
        for number, one in enumerate(rounds, 1)
        for label, sample in one.items()
        if errors(sample) or sample["first_error"]
    ]
