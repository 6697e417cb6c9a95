"""Render results: a table for the terminal, and the tables of docs/BENCHMARKS.md.

python -m benchmarks.table [--check]      rewrite the document from bench_results/, or say if it differs

Each file of results has a part of the document between two marks; what is written outside of them stays.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.programs import ROOT
from benchmarks.results import FOLDER
from fastchat.bench.report_files import File
from fastchat.bench.report_numbers import duration, number
from fastchat.bench.report_reading import evidence
from fastchat.bench.report_sections import COMMANDS, SECTIONS
from fastchat.bench.results import read

DOCUMENT = ROOT / "docs" / "BENCHMARKS.md"
BEGIN, END = "<!-- generated from bench_results/{} -->", "<!-- end of what is generated -->"
KINDS = tuple(dict.fromkeys(section.kind for section in SECTIONS))  # of `fastchat bench`


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


def laboratory(kind: str, file: File | None, pictures: Path) -> str:
    """What docs/BENCHMARKS.md says of a result of `fastchat bench`: the report's pictures and tables."""
    if file is None:
        return f"(Not measured yet: `{COMMANDS[kind]}` does.)"
    seconds = duration(float(file.content.get("seconds") or 0.0))
    lines = [f"Measured with `{file.command}` in {seconds}: {file.provenance}."]
    found = evidence({kind: file})
    for one in SECTIONS:
        if one.kind != kind:
            continue
        lines += ["", f"### {one.title}", "", one.about]
        if (pictures / f"{one.name}.png").exists():
            lines += ["", f"![{one.title}](../{FOLDER.name}/{pictures.name}/{one.name}.png)"]
        for table in one.tables(found):
            lines += ["", f"{table.title}:", "", *markdown(table.head, table.rows)]
    lines += [f"- left out: {notice}" for notice in found.notices]
    return "\n".join(lines)


def replaced(document: str, name: str, text: str) -> str:
    """The document with the part generated from the result of that name made anew."""
    begin = BEGIN.format(name)
    before, rest = document.split(begin)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"nothing ends the part that begins with {begin}")
    return f"{before}{begin}\n{text}\n{END}{after}"


def rendered(document: str, result: Mapping[str, Any]) -> str:
    """The document with the part of the whole server's benchmark made anew."""
    return replaced(document, "server.json", section(result))


def regenerated(document: str, folder: Path = FOLDER) -> str:
    """The document with all its generated parts made anew from the results in a folder."""
    if (folder / "server.json").exists():
        document = rendered(document, json.loads((folder / "server.json").read_text()))
    for kind in KINDS:
        path = folder / f"{kind}.json"
        file = File(path.name, read(path)) if path.exists() else None
        document = replaced(document, path.name, laboratory(kind, file, folder / "report"))
    return document


def main() -> int:
    there = DOCUMENT.read_text()
    wanted = regenerated(there)
    if "--check" in sys.argv:
        return int(there != wanted)
    DOCUMENT.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
