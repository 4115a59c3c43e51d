"""How complete a device's readings are, by what is here and what the device says it has."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from brokers import started
from builders import NOON_MS, Device, book_document, temperature
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion
from station import Station, opened

from pledgewatch_cloud.api.completeness import completeness
from pledgewatch_cloud.decide.admission import EpochState
from pledgewatch_cloud.ingest import metrics as metrics_module
from pledgewatch_cloud.ingest.decode import DeviceStatus
from pledgewatch_cloud.ingest.metrics import Metrics
from pledgewatch_wire.codec import Status, encode, encode_status
from pledgewatch_wire.ended import Ended
from pledgewatch_wire.marks import Marks

NOT_SAID = "the device has not said what it holds"
END_UNKNOWN = "how far an epoch that has ended went is not known"
MAY_HAVE_COME = "some of what a broken spool has lost or thinned may have come before"
Ranges = tuple[tuple[int, int], ...]


def epoch(contiguous: int, ranges: Ranges = (), thinned: int = 0, refused: int = 0) -> EpochState:
    return EpochState(Marks(contiguous, ranges), bytes(32), thinned=thinned, refused=refused)


def said(epoch: int, head: int, spooled: int, dropped: int = 0, refused: int = 0) -> Status:
    return Status(True, epoch, head, spooled, "", dropped, 0, refused)  # noqa: FBT003


@pytest.mark.parametrize(
    ("epochs", "status", "words"),
    [
        ({}, None, f"received 0 of 0, thinned 0, 0 missing; {NOT_SAID}"),
        ({1: epoch(8_641)}, said(1, 8_641, 0), "received 8,641 of 8,641, thinned 0, lost 0"),
        ({1: epoch(8_641)}, None, f"received 8,641 of 8,641, thinned 0, 0 missing; {NOT_SAID}"),
        ({1: epoch(8_640, thinned=1_000)}, said(1, 8_640, 0), "received 7,640 of 7,640, thinned 1,000, lost 0"),
        # Thirty days have been measured, the newest sixty are here; a thousand were dropped and are not declared yet.
        # The word is from before the sixty came, and counts them as spooled.
        (
            {1: epoch(0, ((8_581, 8_640),))},
            said(1, 8_640, 7_640, 1_000),
            "received 60 of 7,700, thinned 940, lost 0, still spooled 7,640",
        ),
        # The word is old: more has come since.
        (
            {1: epoch(5_000, ((8_581, 8_700),))},
            said(1, 8_640, 8_640),
            "received 5,120 of 8,700, thinned 0, lost 0, still spooled 3,580",
        ),
        # What is missing and not with the device is lost.
        ({1: epoch(100, ((201, 300),))}, said(1, 300, 40), "received 200 of 300, thinned 0, lost 60, still spooled 40"),
        # Of what came after the word nothing is lost for being missing: it waits behind what is newer, or was measured
        # while the cloud was away.
        (
            {1: epoch(100, ((401, 500), (951, 1_000)))},
            said(1, 100, 0),
            "received 250 of 1,000, thinned 0, lost 0, still spooled 750",
        ),
        # Up to the word it is, and a hole may have both.
        (
            {1: epoch(100, ((301, 400),))},
            said(1, 200, 30, 20),
            "received 200 of 380, thinned 20, lost 50, still spooled 130",
        ),
        # An epoch that has ended sends nothing more; how far it went was not heard.
        (
            {1: epoch(100, ((111, 300),)), 2: epoch(50)},
            said(2, 50, 0),
            f"received 340 of 350, thinned 0, lost at least 10; {END_UNKNOWN}",
        ),
        ({1: epoch(90), 2: epoch(1)}, said(2, 1, 0), f"received 91 of 91, thinned 0; {END_UNKNOWN}"),
        # What it said that it had is lost with it at the least, whatever its spool held.
        (
            {1: epoch(90), 2: epoch(1)},
            said(1, 100, 10),
            f"received 91 of 101, thinned 0, lost at least 10; {END_UNKNOWN}",
        ),
        # A status of an epoch before says nothing of this one.
        (
            {1: epoch(100), 2: epoch(10, ((21, 30),))},
            said(1, 100, 0),
            f"received 120 of 130, thinned 0, still spooled 10; {END_UNKNOWN}",
        ),
        (
            {1: epoch(100, ((111, 300),))},
            None,
            "received 290 of 300, thinned 0, 10 missing; the device has not said what it holds",
        ),
        # What the device could not keep is lost, though no number is missing: by its status, by its readings.
        (
            {1: epoch(100)},
            said(1, 100, 0, refused=5_000),
            "received 100 of 5,100, thinned 0, lost 5,000 (5,000 of them refused by the device)",
        ),
        (
            {1: epoch(100, refused=5_000)},
            said(1, 110, 4, refused=4_000),
            "received 100 of 5,110, thinned 0, lost 5,006 (5,000 of them refused by the device), still spooled 4",
        ),
        (
            {1: epoch(100, refused=7)},
            None,
            f"received 100 of 107, thinned 0, 0 missing, lost at least 7 (7 of them refused by the device); {NOT_SAID}",
        ),
        (
            {1: epoch(90), 2: epoch(1, refused=7)},
            said(2, 1, 0, refused=7),
            f"received 91 of 98, thinned 0, lost at least 7 (7 of them refused by the device); {END_UNKNOWN}",
        ),
        # The count goes on over epochs, also over one that tells nothing; after a card was written anew it is one more.
        (
            {1: epoch(9, refused=40), 2: epoch(9), 3: epoch(9, refused=50), 4: epoch(9, refused=8)},
            said(5, 0, 0, refused=9),
            f"received 36 of 95, thinned 0, lost at least 59 (59 of them refused by the device); {END_UNKNOWN}",
        ),
    ],
)
def test_in_words(epochs: dict[int, EpochState], status: Status | None, words: str) -> None:
    assert completeness(epochs, status).words == words


@pytest.mark.parametrize(
    ("epochs", "heard", "words"),
    [
        ({1: epoch(100, ((111, 300),)), 2: epoch(50)}, [said(1, 300, 0)], "received 340 of 350, thinned 0, lost {} 10"),
        ({1: epoch(90), 2: epoch(50)}, [said(1, 100, 0)], "received 140 of 150, thinned 0, lost {} 10"),
        # What it had dropped and not declared yet is thinned, not lost.
        ({1: epoch(90), 2: epoch(50)}, [said(1, 100, 0, 4)], "received 140 of 146, thinned 4, lost {} 6"),
        # The last will is of when the connection was made.
        ({1: epoch(90), 2: epoch(50)}, [said(1, 100, 0), said(1, 20, 0)], "received 140 of 150, thinned 0, lost {} 10"),
        # Of one epoch nothing has come at all.
        ({2: epoch(50)}, [said(1, 100, 100)], "received 50 of 150, thinned 0, lost {} 100"),
        # The end of one is known, and that of another is not.
        (
            {0: epoch(7), 1: epoch(90), 2: epoch(50)},
            [said(1, 100, 0)],
            "received 147 of 157, thinned 0, lost {} 10",
        ),
    ],
)
def test_how_far_an_epoch_is_known_to_have_gone_is_remembered_when_the_next_begins(
    epochs: dict[int, EpochState], heard: list[Status], words: str
) -> None:
    metrics = Metrics()
    for status in (*heard, said(2, 50, 0)):
        metrics.note(metrics.hear([DeviceStatus("line", "pi-7", status)]))
    found = completeness(epochs, metrics.said["pi-7"], metrics.ends["pi-7"])
    assert found.words == f"{words.format('at least')}; {END_UNKNOWN}"


@pytest.mark.parametrize(
    ("before", "told", "heard", "words"),
    [
        # What was said of epoch 1 is from before 6,000 were measured offline, of which 5,360 are in epoch 2.
        (
            epoch(1_000),
            Ended(1, 7_000, 5_360, 640, 0),
            said(1, 1_000, 0),
            "received 6,361 of 7,001, thinned 0, lost 640",
        ),
        (epoch(1_000), Ended(1, 7_000, 5_360, 640, 0), None, "received 6,361 of 7,001, thinned 0, lost 640"),
        # What was thinned and could not be declared any more is thinned.
        (
            epoch(12_000, thinned=10_506),
            Ended(1, 24_000, 1_529, 1, 10_470),
            said(1, 12_000, 0),
            "received 6,855 of 6,856, thinned 20,976, lost 1",
        ),
        (epoch(1_000), Ended(1, 1_000, 0, 0, 0), None, "received 6,361 of 6,361, thinned 0, lost 0"),
        (None, Ended(1, 7_000, 0, 7_000, 0), None, "received 5,361 of 12,361, thinned 0, lost 7,000"),
        # The device did not know that 2,000 had come. None was lost, or it knows of none that is here.
        (epoch(3_000), Ended(1, 7_000, 6_000, 0, 0), None, "received 8,361 of 8,361, thinned 0, lost 0"),
        (epoch(7_000), Ended(1, 7_000, 5_360, 640, 0), None, "received 12,361 of 12,361, thinned 0, lost 0"),
        (
            epoch(1_000, ((1_201, 1_300),)),
            Ended(1, 7_000, 5_360, 640, 0),
            None,
            f"received 6,461 of 7,101, thinned 0, lost at least 540; {MAY_HAVE_COME}",
        ),
        # A card that was put back knows nothing of what came after it: the cloud has some of that, the status all.
        (
            epoch(900, ((1_001, 1_100),)),
            Ended(1, 900, 0, 0, 0),
            said(1, 1_200, 300),
            "received 6,361 of 6,561, thinned 0, lost 200",
        ),
        # Of 11,000 that were thinned and 1,000 that were saved 2,000 had come, with declarations of 1,800.
        (
            epoch(2_000, thinned=1_800),
            Ended(1, 12_000, 1_000, 0, 11_000),
            None,
            f"received 5,561 of 5,561, thinned 10,800; {MAY_HAVE_COME}",
        ),
        # All had come, and was declared.
        (
            epoch(12_000, thinned=11_000),
            Ended(1, 12_000, 1_000, 0, 11_000),
            None,
            "received 6,361 of 6,361, thinned 11,000, lost 0",
        ),
        # The journal came from an older copy: what the device had let go is lost, whatever it saved.
        (epoch(500), Ended(1, 7_000, 5_000, 0, 1_000), None, "received 5,861 of 6,361, thinned 1,000, lost 500"),
        (
            epoch(500, ((6_901, 7_000),)),
            Ended(1, 7_000, 6_000, 0, 0),
            None,
            "received 5,961 of 6,461, thinned 0, lost 500",
        ),
        # It is lost at the least what the device took to be here, and is not.
        (epoch(900), Ended(1, 1_000, 0, 0, 0), None, "received 6,261 of 6,361, thinned 0, lost 100"),
    ],
)
def test_what_a_device_tells_of_an_epoch_that_is_over_closes_it(
    before: EpochState | None, told: Ended, heard: Status | None, words: str
) -> None:
    epochs = {2: epoch(5_361)._replace(ended=(told,))} | ({1: before} if before else {})
    ends = {1: heard} if heard else {}
    assert completeness(epochs, said(2, 5_361, 0), ends).words == words


@given(
    fates=st.lists(st.tuples(st.sampled_from(["saved", "lost", "thinned"]), st.booleans()), max_size=12),
    committed=st.lists(st.booleans(), max_size=6),
)
def test_what_is_said_of_an_ended_epoch_is_within_what_may_be_and_sure_only_where_that_is_one(
    fates: list[tuple[str, bool]], committed: list[bool]
) -> None:
    """`committed`: which of the numbers that the device knew to be committed are here; a journal that came from an
    older copy lacks some. `fates`: what became of the others, and which of them are here."""
    count = Counter(fate for fate, _ in fates)
    here = [*committed, *(is_here for _, is_here in fates)]
    told = Ended(1, len(here), count["saved"], count["lost"], count["thinned"])
    gone = Counter(fate for fate, is_here in fates if not is_here) + Counter(lost=committed.count(False))
    marks = Marks().add_all((place + 1, place + 1) for place, is_here in enumerate(here) if is_here)
    epochs = {1: EpochState(marks, bytes(32)), 2: epoch(50)._replace(ended=(told,))}
    found = completeness(epochs, said(2, 50, 0))
    assert found.lost_at_least <= gone["lost"] <= found.missing
    assert found.thinned <= gone["thinned"]
    if found.unsure is None:
        assert (found.lost, found.thinned) == (gone["lost"], gone["thinned"])
    elif not any(is_here for _, is_here in fates):
        pytest.fail("all was told")


def test_each_ended_epoch_is_to_be_told_of() -> None:
    told = Ended(2, 90, 0, 0, 0)
    epochs = {1: epoch(90), 2: epoch(90), 3: epoch(1)._replace(ended=(told,))}
    assert completeness(epochs, said(3, 1, 0)).unsure == "ended_epoch"
    epochs[2] = epoch(90)._replace(ended=(Ended(1, 90, 0, 0, 0),))
    assert completeness(epochs, said(3, 1, 0)).words == "received 181 of 181, thinned 0, lost 0"


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (epoch(400), "received 400 of 500, thinned 0, lost 0, still spooled 100"),
        (epoch(400, ((901, 1_000),)), "received 500 of 1,000, thinned 0, lost 0, still spooled 500"),
    ],
)
def test_a_last_will_takes_nothing_back_that_was_said_after_it_was_made(known: EpochState, words: str) -> None:
    metrics = Metrics()
    will = said(1, 100, 0)._replace(online=False)
    for status in (said(1, 100, 0), said(1, 500, 100), will):
        heard = metrics.hear([DeviceStatus("line", "pi-7", status)])
        metrics.note(heard)
    assert heard.kept == {}
    assert metrics.said["pi-7"] == said(1, 500, 100)._replace(online=False), "it has gone, and no more is told by that"
    assert completeness({1: known}, metrics.said["pi-7"], metrics.ends.get("pi-7")).words == words
    # Nor by one that was kept beside the farther word.
    assert completeness({1: known}, will, {1: said(1, 500, 100)}).words == words


def test_what_is_not_known_is_null() -> None:
    for found in (completeness({1: epoch(9)}, None), completeness({1: epoch(9), 2: epoch(1)}, said(2, 1, 0))):
        assert found.lost is None


def test_of_how_many_epochs_the_end_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_module, "DEVICES_MAX", 1)
    metrics = Metrics()
    for number in range(1, 30):
        metrics.note(metrics.hear([DeviceStatus("line", "pi-7", said(number, 1, 0))]))
    assert sorted(metrics.ends["pi-7"]) == list(range(13, 29))
    metrics.note(metrics.hear([DeviceStatus("line", "pi-8", said(1, 1, 0))]))
    assert metrics.ends == {}


def test_only_what_is_new_is_to_be_kept_and_it_starts_again_with_that() -> None:
    metrics = Metrics()
    kept: dict[str, Sequence[Status]] = {}
    for status, is_news in (
        (said(1, 90, 0), True),
        (said(1, 90, 0)._replace(online=False), False),
        (said(1, 90, 0), False),
        (said(2, 5, 5)._replace(agent_version="1.2"), True),
        (said(1, 80, 0), True),
        (said(2, 7, 7), True),
    ):
        heard = metrics.hear([DeviceStatus("line", "pi-7", status)])
        metrics.note(heard)
        found = heard.kept
        assert bool(found) is is_news
        kept |= found
    again = Metrics.of(kept)
    assert again.ends == metrics.ends == {"pi-7": {1: said(1, 90, 0), 2: said(2, 5, 5)}}
    assert again.said == {"pi-7": said(2, 7, 7)._replace(online=False)}, "who is connected is not known yet"
    assert again.hear([DeviceStatus("line", "pi-7", said(2, 7, 7))]).kept == {}


def test_who_is_forgotten_is_not_kept_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_module, "DEVICES_MAX", 1)
    metrics = Metrics()
    metrics.note(metrics.hear([DeviceStatus("line", "pi-7", said(1, 1, 0))]))
    assert metrics.hear([DeviceStatus("line", "pi-8", said(1, 2, 0))]).kept == {"pi-7": [], "pi-8": [said(1, 2, 0)]}


def test_how_far_an_epoch_went_is_known_after_the_service_was_killed(tmp_path: Path) -> None:
    """Before the next one begins. Nothing is retained at the broker, so what is known then is from the disk."""
    broker = started("amqtt", tmp_path / "broker")
    station = Station(tmp_path / "station", broker)
    device = Device()
    device.measure(NOON_MS, temperature(5_000))
    station.set_book(book_document(device))

    def say(kind: str, payload: bytes) -> None:
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id="device")
        client.connect("127.0.0.1", broker.port)
        client.loop_start()
        client.publish(f"pw/1/harbour-line/{device.name}/{kind}", payload, qos=1).wait_for_publish(60)
        client.disconnect()
        client.loop_stop()

    def shown() -> dict[str, Any]:
        (one,) = station.get(station.api_port, "/devices")
        return {**one["completeness"], "said": one["said"] or {}}

    try:
        with opened(station):
            station.until(lambda: station.status().get("broker_connected"), "the cloud to subscribe")
            say("up", encode(device.payload()))
            say("status", encode_status(said(1, 5, 4)))
            station.until(lambda: shown()["spooled"] == 4, "it to be heard")
            station.cloud.kill()
            station.cloud.start()
            station.until(lambda: station.status().get("broker_connected"), "the cloud to subscribe")
            assert shown()["words"] == "received 1 of 5, thinned 0, lost 0, still spooled 4"
            assert (shown()["said"]["measured"], shown()["said"]["online"]) == (5, False)
            say("status", encode_status(said(2, 0, 0)))
            station.until(lambda: shown()["said"]["epoch"] == 2, "the next epoch to be heard of")
            assert shown()["words"] == f"received 1 of 5, thinned 0, lost at least 4; {END_UNKNOWN}"
    finally:
        broker.kill()
