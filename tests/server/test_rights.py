"""Every action by every role on every other, and every token that proves nothing, over real sockets.

The tables are written by hand from docs/MODERATION.md: the server's own are not looked at.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fastchat.client import Chat, Online, Refused, connect
from fastchat.protocol.messages import Refresh
from fastchat.server import Server
from tests.client.conftest import serving
from tests.conftest import Runner
from tests.server.tokens import SECRET, claims, person, settings, token

OTHER_SECRET = b"another secret of 32 bytes or more"
ROLES = ("guest", "member", "moderator", "owner")
ROOM = "lobby"
LETTERS = {"-": "no", "g": "guest", "m": "member", "M": "moderator", "o": "owner"}

# Who may do it to whom, by role: for each who acts, those (g, m, M, o) on whom it may be done; - for none
ON_USERS = """
            guest  member  moderator  owner
kick        -      -       gm         gmM
ban         -      -       gm         gmM
unban       -      -       gm         gmM
mute        -      -       gm         gmM
unmute      -      -       gm         gmM
op          -      -       -          gmM
deop        -      -       -          gm
delete      -      -       gmMo       gmMo
edit        -      -       -          -
react       gmMo   gmMo    gmMo       gmMo
"""
# Who may do it to the room, or to what is their own: y or -
ON_THE_ROOM = """
            guest  member  moderator  owner
slow        -      -       y          y
lock        -      -       y          y
unlock      -      -       y          y
cap         -      -       y          y
publish     y      y       y          y
history     y      y       y          y
mark        y      y       y          y
edit own    y      y       y          y
delete own  y      y       y          y
publish-locked -   -       y          y
publish-muted-by-owner - - -          y
everywhere  -      -       y          y
"""


@pytest.fixture
def run() -> Runner:
    """One loop is enough for what the hub decides."""
    return Runner("uvloop")


def table(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield (action, role, what stands there) of a table."""
    _, *rows = text.strip().splitlines()
    for row in rows:
        *words, guest, member, moderator, owner = row.split()
        for role, cell in zip(ROLES, (guest, member, moderator, owner), strict=True):
            yield " ".join(words), role, cell


USERS = [
    (action, role, other, letter in cell)
    for action, role, cell in table(ON_USERS)
    for letter, other in LETTERS.items()
    if letter != "-"
]
ROOMS = [(action, role, cell == "y") for action, role, cell in table(ON_THE_ROOM)]


@asynccontextmanager
async def people(folder: Path, *roles: str) -> AsyncIterator[tuple[Server, list[Chat]]]:
    """A server with a room, an owner who made it, and somebody of each role in it; the owner comes first."""
    async with serving(**settings(folder)) as server:
        chats = [person(server.port, "root", "owner")]
        for place, role in enumerate(roles):
            chats.append(person(server.port, f"{role}{place}", None if role == "guest" else role))
        try:
            for chat in chats:
                await chat.open()
                await chat.join(ROOM)
            yield server, chats
        finally:
            for chat in chats:
                await chat.close()


async def outcome(doing: Awaitable[Any]) -> int:
    """The code of the refusal, 0 when there is none."""
    try:
        await doing
    except Refused as refusal:
        return int(refusal.code)
    return 0


async def prepare(root: Chat, action: str, user: str, role: str) -> None:
    """What has to be before an action can be undone."""
    if action in ("unban", "unmute") and role != "owner":
        await root.moderate(ROOM, action.removeprefix("un"), user)
    elif action == "deop" and role in ("guest", "member"):
        await root.moderate(ROOM, "op", user)


@pytest.mark.parametrize(("action", "role", "other", "allowed"), USERS)
def test_on_users(run: Runner, tmp_path: Path, action: str, role: str, other: str, allowed: bool) -> None:
    async def check() -> None:
        async with people(tmp_path, role, other) as (_, (root, actor, target)):
            said = (await target.publish(ROOM, "said")).offset
            lifts = allowed and action != "deop"  # and nobody lifts what a higher role has decided
            await prepare(actor if lifts else root, action, target.user, other)
            before = await state(root)
            found = await outcome(act(actor, action, target.user, said))
            if allowed:
                assert found == 0, f"refused with {found}"
            else:
                assert found == 203, f"{found}, not 203"
                assert await state(root) == before, "refused, and yet something changed"

    run(check())


def act(actor: Chat, action: str, user: str, said: int) -> Awaitable[Any]:
    if action == "delete":
        return actor.delete(ROOM, said)
    if action == "edit":
        return actor.edit(ROOM, said, "changed")
    if action == "react":
        return actor.react(ROOM, said, "👍")
    return actor.moderate(ROOM, action, user)


async def state(root: Chat) -> Any:
    """What a refused action must leave as it is: the room's messages and members."""
    members = await root.presence(ROOM)
    history = [(one.offset, one.user, getattr(one, "data", None)) for one in await root.history(ROOM)]
    return history, sorted(one.user for one in members.members)


@pytest.mark.parametrize(("action", "role", "allowed"), ROOMS)
def test_on_the_room(run: Runner, tmp_path: Path, action: str, role: str, allowed: bool) -> None:
    async def check() -> None:
        async with people(tmp_path, role) as (_, (root, actor)):
            own = (await actor.publish(ROOM, "own")).offset
            if action == "publish-locked":
                await root.moderate(ROOM, "lock")
            elif action == "publish-muted-by-owner" and role != "owner":
                await root.moderate(ROOM, "mute", actor.user)
            doing = {
                "publish": lambda: actor.publish(ROOM, "more"),
                "publish-locked": lambda: actor.publish(ROOM, "more"),
                "publish-muted-by-owner": lambda: actor.publish(ROOM, "more"),
                "history": lambda: actor.history(ROOM),
                "mark": lambda: actor.mark(ROOM, own),
                "edit own": lambda: actor.edit(ROOM, own, "changed"),
                "delete own": lambda: actor.delete(ROOM, own),
                "everywhere": lambda: actor.moderate("", "mute", "somebody"),
            }.get(action, lambda: actor.moderate(ROOM, action, seconds=5, members=50))
            before = await state(root)
            found = await outcome(doing())
            if allowed:
                assert found == 0, f"refused with {found}"
            else:
                assert found == (205 if "muted" in action else 203)
                assert await state(root) == before, "refused, and yet something changed"

    run(check())


def test_nobody_acts_on_themselves_but_to_step_down(run: Runner, tmp_path: Path) -> None:
    async def check() -> None:
        async with people(tmp_path, "moderator", "member") as (_, (root, moderator, member)):
            for action in ("kick", "ban", "mute", "op"):
                assert await outcome(moderator.moderate(ROOM, action, moderator.user)) == 203
                assert await outcome(root.moderate(ROOM, action, root.user)) == 203
            await root.moderate(ROOM, "op", member.user)
            await member.moderate(ROOM, "slow", seconds=5)
            await member.moderate(ROOM, "deop", member.user)
            assert await outcome(member.moderate(ROOM, "slow")) == 203

    run(check())


def test_a_role_in_some_rooms_is_none_in_others(run: Runner, tmp_path: Path) -> None:
    async def check() -> None:
        async with serving(**settings(tmp_path)) as server:
            roles = {"team:*": "moderator"}
            async with person(server.port, "eve", "member", roles=roles) as eve:
                await eve.join("team:red")
                await eve.join("lobby")
                assert await outcome(eve.moderate("team:red", "lock")) == 0
                assert await outcome(eve.moderate("lobby", "lock")) == 203
                assert await outcome(eve.moderate("", "mute", "bob")) == 203
                assert await outcome(eve.moderate("team:blue", "lock")) == 304, "not a member of it"

    run(check())


def test_a_token_for_some_rooms_opens_no_others(run: Runner, tmp_path: Path) -> None:
    async def check() -> None:
        async with serving(**settings(tmp_path)) as server:
            async with person(server.port, "ada", rooms=["team:red", "team:green:*"]) as ada:
                for room, code in (("team:red", 0), ("team:green:1", 0), ("team:blue", 203), ("lobby", 203)):
                    assert await outcome(ada.join(room)) == code, room
                    assert await outcome(ada.publish(room, "x")) == code, room
                    assert await outcome(ada.history(room)) == code, room

    run(check())


# tokens


def unsigned(sub: str = "ada", **given: Any) -> str:
    return jwt.encode(claims(sub, **given), None, "none")  # type: ignore[arg-type]


def tampered() -> str:
    head, _, signature = token("ada").split(".")
    payload = base64.urlsafe_b64encode(json.dumps(claims("ada", role="owner")).encode()).rstrip(b"=").decode()
    return f"{head}.{payload}.{signature}"


def signed(key: Any, algorithm: str, **headers: Any) -> str:
    return jwt.encode(claims("ada"), key, algorithm, headers or None)


def at(seconds: int) -> int:
    """Return a time so many seconds from now: a test may run minutes after it was collected."""
    return int(time.time()) + seconds


BAD: dict[str, tuple[Callable[[], str], int, str]] = {  # the code and a word of why
    "expired": (lambda: token("ada", iat=at(-900), exp=at(-60)), 201, "expired"),
    "without an end": (lambda: token("ada", exp=None), 202, "exp"),
    "for longer than may be": (lambda: token("ada", exp=at(90_000)), 202, "lasts longer"),
    "not valid yet": (lambda: token("ada", nbf=at(300)), 202, "nbf"),
    "of the future": (lambda: token("ada", iat=at(300)), 202, "iat"),
    "unsigned": (unsigned, 202, "not signed with HS256"),
    "unsigned, as an owner": (lambda: unsigned(role="owner"), 202, "not signed with HS256"),
    "signed with another secret": (lambda: signed(OTHER_SECRET, "HS256"), 202, "signature"),
    "of a like algorithm": (lambda: signed(SECRET * 2, "HS512"), 202, "not signed with HS256"),
    "of another algorithm": (lambda: signed(Ed25519PrivateKey.generate(), "EdDSA"), 202, "not signed with"),
    "with a key that nobody knows": (lambda: signed(SECRET, "HS256", kid="nobody"), 202, "kid"),
    "changed after it was signed": (tampered, 202, "signature"),
    "without its signature": (lambda: token("ada").rpartition(".")[0] + ".", 202, "signature"),
    "for another audience": (lambda: token("ada", aud="elsewhere"), 202, "aud"),
    "for no audience": (lambda: token("ada", aud=None), 202, "aud"),
    "from another issuer": (lambda: token("ada", iss="elsewhere"), 202, "iss"),
    "of nobody": (lambda: token(None), 202, "sub"),
    "of a role that is none": (lambda: token("ada", role="god"), 202, "role"),
    "garbage": (lambda: "garbage", 202, "no token"),
    "empty": (lambda: "..", 202, "no token"),
}


@pytest.mark.parametrize("wrong", BAD)
def test_a_token_that_proves_nothing_opens_nothing(run: Runner, tmp_path: Path, wrong: str) -> None:
    make, code, why = BAD[wrong]

    async def check() -> None:
        async with serving(**settings(tmp_path, token_issuer="here")) as server:
            url = f"tcp://127.0.0.1:{server.port}"
            with pytest.raises(Refused) as refused:
                async with connect(url, token=make()):
                    pass
            assert refused.value.code == code and why in refused.value.text
            assert make() not in str(refused.value)
            assert len(server.hub.users) == 0
            async with connect(url, token=token("ada")) as ada:  # a sound one does
                assert ada.user == "ada"

    run(check())


def test_a_token_for_one_use_is_used_once(run: Runner, tmp_path: Path) -> None:
    async def check() -> None:
        async with serving(**settings(tmp_path)) as server:
            url, once = f"tcp://127.0.0.1:{server.port}", token("ada", once=True, jti="ticket-1")
            async with connect(url, token=once) as ada:
                await ada.join(ROOM)
                assert await outcome(connect(url, token=once).open()) == 202
            assert await outcome(connect(url, token=once).open()) == 202

    run(check())


def test_a_ticket_opens_its_room_once_and_across_a_reconnection(run: Runner, tmp_path: Path) -> None:
    async def check() -> None:
        async with serving(**settings(tmp_path)) as server:
            ticket = token("ada", rooms=["team:red"], once=True, jti="ticket-2")
            async with person(server.port, "ada", rooms=["lobby"]) as ada:
                assert await outcome(ada.join("team:blue", token=ticket)) == 203
                events = ada.events()
                await ada.join("team:red", token=ticket, presence=True)
                await ada.publish("team:red", 1)
                assert ada._driver._link is not None
                ada._driver._link.abort("test")
                async for event in events:
                    if isinstance(event, Online):
                        break
                assert (await ada.publish("team:red", 2)).offset == 2
                assert ada.position("team:red") is not None, "the ticket was not shown again"
            async with person(server.port, "ada", rooms=["lobby"]) as again:
                assert await outcome(again.join("team:red", token=ticket)) == 202

    run(check())


def test_a_session_ends_with_its_token(run: Runner, tmp_path: Path) -> None:
    async def check() -> None:
        async with serving(**settings(tmp_path)) as server:
            url = f"tcp://127.0.0.1:{server.port}"
            short = token("ada", exp=time.time() + 1.0)
            async with connect(url, token=short) as ada:
                room = ada.room(ROOM)
                with pytest.raises(Refused) as refused:
                    async for _ in room:
                        pass
                assert refused.value.code == 201

    run(check())


def test_a_function_that_gives_tokens_keeps_a_session_beyond_one(run: Runner, tmp_path: Path) -> None:
    async def check() -> None:
        async with serving(**settings(tmp_path)) as server:
            given: list[str] = []

            def fresh() -> str:
                given.append(token("ada", exp=int(time.time()) + 100 * (len(given) + 1)))
                return given[-1]

            async with connect(f"tcp://127.0.0.1:{server.port}", token=fresh) as ada:
                (session,) = server.hub.sessions
                ends = session.identity.expires
                ada._core.passport.due = ada._driver.now()  # time flies
                while session.identity.expires == ends:
                    await ada.publish(ROOM, "still here")
                assert session.identity.expires > ends
                assert ada._core.connections == 1 and len(given) == 2

    run(check())


def test_a_token_of_somebody_else_does_not_refresh_a_session(run: Runner, tmp_path: Path) -> None:
    async def check() -> None:
        async with serving(**settings(tmp_path)) as server:
            async with connect(f"tcp://127.0.0.1:{server.port}", token=token("ada")) as ada:
                for other in (token("bob"), unsigned(), token("ada", exp=at(-60))):
                    assert await outcome(ada._call(Refresh(0, other))) in (201, 202, 203)
                assert await ada.ping() > 0 and ada.user == "ada"

    run(check())
