"""A journal in which two banks lend on the same kind of goods, users of every role, and a plain record of what was
whose when: what each may see is told by that record, not by the rule that is tested."""

from pathlib import Path
from typing import Any, NamedTuple

from api_cloud import client_over, shown
from builders import IN_LOS_ANGELES, MINUTE_MS, NOON_MS, Device, position
from keeping import LINE, Keeping, lot, sofas
from receipting import BANK, BUYER, DEPOSITOR, FIRST, OTHER_BANK, WAREHOUSE, stated
from warehouses import BOX, HALL, TRACKER, ZONE

from pledgewatch_cloud.access.identify import sha256_of
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_cloud.journal.store import Store
from pledgewatch_cloud.series.embedded import EmbeddedSeries
from pledgewatch_cloud.series.feeder import Feeder
from pledgewatch_cloud.spine.writer import Writer
from pledgewatch_wire.reading import Cell, Channel

SECOND = f"{WAREHOUSE}:0002"
OTHER_LINE = "other-line"
SEA_LOT, HALL_LOT, SECOND_LOT = "sea-lot", "hall-lot", "second-lot"
"""Lots in the tracker's container without an electronic receipt, and in the hall on the two receipts."""
OPERATOR, OTHER_OPERATOR = "harbour-line", "night-line"
NIGHT = "night-tracker"


class Asking(NamedTuple):
    """A user: their key, and what the book says of them."""

    key: str
    user: dict[str, Any]


def _asking(name: str, party: str, role: str, **more: Any) -> Asking:
    key = "pwk_" + name.replace("-", "_").ljust(43, "0")
    keys = [{"kid": "k1", "sha256": sha256_of(key), "scope": "write"}]
    return Asking(key, {"id": name, "name": name, "party": party, "role": role, "keys": keys, **more})


USERS = {
    one.user["id"]: one
    for one in (
        _asking("keeper-kim", "registrar", "keeper"),
        _asking("lender-one", BANK, "lender"),
        _asking("lender-two", OTHER_BANK, "lender"),
        _asking("lender-none", "bank-none", "lender"),
        _asking("borrower-one", DEPOSITOR, "borrower"),
        _asking("borrower-two", BUYER, "borrower"),
        _asking("operator-one", OPERATOR, "operator"),
        _asking("operator-two", OTHER_OPERATOR, "operator"),
        _asking("warehouse-one", WAREHOUSE, "warehouse"),
        _asking("warehouse-two", "la-2", "warehouse"),
        _asking("insurer-one", "insurer", "insurer", facilities=[LINE]),
        _asking("auditor-two", "auditor", "auditor", facilities=[OTHER_LINE]),
    )
}


class Seeing:
    """The journal, its API, and the record. Every entry is a minute after the one before; a reading is measured half a
    minute before it is heard."""

    def __init__(self, folder: Path, store: Store | None = None, **others: Any) -> None:
        """`others` are as for `client_over`."""
        self.store = SqliteStore(folder) if store is None else store
        self.keeping = Keeping(lot(HALL_LOT), lot(SECOND_LOT, SECOND, 20), store=self.store)
        self.series = EmbeddedSeries(folder, self.store.journal)
        self.feeder = Feeder(self.store, self.series)
        self.writer = Writer(self.keeping.spine, lambda _: None)
        clock = self.keeping.clock
        usual: dict[str, Any] = {"clock": clock, "delivery_clock": clock, "token": "not-a-secret"}
        self.client = client_over(self.store, self.writer, self.series, **(usual | others))
        self.minute = 0
        self.pledged: dict[str, tuple[str, str]] = {}
        """By lot: the bank that it is pledged to and the borrower, as it stands."""
        self.held: dict[str, str] = {FIRST: "", SECOND: ""}
        """By receipt: its pledgee."""
        self.readings: list[tuple[int, str, int, dict[str, str]]] = []
        """When measured, of which asset, which value, and at that moment the banks by lot."""
        far = Device(NIGHT, seed=77)
        self.keeping.devices[NIGHT] = far
        self.keeping.amend(
            users=[one.user for one in USERS.values()],
            prices=[{"sku": "SEA-SKU", "unit_price_minor": 7_777, "currency": "USD"}],
            installations=[
                {"device": NIGHT, "operator": OTHER_OPERATOR, "asset": "night-box", "public_key": far.public_key}
            ],
            facilities=[
                {"id": LINE, "lender": BANK, "borrower": DEPOSITOR, "currency": "USD", "retention_days": 30},
                {"id": OTHER_LINE, "lender": OTHER_BANK, "borrower": BUYER, "currency": "USD", "retention_days": 30},
            ],
        )
        for units, place, name in ((40, "A-01", FIRST), (20, "A-02", SECOND)):
            self.keeping.row("received", units, place)
            self.keeping.act(WAREHOUSE, "issue", name, **_stated(units, place))

    def close(self) -> None:
        """Let go of the files."""
        self.series.close()
        self.store.close()

    def tick(self, minutes: int = 1) -> None:
        """Time goes on."""
        self.minute += minutes
        self.keeping.at(self.minute)

    def lend_on_sea(self, line: str) -> None:
        """The lot at sea is in a facility, or (empty) in none."""
        self.tick()
        if line:
            at_sea = {"id": SEA_LOT, "asset": BOX, "facility": line, "sku": "SEA-SKU", "quantity": 5}
            self.keeping.amend(lots=[at_sea])
            self.pledged[SEA_LOT] = (BANK, DEPOSITOR) if line == LINE else (OTHER_BANK, BUYER)
        elif self.pledged.pop(SEA_LOT, None):
            self.keeping.amend(remove={"lots": [SEA_LOT]})

    def pledge(self, receipt: str, bank: str) -> None:
        """A receipt that is free is pledged to a bank."""
        if self.held[receipt]:
            return
        self.tick()
        self.keeping.act(DEPOSITOR, "pledge", receipt, pledgee=bank)
        self._hold(receipt, bank)

    def release(self, receipt: str) -> None:
        """A receipt that is pledged is released whole."""
        if not self.held[receipt]:
            return
        self.tick()
        self.keeping.act(self.held[receipt], "release", receipt)
        self._hold(receipt, "")

    def read(self, device: str = TRACKER) -> int:
        """A device measures a temperature that no other has, which is returned."""
        self.tick()
        asset = {TRACKER: BOX, NIGHT: "night-box"}.get(device, HALL)
        value = 10_000 + len(self.readings)
        cells = [Cell(Channel.TEMPERATURE_MC, value), *(() if device == ZONE else position(IN_LOS_ANGELES))]
        known = self.keeping.devices[device]
        reading = known.measure(NOON_MS + self.minute * MINUTE_MS - MINUTE_MS // 2, *sorted(cells))
        operator = OTHER_OPERATOR if device == NIGHT else OPERATOR
        self.keeping.take(known.arrival([reading], operator=operator))
        self.readings.append((NOON_MS + self.minute * MINUTE_MS - MINUTE_MS // 2, asset, value, self._banks()))
        self.feeder.catch_up()
        return value

    def fall_silent(self) -> None:
        """Goods of both banks are in the container whose tracker is not heard any more, which is an alert."""
        waits = {"overdue_after_s": 600, "silent_after_s": 1_200}
        fitted = {"device": TRACKER, "operator": OPERATOR, "asset": BOX, **waits}
        goods = {"asset": BOX, "sku": "SEA-SKU", "quantity": 5}
        self.keeping.amend(
            alert_rules=[{"id": "silent", "on": "source_silent", "group_by": "device"}],
            lots=[{"id": "one", "facility": LINE, **goods}, {"id": "two", "facility": OTHER_LINE, **goods}],
            installations=[fitted | {"public_key": self.keeping.devices[TRACKER].public_key}],
        )
        self.read()
        self.tick(60)
        self.keeping.tick()

    def get(self, user: str, path: str) -> Any:
        """What a user is answered: the JSON, or the status where it is refused."""
        answer = self.client.get(path, headers=shown(USERS[user].key))
        return answer.json() if answer.status_code == 200 else answer.status_code

    def _hold(self, receipt: str, bank: str) -> None:
        self.held[receipt] = bank
        name = HALL_LOT if receipt == FIRST else SECOND_LOT
        if bank == BANK:  # both lots are in its facility, and only a pledge to its lender pledges them
            self.pledged[name] = (BANK, DEPOSITOR)
        else:
            self.pledged.pop(name, None)

    def _banks(self) -> dict[str, str]:
        """By lot and by receipt: who has it pledged now."""
        return {**{name: bank for name, (bank, _) in self.pledged.items()}, **{k: v for k, v in self.held.items() if v}}


def _stated(units: int, place: str) -> dict[str, Any]:
    return stated(sofas(units, place))
