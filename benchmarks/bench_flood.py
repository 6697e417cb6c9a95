"""Measure what others notice of a flooder: 50,000 messages a second from one user, and none, in turns.

    python -m benchmarks.bench_flood [--rate N] [--seconds S] [--rounds N] [--out FILE]

The limits are those by default. Others talk in a room of 100, each within the limits; the flooder and a
witness have a room of their own, so that all that can reach the others is the server's time. Each sample has
a server of its own. Exit status: 0 the targets are met, 1 not so, 2 it could not be measured.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import results
from benchmarks.programs import ROOT, SERVERS, BenchError, Cores, place
from fastchat.bench import processes
from fastchat.bench.generator import Generator
from fastchat.bench.load import SETTLE, wrong
from fastchat.bench.machine import require_descriptors
from fastchat.bench.plan import Plan
from fastchat.bench.processes import prepare
from fastchat.bench.results import Record
from fastchat.capacity import Group
from fastchat.config import RoomOptions
from fastchat.hub.limits import MOST_PAUSE_MS

COMMAND = "python -m benchmarks.bench_flood"
LIMITS = RoomOptions()
MEMBERS = 100
EACH = 2.5  # messages a second of each of the others: half of what they may send
RATIO = 1.3  # most that the others' p99 may grow to
WITHIN = 0.05  # of the limit: how much more or less of the flood may be relayed
OFFERED = 0.9  # of the rate: the least that the flooder must come to, or there was no such flood
PAUSE = MOST_PAUSE_MS / 1000 + 0.2  # seconds between two messages of the flood that are relayed, at most
WARMUP = 1.0  # seconds
PATIENCE = 20.0  # seconds for the flooder to come in, or to end


class Flooder:
    """The flooder's process; it ends with the block."""

    def __init__(self, port: int, rate: int, seconds: float, core: int | None) -> None:
        words = [sys.executable, "-m", "benchmarks.flooder", str(port), str(rate), str(seconds)]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True,
            preexec_fn=lambda: prepare(core),
        )  # fmt: skip

    def __enter__(self) -> Flooder:
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise BenchError("the flooder did not come in")
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def begin(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def report(self) -> dict[str, Any]:
        try:
            told, _ = self._process.communicate(timeout=PATIENCE)
            found: dict[str, Any] = json.loads(told)
        except (subprocess.TimeoutExpired, ValueError) as error:
            raise BenchError("the flooder did not report") from error
        return found


def load(port: int, pid: int, seconds: float, seed: int) -> Plan:
    return Plan(
        port=port, server_pid=pid, groups=(Group(1, MEMBERS),), mode="paced", schedule="phased",
        rate=MEMBERS * EACH, seconds=seconds, warmup=WARMUP, seed=seed, poll_us=0,
    )  # fmt: skip


def measure(cores: Cores, rate: int, seconds: float, seed: int) -> dict[str, Any]:
    """What the others see while somebody floods at that rate; 0: nobody does."""
    require_descriptors(MEMBERS)
    with processes.running(SERVERS["fastchat-limited"], place(cores)) as server:
        with (
            Flooder(server.port, rate, WARMUP + seconds, cores.generator) as flooder,
            Generator(load(server.port, server.pid, seconds, seed), core=cores.generator) as generator,
        ):
            generator.connect()
            time.sleep(SETTLE)
            flooder.begin()
            seen = dict(generator.run())
            flood = flooder.report()
        if fate := server.fate():
            raise BenchError(f"the server died in the middle: {fate}")
    if not seen["each_us"]["count"]:
        raise BenchError("nothing was delivered to the others")
    return {
        "rate": rate,
        "p50_ms": seen["each_us"]["p50"] / 1000,
        "p99_ms": seen["each_us"]["p99"] / 1000,
        "deliveries": seen["deliveries"],
        "wrong": wrong(seen),
        "first_error": seen["first_error"],
        "core": round(seen["server_cpu"] / seen["seconds"], 4),
        "generator_core": round(seen["busy"], 4),
        "flood": flood,
    }


def allowed(flood: dict[str, Any]) -> float:
    """How many messages of the flood may pass: until it is muted, if it was.

    A sample may end in a pause in which the server does not read from the flooder; that does not count.
    """
    until = flood["muted_after"] or flood["seconds"]
    if until - flood["relayed_until"] <= PAUSE:
        until = flood["relayed_until"]
    return LIMITS.burst + LIMITS.rate * until


def offered(sample: dict[str, Any]) -> float:
    """What part of its rate the flooder came to, until it was cut off.

    It counts what it tried to send: what the kernel does not take, the server does not read from it any more.
    """
    flood = sample["flood"]
    return float(flood["tried"] / (sample["rate"] * (flood["cut_after"] or flood["seconds"])))


def judge(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """The others' p99 with the flooder over that without, within a round; what of the flood was relayed."""
    pairs = list(zip(samples[::2], samples[1::2], strict=False))
    ratios = [flooded["p99_ms"] / quiet["p99_ms"] for quiet, flooded in pairs]
    relayed = [flooded["flood"]["relayed"] / allowed(flooded["flood"]) for _, flooded in pairs]
    least = min(offered(flooded) for _, flooded in pairs)
    ratio, part = statistics.median(ratios), statistics.median(relayed)
    return {
        "ratio": {"median": round(ratio, 3), "low": round(min(ratios), 3), "high": round(max(ratios), 3)},
        "relayed": {"median": round(part, 3), "low": round(min(relayed), 3), "high": round(max(relayed), 3)},
        "wrong": sum(sample["wrong"] for sample in samples),
        "offered": round(least, 3),
        "targets": {"ratio": RATIO, "relayed": WITHIN, "offered": OFFERED},
        "met": ratio <= RATIO
        and round(abs(part - 1), 6) <= WITHIN
        and least >= OFFERED
        and not any(sample["wrong"] for sample in samples),
    }


def run(options: argparse.Namespace, cores: Cores, record: Record) -> dict[str, Any]:
    for number in range(2 * options.rounds):
        sample = measure(cores, options.rate if number % 2 else 0, options.seconds, seed=number // 2 + 1)
        record.add(sample)
        flood = sample["flood"]
        said = f"  {'flooded' if sample['rate'] else 'quiet':<8} p99 {sample['p99_ms']:.2f} ms"
        if sample["rate"]:
            said += f", {flood['tried']:,} tried, {flood['sent']:,} sent"
            said += f", {flood['relayed']} relayed of {allowed(flood):.0f} allowed"
        print(said + f", {sample['core']:.1%} of a core", file=sys.stderr, flush=True)
    verdict = judge(record.samples)
    record.put(verdict=verdict)
    return verdict


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rate", type=int, default=50_000, help="messages a second of the flooder")
    parser.add_argument("--seconds", type=float, default=9.0, help="of one sample")
    parser.add_argument("--rounds", type=int, default=4, help="of two samples each")
    parser.add_argument("--out", type=Path, help="else bench_results/flood.json for a full run")
    options = parser.parse_args(arguments)
    settings = {name: getattr(options, name) for name in ("rate", "seconds", "rounds")}
    usual = all(parser.get_default(name) == value for name, value in settings.items())
    cores = Cores.choose()
    settings["pinned"] = cores.server is not None
    words = " ".join([COMMAND, *(sys.argv[1:] if arguments is None else arguments)])
    document = results.document("flood", words, settings)
    del document["scenarios"]
    record = Record(document, options.out or (results.FOLDER / "flood.json" if usual else None))
    try:
        verdict = run(options, cores, record)
    except (BenchError, OSError) as error:
        print(f"bench_flood: {error}", file=sys.stderr)
        return 2
    ratio, relayed = verdict["ratio"], verdict["relayed"]
    print(
        f"others' p99 with a flooder: {ratio['median']:.2f} times"
        f" ({ratio['low']:.2f} to {ratio['high']:.2f}), target {RATIO};"
        f" relayed of the flood: {relayed['median']:.1%} of the limit"
        f" ({relayed['low']:.1%} to {relayed['high']:.1%}), target {WITHIN:.0%} around it;"
        f" the flooder came to {verdict['offered']:.1%} of its rate;"
        f" {verdict['wrong']} wrong frames: {'met' if verdict['met'] else 'MISSED'}"
    )
    return 0 if verdict["met"] else 1


if __name__ == "__main__":
    sys.exit(main())
