"""Measure what presence costs: a room of 10,000 with 1,000 joins and 1,000 leaves a second, watched and not.

    python -m benchmarks.bench_presence [--members N] [--rate N] [--seconds S] [--rounds N] [--out FILE]

The same members of the same server ask for presence and ask for none, in turns; between the turns only that
differs. What presence costs is the difference, as a part of all CPU seconds that the server takes then.
Exit status: 0 the target is met, 1 it is not, 2 it could not be measured.
"""

from __future__ import annotations

import argparse
import resource
import select
import socket
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import results
from benchmarks.programs import BenchError, Cores, Running, running
from fastchat.bench.results import Record
from fastchat.protocol.codec import PUSH_LIMITS, decode_push, encode_command
from fastchat.protocol.framing import tcp_frame
from fastchat.protocol.messages import Command, Connect, Join, Leave, PresencePush, Result

COMMAND = "python -m benchmarks.bench_presence"
ROOM = "hall"
TARGET = 0.2  # most that presence may cost: a fifth of the CPU
KEPT = 0.95  # of the joins that are due: a turn with fewer was not what is claimed
TURN = 0.01  # seconds between two lots of joins and leaves
REST = 1.0  # seconds after all have changed their minds, before it counts
PATIENCE = 30.0  # seconds for an answer
SPARE = 200  # descriptors for everything else


class Client:
    """A connection that speaks and waits, and keeps what was pushed meanwhile."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pushes: list[PresencePush] = []
        self._rest = b""
        self._ids = 0

    def say(self, make: Any, *arguments: Any, **given: Any) -> None:
        self._ids += 1
        command: Command = make(self._ids, *arguments, **given)
        self.sock.sendall(tcp_frame(encode_command(command)))

    def hear(self) -> None:
        """Read until the last command is answered."""
        answered = -1
        while answered < self._ids:
            data = self.sock.recv(1 << 16)
            if not data:
                raise BenchError("the server has ended a connection")
            answered = max(answered, self._take(data))

    def _take(self, data: bytes) -> int:
        """Note the frames in what came; returns the last id that was answered, -1 for none."""
        stream, at, answered = self._rest + data, 0, -1
        while len(stream) - at >= 4:
            end = at + 4 + int.from_bytes(stream[at : at + 4], "big")
            if len(stream) < end:
                break
            push = decode_push(stream[at + 4 : end], PUSH_LIMITS)
            if isinstance(push, Result):
                answered = push.id
            elif isinstance(push, PresencePush):
                self.pushes.append(push)
            else:
                raise BenchError(f"unexpected: {push}")
            at = end
        self._rest = stream[at:]
        return answered


class Hall:
    """The room: members who stay, and a crowd that comes and goes."""

    def __init__(self, port: int, members: int, rate: int) -> None:
        self.rate = rate
        self.members = [self._client(port, {ROOM: None}) for _ in range(members)]
        # in one turn a lot comes and another goes, so each has gone for a turn before it comes back
        self.lots = [[self._client(port, {}) for _ in range(max(1, round(rate * TURN)))] for _ in range(2)]

    def _client(self, port: int, rooms: dict[str, Any]) -> Client:
        client = Client(port)
        client.say(Connect, rooms=rooms)
        client.hear()
        return client

    def watch(self, on: bool) -> None:
        """All members want presence, or none does."""
        for begin in range(0, len(self.members), 500):
            some = self.members[begin : begin + 500]
            for client in some:
                client.say(Join, ROOM, presence=on)
            for client in some:
                client.hear()
                client.pushes.clear()

    def churn(self, seconds: float, on: bool) -> tuple[int, float]:
        """Come and go for so long; returns how many came, and the seconds it took."""
        begun = time.monotonic()
        came = turn = 0
        while (now := time.monotonic()) < begun + seconds:
            due = begun + turn * TURN
            if now < due:
                select.select([], [], [], due - now)
                continue
            coming, going = self.lots[turn % 2], self.lots[1 - turn % 2]
            for client in going if turn else ():
                client.hear()
                client.say(Leave, ROOM)
            for client in coming:
                if turn > 1:
                    client.hear()
                client.say(Join, ROOM, presence=on)
            came += len(coming)
            turn += 1
        took = time.monotonic() - begun
        for client in self.lots[(turn - 1) % 2]:
            client.hear()
            client.say(Leave, ROOM)
        for lot in self.lots:
            for client in lot:
                client.hear()
        return came, took

    def told(self) -> int:
        """How many pushes one member has got; raises BenchError if the last one tells another number."""
        witness = self.members[0]
        deadline = time.monotonic() + PATIENCE
        while not witness.pushes or witness.pushes[-1].members != len(self.members):
            if not select.select([witness.sock], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise BenchError(f"the last count told is wrong: {witness.pushes[-1:]}")
            witness._take(witness.sock.recv(1 << 16))
        return len(witness.pushes)


def measure(hall: Hall, server: Running, seconds: float, on: bool) -> dict[str, Any]:
    """One turn: the server's CPU seconds while the crowd comes and goes."""
    hall.watch(on)
    time.sleep(REST)
    before = server.cpu_seconds()
    came, took = hall.churn(seconds, on)
    spent = server.cpu_seconds() - before
    return {
        "watched": on,
        "seconds": round(took, 3),
        "server_cpu": round(spent, 3),
        "joins": came,
        "behind": came < KEPT * hall.rate * took,
        "pushes": hall.told() if on else 0,
    }


def judge(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """What presence costs, from each pair of turns; the medians."""
    pairs = zip(samples[::2], samples[1::2], strict=False)
    shares = [(on["server_cpu"] / on["seconds"], off["server_cpu"] / off["seconds"]) for off, on in pairs]
    parts = [1 - off / on for on, off in shares]
    return {
        "part": round(statistics.median(parts), 4),
        "low": round(min(parts), 4),
        "high": round(max(parts), 4),
        "core": round(statistics.median(on - off for on, off in shares), 4),
        "behind": sum(sample["behind"] for sample in samples),
        "target": TARGET,
        "met": statistics.median(parts) <= TARGET and not any(sample["behind"] for sample in samples),
    }


def run(options: argparse.Namespace, cores: Cores, record: Record) -> dict[str, Any]:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < options.members + 2 * options.rate * TURN + SPARE:
        raise BenchError(f"{options.members} members need more descriptors than {hard} (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with running("fastchat", cores) as server:
        hall = Hall(server.port, options.members, options.rate)
        hall.churn(1.0, False)  # warm
        for number in range(2 * options.rounds):
            sample = measure(hall, server, options.seconds, on=bool(number % 2))
            record.add(sample)
            what = "watched" if sample["watched"] else "not watched"
            share = sample["server_cpu"] / sample["seconds"]
            said = f"  {what:<12} {share:6.1%} of a core, {sample['pushes']} pushes"
            said += ", BEHIND" * sample["behind"]
            print(said, file=sys.stderr, flush=True)
        for client in [*hall.members, *hall.lots[0], *hall.lots[1]]:
            client.sock.close()
    verdict = judge(record.samples)
    record.put(verdict=verdict)
    return verdict


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--members", type=int, default=10_000)
    parser.add_argument("--rate", type=int, default=1000, help="joins, and as many leaves, a second")
    parser.add_argument("--seconds", type=float, default=8.0, help="of one turn")
    parser.add_argument("--rounds", type=int, default=4, help="of two turns each")
    parser.add_argument("--out", type=Path, help="else bench_results/presence.json for a full run")
    options = parser.parse_args(arguments)
    usual = all(getattr(options, name) == parser.get_default(name) for name in ("members", "rate", "seconds"))
    cores = Cores.choose()
    settings = {name: getattr(options, name) for name in ("members", "rate", "seconds", "rounds")}
    settings["pinned"] = cores.server is not None
    words = " ".join([COMMAND, *(sys.argv[1:] if arguments is None else arguments)])
    out = options.out or (results.FOLDER / "presence.json" if usual and options.rounds >= 4 else None)
    document = results.document("presence", words, settings)
    del document["scenarios"]
    try:
        verdict = run(options, cores, Record(document, out))
    except (BenchError, OSError) as error:
        print(f"bench_presence: {error}", file=sys.stderr)
        return 2
    print(
        f"presence takes {verdict['part']:.1%} of the CPU ({verdict['low']:.1%} to {verdict['high']:.1%}),"
        f" {verdict['core']:.2%} of a core, {verdict['behind']} turns behind;"
        f" target {TARGET:.0%}: {'met' if verdict['met'] else 'MISSED'}"
    )
    return 0 if verdict["met"] else 1


if __name__ == "__main__":
    sys.exit(main())
