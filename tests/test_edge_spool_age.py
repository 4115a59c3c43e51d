"""Nothing stays longer than `max_days` and a stated bound more, however seldom a device measures."""

from pathlib import Path

import pytest
from edge_support import TIME_MS, new_spool, sample
from test_edge_spool_bounds import assert_declared_truly, fill
from test_thinning import Cloud, payloads_of, thinned_spool

from pledgewatch_cloud.decide.admission import EpochState
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.spool.age import CLOSED_FROM, PART, Ages
from pledgewatch_edge.spool.file import status
from pledgewatch_edge.spool.spool import Limits, Spool
from pledgewatch_wire.marks import Marks
from pledgewatch_wire.reading import Clock, Reading

HOUR_MS = 3_600_000
DAY_H = 24


class World:
    """The hours that go by, and a clock that counts them; it begins anew with each start of the computer."""

    def __init__(self) -> None:
        self.hour = 0.0
        self.begun_hour = 0.0

    def monotonic(self) -> float:
        return (self.hour - self.begun_hour) * 3_600

    def sample(self, *, clock: int = Clock.GPS, ahead_h: float = 0.0, is_urgent: bool = False) -> Sample:
        at_ms = TIME_MS + round((self.hour + ahead_h) * HOUR_MS)
        return sample(1, clock=clock)._replace(measured_at_ms=at_ms, is_urgent=is_urgent)

    def oldest_h(self, spool: Spool) -> float:
        """How old the oldest is that is not urgent, but for the one with which it is told what was dropped."""
        urgent = {one.sequence for one in spool.read(0, 10**6, urgent=True)}
        ages = [
            self.hour - (one.measured_at_ms - TIME_MS) / HOUR_MS
            for one in spool.read(0, 10**6)
            if one.sequence not in urgent
        ]
        return sorted([0.0, 0.0, *ages])[-2]


def spool_files(spool: Spool) -> list[Path]:
    """The segments."""
    return sorted(spool._folder.glob("*.log"))


@pytest.mark.parametrize(
    ("every_h", "max_days"),
    [(6, 12), (12, 30), (1, 2), (6, 2), (24, 2), (72, 30)],
)
def test_a_device_that_measures_seldom_keeps_nothing_for_longer(tmp_path: Path, every_h: float, max_days: int) -> None:
    world = World()
    limits = Limits(2**26, 60, 1e9, age_s=max_days * 86_400)
    longest_h = max_days * DAY_H + max(max_days * DAY_H / PART + every_h, CLOSED_FROM * every_h)
    with new_spool(tmp_path, limits, monotonic=world.monotonic) as spool:
        for number in range(round(2.5 * max_days * DAY_H / every_h) + 2 * CLOSED_FROM):
            world.hour = number * every_h
            spool.append([world.sample(is_urgent=number == 7)])
            assert world.oldest_h(spool) <= longest_h
        assert spool.thinned_total > number / 2
        left = spool.read(0, 10**6)
        assert 8 in {one.sequence for one in left}, "what is urgent stays"
        young = [one for one in left if world.hour - (one.measured_at_ms - TIME_MS) / HOUR_MS <= max_days * DAY_H]
        assert len(young) >= max_days * DAY_H / every_h, "nothing goes before its time"


def test_who_was_off_drops_what_has_become_too_old_once_it_knows_how_long(tmp_path: Path) -> None:
    world = World()
    limits = Limits(2**26, 60, 1e9, age_s=10 * 86_400)
    with new_spool(tmp_path, limits, monotonic=world.monotonic) as spool:
        for number in range(20):
            world.hour = number * 6.0
            spool.append([world.sample()])
    world.hour += 60 * DAY_H
    world.begun_hour = world.hour
    with new_spool(tmp_path, limits, monotonic=world.monotonic) as spool:
        for number in range(6):
            assert world.oldest_h(spool) > 60 * DAY_H, f"{number} readings might all be by a wrong clock"
            spool.append([world.sample()])
            world.hour += 6.0
        assert world.oldest_h(spool) < 2 * DAY_H


@pytest.mark.parametrize(
    ("clock", "ahead_h", "wrong"),
    [(Clock.GPS, 1e5, 4), (Clock.RTC, -1e5, 4), (Clock.GPS, 30.0, 4), (Clock.UNSET, 1e5, 9)],
    ids=["far ahead", "far behind", "ahead", "never set"],
)
def test_some_wrong_moments_age_nothing(tmp_path: Path, clock: int, ahead_h: float, wrong: int) -> None:
    world = World()
    limits = Limits(2**26, 60, 1e9, age_s=10 * 86_400)
    with new_spool(tmp_path, limits, monotonic=world.monotonic) as spool:
        for number in range(20 + wrong):
            world.hour += 1.0
            spool.append([world.sample(clock=clock, ahead_h=ahead_h) if 10 <= number < 10 + wrong else world.sample()])
        assert spool.thinned_total == 0
        assert len(spool_files(spool)) == 1, "and close no segment"
        for _ in range(10 * DAY_H):
            world.hour += 1.0
            spool.append([world.sample()])
        assert spool.thinned_total < 20 + wrong
        for _ in range(2 * DAY_H):
            world.hour += 1.0
            spool.append([world.sample()])
        assert spool.thinned_total >= 20 + wrong - 1, "and keep nothing for longer"


def reading(at_ms: int, clock: int = Clock.GPS) -> Reading:
    return Reading(1, at_ms, clock, sample(1).cells)


def test_a_burst_counts_once_and_two_are_not_enough() -> None:
    world = World()
    ages = Ages(86_400, world.monotonic)
    ages.hear([reading(1_000_000), reading(1_000_500), reading(1_059_999)])
    assert ages.now_ms() is None
    ages.hear([reading(1_060_000)])
    assert ages.now_ms() is None
    ages.hear([reading(1_120_000)])
    assert ages.now_ms() == 1_060_000
    world.hour = 5.0
    assert ages.now_ms() == 1_060_000 + 5 * HOUR_MS
    assert Ages(0, world.monotonic).too_old_ms() is None


AGED = Limits(2**26, 60, 1e9, age_s=3 * 86_400)


def test_what_has_become_one_is_told_to_the_cloud_whatever_it_had_heard_before(tmp_path: Path) -> None:
    spool, book = thinned_spool(tmp_path, 1_500, AGED)
    with spool:
        cloud = Cloud(book)
        heard = list(payloads_of(spool))
        for payload in heard[:3]:
            assert not cloud.take(payload).refused
        for _ in range(3):
            fill(spool, 1_000, urgent_every=700)
            assert len(spool.thinned(1, spool.head_sequence)) <= 2
            (payload, *_) = payloads_of(spool)
            assert not cloud.take(payload).refused
        for payload in payloads_of(spool):
            assert not cloud.take(payload).refused
        known = cloud.known
        assert isinstance(known, EpochState)
        assert (known.marks, known.chain_hash) == (Marks(spool.head_sequence), spool.chain_hash)
        assert len(cloud.leaves) + known.thinned == spool.head_sequence


@pytest.mark.parametrize("again", [1, 2])
def test_whoever_is_killed_while_two_become_one_finds_one_when_it_starts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: int
) -> None:
    class KilledError(Exception):
        pass

    def killed(path: Path, missing_ok: bool = False) -> None:
        raise KilledError(path, missing_ok)

    with new_spool(tmp_path, AGED) as spool:
        monkeypatch.setattr(Path, "unlink", killed)
        with pytest.raises(KilledError):
            fill(spool, 4_000, urgent_every=700)
        monkeypatch.undo()
        head, left = spool.head_sequence, spool.read(0, 10**6)
    assert status(tmp_path)["spooled"] == len(left)
    for _ in range(again):
        with new_spool(tmp_path, AGED) as spool:
            assert (spool.epoch, spool.head_sequence, spool.read(0, 10**6)) == (1, head, left)
            assert spool.spooled_bytes == sum(path.stat().st_size for path in spool_files(spool))
            assert_declared_truly(spool, tmp_path)
    with new_spool(tmp_path, AGED) as spool:
        fill(spool, 2_000, urgent_every=700)
        assert_declared_truly(spool, tmp_path)
