"""Shutting our side of a connection, on every kind of transport."""

from __future__ import annotations

import errno
from typing import Any

from fastchat.transports.parting import shut


class Transport:
    """Notes what is done to it."""

    def __init__(self, *, half: bool, fault: OSError | None = None) -> None:
        self._half = half
        self._fault = fault
        self.calls: list[str] = []

    def can_write_eof(self) -> bool:
        return self._half

    def write_eof(self) -> None:
        self.calls.append("write_eof")
        if self._fault is not None:
            raise self._fault

    def close(self) -> None:
        self.calls.append("close")

    def abort(self) -> None:
        self.calls.append("abort")


def ends(transport: Any) -> tuple[bool, list[str]]:
    return shut(transport), transport.calls


def test_our_side_is_shut_and_the_peers_stays_open() -> None:
    assert ends(Transport(half=True)) == (True, ["write_eof"])


def test_tls_closes_by_itself() -> None:
    assert ends(Transport(half=False)) == (False, ["close"])


def test_a_connection_the_peer_has_reset_is_aborted() -> None:
    fault = OSError(errno.ENOTCONN, "not connected")
    assert ends(Transport(half=True, fault=fault)) == (False, ["write_eof", "abort"])
