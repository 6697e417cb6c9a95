"""The peers of benchmarks/peers/: described completely; started where they are installed."""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.peers import install
from fastchat.bench.peer_dialects import PEERS as DIALECTS
from fastchat.bench.processes import Cores, Place, running
from fastchat.bench.targets import Target, read_peers
from tests.bench.player import Player

FOLDER = Path(install.__file__).parent
PEERS = read_peers(install.PEERS)
SIZE = 100  # bytes of a payload
NAMES = {
    "nats", "redis", "mosquitto", "socketify", "picows", "websockets", "aiohttp", "python-socketio", "npm-ws",
    "npm-socket.io",
}  # fmt: skip


@pytest.fixture(params=PEERS, ids=lambda peer: peer.name)
def peer(request: pytest.FixtureRequest) -> Target:
    target: Target = request.param
    return target


def test_all_peers_are_described() -> None:
    assert {peer.name for peer in PEERS} == NAMES


def test_a_peer_is_described_completely(peer: Target) -> None:
    assert peer.dialect in DIALECTS
    assert peer.wire == ("ws" if DIALECTS[peer.dialect]("room", 1, SIZE).websocket else "tcp")
    assert peer.language and peer.note and peer.version
    assert peer.needs.executable or peer.needs.module


def test_the_files_of_a_peer_are_there(peer: Target) -> None:
    named = [word for word in peer.command if word.endswith((".py", ".js", ".conf"))]
    assert all((FOLDER / name).is_file() for name in named)


def test_every_adapter_is_used() -> None:
    named = {word for peer in PEERS for word in peer.command}
    lying = {path.name for pattern in ("relay_*", "*.conf") for path in FOLDER.glob(pattern)}
    assert lying and lying <= named


def test_what_is_installed_is_what_is_needed() -> None:
    wanted = {line.split(">=")[0].replace("-", "_") for line in install.requirements()}
    known = {"socketio": "python_socketio"}
    modules = {known.get(peer.needs.module, peer.needs.module) for peer in PEERS if peer.needs.module}
    assert wanted - modules == {"uvloop", "uvicorn"} and modules <= wanted
    packages = tomllib.loads(install.PEERS.read_text())
    node = {table["needs"]["node_module"] for table in packages.values() if "node_module" in table["needs"]}
    assert f'"{sorted(node)[0]}": ' in (FOLDER / "package.json").read_text() and node == {"ws", "socket.io"}
    programs = {peer.needs.executable for peer in PEERS if peer.needs.executable}
    assert programs == {*install.DEBIAN, "node"}


def test_requirements_are_ranges() -> None:
    assert all(">=" in line and ",<" in line for line in install.requirements())


def test_a_peer_relays_to_everybody_and_hears_its_own(peer: Target) -> None:
    if missing := peer.missing():
        pytest.skip(f"{peer.name}: {missing}")
    with running(peer, Place(Cores(None, None), os.environ)) as server, ExitStack() as leaving:
        script = DIALECTS[peer.dialect]("room", server.port, SIZE)
        members = [leaving.enter_context(Player(script, server.port, number)) for number in range(3)]
        for member in members:
            member.open()
        for number in range(20):
            payload = b"%08d" % number + b"x" * (SIZE - 8)
            members[0].publish(payload)
            assert [member.receive(SIZE) for member in members] == [payload] * 3


def test_a_version_is_told(peer: Target) -> None:
    if missing := peer.missing():
        pytest.skip(f"{peer.name}: {missing}")
    assert install.version(peer)[0].isdigit()


def test_a_version_that_cannot_be_told() -> None:
    assert install.version(Target("none", ("x",), version=("no-such-program",))) == "?"
    assert install.version(Target("mute", ("x",), version=(sys.executable, "-c", ""))) == "?"


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without anything: no programs but those put into the folder, no virtual environment."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(install, "SEARCHED", str(tmp_path))
    monkeypatch.setattr(install, "PYTHON", tmp_path / "python")
    monkeypatch.setattr(install.os, "geteuid", lambda: 1000)
    return tmp_path


def program(path: Path, script: str = "exit 0") -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def listed(capsys: pytest.CaptureFixture[str], arguments: Sequence[str]) -> dict[str, str]:
    """What is said for each step, by the step's name."""
    assert install.main(list(arguments)) == 0
    lines = capsys.readouterr().out.splitlines()
    steps = [line.partition("] ")[2] for line in lines if line.startswith("[")]
    return {line[:28].strip(): line[28:].strip() for line in steps}


def test_a_dry_run_lists_what_would_be_done(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program(bare / "npm", f"touch {bare}/ran")
    found = listed(capsys, ["--dry-run"])
    assert found["virtual environment"] == f"would run: {sys.executable} -m venv {bare.parent}"
    assert all(line in found for line in install.requirements())
    assert found["npm packages"].startswith(f"would run: {bare}/npm install --prefix {FOLDER}")
    assert {found[name] for name in install.DEBIAN} == {"there is no apt-get: install it by your own means"}
    assert sorted(path.name for path in bare.iterdir()) == ["npm"]


def test_a_bare_machine_is_no_failure(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program(bare / "apt-get")
    found = listed(capsys, ["--dry-run"])
    assert found["npm packages"] == "there is no npm: install Node.js"
    assert found["mosquitto"] == "not root: sudo apt-get install mosquitto"


def test_root_installs_what_is_not_there(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install.os, "geteuid", lambda: 0)
    program(bare / "apt-get")
    program(bare / "mosquitto")
    steps = {step.name: step for step in install.debian_steps()}
    assert steps["mosquitto"].without == "is there"
    assert steps["nats-server"].command[-1] == "nats-server"
    assert steps["nats-server"].environment == {"DEBIAN_FRONTEND": "noninteractive"}


def test_what_fails_is_told_and_the_rest_goes_on(
    bare: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program(bare / "good")
    program(bare / "bad", "echo first >&2; echo no such package >&2; exit 1")
    planned = [
        install.Step("one", (str(bare / "bad"),)),
        install.Step("two", (str(bare / "absent"),)),
        install.Step("three", (str(bare / "good"),)),
    ]
    monkeypatch.setattr(install, "steps", lambda: planned)
    found = listed(capsys, [])
    assert found["one"].startswith("skipped: no such package (")
    assert found["two"].startswith("skipped: No such file or directory (")
    assert found["three"].startswith("ok (")


def test_a_step_has_a_limit(bare: Path) -> None:
    program(bare / "hang", "exec /bin/sleep 60")
    assert install.run(install.Step("hang", (str(bare / "hang"),)), limit=0.05) == "took longer than 0 s"


def test_apt_is_tried_again_with_fresh_lists(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "POLICY", bare / "policy")
    script = f'echo "$1 $(test -x {bare}/policy && echo held)" >> {bare}/log; test $1 = update'
    program(bare / "apt-get", script)
    step = install.Step("nats-server", (str(bare / "apt-get"), "install", "nats-server"))
    assert install.install(step).startswith("exit code 1")
    assert (bare / "log").read_text().splitlines() == ["install held", "update held", "install held"]
    assert not (bare / "policy").exists()


def test_no_service_is_started_meanwhile(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    with pytest.raises(KeyboardInterrupt), install.no_services(policy):
        assert policy.read_text().endswith("exit 101\n") and os.access(policy, os.X_OK)
        raise KeyboardInterrupt
    assert not policy.exists()


def test_a_policy_that_was_there_stays(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("mine")
    with install.no_services(policy):
        assert policy.read_text() == "mine"
    assert policy.read_text() == "mine"
