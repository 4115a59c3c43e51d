"""A certificate as a PDF for people: A4, text that can be selected, the same bytes every time.

The layout is worked out in full before anything is drawn, so that every page knows how many there are. It is a list of
blocks of lines: a block stays together where a page can hold it, and one that no page can hold is parted between lines,
so nothing is ever drawn outside its column or its page. Words wrap, long ids are parted, and amounts that are too wide
are set smaller.

The fonts are Bitstream Vera, which come with reportlab and are embedded, so that no font of the machine has a say.
They hold the Latin letters of western Europe; a character that they lack is written out by its number (`\\u{4e0a}`).
Nothing is compressed, for what a compressor makes differs between its versions. The date of making is the moment up
to which the journal was read.
"""

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import as_file, files
from typing import NamedTuple

from reportlab import rl_config
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from pledgewatch_cloud.certificate.model import (
    SIGNATURE_SUFFIX,
    Certificate,
    facts,
    in_order,
    plain,
    spelled,
    stem,
    waterfall,
)
from pledgewatch_cloud.decide.canonical import sha256
from pledgewatch_cloud.decide.collateral.result import LotLine
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.money import Amount

# All lengths in points.
_WIDTH, _HEIGHT = 595.28, 841.89
_LEFT, _RIGHT, _TOP, _BOTTOM = 40.0, 555.0, 800.0, 56.0
_BODY = _TOP - _BOTTOM
_PAD = 4.0
_REGULAR, _BOLD = "pledgewatch-regular", "pledgewatch-bold"
_FONT_FILES = {_REGULAR: "Vera.ttf", _BOLD: "VeraBd.ttf"}
_AFTER = " -_/:;.,"  # a line may end after these

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


class Piece(NamedTuple):
    """Some text on a line; `x` is its left end, or its right end where `is_right`."""

    x: float
    text: str
    font: str
    size: float
    is_right: bool = False


class Line(NamedTuple):
    """What is drawn at one height. `has_rule`: a hairline above; `is_shaded`: a grey ground."""

    height: float
    pieces: tuple[Piece, ...] = ()
    has_rule: bool = False
    is_shaded: bool = False


class Block(NamedTuple):
    """Lines that stay together if they can; `head` is said again at the top of a page that they begin or go on."""

    lines: tuple[Line, ...]
    head: tuple[Line, ...] = ()


class Column(NamedTuple):
    """A column of a table, from `left` to `right`."""

    title: str
    left: float
    right: float
    is_amount: bool = False


def render(certificate: Certificate, public_key: str) -> bytes:
    """The file; `public_key` is the one that it will be signed with, 64 hexadecimal digits."""
    _settle()
    pages = _paginate(list(_blocks(certificate, public_key)))
    made = io.BytesIO()
    canvas = Canvas(made, pagesize=(_WIDTH, _HEIGHT), pageCompression=0, invariant=1, lang="en")
    canvas.setDateFormatter(lambda *_: _date(certificate.known_at_ms))
    canvas.setTitle("Borrowing base certificate")
    canvas.setAuthor("pledgewatch")
    canvas.setSubject(f"{_shown(certificate.facility, _REGULAR)} as of {dict(facts(certificate))['as_of']}")
    foot = f"Entry {certificate.entry}, state digest {_shown(certificate.state_digest, _REGULAR)[:64]}"
    for number, page in enumerate(pages, 1):
        _draw(canvas, page)
        canvas.setFont(_REGULAR, 6)
        canvas.drawString(_LEFT, 34, foot)
        canvas.drawRightString(_RIGHT, 34, f"page {number} of {len(pages)}")
        canvas.showPage()
    canvas.save()
    return _identified(made.getvalue())


def _settle() -> None:
    """Fonts, and those of reportlab's settings that could reach our bytes from the environment of the process."""
    for name, file in _FONT_FILES.items():
        if name not in pdfmetrics.getRegisteredFontNames():
            with as_file(files("reportlab") / "fonts" / file) as path:
                pdfmetrics.registerFont(TTFont(name, str(path), asciiReadable=1))
    rl_config.invariant = 1
    rl_config.pdfMultiLine = 0
    rl_config.canvas_baseColor = None
    rl_config.canvas_basefontname = _REGULAR


def _identified(document: bytes) -> bytes:
    """A document under an identity made of what it says: reportlab's own is also made of a time of the environment."""
    said, _, trailer = document.rpartition(b"/ID")
    return said + b"/ID" + re.sub(rb"<[0-9a-f]{32}>", f"<{sha256(said)[:32]}>".encode(), trailer)


def _date(at_ms: int) -> str:
    """A moment as PDF writes it, to the second."""
    return f"D:{re.sub('[^0-9]', '', iso(at_ms))[:14]}Z"


_OURS = (
    Column("", _LEFT, 320),
    Column("Amount", 324, 438, is_amount=True),
    Column("Running total", 442, _RIGHT, is_amount=True),
)
_OWN = (
    Column("", _LEFT, 234),
    Column("Amount", 238, 314, is_amount=True),
    Column("Running total", 318, 394, is_amount=True),
    Column("Borrower's own", 398, 474, is_amount=True),
    Column("Difference", 478, _RIGHT, is_amount=True),
)
_MARKS = (Column("Name", _LEFT, 330), Column("Value", 334, 450), Column("Date", 454, _RIGHT))
_LOTS = (
    Column("Lot", _LEFT, 120),
    Column("Class", 124, 166),
    Column("Value", 170, 238, is_amount=True),
    Column("Taken for", 244, 330),
    Column("Taken", 334, 402, is_amount=True),
    Column("Eligible", 406, 478, is_amount=True),
    Column("Advance", 482, _RIGHT, is_amount=True),
)


_HOW = (
    "To verify: the SHA-256 of this file is what `sha256` there says. The signature in `signature` covers the other "
    "members as JSON in UTF-8 with sorted names and no spaces. The key is the one that the signer has given you by "
    "another way; that it is named here proves nothing about who signed."
)

# What is said, in blocks.


def _blocks(certificate: Certificate, public_key: str) -> Iterator[Block]:
    yield _text("Borrowing base certificate", _BOLD, 16)
    yield Block((Line(6),))
    for name, value in facts(certificate):
        if name in _FACTS:
            yield _cells([Column("", _LEFT, 140), Column("", 144, _RIGHT)], [_FACTS[name], value], 8)
    yield from _waterfall(certificate)
    yield from _notes(certificate)
    yield from _marks(certificate)
    yield Block((Line(10),))
    yield _box(certificate, public_key)
    yield from _table("Lots", _LOTS, 6.5, (_lot(certificate, line) for line in certificate.lines))


def _text(text: str, font: str, size: float, *, is_shaded: bool = False) -> Block:
    """A paragraph over the whole width."""
    lines = _wrap(text, font, size, _RIGHT - _LEFT - 2 * _PAD)
    left = _LEFT + _PAD if is_shaded else _LEFT
    return Block(tuple(Line(size * 1.4, (Piece(left, one, font, size),), is_shaded=is_shaded) for one in lines))


def _under(heading: str, blocks: Iterable[Block], head: tuple[Line, ...] = ()) -> Iterator[Block]:
    """Blocks below a heading, which stays with the first of them; `head` goes between, and on every further page."""
    lines = (Line(8), *_text(heading, _BOLD, 10).lines, Line(3), *head)
    for block in blocks:
        yield Block((*lines, *block.lines), () if lines else head)
        lines = ()


def _table(heading: str, columns: Sequence[Column], size: float, rows: Iterable[Block]) -> Iterator[Block]:
    return _under(heading, rows, _cells(columns, [one.title for one in columns], size, _BOLD).lines)


def _waterfall(certificate: Certificate) -> Iterator[Block]:
    columns = _OWN if certificate.stated else _OURS
    rows = []
    for row in waterfall(certificate):
        cells = [row.label, *map(_amount, (row.amount, row.running, row.stated, row.difference))]
        block = _cells(columns, cells[: len(columns)], 7.5, _BOLD if row.is_total else _REGULAR)
        rows.append(Block((block.lines[0]._replace(has_rule=row.is_total), *block.lines[1:])))
    return _table(f"Waterfall, in {certificate.currency}", columns, 7.5, rows)


def _notes(certificate: Certificate) -> Iterator[Block]:
    notes = [row.note for row in waterfall(certificate) if row.note]
    return _under("The borrower's own figures", (_text(one, _REGULAR, 7.5) for one in notes))


def _marks(certificate: Certificate) -> Iterator[Block]:
    return _table("Prices and rates", _MARKS, 7, (_cells(_MARKS, mark, 7) for mark in certificate.marks))


def _amount(amount: Amount | None) -> str:
    return amount.text(grouped=True) if amount else ""


def _box(certificate: Certificate, public_key: str) -> Block:
    name = f"{stem(certificate)}.pdf"
    texts = [
        ("Signature", _BOLD),
        (f"Signed with the Ed25519 key {public_key}.", _REGULAR),
        (f"The signature is in the file {name}{SIGNATURE_SUFFIX}, which goes with this file, {name}.", _REGULAR),
        (_HOW, _REGULAR),
    ]
    space = Line(_PAD, is_shaded=True)
    lines = [line for text, font in texts for line in _text(text, font, 7.5, is_shaded=True).lines]
    return Block((space, *lines, space))


def _lot(certificate: Certificate, line: LotLine) -> Block:
    """A lot: its figures, beside them a row for each step that took something, and its evidence below."""

    def money(minor: int) -> str:
        return Amount(minor, certificate.exponent).text(grouped=True)

    names: list[Piece] = []
    amounts: list[Piece] = []
    for name in filter(line.ineligible.get, in_order(line.ineligible)):
        parts = _cell(_LOTS[3], name, _REGULAR, 6.5)
        names += parts
        amounts += _cell(_LOTS[4], money(line.ineligible[name]), _REGULAR, 6.5)
        amounts += [Piece(_LOTS[4].right, "", _REGULAR, 6.5)] * (len(parts) - 1)
    own = [line.id, line.in_class, money(line.value_minor), money(line.eligible_minor), money(line.advance_minor)]
    cells = [_cell(column, text, _REGULAR, 6.5) for column, text in zip(_LOTS[:3] + _LOTS[5:], own, strict=True)]
    first, *others = _beside([*cells, names, amounts], 6.5)
    about = ["no value: for want of a quote, a rate or a bound"] if line.is_unvalued else []
    if evidence := certificate.evidence.get(line.id):
        about.append(f"evidence: {'; '.join(evidence)}")
    for text in about:
        others += [Line(8, (Piece(52, part, _REGULAR, 6),)) for part in _wrap(text, _REGULAR, 6, _RIGHT - 52)]
    return Block((first._replace(has_rule=True), *others))


def _cells(columns: Sequence[Column], texts: Sequence[str], size: float, font: str = _REGULAR) -> Block:
    """One row of a table, as many lines high as its highest cell."""
    cells = [_cell(column, text, font, size) for column, text in zip(columns, texts, strict=True)]
    return Block(tuple(_beside(cells, size)))


def _beside(cells: Sequence[Sequence[Piece]], size: float) -> list[Line]:
    """Cells beside each other, from the same line on."""
    depth = max(map(len, cells))
    return [Line(size * 1.45, tuple(cell[row] for cell in cells if row < len(cell))) for row in range(depth)]


def _cell(column: Column, text: str, font: str, size: float) -> list[Piece]:
    width = column.right - column.left
    if column.is_amount:
        text_width = size * sum(_glyphs(font)[one] for one in text)
        return [Piece(column.right, text, font, min(size, size * width / max(text_width, 1)), is_right=True)]
    return [Piece(column.left, one, font, size) for one in _wrap(text, font, size, width)]


# Text in fonts.


def _shown(text: str, font: str) -> str:
    """A text with what the font lacks written out."""
    known = _glyphs(font)
    return "".join(one if one in known else spelled(one) for one in plain(text))


@cache
def _glyphs(font: str) -> Mapping[str, float]:
    """The characters that a font has, with their widths in parts of its size."""
    registered = pdfmetrics.getFont(font)
    assert isinstance(registered, TTFont), "it is one of _FONT_FILES"
    return {chr(code): registered.stringWidth(chr(code), 1) for code in registered.face.charToGlyph if code >= 0x20}


def _wrap(text: str, font: str, size: float, width: float) -> list[str]:
    """The text in lines of at most a width: parted at a space, else after a mark, else anywhere."""
    left, lines, glyphs = _shown(text, font), [], _glyphs(font)
    start = 0
    while start < len(left):
        used, end = 0.0, start
        while end < len(left) and used + glyphs[left[end]] * size <= width:
            used += glyphs[left[end]] * size
            end += 1
        end = max(end, start + 1)
        if end < len(left) and left[end] != " ":
            marks = [place for place in range(start, end) if left[place] in _AFTER]
            spaces = [place for place in marks if left[place] == " "]
            end = (spaces or marks or [end - 1])[-1] + 1
        lines.append(left[start:end].strip())
        start = end
    return lines or [""]


# Pages.


def _paginate(blocks: Sequence[Block]) -> list[list[Line]]:
    """The lines of each page."""
    pages: list[list[Line]] = [[]]
    left = _BODY
    for block in blocks:
        head, need = sum(line.height for line in block.head), sum(line.height for line in block.lines)
        if need > left and head + need <= _BODY:
            pages.append(list(block.head))
            left = _BODY - head
        for line in block.lines:
            if line.height > left:
                pages.append(list(block.head))
                left = _BODY - head
            pages[-1].append(line)
            left -= line.height
    return pages


def _draw(canvas: Canvas, page: Sequence[Line]) -> None:
    top = _TOP
    for line in page:
        if line.is_shaded:
            canvas.setFillGray(0.92)
            canvas.rect(_LEFT, top - line.height, _RIGHT - _LEFT, line.height, stroke=0, fill=1)
            canvas.setFillGray(0)
        if line.has_rule:
            canvas.setLineWidth(0.3)
            canvas.line(_LEFT, top, _RIGHT, top)
        for piece in line.pieces:
            canvas.setFont(piece.font, piece.size)
            base = top - line.height * 0.75
            (canvas.drawRightString if piece.is_right else canvas.drawString)(piece.x, base, piece.text)
        top -= line.height
    assert top >= _BOTTOM - 1, "a page is full"
