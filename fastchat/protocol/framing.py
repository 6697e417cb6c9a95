"""Framing for TCP and WebSocket: the compiled twin where it was built, else the pure one.

Invariant: both twins give the same frames and refusals for the same bytes (tests/protocol/test_framing.py).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING or os.environ.get("FASTCHAT_PURE") == "1":
    from ._framing_py import TcpFramer, WsCutter, tcp_frame, ws_frame

    EXTENSION = False
else:
    try:
        from ._framing import TcpFramer, WsCutter, tcp_frame, ws_frame

        EXTENSION = True
    except ImportError:
        from ._framing_py import TcpFramer, WsCutter, tcp_frame, ws_frame

        EXTENSION = False

__all__ = ["EXTENSION", "TcpFramer", "WsCutter", "tcp_frame", "ws_frame"]
