"""A thief who has a copy of a device's card, certificate and key: what he can do by renewals, what is told of it, and
that the device itself, however unhappy, is neither refused nor taken for one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from builders import book_document
from claiming import DAY_MS, Claimant, ClaimCloud, Holders
from cryptography.hazmat.primitives.asymmetric import ec

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide import identity_acts as acts
from pledgewatch_cloud.decide.batch import DeviceRenewal
from pledgewatch_cloud.decide.identity_acts import IdentityError, TooSoonError
from pledgewatch_cloud.decide.identity_book import (
    CERTIFICATES_MAX,
    DROPPED_TOLD,
    KEY_IN_FORCE_WAIT_MS,
    RENEWAL_WAIT_MS,
    RENEWALS_REVOKED_MAX,
    Identity,
    Revoked,
)

DEVICE, ASSET = Holders.DEVICE, "asset-container-1"
RENEWALS = "/devices/renewals"
TWO = {"device": DEVICE, "kind": "unconfirmed_renewals"}
OUSTED = {"device": DEVICE, "kind": "replaced_certificate"}


@pytest.fixture
def holders(tmp_path: Path) -> Iterator[Holders]:
    cloud = ClaimCloud(tmp_path)
    cloud.cloud.spine.commit(drafts.amend, book_document(cloud.cloud.device))
    yield Holders(cloud)
    cloud.cloud.close()


def identity(holders: Holders) -> Identity:
    return holders.cloud.cloud.writer.state.identities.of(DEVICE)


def pass_by(holders: Holders, ms: int) -> None:
    """Time goes on, for certificates and for what counts how often somebody asks."""
    holders.cloud.world.at_ms += ms
    holders.cloud.now_s += ms / 1_000


def stolen(holders: Holders, *, by: str = "A") -> Any:
    """The thief asks for another key of his by a certificate that he has a copy of."""
    thief = Claimant(DEVICE)
    thief.tls, thief.certificate = holders.keys[by], holders.given[by]
    body = thief.renewal(holders.cloud.world.at_ms, key=ec.generate_private_key(ec.SECP256R1()))
    return holders.cloud.post(RENEWALS, body)


@pytest.mark.parametrize(
    "acts",
    [
        "A>B A>B A>B A>B A>B A>B B!",  # the answer is lost, again and again
        "A>B B! B! B!",  # the answer to the confirmation is
        "A>B A! A>B B!",  # it is asked in between whether the one before is good
        "A>B B! +B>C B>C C! +C>D D! +D>E E! +E>F",  # years go by, and the power goes before each confirmation
        "A>B +B>C +C>D +D>E +E>F F!",  # no confirmation ever arrives
        "A>a A>a a! +a>A a>A A! +A>a",  # a token keeps its key
        "A>B A>C C! +C>D D!",  # a card with an older copy of the state
        "A>B ~A>a A>a a! +a>B B!",  # it has gone on with the key that it has
        "A>B A>C +C>D +C>E +E>F +E>G +G>H H!",  # a card with an older copy, again and again over the years
    ],
)
def test_the_unhappy_lives_of_one_device_are_answered_and_not_told_of(holders: Holders, acts: str) -> None:
    for act in acts.split():
        assert holders.asked(act).status_code in (200, 201), act
    assert holders.alarms() == []


def test_a_device_that_is_flashed_again_and_again_is_answered_and_not_told_of(holders: Holders) -> None:
    for seed in range(5):
        assert [holders.asked(act).status_code for act in ("A>B", "A>B")] == [201, 201], "and it broke before that"
        holders.first = Claimant(DEVICE, seed=20 + seed)
        holders.cloud.claimed(holders.first, holders.cloud.invite(DEVICE))
        holders.keys, holders.given = {"A": holders.first.tls}, {"A": holders.first.certificate}
    assert [holders.asked(act).status_code for act in ("A>B", "A>B", "B!", "+B>C", "C!")] == [201, 201, 200, 201, 200]
    assert holders.alarms() == []


@pytest.mark.parametrize(
    ("acts", "statuses", "alarms"),
    [
        # Who has the key of A renews it for keys of his own:
        ("A>S A>T A>U +A>V",            "201 201 429 201",             []),     # two were dropped
        ("A>S A>T +A>U A>V",            "201 201 201 429",             []),     # and he waits four minutes
        ("A>S +A>T +A>U A>V A>V A>V A>V", "201 201 201 429 429 429 201", [TWO]),  # three were
        ("A>S +A>T ~A>a A>U",           "201 201 201 429",             []),     # the device goes on with its key
        ("A>S A>T ~A>a +A>B",           "201 201 201 201",             [TWO]),  # and asks for another again
        ("A>a A>B A>a B! A>a",          "201 201 429 200 403",         [OUSTED]),  # not before it has said what it has
        ("A>B A>a A>a A>a A>a A>a B!",  "201 429 429 429 429 201 403", [OUSTED]),  # but no longer than five minutes
        ("A>B A>C C! +C>D C>E C>E C>E C>E E!", "201 201 200 201 429 429 429 201 200", []),  # an older copy, twice
        ("A>S A>B +A>S +A>B B!",        "201 201 201 201 200",         [TWO]),  # two keys in turn are two, too
        ("A>S S! A>B",                  "201 200 403",                 [OUSTED]),  # he ousts the device
        ("A>S +S>T A>B",                "201 201 403",                 [OUSTED]),  # without a confirmation, too
        ("A>S A>B S! B! A>B",           "201 201 403 200 403",         [OUSTED, OUSTED]),
    ],
)  # fmt: skip
def test_a_thief_is_told_of_and_waits(holders: Holders, acts: str, statuses: str, alarms: list[dict[str, str]]) -> None:
    assert " ".join(str(holders.asked(act).status_code) for act in acts.split()) == statuses
    assert holders.alarms() == alarms
    state = holders.cloud.cloud.writer.state
    assert state.identities.from_json(state.identities.as_json()) == state.identities


def test_renewals_that_nobody_confirms_open_an_alert_once(holders: Holders) -> None:
    until_ms = holders.cloud.world.at_ms + DAY_MS // 8
    while holders.cloud.world.at_ms < until_ms:
        stolen(holders)
        pass_by(holders, 60_000)
    assert identity(holders).dropped > DROPPED_TOLD
    assert holders.alarms() == [TWO]
    (alert,) = holders.cloud.client.get("/alerts").json()
    assert (alert["rule"], alert["severity"], alert["assets"]) == ("tamper-suspected", "critical", [ASSET])
    assert [one["device"] for one in alert["told"]] == [DEVICE]
    assert holders.asked("A>a").status_code == 201
    assert holders.asked("a!").json()["changed"]
    assert identity(holders).dropped == 0, "what is confirmed is a new beginning"


def test_each_that_is_listed_doubles_the_wait(holders: Holders) -> None:
    assert stolen(holders).status_code == 201, "a broker may not have let in the one before"
    for number in range(9):
        pass_by(holders, (RENEWAL_WAIT_MS << number) - 1_000)
        early = stolen(holders)
        assert (early.status_code, early.headers["retry-after"]) == (429, "1")
        assert "ask again in 1 s" in early.json()["detail"]
        pass_by(holders, 60_000)  # so that nobody has asked too often
        assert stolen(holders).status_code == 201
        assert len(identity(holders).revoked) == number + 1


def test_two_at_once_do_not_both_find_that_they_have_waited(holders: Holders) -> None:
    """Whoever passes is decided behind the writer's lock, with the state of then."""
    spine = holders.cloud.cloud.spine
    stolen(holders)
    pass_by(holders, RENEWAL_WAIT_MS)
    (first, _), now_ms = identity(holders).certificates, holders.cloud.world.at_ms
    one, other = (first._replace(serial=it * 40, key_sha256=it * 64) for it in "ab")
    spine.commit(drafts.renew_device, DEVICE, first.serial, one, now_ms, now_ms)
    with pytest.raises(TooSoonError, match="was given a certificate for another key"):
        spine.commit(drafts.renew_device, DEVICE, first.serial, other, now_ms, now_ms)


def test_a_device_that_is_flashed_again_begins_anew(holders: Holders) -> None:
    """What was dropped before is no sign of two any more."""
    for seed in range(4):
        assert holders.asked("A>B").status_code == 201
        pass_by(holders, DAY_MS)
        assert holders.asked("A>C").status_code == 201, "its key was lost, as the card broke for the first time"
        assert identity(holders).dropped == 1
        holders.first = Claimant(DEVICE, seed=20 + seed)
        holders.cloud.claimed(holders.first, holders.cloud.invite(DEVICE))
        holders.keys, holders.given = {"A": holders.first.tls}, {"A": holders.first.certificate}
    assert holders.alarms() == []


def test_what_was_signed_before_a_theft_counts_no_more_however_often_it_claims_anew(holders: Holders) -> None:
    cloud = holders.cloud
    assert cloud.post(f"/devices/{DEVICE}/revocation", {"why": "stolen"}).status_code == 200
    for seed, epoch in ((22, 3), (23, 5)):
        pass_by(holders, DAY_MS)
        cloud.claimed(Claimant(DEVICE, seed=seed, epoch=epoch), cloud.invite(DEVICE))
        assert cloud.cloud.writer.state.identities.barred == {DEVICE: 4}, "all that the thief can sign"


def waiting_for(holders: Holders, *, listed: int, listed_until_ms: int, newest_until_ms: int) -> Identity:
    """A device with two certificates, the newer given just now, and with so many that count no more."""
    one = identity(holders)
    newest = one.certificates[0]._replace(serial="a" * 40, key_sha256="a" * 64, not_after_ms=newest_until_ms)
    revoked = tuple(Revoked(f"{number:040x}", 1, listed_until_ms) for number in range(listed))
    now_ms = holders.cloud.world.at_ms
    return one._replace(certificates=(*one.certificates, newest), revoked=revoked, renewed_ms=now_ms)


def test_what_has_expired_makes_nobody_wait_longer(holders: Holders) -> None:
    now_ms = holders.cloud.world.at_ms
    at_ms, of, other = now_ms + RENEWAL_WAIT_MS, identity(holders).certificates[0], "b" * 64
    until_ms = {"listed": 5, "newest_until_ms": of.not_after_ms}
    acts.check_pace(waiting_for(holders, listed_until_ms=at_ms, **until_ms), of, other, at_ms)
    with pytest.raises(TooSoonError):
        acts.check_pace(waiting_for(holders, listed_until_ms=at_ms + 1, **until_ms), of, other, at_ms)


@pytest.mark.parametrize("is_of_key", [False, True])
def test_nobody_waits_for_a_certificate_that_has_ended(holders: Holders, *, is_of_key: bool) -> None:
    of, end_ms = identity(holders).certificates[0], holders.cloud.world.at_ms + RENEWAL_WAIT_MS
    one = waiting_for(holders, listed=9, listed_until_ms=of.not_after_ms, newest_until_ms=end_ms)
    key_sha256 = of.key_sha256 if is_of_key else "b" * 64
    acts.check_pace(one, of, key_sha256, end_ms)
    with pytest.raises(TooSoonError) as error:
        acts.check_pace(one, of, key_sha256, end_ms - 1)
    assert error.value.from_ms == end_ms


@pytest.mark.parametrize("device_takes_its_turn", [False, True])
def test_a_thief_who_never_rests_uses_nothing_up_and_the_device_goes_on(
    holders: Holders, *, device_takes_its_turn: bool
) -> None:
    """He asks at the first moment that he may, for the certificate's whole life."""
    end_ms = identity(holders).certificates[0].not_after_ms
    while True:
        answer = stolen(holders)
        if answer.status_code == 429:
            wait_ms = 1_000 * int(answer.headers["retry-after"])
            if holders.cloud.world.at_ms + wait_ms >= end_ms - DAY_MS:
                break
            pass_by(holders, wait_ms)
            continue
        pass_by(holders, KEY_IN_FORCE_WAIT_MS - 60_000)
        if device_takes_its_turn:
            assert holders.asked("A>a").status_code == 201, "minutes later; it does not hear it"
    assert len(identity(holders).revoked) < RENEWALS_REVOKED_MAX - CERTIFICATES_MAX
    holders.cloud.world.at_ms = end_ms - DAY_MS
    assert holders.asked("A>a").status_code == 201
    assert holders.asked("a!").json()["changed"]
    assert identity(holders).certificates[0].not_after_ms > end_ms + 20 * DAY_MS
    assert holders.alarms() == [TWO]


def test_there_is_room_for_the_key_that_was_confirmed_beside_all_others(holders: Holders) -> None:
    """As after many claims: what other renewals may cause is used up."""
    before = identity(holders)
    many = tuple(
        Revoked(f"{number:040x}", 1, before.certificates[0].not_after_ms) for number in range(RENEWALS_REVOKED_MAX)
    )
    first, newest = before.certificates[0], before.certificates[0]._replace(serial="a" * 40, key_sha256="a" * 64)
    state = holders.cloud.cloud.writer.state
    full = state.identities.with_identity(before._replace(certificates=(first, newest), revoked=many, claim=None))
    at_ms = holders.cloud.world.at_ms
    asked = DeviceRenewal(DEVICE, first.serial, "b" * 40, first.not_after_ms, "b" * 64, "", at_ms)
    with pytest.raises(IdentityError, match="has 32 certificates"):
        acts.renewed(state.book, full, asked)
    after = acts.renewed(state.book, full, asked._replace(key_sha256=first.key_sha256))
    assert [one.serial for one in after.of(DEVICE).certificates] == [first.serial, "b" * 40]
