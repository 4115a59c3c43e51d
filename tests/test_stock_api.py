"""Reports of stock over the API: taken whole, but for their faults, or not at all; the stock book as it is told."""

import csv
import io
import json
import logging
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from api_cloud import assert_problem
from stocked import (
    LENIENT,
    OWNER_TOKEN,
    SHOP_SOFA,
    SOFA,
    STRICT,
    WRONG,
    WRONG_IDS,
    StockCloud,
    Wrong,
    came_in,
    line,
    movements,
    pieces,
    signed,
    source_document,
    stock_book_document,
    table,
)
from stocking import LATER_MS, interchange, json_text, moved_in

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.events import EventType
from pledgewatch_cloud.decide.stock import stock_book
from pledgewatch_cloud.decide.stock.rows import DOCUMENT_MAX_BYTES
from pledgewatch_cloud.journal.store import QUARANTINE_RAW_MAX_BYTES, StoreError
from pledgewatch_cloud.notices.aside import Aside
from pledgewatch_cloud.replay import replay

NOTHING: dict[str, Any] = {"entry": None, "changed": False, "rows": 0, "snapshots": 0, "faults": [], "left_out": []}


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[StockCloud]:
    made = StockCloud(tmp_path)
    yield made
    made.close()


def answered(cloud: StockCloud, *given: Any, **named: Any) -> dict[str, Any]:
    answer = cloud.post(*given, **named)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("wrong", WRONG, ids=WRONG_IDS)
def test_nothing_of_a_document_with_a_fault_is_taken_where_the_book_says_so(cloud: StockCloud, wrong: Wrong) -> None:
    before = cloud.known(), cloud.spine.state.entry
    problem = assert_problem(cloud.post(wrong.raw, wrong.form, STRICT), 422)
    (fault,) = problem["faults"]
    assert (fault["line"], problem["detail"]) == (
        wrong.line,
        "nothing of the document is taken; it is kept in quarantine",
    )
    assert wrong.text in fault["text"]
    place = "segment" if wrong.form == "x12" else "line"
    assert problem["errors"] == [f"{place} {wrong.line}: {fault['text']}"]
    assert (cloud.known(), cloud.spine.state.entry) == before
    (aside,) = cloud.aside()
    assert (aside.topic, aside.reason, aside.raw) == (f"stock/{STRICT}", "stock_refused", wrong.raw)
    assert aside.detail == problem["errors"][0]


@pytest.mark.parametrize("wrong", WRONG, ids=WRONG_IDS)
def test_the_rest_is_taken_in_one_entry_where_the_book_says_so(cloud: StockCloud, wrong: Wrong) -> None:
    before = cloud.spine.state.entry
    answer = cloud.post(wrong.raw, wrong.form, LENIENT)
    (aside,) = cloud.aside()
    assert (aside.topic, aside.raw) == (f"stock/{LENIENT}", wrong.raw)
    assert f" {wrong.line}: " in aside.detail
    assert wrong.text in aside.detail
    if not wrong.rest:
        assert assert_problem(answer, 422)["faults"][0]["line"] == wrong.line
        assert (cloud.spine.state.entry, aside.reason) == (before, "stock_refused")
        return
    found = answer.json()
    assert (answer.status_code, found["entry"], found["changed"]) == (200, before + 1, True)
    assert [one["line"] for one in found["faults"]] == [wrong.line]
    assert found["rows"] == wrong.rest == len(cloud.spine.state.stock)
    assert (cloud.spine.state.entry, aside.reason) == (before + 1, "stock_left_aside")


@pytest.mark.parametrize("source", [STRICT, LENIENT])
@pytest.mark.parametrize("wrong", WRONG, ids=WRONG_IDS)
def test_the_same_document_again_changes_nothing_and_tells_its_faults_again(
    cloud: StockCloud, wrong: Wrong, source: str
) -> None:
    first = cloud.post(wrong.raw, wrong.form, source).json()
    before = cloud.known(), cloud.spine.state.entry
    again = cloud.post(wrong.raw, wrong.form, source).json()
    assert (cloud.known(), cloud.spine.state.entry) == before
    assert again["faults"] == first["faults"]
    assert again.get("changed", False) is False
    (aside,) = cloud.aside()
    assert aside.times == 2


def test_a_corrected_document_adds_only_what_was_missing(cloud: StockCloud) -> None:
    wrong = table(line(1), line(2, unit="FT"), line(3))
    assert answered(cloud, wrong, "csv", LENIENT)["rows"] == 2
    assert cloud.on_hand(SHOP_SOFA) == 80_000
    found = answered(cloud, table(line(1), line(2), line(3)), "csv", LENIENT)
    assert (found["rows"], found["faults"]) == (1, [])
    assert cloud.on_hand(SHOP_SOFA) == 120_000


@pytest.mark.parametrize(
    ("form", "raw"),
    [
        ("json", movements({}, {})),
        ("json", b"\xef\xbb\xbf" + movements({}, {})),
        ("csv", table(line(1), line(2), trailer="SUM;2;80")),
        ("csv", table(line(1), line(2)).decode().encode("utf-16")),
        ("csv", b"\xfe\xff" + table(line(1), line(2)).decode().encode("utf-16-be")),
        ("x12", interchange(came_in(pieces(40), pieces(40), total="80")).encode()),
        ("x12", b"\xef\xbb\xbf" + interchange(came_in(pieces(40), pieces(40), total="80")).encode()),
    ],
)
def test_what_is_right_is_taken_once_however_often_it_comes(cloud: StockCloud, form: str, raw: bytes) -> None:
    entry = cloud.spine.state.entry + 1
    found = answered(cloud, raw, form)
    assert found == {**NOTHING, "entry": entry, "changed": True, "rows": 2}
    known = cloud.known()
    for _ in range(3):
        assert answered(cloud, raw, form) == NOTHING
    assert (cloud.known(), cloud.spine.state.entry, cloud.aside()) == (known, entry, [])
    assert cloud.on_hand() == 80_000


def test_an_encoding_is_the_one_that_the_book_names(cloud: StockCloud) -> None:
    raw = table(line(1, lot="Größe")).decode().encode("windows-1252")
    assert cloud.post(raw, "csv").status_code == 422
    cloud.spine.commit(drafts.amend, {"stock_sources": [source_document(STRICT, encoding="windows-1252")]})
    assert answered(cloud, raw, "csv")["rows"] == 1
    (lot,) = cloud.spine.state.stock.lots(SOFA)
    assert lot.name == "Größe"


def test_the_event_of_a_report_says_what_it_brought(cloud: StockCloud) -> None:
    entry = answered(cloud, movements({}, {"unit": "FT"}, {}), "json", LENIENT)["entry"]
    (said,) = cloud.store.events_of(entry)
    assert (said.event.type, said.event.subject) == (EventType.STOCK_REPORTED, LENIENT)
    assert dict(said.event.facts) == {"rows": 2, "snapshots": 0, "faults": 1}


def test_the_journal_says_it_again(cloud: StockCloud, tmp_path: Path) -> None:
    for wrong in WRONG:
        cloud.post(wrong.raw, wrong.form, LENIENT)
    assert len(cloud.spine.state.stock) > 3
    assert replay(tmp_path).digest == state_module.digest(cloud.spine.state)


def test_faults_are_set_aside_also_where_the_disk_failed_after_the_entry(
    cloud: StockCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = movements({}, {"unit": "FT"})

    async def full(*_: Any) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(Aside, "keep", full)
    assert_problem(cloud.post(raw, "json", LENIENT), 503)
    monkeypatch.undo()
    assert (cloud.on_hand(SHOP_SOFA), cloud.aside()) == (40_000, [])
    assert answered(cloud, raw, "json", LENIENT)["changed"] is False
    (aside,) = cloud.aside()
    assert aside.detail == "line 3: unit: 'FT' is none of CA, EA"


def test_a_disk_that_is_full_leaves_nothing_half_done(cloud: StockCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise StoreError("the disk is full")

    before = cloud.known()
    monkeypatch.setattr(cloud.store, "append", full)
    assert_problem(cloud.post(movements({}, {})), 503)
    monkeypatch.undo()
    assert (cloud.known(), cloud.aside()) == (before, [])
    assert answered(cloud, movements({}, {}))["rows"] == 2


def test_what_is_longer_than_quarantine_keeps_is_kept_in_pieces(cloud: StockCloud) -> None:
    raw = table(*(line(number) for number in range(1, 12_000)), "1;2")
    assert len(raw) > 2 * QUARANTINE_RAW_MAX_BYTES
    assert cloud.post(raw, "csv").status_code == 422
    some = cloud.aside()
    assert b"".join(one.raw for one in some) == raw
    assert [one.detail.partition(" of ")[0] for one in some] == [f"piece {n}" for n in range(1, len(some) + 1)]
    assert all("line 12001: 2 cells where the header has 7" in one.detail for one in some)


def test_every_fault_is_told_in_order_of_its_line(cloud: StockCloud) -> None:
    raw = movements({"quantity": "+5"}, {"unit": "FT", "sku": ""}, {}, {"at": "yesterday"})
    problem = assert_problem(cloud.post(raw), 422)
    assert [one.partition(":")[0] for one in problem["errors"]] == ["line 2", "line 3", "line 3", "line 5"]
    assert cloud.aside()[0].detail.splitlines() == problem["errors"]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"means": "sets"}, "3 movements of stock from wms: the book says that its documents set"),
        ({"owner": "la-1", "owners": {"E": "exporter"}, "sku_units": {"SOFA-3": "carton"}}, "unit: 'EA' is piece, but"),
        ({"bin": "B-07", "utc_offset_minutes": 60}, ""),
    ],
)
def test_what_the_book_says_of_a_source_counts_at_once(cloud: StockCloud, changes: dict[str, Any], text: str) -> None:
    cloud.spine.commit(drafts.amend, {"stock_sources": [source_document(STRICT, **changes)]})
    answer = cloud.post(movements({}, {}, {}))
    assert answer.status_code == (422 if text else 200)
    assert text in answer.text
    assert cloud.on_hand(SOFA._replace(bin="B-07")) == (0 if text else 120_000)


def test_a_moment_is_ahead_by_the_clock_of_the_journal(cloud: StockCloud) -> None:
    ahead = movements({"at": "2026-04-02T12:00:00Z"})
    problem = assert_problem(cloud.post(ahead), 422)
    assert "which is to come" in problem["errors"][0]
    cloud.clock.at_ms = LATER_MS + 30 * 86_400_000
    assert answered(cloud, ahead)["rows"] == 1


def test_who_signs_is_who_reports(cloud: StockCloud) -> None:
    raw = movements({}, {})
    for headers in ({}, {"authorization": f"Bearer {OWNER_TOKEN}"}, signed(STRICT, raw + b" ")):
        assert_problem(cloud.post(raw, headers=headers), 401)
    assert cloud.aside()[0].topic == "stock/"
    problem = assert_problem(cloud.post(raw, headers=signed(LENIENT, raw)), 403)
    assert "signed by till, who cannot report for wms" in problem["detail"]
    problem = assert_problem(cloud.post(raw, source="carrier"), 422)
    assert problem["errors"] == ["carrier is no stock source; add it to the book's stock_sources"]
    assert cloud.spine.state.entry == 1
    assert [one.reason for one in cloud.aside()] == ["sender_unauthenticated", "stock_refused", "stock_refused"]
    assert all(one.raw == raw for one in cloud.aside())


@pytest.mark.parametrize("query", ["", "?source=wms", "?form=json", "?source=wms&form=xml"])
def test_a_request_says_its_source_and_form(cloud: StockCloud, query: str) -> None:
    raw = movements({})
    assert_problem(cloud.client.post(f"/stock/reports{query}", content=raw, headers=signed(STRICT, raw)), 422)
    assert cloud.spine.state.entry == 1


def test_a_body_that_is_too_long_is_refused(cloud: StockCloud) -> None:
    raw = b" " * (DOCUMENT_MAX_BYTES + 1)
    assert_problem(cloud.post(raw), 413)
    assert answered(cloud, movements({}) + b" " * QUARANTINE_RAW_MAX_BYTES)["rows"] == 1


def test_what_is_handed_in_is_counted(cloud: StockCloud) -> None:
    for raw in (movements({}, {}), movements({}, {}), b"{"):
        cloud.post(raw)
    cloud.post(movements({}, {"unit": "FT"}), source=LENIENT)
    assert cloud.reports.counts == {"taken": 2, "known": 1, "stock_refused": 1, "stock_left_aside": 1}
    text = cloud.client.get("/metrics").text
    assert 'pledgewatch_stock_reports_total{became="stock_refused"} 1.0' in text
    assert "pledgewatch_state_stock_rows 3.0" in text
    assert "pledgewatch_state_stock_keys 2.0" in text


def test_a_full_book_is_said_once_and_shown_until_there_is_room(
    cloud: StockCloud, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def is_full() -> bool:
        return "pledgewatch_stock_book_full 1.0" in cloud.client.get("/metrics").text

    def errors() -> list[str]:
        return [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]

    assert "pledgewatch_stock_book_full 0.0" in cloud.client.get("/metrics").text
    monkeypatch.setattr(stock_book, "ROWS_MAX", 2)
    answered(cloud, movements({}, {}))
    for number in (3, 4):
        assert_problem(cloud.post(movements({"identity": f"M-{number}"})), 422)
        assert is_full()
    (said,) = errors()
    assert said.startswith("reports of stock are refused, for the stock book is full: ")
    # There is always room to take something back; that is no room for what is there.
    answered(cloud, json_text(movements=[{"id": "C-1", "at": "2026-03-01T12:00:00Z", "cancels": "M-1"}]).encode())
    assert is_full()
    monkeypatch.setattr(stock_book, "ROWS_MAX", 20)
    answered(cloud, movements({"identity": "M-3"}))
    assert not is_full()
    monkeypatch.setattr(stock_book, "KEYS_MAX", 1)
    assert_problem(cloud.post(movements({"identity": "M-5", "bin": "Z-9"})), 422)
    assert is_full()
    assert len(errors()) == 2
    assert_problem(cloud.post(b"{"), 422)


class Shop:
    """A month of two SKUs of two owners in three bins."""

    def __init__(self, cloud: StockCloud) -> None:
        cloud.spine.commit(
            drafts.amend, {"stock_sources": [source_document(STRICT, owners={"B": "la-1"}, needs_lot=0)]}
        )
        rows = [
            moved_in("1", lot="L7", expiry="2027-01-01T00:00:00Z", cost="310.00", currency="USD"),
            moved_in("2", kind="sold", quantity="6", at="2026-03-10T12:00:00Z"),
            moved_in("3", kind="moved", quantity="10", to_bin="B-07", at="2026-03-11T12:00:00Z"),
            moved_in("4", kind="returned", quantity="1", at="2026-03-12T12:00:00Z", reason="leg broken"),
            moved_in("5", sku="CHAIR-1", owner="B", quantity="2.5", at="2026-02-27T23:59:59Z"),
            {"id": "6", "at": "2026-03-12T12:00:00Z", "cancels": "gone", "reason": "slip"},
        ]
        count = {"sku": "SOFA-3", "unit": "EA", "quantity": "24"}
        snapshots = [{"id": "S-1", "at": "2026-03-20T00:00:00Z", "owner": "exporter", "rows": [count]}]
        assert answered(cloud, json_text(movements=rows, snapshots=snapshots).encode())["rows"] == 6


@pytest.fixture
def shop(cloud: StockCloud) -> StockCloud:
    Shop(cloud)
    return cloud


def test_what_there_is_can_be_asked_for_by_goods_and_moment(shop: StockCloud) -> None:
    every = shop.get("/stock")
    assert every["count"] == 3
    assert [(one["sku"], one["bin"], one["on_hand_milli"], one["unreconciled_milli"]) for one in every["goods"]] == [
        ("SOFA-3", "A-01", 24_000, -1_000),
        ("SOFA-3", "B-07", 10_000, 0),
        ("CHAIR-1", "A-01", 2_500, 0),
    ]
    (lot, *_) = [one for one in every["goods"][0]["lots"] if one["name"] == "L7"]
    assert (lot["quantity_milli"], lot["cost_minor"], lot["currency"]) == (40_000, 31_000, "USD")
    assert [one["sku"] for one in shop.get("/stock?owner=la-1")["goods"]] == ["CHAIR-1"]
    assert [one["bin"] for one in shop.get("/stock?sku=SOFA-3&warehouse=la-1&bin=B-07")["goods"]] == ["B-07"]
    assert shop.get("/stock?unit=carton") == {"count": 0, "goods": [], "next_after": ""}
    first = shop.get("/stock?limit=1")
    page = shop.client.get("/stock", params={"limit": 1, "after": first["next_after"]}).json()
    assert (page["count"], [one["bin"] for one in page["goods"]]) == (3, ["B-07"])
    then = shop.get("/stock?sku=SOFA-3&at=2026-03-10T12:00:00Z")["goods"]
    assert [one["on_hand_milli"] for one in then] == [34_000, 0]
    assert_problem(shop.client.get("/stock?at=yesterday"), 422)
    assert_problem(shop.client.get("/stock?limit=0"), 422)


def assert_foots(one: dict[str, Any]) -> None:
    """Closing is opening and all that changed it."""
    parts = ["opening", "received", "shipped", "sold", "returned", "adjusted", "moved", "unreconciled"]
    sign = {"shipped": -1, "sold": -1}
    total = sum(sign.get(name, 1) * int(one[f"{name}_milli"]) for name in parts)
    assert total == int(one["closing_milli"]), one


def test_periods_foot_and_are_told_as_json_and_as_a_table(shop: StockCloud) -> None:
    found = shop.get("/stock/periods?sku=SOFA-3&bin=A-01")["goods"][0]
    (march,) = found["periods"]
    assert (march["name"], march["opening_milli"], march["closing_milli"]) == ("2026-03", 0, 24_000)
    assert (march["sold_milli"], march["returned_milli"], march["unreconciled_milli"]) == (6_000, 1_000, -1_000)
    assert_foots(march)
    days = shop.get("/stock/periods?sku=SOFA-3&bin=A-01&by=day")["goods"][0]["periods"]
    assert [one["name"] for one in days] == ["2026-03-01", "2026-03-10", "2026-03-11", "2026-03-12", "2026-03-20"]
    for one, after in pairwise(days):
        assert_foots(one)
        assert one["closing_milli"] == after["opening_milli"]
    answer = shop.client.get("/stock/periods?by=day", headers={"accept": "text/csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(one["sku"], one["bin"], one["period"]) for one in rows][-2:] == [
        ("SOFA-3", "B-07", "2026-03-11"),
        ("CHAIR-1", "A-01", "2026-02-27"),
    ]
    for row in rows:
        assert_foots(row)
    assert len(rows) == 7
    assert_problem(shop.client.get("/stock/periods?by=year"), 422)


def test_what_was_folded_is_told_before_the_periods(shop: StockCloud) -> None:
    shop.clock.at_ms = LATER_MS + 385 * 86_400_000
    shop.spine.tick(shop.clock.at_ms)
    found = shop.get("/stock/periods?sku=SOFA-3&bin=A-01")["goods"][0]
    assert found["before"]["received_milli"] == 40_000
    assert_foots(found["before"])
    assert found["periods"][0]["opening_milli"] == found["before"]["closing_milli"]
    table_rows = shop.client.get("/stock/periods?sku=SOFA-3&bin=A-01", headers={"accept": "text/csv"}).text.splitlines()
    assert table_rows[1].startswith("la-1,exporter,SOFA-3,A-01,piece,before,0,40000,")


def test_what_sells_is_told_of_all_bins_together(shop: StockCloud) -> None:
    found = shop.get("/stock/sell-through?until=2026-03-21T00:00:00Z&days=20&sku=SOFA-3&bin=A-01")
    assert found == {
        "count": 1,
        "goods": [
            {
                "warehouse": "la-1",
                "owner": "exporter",
                "sku": "SOFA-3",
                "unit": "piece",
                "on_hand_milli": 34_000,
                "sold_milli_per_day": 250,
                "lasts_days": 136,
            }
        ],
        "next_after": "",
    }
    (before,) = shop.get("/stock/sell-through?until=2026-03-05T00:00:00Z&sku=SOFA-3")["goods"]
    assert (before["on_hand_milli"], before["sold_milli_per_day"], before["lasts_days"]) == (40_000, 0, None)
    everything = shop.get("/stock/sell-through")["goods"]
    assert [(one["sku"], one["lasts_days"]) for one in everything] == [("SOFA-3", 191), ("CHAIR-1", None)]
    assert_problem(shop.client.get("/stock/sell-through?days=0"), 422)


def test_what_takes_back_nothing_is_listed_with_its_source(shop: StockCloud) -> None:
    (one,) = shop.get("/stock/unmatched")
    assert (one["source"], one["id"], one["cancels"], one["reason"]) == (STRICT, "6", "gone", "slip")


def test_the_book_tells_its_sources(cloud: StockCloud) -> None:
    assert cloud.get("/book")["stock_sources"] == json.loads(json.dumps(stock_book_document()["stock_sources"]))
