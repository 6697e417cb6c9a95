"""Cores against the real hub over lines that are cut anywhere: nothing is lost, nothing is doubled."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fastchat.broadcast import Wire
from fastchat.client.core import Core, Phase
from fastchat.client.events import Lost, Message
from fastchat.client.feed import Feed
from fastchat.client.requests import Kind
from fastchat.hub import Peer
from fastchat.protocol.codec import pack
from fastchat.protocol.messages import Gap, Publish
from tests.hub.stage import Stage, frames, options

ROOM = "lobby"


class Line:
    """A connection that holds what is under way; implements `broadcast.Sink` and `hub.Link`."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.up: deque[bytes] = deque()
        self.down: deque[bytes] = deque()
        self.open = True
        self._stream = b""
        self.outbox = stage.broadcaster.outbox(self, Wire.TCP)
        self.session = stage.hub.open(self, self.outbox, Peer("127.0.0.1", "tcp", False), stage.now)

    def write(self, data: bytes) -> None:
        payloads, self._stream = frames(Wire.TCP, self._stream + data)
        self.down.extend(payloads)

    def slow(self) -> None:
        self.outbox.clear()
        self.session.slow(self.stage.now)

    def ended(self) -> None:
        self.close()

    def failed(self, errno: int) -> None:
        self.close()

    def bye(self, payload: bytes, code: int) -> None:
        self.outbox.put(payload)
        self.outbox.end()

    def pause(self, ms: int) -> None:
        raise AssertionError("nobody is to be slowed here: clients heed what they are told")

    def carry_up(self, count: int) -> None:
        """Let the server have some of what the client sent."""
        while self.up and count and self.open:
            self.session.receive([self.up.popleft()], self.stage.now)
            self.stage.flush()
            count -= 1

    def close(self) -> None:
        """The server notices that the line is dead."""
        if self.open:
            self.open = False
            self.outbox.close()
            self.session.lost(self.stage.now)


class Person:
    """A core, its line, and everything it was told."""

    def __init__(self, stage: Stage, name: str, seed: int, history: int = 0) -> None:
        self.stage = stage
        self.core = Core(name=name, rng=random.Random(seed))
        self.line: Line | None = None
        self.dead: list[Line] = []  # lines that the server has not seen die
        self.told: list[Any] = []
        self.said: dict[int, str] = {}  # request: what was published
        self.acks: dict[int, Any] = {}
        self.name = name
        self.connect()
        self.settle()
        self.core.join(Feed(ROOM, history=history), self.now)
        self.pump()
        self.settle()
        assert self.core.feeds[ROOM].live

    @property
    def now(self) -> float:
        return self.stage.now / 1000

    def connect(self) -> None:
        self.line = Line(self.stage)
        self.core.opened(self.now)
        self.pump()

    def publish(self, text: str) -> None:
        command = Publish(0, ROOM, pack(text), f"{self.name}-{text}")
        number = self.core.request(command, self.now, Kind.PUBLISH)
        self.said[number] = text
        self.pump()

    def carry(self, up: int, down: int) -> None:
        """Let some of what is under way arrive."""
        if self.line is None:
            return
        self.line.carry_up(up)
        while self.line is not None and self.line.down and down:
            self.core.receive(self.line.down.popleft(), self.now)
            self.pump()
            down -= 1
            if self.core.closing:
                self.cut(noticed=True)

    def cut(self, noticed: bool) -> None:
        """The line dies with all that is on it; the server may not know for now."""
        if self.line is None:
            return
        if noticed:
            self.line.close()
        else:
            self.dead.append(self.line)
        self.line = None
        self.core.lost("cut", self.now)
        self.pump()

    def pump(self) -> None:
        payloads = self.core.take_payloads()
        if self.line is not None:
            self.line.up.extend(payloads)
        self.told.extend(event for event, _ in self.core.take_events())
        for number, answer in self.core.take_answers():
            assert number not in self.acks, "answered twice"
            self.acks[number] = answer

    def settle(self) -> None:
        """Let everything arrive."""
        while self.line is not None and (self.line.up or self.line.down):
            self.carry(100, 100)

    def heal(self) -> None:
        """Connect again until it holds, and let everything arrive."""
        while self.core.phase is not Phase.READY:
            assert self.core.failure is None, self.core.failure
            if self.line is None:
                due = self.core.retry_at
                assert due is not None
                self.stage.pass_time(max(0, int((due - self.now) * 1000)) + 1)
                self.connect()
            self.settle()
        self.settle()

    def story(self) -> list[Any]:
        """The room as it was told: messages, gaps and losses."""
        return [one for one in self.told if isinstance(one, Message | Gap | Lost) and one.room == ROOM]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["publish", "publish", "carry", "carry", "cut", "die", "notice", "connect", "time"]),
        st.integers(0, 2),
        st.integers(0, 4),
        st.integers(0, 4),
    ),
    max_size=80,
)


def play(stage: Stage, people: list[Person], steps: list[tuple[str, int, int, int]]) -> None:
    for count, (step, who, up, down) in enumerate(steps):
        person = people[who % len(people)]
        if step == "publish":
            person.publish(f"{count}")
        elif step == "carry":
            person.carry(up, down)
        elif step == "cut":
            person.cut(noticed=True)
        elif step == "die":
            person.cut(noticed=False)
        elif step == "notice" and person.dead:
            person.dead.pop().close()
        elif step == "connect" and person.line is None:
            person.connect()
        elif step == "time":
            stage.pass_time(100)
    for _ in range(2):
        for person in people:
            person.heal()
    stage.pass_time(1000)
    for person in people:
        person.settle()


def check(stage: Stage, people: list[Person]) -> list[str]:
    """Everything said is in the room once, acknowledged once, and told to everybody in one order."""
    assert stage.faults == []
    told = people[0].story()
    assert [one.offset for one in told] == list(range(1, len(told) + 1))
    assert all(person.story() == told for person in people), "different stories"
    texts = [one.data for one in told]
    said = sorted(text for person in people for text in person.said.values())
    assert sorted(texts) == said, "lost or doubled"
    for person in people:
        assert sorted(person.said) == sorted(set(person.said) & set(person.acks)), "not answered"
        for number, text in person.said.items():
            offset = person.acks[number]["offset"]
            assert (told[offset - 1].data, told[offset - 1].user) == (text, person.name)
    return texts


@settings(max_examples=120)
@given(steps=STEPS, seed=st.integers(0, 1000))
def test_lines_cut_anywhere_lose_and_double_nothing(
    steps: list[tuple[str, int, int, int]], seed: int
) -> None:
    stage = Stage(options())
    people = [Person(stage, name, seed + place) for place, name in enumerate(("ada", "bob", "eve"))]
    play(stage, people, steps)
    check(stage, people)


# Ada's CONNECT is served and its result, with her new secret, is lost: once, after a line whose end was not
# noticed, where the end of the next one is, and twice
UNSEEN = [("connect", 0, 0, 0), ("carry", 0, 1, 0)]
CUT, DIE = ("cut", 0, 0, 0), ("die", 0, 0, 0)


@example(steps=[CUT, *UNSEEN, DIE])
@example(steps=[DIE, *UNSEEN, DIE])
@example(steps=[CUT, *UNSEEN, CUT, *UNSEEN, DIE])
@example(steps=[DIE, *UNSEEN, DIE, *UNSEEN, DIE])
@settings(max_examples=40)
@given(steps=STEPS)
def test_with_a_short_memory_every_loss_is_told(steps: list[tuple[str, int, int, int]]) -> None:
    stage = Stage(options(history=3))
    people = [Person(stage, name, place) for place, name in enumerate(("ada", "bob"))]
    play(stage, people, steps)
    for person in people:
        place = 0
        for one in person.story():
            if isinstance(one, Lost):
                assert one.since[1] == place and one.missed is not None
                place += one.missed
            elif isinstance(one, Gap):
                assert one.start == place + 1
                place = one.end
            else:
                assert one.offset == place + 1
                place = one.offset
        assert person.core.feeds[ROOM].position == place


def test_a_result_that_is_lost_with_the_line_doubles_nothing() -> None:
    stage = Stage(options())
    ada, bob = Person(stage, "ada", 1), Person(stage, "bob", 2)
    ada.publish("once")
    ada.carry(10, 0)  # the server has it, its answer dies
    ada.cut(noticed=False)
    ada.heal()
    bob.settle()
    assert check(stage, [ada, bob]) == ["once"]
    assert ada.acks[next(iter(ada.said))]["duplicate"] is True


def test_a_message_that_is_lost_with_the_line_is_sent_again() -> None:
    stage = Stage(options())
    ada, bob = Person(stage, "ada", 1), Person(stage, "bob", 2)
    ada.publish("once")
    ada.cut(noticed=True)
    ada.heal()
    bob.settle()
    assert check(stage, [ada, bob]) == ["once"]


def test_the_check_itself_finds_planted_faults() -> None:
    def conversation() -> tuple[Stage, list[Person]]:
        stage = Stage(options())
        people = [Person(stage, "ada", 1), Person(stage, "bob", 2)]
        for text in ("one", "two", "three"):
            people[0].publish(text)
            people[0].settle()
        people[1].settle()
        check(stage, people)
        return stage, people

    def lose(person: Person) -> None:
        del person.told[person.told.index(person.story()[1])]

    def double(person: Person) -> None:
        person.told.append(person.story()[-1])

    def swap(person: Person) -> None:
        at = [person.told.index(one) for one in person.story()[:2]]
        person.told[at[0]], person.told[at[1]] = person.told[at[1]], person.told[at[0]]

    def forget(person: Person) -> None:
        person.said[999] = "four"

    for fault in (lose, double, swap, forget):
        for victim in (0, 1):
            stage, people = conversation()
            fault(people[victim])
            with pytest.raises(AssertionError):
                check(stage, people)


def test_a_restarted_server_begins_a_new_epoch_and_everybody_is_told() -> None:
    first = Stage(options())
    ada = Person(first, "ada", 1)
    ada.publish("before")
    ada.settle()
    second = Stage(options())
    second.engine.__init__(second.config, "epoch-2")  # type: ignore[misc]
    second.engine.attach(second.hub)
    ada.cut(noticed=True)
    ada.stage = second
    ada.heal()
    ada.publish("after")
    ada.settle()
    story = ada.story()
    assert [one.data for one in story if isinstance(one, Message)] == ["before", "after"]
    (lost,) = [one for one in story if isinstance(one, Lost)]
    assert lost.now[0] != lost.since[0] and lost.missed is None
