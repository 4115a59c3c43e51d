"""Tables as CSV (RFC 4180), in which no text is a formula: every table of ours is written by this, or its texts are.

A spreadsheet works out a cell that begins with `=`, `+`, `-` or `@`, by whatever unseen sign it skips before it and in
full width too; and one that divides lines at other separators than commas finds such beginnings within a text. Before
each of them goes an apostrophe, and before each apostrophe that stands there already: so it can be told which were put
there, and `unguarded` is the text again. What is no text (an amount, a time) stays as it is.
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence

_BEGINS = r"(^|[;,|\t\r\n])"
_SKIPPED = r'[\s"\x00-\x1f\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]*'
_ACTIVE = rf"(?={_SKIPPED}['=+\-@＝＋－＠])"
_TO_GUARD = re.compile(_BEGINS + _ACTIVE)
_GUARDED = re.compile(_BEGINS + "'" + _ACTIVE)


def guarded(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return _TO_GUARD.sub(r"\1'", text)


def unguarded(text: str) -> str:
    """The text that was guarded."""
    return _GUARDED.sub(r"\1", text)


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]], line_end: str = "\r\n") -> str:
    """A line of names, then a row for each item; what is None is left empty."""
    found = io.StringIO()
    writer = csv.writer(found, lineterminator=line_end)
    for row in ([*columns], *rows):
        writer.writerow([guarded(one) if isinstance(one, str) else one for one in row])
    return found.getvalue()
