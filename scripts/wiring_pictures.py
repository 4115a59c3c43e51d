"""Draws the wiring pictures of docs/INSTALL.md (docs/pictures/wiring-*.svg) from tables of what goes to which pin.

    .venv/bin/python scripts/wiring_pictures.py

A picture is a Pi's header from pin 1 to 20, torn off below, what is wired to it, and a line for each wire, of which no
two cross. Its card has a background of its own and two sets of colours, for light and for dark surroundings. Every end
of a wire has its name, so no colour need be told from another. A test holds the files to what this script draws, and
the tables of the page to these.
"""

import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

FOLDER: Final = Path(__file__).resolve().parent.parent / "docs" / "pictures"
PINS: Final = {
    1: "3.3 V", 2: "5 V", 3: "GPIO 2, SDA", 4: "5 V", 5: "GPIO 3, SCL", 6: "GND", 7: "GPIO 4", 8: "GPIO 14, TXD",
    9: "GND", 10: "GPIO 15, RXD", 11: "GPIO 17", 12: "GPIO 18", 13: "GPIO 27", 14: "GND", 15: "GPIO 22", 16: "GPIO 23",
    17: "3.3 V", 18: "GPIO 24", 19: "GPIO 10", 20: "GND",
}  # fmt: skip
"""The header's first half; all models with 40 pins have the same."""

ROW: Final = 30
TOP: Final = 78
ODD_X: Final = 150
EVEN_X: Final = 180
NAME_X: Final = 198
LANES_X: Final = 330
LANE: Final = 16
PART_X: Final = 500
PART_TOP: Final = TOP + 8
PART_WIDTH: Final = 232
WIDTH: Final = 760
HEIGHT: Final = TOP + 10 * ROW + 42


class Wire(NamedTuple):
    """From a pin of the header to a name at a part."""

    pin: int
    end: str
    kind: str


class Part(NamedTuple):
    """What is wired: its name, a line about it, its wires from the top down; `between` names a resistor that ties two
    of its wires together."""

    name: str
    about: str
    wires: Sequence[Wire]
    resistor: str = ""
    between: tuple[int, int] = (0, 0)


class Picture(NamedTuple):
    """One file."""

    title: str
    parts: Sequence[Part]


PICTURES: Final = {
    "gps": Picture(
        "A GPS module on the serial line",
        [
            Part(
                "GPS module",
                "u-blox or another, 3.3 V logic",
                [
                    Wire(1, "VCC", "power"),
                    Wire(6, "GND", "ground"),
                    Wire(8, "RX", "data-b"),
                    Wire(10, "TX", "data-a"),
                ],
            )
        ],
    ),
    "ds18b20": Picture(
        "DS18B20 probes on one wire",
        [
            Part(
                "DS18B20",
                "all probes on the same three wires",
                [
                    Wire(1, "VDD (red)", "power"),
                    Wire(7, "DQ (yellow)", "data-a"),
                    Wire(9, "GND (black)", "ground"),
                ],
                "4.7 kΩ",
                (0, 1),
            )
        ],
    ),
    "sht3x": Picture(
        "An SHT3x on the I²C bus",
        [
            Part(
                "SHT3x",
                "0x44; with ADDR high 0x45",
                [
                    Wire(1, "VIN", "power"),
                    Wire(3, "SDA", "data-a"),
                    Wire(5, "SCL", "data-b"),
                    Wire(14, "GND", "ground"),
                ],
            )
        ],
    ),
    "adxl345": Picture(
        "An ADXL345 on the I²C bus",
        [
            Part(
                "ADXL345",
                "SDO to GND: 0x53; CS to VCC: I²C",
                [
                    Wire(3, "SDA", "data-a"),
                    Wire(5, "SCL", "data-b"),
                    Wire(17, "VCC and CS", "power"),
                    Wire(20, "GND and SDO", "ground"),
                ],
            )
        ],
    ),
    "door": Picture(
        "A door contact",
        [
            Part(
                "Reed contact",
                "closed while the door is closed",
                [Wire(9, "one end", "ground"), Wire(11, "the other end", "data-a")],
            )
        ],
    ),
    "rs485": Picture(
        "RS-485 for Modbus RTU",
        [
            Part(
                "MAX3485 module",
                "3.3 V; switches direction by itself",
                [
                    Wire(1, "VCC", "power"),
                    Wire(8, "DI, TXD", "data-b"),
                    Wire(10, "RO, RXD", "data-a"),
                    Wire(14, "GND", "ground"),
                ],
            ),
            Part("Controller", "120 Ω at both ends of the pair", []),
        ],
    ),
}

_STYLE: Final = """
  .card { fill: #fbfbf9; stroke: #c9c9c2 } .board { fill: #e7efe6; stroke: #7f9a7c }
  .part { fill: #ffffff; stroke: #5b6770 }
  text { font: 13px system-ui, sans-serif; fill: #1d2328 } .title { font-size: 17px; font-weight: 600 }
  .small { font-size: 11.5px; fill: #4d575e } .number { font-size: 10px; text-anchor: middle }
  .pin { fill: #d9dcd6; stroke: #7b817a } .used { fill: #f3d272; stroke: #7a5c00 } .usednumber { fill: #1d2328 }
  .wire { fill: none; stroke-width: 3 } .name { font-weight: 600 }
  .power { stroke: #c62828 } .ground { stroke: #30363b } .data-a { stroke: #1565c0 } .data-b { stroke: #2e7d32 }
  .dot.power { fill: #c62828 } .dot.ground { fill: #30363b } .dot.data-a { fill: #1565c0 } .dot.data-b { fill: #2e7d32 }
  .resistor { fill: #ffffff; stroke: #1d2328; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    .card { fill: #171b1f; stroke: #3b444b } .board { fill: #1f2b22; stroke: #5f7a62 }
    .part { fill: #222930; stroke: #8b979f }
    text { fill: #e6eaed } .small { fill: #aab4bb } .pin { fill: #3a4147; stroke: #7b858c } .used { fill: #f3d272 }
    .power { stroke: #ff7a70 } .ground { stroke: #c3cad0 } .data-a { stroke: #6fb3ff } .data-b { stroke: #7fd386 }
    .dot.power { fill: #ff7a70 } .dot.ground { fill: #c3cad0 }
    .dot.data-a { fill: #6fb3ff } .dot.data-b { fill: #7fd386 }
    .resistor { fill: #222930; stroke: #e6eaed }
  }"""


def drawn(picture: Picture) -> str:
    """The picture as SVG."""
    used = {wire.pin for part in picture.parts for wire in part.wires}
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"',
        f'role="img" aria-label="{escape(described(picture))}">',
        f"<style>{_STYLE}\n</style>",
        f'<rect class="card" x="1" y="1" width="{WIDTH - 2}" height="{HEIGHT - 2}" rx="10"/>',
        f'<text class="title" x="22" y="34">{escape(picture.title)}</text>',
        '<text class="small" x="22" y="53">The Pi\'s header, seen from above; pin 1 is nearest the card slot</text>',
        *_header(used),
        *_parts(picture),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def described(picture: Picture) -> str:
    """The picture in words, for who does not see it."""
    wires = [
        f"pin {wire.pin} ({PINS[wire.pin]}) to {wire.end} of {part.name}"
        for part in picture.parts
        for wire in part.wires
    ]
    return f"{picture.title}: {'; '.join(wires)}"


def _pin_at(pin: int) -> tuple[int, int]:
    return (ODD_X if pin % 2 else EVEN_X), TOP + 18 + (pin - 1) // 2 * ROW


def _header(used: set[int]) -> Iterator[str]:
    left, right, top, bottom = ODD_X - 20, EVEN_X + 20, TOP - 2, TOP + 10 * ROW + 2
    tooth = (right - left) // 10
    torn = " ".join(f"l{-tooth} {8 if place % 2 == 0 else -8}" for place in range(10))
    yield f'<path class="board" d="M{left} {bottom} V{top + 6} q0 -6 6 -6 H{right - 6} q6 0 6 6 V{bottom} {torn} z"/>'
    middle = (left + right) // 2
    yield f'<text class="small" x="{middle}" y="{bottom + 24}" text-anchor="middle">pins 21 to 40 go on below</text>'
    for pin, name in PINS.items():
        x, y = _pin_at(pin)
        kind = "pin used" if pin in used else "pin"
        yield f'<circle class="{kind}" cx="{x}" cy="{y}" r="10"/>'
        number = "number usednumber" if pin in used else "number"
        yield f'<text class="{number}" x="{x}" y="{y + 3.5}">{pin}</text>'
        if pin in used:
            where = f'x="{ODD_X - 28}" text-anchor="end"' if pin % 2 else f'x="{NAME_X + 10}"'
            yield f'<text class="small" {where} y="{y + _beside(pin, used)}">{escape(name)}</text>'


def _beside(pin: int, used: set[int]) -> int:
    """How far below its pin a name stands: of the right row above its wire, or below where another's goes above."""
    if pin % 2:
        return 4
    return 16 if pin - 3 in used else -6


def _parts(picture: Picture) -> Iterator[str]:
    y, lane = PART_TOP, 0
    for part in picture.parts:
        height = 64 + 27 * len(part.wires)
        yield f'<rect class="part" x="{PART_X}" y="{y}" width="{PART_WIDTH}" height="{height}" rx="8"/>'
        yield f'<text class="name" x="{PART_X + 16}" y="{y + 25}">{escape(part.name)}</text>'
        yield f'<text class="small" x="{PART_X + 16}" y="{y + 43}">{escape(part.about)}</text>'
        ends = [y + 64 + 27 * place for place in range(len(part.wires))]
        lanes = [LANES_X + LANE * (lane + place) for place in lanes_of([one.pin for one in part.wires], ends)]
        for wire, end, x in zip(part.wires, ends, lanes, strict=True):
            yield _wire(wire, end, x)
        lane += len(part.wires)
        if part.resistor:
            yield from _resistor(part, ends)
        y += height + 20
    if any(part.name == "Controller" for part in picture.parts):
        yield from _pair()


def crossings(pins: Sequence[int], ends: Sequence[int], lanes: Sequence[int]) -> int:
    """How often wires from pins by lanes to ends cross: one's way along its lane meets another's to its own, or from
    it."""
    found = 0
    for (pin, end, lane), (other, other_end, other_lane) in itertools.permutations(
        zip(pins, ends, lanes, strict=True), 2
    ):
        upper, lower = sorted((_leaves_at(pin), end))
        found += upper <= (_leaves_at(other) if lane < other_lane else other_end) <= lower
    return found


def lanes_of(pins: Sequence[int], ends: Sequence[int]) -> Sequence[int]:
    """The lane of each wire, from the left, with the fewest crossings."""
    return min(itertools.permutations(range(len(pins))), key=lambda lanes: crossings(pins, ends, lanes))


def _leaves_at(pin: int) -> int:
    """How far down a wire leaves the header: of the left row below its pin."""
    return _pin_at(pin)[1] + (ROW // 2 if pin % 2 else 0)


def _wire(wire: Wire, end: int, lane: int) -> str:
    """From the pin by the gap below its row to a lane, along it, and to the part."""
    x, y = _pin_at(wire.pin)
    start = f"M{x} {y + 10} V{_leaves_at(wire.pin)}" if wire.pin % 2 else f"M{x + 10} {y}"
    return (
        f'<path class="wire {wire.kind}" d="{start} H{lane} V{end} H{PART_X}"/>'
        f'<circle class="dot {wire.kind}" cx="{PART_X}" cy="{end}" r="5"/>'
        f'<text x="{PART_X + 16}" y="{end + 4.5}">{escape(wire.end)}</text>'
    )


def _resistor(part: Part, ends: Sequence[int]) -> Iterator[str]:
    """Between two wires, just before the part."""
    upper, lower = (ends[place] for place in part.between)
    x = PART_X - 46
    yield f'<path class="wire ground" style="stroke-width:2" d="M{x} {upper} V{lower}"/>'
    middle = (upper + lower) // 2
    yield f'<rect class="resistor" x="{x - 6}" y="{middle - 9}" width="12" height="18" rx="2"/>'
    yield f'<text class="small" x="{x - 12}" y="{middle + 4}" text-anchor="end">{part.resistor}</text>'


def _pair() -> Iterator[str]:
    """A and B, from the module down to the controller."""
    top = PART_TOP + 64 + 27 * 4
    bottom = top + 20
    for name, x, kind in (("A", PART_X + 150, "data-a"), ("B", PART_X + 190, "data-b")):
        yield f'<path class="wire {kind}" d="M{x} {top} V{bottom}"/>'
        yield from (f'<circle class="dot {kind}" cx="{x}" cy="{y}" r="5"/>' for y in (top, bottom))
        yield f'<text x="{x - 4}" y="{top - 10}">{name}</text><text x="{x - 4}" y="{bottom + 20}">{name}</text>'


def main() -> int:
    """Write all pictures."""
    for name, picture in PICTURES.items():
        (FOLDER / f"wiring-{name}.svg").write_text(drawn(picture), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
