"""`fastchat chat ROOM`: a conversation, line by line."""

from __future__ import annotations

import asyncio
import os
import sys

import click

from fastchat.cli.console import Console
from fastchat.cli.conversation import Conversation
from fastchat.cli.options import Target, with_target
from fastchat.cli.output import nobody_reads
from fastchat.cli.palette import Palette
from fastchat.cli.text import safe

SHOWN = 20  # messages of before that are shown at the start


@click.command(
    epilog="""\b
In the conversation:
  /who             who is here             /msg NAME TEXT      to one user alone
  /edit [#N] TEXT  change a message        /delete [#N]        take it back
  /reply #N TEXT   answer a message        /react EMOJI [#N]   react to one
  /kick, /ban, /mute, /slow, /lock, /op    for moderators of the room
  /help            all of it               /quit               leave (or Ctrl-D, Ctrl-C)

\b
Examples:
  fastchat chat lobby --name ada
  fastchat chat game:1 --name bob --url ws://127.0.0.1:9999/ws
  fastchat chat lobby --token-file eve.token
  printf 'hello\\nbye\\n' | fastchat chat lobby --name bot
"""
)
@click.argument("room")
@click.option(
    "--history",
    type=click.IntRange(0),
    metavar="N",
    default=SHOWN,
    show_default=True,
    help="Show so many messages of before.",
)
@with_target
def command(target: Target, room: str, history: int) -> None:
    """Talk in ROOM: what you type is said, what others say appears above it.

    Lost connections are made again, and nothing is missed. Through a pipe each line is said in turn.
    """
    try:
        asyncio.run(_chat(target, room, history))
    except KeyboardInterrupt:
        return
    except BrokenPipeError:
        nobody_reads()


async def _chat(target: Target, room: str, history: int) -> None:
    console = Console()
    palette = Palette.of(sys.stdout, os.environ)
    async with target.connect() as chat:
        talk = Conversation(chat, room, console, palette)
        await talk.begin(history)
        with console.opened(f"{safe(chat.user)}> " if console.interactive else ""):
            await talk.run()
        await talk.end()
