"""Keys and tokens for tests: sound ones, and such as nobody should believe."""

from __future__ import annotations

import base64
import json
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from fastchat.identity.keys import PrivateKey, public_of
from fastchat.identity.tokens import Key, Verifier

NOW = 1_700_000_000_000  # ms: where the clocks of tests begin
SECRET = b"a secret of tests, 32 bytes long"


def private(algorithm: str, number: int = 0) -> PrivateKey:
    """A private key, each number another one."""
    return _made(algorithm, number)


@cache
def _made(algorithm: str, number: int) -> PrivateKey:
    if algorithm == "HS256":
        return SECRET + b"!" * number
    if algorithm == "EdDSA":
        return Ed25519PrivateKey.generate()
    if algorithm == "ES256":
        return generate_private_key(SECP256R1())
    return generate_rsa(65537, 2048)


def public(algorithm: str, number: int = 0) -> Key:
    return public_of(private(algorithm, number))


def private_pem(key: Any) -> bytes:
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem


def public_pem(key: Any) -> bytes:
    pem: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


def claims(now: int = NOW, **given: Any) -> dict[str, Any]:
    """Claims of a sound token, with some given; None leaves one out."""
    second = now // 1000
    whole = {"sub": "u1", "aud": "fastchat", "iat": second, "exp": second + 600, "name": "Ada"} | given
    return {claim: value for claim, value in whole.items() if value is not None}


def token(algorithm: str = "HS256", *, number: int = 0, kid: str | None = None, **given: Any) -> str:
    """A signed token."""
    headers = {} if kid is None else {"kid": kid}
    return jwt.encode(claims(**given), private(algorithm, number), algorithm, headers)  # type: ignore[arg-type]


def part(value: Any) -> str:
    """One of the three parts of a token."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def verifier(algorithm: str = "HS256", **given: Any) -> Verifier:
    given = {"audience": "fastchat", "max_seconds": 3600} | given
    keys = given.pop("keys", None) or {"main": public(algorithm)}
    return Verifier(algorithm, keys, **given)
