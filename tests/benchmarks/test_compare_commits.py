"""Commits are compared fairly: the arithmetic, and whole runs on a repository made for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import checkouts
from benchmarks.compare_commits import Progress, alone, compare, duration, main, summary, table
from fastchat.bench.failure import BenchError

A, B, C = (f"benchmarks/bench_{name}" for name in ("a.py::test_one", "a.py::test_two", "b.py::test_one"))


def test_ratios_are_taken_within_a_round() -> None:
    """A machine that is twice as slow in one round disturbs both sides."""
    (row,) = compare([{A: 1.0}, {A: 2.0}, {A: 1.0}], [{A: 1.2}, {A: 2.2}, {A: 1.3}], 0.05, set())
    assert (row.base, row.tree) == (1.0, 1.3)
    assert (row.low, row.ratio, row.high) == pytest.approx((1.1, 1.2, 1.3))
    assert row.verdict == "slower" and not row.other_code


@pytest.mark.parametrize(
    ("tree", "verdict"),
    [
        ((1.11, 1.2), "slower"),
        ((1.09, 2.0), ""),  # not in every round
        ((1.0, 1.0), ""),
        ((0.92, 0.5), ""),
        ((0.9, 0.5), "faster"),
    ],
)
def test_what_counts_is_beyond_the_bound_in_every_round(tree: tuple[float, float], verdict: str) -> None:
    (row,) = compare([{A: 1.0}] * 2, [{A: one} for one in tree], 0.1, set())
    assert row.verdict == verdict


def test_rows_are_of_what_both_have_in_every_round() -> None:
    base = [{A: 1.0, B: 1.0}, {A: 1.0, B: 1.0}]
    tree = [{A: 1.0, B: 3.0, C: 1.0}, {A: 1.0, B: 3.0, C: 1.0}]
    rows = compare(base, tree, 0.1, {"benchmarks/bench_a.py"})
    assert [row.name for row in rows] == [B, A]  # the most slowed down first
    assert all(row.other_code for row in rows)
    assert alone(tree, base) == [C] and alone(base, tree) == []
    assert compare([], [], 0.1, set()) == []


def test_what_is_said() -> None:
    assert [duration(one) for one in (2.5, 0.0123, 99.1e-6, 123.4e-9)] == [
        "2.50 s", "12.3 ms", "99.1 us", "123 ns",
    ]  # fmt: skip
    rows = compare([{A: 1e-3, B: 1e-3}] * 2, [{A: 2e-3, B: 1e-3}] * 2, 0.1, {"benchmarks/bench_a.py"})
    head, slow, same = table(rows).splitlines()
    assert " ".join(slow.split()) == "bench_a one* 1.00 ms 2.00 ms 2.00 2.00 to 2.00 slower"
    assert same.endswith("1.00 to 1.00") and head.startswith("benchmark")
    assert summary(rows, 2, 0.1).startswith("2 benchmarks, 2 rounds: 1 slower and 0 faster by more than 10%")


def test_progress_tells_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([0.0, 30.0, 30.0])
    monkeypatch.setattr("benchmarks.compare_commits.time.monotonic", lambda: next(times))
    progress = Progress(4)
    progress.tell(1, "tree", 50)  # no terminal: whole passes only
    progress.tell(1, "tree", 100)
    assert capsys.readouterr().err == "  pass 2/4 tree  100 %  30 s, about 30 s left\n"


BENCH = """
import pytest

def test_work(benchmark):
    benchmark.pedantic(lambda: sum(range({work})), rounds=20, iterations=20)
"""
OWN = "def test_{name}(benchmark):\n    benchmark.pedantic(int, rounds=3)\n"
SETUP = "import pathlib\npathlib.Path('built').touch()\n"


class Repository:
    """A small project with a suite of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.git("init", "-q", "-b", "main")
        self.write("fastchat/__init__.py", "")
        self.write("setup.py", SETUP)
        self.write(".gitignore", "*.pyc\nbuilt\n.benchmarks\nignored\n")
        self.write("benchmarks/bench_x.py", BENCH.format(work=2000))
        self.commit()

    def git(self, *arguments: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *who, *arguments], cwd=self.folder, check=True, capture_output=True)

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def commit(self) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "state")

    def compare(self, *arguments: str) -> int:
        return main(["HEAD", "--rounds", "2", *arguments], self.folder)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def test_slower_code_is_found_and_named(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    repository.write("benchmarks/bench_old.py", OWN.format(name="old"))
    repository.commit()
    repository.write("benchmarks/bench_x.py", BENCH.format(work=20_000))
    repository.write("benchmarks/bench_new.py", OWN.format(name="new"))
    repository.write("ignored", "")
    (repository.folder / "benchmarks/bench_old.py").unlink()
    assert repository.compare() == 1
    told = capsys.readouterr()
    assert "bench_x work*" in told.out and "1 benchmarks, 2 rounds: 1 slower" in told.out
    assert "only in base: bench_old old" in told.out and "only in tree: bench_new new" in told.out
    assert "with changes" in told.out and "pass 4/4 base" in told.err and "s left" in told.err
    assert not (repository.folder / "built").exists()  # nothing is built in the working tree


def test_nothing_slower_passes(
    repository: Repository, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.compare_commits.measured", lambda *arguments: {A: 1.0})
    assert repository.compare() == 0
    assert "unchanged" in capsys.readouterr().out


def broken_setup(repository: Repository) -> None:
    repository.write("setup.py", "raise SystemExit('error: expected ; before }')\n")


def broken_benchmark(repository: Repository) -> None:
    repository.write("benchmarks/bench_x.py", "def test_work(benchmark):\n    assert benchmark(int) == 1\n")


def broken_package(repository: Repository) -> None:
    repository.write("fastchat/__init__.py", "import no_such_thing\n")


def no_benchmarks(repository: Repository) -> None:
    (repository.folder / "benchmarks/bench_x.py").unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (broken_setup, ("working tree", "does not build", "before }")),
        (broken_benchmark, ("the benchmarks of working tree", "assert 0 == 1")),
        (broken_package, ("working tree", "cannot be imported", "no_such_thing")),
        (no_benchmarks, ("working tree", "choose a later commit")),
    ],
)
def test_what_cannot_be_measured_is_said(
    repository: Repository, capsys: pytest.CaptureFixture[str], spoil: object, words: tuple[str, ...]
) -> None:
    assert callable(spoil)
    spoil(repository)
    assert repository.compare() == 2
    told = capsys.readouterr().err
    assert all(word in told for word in words), told


@pytest.mark.parametrize("name", ["no-such-branch", "--output=x", "", "HEAD~99"])
def test_a_commit_that_is_none(repository: Repository, name: str) -> None:
    with pytest.raises(BenchError, match="no commit"):
        checkouts.commit_named(repository.folder, name)


def test_no_repository(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["HEAD"], tmp_path) == 2
    assert "not a git repository" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["HEAD", "--rounds", "1"], ["HEAD", "--bound", "0"], []])
def test_wrong_use(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)


def test_another_fastchat_is_not_measured(tmp_path: Path) -> None:
    """The suite of a commit must not run over the package that is installed."""
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "bench_x.py").touch()
    with pytest.raises(BenchError, match="another fastchat|cannot be imported"):
        checkouts.check(checkouts.Checkout("base", "a commit", tmp_path))


def test_interrupted_it_tells_what_there_is(
    repository: Repository, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = iter([{A: 1.0}, {A: 2.0}, {A: 1.0}])

    def measured(*arguments: object) -> dict[str, float]:
        for one in rounds:
            return one
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmarks.compare_commits.measured", measured)
    assert repository.compare() == 130
    told = capsys.readouterr()
    assert "stopped" in told.err and "1 benchmarks, 1 rounds" in told.out


def test_the_module_runs() -> None:
    command = [sys.executable, "-m", "benchmarks.compare_commits", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent.parent)
    assert done.returncode == 0 and "alternate" in done.stdout
