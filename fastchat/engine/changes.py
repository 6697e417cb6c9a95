"""What a change makes of the message it is about: one fold for every engine.

Invariant: what is read in history is what a member knows who got the message and every change after it; of a
deleted message no content is left, neither in its own entry nor in those of its edits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastchat.engine.base import Entry
from fastchat.errors import Code, ProtocolError
from fastchat.protocol.codec import NIL, pack, unpack
from fastchat.protocol.names import fold as key_of

MAX_EMOJI = 64  # different reactions to one message
MAX_REACTIONS = 8 * 1024  # bytes of all reactions to one message, packed: they come with every read of it

EDIT, DELETE, REACT = "edit", "delete", "react"
DELETION = b"\x83\xa6change" + pack(DELETE)  # what the opts of every deletion's own entry begin with


class Folded(NamedTuple):
    """What a change leaves behind: the message as it is from now on, and the change's own entry.

    That entry has the data NIL, the offset, ts, user and author of the change, and the `expires` of the
    message: what an edit says must not outlive what it was said in.
    """

    data: bytes  # of the message
    opts: bytes  # of the message
    entry: bytes  # opts of the change's entry
    blank: bool  # the message was edited and is deleted: those edits must no longer say what


def fold(
    message: Entry | None,
    kind: str,
    target: int,
    value: bytes,
    user: str,
    author: str,
    privileged: bool,
    now: int,
) -> Folded | None:
    """Fold a change by `user` into the `message` that is kept at offset `target`, None if none is.

    Returns None for a reaction that changes nothing. With `Folded.blank` the engine also gives every entry
    behind the message whose opts begin with `edit_head(target)` the opts `blank(target)`.
    Raises ProtocolError as `Engine.change` says, and BAD_ARGUMENT for one reaction too many.
    """
    if message is None or (message.expires and message.expires <= now):
        raise _missing()
    opts: Any = unpack(message.opts)  # the hub packed it
    if "change" in opts or "deleted" in opts:
        raise _missing()
    data = message.data
    blanks = False
    if kind == REACT:
        if not _react(opts, value, user):
            return None
    else:
        if not (author and author == message.author) and not (kind == DELETE and privileged):
            raise ProtocolError(Code.FORBIDDEN, "this message is somebody else's")
        if kind == EDIT:
            data, opts["edited"] = value, now
        else:
            data, value, blanks = NIL, NIL, "edited" in opts
            # A thread must not fall apart because one of its messages is gone
            opts = {name: opts[name] for name in ("reply_to",) if name in opts} | {"deleted": now}
    return Folded(data, pack(opts), _head(kind, target) + value, blanks)


def edit_head(target: int) -> bytes:
    """Return what the opts of every edit of this message begin with, and of nothing else."""
    return _head(EDIT, target)


def blank(target: int) -> bytes:
    """Return the opts of an edit of this message that no longer says what it was edited to."""
    return _head(EDIT, target) + NIL


def _head(kind: str, target: int) -> bytes:
    return b"\x83\xa6change" + pack(kind) + b"\xa6target" + pack(target) + b"\xa5value"


def _missing() -> ProtocolError:
    return ProtocolError(Code.NO_SUCH_MESSAGE, "no such message is kept")


def _react(opts: dict[str, Any], value: bytes, user: str) -> bool:
    """Add or take back a reaction; tells whether that changes anything."""
    reaction: Any = unpack(value)  # the hub packed it
    emoji, on = reaction
    reactions: dict[str, list[str]] = opts.get("reactions", {})
    names = reactions.get(emoji, [])
    mine = _find(names, user)
    if (mine is not None) == on:
        return False
    if mine is not None:
        others = names[:mine] + names[mine + 1 :]
    else:
        others = [*names, user]
    if others:
        reactions[emoji] = others
    else:
        del reactions[emoji]
    if on and (len(reactions) > MAX_EMOJI or len(pack(reactions)) > MAX_REACTIONS):
        raise ProtocolError(Code.BAD_ARGUMENT, "this message has all reactions it may have", field="emoji")
    if reactions:
        opts["reactions"] = reactions
    else:
        opts.pop("reactions", None)
    return True


def _find(names: list[str], user: str) -> int | None:
    """Tell where a user stands among names, however they wrote theirs when they reacted."""
    if user in names:
        return names.index(user)
    key = key_of(user)
    return next((place for place, name in enumerate(names) if key_of(name) == key), None)
