"""What each slash command does: one method a command, found by its word.

Invariant: every row of `slash.COMMANDS` but /quit has its deed; moderators' rows share one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from fastchat.cli.slash import MODERATING, Slash, SlashError, manual
from fastchat.cli.text import body, safe
from fastchat.cli.transcript import Transcript
from fastchat.client import Chat, Member, Message

SHOWN = 20  # messages that /history shows
MOST_SHOWN = 1000

Given = Mapping[str, Any]  # arguments by their name in the usage


class Stage(Protocol):
    """Where deeds show what came of them."""

    async def note(self, text: str, style: str = "dim") -> None:
        """Say something that nobody else hears."""

    async def whisper(self, text: str) -> None:
        """Show what was said in private."""

    async def message(self, message: Message) -> None:
        """Show a message."""

    async def plain(self, line: str) -> None:
        """Show a line as it is."""


class Deeds:
    """One user in one room."""

    def __init__(self, chat: Chat, room: str, stage: Stage, transcript: Transcript) -> None:
        self._chat = chat
        self._room = room
        self._stage = stage
        self._transcript = transcript
        self._deeds: dict[str, Callable[[Given], Awaitable[None]]] = {
            "help": self._help,
            "who": self._who,
            "me": self._me,
            "msg": self._msg,
            "reply": self._reply,
            "edit": self._edit,
            "delete": self._delete,
            "react": self._react,
            "unreact": self._unreact,
            "history": self._history,
            "away": self._away,
            "back": self._back,
            "block": self._block,
            "unblock": self._unblock,
            "ping": self._ping,
        }

    async def do(self, slash: Slash, given: Given) -> None:
        """Do it; raises SlashError where there is nothing to do it to, and what the client raises."""
        if slash in MODERATING:  # everybody in the room, whoever did it too, is told by NOTICE
            seconds, reason = given.get("TIME") or 0, given.get("TEXT")
            user, members = given.get("NAME") or "", given.get("NUMBER") or 0
            await self._chat.moderate(
                self._room, slash.word, user, seconds=seconds, reason=reason, members=members
            )
        else:
            await self._deeds[slash.word](given)

    def _named(self, number: int | None, own: bool) -> int:
        """The offset of the message that is meant: #12, -2, or the last one."""
        if number is not None and number > 0:
            return number
        offset = self._transcript.last(self._chat.user, own, -number if number else 1)
        if offset is None:
            whose = "of yours" if own else "of somebody else"
            raise SlashError(f"there is no such message {whose} here; name one by its number, #12")
        return offset

    async def _help(self, given: Given) -> None:
        for line in manual(given["TEXT"]):
            await self._stage.plain(line)

    async def _who(self, given: Given) -> None:
        members = await self._chat.presence(self._room)
        names = [seen(one) for one in sorted(members.members, key=lambda one: one.user.casefold())]
        more = f" and {members.count - len(names)} more" if members.count > len(names) else ""
        await self._stage.note(f"{members.count} here: {', '.join(names)}{more}")

    async def _me(self, given: Given) -> None:
        await self._chat.publish(self._room, f"* {self._chat.user} {given['TEXT']}")

    async def _msg(self, given: Given) -> None:
        user, text = given["NAME"], given["TEXT"]
        await self._chat.direct(user, text)
        await self._stage.whisper(f"to {safe(user)}: {body(text)}")

    async def _reply(self, given: Given) -> None:
        await self._chat.publish(self._room, given["TEXT"], reply_to=self._named(given["#N"], own=False))

    async def _edit(self, given: Given) -> None:
        await self._chat.edit(self._room, self._named(given["#N"], own=True), given["TEXT"])

    async def _delete(self, given: Given) -> None:
        await self._chat.delete(self._room, self._named(given["#N"], own=True))

    async def _react(self, given: Given) -> None:
        await self._put(given, True)

    async def _unreact(self, given: Given) -> None:
        await self._put(given, False)

    async def _put(self, given: Given, on: bool) -> None:
        offset = self._named(given["#N"], own=False)
        ack = await self._chat.react(self._room, offset, given["EMOJI"], on)
        if ack.duplicate:
            await self._stage.note(f"that changes nothing at #{offset}")

    async def _history(self, given: Given) -> None:
        position = self._chat.position(self._room)
        before = None if position is None else position[1] + 1
        limit = max(1, min(given["NUMBER"] or SHOWN, MOST_SHOWN))
        for event in await self._chat.history(self._room, before=before, limit=limit):
            if isinstance(event, Message):
                await self._stage.message(event)

    async def _away(self, given: Given) -> None:
        await self._chat.state(self._room, {"away": given["TEXT"] or True})
        await self._stage.note("you are away; /back says that you are not")

    async def _back(self, given: Given) -> None:
        await self._chat.state(self._room, {})
        await self._stage.note("you are back")

    async def _block(self, given: Given) -> None:
        await self._chat.block(given["NAME"])
        await self._stage.note(f"you hear no more of {given['NAME']}")

    async def _unblock(self, given: Given) -> None:
        await self._chat.block(given["NAME"], False)
        await self._stage.note(f"you hear {given['NAME']} again")

    async def _ping(self, given: Given) -> None:
        await self._stage.note(f"{await self._chat.ping() * 1000:.2f} ms")


def seen(member: Member) -> str:
    """A member in a list, with what they say of themselves."""
    away = (member.state or {}).get("away")
    if not away:
        return member.user
    return f"{member.user} (away{': ' + away if isinstance(away, str) else ''})"
