"""Many payloads at once as columns: what the codec says of each, and the same refusals."""

from collections.abc import Sequence

import numpy as np
import pytest
from builders import NOON_MS
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_strategies import messages, payloads

from pledgewatch_cloud.decide import live as live_module
from pledgewatch_cloud.decide import payloads as payloads_module
from pledgewatch_cloud.decide.batch import Arrival, batch_of_arrivals
from pledgewatch_cloud.decide.columns import columns_of, joined
from pledgewatch_cloud.decide.payloads import Received, read, read_all
from pledgewatch_wire import chain
from pledgewatch_wire.codec import Payload, PayloadError, decode, encode
from pledgewatch_wire.reading import Cell, Channel, Clock, Reading


def received(raws: Sequence[bytes]) -> list[Received]:
    return [Received("op", f"device-{place}", NOON_MS, raw) for place, raw in enumerate(raws)]


def one_by_one(raw: bytes) -> object:
    """What the codec reads, or its words."""
    try:
        return decode(raw)
    except PayloadError as error:
        return str(error)


def as_payload(found: Arrival | PayloadError) -> object:
    if isinstance(found, PayloadError):
        return str(found)
    payload = Payload(found.epoch, tuple(found.readings), found.checkpoints, found.committed_wanted)
    assert (found.first_sequence, found.last_sequence) == (payload.first_sequence, payload.last_sequence)
    assert found.until_ms == max(one.measured_at_ms for one in payload.readings)
    assert found.leaves == [chain.leaf(one) for one in payload.readings]
    return payload


@given(st.lists(st.one_of(messages(), messages(), payloads().map(encode), st.binary(max_size=40)), max_size=12))
@settings(deadline=None)
def test_many_at_once_are_read_as_one_by_one(raws: list[bytes]) -> None:
    assert [as_payload(one) for one in read(received(raws))] == [one_by_one(raw) for raw in raws]


@given(messages())
@settings(deadline=None, max_examples=300)
def test_a_message_that_hardly_fits_is_read_as_the_codec_reads_it(raw: bytes) -> None:
    good = encode(Payload(1, (Reading(1, NOON_MS, Clock.GPS, (Cell(Channel.BATTERY_MV, 7),)),)))
    first, odd, last = read(received([good, raw, good]))
    assert as_payload(odd) == one_by_one(raw)
    assert as_payload(first) == as_payload(last) == decode(good)


@st.composite
def live(draw: st.DrawFn) -> bytes:
    """A live payload, as it is or with something changed, left out or put in."""
    channels = sorted(draw(st.sets(st.sampled_from(list(Channel)), min_size=1, max_size=6)))
    value = st.one_of(st.integers(-100, 100), st.integers(-(2**62), 2**62))
    row = tuple(Cell(channel, draw(value.filter(lambda one: abs(one) < 2**62))) for channel in channels)
    first = draw(st.sampled_from([1, 2, 127, 128, 2**40, 2**53 - 2]))
    at_ms = draw(st.sampled_from([0, NOON_MS, 2**43, 1_704_067_200_000]))
    reading = Reading(first, at_ms, draw(st.sampled_from(list(Clock))), row)
    epoch, wanted = draw(st.sampled_from([0, 1, 1_023, 2**32 - 1])), draw(st.booleans())
    raw = bytearray(encode(Payload(epoch, (reading,), (), wanted)))
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2]))):
        place = draw(st.integers(0, len(raw) - 1))
        kind = draw(st.sampled_from(["change", "drop", "insert", "longer"]))
        if kind == "change":
            raw[place] = draw(st.sampled_from([0, 1, 0x08, 0x10, 0x1A, 0x22, 0x30, 0x38, 0x7F, 0x80, 0xFF]))
        elif kind == "drop" and len(raw) > 1:
            del raw[place]
        elif kind == "insert":
            raw.insert(place, draw(st.sampled_from([0, 1, 0x30, 0x38, 0x80])))
        elif raw[place] < 0x80:  # the same number in more bytes than it needs
            raw[place : place + 1] = bytes([raw[place] | 0x80, 0])
    return bytes(raw)


@given(st.lists(live(), min_size=1, max_size=8))
@settings(deadline=None, max_examples=300)
def test_live_payloads_are_read_as_the_codec_reads_them(raws: list[bytes]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live_module, "FEWEST", 1)
        assert [as_payload(one) for one in read(received(raws))] == [one_by_one(raw) for raw in raws]


def test_live_payloads_do_not_go_by_way_of_protobuf(monkeypatch: pytest.MonkeyPatch) -> None:
    raws = []
    for clock in Clock:
        for wanted in (False, True):
            reading = Reading(300, NOON_MS, clock, (Cell(Channel.LATITUDE_E7, -5), Cell(Channel.BATTERY_MV, 3_900)))
            raws.append(encode(Payload(3, (reading,), (), wanted)))
    expected = [decode(raw) for raw in raws]
    monkeypatch.setattr(payloads_module, "parse", None)
    assert [as_payload(one) for one in read(received(raws))] == expected


@given(st.lists(payloads(), min_size=1, max_size=6), st.data())
@settings(deadline=None)
def test_any_rows_can_be_taken_and_joined(some: list[Payload], data: st.DataObject) -> None:
    arrivals = read_all(received([encode(one) for one in some]))
    readings = [reading for one in some for reading in one.readings]
    columns = arrivals[0].columns
    wanted = data.draw(st.lists(st.integers(0, len(readings) - 1), max_size=10))
    taken = columns.rows(np.array(wanted, dtype=np.int64))
    assert taken.readings() == [readings[row] for row in wanted]
    assert joined([taken, columns]).readings() == [readings[row] for row in wanted] + readings
    assert columns_of(readings).leaves == columns.leaves


def test_a_batch_of_arrivals_from_several_reads_holds_what_is_new_of_each() -> None:
    reading = [Reading(1 + n, NOON_MS + n, Clock.GPS, (Cell(Channel.BATTERY_MV, n),)) for n in range(4)]
    one, two = read_all(received([encode(Payload(1, tuple(reading))), encode(Payload(2, tuple(reading[:2])))]))
    (three,) = read_all(received([encode(Payload(3, tuple(reading[2:])))]))
    batch = batch_of_arrivals([one, three, two], [np.array([True, False, False, True]), None, None])
    found = sorted((one.device, one.epoch, one.sequence, one.reading.cells[0].value) for one in batch)
    assert found == [
        ("device-0", 1, 1, 0),
        ("device-0", 1, 4, 3),
        ("device-0", 3, 3, 2),
        ("device-0", 3, 4, 3),
        ("device-1", 2, 1, 0),
        ("device-1", 2, 2, 1),
    ]


def test_what_a_few_bytes_stand_for_is_read_in_bounded_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    raws = [encode(Payload(1, (Reading(1, NOON_MS, Clock.GPS, (Cell(Channel.BATTERY_MV, n),)),))) for n in range(7)]
    monkeypatch.setattr(payloads_module, "CELLS_AT_ONCE", 3)
    assert [len(read(received(raws[place:]))) for place in (0, 3, 6)] == [3, 3, 1]
    assert [one.readings[0].cells[0].value for one in read_all(received(raws))] == list(range(7))
