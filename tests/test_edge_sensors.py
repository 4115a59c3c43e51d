"""What every sensor keeps, whatever it measures: the contract of pledgewatch_edge.sensors.Sensor."""

import asyncio
import dataclasses
import importlib.metadata
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sensor_worlds import NOW_MS, WORLDS, GpsdWorld, GpsWorld, ReceiverWorld, Says, World, begun, clock

from pledgewatch_edge.agent import EdgeSettings, load
from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.sensors import Sensor, SensorSettings, sections
from pledgewatch_edge.sensors.gpsd import GpsdSettings
from pledgewatch_wire.reading import NO_VALUE_FROM, Channel, Clock, Quality
from pledgewatch_wire.settings import SettingsError

MakeWorld = Callable[[Path, pytest.MonkeyPatch], World]
RECEIVERS = (GpsWorld, GpsdWorld)
SILENT_S = 0.5
every_sensor = pytest.mark.parametrize("make", WORLDS)


def assert_in_order(sample: Sample, channels: frozenset[Channel]) -> None:
    """A sample as the protocol has it: some cells, ascending, of the sensor's own channels; none without a value has
    one."""
    named = [cell.channel for cell in sample.cells]
    assert named
    assert named == sorted(set(named))
    assert set(named) <= channels
    assert all(cell.value == 0 for cell in sample.cells if cell.quality >= NO_VALUE_FROM)


def has_value(sample: Sample) -> bool:
    """Whether anything was measured."""
    return any(cell.quality < NO_VALUE_FROM for cell in sample.cells)


def is_whole(sample: Sample) -> bool:
    """Whether all of it was measured."""
    return all(cell.quality < NO_VALUE_FROM for cell in sample.cells)


@every_sensor
async def test_it_gives_samples_and_opens_again_after_it_was_closed(
    make: MakeWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asyncio.timeout(60), begun(make(tmp_path, monkeypatch)) as world:
        sensor = world.sensor(clock())
        assert sensor.name
        for _ in range(2):
            async with aclosing(sensor.samples()) as samples:
                found = [await anext(samples) for _ in range(3)]
            for sample in found:
                assert_in_order(sample, world.settings.channels)
            assert has_value(found[-1])
            assert found[-1].clock in {Clock.GPS, Clock.NTP}
            assert abs(found[-1].measured_at_ms - NOW_MS) < 3_600_000
            assert world.open_now() == 0, "closed is closed"


@every_sensor
async def test_what_goes_away_is_said_once_and_measured_again_when_it_is_back(
    make: MakeWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with asyncio.timeout(60), begun(make(tmp_path, monkeypatch)) as world:
        sensor = world.sensor(clock())
        async with listening(sensor) as heard:
            await heard.get()
            world.unplug()
            while not any("lost" in one.getMessage() for one in caplog.records):
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.5)  # and it is not said again
            while not heard.empty():
                assert_in_order(heard.get_nowait(), world.settings.channels)
            await world.plug()
            while not is_whole(await heard.get()):
                pass
    said = [record for record in caplog.records if record.name.startswith("pledgewatch_edge.sensors")]
    lost = [one for one in said if "lost" in one.getMessage()]
    back = [one for one in said if one.getMessage().endswith("back")]
    assert len(lost) == len(back) <= 1
    assert lost, "whatever a person must see to is said"


@pytest.mark.parametrize("says", [Says.NO_FIX, Says.SATELLITES])
@pytest.mark.parametrize("make", RECEIVERS)
async def test_a_receiver_that_has_no_fix_is_there_and_says_so(
    make: Callable[[Path, pytest.MonkeyPatch], ReceiverWorld],
    says: Says,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("pledgewatch_edge.sensors.gps.LONGEST_IDLE_S", SILENT_S)
    monkeypatch.setattr("pledgewatch_edge.sensors.fix_sampler.GONE_AFTER_S", 0.1)
    monkeypatch.setattr("pledgewatch_edge.sensors.fix_sampler.GONE_AGAIN_S", 0.1)
    world = make(tmp_path, monkeypatch)
    world.says = says
    async with asyncio.timeout(60), begun(world):
        if isinstance(world.settings, GpsdSettings):
            world.settings = dataclasses.replace(world.settings, silent_after_s=SILENT_S)
        async with listening(world.sensor(clock())) as heard:
            for _ in range(3):
                assert_in_order(sample := await heard.get(), world.settings.channels)
                found = {cell.channel: (cell.value, cell.quality) for cell in sample.cells}
                by_its_own_clock = Quality.NO_TIME if says is Says.SATELLITES else Quality.GOOD
                of_satellites = {
                    Channel.SATELLITES: (0, by_its_own_clock),
                    Channel.HDOP_CENTI: (9_999, by_its_own_clock),
                }
                told = {channel: found.pop(channel) for channel in of_satellites if channel in found}
                assert told == of_satellites if says is Says.NO_FIX else told.items() <= of_satellites.items()
                assert found == {
                    Channel.LATITUDE_E7: (0, Quality.NO_FIX),
                    Channel.LONGITUDE_E7: (0, Quality.NO_FIX),
                    Channel.FIX_DIMENSIONS: (0, by_its_own_clock),
                }
            world.says = Says.FIXES
            while not has_value(sample := await heard.get()) or Quality.NO_FIX in {one.quality for one in sample.cells}:
                pass
            await asyncio.sleep(2 * SILENT_S)
            while not heard.empty():
                assert is_whole(heard.get_nowait())
            world.unplug()
            while Quality.SENSOR_GONE not in {one.quality for one in (await heard.get()).cells}:
                pass
    assert sum("lost" in one.getMessage() for one in caplog.records) == 1, "that which was unplugged at the end"


@asynccontextmanager
async def listening(sensor: Sensor) -> AsyncIterator[asyncio.Queue[Sample]]:
    """What a sensor gives, as it comes."""
    heard: asyncio.Queue[Sample] = asyncio.Queue()

    async def listen() -> None:
        async with aclosing(sensor.samples()) as samples:
            async for sample in samples:
                heard.put_nowait(sample)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(listen())
        yield heard
        task.cancel()


def test_every_sensor_of_the_agent_has_a_world() -> None:
    assert {make.section for make in WORLDS} == set(sections(EdgeSettings))


def test_two_sensors_do_not_give_one_channel(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    path.write_text(
        '[device]\noperator = "a"\nname = "b"\nstate_folder = "s"\n[broker]\nhost = "h"\n'
        '[onewire]\nprobes = ["28-0316a2794e2f"]\n[sht3x]\n[gps]\nport = "p"\n[gpsd]\n',
        encoding="utf-8",
    )
    with pytest.raises(SettingsError) as refused:
        load(path)
    text = str(refused.value)
    assert "[onewire] and [sht3x] would both give temperature_mc; choose another channel" in text
    assert "[gps] and [gpsd] would both give latitude_e7" in text


def test_a_library_that_is_missing_is_named_where_it_is_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_module = importlib.import_module

    def without(name: str, *rest: Any) -> Any:
        if name in {"smbus2", "gpiod", "pymodbus"}:
            raise ModuleNotFoundError(name)
        return import_module(name, *rest)

    monkeypatch.setattr("importlib.import_module", without)
    head = '[device]\noperator = "a"\nname = "b"\nstate_folder = "s"\n[broker]\nhost = "h"\n'
    path = tmp_path / "edge.toml"
    (tmp_path / "map.toml").write_text('[[registers]]\nchannel = "weight_g"\naddress = 0\n', encoding="utf-8")
    for section, library, extra in (
        ("[sht3x]\n", "smbus2", "i2c"),
        ("[adxl345]\n", "smbus2", "i2c"),
        ('[contacts]\n[[contacts.lines]]\nline = 1\nchannel = "door_open"\n', "gpiod", "gpio"),
        ('[modbus]\nmap = "map.toml"\nhost = "h"\n', "pymodbus", "modbus"),
    ):
        path.write_text(head + section, encoding="utf-8")
        with pytest.raises(SettingsError) as refused:
            load(path)
        assert f"needs {library}; install it with pip install 'pledgewatch[{extra}]'" in str(refused.value)
    path.write_text(head + "[host]\n", encoding="utf-8")
    assert load(path).host is not None, "what is not configured is not missed"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TankSettings(SensorSettings):
    """A sensor of another package."""

    litres: int = 5

    @property
    def channels(self) -> frozenset[Channel]:
        return frozenset({Channel.PIECES_PRESENT})

    def sensor(self, clock: AgentClock) -> Any:
        return ("tank", self.litres, clock)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (f"{__name__}:TankSettings", ""),
        (f"{__name__}:NOW_MS", "which is no SensorSettings; mend the package"),
        (f"{__name__}:nothing", "which cannot be loaded"),
    ],
)
def test_a_sensor_of_another_package_is_a_section(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, words: str
) -> None:
    tank = importlib.metadata.EntryPoint("tank", value, "pledgewatch.sensors")
    monkeypatch.setattr("pledgewatch_edge.sensors.entry_points", lambda group: [tank] if group == tank.group else [])
    path = tmp_path / "edge.toml"
    head = '[device]\noperator = "a"\nname = "b"\nstate_folder = "s"\n[broker]\nhost = "h"\n'
    path.write_text(f"{head}[tank]\nlitres = 7\n", encoding="utf-8")
    if words:
        with pytest.raises(SettingsError, match=words):
            load(path)
        return
    settings = load(path)
    assert isinstance(settings, EdgeSettings)
    assert getattr(settings, "tank") == TankSettings(litres=7)  # noqa: B009 - a row that EdgeSettings does not know
    path.write_text(f"{head}[tank]\ngallons = 7\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="gallons is no key"):
        load(path)
