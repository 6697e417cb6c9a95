"""The server's TLS settings, from a certificate and its key."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable

from fastchat.config import Config
from fastchat.errors import ConfigError


def tls_context(config: Config) -> ssl.SSLContext | None:
    """The server's TLS settings (1.2 or newer), or None where none are configured."""
    if config.tls_cert is None and config.tls_key is None:
        return None
    if config.tls_cert is None:
        raise ConfigError("tls_key is set without tls_cert: give the certificate with --tls-cert.")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    for path in filter(None, (config.tls_cert, config.tls_key)):
        if not os.path.exists(path):
            raise ConfigError(f"{path}: no such file.")
    try:
        context.load_cert_chain(config.tls_cert, config.tls_key, password=_no_password(config))
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(
            f"{config.tls_cert} and {config.tls_key or 'the key in it'} are no PEM certificate and its key: "
            f"{error}."
        ) from error
    return context


def _no_password(config: Config) -> Callable[[], str]:
    def refuse() -> str:
        raise ConfigError(f"{config.tls_key or config.tls_cert} is encrypted: give a key without a password.")

    return refuse
