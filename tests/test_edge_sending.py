"""What goes next: alarms, what is live, the backlog, by a clock that is set by hand."""

import json
import random
from pathlib import Path

import pytest
from edge_support import new_spool, sample, samples, true_word
from test_edge_spool_bounds import all_of, fill
from test_thinning import Cloud, thinned_spool

from pledgewatch_cloud.decide.admission import EpochState, committed_of, named_up_to
from pledgewatch_edge.budget import BUDGET_FILE, Budget, budget_status, on_the_wire
from pledgewatch_edge.config import DAY_S, UplinkSettings
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.sending import Sending
from pledgewatch_edge.spool import contents as spool_contents
from pledgewatch_edge.spool.log import Run, payload_of
from pledgewatch_edge.spool.spool import Limits, Spool
from pledgewatch_edge.window import Lane
from pledgewatch_wire.codec import Committed, Payload, decode
from pledgewatch_wire.marks import Marks

TOPIC = "pw/1/harbour-line/cont-0417/up"


def urgent(number: int) -> Sample:
    return sample(number)._replace(is_urgent=True)


class Bench:
    """A spool and what is sent of it, with a clock."""

    def __init__(self, folder: Path, spool: Spool, bytes_per_day: int = 0, **named: float) -> None:
        self.spool, self.now = spool, 0.0
        folder.mkdir(exist_ok=True)
        terms = {"readings_per_payload": 10, "in_flight_readings": 200, "bytes_per_day": bytes_per_day} | named
        self.budget = Budget(folder, bytes_per_day, monotonic=lambda: self.now, wall=lambda: 1_000_000.0 + self.now)
        self.sending = Sending(UplinkSettings(**terms), spool, self.budget, TOPIC, lambda: self.now)  # type: ignore[arg-type]
        self.sending.begin(0)

    def one(self) -> tuple[Lane, int, int] | None:
        """What goes next: its lane, first and last."""
        found = self.sending.next()
        if found is None:
            return None
        payload = decode(found.data)
        return found.lane, payload.first_sequence, payload.last_sequence

    def all(self) -> list[tuple[Lane, int, int]]:
        """All that goes now."""
        found = []
        while (one := self.one()) is not None:
            found.append(one)
        return found


def test_alarms_go_first_then_what_is_live_then_the_backlog_and_nothing_twice(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        spool.append([urgent(n) if n in {50, 51, 120} else sample(n) for n in range(1, 201)])
        bench = Bench(tmp_path, spool)
        assert bench.all() == [
            (Lane.URGENT, 50, 51),
            (Lane.URGENT, 120, 120),
            (Lane.LIVE, 191, 200),
            (Lane.BACKLOG, 1, 49),
            (Lane.BACKLOG, 52, 119),
            (Lane.BACKLOG, 121, 190),
        ]


def test_what_is_new_overtakes_a_backlog_that_is_going_out(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(200))
        bench = Bench(tmp_path, spool)
        assert [bench.one(), bench.one()] == [(Lane.LIVE, 191, 200), (Lane.BACKLOG, 1, 80)]
        spool.append([*samples(3, 201), urgent(204)])
        assert bench.one() == (Lane.LIVE, 201, 204), "an alarm goes with what is live where one payload holds both"
        spool.append([*samples(15, 205), urgent(220)])
        assert bench.one() == (Lane.URGENT, 220, 220), "and before it where not"
        assert bench.all() == [
            (Lane.LIVE, 205, 214),
            (Lane.LIVE, 215, 219),
            (Lane.BACKLOG, 81, 160),
            (Lane.BACKLOG, 161, 190),
        ]


def test_a_short_outage_is_made_up_in_order(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(40))
        assert [lane for lane, _, _ in Bench(tmp_path, spool).all()] == [Lane.LIVE] * 4


def test_an_alarm_that_was_lost_goes_once_more_and_first(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        spool.append([urgent(n) if n in {50, 51, 120} else sample(n) for n in range(1, 201)])
        bench = Bench(tmp_path, spool)
        assert [bench.one() for _ in range(4)] == [
            (Lane.URGENT, 50, 51),
            (Lane.URGENT, 120, 120),
            (Lane.LIVE, 191, 200),
            (Lane.BACKLOG, 1, 49),
        ]
        bench.sending.hear(true_word(bench.spool, 0, ((120, 120),)), 0)
        assert bench.one() == (Lane.URGENT, 50, 51), "lost: a later one of the same connection is there"


def test_a_gap_that_was_left_on_purpose_is_no_loss_and_what_was_lost_goes_once_more(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(300))
        bench = Bench(tmp_path, spool)
        assert [bench.one() for _ in range(3)] == [
            (Lane.LIVE, 291, 300),
            (Lane.BACKLOG, 1, 80),
            (Lane.BACKLOG, 81, 160),
        ]
        bench.sending.hear(true_word(bench.spool, 0, ((291, 300),)), 0)
        assert (bench.one(), bench.sending.resends) == (None, 0), "the window of the backlog is full"
        bench.sending.hear(true_word(bench.spool, 0, ((81, 160), (291, 300))), 0)
        assert (bench.one(), bench.sending.resends) == ((Lane.BACKLOG, 1, 80), 1)
        assert bench.one() == (Lane.BACKLOG, 161, 240)
        # What the cloud refuses never lands: it is not sent again with each word.
        bench.sending.hear(true_word(bench.spool, 0, ((81, 240), (291, 300))), 0)
        assert (bench.one(), bench.sending.resends) == ((Lane.BACKLOG, 241, 290), 1)
        bench.now += 61.0
        bench.sending.hear(true_word(bench.spool, 0, ((81, 300),)), 0)
        assert (bench.one(), bench.sending.resends) == ((Lane.BACKLOG, 1, 80), 2)


def test_an_alarm_opens_the_gate_of_send_every_s(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        bench = Bench(tmp_path, spool, send_every_s=900.0)
        assert bench.one() is None
        spool.append(samples(3))
        assert bench.one() is None
        spool.append([urgent(4)])
        assert bench.one() == (Lane.LIVE, 1, 4)
        spool.append(samples(1, 5))
        assert bench.one() is None
        bench.now = 900.0
        assert bench.one() == (Lane.LIVE, 5, 5)


def test_a_connection_after_a_crash_goes_on_where_the_cloud_stands(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(500))
        bench = Bench(tmp_path, spool)
        assert len(bench.all()) == 3
        bench.sending.hear(true_word(bench.spool, 80, ((491, 500),)), 0)
    with new_spool(tmp_path) as spool:
        bench = Bench(tmp_path, spool)
        bench.sending.hear(true_word(bench.spool, 160, ((491, 500),)), 0)
        assert bench.all() == [(Lane.BACKLOG, 161, 240), (Lane.BACKLOG, 241, 320)]


def test_a_word_is_wanted_when_a_backlog_has_gone_out_or_its_window_fills(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(150))
        bench = Bench(tmp_path, spool, in_flight_readings=1_000)
        wanted = []
        while (one := bench.sending.next()) is not None:
            wanted.append(decode(one.data).committed_wanted)
        assert wanted == [False, False, True]


class Words:
    """A cloud that has taken some readings of a spool, and what it says one word after the other."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._after = 0
        self.marks = Marks()

    def take(self, payload: Payload) -> None:
        """Have its readings on the disk."""
        self.marks = self.marks.add(payload.first_sequence, payload.last_sequence)

    def word(self) -> Committed:
        """The next."""
        leaves = tuple((last, bytes(32)) for _, last in self.marks.ranges)
        said = committed_of(self._spool.epoch, EpochState(self.marks, b"", leaves=leaves), self._after)
        if not said.names_all:
            self._after = named_up_to(said, self._after)
        return true_word(self._spool, said.contiguous, said.ranges)


def alarms_before_a_backlog(spool: Spool, gaps: int) -> None:
    for number in range(gaps):
        spool.append([*samples(10, 20 * number + 1), urgent(20 * number + 11)])


def test_alarms_ahead_of_a_backlog_that_waits_are_sent_once_more_at_most_until_the_device_has_heard_of_each(
    tmp_path: Path,
) -> None:
    with new_spool(tmp_path) as spool:
        alarms_before_a_backlog(spool, 200)
        bench = Bench(tmp_path, spool, 4_000, in_flight_readings=2_000)
        cloud, sent = Words(spool), []
        for _ in range(6):
            sent.append(0)
            while (one := bench.sending.next()) is not None:
                cloud.take(decode(one.data))
                sent[-1] += one.lane is Lane.URGENT
            bench.sending.hear(cloud.word(), 100)
            assert bench.sending.next() is None, "what a word does not name is not lost"
            bench.sending.begin(1_000)
        assert len(cloud.marks.ranges) > 150
        assert sent == [199, 136, 73, 10, 0, 0]
        assert bench.sending.resends == 0


def test_after_a_restart_a_new_alarm_waits_for_none_of_which_the_device_has_not_heard_yet(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        alarms_before_a_backlog(spool, 300)
        bench, cloud = Bench(tmp_path, spool, 1, in_flight_readings=1_000), Words(spool)
        while (one := bench.sending.next()) is not None:
            cloud.take(decode(one.data))
        bench.sending.hear(cloud.word(), 0)
    with new_spool(tmp_path) as spool:
        head = spool.head_sequence
        spool.append([urgent(head + 1)])
        bench, cloud._spool = Bench(tmp_path, spool, 1, in_flight_readings=100), spool
        bench.sending.hear(cloud.word(), 0)
        doubtful = [one for one in range(11, head, 11) if one not in spool.committed]
        assert len(doubtful) > 200
        sent = bench.all()
        assert sent[0][1:] == (head + 1, head + 1), "together with what is live, of which there is nothing else"
        assert sent[1:] == [(Lane.URGENT, one, one) for one in doubtful[:50]], "half of the window"
        for number in range(2, 40):
            spool.append([urgent(head + number)])
            assert bench.all() == [(Lane.LIVE, head + number, head + number)]
        others = set[int]()
        for _ in range(5):
            bench.sending.hear(cloud.word(), 0)
            others |= {one for _, one, _ in bench.all()}
        assert others < {*doubtful}
        assert all(one in spool.committed for one in doubtful), "it has heard of each"


def test_of_many_alarms_the_newest_goes_first_and_a_new_one_before_those_of_an_outage_and_none_starves(
    tmp_path: Path,
) -> None:
    with new_spool(tmp_path) as spool:
        alarms_before_a_backlog(spool, 300)
        spool.append(samples(30, 6_000))
        bench, cloud = Bench(tmp_path, spool, 1, in_flight_readings=200), Words(spool)
        sent, new, asked = list[int](), 0, list[bool]()
        while len(sent) < 300:
            out = bench.sending.next()
            if out is None or out.lane is not Lane.URGENT:
                if out is not None:
                    cloud.take(decode(out.data))
                assert asked[-1], "half of the window is full, so it was asked what has come"
                bench.sending.hear(cloud.word(), 0)
                continue
            payload = decode(out.data)
            cloud.take(payload)
            asked.append(payload.committed_wanted)
            sent.append(payload.first_sequence)
            if len(sent) % 10 == 1:
                spool.append([urgent(spool.head_sequence + 1)])
                out = bench.sending.next()
                assert out is not None
                payload = decode(out.data)
                cloud.take(payload)
                assert payload.last_sequence == spool.head_sequence, "before all others"
                new += 1
        assert sent == [11 * 300, *range(11, 11 * 300, 11)], "the newest, then the oldest first, each once"
        assert new == 30
        assert sum(asked) < 10, "a word costs more than seven alarms"
        assert asked[-1], "the last of them asks what has come"


def test_of_a_long_run_of_alarms_the_newest_piece_goes_first(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        alarms_before_a_backlog(spool, 10)
        spool.append([*samples(10, 300), *(urgent(number) for number in range(310, 335)), *samples(60, 400)])
        sent = [(first, last) for lane, first, last in Bench(tmp_path, spool).all() if lane is Lane.URGENT]
        assert sent[:4] == [(136, 145), (11, 11), (22, 22), (33, 33)], "ten to a payload"
        assert sent[10:] == [(110, 110), (121, 130), (131, 135)]


def test_where_the_newest_alarm_goes_with_what_is_live_the_others_follow_the_oldest_first(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        alarms_before_a_backlog(spool, 10)
        assert Bench(tmp_path, spool).all()[:3] == [
            (Lane.LIVE, 101, 110),
            (Lane.URGENT, 11, 11),
            (Lane.URGENT, 22, 22),
        ]


def test_alarms_that_stand_alone_ask_for_a_word_at_half_of_the_window_and_at_all_of_it(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        alarms_before_a_backlog(spool, 300)
        spool.append(samples(60, 6_000))
        bench = Bench(tmp_path, spool, in_flight_readings=100)

        def asked() -> list[bool]:
            """Of the alarms that go now, whether they ask for a word."""
            gone = []
            while (one := bench.sending.next(with_backlog=False)) is not None:
                gone += [decode(one.data).committed_wanted] if one.lane is Lane.URGENT else []
            return gone

        assert asked() == [*[False] * 49, True], "those of an outage have half of it"
        news = []
        for number in range(50):
            spool.append([*samples(60, 10_000 + 200 * number), urgent(10_060 + 200 * number), *samples(60, 10_061)])
            news += asked()
        assert news == [*[False] * 49, True]


def test_an_alarm_costs_one_frame_to_be_sent_and_not_as_many_as_a_payload_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[Run] = []

    def counted(run: Run) -> Payload:
        decoded.append(run)
        return payload_of(run)

    monkeypatch.setattr(spool_contents, "payload_of", counted)
    with new_spool(tmp_path) as spool:
        alarms_before_a_backlog(spool, 200)
        for number in range(60):
            spool.append(samples(1, 5_000 + number))  # each in a frame of its own, all of them live
        bench = Bench(tmp_path, spool, 1, readings_per_payload=60, in_flight_readings=1_000)
        alarms = 0
        decoded.clear()
        while (one := bench.sending.next()) is not None and one.lane is Lane.URGENT:
            alarms += 1
        assert alarms == 200
        assert len(decoded) < 2 * alarms, "what is live was decoded as well, once or twice"


@pytest.mark.parametrize("gaps", [5, 100])
def test_a_word_is_asked_for_until_the_cloud_has_a_reading_beyond(tmp_path: Path, gaps: int) -> None:
    """As the trial of settings from afar does, also where the cloud has more ranges than a word names."""
    with new_spool(tmp_path) as spool:
        alarms_before_a_backlog(spool, gaps)
        bench, cloud = Bench(tmp_path, spool, 1, readings_per_payload=1), Words(spool)

        def asked() -> list[bool]:
            """Of what goes now, whether it asks for a word."""
            gone = []
            while (one := bench.sending.next()) is not None:
                cloud.take(decode(one.data))
                gone.append(decode(one.data).committed_wanted)
            return gone

        asked()
        head = spool.head_sequence
        bench.sending.want_word(head)
        bench.sending.hear(cloud.word(), 0)
        assert spool.committed.newest == head
        for number in (1, 2):
            spool.append([urgent(head + number)])
            assert asked() == [True], "each, until it is heard of"
        bench.sending.hear(cloud.word(), 0)
        assert spool.committed.newest == head + 2
        spool.append([urgent(head + 3)])
        assert asked() == [False]


@pytest.mark.parametrize("seed", range(2))
def test_out_of_order_with_thinning_all_is_told_in_the_end(tmp_path: Path, seed: int) -> None:
    """Alarms and what is live before stretches of which much was dropped, with loss and reconnections."""
    spool, book = thinned_spool(tmp_path, 2_600, Limits(80_000, 60, 1e9, thin_to_s=43_200.0))
    dice = random.Random(seed)
    with spool:
        assert spool.thinned_total > 500
        cloud, bench = Cloud(book), Bench(tmp_path, spool, in_flight_readings=400)
        left = {one.sequence for one in all_of(spool)}
        sent: list[Payload] = []
        for turn in range(5_000):
            loss = 0.1 if turn < 100 else 0.0
            out = bench.sending.next()
            if out is not None:
                sent.append(decode(out.data))
                if dice.random() >= loss:
                    assert not cloud.take(sent[-1]).refused
            if out is None or dice.random() < 0.1:
                known = cloud.devices.get(("cont-0417", 1))
                bench.sending.hear(committed_of(1, known), 0)  # type: ignore[arg-type]
            if dice.random() < (0.02 if turn < 100 else 0.002):
                bench.sending.begin(0)
            bench.now += 1.0
            if out is None and not spool.spooled:
                break
        assert {key[2] for key in cloud.leaves} == left
        assert cloud.known.marks.contiguous == spool.head_sequence  # type: ignore[attr-defined]
        assert cloud.known.thinned == spool.head_sequence - len(left)  # type: ignore[attr-defined]
        assert cloud.known.chain_hash == spool.chain_hash  # type: ignore[attr-defined]


def test_a_stretch_is_told_though_its_last_reading_had_come_before_it_was_dropped(tmp_path: Path) -> None:
    spool, book = thinned_spool(tmp_path, 1_024, Limits(80_000, 60, 1e9, thin_to_s=43_200.0))
    with spool:
        cloud, bench = Cloud(book), Bench(tmp_path, spool, in_flight_readings=400)
        for first in (500, 1_015):
            cloud.take(Payload(1, tuple(spool.read(first - 1, 10))))
        bench.sending.hear(committed_of(1, cloud.known), 0)  # type: ignore[arg-type]
        fill(spool, 1_600)
        assert spool.thinned_total > 900
        bench.sending.begin(0)
        while (out := bench.sending.next()) is not None:
            assert not cloud.take(decode(out.data)).refused
            bench.sending.hear(committed_of(1, cloud.known), 0)  # type: ignore[arg-type]
        assert cloud.known.marks.contiguous == spool.head_sequence  # type: ignore[attr-defined]
        assert cloud.known.thinned == spool.head_sequence - len(cloud.leaves)  # type: ignore[attr-defined]
        assert spool.thinned_total == cloud.known.thinned, "what the cloud has is no loss"  # type: ignore[attr-defined]


def test_a_stretch_that_an_alarm_ends_is_told_though_the_alarm_has_gone_by_itself(tmp_path: Path) -> None:
    """The alarm is passed over by the backlog; one word comes, once nothing is left to be sent."""
    spool, book = thinned_spool(tmp_path, 1_023, Limits(80_000, 60, 1e9, thin_to_s=43_200.0))
    with spool:
        spool.append([urgent(1_024)])
        fill(spool, 1_000)
        assert [one.last for one in spool.thinned(1, 3_000)] == [1_024]
        cloud, bench = Cloud(book), Bench(tmp_path, spool, in_flight_readings=4_000)
        sent = []
        while (out := bench.sending.next()) is not None:
            sent.append(decode(out.data))
            assert not cloud.take(sent[-1]).refused
        assert [one.last_sequence for one in sent if one.thinned] == [1_024]
        assert sent[-1].committed_wanted
        bench.sending.hear(committed_of(1, cloud.known), 0)  # type: ignore[arg-type]
        assert (spool.spooled, spool.dropped, bench.sending.resends) == (0, 0, 0)
        assert sum(len(one.readings) for one in sent) == len(cloud.leaves) + 1, "with the declaration its reading"


def test_what_is_thinned_after_it_has_gone_is_declared_and_the_word_asked_for(tmp_path: Path) -> None:
    with new_spool(tmp_path, Limits(74_000, 60, 1e9, thin_to_s=43_200.0)) as spool:
        fill(spool, 1_024)
        bench = Bench(tmp_path, spool, in_flight_readings=4_000)
        bench.all()
        fill(spool, 20, at_once=10)
        assert spool.dropped > 900
        told = []
        while (out := bench.sending.next()) is not None:
            payload = decode(out.data)
            told.append((payload.last_sequence, bool(payload.thinned), payload.committed_wanted))
        assert told == [(1_034, False, False), (1_044, False, False), (1_024, True, True)]
        bench.sending.hear(true_word(spool, spool.head_sequence), 0)
        assert (spool.spooled, spool.dropped) == (0, 0)


def test_what_the_cloud_has_said_is_not_sent_again_though_its_mark_is_of_a_reading_that_was_dropped(
    tmp_path: Path,
) -> None:
    """A short link has brought 1,015 to 1,030, an alarm among them; its word was not heard, and 1,030 is dropped."""
    spool, book = thinned_spool(tmp_path, 1_023, Limits(60_000, 60, 1e9, thin_to_s=43_200.0))
    with spool:
        spool.append([urgent(1_024)])
        fill(spool, 6)
        cloud = Cloud(book)
        cloud.take(Payload(1, tuple(spool.read(1_014, 16))))
        fill(spool, 4_000)
        assert not {1_020, 1_030} & {one.sequence for one in all_of(spool)}
        bench = Bench(tmp_path, spool, in_flight_readings=400)
        sent: list[int] = []
        for _ in range(100):
            bench.sending.hear(committed_of(1, cloud.known), 0)  # type: ignore[arg-type]
            for _ in range(5):
                if (out := bench.sending.next()) is not None:
                    payload = decode(out.data)
                    assert not cloud.take(payload).refused
                    sent += [one.sequence for one in payload.readings]
            bench.now += 70.0
        assert (spool.spooled, spool.dropped, bench.sending.resends) == (0, 0, 0)
        assert sent.count(1_024) == 1, "with its declaration; the cloud has said that it is there"
        assert len(sent) == len({*sent}), "nothing twice"


def test_the_budget_holds_the_backlog_back_and_nothing_else(tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(1_000))
        bench = Bench(tmp_path, spool, bytes_per_day=3_000, in_flight_readings=2_000, resend_after_s=DAY_S)
        sent = bench.all()
        backlog = [one for one in sent if one[0] == Lane.BACKLOG]
        assert 0 < len(backlog) < 12
        assert bench.sending.is_held
        assert bench.sending.held_back() == 1_000 - 10 - 80 * len(backlog)
        assert budget_status(tmp_path, 3_000)["held_back"] == bench.sending.held_back()
        spool.append([urgent(1_001)])
        assert bench.one() == (Lane.LIVE, 1_001, 1_001), "an alarm always goes"
        spool.append(samples(1, 1_002))
        assert bench.one() == (Lane.LIVE, 1_002, 1_002), "and so does what is live"
        assert bench.one() is None
        wait_s = bench.sending.patience_s()
        assert wait_s <= 60.0
        bench.now += DAY_S / 2
        more = [one for one in bench.all() if one[0] == Lane.BACKLOG]
        assert more[0][1] == backlog[-1][2] + 1, "on from where it stopped"
        assert abs(len(more) - len(backlog) / 2) <= 1.5, "half a day's bytes"


def test_the_budget_survives_a_restart_and_a_clock_that_goes_wrong(tmp_path: Path) -> None:
    def opened(wall_s: float, now: float = 0.0) -> Budget:
        return Budget(tmp_path, 64_000, monotonic=lambda: now, wall=lambda: wall_s)

    budget = opened(1_000_000.0)
    assert budget.left == 64_000, "the first day is whole"
    budget.spend(60_000)
    assert opened(1_000_000.0).left == 4_000
    assert opened(1_000_000.0 + DAY_S / 4).left == 20_000, "it fills while nothing runs"
    assert opened(0.0).left == 4_000, "a clock that has gone back fills nothing"
    assert opened(9e9).left == 64_000, "one that has leapt ahead a day at most"
    budget.spend(999)
    assert json.loads((tmp_path / BUDGET_FILE).read_text())["left"] == 4_000, "it is written in sixty-fourths"
    budget.spend(500_000)
    assert budget.left == -64_000, "what is live may cost a day more, and no more than that"
    assert budget.wait_s(100) == pytest.approx(DAY_S * 64_100 / 64_000)
    assert budget.wait_s(10**9) == pytest.approx(2 * DAY_S), "what costs more than a day waits for a day"
    (tmp_path / BUDGET_FILE).write_text("torn")
    assert opened(1_000_000.0).left == 0.0


def test_what_a_message_costs_is_what_goes_over_the_link() -> None:
    head = 2 + 2 + len(TOPIC) + 2 + 1
    answer = 4 + 62
    assert on_the_wire(TOPIC, 36) == head + 36 + 62 + answer
    assert on_the_wire(TOPIC, 3_000) == head + 1 + 3_000 + 3 * 62 + answer
