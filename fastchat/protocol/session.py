"""What may arrive in which phase of a connection: the state machine as a table.

Invariant: `RULES` has an answer for every phase and every operation of a client; there is no other rule.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import IntEnum

from ..errors import Code
from .messages import Op
from .rules import CONNECT_FRAME, EARLY_FRAME

STRIKES = 3  # malformed frames on one connection; the last of them brings BYE 300
EARLY = 10  # commands refused before CONNECT has succeeded: who tries some names, or is hasty, lives on


class Phase(IntEnum):
    """Where a connection stands."""

    NEW = 0  # nothing accepted yet
    CONNECTING = 1  # CONNECT is being answered: nothing else is looked at until it is
    LIVE = 2
    CLOSING = 3  # BYE was put: what still arrives is discarded without an answer


COMMANDS = tuple(op for op in Op if op < Op.RESULT)
FREE = (Op.PING, Op.PONG)  # keep a connection alive in any phase; they need no identity

_FIRST: dict[Op, Code | None] = dict.fromkeys(COMMANDS, Code.CONNECT_FIRST) | dict.fromkeys(FREE, None)

RULES: Mapping[Phase, Mapping[Op, Code | None]] = {
    Phase.NEW: _FIRST | {Op.CONNECT: None},
    Phase.CONNECTING: _FIRST | {Op.CONNECT: Code.ALREADY_CONNECTED},
    Phase.LIVE: dict.fromkeys(COMMANDS, None) | {Op.CONNECT: Code.ALREADY_CONNECTED},
    Phase.CLOSING: dict.fromkeys(COMMANDS, Code.CONNECT_FIRST),  # on a new connection, that is
}


def check(phase: Phase, op: Op) -> Code | None:
    """Tell whether a command may arrive now: None, or the code of the ERROR that answers it."""
    return RULES[phase][op]


def struck_out(strikes: int) -> bool:
    """Tell whether so many malformed frames on one connection bring BYE 300."""
    return strikes >= STRIKES


def too_early(refused: int) -> bool:
    """Tell whether so many refusals before CONNECT bring BYE with the code of the last."""
    return refused >= EARLY


# The integer 1 in every form msgpack has for it: fixint, uint 8 to 64, int 8 to 64
_ONES = (b"\x01", *(bytes((0xCC + i + j,)) + (1).to_bytes(1 << i, "big") for i in range(4) for j in (0, 4)))
_JSON_ONE = re.compile(rb"[ \t\r\n]*(?:\Z|\[[ \t\r\n]*(?:\Z|1(?:\Z|[ \t\r\n,\]])))")


def _may_be_connect(peeked: bytes) -> bool:
    """Tell whether a payload that begins so is an array whose first element is 1, or may become one."""
    if not peeked:
        return True
    header = {0xDC: 3, 0xDD: 5}.get(peeked[0], 1 if 0x91 <= peeked[0] <= 0x9F else 0)
    rest = peeked[header:]
    return header > 0 and any(rest.startswith(one) or one.startswith(rest) for one in _ONES)


def frame_limit(phase: Phase, peeked: bytes, max_frame: int, json: bool = False) -> int:
    """Tell how many bytes the frame that waits may have, given the `peek` of its payload.

    Before CONNECT has succeeded only what begins like CONNECT may be long (PROTOCOL, "Limits"); what is
    not there yet gets the benefit of the doubt, so ask again when more has come. `json` for the text
    subprotocol.
    """
    if phase is Phase.LIVE:
        return max_frame
    connect = _JSON_ONE.match(peeked) is not None if json else _may_be_connect(peeked)
    limit = CONNECT_FRAME if connect and phase is Phase.NEW else EARLY_FRAME
    return min(limit, max_frame)
