"""A scenario played: broker, cloud and agent as real programs, the container's devices as bytes, and the account.

The broker is reached by a link that can be cut. The card is full where the agent may make no file longer than it is
(RLIMIT_FSIZE, prlimit(2)): the nearest to a full disk that needs no root; the kernel says EFBIG, not ENOSPC. When the
story is over the receiver falls silent, the rest is sent, and then what the cloud has is held against what the agent
has measured, and its events against what the file expects.
"""

import asyncio
import contextlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random
from typing import Any, Final

import httpx2

from pledgewatch_sim.clock import SimulationClock
from pledgewatch_sim.modbus_tcp import converter
from pledgewatch_sim.onewire import OneWireTree
from pledgewatch_sim.programs import Program, free_port, output_of
from pledgewatch_sim.pty_port import PtyPort
from pledgewatch_sim.receiver import Receiver
from pledgewatch_sim.scenario import files
from pledgewatch_sim.scenario.account import Account, Counts, Fix, Told, account
from pledgewatch_sim.scenario.files import ASSET, DEVICE, DOOR, LIGHT, PROBE, Ports
from pledgewatch_sim.scenario.link import Link
from pledgewatch_sim.scenario.script import Kind, Scenario
from pledgewatch_sim.scenario.world import World

START_S: Final = 10.0
START_PATIENCE_S: Final = 60.0
REST_PATIENCE_S: Final = 90.0
FULL_BYTES: Final = 1_024
_PAGE: Final = 10_000
_CARD_OPEN: Final = -1


class ScenarioError(Exception):
    """A scenario that could not be played to its end; a sentence."""


@contextlib.contextmanager
def room(named: Path | None) -> Iterator[tuple[Path, list[str]]]:
    """The folder that is named, or one that goes where nothing has gone wrong: what has is put into the list. Raises
    ScenarioError where the folder is not empty, OSError."""
    if named is not None:
        named.mkdir(parents=True, exist_ok=True)
        if any(named.iterdir()):
            raise ScenarioError(f"{named} is not empty; name a folder that is")
        yield named.resolve(), []
        return
    folder, wrong = Path(tempfile.mkdtemp(prefix="pledgewatch-scenario-")), ["it was not played to its end"]
    try:
        yield folder, wrong
    finally:
        if wrong:
            print(f"Logs and data of this scenario are kept in {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder)


async def complaint_of_further(scenario: Scenario) -> str:
    """What the agent has against what the story adds to its configuration; empty where nothing is. It needs no network
    and nothing that is plugged in."""
    if not scenario.fitted.further.strip():
        return ""
    with tempfile.TemporaryDirectory(prefix="pledgewatch-scenario-") as named:
        config = Path(named) / "agent.toml"
        clock = SimulationClock(scenario.begins_ms, scenario.speed)
        config.write_text(files.agent(scenario, Path(named), Ports(1, 1, 1, 1), clock), encoding="utf-8")
        try:
            await output_of("pledgewatch_edge", "run", "--check", "--config", str(config))
        except RuntimeError as error:
            said = str(error).replace(f"{config}: ", "").removeprefix("pledgewatch_edge run --check --config ")
            return said.removeprefix(f"{config}: ").strip()
    return ""


async def play(scenario: Scenario, folder: Path) -> Account:
    """Play it in a folder of its own. Raises ScenarioError, OSError."""
    broker_port = free_port()
    async with Link(broker_port) as link, httpx2.AsyncClient(timeout=30.0) as http:
        world = World(scenario)
        end_ms = scenario.begins_ms + round(scenario.lasts_s * 1_000)
        anchor_ms = time.time_ns() // 1_000_000 + round(START_S * 1_000)
        clock = SimulationClock(scenario.begins_ms, scenario.speed, anchor_ms, end_ms)
        at = _Story(clock, scenario)
        inputs = {LIGHT: Kind.LIGHT, DOOR: Kind.DOOR}
        module = converter(lambda: {1: {one: int(world.is_on(kind, at.now_s())) for one, kind in inputs.items()}})
        async with module as modbus_port, _programs(folder) as programs:
            ports = Ports(broker_port, link.port, free_port(), modbus_port)
            config = folder / "agent.toml"
            config.write_text(files.agent(scenario, folder, ports, clock), encoding="utf-8")
            (folder / "cloud.toml").write_text(files.cloud(folder, ports, clock), encoding="utf-8")
            identity = json.loads(await output_of("pledgewatch_edge", "identity", "--config", str(config)))
            document = files.book(scenario, identity["public_key"])
            (folder / "book.json").write_text(json.dumps(document), encoding="utf-8")
            await programs.start("broker", "pledgewatch_cloud", "broker", "run", "--config", str(folder / "cloud.toml"))
            await programs.start("cloud", "pledgewatch_cloud", "run", "--config", str(folder / "cloud.toml"))
            await programs.until_up("cloud", f"http://127.0.0.1:{ports.api}/healthz", http)
            await _perform(at, world, folder, link, programs, config)
            return await _account(scenario, config, f"http://127.0.0.1:{ports.api}", http, programs)


class _Story:
    """How far the story is."""

    def __init__(self, clock: SimulationClock, scenario: Scenario) -> None:
        self.clock = clock
        self.scenario = scenario

    def now_s(self) -> float:
        """Seconds since its beginning; 0 before."""
        return max(0.0, (self.clock.now_ms() - self.scenario.begins_ms) / 1_000)


class _Programs:
    """The programs that run; one that ends by itself ends the scenario."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self.running: dict[str, Program] = {}

    async def start(self, name: str, module: str, *arguments: str) -> None:
        """Start one, or start it again."""
        program = self.running.setdefault(name, Program(name, module, arguments, self._logs))
        await program.start()

    def check(self) -> None:
        """Raise ScenarioError where one has ended."""
        for name, one in self.running.items():
            if not one.running:
                raise ScenarioError(f"{name} has ended:\n{one.last_words()}")

    async def until_up(self, name: str, url: str, http: httpx2.AsyncClient) -> None:
        """Wait until it answers well. Raises ScenarioError where it does not."""
        deadline = time.monotonic() + START_PATIENCE_S
        while time.monotonic() < deadline:
            self.check()
            with contextlib.suppress(httpx2.HTTPError):
                if (await http.get(url)).is_success:
                    return
            await asyncio.sleep(0.1)
        raise ScenarioError(f"{name} does not answer at {url}:\n{self.running[name].last_words()}")

    async def stop(self) -> None:
        """End them all, the last that was started first."""
        for one in reversed(list(self.running.values())):
            await one.stop()


@contextlib.asynccontextmanager
async def _programs(logs: Path) -> AsyncIterator[_Programs]:
    programs = _Programs(logs)
    try:
        yield programs
    finally:
        await programs.stop()


async def _perform(at: _Story, world: World, folder: Path, link: Link, programs: _Programs, config: Path) -> None:
    """The story from its beginning to its end."""
    scenario, speed = at.scenario, at.scenario.speed
    tree = OneWireTree(
        folder / "w1",
        {PROBE: lambda now_ms: world.temperature_mc(max(0.0, (now_ms - scenario.begins_ms) / 1_000))},
        at.clock.now_ms,
    )
    (folder / "w1").mkdir()
    tree.refresh()
    async with PtyPort(folder / "gps") as port, asyncio.TaskGroup() as group:
        await at.clock.sleep_until(scenario.begins_ms)  # before it, the computer's clock would show less than nothing
        await programs.start("agent", "pledgewatch_edge", "run", "--config", str(config))
        beside = [
            group.create_task(tree.run(max(0.005, scenario.fitted.probe_every_s / speed / 2))),
            group.create_task(_break_things(at, world, port, link, programs, config)),
        ]
        receiver = Receiver(
            at.clock,
            lambda now_ms: world.told_place((now_ms - scenario.begins_ms) / 1_000),
            port,
            Random(scenario.seed),
        )
        every_s = scenario.fitted.fix_every_s
        for number in range(round(scenario.lasts_s / every_s)):
            at_ms = scenario.begins_ms + round(number * every_s * 1_000)
            await at.clock.sleep_until(at_ms)
            told = receiver.speak(at_ms, sees_sky=world.is_on(Kind.SKY, number * every_s))
            if port.plugged:
                port.write(told)
        await at.clock.sleep_until(scenario.begins_ms + round(scenario.lasts_s * 1_000))
        for one in beside:
            one.cancel()
        await link.set(is_up=True)
        await _limit_card(programs, is_open=True)


async def _break_things(at: _Story, world: World, port: PtyPort, link: Link, programs: _Programs, config: Path) -> None:
    """Plugs, link, card and power as the story has them, for ever."""
    powers = world.powers()
    was_open = True
    while True:
        now_s = at.now_s()
        if world.is_on(Kind.RECEIVER, now_s):
            port.plug()
        else:
            port.unplug()
        await link.set(is_up=world.is_on(Kind.LINK, now_s))
        if powers and powers[0] <= now_s:
            powers.pop(0)
            await programs.running["agent"].kill()
            await programs.start("agent", "pledgewatch_edge", "run", "--config", str(config))
            was_open = True
        is_open = world.is_on(Kind.CARD, now_s)
        if is_open != was_open:
            await _limit_card(programs, is_open=is_open)
            was_open = is_open
        programs.check()
        await asyncio.sleep(0.02)


async def _limit_card(programs: _Programs, *, is_open: bool) -> None:
    programs.running["agent"].limit_files(_CARD_OPEN if is_open else FULL_BYTES)


async def _account(
    scenario: Scenario, config: Path, url: str, http: httpx2.AsyncClient, programs: _Programs
) -> Account:
    """Wait until the cloud has what the agent had at the story's end, end it, and count. What does not come in time is
    in the account."""
    deadline = time.monotonic() + REST_PATIENCE_S
    at_end = await _status(config)
    while time.monotonic() < deadline:
        programs.check()
        now = await _status(config)
        if (now["epoch"], now["committed_contiguous"]) >= (at_end["epoch"], at_end["head_sequence"]):
            break
        await asyncio.sleep(0.5)
    await programs.running.pop("agent").stop()
    agent = await _status(config)
    while True:
        cloud = Counts.of(await _device(url, http))
        if cloud.tells(agent) or time.monotonic() > deadline:
            break
        await asyncio.sleep(0.2)
    events, entry = await _events(url, http)
    track = [] if scenario.expect.stood_outside_s is None else await _track(url, http, entry, deadline)
    return account(scenario.expect, int(agent["measured"]), int(agent["refused"]), cloud, events, track)


async def _status(config: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await output_of("pledgewatch_edge", "status", "--json", "--config", str(config)))
    return found


async def _device(url: str, http: httpx2.AsyncClient) -> dict[str, Any]:
    answer = await http.get(f"{url}/devices")
    answer.raise_for_status()
    (device,) = [one for one in answer.json() if one["device"] == DEVICE]
    found: dict[str, Any] = device
    return found


async def _events(url: str, http: httpx2.AsyncClient) -> tuple[list[Told], int]:
    """All of them, those that were taken back left out; and up to which entry of the journal."""
    after, found, taken_back = 0, {}, set()
    while True:
        answer = await http.get(f"{url}/events", params={"after_entry": after, "limit": _PAGE})
        answer.raise_for_status()
        page = answer.json()
        for one in page["events"]:
            found[one["id"]] = Told(one["type"], one["at_ms"], one["facts"].get("channel", ""))
            if one["type"] == "event_retracted":
                taken_back.add(one["facts"]["retracted"])
        if page["next_after_entry"] <= after or not page["events"]:
            break
        after = page["next_after_entry"]
    return [one for name, one in found.items() if name not in taken_back], page["next_after_entry"]


async def _track(url: str, http: httpx2.AsyncClient, entry: int, deadline: float) -> list[Fix]:
    """Where the cloud had the container, up to an entry at least, or what there is of it in time."""
    longitudes, latitudes = [
        dict(await _points(url, http, channel, entry, deadline)) for channel in ("longitude_e7", "latitude_e7")
    ]
    both = sorted(longitudes.keys() & latitudes.keys())
    return [Fix(at_ms, longitudes[at_ms], latitudes[at_ms]) for at_ms in both]


async def _points(
    url: str, http: httpx2.AsyncClient, channel: str, entry: int, deadline: float
) -> list[tuple[int, int]]:
    """Moments and values of a channel, page by page from the newest on."""
    found, query = list[tuple[int, int]](), {"limit": _PAGE}
    while True:
        answer = await http.get(f"{url}/assets/{ASSET}/series/{channel}", params=query)
        answer.raise_for_status()
        series = answer.json()
        if series["entry"] < entry and time.monotonic() < deadline:  # it comes after the journal
            await asyncio.sleep(0.1)
            continue
        found += [(at_ms, value) for at_ms, value, _ in series["points"]]
        if len(series["points"]) < _PAGE:
            return found
        query["to_ms"] = series["points"][0][0]
