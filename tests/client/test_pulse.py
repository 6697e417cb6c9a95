from __future__ import annotations

from fastchat.client.pulse import Beat, Pulse


def pulse(interval: float = 10.0) -> Pulse:
    one = Pulse()
    one.interval = interval
    one.start(100.0)
    return one


def test_silence_is_asked_about_then_given_up() -> None:
    one = pulse()
    assert one.due() == 110.0 and one.beat(109.9) is Beat.NOTHING
    assert one.beat(110.0) is Beat.ASK
    assert one.beat(110.1) is Beat.NOTHING and one.due() == 120.0
    assert one.beat(120.0) is Beat.GIVE_UP


def test_any_word_of_the_server_counts() -> None:
    one = pulse()
    assert one.beat(110.0) is Beat.ASK
    one.heard(119.0)
    assert one.beat(120.0) is Beat.NOTHING and one.due() == 129.0


def test_while_we_do_not_read_we_speak_and_judge_nobody() -> None:
    one = pulse()
    one.deaf(True, 105.0)
    assert one.beat(110.0) is Beat.SPEAK
    one.spoke(110.0)
    assert one.beat(115.0) is Beat.NOTHING
    assert one.beat(500.0) is Beat.SPEAK
    one.deaf(False, 500.0)
    assert one.due() == 510.0 and one.beat(510.0) is Beat.ASK


def test_a_new_connection_begins_anew() -> None:
    one = pulse()
    assert one.beat(110.0) is Beat.ASK
    one.deaf(True, 111.0)
    one.start(300.0)
    assert one.due() == 310.0 and one.beat(310.0) is Beat.ASK
