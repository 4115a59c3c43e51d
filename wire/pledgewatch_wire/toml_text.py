"""TOML from anybody, read without its form being able to end the reader.

The standard library's parser calls itself for each bracket, so a few kilobytes of them come to Python's bound; keys
with many dots pass the parser, and come to it later, where what was read is printed or walked. Numbers of thousands of
digits it refuses otherwise than what is no TOML, or reads them, and then they can be neither printed nor made a float;
TOML's own whole numbers have 64 bits. Here all of that is one error, and what is read is neither deep nor so large.
"""

import re
import tomllib
from typing import Any, Final

DEPTH_MAX: Final = 32
_BITS: Final = 64
_KEY_SHOWN: Final = 64
# What is looked at to count the dots of keys: whole strings and comments, which may have any, then what ends a key. A
# string that has no end goes to the end of the text, or of the line, so that nothing is looked at twice.
_PIECE: Final = re.compile(
    r'''"""(?:\\.|[^\\])*?(?:"""|\\?\Z)|"(?:\\.|[^"\\\n])*"?|'''
    r"'''.*?(?:'''|\Z)|'[^'\n]*'?|"
    r"#[^\n]*|[.=\n,{}\[\]]",
    re.DOTALL,
)
_ENDS_KEY: Final = frozenset("=\n,{}[]")


class TomlError(ValueError):
    """A text that is no TOML, or is nested too deep; the text says which."""


def read_toml(text: str) -> dict[str, Any]:
    """The tables of a text, at most DEPTH_MAX within each other, lists counted too. Raises TomlError."""
    if _dots(text) >= DEPTH_MAX:
        raise _too_deep()
    try:
        found = tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError is one
        raise TomlError(str(error)) from None
    except RecursionError:
        raise _too_deep() from None
    level: list[Any] = [found]
    for _ in range(DEPTH_MAX):
        _require_small(level)
        level = [inner for one in level for inner in _in(one)]
        if not level:
            return found
    raise _too_deep()


def _dots(text: str) -> int:
    """How many dots the key with the most has."""
    most = dots = 0
    for piece in _PIECE.finditer(text):
        found = piece[0]
        if found == ".":
            dots += 1
            most = max(most, dots)
        elif found in _ENDS_KEY:
            dots = 0
    return most


def _require_small(level: list[Any]) -> None:
    """Raise TomlError where a whole number of these tables and lists is none of TOML."""
    for one in level:
        for key, value in one.items() if isinstance(one, dict) else (("a list", inner) for inner in one):
            if isinstance(value, int) and not -(2 ** (_BITS - 1)) <= value < 2 ** (_BITS - 1):
                raise TomlError(f"the whole number of {key[:_KEY_SHOWN]} has more than {_BITS} bits")


def _in(one: Any) -> list[Any]:
    """The tables and lists of a table or a list."""
    return [inner for inner in (one.values() if isinstance(one, dict) else one) if isinstance(inner, dict | list)]


def _too_deep() -> TomlError:
    return TomlError(f"it is nested more than {DEPTH_MAX} deep")
