"""The wire as docs/PROTOCOL.md has it, against both baselines that speak it."""

from __future__ import annotations

import pytest

from tests.baselines.running import TS, Peer, Running
from tests.server.wire import CONNECT, ERROR, JOIN, LEAVE, MESSAGE, PING, PONG, PUBLISH, RESULT, tcp

GAP = 71


def test_connect(server: Running) -> None:
    with server.dial() as ada:
        body = ada.connect("ada")
        assert body["user"] == "ada" and body["version"] == 1 and body["time"] == TS
        assert body["node"].startswith(server.kind)
        assert body["limits"] == {"max_frame": 16384, "rooms": 100, "rate": 0, "burst": 0}
        assert body["features"] == ["connect", "join", "leave", "ping", "pong", "publish"]
        assert body["rooms"] == {}


def test_guests_have_names_of_their_own(server: Running) -> None:
    with server.dial("guest-1"), server.dial() as one, server.dial() as other:
        names = [peer.connect()["user"] for peer in (one, other)]
        assert len({"guest-1", *names}) == 3


def test_a_name_is_borne_by_one(server: Running) -> None:
    ada = server.dial("Ada")
    with server.dial() as other:
        refused = other.ask(CONNECT, 5, 1, {"name": "aDA"})
        assert refused[:3] == [ERROR, 5, 307] and refused[4] == {"field": "name"}
        assert other.ask(CONNECT, 5, 1, {"name": " ada"})[2] == 307  # not allowed
        ada.__exit__()
        while other.ask(CONNECT, 6, 1, {"name": "ada"})[0] == ERROR:
            continue  # until the server has seen it go
        assert other.ask(CONNECT, 7, 1)[2] == 309


def test_a_message_goes_to_every_member(server: Running) -> None:
    with server.dial("ada", "lobby") as ada, server.dial("bob") as bob, server.dial("eve", "other") as eve:
        assert bob.join("lobby")["members"] == 2
        data = {"type": "image", "url": "/u/1.png", "bytes": b"\0\1"}
        ada.send(PUBLISH, 9, "lobby", data)
        for peer in (ada, bob):
            assert peer.receive() == [MESSAGE, "lobby", 1, TS, "ada", data, {}]
        assert ada.receive() == [RESULT, 9, {"offset": 1, "ts": TS}]
        bob.send(PUBLISH, 0, "lobby", "no result wanted")
        assert ada.receive()[2] == bob.receive()[2] == 2
        assert bob.ask(PING, 3) == [RESULT, 3, {"time": TS}]
        assert eve.ask(PING, 3) == [RESULT, 3, {"time": TS}]  # and nothing before it


def test_data_is_relayed_as_it_came(server: Running) -> None:
    odd = b"\xcd\x00\x01"  # 1, not in its shortest form
    with server.dial("ada", "lobby") as ada:
        ada.raw(b"\x94\x04\x00\xa5lobby" + odd)
        size = int.from_bytes(ada._exactly(4))
        assert odd in ada._exactly(size)


def test_many_commands_in_one_write_and_one_byte_at_a_time(server: Running) -> None:
    with server.dial("ada", "lobby") as ada:
        stream = b"".join(tcp(PUBLISH, number, "lobby", "x" * 100) for number in range(10, 60))
        ada.socket.sendall(stream)
        got = [ada.receive() for _ in range(100)]
        assert [one[2] for one in got if one[0] == MESSAGE] == list(range(1, 51))
        assert [one[1] for one in got if one[0] == RESULT] == list(range(10, 60))
        for byte in tcp(PING, 7):
            ada.socket.sendall(bytes((byte,)))
        assert ada.receive()[:2] == [RESULT, 7]


def test_options_of_publish(server: Running) -> None:
    with server.dial("ada", "lobby") as ada, server.dial("bob", "lobby") as bob:
        ada.send(PUBLISH, 0, "lobby", 1, {"key": "k", "ttl_ms": 1000})
        assert ada.receive() == bob.receive() == [MESSAGE, "lobby", 1, TS, "ada", 1, {"key": "k"}]
        ada.send(PUBLISH, 5, "lobby", 2, {"ephemeral": True})
        assert bob.receive() == [MESSAGE, "lobby", 0, TS, "ada", 2, {"ephemeral": True}]
        assert ada.receive()[0] == MESSAGE and ada.receive() == [RESULT, 5, {"offset": 0, "ts": TS}]
        ada.send(PUBLISH, 6, "lobby", 3, {"echo": False})
        assert ada.receive() == [RESULT, 6, {"offset": 2, "ts": TS}]
        ada.send(PUBLISH, 0, "lobby", 4, {"echo": False})
        assert ada.receive() == [GAP, "lobby", 3, 3, "hidden"]
        ada.send(PUBLISH, 0, "lobby", 5, {"echo": False, "ephemeral": True})
        assert ada.ask(PING, 8)[:2] == [RESULT, 8]
        assert [bob.receive()[2] for _ in range(3)] == [2, 3, 0]


def test_join_tells_where_the_room_stands(server: Running) -> None:
    with server.dial("ada") as ada, server.dial("bob") as bob:
        first = ada.join("lobby")
        assert first == {
            "epoch": first["epoch"], "offset": 0, "recovered": None, "messages": [], "members": 1,
        }  # fmt: skip
        ada.ask(PUBLISH, 3, "lobby", "x")
        here = [first["epoch"], 1]
        assert bob.ask(JOIN, 4, "lobby", {"since": here, "history": 5})[2]["recovered"] is True
        assert ada.ask(JOIN, 4, "lobby", {"since": [here[0], 0]})[2]["recovered"] is False
        assert ada.ask(JOIN, 4, "lobby", {"since": ["other", 1]})[2] == {
            **first, "offset": 1, "recovered": False, "members": 2,
        }  # fmt: skip
        bob.send(JOIN, 0, "lobby")
        assert bob.ask(PING, 5)[0] == RESULT


def test_leave(server: Running) -> None:
    with server.dial("ada", "lobby") as ada, server.dial("bob", "lobby") as bob:
        assert ada.ask(LEAVE, 3, "lobby") == [RESULT, 3, {}]
        for command in ((LEAVE, 4, "lobby"), (PUBLISH, 4, "lobby", "x")):
            assert ada.ask(*command)[:3] == [ERROR, 4, 304]
        bob.ask(PUBLISH, 5, "lobby", "x")
        assert ada.ask(PING, 5)[0] == RESULT
        before = ada.join("lobby")
        assert (before["offset"], before["members"]) == (1, 2)
        ada.send(LEAVE, 0, "lobby")
        bob.send(LEAVE, 0, "lobby")
        assert ada.ask(PING, 6)[0] == bob.ask(PING, 6)[0] == RESULT
        after = ada.join("lobby")
        assert after["offset"] == 0 and after["epoch"] != before["epoch"]


def test_rooms_of_connect(server: Running) -> None:
    with server.dial("ada", "lobby") as ada, server.dial() as bob:
        epoch = ada.join("lobby")["epoch"]
        rooms = bob.connect("bob", rooms={"lobby": [epoch, 0], "new": None, "no room": None})["rooms"]
        assert rooms["lobby"]["recovered"] is True and rooms["new"]["recovered"] is None
        assert rooms["no room"]["error"][0] == 302
        ada.send(PUBLISH, 0, "lobby", "x")
        assert bob.receive()[:3] == [MESSAGE, "lobby", 1]


def test_who_is_gone_is_no_member(server: Running) -> None:
    with server.dial("ada", "lobby") as ada:
        with server.dial("bob", "lobby"):
            assert ada.join("lobby")["members"] == 2
        while ada.join("lobby")["members"] > 1:
            continue
        assert ada.ask(PUBLISH, 3, "lobby", "x")[0] == RESULT


@pytest.mark.parametrize("command", [(PING, 0), (PONG, 0)])
def test_what_needs_no_answer(server: Running, command: tuple[int, int]) -> None:
    with Peer(server.address) as ada:
        ada.send(*command)
        assert ada.ask(PING, 4) == [RESULT, 4, {"time": TS}]  # before CONNECT too
