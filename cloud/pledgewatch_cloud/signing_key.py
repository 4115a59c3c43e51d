"""Private keys that something is signed with: Ed25519 in a PEM file, which nobody but its user may read."""

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

_MAKE_ONE = "make one with `openssl genpkey -algorithm ed25519 -out FILE`"


class SigningKeyError(RuntimeError):
    """A file that cannot be signed with; one sentence that names it and says why."""


def load(path: Path) -> Ed25519PrivateKey:
    """The private key in a PEM file. Raises SigningKeyError where it cannot be read, is open to other users, is
    encrypted or is no Ed25519 key."""
    try:
        if path.stat().st_mode & 0o077:
            raise SigningKeyError(f"{path}: other users may read the signing key; run chmod 600 on it")
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise SigningKeyError(f"{path}: cannot be read: {error.strerror}") from None
    except TypeError:
        raise SigningKeyError(
            f"{path}: the key is encrypted; use one that is not, readable by this user only"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise SigningKeyError(f"{path}: is no private key in PEM; {_MAKE_ONE}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningKeyError(f"{path}: is no Ed25519 key; {_MAKE_ONE}")
    return key


def create(path: Path) -> Ed25519PrivateKey:
    """A new private key, in a file that was not there and that only its user may read. Raises SigningKeyError."""
    key = Ed25519PrivateKey.generate()
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(file, "wb") as opened:
            opened.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            opened.flush()
            os.fsync(opened.fileno())
    except FileExistsError:
        raise SigningKeyError(f"{path}: is there already, and a key is never written over; name another file") from None
    except OSError as error:
        raise SigningKeyError(f"{path}: cannot be written: {error.strerror}") from None
    return key
