"""One-wire thermometers: what the kernel shows, and what of it is a temperature."""

import asyncio
import os
import threading
from contextlib import aclosing
from pathlib import Path

import pytest

from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.sensors.onewire import OneWireSensor, OneWireSettings, parse, read_probe
from pledgewatch_edge.sensors.own_thread import OwnThread
from pledgewatch_wire.reading import Cell, Channel, Clock, Quality

PROBES = ("28-0316a2794e2f", "28-0316a27956b1")
BYTES = "72 01 4b 46 7f ff 0e 10 57"


def shown(temperature_mc: int | str, verdict: str = "YES", scratchpad: str = BYTES) -> str:
    return f"{scratchpad} : crc=57 {verdict}\n{scratchpad} t={temperature_mc}\n"


@pytest.mark.parametrize(
    ("text", "value", "quality"),
    [
        (shown(23125), 23125, Quality.GOOD),
        (shown(-10062), -10062, Quality.GOOD),
        (shown(0), 0, Quality.GOOD),
        (shown(-55000), -55000, Quality.GOOD),
        (shown(125000), 125000, Quality.GOOD),
        (shown(84937), 84937, Quality.GOOD),
        (shown(85000), 85000, Quality.POWER_ON_VALUE),
        (shown(125001), 125001, Quality.OUT_OF_RANGE),
        (shown(127937), 127937, Quality.OUT_OF_RANGE),
        (shown(-55001), -55001, Quality.OUT_OF_RANGE),
        (shown(23125, "NO"), 0, Quality.CHECKSUM_FAILED),
        (shown(85000, "NO"), 0, Quality.CHECKSUM_FAILED),
        (shown("warm"), 0, Quality.CHECKSUM_FAILED),
        (shown(23125, "MAYBE"), 0, Quality.CHECKSUM_FAILED),
        (shown(23125).splitlines()[0], 0, Quality.CHECKSUM_FAILED),
        (shown(0, scratchpad="00 00 00 00 00 00 00 00 00"), 0, Quality.SENSOR_GONE),
        ("", 0, Quality.SENSOR_GONE),
        ("\n", 0, Quality.SENSOR_GONE),
        ("\0" * 75, 0, Quality.CHECKSUM_FAILED),
    ],
)
def test_what_the_kernel_shows(text: str, value: int, quality: Quality) -> None:
    assert parse(text) == (value, quality)


def test_a_probe_that_is_not_there(tmp_path: Path) -> None:
    assert read_probe(tmp_path / "w1_slave") == (0, Quality.SENSOR_GONE)
    (tmp_path / "w1_slave").mkdir()
    assert read_probe(tmp_path / "w1_slave") == (0, Quality.SENSOR_GONE)
    (tmp_path / "file").write_bytes(b"\xff" * 100_000)
    assert read_probe(tmp_path / "file") == (0, Quality.CHECKSUM_FAILED)


def put(root: Path, probe: str, text: str) -> None:
    (root / probe).mkdir(exist_ok=True)
    (root / probe / "w1_slave").write_text(text, encoding="ascii")


async def test_probes_go_and_come_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    clock = AgentClock(system_ms=lambda: 1_790_000_000_000, monotonic_ms=lambda: 0, is_synchronised=lambda: True)
    sensor = OneWireSensor(OneWireSettings(root=tmp_path, interval_s=0.01, probes=PROBES), clock)
    put(tmp_path, PROBES[0], shown(4000))
    put(tmp_path, PROBES[1], shown(-18500))
    async with asyncio.timeout(60), aclosing(sensor.samples()) as samples:
        first = await anext(samples)
        assert (first.measured_at_ms, first.clock) == (1_790_000_000_000, Clock.NTP)
        assert first.cells == (Cell(Channel.TEMPERATURE_MC, 4000), Cell(Channel.TEMPERATURE_1_MC, -18500))
        (tmp_path / PROBES[0] / "w1_slave").unlink()
        (tmp_path / PROBES[0]).rmdir()
        gone = [(await anext(samples)).cells for _ in range(3)][-1]
        assert gone == (
            Cell(Channel.TEMPERATURE_MC, 0, Quality.SENSOR_GONE),
            Cell(Channel.TEMPERATURE_1_MC, -18500),
        )
        put(tmp_path, PROBES[0], shown(4100))
        assert [(await anext(samples)).cells[0] for _ in range(2)][-1] == Cell(Channel.TEMPERATURE_MC, 4100)
    said = [record.getMessage() for record in caplog.records]
    assert [text.split(" reason")[0] for text in said] == [f"probe {PROBES[0]} lost", f"probe {PROBES[0]} back"]


async def test_a_bus_that_hangs_is_told_and_hangs_one_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("pledgewatch_edge.sensors.onewire.ANSWER_S", 0.2)
    (tmp_path / PROBES[0]).mkdir()
    fifo = tmp_path / PROBES[0] / "w1_slave"
    os.mkfifo(fifo)
    sensor = OneWireSensor(OneWireSettings(root=tmp_path, interval_s=0.01, probes=PROBES[:1]), AgentClock())
    gone = (Cell(Channel.TEMPERATURE_MC, 0, Quality.SENSOR_GONE),)
    for _ in range(5):  # as often as it is begun anew: each report that is asked for does that
        async with asyncio.timeout(60), aclosing(sensor.samples()) as samples:
            assert [(await anext(samples)).cells for _ in range(3)] == [gone] * 3
    (thread,) = [one for one in threading.enumerate() if one.name == "onewire"]
    assert thread.daemon, "the process ends without it"
    assert [record.getMessage() for record in caplog.records] == [f"probe {PROBES[0]} lost reason='does not answer'"]
    fifo.write_text(shown(4000), encoding="ascii")  # returns when it is read
    await asyncio.to_thread(thread.join, 10)
    fifo.unlink()
    put(tmp_path, PROBES[0], shown(4100))
    async with asyncio.timeout(60), aclosing(sensor.samples()) as samples:
        assert (await anext(samples)).cells == (Cell(Channel.TEMPERATURE_MC, 4100),)


async def test_a_reading_that_was_given_up_is_waited_for_and_not_joined_by_another() -> None:
    may_end, turns = threading.Event(), list[int]()

    def call() -> int:
        turns.append(len(turns))
        may_end.wait(60)
        return turns[-1]

    bus = OwnThread("bus", call, 10)
    given_up = asyncio.ensure_future(bus.ask())
    while not turns:
        await asyncio.sleep(0.01)
    given_up.cancel()
    await asyncio.sleep(0)
    bus.afterwards(lambda: turns.append(-1))
    asked = asyncio.ensure_future(bus.ask())
    await asyncio.sleep(0.05)
    assert (given_up.cancelled(), turns) == (True, [0])
    may_end.set()
    assert await asked == 2
    assert turns == [0, -1, 2], "tidied between the two"
    bus.afterwards(lambda: turns.append(-1))
    assert turns[-1] == -1


async def test_what_a_call_raises_is_raised_where_it_is_waited_for() -> None:
    bus = OwnThread("bus", lambda: 1 // 0, 10)
    with pytest.raises(ZeroDivisionError):
        await bus.ask()
