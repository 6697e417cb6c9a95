"""Cut frames out of a byte stream: the pure twin of `_framing.pyx`.

Invariant: every byte fed comes out exactly once, in order, in a payload or from `take`; only what has not
been cut is held. Work is linear in the bytes fed, however they are chopped.
"""

from __future__ import annotations

from .rules import PEEK, too_large


def tcp_frame(payload: bytes) -> bytes:
    """Put the 4-byte big-endian length before a payload (PROTOCOL, "TCP")."""
    return len(payload).to_bytes(4, "big") + payload


def ws_frame(payload: bytes, opcode: int = 2) -> bytes:
    """Make an unmasked, final WebSocket frame with the shortest length form (RFC 6455, 5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 65536:
        return bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big") + payload
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big") + payload


def _unmask(payload: bytes | bytearray, mask: bytes) -> bytes:
    """XOR with the repeated 4-byte mask (RFC 6455, 5.3), as one big integer: no loop over bytes."""
    size = len(payload)
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")


class _Tail:
    """Bytes that have come and not been cut: `_data` from `_at` on.

    `_data` is the very bytes object that was fed while nothing was held before it, else a bytearray, so
    that feeding byte by byte copies each byte a constant number of times.
    """

    __slots__ = ("_at", "_data")

    def __init__(self) -> None:
        self._data: bytes | bytearray = b""
        self._at = 0

    @property
    def pending(self) -> int:
        """Bytes held."""
        return len(self._data) - self._at

    def feed(self, data: bytes) -> None:
        """Hold what the peer has sent."""
        if self._at == len(self._data):
            self._data, self._at = data, 0
            return
        if isinstance(self._data, bytes):
            self._data, self._at = bytearray(self._data[self._at :]), 0
        self._data += data

    def _settle(self, at: int) -> None:
        """Forget what stands before `at`, at once when that is most of what is held."""
        left = len(self._data) - at
        if not left:
            self._data, self._at = b"", 0
        elif at > left:
            # halving what is held pays for the copy; a frame's tail does not pin a whole read
            self._data, self._at = self._data[at:], 0
        else:
            self._at = at


class TcpFramer(_Tail):
    """Cut the length-prefixed frames of one TCP connection."""

    __slots__ = ()

    def cut(self, limit: int, most: int = 0) -> list[bytes]:
        """Take the complete payloads that stand first, at most `most` of them (0: all).

        Raises FrameError TOO_LARGE when the first frame's length, of which 4 bytes are enough, is over
        `limit` bytes; frames before it have been returned by an earlier call.
        """
        data, at = self._data, self._at
        end = len(data)
        payloads: list[bytes] = []
        while end - at >= 4:
            size = int.from_bytes(data[at : at + 4], "big")
            if size > limit:
                if not payloads:
                    raise too_large(size, limit)
                break
            if end - at - 4 < size:
                break
            payloads.append(bytes(data[at + 4 : at + 4 + size]))
            at += 4 + size
            if len(payloads) == most:
                break
        self._settle(at)
        return payloads

    def peek(self) -> bytes:
        """Look at the first bytes of the waiting frame's payload, up to 16 and to its end."""
        data, at = self._data, self._at
        if len(data) - at < 4:
            return b""
        size = int.from_bytes(data[at : at + 4], "big")
        return bytes(data[at + 4 : at + 4 + min(size, PEEK)])


class WsCutter(_Tail):
    """Cut the ordinary frames of one WebSocket: final, masked, of one opcode, shortest length form.

    Whatever else stands first is `unusual` and goes, through `take`, to a full RFC 6455 parser.
    """

    __slots__ = ("_first",)

    def __init__(self, opcode: int) -> None:
        super().__init__()
        self._first = 0x80 | opcode

    def _header(self, at: int) -> tuple[int, int]:
        """Read the header at `at`: (bytes of header with the mask, bytes of payload).

        (0, 0) when more bytes are needed to tell, (-1, 0) when the frame is unusual.
        """
        data = self._data
        there = len(data) - at
        if not there:
            return 0, 0
        if data[at] != self._first:
            return -1, 0
        if there < 2:
            return 0, 0
        short = data[at + 1] - 0x80
        if short < 0:  # clients must mask (RFC 6455, 5.1)
            return -1, 0
        if short < 126:
            return 6, short
        wide = 2 if short == 126 else 8
        if there < 2 + wide:
            return 0, 0
        size = int.from_bytes(data[at + 2 : at + 2 + wide], "big")
        if size < (126 if wide == 2 else 65536):
            return -1, 0
        return 6 + wide, size

    def cut(self, limit: int, most: int = 0) -> list[bytes]:
        """Take the complete payloads that stand first, unmasked, at most `most` of them (0: all).

        Stops before an unusual frame. Raises FrameError TOO_LARGE as `TcpFramer.cut` does, as soon as the
        frame's length is there.
        """
        at = self._at
        payloads: list[bytes] = []
        while True:
            head, size = self._header(at)
            if head <= 0:
                break
            if size > limit:
                if not payloads:
                    raise too_large(size, limit)
                break
            start = at + head
            if len(self._data) - start < size:
                break
            payloads.append(_unmask(self._data[start : start + size], bytes(self._data[start - 4 : start])))
            at = start + size
            if len(payloads) == most:
                break
        self._settle(at)
        return payloads

    def unusual(self) -> bool:
        """Tell whether what stands first is not for `cut`; while that cannot be told yet, it is not."""
        return self._header(self._at)[0] < 0

    def peek(self) -> bytes:
        """Look at the first bytes of the waiting frame's payload, unmasked, up to 16 and to its end."""
        head, size = self._header(self._at)
        start = self._at + head
        if head <= 0 or len(self._data) < start:
            return b""
        there = bytes(self._data[start : start + min(size, PEEK)])
        return _unmask(there, bytes(self._data[start - 4 : start]))

    def take(self) -> bytes:
        """Hand over everything held, as it came."""
        held = bytes(self._data[self._at :])
        self._data, self._at = b"", 0
        return held
