"""Epochs end where somebody may have seen what is lost, and only there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fastchat.config import Config, Durability, RoomOptions
from fastchat.engine import epochs
from fastchat.engine.epochs import boot_id
from fastchat.engine.schema import FILE, connect
from tests.engine.contract import offsets
from tests.engine.rigs import StoreRig

PROCESS, POWER = "process:x", "power:x"
CONFIG = Config(
    rooms={kind.value: RoomOptions(durability=kind) for kind in Durability} | {"default": RoomOptions()}
)


class Machine:
    """One store through several runs; `boot` is the machine's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "data-0"
        self.folder.mkdir()
        self.parent = folder
        self.runs = 0
        self.rig: StoreRig | None = None

    def run(self, boot: str = "one", config: Config = CONFIG, *rooms: str) -> StoreRig:
        self.rig = StoreRig(config, self.folder, boot)
        for room in rooms or (PROCESS, POWER):
            self.rig.engine.hold(room)
        return self.rig

    def end(self) -> None:
        """End it in order."""
        if self.rig is not None:
            self.rig.close()
            self.rig = None

    def kill(self) -> None:
        """End it so that only what the kernel has is left."""
        assert self.rig is not None
        self.runs += 1
        self.folder = self.rig.copy(self.parent / f"data-{self.runs}")
        self.end()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    found = Machine(tmp_path)
    yield found
    found.end()


def told(rig: StoreRig, *rooms: str) -> dict[str, str]:
    return {room: rig.read(room).epoch for room in rooms or (PROCESS, POWER)}


def write(rig: StoreRig) -> dict[str, str]:
    """Write to both rooms; returns their epochs."""
    for room in (PROCESS, POWER):
        rig.append(room=room)
    return told(rig)


@pytest.mark.parametrize("boot", ["one", "two"])
def test_an_orderly_end_keeps_every_epoch(machine: Machine, boot: str) -> None:
    before = write(machine.run())
    machine.end()
    assert told(machine.run(boot)) == before


def test_the_death_of_the_process_keeps_every_epoch(machine: Machine) -> None:
    before = write(machine.run())
    machine.kill()
    rig = machine.run()
    assert told(rig) == before
    machine.kill()
    assert told(machine.run()) == before


def test_a_loss_of_power_ends_the_epochs_of_what_was_not_synced(machine: Machine) -> None:
    before = write(machine.run())
    machine.kill()
    rig = machine.run("two")
    after = told(rig)
    assert after[POWER] == before[POWER]
    assert after[PROCESS] != before[PROCESS]
    assert rig.read(PROCESS, since=(before[PROCESS], 1)).recovered is False
    assert offsets(rig.read(PROCESS)) == [1], "what is there is still read"
    machine.kill()
    assert told(machine.run("two")) == after, "once is enough"


def test_a_loss_of_power_after_an_orderly_end_and_a_new_start(machine: Machine) -> None:
    """The note that it is open must be on the disk before anything else is."""
    write(machine.run())
    machine.end()
    before = write(machine.run("two"))
    machine.kill()
    after = told(machine.run("three"))
    assert (after[POWER], after[PROCESS] != before[PROCESS]) == (before[POWER], True)


def test_a_room_that_is_lost_with_its_row_begins_in_another_epoch(machine: Machine) -> None:
    rig = machine.run()
    empty = told(rig)[PROCESS]
    lost = rig.copy(machine.parent / "lost")  # what the disk has: nothing after this was synced
    rig.append(room=PROCESS)
    assert told(rig)[PROCESS] == empty
    machine.end()
    machine.folder = lost
    rig = machine.run("two")
    assert rig.read(PROCESS).offset == 0
    assert told(rig)[PROCESS] != empty


@pytest.mark.parametrize("boots", [("", ""), ("one", ""), ("", "two")])
def test_where_nothing_tells_one_boot_from_the_next_the_worst_is_assumed(
    machine: Machine, boots: tuple[str, str]
) -> None:
    before = write(machine.run(boots[0]))
    machine.kill()
    after = told(machine.run(boots[1]))
    assert (after[POWER], after[PROCESS] != before[PROCESS]) == (before[POWER], True)


def test_a_room_that_is_no_longer_synced_can_lose_its_epoch(machine: Machine) -> None:
    before = write(machine.run())
    machine.end()
    slack = Config(rooms={"default": RoomOptions()})
    rig = machine.run("one", slack)
    assert told(rig) == before
    machine.kill()
    assert told(machine.run("two", slack))[POWER] != before[POWER]


def test_a_room_that_is_synced_from_now_on_keeps_its_epoch(machine: Machine) -> None:
    before = write(machine.run())
    machine.kill()
    strict = Config(rooms={"default": RoomOptions(durability=Durability.POWER)})
    assert told(machine.run("one", strict)) == before
    machine.kill()
    assert told(machine.run("two", strict)) == before


def test_a_copy_begins_new_epochs_once(machine: Machine) -> None:
    before = write(machine.run())
    machine.end()
    database = connect(machine.folder / FILE)
    database.execute("INSERT INTO meta VALUES ('restored', '1')")
    database.close()
    rig = machine.run()
    after = told(rig)
    assert not set(after.values()) & set(before.values())
    rig.engine.hold("new:x")
    assert told(rig, "new:x")["new:x"] not in before.values()
    machine.end()
    assert told(machine.run()) == after


def test_the_note_that_it_is_open_is_synced_first(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the statements: nothing is written between BEGIN and the note with less than FULL."""
    said: list[str] = []
    original = epochs.open_epochs

    def traced(database: object, *rest: object) -> None:
        database.set_trace_callback(said.append)  # type: ignore[attr-defined]
        original(database, *rest)  # type: ignore[arg-type]
        database.set_trace_callback(None)  # type: ignore[attr-defined]

    monkeypatch.setattr("fastchat.engine.store.open_epochs", traced)
    machine.run()
    assert said[:2] == ["PRAGMA synchronous = FULL", "BEGIN IMMEDIATE"]
    assert said[-1] == "COMMIT" and any("'clean', '0'" in line for line in said)


def test_this_machine_has_a_boot_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert boot_id() == boot_id()
    monkeypatch.setattr(epochs, "BOOT", tmp_path / "absent")
    assert boot_id() == ""
