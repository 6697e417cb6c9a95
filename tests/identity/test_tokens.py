"""Tokens: which pass, what they say, and why the others do not pass."""

from __future__ import annotations

import hmac
import json
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastchat import settings_checks
from fastchat.errors import Code, ProtocolError
from fastchat.identity.base import NO_ROLES, Identity, Role
from fastchat.identity.tokens import ALGORITHMS, LEEWAY_MS, MAX_TOKEN, Verifier
from tests.identity.making import NOW, SECRET, claims, part, private, public, public_pem, token, verifier


def refused(text: str, check: Verifier | None = None, now: int = NOW) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        (check or verifier()).verify(text, now)
    assert caught.value.field == "token"
    for piece in text.split("."):
        assert len(piece) < 5 or piece not in caught.value.text, "the text has something of the token"
    return caught.value


def signed(header: Any, payload: Any, secret: bytes = SECRET) -> str:
    """A token made by hand, with HMAC."""
    text = f"{part(header)}.{part(payload)}"
    return f"{text}.{part(hmac.digest(secret, text.encode(), sha256))}"


HEADER = {"alg": "HS256", "typ": "JWT"}
CLAIMS = (
    "iss", "sub", "aud", "exp", "nbf", "iat", "jti", "once", "name", "role", "roles", "rooms", "limits",
    "hidden", "other",
)  # fmt: skip


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_sound_token_shows_who_it_is(algorithm: str) -> None:
    who = verifier(algorithm).verify(token(algorithm), NOW)
    assert who == Identity("t:u1", Role.MEMBER, expires=NOW + 600_000, name="Ada")
    assert not who.guest and who.sub == "u1" and who.roles is NO_ROLES


def test_the_claims_that_mean_something() -> None:
    who = verifier().verify(
        token(
            role="moderator", roles={"team:*": "owner", "lobby": "guest"}, rooms=["team:*", "lobby"],
            limits={"rate": 2.5, "burst": 4}, hidden=True, jti="j1", once=True, name="\uff21da",
        ),
        NOW,
    )  # fmt: skip
    assert (who.role, who.roles) == (Role.MODERATOR, {"team:*": Role.OWNER, "lobby": Role.GUEST})
    assert who.rooms == ("team:*", "lobby") and (who.rate, who.burst) == (2.5, 4)
    assert who.hidden and who.once == "j1" and who.name == "Ada"


def test_a_jti_alone_is_not_for_single_use() -> None:
    assert verifier().verify(token(jti="j1"), NOW).once == ""


def test_no_rooms_are_not_all_rooms() -> None:
    assert verifier().verify(token(rooms=[]), NOW).rooms == ()
    assert verifier().verify(token(), NOW).rooms is None


def test_the_token_of_a_login_service_passes_with_all_it_says_besides() -> None:
    more = {
        "typ": "Bearer", "azp": "chat", "sid": "s-1", "acr": "1", "scope": "openid profile email",
        "email": "ada@example.org", "email_verified": True, "preferred_username": "ada", "picture": None,
        "realm_access": {"roles": ["offline_access"]}, "resource_access": {"account": {"roles": ["x"]}},
        "https://example.org/tenant": 7, "cognito:groups": [], "romms": ["lobby"], "updated_at": 1.5,
    }  # fmt: skip
    who = verifier(issuer="https://id.example.org").verify(
        token(**more, iss="https://id.example.org", aud=["account", "fastchat"], jti="b7", nbf=NOW // 1000),
        NOW,
    )
    assert who == Identity("t:u1", Role.MEMBER, expires=NOW + 600_000, name="Ada")


INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "no sub": ({"sub": None}, "no sub"),
    "an empty sub": ({"sub": ""}, "sub"),
    "a number as sub": ({"sub": 7}, "sub"),
    "a sub with a line break": ({"sub": "a\nb"}, "sub"),
    "a long sub": ({"sub": "x" * 129}, "sub"),
    "no audience": ({"aud": None}, "aud"),
    "another audience": ({"aud": "fastchats"}, "aud"),
    "other audiences": ({"aud": ["a", "b"]}, "aud"),
    "an audience that is an object": ({"aud": {"fastchat": 1}}, "aud"),
    "no end": ({"exp": None}, "exp"),
    "a text as end": ({"exp": "1700000600"}, "exp"),
    "a switch as end": ({"exp": True}, "exp"),
    "an end before all time": ({"exp": -1}, "exp"),
    "an end beyond all time": ({"exp": 10**400}, "exp"),
    "an endless end": ({"exp": float("inf")}, "exp"),
    "no number as end": ({"exp": float("nan")}, "exp"),
    "not valid yet": ({"nbf": NOW // 1000 + 31}, "nbf"),
    "a text as beginning": ({"nbf": "now"}, "nbf"),
    "issued in the future": ({"iat": NOW // 1000 + 31}, "iat"),
    "lasts too long": ({"exp": NOW // 1000 + 3601}, "lasts longer"),
    "lasts too long by itself": ({"iat": NOW // 1000 - 3000, "exp": NOW // 1000 + 601}, "lasts longer"),
    "lasts too long from an unknown beginning": ({"iat": None, "exp": NOW // 1000 + 3631}, "lasts longer"),
    "a name with a control character": ({"name": "a\x00"}, "name"),
    "no name": ({"name": ""}, "name"),
    "a number as name": ({"name": 1}, "name"),
    "nil as name": ({"name": False}, "name"),
    "an unknown role": ({"role": "admin"}, "role"),
    "a list as role": ({"role": ["owner"]}, "role"),
    "roles that are a list": ({"roles": ["owner"]}, "roles"),
    "an unknown role in roles": ({"roles": {"a": "boss"}}, "role"),
    "a role for no room": ({"roles": {"a b": "owner"}}, "pattern"),
    "too many roles": ({"roles": {f"r{n}": "owner" for n in range(65)}}, "roles"),
    "rooms that are a text": ({"rooms": "*"}, "rooms"),
    "a room that is a number": ({"rooms": [1]}, "pattern"),
    "a room with a question mark": ({"rooms": ["team?"]}, "pattern"),
    "too many rooms": ({"rooms": ["a"] * 65}, "rooms"),
    "limits that are a number": ({"limits": 5}, "limits"),
    "a limit that is unknown": ({"limits": {"bytes": 5}}, "limits"),
    "a rate of nothing": ({"limits": {"rate": 0}}, "limits"),
    "a rate that is a switch": ({"limits": {"rate": True}}, "limits"),
    "a burst with a fraction": ({"limits": {"burst": 1.5}}, "limits"),
    "hidden as a text": ({"hidden": "yes"}, "hidden"),
    "once as a number": ({"once": 1, "jti": "j"}, "once"),
    "single use without a jti": ({"once": True}, "jti"),
    "a jti that is a number": ({"jti": 5}, "jti"),
    "a long jti": ({"jti": "j" * 129}, "jti"),
}


@pytest.mark.parametrize("wrong, says", INVALID.values(), ids=INVALID)
def test_claims_that_do_not_pass(wrong: dict[str, Any], says: str) -> None:
    refusal = refused(signed(HEADER, claims(**wrong)))
    assert refusal.code is Code.TOKEN_INVALID and says in refusal.text


def test_only_what_is_in_time_passes() -> None:
    check, second = verifier(), NOW // 1000
    assert refused(token(exp=second), check).code is Code.TOKEN_EXPIRED
    assert refused(token(exp=second - 1), check).code is Code.TOKEN_EXPIRED
    assert check.verify(token(exp=second + 0.001), NOW).expires == NOW + 1
    for claim in ("nbf", "iat"):
        assert check.verify(token(**{claim: second + LEEWAY_MS // 1000}), NOW)
    assert check.verify(token(exp=second + 3600), NOW)
    assert check.verify(token(iat=None, exp=second + 3630), NOW)
    late = token(exp=second + 10)
    assert check.verify(late, NOW + 9_999) and refused(late, check, NOW + 10_000)


def test_audience_and_issuer() -> None:
    check = verifier(issuer="https://id.example.org")
    assert check.verify(token(aud=["x", "fastchat"], iss="https://id.example.org"), NOW)
    for issuer in (None, "https://evil.example.org", ["https://id.example.org"], 1):
        assert "iss" in refused(signed(HEADER, claims(iss=issuer)), check).text


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "NONE"},
        {"alg": "HS512"},
        {"alg": "hs256"},
        {"alg": ["HS256"]},
        {"alg": None},
        {},
        {"typ": "JWT"},
    ],
)
def test_only_the_configured_algorithm(header: Any) -> None:
    assert "algorithm" in refused(signed(header, claims())).text
    assert refused(f"{part(header)}.{part(claims())}.").code is Code.TOKEN_INVALID


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_public_key_is_no_secret(algorithm: str) -> None:
    pem = public_pem(private(algorithm))
    forged = signed(HEADER, claims(), pem)
    assert "algorithm" in refused(forged, verifier(algorithm)).text
    forged = signed({"alg": algorithm}, claims(), pem)
    assert "signature" in refused(forged, verifier(algorithm)).text


def test_a_key_in_the_token_is_not_looked_at() -> None:
    jwk = {"kty": "oct", "k": part(b"x" * 32)}
    forged = signed(HEADER | {"jwk": jwk, "jku": "https://evil.example.org"}, claims(), b"x" * 32)
    assert "signature" in refused(forged).text


def test_what_must_be_understood_and_is_not() -> None:
    assert "extension" in refused(signed(HEADER | {"crit": ["b64"], "b64": True}, claims())).text
    assert refused(signed(HEADER | {"crit": ["zip"], "zip": 1}, claims())).code is Code.TOKEN_INVALID
    assert refused(signed(HEADER | {"b64": False}, claims())).code is Code.TOKEN_INVALID


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_another_key_or_a_changed_token(algorithm: str) -> None:
    check = verifier(algorithm)
    assert "signature" in refused(token(algorithm, number=1), check).text
    head, body, signature = token(algorithm).split(".")
    assert "signature" in refused(f"{head}.{part(claims(role='owner'))}.{signature}", check).text
    assert "signature" in refused(f"{head}.{body}.{part(b'x' * 64)}", check).text
    assert "signature" in refused(f"{head}.{body}.", check).text


def test_two_keys_live_at_once() -> None:
    old, new = public("EdDSA"), public("EdDSA", 1)
    check = verifier("EdDSA", keys={"old": old, "new": new})
    assert check.verify(token("EdDSA", kid="old"), NOW) and check.verify(
        token("EdDSA", number=1, kid="new"), NOW
    )
    for wrong in ("older", "", "OLD"):
        assert "kid" in refused(token("EdDSA", kid=wrong), check).text
    assert "signature" in refused(token("EdDSA", kid="new"), check).text
    assert "kid" in refused(token("EdDSA"), check).text, "which one?"
    after = verifier("EdDSA", keys={"new": new})
    assert "kid" in refused(token("EdDSA", kid="old"), after).text
    assert after.verify(token("EdDSA", number=1), NOW), "there is but one"


def test_a_key_by_two_names_is_one() -> None:
    key = public("EdDSA")
    assert verifier("EdDSA", keys={"a": key, "b": key}).verify(token("EdDSA"), NOW)


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "a.b", "a.b.c", "a.b.c.d", "\u00e9.b.c", "\ud800.b.c", "x" * (MAX_TOKEN + 1),
     part({"alg": "HS256", "kid": 5}) + ".e30.", part([1]) + ".e30.", part(b"\xff\xfe") + ".e30.",
     part(b"[" * 2000) + ".e30.", part(b'{"alg":' + b"9" * 3000 + b"}") + ".e30."],
)  # fmt: skip
def test_what_is_no_token(text: str) -> None:
    assert refused(text).code is Code.TOKEN_INVALID


@pytest.mark.parametrize("payload", [b"", b"[]", b"1", b"\xff", b"{", b"[" * 2000, b'{"exp":' + b"9" * 2900])
def test_what_are_no_claims(payload: bytes) -> None:
    assert refused(signed(HEADER, payload)).code is Code.TOKEN_INVALID


def test_a_token_has_a_longest_length() -> None:
    spare = MAX_TOKEN - len(token(email=""))
    assert verifier().verify(token(email="x" * (spare * 3 // 4)), NOW)
    assert "4096" in refused(token(email="x" * MAX_TOKEN)).text


@given(st.dictionaries(st.sampled_from(CLAIMS), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
)))  # fmt: skip
def test_whatever_the_claims_the_answer_is_one_of_two(wrong: dict[str, Any]) -> None:
    try:
        who = verifier().verify(signed(HEADER, json.dumps(claims() | wrong).encode()), NOW)
    except ProtocolError as refusal:
        assert refusal.code in (Code.TOKEN_EXPIRED, Code.TOKEN_INVALID)
    else:
        assert who.id.startswith("t:") and who.expires > NOW


@given(st.text(alphabet=st.characters(codec="ascii"), max_size=60))
def test_garbage_is_refused(text: str) -> None:
    assert refused(text).code is Code.TOKEN_INVALID


def test_a_verifier_does_not_show_its_keys() -> None:
    assert SECRET.decode() not in repr(verifier()) + str(verifier())


def test_the_settings_know_the_same_algorithms() -> None:
    assert settings_checks.ALGORITHMS == ALGORITHMS
