"""What a sensor has measured, in words and people's units."""

from typing import Final

from pledgewatch_edge.sample import Sample
from pledgewatch_wire.reading import NO_VALUE_FROM, STATE_CHANNELS, Cell, Channel, Quality

_UNITS: Final = {  # by the end of a channel's name: what divides its value, digits, unit
    "_E7": (10_000_000, 5, "°"),
    "_MC": (1_000, 2, "°C"),
    "_CPERCENT": (100, 1, "%"),
    "_MV": (1_000, 2, "V"),
    "_CENTI": (100, 2, ""),
    "_MMPS": (1_000, 1, "m/s"),
    "_CDEG": (100, 0, "°"),
    "_MM": (1_000, 0, "m"),
    "_MLX": (1_000, 0, "lx"),
    "_MG": (1_000, 2, "g"),
    "_G": (1_000, 2, "kg"),
    "_W": (1, 0, "W"),
    "_WH": (1_000, 1, "kWh"),
    "_MIB": (1, 0, "MiB"),
    "_MS": (1, 0, "ms"),
}
_SHORT: Final = {Channel.LATITUDE_E7: "", Channel.LONGITUDE_E7: "", Channel.TEMPERATURE_MC: ""}
_LEFT_OUT: Final = frozenset({Channel.COURSE_CDEG, Channel.ALTITUDE_MM, Channel.SPEED_MMPS})
_NOT_THERE: Final = (Quality.SENSOR_GONE, Quality.CHECKSUM_FAILED)
_NO_PLACE: Final = {Quality.NO_FIX: "speaks, no fix yet", Quality.SENSOR_GONE: "sensor gone"}
_PLACE: Final = (Channel.LATITUDE_E7, Channel.LONGITUDE_E7)


def sample_words(sample: Sample) -> str:
    """A sample, and what is known to be wrong with it. Of a fix the place and what it rests on."""
    cells = [cell for cell in sample.cells if cell.channel not in _LEFT_OUT]
    place = [cell for cell in cells if cell.channel in _PLACE]
    if place and place[0].quality in _NO_PLACE:
        others = [cell_words(cell) for cell in cells if cell.channel not in _PLACE]
        return ", ".join([_NO_PLACE[Quality(place[0].quality)], *others])
    return ", ".join(cell_words(cell) for cell in cells)


def cell_words(cell: Cell) -> str:
    """One cell: its channel, its value, what is wrong with it."""
    channel, quality = Channel(cell.channel), Quality(cell.quality)
    name = _SHORT.get(channel, _name(channel))
    wrong = quality.name.lower().replace("_", " ")
    value = wrong if quality >= NO_VALUE_FROM else _value(channel, cell.value)
    mark = f" ({wrong})" if quality != Quality.GOOD and quality < NO_VALUE_FROM else ""
    return f"{name} {value}{mark}".strip()


def is_measured(sample: Sample) -> bool:
    """Whether all of it was measured. A receiver without a fix has spoken all the same."""
    return not any(cell.quality in _NOT_THERE for cell in sample.cells)


def _name(channel: Channel) -> str:
    end = _end(channel)
    return channel.name.removesuffix(end).lower().replace("_", " ") if end else channel.name.lower().replace("_", " ")


def _value(channel: Channel, value: int) -> str:
    if channel in STATE_CHANNELS:
        return "yes" if value else "no"
    end = _end(channel)
    if end is None:
        return str(value)
    scale, digits, unit = _UNITS[end]
    gap = "" if unit in {"", "°"} else " "
    return f"{value / scale:.{digits}f}{gap}{unit}"


def _end(channel: Channel) -> str | None:
    """The unit at the end of a channel's name; None where it counts."""
    return max((end for end in _UNITS if channel.name.endswith(end)), key=len, default=None)
