"""A server that stands ready for one load after another, each from fresh connections.

A sample is the generator's report with the server's own counters over the steady part of the load; it is
what `calibration` fits the model on and what `knee` judges.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol, TypeAlias

from fastchat.bench.counters import Counters, difference
from fastchat.bench.knee import Verdict
from fastchat.bench.load import Listener, carried, latency, measure, wrong
from fastchat.bench.neighbours import busy, foreign
from fastchat.bench.plan import Plan
from fastchat.bench.processes import Place, Running, running
from fastchat.bench.targets import Target
from fastchat.capacity import Shape

TIMEOUT = 5.0  # seconds that deliveries may take after the last message; later ones are lost
LEAVING = 30.0  # seconds that the server may take to forget all connections: thousands of threads need some
NO_TIME = 0.95  # of a core: a generator that busy is at its limit
EDGE = 0.1  # seconds: so far from the window's edge a reading is still one of the steady load
CONNECT = 1.2e-4  # seconds a connection takes, there and away again: for the time that is left
AROUND = 1.0  # seconds a trial takes besides: the generator's start, rest, end

Sample: TypeAlias = dict[str, Any]


class Load(NamedTuple):
    """Messages from every member of rooms of that shape, at random times (Poisson)."""

    shape: Shape
    rate: float  # messages/s over all
    payload: int  # bytes
    seconds: float
    warmup: float
    seed: int = 1
    timeout: float = TIMEOUT

    @property
    def clients(self) -> int:
        return int(sum(group.rooms * group.members for group in self.shape))

    @property
    def duration(self) -> float:
        """Seconds that it takes, about, with all around it."""
        return AROUND + self.clients * CONNECT + self.warmup + self.seconds


class Rig(Protocol):
    """What loads are put on: a real server, or in tests a formula."""

    def put(self, load: Load, listen: Listener | None = None) -> Sample:
        """Raise BenchError when it cannot be measured."""
        ...


class ServerRig:
    """A server process of this laboratory."""

    def __init__(self, server: Running, target: Target, place: Place) -> None:
        self._server = server
        self._target = target
        self._place = place
        self._counters = Counters(server.port) if is_fastchat(target) else None
        self._threads = server.threads()

    def put(self, load: Load, listen: Listener | None = None) -> Sample:
        """One load. Raises BenchError, or Died where the server ended."""
        plan = Plan(
            port=self._server.port, dialect=self._target.dialect, wire=self._target.wire, mode="paced",
            groups=load.shape, publishers=0, rate=load.rate, schedule="poisson", payload=load.payload,
            seconds=load.seconds, warmup=load.warmup, seed=load.seed, timeout=load.timeout,
            spin=self._place.cores.pinned,
        )  # fmt: skip
        readings: list[dict[str, Any]] = []
        looks: list[tuple[float, float | None]] = []  # seconds of the load, CPU seconds of the machine

        def heard(event: Mapping[str, Any]) -> None:
            if event["event"] == "progress" and steady(event["seconds"], load):
                looks.append((event["seconds"], busy()))
            if self._counters is not None and event["event"] == "progress":
                readings.append(self._counters.read() | {"at": event["seconds"], "p99_ms": event["p99_ms"]})
            if listen is not None:
                listen(event)

        sample = measure(self._server, plan, self._place, listen=heard)
        inner = [one["counters"] for one in readings if in_window(one, load)]
        sample["counters"] = difference(inner[0], inner[-1]) if len(inner) > 1 else None
        sample["foreign"] = others(looks, sample)
        sample["series"] = [moment(one) for one in readings]
        self._empty()
        return sample

    def _empty(self) -> None:
        """Wait until the server has forgotten the connections of this load."""
        deadline = time.monotonic() + LEAVING
        while time.monotonic() < deadline:
            time.sleep(0.05)
            if self._counters is not None:
                if not self._counters.read()["counters"]["sessions"]:
                    return
            elif self._server.threads() <= self._threads + 1:
                return

    def close(self) -> None:
        if self._counters is not None:
            self._counters.close()


def is_fastchat(target: Target) -> bool:
    """Whether it counts for itself and knows admission; baselines and peers do not."""
    return target.name in ("fastchat", "fastchat-ws")


def admission(target: Target, on: bool, limit: float) -> dict[str, str]:
    """The settings of a server that sheds load so that p99 stays within `limit` seconds, or sheds none."""
    if not is_fastchat(target):
        return {}
    if not on:
        return {"FASTCHAT_ADMISSION": "false"}
    return {"FASTCHAT_ADMISSION": "true", "FASTCHAT_LATENCY_LIMIT_MS": f"{limit * 1e3:g}"}


def steady(at: float, load: Load) -> bool:
    """Whether a moment of the load lies behind the warm-up and before the end."""
    return load.warmup - EDGE <= at <= load.warmup + load.seconds + EDGE


def in_window(reading: Mapping[str, Any], load: Load) -> bool:
    """Whether it was taken under the steady load: before the first clients left."""
    return steady(reading["at"], load) and reading["counters"]["sessions"] >= load.clients


def others(looks: Sequence[tuple[float, float | None]], sample: Sample) -> float | None:
    """Cores that neither server nor generator used, between the first look at the machine and the last."""
    if len(looks) < 2:
        return None
    (begin, before), (end, after) = looks[0], looks[-1]
    return foreign(before, after, end - begin, (sample["server_cpu"] + sample["own_cpu"]) / sample["seconds"])


def moment(reading: Mapping[str, Any]) -> dict[str, Any]:
    """What a reading tells of how the server does, for a curve over time."""
    counters, admission = reading["counters"], reading["admission"]
    return {
        "at": reading["at"],  # seconds of the load
        "p99_ms": reading["p99_ms"],  # as the generator saw it until then
        "iteration_ms": reading["iteration_ms"]["mean"],
        "utilisation": reading.get("utilisation"),
        "publishes": counters["publishes"],
        "refused": counters["refused_publishes"],
        "closed": admission["publishes"] == "closed",
    }


@contextmanager
def standing(target: Target, place: Place, settings: Mapping[str, str]) -> Iterator[ServerRig]:
    """A server from start to end. Raises BenchError if it does not come up."""
    with running(target, place, settings) as server:
        rig = ServerRig(server, target, place)
        try:
            yield rig
        finally:
            rig.close()


def judged(sample: Mapping[str, Any], limit: float) -> Verdict:
    """Whether the server carried it: >= 99 % of the offered, p99 within `limit` seconds, nothing wrong."""
    if carried(sample, limit) and not wrong(sample):
        return Verdict.PASSED
    return Verdict.SATURATED if at_its_limit(sample, limit) else Verdict.FAILED


def at_its_limit(sample: Mapping[str, Any], limit: float) -> bool:
    """Whether the generator may be what failed: it had no time left, or p99 is late by its own lateness.

    Sends that are some milliseconds late do not explain deliveries that are late by a hundred.
    """
    own = float(sample["lateness_us"]["p99"]) / 1e6
    return bool(sample["busy"] > NO_TIME or (sample["saturated"] and latency(sample, "p99") - own <= limit))
