"""The demo: the main job, with real programs, on simulated devices.

It starts the sandbox core, the cloud service with its embedded broker, and three edge agents; it is the world that they
measure: receivers on ptys, a one-wire tree, containers under way, a buyer who pays. It watches from outside, by the API
and the core's ledger, tells what happens, and at the end counts at both ends and compares.
"""

import asyncio
import contextlib
import json
import re
import shutil
import signal
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import httpx2

from pledgewatch_sim import both_ends
from pledgewatch_sim.bank.settings import make_secret
from pledgewatch_sim.clock import SimulationClock
from pledgewatch_sim.onewire import OneWireTree
from pledgewatch_sim.programs import Program, free_port, output_of
from pledgewatch_sim.pty_port import PtyPort
from pledgewatch_sim.receiver import Receiver, ReceiverFaults, ReceiverSettings
from pledgewatch_sim.story import CHARACTERS, OPERATOR, SILENT_AFTER, Character, Script, book
from pledgewatch_sim.teller import Teller

STORY_DAYS = 12
START_ALLOWANCE_MS = 7_000
EARLIER = "earlier"
DAY_MS = 86_400_000
CYCLE_S = 0.25
START_PATIENCE_S = 60.0
DRAIN_PATIENCE_S = 45.0
POLL_S = 0.4
# All attempts of a message within half a minute: whoever is refused by bad luck several times in a row is still heard
# before DRAIN_PATIENCE_S is over.
RETRY_SCALE = 0.0001
_STOPPED = re.compile(r"stopped at entry \d+, state ([0-9a-f]{64})")
_FAULTS = ReceiverFaults(garbage=0.02, flipped_bit=0.02, cut_sentence=0.02)


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What was asked for. `folder` None: a temporary one, removed at the end."""

    seconds: float
    headless: bool
    report: Path | None
    folder: Path | None
    seed: int


class DemoError(Exception):
    """The demo cannot go on; the sentence says why."""


class _Ending:
    """How the story is told to end: once, and what was measured is still sent and counted; twice, and it ends at once,
    as it does when the terminal is closed."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.is_now = False
        self._demo = asyncio.current_task()

    def ask(self) -> None:
        """SIGINT or SIGTERM."""
        if self.asked.is_set():
            self.now()
        self.asked.set()

    def now(self) -> None:
        """SIGHUP, or asked twice. What ends the programs is not itself ended by a third time."""
        if not self.is_now and self._demo is not None:
            self.is_now = True
            self._demo.cancel()


async def run(options: DemoOptions) -> int:
    """Run the demo. Returns 0 where both ends agree or it was ended at once, 1 where they do not agree."""
    ending = _Ending()
    loop = asyncio.get_running_loop()
    for number, heard in ((signal.SIGINT, ending.ask), (signal.SIGTERM, ending.ask), (signal.SIGHUP, ending.now)):
        signal.signal(number, lambda *_, heard=heard: loop.call_soon_threadsafe(heard))
    try:
        if options.report is not None:
            options.report.open("a", encoding="utf-8").close()  # found out now, not when all is told
        # The programs run in folders of their own: a name relative to this one would lead them astray.
        folder = options.folder.resolve() if options.folder else Path(tempfile.mkdtemp(prefix="pledgewatch-demo-"))
        if options.folder is not None:
            _make_room(folder)
    except OSError as error:
        raise DemoError(f"{error.filename} cannot be used: {error.strerror}") from None
    try:
        return await _Demo(options, folder, ending).run()
    except asyncio.CancelledError:
        if not ending.is_now:
            raise
        print("Ended at once: nothing was counted.")
        return 0
    finally:
        # Python gives its signals back while it ends: who presses the keys once more then meets no traceback.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)


def _make_room(folder: Path) -> None:
    """Make the folder; what an earlier demo left there is kept in a folder of its own. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "cloud.toml").exists():
        kept = folder / EARLIER / str(len(list((folder / EARLIER).glob("*"))) + 1)
        kept.mkdir(parents=True)
        for one in folder.iterdir():
            if one.name != EARLIER:
                one.rename(kept / one.name)


class _Demo:
    """One run: the programs, the world around them, and who watches."""

    def __init__(self, options: DemoOptions, folder: Path, ending: _Ending) -> None:
        self._options = options
        self._folder = folder
        self._ending = ending
        self._random = Random(options.seed)
        self._mqtt_port, self._api_port, self._core_port = free_port(), free_port(), free_port()
        speed = STORY_DAYS * DAY_MS / (options.seconds * 1_000)
        start_ms = time.time_ns() // 1_000_000 - STORY_DAYS * DAY_MS
        # The story begins when everybody is up.
        anchor_ms = time.time_ns() // 1_000_000 + START_ALLOWANCE_MS
        # After the story time goes on like everybody's: who is counted slowly does not fall silent meanwhile.
        self._clock = SimulationClock(start_ms, speed, anchor_ms, start_ms + STORY_DAYS * DAY_MS)
        self._script = Script(start_ms, STORY_DAYS * DAY_MS)
        self._teller = Teller(CHARACTERS, headless=options.headless)
        self._programs: list[Program] = []
        self._http = httpx2.AsyncClient(timeout=10)
        self._events: Counter[str] = Counter()
        self._after_entry = 0
        self._after_message = 0
        self._powerless: set[str] = set()
        self._moved: set[tuple[str, str]] = set()

    async def run(self) -> int:
        began = time.monotonic()
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self._stop_all)
            stack.push_async_callback(self._http.aclose)
            stack.enter_context(self._teller)
            try:
                await self._story(stack)
            except _Interrupted:
                self._teller.say("Stopped before the story began: nothing was measured.")
                return 0
            if self._ending.asked.is_set():
                self._teller.say(
                    "Ending: the devices send what they have, then it is counted. Ctrl-C again ends at once."
                )
            await self._settle()
            report = await self._count(time.monotonic() - began)
        found = both_ends.disagreements(report, is_ended_early=self._ending.asked.is_set())
        self._teller.end(report, found)
        if self._options.report is not None:
            text = json.dumps(report, indent=2) + "\n"
            await asyncio.to_thread(self._options.report.write_text, text, encoding="utf-8")
        return 1 if found else 0

    async def _story(self, stack: contextlib.AsyncExitStack) -> None:
        ports = {
            one.name: await stack.enter_async_context(PtyPort(self._folder / one.name / "gps"))
            for one in self._prepare()
        }
        await self._start_programs()
        self._teller.address(f"http://127.0.0.1:{self._api_port}", f"http://127.0.0.1:{self._core_port}/ledger")
        await self._until_the_story_begins()
        try:
            async with asyncio.TaskGroup() as group:
                world = [group.create_task(self._container(one, ports[one.name]), name=one.name) for one in CHARACTERS]
                world.append(group.create_task(self._watch(), name="watch"))
                await self._asked_within(self._options.seconds)
                for task in world:
                    task.cancel()
        except ExceptionGroup as errors:
            raise _first(errors) from None

    async def _until_the_story_begins(self) -> None:
        while (rest_ms := self._script.start_ms - self._clock.now_ms()) > 0:
            if await self._asked_within(rest_ms / self._clock.speed / 1_000):
                raise _Interrupted

    async def _asked_within(self, seconds: float) -> bool:
        """Wait for so long, or until somebody asks for the end: whether that was so."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ending.asked.wait()
        return self._ending.asked.is_set()

    def _prepare(self) -> tuple[Character, ...]:
        """Folders and configuration files of everybody, and what the probes say before the story begins."""
        make_secret(self._folder / "webhook.secret")
        for one in CHARACTERS:
            (self._folder / one.name).mkdir(exist_ok=True)
            self._tree(one).refresh()
            self._write(f"{one.name}.toml", self._edge_file(one))
        self._write("bank.toml", self._bank_file())
        self._write("cloud.toml", self._cloud_file())
        return CHARACTERS

    async def _start_programs(self) -> None:
        """Identities first, for the book; then core, cloud, agents. The core is there before anybody speaks to it: the
        demo's schedule of attempts is short, and none of them should be spent on a program that is being started."""
        await self._start("bank", "pledgewatch_sim", "bank")
        said = await asyncio.gather(*(self._said_by("identity", one) for one in CHARACTERS))
        identities = {one.device: its["public_key"] for one, its in zip(CHARACTERS, said, strict=True)}
        silent_after_s = round(self._script.length_ms / 1_000 * SILENT_AFTER)
        known = book(identities, silent_after_s)
        self._write("book.json", json.dumps(known))
        await self._until_up(f"http://127.0.0.1:{self._core_port}/healthz", "bank")
        await self._start("cloud", "pledgewatch_cloud", "run")
        await self._until_up(f"http://127.0.0.1:{self._api_port}/healthz", "cloud")
        for facility in known["facilities"]:
            # What was lent before the story: the bank knows it by itself, the cloud from the book.
            opening = {name: facility[name] for name in ("id", "currency", "outstanding_minor")}
            await self._ask("POST", self._core_port, "/facilities", opening)
        for one in CHARACTERS:
            await self._start(one.name, "pledgewatch_edge", "run")

    async def _start(self, name: str, module: str, command: str) -> None:
        program = Program(name, module, [command, "--config", str(self._folder / f"{name}.toml")], self._folder)
        await program.start()
        self._programs.append(program)

    async def _until_up(self, url: str, name: str) -> None:
        program = next(one for one in self._programs if one.name == name)
        deadline = time.monotonic() + START_PATIENCE_S
        while time.monotonic() < deadline:
            if not program.running:
                raise DemoError(f"{name} ended at once:\n{program.last_words()}")
            if self._ending.asked.is_set():
                raise _Interrupted
            with contextlib.suppress(httpx2.HTTPError):
                if (await self._http.get(url)).is_success:
                    return
            await asyncio.sleep(0.1)
        raise DemoError(f"{name} does not answer at {url}:\n{program.last_words()}")

    async def _container(self, one: Character, port: PtyPort) -> None:
        """A container's world: its receiver speaks, its probe is read, things happen to it."""
        settings = ReceiverSettings(interval_s=CYCLE_S, faults=_FAULTS)
        voyage = self._script.voyage(one)
        receiver = Receiver(self._clock, voyage.position, port, Random(self._random.random()), settings)
        tree = self._tree(one)
        async with asyncio.TaskGroup() as group:
            group.create_task(receiver.run(), name=f"{one.name} receiver")
            group.create_task(tree.run(CYCLE_S), name=f"{one.name} probes")
            if one.powerless:
                group.create_task(self._pull_the_plug(one), name=f"{one.name} powerless")
            if one.unplugged:
                group.create_task(self._unplug(one, port), name=f"{one.name} unplugged")
            if one.instalment:
                group.create_task(self._pay_instalment(one), name=f"{one.name} instalment")

    def _tree(self, one: Character) -> OneWireTree:
        probes = {_probe(one): self._script.temperature(one)}
        return OneWireTree(self._folder / one.name / "w1", probes, self._clock.now_ms)

    async def _pull_the_plug(self, one: Character) -> None:
        """The agent's power is cut (SIGKILL) and comes back: it goes on with the next number."""
        assert one.powerless is not None
        program = next(program for program in self._programs if program.name == one.name)
        await self._clock.sleep_until(self._script.at(one.powerless[0]))
        self._teller.say(f"[bold]{one.name}[/]: the device loses its power")
        self._powerless.add(one.name)
        await program.kill()
        await self._clock.sleep_until(self._script.at(one.powerless[1]))
        self._teller.say(f"[bold]{one.name}[/]: the power is back")
        await program.start()
        self._powerless.discard(one.name)

    async def _unplug(self, one: Character, port: PtyPort) -> None:
        """The receiver's plug comes out and is put back in."""
        assert one.unplugged is not None
        await self._clock.sleep_until(self._script.at(one.unplugged[0]))
        self._teller.say(f"[bold]{one.name}[/]: the GPS receiver's plug comes loose")
        port.unplug()
        await self._clock.sleep_until(self._script.at(one.unplugged[1]))
        self._teller.say(f"[bold]{one.name}[/]: the plug is put back in")
        port.plug()

    async def _pay_instalment(self, one: Character) -> None:
        """The buyer of the goods pays a part of their price to the bank, which takes it for the loan."""
        assert one.instalment is not None
        await self._clock.sleep_until(self._script.at(one.instalment))
        self._teller.say(f"[bold]{one.name}[/]: the buyer of the {one.goods} pays the bank a part of the price")
        paid = {
            "id": f"instalment-{one.name}",
            "facility": f"facility-{one.name}",
            "amount_minor": one.instalment_minor,
            "reference": f"invoice-{one.name}",
        }
        await self._ask("POST", self._core_port, "/repayments", paid)

    async def _watch(self) -> None:
        """Look at both ends, and tell what is new. Who answers too slowly on a busy machine is asked again; who has
        ended is found out at the next look."""
        while True:
            with contextlib.suppress(httpx2.TransportError):
                await self._look()
            await asyncio.sleep(POLL_S)

    async def _look(self) -> None:
        for program in self._programs:
            if not program.running and program.name not in self._powerless:
                raise DemoError(f"{program.name} has ended:\n{program.last_words()}")
        # All of it is asked before any of it is told, so that nothing is left out when an answer does not come.
        page = await self._get(self._api_port, f"/events?after_entry={self._after_entry}")
        messages = await self._get(self._core_port, f"/ledger/messages?after={self._after_message}")
        ledger = await self._get(self._core_port, "/ledger")
        assets = await self._get(self._api_port, "/assets")
        status = await self._get(self._api_port, "/status")
        self._after_entry = page["next_after_entry"]
        self._events.update(one["type"] for one in page["events"])
        self._after_message = messages[-1]["arrival"] if messages else self._after_message
        self._teller.news(page["events"], messages, self._new_movements(ledger))
        self._teller.now(self._clock.now_ms(), assets, status)

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

    async def _get(self, port: int, path: str) -> Any:
        return await self._ask("GET", port, path)

    async def _ask(self, method: str, port: int, path: str, document: Any = None) -> Any:
        """What a program answers. Whatever is asked here may be asked twice."""
        url = f"http://127.0.0.1:{port}{path}"
        try:
            answer = await self._http.request(method, url, json=document)
        except httpx2.TransportError:
            # A server lets go of a connection that was idle, maybe in the moment in which it is used again.
            answer = await self._http.request(method, url, json=document)
        answer.raise_for_status()
        return answer.json()

    async def _settle(self) -> None:
        """The devices stop measuring; what is spooled and what is in the outbox gets its time to arrive."""
        await self._stop_agents()
        # An agent that stops sends what it has; one more start lets it hear what was committed meanwhile.
        deadline = time.monotonic() + DRAIN_PATIENCE_S
        while time.monotonic() < deadline:
            measured = sum(one["measured"] for one in await self._statuses())
            with contextlib.suppress(httpx2.HTTPError):
                status = await self._get(self._api_port, "/status")
                if status["readings"] < measured:
                    await self._send_the_rest()
                elif await self._all_is_told():
                    break
            await asyncio.sleep(0.3)
        with contextlib.suppress(httpx2.HTTPError, DemoError):
            self._programs = [one for one in self._programs if one.running]
            await self._look()

    async def _all_is_told(self) -> bool:
        """Whether no message is under way, no money that messages have moved, and no message that followed from that:
        asked in this order, since each is there before what it follows from is done."""
        before = await self._get(self._api_port, "/status")
        ledger = await self._get(self._core_port, "/ledger")
        after = await self._get(self._api_port, "/status")
        is_sent = before["counts"]["outbox_pending"] == after["counts"]["outbox_pending"] == 0
        return is_sent and not any(both_ends.untold(one) for one in ledger["facilities"].values())

    async def _send_the_rest(self) -> None:
        """Agents whose sensors are gone: they send what is spooled, and measure nothing more."""
        for one in CHARACTERS:
            program = Program(
                one.name,
                "pledgewatch_edge",
                ["run", "--config", str(self._folder / f"{one.name}-drain.toml")],
                self._folder,
            )
            self._write(f"{one.name}-drain.toml", self._edge_file(one, sensors=False))
            await program.start()
            self._programs.append(program)
        await asyncio.sleep(3)
        await self._stop_agents()

    async def _stop_agents(self) -> None:
        """All of them side by side: each takes its time to send what it has."""
        async with asyncio.TaskGroup() as group:
            for program in self._programs:
                if program.name not in {"bank", "cloud"}:
                    group.create_task(program.stop(), name=f"stop {program.name}")

    async def _count(self, seconds: float) -> dict[str, Any]:
        """What each end says: the devices' own counters, the journal read back, the outbox, the core's ledger."""
        said = dict(zip((one.device for one in CHARACTERS), await self._statuses(), strict=True))
        measured = {device: one["measured"] for device, one in said.items()}
        known = await self._get(self._api_port, "/book")
        milestones = [
            await self._get(self._api_port, f"/milestones/{one['id']}")
            for one in await self._get(self._api_port, "/milestones")
        ]
        # The cloud first: what it says and sends until it ends is then in its journal, and in the bank's ledger.
        await self._stop_one("cloud")
        ledger = await self._get(self._core_port, "/ledger")
        await self._stop_one("bank")
        data = str(self._folder / "data")
        replayed = json.loads(await output_of("pledgewatch_cloud", "replay", "--by-device", "--data", data))
        outbox = json.loads(await output_of("pledgewatch_cloud", "outbox", "--endpoints", "--data", data))
        held = replayed["by_device"]
        return {
            "readings": {
                "measured": sum(measured.values()),
                "committed": replayed["identities"],
                "lost": sum(max(0, count - held.get(device, 0)) for device, count in measured.items()),
                "duplicated": replayed["readings"] - replayed["identities"],
                "refused": sum(one["refused"] for one in said.values()),
            },
            "events": dict(sorted(self._events.items())),
            "messages": {
                "sent": replayed["messages"],
                "delivered": outbox["delivered"],
                "waiting": outbox["pending"],
                "verified": ledger["counts"]["booked"],
                "duplicated": ledger["counts"]["double_releases"] + ledger["counts"]["conflicts"],
            },
            "money": both_ends.money(ledger, known),
            "milestones": {
                one["id"]: {
                    "state": one["state"],
                    "missing": [f"{fact['words']} ({fact['missing']})" for fact in one["facts"] if not fact["holds"]],
                }
                for one in milestones
            },
            "journal": {
                "entries": replayed["entries"],
                "digest": replayed["digest"],
                "service_digest": _state_of_the_service(self._folder / "cloud.log"),
            },
            "seconds": round(seconds, 1),
        }

    async def _statuses(self) -> list[dict[str, Any]]:
        """What each device has counted."""
        return await asyncio.gather(*(self._said_by("status", one) for one in CHARACTERS))

    async def _said_by(self, command: str, one: Character) -> dict[str, Any]:
        """What a device's own program prints."""
        said: dict[str, Any] = json.loads(
            await output_of("pledgewatch_edge", command, "--config", str(self._folder / f"{one.name}.toml"))
        )
        return said

    async def _stop_one(self, name: str) -> None:
        for program in self._programs:
            if program.name == name:
                await program.stop()

    async def _stop_all(self) -> None:
        for program in reversed(self._programs):
            await (program.kill() if self._ending.is_now else program.stop())

    def _write(self, name: str, text: str) -> None:
        (self._folder / name).write_text(text, encoding="utf-8")

    def _edge_file(self, one: Character, *, sensors: bool = True) -> str:
        own = self._folder / one.name
        sections = f"""
[device]
operator = "{OPERATOR}"
name = "{one.device}"
state_folder = {_text(own / "state")}
[broker]
host = "127.0.0.1"
port = {self._mqtt_port}
protocol = "3.1.1"
keep_alive_s = 10
reconnect_max_s = 2.0
[uplink]
resend_after_s = 5.0
[checkpoint]
every_readings = 20
every_s = 5.0
"""
        # A port that is never there: an agent that only sends what it has.
        sections += f"""
[clock]
trust_system = false
[gps]
port = {_text(own / ("gps" if sensors else "nothing"))}
baud = 115200
"""
        if sensors:
            sections += f"""
[onewire]
root = {_text(own / "w1")}
interval_s = {CYCLE_S * 2}
probes = ["{_probe(one)}"]
"""
        return sections

    def _bank_file(self) -> str:
        return f"""
[bank]
port = {self._core_port}
database = {_text(self._folder / "ledger.sqlite")}
secret_files = [{_text(self._folder / "webhook.secret")}]
[pledgewatch]
url = "http://127.0.0.1:{self._api_port}"
retry_max_s = 1.0
{self._clock_section()}
[misbehave]
answer_500_share = 0.1
lose_answer_share = 0.1
seed = {self._options.seed}
"""

    def _cloud_file(self) -> str:
        return f"""
[service]
data_folder = {_text(self._folder / "data")}
[broker]
embedded = true
port = {self._mqtt_port}
protocol = "3.1.1"
[ingest]
committed_after_readings = 40
committed_after_s = 3.0
tick_s = 0.5
hearing_grace_s = 0.5
snapshot_every_entries = 200
[api]
port = {self._api_port}
[core]
url = "http://127.0.0.1:{self._core_port}/messages"
secret_files = [{_text(self._folder / "webhook.secret")}]
allow_private_networks = true
retry_scale = {RETRY_SCALE}
lag_alert_s = 1e9
[book]
files = [{_text(self._folder / "book.json")}]
{self._clock_section()}
"""

    def _clock_section(self) -> str:
        """One time for the cloud, and for the bank's money."""
        clock = self._clock
        return f"""[clock]
simulated_start_ms = {clock.start_ms}
speed = {clock.speed}
anchor_ms = {clock.anchor_ms}
simulated_end_ms = {clock.end_ms}"""


def _first(group: ExceptionGroup[Exception]) -> Exception:
    """The first of what went wrong side by side: the others followed from it."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error


class _Interrupted(Exception):  # noqa: N818 - a person's wish
    """Ctrl-C."""


def _text(path: Path) -> str:
    """A path as TOML writes a text, whatever is in it: JSON's way of writing one is a part of TOML's."""
    return json.dumps(str(path), ensure_ascii=False)


def _probe(one: Character) -> str:
    return f"28-{sum(one.name.encode()):012x}"


def _state_of_the_service(cloud_log: Path) -> str:
    """The digest of the state that the service said it had when it stopped."""
    said = _STOPPED.findall(cloud_log.read_text(encoding="utf-8", errors="replace"))
    return str(said[-1]) if said else ""
