"""JSON Web Tokens (RFC 7519): a token and the time in, who it shows, or why it shows nobody.

Invariant: a token that passes was signed with a configured key in the one configured algorithm, is for this
server, is valid now and not for longer than it may be; no text of a refusal has anything of the token in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWS, PyJWTError

from fastchat.errors import Code, ProtocolError
from fastchat.identity.base import NO_ROLES, TOKEN_ID, Identity, Role
from fastchat.identity.patterns import PATTERN
from fastchat.protocol.names import user_name

Key: TypeAlias = bytes | Ed25519PublicKey | RSAPublicKey | EllipticCurvePublicKey

ALGORITHMS = ("HS256", "EdDSA", "RS256", "ES256")
MAX_TOKEN = 4096  # bytes: CONNECT may have 8 KiB
MAX_TEXT = 128  # characters of `sub` and `jti`
MAX_PATTERNS = 64  # of `rooms` or `roles`: each is looked at for each JOIN
MAX_LIMIT = 1_000_000  # messages per second, or at once
LEEWAY_MS = 30_000  # by which clocks may differ: for what begins, and for how long it lasts; not for the end
LATEST = 2**43  # seconds: beyond it milliseconds are no exact float

ROLES: Mapping[str, Role] = {role.name.lower(): role for role in Role}


def _invalid(text: str) -> NoReturn:
    raise ProtocolError(Code.TOKEN_INVALID, text, field="token")


class Verifier:
    """Checks tokens against keys by `kid`; all tokens are signed with one algorithm.

    A token without `kid` is checked with the only key; where there are several it is refused. `max_seconds`
    bounds how long a token may last, from `iat` and from now.
    """

    __slots__ = ("algorithm", "_keys", "_only", "_audience", "_issuer", "_max_ms", "_jws")

    def __init__(
        self, algorithm: str, keys: Mapping[str, Key], *, audience: str, issuer: str = "", max_seconds: int
    ) -> None:
        assert algorithm in ALGORITHMS and keys
        self.algorithm = algorithm
        self._keys = dict(keys)
        distinct = {id(key): key for key in keys.values()}  # a key may go by several names
        self._only = next(iter(distinct.values())) if len(distinct) == 1 else None
        self._audience = audience
        self._issuer = issuer
        self._max_ms = max_seconds * 1000
        # PyJWT's checks of the claims ask a clock; here the signature and the structure are its part
        self._jws = PyJWS([algorithm], {"verify_signature": True, "enforce_minimum_key_length": True})

    def verify(self, token: str, now: int) -> Identity:
        """Return who the token shows; raises ProtocolError TOKEN_EXPIRED or TOKEN_INVALID.

        Whether a token for single use was used before (`once`) is for the caller to know.
        """
        claims = self._claims(token)
        if claims.get("once") is True and "jti" not in claims:
            _invalid("a token for single use needs a jti")
        self._addressed(claims)
        expires = self._lasts(claims, now)
        rate, burst = _limits(claims)
        jti = _text(claims, "jti")
        return Identity(
            TOKEN_ID + (_text(claims, "sub") or _invalid("the token has no sub")),
            _role(claims.get("role", "member")),
            _roles(claims),
            _rooms(claims),
            expires,
            _flag(claims, "hidden"),
            rate,
            burst,
            _name(claims),
            jti if _flag(claims, "once") else "",
        )

    def _claims(self, token: str) -> dict[str, Any]:
        """Check the signature, and return what was signed."""
        if len(token) > MAX_TOKEN:
            _invalid(f"a token has at most {MAX_TOKEN} characters")
        if not token.isascii():
            _invalid("this is no token")
        try:
            header = self._jws.get_unverified_header(token)
        except PyJWTError:
            _invalid("this is no token")
        if header.get("alg") != self.algorithm:
            _invalid(f"the token is not signed with {self.algorithm}, the algorithm of this server")
        if "crit" in header:  # RFC 7515, 4.1.11: what must be understood, and is not
            _invalid("the token asks for an extension that this server does not know")
        kid = header.get("kid")
        key = self._only if kid is None else self._keys.get(kid)
        if key is None:
            _invalid("the token names no key of this server (kid)")
        try:
            payload = self._jws.decode_complete(token, key, [self.algorithm])["payload"]
        except PyJWTError:
            _invalid("the token's signature is wrong")
        try:
            claims = json.loads(payload)
        except (ValueError, RecursionError):
            _invalid("the token's claims are no JSON")
        if not isinstance(claims, dict):
            _invalid("the token's claims are no object")
        return claims

    def _addressed(self, claims: Mapping[str, Any]) -> None:
        """Check who the token is for, and from whom."""
        audience = claims.get("aud")
        if not (self._audience == audience or (isinstance(audience, list) and self._audience in audience)):
            _invalid("the token is not for this server (aud)")
        if self._issuer and claims.get("iss") != self._issuer:
            _invalid("the token is not from whom this server believes (iss)")

    def _lasts(self, claims: Mapping[str, Any], now: int) -> int:
        """Check when the token is valid; return when it ends, in ms."""
        expires, begins, issued = (_time(claims, claim) for claim in ("exp", "nbf", "iat"))
        if expires is None:
            _invalid("the token has no end (exp)")
        if expires <= now:
            raise ProtocolError(Code.TOKEN_EXPIRED, "the token has expired", field="token")
        if begins is not None and begins > now + LEEWAY_MS:
            _invalid("the token is not valid yet (nbf)")
        if issued is not None and issued > now + LEEWAY_MS:
            _invalid("the token was issued in the future (iat): do the clocks agree?")
        start = now + LEEWAY_MS if issued is None else min(issued, now + LEEWAY_MS)
        if expires - start > self._max_ms:
            _invalid(f"the token lasts longer than the {self._max_ms // 1000} s that this server allows")
        return expires


def _mistyped(claim: str) -> NoReturn:
    _invalid(f"the token's {claim} is not what it should be")


def _time(claims: Mapping[str, Any], claim: str) -> int | None:
    """Read a NumericDate (RFC 7519, section 2) as ms."""
    if claim not in claims:
        return None
    value = claims[claim]
    if type(value) not in (int, float) or not 0 <= value <= LATEST:  # which NaN is not, either
        _mistyped(claim)
    return int(value * 1000)


def _text(claims: Mapping[str, Any], claim: str) -> str:
    value = claims.get(claim, "")
    if claim not in claims:
        return ""
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_TEXT or not value.isprintable():
        _mistyped(claim)
    return value


def _flag(claims: Mapping[str, Any], claim: str) -> bool:
    value = claims.get(claim, False)
    if not isinstance(value, bool):
        _mistyped(claim)
    return value


def _name(claims: Mapping[str, Any]) -> str:
    value = claims.get("name", "")
    if "name" not in claims:
        return ""
    if not isinstance(value, str):
        _mistyped("name")
    try:
        return user_name(value)
    except ProtocolError as refusal:
        _invalid(f"the token's name is not allowed: {refusal.text}")


def _role(value: object) -> Role:
    if not isinstance(value, str) or value not in ROLES:
        _invalid(f"a role of the token is none of {', '.join(ROLES)}")
    return ROLES[value]


def _pattern(value: object) -> str:
    if not isinstance(value, str) or not PATTERN.fullmatch(value):
        _invalid("a pattern of the token is not 1 to 64 of a-z A-Z 0-9 . _ : / - and *")
    return value


def _roles(claims: Mapping[str, Any]) -> Mapping[str, Role]:
    value = claims.get("roles", {})
    if not isinstance(value, dict) or len(value) > MAX_PATTERNS:
        _mistyped("roles")
    return {_pattern(pattern): _role(role) for pattern, role in value.items()} or NO_ROLES


def _rooms(claims: Mapping[str, Any]) -> tuple[str, ...] | None:
    value = claims.get("rooms", [])
    if not isinstance(value, list) or len(value) > MAX_PATTERNS:
        _mistyped("rooms")
    return tuple(map(_pattern, value)) if "rooms" in claims else None


def _limits(claims: Mapping[str, Any]) -> tuple[float, int]:
    value = claims.get("limits", {})
    if not isinstance(value, dict) or value.keys() - {"rate", "burst"}:
        _mistyped("limits")
    rate, burst = value.get("rate", 0.0), value.get("burst", 0)
    if "rate" in value and not (type(rate) in (int, float) and 0 < rate <= MAX_LIMIT):
        _mistyped("limits")
    if "burst" in value and not (type(burst) is int and 1 <= burst <= MAX_LIMIT):
        _mistyped("limits")
    return float(rate), burst
