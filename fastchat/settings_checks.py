"""Refuse a `Config` that cannot work: values out of bounds and fields that contradict each other."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import fields
from math import inf

from fastchat._broadcast_base import RADII
from fastchat.config import KIB, MIB, Config, Durability, Guests, RoomOptions
from fastchat.errors import ConfigError

DAY = 86_400  # seconds
ALGORITHMS = ("HS256", "EdDSA", "RS256", "ES256")
BACKENDS = ("raw", "transport")
ENGINES = ("", "memory", "sqlite")
GIB = 1024 * MIB
UNIX_PATH = 107  # bytes that sockaddr_un holds, without the final zero (unix(7))
ORIGIN = re.compile(r"https?://[^/\s]+")

CONFIG_BOUNDS: Mapping[str, tuple[float, float]] = {
    "port": (0, 65_535),
    "backlog": (1, 65_535),
    "drain_seconds": (0, 3_600),
    "token_max_seconds": (1, 30 * DAY),
    "max_connections": (0, inf),
    "connections_per_address": (0, inf),
    "connect_seconds": (0.1, 3_600),
    "ping_ms": (100, DAY * 1000),
    "linger_seconds": (0, 60),
    "max_frame": (1 * KIB, 1 * MIB),  # PROTOCOL.md, "Framing"
    "max_depth": (2, 100),  # deeper values exhaust the stack of many clients' decoders
    "max_elements": (16, 1_000_000),
    "max_rooms": (1, inf),
    "join_rate": (0, 10_000),
    "join_burst": (1, 1_000_000),
    "read_rate": (0, GIB),
    "read_burst": (64 * KIB, GIB),
    # the result of a JOIN may have 1 MiB, and whoever asks for it must not be cut for being slow
    "outbox_bytes": (1 * MIB, GIB),  # the core counts frames in ints
    "total_bytes": (8 * KIB, 1024 * GIB),
    "batch_bytes": (4 * KIB, GIB),
    "sndbuf": (4 * KIB, 64 * MIB),
    "notsent_lowat": (4 * KIB, 64 * MIB),
    "flush_budget_ms": (0, 1_000),
    "flush_sends": (1, 1_000_000),
    "flush_ms": (0.1, 1_000),
    "latency_limit_ms": (1, 60_000),
    "connect_utilisation": (0.1, 1),
    "publish_utilisation": (0.1, 1),
    "history_total_bytes": (0, inf),
    "idempotency_seconds": (300, 30 * DAY),  # PROTOCOL.md promises 5 minutes at least
    "idempotency_bytes": (0, inf),
    "store_queue_bytes": (64 * KIB, GIB),
    "hook_seconds": (0.01, 60),
}
ROOM_BOUNDS: Mapping[str, tuple[float, float]] = {
    "history": (0, 1_000_000),
    "history_bytes": (0, inf),
    "history_seconds": (0, 365 * DAY),
    "history_age_seconds": (0, 100 * 365 * DAY),
    "members": (0, inf),
    "coalesce_ms": (0, 10_000),
    "radius": (0, RADII[1]),
    "presence_members": (0, inf),
    "presence_ms": (0, 60_000),
    "rate": (0, 10_000),  # beyond that a tenth of a millisecond would have to be told
    "burst": (1, 1_000_000),
    "rate_bytes": (0, GIB),
    "state_rate": (0, 10_000),
}


def check(config: Config) -> None:
    """Raise ConfigError for the first thing that cannot work, saying what to change."""
    _within(config, CONFIG_BOUNDS, "")
    for namespace, options in config.rooms.items():
        _within(options, ROOM_BOUNDS, f"rooms.{namespace}.")
        if 0 < options.radius < RADII[0]:
            raise ConfigError(
                f"rooms.{namespace}.radius is {options.radius:g} but must be 0 or at least {RADII[0]:g}"
            )
    _check_listen(config)
    _check_identity(config)
    _check_store(config)
    _check_bytes(config)
    _check_capacity(config)


def _within(settings: Config | RoomOptions, bounds: Mapping[str, tuple[float, float]], prefix: str) -> None:
    for field in fields(settings):
        if field.name not in bounds:
            continue
        low, high = bounds[field.name]
        value = getattr(settings, field.name)
        if not low <= value <= high:
            limit = f"at least {low:,}" if value < low else f"at most {high:,}"
            raise ConfigError(f"{prefix}{field.name} is {value:,} but must be {limit}")


def _check_listen(config: Config) -> None:
    if config.tls_cert and not config.tls_key:
        raise ConfigError("tls_cert is set but tls_key is not: TLS needs both files")
    if config.tls_key and not config.tls_cert:
        raise ConfigError("tls_key is set but tls_cert is not: TLS needs both files")
    if config.unix and len(config.unix.encode()) > UNIX_PATH:
        raise ConfigError(
            f"unix: the path is longer than {UNIX_PATH} bytes, the most that fits a Unix socket"
        )
    for origin in config.origins:
        if origin != "*" and not ORIGIN.fullmatch(origin):
            raise ConfigError(f"origins: {origin!r} is not an origin like https://chat.example.org, or *")
    _networks("exempt_addresses", config.exempt_addresses)
    _networks("reserved_addresses", config.reserved_addresses)
    if config.backend not in BACKENDS:
        choices = ", ".join(map(repr, BACKENDS))
        raise ConfigError(f"backend is {config.backend!r} but must be one of {choices}")


def _check_identity(config: Config) -> None:
    algorithm = config.token_algorithm
    choices = ", ".join(map(repr, ALGORITHMS))
    if algorithm not in ("", *ALGORITHMS):
        raise ConfigError(f"token_algorithm is {algorithm!r} but must be one of {choices}, or empty")
    if not algorithm and (config.token_keys or config.token_jwks):
        key = "token_keys" if config.token_keys else "token_jwks"
        raise ConfigError(f"{key} is set but token_algorithm is not: name the one that signs, of {choices}")
    if not algorithm and config.guests is Guests.NOBODY:
        raise ConfigError("guests is 'nobody' and there are no tokens: nobody could come in")
    if algorithm == "HS256" and config.token_jwks:
        raise ConfigError("token_jwks is for public keys: a secret for HS256 is a file that token_keys names")
    if algorithm not in ("", "HS256") and not config.token_keys and not config.token_jwks:
        raise ConfigError(f"token_algorithm is {algorithm!r}: name the public key's file in token_keys")
    if algorithm and not config.token_audience:
        raise ConfigError("token_audience is empty: a token for somebody else would do here as well")


def _networks(key: str, networks: tuple[str, ...]) -> None:
    for network in networks:
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError as error:
            raise ConfigError(f"{key}: {error}") from error


def _check_store(config: Config) -> None:
    if config.engine not in ENGINES:
        choices = ", ".join(map(repr, ENGINES[1:]))
        raise ConfigError(f"engine is {config.engine!r} but must be one of {choices}")
    if not config.data:
        raise ConfigError("data is empty: name the folder of what is kept, such as fastchat-data")
    if config.store_queue_bytes < 2 * config.max_frame:
        raise ConfigError(
            f"store_queue_bytes ({config.store_queue_bytes:,}) must be at least twice max_frame"
            f" ({config.max_frame:,}), or the longest message a client may send would never pass"
        )


def _check_capacity(config: Config) -> None:
    if config.connect_utilisation > config.publish_utilisation:
        raise ConfigError(
            f"connect_utilisation ({config.connect_utilisation:g}) must not be more than publish_utilisation"
            f" ({config.publish_utilisation:g}), or clients would be let in whose messages are refused"
        )


def _check_bytes(config: Config) -> None:
    if config.batch_bytes < 2 * config.max_frame:
        raise ConfigError(
            f"batch_bytes ({config.batch_bytes:,}) must be at least twice max_frame ({config.max_frame:,}),"
            " or the longest message a client may send would never pass"
        )
    if config.outbox_bytes < 2 * config.batch_bytes:
        raise ConfigError(
            f"outbox_bytes ({config.outbox_bytes:,}) must be at least twice batch_bytes"
            f" ({config.batch_bytes:,}), or one full flush makes every member a slow consumer"
        )
    if config.total_bytes < config.outbox_bytes:
        raise ConfigError(
            f"total_bytes ({config.total_bytes:,}) must be at least outbox_bytes ({config.outbox_bytes:,})"
        )
    for namespace, options in config.rooms.items():
        volatile = config.engine != "sqlite" or options.durability is Durability.MEMORY
        if volatile and options.history_bytes > config.history_total_bytes:
            raise ConfigError(
                f"rooms.{namespace}.history_bytes ({options.history_bytes:,}) is more than"
                f" history_total_bytes ({config.history_total_bytes:,}), the limit over all rooms"
            )
