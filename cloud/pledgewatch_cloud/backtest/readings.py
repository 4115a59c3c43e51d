"""Readings from files: JSON lines, CSV with a map of its columns, and recorded NMEA, which the agent's own parser reads
(`pledgewatch-edge nmea`, as a process of its own: what the agent knows of receivers is no matter of the cloud's).

A row names a time and some quantities, in the units of the wire (`temperature_mc`) or in natural ones (`temperature_c`,
`latitude`). Numbers become whole through their decimal text, rounded half to even, never through floating point. A row
without a device belongs to the one that is named for the file. A `quality` other than good stands against the row's
place. What cannot be read is named with its line.
"""

import csv
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, NamedTuple

from pledgewatch_wire.codec import MAX_TIME_MS, MIN_TIME_MS, VALUE_LIMIT
from pledgewatch_wire.reading import NO_VALUE_FROM, Cell, Channel, Quality

# Natural units: the name in a row, the channel, what its unit is multiplied by, and what is added before.
_NATURAL: Mapping[str, tuple[Channel, Decimal, Decimal]] = {
    "latitude": (Channel.LATITUDE_E7, Decimal(10_000_000), Decimal(0)),
    "longitude": (Channel.LONGITUDE_E7, Decimal(10_000_000), Decimal(0)),
    "altitude_m": (Channel.ALTITUDE_MM, Decimal(1_000), Decimal(0)),
    "speed_mps": (Channel.SPEED_MMPS, Decimal(1_000), Decimal(0)),
    "speed_knots": (Channel.SPEED_MMPS, Decimal(1_852_000) / 3_600, Decimal(0)),
    "course_deg": (Channel.COURSE_CDEG, Decimal(100), Decimal(0)),
    "satellites": (Channel.SATELLITES, Decimal(1), Decimal(0)),
    "hdop": (Channel.HDOP_CENTI, Decimal(100), Decimal(0)),
    "temperature_c": (Channel.TEMPERATURE_MC, Decimal(1_000), Decimal(0)),
    "temperature_f": (Channel.TEMPERATURE_MC, Decimal(5_000) / 9, Decimal(-32)),
    "humidity_percent": (Channel.HUMIDITY_CPERCENT, Decimal(100), Decimal(0)),
    "battery_v": (Channel.BATTERY_MV, Decimal(1_000), Decimal(0)),
}
_EXACT = {channel.name.lower(): channel for channel in Channel}
QUANTITIES = (*_NATURAL, *_EXACT)
_NO_QUANTITY = {"device", "time", "measured_at_ms", "fix", "quality"}
_PLACE = {Channel.LATITUDE_E7, Channel.LONGITUDE_E7, Channel.SPEED_MMPS, Channel.COURSE_CDEG, Channel.ALTITUDE_MM}
_OF_A_PLACE = {
    *(Quality.NO_TIME, Quality.SIMULATED, Quality.ESTIMATED, Quality.MANUAL, Quality.FEW_SATELLITES, Quality.HIGH_HDOP),
    *(Quality.SPOOFED, Quality.JAMMED, Quality.NO_FIX),
}
_SNIFFED_BYTES = 4_096


class RowError(ValueError):
    """A row that cannot be read: file, line and reason."""


class Row(NamedTuple):
    """One reading of a file."""

    device: str
    measured_at_ms: int
    cells: tuple[Cell, ...]


def read_rows(path: Path, columns: Mapping[str, str], device: str | None) -> Iterator[Row]:
    """The rows of a .csv file by its `columns` (quantity, `time` or `device` → column), of NMEA, or of JSON lines.

    Raises OSError and RowError.
    """
    is_nmea = _is_nmea(path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        source = _nmea(path) if is_nmea else _csv(file, columns) if path.suffix.lower() == ".csv" else _lines(file)
        number, what = 0, "sentences that make up fix" if is_nmea else "line"
        while True:
            try:
                found = next(source, None)
            except (ValueError, csv.Error) as error:
                raise RowError(f"{path}: {what} {number + 1}: {error}") from None
            if found is None:
                return
            number, said = found
            try:
                row = _row(said if isinstance(said, dict) else _object(said), device)
            except ValueError as error:
                raise RowError(f"{path}: {what} {number}: {error}") from None
            if row is not None:
                yield row


def _csv(file: Any, columns: Mapping[str, str]) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(file, strict=True)
    if not columns:
        raise ValueError(f"say with --map which columns to read; there are {', '.join(reader.fieldnames or ())}")
    missing = sorted(set(columns.values()) - set(reader.fieldnames or ()))
    if missing:
        raise ValueError(f"there is no column {missing[0]!r}; there are {', '.join(reader.fieldnames or ())}")
    for row in reader:
        if None in row or None in row.values():
            raise ValueError(f"not as many columns as the first line has: {len(reader.fieldnames or ())}")
        yield reader.line_num, {quantity: row[column] for quantity, column in columns.items()}


def _is_nmea(path: Path) -> bool:
    """Whether sentences stand at a file's beginning."""
    with path.open("rb") as file:
        return any(line.startswith((b"$GP", b"$GN", b"$GL", b"$GA", b"$GB")) for line in file.readlines(_SNIFFED_BYTES))


def _nmea(path: Path) -> Iterator[tuple[int, str]]:
    command = [sys.executable, "-m", "pledgewatch_edge", "nmea", str(path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as parser:  # noqa: S603 - our own program
        assert parser.stdout is not None
        assert parser.stderr is not None
        yield from _lines(parser.stdout)
        if complaint := parser.stderr.read().strip():
            raise ValueError(f"NMEA is read by pledgewatch[edge], which says: {complaint.splitlines()[-1]}")


def _lines(file: Any) -> Iterator[tuple[int, str]]:
    return ((number, line) for number, line in enumerate(file, 1) if line.strip())


def _object(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line, parse_float=Decimal)
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON: {error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise ValueError("no JSON that can be read: nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("an object is needed")  # noqa: TRY004 - a fault of the line
    return value


def _row(values: Mapping[str, Any], device: str | None) -> Row | None:
    """The reading of a row; None where it holds no quantity, or no time and no place (a cold receiver)."""
    name = values.get("device", device)
    if not name:
        raise ValueError("no device: give the column, or --device")
    cells = {}
    quality = _quality(values.get("quality"))
    for key, value in values.items():
        if key in _NO_QUANTITY or value is None or value == "":
            continue
        channel, number = _quantity(key, value)
        if channel in cells:
            raise ValueError(f"{key} is given twice, under two names")
        against = quality if (channel in _PLACE) is (quality in _OF_A_PLACE) else Quality.GOOD
        cells[channel] = Cell(channel, 0 if against >= NO_VALUE_FROM else number, against)
    if values.get("time") is None and values.get("measured_at_ms") is None:
        return None
    if not cells:
        return None
    return Row(str(name), _time_ms(values), tuple(cells[channel] for channel in sorted(cells)))


def _quality(name: Any) -> int:
    if name is None or name == "":
        return Quality.GOOD
    if str(name).upper() not in Quality.__members__:
        known = ", ".join(Quality.__members__).lower()
        raise ValueError(f"there is no quality {name!r}; there are {known}")
    return Quality[str(name).upper()]


def _quantity(key: str, value: Any) -> tuple[int, int]:
    if key in _EXACT:
        channel, factor, offset = _EXACT[key], Decimal(1), Decimal(0)
    elif key in _NATURAL:
        channel, factor, offset = _NATURAL[key]
    else:
        raise ValueError(f"there is no quantity {key!r}; there are {', '.join(QUANTITIES)}")
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        raise ValueError(f"{key} {value!r} is no number") from None
    if not number.is_finite():
        raise ValueError(f"{key} {value!r} is no number")
    counted = int(((number + offset) * factor).to_integral_value())
    if not -VALUE_LIMIT < counted < VALUE_LIMIT:
        raise ValueError(f"{key} {value!r} is more than the wire holds")
    return channel, counted


def _time_ms(values: Mapping[str, Any]) -> int:
    """Unix milliseconds as they are, or ISO 8601; a time without an offset is UTC."""
    if values.get("measured_at_ms") is not None:
        said = str(values["measured_at_ms"])
        if not said.lstrip("-").isdigit():
            raise ValueError(f"measured_at_ms {said!r} is no whole number of milliseconds")
        at_ms = int(said)
    else:
        moment = datetime.fromisoformat(str(values["time"]))
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        at_ms = round(moment.timestamp() * 1_000)
    if not MIN_TIME_MS <= at_ms <= MAX_TIME_MS:
        raise ValueError(f"the time {values.get('time', at_ms)} is none that the wire holds: from 1970 to 2248")
    return at_ms
