"""What a member asks of a registry comes in its own order or does nothing, however long it was on its way; and what is
known of the registry meanwhile is no more than what it has answered."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joining import BOX, Cloud, Shared
from receipting import BANK, DEPOSITOR, OTHER_BANK, WAREHOUSE
from registering import HAD

from pledgewatch_cloud.decide.receipts.receipt import State
from pledgewatch_cloud.decide.registry.request import Claiming, ListingClaims, Request, Withdrawing
from pledgewatch_cloud.membership import membership as membership_module
from pledgewatch_cloud.membership.client import AwayError, OvertakenError, RegistryError
from pledgewatch_cloud.membership.membership import ClashError

A, B = f"{WAREHOUSE}:A-01", f"{WAREHOUSE}:A-02"
OVERTAKEN = 409


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership_module, "RETRY_S", 0.001)


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Shared]:
    found = Shared(tmp_path)
    yield found
    found.kept.close()


@pytest.fixture
async def one(shared: Shared) -> Cloud:
    return Cloud(shared, "bank-one")


@pytest.fixture
async def two(shared: Shared) -> Cloud:
    return Cloud(shared, "bank-two")


async def has(cloud: Cloud, due: int) -> None:
    """Wait until so much is due at a cloud whose loop runs and has looked at all."""
    async with asyncio.timeout(60):
        while cloud.membership.standing.due != due or not cloud.membership.standing.looked_ms:
            await asyncio.sleep(0.001)


def questions(asked: list[Request]) -> list[type]:
    """What of that changes something."""
    return [type(one) for one in asked if isinstance(one, Claiming | Withdrawing)]


async def test_a_withdrawal_that_comes_late_does_not_give_up_a_newer_claim(one: Cloud, two: Cloud) -> None:
    await one.issue(A, container=BOX)
    await one.pledge(A, BANK)
    async with one.running():
        await has(one, 0)
        one.way.slows = 1
        await one.release(A)
        await has(one, 0)
        assert questions(one.way.asked) == [Claiming, Withdrawing, Withdrawing]
        await one.pledge(A, BANK)
        assert one.way.arrive() == [OVERTAKEN]
        assert one.shared.live("bank-one") == one.wanted != set()
    await two.issue(A, container=BOX)
    with pytest.raises(ClashError):
        await two.pledge(A, OTHER_BANK)


async def test_a_claim_that_comes_late_claims_nothing(one: Cloud, two: Cloud) -> None:
    await one.issue(A)
    one.way.slows = 1
    with pytest.raises(AwayError):
        await one.pledge(A, BANK)
    await one.settled()  # it looks at all first, and the claim is not there yet
    assert one.way.arrive() == [OVERTAKEN]
    await two.issue(A)
    assert (await two.pledge(A, OTHER_BANK)).state is State.PLEDGED


async def test_what_was_asked_before_a_restart_undoes_nothing_after_it(shared: Shared, one: Cloud) -> None:
    await one.issue(A)
    await one.pledge(A, BANK)
    one.way.slows = 1
    async with one.running():
        await has(one, 0)
        await one.release(A)
        while not one.way.late:
            await asyncio.sleep(0)
    after = Cloud(shared, "bank-one", store=one.store)
    await after.pledge(A, BANK)
    assert one.way.arrive() == [OVERTAKEN]
    assert shared.live("bank-one") == after.wanted != set()


async def test_who_was_overtaken_looks_at_all_again(shared: Shared, one: Cloud) -> None:
    await one.issue(A)
    await one.issue(B)
    await one.pledge(A, BANK)
    async with one.running():
        await has(one, 0)
        (claim,) = shared.kept.book.live("bank-one")
        newest = shared.kept.book.turns["bank-one"]
        await one.way.ask(Withdrawing(newest + 1, claim.reference))  # something else speaks in this name
        with pytest.raises(OvertakenError) as caught:
            await one.pledge(B, BANK)
        assert caught.value.cure
        assert one.get(B).state is State.ISSUED
        async with asyncio.timeout(60):
            while not shared.live("bank-one"):
                await asyncio.sleep(0.001)
        await has(one, 0)
        assert shared.live("bank-one") == {claim.reference}
        assert (await one.pledge(B, BANK)).state is State.PLEDGED


async def test_while_all_is_looked_at_nothing_is_claimed(
    shared: Shared, one: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one.issue(A)
    ask, listed, gate = one.way.ask, asyncio.Event(), asyncio.Event()

    async def slow(asked: Request) -> dict[str, Any]:
        found = await ask(asked)
        if asked == ListingClaims(""):
            listed.set()
            await gate.wait()
        return found

    async def fail(*_: object) -> None:
        raise OSError("the disk")

    monkeypatch.setattr(one.way, "ask", slow)
    text = one.text(DEPOSITOR, "pledge", A, pledgee=BANK)
    async with one.running():
        await listed.wait()
        with monkeypatch.context() as broken:
            broken.setattr(one.writer, "commit", fail)
            pledging = asyncio.create_task(one.membership.commit_act(text, one.clock.now_ms()))
            await asyncio.sleep(0.02)
            assert questions(one.way.asked) == []
            gate.set()
            with pytest.raises(OSError, match="the disk"):
                await pledging
        await has(one, 0)
    assert questions(one.way.asked) == [Claiming, Withdrawing]
    assert shared.live("bank-one") == set()


async def test_a_claim_that_is_refused_leaves_what_was_there_and_asks_nothing_more(
    one: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one.issue(A)
    await one.issue(B)
    await one.do(DEPOSITOR, "split", A, into_milli=[[HAD // 4], [HAD - HAD // 4]])
    ask = one.way.ask

    async def refuse(asked: Request) -> dict[str, Any]:
        if isinstance(asked, Claiming):
            raise RegistryError("there is no room", "ask whoever runs it")
        return await ask(asked)

    async with one.running():
        await one.pledge(f"{A}.1", BANK)
        await has(one, 0)
        asked = len(one.way.asked)
        with monkeypatch.context() as full:
            full.setattr(one.way, "ask", refuse)
            for name in (f"{A}.2", B):
                with pytest.raises(RegistryError, match="no room"):
                    await one.pledge(name, BANK)
        await has(one, 0)
        assert questions(one.way.asked[asked:]) == []
        assert one.membership.standing.claimed == 1
        await one.release(f"{A}.1")
        await has(one, 0)
        assert questions(one.way.asked[asked:]) == [Withdrawing]


async def test_a_withdrawal_without_an_answer_is_no_claim_and_is_asked_again(one: Cloud) -> None:
    await one.issue(A)
    await one.pledge(A, BANK)
    async with one.running():
        await has(one, 0)
        assert one.membership.standing.claimed == 1
        one.way.drops = 10**6
        await one.release(A)
        async with asyncio.timeout(60):
            while not one.membership.standing.fault:
                await asyncio.sleep(0.001)
        assert (one.membership.standing.claimed, one.membership.standing.due) == (0, 1)
        one.way.drops = 0
        await has(one, 0)
        assert one.membership.standing.claimed == 0


async def test_a_withdrawal_that_has_to_wait_holds_up_no_other(tmp_path: Path) -> None:
    shared = Shared(tmp_path, an_hour=1)
    one = Cloud(shared, "bank-one")
    for name in (A, B):
        await one.issue(name)
    await one.pledge(B, BANK)
    async with one.running():
        await has(one, 0)
        one.way.slows = 1
        with pytest.raises(AwayError):
            await one.pledge(A, BANK)
        await one.release(B)
        await has(one, 1)  # of what never got there: a question, and there are no more of them in this hour
    assert shared.live("bank-one") == set()
    await one.settled()  # what was taken later tells the next look that nothing of it can come any more
    shared.clock.at_ms += 3_600_000
    assert one.way.arrive() == [OVERTAKEN]
    assert shared.live("bank-one") == set()
    shared.kept.close()


async def test_what_got_there_is_seen_by_the_next_look_though_its_answer_got_lost(tmp_path: Path) -> None:
    shared = Shared(tmp_path, an_hour=1)
    one = Cloud(shared, "bank-one")
    await one.issue(A)
    await one.pledge(A, BANK)
    one.way.drops = 1
    async with one.running():
        await one.release(A)
        async with asyncio.timeout(60):
            while one.way.drops:
                await asyncio.sleep(0.001)
    await one.settled()
    assert (one.membership.standing.claimed, shared.live("bank-one")) == (0, set())
    shared.kept.close()
