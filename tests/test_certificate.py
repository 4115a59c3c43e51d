"""Certificates: one content in three forms, the same bytes every time, and no byte changed unseen."""

import csv
import hashlib
import io
import os
import re
import stat
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook
from pypdf import PdfReader

from pledgewatch_cloud.certificate import csv_form, pdf_form, signing, xlsx_form
from pledgewatch_cloud.certificate.model import Certificate, Row, Stated, facts, guarded, stem, waterfall
from pledgewatch_cloud.certificate.signing import CertificateError
from pledgewatch_cloud.decide.canonical import decode, encode
from pledgewatch_cloud.decide.collateral.result import STEPS, Base, LotLine
from pledgewatch_cloud.decide.money import Amount

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


# The waterfall.


def test_the_waterfall_runs_from_gross_to_availability() -> None:
    found = [
        (row.name, *(one.text() if one else "" for one in (row.amount, row.running)))
        for row in rows(certificate()).values()
    ]
    assert found == [
        ("gross", "200000.00", "200000.00"),
        ("stock", "-9000.00", "191000.00"),
        ("evidence", "-30000.00", "161000.00"),
        ("concentration_warehouse", "-2500.00", "158500.00"),
        ("condition_loss", "-410.00", "158090.00"),
        ("lot_haircut", "-175.00", "157915.00"),
        ("eligible", "157915.00", "157915.00"),
        ("advance_in_transit", "24354.00", "24354.00"),
        ("advance_at_port", "12127.50", "36481.50"),
        ("advance_bonded", "0.00", "36481.50"),
        ("advance_warehouse", "80000.00", "116481.50"),
        ("sub_limit_transit", "-4000.00", "112481.50"),
        ("reserve_freight", "-1200.00", "111281.50"),
        ("reserve_rent", "-355.50", "110926.00"),
        ("base", "110926.00", "110926.00"),
        ("limit", "120000.00", ""),
        ("outstanding", "80000.00", ""),
        ("headroom", "30926.00", ""),
        ("availability", "30926.00", ""),
        ("ltv", "50.67", ""),
        ("cover", "197.39", ""),
    ]


def test_what_is_not_there_is_said_and_not_made_up() -> None:
    found = rows(certificate([], held_back={}, reserves={}, limit=0, outstanding=0))
    assert [found[name].amount for name in ("limit", "ltv", "cover")] == [None] * 3
    assert found["limit"].label == "Limit: none"


@pytest.mark.parametrize(
    ("field", "fault"),
    [
        ("gross_minor", "gross less ineligibles"),
        ("base_minor", "advance less what is held back"),
        ("lots", "each lot once"),
        ("unvalued", "unvalued lots"),
    ],
)
def test_a_base_that_does_not_add_up_is_never_certified(field: str, fault: str) -> None:
    one = certificate()
    wrong = one._replace(base=one.base._replace(**{field: getattr(one.base, field) + 1}))
    with pytest.raises(AssertionError, match=fault):
        forms(wrong)


def test_lots_that_do_not_add_up_to_the_base_are_never_certified() -> None:
    one = certificate()
    moved = one.lines[1]._replace(ineligible={"stock": 900_001, "condition_loss": 40_999})
    with pytest.raises(AssertionError, match="ineligibles of lots"):
        waterfall(one._replace(lines=(one.lines[0], moved, *one.lines[2:])))
    with pytest.raises(AssertionError, match="evidence of lots"):
        waterfall(one._replace(evidence={"lot-9": ("x",)}))


# Amounts.


@pytest.mark.parametrize(
    ("minor", "exponent", "text", "grouped"),
    [
        (123_456_789, 0, "123456789", "123,456,789"),
        (123_456_789, 2, "1234567.89", "1,234,567.89"),
        (123_456_789, 3, "123456.789", "123,456.789"),
        (5, 3, "0.005", "0.005"),
        (-5, 2, "-0.05", "-0.05"),
        (0, 0, "0", "0"),
        (-(10**18) - 1, 2, "-10000000000000000.01", "-10,000,000,000,000,000.01"),
    ],
)
def test_amounts_by_the_decimals_of_a_currency(minor: int, exponent: int, text: str, grouped: str) -> None:
    assert Amount(minor, exponent).text() == text
    assert Amount(minor, exponent).text(grouped=True) == grouped


@given(st.integers(-(10**20), 10**20), st.integers(0, 4))
def test_the_text_of_an_amount_is_the_amount(units: int, exponent: int) -> None:
    assert Decimal(Amount(units, exponent).text()).scaleb(exponent) == units
    assert Amount(units, exponent).text(grouped=True).replace(",", "") == Amount(units, exponent).text()


@pytest.mark.parametrize(
    ("currency", "exponent", "gross"), [("JPY", 0, "20,000,000"), ("KWD", 3, "20,000.000"), ("USD", 2, "200,000.00")]
)
def test_every_form_shows_the_decimals_of_the_currency(currency: str, exponent: int, gross: str) -> None:
    made = forms(certificate(currency=currency, exponent=exponent))
    assert csv_lines(made["csv"], "waterfall")[1][2] == gross.replace(",", "")
    assert f" {gross} " in pdf_text(made["pdf"]).replace("\n", " ")
    cell = load_workbook(io.BytesIO(made["xlsx"]))["Waterfall"]["C2"]
    assert cell.number_format == f"#,##0{'.' if exponent else ''}{'0' * exponent}"
    assert Decimal(str(cell.value)) == Decimal(gross.replace(",", ""))


# The same in every form.


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


@pytest.mark.parametrize("factor", [1, 10**9 + 7, 10**13 + 37])
@pytest.mark.parametrize("exponent", [0, 2, 3])
def test_the_workbook_says_what_the_csv_says(exponent: int, factor: int) -> None:
    """Up to 15 digits as numbers, beyond as text; to the last digit in both."""
    lines = [
        LotLine(
            one.id,
            one.value_minor * factor,
            {name: amount * factor for name, amount in one.ineligible.items()},
            one.eligible_minor * factor,
            one.advance_minor * factor,
            one.in_class,
            one.is_unvalued,
        )
        for one in LINES
    ]
    assert_agrees(certificate(lines, exponent=exponent, stated=stated(gross=10**15 + 1, eligible=10**15 - 1)))


def test_amounts_are_numbers_only_up_to_fifteen_digits() -> None:
    sheet = load_workbook(io.BytesIO(xlsx_form.render(certificate([lot("most", 10**15 - 1), lot("more", 10**15)]))))[
        "Lots"
    ]
    assert (type(sheet["C2"].value), type(sheet["C3"].value)) == (float, str)
    assert (repr(sheet["C2"].value), sheet["C3"].value) == ("9999999999999.99", "10000000000000.00")


@settings(max_examples=40)
@given(st.integers(-(10**15) + 1, 10**15 - 1), st.integers(0, 4))
def test_a_number_of_fifteen_digits_survives_the_workbook(units: int, exponent: int) -> None:
    one = certificate()
    data = xlsx_form.render(one._replace(stated=Stated(units, None, None, None, "f"), exponent=exponent))
    value = load_workbook(io.BytesIO(data))["Waterfall"]["E2"].value
    assert f"{Decimal(repr(value)):.{exponent}f}" == Amount(units, exponent).text()


def test_the_pdf_holds_every_figure_of_the_waterfall_and_of_the_lots() -> None:
    one = certificate(stated=Stated(21_200_000, 17_000_000, 11_092_600, 7_900_000, "borrower.xlsx"))
    words = pdf_text(pdf_form.render(one, PUBLIC_KEY)).split()
    for row in waterfall(one):
        for amount in (row.amount, row.running, row.stated, row.difference):
            assert amount is None or amount.text(grouped=True) in words
    for line in one.lines:
        figures = [line.value_minor, *line.ineligible.values(), line.eligible_minor, line.advance_minor]
        assert {Amount(minor, 2).text(grouped=True) for minor in figures} | {line.id} <= set(words)
        assert {*" ".join(one.evidence.get(line.id, ())).split()} <= {word.strip(";") for word in words}


def test_the_pdf_says_what_it_is_about_and_how_to_verify_it() -> None:
    text = " ".join(pdf_text(pdf_form.render(certificate(), PUBLIC_KEY)).split())
    for said in (
        "As of 2026-01-01T12:00:00Z",
        "Known at 2026-01-01T12:01:01.001Z",
        "Journal 9f86d081-journal",
        "Entry 4711",
        f"State digest {'ab' * 32}",
        PUBLIC_KEY,
        f"{stem(certificate())}.pdf.signature.json",
        "EUR/USD 1.1750 2025-12-30",
        "page 1 of 1",
    ):
        assert said in text


def test_csv_is_rfc_4180_with_as_many_cells_on_every_line() -> None:
    data = csv_form.render(certificate([lot('a "quoted",\r\nlot', 100)]))
    assert data.count(b"\n") == data.count(b"\r\n")
    assert b'"a ""quoted"",\\u{d}\\u{a}lot"' in data
    assert len({len(line) for line in csv.reader(io.StringIO(data.decode(), newline=""))}) == 1
    assert csv_lines(data, "marks")[1:] == [[*mark, *[""] * 4] for mark in MARKS]


def test_lots_have_a_column_for_each_step_that_took_something() -> None:
    table = csv_lines(csv_form.render(certificate()), "lots")
    assert table[0] == [
        *("lot", "class", "value", "stock", "evidence", "concentration_warehouse", "condition_loss", "lot_haircut"),
        *("eligible", "advance", "unvalued", "evidence"),
    ]
    assert table[3] == [
        "lot-3",
        "in_transit",
        "30000.00",
        "",
        "30000.00",
        "",
        "",
        "",
        "0.00",
        "0.00",
        "",
        "; ".join(EVIDENCE["lot-3"]),
    ]
    assert table[5][10] == "unvalued"


# What names may do.


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "＝1", "a;=1+1", "a|@x", "'=1"])
def test_no_name_becomes_a_formula(name: str) -> None:
    one = certificate(
        [lot(name, 100)], borrower=name, journal=name, marks=((name, name, name),), evidence={name: (name,)}
    )
    shown = guarded(name)
    assert shown.replace("'", "") == name.replace("'", "")
    assert len(shown) == len(name) + 1
    lines = list(csv.reader(io.StringIO(csv_form.render(one).decode(), newline="")))
    cells = [cell for line in lines for cell in line]
    assert cells.count(shown) == 7
    assert name not in cells
    book = load_workbook(io.BytesIO(xlsx_form.render(one)))
    assert all(cell.data_type != "f" for sheet in book for line in sheet for cell in line)
    values = [cell.value for sheet in book for line in sheet for cell in line]
    assert values.count(shown) == 7
    assert name not in values


def test_a_cell_that_a_workbook_cannot_hold_is_cut_and_says_where_it_is_whole() -> None:
    many = tuple(f"device/1/{number}" for number in range(5_000))
    one = certificate([lot("lot-1", 100)], evidence={"lot-1": many})
    assert csv_lines(csv_form.render(one), "lots")[1][-1] == "; ".join(many)
    cell = load_workbook(io.BytesIO(xlsx_form.render(one)))["Lots"].cell(2, 7).value
    assert isinstance(cell, str)
    assert len(cell) == 32_767
    assert cell.endswith(" … (whole in the CSV form)")


def test_negative_amounts_are_not_taken_for_formulas() -> None:
    assert csv_lines(csv_form.render(certificate()), "waterfall")[2][2] == "-9000.00"


@settings(max_examples=40)
@example("\ud800\udfff\ufffe\uffff\x00\r\n\t\x1b\x85\u2028\u202e\U0010ffff")
@given(st.text(alphabet=st.characters(codec=None), max_size=40))
def test_any_name_can_be_certified(name: str) -> None:
    one = certificate(
        [lot(name, 100, evidence=100)],
        reserves={name: 3},
        held_back={name: 2},
        marks=((name, name, name),),
        evidence={name: (name, name)},
        stated=stated(gross=200)._replace(file=name),
    )
    one = one._replace(facility=name, lender=name, borrower=name, journal=name, currency=name, state_digest=name)
    made = forms(one)
    assert len(PdfReader(io.BytesIO(made["pdf"])).pages) >= 1
    assert_agrees(one)
    signature = signing.sign(made["csv"], stem(one), one, KEY)
    assert signing.verify(made["csv"], signature, PUBLIC_KEY).endswith(f"signed with the key {PUBLIC_KEY}.")


def test_a_character_that_the_font_lacks_is_written_out_by_its_number() -> None:
    text = pdf_text(pdf_form.render(certificate([lot("Müller-上海", 100)]), PUBLIC_KEY))
    assert "Müller-" in text
    assert r"\u{4e0a}\u{6d77}" in "".join(text.split())


def drawn(data: bytes) -> list[list[tuple[float, float, str]]]:
    """What each page shows, as (x, y, text), as a reader finds it."""
    pages = []
    for page in PdfReader(io.BytesIO(data)).pages:
        found: list[tuple[float, float, str]] = []

        def note(text: str, _: Any, at: Any, __: Any, ___: Any, to: list[tuple[float, float, str]] = found) -> None:
            if text.strip():
                to.append((at[4], at[5], text.strip()))

        page.extract_text(visitor_text=note)
        pages.append(found)
    return pages


def width_of(text: str, font: str, size: float) -> float:
    return sum(pdf_form._glyphs(font)[character] for character in text) * size


def test_amounts_stand_below_each_other_at_their_last_digit() -> None:
    (page,) = drawn(pdf_form.render(certificate(), PUBLIC_KEY))
    ends = {
        text: x + width_of(text, pdf_form._REGULAR, 7.5)
        for x, _, text in page
        if text in {"-9,000.00", "-410.00", "36,481.50", "120,000.00"}
    }
    assert ends == {
        "-9,000.00": pytest.approx(438, abs=0.1),
        "-410.00": pytest.approx(438, abs=0.1),
        "36,481.50": pytest.approx(555, abs=0.1),
        "120,000.00": pytest.approx(438, abs=0.1),
    }


def test_names_and_amounts_of_any_length_stay_inside_their_columns() -> None:
    """No text reaches into the next; a lot higher than a page goes on on the next."""
    long = "w" * 3_000
    lines = [lot(long, 10**17 + 1, evidence=10**16 + 1), lot("x-" * 700, 5, stock=5)]
    evidence = {long: tuple(f"device/1/{n}" for n in range(3_000))}
    one = certificate(lines, exponent=3, evidence=evidence, stated=stated(10**18, 1, -(10**18)))
    pages = drawn(pdf_form.render(one, PUBLIC_KEY))
    assert len(pages) > 5
    assert all(39 <= x <= 556 and 33 <= y <= 800 for found in pages for x, y, _ in found)
    laid = [line for page in pdf_form._paginate(list(pdf_form._blocks(one, PUBLIC_KEY))) for line in page]
    for line in laid:
        end = 39.9
        for piece in sorted(line.pieces, key=lambda piece: piece.x):
            width = width_of(piece.text, piece.font, piece.size)
            left = piece.x - width if piece.is_right else piece.x
            assert left >= end
            end = left + width
        assert end <= 555.1
    parts = [piece.text for line in laid for piece in line.pieces if (piece.x, piece.size) == (40, 6.5)]
    assert "".join(part for part in parts if set(part) == {"w"}) == long


# The borrower's own figures.


DIFFERENCES = [
    (stated(gross=20_000_000), "gross", "The borrower's gross agrees."),
    (
        stated(gross=21_200_000),
        "gross",
        """The borrower's gross is higher by 12,000.00: 9,000.00 taken for stock (counted short in stock) and 2,500.00
        taken for concentration_warehouse (too much in one warehouse) would explain 11,500.00 of it and leave 500.00
        unexplained; 1 lot has no value here.""",
    ),
    (
        stated(gross=19_100_000),
        "gross",
        """The borrower's gross is lower by 9,000.00: 9,000.00 taken for stock (counted short in stock) would explain it
        exactly.""",
    ),
    (
        stated(gross=18_000_000),
        "gross",
        "The borrower's gross is lower by 20,000.00: the value of lot lot-4 would explain it exactly.",
    ),
    (
        stated(gross=20_000_001),
        "gross",
        "The borrower's gross is higher by 0.01: nothing in this certificate explains it; 1 lot has no value here.",
    ),
    (
        stated(gross=200_000_000),
        "gross",
        """The borrower's gross is higher by 1,800,000.00: nothing in this certificate explains it; 1 lot has no value
        here.""",
    ),
    (
        stated(eligible=20_000_000),
        "eligible",
        """The borrower's eligible is higher by 42,085.00: it took off 42,085.00 less; 30,000.00 taken for
        evidence (evidence stale), 9,000.00 taken for stock (counted short in stock), 2,500.00 taken for
        concentration_warehouse (too much in one warehouse), 410.00 taken for condition_loss (loss from condition) and
        175.00 taken for lot_haircut (haircut of the lot) would explain it exactly.""",
    ),
    (
        stated(gross=21_200_000, eligible=19_991_500),
        "eligible",
        """The borrower's eligible is higher by 42,000.00: its gross is higher by 12,000.00, and it took off 30,000.00
        less; 30,000.00 taken for evidence (evidence stale) would explain it exactly.""",
    ),
    (
        stated(gross=20_100_000, eligible=15_891_500),
        "eligible",
        "The borrower's eligible is higher by 1,000.00: its gross is higher by 1,000.00, which is all of it.",
    ),
    (
        stated(gross=20_100_000, eligible=15_691_500),
        "eligible",
        """The borrower's eligible is lower by 1,000.00: its gross is higher by 1,000.00, and it took off 2,000.00 more
        than this certificate.""",
    ),
    (
        stated(base=11_492_600),
        "base",
        "The borrower's base is higher by 4,000.00: 4,000.00 held back by sub_limit_transit would explain it exactly.",
    ),
    (
        stated(eligible=15_891_500, base=11_166_361),
        "base",
        """The borrower's base is higher by 737.61; its eligible, at this certificate's average advance rate, makes that
        higher by 737.62, which is all of it but for rounding.""",
    ),
    (
        stated(eligible=15_891_500, base=11_286_361),
        "base",
        """The borrower's base is higher by 1,937.61; its eligible, at this certificate's average advance rate, makes
        that higher by 737.62: 1,200.00 of reserve freight would explain the rest but for rounding.""",
    ),
    (
        stated(eligible=15_891_500, base=11_000_000),
        "base",
        """The borrower's base is lower by 926.00; its eligible, at this certificate's average advance rate, makes that
        higher by 737.62, and something else lower by 1,663.62, which nothing here explains.""",
    ),
    (
        stated(base=11_000_000),
        "base",
        "The borrower's base is lower by 926.00: nothing in this certificate explains that.",
    ),
    (
        Stated(None, None, None, 7_900_000, "f"),
        "outstanding",
        """The borrower's outstanding is lower by 1,000.00: this certificate does not list drawings, repayments and
        interest; compare those.""",
    ),
]


@pytest.mark.parametrize(("own", "row", "note"), DIFFERENCES)
def test_a_difference_is_explained_as_far_as_the_certificate_can(own: Stated, row: str, note: str) -> None:
    one, note = certificate(stated=own), " ".join(note.split())
    assert rows(one)[row].note == note
    assert note in [line[6] for line in csv_lines(csv_form.render(one), "waterfall")]
    assert note in " ".join(pdf_text(pdf_form.render(one, PUBLIC_KEY)).split())
    assert {name for name, other in rows(one).items() if other.note} == {
        name for name in ("gross", "eligible", "base", "outstanding") if getattr(own, f"{name}_minor") is not None
    }


def test_every_ineligible_can_be_told_to_a_borrower() -> None:
    """23 ineligibles, and a difference that is all but two of them."""
    taken = {name: 10**6 + 2**number for number, name in enumerate(STEPS)}
    one = certificate([lot("lot-1", 10**9, **taken)], held_back={}, reserves={})
    less = taken["age"] + taken["volatility"]
    found = rows(one._replace(stated=stated(eligible=10**9 - less)))["eligible"].note
    assert found.startswith("The borrower's eligible is higher by ")
    assert "everything but" in found
    assert "taken for age (too old or too near its end) would explain it exactly." in found


# The same bytes.

ELSEWHERE = """
import sys
sys.path.insert(0, {tests!r})
import test_certificate as it
one = it.certificate(stated=it.stated(21_200_000, 17_000_000, 11_000_000))
for data in it.forms(one).values():
    print(__import__("hashlib").sha256(data).hexdigest())
"""


@pytest.mark.parametrize(
    "surroundings",
    [
        {"PYTHONHASHSEED": "1", "TZ": "UTC", "LC_ALL": "C"},
        {"PYTHONHASHSEED": "2", "TZ": "Asia/Kathmandu", "LC_ALL": "C.UTF-8", "LANG": "de_DE.UTF-8"},
        {
            "PYTHONHASHSEED": "3",
            "TZ": "America/St_Johns",
            "LC_ALL": "POSIX",
            "PYTHONUTF8": "0",
        },
        {
            "SOURCE_DATE_EPOCH": "1",
            "RL_pageCompression": "1",
            "RL_invariant": "0",
            "RL_pdfComments": "1",
            "RL_pdfMultiLine": "1",
            "RL_ttfAsciiReadable": "0",
            "RL_canvas_baseColor": "red",
            "RL_canvas_basefontname": "Times-Roman",
            "RL_defaultPageSize": "letter",
            "RL_documentLang": "de",
        },
    ],
)
def test_another_process_makes_the_same_bytes(surroundings: dict[str, str]) -> None:
    one = certificate(stated=stated(21_200_000, 17_000_000, 11_000_000))
    here = [hashlib.sha256(data).hexdigest() for data in forms(one).values()]
    code = ELSEWHERE.format(tests=str(Path(__file__).parent))
    made = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **surroundings}
    )
    assert made.stdout.split() == here


def test_no_form_depends_on_a_compressor() -> None:
    made = forms(certificate())
    assert b"FlateDecode" not in made["pdf"]
    with zipfile.ZipFile(io.BytesIO(made["xlsx"])) as archive:
        assert {one.compress_type for one in archive.infolist()} == {zipfile.ZIP_STORED}
        assert {one.date_time for one in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_the_order_in_which_a_mapping_was_filled_is_not_seen() -> None:
    one = certificate(stated=stated(21_200_000, 17_000_000, 11_000_000))
    base = one.base

    def turned(mapping: Mapping[str, Any]) -> dict[str, Any]:
        return dict(reversed(list(mapping.items())))

    other = one._replace(
        base=base._replace(
            ineligible=turned(base.ineligible),
            advance=turned(base.advance),
            held_back=turned(base.held_back),
            reserves=turned(base.reserves),
        ),
        lines=tuple(line._replace(ineligible=turned(line.ineligible)) for line in one.lines),
        evidence=turned(one.evidence),
    )
    assert list(other.base.ineligible) != list(base.ineligible)
    assert forms(other) == forms(one)


def test_a_certificate_between_two_others_changes_nothing() -> None:
    one = forms(certificate())
    forms(certificate([lot("Øther-Ünïcode", 100)], borrower="Ćelebić"))
    assert forms(certificate()) == one


def test_no_form_names_a_time_of_making() -> None:
    data = pdf_form.render(certificate(), PUBLIC_KEY)
    assert set(re.findall(rb"D:[0-9]+", data)) == {b"D:20260101120101"}
    book = load_workbook(io.BytesIO(xlsx_form.render(certificate())))
    assert book.properties.created == book.properties.modified == datetime(2026, 1, 1, 12, 1, 1)  # noqa: DTZ001 - openpyxl's UTC


def test_two_thousand_lots_in_every_form() -> None:
    lines = [lot(f"lot-{number:05}", 10_000 + number, stock=number) for number in range(2_000)]
    one = certificate(lines, evidence={line.id: (f"wms-1/count/{line.id}",) for line in lines})
    assert_agrees(one)
    reader = PdfReader(io.BytesIO(pdf_form.render(one, PUBLIC_KEY)))
    texts = [page.extract_text() for page in reader.pages]
    assert len(texts) > 40
    for number, text in enumerate(texts, 1):
        assert f"page {number} of {len(texts)}" in text
        assert "Taken for" in text or number == 1
    words = " ".join(texts).split()
    assert [word for word in words if word.startswith("lot-")] == [line.id for line in lines]


# Signing.


def signed() -> tuple[bytes, bytes]:
    data = csv_form.render(certificate())
    return data, signing.sign(data, "it.csv", certificate(), KEY)


def test_a_signature_says_what_is_signed_and_by_whom() -> None:
    data, signature = signed()
    assert signing.verify(data, signature, PUBLIC_KEY.upper()) == (
        "it.csv is unchanged: the base of facility facility-1 as of 2026-01-01T12:00:00Z, known at "
        "2026-01-01T12:01:01.001Z, from entry 4711 of journal 9f86d081-journal, signed with the key " + PUBLIC_KEY + "."
    )
    assert "which only the signature file itself names" in signing.verify(data, signature, None)
    said = decode(signature)
    assert said["format"] == "pledgewatch-certificate-1"
    unsigned = {name: value for name, value in said.items() if name != "signature"}
    KEY.public_key().verify(bytes.fromhex(said["signature"]), encode(unsigned))


def test_a_flipped_bit_anywhere_in_the_signature_file_is_seen() -> None:
    data, signature = signed()
    for place in range(len(signature)):
        for bit in (1, 0x20, 0x80):
            wrong = bytearray(signature)
            wrong[place] ^= bit
            with pytest.raises(CertificateError):
                signing.verify(data, bytes(wrong), PUBLIC_KEY)
            with pytest.raises(CertificateError):
                signing.verify(data, bytes(wrong), None)


def test_a_flipped_bit_in_any_form_is_seen() -> None:
    one = certificate()
    for name, data in forms(one).items():
        signature = signing.sign(data, name, one, KEY)
        for place in range(0, len(data), max(1, len(data) // 50)):
            wrong = bytearray(data)
            wrong[place] ^= 1
            with pytest.raises(CertificateError, match=f"not the one that was signed as {name}"):
                signing.verify(bytes(wrong), signature, PUBLIC_KEY)


def test_another_key_is_another_signer() -> None:
    data, signature = signed()
    other = Ed25519PrivateKey.from_private_bytes(bytes([8]) * 32).public_key().public_bytes_raw().hex()
    with pytest.raises(CertificateError, match=f"is signed with the key {PUBLIC_KEY}, not with {other}"):
        signing.verify(data, signature, other)
    hostile = encode({**decode(signature), "file": "\u001b[2J"})
    with pytest.raises(CertificateError, match=r"signed as \\u\{1b\}\[2J"):
        signing.verify(data + b"x", hostile, PUBLIC_KEY)
    swapped = encode({**decode(signature), "public_key": other})
    with pytest.raises(CertificateError, match="the signature is not by the key"):
        signing.verify(data, swapped, other)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda said: b"", "is no JSON"),
        (lambda said: b"[" * 60_000, "is no JSON"),
        (lambda said: b" " * 70_000, "is larger than 65536 bytes"),
        (lambda said: b"[]", "does not say that its format is pledgewatch-certificate-1"),
        (lambda said: encode({**said, "format": "other"}), "does not say that its format is"),
        (lambda said: encode({**said, "more": 1}), "too many: more"),
        (lambda said: encode({name: said[name] for name in said if name != "file"}), "lacks these members .*: file"),
        (lambda said: encode({**said, "entry": True}), "of the wrong type"),
        (lambda said: encode({**said, "file": 1}), "of the wrong type"),
        (lambda said: encode({**said, "signature": said["signature"].upper()}), "128 lower-case hexadecimal digits"),
        (lambda said: encode(said) + b"\n", "is not in canonical JSON"),
        (lambda said: encode({**said, "entry": 4_712}), "what it covers was changed"),
        (lambda said: encode({**said, "public_key": "ff" * 32}), "the signature is not by the key"),
    ],
)
def test_a_signature_file_that_is_none_is_refused_with_a_sentence(spoil: Any, sentence: str) -> None:
    data, signature = signed()
    with pytest.raises(CertificateError, match=sentence):
        signing.verify(data, spoil(decode(signature)), None)


def test_six_files_are_written_and_again_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "out" / "certificates"
    paths = signing.write(certificate(), folder, KEY)
    name = "certificate-facility-1-20260101T120000Z-4711"
    assert [path.name for path in paths] == [
        f"{name}.{form}{end}" for form in ("csv", "xlsx", "pdf") for end in ("", ".signature.json")
    ]
    assert sorted(folder.iterdir()) == sorted(paths)
    before = [path.read_bytes() for path in paths]
    held = [path.open("rb") for path in paths]
    assert [path.read_bytes() for path in signing.write(certificate(), folder, KEY)] == before
    for path, file in zip(paths, held, strict=True):
        with file:
            assert os.fstat(file.fileno()).st_ino != path.stat().st_ino, "it took the place by rename"
    for path in paths[::2]:
        signature = path.with_name(path.name + ".signature.json").read_bytes()
        assert signing.verify(path.read_bytes(), signature, PUBLIC_KEY).startswith(f"{path.name} is unchanged")


def test_what_was_there_stays_where_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = signing.write(certificate(), tmp_path, KEY)
    before = [path.read_bytes() for path in paths]
    written = 0

    def full(_: int) -> None:
        nonlocal written
        written += 1
        if written == 6:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        signing.write(certificate(borrower="another"), tmp_path, KEY)
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    assert [path.read_bytes() for path in paths] == before


def test_facilities_never_share_a_file() -> None:
    names = [stem(certificate(facility=name)) for name in ("a/b", "a:b", "a-b", "../../etc", "", "x" * 300, "x" * 301)]
    assert len(set(names)) == len(names)
    assert all("/" not in name and len(name) < 130 and not name.startswith(".") for name in names)


# Keys.


def pem(key: Any, how: KeySerializationEncryption | None = None) -> bytes:
    return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how or NoEncryption()))


def test_a_key_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    path.write_bytes(pem(KEY))
    path.chmod(stat.S_IRUSR)
    assert signing.public_key_hex(signing.load_key(path)) == PUBLIC_KEY


@pytest.mark.parametrize(
    ("content", "mode", "sentence"),
    [
        (None, 0o600, "cannot be read: No such file"),
        (pem(KEY), 0o640, "other users may read the signing key; run chmod 600"),
        (b"nonsense", 0o600, "is no private key in PEM"),
        (pem(generate_private_key(SECP256R1())), 0o600, "is no Ed25519 key"),
        (pem(KEY, BestAvailableEncryption(b"word")), 0o600, "the key is encrypted"),
    ],
)
def test_a_key_that_cannot_be_used_is_said_to_be_so(
    tmp_path: Path, content: bytes | None, mode: int, sentence: str
) -> None:
    path = tmp_path / "signing.key"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    with pytest.raises(CertificateError, match=f"{path}: {sentence}"):
        signing.load_key(path)


def test_facts_name_the_file_of_the_borrower_only_where_there_is_one() -> None:
    assert "stated_in" not in dict(facts(certificate()))
    assert dict(facts(certificate(stated=stated(gross=1))))["stated_in"] == "borrower-2025-12.xlsx"
