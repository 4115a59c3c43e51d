"""Warehouses in the book: their zones, gates and fences, what goods weigh, who may count, when they are open.

A warehouse is a party of the book. A zone is an asset whose device watches some bins: what its scales, counters and
tags say can be held against what the stock system has in those bins. A gate is an asset whose device reads the tags
that pass. Goods kept here do not leave the fences. Each of these may be left out: what is not watched says nothing.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from pledgewatch_cloud.decide.item import MAX_WAIT_S, BookError, Item
from pledgewatch_cloud.decide.items.assets import Installation, asset_absent, assets_known
from pledgewatch_cloud.decide.items.sections import Sections, absent
from pledgewatch_cloud.decide.moments import EPOCH, iso
from pledgewatch_cloud.decide.stock.rows import RowError, word
from pledgewatch_cloud.decide.stock.stock_terms import OFFSET_MAX_MINUTES

GRACE_S = 900
MAX_ZONES = 1_000
MAX_BINS = 10_000
MAX_SKUS = 100_000
MAX_WEIGHT_G = 10**9
MAX_PIECES = 10**9
MAX_OFFSETS = 200
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
TIME_OF_DAY = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00")
_DAY_MINUTES = 24 * 60
_MINUTE_MS = 60_000
_EPOCH_WEEKDAY = EPOCH.weekday()


class Zone(NamedTuple):
    """The bins that the device of an asset watches, and by how much what it measures may be off: grams in all, and
    pieces or tags in all."""

    asset: str
    bins: tuple[str, ...]
    weight_tolerance_g: int = 0
    pieces_tolerance: int = 0


class OpenTime(NamedTuple):
    """Some days of the week, by their place in DAYS, on which it is open within [from_minute, until_minute) of the
    day."""

    days: tuple[int, ...]
    from_minute: int
    until_minute: int


class Hours(NamedTuple):
    """When a warehouse is open, by its own clocks: `utc_offset_minutes` is how far they are ahead of UTC before the
    first of `changes`, which are moments with the offset from then on, in order. No zone's name is here: what clocks
    were set to is no part of a program, and a decision must be the same on every machine."""

    utc_offset_minutes: int
    open: tuple[OpenTime, ...]
    changes: tuple[tuple[int, int], ...] = ()

    def is_open(self, at_ms: int) -> bool:
        """Whether it is open at a moment."""
        offset = self.utc_offset_minutes
        for since_ms, after in self.changes:
            offset = after if at_ms >= since_ms else offset
        day, minute = divmod(at_ms // _MINUTE_MS + offset, _DAY_MINUTES)
        weekday = (day + _EPOCH_WEEKDAY) % len(DAYS)
        return any(weekday in one.days and one.from_minute <= minute < one.until_minute for one in self.open)


class Warehouse(NamedTuple):
    """A warehouse. `id` is the party's.

    `gates`: assets whose devices read tags that pass. `fences`: goods kept here are within one of these.
    `unit_weights_g`: by SKU, what one unit weighs. `grace_s`: for so long what is measured and what the stock system
    says may differ before it is a mismatch. `inspectors`: the parties that may count here; without one nobody may.
    `hours` None: it is always open.
    """

    id: str
    zones: tuple[Zone, ...] = ()
    gates: tuple[str, ...] = ()
    fences: tuple[str, ...] = ()
    unit_weights_g: Mapping[str, int] = {}
    grace_s: int = GRACE_S
    inspectors: tuple[str, ...] = ()
    hours: Hours | None = None


def _warehouse(item: Item) -> Warehouse:
    zones = tuple(_zone(one) for one in item.items("zones")) if item.has("zones") else ()
    if len(zones) > MAX_ZONES:
        raise item.error("zones", f"at most {MAX_ZONES}")
    _each_once(item, zones)
    return Warehouse(
        item.text("id"),
        tuple(sorted(zones)),
        item.ids("gates"),
        item.ids("fences"),
        _weights(item),
        item.integer("grace_s", 0, MAX_WAIT_S, GRACE_S),
        item.ids("inspectors"),
        _hours(item.item("hours")),
    )


def _each_once(item: Item, zones: tuple[Zone, ...]) -> None:
    """No asset and no bin is in two zones: its goods would be measured or expected twice."""
    assets, bins = set[str](), dict[str, str]()
    for zone in zones:
        if zone.asset in assets:
            raise item.error("zones", f"{zone.asset} is in it twice; put all its bins into one zone")
        assets.add(zone.asset)
        for one in zone.bins:
            other = bins.setdefault(one, zone.asset)
            if other != zone.asset:
                raise item.error("zones", f"bin {one!r} is in {other} and in {zone.asset}; leave it in one of them")


def _zone(item: Item) -> Zone:
    zone = Zone(
        item.text("asset"),
        _bins(item),
        item.integer("weight_tolerance_g", 0, MAX_WEIGHT_G, 0),
        item.integer("pieces_tolerance", 0, MAX_PIECES, 0),
    )
    item.end()
    return zone


def _bins(item: Item) -> tuple[str, ...]:
    value = item.value("bins")
    if not isinstance(value, list) or not 0 < len(value) <= MAX_BINS:
        raise item.error("bins", f"a list of 1 to {MAX_BINS} bins is needed, as the stock system writes them")
    return tuple(sorted({_word(item, f"bins[{place}]", one) for place, one in enumerate(value)}))


def _weights(item: Item) -> dict[str, int]:
    value = item.value("unit_weights_g") if item.has("unit_weights_g") else {}
    if not isinstance(value, dict) or len(value) > MAX_SKUS:
        raise item.error("unit_weights_g", f"an object from SKU to grams, of at most {MAX_SKUS}, is needed")
    for sku, weight in value.items():
        _word(item, "unit_weights_g", sku)
        if type(weight) is not int or not 0 < weight <= MAX_WEIGHT_G:
            raise item.error(f"unit_weights_g.{sku}", f"{weight!r} is not a whole number from 1 to {MAX_WEIGHT_G}")
    return dict(sorted(value.items()))


def _word(item: Item, key: str, value: object) -> str:
    if not isinstance(value, str):
        raise item.error(key, f"{value!r} is no text: put it in quotes")
    try:
        return word(f"{item.place}.{key}", value)
    except RowError as error:
        raise BookError(list(error.errors)) from None


def _hours(item: Item | None) -> Hours | None:
    if item is None:
        return None
    hours = Hours(
        _offset(item),
        tuple(_open_time(one) for one in item.items("open")),
        tuple(_change(one) for one in item.items("changes")) if item.has("changes") else (),
    )
    item.end()
    if len(hours.changes) > MAX_OFFSETS or len(hours.open) > _DAY_MINUTES:
        raise item.error("changes", f"at most {MAX_OFFSETS}, and at most {_DAY_MINUTES} of open")
    if [since_ms for since_ms, _ in hours.changes] != sorted({since_ms for since_ms, _ in hours.changes}):
        raise item.error("changes", "each must begin after the one before it")
    return hours


def _offset(item: Item) -> int:
    return item.integer("utc_offset_minutes", -OFFSET_MAX_MINUTES, OFFSET_MAX_MINUTES)


def _change(item: Item) -> tuple[int, int]:
    change = item.moment("from"), _offset(item)
    item.end()
    return change


def _open_time(item: Item) -> OpenTime:
    days = tuple(DAYS.index(one) for one in item.words("days", DAYS))
    opened = OpenTime(days, _minute(item, "from"), _minute(item, "until"))
    item.end()
    if not days:
        raise item.error("days", f"is missing: name some of {', '.join(DAYS)}")
    if opened.from_minute >= opened.until_minute:
        raise item.error("until", "is not after from; write what goes over midnight as two, up to 24:00 and from 00:00")
    return opened


def _minute(item: Item, key: str) -> int:
    hours, _, minutes = item.text(key, TIME_OF_DAY).partition(":")
    return 60 * int(hours) + int(minutes)


class Watched(NamedTuple):
    """A device at a zone or a gate of a warehouse, and from when on, until when and how far ahead it is believed."""

    asset: str
    is_zone: bool
    is_gate: bool
    fitted_ms: int
    calibrated_until_ms: int
    ahead_ms: int


def watched_of(
    warehouses: Iterable[Warehouse], devices_of: Callable[[str], Iterable[Installation]]
) -> dict[str, Watched]:
    """The devices at zones and gates, by name."""
    zones, gates = set[str](), set[str]()
    for one in warehouses:
        zones.update(zone.asset for zone in one.zones)
        gates.update(one.gates)
    return {
        one.device: Watched(
            asset, asset in zones, asset in gates, one.fitted_ms, one.calibrated_until_ms, 1_000 * one.ahead_s
        )
        for asset in sorted(zones | gates)
        for one in devices_of(asset)
    }


READERS: dict[str, Callable[[Item], Any]] = {"warehouses": _warehouse}
"""How an item of each section is read."""


def as_document(_section: str, item: Warehouse) -> dict[str, Any]:
    """A warehouse as an amendment says it: what its reader takes, without what says nothing."""
    written = {key: list(one) if isinstance(one, tuple) else one for key, one in item._asdict().items() if one}
    written["grace_s"] = item.grace_s
    if item.zones:
        written["zones"] = [{**zone._asdict(), "bins": list(zone.bins)} for zone in item.zones]
    if item.unit_weights_g:
        written["unit_weights_g"] = dict(item.unit_weights_g)
    if item.hours:
        written["hours"] = _hours_document(item.hours)
    return written


def _hours_document(hours: Hours) -> dict[str, Any]:
    opened = [
        {"days": [DAYS[day] for day in one.days], "from": _clock(one.from_minute), "until": _clock(one.until_minute)}
        for one in hours.open
    ]
    changes = [{"from": iso(since_ms), "utc_offset_minutes": offset} for since_ms, offset in hours.changes]
    return {"utc_offset_minutes": hours.utc_offset_minutes, "open": opened} | ({"changes": changes} if changes else {})


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def faults(sections: Sections) -> Iterator[str]:
    """What only the whole book can show: references that lead nowhere, and zones of two warehouses."""
    known = assets_known(sections)
    homes: dict[str, str] = {}
    for identity, one in sorted(sections["warehouses"].items()):
        place = f"warehouses {identity}"
        yield from absent(sections, f"{place}.id", "parties", identity)
        for fence in one.fences:
            yield from absent(sections, f"{place}.fences", "fences", fence)
            if fence in sections["fences"] and sections["fences"][fence].is_scoped:
                yield f"{place}.fences: {fence} does not hold at all times; leave out its active and legs"
        for inspector in one.inspectors:
            yield from absent(sections, f"{place}.inspectors", "parties", inspector)
        for key, asset in [*(("zones", zone.asset) for zone in one.zones), *(("gates", gate) for gate in one.gates)]:
            yield from asset_absent(known, f"{place}.{key}", asset)
            other = homes.setdefault(asset, identity)
            if other != identity:
                yield f"{place}.{key}: {asset} is in {other} already; its device can be in one place only"
