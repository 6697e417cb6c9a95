"""Put figures of bench_results/ into the README: `python -m tools.readme [--check]`.

Only what the files there hold is told, so no figure stands there that nobody measured.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.table import BEGIN as MARK
from benchmarks.table import END, claim_rows, markdown, replaced
from fastchat.bench.report_files import File
from fastchat.bench.report_numbers import count
from fastchat.bench.report_points import Knee, rooms_in_words
from fastchat.bench.report_reading import knees
from fastchat.bench.report_tables import verdict
from fastchat.bench.results import read

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
RESULT = ROOT / "bench_results" / "server.json"
CAPACITY = ROOT / "bench_results" / "capacity.json"
PICTURE = ROOT / "bench_results" / "report" / "knees.png"
BEGIN = MARK.format(RESULT.name)
NOTHING = "(Nothing has been measured yet: `make bench` does.)"
NO_CAPACITY = "(Nothing has been measured yet: `fastchat bench capacity --servers fastchat,threaded` does.)"
SERVER, PAYLOAD = "fastchat", 100  # bytes: whose figures are shown

__all__ = ["BEGIN", "END", "RESULT", "main", "rendered", "users"]


def section(result: Mapping[str, Any]) -> str:
    """The claims that have a target, and on what they were measured."""
    machine, versions = result["machine"], result["versions"]
    abouts = {scenario["name"]: scenario["about"] for scenario in result["scenarios"]}
    rows = [
        (abouts[name], claim, target, f"{measured} ({spread})")
        for name, claim, target, measured, spread, _ in claim_rows(result)
        if target != "reported"
    ]
    kind = "a virtual machine" if machine["virtual"] else "a machine"
    where = (
        f"On {kind} with {machine['cores']} cores of {machine['processor']}, Linux {machine['kernel']},"
        f" Python {versions['python']}, over loopback, at commit `{result['commit'][:12]}`;"
        " medians, and in brackets the lowest and highest:"
    )
    return "\n".join([where, "", *markdown(("load", "what is compared", "aim", "measured"), rows)])


def rendered(text: str, result: Mapping[str, Any] | None) -> str:
    """The README with its generated part made anew."""
    return replaced(text, RESULT.name, NOTHING if result is None else section(result))


def users(text: str, file: File | None, picture: bool) -> str:
    """The README with its part about how many clients fit on a machine made anew."""
    found = [one for one in knees(file, []) if one.server == SERVER] if file else []
    return replaced(text, CAPACITY.name, clients(file, found, picture) if file and found else NO_CAPACITY)


def clients(file: File, found: Sequence[Knee], picture: bool) -> str:
    """How many clients of each kind of rooms were predicted, and measured."""
    limit = file.content["settings"]["limit_ms"]
    rows = [
        (
            f"{rooms_in_words(one.rooms)}, each says {one.rate:g} a second",
            count(one.predicted.median),
            f"{count(one.low)} to {count(one.high)}" if one.high else f"more than {count(one.low)}",
        )
        for one in found
        if one.payload == PAYLOAD
    ]
    lines = [
        f"With {PAYLOAD} bytes a message and p99 <= {limit:g} ms ({file.provenance}):",
        "",
        *markdown(("clients", "predicted from light loads", "measured"), rows),
        "",
        f"{verdict(found, SERVER)}.",
    ]
    if picture:
        path = f"{PICTURE.parent.parent.name}/{PICTURE.parent.name}/{PICTURE.name}"
        lines += ["", f"![Predicted against measured knee]({path})"]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    result = json.loads(RESULT.read_text()) if RESULT.exists() else None
    there = README.read_text(encoding="utf-8")
    wanted = rendered(there, result)
    file = File(CAPACITY.name, read(CAPACITY)) if CAPACITY.exists() else None
    wanted = users(wanted, file, PICTURE.exists())
    if "--check" in arguments:
        return int(there != wanted)
    README.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
