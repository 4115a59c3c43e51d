"""The one that cares for a station from afar: hears, refuses, tries, goes back, answers.

Who may say anything is whoever holds the private half of `care.pub`, a file of the state folder; without it everything
is refused. What is signed must also be for this device, and new: its version or id is higher than what the ledger
remembers, and its end has not come. The end is judged by the device's clock where that is worth anything; in 1970 the
counters alone stand against a replay, and they suffice: whatever was decided about once is never decided about again.

Settings are tried before they are kept. The station is run anew with them; when the cloud has what that station was the
first to send, they are the good ones, and when it is not within `rollback_after_s`, or the station cannot even run, the
ones before are back. Until then its spool has the wider bounds of both, for what is thinned does not come back. What
the broker says proves nothing: it has a retained message ready whether a cloud listens or not, and its session keeps
for the device what the cloud said before, a `committed` as well as a command.

What is said to the cloud, a restart must find. So what cannot be noted is not done: settings are not tried, a trial is
not started, and it goes on though it is proven. That it is given up is done at once, for the uplink is gone, and said
when the disk takes it. Until then a restart would find it on trial.

What is noted is noted to its end. A station ends and a link falls away at any moment, and whoever waits for the disk is
cancelled then; but the thread that writes is not, and the next one must neither write beside it nor be overtaken by it.
So a cancellation waits until what was decided is on the disk and known to whoever acts on it.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from pledgewatch_edge.body import to_its_end
from pledgewatch_edge.care import acts
from pledgewatch_edge.care import ledger as ledger_module
from pledgewatch_edge.care.acts import RefusedError
from pledgewatch_edge.care.ledger import IDS_MAX, LEDGER_FILE, STARTS_MAX, Ledger, LedgerError, Overlay, Trial
from pledgewatch_edge.care.untold import secrets_of, without
from pledgewatch_edge.config import DeviceSettings, SpoolSettings, StationSettings
from pledgewatch_edge.logs import LastLines, World
from pledgewatch_edge.station import Station
from pledgewatch_edge.uplink import Hearer
from pledgewatch_wire.care import (
    Answer,
    Became,
    Command,
    Desired,
    UnsignedError,
    What,
    check_command,
    encode_answer,
    read_command,
    read_settings,
)
from pledgewatch_wire.codec import PayloadError
from pledgewatch_wire.reading import Clock
from pledgewatch_wire.topics import Kind

CARE_KEY_FILE: Final = "care.pub"
QUEUE_MAX: Final = 8
REFUSE_EVERY_S: Final = 600.0
TICKS: Final = 60  # of a trial's time, each noted on the disk
LOOK_S: Final = 20.0  # for the check of settings, of which a file may hang; systemd waits longer when it stops us
RUNS_S: Final = 600.0  # after which a station can run with its settings
DISK_AGAIN_S: Final = 60.0  # before a disk that refuses is asked again, where a trial waits for it
_DISK: Final = "the disk does not take it, so nothing is done; send it again later"
_DISK_LATER: Final = "the disk does not take it, so nothing is done; it is tried when the disk is well"
log = logging.getLogger(__name__)


class Body(Protocol):
    """A running station, as care reaches into it. What cannot be done raises RefusedError."""

    @property
    def words(self) -> int:
        """How often a `committed` was heard that covers a reading which no station before this one can have sent."""
        ...

    async def begin_trial(self) -> None:
        """Give the cloud such a reading to commit, and ask it to say so."""
        ...

    async def keep_within(self, kept: SpoolSettings) -> None:
        """Have the spool keep to these bounds from now on."""
        ...

    async def answer(self, data: bytes) -> None:
        """Say an answer; returns when the broker has it."""
        ...

    async def report_now(self) -> str:
        """Have every sensor measure and send all that is spooled; what came of it."""
        ...

    async def resend(self, epoch: int, first: int, last: int) -> str:
        """Send readings once more; what of them is still here."""
        ...

    def facts(self) -> Mapping[str, Any]:
        """How spool, uplink and sensors stand, as JSON can hold it."""
        ...


class Care:
    """The care of one station over its whole life. `make` gives the station of an overlay, and raises ValueError where
    that may not be set or does not pass the check; `now` is the device's clock."""

    def __init__(
        self,
        settings: StationSettings,
        make: Callable[[str], Station],
        now: Callable[[], tuple[int, Clock]],
        *,
        leds: Path = acts.LEDS,
    ) -> None:
        self._device: DeviceSettings = settings.device
        self._terms = settings.care
        self._folder = settings.device.state_folder
        self._make = make
        self._now = now
        self._leds = leds
        self._lock = asyncio.Lock()
        self._news = asyncio.Event()
        self._commands: asyncio.Queue[Command] = asyncio.Queue(QUEUE_MAX)
        self._is_ending = False  # no station after the one that ran carries out what comes now
        self._lines = LastLines(self._terms.log_lines)
        self._ledger = Ledger()
        self._damaged: str | None = None  # why the ledger cannot be read; None before it was
        self._postponed = 0, b""  # settings that the disk did not take: their version, and as they were said
        self._given_up: tuple[int, str] | None = None  # a trial that is over, and why: as long as the disk has it still
        self._disk = World(log, "disk for what is cared for")
        self._secrets: frozenset[str] = frozenset()  # as they were when the station began; a file may be another since
        self._said_at: dict[tuple[int, int, Became], float] = {}  # what was said to a replay, and when
        self._untaken_at: dict[tuple[int, int], float] = {}  # what the disk did not take, and when: versions and ids
        self._refused_at = {Kind.SETTINGS: -REFUSE_EVERY_S, Kind.COMMAND: -REFUSE_EVERY_S}
        self._station: Station | None = None
        self._on_trial = 0  # the version that the running station tries; 0 where it runs with what is good
        self._runs_with = 0  # the version that it has; 0 where that is what the technician wrote
        self._put_off = 0  # the version whose trial ended for the disk: until that was asked again, the good ones run
        self._kept: SpoolSettings | None = None  # the bounds that a spool has once the trial is proven
        self.changed = asyncio.Event()

    @property
    def hearers(self) -> Mapping[Kind, Hearer]:
        """Who takes what the cloud says of care."""
        return {Kind.SETTINGS: self._hear_settings, Kind.COMMAND: self._hear_command}

    def next_station(self) -> Station:
        """The station to run now: of the trial, where there is one that may still be started, else of the good
        settings; of what the technician wrote where those do not fit it any more. Raises ValueError where not even that
        passes.
        """
        self.changed.clear()
        self._on_trial = self._runs_with = 0
        if self._damaged is None or self._damaged:
            self._read()  # later the disk may not have what was decided since
        tried = self._start_of_trial() if self._has_given_up() and not self._is_put_off() else None
        if tried is not None:
            self._station = tried
            return tried
        self._station = self._made_of_good()
        return self._station

    def _made_of_good(self) -> Station:
        """The station of the good settings, or of what the technician wrote. Raises ValueError."""
        good = self._ledger.good
        if not good.toml or self._ledger.is_left_aside:
            return self._made("")
        try:
            station = self._made(good.toml)
        except ValueError as error:
            log.error("settings from afar left aside version=%d error=%r", good.version, str(error))
            return self._make("")
        self._runs_with = good.version
        return station

    def _start_of_trial(self) -> Station | None:
        """The station of the trial, if there is one that may be started and the disk takes it that it is."""
        trial = self._ledger.trial
        if trial is None:
            return None
        if trial.starts >= STARTS_MAX:
            self._give_up(trial, f"the station was started {trial.starts} times with it")
            return None
        if not self._is_kept(replace(self._ledger, trial=replace(trial, starts=trial.starts + 1))):
            return None
        try:
            station = self._with_room(self._made(trial.toml))
        except ValueError as error:
            self._give_up(trial, str(error))
            return None
        log.info("settings tried version=%d start=%d", trial.version, trial.starts + 1)
        self._on_trial = self._runs_with = trial.version
        return station

    def _with_room(self, station: Station) -> Station:
        """The station of a trial, whose spool drops nothing that it would keep without the trial. Raises ValueError."""
        self._kept = kept = station.settings.spool
        with contextlib.suppress(ValueError):  # without the trial there is none
            kept = kept.wide_as(self._made_of_good().settings.spool)
        return station._replace(settings=replace(station.settings, spool=kept))

    def _made(self, toml: str) -> Station:
        """The station of an overlay. Raises ValueError and nothing else: what comes from afar may not end the agent,
        whatever it finds in the program, or no cure could come from afar any more."""
        try:
            return self._make(toml)
        except ValueError:
            raise
        except (Exception, SystemExit) as error:
            raise ValueError(f"they are more than this program can read ({type(error).__name__}: {error})") from error

    def go_back(self, why: str, *, is_of_disk: bool = False) -> bool:
        """Give up the settings that the station was run with, as it cannot run: at once where they are on trial, and
        good ones when that has been so too often. For its disk, or another agent on it, none are: a trial is put off,
        and where the good ones cannot run then either, its start does not count. Whether another station is to be run.
        """
        self._secrets |= self._secrets_now()
        trial, why = self._ledger.trial, self._told(why)
        if trial is not None and self._on_trial:
            if trial.version == self._on_trial and is_of_disk:
                log.warning("settings put off version=%d reason=%r", trial.version, why)
                self._put_off = trial.version
            elif trial.version == self._on_trial:
                self._give_up(trial, why)
            return True
        if trial is not None and is_of_disk and self._is_put_off():
            self._put_off = 0
            self._is_kept(replace(self._ledger, trial=replace(trial, starts=trial.starts - 1)))
        good = self._ledger.good
        if is_of_disk or not self._runs_with or self._runs_with != good.version:
            return False
        after = self._ledger.ended(f"left aside, as the station ended {STARTS_MAX} times with them; at last: {why}")
        if not self._is_kept(after) or not after.is_left_aside:
            return False
        log.error("settings left aside version=%d reason=%r", good.version, why)
        return True

    def _is_put_off(self) -> bool:
        """Whether the trial that there is waits for the disk, or for another agent to end."""
        trial = self._ledger.trial
        return trial is not None and trial.version == self._put_off

    def _told(self, text: str) -> str:
        """A text without secrets."""
        told: str = without(text, self._secrets)
        return told

    def _give_up(self, trial: Trial, why: str) -> None:
        """End a trial, whether the disk takes that or not."""
        log.error("settings rolled back version=%d reason=%r", trial.version, why)
        self._given_up = trial.version, why
        self._has_given_up()

    def _has_given_up(self) -> bool:
        """Note that a trial was given up, if that is not noted yet; whether nothing of the kind is left to be noted."""
        trial, given_up = self._ledger.trial, self._given_up
        if given_up is not None:
            is_there = trial is not None and trial.version == given_up[0]
            if is_there and not self._is_kept(self._ledger.rolled_back(f"rolled back: {given_up[1]}")):
                return False
        self._given_up = None
        return True

    async def run(self, body: Body) -> None:
        """Care for a running station until cancelled."""
        self._is_ending = False
        self._secrets |= await asyncio.to_thread(self._secrets_now)
        logger = logging.getLogger()
        logger.addHandler(self._lines)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._say(body), name="care-answers")
                group.create_task(self._act(body), name="care-commands")
                group.create_task(self._watch(body), name="care-trial")
                group.create_task(self._take_up(), name="care-postponed")
                group.create_task(self._last(), name="care-ends")
        finally:
            logger.removeHandler(self._lines)
            if not self.changed.is_set():
                self._is_ending = True
                await to_its_end(self._leave_commands())

    async def _leave_commands(self) -> None:
        """Forget the commands that wait, as they are in no file and nobody has begun them. The cloud, which has no
        answer, says them again when the device is back."""
        async with self._lock:
            waiting = []
            while not self._commands.empty():
                waiting.append(self._commands.get_nowait().id)
            if waiting:
                log.info("commands left for the next start ids=%s", waiting)
                await to_its_end(asyncio.to_thread(self._keep, self._ledger.not_begun(waiting)))

    async def _hear_settings(self, said: bytes) -> str | None:
        """Try settings, or refuse them. Nothing at all is said where the cloud has taken them back."""
        if not said:
            self._postponed = 0, b""
            return None
        return await to_its_end(self._settings_heard(said))

    async def _settings_heard(self, said: bytes) -> str | None:
        async with self._lock:
            before = self._ledger.trial
            refusal = await asyncio.to_thread(self._decide_settings, said)
            trial = self._ledger.trial
            if trial is not None and (before is None or before.version != trial.version):
                self.changed.set()
        self._news.set()
        return refusal

    def _decide_settings(self, said: bytes) -> str | None:
        try:
            desired = read_settings(said, self._key())
        except (UnsignedError, PayloadError, RefusedError) as error:
            return self._refuse_unproven(Kind.SETTINGS, error)
        version, now = desired.version, self._ledger
        if known := self._known(desired):
            return self._answer(known)
        if now.trial is None and desired.toml == now.good.toml and not now.is_left_aside:
            good = Overlay(version, desired.toml)
            done = Answer(version, 0, Became.DONE, "the same as was in force")
            after = replace(now, version=version, good=good, refused="", looked=None).answered(done)
            return None if self._is_decided(after, said, version) else _DISK_LATER
        why = ""
        if (looks := now.looks(version)) >= STARTS_MAX:
            why = f"the agent has ended {looks} times while it looked at them"
        elif not self._is_decided(now.looking(version), said, version):
            return _DISK_LATER
        else:
            why = self._fault(desired.toml)
        now = self._ledger
        if not self._is_decided(now.refusing(version, why) if why else now.tried(version, desired.toml), said, version):
            return _DISK_LATER
        if not why:
            log.info("settings taken version=%d", version)
        return why or None

    def _fault(self, toml: str) -> str:
        """Why settings do not pass the check; empty where they do. Whatever they name hangs a thread of its own."""
        found = [f"it has come to no end within {LOOK_S:g} s"]

        def look() -> None:
            try:
                self._made(toml)
                found.append("")
            except ValueError as error:
                found.append(str(error))

        thread = threading.Thread(target=copy_context().run, args=(look,), name="care-look", daemon=True)
        thread.start()
        thread.join(LOOK_S)
        return f"they do not pass the check: {found[-1]}" if found[-1] else ""

    def _is_decided(self, after: Ledger, said: bytes, version: int) -> bool:
        """Note what was decided about settings. Where the disk does not take it nothing was, and they wait for it."""
        before = replace(self._ledger, looked=None)
        is_noted = self._is_noted(after, before, Answer(version, 0, Became.POSTPONED, _DISK_LATER))
        if version >= self._postponed[0]:
            self._postponed = (0, b"") if is_noted else (version, said)
        return is_noted

    async def _take_up(self) -> None:
        """Decide about settings that the disk did not take, once it takes things again. Until then no more is said."""
        while True:
            await asyncio.sleep(DISK_AGAIN_S)
            if not self._postponed[0]:
                continue
            async with self._lock:
                is_well = await to_its_end(asyncio.to_thread(self._keep, self._ledger))
            if is_well:
                (_, said), self._postponed = self._postponed, (0, b"")
                await self._hear_settings(said)

    def _known(self, desired: Desired) -> Answer | None:
        """The answer to settings about which nothing is to be decided; None where they are new and for this device."""
        version, now = desired.version, self._ledger
        if why := self._not_for_us(desired.operator, desired.device, desired.expires_at_ms, "the word"):
            return ledger_module.refusal(version, why)
        if version == now.good.version:
            left_aside = Answer(version, 0, Became.LEFT_ASIDE, "left aside, as the station could not run with them")
            return left_aside if now.is_left_aside else Answer(version, 0, Became.DONE, "in force")
        if now.trial is not None and version == now.trial.version:
            is_over = self._given_up is not None and self._given_up[0] == version
            return Answer(version, 0, Became.TAKEN, "given up, which the disk does not take" if is_over else "on trial")
        if version == now.version and now.refused:
            return ledger_module.refusal(version, now.refused)
        if version <= now.version:
            return ledger_module.refusal(version, f"stale: version {now.version} came before, and versions only go up")
        return None

    async def _hear_command(self, said: bytes) -> str | None:
        """Note a command and have it carried out, or refuse it."""
        return await to_its_end(self._command_heard(said))

    async def _command_heard(self, said: bytes) -> str | None:
        async with self._lock:
            found = await asyncio.to_thread(self._decide_command, said)
        if isinstance(found, Command):
            self._commands.put_nowait(found)
            return None
        self._news.set()
        return found

    def _decide_command(self, said: bytes) -> Command | str | None:
        try:
            command = read_command(said, self._key())
        except (UnsignedError, PayloadError, RefusedError) as error:
            return self._refuse_unproven(Kind.COMMAND, error)
        why = self._not_for_us(command.operator, command.device, command.expires_at_ms, "the word")
        why = why or self._ledger.knows(command.id) or ""
        if not why and self._commands.full():
            why = f"{QUEUE_MAX} commands wait already; send it again later"
        try:
            check_command(command)
        except ValueError as error:
            why = why or f"{error}; this device may be older than it"
        if why:
            return self._answer(Answer(0, command.id, Became.REFUSED, why))
        if self._is_ending:
            return "the station ends; it is for the next one, when the cloud says it again"
        after = self._ledger.noted(command.id, "begun")
        return command if self._is_noted(after, self._ledger, Answer(0, command.id, Became.REFUSED, _DISK)) else _DISK

    def _not_for_us(self, operator: str, device: str, expires_at_ms: int, what: str) -> str:
        """Why something that is signed is not for this device now; empty where it is."""
        if (operator, device) != (self._device.operator, self._device.name):
            return f"{what} is for {operator}/{device}, and this is {self._device.operator}/{self._device.name}"
        now_ms, clock = self._now()
        if clock != Clock.UNSET and now_ms >= expires_at_ms:
            return f"stale: it ended {(now_ms - expires_at_ms) // 1000} s ago by this device's clock ({clock.name})"
        return self._damaged or ""

    def _refuse_unproven(self, kind: Kind, error: Exception) -> str:
        """Refuse what nobody stands for. The cloud is told now and then only: anybody may have sent it."""
        claimed = error.claimed if isinstance(error, UnsignedError) else 0
        version, command = (claimed, 0) if kind is Kind.SETTINGS else (0, claimed)
        now_s = time.monotonic()
        if now_s - self._refused_at[kind] >= REFUSE_EVERY_S:
            self._refused_at[kind] = now_s
            self._keep(self._ledger.answered(Answer(version, command, Became.REFUSED, str(error))))
        return str(error)

    def _answer(self, answer: Answer) -> str | None:
        """Answer without another word, and say in the log where that refuses. The same is said now and then only:
        whoever holds the broker has words that are signed, and could wear out the card with them."""
        now_s, what = time.monotonic(), (answer.version, answer.id, answer.became)
        said_at = {one: at_s for one, at_s in self._said_at.items() if now_s - at_s < REFUSE_EVERY_S}
        if what not in said_at and len(said_at) < IDS_MAX:
            said_at[what] = now_s
            self._keep(self._ledger.answered(answer))
        self._said_at = said_at
        return answer.text if answer.became is Became.REFUSED else None

    async def _say(self, body: Body) -> None:
        """Say what waits, oldest first, as the broker takes it. The cloud asks again for what it has not heard."""
        while True:
            while self._ledger.unsaid:
                answer = self._ledger.unsaid[0]
                text = await asyncio.to_thread(self._told, answer.text)
                await body.answer(encode_answer(answer._replace(text=text)))
                await self._note(partial(self._without, answer))
            await self._news.wait()
            self._news.clear()

    async def _act(self, body: Body) -> None:
        while True:
            command = await self._commands.get()
            log.info("command id=%d what=%s", command.id, What(command.what).name.lower())
            try:
                answer = await self._carry_out(command, body)
            except RefusedError as error:
                answer = Answer(0, command.id, Became.REFUSED, str(error))
            except asyncio.CancelledError:
                why = "other settings came" if self.changed.is_set() else "the station ended"
                answer = Answer(0, command.id, Became.REFUSED, f"cut short: {why}; it may have been done in part")
                await to_its_end(self._note(partial(self._carried_out, answer)))
                raise
            log.info("command id=%d became=%s text=%r", command.id, answer.became.name.lower(), answer.text)
            await to_its_end(self._note(partial(self._carried_out, answer)))
            self._news.set()

    async def _carry_out(self, command: Command, body: Body) -> Answer:
        """Raises RefusedError."""
        result = b""
        match command.what:
            case What.REPORT_NOW:
                text = await body.report_now()
            case What.RESEND_RANGE:
                text = await body.resend(command.epoch, command.first, command.last)
            case What.IDENTIFY:
                terms = self._terms
                text = await acts.identify(terms.identify_led, terms.identify_command, command.seconds, self._leds)
            case _:
                result = await asyncio.to_thread(self._bundle, body)
                text = f"{len(result)} bytes"
        return Answer(0, command.id, Became.DONE, text, result)

    def _bundle(self, body: Body) -> bytes:
        now_ms, clock = self._now()
        ledger = self._ledger
        settings = None if self._station is None else acts.told_of(self._station.settings)
        facts = {
            **body.facts(),
            "clock": {"now_ms": now_ms, "source": clock.name.lower()},
            "configuration": settings,
            "settings_from_afar": {"version": ledger.good.version, "trial": ledger.trial and ledger.trial.version},
        }
        self._secrets |= self._secrets_now()
        told: dict[str, Any] = without({**facts, "lines": tuple(self._lines.lines)}, self._secrets)
        lines: list[str] = told.pop("lines")
        return acts.bundle(told, lines)

    def _secrets_now(self) -> frozenset[str]:
        return frozenset() if self._station is None else secrets_of(self._station.settings, self._folder)

    async def _watch(self, body: Body) -> None:
        """See a trial through: proven when the cloud is heard, over when its time is spent. One that is not run, as the
        disk refuses, waits for the disk."""
        if not self._on_trial:
            await self._wait_for_disk()
            return
        await body.begin_trial()
        tick_s, looked_s = self._terms.rollback_after_s / TICKS, time.monotonic()
        while await self._is_undecided(body):
            await asyncio.sleep(min(tick_s, 1.0))
            now_s = time.monotonic()
            passed_s, looked_s = now_s - looked_s, now_s
            async with self._lock:
                trial = self._ledger.trial
                if trial is None or trial.version != self._on_trial:
                    return
                if body.words:  # it waits for a disk which may have that already, and no tick is written over it
                    continue
                spent_s = trial.spent_s + passed_s
                after = replace(self._ledger, trial=replace(trial, spent_s=spent_s))
                if spent_s // tick_s == trial.spent_s // tick_s:
                    self._ledger = after
                else:
                    await to_its_end(asyncio.to_thread(self._keep, after))

    async def _last(self) -> None:
        """Note that the station could run with the good settings, once it has for a while. That one could with those on
        trial says nothing of the good ones, which may be left aside."""
        await asyncio.sleep(RUNS_S)
        if self._runs_with and not self._on_trial and self._ledger.ends:
            await self._note(lambda: replace(self._ledger, ends=0))

    def _waits(self) -> bool:
        """Whether there is a trial, and no other station to be run yet."""
        return self._ledger.trial is not None and not self.changed.is_set()

    async def _wait_for_disk(self) -> None:
        """Until the disk takes it that the trial there is was given up, or may be started."""
        while self._waits():
            await asyncio.sleep(DISK_AGAIN_S)
            async with self._lock:
                if not self._waits():
                    return
                if self._given_up is None:
                    if await to_its_end(asyncio.to_thread(self._keep, self._ledger)):
                        self._put_off = 0
                        self.changed.set()
                        return
                elif await to_its_end(asyncio.to_thread(self._has_given_up)):
                    self._news.set()
                    return

    async def _is_undecided(self, body: Body) -> bool:
        """Decide about the trial that the running station is, if it is time; whether it goes on.

        Looked at under the lock: newer settings may come at any moment, and what this station hears says nothing of
        settings that no station has been run with.
        """
        async with self._lock:
            trial = self._ledger.trial
            if trial is None or trial.version != self._on_trial:
                return False
            if body.words:
                proven = self._ledger.proven("in force: the cloud was heard")
                if not await to_its_end(asyncio.to_thread(self._is_kept, proven)):
                    return True
                log.info("settings proven version=%d", trial.version)
                if self._kept is not None:
                    await body.keep_within(self._kept)
            elif trial.spent_s >= self._terms.rollback_after_s:
                self.go_back(f"the cloud was not heard within {self._terms.rollback_after_s:g} s")
                self.changed.set()
            else:
                return True
        self._news.set()
        return False

    def _without(self, answer: Answer) -> Ledger:
        return self._ledger.said(answer)

    def _carried_out(self, answer: Answer) -> Ledger:
        return self._ledger.noted(answer.id, f"{answer.became.name.lower()}: {answer.text}").answered(answer)

    async def _note(self, after: Callable[[], Ledger]) -> None:
        async with self._lock:
            await to_its_end(asyncio.to_thread(self._keep, after()))

    def _is_noted(self, after: Ledger, before: Ledger, refusal: Answer) -> bool:
        """Note what is to be done, or refuse it: what cannot be noted is not done, as nobody would know of it after a
        restart.

        A disk may fail when it has the new ledger in its place already, and a restart would find that. So the one that
        refuses takes the place then; where the disk takes nothing any more, what stands there is what is done.

        What the disk did not take is neither tried nor answered again for a while, unless it takes something else:
        whoever holds the broker has words that are signed.
        """
        now_s, what = time.monotonic(), (refusal.version, refusal.id)
        untaken = {one: at_s for one, at_s in self._untaken_at.items() if now_s - at_s < REFUSE_EVERY_S}
        if what in untaken or len(untaken) >= IDS_MAX:
            return False
        refused = before.answered(refusal)
        if self._is_kept(after):
            return True
        is_refused = self._keep(refused)
        self._untaken_at = untaken | {what: now_s}
        if is_refused:
            return False
        with contextlib.suppress(LedgerError):
            if ledger_module.read(self._folder) == after:
                self._ledger = after
                return True
        return False

    def _is_kept(self, after: Ledger) -> bool:
        """The ledger from now on, if the disk takes it; else all is as before, and may be tried again."""
        if not self._is_written(after):
            return False
        self._ledger = after
        return True

    def _keep(self, ledger: Ledger) -> bool:
        """The ledger from now on, whether the disk takes it or not; whether it did."""
        is_written = self._is_written(ledger)
        self._ledger = ledger  # not before: nobody is to act on what no restart would find
        return is_written

    def _is_written(self, ledger: Ledger) -> bool:
        """Put a ledger on the disk; whether it took it. That it does not is said."""
        if self._damaged:
            return False
        try:
            ledger_module.keep(self._folder, ledger)
        except OSError as error:
            self._disk.lost(f"{error.filename or self._folder / LEDGER_FILE}: {error.strerror}")
            return False
        self._disk.back()
        self._untaken_at = {}
        return True

    def _read(self) -> None:
        try:
            self._ledger, self._damaged = ledger_module.read(self._folder), ""
        except LedgerError as error:
            self._ledger, self._damaged = Ledger(), str(error)
            log.error("care refused until it is mended error=%r", self._damaged)

    def _key(self) -> Ed25519PublicKey:
        """The key that cares for this device, looked at each time: it may come while the station runs. Raises
        RefusedError."""
        path = self._folder / CARE_KEY_FILE
        try:
            return Ed25519PublicKey.from_public_bytes(bytes.fromhex(path.read_text(encoding="ascii").strip()))
        except FileNotFoundError:
            raise RefusedError(f"nobody may care for this device: there is no {CARE_KEY_FILE}; claim it") from None
        except (OSError, ValueError):
            raise RefusedError(f"{CARE_KEY_FILE} is no key of 64 hexadecimal digits; claim the device again") from None
