"""`receipts key`: a private key in a file, and its public half as a JSON Web Key.

The public half's `kid` and `x` are what a party has under `keys` in the book. A key is called by what follows from it
alone, so that two that were made apart never have one name: the first 16 hexadecimal digits of the SHA-256 of the key
in its one spelling (RFC 7638).
"""

import argparse
import json
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pledgewatch_cloud import signing_key
from pledgewatch_cloud.commands.options import Commands
from pledgewatch_cloud.commands.signing import name_of
from pledgewatch_cloud.receipts.issuer import jwk_of
from pledgewatch_cloud.signing_key import SigningKeyError


def add(commands: Commands) -> None:
    """The command's options."""
    key = commands.add_parser("key", help="make a key to sign with, or show its public half")
    some = key.add_subparsers(required=True, metavar="WHAT")
    for name, run, about in (
        ("new", _new, "make a private key; the public half is printed"),
        ("public", _public, "print the public half, for the book or as the issuer's key"),
    ):
        one = some.add_parser(name, help=about)
        one.add_argument("file", type=Path, metavar="FILE", help="the private key, Ed25519 in PEM")
        one.set_defaults(command=run)


def _new(options: argparse.Namespace) -> int:
    try:
        return _shown(signing_key.create(options.file))
    except SigningKeyError as error:
        print(error, file=sys.stderr)
        return 2


def _public(options: argparse.Namespace) -> int:
    try:
        return _shown(signing_key.load(options.file))
    except SigningKeyError as error:
        print(error, file=sys.stderr)
        return 2


def _shown(key: Ed25519PrivateKey) -> int:
    print(json.dumps({**jwk_of(key.public_key().public_bytes_raw()), "kid": name_of(key)}))
    return 0
