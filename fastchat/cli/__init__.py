"""The command line: `fastchat COMMAND`. The only place that prints.

Invariant: a command's module, and what it needs, is imported when that command is used and not before, so
that `fastchat --help` answers at once.
"""

from __future__ import annotations

import click

from fastchat import __version__
from fastchat.cli.group import LazyGroup

COMMANDS = {
    "serve": "Start the server.",
    "chat": "Talk in a room, line by line.",
    "send": "Say one thing, or each line of a pipe.",
    "tail": "Print what is said in a room.",
    "ping": "Measure round trips to a server.",
    "export": "Write what was said in a room as JSON lines.",
    "import": "Fill a room with what was exported.",
    "backup": "Copy everything that is kept, while the server runs.",
    "audit": "Show what moderators did.",
    "bench": "Measure what a server can carry, and compare.",
    "keygen": "Make a key for tokens.",
    "token": "Make a token: who somebody is, and what they may do.",
    "version": "Show the versions of what runs here.",
    "completion": "Print the shell's completion script.",
}

EPILOG = """\b
A first conversation, in three terminals:
  fastchat serve
  fastchat chat lobby --name ada
  fastchat chat lobby --name bob

\b
For scripts:
  echo "build 42 is green" | fastchat send builds --name ci
  fastchat tail builds --history 10 --json

\b
What the server keeps lies in ./fastchat-data (--data, or the variable FASTCHAT_DATA):
  fastchat export lobby > lobby.jsonl
  fastchat backup /var/backups/fastchat.db

\b
Another server: --url tcp://HOST:PORT, ws://HOST:PORT/ws, unix:/PATH (tcps, wss for TLS),
or the variable FASTCHAT_URL.

\b
Exit codes: 0 done, 1 a mistake of ours, 2 wrong use or configuration, 3 cannot connect,
4 the server refused, 5 no answer in time or the connection was lost, 130 interrupted.
"""

main = LazyGroup(
    "fastchat",
    package="fastchat.cli",
    summaries=COMMANDS,
    help="An event-driven chat server, and a client for it.",
    epilog=EPILOG,
)

click.version_option(
    __version__, message="fastchat %(version)s", help="Show the version; fastchat version shows more."
)(main)

__all__ = ["main"]
