"""The msgpack codec: what is hot from the compiled twin where it was built, else from the pure one.

Invariant: bytes of a peer are scanned within limits before anything decodes them, and every refusal is a
`ProtocolError`; encoders return payloads without framing.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .commands import OPS, encode_command
from .messages import Push
from .pushes import (
    EMPTY,
    EXPIRED,
    HIDDEN,
    NIL,
    bye,
    change,
    connect_result,
    direct_push,
    error,
    fit,
    gap,
    history_body,
    join_body,
    member,
    notice,
    ping_push,
    presence_body,
    presence_push,
    result,
    result_raw,
    signal_push,
)
from .receipts import entry_of, push_of
from .rules import PUSH_FRAME, PUSH_LIMITS, Limits
from .values import load, pack

if TYPE_CHECKING or os.environ.get("FASTCHAT_PURE") == "1":
    from ._codec_py import decode_command, entry, message, ping_result, publish_result, scan

    EXTENSION = False
else:
    try:
        from ._codec import decode_command, entry, message, ping_result, publish_result, scan

        EXTENSION = True
    except ImportError:
        from ._codec_py import decode_command, entry, message, ping_result, publish_result, scan

        EXTENSION = False


def unpack(payload: bytes, limits: Limits = PUSH_LIMITS) -> object:
    """Decode one msgpack value into Python objects; raises ProtocolError MALFORMED and nothing else."""
    scan(payload, limits)
    return load(payload)


def decode_push(payload: bytes, limits: Limits = PUSH_LIMITS) -> Push | None:
    """Decode what a server sent; None for an operation of a later version.

    Raises ProtocolError MALFORMED and nothing else.
    """
    return push_of(unpack(payload, limits))


__all__ = [
    "EMPTY",
    "EXPIRED",
    "EXTENSION",
    "HIDDEN",
    "NIL",
    "OPS",
    "PUSH_FRAME",
    "PUSH_LIMITS",
    "Limits",
    "bye",
    "change",
    "connect_result",
    "decode_command",
    "decode_push",
    "direct_push",
    "encode_command",
    "entry",
    "entry_of",
    "error",
    "fit",
    "gap",
    "history_body",
    "join_body",
    "member",
    "message",
    "notice",
    "pack",
    "ping_push",
    "ping_result",
    "presence_body",
    "presence_push",
    "publish_result",
    "result",
    "result_raw",
    "scan",
    "signal_push",
    "unpack",
]
