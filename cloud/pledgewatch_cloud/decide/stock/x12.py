"""The EDI form: ANSI ASC X12 846 (inventory advice), 944 (stock transfer receipt advice), 945 (shipping advice).

An 846 sets: it is a snapshot, at the moment that its BIA gives, of the quantities on hand (QTY with 17). Nothing in it
says whether it lists all that there is: the terms of its source do, and without them none can be read. What is
available for sale (33) leaves out what is allotted, so it is no count of what is there, and is passed over. A 944 adds
what came in, a 945 takes away what went out. Codes that would make of them something else, or leave open what, are
refused: an 846 that changes another, a 944 that adjusts stock without a sign, a 945 of exceptions only.

A row is known by the numbers of its document and by its place in it. One shipment may hold several orders, each with a
945 of its own, and one receipt likewise, so the order is part of what they are known by.

References (REF, N9) name the lot and the bin of the loop that they stand in. What stands before the loops, or within LX
before a W12, may be meant for some of them or for all, and of two in one loop only one can be right: both are refused.

Segments that say nothing of quantities are passed over. What a set says in all (CTT of the 846, W14 of the 944, W03 of
the 945) must be what its rows add up to; where it is not, nothing of the set is taken.

Which element means what is X12's; read from public references to releases 004010 to 006030 (codes 353, 514, 673, 128
and 755 of its dictionary).
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

from pledgewatch_cloud.decide.moments import short
from pledgewatch_cloud.decide.stock import texts
from pledgewatch_cloud.decide.stock.gathering import Gathering, Laid, refused
from pledgewatch_cloud.decide.stock.rows import (
    INVENTORY_ADVICE,
    Fault,
    Report,
    RowError,
    Snapshot,
    StockError,
    Terms,
    identity_of,
    moment,
    owner_of,
)
from pledgewatch_cloud.decide.stock.x12_envelope import Segment, TransactionSet, sets

REPORT_TYPES = ("SI", "DD")
"""BIA02 of an 846 that says what there is: a seller's or a distributor's inventory report."""
RECEIPT_KINDS: Mapping[str, tuple[str, str]] = {
    "F": ("received", ""),
    "J": ("received", ""),
    "P": ("received", ""),
    "C": ("returned", ""),
    "O": ("adjusted", "+"),
    "S": ("adjusted", "-"),
}
"""W17-01 of a 944: full detail, original, production; customer return; overage and shortage at a physical count."""
SHIPMENT_CODES = ("F", "J")
"""W06-01 of a 945: full detail, original."""
_ON_HAND = "17"
_LOT, _BIN = "LT", "WS"
"""Qualifiers (128) of a lot number and of a warehouse storage location number, in REF and N9."""
_REFERENCES = ("REF", "N9")
_EXPIRES = "036"
_DEPOSITOR = ("DE", "OW")
_NUMBER = re.compile(r"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")
_DATE, _CLOCK = re.compile(r"[0-9]{8}"), re.compile(r"([0-9]{2})([0-9]{2})([0-9]{2})?([0-9]{1,2})?")
_HASH_DIGITS = 10
_Value = TypeVar("_Value")
_TIME_CODES = {"UT": "Z", "GM": "Z", "": "", "LT": ""}
"""Universal time and Greenwich mean time; local time is as good as none said."""


class _RefusedError(ValueError):
    """A set of which nothing can be taken: the segment, and why."""

    def __init__(self, segment: Segment, *reasons: str) -> None:
        super().__init__(reasons)
        self.faults = [Fault(segment.number, f"{reason}: nothing of the set is taken") for reason in reasons]


class _Line(NamedTuple):
    """A detail loop: the segment that opens it, and those up to the next."""

    head: Segment
    rest: list[Segment]


def read(terms: Terms, data: bytes | str) -> Report:
    """What the interchanges in a text say. Never raises: what is wrong is in the report."""
    gathering = Gathering(terms)
    try:
        for one in sets(texts.decoded(terms, data), gathering.faults):
            try:
                _READERS[one.code](gathering, one)
            except _RefusedError as error:
                gathering.faults += error.faults
    except StockError as error:
        return refused(terms, *error.faults)
    return gathering.report()


def _inventory(gathering: Gathering, one: TransactionSet) -> None:
    """An 846: a snapshot."""
    begin = _opening(one, "BIA")
    if begin.element(1) != "00":
        raise _RefusedError(begin, f"BIA01 is {short(begin.element(1))}: only an original (00) says what there is")
    if begin.element(2) not in REPORT_TYPES:
        raise _RefusedError(
            begin,
            f"BIA02 is {short(begin.element(2))}: whether it adds or sets is told by {', '.join(REPORT_TYPES)} only",
        )
    if not gathering.terms.inventory_advice:
        cure = f"say it in the book, by inventory_advice: {' or '.join(INVENTORY_ADVICE)}"
        raise _RefusedError(begin, f"whether goods that it does not list are gone cannot be told: {cure}")
    identity = _read(begin, identity_of, "BIA03", f"846:{begin.element(3)}" if begin.element(3) else "")
    if not begin.element(5):
        raise _RefusedError(
            begin, "BIA05 is missing: a count without its time may or may not hold what happened that day"
        )
    at_ms = _read(begin, moment, gathering.terms, "BIA04", _written(begin, begin.element(4), begin.element(5), ""))
    owner = _depositor(gathering.terms, one, begin)
    is_complete = gathering.terms.inventory_advice == "complete"
    whose = owner_of(gathering.terms, owner) if is_complete else ""
    frame = Snapshot(identity, at_ms, gathering.terms.warehouse, whose, (), is_complete, line=begin.number)
    gathering.lists_all(frame)
    lines = _loops(one, "LIN", ("CTT",))
    quantities = [part for line in lines for part in line.rest if part.name == "QTY"]
    total = next((part for part in one.body if part.name == "CTT"), None)
    if total is None:
        raise _RefusedError(begin, "CTT is missing: whether the set is whole cannot be told")
    _check(total, 1, len(lines), "LIN segments")
    if total.element(2):
        hashed = sum(
            int(re.sub(r"[-.]", "", part.element(2)) or 0) for part in quantities if _NUMBER.fullmatch(part.element(2))
        )
        _check(total, 2, hashed % 10**_HASH_DIGITS, "in all (digits of QTY02)")
    gathering.snapshot(frame, [_counted(gathering, line, owner, one.component) for line in lines])


def _counted(gathering: Gathering, line: _Line, owner: str, component: str) -> Laid:
    """What a LIN loop says; a quantity that is not said once is left empty, which is a fault."""
    before = len(gathering.faults)
    on_hand = [part for part in line.rest if part.name == "QTY" and part.element(1) == _ON_HAND]
    if len(on_hand) != 1:
        number = line.head.number
        gathering.fault(
            number, f"{len(on_hand)} QTY with {_ON_HAND} (on hand) where one is needed; others are no count"
        )
    said = on_hand[0] if len(on_hand) == 1 else Segment(line.head.number, ("QTY",))
    pairs = _pairs(gathering, line.head, 2)
    fields = {
        "owner": owner,
        "sku": _sku(gathering.terms, pairs),
        "quantity": _decimal(said.element(2)),
        "unit": said.element(3).split(component)[0],
        **_references(gathering, line, pairs.get(_LOT, "")),
        **_expiry(line),
    }
    return Laid(fields, line.head.number, len(gathering.faults) == before)


def _receipt(gathering: Gathering, one: TransactionSet) -> None:
    """A 944: what came in."""
    begin = _opening(one, "W17")
    if begin.element(1) not in RECEIPT_KINDS:
        known = ", ".join(RECEIPT_KINDS)
        raise _RefusedError(
            begin, f"W17-01 is {short(begin.element(1))}: what it adds or takes away is told by {known} only"
        )
    kind, sign = RECEIPT_KINDS[begin.element(1)]
    number = _read(begin, identity_of, "W17-03", begin.element(3))
    order = _read(begin, identity_of, "W17-04", begin.element(4)) if begin.element(4) else ""
    at = _written(begin, begin.element(2), begin.element(7), "")
    lines = _loops(one, "W07", ("W14",))
    _total(one, "W14", 1, [line.head.element(1) for line in lines])
    owner = _depositor(gathering.terms, one, begin)
    for place, line in enumerate(lines, 1):
        head = line.head
        if any(part.name == "W13" for part in line.rest):
            text = "W13 says exceptions: whether W07-01 holds them cannot be told; send what lies in the bin"
            gathering.fault(head.number, text)
            continue
        before = len(gathering.faults)
        fields = {
            "id": f"944:{number}:{order}:{place}",
            "kind": kind,
            "at": at,
            "owner": owner,
            "sku": _sku(gathering.terms, _pairs(gathering, head, 4, 6, 10)),
            "quantity": sign + _decimal(head.element(1)),
            "unit": head.element(2),
            "reason": "physical count" if sign else "",
            **_references(gathering, line, head.element(8)),
            **_expiry(line),
        }
        gathering.movement(fields, head.number, is_sound=len(gathering.faults) == before)


def _shipment(gathering: Gathering, one: TransactionSet) -> None:
    """A 945: what went out."""
    begin = _opening(one, "W06")
    if begin.element(1) not in SHIPMENT_CODES:
        known = ", ".join(SHIPMENT_CODES)
        raise _RefusedError(begin, f"W06-01 is {short(begin.element(1))}: all that went out is told by {known} only")
    order = _read(begin, identity_of, "W06-02", begin.element(2))
    number = _read(begin, identity_of, "W06-04", begin.element(4))
    dates = [part for part in one.body if part.name == "G62" and part.element(1) == "11"]
    shipped = dates[0] if dates else None
    at = _written(begin, begin.element(3), "", "")
    if shipped is not None:
        at = _written(shipped, shipped.element(2), shipped.element(4), shipped.element(5))
    lines = _loops(one, "W12", ("W03",), ("LX",))
    _total(one, "W03", 1, [line.head.element(3) for line in lines])
    owner = _depositor(gathering.terms, one, begin)
    for place, line in enumerate(lines, 1):
        head = line.head
        if not _is_something(head.element(3)):
            gathering.leave_out("ordered and not shipped")
            continue
        before = len(gathering.faults)
        fields = {
            "id": f"945:{number}:{order}:{place}",
            "kind": "shipped",
            "at": at,
            "owner": owner,
            "sku": _sku(gathering.terms, _pairs(gathering, head, 7)),
            "quantity": _decimal(head.element(3)),
            "unit": head.element(5),
            **_references(gathering, line, head.element(9)),
        }
        gathering.movement(fields, head.number, is_sound=len(gathering.faults) == before)


_READERS: Mapping[str, Callable[[Gathering, TransactionSet], None]] = {
    "846": _inventory,
    "944": _receipt,
    "945": _shipment,
}


def _opening(one: TransactionSet, name: str) -> Segment:
    if not one.body or one.body[0].name != name:
        raise _RefusedError(one.start, f"{name} must follow ST")
    return one.body[0]


def _loops(one: TransactionSet, name: str, ends: tuple[str, ...], breaks: tuple[str, ...] = ()) -> list[_Line]:
    """The detail loops of a set. Raises where there is none, and where a reference stands in none."""
    found: list[_Line] = []
    is_open = False
    astray: list[Segment] = []
    for segment in one.body:
        if segment.name == name:
            found.append(_Line(segment, []))
            is_open = True
        elif segment.name in ends or segment.name in breaks:
            is_open = False
        elif is_open:
            found[-1].rest.append(segment)
        elif segment.name in _REFERENCES and segment.element(1) in (_LOT, _BIN):
            astray.append(segment)
    if astray:
        said = f"{astray[0].name} with {astray[0].element(1)}"
        raise _RefusedError(astray[0], f"{said} stands in no loop of {name}: which of them it is about cannot be told")
    if not found:
        raise _RefusedError(one.start, f"there is no {name}")
    return found


def _total(one: TransactionSet, name: str, place: int, quantities: list[str]) -> None:
    """The total of a set is there, and is what its rows add up to. Raises where not."""
    segments = [part for part in one.body if part.name == name]
    if len(segments) != 1:
        raise _RefusedError(
            one.start, f"{len(segments)} {name} where one is needed: whether the set is whole cannot be told"
        )
    if not all(_NUMBER.fullmatch(text) for text in quantities):
        raise _RefusedError(segments[0], f"{name} cannot be checked, for a quantity is no number")
    found = sum(_exact(text) for text in quantities)
    said = segments[0].element(place)
    if not _NUMBER.fullmatch(said) or _exact(said) != found:
        raise _RefusedError(
            segments[0], f"{name}-{place:02d} says {short(said)}, but the rows add up to {_plain(found)}"
        )


def _check(total: Segment, place: int, found: int, what: str) -> None:
    said = total.element(place)
    if not said.isdecimal() or int(said) != found:
        raise _RefusedError(total, f"{total.name}{place:02d} says {short(said)}, but there are {found} {what}")


def _is_something(text: str) -> bool:
    return not _NUMBER.fullmatch(text) or _exact(text) != 0


def _exact(text: str) -> int:
    """A number in thousand-millionths, so that no digit that is allowed here is lost."""
    whole, _, fraction = text.removeprefix("-").partition(".")
    found = int(whole or 0) * 10**9 + int(f"{fraction[:9]:0<9}")
    return -found if text.startswith("-") else found


def _plain(units: int) -> str:
    whole, rest = divmod(abs(units), 10**9)
    sign = "-" if units < 0 else ""
    return f"{sign}{whole}" + (f".{rest:09d}".rstrip("0") if rest else "")


def _decimal(text: str) -> str:
    """A number as rows have it: with digits before and behind the point."""
    if not _NUMBER.fullmatch(text):
        return text
    sign, rest = ("-", text[1:]) if text.startswith("-") else ("", text)
    whole, _, fraction = rest.partition(".")
    return f"{sign}{whole or '0'}" + (f".{fraction}" if fraction else "")


def _written(segment: Segment, date: str, clock: str, code: str) -> str:
    """A date and time of X12 as ISO 8601, without its offset where the code gives none."""
    matched = _CLOCK.fullmatch(clock) if clock else None
    if not _DATE.fullmatch(date) or (clock and matched is None):
        raise _RefusedError(segment, f"{short(date)}, {short(clock)} is no date CCYYMMDD with a time HHMM or HHMMSS")
    if code not in _TIME_CODES:
        raise _RefusedError(segment, f"the time code {short(code)} is none of UT, GM and LT: send universal time")
    day = f"{date[:4]}-{date[4:6]}-{date[6:]}"
    if matched is None:
        return day
    hours, minutes, seconds, fraction = matched.groups()
    thousandths = f"{fraction or '':0<3}"
    return f"{day}T{hours}:{minutes}:{seconds or '00'}.{thousandths}{_TIME_CODES[code]}"


def _pairs(gathering: Gathering, segment: Segment, *places: int) -> dict[str, str]:
    """Qualifiers and what they qualify: from the places named, or from the one place on to the end.

    One that is read and comes twice is a fault.
    """
    starts = range(places[0], len(segment.elements), 2) if len(places) == 1 and segment.name == "LIN" else places
    found = dict[str, str]()
    for qualifier, text in ((segment.element(at), segment.element(at + 1)) for at in starts):
        if qualifier in found and qualifier in (_LOT, *gathering.terms.sku_qualifiers):
            gathering.fault(segment.number, f"{segment.name} says {qualifier} twice: send one")
        found[qualifier] = text
    return found


def _sku(terms: Terms, pairs: Mapping[str, str]) -> str:
    """The SKU by the first qualifier that the terms name; empty, which is a fault, where none is there."""
    return next((pairs[one] for one in terms.sku_qualifiers if pairs.get(one)), "")


def _references(gathering: Gathering, line: _Line, lot: str) -> dict[str, str]:
    """The lot and the bin that a loop names; `lot` is what its first segment says. What is not clear is a fault."""
    found = {"lot": lot, "bin": ""}
    for field, qualifier in (("lot", _LOT), ("bin", _BIN)):
        said = [part for part in line.rest if part.name in _REFERENCES and part.element(1) == qualifier]
        texts_said = [found[field], *(part.element(2) for part in said)]
        if len(said) > 1:
            number = said[1].number
            gathering.fault(number, f"{said[1].name} with {qualifier} comes {len(said)} times in a loop: send one")
        elif len({*texts_said} - {""}) > 1:
            both = f"{short(texts_said[1])} here, and {short(lot)} before"
            gathering.fault(said[0].number, f"{field}: {both}: which of them is it?")
        found[field] = next((text for text in texts_said if text), "")
    return found


def _expiry(line: _Line) -> dict[str, str]:
    """The day on which goods expire; it is the first moment at which they are no longer good."""
    dates = {part.element(2) for part in line.rest if part.name == "DTM" and part.element(1) == _EXPIRES}
    if not dates:
        return {}
    date = " or ".join(sorted(dates))  # which is no date where there are two
    return {"expiry": f"{date[:4]}-{date[4:6]}-{date[6:]}T00:00:00Z" if _DATE.fullmatch(date) else date or "?"}


def _depositor(terms: Terms, one: TransactionSet, begin: Segment) -> str:
    """The owner by the code of the depositor's N1, empty where none is named: then it is the terms' own."""
    codes = {part.element(4) for part in one.body if part.name == "N1" and part.element(1) in _DEPOSITOR}
    if len(codes) > 1:
        raise _RefusedError(begin, f"{len(codes)} depositors are named: whose goods they are cannot be told")
    code = next(iter(codes), "")
    _read(begin, owner_of, terms, code)
    return code


def _read(segment: Segment, read: Callable[..., _Value], *arguments: object) -> _Value:
    try:
        return read(*arguments)
    except RowError as error:
        raise _RefusedError(segment, *error.errors) from None
