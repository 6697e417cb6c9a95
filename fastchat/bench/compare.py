"""The same load for every server, interleaved: figures, and ratios that are paired within a round.

Every sample has a server of its own, started for it. The order of the servers rotates from round to round,
so that none always comes first; a server that fails costs its own samples only.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from fastchat.bench.load import Sample, deliveries_per_cpu_second, latency
from fastchat.bench.plan import Plan
from fastchat.bench.targets import Target
from fastchat.capacity import Group

MEMBERS = (10, 100, 1000, 5000)
MODES = ("flood", "paced")
OURS = "fastchat"

PACED = 50_000.0  # deliveries a second of a paced load: beyond some Python peers, near idle for others

WINDOW, WINDOW_OF_MANY, MANY = 64, 16, 2000  # messages under way; fewer where each is thousands of frames
WINDOW_OF_SLOW = 2  # for a server that did not deliver its window in time
TIMEOUT = 30.0  # seconds for connecting, and for what is still under way at the end
START, REST = 1.2, 0.3  # seconds until a server accepts and until it has settled: for estimates
CONNECTS = 4000.0  # connections a second: for estimates


class Point(NamedTuple):
    """One load: so many members of one room, flat out or paced."""

    members: int
    mode: str


@dataclass(frozen=True, slots=True)
class Lengths:
    """Seconds of load and of the warm-up before it; `messages`: a paced load goes on for so many at least."""

    flood: float = 2.0
    paced: float = 3.0
    warmup: float = 0.5
    messages: int = 12
    deliveries: float = PACED  # a second, of a paced load

    def rate(self, members: int) -> float:
        """Messages a second of a paced load."""
        return max(1.0, round(self.deliveries / members))

    def seconds(self, point: Point) -> float:
        """Of the load at a point."""
        if point.mode == "flood":
            return self.flood
        return max(self.paced, self.messages / self.rate(point.members))


FULL, QUICK = Lengths(), Lengths(flood=0.5, paced=1.2, warmup=0.2, messages=5)


def points(members: Iterable[int], modes: Iterable[str] = MODES) -> tuple[Point, ...]:
    return tuple(Point(one, mode) for one in members for mode in modes)


def plan(point: Point, lengths: Lengths, payload: int, seed: int) -> Plan:
    """The load of a point; who drives it fills in server and dialect. One member publishes."""
    return Plan(
        groups=(Group(1, point.members),),
        mode=point.mode,
        publishers=1,
        rate=lengths.rate(point.members),
        schedule="poisson",
        payload=payload,
        window=WINDOW_OF_MANY if point.members > MANY else WINDOW,
        seconds=lengths.seconds(point),
        warmup=lengths.warmup,
        seed=seed,
        timeout=TIMEOUT,
    )


def seconds(point: Point, lengths: Lengths) -> float:
    """About how long a sample takes, its server's start included."""
    return START + REST + lengths.warmup + lengths.seconds(point) + 2 * point.members / CONNECTS


class Windows:
    """Which loads a server is too slow for: it gets fewer messages under way then, and its samples say so."""

    def __init__(self) -> None:
        self._slow: set[tuple[str, Point]] = set()

    def suit(self, server: str, point: Point, load: Plan) -> Plan:
        return replace(load, window=WINDOW_OF_SLOW) if (server, point) in self._slow else load

    def learn(self, server: str, point: Point, entry: Mapping[str, Any]) -> bool:
        """Whether a sample failed because its window was still under way at the end, and can be repeated."""
        taken, key = entry["sample"], (server, point)
        late = point.mode == "flood" and taken is not None and taken["undrained"] > 0
        if not late or key in self._slow:
            return False
        self._slow.add(key)
        return True


def turns(
    targets: Sequence[Target], where: Sequence[Point], rounds: int
) -> Iterator[tuple[int, Point, Target]]:
    """Round, point and server of every sample, in the order in which they are taken."""
    for number in range(rounds):
        turn = number % len(targets)
        for point in where:
            for target in (*targets[turn:], *targets[:turn]):
                yield number + 1, point, target


# Figures

Figure = Callable[[Sample], float]


def per_connection(sample: Sample) -> float:
    """KiB of resident memory for each connection."""
    memory = sample["resident"]
    return float((memory["connected"] - memory["before"]) / sample["members"] / 1024)


FIGURES: Mapping[str, tuple[str, Figure]] = {
    "deliveries/CPU s": ("deliveries per CPU second of the server process", deliveries_per_cpu_second),
    "deliveries/s": ("deliveries per second", lambda s: float(s["deliveries"] / s["seconds"])),
    "p50 ms": ("half of the deliveries (flood: messages to their last member) took at most",
               lambda s: 1e3 * latency(s, "p50")),
    "p99 ms": ("99 % of the deliveries (flood: messages to their last member) took at most",
               lambda s: 1e3 * latency(s, "p99")),
    "CPU share": ("CPU seconds of the server per second", lambda s: float(s["server_cpu"] / s["seconds"])),
    "KiB/connection": ("resident memory of the server for each connection", per_connection),
}  # fmt: skip


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def chosen(samples: Iterable[Mapping[str, Any]], point: Point, server: str) -> dict[int, Mapping[str, Any]]:
    """The samples of a server at a point in which every frame was right, by round."""
    return {
        one["round"]: one["sample"]
        for one in samples
        if (one["members"], one["mode"], one["server"]) == (*point, server) and not one["failed"]
    }


def figures(
    samples: Sequence[Mapping[str, Any]], where: Sequence[Point], servers: Sequence[str]
) -> list[dict[str, Any]]:
    """Median and spread over the rounds of every figure of every server at every point."""
    rows = []
    for point in where:
        for server in servers:
            found = list(chosen(samples, point, server).values())
            for name, (_, compute) in FIGURES.items() if found else ():
                row = {"members": point.members, "mode": point.mode, "server": server, "figure": name}
                rows.append(row | spread([compute(dict(sample)) for sample in found]))
    return rows


def ours(target: Target, servers: Sequence[str]) -> str:
    """What a server is compared with: fastchat on the same wire, or whichever was measured; "" for none."""
    same = f"{OURS}-ws" if target.wire == "ws" else OURS
    candidates = [name for name in (same, OURS, f"{OURS}-ws") if name in servers and name != target.name]
    return candidates[0] if candidates and target.name != OURS else ""


def ratios(
    samples: Sequence[Mapping[str, Any]], where: Sequence[Point], targets: Sequence[Target]
) -> list[dict[str, Any]]:
    """fastchat / other for every figure: taken within a round, then median and spread over the rounds."""
    servers = [target.name for target in targets]
    rows = []
    for point in where:
        for target in targets:
            us = ours(target, servers)
            if not us:
                continue
            mine, theirs = chosen(samples, point, us), chosen(samples, point, target.name)
            for name, (_, compute) in FIGURES.items():
                pairs = [(compute(dict(mine[n])), compute(dict(theirs[n]))) for n in mine if n in theirs]
                values = [over / under for over, under in pairs if over > 0 and under > 0]
                if values:
                    row = {"members": point.members, "mode": point.mode, "server": us, "over": target.name}
                    rows.append(row | {"figure": name, "rounds": len(values)} | spread(values))
    return rows
