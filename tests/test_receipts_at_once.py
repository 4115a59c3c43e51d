"""Conflicting acts that come at the same moment, through the real writer and spine: always one winner.

A thousand pairs with the journal in memory, which tests/test_store_contract.py holds to the same contract, and some on
disk, where each commit takes its time.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from receipting import BANK, BUYER, DEPOSITOR, OTHER_BANK, WAREHOUSE, stated
from registering import HAD, ReceiptCloud, line

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.receipts import act as act_module
from pledgewatch_cloud.decide.receipts.act import ActError, OvertakenError
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.journal.store import Store
from pledgewatch_cloud.spine.spine import recover

AT_ONCE = 100
HALF = {"quantities_milli": [HAD // 2]}
PARTS = {"into_milli": [[HAD // 4], [HAD - HAD // 4]]}
WHY = {"reason": "it is so"}
# Two acts on one receipt, each of which would be taken if the other were not there: of an issued one, of a pledged one.
OF_ISSUED: list[tuple[tuple[str, str, dict[str, Any]], tuple[str, str, dict[str, Any]]]] = [
    ((DEPOSITOR, "pledge", {"pledgee": BANK}), (DEPOSITOR, "pledge", {"pledgee": OTHER_BANK})),
    ((DEPOSITOR, "pledge", {"pledgee": BANK}), (DEPOSITOR, "transfer", {"to": BUYER})),
    ((DEPOSITOR, "split", PARTS), (DEPOSITOR, "pledge", {"pledgee": BANK})),
    ((DEPOSITOR, "surrender", {}), (DEPOSITOR, "pledge", {"pledgee": BANK})),
    ((DEPOSITOR, "cancel", WHY), (DEPOSITOR, "transfer", {"to": BUYER})),
    ((WAREHOUSE, "freeze", WHY), (DEPOSITOR, "transfer", {"to": BUYER})),
    ((DEPOSITOR, "transfer", {"to": BUYER}), (DEPOSITOR, "transfer", {"to": BUYER, "at": "a minute later"})),
]
OF_PLEDGED: list[tuple[tuple[str, str, dict[str, Any]], tuple[str, str, dict[str, Any]]]] = [
    ((BANK, "release", {}), (BANK, "release", HALF)),
    ((BANK, "release", HALF), (BANK, "split", PARTS)),
    ((WAREHOUSE, "freeze", WHY), (BANK, "release", {})),
    ((BANK, "lose", WHY), (WAREHOUSE, "freeze", WHY)),
]


class Came(NamedTuple):
    """What became of a pair: which were taken, and the errors of those that were not."""

    taken: list[str]
    errors: list[ActError]


@pytest.mark.parametrize(("count", "make"), [(1_000, MemoryStore), (200, None)], ids=["memory", "disk"])
def test_of_a_thousand_pairs_of_conflicting_acts_at_once_exactly_one_of_each_is_taken(
    tmp_path: Path, count: int, make: Callable[[], Store] | None
) -> None:
    register = ReceiptCloud(tmp_path / "data", signer=None, store=make() if make else None)
    dice = random.Random(7)
    try:
        register.stock(*(f"b{number}" for number in range(count)))
        pairs = [_pair(register, number) for number in range(count)]
        entries = register.entries
        came = asyncio.run(_all_of(register, pairs, dice))
        assert [len(one.taken) for one in came] == [1] * count
        assert register.entries == entries + count
        why = Counter("came first" if isinstance(one.errors[0], OvertakenError) else "no more" for one in came)
        assert min(why["came first"], why["no more"]) > count // 10
        which = Counter(pair.index(one.taken[0]) for pair, one in zip(pairs, came, strict=True))
        assert min(which[0], which[1]) > count // 4  # neither of two comes first always
        again = recover(register.cloud.store)
        assert state_module.digest(again) == state_module.digest(register.cloud.spine.state)
        heads = {one.head for one in again.receipts.receipts()}
        assert {act_module.read(one.taken[0]).digest for one in came} <= heads
    finally:
        register.close()


def _pair(register: ReceiptCloud, number: int) -> tuple[str, str]:
    """Two texts of which one can be taken: acts on one receipt, or receipts for the same goods."""
    place = f"b{number}"
    name = f"{WAREHOUSE}:{place}"
    kinds = [None, *OF_ISSUED, *OF_PLEDGED]
    chosen = kinds[number % len(kinds)]
    if chosen is None:
        issues = (f"{name}-x", f"{name}-y")
        first, second = (register.text(WAREHOUSE, "issue", one, **stated(line(place))) for one in issues)
        return first, second
    _take(register, register.text(WAREHOUSE, "issue", name, **stated(line(place))))
    if chosen in OF_PLEDGED:
        _take(register, register.text(DEPOSITOR, "pledge", name, pledgee=BANK))
    first, second = (_text(register, name, *one) for one in chosen)
    assert first != second
    return first, second


def _text(register: ReceiptCloud, name: str, by: str, kind: str, body: dict[str, Any]) -> str:
    later = "at" in body
    register.cloud.clock.at_ms += 60_000 * later
    text = register.text(by, kind, name, **{key: value for key, value in body.items() if key != "at"})
    register.cloud.clock.at_ms -= 60_000 * later
    return text


def _take(register: ReceiptCloud, text: str) -> None:
    assert register.cloud.spine.commit(drafts.act, text, register.now_ms) is not None


async def _all_of(register: ReceiptCloud, pairs: list[tuple[str, str]], dice: random.Random) -> list[Came]:
    """Hand in the texts of many pairs at the same moment, in any order, and then those of the next ones."""
    came = [Came([], []) for _ in pairs]

    async def hand_in(number: int, text: str) -> None:
        try:
            assert await register.cloud.writer.commit(drafts.act, text, register.now_ms) is not None
        except ActError as error:
            came[number].errors.append(error)
        else:
            came[number].taken.append(text)

    for start in range(0, len(pairs), AT_ONCE):
        some = [(number, text) for number in range(start, start + AT_ONCE) for text in pairs[number]]
        dice.shuffle(some)
        await asyncio.gather(*(hand_in(number, text) for number, text in some))
    return came
