"""What a device may send, and what it may not: hypothesis strategies."""

from hypothesis import strategies as st

from pledgewatch_wire import payload_pb2
from pledgewatch_wire.codec import Checkpoint, Payload
from pledgewatch_wire.reading import NO_VALUE_FROM, Cell, Channel, Clock, Quality, Reading


@st.composite
def cells(draw: st.DrawFn) -> tuple[Cell, ...]:
    """Cells of one reading: any channels, any values, any qualities that a value may have."""
    found = []
    for channel in sorted(draw(st.sets(st.sampled_from(list(Channel)), min_size=1, max_size=6))):
        quality = draw(st.sampled_from([Quality.GOOD, Quality.GOOD, *Quality]))
        value = 0 if quality >= NO_VALUE_FROM else draw(st.integers(-(2**40), 2**40))
        found.append(Cell(channel, value, quality))
    return tuple(found)


@st.composite
def payloads(draw: st.DrawFn) -> Payload:
    """Payloads of up to 40 readings."""
    first = draw(st.integers(1, 2**40))
    clock = draw(st.sampled_from(list(Clock)))
    rows = draw(st.lists(st.tuples(st.integers(0, 2**42), cells()), min_size=1, max_size=40))
    readings = tuple(Reading(first + place, at_ms, clock, row) for place, (at_ms, row) in enumerate(rows))
    checkpoints = tuple(
        Checkpoint(sequence, draw(st.binary(min_size=64, max_size=64)))
        for sequence in draw(st.lists(st.integers(1, 2**40), max_size=3))
    )
    return Payload(draw(st.integers(0, 2**32 - 1)), readings, checkpoints, draw(st.booleans()))


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """Messages of the right form whose fields need not fit one another, nor be sane; many are nearly right."""
    count = draw(st.integers(1, 4))
    groups = []
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3, 0]))):
        channels = draw(st.sampled_from([0b1, 0b11, 0b11111, 0b10000000000000000, 0, 1 << 14, 1 << 40]))
        offsets = draw(st.one_of(st.just([]), st.lists(st.integers(0, 2), max_size=3)))
        size = (len(offsets) or count) * channels.bit_count() + draw(st.sampled_from([0] * 12 + [1, -1]))
        value = st.one_of(st.integers(-5, 5), st.just(0), st.sampled_from([2**62, -(2**62), 2**63 - 1, -(2**63)]))
        values = draw(st.lists(value, min_size=max(size, 0), max_size=max(size, 0)))
        marks = draw(st.one_of(st.just([]), st.lists(st.integers(0, 4), max_size=3)))
        codes = draw(st.lists(st.sampled_from([1, 5, 128, 131, 255, 0, 256]), min_size=len(marks), max_size=len(marks)))
        if draw(st.integers(0, 15)) == 0:
            codes.append(1)
        group = payload_pb2.Group(
            channels=channels, offsets=offsets, values=values, marked_cells=marks, marked_qualities=codes
        )
        groups.append(group)
    moment = st.one_of(st.integers(-1_000, 10**9), st.sampled_from([2**62, -(2**62), 2**63 - 1, -(2**63), 2**43]))
    times = draw(st.lists(st.one_of(st.integers(-5, 10**9), moment), min_size=count, max_size=count))
    signed = payload_pb2.Checkpoint(sequence=draw(st.integers(0, 9)), signature=bytes(draw(st.sampled_from([64, 63]))))
    return payload_pb2.Payload(
        epoch=draw(st.integers(0, 2**32 - 1)),
        first_sequence=draw(st.sampled_from([1, 7, 2**53 - 5, 0, 2**53, 2**64 - 1])),
        measured_at_ms=times if draw(st.integers(0, 20)) else [],
        groups=groups,
        checkpoints=[signed] if draw(st.integers(0, 4)) == 0 else [],
        clock=draw(st.sampled_from([0, 0, 1, 3, 4, 5])),
        committed_wanted=draw(st.booleans()),
        version=draw(st.sampled_from([0] * 9 + [1])),
    ).SerializeToString()
