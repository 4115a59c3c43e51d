"""What each kind of sensor makes of what its world says."""

import asyncio
import json
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from gpiod.line import Bias, Direction, Edge, Value
from modbus_slave import Slave
from sensor_worlds import NOW_MS, ContactsWorld, ModbusRtuWorld, clock

from pledgewatch_edge.bouts import FIRST_MAX
from pledgewatch_edge.clock import BELIEVED_UNTIL_MS, RELEASED_MS, AgentClock
from pledgewatch_edge.fixes import FixKind, FixQuality
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.sensor_contract import begun
from pledgewatch_edge.sensors import channel_named
from pledgewatch_edge.sensors.adxl345 import Adxl345Sensor, Adxl345Settings, shock_mg
from pledgewatch_edge.sensors.contacts import ContactsSettings, GpiodLines, LineSettings
from pledgewatch_edge.sensors.fix_sampler import FixSampler
from pledgewatch_edge.sensors.gpsd import GpsdSensor, GpsdSettings, fix_of, report_of
from pledgewatch_edge.sensors.host import HostSensor, HostSettings
from pledgewatch_edge.sensors.i2c import SmbusBus
from pledgewatch_edge.sensors.modbus import MappedRegister, ModbusSettings
from pledgewatch_edge.sensors.sht3x import Sht3xSensor, Sht3xSettings, crc, parse
from pledgewatch_sim.gpsd import DEVICE, Gpsd, sky, tpv
from pledgewatch_sim.i2c import Adxl345, FakeSmbus, Sht3x
from pledgewatch_wire.reading import Cell, Channel, Clock, Quality

LATER_MS = RELEASED_MS + 1_000_000


def heard(report: dict[str, Any]) -> Any:
    """A report as it comes off the wire."""
    return report_of(json.dumps(report).encode("ascii"))


@pytest.mark.parametrize(
    ("members", "kind", "quality"),
    [
        ({}, FixKind.THREE, FixQuality.GOOD),
        ({"mode": 2}, FixKind.TWO, FixQuality.GOOD),
        ({"mode": 1}, FixKind.NONE, FixQuality.NO_FIX),
        ({"mode": 0}, FixKind.NONE, FixQuality.NO_FIX),
        ({"mode": "3"}, FixKind.NONE, FixQuality.NO_FIX),
        ({"mode": True}, FixKind.NONE, FixQuality.NO_FIX),
        ({"lat": 90.1}, FixKind.NONE, FixQuality.NO_FIX),
        ({"lat": None}, FixKind.NONE, FixQuality.NO_FIX),
        ({"lon": "-118.2"}, FixKind.NONE, FixQuality.NO_FIX),
        ({"status": 1}, FixKind.THREE, FixQuality.GOOD),
        ({"status": 2}, FixKind.THREE, FixQuality.GOOD),
        ({"status": 5}, FixKind.THREE, FixQuality.ESTIMATED),
        ({"status": 6}, FixKind.THREE, FixQuality.ESTIMATED),
        ({"status": 7}, FixKind.THREE, FixQuality.MANUAL),
        ({"status": 8}, FixKind.THREE, FixQuality.SIMULATED),
        ({"time": "yesterday"}, FixKind.THREE, FixQuality.NO_TIME),
        ({"time": "2026-01-01T12:00:00+02:00"}, FixKind.THREE, FixQuality.NO_TIME),
        ({"time": "9999-11-27T08:00:00.000Z"}, FixKind.THREE, FixQuality.NO_TIME),
        ({"time": "0001-11-27T08:00:00.000Z"}, FixKind.THREE, FixQuality.NO_TIME),
    ],
)
def test_a_fix_of_gpsd(members: dict[str, Any], kind: FixKind, quality: FixQuality) -> None:
    fix = fix_of(heard(tpv(LATER_MS, 33.7405, -118.2755) | members), heard(sky()))
    assert (fix.fix, fix.quality) == (kind, quality)
    if kind is not FixKind.NONE:
        assert (fix.latitude_e7, fix.longitude_e7) == (337_405_000, -1_182_755_000)
    else:
        assert (fix.latitude_e7, fix.longitude_e7) == (None, None)
    if "time" not in members:
        assert fix.time_ms == LATER_MS


def test_a_number_that_no_program_holds_is_not_said() -> None:
    beyond = b"1e99999999999999999999"
    line = json.dumps(tpv(LATER_MS, 33.7405, -118.2755)).encode("ascii").replace(b"33.7405", beyond)
    assert beyond in line
    fix = fix_of(report_of(line), report_of(b'{"uSat":8,"hdop":-%b}' % beyond))
    assert (fix.latitude_e7, fix.longitude_e7, fix.hdop_centi) == (None, None, None)
    assert (fix.fix, fix.quality, fix.time_ms) == (FixKind.NONE, FixQuality.NO_FIX, LATER_MS)


def test_a_fix_of_decades_ahead_is_one_without_a_time() -> None:
    ours = clock()
    fix = fix_of(heard(tpv(BELIEVED_UNTIL_MS, 33.7405, -118.2755)), {})
    (told,) = FixSampler(ours, 0.0).take(fix, None)
    assert (told.measured_at_ms, told.clock) == (NOW_MS, Clock.NTP)
    assert {one.quality for one in told.cells} == {Quality.NO_TIME}
    assert ours.now() == (NOW_MS, Clock.NTP)


def test_what_satellites_say_of_a_fix() -> None:
    told = heard(tpv(LATER_MS, 1.0, 2.0))
    assert fix_of(told, heard(sky(uSat=2))).quality is FixQuality.FEW_SATELLITES
    assert fix_of(told, heard(sky(hdop=20.01))).quality is FixQuality.HIGH_HDOP
    whole = fix_of(told, heard(sky(hdop=0.94)))
    assert (whole.satellites, whole.hdop_centi) == (8, 94)
    assert (whole.altitude_mm, whole.speed_mmps, whole.course_cdeg) == (12_300, 514, 9_000)
    bare = fix_of(told, {})
    assert (bare.satellites, bare.hdop_centi, bare.quality) == (None, None, FixQuality.GOOD)


async def test_gpsd_sets_the_clock_from_the_third_whole_fix_on() -> None:
    ours = AgentClock(system_ms=lambda: 5, monotonic_ms=lambda: 0, is_synchronised=lambda: False)
    async with asyncio.timeout(60), Gpsd() as gpsd:
        sensor = GpsdSensor(GpsdSettings(port=gpsd.port), ours)
        async with aclosing(sensor.samples()) as samples:
            clocks = []
            first = asyncio.ensure_future(anext(samples))
            await gpsd.watched()
            for turn in range(4):
                gpsd.say(tpv(LATER_MS + turn * 1_000, 1.0, 2.0))
                sample: Sample = await first if turn == 0 else await anext(samples)
                assert (sample.measured_at_ms, sample.clock) == (LATER_MS + turn * 1_000, Clock.GPS)
                clocks.append(ours.now()[1])
    assert clocks == [Clock.UNSET, Clock.UNSET, Clock.GPS, Clock.GPS]


async def test_gpsd_sets_no_clock_while_every_third_fix_is_in_two_dimensions() -> None:
    ours = AgentClock(system_ms=lambda: 5, monotonic_ms=lambda: 0, is_synchronised=lambda: False)
    async with asyncio.timeout(60), Gpsd() as gpsd:
        sensor = GpsdSensor(GpsdSettings(port=gpsd.port), ours)
        async with aclosing(sensor.samples()) as samples:
            first = asyncio.ensure_future(anext(samples))
            await gpsd.watched()
            for turn in range(9):
                gpsd.say(tpv(LATER_MS + turn * 1_000, 1.0, 2.0) | {"mode": 2 if turn % 3 == 2 else 3})
                await (first if turn == 0 else anext(samples))
                assert ours.now()[1] is Clock.UNSET


WILD_MS = LATER_MS + 10 * 365 * 86_400_000


@pytest.mark.parametrize(
    ("told_ms", "is_set"),
    [
        ([0, 1_000, 2_000], [False, False, True]),
        ([0, 0, 0, 0, 1_000], [False, False, False, False, False]),  # one time, told again and again
        ([WILD_MS, 0, 1_000, 2_000], [False, False, False, True]),
        ([0, 1_000, WILD_MS, 2_000, 3_000, 4_000], [False, False, False, False, False, True]),
        ([0, 1_000, 2_000, WILD_MS, 3_000], [False, False, True, True, True]),
        ([0, None, 1_000, 2_000, 3_000], [False, False, False, False, True]),
    ],
)
def test_one_wild_fix_sets_no_clock(told_ms: list[int | None], is_set: list[bool]) -> None:
    passed_ms = 0
    ours = AgentClock(system_ms=lambda: 5, monotonic_ms=lambda: passed_ms, is_synchronised=lambda: False)
    sampler = FixSampler(ours, 0.0)
    whole = fix_of(heard(tpv(LATER_MS, 33.7405, -118.2755)), {})
    found = []
    for one_ms in told_ms:
        time_ms = one_ms if one_ms is None or one_ms == WILD_MS else LATER_MS + one_ms
        sampler.take(replace(whole, time_ms=time_ms), passed_ms)
        now_ms, by = ours.now()
        found.append(by is Clock.GPS)
        assert now_ms < LATER_MS + 86_400_000
        passed_ms += 1_000
    assert found == is_set


def test_fixes_that_are_hours_apart_agree_where_as_much_has_passed() -> None:
    passed_ms = 0
    ours = AgentClock(system_ms=lambda: 5, monotonic_ms=lambda: passed_ms, is_synchronised=lambda: False)
    sampler = FixSampler(ours, 0.0)
    whole = fix_of(heard(tpv(LATER_MS, 33.7405, -118.2755)), {})
    for turn in range(3):
        assert ours.now()[1] is Clock.UNSET
        passed_ms = turn * 6 * 3_600_000
        sampler.take(replace(whole, time_ms=LATER_MS + passed_ms), None)
    assert ours.now() == (LATER_MS + passed_ms, Clock.GPS)


def test_under_deck_a_receivers_own_time_dates_nothing_that_the_agents_clock_dates() -> None:
    """A payload has one clock: were it the receiver's for a fix without a place and the computer's for a probe, a
    backlog of weeks would go out reading by reading."""
    passed_ms = 0
    ours = AgentClock(
        system_ms=lambda: LATER_MS + passed_ms, monotonic_ms=lambda: passed_ms, is_synchronised=lambda: False
    )
    sampler = FixSampler(ours, 0.0)
    whole = fix_of(heard(tpv(LATER_MS, 33.7405, -118.2755)), {})
    clocks = []
    for hour in range(22 * 24):
        passed_ms = hour * 3_600_000
        fix = replace(whole, time_ms=LATER_MS + passed_ms)
        if hour >= 3:
            fix = replace(fix, latitude_e7=None, longitude_e7=None, fix=FixKind.NONE, quality=FixQuality.NO_FIX)
        (told,) = sampler.take(fix, None)
        if hour >= 3:
            assert (told.measured_at_ms, told.clock) == ours.now()
            clocks.append(told.clock)
    assert clocks == [Clock.GPS] * clocks.count(Clock.GPS) + [Clock.RTC] * clocks.count(Clock.RTC)
    assert set(clocks) == {Clock.GPS, Clock.RTC}


@pytest.mark.parametrize("time_ms", [LATER_MS, RELEASED_MS - 1])
def test_where_the_clock_was_never_set_a_receiver_without_a_place_dates_itself_from_2026_on(time_ms: int) -> None:
    ours = AgentClock(system_ms=lambda: 5, monotonic_ms=lambda: 0, is_synchronised=lambda: False)
    whole = fix_of(heard(tpv(time_ms, 33.7405, -118.2755)), {})
    lost = replace(whole, latitude_e7=None, longitude_e7=None, fix=FixKind.NONE, quality=FixQuality.NO_FIX)
    (told,) = FixSampler(ours, 0.0).take(lost, None)
    expected = (LATER_MS, Clock.GPS) if time_ms == LATER_MS else (5, Clock.UNSET)
    assert (told.measured_at_ms, told.clock) == expected
    assert ours.now()[1] is Clock.UNSET


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"GPGGA,1,2\r\n", "sends what is no report of gpsd"),
        (b"[1]\r\n", "sends what is no report of gpsd"),
        (b"[" * 60_000 + b"\r\n", "sends what is no report of gpsd"),
        (b"x" * 200_000, "sends a line of more than 65536 bytes"),
        (b'{"class":"ERROR","message":"no"}\r\n', "refuses to watch: no"),
    ],
)
async def test_gpsd_that_is_none_is_left_and_asked_again(
    said: bytes, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with asyncio.timeout(60), Gpsd() as gpsd:
        sensor = GpsdSensor(GpsdSettings(port=gpsd.port), clock())
        async with aclosing(sensor.samples()) as samples:
            first = asyncio.ensure_future(anext(samples))
            await gpsd.watched()
            gpsd.say(said)
            while gpsd.connections < 2:
                await asyncio.sleep(0.01)
            await gpsd.watched()
            gpsd.say(tpv(LATER_MS, 1.0, 2.0))
            assert (await first).measured_at_ms == LATER_MS
    assert words in caplog.text


async def test_a_gpsd_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pledgewatch_edge.sensors.fix_sampler.GONE_AFTER_S", 0.1)
    monkeypatch.setattr("pledgewatch_edge.sensors.fix_sampler.GONE_AGAIN_S", 0.1)
    async with Gpsd() as gpsd:
        port = gpsd.port
    async with asyncio.timeout(60), aclosing(GpsdSensor(GpsdSettings(port=port), clock()).samples()) as samples:
        for _ in range(2):
            sample = await anext(samples)
            assert sample.measured_at_ms == NOW_MS
            assert [cell.channel for cell in sample.cells] == [Channel.LATITUDE_E7, Channel.LONGITUDE_E7]
            assert {(cell.value, cell.quality) for cell in sample.cells} == {(0, Quality.SENSOR_GONE)}


async def test_a_receiver_is_silent_whatever_gpsd_says_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pledgewatch_edge.sensors.fix_sampler.GONE_AFTER_S", 0.1)
    async with asyncio.timeout(60), Gpsd() as gpsd:
        sensor = GpsdSensor(GpsdSettings(port=gpsd.port, device=DEVICE, silent_after_s=0.2), clock())
        async with aclosing(sensor.samples()) as samples:
            first = asyncio.ensure_future(anext(samples))
            while not first.done():
                gpsd.say(tpv(LATER_MS, 1.0, 2.0, device="/dev/ttyS9"))
                await asyncio.sleep(0.01)
            assert {cell.quality for cell in first.result().cells} == {Quality.SENSOR_GONE}


async def test_of_several_devices_one_is_taken() -> None:
    async with asyncio.timeout(60), Gpsd() as gpsd:
        sensor = GpsdSensor(GpsdSettings(port=gpsd.port, device=DEVICE), clock())
        async with aclosing(sensor.samples()) as samples:
            first = asyncio.ensure_future(anext(samples))
            await gpsd.watched()
            gpsd.say(tpv(LATER_MS, 1.0, 2.0, device="/dev/ttyS9"), tpv(LATER_MS + 1, 1.0, 2.0))
            assert (await first).measured_at_ms == LATER_MS + 1


def test_the_crc_of_the_data_sheet() -> None:
    assert crc(b"\xbe\xef") == 0x92


@pytest.mark.parametrize(
    ("signals", "temperature", "humidity"),
    [
        ((0, 0), (-45_000, Quality.GOOD), (0, Quality.GOOD)),
        ((0xFFFF, 0xFFFF), (130_000, Quality.GOOD), (10_000, Quality.GOOD)),
        ((0x6666, 0x8000), (25_000, Quality.GOOD), (5_000, Quality.GOOD)),
        ((1, 4), (-44_997, Quality.GOOD), (1, Quality.GOOD)),  # rounded half up
    ],
)
def test_a_measurement_of_an_sht3x(
    signals: tuple[int, int], temperature: tuple[int, Quality], humidity: tuple[int, Quality]
) -> None:
    words = [one.to_bytes(2, "big") for one in signals]
    data = b"".join(word + bytes([crc(word)]) for word in words)
    assert parse(data) == (temperature, humidity)
    for bit in range(48):
        spoilt = bytearray(data)
        spoilt[bit // 8] ^= 1 << bit % 8
        found = parse(bytes(spoilt))
        assert found[bit // 24] == (0, Quality.CHECKSUM_FAILED)
        assert found[1 - bit // 24] == (temperature, humidity)[1 - bit // 24]


async def test_an_sht3x_on_a_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    chip = Sht3x(-18_250, 9_512)
    monkeypatch.setattr("smbus2.SMBus", FakeSmbus({0x45: chip}))
    settings = Sht3xSettings(address=0x45, temperature="temperature_3_mc", interval_s=0.05)
    sensor = Sht3xSensor(settings, clock(), lambda: SmbusBus(1))
    async with asyncio.timeout(60), aclosing(sensor.samples()) as samples:
        cells = {cell.channel: cell for cell in (await anext(samples)).cells}
        assert abs(cells[Channel.TEMPERATURE_3_MC].value - -18_250) <= 2, "a step is 2.7 thousandths"
        assert abs(cells[Channel.HUMIDITY_CPERCENT].value - 9_512) <= 1
        chip.spoil = lambda data: data[:2] + bytes([data[2] ^ 1]) + data[3:]
        cells = {cell.channel: cell for cell in (await anext(samples)).cells}
        assert cells[Channel.TEMPERATURE_3_MC] == Cell(Channel.TEMPERATURE_3_MC, 0, Quality.CHECKSUM_FAILED)
        assert cells[Channel.HUMIDITY_CPERCENT].quality == Quality.GOOD


def test_a_shock_is_what_is_not_rest() -> None:
    assert shock_mg(b"\x00\x00\x00\x00\x00\x01") == 2, "1 g along an axis is rest"
    assert shock_mg(bytes(6)) == 1_000, "so is nothing of a falling one not"
    assert shock_mg((1_026).to_bytes(2, "little") + bytes(4)) == 3_001


async def test_a_blow_is_told_at_once_and_a_full_queue_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pledgewatch_edge.sensors.adxl345.EMPTY_EVERY_S", 0.02)
    chip = Adxl345()
    monkeypatch.setattr("smbus2.SMBus", FakeSmbus({0x53: chip}))
    sensor = Adxl345Sensor(Adxl345Settings(interval_s=60, alert_mg=1_500), clock(), lambda: SmbusBus(1))
    async with asyncio.timeout(60), aclosing(sensor.samples()) as samples:
        first = asyncio.ensure_future(anext(samples))
        while not chip.registers[0x2D]:
            await asyncio.sleep(0.01)
        chip.rest(10)
        chip.measure(3.0, 0.0, 0.0)
        hard = await first
        (cell,) = hard.cells
        assert (cell.quality, hard.is_urgent) == (Quality.GOOD, True)
        assert abs(cell.value - 2_000) < 10
        for _ in range(40):
            chip.measure(0.0, 0.0, 4.0)
        (cell,) = (await anext(samples)).cells
        assert (cell.quality, chip.lost) == (Quality.ESTIMATED, 8)


async def test_one_that_is_shaken_is_told_of_until_it_says_nothing_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pledgewatch_edge.sensors.adxl345.EMPTY_EVERY_S", 0.02)
    chip = Adxl345()
    monkeypatch.setattr("smbus2.SMBus", FakeSmbus({0x53: chip}))
    sensor = Adxl345Sensor(Adxl345Settings(interval_s=60, alert_mg=1_500), clock(), lambda: SmbusBus(1))
    turns, force_g = 0, 3.0

    def shaken() -> tuple[int, bool]:
        nonlocal turns
        turns += 1
        chip.measure(force_g, 0.0, 0.0)
        return emptied()

    emptied = sensor._bus._call
    sensor._bus._call = shaken
    async with asyncio.timeout(60), aclosing(sensor.samples()) as samples:
        assert all([(await anext(samples)).is_urgent for _ in range(FIRST_MAX)])
        next_one = asyncio.ensure_future(anext(samples))
        while turns < 5 * FIRST_MAX:
            await asyncio.sleep(0.01)
        assert not next_one.done()
        force_g = 4.1
        harder = await next_one
    assert (harder.is_urgent, abs(harder.cells[0].value - 3_100) < 10) == (True, True)


async def test_another_chip_at_the_address_is_no_accelerometer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("pledgewatch_edge.sensors.adxl345.EMPTY_EVERY_S", 0.02)
    monkeypatch.setattr("smbus2.SMBus", FakeSmbus({0x53: Adxl345(identity=0x33)}))
    sensor = Adxl345Sensor(Adxl345Settings(interval_s=0.25), clock(), lambda: SmbusBus(1))
    async with asyncio.timeout(60), aclosing(sensor.samples()) as samples:
        assert (await anext(samples)).cells == (Cell(Channel.SHOCK_MG, 0, Quality.SENSOR_GONE),)
    assert "is no ADXL345: it calls itself 0x33" in caplog.text


class HungBus:
    """A bus whose transfers do not return before `may_end`."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.closed = 0

    def write(self, address: int, data: bytes) -> None:
        self.may_end.wait(30)
        raise OSError("no answer")

    def read(self, address: int, length: int) -> bytes:
        raise AssertionError("nothing was written")

    def ask(self, address: int, data: bytes, length: int) -> bytes:
        self.may_end.wait(30)
        raise OSError("no answer")

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("kind", ["sht3x", "adxl345"])
async def test_an_i2c_bus_that_hangs_is_told_and_not_closed_under_the_call(
    kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(f"pledgewatch_edge.sensors.{kind}.ANSWER_S", 0.2)
    bus = HungBus()
    sensor: Sht3xSensor | Adxl345Sensor
    if kind == "sht3x":
        sensor = Sht3xSensor(Sht3xSettings(interval_s=0.25), clock(), lambda: bus)
    else:
        sensor = Adxl345Sensor(Adxl345Settings(interval_s=0.25), clock(), lambda: bus)
    for _ in range(2):
        async with asyncio.timeout(60), aclosing(sensor.samples()) as samples:
            assert {cell.quality for cell in (await anext(samples)).cells} == {Quality.SENSOR_GONE}
        assert bus.closed == 0
    assert caplog.text.count("lost reason='does not answer'") == 1
    (thread,) = [one for one in threading.enumerate() if one.name == kind]
    bus.may_end.set()
    await asyncio.to_thread(thread.join, 10)
    assert bus.closed == 1


async def test_a_door_that_was_opened_and_closed_was_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = ContactsWorld(tmp_path, monkeypatch)
    world.settings = ContactsSettings(lines=world.settings.lines, interval_s=60)
    async with asyncio.timeout(60), begun(world), aclosing(world.sensor(clock()).samples()) as samples:
        assert [cell.value for cell in (await anext(samples)).cells] == [0, 0]
        world.contacts.set(17, is_active=True)
        world.contacts.set(17, is_active=False)
        world.contacts.set(27, is_active=True)
        found = [[cell.value for cell in (await anext(samples)).cells] for _ in range(3)]
    assert found == [[1, 0], [0, 0], [0, 1]], "door, light"


class _Request:
    """What gpiod.request_lines gives."""

    def __init__(self, path: str, config: dict[int, Any], consumer: str) -> None:
        self.path, self.config, self.consumer = path, config, consumer
        self.fd, self.released = os.open("/dev/null", os.O_RDONLY), False

    def get_values(self, offsets: list[int]) -> list[Any]:
        return [Value.ACTIVE if one == 4 else Value.INACTIVE for one in offsets]

    def wait_edge_events(self, _timeout: Any) -> bool:
        return False

    def release(self) -> None:
        os.close(self.fd)
        self.released = True


def test_how_lines_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpiod.request_lines", _Request)
    lines = (
        LineSettings(line=17, channel="door_open"),
        LineSettings(line=4, channel="leak", active_low=True, bias="pull_down"),  # type: ignore[arg-type]
    )
    opened = GpiodLines(ContactsSettings(lines=lines, chip=Path("/dev/gpiochip3"), debounce_s=0.02))
    request = opened._request
    assert (request.path, request.consumer, sorted(request.config)) == ("/dev/gpiochip3", "pledgewatch-edge", [4, 17])
    door, leak = request.config[17], request.config[4]
    assert (door.direction, door.edge_detection, door.bias) == (Direction.INPUT, Edge.BOTH, Bias.PULL_UP)
    assert (leak.active_low, leak.bias, leak.debounce_period.total_seconds()) == (True, Bias.PULL_DOWN, 0.02)
    assert opened.states() == [False, True]
    assert opened.changes() == []
    assert opened.fileno() == request.fd
    opened.close()
    assert request.released


def test_a_chip_that_is_not_there_is_an_os_error() -> None:
    lines = (LineSettings(line=17, channel="door_open"),)
    with pytest.raises(OSError, match="No such file"):
        GpiodLines(ContactsSettings(lines=lines, chip=Path("/dev/gpiochip-none")))


async def _modbus(settings: ModbusSettings) -> Sample:
    async with aclosing(settings.sensor(clock()).samples()) as samples:
        return await anext(samples)


async def test_registers_of_every_kind(tmp_path: Path) -> None:
    slave = Slave()
    slave.inputs = {4: 45, 5: 0x8000, 10: 0x7FFF}
    slave.holding = {0: 0x86A0, 1: 1, 2: 0x4148, 3: 0xF5C3}
    slave.discrete = {8: True}
    slave.coils = {3: False}
    server = await asyncio.start_server(slave.serve, "127.0.0.1", 0)
    path = tmp_path / "map.toml"
    path.write_text(
        """
        [[registers]]
        channel = "temperature_mc"
        address = 4
        table = "input"
        scale = 100
        [[registers]]
        channel = "temperature_1_mc"
        address = 5
        table = "input"
        absent = -32768
        [[registers]]
        channel = "weight_g"
        address = 0
        type = "uint32"
        word_order = "low_first"
        scale = 10
        offset = -5
        [[registers]]
        channel = "power_w"
        address = 2
        type = "float32"
        scale = 1000
        [[registers]]
        channel = "door_open"
        address = 8
        table = "discrete"
        [[registers]]
        channel = "leak"
        address = 3
        table = "coil"
        [[registers]]
        channel = "energy_wh"
        address = 99
        """,
        encoding="utf-8",
    )
    async with asyncio.timeout(60), server:
        port = server.sockets[0].getsockname()[1]
        sample = await _modbus(ModbusSettings(map=path, host="127.0.0.1", port=port, timeout_s=1.0))
    assert sample.cells == (
        Cell(Channel.TEMPERATURE_MC, 4_500),
        Cell(Channel.DOOR_OPEN, 1),
        Cell(Channel.POWER_W, 12_560),
        Cell(Channel.TEMPERATURE_1_MC, 0, Quality.NOT_REPORTED),
        Cell(Channel.WEIGHT_G, 999_995),
        Cell(Channel.ENERGY_WH, 0, Quality.NOT_REPORTED),
        Cell(Channel.LEAK, 0),
    )
    assert (sample.measured_at_ms, sample.clock) == (NOW_MS, Clock.NTP)


async def test_a_line_that_answers_noise_is_a_device_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = ModbusRtuWorld(tmp_path, monkeypatch)
    monkeypatch.setattr(world.line, "hear", lambda _data: b"\x07\x03\x04\x00\x01\x86\xa0\x00\x00")
    async with asyncio.timeout(60), begun(world), aclosing(world.sensor(clock()).samples()) as samples:
        assert (await anext(samples)).cells == (Cell(Channel.WEIGHT_G, 0, Quality.SENSOR_GONE),)


def test_a_map_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    path = tmp_path / "map.toml"
    for text, words in (
        ('[[registers]]\nchannel = "warmth"\naddress = 1\n', "channel 'warmth' is none"),
        ('[[registers]]\nchannel = "weight_g"\naddress = 65536\n', "address 65536 is out of range"),
        ('[[registers]]\nchannel = "door_open"\naddress = 1\n', "bits are states"),
        ('[[registers]]\nchannel = "weight_g"\naddress = 1\ntable = "coil"\n', "bits are states"),
        ('[[registers]]\nchannel = "weight_g"\naddress = 1\n' * 2, "channel 'weight_g' more than once"),
        ("registers = []\n", "names 0 registers"),
        ("registers = [\n", "is not TOML"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=words):
            ModbusSettings(map=path, host="h")
    with pytest.raises(ValueError, match="cannot be read"):
        ModbusSettings(map=tmp_path / "none.toml", host="h")
    path.write_text('[[registers]]\nchannel = "weight_g"\naddress = 1\n', encoding="utf-8")
    with pytest.raises(ValueError, match="name either host"):
        ModbusSettings(map=path)


def test_a_value_that_no_channel_holds_is_none() -> None:
    register = MappedRegister(address=0, channel="weight_g", scale=1e20)
    assert register.value_of(Decimal(1)) is None
    assert register.value_of(Decimal(0)) == 0
    with pytest.raises(ValueError, match="is none; there are"):
        channel_named("WEIGHT_G")


async def test_what_the_computer_says_of_itself(tmp_path: Path) -> None:
    (tmp_path / "temp").write_text("48312\n", encoding="ascii")
    (tmp_path / "throttled").write_text("50005\n", encoding="ascii")
    settings = HostSettings(disk=tmp_path, thermal=tmp_path / "temp", throttling=tmp_path / "throttled")
    ours = AgentClock(system_ms=lambda: LATER_MS + 250, monotonic_ms=lambda: 0, is_synchronised=lambda: True)
    sensor = HostSensor(settings, ours)
    async with asyncio.timeout(60), aclosing(sensor.samples()) as samples:
        cells = {cell.channel: cell.value for cell in (await anext(samples)).cells}
    assert cells.pop(Channel.DISK_FREE_MIB) > 0
    assert cells == {Channel.HOST_TEMPERATURE_MC: 48_312, Channel.THROTTLED: 0x50005}
    sensor.spooled = lambda: 17
    ours.set_by_fix(LATER_MS)
    (tmp_path / "temp").write_text("warm\n", encoding="ascii")
    async with asyncio.timeout(60), aclosing(sensor.samples()) as samples:
        cells = {cell.channel: cell.value for cell in (await anext(samples)).cells}
    del cells[Channel.DISK_FREE_MIB]
    assert cells == {Channel.THROTTLED: 0x50005, Channel.SPOOL_READINGS: 17, Channel.CLOCK_OFFSET_MS: 250}


async def test_a_disk_that_hangs_is_told_and_hangs_one_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As one on a network does that nobody answers for."""
    monkeypatch.setattr("pledgewatch_edge.sensors.host.ANSWER_S", 0.2)
    may_answer, statvfs = threading.Event(), os.statvfs
    monkeypatch.setattr("os.statvfs", lambda path: (may_answer.wait(20), statvfs(path))[1])
    (tmp_path / "temp").write_text("48312\n", encoding="ascii")
    nowhere = tmp_path / "nowhere"
    settings = HostSettings(disk=tmp_path, thermal=tmp_path / "temp", throttling=nowhere, interval_s=0.05)
    sensor = HostSensor(settings, AgentClock())
    warm = Cell(Channel.HOST_TEMPERATURE_MC, 48_312)
    pool = ThreadPoolExecutor(1)
    asyncio.get_running_loop().set_default_executor(pool)
    for _ in range(3):  # as often as it is begun anew: each report that is asked for does that
        async with asyncio.timeout(60), aclosing(sensor.samples()) as samples:
            for _ in range(2):
                gone, *others = (await anext(samples)).cells
                assert (gone, others) == (Cell(Channel.DISK_FREE_MIB, 0, Quality.SENSOR_GONE), [warm])
    (thread,) = [one for one in threading.enumerate() if one.name == "host disk"]
    assert thread.daemon, "the process ends without it"
    async with asyncio.timeout(60):
        assert await asyncio.to_thread(lambda: 7) == 7, "the only thread that others have is free"
    assert [record.getMessage() for record in caplog.records] == [f"disk {tmp_path} lost reason='does not answer'"]
    may_answer.set()
    await asyncio.to_thread(thread.join, 10)
    async with asyncio.timeout(60), aclosing(sensor.samples()) as samples:
        first = (await anext(samples)).cells[0]
    assert (first.channel, first.quality, first.value > 0) == (Channel.DISK_FREE_MIB, Quality.GOOD, True)
