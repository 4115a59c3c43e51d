"""What a spool costs: memory at its opening, and files read for a question."""

import gc
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path

import pytest
from edge_support import DEVICE, new_spool, sample, true_word

from pledgewatch_edge.spool import contents as spool_contents
from pledgewatch_edge.spool.errors import SpoolCorruptError
from pledgewatch_edge.spool.log import SEGMENT_READINGS, Content, content_of
from pledgewatch_edge.spool.spool import Limits, Spool
from pledgewatch_edge.spool.whole import whole
from pledgewatch_wire import chain
from pledgewatch_wire.codec import MAX_RANGES
from pledgewatch_wire.marks import Marks
from pledgewatch_wire.reading import Clock, Reading

CLOCKS = (Clock.GPS, Clock.NTP)


def single(spool: Spool, segments: int) -> None:
    """So many segments of frames of one reading each, as a receiver fills them that is written once a second."""
    for _ in range(segments):
        start = spool.head_sequence + 1
        spool.append([sample(number, clock=CLOCKS[number % 2]) for number in range(start, start + SEGMENT_READINGS)])


def most_bytes(act: Callable[[], object]) -> int:
    """How many bytes something takes at most."""
    gc.collect()
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_full_spool_takes_no_more_memory_to_be_opened_or_rescued_than_one_segment(tmp_path: Path) -> None:
    opening: list[int] = []
    rescuing: list[int] = []
    for segments in (2, 5):
        folder = tmp_path / str(segments)
        with new_spool(folder) as spool:
            single(spool, segments)
        opening.append(most_bytes(lambda at=folder: new_spool(at).close()))  # type: ignore[misc]
        rescuing.append(most_bytes(lambda at=folder: deque(whole(at / "spool", DEVICE), 0)))  # type: ignore[misc]
    assert opening[1] < 1.2 * opening[0]
    assert rescuing[1] < 1.2 * rescuing[0]


def test_how_many_of_a_range_are_here_is_counted_without_reading_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with new_spool(tmp_path, Limits(120_000, 60, 1e9)) as spool:
        while spool.thinned_total < 2 * SEGMENT_READINGS:
            single(spool, 1)
        head = spool.head_sequence
        told = [one.last for one in spool.thinned(1, head)]
        spool.forget(true_word(spool, 100, ((told[0] - 3, told[0] + 40),)))
        places = sorted({0, 1, 99, 100, 101, told[0] - 1, told[0], told[0] + 41, *told, head - 5, head, head + 9})
        asked = [(first + 1, last) for first, last in [*pairwise(places), (0, head), (100, told[0]), (5, head + 1)]]
        counted = [sum(one.sequence <= last for one in spool.read(first - 1, 10**6)) for first, last in asked]
        assert len(set(counted)) > 3
        with monkeypatch.context() as patch:
            patch.setattr(spool_contents.Contents, "frames", None)
            assert [spool.here(first, last) for first, last in asked] == counted


def test_a_backlog_with_alarms_in_it_is_read_once_a_segment_not_once_a_payload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []

    def counted(data: bytes) -> Content:
        reads.append(len(data))
        return content_of(data)

    with new_spool(tmp_path) as spool:
        for _ in range(4):
            single(spool, 1)
            spool.append([sample(spool.head_sequence + 1)._replace(is_urgent=True)])
        monkeypatch.setattr(spool_contents, "content_of", counted)
        after = 0
        while rows := spool.read(after, 60):
            spool.checkpoints(rows[0].sequence, rows[-1].sequence)
            spool.read(after, 1, urgent=True)
            after = rows[-1].sequence
        assert after == spool.head_sequence
        assert len(reads) <= 2 * 4


def test_a_word_of_many_ranges_merges_them_once_and_looks_up_only_what_no_word_has_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with new_spool(tmp_path) as spool:
        single(spool, 2)
        words = [
            true_word(spool, 0, tuple((one, one) for one in range(turn, 1_800, 30)[:MAX_RANGES]))
            for turn in (2, 12, 2, 12, 22)
        ]
        looked_up: list[int] = []
        merged: list[int] = []
        leaf, add_all = chain.leaf, Marks.add_all

        def counted_leaf(reading: Reading) -> bytes:
            looked_up.append(reading.sequence)
            return leaf(reading)

        def counted_add(marks: Marks, spans: Iterable[tuple[int, int]]) -> Marks:
            merged.append(1)
            return add_all(marks, spans)

        monkeypatch.setattr(chain, "leaf", counted_leaf)
        monkeypatch.setattr(Marks, "add_all", counted_add)
        costs = []
        for word in words:
            before = len(looked_up), len(merged)
            assert spool.forget(word).ignored is None
            costs.append((len(looked_up) - before[0], len(merged) - before[1]))
        many = len(words[0].ranges)
        assert costs == [(many, 1), (many, 1), (0, 1), (0, 1), (many, 1)]
        assert len(spool.committed.ranges) == 3 * many > MAX_RANGES


def test_a_segment_that_changes_after_it_was_read_is_found_out(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        single(spool, 2)
        assert spool.read(0, 1)
        path = next((tmp_path / "spool").glob("*0001.log"))
        data = path.read_bytes()
        path.write_bytes(data[:1_000] + bytes([data[1_000] ^ 1]) + data[1_001:])
        with pytest.raises(SpoolCorruptError, match="has changed"):
            spool.read(0, 1)
