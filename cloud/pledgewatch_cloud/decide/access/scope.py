"""What somebody may see: which facilities, lots, receipts, warehouses and devices, and of which assets which time.

| role | lots | assets | receipts |
|---|---|---|---|
| keeper | all | all | all |
| lender | of its facilities, what is found of them while pledged | of its pledges, in their time | pledged to it |
| borrower | of its facilities | of its lots, in their stays | that it holds or has deposited |
| operator | none | that its devices are fitted to | none |
| warehouse | none | its zones and gates | that it has issued |
| insurer, auditor | as a lender, of the facilities named for them | as a lender | as a lender |

A warehouse is seen by itself, and by who sees a receipt of it.

A pledge that has ended shows what it showed until its records need be kept no longer, and no more than that: nothing
of before it began or after it ended. What shows how things are *now* is seen only while a pledge runs.

Money (prices, quotes, what is lent) is seen by keeper, lender, borrower and auditor.
"""

from collections.abc import Iterable
from functools import cached_property
from typing import NamedTuple

from pledgewatch_cloud.decide.access import pledges as pledges_module
from pledgewatch_cloud.decide.access.pledges import Pledge, Pledges
from pledgewatch_cloud.decide.access.users import NAMED, Role
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.receipts.receipt import Receipt
from pledgewatch_cloud.decide.receipts.receipt_book import ReceiptBook
from pledgewatch_cloud.decide.stretches import ALWAYS, NEVER, NONE, Stretches, joined
from pledgewatch_cloud.decide.warehouse.shortfall import Pool

_WITH_MONEY = frozenset({Role.KEEPER, Role.LENDER, Role.BORROWER, Role.AUDITOR})
_BY_PLEDGE = frozenset({Role.LENDER, Role.INSURER, Role.AUDITOR})


class Viewer(NamedTuple):
    """Somebody who asks. `facilities` are those named for an insurer or an auditor."""

    user: str
    party: str
    role: Role
    facilities: frozenset[str] = frozenset()
    may_write: bool = False


class _There(NamedTuple):
    """The assets and devices that are seen at each moment of a stretch."""

    since_ms: int
    until_ms: int
    assets: frozenset[str]
    devices: frozenset[str]


class Scope:
    """What a viewer may see by a book, the receipts and the pledges. Worked out as far as it is asked."""

    def __init__(self, viewer: Viewer, book: Book, receipts: ReceiptBook, pledges: Pledges) -> None:
        self.viewer, self.book, self.pledges = viewer, book, pledges
        self.all_receipts = receipts
        self.is_all = viewer.role is Role.KEEPER
        self.sees_money = viewer.role in _WITH_MONEY
        self._there = _There(NEVER, -NEVER, frozenset(), frozenset())

    @cached_property
    def facilities(self) -> frozenset[str]:
        """The facilities that are seen, their money only where `sees_money`."""
        party, role, some = self.viewer.party, self.viewer.role, self.book.facilities
        if role is Role.LENDER:
            return frozenset(key for key, one in some.items() if one.lender == party)
        if role is Role.BORROWER:
            return frozenset(key for key, one in some.items() if one.borrower == party)
        return self.viewer.facilities & some.keys() if role in NAMED else frozenset(some if self.is_all else ())

    @cached_property
    def lots(self) -> frozenset[str]:
        """The lots of the book that are seen."""
        if self.is_all:
            return frozenset(self.book.lots)
        return frozenset(lot.id for facility in self.facilities for lot in self.book.lots_of_facility(facility))

    @cached_property
    def _ties(self) -> tuple[Pledge, ...]:
        """The pledges that show anything."""
        party, role = self.viewer.party, self.viewer.role
        if role is Role.LENDER:
            return tuple(one for one in self.pledges if one.lender == party)
        if role is Role.BORROWER:
            return tuple(one for one in self.pledges if one.borrower == party and not one.runs)
        return tuple(one for one in self.pledges if one.facility in self.viewer.facilities) if role in NAMED else ()

    @cached_property
    def pledged_lots(self) -> frozenset[str]:
        """The lots of which is seen what is found of them now."""
        if self.viewer.role in _BY_PLEDGE:
            return frozenset(one.lot for one in self._ties if one.runs and one.lot) & self.lots
        return self.lots

    @cached_property
    def receipts(self) -> frozenset[str]:
        """The receipts that are seen as they stand."""
        if self.viewer.role in _BY_PLEDGE:
            return frozenset(one.receipt for one in self._ties if one.runs and one.receipt)
        return frozenset(one.id for one in self.all_receipts.receipts() if self._is_own(one))

    def _is_own(self, one: Receipt) -> bool:
        match self.viewer.role:
            case Role.KEEPER:
                return True
            case Role.BORROWER:
                return self.viewer.party in (one.depositor, one.holder)
            case Role.WAREHOUSE:
                return one.warehouse == self.viewer.party
            case _:
                return False

    def sees_receipt(self, name: str, entry: int) -> bool:
        """Whether what an entry has made of a receipt is seen: from the act that pledged it to the one that ended
        that."""
        if self.viewer.role not in _BY_PLEDGE:
            return name in self.receipts
        return any(one.receipt == name and one.from_entry <= entry <= one.until_entry for one in self._ties)

    def when_lot(self, lot: str) -> Stretches:
        """When what is found of a lot is seen."""
        if self.viewer.role not in _BY_PLEDGE:
            return ALWAYS if lot in self.lots else NONE
        return joined((one.from_ms, one.until_ms) for one in self._ties if one.lot == lot)

    def is_own_warehouse(self, name: str) -> bool:
        """Whether the viewer is the warehouse."""
        return self.viewer.role is Role.WAREHOUSE and name == self.viewer.party

    @cached_property
    def warehouses(self) -> frozenset[str]:
        """The warehouses that are seen."""
        if self.viewer.role is Role.WAREHOUSE:
            return frozenset({self.viewer.party}) & self.book.warehouses.keys()
        if self.is_all:
            return frozenset(self.book.warehouses)
        some = map(self.all_receipts.get, self.receipts)
        return frozenset(one.warehouse for one in some if one is not None) & self.book.warehouses.keys()

    @cached_property
    def _stays(self) -> dict[str, Stretches]:
        """By asset: when it is seen."""
        found: dict[str, list[tuple[int, int]]] = {}
        for asset, since_ms, until_ms in self._seen_stays():
            found.setdefault(asset, []).append((since_ms, until_ms))
        return {asset: joined(some) for asset, some in found.items()}

    def _seen_stays(self) -> Iterable[tuple[str, int, int]]:
        match self.viewer.role:
            case Role.OPERATOR:
                for device in self.book.installations.values():
                    if device.operator == self.viewer.party:
                        yield device.asset, -NEVER, NEVER
            case Role.WAREHOUSE:
                for name in self.warehouses:
                    known = self.book.warehouses[name]
                    for asset in (*(zone.asset for zone in known.zones), *known.gates):
                        yield asset, -NEVER, NEVER
            case Role.BORROWER:
                for name in self.lots:
                    yield from self.book.lots[name].whereabouts
        for one in self._ties:
            yield from pledges_module.whereabouts(one, self.book, self.all_receipts)

    def when_asset(self, asset: str) -> Stretches:
        """When an asset is seen."""
        return ALWAYS if self.is_all else self._stays.get(asset, NONE)

    def sees_asset(self, asset: str, at_ms: int) -> bool:
        """Whether an asset is seen at a moment."""
        return any(since_ms <= at_ms < until_ms for since_ms, until_ms in self.when_asset(asset))

    def assets(self, at_ms: int) -> frozenset[str]:
        """The assets that are seen at a moment."""
        return self._there_at(at_ms).assets

    def devices(self, at_ms: int) -> frozenset[str]:
        """The devices that are seen at a moment: an operator's own, else those fitted to what is seen."""
        return self._there_at(at_ms).devices

    def _there_at(self, at_ms: int) -> _There:
        """Found out once for each stretch in which nothing begins to be seen or ends; most go on for long."""
        if not self._there.since_ms <= at_ms < self._there.until_ms:
            self._there = self._found_at(at_ms)
        return self._there

    def _found_at(self, at_ms: int) -> _There:
        if self.is_all:
            assets = frozenset(one.asset for one in self.book.installations.values()) | self.book.assets.keys()
            return _There(-NEVER, NEVER, assets, frozenset(self.book.installations))
        turns = {moment for when in self._stays.values() for stretch in when for moment in stretch}
        assets = frozenset(asset for asset in self._stays if self.sees_asset(asset, at_ms))
        party = self.viewer.party if self.viewer.role is Role.OPERATOR else ""
        fitted = (one for asset in assets for one in self.book.devices_of_asset(asset))
        return _There(
            max((one for one in turns if one <= at_ms), default=-NEVER),
            min((one for one in turns if one > at_ms), default=NEVER),
            assets,
            frozenset(one.device for one in fitted if not party or one.operator == party),
        )

    def sees_pool(self, pool: Pool) -> bool:
        """Whether the stock of some goods is seen."""
        match self.viewer.role:
            case Role.KEEPER:
                return True
            case Role.WAREHOUSE:
                return pool.warehouse == self.viewer.party
            case Role.BORROWER:
                return pool.owner == self.viewer.party
            case _:
                return False
