"""The ledger finds every fault that is planted, and none in what is right."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.durability.ledger import MOST_FAULTS, Ledger, Member, Place

STORED = [(1, "a 1"), (2, "b 1"), (3, "a 2")]


def story() -> tuple[Ledger, Member]:
    """Three messages, of which one was sent again after a restart, heard by somebody who was away for one."""
    ledger = Ledger()
    member = Member(ledger, "ear")
    member.join("e", 0, None, [])
    for offset, text in STORED:
        ledger.send(text)
        ledger.promise("e", offset, text, False)
    ledger.send("b 1")
    ledger.promise("e", 2, "b 1", True)
    member.hear(1, "a 1")
    member.join("e", 2, True, [(2, "b 1")])
    member.hear(3, "a 2")
    return ledger, member


def test_what_is_right_passes() -> None:
    ledger, member = story()
    member.settle(Place("e", 3))
    ledger.settle("e", STORED)
    assert ledger.faults == []
    assert (ledger.seen["sent again"], ledger.seen["acknowledged as seen before"]) == (1, 1)
    assert (ledger.seen["stored"], ledger.seen["heard"], ledger.seen["recovered"]) == (3, 3, 1)


def seen(ledger: Ledger, member: Member) -> None:
    ledger.send("c 1")
    member.hear(4, "c 1")


def reused(ledger: Ledger, member: Member) -> None:
    ledger.send("c 1")
    ledger.note("e", 2, "c 1")


def hole(ledger: Ledger, member: Member) -> None:
    ledger.send("c 1")
    member.hear(5, "c 1")


DURING: dict[str, tuple[Callable[[Ledger, Member], None], str]] = {
    "an offset that is used again": (reused, "offset reused"),
    "a message at two places": (lambda ledger, _: ledger.note("e", 4, "a 1"), "duplicated"),
    "a retry that is stored again": (
        lambda ledger, _: ledger.promise("e", 4, "b 1", False),
        "promised twice",
    ),
    "something that nobody said": (lambda ledger, _: ledger.note("e", 4, "x"), "invented"),
    "a hole": (hole, "stood at 3 and got 5"),
    "the same again": (lambda _, member: member.hear(3, "a 2"), "stood at 3 and got 3"),
    "a new epoch": (lambda _, member: member.join("f", 0, False, []), "was not recovered"),
    "an epoch that only seems to go on": (
        lambda _, member: member.join("f", 3, True, []),
        "was not recovered",
    ),
    "a recovery that lacks the end": (lambda _, member: member.join("e", 4, True, []), "recovered to 3 of 4"),
    "a tail that never came": (lambda _, member: member.settle(Place("e", 4)), "stands at"),
}


@pytest.mark.parametrize("plant, says", DURING.values(), ids=DURING)
def test_a_planted_fault_is_found(plant: Callable[[Ledger, Member], None], says: str) -> None:
    ledger, member = story()
    plant(ledger, member)
    assert any(says in fault for fault in ledger.faults), ledger.faults


AT_END = {
    "an acknowledged message is lost": (STORED[:2], "lost: 'a 2' was acknowledged"),
    "one in the middle is lost": ([STORED[0], STORED[2]], "not contiguous: 3 follows 1"),
    "those behind it moved up": ([(1, "a 1"), (2, "a 2")], "offset reused"),
    "stored twice": ([*STORED, (4, "a 1")], "duplicated"),
    "stored under another key": ([*STORED, (4, "a 3")], "invented"),
    "all are lost": ([], "lost"),
}


@pytest.mark.parametrize("stored, says", AT_END.values(), ids=AT_END)
def test_a_fault_of_the_store_is_found(stored: list[tuple[int, str]], says: str) -> None:
    ledger, _ = story()
    ledger.settle("e", stored)
    assert any(says in fault for fault in ledger.faults), ledger.faults


def test_what_somebody_saw_must_be_stored_even_if_nobody_was_told_so() -> None:
    ledger, member = story()
    seen(ledger, member)
    ledger.settle("e", STORED)
    assert any("lost: 'c 1' was seen" in fault for fault in ledger.faults)


def test_another_epoch_at_the_end_means_that_all_is_lost() -> None:
    ledger, _ = story()
    ledger.settle("f", STORED)
    assert sum("lost" in fault for fault in ledger.faults) == 3


def test_what_is_never_acknowledged_is_told() -> None:
    ledger, _ = story()
    ledger.send("c")
    ledger.settle("e", STORED)
    assert ledger.faults == ["never acknowledged: 'c'"]


def test_faults_are_counted_without_end_and_kept_within_bounds() -> None:
    ledger = Ledger()
    for number in range(3 * MOST_FAULTS):
        ledger.note("e", 1, str(number))
    assert len(ledger.faults) == MOST_FAULTS and ledger.seen["faults"] > 3 * MOST_FAULTS


def test_who_may_be_left_behind_must_be_told_so() -> None:
    ledger = Ledger()
    member = Member(ledger, "ear", may_lose=True)
    member.join("e", 0, None, [])
    member.join("e", 9, False, [])
    assert ledger.faults == [] and ledger.seen["not recovered"] == 1
    member.join("e", 12, True, [])
    assert "was recovered to 9 of 12" in ledger.faults[0]
