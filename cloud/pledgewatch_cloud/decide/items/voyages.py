"""Voyages as the book says them: the legs of an asset, in order and apart. What they mean for silence is in voyage."""

from collections.abc import Callable, Iterator
from typing import Any

from pledgewatch_cloud.decide.item import Item
from pledgewatch_cloud.decide.items.assets import asset_absent, assets_known
from pledgewatch_cloud.decide.items.sections import Sections, grouped
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.voyage import LEG_KINDS, SIGNALS, Leg, Voyage, overlaps


def _voyage(item: Item) -> Voyage:
    identity, asset = item.text("id"), item.text("asset")
    legs = []
    for one in item.items("legs"):
        leg = Leg(
            one.text("id"),
            one.one_of("kind", LEG_KINDS),
            one.moment("from"),
            one.moment("until"),
            one.one_of("signal", SIGNALS, "expected"),
        )
        if leg.until_ms <= leg.from_ms:
            raise one.error("until", f"{iso(leg.until_ms)} is not after from {iso(leg.from_ms)}")
        one.end()
        legs.append(leg)
    legs.sort(key=lambda leg: leg.from_ms)
    for first, second in overlaps(legs):
        raise item.error("legs", f"{second.id} begins {iso(second.from_ms)}, before {first.id} ends")
    if len({leg.id for leg in legs}) != len(legs):
        raise item.error("legs", "two legs share an id")
    return Voyage(identity, asset, tuple(legs))


READERS: dict[str, Callable[[Item], Any]] = {"voyages": _voyage}
"""How an item of each section is read."""


def as_document(_section: str, voyage: Voyage) -> dict[str, Any]:
    """A voyage as an amendment says it."""
    legs = [
        {"id": leg.id, "kind": leg.kind, "signal": leg.signal, "from": iso(leg.from_ms), "until": iso(leg.until_ms)}
        for leg in voyage.legs
    ]
    return {"id": voyage.id, "asset": voyage.asset, "legs": legs}


def faults(sections: Sections) -> Iterator[str]:
    """What only the whole book can show: legs of one asset that meet, and assets that nobody knows."""
    for asset, some in grouped(sections["voyages"], "asset").items():
        legs = sorted((leg for one in some for leg in one.legs), key=lambda leg: leg.from_ms)
        for one, two in overlaps(legs):
            yield f"voyages of {asset}: {two.id} begins before {one.id} ends"
    known = assets_known(sections)
    for voyage in sections["voyages"].values():
        yield from asset_absent(known, f"voyages {voyage.id}.asset", voyage.asset)
