"""Who is in a room: what watchers are told, how often, and that it is the truth."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastchat.hub import hub
from fastchat.hub.presence import Presence
from fastchat.hub.users import User
from fastchat.protocol.codec import pack, unpack
from fastchat.protocol.messages import Connect, Join, Leave, Member, PresencePush, State
from tests.hub.stage import Stage, options

ADA, BOB, EVE = (User(name, name.lower()) for name in ("Ada", "bob", "eve"))
OTHER_ADA = User("ADA", "ada")


def told(presence: Presence) -> tuple[list[Any], list[Any]]:
    joined, left = presence.take()
    return [unpack(one) for one in joined], [unpack(one) for one in left]


def watched(*users: User) -> Presence:
    """Make a presence with these users, watched by one of them, of whom everything is told."""
    presence = Presence(500)
    for user in users:
        presence.join(user, 1)
    presence.watch(users[0])
    presence.take()
    return presence


def test_changes_are_gathered() -> None:
    presence = watched(ADA, BOB)
    presence.join(EVE, 5)
    presence.leave(BOB)
    presence.set_state(ADA, pack({"typing": True}))
    assert presence.changed
    assert told(presence) == ([["eve", None, 5], ["Ada", {"typing": True}, 1]], ["bob"])
    assert not presence.changed and told(presence) == ([], [])


def test_what_comes_and_goes_between_two_diffs_is_told_to_nobody() -> None:
    presence = watched(ADA, BOB)
    presence.join(EVE, 5)
    presence.leave(EVE)
    presence.leave(BOB)
    presence.join(BOB, 6)
    presence.set_state(ADA, pack({"away": True}))
    presence.set_state(ADA, pack({}))
    assert told(presence) == ([], [])
    assert presence.members["bob"].since == 1, "for the watchers he was never away"


def test_who_comes_back_without_the_state_is_told() -> None:
    presence = watched(ADA, BOB)
    presence.set_state(BOB, pack({"away": True}))
    presence.take()
    presence.leave(BOB)
    presence.join(BOB, 6)
    assert told(presence) == ([["bob", None, 1]], [])


def test_who_comes_back_under_another_spelling_is_another() -> None:
    presence = watched(BOB, ADA)
    presence.leave(ADA)
    presence.join(OTHER_ADA, 6)
    assert told(presence) == ([["ADA", None, 6]], ["Ada"])


def test_a_user_with_two_sessions_is_one_member() -> None:
    presence = watched(ADA)
    presence.join(BOB, 5)
    presence.join(BOB, 6)
    assert len(presence) == 2
    presence.leave(BOB)
    assert told(presence) == ([["bob", None, 5]], [])
    presence.leave(BOB)
    assert told(presence) == ([], ["bob"])


def test_a_watcher_that_comes_meanwhile_hears_of_what_would_have_cancelled_out() -> None:
    presence = watched(ADA)
    presence.join(EVE, 5)
    presence.join(BOB, 6)
    presence.watch(BOB)  # knows of Eve
    presence.leave(EVE)
    joined, left = told(presence)
    assert joined == [["bob", None, 6]] and left == ["eve"]


def test_a_name_with_several_spellings_meanwhile() -> None:
    presence = watched(BOB)
    presence.join(ADA, 5)
    presence.watch(BOB)
    presence.leave(ADA)
    presence.join(OTHER_ADA, 6)
    presence.watch(BOB)
    presence.leave(OTHER_ADA)
    assert told(presence) == ([], ["ADA", "Ada"])


def test_nothing_is_gathered_for_nobody() -> None:
    presence = Presence(500)
    presence.join(ADA, 1)
    assert not presence.changed
    presence.watch(ADA)
    presence.join(BOB, 2)
    presence.unwatch()
    assert not presence.changed
    presence.leave(BOB)
    assert not presence.changed


def test_a_large_room_tells_only_its_count() -> None:
    presence = Presence(2)
    presence.join(ADA, 1)
    presence.watch(ADA)
    presence.join(BOB, 2)
    assert not presence.large and not presence.counted
    presence.join(EVE, 3)
    assert presence.large and presence.counted and presence.changed
    assert told(presence) == ([], [])
    assert not presence.changed
    presence.set_state(EVE, pack({"x": 1}))
    presence.leave(EVE)
    assert presence.counted and told(presence) == ([], [])
    presence.leave(BOB)
    assert not presence.counted and told(presence) == ([], ["bob"])


def test_watchers_get_the_diffs_and_the_others_nothing() -> None:
    stage = Stage()
    ada = stage.new("ada")
    ada.ask(Join, "lobby", presence=True)
    bob = stage.join("Bob")[0]
    assert ada.take(PresencePush) == [
        PresencePush("lobby", (Member("Bob", None, stage.now - 1000),), (), 2)
    ]
    bob.ask(State, "lobby", pack({"typing": True}))
    bob.ask(State, "lobby", pack({"typing": False}))
    stage.pass_time(200)
    assert [one.joined[0].state for one in ada.take(PresencePush)] == [{"typing": False}]
    bob.ask(Leave, "lobby")
    stage.pass_time(200)
    assert ada.take(PresencePush) == [PresencePush("lobby", (), ("Bob",), 1)]
    assert bob.take(PresencePush) == []


def test_changes_are_pushed_at_most_once_per_window() -> None:
    stage = Stage(options(presence_ms=500))
    ada = stage.new("ada")
    ada.ask(Join, "lobby", presence=True)
    for _ in range(20):
        stage.new().send(Connect(1, rooms={"lobby": None}))
        stage.pass_time(100)
    stage.pass_time(1000)
    pushes = ada.take(PresencePush)
    assert 4 <= len(pushes) <= 5
    assert pushes[-1].members == 21
    assert sum(len(one.joined) for one in pushes) == 20


def test_a_reconnect_in_between_is_not_told() -> None:
    stage = Stage()
    ada = stage.new("ada")
    ada.ask(Join, "lobby", presence=True)
    bob = stage.new()
    secret = bob.connect("bob", rooms={"lobby": None})["session"]
    stage.pass_time(1000)
    ada.got.clear()
    stage.new().connect("bob", resume=secret, rooms={"lobby": None})
    stage.pass_time(1000)
    assert ada.take(PresencePush) == []


def test_a_long_diff_goes_out_in_several_pushes() -> None:
    stage = Stage()
    ada = stage.new("ada")
    ada.ask(Join, "lobby", presence=True)
    for number in range(200):
        one = stage.new(f"user-{number}")
        one.post(Join(1, "lobby"), State(2, "lobby", pack({"x": "y" * 1000})))
    stage.pass_time(300)
    pushes = ada.take(PresencePush)
    assert 3 <= len(pushes) <= 5
    assert sorted(one.user for push in pushes for one in push.joined) == sorted(
        f"user-{number}" for number in range(200)
    )


def test_a_large_room_pushes_counts_no_more_than_once_per_window() -> None:
    stage = Stage(options(presence_members=10, presence_ms=200))
    ada = stage.new("ada")
    ada.ask(Join, "lobby", presence=True)
    for _ in range(10):
        stage.new().connect(rooms={"lobby": None})
    stage.pass_time(1000)
    ada.got.clear()
    for _ in range(50):
        stage.new().connect(rooms={"lobby": None})
    stage.pass_time(1000)
    assert ada.take(PresencePush) == [PresencePush("lobby", (), (), 61)]


def test_the_cost_is_per_change() -> None:
    """A change in a room of ten thousand touches no other member."""
    presence = Presence(20_000)
    for number in range(10_000):
        presence.join(User(f"u{number}", f"u{number}"), 1)
    presence.watch(ADA)
    visited = 0

    class Counting(dict[str, Any]):
        def __iter__(self) -> Any:
            nonlocal visited
            visited += 1
            return super().__iter__()

        def values(self) -> Any:
            nonlocal visited
            visited += 1
            return super().values()

        def items(self) -> Any:
            nonlocal visited
            visited += 1
            return super().items()

    presence.members = Counting(presence.members)
    for number in range(100):
        presence.join(User(f"new{number}", f"new{number}"), 2)
    joined, left = presence.take()
    assert (len(joined), left, visited) == (100, [], 0)


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("flip"), st.sampled_from(["Ada", "ADA", "bob", "Bob", "eve"])),
        st.tuples(st.just("state"), st.sampled_from(["ada", "bob", "eve"]), st.integers(0, 2)),
        st.tuples(st.just("watch"), st.sampled_from(["ada", "bob", "eve"])),
        st.tuples(st.just("take")),
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(actions=ACTIONS)
def test_whoever_watches_knows_the_truth(actions: list[tuple[Any, ...]]) -> None:
    """Against a model: each watcher applies its snapshot and every diff since, and knows the members."""
    presence = Presence(500)
    here: dict[str, User] = {}
    views: dict[str, dict[str, Any]] = {}
    for moment, (action, *rest) in enumerate([*actions, ("take",)]):
        key = rest[0].lower() if rest else ""
        if action == "flip" and key in here:
            presence.leave(here.pop(key))
            views.pop(key, None)
            if not views:
                presence.unwatch()
        elif action == "flip":
            here[key] = User(rest[0], key)
            presence.join(here[key], moment)
        elif action == "state" and key in here:
            presence.set_state(here[key], pack({"n": rest[1]} if rest[1] else {}))
        elif action == "watch" and key in here:
            presence.watch(here[key])
            views[key] = {one.user.name: unpack(one.packed())[1:] for one in presence.members.values()}  # type: ignore[index]
        elif action == "take":
            joined, left = told(presence)
            for view in views.values():
                for name in left:
                    view.pop(name, None)
                for name, *what in joined:
                    view[name] = what
    truth = {one.user.name: unpack(one.packed())[1:] for one in presence.members.values()}  # type: ignore[index]
    for view in views.values():
        assert view == truth


def test_a_large_audience_is_told_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "AUDIENCE", 5)
    stage = Stage(options(presence_members=3, presence_ms=200))
    watchers = [stage.new(f"w{number}") for number in range(15)]
    for one in watchers:
        one.ask(Join, "lobby", presence=True)
    stage.pass_time(1000)
    for one in watchers:
        one.got.clear()
    for _ in range(60):  # 6 s
        stage.new().connect(rooms={"lobby": None})
        stage.pass_time(100)
    stage.pass_time(600)
    assert {len(one.take(PresencePush)) for one in watchers} <= {9, 10, 11}, "each 600 ms"
    assert stage.hub.rooms["lobby"].presence.changed is False
