"""A lender's desk to test with: stores with a device in each, lots and facilities in a book, over the real spine.

Whatever an entry says of a base is held to the laws of its sums at once: what each step took and what is left make the
whole, to the lot, and the reasons that are given for a change make the change.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from builders import LOS_ANGELES, MINUTE_MS, NOON_MS, SHANGHAI, Device, ManualClock, fence, temperature

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.collateral import bases
from pledgewatch_cloud.decide.collateral.result import NO_BASE, STEPS, Base, LotLine
from pledgewatch_cloud.decide.events import Event, EventType
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.journal.outbox import CORE, DeliveryRecord
from pledgewatch_cloud.journal.store import Store
from pledgewatch_cloud.spine.spine import Spine
from pledgewatch_wire.reading import Cell, Reading

HOUR_MS = 60 * MINUTE_MS
LINE = "line"
COLD = (temperature(5_000),)
INVENTORY = {"preset": "inventory_finance"}
HALF = {"advance_bp": {"in_transit": 5_000, "at_port": 5_000, "bonded": 5_000, "warehouse": 5_000}}
SERIES = [{"sku": "sofa", "series": "sofa-index"}]
BY_SERIES: dict[str, Any] = {"prices": [], "products": SERIES}
EVIDENCE = {"evidence": {"fresh_s": 3_600, "stale_s": 36_000}}
MS = 1 / 3_600_000  # one millisecond, in hours
ANY_WARMTH = {"channel": "temperature_mc", "low": -90_000, "high": 90_000, "max_gap_s": 0}
CLASSES = ("in_transit", "at_port", "bonded", "warehouse")


def at_ms(hour: float) -> int:
    """Unix milliseconds of an hour after noon on Thursday, 1 January 2026, UTC."""
    return NOON_MS + round(hour * HOUR_MS)


def moment(hour: float) -> str:
    """The same as the book writes it."""
    return iso(at_ms(hour))


def lends(share_bp: int) -> dict[str, int]:
    """The same advance rate for every class."""
    return dict.fromkeys(CLASSES, share_bp)


def lot(identity: str = "lot", asset: str = "store", /, **terms: Any) -> dict[str, Any]:
    """A lot of 1,000 sofas, but for what is said. What stands for it is the temperature, whatever that is."""
    sofas = {"id": identity, "asset": asset, "facility": LINE, "sku": "sofa", "quantity": 1_000}
    return sofas | {"limits": [ANY_WARMTH]} | terms


def price(series: str, date: str, amount: str, currency: str = "USD", per: int = 1) -> dict[str, Any]:
    """A quote of a price."""
    return {"series": series, "date": date, "price": amount, "currency": currency, "per": per}


def rate(currency: str, date: str, amount: str) -> dict[str, Any]:
    """A quote of a currency, in units for one euro."""
    return {"currency": currency, "date": date, "rate": amount}


def lending(
    devices: Mapping[str, Device],
    *,
    lots: Sequence[dict[str, Any]],
    policy: dict[str, Any] | None = None,
    facility: dict[str, Any] | None = None,
    kinds: Mapping[str, str] | None = None,
    fitted: Mapping[str, str] | None = None,
    **sections: Any,
) -> dict[str, Any]:
    """A book with one facility over USD that has drawn 50,000.00 under a policy, and sofas at 200.00 agreed.

    `devices` by asset; an asset is a warehouse, but for `kinds`; its device may have been `fitted` at a moment.
    """
    line = {"id": LINE, "lender": "bank", "borrower": "exporter", "currency": "USD", "outstanding_minor": 5_000_000}
    installations = [
        {"device": one.name, "operator": "harbour-line", "asset": asset, "public_key": one.public_key}
        | ({"fitted_at": fitted[asset]} if fitted and asset in fitted else {})
        for asset, one in devices.items()
    ]
    document: dict[str, Any] = {
        "fences": {
            "type": "FeatureCollection",
            "features": [fence("los-angeles", LOS_ANGELES, "warehouse"), fence("shanghai", SHANGHAI)],
        },
        "assets": [{"id": asset, "kind": (kinds or {}).get(asset, "warehouse")} for asset in devices],
        "installations": installations,
        "policies": [{"id": "terms"} | (policy or {})],
        "facilities": [line | {"policy": "terms"} | (facility or {})],
        "prices": [{"sku": "sofa", "unit_price_minor": 20_000, "currency": "USD"}],
        "lots": list(lots),
    }
    return document | sections


class Bench:
    """Assets with a device each, on one book, over the real spine. Hours are after noon on 1 January 2026."""

    def __init__(
        self, *, assets: Sequence[str] = ("store",), store: Store | None = None, hour: float = 0, **terms: Any
    ) -> None:
        self.devices = {asset: Device(f"gauge-{asset}", seed=number + 1) for number, asset in enumerate(assets)}
        self.clock = ManualClock(at_ms(hour))
        self.store = MemoryStore() if store is None else store
        self.spine = Spine(self.store, self.clock)
        self.said: list[Event] = []
        self.told: list[tuple[str, dict[str, Any]]] = []
        self._bases_minor: dict[str, int] = {}
        self._waiting: dict[str, list[Reading]] = {asset: [] for asset in assets}
        self.document = lending(self.devices, **({"lots": [lot()]} | terms))
        self.amend(self.document)

    def come_to(self, hour: float) -> None:
        """The clock shows a later hour; nobody has said so yet."""
        self.clock.at_ms = max(self.clock.at_ms, at_ms(hour))

    def measure(self, asset: str = "store", *cells: Cell) -> None:
        """A reading of now, sent at once."""
        reading = self.devices[asset].measure(self.clock.at_ms, *(cells or COLD))
        self.send(asset, [reading])

    def keep(self, asset: str, hour: float, *cells: Cell) -> None:
        """A reading that waits in its device."""
        self._waiting[asset].append(self.devices[asset].measure(at_ms(hour), *(cells or COLD)))

    def waits(self, asset: str) -> bool:
        """Whether a device has anything to send."""
        return bool(self._waiting[asset])

    def send(self, asset: str, readings: Sequence[Reading] | None = None) -> None:
        """Readings arrive in one payload; those that wait in the device, where none are given."""
        if readings is None:
            readings, self._waiting[asset] = self._waiting[asset], []
        arrival = self.devices[asset].arrival(readings, received_at_ms=self.clock.at_ms)
        assert len(self.spine.take([arrival]).accepted) == 1
        self.look()

    def tick(self, heard_until_ms: int = NEVER) -> None:
        """It is said that time has come this far."""
        self.spine.tick(heard_until_ms)
        self.look()

    def amend(self, document: dict[str, Any]) -> None:
        """The book changes."""
        assert self.spine.commit(drafts.amend, document) is not None
        self.look()

    def quote(self, document: dict[str, Any]) -> None:
        """The market changes."""
        assert self.spine.commit(drafts.quote, document) is not None
        self.look()

    def base(self, facility: str = LINE) -> Base:
        """The base that was announced last."""
        base = self.spine.state.facilities[facility].base
        assert base is not None
        return base

    def lines(self, facility: str = LINE) -> dict[str, LotLine]:
        """What became of each lot."""
        desk = self.spine.state.desk
        assert desk is not None
        return {one.id: one for one in bases.lines_of(desk.sheet, facility)}

    def look(self) -> None:
        """What the entry said and told the core, and whether its sums are right."""
        state = self.spine.state
        self.said = [one.event for one in self.store.events_of(state.entry)]
        self.told = self._messages()
        for one in self.said:
            if one.type is EventType.BASE_RECOMPUTED:
                was = self._bases_minor.get(one.subject, 0)
                if one.subject in state.book.facilities:
                    assert_sums(one, was, self.base(one.subject), self.lines(one.subject).values())
                else:
                    assert_sums(one, was, NO_BASE, ())
                self._bases_minor[one.subject] = int(one.fact("base_minor"))
        assert state.desk is not None
        for facility in state.book.facilities:
            assert bases.base_of(state.desk.sheet, facility) == self.base(facility)

    def _messages(self) -> list[tuple[str, dict[str, Any]]]:
        """The messages that were not read yet, in order, as type and data; the core takes each."""
        found = []
        while due := self.store.due(CORE, 2**62):
            for one in due:
                body = json.loads(one.body)
                found.append((one.type, {"subject": body["subject"], **body["data"]}))
                self.store.delivered(one, DeliveryRecord(CORE, one.id, 0, 1))
        return found


def assert_sums(said: Event, was_minor: int, base: Base, lines: Iterable[LotLine]) -> None:
    """What is said of a base is the base; nothing gets lost on its way, and its change is what the reasons say."""
    facts: dict[str, Any] = dict(said.facts)
    lots = list(lines)
    taken = {name: facts.get(f"ineligible_{name}", 0) for name in STEPS}
    assert facts["gross_minor"] - sum(taken.values()) == facts["eligible_minor"]
    assert {name: amount for name, amount in taken.items() if amount} == dict(base.ineligible)
    changes = [amount for name, amount in facts.items() if name.startswith("change_")]
    assert sum(changes) == facts["base_minor"] - was_minor
    for name, value in base._asdict().items():
        assert not isinstance(value, int) or facts[name] == value
    assert base.gross_minor == sum(one.value_minor for one in lots)
    assert base.eligible_minor == sum(one.eligible_minor for one in lots)
    for name in STEPS:
        assert taken[name] == sum(one.ineligible.get(name, 0) for one in lots)
    for one in lots:
        assert one.value_minor - sum(one.ineligible.values()) == one.eligible_minor >= one.advance_minor >= 0
    advance = sum(one.advance_minor for one in lots)
    assert advance == sum(base.advance.values())
    assert base.base_minor == max(0, advance - sum(base.held_back.values()) - sum(base.reserves.values()))
    assert (len(lots), sum(one.is_unvalued for one in lots)) == (base.lots, base.unvalued)


# Worked cases: a row is an hour, what happens then, and figures that are to be found after it.

Happening = Callable[[Bench], None]
Row = tuple[float, Happening, dict[str, Any]]


def heard(asset: str = "store", *cells: Cell) -> Happening:
    """The device of an asset says something now."""
    return lambda bench: bench.measure(asset, *cells)


def passes(bench: Bench) -> None:
    """Time passes, nothing else."""
    bench.tick()


def amended(**document: Any) -> Happening:
    """The book is amended."""
    return lambda bench: bench.amend(document)


def quoted(*quotes: dict[str, Any]) -> Happening:
    """Prices and rates come in one document."""
    prices, rates = [one for one in quotes if "series" in one], [one for one in quotes if "series" not in one]
    return lambda bench: bench.quote({"prices": prices, "rates": rates})


def backlog(asset: str, *hours: float) -> Happening:
    """A device comes back with what it measured at some hours."""

    def arrives(bench: Bench) -> None:
        for hour in hours:
            bench.keep(asset, hour)
        bench.send(asset)

    return arrives


def figure(bench: Bench, name: str) -> Any:
    """A figure of the facility: of its base, without the unit; what a step takes; how it is covered; and of the entry:
    the `changes` with their reasons, what was `said` of the facility, the messages that the core was `told`."""
    base = bench.base()
    own = [one for one in bench.said if one.subject == LINE]
    covenant = bench.spine.state.facilities[LINE].covenant
    changes = [one for said in own if said.type is EventType.BASE_RECOMPUTED for one in said.facts]
    of_the_entry: dict[str, Any] = {
        "changes": {key.removeprefix("change_"): value for key, value in changes if key.startswith("change_")},
        "said": [one.type.value for one in own],
        "told": [message_type for message_type, _ in bench.told],
        "cover": covenant.cover.name.lower(),
        "call": covenant.call_minor,
    }
    if name in of_the_entry:
        return of_the_entry[name]
    if name in STEPS:
        return base.ineligible.get(name, 0)
    return getattr(base, name if name in Base._fields else f"{name}_minor")


def assert_figures(bench: Bench, rows: Iterable[Row]) -> None:
    """Let rows happen one after the other, and hold each to its figures."""
    for number, (hour, happens, figures) in enumerate(rows):
        bench.come_to(hour)
        happens(bench)
        found = {name: figure(bench, name) for name in figures}
        assert (number, hour, found) == (number, hour, figures)
