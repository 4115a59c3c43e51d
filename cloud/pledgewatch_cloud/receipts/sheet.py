"""A credential as a PDF for people, with all of it in a square code.

The sheet is drawn from the signed credential alone, so it cannot say anything else, and it holds the credential twice:
in the code, for whoever has it on paper, and in the file's own information under *Keywords*, for whoever has the file.
It is the same bytes whenever it is drawn again; so whoever verifies the file draws it again and compares, and not a
letter of the page can be another than what was signed (see verify). How it is set is said in `typeset/pages`.

The code (QR) holds the credential itself, a compact JWS, where it has room for it: QR_MOST_BYTES, which is goods on
some five lines. For a longer one it holds the address where the credential can be had, and behind `#sha256=` the
SHA-256 of the JWS, so that what is fetched can be told from anything else.
"""

import re
from collections.abc import Iterator

import segno

from pledgewatch_cloud.decide import jose
from pledgewatch_cloud.decide.canonical import sha256
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.receipts.credential import CredentialError, Extract, ExtractGoods, read
from pledgewatch_cloud.typeset.pages import (
    BOLD,
    LEFT,
    REGULAR,
    RIGHT,
    Block,
    Column,
    Line,
    Squares,
    box,
    document,
    paragraph,
    row,
    table,
)

QR_MOST_BYTES = 2_953
"""What the largest code (version 40) holds at the lowest correction, L (ISO/IEC 18004)."""
_SQUARE = 2.6  # points: 0.9 mm, which a telephone reads at arm's length; the largest code is then 17 cm wide
_QUIET = 4  # squares that stay white around a code
_HELD = re.compile(rb"/Keywords \(([A-Za-z0-9_.-]+)\)")

_NAMES = (Column("", LEFT, 140), Column("", 144, RIGHT))
_GOODS = (
    Column("SKU", LEFT, 140),
    Column("Quantity", 144, 204, is_amount=True),
    Column("Released", 208, 262, is_amount=True),
    Column("Surrendered", 266, 324, is_amount=True),
    Column("Unit", 330, 366),
    Column("Bin", 370, 426),
    Column("Container, seal, device", 430, RIGHT),
)
_WHAT = (
    "This sheet is an extract from the register of receipts, for reading. It is not the receipt: who holds it has no "
    "right to the goods by that. Holder and pledgee are those whom the register names, and they may have changed since."
)
_HOW = (
    "To verify: `pledgewatch-cloud receipts verify FILE` with this file or with what the code holds, the issuer's key "
    "and the newest status list. Take the issuer's key from the issuer and not from this sheet."
)


def pdf(token: str) -> bytes:
    """The sheet of a credential, a compact JWS. It must have been made or verified here: nothing is checked.

    Raises JoseError and CredentialError where it is no credential of a receipt.
    """
    extract, _ = read(jose.said(jose.read(token)))
    return document(
        _blocks(extract, token),
        title=f"Warehouse receipt {extract.id}",
        subject=f"{extract.warehouse}, as of {iso(extract.at_ms)}",
        foot=f"Newest act {extract.head}",
        at_ms=extract.at_ms,
        keywords=token,
    )


def token_in(data: bytes) -> str:
    """The credential that a sheet holds. Raises CredentialError where there is not exactly one."""
    found = _HELD.findall(data)
    if len(found) != 1:
        raise CredentialError("the PDF holds no credential, so it is no sheet of a receipt")
    return str(found[0], "ascii")


def coded(token: str, credential_id: str) -> str:
    """What the code holds: the credential, or where it can be had and its digest."""
    return token if len(token) <= QR_MOST_BYTES else f"{credential_id}#sha256={sha256(token.encode())}"


def quantity(milli: int) -> str:
    """Thousandths as people write them: 12, 12.5."""
    whole, rest = divmod(milli, 1_000)
    return f"{whole:,}" + (f".{rest:03}".rstrip("0") if rest else "")


def _blocks(extract: Extract, token: str) -> Iterator[Block]:
    yield paragraph("Warehouse receipt: extract", BOLD, 16)
    yield Block((Line(6),))
    for name, value in _facts(extract):
        yield row(_NAMES, [name, value], 8)
    yield from table("Goods", _GOODS, 7.5, (_goods(one) for one in extract.goods))
    yield Block((Line(10),))
    yield box([("What this is", BOLD), (_WHAT, REGULAR), (_HOW, REGULAR)], 7.5)
    yield _code(extract, token)


def _facts(extract: Extract) -> Iterator[tuple[str, str]]:
    yield "Receipt", extract.id
    yield "Warehouse", extract.warehouse
    yield "Depositor", extract.depositor
    yield "Holder", extract.holder
    yield "Pledged to", extract.pledgee or "nobody"
    yield "State", extract.state.replace("_", " ")
    yield "As of", iso(extract.at_ms)
    yield "Goods received", f"from {iso(extract.received_ms)} until {iso(extract.received_until_ms)}"
    yield "Issued", iso(extract.issued_ms)
    yield "Ends", iso(extract.until_ms) if extract.until_ms else "no end was set"
    if extract.parent:
        yield "Split from", extract.parent
    if extract.replaces:
        yield "Replaces", extract.replaces
    if extract.overrides:
        yield "Comes close", f"to another receipt; asked and passed over: {', '.join(extract.overrides)}"
    yield "Newest act", extract.head
    yield "Credential", extract.credential_id
    yield "Issuer", extract.issuer


def _goods(goods: ExtractGoods) -> Block:
    about = ", ".join(one for one in (goods.container, goods.seal, goods.device) if one)
    amounts = [quantity(one) for one in (goods.quantity_milli, goods.released_milli, goods.ordered_milli)]
    block = row(_GOODS, [goods.sku, *amounts, goods.unit, goods.bin, about], 7.5)
    return Block((block.lines[0]._replace(has_rule=True), *block.lines[1:]))


def _code(extract: Extract, token: str) -> Block:
    """The code with what it holds said above it, on one page."""
    held = coded(token, extract.credential_id)
    rows = tuple(
        tuple(bool(one) for one in line) for line in segno.make(held, error="l", mode="byte", micro=False).matrix
    )
    side = (len(rows) + 2 * _QUIET) * _SQUARE
    what = (
        f"The code holds the signed credential of receipt {extract.id}." if held == token else f"The code holds {held}"
    )
    quiet = _QUIET * _SQUARE
    return Block(
        (
            Line(10),
            *paragraph(what, REGULAR, 7.5).lines,
            Line(quiet),
            Line(side - quiet, squares=Squares(rows, LEFT + quiet, _SQUARE)),
        )
    )
