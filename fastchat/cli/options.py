"""What commands share: --url, --name, --timeout, --tls-ca to talk to a server; --data for what one keeps."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from fastchat.client import Chat, connect
from fastchat.client.address import Address
from fastchat.config import Config
from fastchat.errors import ConfigError

DEFAULT_URL = "tcp://127.0.0.1:9999"


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

    def connect(self) -> Chat:
        """A client that is not connected yet; what its log would say, the commands say in words."""
        logging.getLogger("fastchat.client").addHandler(logging.NullHandler())
        try:
            tls = ssl.create_default_context(cafile=self.tls_ca) if self.tls_ca else None
        except ssl.SSLError as error:
            raise ConfigError(
                f"--tls-ca {self.tls_ca}: no PEM file of certificates ({error.reason})"
            ) from None
        return connect(self.url, name=self.name, timeout=self.timeout, tls=tls)


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
    def taking(url: str, name: str | None, timeout: float, tls_ca: str | None, **rest: Any) -> Any:
        return command(target=Target(url, name, timeout, tls_ca), **rest)

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
