"""`fastchat tail ROOM`: what is said, as lines or as JSON."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import click

from fastchat.cli.options import Target, with_target
from fastchat.cli.output import Output, nobody_reads
from fastchat.cli.palette import Palette
from fastchat.cli.speech import remark, said
from fastchat.cli.text import json_line, safe
from fastchat.client import Change, Event, Gap, Left, Lost, Message, Notice, Refused

TYPES: dict[type, str] = {Message: "message", Change: "change", Gap: "gap", Lost: "lost", Notice: "notice"}


@click.command(
    epilog="""\b
Examples:
  fastchat tail lobby
  fastchat tail lobby --history 20 --json | jq -r .data
  fastchat tail builds --count 1          # wait for the next message
"""
)
@click.argument("room")
@click.option(
    "--history", type=click.IntRange(0), metavar="N", default=0, help="Begin with the last N messages."
)
@click.option("--count", type=click.IntRange(1), metavar="N", help="End after N messages.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, with gaps and losses.")
@with_target
def command(target: Target, room: str, history: int, count: int | None, as_json: bool) -> None:
    """Print what is said in ROOM until Ctrl-C, across reconnections.

    What is not a message (a lost connection, a gap) goes to stderr, with --json to stdout.
    """
    try:
        asyncio.run(_tail(target, room, history, count, as_json))
    except KeyboardInterrupt:
        return
    except BrokenPipeError:
        nobody_reads()


async def _tail(target: Target, room: str, history: int, count: int | None, as_json: bool) -> None:
    output, palette = Output(), Palette.of(sys.stdout, os.environ)
    async with target.connect() as chat:
        events = chat.events()
        await chat.join(room, history=history)
        async for event in events:
            if isinstance(event, Left):
                raise Refused(event.code, event.text)
            if as_json and type(event) in TYPES:
                await output.line(json_line(record(event)))
            elif isinstance(event, Message):
                await output.line(said(event, palette))
            else:
                note(event)
            if count is not None and isinstance(event, Message):
                count -= 1
                if count == 0:
                    return


def record(event: Any) -> dict[str, object]:
    """An event as JSON: its type and its fields."""
    return {"type": TYPES[type(event)], **event._asdict()}


def note(event: Event) -> None:
    """Say on stderr what happened to the connection."""
    text = remark(event)
    if text:
        click.echo(f"fastchat: {safe(text)}", err=True)
