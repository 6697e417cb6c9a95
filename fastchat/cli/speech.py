"""Events in words, as `chat` and `tail` show them."""

from __future__ import annotations

from datetime import datetime

from fastchat.cli.palette import Palette
from fastchat.cli.text import body, safe
from fastchat.client import Complaint, Event, Gap, Lost, Message, Notice, Offline, Online


def said(message: Message, palette: Palette) -> str:
    """A message as a line: time, name, what was said."""
    return (
        f"{palette.paint(clock(message.ts), 'dim')} {palette.name(safe(message.user))}: {body(message.data)}"
    )


def clock(ts: int) -> str:
    """Local time of day of `ts`, in ms since 1970."""
    try:
        return datetime.fromtimestamp(ts / 1000).strftime("%H:%M:%S")
    except (OverflowError, OSError, ValueError):
        return "--:--:--"  # a server whose clock makes no sense


def remark(event: Event) -> str:
    """What happened to the connection or the room, in words; empty for what nobody needs to read."""
    if isinstance(event, Offline):
        return f"connection lost: {event.why}; trying again in {event.retry_seconds:.1f} s"
    if isinstance(event, Online):
        return "connected again" if event.again else ""
    if isinstance(event, Lost):
        if event.missed is None:
            return f"{event.room} has begun anew: what was said meanwhile may be lost"
        if event.missed == 1:
            return f"1 message of {event.room} is lost: the server no longer has it"
        return f"{event.missed} messages of {event.room} are lost: the server no longer has them"
    if isinstance(event, Gap) and event.why != "hidden":
        return f"messages {event.start} to {event.end} of {event.room} will not come: {event.why}"
    if isinstance(event, Complaint):
        return f"the server refused: {event.text} ({int(event.code)})"
    if isinstance(event, Notice):
        return f"{event.user}: {event.action} by {event.by or 'a moderator'} {event.reason or ''}".rstrip()
    return ""
