from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from fastchat import connect_sync
from fastchat.client import CannotConnect, Direct, Message, Presence, Refused
from tests.client.background import Running, running


@pytest.fixture
def server() -> Iterator[Running]:
    with running() as one:
        yield one


def test_a_script_talks(server: Running) -> None:
    with connect_sync(server.url, name="ada") as ada, connect_sync(server.url, name="bob") as bob:
        assert ada.user == "ada"
        room = bob.room("lobby")
        room.join()
        for number in range(3):
            assert ada.publish("lobby", number).offset == number + 1
        found = []
        for message in room:
            found.append((message.user, message.data))
            if len(found) == 3:
                break
        assert found == [("ada", 0), ("ada", 1), ("ada", 2)]
        assert room.position is not None and room.position[1] == 3
        assert [one.data for one in bob.history("lobby", limit=2)] == [1, 2]
        assert bob.presence("lobby").count == 2 and ada.ping() > 0
        ada.state("lobby", {"away": True})
        assert ada.join("lobby").epoch


def test_events_directs_signals_and_blocks(server: Running) -> None:
    with connect_sync(server.url, name="ada") as ada, connect_sync(server.url, name="bob") as bob:
        events = bob.events()
        assert ada.direct("bob", "psst") == 1
        assert isinstance(events.get(timeout=5), Direct)
        assert ada.signal("bob", 1) == 1
        bob.block("ada")
        bob.block("ada", False)
        room = bob.room("lobby", presence=True)
        assert isinstance(room.everything().get(5), Presence)


def test_messages_are_changed_and_moderating_is_refused(server: Running) -> None:
    with connect_sync(server.url, name="ada") as ada, connect_sync(server.url, name="bob") as bob:
        first = ada.publish("lobby", "helo").offset
        answer = bob.publish("lobby", "hi", reply_to=first, mentions=["ada"])
        ada.edit("lobby", first, "hello")
        assert bob.react("lobby", first, "👍").offset == 4
        assert bob.react("lobby", first, "👍").duplicate
        ada.delete("lobby", first)
        assert bob.mark("lobby", 5) == 5  # without an offset it is what he has got so far
        told = [one for one in ada.history("lobby") if isinstance(one, Message)]
        assert [(one.offset, one.data) for one in told] == [(first, None), (answer.offset, "hi")]
        assert told[1].opts["reply_to"] == first and told[1].opts["mentions"] == ["ada"]
        with pytest.raises(Refused, match="203"):
            ada.moderate("lobby", "kick", "bob")
        with pytest.raises(Refused, match="203"):
            ada.edit("lobby", answer.offset, "mine")


def test_waiting_has_its_limit(server: Running) -> None:
    with connect_sync(server.url) as chat:
        room = chat.room("lobby")
        room.join()
        with pytest.raises(TimeoutError):
            room.get(timeout=0.05)
        chat.publish("lobby", "now")
        assert room.get(timeout=5).data == "now"
        chat.leave("lobby")
        assert list(room) == []
        again = chat.room("lobby")
        again.join()
        again.leave()
        assert list(again) == []


def test_errors_are_the_same_and_no_thread_is_left(server: Running) -> None:
    before = threading.active_count()
    with connect_sync(server.url, name="ada") as ada:
        with pytest.raises(Refused):
            ada.publish("no room!", "x")
        with pytest.raises(Refused):
            with connect_sync(server.url, name="ada"):
                pass
        with pytest.raises(CannotConnect):
            with connect_sync("tcp://127.0.0.1:1"):
                pass
        with pytest.raises(ValueError):
            with connect_sync("nonsense"):
                pass
    assert threading.active_count() == before
