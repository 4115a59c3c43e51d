"""What is kept of samples, in tables: `second:value`, and what becomes of it.

Nothing behind a value: it is dropped. `*`: kept. `!`: kept, and urgent. `=n`: kept, as the mean n. A word before the
second is another channel than temperature, `~word` a quality, `/word` a clock.
"""

import re
from pathlib import Path
from typing import Any

import pytest

from pledgewatch_edge.agent import load
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.sampling import Sampler, metres
from pledgewatch_edge.sampling_settings import LimitSettings, NearSettings, RuleSettings, SamplingSettings
from pledgewatch_wire.reading import Cell, Channel, Clock, Quality
from pledgewatch_wire.settings import SettingsError

TIME_MS = 1_780_000_000_000
ROW = re.compile(
    r"(?:(?P<channel>\w+)@)?(?P<second>[\d.]+):(?P<value>-?\d+)(?:~(?P<quality>\w+))?(?:/(?P<clock>\w+))?"
    r"(?P<mark>[*!]|=-?\d+)?"
)
EVERY_FIVE = {"interval_s": 300.0}
CHANGES = {"change": 300, "max_silence_s": 3_600.0}
BOTH = {"interval_s": 300.0, "change": 300, "max_silence_s": 3_600.0}
MEANS = {"average_s": 300.0}
CALM_MEANS = {"average_s": 300.0, "change": 50, "max_silence_s": 1_200.0}
LIMITS = (LimitSettings(channels=("temperature_mc",), low=-20_000, high=8_000, margin=500),)
NEAR = NearSettings(interval_s=60.0, near_for_s=600.0)


def rules(rule: dict[str, Any] | None = None, *names: str) -> tuple[RuleSettings, ...]:
    """One rule, about temperature where nothing else is named."""
    return (RuleSettings(channels=names or ("temperature_mc",), **rule),) if rule else ()


def assert_kept(settings: SamplingSettings, table: str) -> None:
    """The rows of a table, one sample each, are kept as they say."""
    sampler, found = Sampler(settings), []
    for row in table.split():
        said = ROW.fullmatch(row)
        assert said, row
        cell = Cell(
            Channel[(said["channel"] or "temperature_mc").upper()],
            int(said["value"]),
            Quality[(said["quality"] or "good").upper()],
        )
        clock = Clock[(said["clock"] or "gps").upper()]
        at_ms = TIME_MS + round(1_000 * float(said["second"]))
        kept = sampler.take(Sample(at_ms, clock, (cell,)))
        mark = ""
        if kept is not None:
            assert (kept.measured_at_ms, kept.clock) == (at_ms, clock)
            assert [one.quality for one in kept.cells] == [cell.quality]
            value = kept.cells[0].value
            mark = "!" if kept.is_urgent else "*" if value == cell.value else f"={value}"
            assert not kept.is_urgent or value == cell.value
        found.append(row.removesuffix(said["mark"] or "") + mark)
    assert " ".join(found) == " ".join(table.split())


TABLES = {
    "without a rule everything is kept": (None, "0:1* 1:1* 1:1* 2:1*"),
    "no oftener than the interval, on a grid that a late one does not shift": (
        EVERY_FIVE,
        "0:4000* 60:9000 299:4000 303:4000* 599:1 601:4000* 900:4000* 2000:1* 2299:1 2300:1*",
    ),
    "what has not changed is not kept, and before it were quiet for too long it is": (
        CHANGES,
        "0:4000* 60:4300 120:3700 180:4301* 240:4001 300:4000* 1800:4001 3500:4000* 3501:4000",
    ),
    "regular values are never farther apart than the silence": (
        {"change": 300, "max_silence_s": 250.0},
        "0:1* 60:1 120:1 180:1 240:1* 300:1 360:1 420:1 480:1*",
    ),
    "a change waits for the interval, and is then kept at once": (
        BOTH,
        "0:4000* 60:5000 120:6000 300:6000* 360:4000 420:6000 600:6000 660:4000* 720:6000 900:6000* 1200:6000",
    ),
    "what is wrong is told at once, whatever is due, and so is what is right again": (
        BOTH,
        "0:4000* 10:0~checksum_failed* 20:4000* 30:4000 40:85000~power_on_value* 50:0~sensor_gone* 60:4000*",
    ),
    "what stays wrong is kept each interval where no change is asked for": (
        EVERY_FIVE,
        "0:0~sensor_gone* 60:0~sensor_gone 300:0~sensor_gone* 360:0~sensor_gone 600:0~sensor_gone*",
    ),
    "what stays wrong is proven as what stays right is": (
        CHANGES,
        "0:0~no_fix* 1:0~no_fix 1800:0~no_fix 3500:0~no_fix* 3501:0~no_fix 3502:4000* 3503:4000 3504:0~no_fix*",
    ),
    "and a weak value that changes is kept as a good one is": (
        BOTH,
        "0:4000~estimated* 60:5000~estimated 300:5000~estimated* 600:5000~estimated 660:5000* 661:5000~estimated*",
    ),
    "the first by another clock is kept, and so is what is dated before": (
        BOTH,
        "0:1/unset* 10:1/unset 1000000:1* 1000010:1 1000020:1/ntp* 1000000:1/ntp* 1000001:1/ntp",
    ),
    "what is dated some seconds before the last kept comes late, and begins nothing": (
        CHANGES,
        "100:4000* 90:4000 95:4301* 90:4301 102:4000* 92:4000 91.9:4000* 3600:4001*",
    ),
    "a mean stands for its stretch, rounded half up": (
        MEANS,
        "0:4000* 100:4000 200:4001 300:4001* 400:10 600:11* 750:-3 900:-4=-3 1000:1 1100:0 1201:2=1 1500:5*",
    ),
    "the first that is wrong, and the first right one, end a stretch: no mean hides them": (
        MEANS,
        "0:4000* 100:5000 200:85000~power_on_value* 250:4000* 350:4000 450:4002 551:4004=4002",
    ),
    "a value that is none is no part of a mean, and is kept each so long": (
        MEANS,
        "0:4000* 100:4100 200:0~sensor_gone* 300:0~sensor_gone 500:0~sensor_gone* 550:4000* 850:4002*",
    ),
    "weak values have a weak mean": (
        MEANS,
        "0:10~estimated* 100:20~estimated 200:20~estimated 300:40~estimated=27",
    ),
    "a mean that has not changed is not kept until it would be quiet for too long": (
        CALM_MEANS,
        "0:100* 150:90 300:160 450:100 600:100 750:100 900:300=200 1050:210 1200:210 1500:210 1800:210 2100:201*",
    ),
    "a sensor slower than its mean is kept whole": (MEANS, "0:1* 600:2* 1200:3* 1800:3*"),
}


@pytest.mark.parametrize(("rule", "table"), TABLES.values(), ids=TABLES)
def test_of_one_channel(rule: dict[str, Any] | None, table: str) -> None:
    assert_kept(SamplingSettings(rules=rules(rule)), table)


def test_a_change_of_a_state_is_urgent_and_the_same_state_is_proven() -> None:
    settings = SamplingSettings(rules=rules({"max_silence_s": 900.0}, "door_open", "leak"))
    assert_kept(
        settings, "door_open@0:0* door_open@60:0 door_open@61:1! door_open@62:0! leak@63:1* leak@64:1 leak@64:0!"
    )
    assert_kept(settings, "door_open@0:0* door_open@300:0 door_open@600:0 door_open@900:0* door_open@1000:0")
    gone = "door_open@0:0* door_open@5:0~sensor_gone* door_open@6:1! door_open@7:0~sensor_gone* door_open@8:1*"
    assert_kept(settings, gone)
    assert_kept(SamplingSettings(), "door_open@0:0* door_open@1:0* door_open@2:1! door_open@3:1*")


def test_a_value_that_passes_a_limit_is_urgent_whatever_is_due() -> None:
    settings = SamplingSettings(rules=rules(BOTH), limits=LIMITS)
    assert_kept(settings, "0:4000* 10:7900 20:8000 30:8001! 40:8100 50:8000! 60:-20000 70:-20001! 80:9000! 90:9100")
    assert_kept(settings, "0:9000! 10:9000 20:0~sensor_gone* 30:9000* 40:85000~power_on_value* 50:4000!")
    assert_kept(
        SamplingSettings(rules=rules(MEANS), limits=LIMITS), "0:4000* 100:7000 200:9000! 300:8500 500:8700=8600"
    )


def test_near_a_limit_the_rules_tighten_at_once_and_for_a_while_after() -> None:
    settings = SamplingSettings(rules=rules(BOTH), limits=LIMITS, near=NEAR)
    table = "0:4000* 30:7500 60:7501! 90:7600 120:7600* 150:7600 180:7400* 240:7400* 740:7400* 751:7400 900:7400"
    assert_kept(settings, table)
    assert_kept(
        SamplingSettings(rules=rules(MEANS), limits=LIMITS, near=NEAR), "0:4000* 100:7000 200:7600! 230:7600 260:4000*"
    )
    short = "0:4000* 20:9000 door_open@25:1! 30:4000 door_open@35:0! 40:4000 300:4000*"
    assert_kept(SamplingSettings(rules=rules(MEANS), near=NearSettings(near_for_s=0.0)), short)


NEARNESS = {
    "while a door is open, and after": (
        "door_open@0:0* 0:4000* 60:4000 door_open@90:1! 100:4000* 130:4000 160:4000* door_open@900:1* 960:4000*"
        " door_open@1000:0! 1060:4000* 1120:4000* 1600:4000* 1601:4000 1670:4000 1901:4000"
    ),
    "while there is light": "0:4000* light_present@10:1! 60:4000* light_present@70:0! 670:4000* 671:4000 740:4000",
    "an open door that is not asked for long is open still": (
        "door_open@0:1! 0:4000* door_open@5000:1* 5060:4000* door_open@5070:0~sensor_gone* 9000:4000* 9060:4000*"
    ),
    "by any clock": "door_open@10:1/unset! 0:4000* door_open@20:0/unset! 60:4000* 599:4000* 601:4000 700:4000",
    "by a clock that went back": "door_open@9000:1! door_open@9010:0! 0:4000* 60:4000* 599:4000* 601:4000 661:4000",
    "a door is not light": "0:4000* motion@10:1* 60:4000 120:4000",
}


@pytest.mark.parametrize("table", NEARNESS.values(), ids=NEARNESS)
def test_near(table: str) -> None:
    assert_kept(SamplingSettings(rules=rules(BOTH), near=NEAR), table)


def test_a_hard_shock_is_felt_and_a_light_one_is_not() -> None:
    sampler = Sampler(SamplingSettings(rules=rules(BOTH), near=NEAR))
    warm = Cell(Channel.TEMPERATURE_MC, 4_000)

    def take(second: int, cell: Cell, *, is_urgent: bool = False) -> Sample | None:
        return sampler.take(Sample(TIME_MS + 1_000 * second, Clock.GPS, (cell,), is_urgent))

    assert take(0, warm)
    assert take(10, Cell(Channel.SHOCK_MG, 900)) == Sample(TIME_MS + 10_000, Clock.GPS, (Cell(Channel.SHOCK_MG, 900),))
    assert take(60, warm) is None
    assert take(70, Cell(Channel.SHOCK_MG, 4_000, Quality.ESTIMATED), is_urgent=True)
    assert take(120, warm)
    assert take(180, warm)
    assert take(660, warm)
    assert take(720, warm) is None


def test_what_is_urgent_is_kept_whole_and_else_each_channel_by_itself() -> None:
    settings = SamplingSettings(rules=(*rules(EVERY_FIVE, "door_open", "motion"), *rules(CHANGES)))
    sampler = Sampler(settings)

    def take(second: int, temperature: int, door: int, motion: int, battery: int = 3_900) -> Sample | None:
        cells = (
            Cell(Channel.TEMPERATURE_MC, temperature),
            Cell(Channel.BATTERY_MV, battery),
            Cell(Channel.DOOR_OPEN, door),
            Cell(Channel.MOTION, motion),
        )
        return sampler.take(Sample(TIME_MS + 1_000 * second, Clock.GPS, cells))

    def channels(sample: Sample | None) -> list[int]:
        assert sample is not None
        assert not sample.is_urgent
        return [cell.channel for cell in sample.cells]

    assert len(channels(take(0, 4_000, 0, 0))) == 4
    assert channels(take(10, 4_000, 0, 0)) == [Channel.BATTERY_MV]
    assert channels(take(20, 5_000, 0, 0)) == [Channel.TEMPERATURE_MC, Channel.BATTERY_MV]
    urgent = take(30, 5_001, 1, 0)
    assert urgent is not None
    assert urgent.is_urgent
    assert len(urgent.cells) == 4
    assert channels(take(300, 5_001, 1, 0)) == [Channel.BATTERY_MV], "the pause begins with what was kept"


def test_the_least_and_the_most_go_with_the_mean() -> None:
    rule = {**MEANS, "least_channel": "temperature_6_mc", "most_channel": "temperature_7_mc"}
    calm = {**rule, "change": 100, "max_silence_s": 3_600.0}
    for one, third in ((rule, [5_010, 4_990, 5_030]), (calm, None)):
        sampler = Sampler(SamplingSettings(rules=rules(one)))
        found: list[list[int] | None] = []
        for place, value in enumerate((4_000, 5_000, 5_010, 5_050, 5_010, 4_990, 5_030, 5_020, 5_500, 4_600)):
            kept = sampler.take(Sample(TIME_MS + 100_000 * place, Clock.GPS, (Cell(Channel.TEMPERATURE_MC, value, 0),)))
            found.append([cell.value for cell in kept.cells] if kept else None)
            if kept and place:
                named = [Channel.TEMPERATURE_MC, Channel.TEMPERATURE_6_MC, Channel.TEMPERATURE_7_MC]
                assert [cell.channel for cell in kept.cells] == named
        assert found[:4] == [[4_000], None, None, [5_020, 5_000, 5_050]]
        assert found[6] == third
        assert found[9] == [5_040, 4_600, 5_500], "the mean is as before, the extremes are not"


def test_the_first_mean_after_a_value_by_itself_is_kept_for_its_extremes() -> None:
    rule = {**MEANS, "most_channel": "temperature_7_mc", "change": 100, "max_silence_s": 3_600.0}
    sampler = Sampler(SamplingSettings(rules=rules(rule)))
    told = [
        sampler.take(Sample(TIME_MS + 300_000 * place, Clock.GPS, (Cell(Channel.TEMPERATURE_MC, 5_000 + place),)))
        for place in range(3)
    ]
    assert [[cell.value for cell in one.cells] if one else None for one in told] == [[5_000], [5_001, 5_001], None]


def place(second: int, north_m: float, speed_mmps: int = 0, quality: int = 0) -> Sample:
    """A fix so far north of where the asset rests."""
    latitude = 337_000_000 + round(north_m / 0.011132)
    cells = (
        Cell(Channel.LATITUDE_E7, latitude, quality),
        Cell(Channel.LONGITUDE_E7, -1_182_000_000, quality),
        Cell(Channel.TEMPERATURE_MC, 4_000),
        Cell(Channel.SATELLITES, 9),
        Cell(Channel.SPEED_MMPS, speed_mmps, quality),
    )
    return Sample(TIME_MS + 1_000 * second, Clock.GPS, cells)


REST = (RuleSettings(channels=("position",), change=50, max_silence_s=3_600.0),)
PLACES = {
    "noise at rest is no change": [(0, 0, 0, True), (1, 12, 300, False), (2, -30, 100, False), (3, 49, 0, False)],
    "nor is a leap that comes back": [
        *((0, 0, 0, True), (1, 400, 0, False), (2, 400, 0, False), (3, 2, 0, False)),
        *((4, 70, 0, False), (5, -70, 0, False), (6, 1, 0, False)),
    ],
    "three in a row are somewhere else": [(0, 0, 0, True), (1, 60, 0, False), (2, 60, 0, False), (3, 60, 0, True)],
    "one is, where the receiver says that it moves": [(0, 0, 0, True), (1, 40, 9_000, False), (2, 51, 2_000, True)],
    "what was kept as a proof begins a new count": [
        *((0, 0, 0, True), (1_800, 60, 0, False), (3_599, 60, 0, True)),
        *((3_600, 0, 0, False), (3_601, 0, 0, False), (3_602, 0, 0, True)),
    ],
    "the same place is proven": [(0, 0, 0, True), (1_800, 5, 0, False), (3_599, 5, 0, True), (3_600, 5, 0, False)],
}


@pytest.mark.parametrize("rows", PLACES.values(), ids=PLACES)
def test_of_places(rows: list[tuple[int, float, int, bool]]) -> None:
    sampler = Sampler(SamplingSettings(rules=REST + rules({"interval_s": 86_400.0})))
    for second, north_m, speed_mmps, is_kept in rows:
        kept = sampler.take(place(second, north_m, speed_mmps))
        assert (kept is not None) == is_kept, second
        if kept is not None and second:
            assert [cell.channel for cell in kept.cells] == [
                *(Channel.LATITUDE_E7, Channel.LONGITUDE_E7, Channel.SATELLITES, Channel.SPEED_MMPS)
            ], "a fix goes whole, and what is no part of it by itself"


def test_a_place_that_is_lost_and_found_is_told_at_once() -> None:
    sampler = Sampler(SamplingSettings(rules=(RuleSettings(channels=("position",), interval_s=300.0),)))
    told = [
        sampler.take(place(second, 0, 0, quality))
        for second, quality in ((0, 0), (1, 0), (2, Quality.NO_FIX), (3, Quality.NO_FIX), (4, 0), (5, 0))
    ]
    assert [len(one.cells) if one else 0 for one in told] == [5, 1, 5, 1, 5, 1]


def test_a_place_is_no_better_than_the_worse_of_its_two_numbers() -> None:
    sampler = Sampler(SamplingSettings(rules=REST))
    good = place(0, 0)
    latitude, longitude = good.cells[:2]
    assert sampler.take(good)
    for second, worse in enumerate((latitude, longitude), 1):
        cells = tuple(one._replace(quality=Quality.HIGH_HDOP) if one is worse else one for one in good.cells)
        told = sampler.take(good._replace(measured_at_ms=TIME_MS + 1_000 * second, cells=cells))
        assert told is not None
        assert (latitude.channel in {one.channel for one in told.cells}) is (second == 1), "the second is as the first"


def test_metres_over_the_antimeridian_and_by_latitude() -> None:
    assert metres((0, 1_799_999_000), (0, -1_799_999_000)) == pytest.approx(22.264)
    assert metres((600_000_000, 0), (600_000_000, 10_000)) == pytest.approx(55.66, rel=1e-3)
    assert metres((0, 0), (10_000, 0)) == pytest.approx(111.32)


CONFIGURATION = """
[device]
operator = "harbour-line"
name = "cont-0417"
state_folder = "state"
[broker]
host = "127.0.0.1"
[gps]
port = "/dev/ttyUSB0"
[onewire]
probes = ["28-0316a2794e2f"]
"""
REFUSED_RULES = {
    'channels = ["temperature_mc"]': "says nothing; give interval_s",
    "channels = []\ninterval_s = 1.0": "[sampling] rules[0] channels is empty",
    'channels = ["warmth"]\ninterval_s = 1.0': "channel 'warmth' is none; there are",
    'channels = ["temperature_mc"]\nchange = 5': "change needs max_silence_s",
    'channels = ["temperature_mc"]\nmax_silence_s = 5.0': "max_silence_s of temperature_mc needs change",
    'channels = ["temperature_mc"]\nchange = 5\ninterval_s = 9.0\nmax_silence_s = 5.0': "is shorter than",
    'channels = ["temperature_mc"]\ninterval_s = 9.0\naverage_s = 5.0': "leave interval_s out",
    'channels = ["temperature_mc"]\nchange = -1\nmax_silence_s = 9.0': "change -1 is out of range",
    'channels = ["position"]\naverage_s = 5.0': "a place where nobody was",
    'channels = ["position"]\nchange = 5\nmax_silence_s = 9.0': "in metres, 5 is out of range",
    'channels = ["position"]\nmax_silence_s = 9.0': "max_silence_s of position needs change",
    'channels = ["speed_mmps"]\ninterval_s = 5.0': "goes with the place; write position",
    'channels = ["tag_in"]\ninterval_s = 5.0': "tag_in is kept always",
    'channels = ["door_open"]\nchange = 1\nmax_silence_s = 9.0': "door_open is a state",
    'channels = ["energy_wh"]\naverage_s = 9.0': "is a running total",
    'channels = ["humidity_cpercent"]\ninterval_s = 9.0': "rules name humidity_cpercent, which no section gives",
    'channels = ["temperature_mc", "temperature_mc"]\ninterval_s = 9.0': "rules name temperature_mc twice",
    'channels = ["temperature_mc"]\ninterval_s = 9.0\n[sampling.near]\nwhile_on = ["power_w"]': "power_w is no state",
    'channels = ["temperature_mc"]\naverage_s = 9.0\nleast_channel = "humidity_cpercent"': "that counts mc",
    'channels = ["temperature_mc"]\naverage_s = 9.0\nmost_channel = "temperature_mc"': "use another channel",
    'channels = ["temperature_mc"]\ninterval_s = 9.0\nmost_channel = "temperature_7_mc"': "needs average_s",
}
REFUSED_LIMITS = {
    'channels = ["temperature_1_mc"]\nlow = 9': "limits name temperature_1_mc, which no section gives",
    'channels = ["temperature_mc"]': "has neither low nor high",
    'channels = ["temperature_mc"]\nlow = 9\nhigh = 9': "low 9 is not below high 9",
    'channels = ["leak"]\nhigh = 0': "leak has no limits",
    "channels = []\nhigh = 0": "[sampling] limits[0] channels is empty",
    'channels = ["temperature_mc", "temperature_mc"]\nlow = 9': "limits name temperature_mc twice",
    'channels = ["temperature_mc"]\nlow = 9\n[sampling.near]': "near tightens rules, and there are none",
}
REFUSED = {
    **{f"[[sampling.rules]]\n{text}": said for text, said in REFUSED_RULES.items()},
    **{f"[[sampling.limits]]\n{text}": said for text, said in REFUSED_LIMITS.items()},
}


@pytest.mark.parametrize(("section", "said"), REFUSED.items(), ids=REFUSED.values())
def test_what_cannot_be_meant_is_refused_with_its_cure(section: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "edge.toml"
    file.write_text(CONFIGURATION + section, encoding="utf-8")
    with pytest.raises(SettingsError, match=re.escape(said)):
        load(file)


def test_the_channels_for_extremes_are_given_by_nobody_else(tmp_path: Path) -> None:
    file = tmp_path / "edge.toml"
    probes = CONFIGURATION.replace('4e2f"', '4e2f", "28-0316a27956b1"')
    rule = '[[sampling.rules]]\nchannels = ["temperature_mc"]\naverage_s = 9.0\nmost_channel = "temperature_{}_mc"\n'
    file.write_text(probes + rule.format(2), encoding="utf-8")
    assert load(file).sampling.rules[0].most_channel == "temperature_2_mc"
    file.write_text(probes + rule.format(1), encoding="utf-8")
    with pytest.raises(SettingsError, match="most_channel temperature_1_mc is given by a sensor"):
        load(file)
