"""Pages for people: A4, text that can be selected, the same bytes every time.

The layout is worked out in full before anything is drawn, so that every page knows how many there are. It is a list of
blocks of lines: a block stays together where a page can hold it, and one that no page can hold is parted between lines,
so nothing is ever drawn outside its column or its page. Words wrap, long ids are parted, and amounts that are too wide
are set smaller.

The fonts are Bitstream Vera, which come with reportlab and are embedded, so that no font of the machine has a say.
They hold the Latin letters of western Europe; a character that they lack is written out by its number (`\\u{4e0a}`).
Nothing is compressed, for what a compressor makes differs between its versions.
"""

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import as_file, files
from itertools import groupby
from typing import NamedTuple

from reportlab import rl_config
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from pledgewatch_cloud.decide.canonical import sha256
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.typeset.text import plain, spelled

# All lengths in points.
_WIDTH, _HEIGHT = 595.28, 841.89
LEFT, RIGHT, _TOP, _BOTTOM = 40.0, 555.0, 800.0, 56.0
_BODY = _TOP - _BOTTOM
_PAD = 4.0
REGULAR, BOLD = "pledgewatch-regular", "pledgewatch-bold"
_FONT_FILES = {REGULAR: "Vera.ttf", BOLD: "VeraBd.ttf"}
_AFTER = " -_/:;.,"  # a line may end after these


class Piece(NamedTuple):
    """Some text on a line; `x` is its left end, or its right end where `is_right`."""

    x: float
    text: str
    font: str
    size: float
    is_right: bool = False


class Squares(NamedTuple):
    """A picture of equal squares, black where a row holds True; `left` is its left end, `side` that of a square."""

    rows: tuple[tuple[bool, ...], ...]
    left: float
    side: float


class Line(NamedTuple):
    """What is drawn at one height. `has_rule`: a hairline above; `is_shaded`: a grey ground."""

    height: float
    pieces: tuple[Piece, ...] = ()
    has_rule: bool = False
    is_shaded: bool = False
    squares: Squares | None = None


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


def document(blocks: Iterable[Block], *, title: str, subject: str, foot: str, at_ms: int, keywords: str = "") -> bytes:
    """The PDF of some blocks, with `foot` at the foot of each page; its date of making is `at_ms`.

    What goes into the file's own information (`title`, `subject`, `keywords`) is shown as the fonts can.
    """
    _settle()
    pages = paginate(list(blocks))
    made = io.BytesIO()
    canvas = Canvas(made, pagesize=(_WIDTH, _HEIGHT), pageCompression=0, invariant=1, lang="en")
    canvas.setDateFormatter(lambda *_: _date(at_ms))
    canvas.setTitle(shown(title, REGULAR))
    canvas.setAuthor("pledgewatch")
    canvas.setSubject(shown(subject, REGULAR))
    if keywords:
        canvas.setKeywords(shown(keywords, REGULAR))
    for number, page in enumerate(pages, 1):
        _draw(canvas, page)
        canvas.setFont(REGULAR, 6)
        canvas.drawString(LEFT, 34, shown(foot, REGULAR))
        canvas.drawRightString(RIGHT, 34, f"page {number} of {len(pages)}")
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
    rl_config.canvas_basefontname = REGULAR


def _identified(document: bytes) -> bytes:
    """A document under an identity made of what it says: reportlab's own is also made of a time of the environment."""
    said, _, trailer = document.rpartition(b"/ID")
    return said + b"/ID" + re.sub(rb"<[0-9a-f]{32}>", f"<{sha256(said)[:32]}>".encode(), trailer)


def _date(at_ms: int) -> str:
    """A moment as PDF writes it, to the second."""
    return f"D:{re.sub('[^0-9]', '', iso(at_ms))[:14]}Z"


# What is said, in blocks.


def paragraph(text: str, font: str, size: float, *, is_shaded: bool = False) -> Block:
    """A paragraph over the whole width."""
    lines = wrap(text, font, size, RIGHT - LEFT - 2 * _PAD)
    left = LEFT + _PAD if is_shaded else LEFT
    return Block(tuple(Line(size * 1.4, (Piece(left, one, font, size),), is_shaded=is_shaded) for one in lines))


def under(heading: str, blocks: Iterable[Block], head: tuple[Line, ...] = ()) -> Iterator[Block]:
    """Blocks below a heading, which stays with the first of them; `head` goes between, and on every further page."""
    lines = (Line(8), *paragraph(heading, BOLD, 10).lines, Line(3), *head)
    for block in blocks:
        yield Block((*lines, *block.lines), () if lines else head)
        lines = ()


def table(heading: str, columns: Sequence[Column], size: float, rows: Iterable[Block]) -> Iterator[Block]:
    """Rows below a heading, with the titles of their columns over them on every page."""
    return under(heading, rows, row(columns, [one.title for one in columns], size, BOLD).lines)


def row(columns: Sequence[Column], texts: Sequence[str], size: float, font: str = REGULAR) -> Block:
    """One row of a table, as many lines high as its highest cell."""
    parts = [cell(column, text, font, size) for column, text in zip(columns, texts, strict=True)]
    return Block(tuple(beside(parts, size)))


def box(texts: Iterable[tuple[str, str]], size: float) -> Block:
    """Paragraphs on a grey ground, each with its font."""
    space = Line(_PAD, is_shaded=True)
    lines = [line for text, font in texts for line in paragraph(text, font, size, is_shaded=True).lines]
    return Block((space, *lines, space))


def beside(cells: Sequence[Sequence[Piece]], size: float) -> list[Line]:
    """Cells beside each other, from the same line on."""
    depth = max(map(len, cells))
    return [Line(size * 1.45, tuple(one[at] for one in cells if at < len(one))) for at in range(depth)]


def cell(column: Column, text: str, font: str, size: float) -> list[Piece]:
    """A text in a column, a piece for each of its lines; an amount has one line, set smaller where it is too wide."""
    width = column.right - column.left
    if column.is_amount:
        text_width = size * sum(glyphs(font)[one] for one in text)
        return [Piece(column.right, text, font, min(size, size * width / max(text_width, 1)), is_right=True)]
    return [Piece(column.left, one, font, size) for one in wrap(text, font, size, width)]


# Text in fonts.


def shown(text: str, font: str) -> str:
    """A text with what the font lacks written out."""
    known = glyphs(font)
    return "".join(one if one in known else spelled(one) for one in plain(text))


@cache
def glyphs(font: str) -> Mapping[str, float]:
    """The characters that a font has, with their widths in parts of its size."""
    _settle()
    registered = pdfmetrics.getFont(font)
    assert isinstance(registered, TTFont), "it is one of _FONT_FILES"
    return {chr(code): registered.stringWidth(chr(code), 1) for code in registered.face.charToGlyph if code >= 0x20}


def wrap(text: str, font: str, size: float, width: float) -> list[str]:
    """The text in lines of at most a width: parted at a space, else after a mark, else anywhere."""
    left, lines, widths = shown(text, font), [], glyphs(font)
    start = 0
    while start < len(left):
        used, end = 0.0, start
        while end < len(left) and used + widths[left[end]] * size <= width:
            used += widths[left[end]] * size
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


def paginate(blocks: Sequence[Block]) -> list[list[Line]]:
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
            canvas.rect(LEFT, top - line.height, RIGHT - LEFT, line.height, stroke=0, fill=1)
            canvas.setFillGray(0)
        if line.has_rule:
            canvas.setLineWidth(0.3)
            canvas.line(LEFT, top, RIGHT, top)
        for piece in line.pieces:
            canvas.setFont(piece.font, piece.size)
            base = top - line.height * 0.75
            (canvas.drawRightString if piece.is_right else canvas.drawString)(piece.x, base, piece.text)
        if line.squares:
            _draw_squares(canvas, line.squares, top)
        top -= line.height
    assert top >= _BOTTOM - 1, "a page is full"


def _draw_squares(canvas: Canvas, squares: Squares, top: float) -> None:
    """Runs of black squares, in units of a square, so that their places are whole numbers."""
    canvas.saveState()
    canvas.translate(squares.left, top)
    canvas.scale(squares.side, -squares.side)
    path = canvas.beginPath()
    for y, line in enumerate(squares.rows):
        x = 0
        for is_black, run in groupby(line):
            length = len(list(run))
            if is_black:
                path.rect(x, y, length, 1)
            x += length
    canvas.drawPath(path, stroke=0, fill=1)
    canvas.restoreState()
