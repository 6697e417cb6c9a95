"""The conversation without sockets: what is sent when, and with which locks held."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from typing import Any

import msgpack
import pytest

from fastchat.baselines.dialogue import Dialogue
from fastchat.baselines.hall import Hall
from fastchat.config import Config
from fastchat.protocol.framing import TcpFramer
from fastchat.protocol.session import Phase
from tests.server.wire import BYE, CONNECT, JOIN, MESSAGE, PING, PUBLISH, RESULT, tcp

NOW = 1_790_000_000_000


class Recorder:
    """A member that keeps what is sent, each send by itself."""

    def __init__(self) -> None:
        self.lock = nullcontext()
        self.sends: list[list[list[Any]]] = []

    def send(self, frames: bytes, patient: bool = True) -> bool:
        framer = TcpFramer()
        framer.feed(frames)
        self.sends.append([msgpack.unpackb(payload) for payload in framer.cut(1 << 20)])
        assert framer.pending == 0
        return True

    def write(self, frames: bytes) -> None:
        self.send(frames)


@pytest.fixture
def hall() -> Hall:
    return Hall(Config(), "n", nullcontext)


def talking(hall: Hall, *rooms: str) -> tuple[Dialogue, Recorder]:
    link = Recorder()
    dialogue = Dialogue(hall, link)
    assert dialogue.receive(tcp(CONNECT, 1, 1, {"rooms": dict.fromkeys(rooms)}), NOW)
    link.sends.clear()
    return dialogue, link


def test_the_replies_to_one_read_leave_in_one_send(hall: Hall) -> None:
    dialogue, link = talking(hall)
    dialogue.receive(b"".join(tcp(PING, number) for number in range(1, 9)), NOW)
    assert [[reply[1] for reply in send] for send in link.sends] == [list(range(1, 9))]


def test_replies_do_not_pass_the_result_of_join(hall: Hall) -> None:
    dialogue, link = talking(hall)
    dialogue.receive(tcp(PING, 1) + tcp(JOIN, 2, "lobby") + tcp(PUBLISH, 3, "lobby", "x") + tcp(PING, 4), NOW)
    said = [message for send in link.sends for message in send]
    assert [(message[0], message[1]) for message in said] == [
        (RESULT, 1), (RESULT, 2), (MESSAGE, "lobby"), (RESULT, 3), (RESULT, 4),
    ]  # fmt: skip


def test_a_message_is_one_send_to_each_member(hall: Hall) -> None:
    ada, to_ada = talking(hall, "lobby")
    _, to_bob = talking(hall, "lobby")
    ada.receive(tcp(PUBLISH, 0, "lobby", 1) + tcp(PUBLISH, 0, "lobby", 2), NOW)
    assert [[one[2] for one in send] for send in to_bob.sends] == [[1], [2]]
    assert to_ada.sends == to_bob.sends


def test_the_bytes_may_come_one_by_one(hall: Hall) -> None:
    dialogue, link = talking(hall, "lobby")
    for byte in tcp(PUBLISH, 7, "lobby", "hello"):
        assert dialogue.receive(bytes((byte,)), NOW)
    assert [send[0][0] for send in link.sends] == [MESSAGE, RESULT]


def test_after_bye_nothing_is_looked_at(hall: Hall) -> None:
    dialogue, link = talking(hall, "lobby")
    assert not dialogue.receive(tcp(PING, 1) + b"\xff\xff\xff\xff" + tcp(PING, 2), NOW)
    assert [message[:2] for message in link.sends[0]] == [[RESULT, 1], [BYE, 305]]
    assert not dialogue.receive(tcp(PING, 3), NOW) and len(link.sends) == 1
    assert dialogue.phase is Phase.CLOSING


def test_whoever_is_lost_leaves_nothing_behind(hall: Hall) -> None:
    dialogue, _ = talking(hall, "lobby", "other")
    dialogue.lost()
    dialogue.lost()
    assert hall.claim("guest-1") == "guest-1"
    again, link = talking(hall)
    again.receive(tcp(JOIN, 2, "lobby"), NOW)
    assert link.sends[0][0][2]["members"] == 1


class Counted:
    """A lock that fails where a thread that has it takes it again, and counts how many are held."""

    held = 0

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        assert self._lock.acquire(timeout=5), "a deadlock"
        Counted.held += 1

    def __exit__(self, *exc_info: object) -> None:
        Counted.held -= 1
        self._lock.release()


def test_no_lock_is_taken_twice_or_kept() -> None:
    hall = Hall(Config(), "n", Counted)

    class Locked(Recorder):
        def __init__(self) -> None:
            super().__init__()
            self.lock = Counted()  # type: ignore[assignment]

        def send(self, frames: bytes, patient: bool = True) -> bool:
            with self.lock:
                return Recorder.send(self, frames)

        def write(self, frames: bytes) -> None:
            Recorder.send(self, frames)

    dialogue = Dialogue(hall, Locked())
    for command in (
        (CONNECT, 1, 1, {"rooms": {"a": None, "b": None}}), (JOIN, 2, "c"), (PUBLISH, 3, "a", "x"),
        (PUBLISH, 4, "b", "x", {"echo": False}), (3, 5, "c"), (99, 6),
    ):  # fmt: skip
        assert dialogue.receive(tcp(*command), NOW)
        assert Counted.held == 0
    dialogue.lost()
    assert Counted.held == 0
