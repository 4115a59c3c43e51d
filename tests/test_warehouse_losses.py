"""Losses: when a pool was short of what is claimed, after a count has missed goods, and what comes in meanwhile."""

from array import array
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import permutations

import pytest
from keeping import Keeping, lot, sofas, weight_of
from receipting import BANK, DEPOSITOR, FIRST, WAREHOUSE, stated, window

from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.receipts.act import ActError
from pledgewatch_cloud.decide.receipts.receipt import State
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.decide.warehouse import losses
from pledgewatch_cloud.decide.warehouse.course import Ceiling, Course, Span
from pledgewatch_cloud.spine.spine import recover

MISSING = "would be missing, by the stock book or by what was counted, measured or seen"
SECOND = f"{WAREHOUSE}:0002"
DAY = 24 * 60
# What comes in, at a moment; it counts nothing in a loss.
Comes = Sequence[tuple[int, int]]


def kept(opening: int, comes: Comes, goes: Comes, under: Ceiling) -> Iterable[Course]:
    """The course of a pool of one key, without what came in while it was short."""
    levels, level = dict[int, int](), opening
    for at_ms, milli in sorted((*comes, *((at_ms, -milli) for at_ms, milli in goes))):
        is_lost = milli > 0 and any(from_ms < at_ms <= until_ms for from_ms, until_ms in under.losses)
        level += 0 if is_lost else milli
        levels[at_ms] = level
    moments, values = array("q", levels), array("q", levels.values())
    return [Course(opening, moments, values, values)]


FOUND: list[tuple[str, int, Comes, Comes, Sequence[tuple[int, int]], tuple[Span, ...]]] = [
    ("enough is there", 10, (), (), [(-NEVER, 10)], ()),
    ("less is there, for good", 9, (), (), [(-NEVER, 10)], ((100, NEVER),)),
    ("it is short later", 10, (), [(150, 1)], [(-NEVER, 10)], ((150, NEVER),)),
    ("what comes in does not end it", 9, [(120, 50)], (), [(-NEVER, 10)], ((100, NEVER),)),
    ("what comes in before it counts", 10, [(120, 1)], [(150, 1)], [(-NEVER, 10)], ()),
    ("less is claimed", 9, [(120, 50)], (), [(-NEVER, 10), (130, 9)], ((100, 130),)),
    (
        "less is claimed, then more",
        9,
        [(140, 1)],
        (),
        [(-NEVER, 10), (130, 9), (160, 11)],
        ((100, 130), (160, NEVER)),
    ),
    ("more is claimed than ever came", 0, (), (), [(-NEVER, 0), (130, 1)], ((130, NEVER),)),
    ("nothing was claimed when it was missed", 9, [(120, 5)], (), [(-NEVER, losses.ALL), (130, 9)], ((100, 130),)),
]


@pytest.mark.parametrize(
    ("what", "opening", "comes", "goes", "claimed", "expected"), FOUND, ids=[one[0] for one in FOUND]
)
def test_losses_are_the_times_at_which_less_is_kept_than_is_claimed(
    what: str, opening: int, comes: Comes, goes: Comes, claimed: Sequence[tuple[int, int]], expected: tuple[Span, ...]
) -> None:
    one = Ceiling(short_ms=100, claimed=tuple(claimed))
    found = losses.found(one, partial(kept, opening, comes, goes))
    assert found.losses == expected, what
    assert losses.found(found, partial(kept, opening, comes, goes)) == found


def test_what_was_worked_out_for_good_begins_with_what_is_kept() -> None:
    one = Ceiling(short_ms=100, claimed=((-NEVER, 10),), from_ms=200, short=((110, 120), (150, NEVER)))
    assert losses.found(one, partial(kept, 10, (), ())).losses == ()
    assert losses.found(one, partial(kept, 9, (), ())).losses == ((200, NEVER),)


def test_what_is_claimed_is_known_since_when() -> None:
    one = losses.begun(Ceiling(short_ms=100), [(50, 7), (20, 2), (60, -4)], 5, 150)
    assert one.claimed == ((-NEVER, 0), (20, 2), (50, 9), (60, 5), (150, 5))
    assert losses.claimed(one, 5, 200, is_missed=False) is one
    assert losses.claimed(one, 7, 200, is_missed=False).claimed[5:] == ((200, 7),)
    later = losses.claimed(losses.claimed(one, 7, 200, is_missed=False), 8, 200, is_missed=False)
    assert later.claimed[5:] == ((200, 8),)


def test_when_the_last_claim_ends_a_pool_that_is_short_keeps_it() -> None:
    one = Ceiling(short_ms=100, claimed=((-NEVER, 5),))
    assert losses.claimed(one, None, 200, is_missed=False).claimed[1:] == ((200, 0),)
    assert losses.claimed(one, None, 200, is_missed=True).claimed[1:] == ((200, losses.ALL),)
    assert losses.claimed(one._replace(short=((100, NEVER),)), None, 200, is_missed=False).claimed == one.claimed
    unclaimed = losses.begun(Ceiling(short_ms=100), [], None, 150)
    assert unclaimed.claimed == ((-NEVER, losses.ALL),)
    assert losses.claimed(unclaimed, None, 200, is_missed=False) is unclaimed


def test_of_many_losses_the_oldest_are_worked_out_for_good() -> None:
    times = [(10 * number, 10 * number + 5) for number in range(11, 11 + losses.SHORT_MAX)]
    one = Ceiling(short_ms=100, claimed=((-NEVER, 5), (112, 6)), short=tuple(times))
    assert losses.settled_ms(one) == -NEVER
    one = one._replace(short=(*times, (900, NEVER)))
    assert losses.settled_ms(one) == 115
    after = losses.settled(one, {}, 115)
    assert (after.from_ms, after.claimed, after.short) == (115, ((-NEVER, 6),), one.short[1:])
    assert losses.settled_ms(after) == -NEVER
    many = tuple((number, number % 2) for number in range(losses.CLAIMED_MAX + 1))
    assert losses.settled_ms(Ceiling(claimed=many)) == 0
    after = losses.settled(one, {}, 122)
    assert after.short == ((122, 125), *one.short[2:])


def test_only_what_may_be_otherwise_is_found_anew() -> None:
    asked: list[tuple[Span, ...]] = []

    def courses(under: Ceiling) -> Iterable[Course]:
        asked.append(under.short)
        return kept(9, [(300, 5)], (), under)

    one = losses.found(Ceiling(short_ms=100, claimed=((-NEVER, 10), (130, 9), (150, 10), (160, 8))), courses)
    assert one.short == ((100, 130), (150, 160))
    for since_ms, most in ((100, 5), (120, 4), (140, 3), (155, 2), (400, 1)):
        asked.clear()
        assert losses.found(one, courses, since_ms) == one
        assert len(asked) <= most, since_ms


def test_a_loss_that_is_known_of_is_one_also_where_a_later_count_says_that_there_was_none() -> None:
    one = losses.heard(Ceiling(short_ms=100, claimed=((-NEVER, 10),)), 300, is_short=True)
    assert losses.heard(one, 350, is_short=True) is one
    assert losses.found(one, partial(kept, 10, (), ())).losses == ((300, NEVER),)
    ended = losses.heard(one, 400, is_short=False)
    assert losses.found(ended, partial(kept, 10, (), ())).losses == ((300, 400),)
    assert losses.found(ended, partial(kept, 9, (), ())).losses == ((100, NEVER),)
    for number in range(losses.HEARD_MAX):
        ended = losses.heard(ended, 500 + 2 * number, is_short=True)
        ended = losses.heard(ended, 501 + 2 * number, is_short=False)
    assert losses.settled_ms(ended) == 400
    assert losses.settled(ended, {}, 400).heard == ended.heard[1:]


def issued(keeping: Keeping, name: str, units: int, place: str = "A-01") -> State:
    """A receipt on what came in at noon or later."""
    return keeping.act(WAREHOUSE, "issue", name, **stated(sofas(units, place), received=window(40, 41))).state


Tells = Callable[[Keeping], object]
TOLD: list[Tells] = [
    lambda one: one.row("received", 18, "A-01", 23, id="R-1"),
    lambda one: one.snapshot(56, ("A-01", 7), ("A-02", 0)),
    lambda one: one.count(("A-01", 47), minute=17),
]


def test_whichever_of_a_count_a_delivery_and_a_snapshot_is_heard_first_the_loss_is_the_same() -> None:
    """At the count there was enough, in all; from the snapshot on there is not, so the delivery before it counts."""
    found = []
    for order in permutations(TOLD):
        keeping = Keeping(lot())
        keeping.row("received", 45, "A-01")
        keeping.row("received", 5, "A-02")
        keeping.pledged(FIRST, sofas(45))
        for one in order:
            one(keeping.at(62))
        keeping.tick(100)
        (ceiling,) = keeping.spine.state.watch.ceilings.values()
        found.append((keeping.missing, ceiling.losses))
        body = state_module.to_bytes(keeping.spine.state)
        assert state_module.to_bytes(state_module.from_bytes(body)) == body
        assert state_module.to_bytes(recover(keeping.store)) == body
    assert found == [found[0]] * 6


ENDS: list[tuple[str, Tells]] = [
    ("as much came in since", lambda one: one.row("received", 20, "A-03", 5)),
    ("it was counted", lambda one: one.count(("A-02", 20))),
]


@pytest.mark.parametrize(("what", "tells"), ENDS, ids=[one[0] for one in ENDS])
def test_what_came_in_while_a_loss_was_open_does_not_count_and_what_comes_in_later_does(
    what: str, tells: Tells
) -> None:
    keeping = Keeping(lot())
    keeping.row("received", 40)
    keeping.pledged(FIRST, sofas(40))
    keeping.at(1).count(("A-01", 30))
    assert keeping.missing == {FIRST: 10_000}
    keeping.at(2).row("received", 20, "A-02", 2)
    assert keeping.missing == {FIRST: 10_000}
    keeping.at(3).count(("A-01", 45))  # they were behind others
    assert keeping.missing == {}
    with pytest.raises(ActError, match=MISSING):
        issued(keeping.at(4), SECOND, 15, "A-02")
    tells(keeping.at(5))
    assert issued(keeping.at(6), SECOND, 15, "A-02") is State.ISSUED, what
    assert keeping.missing == {}


def test_what_comes_in_after_goods_that_nobody_claims_were_missed_is_counted_before_it_is_lent_on() -> None:
    keeping = Keeping(lot())
    keeping.row("received", 40)
    keeping.at(1).count(("A-01", 30))
    keeping.at(2).act(WAREHOUSE, "issue", **stated(sofas(20)))
    keeping.at(3).act(DEPOSITOR, "cancel", reason="nobody lends on it")
    keeping.at(4).count(("A-01", 0))
    keeping.at(5).row("received", 40, "A-01", 5)
    with pytest.raises(ActError, match=MISSING):
        issued(keeping.at(6), SECOND, 20)
    keeping.at(7).count(("A-01", 40))
    assert issued(keeping.at(8), SECOND, 20) is State.ISSUED


def test_a_loss_outlives_the_horizon_of_the_stock_book() -> None:
    keeping = Keeping(lot())
    keeping.row("received", 40)
    keeping.pledged(FIRST, sofas(40))
    keeping.at(1).count(("A-01", 30))
    keeping.at(2).row("received", 20, "A-02", 2)
    for days in (100, 300, 420, 500):
        keeping.tick(days * DAY)
        keeping.row("received", 1, "A-02", days * DAY)
        assert keeping.missing == {FIRST: 10_000}
    keeping.count(("A-02", 24))
    assert keeping.missing == {}


def missed() -> Keeping:
    """30 of 40 pledged sofas were counted."""
    keeping = Keeping(lot())
    keeping.row("received", 40)
    keeping.pledged(FIRST, sofas(40))
    keeping.at(60).count(("A-01", 30))
    assert keeping.missing == {FIRST: 10_000}
    return keeping


HIDDEN: list[tuple[str, list[Tells], str]] = [
    (
        "moved out of the bin, which is counted again",
        [lambda one: one.row("moved", 10, minute=61, to_bin="Z-99"), lambda one: one.count(("A-01", 30))],
        "Z-99",
    ),
    (
        "moved out of an empty bin, which is counted",
        [lambda one: one.row("moved", 10, "Y-01", minute=61, to_bin="Z-99"), lambda one: one.count(("Y-01", 0))],
        "Z-99",
    ),
    (
        "delivered and moved on, and the first bin is counted",
        [
            lambda one: one.row("received", 110, "Y-01", minute=61),
            lambda one: one.row("moved", 110, "Y-01", minute=62, to_bin="Z-99"),
            lambda one: one.count(("Y-01", 0)),
        ],
        "Z-99",
    ),
]


@pytest.mark.parametrize(("what", "tells", "place"), HIDDEN, ids=[one[0] for one in HIDDEN])
def test_what_a_count_has_missed_is_not_found_in_the_bin_that_it_is_said_to_have_come_from(
    what: str, tells: list[Tells], place: str
) -> None:
    keeping = missed()
    for number, one in enumerate(tells):
        one(keeping.at(63 + number))
    assert sum(keeping.missing.values()) >= 10_000, what
    assert place in {key.bin for key in keeping.cases["uncounted"].keys}
    with pytest.raises(ActError, match="short"):
        issued(keeping.at(70), SECOND, 10, place)
    keeping.tick(402 * DAY)
    keeping.row("received", 1, "B-77", minute=401 * DAY)
    keeping.tick(403 * DAY)
    assert sum(keeping.missing.values()) >= 10_000  # nor does the stock book's horizon find it


def test_what_was_booked_out_of_an_empty_bin_is_owed_by_the_others_until_all_that_there_is_was_counted() -> None:
    keeping = Keeping(lot())
    keeping.row("received", 50)
    keeping.pledged(FIRST, sofas(40))
    keeping.at(1).row("sold", 15, "Y-01", minute=1)
    assert keeping.missing == {FIRST: 5_000}
    keeping.at(2).count(("Y-01", 0))
    assert keeping.missing == {FIRST: 5_000}
    keeping.at(3).count(("A-01", 41))
    assert keeping.missing == {}


def test_a_count_that_is_handed_in_late_says_the_same_as_one_that_is_not() -> None:
    found = []
    for handed_in in (61, 2_000):
        keeping = Keeping(lot())
        keeping.row("received", 200)
        keeping.pledged(FIRST, sofas(100))
        told: list[tuple[float, Tells]] = [
            (handed_in, lambda one: one.count(("A-01", 199), minute=60)),
            (600, lambda one: one.row("received", 150, "B-01", minute=600)),
            (1_440, lambda one: issued(one, SECOND, 150, "B-01")),
        ]
        for minute, one in sorted(told, key=lambda each: each[0]):
            one(keeping.at(minute))
        keeping.tick(3_000)
        found.append(keeping.missing)
    assert found == [{}, {}]


def test_a_pool_that_was_never_short_and_is_emptied_needs_no_count_of_what_comes_in_then() -> None:
    keeping = Keeping(lot())
    keeping.row("received", 110)
    keeping.pledged(FIRST, sofas(100))
    keeping.at(1).count(("A-01", 109))
    keeping.at(2).act(BANK, "release")
    keeping.act(DEPOSITOR, "surrender")
    keeping.at(3).row("shipped", 109, minute=3)
    keeping.act(WAREHOUSE, "deliver")
    keeping.at(4).row("received", 50, "B-01", minute=4)
    assert issued(keeping.at(5), SECOND, 50, "B-01") is State.ISSUED


def test_a_hundred_short_shortages_and_changes_of_what_is_claimed_make_no_shortage() -> None:
    keeping = Keeping(lot())
    keeping.row("received", 50)
    keeping.pledged(FIRST, sofas(40))
    keeping.at(1).count(("A-01", 45))
    for day in range(1, 101):
        keeping.at(day * DAY).row("sold", 10, minute=day * DAY)
        assert keeping.missing == {FIRST: 5_000}
        keeping.at(day * DAY + 10).row("received", 10, minute=day * DAY + 10)
        keeping.count(("A-01", 45))
        assert keeping.missing == {}
    (ceiling,) = keeping.spine.state.watch.ceilings.values()
    assert len(ceiling.short) <= losses.SHORT_MAX
    assert len(ceiling.heard) <= losses.HEARD_MAX


def test_a_zones_loss_is_not_hidden_by_rows_that_put_the_goods_back() -> None:
    for way in ("cancelled", "moved back"):
        keeping = Keeping(lot())
        keeping.row("received", 40)
        keeping.act(WAREHOUSE, "issue", FIRST, **stated(sofas(40)))
        for minute in range(1, 26):
            keeping.at(minute).weigh(minute, weight_of(34))
        row = keeping.at(25.5).row("moved", 6, minute=0, to_bin="B-09")
        if way == "cancelled":
            keeping.at(25.6).cancel(row)
        else:
            keeping.at(25.6).row("moved", 6, "B-09", minute=25.6, to_bin="A-01")
        with pytest.raises(ActError, match="missing"):
            keeping.at(25.7).act(DEPOSITOR, "pledge", pledgee=BANK)
        keeping.at(26).weigh(26, weight_of(34))
        assert keeping.missing == {FIRST: 7_000}, way
        keeping.at(27).weigh(27, weight_of(40))
        assert keeping.missing == {}, way


def test_what_is_told_of_an_empty_bin_puts_nothing_right_before_it_is_counted_nor_after() -> None:
    for minute in (70, 95):
        keeping = Keeping(lot(quantity=20))
        keeping.row("received", 40)
        keeping.row("received", 1, "W-01")
        keeping.pledged(FIRST, sofas(20))
        keeping.at(60).count(("A-01", 30))
        keeping.at(61).row("sold", 20, "Y-01", minute=61)
        assert keeping.missing == {FIRST: 9_000}
        keeping.at(70 if minute == 70 else 90)
        told = partial(keeping.row, "adjusted", 20, "Y-01", minute=70)
        if minute == 70:
            told()
            keeping.at(90).count(("Y-01", 0))
        else:
            keeping.count(("Y-01", 0))
            keeping.at(95)
            told()
        assert keeping.missing == {FIRST: 9_000}, minute
        keeping.at(100).count(("A-01", 20), ("W-01", 1))
        assert keeping.missing == {}
