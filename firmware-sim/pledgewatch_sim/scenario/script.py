"""A scenario's file: where a container is, what happens to it and when, and what must have been found at the end.

It is TOML, read as strictly as a configuration: what cannot be played is refused here, before any program starts. Times
are seconds of the story's own time from its beginning. What the file may say is in `SCHEMA_FILE` for editors too, made
of these dataclasses (`schema`) with the same bounds.
"""

import dataclasses
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final

from pledgewatch_sim.scenario.bounds import Within, Written, check, table_schema
from pledgewatch_sim.scenario.events import EventName
from pledgewatch_wire.settings import load
from pledgewatch_wire.toml_text import TomlError, read_toml

SCHEMA_FILE: Final = "docs/scenario.schema.json"
LASTS_MAX_S: Final = 366 * 86_400.0
YEARS: Final = (2026, 2043)
"""An agent believes no receiver that tells of a time before these, or some years after."""
ITS_OWN: Final = frozenset({"device", "broker", "uplink", "checkpoint", "clock", "gps", "onewire", "modbus"})
"""Sections of the agent's configuration that the story writes."""
_MOMENT: Final = (
    "^20(2[6-9]|3[0-9]|4[0-3])-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    "[T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
Time = Annotated[float, Within(0, LASTS_MAX_S)]
Wait = Annotated[int, Within(0, round(LASTS_MAX_S))]
Longitude = Annotated[float, Within(-180, 180)]
Latitude = Annotated[float, Within(-85, 85)]
Celsius = Annotated[float, Within(-55, 125)]
"""What a probe can measure."""
LimitCelsius = Annotated[float, Within(-300, 1_000)]
Every = Annotated[float, Within(1, 86_400)]
_STORIES: Final = "pledgewatch_sim.scenario.stories"


class Kind(StrEnum):
    """What can happen, and which keys of an act say how."""

    TEMPERATURE = "temperature"  # to_c, over_s
    LIGHT = "light"  # is_on
    DOOR = "door"  # is_on: it is open
    GO = "go"  # longitude, latitude, over_s
    SPOOF = "spoof"  # longitude, latitude: the receiver is made to say that it is there
    TRUTH = "truth"  # the receiver says where it is again
    SKY = "sky"  # is_on: the receiver sees satellites
    RECEIVER = "receiver"  # is_on: it is plugged in
    LINK = "link"  # is_on: the broker can be reached
    FLAP = "flap"  # over_s, every_s: the link goes and comes
    CARD = "card"  # is_on: the card takes what is written
    POWER = "power"  # the agent is killed, and starts again


_NEEDS: Final[dict[Kind, frozenset[str]]] = {
    Kind.TEMPERATURE: frozenset({"to_c"}),
    Kind.LIGHT: frozenset({"is_on"}),
    Kind.DOOR: frozenset({"is_on"}),
    Kind.GO: frozenset({"longitude", "latitude"}),
    Kind.SPOOF: frozenset({"longitude", "latitude"}),
    Kind.TRUTH: frozenset(),
    Kind.SKY: frozenset({"is_on"}),
    Kind.RECEIVER: frozenset({"is_on"}),
    Kind.LINK: frozenset({"is_on"}),
    Kind.FLAP: frozenset({"over_s", "every_s"}),
    Kind.CARD: frozenset({"is_on"}),
    Kind.POWER: frozenset(),
}
_MAY: Final = {Kind.TEMPERATURE: frozenset({"over_s"}), Kind.GO: frozenset({"over_s"})}


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Something that happens at `at_s`; `over_s`: how long it takes, 0 at once."""

    at_s: Time
    kind: Kind
    is_on: bool | None = None
    to_c: Annotated[float | None, Within(-55, 125)] = None
    longitude: Annotated[float | None, Within(-180, 180)] = None
    latitude: Annotated[float | None, Within(-85, 85)] = None
    over_s: Annotated[float | None, Within(0, LASTS_MAX_S)] = None
    every_s: Annotated[float | None, Within(1, LASTS_MAX_S)] = None

    def __post_init__(self) -> None:
        given = {one.name for one in dataclasses.fields(self) if getattr(self, one.name) is not None}
        given -= {"at_s", "kind"}
        needs, may = _NEEDS[self.kind], _MAY.get(self.kind, frozenset())
        if missing := sorted(needs - given):
            raise ValueError(f"{self.kind} needs {' and '.join(missing)}")
        if idle := sorted(given - needs - may):
            raise ValueError(f"{self.kind} has no {' and no '.join(idle)}; take it out")
        check(self)

    @property
    def ends_s(self) -> float:
        """When it is over."""
        return self.at_s + (self.over_s or 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the container is at first; around it lies the zone, a square with sides of twice `zone_deg`."""

    longitude: Longitude
    latitude: Latitude
    zone_deg: Annotated[float, Within(0.001, 4)] = 0.05

    def __post_init__(self) -> None:
        check(self)
        if abs(self.longitude) + self.zone_deg > 180:
            raise ValueError(
                f"zone_deg {self.zone_deg:g} puts the zone across longitude 180; make it smaller, or move longitude"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Goods:
    """What the goods bear, and how long nobody need hear of them. `bears_light` false: light in the container is a
    limit of theirs that is passed. `dark_from_s` to `dark_until_s` is a leg of the voyage on which no signal is
    expected."""

    low_c: LimitCelsius = 2.0
    high_c: LimitCelsius = 8.0
    grace_s: Wait = 600
    bears_light: bool = True
    silent_after_s: Wait = 0
    position_silent_after_s: Wait = 0
    dark_from_s: Time = 0.0
    dark_until_s: Time = 0.0

    def __post_init__(self) -> None:
        check(self)
        if round(self.low_c * 1_000) >= round(self.high_c * 1_000):
            raise ValueError(f"low_c {self.low_c} is not below high_c {self.high_c}; raise one, or lower the other")
        if self.dark_until_s < self.dark_from_s:
            raise ValueError("dark_until_s is before dark_from_s; swap them")
        if 0 < self.dark_until_s - self.dark_from_s < 1:
            raise ValueError("dark_until_s is less than a second after dark_from_s; make the leg longer, or none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """The device: how often its receiver and its probe speak. `at_c` is what it is at first. `trusts_clock` false: its
    computer's own clock says 1970, so to speak, and is not believed. `further` is TOML for its configuration."""

    fix_every_s: Every = 10.0
    probe_every_s: Every = 30.0
    at_c: Celsius = 5.0
    trusts_clock: bool = True
    sees_sky: bool = True
    further: str = ""

    def __post_init__(self) -> None:
        check(self)
        try:
            further = read_toml(self.further)
        except TomlError as error:
            raise ValueError(f"further is not TOML: {error}; write it as the agent's configuration") from None
        if twice := sorted(further.keys() & ITS_OWN):
            raise ValueError(f"further has [{twice[0]}], which the story writes itself; take it out")
        if bare := sorted(key for key, value in further.items() if not isinstance(value, dict)):
            raise ValueError(f"further has {bare[0]} outside of any section; write its [section] above it")


class Limited(StrEnum):
    """What the goods have a limit of, as the cloud calls it."""

    TEMPERATURE = "temperature_mc"
    LIGHT = "light_present"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect:
    """What the cloud must have said by the end, by types of events, and what it must never say. `breached_outside`: of
    what it must have found a limit of the goods passed, and of nothing else, each at first while the container was
    outside of its zone. `stood_outside_s`: for how many seconds at least it must have seen it stand there. That every
    reading has come, and none twice, is always expected."""

    events: tuple[EventName, ...] = ()
    never: tuple[EventName, ...] = ()
    breached_outside: tuple[Limited, ...] = ()
    stood_outside_s: Annotated[float | None, Within(1, LASTS_MAX_S)] = None

    def __post_init__(self) -> None:
        check(self)
        if both := sorted({*self.events} & {*self.never}):
            raise ValueError(f"has '{both[0]}', both expected and never to be; take it out of events or of never")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """The whole file. `speed`: how many times as fast as real time it is played."""

    about: str
    begins: Annotated[str, Written(_MOMENT, "write it as 2026-03-01T00:00:00Z, from 2026 to 2043")]
    lasts_s: Annotated[float, Within(1, LASTS_MAX_S)]
    speed: Annotated[float, Within(1, 1e6)]
    place: Place
    seed: Annotated[int, Within(0, 2**31)] = 1
    goods: Goods = field(default_factory=Goods)
    fitted: Fitted = field(default_factory=Fitted)
    acts: tuple[Act, ...] = ()
    expect: Expect = field(default_factory=Expect)

    def __post_init__(self) -> None:
        try:
            begins = datetime.fromisoformat(self.begins)
        except ValueError:
            raise ValueError(f"begins {self.begins!r} is no moment; write 2026-03-01T00:00:00Z") from None
        if begins.tzinfo is None:
            raise ValueError("begins must say its zone, as in 2026-03-01T00:00:00Z")
        check(self)
        if not YEARS[0] <= begins.astimezone(UTC).year <= YEARS[1]:
            raise ValueError(f"begins {self.begins!r} lies outside of {YEARS[0]} to {YEARS[1]} in UTC; move it")
        if self.goods.bears_light and Limited.LIGHT in self.expect.breached_outside:
            raise ValueError(
                f"breached_outside has {Limited.LIGHT}, and the goods bear light; write bears_light = false in [goods]"
            )
        if self.lasts_s < self.fitted.fix_every_s:
            raise ValueError(
                f"lasts_s {self.lasts_s:g} is less than fix_every_s {self.fitted.fix_every_s:g} of [fitted], so it is "
                "over before its receiver is due to speak; raise one, or lower the other"
            )
        if self.lasts_s < (self.expect.stood_outside_s or 0):
            raise ValueError(
                f"stood_outside_s {self.expect.stood_outside_s:g} of [expect] is more than lasts_s {self.lasts_s:g}, "
                "so it could never be; raise one, or lower the other"
            )
        late = [one for one in self.acts if one.ends_s > self.lasts_s]
        if late:
            raise ValueError(
                f"an act of kind {late[0].kind} ends at {late[0].ends_s:g}, after the story's end; raise lasts_s"
            )
        if is_off := [kind for kind in (Kind.LINK, Kind.CARD) if not self._ends_on(kind)]:
            raise ValueError(f"{is_off[0]} is off at the end; what the device has could never come: turn it on")

    @property
    def begins_ms(self) -> int:
        """The beginning, Unix milliseconds."""
        return round(datetime.fromisoformat(self.begins).astimezone(UTC).timestamp() * 1_000)

    def _ends_on(self, kind: Kind) -> bool:
        """Whether the last act of a kind leaves it on; of those at one moment it is the one that is written last."""
        acts = sorted((one for one in self.acts if one.kind is kind), key=lambda one: one.at_s)
        return not acts or acts[-1].is_on is True


def read(named: str) -> Scenario:
    """A scenario by its file, or one of `names()` that comes with the program. Raises SettingsError."""
    if named in names():
        with resources.as_file(resources.files(_STORIES) / f"{named}.toml") as file:
            return load(file, Scenario)
    return load(Path(named), Scenario)


def names() -> list[str]:
    """The scenarios that come with the program."""
    files = resources.files(_STORIES).iterdir()
    return sorted(one.name.removesuffix(".toml") for one in files if one.name.endswith(".toml"))


def schema() -> dict[str, Any]:
    """The file as a JSON Schema. What hangs together (which keys an act needs) is said by the program alone, and so is
    what is no JSON (nan, a whole number that is written 1.0)."""
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pledgewatch scenario",
        "$comment": "The program alone refuses what does not hang together, nan, and 1.0 where it wants a whole number",
    }
    return head | table_schema(Scenario)
