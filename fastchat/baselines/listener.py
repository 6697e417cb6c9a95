"""Where baselines listen: loopback only, for they have no limits that would hold strangers off.

The sockets get the same options as fastchat's own listeners, so that no comparison hangs on them.
"""

from __future__ import annotations

import socket

from fastchat.config import Config
from fastchat.errors import ConfigError
from fastchat.transports.listen import is_public, resolve, tcp_sockets


def listeners(config: Config) -> list[socket.socket]:
    """Listen on every address of `config.host`. Raises ConfigError, with what to do, where that cannot be."""
    if not config.host:
        raise ConfigError("nowhere to listen: give a host.")
    reachable = [place[0] for _, place in resolve(config.host, config.port) if is_public(place[0])]
    if reachable:
        raise ConfigError(
            f"{config.host!r} can be reached from other machines ({', '.join(reachable)}), and a baseline "
            "has no limits at all. Listen on 127.0.0.1."
        )
    bound = tcp_sockets(config)
    for one in bound:
        one.listen(config.backlog)
    return bound


def named(listener: socket.socket) -> str:
    """The address as a URL has it: "127.0.0.1:9999", "[::1]:9999"."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
