"""What is on the screen, by number: messages that can be named, and what changes make of them.

Invariant: what a message is here is what it is in the room's history, for those that were shown.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from fastchat.client import Change, Message

MOST = 1000  # messages that are remembered


class Transcript:
    """The newest messages of one room, by offset."""

    def __init__(self) -> None:
        self._messages: OrderedDict[int, Message] = OrderedDict()

    def add(self, message: Message) -> None:
        """Remember a message that is shown; one that is shown again is what it is now."""
        if not message.offset:
            return
        self._messages[message.offset] = message
        if len(self._messages) > MOST:
            del self._messages[min(self._messages)]

    def get(self, offset: int) -> Message | None:
        """The message of that number, if it was shown."""
        return self._messages.get(offset)

    def last(self, user: str, own: bool, back: int = 1) -> int | None:
        """The number of the newest message of `user` (else of the others), or of the one so far before it."""
        me = user.casefold()
        found = (
            offset
            for offset in sorted(self._messages, reverse=True)
            if (self._messages[offset].user.casefold() == me) is own
            and "deleted" not in self._messages[offset].opts
        )
        return next((offset for place, offset in enumerate(found, 1) if place == back), None)

    def change(self, change: Change) -> bool:
        """Fold a change into its message; False where that was shown with it already."""
        message = self._messages.get(change.target)
        if message is None:
            return True
        opts: dict[str, Any] = dict(message.opts)
        data = message.data
        if "deleted" in opts:
            return False
        if change.kind == "edit":
            if opts.get("edited", 0) >= change.ts or change.value is None:
                return False  # nil: the text of an edit of what was deleted since
            data, opts["edited"] = change.value, change.ts
        elif change.kind == "delete":
            data, opts = None, {"deleted": change.ts}
        elif change.kind == "react" and not _react(opts, change):
            return False
        self._messages[change.target] = message._replace(data=data, opts=opts)
        return True


def _react(opts: dict[str, Any], change: Change) -> bool:
    emoji, on = reaction(change.value)
    reactions = {key: list(names) for key, names in (opts.get("reactions") or {}).items()}
    names = reactions.setdefault(emoji, [])
    if (change.user in names) is on:
        return False
    if on:
        names.append(change.user)
    else:
        names.remove(change.user)
    opts["reactions"] = {key: names for key, names in reactions.items() if names}
    return True


def reaction(value: Any) -> tuple[str, bool]:
    """Read the value of a reaction, [emoji, on], as forgivingly as anything of a peer."""
    if isinstance(value, list) and len(value) >= 2 and isinstance(value[0], str):
        return value[0], bool(value[1])
    return "?", True
