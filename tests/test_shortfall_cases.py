"""Goods on an electronic receipt, as a banker can work them out on paper: what the receipt book, the stock system and a
count say of a lot, and what that makes of its base.

A thousand sofas at 200.00 in one bin of a warehouse, half of whose value is lent. Rows as in test_base_cases; every
entry is held to the laws of sums as well (lending.assert_sums).
"""

import pytest
from lending import HALF, LINE, Row, amended, assert_figures, at_ms, lot, moment, passes
from receipted import ON_RECEIPT, acts, bench_of, has, issued, says_of, sees
from receipting import BANK, DEPOSITOR, FIRST, OTHER_BANK, WAREHOUSE

from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.collateral import desk as desk_module
from pledgewatch_cloud.decide.collateral.as_of import sheet_now
from pledgewatch_cloud.decide.collateral.desk import Known
from pledgewatch_cloud.decide.collateral.exposure import exposures
from pledgewatch_cloud.decide.collateral.stand import BookPrices
from pledgewatch_cloud.decide.item import BookError
from pledgewatch_cloud.spine.base_at import base_at
from pledgewatch_cloud.spine.spine import recover

WHOLE = {"gross": 20_000_000, "receipt": 0, "shortfall": 0, "base": 10_000_000}
PLEDGED: list[Row] = [
    # Nobody has issued the receipt: nothing is lent, whatever the book says of the lot.
    (0, passes, {"receipt": 20_000_000, "base": 0}),
    (1, has(1_000), {"receipt": 20_000_000}),
    (1, issued(), {"receipt": 20_000_000, "base": 0, "changes": {}}),
    (2, acts(DEPOSITOR, "pledge", pledgee=BANK), WHOLE | {"changes": {"receipt": 10_000_000}}),
]


def test_sofas_on_a_receipt_of_which_some_are_missing() -> None:
    bench = bench_of()
    rows: list[Row] = [
        *PLEDGED,
        # 940 are there, 1,000 are claimed: 60 × 200.00 are missing, and half of that is lent no more.
        (
            3,
            has(940),
            {"shortfall": 1_200_000, "eligible": 18_800_000, "base": 9_400_000, "changes": {"stock": -600_000}},
        ),
        # The book counts 980: 20 are not counted, the other 40 are missing beyond those.
        (
            4,
            amended(lots=[lot(**ON_RECEIPT, counted=980, counted_at=moment(4))]),
            {"stock": 400_000, "shortfall": 800_000, "base": 9_400_000, "changes": {}},
        ),
        (5, amended(lots=[lot(**ON_RECEIPT)]), {"stock": 0, "shortfall": 1_200_000, "changes": {}}),
        # A row that came late explains it.
        (6, has(1_000), WHOLE | {"changes": {"stock": 600_000}}),
        # The bank lets 100 go: the receipt pledges 900 of the 1,000, though all of them are there.
        (
            7,
            acts(BANK, "release", quantities_milli=[100_000]),
            {"shortfall": 2_000_000, "base": 9_000_000, "changes": {"stock": -1_000_000}},
        ),
        # The lot is made smaller, as it is: 900 of 900.
        (
            8,
            amended(lots=[lot(**ON_RECEIPT, quantity=900)]),
            {
                "gross": 18_000_000,
                "shortfall": 0,
                "base": 9_000_000,
                "changes": {"quantity": -1_000_000, "stock": 1_000_000},
            },
        ),
        (9, acts(WAREHOUSE, "freeze", reason="the roof leaks"), {"receipt": 18_000_000, "base": 0}),
    ]
    assert_figures(bench, rows)
    assert bench.lines()["lot"].ineligible == {"receipt": 18_000_000}


def test_the_grounds_name_the_case_the_receipt_and_what_each_says() -> None:
    bench = bench_of()
    assert_figures(bench, [*PLEDGED, (3, has(940), {"shortfall": 1_200_000})])
    (case,) = bench.spine.state.held["lot"].cases
    assert base_at(bench.store, LINE).grounds == {"lot": (f"shortfall: 60 of 1000 missing by case {case}",)}
    then = base_at(bench.store, LINE, at_ms(2.5), at_ms(3))
    assert (then.base.base_minor, then.grounds) == (10_000_000, {})
    before = base_at(bench.store, LINE, at_ms(1.5), at_ms(3))
    assert before.grounds == {"lot": (f"receipt: {FIRST} is unpledged",)}
    assert_figures(bench, [(4, has(1_000), WHOLE), (5, acts(BANK, "release", quantities_milli=[100_000]), {})])
    assert base_at(bench.store, LINE).grounds == {"lot": (f"shortfall: 100 of 1000 missing of what {FIRST} covers",)}


ELSEWHERE: list[tuple[str, list[Row], str]] = [
    ("nobody has issued it", [], "unknown"),
    ("it is pledged to nobody", [(1, issued(), {})], "unpledged"),
    ("another bank has it", [(1, issued(), {}), (2, acts(DEPOSITOR, "pledge", pledgee=OTHER_BANK), {})], "elsewhere"),
    ("it has ended", [(1, issued(), {}), (2, acts(DEPOSITOR, "cancel", reason="sold"), {})], "ended"),
]


@pytest.mark.parametrize(("name", "rows", "state"), ELSEWHERE, ids=[row[0] for row in ELSEWHERE])
def test_a_receipt_that_the_lender_does_not_have_is_lent_nothing_on(name: str, rows: list[Row], state: str) -> None:
    bench = bench_of()
    assert_figures(bench, [(0, has(1_000), {}), *rows, (9, passes, {"receipt": 20_000_000, "base": 0})])
    assert bench.spine.state.held["lot"].state == state
    assert base_at(bench.store, LINE).grounds == {"lot": (f"receipt: {FIRST} is {state}",)}


def test_what_is_missing_or_anothers_is_lent_on_under_no_policy() -> None:
    """The policy asks for no receipt; the lot has one all the same, so it must be the lender's and cover the goods."""
    bench = bench_of(policy=HALF)
    assert_figures(
        bench,
        [
            (0, passes, {"receipt": 20_000_000, "shortfall": 0, "base": 0}),
            (1, has(1_000), {}),
            (1, issued(), {"receipt": 20_000_000, "base": 0}),
            (1, acts(DEPOSITOR, "pledge", pledgee=BANK), {"receipt": 0, "base": 10_000_000}),
            (2, has(1), {"shortfall": 19_980_000, "base": 10_000}),
        ],
    )


def test_a_lot_on_paper_is_the_books_word_alone() -> None:
    """The same receipt, but the book says how it stands: what the stock system has is no matter."""
    on_paper = lot(receipt={"id": FIRST, "state": "valid"}, warehouse=WAREHOUSE)
    bench = bench_of(lots=[on_paper])
    rows: list[Row] = [
        (0, passes, WHOLE),
        (1, has(1_000), WHOLE),
        (1, issued(), WHOLE),
        (2, acts(DEPOSITOR, "pledge", pledgee=BANK), WHOLE),
        (3, has(900), WHOLE),
        # From now on it is the receipt book's: a tenth is not there.
        (4, amended(lots=[lot(**ON_RECEIPT)]), {"shortfall": 2_000_000, "changes": {"rule": -1_000_000}}),
    ]
    assert_figures(bench, rows)
    with pytest.raises(BookError, match=r"lots lot\.receipt\.state: la-1:0001 is an electronic receipt"):
        amended(lots=[on_paper])(bench)
    assert bench.spine.state.held["lot"].missing == 100


def test_a_receipt_ends_at_its_moment_and_when_the_book_says_so_earlier() -> None:
    bench = bench_of(lots=[lot(receipt={"id": FIRST, "until": moment(40)}, warehouse=WAREHOUSE)])
    rows: list[Row] = [
        *PLEDGED,
        (39, passes, WHOLE | {"changes": {}}),
        (40, passes, {"receipt": 20_000_000, "changes": {"evidence": -10_000_000}}),
        (41, amended(lots=[lot(**ON_RECEIPT)]), WHOLE),
        (8_999, passes, {"receipt": 0}),
        (9_000, passes, {"receipt": 20_000_000}),
    ]
    assert_figures(bench, rows)


def test_a_count_that_the_policy_asks_for_is_the_stock_systems_as_long_as_it_speaks() -> None:
    terms = HALF | {"receipt": 1, "count": 1, "count_stale_s": 86_400}
    bench = bench_of(policy=terms)
    silent = {"stock": 20_000_000, "base": 0}
    rows: list[Row] = [
        *PLEDGED,
        (3, passes, WHOLE | {"stock": 0}),
        # It counted at 1 for the last time: a day later nobody knows, by time alone.
        (25, passes, {"stock": 0, "base": 10_000_000}),
        (25.01, passes, silent | {"changes": {"evidence": -10_000_000}}),
    ]
    assert_figures(bench, rows)
    said = "stock: stock system or counter last heard of 2026-01-01T13:00:00Z"
    assert base_at(bench.store, LINE).grounds == {"lot": (said,)}
    rows = [
        (26, has(1_000), {"stock": 0, "base": 10_000_000, "changes": {"stock": 10_000_000}}),
        # What a stock system says of the day before is no news of today.
        (49, says_of(24, 1_000), {"stock": 0}),
        (50.01, passes, silent),
        (51, sees(1_000), {"stock": 0, "base": 10_000_000, "changes": {"stock": 10_000_000}}),
        (75.01, passes, silent),
        # The book's own count is as good a word.
        (76, amended(lots=[lot(**ON_RECEIPT, counted=1_000, counted_at=moment(76))]), {"stock": 0, "base": 10_000_000}),
        (100.01, passes, silent),
    ]
    assert_figures(bench, rows)
    assert state_module.to_bytes(recover(bench.store)) == state_module.to_bytes(bench.spine.state)


def test_without_a_bound_a_silent_stock_system_is_believed_for_ever() -> None:
    bench = bench_of(policy=HALF | {"receipt": 1, "count": 1})
    assert_figures(bench, [*PLEDGED, (3, passes, WHOLE), (2_000, passes, {"stock": 0, "base": 10_000_000})])


def test_a_new_lot_comes_with_its_receipt_as_goods() -> None:
    bench = bench_of(lots=[])
    rows: list[Row] = [
        (1, has(960), {}),
        (1, issued(960), {}),
        (2, acts(DEPOSITOR, "pledge", pledgee=BANK), {}),
        (3, amended(lots=[lot(**ON_RECEIPT)]), {"shortfall": 800_000, "changes": {"quantity": 9_600_000}}),
    ]
    assert_figures(bench, rows)


def test_what_is_missing_lies_behind_the_warehouses_word_no_more() -> None:
    bench = bench_of()
    assert_figures(bench, [*PLEDGED, (3, has(940), {})])
    state = bench.spine.state
    found = exposures(
        sheet_now(state, state.recorded_at_ms), "warehouse", {}, BookPrices(state.market, state.book), "USD"
    )
    assert [(one.word, one.gross_minor, one.eligible_minor, one.advance_minor) for one in found] == [
        (WAREHOUSE, 20_000_000, 18_800_000, 9_400_000)
    ]


def test_a_count_of_a_surveyor_says_what_is_missing() -> None:
    """The stock system has all of them, the surveyor finds 990; later all of them are found."""
    bench = bench_of()
    rows: list[Row] = [
        *PLEDGED,
        (3, sees(990), {"shortfall": 200_000, "base": 9_900_000, "changes": {"stock": -100_000}}),
        (4, sees(1_000), WHOLE | {"changes": {"stock": 100_000}}),
    ]
    assert_figures(bench, rows)


def test_the_desk_and_a_restart_say_the_same() -> None:
    bench = bench_of()
    assert_figures(bench, [*PLEDGED, (3, has(940), {}), (4, acts(BANK, "release", quantities_milli=[500_000]), {})])
    state = bench.spine.state
    known = Known(state.book, state.market, state.facts, state.assets, state.held)
    anew = desk_module.opened(known, state.losses, state.recorded_at_ms)
    assert state.desk is not None
    assert desk_module.changed_lines(anew.sheet, state.desk.sheet) == []
    assert state_module.to_bytes(recover(bench.store)) == state_module.to_bytes(state)
    assert bench.base().ineligible == {"shortfall": 11_200_000}
