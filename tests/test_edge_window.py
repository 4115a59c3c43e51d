"""The window of readings on their way, against a plain set."""

from hypothesis import given
from hypothesis import strategies as st

from pledgewatch_edge.window import Window
from pledgewatch_wire.codec import Committed
from pledgewatch_wire.marks import Marks

spans = st.lists(st.integers(1, 9), max_size=12)
words = st.lists(st.tuples(st.integers(1, 80), st.integers(0, 12)), max_size=6)


def test_a_flight_lands_when_all_of_it_is_committed() -> None:
    window = Window(10)
    window.send(1, 4, 1.0)
    window.send(5, 8, 2.0)
    assert (window.in_flight, window.room, window.oldest_sent_at) == (8, 2, 1.0)
    window.land(Committed(1, 3))
    assert (window.in_flight, window.oldest_sent_at) == (5, 1.0)
    window.land(Committed(1, 4, ((6, 8),)))
    assert (window.in_flight, window.oldest_sent_at) == (1, 2.0)
    window.land(Committed(1, 8))
    assert (window.in_flight, window.room, window.oldest_sent_at) == (0, 10, None)
    window.send(9, 20, 3.0)
    assert window.room == 0
    window.clear()
    assert (window.in_flight, window.oldest_sent_at) == (0, None)


@given(spans, words, st.integers(0, 60))
def test_it_counts_what_is_missing(lengths: list[int], more: list[tuple[int, int]], contiguous: int) -> None:
    window = Window(1_000)
    sent: set[int] = set()
    first = 1
    for length in lengths:
        window.send(first, first + length - 1, 0.0)
        sent |= set(range(first, first + length))
        first += length
    marks = Marks(contiguous)
    for low, span in more:
        marks = marks.add(low, low + span)
    committed = Committed(1, marks.contiguous, marks.ranges)
    window.land(committed)
    assert window.in_flight == sum(not committed.covers(sequence) for sequence in sent)
