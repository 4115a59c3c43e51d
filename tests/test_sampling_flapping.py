"""States that flap: what of them is urgent, what is routine, what is not kept, and what is told of it.

A row is what a contact says: a second and the value, or a stretch `first-last/count` of so many changes at even
distances. Behind it what becomes of the last of them: `!` urgent, `*` kept, nothing: dropped; then, where it is told,
which states flap and how many changes were not told one by one.
"""

from typing import Any

import pytest
from edge_support import TIME_MS, new_spool

from pledgewatch_edge.flapping import CALM_MAX, CHANGES_MAX
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.sampling import Sampler
from pledgewatch_edge.sampling_settings import NearSettings, RuleSettings, SamplingSettings
from pledgewatch_wire.reading import Cell, Channel, Clock, Quality

DOOR, LEAK = Channel.DOOR_OPEN, Channel.LEAK


class Contact:
    """A door's contact and what a sampler keeps of it."""

    def __init__(self, sampler: Sampler) -> None:
        self.sampler = sampler
        self.value = 0
        self.kept: list[Sample] = []

    def say(self, second: float, *more: Cell, clock: int = Clock.GPS) -> Sample | None:
        at_ms = TIME_MS + round(1_000 * second)
        kept = self.sampler.take(Sample(at_ms, clock, tuple(sorted([Cell(DOOR, self.value), *more]))))
        self.kept += [kept] if kept else []
        return kept

    def change(self, second: float, *more: Cell) -> Sample | None:
        self.value = 1 - self.value
        return self.say(second, *more)

    @property
    def urgent(self) -> int:
        return sum(one.is_urgent for one in self.kept)


def in_words(kept: Sample | None) -> str:
    if kept is None:
        return ""
    found = {cell.channel: cell.value for cell in kept.cells}
    told = f" {found[Channel.FLAPPING]} {found[Channel.FLAPS]}" if Channel.FLAPPING in found else ""
    return ("!" if kept.is_urgent else "*") + told


@pytest.mark.parametrize(
    "rows",
    [
        # Twelve changes in a minute are told one by one, the thirteenth is that it flaps.
        "0 =*, 1-12/12 =!, 59 =*, 61-72/12 =!, 90 =*",
        "0 =*, 1-12/12 =!, 13-13/1 =! 1 0, 14-40/27 =, 72-72/1 =, 73-73/1 =* 1 29",
        # One a minute is kept; where it goes on, whatever the minute.
        "0 =*, 1-13/13 =! 1 0, 14-72/59 =, 73-73/1 =* 1 60, 74-132/59 =, 133-133/1 =* 1 120",
        # It ends with a calm minute, at the first that is said after it; then it is as it was.
        "0 =*, 1-13/13 =! 1 0, 14-20/7 =, 60 =, 120 =! 0 7, 130 =*, 140-140/1 =!",
        "0 =*, 1-13/13 =! 1 0, 60 =, 61-63/3 =, 120 =! 0 3, 900 =*",
        "0 =*, 1-13/13 =! 1 0, 60 =, 61-64/4 =, 120 =* 1 4, 180 =! 0 4",
        # Slow changes never flap, though they go on all day; nor does a contact that says the same again and again.
        "0 =*, 60-6000/100 =!, 6001 =*",
        # A clock that goes back begins a minute, and ends nothing.
        "0 =*, 1-13/13 =! 1 0, 14-20/7 =, -5000 =* 1 7, -4999--4990/10 =, -4941 =, -4939 =* 1 17, -4870 =! 0 17",
    ],
)
def test_when_it_flaps(rows: str) -> None:
    contact = Contact(Sampler())
    for row in rows.split(", "):
        said, _, wanted = row.partition(" =")
        kept: Sample | None = None
        if "/" in said:
            span, _, count = said.partition("/")
            cut = span.index("-", 1)
            first, last, many = float(span[:cut]), float(span[cut + 1 :]), int(count)
            for number in range(many):
                kept = contact.change(first + (last - first) * number / max(1, many - 1))
        else:
            kept = contact.say(float(said))
        assert in_words(kept) == wanted, row


def test_a_day_of_ten_changes_a_second_is_two_readings_that_stay_and_one_a_minute() -> None:
    contact = Contact(Sampler())
    contact.say(0)
    hours = 2
    for tenth in range(1, hours * 36_000):
        contact.change(tenth / 10)
    assert contact.urgent == CHANGES_MAX + 1
    assert len(contact.kept) <= CHANGES_MAX + 2 + 60 * hours
    ended = contact.say(hours * 3_600 + 900)
    assert in_words(contact.say(hours * 3_600 + 901)) == "*"
    assert in_words(ended) == f"! 0 {hours * 36_000 - 1 - CHANGES_MAX - 1}"
    assert CALM_MAX < CHANGES_MAX


def flapping_door(**settings: Any) -> Contact:
    contact = Contact(Sampler(SamplingSettings(**settings) if settings else None))
    contact.say(0, Cell(LEAK, 0))
    for number in range(1, 20):
        contact.change(number, Cell(LEAK, 0))
    return contact


def test_another_contact_beside_it_is_as_urgent_as_ever() -> None:
    contact = flapping_door()
    urgent = contact.change(20, Cell(LEAK, 1))
    assert in_words(urgent) == "! 1 7"
    assert urgent is not None
    assert {DOOR, LEAK} < {cell.channel for cell in urgent.cells}
    assert in_words(contact.sampler.take(Sample(TIME_MS + 21_000, Clock.GPS, (Cell(LEAK, 1),)))) == "*"
    for number in range(22, 34):
        urgent = contact.change(number, Cell(LEAK, number % 2))
    assert in_words(urgent) == "! 5 19"


def test_what_else_stands_in_its_sample_is_kept_as_ever_and_what_is_wrong_is_told() -> None:
    contact = flapping_door()
    assert in_words(contact.change(20, Cell(Channel.TEMPERATURE_MC, 4_000))) == "* 1 7"
    gone = Sample(TIME_MS + 21_000, Clock.GPS, (Cell(DOOR, 0, Quality.SENSOR_GONE),))
    assert in_words(contact.sampler.take(gone)) == "* 1 7"
    away = Sample(TIME_MS + 22_000, Clock.GPS, (Cell(Channel.TEMPERATURE_MC, 4_000),))
    assert in_words(contact.sampler.take(away)) == "*"


@pytest.mark.parametrize("near", [None, NearSettings()], ids=["", "near"])
def test_no_rule_hides_it(near: NearSettings | None) -> None:
    rules = (RuleSettings(channels=("door_open", "leak"), interval_s=3_600.0, max_silence_s=86_400.0),)
    contact = flapping_door(rules=rules, near=near)
    assert [in_words(one) for one in contact.kept[-2:]] == ["!", "! 1 0"]
    assert in_words(contact.change(75)) == "* 1 7"
    assert in_words(contact.say(140)) == "! 0 7"


def test_what_is_told_of_it_can_be_stored(tmp_path: Any) -> None:
    contact = flapping_door()
    with new_spool(tmp_path) as spool:
        assert spool.append(contact.kept).refused == 0
        assert sum(one.cell(Channel.FLAPPING) is not None for one in spool.read(0, 100, urgent=True)) == 1
