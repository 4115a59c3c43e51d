"""Clusters: what is near each other on a map as one mark, and of each viewer what they may see alone."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from api_cloud import ApiCloud, assert_problem
from builders import MINUTE_MS, NOON_MS, book_document
from hypothesis import given, settings
from hypothesis import strategies as st
from keeping import LINE
from receipting import BANK, FIRST
from seeing import USERS, Seeing

from pledgewatch_cloud.access import view as view_module
from pledgewatch_cloud.api import clusters as clusters_module
from pledgewatch_cloud.api.clusters import CELL_PX, Box, clusters, fleet
from pledgewatch_cloud.decide import drafts

WORLD = Box(-180, -90, 180, 90)
PLACES = st.lists(st.tuples(st.floats(-180, 179.9), st.floats(-80, 80)), max_size=40)


def made(places: list[tuple[float, float]], standing: int = 0, severity: int = 0) -> clusters_module.Fleet:
    """Assets at places, the first of them standing otherwise."""
    nothing = np.zeros(len(places), dtype=np.int64)
    first = (np.arange(len(places)) == 0).astype(np.int64)
    ids = [f"a{number}" for number in range(len(places))]
    where = np.array(places, dtype=np.float64).reshape(-1, 2)
    return fleet(ids, where, nothing + standing * first, nothing + severity * first)


def told(found: dict[str, Any]) -> list[tuple[Any, int]]:
    """Ids and counts."""
    return [(one.get("id"), one["properties"]["count"]) for one in found["features"]]


def test_what_would_overlap_is_one_mark_with_the_worst_of_all() -> None:
    some = made([(10, 10), (10.001, 10.002), (60, -20)], standing=2, severity=2)
    (together, alone) = sorted(clusters(some, WORLD, 4)["features"], key=lambda one: -one["properties"]["count"])
    assert together["properties"] == {"count": 2, "state": "bad", "severity": "critical"}
    assert together["bbox"] == [10, 10, 10.001, 10.002]
    assert "id" not in together
    assert (alone["id"], alone["properties"]) == ("a2", {"count": 1, "state": "live", "severity": None})
    assert sorted(told(clusters(some, WORLD, 20))) == [("a0", 1), ("a1", 1), ("a2", 1)]


@given(PLACES, st.integers(0, 12))
@settings(max_examples=60, deadline=None)
def test_each_asset_is_counted_once_whatever_part_of_the_world_it_is_in(
    places: list[tuple[float, float]], zoom: int
) -> None:
    some = made(places)
    whole = clusters(some, WORLD, zoom)
    assert sum(count for _, count in told(whole)) == len(places)
    middle = 3.3
    parts = [
        clusters(some, Box(*bounds), zoom)["features"] for bounds in ((-180, -90, middle, 90), (middle, -90, 180, 90))
    ]
    written = [str(one) for part in parts for one in part]
    assert set(written) == {str(one) for one in whole["features"]}, "a cell is told whole or not at all"


def test_a_part_of_the_world_goes_over_the_date_line() -> None:
    some = made([(179.5, 0), (-179.5, 0), (0, 0)])
    assert {name for name, _ in told(clusters(some, Box(170, -10, -170, 10), 6))} == {"a0", "a1"}
    assert {name for name, _ in told(clusters(some, Box(170, -10, 190, 10), 6))} == {"a0", "a1"}


def test_of_too_many_the_cells_are_wider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters_module, "CLUSTERS_MAX", 10)
    some = made([(x, y) for x, y in itertools.product(range(-20, 20, 4), range(-20, 20, 4))])
    found = clusters(some, WORLD, 10)
    assert len(found["features"]) <= 10
    assert found["zoom"] < 10
    assert sum(count for _, count in told(found)) == 100
    assert CELL_PX * 360 / 256 / 2 ** (found["zoom"] + 1) < 40


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[ApiCloud]:
    made = ApiCloud(tmp_path, at_ms=NOON_MS + 60 * MINUTE_MS)
    yield made
    made.close()


def test_an_asset_shows_its_place_and_its_alert_and_an_event_is_not_waited_for(cloud: ApiCloud) -> None:
    cloud.spine.commit(drafts.amend, book_document(cloud.device))
    assert cloud.get("/clusters")["features"] == []
    cloud.sail_into_port()
    (one,) = cloud.get("/clusters?zoom=8&bbox=-119,33,-118,34")["features"]
    assert (one["id"], one["properties"]) == (
        cloud.get("/assets")["features"][0]["id"],
        {"count": 1, "state": "bad", "severity": "critical"},
    )
    assert cloud.get("/clusters?zoom=8&bbox=0,33,1,34")["features"] == []


@pytest.mark.parametrize("bbox", ["1,2,3", "a,b,c,d", "0,10,1,-10", "0,0,0,91", "nan,0,1,1", "-600,0,1,1"])
def test_what_is_no_part_of_the_world_is_refused(cloud: ApiCloud, bbox: str) -> None:
    assert_problem(cloud.client.get(f"/clusters?bbox={bbox}"), 422)


def test_counts_are_of_what_a_viewer_sees_and_of_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the assets that they are told at that moment, whoever asks, also where an answer is kept: but for a reading
    that says nothing, which is told when it is kept no longer."""
    seeing = Seeing(tmp_path)

    def assert_same() -> None:
        for name in USERS:
            features = seeing.get(name, "/assets")["features"]
            placed = [one["id"] for one in features if one["geometry"]]
            found = seeing.get(name, "/clusters?zoom=0")["features"]
            assert sum(one["properties"]["count"] for one in found) == len(placed), name
            alone = [one["id"] for one in seeing.get(name, "/clusters?zoom=20")["features"] if "id" in one]
            assert set(alone) <= set(placed), name

    seeing.read()
    for kept_s, step in (
        (1_000.0, lambda: seeing.lend_on_sea(LINE)),
        (1_000.0, lambda: seeing.pledge(FIRST, BANK)),
        (0.0, seeing.read),
        (1_000.0, lambda: seeing.release(FIRST)),
        (1_000.0, lambda: seeing.lend_on_sea("")),
        (1_000.0, seeing.tick),
    ):
        monkeypatch.setattr(view_module, "KEPT_S", kept_s)
        step()
        assert_same()
    seeing.lend_on_sea(LINE)
    seeing.read()
    seen = {name for name in USERS if seeing.get(name, "/clusters?zoom=0")["features"]}
    assert {"lender-one", "keeper-kim", "operator-one"} <= seen
    assert not {"lender-two", "lender-none", "operator-two"} & seen
    seeing.close()


def test_assets_are_found_by_a_part_of_their_names_and_counted_over_all_pages(cloud: ApiCloud) -> None:
    cloud.sail_into_port()
    (one,) = cloud.get("/assets")["features"]
    for find, count in ((one["id"][2:].upper(), 1), ("ghost", 0), ("", 1)):
        found = cloud.get(f"/assets?find={find}&limit=1")
        assert (len(found["features"]), found["count"]) == (count, count), find
