"""Causes of some kinds alone: what alerts and milestones look at is what a look at everything finds of those kinds."""

from hypothesis import given
from hypothesis import strategies as st

from pledgewatch_cloud.decide import causes
from pledgewatch_cloud.decide.causes import AssetFacts, Cause, End

KINDS = ["mkt_exceeded", "mkt_uncertain", "fence_entered", "fence_left"]
ENDING = [("mkt_exceeded", "mkt_uncertain"), ("mkt_uncertain",), ("fence_entered",), ("fence_left",)]
# Few words and moments, so that some begin at once, and some end what others began.
ABOUT, MOMENTS, NAMES = st.sampled_from("ab"), st.integers(0, 9), st.text("0123456789", min_size=1, max_size=2)
FACTS = st.builds(
    AssetFacts,
    causes=st.dictionaries(NAMES, st.builds(Cause, st.sampled_from(KINDS), ABOUT, MOMENTS)),
    ends=st.dictionaries(NAMES, st.builds(End, st.sampled_from(ENDING), ABOUT, MOMENTS)),
)


@given(FACTS, st.frozensets(st.sampled_from(KINDS)))
def test_spells_of_some_kinds_are_those_of_all_of_these_kinds(facts: AssetFacts, kinds: frozenset[str]) -> None:
    wanted = [one for one in causes.spells(facts) if one.cause.kind in kinds]
    assert list(causes.spells_of_kinds(facts, kinds)) == wanted
