"""Two states of the source in directories of their own, each with its own build of the extensions.

Invariant: neither the working tree nor git's own data are written to, and nothing comes from the network: the
packages are those of the Python that runs this.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.programs import ALONE
from fastchat.bench.failure import BenchError

WORDS = 2000  # characters of a failed command's output that are shown
KEPT_OUT = ("FASTCHAT_", "PYTHONPATH", "PYTHONSAFEPATH", "PYTEST_ADDOPTS")  # would change what is measured
WHERE = "import fastchat; print(fastchat.__file__)"


@dataclass(frozen=True, slots=True)
class Checkout:
    """One state of the source."""

    name: str  # "base" or "tree"
    title: str  # for people: the commit
    folder: Path

    @property
    def benchmarks(self) -> list[Path]:
        """Its files of the suite, relative to the folder."""
        found = sorted((self.folder / "benchmarks").glob("bench_*.py"))
        return [path.relative_to(self.folder) for path in found if path.name not in ALONE]


def environment() -> dict[str, str]:
    """This process's environment without what would change which code runs, or how."""
    return {name: value for name, value in os.environ.items() if not name.startswith(KEPT_OUT)}


def git(root: Path, *arguments: str) -> bytes:
    """What git says. Raises BenchError with its words."""
    try:
        return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True).stdout
    except FileNotFoundError as error:
        raise BenchError("git is not installed") from error
    except subprocess.CalledProcessError as error:
        raise BenchError(f"git {arguments[0]}: {error.stderr.decode(errors='replace').strip()}") from error


def commit_named(root: Path, name: str) -> str:
    """The full name of a commit. Raises BenchError where there is none."""
    query = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    try:
        return git(root, *query).decode().strip()
    except BenchError as error:
        words = str(error).partition(": ")[2]  # none where git works and the name is wrong
        text = f"no commit {name!r} here: give a branch, a tag or a hash. {words}"
        raise BenchError(text.strip()) from error


def short(root: Path, commit: str) -> str:
    """How a commit is called in one line."""
    return git(root, "log", "-1", "--format=%h %s", commit).decode(errors="replace").strip()


def base(root: Path, name: str, folder: Path) -> Checkout:
    """Lay out a commit."""
    commit = commit_named(root, name)
    with tarfile.open(fileobj=io.BytesIO(git(root, "archive", "--format=tar", commit))) as archive:
        archive.extractall(folder, filter="data")
    return Checkout("base", short(root, commit), folder)


def tree(root: Path, folder: Path) -> Checkout:
    """Copy the working tree: what git follows or would, as it is now."""
    listed = git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").decode().split("\0")
    for name in filter(None, listed):
        source, target = root / name, folder / name
        if source.is_file():  # else it was removed, or is a link to a directory
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    changed = "with changes" if git(root, "status", "--porcelain") else "unchanged"
    return Checkout("tree", f"working tree ({short(root, 'HEAD').split()[0]}, {changed})", folder)


def build(checkouts: Sequence[Checkout]) -> None:
    """Build the extensions of all of them side by side. Raises BenchError with the compiler's words."""
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    running = [
        subprocess.Popen(
            command, cwd=one.folder, env=environment() | {"FASTCHAT_REQUIRE_EXT": "1"}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        for one in checkouts
    ]  # fmt: skip
    said = [process.communicate()[0] for process in running]
    for one, process, words in zip(checkouts, running, said, strict=True):
        if process.returncode:
            raise BenchError(f"{one.title} does not build:\n{words[-WORDS:].strip()}")


def check(checkout: Checkout) -> None:
    """See that it is really this state that would be measured. Raises BenchError."""
    if not checkout.benchmarks:
        raise BenchError(f"{checkout.title} has no benchmarks/bench_*.py: choose a later commit")
    done = subprocess.run(
        [sys.executable, "-c", WHERE], cwd=checkout.folder, env=environment(), capture_output=True, text=True
    )
    if done.returncode:
        raise BenchError(f"{checkout.title} cannot be imported:\n{done.stderr[-WORDS:].strip()}")
    if not Path(done.stdout.strip()).is_relative_to(checkout.folder.resolve()):
        raise BenchError(f"{checkout.title}: another fastchat is imported, {done.stdout.strip()}")
