"""What somebody may see: which facilities, lots, receipts, warehouses and devices, and of which assets which time.

| role | lots | assets | receipts |
|---|---|---|---|
| keeper | all | all | all |
| lender | of its facilities, what is found of them while pledged | of its pledges, in their time | pledged to it |
| borrower | of its facilities, what is found of them while its own | of its lots, in their time | that it holds |
| operator | none | that its devices are fitted to, in their time | none |
| warehouse | none | its zones and gates | that it has issued |
| insurer, auditor | as a lender, of the facilities named for them | as a lender | as a lender |

A warehouse is seen by itself, and by who sees a receipt of it.

A device that is retired shows its operator what was at its asset until then, and nothing of after it.

A pledge that has ended shows what it showed until its records need be kept no longer, and no more than that: nothing
of before it began or after it ended. What shows how things are *now* is seen only while a pledge runs, and only as far
as it was measured since it began. A borrower's lots are its own for as long as a facility of its has them.

Money (prices, quotes, what is lent) is seen by keeper, lender, borrower and auditor.
"""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import NamedTuple

from pledgewatch_cloud.decide.access import pledges as pledges_module
from pledgewatch_cloud.decide.access.pledges import Pledge, Pledges
from pledgewatch_cloud.decide.access.users import NAMED, Role
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.receipts.receipt import Receipt
from pledgewatch_cloud.decide.receipts.receipt_book import ReceiptBook
from pledgewatch_cloud.decide.stretches import ALWAYS, NEVER, NONE, Stretches, joined, stretch_at
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
    """The assets and devices that are seen at each moment of a stretch, and since when each asset has been."""

    since_ms: int
    until_ms: int
    assets: frozenset[str]
    devices: frozenset[str]
    seen_since_ms: dict[str, int]


class Scope:
    """What a viewer may see by a book, the receipts and the pledges, from the moment of asking up to `until_ms`. Worked
    out as far as it is asked."""

    def __init__(
        self,
        viewer: Viewer,
        book: Book,
        receipts: ReceiptBook,
        pledges: Pledges,
        now_ms: int,
        *,
        retired_ms: Mapping[str, int],
    ) -> None:
        """`now_ms` is the moment of asking: pledges that need be kept no longer show nothing. `retired_ms` is when
        devices of the book were retired, each that is."""
        self._retired_ms = retired_ms
        self.viewer, self.book, self.pledges, self._now_ms = viewer, book, pledges, now_ms
        self.all_receipts = receipts
        self.is_all = viewer.role is Role.KEEPER
        self.sees_money = viewer.role in _WITH_MONEY
        self._there = _There(NEVER, -NEVER, frozenset(), frozenset(), {})

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
    def ties(self) -> tuple[Pledge, ...]:
        """The pledges and other ties that show anything."""
        party, role, known = self.viewer.party, self.viewer.role, (one for one in self.pledges if self._is_kept(one))
        if role is Role.LENDER:
            return tuple(one for one in known if one.lender == party)
        if role is Role.BORROWER:
            return tuple(one for one in known if one.borrower == party and one.facility)
        named = self.viewer.facilities if role in NAMED else frozenset[str]()
        return tuple(one for one in known if one.lender and one.facility in named) if named else ()

    def _is_kept(self, one: Pledge) -> bool:
        return self._now_ms < one.keep_until_ms

    @cached_property
    def until_ms(self) -> int:
        """When the next of the ties need be kept no longer."""
        return min((one.keep_until_ms for one in self.ties), default=NEVER)

    @cached_property
    def _by_lot(self) -> dict[str, list[Pledge]]:
        found: dict[str, list[Pledge]] = {}
        for one in self.ties:
            if one.lot:
                found.setdefault(one.lot, []).append(one)
        return found

    @cached_property
    def _when_lots(self) -> dict[str, Stretches]:
        return {lot: joined((one.from_ms, one.until_ms) for one in some) for lot, some in self._by_lot.items()}

    @cached_property
    def _by_facility(self) -> dict[str, list[Pledge]]:
        found: dict[str, list[Pledge]] = {}
        for one in self.ties:
            if one.is_facility:
                found.setdefault(one.facility, []).append(one)
        return found

    @cached_property
    def pledged_lots(self) -> frozenset[str]:
        """The lots of which is seen what is found of them now."""
        if self.is_all:
            return self.lots
        return frozenset(lot for lot, some in self._by_lot.items() if any(one.runs for one in some)) & self.lots

    def when_facility(self, facility: str) -> Stretches:
        """When a facility was the viewer's, or one that is named for them."""
        ties = self._of(facility) if self.is_all else self._by_facility.get(facility, ())
        return joined((one.from_ms, one.until_ms) for one in ties)

    def sees_facility(self, facility: str, entry: int) -> bool:
        """Whether what an entry has made of a facility is seen: by who was its lender or its borrower after the entry,
        and where the entry has closed it, before it."""
        if self.is_all:
            return True
        for one in self._by_facility.get(facility, ()):
            if one.from_entry <= entry < one.until_entry:
                return True
            if entry == one.until_entry and not one.is_followed:
                return True
        return False

    def takes_over(self, facility: str, entry: int) -> bool:
        """Whether an entry has given a facility to the viewer that was another's before."""
        ties = [one for one in self._by_facility.get(facility, ()) if one.from_entry == entry and one.came_from]
        place = {Role.LENDER: 0, Role.BORROWER: 1}.get(self.viewer.role)
        return place is not None and any(one.came_from[place] != self.viewer.party for one in ties)

    def takes_goods(self, facility: str, entry: int) -> bool:
        """Whether an entry has brought goods into a facility of the viewer's that were in another until then."""
        return (facility, entry) in self._taken

    @cached_property
    def _taken(self) -> frozenset[tuple[str, int]]:
        return frozenset((one.facility, one.from_entry) for one in self.ties if one.lot and one.came_from)

    def _of(self, facility: str) -> Iterable[Pledge]:
        """The ties of a facility by itself, to whomever."""
        return (one for one in self.pledges if one.is_facility and one.facility == facility)

    def borrows_of(self, facility: str, lender: str, entry: int) -> bool:
        """Whether a borrower had a facility of this lender at an entry, the one that ended that included; of who is
        none it is not asked."""
        if self.viewer.role is not Role.BORROWER:
            return True
        ties = (one for one in self._by_facility.get(facility, ()) if one.lender == lender)
        return any(one.from_entry <= entry <= one.until_entry for one in ties)

    def sees_goods(self, facility: str, lots: Iterable[str], at_ms: int, entry: int) -> bool:
        """Whether what an entry has said of a moment of some lots of a facility is seen; the entry that ends their
        pledge may say of them what ends with it."""
        if self.is_all:
            return True
        ties = (one for lot in lots for one in self._by_lot.get(lot, ()) if one.facility == facility)
        return any(one.from_ms <= at_ms and (at_ms < one.until_ms or entry == one.until_entry) for one in ties)

    @cached_property
    def receipts(self) -> frozenset[str]:
        """The receipts that are seen as they stand."""
        if self.viewer.role in _BY_PLEDGE:
            return frozenset(one.receipt for one in self.ties if one.runs and one.receipt)
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
        return any(one.receipt == name and one.from_entry <= entry <= one.until_entry for one in self.ties)

    def when_lot(self, lot: str) -> Stretches:
        """When what is found of a lot is seen."""
        if self.is_all:
            return ALWAYS
        return self._when_lots.get(lot, NONE)

    def sees_lot(self, lot: str, at_ms: int) -> bool:
        """Whether what is found of a lot is seen at a moment."""
        return stretch_at(self.when_lot(lot), at_ms) is not None

    def is_own_user(self, name: str) -> bool:
        """Whether a user of the book is of the viewer's party."""
        user = self.book.users.get(name)
        return user is not None and user.party == self.viewer.party

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
                        until_ms = self._retired_ms.get(device.device, -NEVER) if device.retired else NEVER
                        yield device.asset, -NEVER, until_ms
            case Role.WAREHOUSE:
                for name in self.warehouses:
                    known = self.book.warehouses[name]
                    for asset in (*(zone.asset for zone in known.zones), *known.gates):
                        yield asset, -NEVER, NEVER
        for one in self.ties:
            yield from pledges_module.whereabouts(one, self.book, self.all_receipts)

    def when_asset(self, asset: str) -> Stretches:
        """When an asset is seen."""
        return ALWAYS if self.is_all else self._stays.get(asset, NONE)

    def sees_asset(self, asset: str, at_ms: int) -> bool:
        """Whether an asset is seen at a moment."""
        return stretch_at(self.when_asset(asset), at_ms) is not None

    def asset_since_ms(self, asset: str, at_ms: int) -> int:
        """Since when an asset that is seen at a moment has been seen; NEVER where it is not. Of how things are then,
        nothing is seen that was measured before."""
        return -NEVER if self.is_all else self._there_at(at_ms).seen_since_ms.get(asset, NEVER)

    def lot_since_ms(self, lot: str, at_ms: int) -> int:
        """The same of what is found of a lot."""
        stretch = stretch_at(self.when_lot(lot), at_ms)
        return stretch[0] if stretch else NEVER

    def assets(self, at_ms: int) -> frozenset[str]:
        """The assets that are seen at a moment."""
        return self._there_at(at_ms).assets

    def devices(self, at_ms: int) -> frozenset[str]:
        """The devices that are seen at a moment: an operator's own, else those fitted to what is seen."""
        return self._there_at(at_ms).devices

    def _there_at(self, at_ms: int) -> _There:
        """Found out once for each stretch in which nothing begins to be seen or ends; most go on for long."""
        there = self._there  # another thread may ask of another moment meanwhile
        if not there.since_ms <= at_ms < there.until_ms:
            there = self._there = self._found_at(at_ms)
        return there

    def _found_at(self, at_ms: int) -> _There:
        if self.is_all:
            assets = frozenset(one.asset for one in self.book.installations.values()) | self.book.assets.keys()
            return _There(-NEVER, NEVER, assets, frozenset(self.book.installations), {})
        turns = {moment for when in self._stays.values() for stretch in when for moment in stretch}
        found = {asset: stretch_at(when, at_ms) for asset, when in self._stays.items()}
        seen = {asset: stretch[0] for asset, stretch in found.items() if stretch is not None}
        assets = frozenset(seen)
        party = self.viewer.party if self.viewer.role is Role.OPERATOR else ""
        fitted = (one for asset in assets for one in self.book.devices_of_asset(asset))
        return _There(
            max((one for one in turns if one <= at_ms), default=-NEVER),
            min((one for one in turns if one > at_ms), default=NEVER),
            assets,
            frozenset(one.device for one in fitted if not party or one.operator == party),
            seen,
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
