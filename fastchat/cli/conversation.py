"""What `fastchat chat` does with what is typed and what arrives.

Invariant: nothing a peer sent reaches the console but through `text`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from fastchat.cli.failure import explain
from fastchat.cli.palette import Palette
from fastchat.cli.speech import remark, said
from fastchat.cli.text import body, safe
from fastchat.client import Chat, Direct, Event, Left, Message, Presence, Refused
from fastchat.errors import FastChatError

MOST_NAMED = 12  # names in one line about who came and went
HELP = """\
  /who             who is here
  /me TEXT         say what you do
  /msg USER TEXT   to one user alone
  /block USER      hear no more of somebody; /unblock USER hears them again
  /history N       the last N messages
  /ping            a round trip to the server
  /quit            leave
  //text           say something that begins with a slash
Names are chosen at the start: fastchat chat ROOM --name NAME."""


class Screen(Protocol):
    """Where lines go to and come from."""

    interactive: bool

    async def show(self, line: str) -> None: ...

    def lines(self) -> Any: ...


class Conversation:
    """One user, one room, one screen."""

    def __init__(self, chat: Chat, room: str, screen: Screen, palette: Palette) -> None:
        self._chat = chat
        self._room = room
        self._screen = screen
        self._palette = palette
        self._here: set[str] = set()
        self._commands: dict[str, Callable[[str], Awaitable[None]]] = {
            "help": self._help,
            "who": self._who,
            "me": self._me,
            "msg": self._msg,
            "block": self._block,
            "unblock": self._unblock,
            "history": self._history,
            "ping": self._ping,
            "nick": self._nick,
        }

    async def begin(self, history: int) -> None:
        """Join; raises Refused."""
        self._events = self._chat.events()
        await self._chat.join(self._room, history=history, presence=True)

    async def run(self) -> None:
        """Talk until /quit, the end of the input, or the end of the connection for good."""
        listening = asyncio.ensure_future(self._listen())
        talking = asyncio.ensure_future(self._talk())
        try:
            done, _ = await asyncio.wait((listening, talking), return_when=asyncio.FIRST_COMPLETED)
        finally:
            listening.cancel()
            talking.cancel()
            await asyncio.gather(listening, talking, return_exceptions=True)
        for task in done:
            task.result()

    # what is typed

    async def _talk(self) -> None:
        async for line in self._screen.lines():
            if not line.strip():
                continue
            if line.strip() == "/quit":
                return
            try:
                await self._typed(line)
            except FastChatError as error:
                if not self._screen.interactive or not isinstance(error, Refused | TimeoutError):
                    raise
                await self._note(f"not done: {explain(error)}", "error")

    async def _typed(self, line: str) -> None:
        if not line.startswith("/") or line.startswith("//"):
            await self._chat.publish(self._room, line.removeprefix("/") if line[:2] == "//" else line)
            return
        word, _, rest = line[1:].strip().partition(" ")
        command = self._commands.get(word)
        if command is None:
            await self._note(f"there is no /{word}; /help lists what there is", "error")
            return
        await command(rest.strip())

    async def _help(self, rest: str) -> None:
        for line in HELP.splitlines():
            await self._screen.show(line)

    async def _who(self, rest: str) -> None:
        members = await self._chat.presence(self._room)
        names = sorted((one.user for one in members.members), key=str.casefold)
        more = f" and {members.count - len(names)} more" if members.count > len(names) else ""
        await self._note(f"{members.count} here: {', '.join(names)}{more}")

    async def _me(self, rest: str) -> None:
        if rest:
            await self._chat.publish(self._room, f"* {self._chat.user} {rest}")

    async def _msg(self, rest: str) -> None:
        user, _, text = rest.partition(" ")
        if not text.strip():
            await self._note("write /msg USER TEXT", "error")
            return
        await self._chat.direct(user, text.strip())
        await self._whisper(f"to {safe(user)}: {body(text.strip())}")

    async def _block(self, rest: str) -> None:
        await self._chat.block(rest)
        await self._note(f"you hear no more of {rest}")

    async def _unblock(self, rest: str) -> None:
        await self._chat.block(rest, False)
        await self._note(f"you hear {rest} again")

    async def _history(self, rest: str) -> None:
        offset = self._chat.position(self._room)
        before = None if offset is None else offset[1] + 1
        limit = int(rest) if rest.isdecimal() else 20
        for event in await self._chat.history(self._room, before=before, limit=max(1, min(limit, 1000))):
            if isinstance(event, Message):
                await self._screen.show(said(event, self._palette))

    async def _ping(self, rest: str) -> None:
        await self._note(f"{await self._chat.ping() * 1000:.2f} ms")

    async def _nick(self, rest: str) -> None:
        await self._note("names are chosen at the start: fastchat chat ROOM --name NAME", "error")

    # what arrives

    async def _listen(self) -> None:
        async for event in self._events:
            await self._arrived(event)

    async def _arrived(self, event: Event) -> None:
        if isinstance(event, Left):
            raise Refused(event.code, event.text)
        if isinstance(event, Message):
            await self._screen.show(said(event, self._palette))
        elif isinstance(event, Direct):
            await self._whisper(f"from {safe(event.user)}: {body(event.data)}")
        elif isinstance(event, Presence):
            await self._came_and_went(event)
        else:
            text = remark(event)
            if text:
                await self._note(text, "warn")

    async def _came_and_went(self, event: Presence) -> None:
        now = {one.user for one in event.joined}
        if event.snapshot:
            came, left = (now - self._here if self._here else set()), self._here - now
            if not self._here:
                await self._note(f"{event.count} here: {_some(now)}" if now else f"{event.count} here")
            self._here = now
        else:
            came, left = now - self._here, self._here & set(event.left)  # the others changed their state
            self._here = (self._here | now) - set(event.left)
        came.discard(self._chat.user)
        if came:
            await self._note(f"came: {_some(came)}")
        if left:
            await self._note(f"left: {_some(left)}")

    async def _note(self, text: str, style: str = "dim") -> None:
        await self._screen.show(self._palette.paint(f"-- {safe(text)}", style))

    async def _whisper(self, text: str) -> None:
        await self._screen.show(self._palette.paint(text, "whisper"))


def _some(names: set[str]) -> str:
    listed = sorted(names, key=str.casefold)
    more = f" and {len(listed) - MOST_NAMED} more" if len(listed) > MOST_NAMED else ""
    return ", ".join(listed[:MOST_NAMED]) + more
