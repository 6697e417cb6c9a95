"""Rooms, members, presence and commands; knows a connection only as an outbox and an identity."""

from fastchat.hub.hub import Hub
from fastchat.hub.session import Link, Peer, Session

__all__ = ["Hub", "Link", "Peer", "Session"]
