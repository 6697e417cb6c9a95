r"""The tutorial's server: a thread per connection, one request, one answer, closed.

A client sends a line and gets `ACK\n`; a line of more than `max_frame` bytes, or none within LINE_SECONDS,
gets nothing. Invariant: the answer is sent after the whole line has come.
"""

from __future__ import annotations

import socket

from fastchat.baselines.acceptor import Acceptor
from fastchat.config import Config

ACK = b"ACK\n"
READ_BYTES = 4096
LINE_SECONDS = 10.0  # for a line to come


class AckServer:
    """The tutorial's server: `listen()`, then `serve()` until `stop()` is called elsewhere."""

    def __init__(self, config: Config, *, patience: float = LINE_SECONDS) -> None:
        """`patience`: seconds for each part of a line to come."""
        self._most = config.max_frame
        self._patience = patience
        self._acceptor = Acceptor(config, self._talk, lambda sock: None, lambda: None)

    @property
    def addresses(self) -> list[str]:
        """Where it listens: "127.0.0.1:9999"."""
        return self._acceptor.addresses

    def listen(self) -> None:
        """Let clients come; they wait until `serve`. Raises ConfigError."""
        self._acceptor.listen()

    def serve(self) -> None:
        """Talk to everybody until `stop`, then end everything."""
        self._acceptor.serve()

    def stop(self) -> None:
        """Let `serve` come to its end; from any thread or signal handler."""
        self._acceptor.stop()

    def _talk(self, sock: socket.socket) -> None:
        sock.settimeout(self._patience)
        line = b""
        while b"\n" not in line:
            data = sock.recv(READ_BYTES)
            if not data or len(line) + len(data) > self._most:
                return
            line += data
        sock.sendall(ACK)
