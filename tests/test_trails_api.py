"""What stands behind an amount, over the API: the trail of a lot, the evidence of a facility, an event with what said
it, what was quoted, a notice. And what of it somebody may not see."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_cloud import ApiCloud, assert_problem, shown
from builders import MINUTE_MS, NOON_MS, book_document, temperature
from keeping import LINE
from receipting import BANK, FIRST, OTHER_BANK
from seeing import HALL_LOT, USERS, Seeing
from warehouses import HALL, TRACKER, ZONE

from pledgewatch_cloud.api import devices, examples
from pledgewatch_cloud.decide import drafts
from pledgewatch_wire.reading import Cell, Channel

HOUR_S = 3_600


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[ApiCloud]:
    made = ApiCloud(tmp_path, at_ms=NOON_MS + 20 * MINUTE_MS)
    yield made
    made.close()


@pytest.fixture
def seeing(tmp_path: Path) -> Iterator[Seeing]:
    made = Seeing(tmp_path)
    yield made
    made.close()


def amended(cloud: ApiCloud, **sections: Any) -> None:
    """The book is amended."""
    cloud.spine.commit(drafts.amend, sections)


def assert_like(answer: Any, example: Any, where: str = "") -> None:
    """An answer has the fields of its example, at every depth that both have."""
    if isinstance(example, dict):
        assert sorted(answer) == sorted(example) or where.endswith("facts"), where
        for name, one in example.items():
            if answer.get(name) not in (None, []):
                assert_like(answer[name], one, f"{where}.{name}")
    if isinstance(example, list) and example and not isinstance(example[0], str):
        assert_like(answer[0], example[0], f"{where}[]")


def breach_of(cloud: ApiCloud) -> str:
    """The event that began the breach of the condition."""
    (found,) = [one["id"] for one in cloud.get("/events")["events"] if one["type"] == "condition_breached"]
    return str(found)


def test_an_event_is_told_with_the_reading_that_said_it(cloud: ApiCloud) -> None:
    cloud.sail_into_port()
    name = breach_of(cloud)
    found = cloud.get(f"/events/{name}")
    assert found["stands"] is True
    assert found["entry"] == int(name.partition(".")[0])
    said_by = found["said_by"]
    assert (said_by["device"], said_by["sequence"]) == (cloud.device.name, found["facts"]["sequence"])
    assert said_by["measured_ms"] == NOON_MS + 2 * MINUTE_MS
    assert found["at_ms"] == NOON_MS + 12 * MINUTE_MS, "the value of then was borne for so long"
    assert said_by["first_sequence"] <= said_by["sequence"] <= said_by["last_sequence"]
    assert said_by["entry"] <= found["entry"]
    assert_like(found, examples.EVENT)


def test_an_event_that_was_taken_back_says_so(cloud: ApiCloud) -> None:
    cloud.sail_into_port()
    name = breach_of(cloud)
    document = book_document(cloud.device)
    document["lots"][0]["limits"][0]["high"] = 50_000
    amended(cloud, lots=document["lots"])
    found = cloud.get(f"/events/{name}")
    assert found["stands"] is False
    assert found["said_by"]["device"] == cloud.device.name, "what said it was said all the same"


def test_what_nobody_measured_was_said_by_no_reading(cloud: ApiCloud) -> None:
    cloud.sail_into_port()
    kinds = {one["type"]: one["id"] for one in cloud.get("/events")["events"]}
    for kind in ("alert_opened", "base_recomputed"):
        found = cloud.get(f"/events/{kinds[kind]}")
        assert (found["said_by"], found["stands"]) == (None, None)


@pytest.mark.parametrize("name", ["0.0", "999999.0", "x", "1", "1.x", "-1.0", "٣.0", "9" * 40])
def test_an_event_that_is_not_there_is_not(cloud: ApiCloud, name: str) -> None:
    cloud.sail_into_port()
    assert_problem(cloud.client.get(f"/events/{name}"), 404)


def test_a_value_is_its_quantity_by_a_quote_of_a_day_over_the_rates_of_a_day(cloud: ApiCloud) -> None:
    document = book_document(cloud.device)
    lot = document["lots"][0]
    lot |= {"quantity": 40, "cost_minor": 10_000, "cost_per": 1, "cost_currency": "EUR"}
    document["facilities"][0]["currency"] = "EUR"
    document["prices"] = []
    document["products"] = [{"sku": lot["sku"], "series": "steel"}]
    document["appraisals"] = [{"sku": lot["sku"], "nolv_bp": 9_000, "until": "2026-12-31T00:00:00Z"}]
    cloud.spine.commit(drafts.amend, document)
    cloud.spine.commit(
        drafts.quote,
        {
            "prices": [{"series": "steel", "date": "2025-12-31", "price": "100.00", "currency": "USD", "per": 4}],
            "rates": [{"currency": "USD", "date": "2025-12-30", "rate": "1.25"}],
        },
    )
    amounts = cloud.get(f"/lots/{lot['id']}/trail")["amounts"]
    value = amounts["value"]
    assert value["value_minor"] == 40 * 2_500 * 100 // 125 * 9 // 10
    assert (value["quantity"], value["unvalued"]) == (40, [])
    price = value["price"]
    assert (price["series"], price["date"], price["is_agreed"]) == ("steel", "2025-12-31", False)
    assert (price["price_minor"], price["per"], price["currency"]) == (10_000, 4, "USD")
    assert value["rates"] == [{"currency": "USD", "rate": "1.25", "date": "2025-12-30"}]
    assert value["cost"] == {"cost_minor": 10_000, "per": 1, "currency": "EUR"}
    assert value["appraisal"]["nolv_bp"] == 9_000
    assert cloud.get("/market/prices/steel")["quotes"][0]["date"] == "2025-12-31"
    assert cloud.get("/market/rates/USD")["quotes"][0]["rate"] == "1.25"
    assert_problem(cloud.client.get("/market/prices/ghost"), 404)
    assert_problem(cloud.client.get("/market/rates/XXX"), 404)


def test_an_agreed_price_has_no_day(cloud: ApiCloud) -> None:
    cloud.sail_into_port()
    lot = book_document(cloud.device)["lots"][0]["id"]
    price = cloud.get(f"/lots/{lot}/trail")["amounts"]["value"]["price"]
    assert (price["is_agreed"], price["series"], price["date"]) == (True, "", None)


def test_each_ineligible_names_what_it_rests_on_and_the_advance_where_it_comes_from(cloud: ApiCloud) -> None:
    document = book_document(cloud.device)
    lot = document["lots"][0]
    cloud.sail_into_port()
    policy = {"id": "p", "breach": "ineligible", "advance_bp": {"at_port": 6_000}}
    facility = {**document["facilities"][0], "policy": "p"}
    amended(cloud, policies=[policy], facilities=[facility])
    amounts = cloud.get(f"/lots/{lot['id']}/trail")["amounts"]
    line = cloud.get(f"/lots/{lot['id']}")["line"]
    (ineligible,) = amounts["ineligible"]
    assert (ineligible["step"], ineligible["taken_minor"]) == ("condition", line["ineligible"]["condition"])
    (parts,) = ineligible["grounds"]
    assert parts == ["event ", {"noun": "events", "id": breach_of(cloud)}]
    written = "".join(one if isinstance(one, str) else one["id"] for one in parts)
    assert line["grounds"] == [f"condition: {written}"], "the line says the same"
    advance = amounts["advance"]
    assert (advance["advance_bp"], advance["in_class"], advance["policy"]) == (6_000, "at_port", "p")
    assert advance["fences"] == ["los-angeles"]
    assert_like(cloud.get(f"/lots/{lot['id']}/trail"), examples.TRAIL)


@pytest.mark.parametrize(
    ("rule", "after_min", "counts_as"),
    [
        ({}, 10_000, "not_asked"),
        ({"fresh_s": HOUR_S, "stale_s": 2 * HOUR_S}, 60, "fresh"),
        ({"fresh_s": HOUR_S, "stale_s": 2 * HOUR_S}, 61, "ageing"),
        ({"fresh_s": HOUR_S, "stale_s": 2 * HOUR_S}, 120, "ageing"),
        ({"fresh_s": HOUR_S, "stale_s": 2 * HOUR_S}, 121, "stale"),
    ],
)
def test_evidence_has_an_age_and_limits_and_a_word(
    cloud: ApiCloud, rule: dict[str, int], after_min: int, counts_as: str
) -> None:
    cloud.sail_into_port()
    facility = {**book_document(cloud.device)["facilities"][0], "policy": "p"}
    amended(cloud, policies=[{"id": "p", **({"evidence": rule} if rule else {})}], facilities=[facility])
    cloud.clock.at_ms = NOON_MS + (20 + after_min) * MINUTE_MS
    cloud.spine.tick()
    (found,) = cloud.get("/facilities/facility-1/evidence")
    assert (found["counts_as"], found["age_ms"]) == (counts_as, after_min * MINUTE_MS)
    assert found["reading"] == {"device": cloud.device.name, "epoch": 1, "sequence": cloud.device.sequence}
    assert (found["fresh_ms"], found["stale_ms"]) == (
        (rule["fresh_s"] * 1_000, rule["stale_s"] * 1_000) if rule else (None, None)
    )
    assert_like(found, examples.EVIDENCE)
    assert cloud.get(f"/lots/{found['lot']}/trail")["evidence"] == found


def test_where_nothing_counts_there_is_no_age(cloud: ApiCloud) -> None:
    cloud.spine.commit(drafts.amend, book_document(cloud.device))
    (found,) = cloud.get("/facilities/facility-1/evidence")
    assert found["measured_ms"] is found["age_ms"] is found["reading"] is None
    assert_problem(cloud.client.get("/facilities/ghost/evidence"), 404)


def test_of_the_quantity_the_receipt_and_the_machines_are_heard(seeing: Seeing) -> None:
    seeing.pledge(FIRST, BANK)
    seeing.read(ZONE)
    found = seeing.get("lender-one", f"/lots/{HALL_LOT}/trail")
    quantity = found["quantity"]
    assert (quantity["receipt"], quantity["asset"]) == (FIRST, HALL)
    assert quantity["claimed"] == [{"quantity_milli": 40_000, "released_milli": 0, "unit": "piece"}]
    assert quantity["held"]["state"] == "valid"
    seeing.keeping.row("sold", 25, minute=seeing.minute)
    missing = seeing.get("lender-one", f"/lots/{HALL_LOT}/trail")
    assert missing["quantity"]["held"]["missing"] == 17, "of 60 that two receipts claim 25 are gone"
    (taken,) = [one for one in missing["amounts"]["ineligible"] if one["step"] == "shortfall"]
    names = [one for one in taken["grounds"][0] if isinstance(one, dict)]
    assert [one["noun"] for one in names] == ["cases"]
    case = seeing.client.get(f"/warehouses/cases/{names[0]['id']}", headers=shown(USERS["lender-one"].key))
    assert case.status_code == 200, "the page that the name opens"


def test_a_trail_is_for_whom_the_lot_is_pledged_to_and_its_money_for_who_sees_money(seeing: Seeing) -> None:
    seeing.pledge(FIRST, OTHER_BANK)
    seeing.read(ZONE)
    hidden = seeing.get("lender-one", f"/lots/{HALL_LOT}/trail")
    assert hidden["is_shown"] is False
    assert hidden["evidence"] is hidden["quantity"] is hidden["amounts"] is None
    assert seeing.get("lender-one", f"/facilities/{LINE}/evidence") == []
    seeing.release(FIRST)
    seeing.pledge(FIRST, BANK)
    insurer = seeing.get("insurer-one", f"/lots/{HALL_LOT}/trail")
    assert insurer["amounts"] is None
    assert insurer["evidence"]["lot"] == HALL_LOT
    assert seeing.get("lender-one", f"/lots/{HALL_LOT}/trail")["amounts"]
    for user in ("lender-two", "lender-none", "operator-one", "warehouse-one"):
        assert seeing.get(user, f"/lots/{HALL_LOT}/trail") == 404
        assert seeing.get(user, f"/facilities/{LINE}/evidence") == 404


def test_what_brought_a_reading_is_told_as_far_as_readings_are_seen(seeing: Seeing) -> None:
    """One payload holds a reading of before the pledge and one of it: the lender hears of the second alone."""
    device = seeing.keeping.devices[TRACKER]
    before_ms = seeing.keeping.clock.at_ms
    seeing.lend_on_sea(LINE)
    seeing.tick(10)
    early = device.measure(before_ms - 5 * MINUTE_MS, temperature(5_000))
    late = device.measure(seeing.keeping.clock.at_ms - MINUTE_MS, temperature(999_000))  # which is doubted
    seeing.keeping.take(device.arrival([early, late], operator="harbour-line"))
    late_ms = late.measured_at_ms
    every = [one for one in seeing.store.events(0, 10_000) if dict(one.event.facts).get("device") == TRACKER]
    seen = {}
    for one in every:
        for user in ("keeper-kim", "lender-one", "operator-one", "operator-two", "lender-none"):
            found = seeing.get(user, f"/events/{one.id}")
            seen[user, one.id] = found["said_by"] if isinstance(found, dict) else found
    told = [(user, by) for (user, _), by in seen.items() if isinstance(by, dict)]
    assert {user for user, _ in told} == {"keeper-kim", "lender-one", "operator-one"}
    for user, by in told:
        if user == "lender-one":
            assert by["first_sequence"] == by["last_sequence"] == late.sequence
            assert by["measured_ms"] == late_ms
        else:
            assert (by["first_sequence"], by["last_sequence"]) == (early.sequence, late.sequence)


def test_a_device_tells_how_it_is_heard_and_what_is_in_its_battery(cloud: ApiCloud) -> None:
    cloud.sail_into_port()
    cloud.measure(20, Cell(Channel.BATTERY_MV, 3_650))
    cloud.feeder.catch_up()
    (found,) = cloud.get("/devices?battery=true&limit=1000")
    assert (found["heard_ms"], found["battery_mv"]) == (NOON_MS + 20 * MINUTE_MS, 3_650)
    assert [one["state"] for one in found["sources"]] == ["live"]
    assert_like(found, examples.DEVICE)
    (without,) = cloud.get("/devices")
    assert without["battery_mv"] is None
    cloud.clock.at_ms = NOON_MS + 90 * MINUTE_MS
    cloud.spine.tick()
    (silent,) = cloud.get("/devices")
    assert silent["heard_ms"] == NOON_MS + 20 * MINUTE_MS
    assert [(one["state"], one["at_ms"]) for one in silent["sources"]] == [("silent", NOON_MS + 80 * MINUTE_MS)]


def test_a_device_that_was_never_heard_says_nothing(cloud: ApiCloud) -> None:
    cloud.spine.commit(drafts.amend, book_document(cloud.device))
    (found,) = cloud.get("/devices?battery=true&limit=10")
    assert (found["heard_ms"], found["sources"], found["battery_mv"], found["epochs"]) == (None, [], None, [])


def test_batteries_are_asked_of_pages_that_are_small_enough(cloud: ApiCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.sail_into_port()
    monkeypatch.setattr(devices, "BATTERIES_MAX", 0)
    assert_problem(cloud.client.get("/devices?battery=true"), 422)
    assert cloud.client.get("/devices").status_code == 200


def test_a_battery_is_of_the_time_in_which_the_asset_is_seen(seeing: Seeing) -> None:
    device = seeing.keeping.devices[TRACKER]
    seeing.tick()
    reading = device.measure(seeing.keeping.clock.at_ms - MINUTE_MS // 2, Cell(Channel.BATTERY_MV, 3_111))
    seeing.keeping.take(device.arrival([reading], operator="harbour-line"))
    seeing.feeder.catch_up()
    seeing.lend_on_sea(LINE)

    def batteries(user: str) -> dict[str, int | None]:
        return {one["device"]: one["battery_mv"] for one in seeing.get(user, "/devices?battery=true")}

    assert batteries("operator-one")[TRACKER] == 3_111
    assert batteries("lender-one")[TRACKER] is None, "it was said before the pledge"


def test_a_zone_tells_of_its_newest_reading_though_it_has_no_fix(seeing: Seeing) -> None:
    seeing.pledge(FIRST, BANK)
    seeing.read(ZONE)
    found = seeing.get("lender-one", f"/assets/{HALL}")["properties"]
    assert found["measured_at_ms"] is None
    assert found["newest_ms"] == seeing.readings[-1][0]


def alerts_of(cloud: ApiCloud) -> dict[str, Any]:
    """The alerts, by their rules."""
    return {one["rule"]: one for one in cloud.get("/alerts")}


def test_an_alert_says_of_which_lot_what_happened_and_how_much(cloud: ApiCloud) -> None:
    cloud.sail_into_port()
    cloud.spine.tick()
    found = alerts_of(cloud)["condition-breached"]
    lot = book_document(cloud.device)["lots"][0]["id"]
    assert (found["lots"], found["facilities"], found["receipts"]) == ([lot], ["facility-1"], [])
    (told,) = found["told"]
    assert told["event"] == breach_of(cloud) == found["id"]
    assert (told["low"], told["high"], told["value"], told["ended_ms"]) == (2_000, 8_000, 9_100, None)
    assert told["outside_ms"] == 18 * MINUTE_MS
    assert_like(found, examples.ALERT)
    cloud.clock.at_ms = NOON_MS + 90 * MINUTE_MS
    cloud.spine.tick()
    silent = alerts_of(cloud)["source-silent"]
    (told,) = silent["told"]
    assert (told["kind"], told["device"], told["heard_ms"]) == (
        "source_silent",
        cloud.device.name,
        NOON_MS + 20 * MINUTE_MS,
    )
    assert (silent["lots"], silent["facilities"]) == ([lot], ["facility-1"]), "what is in the container"


def test_an_alert_of_goods_names_receipt_and_case_to_whom_they_are_pledged(seeing: Seeing) -> None:
    seeing.pledge(FIRST, BANK)
    seeing.keeping.row("sold", 25, minute=seeing.minute)
    (found,) = [one for one in seeing.get("lender-one", "/alerts") if one["rule"] == "stock-short"]
    assert (found["lots"], found["receipts"], found["facilities"]) == ([HALL_LOT], [FIRST], [LINE])
    (told,) = found["told"]
    assert (told["missing"], told["quantity"], told["receipt"]) == (17, 40, FIRST)
    assert told["cases"]
    assert [one["id"] for one in seeing.get("lender-one", f"/alerts?facility={LINE}")] == [found["id"]]
    for user in ("lender-two", "lender-none", "operator-one", "warehouse-one"):
        assert FIRST not in str([one for one in seeing.get(user, "/alerts") if one["rule"] == "stock-short"])
