"""Keys: from files, JWKS and the environment; what cannot be used is said, without a word of the key."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from fastchat.config import Config
from fastchat.errors import ConfigError, ProtocolError
from fastchat.identity import keys
from fastchat.identity.keys import exposed, public_of, signing_key, thumbprint, verifier
from fastchat.identity.tokens import ALGORITHMS, Verifier
from tests.identity.making import NOW, SECRET, private, private_pem, public, public_pem, token

SECRET_TEXT = SECRET.decode()


def written(path: Path, data: bytes, mode: int = 0o600) -> str:
    path.write_bytes(data)
    path.chmod(mode)
    return str(path)


def key_file(directory: Path, algorithm: str, number: int = 0) -> str:
    """What a server needs of a key."""
    key = private(algorithm, number)
    data = key + b"\n" if isinstance(key, bytes) else public_pem(key)
    return written(directory / f"{algorithm}-{number}", data)


def made(algorithm: str, *token_keys: str, secret: str = "", **given: Any) -> Verifier:
    check = verifier(Config(token_algorithm=algorithm, token_keys=token_keys, **given), secret)
    assert check is not None
    return check


def refusal(algorithm: str, *token_keys: str, secret: str = "", **given: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        made(algorithm, *token_keys, secret=secret, **given)
    text = str(caught.value)
    assert SECRET_TEXT[:10] not in text and "BEGIN" not in text
    return text


def test_without_an_algorithm_there_are_no_tokens() -> None:
    assert verifier(Config()) is None


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_from_a_file(algorithm: str, tmp_path: Path) -> None:
    path = key_file(tmp_path, algorithm)
    assert made(algorithm, path).verify(token(algorithm), NOW)
    named = made(algorithm, f"main={path}")
    for kid in ("main", thumbprint(public(algorithm)), None):
        assert named.verify(token(algorithm, kid=kid), NOW)
    with pytest.raises(ProtocolError):
        named.verify(token(algorithm, kid="other"), NOW)


def test_two_live_keys(tmp_path: Path) -> None:
    check = made("EdDSA", key_file(tmp_path, "EdDSA"), f"new={key_file(tmp_path, 'EdDSA', 1)}")
    assert check.verify(token("EdDSA", kid=thumbprint(public("EdDSA"))), NOW)
    assert check.verify(token("EdDSA", number=1, kid="new"), NOW)
    assert check.verify(token("EdDSA", number=1, kid=thumbprint(public("EdDSA", 1))), NOW)
    with pytest.raises(ProtocolError):
        check.verify(token("EdDSA"), NOW)


def test_a_secret_from_the_environment(tmp_path: Path) -> None:
    assert made("HS256", secret=SECRET_TEXT).verify(token(), NOW)
    both = made("HS256", key_file(tmp_path, "HS256", 1), secret=SECRET_TEXT)
    for number in (0, 1):
        assert both.verify(token(number=number, kid=thumbprint(public("HS256", number))), NOW)


def test_a_secret_that_is_not_asked_for() -> None:
    for algorithm in ("", "EdDSA"):
        with pytest.raises(ConfigError, match="FASTCHAT_TOKEN_SECRET is set but"):
            verifier(Config(token_algorithm=algorithm), SECRET_TEXT)


def test_a_secret_that_is_too_short(tmp_path: Path) -> None:
    assert "at least 32 bytes" in refusal("HS256", secret="x" * 31)
    assert "at least 32 bytes" in refusal("HS256", written(tmp_path / "s", b"x" * 31 + b"\n \n"))


def test_no_key_at_all() -> None:
    assert "FASTCHAT_TOKEN_SECRET" in refusal("HS256")
    assert "token_keys" in refusal("EdDSA")


def test_a_secret_that_others_can_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path / "s", SECRET, 0o644)
    with caplog.at_level(logging.WARNING):
        made("HS256", path)
    assert "chmod 600" in caplog.text and path in caplog.text and SECRET_TEXT not in caplog.text
    assert exposed(path)
    os.chmod(path, 0o600)
    assert not exposed(path)


@pytest.mark.parametrize("algorithm", ["EdDSA", "RS256", "ES256"])
def test_keys_of_another_kind(algorithm: str, tmp_path: Path) -> None:
    other = {"EdDSA": "RS256", "RS256": "ES256", "ES256": "EdDSA"}[algorithm]
    assert f"is no key for {algorithm}" in refusal(algorithm, key_file(tmp_path, other))
    assert "no public key" in refusal(algorithm, written(tmp_path / "x", SECRET))
    key = private(algorithm)
    assert "needs the public one" in refusal(algorithm, written(tmp_path / "y", private_pem(key)))
    assert "no secret for HS256" in refusal("HS256", key_file(tmp_path, algorithm))
    assert "no public key" in refusal(algorithm, written(tmp_path / "z", public_pem(key)[:60]))


def test_keys_that_are_weak(tmp_path: Path) -> None:
    small = written(tmp_path / "small", public_pem(generate_rsa(65537, 1024)))
    assert "2048 bits" in refusal("RS256", small)
    other = written(tmp_path / "other", public_pem(generate_private_key(SECP384R1())))
    assert "P-256" in refusal("ES256", other)


def test_files_that_are_none(tmp_path: Path) -> None:
    assert "No such file" in refusal("EdDSA", str(tmp_path / "absent"))
    assert "Is a directory" in refusal("EdDSA", str(tmp_path))
    assert "longer than any key" in refusal("EdDSA", written(tmp_path / "long", b"x" * 65537))


def test_two_keys_with_one_name(tmp_path: Path) -> None:
    paths = [f"a={key_file(tmp_path, 'EdDSA', number)}" for number in (0, 1)]
    assert "another key with the kid 'a'" in refusal("EdDSA", *paths)


def test_too_many_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "MAX_KEYS", 2)
    paths = [key_file(tmp_path, "HS256", number) for number in range(3)]
    made("HS256", *paths[:2])
    assert "more than 2 keys" in refusal("HS256", *paths)


def jwk(algorithm: str, number: int = 0, **more: Any) -> dict[str, Any]:
    kind = {"EdDSA": OKPAlgorithm, "RS256": RSAAlgorithm, "ES256": ECAlgorithm}[algorithm]
    return json.loads(kind.to_jwk(public(algorithm, number))) | {"kid": f"{algorithm}-{number}"} | more


def jwks(directory: Path, *listed: object) -> str:
    return written(directory / "jwks.json", json.dumps({"keys": listed}).encode())


@pytest.mark.parametrize("algorithm", ["EdDSA", "RS256", "ES256"])
def test_keys_of_a_set(algorithm: str, tmp_path: Path) -> None:
    others = [jwk(one) for one in ("EdDSA", "RS256", "ES256")]
    path = jwks(tmp_path, *others, jwk(algorithm, 1), jwk(algorithm, 2, use="enc"), {"kty": "x"}, {})
    check = made(algorithm, token_jwks=path)
    for number in (0, 1):
        assert check.verify(token(algorithm, number=number, kid=f"{algorithm}-{number}"), NOW)
    for kid in (None, f"{algorithm}-2", "RS256-1" if algorithm != "RS256" else "ES256-1"):
        with pytest.raises(ProtocolError):
            check.verify(token(algorithm, number=2, kid=kid), NOW)


@pytest.mark.parametrize(
    "text, says",
    [("", "no JSON"), ("[]", 'no list "keys"'), ('{"keys": 1}', 'no list "keys"'),
     ('{"keys": [1]}', "no object"), ('{"keys": []}', "no public key for EdDSA"), ("[" * 60_000, "no JSON"),
     ('{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": 5}]}', "no public key for EdDSA")],
)  # fmt: skip
def test_sets_that_are_none(text: str, says: str, tmp_path: Path) -> None:
    path = written(tmp_path / "jwks.json", text.encode())
    assert says in refusal("EdDSA", token_jwks=path)


def test_a_set_with_keys_that_should_not_be_there(tmp_path: Path) -> None:
    path = jwks(tmp_path, jwk("EdDSA", kid=None))
    assert "no kid" in refusal("EdDSA", token_jwks=path)
    key = OKPAlgorithm.to_jwk(private("EdDSA"))  # type: ignore[arg-type]
    path = jwks(tmp_path, json.loads(key))
    assert "is a private key" in refusal("EdDSA", token_jwks=path)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_signs_says_its_algorithm(algorithm: str) -> None:
    key = private(algorithm)
    data = key if isinstance(key, bytes) else private_pem(key)
    found, read = signing_key(data, "F")
    assert found == algorithm and thumbprint(public_of(read)) == thumbprint(public(algorithm))


def test_what_does_not_sign(tmp_path: Path) -> None:
    locked = subprocess.run(
        ["openssl", "genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:x"],
        check=True, capture_output=True,
    ).stdout  # fmt: skip
    for data, says in (
        (b"short", "at least 32 bytes"),
        (public_pem(private("EdDSA")), "the private one signs"),
        (locked, "encrypted"),
        (b"-----BEGIN PRIVATE KEY-----\nxx\n-----END PRIVATE KEY-----\n", "no private key"),
        (private_pem(generate_rsa(65537, 1024)), "2048 bits"),
        (private_pem(generate_private_key(SECP384R1())), "P-256"),
    ):
        with pytest.raises(ConfigError, match=re.escape(says)):
            signing_key(data, "F")
