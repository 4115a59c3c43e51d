"""`pledgewatch-cloud users`: keys of the API for those who may look (docs/ACCESS.md)."""

import argparse
import json
import os
import sys
from pathlib import Path

from pledgewatch_cloud.commands.options import Commands


def add(commands: Commands) -> None:
    """The command's options."""
    users = commands.add_parser("users", help="keys of the API for users of the book")
    under = users.add_subparsers(required=True, metavar="WHAT")
    key = under.add_parser("key", help="make a key of the API, and say what the book has of it")
    key.add_argument("kid", metavar="NAME", help="what the key is called in the book")
    key.add_argument("--file", type=Path, metavar="FILE", help="write the key there instead of printing it")
    key.add_argument("--scope", choices=("read", "write"), default="read", help="what it opens, default: read")
    key.set_defaults(command=_key)


def _key(options: argparse.Namespace) -> int:
    from pledgewatch_cloud.access.identify import new_key

    key, sha256 = new_key()
    if options.file is not None:
        try:
            handle = os.open(options.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            print(f"{options.file} cannot be written: {error.strerror}; name a file that is not there", file=sys.stderr)
            return 2
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(key + "\n")
        print(f"{options.file} has the key: give it to the user, and to nobody else", file=sys.stderr)
    else:
        print(f"{key} is the key, and is said this once: give it to the user, and to nobody else", file=sys.stderr)
    print(json.dumps({"kid": options.kid, "sha256": sha256, "scope": options.scope}))
    return 0
