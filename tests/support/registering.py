"""A register of receipts behind the API: parties with keys, a warehouse with stock, acts handed in over HTTP."""

from pathlib import Path
from typing import Any

import httpx2
import warehouses
from api_cloud import ApiCloud
from receipting import BANK, BUYER, DEPOSITOR, NOON_MS, OTHER_WAREHOUSE, RECEIVED, WAREHOUSE, begins, signed, stated

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.canonical import encode
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.receipts import act as act_module
from pledgewatch_cloud.decide.receipts.receipt import Receipt
from pledgewatch_cloud.decide.receipts.register import register_of
from pledgewatch_cloud.receipts.signer import Signer

HAD = 40_000
"""Thousandths of a piece that are in each bin, and on each receipt where nothing else is said."""
JOSE = {"content-type": "application/jose"}


def document() -> dict[str, Any]:
    """A book with the parties and their keys, both warehouses, and a stock system for each."""
    source = {"means": "adds", "units": {"piece": "piece"}, "owner": DEPOSITOR}
    return {
        "parties": [warehouses.party(one) for one in warehouses.KEYS],
        "warehouses": [{"id": WAREHOUSE}, {"id": OTHER_WAREHOUSE}],
        "stock_sources": [{"id": f"stock-{one}", "warehouse": one, **source} for one in (WAREHOUSE, OTHER_WAREHOUSE)],
    }


def line(place: str, **more: Any) -> dict[str, Any]:
    """A line of sofas in a bin; no two bins have sofas of one kind, so that none come close to others."""
    return {"sku": f"SOFA-{place}", "quantity_milli": HAD, "unit": "piece", "bin": place, **more}


class ReceiptCloud:
    """The API over a register of receipts, with `signer` for its credentials. Stock comes in with `stock`."""

    def __init__(self, folder: Path, *, signer: Signer | None, **others: Any) -> None:
        self.cloud = ApiCloud(folder, at_ms=NOON_MS, signer=signer, **others)
        self.client = self.cloud.client
        self.cloud.spine.commit(drafts.amend, document())

    def close(self) -> None:
        """Let go of the files."""
        self.cloud.close()

    @property
    def entries(self) -> int:
        """How many entries the journal has."""
        return self.cloud.store.counts().entries

    @property
    def now_ms(self) -> int:
        """What the clock says."""
        return self.cloud.clock.now_ms()

    def stock(self, *bins: str, warehouse: str = WAREHOUSE, pieces: int = HAD // 1_000) -> None:
        """So many pieces of the depositor's come into each bin, long before now."""
        moves = [
            {
                "id": f"in-{one}",
                "kind": "received",
                "at": RECEIVED["from"],
                "sku": f"SOFA-{one}",
                "bin": one,
                "unit": "piece",
                "quantity": str(pieces),
            }
            for one in bins
        ]
        taken = self.cloud.spine.commit(
            drafts.report, f"stock-{warehouse}", "json", encode({"movements": moves}), self.now_ms
        )
        assert taken is not None

    def get(self, name: str) -> Receipt:
        """A receipt that is there."""
        found = self.cloud.spine.state.receipts.get(name)
        assert found is not None, f"no receipt {name}"
        return found

    def says(self, by: str, kind: str, receipt: str, after: str | None = None, **body: Any) -> dict[str, Any]:
        """What an act says; it follows the newest act of its receipt."""
        known = self.cloud.spine.state.receipts.get(receipt)
        head = (known.head if known else "") if after is None else after
        common = {"act": kind, "receipt": receipt, "after": head, "by": by, "at": iso(self.now_ms)}
        return common | begins(kind, head, register_of(self.cloud.spine.state.journal)) | body

    def text(self, by: str, kind: str, receipt: str, after: str | None = None, **body: Any) -> str:
        """An act as it is handed in."""
        return signed(by, self.says(by, kind, receipt, after, **body))

    def post(self, text: str) -> httpx2.Response:
        """Hand in a text."""
        return self.client.post("/receipts/acts", content=text.encode(), headers=JOSE)

    def do(self, by: str, kind: str, receipt: str, **body: Any) -> dict[str, Any]:
        """An act is taken; its receipt as the API shows it then."""
        answer = self.post(self.text(by, kind, receipt, **body))
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        assert found["changed"] is True
        assert found["entry"] == self.entries
        shown: dict[str, Any] = found["receipt"]
        return shown

    def issue(self, name: str, *goods: dict[str, Any], **stated_as: Any) -> dict[str, Any]:
        """A receipt of the warehouse that its name begins with, for goods in a bin of its own where none are named."""
        by, _, own = name.partition(":")
        if not goods:
            self.stock(own, warehouse=by)
        return self.do(by, "issue", name, **stated(*(goods or (line(own),)), **stated_as))

    def consent(self, by: str, says: dict[str, Any]) -> str:
        """A party's yes to what an act says."""
        to = act_module.says(says)
        payload = {"act": "consent", "receipt": says["receipt"], "by": by, "at": iso(self.now_ms), "to": to}
        return signed(by, payload)


STEPS: dict[str, list[tuple[str, str, dict[str, Any]]]] = {
    # by state: how a receipt that was issued, or drafted, comes there
    "issued": [],
    "pledged": [(DEPOSITOR, "pledge", {"pledgee": BANK})],
    "partly_released": [
        (DEPOSITOR, "pledge", {"pledgee": BANK}),
        (BANK, "release", {"quantities_milli": [HAD // 2]}),
    ],
    "released": [(DEPOSITOR, "pledge", {"pledgee": BANK}), (BANK, "release", {})],
    "split": [(DEPOSITOR, "split", {"into_milli": [[HAD // 4], [HAD - HAD // 4]]})],
    "delivered": [(DEPOSITOR, "surrender", {}), (WAREHOUSE, "deliver", {})],
    "cancelled": [(DEPOSITOR, "cancel", {"reason": "taken back"})],
    "frozen": [(WAREHOUSE, "freeze", {"reason": "a count is under way"})],
    "lost": [(DEPOSITOR, "lose", {"reason": "the key is gone"})],
    "replaced": [
        (DEPOSITOR, "lose", {"reason": "the key is gone"}),
        (WAREHOUSE, "replace", {"reason": "the key is gone", "replacement": "{receipt}-new"}),
    ],
}


def body_of(kind: str, receipt: str, place: str) -> dict[str, Any]:
    """What an act of a kind may say, of a receipt of goods in a bin, that it is sound in itself."""
    bodies: dict[str, dict[str, Any]] = {
        "draft": stated(line(place)),
        "issue": stated(line(place)),
        "transfer": {"to": BUYER},
        "pledge": {"pledgee": BANK},
        "split": {"into_milli": [[HAD // 4], [HAD - HAD // 4]]},
        "substitute": {"goods": [line(place)], "received": RECEIVED, "reason": "others are in their place"},
        "replace": {"replacement": f"{receipt}-new", "reason": "the key is gone"},
        **{one: {"reason": "it is so"} for one in ("cancel", "freeze", "thaw", "lose")},
    }
    return bodies.get(kind, {})
