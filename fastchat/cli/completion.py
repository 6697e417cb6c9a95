"""`fastchat completion SHELL`: the script that makes the shell complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command(
    epilog="""\b
Examples:
  bash:  fastchat completion bash >> ~/.bashrc
  zsh:   fastchat completion zsh >> ~/.zshrc
  fish:  fastchat completion fish > ~/.config/fish/completions/fastchat.fish
"""
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script of SHELL."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell}")
    click.echo(kind(ctx.find_root().command, {}, "fastchat", "_FASTCHAT_COMPLETE").source())
