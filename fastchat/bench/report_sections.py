"""What the report is made of, in order: a title, what it shows and how it was measured, its tables.

docs/BENCHMARKS.md has the same sections, so nothing here needs matplotlib.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastchat.bench import report_tables as tables
from fastchat.bench.report_points import Evidence
from fastchat.bench.report_tables import Table


@dataclass(frozen=True, slots=True)
class Section:
    """`name` is that of the picture's file, `kind` that of the results it is drawn from."""

    name: str
    kind: str
    title: str
    about: str  # plain text; `code` between backquotes
    tables: Callable[[Evidence], list[Table]]


COMMANDS = {
    "server": "python -m benchmarks.bench_server",
    "capacity": "fastchat bench capacity --servers fastchat,threaded",
    "compare": "fastchat bench compare",
    "connections": "fastchat bench connections",
    "overload": "fastchat bench capacity --overload",
    "load": "fastchat bench load --out bench_results/load.json",
    "micro": "python -m benchmarks.micro",
}


def nothing(evidence: Evidence) -> list[Table]:
    return []


SECTIONS = (
    Section(
        "throughput",
        "capacity",
        "Throughput against the offered load",
        "The same clients in the same rooms publish more and more often. N is what the model, calibrated"
        " at light load on other rooms and payloads, says the server can process per second with p99"
        " within the limit. Left of N the points lie on the diagonal: everything that is offered is"
        " achieved.",
        tables.curves,
    ),
    Section(
        "latency",
        "capacity",
        "Latency and the length of an iteration against rho",
        "Rho is r × C / N. Points were measured, lines are the model's: an iteration takes T = M·b / (1 −"
        " λ(a + M·c)) and a delivery up to 2 T. Latency counts from the moment a message was meant to be"
        " sent (open loop, Poisson), so a server that stalls pays for all that was due meanwhile. The"
        " table is above.",
        nothing,
    ),
    Section(
        "utilisation",
        "capacity",
        "Why CPU utilisation misleads",
        "A server that sends once for all that gathered is busy as soon as there is anything to do: at low"
        " load it runs many short iterations, at high load few long ones. So its CPU share says little"
        " about what it could still carry; rho does. A server that sends each delivery by itself is as"
        " loaded as its CPU is busy.",
        nothing,
    ),
    Section(
        "knees",
        "capacity",
        "Predicted and measured knee",
        "The knee is the largest number of clients at which 99 % of the offered messages are achieved and"
        " p99 is within the limit, found by bisection, each failure confirmed by two of three trials; its"
        " bracket is drawn where it is wider than the marker. The prediction comes from light loads with"
        " other teams and payloads. They go on between the trials of a search, and what they cost"
        " meanwhile is in its prediction; no trial is.",
        tables.knees,
    ),
    Section(
        "fan-out",
        "compare",
        "Deliveries per CPU second",
        "One member of one room publishes, 100 bytes. Flat out it keeps 64 messages under way (16 above"
        " 2,000 members); paced 50,000 deliveries a second are asked for, whatever the number of members."
        " All servers take turns in every round; ratios are taken within a round, on the same"
        " wire. CPU seconds are those of the server process, user and system. A server that cannot"
        " carry the paced load is said not to.",
        tables.fan_out,
    ),
    Section(
        "memory",
        "connections",
        "Memory of a connection",
        "Sessions in rooms of ten that say nothing. Resident is the growth of the server process; kernel"
        " is the growth of slab, TCP buffers, kernel stacks and page tables of the machine, which hold"
        " both ends here.",
        tables.memory,
    ),
    Section(
        "overload",
        "overload",
        "Beyond capacity, with admission and without",
        "The same rooms under 0.9 N and under 2 N. With admission the server refuses (101) what it could"
        " not carry in time; those let in should keep p99 within twice that at 0.9 N, and nothing"
        " acknowledged may be lost. Without it everything is let in.",
        tables.overload,
    ),
)
