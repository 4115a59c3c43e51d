"""The sandbox core in a sender's way: as asked, and never with a 2xx for what is not on disk."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from banks import Bank, about_release, assert_problem, booked, event, signed

from pledgewatch_sim.bank.misbehaviour import Misbehaviour, MisbehaviourSettings
from pledgewatch_sim.bank.releases import ABOUT_A_RELEASE


async def never_hung_up() -> bool:
    return False


def test_it_misbehaves_as_told(tmp_path: Path) -> None:
    bank = Bank(tmp_path, fail_first=2, answer_500_share=0.4, lose_answer_share=0.4, seed=5)
    answers = []
    for number in range(1, 31):
        while True:
            answers.append(bank.send(event(number)).status_code)
            if answers[-1] == 200:
                break
    assert answers[:2] == [503, 503]
    assert set(answers) == {200, 500, 503, 504}
    counts = bank.counts()
    assert counts["booked"] == 30, "each message once, however often its answer was lost"
    assert counts["repeats"] == answers.count(504)
    assert counts["received"] == answers.count(200) + answers.count(504)
    assert "gaps" not in counts
    assert "out_of_order" not in counts
    bank.ledger.close()


@pytest.mark.parametrize(
    ("changes", "status", "is_booked"),
    [
        ({"outage": True}, 503, False),
        ({"gone": True}, 410, False),
        ({"fail_first": 1}, 503, False),
        ({"storm_s": 50, "storm_every_s": 100}, 500, False),
        ({"answer_500_share": 1.0}, 500, False),
        ({"answer_429_share": 1.0, "retry_after_s": 7}, 429, False),
        ({"lose_answer_share": 1.0}, 504, True),
        ({"late_answer_share": 1.0, "late_answer_s": 0.2}, 200, True),
        ({"take_twice_share": 1.0}, 200, True),
        ({"plain_answer_share": 1.0}, 200, True),
        ({"slow_s": 0.2}, 200, True),
    ],
    ids=str,
)
def test_each_way_can_be_switched_on_and_off_while_it_runs(
    tmp_path: Path, changes: dict[str, Any], status: int, is_booked: bool
) -> None:
    bank = Bank(tmp_path)
    asked = bank.post("/misbehave", changes).json()
    assert {name: asked[name] for name in changes} == changes
    began_s = time.monotonic()
    answer = bank.send(about_release(1, "release_disbursement"))
    took_s = time.monotonic() - began_s
    assert answer.status_code == status
    assert answer.headers.get("retry-after") == ("7" if status == 429 else None)
    assert bank.counts().get("payments", 0) == is_booked
    assert bank.counts().get("repeats", 0) == ("take_twice_share" in changes)
    assert took_s >= 0.2 or not {"late_answer_s", "slow_s"} & set(changes)
    before = MisbehaviourSettings()
    assert bank.post("/misbehave", {name: getattr(before, name) for name in changes}).status_code == 200
    answer = bank.send(about_release(1, "release_disbursement"))
    assert (answer.status_code, answer.json()["release"]) == (200, "booked")
    assert bank.counts()["payments"] == 1
    bank.ledger.close()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"outrage": True}, "outrage is no setting; there are fail_first"),
        ({"outage": 1}, "outage is 1; it must be of the type bool"),
        ({"fail_first": 1.5}, "fail_first is 1.5; it must be of the type int"),
        ({"fail_first": True}, "it must be of the type int"),
        ({"slow_s": "1"}, "slow_s is '1'; it must be of the type float"),
        ({"slow_s": -1}, "slow_s is -1; it must be from 0"),
        ({"lose_answer_share": 2}, "lose_answer_share is 2; a share is 0 to 1"),
        ({"storm_s": 1}, "storm_every_s is 0.0; it must be above storm_s"),
        ([], "body"),
    ],
    ids=str,
)
def test_a_way_that_there_is_not_changes_nothing(tmp_path: Path, changes: Any, words: str) -> None:
    bank = Bank(tmp_path, seed=9)
    assert_problem(bank.post("/misbehave", changes), 422, words)
    assert bank.post("/misbehave", {}).json()["seed"] == 9
    assert bank.send(event(1)).status_code == 200
    bank.ledger.close()


@pytest.mark.parametrize("name", sorted(ABOUT_A_RELEASE))
def test_a_plain_answer_says_nothing_of_the_release_and_is_booked_all_the_same(tmp_path: Path, name: str) -> None:
    bank = Bank(tmp_path, plain_answer_share=1.0)
    bank.send(about_release(1, "release_disbursement"))
    answer = bank.send(about_release(2, name))
    assert (answer.status_code, answer.json()) == (200, {"id": "journal.2"})
    assert (bank.counts()["booked"], bank.counts()["payments"]) == (2, 1)
    bank.post("/misbehave", {"plain_answer_share": 0.0})
    assert bank.send(about_release(2, name)).json() == {"id": "journal.2", "release": "booked"}, "a repeat has the word"
    bank.ledger.close()


def test_a_share_of_the_answers_is_plain(tmp_path: Path) -> None:
    bank = Bank(tmp_path, plain_answer_share=0.5, seed=3)
    answers = [bank.send(about_release(1, "release_disbursement")).json() for _ in range(40)]
    assert 10 <= sum("release" in one for one in answers) <= 30
    assert all(one.get("release", "booked") == "booked" for one in answers)
    bank.ledger.close()


async def test_storms_come_and_go() -> None:
    now_s = 1_000.0
    misbehaviour = Misbehaviour(MisbehaviourSettings(storm_s=10, storm_every_s=60), lambda: now_s)
    stormy = []
    for second in range(150):
        now_s = 1_000.0 + second
        if await misbehaviour.before():
            stormy.append(second)
    assert stormy == [*range(10), *range(60, 70), *range(120, 130)]
    now_s = 1_163.0
    misbehaviour.change({"storm_s": 5})
    assert await misbehaviour.before() is not None, "counted from the change"


async def test_the_same_seed_throws_the_same() -> None:
    async def thrown(seed: int) -> list[bool]:
        misbehaviour = Misbehaviour(MisbehaviourSettings(answer_500_share=0.5, lose_answer_share=0.5, seed=seed))
        return [
            bool(one)
            for _ in range(50)
            for one in (await misbehaviour.before(), await misbehaviour.after(never_hung_up))
        ]

    assert await thrown(1) == await thrown(1) != await thrown(2)


async def test_later_requests_are_answered_before_earlier_ones(tmp_path: Path) -> None:
    bank = Bank(tmp_path, reorder=True, reorder_wait_s=30.0)
    answered = []
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(bank.app), base_url="http://core") as client:

        async def send(facility: str) -> None:
            one = {**event(1), "facility": facility, "id": f"journal.{facility}"}
            body = json.dumps(one)
            answer = await client.post("/messages", content=body.encode(), headers=signed(body, one["id"]))
            assert answer.json()["id"] == one["id"]
            answered.append(facility)

        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for number, facility in enumerate(["a", "b", "c", "d"], start=1):
                group.create_task(send(facility))
                while bank.ledger.counts()["booked"] < number:
                    await asyncio.sleep(0.01)
    assert answered == ["b", "a", "d", "c"]
    assert bank.counts()["booked"] == 4
    bank.ledger.close()


def test_the_last_request_is_answered_though_none_comes_after_it(tmp_path: Path) -> None:
    bank = Bank(tmp_path, reorder=True, reorder_wait_s=0.1)
    assert [bank.send(event(number)).status_code for number in (1, 2, 3)] == [200, 200, 200]
    bank.ledger.close()


def test_what_cannot_be_booked_is_not_acknowledged(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    booked(bank.ledger, event(1))
    bank.ledger.close()
    with pytest.raises(Exception, match="closed database"):
        bank.send(event(2))
