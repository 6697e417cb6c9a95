"""What a user can do, and what of it goes again after the connection broke under it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from fastchat.client.acts import Acts
from fastchat.client.failures import Disconnected
from fastchat.client.requests import Kind
from fastchat.protocol import messages as wire
from tests.client.scripted import Script


class Torn(Acts):
    """Loses the connection once, when a command was sent and before its answer."""

    def __init__(self) -> None:
        self.script = Script().connected()
        self._core = self.script.core
        self.again: list[wire.Command] = []

    async def _in(self, room: str) -> None:
        pass

    async def _call(
        self,
        command: wire.Command,
        timeout: float | None = None,
        kind: Kind = Kind.CALL,
        *,
        again: bool = True,
    ) -> Mapping[str, Any]:
        script = self.script
        number = script.core.request(command, script.now, kind, again)
        assert len(script.sent()) == 1
        script.core.lost("cut", script.now)
        script.gather()
        script.let_in(script.open())
        self.again = [one for one in script.sent() if not isinstance(one, wire.Pong)]
        answer = script.answers.get(number, {"offset": 7, "ts": 1, "sessions": 1})
        if isinstance(answer, Exception):
            raise answer
        found: Mapping[str, Any] = answer
        return found


@pytest.mark.parametrize(
    "do",
    [
        lambda acts: acts.edit("lobby", 3, "first"),  # another session may have said "second" since
        lambda acts: acts.react("lobby", 3, "👍"),
        lambda acts: acts.react("lobby", 3, "👍", False),
        lambda acts: acts.signal("bob", 1),
        lambda acts: acts.moderate("lobby", "kick", "bob"),
    ],
)
def test_what_could_undo_something_later_is_not_sent_again(do: Callable[[Torn], Any]) -> None:
    acts = Torn()
    with pytest.raises(Disconnected, match="it is not known whether this was carried out"):
        asyncio.run(do(acts))
    assert acts.again == []


@pytest.mark.parametrize(
    "do",
    [
        lambda acts: acts.publish("lobby", "hi"),
        lambda acts: acts.delete("lobby", 3),
        lambda acts: acts.direct("bob", "hi"),
        lambda acts: acts.mark("lobby", 3),
        lambda acts: acts.moderate("lobby", "ban", "bob"),
    ],
)
def test_what_does_no_harm_twice_is_sent_again(do: Callable[[Torn], Any]) -> None:
    acts = Torn()
    asyncio.run(do(acts))
    assert len(acts.again) == 1
