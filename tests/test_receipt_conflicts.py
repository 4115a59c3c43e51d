"""Of two acts after the same one, exactly one is taken, whichever is heard first: never both, never none."""

import random
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from typing import Any

import pytest
from receipting import (
    AFFILIATE,
    BANK,
    BUYER,
    CHAIRS,
    DEPOSITOR,
    FIRST,
    OTHER_BANK,
    OTHER_WAREHOUSE,
    RECEIVED,
    SOFAS,
    WAREHOUSE,
    Register,
    signed,
    stated,
)

from pledgewatch_cloud.decide.receipts import act as act_module
from pledgewatch_cloud.decide.receipts import life
from pledgewatch_cloud.decide.receipts.act import ActError
from pledgewatch_cloud.decide.receipts.receipt_book import ReceiptBook

PAIRS = 1_000
SECOND = f"{WAREHOUSE}:0002"
Choice = tuple[str, str, str, dict[str, Any]]
REASON = {"reason": "a reason"}


def shares(dice: random.Random) -> list[int]:
    return [dice.randrange(1, 40_000), dice.randrange(60_001)]


def parts(dice: random.Random) -> list[list[int]]:
    first = shares(dice)
    return [first, [40_000 - first[0], 60_000 - first[1]]]


def of_a_holder(dice: random.Random, holder: str) -> list[Choice]:
    return [
        (holder, "transfer", FIRST, {"to": dice.choice([AFFILIATE, OTHER_WAREHOUSE])}),
        (holder, "pledge", FIRST, {"pledgee": BANK}),
        (holder, "pledge", FIRST, {"pledgee": OTHER_BANK}),
        (holder, "split", FIRST, {"into_milli": parts(dice)}),
        (holder, "surrender", FIRST, {"quantities_milli": shares(dice)}),
        (holder, "cancel", FIRST, REASON),
        (holder, "lose", FIRST, REASON),
        (WAREHOUSE, "freeze", FIRST, REASON),
        (WAREHOUSE, "lose", FIRST, REASON),
    ]


def issued(dice: random.Random, register: Register) -> list[Choice]:
    register.issue(FIRST, SOFAS, CHAIRS)
    return of_a_holder(dice, DEPOSITOR)


def released(dice: random.Random, register: Register) -> list[Choice]:
    issued(dice, register)
    register.pledge()
    register.do(BANK, "release", FIRST)
    return of_a_holder(dice, DEPOSITOR)


def pledged(dice: random.Random, register: Register) -> list[Choice]:
    issued(dice, register)
    register.do(DEPOSITOR, "transfer", FIRST, to=BUYER)
    register.pledge()
    return [
        (BANK, "release", FIRST, {}),
        (BANK, "release", FIRST, {"quantities_milli": shares(dice)}),
        (BANK, "split", FIRST, {"into_milli": parts(dice)}),
        (BANK, "freeze", FIRST, REASON),
        (WAREHOUSE, "freeze", FIRST, REASON),
        (WAREHOUSE, "lose", FIRST, REASON),
    ]


def surrendered(dice: random.Random, register: Register) -> list[Choice]:
    """Some was released, and is being asked for."""
    pledged(dice, register)
    register.do(BANK, "release", FIRST, quantities_milli=[20_000, 30_000])
    register.do(BUYER, "surrender", FIRST, quantities_milli=[10_000, 10_000])
    return [
        (BANK, "release", FIRST, {}),
        (BUYER, "surrender", FIRST, {"quantities_milli": [0, 0]}),
        (BUYER, "surrender", FIRST, {}),
        (WAREHOUSE, "deliver", FIRST, {}),
        (WAREHOUSE, "deliver", FIRST, {"quantities_milli": [dice.randrange(1, 10_000), 0]}),
        (WAREHOUSE, "freeze", FIRST, REASON),
        (BANK, "lose", FIRST, REASON),
    ]


def drafted(dice: random.Random, register: Register) -> list[Choice]:
    register.do(WAREHOUSE, "draft", FIRST, **stated())
    return [
        (WAREHOUSE, "issue", FIRST, {}),
        (WAREHOUSE, "cancel", FIRST, REASON),
        (DEPOSITOR, "cancel", FIRST, {"reason": "not ours"}),
    ]


def frozen(dice: random.Random, register: Register) -> list[Choice]:
    pledged(dice, register)
    register.do(WAREHOUSE, "freeze", FIRST, **REASON)
    return [(BANK, "thaw", FIRST, REASON), (BANK, "thaw", FIRST, {"reason": "counted"})]


def lost(dice: random.Random, register: Register) -> list[Choice]:
    pledged(dice, register)
    register.do(WAREHOUSE, "lose", FIRST, **REASON)
    names = [f"{WAREHOUSE}:{dice.randrange(10**6)}-{place}" for place in range(3)]
    return [(WAREHOUSE, "replace", FIRST, {"replacement": name, **REASON}) for name in names]


def not_begun(dice: random.Random, register: Register) -> list[Choice]:
    """The same name, or the same goods under other names, by two warehouses."""
    box = SOFAS | {"container": "MSKU1234565", "quantity_milli": dice.randrange(1, 10**6)}
    return [
        (WAREHOUSE, "issue", FIRST, stated(box)),
        (WAREHOUSE, "issue", FIRST, stated(box, depositor=BUYER)),
        (WAREHOUSE, "issue", SECOND, stated(box, depositor=AFFILIATE)),
        (OTHER_WAREHOUSE, "issue", f"{OTHER_WAREHOUSE}:0001", stated(box, depositor=AFFILIATE)),
    ]


STORIES: tuple[Callable[[random.Random, Register], list[Choice]], ...] = (
    *(issued, released, pledged, surrendered, drafted, frozen, lost, not_begun),
)


def taken(register: Register, receipts: ReceiptBook, text: str) -> ReceiptBook | None:
    """The book after an act, None where it is refused."""
    try:
        return life.apply(receipts, act_module.read(text), register.world)
    except ActError:
        return None


def test_of_a_thousand_pairs_of_conflicting_acts_exactly_one_is_taken_in_both_orders() -> None:
    dice = random.Random(7)
    winners: Counter[str] = Counter()
    pairs: list[tuple[Register, str, str]] = []
    while len(pairs) < PAIRS:
        register = Register()
        choices = dice.choice(STORIES)(dice, register)
        texts = [register.text(by, kind, receipt, **body) for by, kind, receipt, body in choices]
        pairs += [(register, *pair) for pair in combinations(texts, 2) if pair[0] != pair[1]]
    for register, first, second in dice.sample(pairs, PAIRS):
        alone = {text: taken(register, register.receipts, text) for text in (first, second)}
        for one, other in ((first, second), (second, first)):
            after = alone[one]
            assert after is not None, "each of them would be taken alone"
            assert taken(register, after, other) is None, "the other is not taken after it"
            assert taken(register, after, one) is after, "the same again changes nothing"
            winners[act_module.read(one).kind] += 1
    assert sum(winners.values()) == 2 * PAIRS
    assert len(winners) == 12  # all kinds but draft and substitute


def test_a_draft_and_a_substitution_conflict_too() -> None:
    register = Register()
    drafts = [register.text(WAREHOUSE, "draft", FIRST, **stated(depositor=one)) for one in (DEPOSITOR, BUYER)]
    register.take(drafts[1])
    assert "there is a receipt" in register.assert_refused(drafts[0]).why
    register.do(WAREHOUSE, "issue", FIRST)
    says = register.says(
        WAREHOUSE, "substitute", FIRST, goods=[SOFAS | {"bin": "C-09"}], received=RECEIVED, reason="water in bin A-01"
    )
    substitution = signed(WAREHOUSE, says | {"consents": [register.consent(BUYER, says)]})
    pledge = register.text(BUYER, "pledge", FIRST, pledgee=BANK)
    assert taken(register, register.receipts, substitution) is not None
    register.take(pledge)
    assert "another act" in register.assert_refused(substitution).why


@pytest.mark.parametrize("order", [1, -1])
def test_of_many_acts_after_the_same_one_exactly_one_is_taken(order: int) -> None:
    register = Register()
    register.issue()
    banks = [BANK, OTHER_BANK, AFFILIATE, BUYER]
    texts = [register.text(DEPOSITOR, "pledge", FIRST, pledgee=bank) for bank in banks][::order]
    register.take(texts[0])
    for text in texts[1:]:
        register.assert_refused(text)
    assert register.get(FIRST).pledgee == banks[::order][0]
