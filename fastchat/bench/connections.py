"""What sessions cost that say little or nothing: memory of the server, memory of the kernel, time to connect.

Server and generator are processes of their own, so each has one end of every connection and may hold as many
as its descriptors allow.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fastchat.bench.load import Listener, Sample, latency, sampled
from fastchat.bench.machine import most_connections
from fastchat.bench.plan import Plan
from fastchat.bench.processes import Place
from fastchat.bench.targets import Target
from fastchat.capacity import Group

SERVERS = ("fastchat", "fastchat-ws", "threaded", "streams")
STEPS = (100, 1000, 5000)  # and then as many as there can be
TEAM = 10  # members of each room: a session is not worth much without one
RATE = 0.01  # messages a second of each session when it is lightly active: one in 100 seconds
SECONDS = 2.0  # of light activity
REST = 1.5  # seconds after the last JOIN was answered, before memory is read
TIMEOUT = 60.0  # seconds for connecting
START, CONNECTS = 1.2, 4000.0  # seconds to start, connections a second: for estimates

THREADS_SPARE = 500  # threads that the rest of the machine is left
NO_LIMIT = 1 << 30


def most_threads() -> int:
    """Threads that a process can have here: the least of the machine's limits, less some to spare."""
    paths = ("/proc/sys/kernel/threads-max", "/proc/sys/kernel/pid_max", "/sys/fs/cgroup/pids.max")
    maps = _limit("/proc/sys/vm/max_map_count") // 2  # a thread's stack and its guard page: two mappings
    return max(0, min(maps, *map(_limit, paths)) - THREADS_SPARE)


def _limit(path: str) -> int:
    try:
        text = Path(path).read_text().strip()
    except OSError:
        return NO_LIMIT
    return int(text) if text.isdecimal() else NO_LIMIT  # "max"


def bound(target: Target) -> tuple[int, str]:
    """The most sessions that a server can be given here, and what bounds them."""
    descriptors, threads = most_connections(), most_threads()
    if target.name == "threaded" and threads < descriptors:
        return threads, "threads of a process"
    return descriptors, "descriptors of a process"


def steps(most: int, wanted: Sequence[int] = ()) -> tuple[int, ...]:
    """How many sessions to try, rising: those asked for, or STEPS and the most, as far as they can be."""
    return tuple(sorted({min(one, most) for one in wanted or (*STEPS, most)}))


def plan(sessions: int, seed: int = 1) -> Plan:
    """So many sessions in rooms of ten, each publishing a hundredth of a message a second."""
    full, rest = divmod(sessions, TEAM)
    groups = tuple(group for group in (Group(full, TEAM), Group(1, rest)) if group.rooms and group.members)
    return Plan(
        groups=groups, mode="paced", publishers=0, rate=max(1.0, RATE * sessions), schedule="poisson",
        payload=100, seconds=SECONDS, warmup=0.2, seed=seed, timeout=TIMEOUT,
    )  # fmt: skip


def seconds(sessions: int) -> float:
    """About how long a sample takes."""
    return START + REST + SECONDS + 2 * sessions / CONNECTS


def hold(target: Target, sessions: int, place: Place, listen: Listener | None = None) -> Sample:
    """Connect so many sessions to a server of their own, let them rest, then let them talk a little."""
    return sampled(target, plan(sessions), place, settle=REST, listen=listen)


# Figures

KIB = 1024


def _grown(sample: Mapping[str, Any], part: str) -> float:
    """Growth while everybody connected, in KiB for each connection."""
    memory = sample["resident"] if part == "resident" else sample["kernel"]
    before, after = memory["before"], memory["connected"]
    grown = after - before if part == "resident" else sum(after.values()) - sum(before.values())
    return float(grown / sample["members"] / KIB)


FIGURES: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], float]]] = {
    "KiB/connection": ("resident memory of the server", lambda s: _grown(s, "resident")),
    "kernel KiB/connection": (
        "growth of the machine's slab, TCP buffers, kernel stacks and page tables, with both ends in it",
        lambda s: _grown(s, "kernel"),
    ),
    "connections/s": (
        "connected, greeted and in their room per second",
        lambda s: float(s["members"] / s["connect_seconds"]),
    ),
    "served s": ("until the last JOIN was answered", lambda s: float(s["connect_seconds"])),
    "threads": ("of the server", lambda s: float(s["threads"])),
    "CPU share": ("of the server with light activity", lambda s: float(s["server_cpu"] / s["seconds"])),
    "p99 ms": ("latency of a delivery with light activity", lambda s: 1e3 * latency(s, "p99")),
}


def figures(samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Median and spread of every figure for each server and number of sessions."""
    groups: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for one in samples:
        if not one["failed"]:
            groups.setdefault((one["server"], one["sessions"]), []).append(one["sample"])
    rows = []
    for (server, sessions), found in groups.items():
        for name, (_, compute) in FIGURES.items():
            values = [compute(sample) for sample in found]
            row: dict[str, Any] = {"server": server, "sessions": sessions, "figure": name}
            low, high = min(values), max(values)
            rows.append(row | {"median": statistics.median(values), "low": low, "high": high})
    return rows
