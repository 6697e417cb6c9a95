"""One connection on asyncio: bytes between a transport and a wire, nothing decided here.

Invariant: its owner hears `link_lost` once, after everything that was received before it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import Protocol, cast

from fastchat.client.failures import ServerFault
from fastchat.client.wires import Wire


class Owner(Protocol):
    """What a link tells."""

    def link_ready(self, link: Link) -> None:
        """Payloads may be sent."""

    def link_payloads(self, link: Link, payloads: list[bytes]) -> None:
        """Payloads came; raises ServerFault when they make no sense."""

    def link_writable(self, link: Link, writable: bool) -> None:
        """The transport's own buffer is full, or has drained."""

    def link_lost(self, link: Link, why: str) -> None:
        """The connection is gone."""


class Link(asyncio.Protocol):
    """The shell around one wire."""

    def __init__(self, owner: Owner, wire: Wire) -> None:
        self._owner = owner
        self._wire = wire
        self._transport: asyncio.Transport | None = None
        self._why = ""
        self._finishing = False
        self._reading = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._wire.start())
        if self._wire.ready:
            self._owner.link_ready(self)

    def data_received(self, data: bytes) -> None:
        if self._finishing:
            return
        ready = self._wire.ready
        try:
            self._wire.feed(data)
            self._reply()
            if self._wire.ready and not ready:
                self._owner.link_ready(self)
            while payloads := self._wire.cut():
                self._owner.link_payloads(self, payloads)
        except ServerFault as fault:
            self.abort(str(fault))

    def eof_received(self) -> bool:
        self._why = self._why or "the server closed the connection"
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        why = self._why or (f"the connection broke: {exc}" if exc else "the connection was closed")
        self._owner.link_lost(self, why)

    def pause_writing(self) -> None:
        self._owner.link_writable(self, False)

    def resume_writing(self) -> None:
        self._owner.link_writable(self, True)

    @property
    def open(self) -> bool:
        """False before the connection stands, and after it is lost."""
        return self._transport is not None

    def send(self, payloads: list[bytes]) -> None:
        """Send payloads in one write."""
        if self._transport is not None and not self._finishing:
            self._transport.write(b"".join([self._wire.frame(payload) for payload in payloads]))

    def read(self, reading: bool) -> None:
        """Stop reading, or take it up again: the kernel's window then holds the server back."""
        if self._transport is None or reading == self._reading or self._transport.is_closing():
            return
        self._reading = reading
        if reading:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def finish(self) -> None:
        """Say goodbye after what was sent; what still comes is dropped.

        The sending side ends first: closing with unread input would reset the connection under the
        server's hands, and with it what it has not read yet.
        """
        if self._transport is None or self._finishing:
            return
        self._transport.write(self._wire.goodbye())
        self.read(True)
        self._finishing = True
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def abort(self, why: str) -> None:
        """End at once."""
        self._why = self._why or why
        if self._transport is not None:
            self._transport.abort()

    def _reply(self) -> None:
        replies = self._wire.replies()
        if replies and self._transport is not None:
            self._transport.write(replies)


def plain(error: OSError) -> str:
    """An error of the network for people: asyncio wraps several into one text, or gives none."""
    if isinstance(error, socket.gaierror):
        return f"unknown host ({error.strerror})"
    if error.errno in errno.errorcode:  # asyncio's own text only tells that connecting failed
        return os.strerror(error.errno or 0)
    return error.strerror or str(error) or type(error).__name__
