"""Accepting before TLS: counted first, and out of descriptors it rests instead of spinning."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from fastchat.transports.caps import Caps
from fastchat.transports.secure import ACCEPTS, PAUSE_SECONDS, SecureListener


class Loop:
    """Notes what is asked of it; runs nothing."""

    def __init__(self) -> None:
        self.readers: dict[int, Callable[[], None]] = {}
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.cancelled = 0
        self.handshakes = 0

    def add_reader(self, descriptor: int, act: Callable[[], None]) -> None:
        self.readers[descriptor] = act

    def remove_reader(self, descriptor: int) -> None:
        self.readers.pop(descriptor, None)

    def call_later(self, delay: float, act: Callable[[], None]) -> Any:
        self.timers.append((delay, act))
        return SimpleNamespace(cancel=self._cancel)

    def _cancel(self) -> None:
        self.cancelled += 1

    def create_task(self, handshake: Any) -> Any:
        handshake.close()
        self.handshakes += 1
        return asyncio.Future(loop=_IDLE)


class Listener:
    """A listening socket with a queue: sockets, or errors that accepting raises."""

    def __init__(self, *queue: Any) -> None:
        self.queue = list(queue)
        self.closed = False

    def fileno(self) -> int:
        return -1 if self.closed else 7

    def accept(self) -> tuple[Any, tuple[str, int]]:
        if not self.queue:
            raise BlockingIOError
        first = self.queue.pop(0)
        if isinstance(first, OSError):
            raise first
        return first, ("192.0.2.1", 4711)

    def close(self) -> None:
        self.closed = True


class Accepted:
    def __init__(self) -> None:
        self.closed = False

    def setblocking(self, flag: bool) -> None:
        assert flag is False

    def close(self) -> None:
        self.closed = True


_IDLE = asyncio.new_event_loop()
_IDLE.close()


def build(listener: Listener, most: int = 1000) -> tuple[Loop, SecureListener, Caps]:
    loop, caps = Loop(), Caps(most, 0, ())
    wiring: Any = SimpleNamespace(loop=loop, caps=caps, time=lambda: 1.0)
    listening: Any = listener
    return loop, SecureListener(wiring, listening, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)), caps


def test_out_of_descriptors_it_rests_and_then_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    listener = Listener(Accepted(), OSError(errno.EMFILE, "Too many open files"), Accepted())
    loop, _, caps = build(listener)
    with caplog.at_level(logging.WARNING):
        loop.readers[7]()
    assert (loop.handshakes, caps.total, loop.readers) == (1, 1, {})
    assert "Too many open files" in caplog.text and len(caplog.records) == 1
    ((delay, act),) = loop.timers
    assert delay == PAUSE_SECONDS
    act()
    loop.readers[7]()
    assert loop.handshakes == 2


def test_over_the_cap_it_closes_and_goes_on() -> None:
    queue = [Accepted() for _ in range(3)]
    loop, _, caps = build(Listener(*queue), most=1)
    loop.readers[7]()
    assert [accepted.closed for accepted in queue] == [False, True, True]
    assert (loop.handshakes, caps.total, caps.refused) == (1, 1, 2)


def test_a_peer_that_is_gone_already_is_nothing_to_speak_of() -> None:
    loop, _, caps = build(Listener(ConnectionAbortedError()))
    loop.readers[7]()
    assert (caps.total, loop.timers) == (0, [])


def test_one_turn_accepts_so_many_and_no_more() -> None:
    loop, _, _ = build(Listener(*(Accepted() for _ in range(ACCEPTS + 5))))
    loop.readers[7]()
    assert loop.handshakes == ACCEPTS


def test_closing_ends_the_rest_too_and_may_be_asked_for_twice() -> None:
    listener = Listener(OSError(errno.ENFILE, "Too many open files in system"))
    loop, secure, _ = build(listener)
    loop.readers[7]()
    secure.close()
    secure.close()
    assert listener.closed and loop.cancelled == 1 and loop.readers == {}


def test_it_listens_on_a_real_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listening: Any = listener
        loop, secure, _ = build(listening)
        assert list(loop.readers) == [listener.fileno()]
        secure.close()
        assert listener.fileno() == -1
