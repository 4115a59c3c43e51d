"""What is another's stays so where goods lie side by side, and where they change hands: what one bank's goods lead to
is told to nobody else, and who comes later sees nothing of before."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_cloud import shown
from builders import IN_LOS_ANGELES, MINUTE_MS, Device, position
from keeping import LINE
from receipting import BANK, BUYER, DEPOSITOR, FIRST, OTHER_BANK, WAREHOUSE
from seeing import HALL_LOT, NIGHT, OPERATOR, OTHER_LINE, OTHER_OPERATOR, SEA_LOT, SECOND_LOT, USERS, Seeing
from warehouses import BOX, HALL, TRACKER, ZONE

from pledgewatch_cloud.decide.moments import iso
from pledgewatch_wire.reading import Cell, Channel

WARM = {"id": "too-warm", "on": "condition_breached", "group_by": "asset"}
OTHERS = ("lender-two", "borrower-two", "operator-one", "warehouse-one", "auditor-two")


@pytest.fixture
def seeing(tmp_path: Path) -> Iterator[Seeing]:
    made = Seeing(tmp_path)
    yield made
    made.close()


def at_sea(name: str, facility: str, high: int | None = None, **more: Any) -> dict[str, Any]:
    """A lot in the tracker's container, with a limit to its temperature where one is given."""
    limits = [] if high is None else [{"channel": "temperature_mc", "low": 2_000, "high": high, **more}]
    return {"id": name, "asset": BOX, "facility": facility, "sku": "SEA-SKU", "quantity": 5, "limits": limits}


def told(seeing: Seeing, user: str, *kinds: str) -> list[dict[str, Any]]:
    """The events of some kinds that a user is told."""
    return [one for one in seeing.get(user, "/events?limit=10000")["events"] if one["type"].startswith(kinds)]


def measure(seeing: Seeing, minute: int, value: int) -> Any:
    """A reading of the tracker's that is not handed in yet."""
    at_ms = seeing.keeping.clock.at_ms + minute * MINUTE_MS
    cells = [Cell(Channel.TEMPERATURE_MC, value), *position(IN_LOS_ANGELES)]
    return seeing.keeping.devices[TRACKER].measure(at_ms, *sorted(cells))


def take(seeing: Seeing, *readings: Any) -> None:
    """Readings of the tracker's are heard."""
    seeing.keeping.take(seeing.keeping.devices[TRACKER].arrival([*readings], operator=OPERATOR))
    seeing.feeder.catch_up()


def acknowledge(seeing: Seeing, user: str, alert: str) -> int:
    path = f"/alerts/{alert}/acknowledgement"
    return seeing.client.post(path, json={"by": "x"}, headers=shown(USERS[user].key)).status_code


# Alerts.


def put_aside(seeing: Seeing, user: str, alert: str) -> None:
    """A user silences an alert for their party, for a day."""
    until = iso(seeing.keeping.clock.at_ms + 86_400_000)
    said = {"by": user, "why": "known", "until": until}
    answer = seeing.client.post(f"/alerts/{alert}/silence", json=said, headers=shown(USERS[user].key))
    assert answer.status_code == 200, answer.text


def test_an_alert_about_one_banks_goods_is_told_to_nobody_else_beside_them(seeing: Seeing) -> None:
    seeing.keeping.amend(alert_rules=[WARM], lots=[at_sea("one", LINE, 8_000), at_sea("two", OTHER_LINE)])
    seeing.read()
    (alert,) = seeing.get("lender-one", "/alerts")
    assert acknowledge(seeing, "lender-one", alert["id"]) == 200
    said = [one["type"] for one in told(seeing, "lender-one", "alert_", "condition_breached")]
    assert said == ["condition_breached", "alert_opened", "alert_acknowledged"]
    assert [one["lots"] for one in seeing.get("borrower-one", "/alerts")] == [["one"]]
    for user in OTHERS:
        assert (seeing.get(user, "/alerts"), told(seeing, user, "alert_")) == ([], []), user


def test_each_banks_alert_is_its_own_though_a_rule_groups_by_what_they_share(seeing: Seeing) -> None:
    seeing.keeping.amend(alert_rules=[WARM], lots=[at_sea("one", LINE, 8_000), at_sea("two", OTHER_LINE, 10_001)])
    seeing.read()
    (first,) = seeing.get("lender-one", "/alerts")
    assert acknowledge(seeing, "lender-one", first["id"]) == 200
    for _ in range(3):
        seeing.read()
    (own,), (other,) = seeing.get("lender-one", "/alerts"), seeing.get("lender-two", "/alerts")
    assert (own["id"], own["lots"], own["acknowledged_by"]) == (first["id"], ["one"], "lender-one")
    assert (other["lots"], other["state"], other["acknowledged_by"]) == (["two"], "open", "")
    assert other["since_ms"] > own["since_ms"]
    assert [one["alert"] for one in (event["facts"] for event in told(seeing, "lender-two", "alert_"))] == [other["id"]]
    assert acknowledge(seeing, "lender-two", own["id"]) == 409


def test_each_core_is_told_of_an_alert_about_its_own_goods_alone(seeing: Seeing) -> None:
    seeing.keeping.amend(alert_rules=[WARM], lots=[at_sea("one", LINE, 8_000), at_sea("two", OTHER_LINE)])
    seeing.read()
    messages = seeing.keeping.spine.state.facilities
    assert told(seeing, "keeper-kim", "alert_")[0]["facts"]["facility"] == LINE
    sent = {line: messages[line].messages_sent for line in (LINE, OTHER_LINE)}
    seeing.keeping.amend(lots=[at_sea("one", LINE, 50_000)])
    after = seeing.keeping.spine.state.facilities
    assert after[LINE].messages_sent > sent[LINE]
    assert after[OTHER_LINE].messages_sent == sent[OTHER_LINE]


def test_an_alert_about_no_goods_is_its_operators_and_refused_to_who_has_goods_there(seeing: Seeing) -> None:
    seeing.fall_silent()
    (alert,) = seeing.get("operator-one", "/alerts")
    until = iso(seeing.keeping.clock.at_ms + 60 * MINUTE_MS)
    said = {"acknowledgement": {}, "comments": {"text": "t"}, "silence": {"why": "w", "until": until}}
    entry = seeing.keeping.spine.state.entry
    for user in ("lender-one", "lender-two", "borrower-one", "borrower-two", "insurer-one", "auditor-two"):
        (own,) = seeing.get(user, "/alerts")
        assert (own["id"], own["is_own"], own["hands"]) == (alert["id"], False, [OPERATOR]), user
        for what, more in said.items():
            path, headers = f"/alerts/{alert['id']}/{what}", shown(USERS[user].key)
            answer = seeing.client.post(path, json={"by": "x"} | more, headers=headers)
            assert answer.status_code == 403, (user, what)
            is_told = user in ("insurer-one", "auditor-two") or f"which is {OPERATOR}," in answer.json()["detail"]
            assert is_told, answer.json()
    assert seeing.keeping.spine.state.entry == entry
    assert (alert["is_own"], alert["hands"]) == (True, [OPERATOR])
    (kept,) = seeing.get("keeper-kim", "/alerts")
    assert (kept["is_own"], kept["state"], kept["comments"]) == (True, "open", [])


def test_who_has_taken_on_a_silence_that_several_see_is_told_to_their_own_party(seeing: Seeing) -> None:
    seeing.fall_silent()
    (alert,) = seeing.get("operator-one", "/alerts")
    assert acknowledge(seeing, "operator-one", alert["id"]) == 200
    users = ("lender-one", "lender-two", "operator-one")
    seen = {user: seeing.get(user, "/alerts")[0] for user in users}
    assert {one["state"] for one in seen.values()} == {"acknowledged"}
    by = {user: one["acknowledged_by"] for user, one in seen.items()}
    assert by == {"lender-one": "", "lender-two": "", "operator-one": "operator-one"}
    for user, name in by.items():
        (said,) = told(seeing, user, "alert_acknowledged")
        assert said["facts"].get("by", "") == name


def test_another_operator_at_the_asset_and_a_strange_warehouse_do_not_take_on_its_silence(seeing: Seeing) -> None:
    """The device that is silent is one operator's; beside it is another's, who sees the asset, too."""
    key = Device("second", seed=78).public_key
    beside = {"device": "second", "operator": OTHER_OPERATOR, "asset": BOX, "public_key": key}
    seeing.keeping.amend(installations=[beside])
    seeing.fall_silent()
    (alert,) = seeing.get("operator-one", "/alerts")
    assert seeing.get("operator-two", "/alerts") == []
    assert told(seeing, "operator-two", "alert_") == []
    assert acknowledge(seeing, "operator-two", alert["id"]) == 409
    assert acknowledge(seeing, "warehouse-one", alert["id"]) == 409
    assert acknowledge(seeing, "keeper-kim", alert["id"]) == 200


def test_devices_of_two_operators_behind_one_gateway_are_an_alert_each(seeing: Seeing) -> None:
    waits = {"gateway": "mast", "overdue_after_s": 600, "silent_after_s": 1_200}
    fitted = [
        {"device": name, "operator": operator, "asset": asset, "public_key": seeing.keeping.devices[name].public_key}
        for name, operator, asset in ((TRACKER, OPERATOR, BOX), (NIGHT, OTHER_OPERATOR, "night-box"))
    ]
    seeing.keeping.amend(
        alert_rules=[{"id": "silent", "on": "source_silent", "group_by": "gateway"}],
        installations=[one | waits for one in fitted],
    )
    seeing.read()
    seeing.read(NIGHT)
    seeing.tick(60)
    seeing.keeping.tick()
    seen = {user: seeing.get(user, "/alerts") for user in ("operator-one", "operator-two", "keeper-kim")}
    assert [len(some) for some in seen.values()] == [1, 1, 2]
    (own,), (other,) = seen["operator-one"], seen["operator-two"]
    assert [(one["assets"], one["hands"]) for one in (own, other)] == [
        ([BOX], [OPERATOR]),
        (["night-box"], [OTHER_OPERATOR]),
    ]
    assert acknowledge(seeing, "operator-one", own["id"]) == 200
    assert [seeing.get(user, "/alerts")[0]["state"] for user in ("operator-one", "operator-two")] == [
        "acknowledged",
        "open",
    ]
    for user, one in (("operator-one", own), ("operator-two", other)):
        some = told(seeing, user, "alert_")
        assert {event["facts"]["alert"] for event in some} == {one["id"]}
        assert all("hands" not in event["facts"] for event in some)


def test_a_warehouse_takes_on_what_is_silent_at_its_own_site(seeing: Seeing) -> None:
    zone = seeing.keeping.spine.state.book.installations[ZONE]
    fitted = {"device": ZONE, "operator": OPERATOR, "asset": HALL, "public_key": zone.public_key}
    seeing.keeping.amend(
        alert_rules=[{"id": "silent", "on": "source_silent", "group_by": "gateway"}],
        installations=[fitted | {"overdue_after_s": 600, "silent_after_s": 1_200}],
    )
    seeing.pledge(FIRST, BANK)
    seeing.read(ZONE)
    seeing.tick(60)
    seeing.keeping.tick()
    seen = {user: seeing.get(user, "/alerts") for user in ("lender-one", "warehouse-one", "warehouse-two")}
    assert [seen["lender-one"][0]["is_own"], seen["warehouse-one"][0]["is_own"]] == [False, True]
    assert (seen["warehouse-one"][0]["hands"], seen["warehouse-two"]) == ([OPERATOR, WAREHOUSE], [])
    assert acknowledge(seeing, "lender-one", seen["lender-one"][0]["id"]) == 403
    assert acknowledge(seeing, "warehouse-one", seen["warehouse-one"][0]["id"]) == 200


def test_an_alert_goes_when_its_goods_go_to_another_bank_which_hears_nothing_of_it(seeing: Seeing) -> None:
    seeing.keeping.amend(alert_rules=[WARM], lots=[at_sea("one", LINE, 8_000)])
    seeing.read()
    seeing.tick()
    seeing.keeping.amend(lots=[at_sea("one", OTHER_LINE, 8_000)])
    assert [one["type"] for one in told(seeing, "lender-one", "alert_")] == ["alert_opened", "alert_withdrawn"]
    assert all(one["facts"]["facility"] == OTHER_LINE for one in told(seeing, "lender-two", "alert_"))
    assert [one["facts"]["facility"] for one in told(seeing, "keeper-kim", "alert_withdrawn")] == [LINE]


def test_who_takes_a_facility_over_finds_its_alerts_taken_on_by_nobody(seeing: Seeing) -> None:
    """Both ways round the names of the banks, for the core must hear of the end before it hears of the beginning."""
    seeing.keeping.amend(
        alert_rules=[WARM | {"escalate_after_s": 600}],
        lots=[at_sea("one", LINE, 8_000)],
    )
    seeing.read()
    (alert,) = seeing.get("lender-one", "/alerts")
    assert acknowledge(seeing, "lender-one", alert["id"]) == 200
    owners = {BANK: "lender-one", OTHER_BANK: "lender-two"}
    for lender, before in ((OTHER_BANK, BANK), (BANK, OTHER_BANK)):
        seeing.tick()
        heard = {user: len(told(seeing, user, "alert_")) for user in owners.values()}
        every = len(told(seeing, "keeper-kim", "alert_"))
        line = {"id": LINE, "lender": lender, "borrower": DEPOSITOR, "currency": "USD", "retention_days": 30}
        seeing.keeping.amend(facilities=[line])
        (own,) = seeing.get(owners[lender], "/alerts")
        assert (own["state"], own["acknowledged_by"], own["lots"]) == ("open", "", ["one"])
        assert [one["type"] for one in told(seeing, "keeper-kim", "alert_")[every:]] == [
            "alert_withdrawn",
            "alert_opened",
        ]
        left = told(seeing, owners[before], "alert_")[heard[owners[before]] :]
        assert [one["type"] for one in left] == ["alert_withdrawn"]
        fresh = told(seeing, owners[lender], "alert_")[heard[owners[lender]] :]
        assert "alert_withdrawn" not in [one["type"] for one in fresh]
        seeing.tick(11)
        seeing.keeping.tick()
        assert seeing.get(owners[lender], "/alerts")[0]["state"] == "escalated"
        assert told(seeing, owners[lender], "alert_")[-1]["type"] == "alert_escalated"
        assert acknowledge(seeing, owners[lender], own["id"]) == 200


HANDED_OVER = {
    "to another lender": (OTHER_BANK, DEPOSITOR),
    "to another borrower": (BANK, BUYER),
    "to both": (OTHER_BANK, BUYER),
}
PARTY_OF = {BANK: "lender-one", OTHER_BANK: "lender-two", DEPOSITOR: "borrower-one", BUYER: "borrower-two"}


@pytest.mark.parametrize("how", HANDED_OVER)
def test_what_is_put_aside_or_taken_on_is_loud_again_where_the_goods_change_hands(seeing: Seeing, how: str) -> None:
    seeing.keeping.amend(
        alert_rules=[WARM | {"severity": "warning", "escalate_after_s": 600}], lots=[at_sea("one", LINE, 8_000)]
    )
    seeing.read()
    (alert,) = seeing.get("borrower-one", "/alerts")
    for user in ("borrower-one", "lender-one"):
        put_aside(seeing, user, alert["id"])
    assert acknowledge(seeing, "borrower-one", alert["id"]) == 200
    seeing.tick()
    entry = seeing.keeping.spine.state.entry
    lender, borrower = HANDED_OVER[how]
    line = {"id": LINE, "lender": lender, "borrower": borrower, "currency": "USD", "retention_days": 30}
    seeing.keeping.amend(facilities=[line])
    for user in (PARTY_OF[lender], PARTY_OF[borrower]):
        (own,) = seeing.get(user, "/alerts?silenced=false")
        assert (own["state"], own["silence"], own["comments"]) == ("open", None, []), user
    for user in PARTY_OF.values():
        new = [one for one in told(seeing, user, "alert_") if int(one["id"].partition(".")[0]) > entry]
        was, stays = user in ("lender-one", "borrower-one"), user in (PARTY_OF[lender], PARTY_OF[borrower])
        # Who comes sees the alert as it stands, and is told of no moment before they came.
        types = (["alert_withdrawn"] if was else []) + (["alert_opened"] if was and stays else [])
        assert [one["type"] for one in new] == types, user
    seeing.tick(11)
    seeing.keeping.tick()
    for user in (PARTY_OF[lender], PARTY_OF[borrower]):
        assert seeing.get(user, "/alerts")[0]["state"] == "escalated", user


# Retractions.


@pytest.mark.parametrize("amended", [False, True])
def test_what_is_taken_back_is_told_to_who_was_told_of_it(seeing: Seeing, amended: bool) -> None:
    seeing.keeping.amend(lots=[at_sea("one", LINE, 8_000, grace_s=600), at_sea("two", OTHER_LINE)])
    inside, out, late, again, on = (
        measure(seeing, minute, value)
        for minute, value in ((1, 5_000), (2, 20_000), (8, 5_000), (16, 20_000), (17, 20_000))
    )
    seeing.tick(18)
    for one in (inside, out, again, on):
        take(seeing, one)
    seeing.tick()
    if amended:
        seeing.keeping.amend(lots=[at_sea("one", LINE, 50_000)])
    else:
        take(seeing, late)
    (said,) = told(seeing, "lender-one", "event_retracted")
    assert said["facts"]["lot"] == "one"
    for user in ("keeper-kim", "lender-one", *OTHERS):
        has = bool(told(seeing, user, "condition_breached"))
        assert bool(told(seeing, user, "event_retracted")) == has, user
        for path in ("/epcis/events", "/dcsa/events"):
            assert seeing.client.get(path, headers=shown(USERS[user].key)).status_code == 200, (user, path)


def test_a_series_says_between_which_of_its_points_the_asset_was_anothers(seeing: Seeing) -> None:
    turns = []
    for line in (LINE, OTHER_LINE, LINE):
        seeing.lend_on_sea(line)
        turns.append(seeing.keeping.clock.at_ms)
        seeing.read()
    to_ms = seeing.keeping.clock.at_ms + 1
    found = seeing.get("lender-one", f"/assets/{BOX}/series/temperature_mc?to_ms={to_ms}")
    assert found["seen"] == [[turns[0], turns[1]], [turns[2], to_ms]]
    assert [any(since <= at < until for since, until in found["seen"]) for at, _, _ in found["points"]] == [True] * 2
    whole = seeing.get("keeper-kim", f"/assets/{BOX}/series/temperature_mc?to_ms={to_ms}")
    assert (whole["seen"], len(whole["points"])) == ([[0, to_ms]], 3)


# A facility that changes hands.


def hand_over(seeing: Seeing) -> int:
    """The first bank's facility goes to the second, and when it was still the first one's."""
    seeing.lend_on_sea(LINE)
    seeing.read()
    at_ms = seeing.keeping.clock.at_ms
    seeing.tick()
    line = {"id": LINE, "lender": OTHER_BANK, "borrower": DEPOSITOR, "currency": "USD", "retention_days": 30}
    seeing.keeping.amend(facilities=[line])
    seeing.tick()
    seeing.keeping.amend(prices=[{"sku": "SEA-SKU", "unit_price_minor": 9_999, "currency": "USD"}])
    return at_ms


def test_what_was_said_of_a_facility_is_told_to_whose_it_was_then(seeing: Seeing) -> None:
    at_ms = hand_over(seeing)
    every = {one["id"]: one["at_ms"] for one in told(seeing, "keeper-kim", "base_") if one["subject"] == LINE}
    by = {
        user: {one["id"] for one in told(seeing, user, "base_") if one["subject"] == LINE}
        for user in ("lender-one", "lender-two", "borrower-one", "borrower-two")
    }
    assert by["lender-one"] == {name for name, moment in every.items() if moment <= at_ms}
    assert by["lender-two"] == every.keys() - by["lender-one"] != set()
    assert (by["borrower-one"], by["borrower-two"]) == ({*every}, set())
    ltv = {user: seeing.get(user, f"/facilities/{LINE}/ltv") for user in ("lender-one", "lender-two", "borrower-one")}
    assert len(ltv["lender-one"]["bases"]) + len(ltv["lender-two"]["bases"]) == len(ltv["borrower-one"]["bases"])
    assert all(one["at_ms"] <= at_ms for one in ltv["lender-one"]["bases"])
    assert at_ms < ltv["lender-one"]["until_ms"] < ltv["lender-two"]["until_ms"]


def test_the_base_that_stands_is_told_to_who_takes_over_and_nothing_bridges_the_time_between(seeing: Seeing) -> None:
    """No amount changes while the facility goes from bank to bank, and nothing moves after."""
    line = {"id": LINE, "borrower": DEPOSITOR, "currency": "USD", "retention_days": 30}
    seeing.lend_on_sea(LINE)
    turns = []
    for lender in (OTHER_BANK, BANK):
        seeing.tick(30)
        seeing.keeping.amend(facilities=[line | {"lender": lender}])
        turns.append(seeing.keeping.clock.at_ms)
    seeing.tick(5)
    seeing.keeping.tick()
    ltv = {user: seeing.get(user, f"/facilities/{LINE}/ltv") for user in ("lender-one", "lender-two", "borrower-one")}
    held = {user: [(one["at_ms"], one["until_ms"]) for one in told["bases"]] for user, told in ltv.items()}
    assert held["lender-two"] == [(turns[0], turns[1])]
    assert held["lender-one"][-2][1] == turns[0]
    assert held["lender-one"][-1] == (turns[1], seeing.keeping.spine.state.recorded_at_ms)
    assert [one["base_minor"] for one in ltv["lender-two"]["bases"]] == [ltv["lender-one"]["bases"][-1]["base_minor"]]
    whole = held["borrower-one"]
    assert [one for one, _ in whole[1:]] == [until for _, until in whole[:-1]], "to whom it stayed nothing is broken"
    (event,) = (one for one in told(seeing, "lender-two", "base_") if one["subject"] == LINE)
    assert not [name for name in event["facts"] if name.startswith("change_")]


def test_why_a_base_is_another_one_than_the_bank_befores_is_not_told(seeing: Seeing) -> None:
    seeing.pledge(FIRST, BANK)
    hand_over(seeing)
    first, *rest = (one for one in told(seeing, "lender-two", "base_") if one["subject"] == LINE)
    assert not [name for name in first["facts"] if name.startswith("change_")]
    assert rest
    assert all(any(name.startswith("change_") for name in one["facts"]) for one in rest)


def test_why_stays_untold_once_the_bank_befores_records_are_gone(seeing: Seeing) -> None:
    seeing.pledge(FIRST, BANK)
    hand_over(seeing)
    before = [one for one in told(seeing, "lender-two", "base_") if one["subject"] == LINE]
    seeing.tick(32 * 24 * 60)
    seeing.keeping.tick()
    assert not [one for one in told(seeing, "lender-one", "base_") if one["subject"] == LINE]
    assert told(seeing, "keeper-kim", "base_")
    assert [one for one in told(seeing, "lender-two", "base_") if one["subject"] == LINE][: len(before)] == before


def test_the_bank_before_never_hears_of_who_came_after(seeing: Seeing) -> None:
    """Though the records of who came after need be kept less long, and are gone first."""
    line = {"id": LINE, "borrower": DEPOSITOR, "currency": "USD"}
    seeing.keeping.amend(facilities=[line | {"lender": BANK, "retention_days": 100}])
    seeing.pledge(FIRST, BANK)
    hand_over(seeing)
    before = [one for one in told(seeing, "lender-one", "base_") if one["subject"] == LINE]
    seeing.tick()
    seeing.keeping.amend(facilities=[line | {"lender": "bank-none", "retention_days": 30}])
    seeing.tick(32 * 24 * 60)
    seeing.keeping.tick()
    assert not [one for one in told(seeing, "lender-two", "base_") if one["subject"] == LINE]
    assert [one for one in told(seeing, "lender-one", "base_") if one["subject"] == LINE] == before != []


def test_what_goods_were_to_another_facility_stays_untold(seeing: Seeing) -> None:
    seeing.lend_on_sea(OTHER_LINE)
    seeing.lend_on_sea(LINE)
    before = [one for one in told(seeing, "lender-one", "base_") if one["subject"] == LINE]
    assert not [name for name in before[-1]["facts"] if name.startswith("change_")]
    seeing.tick(32 * 24 * 60)
    seeing.keeping.tick()
    assert [one for one in told(seeing, "lender-one", "base_") if one["subject"] == LINE][: len(before)] == before


def test_the_base_of_a_moment_is_told_to_whose_facility_it_was_and_as_it_was_known_then(seeing: Seeing) -> None:
    at_ms = hand_over(seeing)
    then = iso(at_ms).replace("+", "%2B")

    def ask(user: str, query: str) -> Any:
        return seeing.get(user, f"/facilities/{LINE}/base{query}")

    own = ask("lender-one", f"?as_of={then}&known_at={then}")
    assert own["base"] == ask("keeper-kim", f"?as_of={then}&known_at={then}")["base"]
    assert ask("lender-one", f"?as_of={then}") == 404  # by what was found out in the other's time
    assert ask("lender-two", f"?as_of={then}") == 422
    assert ask("lender-two", "")["base"] == ask("keeper-kim", "")["base"]
    assert ask("lender-one", "") == 404


def test_a_moment_before_a_facility_names_no_other(seeing: Seeing) -> None:
    answer = seeing.client.get(
        f"/facilities/{LINE}/base?as_of=2020-01-01T00:00:00Z", headers=shown(USERS["lender-one"].key)
    )
    assert (answer.status_code, OTHER_LINE in answer.text) == (422, False)


# Lots that are not pledged to who asks.


def test_nothing_tells_where_a_lot_is_whose_receipt_is_pledged_to_another(seeing: Seeing) -> None:
    seeing.keeping.amend(policies=[{"id": "plain"}])
    seeing.pledge(FIRST, OTHER_BANK)
    seeing.read(ZONE)
    for user in ("lender-one", "insurer-one"):
        lot = seeing.get(user, f"/lots/{HALL_LOT}")
        assert (lot["is_shown"], lot["asset"], "asset" in lot["said"]) == (False, None, False)
        for path in (f"/lots/{HALL_LOT}", f"/facilities/{LINE}", "/lots", "/book"):
            assert HALL not in str(seeing.get(user, path)), (user, path)
        assert seeing.get(user, f"/lots?asset={HALL}") == []
    line = seeing.get("lender-one", f"/lots/{HALL_LOT}")["line"]
    assert (line["in_class"], line["grounds"]) == (None, [f"receipt: {FIRST} is not pledged to this facility"])
    assert line["ineligible"] == {"receipt": line["value_minor"]}
    assert seeing.get("borrower-one", f"/lots/{HALL_LOT}")["asset"] == HALL  # it is the borrower's all along


def test_a_lots_grounds_are_of_its_own_pledge(seeing: Seeing) -> None:
    """Beside a lot that was pledged all along, one of which a spell had come and gone before it was."""
    strict = {"id": "strict", "breach": "ineligible"}
    line = {"id": LINE, "lender": BANK, "borrower": DEPOSITOR, "currency": "USD", "policy": "strict"}
    seeing.keeping.amend(
        policies=[strict], facilities=[line], lots=[at_sea(SEA_LOT, LINE), at_sea("late", OTHER_LINE, 8_000)]
    )
    seeing.read()
    (breach,) = told(seeing, "keeper-kim", "condition_breached")
    seeing.tick()
    take(seeing, measure(seeing, 0, 5_000))
    seeing.tick()
    seeing.keeping.amend(lots=[at_sea("late", LINE, 8_000)])
    line = seeing.get("lender-one", "/lots/late")["line"]
    whole = seeing.get("keeper-kim", "/lots/late")["line"]
    assert whole["grounds"] == [f"condition: event {breach['id']}"]
    told_of_it = [{"step": "condition", "code": "not_shown", "given": {}}]
    assert line == {**whole, "grounds": ["condition: of what is not shown here"], "told": told_of_it}
    assert seeing.get("lender-one", f"/assets/{BOX}")["properties"]["conditions"] == []


# Cursors.


def test_where_acts_go_on_tells_of_no_act_that_is_hidden(seeing: Seeing) -> None:
    seeing.pledge(FIRST, OTHER_BANK)
    seeing.release(FIRST)
    path = f"/receipts/{FIRST}/acts"
    before = seeing.get("lender-two", path)
    seeing.pledge(FIRST, BANK)
    seeing.release(FIRST)
    assert seeing.get("lender-two", path) == before
    assert before["next_after_entry"] == before["acts"][-1]["entry"]
    rest = seeing.get("lender-two", f"{path}?after_entry={before['next_after_entry']}")
    assert rest == {"acts": [], "next_after_entry": before["next_after_entry"]}
    by_one = seeing.get("keeper-kim", f"{path}?limit=1")
    assert [one["act"] for one in by_one["acts"]] == ["issue"]


# How things are now.


def test_who_comes_new_sees_nothing_of_how_things_were_before(seeing: Seeing) -> None:
    seeing.read()
    seeing.tick(60)
    seeing.lend_on_sea(LINE)
    for user in ("lender-one", "borrower-one", "insurer-one"):
        asset = seeing.get(user, f"/assets/{BOX}")
        assert (asset["geometry"], asset["properties"]["measured_at_ms"], asset["properties"]["sources"]) == (
            None,
            None,
            [],
        )
        assert seeing.get(user, "/clusters")["features"] == []
        assert seeing.get(user, f"/lots/{SEA_LOT}")["evidence_ms"] is None
        assert seeing.get(user, f"/assets/{BOX}/series/temperature_mc")["points"] == []
    seeing.read()
    for user in ("lender-one", "borrower-one", "insurer-one", "operator-one"):
        own = seeing.get(user, f"/assets/{BOX}")
        assert own["geometry"] == seeing.get("keeper-kim", f"/assets/{BOX}")["geometry"] is not None, user
        assert own["properties"]["sources"]


def test_a_mean_kinetic_temperature_that_is_partly_of_before_is_not_seen(seeing: Seeing) -> None:
    mkt = {"channel": "temperature_mc", "high_mc": 25_000, "worst_low_mc": 0, "worst_high_mc": 40_000}
    cold = at_sea("cold", LINE, 8_000) | {"mkt": mkt}
    seeing.keeping.amend(lots=[cold])
    for _ in range(3):
        seeing.read()
    assert seeing.get("lender-one", "/lots/cold")["mean_kinetic_temperature"]
    seeing.tick()
    seeing.keeping.amend(lots=[cold | {"facility": OTHER_LINE}])
    later = seeing.get("lender-two", "/lots/cold")
    assert (later["mean_kinetic_temperature"], later["conditions"], later["evidence_ms"]) == (None, [], None)
    seeing.read()
    later = seeing.get("lender-two", "/lots/cold")
    assert later["mean_kinetic_temperature"] is None
    assert [one["state"] for one in later["conditions"]] == ["breached"]
    assert later["evidence_ms"] == seeing.readings[-1][0]


def test_a_borrower_sees_its_own_time_of_a_lot_and_not_the_one_befores(seeing: Seeing) -> None:
    seeing.lend_on_sea(LINE)
    first = seeing.read()
    seeing.lend_on_sea(OTHER_LINE)
    second = seeing.read()

    def values(user: str) -> list[int]:
        return [value for _, value, _ in seeing.get(user, f"/assets/{BOX}/series/temperature_mc")["points"]]

    assert (values("borrower-one"), values("borrower-two")) == ([first], [second])


def test_a_borrower_sees_its_lot_whether_its_receipt_is_pledged_or_not(seeing: Seeing) -> None:
    for act in ("", "pledge", "release"):
        if act == "pledge":
            seeing.pledge(FIRST, BANK)
        elif act:
            seeing.release(FIRST)
        value = seeing.read(ZONE)
        points = seeing.get("borrower-one", f"/assets/{HALL}/series/temperature_mc")["points"]
        assert points[-1][1] == value
    assert len(points) == 3
    assert seeing.get("borrower-one", f"/lots/{SECOND_LOT}")["is_shown"]
    assert seeing.get("borrower-two", f"/assets/{HALL}/series/temperature_mc") == 404


def test_stress_and_exposure_begin_with_the_base_that_was_told(seeing: Seeing) -> None:
    """Though the evidence behind it is of before, and not seen."""
    policy = {"id": "fresh", "evidence": {"fresh_s": 3_600, "stale_s": 7_200}}
    line = {"id": LINE, "lender": BANK, "borrower": DEPOSITOR, "currency": "USD", "policy": "fresh"}
    seeing.read()
    seeing.keeping.amend(policies=[policy], facilities=[line])
    seeing.lend_on_sea(LINE)
    base = seeing.get("lender-one", f"/facilities/{LINE}")["base"]["base_minor"]
    body = {"shocks": [{"id": "none"}]}
    answer = seeing.client.post("/stress", json=body, headers=shown(USERS["lender-one"].key))
    assert answer.status_code == 200, answer.text
    (found,) = answer.json()["stressed"]
    assert (found["base"]["base_minor"], found["change_minor"], base > 0) == (base, 0, True)
    (exposed,) = seeing.get("lender-one", "/exposures/country?currency=USD")["exposures"]
    assert exposed["advance_minor"] == base


# The retention.


@pytest.mark.parametrize("hours", [1, 23])
def test_once_records_need_be_kept_no_longer_nothing_is_seen_of_them(seeing: Seeing, hours: int) -> None:
    """At the hour itself, and without another entry."""
    seeing.lend_on_sea(LINE)
    seeing.read()
    seeing.lend_on_sea("")
    path, released_ms = f"/assets/{BOX}/series/temperature_mc", seeing.keeping.clock.at_ms
    seeing.keeping.clock.at_ms = released_ms + 30 * 86_400_000 - 1
    assert len(seeing.get("lender-one", path)["points"]) == 1
    assert told(seeing, "lender-one", "base_")
    seeing.keeping.clock.at_ms = released_ms + 30 * 86_400_000 + hours * 3_600_000
    assert seeing.get("lender-one", path) == 404


def test_a_borrower_of_the_other_facility_is_no_party_to_the_first(seeing: Seeing) -> None:
    hand_over(seeing)
    assert seeing.get("borrower-two", f"/facilities/{LINE}/ltv") == 404
    assert BUYER in str(seeing.get("borrower-two", f"/facilities/{OTHER_LINE}"))
