"""Goods are pledged at one bank of a registry's members, whatever gets lost on the way, and can be pledged again."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from api_cloud import ApiCloud
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joining import BOX, MARKS_KEY, NEXT_KEY, Cloud, Shared
from receipting import AFFILIATE, BANK, BUYER, DEPOSITOR, NOON_MS, OTHER_BANK, RECEIVED, WAREHOUSE, Register, stated
from registering import HAD, line

from pledgewatch_cloud.config import MembershipSettings
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.receipts.act import ActError, ActKind
from pledgewatch_cloud.decide.receipts.claims import Claim, shared_of
from pledgewatch_cloud.decide.receipts.pledged import CLAIMING, families, family_of, pledged, pledged_of
from pledgewatch_cloud.decide.receipts.receipt import State
from pledgewatch_cloud.decide.registry.request import Claiming, Withdrawing
from pledgewatch_cloud.membership import membership as membership_module
from pledgewatch_cloud.membership.client import AwayError, RegistryError, meaning
from pledgewatch_cloud.membership.marks_key import MarksKey
from pledgewatch_cloud.membership.membership import ClashError

A, B = f"{WAREHOUSE}:A-01", f"{WAREHOUSE}:A-02"


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


async def test_the_same_container_is_pledged_at_one_bank_and_refused_at_the_other(one: Cloud, two: Cloud) -> None:
    await one.issue(A, container=BOX)
    await one.pledge(A, BANK)
    await two.issue(B, container=BOX)  # elsewhere in the warehouse by another paper: nobody can know yet
    with pytest.raises(ClashError) as caught:
        await two.pledge(B, OTHER_BANK)
    told = str(caught.value)
    assert caught.value.clash in told
    assert not any(word in told for word in ("bank-one", BANK, A, BOX, DEPOSITOR, "A-01"))
    assert two.get(B).state is State.ISSUED
    await one.settled()
    await two.settled()
    (mine,), (theirs,) = one.membership.standing.clashes, two.membership.standing.clashes
    assert (mine.id, mine.receipt, mine.is_refused) == (caught.value.clash, A, False)
    assert (theirs.id, theirs.receipt, theirs.is_refused) == (caught.value.clash, B, True)


async def test_bulk_goods_of_a_bin_and_day_are_pledged_at_one_bank(one: Cloud, two: Cloud) -> None:
    await one.issue(A)
    await one.pledge(A, BANK)
    await two.issue(A)
    with pytest.raises(ClashError):
        await two.pledge(A, OTHER_BANK)


async def test_goods_that_were_released_can_be_pledged_elsewhere(one: Cloud, two: Cloud) -> None:
    await one.issue(A, container=BOX)
    await two.issue(A, container=BOX)
    await one.pledge(A, BANK)
    await one.release(A)
    await one.settled()
    assert one.shared.live("bank-one") == set()
    assert (await two.pledge(A, OTHER_BANK)).state is State.PLEDGED
    with pytest.raises(ClashError):
        await one.pledge(A, BANK)


async def test_parts_of_a_split_are_pledged_here_and_the_whole_nowhere_else(one: Cloud, two: Cloud) -> None:
    await one.issue(A)
    await one.do(DEPOSITOR, "split", A, into_milli=[[HAD // 4], [HAD - HAD // 4]])
    await one.pledge(f"{A}.1", BANK)
    assert (await one.pledge(f"{A}.2", BANK)).state is State.PLEDGED
    await two.issue(A)
    with pytest.raises(ClashError):
        await two.pledge(A, OTHER_BANK)
    await one.release(f"{A}.1")
    await one.settled()
    with pytest.raises(ClashError):
        await two.pledge(A, OTHER_BANK)
    await one.release(f"{A}.2")
    await one.settled()
    assert (await two.pledge(A, OTHER_BANK)).state is State.PLEDGED


async def test_a_pledged_receipt_that_is_split_or_replaced_asks_the_registry_nothing(one: Cloud) -> None:
    await one.issue(A)
    await one.pledge(A, BANK)
    asked = len(one.way.asked)
    await one.do(BANK, "split", A, into_milli=[[HAD // 4], [HAD - HAD // 4]])
    await one.do(BANK, "lose", f"{A}.1", reason="the key is gone")
    await one.do(WAREHOUSE, "replace", f"{A}.1", replacement=f"{WAREHOUSE}:new", reason="the key is gone")
    assert one.get(f"{WAREHOUSE}:new").state is State.PLEDGED
    await one.settled()
    assert not [asked for asked in one.way.asked[asked:] if isinstance(asked, Claiming | Withdrawing)]
    assert one.shared.live("bank-one") == one.wanted != set()


async def test_goods_that_went_round_an_affiliate_are_the_same_goods(one: Cloud, two: Cloud) -> None:
    await one.issue(A, container=BOX)
    await one.pledge(A, BANK)
    two.stock("A-02")
    await two.do(WAREHOUSE, "issue", B, **stated(line("A-02", container=BOX)))
    await two.do(DEPOSITOR, "transfer", B, to=AFFILIATE)
    with pytest.raises(ClashError):
        await two.pledge(B, OTHER_BANK)
    await one.release(A)
    await one.do(DEPOSITOR, "transfer", A, to=AFFILIATE)
    await one.do(AFFILIATE, "pledge", A, pledgee=OTHER_BANK)
    with pytest.raises(ClashError):
        await two.pledge(B, OTHER_BANK)


async def test_other_goods_in_the_place_of_pledged_ones_are_claimed_first(one: Cloud, two: Cloud) -> None:
    await two.issue(B, container=BOX)
    await two.pledge(B, OTHER_BANK)
    await one.issue(A)
    await one.pledge(A, BANK)
    one.stock("A-05", "A-06")
    for goods, is_taken in ((line("A-05", container=BOX), False), (line("A-06"), True)):
        said: dict[str, Any] = {"goods": [goods], "received": RECEIVED, "reason": "others are in their place"}
        consented = _with_consent(one, A, said)
        if not is_taken:
            with pytest.raises(ClashError):
                await one.membership.commit_act(consented, one.clock.now_ms())
            assert one.get(A).goods[0].bin == "A-01"
        else:
            assert await one.membership.commit_act(consented, one.clock.now_ms()) is not None
    await one.settled()
    await two.issue(A)
    assert (await two.pledge(A, OTHER_BANK)).state is State.PLEDGED  # what was in A-01 is claimed no more


def _with_consent(cloud: Cloud, receipt: str, said: dict[str, Any]) -> str:
    register = Register()
    register.receipts = cloud.spine.state.receipts
    register.now_ms = cloud.clock.now_ms()
    says = register.says(WAREHOUSE, "substitute", receipt, **said)
    return register.text(WAREHOUSE, "substitute", receipt, **said, consents=[register.consent(BANK, says)])


async def test_an_act_that_is_refused_asks_nothing_and_one_that_is_refused_later_is_given_up(
    one: Cloud, two: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one.issue(A)
    with pytest.raises(ActError):
        await one.do(BUYER, "pledge", A, pledgee=BANK)
    assert not one.way.asked

    async def fail(*_: object) -> None:
        raise OSError("the disk")

    with monkeypatch.context() as broken:
        broken.setattr(one.writer, "commit", fail)
        with pytest.raises(OSError, match="the disk"):
            await one.pledge(A, BANK)
    assert len(one.shared.live("bank-one")) == 1
    await one.settled()
    assert one.shared.live("bank-one") == set()
    await two.issue(A)
    assert (await two.pledge(A, OTHER_BANK)).state is State.PLEDGED


async def test_without_the_registry_nothing_is_pledged_and_all_else_goes_on(one: Cloud) -> None:
    await one.issue(A)
    await one.issue(B)
    await one.pledge(B, BANK)
    one.way.fails = 100
    with pytest.raises(AwayError) as caught:
        await one.pledge(A, BANK)
    assert caught.value.cure
    assert one.get(A).state is State.ISSUED
    assert (await one.release(B)).state is State.RELEASED
    await one.do(DEPOSITOR, "transfer", A, to=BUYER)
    one.way.fails = 3
    await one.settled()
    assert one.shared.live("bank-one") == one.wanted == set()
    assert (await one.pledge(A, BANK)).state is State.PLEDGED


async def test_a_claim_whose_answer_got_lost_is_given_up(one: Cloud, two: Cloud) -> None:
    await one.issue(A)
    one.way.drops = 1
    with pytest.raises(AwayError):
        await one.pledge(A, BANK)
    assert len(one.shared.live("bank-one")) == 1
    await one.settled()
    assert one.shared.live("bank-one") == set()
    await two.issue(A)
    assert (await two.pledge(A, OTHER_BANK)).state is State.PLEDGED


async def test_of_two_acts_on_one_receipt_the_loser_does_not_give_up_the_winners_claim(one: Cloud) -> None:
    await one.issue(A)
    texts = [one.text(DEPOSITOR, "pledge", A, pledgee=bank) for bank in (BANK, OTHER_BANK)]
    async with one.running():
        done = await asyncio.gather(
            *(one.membership.commit_act(text, one.clock.now_ms()) for text in texts), return_exceptions=True
        )
    assert sorted(isinstance(found, ActError) for found in done) == [False, True]
    await one.settled()
    assert one.shared.live("bank-one") == one.wanted != set()


async def test_what_is_claimed_for_an_act_under_way_is_not_given_up_by_another(
    one: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one.issue(A)
    text, commit, gate = one.text(DEPOSITOR, "pledge", A, pledgee=BANK), one.writer.commit, asyncio.Event()

    async def slow(asked: Any, handed: str, heard_ms: int) -> Any:
        if handed == text:
            await gate.wait()
        return await commit(asked, handed, heard_ms)

    monkeypatch.setattr(one.writer, "commit", slow)
    async with one.running():
        pledging = asyncio.create_task(one.membership.commit_act(text, one.clock.now_ms()))
        async with asyncio.timeout(60):
            while not one.shared.live("bank-one"):
                await asyncio.sleep(0.001)
        with pytest.raises(ActError):
            await one.do(BUYER, "cancel", A, reason="it is not his")
        await asyncio.sleep(0.05)
        gate.set()
        assert await pledging is not None
        assert one.shared.live("bank-one") == one.wanted != set()


async def test_while_other_goods_are_put_in_their_place_both_are_claimed(
    one: Cloud, two: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one.issue(A)
    await one.pledge(A, BANK)
    await two.issue(A)
    one.stock("A-06")
    said: dict[str, Any] = {"goods": [line("A-06")], "received": RECEIVED, "reason": "others are in their place"}
    text = _with_consent(one, A, said)

    async def fail(*_: object) -> None:
        raise OSError("the disk")

    monkeypatch.setattr(one.writer, "commit", fail)
    with pytest.raises(OSError, match="the disk"):
        await one.membership.commit_act(text, one.clock.now_ms())
    with pytest.raises(ClashError):
        await two.pledge(A, OTHER_BANK)
    await two.issue(f"{WAREHOUSE}:A-06")
    with pytest.raises(ClashError):
        await two.pledge(f"{WAREHOUSE}:A-06", OTHER_BANK)
    await one.settled()
    assert (await two.pledge(f"{WAREHOUSE}:A-06", OTHER_BANK)).state is State.PLEDGED


async def test_two_banks_at_once_one_wins(one: Cloud, two: Cloud) -> None:
    for number in range(20):
        name = f"{WAREHOUSE}:X-{number}"
        await one.issue(name)
        await two.issue(name)
        done = await asyncio.gather(one.pledge(name, BANK), two.pledge(name, OTHER_BANK), return_exceptions=True)
        assert sorted(isinstance(found, ClashError) for found in done) == [False, True]


async def test_the_same_act_again_says_nothing_new_and_asks_nothing(one: Cloud) -> None:
    await one.issue(A)
    text = one.text(DEPOSITOR, "pledge", A, pledgee=BANK)
    assert await one.membership.commit_act(text, one.clock.now_ms()) is not None
    asked = len(one.way.asked)
    assert await one.membership.commit_act(text, one.clock.now_ms()) is None
    assert len(one.way.asked) == asked


async def test_a_start_makes_the_registry_what_the_receipts_say(shared: Shared, one: Cloud) -> None:
    await one.issue(A)
    await one.pledge(A, BANK)
    await one.issue(B)
    one.way.drops = 1
    with pytest.raises(AwayError):
        await one.pledge(B, BANK)
    assert len(shared.live("bank-one")) == 2
    after = Cloud(shared, "bank-one", store=one.store)
    await after.settled()
    assert shared.live("bank-one") == after.wanted
    assert len(after.wanted) == 1


async def test_who_joins_claims_what_is_pledged_and_says_what_is_pledged_elsewhere(
    shared: Shared, one: Cloud, two: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    await one.issue(A)
    await one.pledge(A, BANK)
    await two.issue(A)
    await two.issue(B)
    for name in (A, B):  # before it was a member
        two.spine.commit(drafts.act, two.text(DEPOSITOR, "pledge", name, pledgee=OTHER_BANK), two.clock.now_ms())
    await two.settled()
    standing = two.membership.standing
    assert shared.live("bank-two") == {two.membership.reference(B)}
    assert list(standing.clashing) == [A]
    assert any(standing.clashing[A] in one.getMessage() for one in caplog.records)
    await one.release(A)
    await one.settled()
    two.joined()
    await two.settled()
    assert two.membership.standing.clashing == {}
    assert shared.live("bank-two") == two.wanted


async def test_claims_of_another_journal_are_left_alone(shared: Shared, one: Cloud) -> None:
    await one.issue(A)
    await one.pledge(A, BANK)
    other = Cloud(shared, "bank-one")  # the member's name over an empty journal
    await other.settled()
    assert shared.live("bank-one") == one.wanted != set()
    assert other.membership.standing.strange == 1


async def test_members_change_their_key_while_goods_stay_claimed_once(shared: Shared, one: Cloud, two: Cloud) -> None:
    await one.issue(A)
    await one.pledge(A, BANK)
    await two.issue(A)
    shared.use(MARKS_KEY.fingerprint, NEXT_KEY.fingerprint)
    one.joined(MARKS_KEY, NEXT_KEY)
    await one.settled()
    with pytest.raises(ClashError):
        await two.pledge(A, OTHER_BANK)
    shared.use(NEXT_KEY.fingerprint)
    with pytest.raises(RegistryError, match="none under the key"):
        await two.pledge(A, OTHER_BANK)
    two.joined(NEXT_KEY)
    with pytest.raises(ClashError):
        await two.pledge(A, OTHER_BANK)
    one.joined(NEXT_KEY)
    await one.settled()
    assert shared.live("bank-one") == one.wanted != set()


async def test_a_member_without_the_key_in_use_is_told_which_one_it_lacks(shared: Shared, one: Cloud) -> None:
    one.joined(NEXT_KEY)
    async with one.running(), asyncio.timeout(60):
        while not one.membership.standing.fault:
            await asyncio.sleep(0.001)
    assert MARKS_KEY.fingerprint in one.membership.standing.fault


async def test_who_asks_too_often_waits_and_may_still_give_up(tmp_path: Path) -> None:
    shared = Shared(tmp_path, an_hour=2)
    one = Cloud(shared, "bank-one")
    for name in (A, B, f"{WAREHOUSE}:A-03"):
        await one.issue(name)
    await one.pledge(A, BANK)
    await one.pledge(B, BANK)
    with pytest.raises(AwayError, match="too often"):
        await one.pledge(f"{WAREHOUSE}:A-03", BANK)
    await one.release(A)
    await one.settled()
    assert shared.live("bank-one") == {one.membership.reference(B)}
    shared.clock.at_ms += 3_600_000
    assert (await one.pledge(f"{WAREHOUSE}:A-03", BANK)).state is State.PLEDGED
    shared.kept.close()


STEPS = (
    *("issue", "pledge", "release", "split", "transfer", "lose", "replace", "cut", "drop", "slow", "arrive", "settle"),
    "restart",
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32))
async def test_no_goods_are_pledged_at_two_banks_in_any_history(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    shared = Shared(tmp_path_factory.mktemp("registry"))
    clouds = [Cloud(shared, "bank-one"), Cloud(shared, "bank-two")]
    dice = Random(seed)
    for _ in range(40):
        number = dice.randrange(2)
        clouds[number] = await _step(clouds[number], dice)
        assert_pledged_once(clouds)
    for cloud in clouds:
        cloud.way.fails = cloud.way.drops = cloud.way.slows = 0
        cloud.joined()
        await cloud.settled()
        assert shared.live(cloud.member) == cloud.wanted
    shared.kept.close()


async def _step(cloud: Cloud, dice: Random) -> Cloud:
    """Something that is done, or refused, at one of the clouds."""
    bank, step = f"bank-{'one' if cloud.member == 'bank-one' else 'two'}", dice.choice(STEPS)
    known = sorted(one.id for one in cloud.spine.state.receipts.receipts())
    name = dice.choice(known) if known else A
    bodies: dict[str, tuple[str, dict[str, object]]] = {
        "pledge": (dice.choice((DEPOSITOR, BUYER)), {"pledgee": bank}),
        "release": (bank, {}),
        "split": (dice.choice((DEPOSITOR, BUYER, bank)), {"into_milli": [[HAD // 4], [HAD - HAD // 4]]}),
        "transfer": (DEPOSITOR, {"to": BUYER}),
        "lose": (WAREHOUSE, {"reason": "the key is gone"}),
        "replace": (WAREHOUSE, {"reason": "the key is gone", "replacement": f"{WAREHOUSE}:R-{len(known)}"}),
    }
    if step == "issue":
        own = dice.choice(("A-01", "A-02", "A-03"))
        if f"{WAREHOUSE}:{own}" not in known:
            await cloud.issue(f"{WAREHOUSE}:{own}")
    elif step == "cut":
        cloud.way.fails = dice.randrange(3)
    elif step == "drop":
        cloud.way.drops = dice.randrange(3)
    elif step == "slow":
        cloud.way.slows = dice.randrange(3)
    elif step == "arrive":
        dice.shuffle(cloud.way.late)
        cloud.way.arrive()
    elif step == "settle":
        await cloud.settled()
    elif step == "restart":
        after = Cloud(cloud.shared, cloud.member, store=cloud.store)
        after.way.late = cloud.way.late
        return after
    elif known:
        by, body = bodies[step]
        try:
            await cloud.do(by, step, name, **body)
        except (ActError, RegistryError):
            assert step != "restart"
    return cloud


def assert_pledged_once(clouds: list[Cloud]) -> None:
    """No goods are pledged at both, and whatever is pledged is claimed."""
    found = [frozenset[Claim]().union(*pledged(cloud.spine.state.receipts).values()) for cloud in clouds]
    assert not found[0] & found[1]
    for cloud in clouds:
        assert cloud.wanted <= cloud.shared.live(cloud.member)


def test_only_a_pledge_and_a_substitution_let_a_family_claim_more() -> None:
    assert {ActKind.PLEDGE, ActKind.SUBSTITUTE} == CLAIMING
    register = Register()
    register.issue()
    first = register.get("la-1:0001")
    grown = set()
    for kind, by, body in (
        ("pledge", DEPOSITOR, {"pledgee": BANK}),
        ("lose", BANK, {"reason": "gone"}),
        ("replace", WAREHOUSE, {"reason": "gone", "replacement": "la-1:0002"}),
        ("freeze", WAREHOUSE, {"reason": "a count"}),
        ("thaw", BANK, {"reason": "counted"}),
        ("split", BANK, {"into_milli": [[10_000], [30_000]]}),
        ("release", BANK, {"quantities_milli": [4_000]}),
        ("surrender", DEPOSITOR, {}),
        ("deliver", WAREHOUSE, {}),
        ("release", BANK, {}),
        ("transfer", DEPOSITOR, {"to": BUYER}),
        ("cancel", BUYER, {"reason": "a slip"}),
    ):
        name = {"replace": first.id, "lose": first.id, "pledge": first.id}.get(kind, "la-1:0002")
        name = name if kind in ("pledge", "lose", "replace", "freeze", "thaw", "split") else "la-1:0002.1"
        before = pledged_of(register.receipts, first.id)
        register.do(by, kind, name, **body)
        if pledged_of(register.receipts, first.id) - before:
            grown.add(kind)
        assert family_of(register.receipts, name) == first.id
        assert set(pledged(register.receipts)) <= set(families(register.receipts)) == {first.id}
    assert grown == {"pledge"}
    assert pledged_of(register.receipts, first.id) == shared_of(WAREHOUSE, first.goods, first.received)
    register.do(BANK, "release", "la-1:0002.2")
    assert pledged_of(register.receipts, first.id) == frozenset()


def test_a_device_means_something_together_with_its_warehouse_alone() -> None:
    register = Register()
    goods = register.issue("la-1:0001", line("YARD", container=BOX, device="door-17")).goods
    window = register.get("la-1:0001").received
    here, there = shared_of("la-1", goods, window), shared_of("la-2", goods, window)
    assert {one.kind for one in here} == {"container", "device"}
    assert {one.kind for one in here & there} == {"container"}


def test_a_marks_key_shows_itself_nowhere() -> None:
    assert repr(MARKS_KEY) == f"MarksKey({MARKS_KEY.fingerprint})"
    assert len(MARKS_KEY.fingerprint) == 16
    assert MARKS_KEY.fingerprint != NEXT_KEY.fingerprint
    marks = MARKS_KEY.marks([Claim("container", BOX)])
    assert len(marks[0]) == 64
    assert marks != NEXT_KEY.marks([Claim("container", BOX)])


@pytest.mark.parametrize(("text", "said"), [("", "0 bytes"), ("not base64!", "not base64"), ("YWJj", "3 bytes")])
def test_what_is_no_marks_key_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        MarksKey(text)


@pytest.mark.parametrize(
    ("status", "said", "is_away"),
    [
        (200, b"{}", True),
        (200, b"<html>", True),
        (200, b'{"answer": 7}', True),
        (404, b"", True),
        (401, b'{"detail": "no"}', True),
        (503, b'{"detail": "no"}', True),
        (429, b'{"detail": "no"}', True),
        (422, b'{"detail": "no"}', False),
        (507, b'{"detail": "no"}', False),
    ],
)
def test_whatever_does_not_answer_as_a_registry_is_away(status: int, said: bytes, *, is_away: bool) -> None:
    with pytest.raises(RegistryError) as caught:
        meaning(status, "", said)
    assert isinstance(caught.value, AwayError) is is_away


async def test_whatever_is_handed_in_about_receipts_that_are_not_there_is_not_remembered(one: Cloud) -> None:
    one.way.fails = 10**6
    for number in range(20):
        with pytest.raises(ActError):
            await one.do(BUYER, "cancel", f"{WAREHOUSE}:{number}", reason="it is not there")
        with pytest.raises(ActError):
            await one.do(BUYER, "pledge", f"{WAREHOUSE}:{number}", pledgee=BANK)
    assert one.membership.standing.due == 0


async def test_the_api_says_how_the_registry_stands_to_what_is_pledged(tmp_path: Path, one: Cloud, two: Cloud) -> None:
    await one.issue(A)
    await one.pledge(A, BANK)
    await two.issue(A)
    two.spine.commit(drafts.act, two.text(DEPOSITOR, "pledge", A, pledgee=OTHER_BANK), two.clock.now_ms())
    await two.settled()
    two.joined()
    await two.settled()
    without, cloud = ApiCloud(tmp_path / "a"), ApiCloud(tmp_path / "b", membership=two.membership)
    assert without.get("/registry") == {"configured": False}
    assert "pledgewatch_registry" not in without.client.get("/metrics").text
    lines = cloud.client.get("/metrics").text.splitlines()
    assert [one for one in lines if one.startswith("pledgewatch_registry_")] == [
        "pledgewatch_registry_away 0.0",
        "pledgewatch_registry_unclaimed 1.0",
        "pledgewatch_registry_due 0.0",
        "pledgewatch_registry_strange 0.0",
        "pledgewatch_registry_clashes 1.0",
    ]
    found = cloud.get("/registry")
    (clash,) = {one["clash"] for one in found.pop("clashes")}
    assert found == {
        "configured": True,
        "looked_at": iso(NOON_MS),
        "fault": "",
        "claimed": 0,
        "due": 0,
        "strange": 0,
        "unclaimed": [{"receipt": A, "clash": clash}],
    }
    without.close()
    cloud.close()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"url": "http://registry.example"}, "allow_private_networks"),
        ({"url": "registry.example"}, "https://"),
        ({"member": "Bank One"}, "member is"),
        ({"secret_files": ()}, "secret_files"),
        ({"marks_key_files": (Path("a"), Path("b"), Path("c"))}, "marks_key_files"),
        ({"timeout_s": 0.0}, "timeout_s"),
        ({"look_every_s": 0.0}, "look_every_s"),
        ({"claims_an_hour": 0}, "claims_an_hour"),
        ({"key_file": Path("a")}, "certificate_file"),
    ],
)
def test_a_membership_that_cannot_be_meant_is_refused(changes: dict[str, Any], said: str) -> None:
    good: dict[str, Any] = {
        "url": "https://registry.example",
        "member": "bank-one",
        "secret_files": (Path("registry.secret"),),
        "marks_key_files": (Path("marks.key"),),
    }
    assert len(MembershipSettings(**good).files()) == 5
    with pytest.raises(ValueError, match=said):
        MembershipSettings(**(good | changes))
