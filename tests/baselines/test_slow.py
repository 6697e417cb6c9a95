"""Who does not read is dropped, and the others have everything."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.baselines.running import Peer, Running, running
from tests.server.wire import MESSAGE, PUBLISH, RESULT

BIG = "x" * 12_000
SETTINGS = {"sndbuf": 16 * 1024, "outbox_bytes": 64 * 1024, "patience": 0.1}


def flood(publisher: Peer, reader: Peer) -> int:
    """Publish until the two are alone in the room; tells how many messages that took."""
    for offset in range(1, 2000):
        answer = publisher.ask(PUBLISH, 3, "lobby", BIG)
        assert answer[0] == RESULT and answer[2]["offset"] == offset
        message = reader.receive()
        assert message[:3] == [MESSAGE, "lobby", offset] and message[5] == BIG
        if offset % 10 == 0 and publisher.join("lobby")["members"] == 2:
            return offset
    raise AssertionError("nobody was dropped")


@pytest.mark.parametrize("stalled", [1, 5])
def test_slow_members_are_dropped_and_the_others_miss_nothing(kind: str, stalled: int) -> None:
    with running(kind, **SETTINGS) as server, ExitStack() as stack:
        slow = [
            stack.enter_context(server.dial(f"slow-{number}", "lobby", rcvbuf=4096))
            for number in range(stalled)
        ]
        with server.dial("ada", "lobby") as ada, server.dial("bob", "lobby") as bob:
            count = flood(ada, bob)
        for peer in slow:
            seen = messages(peer)  # a part, in order, then the end
            assert [one[2] for one in seen] == list(range(1, len(seen) + 1)) and len(seen) < count


def messages(peer: Peer) -> list[list[object]]:
    seen = []
    try:
        while True:
            seen.append(peer.receive())
    except EOFError:
        return seen


def test_who_sends_and_does_not_read_gets_no_further(kind: str) -> None:
    with running(kind, **SETTINGS) as server, server.dial("ada", "other") as ada:
        with server.dial("eve", "lobby", rcvbuf=4096) as eve:
            eve.socket.settimeout(0.5)
            with pytest.raises(OSError):  # reset, or nothing more is read from it
                for _ in range(2000):
                    eve.send(PUBLISH, 5, "lobby", BIG)
            assert ada.ask(PUBLISH, 3, "other", "x")[0] == RESULT
        while ada.join("lobby")["members"] > 1:
            continue


def test_a_stalled_room_does_not_stop_another(server: Running) -> None:
    with server.dial("ada", "lobby") as ada, server.dial("slow", "lobby", rcvbuf=4096):
        for _ in range(100):
            ada.send(PUBLISH, 0, "lobby", BIG)
        with server.dial("bob", "other") as bob:
            assert bob.ask(PUBLISH, 1, "other", "x")[0] == RESULT
