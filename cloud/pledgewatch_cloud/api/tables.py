"""Answers as tables, where `text/csv` is accepted: a line of names, then a row for each item, by RFC 4180.

Words that a spreadsheet would take for a formula are written behind an apostrophe.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

from fastapi import Request, Response

CSV = "text/csv"
RESPONSES: dict[int | str, dict[str, object]] = {200: {"content": {CSV: {"schema": {"type": "string"}}}}}
"""What a route says of its answers that may be tables."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def wants_table(request: Request) -> bool:
    """Whether who asks would have a table."""
    kinds = [one.partition(";")[0].strip().lower() for one in request.headers.get("accept", "").split(",")]
    return CSV in kinds


def table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], headers: Mapping[str, str] | None = None
) -> Response:
    """A table as an answer; what is None is left empty. `headers` are those that the answer has already."""
    found = io.StringIO()
    writer = csv.writer(found)
    writer.writerow(columns)
    writer.writerows([_cell(one) for one in row] for row in rows)
    return Response(found.getvalue(), media_type=f"{CSV}; charset=utf-8", headers=headers)


def _cell(one: object) -> object:
    return f"'{one}" if isinstance(one, str) and one.startswith(_FORMULA) else one
