"""Servers as processes: they come up or say why not, are watched, and end with whoever started them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from fastchat.bench import processes
from fastchat.bench.failure import BenchError
from fastchat.bench.processes import Cores, Place, attached, free_port, listener, running
from fastchat.bench.targets import Target

PLACE = Place(Cores(None, None), {"PATH": os.environ["PATH"], "FASTCHAT_PORT": "1", "KEPT": "yes"})

# A server of a few lines: accepts, prints its environment and arguments, and does as it is told.
PROGRAM = """
import os, resource, socket, sys
print(sorted(name for name in os.environ if name.startswith("FASTCHAT_") or name == "KEPT"), *sys.argv[2:])
print("descriptors", resource.getrlimit(resource.RLIMIT_NOFILE)[0], flush=True)
if sys.argv[2:] == ["--refuse"]:
    sys.exit("no, thank you")
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    listener.accept()
"""
SERVER = Target("tiny", ("{python}", "-c", PROGRAM, "{port}"))


def test_a_server_is_watched_from_outside() -> None:
    with running(SERVER, PLACE) as server:
        assert server.alive() and server.fate() == ""
        assert 0 < server.cpu_seconds() < 20
        assert server.resident() > 1 << 20
        assert server.threads() == 1
        assert listener(server.port) == server.pid
    assert not server.alive()


def test_it_gets_no_settings_of_ours_but_those_asked_for_and_all_descriptors() -> None:
    with running(SERVER, PLACE, {"FASTCHAT_SNDBUF": "8192"}, ["--x"]) as server:
        said = server.words()
    assert "['FASTCHAT_SNDBUF', 'KEPT'] --x" in said
    assert f"descriptors {processes.resource.getrlimit(processes.resource.RLIMIT_NOFILE)[1]}" in said


def test_one_that_does_not_start_is_told_with_its_last_words() -> None:
    with pytest.raises(BenchError, match=r"did not start: tiny ended with 1:\n(.|\n)*no, thank you"):
        with running(SERVER, PLACE, arguments=["--refuse"]):
            raise AssertionError("it runs")
    with pytest.raises(BenchError, match="ghost cannot be started: No such file"):
        with running(Target("ghost", ("/no/such/program", "{port}")), PLACE):
            raise AssertionError("it runs")


def test_one_that_does_not_listen_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "START_SECONDS", 0.1)
    deaf = replace(SERVER, name="deaf", command=("{python}", "-c", "import time; time.sleep(9)"))
    with pytest.raises(BenchError, match="deaf does not accept on port"):
        with running(deaf, PLACE):
            raise AssertionError("it runs")


def test_one_that_was_killed_is_told_and_has_no_clock() -> None:
    with running(SERVER, PLACE) as server:
        assert server.process is not None
        server.process.kill()
        server.process.wait()
        assert "tiny was killed by SIGKILL" in server.fate()
        with pytest.raises(BenchError, match="is gone"):
            server.cpu_seconds()
        assert (server.resident(), server.threads()) == (0, 0)


def test_it_dies_with_whoever_started_it() -> None:
    starter = (
        "import os, sys\n"
        "from fastchat.bench.processes import *\n"
        "from tests.bench.test_processes import PLACE, SERVER\n"
        "with running(SERVER, PLACE) as server:\n"
        "    print(server.pid, flush=True)\n"
        "    os._exit(9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", starter], capture_output=True, text=True, timeout=30, cwd=processes.ROOT
    )
    assert done.returncode == 9, done.stderr
    pid = int(done.stdout)
    for _ in range(200):
        if not processes.lives(pid):
            return
        time.sleep(0.01)
    raise AssertionError(f"{pid} still runs")


def test_a_server_of_somebody_else_is_found_by_its_port() -> None:
    with running(SERVER, PLACE) as server:
        found = attached(server.port)
        assert (found.pid, found.port) == (server.pid, server.port)
        assert found.alive() and found.words() == "" and found.cpu_seconds() > 0
        found.stop()  # is not ours to stop
        assert server.alive()
    assert not found.alive() and "ended" in found.fate()


def test_a_refused_port_is_told() -> None:
    with pytest.raises(BenchError, match=r"nobody accepts .*fastchat serve --port"):
        attached(free_port())


def test_cores_are_told_apart_where_there_are_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 3, 5})
    assert Cores.choose() == Cores(server=5, generator=0) and Cores.choose().pinned
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {2})
    assert Cores.choose() == Cores(None, None) and not Cores.choose().pinned
