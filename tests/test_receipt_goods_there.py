"""What an act is held against beside other receipts: what the stock system has and has yet to book, when goods came in,
what counts, zones and gates find missing, which register this is, and when the act was signed."""

from typing import Any

import pytest
from builders import MINUTE_MS
from keeping import Keeping, sofas
from receipting import (
    AFFILIATE,
    BANK,
    CAME_MS,
    CHAIRS,
    DAY_MS,
    DEPOSITOR,
    FIRST,
    NOON_MS,
    OTHER_BANK,
    SOFAS,
    WAREHOUSE,
    Register,
    counted,
    signed,
    stated,
    window,
)
from warehouses import TRACKER, ZONE, cell

from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.receipts import claiming, life
from pledgewatch_cloud.decide.receipts.act import ActError
from pledgewatch_cloud.decide.receipts.receipt import State
from pledgewatch_cloud.decide.receipts.receipt_book import ReceiptBook
from pledgewatch_cloud.decide.receipts.register import register_of
from pledgewatch_cloud.decide.stock.rows import Report, StockKey, StockRow
from pledgewatch_cloud.decide.stock.stock_book import StockBook, horizon_ms
from pledgewatch_wire.reading import Channel

SECOND, THIRD = f"{WAREHOUSE}:0002", f"{WAREHOUSE}:0003"
A01 = StockKey(WAREHOUSE, DEPOSITOR, "SOFA-3", "A-01", "piece")
CHAIRS_THERE = A01._replace(sku="CHAIR-1", bin="B-07")
HOUR_MS = 3_600_000
IN_MS = CAME_MS - HOUR_MS


@pytest.fixture
def register() -> Register:
    found = Register()
    found.stock = StockBook()
    return found


def books(register: Register, kind: str, units: int, at_ms: int, key: StockKey = A01, to_bin: str = "") -> None:
    """The stock system says that goods came, went or changed bins."""
    assert register.stock is not None
    row = StockRow(f"row-{len(register.stock)}", kind, at_ms, key, 1_000 * units, to_bin, reason="x")
    register.stock = register.stock.taken(Report("wms", (row,)))


def counts(register: Register, units: int, at_ms: int) -> None:
    """The stock system says how much there is."""
    assert register.stock is not None
    register.stock = register.stock.taken(Report("wms", snapshots=(counted({A01: 1_000 * units}, at_ms),)))


def delivered(register: Register, name: str = FIRST) -> None:
    """All of it leaves: surrendered now, delivered an hour later; and then it is two hours later."""
    register.do(DEPOSITOR, "surrender", name)
    register.now_ms += HOUR_MS
    register.do(WAREHOUSE, "deliver", name)
    register.now_ms += HOUR_MS


def substitution(register: Register, *goods: dict[str, Any], received: dict[str, str]) -> str:
    says = register.says(WAREHOUSE, "substitute", FIRST, goods=list(goods), received=received, reason="others")
    return signed(WAREHOUSE, says | {"consents": [register.consent(register.get(FIRST).controller, says)]})


# What was delivered and is not booked out.


def test_what_was_delivered_is_not_there_again_before_the_stock_system_says_so(register: Register) -> None:
    books(register, "received", 40, IN_MS)
    register.issue()
    delivered(register)
    for depositor_says in (stated(), stated(SOFAS | {"quantity_milli": 1})):
        error = register.refuse(WAREHOUSE, "issue", SECOND, **depositor_says)
        assert "has 40000 thousandths of a piece of SOFA-3" in error.why
        assert "less 40000 that were delivered and are not booked out" in error.why
    books(register, "received", 40, IN_MS)
    assert register.issue(SECOND).state is State.ISSUED
    assert (
        "live receipts claim 40000 of them"
        in register.refuse(WAREHOUSE, "issue", THIRD, **stated(SOFAS | {"container": "MSKU1234565"})).why
    )


@pytest.mark.parametrize(
    ("kind", "hours"),
    [
        ("shipped", 1),  # booked out when it was delivered
        ("shipped", 0.5),  # when it was loaded, after the surrender
        ("sold", 1),
        ("moved", 1),
        ("adjusted", 1),
        ("shipped", -1),  # before the surrender: there was nothing to book out when the goods left
    ],
)
def test_what_the_stock_system_books_out_is_not_taken_off_twice(register: Register, kind: str, hours: float) -> None:
    books(register, "received", 40, IN_MS)
    register.issue()
    delivered(register)
    sign = -1 if kind == "adjusted" else 1
    books(register, kind, 40 * sign, NOON_MS + int(hours * HOUR_MS), to_bin="DOCK" if kind == "moved" else "")
    assert "has 0 thousandths" in register.refuse(WAREHOUSE, "issue", SECOND, **stated()).why
    books(register, "received", 40, register.now_ms - 2)
    register.now_ms += DAY_MS
    again = {"from": iso(NOON_MS), "until": iso(NOON_MS + DAY_MS)}
    assert register.issue(SECOND, received=again).state is State.ISSUED


def test_a_part_that_is_booked_out_leaves_the_rest_to_be_booked(register: Register) -> None:
    books(register, "received", 100, IN_MS)
    register.issue()
    delivered(register)
    books(register, "shipped", 30, register.now_ms - 1)
    there = SOFAS | {"quantity_milli": 60_000}
    error = register.refuse(WAREHOUSE, "issue", SECOND, **stated(there | {"quantity_milli": 60_001}))
    assert "has 70000 thousandths" in error.why
    assert "less 10000 that were delivered" in error.why
    assert register.issue(SECOND, there).state is State.ISSUED


@pytest.mark.parametrize(("hours", "is_there"), [(1, True), (0.5, False)])
def test_a_count_after_the_delivery_has_it_in_it(register: Register, hours: float, is_there: bool) -> None:
    books(register, "received", 100, IN_MS)
    register.issue()
    delivered(register)
    counts(register, 100, NOON_MS + int(hours * HOUR_MS))
    if is_there:
        assert register.issue(SECOND, SOFAS | {"quantity_milli": 100_000}).state is State.ISSUED
    else:
        assert (
            "less 40000"
            in register.refuse(WAREHOUSE, "issue", SECOND, **stated(SOFAS | {"quantity_milli": 100_000})).why
        )


def test_a_shipment_long_before_the_surrender_is_another_one(register: Register) -> None:
    books(register, "received", 100, IN_MS)
    register.issue()
    books(register, "shipped", 40, NOON_MS - 1)
    delivered(register)
    assert "has 60000 thousandths of a piece of SOFA-3 for sofa-works in bin A-01 less 40000" in (
        register.refuse(WAREHOUSE, "issue", SECOND, **stated(SOFAS | {"quantity_milli": 20_001})).why
    )
    assert register.issue(SECOND, SOFAS | {"quantity_milli": 20_000}).state is State.ISSUED


@pytest.mark.parametrize(
    ("hours", "claimed_besides", "unbooked"),
    [
        (0.5, 0, 40),  # sold after the surrender, of what no receipt claimed: another sale
        (0.5, 15, 25),  # 25 of what was sold were free, so 15 of the delivery are booked before it was heard
        (0.5, 40, 0),
        (1, 0, 0),  # from the delivery on, whatever is booked out is the delivery
    ],
)
def test_what_was_free_and_sold_before_the_delivery_is_another_sale(
    register: Register, hours: float, claimed_besides: int, unbooked: int
) -> None:
    books(register, "received", 40, IN_MS)
    books(register, "received", 40, IN_MS + 5 * DAY_MS)
    register.issue()
    if claimed_besides:
        register.issue(SECOND, SOFAS | {"quantity_milli": 1_000 * claimed_besides}, received=window(4, 6))
    delivered(register)
    books(register, "sold", 40, NOON_MS + int(hours * HOUR_MS))
    found = claiming.unbooked_milli(register.receipts, A01, register.world)
    assert found == 1_000 * unbooked


@pytest.mark.parametrize("is_booked_late", [False, True])
@pytest.mark.parametrize(
    ("rows", "unbooked"),
    [
        ([("shipped", 0.9, 40)], 0),
        ([("shipped", 0, 40)], 0),
        ([("shipped", -0.1, 40)], 40),  # before the surrender
        ([("shipped", 0.9, 30)], 10),
        ([("shipped", 0.8, 30), ("shipped", 0.9, 30)], 0),
        ([("sold", 0.9, 40)], 40),  # what is free is sold, and a correction is none of it
        ([("adjusted", 0.9, -40)], 40),
        ([("adjusted", 0.5, -40), ("shipped", 0.9, 40), ("adjusted", 1.5, 40)], 0),
        ([("shipped", 0.5, 40), ("adjusted", 0.9, 30)], 30),  # found again before the delivery
        ([("shipped", 0.5, 40), ("adjusted", 0.9, -30), ("adjusted", 0.9, 30)], 0),
        ([("adjusted", 0.3, -30), ("shipped", 0.5, 40), ("adjusted", 0.9, 30)], 30),  # or that: nobody can tell
        ([("shipped", 0.5, 20), ("shipped", 1.5, 15)], 5),
    ],
)
def test_what_was_shipped_since_the_surrender_is_the_delivery(
    register: Register, rows: list[tuple[str, float, int]], unbooked: int, *, is_booked_late: bool
) -> None:
    """Goods are loaded and booked out, and then the delivery is signed. Beside them 60 are free."""
    books(register, "received", 100, IN_MS)
    register.issue()
    if is_booked_late:
        delivered(register)
    for kind, hours, units in rows:
        books(register, kind, units, NOON_MS + int(hours * HOUR_MS))
    if not is_booked_late:
        delivered(register)
    assert claiming.unbooked_milli(register.receipts, A01, register.world) == 1_000 * unbooked


@pytest.mark.parametrize(("units", "unbooked"), [(60, 0), (100, 40)])
@pytest.mark.parametrize("is_complete", [False, True])
def test_a_count_between_loading_and_the_delivery_tells_whether_they_were_loaded(
    register: Register, units: int, unbooked: int, *, is_complete: bool
) -> None:
    books(register, "received", 100, IN_MS)
    register.issue()
    delivered(register)
    books(register, "shipped", 40, NOON_MS + HOUR_MS // 4)
    assert register.stock is not None
    found = counted({A01: 1_000 * units}, NOON_MS + HOUR_MS // 2)._replace(complete=is_complete)
    register.stock = register.stock.taken(Report("wms", snapshots=(found,)))
    assert claiming.unbooked_milli(register.receipts, A01, register.world) == 1_000 * unbooked


def test_one_shipment_is_one_delivery(register: Register) -> None:
    books(register, "received", 40, IN_MS)
    books(register, "received", 60, IN_MS + 5 * DAY_MS)
    register.issue()
    register.issue(SECOND, received=window(4, 6))
    for name in (FIRST, SECOND):
        register.do(DEPOSITOR, "surrender", name)
    books(register, "shipped", 40, NOON_MS + 1)
    for name, unbooked in ((FIRST, 0), (SECOND, 40_000)):
        register.now_ms += HOUR_MS
        register.do(WAREHOUSE, "deliver", name)
        assert claiming.unbooked_milli(register.receipts, A01, register.world) == unbooked


def test_goods_are_asked_for_since_the_first_surrender_of_what_has_not_left(register: Register) -> None:
    books(register, "received", 40, IN_MS)
    register.issue()
    for number, (by, act, units, since) in enumerate(
        [
            (DEPOSITOR, "surrender", 10, 0),
            (DEPOSITOR, "surrender", 20, 0),
            (WAREHOUSE, "deliver", 5, 0),
            (DEPOSITOR, "surrender", 0, 0),
            (DEPOSITOR, "surrender", 20, 4),
            (WAREHOUSE, "deliver", 20, 4),
            (DEPOSITOR, "surrender", 1, 6),
        ]
    ):
        register.now_ms = NOON_MS + number * MINUTE_MS
        one = register.do(by, act, FIRST, quantities_milli=[1_000 * units])
        assert one.ordered_ms == NOON_MS + since * MINUTE_MS
    assert [one.ordered_ms - NOON_MS for one in one.deliveries] == [0, 4 * MINUTE_MS]


def test_an_adjustment_that_is_taken_back_books_nothing_out(register: Register) -> None:
    for hours in (0.25, 1.5):
        register.receipts, register.stock, register.now_ms = ReceiptBook(), StockBook(), NOON_MS
        books(register, "received", 40, IN_MS)
        register.issue()
        delivered(register)
        books(register, "adjusted", -40, NOON_MS + int(hours * HOUR_MS))
        assert claiming.unbooked_milli(register.receipts, A01, register.world) == 0
        books(register, "adjusted", 41, register.now_ms)
        assert "less 40000 that were delivered" in register.refuse(WAREHOUSE, "issue", SECOND, **stated()).why
        books(register, "adjusted", -2, register.now_ms)
        assert claiming.unbooked_milli(register.receipts, A01, register.world) == 38_000
        books(register, "shipped", 39, register.now_ms)
        assert claiming.unbooked_milli(register.receipts, A01, register.world) == 0


def test_what_a_receipt_delivers_is_known_by_key_and_bounded(register: Register) -> None:
    boxes = [SOFAS | {"container": one} for one in ("MSKU1234565", "CSQU3054383")]
    books(register, "received", 80, IN_MS)
    register.issue(FIRST, *boxes)
    register.do(DEPOSITOR, "surrender", FIRST)
    for number in range(1, life.DELIVERIES_MAX + 3):
        register.now_ms += 1_000
        register.do(WAREHOUSE, "deliver", FIRST, quantities_milli=[number, number])
    found = register.receipts.delivered(A01)
    assert len(found) == life.DELIVERIES_MAX
    assert sum(one.milli for one in found) == 2 * sum(range(1, life.DELIVERIES_MAX + 3))
    assert (found[0].milli, found[0].heard_ms) == (2 * (1 + 2 + 3), NOON_MS + 3_000)
    assert {one.ordered_ms for one in found} == {NOON_MS}
    # What it was before the last of these, and the others, which had left by then.
    assert [one.claimed_milli for one in found[:2]] == [80_000, 80_000 - 2 * (1 + 2 + 3)]
    assert ReceiptBook.from_json(register.receipts.as_json()) == register.receipts
    assert ReceiptBook.from_json(register.receipts.as_json()).delivered(A01) == found


def test_a_part_and_a_replacement_have_not_delivered_what_came_before(register: Register) -> None:
    books(register, "received", 40, IN_MS)
    register.issue()
    register.do(DEPOSITOR, "surrender", FIRST, quantities_milli=[10_000])
    register.do(WAREHOUSE, "deliver", FIRST)
    register.do(DEPOSITOR, "lose", FIRST, reason="x")
    register.do(WAREHOUSE, "replace", FIRST, replacement=SECOND, reason="x")
    assert [one.milli for one in register.receipts.delivered(A01)] == [10_000]
    register.do(DEPOSITOR, "split", SECOND, into_milli=[[10_000], [20_000]])
    assert [one.milli for one in register.receipts.delivered(A01)] == [10_000]


def test_the_parts_of_a_receipt_have_not_delivered_what_it_has(register: Register) -> None:
    books(register, "received", 40, IN_MS)
    register.issue()
    register.do(DEPOSITOR, "surrender", FIRST, quantities_milli=[10_000])
    register.do(WAREHOUSE, "deliver", FIRST)
    register.do(DEPOSITOR, "split", FIRST, into_milli=[[10_000], [20_000]])
    assert [one.milli for one in register.receipts.delivered(A01)] == [10_000]
    assert register.get(f"{FIRST}.1").deliveries == ()


def test_goods_that_are_surrendered_are_not_replaced_by_others(register: Register) -> None:
    books(register, "received", 40, IN_MS)
    register.issue()
    register.do(DEPOSITOR, "surrender", FIRST, quantities_milli=[1])
    error = register.assert_refused(substitution(register, SOFAS, received=window(-1, 0)))
    assert "surrendered for delivery, so there can be no substitute" in error.why
    register.do(DEPOSITOR, "surrender", FIRST, quantities_milli=[0])
    register.take(substitution(register, SOFAS, received=window(-1, 0)))


def test_a_receipt_that_says_another_window_says_something_else(register: Register) -> None:
    books(register, "received", 40, IN_MS)
    register.issue()
    before = register.get(FIRST).number
    register.take(substitution(register, SOFAS, received=window(-1, 0)))
    assert register.get(FIRST).number == before
    register.take(substitution(register, SOFAS, received=window(-2, 0)))
    assert register.get(FIRST).number > before


def test_before_the_horizon_nothing_is_asked_of_deliveries(register: Register) -> None:
    books(register, "received", 40, IN_MS)
    register.issue()
    delivered(register)
    assert register.stock is not None
    register.now_ms += 402 * DAY_MS
    register.stock = register.stock.folded(horizon_ms(register.now_ms))
    goods = stated(received=window(0, 1)) | {"until": iso(register.now_ms + DAY_MS)}
    assert register.do(WAREHOUSE, "issue", SECOND, **goods).state is State.ISSUED


# What others took from the bin.


@pytest.mark.parametrize("other", [A01._replace(owner=AFFILIATE), A01._replace(sku="sofa-3")])
def test_what_others_have_less_than_nothing_of_the_same_is_not_there(register: Register, other: StockKey) -> None:
    books(register, "received", 40, IN_MS)
    books(register, "shipped", 30, NOON_MS - HOUR_MS, other)
    error = register.refuse(WAREHOUSE, "issue", FIRST, **stated(SOFAS | {"quantity_milli": 10_001}))
    assert "less 30000 that were taken from the bin for another owner or in another spelling" in error.why
    register.issue(FIRST, SOFAS | {"quantity_milli": 10_000})
    books(register, "shipped", 1, NOON_MS - HOUR_MS, other)
    # 10 are there for the first, one in another bin for the second, and one of these was taken.
    assert "are short by 1000" in register.refuse(WAREHOUSE, "issue", SECOND, **stated(elsewhere(register))).why
    books(register, "received", 31, NOON_MS - HOUR_MS, other)
    assert register.issue(SECOND, elsewhere(register)).state is State.ISSUED


def elsewhere(register: Register) -> dict[str, Any]:
    """A line of the same SKU in another bin; one more is there now."""
    books(register, "received", 1, IN_MS, A01._replace(bin="Z-09"))
    return SOFAS | {"bin": "Z-09", "quantity_milli": 1_000}


@pytest.mark.parametrize("other", [{"sku": "CHAIR-1"}, {"bin": "A-02"}, {"unit": "carton"}, {"warehouse": "la-2"}])
def test_less_than_nothing_of_other_goods_takes_nothing(register: Register, other: dict[str, str]) -> None:
    books(register, "received", 40, IN_MS)
    books(register, "shipped", 30, NOON_MS - HOUR_MS, A01._replace(owner=AFFILIATE, **other))
    assert register.issue().state is State.ISSUED


# When goods came in.


def test_goods_are_on_a_receipt_only_for_when_they_came_in(register: Register) -> None:
    books(register, "received", 40, IN_MS)
    for received in (window(-3, -1), window(1, 1.5), window(0, 20)):
        error = register.refuse(WAREHOUSE, "issue", FIRST, **stated(received=received))
        assert "in bin A-01 by the stock book, 0 thousandths of a piece of SOFA-3 came in in that window" in error.why
        assert f"the newest that are there did so: 40000 at {iso(IN_MS)}" in error.cure
    books(register, "received", 10, CAME_MS + DAY_MS)
    error = register.refuse(WAREHOUSE, "issue", FIRST, **stated(SOFAS | {"quantity_milli": 50_000}))
    assert "40000 thousandths of a piece" in error.why
    assert "the receipt is for 50000" in error.why
    both = {"from": iso(CAME_MS - DAY_MS), "until": iso(CAME_MS + DAY_MS + 1)}
    assert register.issue(FIRST, SOFAS | {"quantity_milli": 50_000}, received=both).state is State.ISSUED


@pytest.mark.parametrize("kind", ["received", "returned"])
def test_goods_come_in_by_every_row_that_brings_them(register: Register, kind: str) -> None:
    books(register, "received", 40, IN_MS - 9 * DAY_MS)
    books(register, "shipped", 40, IN_MS - 8 * DAY_MS)
    books(register, kind, 40, IN_MS)
    assert register.issue().state is State.ISSUED


def test_what_one_count_finds_more_than_the_one_before_came_in_between(register: Register) -> None:
    """As a stock system tells of it that says nothing but what there is."""
    for day, units in ((10, 40), (30, 0), (39, 40)):
        counts(register, units, CAME_MS + day * DAY_MS)
    for received in (window(9, 11), window(0, 20), window(28, 30), window(39.01, 39.5)):
        error = register.refuse(WAREHOUSE, "issue", FIRST, **stated(received=received))
        assert "0 thousandths of a piece of SOFA-3 came in in that window" in error.why
        at, since = iso(CAME_MS + 39 * DAY_MS), iso(CAME_MS + 30 * DAY_MS + 1)
        assert f"the newest that are there did so: 40000 at or before {at}, from {since} on" in error.cure
    assert register.issue(received=window(30, 39)).state is State.ISSUED


@pytest.mark.parametrize("how", ["counted", "adjusted"])
def test_what_only_a_count_tells_of_came_in_before_it(register: Register, how: str) -> None:
    if how == "counted":
        counts(register, 40, IN_MS)
    else:
        books(register, "adjusted", 40, IN_MS)
    error = register.refuse(WAREHOUSE, "issue", FIRST, **stated(received=window(0, 1)))
    assert f"40000 at or before {iso(IN_MS)}" in error.cure
    assert register.issue(FIRST, received=window(-20, -19)).state is State.ISSUED


def test_what_is_put_in_the_place_of_other_goods_came_in_when_it_is_said(register: Register) -> None:
    books(register, "received", 40, IN_MS)
    books(register, "received", 60, IN_MS + 5 * DAY_MS, CHAIRS_THERE)
    register.issue()
    assert (
        "0 thousandths of a piece of CHAIR-1"
        in register.assert_refused(substitution(register, CHAIRS, received=window(-1, 0))).why
    )
    register.take(substitution(register, CHAIRS, received=window(4, 6)))
    assert register.get(FIRST).goods[0].sku == "CHAIR-1"


# A substitution gives up what the receipt claimed before.


def test_a_substitution_nets_off_what_the_receipt_claims_of_the_same_bin(register: Register) -> None:
    books(register, "received", 40, IN_MS)
    register.issue()
    assert (
        "asks for 40001"
        in register.assert_refused(
            substitution(register, SOFAS | {"quantity_milli": 40_001}, received=window(-1, 0))
        ).why
    )
    register.take(substitution(register, SOFAS | {"quantity_milli": 39_000}, received=window(-1, 0)))
    assert register.receipts.live_milli(A01) == 39_000


def test_a_substitution_nets_off_what_the_receipt_is_short_of_itself(register: Register) -> None:
    z09 = A01._replace(bin="Z-09")
    books(register, "received", 40, IN_MS)
    register.issue()
    books(register, "moved", 40, IN_MS + DAY_MS, to_bin="Z-09")
    moved = SOFAS | {"bin": "Z-09"}
    assert (
        "are short by 40000 thousandths of a piece with this one"
        in register.refuse(WAREHOUSE, "issue", SECOND, **stated(moved, received=window(0, 1))).why
    )
    register.take(substitution(register, moved, received=window(-1, 0)))
    assert (register.receipts.live_milli(A01), register.receipts.live_milli(z09)) == (0, 40_000)


# What was moved within the warehouse.


def test_goods_that_were_moved_stop_no_receipt_of_others(register: Register) -> None:
    z09, c01 = A01._replace(bin="Z-09"), A01._replace(bin="C-01")
    books(register, "received", 40, IN_MS)
    register.issue()
    register.pledge()
    books(register, "moved", 1, IN_MS + DAY_MS, to_bin="Z-09")
    books(register, "received", 40, IN_MS + 2 * DAY_MS, c01)
    there = SOFAS | {"bin": "C-01"}
    # What was moved is there for the first receipt, and for no other.
    few = SOFAS | {"bin": "Z-09", "quantity_milli": 1_000}
    register.issue(SECOND, there, received=window(1, 3))
    error = register.refuse(WAREHOUSE, "issue", THIRD, **stated(few, received=window(-1, 0)))
    assert "are short by 1000 thousandths of a piece with this one" in error.why
    # Nor does what leaves the other bin stand for it any longer.
    books(register, "sold", 1, IN_MS + 3 * DAY_MS, z09)
    books(register, "received", 40, IN_MS, A01._replace(owner=AFFILIATE, bin="C-02"))
    last = stated(SOFAS | {"bin": "C-02"}, depositor=AFFILIATE, received=window(-1, 0))
    assert "are short by 1000" in register.refuse(WAREHOUSE, "issue", THIRD, **last).why


@pytest.mark.parametrize("place", ["A-01", "Z-09"])
def test_what_others_took_from_a_bin_is_taken_from_what_was_moved(register: Register, place: str) -> None:
    """Out of the bin of the receipt or the one where its goods are now, and booked in on their own account."""
    books(register, "received", 40, IN_MS)
    register.issue()
    books(register, "moved", 40, IN_MS + DAY_MS, to_bin="Z-09")
    books(register, "shipped", 40, NOON_MS - 2, A01._replace(owner=AFFILIATE, bin=place))
    books(register, "received", 40, NOON_MS - 1, A01._replace(owner=AFFILIATE, bin="C-01"))
    there = stated(SOFAS | {"bin": "C-01"}, depositor=AFFILIATE, received=window(39, 40.1))
    assert "are short by 40000" in register.refuse(WAREHOUSE, "issue", SECOND, **there).why


# What counts, zones and gates say.


def test_while_goods_are_missing_none_are_claimed(register: Register) -> None:
    books(register, "received", 100, IN_MS)
    books(register, "received", 60, IN_MS, CHAIRS_THERE)
    register.issue()
    register.missing = {"SOFA-3": 1}
    few = SOFAS | {"quantity_milli": 1_000, "container": "MSKU1234565"}
    said = "live receipts of SOFA-3 are short by 1 thousandths, by what was counted, measured or seen"
    assert said in register.refuse(WAREHOUSE, "issue", SECOND, **stated(few)).why
    assert said in register.assert_refused(substitution(register, SOFAS, received=window(-1, 0))).why
    register.issue(SECOND, CHAIRS)
    register.missing = {}
    register.take(substitution(register, SOFAS, received=window(-1, 0)))


def short_by_a_count() -> Keeping:
    kept = Keeping()
    kept.row("received", 100)
    kept.pledged(FIRST, sofas(60))
    kept.at(1).count(("A-01", 50))
    return kept


def short_by_a_zone() -> Keeping:
    kept = Keeping()
    kept.row("received", 100)
    kept.pledged(FIRST, sofas(60))
    kept.at(1).read(ZONE, 1, cell(Channel.PIECES_PRESENT, 10))
    kept.tick(60)
    return kept


def short_by_a_gate() -> Keeping:
    kept = Keeping()
    kept.row("received", 60)
    kept.row("received", 40, "A-02")
    kept.pledged(FIRST, sofas(60, container="MSKU1234565", device=TRACKER))
    kept.at(1).passes(1, "MSKU1234565")
    return kept


@pytest.mark.parametrize("short", [short_by_a_count, short_by_a_zone, short_by_a_gate])
def test_what_was_counted_measured_or_seen_missing_stops_the_next_receipt(short: Any) -> None:
    kept = short()
    assert kept.missing
    state = kept.spine.state
    place = "A-02" if short is short_by_a_gate else "A-01"
    with pytest.raises(ActError, match="by what was counted, measured or seen"):
        kept.act(WAREHOUSE, "issue", SECOND, **stated(sofas(5, place, seal="AB1203")))
    assert kept.spine.state is state
    if short is short_by_a_count:
        kept.at(2).count(("A-01", 100))
        assert not kept.missing
        kept.at(3)
        with pytest.raises(ActError, match="beside"):
            kept.act(WAREHOUSE, "issue", SECOND, **stated(sofas(5, place, seal="AB1203")))


def test_a_receipt_that_is_short_can_have_other_goods_and_others_shortage_stays() -> None:
    kept = short_by_a_count()
    kept.row("received", 60, "A-02", minute=2)
    kept.at(2).count(("A-01", 50), ("A-02", 0))
    assert kept.missing == {FIRST: 10_000}

    def substituted(units: int) -> None:
        says: dict[str, Any] = {"goods": [sofas(units)], "received": window(-1, 0), "reason": "counted so"}
        register = Register()
        register.receipts, register.now_ms = kept.spine.state.receipts, kept.clock.at_ms
        text = register.says(WAREHOUSE, "substitute", FIRST, **says)
        kept.act(WAREHOUSE, "substitute", FIRST, **says, consents=[register.consent(BANK, text)])

    substituted(50)
    assert not kept.missing
    assert kept.receipt().quantities_milli == (50_000,)


# Which register.


def test_a_receipt_begins_in_the_register_that_its_first_act_names(register: Register) -> None:
    register.stock = None
    for kind in ("issue", "draft"):
        says = register.says(WAREHOUSE, kind, FIRST, **stated())
        other = signed(WAREHOUSE, says | {"register": register_of("another journal")})
        assert "the act is for another register than this, which is" in register.assert_refused(other).why
        without = {name: value for name, value in says.items() if name != "register"}
        assert f"{kind}: register is missing" in register.assert_refused(signed(WAREHOUSE, without)).why
    assert register_of("a journal") != register_of("another journal") != "another journal"


# When it was signed.


def test_an_act_is_heard_within_31_days(register: Register) -> None:
    register.stock = None
    says = register.says(WAREHOUSE, "issue", FIRST, **stated())
    at_ms = NOON_MS - life.HEARD_MAX_MS
    late = register.assert_refused(signed(WAREHOUSE, says | {"at": iso(at_ms - 1)}))
    assert "more than 31 days before it was heard" in late.why
    register.take(signed(WAREHOUSE, says | {"at": iso(at_ms)}))
    says = register.says(DEPOSITOR, "pledge", FIRST, pledgee=OTHER_BANK)
    register.now_ms += 32 * DAY_MS
    assert "more than 31 days" in register.assert_refused(signed(DEPOSITOR, says)).why


def test_a_draft_that_has_run_out_is_not_issued(register: Register) -> None:
    register.stock = None
    until_ms = NOON_MS + DAY_MS
    register.do(WAREHOUSE, "draft", FIRST, **stated() | {"until": iso(until_ms)})
    register.now_ms = until_ms
    assert "until: is not after" in register.refuse(WAREHOUSE, "issue", FIRST).why
    says = register.says(WAREHOUSE, "issue", FIRST) | {"at": iso(until_ms - MINUTE_MS)}
    assert "until: is not after" in register.assert_refused(signed(WAREHOUSE, says)).why
    register.now_ms = until_ms - 1
    assert register.do(WAREHOUSE, "issue", FIRST).state is State.ISSUED


# When goods came in, asked again at the pledge.


@pytest.mark.parametrize("units", [1, 40])
def test_what_was_sold_and_restocked_since_the_issue_is_not_pledged_by_the_days_of_before(
    register: Register, units: int
) -> None:
    books(register, "received", 40, IN_MS)
    register.issue()
    books(register, "sold", units, NOON_MS)
    books(register, "received", 40, NOON_MS + MINUTE_MS)
    register.now_ms = NOON_MS + DAY_MS
    error = register.refuse(DEPOSITOR, "pledge", FIRST, pledgee=BANK)
    assert f"not all that {FIRST} claims is still there of what came in in its window" in error.why
    assert "substitute" in error.cure
    # Whoever's it is by now is told no numbers.
    assert not any(sign.isdigit() for sign in f"{error.why}{error.cure}".replace(FIRST, ""))
    register.take(substitution(register, SOFAS, received=window(39.5, 40.5)))
    assert register.pledge(FIRST).state is State.PLEDGED


def test_what_was_sold_beside_a_receipt_that_came_first_is_pledged_by_its_days(register: Register) -> None:
    books(register, "received", 40, IN_MS - 9 * DAY_MS)
    books(register, "received", 40, IN_MS)
    register.issue()
    books(register, "sold", 40, NOON_MS)
    assert register.pledge(FIRST).state is State.PLEDGED


def test_parts_of_a_receipt_are_not_pledged_for_more_than_is_left_of_its_days(register: Register) -> None:
    books(register, "received", 40, IN_MS)
    register.issue()
    register.do(DEPOSITOR, "split", FIRST, into_milli=[[20_000], [20_000]])
    books(register, "sold", 20, NOON_MS)
    books(register, "received", 20, NOON_MS + MINUTE_MS)
    register.now_ms = NOON_MS + DAY_MS
    assert register.pledge(f"{FIRST}.1").state is State.PLEDGED
    error = register.refuse(DEPOSITOR, "pledge", f"{FIRST}.2", pledgee=OTHER_BANK)
    assert f"not all that {FIRST}.2 claims is still there" in error.why
    register.do(BANK, "release", f"{FIRST}.1")
    assert register.pledge(f"{FIRST}.2", OTHER_BANK).state is State.PLEDGED
