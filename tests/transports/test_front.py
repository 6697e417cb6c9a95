"""The first bytes decide who serves a connection."""

from __future__ import annotations

import pytest

from fastchat.transports.front import Speech, recognise


@pytest.mark.parametrize(
    ("head", "speech"),
    [
        (b"", Speech.UNDECIDED),
        (b"\x00", Speech.TCP),
        (b"\x00\x00\x00\x05hello", Speech.TCP),
        (b"G", Speech.UNDECIDED),
        (b"GET /ws", Speech.UNDECIDED),
        (b"GET /ws ", Speech.WEBSOCKET),
        (b"GET /ws?token=x HTTP/1.1", Speech.WEBSOCKET),
        (b"GET /wsx", Speech.HTTP),
        (b"GET /ws/", Speech.HTTP),
        (b"GET /", Speech.UNDECIDED),
        (b"GET / ", Speech.HTTP),
        (b"GEX", Speech.HTTP),
        (b"P", Speech.HTTP),
        (b"POST /ws ", Speech.HTTP),
        (b"PRI * HTTP/2.0", Speech.HTTP),
        (b"get /ws ", Speech.FOREIGN),
        (b"\x16\x03\x01", Speech.FOREIGN),
        (b"\x01", Speech.FOREIGN),
        (b"\xff", Speech.FOREIGN),
        (b"[", Speech.FOREIGN),
        (b"@", Speech.FOREIGN),
    ],
)
def test_speech_is_told_by_the_first_bytes(head: bytes, speech: Speech) -> None:
    assert recognise(head) is speech


WHOLE = [b"\x00\x00\x00\x01\x90", b"GET /ws HTTP/1.1", b"GET /healthz HTTP/1.1", b"\xff"]


@pytest.mark.parametrize("whole", WHOLE)
def test_the_verdict_is_the_same_byte_by_byte_and_never_changes(whole: bytes) -> None:
    verdicts = [recognise(whole[:size]) for size in range(len(whole) + 1)]
    decided = [verdict for verdict in verdicts if verdict is not Speech.UNDECIDED]
    assert set(decided) == {recognise(whole)}
    assert verdicts == [Speech.UNDECIDED] * (len(verdicts) - len(decided)) + decided
