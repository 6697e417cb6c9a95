"""Every setting of the server, frozen, with its unit and default.

Reading files, environment and flags into a `Config` is in `settings`; nothing below `server` reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

KIB = 1024
MIB = 1024 * KIB


class Policy(Enum):
    """What happens to a slow consumer of a room once its outbox is over its limit."""

    DISCONNECT = "disconnect"  # BYE 405
    DROP = "drop"  # the oldest messages of the room go, announced by GAP
    LATEST = "latest"  # only the newest message of the room waits, the rest is announced by GAP


class Guests(Enum):
    """Who may come in without a token."""

    LOCAL = "local"  # who connects from this machine: loopback and the Unix socket
    ANYONE = "anyone"
    NOBODY = "nobody"


class Durability(Enum):
    """What a stored message outlives once its publisher has the result; the engine "memory" knows one."""

    MEMORY = "memory"  # it is in the server's memory: nothing waits, nothing survives a restart
    PROCESS = "process"  # the kernel has it: it survives the death of the server
    POWER = "power"  # the disk has it: it survives the loss of power


class HookFailure(Enum):
    """What becomes of a message that the hook has failed to judge."""

    ALLOW = "allow"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class RoomOptions:
    """Options of the rooms of one namespace (the part of a room's name before the first ':')."""

    history: int = 1000  # messages kept per room
    history_bytes: int = 4 * MIB  # bytes of messages kept per room
    history_seconds: int = 3600  # an empty room's history is kept this long, where it is in memory only
    history_age_seconds: int = 0  # messages older than this are forgotten; 0: none for its age
    durability: Durability = Durability.PROCESS
    members: int = 0  # most members, 0 for no limit of its own
    closed: bool = False  # only those may enter to whom a token names the room
    policy: Policy = Policy.DISCONNECT
    coalesce_ms: int = 0  # a fixed tick for games; 0: as soon as the loop iteration ends
    radius: float = 0.0  # members hear only who is within it, by the places they tell; 0: everybody
    presence_members: int = 500  # above this many members only the count is kept up to date
    presence_ms: int = 200  # presence changes are gathered this long before they are pushed
    rate: float = 5.0  # messages a second that one user may send to all these rooms together; 0: no limit
    burst: int = 10  # of them at once
    rate_bytes: int = 16 * KIB  # bytes a second in these messages; at once twice that; 0: no limit
    state_rate: float = 20.0  # states and read marks a second, those of two seconds at once; 0: no limit
    filter: str = ""  # a file of words that are not to be said; "": none
    use_hook: bool = True  # whether the server's hook judges their messages


@dataclass(frozen=True, slots=True)
class Config:
    """One server's settings."""

    # where it listens
    host: str = "127.0.0.1"
    port: int = 9999  # 0 lets the kernel choose
    unix: str | None = None  # path of a Unix socket, beside or instead of the port
    tls_cert: str | None = None  # PEM file
    tls_key: str | None = None  # PEM file
    allow_insecure_bind: bool = False  # a public address without authentication and TLS
    origins: tuple[str, ...] = ()  # browser origins allowed besides pages of ours at an address; "*" for any
    backlog: int = 4096  # connections the kernel may hold for us: 5,000 at once took 1.7 s with 100
    node: str = ""  # this server's name in CONNECT results; empty: one is made at start

    # who may come in
    guests: Guests = Guests.LOCAL
    token_algorithm: str = ""  # "HS256", "EdDSA", "RS256" or "ES256"; "": no tokens
    token_keys: tuple[str, ...] = ()  # files, each as PATH or KID=PATH: public keys, or secrets for HS256
    token_jwks: str | None = None  # a file of public keys (RFC 7517)
    token_audience: str = "fastchat"  # what a token's `aud` must name
    token_issuer: str = ""  # what a token's `iss` must be; "": anything
    token_max_seconds: int = 3600  # a token may last this long

    # connections
    max_connections: int = 0  # 0: as many as RLIMIT_NOFILE leaves room for
    connections_per_address: int = 256
    exempt_addresses: tuple[str, ...] = ("127.0.0.0/8", "::1/128")  # from connections_per_address
    connect_seconds: float = 10.0  # from accept to CONNECT
    ping_ms: int = 25_000  # silence after which the server sends PING; after twice that BYE 406
    linger_seconds: float = 2.0  # how long a closing connection may take the rest

    # what a client may send
    max_frame: int = 16 * KIB  # bytes: a long chat line; media go over HTTP
    max_depth: int = 32  # nesting of a msgpack value
    max_elements: int = 4096  # elements in one frame, all levels together
    max_rooms: int = 100  # rooms a session may be in
    rate_limits: bool = True  # False is for laboratories (`--limits off`)
    join_rate: float = 10.0  # rooms a second that one user may join; 0: no limit
    join_burst: int = 200  # ... at once: all rooms, and all of them again after the line broke
    read_rate: int = 1 * MIB  # bytes a second of history and member lists for one user; 0: no limit
    read_burst: int = 8 * MIB  # ... at once

    # what waits for a client
    outbox_bytes: int = 1 * MIB  # per connection
    total_bytes: int = 256 * MIB  # over all connections, shared frames counted once
    batch_bytes: int = 512 * KIB  # of one room between two flushes; beyond it PUBLISH gets 101
    sndbuf: int = 128 * KIB  # SO_SNDBUF, or a stalled reader hides megabytes in the kernel
    notsent_lowat: int = 64 * KIB  # TCP_NOTSENT_LOWAT

    # the flush
    backend: str = "raw"  # "raw": send on the descriptor; "transport": the transport's own write
    flush_budget_ms: float = 2.0  # the flush may hold back this long when messages come fast; 0: never
    flush_sends: int = 512  # descriptors served before the loop gets its turn
    flush_ms: float = 2.0  # ... or time spent

    # how much load is let in
    latency_limit_ms: float = 100.0  # p99 of deliveries that is still good enough: capacity is counted at it
    admission: bool = True  # refuse (101) what is more than the server can do within that limit
    connect_utilisation: float = 0.9  # of the capacity in use, above which new connections are refused
    publish_utilisation: float = 0.97  # ... and above which surplus messages are
    reserved_addresses: tuple[str, ...] = ()  # networks whose connections are never refused for load

    # rooms
    rooms: Mapping[str, RoomOptions] = field(default_factory=lambda: {"default": RoomOptions()})
    history_total_bytes: int = 256 * MIB  # messages kept over all rooms
    idempotency_seconds: int = 300  # a key is remembered this long at least
    idempotency_bytes: int = 256 * MIB  # keys kept over all rooms: 932,000; more get 101

    # what outlives the process
    engine: str = ""  # "memory" or "sqlite"; "": memory in a program of yours, sqlite in `fastchat serve`
    data: str = "fastchat-data"  # the folder of what is kept
    store_queue_bytes: int = 16 * MIB  # may wait for the store; beyond it PUBLISH gets 101

    # who judges messages
    hook: str = ""  # a coroutine function, as MODULE:FUNCTION; "": none
    hook_seconds: float = 1.0  # it may take this long for a message
    hook_failure: HookFailure = HookFailure.ALLOW

    drain_seconds: float = 10.0  # how long SIGTERM or Ctrl-C may take

    def namespace(self, room: str) -> str:
        """The namespace whose options hold in the room: its own, or "default"."""
        name, colon, _ = room.partition(":")
        return name if colon and name in self.rooms else "default"

    def room(self, name: str) -> RoomOptions:
        """The options of the room's namespace, or those of "default"."""
        return self.rooms.get(self.namespace(name), DEFAULT_ROOM)


DEFAULT_ROOM = RoomOptions()
