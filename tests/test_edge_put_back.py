"""A cloud that was put back from an older copy lacks what it had said to be committed, and what a device does then."""

import asyncio
from pathlib import Path

import pytest
from edge_support import DEVICE, new_spool, sample, samples, station, true_word
from test_thinning import Cloud, thinned_spool

from pledgewatch_cloud.api.completeness import Completeness, completeness
from pledgewatch_cloud.decide import admission
from pledgewatch_cloud.decide.admission import EpochState, committed_of
from pledgewatch_edge.budget import Budget
from pledgewatch_edge.config import UplinkSettings
from pledgewatch_edge.identity import raise_epoch
from pledgewatch_edge.sending import Sending
from pledgewatch_edge.spool import rescue as spool_rescue
from pledgewatch_edge.spool.answers import Forgotten
from pledgewatch_edge.spool.errors import SpoolCorruptError
from pledgewatch_edge.spool.file import status
from pledgewatch_edge.spool.log import SEGMENT_READINGS
from pledgewatch_edge.spool.spool import Limits
from pledgewatch_edge.uplink import Uplink
from pledgewatch_wire import codec
from pledgewatch_wire.codec import MAX_RANGES, Committed, Status, decode, encode_committed

LIMITS = Limits(2**26, 60, 1e9)


class Copied(Cloud):
    """A cloud that can be put back to what it was."""

    def copy(self) -> tuple[dict[tuple[str, int], object], dict[tuple[str, int, int], bytes]]:
        return dict(self.devices), dict(self.leaves)

    def put_back(self, kept: tuple[dict[tuple[str, int], object], dict[tuple[str, int, int], bytes]]) -> None:
        self.devices, self.leaves = dict(kept[0]), dict(kept[1])

    def word(self, epoch: int) -> Committed:
        known = self.devices.get((DEVICE, epoch))
        assert known is None or isinstance(known, EpochState)
        return committed_of(epoch, known)


class Bench:
    """A device that measures, sends and hears; the cloud says its word after each round."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spool, book = thinned_spool(folder, 0, LIMITS)
        self.cloud = Copied(book)
        self.refused: set[str] = set()
        self._connect()

    def _connect(self) -> None:
        self.connect(UplinkSettings(readings_per_payload=500, in_flight_readings=4_000))

    def connect(self, settings: UplinkSettings) -> None:
        self.sending = Sending(settings, self.spool, Budget(self.folder, 0), "t", lambda: 0.0)
        self.sending.begin(0)

    def measure(self, count: int) -> None:
        self.spool.append(samples(count, self.spool.measured_total + 1))
        self.spool.tell_refused()

    def send(self, at_most: int = 1_000) -> None:
        for _ in range(at_most):
            if (out := self.sending.next()) is None:
                break
            self.refused |= {one.reason.value for one in self.cloud.take(decode(out.data)).refused}

    def hear(self, word: Committed | None = None) -> Forgotten | None:
        """None where the spool had to be opened anew for it."""
        try:
            forgotten = self.sending.hear(word or self.cloud.word(self.spool.epoch), 0)
        except SpoolCorruptError:
            self.open_again()
            return None
        return forgotten

    def open_again(self) -> None:
        self.spool.close()
        self.spool = new_spool(self.folder, LIMITS)
        self._connect()

    def go(self, count: int) -> None:
        self.measure(count)
        self.send()
        self.hear()

    def found(self) -> Completeness:
        spool = self.spool
        epochs = {epoch: one for (_, epoch), one in self.cloud.devices.items() if isinstance(one, EpochState)}
        return completeness(
            epochs,
            Status(True, spool.epoch, spool.head_sequence, spool.spooled, "", spool.dropped),  # noqa: FBT003
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize("is_empty", [False, True], ids=["older", "empty"])
@pytest.mark.parametrize("starts_again", [False, True], ids=["", "and the agent is started again"])
def test_a_cloud_that_lacks_what_was_let_go_is_sent_a_new_epoch_and_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, *, is_empty: bool, starts_again: bool
) -> None:
    monkeypatch.setattr(admission, "MAX_BEYOND_GAP", 6_000)
    if not is_empty:
        for _ in range(10):
            bench.go(500)
    kept = bench.cloud.copy()
    had = 0 if is_empty else bench.spool.measured_total
    for _ in range(7):
        bench.go(500)
    bench.cloud.put_back(kept)
    before = bench.spool.measured_total
    if starts_again:
        bench.open_again()
    for _ in range(20):
        bench.go(500)
    assert (bench.spool.epoch, bench.refused) == (2, set())
    assert (bench.spool.spooled, bench.spool.broken_total) == (0, 0)
    known = bench.cloud.devices[DEVICE, 2]
    assert isinstance(known, EpochState)
    assert (known.marks.contiguous, known.marks.ranges) == (bench.spool.head_sequence, ())
    assert known.signed_sequence > 9_000
    found = bench.found()
    [told] = known.ended
    gone = told.head_sequence - told.saved
    first_here = min(int(path.name[5:21]) for path in (bench.folder / "spool.broken-1").glob("*.log"))
    assert (told.lost, told.thinned, gone) == (0, 0, first_here - 1), "all that was in a segment goes on"
    assert (found.lost, found.unsure) == (min(gone, before) - had, None), "what was let go, and no more than that"
    assert bench.spool.measured_total >= before + 10_000


@pytest.mark.parametrize("is_joined", [False, True], ids=["thinned", "joined"])
@pytest.mark.parametrize("begins", ["a start", "a new epoch", "a new epoch, segment by segment"])
def test_that_it_was_put_back_is_known_after_a_start_though_the_segment_with_the_word_was_thinned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begins: str, *, is_joined: bool
) -> None:
    """An older segment that is not written anew, for all in it is urgent, still has the word before."""
    with new_spool(tmp_path, LIMITS) as spool:
        spool.append([one._replace(is_urgent=True) for one in samples(SEGMENT_READINGS, 1)])
        spool.forget(true_word(spool, 900))
        spool.append(samples(SEGMENT_READINGS - 100, 2_000))
        spool.forget(true_word(spool, 100))
        spool.append(samples(1, 4_000))
        head = spool.head_sequence
        assert spool.forget(true_word(spool, 100, ((head, head),))).again == (101, 900)
        for number in range(5_000, 7_500, 100):
            spool.append(samples(100, number))
        if is_joined:
            spool.keep_within(LIMITS.bytes_max, 1e9, 10_000)
            for number in range(100_000, 102_000, 100):
                spool.append([sample(number)])
        else:
            spool.keep_within(10_000, 1e9, 0)
            spool.append([sample(8_000)])
        assert (spool.thinned_total > 1_000, spool.committed.contiguous) == (True, 100)
        first, with_the_word, following, *_ = spool._segments
        assert (first.turns, first.dropped, with_the_word.head.first) == (3 if is_joined else 2, 0, first.last + 1)
        assert with_the_word.dropped > 0
        assert (following.head.first > 4_000) is is_joined
        waiting = spool.spooled, len(spool.read(0, 10_000, urgent=True))
    if begins == "a start":
        with new_spool(tmp_path, LIMITS) as spool:
            assert (spool.epoch, spool.committed.contiguous) == (1, 100)
        return
    raise_epoch(tmp_path, 1)
    if "segment" in begins:
        monkeypatch.setattr(spool_rescue, "_has_room_for_both", lambda *_: False)
    with new_spool(tmp_path, LIMITS) as spool:
        assert (spool.epoch, spool.spooled, len(spool.read(0, 10_000, urgent=True))) == (3, *waiting)


def test_what_it_lacks_and_is_here_yet_it_is_sent_again_in_the_same_epoch(bench: Bench) -> None:
    bench.go(100)
    kept = bench.cloud.copy()
    bench.go(20)
    bench.cloud.put_back(kept)
    bench.go(5)
    assert bench.spool.spooled == 0, "one word proves nothing"
    bench.measure(5)
    bench.send()
    forgotten = bench.hear()
    assert forgotten is not None
    assert (forgotten.again, bench.spool.spooled) == ((101, 125), 20)
    assert status(bench.folder)["committed_contiguous"] == 100
    bench.open_again()
    assert (bench.spool.epoch, bench.spool.committed.contiguous, bench.spool.spooled) == (1, 100, 30)
    bench.go(5)
    bench.hear()
    assert (bench.spool.spooled, bench.found().words) == (0, "received 135 of 135, thinned 0, lost 0")


def test_it_is_sent_again_on_the_connection_there_is(bench: Bench) -> None:
    bench.go(100)
    kept = bench.cloud.copy()
    bench.go(20)
    bench.cloud.put_back(kept)
    bench.sending._has_doubted, bench.sending._untaken[20] = True, 3
    for _ in range(3):
        bench.go(5)
    assert (bench.sending._has_doubted, bench.sending._untaken) == (False, {}), "of the cloud of before"
    bench.hear()
    assert (bench.spool.spooled, bench.found().words) == (0, "received 135 of 135, thinned 0, lost 0")


def test_what_the_cloud_of_before_had_in_ranges_is_sent_again_on_the_connection_there_is(bench: Bench) -> None:
    bench.measure(3_000)
    bench.connect(UplinkSettings(readings_per_payload=50, in_flight_readings=400))
    bench.send(4)
    bench.hear()
    kept = bench.cloud.copy()
    for _ in range(2):
        bench.measure(20)
        bench.send(2)
        bench.hear()
    bench.cloud.put_back(kept)
    for _ in range(12):
        bench.measure(1)
        bench.send()
        bench.hear()
    assert (bench.spool.spooled, bench.found().words) == (0, "received 3,052 of 3,052, thinned 0, lost 0")


def test_a_range_that_the_cloud_lacks_proves_it_too_where_the_contiguous_stays(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(1_000))
        spool.forget(true_word(spool, 100, ((201, 300), (401, 500), (901, 1_000))))
        assert (spool.committed.total, spool.spooled) == (400, 600)
        old = true_word(spool, 100, ((401, 450), (901, 1_000)))
        crowd = [(one, one) for one in range(500, 900, 4)][: MAX_RANGES - 1]
        for number in range(1_001, 1_004):
            spool.append([sample(number)])
            assert spool.forget(old) == Forgotten(0), "it has nothing that was measured since"
            many = true_word(spool, 100, (*crowd, (1_001, number)))
            assert spool.forget(many).again is None, "it cannot name all"
        assert spool.forget(true_word(spool, 120, ((401, 450), (901, 1_003)))).again is None, "nothing new in it"
        spool.append([sample(1_004)])
        word = true_word(spool, 120, ((401, 450), (901, 1_004)))
        assert spool.forget(word._replace(range_marks=())).again is None, "anybody can say that"
        assert spool.forget(word).again == (201, crowd[-1][1]), "what many had named is not there either"
        assert spool.committed == (120, ((401, 450), (901, 1_004)))
        assert spool.spooled == 1_004 - 120 - 50 - 104
    assert status(tmp_path)["committed_contiguous"] == 120
    with new_spool(tmp_path) as spool:
        assert (spool.epoch, spool.committed.contiguous) == (1, 120)


def test_what_follows_on_the_contiguous_is_missing_by_a_word_that_cannot_name_all(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(1_000))
        spool.forget(true_word(spool, 100, ((201, 300),)))
        crowd = [(one, one) for one in range(500, 900, 4)][: MAX_RANGES - 1]
        again = []
        for number in (1_001, 1_002):
            spool.append([sample(number)])
            again.append(spool.forget(true_word(spool, 200, (*crowd, (number, number)))).again)
        assert (again, spool.committed.contiguous) == ([None, (201, 300)], 200)


@pytest.mark.parametrize(
    ("contiguous", "ranges", "said"),
    [(1_500, ((1_961, 2_900), (3_201, 3_600)), 1_960), (2_900, ((3_201, 3_600),), 2_900)],
    ids=["older", "of just before the alarms"],
)
def test_nothing_goes_of_what_the_copy_lacks(
    tmp_path: Path, contiguous: int, ranges: tuple[tuple[int, int], ...], said: int
) -> None:
    """Alarms went first, and were known in a range; what comes to the copy closes the gap on either side of them."""
    with new_spool(tmp_path, LIMITS) as spool:
        for start in range(1, 3_600, 100):
            spool.append([one._replace(is_urgent=2_900 < start < 3_200) for one in samples(100, start)])
        spool.forget(true_word(spool, 1_960, ((2_901, 3_200),)))
        assert [one.head.first for one in spool._segments] == [1_101, 2_201, 3_301]
        for some in (ranges[:-1], ranges):
            spool.forget(true_word(spool, contiguous, some))
        assert (spool.committed, spool.spooled) == ((3_600, ()), 0)
        for start in range(3_601, 4_601, 100):
            spool.append(samples(100, start))
        firsts = [1_101, 2_201, 3_301, 4_401][contiguous > 2_200 :]  # what it has goes
        assert [one.head.first for one in spool._segments] == firsts
        assert status(tmp_path)["committed_contiguous"] == said
        has = (*ranges, (4_601, 4_601))
        spool.append(samples(1, 4_601))
        assert spool.forget(true_word(spool, contiguous, has)).again == (contiguous + 1, 3_600)
        assert spool.committed == (contiguous, has)
        assert spool.spooled == 4_600 - contiguous - sum(last - first + 1 for first, last in ranges)
        assert [one.head.first for one in spool._segments] == firsts
    with new_spool(tmp_path, LIMITS) as spool:
        assert (spool.epoch, spool.committed.contiguous) == (1, contiguous)


def test_a_segment_that_is_full_when_it_is_known_that_the_copy_lacks_it_does_not_go(tmp_path: Path) -> None:
    with new_spool(tmp_path, LIMITS) as spool:
        spool.append(samples(1_000))
        spool.forget(true_word(spool, 1_000))
        assert spool.forget(true_word(spool, 500)) == Forgotten(0)
        for start in range(1_001, 1_401, 100):
            spool.append(samples(100, start))
        assert [one.head.first for one in spool._segments] == [1, 1_101]
        assert spool.forget(true_word(spool, 500, ((1_400, 1_400),))).again == (501, 1_000)
        spool.forget(true_word(spool, 1_400))
        assert [one.head.first for one in spool._segments] == [1_101]


@pytest.mark.parametrize("ranges_max", [MAX_RANGES, 3], ids=["", "and no word names all"])
def test_a_backlog_of_alarms_and_declarations_goes_on_though_the_cloud_is_put_back_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ranges_max: int
) -> None:
    for module in (admission, codec):
        monkeypatch.setattr(module, "MAX_RANGES", ranges_max)
    limits = Limits(80_000, 60, 1e9)
    spool, book = thinned_spool(tmp_path, 0, limits)
    for start in range(0, 20_000, 100):
        spool.append([sample(one)._replace(is_urgent=one % 1_000 == 500) for one in range(start, start + 100)])
    cloud, now = Copied(book), 0.0
    sending = Sending(UplinkSettings(), spool, Budget(tmp_path, 0), "t", lambda: now)
    sending.begin(0)
    kept = cloud.copy()
    for minute in range(40):
        now += 60.0
        spool.append([sample(20_000 + minute)])
        for _ in range(4):
            if (out := sending.next()) is None:
                break
            assert not cloud.take(decode(out.data)).refused
        sending.hear(cloud.word(1), 0)
        if minute == 2:
            assert len(spool.committed.ranges) > 2
            assert spool.committed.contiguous < 2
            cloud.put_back(kept)
    assert (spool.epoch, spool.spooled, spool.dropped) == (1, 0, 0)
    assert cloud.word(1).contiguous == spool.head_sequence


def test_words_of_before_end_nothing_however_late_and_often_they_come(bench: Bench) -> None:
    old: list[Committed] = [bench.cloud.word(1)]
    for _ in range(12):
        bench.go(300)
        bench.measure(300)
        old.append(bench.cloud.word(1))
        bench.measure(7)
        bench.send()
        old.append(bench.cloud.word(1))
        bench.hear()
    for again in range(2):
        for word in (*old, *reversed(old)):
            bench.measure(1)
            bench.send()
            assert bench.hear(word) is not None
        if again == 0:
            bench.open_again()
    bench.go(1)
    assert (bench.spool.epoch, bench.spool.spooled) == (1, 0)
    assert bench.found().lost == 0


def test_old_words_with_ranges_and_one_true_one_between_end_nothing(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        for start in range(1, 5_000, 100):
            spool.append(samples(100, start))
        low = true_word(spool, 1_500, ((4_000, 4_100),))
        spool.forget(true_word(spool, 4_500))
        for _ in range(3):
            assert spool.forget(low) == Forgotten(0), "it has nothing that was measured since"
        spool.append(samples(10, 5_001))
        assert spool.forget(low) == Forgotten(0), "nor now"
        other = true_word(spool, 1_600, ((5_001, 5_005),))
        assert spool.forget(other) == Forgotten(5), "another reading is missing"
        spool.append(samples(10, 5_011))
        spool.forget(true_word(spool, 4_500, ((5_001, 5_010),)))  # as much as is known
        for _ in range(2):
            assert spool.forget(true_word(spool, 1_600, ((5_001, 5_012),))).again is None, "the first again"
        unmarked = true_word(spool, 1_600, ((5_001, 5_012),))._replace(range_marks=())
        spool.append(samples(10, 5_021))
        assert spool.forget(unmarked) == Forgotten(0), "anybody can say that"
        assert spool.forget(true_word(spool, 1_600, ((9_000, 9_010),))) == Forgotten(0), "and that"
        with pytest.raises(SpoolCorruptError, match="up to 4500 and has them up to 1600: it has been put back"):
            spool.forget(true_word(spool, 1_600, ((5_001, 5_022),)))
    with new_spool(tmp_path) as spool:
        assert (spool.epoch, spool.broken_total, spool.measured_total) == (2, 0, 5_030)


async def test_an_uplink_sends_again_what_the_cloud_has_no_more(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(120))
        spool.forget(true_word(spool, 120))
        uplink = Uplink(station(tmp_path, 1), spool)
        for number in (121, 122):
            spool.append([sample(number)])
            word = encode_committed(true_word(spool, 100, ((121, number),)))
            assert await asyncio.wait_for(uplink._hear_committed(word), 60) is None
        sent = uplink._sending.next()
        assert sent is not None
        payload = decode(sent.data)
        assert (payload.first_sequence, payload.last_sequence) == (101, 120)
        assert uplink._sending.next() is None, "nothing but what it lacks"
