"""Run the micro-benchmarks and keep what they measured: `python -m benchmarks.micro [--quick]`.

Each `bench_*.py` but those that are programs of their own has both twins, and what one would write without
them, as functions of pytest-benchmark in groups; only ratios within a group mean anything. In full the result
goes to `bench_results/micro.json`, without the host's name that pytest-benchmark would put there.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import results
from benchmarks.programs import ALONE, ROOT

FILES = sorted(path for path in (ROOT / "benchmarks").glob("bench_*.py") if path.name not in ALONE)
COMMAND = "python -m benchmarks.micro"
OPTIONS = ("--benchmark-enable", "--benchmark-only", "--benchmark-group-by=group", "--benchmark-sort=name")
COLUMNS = "--benchmark-columns=median,iqr,rounds"
FULL = ("--benchmark-warmup=on", "--benchmark-min-rounds=20", "--benchmark-max-time=1.0")
QUICK = ("--benchmark-min-rounds=3", "--benchmark-max-time=0.05")
NANO = 1e9


def measured(report: Path, quick: bool) -> int:
    options = (*OPTIONS, COLUMNS, *(QUICK if quick else FULL), f"--benchmark-json={report}")
    command = [sys.executable, "-m", "pytest", *map(str, FILES), *options]
    environment = {name: value for name, value in os.environ.items() if name != "FASTCHAT_PURE"}
    return subprocess.run(command, cwd=ROOT, env=environment).returncode


def scenarios(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One scenario for each group: every benchmark's times in nanoseconds, and its ratio to the fastest."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for one in report["benchmarks"]:
        groups.setdefault(one["group"] or one["name"], []).append(one)
    found = []
    for name, members in groups.items():
        fastest = min(one["stats"]["median"] for one in members)
        rows = [
            {
                "case": one["name"],
                "median_ns": round(one["stats"]["median"] * NANO, 1),
                "low_ns": round(one["stats"]["q1"] * NANO, 1),
                "high_ns": round(one["stats"]["q3"] * NANO, 1),
                "rounds": one["stats"]["rounds"],
                "times_the_fastest": round(one["stats"]["median"] / fastest, 2),
            }
            for one in members
        ]
        found.append({"name": name, "figures": rows})
    return found


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a first impression, kept nowhere")
    parser.add_argument("--out", type=Path, default=results.FOLDER / "micro.json")
    options = parser.parse_args(arguments)
    begun = time.monotonic()
    result = results.document("micro", COMMAND, {"quick": options.quick})
    with tempfile.TemporaryDirectory(prefix="fastchat-bench-") as folder:
        report = Path(folder) / "report.json"
        status = measured(report, options.quick)
        if status or options.quick:
            return status
        result["scenarios"] = scenarios(json.loads(report.read_text()))
    result["seconds"] = round(time.monotonic() - begun, 1)
    results.write(options.out, result)
    print(f"kept in {options.out.relative_to(ROOT) if options.out.is_relative_to(ROOT) else options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
