"""Keys that tokens are checked and signed with: from files and from what the environment says.

Invariant: a key that loads fits its algorithm and is long enough; no text of an error has anything of a key
in it. What cannot be used is a ConfigError that says what to do.
"""

from __future__ import annotations

import json
import logging
import os
import re
import stat
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from jwt import PyJWK, PyJWTError

from fastchat.config import KIB, Config
from fastchat.errors import ConfigError
from fastchat.identity.tokens import Key, Verifier

SECRET_VARIABLE = "FASTCHAT_TOKEN_SECRET"
MIN_SECRET = 32  # bytes: as many as a hash of SHA-256 has (RFC 7518, section 3.2)
MIN_RSA = 2048  # bits (RFC 7518, section 3.3)
MAX_FILE = 64 * KIB  # bytes of a key or of a JWKS
MAX_KEYS = 16  # one in use, one to come; several servers that sign
NAMED = re.compile(r"([A-Za-z0-9._-]{1,64})=(.+)")  # kid=path

PrivateKey: TypeAlias = bytes | Ed25519PrivateKey | RSAPrivateKey | EllipticCurvePrivateKey

LOG = logging.getLogger(__name__)


def verifier(config: Config, secret: str = "") -> Verifier | None:
    """Make what checks tokens as the settings say, None where they say nothing; `secret` is for HS256."""
    if secret and config.token_algorithm != "HS256":
        raise ConfigError(
            f'{SECRET_VARIABLE} is set but token_algorithm is not "HS256": set it so, or unset the variable'
        )
    if not config.token_algorithm:
        return None
    keys: dict[str, Key] = {}
    if secret:
        _add(keys, "", _long(secret.encode(), SECRET_VARIABLE), SECRET_VARIABLE)
    for one in config.token_keys:
        named = NAMED.fullmatch(one)
        kid, path = (named[1], named[2]) if named else ("", one)
        _add(keys, kid, _public(config.token_algorithm, path), path)
    if config.token_jwks:
        for kid, key in _jwks(config.token_algorithm, config.token_jwks):
            _add(keys, kid, key, config.token_jwks)
    if not keys:
        raise ConfigError(
            f"token_algorithm is {config.token_algorithm!r} but there is no key: name its file in token_keys"
            + (f", or put the secret into {SECRET_VARIABLE}" if config.token_algorithm == "HS256" else "")
        )
    return Verifier(
        config.token_algorithm,
        keys,
        audience=config.token_audience,
        issuer=config.token_issuer,
        max_seconds=config.token_max_seconds,
    )


def _add(keys: dict[str, Key], kid: str, key: Key, where: str) -> None:
    """Let a key go by its `kid`, if it has one, and by its thumbprint."""
    if len(set(map(id, keys.values()))) >= MAX_KEYS:
        raise ConfigError(f"{where}: more than {MAX_KEYS} keys for tokens")
    for name in {kid, thumbprint(key)} - {""}:
        if name in keys:
            raise ConfigError(f"{where}: there is another key with the kid {name!r}")
        keys[name] = key


def thumbprint(key: Key) -> str:
    """Name a key after what it is, so that both sides come to the same name: 16 digits of its SHA-256."""
    data = key if isinstance(key, bytes) else _der(key)
    return sha256(b"fastchat" + data).hexdigest()[:16]


def _der(key: Ed25519PublicKey | RSAPublicKey | EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def signing_key(data: bytes, where: str) -> tuple[str, PrivateKey]:
    """Read what signs tokens: its algorithm, and the private key of a PEM or else the secret itself."""
    if b"-----BEGIN" not in data:
        return "HS256", _long(data.strip(), where)
    if b"PRIVATE KEY" not in data:
        raise ConfigError(f"{where} is a public key: the private one signs")
    try:
        key = load_pem_private_key(data, password=None)
    except TypeError:
        raise ConfigError(f"{where} is encrypted: give a key without a password") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError(f"{where} is no private key in PEM form") from None
    if isinstance(key, Ed25519PrivateKey):
        return "EdDSA", key
    for algorithm in ("RS256", "ES256"):
        if isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey) and _fits(algorithm, key.public_key()):
            return algorithm, key
    raise ConfigError(f"{where}: no key for EdDSA (Ed25519), RS256 ({MIN_RSA} bits) or ES256 (P-256)")


def public_of(key: PrivateKey) -> Key:
    """Return what checks the signatures of a private key; a secret does so itself."""
    return key if isinstance(key, bytes) else key.public_key()


def read(path: str) -> bytes:
    """Read a small file; raises ConfigError."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    if len(data) > MAX_FILE:
        raise ConfigError(f"{path} is longer than any key")
    return data


def exposed(path: str) -> bool:
    """Tell whether others than its owner may read a file."""
    return bool(stat.S_IMODE(os.stat(path).st_mode) & 0o077)


def _long(secret: bytes, where: str) -> bytes:
    if len(secret) < MIN_SECRET:
        raise ConfigError(
            f"{where}: a secret for HS256 has at least {MIN_SECRET} bytes: make one with fastchat keygen"
            " --algorithm HS256"
        )
    return secret


def _public(algorithm: str, path: str) -> Key:
    data = read(path)
    if algorithm == "HS256":
        if b"-----BEGIN" in data:  # a public key as a secret is a secret that everybody knows
            raise ConfigError(f"{path} is a key in PEM form, no secret for HS256: see token_algorithm")
        if exposed(path):
            LOG.warning("%s can be read by others than its owner: chmod 600 it", path)
        return _long(data.strip(), path)
    if b"PRIVATE KEY" in data:
        raise ConfigError(f"{path} is a private key: a server that checks tokens needs the public one")
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError(f"{path} is no public key in PEM form") from None
    if not _fits(algorithm, key):
        raise ConfigError(f"{path} is no key for {algorithm}{NEEDS[algorithm]}")
    assert isinstance(key, Ed25519PublicKey | RSAPublicKey | EllipticCurvePublicKey)
    return key


NEEDS: Mapping[str, str] = {
    "EdDSA": ": it needs Ed25519",
    "RS256": f": it needs RSA with {MIN_RSA} bits at least",
    "ES256": ": it needs the curve P-256",
}


def _fits(algorithm: str, key: Any) -> bool:
    if algorithm == "EdDSA":
        return isinstance(key, Ed25519PublicKey)
    if algorithm == "RS256":
        return isinstance(key, RSAPublicKey) and key.key_size >= MIN_RSA
    return isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)


def _jwks(algorithm: str, path: str) -> list[tuple[str, Key]]:
    """Read the keys of a JWKS (RFC 7517) that are for signatures with this algorithm."""
    try:
        document = json.loads(read(path))
    except (ValueError, RecursionError):
        raise ConfigError(f"{path} is no JSON") from None
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ConfigError(f'{path} is no JWKS: it has no list "keys"')
    found: list[tuple[str, Key]] = []
    for number, jwk in enumerate(listed, 1):
        where = f"{path}, key {number}"
        if not isinstance(jwk, dict):
            raise ConfigError(f"{where} is no object")
        if jwk.get("use", "sig") != "sig" or jwk.get("alg", algorithm) != algorithm:
            continue
        if "d" in jwk or "k" in jwk:
            raise ConfigError(f"{where} is a private key: a JWKS for a server has the public ones")
        try:
            key = PyJWK(jwk, algorithm).key
        except (PyJWTError, ValueError, TypeError, UnsupportedAlgorithm):
            continue  # of another kind: such sets serve several algorithms
        if not _fits(algorithm, key):
            continue
        kid = jwk.get("kid")
        if not isinstance(kid, str) or not 1 <= len(kid) <= 128 or not kid.isprintable():
            raise ConfigError(f"{where} has no kid by which a token could name it")
        found.append((kid, key))
    if not found:
        raise ConfigError(f"{path} has no public key for {algorithm}")
    return found
