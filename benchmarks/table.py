"""Render results: a table for the terminal, and the tables of docs/BENCHMARKS.md.

python -m benchmarks.table [--check]      rewrite the document from bench_results/, or say if it differs
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.programs import ROOT
from benchmarks.results import FOLDER

DOCUMENT = ROOT / "docs" / "BENCHMARKS.md"
BEGIN, END = "<!-- generated from bench_results/server.json -->", "<!-- end of what is generated -->"


def number(value: float) -> str:
    """Three digits that mean something."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g} {letter}"
    return f"{value:.3g}"


def within(row: Mapping[str, Any]) -> str:
    low, high = number(row["low"]), number(row["high"])
    return f"{low} to {high}" if low != high else low


def claim_rows(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for scenario in result["scenarios"]:
        for claim in scenario["claims"]:
            words = (scenario["name"], claim["claim"], claim["target"])
            rows.append((*words, number(claim["median"]), within(claim), claim["met"]))
    return rows


def figure_rows(scenario: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [(row["case"], row["figure"], number(row["median"]), within(row)) for row in scenario["figures"]]


def plain(result: Mapping[str, Any]) -> str:
    """For the terminal: every figure, then every claim, then what went wrong."""
    lines = []
    for scenario in result["scenarios"]:
        lines += ["", f"{scenario['name']}: {scenario['about']}"]
        lines += aligned(("server", "figure", "median", "spread"), figure_rows(scenario))
    lines += ["", *aligned(("scenario", "claim", "target", "measured", "spread", "met"), claim_rows(result))]
    for scenario in result["scenarios"]:
        for fault in scenario["faults"]:
            where = f"{scenario['name']} round {fault['round']}, {fault['case']}"
            lines.append(f"WRONG in {where}: {fault['first']}")
        lines += [f"FAILED in {scenario['name']} {failure}" for failure in scenario["failures"]]
    return "\n".join(lines)


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    return ["  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in (head, *rows)]  # fmt: skip


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [" | ".join(head), " | ".join("---" for _ in head), *(" | ".join(row) for row in rows)]
    return [f"| {line} |" for line in lines]


def section(result: Mapping[str, Any]) -> str:
    """What docs/BENCHMARKS.md says of a result."""
    machine, versions = result["machine"], result["versions"]
    kind = "virtual machine" if machine["virtual"] else "machine"
    changes = " with changes" if result["changed"] else ""
    lines = [
        f"Measured with `{result['command']}` at commit `{result['commit'][:12]}`{changes}"
        f" on {result['started'][:10]}, in {result['seconds'] / 60:.0f} minutes.",
        f"{machine['processor']}, {machine['cores']} cores, {kind}, Linux {machine['kernel']},"
        f" Python {versions['python']}, uvloop {versions['uvloop']}, {versions['cc']}.",
        "",
        "Medians of the rounds, and their lowest and highest. Ratios are taken within a round.",
        "",
        *markdown(("scenario", "claim", "target", "measured", "spread", "met"), claim_rows(result)),
    ]
    for scenario in result["scenarios"]:
        about = f"{scenario['about']}; {len(scenario['rounds'])} rounds."
        lines += ["", f"### {scenario['name']}", "", about, ""]
        lines += markdown(("server", "figure", "median", "spread"), figure_rows(scenario))
    return "\n".join(lines)


def rendered(document: str, result: Mapping[str, Any]) -> str:
    """The document with its generated part made anew."""
    before, rest = document.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{section(result)}\n{END}{after}"


def main() -> int:
    source = FOLDER / "server.json"
    if not source.exists():
        print("no bench_results/server.json yet: run python -m benchmarks.bench_server", file=sys.stderr)
        return 2
    result = json.loads(source.read_text())
    there = DOCUMENT.read_text()
    wanted = rendered(there, result)
    if "--check" in sys.argv:
        return int(there != wanted)
    DOCUMENT.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
