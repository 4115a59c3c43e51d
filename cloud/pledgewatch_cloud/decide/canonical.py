"""One spelling for every value that is hashed, signed or compared byte for byte.

JSON with sorted keys, no spaces and UTF-8. What is spelled here holds no floats: money, places and temperatures are
integers, so two machines can never disagree about a last digit.
"""

import hashlib
import json
from typing import Any


def encode(value: Any) -> bytes:
    """The canonical bytes of a JSON value. Raises TypeError for what JSON cannot hold, ValueError for NaN."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def decode(text: str | bytes) -> Any:
    """The value behind its canonical bytes. Raises ValueError where they are no JSON."""
    return json.loads(text)


def digest(value: Any) -> str:
    """SHA-256 of the canonical bytes, hexadecimal."""
    return sha256(encode(value))


def sha256(data: bytes) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(data).hexdigest()
