"""What left by a gate is away whatever papers say of it, and whatever the stock system says, until it is booked out."""

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
from keeping import Keeping, sofas
from receipting import BANK, DEPOSITOR, FIRST, WAREHOUSE, stated, window
from warehouses import TRACKER

from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.receipts.act import ActError
from pledgewatch_cloud.decide.receipts.receipt import State
from pledgewatch_cloud.decide.warehouse import signals
from pledgewatch_cloud.spine.spine import recover

SECOND, THIRD = f"{WAREHOUSE}:0002", f"{WAREHOUSE}:0003"
DAY = 24 * 60
MISSING = "would be missing, by the stock book or by what was counted, measured or seen"
Tells = Callable[[Keeping], object]


def away(beside: int = 0) -> Keeping:
    """40 sofas with a tracker have passed the gate and their receipt is thawed; so many stay beside them."""
    keeping = Keeping()
    keeping.row("received", 40 + beside)
    keeping.act(WAREHOUSE, "issue", FIRST, **stated(sofas(device=TRACKER)))
    keeping.at(1).passes(1, TRACKER)
    keeping.at(2).act(WAREHOUSE, "thaw", reason="it is being looked for")
    return keeping


def stray(beside: int = 0) -> Keeping:
    keeping = away(beside)
    keeping.act(DEPOSITOR, "cancel", reason="nobody lends on it")
    return keeping


def assert_away(keeping: Keeping, *places: str) -> None:
    """40 sofas have left, and nothing is issued on it under another name, in whatever bin."""
    assert keeping.cases["goods_left"].missing_milli == 40_000
    for place in places or ("A-01",):
        with pytest.raises(ActError):
            issued(keeping, 1, place)
    body = state_module.to_bytes(keeping.spine.state)
    assert state_module.to_bytes(state_module.from_bytes(body)) == body
    assert state_module.to_bytes(recover(keeping.store)) == body


def issued(keeping: Keeping, units: int = 40, place: str = "A-01", **more: Any) -> State:
    return keeping.act(WAREHOUSE, "issue", SECOND, **stated(sofas(units, place), **more)).state


def in_turn(*tells: Tells) -> Tells:
    def told(keeping: Keeping) -> None:
        for number, one in enumerate(tells):
            one(keeping.at(10 * (number + 1)))

    return told


WORDS: list[tuple[str, int, Tells]] = [
    ("counted away and back", 0, in_turn(lambda k: k.snapshot(9, ("A-01", 0)), lambda k: k.snapshot(19, ("A-01", 40)))),
    (
        "counted into another bin",
        0,
        in_turn(lambda k: k.snapshot(9, ("A-01", 0)), lambda k: k.snapshot(19, ("B-09", 40))),
    ),
    (
        "corrected into another bin",
        0,
        in_turn(lambda k: k.row("adjusted", -40, minute=9), lambda k: k.row("adjusted", 40, "B-09", minute=19)),
    ),
    (
        "shipped and corrected",
        0,
        in_turn(lambda k: k.row("shipped", 40, minute=9), lambda k: k.row("adjusted", 40, minute=19)),
    ),
    (
        "shipped and returned",
        0,
        in_turn(lambda k: k.row("shipped", 40, minute=9), lambda k: k.row("returned", 40, minute=19)),
    ),
    (
        "shipped and counted",
        0,
        in_turn(lambda k: k.row("shipped", 40, minute=9), lambda k: k.snapshot(19, ("A-01", 40))),
    ),
    ("others are sold", 40, in_turn(lambda k: k.row("sold", 40, minute=9))),
    ("others are shipped", 40, in_turn(lambda k: k.row("shipped", 40, minute=9))),
    (
        "moved and others sold",
        40,
        in_turn(lambda k: k.row("moved", 40, minute=5, to_bin="B-09"), lambda k: k.row("sold", 40, minute=9)),
    ),
]


@pytest.mark.parametrize("is_ended_first", [True, False])
@pytest.mark.parametrize(("what", "beside", "tells"), WORDS, ids=[one[0] for one in WORDS])
def test_no_word_of_the_stock_system_brings_back_what_left(
    what: str, beside: int, tells: Tells, is_ended_first: bool
) -> None:
    keeping = away(beside)
    if is_ended_first:
        keeping.act(DEPOSITOR, "cancel", reason="nobody lends on it")
    tells(keeping)
    if not is_ended_first:
        with pytest.raises(ActError):
            keeping.act(DEPOSITOR, "pledge", pledgee=BANK)
        keeping.act(DEPOSITOR, "cancel", reason="nobody lends on it")
    assert_away(keeping, "A-01", "B-09")
    keeping.at(60).count(("A-01", 0), ("B-09", 0))
    assert "goods_left" not in keeping.cases, what


def test_what_brings_the_book_below_what_has_left_books_it_out_and_so_much_of_it_is_put_back() -> None:
    keeping = stray(beside=10)
    keeping.at(10).row("sold", 30, minute=9)
    assert keeping.cases["goods_left"].missing_milli == 20_000
    keeping.at(20).row("adjusted", 5, minute=19)
    assert keeping.cases["goods_left"].missing_milli == 25_000
    keeping.at(30).row("adjusted", 50, minute=29)
    assert keeping.cases["goods_left"].missing_milli == 40_000
    keeping.at(40).row("shipped", 75, minute=39)
    assert keeping.cases == {}
    keeping.at(50).row("received", 40, minute=49)
    assert issued(keeping, received=window(40, 40 + 50 / DAY)) is State.ISSUED


def surrendered(keeping: Keeping, milli: int = 40_000) -> None:
    keeping.act(DEPOSITOR, "surrender", quantities_milli=[milli])


@pytest.mark.parametrize("milli", [40_000, 20_000])
def test_what_left_and_is_surrendered_and_delivered_on_paper_is_away_until_it_is_booked_out(milli: int) -> None:
    keeping = away()
    surrendered(keeping, milli)
    assert keeping.cases["goods_left"].missing_milli == 40_000
    assert keeping.missing == ({FIRST: 20_000} if milli < 40_000 else {})
    keeping.at(3).act(WAREHOUSE, "deliver")
    keeping.at(20).snapshot(19, ("A-01", 40))
    if milli < 40_000:
        assert keeping.cases["goods_left"].missing_milli == 40_000
        keeping.act(DEPOSITOR, "cancel", reason="nobody lends on it")
    assert_away(keeping)
    keeping.at(30).row("shipped", 40, minute=29)
    assert keeping.cases == {}
    keeping.at(40).row("received", 40, minute=39)
    assert issued(keeping, received=window(40, 40 + 40 / DAY)) is State.ISSUED


def test_all_that_left_goes_where_the_rest_of_its_line_goes() -> None:
    keeping = away()
    surrendered(keeping, 20_000)
    keeping.at(3).act(WAREHOUSE, "deliver")
    keeping.act(DEPOSITOR, "lose", reason="a fire")
    keeping.act(WAREHOUSE, "replace", replacement=SECOND, reason="a fire")
    assert keeping.missing == {SECOND: 20_000}
    assert [one.milli for one in keeping.spine.state.watch.departures()] == [40_000]
    keeping.act(DEPOSITOR, "cancel", SECOND, reason="nobody lends on it")
    assert [one.milli for one in keeping.spine.state.watch.strays.of] == [40_000]
    with pytest.raises(ActError, match=MISSING):
        keeping.act(WAREHOUSE, "issue", THIRD, **stated(sofas(1)))


def test_a_surrender_that_is_taken_back_finds_known_what_had_left_whatever_was_heard_meanwhile() -> None:
    with patch.object(signals, "TAGS_MAX", 5):
        keeping = away()
        surrendered(keeping)
        for number in range(9):
            keeping.at(3 + number).passes(3 + number, f"carton-{number}")
        surrendered(keeping.at(60), 0)
        assert keeping.missing == {FIRST: 40_000}
        assert keeping.receipt().state is State.ISSUED  # it was frozen for that already
        with pytest.raises(ActError):
            keeping.act(DEPOSITOR, "pledge", pledgee=BANK)
        keeping.act(DEPOSITOR, "cancel", reason="nobody lends on it")
        assert_away(keeping)


@pytest.mark.parametrize("how", ["back", "counted"])
def test_what_left_and_was_surrendered_may_leave_once_it_was_back_or_counted(how: str) -> None:
    keeping = away()
    surrendered(keeping)
    keeping.at(5)
    if how == "back":
        keeping.passes(5, TRACKER, out=False)
    else:
        keeping.count(("A-01", 40))
    assert keeping.cases == {}
    keeping.at(6).passes(6, TRACKER)
    assert (keeping.cases, keeping.receipt().state) == ({}, State.ISSUED)
    assert len(keeping.spine.state.watch.gone) == 0


def left_and_counted(units: int) -> Keeping:
    """40 sofas pass a gate on their way out and are counted after it, before any receipt claims them."""
    keeping = Keeping()
    keeping.row("received", 40)
    keeping.at(1).passes(1, TRACKER)
    keeping.at(30).count(("A-01", units))
    return keeping.at(31)


@pytest.mark.parametrize("is_late", [False, True])
def test_what_was_counted_before_its_receipt_was_issued_freezes_nothing_and_leaves_again(is_late: bool) -> None:
    keeping = left_and_counted(40)
    keeping.act(WAREHOUSE, "issue", FIRST, **stated(sofas(device=TRACKER)))
    if is_late:
        keeping.at(40).passes(20, TRACKER)
    assert (keeping.receipt().state, keeping.missing, keeping.cases) == (State.ISSUED, {}, {})
    keeping.act(DEPOSITOR, "pledge", pledgee=BANK)
    keeping.at(60).passes(50, TRACKER)
    assert (keeping.receipt().state, keeping.missing) == (State.FROZEN, {FIRST: 40_000})


def test_what_a_count_has_found_before_freezes_each_time_that_it_leaves_after_and_no_other_time() -> None:
    keeping = away()
    keeping.at(10).count(("A-01", 40))
    keeping.at(11).passes(5, TRACKER)
    keeping.at(12).count(("A-01", 40))
    assert keeping.receipt().state is State.ISSUED
    keeping.at(20).passes(20, TRACKER)
    assert (keeping.receipt().state, keeping.missing) == (State.FROZEN, {FIRST: 40_000})


def test_goods_that_came_in_another_time_are_others_although_they_have_the_name() -> None:
    (departure,) = away().spine.state.watch.gone.values()
    line = departure.of
    assert line.is_about(line._replace(issued_ms=line.issued_ms + 1))
    assert not line.is_about(line._replace(received_ms=line.received_ms + 1))
