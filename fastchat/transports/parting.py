"""The end of a connection that still has something to say."""

from __future__ import annotations

import asyncio

DISCARD_BYTES = 4 * 1024 * 1024  # of a peer that goes on sending after the last word


def shut(transport: asyncio.Transport) -> bool:
    """Shut our side; True when the peer's side is still open and the caller has to close after a while.

    TLS knows no half-closed connection, but says good-bye by itself and waits for the answer.
    """
    if transport.can_write_eof():
        transport.write_eof()
        return True
    transport.close()
    return False
