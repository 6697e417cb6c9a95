"""Messages that are edited, deleted, reacted to and answered, in `fastchat chat` against a real server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastchat.client import connect
from tests.cli.test_conversation import Talk
from tests.client.conftest import serving

Run = Callable[..., Any]


def test_messages_are_named_changed_and_answered(run: Run) -> None:
    async def check() -> None:
        async with serving() as server:
            url = f"tcp://127.0.0.1:{server.port}"
            async with connect(url, name="ada") as a, connect(url, name="bob") as b:
                ada, bob = await Talk(a).start(), await Talk(b).start()
                await bob.screen.until("here: ada, bob")
                await ada.screen.until("came: bob")
                await ada.type("helo @bob.", "#1 ada: helo @bob.")
                assert "ada: (to you) helo" in await bob.screen.until("helo")
                await ada.type("/edit hello \x1b[2J", "#1 ada: hello ␛[2J (edited)")
                await bob.screen.until("hello ␛[2J (edited)")
                await bob.type("/reply what?", "#3 bob: (re #1 ada) what?")
                await ada.screen.until("#3 bob: (re #1 ada) what?")
                await bob.type("/react 👍", "-- bob reacted 👍 to #1, ada's")
                await bob.type("/react 👍 #1", "-- that changes nothing at #1")
                await ada.type("/history", "ada: hello ␛[2J (edited) [👍 bob]")
                await bob.type("/unreact 👍 #1", "-- bob took back 👍 from #1, ada's")
                await ada.type("second", "#6 ada: second")
                await ada.type("/edit -2 the first", "#1 ada: the first (edited)")
                await ada.type("/edit #3 not mine", "not done: the server refused")
                await ada.type("/edit #99 nothing", "no such message")
                await ada.type("/delete", "-- ada deleted #6")
                await bob.screen.until("-- ada deleted #6")
                await ada.type("/delete", "-- ada deleted #1")
                await ada.type("/delete", "there is no such message of yours here")
                await bob.type("/history", "#1 ada: (deleted)")
                await ada.type("/away at lunch", "-- you are away")
                await bob.type("/who", "ada (away: at lunch), bob")
                await ada.type("/back", "-- you are back")
                await ada.quit()
                await bob.quit()
                await ada.conversation.end()
                # who comes later sees the messages as they are, and no change a second time
                await bob.conversation.end()
            async with connect(url, name="eve") as e:
                eve = await Talk(e).start(history=50)
                await eve.screen.until("#3 bob: (re #1 ada) what?")
                await eve.type("/ping", " ms")
                assert not any("edited" in line or "reacted" in line for line in eve.screen.shown)
                await eve.quit()

    run(check())
