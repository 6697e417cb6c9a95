"""Sends on real descriptors: partial, refused, broken, and never to the wrong one."""

from __future__ import annotations

import errno
import os
import resource
import socket
import threading

import pytest

from fastchat.broadcast import Wire
from fastchat.config import Policy
from tests.broadcast.rig import framed


@pytest.fixture
def descriptors():
    """Room for some thousand sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192) if hard > 0 else 8192, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_thousand_messages_to_a_thousand_members_with_partial_writes(twin, rig, descriptors):
    """Nothing reordered, corrupted or lost, whatever the kernel takes at a time."""
    members, messages = (1000, 1000) if twin.__name__ == "fastchat._broadcast" else (200, 300)
    r = rig(flush_sends=300)
    r.core._inject(20, partial=200, again=50, interrupt=50)
    clients = [r.client(Wire.WS if i % 5 == 4 else Wire.TCP, raw=True, sndbuf=4096) for i in range(members)]
    room = r.room(*clients)
    expected = {wire: b"" for wire in Wire}
    for i in range(messages):
        payload = b"message %d " % i * (1 + i % 9)
        assert room.put(payload, i + 1)
        for wire in Wire:
            expected[wire] += framed(wire, payload)
        if i % 10 == 9:
            r.flush()
        if i % 100 == 99:  # the others read late: real EAGAIN
            for client in clients[::2]:
                client.pump()
    r.settle()
    for i, client in enumerate(clients):
        assert client.pump() == expected[client.wire], i
    stats = r.core.stats()
    assert stats.deliveries == members * messages
    assert stats.partial > messages / 10
    assert stats.again > messages / 20
    assert stats.sends > stats.partial + stats.again


def test_slices_survive_partial_writes(rig):
    """Several rooms and private frames, cut anywhere."""
    r = rig()
    r.core._inject(7, partial=900)
    clients = [r.client(raw=True) for _ in range(20)]
    rooms = [r.room(*clients[i::3]) for i in range(3)] + [r.room(*clients)]
    expected = [[] for _ in clients]
    for i in range(400):
        payload = b"%d:" % i + b"x" * (i % 50)
        room = rooms[i % 4]
        room.put(payload, i, skip=[clients[i % 20].outbox])
        for k, client in enumerate(clients):
            if client.outbox in room and k != i % 20:
                expected[k].append(payload)
        clients[i % 7].outbox.put(b"own" + payload)
        expected[i % 7].append(b"own" + payload)
        if i % 23 == 0:
            r.flush()
    r.settle()
    assert [client.payloads() for client in clients] == expected
    assert r.core.stats().partial > 100


def test_the_rest_goes_to_the_transport_once(rig):
    r = rig()
    r.core._inject(1, partial=1000)
    client = r.client(raw=True)
    for i in range(5):
        client.outbox.put(b"message %d" % i)
        client.transport.writes.clear()
        r.flush()
        assert len(client.transport.writes) <= 1
    assert client.payloads() == [b"message %d" % i for i in range(5)]


def test_nothing_is_sent_past_a_transport_that_holds_bytes(rig):
    r = rig()
    client = r.client(raw=True, sndbuf=4096)
    room = r.room(client, policy=Policy.DISCONNECT)
    sent = []
    while not client.transport.buffer:
        sent.append(b"x" * 1000)
        room.put(sent[-1])
        r.flush()
    sends = r.core.stats().sends
    for i in range(10):
        sent.append(b"later %d" % i)
        room.put(sent[-1])
        client.outbox.put(b"own")
        sent.append(b"own")
        r.flush()
    assert r.core.stats().sends == sends
    assert r.core.stats().again + r.core.stats().partial > 0
    r.settle()
    assert client.payloads() == sent
    room.put(b"raw again")
    r.flush()
    assert r.core.stats().sends == sends + 1


def test_a_number_used_again_is_another_connection(rig):
    """A closed connection's share is never sent to who gets its descriptor next."""
    r = rig(flush_sends=1)
    first, old, last = (r.client(raw=True) for _ in range(3))
    room = r.room(first, old, last)
    old.outbox.put(b"secret")
    room.put(b"secret")
    assert r.flush() is True  # cut: `old` is next
    number = old.transport.sock.fileno()
    old.close()
    r.clients.remove(old)
    new = r.client(raw=True)
    spare = []
    while new.transport.sock.fileno() != number:  # until the kernel gives that number again
        spare.append(new)
        new = r.client(raw=True)
        assert len(spare) < 64
    r.settle()
    assert new.payloads() == []
    new.outbox.put(b"mine")
    r.settle()
    assert new.payloads() == [b"mine"]
    assert last.payloads() == [b"secret"]


@pytest.mark.parametrize("injected", [False, True], ids=["closed", "injected"])
def test_a_broken_pipe_is_told_and_costs_nobody_else_anything(rig, injected):
    r = rig()
    clients = [r.client(raw=True) for _ in range(5)]
    room = r.room(*clients)
    if injected:
        r.core._inject(3, broken=1000)
        clients[1].outbox.put(b"x")
    else:
        clients[1].far.close()
        room.put(b"x")
    r.flush()
    assert clients[1].transport.events == [("failed", errno.EPIPE)]
    assert clients[1].outbox not in room
    clients[1].outbox.put(b"y")
    room.put(b"z")
    clients[1].outbox.clear()
    clients[1].outbox.end()
    if not injected:
        r.flush()
        assert clients[1].transport.events == [("failed", errno.EPIPE)]
        assert [client.payloads() for client in (clients[0], *clients[2:])] == [[b"x", b"z"]] * 4
    assert r.core.stats().failed == 1


def test_a_descriptor_that_is_no_socket(rig):
    r = rig()
    client, other = r.client(), r.client(raw=True)
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)
    sink = client.transport
    outbox = r.core.outbox(sink, Wire.TCP, writer)
    room = r.room(other)
    room.add(outbox)
    room.put(b"x")
    r.flush()
    assert sink.events == [("failed", errno.EBADF)]
    assert other.payloads() == [b"x"]
    outbox.close()


def test_interrupted_calls_are_made_again(rig):
    r = rig()
    r.core._inject(5, interrupt=500)
    client = r.client(raw=True)
    for i in range(50):
        client.outbox.put(b"%d" % i)
        r.flush()
    assert client.payloads() == [b"%d" % i for i in range(50)]
    assert r.core.stats().sends > 60
    assert client.transport.writes == []


def test_twins_draw_the_same_faults(twin, rig):
    r = rig()
    r.core._inject(11, partial=400, again=100, interrupt=100)
    client = r.client(raw=True)
    for i in range(200):
        client.outbox.put(b"message %d" % i)
        r.flush()
    stats = r.core.stats()
    assert (stats.sends, stats.partial, stats.again, stats.writes) == (234, 77, 24, 101)
    assert client.payloads() == [b"message %d" % i for i in range(200)]


def test_other_threads_run_while_it_sends(twin, rig):
    """The compiled loop lets go of the GIL: a blocked send does not block the process."""
    if twin.__name__ != "fastchat._broadcast":
        pytest.skip("os.write does so by itself")
    r = rig()
    near, far = socket.socketpair()
    ticks = []
    done = threading.Event()

    def count():
        while not done.is_set():
            ticks.append(1)

    sink = r.client().transport
    outboxes = [r.core.outbox(sink, Wire.TCP, near.fileno()) for _ in range(200)]
    for outbox in outboxes:
        outbox.put(b"x" * 100)
    thread = threading.Thread(target=count)
    thread.start()
    while not ticks:
        pass
    r.flush()
    done.set()
    thread.join()
    assert len(far.recv(1 << 20)) == 200 * 104
    for outbox in outboxes:
        outbox.close()
    near.close()
    far.close()


def test_who_was_to_skip_what_expired_is_served_as_ever(rig):
    r = rig()
    spared, other = r.client(raw=True), r.client(raw=True)
    room = r.room(spared, other)
    room.put(b"stale", 1, skip=[spared.outbox], expires=r.now + 1)
    spared.outbox.put(b"private")
    r.now += 2
    r.settle()
    assert (spared.payloads(), other.payloads()) == ([b"private"], [b"GAP 1 1 expired"])
    stats = r.core.stats()
    assert (stats.sends, stats.writes, stats.expired) == (1, 1, 1), "only the gap goes by the transport"
