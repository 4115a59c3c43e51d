"""Milestones that wait for an electronic receipt or for goods that are all there.

A row: the hour, what happens, and the state of the milestone after it, with since when it is met."""

from typing import Any

import pytest
from lending import Bench, Happening, amended, at_ms, lot, moment, passes
from receipted import ON_RECEIPT, acts, bench_of, has, issued
from receipting import BANK, DEPOSITOR, FIRST, WAREHOUSE

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.milestones.explain import as_json, explain
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.spine.spine import recover

Step = tuple[float, Happening, str]
VALID, COUNTED = {"fact": "receipt_valid"}, {"fact": "stock_counted"}


def booked(bench: Bench) -> None:
    """A person says that the money has moved."""
    assert bench.spine.commit(drafts.say_booked, "milestone", "booked", "clerk", "seen on the account") is not None


def waits_for(when: dict[str, Any], **terms: Any) -> Bench:
    one = {"id": "milestone", "facility": "line", "lot": "lot", "payee": DEPOSITOR, "when": when}
    return bench_of(milestones=[one | {"release": {"amount_minor": 1_000_000}}], **terms)


def stands(bench: Bench) -> str:
    """The milestone's state, and the hour since which it is met."""
    memo = bench.spine.state.milestones["milestone"]
    return memo.state if memo.met_ms == NEVER else f"{memo.state}@{(memo.met_ms - at_ms(0)) / 3_600_000:g}"


PLEDGED: list[Step] = [
    (0, has(1_000), "waiting"),
    (1, issued(), "waiting"),
    (2, acts(DEPOSITOR, "pledge", pledgee=BANK), "met@2"),
]
FREEZE, THAW = acts(WAREHOUSE, "freeze", reason="a leak"), acts(BANK, "thaw", reason="mended")
CASES: list[tuple[str, dict[str, Any], list[Step]]] = [
    ("it is pledged to the lender", VALID, PLEDGED),
    (
        "it is frozen before the money has moved, and thawed",
        VALID,
        [*PLEDGED, (3, FREEZE, "retracted@2"), (4, THAW, "met@4")],
    ),
    ("it is frozen after that", VALID, [*PLEDGED, (3, booked, "released@2"), (4, FREEZE, "released@2")]),
    (
        "the loan is paid back and the receipt let go",
        VALID,
        [*PLEDGED, (3, booked, "released@2"), (4, acts(BANK, "release"), "released@2"), (5, passes, "released@2")],
    ),
    (
        "it is valid again later, and what was seen first stays seen",
        VALID,
        [
            *PLEDGED,
            (3, booked, "released@2"),
            (4, FREEZE, "released@2"),
            (5, THAW, "released@2"),
            (6, passes, "released@2"),
        ],
    ),
    (
        "it was let go before the money had moved",
        VALID,
        [*PLEDGED, (3, acts(BANK, "release"), "retracted@2"), (4, booked, "in_question@2")],
    ),
    ("goods are all there", COUNTED, [(0, has(1_000), "waiting"), (1, issued(), "met@1")]),
    (
        "some are missing before the money has moved, and are found",
        COUNTED,
        [(0, has(1_000), "waiting"), (1, issued(), "met@1"), (2, has(999), "retracted@1"), (3, has(1_000), "met@3")],
    ),
    (
        "some are missing after that",
        COUNTED,
        [(0, has(1_000), "waiting"), (1, issued(), "met@1"), (2, booked, "released@1"), (3, has(1), "released@1")],
    ),
    (
        "the book counts fewer, though the stock system has all",
        COUNTED,
        [
            (0, amended(lots=[lot(**ON_RECEIPT, counted=999, counted_at=moment(0))]), "waiting"),
            (0, has(1_000), "waiting"),
            (1, issued(), "waiting"),
            (2, amended(lots=[lot(**ON_RECEIPT, counted=1_000, counted_at=moment(2))]), "met@2"),
        ],
    ),
    (
        "it must not be valid: once it is, it may have been before",
        {"not": VALID},
        [(0, has(1_000), "met@0"), (1, issued(), "met@0"), (2, acts(DEPOSITOR, "pledge", pledgee=BANK), "held@0")],
    ),
]


@pytest.mark.parametrize(("name", "when", "steps"), CASES, ids=[row[0] for row in CASES])
def test_a_milestone_waits_for_a_receipt(name: str, when: dict[str, Any], steps: list[Step]) -> None:
    bench = waits_for(when)
    found = []
    for hour, happens, _ in steps:
        bench.come_to(hour)
        happens(bench)
        found.append(stands(bench))
    assert found == [state for _, _, state in steps]
    assert state_module.to_bytes(recover(bench.store)) == state_module.to_bytes(bench.spine.state)


def test_a_receipt_ends_for_a_milestone_at_its_moment() -> None:
    """The other fact comes when the receipt is over."""
    late = {"all": [VALID, {"fact": "date_reached", "at": moment(50)}]}
    for until, state in ((moment(40), "pending"), (moment(60), "met@50")):
        bench = waits_for(late, lots=[lot(receipt={"id": FIRST, "until": until}, warehouse=WAREHOUSE)])
        for hour, happens, _ in [*PLEDGED, (51, passes, "")]:
            bench.come_to(hour)
            happens(bench)
        assert stands(bench) == state


def test_what_is_missing_is_told_in_words_and_what_shows_it_is_the_receipt() -> None:
    bench = waits_for({"all": [VALID, COUNTED]})
    for hour, happens in ((0, has(1_000)), (1, issued()), (2, has(940))):
        bench.come_to(hour)
        happens(bench)
    (case,) = bench.spine.state.held["lot"].cases
    facts = as_json(explain(bench.spine.state, "milestone"))["facts"]
    assert [one["missing"] for one in facts] == [
        f"{FIRST} of lot is unpledged",
        f"lot: 60 of 1000 are missing, by case {case}",
    ]
    bench = waits_for({"all": [VALID, COUNTED]})
    pledged = acts(DEPOSITOR, "pledge", pledgee=BANK)
    for hour, happens in ((0, has(1_000)), (1, issued()), (2, pledged), (3, has(940)), (4, has(1_000))):
        bench.come_to(hour)
        happens(bench)
    facts = as_json(explain(bench.spine.state, "milestone"))["facts"]
    assert [(one["holds"], one["since_ms"]) for one in facts] == [(True, at_ms(2)), (True, at_ms(4))]
    assert [(proof["kind"], proof["id"]) for one in facts for proof in one["proofs"]] == [("receipt", FIRST)] * 2
