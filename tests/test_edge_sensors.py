"""The agent's own sensors keep what every sensor does (pledgewatch_edge.sensor_contract), and are sections of its
configuration."""

import asyncio
import dataclasses
import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sensor_worlds import WORLDS, GpsdWorld, GpsWorld, ReceiverWorld, Says, World, clock

from pledgewatch_edge.agent import EdgeSettings, load
from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.sensor_contract import begun, check_sample, check_sensor, has_value, is_whole, listening
from pledgewatch_edge.sensors import SensorSettings, sections
from pledgewatch_edge.sensors.gpsd import GpsdSettings
from pledgewatch_wire.reading import Channel, Quality
from pledgewatch_wire.settings import SettingsError

MakeWorld = Callable[[Path, pytest.MonkeyPatch], World]
RECEIVERS = (GpsWorld, GpsdWorld)
SILENT_S = 0.5


@pytest.mark.parametrize("make", WORLDS)
async def test_it_keeps_what_all_sensors_keep(make: MakeWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await check_sensor(make(tmp_path, monkeypatch), clock())


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
                check_sample(sample := await heard.get(), world.settings.channels)
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
        (f"{__name__}:WORLDS", "which is no SensorSettings; mend the package"),
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
