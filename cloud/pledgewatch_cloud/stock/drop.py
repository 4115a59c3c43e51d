"""Stock reports that come as files: `<folder>/<source>/<name>`, by their ending JSON, CSV or X12 (see drop_folder).

The beginning of a JSON document never is one, and that of an interchange has no IEA, so both show when they are whole.
Nothing shows it of a table while it grows: a CSV file is taken when it has not changed for as long as a file that may
still grow is waited for.
"""

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import PurePath

from pledgewatch_cloud.decide.stock.rows import DOCUMENT_MAX_BYTES, StockError
from pledgewatch_cloud.drop_folder import REFUSED, TAKEN, Became, NotYetError
from pledgewatch_cloud.stock.intake import StockIntake, told

FORMS: Mapping[str, str] = {".json": "json", ".csv": "csv", ".x12": "x12", ".edi": "x12"}
"""The form of a file by its ending."""
_IEA = re.compile(rb"IEA[^A-Za-z0-9][0-9]{1,5}[^A-Za-z0-9][0-9]{9}[^A-Za-z0-9][\s\x1a]*\Z")


class StockFiles:
    """Who takes the files of stock systems."""

    noun = "reports of stock"
    endings: tuple[str, ...] = tuple(FORMS)
    max_bytes = DOCUMENT_MAX_BYTES

    def __init__(self, intake: StockIntake) -> None:
        self._intake = intake

    async def take(self, whose: str, name: str, raw: bytes, *, is_final: bool) -> Became:
        """See Taker."""
        form = form_of(name)
        assert form is not None
        may_grow = not is_final and len(raw) <= DOCUMENT_MAX_BYTES
        if may_grow and not await asyncio.to_thread(_is_whole, form, raw):  # megabytes of JSON take a while
            raise NotYetError
        try:
            entry, report = await self._intake.hand_in(whose, form, raw)
        except StockError as error:
            return Became(REFUSED, told(form, error.faults), f"is refused: {error}")
        where = f"is in entry {entry}" if entry else "was known already"
        left = f", but for what is wrong with it: {StockError(report.faults)}" if report.faults else ""
        return Became(TAKEN, told(form, report.faults), where + left)


def form_of(name: str) -> str | None:
    """The form that a file's name tells, None where it tells none."""
    return FORMS.get(PurePath(name).suffix.lower())


def _is_whole(form: str, raw: bytes) -> bool:
    """Whether a document shows that it has come to its end."""
    if form == "x12":
        return _IEA.search(raw) is not None
    if form == "csv":
        return False
    try:
        json.loads(raw)  # what is odd in it is for the form's own reader to say
    except (ValueError, RecursionError):
        return False
    return True
