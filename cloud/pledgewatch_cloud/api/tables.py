"""Answers as tables, where `text/csv` is accepted: a line of names, then a row for each item, by RFC 4180.

Words that a spreadsheet would take for a formula are written behind an apostrophe (pledgewatch_cloud.table_text).
"""

from collections.abc import Iterable, Mapping, Sequence

from fastapi import Request, Response

from pledgewatch_cloud.table_text import csv_text

CSV = "text/csv"
RESPONSES: dict[int | str, dict[str, object]] = {200: {"content": {CSV: {"schema": {"type": "string"}}}}}
"""What a route says of its answers that may be tables."""


def wants_table(request: Request) -> bool:
    """Whether who asks would have a table."""
    kinds = [one.partition(";")[0].strip().lower() for one in request.headers.get("accept", "").split(",")]
    return CSV in kinds


def table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], headers: Mapping[str, str] | None = None
) -> Response:
    """A table as an answer; what is None is left empty. `headers` are those that the answer has already."""
    return Response(csv_text(columns, rows), media_type=f"{CSV}; charset=utf-8", headers=headers)
