"""What a zone or a count has missed is not found by rows: not by a sale and a delivery, nor where a scale is silent."""

import pytest
from keeping import Keeping, weight_of
from receipting import FIRST
from warehouses import BOX, PLACE, TRACKER

from pledgewatch_wire.reading import Cell, Channel

ZONES = [*PLACE["zones"], {"asset": BOX, "bins": ["Z-99"], "weight_tolerance_g": 50_000, "pieces_tolerance": 2}]


def short_of_ten() -> Keeping:
    """A zone of which ten of forty are missing for longer than the grace; the scale of another spoke before."""
    keeping = Keeping(zones=ZONES)
    keeping.row("received", 40)
    keeping.pledged()
    keeping.read(TRACKER, -600, Cell(Channel.WEIGHT_G, 0))
    for minute, units in ((1, 40), (10, 30), (30, 30), (60, 30)):
        keeping.at(minute).weigh(minute, weight_of(units))
    assert set(keeping.cases) == {"weight_below"}
    return keeping


@pytest.mark.parametrize("way", [("Z-99",), ("Q-1", "Z-99")])
def test_a_move_to_a_zone_that_is_silent_finds_nothing_until_it_speaks(way: tuple[str, ...]) -> None:
    keeping, place = short_of_ten(), "A-01"
    for number, to_bin in enumerate(way):
        keeping.at(70 + number).row("moved", 10, place, minute=9 + number, to_bin=to_bin)
        place = to_bin
    for minute in (80, 1_440):
        keeping.at(minute).weigh(minute, weight_of(30))
        assert keeping.missing == {FIRST: 10_000}
        assert "uncounted" in keeping.cases
    keeping.read(TRACKER, 1_440, Cell(Channel.WEIGHT_G, weight_of(10)))
    assert keeping.missing == {}


def test_a_zone_that_speaks_and_is_short_finds_nothing() -> None:
    keeping = short_of_ten()
    keeping.at(70).row("moved", 10, minute=9, to_bin="Z-99")
    for minute in (80, 90, 120):
        keeping.at(minute).read(TRACKER, minute, Cell(Channel.WEIGHT_G, 0))
        assert keeping.missing == {FIRST: 10_000}, minute


@pytest.mark.parametrize("waits", [0, 300])
def test_a_sale_and_a_delivery_are_a_move(waits: int) -> None:
    keeping = short_of_ten()
    keeping.at(70).row("sold", 10, minute=9)
    keeping.tick(70 + waits)
    keeping.row("received", 10, "Y-99", minute=9)
    keeping.tick(1_440)
    assert keeping.missing == {FIRST: 10_000}
    assert [one.bin for one in keeping.cases["uncounted"].keys] == ["Y-99"]
    keeping.count(("Y-99", 10))
    assert keeping.missing == {}


@pytest.mark.parametrize("place", ["Z-99", "A-01"])
def test_what_comes_in_while_a_counts_loss_is_open_is_counted_first_also_when_it_is_moved_on(place: str) -> None:
    keeping = Keeping()
    keeping.row("received", 40)
    keeping.pledged()
    keeping.at(60).count(("A-01", 30))
    keeping.at(70).row("received", 10, place, minute=65)
    keeping.row("moved", 10, place, minute=66, to_bin="Y-99")
    assert keeping.missing == {FIRST: 10_000}
    keeping.at(80).count((place, 0 if place == "Z-99" else 30), ("Y-99", 10))
    assert keeping.missing == {}
    keeping.at(90).row("received", 10, "X-99", minute=90)
    keeping.row("sold", 10, "Y-99", minute=91)
    assert keeping.missing == {}  # no loss is open any more
