"""A scenario's file: where a container is, what happens to it and when, and what must have been found at the end.

It is TOML, read as strictly as a configuration. Times are seconds of the story's own time from its beginning. What the
file may say is in `SCHEMA_FILE` for editors too, made of these dataclasses (`schema`).
"""

import dataclasses
import math
import types
import typing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Any, Final

from pledgewatch_wire.settings import load

SCHEMA_FILE: Final = "docs/scenario.schema.json"
LASTS_MAX_S: Final = 366 * 86_400.0
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

    at_s: float
    kind: Kind
    is_on: bool | None = None
    to_c: float | None = None
    longitude: float | None = None
    latitude: float | None = None
    over_s: float | None = None
    every_s: float | None = None

    def __post_init__(self) -> None:
        given = {one.name for one in dataclasses.fields(self) if getattr(self, one.name) is not None}
        given -= {"at_s", "kind"}
        needs, may = _NEEDS[self.kind], _MAY.get(self.kind, frozenset())
        if missing := sorted(needs - given):
            raise ValueError(f"{self.kind} needs {' and '.join(missing)}")
        if idle := sorted(given - needs - may):
            raise ValueError(f"{self.kind} has no {' and no '.join(idle)}; take it out")
        _within("at_s", self.at_s, 0, LASTS_MAX_S)
        _within("over_s", self.over_s, 0, LASTS_MAX_S)
        _within("every_s", self.every_s, 1, LASTS_MAX_S)
        _within("to_c", self.to_c, -55, 125)
        _within("longitude", self.longitude, -180, 180)
        _within("latitude", self.latitude, -85, 85)

    @property
    def ends_s(self) -> float:
        """When it is over."""
        return self.at_s + (self.over_s or 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the container is at first; around it lies the zone, a square with sides of twice `zone_deg`."""

    longitude: float
    latitude: float
    zone_deg: float = 0.05

    def __post_init__(self) -> None:
        _within("longitude", self.longitude, -180, 180)
        _within("latitude", self.latitude, -85, 85)
        _within("zone_deg", self.zone_deg, 0.001, 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Goods:
    """What the goods bear, and how long nobody need hear of them. `dark_from_s` to `dark_until_s` is a leg of the
    voyage on which no signal is expected."""

    low_c: float = 2.0
    high_c: float = 8.0
    grace_s: int = 600
    silent_after_s: int = 0
    position_silent_after_s: int = 0
    dark_from_s: float = 0.0
    dark_until_s: float = 0.0

    def __post_init__(self) -> None:
        if self.low_c >= self.high_c:
            raise ValueError(f"low_c {self.low_c} is not below high_c {self.high_c}")
        if self.dark_until_s < self.dark_from_s:
            raise ValueError("dark_until_s is before dark_from_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """The device: how often its receiver and its probe speak. `at_c` is what it is at first. `trusts_clock` false: its
    computer's own clock says 1970, so to speak, and is not believed. `further` is TOML for its configuration."""

    fix_every_s: float = 10.0
    probe_every_s: float = 30.0
    at_c: float = 5.0
    trusts_clock: bool = True
    sees_sky: bool = True
    further: str = ""

    def __post_init__(self) -> None:
        _within("fix_every_s", self.fix_every_s, 1, 86_400)
        _within("probe_every_s", self.probe_every_s, 1, 86_400)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect:
    """What the cloud must have said by the end, by types of events, and what it must never say. That every reading has
    come, and none twice, is always expected."""

    events: tuple[str, ...] = ()
    never: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if both := sorted({*self.events} & {*self.never}):
            raise ValueError(f"{both[0]!r} is both expected and never to be")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """The whole file. `speed`: how many times as fast as real time it is played."""

    about: str
    begins: str
    lasts_s: float
    speed: float
    place: Place
    seed: int = 1
    goods: Goods = field(default_factory=Goods)
    fitted: Fitted = field(default_factory=Fitted)
    acts: tuple[Act, ...] = ()
    expect: Expect = field(default_factory=Expect)

    def __post_init__(self) -> None:
        try:
            begins = datetime.fromisoformat(self.begins)
        except ValueError:
            raise ValueError(f"begins {self.begins!r} is no moment; write 2026-03-01T00:00:00Z") from None
        if begins.tzinfo is None or begins.year < 2026:
            raise ValueError("begins must say its zone, as in 2026-03-01T00:00:00Z, and not lie before 2026")
        _within("lasts_s", self.lasts_s, 1, LASTS_MAX_S)
        _within("speed", self.speed, 1, 1e6)
        late = [one for one in self.acts if one.ends_s > self.lasts_s]
        if late:
            raise ValueError(f"an act of kind {late[0].kind} ends at {late[0].ends_s:g}, after the story's end")
        if is_off := [kind for kind in (Kind.LINK, Kind.CARD) if not self._ends_on(kind)]:
            raise ValueError(f"{is_off[0]} is off at the end; what the device has could never come")

    @property
    def begins_ms(self) -> int:
        """The beginning, Unix milliseconds."""
        return round(datetime.fromisoformat(self.begins).astimezone(UTC).timestamp() * 1_000)

    def _ends_on(self, kind: Kind) -> bool:
        """Whether the last act of a kind, in time, leaves it on."""
        last = max((one for one in self.acts if one.kind is kind), key=lambda one: one.at_s, default=None)
        return last is None or last.is_on is True


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
    """The file as a JSON Schema. What hangs together (which keys an act needs) is said by the program alone."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "pledgewatch scenario"}
    return head | _table_schema(Scenario)


def _table_schema(settings: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(settings)
    fields = dataclasses.fields(settings)
    needed = [
        one.name for one in fields if one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
    ]
    return {
        "type": "object",
        "additionalProperties": False,
        "required": needed,
        "properties": {one.name: _value_schema(hints[one.name]) for one in fields},
    }


def _value_schema(hint: Any) -> dict[str, Any]:
    if typing.get_origin(hint) in {types.UnionType, typing.Union}:
        (hint,) = (one for one in typing.get_args(hint) if one is not type(None))
    if dataclasses.is_dataclass(hint):
        return _table_schema(hint)
    if typing.get_origin(hint) is tuple:
        return {"type": "array", "items": _value_schema(typing.get_args(hint)[0])}
    if issubclass(hint, StrEnum):
        return {"enum": [str(one) for one in hint]}
    return {"type": {str: "string", bool: "boolean", int: "integer", float: "number"}[hint]}


def _within(key: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not (math.isfinite(value) and low <= value <= high):
        raise ValueError(f"{key} {value:g} is out of range; use {low:g} to {high:g}")
