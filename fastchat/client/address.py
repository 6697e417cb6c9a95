"""Read the address of a server: tcp, tcps, ws, wss or unix.

tcp://host:port    msgpack over TCP          tcps://host:port       the same under TLS
ws://host:port/ws  msgpack over WebSocket    wss://host:port/ws     the same under TLS
unix:/path         msgpack over a Unix socket
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

DEFAULT_PORT = 9999  # of tcp and tcps; ws and wss have the web's own
PORTS = {"tcp": DEFAULT_PORT, "tcps": DEFAULT_PORT, "ws": 80, "wss": 443}
HINT = "write tcp://HOST:PORT, ws://HOST:PORT/ws (tcps, wss for TLS) or unix:/PATH"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is and how to speak to it; exactly one of `host` and `path` is set."""

    url: str  # for people
    host: str = ""
    port: int = 0
    path: str = ""  # of a Unix socket
    websocket: bool = False
    tls: bool = False

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read `url`; ValueError says what is wrong with it."""
        scheme, colon, rest = url.partition(":")
        if not colon or scheme not in (*PORTS, "unix"):
            raise ValueError(f"{url!r} is not a server's address: {HINT}")
        if scheme == "unix":
            path = rest.removeprefix("//")
            if not path or "\0" in path:
                raise ValueError(f"{url!r} names no socket: write unix:/PATH")
            return cls(url, path=path)
        parts = urlsplit(url)
        if not parts.hostname or parts.username is not None or parts.query or parts.fragment:
            raise ValueError(f"{url!r} is not a server's address: {HINT}")
        websocket = scheme in ("ws", "wss")
        if parts.path not in ("", "/") and not websocket:
            raise ValueError(f"{url!r} has a path, which {scheme} does not know: {HINT}")
        port = parts.port  # ValueError when it is no port
        if port == 0:
            raise ValueError(f"{url!r}: port 0 cannot be called")
        if websocket and parts.path in ("", "/"):
            url = f"{scheme}://{parts.netloc}/ws"
        return cls(url, parts.hostname, port or PORTS[scheme], "", websocket, scheme in ("tcps", "wss"))
