"""What goes to whom, in which order, framed how, and when the flusher is woken."""

from __future__ import annotations

import pytest

from fastchat.broadcast import Wire
from tests.broadcast.rig import framed

WIRES = pytest.mark.parametrize("wire", list(Wire))
RAW = pytest.mark.parametrize("raw", [False, True], ids=["transport", "raw"])

SIZES = [0, 1, 60, 62, 63, 125, 126, 127, 255, 256, 32766, 32767, 65535, 65536, 70_000]


@WIRES
@RAW
@pytest.mark.parametrize(
    "size", [0, 1, 60, 62, 63, 125, 126, 127, 255, 256, 32766, 32767, 65535, 65536, 70_000]
)
def test_frames_are_those_of_the_wire(rig, wire, raw, size):
    r = rig()
    client = r.client(wire, raw=raw)
    room = r.room(client)
    payload = bytes(i % 251 for i in range(size))
    room.put(payload)
    client.outbox.put(payload)
    r.settle()
    assert client.pump() == framed(wire, payload) * 2


@RAW
def test_one_write_for_all_that_gathered(rig, raw):
    r = rig()
    clients = [r.client(raw=raw) for _ in range(5)]
    room = r.room(*clients)
    for i in range(64):
        room.put(b"message %d" % i)
    assert r.flush() is False
    assert r.core.sends == 5
    assert r.core.deliveries == 5 * 64
    if not raw:
        assert len({id(client.transport.writes[0]) for client in clients}) == 1  # one joined object for all
    for client in clients:
        assert client.payloads() == [b"message %d" % i for i in range(64)]


@RAW
def test_order_over_outbox_and_rooms(rig, raw):
    r = rig()
    client, other = r.client(raw=raw), r.client(raw=raw)
    first, second = r.room(client, other), r.room(client)
    expected = []
    own = client.outbox
    for put in [first.put, own.put, second.put, second.put, own.put, own.put] * 50:
        expected.append(b"%d" % len(expected))
        put(expected[-1])
    r.flush()
    assert client.payloads() == expected
    assert other.payloads() == [b"%d" % i for i in range(0, 300, 6)]
    assert r.core.sends == 2


@RAW
def test_more_slices_than_one_system_call_takes(rig, raw):
    r = rig()
    client, neighbour = r.client(raw=raw), r.client(raw=raw)
    room = r.room(client, neighbour)
    for i in range(1500):
        room.put(b"room %d" % i)
        client.outbox.put(b"own %d" % i)
    r.settle()
    assert client.payloads() == [b"%s %d" % (kind, i) for i in range(1500) for kind in (b"room", b"own")]


def test_replies_of_one_connection_are_one_send(rig):
    r = rig()
    clients = [r.client(raw=True) for _ in range(3)]
    for client in clients:
        for i in range(16):
            client.outbox.put(b"pong %d" % i)
    r.flush()
    assert r.core.stats().sends == 3
    assert r.core.stats().replies == 48
    assert r.core.deliveries == 0
    for client in clients:
        assert client.payloads() == [b"pong %d" % i for i in range(16)]


def test_raw_frames_stand_in_their_place(rig):
    r = rig()
    client = r.client(Wire.WS)
    client.outbox.put(b"a")
    client.outbox.put_raw(b"\x8a\x00")
    client.outbox.put(b"b")
    r.flush()
    assert client.pump() == b"\x82\x01a\x8a\x00\x82\x01b"


def test_json_is_made_only_where_somebody_reads_it(twin):
    made = []

    def to_json(payload: bytes) -> bytes:
        made.append(payload)
        return payload

    core = twin.Broadcaster(
        wake=lambda: None, to_json=to_json, clock=lambda: 0.0, outbox_bytes=1, total_bytes=1, batch_bytes=99
    )
    room = core.fanout("drop", None)
    room.add(core.outbox(None, Wire.TCP))
    room.put(b"x")
    assert not made
    readers = [core.outbox(None, Wire.WS_JSON) for _ in range(3)]
    for reader in readers:
        room.add(reader)
    room.put(b"y")
    assert made == [b"y"]


def test_what_json_refuses_is_queued_for_nobody(twin):
    def to_json(payload: bytes) -> bytes:
        raise ValueError("no such text")

    core = twin.Broadcaster(
        wake=lambda: None, to_json=to_json, clock=lambda: 0.0, outbox_bytes=1, total_bytes=1, batch_bytes=99
    )
    room = core.fanout("drop", None)
    for wire in Wire:
        room.add(core.outbox(None, wire))
    with pytest.raises(ValueError, match="no such text"):
        room.put(b"x")
    assert core.total == 0
    assert not core.dirty
    assert core.messages == 0


def test_members_get_what_is_put_while_they_are_members(rig):
    r = rig()
    early, late, gone, back = (r.client() for _ in range(4))
    room = r.room(early, gone, back)
    room.put(b"1")
    room.add(late.outbox)
    room.put(b"2")
    room.remove(gone.outbox)
    room.remove(back.outbox)
    room.put(b"3")
    room.add(back.outbox)
    room.put(b"4")
    r.flush()
    assert early.payloads() == [b"1", b"2", b"3", b"4"]
    assert late.payloads() == [b"2", b"3", b"4"]
    assert gone.payloads() == [b"1", b"2"]
    assert back.payloads() == [b"1", b"2", b"4"]


def test_membership(rig):
    r = rig()
    a, b = r.client(), r.client(Wire.WS)
    room = r.room(a)
    assert len(room) == 1
    assert a.outbox in room
    assert b.outbox not in room
    assert "nobody" not in room
    room.add(a.outbox)
    room.add(b.outbox)
    room.remove(a.outbox)
    room.remove(a.outbox)
    assert len(room) == 1
    b.outbox.close()
    assert len(room) == 0
    room.add(b.outbox)
    assert len(room) == 0


def test_many_rooms_and_members_come_and_go(rig):
    r = rig()
    clients = [r.client() for _ in range(7)]
    rooms = [r.room(*clients) for _ in range(5)]
    for i, client in enumerate(clients):
        for k, room in enumerate(rooms):
            if (i + k) % 3 == 0:
                room.remove(client.outbox)
    for k, room in enumerate(rooms):
        room.put(b"%d" % k)
        assert len(room) == sum((i + k) % 3 != 0 for i in range(7))
    r.flush()
    for i, client in enumerate(clients):
        assert client.payloads() == [b"%d" % k for k in range(5) if (i + k) % 3]


@RAW
def test_skipped_members_do_not_get_that_frame(rig, raw):
    r = rig()
    a, b, stranger = (r.client(raw=raw) for _ in range(3))
    room = r.room(a, b)
    for i in range(12):
        skip = [client.outbox for client, turns in ((a, (0, 1, 5, 6, 11)), (b, range(12))) if i in turns]
        assert room.put(b"%d" % i, skip=[*skip, stranger.outbox])
    r.flush()
    assert a.payloads() == [b"%d" % i for i in (2, 3, 4, 7, 8, 9, 10)]
    assert b.payloads() == []
    assert r.core.deliveries == 7


def test_skips_of_one_who_left_and_came_back(rig):
    r = rig()
    a = r.client()
    room = r.room(a)
    room.put(b"1", skip=[a.outbox])
    room.put(b"2")
    room.remove(a.outbox)
    room.put(b"3", skip=[a.outbox])
    room.add(a.outbox)
    room.put(b"4")
    room.put(b"5", skip=[a.outbox])
    room.put(b"6")
    r.flush()
    assert a.payloads() == [b"2", b"4", b"6"]


def test_a_room_without_members_takes_anything(rig):
    r = rig(batch_bytes=10)
    room = r.room()
    assert all(room.put(b"x" * 20) for _ in range(5))
    assert r.wakes == 0
    assert not r.core.dirty
    assert r.core.total == 0


def test_what_is_put_during_a_round_goes_into_the_next(rig):
    r = rig(flush_sends=1)
    a, b, c = (r.client(raw=True) for _ in range(3))
    room = r.room(a, b, c)
    room.put(b"1")
    assert r.flush() is True
    room.put(b"2")
    b.outbox.put(b"own")
    assert r.flush() is True
    assert (a.payloads(), b.payloads(), c.payloads()) == ([b"1"], [b"1"], [])
    assert r.flush() is False
    assert c.payloads() == [b"1"]
    r.settle()
    assert (a.payloads(), b.payloads(), c.payloads()) == ([b"1", b"2"], [b"1", b"2", b"own"], [b"1", b"2"])


@RAW
def test_members_leave_while_a_round_is_cut(rig, raw):
    r = rig(flush_sends=2)
    clients = [r.client(raw=raw) for _ in range(10)]
    room = r.room(*clients)
    room.put(b"1")
    r.flush()
    clients[4].outbox.close()
    room.remove(clients[5].outbox)
    clients[6].outbox.put(b"own")
    clients[7].outbox.clear()
    clients[8].outbox.put(b"BYE")
    clients[8].outbox.end()
    clients[9].outbox.pause()
    room.put(b"2")
    r.settle()
    assert [client.payloads() for client in clients[:9]] == [
        *[[b"1", b"2"]] * 4,
        [],
        [b"1"],
        [b"1", b"own", b"2"],
        [b"2"],
        [b"1", b"BYE"],
    ]
    assert clients[9].payloads() == []
    assert clients[8].transport.events == ["ended"]
    clients[9].outbox.resume()
    r.settle()
    assert clients[9].payloads() == [b"1", b"2"]


def test_the_time_limit_cuts_a_round(rig):
    r = rig(flush_seconds=0.5)
    clients = [r.client() for _ in range(300)]
    room = r.room(*clients)
    room.put(b"x")

    def slow_write(data: bytes) -> None:
        r.now += 0.01

    for client in clients:
        client.transport.write = slow_write
    assert r.flush() is True
    assert r.core.stats().writes == 64  # the clock is looked at that often
    rounds = 1
    while r.flush():
        rounds += 1
    assert rounds == 4
    assert r.core.stats().writes == 300


def test_ended_comes_when_all_is_handed_over(rig):
    r = rig()
    client = r.client()
    room = r.room(client)
    room.put(b"1")
    client.transport.block()
    client.outbox.put(b"BYE")
    client.outbox.end()
    client.outbox.end()
    client.outbox.put(b"too late")
    room.add(client.outbox)
    room.put(b"too late")
    r.flush()
    assert client.transport.events == []
    client.transport.unblock()
    r.flush()
    assert client.transport.events == ["ended"]
    assert client.payloads() == [b"1", b"BYE"]
    client.transport.block()
    client.transport.unblock()
    r.flush()
    assert client.transport.events == ["ended"]


def test_clear_after_end_leaves_nothing_to_wait_for(rig):
    r = rig()
    client = r.client()
    client.transport.block()
    client.outbox.put(b"forgotten")
    client.outbox.end()
    r.flush()
    client.outbox.clear()
    r.flush()
    assert client.transport.events == ["ended"]
    client.transport.unblock()
    assert client.payloads() == []


def test_end_with_nothing_waiting(rig):
    r = rig()
    for raw in (False, True):
        client = r.client(raw=raw)
        client.outbox.end()
        r.flush()
        assert client.transport.events == ["ended"]


@RAW
def test_clear_forgets_what_waits(rig, raw):
    r = rig()
    client = r.client(raw=raw)
    room, left = r.room(client), r.room(client)
    room.put(b"sent")
    r.flush()
    room.put(b"forgotten")
    left.put(b"forgotten")
    left.remove(client.outbox)
    client.outbox.put(b"forgotten")
    client.outbox.clear()
    client.outbox.put(b"own")
    room.put(b"room")
    r.flush()
    client.transport.block()
    room.put(b"forgotten")
    client.outbox.put(b"forgotten")
    r.flush()
    assert client.outbox.pending > 0
    client.outbox.clear()
    assert client.outbox.pending == 0
    client.outbox.put(b"BYE")
    r.flush()
    client.transport.unblock()
    r.flush()
    assert client.payloads() == [b"sent", b"own", b"room", b"BYE"]


def test_close_leaves_nothing_behind(rig):
    r = rig()
    client = r.client()
    room = r.room(client)
    client.transport.block()
    for _ in range(3):
        room.put(b"x")
        client.outbox.put(b"y")
        r.flush()
    assert r.core.total > 0
    room.put(b"x")
    client.outbox.close()
    client.outbox.close()
    client.outbox.put(b"z")
    client.outbox.put_raw(b"z")
    client.outbox.end()
    client.outbox.clear()
    client.outbox.resume()
    r.flush()
    assert client.outbox.closed
    assert client.outbox.pending == r.core.total == len(room) == 0
    assert client.transport.events == []
    assert not r.core.dirty


def test_wake_is_called_once_until_the_flush(rig):
    r = rig()
    a, b = r.client(), r.client()
    room = r.room(a, b)
    assert not r.core.waiting
    room.put(b"1")
    room.put(b"2")
    a.outbox.put(b"3")
    assert r.wakes == 1
    assert r.core.waiting
    r.core.watch()
    room.put(b"4")
    a.outbox.put(b"5")
    assert r.wakes == 2
    r.core.watch()
    a.outbox.put(b"6")
    assert r.wakes == 3
    r.flush()
    assert not r.core.waiting
    a.outbox.end()
    assert r.wakes == 4


def test_wake_after_a_cut_round_tells_of_what_came_meanwhile(rig):
    r = rig(flush_sends=1)
    a, b = r.client(), r.client()
    room = r.room(a, b)
    room.put(b"1")
    assert r.flush() is True
    room.put(b"2")
    wakes = r.wakes
    assert r.flush() is False
    assert r.wakes == wakes + 1
    assert r.core.waiting


def test_a_room_with_a_tick_waits_for_it(rig):
    r = rig()
    a = r.client()
    room = r.room(a, coalesce=0.05)
    plain = r.room(a)
    assert r.core.next_due(r.now) is None
    r.now += 0.02
    room.put(b"1")
    assert r.wakes == 1
    assert r.core.dirty
    assert not r.core.waiting
    assert r.core.next_due(r.now) == pytest.approx(100.05)
    room.put(b"2")
    assert r.wakes == 1
    plain.put(b"plain")
    r.flush()
    assert a.payloads() == [b"plain"]
    r.now = 100.06
    assert r.core.next_due(r.now) == r.now
    r.flush()
    assert a.payloads() == [b"plain", b"1", b"2"]
    room.put(b"3")
    assert r.core.next_due(r.now) == pytest.approx(100.10)  # ticks keep their pace
    r.settle()


def test_ticks_come_one_by_one(rig):
    r = rig()
    a = r.client()
    fast, slow = r.room(a, coalesce=0.01), r.room(a, coalesce=0.5)
    slow.put(b"slow")
    fast.put(b"fast")
    assert r.core.next_due(r.now) == pytest.approx(100.01)
    r.now = 100.02
    r.flush()
    assert a.payloads() == [b"fast"]
    assert r.core.next_due(r.now) == pytest.approx(100.5)


def test_the_last_frame_comes_last_even_in_a_room_with_a_tick(rig):
    r = rig()
    a, b = r.client(), r.client()
    room = r.room(a, b, coalesce=5.0)
    room.put(b"1")
    a.outbox.put(b"BYE")
    a.outbox.end()
    r.flush()
    assert a.payloads() == [b"1", b"BYE"]
    assert a.transport.events == ["ended"]
    assert b.payloads() == [b"1"]
    assert r.core.next_due(r.now) is None


def test_a_full_batch_refuses(rig):
    r = rig(batch_bytes=100)
    a = r.client()
    room = r.room(a)
    assert not room.full(1000)  # one payload always has room
    assert room.put(b"x" * 60)
    assert not room.full(40)
    assert room.full(41)
    assert not room.put(b"y" * 41)
    assert room.put(b"k" * 41, keep=True)
    assert r.core.stats().refused == 1
    r.flush()
    assert a.payloads() == [b"x" * 60, b"k" * 41]
    assert room.put(b"y" * 1000)
    r.flush()
    assert r.core.messages == 3


def test_an_exception_of_one_sink_costs_nobody_else_anything(rig):
    r = rig()
    clients = [r.client() for _ in range(6)]
    room = r.room(*clients)

    def broken(*_: object) -> None:
        raise RuntimeError("a sink is broken")

    clients[0].transport.write = broken
    clients[2].transport.ended = broken
    clients[2].outbox.end()
    clients[4].outbox.end()
    room.put(b"x")
    with pytest.raises(ExceptionGroup) as caught:
        r.flush()
    assert [str(error) for error in caught.value.exceptions] == ["a sink is broken"] * 2
    assert clients[0].transport.events == [("failed", 0)]
    assert clients[0].outbox not in room
    assert clients[4].transport.events == ["ended"]
    assert [client.payloads() for client in clients] == [[], [b"x"], [], [b"x"], [], [b"x"]]
    room.put(b"y")
    r.flush()
    assert clients[1].payloads() == [b"x", b"y"]


def test_sinks_may_do_anything_from_within_write(rig):
    r = rig()
    clients = [r.client() for _ in range(8)]
    room = r.room(*clients)
    write = clients[0].transport.write

    def meddle(data: bytes) -> None:
        write(data)
        assert r.flush() is True  # does nothing: a round is on its way
        clients[0].outbox.put(b"own")
        clients[1].outbox.close()
        clients[2].outbox.clear()
        clients[3].transport.block()
        clients[4].outbox.end()
        room.remove(clients[5].outbox)
        room.put(b"2", skip=[clients[6].outbox])
        clients[0].transport.write = write

    clients[0].transport.write = meddle
    room.put(b"1")
    r.settle()
    clients[3].transport.unblock()
    r.settle()
    got = [client.payloads() for client in clients]
    assert got == [[b"1", b"own", b"2"], [], [b"2"], [b"1", b"2"], [b"1"], [b"1"], [b"1"], [b"1", b"2"]]
    assert clients[4].transport.events == ["ended"]


def test_counters(rig):
    r = rig()
    a, b = r.client(raw=True), r.client()
    room = r.room(a, b)
    room.put(b"12345")
    a.outbox.put(b"1")
    r.flush()
    stats = r.core.stats()
    assert (stats.messages, stats.replies, stats.deliveries, stats.rounds) == (1, 1, 2, 1)
    assert (stats.sends, stats.writes, stats.bytes) == (1, 1, 9 + 5 + 9)
    assert r.core.sends == 2


def test_no_such_wire_or_policy(rig):
    r = rig()
    with pytest.raises(ValueError, match="3"):
        r.core.outbox(None, 3)
    with pytest.raises(ValueError, match="lenient"):
        r.core.fanout("lenient", None)
