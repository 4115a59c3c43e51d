"""The whole agent as a program: it starts, stops, dies and goes on."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from brokers import BrokerProcess
from edge_support import DEVICE, OPERATOR, PROBE, Cloud, cloud, configuration, running_broker, sample, station, until

from pledgewatch_edge import __main__ as edge_main
from pledgewatch_edge.agent import load, station_of
from pledgewatch_edge.identity import StateError, load_or_create_key, sole_use
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.sampling import Sampler
from pledgewatch_edge.spool.errors import SpoolCorruptError
from pledgewatch_edge.spool.file import status
from pledgewatch_edge.station import Station, keep_running, run_station
from pledgewatch_gateway import __main__ as gateway_main
from pledgewatch_wire import __version__, chain
from pledgewatch_wire.reading import Channel, Quality


def configured(folder: Path, port: int = 1) -> Path:
    """A configuration with one probe that is measured a hundred times a second."""
    uplink = "[uplink]\nin_flight_readings = 120\nreadings_per_payload = 20\n[checkpoint]\nevery_readings = 50\n"
    return configuration(folder, port, interval_s=0.01, more=uplink)


def program(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def head_of(state: Path) -> int:
    head = status(state)["head_sequence"]
    assert isinstance(head, int)
    return head


def launched(config: Path, module: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", module, "run", "--config", str(config)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


@asynccontextmanager
async def running(config: Path, module: str = "pledgewatch_edge") -> AsyncIterator[subprocess.Popen[str]]:
    process = launched(config, module)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


async def ended(process: subprocess.Popen[str]) -> str:
    """What a process that is about to end has said."""
    _, said = await asyncio.wait_for(asyncio.to_thread(process.communicate), 60)
    return said


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    with running_broker("mosquitto", tmp_path / "broker") as process:
        yield process


async def test_start_stop_start_kill_start(broker: BrokerProcess, tmp_path: Path) -> None:
    config = configured(tmp_path, broker.port)
    async with cloud(broker.port) as listener:
        async with running(config) as process:
            await until(lambda: len(listener.readings) > 150, "readings")
            process.send_signal(signal.SIGTERM)
            said = await ended(process)
            assert process.returncode == 0, said
            assert "stopped" in said.splitlines()[-1]
        await until(lambda: not listener.statuses[-1].online, "the word that it is offline")
        head = head_of(tmp_path / "state")
        assert head in {checkpoint.sequence for checkpoint in listener.checkpoints}  # signed to the end
        async with running(config) as process:
            await until(lambda: listener.marks[1].contiguous > head + 100, "more readings")
            process.kill()
            process.wait()
            await until(lambda: not listener.statuses[-1].online, "the last will")
        async with running(config) as process:
            await until(lambda: listener.statuses[-1].online, "it to be back")
            target = listener.statuses[-1].head_sequence + 50
            await until(lambda: listener.marks[1].contiguous > target, "everything")
            process.send_signal(signal.SIGINT)
            await ended(process)
            assert process.returncode == 0
        assert list(listener.marks) == [1]
        assert_true_to_the_chain(listener, tmp_path / "state")


def assert_true_to_the_chain(listener: Cloud, state: Path) -> None:
    """No gap, no contradiction, and every signature stands over what was received."""
    assert listener.conflicts == 0
    contiguous = listener.marks[1].contiguous
    key = load_or_create_key(state).public_key()
    signatures = {one.sequence: one.signature for one in listener.checkpoints}
    running_hash, verified = chain.genesis(DEVICE, 1), 0
    for sequence in range(1, contiguous + 1):
        reading = listener.readings[(1, sequence)]
        running_hash = chain.extend(running_hash, chain.leaf(reading))
        assert reading.cells[0][:2] == (Channel.TEMPERATURE_MC, 4062)
        if sequence in signatures:
            assert chain.verifies(key, DEVICE, 1, sequence, running_hash, signatures[sequence])
            verified += 1
    assert verified == len([sequence for sequence in signatures if sequence <= contiguous]) > 3


async def test_an_outage_from_the_first_moment(broker: BrokerProcess, tmp_path: Path) -> None:
    broker.stop()
    config = configured(tmp_path, broker.port)
    async with running(config):
        await until(lambda: head_of(tmp_path / "state") > 100, "readings in the spool")
        (tmp_path / "w1" / PROBE / "w1_slave").unlink()
        broker.start()
        async with cloud(broker.port) as listener:
            await until(lambda: listener.marks.get(1, (0,))[0] > 300, "all readings")
            values = [listener.readings[(1, number)].cells[0] for number in range(1, 300)]
            assert values[0].quality == Quality.GOOD
            assert values[-1].quality == Quality.SENSOR_GONE
            shown = json.loads(program("pledgewatch_edge", "status", "--json", "--config", str(config)).stdout)
            assert shown["device"] == DEVICE
            assert shown["measured"] == shown["head_sequence"] > 300
            assert shown["refused"] == 0


def test_identity_makes_the_key_and_says_the_same_again(tmp_path: Path) -> None:
    config = configured(tmp_path)
    first = program("pledgewatch_edge", "identity", "--config", str(config))
    found = json.loads(first.stdout)
    assert found == {"operator": OPERATOR, "device": DEVICE, "public_key": found["public_key"], "epoch": 0}
    assert len(bytes.fromhex(found["public_key"])) == 32
    assert program("pledgewatch_edge", "identity", "--config", str(config)).stdout == first.stdout
    assert (tmp_path / "state" / "device.key").stat().st_mode & 0o777 == 0o600


def test_check_needs_nothing_and_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configured(tmp_path)
    assert edge_main.main(["run", "--config", str(config), "--check"]) == 0
    assert capsys.readouterr().out == f"{config}: can be used\n"
    assert not (tmp_path / "state").exists()


def test_a_bad_configuration_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configured(tmp_path)
    config.write_text(config.read_text(encoding="utf-8") + "[colour]\n", encoding="utf-8")
    assert edge_main.main(["run", "--config", str(config)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"{config}: [colour] is no key of this program")
    assert said.count("\n") == 1


def test_two_agents_do_not_share_a_folder(tmp_path: Path) -> None:
    config = configured(tmp_path)
    load_or_create_key(tmp_path / "state")
    with sole_use(tmp_path / "state"):
        second = program("pledgewatch_edge", "run", "--config", str(config))
    assert second.returncode == 1
    assert "another agent is using this folder" in second.stderr


@pytest.mark.parametrize("main", [edge_main.main, gateway_main.main])
def test_version_and_help(main: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--version", "--help"):
        with pytest.raises(SystemExit) as ending:
            main([option])
        assert ending.value.code == 0
    said = capsys.readouterr().out
    assert __version__ in said
    assert "identity" in said


async def test_of_a_calm_probe_the_first_is_kept_and_again_the_first_after_a_start(tmp_path: Path) -> None:
    file = configured(tmp_path)
    rule = '[[sampling.rules]]\nchannels = ["temperature_mc"]\nchange = 100\nmax_silence_s = 3600.0\n'
    file.write_text(file.read_text(encoding="utf-8") + rule, encoding="utf-8")
    agent = station_of(load(file), file)
    for start in (1, 2):
        stop = asyncio.Event()
        running = asyncio.create_task(keep_running(agent, stop))
        await until(lambda: status(tmp_path / "state")["head_sequence"] == start, "it")  # noqa: B023 - awaited here
        await asyncio.sleep(0.2)
        stop.set()
        await asyncio.wait_for(running, 60)
        assert head_of(tmp_path / "state") == start


class Once:
    """A sensor that measures once."""

    name = "once"

    async def samples(self) -> AsyncGenerator[Sample, None]:
        yield sample(1)
        await asyncio.Event().wait()


class Faulty(Sampler):
    """A sampler with a broken invariant."""

    def take(self, sample: Sample) -> Sample | None:
        raise ZeroDivisionError("of all things")


async def test_a_task_that_dies_takes_the_station_down(tmp_path: Path) -> None:
    settings = station(tmp_path / "state", 1)
    with pytest.raises(ExceptionGroup) as caught:
        await asyncio.wait_for(run_station(settings, [Once()], asyncio.Event(), sampler=Faulty()), 10)
    assert caught.value.subgroup(ZeroDivisionError) is not None
    with pytest.raises(ExceptionGroup):  # and leaves nothing locked
        await asyncio.wait_for(run_station(settings, [Once()], asyncio.Event(), sampler=Faulty()), 10)


async def test_a_state_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file", encoding="ascii")
    with pytest.raises(StateError, match="state"):
        await run_station(station(tmp_path / "state", 1), [], asyncio.Event())


async def test_a_spool_that_was_put_back_is_opened_anew_and_a_second_time_within_the_hour_ends_the_agent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ended = ExceptionGroup(
        "a task", [ExceptionGroup("the uplink", [SpoolCorruptError("the counter has been put back")])]
    )
    outcomes: list[Exception | None] = [ended, None]
    lives: list[int] = []

    async def life(_: object, __: object, stop: asyncio.Event, **___: object) -> None:
        lives.append(len(lives))
        if (outcome := outcomes.pop(0)) is not None:
            raise outcome
        stop.set()

    monkeypatch.setattr("pledgewatch_edge.station.run_station", life)
    one = Station(station(tmp_path, 1), list, {})
    await keep_running(one, asyncio.Event())
    assert lives == [0, 1]
    outcomes += [ended, ended]
    with pytest.raises(ExceptionGroup):
        await keep_running(one, asyncio.Event())
    outcomes += [ExceptionGroup("a task", [SpoolCorruptError("broken"), ValueError("something else")])]
    with pytest.raises(ExceptionGroup):
        await keep_running(one, asyncio.Event())
