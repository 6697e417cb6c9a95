"""Tokens over real sockets: who comes in, until when, and that no log knows of them."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from functools import partial
from hashlib import sha256
from hmac import digest
from pathlib import Path
from typing import Any

import pytest

from fastchat.config import Config, Guests
from fastchat.errors import Code, ConfigError
from fastchat.identity.keys import thumbprint
from fastchat.server import Server
from tests.conftest import Runner
from tests.identity.making import SECRET, claims, part, private, public, public_pem, token
from tests.server.parts import Parts
from tests.server.wire import BYE, CONNECT, ERROR, JOIN, RESULT, WIRES, dial, serving

REFRESH = 15
NAMES = sorted(WIRES)
ISSUER = "https://id.example.org"


def now() -> int:
    return time.time_ns() // 1_000_000


def fresh(algorithm: str = "EdDSA", **given: Any) -> str:
    return token(algorithm, now=now(), **given)


def settings(directory: Path, *numbers: int, **given: Any) -> dict[str, Any]:
    """Settings of a server that checks tokens of these keys."""
    paths = []
    for number in numbers or (0,):
        path = directory / f"{number}.pub"
        path.write_bytes(public_pem(private("EdDSA", number)))
        paths.append(f"k{number}={path}")
    return {"token_algorithm": "EdDSA", "token_keys": tuple(paths), "guests": Guests.NOBODY} | given


@pytest.mark.parametrize("wire", NAMES)
def test_a_token_lets_somebody_in(run: Runner, parts: Parts, tmp_path: Path, wire: str) -> None:
    async def scenario() -> None:
        async with serving(**settings(tmp_path)) as server, dial(server, wire) as peer:
            peer.send(CONNECT, 1, 1, {"name": "ada"})
            assert (await peer.receive())[:3] == [ERROR, 1, Code.FORBIDDEN]
            peer.send(
                CONNECT, 2, 1, {"token": fresh(rooms=["lobby"]), "rooms": {"lobby": None, "hall": None}}
            )
            op, id, body = await peer.receive()
            assert (op, id, body["user"]) == (RESULT, 2, "Ada")
            assert 0 < body["expires"] - now() <= 600_000
            assert body["rooms"]["lobby"]["members"] == 1
            assert body["rooms"]["hall"]["error"][0] == Code.FORBIDDEN
            peer.send(JOIN, 3, "hall", {"token": fresh(jti="j1", once=True)})
            assert (await peer.until(RESULT))[1] == 3
            peer.send(JOIN, 4, "yard", {"token": fresh(jti="j1", once=True)})
            assert (await peer.until(ERROR))[1:3] == [4, Code.TOKEN_INVALID]

    run(scenario())


def bad_tokens() -> dict[str, tuple[str, Code]]:
    second = now() // 1000
    good = partial(fresh, iss=ISSUER)
    head, body, signature = good().split(".")
    pem = public_pem(private("EdDSA"))
    return {
        "expired": (good(exp=second - 1, iat=second - 60), Code.TOKEN_EXPIRED),
        "unsigned": (f"{part({'alg': 'none'})}.{body}.", Code.TOKEN_INVALID),
        "its signature cut off": (f"{head}.{body}.", Code.TOKEN_INVALID),
        "of another algorithm": (good("ES256"), Code.TOKEN_INVALID),
        "signed with the public key as a secret": (_confused(pem), Code.TOKEN_INVALID),
        "of another key": (good(number=5), Code.TOKEN_INVALID),
        "of an unknown kid": (good(kid="k5"), Code.TOKEN_INVALID),
        "of another audience": (good(aud="mail"), Code.TOKEN_INVALID),
        "of another issuer": (fresh(iss="https://evil.example.org"), Code.TOKEN_INVALID),
        "not valid yet": (good(nbf=second + 120), Code.TOKEN_INVALID),
        "too long lived": (good(exp=second + 7200), Code.TOKEN_INVALID),
        "mistyped": (good(rooms="lobby"), Code.TOKEN_INVALID),
        "too long": ("x" * 4097, Code.TOKEN_INVALID),
        "garbage": ("\x00\u20ac", Code.TOKEN_INVALID),
    }


def _confused(pem: bytes) -> str:
    text = f"{part({'alg': 'HS256'})}.{part(claims(now=now(), iss=ISSUER))}"
    return f"{text}.{part(digest(pem, text.encode(), sha256))}"


def test_bad_tokens_let_nobody_in(run: Runner, parts: Parts, tmp_path: Path) -> None:
    async def scenario() -> None:
        given = settings(tmp_path, token_issuer=ISSUER)
        async with serving(**given) as server:
            for why, (text, code) in bad_tokens().items():
                async with dial(server) as peer:
                    peer.send(CONNECT, 1, 1, {"token": text})
                    answer = await peer.receive()
                    assert answer[:3] == [ERROR, 1, code] and answer[4] == {"field": "token"}, why
                    peer.send(CONNECT, 2, 1, {"token": fresh(iss=ISSUER, sub=why[:20], name=None)})
                    assert (await peer.receive())[:2] == [RESULT, 2], why

    run(scenario())


def test_a_stream_of_bad_tokens_is_cut(run: Runner, parts: Parts, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(**settings(tmp_path)) as server, dial(server) as peer:
            for id in range(1, 6):
                peer.send(CONNECT, id, 1, {"token": fresh(number=5)})
            assert [(await peer.receive())[0] for _ in range(4)] == [ERROR, ERROR, ERROR, BYE]
            assert await peer.rest() == b""

    run(scenario())


def test_two_keys_are_live(run: Runner, parts: Parts, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(**settings(tmp_path, 0, 1)) as server:
            for number, kid in ((0, "k0"), (1, "k1"), (1, thumbprint(public("EdDSA", 1)))):
                async with dial(server) as peer:
                    peer.send(CONNECT, 1, 1, {"token": fresh(number=number, kid=kid)})
                    assert (await peer.receive())[0] == RESULT

    run(scenario())


def test_the_connection_ends_with_the_token_unless_it_is_renewed(
    run: Runner, parts: Parts, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with serving(**settings(tmp_path)) as server, dial(server) as ada, dial(server) as bob:
            end = now() / 1000 + 1
            for peer, name in ((ada, "ada"), (bob, "bob")):
                peer.send(CONNECT, 1, 1, {"token": fresh(sub=name, name=name, exp=end)})
                assert (await peer.receive())[2]["expires"] == int(end * 1000)
            ada.send(REFRESH, 2, fresh(sub="ada"))
            assert (await ada.receive())[2]["expires"] > end * 1000
            ada.send(REFRESH, 3, fresh(sub="bob"))
            assert (await ada.receive())[:3] == [ERROR, 3, Code.TOKEN_INVALID]
            assert (await bob.receive())[:2] == [BYE, Code.TOKEN_EXPIRED]
            assert end * 1000 <= now() < end * 1000 + 5000
            assert await bob.rest() == b""
            ada.send(JOIN, 4, "lobby")
            assert (await ada.receive())[:2] == [RESULT, 4]

    run(scenario())


def test_a_restart_forgets_neither_used_tokens_nor_whose_a_name_is(
    run: Runner, parts: Parts, tmp_path: Path
) -> None:
    once = fresh(jti="j1", once=True)
    asked = ({"token": once}, {"token": once}, {"name": "\u0430da"}, {"token": fresh(sub="u2")})
    kept = settings(tmp_path, engine="sqlite", data=str(tmp_path / "data"), guests=Guests.LOCAL)

    async def scenario() -> None:
        for turn, answers in enumerate(((0, 202, 307, 307), (202, 202, 307, 307))):
            async with serving(**kept) as server:
                for opts, code in zip(asked, answers, strict=True):
                    async with dial(server) as peer:
                        peer.send(CONNECT, 1, 1, opts)
                        answer = await peer.receive()
                        assert (answer[2] if answer[0] == ERROR else 0) == code, (turn, opts, answer)

    run(scenario())


def test_over_a_unix_socket_a_guest_is_local(run: Runner, parts: Parts, tmp_path: Path) -> None:
    async def scenario() -> None:
        path = str(tmp_path / "chat")
        async with serving(unix=path, **settings(tmp_path, guests=Guests.LOCAL)) as server:
            async with dial(server, "tcp", "ada", unix=path), dial(server, "ws", "bob"):
                pass

    run(scenario())


def test_what_cannot_check_tokens_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 32 bytes"):
        Server(Config(token_algorithm="HS256"), token_secret="short")
    with pytest.raises(ConfigError, match=re.escape("FASTCHAT_TOKEN_SECRET")):
        Server(Config(token_algorithm="HS256"))


def test_no_log_knows_of_secrets_or_tokens(
    run: Runner, parts: Parts, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    texts = [fresh("HS256"), fresh("HS256", exp=now() // 1000 - 5), fresh("HS256", number=1)]

    async def scenario() -> None:
        secret = SECRET.decode()
        config = Config(port=0, token_algorithm="HS256", guests=Guests.NOBODY)
        server = Server(config, token_secret=secret)
        await server.start()
        try:
            for text in texts:
                async with dial(server) as peer:
                    peer.send(CONNECT, 1, 1, {"token": text})
                    await peer.receive()
            shown = repr([config, server, server.hub, server.hub.verifier, vars(server)])
            assert secret not in shown and all(text not in shown for text in texts)
        finally:
            await server.stop()
        await asyncio.sleep(0)

    with caplog.at_level(logging.DEBUG):
        run(scenario())
    for text in texts:
        assert SECRET.decode() not in caplog.text
        assert text.split(".")[2] not in caplog.text and text not in caplog.text
