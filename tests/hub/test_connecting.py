"""CONNECT: versions, names, taking over, and back into rooms."""

from __future__ import annotations

import pytest

from fastchat.errors import Code
from fastchat.hub.limits import MAX_RESULT, RETRY_MS
from fastchat.protocol.codec import pack
from fastchat.protocol.messages import Block, Bye, Connect, Error, Join, Message, Ping, Publish, Result
from tests.hub.stage import START, Stage, options, texts


def test_the_result_tells_what_a_client_needs() -> None:
    stage = Stage()
    body = stage.new().connect("Ada")
    assert set(body) == {
        "version", "user", "session", "node", "time", "ping_ms", "limits", "features", "rooms"
    }  # fmt: skip
    assert (body["version"], body["user"], body["node"], body["time"]) == (1, "Ada", "node", START)
    assert body["ping_ms"] == stage.config.ping_ms
    assert body["limits"] == {"max_frame": 16 * 1024, "rooms": 100, "rate": 0, "burst": 0}
    assert "publish" in body["features"] and "warp" not in body["features"]
    assert body["rooms"] == {}


def test_the_lower_version_is_spoken() -> None:
    assert Stage().new().ask(Connect, 99)["version"] == 1


def test_a_version_below_ours_is_refused_and_the_connection_ends() -> None:
    client = Stage().new()
    answers = client.send(Connect(3, 0))
    assert [type(one) for one in answers] == [Error, Bye]
    assert answers[0].id == 3
    assert [one.code for one in answers] == [Code.VERSION_NOT_SUPPORTED] * 2
    assert not answers[1].reconnect and client.code == Code.VERSION_NOT_SUPPORTED and not client.open


def test_connecting_twice() -> None:
    client = Stage().new("ada")
    assert client.connect("bob").code == Code.ALREADY_CONNECTED
    assert client.ask(Ping)


def test_guests_get_names_of_their_own() -> None:
    stage = Stage()
    names = {stage.new().connect()["user"] for _ in range(50)}
    assert len(names) == 50
    assert all(name.startswith("guest-") and len(name) <= 32 for name in names)


def test_a_made_up_name_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    bits = iter([5, 1, 2, 5, 6, 3, 4])  # name, id, secret, the same name, another, id, secret
    monkeypatch.setattr(stage.hub.random, "getrandbits", lambda _: next(bits))
    assert stage.new().connect()["user"] == "guest-00000005"
    assert stage.new().connect()["user"] == "guest-00000006"


@pytest.mark.parametrize("other", ["ada", "ADA", "Ada", "\uff21\uff24\uff21"])
def test_names_are_unique_case_insensitively(other: str) -> None:
    stage = Stage()
    ada = stage.new("Ada")
    client = stage.new()
    refusal = client.connect(other)
    assert (refusal.code, refusal.field) == (Code.NAME_TAKEN, "name")
    assert client.connect("bob")["user"] == "bob", "the connection stays usable"
    ada.close()
    assert stage.new().connect(other)["user"] == ("ADA" if other not in ("ada", "Ada") else other)


@pytest.mark.parametrize("name", ["", "a\n", "\u202eada", "x" * 33, " ada", "a\u200bb"])
def test_names_that_are_not_allowed(name: str) -> None:
    client = Stage().new()
    refusal = client.connect(name)
    assert (refusal.code, refusal.field) == (Code.NAME_TAKEN, "name")
    assert client.connect("fine")["user"] == "fine"


def test_tokens_are_refused_and_not_ignored() -> None:
    client = Stage().new()
    assert client.connect("ada", token="x.y.z").code == Code.TOKEN_INVALID
    assert client.connect("ada")["user"] == "ada"


def test_a_secret_takes_the_name_over() -> None:
    stage = Stage()
    old, other = stage.new(), stage.new("bob")
    secret = old.connect("Ada")["session"]
    old.send(Join(5, "lobby"), Block(6, "bob", True))
    new = stage.new()
    body = new.connect(None, resume=secret, rooms={"lobby": None})
    assert body["user"] == "Ada" and body["session"] != secret
    assert isinstance(old.got[-1], Bye)
    assert (old.got[-1].code, old.got[-1].reconnect, old.code) == (Code.REPLACED, False, Code.REPLACED)
    assert not old.open and len(stage.hub.users) == 2
    other.send(Join(1, "lobby"), Publish(2, "lobby", pack("hi")))
    assert texts(new.got) == [], "what was blocked stays blocked"
    assert new.ask(Ping)  # so it has the new secret; until then see test_unseen.py
    again = stage.new()
    assert again.connect("ada", resume=secret).code == Code.NAME_TAKEN, "a secret counts once"
    assert again.connect("ADA", resume=body["session"])["user"] == "ADA"
    assert new.code == Code.REPLACED


def test_a_secret_does_not_take_over_another_name() -> None:
    stage = Stage()
    ada, bob = stage.new(), stage.new()
    secret = ada.connect("ada")["session"]
    bob.connect("bob")
    client = stage.new()
    assert client.connect("bob", resume=secret).code == Code.NAME_TAKEN
    assert client.connect("carol", resume=secret)["user"] == "carol"
    assert ada.open and ada.ask(Ping)


@pytest.mark.parametrize("secret", ["", "x", "0" * 32, "\ud7ff", "g" * 4000])
def test_a_wrong_secret_is_none(secret: str) -> None:
    stage = Stage()
    stage.new("ada")
    client = stage.new()
    assert client.connect("ada", resume=secret).code == Code.NAME_TAKEN
    assert client.connect("bob", resume=secret)["user"] == "bob"


def test_a_secret_counts_for_five_minutes_after_the_end() -> None:
    stage = Stage()
    client = stage.new()
    body = client.connect()
    client.send(Block(1, "bob", True))
    client.close()
    stage.pass_time(299_000)
    client = stage.new()
    back = client.connect(resume=body["session"])
    assert back["user"] == body["user"], "a guest's made-up name comes back"
    assert client.session.user.blocks == {"bob"}
    assert stage.hub.blocks.by == {"bob": {body["user"]}}
    client.close()
    stage.pass_time(301_000)
    late = stage.new()
    assert late.connect(resume=back["session"])["user"] != body["user"]
    assert late.session.user.blocks == frozenset()


def test_after_the_end_the_name_is_free_for_all() -> None:
    stage = Stage()
    client = stage.new()
    secret = client.connect("ada")["session"]
    client.close()
    stage.new("ada")
    client = stage.new()
    assert client.connect("ada", resume=secret).code == Code.NAME_TAKEN
    assert client.connect(resume=secret)["user"].startswith("guest-")


def test_a_refused_connect_changes_nothing() -> None:
    stage = Stage()
    stage.new("ada")
    client = stage.new()
    client.connect("ada", rooms={"lobby": None})
    assert not stage.hub.rooms and not client.session.connected
    assert client.session.secret == b""


def test_rooms_are_joined_in_the_same_round_trip() -> None:
    stage = Stage()
    (bob,) = stage.join("bob")
    bob.send(*(Publish(0, "lobby", pack(number)) for number in range(3)))
    epoch = bob.ask(Join, "lobby")["epoch"]
    client = stage.new()
    body = client.connect(
        "ada", rooms={"lobby": (epoch, 1), "empty": None, "other": ("none", 5), "not a room": None}
    )
    rooms = body["rooms"]
    assert rooms["lobby"]["recovered"] is True
    assert [one[0] for one in rooms["lobby"]["messages"]] == [2, 3]
    assert (rooms["lobby"]["members"], rooms["lobby"]["offset"]) == (2, 3)
    assert (rooms["empty"]["recovered"], rooms["empty"]["messages"]) == (None, [])
    assert rooms["other"]["recovered"] is False
    code, _, opts = rooms["not a room"]["error"]
    assert (code, opts) == (Code.BAD_ARGUMENT, {})
    client.got.clear()
    bob.send(Publish(0, "lobby", pack("live")))
    assert texts(client.got) == ["live"]


def test_rooms_beyond_the_limit_say_so() -> None:
    body = Stage(options(max_rooms=2)).new().connect("ada", rooms={"a": None, "b": None, "c": None})
    assert sorted(body["rooms"]) == ["a", "b", "c"]
    code, _, opts = body["rooms"]["c"]["error"]
    assert (code, opts) == (Code.TOO_MANY_ROOMS, {"retry_ms": RETRY_MS})


def test_the_result_of_many_rooms_fits_into_a_frame() -> None:
    """Each room's share is cut with `more`, and HISTORY has the rest."""
    stage = Stage(options(history_bytes=1 << 20))
    rooms = [f"room-{number}" for number in range(8)]
    writer = stage.new("writer")
    epochs = {room: writer.ask(Join, room)["epoch"] for room in rooms}
    for room in rooms:
        for _ in range(20):
            writer.send(*(Publish(0, room, pack("x" * 15_000)) for _ in range(2)))
    client = stage.new()
    body = client.connect("reader", rooms={room: (epochs[room], 0) for room in rooms})
    counts = [len(body["rooms"][room]["messages"]) for room in rooms]
    assert counts[0] == 40 and counts[-1] < 40
    assert all(body["rooms"][room]["recovered"] is True for room in rooms)
    assert [body["rooms"][room].get("more", False) for room in rooms] == [count < 40 for count in counts]
    assert len(pack(body)) <= MAX_RESULT


def test_connect_without_an_id_connects_silently() -> None:
    client = Stage().new()
    assert client.send(Connect(0, name="ada")) == []
    assert client.session.connected


def test_what_follows_connect_in_the_same_batch_is_answered() -> None:
    client = Stage().new()
    answers = client.send(Connect(1), Join(2, "lobby"), Publish(3, "lobby", pack("x")))
    assert [one.id for one in answers if isinstance(one, Result)] == [1, 2, 3]
    assert sum(isinstance(one, Message) for one in answers) == 1


def test_a_draining_server_connects_nobody() -> None:
    stage = Stage()
    waiting = stage.new()
    ada = stage.new("ada")
    stage.hub.drain(stage.now, 700)
    late = stage.new()
    stage.flush()
    for client in (waiting, ada, late):
        assert [one.code for one in client.got] == [Code.DRAINING]
        assert client.got[0].reconnect and client.got[0].after_ms >= 700
        assert not client.open
    assert not stage.hub.sessions
