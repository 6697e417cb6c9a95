"""`fastchat send ROOM TEXT`: succeeds only once the server has it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator

import click

from fastchat.cli.failure import Failure, explain
from fastchat.cli.options import Target, with_target
from fastchat.cli.stdin import lines
from fastchat.client import Chat, Refused
from fastchat.errors import FastChatError

MOST_WAIT_MS = 5000  # between attempts, whatever the server asks for


@click.command(
    epilog="""\b
Examples:
  fastchat send lobby "hello everybody" --name ada
  make 2>&1 | fastchat send builds --name ci
  fastchat send game:1 '{"move": "e4"}' --json
  fastchat send alerts "disk is full" --key disk-full-2026-11-23
"""
)
@click.argument("room")
@click.argument("text", nargs=-1)
@click.option("--key", help="Saying it again with the same key within 5 minutes changes nothing.")
@click.option("--ephemeral", is_flag=True, help="Do not keep it in the room's history.")
@click.option("--json", "as_json", is_flag=True, help="The text is JSON, and is sent as data.")
@with_target
def command(
    target: Target, room: str, text: tuple[str, ...], key: str | None, ephemeral: bool, as_json: bool
) -> None:
    """Say TEXT in ROOM, or, without TEXT, each line of stdin that is not empty.

    The exit code is 0 only if the server has acknowledged everything.
    """
    if key is not None and not text:
        raise click.UsageError("--key is for one message: give its TEXT as an argument")
    if not text and sys.stdin.isatty():
        click.echo("Reading lines; Ctrl-D ends.", err=True)
    said = _once(" ".join(text)) if text else lines()
    try:
        asyncio.run(_send(target, room, said, key, ephemeral, as_json))
    except KeyboardInterrupt:
        raise Failure("interrupted: not everything was sent", 130) from None


async def _once(text: str) -> AsyncIterator[str]:
    yield text


def _decoded(line: str) -> object:
    try:
        return json.loads(line)
    except ValueError as error:
        raise click.UsageError(f"not JSON: {error}") from None


async def _send(
    target: Target, room: str, said: AsyncIterator[str], key: str | None, ephemeral: bool, as_json: bool
) -> None:
    async with target.connect() as chat:
        count = 0
        async for line in said:
            if not line.strip():
                continue
            data = _decoded(line) if as_json else line
            try:
                await _publish(chat, room, data, key, ephemeral, target.timeout)
            except FastChatError as error:
                done = f" (after {count} that were acknowledged)" if count else ""
                raise Failure(explain(error) + done, Failure.of(error).code) from error
            count += 1


async def _publish(
    chat: Chat, room: str, data: object, key: str | None, ephemeral: bool, seconds: float
) -> None:
    """Publish, and try again as often as the server says that it may pass later, within `seconds`."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while True:
        try:
            await chat.publish(room, data, key=key, ephemeral=ephemeral, echo=False)
            return
        except Refused as refusal:
            pause = min(refusal.retry_ms or 1000, MOST_WAIT_MS) / 1000
            if not refusal.temporary or loop.time() + pause > until:
                raise
            await asyncio.sleep(pause)
