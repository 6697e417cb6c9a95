"""Install what the peers need, as far as it can be had: `python -m benchmarks.peers.install [--dry-run]`.

Python packages go into `.venv/` and npm packages into `node_modules/` of this folder; servers come from
Debian's packages, and only where this runs as root and apt exists. What fails is named and skipped: the exit
code is 0, and `fastchat bench compare` leaves out what is missing. A second run installs nothing twice.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fastchat.bench.targets import Target, read_peers

FOLDER = Path(__file__).resolve().parent
PEERS = FOLDER / "peers.toml"
PYTHON = FOLDER / ".venv" / "bin" / "python"
DEBIAN = {"nats-server": "nats-server", "redis-server": "redis-server", "mosquitto": "mosquitto"}
SEARCHED = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))

POLICY = Path("/usr/sbin/policy-rc.d")  # Debian asks it before it starts a service
FORBID = "#!/bin/sh\nexit 101\n"  # 101: action forbidden by policy
STEP_SECONDS = 240.0  # for one package; a registry that does not answer must not hold up the rest
QUESTION_SECONDS = 10.0  # for a version


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to install: the command, or why there is none."""

    name: str
    command: tuple[str, ...] = ()
    without: str = ""  # why it is skipped; "" if the command is to be run
    environment: Mapping[str, str] | None = None


def requirements() -> list[str]:
    lines = (FOLDER / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def python_steps() -> Iterator[Step]:
    """The virtual environment, then each package alone: one that cannot be had takes no other with it."""
    if not PYTHON.exists():
        yield Step("virtual environment", (sys.executable, "-m", "venv", str(PYTHON.parent.parent)))
    pip = (str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    for requirement in requirements():
        yield Step(requirement, (*pip, requirement))


def node_steps() -> Iterator[Step]:
    npm = shutil.which("npm")
    options = ("--prefix", str(FOLDER), "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error")
    without = "" if npm else "there is no npm: install Node.js"
    yield Step("npm packages", (npm or "npm", "install", *options), without)


def debian_steps() -> Iterator[Step]:
    """Only for what is not there yet: a server that somebody has built stays the one that is measured."""
    apt = shutil.which("apt-get")
    for program, package in DEBIAN.items():
        if shutil.which(program, path=SEARCHED):
            yield Step(package, without="is there")
        elif not apt:
            yield Step(package, without="there is no apt-get: install it by your own means")
        elif os.geteuid() != 0:
            yield Step(package, without=f"not root: sudo apt-get install {package}")
        else:
            command = (apt, "install", "--yes", "--quiet", "--no-install-recommends", package)
            yield Step(package, command, environment={"DEBIAN_FRONTEND": "noninteractive"})


def steps() -> list[Step]:
    return [*python_steps(), *node_steps(), *debian_steps()]


@contextmanager
def no_services(policy: Path) -> Iterator[None]:
    """Keep Debian from starting what it installs; a policy that is there already stays as it is."""
    if policy.exists():
        yield
        return
    policy.write_text(FORBID)
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()


def run(step: Step, limit: float = STEP_SECONDS) -> str:
    """Carry out a step; return what went wrong, "" if nothing."""
    environment = {**os.environ, **(step.environment or {})}
    try:
        done = subprocess.run(
            step.command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit,
            errors="replace", env=environment,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"took longer than {limit:.0f} s"
    except OSError as error:
        return error.strerror or str(error)
    said = (done.stderr or done.stdout).strip().splitlines()
    return "" if done.returncode == 0 else (said[-1] if said else f"exit code {done.returncode}")


def install(step: Step) -> str:
    """Run a step; one of apt's that fails is tried once more with a fresh list of packages."""
    if Path(step.command[0]).name != "apt-get":
        return run(step)
    try:
        with no_services(POLICY):
            if run(step):
                update = (step.command[0], "update", "--quiet")
                run(Step("apt-get update", update, environment=step.environment))
                return run(step)
    except OSError as error:  # without the policy the servers would be started, so none is installed
        return f"{POLICY}: {error.strerror or error}"
    return ""


def version(target: Target) -> str:
    """The version its command prints, "?" if it prints none."""
    try:
        done = subprocess.run(
            target.version, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=FOLDER,
            timeout=QUESTION_SECONDS, env={**os.environ, "PATH": SEARCHED},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return "?"
    found = re.search(r"\d+(?:\.\d+)+", done.stdout)
    return found[0] if found else "?"


def table() -> list[str]:
    """A line for each peer: its version, or what is missing."""
    lines = [f"{'peer':16} {'version':10} how"]
    for target in read_peers(PEERS):
        missing = target.missing()
        lines.append(f"{target.name:16} {'-' if missing else version(target):10} {missing or target.note}")
    return lines


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.install", description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="list what would be done, and do nothing")
    dry = parser.parse_args(arguments).dry_run
    planned = steps()
    for number, step in enumerate(planned, 1):
        print(f"[{number:2}/{len(planned)}] {step.name:28}", end=" ", flush=True)
        if step.without:
            print(step.without)
        elif dry:
            print("would run: " + " ".join(step.command))
        else:
            began = time.monotonic()
            trouble = install(step)
            print(f"{'skipped: ' + trouble if trouble else 'ok'} ({time.monotonic() - began:.1f} s)")
    print()
    print("\n".join(table()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
