"""Build the C programs of `reference/`, start servers as processes of their own and end them by their pid.

Server and generator run on different cores where there are two; whatever is started dies with this process.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = Path(__file__).resolve().parent / "reference"
BUILD = SOURCES / "build"
CFLAGS = ("-O2", "-g", "-Wall", "-Wextra", "-std=gnu11")

PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "server": ("server.c",),
    "loadgen": ("loadgen.c", "clients.c", "checks.c", "loads.c", "report.c", "-lm"),
    "faults.so": ("faults.c", "-shared", "-fPIC", "-ldl"),
}

PORTS = range(20_000, 30_000)  # below the kernel's range for outgoing connections: 10,000 of them take many
START_SECONDS = 20.0  # a server must accept within this time
STOP_SECONDS = 3.0  # from SIGTERM to SIGKILL
PR_SET_PDEATHSIG = 1  # prctl(2)

libc = ctypes.CDLL(None, use_errno=True)


class BenchError(Exception):
    """Something that keeps a figure from being measured; the text says what to do."""


def compiler() -> list[str]:
    """The C compiler: CC, or cc."""
    return shlex.split(os.environ.get("CC", "cc"))


def build() -> None:
    """Compile what is older than its sources. Raises BenchError with the compiler's words."""
    BUILD.mkdir(exist_ok=True)
    newest = max(path.stat().st_mtime for path in SOURCES.glob("*.[ch]"))
    for name, parts in PROGRAMS.items():
        target = BUILD / name
        if target.exists() and target.stat().st_mtime > newest:
            continue
        unfinished = BUILD / f"{name}.{os.getpid()}"  # renamed when whole: several may build at once
        try:
            done = subprocess.run(
                [*compiler(), *CFLAGS, "-o", str(unfinished), *parts],
                cwd=SOURCES,
                capture_output=True,
                text=True,
            )
        except OSError as error:
            raise BenchError(f"no C compiler ({compiler()[0]}): install one, or set CC") from error
        if done.returncode != 0:
            raise BenchError(f"{name} does not compile:\n{done.stderr}")
        unfinished.rename(target)


@dataclass(frozen=True, slots=True)
class Cores:
    """Where server and generator run; None: no choice on this machine."""

    server: int | None
    generator: int | None

    @classmethod
    def choose(cls) -> Cores:
        allowed = sorted(os.sched_getaffinity(0))
        return cls(allowed[-1], allowed[0]) if len(allowed) > 1 else cls(None, None)


def prepare(core: int | None) -> None:
    """In the child, before its program starts: its core, and its end should this process die."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if core is not None:
        os.sched_setaffinity(0, {core})


def command(server: str, port: int) -> list[str]:
    """How a server is started. `server` is fastchat, naive, reference or reference-uncoalesced."""
    commands = {
        "fastchat": [sys.executable, "-m", "fastchat", "serve", "--port", str(port)],
        "naive": [sys.executable, "-m", "benchmarks.naive_server", "--port", str(port)],
        "reference": [str(BUILD / "server"), "--port", str(port)],
        "reference-uncoalesced": [str(BUILD / "server"), "--no-coalesce", "--port", str(port)],
    }
    return commands[server]


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without fastchat's settings, and those asked for."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FASTCHAT_")}
    return clean | dict(settings)


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


@dataclass(slots=True)
class Running:
    """A server that accepts connections."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def resident(self) -> int:
        """Resident memory in bytes, shared pages included."""
        pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def words(self) -> str:
        """The end of what it printed."""
        return self.log.read_text(errors="replace")[-2000:]

    def stop(self) -> None:
        if self.process.poll() is not None:
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
    server: str, cores: Cores, settings: Mapping[str, str] = {}, arguments: Sequence[str] = ()
) -> Iterator[Running]:
    """A server from when it accepts until the block is left. Raises BenchError if it does not come up."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="fastchat-bench-") as folder:
        log = Path(folder) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command(server, port), *arguments],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT,
                env=environment(settings), preexec_fn=lambda: prepare(cores.server),
            )  # fmt: skip
        instance = Running(server, process, port, log)
        try:
            await_start(instance)
            yield instance
        finally:
            instance.stop()


def await_start(instance: Running) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not accepts(instance.port):
        if instance.process.poll() is not None:
            raise BenchError(
                f"{instance.name} ended with {instance.process.returncode}:\n{instance.words().strip()}"
            )
        if time.monotonic() > deadline:
            raise BenchError(
                f"{instance.name} does not accept on port {instance.port}:\n{instance.words().strip()}"
            )
        time.sleep(0.02)
