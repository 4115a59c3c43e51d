"""How often somebody may ask by a certificate of a device: a thief with a copy of the card takes nothing from the
device, nor from others behind his address, and who asks as no agent does is told of."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from asking import AppClient
from builders import book_document
from claiming import Claimant, ClaimCloud, Holders
from cryptography.hazmat.primitives.asymmetric import ec

from pledgewatch_cloud.access.rates import KEPT_MAX, Rates
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.identity.registrar import AGENTS_MINUTES, AGENTS_PER_MINUTE, ATTEMPTS_PER_MINUTE

DEVICE = Holders.DEVICE
CONFIRMATIONS, RENEWALS = "/devices/confirmations", "/devices/renewals"
OVERUSED = {"device": DEVICE, "kind": "overused_certificate"}


class Thief:
    """Who has a copy of the card as it was when he came, and asks from another address."""

    def __init__(self, holders: Holders, host: str = "203.0.113.9") -> None:
        self.cloud, self.copy = holders.cloud, Claimant(DEVICE)
        self.copy.tls, self.copy.certificate = holders.keys["A"], holders.given["A"]
        self.own = ec.generate_private_key(ec.SECP256R1())
        self.client = AppClient(self.cloud.client.app, headers=dict(self.cloud.client.headers), host=host)

    def asks(self, what: str) -> int:
        """What he is answered; `confirmation`, or a renewal for the `same` key or for his `own`."""
        at_ms = self.cloud.world.at_ms
        if what == "confirmation":
            return self.client.post(CONFIRMATIONS, json=self.copy.confirmation(at_ms)).status_code
        body = self.copy.renewal(at_ms, key=self.own if what == "own" else None)
        return self.client.post(RENEWALS, json=body).status_code

    def uses_up(self, what: str) -> None:
        """He asks until he is told that it was too often."""
        assert [self.asks(what) for _ in range(ATTEMPTS_PER_MINUTE + 1)][-1] == 429


@pytest.fixture
def holders(tmp_path: Path) -> Iterator[Holders]:
    cloud = ClaimCloud(tmp_path)
    cloud.cloud.spine.commit(drafts.amend, book_document(cloud.cloud.device))
    yield Holders(cloud)
    cloud.cloud.close()


def pass_by(holders: Holders, seconds: float) -> None:
    holders.cloud.now_s += seconds
    holders.cloud.world.at_ms += round(seconds * 1_000)


@pytest.mark.parametrize("what", ["confirmation", "same", "own"])
def test_who_asks_from_elsewhere_keeps_the_device_from_nothing(holders: Holders, what: str) -> None:
    """It is asked for in the very second in which he has used up what is his."""
    thief, device = Thief(holders), Thief(holders, "198.51.100.4")
    assert device.asks("same") == 201
    thief.uses_up(what)
    assert (device.asks("confirmation"), device.asks("same")) == (200, 201)


@pytest.mark.parametrize("what", ["confirmation", "own"])
def test_who_asks_for_something_else_keeps_the_device_from_nothing(holders: Holders, what: str) -> None:
    """Behind one address of a carrier, even."""
    thief = device = Thief(holders)
    thief.uses_up(what)
    pass_by(holders, 300)
    thief.uses_up(what)
    assert device.asks("same") == 201
    assert what == "confirmation" or device.asks("confirmation") == 200


def test_who_asks_too_often_takes_nothing_from_others_behind_his_address(
    holders: Holders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holders.cloud.registrar._renewers, "per_minute", 2 * ATTEMPTS_PER_MINUTE)
    thief = Thief(holders)
    for _ in range(5):
        thief.uses_up("confirmation")
    assert [thief.asks("same") for _ in range(ATTEMPTS_PER_MINUTE)] == [201] * ATTEMPTS_PER_MINUTE
    assert thief.asks("own") == 429, "and of an address so many, whatever is asked"


def test_who_asks_as_no_agent_does_is_told_of_once(holders: Holders) -> None:
    thief, most = Thief(holders), AGENTS_PER_MINUTE * AGENTS_MINUTES
    for _ in range(most):
        thief.asks("confirmation")
        thief.asks("same")
    assert holders.alarms() == [], "an agent that is started again and again, and more"
    thief.asks("confirmation")
    assert holders.alarms() == [OVERUSED]
    (alert,) = holders.cloud.client.get("/alerts").json()
    assert (alert["rule"], alert["severity"]) == ("tamper-suspected", "critical")
    state = holders.cloud.cloud.writer.state
    entry = state.entry
    for _ in range(30):
        thief.asks("confirmation")
        thief.asks("same")
    assert holders.cloud.cloud.writer.state.entry == entry, "of the same certificate nothing more is noted"
    assert state.identities.from_json(state.identities.as_json()) == state.identities
    assert len(state.identities.of(DEVICE).hasty) == 1


def test_from_many_addresses_it_is_the_same_certificate(holders: Holders) -> None:
    thieves = [Thief(holders, f"203.0.113.{number}") for number in range(1, 5)]
    for number in range(AGENTS_PER_MINUTE * AGENTS_MINUTES + 1):
        thieves[number % 4].asks("confirmation")
    assert holders.alarms() == [OVERUSED]


@pytest.mark.parametrize("what", ["confirmation", "same"])
def test_an_agent_that_is_started_again_without_end_is_not_told_of(holders: Holders, what: str) -> None:
    """Every ten seconds, by its unit, and a proxy says each request twice; it has another address each minute."""
    for number in range(6 * 12):
        device = Thief(holders, f"198.51.100.{number // 6}")
        device.asks(what)
        device.asks(what)
        pass_by(holders, 10)
    assert holders.alarms() == []


def test_one_that_counts_no_more_is_told_of_as_that_alone(holders: Holders) -> None:
    thief = Thief(holders)
    assert holders.asked("A>B").status_code == 201
    assert holders.asked("B!").status_code == 200
    pass_by(holders, 1)
    for _ in range(AGENTS_PER_MINUTE * AGENTS_MINUTES + 2):
        thief.asks("confirmation")
    assert [one["kind"] for one in holders.alarms()] == ["replaced_certificate"]


def test_buckets_hold_so_many_minutes_and_are_bounded() -> None:
    now_s = 0.0
    rates = Rates(2, lambda: now_s, minutes=3)
    assert [rates.wait_s("a") for _ in range(7)] == [0] * 6 + [30]
    now_s = 3_600.0
    assert [rates.wait_s("a") for _ in range(7)] == [0] * 6 + [30]
    for number in range(KEPT_MAX + 5):
        rates.wait_s(str(number))
    assert len(rates._left) == KEPT_MAX
