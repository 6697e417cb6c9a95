"""How long a server takes to acknowledge publishes that come at a given rate, and how long its loop is away.

An open loop: each publish is due at a time fixed beforehand and its latency counts from then, whether the
server has answered the earlier ones or not. A further client sends a PING every few milliseconds: it waits
for nothing but the server's event loop.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Sequence
from typing import Any

import msgpack

from benchmarks.programs import BenchError, Cores, Running

CONNECT, JOIN, PUBLISH, PING, RESULT, ERROR = 1, 2, 4, 16, 64, 65
PING_EVERY = 0.005  # seconds
IDLE = 0.5  # seconds of PINGs before the load
DRAIN = 5.0  # seconds for the last acknowledgements
TIMEOUT = 10.0  # seconds to come in


class Connection:
    """One client: sends commands, notes when their results come."""

    def __init__(self, port: int, name: str) -> None:
        self.times: dict[int, float] = {}  # id: when it was due
        self.taken: list[tuple[float, float]] = []  # when it was due, when its result came
        self.errors: list[Any] = []
        self._rest = b""
        self._last = 0
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.ask(CONNECT, 1, {"name": name})

    def ask(self, op: int, *rest: Any) -> None:
        """Send a command and wait for its result. Raises BenchError."""
        self.send(time.monotonic(), op, *rest)
        while self.times:
            self.read()
        if self.errors:
            raise BenchError(f"the server refused: {self.errors[0]}")

    def send(self, due: float, op: int, *rest: Any) -> None:
        self._last += 1
        self.times[self._last] = due
        payload = msgpack.packb([op, self._last, *rest])
        try:
            self.socket.sendall(len(payload).to_bytes(4) + payload)
        except OSError as error:
            raise BenchError(f"the server went away: {error}") from error

    def read(self) -> None:
        """Take what is there. Raises BenchError at its end."""
        try:
            data = self.socket.recv(1 << 18)
        except OSError as error:
            raise BenchError(f"the server does not answer: {error}") from error
        if not data:
            raise BenchError("the server closed a connection")
        now = time.monotonic()
        self._rest += data
        at = 0
        while len(self._rest) - at >= 4:
            end = at + 4 + int.from_bytes(self._rest[at : at + 4])
            if end > len(self._rest):
                break
            op = self._rest[at + 5]  # behind the head of the array
            if op == RESULT or op == ERROR:
                message = msgpack.unpackb(self._rest[at + 4 : end])
                self.taken.append((self.times.pop(message[1]), now))
                if op == ERROR:
                    self.errors.append(message)
            at = end
        self._rest = self._rest[at:]


def drive(server: Running, cores: Cores, options: dict[str, Any]) -> dict[str, Any]:
    """Publish at `rate` a second from `members` members of one room, `seconds` long after `warmup`.

    `keyed`: each with an idempotency key of its own, which the server remembers.
    """
    kept = os.sched_getaffinity(0)
    if cores.generator is not None:
        os.sched_setaffinity(0, {cores.generator})
    connections: list[Connection] = []
    try:
        for number in range(options["members"]):
            connections.append(Connection(server.port, f"u{number}"))
            connections[-1].ask(JOIN, "lobby")
        pinger = Connection(server.port, "pinger")
        return _measured(server, connections, pinger, options)
    finally:
        for connection in connections:
            connection.socket.close()
        os.sched_setaffinity(0, kept)


def _measured(
    server: Running, connections: Sequence[Connection], pinger: Connection, options: dict[str, Any]
) -> dict[str, Any]:
    with pinger.socket:
        pinger.taken.clear()
        begun = time.monotonic()
        _load(connections, pinger, begun, begun + IDLE, 0.0, "")
        idle = _microseconds(pinger.taken, 0.0)
        pinger.taken.clear()
        for connection in connections:
            connection.taken.clear()
        begun = time.monotonic()
        steady, end = begun + options["warmup"], begun + options["warmup"] + options["seconds"]
        cpu, own = server.cpu_seconds(), time.process_time()
        late = _load(
            connections, pinger, begun, end, options["rate"], "x" * options["payload"], keyed=options["keyed"]
        )
        cpu, own = server.cpu_seconds() - cpu, time.process_time() - own
        _load(connections, pinger, end, end + DRAIN, 0.0, "", waiting=True)
    acks = [pair for connection in connections for pair in connection.taken]
    errors = [error for connection in connections for error in connection.errors]
    lost = sum(len(connection.times) for connection in connections)
    seconds = options["warmup"] + options["seconds"]
    return {
        "seconds": seconds,
        "server_cpu": cpu,
        "own_cpu": own,
        "busy": own / seconds,
        "members": len(connections),
        "messages": len(acks),
        "ack_us": _microseconds(acks, steady),
        "ping_us": _microseconds(pinger.taken, steady),
        "idle_ping_us": idle,
        "lateness_us": _summary(sorted(late)),
        "errors": {"refused": len(errors), "unacknowledged": lost},
        "first_error": str(errors[0]) if errors else "",
        "options": dict(options),
        "load_average": os.getloadavg()[0],
    }


def _load(
    connections: Sequence[Connection], pinger: Connection, begun: float, end: float, rate: float, text: str,
    waiting: bool = False, keyed: bool = False,
) -> list[float]:  # fmt: skip
    """Send what is due and take what comes, until `end`, or if `waiting` until nothing is missing.

    Gives how many microseconds each publish was late.
    """
    late: list[float] = []
    sources = {one.socket: one for one in (*connections, pinger)}
    pings = sent = 0
    while True:
        now = time.monotonic()
        while rate and (due := begun + sent / rate) <= now and due < end:
            one = connections[sent % len(connections)]
            # 24 characters of key, as many as the client library makes
            opts = {"echo": False} | ({"key": f"{sent:024x}"} if keyed else {})
            one.send(due, PUBLISH, "lobby", text, opts)
            late.append((time.monotonic() - due) * 1e6)
            sent += 1
        if not waiting and (due := begun + pings * PING_EVERY) <= now:
            pinger.send(due, PING)
            pings += 1
        if now >= end or (waiting and not any(one.times for one in connections)):
            return late
        coming = [end, begun + pings * PING_EVERY if not waiting else end]
        if rate:
            coming.append(begun + sent / rate)
        readable, _, _ = select.select(list(sources), [], [], max(0.0, min(coming) - time.monotonic()))
        for ready in readable:
            sources[ready].read()


def _microseconds(pairs: Sequence[tuple[float, float]], since: float) -> dict[str, float]:
    return _summary(sorted((came - due) * 1e6 for due, came in pairs if due >= since))


def _summary(values: Sequence[float]) -> dict[str, float]:
    """Count, mean and percentiles of sorted values."""
    count = len(values)
    if not count:
        raise BenchError("nothing came back in time to be measured")
    at = {name: values[min(count - 1, int(share * count))] for name, share in
          (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999))}  # fmt: skip
    found = {"count": count, "mean": sum(values) / count, **at, "max": values[-1]}
    return {name: round(value, 1) for name, value in found.items()}


def filesystem(folder: str) -> str:
    """The kind of file system a folder lies on; "" where the machine does not tell."""
    found = deepest = ""
    try:
        with open("/proc/self/mountinfo") as lines:
            rows = [line.split(" - ") for line in lines]
    except OSError:
        return ""
    where = os.path.realpath(folder)
    for mount, about in rows:
        point = mount.split()[4].encode().decode("unicode_escape")  # a space is \040
        if os.path.commonpath([where, point]) == point and len(point) >= len(
            deepest
        ):  # the last one lies on top
            deepest, found = point, about.split()[0]
    return found


def syncs(folder: str, count: int) -> dict[str, Any]:
    """How long the disk takes to confirm 4 KiB, as a write-ahead log asks it to."""
    path = os.path.join(folder, "sync")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    page = os.urandom(4096)
    taken = []
    try:
        for _ in range(count):
            os.write(descriptor, page)
            begun = time.monotonic()
            os.fdatasync(descriptor)
            taken.append((time.monotonic() - begun) * 1e6)
    finally:
        os.close(descriptor)
    return {"sync_us": _summary(sorted(taken)), "errors": {}, "first_error": "", "options": {"count": count}}
