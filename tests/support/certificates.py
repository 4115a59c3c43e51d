"""A certificate to test with, and what can be read out of each of its forms."""

import csv
import io
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from openpyxl import load_workbook
from pypdf import PdfReader

from pledgewatch_cloud.certificate import csv_form, pdf_form, xlsx_form
from pledgewatch_cloud.certificate.model import Certificate, Row, Stated, waterfall
from pledgewatch_cloud.decide.collateral.result import Base, LotLine

KEY = Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32)
PUBLIC_KEY = KEY.public_key().public_bytes_raw().hex()
AS_OF_MS = 1_767_268_800_000
ADVANCE_BP = {"in_transit": 6_000, "at_port": 7_000, "bonded": 7_500, "warehouse": 8_000}

Taken = Mapping[str, int]


def lot(identity: str, value: int, in_class: str = "warehouse", **taken: int) -> LotLine:
    """A lot of which some steps took something, lent at its class's rate."""
    eligible = value - sum(taken.values())
    return LotLine(identity, value, taken, eligible, eligible * ADVANCE_BP[in_class] // 10_000, in_class, value == 0)


def summed(pairs: list[tuple[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, amount in pairs:
        found[name] = found.get(name, 0) + amount
    return found


def base_of(lines: list[LotLine], held_back: Taken, reserves: Taken, limit: int, outstanding: int) -> Base:
    """The base that lots add up to."""
    gross, eligible = sum(one.value_minor for one in lines), sum(one.eligible_minor for one in lines)
    advance = summed([(one.in_class, one.advance_minor) for one in lines])
    base = max(0, sum(advance.values()) - sum(held_back.values()) - sum(reserves.values()))
    headroom = (min(base, limit) if limit else base) - outstanding
    ltv = -(-outstanding * 10_000 // eligible) if eligible else -1
    cover = eligible * 10_000 // outstanding if outstanding else -1
    return Base(
        gross,
        summed([item for one in lines for item in one.ineligible.items()]),
        eligible,
        advance,
        held_back,
        reserves,
        base,
        limit,
        outstanding,
        max(0, headroom),
        headroom,
        ltv,
        cover,
        len(lines),
        sum(one.is_unvalued for one in lines),
    )


LINES = [
    lot("lot-1", 10_000_000),
    lot("lot-2", 5_000_000, "in_transit", stock=900_000, condition_loss=41_000),
    lot("lot-3", 3_000_000, "in_transit", evidence=3_000_000),
    lot("lot-4", 2_000_000, "at_port", concentration_warehouse=250_000, lot_haircut=17_500),
    lot("lot-5", 0, "bonded"),
]
EVIDENCE = {"lot-2": ("wms-1/count/2026-01-01",), "lot-3": ("container-1/1/8600-8641", "source_silent@1767268800000")}
MARKS = (("sofa-us", "20000 for 1", "2025-12-31"), ("EUR/USD", "1.1750", "2025-12-30"))


def certificate(
    lines: list[LotLine] | None = None,
    *,
    held_back: Taken | None = None,
    reserves: Taken | None = None,
    limit: int = 12_000_000,
    outstanding: int = 8_000_000,
    **changes: Any,
) -> Certificate:
    """A certificate of these lots, or of five."""
    base = base_of(
        LINES if lines is None else lines,
        {"sub_limit_transit": 400_000} if held_back is None else held_back,
        {"freight": 120_000, "rent": 35_550} if reserves is None else reserves,
        limit,
        outstanding,
    )
    made = Certificate(
        journal="9f86d081-journal",
        entry=4_711,
        state_digest="ab" * 32,
        as_of_ms=AS_OF_MS,
        known_at_ms=AS_OF_MS + 61_001,
        facility="facility-1",
        lender="bank",
        borrower="exporter",
        currency="USD",
        exponent=2,
        base=base,
        lines=tuple(LINES if lines is None else lines),
        evidence=EVIDENCE if lines is None else {},
        marks=MARKS,
        stated=None,
    )
    return made._replace(**changes)


def stated(gross: int | None = None, eligible: int | None = None, base: int | None = None) -> Stated:
    return Stated(gross, eligible, base, None, "borrower-2025-12.xlsx")


def rows(one: Certificate) -> dict[str, Row]:
    return {row.name: row for row in waterfall(one)}


def csv_lines(data: bytes, section: str) -> list[list[str]]:
    return [line[1:] for line in csv.reader(io.StringIO(data.decode(), newline="")) if line[0] == section]


def pdf_text(data: bytes) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(data)).pages)


def forms(one: Certificate) -> dict[str, bytes]:
    return {
        "csv": csv_form.render(one),
        "xlsx": xlsx_form.render(one),
        "pdf": pdf_form.render(one, PUBLIC_KEY),
    }


def sheet_lines(data: bytes, sheet: str, table: list[list[str]]) -> list[list[str]]:
    """As many rows of a sheet as a table has, in the spelling of the CSV."""
    found = []
    for line in load_workbook(io.BytesIO(data))[sheet].iter_rows(max_row=len(table), max_col=len(table[0])):
        texts = []
        for cell in line:
            decimals = len(cell.number_format.partition(".")[2])
            is_number = isinstance(cell.value, int | float)
            texts.append(f"{Decimal(repr(cell.value)):.{decimals}f}" if is_number else str(cell.value or ""))
        found.append(texts)
    return found


def assert_agrees(one: Certificate) -> None:
    made = forms(one)
    for section, sheet in (("waterfall", "Waterfall"), ("lots", "Lots")):
        table = csv_lines(made["csv"], section)
        assert sheet_lines(made["xlsx"], sheet, table) == table
