"""The warehouse as a program: people at work, sensors that speak, a stock system that answers and writes files.

Its days lie in the past at first: `past_days` of them are told `speed` times as fast as the machine's clock (at once
where that is 0), until they have caught up; from then on time is everybody's. Never ahead of it, for what a gateway
stamps is stamped by its own clock. While it catches up no sensor speaks: nobody was there to hear them.

In its folder it leaves what others need: names of its serial ports, `gateway-part.toml`, `book-part.json`, the drop
folders, and `truth.jsonl`, the ledger of what nobody there knows. SIGUSR1 has a load stolen past the gate's reader,
SIGUSR2 one around it.
"""

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import uvicorn

from pledgewatch_sim import modbus_tcp
from pledgewatch_sim.clock import SimulationClock
from pledgewatch_sim.pty_port import PtyPort
from pledgewatch_sim.serving import Server, listening
from pledgewatch_sim.warehouse import layout, sales, sensors, setting
from pledgewatch_sim.warehouse.drop import Drop
from pledgewatch_sim.warehouse.mqtt_device import MqttDevice
from pledgewatch_sim.warehouse.people import Deed, People, Story
from pledgewatch_sim.warehouse.sales import DAY_MS
from pledgewatch_sim.warehouse.sensors import Asked, Connection
from pledgewatch_sim.warehouse.truth import Kind
from pledgewatch_sim.warehouse.wms_server import create_wms

READERS: Final = (layout.GATE_READER, layout.DOCK_SCANNER, layout.HALL_READER)
_SHUTDOWN_S: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class WarehouseOptions:
    """What was asked for. `sales` None: the dice's own; `broker_port` None: nothing is published. Ports of 0: any free
    ones. `every_s`: how often each sensor speaks. `grace_s` goes into the book's part."""

    folder: Path
    seed: int = 1
    days: int = 7
    past_days: int = 6
    speed: float = 0.0
    sales: Path | None = None
    skus: int = len(layout.LOOSE_BINS)
    mishaps: Mapping[Kind, int] = field(default_factory=dict)
    broker_host: str = "127.0.0.1"
    broker_port: int | None = None
    wms_port: int = 0
    modbus_port: int = 0
    token: str = ""
    every_s: float = 10.0
    grace_s: int = 900
    name: str = layout.WAREHOUSE

    def __post_init__(self) -> None:
        if 0 < self.speed <= 1:
            raise ValueError(f"speed is {self.speed:g}: the past catches up above 1 only; 0 tells it at once")
        if self.past_days > self.days:
            raise ValueError(f"{self.past_days} days of the past are more than the {self.days} of the story")


async def run(options: WarehouseOptions) -> None:
    """Run until SIGTERM or SIGINT; print the addresses first, as one line of JSON, after a past that is told at once.

    Raises SalesError for a table of sales that is none, OSError for a file or an address that cannot be used.
    """
    site = Site(options, await asyncio.to_thread(people_of, options))
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    loop.add_signal_handler(signal.SIGUSR1, partial(site.steal, is_read=True))
    loop.add_signal_handler(signal.SIGUSR2, partial(site.steal, is_read=False))
    async with site.opened() as addresses:
        print(json.dumps(addresses), flush=True)
        await ended.wait()


class Site:
    """The people of a story, and all that shows what they do."""

    def __init__(self, options: WarehouseOptions, people: People) -> None:
        self.options = options
        self.people = people
        now_ms = _now_ms()
        self.clock = _clock(people.story, options, now_ms)
        self.has_caught_up = asyncio.Event()
        self._caught_up_ms = now_ms if self.clock.end_ms is None else self.clock.end_ms
        self._news = asyncio.Event()  # set when something has happened, and then replaced
        self._drop = Drop(options.folder / "drop", people.stock_system, people.story.start_ms)
        self._ports = {name: PtyPort(options.folder / name) for name in READERS}
        self._truth = options.folder / "truth.jsonl"

    def steal(self, *, is_read: bool) -> None:
        """A load is stolen now, past the gate's reader or around it; not before it has caught up."""
        if self.has_caught_up.is_set():
            self._show(self.people.steal_load(self.clock.now_ms(), is_read=is_read))

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[dict[str, Any]]:
        """While it runs; yields its addresses, once a past that is told at once has been. An error of one part ends
        all."""
        options, people = self.options, self.people
        options.folder.mkdir(parents=True, exist_ok=True)
        self._truth.write_text("", encoding="ascii")
        app = create_wms(people.stock_system, self.clock.now_ms, options.token)
        server = Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=_SHUTDOWN_S))
        async with contextlib.AsyncExitStack() as stack:
            for port in self._ports.values():
                await stack.enter_async_context(port)
            listener = stack.enter_context(listening("127.0.0.1", options.wms_port))
            modbus_port = await stack.enter_async_context(modbus_tcp.converter(self._registers, options.modbus_port))
            addresses = self._written(listener.getsockname()[1], modbus_port)
            group = await stack.enter_async_context(asyncio.TaskGroup())
            serving = group.create_task(server.serve([listener]), name="stock system")
            tasks = [group.create_task(self._tell(), name="people"), group.create_task(self._read_hall(), name="hall")]
            if options.broker_port is not None:
                tasks += [group.create_task(self._speak(one), name=one.client) for one in sensors.CONNECTIONS]
            try:
                if options.speed == 0:
                    await self.has_caught_up.wait()  # whoever is told where it is finds all of its past there
                yield addresses
            finally:
                for task in tasks:
                    task.cancel()
                server.stop()
                await serving

    def _written(self, wms_port: int, modbus_port: int) -> dict[str, Any]:
        """What is left in the folder for gateway and book; returns all addresses."""
        folder, options = self.options.folder, self.options
        paths = {name: str(port.path) for name, port in self._ports.items()}
        found = setting.Addresses(options.broker_port, modbus_port, *(paths[name] for name in READERS))
        (folder / "gateway-part.toml").write_text(
            setting.gateway_part(found, options.every_s, options.name), encoding="utf-8"
        )
        book = setting.book_part(self.people.unit_weights_g, options.grace_s, options.name)
        (folder / "book-part.json").write_text(json.dumps(book, indent=1), encoding="utf-8")
        return {
            "wms": f"http://127.0.0.1:{wms_port}",
            "modbus_port": modbus_port,
            **paths,
            "gateway_part": str(folder / "gateway-part.toml"),
            "book_part": str(folder / "book-part.json"),
            "drop": str(folder / "drop"),
            "truth": str(self._truth),
            "sales": "dice" if options.sales is None else str(options.sales),
        }

    async def _tell(self) -> None:
        """Let people do what is due and the stock system write its files, for as long as the story is."""
        while (due_ms := self._due_ms()) is not None:
            if due_ms > self._caught_up_ms:
                await self._catch_up()
            await self.clock.sleep_until(due_ms)
            await asyncio.to_thread(self._drop.write_until, due_ms)
            if due_ms == self.people.next_ms():
                self._show(self.people.advance())
        await self._catch_up()

    def _due_ms(self) -> int | None:
        """When something is to be done next, by people or at the end of a day; None where the story is over."""
        midnight_ms = self._drop.next_ms
        dues = [self.people.next_ms(), midnight_ms if midnight_ms <= self.people.story.end_ms else None]
        return min((one for one in dues if one is not None), default=None)

    async def _catch_up(self) -> None:
        await self.clock.sleep_until(self._caught_up_ms)
        self.has_caught_up.set()

    def _show(self, deeds: Sequence[Deed]) -> None:
        """What comes of deeds at once: the ledger's line, tags at the gate, devices that speak up."""
        for deed in deeds:
            if deed.mishap:
                with self._truth.open("a", encoding="ascii") as file:
                    file.write(json.dumps(deed.mishap.as_json()) + "\n")
            if self.has_caught_up.is_set():
                for reader, seals in ((layout.DOCK_SCANNER, deed.came), (layout.GATE_READER, deed.left)):
                    self._say(reader, [sensors.seal_as_read(reader, seal) for seal in seals])
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _say(self, reader: str, tags: Iterable[str]) -> None:
        for tag in tags:
            self._ports[reader].write(sensors.line(tag))

    async def _read_hall(self) -> None:
        """The hall's reader, round by round."""
        await self.has_caught_up.wait()
        while True:
            self._say(layout.HALL_READER, sensors.tags_in_hall(self.people.scene))
            await asyncio.sleep(self.options.every_s)

    async def _speak(self, connection: Connection) -> None:
        """The devices of one connection: now and then, and when something has happened."""
        options = self.options
        assert options.broker_port is not None
        device = MqttDevice(connection.client, options.broker_host, options.broker_port, connection.will)
        await self.has_caught_up.wait()
        try:
            while True:
                news = self._news
                if connection.client in self.people.scene.dead:
                    device.cut()
                for one in connection.devices:
                    await device.say(sensors.messages(self._asked(), one))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(options.every_s):
                        await news.wait()
        finally:
            device.cut()

    def _registers(self) -> Mapping[int, Mapping[int, int]]:
        return sensors.registers(self._asked()) if self.has_caught_up.is_set() else {}

    def _asked(self) -> Asked:
        people = self.people
        return Asked(people.scene, people.unit_weights_g, self.clock.now_ms(), people.story.start_ms, people.story.seed)


def people_of(options: WarehouseOptions) -> People:
    """The people of the story that was asked for. Raises SalesError, OSError."""
    midnight_ms = _now_ms() // DAY_MS * DAY_MS
    story = Story(options.seed, midnight_ms - options.past_days * DAY_MS, options.days, options.mishaps)
    if options.sales is None:
        return People(story, sales.of_dice(options.seed, options.days, options.skus))
    return People(story, sales.of_file(options.sales, options.days, options.skus))


def _clock(story: Story, options: WarehouseOptions, now_ms: int) -> SimulationClock:
    """Time of the story, which runs fast until it is the machine's."""
    if options.speed == 0:
        return SimulationClock(now_ms, 1.0, now_ms)
    behind_ms = now_ms - story.start_ms
    caught_up_ms = story.start_ms + round(behind_ms * options.speed / (options.speed - 1))
    return SimulationClock(story.start_ms, options.speed, now_ms, caught_up_ms)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
