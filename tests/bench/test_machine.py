"""What a result says of the machine, and the descriptors that it allows."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest

from fastchat.bench import machine
from fastchat.bench.failure import BenchError
from fastchat.bench.memory import kernel_memory, tcp_pages


def test_machine_and_versions_are_plain_and_name_no_place() -> None:
    text = json.dumps([machine.machine(), machine.versions(), machine.commit()])
    assert str(Path.home()) not in text and str(machine.ROOT) not in text
    assert machine.machine()["cores"] >= 1
    assert machine.versions()["uvloop"].startswith("0.")


def test_what_is_not_there_is_empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert machine.versions(("no-such-compiler",))["cc"] == ""
    assert machine.first("/proc/no-such-file") == ""
    monkeypatch.setattr(machine, "PACKAGES", ("no-such-package",))
    assert machine.versions()["no-such-package"] == ""
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    assert machine.checkout() is None and machine.commit() == ("", False)


def test_too_few_descriptors_are_told_with_the_number_that_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, 1024))
    machine.require_descriptors(724)
    with pytest.raises(BenchError, match=r"1,000 connections need 1,300 .*allows 1,024.*ulimit -n 1300.*724"):
        machine.require_descriptors(1000)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, resource.RLIM_INFINITY))
    machine.require_descriptors(1_000_000)


def test_memory_of_the_kernel_is_told_by_kind() -> None:
    found = kernel_memory()
    assert set(found) == {"slab", "kernel_stacks", "page_tables", "tcp_buffers"}
    assert found["slab"] > 1 << 20
    assert tcp_pages("sockets: used 17\nTCP: inuse 1 orphan 0 alloc 1 mem 143\nUDP: inuse 0 mem 9\n") == 143
    assert tcp_pages("sockets: used 17\n") == 0
