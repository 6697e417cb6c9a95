"""One connection's part of the conversation, without its socket: bytes in, frames out through a `Member`.

It uses fastchat's own framer and codec, so that a race between servers is one between their designs.
Invariant: whatever arrives is answered as docs/PROTOCOL.md says; replies to one read leave in one send, and
after BYE nothing does.
"""

from __future__ import annotations

from fastchat.baselines.hall import Hall, Member, Place, Room
from fastchat.baselines.speech import HANDLERS, RETRY_MS, SPOKEN_OPS, unknown
from fastchat.errors import Code, FrameError, ProtocolError
from fastchat.protocol.codec import bye, decode_command, error, unpack
from fastchat.protocol.framing import TcpFramer, tcp_frame
from fastchat.protocol.messages import Command
from fastchat.protocol.session import Phase, frame_limit, struck_out


class Dialogue:
    """What receives the bytes of one connection. Times are ms since 1970."""

    __slots__ = ("phase", "hall", "link", "rooms", "name", "packed", "_framer", "_strikes", "_replies")

    def __init__(self, hall: Hall, link: Member) -> None:
        self.phase = Phase.NEW
        self.hall = hall
        self.link = link
        self.rooms: dict[str, Room] = {}
        self.name = ""  # before CONNECT
        self.packed = b""
        self._framer = TcpFramer()
        self._strikes = 0
        self._replies: list[bytes] = []  # frames for the end of this read

    def receive(self, data: bytes, now: int) -> bool:
        """Answer what came; False when BYE was said and the connection is to be closed."""
        self._framer.feed(data)
        try:
            while payloads := self._cut():
                for payload in payloads:
                    self._answer(payload, now)
        except FrameError as refusal:
            self.bye(refusal.code, refusal.text)
        if self._replies:
            self.link.send(self.take())
        return self.phase is not Phase.CLOSING

    def lost(self) -> None:
        """Leave everything: the connection is gone."""
        self.phase = Phase.CLOSING
        for room in self.rooms.values():
            self.hall.leave(room, self.link)
        self.rooms.clear()
        if self.name:
            self.hall.release(self.name)
            self.name = ""

    def _cut(self) -> list[bytes]:
        if self.phase is Phase.LIVE:
            return self._framer.cut(self.hall.max_frame)
        if self.phase is Phase.CLOSING:
            return []
        limit = frame_limit(self.phase, self._framer.peek(), self.hall.max_frame)
        return self._framer.cut(limit, 1)  # what CONNECT decides holds for the frame after it

    def _answer(self, payload: bytes, now: int) -> None:
        if self.phase is Phase.CLOSING:
            return
        command = None
        try:
            command = decode_command(payload, self.hall.limits)
            HANDLERS[self.phase][type(command)](self, command, now)
        except ProtocolError as refusal:
            self._refuse(payload, command, refusal)

    def _refuse(self, payload: bytes, command: Command | None, refusal: ProtocolError) -> None:
        if command is not None:
            refusal.id = command.id
        elif refusal.code is Code.BAD_ARGUMENT:
            refusal = self._unspoken(payload, refusal)
        retry_ms = RETRY_MS if refusal.code.temporary else None
        self.put(error(refusal.id, refusal.code, refusal.text, retry_ms, refusal.field))
        if command is None and refusal.code is Code.MALFORMED:
            self._strikes += 1
            if struck_out(self._strikes):
                self.bye(Code.MALFORMED, "too many malformed frames")

    def _unspoken(self, payload: bytes, refusal: ProtocolError) -> ProtocolError:
        """What is not spoken is refused as such, whatever its arguments (PROTOCOL, "Codes")."""
        message = unpack(payload, self.hall.limits)
        assert isinstance(message, list)  # or it were malformed
        return refusal if message[0] in SPOKEN_OPS else unknown(message[0], refusal.id)

    # for what answers commands

    def put(self, payload: bytes) -> None:
        """Reply, at the end of this read."""
        self._replies.append(tcp_frame(payload))

    def take(self) -> bytes:
        """The replies so far as frames, for who sends them earlier."""
        frames, self._replies = b"".join(self._replies), []
        return frames

    def bye(self, code: Code, text: str) -> None:
        """Say BYE; nothing else is looked at."""
        self.put(farewell(code, text))
        self.phase = Phase.CLOSING

    def enter(self, name: str) -> Place:
        """Become a member, with the link's lock held. Raises ProtocolError TOO_MANY_ROOMS."""
        if name not in self.rooms and len(self.rooms) >= self.hall.max_rooms:
            raise ProtocolError(Code.TOO_MANY_ROOMS, "a session cannot be in more rooms")
        place = self.hall.enter(name, self.link)
        self.rooms[name] = place.room
        return place

    def room(self, name: str) -> Room:
        """A room of this session. Raises ProtocolError NOT_A_MEMBER."""
        room = self.rooms.get(name)
        if room is None:
            raise ProtocolError(Code.NOT_A_MEMBER, "not a member of this room")
        return room


def farewell(code: Code, text: str) -> bytes:
    """Encode BYE, without framing."""
    return bye(code, text, code.reconnect, RETRY_MS if code.temporary else None)
