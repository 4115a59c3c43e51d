"""Identities of devices by the API: who is invited, who may claim, what is refused, and what is remembered of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from builders import NOON_MS, book_document
from claiming import CARE, DAY_MS, WORLD_MS, Claimant, ClaimCloud, said_in
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from pledgewatch_cloud.decide import drafts

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
