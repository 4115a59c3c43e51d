"""That samples were refused is told: as a reading that has room however full the spool is, up to the cloud's words."""

from dataclasses import replace
from pathlib import Path

import pytest
from edge_support import TIME_MS, new_spool, sample, true_word
from test_thinning import Cloud, payloads_of, thinned_spool

from pledgewatch_cloud.api.completeness import completeness
from pledgewatch_cloud.decide.admission import EpochState
from pledgewatch_cloud.decide.state import first, from_bytes, to_bytes
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.spool.errors import SpoolError
from pledgewatch_edge.spool.refusals import Refusals
from pledgewatch_edge.spool.spool import URGENT_RESERVE, Limits, Spool
from pledgewatch_wire.codec import Status
from pledgewatch_wire.ended import Ended
from pledgewatch_wire.marks import Marks
from pledgewatch_wire.reading import Channel

HOUR_S = 3_600.0


class Watch:
    """A clock that is set by hand."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize(
    ("told_before", "rows", "said_at_h"),
    [
        # One row an hour: how many were refused in it, whether the spool is full. Said: when it was.
        (0, [(1, True)] * 40, [0, 1, 3, 7, 15, 31]),
        (0, [(1, False)] * 5, [0, 1, 2, 3, 4]),
        (0, [(5, True), (0, True), (0, True)], [0]),
        (0, [(1, True)] * 5 + [(1, False)] * 2 + [(1, True)] * 4, [0, 1, 3, 5, 6, 7, 9]),
        (9, [(1, True)] * 8, [1, 3, 7]),  # a start of the agent counts as a time
        (9, [(0, True)] * 8, []),
    ],
)
def test_how_often_it_is_said(told_before: int, rows: list[tuple[int, bool]], said_at_h: list[int]) -> None:
    watch = Watch()
    refusals = Refusals(told_before, told_before, watch)
    said = []
    for hour, (count, is_full) in enumerate(rows):
        watch.now_s = hour * HOUR_S
        refusals.refused += count
        if refusals.is_due(waits_longer=is_full):
            refusals.say(refusals.refused, is_full=is_full)
            said.append(hour)
    assert said == said_at_h


def urgent(number: int) -> Sample:
    return sample(number)._replace(is_urgent=True)


def told_by(spool: Spool) -> list[tuple[int, int]]:
    """What the spool says of refused samples, and as of which moment."""
    found = [(one.cell(Channel.REFUSED_READINGS), one) for one in spool.read(0, 10**6, urgent=True)]
    return [(cell.value, one.measured_at_ms) for cell, one in found if cell is not None]


def test_however_full_the_spool_is_there_is_room_for_it(tmp_path: Path) -> None:
    watch = Watch()
    limits = Limits(20_000, 60, 1e9)
    with new_spool(tmp_path, limits, monotonic=watch) as spool:
        while not spool.append([urgent(spool.head_sequence + 1)]).refused:
            pass
        full = spool.spooled_bytes
        assert full >= URGENT_RESERVE * limits.bytes_max
        for hour in range(365 * 24):
            watch.now_s = hour * HOUR_S
            if hour % 24 == 0:
                assert spool.append([sample(hour), sample(hour)]).refused == 2
            spool.tell_refused()
        told = told_by(spool)
        assert (told[0], len(told)) == ((3, TIME_MS), 14)
        assert told[-1][0] > spool.refused_total / 2
        assert spool.spooled_bytes - full < 14 * 110
    with new_spool(tmp_path, limits, monotonic=watch) as spool:
        assert told_by(spool) == told
        assert not spool.tell_refused(), "nothing is known of the time, and a start counts as a time"


def test_where_the_cloud_may_have_been_put_back_it_is_the_reading_that_proves_it(tmp_path: Path) -> None:
    watch = Watch()
    with new_spool(tmp_path, Limits(20_000, 60, 1e9), monotonic=watch) as spool:
        for hour in range(1_000):
            watch.now_s = hour * HOUR_S
            spool.append([urgent(hour)])
            spool.tell_refused()
        head, times = spool.head_sequence, len(told_by(spool))
        assert times == 10, "the last of them hundreds of hours apart"
        spool.forget(true_word(spool, 10))
        for hour in range(1_000, 1_100):
            watch.now_s = hour * HOUR_S
            spool.append([urgent(hour)])
            spool.forget(true_word(spool, 5))
            spool.tell_refused()
        assert spool.head_sequence == head + 1, "one is enough"
        assert spool.forget(true_word(spool, 5, ((head + 1, head + 1),))).again == (6, 10)


def test_it_is_told_when_the_disk_has_the_folder_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with new_spool(tmp_path, Limits(140_000, 60, 1e9)) as spool:
        spool.refuse(3)
        with monkeypatch.context() as patch:
            patch.setattr("pledgewatch_edge.spool.spool.flush_folder", refused_folder)
            with pytest.raises(SpoolError):
                fill(spool)
            head = spool.head_sequence
            with pytest.raises(SpoolError):
                spool.tell_refused()
            assert spool.head_sequence == head
        assert spool.tell_refused()
        assert [one for one, _ in told_by(spool)] == [3]


def fill(spool: Spool) -> None:
    while spool.append([sample(spool.head_sequence + place) for place in range(60)]):
        pass


def refused_folder(_: Path) -> None:
    raise OSError(5, "Input/output error")


def test_what_a_broken_spool_had_told_is_told_again(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        spool.refuse(7)
        assert not spool.tell_refused(), "nothing was measured by which it could be dated"
        spool.append([sample(1)])
        assert spool.tell_refused()
        assert not spool.tell_refused()
    for path in (tmp_path / "spool").glob("*.log"):
        path.write_bytes(b"\0" * 900)
    with new_spool(tmp_path) as spool:
        spool.append([sample(2)])
        assert (spool.epoch, spool.tell_refused(), [one for one, _ in told_by(spool)]) == (2, True, [7])


def test_from_the_spool_to_the_words_of_the_cloud(tmp_path: Path) -> None:
    spool, book = thinned_spool(tmp_path, 3_000, Limits(2**26, 60, 1e9))
    with spool:
        spool.refuse(5_000)
        spool.append([sample(3_001)])
        spool.tell_refused()
        spool.append([sample(3_002)])
        cloud = Cloud(book)
        *most, last = payloads_of(spool)
        cloud.take(last, *most)  # in another order than they were said
        cloud.take(*most)
        (known,) = cloud.devices.values()
        assert isinstance(known, EpochState)
        assert (known.refused, known.marks.missing) == (5_000, ())
        status = Status(True, spool.epoch, spool.head_sequence, 0, "", 0, 0, spool.refused_total)  # noqa: FBT003
        found = completeness({spool.epoch: known}, status)
        assert (found.lost, found.refused) == (5_000, 5_000)
        assert found.words == ("received 3,003 of 8,003, thinned 0, lost 5,000 (5,000 of them refused by the device)")
        assert completeness({spool.epoch: known}, None).lost_at_least == 5_000, "the readings alone tell it"


def test_the_cloud_remembers_it_over_a_restart() -> None:
    known = EpochState(Marks(9), bytes(32), refused=5_000, ended=(Ended(1, 9, 4, 3, 2), Ended(2, 8, 0, 0, 0)))
    state = replace(first("journal"), devices={("pi-7", 3): known})
    assert from_bytes(to_bytes(state)).devices["pi-7", 3] == known
