"""Counts: what somebody has counted in a warehouse with their own eyes, signed, with photographs as evidence.

    {"count": "<case, or empty>", "warehouse": "la-1", "by": "surveyor", "at": "2026-03-01T09:30:00Z",
     "rows": [{"owner": "sofa-works", "sku": "SOFA-3", "bin": "A-01", "unit": "EA", "quantity_milli": 40000}],
     "photos": ["<SHA-256 of the file>"], "note": "two cartons are wet"}

It is the payload of a JWS (see jose). Of the photographs the hashes are here, so that nobody can put others in
their place; the files stay with whoever took them. A count says how much there is of a key in a bin, also that there is
nothing; what has no row was not counted.

A count closes cases and gives goods back their worth, so who may count is said in the book, warehouse by warehouse.
It is held against the goods that are known: a slip in a unit or a SKU would count something else, and close nothing.
"""

from collections.abc import Iterable, Mapping
from itertools import takewhile
from typing import Any, NamedTuple

from pledgewatch_cloud.decide import canonical, jose
from pledgewatch_cloud.decide.jose import JoseError, Signed
from pledgewatch_cloud.decide.moments import ID, ID_IS, MomentError, moment_ms, short
from pledgewatch_cloud.decide.receipts.claiming import KeyRing
from pledgewatch_cloud.decide.receipts.life import SKEW_MS
from pledgewatch_cloud.decide.receipts.receipt_book import ReceiptBook
from pledgewatch_cloud.decide.stock.rows import QUANTITY_MAX_MILLI, RowError, StockKey, word
from pledgewatch_cloud.decide.stock.stock_book import StockBook
from pledgewatch_cloud.decide.warehouse.cases import Case
from pledgewatch_cloud.decide.warehouse.terms import Warehouse

ROWS_MAX = 1_000
PHOTOS_MAX = 200
NOTE_MAX = 1_000
OLDEST_MS = 31 * 86_400_000
"""A count that was made longer before it is handed in says too little of what is there now."""
_NEEDED = frozenset({"count", "warehouse", "by", "at", "rows", "photos"})
_ROW = frozenset({"owner", "sku", "bin", "unit", "quantity_milli"})
_DIGEST_DIGITS = 64
_NEAREST = 3
_SIGN = "sign the count again as docs/WAREHOUSES.md says"


class CountError(ValueError):
    """A count that is not taken: why, and what can be done."""

    def __init__(self, why: str, cure: str) -> None:
        super().__init__(f"{why}; {cure}")
        self.why = why
        self.cure = cure


class Count(NamedTuple):
    """A count as it was read; whether its signature fits is asked by `check`.

    `case` is the case whose task it answers, empty where nobody asked for it. `rows` are in order, each key once, in
    thousandths of the unit. `digest` is the SHA-256 of the whole text, hexadecimal.
    """

    case: str
    warehouse: str
    by: str
    at_ms: int
    rows: tuple[tuple[StockKey, int], ...]
    photos: tuple[str, ...]
    note: str
    digest: str
    kid: str
    signed: Signed


def read(text: str) -> Count:
    """A count from its text. Raises CountError."""
    try:
        signed = jose.read(text)
        said = jose.said(signed)
    except JoseError as error:
        raise CountError(f"count: {error}", _SIGN) from None
    kid = signed.header.get("kid", "")
    if not kid:
        raise CountError("count: the header names no key", "put into `kid` the name that the key has in the book")
    _members("count", said, _NEEDED, frozenset({"note"}))
    warehouse = _identity("warehouse", said["warehouse"])
    return Count(
        _identity("count", said["count"]) if said["count"] != "" else "",
        warehouse,
        _identity("by", said["by"]),
        _moment("at", said["at"]),
        _rows(warehouse, said["rows"]),
        _photos(said["photos"]),
        _note(said.get("note", "")),
        canonical.sha256(text.encode()),
        kid,
        signed,
    )


def check(count: Count, keys: KeyRing, warehouses: Mapping[str, Warehouse], heard_ms: int) -> None:
    """Whether a count may be taken that was handed in at `heard_ms`. Raises CountError."""
    warehouse = warehouses.get(count.warehouse)
    if warehouse is None:
        raise CountError(f"there is no {count.warehouse} among warehouses", "name one that the book has")
    if count.by not in warehouse.inspectors:
        named = ", ".join(warehouse.inspectors) or "nobody"
        raise CountError(
            f"{count.by} may not count in {count.warehouse}: its inspectors are {named}",
            "have one of them count, or have the book name the party",
        )
    key = keys(count.by).get(count.kid)
    if key is None:
        raise CountError(
            f"{count.by} has no key called {count.kid} in the book",
            "sign with a key that the book has, or have it added",
        )
    if not jose.verifies(key, count.signed):
        raise CountError(
            f"the signature is not by the key {count.kid} of {count.by}, or what it covers was changed",
            "hand in the text exactly as it was signed, or sign it again",
        )
    if count.at_ms > heard_ms + SKEW_MS:
        raise CountError(
            "at: the count lies ahead of now", "set the signer's clock, and say in `at` when the goods were counted"
        )
    if count.at_ms < heard_ms - OLDEST_MS:
        raise CountError("at: the count is more than 31 days old", "count again")


def check_known(count: Count, stock: StockBook, receipts: ReceiptBook, cases: Mapping[str, Case]) -> None:
    """Whether a count is of goods that the stock book or a live receipt has in its warehouse, in whichever bin, and
    answers a case of it, where it names one. Raises CountError."""
    case = cases.get(count.case)
    if count.case and (case is None or case.warehouse != count.warehouse):
        where = f"is in {case.warehouse}" if case else "is none that is known"
        raise CountError(
            f"count: {count.case} {where}", f'name a case of {count.warehouse}, or "" where the count answers none'
        )
    for key, _ in count.rows:
        pool = key.warehouse, key.owner, key.sku, key.unit
        if not stock.keys_of(*pool) and not receipts.claiming(*pool):
            raise CountError(
                f"rows: {key.warehouse} has no {key.sku} of {key.owner} in {key.unit}",
                _nearest(key, [*stock.known_keys(), *_claimed(receipts)]),
            )


def _claimed(receipts: ReceiptBook) -> Iterable[StockKey]:
    return (key for one in receipts.receipts() if one.is_live for key in one.totals_milli)


def _nearest(key: StockKey, known: Iterable[StockKey]) -> str:
    """What is known that is nearest to a key that is not: its units, else SKUs that begin alike, else owners."""
    there = [one for one in known if one.warehouse == key.warehouse]
    own = [one for one in there if one.owner == key.owner]
    units = sorted({one.unit for one in own if one.sku == key.sku})
    if units:
        return f"{key.sku} is counted in {', '.join(units)}: count it in that unit"
    if own:
        wanted = key.sku.casefold()
        skus = sorted({one.sku for one in own}, key=lambda sku: (-_alike(sku.casefold(), wanted), sku))
        return f"write the SKU as the stock system does; the nearest of {key.owner} are {', '.join(skus[:_NEAREST])}"
    owners = sorted({one.owner for one in there})[:_NEAREST]
    named = f"goods there are of {', '.join(owners)}" if owners else "no goods are known there yet"
    return f"name the owner as the book does; {named}"


def _alike(one: str, other: str) -> int:
    """With how many equal signs two texts begin."""
    return sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(one, other, strict=False)))


def _members(where: str, value: Any, needed: frozenset[str], allowed: frozenset[str] = frozenset()) -> None:
    listed = ", ".join(sorted(needed)) + (f", and may say {', '.join(sorted(allowed))}" if allowed else "")
    if not isinstance(value, dict):
        raise CountError(f"{where}: {short(value)} is no object", f"say {listed}")
    if missing := sorted(needed - value.keys()):
        raise CountError(f"{where}: {', '.join(missing)} is missing", f"say {listed}")
    if unknown := sorted(value.keys() - needed - allowed):
        raise CountError(f"{where}: {', '.join(map(short, unknown))}: no such member", f"say {listed}")


def _identity(where: str, value: Any) -> str:
    if not isinstance(value, str) or not ID.fullmatch(value):
        raise CountError(f"{where}: {short(value)} is no id", f"write it as the book does: {ID_IS}")
    return value


def _moment(where: str, value: Any) -> int:
    try:
        return moment_ms(where, value)
    except MomentError as error:
        raise CountError(str(error), "write the time with its offset, to the millisecond at most") from None


def _rows(warehouse: str, value: Any) -> tuple[tuple[StockKey, int], ...]:
    if not isinstance(value, list) or not 0 < len(value) <= ROWS_MAX:
        raise CountError(
            f"rows: {short(value)} is no list of 1 to {ROWS_MAX} rows", "give one for each key in each bin"
        )
    found: dict[StockKey, int] = {}
    for number, one in enumerate(value):
        where = f"rows[{number}]"
        key, quantity = _row(where, warehouse, one)
        if key in found:
            raise CountError(f"{where}: {key.sku} in {key.bin} comes twice", "add its rows up to one")
        found[key] = quantity
    return tuple(sorted(found.items()))


def _row(where: str, warehouse: str, value: Any) -> tuple[StockKey, int]:
    _members(where, value, _ROW)
    quantity = value["quantity_milli"]
    if type(quantity) is not int or not 0 <= quantity <= QUANTITY_MAX_MILLI:
        raise CountError(
            f"{where}.quantity_milli: {short(quantity)} is no whole number from 0 to {QUANTITY_MAX_MILLI}",
            "write thousandths of the unit: 40 pieces are 40000",
        )
    sku, place, unit = (_word(f"{where}.{name}", value[name]) for name in ("sku", "bin", "unit"))
    return StockKey(warehouse, _identity(f"{where}.owner", value["owner"]), sku, place, unit), quantity


def _word(where: str, value: Any) -> str:
    try:
        return word(where, value if isinstance(value, str) else "")
    except RowError as error:
        raise CountError(str(error), "write it exactly as the stock system does") from None


def _photos(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not 0 < len(value) <= PHOTOS_MAX:
        raise CountError(
            f"photos: {short(value)} is no list of 1 to {PHOTOS_MAX} hashes",
            "photograph what was counted, and give the SHA-256 of each file",
        )
    for number, one in enumerate(value):
        is_digest = isinstance(one, str) and len(one) == _DIGEST_DIGITS and set(one) <= set("0123456789abcdef")
        if not is_digest or one in value[:number]:
            raise CountError(
                f"photos[{number}]: {short(one)} is no SHA-256, or comes twice",
                "write 64 hexadecimal digits in small letters, each photograph once",
            )
    return tuple(value)


def _note(value: Any) -> str:
    if not isinstance(value, str) or len(value) > NOTE_MAX:
        raise CountError(f"note: {short(value)} is no text of at most {NOTE_MAX} characters", "say it shorter")
    return value
