"""`fastchat token`: a token that says who somebody is, and what they may do."""

from __future__ import annotations

import os
import re
import secrets
import time
from typing import Any

import click
import jwt

from fastchat.cli.failure import USAGE, Failure
from fastchat.cli.private import overwrite, write
from fastchat.errors import ProtocolError
from fastchat.identity.keys import SECRET_VARIABLE, exposed, public_of, read, signing_key, thumbprint
from fastchat.identity.tokens import ROLES, Verifier

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}  # seconds
JTI_BYTES = 16  # random ones: no two alike


class Duration(click.ParamType[int]):
    """A time like 90s, 15m, 1h or 7d, in seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = re.fullmatch(r"([1-9][0-9]{0,6})([smhd])", str(value))
        if found is None:
            self.fail(f"{value!r} is no time like 90s, 15m, 1h or 7d", param, ctx)
        return int(found[1]) * UNITS[found[2]]


@click.command(
    epilog="""\b
Examples:
  fastchat token --key fastchat-token.key --sub ada --out ada.token
  fastchat token --key fastchat-token.key --sub 4711 --name Ada --role moderator --for 15m
  fastchat token --key fastchat-token.key --sub bot --rooms "builds,news:*" --roles "builds=owner"

\b
A ticket into the room of a team, good for one entry within a minute:
  fastchat token --key fastchat-token.key --sub 4711 --rooms team:red --once --for 60s

\b
With a secret instead of a key file (HS256), as the server has it:
  FASTCHAT_TOKEN_SECRET="$(cat fastchat-token.secret)" fastchat token --sub ada

\b
A program makes such tokens itself with any JWT library; docs/IDENTITY.md has an example.
"""
)
@click.option(
    "--key",
    "path",
    type=click.Path(dir_okay=False),
    help=f"File of the private key, or of the secret; else the secret is in {SECRET_VARIABLE}.",
)
@click.option("--sub", required=True, metavar="ID", help="Who it is for: what stays the same of a user.")
@click.option("--name", help="The user's name; without it ID is.")
@click.option("--role", type=click.Choice(list(ROLES)), help="In all rooms; a member by default.")
@click.option(
    "--roles", multiple=True, metavar="PATTERN=ROLE", help='In some rooms: "team:*=owner". May be repeated.'
)
@click.option(
    "--rooms", multiple=True, metavar="PATTERNS", help='Which rooms it opens: "lobby,team:*"; else all.'
)
@click.option(
    "--for", "seconds", type=Duration(), default="1h", show_default=True, help="How long: 90s, 15m, 1h, 7d."
)
@click.option("--once", is_flag=True, help="It counts once.")
@click.option("--hidden", is_flag=True, help="A member that others are not shown.")
@click.option("--rate", type=float, metavar="N", help="Messages per second.")
@click.option("--burst", type=int, metavar="N", help="Messages at once.")
@click.option("--aud", default="fastchat", show_default=True, help="The server's token_audience.")
@click.option("--iss", help="The server's token_issuer.")
@click.option("--kid", help="The key's name, where the server has given it one (token_keys).")
@click.option(
    "--out",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write it into a file that only you can read, instead of printing it.",
)
@click.option("--force", is_flag=True, help="Overwrite FILE where it is there already.")
def command(
    path: str | None,
    sub: str,
    name: str | None,
    role: str | None,
    roles: tuple[str, ...],
    rooms: tuple[str, ...],
    seconds: int,
    once: bool,
    hidden: bool,
    rate: float | None,
    burst: int | None,
    aud: str,
    iss: str | None,
    kid: str | None,
    out: str | None,
    force: bool,
) -> None:
    """Print a token, and nothing else.

    Whoever has it is who it says, until it ends: hand it over a line that others cannot read, and put it into
    a file with --out, for others can read what "> FILE" makes. A server takes tokens of an hour at most,
    unless its token_max_seconds says otherwise.
    """
    now = int(time.time())
    claims: dict[str, Any] = {"sub": sub, "aud": aud, "iat": now, "exp": now + seconds}
    limits = {key: value for key, value in (("rate", rate), ("burst", burst)) if value is not None}
    given = {"name": name, "role": role, "iss": iss, "roles": dict(map(_role, roles)), "limits": limits}
    claims |= {claim: value for claim, value in given.items() if value}
    if rooms:
        claims["rooms"] = [one.strip() for several in rooms for one in several.split(",") if one.strip()]
    if hidden:
        claims["hidden"] = True
    if once:
        claims |= {"once": True, "jti": secrets.token_urlsafe(JTI_BYTES)}
    algorithm, key = signing_key(*_key(path))
    if path is not None and exposed(path):
        click.echo(f"fastchat: {path} can be read by others than its owner: chmod 600 it", err=True)
    public = public_of(key)
    token = jwt.encode(claims, key, algorithm, {"kid": kid or thumbprint(public)})
    check = Verifier(
        algorithm, {"": public, kid or thumbprint(public): public}, audience=aud, max_seconds=seconds
    )
    try:
        check.verify(token, now * 1000)
    except ProtocolError as refusal:
        raise Failure(f"no server would take it: {refusal.text}", USAGE) from None
    if out is None:
        click.echo(token)
    elif force:
        overwrite(out, token.encode() + b"\n")
    else:
        write(out, token.encode() + b"\n", "choose another name with --out, or overwrite it with --force")


def _role(text: str) -> tuple[str, str]:
    pattern, equals, role = text.rpartition("=")
    if not equals:
        raise click.BadParameter(f"{text!r}: write PATTERN=ROLE", param_hint="--roles")
    return pattern, role


def _key(path: str | None) -> tuple[bytes, str]:
    """Find the key's bytes, and where they are from."""
    if path is not None:
        return read(path), path
    secret = os.environ.get(SECRET_VARIABLE, "")
    if not secret:
        raise Failure(f"no key: name its file with --key, or put the secret into {SECRET_VARIABLE}", USAGE)
    return secret.encode(), SECRET_VARIABLE
