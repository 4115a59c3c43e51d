"""Lines of text: cutting bytes into lines, and the three forms in which devices say things in lines.

- `pairs`: `T=4.25;H=60.1` or `temp: -18.2, door: open`. A field for each name.
- `number`: the one number of the line, as scales send it (`ST,GS,+  12.345 kg`). The field is `value`, and where a unit
  stands behind the number `value_kg`: a scale that somebody has set to pounds is then another field, and not wrong. A
  line that says anywhere that the scale is not steady, or out of its range, has no number to go by and says nothing:
  `US`, `OL`, `UL`; the single letters `D` (Mettler's `S D`), `M` (motion) and `O` (over), but where the unit stands.
- `tags`: the line is what a scanner or a reader has read (a barcode, an EPC). The field is `tag`.

A line ends with carriage return, line feed, or both, or with STX and ETX around it as many scanners can be set to.
What is heard up to the first of these is let go: the port may have been opened in the middle of a line, and the rest of
a weight is a weight too.
"""

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from pledgewatch_gateway.sources import MalformedError, Value
from pledgewatch_gateway.sources.strict_json import number_of

LINE_MAX_BYTES: Final = 512
PAIRS_MAX: Final = 32
TAG_MAX_CHARACTERS: Final = 128
_ENDS: Final = frozenset(b"\r\n\x02\x03")
_PAIR: Final = re.compile(r"\s*([A-Za-z][A-Za-z0-9_.-]{0,63})\s*[=:]\s*([^\s,;=:]{1,64})\s*")
_NUMBER: Final = re.compile(
    r"(?<![0-9A-Za-z.])([+-]?\s{0,16}[0-9]{1,15}(?:\.[0-9]{1,15})?)\s{0,16}([A-Za-z]{0,8})(?![0-9A-Za-z.])"
)
_UNSTEADY: Final = re.compile(r"(?<![0-9A-Za-z])(?:US|OL|UL)(?![0-9A-Za-z])")
_UNSTEADY_BESIDE: Final = re.compile(r"(?<![0-9A-Za-z])[DMO](?![0-9A-Za-z])")


class LineForm(StrEnum):
    """What the lines of a port are."""

    PAIRS = "pairs"
    NUMBER = "number"
    TAGS = "tags"


class LineCutter:
    """Takes bytes in any pieces, gives lines without their ends. Holds at most LINE_MAX_BYTES.

    `too_long` counts lines that are left out for that, `cut_off` is whether there was something before the first end.
    """

    def __init__(self) -> None:
        self._line = bytearray()
        self._is_too_long = False
        self._has_begun = False
        self.too_long = 0
        self.cut_off = False

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that these bytes end, none of them empty; one that is too long is counted and left out."""
        found = []
        for byte in data:
            if byte in _ENDS:
                if not self._has_begun:
                    self.cut_off = bool(self._line)
                elif self._is_too_long:
                    self.too_long += 1
                elif self._line:
                    found.append(bytes(self._line))
                self._line.clear()
                self._is_too_long, self._has_begun = False, True
            elif len(self._line) < LINE_MAX_BYTES:
                self._line.append(byte)
            else:
                self._is_too_long = True
        return found


def read(form: LineForm, sensor: str, line: bytes) -> Sequence[Value]:
    """What a line says. Raises MalformedError."""
    try:
        text = line.decode("utf-8").strip()
    except UnicodeDecodeError:
        text = ""
    if not text or not text.isprintable():
        raise MalformedError("is no line of text; look at the speed of the port")
    match form:
        case LineForm.PAIRS:
            return _pairs(sensor, text)
        case LineForm.NUMBER:
            return _number(sensor, text)
        case LineForm.TAGS:
            if len(text) > TAG_MAX_CHARACTERS:
                raise MalformedError(f"is longer than {TAG_MAX_CHARACTERS} characters, which no tag is")
            return [Value(sensor, "tag", text)]


def _pairs(sensor: str, text: str) -> list[Value]:
    values: dict[str, Value] = {}
    for part in re.split(r"[,;]", text):
        found = _PAIR.fullmatch(part)
        if found is None or found[1] in values or len(values) >= PAIRS_MAX:
            raise MalformedError("is no list of name=value with each name once")
        try:
            value = Value(sensor, found[1], number_of(found[2]))
        except MalformedError:
            if found[2][0] in "+-.0123456789" or found[2].lower() in {"nan", "inf", "infinity"}:
                raise
            value = Value(sensor, found[1], found[2])
        values[found[1]] = value
    return list(values.values())


def _number(sensor: str, text: str) -> list[Value]:
    found = list(_NUMBER.finditer(text))
    beside = text if len(found) != 1 else f"{text[: found[0].start()]} {text[found[0].end() :]}"
    if _UNSTEADY.search(text) or _UNSTEADY_BESIDE.search(beside):
        return []
    if len(found) != 1:
        raise MalformedError("has no number, or more than one")
    number, unit = found[0].groups()
    return [Value(sensor, f"value_{unit.lower()}" if unit else "value", number_of(re.sub(r"\s", "", number)))]
