"""Names against a model that compares everybody with everybody: who is let in, and what is owned."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fastchat.config import Config, Guests
from fastchat.engine.memory import MemoryEngine
from fastchat.errors import Code
from fastchat.hub import owners
from fastchat.identity.names import looks
from fastchat.protocol.messages import Error
from fastchat.protocol.names import fold
from tests.hub.stage import Client, Stage
from tests.identity.making import token, verifier

NAMES = ("Iain", "iain", "lain", "\u0456ain", "modem", "modern", "Modern", "0scar", "Oscar", "oscar", "bob")
NAME = st.sampled_from(NAMES)
SUB = st.sampled_from(("u1", "u2", "u3"))


def alike(one: str, other: str) -> bool:
    return fold(one) == fold(other) or bool(set(looks(one)) & set(looks(other)))


class Names(RuleBasedStateMachine):
    """People come and go, with tokens and without, and the server starts anew."""

    @initialize()
    def begin(self) -> None:
        self.config = Config(guests=Guests.ANYONE, rate_limits=False)
        self.engine = MemoryEngine(self.config, "epoch")
        self.owned: dict[str, tuple[str, str]] = {}  # key: sub, name
        self.restart()

    @rule()
    def restart(self) -> None:
        self.stage = Stage(self.config, engine=self.engine, verifier=verifier())
        self.here: list[tuple[Client, str, str]] = []  # client, name as it is shown, sub or ""

    def come(self, name: str, sub: str) -> None:
        taken = any(
            alike(name, other) and not (sub and (not whose or sub == whose and fold(name) == fold(other)))
            for _, other, whose in self.here
        ) or any(alike(name, other) and whose != sub for whose, other in self.owned.values())
        client = self.stage.new()
        answer = client.connect(token=token(sub=sub, name=name)) if sub else client.connect(name)
        if taken:
            assert isinstance(answer, Error) and answer.code == Code.NAME_TAKEN
            client.close()
            return
        gone = [one for one in self.here if sub and not one[2] and alike(name, one[1])]
        assert all(one.code == Code.REPLACED for one, _, _ in gone)
        self.here = [one for one in self.here if one not in gone]
        shown = next((other for _, other, _ in self.here if fold(other) == fold(name)), name)
        assert answer["user"] == shown
        self.here.append((client, shown, sub))
        if sub:
            self.owned.setdefault(fold(name), (sub, name))

    @rule(name=NAME)
    def come_as_a_guest(self, name: str) -> None:
        self.come(name, "")

    @rule(name=NAME, sub=SUB)
    def come_with_a_token(self, name: str, sub: str) -> None:
        self.come(name, sub)

    @rule(number=st.integers(0, 20))
    def leave(self, number: int) -> None:
        if self.here:
            self.here.pop(number % len(self.here))[0].close()

    @invariant()
    def nothing_is_left_behind(self) -> None:
        users = self.stage.hub.users
        assert {fold(name) for _, name, _ in self.here} == set(users._users)
        assert all(users._users[user.key] is user for user in users._looks.values())
        assert dict(self.stage.hub.owners._names) == self.owned
        assert len(self.owned) < owners.MOST and not self.stage.faults


TestNames = Names.TestCase
TestNames.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
