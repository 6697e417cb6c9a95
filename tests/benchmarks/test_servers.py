"""The servers that fastchat is compared with hold the same conversation."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgpack  # type: ignore[import-untyped]
import pytest

from benchmarks.load import drive
from benchmarks.programs import BenchError, Cores, Running, running

SERVERS = ["fastchat", "reference", "reference-uncoalesced", "naive"]


class Client:
    """A blocking client: one command, one frame at a time."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.file = self.socket.makefile("rb")

    def say(self, *commands: list[Any]) -> None:
        payloads = [msgpack.packb(command) for command in commands]
        self.socket.sendall(b"".join(struct.pack(">I", len(payload)) + payload for payload in payloads))

    def hear(self) -> Any:
        (size,) = struct.unpack(">I", self.file.read(4))
        return msgpack.unpackb(self.file.read(size))

    def close(self) -> None:
        self.file.close()
        self.socket.close()


@contextmanager
def clients(server: Running, *names: str) -> Iterator[list[Client]]:
    """Connected, in the room "hall" one after the other."""
    found = []
    try:
        for name in names:
            client = Client(server.port)
            found.append(client)
            client.say([1, 1, 1, {"name": name}])
            op, id, body = client.hear()
            assert (op, id, body["user"], body["version"]) == (64, 1, name, 1)
            client.say([2, 2, "hall", {}])
            op, id, body = client.hear()
            assert (op, id, body["offset"], body["messages"]) == (64, 2, 0, [])
        yield found
    finally:
        for client in found:
            client.close()


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, cores: Cores) -> Iterator[Running]:
    with running(request.param, cores) as instance:
        yield instance


def test_the_same_conversation(server: Running) -> None:
    with clients(server, "ada", "bob") as (ada, bob):
        ada.say([4, 7, "hall", "hello"], [4, 0, "hall", {"type": "image", "size": [1, 2]}], [16, 8])
        heard = [ada.hear() for _ in range(4)]
        for client, messages in (
            (ada, [one for one in heard if one[0] == 66]),
            (bob, [bob.hear(), bob.hear()]),
        ):
            assert [one[:3] for one in messages] == [[66, "hall", 1], [66, "hall", 2]], client
            assert [one[4:6] for one in messages] == [
                ["ada", "hello"],
                ["ada", {"type": "image", "size": [1, 2]}],
            ]
            assert all(one[3] > 1_700_000_000_000 for one in messages)
        results = {one[1]: one[2] for one in heard if one[0] == 64}
        assert set(results) == {7, 8}
        assert results[7]["offset"] == 1
        assert results[8]["time"] > 1_700_000_000_000


def test_what_is_not_spoken_is_refused(server: Running) -> None:
    client = Client(server.port)
    client.say([1, 1, 1, {}])
    assert client.hear()[:2] == [64, 1]
    client.say([4, 5, "elsewhere", "hi"])
    assert client.hear()[:3] == [65, 5, 304]
    client.say([99, 6])
    assert client.hear()[:3] == [65, 6, 301]
    client.close()


@pytest.mark.parametrize("wire", ["tcp", "ws"])
def test_the_generator_and_fastchat_understand_each_other(cores: Cores, wire: str) -> None:
    with running("fastchat", cores) as server:
        sample = drive(server, cores, {"wire": wire, "members": 50, "count": 200, "warmup": 0}, settle=0)
        pings = drive(
            server, cores, {"wire": wire, "mode": "pings", "members": 3, "rooms": 0, "seconds": 0.2}
        )
    assert set(sample["errors"].values()) == set(pings["errors"].values()) == {0}
    assert sample["deliveries"] == 200 * 50
    assert sample["server_cpu"] > 0
    assert pings["replies"] > 0


def test_cpu_seconds_are_those_of_the_server(cores: Cores) -> None:
    """The clock that the generator reads tells what /proc tells, but finer."""
    with running("reference", cores) as server:
        sample = drive(server, cores, {"members": 100, "seconds": 0.5, "warmup": 0}, settle=0)
        with open(f"/proc/{server.pid}/stat") as file:
            ticks = sum(map(int, file.read().rpartition(")")[2].split()[11:13]))
    assert sample["server_cpu"] == pytest.approx(ticks / 100, abs=0.1)
    assert 0 < sample["server_cpu"] <= sample["seconds"] * 1.05


def test_a_server_that_does_not_start_is_told(cores: Cores) -> None:
    with pytest.raises(BenchError, match="ended with 2:\n.*usage"):
        with running("reference", cores, arguments=["--sideways"]):
            raise AssertionError("it runs")
