"""Read a room as it is stored, by a client that was never there."""

from __future__ import annotations

import asyncio

from tests.durability.ledger import Ledger
from tests.server.wire import HISTORY, RESULT, Peer

PAGE = 500  # entries asked for at once


async def audit(ledger: Ledger, port: int, room: str) -> None:
    """Compare all that is stored with all that was promised and seen."""
    peer = Peer(*await asyncio.open_connection("127.0.0.1", port))
    try:
        await peer.connect("auditor")
        body = (await peer.join(room))[2]
        stored: list[tuple[int, str]] = []
        last = 0
        while last < body["offset"]:
            peer.send(HISTORY, 3, room, {"after": last, "limit": PAGE})
            page = (await peer.until(RESULT))[2]["messages"]
            if not page:
                ledger.fault(f"the history of {room} ends at {last} of {body['offset']}")
                break
            stored += [(entry[0], entry[3]) for entry in page]
            last = stored[-1][0]
    finally:
        await peer.close()
    ledger.settle(body["epoch"], stored)
