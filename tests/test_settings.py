"""Settings: precedence, types, errors with place and suggestion, contradictions, a complete example."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields, replace
from pathlib import Path
from typing import get_type_hints

import pytest

from fastchat.config import Config, Guests, Policy, RoomOptions
from fastchat.errors import ConfigError
from fastchat.settings import CONFIG_TYPES, SECTION_OF, SECTIONS, load
from fastchat.settings_checks import CONFIG_BOUNDS, ROOM_BOUNDS, check
from fastchat.settings_values import from_text, typed

EXAMPLE = Path(__file__).parent.parent / "fastchat.example.toml"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "fastchat.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(tmp_path: Path, text: str) -> str:
    """The error's text for this file, with F for its path."""
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    return str(caught.value).replace(str(path), "F")


# --- the example and the tables are complete


def test_nothing_given_is_the_defaults() -> None:
    assert load() == Config()


def test_the_example_is_the_defaults() -> None:
    assert load(EXAMPLE) == Config()


def test_the_example_names_every_setting() -> None:
    document = tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))
    rooms = document.pop("rooms")
    assert {section: tuple(keys) for section, keys in document.items()} == dict(SECTIONS)
    assert list(rooms["default"]) == [field.name for field in fields(RoomOptions)]


def test_every_setting_of_the_example_is_explained() -> None:
    explained = False
    for line in EXAMPLE.read_text(encoding="utf-8").splitlines():
        if re.match(r"\w+ = ", line):
            assert explained, f"no comment above {line!r}"
        elif not line.startswith("#"):
            explained = False
        else:
            explained = True


def test_the_sections_hold_every_field_once() -> None:
    listed = [key for keys in SECTIONS.values() for key in keys]
    assert sorted(listed) == sorted({field.name for field in fields(Config)} - {"rooms"})


def test_every_number_has_bounds() -> None:
    for kind, bounds in ((Config, CONFIG_BOUNDS), (RoomOptions, ROOM_BOUNDS)):
        hints = get_type_hints(kind)
        assert set(bounds) == {name for name, hint in hints.items() if hint in (int, float)}


# --- precedence


def test_later_sources_win(tmp_path: Path) -> None:
    path = written(tmp_path, "[listen]\nport = 1001\nhost = '::1'\nbacklog = 7\n")
    environ = {"FASTCHAT_PORT": "1002", "FASTCHAT_HOST": "127.0.0.2"}
    config = load(path, environ, {"port": 1003, "node": None})
    assert (config.port, config.host, config.backlog, config.node) == (1003, "127.0.0.2", 7, "")


def test_the_environment_may_name_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "[listen]\nport = 1001\n")
    assert load(None, {"FASTCHAT_CONFIG": str(path)}).port == 1001
    assert load(None, {"FASTCHAT_CONFIG": ""}).port == Config().port


def test_a_path_given_wins_over_the_one_in_the_environment(tmp_path: Path) -> None:
    path = written(tmp_path, "[listen]\nport = 1001\n")
    assert load(path, {"FASTCHAT_CONFIG": str(tmp_path / "absent.toml")}).port == 1001


def test_an_engine_that_is_named_wins_over_the_one_for_none(tmp_path: Path) -> None:
    assert load(engine="sqlite").engine == "sqlite"
    assert load(written(tmp_path, "[store]\nengine = ''\n"), engine="sqlite").engine == "sqlite"
    assert load(flags={"engine": "memory"}, engine="sqlite").engine == "memory"
    assert load().engine == ""


def test_flags_may_be_text_or_typed() -> None:
    flags = {"port": "0", "rate_limits": "off", "origins": ("*",), "flush_budget_ms": 0}
    expected = replace(Config(), port=0, rate_limits=False, origins=("*",), flush_budget_ms=0.0)
    assert load(flags=flags) == expected


@pytest.mark.parametrize(
    "variable, text, field, value",
    [
        ("FASTCHAT_BACKLOG", " 1_024", "backlog", 1024),
        ("FASTCHAT_RATE_LIMITS", "Off", "rate_limits", False),
        ("FASTCHAT_ALLOW_INSECURE_BIND", "1", "allow_insecure_bind", True),
        ("FASTCHAT_FLUSH_BUDGET_MS", "0.5", "flush_budget_ms", 0.5),
        ("FASTCHAT_ORIGINS", "https://a.example, https://b.example", "origins",
         ("https://a.example", "https://b.example")),
        ("FASTCHAT_ORIGINS", "", "origins", ()),
        ("FASTCHAT_UNIX", "", "unix", None),
        ("FASTCHAT_NODE", "one", "node", "one"),
    ],
)  # fmt: skip
def test_variables_are_read_as_their_field(variable: str, text: str, field: str, value: object) -> None:
    assert load(None, {variable: text}) == replace(Config(), **{field: value})  # type: ignore[arg-type]


def test_variables_of_others_are_left_alone() -> None:
    others = ("FASTCHAT_PURE", "FASTCHAT_SERVICE_HOST", "FASTCHAT_URL", "fastchat_port", "PORT")
    assert load(None, dict.fromkeys(others, "1")) == Config()


# --- rooms


def test_a_namespace_inherits_from_default(tmp_path: Path) -> None:
    text = "[rooms.game]\npolicy = 'latest'\ncoalesce_ms = 50\n[rooms.default]\nhistory = 5\n"
    config = load(written(tmp_path, text))
    assert config.room("lobby") == RoomOptions(history=5)
    assert config.room("game:7") == RoomOptions(history=5, policy=Policy.LATEST, coalesce_ms=50)


def test_rooms_from_the_command_line_win(tmp_path: Path) -> None:
    path = written(tmp_path, "[rooms.game]\npolicy = 'latest'\nhistory = 3\n")
    config = load(path, flags={"rooms": ["game.policy=drop", "a.b/c.members=9"]})
    assert config.room("game:1") == RoomOptions(history=3, policy=Policy.DROP)
    assert config.room("a.b/c:1").members == 9


@pytest.mark.parametrize(
    "flag, says",
    [
        ("game", "expected NAMESPACE.OPTION=VALUE"),
        ("game=1", "expected NAMESPACE.OPTION=VALUE"),
        ("game.polcy=drop", "did you mean 'policy'?"),
        ("game.policy=dorp", "must be one of 'disconnect', 'drop', 'latest', not 'dorp'"),
        ("game.history=many", "must be a whole number, not 'many'"),
        ("ga me.history=1", "cannot be a namespace"),
        (".history=1", "cannot be a namespace"),
    ],
)
def test_room_flags_that_make_no_sense(flag: str, says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        load(flags={"rooms": (flag,)})


@pytest.mark.parametrize("value", ["game.history=1", 7])
def test_room_flags_are_a_list(value: object) -> None:
    with pytest.raises(ConfigError, match="--room: expected a list"):
        load(flags={"rooms": value})


# --- what is wrong, where, and what was meant


@pytest.mark.parametrize(
    "text, says",
    [
        ("[listen]\n\nprot = 1\n", "F, line 3, [listen]: unknown key 'prot'; did you mean 'port'?"),
        ("[listen]\nzebra = 1\n", "F, line 2, [listen]: unknown key 'zebra'"),
        ("[limits]\nport = 1\n", "F, line 2, [limits]: 'port' belongs under [listen]"),
        ("port = 1\n", "F, line 1: 'port' belongs under [listen]"),
        ("[lisen]\nport = 1\n", "F, line 1: unknown section [lisen]; did you mean 'listen'?"),
        ("listen = 1\n", "F, line 1: 'listen' is a section: write [listen]"),
        ("listen.prot = 1\n", "F, [listen]: unknown key 'prot'; did you mean 'port'?"),
        ("[rooms]\nhistory = 1\n",
         "F: 'history' belongs under [rooms.default] or another namespace"),
        ("[rooms]\ngame = 1\n", "F: 'game' is a namespace: write [rooms.game]"),
        ("[rooms.game]\nhistroy = 1\n",
         "F, line 2, [rooms.game]: unknown key 'histroy'; did you mean 'history'?"),
        ("[rooms.'a:b']\n", "F, line 1: 'a:b' cannot be a namespace: 1 to 63 of a-z A-Z 0-9 . _ / -"),
        ("[listen]\nport = '1'\n", "F, line 2, [listen]: port must be a whole number, not '1'"),
        ("[listen]\nport = true\n", "F, line 2, [listen]: port must be a whole number, not True"),
        ("[listen]\nhost = 1\n", "F, line 2, [listen]: host must be a string, not 1"),
        ("[listen]\nunix = 1\n", "F, line 2, [listen]: unix must be a string, not 1"),
        ("[listen]\norigins = '*'\n", "F, line 2, [listen]: origins must be a list of strings, not '*'"),
        ("[limits]\nrate_limits = 1\n", "F, line 2, [limits]: rate_limits must be true or false, not 1"),
        ("[flush]\nflush_ms = nan\n", "F, line 2, [flush]: flush_ms must be a number, not nan"),
        ("[flush]\nflush_ms = true\n", "F, line 2, [flush]: flush_ms must be a number, not True"),
    ],
)  # fmt: skip
def test_files_that_make_no_sense(tmp_path: Path, text: str, says: str) -> None:
    assert refused(tmp_path, text) == says


def test_a_file_that_is_not_toml(tmp_path: Path) -> None:
    says = refused(tmp_path, "[listen\n")
    assert says.startswith("F: not TOML: ") and "line 1" in says


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml: No such file or directory"):
        load(tmp_path / "absent.toml")


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "fastchat.toml"
    path.write_bytes(b"# \xff\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(path)


@pytest.mark.parametrize(
    "variable, says",
    [
        ("FASTCHAT_MAX_FRAMES", "FASTCHAT_MAX_FRAMES: unknown variable; did you mean FASTCHAT_MAX_FRAME?"),
        ("FASTCHAT_PORT", "FASTCHAT_PORT: port must be a whole number, not 'tcp://10.0.0.1:9999'"),
        ("FASTCHAT_RATE_LIMITS", "FASTCHAT_RATE_LIMITS: rate_limits must be true or false"),
        ("FASTCHAT_FLUSH_MS", "FASTCHAT_FLUSH_MS: flush_ms must be a number"),
    ],
)
def test_variables_that_make_no_sense(variable: str, says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        load(None, {variable: "tcp://10.0.0.1:9999"})


def test_an_unknown_flag() -> None:
    with pytest.raises(ConfigError, match=r"--set prot: unknown key 'prot'; did you mean 'port'\?"):
        load(flags={"prot": 1})


def test_a_secret_belongs_neither_into_the_file_nor_onto_the_command_line(tmp_path: Path) -> None:
    for where, sources in (
        ("--set token_secret", {"flags": {"token_secret": "hush"}}),
        ("line 2, [identity]", {"path": written(tmp_path, "[identity]\ntoken_secret = 'hush'\n")}),
    ):
        with pytest.raises(ConfigError, match="FASTCHAT_TOKEN_SECRET") as caught:
            load(**sources)  # type: ignore[arg-type]
        assert where in str(caught.value) and "hush" not in str(caught.value)


def test_a_secret_in_the_environment_is_no_setting() -> None:
    config = load(None, {"FASTCHAT_TOKEN_SECRET": "hush", "FASTCHAT_TOKEN": "a.b.c"})
    assert config == Config() and "hush" not in repr(config)


def test_a_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(ConfigError) as caught:
        from_text("port", int, "x" * 1000, "here")
    assert len(str(caught.value)) < 120


def test_a_choice_may_come_as_itself() -> None:
    assert typed("policy", Policy, Policy.DROP, "here") is Policy.DROP


# --- contradictions


@pytest.mark.parametrize(
    "change, says",
    [
        ({"tls_cert": "a.pem"}, "tls_key is not: TLS needs both"),
        ({"tls_key": "a.pem"}, "tls_cert is not: TLS needs both"),
        ({"unix": "/tmp/" + "x" * 103}, "longer than 107 bytes"),
        ({"origins": ("chat.example.org",)}, "is not an origin like https://chat.example.org"),
        ({"exempt_addresses": ("10.0.0.0/33",)}, "exempt_addresses: '10.0.0.0/33' does not appear"),
        ({"reserved_addresses": ("admin",)}, "reserved_addresses: 'admin' does not appear"),
        ({"token_algorithm": "none"}, "must be one of 'HS256', 'EdDSA', 'RS256', 'ES256', or empty"),
        ({"token_algorithm": "hs256"}, "must be one of"),
        ({"token_keys": ("a",)}, "token_keys is set but token_algorithm is not"),
        ({"token_jwks": "a"}, "token_jwks is set but token_algorithm is not"),
        ({"token_algorithm": "EdDSA"}, "name the public key's file in token_keys"),
        ({"token_algorithm": "HS256", "token_jwks": "a"}, "token_jwks is for public keys"),
        ({"token_algorithm": "HS256", "token_audience": ""}, "token_audience is empty"),
        ({"token_max_seconds": 0}, "token_max_seconds is 0 but must be at least 1"),
        ({"guests": Guests.NOBODY}, "nobody could come in"),
        ({"latency_limit_ms": 0.5}, "latency_limit_ms is 0.5 but must be at least 1"),
        ({"publish_utilisation": 1.5}, "publish_utilisation is 1.5 but must be at most 1"),
        ({"connect_utilisation": 0.0}, "connect_utilisation is 0.0 but must be at least 0.1"),
        ({"connect_utilisation": 0.98}, "must not be more than publish_utilisation (0.97)"),
        ({"backend": "io_uring"}, "must be one of 'raw', 'transport'"),
        ({"batch_bytes": 32 * 1024 - 1}, "at least twice max_frame"),
        ({"outbox_bytes": 1024 * 1024 - 1}, "outbox_bytes is 1,048,575 but must be at least 1,048,576"),
        ({"batch_bytes": 512 * 1024 + 1}, "at least twice batch_bytes"),
        ({"total_bytes": 1024 * 1024 - 1}, "at least outbox_bytes"),
        (
            {"outbox_bytes": 2**63},
            "outbox_bytes is 9,223,372,036,854,775,808 but must be at most 1,073,741,824",
        ),
        ({"total_bytes": 2**63}, "total_bytes is 9,223,372,036,854,775,808 but must be at most"),
        ({"batch_bytes": 2**63}, "batch_bytes is 9,223,372,036,854,775,808 but must be at most"),
        ({"flush_sends": 2**31}, "flush_sends is 2,147,483,648 but must be at most 1,000,000"),
        ({"history_total_bytes": 4 * 1024 * 1024 - 1}, "rooms.default.history_bytes (4,194,304) is"),
        ({"idempotency_seconds": 299}, "idempotency_seconds is 299 but must be at least 300"),
        ({"max_frame": 1024 * 1024 + 1}, "max_frame is 1,048,577 but must be at most 1,048,576"),
        ({"engine": "redis"}, "engine is 'redis' but must be one of 'memory', 'sqlite'"),
        ({"data": ""}, "data is empty: name the folder"),
        ({"store_queue_bytes": 65_535}, "store_queue_bytes is 65,535 but must be at least 65,536"),
        ({"store_queue_bytes": 65_536, "max_frame": 65_536}, "store_queue_bytes (65,536) must be at least"),
        ({"port": -1}, "port is -1 but must be at least 0"),
        ({"rooms": {"game": RoomOptions(history=-1)}}, "rooms.game.history is -1 but must be at least 0"),
    ],
)
def test_contradictions(change: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        check(replace(Config(), **change))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"tls_cert": "a.pem", "tls_key": "b.pem"},
        {"unix": "/tmp/" + "x" * 102},
        {"origins": ("https://chat.example.org:8443", "*")},
        {"batch_bytes": 32 * 1024},
        {"outbox_bytes": 1024 * 1024},
        {"total_bytes": 1024 * 1024},
        {"port": 0},
        {"engine": "sqlite", "history_total_bytes": 0},
        {"token_algorithm": "HS256", "guests": Guests.NOBODY},
        {"token_algorithm": "EdDSA", "token_jwks": "a"},
        {"connect_utilisation": 1.0, "publish_utilisation": 1.0},
        {"reserved_addresses": ("10.1.2.3", "2001:db8::/32")},
    ],
)
def test_what_only_just_works(change: dict[str, object]) -> None:
    check(replace(Config(), **change))  # type: ignore[arg-type]


def test_load_checks(tmp_path: Path) -> None:
    assert refused(tmp_path, "[listen]\ntls_cert = 'a.pem'\n").startswith("tls_cert is set")


def test_types_come_from_the_dataclass() -> None:
    assert set(CONFIG_TYPES) == set(SECTION_OF) | {"rooms"}
