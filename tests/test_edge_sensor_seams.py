"""What sensors do where their world is slow, late, half gone, or not to be believed."""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from edge_support import TIME_MS
from modbus_slave import Slave
from sensor_worlds import NOW_MS, clock

from pledgewatch_edge.clock import RELEASED_MS, AgentClock
from pledgewatch_edge.fixes import FixQuality
from pledgewatch_edge.sample import FIX_CHANNELS, Sample
from pledgewatch_edge.sensors.contacts import ContactsSensor, ContactsSettings, LineSettings
from pledgewatch_edge.sensors.fix_sampler import FIXES_BEFORE_TIME, FixSampler
from pledgewatch_edge.sensors.gps import GpsSensor, GpsSettings
from pledgewatch_edge.sensors.gpsd import SKY_HOLDS_S, GpsdSensor, GpsdSettings, fix_of
from pledgewatch_edge.sensors.modbus import NOT_MAPPED, TOGETHER_S, ModbusSensor, ModbusSettings, client_of
from pledgewatch_edge.sensors.polling import moments
from pledgewatch_sim.gpsd import Gpsd, sky, tpv
from pledgewatch_sim.nmea_writer import ReceiverState, cycle
from pledgewatch_sim.pty_port import PtyPort
from pledgewatch_wire.reading import Cell, Channel, Clock, Quality

LATER_MS = RELEASED_MS + 1_000_000
PROBES = ("temperature_mc", "temperature_1_mc", "temperature_2_mc", "temperature_3_mc")


@pytest.mark.parametrize(
    ("quality", "sets_clock"),
    [
        *((one, False) for one in (FixQuality.SIMULATED, FixQuality.ESTIMATED, FixQuality.MANUAL, FixQuality.SPOOFED)),
        *((one, True) for one in (FixQuality.GOOD, FixQuality.FEW_SATELLITES, FixQuality.HIGH_HDOP, FixQuality.JAMMED)),
    ],
)
def test_a_fix_that_is_no_evidence_sets_no_clock(quality: FixQuality, *, sets_clock: bool) -> None:
    passed_ms = 0
    ours = AgentClock(system_ms=lambda: 5, monotonic_ms=lambda: passed_ms, is_synchronised=lambda: False)
    sampler = FixSampler(ours, 0.0)
    whole = replace(fix_of(tpv(LATER_MS, 33.7405, -118.2755), {}), latitude_e7=1, longitude_e7=2, quality=quality)
    for turn in range(2 * FIXES_BEFORE_TIME):
        passed_ms = 1_000 * turn
        sampler.take(replace(whole, time_ms=LATER_MS + passed_ms), None)
    assert (ours.now()[1] is Clock.GPS) is sets_clock


def test_nor_do_good_ones_that_one_stands_between() -> None:
    passed_ms = 0
    ours = AgentClock(system_ms=lambda: 5, monotonic_ms=lambda: passed_ms, is_synchronised=lambda: False)
    sampler = FixSampler(ours, 0.0)
    whole = replace(fix_of({}, {}), latitude_e7=1, longitude_e7=2, quality=FixQuality.GOOD)
    for turn in range(4 * FIXES_BEFORE_TIME):
        passed_ms = 1_000 * turn
        quality = FixQuality.SPOOFED if turn % FIXES_BEFORE_TIME == 0 else FixQuality.GOOD
        sampler.take(replace(whole, time_ms=LATER_MS + passed_ms, quality=quality), None)
    assert ours.now()[1] is Clock.UNSET


async def test_what_gpsd_said_of_the_sky_is_no_word_about_a_fix_of_much_later() -> None:
    passed_s = 0.0
    async with asyncio.timeout(60), Gpsd() as gpsd:
        sensor = GpsdSensor(GpsdSettings(port=gpsd.port), clock(), lambda: passed_s)
        async with aclosing(sensor.samples()) as samples:
            first = asyncio.ensure_future(anext(samples))
            await gpsd.watched()
            gpsd.say(sky(uSat=2), tpv(LATER_MS, 1.0, 2.0))
            told = [await first]
            for passed_s in (SKY_HOLDS_S, SKY_HOLDS_S + 0.1):
                gpsd.say(tpv(LATER_MS + round(1_000 * passed_s), 1.0, 2.0))
                told.append(await anext(samples))
    few = [{cell.quality for cell in one.cells if cell.channel == Channel.LATITUDE_E7} for one in told]
    assert few == [{Quality.FEW_SATELLITES}, {Quality.FEW_SATELLITES}, {Quality.GOOD}]
    assert [any(cell.channel == Channel.SATELLITES for cell in one.cells) for one in told] == [True, True, False]


def mapped(folder: Path, *channels: str) -> Path:
    """A map of input registers from 0 on, in tenths."""
    path = folder / "map.toml"
    rows = (
        f'[[registers]]\nchannel = "{one}"\naddress = {place}\ntable = "input"\nscale = 100\n'
        for place, one in enumerate(channels)
    )
    path.write_text("".join(rows), encoding="utf-8")
    return path


class Device:
    """A slave with a register for each of four probes, and a sensor that reads it by a time of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        self.passed_s = 0.0
        settings = ModbusSettings(
            map=mapped(folder, *PROBES), host="127.0.0.1", port=port, timeout_s=1.0, interval_s=0.05
        )
        ours = AgentClock(system_ms=lambda: NOW_MS + round(1_000 * self.passed_s), is_synchronised=lambda: True)
        self.sensor = ModbusSensor(settings, ours, lambda: client_of(settings), lambda: self.passed_s)


async def with_device(
    folder: Path, use: Callable[[Slave, Device, AsyncGenerator[Sample, None]], Any], seconds_each: float = 0.0
) -> None:
    slave = Slave()
    slave.inputs = {place: 40 + place for place in range(len(PROBES))}
    server = await asyncio.start_server(slave.serve, "127.0.0.1", 0)
    async with asyncio.timeout(60), server:
        device = Device(folder, server.sockets[0].getsockname()[1])

        def slow(answer: bytes) -> bytes:
            device.passed_s += seconds_each
            return answer

        slave.spoil = slow
        async with aclosing(device.sensor.samples()) as samples:
            await use(slave, device, samples)


async def test_what_a_slow_device_says_is_dated_when_it_said_it(tmp_path: Path) -> None:
    async def use(_slave: Slave, _device: Device, samples: AsyncGenerator[Sample, None]) -> None:
        found = [await anext(samples) for _ in range(2)]
        assert [one.measured_at_ms - NOW_MS for one in found] == [1_600, 3_200]
        assert [[cell.value for cell in one.cells] for one in found] == [[4_000, 4_100], [4_200, 4_300]]

    assert TOGETHER_S == 1.0
    await with_device(tmp_path, use, 0.8)


async def test_what_a_quick_device_says_is_one_sample(tmp_path: Path) -> None:
    async def use(_slave: Slave, _device: Device, samples: AsyncGenerator[Sample, None]) -> None:
        for turn in range(2):
            sample = await anext(samples)
            assert [cell.value for cell in sample.cells] == [4_000, 4_100, 4_200, 4_300]
            assert sample.measured_at_ms == NOW_MS + (turn + 1) * 1_200

    await with_device(tmp_path, use, 0.3)


async def test_of_a_device_that_dies_in_the_middle_each_channel_is_told_once(tmp_path: Path) -> None:
    async def use(slave: Slave, _device: Device, samples: AsyncGenerator[Sample, None]) -> None:
        slave.spoil = lambda answer: answer if len(slave.requests) % 3 else None
        sample = await anext(samples)
        gone = [Cell(Channel[one.upper()], 0, Quality.SENSOR_GONE) for one in PROBES[2:]]
        assert sample.cells == (Cell(Channel.TEMPERATURE_MC, 4_000), Cell(Channel.TEMPERATURE_1_MC, 4_100), *gone)

    await with_device(tmp_path, use)


@pytest.mark.parametrize("answered", [0, 2])
async def test_the_log_names_the_register_that_is_not_answered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, answered: int
) -> None:
    """All that stand behind it in the map are gone with it, so somebody must know which it was."""

    async def use(slave: Slave, _device: Device, samples: AsyncGenerator[Sample, None]) -> None:
        slave.spoil = lambda answer: answer if len(slave.requests) <= answered else None
        await anext(samples)

    await with_device(tmp_path, use)
    [said] = [record.getMessage() for record in caplog.records if "lost" in record.getMessage()]
    assert said.endswith(f" at {PROBES[answered]} (input {answered})'")


async def test_a_device_that_hangs_up_between_two_readings_is_none_that_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def use(slave: Slave, device: Device, samples: AsyncGenerator[Sample, None]) -> None:
        for turn in range(3):
            device.passed_s = 60.0 * turn
            assert {cell.quality for cell in (await anext(samples)).cells} == {Quality.GOOD}
            assert slave.connections == turn + 1
            slave.hang_up()
            await asyncio.sleep(0.05)

    await with_device(tmp_path, use)
    assert "lost" not in caplog.text


@pytest.mark.parametrize("channel", sorted({*NOT_MAPPED, *FIX_CHANNELS}))
def test_a_map_takes_no_word_of_the_agents_own(tmp_path: Path, channel: Channel) -> None:
    with pytest.raises(ValueError, match=rf"\[registers\]\[1\] channel '{channel.name.lower()}' is"):
        ModbusSettings(map=mapped(tmp_path, "temperature_mc", channel.name.lower()), host="h")


def test_what_no_device_can_say_of_the_agent_is_all_that_the_agent_says_of_itself() -> None:
    names = {one.name.lower() for one in NOT_MAPPED}
    assert {"thinned_readings", "refused_readings", "flapping", "clock_offset_ms", "ended_epoch", "tag_in"} <= names
    assert NOT_MAPPED.isdisjoint({Channel.DOOR_OPEN, Channel.ENERGY_WH, Channel.BATTERY_MV, Channel.SHOCK_MG})


@pytest.mark.parametrize("scale", ["0.0", "-0.0", "1e-300"])
def test_a_map_with_a_scale_that_makes_all_values_one_is_refused(tmp_path: Path, scale: str) -> None:
    path = mapped(tmp_path, "temperature_mc")
    path.write_text(path.read_text(encoding="utf-8").replace("scale = 100", f"scale = {scale}"), encoding="utf-8")
    with pytest.raises(ValueError, match="makes every value the same; use one that is not 0"):
        ModbusSettings(map=path, host="h")


async def test_moments_that_were_slept_through_are_not_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, waits = 100.0, []

    async def sleep(wait_s: float) -> None:
        nonlocal now_s
        waits.append(wait_s)
        now_s += max(0.0, wait_s)

    monkeypatch.setattr("pledgewatch_edge.sensors.polling.asyncio.sleep", sleep)
    async with aclosing(moments(10.0, lambda: now_s)) as due:
        await anext(due)
        now_s += 3.0
        await anext(due)
        now_s += 35.0
        for _ in range(3):
            await anext(due)
    assert waits == [7.0, 0.0, 10.0, 10.0]


class Lines:
    """Lines of a chip that tell of changes in batches, of all of which they say once that there are some."""

    def __init__(self, states: Sequence[bool], batches: Sequence[Sequence[tuple[int, bool]]]) -> None:
        self._states, self._batches = list(states), [list(one) for one in batches]
        self._reader, self._writer = os.pipe()
        self._is_drained = False
        os.write(self._writer, b"!")

    def fileno(self) -> int:
        return self._reader

    def changes(self) -> list[tuple[int, bool]]:
        if not self._is_drained:
            self._is_drained = bool(os.read(self._reader, 1))
        return self._batches.pop(0) if self._batches else []

    def states(self) -> list[bool]:
        return list(self._states)

    def close(self) -> None:
        os.close(self._reader)
        os.close(self._writer)


async def test_a_contact_that_tells_what_is_known_has_not_changed() -> None:
    settings = ContactsSettings(
        lines=(LineSettings(line=17, channel="door_open"), LineSettings(line=4, channel="leak")), interval_s=60
    )
    # It opened after it was asked for and before it was looked at; more changed than are handed on at once.
    lines = Lines([True, False], [[(17, True), (4, True)], [(4, True), (17, False)]])
    sensor = ContactsSensor(settings, clock(), lambda _settings: lines)
    async with asyncio.timeout(20), aclosing(sensor.samples()) as samples:
        found = [[cell.value for cell in (await anext(samples)).cells] for _ in range(3)]
    assert found == [[1, 0], [1, 1], [0, 1]], "door, leak"


def said(second: int) -> bytes:
    """A receiver's cycle."""
    return cycle(
        ReceiverState(
            time_ms=TIME_MS + 1_000 * second, has_fix=True, latitude=33.7, longitude=-118.2, altitude_m=1.0,
            speed_mps=0.0, course_deg=0.0, satellites_used=8, satellites_in_view=9, hdop=0.9,
        )
    )  # fmt: skip


async def test_what_came_while_the_speed_was_searched_for_dates_the_fix_that_it_began(tmp_path: Path) -> None:
    passed_ms = 0
    ours = AgentClock(system_ms=lambda: 0, monotonic_ms=lambda: passed_ms, is_synchronised=lambda: False)
    async with asyncio.timeout(60), PtyPort(tmp_path / "gps") as port:
        sensor = GpsSensor(GpsSettings(port=tmp_path / "gps"), ours)
        async with aclosing(sensor.samples()) as samples:
            first = asyncio.ensure_future(anext(samples))
            await asyncio.sleep(0.2)
            for second in range(FIXES_BEFORE_TIME + 1):
                passed_ms = 1_000 * second
                port.write(said(second))
                await (first if not second else anext(samples))
            assert ours.now()[1] is Clock.GPS
            again = asyncio.ensure_future(anext(samples))
            port.write(b"\x00" * 5_000)  # it was set to another speed
            await asyncio.sleep(0.3)
            passed_ms = 60_000
            sentences = said(60).splitlines(keepends=True)
            port.write(sentences[0])
            await asyncio.sleep(0.3)
            passed_ms = 65_000
            port.write(b"".join(sentences[1:]))
            await again
    assert ours.now() == (TIME_MS + 65_000, Clock.GPS)


async def test_a_backlog_of_fixes_has_no_rhythm(tmp_path: Path) -> None:
    passed_s = 0.0
    async with asyncio.timeout(60), PtyPort(tmp_path / "gps") as port:
        sensor = GpsSensor(GpsSettings(port=tmp_path / "gps", baud=4_800), clock(), lambda: passed_s)
        async with aclosing(sensor.samples()) as samples:
            first = asyncio.ensure_future(anext(samples))
            await asyncio.sleep(0.2)
            port.write(said(0))
            await asyncio.sleep(0.05)
            port.write(said(1))
            await first
            rhythm_s = sensor._idle_s
            passed_s = 40.0
            port.write(b"".join(said(second) for second in range(2, 6)))
            for _ in range(4):
                await anext(samples)
            assert sensor._idle_s == rhythm_s
