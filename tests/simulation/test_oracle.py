"""The oracle catches every fault that is planted: without these tests its silence would mean nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fastchat.engine import changes, memory
from fastchat.engine.edits import Edits
from fastchat.engine.memory import MemoryEngine
from fastchat.hub import joining, people, publishing
from fastchat.protocol.messages import Bye, Change, Gap, Message, PresencePush, Push, Result
from tests.engine.later import LaterEngine
from tests.simulation.oracle import Broken
from tests.simulation.world import Line, World

Patch = pytest.MonkeyPatch
STEPS = 3000
WARM = 300  # steps before a fault begins


def often(world: World, part: float = 0.02) -> bool:
    """Let a fault happen now and then, once the world is busy."""
    return world.oracle.seen["Message"] > WARM and world.chance.random() < part


def tampering(
    kind: type[Any], change: Callable[[World, Any], list[Push]], part: float = 0.02
) -> Callable[[World, Patch], None]:
    """Make a fault between server and client: what arrives is not what was sent."""

    def plant(world: World, patch: Patch) -> None:
        arrived = Line.arrived

        def tampered(line: Line, push: Push) -> None:
            pushes = change(world, push) if isinstance(push, kind) and often(world, part) else [push]
            for one in pushes:
                arrived(line, one)

        patch.setattr(Line, "arrived", tampered)

    return plant


def swapped(world: World, patch: Patch) -> None:
    arrived = Line.arrived
    kept: dict[Line, Push] = {}

    def late(line: Line, push: Push) -> None:
        if line in kept:
            arrived(line, push)
            arrived(line, kept.pop(line))
        elif isinstance(push, Message) and push.offset and often(world):
            kept[line] = push
        else:
            arrived(line, push)

    patch.setattr(Line, "arrived", late)


def after_bye(world: World, patch: Patch) -> None:
    arrived = Line.arrived

    def once_more(line: Line, push: Push) -> None:
        arrived(line, push)
        if isinstance(push, Bye):
            arrived(line, Result(0, {}))

    patch.setattr(Line, "arrived", once_more)


def never_removed(world: World, patch: Patch) -> None:
    depart = joining.depart

    def leaky(session: Any, room: Any, now: int) -> None:
        depart(session, room, now)
        if not session.closing:
            room.members.add(session.outbox)

    patch.setattr(joining, "depart", leaky)


def log_of(world: World) -> Any:
    assert isinstance(world.engine, MemoryEngine)
    return next((log for log in world.engine._logs.values() if len(log.entries) > 3), None)


def lost_tail(world: World, patch: Patch) -> None:
    audit = world.audit

    def forgetful() -> None:
        engine = world.engine
        assert isinstance(engine, MemoryEngine)
        for log in engine._logs.values():
            if len(log.entries) > 3 and log.count_limit > 5:
                log.entries.pop()
                log.offset -= 1
        audit()

    patch.setattr(world, "audit", forgetful)


def reused_offset(world: World, patch: Patch) -> None:
    append = world.engine.append

    def again(*arguments: Any) -> Any:
        log = log_of(world)
        if log is not None and often(world):
            log.entries.pop()
            log.offset -= 1
        return append(*arguments)

    patch.setattr(world.engine, "append", again)


def tampered_page(change: Callable[[Any], Any]) -> Callable[[World, Patch], None]:
    def plant(world: World, patch: Patch) -> None:
        read = world.engine.read

        def wrong(queries: Any, ticket: object) -> Any:
            pages = read(queries, ticket)
            assert pages is not None
            return [change(page) if len(page.entries) > 1 and often(world, 0.2) else page for page in pages]

        patch.setattr(world.engine, "read", wrong)

    return plant


def other_epoch(world: World, patch: Patch) -> None:
    """Recovery is claimed though the room was forgotten meanwhile."""
    read = world.engine.read

    def wrong(queries: Any, ticket: object) -> Any:
        pages = read(queries, ticket)
        assert pages is not None
        return [
            page._replace(recovered=True, entries=[]) if page.recovered is False else page for page in pages
        ]

    patch.setattr(world.engine, "read", wrong)


def no_blocks(world: World, patch: Patch) -> None:
    patch.setattr(publishing, "_hidden", lambda session, room, echo: [] if echo else [session.outbox])


def no_keys(world: World, patch: Patch) -> None:
    assert isinstance(world.engine, MemoryEngine)
    patch.setattr(type(world.engine._keys), "get", lambda *_: None)


def never_folded(world: World, patch: Patch) -> None:
    patch.setattr(MemoryEngine, "_replace", lambda *_: None)


def anybody_edits(world: World, patch: Patch) -> None:
    right = changes.fold

    def wrong(message: Any, kind: str, target: int, value: bytes, user: str, author: str, *rest: Any) -> Any:
        if message is not None:
            message = message._replace(author=author)
        return right(message, kind, target, value, user, author, *rest)

    patch.setattr(memory, "fold", wrong)


def wrong_user(world: World, patch: Patch) -> None:
    online = people._online

    def somebody(session: Any, key: str) -> Any:
        return session.user if often(world, 0.3) else online(session, key)

    patch.setattr(people, "_online", somebody)


def encoder_fails(world: World, patch: Patch) -> None:
    message: Any = vars(publishing)["message"]

    def failing(*arguments: Any) -> Any:
        if often(world):
            raise RuntimeError("planted")
        return message(*arguments)

    patch.setattr(publishing, "message", failing)


def senders_order(world: World, patch: Patch) -> None:
    assert isinstance(world.engine, LaterEngine)
    world.engine.waiting.rotate(1)
    step = world.step

    def shuffling() -> None:
        waiting = world.engine.waiting  # type: ignore[attr-defined]
        if often(world, 0.1) and waiting:
            order = list(waiting)
            world.chance.shuffle(order)
            waiting.clear()
            waiting.extend(order)
        step()

    patch.setattr(world, "step", shuffling)


def without(world: World, push: Push) -> list[Push]:
    return []


def twice(world: World, push: Push) -> list[Push]:
    return [push, push]


def altered(world: World, push: Message) -> list[Push]:
    return [push._replace(data="something else")]


FAULTS: list[tuple[str, Callable[[World, Patch], None], set[str]]] = [
    ("a message is lost", tampering(Message, without), {"gap", "tail"}),
    ("a message comes twice", tampering(Message, twice), {"duplicate"}),
    ("a message is altered", tampering(Message, altered), {"order", "twice"}),
    ("two messages are swapped", swapped, {"gap", "stranger", "after-bye"}),
    ("a gap is not announced", tampering(Gap, without, 0.3), {"gap", "tail"}),
    ("a result is lost", tampering(Result, without), {"unanswered", "stranger", "gap", "tail", "presence"}),
    ("a result comes twice", tampering(Result, twice), {"reply"}),
    ("presence is lost", tampering(PresencePush, without, 0.3), {"presence"}),
    ("something follows a bye", after_bye, {"after-bye"}),
    ("a member stays after leaving", never_removed, {"stranger"}),
    ("the store loses its tail", lost_tail, {"store"}),
    ("an offset is used again", reused_offset, {"order", "duplicate", "recovery"}),
    ("recovery lacks the first", tampered_page(lambda page: page._replace(entries=page.entries[1:])),
     {"recovery", "store"}),
    ("recovery lacks the last", tampered_page(lambda page: page._replace(entries=page.entries[:-1])),
     {"recovery", "gap", "fold"}),
    ("recovery is only claimed", other_epoch, {"recovery"}),
    ("blocks are ignored", no_blocks, {"blocked"}),
    ("keys are forgotten", no_keys, {"twice"}),
    ("a change is lost", tampering(Change, without, 0.2), {"gap", "tail"}),
    ("a change comes twice", tampering(Change, twice, 0.2), {"duplicate"}),
    ("changes are not folded", never_folded, {"fold"}),
    ("anybody may edit", anybody_edits, {"author"}),
    ("a direct message goes astray", wrong_user, {"misdirected"}),
    ("an encoder fails", encoder_fails, {"internal"}),
]  # fmt: skip


@pytest.mark.parametrize(("plant", "kinds"), [fault[1:] for fault in FAULTS], ids=[one[0] for one in FAULTS])
def test_a_planted_fault_is_caught(
    plant: Callable[[World, Patch], None], kinds: set[str], monkeypatch: Patch
) -> None:
    world = World(7, 40)
    plant(world, monkeypatch)
    with pytest.raises(Broken) as caught:
        world.run(STEPS)
    assert caught.value.kind in kinds


def test_edits_that_outlive_their_message_are_caught(monkeypatch: Patch) -> None:
    monkeypatch.setattr(Edits, "of", lambda edits, target: ())
    world = World(7, 3, rooms=1)  # so few that somebody deletes what they have edited
    with pytest.raises(Broken) as caught:
        world.run(STEPS)
    assert caught.value.kind == "deleted"


def test_a_senders_order_that_is_not_kept_is_caught(monkeypatch: Patch) -> None:
    world = World(7, 10, later=True)
    senders_order(world, monkeypatch)
    with pytest.raises(Broken) as caught:
        world.run(STEPS)
    assert caught.value.kind in {"sender", "recovery", "gap", "duplicate"}


def test_without_a_fault_it_is_silent() -> None:
    World(7, 40).run(STEPS)
