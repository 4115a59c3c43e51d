"""Values that tremble about a limit: which are urgent, and that a real excursion is, each time.

A row is what a thermometer says between 2 and 8 °C: a second and the value, or a stretch `first-last/count one|other`
of values that change from one to the other at even distances. Behind it how many of these are urgent: `!` one, `*`
none, `n!` so many.
"""

import random

import pytest
from edge_support import TIME_MS

from pledgewatch_edge.passing import CALM_MS, PASSES_MAX
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.sampling import Sampler
from pledgewatch_edge.sampling_settings import LimitSettings, NearSettings, RuleSettings, SamplingSettings
from pledgewatch_wire.reading import Cell, Channel, Clock

LIMITS = (LimitSettings(channels=("temperature_mc",), low=2_000, high=8_000),)
CALM_S = CALM_MS // 1_000


class Thermometer:
    """A probe, and what a sampler makes of it."""

    def __init__(self, settings: SamplingSettings) -> None:
        self.sampler = Sampler(settings)
        self.kept: list[Sample] = []

    def say(self, second: float, value_mc: int) -> bool:
        """Whether it is urgent."""
        cells = (Cell(Channel.TEMPERATURE_MC, value_mc),)
        kept = self.sampler.take(Sample(TIME_MS + round(1_000 * second), Clock.GPS, cells))
        self.kept += [kept] if kept else []
        return kept is not None and kept.is_urgent


TREMBLES = "0 4000=*, 10-170/17 8050|7950=9!"
TABLES = {
    "so many passes are told one by one, and one more": f"{TREMBLES}, 180-1200/103 7950|8050=*",
    "it ends with rest on one side, inside or beyond, and that is told once": (
        f"{TREMBLES}, 175 7950=*, 180-760/59 7990|7980=*, 774 7990=*, 776 7980=!, 780-900/13 7980|7990=*"
    ),
    "beyond": f"{TREMBLES}, 180-760/59 8050|8060=*, 769 8050=*, 771 8050=!, 780-900/13 8060|8070=*",
    "after it, a pass is a pass": f"{TREMBLES}, 175 7950=*, 776 7990=!, 790 8010=!, 800 7990=!",
    "the first value after rest may be the next pass": f"{TREMBLES}, 900 7990=!, 910 8050=!",
    "an excursion out of the tremble is told, and each that goes twice as far": (
        f"{TREMBLES}, 180 8100=*, 190 8101=!, 200-260/7 7990|8100=*, 270 8203=!, 280 12000=!, 290 7990=*, 300 12000=*"
    ),
    "beyond the other limit": f"{TREMBLES}, 180 1999=!, 190 2100=*, 200 1999=*",
    "slow passes are never a tremble": f"0 4000=*, {CALM_S}-{100 * CALM_S}/100 9000|7000=100!",
    "excursions some minutes apart": "0 4000=*, 200-1600/8 9000|7000=8!, 2500 9000=!, 2800 7000=!, 3100 9000=!",
    "a value that was beyond at the start": "0 9000=!, 10 9000=*, 20 7000=!",
    "a clock that goes back": f"{TREMBLES}, -4000 7950=*, -3990 8050=*, -3300 8050=!, -3290 7950=!",
}


@pytest.mark.parametrize("rows", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize(
    "settings",
    [
        SamplingSettings(limits=LIMITS),
        SamplingSettings(rules=(RuleSettings(channels=("temperature_mc",), average_s=3_600.0),), limits=LIMITS),
    ],
    ids=["", "means"],
)
def test_which_are_urgent(settings: SamplingSettings, rows: str) -> None:
    thermometer = Thermometer(settings)
    for row in rows.split(", "):
        said, _, wanted = row.partition("=")
        moment, _, values = said.partition(" ")
        found: list[bool] = []
        if "/" in moment:
            span, _, count = moment.partition("/")
            first, last = map(float, span.split("-"))
            for place in range(int(count)):
                second = first + (last - first) * place / (int(count) - 1)
                found.append(thermometer.say(second, int(values.split("|")[place % 2])))
        else:
            found.append(thermometer.say(float(moment), int(values)))
        assert sum(found) == {"*": 0, "!": 1}.get(wanted, int(wanted.strip("*!") or 0)), row


def test_a_day_about_a_limit_is_a_handful_of_readings_that_stay() -> None:
    dice = random.Random(7)
    thermometer = Thermometer(SamplingSettings(limits=LIMITS))
    for number in range(8_640):
        thermometer.say(10 * number, round(dice.gauss(8_000, 60)))
    urgent = sum(one.is_urgent for one in thermometer.kept)
    assert PASSES_MAX < urgent <= PASSES_MAX + 8
    assert len(thermometer.kept) == 8_640, "and all others are kept as the rules say, here whole"


def test_what_begins_the_near_time_and_a_shorter_tremble_are_as_urgent_as_ever() -> None:
    rules = (RuleSettings(channels=("temperature_mc",), change=100, max_silence_s=3_600.0),)
    thermometer = Thermometer(SamplingSettings(rules=rules, limits=LIMITS, near=NearSettings(near_for_s=0.0)))
    for number in range(PASSES_MAX):
        assert thermometer.say(10 * number, 7_990 + 20 * (1 - number % 2)), number
