"""The envelope of ANSI ASC X12: from text to transaction sets, every control total checked.

An interchange opens with ISA, which is the only segment of a fixed length: 106 signs, of which the fourth separates
elements, the 105th components and the 106th ends segments; from release 00402 on the eleventh element separates
repetitions. In it are functional groups (GS to GE) of transaction sets (ST to SE). Each end repeats its beginning's
control number and says how much lies between: IEA how many groups, GE how many sets, SE how many segments, itself and
ST included. What does not add up is refused with all that it holds, and with nothing else: a set with its rows, a
group with its sets, an interchange with its groups.

Segments are numbered from 1 over the whole text; faults name them so.
"""

from collections.abc import Iterator
from typing import NamedTuple

from pledgewatch_cloud.decide.moments import short
from pledgewatch_cloud.decide.stock.rows import Fault, StockError

SEGMENTS_MAX = 500_000
_ISA_LENGTH = 106
_ISA_WIDTHS = (3, 2, 10, 2, 10, 2, 15, 2, 15, 6, 4, 1, 5, 9, 1, 1, 1)
_ELEMENTS_MAX = 64
_GROUPS = {"846": "IB", "944": "RE", "945": "SW"}


class Segment(NamedTuple):
    """A segment: its number in the text, and its elements, the name first."""

    number: int
    elements: tuple[str, ...]

    @property
    def name(self) -> str:
        """What kind of segment it is: LIN, QTY."""
        return self.elements[0]

    def element(self, place: int) -> str:
        """The element at a place from 1, without spaces at its end; empty where there is none."""
        return self.elements[place].rstrip(" ") if place < len(self.elements) else ""


class TransactionSet(NamedTuple):
    """A set whose control totals are right: its code (846), its ST, and what is between ST and SE.

    `component` separates components within an element.
    """

    code: str
    start: Segment
    body: tuple[Segment, ...]
    component: str


class _Delimiters(NamedTuple):
    element: str
    component: str
    end: str


def sets(text: str, faults: list[Fault]) -> Iterator[TransactionSet]:
    """The sets of all interchanges in a text; what is wrong goes to `faults`, and what it concerns is not given.

    Raises StockError where the text is no X12 from some segment on: then nothing of it may be taken.
    """
    found: list[TransactionSet] = []
    rest, number = text.lstrip(" \r\n"), 1
    if not rest:
        raise StockError((Fault(0, "is empty: an interchange from ISA to IEA is needed"),))
    while rest:
        delimiters = _delimiters(rest, number)
        segments, rest = _interchange(rest, delimiters, number)
        number += len(segments)
        found += _sets_of(segments, delimiters, faults)
    yield from found


def _delimiters(text: str, number: int) -> _Delimiters:
    if not text.startswith("ISA") or len(text) < _ISA_LENGTH:
        raise StockError((Fault(number, f"an interchange begins with ISA and its {_ISA_LENGTH} signs"),))
    head, element = text[: _ISA_LENGTH - 1], text[3]
    parts = head.split(element)
    if tuple(map(len, parts)) != _ISA_WIDTHS:
        widths = ", ".join(map(str, _ISA_WIDTHS[1:]))
        raise StockError((Fault(number, f"ISA has 16 elements of {widths} signs: fill them up with spaces"),))
    found = _Delimiters(element, text[104], text[105])
    marks = [*found, parts[11]] if parts[12] >= "00402" and parts[11] != "U" else list(found)
    if len(set(marks)) != len(marks) or any(one.isalnum() or one == " " for one in marks):
        raise StockError(
            (Fault(number, f"ISA names the delimiters {marks}: they differ, and are no letters or digits"),)
        )
    if parts[15] != "P":
        raise StockError((Fault(number, f"ISA15 is {parts[15]!r}: only production data (P) is taken, no tests"),))
    return found


def _interchange(text: str, delimiters: _Delimiters, number: int) -> tuple[list[Segment], str]:
    """The segments from ISA to IEA, and the text behind them."""
    found: list[Segment] = []
    place = 0
    while True:
        end = text.find(delimiters.end, place)
        if end < 0:
            raise StockError((Fault(number + len(found), "the text ends before IEA: is the file whole?"),))
        elements = text[place:end].split(delimiters.element)
        place = end + 1
        while delimiters.end not in "\r\n" and place < len(text) and text[place] in "\r\n":
            place += 1
        if delimiters.end == "\r" and text[place : place + 1] == "\n":
            place += 1
        segment = Segment(number + len(found), tuple(elements))
        if not 2 <= len(segment.name) <= 3 or not segment.name.isalnum() or len(elements) > _ELEMENTS_MAX:
            raise StockError(
                (Fault(segment.number, f"{short(text[end - 40 if end > 40 else 0 : end])} is no segment"),)
            )
        if any("\r" in one or "\n" in one for one in elements):
            raise StockError((Fault(segment.number, "a line break within a segment: is a terminator missing?"),))
        found.append(segment)
        if segment.number > SEGMENTS_MAX:
            raise StockError((Fault(segment.number, f"more than {SEGMENTS_MAX} segments: hand it in in parts"),))
        if segment.name == "IEA":
            return found, text[place:].lstrip(" \r\n")


def _sets_of(segments: list[Segment], delimiters: _Delimiters, faults: list[Fault]) -> list[TransactionSet]:
    """The sets of one interchange, none of them where it does not add up. Raises StockError where it is misbuilt."""
    start, *inner, end = segments
    found: list[TransactionSet] = []
    groups = 0
    control_numbers = set[str]()
    while inner:
        if inner[0].name != "GS":
            raise StockError((Fault(inner[0].number, f"{inner[0].name} where GS or IEA must be"),))
        length = _length(inner, "GE")
        found += _sets_of_group(inner[:length], delimiters, faults)
        groups += 1
        if inner[0].element(6) in control_numbers:
            raise StockError(
                (Fault(inner[0].number, f"GS06 {inner[0].element(6)} is another group's: which one counts?"),)
            )
        control_numbers.add(inner[0].element(6))
        inner = inner[length:]
    wrong = _unequal("ISA13", start.element(13), "IEA02", end.element(2)) + _miscounted(
        "IEA01", end.element(1), groups, "groups"
    )
    faults += [Fault(end.number, f"{text}: nothing of the interchange is taken") for text in wrong]
    return [] if wrong else found


def _sets_of_group(segments: list[Segment], delimiters: _Delimiters, faults: list[Fault]) -> list[TransactionSet]:
    start, *inner, end = segments
    found: list[TransactionSet] = []
    own: list[Fault] = []
    numbers = set[str]()
    count = 0
    while inner:
        if inner[0].name != "ST":
            raise StockError((Fault(inner[0].number, f"{inner[0].name} where ST or GE must be"),))
        length = _length(inner, "SE")
        head, *body, tail = inner[:length]
        inner = inner[length:]
        count += 1
        code = head.element(1)
        wrong = _unequal("ST02", head.element(2), "SE02", tail.element(2))
        wrong += _miscounted("SE01", tail.element(1), length, "segments")
        if head.element(2) in numbers:
            wrong.append(f"ST02 {head.element(2)} is another set's: which one counts?")
        numbers.add(head.element(2))
        if code not in _GROUPS:
            wrong.append(f"{short(code)} is none of {', '.join(_GROUPS)}")
        elif start.element(1) != _GROUPS[code]:
            wrong.append(f"{code} is in a group {start.element(1)}, and belongs into {_GROUPS[code]}")
        own += [Fault(tail.number, f"{text}: nothing of the set is taken") for text in wrong]
        if not wrong:
            found.append(TransactionSet(code, head, tuple(body), delimiters.component))
    wrong = _unequal("GS06", start.element(6), "GE02", end.element(2)) + _miscounted(
        "GE01", end.element(1), count, "sets"
    )
    faults += own + [Fault(end.number, f"{text}: nothing of the group is taken") for text in wrong]
    return [] if wrong else found


def _length(segments: list[Segment], end: str) -> int:
    """How many segments there are up to the first end. Raises StockError where another begins before."""
    begins = {"GE": {"GS", "ISA"}, "SE": {"ST", "GS", "GE", "ISA"}}[end]
    for place, one in enumerate(segments[1:], 1):
        if one.name == end:
            return place + 1
        if one.name in begins:
            raise StockError((Fault(one.number, f"{one.name} before {end}: nothing of the text is taken"),))
    raise StockError((Fault(segments[-1].number, f"{end} is missing: nothing of the text is taken"),))


def _unequal(first: str, one: str, second: str, other: str) -> list[str]:
    return [] if one == other and one else [f"{second} is {short(other)}, but {first} is {short(one)}"]


def _miscounted(name: str, said: str, found: int, what: str) -> list[str]:
    return (
        [] if said.isdecimal() and int(said) == found else [f"{name} says {short(said)}, but there are {found} {what}"]
    )
