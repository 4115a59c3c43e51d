"""Identities of devices by the API: who is invited, who may claim, what is refused, and what is remembered of it."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_cloud import assert_problem
from builders import NOON_MS, Device, book_document, temperature
from claiming import CARE, DAY_MS, HOUR_MS, WORLD_MS, Claimant, ClaimCloud, request_pem, said_in
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.admission import Refusal
from pledgewatch_cloud.decide.identity_acts import IdentityError
from pledgewatch_cloud.identity import authority
from pledgewatch_cloud.replay import replay

OPERATOR, DEVICE, ASSET = "harbour-line", "container-1", "asset-container-1"
NEW = {"operator": OPERATOR, "asset": ASSET}


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[ClaimCloud]:
    one = ClaimCloud(tmp_path)
    one.cloud.spine.commit(drafts.amend, book_document(one.cloud.device))
    yield one
    one.cloud.close()


def leaf_of(answer: dict[str, Any]) -> x509.Certificate:
    return x509.load_pem_x509_certificate(answer["certificate"].encode())


def test_a_device_that_was_invited_claims_its_identity(cloud: ClaimCloud) -> None:
    answer = cloud.post("/devices/invitations", {"device": "tracker-2", **NEW, "settings": "[sampling]\nfix_s = 60\n"})
    assert answer.status_code == 201, answer.text
    said = said_in(answer.json()["claim"])
    assert said["url"] == "https://cloud.example:8420"
    assert (said["device"], said["operator"], said["ca_sha256"]) == ("tracker-2", OPERATOR, "cd" * 32)
    assert len(said["code"]) == 26
    one = Claimant("tracker-2")
    found = cloud.claimed(one, said["code"])
    certificate = leaf_of(found)
    assert certificate.subject.rfc4514_string() == "CN=tracker-2"
    assert certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value[0] == (
        ExtendedKeyUsageOID.CLIENT_AUTH
    )
    certificate.verify_directly_issued_by(cloud.authority.certificate)
    assert certificate.public_key() == one.tls.public_key()
    assert found["not_after_ms"] == WORLD_MS + 90 * DAY_MS
    assert found["settings"] == "[sampling]\nfix_s = 60\n"
    assert found["broker"] == {"host": "broker.example", "port": 8_883}
    assert (found["care_public_key"], found["epoch"], found["asset"]) == (CARE, 0, ASSET)
    installed = cloud.cloud.writer.state.book.installations["tracker-2"]
    assert (installed.public_key, installed.fitted_ms) == (one.device.public_key, NOON_MS)


NO_CODE = "there is no such invitation: the code is wrong, was used, or has expired; ask for another invitation"


def refused(cloud: ClaimCloud, status: int, body: dict[str, Any], path: str = "/devices/claims") -> str:
    """Why it is refused. Nothing is journalled of it."""
    before = cloud.cloud.writer.state.entry
    found = assert_problem(cloud.post(path, body), status)
    assert cloud.cloud.writer.state.entry == before
    return str(found["detail"])


def test_every_wrong_code_has_one_answer(cloud: ClaimCloud) -> None:
    code = cloud.invite("tracker-2", **NEW, valid_h=2)
    other, late = cloud.invite("tracker-3", **NEW), cloud.invite("tracker-4", **NEW, valid_h=1)
    one = Claimant("tracker-2")
    wrong = [("A" * 26, one), (other, one), (code, Claimant("tracker-3")), (code, Claimant("nobody")), ("", one)]
    assert {refused(cloud, 404, who.claim(said)) for said, who in wrong} == {NO_CODE}
    cloud.world.at_ms += HOUR_MS
    assert refused(cloud, 404, Claimant("tracker-4").claim(late)) == NO_CODE
    newer = cloud.invite("tracker-2", **NEW)
    assert refused(cloud, 404, one.claim(code)) == NO_CODE, "another invitation takes the place of the first"
    cloud.claimed(one, newer)
    assert refused(cloud, 404, Claimant("tracker-2", seed=8).claim(newer)) == NO_CODE, "a code opens once"


def test_who_has_lost_the_answer_is_told_the_same_and_nobody_else_is(cloud: ClaimCloud) -> None:
    code = cloud.invite("tracker-2", **NEW)
    one = Claimant("tracker-2")
    found = cloud.claimed(one, code)
    entry = cloud.cloud.writer.state.entry
    assert cloud.claimed(one, code) == found
    assert cloud.cloud.writer.state.entry == entry
    thief = Claimant("tracker-2", seed=7)
    assert refused(cloud, 404, thief.claim(code)) == NO_CODE, "the same chain with another key of TLS is another"
    thief = Claimant("tracker-2", seed=8)
    thief.tls = one.tls
    assert refused(cloud, 404, thief.claim(code)) == NO_CODE, "and so is the same key of TLS with another chain"
    cloud.world.at_ms += 73 * HOUR_MS
    assert refused(cloud, 404, one.claim(code)) == NO_CODE, "a code that has expired opens nothing again"


def test_of_two_who_show_one_code_at_once_one_is_the_device(cloud: ClaimCloud) -> None:
    code = cloud.invite("tracker-2", **NEW)
    some = [Claimant("tracker-2", seed=seed) for seed in range(10, 16)]
    bodies, found = [one.claim(code) for one in some], list[int]()
    begin = threading.Barrier(len(some))

    def ask(body: dict[str, Any]) -> None:
        begin.wait()
        found.append(cloud.post("/devices/claims", body).status_code)

    threads = [threading.Thread(target=ask, args=(body,)) for body in bodies]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(found) == [201, 404, 404, 404, 404, 404]
    state = cloud.cloud.writer.state
    assert state.book.installations["tracker-2"].public_key in {one.device.public_key for one in some}
    assert len(state.identities.of("tracker-2").certificates) == 1


def test_a_request_that_is_none_is_refused_and_uses_nothing_up(cloud: ClaimCloud) -> None:
    code, one = cloud.invite("tracker-2", **NEW), Claimant("tracker-2")
    p256, p384 = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
    for csr, said in (
        ("no request", "csr: is no request for a certificate"),
        (request_pem(p384, "tracker-2"), "csr: its key is not of ECDSA on P-256"),
        (request_pem(p256, "tracker-3"), "csr: its subject is not CN=tracker-2 alone"),
        (request_pem(p256, "tracker-2", (NameOID.COMMON_NAME, "cloud")), "csr: its subject is not CN=tracker-2 alone"),
    ):
        assert said in refused(cloud, 422, one.claim(code) | {"csr": csr})
    cloud.claimed(one, code)


def test_a_request_that_another_has_signed_is_refused(cloud: ClaimCloud) -> None:
    code, one = cloud.invite("tracker-2", **NEW), Claimant("tracker-2")
    lines = request_pem(one.tls, "tracker-2").splitlines()
    lines[-2] = lines[-2][:8] + ("A" if lines[-2][8] != "A" else "B") + lines[-2][9:]
    found = refused(cloud, 422, one.claim(code) | {"csr": "\n".join(lines) + "\n"})
    assert "not signed by its own key" in found or "is no request" in found


def test_a_proof_that_is_none_is_refused(cloud: ClaimCloud) -> None:
    code, one = cloud.invite("tracker-2", **NEW), Claimant("tracker-2")
    good = one.claim(code)
    stranger = ed25519.Ed25519PrivateKey.from_private_bytes(b"\x05" * 32).public_key().public_bytes_raw().hex()
    other = one.claim("B" * 26)["proof"]
    for changed, said in (
        ({"public_key": stranger}, "proof: it is not signed with public_key"),
        ({"proof": other}, "proof: it is not signed"),
        ({"proof": "***"}, "proof: it is no base64"),
        ({"public_key": "00" * 32}, "public_key: it is no Ed25519 key"),
    ):
        cloud.now_s += 60
        assert said in refused(cloud, 422, good | changed)
    assert "epoch is" in refused(cloud, 422, one.claim(code, epoch=2**62))
    assert_problem(cloud.post("/devices/claims", {**good, "public_key": "short"}), 422)
    assert_problem(cloud.post("/devices/claims", {"device": "tracker-2"}), 422)


def test_a_claim_does_not_use_up_the_epochs_of_a_name(cloud: ClaimCloud) -> None:
    code = cloud.invite("tracker-2", **NEW)
    found = refused(cloud, 422, Claimant("tracker-2", epoch=33).claim(code))
    assert "epoch is 33, more than 32 beyond 0, the last that the cloud knows of tracker-2" in found
    assert cloud.claimed(Claimant("tracker-2", epoch=32), code)["epoch"] == 32
    again = cloud.invite("tracker-2")
    assert "beyond 32" in refused(cloud, 422, Claimant("tracker-2", seed=9, epoch=1_022).claim(again))
    assert cloud.claimed(Claimant("tracker-2", seed=9), again)["epoch"] == 32


def test_codes_are_bounded_by_address_and_by_code(cloud: ClaimCloud) -> None:
    code, one = cloud.invite("tracker-2", **NEW), Claimant("tracker-2")
    for _ in range(6):
        refused(cloud, 422, one.claim(code) | {"csr": "x"})
    answer = cloud.post("/devices/claims", one.claim(code))
    assert assert_problem(answer, 429)["detail"].startswith("that is more than 6 claims a minute by one code")
    assert int(answer.headers["retry-after"]) == 10
    cloud.now_s += 10
    cloud.claimed(one, code)
    cloud.now_s += 600
    for number in range(30):
        refused(cloud, 404, one.claim(f"{number:026b}".translate({48: "A", 49: "B"})))
    found = assert_problem(cloud.post("/devices/claims", one.claim("C" * 26)), 429)
    assert "more than 30 claims a minute" in found["detail"]


def test_a_code_is_said_once_and_kept_nowhere(cloud: ClaimCloud, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    keyed = {"idempotency-key": "again"}
    body = {"device": "tracker-2", **NEW}
    codes = [said_in(cloud.post("/devices/invitations", body, headers=keyed).json()["claim"])["code"] for _ in "ab"]
    assert codes[0] != codes[1], "it would have been kept with its key"
    refused(cloud, 404, Claimant("tracker-2").claim(codes[0]))
    cloud.claimed(Claimant("tracker-2"), codes[1])
    written = b"".join(one.body for one in cloud.cloud.store.entries())
    written += state_module.to_bytes(cloud.cloud.writer.state) + caplog.text.encode()
    assert not any(code.encode() in written for code in codes)


def test_a_card_that_was_flashed_again_begins_above_and_its_past_stays_true(cloud: ClaimCloud) -> None:
    spine, old = cloud.cloud.spine, cloud.cloud.device
    first = old.measure(NOON_MS, temperature(5_000))
    late = old.measure(NOON_MS + 60_000, temperature(5_100))
    spine.take([old.arrival([first])])
    code = cloud.invite(DEVICE)
    one = Claimant(DEVICE, seed=9)
    found = cloud.claimed(one, code)
    assert found["epoch"] == 1
    taken = spine.take([old.arrival([late], [old.checkpoint()])])
    assert taken.accepted, "what was on its way is held against the key of then"
    assert spine.state.devices[DEVICE, 1].signed_sequence == 2
    new = Device(DEVICE, epoch=2, seed=9)
    assert spine.take([new.arrival([new.measure(NOON_MS + 120_000, temperature(5_200))], [new.checkpoint()])]).accepted
    assert spine.state.devices[DEVICE, 2].signed_sequence == 1
    forged = Device(DEVICE, epoch=3)
    forged.measure(NOON_MS + 180_000, temperature(5_300))
    (refusal,) = spine.take([forged.arrival(checkpoints=[forged.checkpoint()])]).refused
    assert refusal.reason is Refusal.FORGED_SIGNATURE, "the old key signs nothing new"
    again = Claimant(DEVICE, seed=11, epoch=7)
    assert cloud.claimed(again, cloud.invite(DEVICE))["epoch"] == 7, "the device may know of more than the cloud"
    assert [one.serial for one in spine.state.identities.revoked] == [f"{leaf_of(found).serial_number:x}"]


def test_a_revoked_device_is_refused_at_once_and_comes_back_by_another_claim(cloud: ClaimCloud) -> None:
    spine = cloud.cloud.spine
    one = Claimant(DEVICE, seed=9)
    cloud.claimed(one, cloud.invite(DEVICE))
    spine.take([one.device.arrival([one.device.measure(NOON_MS - 1, temperature(5_000))])])
    body = {"why": "stolen"}
    assert cloud.post(f"/devices/{DEVICE}/revocation", body).json()["changed"]
    assert not cloud.post(f"/devices/{DEVICE}/revocation", body).json()["changed"]
    one.device.measure(NOON_MS, temperature(5_000))
    (refusal,) = spine.take([one.device.arrival(checkpoints=[one.device.checkpoint()])]).refused
    assert refusal.reason is Refusal.REVOKED
    (listed,) = cloud.cloud.get("/devices/identities")
    assert (listed["device"], listed["why"], listed["certificate"]) == (DEVICE, "stolen", None)
    assert listed["revoked"] == "2026-03-01T12:00:00Z"
    assert "was revoked" in refused(cloud, 403, one.renewal(WORLD_MS), "/devices/renewals")
    back = Claimant(DEVICE, seed=12)
    assert cloud.claimed(back, cloud.invite(DEVICE))["epoch"] == 1
    (refusal,) = spine.take([one.device.arrival()]).refused
    assert refusal.reason is Refusal.REVOKED, "of a key that was taken away nothing is believed"
    new = Device(DEVICE, epoch=2, seed=12)
    assert spine.take([new.arrival([new.measure(NOON_MS, temperature(5_000))], [new.checkpoint()])]).accepted
    assert "there is no device" in refused(cloud, 404, body, "/devices/nobody/revocation")


def test_new_hardware_takes_the_asset_over(cloud: ClaimCloud) -> None:
    spine, old = cloud.cloud.spine, Claimant(DEVICE, seed=9)
    cloud.claimed(old, cloud.invite(DEVICE))
    old.device.measure(NOON_MS, temperature(5_000))
    spine.take([old.device.arrival(checkpoints=[old.device.checkpoint()])])
    code = cloud.invite("container-1b", replaces=DEVICE)
    assert not spine.state.book.installations[DEVICE].retired, "the old one works until the new one has claimed"
    new = Claimant("container-1b", seed=10)
    found = cloud.claimed(new, code)
    assert (found["operator"], found["asset"]) == (OPERATOR, ASSET)
    installations = spine.state.book.installations
    assert installations[DEVICE].retired
    assert installations["container-1b"].patience == installations[DEVICE].patience
    assert spine.state.identities.of(DEVICE).certificates == ()
    assert [one.not_after_ms for one in spine.state.identities.revoked] == [WORLD_MS + 90 * DAY_MS]
    assert spine.state.devices[DEVICE, 1].signed_sequence == 1, "its history stays"
    old.device.measure(NOON_MS + 1, temperature(5_000))
    (refusal,) = spine.take([old.device.arrival(old.device.readings[1:])]).refused
    assert refusal.reason is Refusal.NOT_INSTALLED
    assert "is retired" in refused(cloud, 403, old.renewal(WORLD_MS), "/devices/renewals")
    assert "is retired" in refused(cloud, 422, {"device": DEVICE}, "/devices/invitations")


def test_what_a_code_stands_for_may_have_changed(cloud: ClaimCloud) -> None:
    spine = cloud.cloud.spine
    first, second = cloud.invite("tracker-2", replaces=DEVICE), cloud.invite("tracker-3", replaces=DEVICE)
    cloud.claimed(Claimant("tracker-2"), first)
    assert "is retired" in refused(cloud, 409, Claimant("tracker-3", seed=8).claim(second))
    code = cloud.invite("tracker-4", **NEW)
    same = refused(cloud, 409, Claimant("tracker-4", seed=7).claim(code))
    assert same.startswith("this key is tracker-2's: a card was copied")
    fitted = {"device": "tracker-4", "operator": "other-line", "asset": "box", "public_key": Device(seed=30).public_key}
    spine.commit(drafts.amend, {"installations": [fitted]})
    assert "is fitted to box by other-line by now" in refused(cloud, 409, Claimant("tracker-4", seed=8).claim(code))


def test_an_amendment_that_retires_a_device_takes_its_identity(cloud: ClaimCloud) -> None:
    spine = cloud.cloud.spine
    cloud.claimed(Claimant("tracker-2"), cloud.invite("tracker-2", **NEW))
    document = {**fitted_document(spine.state.book.installations["tracker-2"].public_key), "retired": 1}
    spine.commit(drafts.amend, {"installations": [document]})
    assert spine.state.identities.of("tracker-2").why == "it was retired"
    assert len(spine.state.identities.revoked) == 1


@pytest.mark.parametrize(("late_ms", "is_taken"), [(-1, True), (0, False), (1, False)])
def test_a_claim_that_ends_before_it_is_written_down_is_none(cloud: ClaimCloud, late_ms: int, is_taken: bool) -> None:
    """Looked at again behind the writer's lock, and when it is read back: it may have waited there."""
    one, code = Claimant("tracker-2"), cloud.invite("tracker-2", **NEW)
    waiting = cloud.cloud.writer.state.identities.invitations["tracker-2"]
    request = authority.read_request(one.claim(code)["csr"], one.name)
    issued = cloud.authority.issue(one.name, request, 90, WORLD_MS)
    shown = drafts.Shown(one.name, waiting.code_sha256, one.device.public_key, 0)
    with contextlib.nullcontext() if is_taken else pytest.raises(IdentityError, match="has expired"):
        cloud.cloud.spine.commit(drafts.claim_device, shown, issued, waiting.until_ms + late_ms, NOON_MS)
    assert ("tracker-2" in cloud.cloud.writer.state.book.installations) is is_taken


def fitted_document(public_key: str) -> dict[str, Any]:
    return {"device": "tracker-2", **NEW, "public_key": public_key}


def test_an_invitation_that_cannot_be_is_refused(cloud: ClaimCloud) -> None:
    hall = {"device": "hall", **NEW, "public_key": Device(seed=31).public_key, "gateway": "site"}
    cloud.cloud.spine.commit(drafts.amend, {"installations": [hall]})
    cases: list[tuple[dict[str, Any], int, str]] = [
        ({"device": "tracker-2"}, 422, "name its operator and the asset"),
        ({"device": "Tracker 2", **NEW}, 422, "is no device"),
        *(
            ({"device": name, **NEW}, 422, f"/devices/{name} is another thing of the API; name the device otherwise")
            for name in ("claims", "confirmations", "identities", "invitations", "renewals")
        ),
        ({"device": "cloud", **NEW}, 422, "is the broker's name for the cloud itself"),
        ({"device": DEVICE, "asset": "other"}, 422, "is fitted to asset-container-1 by harbour-line, and stays so"),
        ({"device": DEVICE, "replaces": "other"}, 422, "is in the book already"),
        ({"device": "tracker-2", "replaces": "nobody"}, 422, "there is no 'nobody' whose place could be taken"),
        ({"device": "tracker-2", **NEW, "asset": "a\nb"}, 409, "the book would not have the device so"),
        ({"device": "tracker-2", **NEW, "settings": "[device]\nname = 1"}, 422, "the device writes [device] itself"),
        (
            {"device": "tracker-2", **NEW, "settings": "[care]\nidentify_command = ['sh']"},
            422,
            "[care] may not be set by",
        ),
        ({"device": "tracker-2", **NEW, "settings": "clock.trust_system = true"}, 422, "[clock] may not be set by"),
        ({"device": "tracker-2", **NEW, "settings": "password_file = 'x'"}, 422, "[password_file] may not be set by"),
        ({"device": "tracker-2", **NEW, "settings": "= 1"}, 422, "settings: they are no TOML"),
        ({"device": "tracker-2", **NEW, "settings": "uplink = [" + 4_000 * "["}, 422, "nested more than 32 deep"),
        ({"device": "tracker-2", **NEW, "settings": "uplink" + 3_000 * ".a" + " = 1"}, 422, "nested more than 32"),
        ({"device": "tracker-2", **NEW, "settings": "uplink = " + 5_000 * "9"}, 422, "settings: they are no TOML"),
        ({"device": "hall", "gateway": "other"}, 422, "hall is a zone of gateway site, and stays so; leave it out"),
        (
            {"device": "dock", "replaces": "hall", "gateway": "other"},
            422,
            "hall is a zone of gateway site, and stays so",
        ),
        ({"device": DEVICE, "gateway": "site"}, 422, f"{DEVICE} is no gateway's, and stays so; leave it out"),
        ({"device": "tracker-2", **NEW, "gateway": "Site 3"}, 422, "'Site 3' is no gateway"),
        ({"device": "tracker-2", **NEW, "gateway": "tracker-2"}, 422, "tracker-2 is a device's name"),
        ({"device": "tracker-2", **NEW, "gateway": DEVICE}, 422, f"{DEVICE} is a device's name"),
        ({"device": "tracker-2", **NEW, "gateway": "cloud"}, 422, "is the broker's name for the cloud itself"),
        ({"device": "tracker-2", **NEW, "gateway": "site", "operator": "other-line"}, 422, "site is not a gateway of"),
        ({"device": "hall", "settings": "[uplink]\nsend_every_s = 60\n"}, 422, "stands in the file of gateway site"),
        ({"device": "site", **NEW}, 422, "site is a gateway's name"),
    ]
    for asked, status, said in cases:
        assert said in refused(cloud, status, asked, "/devices/invitations"), asked


def test_without_an_authority_nobody_is_invited(tmp_path: Path) -> None:
    one = ClaimCloud(tmp_path)
    object.__setattr__(one.client.app.state.service, "registrar", None)
    body: dict[str, Any] = {"device": "tracker-2", **NEW}
    assert "set [devices]" in refused(one, 404, body, "/devices/invitations")
    one.cloud.close()


def test_the_same_journal_gives_the_same_identities(cloud: ClaimCloud, tmp_path: Path) -> None:
    one = Claimant(DEVICE, seed=9)
    cloud.claimed(one, cloud.invite(DEVICE))
    assert cloud.post("/devices/renewals", one.renewal(WORLD_MS)).status_code == 201
    cloud.claimed(Claimant("container-1b", seed=10), cloud.invite("container-1b", replaces=DEVICE))
    cloud.claimed(Claimant("tracker-2", seed=11), cloud.invite("tracker-2", **NEW))
    cloud.post("/devices/tracker-2/revocation", {"why": "lost"})
    cloud.invite("tracker-3", **NEW)
    state = cloud.cloud.writer.state
    again = state_module.from_bytes(state_module.to_bytes(state))
    assert again.identities == state.identities
    assert state_module.digest(again) == state_module.digest(state)
    cloud.cloud.store.close()
    found = replay(tmp_path)
    assert found.digest == state_module.digest(state)
    changed = state.identities.with_identity(state.identities.of(DEVICE)._replace(epoch=99))
    assert changed != state.identities, "a comparison that can fail"
