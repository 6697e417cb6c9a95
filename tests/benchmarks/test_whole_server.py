"""The scenarios of the whole server, small: what they must show is shown in seconds."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from benchmarks.bench_server import measure
from benchmarks.figures import Case
from benchmarks.load import Options, Sample, drive
from benchmarks.programs import BenchError, Cores, Running, running

SMALL_BUFFERS = {"FASTCHAT_SNDBUF": "8192", "FASTCHAT_NOTSENT_LOWAT": "4096"}


def clean(sample: Sample) -> bool:
    return sample["first_error"] == "" and set(sample["errors"].values()) == {0}


@pytest.mark.parametrize("wire", ["tcp", "ws"])
def test_nothing_is_lost_where_the_kernel_takes_only_parts(cores: Cores, wire: str) -> None:
    load: Options = {
        "mode": "flood",
        "wire": wire,
        "members": 40,
        "count": 300,
        "payload": 3000,
        "rcvbuf": 8192,
    }
    load = {**load, "warmup": 0, "chunk": 3000}
    case = Case("bad kernel", "fastchat", load, SMALL_BUFFERS, faults=True)
    sample = measure(case, cores, seed=7)
    assert clean(sample), sample["first_error"]
    assert sample["deliveries"] == 40 * 300
    assert sample["faults"]["partial"] > 100 and sample["faults"]["refused"] > 100


@pytest.mark.parametrize("policy", ["disconnect", "drop", "latest"])
def test_who_does_not_read_is_cut_or_told_of_gaps_and_nobody_else_notices(cores: Cores, policy: str) -> None:
    load: Options = {
        "mode": "paced", "members": 20, "stalled": 4, "payload": 8000, "rate": 300, "seconds": 1, "warmup": 0,
        "timeout": 5,
    }  # fmt: skip
    settings = SMALL_BUFFERS | {"FASTCHAT_LINGER_SECONDS": "0.1"}
    case = Case(policy, "fastchat", load, settings, rooms=f'[rooms.default]\npolicy = "{policy}"\n')
    sample = measure(case, cores, seed=1)
    assert clean(sample), sample["first_error"]
    assert sample["stalled"]["cut"] == (4 if policy == "disconnect" else 0)
    assert (sample["stalled"]["gaps"] >= 4) == (policy != "disconnect")
    assert sample["stalled"]["most_bytes"] < 1.25 * 1024**2  # its outbox, and the kernel's buffers


def kill_once_busy(server: Running) -> None:
    """Kill a server that has used 0.1 s of CPU: connecting is over by then, the load is not."""
    ticks = 0
    while ticks < 10:
        fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])
    server.process.kill()


def test_a_server_that_dies_under_the_load_is_told(cores: Cores) -> None:
    with running("reference", cores) as server:
        killer = threading.Thread(target=kill_once_busy, args=(server,))
        killer.start()
        with pytest.raises(BenchError, match="died in the middle"):
            drive(server, cores, {"members": 10, "seconds": 20, "warmup": 0}, settle=0)
        killer.join()
