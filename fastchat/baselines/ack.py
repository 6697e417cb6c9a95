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


class AckServer(Acceptor):
    """The tutorial's server."""

    def __init__(self, config: Config, *, patience: float = LINE_SECONDS) -> None:
        """`patience`: seconds for each part of a line to come."""
        super().__init__(config)
        self._patience = patience

    def _talk(self, sock: socket.socket) -> None:
        sock.settimeout(self._patience)
        line = b""
        while b"\n" not in line:
            data = sock.recv(READ_BYTES)
            if not data or len(line) + len(data) > self._config.max_frame:
                return
            line += data
        sock.sendall(ACK)

    def _refuse(self, sock: socket.socket) -> None:
        """Closed without a word: its answer is for who has sent a line."""

    def _part(self) -> None:
        """The same at the end."""
