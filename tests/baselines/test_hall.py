"""Rooms under threads: one order for everybody, whoever comes and goes meanwhile."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator

import msgpack
import pytest

from fastchat.baselines.hall import Hall, Room
from fastchat.config import Config
from fastchat.protocol.codec import EMPTY, NIL, pack

USER = pack("ada")
PUBLISHERS, MESSAGES = 6, 150


class Listener:
    """A member that keeps the offsets it gets; `stuck` ones take nothing and say so."""

    def __init__(self, stuck: bool = False) -> None:
        self.lock = threading.Lock()
        self.offsets: list[int] = []
        self.patience: list[bool] = []
        self._stuck = stuck

    def send(self, frames: bytes, patient: bool = True) -> bool:
        with self.lock:
            self.patience.append(patient)
            self.offsets.append(msgpack.unpackb(frames[4:])[2])
        return not self._stuck

    def write(self, frames: bytes) -> None:
        raise AssertionError("nobody holds its lock")


def say(room: Room, author: Listener) -> int:
    return room.publish(author, USER, NIL, EMPTY, 0)


class Hasty(Listener):
    """Has somebody else publish the second message while it gets the first."""

    room: Room
    other: threading.Thread

    def send(self, frames: bytes, patient: bool = True) -> bool:
        sent = super().send(frames, patient)
        if self.offsets == [1]:
            self.other = threading.Thread(target=say, args=(self.room, self))
            self.other.start()
            self.other.join(0.1)  # in vain, for it has to wait until all have the first
        return sent


def test_a_message_goes_to_all_before_the_next_goes_to_any() -> None:
    hall = Hall(Config(), "n", threading.Lock)
    hasty, last = Hasty(), Listener()
    hasty.room = hall.enter("lobby", hasty).room
    hall.enter("lobby", last)
    say(hasty.room, last)
    hasty.other.join()
    assert hasty.offsets == last.offsets == [1, 2]


class Meddling:
    """A lock that is no lock: whenever it is given back, `then` happens."""

    then: Callable[[], None] | None = None

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc_info: object) -> None:
        then, Meddling.then = Meddling.then, None
        if then is not None:
            then()


def test_who_joins_meanwhile_gets_what_comes_after_its_place() -> None:
    hall = Hall(Config(), "n", Meddling)
    ada, bob = Listener(), Listener()
    room = hall.enter("lobby", ada).room
    places = []
    Meddling.then = lambda: places.append(hall.enter("lobby", bob).offset)
    say(room, ada)
    say(room, ada)
    assert places == [1] and bob.offsets == [2] and ada.offsets == [1, 2]


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns after every few instructions."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_one_order_while_members_come_and_go(restless: None) -> None:
    hall = Hall(Config(), "n", threading.Lock)
    stays = Listener()
    room = hall.enter("lobby", stays).room
    came: list[tuple[int, Listener]] = []
    done = threading.Event()

    def publish() -> None:
        author = Listener()
        for _ in range(MESSAGES):
            say(room, author)

    def visit() -> None:
        while not done.is_set():
            guest = Listener()
            place = hall.enter("lobby", guest)
            came.append((place.offset, guest))
            hall.leave(place.room, guest)

    publishers = [threading.Thread(target=publish) for _ in range(PUBLISHERS)]
    visitor = threading.Thread(target=visit)
    for one in (*publishers, visitor):
        one.start()
    for one in publishers:
        one.join()
    done.set()
    visitor.join()
    assert stays.offsets == list(range(1, PUBLISHERS * MESSAGES + 1))
    assert came and hall.enter("lobby", stays).members == 1
    for offset, guest in came:  # from the place of its JOIN on, without a hole
        assert guest.offsets == list(range(offset + 1, offset + 1 + len(guest.offsets)))


def test_nobody_else_is_waited_for_once_one_was_in_vain() -> None:
    hall = Hall(Config(), "n", threading.Lock)
    members = [Listener(), Listener(stuck=True), Listener(), Listener()]
    room = [hall.enter("lobby", one).room for one in members][0]
    say(room, members[0])
    assert [one.patience for one in members] == [[True], [True], [False], [False]]
    hall.leave(room, members[1])
    assert say(room, members[0]) == 2
    assert [one.patience[-1] for one in members if one is not members[1]] == [True] * 3


def test_a_room_that_comes_back_is_another() -> None:
    hall = Hall(Config(), "n", threading.Lock)
    ada, bob = Listener(), Listener()
    first = hall.enter("lobby", ada)
    assert hall.enter("lobby", ada).members == 1  # again: a member already
    assert hall.enter("lobby", bob).room is first.room
    hall.leave(first.room, ada)
    hall.leave(first.room, ada)
    hall.leave(first.room, bob)
    second = hall.enter("lobby", bob)
    assert second.room is not first.room and second.room.epoch != first.room.epoch
    hall.leave(first.room, bob)  # of the room that was: the new one stays
    assert hall.enter("lobby", ada).room is second.room
