from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastchat.client import CannotConnect, connect
from tests.client.conftest import serving
from tests.server.certificate import make_certificate

Run = Callable[..., Any]


@pytest.mark.parametrize("scheme", ["tcps", "wss"])
def test_a_conversation_under_tls(run: Run, scheme: str, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)

    async def check() -> None:
        async with serving(tls_cert=certificate, tls_key=key) as server:
            url = f"{scheme}://localhost:{server.port}"
            trusting = ssl.create_default_context(cafile=certificate)
            async with connect(url, tls=trusting) as chat:
                room = chat.room("lobby")
                await room.join()
                await chat.publish("lobby", "x" * 10_000)
                await chat.post("lobby", "posted")
                assert [len((await anext(room)).data) for _ in range(2)] == [10_000, 6]
            with pytest.raises(CannotConnect, match="(?i)certificate"):
                await connect(url).open()
            with pytest.raises(CannotConnect):
                await connect(f"tcp://127.0.0.1:{server.port}", timeout=5).open()

    run(check())
