"""What `fastchat chat` does with what is typed and what arrives.

Invariant: nothing a peer sent reaches the console but through `text`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Protocol

from fastchat.cli.deeds import Deeds
from fastchat.cli.failure import explain
from fastchat.cli.palette import Palette
from fastchat.cli.slash import SlashError, parse
from fastchat.cli.speech import changed, remark, said
from fastchat.cli.text import body, safe
from fastchat.cli.transcript import Transcript
from fastchat.client import Change, Chat, Direct, Event, Left, Message, Presence, Refused
from fastchat.errors import FastChatError

MOST_NAMED = 12  # names in one line about who came and went
MOST_MENTIONS = 32  # docs/PROTOCOL.md, "Commands"
MARK_SECONDS = 1.0  # whoever leaves does not wait longer for the server to remember where they were


class Screen(Protocol):
    """Where lines go to and come from."""

    interactive: bool

    async def show(self, line: str) -> None: ...

    def lines(self) -> AsyncIterator[str]: ...


class Conversation:
    """One user, one room, one screen."""

    def __init__(self, chat: Chat, room: str, screen: Screen, palette: Palette) -> None:
        self._chat = chat
        self._room = room
        self._screen = screen
        self._palette = palette
        self._here: set[str] = set()
        self._transcript = Transcript()
        self._deeds = Deeds(chat, room, self, self._transcript)

    async def begin(self, history: int) -> None:
        """Join; raises Refused."""
        self._events = self._chat.events()
        joined = await self._chat.join(self._room, history=history, presence=True)
        if joined.read is not None and joined.read < joined.offset:
            await self.note(f"new since you were here: #{joined.read + 1} to #{joined.offset}")

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

    async def end(self) -> None:
        """Let the server remember up to where we have read."""
        with suppress(FastChatError, TimeoutError):
            async with asyncio.timeout(MARK_SECONDS):
                await self._chat.mark(self._room)

    # what is typed

    async def _talk(self) -> None:
        async for line in self._screen.lines():
            if not line.strip():
                continue
            if line.strip() == "/quit":
                return
            try:
                await self._typed(line)
            except SlashError as error:
                await self.note(str(error), "error")
            except FastChatError as error:
                if not self._screen.interactive or not isinstance(error, Refused | TimeoutError):
                    raise
                await self.note(f"not done: {explain(error)}", "error")

    async def _typed(self, line: str) -> None:
        if not line.startswith("/") or line.startswith("//"):
            text = line.removeprefix("/") if line[:2] == "//" else line
            await self._chat.publish(self._room, text, mentions=self._mentioned(text))
            return
        slash, given = parse(line[1:].strip())
        await self._deeds.do(slash, given)

    def _mentioned(self, text: str) -> list[str]:
        """Who of those here is called by @name."""
        if "@" not in text:
            return []
        called = {word.casefold() for word in re.findall(r"@([^\s@,:;!?]+)", text)}
        called |= {word.rstrip(".") for word in called}
        return sorted(name for name in self._here if name.casefold() in called)[:MOST_MENTIONS]

    # what arrives

    async def _listen(self) -> None:
        async for event in self._events:
            await self._arrived(event)

    async def _arrived(self, event: Event) -> None:
        if isinstance(event, Left):
            raise Refused(event.code, event.text)
        if isinstance(event, Message):
            await self.message(event)
        elif isinstance(event, Change):
            await self._change(event)
        elif isinstance(event, Direct):
            await self.whisper(f"from {safe(event.user)}: {body(event.data)}")
        elif isinstance(event, Presence):
            await self._came_and_went(event)
        else:
            text = remark(event)
            if text:
                await self.note(text, "warn")

    async def _change(self, event: Change) -> None:
        if not self._transcript.change(event):
            return  # it came with the message itself
        message = self._transcript.get(event.target)
        if event.kind == "edit" and message is not None:
            await self.message(message)
            return
        whose = f", {message.user}'s" if message is not None and message.user != event.user else ""
        await self.note(f"{changed(event)}{whose}")

    async def _came_and_went(self, event: Presence) -> None:
        now = {one.user for one in event.joined}
        if event.snapshot:
            came, left = (now - self._here if self._here else set()), self._here - now
            if not self._here:
                await self.note(f"{event.count} here: {_some(now)}" if now else f"{event.count} here")
            self._here = now
        else:
            came, left = now - self._here, self._here & set(event.left)  # the others changed their state
            self._here = (self._here | now) - set(event.left)
        came.discard(self._chat.user)
        if came:
            await self.note(f"came: {_some(came)}")
        if left:
            await self.note(f"left: {_some(left)}")

    # what is shown

    async def message(self, message: Message) -> None:
        """Show a message, with its number."""
        self._transcript.add(message)
        me = self._chat.user.casefold()
        to = message.opts.get("reply_to")
        answered = self._transcript.get(to) if isinstance(to, int) else None
        quoted = "" if answered is None else f" {safe(answered.user)}"
        mentions = message.opts.get("mentions")
        named = isinstance(mentions, list) and any(str(name).casefold() == me for name in mentions)
        await self._screen.show(said(message, self._palette, numbered=True, quoted=quoted, to_me=named))

    async def note(self, text: str, style: str = "dim") -> None:
        """Say something that nobody else hears."""
        await self._screen.show(self._palette.paint(f"-- {safe(text)}", style))

    async def whisper(self, text: str) -> None:
        """Show what was said in private."""
        await self._screen.show(self._palette.paint(text, "whisper"))

    async def plain(self, line: str) -> None:
        """Show a line as it is."""
        await self._screen.show(line)


def _some(names: set[str]) -> str:
    listed = sorted(names, key=str.casefold)
    more = f" and {len(listed) - MOST_NAMED} more" if len(listed) > MOST_NAMED else ""
    return ", ".join(listed[:MOST_NAMED]) + more
