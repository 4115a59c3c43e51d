"""A mapping whose changed copies share what did not change."""

from hypothesis import given
from hypothesis import strategies as st

from pledgewatch_cloud.decide.shelves import Shelves

KEYS = st.text(st.sampled_from("ab"), max_size=3)


@given(st.lists(st.tuples(st.dictionaries(KEYS, st.integers()), st.frozensets(KEYS))))
def test_shelves_are_a_mapping_and_a_copy_never_changes_what_was_before(
    changes: list[tuple[dict[str, int], frozenset[str]]],
) -> None:
    shelves, known = Shelves[int](), dict[str, int]()
    history = [(shelves, known)]
    for put, gone in changes:
        shelves = shelves.put(put).without(gone)
        known = {key: value for key, value in (known | put).items() if key not in gone}
        history.append((shelves, known))
    for one, same in history:
        assert {key: one.get(key) for key in same} == same
        assert one.count == len(same)
        assert sorted(one.values()) == sorted(same.values())
        assert sorted(one.items()) == sorted(same.items())
        assert one.get("absent") is None
        assert one == Shelves[int]().put(same)
    for (before, was), (after, now), (put, gone) in zip(history, history[1:], changes, strict=False):
        changed = set(after.changed(before))
        assert {key for key in was | now if was.get(key) != now.get(key)} <= changed <= put.keys() | gone
        assert list(after.changed(after)) == []
