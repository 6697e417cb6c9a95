"""The echo is made of both twins as any server is."""

from tests.server.conftest import parts

__all__ = ["parts"]
