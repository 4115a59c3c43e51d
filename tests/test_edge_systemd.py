"""What systemd is told by the running agent, and the unit that it is started by."""

import asyncio
import contextlib
import grp
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from edge_support import station as station_settings

from pledgewatch_edge import process
from pledgewatch_edge.identity import load_or_create_key, sole_use
from pledgewatch_edge.install import unit
from pledgewatch_edge.station import Station
from pledgewatch_edge.systemd import Notifier, keep_told


class Systemd:
    """The socket that systemd would listen on."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.settimeout(0.0)

    def heard(self) -> list[str]:
        """What was said since the last time."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(self._socket.recv(4_096).decode("utf-8"))
        return found

    async def until(self, word: str) -> list[str]:
        """Wait until a word was said; all that was said until then."""
        found: list[str] = []
        async with asyncio.timeout(60):
            while word not in found:
                found += self.heard()
                await asyncio.sleep(0.01)
        return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    address = f"@pledgewatch-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")
    one = Systemd(address)
    yield one
    one.close()


def environment(systemd: Systemd, watchdog_us: str = "", watchdog_pid: str = "") -> dict[str, str]:
    return {"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": watchdog_us, "WATCHDOG_PID": watchdog_pid}


async def test_ready_comes_after_the_start_then_signs_of_life_then_the_end(systemd: Systemd) -> None:
    started, stop = asyncio.Event(), asyncio.Event()
    told = asyncio.create_task(keep_told(Notifier(environment(systemd, "60000")), started.wait, stop))
    await asyncio.sleep(0.1)
    assert systemd.heard() == [], "it has not started"
    started.set()
    found = await systemd.until("READY=1")
    for _ in range(3):
        found += await systemd.until("WATCHDOG=1")
    stop.set()
    await asyncio.wait_for(told, 60)
    found += systemd.heard()
    assert found[0] == "READY=1"
    assert found[-1] == "STOPPING=1"
    assert set(found[1:-1]) == {"WATCHDOG=1"}


async def test_an_event_loop_that_hangs_gives_no_sign_of_life(systemd: Systemd) -> None:
    stop = asyncio.Event()
    started = asyncio.Event()
    started.set()
    told = asyncio.create_task(keep_told(Notifier(environment(systemd, "30000")), started.wait, stop))
    await systemd.until("WATCHDOG=1")
    systemd.heard()

    time.sleep(0.2)  # noqa: ASYNC251 - the hang
    assert len(systemd.heard()) <= 1, "one may have been under way in its thread"
    stop.set()
    await asyncio.wait_for(told, 60)


@pytest.mark.parametrize(
    ("usec", "pid", "every_s"),
    [
        ("120000000", "", 40.0),
        ("120000000", "41", 40.0),
        ("120000000", "42", None),
        ("", "", None),
        ("0", "", None),
        ("soon", "", None),
        ("-5", "", None),
    ],
)
def test_how_often_systemd_wants_to_hear(usec: str, pid: str, every_s: float | None) -> None:
    found = Notifier({"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": usec, "WATCHDOG_PID": pid}, pid=41)
    assert found.alive_every_s == every_s


def test_a_socket_that_is_gone_or_was_never_named_stops_nobody(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).tell("READY=1")
    assert not Notifier({}).is_wanted
    Notifier({}).tell("READY=1")


async def test_the_agent_is_ready_when_its_spools_are_open_or_will_never_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.closing(Systemd(str(tmp_path / "notify"))) as systemd:
        await assert_ready_once_all_have_begun(systemd, tmp_path, monkeypatch)


async def assert_ready_once_all_have_begun(systemd: Systemd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two stations one cannot begin, and ends."""
    monkeypatch.setattr("os.environ", dict(os.environ) | environment(systemd, "300000"))
    monkeypatch.setattr("pledgewatch_edge.process.Notifier", lambda: Notifier(os.environ))
    stations = [Station(station_settings(tmp_path / name, 1), list, {}) for name in ("one", "two")]
    load_or_create_key(tmp_path / "two")
    with sole_use(tmp_path / "two"):  # so that it cannot begin, and ends
        running = asyncio.create_task(process._run_all(stations))
        found = await systemd.until("READY=1")
        found += await systemd.until("WATCHDOG=1")
        assert found[0] == "READY=1"
        assert not running.done()
    os.kill(os.getpid(), 15)
    assert await asyncio.wait_for(running, 60) is False, "one of them ended by itself"
    assert systemd.heard()[-1] == "STOPPING=1"


def test_ready_waits_for_the_last_station(tmp_path: Path) -> None:
    events = [asyncio.Event(), asyncio.Event()]

    async def look() -> None:
        waiting = asyncio.create_task(process._all_set(events))
        events[0].set()
        await asyncio.sleep(0.02)
        assert not waiting.done()
        events[1].set()
        await asyncio.wait_for(waiting, 60)

    asyncio.run(look())


def parsed(text: str) -> dict[str, list[str]]:
    """The keys of a unit, each with its values in order."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def a_unit(**changes: object) -> str:
    words: dict[str, object] = {
        "program": ["/opt/pledgewatch/bin/pledgewatch-edge"],
        "config": Path("/etc/pledgewatch/edge.toml"),
        "state_folder": Path("/var/lib/pledgewatch"),
        "groups": ["dialout", "i2c"],
    }
    return unit.unit_text(**(words | changes))  # type: ignore[arg-type]


def test_what_the_unit_says() -> None:
    found = parsed(a_unit())
    said = {
        "Type": "notify",
        "WatchdogSec": "120",
        "TimeoutStartSec": "3600",
        "ExecStart": "/opt/pledgewatch/bin/pledgewatch-edge run --config /etc/pledgewatch/edge.toml",
        "Restart": "always",
        "StartLimitIntervalSec": "0",
        "User": "pledgewatch",
        "SupplementaryGroups": "dialout i2c",
        "StateDirectory": "pledgewatch",
        "ProtectSystem": "strict",
        "ProtectHome": "true",
        "NoNewPrivileges": "true",
        "PrivateTmp": "true",
        "CapabilityBoundingSet": "",
        "DevicePolicy": "closed",
    }
    assert {key: found[key] for key in said} == {key: [value] for key, value in said.items()}
    allowed = {value.split()[0] for value in found["DeviceAllow"]}
    assert allowed == {f"char-{one}" for one in ("ttyUSB", "ttyACM", "ttyAMA", "ttyS", "i2c", "gpiochip")}
    assert int(found["MemoryMax"][0].removesuffix("M")) <= 200, "a Pi Zero 2 has 512 MB for all"
    assert "ReadWritePaths" not in found, "the state folder is all that it writes, and systemd gives it"
    assert "ProtectClock" not in found, "it would take away how the agent asks whether the clock is kept"
    assert "adjtimex" in found["SystemCallFilter"][-1], "a later line would take it away again"


@pytest.mark.parametrize(
    ("changes", "key", "value"),
    [
        ({"state_folder": Path("/data/pledge watch")}, "ReadWritePaths", '"/data/pledge watch"'),
        ({"state_folder": Path("/data/100%")}, "ReadWritePaths", "/data/100%%"),
        ({"config": Path("/etc/a $b.toml")}, "ExecStart", '"/etc/a $$b.toml"'),
        ({"program": ["/ho" + "me/pi/.venv/bin/pledgewatch-edge"]}, "ProtectHome", "read-only"),
        ({"groups": []}, "SupplementaryGroups", None),
    ],
)
def test_a_unit_for_another_board(changes: dict[str, object], key: str, value: str | None) -> None:
    found = parsed(a_unit(**changes)).get(key)
    assert found is None if value is None else found is not None and found[0].endswith(value)


def test_only_groups_that_the_board_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grp, "getgrall", lambda: [grp.struct_group((name, "x", 1, [])) for name in ("gpio", "adm")])
    assert unit.groups_here() == ["gpio"]


def test_a_unit_that_says_something_else_is_replaced_only_when_told_to(tmp_path: Path) -> None:
    assert unit.install(tmp_path, "one", replace=False)
    assert not unit.install(tmp_path, "one", replace=False)
    with pytest.raises(unit.UnitError, match=r"says something else; run the same with --replace"):
        unit.install(tmp_path, "two", replace=False)
    assert (tmp_path / unit.NAME).read_text(encoding="utf-8") == "one"
    assert unit.install(tmp_path, "two", replace=True)
    with pytest.raises(unit.UnitError, match=r"make its folder first, or run it with another --unit-folder"):
        unit.install(tmp_path / "no" / "folder", "two", replace=True)


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """By systemd's own checks where the machine has them. Elsewhere the keys above are all that is held."""
    text = a_unit(program=[sys.executable, "-m", "pledgewatch_edge"], groups=unit.groups_here())
    (tmp_path / unit.NAME).write_text(text, encoding="utf-8")
    assert re.fullmatch(r"(?:#[^\n]*\n|\[\w+\]\n|\w+=[^\n]*\n|\n)+", text), "lines of a unit and nothing else"
    if (analyze := shutil.which("systemd-analyze")) is None:
        return
    file = str(tmp_path / unit.NAME)
    done = subprocess.run([analyze, "verify", file], capture_output=True, text=True, check=False)
    about_it = [line for line in (done.stdout + done.stderr).splitlines() if unit.NAME in line]
    assert (done.returncode, about_it) == (0, [])
    done = subprocess.run([analyze, "security", "--offline=true", file], capture_output=True, text=True, check=False)
    exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert exposure is None or float(exposure[1]) <= 2.5, done.stdout
