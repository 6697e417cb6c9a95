"""The broadcast core: encode once, gather, one send per member and flush. Chooses between the twins.

A `Broadcaster` owns the flush, an `Outbox` is what waits for one connection, a `Fanout` is the members of one
room. Promise: per connection, frames leave in the order of `put` over its outbox and all its fan-outs, except
that a coalesced room waits for its tick; what is put while a round is being sent goes into the next one.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fastchat._broadcast_base import HAND_BYTES, Sink, Stats, Wire

__all__ = ["EXTENSION", "HAND_BYTES", "Broadcaster", "Fanout", "Outbox", "Sink", "Stats", "Wire"]

if TYPE_CHECKING:
    from fastchat._broadcast_py import Broadcaster, Fanout, Outbox

    EXTENSION: bool
elif os.environ.get("FASTCHAT_PURE") == "1":
    from fastchat._broadcast_py import Broadcaster, Fanout, Outbox

    EXTENSION = False
else:
    try:
        from fastchat._broadcast import Broadcaster, Fanout, Outbox

        EXTENSION = True  # the compiled twin serves
    except ModuleNotFoundError:  # not built; anything else that is wrong with it must be seen
        from fastchat._broadcast_py import Broadcaster, Fanout, Outbox

        EXTENSION = False
