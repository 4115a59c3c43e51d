"""Renewing a certificate, and which users may invite and revoke."""

from base64 import b64encode
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from api_cloud import assert_problem, shown
from builders import Device, book_document
from claiming import DAY_MS, WORLD_MS, Claimant, ClaimCloud, said_in
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from pledgewatch_cloud.access.identify import new_key
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.batch import DeviceRenewal
from pledgewatch_cloud.decide.drafts import Draft
from pledgewatch_cloud.decide.identity_acts import IdentityError
from pledgewatch_cloud.decide.identity_book import CERTIFICATES_MAX, RENEWALS_REVOKED_MAX, REVOKED_MAX
from pledgewatch_cloud.identity import authority

OPERATOR, DEVICE, ASSET = "harbour-line", "container-1", "asset-container-1"
RENEWALS = "/devices/renewals"


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[ClaimCloud]:
    one = ClaimCloud(tmp_path)
    one.cloud.spine.commit(drafts.amend, book_document(one.cloud.device, Device("other-1", seed=3)))
    yield one
    one.cloud.close()


@pytest.fixture
def device(cloud: ClaimCloud) -> Claimant:
    one = Claimant(DEVICE)
    cloud.claimed(one, cloud.invite(DEVICE))
    return one


def renewed(cloud: ClaimCloud, one: Claimant, **how: Any) -> dict[str, Any]:
    """A renewal that is granted; the device has not taken it up yet."""
    answer = cloud.post(RENEWALS, one.renewal(cloud.world.at_ms, **how))
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def refused(cloud: ClaimCloud, status: int, body: dict[str, Any]) -> str:
    """Why it is. Nothing is journalled of it."""
    before = cloud.cloud.writer.state.entry
    found = assert_problem(cloud.post(RENEWALS, body), status)
    assert cloud.cloud.writer.state.entry == before
    return str(found["detail"])


def serials(cloud: ClaimCloud) -> list[str]:
    """Of the certificates that count, oldest first."""
    return [one.serial for one in cloud.cloud.writer.state.identities.of(DEVICE).certificates]


def test_a_certificate_is_renewed_by_the_one_in_force(cloud: ClaimCloud, device: Claimant) -> None:
    (first,) = serials(cloud)
    cloud.world.at_ms += 60 * DAY_MS
    key = ec.generate_private_key(ec.SECP256R1())
    found = renewed(cloud, device, key=key)
    assert "settings" not in found
    assert found["not_after_ms"] == WORLD_MS + 150 * DAY_MS
    leaf = x509.load_pem_x509_certificate(found["certificate"].encode())
    assert leaf.public_key() == key.public_key()
    assert serials(cloud)[0] == first, "the one before counts until the new one was shown"
    entry = cloud.cloud.writer.state.entry
    assert renewed(cloud, device, key=key) == found, "who has lost the answer is told the same"
    assert cloud.cloud.writer.state.entry == entry
    second = serials(cloud)[1]
    cloud.now_s += 60
    device.tls, device.certificate = key, found["certificate"]
    due = refused(cloud, 429, device.renewal(cloud.world.at_ms))
    assert "may again from 2026-05-30T11:20:00Z on; ask again in" in due, "a third of its life after it was made"
    cloud.world.at_ms += 29 * DAY_MS + 83_999_000
    refused(cloud, 429, device.renewal(cloud.world.at_ms))
    cloud.world.at_ms += 1_000
    renewed(cloud, device)
    assert serials(cloud)[0] == second
    assert [one.serial for one in cloud.cloud.writer.state.identities.revoked] == [first]


def test_what_was_replaced_expired_or_is_of_another_is_not_renewed(
    cloud: ClaimCloud, device: Claimant, tmp_path: Path
) -> None:
    old = (device.tls, device.certificate)
    found = renewed(cloud, device)
    device.certificate = found["certificate"]
    cloud.world.at_ms += 30 * DAY_MS
    renewed(cloud, device)
    device.tls, device.certificate = old
    body, entry = device.renewal(cloud.world.at_ms), cloud.cloud.writer.state.entry
    assert "was replaced or revoked" in assert_problem(cloud.post(RENEWALS, body), 403)["detail"]
    assert cloud.cloud.writer.state.entry == entry + 1, "who has replaced it is told"
    assert "was replaced or revoked" in refused(cloud, 403, body)
    device.certificate = found["certificate"]
    cloud.world.at_ms += 90 * DAY_MS
    assert "has expired" in refused(cloud, 403, device.renewal(cloud.world.at_ms))
    other = authority.create(tmp_path / "o.pem", tmp_path / "o.key", "test authority", 100, WORLD_MS)
    request = authority.read_request(device.renewal(WORLD_MS)["csr"], DEVICE)
    device.certificate = other.shown(other.issue(DEVICE, request, 90, WORLD_MS))
    assert "not of this authority" in refused(cloud, 403, device.renewal(cloud.world.at_ms))
    body = device.renewal(cloud.world.at_ms)
    assert "not of 'other-1'" in refused(cloud, 403, body | {"device": "other-1"})
    assert "certificate: is none in PEM" in refused(cloud, 422, body | {"certificate": "x"})


def test_a_renewal_shows_the_key_and_the_hour(cloud: ClaimCloud, device: Claimant) -> None:
    now_ms = cloud.world.at_ms
    good = device.renewal(now_ms)
    stranger = Claimant(DEVICE)
    stranger.certificate = device.certificate
    for body in (
        stranger.renewal(now_ms),
        good | {"csr": stranger.renewal(now_ms)["csr"]},
        good | {"signed_ms": now_ms + 1},
        good | {"proof": b64encode(b"no signature").decode()},
    ):
        assert "proof: it is not signed with the certificate's key" in refused(cloud, 422, body)
    for off_ms in (-300_001, 300_001):
        assert "signed_ms: it is not within 5 minutes" in refused(cloud, 422, device.renewal(now_ms + off_ms))
    assert cloud.post(RENEWALS, device.renewal(now_ms - 300_000)).status_code == 201


def used_up(cloud: ClaimCloud) -> None:
    """Renewals for ever other keys, however soon one comes after the other. Raises IdentityError at the end of room."""
    of, *_ = serials(cloud)
    for number in range(2 * REVOKED_MAX):
        one = DeviceRenewal(
            DEVICE, of, f"{number:040x}", WORLD_MS + 90 * DAY_MS, f"{number:064x}", "", cloud.world.at_ms
        )
        cloud.cloud.spine.commit(lambda _, given: Draft(given), one)


def test_renewals_are_bounded(cloud: ClaimCloud, device: Claimant) -> None:
    stranger = Claimant(DEVICE)
    stranger.certificate = device.certificate
    for _ in range(8):
        refused(cloud, 422, stranger.renewal(cloud.world.at_ms))

    def another() -> dict[str, Any]:
        """The device has lost key and answer, and asks by the older one."""
        return device.renewal(cloud.world.at_ms, key=ec.generate_private_key(ec.SECP256R1()))

    body = device.renewal(cloud.world.at_ms)
    for _ in range(6):
        assert cloud.post(RENEWALS, body).status_code == 201
    assert "6 renewals a minute by one certificate" in refused(cloud, 429, body)
    for _ in range(6):
        assert "was given a certificate for another key" in refused(cloud, 429, another())
    assert "6 renewals a minute by one certificate" in refused(cloud, 429, another())
    with pytest.raises(IdentityError, match="has 32 certificates that count no more and have not expired"):
        used_up(cloud)
    listed = len(cloud.cloud.writer.state.identities.of(DEVICE).revoked)
    assert listed == RENEWALS_REVOKED_MAX - CERTIFICATES_MAX, "two count, and the rest are listed with room for those"
    cloud.now_s += 60
    cloud.world.at_ms += 89 * DAY_MS
    assert cloud.post(RENEWALS, another()).status_code == 429
    cloud.post(f"/devices/{DEVICE}/revocation", {"why": "it asks too much"})
    assert len(cloud.cloud.writer.state.identities.revoked) <= REVOKED_MAX, "taking it away is never refused"


def test_what_renewals_have_used_up_is_begun_anew_by_claims(cloud: ClaimCloud, device: Claimant) -> None:
    with pytest.raises(IdentityError, match="has 32 certificates"):
        used_up(cloud)
    cloud.post(f"/devices/{DEVICE}/revocation", {"why": "it asks too much"})
    again = 0
    while True:
        cloud.now_s += 60
        answer = cloud.post("/devices/invitations", {"device": DEVICE})
        if answer.status_code == 429:
            break
        code = said_in(answer.json()["claim"])["code"]
        another = Claimant(DEVICE)
        cloud.claimed(another, code)
        renewed(cloud, another, key=ec.generate_private_key(ec.SECP256R1()))
        again += 1
    assert again == (REVOKED_MAX - RENEWALS_REVOKED_MAX) // 2
    assert "has 64 certificates that count no more" in answer.text
    cloud.post(f"/devices/{DEVICE}/revocation", {"why": "it asks too much"})
    assert len(cloud.cloud.writer.state.identities.revoked) == REVOKED_MAX, "taking it away is never refused"
    cloud.world.at_ms += 90 * DAY_MS
    cloud.claimed(device, cloud.invite(DEVICE))  # they have expired


USERS = {
    role: {"id": role, "name": role, "party": party, "role": role}
    for role, party in (
        *(("operator", OPERATOR), ("lender", "bank"), ("borrower", "exporter"), ("auditor", "auditors")),
        *(("warehouse", "la-1"), ("keeper", "us")),
    )
}


def test_keepers_and_operators_of_their_own_invite_and_revoke(cloud: ClaimCloud) -> None:
    keys, users = {}, []
    others = Device("stranger-1", seed=4)
    for role, user in USERS.items():
        keys[role], sha256 = new_key()
        users.append(user | {"keys": [{"kid": "k", "sha256": sha256, "scope": "write"}]})
    fitted = {"device": others.name, "operator": "other-line", "asset": "box", "public_key": others.public_key}
    cloud.cloud.spine.commit(drafts.amend, {"users": users, "installations": [fitted]})

    def asked(role: str, path: str, **body: Any) -> tuple[int, str]:
        answer = cloud.post(path, body, headers=shown(keys[role]))
        return answer.status_code, answer.text

    invite = "/devices/invitations"
    for role in ("lender", "borrower", "auditor", "warehouse"):
        assert asked(role, invite, device=DEVICE)[0] == 403
        assert asked(role, f"/devices/{DEVICE}/revocation", why="x")[0] == 403
    assert asked("operator", invite, device=DEVICE)[0] == 201
    assert asked("operator", invite, device="tracker-2", asset=ASSET)[0] == 201
    assert asked("operator", invite, device="tracker-3", replaces=DEVICE)[0] == 201
    for body in (
        {"device": others.name},
        {"device": "tracker-4", "asset": "box"},
        {"device": "tracker-4", "asset": "unknown"},
        {"device": "tracker-4", "asset": ASSET, "operator": "other-line"},
        {"device": "tracker-4", "replaces": others.name},
        {"device": "tracker-4", "replaces": "nobody"},
    ):
        assert asked("operator", invite, **body)[0] == 403, body
    assert asked("operator", f"/devices/{others.name}/revocation", why="x")[0] == 403
    assert asked("operator", "/devices/nobody/revocation", why="x")[0] == 403
    assert asked("operator", f"/devices/{DEVICE}/revocation", why="lost")[0] == 200
    assert asked("keeper", invite, device=others.name)[0] == 201
    assert asked("keeper", f"/devices/{others.name}/revocation", why="lost")[0] == 200
    seen = {role: cloud.client.get("/devices/identities", headers=shown(key)).json() for role, key in keys.items()}
    assert {one["device"] for one in seen["operator"]} == {DEVICE, "tracker-2", "tracker-3"}
    assert {one["device"] for one in seen["keeper"]} == {DEVICE, "tracker-2", "tracker-3", others.name}
    assert seen["lender"] == seen["borrower"] == seen["auditor"] == seen["warehouse"] == []
    by = {one.by for one in cloud.cloud.writer.state.identities.identities.values()}
    assert by == {"operator", "keeper"}
    assert asked("keeper", invite, device="tracker-9", operator="a", asset="b", by="night desk")[0] == 201
    assert cloud.cloud.writer.state.identities.invitations["tracker-9"].by == "keeper", "who has a name signs with it"


def pem_of(what: str, der: bytes) -> str:
    """DER in PEM, whether it is any or not."""
    return f"-----BEGIN {what}-----\n{b64encode(der).decode()}\n-----END {what}-----\n"


def test_a_request_or_certificate_of_no_known_version_is_refused(cloud: ClaimCloud, device: Claimant) -> None:
    good = x509.load_pem_x509_certificate(device.certificate.encode()).public_bytes(Encoding.DER)
    version = b"\xa0\x03\x02\x01\x02"  # RFC 5280, 4.1: version 3
    assert good.count(version) == 1
    odd = pem_of("CERTIFICATE", good.replace(version, b"\xa0\x03\x02\x01\x07"))
    body = device.renewal(cloud.world.at_ms)
    assert "certificate: is none" in refused(cloud, 422, body | {"certificate": odd})
    asked = x509.load_pem_x509_csr(body["csr"].encode()).public_bytes(Encoding.DER)
    odd = pem_of("CERTIFICATE REQUEST", asked.replace(b"\x02\x01\x00", b"\x02\x01\x05", 1))
    assert "csr: is no request" in refused(cloud, 422, body | {"csr": odd})
    again = Claimant(DEVICE, seed=9)
    claim = again.claim(cloud.invite(DEVICE)) | {"csr": odd}
    assert "csr: is no request" in assert_problem(cloud.post("/devices/claims", claim), 422)["detail"]


@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # the library's, of what it will refuse some day
def test_a_byte_that_is_another_is_read_or_refused_and_nothing_else(cloud: ClaimCloud, device: Claimant) -> None:
    certificate = x509.load_pem_x509_certificate(device.certificate.encode()).public_bytes(Encoding.DER)
    request = x509.load_pem_x509_csr(device.renewal(0)["csr"].encode()).public_bytes(Encoding.DER)
    read = 0
    for der, is_request in ((certificate, False), (request, True)):
        for place, value in product(range(len(der)), (0x00, 0x05, 0x30, 0x80, 0xFF)):
            other = der[:place] + bytes([value]) + der[place + 1 :]
            try:
                if is_request:
                    authority.read_request(pem_of("CERTIFICATE REQUEST", other), DEVICE)
                else:
                    found = authority.read_certificate(pem_of("CERTIFICATE", other))
                    authority.device_of(found), authority.serial_of(found), cloud.authority.has_signed(found)
                    assert not authority.verifies(found, b"no signature", b"text")
            except authority.RequestError:
                continue
            read += 1
    assert read
