"""What a container at rest costs, by the wire's own codec; real receivers and probes; how long the book waits."""

import csv
import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from needed import DATA, needs

from pledgewatch_edge.agent import load
from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.fixes import Fix, FixAssembler, FixKind, FixQuality
from pledgewatch_edge.install.draft import as_toml
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.sampling import Sampler, metres
from pledgewatch_edge.sampling_settings import RuleSettings, SamplingSettings
from pledgewatch_edge.sensors.fix_sampler import FixSampler, cells_of
from pledgewatch_wire.chain import SIGNATURE_BYTES
from pledgewatch_wire.codec import Checkpoint, Payload, encode
from pledgewatch_wire.reading import Cell, Channel, Clock, Reading

ROOT = Path(__file__).resolve().parent.parent
TIME_MS = 1_780_000_000_000
DAY_S, MINUTE_S = 86_400, 60
CHECKPOINTS_A_DAY = 2


def rest(seconds: int, every_s: int, seed: int = 1) -> Iterator[Sample]:
    """A receiver at rest: its error wanders (Gauss-Markov, 4 m, five minutes), trembles by a metre, and now and then
    leaps by 80 to 400 m for a fix or two."""
    dice, keep = Random(seed), 1 - every_s / 300
    fresh_m = 4 * (1 - keep * keep) ** 0.5
    north_m = east_m = 0.0
    leaps = 0
    for second in range(0, seconds, every_s):
        north_m, east_m = keep * north_m + dice.gauss(0, fresh_m), keep * east_m + dice.gauss(0, fresh_m)
        leaps = dice.choice((1, 2)) if dice.random() < 0.001 * every_s else max(0, leaps - 1)
        away_m = dice.uniform(80, 400) if leaps else 0.0
        cells = {
            Channel.LATITUDE_E7: 337_000_000 + round((north_m + dice.gauss(0, 1) + away_m) / 0.011132),
            Channel.LONGITUDE_E7: -1_182_000_000 + round((east_m + dice.gauss(0, 1)) / 0.00926),
            Channel.SPEED_MMPS: abs(round(dice.gauss(0, 120))),
            Channel.COURSE_CDEG: dice.randrange(36_000),
            Channel.ALTITUDE_MM: 12_000 + round(dice.gauss(0, 8_000)),
            Channel.SATELLITES: dice.randrange(8, 13),
            Channel.HDOP_CENTI: dice.randrange(70, 130),
            Channel.FIX_DIMENSIONS: 3,
        }
        yield Sample(TIME_MS + 1_000 * second, Clock.GPS, tuple(sorted(Cell(*one) for one in cells.items())))


def section(**rule: Any) -> SamplingSettings:
    """One rule about the place."""
    return SamplingSettings(rules=(RuleSettings(channels=("position",), **rule),))


def kept(settings: SamplingSettings, samples: Iterator[Sample]) -> list[Sample]:
    """What is kept of a stream."""
    sampler = Sampler(settings)
    return [one for sample in samples if (one := sampler.take(sample)) is not None]


def bytes_sent(samples: Sequence[Sample], together: int = 1) -> int:
    """What readings weigh as payloads of so many, with the day's signatures."""
    readings = [Reading(number, *one[:3]) for number, one in enumerate(samples, 1)]
    signed = {readings[len(readings) * turn // CHECKPOINTS_A_DAY - 1].sequence for turn in (1, CHECKPOINTS_A_DAY)}
    total = 0
    for start in range(0, len(readings), together):
        some = tuple(readings[start : start + together])
        checkpoints = [Checkpoint(one.sequence, bytes(SIGNATURE_BYTES)) for one in some if one.sequence in signed]
        total += len(encode(Payload(3, some, tuple(checkpoints))))
    return total


def said_in_docs() -> dict[str, tuple[int, int]]:
    """The table of docs/SAMPLING.md: readings and bytes a day, by what the row is about."""
    text = (ROOT / "docs" / "SAMPLING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+) \| ([\d,]+) \| ([\d,]+) \|$", text, re.MULTILINE)
    return {what: (int(readings.replace(",", "")), int(size.replace(",", ""))) for what, readings, size in rows}


def test_a_day_at_rest_costs_what_the_docs_say() -> None:
    each_minute = list(rest(DAY_S, MINUTE_S))
    hourly = kept(section(interval_s=60.0, change=100, max_silence_s=3_600.0), rest(DAY_S, 10))
    seldom = kept(section(interval_s=60.0, change=100, max_silence_s=21_600.0), rest(DAY_S, 10))
    found = {
        "a fix a minute, each sent by itself": (len(each_minute), bytes_sent(each_minute)),
        "a fix a minute, sixty sent together": (len(each_minute), bytes_sent(each_minute, 60)),
        "at rest, proven each hour": (len(hourly), bytes_sent(hourly)),
        "at rest, proven each six hours": (len(seldom), bytes_sent(seldom)),
    }
    assert {what: row for what, row in said_in_docs().items() if what not in {*WEAK, EDGE}} == found
    assert found["at rest, proven each hour"][1] < 2_000
    assert max(b.measured_at_ms - a.measured_at_ms for a, b in pairwise(hourly)) <= 3_600_000


HIGH_HDOP, NO_FIX = FixQuality.HIGH_HDOP, FixQuality.NO_FIX
WEAK: dict[str, tuple[float, Callable[[Random], FixQuality]]] = {
    "no fix all day (a steel hall), proven each hour": (60.0, lambda _: NO_FIX),
    "its HDOP high all day": (60.0, lambda _: HIGH_HDOP),
    "its HDOP to and fro, by chance": (60.0, lambda dice: dice.choice((FixQuality.GOOD, HIGH_HDOP))),
    "the same, a fix each second": (0.0, lambda dice: dice.choice((FixQuality.GOOD, HIGH_HDOP))),
    "a fix each second, the HDOP of one in thirty high": (
        0.0,
        lambda dice: HIGH_HDOP if dice.random() < 1 / 30 else FixQuality.GOOD,
    ),
}
"""Of a receiver that is not good all day, by the row of docs/SAMPLING.md: how often fixes are taken, and what is wrong
with each."""


def weak_rest(interval_s: float, quality_of: Callable[[Random], FixQuality]) -> Iterator[Sample]:
    """A day of a receiver at rest that says something each minute, or each second."""
    dice, every_s = Random(1), round(interval_s) or 1
    for second in range(0, DAY_S, every_s):
        quality = quality_of(dice)
        latitude, longitude = 337_405_000 + dice.randint(-200, 200), -1_182_755_000 + dice.randint(-200, 200)
        kind = FixKind.THREE if quality is not NO_FIX else FixKind.NONE
        fix = Fix(TIME_MS + 1_000 * second, latitude, longitude, 0, 0, 0, 8, 90, kind, quality)
        yield Sample(TIME_MS + 1_000 * second, Clock.GPS, cells_of(fix))


@pytest.mark.parametrize("what", WEAK)
def test_a_day_at_rest_under_a_bad_sky_costs_what_the_docs_say(what: str) -> None:
    found = kept(section(interval_s=60.0, change=100, max_silence_s=3_600.0), weak_rest(*WEAK[what]))
    assert (len(found), bytes_sent(found)) == said_in_docs()[what]
    assert len(found) < 144, "a tenth of a fix a minute"
    assert max(b.measured_at_ms - a.measured_at_ms for a, b in pairwise(found)) <= 3_600_000


EDGE = "a fix each other second, none between"


def edge_of_the_sky(whole_for_s: int, clock_ms: int, seconds: int = DAY_S) -> Iterator[Sample]:
    """A day of a receiver that has a fix each other second, after a while of whole ones: the samples of what is heard
    of it, each when the next cycle begins. The agent's own clock shows so much at the start."""
    dice, passed_ms = Random(1), 0
    clock = AgentClock(
        system_ms=lambda: clock_ms + passed_ms, monotonic_ms=lambda: passed_ms, is_synchronised=lambda: False
    )
    sampler = FixSampler(clock, 0.0)
    for second in range(seconds):
        place = 337_405_000 + dice.randint(-200, 200), -1_182_755_000 + dice.randint(-200, 200)
        fix = Fix(TIME_MS + 1_000 * second, *place, 0, 0, 0, 8, 90, FixKind.THREE, FixQuality.GOOD)
        if second >= whole_for_s and second % 2:
            fix = replace(fix, latitude_e7=None, longitude_e7=None, fix=FixKind.NONE, quality=NO_FIX)
        passed_ms = 1_000 * (second + 1)
        yield from sampler.take(fix, 1_000 * second)


def test_a_receiver_at_the_edge_of_the_sky_costs_what_the_docs_say() -> None:
    samples = list(edge_of_the_sky(8, TIME_MS))
    assert [one.measured_at_ms for one in samples] == [TIME_MS + 1_000 * second for second in range(DAY_S)]
    found = kept(section(interval_s=60.0, change=100, max_silence_s=3_600.0), iter(samples))
    assert (len(found), bytes_sent(found)) == said_in_docs()[EDGE]
    assert kept(section(change=100, max_silence_s=3_600.0), iter(samples)) == found, "a receiver's own interval is 0"


@pytest.mark.parametrize("clock_ms", [TIME_MS - 5 * 3_600_000, TIME_MS + 700, 5], ids=["behind", "right", "1970"])
def test_and_no_more_where_it_never_gave_three_fixes_in_a_row(clock_ms: int) -> None:
    samples, whole = list(edge_of_the_sky(0, clock_ms, 7_200)), edge_of_the_sky(8, TIME_MS, 7_200)
    settings = section(interval_s=60.0, change=100, max_silence_s=3_600.0)
    assert len(kept(settings, iter(samples))) <= len(kept(settings, whole)) + 2
    assert {one.clock for one in samples[3:]} == {Clock.GPS}, "one clock, whichever the agent's is"


def test_what_set_up_writes_of_a_place_holds_where_its_receiver_is_told_to_speak_each_second() -> None:
    [rule] = tomllib.loads(as_toml({"gps": {"port": "/dev/ttyACM0", "interval_s": 0.0}}, 0))["sampling"]["rules"]
    settings = SamplingSettings(rules=(RuleSettings(**{**rule, "channels": tuple(rule["channels"])}),))
    assert len(kept(settings, weak_rest(*WEAK["its HDOP to and fro, by chance"]))) < 144
    east, speed = Cell(Channel.LONGITUDE_E7, 0), Cell(Channel.SPEED_MMPS, 20_000)
    drive = [
        Sample(TIME_MS + 1_000 * second, Clock.GPS, (Cell(Channel.LATITUDE_E7, 1_800 * second), east, speed))
        for second in range(3_600)
    ]
    assert len(kept(settings, iter(drive))) == 60, "on the road once a minute"


@pytest.mark.parametrize("seed", range(3))
def test_a_receiver_that_wanders_and_leaps_at_one_fix_a_second_proves_its_place_and_no_more(seed: int) -> None:
    found = kept(section(change=50, max_silence_s=3_600.0), rest(4 * 3_600, 1, seed))
    assert 4 <= len(found) <= 6, "a leap that is kept as a proof costs one more"


@needs("nmea-misc")
def test_twenty_minutes_of_a_real_receiver_at_rest_are_a_proof_each_five() -> None:
    (log,) = (DATA / "nmea-misc").rglob("gps.log")
    assembler = FixAssembler()
    fixes = [*assembler.feed(log.read_bytes()), *assembler.flush()]
    stream = [Sample(one.time_ms, Clock.GPS, cells_of(one)) for one in fixes if one.time_ms is not None]
    found = kept(section(change=25, max_silence_s=300.0), iter(stream))
    seconds = [(one.measured_at_ms - stream[0].measured_at_ms) // 1_000 for one in found]
    assert (len(stream), seconds) == (1_202, [0, 300, 600, 900, 1_200])
    assert {one.cells for one in found} <= {one.cells for one in stream}, "each of them was measured"


@needs("track-bus-liverpool")
def test_a_real_bus_is_never_farther_than_the_change_from_where_it_was_said_to_be() -> None:
    with (DATA / "track-bus-liverpool" / "route14_outbound.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    sampler = Sampler(section(change=100, max_silence_s=3_600.0))
    told: tuple[int, int] | None = None
    away = count = 0
    for number, row in enumerate(rows):
        place = round(1e7 * float(row["latitude"])), round(1e7 * float(row["longitude"]))
        cells = (Cell(Channel.LATITUDE_E7, place[0]), Cell(Channel.LONGITUDE_E7, place[1]))
        if sampler.take(Sample(TIME_MS + 20_000 * number, Clock.GPS, cells)):
            told, away, count = place, 0, count + 1
        assert told is not None
        away = away + 1 if metres(told, place) > 100 else 0
        assert away < 3
    assert count < len(rows) / 2


@needs("temp-nab")
def test_a_real_machines_temperature_is_known_to_half_a_degree_from_a_part_of_it() -> None:
    with (DATA / "temp-nab" / "machine_temperature_system_failure.csv").open(encoding="utf-8") as file:
        values = [round((float(row["value"]) - 32) / 1.8 * 1_000) for row in csv.DictReader(file)]
    rule = RuleSettings(channels=("temperature_mc",), change=500, max_silence_s=3_600.0)
    sampler, told, count = Sampler(SamplingSettings(rules=(rule,))), 0, 0
    for number, value in enumerate(values):
        one = sampler.take(Sample(TIME_MS + 300_000 * number, Clock.GPS, (Cell(Channel.TEMPERATURE_MC, value),)))
        told, count = (value, count + 1) if one else (told, count)
        assert abs(told - value) <= 500
    assert count < 0.6 * len(values)


def test_the_book_of_the_samples_waits_longer_than_the_agent_of_the_samples_is_quiet() -> None:
    """docs/SAMPLING.md, "How long the cloud waits"."""
    agent = load(ROOT / "samples" / "edge.toml")
    assert agent.gps is not None
    assert agent.onewire is not None
    on_its_way_s = agent.uplink.send_every_s + agent.spool.hold_s
    quiet_s = {
        name: (rule.max_silence_s or rule.interval_s or rule.average_s) + on_its_way_s
        for rule in agent.sampling.rules
        for name in rule.channels
    }
    assert quiet_s
    book = yaml.safe_load((ROOT / "samples" / "book.yaml").read_text(encoding="utf-8"))
    (fitted,) = (one for one in book["installations"] if one["device"] == "container-1")
    assert min(quiet_s.values()) + agent.gps.interval_s < fitted["overdue_after_s"] < fitted["silent_after_s"]
    for sensor in fitted["sensors"]:
        assert quiet_s[sensor["channel"]] + agent.onewire.interval_s < sensor["silent_after_s"]
    gaps_s = [limit.get("max_gap_s", DAY_S) for lot in book["lots"] for limit in lot.get("limits", ())]
    gaps_s += [lot["mkt"].get("max_gap_s", 3_600) for lot in book["lots"] if "mkt" in lot]
    assert gaps_s
    assert max(quiet_s.values()) + agent.onewire.interval_s < min(gaps_s)
