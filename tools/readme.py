"""Put the figures of bench_results/server.json into the README: `python -m tools.readme [--check]`.

Only what that file holds is told, so no figure stands there that nobody measured.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.table import claim_rows, markdown

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
RESULT = ROOT / "bench_results" / "server.json"
BEGIN, END = "<!-- generated from bench_results/server.json -->", "<!-- end of what is generated -->"
NOTHING = "(Nothing has been measured yet: `make bench` does.)"


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
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{NOTHING if result is None else section(result)}\n{END}{after}"


def main(arguments: list[str]) -> int:
    result = json.loads(RESULT.read_text()) if RESULT.exists() else None
    there = README.read_text(encoding="utf-8")
    wanted = rendered(there, result)
    if "--check" in arguments:
        return int(there != wanted)
    README.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
