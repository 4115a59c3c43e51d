"""Lines as wide as a terminal, parted between words and not within them.

A word that is wider than the terminal, such as a path, stays whole: it can be copied. So do values: what `kept` has
joined goes to the next line together. Where nothing is a terminal, a line is a line.
"""

import shutil
import textwrap
from typing import Final, TextIO

COLUMNS_LEAST: Final = 24
"""A narrower terminal is written to as if it had so many columns."""
_HANGING: Final = 2
STAYS: Final = "\N{NO-BREAK SPACE}"
"""A blank at which nothing is parted."""


def columns_of(out: TextIO) -> int | None:
    """How many columns of a terminal may be written; None where it is none."""
    return max(shutil.get_terminal_size().columns - 1, COLUMNS_LEAST) if out.isatty() else None


def kept(values: str, columns: int) -> str:
    """Values with commas between them, none of which is parted when they are folded, if it has room in so many
    columns."""
    return ", ".join(one.replace(" ", STAYS) if len(one) < columns else one for one in values.split(", "))


def folded(text: str, columns: int | None) -> str:
    """A text of some lines, each of which goes on beneath, a little further in, where it has no room."""
    if columns is None:
        return text.replace(STAYS, " ")
    return "\n".join(part for line in text.split("\n") for part in _folded(line, columns))


def _folded(line: str, columns: int) -> list[str]:
    if len(line) <= columns:
        return [line.replace(STAYS, " ")]
    said = line.lstrip(" ")
    indent = " " * (len(line) - len(said))
    return beneath(said, columns, indent + " " * _HANGING, indent)


def beneath(text: str, columns: int, indent: str, first: str = "") -> list[str]:
    """A text in lines of so many columns, all but the first of which begin with `indent`, and that one with `first`."""
    lines = textwrap.wrap(
        text, columns, initial_indent=first, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return [line.replace(STAYS, " ") for line in lines]


def parted(values: str, columns: int) -> list[str]:
    """Values in lines of so many columns, parted between one and the next wherever that goes."""
    lines = textwrap.wrap(kept(values, columns), columns, break_on_hyphens=False)
    return [line.replace(STAYS, " ") for line in lines]
