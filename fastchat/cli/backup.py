"""`fastchat backup FILE`: a copy of everything, while the server runs."""

from __future__ import annotations

import time
from pathlib import Path

import click

from fastchat.cli.options import data_option
from fastchat.engine import vault

PATIENCE = 2.0  # seconds without a word, and between two


@click.command(
    epilog="""\b
Examples:
  fastchat backup fastchat-2026-01-01.db
  fastchat backup /var/backups/fastchat.db --data /var/lib/fastchat

\b
To go on from a copy, give it to a server as a folder of its own:
  mkdir restored && cp fastchat-2026-01-01.db restored/fastchat.db
  fastchat serve --data restored
"""
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@data_option
def command(file: Path, data: Path) -> None:
    """Copy everything that is kept into FILE, as it stands at this moment.

    The server may run and does not wait. FILE appears whole and checked, or not at all; what was there is
    replaced. Only you may read it. A server that opens the copy gives every room a new epoch, since members
    may have seen messages that are not in it.
    """
    begun = time.monotonic()
    said = begun

    def progress(copied: int, size: int) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said >= PATIENCE:
            said = now
            click.echo(f"{copied * 100 // max(size, 1):3} % of {size // 1024:,} KiB", err=True)

    with vault.reading(data) as database:
        size = vault.backup(database, file, progress, time.time_ns() // 1_000_000)
    click.echo(f"{file}: {size:,} bytes in {time.monotonic() - begun:.1f} s")
