from __future__ import annotations

import io

from fastchat.cli.palette import Palette


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_is_for_terminals_that_want_it() -> None:
    assert Palette.of(Terminal(), {}).on
    assert Palette.of(Terminal(), {"NO_COLOR": ""}).on
    assert not Palette.of(Terminal(), {"NO_COLOR": "1"}).on
    assert not Palette.of(Terminal(), {"TERM": "dumb"}).on
    assert not Palette.of(io.StringIO(), {}).on


def test_a_name_keeps_its_colour_and_text_its_words() -> None:
    bright, plain = Palette(True), Palette(False)
    assert bright.name("Ada").replace("Ada", "ada") == bright.name("ada") != "ada"
    assert len({bright.name(str(n)).split("m")[0] for n in range(100)}) > 8
    assert plain.name("ada") == "ada" and plain.paint("x", "warn") == "x"
    assert bright.paint("x", "warn") == "\x1b[33mx\x1b[0m"
