"""Cores that say more than they may, over lines that are cut anywhere: each message arrives once."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fastchat.client.requests import Kind
from fastchat.protocol.codec import pack
from fastchat.protocol.messages import Publish
from tests.client.test_recovery import ROOM, STEPS, Person, check, play
from tests.hub.stage import Stage, options

PATIENCE = 10_000.0  # seconds: nobody gives up
ROUNDS = 400  # of a quarter of a second: what 80 messages take at 2 a second, and some more


class Patient(Person):
    """Somebody who waits as long as it takes."""

    def publish(self, text: str) -> None:
        command = Publish(0, ROOM, pack(text), f"{self.name}-{text}")
        number = self.core.request(command, self.now, Kind.PUBLISH, until=self.now + PATIENCE)
        self.said[number] = text
        self.pump()

    def wait(self) -> None:
        """Let what waits go, in its time."""
        self.heal()
        self.core.tick(self.now)
        self.pump()
        self.settle()


def drain(stage: Stage, people: list[Patient]) -> None:
    for _ in range(ROUNDS):
        if all(len(person.acks) > len(person.said) for person in people):  # JOIN was answered, too
            return
        for person in people:
            person.wait()
        stage.pass_time(250)
    raise AssertionError("something waits for ever")


@settings(max_examples=60)
@given(steps=STEPS, seed=st.integers(0, 1000))
def test_whoever_is_too_fast_loses_and_doubles_nothing(steps: list[Any], seed: int) -> None:
    stage = Stage(options(rate_limits=True, rate=2.0, burst=2))
    people = [Patient(stage, name, seed + place) for place, name in enumerate(("ada", "bob"))]
    play(stage, list(people), steps)
    drain(stage, people)
    for person in people:
        person.settle()
    check(stage, list(people))


def test_one_who_waits_for_each_answer_keeps_the_order_across_a_cut() -> None:
    stage = Stage(options(rate_limits=True, rate=2.0, burst=2))
    ada, bob = Patient(stage, "ada", 1), Patient(stage, "bob", 2)
    for number in range(8):
        ada.publish(str(number))
        if number == 4:
            ada.cut(noticed=False)
        ada.wait()
        stage.pass_time(250)
    drain(stage, [ada, bob])
    bob.settle()
    assert stage.hub.limiting is not None and stage.hub.limiting.refused, "she was too fast"
    assert check(stage, [ada, bob]) == [str(number) for number in range(8)]
