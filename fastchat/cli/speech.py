"""Events in words, as `chat` and `tail` show them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fastchat.cli.palette import Palette
from fastchat.cli.text import body, safe
from fastchat.cli.transcript import reaction
from fastchat.client import Change, Complaint, Event, Gap, Lost, Message, Notice, Offline, Online

MOST_NAMED = 5  # names beside one reaction

ACTIONS: Mapping[str, str] = {  # of NOTICE
    "kick": "{user} was kicked{by}{why}",
    "ban": "{user} was banned{time}{by}{why}",
    "unban": "{user} was unbanned{by}",
    "mute": "{user} was muted{time}{by}{why}",
    "unmute": "{user} was unmuted{by}",
    "op": "{user} was made a moderator{by}",
    "deop": "{user} was made a member again{by}",
    "lock": "the room was locked{by}: only moderators may speak{why}",
    "unlock": "the room was unlocked{by}",
}
UNITS = ((604_800, "week"), (86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def said(
    message: Message, palette: Palette, numbered: bool = False, quoted: str = "", to_me: bool = False
) -> str:
    """A message as a line: time, number where wanted, name, what was said, and what became of it.

    `quoted`: whom it answers, where that is known; `to_me`: it mentions whoever reads this.
    """
    opts = message.opts
    words = [palette.paint(clock(message.ts), "dim")]
    if numbered and message.offset:
        words.append(palette.paint(f"#{message.offset}", "dim"))
    words.append(f"{palette.name(safe(message.user))}:")
    if "reply_to" in opts:
        words.append(palette.paint(f"(re #{safe(str(opts['reply_to']))}{quoted})", "dim"))
    if to_me:
        words.append(palette.paint("(to you)", "warn"))
    if "deleted" in opts:
        return " ".join([*words, palette.paint("(deleted)", "dim")])
    words.append(body(message.data))
    if "edited" in opts:
        words.append(palette.paint("(edited)", "dim"))
    if opts.get("reactions"):
        words.append(palette.paint(reactions(opts["reactions"]), "dim"))
    return " ".join(words)


def reactions(given: Any) -> str:
    """All reactions to a message: [👍 ada, bob] [❤ eve]."""
    if not isinstance(given, Mapping):
        return ""
    shown = []
    for emoji, names in given.items():
        listed = ", ".join(safe(str(name)) for name in list(names)[:MOST_NAMED])
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        shown.append(f"[{safe(str(emoji))} {listed}{more}]")
    return " ".join(shown)


def changed(change: Change) -> str:
    """What somebody did to a message, in words."""
    who, target = change.user, f"#{change.target}"
    if change.kind == "delete":
        return f"{who} deleted {target}"
    if change.kind == "edit":
        return f"{who} edited {target}"
    if change.kind == "react":
        emoji, on = reaction(change.value)
        return f"{who} {'reacted' if on else 'took back'} {emoji} {'to' if on else 'from'} {target}"
    return f"{who}: {change.kind} {target}"


def clock(ts: int) -> str:
    """Local time of day of `ts`, in ms since 1970."""
    try:
        return datetime.fromtimestamp(ts / 1000).strftime("%H:%M:%S")
    except (OverflowError, OSError, ValueError):
        return "--:--:--"  # a server whose clock makes no sense


def duration(seconds: int) -> str:
    """So many seconds, in the largest unit that says it exactly."""
    size, unit = next((size, unit) for size, unit in UNITS if seconds % size == 0)
    count = seconds // size
    return f"{count} {unit}{'' if count == 1 else 's'}"


def noticed(notice: Notice) -> str:
    """What a moderator did, in words; empty for what concerns nobody who reads."""
    if notice.action == "read":
        return ""  # another session of ours has read
    by = f" by {notice.by}" if notice.by else ""
    if not notice.room:
        by = f" on the whole server{by}"
    if notice.action == "flag":
        return f"to moderators: #{notice.offset} of {notice.user} was flagged: {notice.reason or 'no reason'}"
    if notice.action == "cap":
        return f"the room was {f'limited to {notice.members}' if notice.members else 'opened to all'}{by}"
    if notice.action == "slow":
        if not notice.seconds:
            return f"slow mode was ended{by}"
        return f"slow mode was set{by}: one message in {duration(notice.seconds)} from each"
    time = f" for {duration(notice.seconds)}" if notice.seconds else ""
    why = f": {notice.reason}" if notice.reason else ""
    user = notice.user or "the room"
    form = ACTIONS.get(notice.action)
    if form is None:
        return f"{user}: {notice.action}{time}{by}{why}"  # of a later version
    return form.format(user=user, time=time, by=by, why=why)


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
        return noticed(event)
    if isinstance(event, Change):
        return changed(event)
    return ""
