"""The core against a server that the test plays, push by push."""

from __future__ import annotations

from typing import Any

import pytest

from fastchat.client.core import Phase
from fastchat.client.events import Complaint, Left, Lost, Offline, Online, Presence
from fastchat.client.failures import CannotConnect, Closed, Disconnected, Refused, ServerFault
from fastchat.client.feed import Feed
from fastchat.client.passport import DOUBTS
from fastchat.client.requests import Kind
from fastchat.errors import Code
from fastchat.protocol import codec
from fastchat.protocol import messages as wire
from fastchat.protocol.codec import pack
from tests.client.scripted import PING_MS, Script, entry, gap, join_body, message, shapes


def publish(script: Script, data: object = "hi", **given: Any) -> int:
    command = wire.Publish(0, "lobby", pack(data), "key", **given)
    return script.core.request(command, script.now, Kind.PUBLISH)


# coming in


def test_nothing_is_sent_before_connect_is_answered() -> None:
    script = Script(name="ada", token="t")
    number = script.core.request(wire.Ping(0), script.now)
    assert script.core.take_payloads() == []
    connect = script.open()
    assert connect == wire.Connect(connect.id, 1, "t", "ada", None, "fastchat-python")
    assert script.sent() == [] and script.core.phase is Phase.GREETING
    script.let_in(connect, user="Ada")
    assert script.sent() == [wire.Ping(number)]
    assert script.core.phase is Phase.READY and script.core.passport.user == "Ada"
    assert script.events() == [Online("Ada", "n", False)]


def test_a_result_answers_its_request_once() -> None:
    script = Script().connected()
    number = script.core.request(wire.Ping(0), script.now)
    script.say(codec.ping_result(number, 5), codec.ping_result(number, 5), codec.ping_result(4242, 5))
    assert script.answers == {number: {"time": 5}}


def test_an_error_answers_with_everything_it_says() -> None:
    script = Script().connected()
    number = script.core.request(wire.Ping(0), script.now)
    script.say(codec.error(number, 400, "slowly", retry_ms=700, field="room"))
    refusal = script.answers[number]
    assert isinstance(refusal, Refused) and refusal.code is Code.RATE and refusal.temporary
    assert (refusal.text, refusal.retry_ms, refusal.field) == ("slowly", 700, "room")


def test_a_code_of_a_later_version_stays_a_number() -> None:
    script = Script().connected()
    number = script.core.request(wire.Ping(0), script.now)
    script.say(codec.error(number, 477, "later"))
    assert script.answers[number].code == 477 and script.answers[number].temporary


def test_an_error_without_id_is_an_event() -> None:
    script = Script().connected()
    script.core.post(wire.Publish(0, "lobby", pack("hi")), script.now)
    script.say(codec.error(0, 304, "not a member"))
    assert script.events() == [Complaint(Code.NOT_A_MEMBER, "not a member")]


def test_a_forgotten_request_is_not_answered() -> None:
    script = Script().connected()
    number = script.core.request(wire.Ping(0), script.now)
    script.core.requests.pop(number)
    script.say(codec.ping_result(number, 5))
    assert script.answers == {}


def test_an_operation_of_a_later_version_is_ignored() -> None:
    script = Script().connected()
    script.say(pack([99, "what", {"ever": 1}]))
    assert script.events() == []


@pytest.mark.parametrize(
    "garbage",
    [
        b"", b"\xc1", b"\x00", b"{}", pack("hi"), pack([]), pack(["x"]), pack([66]),
        pack([66, 1, 2, 3, 4, 5]), pack([64, 1, 7]), b"\x93\x01", b"\x9f" * 200,
        pack([71, "lobby", "x", 1, "y"]),
    ],
)  # fmt: skip
def test_garbage_ends_the_trust(garbage: bytes) -> None:
    script = Script().connected()
    with pytest.raises(ServerFault):
        script.say(garbage)


@pytest.mark.parametrize("body", [{}, {"user": "a"}, {"user": "a", "session": "s", "limits": 3}])
def test_a_connect_result_of_the_wrong_shape_is_garbage(body: dict[str, object]) -> None:
    script = Script()
    connect = script.open()
    with pytest.raises(ServerFault):
        script.say(codec.result(connect.id, body))


def test_a_join_result_of_the_wrong_shape_is_garbage() -> None:
    script = Script().connected()
    number = script.core.join(Feed("lobby"), script.now)
    with pytest.raises(ServerFault):
        script.say(codec.result(number, {"epoch": "e1", "offset": "many"}))


def test_too_long_a_command_is_refused_before_it_costs_the_connection() -> None:
    script = Script().connected(max_frame=100)
    with pytest.raises(Refused, match="too long"):
        publish(script, "x" * 100)
    with pytest.raises(Refused, match="too long"):
        script.core.post(wire.Publish(0, "lobby", pack("x" * 100)), script.now)
    assert script.sent() == [] and len(script.core.requests) == 0


# rooms


def test_messages_come_in_order_and_once() -> None:
    script = Script().connected()
    script.joined(offset=3)
    script.say(message(4), message(4), message(5), message(2))
    assert shapes(script.events()) == [4, 5] and script.sent() == []


def test_a_hole_is_asked_for_and_filled_in_order() -> None:
    script = Script().connected()
    script.joined(offset=3)
    script.say(message(6))
    (history,) = script.sent()
    assert history == wire.History(history.id, "lobby", 3, None, 2) and script.events() == []
    script.say(message(7))
    assert script.sent() == []  # one question at a time
    body = codec.history_body(epoch="e1", offset=7, messages=[entry(4), entry(5)])
    script.say(codec.result_raw(history.id, body))
    assert shapes(script.events()) == [4, 5, 6, 7] and script.sent() == []


def test_a_history_refused_for_now_is_asked_again_in_time() -> None:
    script = Script().connected()
    script.joined(offset=3)
    script.say(message(6))
    (history,) = script.sent()
    script.say(codec.error(history.id, 101, "busy", retry_ms=500))
    assert script.sent() == [] and script.core.deadline() == script.now + 0.5
    script.now += 0.4
    script.core.tick(script.now)
    assert script.sent() == []
    script.now += 0.1
    script.core.tick(script.now)
    assert [type(one) for one in script.sent()] == [wire.History]


def test_a_history_refused_for_good_is_a_gap() -> None:
    script = Script().connected()
    script.joined(offset=3)
    script.say(message(6))
    (history,) = script.sent()
    script.say(codec.error(history.id, 203, "forbidden"))
    assert shapes(script.events()) == [(4, 5, "unavailable"), 6]


def test_a_gap_is_respected() -> None:
    script = Script().connected()
    script.joined(offset=3)
    script.say(gap(4, 8), message(9))
    assert shapes(script.events()) == [(4, 8, "slow"), 9] and script.sent() == []


def test_ephemeral_messages_have_no_place_in_the_order() -> None:
    script = Script().connected()
    script.joined(offset=3)
    script.say(message(6), message(0), message(0))
    assert shapes(script.events()) == [0, 0]


def test_messages_of_rooms_we_are_not_in_are_not_told() -> None:
    script = Script().connected()
    script.say(message(1), gap(1, 2), codec.presence_push(pack("lobby"), [], [], 1))
    script.say(codec.change(pack("lobby"), 1, 1, pack("bob"), "edit", 1, pack("x")))
    script.say(codec.notice(pack("lobby"), "mute", pack("bob")))
    assert script.events() == []


def test_changes_presence_and_notices_are_told() -> None:
    script = Script().connected()
    script.joined(offset=3)
    member = codec.member(pack("bob"), pack(None), 5)
    script.say(
        codec.presence_push(pack("lobby"), [member], [pack("eve")], 2),
        codec.change(pack("lobby"), 4, 1, pack("bob"), "edit", 1, pack("x")),
        codec.notice(pack("lobby"), "mute", pack("bob"), seconds=5),
        codec.direct_push(9, pack("bob"), pack("psst")),
        codec.signal_push(pack("bob"), pack({"sdp": 1})),
    )
    told = script.events()
    assert told[0] == Presence("lobby", (wire.Member("bob", None, 5),), ("eve",), 2)
    assert told[1:] == [
        wire.Change("lobby", 4, 1, "bob", "edit", 1, "x"),
        wire.Notice("lobby", "mute", "bob", 5),
        wire.DirectPush(9, "bob", "psst", {}),
        wire.SignalPush("bob", {"sdp": 1}),
    ]


def test_a_join_that_is_refused_leaves_nothing_behind() -> None:
    script = Script().connected()
    number = script.core.join(Feed("lobby"), script.now)
    script.say(codec.error(number, 403, "full", retry_ms=100))
    assert isinstance(script.answers[number], Refused) and script.core.feeds == {}


def test_a_room_that_was_left_tells_nothing_more() -> None:
    script = Script().connected()
    script.joined(offset=3)
    number = script.core.leave("lobby", script.now)
    assert script.sent() == [wire.Leave(number, "lobby")]
    script.say(message(4), codec.result(number, {}))
    assert script.events() == [] and script.answers[number] == {}


def test_leaving_while_joining_answers_who_waits() -> None:
    script = Script().connected()
    joining = script.core.join(Feed("lobby"), script.now)
    leaving = script.core.leave("lobby", script.now)
    script.say(codec.result_raw(joining, join_body(5)), codec.result(leaving, {}), message(6))
    assert isinstance(script.answers[joining], Closed) and script.answers[leaving] == {}
    assert script.events() == []


@pytest.mark.parametrize(("action", "code"), [("kick", Code.KICKED), ("ban", Code.BANNED)])
def test_being_turned_out_ends_the_membership(action: str, code: Code) -> None:
    script = Script().connected(user="Ada")
    script.joined(offset=3)
    script.say(codec.notice(pack("lobby"), action, pack("bob"), reason="x", by="eve"))
    assert "lobby" in script.core.feeds
    script.say(codec.notice(pack("lobby"), action, pack("ADA"), reason="spam", by="eve"), message(4))
    word = "you were kicked" if action == "kick" else "you were banned"
    assert script.events()[-1] == Left("lobby", code, f"{word} by eve: spam") and script.core.feeds == {}
    script.core.lost("cut", script.now)
    assert script.open().rooms == {}, "who was turned out does not come back by itself"


def test_what_is_about_the_whole_server_is_told() -> None:
    script = Script().connected(user="ada")
    script.joined(offset=3)
    script.say(codec.notice(pack(""), "kick", pack("ada"), by="eve"))
    assert script.events() == [wire.Notice("", "kick", "ada", by="eve")] and "lobby" in script.core.feeds


def test_without_echo_the_result_stands_for_the_message() -> None:
    script = Script().connected()
    script.joined(offset=3)
    number = publish(script, echo=False)
    script.say(codec.publish_result(number, 4, 9), message(5))
    assert script.answers[number] == {"offset": 4, "ts": 9}
    script.sent()
    assert shapes(script.events()) == [5] and script.core.feeds["lobby"].missing() is None


def test_an_ephemeral_result_moves_nothing() -> None:
    script = Script().connected()
    script.joined(offset=3)
    number = publish(script, echo=False, ephemeral=True)
    script.say(codec.publish_result(number, 0, 9), message(4))
    assert shapes(script.events()) == [4]


# the connection's life


def test_pings_are_answered() -> None:
    script = Script().connected()
    script.say(codec.ping_push(5))
    assert script.sent() == [wire.Pong(0)]


def test_a_silent_server_is_asked_and_then_given_up() -> None:
    script = Script().connected()
    assert script.core.deadline() == script.now + PING_MS / 1000
    script.now += PING_MS / 1000
    script.core.tick(script.now)
    (ping,) = script.sent()
    assert isinstance(ping, wire.Ping)
    script.say(codec.ping_result(ping.id, 1))
    script.now += PING_MS / 1000
    script.core.tick(script.now)
    script.now += PING_MS / 1000
    with pytest.raises(Disconnected, match="silent"):
        script.core.tick(script.now)


def test_while_nothing_is_read_the_server_hears_that_we_live() -> None:
    script = Script().connected()
    script.core.pulse.deaf(True, script.now)
    for _ in range(5):
        script.now += PING_MS / 1000
        script.core.tick(script.now)
    assert script.sent() == [wire.Pong(0)] * 5


def test_a_loss_before_we_were_ever_let_in_is_final() -> None:
    script = Script()
    script.open()
    script.core.lost("refused", script.now)
    assert isinstance(script.core.failure, CannotConnect) and script.core.retry_at is None
    with pytest.raises(CannotConnect):
        script.core.request(wire.Ping(0), script.now)


def test_everything_is_resumed_in_one_round_trip() -> None:
    script = Script(name="ada").connected()
    script.joined("a", offset=3)
    script.joined("b", offset=8)
    script.say(message(4, "a"))
    script.events()
    script.core.lost("cut", script.now)
    script.gather()
    (offline,) = script.events()
    assert isinstance(offline, Offline) and 0 <= offline.retry_seconds <= 0.5
    assert script.core.retry_at == script.now + offline.retry_seconds == script.core.deadline()
    connect = script.open()
    assert connect.resume == "secret" and connect.rooms == {"a": ("e1", 4), "b": ("e1", 8)}
    script.let_in(
        connect,
        a=join_body(6, messages=(entry(5), entry(6)), recovered=True),
        b=join_body(8, recovered=True),
    )
    assert script.events()[0] == Online("ada", "n", True)
    script.say(message(7, "a"), message(9, "b"))
    assert shapes(script.events()) == [7, 9]
    assert script.sent() == [wire.Pong(0)], "the server should know that its new secret has arrived"


def test_the_first_connect_needs_no_frame_behind_it() -> None:
    assert Script().connected().sent() == []


def test_what_came_meanwhile_is_told_in_order() -> None:
    script = Script().connected()
    script.joined(offset=3)
    script.core.lost("cut", script.now)
    connect = script.open()
    script.let_in(connect, lobby=join_body(5, messages=(entry(4), entry(5)), recovered=True))
    assert shapes(script.told) == ["Offline", "Online", 4, 5]


def test_what_cannot_be_recovered_is_told() -> None:
    script = Script().connected()
    script.joined(offset=3)
    script.core.lost("cut", script.now)
    script.let_in(script.open(), lobby=join_body(2, "e2", recovered=False))
    assert script.events()[-1] == Lost("lobby", ("e1", 3), ("e2", 2), None)


def test_a_recovery_with_more_goes_on_by_history() -> None:
    script = Script().connected()
    script.joined(offset=3)
    script.core.lost("cut", script.now)
    script.let_in(script.open(), lobby=join_body(6, messages=(entry(4),), recovered=True, more=True))
    (history,) = script.sent()
    assert history == wire.History(history.id, "lobby", 4, None, 2)


def test_a_room_with_presence_asks_for_it_again() -> None:
    script = Script().connected()
    script.joined(offset=3, presence=True)
    script.core.lost("cut", script.now)
    connect = script.open()
    assert connect.rooms == {"lobby": ("e1", 3)}
    script.let_in(connect, lobby=join_body(4, messages=(entry(4),), recovered=True))
    (join,) = script.sent()
    assert join == wire.Join(join.id, "lobby", ("e1", 4), 0, True)
    script.events()
    members = (codec.member(pack("bob"), pack(None), 1),)
    script.say(codec.result_raw(join.id, join_body(4, recovered=True, presence=members)))
    assert [type(event) for event in script.events()] == [Presence]


def test_a_room_that_connect_could_not_carry_is_joined_after_it() -> None:
    script = Script().connected()
    rooms = [f"{number:064}" for number in range(120)]  # more than 8 KiB of names
    for room in rooms:
        script.joined(room, offset=3)
    script.core.lost("cut", script.now)
    connect = script.open()
    left = [room for room in rooms if room not in connect.rooms]
    assert left and connect.rooms
    script.let_in(connect, **{room: join_body(3, recovered=True) for room in connect.rooms})
    joins = script.sent()
    assert [one.room for one in joins] == left
    script.events()
    script.say(codec.result_raw(joins[0].id, join_body(4, messages=(entry(4),), recovered=True)))
    assert shapes(script.events()) == [4]


def test_a_token_that_opened_a_room_is_not_shown_twice_to_a_session_that_goes_on() -> None:
    script = Script().connected()
    script.joined(offset=3, token="once", presence=True)
    script.core.lost("cut", script.now)
    connect = script.open()
    assert connect.rooms == {"lobby": ("e1", 3)}
    script.let_in(connect, lobby=join_body(3, recovered=True))
    (join,) = script.sent()
    assert join == wire.Join(join.id, "lobby", ("e1", 3), 0, True, None)


def test_a_server_that_forgot_what_a_token_opened_is_shown_it_again() -> None:
    script = Script().connected()
    script.joined(offset=3, token="t")
    script.core.lost("cut", script.now)
    script.let_in(script.open(), lobby=pack({"error": [203, "not your room"]}))
    (join,) = script.sent()
    assert join == wire.Join(join.id, "lobby", ("e1", 3), 0, False, "t")
    script.say(codec.error(join.id, 202, "used already"))
    assert script.events()[-1] == Left("lobby", 202, "used already")


def test_a_room_refused_for_now_is_joined_later() -> None:
    script = Script().connected()
    script.joined(offset=3)
    script.core.lost("cut", script.now)
    script.let_in(script.open(), lobby=pack({"error": [403, "full", {"retry_ms": 3000}]}))
    assert script.sent() == [wire.Pong(0)] and script.core.feeds["lobby"].retry_at == script.now + 3.0
    script.now += 3
    script.core.tick(script.now)
    (join,) = script.sent()
    assert join == wire.Join(join.id, "lobby", ("e1", 3))
    script.say(codec.error(join.id, 403, "still full", retry_ms=2000))
    assert script.core.feeds["lobby"].retry_at == script.now + 2.0


def test_a_room_refused_for_good_is_taken_from_us() -> None:
    script = Script().connected()
    script.joined(offset=3)
    script.core.lost("cut", script.now)
    script.let_in(script.open(), lobby=pack({"error": [204, "banned"]}), other=join_body(1))
    assert script.events()[-1] == Left("lobby", 204, "banned") and script.core.feeds == {}


def test_a_join_under_way_is_sent_again() -> None:
    script = Script().connected()
    number = script.core.join(Feed("lobby", history=5), script.now)
    script.sent()
    script.core.lost("cut", script.now)
    connect = script.open()
    assert connect.rooms == {}
    script.let_in(connect)
    assert script.sent() == [wire.Join(number, "lobby", None, 5)]
    script.say(codec.result_raw(number, join_body(5)))
    assert script.answers[number]["offset"] == 5


def test_what_has_no_answer_is_sent_again_in_order_under_its_key() -> None:
    script = Script().connected()
    script.joined(offset=3)
    first, second = publish(script, "one"), publish(script, "two")
    sent = script.sent()
    script.say(codec.publish_result(first, 4, 1))
    script.core.lost("cut", script.now)
    third = publish(script, "three")
    assert script.sent() == []
    script.let_in(script.open(), lobby=join_body(4, messages=(entry(4),), recovered=True))
    again = script.sent()
    assert again[0] == sent[1] and [one.id for one in again] == [second, third]
    script.say(codec.publish_result(second, 5, 2, duplicate=True), codec.publish_result(third, 6, 3))
    assert [script.answers[number]["offset"] for number in (first, second, third)] == [4, 5, 6]


def test_what_may_not_be_done_twice_is_not_sent_twice() -> None:
    script = Script().connected()
    sent = script.core.request(wire.Signal(0, "bob", pack(1)), script.now, again=False)
    script.sent()
    script.core.lost("cut", script.now)
    unsent = script.core.request(wire.Signal(0, "bob", pack(2)), script.now, again=False)
    script.gather()
    assert isinstance(script.answers[sent], Disconnected)
    script.let_in(script.open())
    assert [one.id for one in script.sent()] == [unsent]


def test_a_history_under_way_is_asked_anew_if_it_is_still_needed() -> None:
    script = Script().connected()
    script.joined(offset=3)
    script.say(message(6))
    script.sent()
    script.core.lost("cut", script.now)
    assert len(script.core.requests) == 0
    script.let_in(script.open(), lobby=join_body(6, messages=(entry(4),), recovered=True, more=True))
    assert [one[2:] for one in script.sent()] == [(4, None, 2)]


def test_blocks_are_made_again() -> None:
    script = Script().connected()
    script.core.blocked.update({"eve", "bob"})
    script.core.lost("cut", script.now)
    script.let_in(script.open())
    assert script.sent() == [wire.Block(0, "bob", True), wire.Block(0, "eve", True)]


def test_posting_needs_a_connection() -> None:
    script = Script().connected()
    script.core.lost("cut", script.now)
    with pytest.raises(Disconnected):
        script.core.post(wire.Publish(0, "lobby", pack(1)), script.now)


@pytest.mark.parametrize("code", [201, 202, 203, 204, 206, 207, 300, 305, 306, 307])
def test_a_final_bye_ends_everything(code: int) -> None:
    script = Script().connected()
    number = script.core.request(wire.Ping(0), script.now)
    script.say(codec.bye(code, "no", reconnect=False))
    core = script.core
    assert core.phase is Phase.ENDED and core.closing and core.deadline() is None
    assert isinstance(core.failure, Refused) and core.failure.code == code
    assert script.answers[number] is core.failure
    core.lost("closed", script.now)
    assert core.retry_at is None and core.phase is Phase.ENDED
    with pytest.raises(Refused):
        core.post(wire.Pong(0), script.now)


@pytest.mark.parametrize("code", [100, 101, 102, 103, 404, 405, 406])
def test_a_temporary_bye_says_when_to_come_back(code: int) -> None:
    script = Script().connected()
    script.say(codec.bye(code, "later", reconnect=True, after_ms=4000))
    assert script.core.closing and script.core.phase is Phase.READY
    script.say(message(1))  # nothing counts after BYE
    script.core.lost("closed", script.now)
    assert script.core.retry_at is not None
    assert script.now + 4.0 <= script.core.retry_at <= script.now + 4.5
    script.gather()
    assert "later" in script.events()[-1].why
    script.open()
    script.core.lost("connection refused", script.now)
    script.gather()
    assert script.events()[-1].why == "connection refused"  # the BYE was told, and is not the cause of this


def test_the_bye_itself_says_whether_to_come_back() -> None:
    script = Script().connected()
    script.say(codec.bye(102, "for good", reconnect=False))
    assert script.core.phase is Phase.ENDED
    script = Script().connected()
    script.say(codec.bye(206, "only for now", reconnect=True))
    script.core.lost("closed", script.now)
    assert script.core.retry_at is not None


def test_a_refused_connect_is_final_at_first() -> None:
    script = Script()
    connect = script.open()
    script.say(codec.error(connect.id, 101, "full up", retry_ms=100))
    assert isinstance(script.core.failure, Refused)


def test_a_reconnection_refused_for_now_waits_as_long_as_it_is_told() -> None:
    script = Script().connected()
    script.core.lost("cut", script.now)
    connect = script.open()
    script.say(codec.error(connect.id, 101, "full up", retry_ms=3000))
    assert script.core.closing and script.core.failure is None
    script.core.lost("closed", script.now)
    assert script.core.retry_at is not None and script.core.retry_at >= script.now + 3.0


def test_a_reconnection_refused_for_good_ends_everything() -> None:
    script = Script().connected()
    number = publish(script)
    script.core.lost("cut", script.now)
    connect = script.open()
    script.say(codec.error(connect.id, 307, "name taken", field="name"))
    assert script.core.failure is script.answers[number]


def refuse_the_name(script: Script) -> None:
    script.say(codec.error(script.open().id, 307, "name taken", field="name"))


def test_a_name_that_our_own_lost_session_bears_is_asked_for_a_few_times() -> None:
    script = Script(name="ada").connected()
    script.core.lost("cut", script.now)
    script.open()
    script.core.lost("cut", script.now)  # the server may have let us in
    for _ in range(DOUBTS):
        refuse_the_name(script)
        assert script.core.closing and script.core.failure is None
        script.core.lost("closed", script.now)
        assert script.core.retry_at is not None
    refuse_the_name(script)
    assert isinstance(script.core.failure, Refused) and script.core.failure.code == 307


def test_once_let_in_a_taken_name_is_final_again() -> None:
    script = Script(name="ada").connected()
    script.core.lost("cut", script.now)
    script.open()
    script.core.lost("cut", script.now)
    script.let_in(script.open())
    script.core.lost("cut", script.now)
    refuse_the_name(script)
    assert isinstance(script.core.failure, Refused)


def test_attempts_that_fail_grow_apart_until_one_lives() -> None:
    script = Script().connected()
    delays = []
    for _ in range(40):
        script.core.lost("cut", script.now)
        assert script.core.retry_at is not None
        delays.append(script.core.retry_at - script.now)
    assert max(delays[:3]) <= 2.0 and 10 < max(delays) <= 30.0
    script.let_in(script.open())
    script.now += 60
    script.core.lost("cut", script.now)
    assert script.core.retry_at is not None and script.core.retry_at - script.now <= 0.5


def test_the_end_answers_everybody_once() -> None:
    script = Script().connected()
    number = publish(script)
    script.core.end(Closed("over"))
    script.core.end(Disconnected("later"))
    script.gather()
    assert isinstance(script.answers[number], Closed) and isinstance(script.core.failure, Closed)


def test_pushes_between_connections_are_not_heard() -> None:
    script = Script().connected()
    script.joined(offset=3)
    script.core.lost("cut", script.now)
    script.core.receive(message(4), script.now)
    script.gather()
    assert [type(event) for event in script.events()] == [Offline]
