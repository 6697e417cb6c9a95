"""How to speak to servers that are not fastchat: scripts of bytes, so that one swarm drives them all.

A dialect is a function from (room, port, bytes of a payload) to a `Script`. All payloads of a run have one
length and consist of ASCII letters and digits, so what stands before and behind a payload never changes: a
publish, and a delivery, is always the same few bytes, the payload, the same few bytes.

What the server has to promise: every publish goes to all members, its publisher included, in one order, and
each copy has the same bytes. There are no offsets: the swarm numbers messages as it first sees them and holds
every other member to that order. Its limits: one room.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

CLIENT = b"@CLIENT@"  # within `Step.say`: replaced by the client's number, 8 decimal digits
TEXT, BINARY = 1, 2  # WebSocket opcodes (RFC 6455, section 5.2)
MOST_OPENING = 4096  # bytes that may come before a step of the opening is through

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455, section 1.3: the example's key, so that its answer is known
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
MASK = b"\x5a\xc3\x17\x9e"  # of the few frames that are the same for everybody


class Step(NamedTuple):
    """One step of the opening: say something, then pass over everything up to the end of `until`.

    `until` is looked for anywhere in what comes, b"" waits for nothing. What was passed over must contain
    `holds`. What follows `until` belongs to the next step, after the last one to the load.
    """

    say: bytes = b""
    until: bytes = b""
    holds: bytes = b""


class Interlude(NamedTuple):
    """What may come between deliveries: bytes that begin with `head` and end with the next `tail`.

    With `tail` b"" it is `head` alone. `answer` is sent at once, as it stands (masked already where that is
    needed). A `wrong` one counts as an error, its first 100 bytes are told.
    """

    head: bytes
    tail: bytes = b""
    answer: bytes = b""
    wrong: bool = False


class Frame(NamedTuple):
    """What stands before and behind a payload."""

    before: bytes
    after: bytes


@dataclass(frozen=True, slots=True)
class Script:
    """One server's way of speaking, for one room and one length of payload.

    With `websocket`, publishes are put into masked frames with the opcode `opcode` (`publish` is then what
    stands within the message, `delivery` has the frame's header in front), PING frames are answered, PONG
    frames passed over, and a CLOSE frame is an error.
    """

    opening: tuple[Step, ...]
    publish: Frame | None = None  # None: only the opening, then fastchat's own way
    delivery: Frame | None = None
    interludes: tuple[Interlude, ...] = ()
    websocket: bool = False
    opcode: int = BINARY
    one_publisher: bool = False  # no common order of several publishers: then there may be only one


Dialect: TypeAlias = Callable[[str, int, int], Script]  # room, port, bytes of a payload


def upgrade(path: str, port: int, protocol: str = "") -> Step:
    """The opening handshake of a WebSocket (RFC 6455, section 4.1)."""
    subprotocol = f"Sec-WebSocket-Protocol: {protocol}\r\n" if protocol else ""
    request = (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {KEY.decode()}\r\nSec-WebSocket-Version: 13\r\n{subprotocol}\r\n"
    )
    return Step(request.encode(), b"\r\n\r\n", ACCEPT)


def header(opcode: int, size: int, mask: bool = False) -> bytes:
    """The header of a WebSocket frame with `size` bytes, without the masking key (RFC 6455, section 5.2)."""
    first, bit = 0x80 | opcode, 0x80 if mask else 0
    if size < 126:
        return bytes((first, bit | size))
    if size < 1 << 16:
        return bytes((first, bit | 126)) + size.to_bytes(2, "big")
    return bytes((first, bit | 127)) + size.to_bytes(8, "big")


def masked(opcode: int, message: bytes) -> bytes:
    """A whole frame from a client, for openings and answers."""
    body = bytes(byte ^ MASK[i % 4] for i, byte in enumerate(message))
    return header(opcode, len(message), mask=True) + MASK + body


def delivered(opcode: int, within: Frame, payload: int) -> Frame:
    """What stands around a payload in an unmasked frame from the server."""
    size = len(within.before) + payload + len(within.after)
    return Frame(header(opcode, size) + within.before, within.after)
