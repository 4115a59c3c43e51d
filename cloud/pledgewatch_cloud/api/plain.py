"""Answers of plain values, written as JSON by orjson: what the framework does with a long answer (look at each value,
then write it) costs more than to make it.

Numbers stay what they are: a whole number is written whole, whatever its size, and a float as the shortest text that is
read as the same float. What orjson does not write (numbers beyond 64 bits, keys that are no text) the framework's own
writer does.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import Response
from pydantic_core import to_json


def plain(content: Any, headers: Mapping[str, str] | None = None) -> Response:
    """Plain values as an answer. `headers` are those that it has already."""
    return Response(written(content), media_type="application/json", headers=headers)


def written(content: Any) -> bytes:
    """Plain values as JSON: objects, lists, text, numbers, truths and nothing; a tuple is a list."""
    try:
        return orjson.dumps(content, default=_listed)
    except orjson.JSONEncodeError:
        return to_json(content, inf_nan_mode="null")


def _listed(one: object) -> list[Any]:
    if isinstance(one, tuple):  # one with names, which orjson takes for something of its own
        return list(one)
    raise TypeError(f"{type(one).__name__} is no plain value")
