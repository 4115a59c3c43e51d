"""Answers as JSON: what is read of one is what was said, to the last digit."""

import json
import math
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pledgewatch_cloud.api.plain import plain, written
from pledgewatch_cloud.decide.alerts import AlertState
from pledgewatch_wire.reading import Channel

words = st.text(max_size=4)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60)
@given(values)
def test_what_is_read_is_what_was_said(value: object) -> None:
    assert json.loads(written(value)) == value


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_the_same_float(value: float) -> None:
    read = json.loads(written([value]))[0]
    assert (float(read), math.copysign(1, read)) == (value, math.copysign(1, value))


@pytest.mark.parametrize("number", [2**53 + 1, -(2**63), 2**64 - 1, 2**64, 10**40, -(10**40)])
def test_a_whole_number_is_written_whole_whatever_its_size(number: int) -> None:
    assert written({"of": [number]}) == f'{{"of":[{number}]}}'.encode()


class Pair(NamedTuple):
    """Two with names."""

    one: int
    other: str


def test_tuples_are_lists_and_words_are_what_they_say() -> None:
    said = {"pair": Pair(1, "a"), "state": AlertState.OPEN, "channel": Channel.TEMPERATURE_MC, "no": math.nan}
    read = {"pair": [1, "a"], "state": AlertState.OPEN.value, "channel": int(Channel.TEMPERATURE_MC), "no": None}
    assert json.loads(written(said)) == read
    assert json.loads(written({**said, "huge": 2**70})) == {**read, "huge": 2**70}, "by whichever writer"


def test_what_is_no_plain_value_is_no_answer() -> None:
    with pytest.raises(ValueError, match="object"):
        written({"it": object()})


def test_an_answer_has_its_type_and_the_headers_that_it_is_given() -> None:
    answer = plain([1], {"link": "<x>"})
    assert (answer.body, answer.headers["content-type"], answer.headers["link"]) == (b"[1]", "application/json", "<x>")
