"""A whole server without sockets: hub, engine and broadcaster, a clock turned by hand, clients in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from fastchat.broadcast import Broadcaster, Wire
from fastchat.config import Config, Guests, RoomOptions
from fastchat.engine.base import Engine
from fastchat.engine.memory import MemoryEngine
from fastchat.hub import Hub, Peer, Session
from fastchat.hub.screening import Screening
from fastchat.identity.tokens import Verifier
from fastchat.protocol import codec, jsonwire
from fastchat.protocol.messages import Command, Connect, Error, Gap, Message, Push, Result

START = 1_700_000_000_000  # ms: where the clocks of tests begin


def options(**given: Any) -> Config:
    """Make a configuration: fields of `Config`, and all others as options of all rooms.

    Rate limits are off unless they are asked for: tests say much in little time.
    """
    given.setdefault("rate_limits", False)
    outer = {name: given.pop(name) for name in list(given) if name in Config.__dataclass_fields__}
    return Config(rooms={"default": RoomOptions(**given)}, **{"guests": Guests.ANYONE, **outer})


def frames(wire: Wire, stream: bytes) -> tuple[list[bytes], bytes]:
    """Cut whole payloads off a stream of the server's frames; returns them as msgpack, and the rest."""
    found: list[bytes] = []
    while True:
        size, head = _header(wire, stream)
        if size is None or len(stream) < head + size:
            return found, stream
        payload, stream = stream[head : head + size], stream[head + size :]
        found.append(jsonwire.from_json(payload, codec.PUSH_LIMITS) if wire is Wire.WS_JSON else payload)


def _header(wire: Wire, stream: bytes) -> tuple[int | None, int]:
    if wire is Wire.TCP:
        return (int.from_bytes(stream[:4], "big"), 4) if len(stream) >= 4 else (None, 0)
    if len(stream) < 2:
        return None, 0
    assert stream[0] == (0x82 if wire is Wire.WS else 0x81)
    wide = {126: 2, 127: 8}.get(stream[1], 0)
    if len(stream) < 2 + wide:
        return None, 0
    return (int.from_bytes(stream[2 : 2 + wide], "big") if wide else stream[1]), 2 + wide


class Client:
    """One connection; implements `broadcast.Sink` and `hub.Link`."""

    def __init__(self, stage: Stage, wire: Wire) -> None:
        self.stage = stage
        self.wire = wire
        self.got: list[Push] = []  # everything that arrived, in order
        self.reading = True
        self.code = 0  # of the BYE
        self.pauses: list[int] = []  # ms for which the server would not read from it
        self.open = True
        self._stream = b""
        self._held = b""  # with the transport, until the client reads
        self._ids = 0
        self.outbox = stage.broadcaster.outbox(self, wire)
        self.session: Session = stage.hub.open(self, self.outbox, Peer("127.0.0.1", "tcp", False), stage.now)

    # broadcast.Sink

    def write(self, data: bytes) -> None:
        if not self.reading:
            self._held += data
            self.outbox.pause()
            return
        payloads, self._stream = frames(self.wire, self._stream + data)
        for payload in payloads:
            assert len(payload) <= codec.PUSH_FRAME
            push = codec.decode_push(payload)
            assert push is not None
            self.arrived(push)

    def slow(self) -> None:
        self.outbox.clear()
        self.session.slow(self.stage.now)

    def ended(self) -> None:
        self.close()

    def failed(self, errno: int) -> None:
        self.close()

    # hub.Link

    def bye(self, payload: bytes, code: int) -> None:
        self.code = code
        self.outbox.put(payload)
        self.outbox.end()

    def pause(self, ms: int) -> None:
        self.pauses.append(ms)

    # the client's own

    def arrived(self, push: Push) -> None:
        """Take one push."""
        self.got.append(push)

    def read(self) -> None:
        """Read again after `reading` was False."""
        self.reading = True
        held, self._held = self._held, b""
        self.write(held)
        self.outbox.resume()

    def close(self) -> None:
        """Cut the connection."""
        if self.open:
            self.open = False
            self.outbox.close()
            self.session.lost(self.stage.now)

    def post(self, *commands: Command | bytes) -> None:
        """Send in one go, without waiting for what comes back."""
        payloads = [one if isinstance(one, bytes) else codec.encode_command(one) for one in commands]
        if self.open:
            self.session.receive(payloads, self.stage.now)

    def send(self, *commands: Command | bytes) -> list[Push]:
        """Send in one go; returns what this client gets in return."""
        before = len(self.got)
        self.post(*commands)
        self.stage.flush()
        return self.got[before:]

    def ask(self, make: Callable[..., Command], *arguments: Any, **given: Any) -> Any:
        """Send one command with a new id; returns the body of its RESULT, or its Error."""
        self._ids += 1
        answers = [
            one
            for one in self.send(make(self._ids, *arguments, **given))
            if isinstance(one, Result | Error) and one.id == self._ids
        ]
        assert len(answers) == 1, answers
        return answers[0].body if isinstance(answers[0], Result) else answers[0]

    def connect(self, name: str | None = None, **given: Any) -> Any:
        return self.ask(Connect, name=name, **given)

    def take(self, kind: type[Any]) -> list[Any]:
        """Return what arrived of this kind, and forget it."""
        found = [one for one in self.got if isinstance(one, kind)]
        self.got = [one for one in self.got if not isinstance(one, kind)]
        return found


class Stage:
    """One server and its time."""

    client = Client

    def __init__(
        self,
        config: Config | None = None,
        *,
        engine: Engine | None = None,
        core: type[Broadcaster] = Broadcaster,
        seed: int = 1,
        to_json: Callable[[bytes], bytes] = jsonwire.to_json,
        verifier: Verifier | None = None,
        screening: Screening | None = None,
    ) -> None:
        self.config = config or options()
        self.now = START
        self.faults: list[tuple[str, Exception]] = []
        self.engine = MemoryEngine(self.config, "epoch") if engine is None else engine
        self.broadcaster = core(
            wake=lambda: None,
            to_json=to_json,
            clock=self.clock,
            outbox_bytes=self.config.outbox_bytes,
            total_bytes=self.config.total_bytes,
            batch_bytes=self.config.batch_bytes,
        )
        self.hub = Hub(
            self.config,
            self.engine,
            self.broadcaster,
            Random(seed),
            "node",
            clock=self.clock,
            report=lambda what, fault: self.faults.append((what, fault)),
            verifier=verifier,
            screening=screening,
        )

    def clock(self) -> float:
        return self.now / 1000

    def flush(self) -> None:
        """Let everybody have what waits, whatever its tick."""
        while self.broadcaster.waiting:
            self.broadcaster.flush(self.clock())

    def pass_time(self, ms: int) -> None:
        """Let time pass, in the ticks of a server."""
        end = self.now + ms
        while self.now < end:
            self.now = min(self.now + 100, end)
            self.hub.tick(self.now)
            self.broadcaster.flush(self.clock())
            self.flush()

    def join(self, *names: str, room: str = "lobby", **given: Any) -> list[Any]:
        """Connect clients with these names, members of the room; what they got so far is forgotten."""
        found = []
        for name in names:
            one = self.client(self, Wire.TCP)
            one.connect(name, rooms={room: None}, **given)
            found.append(one)
        self.pass_time(1000)
        for one in found:
            one.got.clear()
        return found

    def new(self, name: str | None = None, wire: Wire = Wire.TCP) -> Any:
        """Make a client, connected if it is given a name."""
        one = self.client(self, wire)
        if name is not None:
            one.connect(name)
            one.got.clear()
        return one


def texts(pushes: Iterable[Push]) -> list[Any]:
    """List the data of messages."""
    return [one.data for one in pushes if isinstance(one, Message)]


def places(pushes: Iterable[Push], room: str) -> list[int]:
    """List the offsets of a room that are told, by messages and by gaps."""
    found: list[int] = []
    for one in pushes:
        if isinstance(one, Message) and one.room == room:
            found.append(one.offset)
        elif isinstance(one, Gap) and one.room == room:
            found.extend(range(one.start, one.end + 1))
    return found
