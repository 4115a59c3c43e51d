"""Gauges that never vanish: at each tick how everything stands is said again, also of what has fallen silent."""

import re
import sqlite3
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import pytest
from builders import MINUTE_MS, NOON_MS, Device
from gauging import NOWHERE, Fleet, cold, eventful

from pledgewatch_cloud.journal import form
from pledgewatch_cloud.series.embedded import EmbeddedSeries
from pledgewatch_cloud.series.feeder import Feeder
from pledgewatch_cloud.series.gather import Gathering
from pledgewatch_cloud.series.influxdb import InfluxSeries, _gauge_line, _reading_lines
from pledgewatch_cloud.series.series import Bookmark, Gauge, Told
from pledgewatch_cloud.series.shape import GAUGED_EVERY_MS, MEASUREMENTS, PIPELINE_EVERY_MS
from pledgewatch_cloud.series.standing import SAID_MAX, Standing


def test_an_assets_age_is_there_at_every_tick_while_it_is_silent_and_grows() -> None:
    fleet = Fleet()
    fleet.say(0, *cold())
    for minute in range(15, 136, 15):
        fleet.tick(minute)
    found = fleet.column("evidence", "asset-container-1", "age_ms", "level", "overdue_ms", "heard")
    assert [minute for minute, *_ in found] == list(range(15, 136, 15)), "one at each tick, none left out"
    assert [age // MINUTE_MS for _, age, *_ in found] == list(range(15, 136, 15))
    assert [level for _, _, level, *_ in found] == [0, 0, 1, 1, 2, 2, 2, 2, 2]
    assert [overdue // MINUTE_MS for *_, overdue, _ in found] == [0, 0, 15, 30, 45, 60, 75, 90, 105]
    assert {heard for *_, heard in found} == {1}
    never = fleet.column("evidence", "asset-container-2", "age_ms", "heard")
    assert never == [(minute, minute * MINUTE_MS, 0) for minute in range(15, 136, 15)], "since it was fitted"


def test_an_asset_that_speaks_again_is_overdue_no_more_and_a_retired_one_is_gone() -> None:
    fleet = Fleet()
    fleet.say(0, *cold())
    fleet.tick(60)
    fleet.say(61, *cold())
    fleet.tick(75)
    retired = [{**one, "retired": 1} for one in fleet.document["installations"][:1]]
    fleet.amend({"installations": retired})
    fleet.tick(90)
    found = fleet.column("evidence", "asset-container-1", "level", "overdue_ms")
    assert found == [(60, 1, 30 * MINUTE_MS), (75, 0, 0)]
    assert len(fleet.gauges("evidence", "asset-container-2")) == len(fleet.gauges("device", "container-2")) == 3


def test_a_second_device_that_was_never_heard_makes_no_old_evidence_young() -> None:
    fleet = Fleet()
    fleet.say(0, *cold())
    spare = Device("spare", seed=3)
    installation = {**fleet.document["installations"][0], "device": "spare", "public_key": spare.public_key}
    fleet.clock.at_ms = NOON_MS + 60 * MINUTE_MS
    fleet.amend({"installations": [installation]})
    fleet.tick(75)
    assert fleet.column("evidence", "asset-container-1", "age_ms") == [(75, 75 * MINUTE_MS)]
    assert fleet.column("device", "spare", "age_ms", "heard", "asset") == [(75, 15 * MINUTE_MS, 0, "asset-container-1")]


def test_a_facilitys_cover_is_said_at_each_move_and_each_tick_with_its_currency() -> None:
    fleet = Fleet()
    fleet.say(0, *cold())
    fleet.tick(15)
    fleet.tick(30)
    found = fleet.column("cover", "facility-1", "outstanding_minor", "currency", "scale", "cover", "ineligible_age")
    assert found[-2:] == [(15, 5_000_000, "USD", 100, 0, 0), (30, 5_000_000, "USD", 100, 0, 0)]
    assert not [name for one in fleet.gauges("cover", "facility-1") for name in one.values if "change_" in name]
    base = fleet.gauges("facility", "facility-1")[-1].values["base_minor"]
    assert fleet.gauges("cover", "facility-1")[-1].values["base_minor"] == base


def test_a_margin_call_stands_in_the_cover_until_the_facility_is_gone() -> None:
    policies = [
        {"id": "strict", "covenants": {"warning_bp": 100, "call_bp": 200, "default_bp": 19_000, "cure_s": 3_600}}
    ]
    fleet = Fleet(policies=policies)
    line = {**fleet.document["facilities"][0], "policy": "strict", "outstanding_minor": 9_000_000}
    fleet.say(0, *cold())
    fleet.amend({"facilities": [line]})
    fleet.tick(15)
    (last,) = fleet.column("cover", "facility-1", "cover")[-1:]
    assert last == (15, 2)
    called = [one for one in fleet.gauges("event", "facility-1") if one.values["type"] == "margin_called"]
    assert len(called) == 1
    assert "call_minor" in str(called[0].values["facts"])
    fleet.amend({"facilities": [{**line, "outstanding_minor": 0}]})
    gone = {"lots": [one["id"] for one in fleet.document["lots"]], "facilities": ["facility-1"]}
    fleet.amend({"remove": gone | {"milestones": [one["id"] for one in fleet.document["milestones"]]}})
    fleet.tick(45)
    assert [minute for minute, *_ in fleet.column("cover", "facility-1")] != [], "it was there"
    assert 45 not in [minute for minute, *_ in fleet.column("cover", "facility-1")]


def test_a_lots_condition_is_said_again_and_a_late_reading_takes_a_breach_back() -> None:
    fleet = Fleet()
    fleet.say(0, *cold())
    fleet.say(5, *cold(9_000))
    fleet.say(25, *cold(9_000))
    fleet.tick(30)
    state = fleet.column("condition", "lot-container-1", "state", "broken", "asset")
    assert state[-1] == (30, 2, 1, "asset-container-1")
    fleet.say(31, *cold(), measured=10)
    fleet.say(32, *cold(), measured=16)
    fleet.say(33, *cold(), measured=20)
    fleet.tick(45)
    assert fleet.column("condition", "lot-container-1", "state", "broken")[-1] == (45, 0, 0)
    types = Counter(one.values["type"] for one in fleet.gauges("event", "asset-container-1"))
    assert types["condition_breached"] == 1
    assert types["event_retracted"] >= 1


def test_open_alerts_are_counted_by_severity_and_none_is_a_nought() -> None:
    fleet = Fleet()
    fleet.say(0, *cold())
    fleet.tick(15)
    fleet.say(16, *cold(9_000))
    fleet.say(30, *cold(9_000))
    fleet.tick(90)
    critical, warning = (fleet.column("alerts", one, "open") for one in ("critical", "warning"))
    assert critical[0] == warning[0] == (15, 0)
    assert critical[-1] == (90, 1)
    fleet.say(151, *cold())
    fleet.tick(165)
    assert fleet.column("alerts", "warning", "open")[-1] == (165, 0)


def test_the_pipeline_counts_from_the_beginning_and_tells_of_deafness_and_delay() -> None:
    fleet = Fleet()
    fleet.say(0, *cold())
    fleet.say(2, *cold(), measured=1)
    fleet.tick(3, heard_until_ms=NOON_MS + 2 * MINUTE_MS)
    fleet.tick(3.5)
    fleet.tick(4)
    found = fleet.column(
        "pipeline", "journal", "entries", "payloads", "readings", "deaf_ms", "delay_max_ms", "assets", "devices"
    )
    assert found == [(3, 4, 2, 2, MINUTE_MS, MINUTE_MS, 2, 2), (4, 6, 2, 2, 0, 0, 2, 2)], (
        "not more often than it should"
    )
    assert PIPELINE_EVERY_MS == MINUTE_MS


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_gauges_are_the_same_however_the_journal_was_followed(at_once: int) -> None:
    fleet = eventful()
    whole = fleet.told()
    bookmark, gauges = NOWHERE, list[Gauge]()
    entries = list(fleet.store.entries())
    for start in range(0, len(entries), at_once):
        gathering = Gathering(bookmark)
        for written in entries[start : start + at_once]:
            gathering.add(form.read_entry(written), fleet.store.events_of(written.number))
        told = gathering.told()
        gauges += told.gauges
        standing = {**bookmark.standing, **told.standing}
        bookmark = Bookmark(
            told.entry,
            {**bookmark.fitted, **told.fitted},
            {**bookmark.heard, **told.heard},
            told.gauged_ms,
            told.pipeline_ms,
            {name: body for name, body in standing.items() if body},
        )
    assert gauges == whole.gauges
    assert bookmark.standing == {name: body for name, body in whole.standing.items() if body}


def lines_of(told: Told) -> Iterable[str]:
    return [*_reading_lines(told.points), *map(_gauge_line, told.gauges)]


def written_in(lines: Iterable[str]) -> dict[str, tuple[set[str], set[str]]]:
    """Measurements with their tags and fields, read from line protocol."""
    found: dict[str, tuple[set[str], set[str]]] = {}
    for line in lines:
        head, rest = re.split(r"(?<!\\) ", line, maxsplit=1)
        name, *tags = re.split(r"(?<!\\),", head)
        fields = re.sub(r'"(?:[^"\\]|\\.)*"', '""', rest).split(" ")[0].split(",")
        kept = found.setdefault(name, (set(), set()))
        kept[0].update(one.split("=")[0] for one in tags)
        kept[1].update(one.split("=")[0] for one in fields)
    return found


def test_what_is_written_is_what_the_list_of_measurements_says() -> None:
    fleet = eventful()
    gathering = Gathering(NOWHERE)
    for written in fleet.store.entries():
        gathering.add(form.read_entry(written), fleet.store.events_of(written.number))
    gathering.hold(Feeder(fleet.store, EmbeddedSeries.__new__(EmbeddedSeries))._held)
    found = written_in(lines_of(gathering.told()))
    assert found.keys() == MEASUREMENTS.keys(), "each is written in an eventful day"
    for name, (tags, fields) in found.items():
        assert tags == set(MEASUREMENTS[name].tags)
        assert not [one for one in fields if not MEASUREMENTS[name].has(one)]
        optional = {one for one in MEASUREMENTS[name].fields if one.startswith("ineligible_") or name == "reading"}
        assert MEASUREMENTS[name].fields - optional - fields == set(), f"nobody writes these of {name}"


def test_the_store_is_told_of_once_the_series_has_caught_up(tmp_path: Path) -> None:
    fleet = eventful()
    series = EmbeddedSeries(tmp_path, "journal")
    Feeder(fleet.store, series).catch_up()
    (held,) = series.gauges("pipeline", "store", 0, 2**53)
    assert held.values["outbox_pending"] == fleet.store.counts().outbox_pending > 0
    assert held.at_ms == series.gauges("pipeline", "journal", 0, 2**53)[-1].at_ms
    series.close()


def test_an_alert_rule_can_count_on_a_gauge_in_every_window_of_two_ticks() -> None:
    fleet = Fleet()
    for minute in range(0, 3 * 60, 5):
        fleet.tick(minute)
    times = [one.at_ms for one in fleet.gauges("evidence", "asset-container-2")]
    assert max(after - before for before, after in pairwise(times)) == GAUGED_EVERY_MS


@pytest.mark.parametrize("name", ["series.sqlite", "series-influxdb.sqlite"])
def test_series_whose_bookmark_knows_less_are_built_again(name: str, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / name)
    connection.execute("CREATE TABLE cursor (one INTEGER, journal TEXT, entry INTEGER, evidence_ms INTEGER)")
    connection.execute("INSERT INTO cursor VALUES (1, 'journal', 7, 0)")
    connection.execute("CREATE TABLE newest (asset TEXT PRIMARY KEY, at_ms INTEGER)")
    connection.execute("CREATE TABLE installed (device TEXT PRIMARY KEY, asset TEXT)")
    connection.commit()
    connection.close()
    if name == "series.sqlite":
        assert EmbeddedSeries(tmp_path, "journal").bookmark() == NOWHERE
    else:
        arguments = {"url": "http://127.0.0.1:9", "token": "none", "org": "o", "bucket": "b"}
        assert InfluxSeries(tmp_path, "journal", **arguments).bookmark() == NOWHERE  # type: ignore[arg-type]


def test_no_more_is_kept_of_one_thing_than_its_limit() -> None:
    fleet = Fleet()
    for number in range(SAID_MAX):
        fleet.say(120 * number, *cold())
        fleet.tick(120 * number + 110)
    kept = Standing(fleet.told().standing)
    assert len(kept._said("asset-container-1")) <= SAID_MAX + 2, "those of the source, and what is known of its lot"
    assert kept.sources("asset-container-1")["container-1"].level == 2
