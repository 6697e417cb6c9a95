"""What keeps a figure from being measured."""

from __future__ import annotations

from fastchat.errors import FastChatError


class BenchError(FastChatError):
    """A figure could not be measured; the text says why and what to do. What was measured before stays."""
