"""What the load generator is asked to do: a plan, checked before anybody connects.

Invariant: a `Plan` that exists is within bounds, so the swarm need not look again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from ipaddress import IPv4Address
from typing import Any

from fastchat.bench.failure import BenchError
from fastchat.capacity import Group

MODES = ("paced", "flood", "pings", "idle")
SCHEDULES = ("poisson", "fixed", "phased")
WIRES = ("tcp", "ws")
OWN = "fastchat"  # the dialect that needs no script

LEAST_PAYLOAD, MOST_PAYLOAD = 32, 16_000  # bytes: the stamp, and what the server's frame limit leaves
MOST_CLIENTS = 200_000  # the swarm's own bound; descriptors come to an end before it
MOST_FLYING = 65_536  # messages of all windows together
MOST_OUTSTANDING = 500_000
CHUNK = 262_144  # bytes of one recv
POLL_US = 50  # microseconds between two looks in mode paced: the resolution of latency
BACKLOG_SECONDS = 2.0  # of the offered messages: a server that is further behind will not catch up
BACKLOG = 1000  # messages that may always be under way


@dataclass(frozen=True, slots=True)
class Plan:
    """One load. Raises BenchError for what is out of bounds, with the bound."""

    port: int = 9999
    dialect: str = OWN
    wire: str = "tcp"
    groups: tuple[Group, ...] = (Group(1, 1000),)  # so many rooms of so many members each, and so on
    mode: str = "paced"
    publishers: int = 0  # in each room, its first members; 0: all who read
    rate: float = 200.0  # messages a second over all, mode paced
    schedule: str = "poisson"
    payload: int = 100  # bytes
    window: int = 64  # messages that each publisher keeps under way, mode flood
    depth: int = 16  # pipelined PINGs of each client, mode pings
    seconds: float = 3.0  # of the window
    warmup: float = 1.0  # seconds before it
    count: int = 0  # mode flood: so many messages, `seconds` at most; 0: as many as go into the window
    seed: int = 1
    timeout: float = 30.0  # seconds: to bring all clients in; for stalled readers to catch up
    drain: float | None = None  # seconds to wait for what is under way after the load; None: `timeout`
    poll_us: int | None = None  # microseconds between two looks, 0: block; None: 50 in mode paced, else 0
    spin: bool = False  # mode paced: look without any pause, so that this core is always equally busy
    outstanding: int = 0  # mode paced: give up when so many messages are under way; 0: two seconds' worth
    admission: bool = False  # connections refused with 101 are counted, not an error
    join: bool = True  # modes pings and idle: enter the rooms
    stalled: int = 0  # the last of all clients do not read until the end
    rcvbuf: int = 0  # bytes of SO_RCVBUF, 0: the kernel's choice
    chunk: int = CHUNK  # bytes of one recv at most
    server_pid: int = 0  # whose CPU seconds are read; 0: nobody's
    room: str = "lobby"  # the room's name; with several, "-0", "-1" ... follow
    prefix: str = "u"  # of the clients' names
    source: str = "127.0.0.1"  # the address that the first 10,000 clients come from, the next for the next

    def __post_init__(self) -> None:
        object.__setattr__(self, "groups", tuple(Group(*group) for group in self.groups))
        for right, rule in self._rules():
            if not right:
                raise BenchError(f"the load is out of bounds: {rule}")

    def _rules(self) -> list[tuple[bool, str]]:
        flood, speak = self.mode == "flood", self.mode in ("flood", "paced")
        least = min((members for _, members in self.groups), default=0)
        return [
            (0 < self.port < 65536, f"port {self.port} is not of 1 to 65535"),
            (self.wire in WIRES, f"wire {self.wire!r} is not one of {', '.join(WIRES)}"),
            (self.mode in MODES, f"mode {self.mode!r} is not one of {', '.join(MODES)}"),
            (self.schedule in SCHEDULES, f"schedule {self.schedule!r} is not one of {', '.join(SCHEDULES)}"),
            (bool(self.groups) and min(map(min, self.groups)) > 0, "groups are rooms and members, 1 or more"),
            (self.clients <= MOST_CLIENTS, f"{self.clients:,} clients are more than {MOST_CLIENTS:,}"),
            (0 <= self.stalled < max(self.clients, 1), "stalled clients are fewer than all"),
            (0 <= self.publishers <= least, f"publishers are 0 to {least}, the members of the smallest room"),
            (
                not (self.stalled and speak and self.publishers)
                or self.publishers <= self.groups[-1].members - self.stalled,
                "publishers are members who read",
            ),
            (
                LEAST_PAYLOAD <= self.payload <= MOST_PAYLOAD,
                f"a payload of {self.payload} bytes is not of {LEAST_PAYLOAD} to {MOST_PAYLOAD:,}",
            ),
            (0 < self.window <= 1024, f"a window of {self.window} is not of 1 to 1024"),
            (
                not flood or self.window * self.speakers <= MOST_FLYING,
                f"{self.speakers:,} windows of {self.window} are more than {MOST_FLYING:,} messages",
            ),
            (0 < self.depth <= 64, f"a depth of {self.depth} is not of 1 to 64"),
            (0 < self.rate <= 1e6, f"a rate of {self.rate:g} messages a second is not of 0 to 1,000,000"),
            (0 < self.seconds <= 600, f"{self.seconds:g} seconds are not of 0 to 600"),
            (0 <= self.warmup <= 60, f"a warm-up of {self.warmup:g} seconds is not of 0 to 60"),
            (0 < self.timeout <= 300, f"a timeout of {self.timeout:g} seconds is not of 0 to 300"),
            (0 < self.draining <= 300, f"a drain of {self.draining:g} seconds is not of 0 to 300"),
            (self.count >= 0, "a count is 0 or more"),
            (0 <= self.polling <= 100_000, "poll_us is 0 to 100,000"),
            (0 <= self.outstanding <= MOST_OUTSTANDING, f"outstanding is 0 to {MOST_OUTSTANDING:,}"),
            (0 < self.chunk <= CHUNK, f"a chunk is 1 to {CHUNK:,} bytes"),
            (0 <= self.rcvbuf <= 1 << 30, "rcvbuf is 0 to 1 GiB"),
            (self.server_pid >= 0, "a pid is 0 or more"),
            (0 <= self.seed < 1 << 64, "a seed is a 64-bit number"),
            (0 < len(self.room.encode()) < 48, "a room's name has 1 to 47 characters"),
            (0 < len(self.prefix.encode()) < 20, "a prefix has 1 to 19 characters"),
            (_loopback(self.source), f"the source {self.source} is not of 127.0.0.0/8"),
            (self.join or not speak, "who does not join does not speak"),
            (
                self.dialect == OWN or (len(self.groups) == 1 and self.groups[0].rooms == 1),
                f"the dialect {self.dialect} knows one room",
            ),
            (self.dialect == OWN or self.mode != "pings", f"the dialect {self.dialect} has no PING"),
        ]

    @property
    def clients(self) -> int:
        """All of them."""
        return sum(rooms * members for rooms, members in self.groups)

    @property
    def speakers(self) -> int:
        """Clients that publish."""
        if self.publishers == 0:
            return self.clients - self.stalled
        return sum(rooms * min(self.publishers, members) for rooms, members in self.groups)

    @property
    def polling(self) -> int:
        """Microseconds between two looks at the sockets under the load, 0: block until something comes."""
        if self.poll_us is not None:
            return self.poll_us
        return POLL_US if self.mode == "paced" else 0

    @property
    def limit(self) -> int:
        """Messages that may be under way before the load is given up."""
        if self.mode != "paced":
            return MOST_OUTSTANDING
        return self.outstanding or min(MOST_OUTSTANDING, int(BACKLOG + BACKLOG_SECONDS * self.rate))

    @property
    def draining(self) -> float:
        """Seconds to wait for what is under way after the load."""
        return self.timeout if self.drain is None else self.drain

    @property
    def longest(self) -> float:
        """Seconds that a run may take, whatever happens, once everybody is in."""
        return self.warmup + self.seconds + 2 * self.draining + self.timeout

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self) | {"groups": [list(group) for group in self.groups]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Plan:
        """From what `to_json` gave. Raises BenchError for what does not fit."""
        if unknown := sorted(set(values) - {field.name for field in fields(cls)}):
            raise BenchError(f"a plan has no {', '.join(unknown)}")
        try:
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise BenchError(f"the plan does not fit: {error}") from error


def _loopback(address: str) -> bool:
    try:
        return IPv4Address(address).is_loopback
    except ValueError:
        return False
