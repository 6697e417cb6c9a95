"""How many connections may be open: in all, and from one address.

Descriptors are never allowed to run out: past RLIMIT_NOFILE the event loop would drop connections without
a word, so the cap stays below it by a reserve for files, listeners and refusals.
"""

from __future__ import annotations

import ipaddress
import logging
import resource
from collections.abc import Iterable

from fastchat.hub.addresses import network_of

# descriptors for listeners, logs and stores, for refusals that wait to be read, and for what the loop accepts
# before anybody can look at it
RESERVE = 256
FEW_CONNECTIONS = 512  # a cap below it that nobody asked for is worth a warning

LOG = logging.getLogger(__name__)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def raise_descriptor_limit() -> int:
    """Raise the soft limit of descriptors to the hard one; return what now holds."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):  # forbidden here, or above what this kernel allows
        return soft
    return hard


def connection_cap(configured: int, descriptors: int) -> int:
    """The most connections to hold: what was asked for, as far as descriptors allow."""
    room = max(1, descriptors - RESERVE) if descriptors != resource.RLIM_INFINITY else configured or 1_000_000
    return min(configured, room) if configured else room


def most_connections(configured: int) -> int:
    """The cap on connections; say so where the limit of open files leaves fewer than anybody expects."""
    descriptors = raise_descriptor_limit()
    most = connection_cap(configured, descriptors)
    if most < (configured or FEW_CONNECTIONS):
        LOG.warning(
            "the limit of %d open files leaves room for %d connections (ulimit -n)", descriptors, most
        )
    return most


class Networks:
    """A set of networks; `address in networks`."""

    __slots__ = ("_networks",)

    def __init__(self, texts: Iterable[str]) -> None:
        self._networks: list[Network] = [ipaddress.ip_network(text, strict=False) for text in texts]

    def __contains__(self, address: str) -> bool:
        if not self._networks:
            return False
        host = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(host, ipaddress.IPv6Address) and host.ipv4_mapped is not None:
            host = host.ipv4_mapped
        return any(host in network for network in self._networks)


class Caps:
    """Counts open connections; `admit` and `release` come in pairs."""

    __slots__ = ("total", "refused", "_most", "_per_network", "_exempt", "_counts")

    def __init__(self, most: int, per_address: int, exempt: Iterable[str]) -> None:
        self.total = 0
        self.refused = 0
        self._most = most
        self._per_network = per_address  # 0: no limit
        self._exempt: list[Network] = [ipaddress.ip_network(text, strict=False) for text in exempt]
        self._counts: dict[str, int] = {}  # of networks that are not exempt

    @property
    def most(self) -> int:
        """Connections that may be open at once."""
        return self._most

    def admit(self, address: str) -> bool:
        """Count one more connection from there, or refuse it."""
        if self.total >= self._most:
            self.refused += 1
            return False
        key = self._key(address)
        if key:
            count = self._counts.get(key, 0)
            if count >= self._per_network:
                self.refused += 1
                return False
            self._counts[key] = count + 1
        self.total += 1
        return True

    def release(self, address: str) -> None:
        """One that was admitted is gone."""
        self.total -= 1
        key = self._key(address)
        if not key:
            return
        count = self._counts[key] - 1
        if count:
            self._counts[key] = count
        else:
            del self._counts[key]

    def _key(self, address: str) -> str:
        """What to count under; "" where no limit per address holds."""
        if not address or not self._per_network:
            return ""
        return "" if self.exempt(address) else network_of(address)

    def exempt(self, address: str) -> bool:
        """Whether many may come from this address; a Unix socket has none."""
        if not address:
            return True
        key = network_of(address)  # of an IPv4 address within IPv6 that address
        host = ipaddress.ip_address(address.partition("%")[0] if ":" in key else key)
        return any(host in network for network in self._exempt)
