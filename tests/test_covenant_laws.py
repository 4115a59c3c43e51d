"""Covenants over all kinds of bases and terms: judged twice they say nothing new, a call is of something, and what is
called ends it. A few cases by hand at the very level."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pledgewatch_cloud.decide.collateral.covenants import Covenant, Cover, call_minor, is_called, judge
from pledgewatch_cloud.decide.collateral.result import Base
from pledgewatch_cloud.decide.collateral.terms import Covenants
from pledgewatch_cloud.decide.events import EventType

TODAY_MS = 1_767_268_800_000


def base_of(eligible_minor: int, base_minor: int, limit_minor: int, outstanding_minor: int) -> Base:
    """A base of which only the figures that covenants look at are said."""
    lendable_minor = min(base_minor, limit_minor) if limit_minor else base_minor
    headroom_minor = lendable_minor - outstanding_minor
    ltv_bp = -(-outstanding_minor * 10_000 // eligible_minor) if eligible_minor else -1
    cover_bp = eligible_minor * 10_000 // outstanding_minor if outstanding_minor else -1
    nothing: dict[str, int] = {}
    return Base(
        gross_minor=eligible_minor,
        ineligible=nothing,
        eligible_minor=eligible_minor,
        advance=nothing,
        held_back=nothing,
        reserves=nothing,
        base_minor=base_minor,
        limit_minor=limit_minor,
        outstanding_minor=outstanding_minor,
        availability_minor=max(0, headroom_minor),
        headroom_minor=headroom_minor,
        ltv_bp=ltv_bp,
        cover_bp=cover_bp,
        lots=1,
        unvalued=0,
    )


@st.composite
def some_terms(draw: st.DrawFn) -> Covenants:
    levels = draw(st.sets(st.integers(1, 10_500), max_size=3).map(sorted))
    places = draw(st.permutations(range(3)))[: len(levels)]
    given_bp = [0, 0, 0]
    for place, level_bp in zip(sorted(places), levels, strict=True):
        given_bp[place] = level_bp
    clear_bp = draw(st.sampled_from([0, 0, 1]) | st.integers(0, 10_000))
    assume(not levels or clear_bp < levels[0])
    minimum = draw(st.sampled_from([(), (("sofa", 1_000),), (("sofa", 1), ("chair", 7))]))
    warning_bp, call_bp, default_bp = given_bp
    cure_s = draw(st.sampled_from([0, 10]))
    return Covenants(warning_bp, call_bp, default_bp, clear_bp, cure_s, minimum)


@st.composite
def some_base(draw: st.DrawFn, terms: Covenants) -> Base:
    """A base near a level more often than not."""
    eligible_minor = draw(st.integers(0, 50) | st.integers(0, 10**9))
    level_bp = draw(st.sampled_from([*(one for one in terms[:3] if one), 10_000]))
    near = eligible_minor * max(0, level_bp - draw(st.sampled_from([0, terms.clear_bp]))) // 10_000
    outstanding_minor = max(0, near + draw(st.integers(-2, 2) | st.integers(-(10**6), 10**6)))
    base_minor = draw(st.just(eligible_minor) | st.integers(0, eligible_minor))
    return base_of(eligible_minor, base_minor, draw(st.just(0) | st.integers(0, 10**9)), outstanding_minor)


STOCK = st.fixed_dictionaries({"sofa": st.integers(0, 2_000), "chair": st.integers(0, 20)})
HISTORIES = some_terms().flatmap(
    lambda terms: st.tuples(st.just(terms), st.lists(st.tuples(some_base(terms), STOCK), min_size=1, max_size=4))
)


@given(HISTORIES)
def test_the_same_base_judged_again_is_the_same_cover_and_nothing_is_said(
    history: tuple[Covenants, list[tuple[Base, dict[str, int]]]],
) -> None:
    terms, bases = history
    covenant = Covenant()
    for base, stock in bases:
        covenant, _ = judge(covenant, base, terms, TODAY_MS, stock)
        again, moves = judge(covenant, base, terms, TODAY_MS, stock)
        assert (again, moves) == (covenant, [])


@given(HISTORIES)
def test_a_call_is_of_something_and_ends_when_it_is_paid_and_a_cent_less_does_not_do(
    history: tuple[Covenants, list[tuple[Base, dict[str, int]]]],
) -> None:
    terms, bases = history
    covenant = Covenant()
    for base, stock in bases:
        covenant, moves = judge(covenant, base, terms, TODAY_MS, stock)
        if not any(one.event_type is EventType.MARGIN_CALLED for one in moves):
            continue
        assert covenant.call_minor > 0
        owed = base.outstanding_minor, base.outstanding_minor - covenant.call_minor
        for paid, ends in ((owed[1], True), (owed[1] + 1, False)):
            left = base_of(base.eligible_minor, base.base_minor, base.limit_minor, paid)
            after, _ = judge(covenant, left, terms, TODAY_MS, stock)
            assert (after.cover < Cover.CALLED) is ends


LEVEL = Covenants(warning_bp=7_000, call_bp=8_000)
AT = base_of(20_000_000, 20_000_000, 0, 16_000_000)
"""80 % to the cent."""


def test_at_the_very_level_it_is_called_once_and_for_something() -> None:
    called, moves = judge(Covenant(), AT, LEVEL, TODAY_MS, {})
    # Below 80 % is 79.99 %, the next basis point: 15,998,000.
    assert (called.cover, called.call_minor, [one.event_type for one in moves]) == (
        Cover.CALLED,
        2_000,
        [EventType.COVENANT_BREACHED, EventType.MARGIN_CALLED],
    )
    assert judge(called, AT, LEVEL, TODAY_MS, {}) == (called, [])


# (clear_bp, outstanding of 20,000,000, cover after it was called)
LEFT = [
    (0, 16_000_000, Cover.CALLED),
    (0, 15_998_001, Cover.CALLED),  # rounded up that is 80 % still
    (0, 15_998_000, Cover.WARNED),
    (500, 15_998_000, Cover.CALLED),
    (500, 15_000_000, Cover.CALLED),  # 75 %: at the level less clear_bp, not below it
    (500, 14_998_000, Cover.WARNED),
    (500, 13_000_000, Cover.WARNED),
    (500, 12_998_000, Cover.CLEAR),
]


@pytest.mark.parametrize(("clear_bp", "outstanding_minor", "cover"), LEFT)
def test_a_level_is_left_only_below_it_less_clear_bp(clear_bp: int, outstanding_minor: int, cover: Cover) -> None:
    terms = LEVEL._replace(clear_bp=clear_bp)
    called, _ = judge(Covenant(), AT, terms, TODAY_MS, {})
    after, _ = judge(called, base_of(20_000_000, 20_000_000, 0, outstanding_minor), terms, TODAY_MS, {})
    assert after.cover is cover


# Sofas that are eligible, one moment after the other, and whether it is warned.
STOCKED = [
    (0, [(1_000, False), (999, True), (999, True), (1_000, False)]),
    (500, [(1_000, False), (999, True), (1_000, True), (1_049, True), (1_050, False), (1_000, False)]),
    (1, [(999, True), (1_000, True), (1_001, False)]),  # a ten-thousandth more than 1,000 is 1,000.1
]


@pytest.mark.parametrize(("clear_bp", "story"), STOCKED)
def test_too_little_stock_stays_a_warning_until_there_is_clear_bp_more(
    clear_bp: int, story: list[tuple[int, bool]]
) -> None:
    terms = Covenants(clear_bp=clear_bp, minimum=(("sofa", 1_000),))
    idle, covenant = base_of(100, 100, 0, 0), Covenant()
    for units, is_warned in story:
        covenant, _ = judge(covenant, idle, terms, TODAY_MS, {"sofa": units})
        assert (units, covenant.cover is Cover.WARNED) == (units, is_warned)


def test_a_call_above_the_limit_brings_it_below_the_limit() -> None:
    """12,000 lent on 100,000 with a limit of 10,000: 2,000, and with a quarter to spare 12,000 - 8,000."""
    base = base_of(100_000, 90_000, 10_000, 12_000)
    assert is_called(base, Covenants())
    assert [call_minor(base, Covenants(clear_bp=clear_bp)) for clear_bp in (0, 2_500)] == [2_000, 4_000]


def test_of_a_call_that_is_said_again_the_part_that_is_paid_counts_from_then() -> None:
    """Called 200 at 1,000, then 300 at 1,100, of which 150 are paid: 150 are unpaid, and 200 are needed."""
    covenant, told = Covenant(), []
    for base_minor, outstanding_minor in ((800, 1_000), (800, 1_100), (750, 950)):
        base = base_of(10_000, base_minor, 0, outstanding_minor)
        covenant, moves = judge(covenant, base, Covenants(), TODAY_MS, {})
        told.append((covenant.call_minor, covenant.outstanding_minor, len(moves)))
    assert told == [(200, 1_000, 2), (300, 1_100, 1), (200, 950, 1)]
