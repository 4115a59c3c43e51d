"""Stretches of time against the plainest model there is: sets of whole milliseconds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pledgewatch_cloud.decide.stretches import (
    ALWAYS,
    NEVER,
    NONE,
    Stretch,
    Stretches,
    at_least,
    begun_before,
    complement,
    first_ms,
    joined,
    shared,
    stretch_at,
    without,
)
from pledgewatch_cloud.decide.voyage import Leg, in_force

# The model looks at these moments; -13 and 12 stand for all time before and after.
MOMENTS = range(-13, 13)
moments = st.integers(-12, 12)
any_stretches = st.lists(st.tuples(moments, moments), max_size=5)
some_stretches = any_stretches.map(joined)
some_open_stretches = st.builds(
    lambda inner, from_ever, for_ever: joined(
        (*inner, *([(-NEVER, -10)] if from_ever else []), *([(10, NEVER)] if for_ever else []))
    ),
    any_stretches,
    st.booleans(),
    st.booleans(),
)


def moments_of(some: Stretches) -> set[int]:
    return {moment for moment in MOMENTS for since_ms, until_ms in some if since_ms <= moment < until_ms}


def assert_well_written(some: Stretches) -> None:
    edges = [edge for one in some for edge in one]
    assert edges == sorted(set(edges)), f"{some} do not ascend or are not apart"
    assert all(-NEVER <= edge <= NEVER for edge in edges)


@given(any_stretches)
def test_joined_holds_whenever_one_of_them_does(some: list[Stretch]) -> None:
    found = joined(some)
    assert_well_written(found)
    assert moments_of(found) == {moment for since, until in some for moment in range(since, until)}
    assert joined(reversed(some)) == found


@given(some_open_stretches, some_open_stretches)
def test_shared_and_without_part_the_moments(some: Stretches, others: Stretches) -> None:
    both, only = shared(some, others), without(some, others)
    assert_well_written(both)
    assert_well_written(only)
    assert moments_of(both) == moments_of(some) & moments_of(others)
    assert moments_of(only) == moments_of(some) - moments_of(others)
    assert joined((*both, *only)) == some


@given(some_open_stretches)
def test_complement_is_all_the_rest_and_its_own_way_back(some: Stretches) -> None:
    found = complement(some)
    assert_well_written(found)
    assert moments_of(found) == set(MOMENTS) - moments_of(some)
    assert complement(found) == some
    assert joined((*some, *found)) == ALWAYS


@given(st.integers(-1, 6), st.lists(some_open_stretches, max_size=5))
def test_at_least_counts_at_every_moment(count: int, several: list[Stretches]) -> None:
    found = at_least(count, several)
    assert_well_written(found)
    counted = {moment: sum(moment in moments_of(some) for some in several) for moment in MOMENTS}
    assert moments_of(found) == {moment for moment, holding in counted.items() if holding >= count}


@given(some_open_stretches, st.integers(-13, 13))
def test_begun_before_keeps_whole_stretches(some: Stretches, at_ms: int) -> None:
    found = begun_before(some, at_ms)
    assert found == tuple(one for one in some if one[0] in range(-NEVER, at_ms))
    assert all(one[0] >= at_ms for one in set(some) - set(found))


@given(some_stretches, moments)
def test_the_first_moment_and_the_stretch_at_a_moment(some: Stretches, at_ms: int) -> None:
    assert first_ms(some) == min(moments_of(some), default=None)
    found = stretch_at(some, at_ms)
    assert (found is not None) == (at_ms in moments_of(some))
    assert found is None or (found in some and found[0] <= at_ms < found[1])


# what, found, expected
BY_HAND = [
    ("nothing is never", complement(ALWAYS), NONE),
    ("and the other way", complement(NONE), ALWAYS),
    ("what touches is one", joined([(5, 9), (1, 5)]), ((1, 9),)),
    ("what is empty is none", joined([(5, 5), (9, 7)]), NONE),
    ("two that touch share nothing", shared(((1, 5),), ((5, 9),)), NONE),
    ("one after the other leaves no seam", at_least(1, [((1, 5),), ((5, 9),)]), ((1, 9),)),
    ("nor does a third beside them", at_least(2, [((1, 5),), ((5, 9),), ((0, 10),)]), ((1, 9),)),
    ("a hole", without(ALWAYS, ((1, 5),)), ((-NEVER, 1), (5, NEVER))),
    ("none of none is asked for", at_least(0, []), ALWAYS),
    ("one of none is too much", at_least(1, []), NONE),
    ("beginning then is not beginning before", begun_before(((1, 5), (7, 9)), 7), ((1, 5),)),
]


@pytest.mark.parametrize(("found", "expected"), [row[1:] for row in BY_HAND], ids=[row[0] for row in BY_HAND])
def test_stretches_by_hand(found: Stretches, expected: Stretches) -> None:
    assert found == expected


LEGS = (
    Leg("road", "road", 0, 10, "expected"),
    Leg("sea", "sea", 10, 30, "dark"),
    Leg("port", "port", 30, 40, "expected"),
)


@given(st.sets(st.sampled_from(["road", "sea", "port"])), any_stretches, any_stretches)
def test_what_is_in_force_by_legs_and_periods(ids: set[str], within: list[Stretch], left_out: list[Stretch]) -> None:
    found = in_force(LEGS, tuple(sorted(ids)), tuple(within), tuple(left_out))
    assert_well_written(found)
    expected = {
        moment
        for moment in MOMENTS
        if (not ids or any(leg.id in ids and leg.from_ms <= moment < leg.until_ms for leg in LEGS))
        and (not within or any(since <= moment < until for since, until in within))
        and not any(since <= moment < until for since, until in left_out)
    }
    assert moments_of(found) == expected
