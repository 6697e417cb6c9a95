"""HISTORY and PRESENCE: contiguous, cut at a frame, and only for members."""

from __future__ import annotations

from fastchat.engine.base import Entry
from fastchat.errors import Code
from fastchat.hub.limits import MAX_LISTED, MAX_RESULT
from fastchat.hub.reading import messages
from fastchat.protocol.codec import pack, unpack
from fastchat.protocol.messages import Block, Error, History, Presence, Publish, State
from tests.hub.stage import Stage, options


def offsets(body: object) -> list[int]:
    assert isinstance(body, dict)
    return [one[0] for one in body["messages"]]


def filled(count: int = 10, size: int = 1, **given: object) -> tuple[Stage, object]:
    stage = Stage(options(**given))
    ada = stage.join("ada")[0]
    for number in range(count):
        ada.send(Publish(0, "lobby", pack(str(number) * size)))
    return stage, ada


def test_pages_of_history() -> None:
    _, ada = filled()
    ask = ada.ask  # type: ignore[attr-defined]
    body = ask(History, "lobby")
    assert set(body) == {"epoch", "offset", "messages"}
    assert (body["offset"], offsets(body)) == (10, list(range(1, 11)))
    for given, expected, more in (
        ({"limit": 3}, [8, 9, 10], True),
        ({"limit": 10}, list(range(1, 11)), False),
        ({"after": 4, "limit": 3}, [5, 6, 7], True),
        ({"after": 7, "limit": 3}, [8, 9, 10], False),
        ({"before": 4, "limit": 2}, [2, 3], True),
        ({"before": 3}, [1, 2], False),
        ({"limit": 0}, [], True),
    ):
        body = ask(History, "lobby", **given)
        assert (offsets(body), body.get("more", False)) == (expected, more), given


def test_reading_page_by_page_gives_everything() -> None:
    _, ada = filled(40, 20_000 // 2, max_frame=65536, history_bytes=1 << 22)
    seen: list[int] = []
    for _ in range(40):
        body = ada.ask(History, "lobby", after=seen[-1] if seen else 0, limit=1000)  # type: ignore[attr-defined]
        seen += offsets(body)
        if not body.get("more"):
            break
    assert seen == list(range(1, 41))


def test_a_result_is_never_longer_than_a_frame() -> None:
    _, ada = filled(120, 7000, max_frame=65536, history_bytes=1 << 23)
    for given in ({"after": 0, "limit": 1000}, {"before": 121, "limit": 1000}, {"limit": 1000}):
        body = ada.ask(History, "lobby", **given)  # type: ignore[attr-defined]
        assert body["more"] is True
        assert MAX_RESULT * 0.9 < len(pack(body)) <= MAX_RESULT


def test_what_was_trimmed_shows_as_a_hole() -> None:
    _, ada = filled(10, history=3)
    body = ada.ask(History, "lobby", after=2, limit=2)  # type: ignore[attr-defined]
    assert offsets(body) == [8, 9]


def test_a_message_as_long_as_a_result_is_still_given() -> None:
    sizes = {"history_bytes": 1 << 23, "batch_bytes": 1 << 23, "outbox_bytes": 1 << 23}
    stage = Stage(options(max_frame=1 << 20, **sizes))
    ada = stage.join("ada")[0]
    big = "x" * ((1 << 20) - 500)
    for _ in range(2):
        assert "offset" in ada.ask(Publish, "lobby", pack(big))
    body = ada.ask(History, "lobby", after=0, limit=5)
    assert (offsets(body), body["more"]) == ([1], True)
    body = ada.ask(History, "lobby", limit=5)
    assert (offsets(body), body["more"]) == ([2], True)


def test_tombstones() -> None:
    entries = [
        Entry(1, 10, "Bob", pack("a"), b"\x80", 0, ""),
        Entry(2, 11, "eve", pack("b"), b"\x80", 50, ""),
    ]
    found, cut = messages(entries, frozenset({"bob"}), 50, 1000, True)
    assert [unpack(one) for one in found] == [
        [1, 10, "Bob", None, {"hidden": True}],
        [2, 11, "eve", None, {"expired": True}],
    ]
    assert not cut
    found, _ = messages(entries, frozenset(), 49, 1000, False)
    assert [unpack(one) for one in found] == [[1, 10, "Bob", "a", {}], [2, 11, "eve", "b", {}]]


def test_entries_are_cut_at_the_far_end() -> None:
    entries = [Entry(number, 10, "a", pack("x" * 10), b"\x80", 0, "") for number in range(1, 6)]
    size = len(messages(entries[:1], frozenset(), 0, 1000, True)[0][0])
    for upward, expected in ((True, [1, 2]), (False, [4, 5])):
        found, cut = messages(entries, frozenset(), 0, 2 * size + 3, upward)
        assert ([unpack(one)[0] for one in found], cut) == (expected, True)  # type: ignore[index]


def test_who_does_not_read_gets_no_more_long_answers() -> None:
    stage, ada = filled(30, 5000, max_frame=65536, outbox_bytes=400_000)
    bob = stage.join("bob")[0]
    bob.reading = False
    for _ in range(20):
        bob.post(History(1, "lobby", limit=30), Presence(2, "lobby"))
        stage.flush()
    bob.read()
    stage.flush()
    codes = {one.code for one in bob.got if hasattr(one, "code")}
    assert bob.open and codes == {Code.OVERLOADED}


def test_presence_lists_members_in_the_order_they_came() -> None:
    stage = Stage()
    ada, bob = stage.join("Ada", "bob")
    bob.ask(State, "lobby", pack({"typing": True}))
    body = ada.ask(Presence, "lobby")
    since = stage.hub.rooms["lobby"].presence.members["ada"].since
    assert body == {"count": 2, "members": [["Ada", None, since], ["bob", {"typing": True}, since]]}
    assert ada.ask(Presence, "lobby", limit=1)["members"] == [["Ada", None, since]]
    assert ada.ask(Presence, "lobby", limit=0) == {"count": 2, "members": []}
    assert len(ada.ask(Presence, "lobby", limit=2**53 - 1)["members"]) == 2 <= MAX_LISTED


def test_blocks_apply_to_history() -> None:
    stage = Stage()
    ada, bob = stage.join("ada", "bob")
    bob.send(Publish(0, "lobby", pack("x")))
    ada.ask(Block, "bob", True)
    assert ada.ask(History, "lobby")["messages"][0][3:] == [None, {"hidden": True}]
    ada.ask(Block, "bob", False)
    assert ada.ask(History, "lobby")["messages"][0][3:] == ["x", {}]


def test_a_burst_of_long_questions_cuts_nobody() -> None:
    stage, ada = filled(30, 5000, max_frame=65536, outbox_bytes=1 << 20)
    answers = ada.send(*(History(number, "lobby", limit=30) for number in range(1, 33)))  # type: ignore[attr-defined]
    refused = [one for one in answers if isinstance(one, Error)]
    assert refused and {one.code for one in refused} == {Code.OVERLOADED}
    assert len(answers) == 32 and ada.open  # type: ignore[attr-defined]
