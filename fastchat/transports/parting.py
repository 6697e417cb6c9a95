"""The end of a connection that still has something to say."""

from __future__ import annotations

import asyncio

DISCARD_BYTES = 4 * 1024 * 1024  # of a peer that goes on sending after the last word


def shut(transport: asyncio.Transport) -> bool:
    """Shut our side; True when the peer's side is still open and the caller has to close after a while.

    TLS knows no half-closed connection, but says good-bye by itself and waits for the answer.
    """
    if not transport.can_write_eof():
        transport.close()
        return False
    try:
        transport.write_eof()
    except OSError:  # asyncio's says so at once where the peer has reset the connection
        transport.abort()
        return False
    return True
