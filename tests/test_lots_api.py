"""Lots and fences over the API: what is told of goods to whom, while they are pledged and after."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from api_cloud import ApiCloud, assert_problem
from builders import MINUTE_MS
from keeping import LINE
from receipting import BANK, DEPOSITOR, FIRST, OTHER_BANK
from seeing import HALL_LOT, OTHER_LINE, SEA_LOT, SECOND_LOT, Seeing
from warehouses import BOX, HALL, ZONE


@pytest.fixture
def seeing(tmp_path: Path) -> Iterator[Seeing]:
    made = Seeing(tmp_path)
    yield made
    made.close()


def test_a_lot_is_told_with_all_that_it_stands_by(seeing: Seeing) -> None:
    seeing.pledge(FIRST, BANK)
    seeing.read(ZONE)
    seeing.tick(30)
    seeing.read()
    found = seeing.get("lender-one", f"/lots/{HALL_LOT}")
    whole = seeing.get("keeper-kim", f"/facilities/{LINE}")
    assert (found["id"], found["asset"], found["is_shown"]) == (HALL_LOT, HALL, True)
    assert found["said"]["facility"] == LINE
    assert found["line"] == next(one for one in whole["lines"] if one["id"] == HALL_LOT)
    assert found["held"]["state"]
    (pledge,) = found["pledges"]
    assert (pledge["lender"], pledge["borrower"], pledge["receipt"]) == (BANK, DEPOSITOR, FIRST)
    assert pledge["until_ms"] is pledge["until_entry"] is None
    assert seeing.get("keeper-kim", f"/lots/{HALL_LOT}")["line"] == found["line"]


def test_the_age_of_evidence_is_from_the_newest_that_counts(seeing: Seeing) -> None:
    seeing.lend_on_sea(LINE)
    assert seeing.get("lender-one", f"/lots/{SEA_LOT}")["evidence_ms"] is None
    seeing.read()
    measured_ms = seeing.readings[-1][0]
    seeing.tick(44)
    seeing.read(ZONE)
    found = seeing.get("lender-one", f"/lots/{SEA_LOT}")
    assert (found["evidence_ms"], found["asset"]) == (measured_ms, BOX)
    assert found["evidence_age_ms"] == 45 * MINUTE_MS + MINUTE_MS // 2


def test_of_a_lot_whose_receipt_is_anothers_nothing_is_told_of_how_it_fares(seeing: Seeing) -> None:
    seeing.pledge(FIRST, OTHER_BANK)
    seeing.read(ZONE)
    found = seeing.get("lender-one", f"/lots/{HALL_LOT}")
    assert found["is_shown"] is False
    assert found["held"] is found["evidence_ms"] is found["mean_kinetic_temperature"] is None
    assert found["conditions"] == found["pledges"] == []


def test_a_lot_is_seen_by_its_facility_and_its_money_by_who_sees_money(seeing: Seeing) -> None:
    seeing.lend_on_sea(OTHER_LINE)
    seen = {
        user: [one["id"] for one in seeing.get(user, "/lots")]
        for user in ("lender-one", "lender-two", "lender-none", "operator-one", "warehouse-one", "insurer-one")
    }
    assert seen == {
        "lender-one": sorted((HALL_LOT, SECOND_LOT)),
        "lender-two": [SEA_LOT],
        "lender-none": [],
        "operator-one": [],
        "warehouse-one": [],
        "insurer-one": sorted((HALL_LOT, SECOND_LOT)),
    }
    assert seeing.get("lender-one", f"/lots/{SEA_LOT}") == 404
    found = seeing.get("insurer-one", f"/lots/{HALL_LOT}")
    assert found["line"] is None
    assert found["pledges"] == []


def test_lots_are_found_by_what_they_are_of(seeing: Seeing) -> None:
    seeing.lend_on_sea(OTHER_LINE)

    def found(query: str) -> list[str]:
        return [one["id"] for one in seeing.get("keeper-kim", f"/lots?{query}")]

    assert found(f"facility={OTHER_LINE}") == found(f"asset={BOX}") == found("sku=SEA-SKU") == [SEA_LOT]
    assert found(f"receipt={FIRST}") == [HALL_LOT]
    assert found("receipt=ghost") == found("sku=ghost") == []


def test_fences_are_told_as_they_were_said_and_who_is_in_them(tmp_path: Path) -> None:
    cloud = ApiCloud(tmp_path)
    cloud.sail_into_port()
    (box,) = cloud.get("/assets")["features"]
    (name,) = box["properties"]["fences"]
    listed = cloud.get("/fences")
    assert listed["features"] == cloud.get("/book")["fences"]["features"]
    one = cloud.get(f"/fences/{name}")
    assert one.pop("assets") == [box["id"]]
    assert one in listed["features"]
    assert cloud.get("/fences?kind=port")["features"] == listed["features"]
    assert cloud.get("/fences?kind=forbidden")["features"] == []
    assert_problem(cloud.client.get("/fences/ghost"), 404)
    cloud.close()
