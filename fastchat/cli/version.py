"""`fastchat version`: what runs here, for a report of a problem."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import click

from fastchat import __version__
from fastchat.broadcast import EXTENSION as BROADCAST
from fastchat.cli.text import json_line
from fastchat.config import Config
from fastchat.protocol.codec import EXTENSION as CODEC
from fastchat.protocol.framing import EXTENSION as FRAMING

LIBRARIES = ("uvloop", "msgpack", "websockets", "aiohttp", "click", "pyjwt", "cryptography")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def command(as_json: bool) -> None:
    """Show the versions of fastchat, Python and the libraries, and which twins of the core are in use.

    "pure" means that the C extension was not built, or FASTCHAT_PURE=1 chose so: the server then works,
    but slower.
    """
    facts = {"fastchat": __version__, "python": platform.python_version(), "system": platform.platform()}
    facts |= {name: _version(name) for name in LIBRARIES}
    facts |= {
        "broadcast": _twin(BROADCAST),
        "codec": _twin(CODEC),
        "framing": _twin(FRAMING),
        "backend": Config().backend,
    }
    if as_json:
        click.echo(json_line(facts))
        return
    for name, value in facts.items():
        click.echo(f"{name:<13}{value}")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _twin(extension: bool) -> str:
    return "compiled" if extension else "pure"
