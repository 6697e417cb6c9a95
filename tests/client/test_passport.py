"""Tokens in the core: shown, renewed in time, asked for anew once when refused."""

from __future__ import annotations

import pytest

from fastchat.client.core import Phase
from fastchat.client.events import Complaint
from fastchat.client.failures import Refused
from fastchat.client.passport import LIFE, SOONEST, Passport
from fastchat.protocol import codec
from fastchat.protocol import messages as wire
from tests.client.scripted import Script

SERVER = 1_790_000_000_000  # ms: the server's clock when the script begins
LIFETIME = 3600  # seconds


def let_in(script: Script, life: float | None = LIFETIME) -> wire.Connect:
    connect = script.open()
    body = {"user": "ada", "session": "secret", "node": "n", "time": server(script)}
    body |= {"limits": {"max_frame": 16384}, "ping_ms": 10**9}
    if life is not None:
        body["expires"] = server(script) + int(life * 1000)
    script.say(codec.connect_result(connect.id, body, {}))
    return connect


def server(script: Script) -> int:
    return SERVER + int((script.now - 1000) * 1000)


def script(token: str | None = "t1", renewable: bool = True) -> Script:
    return Script(token=token, renewable=renewable)


def test_a_core_without_a_token_wants_one_before_it_connects() -> None:
    one = script(token=None)
    assert one.core.passport.stale(one.now)
    one.core.renew("t1", one.now)
    assert not one.core.passport.stale(one.now)
    assert let_in(one).token == "t1"


def test_a_fresh_token_is_wanted_in_time_and_shown() -> None:
    one = script()
    let_in(one)
    due = one.now + LIFE * LIFETIME
    assert one.core.deadline() == pytest.approx(due)
    one.now = due - 1
    one.core.tick(one.now)
    assert not one.core.passport.wanting
    one.now = due + 1
    one.core.tick(one.now)
    assert one.core.passport.wanting
    one.core.renew("t2", one.now)
    (refresh,) = one.sent()
    assert refresh == wire.Refresh(refresh.id, "t2") and not one.core.passport.wanting
    one.say(codec.result(refresh.id, {"expires": server(one) + LIFETIME * 1000}))
    assert one.core.deadline() == pytest.approx(one.now + LIFE * LIFETIME)
    one.core.lost("cut", one.now)
    assert one.open().token == "t2"


def test_a_token_that_never_ends_is_not_renewed() -> None:
    one = script()
    let_in(one, life=None)
    assert one.core.passport.due is None


def test_a_text_is_not_renewed_and_ends_with_its_time() -> None:
    one = script(renewable=False)
    let_in(one)
    assert one.core.passport.due is None
    one.say(codec.bye(201, "your token has expired", reconnect=False))
    assert isinstance(one.core.failure, Refused) and one.core.failure.code == 201


@pytest.mark.parametrize("code", [201, 202])
def test_after_a_refusal_a_fresh_token_is_tried_once(code: int) -> None:
    one = script()
    let_in(one)
    one.say(codec.bye(code, "no", reconnect=False))
    assert one.core.phase is Phase.READY and one.core.closing
    one.core.lost("closed", one.now)
    assert one.core.passport.stale(one.now) and one.core.retry_at is not None
    one.core.renew("t2", one.now)
    connect = one.open()
    assert connect.token == "t2" and connect.resume == "secret"
    one.say(codec.error(connect.id, code, "no again"))
    assert isinstance(one.core.failure, Refused)


def test_a_first_token_that_is_refused_is_final() -> None:
    one = script(token=None)
    one.core.renew("t1", one.now)
    one.say(codec.error(one.open().id, 202, "unsigned"))
    assert isinstance(one.core.failure, Refused)


def test_a_token_that_ended_while_we_were_away_is_replaced_before_connect() -> None:
    one = script()
    let_in(one)
    one.core.lost("cut", one.now)
    one.now += LIFETIME
    assert one.core.passport.stale(one.now)


def test_a_refresh_that_is_refused_is_told_and_tried_again_while_the_old_token_holds() -> None:
    one = script()
    let_in(one)
    one.now += LIFE * LIFETIME + 1
    one.core.tick(one.now)
    one.core.renew("bad", one.now)
    (refresh,) = one.sent()
    one.say(codec.error(refresh.id, 202, "no token"))
    assert one.events()[-1] == Complaint(202, "no token")
    due = one.core.passport.due
    assert due is not None and one.now + SOONEST <= due < 1000 + LIFETIME
    one.say(codec.bye(201, "expired", reconnect=False))
    assert one.core.failure is None and one.core.passport.wanting


def test_without_a_fresh_token_it_is_asked_for_again_and_never_in_a_hurry() -> None:
    passport = Passport("ada", "t", "c", renewable=True)
    body = {"user": "ada", "session": "s", "time": 1_000_000, "expires": 1_001_000}
    passport.let_in(body, 1000.0)
    passport.due = None
    for now in (1000.5, 1000.9, 2000.0):
        passport.unrenewed(now)
        assert passport.due is not None and passport.due >= now + SOONEST


@pytest.mark.parametrize("expires", [None, 0])
def test_odd_results_renew_nothing(expires: int | None) -> None:
    passport = Passport(None, "t", "c", renewable=True)
    passport.let_in({"user": "ada", "session": "s", "expires": expires}, 5.0)
    assert passport.due is None and not passport.wanting
