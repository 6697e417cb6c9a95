"""The shortcuts of a room: each is one action, and says what it was given."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fastchat.client.events import Ack
from fastchat.client.room import Room, Wanted

NOTHING = {"seconds": 0, "reason": None, "address": False, "members": 0}
ACK = Ack(7, 1, False)


class Host:
    """Notes what a room asks of its chat."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def position(self, room: str) -> None:
        return None

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def note(*given: Any, **options: Any) -> Any:
            self.asked.append((name, given, options))
            return ACK

        return note


def room(host: Host) -> Room:
    return Room("lobby", Wanted(), host, None, lambda: None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("do", "action", "user", "options"),
    [
        (lambda one: one.kick("bob", "spam"), "kick", "bob", {"reason": "spam"}),
        (lambda one: one.ban("bob", 60, "spam"), "ban", "bob", {"seconds": 60, "reason": "spam"}),
        (lambda one: one.ban("bob", address=True), "ban", "bob", {"address": True}),
        (lambda one: one.unban("bob"), "unban", "bob", {}),
        (lambda one: one.mute("bob", 5), "mute", "bob", {"seconds": 5}),
        (lambda one: one.unmute("bob"), "unmute", "bob", {}),
        (lambda one: one.slow(5), "slow", "", {"seconds": 5}),
        (lambda one: one.lock(), "lock", "", {}),
        (lambda one: one.unlock(), "unlock", "", {}),
        (lambda one: one.cap(50), "cap", "", {"members": 50}),
        (lambda one: one.op("bob"), "op", "bob", {}),
        (lambda one: one.deop("bob"), "deop", "bob", {}),
    ],
)
def test_a_shortcut_is_one_action(
    do: Callable[[Room], Any], action: str, user: str, options: dict[str, Any]
) -> None:
    host = Host()
    asyncio.run(do(room(host)))
    (asked,) = host.asked
    name, (where, what, *whom), given = asked
    assert (name, where, what) == ("moderate", "lobby", action) and "".join(whom) == user
    assert given == NOTHING | options


def test_messages_of_a_room_are_changed_through_its_chat() -> None:
    async def check() -> None:
        host = Host()
        one = room(host)
        assert await one.edit(3, "x") == await one.delete(3) == await one.react(3, "👍") == ACK
        await one.mark(3)
        assert [(name, given) for name, given, _ in host.asked] == [
            ("edit", ("lobby", 3, "x")),
            ("delete", ("lobby", 3)),
            ("react", ("lobby", 3, "👍", True)),
            ("mark", ("lobby", 3)),
        ]

    asyncio.run(check())
