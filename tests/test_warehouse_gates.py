"""Departures: which lines of which receipts have left without a release, by gates and by places."""

from collections.abc import Iterable
from typing import Any

import pytest
from builders import AT_SEA, IN_LOS_ANGELES
from receipting import (
    BANK,
    BUYER,
    CAME_MS,
    DAY_MS,
    DEPOSITOR,
    FIRST,
    NOON_MS,
    OTHER_WAREHOUSE,
    SOFAS,
    WAREHOUSE,
    Register,
)
from warehouses import BOX, DOCK, GATE, HALL, TRACKER, ZONE, batch, book_with, cell, document, installation, party, said

from pledgewatch_cloud.decide import book as book_module
from pledgewatch_cloud.decide.asset import AssetState
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.presence import Presence
from pledgewatch_cloud.decide.warehouse.gates import Departure, concerned, left
from pledgewatch_cloud.decide.warehouse.signals import Signals, heard
from pledgewatch_wire.reading import Channel, tag_number

CONTAINER, SEAL = "MSKU1234565", "SEAL001"
SECOND = f"{WAREHOUSE}:0002"
GOODS = {**SOFAS, "container": CONTAINER, "seal": SEAL, "device": TRACKER}
BOOK = book_with()
LATER_MS = NOON_MS + DAY_MS
ALL = 40_000
Bare = tuple[str, int, str, int]
"""A departure: receipt, line, gate and moment."""


class Yard:
    """A register of receipts, what gates have read, and where assets are."""

    def __init__(self, book: Book = BOOK) -> None:
        self.book = book
        self.register = Register()
        self.signals = Signals()
        self.assets: dict[str, AssetState] = {}
        self._sequence = 0

    def reads(self, name: str, at_ms: int, channel: Channel = Channel.TAG_OUT, device: str = DOCK) -> None:
        """A gate reads a tag."""
        self._sequence += 1
        one = said(device, self._sequence, at_ms, cell(channel, tag_number(name)))
        self.signals = heard(self.signals, self.book, batch(one), at_ms)

    def is_at(self, asset: str, at_ms: int, place: tuple[int, int] = AT_SEA, **told: Any) -> None:
        """An asset has its newest fix, by default a good one far outside."""
        key = at_ms, "tracker", 1, 1
        self.assets[asset] = AssetState(presence=Presence(key, *place, good_ms=at_ms)._replace(**told))

    def left(self) -> tuple[Bare, ...]:
        """What has left, without how each of its names passed."""
        return bare(left(self.book, self.register.receipts, self.signals, self.assets))


def bare(some: Iterable[Departure]) -> tuple[Bare, ...]:
    return tuple((one.receipt, one.line, one.gate, one.at_ms) for one in some)


@pytest.fixture
def yard() -> Yard:
    return Yard()


@pytest.mark.parametrize("name", [CONTAINER, SEAL, TRACKER])
def test_goods_have_left_once_a_gate_has_read_one_of_their_names_on_its_way_out(yard: Yard, name: str) -> None:
    yard.register.issue(FIRST, GOODS)
    assert yard.left() == ()
    yard.reads(name, LATER_MS)
    assert yard.left() == ((FIRST, 0, GATE, LATER_MS),)


@pytest.mark.parametrize(
    ("key", "written", "read"),
    [
        ("container", "msku 123456-5", "MSKU123456 5"),
        ("seal", "E280-1160-6000", "E280-1160-6000"),
        ("seal", "ML/CN 0012345", "ml-cn0012345"),
        ("seal", "E28011606000AA", "e280 1160 6000 aa"),
        ("device", TRACKER, TRACKER.replace("-", "").upper()),
    ],
)
def test_a_name_is_found_however_the_receipt_and_the_reader_write_it(
    yard: Yard, key: str, written: str, read: str
) -> None:
    yard.register.issue(FIRST, {**SOFAS, key: written})
    yard.reads(read, LATER_MS)
    assert yard.left() == ((FIRST, 0, GATE, LATER_MS),)


def test_of_several_names_the_newest_that_has_left_counts(yard: Yard) -> None:
    yard.register.issue(FIRST, GOODS)
    yard.reads(SEAL, LATER_MS + 5)
    yard.reads(CONTAINER, LATER_MS)
    assert yard.left() == ((FIRST, 0, GATE, LATER_MS + 5),)


def test_goods_that_have_come_back_have_not_left(yard: Yard) -> None:
    yard.register.issue(FIRST, GOODS)
    yard.reads(CONTAINER, LATER_MS)
    yard.reads(CONTAINER, LATER_MS + 1, Channel.TAG_IN)
    assert yard.left() == ()
    yard.reads(CONTAINER, LATER_MS + 2)
    assert yard.left() == ((FIRST, 0, GATE, LATER_MS + 2),)


def test_of_several_gates_the_newest_passage_counts() -> None:
    other = installation("dock-b", 61)
    book = book_module.amend(
        BOOK, {"installations": [other], "warehouses": document(gates=[GATE, other["asset"]])["warehouses"]}
    )
    yard = Yard(book)
    yard.register.issue(FIRST, GOODS)
    yard.reads(CONTAINER, LATER_MS)
    yard.reads(CONTAINER, LATER_MS + 1, Channel.TAG_IN, "dock-b")
    assert yard.left() == ()
    yard.reads(SEAL, LATER_MS, Channel.TAG_IN)
    yard.reads(SEAL, LATER_MS + 1, device="dock-b")
    assert yard.left() == ((FIRST, 0, str(other["asset"]), LATER_MS + 1),)


def test_the_gate_of_another_warehouse_says_nothing() -> None:
    other = installation("dock-b", 61)
    elsewhere = {"id": OTHER_WAREHOUSE, "gates": [other["asset"]]}
    book = book_module.amend(
        BOOK, {"installations": [other], "parties": [party(OTHER_WAREHOUSE)], "warehouses": [elsewhere]}
    )
    yard = Yard(book)
    yard.register.issue(FIRST, GOODS)
    yard.reads(CONTAINER, LATER_MS, device="dock-b")
    assert yard.signals.passages(str(other["asset"]))
    assert yard.left() == ()


def test_a_passage_of_before_the_goods_came_in_says_nothing(yard: Yard) -> None:
    yard.register.issue(FIRST, GOODS)
    assert yard.register.get(FIRST).received_ms == CAME_MS - DAY_MS
    yard.reads(CONTAINER, CAME_MS - DAY_MS - 1)
    assert yard.left() == ()
    yard.reads(CONTAINER, CAME_MS - DAY_MS)
    assert len(yard.left()) == 1


def test_another_tag_and_goods_without_a_name_have_not_left(yard: Yard) -> None:
    yard.register.issue(FIRST, GOODS)
    yard.register.issue(SECOND, {**SOFAS, "bin": "B-01"})
    yard.reads("SEAL002", LATER_MS)
    yard.reads("SOFA-3", LATER_MS)
    yard.reads("", LATER_MS)
    assert yard.signals.passages(GATE)
    assert yard.left() == ()


def test_what_is_surrendered_may_leave(yard: Yard) -> None:
    yard.register.issue(FIRST, GOODS, {**SOFAS, "bin": "A-02", "seal": "SEAL002"})
    yard.reads(CONTAINER, LATER_MS)
    yard.reads("SEAL002", LATER_MS)
    yard.register.do(DEPOSITOR, "surrender", FIRST, quantities_milli=[ALL, 0])
    assert yard.left() == ((FIRST, 1, GATE, LATER_MS),)
    yard.register.do(DEPOSITOR, "surrender", FIRST, quantities_milli=[ALL, ALL])
    assert yard.left() == ()
    yard.register.do(WAREHOUSE, "deliver", FIRST, quantities_milli=[ALL, 0])
    assert yard.left() == ()


def test_what_is_released_but_not_surrendered_may_not_leave(yard: Yard) -> None:
    yard.register.issue(FIRST, GOODS)
    yard.register.pledge(FIRST)
    yard.register.do(BANK, "release", FIRST)
    yard.reads(CONTAINER, LATER_MS)
    assert len(yard.left()) == 1


@pytest.mark.parametrize("state", ["pledged", "transferred", "frozen", "lost"])
def test_a_receipt_that_lives_claims_its_goods_in_every_state(yard: Yard, state: str) -> None:
    yard.register.issue(FIRST, GOODS)
    if state == "pledged":
        yard.register.pledge(FIRST)
    if state == "transferred":
        yard.register.do(DEPOSITOR, "transfer", FIRST, to=BUYER)
    if state == "frozen":
        yard.register.do(WAREHOUSE, "freeze", FIRST, reason="goods left")
    if state == "lost":
        yard.register.do(DEPOSITOR, "lose", FIRST, reason="the key is gone")
    yard.reads(CONTAINER, LATER_MS)
    assert len(yard.left()) == 1


def test_receipts_that_are_drafted_or_have_ended_claim_nothing(yard: Yard) -> None:
    yard.register.issue(FIRST, GOODS)
    yard.reads(CONTAINER, LATER_MS)
    yard.register.do(DEPOSITOR, "cancel", FIRST, reason="nobody lends on it")
    assert yard.left() == ()


def test_goods_have_left_once_their_asset_is_seen_outside_of_the_fences(yard: Yard) -> None:
    yard.register.issue(FIRST, GOODS)
    yard.is_at(BOX, NOON_MS, IN_LOS_ANGELES, inside=("yard",))
    assert yard.left() == ()
    yard.is_at(BOX, LATER_MS)
    assert yard.left() == ((FIRST, 0, "", LATER_MS),)


def test_goods_have_left_where_their_container_is_an_asset_that_is_outside(yard: Yard) -> None:
    yard.register.issue(FIRST, {**SOFAS, "container": CONTAINER})
    yard.is_at(BOX, LATER_MS)
    assert yard.left() == ()
    yard.is_at(CONTAINER, LATER_MS)
    assert yard.left() == ((FIRST, 0, "", LATER_MS),)


def test_of_a_gate_and_a_place_the_newest_is_told(yard: Yard) -> None:
    yard.register.issue(FIRST, GOODS)
    yard.is_at(BOX, LATER_MS)
    yard.reads(CONTAINER, LATER_MS)
    assert yard.left() == ((FIRST, 0, GATE, LATER_MS),)
    yard.is_at(BOX, LATER_MS + 1)
    assert yard.left() == ((FIRST, 0, "", LATER_MS + 1),)
    yard.reads(CONTAINER, LATER_MS + 2)
    assert yard.left() == ((FIRST, 0, GATE, LATER_MS + 2),)


@pytest.mark.parametrize(
    ("why", "told"),
    [
        ("inside", {"inside": ("yard",)}),
        ("no fix could tell", {"unknown": ("yard",)}),
        ("about to enter", {"pending": (("yard", LATER_MS - 1),)}),
        ("about to leave", {"inside": ("yard",), "pending": (("yard", LATER_MS - 1),)}),
        ("too near to the edge to be let in", {"place": IN_LOS_ANGELES}),
        ("only weak fixes since", {"good_ms": NOON_MS - 1}),
    ],
)
def test_where_nobody_can_tell_nothing_has_left(yard: Yard, why: str, told: dict[str, Any]) -> None:
    yard.register.issue(FIRST, GOODS)
    yard.is_at(BOX, LATER_MS, **told)
    assert yard.left() == (), why


def test_a_fix_of_before_the_receipt_was_issued_says_nothing(yard: Yard) -> None:
    yard.register.issue(FIRST, GOODS)
    assert yard.register.get(FIRST).issued_ms == NOON_MS
    yard.is_at(BOX, NOON_MS - 1)
    assert yard.left() == ()
    yard.is_at(BOX, NOON_MS)
    assert len(yard.left()) == 1


def test_without_a_fence_or_without_the_warehouse_in_the_book_nothing_leaves_by_its_place() -> None:
    for book in (book_with(fences=[]), book_module.amend(BOOK, {"remove": {"warehouses": [WAREHOUSE]}})):
        yard = Yard(book)
        yard.register.issue(FIRST, GOODS)
        yard.is_at(BOX, LATER_MS)
        assert yard.left() == ()


def test_where_a_fence_takes_fair_fixes_a_fair_one_outside_tells() -> None:
    features = document()["fences"]
    features["features"][0]["properties"]["grade"] = "fair"
    yard = Yard(book_module.amend(BOOK, {"fences": features}))
    yard.register.issue(FIRST, GOODS)
    yard.is_at(BOX, LATER_MS, good_ms=NOON_MS - 1)
    assert yard.left() == ((FIRST, 0, "", LATER_MS),)


def test_only_the_receipts_that_are_asked_for_are_looked_at(yard: Yard) -> None:
    yard.register.issue(FIRST, GOODS)
    yard.register.issue(SECOND, {**SOFAS, "bin": "B-01", "seal": "SEAL002"})
    for name in (CONTAINER, "SEAL002"):
        yard.reads(name, LATER_MS)
    asked = (
        (name, left(BOOK, yard.register.receipts, yard.signals, yard.assets, [name])) for name in (FIRST, SECOND, "x")
    )
    of = {name: bare(found) for name, found in asked}
    assert of == {
        FIRST: ((FIRST, 0, GATE, LATER_MS),),
        SECOND: ((SECOND, 0, GATE, LATER_MS),),
        "x": (),
    }
    assert yard.left() == of[FIRST] + of[SECOND]


def test_the_receipts_that_a_passage_or_a_place_may_be_about_are_found(yard: Yard) -> None:
    yard.register.issue(FIRST, GOODS)
    yard.register.issue(SECOND, {**SOFAS, "bin": "B-01", "seal": "SEAL002"})
    book = yard.register.receipts
    for name in (CONTAINER, SEAL, TRACKER):
        assert concerned(BOOK, book, [tag_number(name)], []) == {FIRST}
    assert concerned(BOOK, book, [tag_number("SEAL002"), tag_number("x")], []) == {SECOND}
    assert concerned(BOOK, book, [], [BOX]) == concerned(BOOK, book, [], [CONTAINER]) == {FIRST}
    assert concerned(BOOK, book, [], [HALL, ZONE, "nothing"]) == set()
    yard.register.do(DEPOSITOR, "cancel", FIRST, reason="nobody lends on it")
    assert concerned(BOOK, yard.register.receipts, [tag_number(CONTAINER)], [BOX]) == set()


def test_a_passage_that_was_found_stays_until_the_name_comes_in_again(yard: Yard) -> None:
    yard.register.issue(FIRST, GOODS)
    yard.reads(CONTAINER, LATER_MS)
    yard.reads(SEAL, LATER_MS + 1)
    known = {(one.receipt, one.line): one for one in left(BOOK, yard.register.receipts, yard.signals, {})}
    assert [Departure.from_row(one.as_row()) for one in known.values()] == [*known.values()]

    def still_left() -> tuple[Bare, ...]:
        return bare(left(BOOK, yard.register.receipts, yard.signals, {}, known=known))

    yard.signals = Signals()
    assert still_left() == ((FIRST, 0, GATE, LATER_MS + 1),)
    yard.reads(SEAL, LATER_MS + 2, Channel.TAG_IN)
    assert still_left() == ((FIRST, 0, GATE, LATER_MS),)  # its container is still out
    yard.reads(CONTAINER, LATER_MS - 1, Channel.TAG_IN)
    assert len(still_left()) == 1
    yard.reads(CONTAINER, LATER_MS + 2, Channel.TAG_IN)
    assert still_left() == ()
