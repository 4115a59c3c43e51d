"""What a device was set to from afar, once it claims anew: a card that is another has nothing of it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from caring import CARE_KEY
from claiming import Claimant, said_in
from inviting import Inviting
from keeping import LINE
from seeing import OPERATOR
from warehouses import BOX

from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.batch import CareAnswer
from pledgewatch_cloud.decide.care import CareError, DeviceCare
from pledgewatch_cloud.spine.spine import recover
from pledgewatch_wire.care import Desired, read_settings

DEVICE, SLOWER, DAY_MIN = "reefer-7", "[uplink]\nsend_every_s = 900\n", 24 * 60


class Set(Inviting):
    """A device that has claimed, and is set to send seldom."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.lend_on_sea(LINE)
        assert self.claim(self.invite("operator-one", DEVICE, asset=BOX)).status_code == 201
        self.tick()
        assert self.set()["version"] == 1

    def set(self, **more: Any) -> dict[str, Any]:
        answer = self.post("operator-one", f"/devices/{DEVICE}/settings", toml=SLOWER, **more)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def hear(self, became: str, version: int = 1) -> None:
        now_ms = self.keeping.clock.now_ms()
        asyncio.run(self.writer.hear(CareAnswer(DEVICE, OPERATOR, version, 0, became, "says it", "", now_ms)))

    def claim_anew(self, seed: int = 8, **more: Any) -> None:
        self.tick()
        assert self.claim(self.invite("operator-one", DEVICE, **more), seed=seed).status_code == 201

    def care(self) -> DeviceCare:
        return self.writer.state.care[DEVICE]

    def asked(self) -> Desired:
        setting = self.care().setting
        assert setting is not None
        return read_settings(bytes.fromhex(setting.asked.signed), CARE_KEY.public_key())

    def shown(self) -> tuple[int, str | None, str]:
        found = self.get("operator-one", f"/devices/{DEVICE}")["settings"]
        return found["version"], found["became"], found["toml"]


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Set]:
    made = Set(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize(("became", "days"), [("done", 40), ("postponed", 29)])
def test_what_the_card_before_had_done_is_said_to_the_one_after_it(one: Set, became: str, days: int) -> None:
    one.hear(became)
    asked = one.asked()
    one.tick(days * DAY_MIN)
    one.claim_anew()
    anew = one.asked()
    assert (anew.version, anew.toml, anew.device, anew.operator) == (2, SLOWER, DEVICE, OPERATOR)
    assert anew.expires_at_ms - anew.issued_at_ms == asked.expires_at_ms - asked.issued_at_ms
    assert anew.issued_at_ms == one.keeping.clock.now_ms()
    assert one.shown() == (2, None, SLOWER), "it is not in force until this card says so"
    one.hear("done")
    assert one.shown() == (2, None, SLOWER), "what the one before says says nothing of it"
    one.hear("done", 2)
    assert one.shown() == (2, "done", SLOWER)
    assert state_module.to_bytes(recover(one.store)) == state_module.to_bytes(one.writer.state)


def test_who_has_lost_the_answer_to_its_claim_has_it_said_once(one: Set) -> None:
    one.hear("done")
    one.tick()
    said, card = said_in(one.invite("operator-one", DEVICE).json()["claim"]), Claimant(DEVICE, seed=8)
    for after in ("", "taken"):
        if after:
            one.tick()
            one.hear(after, 2)
        assert one.client.post("/devices/claims", json=card.claim(said["code"])).status_code == 201
        assert one.care().last_version == 2


@pytest.mark.parametrize(("became", "why"), [("refused", "it was wrong"), ("left_aside", "nothing ran with it")])
def test_what_the_card_before_did_not_run_with_is_not_said_by_itself(one: Set, became: str, why: str) -> None:
    if became == "left_aside":
        one.hear("done")
    one.hear(became)
    one.claim_anew()
    assert one.shown() == (1, became, SLOWER), why
    assert one.set()["version"] == 2


def test_what_a_card_had_taken_and_may_have_died_of_is_not_said_by_itself_at_each_claim(one: Set) -> None:
    one.hear("taken")
    for seed in (8, 9):
        one.claim_anew(seed)
        assert one.shown() == (1, "taken", SLOWER)
    assert one.set(again=True)["version"] == 2


def test_what_was_postponed_and_has_expired_does_not_come_to_life_again(one: Set) -> None:
    one.hear("postponed")
    one.tick(31 * DAY_MIN)
    one.claim_anew()
    assert one.care().last_version == 1
    assert one.set()["version"] == 2


def test_what_an_invitation_brings_is_newer_than_what_was_set_before(one: Set) -> None:
    one.hear("done")
    one.claim_anew(settings="[uplink]\nsend_every_s = 60\n")
    assert one.shown() == (1, "done", SLOWER)
    assert one.set(again=True)["version"] == 2


def test_a_claim_is_answered_also_where_nothing_can_be_asked_again(
    one: Set, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def cannot(*_: object) -> None:
        raise CareError("it speaks through a gateway")

    monkeypatch.setattr("pledgewatch_cloud.identity.carer.Carer.set_again", cannot)
    one.hear("done")
    one.claim_anew()
    assert f"device={DEVICE} has claimed" in caplog.text
    assert "it speaks through a gateway" in caplog.text


def test_what_was_not_heard_yet_waits_for_the_card_that_comes(one: Set) -> None:
    one.claim_anew()
    assert one.shown() == (1, None, SLOWER)


def test_settings_that_a_device_has_lost_are_said_again_where_that_is_asked(one: Set) -> None:
    """Its care.json was damaged, and moved away (docs/CARE.md)."""
    one.hear("done")
    assert one.set() == {"device": DEVICE, "changed": False, "version": None}
    assert one.set(again=True) == {"device": DEVICE, "changed": True, "version": 2}
    assert one.shown() == (2, None, SLOWER)
