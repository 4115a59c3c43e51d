"""Lots: what the book says of goods, and how they stand: condition, receipt, age of evidence, pledges, worth."""

from functools import partial
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool

from pledgewatch_cloud.access.view import View
from pledgewatch_cloud.api.access import StateViewOf, ViewOf
from pledgewatch_cloud.api.assets import kinetics_of, word_of
from pledgewatch_cloud.api.beside import worked_out
from pledgewatch_cloud.api.paging import PagingOf
from pledgewatch_cloud.api.plain import plain
from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.decide.access.pledges import Pledge
from pledgewatch_cloud.decide.collateral.stand import newest_evidence
from pledgewatch_cloud.decide.item import CHANNEL_NAMES
from pledgewatch_cloud.decide.items import lots
from pledgewatch_cloud.decide.items.lots import Lot
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_wire.reading import WEIGHT_CHANNELS, Channel

router = APIRouter(prefix="/lots", tags=["lots"])
_COUNTING = frozenset({*WEIGHT_CHANNELS, Channel.PIECES_PRESENT, Channel.TAGS_PRESENT})
"""What machines say of how much there is."""


@router.get("", response_model=list[dict[str, Any]])
async def list_lots(
    view: StateViewOf, paging: PagingOf, facility: str = "", asset: str = "", sku: str = "", receipt: str = ""
) -> Any:
    """Lots as they stand, by id, of a facility, in an asset now, of a sku or on a receipt where one is named."""
    state = view.state
    page = paging.page(
        (key, one)
        for key, one in state.book.lots.items()
        if facility in ("", one.facility)
        and asset in ("", one.stay_at(state.recorded_at_ms).asset)
        and sku in ("", one.sku)
        and (not receipt or (one.receipt is not None and one.receipt.id == receipt))
    )
    return plain([_described(view, one) for one in page.items], paging.headers)


@router.get("/{lot:path}/trail")
async def read_trail(view: ViewOf, lot: str) -> dict[str, Any]:
    """What stands behind each amount of a lot, with names that can be looked up: `amounts` (value, ineligibles with
    their grounds, advance; null for who sees no money), the newest `evidence` with its age, and what is said of the
    quantity by the book, by the receipt and by machines. All are null while the lot is not pledged to who asks."""
    found = _known(view, lot)
    return await run_in_threadpool(_trail, view, found)


@router.get("/{lot:path}")
async def read_lot(view: StateViewOf, lot: str) -> dict[str, Any]:
    """One lot as it stands, with its way through the waterfall (`line`): null for who sees no money."""
    found = _known(view, lot)
    ask = partial(view.lines, found.facility, lot)
    lines = await worked_out(view.has_desk, ask)
    return {**_described(view, found), "line": next(iter(lines), None)}


def _known(view: View, lot: str) -> Lot:
    found = view.state.book.lots.get(lot)
    if found is None:
        raise Problem(HTTPStatus.NOT_FOUND, f"there is no lot {lot!r}")
    return found


def _trail(view: View, lot: Lot) -> dict[str, Any]:
    is_shown = lot.id in view.scope.pledged_lots
    evidence = next((one for one in view.evidence(lot.facility) if one.lot == lot.id), None)
    return {
        "lot": lot.id,
        "facility": lot.facility,
        "is_shown": is_shown,
        "as_of_ms": view.state.recorded_at_ms,
        "evidence": evidence and evidence.as_json(),
        "quantity": _quantity(view, lot) if is_shown else None,
        "amounts": view.trail(lot.id),
    }


def _quantity(view: View, lot: Lot) -> dict[str, Any]:
    """What is said of how much there is of a lot, by whom and as of when."""
    state, asset = view.state, lot.stay_at(view.state.recorded_at_ms).asset
    receipt = state.receipts.get(lot.receipt.id) if lot.receipt else None
    released = receipt.released_milli if receipt else ()
    held = state.held.get(lot.id)
    return {
        "lot": lot.quantity,
        "counted": None if lot.counted < 0 else {"quantity": lot.counted, **_moments(at_ms=lot.counted_ms)},
        "receipt": lot.receipt.id if lot.receipt else None,
        "claimed": [
            {"quantity_milli": one.quantity_milli, "released_milli": gone, "unit": one.unit}
            for one, gone in zip(receipt.goods if receipt else (), released, strict=True)
            if one.sku == lot.sku
        ],
        "held": held and {**held._asdict(), **_moments(until_ms=held.until_ms, heard_ms=held.heard_ms)},
        "asset": asset,
        "machines": [
            {"channel": CHANNEL_NAMES[channel], "value": one.value, "measured_ms": one.measured_at_ms}
            for channel, one in sorted(view.last(asset).items())
            if channel in _COUNTING
        ],
    }


def _described(view: View, lot: Lot) -> dict[str, Any]:
    """A lot of the book as who asks may see it: where it is and how it stands only while it is pledged to them."""
    state = view.state
    now_ms = state.recorded_at_ms
    is_shown = lot.id in view.scope.pledged_lots
    asset = lot.stay_at(now_ms).asset
    known = state.assets.get(asset) if is_shown else None
    evidence = newest_evidence(lot, state.book.policy_of(lot.facility).evidence.by, known, now_ms) if known else None
    held = state.held.get(lot.id) if is_shown else None
    conditions = known.conditions if known else {}
    return {
        "id": lot.id,
        "said": lots.as_document("lots", lot),
        "asset": asset or None,
        "is_shown": is_shown,
        "conditions": [
            {"limit": limit, "state": word_of(one)} for (name, limit), one in conditions.items() if name == lot.id
        ],
        "mean_kinetic_temperature": next(
            (one for one in kinetics_of(state, asset, known) if one["lot"] == lot.id), None
        ),
        "held": held and {**held._asdict(), **_moments(until_ms=held.until_ms, heard_ms=held.heard_ms)},
        "evidence_ms": evidence[0] if evidence else None,
        "evidence_age_ms": max(0, now_ms - evidence[0]) if evidence else None,
        "pledges": [_pledge(one) for one in view.pledges_by_lot.get(lot.id, [])],
    }


def _pledge(one: Pledge) -> dict[str, Any]:
    words = {name: getattr(one, name) for name in ("lender", "borrower", "facility", "receipt", "from_entry")}
    until_entry = None if one.runs else one.until_entry
    return {**words, "until_entry": until_entry, **_moments(from_ms=one.from_ms, until_ms=one.until_ms)}


def _moments(**moments: int) -> dict[str, int | None]:
    """Moments that have not come, or are not known, are null."""
    return {name: None if abs(one) == NEVER else one for name, one in moments.items()}
