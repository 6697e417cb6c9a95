"""Bounds and refusals that the twins share, so that they cannot drift apart.

Invariant: nothing is decoded that has not passed `scan` within a `Limits`.
"""

from __future__ import annotations

from typing import NamedTuple

from ..errors import Code, FrameError

MAX_ID = 2**32 - 1  # ids of commands
MAX_UINT = 2**53 - 1  # offsets, times, durations: what a JSON reader in a browser still holds exactly
MAX_DEPTH = 256  # the scan recurses in C: whatever the configuration says, never deeper than this
MAX_KEY = 64  # code points of an idempotency key
MAX_MENTIONS = 32  # users one message may mention
TOP = 8  # elements of a message that carry a meaning; later ones are checked and ignored

CONNECT_FRAME = 8 * 1024  # bytes: CONNECT itself, which may carry a token and many rooms
EARLY_FRAME = 1024  # bytes: anything else before CONNECT has succeeded
PEEK = 16  # bytes of a waiting frame: an array header (5) and an integer (9) in their longest forms
PUSH_FRAME = 1024 * 1024  # bytes: the longest frame a server sends


class Limits(NamedTuple):
    """How much structure one msgpack value may have, whatever its length in bytes.

    64 KiB of empty maps decode to 4.7 MB of Python objects, so bytes alone bound nothing.
    """

    depth: int = 32  # containers open at once, the message's own array included
    elements: int = 4096  # elements of all containers together; a map's pair counts as two


PUSH_LIMITS = Limits(depth=MAX_DEPTH, elements=PUSH_FRAME)  # for what a server sends: bounded by its bytes

# What `scan` may find wrong, by number, for the twins; the text is what ERROR 300 says.
TRUNCATED = 1
TRAILING = 2
TOO_DEEP = 3
TOO_MANY = 4
NOT_UTF8 = 5
NEVER_USED = 6
BAD_MAP_KEY = 7
BAD_EXT = 8
NOT_A_MESSAGE = 9

FAULTS = (
    "",
    "the msgpack value is cut short",
    "there are bytes after the msgpack value",
    "nested deeper than the limit",
    "more elements than the limit",
    "a str is not valid UTF-8",
    "0xc1 is not msgpack",
    "an array or a map is used as a map key",
    "an ext of a reserved type is not a timestamp",
    "not an array that begins with an integer",
)


def too_large(size: int, limit: int) -> FrameError:
    """Make what a framer raises when a frame of `size` bytes is over `limit` bytes."""
    return FrameError(Code.TOO_LARGE, f"a frame of {size} bytes is over the limit of {limit}")
