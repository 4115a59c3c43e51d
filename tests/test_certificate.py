"""Certificates: one content in three forms, and what is said in each."""

import csv
import io
from decimal import Decimal
from typing import Any

import pytest
from certificates import (
    EVIDENCE,
    KEY,
    LINES,
    MARKS,
    PUBLIC_KEY,
    assert_agrees,
    certificate,
    csv_lines,
    forms,
    lot,
    pdf_text,
    rows,
    stated,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook
from pypdf import PdfReader

from pledgewatch_cloud.certificate import csv_form, pdf_form, signing, xlsx_form
from pledgewatch_cloud.certificate.model import Stated, stem, waterfall
from pledgewatch_cloud.decide.collateral.result import STEPS, LotLine
from pledgewatch_cloud.decide.money import Amount
from pledgewatch_cloud.table_text import guarded
from pledgewatch_cloud.typeset import pages

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
    shown = []
    for page in PdfReader(io.BytesIO(data)).pages:
        found: list[tuple[float, float, str]] = []

        def note(text: str, _: Any, at: Any, __: Any, ___: Any, to: list[tuple[float, float, str]] = found) -> None:
            if text.strip():
                to.append((at[4], at[5], text.strip()))

        page.extract_text(visitor_text=note)
        shown.append(found)
    return shown


def width_of(text: str, font: str, size: float) -> float:
    return sum(pages.glyphs(font)[character] for character in text) * size


def test_amounts_stand_below_each_other_at_their_last_digit() -> None:
    (page,) = drawn(pdf_form.render(certificate(), PUBLIC_KEY))
    ends = {
        text: x + width_of(text, pages.REGULAR, 7.5)
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
    found_on = drawn(pdf_form.render(one, PUBLIC_KEY))
    assert len(found_on) > 5
    assert all(39 <= x <= 556 and 33 <= y <= 800 for found in found_on for x, y, _ in found)
    laid = [line for page in pages.paginate(list(pdf_form._blocks(one, PUBLIC_KEY))) for line in page]
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
