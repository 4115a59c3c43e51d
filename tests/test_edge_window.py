"""The window of readings on their way, against a plain set."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pledgewatch_edge.window import Flight, Lane, Window
from pledgewatch_wire.codec import MAX_RANGES, Committed
from pledgewatch_wire.marks import Marks

spans = st.lists(st.tuples(st.sampled_from(Lane), st.integers(1, 9)), max_size=12)
words = st.lists(st.tuples(st.integers(1, 80), st.integers(0, 12)), max_size=6)


def flight(lane: Lane, first: int, last: int, sent_at: float = 0.0, *, tells: int = 0) -> Flight:
    """Readings of which none is committed."""
    return Flight(lane, first, last, sent_at, last - first + 1, tells)


def test_a_flight_lands_when_all_of_it_is_committed() -> None:
    window = Window(10)
    window.send(flight(Lane.LIVE, 1, 4, 1.0))
    window.send(flight(Lane.LIVE, 5, 8, 2.0))
    assert (window.in_flight(Lane.LIVE), window.room(Lane.LIVE), window.oldest_sent_at) == (8, 2, 1.0)
    assert window.room(Lane.URGENT) == 10, "each lane has a window"
    window.land(Committed(1, 3))
    assert (window.in_flight(Lane.LIVE), window.oldest_sent_at) == (5, 1.0)
    window.land(Committed(1, 4, ((6, 8),)))
    assert (window.in_flight(Lane.LIVE), window.oldest_sent_at) == (1, 2.0)
    window.land(Committed(1, 8))
    assert (window.in_flight(Lane.LIVE), window.room(Lane.LIVE), window.oldest_sent_at) == (0, 10, None)
    window.send(flight(Lane.LIVE, 9, 20, 3.0))
    assert (window.room(Lane.LIVE), window.carries(20), window.carries(21)) == (0, True, False)
    window.clear()
    assert (window.in_flight(Lane.LIVE), window.oldest_sent_at, window.carries(9)) == (0, None, False)


def test_what_was_sent_before_something_that_has_landed_was_lost_and_nothing_else() -> None:
    window = Window(100)
    live, first, second = flight(Lane.LIVE, 91, 100), flight(Lane.BACKLOG, 1, 10), flight(Lane.BACKLOG, 11, 20)
    for one in (live, first, second):
        window.send(one)
    assert window.land(Committed(1, 0, ((91, 100),))) == [], "a gap that nobody has sent yet is no loss"
    assert window.land(Committed(1, 0, ((91, 100),))) == []
    assert window.land(Committed(1, 0, ((11, 20), (91, 100)))) == [first]
    assert window.land(Committed(1, 0, ((11, 20), (91, 100)))) == [], "it is told once"
    window.drop([first])
    assert (window.in_flight(Lane.BACKLOG), window.carries(1)) == (0, False)


def test_of_a_word_that_cannot_name_all_only_what_follows_on_the_contiguous_is_lost() -> None:
    window = Window(1_000)
    flights = [flight(Lane.BACKLOG, 10 * number + 1, 10 * number + 5) for number in range(100)]
    for one in flights:
        window.send(one)
    spans = [(one.first, one.last) for one in flights]
    named = (*spans[10 : 9 + MAX_RANGES], spans[-1])
    assert window.land(Committed(1, 5, named)) == [], "number 6 was never sent, and the others may be there"
    assert window.in_flight(Lane.BACKLOG) == 5 * (99 - MAX_RANGES)
    assert window.land(Committed(1, 10, (*named[:-1], (10_001, 10_001)))) == [], "nothing has landed since"
    window.send(flight(Lane.LIVE, 10_001, 10_001))
    assert window.land(Committed(1, 10, (*named[:-1], (10_001, 10_001)))) == [flights[1]], "11 is not there for sure"
    whole = window.land(Committed(1, 10, ((21, 10_000),)))
    assert whole == [flights[1]]


def test_of_a_stretch_that_was_told_and_not_taken_all_is_lost_that_a_crowded_word_does_not_name() -> None:
    alarms = [flight(Lane.URGENT, one, one) for one in (30, 50, 70, 90, 110)]
    told = [flight(Lane.BACKLOG, last, last, tells=last) for last in (60, 100, 140)]

    def lost(contiguous: int, *named: int) -> list[Flight]:
        window = Window(1_000)
        for one in (*alarms, *told, flight(Lane.LIVE, 5_000, 5_000)):
            window.send(one)
        all_named = sorted((*named, *(1_000 + 2 * one for one in range(MAX_RANGES - len(named)))))
        return window.land(Committed(1, contiguous, tuple((one, one) for one in all_named)))

    assert lost(20, 30, 70) == [], "what tells may be on its way yet"
    assert lost(20, 30, 5_000) == [alarms[1], *told], "50 is not there, or the cloud had taken what tells of 60"
    assert lost(49, 90, 5_000) == [alarms[1], *told], "50 follows"
    assert lost(60, 90, 5_000) == [alarms[2], *told[1:]], "what lies beyond the stretch may be there"
    assert lost(60, 70, 90, 5_000) == told[1:]


def test_what_was_known_before_it_was_sent_shows_nothing_to_be_lost() -> None:
    window = Window(100)
    first = flight(Lane.BACKLOG, 1, 10)
    window.send(first)
    window.send(Flight(Lane.BACKLOG, 20, 20, 0.0, 0, tells=20))  # it is there already, and tells of what was dropped
    known = Committed(1, 0, ((20, 20),))
    assert window.land(known) == []
    assert window.in_flight(Lane.BACKLOG) == 11, "it has landed when what it tells was heard"
    assert window.land(Committed(1, 20)) == []
    assert window.in_flight(Lane.BACKLOG) == 0


def test_a_declaration_is_on_its_way_by_itself_and_comes_again_where_something_later_has_landed() -> None:
    window = Window(1_000)
    declared = Flight(Lane.BACKLOG, 20, 20, 0.0, 0, tells=20)
    window.send(flight(Lane.URGENT, 18, 20))
    assert (window.carries(20), window.tells(20)) == (True, False)
    window.send(declared)
    window.send(flight(Lane.BACKLOG, 21, 30))
    assert (window.tells(20), window.in_flight(Lane.BACKLOG)) == (True, 11)
    assert window.land(Committed(1, 0, ((18, 20),))) == [], "it may be on its way still"
    assert (window.carries(20), window.tells(20)) == (True, True)
    many = tuple((2 * place, 2 * place) for place in range(100, 99 + MAX_RANGES))
    assert window.land(Committed(1, 0, ((21, 30), *many))) == [declared], "though a word cannot name all"
    window.drop([declared])
    assert (window.carries(20), window.tells(20)) == (True, False)
    assert window.land(Committed(1, 20)) == []
    assert window.tells(20), "it was heard, whoever has said it"


def test_what_the_cloud_has_said_is_there_until_all_is_counted_anew() -> None:
    window = Window(100)
    window.send(flight(Lane.BACKLOG, 1, 4))
    window.land(Committed(1, 0, ((7, 9), (20, 25))), 24)
    assert window.free_of(1, 30) == [(5, 6), (10, 30)], "what goes beyond the newest reading is somebody else's"
    assert [window.carries(one) for one in (6, 7, 9, 10, 20)] == [False, True, True, False, False]
    window.clear()
    assert window.free_of(1, 30) == [(1, 30)]


@given(spans, words, st.integers(0, 60))
def test_it_counts_what_is_missing(
    lengths: list[tuple[Lane, int]], more: list[tuple[int, int]], contiguous: int
) -> None:
    window = Window(1_000)
    sent: set[int] = set()
    first = 1
    for lane, length in lengths:
        window.send(flight(lane, first, first + length - 1))
        sent |= set(range(first, first + length))
        first += length
    marks = Marks(contiguous)
    for low, span in more:
        marks = marks.add(low, low + span)
    committed = Committed(1, marks.contiguous, marks.ranges)
    window.land(committed)
    missing = sum(not committed.covers(sequence) for sequence in sent)
    assert sum(window.in_flight(lane) for lane in Lane) == missing


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9)), max_size=8), st.integers(1, 70), st.integers(0, 40))
def test_what_of_a_span_is_not_on_its_way_is_found(gone: list[tuple[int, int]], first: int, length: int) -> None:
    window, taken = Window(1_000), set[int]()
    for start, more in gone:
        if not taken & {*range(start, start + more + 1)}:
            window.send(flight(Lane.URGENT, start, start + more))
            taken |= {*range(start, start + more + 1)}
    found = window.free_of(first, first + length)
    left = [one for low, high in found for one in range(low, high + 1)]
    assert left == [one for one in range(first, first + length + 1) if one not in taken]
    assert all(low > before + 1 for (_, before), (low, _) in pairwise(found)), "in as few as can be"


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)), max_size=8), st.integers(1, 70), st.integers(0, 40))
def test_marks_take_many_spans_at_once_as_one_by_one(spans: list[tuple[int, int]], first: int, length: int) -> None:
    some = [(low + 1, low + 1 + more) for low, more in spans]
    one_by_one, here = Marks(), set[int]()
    for low, high in some:
        one_by_one = one_by_one.add(low, high)
        here |= {*range(low, high + 1)}
    for split in range(len(some) + 1):
        assert Marks().add_all(some[:split]).add_all(some[split:]) == one_by_one
    last = first + length
    missing = [one for low, high in one_by_one.missing_of(first, last) for one in range(low, high + 1)]
    assert missing == [one for one in range(first, last + 1) if one not in here]
    assert one_by_one.covers(first, last) == (not missing)
