"""Signatures by the Standard Webhooks scheme, with one key or two.

HMAC-SHA256 over `id.timestamp.body` under a shared key, base64, after `v1,`; one such word for each key that is live,
with blanks between. So a key is changed without a gap: add the new one, let the receiver take either, drop the old.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable

PREFIX = "whsec_"
KEY_MIN_BYTES, KEY_MAX_BYTES = 24, 64


class Key:
    """A shared key. Its text never shows it."""

    def __init__(self, secret: str) -> None:
        """`secret` is `whsec_` and base64 of 24 to 64 bytes. Raises ValueError where it is none."""
        if not secret.startswith(PREFIX):
            raise ValueError(f"a secret begins with {PREFIX}")
        try:
            self._key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except binascii.Error:
            raise ValueError(f"what follows {PREFIX} is not base64") from None
        if not KEY_MIN_BYTES <= len(self._key) <= KEY_MAX_BYTES:
            raise ValueError(f"it holds {len(self._key)} bytes; {KEY_MIN_BYTES} to {KEY_MAX_BYTES} are wanted")
        self.fingerprint = hashlib.sha256(b"pledgewatch key\0" + self._key).hexdigest()[:8]

    def __repr__(self) -> str:
        return f"Key({self.fingerprint})"

    def sign(self, message_id: str, at_s: int, body: bytes) -> str:
        """The signature of one attempt."""
        signed = f"{message_id}.{at_s}.".encode() + body
        return "v1," + base64.b64encode(hmac.digest(self._key, signed, hashlib.sha256)).decode()


def headers(keys: Iterable[Key], message_id: str, at_s: int, body: bytes) -> dict[str, str]:
    """The three headers of an attempt at a moment in Unix seconds."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(one.sign(message_id, at_s, body) for one in keys),
    }
