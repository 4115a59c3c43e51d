"""Counts: what is taken of what somebody has counted and signed, and what is refused, with its place and its cure."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from builders import NOON_MS
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from extracts import RECEIPT
from keeping import Keeping
from receipting import BANK, DEPOSITOR, OTHER_WAREHOUSE, WAREHOUSE, signed
from stocking import row as stock_row
from stocking import said as said_of_stock
from warehouses import KEYS, PHOTO, SURVEYOR, book_with, count_says, count_text

from pledgewatch_cloud.decide import canonical, drafts, jose
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.receipts.goods import GoodsLine
from pledgewatch_cloud.decide.receipts.life import SKEW_MS
from pledgewatch_cloud.decide.receipts.receipt import State
from pledgewatch_cloud.decide.receipts.receipt_book import ReceiptBook
from pledgewatch_cloud.decide.state import digest
from pledgewatch_cloud.decide.stock.rows import QUANTITY_MAX_MILLI, StockKey
from pledgewatch_cloud.decide.stock.stock_book import StockBook
from pledgewatch_cloud.decide.warehouse.cases import Case, CaseState
from pledgewatch_cloud.decide.warehouse.counting import OLDEST_MS, Count, CountError, check, check_known, read
from pledgewatch_cloud.spine.spine import recover

SOFA = StockKey(WAREHOUSE, DEPOSITOR, "SOFA-3", "A-01", "piece")
BOOK = book_with()
ROW = count_says()["rows"][0]
NO_RECEIPTS = ReceiptBook()


def keys(party: str) -> Mapping[str, bytes]:
    return {"k1": KEYS[party].public_key().public_bytes_raw()} if party in KEYS else {}


def taken(text: str, heard_ms: int = NOON_MS, book: Any = BOOK) -> Count:
    """A count that may be taken. Raises CountError."""
    count = read(text)
    check(count, keys, book.warehouses, heard_ms)
    return count


def assert_refused(text: str, why: str, cure: str, heard_ms: int = NOON_MS) -> None:
    with pytest.raises(CountError) as caught:
        taken(text, heard_ms)
    assert why in caught.value.why
    assert cure in caught.value.cure
    assert str(caught.value) == f"{caught.value.why}; {caught.value.cure}"


def test_a_count_is_read_as_it_was_signed() -> None:
    text = count_text([("SOFA-3", "A-02", 0), ("SOFA-3", "A-01", 38)], count="la-1/case-1", note="two are wet")
    count = taken(text)
    assert count == Count(
        "la-1/case-1",
        WAREHOUSE,
        SURVEYOR,
        NOON_MS,
        ((SOFA, 38_000), (SOFA._replace(bin="A-02"), 0)),
        (PHOTO,),
        "two are wet",
        canonical.sha256(text.encode()),
        "k1",
        jose.read(text),
    )


def test_a_count_that_nobody_asked_for_is_taken_too() -> None:
    count = taken(count_text())
    assert (count.case, count.note) == ("", "")


def without(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda says: says.pop(name)


def but(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda says: says.update(changes)


def row(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return but(rows=[{**ROW, **changes}])


UNSOUND: list[tuple[Callable[[dict[str, Any]], None], str, str]] = [
    *(
        (without(name), f"count: {name} is missing", "say at, by, count, photos, rows, warehouse, and may say note")
        for name in ("count", "warehouse", "by", "at", "rows", "photos")
    ),
    (but(smell=1), "count: 'smell': no such member", "say at, by"),
    (but(count=7), "count: 7 is no id", "write it as the book does"),
    (but(warehouse="la-1/../la-2"), "warehouse: 'la-1/../la-2' is no id", "no part between slashes that is empty"),
    (but(warehouse=""), "warehouse: '' is no id", "write it as the book does"),
    (but(by=["x"]), "by: ['x'] is no id", "write it as the book does"),
    (but(at="2026-01-01"), "at: '2026-01-01' is not a time in ISO 8601 with its offset", "with its offset"),
    (but(rows=[]), "rows: [] is no list of 1 to 1000 rows", "give one for each key in each bin"),
    (but(rows={}), "rows: {} is no list of 1 to 1000 rows", "give one for each key in each bin"),
    (but(rows=[ROW] * 1_001), "is no list of 1 to 1000 rows", "give one for each key in each bin"),
    (but(rows=[7]), "rows[0]: 7 is no object", "say bin, owner, quantity_milli, sku, unit"),
    (but(rows=[ROW, {**ROW, "quantity_milli": 1}]), "rows[1]: SOFA-3 in A-01 comes twice", "add its rows up to one"),
    (row(smell=1), "rows[0]: 'smell': no such member", "say bin"),
    (but(rows=[{"owner": "x"}]), "rows[0]: bin, quantity_milli, sku, unit is missing", "say bin"),
    (row(quantity_milli=-1), "rows[0].quantity_milli: -1 is no whole number from 0", "40 pieces are 40000"),
    (row(quantity_milli=True), "rows[0].quantity_milli: True is no whole number", "40 pieces are 40000"),
    (row(quantity_milli=1.0), "rows[0].quantity_milli: 1.0 is no whole number", "40 pieces are 40000"),
    (row(quantity_milli=QUANTITY_MAX_MILLI + 1), "is no whole number from 0 to", "40 pieces are 40000"),
    (row(owner=""), "rows[0].owner: '' is no id", "write it as the book does"),
    (row(sku=""), "rows[0].sku: is missing", "write it exactly as the stock system does"),
    (row(bin=" A"), "rows[0].bin: ' A': 1 to 128 characters", "write it exactly as the stock system does"),
    (row(unit=7), "rows[0].unit: is missing", "write it exactly as the stock system does"),
    (but(photos=[]), "photos: [] is no list of 1 to 200 hashes", "photograph what was counted"),
    (but(photos=PHOTO), "is no list of 1 to 200 hashes", "photograph what was counted"),
    (but(photos=[f"{number:064x}" for number in range(201)]), "is no list of 1 to 200", "photograph what was counted"),
    (but(photos=[PHOTO, PHOTO]), "photos[1]:", "each photograph once"),
    (but(photos=[PHOTO.upper()]), "photos[0]:", "64 hexadecimal digits in small letters"),
    (but(photos=[PHOTO[1:]]), "photos[0]:", "64 hexadecimal digits in small letters"),
    (but(note="x" * 1_001), "is no text of at most 1000 characters", "say it shorter"),
    (but(note=7), "note: 7 is no text", "say it shorter"),
]


@pytest.mark.parametrize(("change", "why", "cure"), UNSOUND)
def test_what_is_unsound_is_refused_with_its_place_and_its_cure(
    change: Callable[[dict[str, Any]], None], why: str, cure: str
) -> None:
    says = json.loads(json.dumps(count_says()))
    change(says)
    assert_refused(signed(SURVEYOR, says, key=KEYS[SURVEYOR]), why, cure)


def test_who_is_no_inspector_of_the_warehouse_may_not_count() -> None:
    for by in (WAREHOUSE, BANK):
        assert_refused(
            count_text(by=by), f"{by} may not count in la-1: its inspectors are surveyor", "have one of them"
        )
    with pytest.raises(CountError, match="its inspectors are nobody"):
        taken(count_text(), book=book_with(inspectors=[]))
    assert taken(count_text(by=WAREHOUSE), book=book_with(inspectors=[WAREHOUSE])).by == WAREHOUSE


def test_a_warehouse_that_the_book_does_not_know_is_refused() -> None:
    assert_refused(
        count_text(warehouse=OTHER_WAREHOUSE), "there is no la-2 among warehouses", "name one that the book has"
    )


def test_only_the_key_of_whoever_counts_makes_a_signature() -> None:
    assert_refused(count_text(key=KEYS[BANK]), "the signature is not by the key k1 of surveyor", "sign it again")
    stranger = Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32)
    assert_refused(count_text(key=stranger), "the signature is not by the key k1 of surveyor", "sign it again")
    other = signed(SURVEYOR, count_says(), kid="k2", key=KEYS[SURVEYOR])
    assert_refused(other, "surveyor has no key called k2 in the book", "or have it added")
    unnamed = signed(SURVEYOR, count_says(), kid="", key=KEYS[SURVEYOR])
    assert_refused(unnamed, "count: the header names no key", "put into `kid`")


def test_no_sign_of_a_count_can_be_changed() -> None:
    text = count_text()
    taken(text)
    for place in range(0, len(text), 7):
        for other in "AB":
            changed = text[:place] + other + text[place + 1 :]
            if changed != text:
                with pytest.raises(CountError):
                    taken(changed)


def test_a_text_that_is_no_jws_is_refused() -> None:
    for text in ("", "a.b", "a.b.c", "{}", count_text() + "."):
        with pytest.raises(CountError, match=r"^count: .*; sign the count again as docs/WAREHOUSES\.md says$"):
            read(text)


def test_a_count_is_of_no_moment_ahead_and_of_none_long_ago() -> None:
    text = count_text()
    assert taken(text, NOON_MS - SKEW_MS).at_ms == NOON_MS
    assert_refused(text, "at: the count lies ahead of now", "set the signer's clock", NOON_MS - SKEW_MS - 1)
    assert taken(text, NOON_MS + OLDEST_MS).at_ms == NOON_MS
    assert_refused(text, "at: the count is more than 31 days old", "count again", NOON_MS + OLDEST_MS + 1)
    assert taken(count_text(at=iso(NOON_MS + 1)), NOON_MS).at_ms == NOON_MS + 1


KNOWN = StockBook().taken(
    said_of_stock(
        stock_row("M-1", "received", 40, key=SOFA),
        stock_row("M-2", "received", 3, key=SOFA._replace(unit="pallet")),
        stock_row("M-3", "received", 7, key=SOFA._replace(sku="SOFA-2")),
        stock_row("M-4", "received", 7, key=SOFA._replace(sku="LAMP")),
        stock_row("M-5", "received", 9, key=SOFA._replace(owner="lamp-works", sku="LAMP-9")),
        stock_row("M-6", "received", 9, key=SOFA._replace(warehouse=OTHER_WAREHOUSE, sku="CHAIR")),
    )
)
CASE = Case("case-1", "weight_below", WAREHOUSE, (), CaseState.OPEN, 0, 1, 1, 1, (SOFA,), 1, 1)
CASES = {"case-1": CASE, "case-2": CASE._replace(id="case-2", warehouse=OTHER_WAREHOUSE)}


def held_against_what_is_known(text: str, receipts: ReceiptBook = NO_RECEIPTS) -> None:
    check_known(taken(text), KNOWN, receipts, CASES)


@pytest.mark.parametrize(
    ("change", "why", "cure"),
    [
        (row(unit="EA"), "has no SOFA-3 of sofa-works in EA", "SOFA-3 is counted in pallet, piece"),
        (
            row(sku="sofa-3"),
            "has no sofa-3 of sofa-works in piece",
            "nearest of sofa-works are SOFA-3, SOFA-2, LAMP",
        ),
        (row(sku="CHAIR"), "has no CHAIR of sofa-works", "write the SKU as the stock system does"),
        (row(owner="exprter"), "has no SOFA-3 of exprter", "goods there are of lamp-works, sofa-works"),
        (row(owner="lamp-works"), "has no SOFA-3 of lamp-works", "the nearest of lamp-works are LAMP-9"),
        (but(count="case-9"), "count: case-9 is none that is known", "name a case of la-1"),
        (but(count="case-2"), "count: case-2 is in la-2", 'or "" where the count answers none'),
    ],
)
def test_a_count_of_what_nobody_knows_is_refused_with_what_is_nearest(
    change: Callable[[dict[str, Any]], None], why: str, cure: str
) -> None:
    says = json.loads(json.dumps(count_says()))
    change(says)
    with pytest.raises(CountError) as caught:
        held_against_what_is_known(signed(SURVEYOR, says, key=KEYS[SURVEYOR]))
    assert why in caught.value.why
    assert cure in caught.value.cure


def test_goods_that_are_known_may_be_counted_in_any_bin_and_for_a_case_of_their_warehouse() -> None:
    held_against_what_is_known(count_text([("SOFA-3", "Z-99", 1), ("LAMP", "A-01", 0)], count="case-1"))
    with pytest.raises(CountError, match="no goods are known there yet"):
        check_known(taken(count_text()), StockBook(), NO_RECEIPTS, CASES)


def test_goods_of_a_live_receipt_may_be_counted_though_no_stock_system_knows_them() -> None:
    only = {"unit": "set"}
    goods = (GoodsLine("SOFA-3", 40_000, "set", "A-01"),)
    receipt = RECEIPT._replace(warehouse=WAREHOUSE, depositor=DEPOSITOR, goods=goods)
    says = count_says() | {"rows": [{**ROW, **only}]}
    text = signed(SURVEYOR, says, key=KEYS[SURVEYOR])
    with pytest.raises(CountError, match="in set"):
        held_against_what_is_known(text)
    held_against_what_is_known(text, ReceiptBook().put([receipt]))
    with pytest.raises(CountError, match="in set"):
        held_against_what_is_known(text, ReceiptBook().put([receipt._replace(state=State.CANCELLED)]))


def test_a_slip_leaves_no_trace_and_the_same_count_again_says_nothing_new() -> None:
    kept = Keeping()
    kept.row("received", 40)
    entry = kept.spine.state.entry
    slip = signed(SURVEYOR, count_says() | {"rows": [{**ROW, "unit": "EA"}]}, key=KEYS[SURVEYOR])
    with pytest.raises(CountError, match="SOFA-3 is counted in piece"):
        kept.spine.commit(drafts.count, slip, NOON_MS)
    assert kept.spine.state.entry == entry
    text = count_text()
    assert kept.spine.commit(drafts.count, text, NOON_MS) is not None
    assert kept.spine.commit(drafts.count, text, NOON_MS) is None
    assert digest(recover(kept.store)) == digest(kept.spine.state)
