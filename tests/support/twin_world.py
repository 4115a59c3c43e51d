"""A journal with something of everything, for two worlds that differ only in what somebody must not see: two banks and
a third, their borrowers, two warehouses, goods of both banks in one container, a facility that goes from the one to the
other, limits, kinetics, alerts, papers, milestones, markets. What happens in them is in `twin_story`."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import warehouses
from builders import AT_SEA, IN_LOS_ANGELES, IN_SHANGHAI, LOS_ANGELES, MINUTE_MS, SHANGHAI, Device, fence
from builders import position as fix
from extracts import ISSUER, KEY
from receipting import BANK, BUYER, CAME_MS, DEPOSITOR, FIRST, OTHER_BANK, OTHER_WAREHOUSE, signed, stated
from seeing import (
    HALL_LOT,
    NIGHT,
    OPERATOR,
    OTHER_LINE,
    OTHER_OPERATOR,
    SEA_LOT,
    SECOND,
    SECOND_LOT,
    USERS,
    Seeing,
)
from warehouses import BOX, HALL, PLACE, SURVEYOR, TRACKER, ZONE

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.alerts import Alert
from pledgewatch_cloud.decide.canonical import encode
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.ingest.decode import DeviceStatus
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.receipts.signer import Signer
from pledgewatch_cloud.spine import spine as spine_module
from pledgewatch_wire.codec import Status
from pledgewatch_wire.reading import Cell, Channel, Reading

LINE, TURN_LINE = "line", "turn-line"
TURN_LOT, MIX_ONE, MIX_TWO, HALL_TWO_LOT = "turn-lot", "mix-one", "mix-two", "hall-two-lot"
THIRD = f"{OTHER_WAREHOUSE}:0001"
MIX, TURN, HALL_TWO, NIGHT_BOX = "mix-box", "turn-box", "asset-zone-b", "night-box"
DEVICES = {BOX: TRACKER, HALL: ZONE, MIX: "mix-tracker", TURN: "turn-tracker", HALL_TWO: "zone-b", NIGHT_BOX: NIGHT}
PLACES = {"port": IN_LOS_ANGELES, "sea": AT_SEA, "forbidden": IN_SHANGHAI}
WIDE = {"channel": "temperature_mc", "low": 2_000, "high": 30_000}
FAR = [[10.0, 50.0], [11.0, 50.0], [11.0, 51.0], [10.0, 51.0], [10.0, 50.0]]
KINETIC = {"channel": "temperature_mc", "high_mc": 60_000, "worst_low_mc": 0, "worst_high_mc": 50_000}
LOSES = [{"minutes": 1, "bp": 1_000}, {"minutes": 9, "bp": 5_000}]
# What goes on is seen with its beginning, and an alert about no goods is open as long as any of its causes runs
# (docs/ACCESS.md): so none is about an asset that goes from one to another unheard. Devices of two operators speak
# through one mast, and each operator's silence is an alert of their own.
ALERT_RULES = [
    {"id": "too-warm", "on": "condition_breached", "severity": "critical", "group_by": "asset"},
    {"id": "not-known", "on": "condition_unknown", "severity": "warning", "group_by": "lot"},
    {"id": "quiet", "on": "source_silent", "severity": "warning", "group_by": "gateway"},
]
SEA_GOODS = {"id": SEA_LOT, "asset": BOX, "sku": "SEA-SKU", "quantity": 5, "limits": [WIDE], "mkt": KINETIC}
MILESTONES = {
    "milestone-one": (LINE, {"shipment": "shipment-one", "payee": DEPOSITOR, "release": {"amount_minor": 1_100}}),
    "milestone-two": (OTHER_LINE, {"shipment": "shipment-two", "payee": BUYER, "release": {"amount_minor": 2_200}}),
    "milestone-hall": (
        LINE,
        {"lot": HALL_LOT, "payee": DEPOSITOR, "release": {"share_bp": 1_000, "of": "value"}},
    ),
}
# Whether a milestone's facts hold is told by all that is known, so this one's are of nothing that is hidden.
UPON = {"milestone-hall": {"fact": "date_reached", "at": "2027-01-01T00:00:00Z"}}


@functools.lru_cache(maxsize=64)
def _state_at(store: MemoryStore, _entries: int, until_ms: int) -> State:
    return spine_module.recover(store, until_ms)


def recover(store: MemoryStore, until_ms: int = NEVER, _still: object = None) -> State:
    """As the spine's, which folds a journal anew for each base of the past; here it is done once for each moment."""
    return _state_at(store, store.counts().entries, until_ms)


class TwinWorld(Seeing):
    """The journal and its API. What is done is done by the clock as it stands; `turn` brings the next minute."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, MemoryStore(), signer=Signer(ISSUER, KEY))
        self._fillers = 0
        self._late: dict[str, list[Reading]] = {}
        for number, name in enumerate(("mix-tracker", "turn-tracker", "zone-b"), 81):
            self.keeping.devices[name] = Device(name, seed=number)
        self.keeping.amend(**self._document())
        self.keeping.amend(
            products=[{"sku": "SOFA-3", "loss": [{"kind": "outside", "points": LOSES}]}],
            lots=[
                _hall_lot(HALL_LOT, FIRST, 40, [WIDE]),
                _hall_lot(SECOND_LOT, SECOND, 20, [{**WIDE, "high": 90_000}]),
            ],
        )
        self.report("wms-2", movements=[_received("DESK-1", "B-01", 30), _received("LAMP-1", "B-02", 30)])
        goods = {"sku": "DESK-1", "quantity_milli": 30_000, "unit": "piece", "bin": "B-01"}
        self.keeping.act(OTHER_WAREHOUSE, "issue", THIRD, **stated(goods, depositor=BUYER))
        self.keeping.act(BUYER, "pledge", THIRD, pledgee=OTHER_BANK)

    @property
    def entry(self) -> int:
        """How many entries there are."""
        return self.keeping.spine.state.entry

    def fill(self) -> None:
        """An entry that nobody but keepers can know anything of."""
        self._fillers += 1
        self.keeping.amend(users=[{"id": "nobody", "name": f"{self._fillers}", "party": "nobody", "role": "keeper"}])

    def judge_time(self) -> None:
        """Nothing comes, and what time alone does is found."""
        self.keeping.tick()

    def quote(self, **quotes: Sequence[dict[str, Any]]) -> None:
        """The market is quoted."""
        self.keeping.spine.commit(drafts.quote, dict(quotes))

    def move(self, facility: str, name: str, amount_minor: int) -> None:
        """Money is drawn."""
        said = {"id": name, "kind": "drawdown", "at": iso(self.keeping.clock.at_ms), "amount_minor": amount_minor}
        self.keeping.spine.commit(drafts.move, facility, {"movements": [said]})

    def report(self, source: str, **sections: Any) -> None:
        """A stock system hands in a document."""
        self.keeping.spine.commit(drafts.report, source, "json", encode(sections), self.keeping.clock.at_ms)

    def stock(self, source: str, sku: str, place: str, units: int, kind: str = "received") -> None:
        """Some goods come or go; now."""
        row = _received(sku, place, units) | {"id": f"{source}-{self.minute}", "kind": kind}
        self.report(source, movements=[row | {"at": iso(self.keeping.clock.at_ms)}])

    def count(self, warehouse: str, owner: str, sku: str, place: str, units: int) -> None:
        """A bin is counted."""
        row = {"owner": owner, "sku": sku, "bin": place, "unit": "piece", "quantity_milli": 1_000 * units}
        says = warehouses.count_says(warehouse=warehouse, at=iso(self.keeping.clock.at_ms)) | {"rows": [row]}
        text = signed(SURVEYOR, says, key=warehouses.KEYS[SURVEYOR])
        self.keeping.spine.commit(drafts.count, text, self.keeping.clock.at_ms)

    def notice(self, shipment: str, name: str, kind: str, place: str) -> None:
        """The carrier says something of a shipment."""
        one = {"id": name, "kind": kind, "happened_at": iso(self.keeping.clock.at_ms), "place": place}
        text = encode({"notices": [{**one, "about": {"shipment": [shipment]}}]}).decode()
        self.keeping.spine.commit(drafts.submit, "carrier", "plain", text)

    def lend(self, line: str, **changes: Any) -> None:
        """The lot at sea is in a facility, or (empty) in none."""
        if line:
            self.keeping.amend(lots=[SEA_GOODS | {"facility": line} | changes])
        elif SEA_LOT in self.keeping.spine.state.book.lots:
            self.keeping.amend(remove={"lots": [SEA_LOT]})

    def pledge_to(self, receipt: str, bank: str) -> None:
        """A receipt that is free is pledged."""
        self.keeping.act(DEPOSITOR, "pledge", receipt, pledgee=bank)

    def release_it(self, receipt: str) -> None:
        """A receipt is released by whom it is pledged to."""
        self.keeping.act(self.keeping.receipt(receipt).pledgee, "release", receipt)

    def hand_over(self) -> None:
        """The facility goes to the other bank and the other borrower, at a price that is agreed with it."""
        self.keeping.amend(facilities=[_facility(TURN_LINE, OTHER_BANK, BUYER, "")], prices=[price_of("TURN-SKU")])

    def measure(
        self, asset: str, value_mc: int, place: str = "port", *, wet: int = 4_000, ago_ms: int = 30_000, east: int = 0
    ) -> None:
        """An asset's device measures and is heard; `wet` is the humidity, `east` how far off the place it is."""
        self._hear(asset, [self._reading(asset, value_mc, place, wet, ago_ms, east)])

    def measure_for_later(self, asset: str, value_mc: int, wet: int = 4_000) -> None:
        """An asset's device measures, and is not heard."""
        self._late.setdefault(asset, []).append(self._reading(asset, value_mc, "port", wet, 30_000, 0))
        self.fill()

    def hear_late(self, asset: str) -> None:
        """What an asset's device has not been heard of is heard."""
        if late := self._late.pop(asset, []):
            self._hear(asset, late)

    def _reading(self, asset: str, value_mc: int, place: str, wet: int, ago_ms: int, east: int) -> Reading:
        at = PLACES[place]
        cells = [Cell(Channel.TEMPERATURE_MC, value_mc), Cell(Channel.HUMIDITY_CPERCENT, wet)]
        cells.append(Cell(Channel.BATTERY_MV, 3_000 + value_mc // 100 + wet // 1_000))
        if asset not in (HALL, HALL_TWO):
            cells += fix((at[0], at[1] + east))
        at_ms = self.keeping.clock.at_ms - ago_ms
        return self.keeping.devices[DEVICES[asset]].measure(at_ms, *sorted(cells))

    def _hear(self, asset: str, readings: list[Reading]) -> None:
        operator = OTHER_OPERATOR if asset == NIGHT_BOX else OPERATOR
        self.keeping.take(self.keeping.devices[DEVICES[asset]].arrival(readings, operator=operator))

    def hear_of(self, asset: str, spooled: int) -> None:
        """What an asset's device says of itself, which is in no journal."""
        status = Status(online=True, epoch=1, head_sequence=9, spooled_readings=spooled, agent_version="1")
        heard = DeviceStatus(operator=OPERATOR, device=DEVICES[asset], status=status)
        metrics = self.client.app.state.service.metrics
        metrics.note(metrics.hear([heard]))

    def alert(self, rule: str, group: str, hand: str) -> Alert | None:
        """The alert of a rule about something that is in somebody's hands."""
        found = (one for one in self.keeping.spine.state.alerts.values() if (one.rule, one.group) == (rule, group))
        return next((one for one in found if hand in one.hands), None)

    def say(self, alert: Alert, user: str, word: str, text: str) -> None:
        """A user says something of an alert: `comment`, `silence` or `acknowledge`."""
        party = USERS[user].user["party"]
        commit = self.keeping.spine.commit
        if word == "comment":
            commit(drafts.comment, alert.id, user, party, text)
        elif word == "silence":
            commit(drafts.silence, alert.id, user, party, text, self.keeping.clock.at_ms + 86_400_000)
        else:
            commit(drafts.acknowledge, alert.id, user)

    def _document(self) -> dict[str, Any]:
        zone_b = warehouses.installation("zone-b", 83, asset=HALL_TWO)
        return {
            "fences": {
                "type": "FeatureCollection",
                "features": [
                    fence("yard-two", FAR, kind="warehouse"),
                    fence("port", LOS_ANGELES),
                    fence("closed-bay", SHANGHAI, kind="forbidden"),
                ],
            },
            "assets": [{"id": one, "kind": "other"} for one in (BOX, MIX, TURN, NIGHT_BOX)],
            "installations": [
                warehouses.installation(TRACKER, 53, asset=BOX),
                warehouses.installation("mix-tracker", 81, asset=MIX, gateway="mast", silent_after_s=21_600),
                warehouses.installation("turn-tracker", 82, asset=TURN, silent_after_s=21_600),
                zone_b,
            ],
            "warehouses": [
                {
                    **PLACE,
                    "id": OTHER_WAREHOUSE,
                    "zones": [{"asset": HALL_TWO, "bins": ["B-01"]}],
                    "gates": [],
                    "fences": ["yard-two"],
                    "unit_weights_g": {},
                }
            ],
            "stock_sources": [
                {"id": "wms-2", "warehouse": OTHER_WAREHOUSE, "means": "both", "units": {"EA": "piece"}, "owner": BUYER}
            ],
            "senders": [{"id": "carrier"}],
            "alert_rules": ALERT_RULES,
            "policies": [policy_of("policy-one", 5_000), policy_of("policy-two", 5_500)],
            "facilities": [
                _facility(LINE, BANK, DEPOSITOR, "policy-one"),
                _facility(OTHER_LINE, OTHER_BANK, BUYER, "policy-two"),
                _facility(TURN_LINE, BANK, DEPOSITOR, ""),
            ],
            "products": [{"sku": "MIX-TWO", "series": "two-goods"}],
            "prices": [price_of(one) for one in ("MIX-ONE", "DESK-1", "TURN-SKU", "SEA-SKU")],
            "lots": [
                {"id": MIX_ONE, "asset": MIX, "facility": LINE, "sku": "MIX-ONE", "quantity": 7, "limits": [WIDE]},
                mix_two(),
                {
                    "id": TURN_LOT,
                    "asset": TURN,
                    "facility": TURN_LINE,
                    "sku": "TURN-SKU",
                    "quantity": 3,
                    "limits": [WIDE],
                },
                {
                    "id": HALL_TWO_LOT,
                    "asset": HALL_TWO,
                    "facility": OTHER_LINE,
                    "sku": "DESK-1",
                    "quantity": 30,
                    "receipt": {"id": THIRD},
                },
            ],
            "shipments": [shipment_of("one", LINE, MIX_ONE), shipment_of("two", OTHER_LINE, MIX_TWO)],
            "milestones": [milestone_of(one) for one in MILESTONES],
        }


def policy_of(name: str, advance_bp: int) -> dict[str, Any]:
    """A policy that asks for evidence, and has covenants."""
    return {
        "id": name,
        "advance_bp": dict.fromkeys(("in_transit", "at_port", "bonded", "warehouse"), advance_bp),
        "evidence": {"by": "reading", "fresh_s": 21_600, "stale_s": 86_400, "ageing_bp": 1_000, "dark": "ageing"},
        "covenants": {"warning_bp": 5_000, "call_bp": 6_000, "default_bp": 8_000, "clear_bp": 250, "cure_s": 3_600},
    }


def price_of(sku: str, unit_price_minor: int = 7_777) -> dict[str, Any]:
    """An agreed price."""
    return {"sku": sku, "unit_price_minor": unit_price_minor, "currency": "USD"}


def mix_two(high: int = 8_000, **changes: Any) -> dict[str, Any]:
    """The other bank's lot in the container of both: what is too warm for it is not for the first bank's."""
    named = {"id": MIX_TWO, "asset": MIX, "facility": OTHER_LINE, "sku": "MIX-TWO", "quantity": 9}
    return {**named, "limits": [{**WIDE, "low": -10_000, "high": high}], **changes}


def shipment_of(which: str, facility: str, lot: str, bill: str = "") -> dict[str, Any]:
    """A shipment with its bill of lading."""
    about = {"bill_of_lading": [bill or f"BILL-{which.upper()}"], "booking": [f"BOOKING-{which.upper()}"]}
    return {"id": f"shipment-{which}", "facility": facility, "lots": [lot], "about": about}


def milestone_of(name: str, **changes: Any) -> dict[str, Any]:
    """A milestone; by default upon what the carrier says."""
    facility, terms = MILESTONES[name]
    when = UPON.get(name, {"fact": "vessel_loaded"})
    return {"id": name, "facility": facility, "when": when, **terms, **changes}


def _facility(name: str, lender: str, borrower: str, policy: str) -> dict[str, Any]:
    found = {"id": name, "lender": lender, "borrower": borrower, "currency": "USD", "retention_days": 30}
    return found | ({"policy": policy} if policy else {})


def facility_of(name: str, limit_minor: int) -> dict[str, Any]:
    """One of both banks' own facilities with a limit."""
    one = name == LINE
    found = _facility(name, *((BANK, DEPOSITOR, "policy-one") if one else (OTHER_BANK, BUYER, "policy-two")))
    return found | {"limit_minor": limit_minor}


def _hall_lot(name: str, receipt: str, quantity: int, limits: list[dict[str, Any]]) -> dict[str, Any]:
    named = {"id": name, "asset": HALL, "facility": LINE, "sku": "SOFA-3", "quantity": quantity}
    return {**named, "receipt": {"id": receipt}, "limits": limits, "mkt": KINETIC}


def _received(sku: str, place: str, units: int) -> dict[str, Any]:
    at = iso(CAME_MS - MINUTE_MS)
    return {
        "id": f"in-{sku}",
        "kind": "received",
        "at": at,
        "sku": sku,
        "bin": place,
        "unit": "EA",
        "quantity": f"{units}",
    }
