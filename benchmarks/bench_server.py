"""Measure the whole server: fastchat, a plain C server and a naive Python one under the same load.

    python -m benchmarks.bench_server [--quick] [--only NAME,...] [--rounds N] [--out FILE]

Exit status: 0 all targets met and nothing wrong in any frame, 1 not so, 2 something could not be measured.
"""

from __future__ import annotations

import argparse
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import figures, results, table
from benchmarks.figures import Case, Scenario
from benchmarks.load import SETTLE, Sample, drive
from benchmarks.programs import BUILD, BenchError, Cores, build, running
from benchmarks.scenarios import everything, shortened

IDLE_SETTLE = 2.0  # seconds after the last of thousands has joined, before memory is read
COMMAND = "python -m benchmarks.bench_server"
COUNTS = ("sends", "partial", "refused")  # reference/faults.c: 8 bytes each


@contextmanager
def arranged(case: Case, seed: int) -> Iterator[tuple[dict[str, str], list[str], Path]]:
    """The case's environment, arguments and the file in which a bad kernel's faults are counted."""
    with tempfile.TemporaryDirectory(prefix="fastchat-bench-") as folder:
        counted, config = Path(folder) / "faults", Path(folder) / "fastchat.toml"
        settings, arguments = dict(case.settings), []
        if case.rooms:
            config.write_text(case.rooms)
            arguments = ["--config", str(config)]
        if case.faults:
            counted.touch()
            settings |= {"LD_PRELOAD": str(BUILD / "faults.so"), "FAULTS_FILE": str(counted)}
            settings["FAULTS_SEED"] = str(seed)
        yield settings, arguments, counted


def measure(case: Case, cores: Cores, seed: int) -> Sample:
    """One sample of one case against a server of its own."""
    settle = IDLE_SETTLE if case.load["mode"] == "idle" else SETTLE
    with arranged(case, seed) as (settings, arguments, counted):
        with running(case.server, cores, settings, arguments) as server:
            sample = drive(server, cores, {**case.load, "seed": seed}, settle)
        if case.faults:
            sample["faults"] = dict(zip(COUNTS, struct.unpack("3Q", counted.read_bytes()), strict=True))
    return sample


def show(scenario: Scenario, label: str, sample: Sample) -> str:
    figure = scenario.figures[0]
    if figure == "partial sends" and "faults" not in sample:
        return "done"
    return f"{table.number(figures.FIGURES[figure][1](sample))} {figure}"


def run(
    scenario: Scenario, cores: Cores, take: Callable[[Case, Cores, int], Sample] = measure
) -> dict[str, Any]:
    """All rounds of a scenario; what cannot be measured is said and costs only its own sample."""
    rounds: list[dict[str, Sample]] = []
    failures: list[str] = []
    for number in range(scenario.rounds):
        one: dict[str, Sample] = {}
        turn = number % len(scenario.cases)  # so that no server always comes first
        for case in scenario.cases[turn:] + scenario.cases[:turn]:
            begun = time.monotonic()
            try:
                one[case.label] = take(case, cores, number + 1)
                said = show(scenario, case.label, one[case.label])
            except BenchError as error:
                failures.append(f"round {number + 1}, {case.label}: {error}")
                said = f"FAILED: {error}"
            name = f"{scenario.name} {number + 1}/{scenario.rounds} {case.label}"
            print(f"  {name:<54} {said}  ({time.monotonic() - begun:.1f} s)", file=sys.stderr, flush=True)
        rounds.append(one)
    return {
        "name": scenario.name,
        "about": scenario.about,
        "figures": figures.evaluate(scenario, rounds),
        "claims": figures.judge(scenario, rounds),
        "faults": figures.faults(rounds),
        "failures": failures,
        "rounds": rounds,
    }


def chosen(names: str, quick: bool, rounds: int) -> list[Scenario]:
    """The scenarios asked for, in order. Raises BenchError for a name that is none."""
    known = {scenario.name: scenario for scenario in everything()}
    wanted = names.split(",") if names else list(known)
    if unknown := [name for name in wanted if name not in known]:
        raise BenchError(f"no scenario {', '.join(unknown)}; there are {', '.join(known)}")
    picked = [shortened(known[name]) if quick else known[name] for name in wanted]
    return [replace(one, rounds=rounds) if rounds else one for one in picked]


def status(result: Mapping[str, Any]) -> int:
    scenarios: Sequence[Mapping[str, Any]] = result["scenarios"]
    if any(one["failures"] for one in scenarios):
        return 2
    return int(any(one["faults"] or any(c["met"] == "no" for c in one["claims"]) for one in scenarios))


def main() -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short round of each, less than two minutes")
    parser.add_argument("--only", default="", metavar="NAME,...", help="these scenarios")
    parser.add_argument("--rounds", type=int, default=0, help="rounds of each, instead of its own number")
    parser.add_argument("--out", type=Path, help="result file; else bench_results/server.json for a full run")
    options = parser.parse_args()
    cores = Cores.choose()
    begun = time.monotonic()
    try:
        build()
        scenarios = chosen(options.only, options.quick, options.rounds)
    except BenchError as error:
        print(f"bench_server: {error}", file=sys.stderr)
        return 2
    if cores.server is None:
        print("bench_server: one core only: server and generator disturb each other", file=sys.stderr)
    out = options.out
    if out is None and not options.quick and not options.only:
        out = results.FOLDER / "server.json"
    words = " ".join([COMMAND, *sys.argv[1:]])
    result = results.document("server", words, {"quick": options.quick, "pinned": cores.server is not None})
    try:
        for scenario in scenarios:
            result["scenarios"].append(run(scenario, cores))
            result["seconds"] = round(time.monotonic() - begun, 1)
            if out:
                results.write(out, result)
    except KeyboardInterrupt:
        print("bench_server: stopped; what was measured so far:", file=sys.stderr)
    print(table.plain(result))
    return status(result)


if __name__ == "__main__":
    sys.exit(main())
