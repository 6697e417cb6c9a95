"""`fastchat keygen`: a key that signs tokens, and what the server needs to check them."""

from __future__ import annotations

import json
import os
import secrets

import click
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from fastchat.cli.failure import USAGE, Failure
from fastchat.cli.private import write
from fastchat.identity.keys import MIN_RSA
from fastchat.identity.tokens import ALGORITHMS

SECRET_BYTES = 32  # random ones: as many as the hash has (RFC 7518, section 3.2)
PUBLIC = 0o644  # the half that checks tokens: anybody may read it
HINT = "choose another name with --out"
EXPONENT = 65537  # of RSA: what everybody has


@click.command(
    epilog="""\b
Examples:
  fastchat keygen
  fastchat keygen --algorithm HS256 --out /etc/fastchat/tokens

\b
Then, in this order:
  1. paste the lines it prints into fastchat.toml, and start the server with --config fastchat.toml
  2. keep NAME.key where tokens are made: the web site, the game server
  3. make a token:  fastchat token --key fastchat-token.key --sub ada

\b
A new key without a gap: make it, add its file to token_keys beside the old one, restart the server, sign
with the new one; after an hour, when the last old token has ended, take the old file out of token_keys.
"""
)
@click.option(
    "--algorithm",
    type=click.Choice(ALGORITHMS),
    default="EdDSA",
    show_default=True,
    help="HS256 has one secret for both sides; with the others the server needs no secret.",
)
@click.option(
    "--out",
    metavar="NAME",
    default="fastchat-token",
    show_default=True,
    help="Files NAME.key and NAME.pub, or NAME.secret; what is there is not overwritten.",
)
def command(algorithm: str, out: str) -> None:
    """Make a key for tokens: a half that signs them, which only you can read, and one that checks them.

    Nothing of the secret half is printed.
    """
    if algorithm == "HS256":
        checks = signs = f"{out}.secret"
        write(signs, secrets.token_urlsafe(SECRET_BYTES).encode() + b"\n", HINT)
        click.echo(f"{signs}: a secret. Who has it can make tokens: the server, and whoever hands them out.")
    else:
        checks, signs = f"{out}.pub", f"{out}.key"
        if os.path.exists(checks):
            raise Failure(f"{checks} is there already: {HINT}", USAGE)
        private, public = _pair(algorithm)
        write(signs, private, HINT)
        write(checks, public, HINT, PUBLIC)
        click.echo(f"{signs}: makes tokens. Only who hands them out needs it; keep it secret.")
        click.echo(f"{checks}: checks them, for the server. It is no secret.")
    click.echo("\nFor the server, in fastchat.toml:\n")
    click.echo("[identity]")
    click.echo(f'token_algorithm = "{algorithm}"')
    click.echo(f"token_keys = [{json.dumps(os.path.abspath(checks), ensure_ascii=False)}]")
    click.echo(f"\nA first token:\n\n  fastchat token --key {signs} --sub ada")


def _pair(algorithm: str) -> tuple[bytes, bytes]:
    """Make a key: the private half, and the public one, as PEM."""
    key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    if algorithm == "EdDSA":
        key = ed25519.Ed25519PrivateKey.generate()
    elif algorithm == "RS256":
        key = rsa.generate_private_key(EXPONENT, MIN_RSA)
    else:
        key = ec.generate_private_key(ec.SECP256R1())
    return (
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    )
