"""Accepting, refusing and ending: what a server of threads does at its edges; most of it for streams too."""

from __future__ import annotations

import errno
import os
import socket
import threading
from contextlib import ExitStack
from typing import Any

import pytest

from fastchat.baselines.acceptor import Acceptor
from fastchat.baselines.ack import AckServer
from fastchat.baselines.listener import listeners, named
from fastchat.baselines.threaded import Link
from fastchat.config import Config
from fastchat.errors import ConfigError
from tests.baselines.running import Running, made, running
from tests.server.wire import BYE, MESSAGE, PING, PUBLISH, RESULT, tcp

MANY = 300
BYE_102 = [BYE, 102, "the server is going down", {"reconnect": True, "after_ms": 1000}]


def test_many_connections_at_once(server: Running) -> None:
    with ExitStack() as stack:
        peers = [stack.enter_context(server.dial()) for _ in range(MANY)]
        for peer in peers:
            peer.socket.sendall(tcp(1, 1, 1) + tcp(2, 2, "lobby"))
        for peer in peers:
            assert peer.receive()[:2] == [RESULT, 1]
            assert peer.receive()[:2] == [RESULT, 2]
        peers[0].send(PUBLISH, 0, "lobby", "x")
        assert {tuple(peer.receive()[:3]) for peer in peers} == {(MESSAGE, "lobby", 1)}


def test_the_end_is_told_and_frees_the_port(kind: str) -> None:
    before = threading.active_count()
    with running(kind) as server:
        ada, new = server.dial("ada", "lobby"), server.dial()
        new.send(PING, 1)
        assert new.receive()[0] == RESULT
    with ada, new:
        assert ada.receive() == BYE_102 and ada.ended()
        assert new.receive() == BYE_102 and new.ended()
    assert threading.active_count() == before
    with running(kind, port=server.address[1]) as again, again.dial("ada"):
        server.server.stop()  # of what has ended: in vain
        assert again.address == server.address


def test_bye_comes_behind_what_is_being_sent() -> None:
    """A client may read an answer before the thread that sent it has given the lock back."""
    near, far = socket.socketpair()
    with near, far:
        link = Link(near, 1.0)
        link.lock.acquire()
        parting = threading.Thread(target=link.part, args=(b"bye", 20.0))
        parting.start()
        link.write(b"answer ")
        link.lock.release()
        parting.join()
        link.send(b"more")
        assert far.recv(100) == b"answer bye"
        with link.lock:
            link.part(b"bye", 0.0)  # does not wait


def test_the_end_does_not_wait_for_who_does_not_read(kind: str) -> None:
    settings = {"sndbuf": 16 * 1024, "outbox_bytes": 1 << 20, "patience": 20.0 if kind == "threaded" else 0.2}
    with running(kind, **settings) as server:
        slow = server.dial("slow", "lobby", rcvbuf=4096)
        ada = server.dial("ada", "lobby")
        ada.socket.settimeout(0.3)
        with pytest.raises(OSError):  # its thread waits for `slow`, or its own room in the kernel is full
            for _ in range(5000):
                ada.send(PUBLISH, 0, "lobby", "x" * 10_000)
    slow.__exit__()
    ada.__exit__()


def test_one_connection_too_many() -> None:
    with running("threaded", max_connections=1) as server:
        with server.dial("ada") as ada:
            with server.dial() as bob:
                assert bob.receive()[:2] == [BYE, 404] and bob.ended()
            assert ada.ask(PING, 1)[0] == RESULT
        while True:  # until the place is free
            with server.dial() as bob:
                bob.send(PING, 1)
                if bob.receive()[0] == RESULT:
                    break


def test_no_further_thread_can_be_started(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with running("threaded") as server:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with server.dial() as bob:
                assert bob.receive()[:2] == [BYE, 404] and bob.ended()
        with server.dial("ada") as ada:
            assert ada.ask(PING, 1)[0] == RESULT
    assert "no further thread" in caplog.text


class Exhausted:
    """A listener that has no descriptor for the first who comes."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.refused = 0

    def accept(self) -> Any:
        if not self.refused:
            self.refused += 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return self._listener.accept()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listener, name)


def test_out_of_descriptors_it_waits(caplog: pytest.LogCaptureFixture) -> None:
    server = made("threaded")
    acceptor: Acceptor = server
    listen = acceptor.listen

    def exhausted() -> None:
        listen()
        acceptor._listeners = [Exhausted(one) for one in acceptor._listeners]  # type: ignore[misc]

    acceptor.listen = exhausted  # type: ignore[method-assign]
    one = Running("threaded", server)
    try:
        with one.dial("ada") as ada:
            assert ada.ask(PING, 1)[0] == RESULT
    finally:
        one.stop()
    assert "ulimit -n" in caplog.text


@pytest.mark.parametrize("host", ["0.0.0.0", "", "no.such.host.invalid"])
def test_only_loopback(host: str) -> None:
    with pytest.raises(ConfigError, match="other machines|nowhere|cannot listen"):
        listeners(Config(host=host, port=0, allow_insecure_bind=True))


def test_every_address_of_localhost() -> None:
    opened = listeners(Config(host="localhost", port=0))
    try:
        for one in opened:
            host = one.getsockname()[0]
            assert named(one) in (f"127.0.0.1:{one.getsockname()[1]}", f"[::1]:{one.getsockname()[1]}"), host
    finally:
        for one in opened:
            one.close()


def test_a_port_that_is_taken(kind: str) -> None:
    with running(kind) as server:
        with pytest.raises(ConfigError, match="taken"):
            made(kind, port=server.address[1]).listen()


class TestAck:
    def ask(self, server: Running, *parts: bytes, half: bool = False) -> bytes:
        with socket.create_connection(server.address, 20) as sock:
            for part in parts:
                sock.sendall(part)
            if half:
                sock.shutdown(socket.SHUT_WR)
            answer = b""
            try:
                while data := sock.recv(100):
                    answer += data
            except ConnectionResetError:
                return b""
            return answer

    def test_a_line_is_acknowledged(self) -> None:
        server = Running("ack", AckServer(Config(port=0, max_frame=5000), patience=0.2))
        try:
            assert self.ask(server, b"hello\n") == b"ACK\n"
            assert self.ask(server, b"in ", b"parts\r\n") == b"ACK\n"
            assert self.ask(server, b"\n") == b"ACK\n"
            assert self.ask(server, b"cut off", half=True) == b""
            assert self.ask(server, b"x" * 5000 + b"\n") == b""
            assert self.ask(server, b"late") == b""
            assert self.ask(server, b"again\n") == b"ACK\n"
        finally:
            server.stop()
