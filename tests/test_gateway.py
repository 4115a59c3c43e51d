"""The gateway: a station for each zone, all in one process, each with a device of its own and none in another's way."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest
from brokers import BrokerProcess
from edge_support import OPERATOR, cloud, new_spool, running_broker, sample, samples, station, until

from pledgewatch_edge import process
from pledgewatch_edge.identity import load_or_create_key, public_key_hex
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.sampling import Sampler
from pledgewatch_edge.spool.spool import Spool
from pledgewatch_edge.station import Station, run_station
from pledgewatch_gateway.__main__ import main
from pledgewatch_gateway.config import ZONES_MAX, load
from pledgewatch_gateway.program import program_of
from pledgewatch_wire.reading import Reading
from pledgewatch_wire.settings import SettingsError

GATEWAY = f"""
[gateway]
operator = "{OPERATOR}"
name = "site-la-3"
state_folder = "state"
[broker]
host = "127.0.0.1"
port = 1
keep_alive_s = 5
reconnect_max_s = 0.2
[[zones]]
name = "Cold room"
device = "cold"
asset = "la-3-cold"
[[zones]]
name = "Racks"
device = "racks"
folder = "elsewhere"
"""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    """The cloud's own broker, in a process of its own."""
    with running_broker("amqtt", tmp_path / "broker") as one:
        yield one


def written(folder: Path, text: str = GATEWAY) -> Path:
    file = folder / "gateway.toml"
    file.write_text(text, encoding="utf-8")
    return file


class Counting:
    """A sensor that counts on from a number, for ever."""

    name = "counting"

    def __init__(self, start: int) -> None:
        self._next = start

    async def samples(self) -> AsyncGenerator[Sample, None]:
        while True:
            yield sample(self._next)
            self._next += 1
            await asyncio.sleep(0.005)


class Faulty(Sampler):
    """A sampler with a broken invariant."""

    def take(self, sample: Sample) -> Sample | None:
        raise ZeroDivisionError("of all things")


def launched(file: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pledgewatch_gateway", "run", "--config", str(file)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def counting(folder: Path, port: int, device: str, start: int) -> Station:
    settings = station(folder / device, port, device=device, in_flight_readings=60)
    return Station(settings, lambda: [Counting(start)], {})


async def test_two_stations_in_one_process_both_deliver(broker: BrokerProcess, tmp_path: Path) -> None:
    starts = {"cold": 1, "racks": 5_001}
    stations = [counting(tmp_path, broker.port, device, start) for device, start in starts.items()]
    async with cloud(broker.port, device="cold") as cold, cloud(broker.port, device="racks") as racks:
        running = asyncio.create_task(process._run_all(stations))
        for heard, start in ((cold, 1), (racks, 5_001)):
            await until(lambda: heard.marks.get(1, (0,))[0] > 150, "readings of both")  # noqa: B023 - waited for at once
            readings = [heard.readings[(1, number)] for number in range(1, 151)]
            assert readings == [Reading(number, *sample(start - 1 + number)[:3]) for number in range(1, 151)]
        assert not running.done()
        os.kill(os.getpid(), signal.SIGTERM)
        assert await asyncio.wait_for(running, 60)
        for heard in (cold, racks):
            await until(lambda: not heard.statuses[-1].online, "the word that both are offline")  # noqa: B023 - waited for at once
            assert heard.conflicts == 0
    keys = {public_key_hex(load_or_create_key(tmp_path / device)) for device in starts}
    assert len(keys) == 2


async def test_a_station_that_fails_keeps_no_other_from_going_on(
    broker: BrokerProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder", encoding="ascii")
    stations = [
        Station(station(tmp_path / "faulty", broker.port, device="faulty"), lambda: [Counting(1)], {}, Faulty),
        Station(station(tmp_path / "file", broker.port, device="file"), list, {}),
        counting(tmp_path, broker.port, "racks", 1),
    ]
    async with cloud(broker.port, device="racks") as racks:
        running = asyncio.create_task(process._run_all(stations))
        await until(lambda: caplog.text.count("ended error") == 2, "two of them to have ended")
        head = racks.marks.get(1, (0,))[0]
        await until(lambda: racks.marks.get(1, (0,))[0] > head + 100, "the third to go on")
        assert not running.done()
        os.kill(os.getpid(), signal.SIGTERM)
        assert not await asyncio.wait_for(running, 60)
    assert "ended error=ZeroDivisionError of all things" in caplog.text


async def test_where_no_station_is_left_the_process_ends(tmp_path: Path) -> None:
    stations = [
        Station(station(tmp_path / device, 1, device=device), lambda: [Counting(1)], {}, Faulty)
        for device in ("cold", "racks")
    ]
    assert not await asyncio.wait_for(process._run_all(stations), 60)


async def test_no_station_waits_for_a_thread_of_another(tmp_path: Path) -> None:
    many = 20
    meeting, met = threading.Barrier(many), threading.Event()

    class Slow:
        """A sensor whose device answers when those of all stations have been asked."""

        name = "slow"

        async def samples(self) -> AsyncGenerator[Sample, None]:
            await asyncio.to_thread(meeting.wait, 10)
            met.set()
            while True:
                yield sample(1)
                await asyncio.sleep(60)

    devices = [f"zone-{number}" for number in range(many)]
    stations = [Station(station(tmp_path / one, 1, device=one), lambda: [Slow()], {}) for one in devices]
    running = asyncio.create_task(process._run_all(stations))
    await until(lambda: met.is_set() or running.done(), "all of them at once")
    assert met.is_set()
    assert not running.done()
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(running, 60)


async def test_a_spool_that_opens_slowly_stops_no_other_and_is_closed_where_nobody_waits_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    opened: list[Spool] = []

    def slowly(*_: object) -> Spool:
        assert go_on.wait(60)
        opened.append(new_spool(tmp_path / "state"))
        return opened[0]

    monkeypatch.setattr("pledgewatch_edge.station.open_spool", slowly)
    running = asyncio.create_task(run_station(station(tmp_path / "state", 1), [], asyncio.Event()))
    await asyncio.sleep(0.05)
    running.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 60)
    assert opened[0]._tally._descriptor == -1


async def test_the_program_runs_a_station_for_each_zone(broker: BrokerProcess, tmp_path: Path) -> None:
    file = written(tmp_path, GATEWAY.replace("port = 1\n", f"port = {broker.port}\n"))
    for folder, device, count in ((tmp_path / "state" / "cold", "cold", 30), (tmp_path / "elsewhere", "racks", 70)):
        with new_spool(folder, device=device) as spool:
            spool.append(samples(count))
    async with cloud(broker.port, device="cold") as cold, cloud(broker.port, device="racks") as racks:
        with launched(file) as program:
            try:
                await until(lambda: cold.marks.get(1, (0,))[0] == 30, "the readings of the cold room")
                await until(lambda: racks.marks.get(1, (0,))[0] == 70, "the readings of the racks")
            finally:
                program.send_signal(signal.SIGTERM)
                _, said = await asyncio.to_thread(program.communicate, timeout=60)
        assert program.returncode == 0, said
        assert [heard.statuses[-1].online for heard in (cold, racks)] == [False, False]
    for device in ("cold", "racks"):
        told = [line for line in said.splitlines() if line.endswith(f" device={device}")]
        assert [word for line in told for word in ("start ", "connected ", "stopped ") if word in line] == [
            "start ",
            "connected ",
            "stopped ",
        ], said


def test_identity_and_status_tell_of_every_zone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path)
    assert main(["identity", "--config", str(file)]) == 0
    cold, racks = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert cold == {
        "operator": OPERATOR,
        "device": "cold",
        "gateway": "site-la-3",
        "zone": "Cold room",
        "asset": "la-3-cold",
        "public_key": public_key_hex(load_or_create_key(tmp_path / "state" / "cold")),
        "epoch": 0,
    }
    assert racks["public_key"] == public_key_hex(load_or_create_key(tmp_path / "elsewhere")) != cold["public_key"]
    with new_spool(tmp_path / "elsewhere", device="racks") as spool:
        spool.append(samples(3))
    assert main(["status", "--json", "--config", str(file)]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["zone"], one["gateway"], one["spooled"]) for one in told] == [
        ("Cold room", "site-la-3", 0),
        ("Racks", "site-la-3", 3),
    ]


def test_a_zone_that_cannot_be_told_of_keeps_no_other_from_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path)
    folder = tmp_path / "state" / "cold"
    load_or_create_key(folder)
    (folder / "device.key").chmod(0o644)
    (folder / "spool").mkdir()
    (folder / "spool" / "0001-0000000000000001.log").write_bytes(b"this is no log" * 20)
    for command, cure in (
        (["identity"], "run chmod 600 on it"),
        (["status", "--json"], "0001.log holds nothing that is whole"),
    ):
        assert main([*command, "--config", str(file)]) == 1
        said = capsys.readouterr()
        assert [json.loads(line)["device"] for line in said.out.splitlines()] == ["racks"]
        assert cure in said.err
        assert said.err.count("\n") == 1


def test_check_needs_nothing_and_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path)
    assert main(["run", "--config", str(file), "--check"]) == 0
    assert capsys.readouterr().out == f"{file}: can be used\n"
    assert [one.name for one in tmp_path.iterdir()] == ["gateway.toml"]


def test_a_zones_folder_is_below_the_gateways_by_its_devices_name_unless_said(tmp_path: Path) -> None:
    cold, racks = program_of(load(written(tmp_path))).stations
    assert cold.settings.device.state_folder == tmp_path / "state" / "cold"
    assert racks.settings.device.state_folder == tmp_path / "elsewhere"
    assert cold.settings.broker is racks.settings.broker


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('name = "site-la-3"', 'name = "Los Angeles"'), "[gateway] name 'Los Angeles' cannot be a name; use 1 to 64"),
        (('name = "site-la-3"', ""), "[gateway] name is missing"),
        (('device = "cold"', 'device = "Cold"'), "[zones][0] device 'Cold' cannot be a name; use 1 to 64"),
        (('device = "cold"', ""), "[zones][0] device is missing"),
        (('name = "Racks"', 'name = " "'), "[zones][1] name is empty; name the zone as people call it"),
        (('device = "racks"', 'device = "cold"'), "[[zones]] device 'cold' is there more than once"),
        (('name = "Racks"', 'name = "Cold room"'), "[[zones]] name 'Cold room' is there more than once"),
        (('"elsewhere"', '"state/../state/cold"'), "[[zones]] folder "),
        (("[[zones]]", "[device]\n[[zones]]"), "[device] is no key of this program; there are broker,"),
        (("[[zones]]", "[gps]\n[[zones]]"), "[gps] is no key of this program; there are broker,"),
        ((GATEWAY[GATEWAY.index("[[zones]]") :], ""), "names no zone; add a section [[zones]] for each"),
        (
            (
                GATEWAY[GATEWAY.index("[[zones]]") :],
                "".join(f'[[zones]]\nname = "{one}"\ndevice = "zone-{one}"\n' for one in range(ZONES_MAX + 1)),
            ),
            f"names {ZONES_MAX + 1} zones; a gateway has {ZONES_MAX} at most",
        ),
    ],
)
def test_an_error_names_the_place_and_the_cure(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    file = written(tmp_path, GATEWAY.replace(*change, 1))
    with pytest.raises(SettingsError) as caught:
        load(file)
    assert any(line.startswith(f"{file}: {message}") for line in str(caught.value).splitlines()), str(caught.value)


def test_the_gateway_needs_no_package_of_the_edges_sensors_but_the_serial_port(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "sys.modules['pynmea2'] = None\n"
        "from pledgewatch_gateway.__main__ import main\n"
        "code = main(['run', '--config', sys.argv[1], '--check'])\n"
        "kinds = [name for name in sys.modules if name.startswith('pledgewatch_edge.sensors.')]\n"
        "assert kinds == ['pledgewatch_edge.sensors.serial_port'], kinds\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(written(tmp_path))], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
