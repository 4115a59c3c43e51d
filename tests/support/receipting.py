"""A register of warehouse receipts: parties that sign, stock that there is, acts that are taken or refused."""

from collections.abc import Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pledgewatch_cloud.decide import jose
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.receipts import act as act_module
from pledgewatch_cloud.decide.receipts import life
from pledgewatch_cloud.decide.receipts.act import Act, ActError
from pledgewatch_cloud.decide.receipts.claiming import World
from pledgewatch_cloud.decide.receipts.receipt import Receipt
from pledgewatch_cloud.decide.receipts.receipt_book import ReceiptBook
from pledgewatch_cloud.decide.receipts.register import register_of
from pledgewatch_cloud.decide.stock.ages import LONG_AGO_MS, Aged
from pledgewatch_cloud.decide.stock.rows import COUNTED, Report, Snapshot, StockKey, StockRow
from pledgewatch_cloud.decide.stock.stock_book import StockBook

NOON_MS = 1_767_268_800_000  # 2026-01-01T12:00:00Z
DAY_MS = 86_400_000
CAME_MS = NOON_MS - 40 * DAY_MS
"""Noon of the day on which most goods came in."""
WAREHOUSE, OTHER_WAREHOUSE = "la-1", "la-2"
DEPOSITOR, BUYER, AFFILIATE = "sofa-works", "importer", "sofa-works-hk"
BANK, OTHER_BANK, STRANGER = "bank-one", "bank-two", "stranger"
PARTIES = (WAREHOUSE, OTHER_WAREHOUSE, DEPOSITOR, BUYER, AFFILIATE, BANK, OTHER_BANK, STRANGER)
KEYS = {name: Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number, name in enumerate(PARTIES, 1)}
REGISTER = register_of("a journal")
FIRST = f"{WAREHOUSE}:0001"
SOFAS = {"sku": "SOFA-3", "quantity_milli": 40_000, "unit": "piece", "bin": "A-01"}
CHAIRS = {"sku": "CHAIR-1", "quantity_milli": 60_000, "unit": "piece", "bin": "B-07"}
RECEIVED = {"from": iso(CAME_MS - DAY_MS), "until": iso(CAME_MS)}


def window(from_days: float, until_days: float) -> dict[str, str]:
    """When goods came in, in days before (negative) and after CAME_MS."""
    return {"from": iso(CAME_MS + int(from_days * DAY_MS)), "until": iso(CAME_MS + int(until_days * DAY_MS))}


def stated(*goods: dict[str, Any], depositor: str = DEPOSITOR, received: dict[str, str] = RECEIVED) -> dict[str, Any]:
    """What a draft or an issue says."""
    until = iso(NOON_MS + 365 * DAY_MS)
    return {"depositor": depositor, "goods": list(goods or (SOFAS,)), "received": received, "until": until}


def begins(kind: str, after: str, register: str = REGISTER) -> dict[str, str]:
    """What an act says of the register: which it is where a receipt begins with it."""
    return {"register": register} if kind == "draft" or (kind == "issue" and not after) else {}


def signed(by: str, payload: dict[str, Any], kid: str = "k1", key: Ed25519PrivateKey | None = None) -> str:
    """A text that somebody has signed."""
    covered = jose.to_sign(kid, payload)
    return jose.compact(covered, (key or KEYS[by]).sign(covered))


class Plenty:
    """Stock of which there is always enough; all that came of it is folded."""

    horizon_ms = 2**62

    def on_hand_milli(self, key: StockKey, at_ms: int) -> int:
        """More than anybody asks for."""
        return 10**12

    def ages(self, key: StockKey, at_ms: int) -> list[Aged]:
        """It came whenever somebody says."""
        return [Aged(self.horizon_ms, LONG_AGO_MS, 10**12)]

    def keys_of(self, warehouse: str, owner: str, sku: str, unit: str) -> tuple[StockKey, ...]:
        """There is enough in each bin."""
        return ()

    def keys_in(self, warehouse: str, place: str) -> tuple[StockKey, ...]:
        """Of whatever else nothing is known."""
        return ()

    def story(self, key: StockKey) -> tuple[int, list[tuple[int, str, int]]]:
        """Nothing is known one by one."""
        return 10**12, []


def counted(levels: Mapping[StockKey, int], at_ms: int) -> Snapshot:
    """What a stock system counts of an owner's goods in a warehouse."""
    (pair,) = {(key.warehouse, key.owner) for key in levels}
    name = "-".join((*pair, str(at_ms)))
    rows = tuple(StockRow(name, COUNTED, at_ms, key, milli) for key, milli in levels.items())
    return Snapshot(name, at_ms, *pair, rows)


class Register:
    """Receipts, the stock behind them, what counts and zones find missing of an SKU, and a clock set by hand. Where no
    stock is given there is plenty."""

    def __init__(self) -> None:
        self.receipts = ReceiptBook()
        self.stock: StockBook | None = None
        self.missing: dict[str, int] = {}
        self.now_ms = NOON_MS

    @property
    def world(self) -> World:
        """What is asked beside the receipts."""
        stock = Plenty() if self.stock is None else self.stock
        return World(self._keys, {WAREHOUSE, OTHER_WAREHOUSE}, stock, self._missing, REGISTER, self.now_ms)

    def _keys(self, party: str) -> Mapping[str, bytes]:
        return {"k1": KEYS[party].public_key().public_bytes_raw()} if party in KEYS else {}

    def _missing(self, warehouse: str, sku: str, besides: str) -> int:
        return self.missing.get(sku, 0)

    def has(self, levels: Mapping[StockKey, int]) -> None:
        """All that there is now, as the stock system counts it."""
        owners: dict[tuple[str, str], dict[StockKey, int]] = {}
        for key, milli in levels.items():
            owners.setdefault(key[:2], {})[key] = milli
        snapshots = tuple(counted(some, self.now_ms) for some in owners.values())
        self.stock = StockBook().taken(Report("wms", snapshots=snapshots))

    def says(self, by: str, kind: str, receipt: str, after: str | None = None, **body: Any) -> dict[str, Any]:
        """What an act says; it follows the newest act of its receipt."""
        known = self.receipts.get(receipt)
        head = (known.head if known else "") if after is None else after
        common = {"act": kind, "receipt": receipt, "after": head, "by": by, "at": iso(self.now_ms)}
        return common | begins(kind, head) | body

    def text(self, by: str, kind: str, receipt: str, after: str | None = None, **body: Any) -> str:
        """An act as it is handed in."""
        return signed(by, self.says(by, kind, receipt, after, **body))

    def take(self, text: str) -> Act:
        """The book goes on with an act. Raises ActError."""
        act = act_module.read(text)
        self.receipts = life.apply(self.receipts, act, self.world)
        return act

    def do(self, by: str, kind: str, receipt: str, **body: Any) -> Receipt:
        """An act is taken; its receipt as it is then."""
        return self.get(self.take(self.text(by, kind, receipt, **body)).receipt)

    def get(self, name: str) -> Receipt:
        """A receipt that is there."""
        found = self.receipts.get(name)
        assert found is not None, f"no receipt {name}"
        return found

    def refuse(self, by: str, kind: str, receipt: str, **body: Any) -> ActError:
        """An act is refused, with a reason and a cure, and nothing has changed by it."""
        return self.assert_refused(self.text(by, kind, receipt, **body))

    def assert_refused(self, text: str) -> ActError:
        """A text is refused, with a reason and a cure, and nothing has changed by it."""
        before = self.receipts
        with pytest.raises(ActError) as caught:
            self.take(text)
        error = caught.value
        assert self.receipts is before
        assert error.why
        assert str(error) == f"{error.why}; {error.cure}" != f"{error.why}; "
        return error

    def issue(self, name: str = FIRST, *goods: dict[str, Any], **stated_as: Any) -> Receipt:
        """A receipt of the warehouse that its name begins with."""
        return self.do(name.partition(":")[0], "issue", name, **stated(*goods, **stated_as))

    def pledge(self, name: str = FIRST, bank: str = BANK) -> Receipt:
        """Its holder pledges it."""
        return self.do(self.get(name).holder, "pledge", name, pledgee=bank)

    def consent(self, by: str, says: dict[str, Any], key: Ed25519PrivateKey | None = None) -> str:
        """A party's yes to what an act says."""
        to = act_module.says(says)
        payload = {"act": "consent", "receipt": says["receipt"], "by": by, "at": iso(self.now_ms), "to": to}
        return signed(by, payload, key=key)
