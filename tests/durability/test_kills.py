"""kill -9 in small, and proof that a store that loses is caught."""

from __future__ import annotations

import asyncio
import random
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from fastchat.engine.schema import FILE
from tests.durability.kills import Kills
from tests.durability.ledger import Ledger
from tests.durability.process import ServerProcess, storing
from tests.server.wire import MESSAGE, PUBLISH, RESULT, Peer

SEEDS = random.SystemRandom()


Tamper = Callable[[Path], None]


def killed(data: Path, kills: int, publishes: int, durability: str, tamper: Tamper | None = None) -> Ledger:
    seed = SEEDS.randrange(2**32)
    print(f"--kills {kills} --publishes {publishes} --durability {durability} --seed {seed}")
    run = Kills(data, kills=kills, publishes=publishes, seed=seed, durability=durability, tamper=tamper)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run.run())
    return run.ledger


@pytest.mark.parametrize("kills, durability", [(7, "process"), (3, "power")])
def test_no_kill_loses_doubles_or_moves_a_message(tmp_path: Path, kills: int, durability: str) -> None:
    ledger = killed(tmp_path / "data", kills, 100 * kills, durability)
    assert ledger.faults == []
    assert ledger.seen["kills"] >= kills and ledger.seen["stored"] == 100 * kills
    assert ledger.seen["sent again"] > 0  # some were under way
    assert ledger.seen["recovered"] >= 8


def test_a_store_that_forgets_is_caught(tmp_path: Path) -> None:
    ledger = killed(tmp_path / "data", 1, 300, "memory")
    assert any(fault.startswith("lost:") for fault in ledger.faults)
    assert any("was not recovered" in fault for fault in ledger.faults)


def changed(folder: Path, *statements: str) -> None:
    """Change a store behind its server's back."""
    database = sqlite3.connect(folder / FILE, isolation_level=None)
    for statement in statements:
        database.execute(statement)
    database.close()


def double_the_newest(folder: Path) -> None:
    """What a store would look like that does not know a key again."""
    columns = "ts, user, author, data, opts, expires, target"
    changed(
        folder,
        f"INSERT INTO messages (room, offset, {columns}) SELECT room, offset + 1, {columns} FROM messages"
        " WHERE offset = (SELECT head FROM rooms WHERE id = room)",
        "UPDATE rooms SET head = head + 1",
    )


def begin_again(folder: Path) -> None:
    """What a store would look like that forgets and does not say so by another epoch."""
    changed(folder, "DELETE FROM messages", "DELETE FROM keys", "UPDATE rooms SET head = 0, oldest = 1")


def skip_some(folder: Path) -> None:
    changed(folder, "UPDATE rooms SET head = head + 3, oldest = head + 4")


@pytest.mark.parametrize(
    "tamper, says",
    [
        (double_the_newest, "duplicated"),
        (begin_again, "offset reused|was not recovered"),
        (skip_some, "not contiguous|was not recovered"),
    ],
    ids=["the newest stands twice", "offsets begin again", "offsets are skipped"],
)
def test_a_fault_in_the_store_is_caught(tmp_path: Path, tamper: Tamper, says: str) -> None:
    ledger = killed(tmp_path / "data", 1, 300, "process", tamper)
    assert any(re.search(says, fault) for fault in ledger.faults), ledger.faults[:5]


NEEDLE = "needle-in-a-haystack"
ID = 0x7A7A7A7A  # "zzzz" on the wire
CALLS = "trace=pwrite64,fdatasync,fsync,sendto,sendmsg,write,writev"


def traced(path: Path, durability: str) -> list[str]:
    """The system calls of a server that is told one message; each line where the call had returned."""
    strace = ("strace", "-D", "-f", "-s", "65536", "-e", CALLS, "-o", str(path))
    data = path.with_name(durability)
    server = ServerProcess(*storing(data, "--room", f"live.durability={durability}"), under=strace)

    async def converse() -> None:
        await server.start()
        try:
            peers = [Peer(*await asyncio.open_connection("127.0.0.1", await server.up())) for _ in range(2)]
            for name, peer in zip(("mouth", "ear"), peers, strict=True):
                await peer.connect(name)
                await peer.join("live:room")
            peers[0].send(PUBLISH, ID, "live:room", NEEDLE, {"echo": False})
            answer = await peers[0].until(RESULT)
            assert answer[1] == ID
            await peers[1].until(MESSAGE)
            for peer in peers:
                await peer.close()
        finally:
            await server.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(converse())
    begun: dict[str, str] = {}  # a call of a thread that had not returned when another thread made one
    done = []
    for line in path.read_text(errors="replace").splitlines():
        thread, _, call = line.partition(" ")
        if call.endswith("<unfinished ...>"):
            begun[thread] = call
        elif resumed := re.search(r"<\.\.\. \w+ resumed>", call):
            done.append(begun.pop(thread, "") + call[resumed.end() :])
        else:
            done.append(call.strip())
    return done


def first(calls: list[str], *patterns: str, after: int = -1) -> int:
    for place, call in enumerate(calls):
        if place > after and all(re.search(pattern, call) for pattern in patterns):
            return place
    raise AssertionError(f"no {patterns} after {after} in:\n" + "\n".join(call[:150] for call in calls))


def can_trace() -> bool:
    strace = shutil.which("strace")
    return strace is not None and subprocess.run([strace, "-o", "/dev/null", "true"]).returncode == 0


@pytest.mark.skipif(not can_trace(), reason="strace is not here, or may not trace")
@pytest.mark.parametrize("durability", ["process", "power"])
def test_the_message_is_stored_before_anybody_hears_of_it(tmp_path: Path, durability: str) -> None:
    calls = traced(tmp_path / "calls", durability)
    stored = first(calls, r"^pwrite64\(", NEEDLE, r"= \d+")
    if durability == "power":
        stored = first(calls, r"^(fdatasync|fsync)\(", r"= 0$", after=stored)
    told = first(calls, r"^(sendto|sendmsg|write|writev)\(", NEEDLE)
    acknowledged = first(calls, r"^(sendto|sendmsg|write|writev)\(", r"@\\316zzzz")
    assert stored < min(told, acknowledged), "\n".join(call[:150] for call in calls[stored - 20 : stored + 1])
