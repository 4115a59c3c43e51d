"""Zones of a gateway that claim identities: what the book has of them, and whom the broker's access list lets speak."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from api_cloud import assert_problem
from builders import Device, book_document
from claiming import DAY_MS, Claimant, ClaimCloud, said_in
from inviting import Inviting
from keeping import LINE
from seeing import OTHER_OPERATOR
from warehouses import BOX

from pledgewatch_cloud.__main__ import main
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.item import BookError
from pledgewatch_cloud.mosquitto import acl_of
from pledgewatch_cloud.spine.spine import recover
from pledgewatch_wire.claims import read_claim

SITE, ASSET = "site-la-3", "asset-container-1"
ZONE = {"operator": "harbour-line", "asset": ASSET, "gateway": SITE}
DOCK = {"device": "dock", "public_key": Device(seed=31).public_key, **ZONE}


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[ClaimCloud]:
    """A gateway whose dock is let in by a certificate that was made by hand."""
    one = ClaimCloud(tmp_path)
    one.cloud.spine.commit(drafts.amend, book_document(one.cloud.device))
    one.cloud.spine.commit(drafts.amend, {"installations": [DOCK]})
    yield one
    one.cloud.close()


def heard(cloud: ClaimCloud, after_ms: int = 0) -> dict[str, set[str]]:
    """Whose words the broker takes of whom, by user: of those who are about this gateway."""
    state = cloud.cloud.writer.state
    text = acl_of(state.identities.speakers(state.book.installations.values(), cloud.world.at_ms + after_ms))
    found: dict[str, set[str]] = {}
    for section in text.split("user ")[1:]:
        user, *lines = section.splitlines()
        words = [line.split("/") for line in lines if line.startswith("topic write ") and line.endswith("/up")]
        if user in {SITE, "dock", "hall"}:
            found[user] = {one[3] for one in words}
    return found


def test_a_zone_that_was_invited_is_its_gateways_and_speaks_for_itself(cloud: ClaimCloud) -> None:
    answer = cloud.post("/devices/invitations", {"device": "hall", **ZONE}).json()
    assert (answer["gateway"], read_claim(answer["claim"]).gateway) == (SITE, SITE)
    assert heard(cloud) == {SITE: {"dock"}}
    cloud.claimed(Claimant("hall"), said_in(answer["claim"])["code"])
    assert cloud.cloud.writer.state.book.installations["hall"].gateway == SITE
    assert heard(cloud) == {SITE: {"dock"}, "hall": {"hall"}}
    [listed] = cloud.client.get("/devices/identities").json()
    assert (listed["device"], listed["gateway"]) == ("hall", SITE)


def test_a_zone_of_the_book_is_its_gateways_users_no_more_once_it_has_claimed(cloud: ClaimCloud) -> None:
    code = cloud.invite("dock")
    assert heard(cloud) == {SITE: {"dock"}}, "as before, until it claims"
    one = Claimant("dock")
    cloud.claimed(one, code)
    assert heard(cloud) == {"dock": {"dock"}}
    installed = cloud.cloud.writer.state.book.installations["dock"]
    assert (installed.gateway, installed.public_key) == (SITE, one.device.public_key)


def test_nobody_speaks_for_a_zone_whose_identity_has_ended(cloud: ClaimCloud) -> None:
    cloud.claimed(Claimant("dock"), cloud.invite("dock"))
    assert heard(cloud, 91 * DAY_MS) == {}, "its certificate has ended; that of its gateway does not count again"
    cloud.post("/devices/dock/revocation", {"why": "the card was stolen"})
    assert heard(cloud) == {}
    cloud.claimed(Claimant("dock", seed=8), cloud.invite("dock"))
    assert heard(cloud) == {"dock": {"dock"}}


def test_new_hardware_of_a_zone_is_the_same_gateways(cloud: ClaimCloud) -> None:
    cloud.claimed(Claimant("dock"), cloud.invite("dock"))
    claim = cloud.post("/devices/invitations", {"device": "dock-2", "replaces": "dock"}).json()["claim"]
    assert read_claim(claim).gateway == SITE
    cloud.claimed(Claimant("dock-2", seed=8), said_in(claim)["code"])
    installed = cloud.cloud.writer.state.book.installations
    assert (installed["dock-2"].gateway, installed["dock"].retired) == (SITE, 1)


def test_a_gateway_that_became_anothers_meanwhile_is_not_claimed(cloud: ClaimCloud) -> None:
    code = cloud.invite("hall", **{**ZONE, "gateway": "site-9"})
    other = DOCK | {"device": "abroad", "operator": "other-line", "gateway": "site-9"}
    cloud.cloud.spine.commit(drafts.amend, {"installations": [other | {"public_key": Device(seed=32).public_key}]})
    refused = assert_problem(cloud.post("/devices/claims", Claimant("hall").claim(code)), 409)
    assert refused["detail"] == "site-9 is not a gateway of harbour-line; name another"


def test_the_same_journal_gives_the_same_zones(cloud: ClaimCloud) -> None:
    cloud.claimed(Claimant("hall"), cloud.invite("hall", **ZONE))
    cloud.invite("dock")
    body = state_module.to_bytes(cloud.cloud.writer.state)
    assert state_module.to_bytes(state_module.from_bytes(body)) == body
    assert state_module.to_bytes(recover(cloud.cloud.store)) == body


def test_an_access_list_that_is_printed_has_whom_the_broker_hears(
    cloud: ClaimCloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.claimed(Claimant("hall"), cloud.invite("hall", **ZONE))
    cloud.post("/devices/hall/revocation", {"why": "stolen"})
    cloud.cloud.close()
    data = next(path.parent for path in tmp_path.rglob("*.sqlite*"))
    capsys.readouterr()
    assert main(["broker", "acl", "--data", str(data)]) == 0
    printed = capsys.readouterr().out
    assert "user site-la-3" in printed
    assert "hall" not in printed


def test_an_operator_has_no_zone_behind_anothers_gateway(tmp_path: Path) -> None:
    """The silence of zones behind one gateway is one alert: who could name any gateway would be in it."""
    seeing = Inviting(tmp_path)
    seeing.lend_on_sea(LINE)
    first = seeing.invite("operator-one", "zone-1", asset=BOX, gateway=SITE)
    assert seeing.claim(first).status_code == 201
    refused = assert_problem(seeing.invite("operator-two", "zone-2", asset="night-box", gateway=SITE), 422)
    assert refused["detail"] == f"{SITE} is not a gateway of {OTHER_OPERATOR}; name another"
    again = seeing.invite("operator-one", "zone-1")
    assert again.json()["gateway"] == SITE
    seeing.close()


def test_a_gateway_of_which_anothers_invitation_waits_is_not_to_be_had(cloud: ClaimCloud) -> None:
    hall = cloud.invite("hall", **{**ZONE, "gateway": "site-9"})
    other = {"operator": OTHER_OPERATOR, "asset": ASSET}
    for device, more, words in (
        ("bee", {"gateway": "site-9"}, f"site-9 is not a gateway of {OTHER_OPERATOR}; name another"),
        ("site-9", {}, "site-9 is invited as a device and as a gateway; name one otherwise"),
        ("bee", {"gateway": "hall"}, "hall is invited as a device and as a gateway; name one otherwise"),
    ):
        refused = assert_problem(cloud.post("/devices/invitations", {"device": device, **other, **more}), 422)
        assert refused["detail"] == words
    again = cloud.post("/devices/invitations", {"device": "hall", **ZONE, "gateway": "site-9"})
    assert again.status_code == 201, "its own is put in the place of the one before"
    assert_problem(cloud.post("/devices/claims", Claimant("hall").claim(hall)), 404)
    cloud.world.at_ms += 4 * DAY_MS
    late = cloud.post("/devices/invitations", {"device": "bee", **other, "gateway": "site-9"})
    assert late.status_code == 201, "an invitation that has ended keeps nothing"


@pytest.mark.parametrize("by_file", [False, True])
def test_the_book_names_no_gateway_as_a_device_that_speaks_for_itself(cloud: ClaimCloud, *, by_file: bool) -> None:
    cloud.claimed(Claimant("hall"), cloud.invite("hall", **ZONE))
    spine = cloud.cloud.spine
    bee = DOCK | {"device": "bee", "public_key": Device(seed=33).public_key}

    def amend(document: dict[str, object]) -> None:
        if by_file:
            spine.commit(drafts.amend_from_file, "book.json", str(document), document)
        else:
            spine.commit(drafts.amend, document)

    amend({"installations": [bee | {"device": "gate", "gateway": "", "public_key": Device(seed=34).public_key}]})
    for gateway in ("hall", "gate"):
        with pytest.raises(BookError, match=f"installations bee: gateway {gateway} is a device's name; a gateway is"):
            amend({"installations": [bee | {"gateway": gateway}]})
    amend({"installations": [bee]})
    with pytest.raises(BookError, match="installations dock: gateway hall is a device's name"):
        amend({"installations": [DOCK | {"gateway": "hall"}]})
    assert heard(cloud) == {SITE: {"dock", "bee"}, "hall": {"hall"}}


def test_a_book_that_has_such_a_gateway_already_can_still_be_amended_and_replayed(cloud: ClaimCloud) -> None:
    cloud.claimed(Claimant("hall"), cloud.invite("hall", **ZONE))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pledgewatch_cloud.decide.identity_acts.check_gateways", lambda *_: None)
        cloud.cloud.spine.commit(drafts.amend, {"installations": [DOCK | {"gateway": "hall"}]})
    bee = DOCK | {"device": "bee", "public_key": Device(seed=33).public_key}
    cloud.cloud.spine.commit(drafts.amend, {"installations": [bee]})
    assert recover(cloud.cloud.store).book.installations["dock"].gateway == "hall"
    cloud.cloud.spine.commit(drafts.amend, {"installations": [DOCK]})
    assert heard(cloud) == {SITE: {"dock", "bee"}, "hall": {"hall"}}


@pytest.mark.parametrize("by_file", [False, True])
def test_the_book_gives_no_gateway_a_second_operator(cloud: ClaimCloud, *, by_file: bool) -> None:
    """The broker has one user of a gateway's name, so the zones of both would fall silent."""
    spine = cloud.cloud.spine
    bee = {**DOCK, "device": "bee", "operator": "other-line", "public_key": Device(seed=33).public_key}

    def amend(*installations: Mapping[str, object]) -> None:
        document = {"installations": [*installations]}
        if by_file:
            spine.commit(drafts.amend_from_file, "book.json", str(document), document)
        else:
            spine.commit(drafts.amend, document)

    cloud.claimed(Claimant("hall"), cloud.invite("hall", **ZONE | {"gateway": "site-9"}))
    refused = f"gateway {SITE} would be of harbour-line and other-line, and is one operator's where devices claim"
    with pytest.raises(BookError, match=refused):
        amend(bee)
    cloud.claimed(Claimant("dock", seed=8), cloud.invite("dock"))
    with pytest.raises(BookError, match=refused):
        amend(bee)
    amend(bee | {"gateway": "site-3"})
    with pytest.raises(BookError, match=refused):
        amend(bee)
    assert heard(cloud) == {"dock": {"dock"}, "hall": {"hall"}}
    amend(bee, DOCK | {"retired": 1})
    assert heard(cloud) == {SITE: {"bee"}, "hall": {"hall"}}, "whose zones were all retired, it is anybody's"


def test_a_book_that_has_a_gateway_of_two_already_can_still_be_amended_and_replayed(cloud: ClaimCloud) -> None:
    bee = {**DOCK, "device": "bee", "operator": "other-line", "public_key": Device(seed=33).public_key}
    cloud.cloud.spine.commit(drafts.amend, {"installations": [bee]})
    cloud.claimed(Claimant("hall"), cloud.invite("hall", **ZONE | {"gateway": "site-9"}))
    abroad = bee | {"device": "abroad", "public_key": Device(seed=34).public_key}
    cloud.cloud.spine.commit(drafts.amend, {"installations": [abroad]})
    third = {**DOCK, "device": "third", "operator": "third-line", "public_key": Device(seed=35).public_key}
    with pytest.raises(BookError, match="would be of harbour-line and other-line and third-line"):
        cloud.cloud.spine.commit(drafts.amend, {"installations": [third]})
    assert set(recover(cloud.cloud.store).book.installations) > {"dock", "bee", "abroad"}
