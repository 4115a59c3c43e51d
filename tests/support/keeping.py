"""A warehouse over the real spine: stock reports, receipts, readings of its devices, counts, and what comes of them.

The warehouse is that of `warehouses`; its stock system is `wms`. Times are minutes after noon.
"""

from collections.abc import Sequence
from typing import Any

import warehouses
from builders import MINUTE_MS, NOON_MS, Device, ManualClock
from receipting import BANK, CAME_MS, DEPOSITOR, FIRST, WAREHOUSE, begins, signed, stated
from warehouses import DOCK, HALL, TRACKER, ZONE

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.batch import Arrival
from pledgewatch_cloud.decide.canonical import encode
from pledgewatch_cloud.decide.events import Event, EventType
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.receipts.receipt import Receipt
from pledgewatch_cloud.decide.receipts.register import register_of
from pledgewatch_cloud.decide.stock.rows import StockKey
from pledgewatch_cloud.decide.warehouse.cases import Case
from pledgewatch_cloud.decide.warehouse.held import HeldByReceipt
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.journal.store import Store
from pledgewatch_cloud.spine.spine import Spine
from pledgewatch_wire.reading import Cell, Channel, tag_number

LINE, LOT, SKU = "line", "lot", "SOFA-3"
SEEDS = {ZONE: 51, DOCK: 52, TRACKER: 53}


def sofas(units: int = 40, place: str = "A-01", **more: Any) -> dict[str, Any]:
    """A line of a receipt."""
    return {"sku": SKU, "quantity_milli": 1_000 * units, "unit": "piece", "bin": place, **more}


def key(place: str = "A-01", sku: str = SKU) -> StockKey:
    """Goods in a bin, as the stock book has them."""
    return StockKey(WAREHOUSE, DEPOSITOR, sku, place, "piece")


def lot(identity: str = LOT, receipt: str = FIRST, quantity: int = 40, asset: str = HALL) -> dict[str, Any]:
    """A lot with an electronic receipt."""
    named = {"id": identity, "asset": asset, "facility": LINE, "sku": SKU, "quantity": quantity}
    return {**named, "receipt": {"id": receipt}}


class Keeping:
    """The warehouse from its first entry: the book, with lots on receipts that may come. `changes` are of the
    warehouse; the journal is in memory unless a `store` is given."""

    def __init__(self, *lots: dict[str, Any], store: Store | None = None, **changes: Any) -> None:
        self.clock = ManualClock(NOON_MS)
        self.store = MemoryStore() if store is None else store
        self.spine = Spine(self.store, self.clock)
        self.devices = {name: Device(name, seed=seed) for name, seed in SEEDS.items()}
        self._rows = 0
        source = {"id": "wms", "warehouse": WAREHOUSE, "means": "both", "units": {"EA": "piece"}, "owner": DEPOSITOR}
        line = {"id": LINE, "lender": BANK, "borrower": DEPOSITOR, "currency": "USD"}
        self.amend(
            **warehouses.document(**changes),
            stock_sources=[source],
            prices=[{"sku": SKU, "unit_price_minor": 10_000, "currency": "USD"}],
            facilities=[line],
            lots=list(lots) or [lot()],
        )

    def at(self, minute: float) -> "Keeping":
        """The clock says so many minutes after noon."""
        self.clock.at_ms = NOON_MS + round(minute * MINUTE_MS)
        return self

    def amend(self, **sections: Any) -> None:
        """The book is amended."""
        self.spine.commit(drafts.amend, sections)

    def tick(self, minute: float | None = None) -> None:
        """Time has come so far."""
        if minute is not None:
            self.at(minute)
        self.spine.tick()

    def row(self, kind: str, units: int, place: str = "A-01", minute: float | None = None, **more: Any) -> str:
        """A movement of stock comes in; before all else where no time is said. Its id."""
        self._rows += 1
        at_ms = CAME_MS - MINUTE_MS if minute is None else NOON_MS + round(minute * MINUTE_MS)
        sign = "+" if kind == "adjusted" and units >= 0 else ""
        said = {"id": f"M-{self._rows}", "kind": kind, "at": iso(at_ms), "sku": SKU, "bin": place, "unit": "EA"}
        reason = {"reason": "found so"} if kind == "adjusted" else {}
        said |= {"quantity": f"{sign}{units}", **reason, **more}
        self.report(movements=[said])
        return said["id"]

    def cancel(self, identity: str, minute: float = 0) -> None:
        """A row of the stock system takes another back."""
        self._rows += 1
        at = iso(NOON_MS + round(minute * MINUTE_MS))
        self.report(movements=[{"id": f"M-{self._rows}", "at": at, "cancels": identity}])

    def snapshot(self, minute: float, *counts: tuple[str, int], complete: bool = False) -> str:
        """The stock system says how much there is in some bins. Its id."""
        self._rows += 1
        rows = [{"sku": SKU, "bin": place, "unit": "EA", "quantity": str(units)} for place, units in counts]
        at = iso(NOON_MS + round(minute * MINUTE_MS))
        self.report(snapshots=[{"id": f"S-{self._rows}", "at": at, "complete": complete, "rows": rows}])
        return f"S-{self._rows}"

    def report(self, **sections: Any) -> None:
        """The stock system hands in a document, all of which is taken."""
        now_ms = self.clock.at_ms
        assert self.spine.commit(drafts.report, "wms", "json", encode(sections), now_ms) is not None

    def act(self, by: str, kind: str, receipt: str = FIRST, **body: Any) -> Receipt:
        """An act is taken; its receipt as it is then."""
        known = self.spine.state.receipts.get(receipt)
        head = known.head if known else ""
        body = begins(kind, head, register_of(self.spine.state.journal)) | body
        said = {"act": kind, "receipt": receipt, "after": head, "by": by, "at": iso(self.clock.at_ms), **body}
        assert self.spine.commit(drafts.act, signed(by, said), self.clock.at_ms) is not None
        return self.receipt(receipt)

    def pledged(self, receipt: str = FIRST, *goods: dict[str, Any]) -> Receipt:
        """A receipt is issued and pledged to the facility's lender."""
        self.act(WAREHOUSE, "issue", receipt, **stated(*(goods or (sofas(),))))
        return self.act(DEPOSITOR, "pledge", receipt, pledgee=BANK)

    def count(self, *rows: tuple[str, int], minute: float | None = None, case: str = "") -> None:
        """Bins of sofas are counted, now where no time is said."""
        at_ms = self.clock.at_ms if minute is None else NOON_MS + round(minute * MINUTE_MS)
        text = warehouses.count_text([(SKU, place, units) for place, units in rows], at=iso(at_ms), count=case)
        assert self.spine.commit(drafts.count, text, self.clock.at_ms) is not None

    def read(self, device: str, minute: float, *cells: Cell) -> None:
        """A device has measured something, and it is heard now."""
        self.take(self.measured(device, minute, *cells))

    def measured(self, device: str, minute: float, *cells: Cell) -> Arrival:
        """A reading of a device on its way."""
        one = self.devices[device]
        return one.arrival([one.measure(NOON_MS + round(minute * MINUTE_MS), *cells)])

    def take(self, *arrivals: Arrival) -> None:
        """Readings are heard now."""
        self.spine.take(arrivals)

    def weigh(self, minute: float, grams: int) -> None:
        """The scale of the zone."""
        self.read(ZONE, minute, Cell(Channel.WEIGHT_G, grams))

    def passes(self, minute: float, name: str, *, out: bool = True) -> None:
        """A tag passes the gate."""
        self.read(DOCK, minute, Cell(Channel.TAG_OUT if out else Channel.TAG_IN, tag_number(name)))

    def receipt(self, name: str = FIRST) -> Receipt:
        """A receipt that is there."""
        found = self.spine.state.receipts.get(name)
        assert found is not None, f"no receipt {name}"
        return found

    def held(self, name: str = LOT) -> HeldByReceipt:
        """How a lot stands by its receipt."""
        return self.spine.state.held[name]

    @property
    def missing(self) -> dict[str, int]:
        """What is missing of each receipt, in thousandths."""
        return {name: milli for one in self.spine.state.watch.shortages.values() for name, milli in one.shares.items()}

    @property
    def cases(self) -> dict[str, Case]:
        """The open cases by kind, of which there is one each."""
        found = self.spine.state.watch.open_cases()
        by_kind = {one.kind: one for one in found}
        assert len(by_kind) == len(found), f"several of a kind: {found}"
        return by_kind

    @property
    def ended(self) -> list[tuple[str, str]]:
        """Kind and end of the closed cases, in the order in which they were opened."""
        closed = [one for one in self.spine.state.watch.cases.values() if not one.is_open]
        return [(one.kind, one.state.value) for one in sorted(closed, key=lambda one: int(one.id.rpartition("-")[2]))]

    def events(self, *kinds: EventType) -> list[Event]:
        """All that was said, of some kinds, in order."""
        every = (one.event for one in self.store.events(limit=10**6))
        return [one for one in every if not kinds or one.type in kinds]

    def said(self, *kinds: EventType) -> Sequence[str]:
        """The types of what was said, of some kinds, in order."""
        return [one.type.value for one in self.events(*kinds)]


def weight_of(units: int) -> int:
    """What sofas weigh, in grams."""
    return warehouses.SOFA_WEIGHT_G * units
