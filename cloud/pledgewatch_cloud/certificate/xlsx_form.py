"""A certificate as a workbook for people: the waterfall on one sheet, the lots on another.

The same bytes every time: the date of making is the moment up to which the journal was read, and the archive is
written again without compression, so that it depends on no version of a compressor and names no other time. An amount
is a number only where a spreadsheet keeps every digit of it, which is up to 15; beyond, it is text. Either way the
file has its decimal text. All other cells are text, so none is ever worked out; names are guarded all the same, for a
sheet may be saved as CSV.
"""

import io
import zipfile
from datetime import timedelta
from decimal import Decimal

from xlsxwriter import Workbook
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from pledgewatch_cloud.certificate.model import (
    Cell,
    Certificate,
    Table,
    facts_table,
    lots_table,
    marks_table,
    waterfall_table,
)
from pledgewatch_cloud.decide.moments import EPOCH
from pledgewatch_cloud.decide.money import Amount

_DIGITS_MAX = 15
_CELL_MAX = 32_767
_CUT = " … (whole in the CSV form)"
_WIDTH_MIN, _WIDTH_MAX = 10, 60


def render(certificate: Certificate) -> bytes:
    """The file."""
    made = io.BytesIO()
    made_at = EPOCH + timedelta(milliseconds=certificate.known_at_ms)
    with Workbook(made, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}) as book:
        book.set_properties({"title": "Borrowing base certificate", "author": "pledgewatch", "created": made_at})
        shape = _Shape(book)
        first = book.add_worksheet("Waterfall")
        below = shape.table(first, waterfall_table(certificate), 0)
        below = shape.table(first, facts_table(certificate), below + 1)
        if certificate.marks:
            shape.table(first, marks_table(certificate), below + 1)
        shape.table(book.add_worksheet("Lots"), lots_table(certificate), 0)
    return _stored(made.getvalue())


class _Shape:
    """How cells look: one format for the names of columns and one for each number of decimals."""

    def __init__(self, book: Workbook) -> None:
        self._book = book
        self._head = book.add_format({"bold": True, "bottom": 1, "text_wrap": True, "valign": "top"})
        self._right = book.add_format({"align": "right"})
        self._numbers: dict[int, Format] = {}

    def table(self, sheet: Worksheet, table: Table, top: int) -> int:
        """Write a table from a row on, and return the row after it. One at the top is frozen and sets the widths."""
        for column, cell in enumerate(table[0]):
            sheet.write_string(top, column, _text(cell), self._head)
        for row, line in enumerate(table[1:], top + 1):
            for column, cell in enumerate(line):
                self._cell(sheet, row, column, cell)
        if top == 0:
            sheet.freeze_panes(1, 1)
            for column in range(len(table[0])):
                longest = max(len(_text(line[column])) for line in table)
                sheet.set_column(column, column, min(max(longest + 2, _WIDTH_MIN), _WIDTH_MAX))
        return top + len(table)

    def _cell(self, sheet: Worksheet, row: int, column: int, cell: Cell) -> None:
        if isinstance(cell, Amount) and abs(cell.units) < 10**_DIGITS_MAX:
            sheet.write_number(row, column, Decimal(cell.text()), self._number(cell.exponent))
        elif isinstance(cell, Amount):
            sheet.write_string(row, column, cell.text(), self._right)
        elif cell:
            sheet.write_string(row, column, _text(cell))

    def _number(self, exponent: int) -> Format:
        if exponent not in self._numbers:
            decimals = f".{'0' * exponent}" if exponent else ""
            self._numbers[exponent] = self._book.add_format({"num_format": f"#,##0{decimals}"})
        return self._numbers[exponent]


def _text(cell: Cell) -> str:
    """The text of a cell, cut to what a cell can hold."""
    text = cell.text() if isinstance(cell, Amount) else cell
    return text if len(text) <= _CELL_MAX else text[: _CELL_MAX - len(_CUT)] + _CUT


def _stored(archive: bytes) -> bytes:
    """An archive with the same files, as they are, each under the same date and for the same system."""
    fresh = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(fresh, "w", zipfile.ZIP_STORED) as new:
        for one in old.infolist():
            info = zipfile.ZipInfo(one.filename, (1980, 1, 1, 0, 0, 0))
            info.create_system = 3  # which is Unix, wherever it is made
            info.external_attr = 0o644 << 16
            new.writestr(info, old.read(one))
    return fresh.getvalue()
