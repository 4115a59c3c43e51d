"""Losses: when a pool was short of what is claimed, after a count has missed goods, and what comes in meanwhile."""

from array import array
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import permutations

import pytest
from keeping import Keeping, lot, sofas
from receipting import DEPOSITOR, FIRST, WAREHOUSE, stated, window

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
    ("nothing was claimed when it was missed", 9, [(120, 50)], (), [(-NEVER, losses.ALL), (130, 9)], ((100, 130),)),
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


def test_what_was_worked_out_for_good_stays_as_it_was_found() -> None:
    one = Ceiling(short_ms=100, claimed=((-NEVER, 10),), from_ms=200, losses=((110, 120), (150, NEVER)))
    assert losses.found(one, partial(kept, 10, (), ())).losses == ((110, 120), (150, 200))
    assert losses.found(one, partial(kept, 9, (), ())).losses == ((110, 120), (150, NEVER))


def test_what_is_claimed_is_known_since_when_and_of_many_changes_the_oldest_are_one() -> None:
    one = losses.claimed(Ceiling(), 5, 100, is_missed=True)
    assert one.claimed == ((-NEVER, 5),)
    assert losses.claimed(one, 5, 200, is_missed=False) is one
    assert losses.claimed(one, None, 200, is_missed=False) is one
    assert losses.claimed(one, None, 200, is_missed=True).claimed == ((-NEVER, 5), (200, losses.ALL))
    assert losses.claimed(Ceiling(), None, 200, is_missed=False).claimed == ((-NEVER, losses.ALL),)
    later = losses.claimed(losses.claimed(one, 7, 200, is_missed=False), 8, 200, is_missed=False)
    assert later.claimed == ((-NEVER, 5), (200, 8))
    for number in range(losses.SPANS_MAX):
        one = losses.claimed(one, 5 + (number + 1) % 3, 200 + number, is_missed=False)
    assert len(one.claimed) == losses.SPANS_MAX
    assert one.claimed[0] == (-NEVER, 6)


def test_a_loss_that_is_known_of_is_one_also_where_a_later_count_says_that_there_was_none() -> None:
    one = losses.heard(Ceiling(short_ms=100, claimed=((-NEVER, 10),)), 300, is_short=True)
    assert losses.heard(one, 350, is_short=True) is one
    assert losses.found(one, partial(kept, 10, (), ())).losses == ((300, NEVER),)
    ended = losses.heard(one, 400, is_short=False)
    assert losses.found(ended, partial(kept, 10, (), ())).losses == ((300, 400),)
    assert losses.found(ended, partial(kept, 9, (), ())).losses == ((100, NEVER),)
    for number in range(losses.SPANS_MAX):
        ended = losses.heard(ended, 500 + 2 * number, is_short=True)
        ended = losses.heard(ended, 501 + 2 * number, is_short=False)
    assert len(ended.heard) == losses.SPANS_MAX
    assert ended.heard[0] == (300, 501)


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
