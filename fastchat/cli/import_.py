"""`fastchat import FILE`: fill a room with what was exported."""

from __future__ import annotations

from pathlib import Path

import click

from fastchat.cli.options import data_option
from fastchat.engine import vault
from fastchat.engine.archive import ArchiveError, read_archive
from fastchat.errors import ProtocolError, StoreError
from fastchat.protocol.names import room_name


@click.command(
    epilog="""\b
Examples:
  fastchat import lobby.jsonl
  fastchat import lobby.jsonl --room lobby-2026 --data /var/lib/fastchat
  zcat lobby.jsonl.gz | fastchat import - --replace
"""
)
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--room", metavar="ROOM", help="Into this room; else the one that the file names.")
@click.option("--replace", is_flag=True, help="Put it in the place of what the room has.")
@data_option
def command(file: str, room: str | None, replace: bool, data: Path) -> None:
    """Fill a room with what `fastchat export` wrote to FILE ("-": stdin).

    All of it or nothing: every line is checked, and a bad one is named. The server must not run: stop it
    first. The room gets a new epoch, so clients that were in it are told that they cannot go on from where
    they were; offsets stay, so replies and changes still point at their messages.
    """
    if room is not None:
        try:
            room_name(room)
        except ProtocolError as error:
            raise click.UsageError(f"--room {room}: {error.text}") from None
    try:
        with click.open_file(file, "rb") as source:
            header, entries = read_archive(source)
            name = room or header.room
            with vault.changing(data) as database:
                count = vault.put(database, name, header.offset, entries, replace)
    except ArchiveError as error:
        where = "stdin" if file == "-" else file
        raise ArchiveError(f"{where}, {error}; nothing was imported") from None
    except OSError as error:
        raise StoreError(f"{file}: {error.strerror or error}; nothing was imported") from error
    click.echo(f"{name}: {count:,} messages, up to offset {header.offset:,}")
