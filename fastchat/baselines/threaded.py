"""A thread per client, blocking sockets, a send per delivery: the classic chat server, done well.

Reads are buffered, a message is encoded once, Nagle is off; each connection's writes are under a lock, a
room's broadcast under the room's. Invariant: who does not read holds its rooms up for SEND_SECONDS at most,
once, and is dropped, without BYE: the frame that was cut off is the last it gets.
"""

from __future__ import annotations

import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable

from fastchat.baselines.acceptor import Acceptor, shut
from fastchat.baselines.dialogue import Dialogue, farewell
from fastchat.baselines.hall import Hall
from fastchat.config import Config
from fastchat.errors import Code
from fastchat.protocol.framing import tcp_frame

READ_BYTES = 64 * 1024  # of one recv: many small frames at once
SEND_SECONDS = 1.0  # that a send may wait for its peer
PART_SECONDS = 0.5  # for all together whose threads are just sending, before they get a BYE
LINGER_SECONDS = 2.0  # for a peer to read its BYE
DISCARD_BYTES = 4 * 1024 * 1024  # of a peer that goes on sending after its BYE


def _timeval(seconds: float) -> bytes:
    return struct.pack("@ll", int(seconds), int(seconds % 1 * 1_000_000))


class Link:
    """The sending side of a connection, used by the threads of all members; a `Member`."""

    __slots__ = ("lock", "_socket", "_open")

    def __init__(self, sock: socket.socket, patience: float) -> None:
        self.lock = threading.Lock()
        self._socket = sock
        self._open = True
        # the kernel's own limit: settimeout() would ask poll() before each send
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(patience))

    def send(self, frames: bytes, patient: bool = True) -> bool:
        with self.lock:
            return self._write(frames, patient)

    def write(self, frames: bytes) -> None:
        self._write(frames, True)

    def _write(self, frames: bytes, patient: bool) -> bool:
        if not self._open:
            return True
        try:
            # A blocking send takes all, or it has waited in vain: no loop as in sendall, which would wait
            # anew for every few bytes that a slow peer reads.
            if self._socket.send(frames, 0 if patient else socket.MSG_DONTWAIT) == len(frames):
                return True
            slow = True
        except OSError as error:
            slow = isinstance(error, BlockingIOError)  # else it has gone
        self._open = False
        shut(self._socket)  # its own thread wakes up and leaves the rooms
        return not slow

    def part(self, frames: bytes, patience: float) -> None:
        """Say the last words, unless somebody else is at it for that many seconds, and nothing more."""
        if self.lock.acquire(timeout=patience):
            try:
                self._write(frames, False)
                self._open = False
            finally:
                self.lock.release()

    def close(self) -> None:
        """Close the socket when nobody sends: its descriptor may be another's at once."""
        with self.lock:
            self._open = False
            self._socket.close()


class ThreadedServer(Acceptor):
    """The thread-per-client server."""

    def __init__(
        self,
        config: Config,
        *,
        patience: float = SEND_SECONDS,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """`patience`: seconds that a send may wait; `clock`: nanoseconds since 1970."""
        super().__init__(config)
        self._hall = Hall(config, config.node or f"threaded-{secrets.token_hex(4)}", threading.Lock)
        self._patience = patience
        self._clock = clock
        self._links: dict[Link, None] = {}
        self._links_lock = threading.Lock()

    def _talk(self, sock: socket.socket) -> None:
        link = Link(sock, self._patience)
        dialogue = Dialogue(self._hall, link)
        with self._links_lock:
            self._links[link] = None
        try:
            while data := sock.recv(READ_BYTES):
                if not dialogue.receive(data, self._clock() // 1_000_000):
                    dialogue.lost()
                    _linger(sock)
                    break
        finally:
            dialogue.lost()
            with self._links_lock:
                del self._links[link]
            link.close()

    def _refuse(self, sock: socket.socket) -> None:
        frame = tcp_frame(farewell(Code.TOO_MANY_CONNECTIONS, "no room for further connections"))
        sock.send(frame, socket.MSG_DONTWAIT)

    def _part(self) -> None:
        frame = tcp_frame(farewell(Code.DRAINING, "the server is going down"))
        with self._links_lock:
            links = list(self._links)
        deadline = time.monotonic() + PART_SECONDS
        for link in links:
            link.part(frame, max(0.0, deadline - time.monotonic()))


def _linger(sock: socket.socket) -> None:
    """Wait for the peer to close: closing with input unread would have the kernel take the BYE back."""
    sock.shutdown(socket.SHUT_WR)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(LINGER_SECONDS))
    discarded = 0
    try:
        while discarded < DISCARD_BYTES and (data := sock.recv(READ_BYTES)):
            discarded += len(data)
    except OSError:
        return
