"""`fastchat export ROOM`: a room as JSON lines."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import click

from fastchat.cli.options import data_option
from fastchat.cli.output import nobody_reads
from fastchat.cli.text import harmless
from fastchat.engine import vault
from fastchat.engine.archive import write_archive
from fastchat.errors import StoreError


@click.command(
    epilog="""\b
Examples:
  fastchat export lobby > lobby.jsonl
  fastchat export lobby --output lobby.jsonl
  fastchat export lobby | jq -r 'select(.user) | "\\(.user): \\(.data)"'
  fastchat export --list

\b
The first line names the room; every other line is a message or a change of one:
  {"offset":1,"ts":1767225600000,"user":"ada","author":"t:ada","data":"hello","opts":{},"expires":0}
What JSON cannot say stands as on the wire: bytes are {"$bin": base64} (docs/PROTOCOL.md, "JSON").
"""
)
@click.argument("room", required=False)
@click.option("--list", "listing", is_flag=True, help="Name the rooms, and how many messages each keeps.")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Write it there, whole or not at all; else to stdout.",
)  # fmt: skip
@data_option
def command(room: str | None, listing: bool, output: Path | None, data: Path) -> None:
    """Write what was said in ROOM as JSON lines, as it stands at this moment.

    The server may run. Rooms of durability "memory" are not in the folder.
    """
    if (room is None) != listing:
        raise click.UsageError("name the ROOM to export, or --list to see which there are")
    with vault.reading(data) as database:
        try:
            if room is None:
                _list(vault.rooms(database))
            else:
                header, entries = vault.export(database, room, time.time_ns() // 1_000_000)
                _write(write_archive(header, entries), output)
        except BrokenPipeError:
            nobody_reads()


def _list(rooms: list[tuple[str, int]]) -> None:
    for name, count in rooms:
        click.echo(f"{count:>9,}  {name}")


def _write(lines: Iterable[bytes], output: Path | None) -> None:
    if output is None:
        shown = sys.stdout.isatty()  # a terminal would do what is written in a message
        for line in lines:
            sys.stdout.buffer.write(harmless(line.decode()[:-1]).encode() + b"\n" if shown else line)
        sys.stdout.buffer.flush()
        return
    part = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.writelines(lines)
        os.replace(part, output)
    except OSError as error:
        raise StoreError(f"{output} was not written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
