"""What is published and edited is looked at before it counts: by a word filter at once, by a hook later.

Invariant: what comes into a room leaves its screen in the order in which it came, however long a hook takes
for each; what waits is bounded, and a room with neither filter nor hook has no screen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from fastchat.config import RoomOptions
from fastchat.errors import Code, ProtocolError
from fastchat.hub.flagging import Flags
from fastchat.hub.limits import BUSY_RETRY_MS
from fastchat.hub.moderation import may_be_heard
from fastchat.hub.reading import INTERNAL
from fastchat.hub.roles import role_of
from fastchat.hub.texts import texts, with_texts
from fastchat.hub.wordfilter import WordFilter
from fastchat.identity.base import Role
from fastchat.protocol.messages import Edit, Publish

if TYPE_CHECKING:
    from fastchat.hub.room import Room
    from fastchat.hub.session import Session

MAX_WAITING = 256  # messages of one room with the hook
UNSAID = "there are words in it that are not said here"

Screened: TypeAlias = Publish | Edit


class Said(NamedTuple):
    """What a hook is asked about."""

    room: str
    user: str
    id: str  # `Identity.id`
    role: Role  # in this room
    edit: bool
    data: bytes  # msgpack
    ts: int  # server time, ms


class Verdict(NamedTuple):
    """What a hook answers."""

    data: bytes | None = None  # in place of what was said; None: as it was
    rejected: str | None = None  # why it may not pass; None: it may


class Hook(Protocol):
    """Somebody who takes time to judge."""

    def submit(self, said: Said, done: Callable[[Verdict, int], None]) -> None:
        """Judge, then call `done` once with the verdict and the time (ms): later, never from within.

        Raises ProtocolError OVERLOADED; then `done` is not called.
        """


class _Waiting:
    """One message that the hook has."""

    __slots__ = ("session", "command", "act", "flag", "verdict")

    def __init__(self, session: Session, command: Screened, act: Act, flag: str) -> None:
        self.session = session
        self.command = command
        self.act = act
        self.flag = flag
        self.verdict: Verdict | None = None


# Goes on with what may pass: session, command, room, now, and what the filter has flagged in it
Act: TypeAlias = "Callable[[Session, Any, Room, int, str], None]"


class Screening:
    """What looks at the messages of this server's rooms; `filters` are by the path in the room's options."""

    __slots__ = ("filters", "hook")

    def __init__(self, filters: Mapping[str, WordFilter], hook: Hook | None = None) -> None:
        self.filters = filters
        self.hook = hook

    def screen(self, options: RoomOptions) -> Screen | None:
        """Make the screen of a room; None where nothing looks."""
        hook = self.hook if options.use_hook else None
        return Screen(self, options.filter, hook) if options.filter or hook is not None else None


class Screen:
    """What looks at the messages of one room, and those it has not let go yet."""

    __slots__ = ("flags", "_screening", "_path", "_hook", "_waiting", "_bytes")

    def __init__(self, screening: Screening, path: str, hook: Hook | None) -> None:
        self.flags = Flags()
        self._screening = screening
        self._path = path
        self._hook = hook
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0  # of what waits

    def take(self, session: Session, command: Screened, room: Room, act: Act, now: int) -> None:
        """Look at it and go on with `act`, at once or later; raises ProtocolError where it may not pass."""
        flag = ""
        if self._path:
            command, flag = self._filtered(command)
        if self._hook is None:
            act(session, command, room, now, flag)
            return
        size = len(command.data)
        if len(self._waiting) >= MAX_WAITING or self._bytes + size > session.hub.config.batch_bytes:
            text = "the room has more than can be looked at"
            raise ProtocolError(Code.OVERLOADED, text, retry_ms=BUSY_RETRY_MS)
        one = _Waiting(session, command, act, flag)

        def done(verdict: Verdict, now: int) -> None:
            one.verdict = verdict
            self._release(room, now)

        user, role = session.user, role_of(session, room.name)
        edit = type(command) is Edit
        self._hook.submit(Said(room.name, user.name, user.id, role, edit, command.data, now), done)
        self._waiting.append(one)
        self._bytes += size
        room.busy += 1  # it stays while something of it is with the hook

    def let_pass(self, found: Iterable[str], field: str) -> None:
        """Raise ProtocolError FORBIDDEN where the filter does not let all of these pass as they are."""
        if not self._path:
            return
        check = self._screening.filters[self._path].check
        if any(outcome.rejected or outcome.text != text for text in found for outcome in (check(text),)):
            raise ProtocolError(Code.FORBIDDEN, UNSAID, field=field)

    def _filtered(self, command: Screened) -> tuple[Screened, str]:
        """Let the filter look; returns what may pass, and what was flagged in it."""
        found = texts(command.data)
        if not found:
            return command, ""
        outcomes = [self._screening.filters[self._path].check(text) for text in found]
        if any(one.rejected for one in outcomes):
            raise ProtocolError(Code.FORBIDDEN, UNSAID, field="data")
        passed = [one.text for one in outcomes]
        if passed != found:
            command = command._replace(data=with_texts(command.data, passed))
        return command, next((one.flagged for one in outcomes if one.flagged), "")

    def give_up(self, refusal: ProtocolError) -> None:
        """Answer all that waits: its senders will be gone before the hook has judged."""
        for one in self._waiting:
            if not one.session.closing:
                one.session.error(one.command.id, refusal)

    def _release(self, room: Room, now: int) -> None:
        """Go on with all that have nothing before them that still waits."""
        waiting = self._waiting
        while waiting and waiting[0].verdict is not None:
            one = waiting.popleft()
            self._bytes -= len(one.command.data)
            room.busy -= 1
            session, command = one.session, one.command
            try:
                _go_on(one, room, now)
            except ProtocolError as refusal:
                if not session.closing:
                    session.error(command.id, refusal)
            except Exception as fault:
                session.hub.report(type(command).__name__, fault)
                if not session.closing:
                    session.error(command.id, INTERNAL)
            session.hub.drop(room, now)


def _go_on(one: _Waiting, room: Room, now: int) -> None:
    """Do what the verdict says; meanwhile its sender may have been muted, or be gone."""
    session, command, verdict = one.session, one.command, one.verdict
    assert verdict is not None
    if session.closing:
        return
    if verdict.rejected is not None:
        raise ProtocolError(Code.FORBIDDEN, verdict.rejected, field="data")
    if room.name not in session.rooms and room.name not in (session.entering or ()):
        raise ProtocolError(Code.NOT_A_MEMBER, "not a member of this room any more")
    if session.hub.moderation.rules:
        may_be_heard(session, room.name, now, message=type(command) is Publish)
    if verdict.data is not None:
        command = command._replace(data=verdict.data)
    one.act(session, command, room, now, one.flag)
