"""JSON without slips: every key once, every number one, every text Unicode.

What JSON leaves to its readers is where two of them come to differ: which of two equal keys counts, what NaN is, what
half a surrogate pair means. Here each of these is a fault.
"""

import json
import math
import re
from functools import partial
from typing import Any

_DIGITS_MAX = 30
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class JsonError(ValueError):
    """A text that is no such JSON: a sentence with line, column and reason where they are known."""


def strict_json(text: str | bytes, last_counts: frozenset[str] = frozenset()) -> Any:
    """JSON in which every key comes once and every number is one. Raises JsonError.

    A key among `last_counts` may come again, and then its last value counts, as with most readers of JSON.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode(json.detect_encoding(text))
        document = json.loads(
            text,
            object_pairs_hook=partial(_once, last_counts),
            parse_constant=_no_number,
            parse_int=_whole,
            parse_float=_finite,
        )
        if _SURROGATE.search(text):
            json.dumps(document, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise JsonError(f"line {error.lineno}, column {error.colno}: {error.msg}") from None
    except UnicodeEncodeError:
        raise JsonError("a text holds half a surrogate pair, which is no character") from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise JsonError(f"no JSON in UTF-8: {error}") from None
    return document


def _once(last_counts: frozenset[str], pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found and key not in last_counts:
            raise JsonError(f"the key {key!r} comes twice in one object")
        found[key] = value
    return found


def _whole(digits: str) -> int:
    if len(digits) > _DIGITS_MAX:
        raise JsonError(f"a number of {len(digits)} digits; at most {_DIGITS_MAX}")
    return int(digits)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise JsonError(f"the number {text[:_DIGITS_MAX]} is larger than any that can be held")
    return value


def _no_number(word: str) -> Any:
    raise JsonError(f"{word} is no number")
