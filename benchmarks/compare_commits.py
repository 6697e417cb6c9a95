"""Compare the micro-benchmarks of a commit with those of the working tree: `make bench-compare BASE=main~3`.

Both are laid out and built in temporary directories, each runs its own benchmarks, in rounds that alternate.
A ratio is the working tree's median time by the base's in the same round, so that a noisy machine disturbs
both. "slower": by more than the bound in every round. "*": the benchmark's file is not the same in both.

Exit status: 0 nothing is slower, 1 something is, 2 it could not be measured, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple, TypeAlias

from benchmarks import checkouts
from benchmarks.checkouts import WORDS, Checkout
from fastchat.bench.failure import BenchError

ROOT = Path(__file__).resolve().parent.parent
COMMAND = "python -m benchmarks.compare_commits"
PYTEST = (
    "-m", "pytest", "-vv", "--color=no", "-p", "no:cacheprovider", "--benchmark-enable", "--benchmark-only",
    "--benchmark-disable-gc", "--benchmark-min-rounds=5", "--benchmark-max-time=0.2",
)  # fmt: skip
PERCENT = re.compile(r"\[\s*(\d+)%\]\s*$")
UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (0.0, "ns"))
SCALE = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}

Medians: TypeAlias = Mapping[str, float]  # seconds, by the benchmark's full name


class Row(NamedTuple):
    """One benchmark of both sides; times are seconds, ratios tree by base."""

    name: str
    base: float
    tree: float
    ratio: float
    low: float
    high: float
    verdict: str
    other_code: bool


def compare(base: Sequence[Medians], tree: Sequence[Medians], bound: float, changed: set[str]) -> list[Row]:
    """One row for each benchmark that every round of both sides has, the most slowed down first.

    `base` and `tree` hold the rounds, paired; `bound` 0.1 means by 10 %; `changed` are files whose code is
    not the same on both sides.
    """
    if not base:
        return []
    names = set.intersection(*(set(one) for one in (*base, *tree)))
    rows = []
    for name in names:
        ratios = [after[name] / before[name] for before, after in zip(base, tree, strict=True)]
        low, high = min(ratios), max(ratios)
        verdict = "slower" if low > 1 + bound else "faster" if high < 1 / (1 + bound) else ""
        before, after = (median(one[name] for one in side) for side in (base, tree))
        other = name.partition("::")[0] in changed
        rows.append(Row(name, before, after, median(ratios), low, high, verdict, other))
    return sorted(rows, key=lambda row: (-row.ratio, row.name))


def alone(one: Sequence[Medians], other: Sequence[Medians]) -> list[str]:
    """The benchmarks that only the first side has."""
    return sorted(set().union(*one) - set().union(*other))


def duration(seconds: float) -> str:
    """A time with three digits and its unit."""
    unit = next(name for least, name in UNITS if seconds >= least)
    value = seconds * SCALE[unit]
    return f"{value:.{max(0, 2 - len(str(int(value))) + 1)}f} {unit}"


def brief(name: str) -> str:
    """A full name without what all of them have."""
    return name.removeprefix("benchmarks/").replace(".py::test_", " ")


def table(rows: Sequence[Row]) -> str:
    """The rows as text."""
    width = max([len(brief(row.name)) for row in rows], default=0) + 1
    lines = [f"{'benchmark':<{width}} {'base':>9} {'tree':>9}  ratio  lowest to highest"]
    for row in rows:
        name = brief(row.name) + "*" * row.other_code
        lines.append(
            f"{name:<{width}} {duration(row.base):>9} {duration(row.tree):>9}  {row.ratio:5.2f}  "
            f"{row.low:.2f} to {row.high:.2f}  {row.verdict}".rstrip()
        )
    return "\n".join(lines)


def summary(rows: Sequence[Row], rounds: int, bound: float) -> str:
    """What the table says, in a sentence."""
    counts = {word: sum(row.verdict == word for row in rows) for word in ("slower", "faster")}
    return (
        f"{len(rows)} benchmarks, {rounds} rounds: {counts['slower']} slower and {counts['faster']} faster "
        f"by more than {bound:.0%} in every round."
    )


class Progress:
    """Tells on stderr how far it is and how long it will take; a terminal's line is written over."""

    def __init__(self, passes: int) -> None:
        self._passes = passes
        self._begun = time.monotonic()
        self._terminal = sys.stderr.isatty()

    def tell(self, passed: int, label: str, percent: int) -> None:
        """`passed` passes are through, of this one `percent`."""
        if not self._terminal and percent < 100:
            return
        done = (passed + percent / 100) / self._passes
        spent = time.monotonic() - self._begun
        left = f"about {spent / done - spent:.0f} s left" if done else ""
        line = f"  pass {passed + 1}/{self._passes} {label:<5} {percent:3d} %  {spent:.0f} s, {left}"
        if not self._terminal:
            print(line, file=sys.stderr)
            return
        print(f"\r{line:<60}", end="\n" if percent == 100 else "", file=sys.stderr, flush=True)


def measured(checkout: Checkout, only: str, core: int | None, tell: Callable[[int], None]) -> Medians:
    """Run the suite of one checkout once. Raises BenchError with pytest's words."""
    with tempfile.TemporaryDirectory(prefix="fastchat-bench-") as folder:
        report = Path(folder) / "report.json"
        chosen = ["-k", only] if only else []
        command = [sys.executable, *PYTEST, *chosen, f"--benchmark-json={report}"]
        process = subprocess.Popen(
            [*command, *map(str, checkout.benchmarks)], cwd=checkout.folder, env=checkouts.environment(),
            text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),
        )  # fmt: skip
        assert process.stdout is not None
        said = []
        try:
            for line in process.stdout:
                said.append(line)
                if found := PERCENT.search(line):
                    tell(min(99, int(found[1])))
            status = process.wait()
        finally:
            process.kill()  # in vain but after Ctrl-C
            process.communicate()
        if status or not report.exists() or not report.stat().st_size:
            words = "".join(said)[-WORDS:].strip()
            raise BenchError(f"the benchmarks of {checkout.title} failed:\n{words}")
        found = json.loads(report.read_text())["benchmarks"]
    tell(100)
    return {one["fullname"]: one["stats"]["median"] for one in found}


def rewritten(base: Checkout, tree: Checkout) -> set[str]:
    """Files of the suite whose code differs."""
    both = set(base.benchmarks) & set(tree.benchmarks)
    return {
        path.as_posix()
        for path in both
        if (base.folder / path).read_bytes() != (tree.folder / path).read_bytes()
    }


def race(pair: Sequence[Checkout], rounds: int, only: str) -> dict[str, list[Medians]]:
    """All rounds, base first in one and tree first in the next; after Ctrl-C those that were whole."""
    cores = sorted(os.sched_getaffinity(0))
    core = cores[-1] if len(cores) > 1 else None
    progress = Progress(2 * rounds)
    found: dict[str, list[Medians]] = {one.name: [] for one in pair}
    turns = [one for number in range(rounds) for one in (pair if number % 2 == 0 else pair[::-1])]
    try:
        for passed, one in enumerate(turns):
            tell = partial(progress.tell, passed, one.name)
            found[one.name].append(measured(one, only, core, tell))
    except KeyboardInterrupt:
        print("\ncompare_commits: stopped; what was measured so far:", file=sys.stderr)
    whole = min(map(len, found.values()))
    return {name: medians[:whole] for name, medians in found.items()}


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    about = __doc__ or ""
    parser = argparse.ArgumentParser(
        prog=COMMAND, description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("base", help="commit, branch or tag to compare with")
    parser.add_argument("--rounds", type=int, default=5, help="of each side, at least 2 (default 5)")
    parser.add_argument("--bound", type=float, default=10.0, help="per cent that count (default 10)")
    parser.add_argument("--only", default="", metavar="EXPR", help="as pytest -k: only these")
    options = parser.parse_args(arguments)
    if options.rounds < 2 or options.bound <= 0:
        parser.error("--rounds must be 2 or more, --bound above 0")
    try:
        return run(root, options.base, options.rounds, options.bound / 100, options.only)
    except BenchError as error:
        print(f"compare_commits: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def run(root: Path, name: str, rounds: int, bound: float, only: str) -> int:
    """Lay out, build, race, tell. Raises BenchError."""
    checkouts.commit_named(root, name)
    with tempfile.TemporaryDirectory(prefix="fastchat-compare-") as folder:
        print("  laying out and building both", file=sys.stderr)
        pair = checkouts.base(root, name, Path(folder) / "base"), checkouts.tree(root, Path(folder) / "tree")
        checkouts.build(pair)
        for one in pair:
            checkouts.check(one)
            print(f"{one.name}: {one.title}")
        found = race(pair, rounds, only)
        changed = rewritten(*pair)
    base, tree = found["base"], found["tree"]
    rows = compare(base, tree, bound, changed)
    print(table(rows))
    for side, names in (("base", alone(base, tree)), ("tree", alone(tree, base))):
        if names:
            print(f"only in {side}: {', '.join(map(brief, names))}")
    print(summary(rows, len(base), bound))
    if len(base) < rounds:
        return 130
    return int(any(row.verdict == "slower" for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
