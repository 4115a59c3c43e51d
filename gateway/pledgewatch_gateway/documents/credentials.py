"""Secrets of documents: the bearer token for a stock system, and the key that the cloud knows us by.

Each is the text of a file, read when it is needed, so that a new one counts without a restart. What is sent to the
cloud is signed by the Standard Webhooks scheme: HMAC-SHA256 over `id.timestamp.body`, base64, after `v1,`. The scheme
is ten lines; its own library would bring a second HTTP client onto a Pi, so it is a witness in the tests only.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pledgewatch_gateway.documents import AwayError

PREFIX: Final = "whsec_"
KEY_MIN_BYTES: Final = 24
KEY_MAX_BYTES: Final = 64


def token_in(path: Path) -> str:
    """A bearer token. Raises AwayError; its sentence never shows what is in the file."""
    token = _text_in(path)
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise AwayError(f"{path} holds no token; put one line of visible ASCII there")
    return token


def key_in(path: Path) -> bytes:
    """The key of a secret, `whsec_` and base64 of 24 to 64 bytes. Raises AwayError, as `token_in`."""
    secret = _text_in(path)
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True) if secret.startswith(PREFIX) else b""
    except (binascii.Error, ValueError):
        key = b""
    if not KEY_MIN_BYTES <= len(key) <= KEY_MAX_BYTES:
        raise AwayError(
            f"{path} holds no Standard Webhooks secret: {PREFIX} and base64 of {KEY_MIN_BYTES} to {KEY_MAX_BYTES} bytes"
        )
    return key


def signed(key: bytes, message_id: str, at_s: int, body: bytes) -> Mapping[str, str]:
    """The three headers of an attempt at a moment in Unix seconds."""
    told = f"{message_id}.{at_s}.".encode() + body
    signature = base64.b64encode(hmac.digest(key, told, hashlib.sha256)).decode()
    return {"webhook-id": message_id, "webhook-timestamp": str(at_s), "webhook-signature": f"v1,{signature}"}


def _text_in(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        return ""
    except OSError as error:
        raise AwayError(f"{path} cannot be read: {error.strerror}") from None
