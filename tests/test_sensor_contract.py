"""What every sensor keeps: each thing that one may do wrong is seen, and the sensor in docs/SENSORS.md does none."""

import asyncio
import contextlib
import importlib
import logging
import re
import sys
import tomllib
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from edge_support import OPERATOR, until

from pledgewatch_edge.__main__ import main
from pledgewatch_edge.agent import load
from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.logs import World
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.sensor_contract import SensorWorld, check_sensor
from pledgewatch_edge.sensors import ENTRY_POINTS, SensorSettings, sensors_of
from pledgewatch_edge.spool.file import status
from pledgewatch_edge.station import run_station
from pledgewatch_wire.reading import Cell, Channel, Quality

PAGE = Path(__file__).resolve().parent.parent / "docs" / "SENSORS.md"
QUICK_S = 0.02
GOOD = Cell(Channel.WEIGHT_G, 81_500)
GONE = Cell(Channel.WEIGHT_G, 0, Quality.SENSOR_GONE)


@dataclass(frozen=True, kw_only=True)
class Settings(SensorSettings):
    """A sensor that does one thing wrong."""

    world: "Scale"
    does: str

    @property
    def channels(self) -> frozenset[Channel]:
        return frozenset({Channel.WEIGHT_G, Channel.LEAK})

    def sensor(self, clock: AgentClock) -> "Wrong":
        return Wrong(self.world, self.does, clock)


class Scale(SensorWorld):
    """What it measures."""

    def __init__(self, does: str) -> None:
        self.is_there = False
        self.open = 0
        self.settings = Settings(world=self, does=does)

    async def plug(self) -> None:
        self.is_there = True

    def unplug(self) -> None:
        self.is_there = False

    def open_now(self) -> int:
        return self.open


class Wrong:
    """The sensor."""

    def __init__(self, world: Scale, does: str, clock: AgentClock) -> None:
        self._world, self._does, self._clock = world, does, clock
        self._scale = World(logging.getLogger(__name__), "scale")
        self._was_lost = False
        self.name = "" if does == "has no name" else "tank"

    async def samples(self) -> AsyncGenerator[Sample, None]:
        self._world.open += 1
        try:
            while self._does != "ends":
                self._say()
                now_ms, clock = self._clock.now()
                now_ms -= 86_400_000 * (self._does == "was yesterday")
                yield Sample(now_ms, clock, self._cells())
                await asyncio.sleep(QUICK_S)
        finally:
            self._world.open -= self._does != "leaves it open"

    def _say(self) -> None:
        is_there = self._world.is_there
        if self._does == "says nothing":
            return
        if self._does == "says it again and again" and not is_there:
            logging.getLogger(__name__).warning("scale lost")
        elif is_there:
            if self._does != "does not say that it is back":
                self._scale.back()
        else:
            self._was_lost = True
            self._scale.lost("gone")

    def _cells(self) -> tuple[Cell, ...]:
        if self._does == "raises where it is gone" and not self._world.is_there:
            raise OSError("gone")
        is_measured = self._world.is_there and self._does != "measures nothing"
        if self._does == "measures no more" and self._was_lost:
            is_measured = False
        cell = GOOD if is_measured else GONE
        return {
            "gives nothing": (),
            "gives another's channel": (Cell(Channel.TEMPERATURE_MC, 4_000),),
            "gives a fraction": (Cell(Channel.WEIGHT_G, 1.5),),  # type: ignore[arg-type]
            "does not ascend": (Cell(Channel.LEAK, 1), cell),
            "invents a value": (GONE._replace(value=1),),
        }.get(self._does, (cell,))


WRONG = {
    "has no name": "its name is '', which is no text",
    "ends": "samples() has ended",
    "gives nothing": "it has no cells",
    "gives another's channel": "its settings declare",
    "gives a fraction": "no payload can hold",
    "does not ascend": "its cells do not ascend",
    "invents a value": "what has no value has one",
    "measures nothing": "nothing is measured of what is there",
    "was yesterday": "it was not measured just now",
    "leaves it open": "it was closed, and has something open",
    "says nothing": "for 'lost' in the log",
    "says it again and again": "what was lost is said once",
    "does not say that it is back": "that it is back is said once: []",
    "measures no more": "for a whole sample, as what it measures is back",
    "raises where it is gone": "gone",
}


@pytest.mark.parametrize("does", WRONG)
async def test_what_a_sensor_does_wrong_is_seen(does: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pledgewatch_edge.sensor_contract.WITHIN_S", 1.0)
    with pytest.raises((AssertionError, ExceptionGroup)) as seen:
        await check_sensor(Scale(does))
    error: BaseException = seen.value
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    assert WRONG[does] in str(error)


async def test_one_that_does_nothing_wrong_is_taken() -> None:
    await check_sensor(Scale("as it should"))


def block_of(begins: str) -> str:
    """The one block of code of the page that has a line which begins so."""
    blocks = re.findall(r"^```\w+\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    found: str
    [found] = [block for block in blocks if re.search(f"^{re.escape(begins)}", block, re.MULTILINE)]
    return found


@pytest.fixture
def tank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Installs the package of docs/SENSORS.md, and its test; an empty folder."""
    packages, folder = tmp_path / "packages", tmp_path / "board"
    about = packages / "my_tank-1.0.dist-info"
    about.mkdir(parents=True)
    folder.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-tank\nVersion: 1.0\n", encoding="utf-8")
    named = tomllib.loads(block_of("[project.entry-points"))["project"]["entry-points"][ENTRY_POINTS]
    lines = "".join(f"{name} = {value}\n" for name, value in named.items())
    (about / "entry_points.txt").write_text(f"[{ENTRY_POINTS}]\n{lines}", encoding="utf-8")
    (packages / "my_tank.py").write_text(block_of("class TankSettings"), encoding="utf-8")
    (packages / "try_my_tank.py").write_text(block_of("def test_tank"), encoding="utf-8")
    monkeypatch.syspath_prepend(packages)
    yield folder
    for name in ("my_tank", "try_my_tank"):
        sys.modules.pop(name, None)


def test_the_sensor_of_the_page_keeps_what_all_sensors_keep(tank: Path) -> None:
    tried = importlib.import_module("try_my_tank")
    tried.test_tank_keeps_what_all_sensors_keep(tank)
    page = importlib.import_module("my_tank")
    assert tried.TankSettings is page.TankSettings, "it is the page's that was tried"


async def test_the_sensor_of_the_page_measures(tank: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, grams = tank / "edge.toml", tank / "grams"
    grams.write_text("81500\n", encoding="ascii")
    file.write_text(
        f'[device]\noperator = "{OPERATOR}"\nname = "cont-0417"\nstate_folder = "state"\n'
        f'[broker]\nhost = "127.0.0.1"\nport = 1\n[tank]\nfile = "{grams}"\ninterval_s = {QUICK_S}\n',
        encoding="utf-8",
    )
    assert main(["run", "--check", "--config", str(file)]) == 0, capsys.readouterr().err
    settings, stop = load(file), asyncio.Event()
    seen: list[Sample] = []

    class Seen:
        name = "tank"

        async def samples(self) -> AsyncGenerator[Sample, None]:
            [sensor] = sensors_of(settings, AgentClock())
            async with contextlib.aclosing(sensor.samples()) as samples:
                async for sample in samples:
                    seen.append(sample)
                    yield sample

    running = asyncio.create_task(run_station(settings, [Seen()], stop))
    await until(lambda: len(seen) > 1, "two samples")
    stop.set()
    await running
    assert {sample.cells for sample in seen} == {(GOOD,)}
    assert status(settings.device.state_folder)["measured"] in {len(seen) - 1, len(seen)}
