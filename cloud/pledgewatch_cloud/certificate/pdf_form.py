"""A certificate as a PDF for people, the same bytes every time; the date of making is the moment up to which the
journal was read. How it is set and drawn, and in which fonts, is said in `typeset/pages`.
"""

from collections.abc import Iterator

from pledgewatch_cloud.certificate.model import (
    SIGNATURE_SUFFIX,
    Certificate,
    facts,
    in_order,
    stem,
    waterfall,
)
from pledgewatch_cloud.decide.collateral.result import LotLine
from pledgewatch_cloud.decide.money import Amount
from pledgewatch_cloud.typeset.pages import (
    BOLD,
    LEFT,
    REGULAR,
    RIGHT,
    Block,
    Column,
    Line,
    Piece,
    beside,
    box,
    cell,
    document,
    paragraph,
    row,
    shown,
    table,
    under,
    wrap,
)

_FACTS = {
    "lender": "Lender",
    "borrower": "Borrower",
    "facility": "Facility",
    "currency": "Currency",
    "as_of": "As of",
    "known_at": "Known at",
    "journal": "Journal",
    "entry": "Entry",
    "state_digest": "State digest",
    "lots": "Lots",
    "lots_unvalued": "Lots without value",
    "stated_in": "Borrower's figures",
}


def render(certificate: Certificate, public_key: str) -> bytes:
    """The file; `public_key` is the one that it will be signed with, 64 hexadecimal digits."""
    return document(
        _blocks(certificate, public_key),
        title="Borrowing base certificate",
        subject=f"{shown(certificate.facility, REGULAR)} as of {dict(facts(certificate))['as_of']}",
        foot=f"Entry {certificate.entry}, state digest {shown(certificate.state_digest, REGULAR)[:64]}",
        at_ms=certificate.known_at_ms,
    )


_OURS = (
    Column("", LEFT, 320),
    Column("Amount", 324, 438, is_amount=True),
    Column("Running total", 442, RIGHT, is_amount=True),
)
_OWN = (
    Column("", LEFT, 234),
    Column("Amount", 238, 314, is_amount=True),
    Column("Running total", 318, 394, is_amount=True),
    Column("Borrower's own", 398, 474, is_amount=True),
    Column("Difference", 478, RIGHT, is_amount=True),
)
_MARKS = (Column("Name", LEFT, 330), Column("Value", 334, 450), Column("Date", 454, RIGHT))
_LOTS = (
    Column("Lot", LEFT, 120),
    Column("Class", 124, 166),
    Column("Value", 170, 238, is_amount=True),
    Column("Taken for", 244, 330),
    Column("Taken", 334, 402, is_amount=True),
    Column("Eligible", 406, 478, is_amount=True),
    Column("Advance", 482, RIGHT, is_amount=True),
)


_HOW = (
    "To verify: the SHA-256 of this file is what `sha256` there says. The signature in `signature` covers the other "
    "members as JSON in UTF-8 with sorted names and no spaces. The key is the one that the signer has given you by "
    "another way; that it is named here proves nothing about who signed."
)


def _blocks(certificate: Certificate, public_key: str) -> Iterator[Block]:
    yield paragraph("Borrowing base certificate", BOLD, 16)
    yield Block((Line(6),))
    for name, value in facts(certificate):
        if name in _FACTS:
            yield row([Column("", LEFT, 140), Column("", 144, RIGHT)], [_FACTS[name], value], 8)
    yield from _waterfall(certificate)
    yield from _notes(certificate)
    yield from _marks(certificate)
    yield Block((Line(10),))
    yield _box(certificate, public_key)
    yield from table("Lots", _LOTS, 6.5, (_lot(certificate, line) for line in certificate.lines))


def _waterfall(certificate: Certificate) -> Iterator[Block]:
    columns = _OWN if certificate.stated else _OURS
    rows = []
    for one in waterfall(certificate):
        cells = [one.label, *map(_amount, (one.amount, one.running, one.stated, one.difference))]
        block = row(columns, cells[: len(columns)], 7.5, BOLD if one.is_total else REGULAR)
        rows.append(Block((block.lines[0]._replace(has_rule=one.is_total), *block.lines[1:])))
    return table(f"Waterfall, in {certificate.currency}", columns, 7.5, rows)


def _notes(certificate: Certificate) -> Iterator[Block]:
    notes = [row.note for row in waterfall(certificate) if row.note]
    return under("The borrower's own figures", (paragraph(one, REGULAR, 7.5) for one in notes))


def _marks(certificate: Certificate) -> Iterator[Block]:
    return table("Prices and rates", _MARKS, 7, (row(_MARKS, mark, 7) for mark in certificate.marks))


def _amount(amount: Amount | None) -> str:
    return amount.text(grouped=True) if amount else ""


def _box(certificate: Certificate, public_key: str) -> Block:
    name = f"{stem(certificate)}.pdf"
    texts = [
        ("Signature", BOLD),
        (f"Signed with the Ed25519 key {public_key}.", REGULAR),
        (f"The signature is in the file {name}{SIGNATURE_SUFFIX}, which goes with this file, {name}.", REGULAR),
        (_HOW, REGULAR),
    ]
    return box(texts, 7.5)


def _lot(certificate: Certificate, line: LotLine) -> Block:
    """A lot: its figures, beside them a row for each step that took something, and its evidence below."""

    def money(minor: int) -> str:
        return Amount(minor, certificate.exponent).text(grouped=True)

    names: list[Piece] = []
    amounts: list[Piece] = []
    for name in filter(line.ineligible.get, in_order(line.ineligible)):
        parts = cell(_LOTS[3], name, REGULAR, 6.5)
        names += parts
        amounts += cell(_LOTS[4], money(line.ineligible[name]), REGULAR, 6.5)
        amounts += [Piece(_LOTS[4].right, "", REGULAR, 6.5)] * (len(parts) - 1)
    own = [line.id, line.in_class, money(line.value_minor), money(line.eligible_minor), money(line.advance_minor)]
    cells = [cell(column, text, REGULAR, 6.5) for column, text in zip(_LOTS[:3] + _LOTS[5:], own, strict=True)]
    first, *others = beside([*cells, names, amounts], 6.5)
    about = ["no value: for want of a quote, a rate or a bound"] if line.is_unvalued else []
    if evidence := certificate.evidence.get(line.id):
        about.append(f"evidence: {'; '.join(evidence)}")
    for text in about:
        others += [Line(8, (Piece(52, part, REGULAR, 6),)) for part in wrap(text, REGULAR, 6, RIGHT - 52)]
    return Block((first._replace(has_rule=True), *others))
