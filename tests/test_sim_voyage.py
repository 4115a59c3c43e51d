"""Voyages: from berth to berth along the sea, smoothly, across 180 degrees too."""

import csv
import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from needed import DATA, needs

from pledgewatch_sim.voyage import MPS_PER_KNOT, PORTS, Voyage, bearing_deg, between, distance_m, sea_lane

WPI = "places-wpi/wpi_trimmed.csv"
DEPART_MS = 1_700_000_000_000
PLACES = st.tuples(st.floats(-180, 180), st.floats(-85, 85))


@pytest.fixture(scope="module")
def pacific() -> Voyage:
    """Shanghai to Los Angeles."""
    return Voyage(PORTS["CNSHA"], PORTS["USLAX"], DEPART_MS, 18.0)


@needs(WPI)
def test_the_ports_are_where_the_world_port_index_has_ports() -> None:
    with (DATA / WPI).open(encoding="utf-8", newline="") as file:
        known = [(float(row["Longitude"]), float(row["Latitude"])) for row in csv.DictReader(file)]
    far = {
        locode: round(min(distance_m((port.longitude, port.latitude), one) for one in known) / 1_000)
        for locode, port in PORTS.items()
    }
    # Yangshan, where Shanghai's container ships lie since 2005, is an island that the index does not have.
    assert 60 < far.pop("CNSHA") < 80
    assert all(kilometres <= 20 for kilometres in far.values()), far


def test_it_rests_at_both_berths(pacific: Voyage) -> None:
    shanghai, los_angeles = PORTS["CNSHA"], PORTS["USLAX"]
    for at_ms in (0, DEPART_MS - 1, DEPART_MS):
        assert pacific.position(at_ms) == (shanghai.latitude, shanghai.longitude, 0.0, 0.0)
    for at_ms in (pacific.arrive_ms + 1, pacific.arrive_ms + 10**12):
        assert pacific.position(at_ms) == (los_angeles.latitude, los_angeles.longitude, 0.0, 0.0)
    before = pacific.position(pacific.arrive_ms - 1_000)
    assert distance_m((before.longitude, before.latitude), (los_angeles.longitude, los_angeles.latitude)) < 11


def test_it_crosses_180_degrees_without_a_jump(pacific: Voyage) -> None:
    step_s = 1_800
    steps = range(DEPART_MS - 3_600_000, pacific.arrive_ms + 3_600_000, step_s * 1_000)
    way = [pacific.position(at_ms) for at_ms in steps]
    farthest_m = 18.0 * MPS_PER_KNOT * step_s
    for one, other in pairwise(way):
        assert distance_m((one.longitude, one.latitude), (other.longitude, other.latitude)) <= farthest_m * 1.05
    crossings = [pair for pair in pairwise(way) if abs(pair[0].longitude - pair[1].longitude) > 180]
    assert len(crossings) == 1
    assert crossings[0][0].longitude > 179
    assert crossings[0][1].longitude < -179
    assert all(-180 <= one.longitude <= 180 for one in way)
    sailing = [one for one in way if one.speed_mps]
    assert {one.speed_mps for one in sailing} == {18.0 * MPS_PER_KNOT}


def test_its_course_is_where_it_goes(pacific: Voyage) -> None:
    for at_ms in range(DEPART_MS + 60_000, pacific.arrive_ms - 60_000, 7_200_000):
        here, soon = pacific.position(at_ms), pacific.position(at_ms + 1_000)
        towards = bearing_deg((here.longitude, here.latitude), (soon.longitude, soon.latitude))
        turn = abs((towards - here.course_deg + 180) % 360 - 180)
        # A waypoint may lie between the two moments; then the course is that to the waypoint.
        assert turn < 1 or here.course_deg != soon.course_deg


@pytest.mark.parametrize(
    ("origin", "destination", "nautical_miles"),
    [
        # Lengths as published distance tables give them, roughly.
        ("CNSHA", "USLAX", 5_750),
        ("NLRTM", "USNYC", 3_330),
        ("SGSIN", "LKCMB", 1_580),
        ("SGSIN", "NLRTM", 8_300),
    ],
)
def test_the_lanes_are_as_long_as_the_sea_is_wide(origin: str, destination: str, nautical_miles: int) -> None:
    voyage = Voyage(PORTS[origin], PORTS[destination], DEPART_MS, 10.0)
    assert voyage.length_m / 1_852 == pytest.approx(nautical_miles, rel=0.05)
    assert (voyage.arrive_ms - DEPART_MS) / 3_600_000 == pytest.approx(voyage.length_m / 18_520, abs=0.01)


def test_a_lane_begins_and_ends_at_its_berths_and_repeats_no_place() -> None:
    across = [(PORTS["CNSHA"], PORTS["USLAX"]), (PORTS["USNYC"], PORTS["HKHKG"])]  # the ocean's line, both ways
    for origin, destination in [*pairwise(PORTS.values()), *across]:
        lane = sea_lane(origin, destination)
        assert lane[0] == (origin.longitude, origin.latitude)
        assert all(-180 <= longitude <= 180 for longitude, _ in lane)
        assert distance_m(lane[-1], (destination.longitude, destination.latitude)) <= 1.0
        assert all(distance_m(*leg) > 1.0 for leg in pairwise(lane))


def test_distances_that_are_known() -> None:
    quarter_m = 6_371_008.8 * math.pi / 2
    assert distance_m((0, 0), (90, 0)) == pytest.approx(quarter_m)
    assert distance_m((17, 90), (-120, 0)) == pytest.approx(quarter_m)
    assert distance_m((179.5, 0), (-179.5, 0)) == pytest.approx(quarter_m / 90)
    assert bearing_deg((179.5, 0), (-179.5, 0)) == pytest.approx(90)
    assert bearing_deg((0, 10), (0, 0)) == pytest.approx(180)


@given(PLACES, PLACES, st.floats(0, 1))
def test_a_place_between_divides_the_way(one: tuple[float, float], other: tuple[float, float], share: float) -> None:
    whole_m = distance_m(one, other)
    if whole_m > 19_900_000:
        return  # nearly opposite: every way is as short
    place = between(one, other, share)
    assert distance_m(one, place) == pytest.approx(share * whole_m, abs=1.0)
    assert distance_m(place, other) == pytest.approx((1 - share) * whole_m, abs=1.0)
