"""A comparison as people read it: servers against members, then ratios, then what went wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastchat.bench.report_numbers import number
from fastchat.cli.bench.numbers import table

RATE, LATENCY = "deliveries/CPU s", "p99 ms"
SHOWN: Mapping[str, tuple[str, ...]] = {
    "flood": (RATE, "deliveries/s", LATENCY, "KiB/connection"),
    "paced": (RATE, "CPU share", "p50 ms", LATENCY),
}
RATIOS = {RATE: "CPU", LATENCY: "p99"}  # as they are called in the table
ABOUT = {"flood": "flat out", "paced": "paced"}


def text(document: Mapping[str, Any]) -> str:
    """The whole: one table for each load, ratios beside the figures."""
    lines: list[str] = []
    about = document["settings"]
    for mode in about["modes"]:
        for members in about["members"]:
            lines += load(document, members, mode)
    failed = [one for one in document["samples"] if one["failed"]]
    lines += [""] if failed else []
    lines += [f"FAILED {named(one)}: {one['failed']}" for one in failed]
    lines += [f"skipped {name}: {reason}" for name, reason in document["skipped"].items()]
    return "\n".join(lines).strip("\n")


def named(entry: Mapping[str, Any]) -> str:
    return f"{entry['server']}, {entry['members']:,} members, {ABOUT[entry['mode']]}, round {entry['round']}"


def load(document: Mapping[str, Any], members: int, mode: str) -> list[str]:
    """Figures of every server under one load; nothing if none was measured."""
    here = [one for one in document["figures"] if (one["members"], one["mode"]) == (members, mode)]
    medians = {(one["server"], one["figure"]): one for one in here}
    servers = list(dict.fromkeys(one["server"] for one in here))
    if not servers:
        return []
    ratios = {
        (one["over"], one["figure"]): one
        for one in document["ratios"]
        if (one["members"], one["mode"]) == (members, mode)
    }
    servers.sort(key=lambda name: -medians[name, RATE]["median"])
    head = ("server", *SHOWN[mode], *(f"{RATIOS[figure]} ratio" for figure in RATIOS), "spread")
    rows = [row(name, mode, medians, ratios) for name in servers]
    pace = f" {document['settings']['rates'][str(members)]:g} messages/s" if mode == "paced" else ""
    return ["", f"{members:,} members, {ABOUT[mode]}{pace}; ratios are fastchat / it", *table(head, rows)]


Rows = Mapping[tuple[str, str], Mapping[str, Any]]  # by server and figure


def row(server: str, mode: str, medians: Rows, ratios: Rows) -> Sequence[str]:
    """Figures of a server, how often they are fastchat's, and how the first ratio is spread."""
    cells = [number(medians[server, figure]["median"]) for figure in SHOWN[mode]]
    for figure in RATIOS:
        ratio = ratios.get((server, figure))
        cells.append(number(ratio["median"]) if ratio else "")
    first = ratios.get((server, RATE))
    spread = f"{number(first['low'])} to {number(first['high'])}" if first and first["rounds"] > 1 else ""
    return (server, *cells, spread)
