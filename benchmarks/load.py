"""Put a load, given as options, on a server that runs: what the scenarios measure with.

A `Sample` is that of `fastchat.bench.load`, with the options beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from benchmarks.programs import Cores, Running, place
from fastchat.bench.load import SETTLE, Sample, measure, trimmed
from fastchat.bench.plan import Plan
from fastchat.capacity import Group

__all__ = ["SETTLE", "Options", "Sample", "drive", "plan"]

Options: TypeAlias = Mapping[str, str | int | float]


def plan(options: Options) -> Plan:
    """The load of these options: those of a Plan (one member flat out), with `members` in all in `rooms` (1).

    `rooms` 0 lets nobody join. The generator sleeps until something comes, as clients do, unless `poll_us`
    says otherwise: the reference and the hold-back are judged with what it costs a server to wake them.
    """
    rest: dict[str, Any] = dict(options)
    members, rooms = rest.pop("members", 1000), rest.pop("rooms", 1)
    groups = (Group(rooms or 1, members // (rooms or 1)),)
    return Plan(groups=groups, join=rooms > 0, **{"mode": "flood", "publishers": 1, "poll_us": 0, **rest})


def drive(server: Running, cores: Cores, options: Options, settle: float = SETTLE) -> Sample:
    """Connect, rest, load, check. Raises BenchError when it could not be measured (not when it was wrong)."""
    sample = measure(server, plan(options), place(cores), settle=settle)
    return trimmed(sample) | {"options": dict(options)}
