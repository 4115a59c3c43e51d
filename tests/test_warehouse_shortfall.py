"""What is missing of goods that receipts claim, in tables: what was said on the left, what is missing on the right.

Goods are sofas, which weigh 42 kg each; a zone holds the bins A-01 and A-02, and its scale may be 50 kg off. Quantities
are whole units, times minutes after noon; rows without a time are of long before.
"""

from collections.abc import Mapping
from typing import Any

import pytest
from builders import MINUTE_MS, NOON_MS
from keeping import Keeping, key, lot, sofas, weight_of
from receipting import BANK, BUYER, DEPOSITOR, FIRST, OTHER_BANK, WAREHOUSE, stated
from warehouses import PLACE, ZONE

from pledgewatch_cloud.decide.stock.stock_book import KEEP_DAYS
from pledgewatch_cloud.decide.warehouse.shortfall import Claims, Counts, Deficit, shortage_of, unseen_of
from pledgewatch_wire.reading import Cell, Channel, Quality

SECOND = f"{WAREHOUSE}:0002"
GRACE, DAY = 15, 24 * 60
Said = tuple[Any, ...]

# Sofas come in before the receipt of 40 of them is issued and pledged. Then: what is said -> what is missing of it.
STOCK: list[tuple[str, int, list[Said], int]] = [
    ("nothing more is said", 40, [], 0),
    ("others' goods are sold", 60, [("row", "sold", 20, "A-01", 1)], 0),
    ("one more is sold than there are others", 60, [("row", "sold", 21, "A-01", 1)], 1),
    ("some are shipped", 40, [("row", "shipped", 5, "A-01", 1)], 5),
    ("some are shipped, and come back", 40, [("row", "shipped", 5, "A-01", 1), ("row", "returned", 3, "A-01", 2)], 2),
    ("all are shipped", 40, [("row", "shipped", 40, "A-01", 1)], 40),
    ("more are shipped than there are", 40, [("row", "shipped", 60, "A-01", 1)], 40),
    ("some are written off", 40, [("row", "adjusted", -7, "A-01", 1)], 7),
    ("some go into another bin", 40, [("row", "moved", 15, "A-01", 1, "A-02")], 0),
    (
        "some go into another bin, and are sold there",
        40,
        [("row", "moved", 15, "A-01", 1, "A-02"), ("row", "sold", 15, "A-02", 2)],
        15,
    ),
    ("the stock system counts fewer", 40, [("snapshot", 1, ("A-01", 33))], 7),
    ("the stock system counts all, and its bin is not in it", 40, [("snapshot", 1, ("A-02", 9), True)], 31),
    ("the stock system counts fewer, and takes it back", 40, [("snapshot", 1, ("A-01", 33)), ("cancel",)], 0),
    ("it counts nothing of the bin, and takes it back", 40, [("snapshot", 1, ("A-02", 9), True), ("cancel",)], 0),
    ("a sale is taken back", 40, [("row", "sold", 5, "A-01", 1), ("cancel",)], 0),
]

# What a count finds, and what the stock system says of the time before and after it.
COUNTS: list[tuple[str, list[Said], int]] = [
    ("all are there", [("count", 5, ("A-01", 40))], 0),
    ("two are not", [("count", 5, ("A-01", 38))], 2),
    ("two are not, and lie in another bin", [("count", 5, ("A-01", 38), ("A-02", 2))], 0),
    ("the stock system is corrected by that", [("count", 5, ("A-01", 38)), ("row", "adjusted", -2, "A-01", 6)], 2),
    ("the stock system counts as much", [("count", 5, ("A-01", 38)), ("snapshot", 6, ("A-01", 38))], 2),
    ("one more is written off", [("count", 5, ("A-01", 38)), ("row", "adjusted", -3, "A-01", 6)], 3),
    ("one is sold after it", [("count", 5, ("A-01", 38)), ("row", "sold", 1, "A-01", 6)], 3),
    ("one was sold before it, which is said late", [("count", 5, ("A-01", 38)), ("row", "sold", 1, "A-01", 4)], 2),
    ("both were sold before it, which is said late", [("count", 5, ("A-01", 38)), ("row", "sold", 2, "A-01", 4)], 2),
    (
        "what the stock system finds, nobody has seen",
        [("count", 5, ("A-01", 38)), ("row", "adjusted", 2, "A-01", 6)],
        2,
    ),
    ("another count finds them", [("count", 5, ("A-01", 38)), ("count", 7, ("A-01", 40))], 0),
    (
        "an earlier count comes late, and says something of another bin",
        [("count", 7, ("A-01", 38)), ("count", 5, ("A-01", 30), ("A-02", 1))],
        1,
    ),
    ("the stock system has fewer than are there", [("row", "sold", 5, "A-01", 1), ("count", 5, ("A-01", 40))], 0),
    (
        "… and writes off two more after that",
        [("row", "sold", 5, "A-01", 1), ("count", 5, ("A-01", 40)), ("row", "adjusted", -2, "A-01", 6)],
        2,
    ),
    (
        "… and is corrected, and sells one after that",
        [
            ("row", "sold", 5, "A-01", 1),
            ("count", 5, ("A-01", 40)),
            ("row", "adjusted", 5, "A-01", 6),
            ("row", "sold", 1, "A-01", 7),
        ],
        1,
    ),
]

# The scale and the counter of the zone, at the minute that is said; the last word stands for longer than the grace.
ZONES: list[tuple[str, list[Said], int]] = [
    ("all of the weight", [("weigh", 1, weight_of(40))], 0),
    ("less by what the scale may be off", [("weigh", 1, weight_of(40) - 50_000)], 0),
    ("less by a gram more", [("weigh", 1, weight_of(40) - 50_001)], 2),
    ("two less", [("weigh", 1, weight_of(38))], 3),
    ("five less, a little off", [("weigh", 1, weight_of(35) - 400)], 6),
    ("nothing at all", [("weigh", 1, 0)], 40),
    ("more than there should be", [("weigh", 1, weight_of(44))], 0),
    ("five less, all weighed again", [("weigh", 1, weight_of(35)), ("weigh", 2, weight_of(40))], 0),
    ("five less, which were sold, said late", [("weigh", 3, weight_of(35)), ("row", "sold", 5, "A-01", 2)], 5),
    ("all, and five are sold afterwards", [("weigh", 3, weight_of(40)), ("row", "sold", 5, "A-01", 4)], 5),
    ("five less, and five come afterwards", [("weigh", 3, weight_of(35)), ("row", "received", 5, "A-01", 4)], 1),
    (
        "five less, and others come into the zone later",
        [("weigh", 3, weight_of(35)), ("row", "received", 9, "A-02", 4)],
        0,
    ),
    ("five less, and all are counted after that", [("weigh", 3, weight_of(35)), ("count", 4, ("A-01", 40))], 0),
    ("five less, and all were counted before that", [("count", 2, ("A-01", 40)), ("weigh", 3, weight_of(35))], 6),
    ("two were counted away, and the scale says so", [("count", 2, ("A-01", 38)), ("weigh", 3, weight_of(38))], 2),
    (
        "ten less, and the fuller bin is counted later: the rest is short of its part",
        [
            ("row", "received", 10, "A-02", 1),
            ("weigh", 3, weight_of(36)),
            ("row", "sold", 5, "A-01", 5),
            ("count", 6, ("A-01", 31)),
        ],
        1,
    ),
    ("pieces less by what may be off", [("pieces", 1, 38)], 0),
    ("pieces less by one more", [("pieces", 1, 37)], 5),
    ("tags less", [("tags", 1, 30)], 12),
    ("pieces and tags: the pieces are farther below", [("pieces", 1, 30), ("tags", 1, 36)], 12),
    ("pieces and tags: the tags are farther below", [("pieces", 1, 36), ("tags", 1, 30)], 12),
    ("pieces are less, tags are all there", [("pieces", 1, 30), ("tags", 1, 40)], 12),
    ("weight and pieces: the worse one counts", [("pieces", 1, 30), ("weigh", 1, weight_of(38))], 12),
    ("what the scale says is of bad quality", [("bad", 1, weight_of(20))], 0),
]


def kept(units: int = 40) -> Keeping:
    """A warehouse with sofas in A-01, of which 40 are on a pledged receipt."""
    found = Keeping()
    found.row("received", units)
    found.pledged()
    return found


def said(keeping: Keeping, told: list[Said], last: str = "") -> None:
    """Say what a table says, in its order."""
    cells = {"pieces": Channel.PIECES_PRESENT, "tags": Channel.TAGS_PRESENT}
    for kind, *rest in told:
        if kind == "row":
            what, units, place, minute, *to_bin = rest
            last = keeping.at(minute).row(what, units, place, minute, **({"to_bin": to_bin[0]} if to_bin else {}))
        elif kind == "snapshot":
            minute, *counts = rest
            complete = counts[-1] is True
            last = keeping.at(minute).snapshot(minute, *(counts[:-1] if complete else counts), complete=complete)
        elif kind == "cancel":
            keeping.cancel(last)
        elif kind == "count":
            minute, *rows = rest
            keeping.at(max(10, minute)).count(*rows, minute=minute)
        elif kind == "weigh":
            keeping.at(rest[0]).weigh(*rest)
        elif kind == "bad":
            keeping.at(rest[0]).read(ZONE, rest[0], Cell(Channel.WEIGHT_G, rest[1], Quality.SIMULATED))
        else:
            keeping.at(rest[0]).read(ZONE, rest[0], Cell(cells[kind], rest[1]))


@pytest.mark.parametrize(("what", "units", "told", "missing"), STOCK, ids=[one[0] for one in STOCK])
def test_what_the_stock_system_says(what: str, units: int, told: list[Said], missing: int) -> None:
    keeping = kept(units)
    said(keeping, told)
    assert keeping.held().missing == missing, what
    assert keeping.missing == ({FIRST: 1_000 * missing} if missing else {})


@pytest.mark.parametrize(("what", "told", "missing"), COUNTS, ids=[one[0] for one in COUNTS])
def test_what_is_counted(what: str, told: list[Said], missing: int) -> None:
    keeping = kept()
    said(keeping, told)
    assert keeping.held().missing == missing, what


@pytest.mark.parametrize(("what", "told", "missing"), ZONES, ids=[one[0] for one in ZONES])
def test_what_a_zone_holds(what: str, told: list[Said], missing: int) -> None:
    keeping = kept()
    said(keeping, told)
    keeping.tick(10 + GRACE)
    assert keeping.held().missing == missing, what


def test_what_a_zone_is_short_of_counts_when_it_lasts_for_longer_than_the_grace() -> None:
    keeping = kept()
    keeping.at(1).weigh(1, weight_of(35))
    for minute, missing in ((2, 0), (15.99, 0), (16, 6)):
        keeping.tick(minute)
        assert keeping.held().missing == missing
    keeping.at(17).weigh(17, weight_of(40))
    assert keeping.held().missing == 0
    keeping.at(18).weigh(18, weight_of(35))
    assert keeping.held().missing == 0  # it has to last again


def test_goods_of_unknown_weight_weigh_nothing_of_what_a_zone_should() -> None:
    keeping = kept()
    keeping.row("received", 4, place="A-02", sku="CHAIR-1")
    keeping.at(1).weigh(1, weight_of(30))
    keeping.tick(30)
    assert keeping.held().missing == 11
    keeping.amend(warehouses=[{**PLACE, "unit_weights_g": {"SOFA-3": 42_000, "CHAIR-1": 30_000}}])
    keeping.tick(60)
    assert keeping.held().missing == 13


def test_a_zone_says_nothing_of_a_time_whose_rows_are_folded() -> None:
    keeping = kept()
    keeping.at(1).weigh(1, weight_of(40))
    keeping.at(5).row("received", 20, minute=5)  # nobody can tell any more that they came after it was weighed
    keeping.tick((KEEP_DAYS + 1) * DAY)
    keeping.row("received", 1, minute=KEEP_DAYS * DAY)
    keeping.tick((KEEP_DAYS + 1) * DAY + GRACE + 1)
    assert keeping.spine.state.stock.horizon_ms > NOON_MS + MINUTE_MS
    assert (keeping.missing, keeping.cases) == ({}, {})
    keeping.weigh((KEEP_DAYS + 1) * DAY + GRACE + 1, weight_of(40))
    keeping.tick((KEEP_DAYS + 1) * DAY + 2 * GRACE + 2)
    assert "weight_below" in keeping.cases  # a newer value does


def test_scales_of_a_zone_are_added_up() -> None:
    keeping = kept()
    half = Cell(Channel.WEIGHT_G, weight_of(20))
    keeping.at(1).read(ZONE, 1, half, Cell(Channel.WEIGHT_1_G, weight_of(15)))
    keeping.tick(30)
    assert keeping.held().missing == 6


def test_a_shortage_is_shared_by_the_receipts_of_a_pool_in_proportion_and_rounded_up() -> None:
    keeping = Keeping(lot(), lot("other", SECOND, 20))
    keeping.row("received", 40)
    keeping.row("received", 20, "A-02")
    keeping.pledged()
    keeping.pledged(SECOND, sofas(20, "A-02"))
    keeping.at(1).row("sold", 10, minute=1)
    assert keeping.missing == {FIRST: 6_667, SECOND: 3_334}
    assert (keeping.held().missing, keeping.held("other").missing) == (7, 4)


@pytest.mark.parametrize(
    ("of", "left", "present", "shares"),
    [
        # what receipts claim, what of that has left, what is there -> what is missing of each
        ({"a": 100}, {}, 100, {}),
        ({"a": 100}, {}, 250, {}),
        ({"a": 100}, {}, 60, {"a": 40}),
        ({"a": 100, "b": 300}, {}, 200, {"a": 50, "b": 150}),
        ({"a": 1, "b": 1, "c": 1}, {}, 2, {"a": 1, "b": 1, "c": 1}),
        ({"a": 100, "b": 300}, {"a": 100}, 400, {"a": 100}),  # the stock system does not know yet that they have left
        ({"a": 100, "b": 300}, {"a": 100}, 300, {"a": 100}),  # now it does
        ({"a": 100, "b": 300}, {"a": 100}, 270, {"a": 100, "b": 30}),
        ({"a": 100, "b": 300}, {"a": 40}, 180, {"a": 40 + 30, "b": 150}),
        ({"a": 100}, {"a": 100}, 0, {"a": 100}),
        ({"a": 100, "b": 300}, {}, 0, {"a": 100, "b": 300}),
    ],
)
def test_shares(of: Mapping[str, int], left: Mapping[str, int], present: int, shares: Mapping[str, int]) -> None:
    found = shortage_of(Claims(of, {**dict.fromkeys(of, 0), **left}, {}), present)
    assert found.shares == shares
    assert found.missing_milli == max(sum(left.values()), sum(of.values()) - present, 0)


@pytest.mark.parametrize(
    ("tolerance", "deficit", "tare", "units"),
    [
        # of 10 sofas and 10 chairs, which weigh 40 and 10 kg
        (1_000, 1_000, 0, (0, 0)),
        (1_000, 40_000, 0, (1, 1)),  # a sofa: 0.8 of each, and nobody knows of which
        (1_000, 50_000, 0, (1, 1)),  # a sofa and a chair
        (1_000, 50_900, 0, (1, 1)),
        (1_000, 52_000, 0, (2, 2)),  # beyond what the scale may be off
        (1_000, 500_000, 0, (10, 10)),
        (1_000, 900_000, 0, (10, 10)),
        (1_000, 52_000, 2_000, (1, 1)),
        (1_000, 52_000, 51_000, (0, 0)),
        (60_000, 100_000, 0, (3, 3)),  # a scale that may be off by more than a unit: the most that it can mean
    ],
)
def test_a_zone_of_several_goods_is_short_of_each_in_proportion(
    tolerance: int, deficit: int, tare: int, units: tuple[int, int]
) -> None:
    goods = key(), key(sku="CHAIR-1")
    one = Deficit("weight_below", 1, 500_000, deficit, tolerance, dict.fromkeys(goods, 10_000))
    found = unseen_of(one, tare, Counts())
    assert tuple(found.get(one, 0) for one in goods) == tuple(1_000 * one for one in units)


def test_what_a_zone_is_short_of_is_shared_by_the_bins_of_its_goods_and_no_more_in_all() -> None:
    bins = [key(place) for place in ("A-01", "A-02", "A-03", "A-04")]
    one = Deficit("pieces_below", 1, 48, 6, 0, dict.fromkeys(bins, 12_000))
    assert unseen_of(one, 0, Counts()) == dict.fromkeys(bins, 1_500)
    uneven = dict(zip(bins, (1_000, 5_000, 3_000, 1_000), strict=True))
    found = unseen_of(Deficit("pieces_below", 1, 10, 1, 0, uneven), 0, Counts())
    assert found == dict(zip(bins, (100, 500, 300, 100), strict=True))
    thirds = dict.fromkeys(bins[:3], 1_000)
    assert sum(unseen_of(Deficit("pieces_below", 1, 3, 1, 0, thirds), 0, Counts()).values()) == 1_000


def test_what_is_surrendered_or_delivered_need_not_be_there() -> None:
    keeping = kept()
    keeping.act(BANK, "release", quantities_milli=[10_000])
    keeping.act(DEPOSITOR, "surrender", quantities_milli=[10_000])
    keeping.at(1).row("shipped", 10, minute=1)
    assert keeping.missing == {}
    keeping.act(WAREHOUSE, "deliver", quantities_milli=[10_000])
    assert keeping.missing == {}
    keeping.at(2).row("shipped", 1, minute=2)
    assert keeping.missing == {FIRST: 1_000}


def test_what_is_missing_is_taken_from_the_pledged_part_of_a_receipt() -> None:
    keeping = kept()
    keeping.act(BANK, "release", quantities_milli=[30_000])
    assert keeping.held().missing == 30  # the lot has 40, the lender 10
    keeping.at(1).row("sold", 4, minute=1)
    assert keeping.held().missing == 34


# What is done with a receipt of 40 -> its state for the lender of the line, and what is missing of a lot of 40.
STATES: list[tuple[str, list[tuple[str, str, dict[str, Any]]], str, int]] = [
    ("nothing", [], "unpledged", 0),
    ("pledged to the lender", [(DEPOSITOR, "pledge", {"pledgee": BANK})], "valid", 0),
    ("pledged to another bank", [(DEPOSITOR, "pledge", {"pledgee": OTHER_BANK})], "elsewhere", 0),
    ("sold", [(DEPOSITOR, "transfer", {"to": BUYER})], "unpledged", 0),
    (
        "released in part",
        [(DEPOSITOR, "pledge", {"pledgee": BANK}), (BANK, "release", {"quantities_milli": [15_000]})],
        "valid",
        15,
    ),
    ("released", [(DEPOSITOR, "pledge", {"pledgee": BANK}), (BANK, "release", {})], "unpledged", 0),
    ("frozen", [(DEPOSITOR, "pledge", {"pledgee": BANK}), (BANK, "freeze", {"reason": "a doubt"})], "frozen", 0),
    ("lost", [(DEPOSITOR, "pledge", {"pledgee": BANK}), (BANK, "lose", {"reason": "a theft"})], "lost", 0),
    ("cancelled", [(DEPOSITOR, "cancel", {"reason": "taken home"})], "ended", 40),
    ("delivered", [(DEPOSITOR, "surrender", {}), (WAREHOUSE, "deliver", {})], "ended", 40),
    ("split", [(DEPOSITOR, "split", {"into_milli": [[10_000], [30_000]]})], "ended", 40),
]


@pytest.mark.parametrize(("what", "acts", "state", "missing"), STATES, ids=[one[0] for one in STATES])
def test_what_a_lender_has_of_a_receipt(
    what: str, acts: list[tuple[str, str, dict[str, Any]]], state: str, missing: int
) -> None:
    keeping = Keeping()
    assert keeping.held().state == "unknown"
    keeping.row("received", 40)
    keeping.act(WAREHOUSE, "issue", **stated(sofas()))
    for by, kind, body in acts:
        keeping.act(by, kind, **body)
    assert (keeping.held().state, keeping.held().missing) == (state, missing), what


@pytest.mark.parametrize(
    ("quantities", "units", "missing"),
    [
        # lots on one receipt, the receipt's units -> what is missing of each lot
        ((40,), 40, (0,)),
        ((40,), 50, (0,)),
        ((40,), 30, (10,)),
        ((20, 20), 40, (0, 0)),
        ((40, 40), 40, (20, 20)),  # the same goods twice
        ((30, 10), 20, (15, 5)),
        ((1, 1, 1), 2, (1, 1, 1)),
    ],
)
def test_lots_on_one_receipt_share_what_it_covers(
    quantities: tuple[int, ...], units: int, missing: tuple[int, ...]
) -> None:
    keeping = Keeping(*(lot(f"lot-{number}", FIRST, quantity) for number, quantity in enumerate(quantities)))
    keeping.row("received", units)
    keeping.pledged(FIRST, sofas(units))
    assert tuple(keeping.held(f"lot-{number}").missing for number in range(len(quantities))) == missing


def test_a_receipt_that_has_none_of_a_lots_sku_covers_none_of_it() -> None:
    keeping = Keeping()
    keeping.amend(prices=[{"sku": "CHAIR-1", "unit_price_minor": 5_000, "currency": "USD"}])
    keeping.amend(lots=[{**lot(), "sku": "CHAIR-1"}])
    keeping.row("received", 40)
    keeping.pledged()
    assert keeping.held().missing == 40


def test_an_amended_book_gives_lots_their_receipts_and_takes_them_away() -> None:
    keeping = kept()
    keeping.at(1).row("sold", 5, minute=1)
    keeping.amend(lots=[lot("late", FIRST, 10)])
    assert (keeping.held().missing, keeping.held("late").missing) == (12, 3)  # 35 are left of 50
    keeping.amend(remove={"lots": ["late"]})
    assert set(keeping.spine.state.held) == {"lot"}
    keeping.amend(lots=[{**lot(), "receipt": {"id": "paper-7", "state": "valid"}}])
    assert keeping.spine.state.held == {}


def test_receipts_that_claim_goods_of_a_pool_are_found_while_they_are_live() -> None:
    keeping = kept(60)
    keeping.row("received", 20, "A-02")
    before = keeping.spine.state.receipts
    keeping.pledged(SECOND, sofas(20, "A-02"))
    pool = WAREHOUSE, DEPOSITOR, "SOFA-3", "piece"
    assert keeping.spine.state.receipts.claiming(*pool) == (FIRST, SECOND)
    assert set(keeping.spine.state.receipts.changed(before)) == {SECOND}
    keeping.act(BANK, "freeze", SECOND, reason="a doubt")
    assert keeping.spine.state.receipts.claiming(*pool) == (FIRST, SECOND)
    keeping.act(BANK, "thaw", SECOND, reason="none")
    keeping.act(BANK, "release", SECOND)
    keeping.act(DEPOSITOR, "cancel", SECOND, reason="taken home")
    assert keeping.spine.state.receipts.claiming(*pool) == (FIRST,)
    assert keeping.spine.state.receipts.claiming(WAREHOUSE, BUYER, "SOFA-3", "piece") == ()
