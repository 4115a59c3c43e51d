"""The contract of Series: embedded always, InfluxDB where INFLUXDB_URL and INFLUXDB_TOKEN (and INFLUXDB_ORG) are set.

Where no InfluxDB is, its write path is held against VictoriaMetrics, a real server that speaks InfluxDB's write API,
and what is read of values against a stand-in made from the documentation (support/influx_stand_in.py).
"""

import json
import os
import random
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from builders import AT_SEA, MINUTE_MS, NOON_MS, Device, ManualClock, book_document, position, temperature
from influx_stand_in import InfluxStandIn
from needed import system_program

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.series.embedded import DAY_MS, WEEK_MS, EmbeddedSeries
from pledgewatch_cloud.series.feeder import Feeder
from pledgewatch_cloud.series.influxdb import InfluxSeries
from pledgewatch_cloud.series.series import Gauge, Point, Series, SeriesError, Stretch
from pledgewatch_cloud.spine.spine import Spine
from pledgewatch_sim.programs import free_port
from pledgewatch_wire.reading import Cell, Channel, Quality

ASSET = "asset-container-1"
WARMTH = Channel.TEMPERATURE_MC
FOR_EVER = -(2**53), 2**53
HOUR_MS = 60 * MINUTE_MS


def influx(folder: Path, journal: str = "journal") -> InfluxSeries:
    """A bucket of its own in the InfluxDB that the environment names. Skips where none is named."""
    url, token = os.environ.get("INFLUXDB_URL"), os.environ.get("INFLUXDB_TOKEN")
    if not url or not token:
        pytest.skip("needs INFLUXDB_URL and INFLUXDB_TOKEN of an InfluxDB 2")
    org = os.environ.get("INFLUXDB_ORG", "pledgewatch")
    series = InfluxSeries(folder, journal, url=url, token=token, org=org, bucket=f"test-{uuid.uuid4().hex}")
    series.init()
    return series


@pytest.fixture(params=["embedded", "influxdb"])
def series(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Series]:
    """Empty series of journal `journal`."""
    made: Series = EmbeddedSeries(tmp_path, "journal") if request.param == "embedded" else influx(tmp_path)
    yield made
    made.close()


@pytest.fixture(params=["embedded", "influxdb", "stand-in"])
def values_series(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Series]:
    """Empty series, of whose points values are asked alone."""
    if request.param == "stand-in":
        with InfluxStandIn() as server:
            stood_in = InfluxSeries(tmp_path, "journal", url=server.url, token="none", org="o", bucket="b")
            yield stood_in
            stood_in.close()
        return
    made: Series = EmbeddedSeries(tmp_path, "journal") if request.param == "embedded" else influx(tmp_path)
    yield made
    made.close()


class Ship:
    """A device whose readings go by the spine into a journal, and from there into series."""

    def __init__(self, series: Series) -> None:
        self.device, self.store, self.clock = Device(), MemoryStore("journal"), ManualClock(NOON_MS)
        self.spine = Spine(self.store, self.clock)
        self.spine.commit(drafts.amend, book_document(self.device))
        self.feeder = Feeder(self.store, series)

    def say(self, *told: tuple[float, tuple[Cell, ...]]) -> None:
        """Readings so many minutes after noon, in one payload."""
        readings = [self.device.measure(NOON_MS + round(minute * MINUTE_MS), *cells) for minute, cells in told]
        self.clock.at_ms = max(self.clock.at_ms, readings[-1].measured_at_ms)
        self.spine.take([self.device.arrival(readings)])


def warm(value_mc: int) -> tuple[Cell, ...]:
    """One temperature."""
    return (temperature(value_mc),)


def values(series: Series, limit: int = 1_000) -> list[Point]:
    """All temperatures."""
    return series.points(ASSET, WARMTH, *FOR_EVER, limit)


def test_points_come_back_in_order_of_time_with_their_quality(series: Series) -> None:
    ship = Ship(series)
    ship.say((3, warm(5_300)), (4, (temperature(0, Quality.SENSOR_GONE),)), (5, (temperature(85_000, Quality(7)),)))
    ship.say((1, warm(5_100)), (2, (*position(AT_SEA), temperature(5_200))))
    ship.feeder.catch_up()
    found = [(one.measured_at_ms - NOON_MS) // MINUTE_MS for one in values(series)]
    assert found == [1, 2, 3, 4, 5]
    assert values(series)[2:] == [
        Point(NOON_MS + 3 * MINUTE_MS, 5_300, 0, ship.device.name),
        Point(NOON_MS + 4 * MINUTE_MS, 0, Quality.SENSOR_GONE, ship.device.name),
        Point(NOON_MS + 5 * MINUTE_MS, 85_000, 7, ship.device.name),
    ]
    assert values(series, 2) == values(series)[-2:]
    span = NOON_MS + 2 * MINUTE_MS, NOON_MS + 4 * MINUTE_MS
    assert [one.value for one in series.points(ASSET, WARMTH, *span, 10)] == [5_200, 5_300]
    assert (
        series.points("nobody", WARMTH, *FOR_EVER, 10) == series.points(ASSET, Channel.DOOR_OPEN, *FOR_EVER, 10) == []
    )
    newest = series.last(ASSET, NOON_MS + 5 * MINUTE_MS)
    assert newest[WARMTH] == Point(NOON_MS + 5 * MINUTE_MS, 85_000, 7)
    assert newest[Channel.LATITUDE_E7] == Point(NOON_MS + 2 * MINUTE_MS, AT_SEA[0], 0)
    before = series.last(ASSET, NOON_MS + 3 * MINUTE_MS)
    assert before[WARMTH] == Point(NOON_MS + 3 * MINUTE_MS, 5_300, 0), "what is dated ahead is not yet the last"


def test_the_newest_of_any_span_are_had_however_they_came(series: Series) -> None:
    """Each alone or a few at once, in order or late, over the ends of days and of a week, some without the channel."""
    ship, dice = Ship(series), random.Random(5)
    minutes = sorted(dice.sample(range(-3 * 1_440, 6 * 1_440), 120))
    late = {minute for minute in minutes if dice.random() < 0.2}
    said = [one for one in minutes if one not in late] + sorted(late)
    told = {one: warm(one) if dice.random() < 0.8 else position(AT_SEA) for one in said}
    while said:
        several = dice.choice((1, 1, 1, 2, 9))
        ship.say(*((one, told[one]) for one in said[:several]))
        del said[:several]
        if dice.random() < 0.5:
            ship.feeder.catch_up()
    ship.feeder.catch_up()
    warmths = [one for one in minutes if told[one] == warm(one)]
    for _ in range(60):
        since, until = sorted(dice.sample(range(-4 * 1_440, 7 * 1_440), 2))
        limit = dice.choice((1, 3, 20, 1_000))
        found = series.points(ASSET, WARMTH, NOON_MS + since * MINUTE_MS, NOON_MS + until * MINUTE_MS, limit)
        assert [one.value for one in found] == [one for one in warmths if since <= one < until][-limit:]


def test_two_readings_of_one_moment_both_stay_and_one_that_comes_twice_is_one(series: Series) -> None:
    ship = Ship(series)
    ship.say((1, warm(5_100)), (1, warm(5_200)), (2, warm(5_300)))
    ship.feeder.catch_up()
    again = ship.device.arrival([*ship.device.readings[1:], ship.device.measure(NOON_MS + 3 * MINUTE_MS, *warm(5_400))])
    ship.spine.take([again])
    ship.feeder.catch_up()
    assert [one.value for one in values(series)] == [5_100, 5_200, 5_300, 5_400]


def test_two_devices_of_one_asset_are_told_apart(values_series: Series) -> None:
    """Both read at the same moments and number their readings alike, and one is in doubt where the other is not."""
    ship, other = Ship(values_series), Device("thermometer-2", seed=2)
    (installation,) = book_document(other)["installations"]
    ship.spine.commit(drafts.amend, {"installations": [installation | {"asset": ASSET}]})
    told: list[Point] = []
    for minute in range(4):
        at_ms = ship.clock.at_ms = NOON_MS + minute * MINUTE_MS
        doubt = Quality.POWER_ON_VALUE if minute % 2 else Quality.GOOD
        for device, cell in ((ship.device, temperature(25_000)), (other, temperature(-18_000, doubt))):
            ship.spine.take([device.arrival([device.measure(at_ms, cell)])])
            told.append(Point(at_ms, cell.value, cell.quality, device.name))
    ship.feeder.catch_up()
    assert values(values_series) == told
    assert values(values_series, 3) == told[-3:]
    assert [one.readings for one in values_series.stretches(ASSET, WARMTH, NOON_MS, NOON_MS + HOUR_MS, HOUR_MS)] == [6]


def test_steps_hold_the_good_values_alone(values_series: Series) -> None:
    ship = Ship(values_series)
    ship.say((0, warm(5_000)), (10, warm(7_000)), (20, (temperature(85_000, Quality(7)),)), (70, warm(6_000)))
    ship.feeder.catch_up()
    found = values_series.stretches(ASSET, WARMTH, NOON_MS, NOON_MS + 3 * HOUR_MS, HOUR_MS)
    assert found == [Stretch(NOON_MS, 2, 5_000, 7_000, 6_000.0), Stretch(NOON_MS + HOUR_MS, 1, 6_000, 6_000, 6_000.0)]


def test_a_span_that_begins_within_a_step_tells_nothing_of_before_it(values_series: Series) -> None:
    """Who may see from 12:03 on is not shown the readings of 12:00 to 12:03, and the step is still called 12:00."""
    ship = Ship(values_series)
    ship.say((0, warm(1_000)), (2, warm(9_000)), (3, warm(5_000)), (50, warm(7_000)), (70, warm(6_000)))
    ship.feeder.catch_up()
    span = NOON_MS + 3 * MINUTE_MS, NOON_MS + 70 * MINUTE_MS
    assert values_series.stretches(ASSET, WARMTH, *span, HOUR_MS) == [Stretch(NOON_MS, 2, 5_000, 7_000, 6_000.0)]
    assert [one.value for one in values_series.points(ASSET, WARMTH, *span, 10)] == [5_000, 7_000]


def test_gauges_tell_of_values_alerts_and_the_age_of_evidence(series: Series) -> None:
    ship = Ship(series)
    ship.say((0, (*position(AT_SEA), temperature(5_000))), (10, warm(9_000)), (40, warm(9_000)))
    ship.clock.at_ms = NOON_MS + 100 * MINUTE_MS
    ship.spine.tick()
    ship.feeder.catch_up()
    (value,) = series.gauges("facility", "facility-1", *FOR_EVER)
    assert value.values["eligible_minor"] == 10_000_000
    (alert,) = series.gauges("alert", "lot-container-1", *FOR_EVER)
    assert (alert.values["state"], alert.values["open"], alert.values["severity"]) == ("open", 1, "critical")
    (age,) = series.gauges("evidence", ASSET, *FOR_EVER)
    values: dict[str, int | str] = {
        "age_ms": 60 * MINUTE_MS,
        "heard": 1,
        "level": 0,
        "overdue_ms": 0,
        "facility": "facility-1",
    }
    assert age == Gauge("evidence", ASSET, ship.clock.at_ms, age.place, values)


def test_the_cursor_moves_with_what_is_in_and_clearing_begins_anew(series: Series, tmp_path: Path) -> None:
    ship = Ship(series)
    ship.say((0, warm(5_000)))
    assert ship.feeder.catch_up() == series.cursor == 2
    ship.say((1, warm(6_000)))
    assert Feeder(ship.store, series).catch_up() == 3, "another feeder goes on from the bookmark"
    before = values(series)
    series.clear()
    assert (series.cursor, values(series), series.last(ASSET, NOON_MS)) == (0, [], {})
    ship.feeder.catch_up()
    assert values(series) == before
    assert "points are kept for ever" in series.init()


def test_series_of_another_journal_are_dropped(tmp_path: Path) -> None:
    first = EmbeddedSeries(tmp_path, "journal")
    Ship(first).feeder.catch_up()
    first.close()
    other = EmbeddedSeries(tmp_path, "another journal")
    assert other.bookmark() == (0, {}, {}, 0, 0, {})
    other.close()


def test_a_damaged_file_is_built_again(tmp_path: Path) -> None:
    first = EmbeddedSeries(tmp_path, "journal")
    ship = Ship(first)
    ship.say((0, warm(5_000)))
    ship.feeder.catch_up()
    first.close()
    with (tmp_path / "series.sqlite").open("r+b") as file:
        file.write(b"x" * 100)
    again = EmbeddedSeries(tmp_path, "journal")
    assert again.cursor == 0
    Feeder(ship.store, again).catch_up()
    assert [one.value for one in values(again)] == [5_000]
    again.close()


def test_retention_drops_whole_weeks(tmp_path: Path) -> None:
    series = EmbeddedSeries(tmp_path, "journal", retention_days=10)
    ship = Ship(series)
    for week in range(5):
        ship.say((week * WEEK_MS / MINUTE_MS, warm(5_000 + week)))
        ship.feeder.catch_up()
    kept = [one.value for one in values(series)]
    assert kept == [5_002, 5_003, 5_004]
    assert values(series)[-1].measured_at_ms - values(series)[0].measured_at_ms >= 10 * DAY_MS
    series.close()


def test_a_device_dated_far_ahead_drops_nothing(tmp_path: Path) -> None:
    series = EmbeddedSeries(tmp_path, "journal", retention_days=10)
    ship = Ship(series)
    ship.say((0, warm(5_000)))
    ahead = ship.device.measure(NOON_MS + 1_000 * DAY_MS, *warm(5_100))
    ship.spine.take([ship.device.arrival([ahead])])
    ship.feeder.catch_up()
    assert [one.value for one in values(series)] == [5_000, 5_100]
    series.close()


def test_evidence_is_as_old_in_a_series_that_follows_as_in_one_that_is_built_again(tmp_path: Path) -> None:
    """A reading from before the newest one comes after the series has had that."""
    ages = []
    for name, follows in (("followed", True), ("built", False)):
        series = EmbeddedSeries(tmp_path / name, "journal")
        ship = Ship(series)
        late = ship.device.measure(NOON_MS, *warm(5_000))
        ship.say((60, warm(5_100)))
        if follows:
            ship.feeder.catch_up()
        ship.spine.take([ship.device.arrival([late])])
        ship.clock.at_ms = NOON_MS + 70 * MINUTE_MS
        ship.spine.tick()
        ship.feeder.catch_up()
        ages.append([one.values["age_ms"] for one in series.gauges("evidence", ASSET, *FOR_EVER)])
        series.close()
    assert ages == [[10 * MINUTE_MS]] * 2


def test_points_that_influxdb_will_never_take_hold_nothing_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It takes the others, and says 422."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(422)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        series = InfluxSeries(tmp_path, "journal", url=url, token="none", org="o", bucket="b", timeout_s=5.0)
        ship = Ship(series)
        ship.say((0, warm(5_000)))
        assert ship.feeder.advance() == series.cursor == ship.spine.state.entry
        series.close()
        server.shutdown()
    assert "InfluxDB has taken all but some of the points" in caplog.text


def test_a_series_that_cannot_be_written_waits_with_its_cursor(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    series = InfluxSeries(tmp_path, "journal", url=nobody, token="none", org="o", bucket="b", timeout_s=1.0)
    ship = Ship(series)
    ship.say((0, warm(5_000)))
    with pytest.raises(SeriesError, match="InfluxDB"):
        ship.feeder.advance()
    assert series.cursor == 0
    waits: list[float] = []

    def is_wanted(wait_s: float) -> bool:
        waits.append(wait_s)
        return len(waits) < 4

    ship.feeder.follow(is_wanted)
    assert waits == [0.0, 1.0, 2.0, 4.0]
    assert caplog.text.count("cannot be carried on") == 1
    series.close()


@pytest.fixture
def victoria(tmp_path: Path) -> Iterator[str]:
    """The address of a VictoriaMetrics."""
    program = system_program("victoria-metrics")
    port = free_port()
    arguments = [program, f"-storageDataPath={tmp_path / 'victoria'}", f"-httpListenAddr=127.0.0.1:{port}"]
    arguments += ["-retentionPeriod=100y", "-loggerLevel=ERROR"]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{address}/health", timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield address
    finally:
        process.kill()
        process.wait()


def exported(address: str, name: str) -> list[tuple[int, float]]:
    """What a VictoriaMetrics holds of a metric, by time."""
    urllib.request.urlopen(f"{address}/internal/force_flush", timeout=5).close()
    with urllib.request.urlopen(f"{address}/api/v1/export?match={name}", timeout=5) as answer:
        lines = [json.loads(line) for line in answer.read().splitlines()]
    return sorted(pair for line in lines for pair in zip(line["timestamps"], line["values"], strict=True))


def test_a_server_that_speaks_the_write_api_takes_all_of_it(victoria: str, tmp_path: Path) -> None:
    series = InfluxSeries(tmp_path, "journal", url=victoria, token="none", org="o", bucket="b")
    ship = Ship(series)
    ship.say(*((minute, (*position(AT_SEA), temperature(5_000 + minute))) for minute in range(30)))
    ship.say((30, (temperature(85_000, Quality(7)),)), (31, (temperature(0, Quality.SENSOR_GONE),)))
    ship.clock.at_ms = NOON_MS + 60 * MINUTE_MS
    ship.spine.tick()
    assert ship.feeder.catch_up() == 4
    found = exported(victoria, "reading_temperature_mc")
    assert found == [(NOON_MS + minute * MINUTE_MS, 5_000 + minute) for minute in range(30)]
    assert exported(victoria, "reading_temperature_mc_doubted") == [(NOON_MS + 30 * MINUTE_MS, 85_000)]
    assert [code for _, code in exported(victoria, "reading_temperature_mc_quality")] == [7, Quality.SENSOR_GONE]
    assert exported(victoria, "facility_eligible_minor")[0][1] == 10_000_000
    assert exported(victoria, "evidence_age_ms") == [(ship.clock.at_ms, 29 * MINUTE_MS)]
    series.close()
