"""Start servers as processes of their own, watch what they use, and end them by their pid.

Invariant: server and generator run on different cores where there are two, and whatever is started here
dies with this process.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fastchat.bench.failure import BenchError
from fastchat.bench.machine import ROOT
from fastchat.bench.targets import Target

PORTS = range(20_000, 30_000)  # below the kernel's range for outgoing connections: 10,000 of them take many
START_SECONDS = 20.0  # a server must accept within this time
STOP_SECONDS = 3.0  # from SIGTERM to SIGKILL
PR_SET_PDEATHSIG = 1  # prctl(2)
DISTURBED = "one core only: server and generator share it and disturb each other"

libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Cores:
    """Where server and generator run; None: no choice on this machine."""

    server: int | None
    generator: int | None

    @classmethod
    def choose(cls) -> Cores:
        allowed = sorted(os.sched_getaffinity(0))
        return cls(allowed[-1], allowed[0]) if len(allowed) > 1 else cls(None, None)

    @property
    def pinned(self) -> bool:
        """Server and generator have a core each."""
        return self.server is not None


@dataclass(frozen=True, slots=True)
class Place:
    """The cores and the environment that servers are started with."""

    cores: Cores
    environ: Mapping[str, str] = field(default_factory=dict)

    def environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        """The environment without fastchat's own settings, and those asked for."""
        clean = {name: value for name, value in self.environ.items() if not name.startswith("FASTCHAT_")}
        return clean | dict(settings)


def prepare(core: int | None) -> None:
    """In the child, before its program starts: its core, its descriptors, its end should this process die."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def free_port() -> int:
    """A port nobody listens on, outside the range of outgoing connections."""
    start = os.getpid() * 7 + time.monotonic_ns() // 1000
    for i in range(len(PORTS)):
        port = PORTS[(start + i) % len(PORTS)]
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise BenchError("no free port between 20000 and 30000")


def cpu_seconds(pid: int) -> float:
    """CPU seconds of a process, all its threads, to the nanosecond. Raises BenchError if it is gone."""
    try:
        return time.clock_gettime((~pid << 3) | 2)  # clock_getcpuclockid(3)
    except OSError as error:
        raise BenchError(f"the server (pid {pid}) is gone") from error


def status(pid: int, name: str) -> int:
    """A number of /proc/PID/status: VmRSS in KiB, Threads. 0 if the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    line = next((line for line in lines if line.startswith(name + ":")), "")
    return int(line.split()[1]) if line else 0


def lives(pid: int) -> bool:
    """Whether a process runs: one that ended but was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@dataclass(slots=True)
class Running:
    """A server that accepts connections; `process` is None if somebody else started it."""

    name: str
    pid: int  # 0: not known
    port: int
    process: subprocess.Popen[bytes] | None = None
    log: Path | None = None

    def alive(self) -> bool:
        if self.process is not None:
            return self.process.poll() is None
        return not self.pid or lives(self.pid)

    def cpu_seconds(self) -> float:
        """CPU seconds of all its threads; 0 where its pid is not known. Raises BenchError if it is gone."""
        return cpu_seconds(self.pid) if self.pid else 0.0

    def resident(self) -> int:
        """Resident memory in bytes, shared pages included; 0 where it is not known."""
        return status(self.pid, "VmRSS") * 1024 if self.pid else 0

    def threads(self) -> int:
        return status(self.pid, "Threads") if self.pid else 0

    def words(self) -> str:
        """The end of what it printed."""
        return self.log.read_text(errors="replace")[-2000:].strip() if self.log else ""

    def fate(self, patience: float = 0.0) -> str:
        """How it ended, with its last words; "" if it runs, after waiting so many seconds for its end."""
        deadline = time.monotonic() + patience
        while self.alive():
            if time.monotonic() >= deadline:
                return ""
            time.sleep(0.01)
        code = self.process.returncode if self.process else None
        if code is None:
            return f"{self.name} (pid {self.pid}) ended"
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        return f"{self.name} {how}:\n{self.words() or '(it said nothing)'}"

    def stop(self) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def running(
    target: Target, place: Place, settings: Mapping[str, str] | None = None, arguments: Sequence[str] = ()
) -> Iterator[Running]:
    """A server from when it accepts until the block is left. Raises BenchError if it does not come up."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="fastchat-bench-") as folder:
        known = {"port": str(port), "folder": folder, "python": sys.executable}
        log = Path(folder) / "log"
        with log.open("wb") as output:
            try:
                process = subprocess.Popen(
                    [*target.words(known), *arguments],
                    stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                    cwd=target.folder or ROOT, env=place.environment({**target.settings, **(settings or {})}),
                    preexec_fn=lambda: prepare(place.cores.server),
                    start_new_session=True,  # Ctrl-C is for us: we end it in good order
                )  # fmt: skip
            except OSError as error:
                raise BenchError(f"{target.name} cannot be started: {error.strerror or error}") from error
        instance = Running(target.name, process.pid, port, process, log)
        try:
            await_start(instance)
            yield instance
        finally:
            instance.stop()


def await_start(instance: Running) -> None:
    """Return once it accepts. Raises BenchError with its last words if it ends, or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while not accepts(instance.port):
        if not instance.alive():
            raise BenchError(f"it did not start: {instance.fate()}")
        if time.monotonic() > deadline:
            said = instance.words() or "(it said nothing)"
            raise BenchError(f"{instance.name} does not accept on port {instance.port}:\n{said}")
        time.sleep(0.02)


def attached(port: int) -> Running:
    """A server that somebody else started on 127.0.0.1. Raises BenchError if nobody accepts there."""
    if not accepts(port):
        raise BenchError(
            f"nobody accepts connections on 127.0.0.1:{port}: start a server there (fastchat serve"
            f" --port {port}), or leave --port away and one is started for you"
        )
    return Running(f"the server on port {port}", listener(port), port)


def listener(port: int) -> int:
    """The pid of the process that listens on a TCP port here; 0 if it is another user's."""
    sockets = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:] if Path(table).exists() else ():
            words = line.split()
            if words[3] == "0A" and int(words[1].rpartition(":")[2], 16) == port:  # 0A: LISTEN
                sockets.add(f"socket:[{words[9]}]")
    for folder in Path("/proc").glob("[0-9]*/fd"):
        try:
            if any(os.readlink(link) in sockets for link in folder.iterdir()):
                return int(folder.parent.name)
        except OSError:  # another user's, or gone meanwhile
            continue
    return 0
