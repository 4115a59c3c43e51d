"""The book: reference data that decisions rest on, and the checks that an amendment must pass.

A book only ever changes by an amendment, and an amendment is a journal entry, so the book of any moment can be had
again. An amendment upserts items by id, section by section, and names items to remove; it is taken whole or refused
whole with every error's place, so the book in force is always a book that passed.

    {"fences": {"type": "FeatureCollection", "features": […]},
     "installations": […], "lots": […], "prices": […], "facilities": […], "milestones": […],
     "remove": {"lots": ["id", …]}}

Amounts are integers in minor units, haircuts in basis points, temperatures in thousandths of a degree.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from pledgewatch_cloud.decide.geofence import Fence, FenceError, FenceIndex
from pledgewatch_wire import chain, topics
from pledgewatch_wire.reading import Channel

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")
_CURRENCY = re.compile(r"[A-Z]{3}")
MAX_AMOUNT_MINOR = 10**15
MAX_ITEMS_PER_AMENDMENT = 200_000


class BookError(ValueError):
    """An amendment that cannot be taken. `errors` holds one sentence for each fault, each naming its place."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("; ".join(errors[:20]) + (f"; and {len(errors) - 20} more" if len(errors) > 20 else ""))
        self.errors = tuple(errors)


class Installation(NamedTuple):
    """Which device is fitted to which asset.

    `silent_after_s` 0: its silence is not judged. `retired` 1: nothing more is taken from it; what it said stands.
    """

    device: str
    operator: str
    asset: str
    public_key: str
    silent_after_s: int
    retired: int


class Limit(NamedTuple):
    """What one channel must stay within, and for how long it may be outside before the condition is breached."""

    channel: int
    low: int
    high: int
    grace_s: int


class Lot(NamedTuple):
    """Goods in an asset, pledged to a facility. `haircut_bp` is taken off its market value."""

    id: str
    asset: str
    facility: str
    sku: str
    quantity: int
    haircut_bp: int
    limits: tuple[Limit, ...]


class Price(NamedTuple):
    """What one unit of a SKU is worth."""

    sku: str
    unit_price_minor: int
    currency: str


class Facility(NamedTuple):
    """A credit line. `outstanding_minor` is what is drawn."""

    id: str
    lender: str
    borrower: str
    currency: str
    outstanding_minor: int


class Milestone(NamedTuple):
    """Money that may move once the lot's asset has entered the destination and its condition was never breached."""

    id: str
    facility: str
    lot: str
    destination: str
    amount_minor: int
    payee: str


@dataclass(frozen=True)
class Book:
    """Reference data in force, each section by id. `fence_index` is prepared once for each set of fences."""

    fences: Mapping[str, Fence]
    installations: Mapping[str, Installation]
    lots: Mapping[str, Lot]
    prices: Mapping[str, Price]
    facilities: Mapping[str, Facility]
    milestones: Mapping[str, Milestone]
    fence_index: FenceIndex

    def lots_of_asset(self, asset: str) -> list[Lot]:
        """The lots in an asset, by id."""
        return self._lots_by("asset").get(asset, [])

    def lots_of_facility(self, facility: str) -> list[Lot]:
        """The lots pledged to a facility, by id."""
        return self._lots_by("facility").get(facility, [])

    def milestones_of_facility(self, facility: str) -> list[Milestone]:
        """A facility's milestones, by id."""
        return [one for _, one in sorted(self.milestones.items()) if one.facility == facility]

    def _lots_by(self, key: str) -> dict[str, list[Lot]]:
        cache: dict[str, dict[str, list[Lot]]] = self.__dict__.setdefault("_lots", {})
        if key not in cache:
            grouped: dict[str, list[Lot]] = {}
            for _, lot in sorted(self.lots.items()):
                grouped.setdefault(getattr(lot, key), []).append(lot)
            cache[key] = grouped
        return cache[key]


SECTIONS = tuple(field.name for field in fields(Book) if field.name != "fence_index")


def empty() -> Book:
    """The book before the first amendment."""
    return Book({}, {}, {}, {}, {}, {}, FenceIndex({}))


def amend(book: Book, document: object) -> Book:
    """The book after an amendment. Raises BookError with every fault found; `book` is never changed."""
    errors: list[str] = []
    if not isinstance(document, dict):
        raise BookError([f"an amendment is a JSON object with any of {', '.join(SECTIONS)}, remove"])
    unknown = sorted(set(document) - {*SECTIONS, "remove"})
    errors += [f"{key}: no such section; there are {', '.join(SECTIONS)}, remove" for key in unknown]
    sections: dict[str, dict[str, Any]] = {name: dict(getattr(book, name)) for name in SECTIONS}
    _remove(sections, document.get("remove", {}), errors)
    for name, parse in _PARSERS.items():
        if name in document:
            _upsert(sections[name], name, document[name], parse, errors)
    if not errors:
        errors += _cross_check(sections) + _moved(book, sections["installations"])
    if errors:
        raise BookError(errors)
    same_fences = sections["fences"] == book.fences
    return Book(**sections, fence_index=book.fence_index if same_fences else FenceIndex(sections["fences"]))


class _Item:
    """One item of an amendment while it is read: takes keys one by one, and knows its place for the errors."""

    def __init__(self, place: str, value: object) -> None:
        if not isinstance(value, dict):
            raise BookError([f"{place}: an object is needed, not {type(value).__name__}"])
        self.place = place
        self._left = dict(value)

    def text(self, key: str, pattern: re.Pattern[str] = _ID) -> str:
        value = self._take(key)
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise self.error(key, f"{value!r} does not match {pattern.pattern}")
        return value

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        value = self._take(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.error(key, f"{value!r} is not a whole number from {low} to {high}")
        return value

    def items(self, key: str) -> list["_Item"]:
        value = self._take(key, [])
        if not isinstance(value, list):
            raise self.error(key, "a list is needed")
        return [_Item(f"{self.place}.{key}[{place}]", one) for place, one in enumerate(value)]

    def end(self) -> None:
        if self._left:
            raise BookError([f"{self.place}.{key}: no such key" for key in sorted(self._left)])

    def error(self, key: str, text: str) -> BookError:
        return BookError([f"{self.place}.{key}: {text}"])

    def _take(self, key: str, default: object = None) -> object:
        if key not in self._left and default is None:
            raise self.error(key, "is missing")
        return self._left.pop(key, default)


def _installation(item: _Item) -> Installation:
    for key in ("device", "operator"):
        if not topics.is_name(str(item._left.get(key))):  # noqa: SLF001 - the item is this module's own
            raise item.error(key, "use 1 to 64 lower-case letters, digits and hyphens")
    key_text = item.text("public_key", re.compile(r"[0-9a-f]{64}"))
    try:
        chain.public_key(key_text)
    except ValueError:
        raise item.error("public_key", "is no Ed25519 public key; `pledgewatch-edge identity` prints it") from None
    return Installation(
        item.text("device"),
        item.text("operator"),
        item.text("asset"),
        key_text,
        item.integer("silent_after_s", 0, 366 * 86_400, 0),
        item.integer("retired", 0, 1, 0),
    )


def _limit(item: _Item) -> Limit:
    names = {channel.name.lower(): channel for channel in Channel}
    name = item.text("channel")
    if name not in names:
        raise item.error("channel", f"{name!r} is no channel; there are {', '.join(names)}")
    limit = Limit(
        names[name],
        item.integer("low", -(10**9), 10**9),
        item.integer("high", -(10**9), 10**9),
        item.integer("grace_s", 0, 366 * 86_400, 0),
    )
    if limit.low > limit.high:
        raise item.error("low", f"{limit.low} is above high {limit.high}")
    item.end()
    return limit


def _lot(item: _Item) -> Lot:
    lot = Lot(
        item.text("id"),
        item.text("asset"),
        item.text("facility"),
        item.text("sku"),
        item.integer("quantity", 0, 10**9),
        item.integer("haircut_bp", 0, 10_000, 0),
        tuple(_limit(one) for one in item.items("limits")),
    )
    channels = [limit.channel for limit in lot.limits]
    if len(set(channels)) != len(channels):
        raise item.error("limits", "one limit for each channel")
    return lot


def _price(item: _Item) -> Price:
    return Price(
        item.text("sku"), item.integer("unit_price_minor", 0, MAX_AMOUNT_MINOR), item.text("currency", _CURRENCY)
    )


def _facility(item: _Item) -> Facility:
    return Facility(
        item.text("id"),
        item.text("lender"),
        item.text("borrower"),
        item.text("currency", _CURRENCY),
        item.integer("outstanding_minor", 0, MAX_AMOUNT_MINOR, 0),
    )


def _milestone(item: _Item) -> Milestone:
    return Milestone(
        item.text("id"),
        item.text("facility"),
        item.text("lot"),
        item.text("destination"),
        item.integer("amount_minor", 1, MAX_AMOUNT_MINOR),
        item.text("payee"),
    )


_PARSERS: dict[str, Callable[[_Item], Any]] = {
    "fences": lambda _: None,  # GeoJSON has its own reader, see _fences
    "installations": _installation,
    "lots": _lot,
    "prices": _price,
    "facilities": _facility,
    "milestones": _milestone,
}


def _upsert(
    section: dict[str, Any], name: str, value: object, parse: Callable[[_Item], Any], errors: list[str]
) -> None:
    if name == "fences":
        _fences(section, value, errors)
        return
    if not isinstance(value, list) or len(value) > MAX_ITEMS_PER_AMENDMENT:
        errors.append(f"{name}: a list of at most {MAX_ITEMS_PER_AMENDMENT} items is needed")
        return
    for place, one in enumerate(value):
        try:
            item = _Item(f"{name}[{place}]", one)
            parsed = parse(item)
            item.end()
            section[parsed[0]] = parsed
        except BookError as error:
            errors += error.errors


def _fences(section: dict[str, Any], value: object, errors: list[str]) -> None:
    if not isinstance(value, dict) or value.get("type") != "FeatureCollection":
        errors.append("fences: a GeoJSON FeatureCollection is needed (RFC 7946)")
        return
    features = value.get("features")
    if not isinstance(features, list) or len(features) > MAX_ITEMS_PER_AMENDMENT:
        errors.append(f"fences.features: a list of at most {MAX_ITEMS_PER_AMENDMENT} features is needed")
        return
    for place, feature in enumerate(features):
        try:
            fence = Fence.from_feature(feature)
            section[fence.id] = fence
        except FenceError as error:
            errors.append(f"fences.features[{place}]: {error}")


def _remove(sections: dict[str, dict[str, Any]], value: object, errors: list[str]) -> None:
    if not isinstance(value, dict):
        errors.append("remove: an object from section to a list of ids is needed")
        return
    for name, ids in value.items():
        if name not in sections or not isinstance(ids, list):
            errors.append(f"remove.{name}: a section with a list of ids is needed")
            continue
        for one in ids:
            if not isinstance(one, str) or one not in sections[name]:
                errors.append(f"remove.{name}: there is no {one!r}")
            else:
                del sections[name][one]


def _cross_check(sections: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What only the whole book can show: references that lead nowhere, currencies that do not meet."""
    errors: list[str] = []

    def need(place: str, section: str, key: str) -> None:
        if key not in sections[section]:
            errors.append(f"{place}: there is no {key!r} among {section}")

    for lot in sections["lots"].values():
        need(f"lots {lot.id}.facility", "facilities", lot.facility)
        price = sections["prices"].get(lot.sku)
        facility = sections["facilities"].get(lot.facility)
        if price and facility and price.currency != facility.currency:
            errors.append(
                f"lots {lot.id}: {lot.sku} is priced in {price.currency}, its facility lends in {facility.currency}"
            )
    for milestone in sections["milestones"].values():
        place = f"milestones {milestone.id}"
        need(f"{place}.facility", "facilities", milestone.facility)
        need(f"{place}.lot", "lots", milestone.lot)
        need(f"{place}.destination", "fences", milestone.destination)
        lot = sections["lots"].get(milestone.lot)
        if lot and lot.facility != milestone.facility:
            errors.append(f"{place}: its lot is pledged to {lot.facility}, not to {milestone.facility}")
    return errors


def _moved(book: Book, installations: Mapping[str, Installation]) -> list[str]:
    """An installation may be retired but neither moved nor removed: what its device said is told by it for ever."""
    errors = []
    for device, before in book.installations.items():
        after = installations.get(device)
        if after is None:
            errors.append(f"remove.installations: {device} cannot be removed, its readings stand; set retired to 1")
        elif (after.asset, after.operator) != (before.asset, before.operator):
            errors.append(
                f"installations {device}: fitted to {before.asset} by {before.operator}; give the unit a new name"
            )
    return errors


def as_document(book: Book) -> dict[str, Any]:
    """The amendment that makes this book out of the empty one."""
    channel_names = {channel.value: channel.name.lower() for channel in Channel}
    lots = []
    for lot in book.lots.values():
        limits = [{**limit._asdict(), "channel": channel_names[limit.channel]} for limit in lot.limits]
        lots.append({**lot._asdict(), "limits": limits})
    return {
        "fences": {"type": "FeatureCollection", "features": [fence.as_feature() for fence in book.fences.values()]},
        "installations": [one._asdict() for one in book.installations.values()],
        "lots": lots,
        "prices": [one._asdict() for one in book.prices.values()],
        "facilities": [one._asdict() for one in book.facilities.values()],
        "milestones": [one._asdict() for one in book.milestones.values()],
    }
