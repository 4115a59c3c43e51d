"""The gateway with real sources: a broker of the LAN, a Modbus slave, serial lines; with the uplink and without."""

import asyncio
import contextlib
import json
import os
import pty
import subprocess
import sys
import tty
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from brokers import BrokerProcess
from edge_support import OPERATOR, Cloud, cloud, running_broker, until
from modbus_slave import Slave, slave

from pledgewatch_gateway.__main__ import main
from pledgewatch_gateway.config import load
from pledgewatch_sim.programs import free_port
from pledgewatch_wire.reading import Cell, Channel, tag_number
from pledgewatch_wire.settings import SettingsError

CONFIG = f"""
[gateway]
operator = "{OPERATOR}"
name = "site-la-3"
state_folder = "state"
time_zone = "America/Los_Angeles"
[broker]
host = "127.0.0.1"
port = CLOUD
protocol = "3.1.1"
keep_alive_s = 5
reconnect_max_s = 0.2
[uplink]
in_flight_readings = 5000
[status_page]
port = PAGE
[[zones]]
name = "Cold room"
device = "cold"
[[zones]]
name = "Racks"
device = "racks"

[[mqtt]]
name = "hall"
forms = ["esphome", "tasmota", "zigbee2mqtt", "chirpstack"]
[mqtt.broker]
host = "127.0.0.1"
port = LAN
protocol = "3.1.1"
keep_alive_s = 5
reconnect_max_s = 0.2

[[modbus]]
name = "scale"
host = "127.0.0.1"
port = MODBUS
interval_s = 0.1
timeout_s = 1.0
registers = [
  {{ name = "net", address = 0, type = "int32" }},
  {{ name = "supply", address = 9, table = "input" }},
]

[[serial]]
name = "probe"
port = "probe.tty"
form = "pairs"
[[serial]]
name = "gate"
port = "gate.tty"
form = "tags"

[[sensors]]
source = "hall"
sensor = "cold-1"
field = "air"
zone = "Cold room"
channel = "temperature_mc"
unit = "C"
[[sensors]]
source = "hall"
sensor = "cold-1"
field = "leak"
zone = "Cold room"
channel = "leak"
[[sensors]]
source = "hall"
sensor = "dock"
field = "AM2301.Humidity"
zone = "Racks"
channel = "humidity_cpercent"
unit = "%"
[[sensors]]
source = "hall"
sensor = "rack/door"
field = "contact"
zone = "Racks"
channel = "door_open"
invert = true
[[sensors]]
source = "hall"
sensor = "0102030405060708"
field = "temperature"
zone = "Racks"
channel = "temperature_mc"
unit = "C"
[[sensors]]
source = "scale"
field = "net"
zone = "Racks"
bin = "A-01"
channel = "weight_g"
unit = "kg"
scale = 0.01
every_s = 3600
[[sensors]]
source = "scale"
field = "supply"
zone = "Cold room"
channel = "temperature_1_mc"
unit = "C"
scale = 0.1
every_s = 3600
[[sensors]]
source = "probe"
field = "T"
zone = "Cold room"
channel = "temperature_2_mc"
unit = "C"
[[sensors]]
source = "gate"
field = "tag"
zone = "Racks"
channel = "tag_out"

[[outputs]]
name = "siren"
source = "hall"
topic = "cmnd/siren/POWER"
[[outputs]]
name = "lamp"
source = "scale"
coil = 4
[[rules]]
name = "cold room is warm"
zone = "Cold room"
channel = "temperature_mc"
when = "above"
value = -15000
outputs = ["siren", "lamp"]
"""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    """The LAN's broker, and the cloud's where a test has one."""
    with running_broker("amqtt", tmp_path / "broker") as one:
        yield one


class Line:
    """A serial line by a pseudo-terminal, under a name that stays."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor, far = pty.openpty()
        tty.setraw(far)
        path.unlink(missing_ok=True)
        path.symlink_to(os.ttyname(far))
        self._far = far

    def say(self, data: bytes) -> None:
        os.write(self.descriptor, data)

    def unplug(self) -> None:
        self.path.unlink()
        os.close(self._far)
        os.close(self.descriptor)


def written(folder: Path, *, lan: int, modbus: int, uplink: int = 1, page: int = 0, text: str = CONFIG) -> Path:
    for word, port in (("CLOUD", uplink), ("LAN", lan), ("MODBUS", modbus), ("PAGE", page)):
        text = text.replace(f"port = {word}\n", f"port = {port}\n")
    file = folder / "gateway.toml"
    file.write_text(text, encoding="utf-8")
    return file


@contextlib.asynccontextmanager
async def running(file: Path) -> AsyncIterator[list[str]]:
    """The program in a process of its own; its log, once it has ended in good order."""
    command = [sys.executable, "-m", "pledgewatch_gateway", "run", "--config", str(file)]
    said: list[str] = []
    with (file.parent / "log").open("w+", encoding="utf-8") as output:
        program = await asyncio.to_thread(subprocess.Popen, command, stderr=output)
        try:
            yield said
            assert program.poll() is None, (file.parent / "log").read_text(encoding="utf-8")
        finally:
            program.terminate()
            code = await asyncio.to_thread(program.wait, 20)
            output.seek(0)
            said += output.read().splitlines()
    assert code == 0, said


@contextlib.asynccontextmanager
async def lan(port: int) -> AsyncIterator[aiomqtt.Client]:
    async with aiomqtt.Client("127.0.0.1", port, identifier="lan", protocol=aiomqtt.ProtocolVersion.V311) as client:
        yield client


def log_of(file: Path) -> str:
    return (file.parent / "log").read_text(encoding="utf-8")


def good_slave(one: Slave) -> None:
    one.holding = {0: 0x0001, 1: 0xE240}  # 123456
    one.inputs = {9: 0xFF4E}  # -178
    one.coils = {4: False}


def cells_of(heard: Cloud) -> set[Cell]:
    return {cell for reading in heard.readings.values() for cell in reading.cells}


def status_of(port: int) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/status.json", timeout=60) as answer:
        found: dict[str, Any] = json.loads(answer.read())
        return found


UP = json.dumps(
    {
        "deduplicationId": "5f1d",
        "time": "2026-03-01T12:00:00+00:00",
        "deviceInfo": {"devEui": "0102030405060708"},
        "object": {"temperature": 4.25},
    }
)
SAID = [
    ("cold-1/sensor/air/state", "-18.25"),
    ("cold-1/binary_sensor/leak/state", "OFF"),
    ("tele/dock/SENSOR", '{"Time":"2017-02-16T10:13:52","AM2301":{"Humidity":61.5},"TempUnit":"C"}'),
    ("zigbee2mqtt/rack/door", '{"contact":false,"linkquality":87}'),
    ("application/7/device/0102030405060708/event/up", UP),
    ("application/7/device/0102030405060708/event/up", UP),
]
NONSENSE = [
    ("cold-1/sensor/air/state", "warm"),
    ("tele/dock/SENSOR", "{"),
    ("tele/dock/SENSOR", '{"AM2301":{"Humidity":NaN}}'),
    ("tele/dock/SENSOR", '{"AM2301":{"Humidity":"wet"}}'),
    ("zigbee2mqtt/stranger", '{"temperature":1}'),
    ("application/7/device/0102030405060708/event/up", "[]"),
]


async def test_whatever_a_source_reads_is_a_reading_of_its_zone(broker: BrokerProcess, tmp_path: Path) -> None:
    probe, gate = Line(tmp_path / "probe.tty"), Line(tmp_path / "gate.tty")
    async with slave() as scale, cloud(broker.port, device="cold") as cold, cloud(broker.port, device="racks") as racks:
        good_slave(scale)
        async with lan(broker.port) as client:
            await client.publish("cold-1/sensor/air/state", b"99", qos=1, retain=True)
            file = written(tmp_path, lan=broker.port, modbus=scale.port, uplink=broker.port)
            async with running(file) as said:
                await until(lambda: any(cell.channel == Channel.WEIGHT_G for cell in cells_of(racks)), "the scale")
                for _ in range(3):
                    for topic, payload in NONSENSE:
                        await client.publish(topic, payload.encode(), qos=1)
                for topic, payload in SAID:
                    await client.publish(topic, payload.encode(), qos=1)
                probe.say(b"\r\nT=nan\r\nT=4.5;H=60\r\n")
                gate.say(b"\x02E280-1160\x03\x02e280 1160\x03")
                await until(lambda: len(cells_of(cold)) >= 4, "what the cold room says")
                await until(lambda: len(cells_of(racks)) >= 5, "what the racks say")
    assert cells_of(cold) == {
        Cell(Channel.TEMPERATURE_MC, -18_250),
        Cell(Channel.LEAK, 0),
        Cell(Channel.TEMPERATURE_1_MC, -17_800),
        Cell(Channel.TEMPERATURE_2_MC, 4_500),
    }
    assert cells_of(racks) == {
        Cell(Channel.WEIGHT_G, 1_234_560),
        Cell(Channel.HUMIDITY_CPERCENT, 6_150),
        Cell(Channel.DOOR_OPEN, 1),
        Cell(Channel.TEMPERATURE_MC, 4_250),
        Cell(Channel.TAG_OUT, tag_number("E280-1160")),
    }
    assert [one.measured_at_ms for one in racks.readings.values() if one.cell(Channel.TEMPERATURE_MC)] == [
        1_772_366_400_000
    ]
    warned = [line.split(" WARNING ")[1] for line in said if " WARNING pledgewatch_gateway.site " in line]
    assert len(warned) == len(set(warned)) == 7, warned
    assert "hall 'stranger' is not in the roster; add a [[sensors]] row for it" in "".join(warned)
    assert not [line for line in said if " ERROR " in line]


async def test_rules_and_page_go_on_without_the_uplink(broker: BrokerProcess, tmp_path: Path) -> None:
    page = free_port()
    heard: list[tuple[str, bytes]] = []
    async with slave() as scale, lan(broker.port) as client:
        good_slave(scale)
        await client.subscribe([("cmnd/#", 1), ("pledgewatch/#", 1)])

        async def listen() -> None:
            async for message in client.messages:
                topic, payload = str(message.topic), message.payload
                heard.append((topic, payload))

        listening = asyncio.create_task(listen())
        file = written(tmp_path, lan=broker.port, modbus=scale.port, page=page)
        async with running(file):
            await until(lambda: ("pledgewatch/site-la-3.hall/status", b"online") in heard, "the gateway on the LAN")
            await client.publish("cold-1/sensor/air/state", b"-18")
            await until(lambda: ("cmnd/siren/POWER", b"OFF") in heard, "the siren to be known as off")
            assert scale.coils == {4: False}
            await client.publish("cold-1/sensor/air/state", b"-9.5")
            await until(lambda: ("cmnd/siren/POWER", b"ON") in heard, "the siren")
            await until(lambda: scale.coils == {4: True}, "the lamp")
            async with asyncio.timeout(60):  # a reading is written after it has been acted on
                while (status := await asyncio.to_thread(status_of, page))["zones"][0]["spooled"] < 4:
                    await asyncio.sleep(0.05)
            assert status["rules"] == [{"name": "cold room is warm", "active": True}]
            assert {one["name"]: one["is_set"] for one in status["switches"]} == {"siren": True, "lamp": True}
            cold, _ = status["zones"]  # two readings of the air, one of the supply, one of the probe that is gone
            assert (cold["zone"], cold["device"], cold["spooled"]) == ("Cold room", "cold", 4)
            sensors = {(one["zone"], one["channel"]): one for one in status["sensors"]}
            assert sensors["Cold room", "temperature_mc"]["value"] == -9_500
            assert sensors["Racks", "door_open"]["quality"] == "never_heard"
            assert sensors["Racks", "weight_g"]["bin"] == "A-01"
            await asyncio.to_thread(assert_the_page_is_only_read, page)
        await until(lambda: ("pledgewatch/site-la-3.hall/status", b"offline") in heard, "its farewell")
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    assert heard.count(("cmnd/siren/POWER", b"OFF")) == 1  # a gateway that stops silences nothing


def assert_the_page_is_only_read(port: int) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as answer:
        text = answer.read().decode("utf-8")
        assert answer.headers["Cache-Control"] == "no-store"
    assert "<h1>site-la-3</h1>" in text
    assert "cold room is warm" in text
    for path, data, code in (("/state/cold/device.key", None, 404), ("/", b"x", 405)):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", data, timeout=60)
        assert caught.value.code == code
        caught.value.close()


async def test_a_broker_and_a_line_that_go_are_taken_up_again(broker: BrokerProcess, tmp_path: Path) -> None:
    page = free_port()
    probe = Line(tmp_path / "probe.tty")
    async with slave() as scale:
        good_slave(scale)
        file = written(tmp_path, lan=broker.port, modbus=scale.port, page=page)
        async with running(file):
            await until(lambda: "serial port" in log_of(file) and "gate.tty lost" in log_of(file), "the start")
            await until(lambda: value_of(page, "temperature_2_mc") == (None, "never_heard"), "the page")
            probe.say(b"T=9\n")
            await until(lambda: status_of(page)["counts"].get("probe", {}).get("malformed") == 1, "what may be a rest")
            assert value_of(page, "temperature_2_mc") == (None, "never_heard")
            probe.say(b"T=1\n")
            await until(lambda: value_of(page, "temperature_2_mc") == (1_000, "good"), "the probe")
            probe.unplug()
            await until(lambda: value_of(page, "temperature_2_mc") == (None, "sensor_gone"), "the word that it is gone")
            probe = Line(tmp_path / "probe.tty")
            await until(lambda: "probe.tty back" in log_of(file), "the line to be back")
            probe.say(b"\nT=2\n")
            await until(lambda: value_of(page, "temperature_2_mc") == (2_000, "good"), "the probe again")
            broker.kill()
            await until(lambda: "broker of hall lost" in log_of(file), "the word that the broker is gone")
            broker.start()
            await until(lambda: "broker of hall back" in log_of(file), "the broker to be back")
            async with lan(broker.port) as client:
                await client.publish("cold-1/sensor/air/state", b"-20", qos=1)
                await until(lambda: value_of(page, "temperature_mc") == (-20_000, "good"), "a value")
                await client.publish("cold-1/status", b"offline", qos=1)
                await until(lambda: value_of(page, "temperature_mc") == (None, "sensor_gone"), "its last will")
            assert value_of(page, "temperature_2_mc") == (2_000, "good")


def value_of(port: int, channel: str) -> tuple[int | None, str] | None:
    """What the page says of a channel of the cold room; None while it does not answer."""
    try:
        sensors = status_of(port)["sensors"]
    except OSError:
        return None
    return next(
        (one["value"], one["quality"]) for one in sensors if (one["zone"], one["channel"]) == ("Cold room", channel)
    )


def test_the_roster_is_told_for_the_book(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, lan=1, modbus=1)
    assert main(["roster", "--config", str(file)]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 9
    assert lines[5] == {
        "device": "racks",
        "channel": "weight_g",
        "zone": "Racks",
        "bin": "A-01",
        "source": "scale",
        "sensor": "scale",
        "field": "net",
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('"tag_out"', '"tag"'), "[sensors][8] channel 'tag' is none; there are latitude_e7,"),
        (('zone = "Racks"\nchannel = "tag', 'zone = "Dock"\nchannel = "tag'), "[sensors][8] zone 'Dock' is none"),
        (('source = "gate"', 'source = "fence"'), "[sensors][8] source 'fence' is none; there are hall, scale,"),
        (('"temperature_2_mc"', '"temperature_1_mc"'), "[sensors][7] temperature_1_mc of Cold room has a row"),
        (('field = "supply"', 'field = "net"'), "[sensors][6] scale net has a row already; one value goes to one"),
        (('name = "gate"', 'name = "probe"'), "[[mqtt]], [[modbus]] and [[serial]] name 'probe' is there more"),
        (('"zigbee2mqtt"', '"zwave"'), "[mqtt][0] forms[2] is 'zwave'; it must be one of esphome, tasmota,"),
        (('type = "int32"', 'type = "int24"'), "[modbus][0] registers[0] type is 'int24'; it must be one of int16,"),
        (("address = 9", "address = 65536"), "[modbus][0] registers[1] address 65536 is out of range"),
        (('name = "supply"', 'name = "net"'), "[modbus][0] registers has 'net' more than once"),
        (('form = "tags"', 'form = "tags"\nbaud = 9601'), "[serial][1] baud 9601 is no usual speed"),
        (('source = "scale"\ncoil = 4', 'source = "hall"\ncoil = 4'), "[outputs][1] source 'hall' is no [[modbus]]"),
        (('name = "lamp"', 'name = "siren"'), "[[outputs]] name 'siren' is there more than once"),
        (('["siren", "lamp"]', '["horn"]'), "[rules][0] outputs: 'horn' is none of [[outputs]]"),
        (('when = "above"', 'when = "warmer"'), "[rules][0] when is 'warmer'; it must be one of above, below, is,"),
        (('"America/Los_Angeles"', '"LA"'), "[gateway] time_zone 'LA' is none that this machine knows"),
        (('"temperature_mc"\nwhen', '"smoke"\nwhen'), "[rules][0] looks at smoke of 'Cold room', for which"),
    ],
)
def test_an_error_names_the_place_and_the_cure(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    assert change[0] in CONFIG
    file = written(tmp_path, lan=1, modbus=1, text=CONFIG.replace(*change, 1))
    with pytest.raises(SettingsError) as caught:
        load(file)
    assert any(line.startswith(f"{file}: {message}") for line in str(caught.value).splitlines()), str(caught.value)


@pytest.mark.parametrize(("port", "is_refused"), [("probe.tty", True), ("by-id", True), ("gate.tty", False)])
def test_check_refuses_a_port_that_is_another_ones_under_whichever_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], port: str, is_refused: bool
) -> None:
    (tmp_path / "by-id").symlink_to("probe.tty")
    text = CONFIG.replace('port = "gate.tty"', f'port = "{port}"')
    file = written(tmp_path, lan=1, modbus=1, text=text)
    assert main(["run", "--config", str(file), "--check"]) == (2 if is_refused else 0)
    said = f"[serial][1] port {tmp_path / port} is that of [serial][0]; give each its own"
    assert (said in capsys.readouterr().err) is is_refused


def test_a_password_of_the_lan_that_cannot_be_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    named = 'username = "gateway"\npassword_file = "none"\n'
    text = CONFIG.replace("[[modbus]]", f"{named}[[modbus]]", 1)
    assert main(["run", "--config", str(written(tmp_path, lan=1, modbus=1, text=text)), "--check"]) == 2
    assert f"[mqtt][0] broker password_file: {tmp_path / 'none'} cannot be read" in capsys.readouterr().err
