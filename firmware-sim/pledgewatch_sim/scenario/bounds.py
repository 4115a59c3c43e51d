"""What a key of a scenario's file may hold, said once at its field, for the program and for the JSON Schema.

A field is written `Annotated[float, Within(0, 10)]`. The reader of the file sees the type, `check` and
the schema the rest.
"""

import dataclasses
import math
import re
import types
import typing
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

_NO_NUL: Final = "^[^\\u0000]*$"


@dataclass(frozen=True, slots=True)
class Within:
    """A number from `low` to `high`, both included."""

    low: float
    high: float

    def check(self, key: str, value: Any) -> None:
        """Raise ValueError where it is not."""
        if not (math.isfinite(value) and self.low <= value <= self.high):
            raise ValueError(f"{key} {value:.12g} is out of range; use {self.low:.12g} to {self.high:.12g}")

    def in_schema(self) -> dict[str, Any]:
        """As JSON Schema says it."""
        return {"minimum": self.low, "maximum": self.high}


@dataclass(frozen=True, slots=True)
class Written:
    """A text of one form; `cure` says how to write it."""

    pattern: str
    cure: str

    def check(self, key: str, value: Any) -> None:
        """Raise ValueError where it is of none."""
        if re.search(self.pattern, value, re.ASCII) is None or value.endswith("\n"):
            raise ValueError(f"{key} {value!r} cannot be used; {self.cure}")

    def in_schema(self) -> dict[str, Any]:
        """As JSON Schema says it."""
        return {"pattern": self.pattern}


def check(settings: Any) -> None:
    """Raise ValueError where a field's value is not as its type says in words that are ours."""
    for key, hint in typing.get_type_hints(type(settings), include_extras=True).items():
        value = getattr(settings, key)
        if value is not None:
            for bound in getattr(hint, "__metadata__", ()):
                bound.check(key, value)


def table_schema(settings: Any) -> dict[str, Any]:
    """A dataclass as a JSON Schema."""
    hints = typing.get_type_hints(settings, include_extras=True)
    fields = dataclasses.fields(settings)
    needed = [
        one.name for one in fields if one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
    ]
    return {
        "type": "object",
        "additionalProperties": False,
        "required": needed,
        "properties": {one.name: _value_schema(hints[one.name]) for one in fields},
    }


def _value_schema(hint: Any) -> dict[str, Any]:
    if bounds := getattr(hint, "__metadata__", ()):
        found = {key: value for key, value in _value_schema(hint.__origin__).items() if key != "pattern"}
        for bound in bounds:
            found |= bound.in_schema()
        return found
    if typing.get_origin(hint) in {types.UnionType, typing.Union}:
        (hint,) = (one for one in typing.get_args(hint) if one is not type(None))
    if dataclasses.is_dataclass(hint):
        return table_schema(hint)
    if typing.get_origin(hint) is tuple:
        return {"type": "array", "items": _value_schema(typing.get_args(hint)[0])}
    if issubclass(hint, StrEnum):
        return {"enum": [str(one) for one in hint]}
    if hint is str:
        return {"type": "string", "pattern": _NO_NUL}
    return {"type": {bool: "boolean", int: "integer", float: "number"}[hint]}
