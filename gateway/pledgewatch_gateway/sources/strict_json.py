"""JSON from devices, strictly: numbers are decimals, nothing is endless, and what is no JSON is refused.

Python's own reader takes NaN and Infinity, which JSON does not have, and the last of two keys of one name.
"""

import json
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NoReturn

from pledgewatch_gateway.sources import NAME_MAX, MalformedError

MESSAGE_MAX_BYTES: Final = 65_536
FIELDS_MAX: Final = 256
DEPTH_MAX: Final = 8
_NUMBER_MAX_CHARACTERS: Final = 64
_NUMBER_MAX_DIGITS: Final = 30  # what is larger is no measurement, and would be slow to count with


def read_object(payload: bytes) -> dict[str, Any]:
    """A JSON object; numbers are Decimal. Raises MalformedError."""
    found = read_json(payload, MESSAGE_MAX_BYTES)
    if not isinstance(found, dict):
        raise MalformedError("is no JSON object")
    return found


def read_json(payload: bytes, max_bytes: int) -> Any:
    """Whatever JSON has; numbers are Decimal. Raises MalformedError."""
    if len(payload) > max_bytes:
        raise MalformedError(f"is longer than {max_bytes} bytes")
    try:
        return json.loads(
            payload.decode("utf-8"),
            parse_float=number_of,
            parse_int=number_of,
            parse_constant=_no_number,
            object_pairs_hook=_object,
        )
    except UnicodeDecodeError:
        raise MalformedError("is not UTF-8") from None
    except MalformedError:
        raise
    except (ValueError, RecursionError):
        raise MalformedError("is not JSON") from None


def flattened(found: dict[str, Any]) -> dict[str, Decimal | bool | str]:
    """The values of an object, those inside others by a name with dots: {"a": {"b": 1}} has `a.b`. What is null is left
    out: the device does not say it. Raises MalformedError."""
    fields = dict(_leaves("", found, DEPTH_MAX))
    if len(fields) > FIELDS_MAX:
        raise MalformedError(f"has more than {FIELDS_MAX} values")
    return fields


def _leaves(name: str, found: Any, depth: int) -> Iterator[tuple[str, Decimal | bool | str]]:
    if isinstance(found, dict | list):
        if not depth:
            raise MalformedError(f"has objects in objects, {DEPTH_MAX} deep")
        pairs = found.items() if isinstance(found, dict) else enumerate(found)
        for key, inner in pairs:
            yield from _leaves(f"{name}.{key}" if name else str(key), inner, depth - 1)
    elif found is not None and len(name) <= NAME_MAX:
        yield name, found


def number_of(text: str) -> Decimal:
    """A number as devices write it. Raises MalformedError; NaN and infinity are none."""
    try:
        found = Decimal(text) if len(text) <= _NUMBER_MAX_CHARACTERS and "_" not in text else None
    except InvalidOperation:
        found = None
    if found is None or not found.is_finite() or abs(found.adjusted()) > _NUMBER_MAX_DIGITS:
        raise MalformedError("has a number that is none")
    return found


def _no_number(_: str) -> NoReturn:
    raise MalformedError("has a number that is none")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedError("has a key twice")
    return found
