"""Measure what durability costs: rooms on disk against rooms in memory, under the same load.

    python -m benchmarks.bench_store [--quick] [--rounds N] [--out FILE]

The data lie where temporary files do (TMPDIR); how long that disk takes to sync is measured beside it. On a
file system in memory nothing is claimed of `power`, and that counts as not measured.
Exit status: 0 all targets met, 1 not so, 2 something could not be measured.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from benchmarks import results, table
from benchmarks.acks import drive as publish
from benchmarks.acks import filesystem, syncs
from benchmarks.bench_server import run, status
from benchmarks.figures import Case, Claim, Scenario
from benchmarks.load import Options, Sample, drive
from benchmarks.programs import BenchError, Cores, running

COMMAND = "python -m benchmarks.bench_store"
ROUNDS = 4
FLOOD: Options = {
    "mode": "flood", "members": 100, "publishers": 10, "window": 64, "payload": 100, "seconds": 3,
    "warmup": 1,
}  # fmt: skip
PACED: Options = {
    "mode": "acks", "members": 10, "rate": 2000, "payload": 100, "seconds": 3, "warmup": 1, "keyed": True,
}  # fmt: skip
DISK: Options = {"mode": "disk", "count": 300}
QUICK: Options = {"seconds": 1, "warmup": 0.5, "count": 50}
# The thread of the store and the loop share the interpreter. What one takes from the other by that shows in
# the p99 of PING against that of rooms in memory: half as much again at most. Less than 3 ms nobody notices,
# and there it is the machine's scheduler that would be compared.
LOOP, LOOP_MS = 1.5, 3.0
IN_MEMORY = ("tmpfs", "ramfs")  # where a sync costs nothing and means nothing
LIMIT_MS = 20.0  # p99 of the acknowledgement of a durable publish at 2,000 a second


def cases(load: Options) -> tuple[Case, ...]:
    return (
        Case("memory", "fastchat", load),
        Case("process", "fastchat-sqlite", load),
        Case("power", "fastchat-sqlite", load),
    )


def scenarios() -> list[Scenario]:
    rate, ack, loop = "publishes/s", "p99 ack ms", "p99 loop ms"
    return [
        Scenario(
            "store-disk",
            "fdatasync of 4 KiB at the end of a file, where the data lie",
            (Case("disk", "", DISK),),
            ("p50 sync ms", "p99 sync ms"),
            (),
            ROUNDS,
        ),
        Scenario(
            "store-throughput",
            "a room of 100, ten publish flat out, 100 bytes, 64 of each under way, every one acknowledged",
            cases(FLOOD),
            (rate, "p99 last ms", "CPU share", "generator CPU share"),
            (Claim(rate, "process", "memory", at_least=0.5), Claim(rate, "power", "memory")),
            ROUNDS,
        ),
        Scenario(
            "store-acknowledgement",
            "2,000 publishes a second (fixed), each with a key, from the ten members of a room,"
            " latency from the intended time",
            cases(PACED),
            (ack, "p50 ack ms", loop, "p99 idle loop ms", "CPU share"),
            (
                Claim(ack, "process", at_most=LIMIT_MS),
                Claim(ack, "power", at_most=LIMIT_MS),
                Claim(loop, "process", "memory", at_most=LOOP, floor=LOOP_MS),
                Claim(loop, "power", "memory", at_most=LOOP, floor=LOOP_MS),
            ),
            ROUNDS,
        ),
    ]


def shortened(scenario: Scenario) -> Scenario:
    """For a first impression."""
    brief = tuple(
        replace(case, load={key: QUICK.get(key, value) for key, value in case.load.items()})
        for case in scenario.cases
    )
    return replace(scenario, about=f"{scenario.about} (shortened)", cases=brief, rounds=1)


def honest(scenario: Scenario, kind: str) -> Scenario:
    """Without the claims about `power` where the file system is one in memory."""
    if kind not in IN_MEMORY:
        return scenario
    claims = tuple(claim for claim in scenario.claims if claim.case != "power")
    return replace(
        scenario, about=f"{scenario.about} (data on {kind}: nothing is claimed of power)", claims=claims
    )


def measure(case: Case, cores: Cores, seed: int) -> Sample:
    """One sample of one case against a server of its own. Raises BenchError."""
    if case.load["mode"] == "disk":
        with tempfile.TemporaryDirectory(prefix="fastchat-bench-") as folder:
            return syncs(folder, int(case.load["count"]))
    durable = ["--room", f"default.durability={case.label}"] if case.server == "fastchat-sqlite" else []
    with running(case.server, cores, case.settings, durable) as server:
        if case.load["mode"] == "acks":
            return publish(server, cores, dict(case.load))
        return drive(server, cores, {**case.load, "seed": seed})


def main() -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short round of each, half a minute")
    parser.add_argument("--rounds", type=int, default=0, help=f"of each, instead of {ROUNDS}")
    parser.add_argument("--out", type=Path, help="result file; else bench_results/store.json for a full run")
    options = parser.parse_args()
    cores = Cores.choose()
    begun = time.monotonic()
    out = options.out or (None if options.quick else results.FOLDER / "store.json")
    words = " ".join([COMMAND, *sys.argv[1:]])
    kind = filesystem(tempfile.gettempdir())
    if kind in IN_MEMORY:
        print(f"bench_store: the data lie in memory ({kind}): set TMPDIR to claim of power", file=sys.stderr)
    settings = {"quick": options.quick, "pinned": cores.server is not None, "filesystem": kind}
    result = results.document("store", words, settings)
    try:
        for scenario in scenarios():
            chosen = honest(shortened(scenario) if options.quick else scenario, kind)
            if options.rounds:
                chosen = replace(chosen, rounds=options.rounds)
            result["scenarios"].append(run(chosen, cores, measure))
            result["seconds"] = round(time.monotonic() - begun, 1)
            if out:
                results.write(out, result)
    except BenchError as error:
        print(f"bench_store: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bench_store: stopped; what was measured so far:", file=sys.stderr)
    print(table.plain(result))
    return status(result) or (2 if kind in IN_MEMORY else 0)


if __name__ == "__main__":
    sys.exit(main())
