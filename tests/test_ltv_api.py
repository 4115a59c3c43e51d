"""The loan to value over time, as it is told: the journal's bases, open where there was no ratio, and who sees it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from api_cloud import ApiCloud, assert_problem
from builders import MINUTE_MS, NOON_MS
from keeping import LINE
from seeing import USERS, Seeing

from pledgewatch_cloud.decide import drafts

POLICY = {"id": "strict", "covenants": {"warning_bp": 5_000, "call_bp": 6_000, "clear_bp": 100}}


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[ApiCloud]:
    made = ApiCloud(tmp_path, at_ms=NOON_MS + 60 * MINUTE_MS)
    made.sail_into_port()
    yield made
    made.close()


def test_each_base_of_the_journal_is_a_point_and_no_ratio_is_none(cloud: ApiCloud) -> None:
    facility = next(iter(cloud.spine.state.book.facilities))
    lots = cloud.spine.state.book.lots_of_facility(facility)
    cloud.clock.at_ms += MINUTE_MS
    cloud.spine.commit(drafts.amend, {"prices": [{"sku": lots[0].sku, "unit_price_minor": 1, "currency": "USD"}]})
    cloud.clock.at_ms += MINUTE_MS
    cloud.spine.commit(
        drafts.amend,
        {"remove": {"lots": [one.id for one in lots], "milestones": list(cloud.spine.state.book.milestones)}},
    )
    found = cloud.get(f"/facilities/{facility}/ltv")
    said = [one for one in cloud.get("/events?limit=10000")["events"] if one["type"] == "base_recomputed"]
    assert [one["at_ms"] for one in found["bases"]] == [one["at_ms"] for one in said]
    for one, event in zip(found["bases"], said, strict=True):
        assert one["headroom_minor"] == event["facts"]["headroom_minor"]
        assert one["ltv_bp"] == (None if event["facts"]["ltv_bp"] < 0 else event["facts"]["ltv_bp"])
    assert found["bases"][-1]["ltv_bp"] is None
    assert found["until_ms"] == cloud.clock.at_ms


def test_levels_are_those_of_the_policy_and_calls_are_told(cloud: ApiCloud) -> None:
    facility = next(iter(cloud.spine.state.book.facilities))
    assert cloud.get(f"/facilities/{facility}/ltv")["levels"]["call_bp"] is None
    document = {
        "policies": [POLICY],
        "facilities": [
            {"id": facility, "lender": "bank", "borrower": "exporter", "currency": "USD"}
            | {"policy": "strict", "outstanding_minor": 10**12}
        ],
    }
    cloud.spine.commit(drafts.amend, document)
    found = cloud.get(f"/facilities/{facility}/ltv")
    assert found["levels"] == {"warning_bp": 5_000, "call_bp": 6_000, "default_bp": None}
    (call,) = found["calls"]
    assert call["call_minor"] == cloud.spine.state.facilities[facility].covenant.call_minor


def test_it_is_told_to_who_sees_money_of_the_facility(tmp_path: Path) -> None:
    seeing = Seeing(tmp_path)
    seeing.lend_on_sea(LINE)
    path = f"/facilities/{LINE}/ltv"
    told = {name: seeing.get(name, path) for name in USERS}
    assert {name for name, one in told.items() if isinstance(one, dict)} == {"keeper-kim", "lender-one", "borrower-one"}
    assert {told[name] for name in ("lender-two", "borrower-two", "auditor-two", "lender-none")} == {404}
    assert {told[name] for name in ("operator-one", "warehouse-one", "insurer-one")} == {403}
    assert_problem(seeing.client.get("/facilities/ghost/ltv"), 404)
    seeing.close()
