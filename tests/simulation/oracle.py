"""The oracle: watches what every client sends and gets, and says what promise of PROTOCOL is broken.

It knows nothing of the server: no object of it, no order of its doings. What it demands: acknowledged is
stored, offsets are contiguous, one order per room, no duplicate, no silent gap, nobody receives what they
may not, every command that asks for it is answered once, watchers know who is there, and what is read is what
the changes behind it make of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from fastchat.errors import Code
from fastchat.protocol.codec import entry_of, unpack
from fastchat.protocol.messages import (
    Block,
    Bye,
    Change,
    Command,
    Connect,
    Delete,
    Direct,
    DirectPush,
    Edit,
    Error,
    Gap,
    History,
    Join,
    Leave,
    Message,
    PresencePush,
    Publish,
    Push,
    React,
    Result,
    SignalPush,
    State,
)
from fastchat.protocol.names import fold

Place = tuple[str, str]  # room, epoch


class Broken(AssertionError):
    """A promise is broken; `kind` says which."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind


class Oracle:
    """What all connections together have shown."""

    def __init__(self) -> None:
        self.order: dict[Place, dict[int, tuple[str, Any]]] = {}  # who said what at each offset
        self.where: dict[tuple[str, Any], tuple[Place, int]] = {}  # data is unique, so it has one place
        self.acknowledged: dict[Place, dict[int, Any]] = {}
        self.seen = Counter[str]()
        self.broken: Broken | None = None  # the first, kept while the server finishes what it was doing

    def at(self, place: Place, offset: int, user: str, data: Any) -> None:
        """Note that somebody saw this there."""
        known = self.order.setdefault(place, {}).setdefault(offset, (user, data))
        if known != (user, data):
            raise Broken("order", f"{place} {offset} is {known} and {(user, data)}")
        first = self.where.setdefault((user, data), (place, offset))
        if first != (place, offset):
            raise Broken("twice", f"{data!r} stands at {first} and {(place, offset)}")

    def by(self, place: Place, offset: int, user: str) -> None:
        """Note that somebody saw something of this user there, whatever became of it."""
        known = self.order.get(place, {}).get(offset)
        if known is not None and known[0] != user:
            raise Broken("order", f"{place} {offset} is {known} and by {user}")

    def acknowledge(self, place: Place, offset: int, user: str, data: Any) -> None:
        """Note that the server promised to have stored this there."""
        self.at(place, offset, user, data)
        self.acknowledged.setdefault(place, {})[offset] = data

    def newest(self, place: Place) -> int:
        return max(self.order.get(place, {0: 0}))


class Membership:
    """One connection in one room."""

    def __init__(self, epoch: str, position: int) -> None:
        self.epoch = epoch
        self.position = position  # everything up to here has come or was announced
        self.joined = 0  # id of the command that joined it last
        self.announced: set[int] = set()  # offsets above it that will not come
        self.skipped: set[int] = set()  # offsets that a GAP announced
        self.present: dict[str, Any] | None = None  # user: state, if it watches
        self.count = 0

    def cover(self, offset: int) -> None:
        self.announced.add(offset)
        while self.position + 1 in self.announced:
            self.position += 1
            self.announced.discard(self.position)


class View:
    """One connection: what it sent, what it got, and whether that can be."""

    def __init__(self, oracle: Oracle) -> None:
        self.oracle = oracle
        self.user = ""
        self.secret: str | None = None
        self.rooms: dict[str, Membership] = {}
        self.waiting: dict[int, Command] = {}
        self.blocked: set[str] = set()
        self.bye: Bye | None = None
        self.written: set[int] = set()  # ids of PUBLISHes that got a place
        self.placed: dict[str, dict[int, int]] = {}  # room: id of what was published, and the offset it got

    def sent(self, command: Command) -> None:
        if command.id:
            if command.id in self.waiting:
                raise AssertionError("the test used an id twice")
            self.waiting[command.id] = command

    def got(self, push: Push) -> None:
        if self.bye is not None:
            raise Broken("after-bye", repr(push))
        self.oracle.seen[type(push).__name__] += 1
        handler = getattr(self, f"_{type(push).__name__.lower()}", None)
        if handler is not None:
            handler(push)

    # replies

    def _result(self, result: Result) -> None:
        command = self._answered(result.id)
        handler = getattr(self, f"_result_{type(command).__name__.lower()}", None)
        if handler is not None:
            handler(command, result.body)

    def _answered(self, id: int) -> Command:
        command = self.waiting.pop(id, None)
        if command is None:
            raise Broken("reply", f"nothing waits for an answer with id {id}")
        return command

    def _error(self, error: Error) -> None:
        if error.code == Code.INTERNAL:
            raise Broken("internal", repr(error))
        if error.id:
            self._answered(error.id)

    def _bye(self, bye: Bye) -> None:
        self.bye = bye
        self.waiting.clear()

    def _result_connect(self, command: Connect, body: Mapping[str, Any]) -> None:
        self.user = body["user"]
        self.secret = body["session"]
        for room, joined in body["rooms"].items():
            if "error" not in joined:
                self._joined(command.id, room, command.rooms[room], joined)

    def _result_join(self, command: Join, body: Mapping[str, Any]) -> None:
        self._joined(command.id, command.room, command.since, body)

    def _joined(
        self, id: int, room: str, since: tuple[str, int] | None, body: Mapping[str, Any]
    ) -> None:
        epoch, newest = body["epoch"], body["offset"]
        self.oracle.seen[f"recovered {body['recovered']}"] += 1
        offsets = [self._entry(room, epoch, one) for one in body["messages"]]
        check_folded(room, body["messages"])
        if body["recovered"]:
            if since is None or since[0] != epoch:
                raise Broken("recovery", f"{room}: {since} cannot be recovered in epoch {epoch}")
            if offsets != list(range(since[1] + 1, newest + 1)):
                raise Broken("recovery", f"{room}: after {since[1]} up to {newest} there came {offsets}")
        elif offsets != list(range(newest + 1 - len(offsets), newest + 1)):
            raise Broken("gap", f"{room}: {offsets} do not end at {newest}")
        member = self.rooms.get(room)
        if member is None or member.epoch != epoch:
            member = self.rooms[room] = Membership(epoch, newest)
        for offset in range(member.position + 1, newest + 1):
            member.cover(offset)
        member.joined = id
        listed = body.get("presence")
        member.present = None if listed is None else {user: state for user, state, _ in listed}
        member.count = body["members"]

    def _entry(self, room: str, epoch: str, entry: Any) -> int:
        what = entry_of(room, entry)
        if isinstance(what, Message | Change):
            self._may_see(what)
        if isinstance(what, Change):
            self.oracle.at((room, epoch), what.offset, what.user, named((room, epoch), what))
        elif isinstance(what, Message) and {"edited", "deleted"} & what.opts.keys():
            self.oracle.by((room, epoch), what.offset, what.user)
        elif isinstance(what, Message):
            self.oracle.at((room, epoch), what.offset, what.user, what.data)
        offset: int = entry[0]
        return offset

    def _may_see(self, what: Message | Change) -> None:
        if fold(what.user) in self.blocked and not (isinstance(what, Change) and what.kind == "delete"):
            raise Broken("blocked", f"{self.user} got {what}")

    def _result_history(self, command: History, body: Mapping[str, Any]) -> None:
        for one in body["messages"]:
            self._entry(command.room, body["epoch"], one)
        if command.after is None and command.before is None:
            check_folded(command.room, body["messages"])

    def _result_leave(self, command: Leave, body: Mapping[str, Any]) -> None:
        member = self.rooms.get(command.room)
        if member is not None and member.joined < command.id:
            del self.rooms[command.room]

    def _result_publish(self, command: Publish, body: Mapping[str, Any]) -> None:
        offset = body["offset"]
        member = self.rooms.get(command.room)
        if not offset or member is None:
            return
        data = unpack(command.data)
        self.oracle.acknowledge((command.room, member.epoch), offset, self.user, data)
        if not body.get("duplicate"):
            self.written.add(command.id)
            self._place(command, offset)
            if not command.echo and offset > member.position:
                member.cover(offset)

    def _result_edit(self, command: Edit | Delete | React, body: Mapping[str, Any]) -> None:
        offset, member = body["offset"], self.rooms.get(command.room)
        if offset and member is not None:
            kind = type(command).__name__.lower()
            place = (command.room, member.epoch)
            self.oracle.acknowledge(place, offset, self.user, (kind, command.offset, place, offset))
            self._place(command, offset)

    _result_delete = _result_react = _result_edit

    def _place(self, command: Publish | Edit | Delete | React, offset: int) -> None:
        placed = self.placed.setdefault(command.room, {})
        for id, other in placed.items():
            if (id < command.id) != (other < offset):
                raise Broken("sender", f"{self.user}: {id} got {other}, {command.id} got {offset}")
        placed[command.id] = offset

    def _result_block(self, command: Block, body: Mapping[str, Any]) -> None:
        change = self.blocked.add if command.on else self.blocked.discard
        change(fold(command.user))

    def _result_direct(self, command: Direct, body: Mapping[str, Any]) -> None:
        if body["sessions"] < 1:
            raise Broken("direct", "delivered to nobody")

    # pushes

    def _member(self, room: str, what: Push) -> Membership:
        member = self.rooms.get(room)
        if member is None:
            raise Broken("stranger", f"{self.user} is not in {room} and got {what}")
        return member

    def _message(self, message: Message | Change) -> None:
        room = message.room
        if room.startswith("tick:") and room not in self.rooms:
            return  # put before it left, sent with the tick
        member = self._member(room, message)
        if not room.startswith("tick:"):
            self._may_see(message)
        if not message.offset:
            return
        if message.offset <= member.position or message.offset in member.announced:
            if room.startswith("tick:"):
                return  # left and joined again before the tick
            raise Broken("duplicate", f"{self.user} stands at {member.position} and got {message}")
        if message.offset != member.position + 1:
            raise Broken("gap", f"{self.user} stands at {member.position} and got {message}")
        member.cover(message.offset)
        data = message.data if isinstance(message, Message) else named((room, member.epoch), message)
        self.oracle.at((room, member.epoch), message.offset, message.user, data)

    _change = _message

    def _gap(self, gap: Gap) -> None:
        if gap.room.startswith("tick:") and gap.room not in self.rooms:
            return
        member = self._member(gap.room, gap)
        if gap.why == "hidden":
            # Put for this connection alone: it may overtake a room that waits for its tick, and a wider
            # gap of frames that were dropped around it may have covered it.
            if gap.start <= member.position and gap.start not in member.skipped:
                raise Broken("duplicate", f"{self.user} stands at {member.position} and got {gap}")
        elif gap.start != member.position + 1:
            raise Broken("gap", f"{self.user} stands at {member.position} and got {gap}")
        for offset in range(max(gap.start, member.position + 1), gap.end + 1):
            member.skipped.add(offset)
            member.cover(offset)

    def _presencepush(self, push: PresencePush) -> None:
        member = self._member(push.room, push)
        if member.present is None:
            return  # it has just stopped watching
        for user in push.left:
            member.present.pop(user, None)
        for joined in push.joined:
            member.present[joined.user] = joined.state
        member.count = push.members

    def _directpush(self, push: DirectPush) -> None:
        self._for_me(push.user, push.data)

    def _signalpush(self, push: SignalPush) -> None:
        self._for_me(push.user, push.data)

    def _for_me(self, user: str, data: Any) -> None:
        sender, _, rest = data.partition(">")
        if fold(rest.partition("#")[0]) != fold(self.user) or fold(sender) != fold(user):
            raise Broken("misdirected", f"{self.user} got {data!r} from {user}")
        if fold(user) in self.blocked:
            raise Broken("blocked", f"{self.user} got {data!r} from {user}")

    def quiet(self) -> None:
        """Nothing is under way any more: nothing may be missing."""
        if self.bye is not None:
            return
        if self.waiting:
            raise Broken("unanswered", f"{self.user}: {list(self.waiting.values())}")
        for room, member in self.rooms.items():
            newest = self.oracle.newest((room, member.epoch))
            if member.position < newest:
                raise Broken("tail", f"{self.user} stands at {member.position} of {newest} in {room}")


def named(place: Place, change: Change) -> Any:
    """What is said of a change at its place: not its value, which goes when the message is deleted."""
    return (change.kind, change.target, place, change.offset)


def check_folded(room: str, entries: list[Any]) -> None:
    """See that of a page that ends at the newest each message is what the changes behind it make of it."""
    found = [entry_of(room, one) for one in entries]
    gone = {one.target for one in found if isinstance(one, Change) and one.kind == "delete"}
    for one in found:
        if isinstance(one, Change) and one.kind == "edit" and one.target in gone and one.value is not None:
            raise Broken("deleted", f"{room}: {one} still says what is deleted")
    if any(isinstance(one, Gap) for one in found):
        return  # what this reader may not see is folded all the same
    for message in found:
        if not isinstance(message, Message):
            continue
        changes = [one for one in found if isinstance(one, Change) and one.target == message.offset]
        expected: dict[str, Any] = {}
        data = message.data
        for change in changes:
            if change.kind != "react" and change.user != message.user:  # nobody here is a moderator
                raise Broken("author", f"{room}: {change} is about {message}")
            if change.kind == "react":
                _react(expected, change)
            elif change.kind == "edit":
                expected["edited"], data = change.ts, change.value
        if any(one.kind == "delete" for one in changes):
            expected, data = {"deleted": changes[-1].ts}, None
        got = {key: message.opts[key] for key in ("edited", "deleted", "reactions") if key in message.opts}
        if (got, message.data) != (expected, data):
            raise Broken("fold", f"{room}: {message} is not what {changes} make of it")


def _react(opts: dict[str, Any], change: Change) -> None:
    emoji, on = change.value
    reactions = opts.setdefault("reactions", {})
    names = reactions.setdefault(emoji, [])
    if on:
        names.append(change.user)
    else:
        names.remove(change.user)
    if not names:
        del reactions[emoji]
    if not reactions:
        del opts["reactions"]


def check_presence(views: list[View], states: Mapping[tuple[str, str], Any]) -> None:
    """Compare what watchers believe with who is there, by what the clients themselves know."""
    for view in views:
        for room, member in view.rooms.items():
            if member.present is None:
                continue
            there = [one.user for one in views if room in one.rooms and one.bye is None]
            truth = {user: states.get((room, user)) for user in there}
            if member.present != truth or member.count != len(truth):
                raise Broken("presence", f"{view.user} in {room}: {member.present}, but {truth}")


def check_store(oracle: Oracle, view: View, room: str, body: Mapping[str, Any]) -> None:
    """Compare everything an auditor reads of a room with what was acknowledged and seen."""
    place = (room, body["epoch"])
    stored = {one[0]: None if "edited" in one[4] else one[3] for one in body["messages"]}
    for offset, data in oracle.acknowledged.get(place, {}).items():
        if offset not in stored and offset > body["offset"] - len(stored):
            raise Broken("store", f"{place} {offset} was acknowledged and is not there")
        if stored.get(offset, data) not in (data, None):
            raise Broken("store", f"{place} {offset} was {data!r} and is {stored[offset]!r}")
    if oracle.newest(place) > body["offset"]:
        raise Broken("store", f"{place} ends at {body['offset']}, but {oracle.newest(place)} was seen")


def state_of(command: State) -> Any:
    """The state that watchers see once it is set."""
    return unpack(command.state) or None
