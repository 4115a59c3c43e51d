"""The self-test: the agent runs for a moment, and each step on the way of a reading is told, down to the cloud's word.

    sensors speak -> clock known -> spool written -> broker reached -> let in -> cloud has committed

What is tested is the agent itself on the device's own spool, with two changes for as long as it lasts: each sensor
measures once a second, and a reading is written and sent at once. What is measured is real and is kept. Settings from
afar are left out: it is the board that is tested, and its file.

The cloud says *committed* seldom, to spare the device's bill, but always to a device that has just come online. So the
agent runs until its sensors have spoken, ends, and comes online once more; what counts is that the mark up to which the
cloud has everything stands higher than before.
"""

import asyncio
import contextlib
import dataclasses
import os
import socket
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Final, NamedTuple

from pledgewatch_edge.agent import EdgeSettings
from pledgewatch_edge.identity import StateError, load_or_create_key, public_key_hex
from pledgewatch_edge.install.folding import beneath, kept
from pledgewatch_edge.install.live import quick
from pledgewatch_edge.install.values import is_measured, sample_words
from pledgewatch_edge.logs import leaves
from pledgewatch_edge.sample import Sample, is_sound
from pledgewatch_edge.sensors import Sensor, WatchesSpool, sections, sensors_of
from pledgewatch_edge.spool.errors import SpoolCorruptError, SpoolError
from pledgewatch_edge.spool.file import status
from pledgewatch_edge.station import run_station
from pledgewatch_edge.tls_identity import BROKER
from pledgewatch_edge.undated import waiting_in
from pledgewatch_edge.uplink import Uplink
from pledgewatch_wire.reading import Clock

TICK_S: Final = 0.1
REACH_S: Final = 5.0
BESIDE_LEAST: Final = 30
BENEATH: Final = "    "
_SENSOR: Final = "sensor "
_CLOCKS: Final = {
    Clock.GPS: "the receiver's time",
    Clock.NTP: "a time service keeps it",
    Clock.RTC: "the computer's own clock, which no time service keeps now",
}


class Step(NamedTuple):
    """One step: whether it was done (None: could not be tried), what was seen, and the cure where it was not."""

    name: str
    is_done: bool | None
    said: str
    cure: str = ""


def _done(name: str, said: str) -> Step:
    return Step(name, is_done=True, said=said)


def _untried(name: str) -> Step:
    return Step(name, None, "could not be tried")


def _missing(name: str, said: str, cure: str) -> Step:
    return Step(name, is_done=False, said=said, cure=cure)


class _Watched:
    """A sensor whose samples are seen as they go by."""

    def __init__(self, sensor: Sensor) -> None:
        self.sensor = sensor
        self.name = sensor.name
        self.latest: Sample | None = None
        self.was_asked = False

    def take_over(self, before: "_Watched") -> None:
        """Go on from what the same sensor said before."""
        self.latest, self.was_asked = before.latest, before.was_asked

    @property
    def has_spoken(self) -> bool:
        """Whether all of what is outside has said something."""
        return self.latest is not None and is_measured(self.latest)

    async def samples(self) -> AsyncGenerator[Sample, None]:
        """See Sensor."""
        self.was_asked = True
        async with contextlib.aclosing(self.sensor.samples()) as samples:
            async for sample in samples:
                if is_sound(sample):  # what is not is refused
                    self.latest = sample
                yield sample


class _WatchedOfSpool(_Watched):
    """The same of one that tells of the station's own spool."""

    @property
    def spooled(self) -> Callable[[], int] | None:
        """See WatchesSpool."""
        assert isinstance(self.sensor, WatchesSpool)
        return self.sensor.spooled

    @spooled.setter
    def spooled(self, found: Callable[[], int] | None) -> None:
        assert isinstance(self.sensor, WatchesSpool)
        self.sensor.spooled = found


async def self_test(settings: EdgeSettings, seconds: float) -> list[Step]:
    """Run the agent for so long at most, and tell each step."""
    return await _Test(settings, seconds).run()


def passed(steps: Sequence[Step]) -> bool:
    """Whether all was done."""
    return all(step.is_done for step in steps)


def verdict(steps: Sequence[Step]) -> str:
    """What a device is by its steps. Where the agent ended before it came to its sensors, nothing is kept of them."""
    if passed(steps):
        return "is fitted"
    if all(one.is_done is None for one in steps if one.name.startswith(_SENSOR)):
        return "could not be tested: nothing was measured"
    return "is not fitted yet; its readings are kept until all is there"


def in_words(steps: Sequence[Step], columns: int | None = None) -> list[str]:
    """The steps as lines of so many columns, where that is said, and below one that was not done its cure."""
    width = max(len(step.name) for step in steps)
    lines: list[str] = []
    for step in steps:
        mark = {True: "ok", False: "MISSING", None: "-"}[step.is_done]
        lines += _beside(f"  {mark:<7}  {step.name:<{width}}  ", step.said, columns)
        if step.cure:
            lines += _beside(f"  {'':<7}  {'':<{width}}  ", f"cure: {step.cure}", columns)
    return lines


def _beside(head: str, said: str, columns: int | None) -> list[str]:
    """What is said beside a head; beneath it where there is little room."""
    if columns is None or len(head) + len(said) <= columns:
        return [head + said]
    if (room := columns - len(head)) >= BESIDE_LEAST:
        return beneath(kept(said, room), columns, " " * len(head), head)
    said = kept(said, columns - len(BENEATH))
    return [*([head.rstrip()] if head.strip() else []), *beneath(said, columns, BENEATH, BENEATH)]


class _Test:
    def __init__(self, settings: EdgeSettings, seconds: float) -> None:
        self._settings = _at_once(settings)
        self._seconds = seconds
        self._folder = settings.device.state_folder
        self._clock = settings.clock.clock()
        self._watched: list[_Watched] = []
        self._uplink: Uplink | None = None
        self._has_connected = False
        self._failure = ""
        self._before: dict[str, int] = {}
        self._measured = 0

    async def run(self) -> list[Step]:
        """All steps."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._seconds
        self._watched = self._made()
        try:
            load_or_create_key(self._folder)
            self._before = self._counts()
            await self._life(self._has_begun, until - self._seconds / 2)
            self._measured = self._counts()["measured"] - self._before["measured"]
            if not self._has_all_committed():
                await self._life(self._has_all_committed, until)
        except (StateError, SpoolError, SpoolCorruptError) as error:
            self._failure = str(error)
        except ExceptionGroup as errors:
            self._failure = "; ".join(f"{type(one).__name__}: {one}" for one in leaves(errors))
        return [*self._sensor_steps(), self._clock_step(), self._spool_step(), *await self._way_steps()]

    async def _life(self, enough: Callable[[], bool], until: float) -> None:
        """The agent, until there is enough or the time is up."""
        before = self._watched
        self._watched = self._made()
        for now, then in zip(self._watched, before, strict=False):
            now.take_over(then)
        stop = asyncio.Event()
        station = asyncio.create_task(
            run_station(self._settings, self._watched, stop, clock=self._clock, opened=self._opened), name="self-test"
        )
        loop = asyncio.get_running_loop()
        while not station.done() and loop.time() < until and not await asyncio.to_thread(enough):
            self._look()
            await asyncio.wait([station], timeout=TICK_S)
        self._look()
        stop.set()
        await station

    def _made(self) -> list[_Watched]:
        sensors = sensors_of(self._settings, self._clock)
        return [(_WatchedOfSpool if isinstance(one, WatchesSpool) else _Watched)(one) for one in sensors]

    def _opened(self, uplink: Uplink) -> None:
        self._uplink = uplink

    def _look(self) -> None:
        self._has_connected |= self._uplink is not None and self._uplink.is_connected

    def _counts(self) -> dict[str, int]:
        return {name: value for name, value in status(self._folder).items() if isinstance(value, int)}

    def _has_begun(self) -> bool:
        """Whether every sensor has spoken, their readings have numbers, and the broker has let us in. A receiver's
        first fix has a number before the clock is known (fix_sampler.py), so a number alone does not say it."""
        self._look()
        is_known = self._clock.now()[1] is not Clock.UNSET and not waiting_in(self._folder)
        has_spoken = is_known and all(one.has_spoken for one in self._watched)
        return has_spoken and self._has_connected and self._counts()["measured"] > self._before["measured"]

    def _has_all_committed(self) -> bool:
        """Whether the cloud has what was measured until the first life ended."""
        found = self._counts()
        known = self._before["committed_contiguous"] if found["epoch"] == self._before["epoch"] else 0
        return found["committed_contiguous"] - known >= max(1, self._measured)

    def _has_committed(self) -> bool:
        found = self._counts()
        known = self._before["committed_contiguous"] if found["epoch"] == self._before["epoch"] else 0
        return found["committed_contiguous"] > known

    def _sensor_steps(self) -> list[Step]:
        return [_sensor_step(one) for one in self._watched]

    def _clock_step(self) -> Step:
        if self._failure and not any(one.was_asked for one in self._watched):
            return _untried("clock")
        clock = self._clock.now()[1]
        if clock in _CLOCKS:
            return _done("clock", _CLOCKS[Clock(clock)])
        return _missing(
            "clock",
            "not known; readings wait without a number",
            "give the receiver a view of the sky for some minutes, or the board a time service (timedatectl); "
            "what was measured meanwhile is dated back by itself (docs/CLOCK.md)",
        )

    def _spool_step(self) -> Step:
        name = "spool"
        if self._failure:
            return _missing(name, self._failure, "mend what it names, then run the same again")
        written = self._counts()["measured"] - self._before["measured"]
        if written:
            return _done(name, f"{written} reading{'s' if written > 1 else ''} written in {self._folder}")
        cure = "see the steps above: nothing has a number before a sensor has spoken and the clock is known"
        return _missing(name, f"nothing was written in {self._folder}", cure)

    async def _way_steps(self) -> list[Step]:
        """From the board to the cloud. What comes after a step that is missing could not be tried."""
        broker = self._settings.broker
        names = (f"broker {broker.host}:{broker.port}", "let in", "cloud")
        steps: list[Step] = []
        for name, look in zip(names, (self._reached, self._let_in, self._committed), strict=True):
            if steps and not steps[-1].is_done:
                steps.append(_untried(name))
            else:
                steps.append(await look(name))
        return steps

    async def _reached(self, name: str) -> Step:
        if self._has_connected:
            return _done(name, "reached")
        broker = self._settings.broker
        try:
            async with asyncio.timeout(REACH_S):
                _, writer = await asyncio.open_connection(broker.host, broker.port)
            writer.close()
        except socket.gaierror as error:
            cure = "is the network up, and is [broker] host right?"
            return _missing(name, f"the name is not known here ({error.strerror})", cure)
        except TimeoutError:
            cure = f"is the network up, and does a firewall let port {broker.port} out?"
            return _missing(name, "does not answer", cure)
        except OSError as error:
            cure = f"does a broker listen at port {broker.port} there, and is [broker] port right?"
            return _missing(name, os.strerror(error.errno) if error.errno else str(error), cure)
        return _done(name, "reached")

    async def _let_in(self, name: str) -> Step:
        broker, uplink = self._settings.broker, self._uplink
        if self._has_connected:
            protocol = f"MQTT {uplink.protocol}" if uplink is not None and uplink.protocol else "MQTT"
            shown = "its certificate was taken" if broker.certificate_file else "it shows no certificate"
            return _done(name, f"{protocol}; {shown}" if broker.ca_file else f"{protocol}, without TLS")
        if uplink is None and self._failure:
            return _untried(name)
        refused = uplink.standing.by(BROKER) if uplink is not None else None
        if refused is not None:
            cure = "is this device revoked, or replaced by another? Ask for a new claim: pledgewatch-edge claim"
            return _missing(name, refused, cure if broker.certificate_file else "see username and password_file")
        reason = (uplink.lost_reason if uplink is not None else "") or "it says nothing"
        if broker.ca_file is not None:
            cure = "is ca_file the CA of this broker, and the board's clock right? See the log of the broker, too"
        else:
            cure = "does the port want TLS ([broker] ca_file)? See the log of the broker"
        return _missing(name, reason, cure)

    async def _committed(self, name: str) -> Step:
        found = await asyncio.to_thread(self._counts)
        if self._has_committed():
            known = self._before["committed_contiguous"] if found["epoch"] == self._before["epoch"] else 0
            upto = found["committed_contiguous"]
            said = f"has committed all readings up to {upto} of epoch {found['epoch']}, {upto - known} of them just now"
            return _done(name, said)
        device = self._settings.device
        key = public_key_hex(load_or_create_key(self._folder))
        cure = (
            f"does the cloud run, and does its book have an installation of {device.name} of {device.operator} with "
            f"the public key {key}? A device that was claimed has one"
        )
        return _missing(name, f"has committed nothing of {found['spooled']} that wait", cure)


def _sensor_step(one: _Watched) -> Step:
    name = f"{_SENSOR}{one.name}"
    if not one.was_asked:  # the agent ended before it came to its sensors
        return _untried(name)
    if one.latest is None:
        return _missing(name, "has said nothing", "see its wiring in docs/INSTALL.md, and the log")
    if not one.has_spoken:
        return _missing(name, sample_words(one.latest), "see its wiring in docs/INSTALL.md")
    return _done(name, sample_words(one.latest))


def _at_once(settings: EdgeSettings) -> EdgeSettings:
    """The same device, that measures each second, and writes and sends at once."""
    changed: dict[str, Any] = {
        "spool": dataclasses.replace(settings.spool, hold_s=0.0),
        "uplink": dataclasses.replace(settings.uplink, send_every_s=0.0),
        "broker": dataclasses.replace(settings.broker, reconnect_max_s=min(settings.broker.reconnect_max_s, 1.0)),
    }
    for section in sections(type(settings)):
        if (one := getattr(settings, section)) is not None:
            changed[section] = quick(one)
    return dataclasses.replace(settings, **changed)
