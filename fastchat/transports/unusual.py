"""What the fast path leaves of a WebSocket's stream: control frames, fragments, and all that is wrong.

The `websockets` library judges and answers each frame. This class hands it whole frames one at a time, so
that it can be dropped as soon as nothing is held, and adds what the library leaves to its user: minimal
lengths, valid UTF-8, a size limit that is ours, and a Close in the midst of a fragmented message.
"""

from __future__ import annotations

import codecs
from enum import IntEnum
from typing import NamedTuple

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import OPEN, SEND_EOF, State
from websockets.server import ServerProtocol

from fastchat.errors import Code, FrameError
from fastchat.transports.handshake import QUIET

LONGEST_HEADER = 14  # bytes: 2, an 8-byte length, a 4-byte mask
LONGEST_CONTROL = 125  # bytes of a control frame's payload (RFC 6455, section 5.5)


CONTROL = 0x08  # the bit of the opcode that tells control frames


class Kind(IntEnum):
    """What a happening is."""

    WRITE = 0  # bytes for the peer
    TEXT = 1  # a whole message, its UTF-8 checked
    BINARY = 2  # a whole message
    CLOSED = 3  # the closing handshake is done or the connection failed: no more input


class Happening(NamedTuple):
    kind: Kind
    data: bytes


class Taken(NamedTuple):
    """What `Unusual.feed` made of the bytes."""

    happenings: list[Happening]
    rest: bytes  # not taken
    frames: int  # begun


class Header(NamedTuple):
    """The head of a frame, RFC 6455, section 5.2."""

    opcode: int
    final: bool
    size: int  # of the head itself, bytes
    length: int  # of the payload, bytes
    minimal: bool  # whether the shortest form of the length was used, as it must be


def read_header(data: bytes) -> Header | None:
    """Read a frame's head; None while it is incomplete."""
    if len(data) < 2:
        return None
    short = data[1] & 0x7F
    wide = {126: 2, 127: 8}.get(short, 0)
    size = 2 + wide + (4 if data[1] & 0x80 else 0)
    if len(data) < size:
        return None
    length = int.from_bytes(data[2 : 2 + wide]) if wide else short
    minimal = not wide or length > (125 if wide == 2 else 0xFFFF)
    return Header(data[0] & 0x0F, bool(data[0] & 0x80), size, length, minimal)


class Unusual:
    """One connection's slow lane: `feed` until `idle`, then drop it."""

    __slots__ = ("_library", "_head", "_left", "_parts", "_size", "_opcode", "_decoder", "closed")

    def __init__(self) -> None:
        self._library = _library()
        self._head = b""  # of a frame whose header is incomplete
        self._left = 0  # bytes of the present frame still to come
        self._parts: list[bytes] = []  # of the fragmented message
        self._size = 0
        self._opcode = 0  # of the fragmented message; 0: none is open
        self._decoder: codecs.IncrementalDecoder | None = None  # checks the UTF-8 of a text message
        self.closed = False

    @property
    def idle(self) -> bool:
        """Whether nothing is held: the next frame may go the fast way again."""
        return not (self._left or self._head or self._opcode or self.closed)

    @property
    def pending(self) -> int:
        """Bytes held."""
        return self._size + len(self._head) + len(self._library.reader.buffer)

    def feed(self, data: bytes, limit: int, most: int) -> Taken:
        """Take at most `most` frames from the stream, until idle and with no control frame next.

        `limit` is the longest message in bytes; a longer one raises FrameError(TOO_LARGE).
        """
        happenings: list[Happening] = []
        frames = 0
        data = self._head + data
        self._head = b""
        while data and not self.closed:
            if not self._left:
                if frames == most or (frames and self.idle and not data[0] & CONTROL):
                    return Taken(happenings, data, frames)
                if not self._begin(data, limit):
                    break
                frames += 1
            taken, data = data[: self._left], data[self._left :]
            self._left -= len(taken)
            self._library.receive_data(taken)
            self._collect(happenings)
        return Taken(happenings, b"", frames)

    def _begin(self, data: bytes, limit: int) -> bool:
        """Look at the head of the next frame; False while it is incomplete."""
        header = read_header(data[:LONGEST_HEADER])
        if header is None:
            self._head = data
            return False
        if header.opcode == Opcode.CLOSE and self._opcode:
            # RFC 6455, 5.4 and 5.5.1: a Close may come between fragments and is answered like any other. The
            # library calls it an error (Autobahn 7.1.5), so one that knows of no fragment takes it.
            self._forget()
            self._library = _library()
        if not header.opcode & CONTROL and self._size + header.length > limit:
            raise FrameError(Code.TOO_LARGE, f"a message may have {limit} bytes")
        if header.opcode & CONTROL and header.length > LONGEST_CONTROL:
            self._library.fail(CloseCode.PROTOCOL_ERROR, "control frame too long")  # before it is buffered
        elif not header.minimal:
            self._library.fail(CloseCode.PROTOCOL_ERROR, "length not in its shortest form")
        self._left = header.size + header.length
        return True

    def _collect(self, happenings: list[Happening]) -> None:
        """Turn what the library says of the last bytes into happenings."""
        for event in self._library.events_received():
            if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._data(event, happenings)
        sent = [part for part in self._library.data_to_send() if part != SEND_EOF]
        happenings += [Happening(Kind.WRITE, part) for part in sent]
        if self._library.state is not OPEN:
            self.closed = True
            self._forget()
            happenings.append(Happening(Kind.CLOSED, b""))

    def _data(self, frame: Frame, happenings: list[Happening]) -> None:
        if frame.opcode != Opcode.CONT:
            self._opcode = int(frame.opcode)
            if self._opcode == Opcode.TEXT:
                self._decoder = codecs.getincrementaldecoder("utf-8")()
        if self._decoder is not None:
            try:
                self._decoder.decode(bytes(frame.data), frame.fin)
            except UnicodeDecodeError:
                self._library.fail(CloseCode.INVALID_DATA, "text that is not UTF-8")
                return
        if frame.data:  # empty fragments are legal and endless
            self._parts.append(bytes(frame.data))
            self._size += len(frame.data)
        if frame.fin:
            happenings.append(Happening(Kind(self._opcode), b"".join(self._parts)))
            self._forget()

    def _forget(self) -> None:
        self._parts = []
        self._size = self._opcode = 0
        self._decoder = None


def _library() -> ServerProtocol:
    return ServerProtocol(state=State.OPEN, max_size=None, logger=QUIET)
