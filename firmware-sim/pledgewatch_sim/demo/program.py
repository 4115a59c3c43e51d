"""The demo: a story of real programs on simulated goods, opened on the console.

It starts the sandbox core, a broker, the cloud, four edge agents, and two warehouses with their gateways; it is the
world that they measure: receivers on ptys, one-wire trees, containers under way, devices as bytes. It watches from
outside, by the API and the bank's ledger, tells on the console's banner what has happened (`stage.py`), lets the user
break things, and at the end counts at both ends, and asks of every beat of the story whether the journal has it.
"""

import asyncio
import contextlib
import json
import os
import signal
import time
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import httpx2
import uvicorn

from pledgewatch_sim import both_ends
from pledgewatch_sim.bank.settings import make_secret
from pledgewatch_sim.clock import SimulationClock
from pledgewatch_sim.demo import beats as beats_module
from pledgewatch_sim.demo import files, frame
from pledgewatch_sim.demo.beats import Event, Told
from pledgewatch_sim.demo.counting import count
from pledgewatch_sim.demo.frame import Ending, Place
from pledgewatch_sim.demo.parties import Party, Refusal, Register
from pledgewatch_sim.demo.people import PEOPLE, Keeper
from pledgewatch_sim.demo.pokes import Pokes
from pledgewatch_sim.demo.sites import sites
from pledgewatch_sim.demo.stage import Stage
from pledgewatch_sim.demo.story import (
    AGENTS,
    BANK,
    CONTAINERS,
    CORAL,
    DAY_MS,
    HAZEL,
    OPERATOR,
    OTHER_BANK,
    STORY_DAYS,
    TRACKERS,
    Container,
    Script,
    devices_book,
    iso,
    trade_book,
)
from pledgewatch_sim.demo.teller import Teller
from pledgewatch_sim.demo.trackers import Tracker, Trackers
from pledgewatch_sim.demo.troupe import DemoError, Troupe
from pledgewatch_sim.demo.words import Words
from pledgewatch_sim.onewire import OneWireTree
from pledgewatch_sim.programs import free_port, output_of
from pledgewatch_sim.pty_port import PtyPort
from pledgewatch_sim.receiver import Receiver, ReceiverFaults, ReceiverSettings
from pledgewatch_sim.serving import Server, listening
from pledgewatch_sim.warehouse.layout import DEPOSITOR

AT_SEA = 0.68
"""The share of the seconds that the twelve days take; the rest is the warehouses'."""
SPEAK_PATIENCE_S = 30.0
SITES_PATIENCE_S = 120.0
BEAT_PATIENCE_S = 60.0
DRAIN_PATIENCE_S = 45.0
POLL_S = 1.0
_FAULTS = ReceiverFaults(garbage=0.02, flipped_bit=0.02, cut_sentence=0.02)


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What was asked for. `folder` None: a temporary one, removed at the end. `seconds`: how long the story is.
    `login`: people log in at the console, by an issuer that is started beside it."""

    seconds: float
    headless: bool
    report: Path | None
    folder: Path | None
    seed: int
    login: bool = False


async def run(options: DemoOptions) -> int:
    """Run the demo. Returns 0 where all happened and both ends agree, or it was ended at once; else 1."""
    task = asyncio.current_task()
    assert task is not None
    ending = Ending(task.cancel)
    ending.listen()
    try:
        with frame.place(options.folder, options.report) as place:
            return await _Demo(options, place, ending).run()
    except asyncio.CancelledError:
        if not ending.is_now:
            raise
        print("Ended at once: nothing was counted.")
        return 0
    finally:
        ending.deafen()


class _Interrupted(Exception):  # noqa: N818 - a person's wish
    """Ctrl-C."""


class _Demo:
    """One run: the programs, the world around them, and who watches. It is the beats' Scene."""

    def __init__(self, options: DemoOptions, place: Place, ending: Ending) -> None:
        self._options = options
        self._place = place
        self._folder = folder = place.folder
        self._ending = ending
        self._began = time.monotonic()
        # A reading in so many hours of the story: what is folded again for a late one grows with what there is.
        self._cycle_s = max(0.5, options.seconds / 120)
        self._random = Random(options.seed)
        self._ports = files.Ports(*(free_port() for _ in range(5)))
        self.console = f"http://127.0.0.1:{self._ports.api}"
        self._token = folder / "keeper.token" if options.login else None
        self._http = httpx2.AsyncClient(timeout=10, auth=Keeper(self.console, self._token) if self._token else None)
        self._teller = Teller(headless=options.headless)
        self._troupe = Troupe(folder, self._http)
        self._sites = sites(folder, self._ports.mqtt)
        self._devices = [*(one.name for one in AGENTS), *(one.gateway.name for one in self._sites)]
        self._parties = {
            identity: Party(identity, name)
            for identity, name in (
                (BANK, "Bank One"),
                (OTHER_BANK, "Bank Two"),
                (DEPOSITOR, "Sofa Works"),
                *((one.name, f"Warehouse {one.name}") for one in self._sites),
            )
        }
        self._register = Register(self._http, self.console)
        self._beats = beats_module.beats(*self._sites)
        self._by_name: dict[str, Tracker] = {}
        self._pokes = Pokes(self._troupe, self._by_name, self._amend)
        self._stage = Stage(len(self._beats), self._pokes.all())
        self.events: list[Event] = []
        self.refusal: Refusal | None = None
        self._after_entry, self._after_message = 0, 0
        self._moved: set[tuple[str, str]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.map_moves_after_s: float | None = None

    async def cloud(self, path: str) -> Any:
        """What the API answers."""
        return await self._ask("GET", self._ports.api, path)

    async def core(self, path: str) -> Any:
        """What the bank answers."""
        return await self._ask("GET", self._ports.core, path)

    @property
    def story_ms(self) -> tuple[int, int]:
        """The beginning and the end of the twelve days."""
        return self._script.start_ms, self._script.start_ms + self._script.length_ms

    async def run(self) -> int:
        """As the module's `run`; where it fails, the report says why, and the folder is kept. Raises DemoError, and
        CancelledError where it is ended at once."""
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self._end_programs)
            stack.push_async_callback(self._http.aclose)
            stack.enter_context(self._teller)
            try:
                found = await self._story(stack)
                await self._settle()
                report = await self._counted(found)
            except _Interrupted:
                self._teller.say("Stopped before the story began: nothing was measured.")
                return 0
            except Exception as error:
                self._place.write({"error": str(error), **self._told_so_far(self._stage.told)})
                raise
        wrong = both_ends.disagreements(report, is_ended_early=found is None)
        self._teller.end(report, wrong)
        await asyncio.to_thread(self._place.write, report)
        if wrong or any(not one.has_happened for one in found or ()):
            self._place.keep()
            return 1
        return 0

    async def _story(self, stack: contextlib.AsyncExitStack) -> list[Told] | None:
        """The whole of it; what came of each beat, None where it was ended before all was told."""
        make_secret(self._folder / "webhook.secret")
        if self._token:
            make_secret(self._token)
            self._write("issuer.toml", files.issuer(self._ports, PEOPLE))
            await self._troupe.start("pledgewatch_sim", "issuer", "issuer.toml", "issuer")
        for site in self._sites:
            site.make_secret()
        for one in AGENTS:
            (self._folder / one.name).mkdir(exist_ok=True)
        ports = {one.name: await stack.enter_async_context(PtyPort(self._folder / one.name / "gps")) for one in AGENTS}
        await self._set_out()
        # They outlive the story, for they send what they have when it is over.
        tracking = asyncio.create_task(self._trackers.run(2 * self._cycle_s), name="trackers")
        self._tasks.add(tracking)
        stack.callback(tracking.cancel)
        try:
            async with asyncio.TaskGroup() as group:
                world = [group.create_task(self._container(one, ports[one.name]), name=one.name) for one in AGENTS]
                world.append(group.create_task(self._unlink(), name="link"))
                await self._troupe.start("pledgewatch_cloud", "cloud", "cloud.toml", "run")
                await self._troupe.until_up(self._ports.api, "cloud", self._stop_where_asked, "/readyz")
                self._trackers.is_heard.set()
                stack.push_async_callback(self._end_stage, await self._open_stage())
                self._teller.address(self.console, f"http://127.0.0.1:{self._ports.core}/ledger")
                if self._token:
                    self._teller.people(files.issuer_url(self._ports), [one.name for one in PEOPLE])
                await self._lend()
                self._open_browser()
                world.append(group.create_task(self._watch(), name="watch"))
                world.append(group.create_task(self._cure(), name="cure"))
                found = await self._told()
                for task in world:
                    task.cancel()
        except ExceptionGroup as errors:
            raise _first(errors) from None
        return found

    async def _told(self) -> list[Told] | None:
        """The acts of the story one after the other."""
        buildings = asyncio.create_task(self._build_sites(), name="warehouses")
        self._tasks.add(buildings)
        rest_s = (self.story_ms[1] - self._clock.now_ms()) / self._clock.speed / 1_000
        if await self._asked_within(rest_s):
            return None
        await buildings
        if not await self._warehouses():
            return None
        deadline = time.monotonic() + BEAT_PATIENCE_S
        while len(self._stage.told) < len(self._beats) and time.monotonic() < deadline:
            if await self._asked_within(POLL_S):
                return None
        found = await self._all_beats()
        self._stage.ended = Words(
            "The story is told; every beat was found in the journal.", "故事讲完了；每个情节都已在日志中找到。"
        )
        if missed := ", ".join(one.beat for one in found if not one.has_happened):
            self._stage.ended = Words(
                f"The story is told; not found in the journal: {missed}.", f"故事讲完了；日志中未找到：{missed}。"
            )
        self._teller.beats(found)
        if not self._options.headless:
            self._teller.say(f"The console stays at {self.console} until Ctrl-C; then both ends are counted.")
            await self._ending.asked.wait()
        return found

    async def _all_beats(self) -> list[Told]:
        """Every beat, asked once more of what the journal has now."""
        events: list[Event] = []
        after = 0
        while True:
            page = await self.cloud(f"/events?after_entry={after}&limit=10000")
            events += page["events"]
            if page["next_after_entry"] == after or not page["events"]:
                break
            after = page["next_after_entry"]
        self.events = events
        missing = (beats_module.Figure("begun", 1, 0),)
        return [
            await ask(self)
            or Told(name, Words(f"{name} has not happened", f"{name} 未发生"), Words("", ""), "#/", missing)
            for name, ask in self._beats.items()
        ]

    async def _asked_within(self, seconds: float) -> bool:
        """Wait for so long, or until somebody asks for the end: whether that was so."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self._ending.asked.wait()
        return self._ending.asked.is_set()

    async def _set_out(self) -> None:
        """All but the cloud: identities first, for the book, then agents, core and broker. How long the cloud takes to
        look at its own configuration says how much time it is given until the twelve days begin."""
        for one in AGENTS:
            self._write(f"{one.name}.toml", files.agent(one, self._folder, self._ports.mqtt, self._cycle_s))
        said = await asyncio.gather(*(self._said_by(one, "identity") for one in AGENTS))
        for one in AGENTS:
            await self._troupe.start("pledgewatch_edge", one.name, f"{one.name}.toml", "run")
        self._lay_out(60_000)
        await self._troupe.start("pledgewatch_sim", "bank", "bank.toml", "bank")
        await self._troupe.start("pledgewatch_cloud", "broker", "cloud.toml", "broker", "run")
        await self._troupe.until_up(self._ports.core, "bank", self._stop_where_asked)
        began = time.monotonic()
        await output_of("pledgewatch_cloud", "run", "--config", str(self._folder / "cloud.toml"), "--check")
        self._stop_where_asked()
        self._lay_out(round(1_000 * max(4.0, 2.5 * (time.monotonic() - began))))
        self._by_name |= {
            one.name: Tracker(one.device, OPERATOR, number, self._script.place(one), self._script.temperature(one))
            for number, one in enumerate(TRACKERS, 1)
        }
        self._trackers = Trackers(list(self._by_name.values()), OPERATOR, self._ports.mqtt, self._clock.now_ms)
        identities = {one.device: its["public_key"] for one, its in zip(AGENTS, said, strict=True)}
        identities |= {one.device: one.public_key for one in self._by_name.values()}
        users = {"users": self._users(of_facilities=False)} if self._token else {}
        self._write("book.json", json.dumps(devices_book(self._script, identities) | users))

    def _users(self, *, of_facilities: bool) -> list[dict[str, Any]]:
        """Who logs in; who is named for facilities is in the book once these are."""
        issuer = files.issuer_url(self._ports)
        return [one.as_user(issuer) for one in PEOPLE if bool(one.facilities) == of_facilities]

    def _lay_out(self, allowance_ms: int) -> None:
        """The time of the story, whose twelve days begin so long from now, and the files of those who go by it. When
        they are over it is now: what gateways stamp then is of that very time."""
        length_ms, at_sea_ms = STORY_DAYS * DAY_MS, round(AT_SEA * self._options.seconds * 1_000)
        anchor_ms = time.time_ns() // 1_000_000 + allowance_ms
        start_ms = anchor_ms + at_sea_ms - length_ms
        self._clock = SimulationClock(start_ms, length_ms / at_sea_ms, anchor_ms, start_ms + length_ms)
        self._script = Script(start_ms, length_ms)
        senders = {one.source: one.secret_file for one in self._sites}
        self._write("bank.toml", files.bank(self._folder, self._ports, self._clock, self._options.seed, self._token))
        self._write("cloud.toml", files.cloud(self._folder, self._ports, self._clock, senders, self._token))

    def _stop_where_asked(self) -> None:
        if self._ending.asked.is_set():
            raise _Interrupted

    async def _open_stage(self) -> tuple[Server, asyncio.Task[None]]:
        listener = listening("127.0.0.1", self._ports.stage)
        app = self._stage.application(self.console)
        server = Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1))
        return server, asyncio.create_task(server.serve([listener]), name="stage")

    async def _end_stage(self, opened: tuple[Server, asyncio.Task[None]]) -> None:
        server, serving = opened
        server.stop()
        await serving

    def _open_browser(self) -> None:
        if not self._options.headless and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            webbrowser.open(self.console)

    async def _lend(self) -> None:
        """Once every container has spoken, the book says what is lent on them; the bank knows what was lent before."""
        deadline = time.monotonic() + SPEAK_PATIENCE_S
        while True:
            features = (await self.cloud("/assets"))["features"]
            if sum(one["geometry"] is not None for one in features) >= len(CONTAINERS):
                break
            if time.monotonic() > deadline:
                raise DemoError("not every container has spoken in time; is the machine too busy?")
            if await self._asked_within(POLL_S):
                raise _Interrupted
        known = trade_book()
        for facility in known["facilities"]:
            opening = {name: facility[name] for name in ("id", "currency", "outstanding_minor")}
            await self._ask("POST", self._ports.core, "/facilities", opening)
        await self._amend(known | {"users": self._users(of_facilities=True)} if self._token else known)

    async def _container(self, one: Container, port: PtyPort) -> None:
        """A container's world: its receiver speaks, its probe is read, things happen to it."""
        settings = ReceiverSettings(interval_s=self._cycle_s, faults=_FAULTS)
        receiver = Receiver(self._clock, self._script.place(one), port, Random(self._random.random()), settings)
        async with asyncio.TaskGroup() as group:
            group.create_task(receiver.run(), name=f"{one.name} receiver")
            group.create_task(self._tree(one).run(self._cycle_s / 2), name=f"{one.name} probes")
            if one.powerless:
                group.create_task(self._rest(one, one.powerless, port), name=f"{one.name} rests")

    async def _cure(self) -> None:
        """Coral's exporter pays what is called, once that was told: in time, as the cure period is three days."""
        while "breach" not in {one.beat for one in self._stage.told}:
            await asyncio.sleep(POLL_S)
        await asyncio.sleep(self._pause_s)
        paid = {"id": "cure-1", "kind": "repayment", "amount_minor": beats_module.after_the_breach().call_minor}
        await self._ask("POST", self._ports.core, f"/margin-calls/{CORAL.line}/answers", paid)

    def _tree(self, one: Container) -> OneWireTree:
        probes = {files.probe(one): self._script.temperature(one)}
        return OneWireTree(self._folder / one.name / "w1", probes, self._clock.now_ms)

    async def _rest(self, one: Container, powerless: tuple[float, float], port: PtyPort) -> None:
        """Agent and receiver have no power on the ocean (SIGKILL); then it goes on with the next number."""
        await self._clock.sleep_until(self._script.at(powerless[0]))
        self._teller.say(f"[bold]{one.name}[/]: out at sea, as planned, the device has no power")
        await self._troupe.kill(one.name)
        port.unplug()
        await self._clock.sleep_until(self._script.at(powerless[1]))
        port.plug()
        await self._troupe.wake(one.name)

    async def _unlink(self) -> None:
        """A tracker's link goes down and comes back; it measures on."""
        assert HAZEL.unlinked is not None
        await self._clock.sleep_until(self._script.at(HAZEL.unlinked[0]))
        self._by_name[HAZEL.name].is_linked = False
        self._teller.say(f"[bold]{HAZEL.name}[/]: its link is down; it measures on")
        await self._clock.sleep_until(self._script.at(HAZEL.unlinked[1]))
        self._by_name[HAZEL.name].forget_sent()
        self._by_name[HAZEL.name].is_linked = True
        self._teller.say(f"[bold]{HAZEL.name}[/]: its link is back")

    async def _build_sites(self) -> None:
        """The buildings, and what the book must know of them; gateways are not started yet."""
        for one in self._sites:
            await self._troupe.take(one.building)
            await one.read_what_is_there(self._http, self._ports.mqtt, self._ports.api)
        parts = [await one.book_part() for one in self._sites]
        signers = {one.id: one.as_document() for one in self._parties.values()}
        others = {one["id"]: one for part in parts for one in part["parties"] if one["id"] not in signers}
        together: dict[str, Any] = {"parties": [*signers.values(), *others.values()]}
        for part in parts:
            for section, items in part.items():
                if section != "parties":
                    known = together.setdefault(section, [])
                    known += [one for one in items if one not in known]
        for facility in together["facilities"]:
            opening = {"id": facility["id"], "currency": facility["currency"], "outstanding_minor": 0}
            await self._ask("POST", self._ports.core, "/facilities", opening)
        await self._amend(together)

    async def _warehouses(self) -> bool:
        """The second part: receipts are issued and pledged, one of them twice, and a load is stolen. False where
        somebody asked for the end."""
        stolen_from, pledged_twice = self._sites
        for one in self._sites:
            await self._troupe.take(one.gateway)
        deadline = time.monotonic() + SITES_PATIENCE_S
        for one in self._sites:
            while (held := await one.in_the_stock_book(self._http, self.console)) != one.bins:
                if time.monotonic() > deadline:
                    differs = f"sofas by bin: {held} in the cloud's stock book, {one.bins} in the building"
                    raise DemoError(
                        f"the stock system of {one.name} is not heard; {differs}\n{one.gateway.last_words()}"
                    )
                if await self._asked_within(POLL_S):
                    return False
            await self._act(self._parties[one.name], one.receipt, "issue", **one.stated(self._clock.now_ms()))
            await self._act(self._parties[DEPOSITOR], one.receipt, "pledge", pledgee=BANK)
            self._teller.say(f"[bold]{one.receipt}[/]: issued on {one.pieces} sofas, and pledged to {BANK}")
        if await self._asked_within(self._pause_s):
            return False
        refused = await self._register.act(
            self._parties[DEPOSITOR],
            pledged_twice.receipt,
            "pledge",
            iso(self._clock.now_ms()),
            pledgee=OTHER_BANK,
        )
        self.refusal = refused if isinstance(refused, Refusal) else None
        if await self._asked_within(self._pause_s):
            return False
        stolen_from.building.send(signal.SIGUSR1)
        return not await self._asked_within(self._pause_s)

    @property
    def _pause_s(self) -> float:
        """Between two beats of the second part."""
        return (1 - AT_SEA) * self._options.seconds / 6

    async def _act(self, by: Party, receipt: str, kind: str, **says: Any) -> None:
        answer = await self._register.act(by, receipt, kind, iso(self._clock.now_ms()), **says)
        if isinstance(answer, Refusal):
            raise DemoError(f"{kind} of {receipt} by {by.id} is refused: {answer.why}")

    async def _watch(self) -> None:
        """Look at both ends, and tell what is new. Who answers too slowly on a busy machine is asked again; who has
        ended is found out at the next look."""
        while True:
            with contextlib.suppress(httpx2.TransportError):
                await self._look()
                await self._tell_beats()
            await asyncio.sleep(POLL_S)

    async def _look(self) -> None:
        for task in self._tasks:
            if task.done():
                task.result()
        self._troupe.check()
        # All of it is asked before any of it is told, so that nothing is left out when an answer does not come.
        page = await self.cloud(f"/events?after_entry={self._after_entry}")
        messages = await self.core(f"/ledger/messages?after={self._after_message}")
        ledger = await self.core("/ledger")
        status = await self.cloud("/status")
        self._after_entry = page["next_after_entry"]
        self.events += page["events"]
        self._after_message = messages[-1]["arrival"] if messages else self._after_message
        self._teller.news(page["events"], messages, self._new_movements(ledger))
        self._teller.now(self._clock.now_ms(), status)

    async def _tell_beats(self) -> None:
        """Ask of each beat that is not told yet whether it has happened."""
        known = {one.beat for one in self._stage.told}
        for name, ask in self._beats.items():
            if name in known:
                continue
            told = await ask(self)
            if told is not None and told.has_happened:
                told = told._replace(at_ms=told.at_ms or self._clock.now_ms())
                self._stage.told.append(told)
                self._teller.beat(told)
            if name == "fleet" and told is not None and self.map_moves_after_s is None:
                self.map_moves_after_s = time.monotonic() - self._began

    def _new_movements(self, ledger: dict[str, Any]) -> list[dict[str, Any]]:
        """Money that has moved since the last look."""
        found = [
            {**one, "facility": facility, "currency": known["currency"]}
            for facility, known in ledger["facilities"].items()
            for one in known["movements"]
            if (facility, one["id"]) not in self._moved
        ]
        self._moved.update((one["facility"], one["id"]) for one in found)
        return found

    async def _ask(self, method: str, port: int, path: str, document: Any = None) -> Any:
        """What a program answers. Whatever is asked here may be asked twice."""
        url = f"http://127.0.0.1:{port}{path}"
        try:
            answer = await self._http.request(method, url, json=document)
        except httpx2.TransportError:
            # A server lets go of a connection that was idle, maybe in the moment in which it is used again.
            answer = await self._http.request(method, url, json=document)
        if not answer.is_success:
            raise DemoError(f"{method} {path} is answered with {answer.status_code}: {answer.text[:2_000]}")
        return answer.json()

    async def _amend(self, document: dict[str, Any]) -> Any:
        return await self._ask("POST", self._ports.api, "/book/amendments", document)

    async def _settle(self) -> None:
        """The devices stop measuring; what is kept and what is in the outbox gets its time to arrive."""
        self._teller.say("Ending: the devices send what they have, then it is counted. Ctrl-C again ends at once.")
        self._trackers.is_measuring = False
        await self._pokes.until_mended()
        await self._troupe.stop(self._devices)
        self._measured = await self._statuses()
        deadline = time.monotonic() + DRAIN_PATIENCE_S
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx2.HTTPError):
                status = await self.cloud("/status")
                if not self._trackers.is_all_committed():
                    pass
                elif status["readings"] < sum(one["measured"] for one in self._measured.values()):
                    await self._send_the_rest()
                elif await self._all_is_told():
                    break
            await asyncio.sleep(0.3)
        with contextlib.suppress(httpx2.HTTPError, DemoError):
            await self._look()

    async def _all_is_told(self) -> bool:
        """Whether no message is under way, no money that messages have moved, and no message that followed from that:
        asked in this order, since each is there before what it follows from is done."""
        before = await self.cloud("/status")
        ledger = await self.core("/ledger")
        after = await self.cloud("/status")
        is_sent = before["counts"]["outbox_pending"] == after["counts"]["outbox_pending"] == 0
        return is_sent and not any(both_ends.untold(one) for one in ledger["facilities"].values())

    async def _send_the_rest(self) -> None:
        """An agent that stops sends what it has; one more start lets it hear what was committed meanwhile. It then has
        no sensors; a gateway measures a moment longer, which is counted as well."""
        for one in AGENTS:
            self._write(
                f"{one.name}.toml", files.agent(one, self._folder, self._ports.mqtt, self._cycle_s, sensors=False)
            )
        started = [name for name in self._devices if name in self._troupe]
        for name in started:
            await self._troupe.wake(name)
        await asyncio.sleep(3)
        await self._troupe.stop(started)
        self._measured = await self._statuses()

    async def _statuses(self) -> dict[str, dict[str, Any]]:
        """What each device has counted, by its name."""
        started = [one for one in self._sites if one.gateway.name in self._troupe]
        agents = asyncio.gather(*(self._said_by(one, "status", "--json") for one in AGENTS))
        gateways = asyncio.gather(*(one.said_by_gateway("status", "--json") for one in started))
        said = dict(zip((one.device for one in AGENTS), await agents, strict=True))
        said |= {zone["device"]: zone for zones in await gateways for zone in zones}
        return said | {one.device: {"measured": one.measured, "refused": 0} for one in self._by_name.values()}

    async def _counted(self, found: Sequence[Told] | None) -> dict[str, Any]:
        """The report. The cloud stops first: what it says and sends until it ends is then in its journal, and in the
        bank's ledger."""
        known = await self.cloud("/book")
        milestones = [await self.cloud(f"/milestones/{one['id']}") for one in await self.cloud("/milestones")]
        chains = both_ends.chains(await self.cloud("/devices?limit=1000"))
        await self._troupe.stop(["cloud"])
        ledger = await self.core("/ledger")
        await self._troupe.stop(["bank"])
        report = await count(self._folder, self._measured, ledger, known, milestones, self._teller.say)
        return report | {"chains": chains} | self._told_so_far(found or ())

    def _told_so_far(self, found: Sequence[Told]) -> dict[str, Any]:
        """What a report says of the story."""
        return {
            "beats": [one.as_json() for one in found],
            "poked": [one.en for one in self._stage.poked],
            "map_moves_after_s": self.map_moves_after_s and round(self.map_moves_after_s, 1),
            "seconds": round(time.monotonic() - self._began, 1),
        }

    async def _said_by(self, one: Container, *command: str) -> dict[str, Any]:
        """What a device's own program prints."""
        said: dict[str, Any] = json.loads(
            await output_of("pledgewatch_edge", *command, "--config", str(self._folder / f"{one.name}.toml"))
        )
        return said

    async def _end_programs(self) -> None:
        await self._troupe.end(now=self._ending.is_now)

    def _write(self, name: str, text: str) -> None:
        (self._folder / name).write_text(text, encoding="utf-8")


def _first(group: ExceptionGroup[Exception]) -> Exception:
    """The first of what went wrong side by side: the others followed from it."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error
