"""docs/STOCK.md says what is true: its documents are read as they stand, its limits are those of the code."""

import re
from pathlib import Path

import pytest
from stocking import SOFA, TERMS

from pledgewatch_cloud.decide.stock import rows, stock_book, x12, x12_envelope
from pledgewatch_cloud.decide.stock.csv_form import CsvMapping
from pledgewatch_cloud.decide.stock.intake import read
from pledgewatch_cloud.decide.stock.stock_book import StockBook

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "STOCK.md").read_text(encoding="utf-8")
TABLE = CsvMapping(
    {"id": "no", "kind": "what", "at": "when", "sku": "article", "unit": "unit", "quantity": "pieces"},
    kinds={"IN": "received", "OUT": "sold"},
    delimiter=";",
    decimal=",",
    trailer="SUM",
)


def example(name: str) -> str:
    found = re.search(rf"```{name}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(
    ("name", "form", "rows_read", "on_hand"),
    [("json", "json", 4, 30_000), ("csv", "csv", 2, 37_500), ("edi", "x12", 2, -2_000)],
)
def test_each_example_is_read_as_it_stands(name: str, form: str, rows_read: int, on_hand: int) -> None:
    report = read(TERMS._replace(utc_offset_minutes=0), form, example(name), TABLE)
    assert report.faults == ()
    assert len(report.rows) == rows_read
    assert StockBook().taken(report).on_hand_milli(SOFA) == on_hand


def test_the_page_tells_the_kinds_the_codes_and_the_limits() -> None:
    limits = (
        rows.ROWS_IN_ONE_MAX,
        rows.FAULTS_TOLD_MAX,
        stock_book.ROWS_MAX,
        stock_book.CANCELS_MAX,
        stock_book.KEYS_MAX,
    )
    for one in (*limits, x12_envelope.SEGMENTS_MAX):
        assert f"{one:,}" in PAGE
    assert f"{rows.DOCUMENT_MAX_BYTES // 1024 // 1024} MiB" in PAGE
    assert f"| days kept | {stock_book.KEEP_DAYS} " in PAGE
    for word in (*rows.KINDS, *rows.MEANS, *rows.AT_FAULT, *rows.MOVEMENT_FIELDS):
        assert f"`{word}`" in PAGE or word == "warehouse", word
    table = next(line for line in PAGE.splitlines() if line.startswith("| 944"))
    assert set(x12.RECEIPT_KINDS) == set(re.findall(r"\b[A-Z]\b", table.split("|")[2]))
