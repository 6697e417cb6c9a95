"""Every byte limit tripped, and what each policy does about it."""

from __future__ import annotations

import pytest

from fastchat.broadcast import HAND_BYTES, Wire
from fastchat.config import Policy

NUMBERED = [b"%02d" % i + b"." * 94 for i in range(100)]  # 96 bytes, 100 on the TCP wire


def blocked(r, *policies, wire=Wire.TCP):
    """A stalled client that is in one room for each policy."""
    client = r.client(wire)
    rooms = [r.room(client, policy=policy) for policy in policies]
    client.transport.block()
    return client, *rooms


def test_disconnect_cuts_at_the_limit(rig):
    r = rig(outbox_bytes=1000)
    client, room = blocked(r, Policy.DISCONNECT)
    for i in range(10):
        room.put(NUMBERED[i], i + 1)
        r.flush()
    assert client.outbox.pending == 1000
    assert client.transport.events == []
    room.put(NUMBERED[10], 11)
    r.flush()
    assert client.transport.events == ["slow"]
    assert client.outbox.pending == r.core.total == 0
    room.put(b"nothing is accepted until clear")
    client.outbox.put(b"nothing is accepted until clear")
    r.flush()
    client.outbox.clear()
    client.outbox.put(b"BYE")
    client.outbox.end()
    client.transport.unblock()
    r.flush()
    assert client.payloads() == [b"BYE"]
    assert client.transport.events == ["slow", "ended"]
    assert r.core.stats().slow == 1


def test_disconnect_in_one_round(rig):
    r = rig(outbox_bytes=1000)
    client, room = blocked(r, Policy.DISCONNECT)
    healthy = r.client()
    room.add(healthy.outbox)
    for i in range(11):
        room.put(NUMBERED[i])
    r.flush()
    assert client.transport.events == ["slow"]
    assert healthy.transport.events == []
    assert healthy.payloads() == NUMBERED[:11]


def test_drop_loses_the_oldest_and_says_so(rig):
    r = rig(outbox_bytes=1000)
    client, room = blocked(r, Policy.DROP)
    for i in range(100):
        room.put(NUMBERED[i], i + 1)
        if i % 7 == 0:
            r.flush()
        assert client.outbox.pending <= 1000
    r.flush()
    client.transport.unblock()
    r.flush()
    assert client.payloads() == [b"GAP 1 90 slow", *NUMBERED[90:]]
    assert client.transport.events == []
    assert r.core.stats().dropped == 90
    assert r.core.total == 0


def test_a_gap_stands_where_the_first_dropped_frame_stood(rig):
    r = rig(outbox_bytes=1000)
    client, drop, firm = blocked(r, Policy.DROP, Policy.DISCONNECT)
    for i in range(4):
        firm.put(b"firm %d" % i)
        drop.put(NUMBERED[i], i + 1)
        client.outbox.put(b"own %d" % i)
        r.flush()
    for i in range(4, 11):
        drop.put(NUMBERED[i], i + 1)
    r.flush()
    client.transport.unblock()
    r.flush()
    assert (
        client.payloads()
        == [
            b"firm 0",
            b"GAP 1 1 slow",
            b"own 0",  # a reply between them may be that of LEAVE or JOIN: no gap widens across it
            b"firm 1",
            b"GAP 2 2 slow",
            b"own 1",
            b"firm 2",
            NUMBERED[2],
            b"own 2",
            b"firm 3",
            NUMBERED[3],
            b"own 3",
            *NUMBERED[4:11],
        ]
    )


def test_kept_frames_stay_and_part_the_gaps(rig):
    r = rig(outbox_bytes=1000)
    client, room = blocked(r, Policy.DROP)
    for i in range(20):
        room.put(NUMBERED[i], i + 1)
        if i == 4:
            room.put(b"presence", keep=True)
        if i % 3 == 0:
            r.flush()
    r.flush()
    client.transport.unblock()
    r.flush()
    assert client.payloads() == [b"GAP 1 5 slow", b"presence", b"GAP 6 11 slow", *NUMBERED[11:20]]


def test_unstored_frames_are_dropped_without_a_gap(rig):
    r = rig(outbox_bytes=1000)
    client, room = blocked(r, Policy.DROP)
    for i in range(20):
        room.put(NUMBERED[i], 0 if i % 2 else i + 1)
    r.flush()
    client.transport.unblock()
    r.flush()
    assert client.payloads() == [b"GAP 1 9 slow", *NUMBERED[10:20]]
    assert r.core.stats().dropped == 10


def test_frames_that_may_not_be_dropped_cut_even_beside_those_that_may(rig):
    r = rig(outbox_bytes=1000)
    client, drop, firm = blocked(r, Policy.DROP, Policy.DISCONNECT)
    for i in range(9):
        drop.put(NUMBERED[i], i + 1)
    r.flush()
    for i in range(10):
        firm.put(NUMBERED[i], i + 1)
        r.flush()
    assert client.transport.events == []
    assert client.outbox.pending == 1000
    firm.put(b"")
    r.flush()
    assert client.transport.events == ["slow"]


def test_latest_keeps_only_the_newest(rig):
    r = rig()
    client, room, firm = blocked(r, Policy.LATEST, Policy.DISCONNECT)
    for i in range(30):
        room.put(NUMBERED[i], i + 1)
        if i == 10:
            room.put(b"presence", keep=True)
            firm.put(b"firm")
        if i % 4 == 0:
            r.flush()
            assert client.outbox.pending <= 100 + 8 + 4 + 4 + 4
    r.flush()
    client.transport.unblock()
    r.flush()
    assert client.payloads() == [b"GAP 1 11 slow", b"presence", b"firm", b"GAP 12 29 slow", NUMBERED[29]]
    assert r.core.stats().superseded == 29
    for i in range(30, 33):
        room.put(NUMBERED[i], i + 1)
    r.flush()
    assert client.payloads()[5:] == NUMBERED[30:33]  # one who keeps up gets all


def test_latest_with_unstored_frames(rig):
    r = rig()
    client, room = blocked(r, Policy.LATEST)
    for i in range(30):
        room.put(NUMBERED[i])
        r.flush()
    client.transport.unblock()
    r.flush()
    assert client.payloads() == [NUMBERED[29]]


def test_expired_frames_do_not_come_out_of_a_queue(rig):
    r = rig()
    client, room = blocked(r, Policy.DISCONNECT)
    quick = r.client()
    room.add(quick.outbox)
    for i in range(10):
        room.put(NUMBERED[i], i + 1, expires=0.0 if i in (3, 7) else r.now + (i or 0.5))
        if i % 2:
            r.flush()
    assert quick.payloads() == NUMBERED[:10]  # what does not wait does not expire
    r.now += 5.0
    r.flush()
    assert client.outbox.pending == 1000
    client.transport.unblock()
    r.flush()
    got = [b"GAP 1 3 expired", NUMBERED[3], b"GAP 5 6 expired", *NUMBERED[6:10]]
    assert client.payloads() == got
    assert r.core.stats().expired == 5


def test_what_expired_before_the_flush_is_sent_to_nobody(rig):
    """Whatever held the flush back: a tick, a budget, a busy loop."""
    r = rig()
    one, other, stranger = r.client(), r.client(), r.client()
    room, ticking = r.room(), r.room(coalesce=1.0)
    for client in (one, other):
        room.add(client.outbox)
        ticking.add(client.outbox)
    for i in range(8):
        room.put(NUMBERED[i], 0 if i == 3 else i + 1, expires=0.0 if i in (4, 7) else r.now + 0.5)
    room.put(NUMBERED[8], 9, skip=[other.outbox], expires=r.now + 0.5)
    ticking.put(NUMBERED[9], 1, expires=r.now + 0.5)
    one.outbox.put(b"private")
    r.now += 1.0
    r.flush()
    gaps = [b"GAP 1 3 expired", NUMBERED[4], b"GAP 6 7 expired", NUMBERED[7]]
    tick = [b"GAP 1 1 expired"]
    assert sorted(one.payloads()) == sorted([*gaps, b"GAP 9 9 expired", *tick, b"private"])
    assert sorted(other.payloads()) == sorted([*gaps, *tick])
    assert stranger.payloads() == []
    assert r.core.stats().expired == 15
    assert r.core.total == one.outbox.pending == 0
    room.put(NUMBERED[0], 10, expires=r.now + 0.5)
    r.flush()
    assert one.payloads()[-1] == other.payloads()[-1] == NUMBERED[0]


def test_who_was_skipped_is_not_held_up_by_what_expired(rig):
    r = rig()
    client, other = r.client(raw=True), r.client(raw=True)
    room = r.room()
    for one in (client, other):
        room.add(one.outbox)
    room.put(NUMBERED[0], 1, skip=[client.outbox], expires=r.now + 0.5)
    client.outbox.put(b"private")
    r.now += 1.0
    r.flush()
    assert client.payloads() == [b"private"]
    assert other.payloads() == [b"GAP 1 1 expired"]
    stats = r.core.stats()
    assert (stats.sends, stats.writes, stats.expired) == (1, 1, 1)


def test_gaps_of_different_reasons_stay_apart(rig):
    r = rig(outbox_bytes=1000)
    client, room = blocked(r, Policy.DROP)
    for i in range(16):
        room.put(NUMBERED[i], i + 1, expires=r.now + 1 if i in (6, 7) else 0.0)
    r.flush()
    r.now += 2
    client.transport.unblock()
    r.flush()
    assert client.payloads() == [b"GAP 1 6 slow", b"GAP 7 8 expired", *NUMBERED[8:16]]


def test_private_frames_cut_a_paused_connection(rig):
    r = rig(outbox_bytes=1000)
    client, room = blocked(r, Policy.DROP)
    for i in range(11):
        client.outbox.put(NUMBERED[i])
        if i % 2:
            r.flush()
    assert client.transport.events == []
    client.outbox.put(b"one too many")
    assert client.outbox.pending == 0
    r.flush()
    assert client.transport.events == ["slow"]


def test_private_frames_cut_within_one_turn(rig):
    """A client that asks for many large replies at once cannot make the arena grow without limit."""
    r = rig(outbox_bytes=1000)
    client = r.client(raw=True)
    for i in range(100):
        client.outbox.put(NUMBERED[i])
    r.flush()
    assert client.transport.events == ["slow"]
    assert client.payloads() == []
    client.outbox.clear()
    client.outbox.put(b"x" * 100_000)  # one frame of any size passes
    r.settle()
    assert client.payloads() == [b"x" * 100_000]


def test_the_owner_may_say_goodbye_from_within_slow(rig):
    r = rig(outbox_bytes=1000)
    client, room = blocked(r, Policy.DISCONNECT)

    def bye():
        client.outbox.clear()
        client.outbox.put(b"BYE 405")
        client.outbox.end()

    client.transport.on_slow = bye
    for i in range(20):
        room.put(NUMBERED[i], i + 1)
        r.flush()
    assert client.outbox not in room
    client.transport.unblock()
    r.flush()
    assert client.payloads() == [b"BYE 405"]
    assert client.transport.events == ["slow", "ended"]


def test_what_the_transport_holds_counts(rig):
    r = rig(outbox_bytes=1000)
    client = r.client()
    room = r.room(client, policy=Policy.DROP)
    client.transport.blocked = True  # it pauses when it is given something
    for i in range(50):
        room.put(NUMBERED[i], i + 1)
        r.flush()
        assert client.outbox.pending <= 1000
    assert client.outbox.pending == 1000
    assert len(client.transport.buffer) == 100
    client.transport.unblock()
    r.flush()
    assert client.payloads() == [NUMBERED[0], b"GAP 2 41 slow", *NUMBERED[41:50]]


def test_a_transport_is_not_given_more_than_it_needs(rig):
    r = rig()
    client = r.client()
    room = r.room(client, policy=Policy.DROP)
    client.transport.blocked = True
    for i in range(3000):
        room.put(NUMBERED[i % 100], i + 1)
    r.flush()
    assert HAND_BYTES - 100 <= len(client.transport.buffer) <= HAND_BYTES
    assert client.outbox.pending == 300_000
    client.transport.unblock()
    r.flush()
    assert len(client.payloads()) == 3000
    assert max(map(len, client.transport.writes)) <= HAND_BYTES


def test_the_total_cuts_who_holds_most(rig):
    r = rig(total_bytes=5000)
    clients = [r.client() for _ in range(5)]
    for client in clients:
        client.transport.block()
    for i, client in enumerate(clients):
        for _ in range(5 * i):
            client.outbox.put(NUMBERED[i])
    r.flush()
    assert r.core.total == 5000
    assert not any(client.transport.events for client in clients)
    clients[0].outbox.put(b"x")
    r.flush()
    assert [client.transport.events for client in clients] == [[], [], [], [], ["slow"]]
    assert r.core.total == 3005
    assert r.core.stats().cut == 1


def test_shared_frames_count_once(rig):
    r = rig(total_bytes=10_000)
    clients = [r.client() for _ in range(50)]
    for client in clients:
        client.transport.block()
    room = r.room(*clients)
    for i in range(99):
        room.put(NUMBERED[i])
        r.flush()
    assert r.core.total == 9900
    assert all(client.outbox.pending == 9900 for client in clients)
    for client in clients:
        client.transport.unblock()
    r.flush()
    assert r.core.total == 0
    assert all(client.payloads() == NUMBERED[:99] for client in clients)


def test_many_shared_holders_go_together(rig):
    """Cutting one who only holds what others hold too frees nothing: on until it does."""
    r = rig(total_bytes=1000)
    clients = [r.client() for _ in range(4)]
    for client in clients:
        client.transport.block()
    room = r.room(*clients)
    for i in range(11):
        room.put(NUMBERED[i])
    r.flush()
    assert all(client.transport.events == ["slow"] for client in clients)
    assert r.core.total == 0


def test_bytes_of_the_doomed_do_not_cut_others(rig):
    r = rig(total_bytes=1000)
    greedy, modest = r.client(), r.client()
    greedy.transport.blocked = modest.transport.blocked = True
    for i in range(12):
        greedy.outbox.put(NUMBERED[i])
    modest.outbox.put(NUMBERED[0])
    r.flush()
    assert r.core.total == 1300  # all of it is with the transports
    assert (greedy.transport.events, modest.transport.events) == (["slow"], [])
    for i in range(8):
        modest.outbox.put(NUMBERED[i])
        r.flush()
    assert modest.transport.events == []
    greedy.close()
    r.clients.remove(greedy)
    assert r.core.total == 900
    modest.outbox.put(NUMBERED[0])
    modest.outbox.put(NUMBERED[1])
    r.flush()
    assert modest.transport.events == ["slow"]  # the room that the doomed left is not counted twice


def test_an_ending_connection_that_is_cut_is_ended(rig):
    r = rig(total_bytes=1000)
    client, other = r.client(), r.client()
    client.transport.block()
    other.transport.block()
    for i in range(9):
        client.outbox.put(NUMBERED[i])
    client.outbox.end()
    r.flush()
    assert client.transport.events == []
    other.outbox.put(NUMBERED[0])
    other.outbox.put(NUMBERED[1])
    r.flush()
    assert client.transport.events == ["ended"]
    assert other.transport.events == []


def test_a_goodbye_is_not_cut(rig):
    r = rig(outbox_bytes=2000, total_bytes=1000)
    client, other = r.client(), r.client()
    client.transport.blocked = True
    client.outbox.put(b"x" * 1500)
    r.flush()  # the transport holds it
    for i in range(6):
        client.outbox.put(NUMBERED[i])
    r.flush()
    assert client.transport.events == ["slow"]
    client.outbox.clear()
    client.outbox.put(b"BYE")
    client.outbox.end()
    other.transport.block()
    for _ in range(3):
        other.outbox.put(b"x" * 1100)
        r.flush()
        other.outbox.clear()
    client.transport.unblock()
    r.flush()
    assert client.payloads() == [b"x" * 1500, b"BYE"]


def test_few_frames_do_not_pin_many(rig):
    """A queue is charged for what it keeps alive, within a factor."""
    r = rig(outbox_bytes=200_000)
    client, room = blocked(r, Policy.DROP)
    healthy = r.client()
    room.add(healthy.outbox)
    for _ in range(100):
        for i in range(100):
            room.put(NUMBERED[i], 1, skip=[client.outbox] if i % 20 else ())
        room.put(b"presence", keep=True)
        r.flush()
        assert r.core.total <= 2 * client.outbox.pending + 10_000
    for _ in range(100):
        for i in range(100):
            room.put(NUMBERED[i], 1)
            if i == 50:
                room.put(b"presence", keep=True)
        r.flush()
        assert r.core.total <= 2 * client.outbox.pending + 10_000


@pytest.mark.parametrize("wire", list(Wire))
def test_gaps_are_framed_for_the_wire(rig, wire):
    r = rig(outbox_bytes=1000)
    client, room = blocked(r, Policy.DROP, wire=wire)
    for i in range(30):
        room.put(NUMBERED[i][:40], i + 1)
        r.flush()
    client.transport.unblock()
    r.flush()
    got = client.payloads()
    assert got == [b"GAP 1 %d slow" % (31 - len(got)), *(each[:40] for each in NUMBERED[31 - len(got) : 30])]


def test_a_gap_that_raises_costs_nobody_else_anything(rig):
    r = rig(outbox_bytes=1000)
    client = r.client()

    def broken(*_):
        raise RuntimeError("no gap today")

    room = r.core.fanout(Policy.DROP, broken)
    room.add(client.outbox)
    client.transport.block()
    for i in range(11):
        room.put(NUMBERED[i], i + 1)
    r.flush()
    client.transport.unblock()
    with pytest.raises(ExceptionGroup, match="sinks or gaps"):
        r.flush()
    assert client.payloads() == NUMBERED[1:11]


def test_a_gap_that_clears(rig):
    r = rig(outbox_bytes=1000)
    client = r.client()

    def meddle(start, end, why):
        client.outbox.clear()
        client.outbox.put(b"BYE")
        return b"GAP"

    room = r.core.fanout(Policy.DROP, meddle)
    room.add(client.outbox)
    client.transport.block()
    for i in range(11):
        room.put(NUMBERED[i], i + 1)
    r.flush()
    client.transport.unblock()
    r.settle()
    assert client.payloads()[-1] == b"BYE"
    assert client.outbox.pending == 0
