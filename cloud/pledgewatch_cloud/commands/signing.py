"""What the commands share that sign something and hand it in: keys, files, and how a refusal is told."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pledgewatch_cloud import signing_key
from pledgewatch_cloud.commands.at_url import AnswerError
from pledgewatch_cloud.decide import canonical, jose
from pledgewatch_cloud.decide.strict_json import JsonError, strict_json
from pledgewatch_cloud.receipts.issuer import jwk_of
from pledgewatch_cloud.signing_key import SigningKeyError

_NAME_DIGITS = 16


class SaidError(ValueError):
    """What cannot be said so; one sentence."""


def add_key(parser: argparse.ArgumentParser, *, is_needed: bool) -> None:
    """The key that is signed with, and its name."""
    parser.add_argument("--key", type=Path, required=is_needed, metavar="FILE", help="the signer's private key")
    parser.add_argument("--kid", metavar="NAME", help="the key's name in the book; default: as `key public` says")


def name_of(key: Ed25519PrivateKey) -> str:
    """What a key is called where it is given no other name."""
    return canonical.digest(jwk_of(key.public_key().public_bytes_raw()))[:_NAME_DIGITS]


def signed(key_file: Path, kid: str | None, payload: dict[str, Any]) -> str:
    """What is said, signed with the key in a file. Raises SigningKeyError."""
    key = signing_key.load(key_file)
    covered = jose.to_sign(kid or name_of(key), payload)
    return jose.compact(covered, key.sign(covered))


def document_in(path: Path) -> Any:
    """The JSON in a file. Raises SaidError."""
    try:
        return strict_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SaidError(f"{path} cannot be read: {error}") from None
    except JsonError as error:
        raise SaidError(f"{path} is no JSON that can be taken: {error}") from None


def text_in(path: Path) -> str:
    """The signed text in a file. Raises SaidError."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SaidError(f"{path} cannot be read: {error}") from None
    if not text:
        raise SaidError(f"{path} is empty; name the file that the signed text was written to")
    return text


def told(run: Callable[[], int], unsound: type[Exception]) -> int:
    """Run something, and say what stands against it: 1 where it is refused, 2 where it cannot be asked so, as where it
    is `unsound`."""
    try:
        return run()
    except (SaidError, SigningKeyError, unsound) as error:
        print(error, file=sys.stderr)
        return 2
    except AnswerError as error:
        print(error, file=sys.stderr)
        return 1 if error.is_refusal else 2
