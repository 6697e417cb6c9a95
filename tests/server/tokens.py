"""A server that believes in tokens, and people who come with them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import jwt

from fastchat.client import Chat, connect

SECRET = b"a secret of these tests, 32 bytes"  # of HS256


def settings(folder: Path, **given: Any) -> dict[str, Any]:
    """Fields of `Config` for a server that takes HS256 tokens signed with SECRET."""
    secret = folder / "secret"
    secret.write_bytes(SECRET)
    secret.chmod(0o600)
    return {"token_algorithm": "HS256", "token_keys": (str(secret),)} | given


def claims(sub: str | None, **given: Any) -> dict[str, Any]:
    """Claims of a sound token of now; None leaves one out."""
    now = int(time.time())
    whole = {"sub": sub, "name": "ada", "aud": "fastchat", "iss": "here", "iat": now, "exp": now + 600}
    whole |= {"name": sub} if sub else {}
    whole |= given
    return {claim: value for claim, value in whole.items() if value is not None}


def token(sub: str | None, **given: Any) -> str:
    """A sound token."""
    return jwt.encode(claims(sub, **given), SECRET, "HS256")


def person(port: int, sub: str, role: str | None = "member", **given: Any) -> Chat:
    """Somebody with a token of that role everywhere; role None is a guest."""
    url = f"tcp://127.0.0.1:{port}"
    if role is None:
        return connect(url, name=sub, timeout=5.0)
    return connect(url, token=token(sub, role=role, **given), timeout=5.0)
