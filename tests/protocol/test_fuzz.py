"""A million mutated frames, and proof that the fuzzer notices what it is there for."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest

from fastchat.errors import Code, ProtocolError
from fastchat.protocol import codec, framing
from fastchat.protocol.messages import Command
from fastchat.protocol.rules import Limits
from tests.protocol import fuzz

FRAMES = 1_000_000 if codec.EXTENSION and framing.EXTENSION else 50_000
FIXED = 1  # what CI finds must not depend on the day it ran
ANY = FIXED if "CI" in os.environ else random.SystemRandom().randrange(2**32)
SEED = int(os.environ.get("FASTCHAT_FUZZ_SEED", ANY))


def test_a_million_mutated_frames() -> None:
    try:
        outcomes = fuzz.run(FRAMES, SEED)
    except BaseException as error:
        error.add_note(f"python -m tests.protocol.fuzz --frames {FRAMES} --seed {SEED}")
        raise
    assert outcomes["frames"] >= FRAMES
    # it fuzzed what it claims to: every command got through somewhere, every kind of answer came
    accepted = {outcome.split()[1] for outcome in outcomes if outcome.startswith("accepted")}
    assert accepted == {kind.__name__ for kind in codec.OPS}
    kinds = {"refused 300", "refused 301", "refused 302", "closed", "unusual", "waiting"}
    assert all(outcomes[kind] for kind in kinds)


def test_the_same_seed_mutates_the_same_frames() -> None:
    assert fuzz.run(2000, 5) == fuzz.run(2000, 5) != fuzz.run(2000, 6)


def planted(monkeypatch: pytest.MonkeyPatch, decode: Any) -> None:
    monkeypatch.setattr(codec, "decode_command", decode)


def test_it_notices_a_foreign_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    real = codec.decode_command

    def decode(payload: bytes, limits: Limits) -> Command:
        if payload.endswith(b"\xff"):
            raise UnicodeDecodeError("utf-8", payload, 0, 1, "planted")
        return real(payload, limits)

    planted(monkeypatch, decode)
    with pytest.raises(UnicodeDecodeError, match="planted"):
        fuzz.run(20_000, 7)


def test_it_notices_twins_that_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    real = codec.decode_command

    def decode(payload: bytes, limits: Limits) -> Command:
        command = real(payload, limits)
        if command.id == 255:
            raise ProtocolError(Code.BAD_ARGUMENT, "planted", field="id")
        return command

    planted(monkeypatch, decode)
    with pytest.raises(AssertionError, match="the twins differ"):
        fuzz.run(20_000, 7)
