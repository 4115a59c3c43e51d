"""The life of a receipt: every move of docs/RECEIPTS.md is made, and every other act, by anybody, is refused."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from receipting import (
    AFFILIATE,
    BANK,
    BUYER,
    CHAIRS,
    DEPOSITOR,
    FIRST,
    KEYS,
    NOON_MS,
    OTHER_BANK,
    OTHER_WAREHOUSE,
    RECEIVED,
    SOFAS,
    STRANGER,
    WAREHOUSE,
    Register,
    signed,
    stated,
)

from pledgewatch_cloud.decide.receipts import life
from pledgewatch_cloud.decide.receipts.act import ActKind
from pledgewatch_cloud.decide.receipts.life import LIFE, Role
from pledgewatch_cloud.decide.receipts.receipt import ENDED, LIVE, Receipt, State

PAGE = Path(__file__).resolve().parent.parent / "docs" / "RECEIPTS.md"
SECOND = f"{WAREHOUSE}:0002"
BOTH = (40_000, 60_000)
NOTHING = (0, 0)


# How each state is come to. The receipt has changed hands, so depositor and holder are two.


def none(register: Register) -> None:
    """Nothing has happened."""


def drafted(register: Register) -> None:
    register.do(WAREHOUSE, "draft", FIRST, **stated(SOFAS, CHAIRS))


def issued(register: Register) -> None:
    register.issue(FIRST, SOFAS, CHAIRS)
    register.do(DEPOSITOR, "transfer", FIRST, to=BUYER)


def pledged(register: Register) -> None:
    issued(register)
    register.pledge()


def partly_released(register: Register) -> None:
    pledged(register)
    register.do(BANK, "release", FIRST, quantities_milli=[10_000, 0])


def released(register: Register) -> None:
    pledged(register)
    register.do(BANK, "release", FIRST)


def split(register: Register) -> None:
    issued(register)
    register.do(BUYER, "split", FIRST, into_milli=[[40_000, 0], [0, 60_000]])


def delivered(register: Register) -> None:
    issued(register)
    register.do(BUYER, "surrender", FIRST)
    register.do(WAREHOUSE, "deliver", FIRST)


def cancelled(register: Register) -> None:
    issued(register)
    register.do(BUYER, "cancel", FIRST, reason="sold without a receipt")


def frozen(register: Register) -> None:
    issued(register)
    register.do(WAREHOUSE, "freeze", FIRST, reason="the gate counted more than was delivered")


def frozen_while_pledged(register: Register) -> None:
    pledged(register)
    register.do(BANK, "freeze", FIRST, reason="the door was open at night")


def lost(register: Register) -> None:
    issued(register)
    register.do(WAREHOUSE, "lose", FIRST, reason="the holder's key was stolen")


def replaced(register: Register) -> None:
    lost(register)
    register.do(WAREHOUSE, "replace", FIRST, replacement=SECOND, reason="the holder has a new key")


STORIES: tuple[Callable[[Register], None], ...] = (
    *(none, drafted, issued, pledged, partly_released, released, split, delivered, cancelled, frozen),
    *(frozen_while_pledged, lost, replaced),
)


def sound(register: Register, kind: ActKind, by: str) -> str:
    """An act that is refused for nothing but the table. A surrender comes before a delivery."""
    known = register.receipts.get(FIRST)
    after = known.head if known else ""
    body: dict[str, Any] = {
        ActKind.DRAFT: stated(SOFAS, CHAIRS),
        ActKind.ISSUE: {} if after else stated(SOFAS, CHAIRS),
        ActKind.TRANSFER: {"to": AFFILIATE},
        ActKind.PLEDGE: {"pledgee": OTHER_BANK},
        ActKind.SPLIT: {"into_milli": [[40_000, 0], [0, 60_000]]},
        ActKind.REPLACE: {"replacement": SECOND, "reason": "a reason"},
        ActKind.SUBSTITUTE: {"goods": [SOFAS | {"bin": "C-01"}], "received": RECEIVED, "reason": "water in bin A-01"},
        **{kind: {"reason": "a reason"} for kind in (ActKind.CANCEL, ActKind.FREEZE, ActKind.THAW, ActKind.LOSE)},
    }.get(kind, {})
    says = register.says(by, kind, FIRST, **body)
    if kind is ActKind.SUBSTITUTE and known and known.controller:
        says["consents"] = [register.consent(known.controller, says)]
    return signed(by, says)


def stand(story: Callable[[Register], None], kind: ActKind) -> Register:
    """A register where a state was come to, and goods are surrendered where they have to be."""
    register = Register()
    story(register)
    known = register.receipts.get(FIRST)
    if kind is ActKind.DELIVER and known and known.state in {State.ISSUED, State.RELEASED, State.PARTLY_RELEASED}:
        register.do(known.holder, "surrender", FIRST)
    return register


def page_table() -> dict[tuple[str, str], tuple[tuple[str, ...], frozenset[str]]]:
    """The table of the page: where an act leads, and who may do it."""
    rows = re.findall(
        r"^\| ([a-z ]+) \| ([a-z]+) \| ([a-z, ]+) \| ([a-z↺, ]+) \|$", PAGE.read_text("utf-8"), re.MULTILINE
    )
    found = {}
    for state, kind, by, to in rows[1:]:
        states = () if to == "as before" else tuple(state if one == "↺" else one for one in to.split(", "))
        found[state.replace(" ", "_"), kind] = tuple(one.replace(" ", "_") for one in states), frozenset(by.split(", "))
    return found


def test_the_table_of_the_page_is_the_table() -> None:
    told = {(str(state), str(kind)): (tuple(move.to), frozenset(move.by)) for (state, kind), move in LIFE.items()}
    assert page_table() == told
    assert len(told) == 34


@pytest.mark.parametrize("kind", ActKind)
@pytest.mark.parametrize("story", STORIES, ids=lambda one: one.__name__)
def test_every_act_in_every_state_by_anybody(story: Callable[[Register], None], kind: ActKind) -> None:
    parties = (WAREHOUSE, DEPOSITOR, BUYER, BANK, OTHER_BANK, OTHER_WAREHOUSE, STRANGER)
    taken = set()
    for by in parties:
        register = stand(story, kind)
        known = register.receipts.get(FIRST)
        state = str(known.state) if known else "none"
        to, roles = page_table().get((state, kind), ((), frozenset()))
        if story is frozen_while_pledged:
            roles &= {"pledgee"}
        elif story is frozen:
            roles &= {"warehouse"}
        own = {role for role in Role if known and getattr(known, role) == by} | (
            {"warehouse"} if by == WAREHOUSE else set()
        )
        if own & roles:
            register.take(sound(register, kind, by))
            after = register.get(FIRST)
            assert after.state in to if to else after.state == (known.frozen_from if known else "")
            assert after.head != (known.head if known else "")
            taken.add(by)
            continue
        error = register.assert_refused(sound(register, kind, by))
        if known is not None and known.is_seen_by(by):
            said = f"{FIRST} is {state.replace('_', ' ')}, and {kind} is no move from there"
            assert error.why == said if not roles else f"{by} is not that" in error.why
        else:
            assert f"{by} has no part in a receipt" in error.why
    assert bool(taken) == any(pair == (story.__name__.removesuffix("_while_pledged"), kind) for pair in page_table())


def test_a_draft_is_for_its_depositor_to_cancel_too() -> None:
    register = Register()
    drafted(register)
    assert life.may(register.get(FIRST), DEPOSITOR) == (ActKind.CANCEL,)
    assert register.do(DEPOSITOR, "cancel", FIRST, reason="not ours").state is State.CANCELLED


def test_the_states_are_live_or_ended_and_each_live_one_has_one_controller() -> None:
    assert set(State) == LIVE | ENDED | {State.NONE, State.DRAFTED}
    for story in STORIES[1:]:
        register = Register()
        story(register)
        one = register.get(FIRST)
        may_dispose = {
            party
            for party in (WAREHOUSE, DEPOSITOR, BUYER, BANK)
            for kind in life.may(one, party)
            if kind in (ActKind.TRANSFER, ActKind.PLEDGE, ActKind.RELEASE, ActKind.SPLIT)
        }
        assert bool(one.controller) == (one.state not in ENDED)
        assert may_dispose <= {one.controller}
        assert any(of is one.state for of, _ in LIFE) == (one.state not in ENDED)


def test_who_may_ever_do_what() -> None:
    ever: dict[ActKind, set[Role]] = {kind: set() for kind in ActKind}
    for (_, kind), move in LIFE.items():
        ever[kind].update(move.by)
    assert ever[ActKind.ISSUE] == {Role.WAREHOUSE}
    assert ever[ActKind.TRANSFER] == ever[ActKind.PLEDGE] == ever[ActKind.SURRENDER] == {Role.HOLDER}
    assert ever[ActKind.RELEASE] == {Role.PLEDGEE}
    assert all(ever.values())


def test_what_can_be_done_instead_is_told() -> None:
    register = Register()
    pledged(register)
    error = register.refuse(BUYER, "transfer", FIRST, to=AFFILIATE)
    assert error.cure == (
        "what can be done with it: release by pledgee, split by pledgee, substitute by warehouse, "
        "freeze by warehouse or pledgee, lose by warehouse or pledgee"
    )
    split_up = Register()
    split(split_up)
    error = split_up.refuse(BUYER, "pledge", FIRST, pledgee=BANK)
    assert error.cure == f"its life has ended; its goods went on as {FIRST}.1, {FIRST}.2"
    exchanged = Register()
    replaced(exchanged)
    error = exchanged.refuse(BUYER, "pledge", FIRST, pledgee=BANK)
    assert error.cure == f"its life has ended; {SECOND} stands in its place"


@pytest.mark.parametrize(
    ("by", "kind", "body", "why"),
    [
        (BUYER, "transfer", {"to": BUYER}, "to: importer is its holder already"),
        (BUYER, "transfer", {"to": WAREHOUSE}, "to: la-1 is its warehouse"),
        (BUYER, "transfer", {"to": "unknown"}, "to: unknown has no key in the book"),
        (BUYER, "pledge", {"pledgee": BUYER}, "pledgee: importer is its holder"),
        (BUYER, "pledge", {"pledgee": WAREHOUSE}, "pledgee: la-1 is its warehouse"),
        (BUYER, "pledge", {"pledgee": "unknown"}, "pledgee: unknown has no key in the book"),
        (
            BUYER,
            "split",
            {"into_milli": [[40_000, 60_000]]},
            "into_milli: [[40000, 60000]] is no list of 2 to 100 parts",
        ),
        (BUYER, "split", {"into_milli": [[40_000], [60_000]]}, "into_milli[0]: 1 lines and the receipt has 2"),
        (BUYER, "split", {"into_milli": [[40_000, 0], [0, 59_999]]}, "line 1 comes to 59999 and the receipt has 60000"),
        (BUYER, "split", {"into_milli": [[40_000, 0], [1, 60_000]]}, "line 0 comes to 40001 and the receipt has 40000"),
        (BUYER, "split", {"into_milli": [[40_000, 60_000], [0, 0]]}, "into_milli[1]: is nothing"),
        (BUYER, "split", {"into_milli": [[40_001, 0], [0, 60_000]]}, "into_milli[0][0]: 40001 is more than the 40000"),
        (
            BUYER,
            "surrender",
            {"quantities_milli": [40_001, 0]},
            "quantities_milli[0]: 40001 is more than the 40000 that is",
        ),
        (BUYER, "surrender", {"quantities_milli": [0, 0]}, "quantities_milli: is nothing"),
        (BUYER, "surrender", {"quantities_milli": [-1, 0]}, "quantities_milli: [-1, 0] is no list of whole numbers"),
        (WAREHOUSE, "deliver", {}, "nothing of la-1:0001 was surrendered"),
        (WAREHOUSE, "substitute", {"goods": [SOFAS], "received": RECEIVED, "reason": "x"}, "only with the consent"),
        (BUYER, "cancel", {}, "cancel: reason is missing"),
    ],
)
def test_an_act_must_be_sound(by: str, kind: str, body: dict[str, Any], why: str) -> None:
    register = Register()
    issued(register)
    assert why in register.refuse(by, kind, FIRST, **body).why


def test_only_a_warehouse_of_the_book_begins_receipts_and_under_its_own_name_alone() -> None:
    register = Register()
    assert "is no warehouse of the book" in register.refuse(DEPOSITOR, "issue", f"{DEPOSITOR}:1", **stated()).why
    for name in (f"{OTHER_WAREHOUSE}:1", "la-1", "la-1:", "la-1:a.1", "la-1:a:b", "la-1:-a"):
        assert "has no part in a receipt" in register.refuse(WAREHOUSE, "issue", name, **stated()).why
    error = register.refuse(WAREHOUSE, "issue", FIRST, **stated(depositor=WAREHOUSE))
    assert "depositor: la-1 is the warehouse itself" in error.why
    assert (
        "depositor: unknown has no key" in register.refuse(WAREHOUSE, "issue", FIRST, **stated(depositor="unknown")).why
    )


def test_an_act_on_what_has_not_begun_or_has_begun_is_refused() -> None:
    register = Register()
    text = register.text(WAREHOUSE, "issue", FIRST, "ab" * 32)
    assert "has not begun" in register.assert_refused(text).why
    issued(register)
    assert "there is a receipt" in register.refuse(WAREHOUSE, "issue", FIRST, after="", **stated()).why
    assert (
        "another act on la-1:0001 came first"
        in register.refuse(BUYER, "pledge", FIRST, after="ab" * 32, pledgee=BANK).why
    )


def test_goods_leave_by_surrender_and_delivery_part_by_part() -> None:
    register = Register()
    issued(register)
    register.do(BUYER, "surrender", FIRST, quantities_milli=[10_000, 5_000])
    assert (
        "is more than the 10000 that was surrendered"
        in register.refuse(WAREHOUSE, "deliver", FIRST, quantities_milli=[10_001, 0]).why
    )
    for kind, body in (
        ("transfer", {"to": AFFILIATE}),
        ("pledge", {"pledgee": BANK}),
        ("split", {"into_milli": [[40_000, 0], [0, 60_000]]}),
        ("cancel", {"reason": "x"}),
    ):
        assert f"there can be no {kind} until that is done" in register.refuse(BUYER, kind, FIRST, **body).why
    one = register.do(WAREHOUSE, "deliver", FIRST, quantities_milli=[10_000, 0])
    assert (one.quantities_milli, one.ordered_milli, one.delivered_milli) == ((30_000, 60_000), (0, 5_000), (10_000, 0))
    one = register.do(BUYER, "surrender", FIRST, quantities_milli=[0, 0])
    assert not any(one.ordered_milli)
    assert register.do(BUYER, "transfer", FIRST, to=AFFILIATE).holder == AFFILIATE
    register.do(AFFILIATE, "surrender", FIRST)
    one = register.do(WAREHOUSE, "deliver", FIRST)
    assert (one.state, one.quantities_milli, one.delivered_milli) == (State.DELIVERED, NOTHING, BOTH)


def test_of_pledged_goods_only_what_is_released_leaves() -> None:
    register = Register()
    pledged(register)
    register.do(BANK, "release", FIRST, quantities_milli=[10_000, 0])
    assert (
        "10001 is more than the 10000 that is free"
        in register.refuse(BUYER, "surrender", FIRST, quantities_milli=[10_001, 0]).why
    )
    register.do(BUYER, "surrender", FIRST)
    one = register.do(WAREHOUSE, "deliver", FIRST)
    assert (one.quantities_milli, one.released_milli, one.state) == ((30_000, 60_000), NOTHING, State.PARTLY_RELEASED)
    assert "quantities_milli: is nothing" in register.refuse(BUYER, "surrender", FIRST).why
    assert (
        "30001 is more than the 30000 that is still pledged"
        in register.refuse(BANK, "release", FIRST, quantities_milli=[30_001, 0]).why
    )
    one = register.do(BANK, "release", FIRST)
    assert (one.state, one.pledgee, one.controller, one.free_milli) == (State.RELEASED, "", BUYER, (30_000, 60_000))
    assert register.pledge(bank=OTHER_BANK).released_milli == NOTHING


def test_the_parts_of_a_pledged_receipt_are_pledged_and_come_to_the_whole() -> None:
    register = Register()
    pledged(register)
    whole = register.do(BANK, "split", FIRST, into_milli=[[15_000, 60_000], [25_000, 0]])
    parts = [register.get(name) for name in whole.children]
    assert [one.quantities_milli for one in parts] == [(15_000, 60_000), (25_000,)]
    for one in parts:
        assert (one.state, one.holder, one.pledgee, one.parent) == (State.PLEDGED, BUYER, BANK, FIRST)
        assert one.head == whole.head
    assert not whole.controller
    register.do(BANK, "release", f"{FIRST}.2")
    register.do(BUYER, "split", f"{FIRST}.2", into_milli=[[20_000], [5_000]])
    assert register.get(f"{FIRST}.2.2").quantities_milli == (5_000,)
    assert register.get(f"{FIRST}.1").state is State.PLEDGED


def test_an_identified_line_is_not_divided() -> None:
    register = Register()
    register.issue(FIRST, SOFAS | {"container": "MSKU1234565"}, CHAIRS)
    error = register.refuse(DEPOSITOR, "split", FIRST, into_milli=[[20_000, 60_000], [20_000, 0]])
    assert "line 0 is known by its container, seal or device and cannot be divided" in error.why
    register.do(DEPOSITOR, "split", FIRST, into_milli=[[40_000, 20_000], [0, 40_000]])
    assert register.get(f"{FIRST}.1").goods[0].container == "MSKU1234565"


def test_a_freeze_stops_all_and_is_lifted_by_the_pledgee_where_there_is_one() -> None:
    register = Register()
    frozen_while_pledged(register)
    assert "is for its pledgee alone" in register.refuse(WAREHOUSE, "thaw", FIRST, reason="counted").why
    assert register.do(BANK, "thaw", FIRST, reason="counted").state is State.PLEDGED


def test_evidence_alone_freezes_what_is_live_and_the_next_act_follows_the_newest() -> None:
    for story in STORIES[1:]:
        register = Register()
        story(register)
        before = register.get(FIRST)
        register.receipts = life.frozen(register.receipts, FIRST)
        after = register.get(FIRST)
        can_freeze = before.state in LIVE - {State.FROZEN, State.LOST}
        assert after == (before._replace(state=State.FROZEN, frozen_from=before.state) if can_freeze else before)
    with pytest.raises(KeyError):
        life.frozen(register.receipts, "la-1:none")
    register = Register()
    pledged(register)
    release = register.text(BANK, "release", FIRST)
    register.receipts = life.frozen(register.receipts, FIRST)
    assert "is frozen" in register.assert_refused(release).why
    assert register.do(BANK, "thaw", FIRST, reason="a false alarm").state is State.PLEDGED


def test_a_lost_receipt_goes_on_as_one_other_and_never_as_itself() -> None:
    register = Register()
    partly_released(register)
    register.do(BUYER, "surrender", FIRST)
    before = register.get(FIRST)
    register.do(BANK, "lose", FIRST, reason="the holder's key was stolen")
    for name in (FIRST, "la-2:0002", "la-1:a.1", f"{FIRST}.1"):
        error = register.refuse(WAREHOUSE, "replace", FIRST, replacement=name, reason="x")
        assert f"{name} is no new name of la-1" in error.why
    old = register.do(WAREHOUSE, "replace", FIRST, replacement=SECOND, reason="x")
    new = register.get(SECOND)
    assert (old.state, old.replaced_by, new.replaces, old.controller) == (State.REPLACED, SECOND, FIRST, "")
    kept = ("goods", "holder", "pledgee", "depositor", "released_milli", "delivered_milli", "state")
    assert [getattr(new, name) for name in kept] == [getattr(before, name) for name in kept]
    assert not any(new.ordered_milli)
    assert register.do(BANK, "release", SECOND).state is State.RELEASED


def test_goods_are_substituted_with_the_consent_of_who_controls_the_receipt() -> None:
    register = Register()
    pledged(register)
    says = register.says(
        WAREHOUSE, "substitute", FIRST, goods=[SOFAS | {"bin": "C-09"}], received=RECEIVED, reason="water in bin A-01"
    )
    by_holder = says | {"consents": [register.consent(BUYER, says)]}
    assert "only with the consent of who controls" in register.assert_refused(signed(WAREHOUSE, by_holder)).why
    other = says | {"reason": "none"}
    to_another = says | {"consents": [register.consent(BANK, other)]}
    assert "has consented to something else" in register.assert_refused(signed(WAREHOUSE, to_another)).why
    forged = says | {"consents": [register.consent(BANK, says, KEYS[STRANGER])]}
    assert "the signature is not by a key k1 of bank-one" in register.assert_refused(signed(WAREHOUSE, forged)).why
    register.take(signed(WAREHOUSE, says | {"consents": [register.consent(BANK, says)]}))
    one = register.get(FIRST)
    assert (one.goods[0].bin, one.state, one.pledgee, one.holder) == ("C-09", State.PLEDGED, BANK, BUYER)
    # What it claimed before is free again.
    assert register.issue(SECOND, SOFAS | {"quantity_milli": 39_000}, CHAIRS).state is State.ISSUED


def test_a_refusal_tells_a_stranger_nothing_of_a_receipt() -> None:
    register = Register()
    pledged(register)
    there = register.refuse(STRANGER, "release", FIRST, after="ab" * 32)
    absent = register.refuse(STRANGER, "release", "la-1:0009", after="ab" * 32)
    assert there.why.replace(FIRST, "?") == absent.why.replace("la-1:0009", "?")
    assert there.cure == absent.cure


def test_a_part_of_what_stands_in_anothers_place_stands_in_the_place_of_nothing() -> None:
    register = Register()
    register.issue()
    register.do(DEPOSITOR, "lose", FIRST, reason="x")
    register.do(WAREHOUSE, "replace", FIRST, replacement=SECOND, reason="x")
    register.do(DEPOSITOR, "split", SECOND, into_milli=[[10_000], [30_000]])
    for number in (1, 2):
        part = register.get(f"{SECOND}.{number}")
        assert (part.parent, part.replaces) == (SECOND, "")


def test_a_receipt_may_go_a_long_way() -> None:
    register = Register()
    drafted(register)
    register.do(WAREHOUSE, "issue", FIRST)
    for _ in range(3):
        holder = register.get(FIRST).holder
        register.do(holder, "transfer", FIRST, to=BUYER if holder != BUYER else AFFILIATE)
        register.pledge()
        register.do(BANK, "release", FIRST)
    one: Receipt = register.get(FIRST)
    assert (one.acts, one.state, one.issued_ms) == (11, State.RELEASED, NOON_MS)
