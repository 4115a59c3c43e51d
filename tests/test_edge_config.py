"""Configuration: what is wrong is named by file, section, key and cure."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pledgewatch_edge.agent import EdgeSettings, load
from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.config import check_files
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.sensors import Sensor, SensorSettings, sensors_of
from pledgewatch_wire.reading import Channel, Clock
from pledgewatch_wire.settings import SettingsError
from pledgewatch_wire.settings import load as load_settings

SAMPLES = Path(__file__).parent.parent / "samples"
GOOD = """
[device]
operator = "harbour-line"
name = "cont-0417"
state_folder = "state"
[broker]
host = "localhost"
[gps]
port = "/dev/ttyUSB0"
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "edge.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_the_least_that_is_needed(tmp_path: Path) -> None:
    config = load(written(tmp_path, GOOD))
    assert config.device.state_folder == tmp_path / "state"
    assert config.broker.port == 1883
    assert config.broker.protocol == "auto"
    assert config.onewire is None
    assert config.gps is not None
    assert (config.gps.baud, config.gps.interval_s) == ("auto", 0.0)


def test_the_samples_can_be_used() -> None:
    edge = load(SAMPLES / "edge.toml")
    assert edge.gps is not None
    assert edge.onewire is not None
    assert len(edge.onewire.probes) == 2


def test_the_sample_shows_the_defaults(tmp_path: Path) -> None:
    sample, least = load(SAMPLES / "edge.toml"), load(written(tmp_path, GOOD))
    assert (sample.uplink, sample.checkpoint, sample.spool) == (least.uplink, least.checkpoint, least.spool)
    assert (sample.broker.port, sample.broker.keep_alive_s, sample.broker.reconnect_max_s) == (
        least.broker.port,
        least.broker.keep_alive_s,
        least.broker.reconnect_max_s,
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[gps]", "[gps]\nspeed = 1"), "[gps] speed is no key of this program; there are port, baud, interval_s"),
        (("[gps]", "[colour]\n[gps]"), "[colour] is no key of this program; there are broker, uplink,"),
        (('host = "localhost"', ""), "[broker] host is missing"),
        (('host = "localhost"', 'host = ""'), "[broker] host is empty; name the broker"),
        (('host = "localhost"', "host = 4"), "[broker] host is 4; it must be a text"),
        (("[gps]", "[gps]\nbaud = 9601"), "[gps] baud 9601 is no usual speed; use one of 4800,"),
        (("[gps]", "[gps]\nbaud = true"), "[gps] baud is True; it must be a whole number"),
        (("[gps]", '[gps]\nbaud = "fast"'), "[gps] baud 'fast' is no usual speed; use one of 4800,"),
        (("[gps]", '[gps]\ninterval_s = "1"'), "[gps] interval_s is '1'; it must be a number"),
        (("[gps]", "[gps]\ninterval_s = -1"), "[gps] interval_s -1.0 is out of range; use 0 to 86400"),
        (("[gps]", "[gps]\ninterval_s = nan"), "[gps] interval_s is nan; it must be a finite number"),
        (('name = "cont-0417"', 'name = "Cont/1"'), "[device] name 'Cont/1' cannot be a name; use 1 to 64"),
        (('host = "localhost"', 'host = "h"\nport = 70000'), "[broker] port 70000 is out of range; use 1 to 65535"),
        (('host = "localhost"', 'host = "h"\nprotocol = "4"'), "[broker] protocol is '4'; it must be one of auto, 5,"),
        (('host = "localhost"', 'host = "h"\npassword_file = "p"'), "[broker] password_file needs a username"),
        (('host = "localhost"', 'host = "h"\nkey_file = "p"'), "[broker] certificate_file goes with key_file"),
        (
            ('host = "localhost"', 'host = "h"\nkey_file = "p"\ncertificate_file = "c"'),
            "[broker] certificate_file needs ca_file",
        ),
        (
            ("[gps]", "[uplink]\nin_flight_readings = 5\n[gps]"),
            "[uplink] in_flight_readings holds not even one payload",
        ),
        (("[gps]", "[spool]\nmax_mib = 0\n[gps]"), "[spool] max_mib 0.0 is out of range"),
        (("[gps]", "[checkpoint]\nevery_s = 0\n[gps]"), "[checkpoint] every_s 0.0 is out of range"),
        (("[gps]", "[onewire]\nprobes = []\n[gps]"), "[onewire] probes names 0; name 1 to 8"),
        (("[gps]", '[onewire]\nprobes = ["28-1"]\n[gps]'), "[onewire] probes: '28-1' is none; write it as the kernel"),
        (("[gps]", '[onewire]\nprobes = "28-1"\n[gps]'), "[onewire] probes is '28-1'; it must be a list"),
        (
            ('[gps]\nport = "/dev/ttyUSB0"', ""),
            "names no sensor; add a section [gps] or [gpsd] or [onewire] or [sht3x]",
        ),
        (("[device]", "device = 1\n[other]"), "[device] must be a section"),
        (("[device]", "[device"), "is not TOML: "),
        (("[device]", "a = [" + 4_000 * "[" + "\n[device]"), "is not TOML: it is nested more than 32 deep"),
        (("[gps]", "[uplink.send_every_s" + 4_000 * ".a" + "]\n[gps]"), "is not TOML: it is nested more than 32 deep"),
    ],
)
def test_an_error_names_the_place_and_the_cure(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    file = written(tmp_path, GOOD.replace(*change))
    with pytest.raises(SettingsError) as caught:
        load(file)
    said = str(caught.value).replace("[[", "[").replace("]]", "]").splitlines()
    assert any(line.startswith(f"{file}: {message}") for line in said), said


def test_a_probe_named_twice(tmp_path: Path) -> None:
    probe = "28-0316a2794e2f"
    with pytest.raises(SettingsError, match="named twice"):
        load(written(tmp_path, f'{GOOD}[onewire]\nprobes = ["{probe}", "{probe}"]'))


def test_files_that_are_named_must_be_readable(tmp_path: Path) -> None:
    text = GOOD.replace('host = "localhost"', 'host = "h"\nca_file = "ca.pem"')
    file = written(tmp_path, text)
    station = load(file)
    with pytest.raises(SettingsError, match=r"\[broker\] ca_file: .*ca.pem cannot be read"):
        check_files(station, file)
    (tmp_path / "ca.pem").write_text("x", encoding="ascii")
    check_files(station, file)


class _Lamp:
    """A sensor of a kind that the agent does not know."""

    name = "lamp"

    async def samples(self) -> AsyncGenerator[Sample, None]:
        await asyncio.Event().wait()
        yield Sample(0, Clock.UNSET, ())


@dataclass(frozen=True, slots=True, kw_only=True)
class _LampSettings(SensorSettings):
    interval_s: float

    @property
    def channels(self) -> frozenset[Channel]:
        return frozenset({Channel.LIGHT_MLX})

    def sensor(self, clock: AgentClock) -> Sensor:
        assert clock is CLOCK
        return _Lamp()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lit(EdgeSettings):
    lamp: _LampSettings | None = None


CLOCK = AgentClock()


def test_a_new_kind_of_sensor_is_one_row(tmp_path: Path) -> None:
    text = GOOD.replace('[gps]\nport = "/dev/ttyUSB0"', "[lamp]\ninterval_s = 1")
    settings = load_settings(written(tmp_path, text), _Lit)
    assert settings.lamp == _LampSettings(interval_s=1.0)
    assert [one.name for one in sensors_of(settings, CLOCK)] == ["lamp"]
    both = load_settings(written(tmp_path, GOOD + "[lamp]\ninterval_s = 1"), _Lit)
    assert [one.name for one in sensors_of(both, CLOCK)] == ["gps", "lamp"]
    with pytest.raises(SettingsError, match=r"names no sensor; add a section \[gps\] or .* or \[host\] or \[lamp\]"):
        load_settings(written(tmp_path, GOOD.replace('[gps]\nport = "/dev/ttyUSB0"', "")), _Lit)
