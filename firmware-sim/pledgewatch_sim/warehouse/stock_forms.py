"""What the stock system writes: rows of its feed (JSON), a table (CSV), and EDI (ANSI ASC X12 846, 944, 945).

The CSV has this system's own words: `IN`, `RET`, `OUT`, `SHIP`, and a semicolon between cells. X12
has no way to take a booking back: what was cancelled shows in the next 846 only.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final

from pledgewatch_sim.warehouse.wms import UNIT, Booking

CSV_COLUMNS: Final = ("no", "what", "when", "account", "article", "place", "unit", "pieces", "lot", "voids")
CSV_WORDS: Final = {"received": "IN", "returned": "RET", "sold": "OUT", "shipped": "SHIP", "": ""}
_RECEIPT_CODES: Final = {"received": "F", "returned": "C"}
OnHand = Mapping[tuple[str, str, str], int]
"""Pieces by owner, bin and SKU."""


def movement(booking: Booking) -> dict[str, str]:
    """A booking as a row of a JSON document; texts only."""
    if booking.cancels:
        return {"id": booking.id, "at": iso(booking.at_ms), "cancels": booking.cancels}
    said = {
        "id": booking.id,
        "kind": booking.kind,
        "at": iso(booking.at_ms),
        "owner": booking.owner,
        "sku": booking.sku,
        "bin": booking.bin,
        "unit": UNIT,
        "quantity": str(booking.pieces),
        "lot": booking.lot,
    }
    return {name: text for name, text in said.items() if text}


def snapshot(on_hand: OnHand, owner: str, at_ms: int) -> dict[str, Any]:
    """All that is on hand of an owner's goods at a moment."""
    rows = [
        {"sku": sku, "bin": place, "unit": UNIT, "quantity": str(pieces)}
        for (whose, place, sku), pieces in on_hand.items()
        if whose == owner
    ]
    return {"id": f"S-{at_ms}-{owner}", "at": iso(at_ms), "owner": owner, "complete": True, "rows": rows}


def csv_document(bookings: Iterable[Booking]) -> bytes:
    """Bookings as a table."""
    lines = [";".join(CSV_COLUMNS)]
    for one in bookings:
        unit, pieces = (UNIT, str(one.pieces)) if one.kind else ("", "")
        cells = (one.id, CSV_WORDS[one.kind], iso(one.at_ms), one.owner, one.sku, one.bin, unit, pieces, one.lot)
        lines.append(";".join((*cells, one.cancels)))
    return ("\r\n".join(lines) + "\r\n").encode()


def x12_document(bookings: Sequence[Booking], on_hand: OnHand, at_ms: int, number: int) -> bytes:
    """An interchange with a 944 or 945 for each booking, and an 846 for each owner of all that is on hand at a moment.

    `number` is its control number.
    """
    numbers = count(1)
    receipts = [_receipt(one) for one in bookings if one.kind in _RECEIPT_CODES]
    shipments = [_shipment(one) for one in bookings if one.kind in {"sold", "shipped"}]
    inventories = [_inventory(owner, on_hand, at_ms) for owner in _owners(on_hand)]
    groups = [("RE", "944", receipts), ("SW", "945", shipments), ("IB", "846", inventories)]
    moment = _when(at_ms)
    said: list[str] = []
    there = [(code, kind, sets) for code, kind, sets in groups if sets]
    for place, (code, kind, sets) in enumerate(there, 1):
        said.append(f"GS*{code}*WAREHOUSE*BANK*{moment:%Y%m%d}*{moment:%H%M}*{place}*X*004010")
        for body in sets:
            control = f"{next(numbers):04d}"
            said += [f"ST*{kind}*{control}", *body, f"SE*{len(body) + 2}*{control}"]
        said.append(f"GE*{len(sets)}*{place}")
    address = f"ZZ*{'WAREHOUSE':15}*ZZ*{'BANK':15}"
    head = f"ISA*00*{'':10}*00*{'':10}*{address}*{moment:%y%m%d}*{moment:%H%M}*U*00401*{number:09d}*0*P*>"
    return "".join(f"{one}~\n" for one in [head, *said, f"IEA*{len(there)}*{number:09d}"]).encode("ascii")


def iso(at_ms: int) -> str:
    """A moment in ISO 8601, to the millisecond."""
    return f"{datetime.fromtimestamp(at_ms / 1_000, UTC):%Y-%m-%dT%H:%M:%S}.{at_ms % 1_000:03d}Z"


def _receipt(one: Booking) -> list[str]:
    moment = _when(one.at_ms)
    return [
        f"W17*{_RECEIPT_CODES[one.kind]}*{moment:%Y%m%d}*{one.id}*{one.id}*{one.id}*8*{moment:%H%M%S}",
        _depositor(one.owner),
        f"W07*{one.pieces}*{UNIT}**SK*{one.sku}" + (f"***{one.lot}" if one.lot else ""),
        f"N9*WS*{one.bin}",
        f"W14*{one.pieces}",
    ]


def _shipment(one: Booking) -> list[str]:
    moment = _when(one.at_ms)
    return [
        f"W06*F*{one.id}*{moment:%Y%m%d}*{one.id}",
        _depositor(one.owner),
        f"G62*11*{moment:%Y%m%d}*4*{moment:%H%M%S}*UT",
        f"W12*CC*{one.pieces}*{one.pieces}*0*{UNIT}**SK*{one.sku}" + (f"*{one.lot}" if one.lot else ""),
        f"N9*WS*{one.bin}",
        f"W03*{one.pieces}",
    ]


def _inventory(owner: str, on_hand: OnHand, at_ms: int) -> list[str]:
    moment = _when(at_ms)
    rows = [(place, sku, pieces) for (whose, place, sku), pieces in on_hand.items() if whose == owner]
    lines = [
        (f"LIN*{line}*SK*{sku}", f"REF*WS*{place}", f"QTY*17*{n}*{UNIT}")
        for line, (place, sku, n) in enumerate(rows, 1)
    ]
    return [
        f"BIA*00*SI*{moment:%Y%m%d%H%M%S}-{owner}*{moment:%Y%m%d}*{moment:%H%M%S}",
        _depositor(owner),
        *(segment for line in lines for segment in line),
        f"CTT*{len(rows)}*{sum(pieces for _, _, pieces in rows)}",
    ]


def _depositor(owner: str) -> str:
    return f"N1*DE*{owner.upper()}*92*{owner}"


def _owners(on_hand: OnHand) -> list[str]:
    return sorted({owner for owner, _, _ in on_hand})


def _when(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1_000, UTC)
