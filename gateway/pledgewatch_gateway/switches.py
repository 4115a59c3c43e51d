"""Switches: sirens and relays of the site, kept as the rules want them.

What is wanted is a state and no event: each switch has a task that brings it about, tries again until it is so, and
says it anew every `repeat_s`, so that a relay that was without power follows. No uplink is needed for it. When the
gateway stops, switches stay as they are: a siren that sounds is for a person to silence.
"""

import asyncio
import datetime as dt
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from pledgewatch_edge.config import DAY_S, require_name, require_within
from pledgewatch_edge.logs import World
from pledgewatch_edge.modbus_client import ModbusRefusedError
from pledgewatch_gateway.roster import CHANNELS
from pledgewatch_gateway.rules import Fact, RuleSettings, Standing, judge, wanted
from pledgewatch_gateway.site import Newest, Site
from pledgewatch_gateway.sources.modbus import ModbusSource
from pledgewatch_gateway.sources.mqtt import MqttSource
from pledgewatch_wire.reading import Channel, Clock

TICK_S: Final = 1.0
RETRY_S: Final = 1.0
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSettings:
    """A siren or relay. `source` is the [[mqtt]] broker whose `topic` it hears (`on` and `off` are what is said there),
    or the [[modbus]] device that has it as a coil, or as a register that takes `on_value` and `off_value`."""

    name: str
    source: str
    topic: str = ""
    on: str = "ON"
    off: str = "OFF"
    retain: bool = False
    coil: int | None = None
    register: int | None = None
    on_value: int = 1
    off_value: int = 0
    repeat_s: float = 60.0

    def __post_init__(self) -> None:
        require_name("name", self.name)
        if [bool(self.topic), self.coil is not None, self.register is not None].count(True) != 1:
            raise ValueError("has to be one of topic, coil and register; name what is switched")
        if set(self.topic) & {"+", "#"}:
            raise ValueError(f"topic {self.topic!r} is many; name one without + and #")
        for key, value in (("coil", self.coil), ("register", self.register)):
            require_within(key, value or 0, 0, 65_535)
        for key, value in (("on_value", self.on_value), ("off_value", self.off_value)):
            require_within(key, value, 0, 65_535)
        require_within("repeat_s", self.repeat_s, 1.0, DAY_S)


class Switch(Protocol):
    """Something that is on or off. `set` returns when it is so. Raises OSError where it is not there, and
    ModbusRefusedError where it says no."""

    async def set(self, *, is_on: bool) -> None:
        """Switch it."""
        ...


class MqttSwitch:
    """A switch that hears a topic."""

    def __init__(self, settings: OutputSettings, source: MqttSource) -> None:
        self._settings = settings
        self._source = source

    async def set(self, *, is_on: bool) -> None:
        """Say it; returns when the broker has it."""
        settings = self._settings
        await self._source.say(settings.topic, settings.on if is_on else settings.off, retain=settings.retain)


class ModbusSwitch:
    """A coil or a register of a device."""

    def __init__(self, settings: OutputSettings, source: ModbusSource) -> None:
        self._settings = settings
        self._source = source

    async def set(self, *, is_on: bool) -> None:
        """Write it; returns when the device has said that it did."""
        settings = self._settings
        if settings.coil is not None:
            await self._source.write_coil(settings.coil, is_on=is_on)
            return
        assert settings.register is not None
        await self._source.write_register(settings.register, settings.on_value if is_on else settings.off_value)


class Watch:
    """The rules over a site, and its switches kept by them: judged at each value that is heard, and as time goes by."""

    def __init__(
        self,
        site: Site,
        rules: Sequence[RuleSettings],
        switches: Mapping[str, tuple[Switch, float]],
        time_zone: ZoneInfo | dt.timezone,
    ) -> None:
        """`switches` by name of the output, each with its repeat_s."""
        self.standings = {rule.name: Standing() for rule in rules}
        self.wanted: dict[str, bool | None] = dict.fromkeys(switches)
        self.is_set: dict[str, bool | None] = dict.fromkeys(switches)  # as last brought about
        self._site = site
        self._rules = rules
        self._switches = switches
        self._time_zone = time_zone
        self._news = {name: asyncio.Event() for name in switches}
        self._started_ms = site.monotonic_ms()
        site.hearers.append(self._hear)

    async def run(self) -> None:
        """Keep the switches and let time go by, for ever."""
        async with asyncio.TaskGroup() as group:
            for name, (switch, repeat_s) in self._switches.items():
                group.create_task(self._keep(name, switch, repeat_s), name=f"switch {name}")
            while True:
                await asyncio.sleep(TICK_S)
                self._site.tick()
                self.judge()

    def judge(self) -> None:
        """Judge all rules now."""
        for rule in self._rules:
            self._judge(rule, self._site.newest.get((rule.zone, CHANNELS[rule.channel])))
        self._want()

    def _hear(self, zone: str, channel: Channel, newest: Newest) -> None:
        """Judge the rules of a channel by a value of it."""
        rules = [rule for rule in self._rules if (rule.zone, CHANNELS[rule.channel]) == (zone, channel)]
        for rule in rules:
            self._judge(rule, newest)
        if rules:
            self._want()

    def _judge(self, rule: RuleSettings, newest: Newest | None) -> None:
        now_ms, before = self._site.monotonic_ms(), self.standings[rule.name]
        fact = None if newest is None else Fact(newest.value, newest.valued_ms)
        after = self.standings[rule.name] = judge(rule, before, fact, now_ms, self._minute(), self._started_ms)
        if after.is_active != before.is_active and (after.is_active or before.is_active):
            log.warning("rule %r %s", rule.name, "is active" if after.is_active else "is over")

    def _want(self) -> None:
        """Tell the switches what is wanted of them, where that has changed."""
        for name, want in wanted(list(self._switches), self._rules, self.standings).items():
            if want != self.wanted[name]:
                self.wanted[name] = want
                self._news[name].set()

    def _minute(self) -> int | None:
        """The minute of the site's day; None where no clock tells it."""
        now_ms, clock = self._site.now()
        if clock == Clock.UNSET:
            return None
        moment = dt.datetime.fromtimestamp(now_ms / 1_000, self._time_zone)
        return moment.hour * 60 + moment.minute

    async def _keep(self, name: str, switch: Switch, repeat_s: float) -> None:
        """Bring a switch to what is wanted of it, for ever."""
        world, news = World(log, f"switch {name}"), self._news[name]
        said_at = -math.inf
        while True:
            want = self.wanted[name]
            if want is None or (want == self.is_set[name] and time.monotonic() - said_at < repeat_s):
                await _event_or(news, TICK_S)
                news.clear()
                continue
            try:
                await switch.set(is_on=want)
            except (OSError, ModbusRefusedError) as error:
                world.lost(str(error))
                self.is_set[name] = None
                await asyncio.sleep(RETRY_S)
                continue
            world.back()
            if want != self.is_set[name]:
                log.warning("switch %s is %s", name, "on" if want else "off")
            self.is_set[name], said_at = want, time.monotonic()


async def _event_or(event: asyncio.Event, patience_s: float) -> None:
    """Wait for an event, or for as long."""
    try:
        async with asyncio.timeout(patience_s):
            await event.wait()
    except TimeoutError:
        return


def time_zone_of(name: str) -> ZoneInfo | dt.timezone:
    """A time zone by its IANA name. Raises ValueError."""
    if name == "UTC":
        return dt.UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise ValueError(f"time_zone {name!r} cannot be used: {error}") from None
    except KeyError:
        raise ValueError(
            f"time_zone {name!r} is none that this machine knows; write it as America/Los_Angeles"
        ) from None
