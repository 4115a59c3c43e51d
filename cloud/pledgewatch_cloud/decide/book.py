"""The book: reference data that decisions rest on, and the checks that an amendment must pass.

A book only ever changes by an amendment, and an amendment is a journal entry, so the book of any moment can be had
again. An amendment upserts items by id, section by section, and names items to remove; it is taken whole or refused
whole with every error's place, so the book in force is always a book that passed.

    {"fences": {"type": "FeatureCollection", "features": […]}, "assets": […], "installations": […], "lots": […],
     "prices": […], "facilities": […], "milestones": […], "voyages": […], "alert_rules": […],
     "policies": […], "products": […], "appraisals": […], "parties": […], "senders": […], "shipments": […],
     "stock_sources": […], "warehouses": […], "users": […],
     "remove": {"lots": ["id", …]}}
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from pledgewatch_cloud.decide import canonical
from pledgewatch_cloud.decide.access import users
from pledgewatch_cloud.decide.access.users import User
from pledgewatch_cloud.decide.asset import Fitted, Plan, is_waited_for
from pledgewatch_cloud.decide.collateral import policies, products
from pledgewatch_cloud.decide.collateral.policies import PLAIN
from pledgewatch_cloud.decide.collateral.products import Appraisal, Product
from pledgewatch_cloud.decide.collateral.terms import Policy
from pledgewatch_cloud.decide.geofence import Fence, FenceError, FenceIndex
from pledgewatch_cloud.decide.identifiers import is_container
from pledgewatch_cloud.decide.item import BookError, Item
from pledgewatch_cloud.decide.items import alert_rules, assets, facilities, lots, parties, prices, voyages
from pledgewatch_cloud.decide.items.alert_rules import AlertRule
from pledgewatch_cloud.decide.items.assets import ASSET_KINDS, Asset, Installation
from pledgewatch_cloud.decide.items.facilities import Facility
from pledgewatch_cloud.decide.items.lots import Lot
from pledgewatch_cloud.decide.items.parties import Party
from pledgewatch_cloud.decide.items.prices import Price
from pledgewatch_cloud.decide.items.sections import Sections, grouped
from pledgewatch_cloud.decide.milestones import terms as milestone_terms
from pledgewatch_cloud.decide.milestones.terms import Milestone, Scope
from pledgewatch_cloud.decide.plausibility import Rules
from pledgewatch_cloud.decide.presence import Ground
from pledgewatch_cloud.decide.silence import Patience
from pledgewatch_cloud.decide.stock import stock_terms
from pledgewatch_cloud.decide.stock.stock_terms import StockSource
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.decide.trade import senders, shipments
from pledgewatch_cloud.decide.trade.notice import Notice
from pledgewatch_cloud.decide.trade.senders import Sender
from pledgewatch_cloud.decide.trade.shipments import Shipment
from pledgewatch_cloud.decide.voyage import Leg, Voyage, in_force
from pledgewatch_cloud.decide.warehouse import terms as warehouse_terms
from pledgewatch_cloud.decide.warehouse.terms import Warehouse, Watched, Zone

MAX_ITEMS_PER_AMENDMENT = 200_000


@dataclass(frozen=True)
class Book:
    """Reference data in force, each section by id. `fence_index` is prepared once for each set of fences."""

    fences: Mapping[str, Fence]
    assets: Mapping[str, Asset]
    installations: Mapping[str, Installation]
    lots: Mapping[str, Lot]
    prices: Mapping[str, Price]
    facilities: Mapping[str, Facility]
    milestones: Mapping[str, Milestone]
    voyages: Mapping[str, Voyage]
    alert_rules: Mapping[str, AlertRule]
    policies: Mapping[str, Policy]
    products: Mapping[str, Product]
    appraisals: Mapping[str, Appraisal]
    parties: Mapping[str, Party]
    senders: Mapping[str, Sender]
    shipments: Mapping[str, Shipment]
    stock_sources: Mapping[str, StockSource]
    warehouses: Mapping[str, Warehouse]
    users: Mapping[str, User]
    fence_index: FenceIndex

    def lots_of_asset(self, asset: str) -> list[Lot]:
        """The lots that have a stay in an asset, now or at another time, by id."""
        return self._lots_by_asset.get(asset, [])

    def lots_in(self, asset: str, at_ms: int) -> list[Lot]:
        """The lots that are in an asset at a moment, by id."""
        return [lot for lot in self.lots_of_asset(asset) if lot.stay_at(at_ms).asset == asset]

    def lots_of_facility(self, facility: str) -> list[Lot]:
        """The lots pledged to a facility, by id."""
        return self._lots_by_facility.get(facility, [])

    def lots_on_receipt(self, receipt: str) -> list[Lot]:
        """The lots that name an electronic receipt, by id."""
        return self._lots_by_receipt.get(receipt, [])

    @property
    def electronic_receipts(self) -> Iterable[str]:
        """The ids of the electronic receipts that lots name."""
        return self._lots_by_receipt.keys()

    def policy_of(self, facility: str) -> Policy:
        """What a facility asks of its goods; the plain policy where it names none. Raises KeyError."""
        policy = self.facilities[facility].policy
        return self.policies[policy] if policy else PLAIN

    def milestones_of_facility(self, facility: str) -> list[Milestone]:
        """A facility's milestones, by id."""
        return self._milestones_by_facility.get(facility, [])

    def milestones_of_asset(self, asset: str) -> list[str]:
        """The milestones about goods that have a stay in an asset."""
        return self._milestones_by_asset.get(asset, [])

    def milestones_about(self, notice: Notice) -> list[str]:
        """The milestones about what a notice is about."""
        found = {one for reference in notice.references for one in self._milestones_by_reference.get(reference, ())}
        return sorted(found)

    def milestones_by_value(self, facility: str) -> list[str]:
        """The milestones of a facility that ask what its goods are worth, or release a share of that."""
        return self._milestones_by_value.get(facility, [])

    def milestones_after(self, milestone: str) -> list[str]:
        """The milestones that wait for the release of another."""
        return self._milestones_by_waiting.get(milestone, [])

    def scope_of(self, milestone: Milestone) -> Scope:
        """The lots and references that a milestone is about."""
        return milestone_terms.scope_of(milestone, self.lots, self.shipments)

    def devices_of_asset(self, asset: str) -> list[Installation]:
        """The devices fitted to an asset, by name."""
        return self._devices_by_asset.get(asset, [])

    def assets_behind(self, gateway: str) -> list[str]:
        """The assets whose devices speak through a gateway."""
        return self._assets_by_gateway.get(gateway, [])

    def legs_of(self, asset: str) -> tuple[Leg, ...]:
        """The legs of all voyages of an asset, in order of time."""
        return self._legs_by_asset.get(asset, ())

    def plan_of(self, asset: str) -> Plan:
        """What an asset is judged by, prepared at its first use."""
        plan = self._plans.get(asset)
        if plan is None:
            plan = self._plans[asset] = self._plan(asset)
        return plan

    @cached_property
    def assets_waited_for(self) -> frozenset[str]:
        """The assets with a device that should be heard since it was fitted."""
        return frozenset(asset for asset in self._devices_by_asset if is_waited_for(self.plan_of(asset)))

    @cached_property
    def ground(self) -> Ground:
        """What presence is judged against."""
        scoped = frozenset(fence.id for fence in self.fences.values() if fence.is_scoped)
        return Ground(self.fence_index, self.fences, scoped)

    @cached_property
    def watched(self) -> Mapping[str, Watched]:
        """The devices at zones and gates of warehouses, by name."""
        return warehouse_terms.watched_of(self.warehouses.values(), self.devices_of_asset)

    @cached_property
    def zones(self) -> Mapping[str, tuple[Warehouse, Zone]]:
        """The zones of warehouses, by asset."""
        return {zone.asset: (one, zone) for one in self.warehouses.values() for zone in one.zones}

    @cached_property
    def zone_of_bin(self) -> Mapping[tuple[str, str], str]:
        """The assets of zones, by warehouse and bin."""
        return {(one.id, place): asset for asset, (one, zone) in self.zones.items() for place in zone.bins}

    @cached_property
    def _plans(self) -> dict[str, Plan]:
        return {}

    @cached_property
    def _lots_by_asset(self) -> dict[str, list[Lot]]:
        found: dict[str, list[Lot]] = {}
        for _, lot in sorted(self.lots.items()):
            for asset in lot.assets:
                found.setdefault(asset, []).append(lot)
        return found

    @cached_property
    def _lots_by_facility(self) -> dict[str, list[Lot]]:
        return grouped(self.lots, "facility")

    @cached_property
    def _lots_by_receipt(self) -> dict[str, list[Lot]]:
        found: dict[str, list[Lot]] = {}
        for _, lot in sorted(self.lots.items()):
            if lot.receipt and not lot.receipt.state:
                found.setdefault(lot.receipt.id, []).append(lot)
        return found

    @cached_property
    def _milestones_by_facility(self) -> dict[str, list[Milestone]]:
        return grouped(self.milestones, "facility")

    @cached_property
    def _milestones_by_asset(self) -> dict[str, list[str]]:
        return self._milestones_by(lambda one: (asset for lot in self.scope_of(one).lots for asset in lot.assets))

    @cached_property
    def _milestones_by_reference(self) -> dict[str, list[str]]:
        return self._milestones_by(lambda one: self.scope_of(one).references)

    @cached_property
    def _milestones_by_value(self) -> dict[str, list[str]]:
        return self._milestones_by(lambda one: [one.facility] if milestone_terms.asks_for_value(one) else [])

    @cached_property
    def _milestones_by_waiting(self) -> dict[str, list[str]]:
        return self._milestones_by(milestone_terms.waits_for)

    def _milestones_by(self, keys: Callable[[Milestone], Iterable[str]]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for identity, one in sorted(self.milestones.items()):
            for key in {*keys(one)}:
                found.setdefault(key, []).append(identity)
        return found

    @cached_property
    def _devices_by_asset(self) -> dict[str, list[Installation]]:
        return grouped(self.installations, "asset")

    @cached_property
    def _assets_by_gateway(self) -> dict[str, list[str]]:
        found = grouped(self.installations, "gateway")
        return {gateway: sorted({one.asset for one in some}) for gateway, some in found.items() if gateway}

    @cached_property
    def _legs_by_asset(self) -> dict[str, tuple[Leg, ...]]:
        return {
            asset: tuple(sorted((leg for one in some for leg in one.legs), key=lambda leg: leg.from_ms))
            for asset, some in grouped(self.voyages, "asset").items()
        }

    def _plan(self, asset: str) -> Plan:
        known = self.assets.get(asset)
        limits: dict[int, list[Any]] = {}
        kinetics: dict[int, list[Any]] = {}
        stuck_after_s: dict[int, int] = {}
        for lot in self.lots_of_asset(asset):
            for limit in lot.limits:
                judged = in_force(self.legs_of(asset), limit.legs, within=lot.there(asset), without=limit.ignore)
                limits.setdefault(limit.channel, []).append((lot.id, limit._replace(judged=judged)))
                if limit.stuck_after_s:
                    before = stuck_after_s.get(limit.channel, limit.stuck_after_s)
                    stuck_after_s[limit.channel] = min(before, limit.stuck_after_s)
            rule = lot.kinetic_in(asset)
            if rule:
                kinetics.setdefault(rule.channel, []).append((lot.id, rule))
        speed = known.max_speed_mmps if known else ASSET_KINDS["container" if is_container(asset) else "other"]
        devices = {
            one.device: Fitted(
                Rules(speed, one.calibrated_until_ms, stuck_after_s),
                # Nobody waits for a device that is retired.
                Patience(0, 0) if one.retired else one.patience,
                {} if one.retired else dict(one.sensors),
                one.fitted_ms,
                1_000 * one.ahead_s,
            )
            for one in self.devices_of_asset(asset)
        }
        patiences = [one for fitted in devices.values() for one in (fitted.patience, *fitted.sensors.values())]
        waits = [wait for one in patiences for wait in one if wait]
        waits += [limit.max_gap_s for some in limits.values() for _, limit in some if limit.max_gap_s]
        waits += [rule.max_gap_s for some in kinetics.values() for _, rule in some]
        return Plan(
            devices,
            {channel: tuple(some) for channel, some in limits.items()},
            {channel: tuple(some) for channel, some in kinetics.items()},
            self.legs_of(asset),
            self.ground,
            1_000 * min(waits, default=NEVER),
        )


_ROOMS = (
    *(assets, lots, prices, facilities, voyages, alert_rules, policies, products, parties),
    *(senders, shipments, milestone_terms, stock_terms, warehouse_terms, users),
)
"""Where the sections are at home (see items.sections). Fences are GeoJSON: see geofence."""
READERS = {section: read for room in _ROOMS for section, read in room.READERS.items()}
_WRITERS: Mapping[str, Callable[[str, Any], dict[str, Any]]] = {
    section: room.as_document for room in _ROOMS for section in room.READERS
}
SECTIONS = tuple(field.name for field in fields(Book) if field.name != "fence_index")


def empty() -> Book:
    """The book before the first amendment."""
    sections: dict[str, Any] = {name: {} for name in SECTIONS}
    return Book(**sections, fence_index=FenceIndex({}))


def amend(book: Book, document: object) -> Book:
    """The book after an amendment. Raises BookError with every fault found; `book` is never changed."""
    errors: list[str] = []
    if not isinstance(document, dict):
        raise BookError([f"an amendment is a JSON object with any of {', '.join(SECTIONS)}, remove"])
    try:
        canonical.encode(document)
    except (UnicodeEncodeError, ValueError, TypeError):
        raise BookError(["the amendment holds text that is no Unicode, or a number that is none"]) from None
    unknown = sorted({str(key) for key in document} - {*SECTIONS, "remove"})
    errors += [f"{key}: no such section; there are {', '.join(SECTIONS)}, remove" for key in unknown]
    sections: dict[str, dict[str, Any]] = {name: dict(getattr(book, name)) for name in SECTIONS}
    _remove(sections, document.get("remove", {}), errors)
    for name in SECTIONS:
        if name == "fences" and name in document:
            _fences(sections[name], document[name], errors)
        elif name in document:
            _upsert(sections[name], name, document[name], errors)
    if not errors:
        errors += _cross_check(sections)
        errors += assets.moved(book.installations, sections["installations"])
        errors += milestone_terms.rehomed(book.milestones, sections["milestones"])
        errors += lots.relocated(book.lots, sections["lots"])
    if errors:
        raise BookError(errors)
    same_fences = sections["fences"] == book.fences
    return Book(**sections, fence_index=book.fence_index if same_fences else FenceIndex(sections["fences"]))


def is_same(one: Book, other: Book) -> bool:
    """Whether two books say the same."""
    return all(getattr(one, name) == getattr(other, name) for name in SECTIONS)


def as_document(book: Book) -> dict[str, Any]:
    """The amendment that makes this book out of the empty one."""
    document: dict[str, Any] = {
        "fences": {"type": "FeatureCollection", "features": [fence.as_feature() for fence in book.fences.values()]}
    }
    for name in READERS:
        document[name] = [_WRITERS[name](name, one) for one in getattr(book, name).values()]
    return document


def _upsert(section: dict[str, Any], name: str, value: object, errors: list[str]) -> None:
    if not isinstance(value, list) or len(value) > MAX_ITEMS_PER_AMENDMENT:
        errors.append(f"{name}: a list of at most {MAX_ITEMS_PER_AMENDMENT} items is needed")
        return
    given: set[str] = set()
    for place, one in enumerate(value):
        try:
            item = Item(f"{name}[{place}]", facilities.with_movements(section, one) if name == "facilities" else one)
            parsed = READERS[name](item)
            item.end()
            if parsed[0] in given:
                raise item.error("id", f"{parsed[0]!r} comes twice in this amendment")
            given.add(parsed[0])
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
    given: set[str] = set()
    for place, feature in enumerate(features):
        try:
            fence = Fence.from_feature(feature)
        except FenceError as error:
            errors.append(f"fences.features[{place}]: {error}")
            continue
        if fence.id in given:
            errors.append(f"fences.features[{place}]: {fence.id} comes twice in this amendment")
        given.add(fence.id)
        section[fence.id] = fence


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


def _cross_check(sections: Sections) -> Iterator[str]:
    """What only the whole book can show: references that lead nowhere, goods with two prices, legs that meet."""
    for faults in _FAULTS:
        yield from faults(sections)


def _fences_astray(sections: Sections) -> Iterator[str]:
    known = {leg.id for voyage in sections["voyages"].values() for leg in voyage.legs}
    for fence in sections["fences"].values():
        for leg in fence.legs:
            if leg not in known:
                yield f"fences {fence.id}.legs: no voyage has a leg {leg!r}"


_FAULTS: tuple[Callable[[Sections], Iterator[str]], ...] = (
    *(voyages.faults, lots.faults, facilities.faults, policies.faults, products.faults, shipments.faults),
    *(senders.faults, milestone_terms.faults, stock_terms.faults, warehouse_terms.faults),
    *(alert_rules.faults, users.faults, _fences_astray),
)
"""What is asked of the whole book after an amendment, in the order in which it is told."""
