"""What commands share: how to reach a server (--url, --name, --token-file ...); --data for what one keeps.

Invariant: a token never stands in argv, where other users of the machine see it, nor in anything printed.
"""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

import click

from fastchat.client import Chat, connect
from fastchat.client.address import Address
from fastchat.client.tokens import Token
from fastchat.config import Config
from fastchat.errors import ConfigError

DEFAULT_URL = "tcp://127.0.0.1:9999"
MAX_TOKEN = 8 * 1024  # bytes: CONNECT takes no more


def _address(ctx: click.Context, param: click.Parameter, value: str) -> str:
    try:
        return Address.parse(value).url
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


@dataclass(frozen=True)
class Target:
    """Where to connect, and as whom."""

    url: str
    name: str | None
    timeout: float  # seconds
    tls_ca: str | None
    token: Token | None = field(default=None, repr=False)

    def connect(self) -> Chat:
        """A client that is not connected yet; what its log would say, the commands say in words."""
        logging.getLogger("fastchat.client").addHandler(logging.NullHandler())
        try:
            tls = ssl.create_default_context(cafile=self.tls_ca) if self.tls_ca else None
        except ssl.SSLError as error:
            raise ConfigError(
                f"--tls-ca {self.tls_ca}: no PEM file of certificates ({error.reason})"
            ) from None
        return connect(self.url, name=self.name, token=self.token, timeout=self.timeout, tls=tls)


def token_of(path: str | None, environ: Mapping[str, str]) -> Token | None:
    """The token that a file holds, read anew whenever a fresh one is needed, else FASTCHAT_TOKEN's."""
    if path is None:
        return environ.get("FASTCHAT_TOKEN", "").strip() or None
    read_token(path)  # a mistake should be told before anything else happens
    return lambda: read_token(path)


def read_token(path: str) -> str:
    """Read the one line of a token file; raises ConfigError."""
    try:
        with open(path, "rb") as file:
            text = file.read(MAX_TOKEN + 1).strip()
    except OSError as error:
        raise ConfigError(f"--token-file {path}: {error.strerror}") from None
    if not text or len(text) > MAX_TOKEN or not text.isascii() or len(text.split()) > 1:
        raise ConfigError(f"--token-file {path}: no file with one token in it (fastchat token makes them)")
    return text.decode()


def with_target(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a connection; it gets `target`."""

    @click.option(
        "--url",
        callback=_address,
        metavar="URL",
        default=DEFAULT_URL,
        envvar="FASTCHAT_URL",
        show_default=True,
        show_envvar=True,
        help="The server: tcp://, tcps://, ws://, wss:// or unix:/PATH.",
    )
    @click.option("--name", "-n", envvar="FASTCHAT_NAME", show_envvar=True, help="Your name; else a guest's.")
    @click.option(
        "--token-file",
        type=click.Path(dir_okay=False),
        metavar="PATH",
        help="A file with your token, read again when it ends; else the variable FASTCHAT_TOKEN holds it.",
    )
    @click.option(
        "--timeout",
        type=click.FloatRange(0.1, 3600),
        metavar="SECONDS",
        default=10.0,
        show_default=True,
        help="How long to wait for an answer.",
    )
    @click.option(
        "--tls-ca",
        type=click.Path(exists=True, dir_okay=False),
        help="PEM file of the authority to trust, with tcps:// and wss://.",
    )
    @wraps(command)
    def taking(
        url: str, name: str | None, token_file: str | None, timeout: float, tls_ca: str | None, **rest: Any
    ) -> Any:
        token = token_of(token_file, os.environ)
        return command(target=Target(url, name, timeout, tls_ca, token), **rest)

    return taking


data_option = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    default=Config().data,
    envvar="FASTCHAT_DATA",
    show_default=True,
    show_envvar=True,
    help="The folder of what the server keeps.",
)
