"""keygen and token: what they write, print and refuse, and that a server believes it."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import jwt
import pytest
from click.testing import CliRunner, Result

from fastchat.cli import main
from fastchat.config import Config
from fastchat.identity.keys import SECRET_VARIABLE, verifier
from fastchat.identity.tokens import ALGORITHMS
from fastchat.settings import load
from tests.identity.making import SECRET

SECRET_TEXT = SECRET.decode()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(SECRET_VARIABLE, raising=False)


def call(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(main, list(arguments), prog_name="fastchat", env=environment)


def claims(token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_keygen_prints_is_what_the_server_needs(algorithm: str, tmp_path: Path) -> None:
    made = call("keygen", "--algorithm", algorithm)
    assert made.exit_code == 0, made.output
    settings = made.output[made.output.index("[identity]") : made.output.index("A first token")]
    path = tmp_path / "fastchat.toml"
    path.write_text(settings)
    tomllib.loads(settings)
    check = verifier(load(path))
    signs = "fastchat-token.secret" if algorithm == "HS256" else "fastchat-token.key"
    assert stat.S_IMODE(os.stat(signs).st_mode) == 0o600
    for line in Path(signs).read_text().splitlines():
        assert line not in made.output
    line = made.output.splitlines()[-1].strip()
    done = call(*line.split()[1:])
    assert check is not None and done.stderr == ""
    assert check.verify(done.stdout.strip(), time.time_ns() // 1_000_000).id == "t:ada"
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize("algorithm", ["EdDSA", "HS256"])
def test_keygen_overwrites_nothing(algorithm: str) -> None:
    call("keygen", "--algorithm", algorithm)
    before = {path.name: path.read_bytes() for path in Path().iterdir()}
    again = call("keygen", "--algorithm", algorithm)
    assert again.exit_code == 2 and "--out" in again.stderr
    assert {path.name: path.read_bytes() for path in Path().iterdir()} == before
    if algorithm == "EdDSA":
        os.remove("fastchat-token.key")
        assert call("keygen").exit_code == 2 and not Path("fastchat-token.key").exists()
    assert call("keygen", "--algorithm", algorithm, "--out", "other").exit_code == 0


def test_keygen_where_nothing_can_be_written() -> None:
    done = call("keygen", "--out", "absent/key")
    assert done.exit_code == 2 and "cannot write" in done.stderr


def test_a_token_says_what_it_was_told() -> None:
    call("keygen")
    done = call(
        "token", "--key", "fastchat-token.key", "--sub", "4711", "--name", "Ada", "--role", "moderator",
        "--roles", "team:*=owner", "--roles", "hall=guest", "--rooms", "team:*, hall", "--rooms", "lobby",
        "--for", "15m", "--once", "--hidden", "--rate", "2.5", "--burst", "7", "--aud", "chat", "--iss", "me",
        "--kid", "k1",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    found = claims(done.stdout.strip())
    assert found.pop("exp") - found.pop("iat") == 900 and len(found.pop("jti")) > 20
    assert found == {
        "sub": "4711", "name": "Ada", "role": "moderator", "roles": {"team:*": "owner", "hall": "guest"},
        "rooms": ["team:*", "hall", "lobby"], "once": True, "hidden": True,
        "limits": {"rate": 2.5, "burst": 7}, "aud": "chat", "iss": "me",
    }  # fmt: skip
    assert jwt.get_unverified_header(done.stdout.strip())["kid"] == "k1"


def test_a_plain_token_says_little() -> None:
    found = claims(call("token", "--sub", "ada", **{SECRET_VARIABLE: SECRET_TEXT}).stdout.strip())
    assert set(found) == {"sub", "aud", "iat", "exp"} and found["exp"] - found["iat"] == 3600


@pytest.mark.parametrize(
    "arguments, says",
    [
        ([], "no key: name its file with --key"),
        (["--key", "absent"], "No such file"),
        (["--key", "fastchat-token.pub"], "the private one signs"),
        (["--key", "short"], "at least 32 bytes"),
        (["--key", "fastchat-token.key", "--name", "a\tb"], "no server would take it"),
        (["--key", "fastchat-token.key", "--rooms", "a b"], "no server would take it"),
        (["--key", "fastchat-token.key", "--roles", "a=boss"], "no server would take it"),
        (["--key", "fastchat-token.key", "--roles", "a"], "PATTERN=ROLE"),
        (["--key", "fastchat-token.key", "--for", "1y"], "is no time like 90s"),
        (["--key", "fastchat-token.key", "--for", "0s"], "is no time like 90s"),
        (["--key", "fastchat-token.key", "--rate", "0"], "no server would take it"),
    ],
)
def test_tokens_that_are_not_made(arguments: list[str], says: str) -> None:
    call("keygen")
    Path("short").write_text("x" * 31)
    os.chmod("short", 0o600)
    done = call("token", "--sub", "ada", *arguments)
    assert done.exit_code == 2 and says in done.stderr and done.stdout == ""
    assert "x" * 31 not in done.stderr


def test_a_key_that_others_can_read_is_said() -> None:
    call("keygen")
    os.chmod("fastchat-token.key", 0o644)
    done = call("token", "--key", "fastchat-token.key", "--sub", "ada")
    assert done.exit_code == 0 and "chmod 600" in done.stderr and done.stdout.count(".") == 2


def test_a_token_in_a_file_is_for_its_owner_only() -> None:
    call("keygen")
    make = ("token", "--key", "fastchat-token.key", "--sub", "ada", "--out", "ada.token")
    before = os.umask(0)
    try:
        assert (call(*make).exit_code, call(*make).stdout) == (0, "")
    finally:
        os.umask(before)
    file = Path("ada.token")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and claims(file.read_text().strip())["sub"] == "ada"
    assert file.read_text().endswith("\n")


def test_a_token_overwrites_nothing_unasked() -> None:
    call("keygen")
    make = ("token", "--key", "fastchat-token.key", "--sub", "ada", "--out", "ada.token")
    file, other = Path("ada.token"), Path("other")
    other.write_text("mine")
    file.symlink_to(other)
    refused = call(*make)
    assert refused.exit_code == 2 and "is there already" in refused.stderr and "--force" in refused.stderr
    assert other.read_text() == "mine"
    assert call(*make, "--force").exit_code == 0 and other.read_text() == "mine" and not file.is_symlink()
    file.chmod(0o644)
    assert call(*make, "--force").exit_code == 0 and stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(path.name for path in Path().iterdir() if "ada" in path.name) == ["ada.token"]


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_a_token_where_nothing_can_be_written(force: list[str]) -> None:
    call("keygen")
    done = call("token", "--key", "fastchat-token.key", "--sub", "ada", "--out", "absent/ada.token", *force)
    assert done.exit_code == 2 and "cannot write absent/ada.token" in done.stderr and done.stdout == ""


def test_a_secret_on_the_command_line_is_refused() -> None:
    done = call("serve", "--set", f"token_secret={SECRET_TEXT}")
    assert done.exit_code == 2 and SECRET_VARIABLE in done.stderr and SECRET_TEXT not in done.stderr


@pytest.mark.parametrize("algorithm", ["", "EdDSA"])
def test_a_secret_that_would_not_count_is_said(algorithm: str) -> None:
    call("keygen")
    given = ["--token-algorithm", algorithm, "--token-key", "fastchat-token.pub"] if algorithm else []
    done = call("serve", "--engine", "memory", *given, **{SECRET_VARIABLE: SECRET_TEXT})
    assert done.exit_code == 2 and "is set but" in done.stderr and SECRET_TEXT not in done.stderr


def test_the_server_starts_with_it_and_shows_no_secret(tmp_path: Path) -> None:
    environment = os.environ | {SECRET_VARIABLE: SECRET_TEXT, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "fastchat", "serve", "--port", "0", "--engine", "memory", "--guests", "nobody",
         "--token-algorithm", "HS256", "--log-level", "debug"],
        env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=tmp_path,
    ) as server:  # fmt: skip
        assert server.stdout is not None
        said = []
        for line in server.stdout:
            said.append(line)
            if "Ctrl-C" in line:
                break
        server.terminate()
        said += server.stdout.readlines()
    text = "".join(said)
    assert server.returncode == 0 and "no guests, and who has a token" in text
    assert SECRET_TEXT not in text and json.dumps(SECRET_TEXT) not in text


def test_the_configuration_has_no_place_for_a_secret() -> None:
    assert not [name for name in Config.__dataclass_fields__ if "secret" in name]
