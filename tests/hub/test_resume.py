"""Resume secrets are kept as digests, for a time, and not too many."""

from __future__ import annotations

from random import Random
from typing import cast

import pytest

from fastchat.hub import Peer, resume
from fastchat.hub.limits import RESUME_MS
from fastchat.hub.resume import Resumes
from fastchat.hub.session import Session
from fastchat.hub.users import User
from fastchat.identity.base import GUEST


class FakeSession:
    def __init__(self, name: str) -> None:
        self.user = User(name, name)
        self.secret = self.former = b""
        self.identity, self.grants = GUEST, None
        self.peer = Peer("127.0.0.1", "tcp", False)


def fake(name: str) -> Session:
    """All of a session that its secrets need."""
    return cast(Session, FakeSession(name))


def ended(resumes: Resumes, name: str, now: int, shown: str | None = None) -> str:
    session = fake(name)
    secret = resumes.issue(session, shown)
    resumes.end(session, now)
    return secret


def test_secrets_are_long_and_differ() -> None:
    resumes = Resumes(Random(1))
    secrets = {resumes.issue(fake("a")) for _ in range(100)}
    assert len(secrets) == 100 and {len(one) for one in secrets} == {32}


def test_the_secret_itself_is_not_kept() -> None:
    resumes = Resumes(Random(1))
    session = fake("ada")
    secret = resumes.issue(session)
    assert secret not in repr((resumes._living, resumes._ended, session.__dict__))
    assert resumes.living(secret, session) is session
    assert resumes.living(session.secret.hex(), session) is None


def test_the_ended_are_bounded_and_the_oldest_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "MAX_RESUMES", 10)
    resumes = Resumes(Random(1))
    secrets = [ended(resumes, f"user-{number}", number) for number in range(25)]
    assert len(resumes) == 10
    assert [resumes.ended(secret, 30) is not None for secret in secrets] == [False] * 15 + [True] * 10


def test_former_secrets_count_among_the_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "MAX_RESUMES", 5)
    resumes = Resumes(Random(1))
    secrets = [ended(resumes, f"user-{number}", number, f"shown-{number}") for number in range(4)]
    assert len(resumes) == 5
    assert [resumes.ended(one, 10) is not None for one in secrets] == [False, False, True, True]
    assert resumes.ended(secrets[2], 10) is resumes.ended("shown-2", 10) is not None
    resumes.forget("shown-2")
    assert resumes.ended(secrets[2], 10) is None and len(resumes) == 3
    resumes.forget(secrets[3])
    assert resumes.ended("shown-3", 10) is None and len(resumes) == 1


def test_half_of_a_pair_may_be_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "MAX_RESUMES", 2)
    resumes = Resumes(Random(1))
    own = ended(resumes, "a", 1, "shown")
    ended(resumes, "b", 2)
    assert resumes.ended(own, 3) is None and resumes.ended("shown", 3) is not None
    resumes.forget("shown")
    assert len(resumes) == 1


def test_the_ended_are_forgotten_in_time() -> None:
    resumes = Resumes(Random(1))
    first, second = ended(resumes, "a", 1000), ended(resumes, "b", 2000)
    resumes.expire(1000 + RESUME_MS)
    assert len(resumes) == 1
    assert resumes.ended(first, 1000) is None
    assert resumes.ended(second, 2000 + RESUME_MS) is None, "even where nobody has cleaned up yet"
    assert resumes.ended(second, 1999 + RESUME_MS) is not None


def test_a_revoked_secret_is_not_remembered() -> None:
    resumes = Resumes(Random(1))
    session = fake("a")
    secret = resumes.issue(session)
    resumes.revoke(session)
    resumes.end(session, 1000)
    assert resumes.living(secret, session) is None
    assert resumes.ended(secret, 1000) is None
