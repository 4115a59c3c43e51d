"""Which certificate counts, by the order in which renewals are asked for, lost, used and confirmed; and who is told of
one that was replaced."""

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders import book_document
from claiming import DAY_MS, Claimant, ClaimCloud, Holders
from cryptography.hazmat.primitives.asymmetric import ec

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.identity.registrar import RENEWALS_PER_MINUTE

DEVICE, ASSET = Holders.DEVICE, "asset-container-1"


@pytest.fixture
def holders(tmp_path: Path) -> Iterator[Holders]:
    cloud = ClaimCloud(tmp_path)
    cloud.cloud.spine.commit(drafts.amend, book_document(cloud.cloud.device))
    yield Holders(cloud)
    cloud.cloud.close()


@pytest.mark.parametrize(
    ("acts", "statuses", "counts", "alarms"),
    [
        # What happens                                 answers                what counts   alarms
        ("A>B",                                        "201",                 "AB",         0),
        ("A>B A>B",                                    "201 201",             "AB",         0),  # the answer was lost
        ("A>B A>C C!",                                 "201 201 200",         "C",          0),  # and its key with it
        ("A>B B!",                                     "201 200",             "B",          0),
        ("A>B B! B!",                                  "201 200 200",         "B",          0),  # that answer was lost
        ("A!",                                         "200",                 "A",          0),
        ("A>B A!",                                     "201 200",             "AB",         0),  # the older ends none
        ("A>B B! A>C",                                 "201 200 403",         "B",          1),  # a thief of A, late
        ("A>B B! A>C A>D A!",                          "201 200 403 403 403", "B",          1),  # is told of once
        ("A>B +B>C A>D",                               "201 201 403",         "BC",         1),  # used, not confirmed
        ("A>C A>B C! A>D",                             "201 201 403 201",     "AD",         1),  # a thief was first
        ("A>C C! A>B",                                 "201 200 403",         "C",          1),  # and was believed
        ("A>B B! +B>C B>C C! B>D A>D",                 "201 200 201 201 200 403 403", "C",  2),
        ("A>B B>C",                                    "201 429",             "AB",         0),  # its clock is ahead
        ("A>B B! B>C B>B B!",                          "201 200 429 429 200", "B",          0),
        ("A>B B! +B>C C! C>D +C>D",                    "201 200 201 200 429 201", "CD",     0),
    ],
)  # fmt: skip
def test_what_counts_follows_from_what_was_used(
    holders: Holders, acts: str, statuses: str, counts: str, alarms: int
) -> None:
    assert " ".join(str(holders.asked(act).status_code) for act in acts.split()) == statuses
    assert holders.counting() == counts
    assert len(holders.alarms()) == alarms
    state = holders.cloud.cloud.writer.state
    assert state.identities.from_json(state.identities.as_json()) == state.identities


def test_the_one_before_is_on_the_list_and_its_use_is_an_alert(holders: Holders) -> None:
    cloud = holders.cloud
    (first,) = cloud.cloud.writer.state.identities.of(DEVICE).certificates
    assert holders.asked("A>B").status_code == 201
    assert holders.asked("B!").json() == {"device": DEVICE, "changed": True}
    assert [one.serial for one in cloud.cloud.writer.state.identities.revoked] == [first.serial]
    entry = cloud.cloud.writer.state.entry
    assert holders.asked("B!").json() == {"device": DEVICE, "changed": False}
    assert cloud.cloud.writer.state.entry == entry
    answer = holders.asked("A>C").json()
    assert answer["why"] == "refused"
    assert "was replaced or revoked" in answer["detail"]
    assert holders.alarms() == [{"device": DEVICE, "kind": "replaced_certificate"}]
    (alert,) = cloud.client.get("/alerts").json()
    assert (alert["rule"], alert["severity"], alert["assets"]) == ("tamper-suspected", "critical", [ASSET])
    (told,) = alert["told"]
    assert (told["device"], "sequence" in told) == (DEVICE, False)
    assert cloud.cloud.writer.state.entry == entry + 1


@pytest.mark.parametrize("ahead_ms", [-239_000, 0, 239_000], ids=["behind", "right", "ahead"])
def test_the_device_s_own_request_that_comes_late_is_no_alarm(holders: Holders, ahead_ms: int) -> None:
    cloud = holders.cloud
    holders.keys["B"] = ec.generate_private_key(ec.SECP256R1())
    signed_ms = cloud.world.at_ms + ahead_ms
    requests = [
        ("/devices/renewals", holders.first.renewal(signed_ms, key=holders.keys["B"])),
        ("/devices/confirmations", holders.first.confirmation(signed_ms)),
    ]
    answer = cloud.post(*requests[0])
    assert answer.status_code == 201
    holders.given["B"] = answer.json()["certificate"]
    cloud.world.at_ms += 2_000
    holders.first.tls, holders.first.certificate = holders.keys["B"], holders.given["B"]
    confirmation = holders.first.confirmation(cloud.world.at_ms + ahead_ms)
    assert cloud.post("/devices/confirmations", confirmation).status_code == 200
    cloud.world.at_ms += 58_000
    for path, body in requests:
        assert cloud.post(path, body).status_code == 403, "somebody between has kept it"
    assert holders.alarms() == []
    cloud.world.at_ms += max(0, ahead_ms)
    assert holders.asked("A>C").status_code == 403
    assert len(holders.alarms()) == 1, "what is signed after that is another's"
    state = cloud.cloud.writer.state
    assert state.identities.from_json(state.identities.as_json()) == state.identities


def test_who_has_an_older_certificate_or_none_keeps_the_device_from_nothing(holders: Holders) -> None:
    cloud, stranger = holders.cloud, Claimant(DEVICE)
    assert holders.asked("A>B").status_code == 201
    assert holders.asked("B!").status_code == 200
    holders.first.tls, holders.first.certificate = holders.keys["A"], holders.given["A"]
    thief = holders.first.confirmation(cloud.world.at_ms)
    cloud.now_s += 60
    assert [cloud.post("/devices/confirmations", thief).status_code for _ in range(7)] == [403] * 6 + [429]
    stranger.certificate = holders.given["B"]
    body = stranger.confirmation(cloud.world.at_ms)
    for _ in range(RENEWALS_PER_MINUTE + 1):
        assert cloud.post("/devices/confirmations", body).status_code == 422, "of the same address"
    cloud.now_s -= 60  # which `asked` adds
    assert holders.asked("B!").status_code == 200


def test_an_address_asks_so_often_whatever_it_has(holders: Holders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holders.cloud.registrar._renewers, "per_minute", 3)
    assert [holders.asked(one).status_code for one in ("A>B", "B!", "B!")] == [201, 200, 200]
    body = holders.first.confirmation(holders.cloud.world.at_ms)
    answers = [holders.cloud.post("/devices/confirmations", body) for _ in range(3)]
    assert [one.status_code for one in answers] == [200, 200, 429]
    assert "renewals a minute; ask again in" in answers[-1].text


def test_nobody_is_told_of_who_was_refused_for_another_reason(holders: Holders) -> None:
    cloud = holders.cloud
    assert holders.asked("A>B").status_code == 201
    now_ms = cloud.world.at_ms
    good = holders.first.confirmation(now_ms)
    for body, status in (
        (good | {"signed_ms": now_ms + 1}, 422),
        (good | {"proof": b64encode(b"none").decode()}, 422),
        (holders.first.confirmation(now_ms - 300_001), 422),
        (good | {"device": "other-1"}, 403),
        ({**good, "proof": holders.first.renewal(now_ms)["proof"]}, 422),
    ):
        assert cloud.post("/devices/confirmations", body).status_code == status
    assert holders.asked("B!").status_code == 200
    cloud.world.at_ms += 90 * DAY_MS
    assert holders.asked("A>C").status_code == 403, "it has expired too"
    assert holders.asked("B>C").status_code == 403
    cloud.post(f"/devices/{DEVICE}/revocation", {"why": "lost"})
    assert holders.asked("B>C").status_code == 403
    assert holders.alarms() == []


def test_a_device_that_was_revoked_asks_why_without_an_alarm(holders: Holders) -> None:
    holders.asked("A>B")
    holders.asked("B!")
    holders.cloud.post(f"/devices/{DEVICE}/revocation", {"why": "lost"})
    assert "was revoked" in holders.asked("B!").json()["detail"]
    assert "was revoked" in holders.asked("A>C").json()["detail"]
    assert holders.alarms() == []


def test_a_certificate_of_before_another_claim_is_told_of(holders: Holders) -> None:
    cloud, again = holders.cloud, Claimant(DEVICE, seed=9)
    cloud.claimed(again, cloud.invite(DEVICE))
    assert holders.asked("A>B").status_code == 403, "the card that was thought lost"
    assert len(holders.alarms()) == 1
