"""What a word to a device with very many gaps names, and when there is one."""

import pytest
from builders import MINUTE_MS, NOON_MS, Device, ManualClock, book_document, temperature

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.ingest.answers import GAP_AGAIN_S, Answers, Stream
from pledgewatch_cloud.ingest.decode import DeviceStatus
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.spine.spine import Spine
from pledgewatch_wire.codec import MAX_RANGES, Committed, Status

ALARMS = 150
NEWEST = 2 * ALARMS


class Crowded:
    """A device of which every second reading is there, up to NEWEST; one word named the first MAX_RANGES of them."""

    def __init__(self) -> None:
        self.device, self.answers = Device(), Answers(after_readings=10_000, after_s=1e9)
        self.told = [self.device.measure(NOON_MS + one * MINUTE_MS, temperature(5_000)) for one in range(NEWEST + 200)]
        self.spine = Spine(MemoryStore(), ManualClock(NOON_MS + 600 * MINUTE_MS))
        self.spine.commit(drafts.amend, book_document(self.device))
        self.stream = Stream("harbour-line", self.device.name, 1)
        for number in range(2, NEWEST + 1, 2):
            self.hear(0.0, number)
            if number == 2 * MAX_RANGES:
                assert not self.word().names_all
        assert self.answers.due(0.0) == []

    def hear(self, at_s: float, *numbers: int) -> None:
        """Some readings come, each by itself."""
        for number in numbers:
            self.answers.took(self.spine.take([self.device.arrival([self.told[number - 1]])]), at_s)

    def word(self) -> Committed:
        """What is said now, due or not."""
        return self.answers.word(self.stream, self.spine.state.devices[self.device.name, 1])

    def named(self) -> list[int]:
        """What a word names now, but for the newest."""
        word = self.word()
        assert len(word.ranges) == MAX_RANGES
        return [first for first, _ in word.ranges[:-1]]

    def told_at(self, *moments: float) -> list[float]:
        """At which of some moments, in seconds, it is told something."""
        found = []
        for at_s in moments:
            if self.answers.due(at_s):
                self.word()
                found.append(at_s)
        return found


def test_words_go_on_in_turn_where_nothing_has_come_or_the_newest_alone() -> None:
    crowded = Crowded()
    assert crowded.named() == [*range(130, 255, 2)]
    crowded.hear(0.0, NEWEST + 2)
    assert crowded.named() == [*range(2, 81, 2), *range(256, 301, 2)]
    assert crowded.named() == [*range(82, 207, 2)]


@pytest.mark.parametrize("again", [(90, 100), (100, 90)])
def test_what_is_sent_again_is_named_first_and_the_turn_goes_on_from_there(again: tuple[int, int]) -> None:
    crowded = Crowded()
    assert crowded.named()[-1] == 254
    crowded.hear(0.0, *again)
    assert crowded.answers.due(0.0) == [crowded.stream], "the word was missed"
    assert crowded.named() == [*range(90, 215, 2)]
    assert crowded.named() == [*range(2, 43, 2), *range(216, 299, 2)]
    assert crowded.named()[0] == 44


def test_after_what_is_new_a_word_names_the_first_and_the_turn_goes_on_with_these() -> None:
    crowded = Crowded()
    assert crowded.named()[-1] == 254
    crowded.hear(0.0, 220)
    assert crowded.named() == [*range(2, 47, 2), *range(220, 299, 2)]
    assert crowded.named()[0] == 48
    crowded.hear(0.0, NEWEST + 2, NEWEST + 4, NEWEST + 6)
    assert {NEWEST + 2, NEWEST + 4} < {*crowded.named()}, "what has come since, and not only the newest"


def test_what_comes_below_the_newest_is_named_first_too() -> None:
    crowded = Crowded()
    crowded.hear(0.0, NEWEST + 100)
    assert crowded.named()[-1] == 254
    crowded.hear(0.0, NEWEST + 4, NEWEST + 2)
    assert {NEWEST + 2, NEWEST + 4} < {*crowded.named()}


def test_gaps_bring_a_word_once_in_a_while_however_many_open_and_then_later_each_time() -> None:
    crowded, again_s = Crowded(), GAP_AGAIN_S
    opened = NEWEST
    told = []
    for minute in range(1, 61):
        opened += 2
        crowded.hear(60.0 * minute, opened)
        told += crowded.told_at(60.0 * minute)
    assert told == [again_s * turn for turn in range(1, 7)]
    assert crowded.told_at(7 * again_s, 8 * again_s - 1, 8 * again_s) == [8 * again_s], "none has opened since"
    crowded.hear(8 * again_s + 1, opened + 2)
    assert crowded.told_at(8 * again_s + 1, 9 * again_s) == [9 * again_s]
    crowded.hear(9 * again_s + 1, opened + 3)
    assert crowded.told_at(10 * again_s, 11 * again_s) == [11 * again_s], "what follows on the newest opens none"


def test_once_a_word_names_all_a_gap_is_told_of_at_once() -> None:
    crowded = Crowded()
    crowded.answers.took(crowded.spine.take([crowded.device.arrival(crowded.told[:NEWEST])]), 1.0)
    assert crowded.word().ranges == ()
    assert crowded.answers.due(1e6) == [], "the gaps have closed"
    for number in (NEWEST + 2, NEWEST + 4):
        crowded.hear(2.0, number)
        assert crowded.answers.due(2.0)
        assert crowded.word().ranges[-1] == (number, number)


def test_a_word_that_the_broker_did_not_take_is_due_and_names_the_same() -> None:
    crowded = Crowded()
    status = Status(online=True, epoch=1, head_sequence=0, spooled_readings=0, agent_version="")
    crowded.answers.connected([DeviceStatus("harbour-line", crowded.device.name, status)])
    assert crowded.answers.due(1.0) == [crowded.stream]
    word = crowded.word()
    assert crowded.answers.due(1.0) == []
    crowded.answers.not_taken(crowded.stream, word)
    assert crowded.answers.due(1.0) == [crowded.stream]
    assert crowded.word() == word
