"""Rooms of durability "power": the order of system calls, as the kernel saw them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import TIMEOUT

COUNT = 5  # messages, one after the other

PROGRAM = """
import os, sys
from pathlib import Path
from queue import SimpleQueue
from fastchat.config import Config, Durability, RoomOptions
from fastchat.engine.memory import MemoryEngine
from fastchat.engine.sqlite import SqliteEngine
from fastchat.engine.store import Store

class Sink:
    def stored(self, ticket, stored):
        os.write(1, b"TOLD %d\\n" % stored.offset)

config = Config(rooms={"default": RoomOptions(durability=Durability(sys.argv[2]))})
posted = SimpleQueue()
store = Store(Path(sys.argv[1]) / "fastchat.db", config, "boot", lambda: "epoch")
engine = SqliteEngine(config, MemoryEngine(config, "m"), store, posted.put)
engine.start()
engine.attach(Sink())
engine.hold("room")
for number in range(int(sys.argv[3])):
    engine.append("room", "ada", "g:1", b"\\xa1x", b"\\x80", ("ada", str(number)), 0, True, 1000, number)
    posted.get()()
os.write(1, b"TOLD END\\n")
engine.close()
"""


def calls(folder: Path, durability: str) -> list[str]:
    """Run it under strace; returns what was synced and told, in order, up to the end."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("there is no strace here")
    trace = folder / "trace"
    traced = "--trace=write,pwrite64,fsync,fdatasync"
    command = [strace, "-f", "-y", traced, "-o", str(trace), sys.executable, "-c", PROGRAM]
    done = subprocess.run(
        [*command, str(folder), durability, str(COUNT)], capture_output=True, text=True, timeout=TIMEOUT
    )
    if "PTRACE" in done.stderr or "Operation not permitted" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    found = []
    for line in trace.read_text().splitlines():
        told = re.search(r'write\(.*"TOLD (\w+)', line)
        if told:
            found.append(f"told {told[1]}")
        elif re.search(r"(fsync|fdatasync)\(\d+<[^>]*-wal>\) += 0", line):
            found.append("synced")
        elif re.search(r"(fsync|fdatasync) resumed>.*= 0", line):
            found.append("synced")
        elif re.search(r"pwrite64\(\d+<[^>]*-wal>", line):
            found.append("written")
    return found[: found.index("told END")]


def between(found: list[str], number: int) -> list[str]:
    """What happened from when one message was told until the next was."""
    return found[found.index(f"told {number}") + 1 : found.index(f"told {number + 1}")]


def test_a_message_is_on_the_disk_before_it_is_told(tmp_path: Path) -> None:
    found = calls(tmp_path, "power")
    for number in range(1, COUNT):
        step = between(found, number)
        assert "written" in step and step[-1] == "synced", step


def test_a_message_is_with_the_kernel_before_it_is_told(tmp_path: Path) -> None:
    """And the trace does see what is not synced."""
    found = calls(tmp_path, "process")
    for number in range(1, COUNT):
        step = between(found, number)
        assert "written" in step and "synced" not in step, step
