"""Facilities that leave the book, come back or change their currency, and what is refused of that; small print of
calls, shocks and files of quotes."""

from pathlib import Path
from typing import Any

import pytest
from lending import BY_SERIES, HALF, LINE, Bench, figure, lends, lot, moment, price

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.collateral import stress
from pledgewatch_cloud.decide.item import BookError
from pledgewatch_cloud.market_file import MarketFileError, read_market_file

LEAVES = {"remove": {"facilities": [LINE], "lots": ["lot"]}}
BASE, COVER = "record_base", "record_cover"


def line(**terms: Any) -> dict[str, Any]:
    own = {"id": LINE, "lender": "bank", "borrower": "exporter", "currency": "USD", "policy": "terms"}
    return own | {"outstanding_minor": 5_000_000} | terms


def repayment(hour: float, amount: int = 5_000_000) -> list[dict[str, Any]]:
    return [{"id": "all", "kind": "repayment", "at": moment(hour), "amount_minor": amount}]


OWES = "owes 5000000 minor units of USD; tell its repayment as a movement first"
REFUSED: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("leaves", {}, LEAVES, f"remove.facilities: line {OWES}"),
    ("leaves, and is paid later", {"movements": repayment(9)}, LEAVES, f"remove.facilities: line {OWES}"),
    (
        "leaves, and a cent is owed",
        {"movements": repayment(-1, 4_999_999)},
        LEAVES,
        "remove.facilities: line owes 1 minor units of USD; tell its repayment as a movement first",
    ),
    (
        "leaves, and interest is owed",
        {
            "movements": repayment(-1),
            "interest": {"rate_bp": 100, "day_count": "act_360", "since": "2025-12-31T00:00:00Z"},
        },
        LEAVES,
        "remove.facilities: line owes 139 minor units of USD",
    ),
    (
        "another currency",
        {},
        {"facilities": [line(currency="EUR")]},
        f"facilities line.currency: line {OWES}, or give the line in another currency an id of its own",
    ),
]


@pytest.mark.parametrize(("terms", "document", "fault"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_facility_that_owes_anything_neither_leaves_nor_changes_its_currency(
    terms: dict[str, Any], document: dict[str, Any], fault: str
) -> None:
    bench = Bench(facility=terms)
    before = bench.spine.state
    with pytest.raises(BookError) as refused:
        bench.spine.commit(drafts.amend, document)
    assert refused.value.errors[0].startswith(fault)
    assert bench.spine.state is before
    bench.amend({"facilities": [line(outstanding_minor=0, movements=[])]})
    assert bench.spine.commit(drafts.amend, document) is not None


def test_one_that_is_called_does_not_leave_before_its_end_was_said() -> None:
    """Paid at 1:00, which nobody has looked at when it is to leave at 2:00."""
    bench = Bench(policy=HALF, facility={"outstanding_minor": 11_000_000, "movements": repayment(1, 11_000_000)})
    assert bench.spine.state.facilities[LINE].covenant.cover.name == "CALLED"
    bench.come_to(2)
    with pytest.raises(
        BookError, match=r"remove\.facilities: line is called; let the repayment be judged by a tick first"
    ):
        bench.spine.commit(drafts.amend, LEAVES)
    bench.tick()
    assert figure(bench, "told") == [BASE, COVER]
    bench.amend(LEAVES)
    assert figure_of_leaving(bench) == [(BASE, 0, {"quantity": -10_000_000})]


def figure_of_leaving(bench: Bench) -> list[tuple[Any, ...]]:
    """What the core was told: of a base how much it is and why, of a cover which."""
    return [
        (kind, data["base_minor"], data["changes"]) if kind == BASE else (kind, data["cover"])
        for kind, data in bench.told
    ]


def test_what_is_said_of_one_that_leaves_and_comes_back_adds_up() -> None:
    bench = Bench(policy=HALF, facility={"outstanding_minor": 0})
    total, told = 10_000_000, []
    for document in (LEAVES, {"facilities": [line(outstanding_minor=0)], "lots": [lot()]}, LEAVES):
        bench.amend(document)
        ((kind, base_minor, changes),) = figure_of_leaving(bench)
        total += sum(changes.values())
        told.append((kind, base_minor, total))
    assert told == [(BASE, 0, 0), (BASE, 10_000_000, 10_000_000), (BASE, 0, 0)]
    assert bench.spine.state.facilities[LINE].messages_sent == 4


def test_one_that_is_warned_for_its_stock_and_owes_nothing_is_covered_when_it_leaves() -> None:
    policy = HALF | {"covenants": {"minimum": [{"sku": "sofa", "quantity": 2_000}]}}
    bench = Bench(policy=policy, facility={"outstanding_minor": 0})
    assert bench.spine.state.facilities[LINE].covenant.cover.name == "WARNED"
    bench.amend(LEAVES)
    assert figure_of_leaving(bench) == [(BASE, 0, {"quantity": -10_000_000}), (COVER, "clear")]
    assert bench.spine.state.facilities[LINE].covenant.cover.name == "CLEAR"


def test_one_on_which_nothing_was_ever_lent_leaves_without_a_word() -> None:
    bench = Bench(facility={"outstanding_minor": 0}, lots=[])
    bench.amend({"remove": {"facilities": [LINE]}})
    assert (bench.told, [one.type.value for one in bench.said]) == ([], [])


# What may be mended instead of paying.


def test_goods_where_nothing_is_lent_may_be_moved_to_where_most_is_lent() -> None:
    lent = {"warehouse": 8_000, "in_transit": 0, "at_port": 5_000}
    bench = Bench(policy={"advance_bp": lent}, kinds={"store": "container"})
    (call,) = [data for kind, data in bench.told if kind == "call_margin"]
    assert call["choices"] == [{"lot": "lot", "ineligible": "place", "at_most_minor": 16_000_000}]


def test_where_nothing_can_be_mended_there_are_no_choices() -> None:
    bench = Bench(policy={"advance_bp": lends(1_000)})
    (call,) = [data for kind, data in bench.told if kind == "call_margin"]
    assert (call["call_minor"], call["choices"]) == (3_000_000, [])


# Shocks that name what nobody knows.


def test_names_that_nobody_knows_are_told_with_their_shock() -> None:
    bench = Bench(**BY_SERIES)
    bench.quote({"prices": [price("quoted", "2026-01-01", "1")]})
    shocks = [
        {"id": "known", "series_bp": {"sofa-index": -1, "quoted": -1}, "lost_fences": ["shanghai"]},
        {
            "id": "slips",
            "series_bp": {"sofa-indx": -1, "=sofa": -1, "quoted": -1},
            "lost_fences": ["shangai", "shanghai"],
        },
        {"id": "fence", "lost_fences": ["nowhere"]},
    ]
    found = stress.unknown_names(stress.shocks_of({"shocks": shocks}), bench.spine.state.book, bench.spine.state.market)
    assert found == [
        {"shock": "slips", "series_bp": ["=sofa", "sofa-indx"], "lost_fences": ["shangai"]},
        {"shock": "fence", "lost_fences": ["nowhere"]},
    ]


# Files of quotes.


@pytest.mark.parametrize(
    ("per", "shown"),
    [
        ("9" * 5_000, "999..."),
        ("١٢", "'١٢'"),
        ("１２", "'１２'"),
        ("²", "'²'"),
        ("1_000", "'1_000'"),
        ("-1", "'-1'"),
        ("0", "0"),
    ],
    ids=["five thousand digits", "Arabic", "wide", "raised", "underscore", "below", "none"],
)
def test_units_that_are_no_number_are_a_fault_with_its_line(tmp_path: Path, per: str, shown: str) -> None:
    path = tmp_path / "prices.csv"
    path.write_text(f"date,series,price,currency,per\n2026-01-01,a,5,USD,1000\n2026-01-02,a,5,USD,{per}\n", "utf-8")
    with pytest.raises(MarketFileError) as refused:
        read_market_file(path)
    (fault,) = refused.value.errors
    assert fault.startswith(f"{path}:3: per: ")
    assert shown in fault
    assert fault.endswith("is not a whole number from 1 to 1000000000")
    assert len(fault) < 200 + len(str(path))


def test_units_that_are_a_number_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_text("date,series,price,currency,per\n2026-01-01,a,5,USD,1000\n", "utf-8")
    assert read_market_file(path)["prices"][0]["per"] == 1_000
