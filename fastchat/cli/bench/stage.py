"""What the laboratory's commands share: where servers run, which there are, where results go."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click

from fastchat.bench.machine import ROOT, checkout, output
from fastchat.bench.processes import DISTURBED, Cores, Place
from fastchat.bench.results import Record, destination, document
from fastchat.bench.targets import BUILT_IN, Target, expand, located, present, read_peers
from fastchat.cli.bench.progress import Progress

PEERS = Path("benchmarks") / "peers" / "peers.toml"
PRIVATE = ("--out", "--peers")  # their values are paths, and results name none
INTERRUPTED = 130

OUT = click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Keep the result there; it is written after each sample.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
PEERS_FILE = click.option(
    "--peers",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help=f"Servers of others to measure, as TOML; {PEERS} where it exists.",
)


def here() -> Place:
    """This machine's cores and environment; one core is said to be too few."""
    place = Place(Cores.choose(), os.environ)
    if not place.cores.pinned:
        click.echo(f"fastchat: {DISTURBED}", err=True)
    return place


def known(peers: Path | None) -> tuple[Target, ...]:
    """The servers built in, and those of the peers' file. Raises BenchError for a mistake in it."""
    root = checkout()
    default = next((path for path in (PEERS, (root or Path()) / PEERS) if path.exists()), None)
    path = peers or default
    return (*BUILT_IN, *(read_peers(path) if path else ()))


def startable(targets: Iterable[Target]) -> tuple[list[Target], dict[str, str]]:
    """Those that can be started; the others are said to be skipped, with what to do."""
    found, skipped = present(targets)
    for name, reason in skipped.items():
        click.echo(f"skipped {name}: {reason}", err=True)
    return found, skipped


def versions(targets: Iterable[Target]) -> dict[str, str]:
    """What the peers say of their versions, by name."""
    return {f"peer {target.name}": version(target) for target in targets if target.version}


def version(target: Target) -> str:
    """The first line that its version command prints; "" if it cannot be run."""
    program, *rest = (expand(word, {"python": sys.executable}) for word in target.version)
    return output(located(program) or program, *rest, folder=target.folder or ROOT).partition("\n")[0]


def words() -> str:
    """The command line, for the result, without values that are paths."""
    kept: list[str] = []
    for word in sys.argv[1:]:
        if kept and kept[-1] in PRIVATE:
            kept[-1:] = []
        elif not word.startswith(tuple(f"{name}=" for name in PRIVATE)):
            kept.append(word)
    return shlex.join(["fastchat", *kept])


def record(
    kind: str, settings: Mapping[str, Any], out: Path | None, *, complete: bool, peers: Mapping[str, str] = {}
) -> Record:
    """A result that is written after each sample. Raises BenchError if it could not be written."""
    path = destination(kind, out, complete)
    return Record(document(kind, words(), settings, peers=peers), path)


def warn_unkept(kept: Record) -> None:
    """Say before a long run that its result goes into no file, while something can still be done."""
    if kept.path is None:
        click.echo("fastchat: the result of this run goes into no file; --out FILE keeps it", err=True)


def progress(seconds: float) -> Progress:
    """A progress line on the error output for a run of so many seconds."""
    return Progress(sys.stderr, seconds, columns=shutil.get_terminal_size().columns)


@contextmanager
def interruptible(kept: Record, line: Progress) -> Iterator[Callable[[], bool]]:
    """Ctrl-C ends the block, not the command: what was measured is shown. Yields whether that happened.

    Where a KeyboardInterrupt gets lost, as in a callback around a fork, the next step raises it again.
    """
    stopped: list[bool] = []

    def heard(number: int, frame: FrameType | None) -> None:
        line.stopped = True
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, heard)
    try:
        yield lambda: bool(stopped)
    except KeyboardInterrupt:
        stopped.append(True)
        line.say("stopped; what was measured so far:")
    finally:
        signal.signal(signal.SIGINT, before)
        line.close()
        kept.save()


def kept_in(kept: Record) -> str:
    """Where the result is, in words; "" if nowhere."""
    return f"kept in {kept.path}" if kept.path else ""


def numbers(ctx: click.Context, param: click.Parameter, value: str | None) -> Sequence[int]:
    """A click callback: whole numbers above 0, parted by commas."""
    try:
        found = [int(word) for word in value.split(",")] if value else []
    except ValueError:
        raise click.BadParameter("whole numbers, parted by commas", ctx, param) from None
    if any(one < 1 for one in found):
        raise click.BadParameter("each must be 1 or more", ctx, param)
    return found


def names(ctx: click.Context, param: click.Parameter, value: str | None) -> Sequence[str]:
    """A click callback: names, parted by commas."""
    return [word.strip() for word in value.split(",") if word.strip()] if value else []
