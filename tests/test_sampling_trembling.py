"""Values that tremble about a limit: which are urgent, and that a real excursion is, each time.

A row is what a thermometer says between 2 and 8 °C: a second and the value, or a stretch `first-last/count one|other`
of values that change from one to the other at even distances. Behind it how many of these are urgent: `!` one, `*`
none, `n!` so many.
"""

import random
from itertools import groupby

import pytest
from edge_support import TIME_MS

from pledgewatch_edge.passing import CALM_MS, PASSES_MAX, STAY_MS
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
    "it ends with rest inside: told after a minute, and once when it has ended": (
        f"{TREMBLES}, 175 7950=*, 180-230/6 7990|7980=*, 235 7990=*, 236 7990=!, 240-760/53 7980|7990=*, "
        "774 7990=*, 776 7980=!, 780-900/13 7980|7990=*"
    ),
    "a stay beyond of more than a minute is an excursion, told there": (
        f"{TREMBLES}, 180-220/5 8050|8060=*, 230 8050=*, 231 8050=!, 240-900/67 8060|8070=*, 910 7990=!, 920 8050=!"
    ),
    "and is no end of the tremble": (
        f"{TREMBLES}, 175 7950=*, 180 8050=*, 240 8050=*, 241 8050=!, 250 7950=!, 260 8050=*, 270 7950=*"
    ),
    "nor a part of one": f"0 4000=*, 100-20000/200 8050|7950=200!, {TREMBLES[10:].replace('10-170', '20100-20260')}",
    "also if nothing was heard before it ended": f"{TREMBLES}, 175 7950=*, 180 8050=*, 241 7950=!",
    "one that ends in a tremble": "0 9000=!, 300 9000=*, 310-490/19 7950|8050=10!, 500 7701=*, 501 7699=!, 502 5000=*",
    "whatever goes beyond the band, begin and end": (
        f"{TREMBLES}, 180 8300=*, 190 8301=!, 195 12000=*, 200 7990=!, 210 8290=*, 215 7900=*, 220 12000=!, "
        "230 8290=*, 240 7990=!"
    ),
    "however often": "0 4000=*, 10-2000/200 8301|7950=200!",
    "a glitch is no scale": f"0 28000=!, 5 7950=!, {TREMBLES[10:]}, 175 7950=*, 180 12000=!, 190 12000=*, 600 7950=!",
    "beyond the other limit": f"{TREMBLES}, 180 1999=!, 190 2100=!, 200 1999=!",
    "each limit by itself": f"{TREMBLES}, 180-340/17 1999|2001=9!, 350 8050=!",
    "after it, a pass is a pass": f"{TREMBLES}, 175 7950=*, 776 7990=!, 790 8010=!, 800 7990=!",
    "the first value after rest may be the next pass": f"{TREMBLES}, 900 7990=!, 910 8050=!",
    "slow passes are never a tremble": f"0 4000=*, {CALM_S}-{100 * CALM_S}/100 9000|7000=100!",
    "excursions some minutes apart": "0 4000=*, 200-1600/8 9000|7000=8!, 2500 9000=!, 2800 7000=!, 3100 9000=!",
    "a value that was beyond at the start": "0 9000=!, 10 9000=*, 20 7000=!",
    "a clock that goes back": f"{TREMBLES}, -4000 7950=*, -3990 8050=*, -3300 8050=!, -3290 7950=!",
    "and rests": f"{TREMBLES}, 175 7950=*, -4000 7950=*, -3940 7950=*, -3939 7950=!, -3401 7950=*, -3400 7950=!",
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


def test_half_a_day_about_a_limit_is_a_handful_of_readings_that_stay() -> None:
    dice = random.Random(7)
    thermometer = Thermometer(SamplingSettings(limits=LIMITS))
    for number in range(8_640):
        thermometer.say(5 * number, round(dice.gauss(8_000, 60)))
    urgent = sum(one.is_urgent for one in thermometer.kept)
    assert PASSES_MAX < urgent <= PASSES_MAX + 8
    assert len(thermometer.kept) == 8_640, "and all others are kept as the rules say, here whole"


def test_of_chance_only_what_stays_for_a_minute_is_urgent() -> None:
    dice = random.Random(7)
    thermometer = Thermometer(SamplingSettings(limits=LIMITS))
    values = [round(dice.gauss(8_000, 60)) for _ in range(8_640)]
    urgent = sum(thermometer.say(10 * number, value) for number, value in enumerate(values))
    stays = [len(list(some)) for is_beyond, some in groupby(values, lambda value: value > 8_000) if is_beyond]
    assert urgent <= PASSES_MAX + 2 + 2 * sum(10 * count > STAY_MS / 1_000 for count in stays)


@pytest.mark.parametrize(
    ("name", "limit", "change", "band"),
    [
        ("temperature_mc", 8_000, None, 300),
        ("temperature_mc", 8_000, 0, 300),
        ("temperature_mc", 8_000, 100, 100),
        ("humidity_cpercent", 6_000, None, 200),
        ("weight_g", -50_000, None, 500),
    ],
)
def test_how_wide_a_tremble_may_be(name: str, limit: int, change: int | None, band: int) -> None:
    limits = (LimitSettings(channels=(name,), high=limit),)
    rules = () if change is None else (RuleSettings(channels=(name,), change=change, max_silence_s=60.0),)
    sampler = Sampler(SamplingSettings(rules=rules, limits=limits))
    channel, cells = Channel[name.upper()], [limit + 1, limit] * 9 + [limit + band, limit, limit + band + 1, limit]
    urgent = []
    for number, value in enumerate(cells):
        kept = sampler.take(Sample(TIME_MS + 1_000 * number, Clock.GPS, (Cell(channel, value),)))
        urgent.append(kept is not None and kept.is_urgent)
    assert urgent == [True] * 9 + [False] * 11 + [True, True]


def test_what_begins_the_near_time_and_a_shorter_tremble_are_as_urgent_as_ever() -> None:
    rules = (RuleSettings(channels=("temperature_mc",), change=100, max_silence_s=3_600.0),)
    thermometer = Thermometer(SamplingSettings(rules=rules, limits=LIMITS, near=NearSettings(near_for_s=0.0)))
    for number in range(PASSES_MAX):
        assert thermometer.say(10 * number, 7_990 + 20 * (1 - number % 2)), number
