"""A comparison as people read it: servers against members, then ratios, then what went wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastchat.cli.bench.numbers import number, table

RATE, LATENCY = "deliveries/CPU s", "p99 ms"
SHOWN: Mapping[str, tuple[str, ...]] = {
    "flood": (RATE, "deliveries/s", LATENCY, "KiB/connection"),
    "paced": (RATE, "CPU share", "p50 ms", LATENCY),
}
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
    figure = RATE if mode == "flood" else LATENCY
    servers.sort(key=lambda name: -medians[name, RATE]["median"])
    head = ("server", *SHOWN[mode], f"fastchat / it, {figure}", "spread")
    rows = [row(name, mode, medians, ratios.get((name, figure))) for name in servers]
    pace = f" {document['settings']['rates'][str(members)]:g} messages/s" if mode == "paced" else ""
    return ["", f"{members:,} members, {ABOUT[mode]}{pace}", *table(head, rows)]


def row(
    server: str,
    mode: str,
    medians: Mapping[tuple[str, str], Mapping[str, Any]],
    ratio: Mapping[str, Any] | None,
) -> Sequence[str]:
    cells = [number(medians[server, figure]["median"]) for figure in SHOWN[mode]]
    if ratio is None:
        return (server, *cells, "", "")
    spread = f"{number(ratio['low'])} to {number(ratio['high'])}" if ratio["rounds"] > 1 else ""
    return (server, *cells, number(ratio["median"]), spread)
