"""Addresses as those count them who want to know whether two connections come from the same place."""

from __future__ import annotations

import ipaddress

IPV6_NETWORK = 64  # bits: one customer's network; a single host has all of it


def network_of(address: str) -> str:
    """The key an address is counted under: itself, or for IPv6 its /64; "" for a Unix socket."""
    if ":" not in address:
        return address
    parsed = ipaddress.IPv6Address(address.partition("%")[0])
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((parsed, IPV6_NETWORK), strict=False))
