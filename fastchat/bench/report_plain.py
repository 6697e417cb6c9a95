"""Results with tables and no plot: the whole server's claims, single loads, functions of the hot path."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastchat.bench.report_numbers import between, count, milliseconds, number, share, three
from fastchat.bench.report_reading import ACHIEVED, UNREADABLE, p99, per_cpu
from fastchat.bench.report_tables import NONE, Row, Table


def claims(content: Mapping[str, Any]) -> list[Table]:
    """What was promised of the whole server, from a result of the kind "server"."""
    rows = tuple(
        (
            scenario["name"],
            claim["claim"],
            claim["target"],
            f"{number(claim['median'])} ({between(claim['low'], claim['high'])})",
            claim["met"],
        )
        for scenario in content.get("scenarios", ())
        for claim in scenario.get("claims", ())
    )
    head = ("scenario", "claim", "target", "measured", "met")
    return [Table("medians over the rounds, lowest and highest", head, rows, words=3)] if rows else []


def micro(content: Mapping[str, Any]) -> list[Table]:
    """A table for each group of functions that do the same work."""
    return [
        Table(
            group["name"],
            ("function", "median of a call, µs", "times the fastest"),
            tuple(
                (one["case"], three(one["median_ns"] / 1e3), three(one["times_the_fastest"]))
                for one in group.get("figures", ())
            ),
        )
        for group in content.get("scenarios", ())
    ]


def loads(content: Mapping[str, Any]) -> list[Table]:
    """What one load did, as `bench load` kept it."""
    rows = tuple(map(_load, content.get("samples", ())))
    head = ("server", "clients", "offered /s", "achieved /s", "p99", "CPU share", "deliveries per CPU s")
    return [Table("each load", head, rows)] if rows else []


def _load(sample: Mapping[str, Any]) -> Row:
    paced = sample["offered"] > 0
    short = " (too few)" if paced and sample["achieved"] < ACHIEVED * sample["offered"] else ""
    return (
        sample["server"],
        count(sample["members"]),
        number(sample["offered"]) if paced else NONE,
        number(sample["achieved"]) + short if paced else NONE,
        milliseconds(p99(sample)),
        share(sample["server_cpu"] / sample["seconds"]),
        number(per_cpu(sample)) if sample["server_cpu"] else NONE,
    )


PLAIN: tuple[tuple[str, str, Callable[[Mapping[str, Any]], list[Table]]], ...] = (
    ("server", "The whole server", claims),
    ("load", "Single loads", loads),
    ("micro", "Functions of the hot path", micro),
)


def tables(kind: str, content: Mapping[str, Any]) -> list[Table]:
    """The tables of a result; none where it is not as it should be."""
    make = {name: make for name, _, make in PLAIN}[kind]
    try:
        return make(content)
    except UNREADABLE:
        return []
