"""What an operator may do with identities of devices, and what becomes of it once it has none at an asset."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_cloud import assert_problem
from builders import Device, temperature
from inviting import Inviting
from keeping import LINE
from receipting import WAREHOUSE
from seeing import NIGHT, OPERATOR, OTHER_OPERATOR
from test_access_laws import values_seen
from warehouses import BOX, GATE, TRACKER

from pledgewatch_cloud.decide import identity_acts
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.access.scope import Viewer
from pledgewatch_cloud.decide.access.users import Role
from pledgewatch_cloud.spine.spine import recover

OLD = Device("old-night", seed=99)


@pytest.fixture
def seeing(tmp_path: Path) -> Iterator[Inviting]:
    made = Inviting(tmp_path)
    made.lend_on_sea(LINE)
    yield made
    made.close()


def fit(seeing: Inviting, *, retired: int = 0, device: Device = OLD, operator: str = OTHER_OPERATOR) -> None:
    """The keeper has a device at the box, beside the tracker of another operator; or retires it."""
    fitted = {"device": device.name, "operator": operator, "asset": BOX, "public_key": device.public_key}
    seeing.tick()
    seeing.keeping.amend(installations=[fitted | {"retired": retired}])


def test_an_operator_sees_an_asset_until_its_last_device_there_was_retired(seeing: Inviting) -> None:
    before = seeing.read()
    assert values_seen(seeing, "operator-two", BOX) == set()
    fit(seeing)
    within = seeing.read()
    assert seeing.get("operator-two", f"/assets/{BOX}") != 404
    fit(seeing, retired=1)
    assert seeing.get("operator-two", f"/assets/{BOX}") == 404
    after = seeing.read()
    assert values_seen(seeing, "operator-two", BOX) == {before, within}
    assert values_seen(seeing, "operator-one", BOX) == {before, within, after}
    assert seeing.get("operator-two", f"/assets/{BOX}") == 404
    assert [one["device"] for one in seeing.get("operator-two", "/devices")] == [NIGHT]
    retired_ms = seeing.writer.state.identities.retired_ms
    seeing.tick(60)
    fit(seeing, retired=1)
    assert seeing.writer.state.identities.retired_ms == retired_ms, "it was retired once"
    fit(seeing)
    assert values_seen(seeing, "operator-two", BOX) == {before, within, after}, "fitted again, it sees again"


def test_a_device_whose_place_another_took_is_retired_then(seeing: Inviting) -> None:
    fit(seeing)
    assert seeing.claim(seeing.invite("operator-two", "new-night", replaces="old-night")).status_code == 201
    state = seeing.writer.state
    assert state.identities.retired_ms == {"old-night": state.recorded_at_ms}
    assert seeing.get("operator-two", f"/assets/{BOX}") != 404, "it has another there"
    body = state_module.to_bytes(state)
    assert state_module.to_bytes(state_module.from_bytes(body)) == body
    assert state_module.to_bytes(recover(seeing.store)) == body


def test_an_operator_whose_devices_at_an_asset_are_retired_invites_none_there(seeing: Inviting) -> None:
    fit(seeing)
    invited = seeing.invite("operator-two", "rogue-1", asset=BOX)
    fit(seeing, retired=1)
    why = assert_problem(seeing.invite("operator-two", "rogue-2", asset=BOX), 403)["detail"]
    assert "where it has a device that is not retired" in why
    before = seeing.writer.state.entry
    why = assert_problem(seeing.claim(invited), 409)["detail"]
    assert "where it has a device that is not retired" in why
    assert seeing.writer.state.entry == before
    fit(seeing)
    assert seeing.claim(invited).status_code == 201


def test_what_the_keeper_invites_is_claimed_wherever_it_is(seeing: Inviting) -> None:
    asked: dict[str, Any] = {"operator": OTHER_OPERATOR, "asset": BOX}
    assert seeing.claim(seeing.invite("keeper-kim", "new-night", **asked)).status_code == 201


def test_an_alert_is_in_no_hands_of_who_has_none_there_any_more(seeing: Inviting) -> None:
    fit(seeing, retired=1)
    seeing.fall_silent()
    (silent,) = (one for one in seeing.get("keeper-kim", "/alerts") if not one["pledge"])
    assert silent["hands"] == [OPERATOR]
    assert seeing.get("operator-two", "/alerts") == []


def test_an_operator_ends_no_invitation_of_another_or_of_the_keeper(seeing: Inviting) -> None:
    first = seeing.invite("operator-one", "fresh-1", asset=BOX)
    why = assert_problem(seeing.invite("operator-two", "fresh-1", asset="night-box"), 409)["detail"]
    assert why == "fresh-1 is invited already, not by night-line; use another name, or ask the book's keeper"
    seeing.invite("keeper-kim", "fresh-2", operator=OPERATOR, asset=BOX)
    assert_problem(seeing.invite("operator-two", "fresh-2", asset="night-box"), 409)
    assert seeing.claim(first).status_code == 201
    again = seeing.invite("operator-one", "fresh-3", asset=BOX)
    assert seeing.claim(seeing.invite("operator-one", "fresh-3", asset=BOX), seed=8).status_code == 201
    assert_problem(seeing.claim(again, seed=9), 404)
    seeing.invite("operator-one", "fresh-4", asset=BOX)
    keepers = seeing.invite("keeper-kim", "fresh-4", operator=OTHER_OPERATOR, asset="night-box")
    assert seeing.claim(keepers, seed=10).status_code == 201
    seeing.invite("operator-one", "fresh-5", asset=BOX, valid_h=1)
    seeing.tick(61)
    seeing.keeping.tick()
    assert seeing.invite("operator-two", "fresh-5", asset="night-box").status_code == 201, "what has ended holds nobody"


def test_an_operator_that_invites_too_many_keeps_nobody_else_from_inviting(
    seeing: Inviting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity_acts, "OPERATOR_INVITATIONS_MAX", 2)
    monkeypatch.setattr(identity_acts, "INVITATIONS_MAX", 3)
    found = [seeing.invite("operator-two", f"new-{one}", asset="night-box") for one in range(3)]
    assert [one.status_code for one in found] == [201, 201, 429]
    assert "2 invitations of night-line wait" in found[-1].json()["detail"]
    assert seeing.invite("operator-two", "new-1", asset="night-box").status_code == 201, "in the place of its own"
    assert seeing.invite("operator-one", "fresh-1", asset=BOX).status_code == 201
    place = {"operator": OPERATOR, "asset": BOX}
    found = [seeing.invite("keeper-kim", f"more-{one}", **place) for one in range(4)]
    assert [one.status_code for one in found] == [201, 201, 201, 429]


def test_an_invitation_that_waits_is_withdrawn_by_who_may_invite(seeing: Inviting) -> None:
    invited = seeing.invite("operator-one", "fresh-1", asset=BOX)
    revocation = "/devices/fresh-1/revocation"
    for user in ("operator-two", "lender-one", "warehouse-one"):
        assert_problem(seeing.post(user, revocation, why="x"), 403)
    assert seeing.post("operator-one", revocation, why="the claim was photographed").json()["changed"]
    assert_problem(seeing.claim(invited), 404)
    assert seeing.get("operator-one", "/devices/identities") == []
    assert_problem(seeing.post("operator-one", revocation, why="x"), 403)
    assert_problem(seeing.post("keeper-kim", revocation, why="x"), 404)
    seeing.invite("operator-one", "fresh-1", asset=BOX)
    assert seeing.post("keeper-kim", revocation, why="x").status_code == 200
    seeing.invite("keeper-kim", "fresh-1", operator=OPERATOR, asset="elsewhere")
    assert_problem(seeing.post("operator-one", revocation, why="x"), 403)
    state = seeing.writer.state
    assert state_module.to_bytes(recover(seeing.store)) == state_module.to_bytes(state)
    assert not state.identities.identities, "who was never a device has no identity to be taken away"


def test_who_has_invited_a_name_takes_nothing_from_whose_device_the_book_has_under_it(seeing: Inviting) -> None:
    """A free name is anybody's to invite, for up to 30 days, and devices that are made by hand come by the book."""
    night = Device("new-night", seed=97)
    fitted = {"device": night.name, "operator": OTHER_OPERATOR, "asset": "night-box", "public_key": night.public_key}
    invited = seeing.invite("operator-one", night.name, asset=BOX, valid_h=720)
    seeing.tick()
    seeing.keeping.amend(installations=[fitted])
    revocation = f"/devices/{night.name}/revocation"
    assert_problem(seeing.post("operator-one", revocation, why="mine was invited"), 403)
    assert not seeing.writer.state.identities.barred
    assert_problem(seeing.claim(invited), 409)
    assert_problem(seeing.invite("operator-one", night.name, asset=BOX), 403)
    own = seeing.invite("operator-two", night.name)
    assert_problem(seeing.claim(invited), 404)
    assert_problem(seeing.post("operator-one", revocation, why="mine was invited"), 403)
    assert seeing.claim(own, seed=8).status_code == 201
    assert seeing.post("operator-two", revocation, why="its owner may").json()["changed"]
    seeing.invite("keeper-kim", night.name)
    why = assert_problem(seeing.invite("operator-two", night.name), 409)["detail"]
    assert "ask the book's keeper" in why, "the keeper's stands, as of any device"


def test_an_operator_reads_no_invitation_of_another(seeing: Inviting) -> None:
    seeing.invite("operator-one", "fresh-1", asset=BOX)
    seeing.invite("keeper-kim", "fresh-2", operator=OPERATOR, asset=BOX)

    def invited(user: str) -> list[str]:
        return [one["device"] for one in seeing.get(user, "/devices/identities") if one["invited_until"]]

    assert invited("operator-two") == []
    assert invited("operator-one") == invited("keeper-kim") == ["fresh-1", "fresh-2"]


def test_an_operator_sees_the_care_of_its_own_devices_alone(seeing: Inviting) -> None:
    view = seeing.client.app.state.service.views
    assert seeing.post("operator-one", f"/devices/{TRACKER}/commands", what="report_now").status_code == 200
    viewers = {
        user: Viewer(user, party, Role.OPERATOR)
        for user, party in (("operator-one", OPERATOR), ("operator-two", OTHER_OPERATOR))
    }
    assert set(view.of(viewers["operator-one"]).state.care) == {TRACKER}
    assert set(view.of(viewers["operator-two"]).state.care) == set()
    fit(seeing)  # its device lies beside the tracker, and it sees the asset
    assert set(view.of(viewers["operator-two"]).state.care) == set()


def test_an_alert_at_a_gate_is_in_the_warehouse_s_hands(seeing: Inviting) -> None:
    camera = Device("gate-camera", seed=98)
    fitted = {"device": camera.name, "operator": OPERATOR, "asset": GATE, "public_key": camera.public_key}
    seeing.keeping.devices[camera.name] = camera
    seeing.keeping.amend(
        alert_rules=[{"id": "silent", "on": "source_silent", "group_by": "device"}],
        installations=[fitted | {"overdue_after_s": 600, "silent_after_s": 1_200}],
    )
    seeing.tick()
    at_ms = seeing.keeping.clock.at_ms
    seeing.keeping.take(camera.arrival([camera.measure(at_ms - 1_000, temperature(5_000))], operator=OPERATOR))
    seeing.tick(60)
    seeing.keeping.tick()
    found = [one for one in seeing.get("warehouse-one", "/alerts") if one["assets"] == [GATE]]
    assert [(one["hands"], one["is_own"]) for one in found] == [([OPERATOR, WAREHOUSE], True)]
