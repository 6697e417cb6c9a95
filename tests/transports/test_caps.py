"""Caps on connections, in all and per address."""

from __future__ import annotations

import resource

import pytest

from fastchat.hub.addresses import network_of
from fastchat.transports import caps
from fastchat.transports.caps import Caps, Networks, connection_cap


def test_the_cap_over_all_counts_and_releases() -> None:
    counted = Caps(2, 0, ())
    assert counted.admit("192.0.2.1") and counted.admit("192.0.2.2")
    assert not counted.admit("192.0.2.3")
    counted.release("192.0.2.1")
    assert counted.admit("192.0.2.3")
    assert (counted.total, counted.refused) == (2, 1)


def test_the_cap_per_address_leaves_others_alone_and_forgets_who_left() -> None:
    counted = Caps(100, 2, ())
    assert [counted.admit("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert counted.admit("192.0.2.2")
    for _ in range(2):
        counted.release("192.0.2.1")
    assert counted.admit("192.0.2.1")


def test_exempt_networks_and_unix_sockets_have_no_cap_per_address() -> None:
    counted = Caps(100, 1, ("127.0.0.0/8", "2001:db8::/32"))
    for address in ("127.0.0.1", "127.9.9.9", "2001:db8::1", "", "::ffff:127.0.0.1"):
        assert [counted.admit(address) for _ in range(2)] == [True, True]
    for address in ("", "127.0.0.1"):
        counted.release(address)
    assert counted.total == 8


def test_hosts_of_one_ipv6_network_share_a_cap() -> None:
    counted = Caps(100, 2, ("127.0.0.0/8",))
    assert counted.admit("2001:db8:0:1::1") and counted.admit("2001:db8:0:1:ffff::2")
    assert not counted.admit("2001:db8:0:1::3")
    assert counted.admit("2001:db8:0:2::1")


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_what_an_address_is_counted_under(address: str, key: str) -> None:
    assert network_of(address) == key


def test_descriptors_bound_the_cap() -> None:
    assert connection_cap(0, 1024) == 1024 - caps.RESERVE
    assert connection_cap(50, 1024) == 50
    assert connection_cap(5000, 1024) == 1024 - caps.RESERVE
    assert connection_cap(0, 60) == 1
    assert connection_cap(5000, resource.RLIM_INFINITY) == 5000
    assert connection_cap(0, resource.RLIM_INFINITY) > 10_000


def test_the_soft_limit_is_raised_to_the_hard_one(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(resource, "getrlimit", lambda what: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda what, limits: asked.append(limits))
    assert caps.raise_descriptor_limit() == 4096
    assert asked == [(4096, 4096)]


def test_a_system_that_forbids_it_leaves_the_soft_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(what: int, limits: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda what: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", forbid)
    assert caps.raise_descriptor_limit() == 1024


def test_no_limit_needs_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda what: (4096, 4096))
    assert caps.raise_descriptor_limit() == 4096


@pytest.mark.parametrize(
    "address, inside",
    [
        ("10.1.2.3", True),
        ("11.1.2.3", False),
        ("::ffff:10.1.2.3", True),
        ("2001:db8::5", True),
        ("2001:db8::6", False),
        ("fe80::1%eth0", True),
    ],
)
def test_a_set_of_networks(address: str, inside: bool) -> None:
    networks = Networks(("10.0.0.0/8", "2001:db8::5", "fe80::/10"))
    assert (address in networks) is inside
    assert address not in Networks(())


@pytest.mark.parametrize(
    "address, many",
    [("", True), ("127.0.0.1", True), ("192.0.2.7", False), ("::1", True), ("2001:db8::1", False)],
)
def test_where_many_have_one_address(address: str, many: bool) -> None:
    assert Caps(10, 0, ("127.0.0.0/8", "::1/128")).exempt(address) is many
