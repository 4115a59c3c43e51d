"""One spelling for every value that is hashed, signed or compared byte for byte.

JSON with sorted keys, no spaces and UTF-8. What is spelled here holds no floats: money, places and temperatures are
integers, so two machines can never disagree about a last digit.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

Item = TypeVar("Item")
_AT_ONCE = 100


def encode(value: Any) -> bytes:
    """The canonical bytes of a JSON value. Raises TypeError for what JSON cannot hold, ValueError for NaN."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def encode_object(items: Iterable[tuple[str, Any]]) -> Iterator[bytes]:
    """The canonical bytes of a large object, from its items in order of their keys, bit by bit."""
    yield b"{"
    comma = b""
    for some in _batched(items):
        yield comma + b",".join(encode(key) + b":" + encode(value) for key, value in some)
        comma = b","
    yield b"}"


def encode_array(values: Iterable[Any]) -> Iterator[bytes]:
    """The canonical bytes of a large array, bit by bit."""
    yield b"["
    comma = b""
    for some in _batched(values):
        yield comma + encode(some)[1:-1]
        comma = b","
    yield b"]"


def _batched(items: Iterable[Item]) -> Iterator[list[Item]]:
    rest = iter(items)
    while some := list(islice(rest, _AT_ONCE)):
        yield some


def decode(text: str | bytes) -> Any:
    """The value behind its canonical bytes. Raises ValueError where they are no JSON."""
    return json.loads(text)


def digest(value: Any) -> str:
    """SHA-256 of the canonical bytes, hexadecimal."""
    return sha256(encode(value))


def sha256(data: bytes) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(data).hexdigest()
