"""`fastchat serve`: the server in the foreground."""

from __future__ import annotations

import asyncio
import logging
import os

import click
import uvloop

from fastchat import __version__
from fastchat.broadcast import EXTENSION as BROADCAST
from fastchat.cli import baseline
from fastchat.cli.baseline import KINDS
from fastchat.cli.failure import USAGE, Failure
from fastchat.cli.options import DEFAULT_URL
from fastchat.config import Config, Guests, Policy
from fastchat.identity.keys import SECRET_VARIABLE
from fastchat.identity.tokens import ALGORITHMS
from fastchat.protocol.codec import EXTENSION as CODEC
from fastchat.protocol.framing import EXTENSION as FRAMING
from fastchat.server import Server
from fastchat.settings import load

NO_LIMITS = "WARNING: RATE LIMITS ARE OFF: anybody who connects can flood every room. For laboratories only."
WHO = {
    Guests.LOCAL: "guests from this machine",
    Guests.ANYONE: "guests from everywhere, under any name",
    Guests.NOBODY: "no guests",
}
TOKENS = ", and who has a token (fastchat token --help)"
LEVELS = ("debug", "info", "warning", "error")


@click.command(
    epilog="""\b
Examples:
  fastchat serve
  fastchat serve --port 9000 --history 200
  fastchat serve --config fastchat.toml
  fastchat serve --unix /run/fastchat.sock --host ""
  fastchat serve --data /var/lib/fastchat
  fastchat serve --room game.durability=memory --room game.coalesce_ms=50
  fastchat serve --guests nobody --token-algorithm EdDSA --token-key fastchat-token.pub
  fastchat serve --set flush_budget_ms=0 --limits off
  fastchat serve --server threaded        # one to compare with
"""
)
@click.option(
    "--server",
    "kind",
    type=click.Choice(("fastchat", *KINDS)),
    default="fastchat",
    show_default=True,
    help="Others are baselines for benchmarks: TCP on loopback only, no page, no limits, no history.",
)
@click.option("--host", help="Address to listen on; 127.0.0.1 by default, empty for none.")
@click.option("--port", type=click.IntRange(0, 65535), metavar="N", help="9999 by default, 0: any free one.")
@click.option("--unix", metavar="PATH", help="Listen on a Unix socket too.")
@click.option("--config", "path", type=click.Path(dir_okay=False), help="A TOML file of settings.")
@click.option("--engine", type=click.Choice(("sqlite", "memory")), help="memory: nothing outlives it.")
@click.option("--data", metavar="PATH", help="Folder of what is kept; fastchat-data by default.")
@click.option("--tls-cert", type=click.Path(dir_okay=False), help="PEM file: the port then speaks TLS only.")
@click.option("--tls-key", type=click.Path(dir_okay=False), help="PEM file of the certificate's key.")
@click.option("--guests", type=click.Choice([g.value for g in Guests]), help="Who needs no token.")
@click.option("--token-algorithm", type=click.Choice(ALGORITHMS), help="What signs tokens.")
@click.option("--token-key", "token_keys", multiple=True, metavar="[KID=]FILE", help="What checks tokens.")
@click.option("--allow-insecure-bind", is_flag=True, default=None, help="Whoever reaches the port may chat.")
@click.option("--limits", type=click.Choice(("on", "off")), help="off: no rate limits, for laboratories.")
@click.option("--history", type=click.IntRange(0), metavar="N", help="Messages kept per room.")
@click.option("--policy", type=click.Choice([p.value for p in Policy]), help="What befalls a slow consumer.")
@click.option("--room", "rooms", multiple=True, metavar="NS.OPTION=VALUE", help="An option of a namespace.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any setting by its name.")
@click.option("--log-level", type=click.Choice(LEVELS), default="warning", show_default=True)
def command(
    kind: str,
    host: str | None,
    port: int | None,
    unix: str | None,
    path: str | None,
    engine: str | None,
    data: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    guests: str | None,
    token_algorithm: str | None,
    token_keys: tuple[str, ...],
    allow_insecure_bind: bool | None,
    limits: str | None,
    history: int | None,
    policy: str | None,
    rooms: tuple[str, ...],
    settings: tuple[str, ...],
    log_level: str,
) -> None:
    """Start the server; Ctrl-C lets everybody leave in good order, a second Ctrl-C ends at once.

    Settings come from the file, then the variables FASTCHAT_..., then these options; later wins. A secret for
    tokens comes from a file or from FASTCHAT_TOKEN_SECRET, never from here.
    """
    flags: dict[str, object] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise click.UsageError(f"--set {setting}: write KEY=VALUE")
        if key == "rooms":
            raise click.UsageError(f"--set {setting}: write --room NS.OPTION=VALUE")
        flags[key.replace("-", "_")] = value
    given: dict[str, object] = {"host": host, "port": port, "unix": unix}
    given |= {"tls_cert": tls_cert, "tls_key": tls_key, "engine": engine, "data": data}
    given |= {"guests": guests, "token_algorithm": token_algorithm, "token_keys": token_keys or None}
    given |= {"allow_insecure_bind": allow_insecure_bind, "rate_limits": limits}
    flags |= {key: value for key, value in given.items() if value is not None}
    short = {"history": history, "policy": policy}
    defaults = [f"default.{key}={value}" for key, value in short.items() if value is not None]
    flags["rooms"] = [*defaults, *rooms]
    config = load(path, os.environ, flags, "sqlite" if kind == "fastchat" else "")
    if kind == "fastchat":
        serve(config, log_level)
    else:
        baseline.serve(kind, config, log_level)


def serve(config: Config, log_level: str) -> None:
    """Run a server of this configuration until a signal ends it."""
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if not (BROADCAST and CODEC and FRAMING):
        click.echo(
            "fastchat: the C extension is not in use; this works, but slower (fastchat version)", err=True
        )
    if not config.rate_limits:
        click.echo(NO_LIMITS, err=True)
    server = Server(config, token_secret=os.environ.get(SECRET_VARIABLE, ""))

    def ready() -> None:
        click.echo(greeting(config, server.addresses))
        logger = logging.getLogger("fastchat.server")
        if logger.getEffectiveLevel() > logging.INFO:
            logger.setLevel(logging.INFO)  # from here on its news is that it drains

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(server.run(ready))
        except OSError as error:
            raise Failure(f"cannot listen: {error.strerror or error}", USAGE) from error
        except KeyboardInterrupt:  # before the server took the signal over
            return


def greeting(config: Config, addresses: list[str]) -> str:
    """Where the server listens, and how to talk to it."""
    s = "s" if config.tls_cert else ""
    lines = [f"fastchat {__version__} listens on {', '.join(addresses)}"]
    for address in addresses:
        if address.startswith("unix:"):
            lines.append(f"  talk      fastchat chat lobby --name ada --url {address}")
            continue
        url = f"tcp{s}://{address}"
        where = "" if url == DEFAULT_URL else f" --url {url}"
        lines.append(f"  talk      fastchat chat lobby --name ada{where}")
        lines.append(f"  clients   {url}  or  ws{s}://{address}/ws")
        lines.append(f"  page      http{s}://{address}/")
    if config.token_algorithm or config.guests is not Guests.LOCAL:
        lines.append(f"  who       {WHO[config.guests]}{TOKENS if config.token_algorithm else ''}")
    kept = f"{config.data}/" if config.engine == "sqlite" else "in memory: nothing outlives the server"
    lines.append(f"  data      {kept}")
    lines.append("Ctrl-C lets everybody leave in good order; twice ends at once.")
    return "\n".join(lines)
