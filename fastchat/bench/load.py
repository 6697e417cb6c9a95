"""One load on one server: what the generator saw, and what the server used.

A sample is the generator's last report with the server's name, its memory and threads at three moments
(before anybody connected, when everybody was there, after the load) and the load itself.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from fastchat.bench.failure import BenchError
from fastchat.bench.generator import Generator
from fastchat.bench.generator import Listener as Listener  # of events, as everybody here takes them
from fastchat.bench.machine import require_descriptors
from fastchat.bench.memory import kernel_memory
from fastchat.bench.plan import Plan
from fastchat.bench.processes import Place, Running, running
from fastchat.bench.targets import Target

Sample: TypeAlias = dict[str, Any]

DYING = 0.5  # seconds in which a process that closed its connections may turn out to have ended
SETTLE = 0.3  # seconds of rest before the load, so that connecting is over for the server too
ACHIEVED = 0.99  # of the offered load: less means that the server does not carry it


class Died(BenchError):
    """The server ended in the middle; `sample` is what was seen until then, if anything."""

    def __init__(self, text: str, sample: Sample | None) -> None:
        super().__init__(text)
        self.sample = sample


def measure(
    server: Running, plan: Plan, place: Place, *, settle: float = SETTLE, listen: Listener | None = None
) -> Sample:
    """Connect, rest, load and check, against a server that runs.

    Raises BenchError when it could not be measured (not when frames were wrong: the sample says so), and
    Died when the server ended meanwhile.
    """
    require_descriptors(plan.clients)
    plan = replace(plan, port=server.port, server_pid=server.pid)
    memory, kernel = {"before": server.resident()}, {"before": kernel_memory()}
    sample: Sample | None = None
    try:
        with Generator(plan, core=place.cores.generator) as generator:
            ready = generator.connect(listen)
            time.sleep(settle)
            memory["connected"], threads = server.resident(), server.threads()
            kernel["connected"] = kernel_memory()
            sample = dict(generator.run(listen))
    except BenchError as error:
        if fate := server.fate(DYING):
            raise Died(f"the server died in the middle: {fate}\n{error}", sample) from error
        raise BenchError(f"{error}\n{said(server)}".strip()) from error
    memory["after"] = server.resident()
    sample |= {
        "server": server.name,
        "load": described(plan),
        "resident": memory,
        "kernel": kernel,
        "threads": threads,
        "ready": dict(ready),
        "load_average": os.getloadavg()[0],
    }
    if fate := server.fate(DYING if sample["errors"]["closed"] else 0.0):
        raise Died(f"the server died in the middle: {fate}", sample)
    return sample


def said(server: Running) -> str:
    words = server.words()
    return f"{server.name} said: {words}" if words else ""


def sampled(
    target: Target,
    plan: Plan,
    place: Place,
    *,
    settings: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
    settle: float = SETTLE,
    listen: Listener | None = None,
) -> Sample:
    """One sample from a server of its own, started before and ended after. Raises as `measure` does."""
    plan = replace(plan, dialect=target.dialect, wire=target.wire)
    require_descriptors(plan.clients)
    with running(target, place, settings, arguments) as server:
        return measure(server, plan, place, settle=settle, listen=listen)


def described(plan: Plan) -> dict[str, Any]:
    """The load for a result: what was asked for, without this run's port and pid."""
    found = plan.to_json()
    return {name: value for name, value in found.items() if name not in ("port", "server_pid")}


def deliveries_per_cpu_second(sample: Mapping[str, Any]) -> float:
    """Deliveries per CPU second of the server process; 0 where its clock could not be read."""
    return float(sample["deliveries"] / sample["server_cpu"]) if sample["server_cpu"] > 0 else 0.0


def wrong(sample: Mapping[str, Any]) -> int:
    """Faults of any kind that the generator saw: lost, twice, out of order, corrupt, refused, closed."""
    return int(sum(sample["errors"].values()))


def carried(sample: Mapping[str, Any], limit: float) -> bool:
    """At least 99 % of the offered messages were sent and delivered, and p99 is within `limit` seconds."""
    if sample["overloaded"] or not sample["offered"] > 0:  # given up, perhaps before anything was timed
        return False
    return bool(sample["achieved"] >= ACHIEVED * sample["offered"] and latency(sample, "p99") <= limit)


def latency(sample: Mapping[str, Any], percentile: str) -> float:
    """Seconds, of each delivery where it was timed, else until the last member had the message."""
    kept = sample["each_us"] if sample["each_us"]["count"] else sample["last_us"]
    return float(kept[percentile]) / 1e6


def trimmed(sample: Sample) -> Sample:
    """A sample as it is kept: histograms are left out, their percentiles are there."""
    return {name: value for name, value in sample.items() if not name.endswith("_histogram")}


def attempted(take: Callable[[], Sample]) -> dict[str, Any]:
    """What an entry of a result says of a sample: `sample`, if there is any, and `failed`, why it is no good.

    "" for a sample that is. What fails costs only itself.
    """
    try:
        sample = take()
    except Died as died:
        return {"sample": trimmed(died.sample) if died.sample else None, "failed": str(died)}
    except BenchError as error:
        return {"sample": None, "failed": str(error)}
    failed = f"wrong frames: {sample['first_error']}" if wrong(sample) else ""
    return {"sample": trimmed(sample), "failed": failed}


def status(entries: Sequence[Mapping[str, Any]]) -> int:
    """The exit code of a run: 0 all well, 1 frames were wrong, 3 something could not be measured."""
    failed = [entry for entry in entries if entry["failed"]]
    if any(entry["sample"] and wrong(entry["sample"]) for entry in failed):
        return 1
    return 3 if failed else 0
