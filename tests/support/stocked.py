"""Two stock systems of one warehouse, alike but for whose goods they speak of and what becomes of their documents with
faults; documents of each form that are wrong in each way; and the API with both of them."""

import base64
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
from api_cloud import ApiCloud
from stocking import LATER_MS, interchange, json_text, moved_in, transaction

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.stock.rows import StockKey
from pledgewatch_cloud.journal.store import Quarantined
from pledgewatch_cloud.notices.senders import SenderKeys, Senders
from pledgewatch_cloud.signature import Key
from pledgewatch_cloud.stock.reports import StockReports

STRICT, LENIENT = "wms", "till"
SECRETS = {STRICT: f"whsec_{'w' * 40}", LENIENT: f"whsec_{'t' * 40}", "carrier": f"whsec_{'c' * 40}"}
OWNER_TOKEN = "not-a-secret-either"
SOFA = StockKey("la-1", "exporter", "SOFA-3", "A-01", "piece")
SHOP_SOFA = SOFA._replace(owner="shop")
HEADER = "no;what;when;article;unit;pieces;lot"
COLUMNS = {
    "id": "no",
    "kind": "what",
    "at": "when",
    "sku": "article",
    "unit": "unit",
    "quantity": "pieces",
    "lot": "lot",
}


def source_document(identity: str, **changes: Any) -> dict[str, Any]:
    """A stock source as the book has it."""
    return {
        "id": identity,
        "warehouse": "la-1",
        "means": "both",
        "units": {"EA": "piece", "CA": "carton"},
        "owner": "exporter",
        "bin": "A-01",
        "needs_lot": 1,
        "utc_offset_minutes": 0,
        "csv": {
            "columns": COLUMNS,
            "kinds": {"IN": "received", "OUT": "sold"},
            "delimiter": ";",
            "decimal": ",",
            "trailer": "SUM",
        },
    } | changes


def stock_book_document() -> dict[str, Any]:
    """A book with both sources; one takes nothing of a document with faults, the other the rest."""
    return {
        "parties": [
            {"id": one, "name": name}
            for one, name in (("la-1", "Los Angeles One"), ("exporter", "Exporter"), ("shop", "Shop"))
        ],
        "warehouses": [{"id": "la-1"}],
        "stock_sources": [source_document(STRICT), source_document(LENIENT, at_fault="take_rest", owner="shop")],
    }


def movements(*changes: dict[str, Any], totals: dict[str, str] | None = None) -> bytes:
    """A document of the JSON form: what came in, a row on each line from the second on."""
    rows = [moved_in(**{"identity": f"M-{number}", "lot": "L7"} | one) for number, one in enumerate(changes, 1)]
    return json_text(movements=rows, **({} if totals is None else {"totals": totals})).encode()


def table(*rows: str, trailer: str = "SUM;;") -> bytes:
    """A table, its rows from the second line on."""
    return "".join(f"{one}\n" for one in (HEADER, *rows, trailer)).encode()


def line(number: int, *, kind: str = "IN", pieces: str = "40", unit: str = "EA", lot: str = "L7") -> str:
    """A row of a table."""
    return f"{number};{kind};2026-03-01T12:00:00Z;SOFA-3;{unit};{pieces};{lot}"


def came_in(*lines: str, total: str, number: str = "R-17", control: str = "0001") -> list[str]:
    """A set 944; its first W07 is the fifth segment of the first set in an interchange."""
    return transaction("944", f"W17*F*20260301*{number}***8*1200", *lines, f"W14*{total}", number=control)


def pieces(number: int, *, unit: str = "EA", lot: str = "L7") -> str:
    """A W07."""
    return f"W07*{number}*{unit}**SK*SOFA-3***{lot}"


class Wrong(NamedTuple):
    """A document with a fault at a line; `rest` are the rows that a source takes all the same that takes the rest."""

    what: str
    form: str
    raw: bytes
    line: int
    text: str
    rest: int


def _wrong() -> Iterator[Wrong]:
    plenty = {"quantity": "81"}
    yield Wrong(
        "a total", "json", movements({}, {}, totals=plenty), 3, "totals.quantity: 81, but the rows add up to 80.000", 0
    )
    yield Wrong("a unit", "json", movements({}, {"unit": "FT"}, {}), 3, "unit: 'FT' is none of", 2)
    yield Wrong("no lot", "json", movements({}, {}, {"lot": None}), 4, "lot: is missing", 2)
    yield Wrong("an encoding", "json", movements({}, {"bin": "caf~"}).replace(b"~", b"\xe9"), 3, "is no utf-8", 0)
    yield Wrong("a total", "csv", table(line(1), line(2), trailer="SUM;2;81"), 4, "the trailer says 81 in all", 0)
    yield Wrong("a unit", "csv", table(line(1), line(2, unit="FT"), line(3)), 3, "unit: 'FT' is none of", 2)
    yield Wrong("no lot", "csv", table(line(1), line(2), line(3, lot="")), 4, "lot: is missing", 2)
    latin = table(line(1), line(2, lot="caf~")).replace(b"~", b"\xe9")
    yield Wrong("an encoding", "csv", latin, 3, "is no utf-8", 0)
    two = interchange(
        came_in(pieces(40), total="41"), came_in(pieces(2), pieces(3), total="5", number="R-18", control="0002")
    )
    yield Wrong("a total", "x12", two.encode(), 6, "W14", 2)
    unit = interchange(came_in(pieces(40), pieces(2, unit="FT"), total="42"))
    yield Wrong("a unit", "x12", unit.encode(), 6, "unit: 'FT' is none of", 1)
    lot = interchange(came_in(pieces(40), pieces(2, lot=""), total="42"))
    yield Wrong("no lot", "x12", lot.encode(), 6, "lot: is missing", 1)
    foreign = interchange(came_in(pieces(40, lot="caf~~"), total="40")).encode()
    yield Wrong("an encoding", "x12", foreign.replace(b"~~", b"\xe9"), 5, "is no utf-8", 0)


WRONG = list(_wrong())
WRONG_IDS = [f"{one.form}: {one.what}" for one in WRONG]


def signed(whose: str, raw: bytes, identity: str = "msg_1") -> dict[str, str]:
    """The headers of a request, by the words of the scheme alone: its libraries sign no bytes that are not UTF-8."""
    at = str(int(time.time()))
    key = base64.b64decode(SECRETS[whose].removeprefix("whsec_"))
    made = hmac.new(key, f"{identity}.{at}.".encode() + raw, "sha256").digest()
    signature = f"v1,{base64.b64encode(made).decode()}"
    return {"webhook-id": identity, "webhook-timestamp": at, "webhook-signature": signature}


class StockCloud(ApiCloud):
    """The API, whose book and configuration know both sources; and a carrier, who is none."""

    def __init__(self, folder: Path) -> None:
        keys = [SenderKeys(one, (Key(secret),)) for one, secret in SECRETS.items()]
        self.reports = StockReports()
        super().__init__(folder, at_ms=LATER_MS, token=OWNER_TOKEN, senders=Senders(keys), stock_reports=self.reports)
        self.spine.commit(drafts.amend, stock_book_document())

    def post(
        self, raw: bytes, form: str = "json", source: str = STRICT, *, headers: dict[str, str] | None = None
    ) -> httpx2.Response:
        """Hand in a document, signed by the source unless it is said otherwise."""
        signing = signed(source, raw) if headers is None else headers
        query = {"source": source, "form": form}
        answer: httpx2.Response = self.client.post("/stock/reports", params=query, content=raw, headers=signing)
        return answer

    def known(self) -> str:
        """All that the stock book holds."""
        return json.dumps(self.spine.state.stock.as_json())

    def on_hand(self, key: StockKey = SOFA) -> int:
        return self.spine.state.stock.on_hand_milli(key)

    def aside(self) -> list[Quarantined]:
        """What is in quarantine, the oldest first."""
        return self.store.quarantined()[::-1]
