"""Publishes that came too early: they wait, in order, and never beyond what their caller waits."""

from __future__ import annotations

import pytest

from fastchat.client.failures import Refused
from fastchat.client.requests import Kind
from fastchat.protocol import codec
from fastchat.protocol import messages as wire
from fastchat.protocol.codec import pack
from tests.client.scripted import Script, join_body


def publish(script: Script, data: object, seconds: float = 10.0, room: str = "lobby") -> int:
    command = wire.Publish(0, room, pack(data), f"key-{data}")
    return script.core.request(command, script.now, Kind.PUBLISH, until=script.now + seconds)


def ids(script: Script) -> list[int]:
    return [one.id for one in script.sent()]


def later(script: Script, seconds: float) -> list[int]:
    """Let time pass; what is sent then."""
    script.now += seconds
    script.core.tick(script.now)
    return ids(script)


@pytest.mark.parametrize("code", [101, 103, 400, 401])
def test_one_that_came_too_early_goes_again(code: int) -> None:
    script = Script().connected()
    script.joined()
    number = publish(script, "one")
    sent = script.sent()
    script.say(codec.error(number, code, "slowly", retry_ms=500))
    assert number not in script.answers and script.core.deadline() == script.now + 0.5
    script.now += 0.4
    script.core.tick(script.now)
    assert script.sent() == []
    script.now += 0.1
    script.core.tick(script.now)
    assert script.sent() == sent, "the same, under its key"
    script.say(codec.publish_result(number, 1, 1))
    assert script.answers[number]["offset"] == 1
    assert later(script, 0.5) == []
    assert script.core.out.pacing.due() is None


def test_others_wait_behind_it_and_go_one_at_a_time() -> None:
    script = Script().connected()
    script.joined()
    one = publish(script, 1)
    script.sent()
    script.say(codec.error(one, 400, "slowly", retry_ms=200))
    two, three = publish(script, 2), publish(script, 3)
    elsewhere = publish(script, 4, room="other")
    assert ids(script) == [elsewhere]
    assert [later(script, 0.2), later(script, 0.2), later(script, 0.2)] == [[one], [two], [three]]
    assert later(script, 0.2) == []
    five = publish(script, 5)
    assert ids(script) == [five]


def test_changes_wait_like_messages() -> None:
    script = Script().connected()
    script.joined()
    one = publish(script, 1)
    script.sent()
    script.say(codec.error(one, 400, "slowly", retry_ms=200))
    edit = wire.Edit(0, "lobby", 1, pack("x"))
    two = script.core.request(edit, script.now, Kind.CHANGE, until=script.now + 5)
    assert script.sent() == []
    assert [later(script, 0.2), later(script, 0.2)] == [[one], [two]]
    script.say(codec.error(two, 400, "slowly", retry_ms=200))
    assert two not in script.answers and later(script, 0.2) == [two]
    script.say(codec.publish_result(two, 3, 1))
    assert script.answers[two]["offset"] == 3


def test_two_under_way_keep_their_order_when_both_are_refused() -> None:
    script = Script().connected()
    script.joined()
    one, two = publish(script, 1), publish(script, 2)
    script.sent()
    script.say(codec.error(two, 400, "slowly", retry_ms=100), codec.error(one, 400, "slowly", retry_ms=300))
    assert [later(script, 0.3), later(script, 0.3)] == [[one], [two]]
    script.say(codec.error(one, 400, "slowly", retry_ms=100))
    assert later(script, 0.1) == [one]


def test_nobody_waits_longer_than_they_said() -> None:
    script = Script().connected()
    script.joined()
    number = publish(script, 1, seconds=1.0)
    script.sent()
    script.say(codec.error(number, 401, "slow mode", retry_ms=30_000))
    assert isinstance(script.answers[number], Refused) and script.answers[number].retry_ms == 30_000
    patient = publish(script, 2, seconds=60.0)
    script.sent()
    script.say(codec.error(patient, 401, "slow mode", retry_ms=30_000))
    with pytest.raises(Refused, match="slow mode"):
        publish(script, 3, seconds=20.0)
    publish(script, 4, seconds=70.0)


def test_whose_caller_has_given_up_is_not_sent() -> None:
    script = Script().connected()
    script.joined()
    one = publish(script, 1)
    script.sent()
    script.say(codec.error(one, 400, "slowly"))  # without retry_ms: a second
    two = publish(script, 2)
    script.core.requests.pop(one)
    assert later(script, 1.0) == [two]


@pytest.mark.parametrize("code", [102, 205, 302, 403])
def test_other_refusals_are_answers(code: int) -> None:
    script = Script().connected()
    script.joined()
    number = publish(script, 1)
    script.say(codec.error(number, code, "no", retry_ms=100))
    assert isinstance(script.answers[number], Refused)


def test_without_a_key_nothing_is_tried_again() -> None:
    script = Script().connected()
    number = script.core.request(
        wire.Signal(0, "bob", pack(1)), script.now, again=False, until=script.now + 9
    )
    script.say(codec.error(number, 400, "slowly", retry_ms=100))
    assert isinstance(script.answers[number], Refused)


def test_after_a_reconnection_they_still_wait_their_turn() -> None:
    script = Script().connected()
    script.joined()
    one = publish(script, 1)
    under_way = publish(script, 2)
    script.sent()
    script.say(codec.error(one, 400, "slowly", retry_ms=800))
    three = publish(script, 3)
    script.core.lost("cut", script.now)
    script.let_in(script.open(), lobby=join_body(0, recovered=True))
    assert [type(command) for command in script.sent()] == [wire.Pong]
    assert [later(script, 0.8) for _ in range(3)] == [[one], [under_way], [three]]
