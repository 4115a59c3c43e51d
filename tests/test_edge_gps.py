"""The GPS sensor on real pseudo-terminals: fixes, intervals, and a receiver that is unplugged and plugged in again."""

import asyncio
import dataclasses
import logging
import os
import tty
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from serial import SerialException

from pledgewatch_edge.clock import RELEASED_MS, AgentClock
from pledgewatch_edge.fixes import Fix, FixKind, FixQuality
from pledgewatch_edge.logs import World
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.sensors import serial_port
from pledgewatch_edge.sensors.fix_sampler import Absence, FixSampler, cells_of
from pledgewatch_edge.sensors.gps import GpsSensor, GpsSettings
from pledgewatch_edge.sensors.serial_port import PortLostError, SerialPort
from pledgewatch_edge.ubx import sums
from pledgewatch_wire.reading import Cell, Channel, Clock, Quality

TIME_MS = RELEASED_MS + 12 * 3_600_000  # 2026-01-01T12:00:00Z
SYSTEM_MS = RELEASED_MS + 86_400_000


WHOLE = Fix(
    time_ms=TIME_MS,
    latitude_e7=1,
    longitude_e7=2,
    altitude_mm=3,
    speed_mmps=4,
    course_cdeg=5,
    satellites=6,
    hdop_centi=7,
    fix=FixKind.THREE,
    quality=FixQuality.GOOD,
)


def sentence(body: str) -> bytes:
    checksum = reduce(lambda left, right: left ^ right, body.encode("ascii"))
    return f"${body}*{checksum:02X}\r\n".encode("ascii")


def cycle(second: int, *, minute: int = 0) -> bytes:
    """One receiver cycle; the latitude tells the second."""
    at = f"12{minute:02d}{second:02d}.00"
    place = f"33{second:02d}.00000,N,11815.00000,W"
    return sentence(f"GPRMC,{at},A,{place},1.000,90.00,010126,,,A") + sentence(
        f"GPGGA,{at},{place},1,08,0.90,12.3,M,-34.0,M,,"
    )


def void_cycle(second: int) -> bytes:
    at = f"1200{second:02d}.00"
    return sentence(f"GPRMC,{at},V,,,,,,,010126,,,N") + sentence(f"GPGGA,{at},,,,,0,02,99.99,,M,,M,,")


class Receiver:
    """A pseudo-terminal behind a link that can be unplugged."""

    def __init__(self, link: Path) -> None:
        self.link = link
        self._ends: list[int] = []
        self.plug()

    def plug(self) -> None:
        ours, theirs = os.openpty()
        tty.setraw(theirs)
        self.link.unlink(missing_ok=True)
        self.link.symlink_to(os.ttyname(theirs))
        self._ends = [ours, theirs]

    def unplug(self, *, silently: bool = False) -> list[int]:
        """Take the link away; `silently` leaves the old terminal open, and hands it over."""
        self.link.unlink()
        ends, self._ends = self._ends, []
        if not silently:
            for end in ends:
                os.close(end)
            return []
        return ends

    def write(self, data: bytes) -> None:
        assert os.write(self._ends[0], data) == len(data)

    def close(self) -> None:
        for end in self._ends:
            os.close(end)


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    made = Receiver(tmp_path / "gps")
    yield made
    made.close()


def machine() -> AgentClock:
    return AgentClock(system_ms=lambda: SYSTEM_MS, monotonic_ms=lambda: 0, is_synchronised=lambda: False)


def sensor_at(link: Path, clock: AgentClock | None = None, *, interval_s: float = 0.0) -> GpsSensor:
    return GpsSensor(GpsSettings(port=link, baud=4_800, interval_s=interval_s), clock or machine())


async def taken(samples: AsyncGenerator[Sample, None], count: int) -> list[Sample]:
    async with asyncio.timeout(60):
        return [await anext(samples) for _ in range(count)]


def seconds(samples: list[Sample]) -> list[int]:
    return [(sample.measured_at_ms - TIME_MS) // 1_000 for sample in samples]


async def test_a_fix_is_a_sample_with_the_receivers_own_time(receiver: Receiver) -> None:
    clock = machine()
    async with aclosing(sensor_at(receiver.link, clock).samples()) as samples:
        first = asyncio.ensure_future(anext(samples))
        receiver.write(cycle(1))  # and silence: the cycle ends by itself
        sample = await asyncio.wait_for(first, 60)
        assert clock.now()[1] is Clock.RTC, "one fix sets no clock"
        for number in (2, 3):
            receiver.write(cycle(number))
            await asyncio.wait_for(anext(samples), 60)
    assert (sample.measured_at_ms, sample.clock) == (TIME_MS + 1_000, Clock.GPS)
    assert sample.cells == (
        Cell(Channel.LATITUDE_E7, 330_166_667),
        Cell(Channel.LONGITUDE_E7, -1_182_500_000),
        Cell(Channel.SATELLITES, 8),
        Cell(Channel.HDOP_CENTI, 90),
        Cell(Channel.FIX_DIMENSIONS, sample.cells[4].value),
        Cell(Channel.SPEED_MMPS, 514),
        Cell(Channel.COURSE_CDEG, 9_000),
        Cell(Channel.ALTITUDE_MM, 12_300),
    )
    assert clock.now() == (TIME_MS + 3_000, Clock.GPS)


@pytest.mark.parametrize("silently", [False, True])
async def test_unplugged_and_plugged_in_again(
    receiver: Receiver, caplog: pytest.LogCaptureFixture, *, silently: bool
) -> None:
    caplog.set_level("INFO")
    async with aclosing(sensor_at(receiver.link).samples()) as samples:
        next_one = asyncio.ensure_future(anext(samples))
        receiver.write(cycle(1) + cycle(2) + cycle(3)[:30])
        assert seconds([await asyncio.wait_for(next_one, 60)]) == [1]
        assert seconds(await taken(samples, 1)) == [2]
        left_open = receiver.unplug(silently=silently)
        next_one = asyncio.ensure_future(anext(samples))
        async with asyncio.timeout(60):
            while "lost" not in caplog.text:
                await asyncio.sleep(0.01)
        receiver.plug()
        receiver.write(cycle(11) + cycle(12))
        assert seconds([await asyncio.wait_for(next_one, 60)]) == [11]
        assert seconds(await taken(samples, 1)) == [12]
        for end in left_open:
            os.close(end)
    said = [record.getMessage().split(" reason")[0] for record in caplog.records]
    assert said == [f"gps port {receiver.link} lost", f"gps port {receiver.link} back"]


async def test_a_port_that_is_not_there_yet(tmp_path: Path) -> None:
    async with aclosing(sensor_at(tmp_path / "gps").samples()) as samples:
        first = asyncio.ensure_future(anext(samples))
        await asyncio.sleep(0.05)
        receiver = Receiver(tmp_path / "gps")
        receiver.write(cycle(1) + cycle(2))
        assert seconds([await asyncio.wait_for(first, 60)]) == [1]
        receiver.close()


async def test_a_receiver_that_is_gone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pledgewatch_edge.sensors.fix_sampler.GONE_AFTER_S", 0.3)
    monkeypatch.setattr("pledgewatch_edge.sensors.fix_sampler.GONE_AGAIN_S", 0.3)
    link = tmp_path / "gps"
    gone = (Cell(Channel.LATITUDE_E7, 0, Quality.SENSOR_GONE), Cell(Channel.LONGITUDE_E7, 0, Quality.SENSOR_GONE))
    async with aclosing(sensor_at(link).samples()) as samples:
        for sample in await taken(samples, 2):
            assert (sample.cells, sample.measured_at_ms, sample.is_urgent) == (gone, SYSTEM_MS, False)
        receiver = Receiver(link)
        receiver.write(cycle(1) + cycle(2))
        while (sample := (await taken(samples, 1))[0]).cells == gone:
            pass
        assert seconds([sample]) == [1]
        receiver.close()


async def test_a_receiver_that_is_silent_is_told(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pledgewatch_edge.sensors.fix_sampler.GONE_AFTER_S", 0.1)
    monkeypatch.setattr("pledgewatch_edge.sensors.gps.LONGEST_IDLE_S", 0.4)
    async with aclosing(sensor_at(receiver.link).samples()) as samples:
        assert {cell.quality for cell in (await taken(samples, 1))[0].cells} == {Quality.SENSOR_GONE}


def test_how_often_a_receiver_that_is_gone_is_told() -> None:
    now_s = 0.0
    world = World(logging.getLogger(__name__), "receiver")
    quick, slow = (Absence(machine(), world, interval_s, 15.0, lambda: now_s) for interval_s in (0.0, 300.0))
    told: dict[Absence, list[int]] = {quick: [], slow: []}
    for second in range(700):
        now_s = float(second)
        if second == 5:
            world.lost("is silent")
        if second == 500:
            world.back()  # a plug that is put back at once is not told
        if second == 501:
            world.lost("is silent")
        if second == 508:
            world.back()
        for absence, seconds_told in told.items():
            seconds_told += [second for _ in absence.samples()]
    assert told == {quick: [15, 75, 135, 195, 255, 315, 375, 435, 495], slow: [15, 315]}


@pytest.mark.parametrize("suspects", [b"\x03", b"\x38"], ids=["spoofed", "jammed"])
async def test_what_one_receiver_suspects_is_nothing_against_the_next_one(receiver: Receiver, suspects: bytes) -> None:
    def quality(sample: Sample) -> int:
        return sample.cells[0].quality

    async with aclosing(sensor_at(receiver.link).samples()) as samples:
        first = asyncio.ensure_future(anext(samples))
        receiver.write(warning(suspects) + cycle(1) + cycle(2))
        told = [await asyncio.wait_for(first, 60), *await taken(samples, 1)]
        assert {quality(one) for one in told} <= {Quality.SPOOFED, Quality.JAMMED}
        receiver.unplug()
        next_one = asyncio.ensure_future(anext(samples))
        await asyncio.sleep(0.3)
        receiver.plug()
        receiver.write(cycle(11) + cycle(12))
        told = [await asyncio.wait_for(next_one, 60), *await taken(samples, 1)]
    assert (seconds(told), {quality(one) for one in told}) == ([11, 12], {Quality.GOOD})


def warning(suspects: bytes) -> bytes:
    """A frame of u-blox: NAV-STATUS that says spoofing, or MON-RF that says jamming."""
    payload = {0x03: bytes(7) + b"\x10" + bytes(8), 0x38: b"\x00\x01\x00\x00\x00\x03" + bytes(22)}[suspects[0]]
    kind = {0x03: b"\x01\x03", 0x38: b"\x0a\x38"}[suspects[0]]
    body = kind + len(payload).to_bytes(2, "little") + payload
    return b"\xb5\x62" + body + sums(body)


async def test_nor_on_a_line_that_has_been_silent_meanwhile(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A receiver on the header that lost its power, and with it that it was to say such things."""
    monkeypatch.setattr("pledgewatch_edge.sensors.gps.LONGEST_IDLE_S", 0.4)
    async with aclosing(sensor_at(receiver.link).samples()) as samples:
        first = asyncio.ensure_future(anext(samples))
        receiver.write(warning(b"\x03") + cycle(1))
        assert (await asyncio.wait_for(first, 60)).cells[0].quality == Quality.SPOOFED
        next_one = asyncio.ensure_future(anext(samples))
        async with asyncio.timeout(60):
            while "is silent" not in caplog.text:
                await asyncio.sleep(0.01)
        receiver.write(cycle(11))
        assert (await asyncio.wait_for(next_one, 60)).cells[0] == Cell(Channel.LATITUDE_E7, 331_833_333)


async def test_a_cycle_without_a_place_is_dated_when_it_was_heard(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not when the next one ended it: the fix after it would be dated before it."""
    monkeypatch.setattr("pledgewatch_edge.sensors.gps.SHORTEST_IDLE_S", 15.0)
    passed_ms = 0
    clock = AgentClock(
        system_ms=lambda: SYSTEM_MS + passed_ms, monotonic_ms=lambda: passed_ms, is_synchronised=lambda: True
    )
    told: list[Sample] = []
    sensor = sensor_at(receiver.link, clock)
    async with asyncio.timeout(60), aclosing(sensor.samples()) as samples:
        next_one = asyncio.ensure_future(anext(samples))
        for second in range(13):
            passed_ms = 1_000 * second
            receiver.write(cycle(second) if second in {3, 5, 7, 8, 9, 11} else void_cycle(second))
            if second:
                told.append(await next_one)
                next_one = asyncio.ensure_future(anext(samples))
            while sensor._heard_at != passed_ms:
                await asyncio.sleep(0.01)
        next_one.cancel()
        await asyncio.wait([next_one])
    heard = [(one.measured_at_ms - (TIME_MS if one.clock == Clock.GPS else SYSTEM_MS)) // 1_000 for one in told]
    assert heard == list(range(12))
    assert {one.clock for one in told[5:]} == {Clock.GPS}, "between fixes that follow from each other"


def test_one_wild_fix_dates_nothing_that_has_no_place() -> None:
    passed_ms = 0
    clock = AgentClock(
        system_ms=lambda: SYSTEM_MS + passed_ms, monotonic_ms=lambda: passed_ms, is_synchronised=lambda: True
    )
    sampler, found = FixSampler(clock, 0.0), []
    for told_ms in (TIME_MS + 10 * 365 * 86_400_000, None, TIME_MS, None, TIME_MS, None, None):
        time_ms = None if told_ms is None else told_ms + passed_ms
        lost: dict[str, Any] = {"latitude_e7": None, "longitude_e7": None, "quality": FixQuality.NO_FIX}
        (sample,) = sampler.take(fix(time_ms=time_ms, **(lost if told_ms is None else {})), passed_ms)
        found.append((sample.clock, sample.measured_at_ms))
        passed_ms += 1_000
    assert found[1::2] == [(Clock.NTP, SYSTEM_MS + 1_000), (Clock.NTP, SYSTEM_MS + 3_000), (Clock.GPS, TIME_MS + 5_000)]
    assert found[-1] == (Clock.GPS, TIME_MS + 6_000)


def test_a_spoofing_that_is_shorter_than_the_interval_is_told() -> None:
    sampler = FixSampler(machine(), 60.0)
    said = {
        **dict.fromkeys(range(605, 656), FixQuality.SPOOFED),
        **dict.fromkeys(range(665, 672), FixQuality.JAMMED),
        **dict.fromkeys(range(672, 675), FixQuality.SPOOFED),
        **dict.fromkeys(range(705, 710), FixQuality.HIGH_HDOP),
    }
    told = [
        (second, str(quality))
        for second in range(900)
        if sampler.take(
            fix(time_ms=TIME_MS + 1_000 * second, quality=(quality := said.get(second, FixQuality.GOOD))), 0
        )
    ]
    assert [one for one in told if one[0] % 60] == [
        *((605, "spoofed"), (656, "good"), (665, "jammed"), (672, "spoofed"), (675, "good"))
    ]
    assert [second for second, _ in told if second % 60 == 0] == list(range(0, 900, 60)), "on the same grid"


async def test_one_reading_for_each_interval(receiver: Receiver) -> None:
    async with aclosing(sensor_at(receiver.link, interval_s=10).samples()) as samples:
        first = asyncio.ensure_future(anext(samples))
        for second in range(45):
            receiver.write(cycle(second))
            await asyncio.sleep(0)
        found = [await asyncio.wait_for(first, 60), *await taken(samples, 4)]
        assert seconds(found) == [0, 10, 20, 30, 40]


async def test_a_receiver_whose_time_is_compressed(receiver: Receiver) -> None:
    clock = machine()
    async with aclosing(sensor_at(receiver.link, clock, interval_s=60).samples()) as samples:
        first = asyncio.ensure_future(anext(samples))
        for minute in range(6):
            receiver.write(cycle(0, minute=minute))
        found = [await asyncio.wait_for(first, 60), *await taken(samples, 5)]
        assert seconds(found) == [0, 60, 120, 180, 240, 300]
        assert clock.now() == (TIME_MS + 300_000, Clock.GPS)


async def test_a_log_as_fast_as_it_can_be_read_loses_nothing(receiver: Receiver) -> None:
    log = [cycle(second, minute=minute) for minute in range(30) for second in range(60)]
    os.set_blocking(receiver._ends[0], True)
    async with aclosing(sensor_at(receiver.link).samples()) as samples:
        writing = asyncio.create_task(asyncio.to_thread(write_all, receiver._ends[0], b"".join(log)))
        async with asyncio.timeout(60):
            found = [await anext(samples) for _ in log]
        await writing
    assert seconds(found) == list(range(len(log)))


async def test_the_clock_is_told_when_the_fix_was_heard(receiver: Receiver) -> None:
    passed_ms = 0
    clock = AgentClock(system_ms=lambda: 0, monotonic_ms=lambda: passed_ms, is_synchronised=lambda: False)
    async with aclosing(sensor_at(receiver.link, clock).samples()) as samples:
        first = asyncio.ensure_future(anext(samples))
        receiver.write(cycle(1))
        await asyncio.sleep(0.1)
        passed_ms = 1_000
        receiver.write(cycle(2))
        await asyncio.wait_for(first, 60)
        receiver.write(cycle(3))
        await asyncio.wait_for(anext(samples), 60)
        await asyncio.sleep(0.1)
        passed_ms = 2_000
        receiver.write(cycle(4))
        await asyncio.wait_for(anext(samples), 60)
        assert clock.now() == (TIME_MS + 4_000, Clock.GPS)


async def test_a_receiver_without_a_fix_does_not_set_the_clock(receiver: Receiver) -> None:
    clock = machine()
    async with aclosing(sensor_at(receiver.link, clock).samples()) as samples:
        first = asyncio.ensure_future(anext(samples))
        receiver.write(void_cycle(5))
        sample = await asyncio.wait_for(first, 60)
    assert sample.cells[:2] == (
        Cell(Channel.LATITUDE_E7, 0, Quality.NO_FIX),
        Cell(Channel.LONGITUDE_E7, 0, Quality.NO_FIX),
    )
    assert clock.now() == (SYSTEM_MS, Clock.RTC)


async def test_a_line_without_speed_is_opened_plainly(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise SerialException("Could not configure port: (25, 'Inappropriate ioctl for device')")

    monkeypatch.setattr(serial_port._Port, "_reconfigure_port", refuse)
    with SerialPort(receiver.link, 4_800) as port:
        receiver.write(b"$\r\n\x00\xff")
        data = b""
        while len(data) < 5:
            data += await port.read(5)
        assert data == b"$\r\n\x00\xff"
        assert await port.read(0.01) == b""
        assert port.is_still_there()


async def test_everything_written_is_read_and_memory_is_bounded(receiver: Receiver) -> None:
    written = bytes(range(256)) * 1_024
    os.set_blocking(receiver._ends[0], True)
    with SerialPort(receiver.link, 115_200) as port:
        writing = asyncio.create_task(asyncio.to_thread(write_all, receiver._ends[0], written))
        while len(port._buffer) < serial_port.BUFFER_BYTES:  # nobody reads, so it fills and stops
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert len(port._buffer) < serial_port.BUFFER_BYTES + 4_096
        read = b""
        while len(read) < len(written):
            read += await port.read(5)
        await writing
        assert read == written


def write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


@contextmanager
def ordinary_file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "file"
    path.write_bytes(b"$GPRMC")
    yield path


async def test_what_is_no_device(tmp_path: Path) -> None:
    with pytest.raises(PortLostError, match="No such file"):
        SerialPort(tmp_path / "none", 4_800)
    with ordinary_file(tmp_path) as path, SerialPort(path, 4_800) as port, pytest.raises(PortLostError):
        await port.read(1)


def fix(**changes: Any) -> Fix:
    return dataclasses.replace(WHOLE, **changes)


@pytest.mark.parametrize(
    ("changes", "position", "own"),
    [
        ({}, Quality.GOOD, Quality.GOOD),
        ({"quality": FixQuality.FEW_SATELLITES}, Quality.FEW_SATELLITES, Quality.GOOD),
        ({"quality": FixQuality.HIGH_HDOP}, Quality.HIGH_HDOP, Quality.GOOD),
        ({"quality": FixQuality.SIMULATED}, Quality.SIMULATED, Quality.SIMULATED),
        ({"quality": FixQuality.ESTIMATED}, Quality.ESTIMATED, Quality.ESTIMATED),
        ({"quality": FixQuality.MANUAL}, Quality.MANUAL, Quality.MANUAL),
        ({"quality": FixQuality.NO_TIME, "time_ms": None}, Quality.NO_TIME, Quality.NO_TIME),
        ({"time_ms": None}, Quality.NO_TIME, Quality.NO_TIME),
        ({"quality": FixQuality.SIMULATED, "time_ms": None}, Quality.SIMULATED, Quality.SIMULATED),
    ],
)
def test_what_is_wrong_is_marked_where_it_matters(changes: dict[str, Any], position: Quality, own: Quality) -> None:
    by_channel = {cell.channel: cell for cell in cells_of(fix(**changes))}
    moving = {Channel.LATITUDE_E7, Channel.LONGITUDE_E7, Channel.SPEED_MMPS, Channel.COURSE_CDEG, Channel.ALTITUDE_MM}
    assert {by_channel[channel].quality for channel in moving} == {position}
    assert {by_channel[channel].quality for channel in by_channel.keys() - moving} == {own}
    assert list(by_channel) == sorted(by_channel)


def test_what_is_not_reported_is_left_out() -> None:
    cells = cells_of(fix(altitude_mm=None, speed_mmps=None, course_cdeg=None, satellites=None, hdop_centi=None))
    assert [cell.channel for cell in cells] == [Channel.LATITUDE_E7, Channel.LONGITUDE_E7, Channel.FIX_DIMENSIONS]


@pytest.mark.parametrize("time_ms", [None, TIME_MS])
def test_without_a_fix_there_is_no_position(time_ms: int | None) -> None:
    nothing = fix(time_ms=time_ms, latitude_e7=None, longitude_e7=None, fix=FixKind.NONE, quality=FixQuality.NO_FIX)
    own = Quality.GOOD if time_ms else Quality.NO_TIME
    assert cells_of(nothing) == (
        Cell(Channel.LATITUDE_E7, 0, Quality.NO_FIX),
        Cell(Channel.LONGITUDE_E7, 0, Quality.NO_FIX),
        Cell(Channel.SATELLITES, 6, own),
        Cell(Channel.HDOP_CENTI, 7, own),
        Cell(Channel.FIX_DIMENSIONS, 0, own),
    )


async def test_a_receiver_whose_weeks_have_rolled_over_does_not_set_the_clock(receiver: Receiver) -> None:
    """Its place is right and its date 1,024 weeks early: thermometers must not be dated by it."""
    clock = machine()
    rolled_over = cycle(1).replace(b",010126,,,A*", b",180506,,,A*")
    body = rolled_over[1 : rolled_over.index(b"*")]
    checksum = reduce(lambda left, right: left ^ right, body)
    head, _, rest = rolled_over.partition(b"*")
    async with aclosing(sensor_at(receiver.link, clock).samples()) as samples:
        first = asyncio.ensure_future(anext(samples))
        receiver.write(head + f"*{checksum:02X}".encode() + rest[2:])
        sample = await asyncio.wait_for(first, 60)
    assert sample.cells[0] == Cell(Channel.LATITUDE_E7, 330_166_667)
    assert sample.measured_at_ms < RELEASED_MS, "what the receiver said stands as it was said"
    assert clock.now() == (SYSTEM_MS, Clock.RTC)
