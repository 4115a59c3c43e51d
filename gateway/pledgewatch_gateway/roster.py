"""The roster: which field of which sensor is which channel of which zone, and under which bin.

A row turns a value in the sensor's own unit into a whole number of its channel's: times `scale`, plus `offset` (both in
`unit`), then from `unit` to what the channel counts, with exact fractions and one rounding at the end, half to even.

A channel of a zone has one row, or two sensors would take turns in one series; only passages of tags may be told by
several readers. Bins do not travel: the readings say zone and channel, and `pledgewatch-gateway roster` tells which bin
that is, for the book. What cannot be such a number is refused with its reason (MalformedError) and never bent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final

from pledgewatch_edge.config import DAY_S, require_within
from pledgewatch_gateway.sources import EVERY_FIELD, MalformedError, Value
from pledgewatch_gateway.sources.lines import TAG_MAX_CHARACTERS
from pledgewatch_wire.reading import (
    NO_VALUE_FROM,
    PASSAGE_CHANNELS,
    STATE_CHANNELS,
    TEMPERATURE_CHANNELS,
    WEIGHT_CHANNELS,
    Cell,
    Channel,
    tag_name,
    tag_number,
)

ROWS_MAX: Final = 5_000
CELL_MAX: Final = 10**15
TAG_CHANNELS: Final = (*PASSAGE_CHANNELS, Channel.TAGS_PRESENT)
CHANNELS: Final[Mapping[str, Channel]] = {channel.name.lower(): channel for channel in Channel}
# By channel, each unit that a sensor may speak in: how many of the channel's unit one is, and where its zero lies.
_Unit = tuple[Fraction, Fraction]
_TEMPERATURE_UNITS: Final[Mapping[str, _Unit]] = {
    "C": (Fraction(1_000), Fraction(0)),
    "F": (Fraction(5_000, 9), Fraction(-160_000, 9)),
    "K": (Fraction(1_000), Fraction(-273_150)),
}
_WEIGHT_UNITS: Final[Mapping[str, _Unit]] = {
    "g": (Fraction(1), Fraction(0)),
    "kg": (Fraction(1_000), Fraction(0)),
    "t": (Fraction(1_000_000), Fraction(0)),
    "lb": (Fraction("453.59237"), Fraction(0)),  # the international pound, exactly
}
UNITS: Final[Mapping[Channel, Mapping[str, _Unit]]] = {
    **dict.fromkeys(TEMPERATURE_CHANNELS, _TEMPERATURE_UNITS),
    **dict.fromkeys(WEIGHT_CHANNELS, _WEIGHT_UNITS),
    Channel.HUMIDITY_CPERCENT: {"%": (Fraction(100), Fraction(0))},
    Channel.BATTERY_MV: {"V": (Fraction(1_000), Fraction(0)), "mV": (Fraction(1), Fraction(0))},
    Channel.LIGHT_MLX: {"lx": (Fraction(1_000), Fraction(0))},
    Channel.SHOCK_MG: {"g": (Fraction(1_000), Fraction(0))},
    Channel.POWER_W: {"W": (Fraction(1), Fraction(0)), "kW": (Fraction(1_000), Fraction(0))},
    Channel.ENERGY_WH: {
        "Wh": (Fraction(1), Fraction(0)),
        "kWh": (Fraction(1_000), Fraction(0)),
        "MWh": (Fraction(1_000_000), Fraction(0)),
    },
}
_WORDS: Final = {
    **dict.fromkeys(("on", "open", "true", "yes", "1", "detected", "alarm"), True),
    **dict.fromkeys(("off", "closed", "false", "no", "0", "clear", "ok"), False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSettings:
    """One row. `source` and `sensor` as the source names them (`sensor` none: as the source, which is right for Modbus
    and serial lines); `zone` and `bin` as people call them. `every_s` is the shortest time between two readings of the
    row; a door that opens is told at once all the same. `window_s`, for tags: how long a tag is present after it was
    seen, or how long it is the same passage. `own_tags`, for tags that are counted: those of the wall, by which a
    reader is known to see, and which are no goods."""

    source: str
    field: str
    zone: str
    channel: str
    sensor: str = ""
    bin: str = ""
    unit: str = ""
    scale: float = 1.0
    offset: float = 0.0
    invert: bool = False
    every_s: float = 0.0
    window_s: float = 60.0
    own_tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.channel not in CHANNELS:
            raise ValueError(f"channel {self.channel!r} is none; there are {', '.join(CHANNELS)}")
        if not self.field.strip() or self.field == EVERY_FIELD:
            raise ValueError(f"field {self.field!r} names none; name one field of the sensor")
        require_within("every_s", self.every_s, 0.0, DAY_S)
        require_within("window_s", self.window_s, 1.0, DAY_S)
        units = UNITS.get(self.number, {})
        if units and self.unit not in units:
            raise ValueError(
                f"unit {self.unit!r} is none of {self.channel}; say in which the sensor speaks: {', '.join(units)}"
            )
        if self.unit and not units:
            raise ValueError(f"unit {self.unit!r}: {self.channel} has none; leave it out")
        if self.invert and self.number not in STATE_CHANNELS:
            raise ValueError(f"invert: {self.channel} has no opposite; leave it out")
        if (self.scale, self.offset) != (1.0, 0.0) and self.number in {*STATE_CHANNELS, *TAG_CHANNELS}:
            raise ValueError(f"scale and offset: {self.channel} is no quantity; leave them out")
        if self.own_tags and self.number != Channel.TAGS_PRESENT:
            raise ValueError(f"own_tags: {self.channel} counts no tags; leave them out")
        for tag in self.own_tags:
            _require_tag(tag)
        if len(set(map(tag_of, self.own_tags))) < len(self.own_tags):
            raise ValueError("own_tags has a tag twice; name each once")
        if not self.scale:
            raise ValueError("scale is 0, which makes all values one; leave it out where there is none")

    @property
    def number(self) -> Channel:
        """The channel."""
        return CHANNELS[self.channel]

    @property
    def sensor_name(self) -> str:
        """The sensor, as its source names it."""
        return self.sensor or self.source

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is a row of."""
        return self.source, self.sensor_name, self.field

    def cell(self, value: Value) -> Cell:
        """The cell that a value is. Raises MalformedError. Not for tags that are counted (`tags_present`)."""
        found, channel = value.value, self.number
        if found is None:
            assert value.quality >= NO_VALUE_FROM
            return Cell(channel, 0, value.quality)
        if channel in PASSAGE_CHANNELS:
            return Cell(channel, tag_number(tag_of(found)), value.quality)
        if channel in STATE_CHANNELS:
            return Cell(channel, int(_state(found) != self.invert), value.quality)
        return Cell(channel, self._counted(found), value.quality)

    def _counted(self, found: Decimal | bool | str) -> int:
        if not isinstance(found, Decimal):
            raise MalformedError(f"is no number, which {self.channel} needs")
        factor, zero = UNITS.get(self.number, {}).get(self.unit, (Fraction(1), Fraction(0)))
        in_unit = Fraction(found) * Fraction(repr(self.scale)) + Fraction(repr(self.offset))
        counted = round(in_unit * factor + zero)
        if abs(counted) > CELL_MAX:
            raise MalformedError(f"is too large for {self.channel}")
        return counted


class Roster:
    """All rows, by what they are rows of."""

    def __init__(self, rows: Sequence[RowSettings]) -> None:
        self.rows = tuple(rows)
        self._fields: dict[tuple[str, str], dict[str, RowSettings]] = {}
        for row in rows:
            self._fields.setdefault((row.source, row.sensor_name), {})[row.field] = row

    def knows(self, source: str, sensor: str) -> bool:
        """Whether there is a row for the sensor."""
        return (source, sensor) in self._fields

    def rows_of(self, source: str, value: Value) -> list[RowSettings]:
        """The rows that a value is for: one, all of the sensor (EVERY_FIELD), or none."""
        fields = self._fields.get((source, value.sensor), {})
        if value.field == EVERY_FIELD:
            return list(fields.values())
        row = fields.get(value.field)
        return [] if row is None else [row]


def check_rows(rows: Sequence[RowSettings], zones: Sequence[str], sources: Sequence[str]) -> None:
    """Raise ValueError where rows do not fit each other or name what is not there."""
    if len(rows) > ROWS_MAX:
        raise ValueError(f"[[sensors]] has {len(rows)} rows; a gateway has {ROWS_MAX} at most")
    fields: set[tuple[str, str, str]] = set()
    channels: set[tuple[str, str]] = set()
    for number, row in enumerate(rows):
        place = f"[sensors][{number}]"
        if row.zone not in zones:
            raise ValueError(f"{place} zone {row.zone!r} is none; there are {', '.join(zones)}")
        if row.source not in sources:
            raise ValueError(f"{place} source {row.source!r} is none; there are {', '.join(sources) or 'none at all'}")
        if row.key in fields:
            raise ValueError(f"{place} {row.sensor_name} {row.field} has a row already; one value goes to one channel")
        if (row.zone, row.channel) in channels and row.number not in PASSAGE_CHANNELS:
            raise ValueError(f"{place} {row.channel} of {row.zone} has a row already; take another channel or zone")
        fields.add(row.key)
        channels.add((row.zone, row.channel))


def tag_of(found: Decimal | bool | str) -> str:
    """The name of a tag, in its one form (`tag_name`). Raises MalformedError."""
    text = str(found).strip() if isinstance(found, Decimal | str) else ""
    name = tag_name(text)
    if not name or len(text) > TAG_MAX_CHARACTERS or not text.isprintable():
        raise MalformedError(f"is no name of a tag, of letters or digits and up to {TAG_MAX_CHARACTERS} characters")
    return name


def _require_tag(tag: str) -> None:
    """Raise ValueError where no reader can say this."""
    try:
        tag_of(tag)
    except MalformedError as error:
        raise ValueError(f"own_tags: {tag!r} {error}; write it as the reader says it") from None


def _state(found: Decimal | bool | str) -> bool:
    if isinstance(found, bool):
        return found
    state = _WORDS.get(str(found).strip().lower())
    if state is None:
        raise MalformedError(f"is no state; one of {', '.join(_WORDS)} is")
    return state
