"""A room with one of each role, for the tests of moderation."""

from __future__ import annotations

from typing import Any

from fastchat.engine.base import Engine
from fastchat.errors import Code
from fastchat.hub import Peer
from fastchat.identity.base import Identity, Role
from fastchat.protocol.codec import pack
from fastchat.protocol.messages import Error, Moderate, Notice, Publish
from tests.hub.stage import Client, Stage

NAMES = {Role.GUEST: "guy", Role.MEMBER: "meg", Role.MODERATOR: "mod", Role.OWNER: "own"}


def become(client: Client, role: Role, **roles: Role) -> Client:
    """Let a client have a token with this role, or only in some rooms."""
    session = client.session
    name = session.user.key
    session.identity = Identity(f"t:{name}" if role or roles else f"g:{name}", role, roles)
    session.user.id = session.identity.id
    return client


def come_from(client: Client, address: str) -> Client:
    """Let a client be somewhere else."""
    client.session.peer = Peer(address, "tcp", False)
    return client


def court(stage: Stage, *others: str) -> list[Any]:
    """A guest, a member, a moderator and an owner in the lobby, and others who are guests."""
    clients = stage.join(*NAMES.values(), *others)
    for number, client in enumerate(clients):
        become(come_from(client, f"10.0.0.{number}"), Role(number) if number < len(NAMES) else Role.GUEST)
    return clients


def act(client: Client, action: str, user: str = "", room: str = "lobby", **given: Any) -> Code | None:
    """Do an action; returns None where it was done, else the code of the refusal."""
    answer = client.ask(Moderate, room, action, user, **given)
    return Code(answer.code) if isinstance(answer, Error) else None


def notices(client: Client) -> list[Notice]:
    """What a client was told, and forgets."""
    return client.take(Notice)


def again(stage: Stage, engine: Engine | None = None) -> Stage:
    """Another server with what the one before kept."""
    started = Stage(stage.config, engine=engine or stage.engine)
    started.now = stage.now
    started.hub.tick(started.now)
    return started


def say(client: Client, text: str = "hello", room: str = "lobby") -> Code | None:
    """Publish; returns None where it passed, else the code of the refusal."""
    answer = client.ask(Publish, room, pack(text))
    return Code(answer.code) if isinstance(answer, Error) else None
