"""How moments are written: one spelling for people and documents, and the fixed one of messages."""

import json

import pytest

from pledgewatch_cloud.decide.messages import MessageType, message
from pledgewatch_cloud.decide.moments import ID, iso, moment_ms

WRITTEN = [
    (0, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z"),
    (1, "1970-01-01T00:00:00.001Z", "1970-01-01T00:00:00.001Z"),
    (-1, "1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
    (1_767_268_800_000, "2026-01-01T12:00:00Z", "2026-01-01T12:00:00.000Z"),
    (-62_000_000_000_000, "0005-04-19T09:46:40Z", "0005-04-19T09:46:40.000Z"),
]


@pytest.mark.parametrize(("at_ms", "short", "full"), WRITTEN)
def test_a_moment_is_written_in_one_way_and_read_back(at_ms: int, short: str, full: str) -> None:
    assert (iso(at_ms), iso(at_ms, always_milliseconds=True)) == (short, full)
    assert (moment_ms("at", short), moment_ms("at", full)) == (at_ms, at_ms)


@pytest.mark.parametrize(("at_ms", "full"), [(at_ms, full) for at_ms, _, full in WRITTEN])
def test_a_message_always_tells_its_time_to_the_millisecond(at_ms: int, full: str) -> None:
    sent = message("journal-1", "7.0", MessageType.RECORD_BASE, "facility-1", 3, "facility-1", at_ms, {})
    assert json.loads(sent.body)["time"] == full


@pytest.mark.parametrize(
    "name", ["a", "7", "la-3:0001", "a/b", "a.b/.c", "a/..b", "a/b..", "a/.../b", "a//b", "a" * 128]
)
def test_a_name_that_an_address_can_have(name: str) -> None:
    assert ID.fullmatch(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/.", "a/..", "a/../b", "a/./b", "a/b/..", "a b", "a/../..", "a" * 129]
)
def test_a_name_that_is_none_or_in_an_address_another_s(name: str) -> None:
    assert not ID.fullmatch(name)
