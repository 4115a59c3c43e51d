"""What a stock system says: movements of stock, which add, and snapshots, which set.

A movement of stock says that goods came, went or changed bins at a moment; a snapshot says how much of each key there
was at one. The two must never be taken for each other: a count of 40 that is added, or a delivery of 40 that is set,
makes stock out of nothing. So every form says which of the two a row is, a source says in the book which it may send,
and what cannot be told is a fault with its line and its cure.

Quantities are whole thousandths of the unit. All kinds but one are said without a sign, for the kind gives the
direction; `adjusted` needs one, for nothing else would.

Rows of every form are first laid out as texts by field, and read here, so that a fault is the same fault in all.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NamedTuple, TypeVar

from pledgewatch_cloud.decide.currencies import UnknownCurrencyError, exponent
from pledgewatch_cloud.decide.moments import PARTS_CURE, MomentError, is_of_parts, moment_ms, short

KINDS = ("received", "shipped", "sold", "returned", "adjusted", "moved")
"""Movements of stock. A row without a kind takes another back and says nothing more."""
SIGNS: Mapping[str, int] = {"received": 1, "shipped": -1, "sold": -1, "returned": 1, "adjusted": 1, "moved": -1}
"""How a row of each kind changes what is in its bin; `moved` adds the same to another."""
REASONED = ("adjusted", "returned")
"""The kinds of which the reason is kept; so is that of every row that cancels."""
COUNTED = "counted"
"""The kind of a snapshot's rows."""

MEANS = ("adds", "sets", "both")
"""What a source may send: movements of stock, snapshots, or both, each marked as what it is."""
AT_FAULT = ("refuse_all", "take_rest")
"""What becomes of a document with faults: nothing is taken, or all that has none."""
BARE_DATES = ("refused", "first", "last")
"""What a date without a time of day means: a fault, the first millisecond of the day, or the last."""
INVENTORY_ADVICE = ("complete", "partial")
"""What an 846 of X12 leaves out: there is nothing of it, or nothing is said of it."""

DOCUMENT_MAX_BYTES = 16 * 1024 * 1024
ROWS_IN_ONE_MAX = 100_000
"""Rows in one document."""
FAULTS_TOLD_MAX = 1_000
"""Faults of one document that are told one by one."""
QUANTITY_MAX_MILLI = 10**15
MILLI = 1_000

_ID = re.compile(r"[!-~]{1,160}")
WORD_MAX = 128
_QUANTITY = re.compile(r"([+-]?)([0-9]{1,15})(?:\.([0-9]{1,9}))?")
_COST = re.compile(r"([0-9]{1,13})(?:\.([0-9]{1,9}))?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}")
_DAY_MS = 86_400_000
_Value = TypeVar("_Value")


class StockKey(NamedTuple):
    """What stock is counted by: whose it is, what, where and in which unit."""

    warehouse: str
    owner: str
    sku: str
    bin: str
    unit: str


NO_KEY = StockKey("", "", "", "", "")


class StockRow(NamedTuple):
    """One movement of stock, or one count.

    `id` is the source's own. `kind` is one of KINDS, COUNTED, or empty where a row only takes another back.
    `quantity_milli` is thousandths of the unit, negative only for `adjusted`. `to_bin` is where what was `moved` went.
    `cancels` is the id of a row or snapshot of the same source that counts no longer, whatever becomes of this one.
    `expiry_ms` is 0 where goods keep, or nothing is said; `cost_minor` is what one unit cost, None where it is not
    said. `line` is the line or segment that it came in, from 1. `heard_ms` is when a book was told of it; no document
    says that.
    """

    id: str
    kind: str
    at_ms: int
    key: StockKey = NO_KEY
    quantity_milli: int = 0
    to_bin: str = ""
    reason: str = ""
    cancels: str = ""
    lot: str = ""
    expiry_ms: int = 0
    cost_minor: int | None = None
    currency: str = ""
    line: int = 0
    heard_ms: int = 0


class Snapshot(NamedTuple):
    """How much there was of some keys at one moment, everything that happened up to and at it included.

    Where `complete`, there was nothing of any other key of the owner in the warehouse. `cancels` is the id of an
    earlier snapshot that counts no longer.
    """

    id: str
    at_ms: int
    warehouse: str
    owner: str
    rows: tuple[StockRow, ...]
    complete: bool = False
    cancels: str = ""
    line: int = 0


class Fault(NamedTuple):
    """What is wrong, at which line or segment (from 1; 0: with all of it), and what would cure it."""

    line: int
    text: str


class LeftOut(NamedTuple):
    """Rows that are no stock, and why: postage, fees."""

    reason: str
    rows: int


class Report(NamedTuple):
    """What was read of a document. Rows with faults are in `faults` only."""

    source: str
    rows: tuple[StockRow, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()
    faults: tuple[Fault, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


class Terms(NamedTuple):
    """What the book says of a source. `source` is a name as topics have it, so without a slash.

    `owners` and `units` give what the book calls an owner or a unit by what the source writes; an empty `owners` takes
    none but `owner`. `sku_units` names the unit of SKUs that are counted in one only. `utc_offset_minutes` is the
    offset of times that are written without one; None: such a time is a fault. `inventory_advice` is whether an 846
    lists all of its owner's stock; empty: no 846 can be read.
    """

    source: str
    warehouse: str
    means: str
    units: Mapping[str, str]
    owner: str = ""
    owners: Mapping[str, str] = {}
    sku_units: Mapping[str, str] = {}
    bin: str = ""
    needs_lot: bool = False
    at_fault: str = "refuse_all"
    utc_offset_minutes: int | None = None
    bare_dates: str = "refused"
    encoding: str = "utf-8"
    sku_qualifiers: tuple[str, ...] = ("SK",)
    inventory_advice: str = ""


class StockError(ValueError):
    """What cannot be taken. `faults` holds every one, in order of lines."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        texts = [f"{one.line}: {one.text}" if one.line else one.text for one in faults[:20]]
        super().__init__("; ".join(texts) + (f"; and {len(faults) - 20} more" if len(faults) > 20 else ""))
        self.faults = faults


class StockFullError(StockError):
    """What cannot be taken for want of room."""


class RowError(ValueError):
    """A row that cannot be read. `errors` holds one sentence for each fault, each naming its field."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("; ".join(errors))
        self.errors = tuple(errors)


MOVEMENT_FIELDS = (
    *("id", "kind", "at", "warehouse", "owner", "sku", "bin", "unit", "quantity", "to_bin", "reason", "cancels"),
    *("lot", "expiry", "cost", "currency"),
)
COUNT_FIELDS = ("warehouse", "owner", "sku", "bin", "unit", "quantity", "lot", "expiry", "cost", "currency")

Fields = Mapping[str, str]
"""A row as texts by field; an empty one is as good as none."""


def movement(terms: Terms, fields: Fields, line: int) -> StockRow:
    """A movement of stock from its texts. Raises RowError with every fault."""
    errors: list[str] = []
    identity = _gathered(errors, "", identity_of, "id", fields.get("id", ""))
    cancels = _gathered(errors, "", identity_of, "cancels", fields["cancels"]) if fields.get("cancels") else ""
    if cancels and cancels == identity:
        errors.append("cancels: names the row itself")
    at_ms = _gathered(errors, 0, moment, terms, "at", fields.get("at", ""))
    kind = fields.get("kind", "")
    if cancels and not kind:
        said = [name for name in MOVEMENT_FIELDS if fields.get(name) and name not in {"id", "at", "cancels", "reason"}]
        errors += [
            f"{name}: a row that only cancels says nothing of goods: give its kind, or leave this" for name in said
        ]
        _end(errors)
        return StockRow(identity, "", at_ms, reason=_reason(fields), cancels=cancels, line=line)
    if kind not in KINDS:
        errors.append(f"kind: {short(kind)} is none of {', '.join(KINDS)}")
    found = _goods(errors, terms, fields, line)._replace(id=identity, kind=kind, at_ms=at_ms, cancels=cancels)
    signed = fields.get("quantity", "")[:1] in {"+", "-"}
    if kind == "adjusted" and not signed:
        errors.append("quantity: an adjustment needs its sign: write +5 for found, -5 for gone")
    if kind == "adjusted" and not fields.get("reason"):
        errors.append("reason: is missing: an adjustment says why")
    if kind in KINDS and kind != "adjusted" and signed:
        errors.append(
            f"quantity: {short(fields['quantity'])}: {kind} has no sign: a sale that came back is returned, a slip "
            "is cancelled, what was found or lost is adjusted"
        )
    to_bin = fields.get("to_bin", "")
    if kind == "moved" and (not to_bin or to_bin == found.key.bin):
        errors.append("to_bin: goods that moved went to another bin: name it")
    if kind != "moved" and to_bin:
        errors.append("to_bin: only what moved has one")
    to_bin = _gathered(errors, "", word, "to_bin", to_bin) if to_bin else ""
    _end(errors)
    return found._replace(to_bin=to_bin, reason=_reason(fields) if kind in REASONED or cancels else "")


def count(terms: Terms, fields: Fields, line: int) -> StockRow:
    """A row of a snapshot from its texts; its id and moment are the snapshot's. Raises RowError with every fault."""
    errors: list[str] = []
    found = _goods(errors, terms, fields, line)
    if fields.get("quantity", "")[:1] == "+":
        errors.append("quantity: a count has no plus sign: is this what was added? then it is a movement of stock")
    if found.quantity_milli < 0:
        errors.append("quantity: nobody counts less than nothing: send 0, and correct the movements of stock")
    _end(errors)
    return found._replace(kind=COUNTED)


def _goods(errors: list[str], terms: Terms, fields: Fields, line: int) -> StockRow:
    """What both kinds of rows say of goods; faults are gathered."""
    warehouse = fields.get("warehouse") or terms.warehouse
    if warehouse != terms.warehouse:
        errors.append(f"warehouse: {short(warehouse)}: {terms.source} speaks of {terms.warehouse} only")
    owner = _gathered(errors, "", owner_of, terms, fields.get("owner", ""))
    sku = _gathered(errors, "", word, "sku", fields.get("sku", ""))
    place = _gathered(errors, "", word, "bin", fields.get("bin") or terms.bin)
    unit = _gathered(errors, "", _unit, terms, sku, fields.get("unit", ""))
    quantity_milli = _gathered(errors, 0, quantity, "quantity", fields.get("quantity", ""))
    lot = _gathered(errors, "", word, "lot", fields["lot"]) if fields.get("lot") else ""
    if terms.needs_lot and not lot:
        errors.append(f"lot: is missing: {terms.source} names the lot of every row")
    expiry_ms = _gathered(errors, 0, moment, terms, "expiry", fields["expiry"]) if fields.get("expiry") else 0
    no_cost: tuple[int | None, str] = (None, "")
    cost_minor, currency = _gathered(errors, no_cost, _cost, fields.get("cost", ""), fields.get("currency", ""))
    key = StockKey(terms.warehouse, owner, sku, place, unit)
    return StockRow(
        *("", "", 0, key, quantity_milli),
        lot=lot,
        expiry_ms=expiry_ms,
        cost_minor=cost_minor,
        currency=currency,
        line=line,
    )


def identity_of(name: str, text: str) -> str:
    """An id as a source writes it. Raises RowError."""
    if not _ID.fullmatch(text):
        missing = f"{name}: is missing"
        raise RowError(
            [
                f"{name}: {short(text)} is no id: 1 to 160 letters, digits and signs of ASCII without spaces"
                if text
                else missing
            ]
        )
    if not is_of_parts(text):
        raise RowError([f"{name}: {short(text)} has a part that addresses leave out; {PARTS_CURE}"])
    return text


def composed(text: str) -> str:
    """A text in Unicode's form NFC: systems that write é as one sign and as two mean the same."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def word(name: str, text: str) -> str:
    """What something is called: a SKU, a bin, a lot; as `composed` gives it. Raises RowError."""
    text = composed(text)
    if not text:
        raise RowError([f"{name}: is missing"])
    if len(text) > WORD_MAX or not text.isprintable() or text != text.strip():
        raise RowError(
            [f"{name}: {short(text)}: 1 to {WORD_MAX} characters that can be seen, without spaces at the ends"]
        )
    return text


def sku_of(fields: Fields) -> str:
    """The SKU of a row as rows have it; empty where it cannot be read."""
    return _gathered([], "", word, "sku", fields.get("sku", ""))


def owner_of(terms: Terms, text: str) -> str:
    """Whose goods they are, as the book calls them. Raises RowError."""
    if not text:
        if not terms.owner:
            raise RowError(["owner: is missing: name the owner of the goods, or give the source one in the book"])
        return terms.owner
    text = composed(text)
    if text in terms.owners:
        return terms.owners[text]
    if text == terms.owner:
        return text
    known = ", ".join(sorted({*terms.owners, terms.owner} - {""}))
    raise RowError([f"owner: {short(text)} is none that {terms.source} may speak of; it may speak of {known}"])


def _unit(terms: Terms, sku: str, text: str) -> str:
    unit = terms.units.get(composed(text))
    if unit is None:
        said = f"{short(text)} is none of" if text else "is missing; there are"
        raise RowError([f"unit: {said} {', '.join(sorted(terms.units))}"])
    only = terms.sku_units.get(sku, unit)
    if unit != only:
        raise RowError(
            [f"unit: {short(text)} is {unit}, but {sku} is counted in {only}: convert it, or correct the book"]
        )
    return unit


def quantity(name: str, text: str) -> int:
    """A decimal number of units, in thousandths. Raises RowError where it is none, too large, or finer than that."""
    matched = _QUANTITY.fullmatch(text)
    if matched is None:
        said = f"{short(text)} is no number, as 12 or 0.75: no separators between thousands" if text else "is missing"
        raise RowError([f"{name}: {said}"])
    sign, whole, fraction = matched[1], matched[2], (matched[3] or "").rstrip("0")
    if len(fraction) > 3:
        raise RowError([f"{name}: {short(text)} is finer than a thousandth of its unit: use a smaller unit"])
    found = int(whole) * MILLI + int(f"{fraction:0<3}")
    if found > QUANTITY_MAX_MILLI:
        raise RowError([f"{name}: {short(text)}: at most {QUANTITY_MAX_MILLI // MILLI}"])
    return -found if sign == "-" else found


def moment(terms: Terms, name: str, text: str) -> int:
    """A moment in Unix milliseconds; what is written without offset or time means what the terms say.

    Raises RowError.
    """
    if not text:
        raise RowError([f"{name}: is missing"])
    is_date = bool(_DATE.fullmatch(text))
    if is_date and terms.bare_dates == "refused":
        raise RowError([f"{name}: {short(text)} is a date without a time: write one, or say in the book what it means"])
    if not is_date and not _TIME.match(text):
        raise RowError([f"{name}: {short(text)} is no time in ISO 8601, as 2026-01-31T12:00:00Z"])
    try:
        local = datetime.fromisoformat(text)
    except ValueError:
        raise RowError([f"{name}: {short(text)} is no time in ISO 8601, as 2026-01-31T12:00:00Z"]) from None
    if local.tzinfo is not None:
        return _instant(name, text)
    if terms.utc_offset_minutes is None:
        raise RowError(
            [f"{name}: {short(text)} has no offset from UTC: write one, as Z, or say in the book which it is"]
        )
    found = _instant(name, local.isoformat() + "+00:00") - terms.utc_offset_minutes * 60_000
    return found + _DAY_MS - 1 if is_date and terms.bare_dates == "last" else found


def _instant(name: str, text: str) -> int:
    try:
        return moment_ms(name, text)
    except MomentError as error:
        raise RowError([str(error)]) from None


def _cost(text: str, currency: str) -> tuple[int | None, str]:
    """What one unit cost, in minor units of its currency; nothing is rounded: a finer amount is a fault."""
    if not text:
        return None, ""
    try:
        decimals = exponent(currency)
    except UnknownCurrencyError as error:
        raise RowError([f"currency: {error}" if currency else "currency: is missing: a cost has one"]) from None
    matched = _COST.fullmatch(text)
    fraction = (matched[2] or "").rstrip("0") if matched else ""
    if matched is None or len(fraction) > decimals:
        raise RowError([f"cost: {short(text)} is no amount of {currency} with at most {decimals} decimals"])
    return int(matched[1] + f"{fraction:0<{decimals}}"), currency


def _reason(fields: Fields) -> str:
    text = "".join(sign if sign.isprintable() else " " for sign in fields.get("reason", ""))
    return text.strip()[:WORD_MAX]


def _gathered(errors: list[str], instead: _Value, read: Callable[..., _Value], *arguments: object) -> _Value:
    try:
        return read(*arguments)
    except RowError as error:
        errors += error.errors
        return instead


def _end(errors: list[str]) -> None:
    if errors:
        raise RowError(errors)
