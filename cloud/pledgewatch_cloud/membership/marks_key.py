"""A key that the members of a registry share, and whoever runs the registry never has.

Marks are blinded with it, so that equal goods give equal marks and nobody without it can try out what a mark is of. Its
fingerprint tells which key it is and nothing else: it is made of 32 bytes that nobody can guess.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable

from pledgewatch_cloud.decide.receipts.claims import Claim, blinded_set

KEY_MIN_BYTES, KEY_MAX_BYTES = 32, 64
FINGERPRINT_DIGITS = 16


class MarksKey:
    """A key of the members. Its text never shows it."""

    def __init__(self, text: str) -> None:
        """`text` is base64 of 32 to 64 bytes. Raises ValueError where it is none."""
        try:
            self._key = base64.b64decode(text, validate=True)
        except binascii.Error:
            raise ValueError("it is not base64; make one with `openssl rand -base64 32`") from None
        if not KEY_MIN_BYTES <= len(self._key) <= KEY_MAX_BYTES:
            raise ValueError(f"it holds {len(self._key)} bytes; {KEY_MIN_BYTES} to {KEY_MAX_BYTES} are wanted")
        named = hmac.new(self._key, b"pledgewatch marks key 1", hashlib.sha256)
        self.fingerprint = named.hexdigest()[:FINGERPRINT_DIGITS]

    def __repr__(self) -> str:
        return f"MarksKey({self.fingerprint})"

    def marks(self, claims: Iterable[Claim]) -> tuple[str, ...]:
        """Claims of goods, blinded, in order."""
        return tuple(sorted(blinded_set(claims, self._key)))
