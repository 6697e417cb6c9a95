"""`fastchat audit`: what moderators did, from the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click

from fastchat.cli.options import data_option
from fastchat.cli.output import nobody_reads
from fastchat.cli.text import json_line, safe
from fastchat.engine import vault
from fastchat.engine.base import Record
from fastchat.errors import ProtocolError
from fastchat.protocol.codec import unpack

HEAD = ("when", "room", "by", "action", "user", "detail")


@click.command(
    epilog="""\b
Examples:
  fastchat audit
  fastchat audit lobby --last 20
  fastchat audit --json | jq 'select(.action == "ban")'
"""
)
@click.argument("room", required=False)
@click.option(
    "--last", type=click.IntRange(1), metavar="N", default=100, show_default=True, help="So many lines."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line; ts is ms since 1970.")
@data_option
def command(room: str | None, last: int, as_json: bool, data: Path) -> None:
    """Show who did what to whom, in ROOM or everywhere, the newest last.

    The log is only ever appended to, and its newest 100,000 lines are kept. The server may run.
    """
    with vault.reading(data) as database:
        records = vault.records(database, room, last)
    try:
        if as_json:
            for record in records:
                click.echo(json_line(record._asdict() | {"detail": detail(record)}))
        elif records:
            _table([HEAD, *map(_row, records)])
        else:
            click.echo("nothing is in the log" + (f" of {room}" if room else ""), err=True)
    except BrokenPipeError:
        nobody_reads()


def detail(record: Record) -> object:
    """Seconds, reason and so on."""
    try:
        return unpack(record.detail)
    except ProtocolError:
        return {}


def _row(record: Record) -> tuple[str, ...]:
    when = datetime.fromtimestamp(record.ts / 1000).strftime("%Y-%m-%d %H:%M:%S")
    found = detail(record)
    more = " ".join(f"{key}={value}" for key, value in found.items()) if isinstance(found, dict) else ""
    texts = (record.room or "(server)", record.by, record.action, record.user, more)
    return when, *(safe(text) for text in texts)


def _table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[place]) for row in rows) for place in range(len(HEAD))]
    for row in rows:
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
