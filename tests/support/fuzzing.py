"""Lines that a receiver might say and lines that none would, from a seed; and whether any of them fools the parser.

What is right is told by an oracle of its own, from the standard's text alone: a line's last `$` begins a sentence, its
`*hh` ends it, and hh is the exclusive or of what stands between. Two parsers hear the same story: one hears every line,
the other only those that the oracle calls right. Whatever they find must be the same, so nothing of a line with a wrong
checksum has become, moved or ended a fix.
"""

import random
import re
from collections.abc import Iterator
from functools import reduce
from typing import Final, NamedTuple

from pledgewatch_edge.fixes import Fix, FixAssembler
from pledgewatch_edge.sensors.fix_sampler import cells_of
from pledgewatch_edge.ubx import sums
from pledgewatch_wire.codec import MAX_TIME_MS, Payload, decode, encode
from pledgewatch_wire.reading import Clock, Reading

TALKERS: Final = ("GP", "GN", "GL", "GA", "GB", "BD", "QZ")
_LONGEST: Final = 512
_RIGHT: Final = re.compile(rb"([^$]*)\*([0-9A-Fa-f]{2})[ \t\x0b\x0c]*", re.DOTALL)
_BODIES: Final = (
    "RMC,{time},A,{latitude},{longitude},10.000,90.00,{day}{month}26,,,A",
    "GGA,{time},{latitude},{longitude},1,08,0.90,12.5,M,0.0,M,,",
    "GNS,{time},{latitude},{longitude},AA,08,0.90,12.5,0.0,,",
    "GLL,{latitude},{longitude},{time},A,A",
    "GSA,A,3,01,02,03,,,,,,,,,,1.50,0.90,1.20",
    "VTG,90.00,T,,M,10.000,N,18.520,K,A",
    "ZDA,{time},{day},{month},2026,00,00",
    "GSV,3,1,11,03,03,111,00,04,15,270,00,06,01,010,00,13,06,292,00",
    "TXT,01,01,02,ANTSTATUS=OK",
)
# What stands in fields where something has gone wrong, or nearly.
_ODD: Final = (
    *(
        "",
        "0",
        "-1",
        "9999999999",
        "99999999999999999999",
        "1e9",
        "nan",
        "inf",
        "0x10",
        "1_0",
        "+1",
        ".",
        "-.",
        "..",
        " ",
    ),
    *("N", "S", "A", "V", "K", "\u00e9", "\x00", "235960.99", "240000", "000000.000", "290226", "310290", "9000.0000"),
    *("18000.0000", "9000.0001", "-3342.1", "33\t42", "*", ",", "S*S", "A" * 90),
)
_NOISE: Final = tuple(bytes((one,)) for one in b"$*,\r\n\xb5\x62\x00\xff")


class Line(NamedTuple):
    """Some bytes of the stream. `is_frame`: a u-blox frame whose sums fit, which is no sentence whatever is in it."""

    data: bytes
    is_frame: bool = False


class Heard(NamedTuple):
    """What came of many lines."""

    lines: int
    right: int
    fixes: int


def lines(seed: int, count: int) -> Iterator[Line]:
    """So many lines, the same for the same seed."""
    dice = random.Random(seed)
    for number in range(count):
        yield _line(dice, number)


def assert_not_fooled(some: Iterator[Line]) -> Heard:
    """Hear the lines, and raise AssertionError where one that is wrong has made a difference. Any other exception is
    the parser's own, and none may come."""
    everything, only_right = FixAssembler(), FixAssembler()
    said = right = fixes = 0
    for line in some:
        said += 1
        found = everything.feed(line.data)
        expected: list[Fix] = []
        for piece in _right_in(line):
            right += not line.is_frame
            expected += only_right.feed(piece)
        assert found == expected, f"line {said}: {line.data!r} makes {found}, and what is right of it {expected}"
        for fix in found:
            _require_of_this_world(fix)
        fixes += len(found)
    assert everything.flush() == only_right.flush()
    assert everything.counts.sentences == only_right.counts.sentences == right
    return Heard(said, right, fixes)


def bodies_in(data: bytes) -> list[bytes]:
    """The right sentences of a log whose lines all end, without `$`, sum and end."""
    found = []
    for piece in re.split(rb"[\r\n]", data)[:-1]:
        _, dollar, body = piece.rpartition(b"$")
        held = _RIGHT.fullmatch(body)
        if dollar and len(body) <= _LONGEST and held and _xor(held[1]) == int(held[2], 16):
            found.append(held[1])
    return found


def _right_in(line: Line) -> list[bytes]:
    """The right sentences of a line, in order."""
    return [line.data] if line.is_frame else [_sentence(body) for body in bodies_in(line.data)]


def _require_of_this_world(fix: Fix) -> None:
    """A fix can be said on the wire, and lies on the earth."""
    if fix.latitude_e7 is not None and fix.longitude_e7 is not None:
        assert abs(fix.latitude_e7) <= 900_000_000, fix
        assert abs(fix.longitude_e7) <= 1_800_000_000, fix
    at_ms = fix.time_ms or 0
    assert 0 <= at_ms < MAX_TIME_MS, fix
    said = Payload(1, (Reading(1, at_ms, Clock.GPS, cells_of(fix)),))
    assert decode(encode(said)).readings == said.readings


def _xor(body: bytes) -> int:
    return reduce(lambda left, right: left ^ right, body, 0)


def _sentence(body: bytes) -> bytes:
    return b"$" + body + b"*%02X\r\n" % _xor(body)


def _body(dice: random.Random, number: int) -> bytes:
    """A sentence as a receiver says it, a tenth of a second after the one before; now and then another day."""
    tenths = number % 864_000
    text = dice.choice(_BODIES).format(
        time=f"{tenths // 36_000:02d}{tenths // 600 % 60:02d}{tenths // 10 % 60:02d}.{tenths % 10}0",
        latitude=f"{dice.randrange(90):02d}{dice.randrange(60):02d}.{dice.randrange(100_000):05d},{dice.choice('NS')}",
        longitude=f"{dice.randrange(180):03d}{dice.randrange(60):02d}.{dice.randrange(100_000):05d},{dice.choice('EW')}",
        day=f"{number // 864_000 % 28 + 1:02d}",
        month=f"{number // 30_000_000 % 12 + 1:02d}",
    )
    return (dice.choice(TALKERS) + text).encode()


def _line(dice: random.Random, number: int) -> Line:
    roll = dice.random()
    body = _body(dice, number)
    if roll < 0.15:
        return Line(_sentence(body))
    if roll < 0.45:  # wrong in its fields, and right by its checksum
        return Line(_sentence(_with_odd_fields(dice, body)))
    if roll < 0.85:  # changed on its way
        return Line(_garbled(dice, _sentence(body)) + b"\n")
    if roll < 0.97:
        return Line(dice.randbytes(dice.randrange(90)).replace(b"\xb5", b"$") + b"\n")
    if roll < 0.995:
        kind = dice.choice([b"\x01\x03", b"\x0a\x09", b"\x0a\x38", b"\x01\x07"])
        payload = dice.randbytes(dice.choice([0, 8, 16, 28, 60]))
        framed = kind + len(payload).to_bytes(2, "little") + payload
        return Line(b"\xb5\x62" + framed + sums(framed), is_frame=True)
    return Line(b"\xb5" + _sentence(body))  # the first byte of a frame that never comes


def _with_odd_fields(dice: random.Random, body: bytes) -> bytes:
    fields = body.decode().split(",")
    for _ in range(dice.randrange(1, 4)):
        place = dice.randrange(1, len(fields))
        turn = dice.randrange(4)
        if turn == 0:
            fields.insert(place, dice.choice(_ODD))
        elif turn == 1 and len(fields) > 2:
            del fields[place]
        else:
            fields[place] = dice.choice(_ODD)
    return ",".join(fields).encode("utf-8")


def _garbled(dice: random.Random, data: bytes) -> bytes:
    raw = bytearray(data)
    for _ in range(dice.randrange(1, 4)):
        place = dice.randrange(len(raw)) if raw else 0
        turn = dice.randrange(5)
        if turn == 0 and raw:
            raw[place] = (raw[place] ^ (1 << dice.randrange(8))) or 0x20
        elif turn == 1 and raw:
            del raw[place]
        elif turn == 2:
            raw[place:place] = dice.choice(_NOISE)
        elif turn == 3:
            del raw[place:]
        else:
            raw[place:place] = raw[: dice.randrange(len(raw) + 1)]
    return bytes(raw)
