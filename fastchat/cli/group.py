"""A click group that imports a command when it is used, and turns failures into exit codes."""

from __future__ import annotations

import importlib
import keyword
from collections.abc import Mapping
from typing import Any

import click

from fastchat.cli.failure import Failure
from fastchat.errors import FastChatError


class LazyGroup(click.Group):
    """Commands by name, each the object `command` of the module of that name in `package`.

    A name that is a word of Python has a module with "_" behind it.
    """

    def __init__(self, name: str, *, package: str, summaries: Mapping[str, str], **options: Any) -> None:
        super().__init__(name, context_settings={"help_option_names": ["-h", "--help"]}, **options)
        self._package = package
        self._summaries = summaries

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._summaries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._summaries:
            return None
        name = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name
        module = importlib.import_module(f"{self._package}.{name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self._summaries.items()))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Failure as error:
            failure = error
        except FastChatError as error:
            failure = Failure.of(error)
        click.echo(f"fastchat: {failure}", err=True)
        ctx.exit(failure.code)
