"""The legs of a voyage's plan: which one a moment lies in, and for how long that is so."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.decide.voyage import Leg, leg_at, leg_stands_until_ms


@st.composite
def plans(draw: st.DrawFn) -> list[Leg]:
    """Legs that ascend in time, some of them right behind each other."""
    edges = sorted(draw(st.sets(st.integers(0, 60), max_size=8)))
    legs = [Leg("leg", "sea", one, other, "dark") for one, other in pairwise(edges)]
    return [leg for leg in legs if draw(st.booleans())]


@given(plans(), st.integers(-5, 65))
def test_a_leg_stands_until_another_or_none_is_that_of_the_moment(legs: list[Leg], at_ms: int) -> None:
    until_ms = leg_stands_until_ms(legs, at_ms)
    now = leg_at(legs, at_ms)
    last_ms = 70 if until_ms == NEVER else until_ms
    assert all(leg_at(legs, moment_ms) is now for moment_ms in range(at_ms, last_ms))
    assert until_ms == NEVER or leg_at(legs, until_ms) is not now
