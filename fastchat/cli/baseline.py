"""`fastchat serve --server threaded|streams|ack`: the servers to compare with, in the foreground."""

from __future__ import annotations

import logging
import signal
from dataclasses import fields
from types import FrameType
from typing import Protocol

import click

from fastchat import __version__
from fastchat.config import Config
from fastchat.errors import ConfigError

KINDS = {
    "threaded": "a thread per client, blocking sockets, a send per delivery",
    "streams": "asyncio streams on uvloop, a write per delivery",
    "ack": "a thread per connection: one line in, ACK out, closed",
}
# What a baseline takes from the configuration; rate_limits, because it has none anyway
LISTENING = {"host", "port", "backlog", "sndbuf", "notsent_lowat", "max_frame", "rate_limits"}
CHATTING = LISTENING | {"node", "max_rooms", "max_depth", "max_elements"}
TAKES = {
    "ack": LISTENING | {"max_connections"},
    "threaded": CHATTING | {"max_connections"},
    "streams": CHATTING | {"outbox_bytes"},
}


WORDS = {"rooms": "options of rooms (--room, --history, --policy)"}


class Baseline(Protocol):
    """What every baseline can do."""

    @property
    def addresses(self) -> list[str]: ...

    def listen(self) -> None: ...

    def serve(self) -> None: ...

    def stop(self) -> None: ...


def made(kind: str, config: Config) -> Baseline:
    """Make a baseline; only what it needs is imported."""
    if kind == "streams":
        from fastchat.baselines.streams import StreamsServer

        return StreamsServer(config)
    if kind == "ack":
        from fastchat.baselines.ack import AckServer

        return AckServer(config)
    from fastchat.baselines.threaded import ThreadedServer

    return ThreadedServer(config)


def refuse_others(kind: str, config: Config) -> None:
    """Raise ConfigError for settings that this baseline does not have."""
    plain = Config()
    given = [
        one.name
        for one in fields(config)
        if one.name not in TAKES[kind] and getattr(config, one.name) != getattr(plain, one.name)
    ]
    if given:
        raise ConfigError(
            f"--server {kind} is a baseline and has no {', '.join(WORDS.get(one, one) for one in given)}. "
            f"It takes only {', '.join(sorted(TAKES[kind]))}."
        )


def serve(kind: str, config: Config, log_level: str) -> None:
    """Run a baseline until a signal ends it; a second one does not wait."""
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    refuse_others(kind, config)
    server = made(kind, config)
    server.listen()

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        server.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    click.echo(greeting(kind, server.addresses))
    try:
        server.serve()
    except KeyboardInterrupt:
        return


def greeting(kind: str, addresses: list[str]) -> str:
    """What it is, where it listens, and how to talk to it."""
    lines = [
        f"fastchat {__version__} --server {kind} listens on {', '.join(addresses)}",
        f"  what      {KINDS[kind]}",
        "            a baseline for benchmarks, not for use (docs/BASELINES.md)",
    ]
    for address in addresses:
        if kind == "ack":
            host, _, port = address.rpartition(":")
            lines.append(f"  talk      echo hello | nc {host.strip('[]')} {port}")
        else:
            lines.append(f"  talk      fastchat chat lobby --name ada --url tcp://{address}")
            lines.append(f"  clients   tcp://{address}")
    lines.append("Ctrl-C ends it.")
    return "\n".join(lines)
