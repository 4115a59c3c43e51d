"""The wiring pictures are as their script draws them, and say what the tables of docs/INSTALL.md say."""

import re
import runpy
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).resolve().parent.parent
DRAWING: dict[str, Any] = runpy.run_path(str(ROOT / "scripts" / "wiring_pictures.py"))
PICTURES: dict[str, Any] = DRAWING["PICTURES"]
PAGE = (ROOT / "docs" / "INSTALL.md").read_text(encoding="utf-8")


def drawn(name: str) -> str:
    return str(DRAWING["drawn"](PICTURES[name]))


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_as_it_is_drawn(name: str) -> None:
    kept = (ROOT / "docs" / "pictures" / f"wiring-{name}.svg").read_text(encoding="utf-8")
    assert kept == DRAWING["drawn"](PICTURES[name]), "run scripts/wiring_pictures.py"
    assert ET.fromstring(kept).get("aria-label"), "who does not see it is told"
    assert "prefers-color-scheme: dark" in kept


@pytest.mark.parametrize("name", PICTURES)
def test_a_table_of_the_page_says_what_its_picture_says(name: str) -> None:
    _, shown, rest = PAGE.partition(f"(pictures/wiring-{name}.svg)")
    assert shown
    table = re.findall(r"^\| (\d+) \| ([^|]+) \| ([^|]+) \|$", rest.partition("\n#")[0], re.MULTILINE)
    wires = [(wire.pin, DRAWING["PINS"][wire.pin], wire.end) for part in PICTURES[name].parts for wire in part.wires]
    assert sorted((int(pin), there, end) for pin, there, end in table) == sorted(wires)


@pytest.mark.parametrize("name", PICTURES)
def test_no_wire_crosses_another(name: str) -> None:
    """As they are drawn: what goes along a lane, and what goes across at that height."""
    ways = re.findall(r'class="wire [a-z-]+" d="M(\d+) \d+ (?:V(\d+) )?H(\d+) V(\d+) H(\d+)"', text := drawn(name))
    tops = [int(left) for left in re.findall(r'class="wire [a-z-]+" d="M\d+ (\d+) (?:V\d+ )?H', text)]
    assert len(ways) == len(tops) == sum(len(part.wires) for part in PICTURES[name].parts)
    across = []
    along = []
    for number, ((begin, below, lane, end, part), top) in enumerate(zip(ways, tops, strict=True)):
        height = int(below or top)
        across += [(number, height, int(begin), int(lane)), (number, int(end), int(lane), int(part))]
        along.append((number, int(lane), *sorted((height, int(end)))))
    for one, lane, upper, lower in along:
        for other, height, left, right in across:
            assert one == other or not (left <= lane <= right and upper <= height <= lower), (one, other)


@pytest.mark.parametrize("name", PICTURES)
def test_a_header_says_that_it_goes_on(name: str) -> None:
    assert ">pins 21 to 40 go on below</text>" in drawn(name)


def test_every_wire_is_within_its_card() -> None:
    for name, picture in PICTURES.items():
        for number in re.findall(r"[HV](\d+)", DRAWING["drawn"](picture)):
            assert 0 < int(number) < DRAWING["WIDTH"], name
        assert max(map(int, re.findall(r'cy="(\d+)"', DRAWING["drawn"](picture)))) < DRAWING["HEIGHT"], name
