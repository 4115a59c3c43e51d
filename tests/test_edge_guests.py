"""Sensors of other packages that do what they must not: the agent is told of it, and outlives it."""

import asyncio
import dataclasses
import importlib.metadata
import os
import re
import signal
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from edge_support import new_spool, until

from pledgewatch_edge import standstill
from pledgewatch_edge.__main__ import main
from pledgewatch_edge.agent import load, station_of, with_overlay
from pledgewatch_edge.bouts import FIRST_MAX
from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.ended import ended_of
from pledgewatch_edge.process import run
from pledgewatch_edge.recorder import Recorder
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.sampling import Sampler
from pledgewatch_edge.sampling_settings import SamplingSettings
from pledgewatch_edge.sensors import SensorSettings, WatchesSpool, sensors_of
from pledgewatch_edge.spool.file import status
from pledgewatch_edge.station import run_station
from pledgewatch_wire.reading import Cell, Channel, Clock, Quality

NOW_MS = 1_780_000_000_000
CONFIGURATION = """[device]
operator = "harbour-line"
name = "cont-0417"
state_folder = "state"
[broker]
host = "127.0.0.1"
port = 1
[host]
interval_s = 3600.0
[guest]
"""


class Guest:
    """A sensor as it should be."""

    name = "tank"

    async def samples(self) -> AsyncGenerator[Sample, None]:
        yield Sample(NOW_MS, Clock.NTP, (Cell(Channel.LEAK, 1),))
        await asyncio.Event().wait()


def settings_of(
    sensor: Callable[[Any, AgentClock], Any] = lambda _settings, _clock: Guest(),
    channels: Callable[[Any], Any] = lambda _settings: frozenset({Channel.LEAK}),
) -> Any:
    """The settings of a sensor of another package, of whose making and channels anything may be thought."""
    members = {"channels": property(channels), "sensor": sensor, "__annotations__": {"litres": int}, "litres": 5}
    return dataclasses.dataclass(frozen=True, kw_only=True)(type("GuestSettings", (SensorSettings,), members))


def raises(*_: object) -> Any:
    raise RuntimeError("boom")


def exits(*_: object) -> Any:
    sys.exit("bye")


class Stop(BaseException):
    """What a package may have that no `except Exception` takes."""


def stops(*_: object) -> Any:
    raise Stop("boom")


def interrupts(*_: object) -> Any:
    raise KeyboardInterrupt


@pytest.fixture
async def without_ctrl_c() -> AsyncGenerator[None, None]:
    """Ctrl-C is the event loop's, as while the agent runs."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    yield
    loop.remove_signal_handler(signal.SIGINT)


class UnsayableError(Exception):
    """What cannot be said in words."""

    def __str__(self) -> str:
        raise ValueError("no words")

    def __repr__(self) -> str:
        sys.exit("no words")


def raises_what_cannot_be_said(*_: object) -> Any:
    raise UnsayableError


class Nameless:
    samples = Guest.samples


class NumberedOne(Guest):
    name = 5  # type: ignore[assignment]


class WithoutSamples:
    name = "tank"


class Plain(SensorSettings):
    """Is no dataclass."""

    channels = frozenset({Channel.LEAK})

    def sensor(self, clock: AgentClock) -> Any:
        return Guest()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unfinished(SensorSettings):
    """Has no channels."""

    def sensor(self, clock: AgentClock) -> Any:
        return Guest()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fallen(SensorSettings):
    """Cannot be read."""

    channels = frozenset({Channel.LEAK})

    def __post_init__(self) -> None:
        raise KeyError("litres")

    def sensor(self, clock: AgentClock) -> Any:
        return Guest()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stopped(Fallen):
    """Cannot be read either."""

    def __post_init__(self) -> None:
        stops()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Interrupted(Fallen):
    """Nor can this."""

    def __post_init__(self) -> None:
        interrupts()


@pytest.fixture
def guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Path]:
    """Installs a package whose entry point `guest` loads what is given (or calls it, where it is a plain function), and
    writes a configuration that names it."""

    class EntryPoint:
        name, value, group = "guest", "their_tank:Settings", "pledgewatch.sensors"

        def __init__(self, found: Any) -> None:
            self.load = (lambda: found) if isinstance(found, type) else found

    def install(found: Any) -> Path:
        one = EntryPoint(found)
        monkeypatch.setattr("pledgewatch_edge.sensors.entry_points", lambda group: [one] * (group == one.group))
        file = tmp_path / "edge.toml"
        file.write_text(CONFIGURATION, encoding="utf-8")
        return file

    assert not importlib.metadata.entry_points(group=EntryPoint.group, name="guest")
    return install


NEVER_READ = {
    "is left at import": (exits, "[guest] is a sensor of their_tank:Settings, which cannot be loaded: SystemExit: bye"),
    "falls at import by something else": (stops, "which cannot be loaded: Stop: boom"),
    "falls at import": (raises, "which cannot be loaded: RuntimeError: boom"),
    "is no dataclass": (Plain, "[guest] is their_tank:Settings, which is no dataclass; mend the package"),
    "is unfinished": (Unfinished, "[guest] is their_tank:Settings, which lacks something of SensorSettings"),
    "cannot be read by something else": (Stopped, "[guest] cannot be read by its own package: Stop: boom; mend it"),
    "cannot be read": (Fallen, "[guest] cannot be read by its own package: KeyError: 'litres'; mend it"),
    "cannot say its channels": (
        settings_of(channels=raises),
        "[guest] their_tank:Settings cannot say its channels (RuntimeError: boom); mend the package",
    ),
    "leaves when asked for its channels": (settings_of(channels=exits), "cannot say its channels (SystemExit: bye)"),
    "falls by something else when asked for them": (
        settings_of(channels=stops),
        "cannot say its channels (Stop: boom)",
    ),
    "falls by what cannot be said when asked for them": (
        settings_of(channels=raises_what_cannot_be_said),
        "cannot say its channels (UnsayableError: <UnsayableError, which cannot be said: ValueError>)",
    ),
    "has channels that cannot be said": (
        settings_of(channels=lambda _settings: {UnsayableError()}),
        "names <UnsayableError, which cannot be said: SystemExit> as a channel, which is none; mend the package",
    ),
    "has channels that are none": (
        settings_of(channels=lambda _settings: {"leak"}),
        "[guest] their_tank:Settings names 'leak' as a channel, which is none; mend the package",
    ),
    "has a word of the agent's own": (
        settings_of(channels=lambda _settings: {Channel.THINNED_READINGS}),
        "[guest] their_tank:Settings names thinned_readings, the agent's own word; mend the package",
    ),
    "has one channel that is no set": (settings_of(channels=lambda _settings: Channel.LEAK), "cannot say its channels"),
}
NEVER_MADE = {
    "falls when it is made": (settings_of(raises), "RuntimeError: boom"),
    "leaves when it is made": (settings_of(exits), "SystemExit: bye"),
    "falls by something else when it is made": (settings_of(stops), "Stop: boom"),
    "falls by what cannot be said when it is made": (
        settings_of(raises_what_cannot_be_said),
        "UnsayableError: <UnsayableError, which cannot be said: ValueError>",
    ),
    "has no name": (settings_of(lambda _settings, _clock: Nameless()), "'Nameless' object has no attribute 'name'"),
    "is called a number": (settings_of(lambda _settings, _clock: NumberedOne()), "its name is 5, which is no text"),
    "measures nothing": (settings_of(lambda _settings, _clock: WithoutSamples()), "it has no samples()"),
}


@pytest.mark.parametrize(("found", "words"), (NEVER_READ | NEVER_MADE).values(), ids=NEVER_READ | NEVER_MADE)
def test_a_check_says_the_place_and_the_cure(
    guest: Callable[[Any], Path], capsys: pytest.CaptureFixture[str], found: Any, words: str
) -> None:
    file = guest(found)
    assert main(["run", "--check", "--config", str(file)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"{file}: [guest] ")
    assert words in said
    assert said.count("\n") == 1
    with pytest.raises(ValueError, match=r"^(\S+: )?\[guest\] "):
        with_overlay(file, "[guest]\nlitres = 6\n")


@pytest.mark.parametrize("found", [one for one, _ in NEVER_MADE.values()], ids=NEVER_MADE)
async def test_the_agent_outlives_what_cannot_be_made(
    guest: Callable[[Any], Path], caplog: pytest.LogCaptureFixture, found: Any
) -> None:
    file = guest(found)
    settings = load(file)
    care = station_of(settings, file).care
    assert care is not None
    assert care.next_station().settings.device == settings.device
    stop = asyncio.Event()
    sensors = sensors_of(settings, AgentClock())
    assert [one.name for one in sensors] == ["host", "guest"]
    running = asyncio.create_task(run_station(settings, sensors, stop))
    async with asyncio.timeout(30):
        while "sensor guest" not in caplog.text or not status(settings.device.state_folder)["measured"]:
            assert not running.done()
            await asyncio.sleep(0.05)
        stop.set()
        await running


class Watcher(Guest):
    """One that tells of the spool."""

    spooled: Callable[[], int] | None = None

    async def samples(self) -> AsyncGenerator[Sample, None]:
        assert self.spooled is not None
        yield Sample(NOW_MS, Clock.NTP, (Cell(Channel.SPOOL_READINGS, self.spooled()),))


async def test_one_as_it_should_be_keeps_its_name_and_is_told_of_the_spool(guest: Callable[[Any], Path]) -> None:
    made = []

    def sensor(_settings: Any, clock: AgentClock) -> Any:
        made.append(clock)
        return Watcher()

    file = guest(settings_of(sensor))
    assert main(["run", "--check", "--config", str(file)]) == 0
    clock = AgentClock()
    _, one = sensors_of(load(file), clock)
    assert one.name == "tank"
    assert isinstance(one, WatchesSpool)
    one.spooled = lambda: 7
    assert [sample.cells[0].value async for sample in one.samples()] == [7]
    assert made[-1] is clock


async def test_one_that_could_not_be_made_is_made_when_it_is_to_measure(guest: Callable[[Any], Path]) -> None:
    turns: Iterator[Callable[[], Any]] = iter([raises, Guest])
    _, one = sensors_of(load(guest(settings_of(lambda _settings, _clock: next(turns)()))), AgentClock())
    assert one.name == "guest"
    first = await anext(one.samples())
    assert first.cells == (Cell(Channel.LEAK, 1),)
    assert one.name == "tank"


async def waits_for_what_is_cancelled() -> None:
    inner = asyncio.ensure_future(asyncio.sleep(60))
    await asyncio.sleep(0)
    inner.cancel()  # as a library does that has lost its connection
    await inner


async def leaves_while_it_measures() -> None:
    exits()


async def stops_while_it_measures() -> None:
    stops()


async def interrupts_while_it_measures() -> None:
    interrupts()


async def closes_while_it_measures() -> None:
    raise GeneratorExit


async def falls_by_what_cannot_be_said() -> None:
    raises_what_cannot_be_said()


class Falling(Guest):
    """One that measures once, and then does something that no sensor may."""

    def __init__(self, fall: Callable[[], Awaitable[None]]) -> None:
        self._fall = fall

    async def samples(self) -> AsyncGenerator[Sample, None]:
        yield Sample(NOW_MS, Clock.NTP, (Cell(Channel.LEAK, 1),))
        await self._fall()


@pytest.mark.parametrize(
    ("fall", "reason"),
    [
        (waits_for_what_is_cancelled, "CancelledError: something that it waited for was cancelled"),
        (leaves_while_it_measures, "GuestError: SystemExit: bye"),
        (stops_while_it_measures, "GuestError: Stop: boom"),
        (interrupts_while_it_measures, "GuestError: KeyboardInterrupt"),
        (closes_while_it_measures, "GuestError: GeneratorExit"),
        (falls_by_what_cannot_be_said, "UnsayableError: <UnsayableError, which cannot be said: ValueError>"),
    ],
)
@pytest.mark.usefixtures("without_ctrl_c")
async def test_one_that_falls_while_it_measures_is_begun_again(
    guest: Callable[[Any], Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    fall: Callable[[], Awaitable[None]],
    reason: str,
) -> None:
    _, one = sensors_of(load(guest(settings_of(lambda _settings, _clock: Falling(fall)))), AgentClock())
    with new_spool(tmp_path / "spool") as spool:
        recorder = Recorder(spool, lambda: None, begin_again_s=0.01)
        running, measuring = (asyncio.create_task(work) for work in (recorder.run(), recorder.record(one)))
        await until(lambda: spool.head_sequence == 3 or measuring.done(), "it to measure again")
        assert not measuring.done()
        measuring.cancel()
        with pytest.raises(asyncio.CancelledError):
            await measuring
        await recorder.finish()
        await running
    assert [one.getMessage() for one in caplog.records] == [f"sensor tank lost reason={reason!r}"]


@pytest.mark.usefixtures("without_ctrl_c")
@pytest.mark.parametrize(
    ("found", "words"),
    [
        (settings_of(interrupts), "which cannot be made: KeyboardInterrupt; mend the package"),
        (Interrupted, "cannot be read by its own package: KeyboardInterrupt; mend it"),
    ],
)
async def test_what_looks_like_ctrl_c_is_a_fault_while_the_agent_runs(
    guest: Callable[[Any], Path], found: Any, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        with_overlay(guest(found), "[guest]\n")


def test_ctrl_c_ends_a_check(
    guest: Callable[[Any], Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal, "getsignal", lambda _number: signal.default_int_handler)
    file = guest(settings_of(interrupts))
    assert main(["run", "--check", "--config", str(file)]) == 1
    assert capsys.readouterr().err == "\nstopped; run the same again, it goes on from what is done\n"


async def test_one_that_is_closed_is_closed(guest: Callable[[Any], Path]) -> None:
    _, one = sensors_of(load(guest(settings_of())), AgentClock())
    samples = one.samples()
    await anext(samples)
    await samples.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(samples)


FOREIGN = {
    "another's": (
        Sample(NOW_MS, Clock.NTP, (Cell(Channel.TEMPERATURE_MC, 99_000),)),
        "it gives temperature_mc, and its package does not declare all of that",
    ),
    "another's beside its own": (
        Sample(NOW_MS, Clock.NTP, (Cell(Channel.TEMPERATURE_MC, 99_000), Cell(Channel.LEAK, 1))),
        "it gives temperature_mc, leak, and its package does not declare all of that",
    ),
    "the agent's own word": (
        Sample(NOW_MS, Clock.NTP, (Cell(Channel.THINNED_READINGS, 5_000),)),
        "it gives thinned_readings, and its package does not declare all of that",
    ),
    "no sample": (None, "no payload can hold None"),
    "nothing that can be said": (
        UnsayableError(),
        "no payload can hold <UnsayableError, which cannot be said: SystemExit>",
    ),
}


@pytest.mark.parametrize(("bad", "reason"), FOREIGN.values(), ids=FOREIGN)
async def test_what_it_has_not_declared_is_refused_and_counted(
    guest: Callable[[Any], Path], tmp_path: Path, caplog: pytest.LogCaptureFixture, bad: Any, reason: str
) -> None:
    class Odd(Guest):
        async def samples(self) -> AsyncGenerator[Sample, None]:
            plain: Any = (NOW_MS + 60_000, 1, [(int(Channel.LEAK), 1, 0)], 0)
            for one in (Sample(NOW_MS, Clock.NTP, (Cell(Channel.LEAK, 0),)), bad, bad, plain):
                yield one
            await asyncio.Event().wait()

    caplog.set_level("INFO")
    _, one = sensors_of(load(guest(settings_of(lambda _settings, _clock: Odd()))), AgentClock())
    with new_spool(tmp_path / "spool") as spool:
        caplog.clear()
        recorder = Recorder(spool, lambda: None, sampler=Sampler(SamplingSettings()))
        async with asyncio.TaskGroup() as group:
            running = group.create_task(recorder.run())
            measuring = group.create_task(recorder.record(one))
            await until(lambda: spool.head_sequence >= 3, "both that it may give, and that two were refused")
            measuring.cancel()
            await recorder.finish()
            await running
        assert spool.refused_total == 2
    name = "sense of sensor tank"
    assert [one.getMessage() for one in caplog.records][:2] == [f"{name} lost reason={reason!r}", f"{name} back"]


class Blocking(Guest):
    """One that keeps the event loop until a file is there."""

    def __init__(self, until_there: Path) -> None:
        self._file = until_there

    async def samples(self) -> AsyncGenerator[Sample, None]:
        yield Sample(NOW_MS, Clock.NTP, (Cell(Channel.LEAK, 1),))
        await asyncio.sleep(0.2)
        self.keeps_the_loop()
        while self._file.exists():
            await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()

    def keeps_the_loop(self) -> None:
        ends_s = time.monotonic() + 60
        while not self._file.exists() and time.monotonic() < ends_s:
            time.sleep(0.05)


def test_one_that_keeps_the_event_loop_is_named_in_the_log_and_by_status(
    guest: Callable[[Any], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(standstill, "LOOK_EVERY_S", 0.2)  # a start that is slow is none
    blocking = Blocking(tmp_path / "state" / "ended")
    file = guest(settings_of(lambda _settings, _clock: blocking))
    station = station_of(load(file), file)
    said_by_status: list[list[str]] = []
    keeps = blocking.keeps_the_loop

    def keeps_the_loop() -> None:
        keeps()
        said_by_status.append(ended_of(station))

    monkeypatch.setattr(blocking, "keeps_the_loop", keeps_the_loop)
    assert run([station])
    [[said]] = said_by_status
    assert said.startswith("it stands still, and measures no more: sensor tank does not give the event loop back, at ")
    place = r"\S+/test_edge_guests\.py:\d+ keeps_the_loop <"
    assert re.search(place, said)
    logged = [one.getMessage() for one in caplog.records if one.name == standstill.__name__]
    assert logged[1:] == ["turns again"]
    assert re.match(rf"stands still by='sensor tank' at='.*{place}", logged[0])
    assert ended_of(station) == []


@pytest.mark.parametrize("has_ended_since", [False, True])
def test_who_stood_still_until_the_end_does_so_no_more(
    guest: Callable[[Any], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_ended_since: bool
) -> None:
    """SIGTERM comes while nothing turns; the look after it never comes."""
    monkeypatch.setattr(standstill, "LOOK_EVERY_S", 0.2)  # a start that is slow is none
    kept = tmp_path / "state" / "ended"
    blocking = Blocking(kept)
    keeps = blocking.keeps_the_loop

    def keeps_the_loop() -> None:
        keeps()
        monkeypatch.setattr(standstill, "LOOKS", 0)  # to the watch it stands still as long as it lives
        if has_ended_since:
            kept.write_text('{"device": "cont-0417", "why": "its disk is gone"}')
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(blocking, "keeps_the_loop", keeps_the_loop)
    file = guest(settings_of(lambda _settings, _clock: blocking))
    station = station_of(load(file), file)
    assert run([station])
    assert ended_of(station) == has_ended_since * ["it has ended, and measures no more: its disk is gone"]


async def test_who_is_told_of_a_standstill_and_falls_ends_no_watch(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(standstill, "LOOK_EVERY_S", 0.02)
    said: list[str] = []

    def told(why: str) -> None:
        said.append(why)
        raise ValueError("boom")

    def back() -> None:
        said.append("back")
        raise ValueError("boom")

    async def block(until_said: int) -> None:
        ends_s = time.monotonic() + 10
        while len(said) < until_said and time.monotonic() < ends_s:
            time.sleep(0.01)  # noqa: ASYNC251 - it keeps the loop
        await until(lambda: len(said) > until_said, "it to turn again")

    with standstill.watched(asyncio.get_running_loop(), told, back):
        await block(1)
        await block(3)
    assert [one == "back" for one in said] == [False, True, False, True]
    assert caplog.text.count("cannot tell who stands still error=ValueError boom") == 4


async def test_where_many_have_a_little_to_do_nobody_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standstill, "LOOK_EVERY_S", 0.02)
    said: list[str] = []

    async def little() -> None:
        time.sleep(0.05)  # noqa: ASYNC251 - as on a busy machine

    with standstill.watched(asyncio.get_running_loop(), said.append, lambda: said.append("back")):
        await asyncio.gather(*(little() for _ in range(40)))
    assert said == []


class Crying(Guest):
    """One that calls all that it says urgent."""

    gives = (Channel.WEIGHT_G, Channel.DOOR_OPEN, Channel.LEAK)

    async def samples(self) -> AsyncGenerator[Sample, None]:
        for second in range(200):
            grams = -1_500 if second == 100 else 1_000
            weight, gone = Cell(Channel.WEIGHT_G, grams), Cell(Channel.WEIGHT_G, 0, Quality.SENSOR_GONE)
            others = (gone,) if second > 190 else (weight, Cell(Channel.DOOR_OPEN, second // 150))
            yield Sample(NOW_MS + 1_000 * second, Clock.NTP, tuple(sorted(others)), is_urgent=True)
        yield Sample(NOW_MS, Clock.NTP, (Cell(Channel.LEAK, 0),))
        yield Sample(-5, Clock.NTP, (Cell(Channel.WEIGHT_G, 1),), is_urgent=True)


async def test_what_one_calls_urgent_again_and_again_is_routine_but_for_once_a_minute(
    guest: Callable[[Any], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter(range(1_000))
    monkeypatch.setattr("pledgewatch_edge.guest.time", SimpleNamespace(monotonic=lambda: float(next(seconds))))
    _, one = sensors_of(
        load(guest(settings_of(lambda _settings, _clock: Crying(), lambda _settings: frozenset(Crying.gives)))),
        AgentClock(),
    )
    found = [sample async for sample in one.samples()]
    sampler = Sampler()
    kept = [sampler.take(sample) for sample in found[:200]]
    assert all(kept), "without a rule all is kept"
    urgent = [second for second, sample in enumerate(found[:200]) if sample.is_urgent]
    assert urgent == [*range(FIRST_MAX), 71, 100, 160], "together for all that stands in one"
    assert [second for second, sample in enumerate(kept) if sample is not None and sample.is_urgent] == sorted(
        [*urgent, 150]
    ), "a change of a state is urgent as ever"
    assert [sample.is_urgent for sample in found[200:]] == [False, True], "what cannot be stored is as it was"
