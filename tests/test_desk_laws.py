"""The desk's laws over random histories: carried on from entry to entry it says what one made anew says, also after a
restart, and what it said at any moment can be had again out of the journal.

How lots stand by their electronic receipts is thrown with dice at every entry, whatever warehouses say.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from builders import AT_SEA, IN_LOS_ANGELES, IN_SHANGHAI, MINUTE_MS, position, temperature
from holding import held_by_dice
from hypothesis import given, settings
from hypothesis import strategies as st
from lending import HOUR_MS, LINE, Bench, at_ms, lends, lot, moment, price, rate

from pledgewatch_cloud.decide import book as book_module
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.collateral import bases
from pledgewatch_cloud.decide.collateral import desk as desk_module
from pledgewatch_cloud.decide.collateral.desk import Desk, Known
from pledgewatch_cloud.decide.collateral.result import Base, LotLine
from pledgewatch_cloud.decide.collateral.sheet import Sheet
from pledgewatch_cloud.decide.item import BookError
from pledgewatch_cloud.decide.market import MarketError
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.journal import form
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_cloud.journal.store import Store
from pledgewatch_cloud.spine.base_at import amendments, base_at, base_now
from pledgewatch_cloud.spine.spine import recover, repeat
from pledgewatch_wire.reading import Cell, Quality

ASSETS = ("store", "box", "reefer")
MARKET, CAPPED = "market", "capped"
FACILITIES = (LINE, MARKET, CAPPED)


@pytest.fixture(autouse=True, scope="module")
def _dice() -> Iterator[None]:
    with held_by_dice():
        yield


# The book: a plain line with interest and covenants, one that lends on what is quoted and by fixes, one with caps.

LIMIT = {"channel": "temperature_mc", "low": 2_000, "high": 8_000, "grace_s": 1_800, "max_gap_s": 14_400}
WIDE = {"id": "wide", "channel": "temperature_mc", "low": 0, "high": 12_000, "max_gap_s": 50_000}
MKT = {"channel": "temperature_mc", "high_mc": 9_000, "worst_low_mc": 0, "worst_high_mc": 20_000, "max_gap_s": 20_000}
CURVE = [{"minutes": 60, "bp": 100}, {"minutes": 2_000, "bp": 6_000}]
LIFE: dict[str, Any] = {
    "kind": "life",
    "life_h": 300,
    "reference_mc": 5_000,
    "q10_milli": 2_000,
    "points": [{"consumed_bp": 500, "bp": 0}, {"consumed_bp": 9_000, "bp": 9_000}],
}
LEGS = [
    {"id": "road", "kind": "road", "from": moment(2), "until": moment(9)},
    {"id": "sea", "kind": "sea", "from": moment(9), "until": moment(70), "signal": "dark"},
]
COVENANTS = {"warning_bp": 6_000, "call_bp": 7_000, "default_bp": 9_000, "clear_bp": 500, "cure_s": 90_000}
POLICIES: list[dict[str, Any]] = [
    {
        "id": "terms",
        "advance_bp": {"in_transit": 7_000, "at_port": 7_500, "bonded": 8_000, "warehouse": 9_000},
        "covenants": COVENANTS | {"minimum": [{"sku": "sofa", "quantity": 900}]},
    },
    {
        "id": "by-fix",
        "advance_bp": {"in_transit": 4_000, "at_port": 5_000, "bonded": 5_500, "warehouse": 6_000},
        "evidence": {"by": "fix", "fresh_s": 10_000, "stale_s": 90_000, "ageing_bp": 1_500, "dark": "ageing"},
        "count_stale_s": 20_000,
        "price_stale_days": 6,
        "rate_stale_days": 7,
        "fx": {"bp": 300},
        "price": {"window": 5, "horizon_days": 3, "z_milli": 1_000},
        "age_bands": [{"from_days": 2, "bp": 300}, {"from_days": 4, "bp": 900}],
        "papers": ["insurance"],
        "fences": ["los-angeles", "shanghai"],
    },
    {
        "id": "caps",
        "advance_bp": lends(7_000),
        "evidence": {"fresh_s": 20_000, "stale_s": 80_000, "ageing_bp": 2_000, "dark": "fresh"},
        "receipt": 1,
        "cap_bp": {"sku": 6_000, "buyer": 5_000},
        "breach": "ineligible",
        "reserves": [{"id": "rent", "kind": "rent", "amount_minor": 10_000, "bp": 20}],
        "sub_limits": [{"id": "house", "classes": ["warehouse"], "limit_minor": 6_000_000}],
    },
]
VALID = {"id": "receipt", "state": "valid", "until": moment(100)}
INSURED = [{"kind": "insurance", "id": "policy-1", "until": moment(80)}]
LOTS = [
    lot("a", "store", limits=[LIMIT]),
    lot("b", "reefer", limits=[LIMIT, WIDE], mkt=MKT, sku="vaccine", quantity=500),
    lot("c", "box", facility=MARKET, sku="cells", quantity=700, papers=INSURED, received_at=moment(-30)),
    lot(
        "d",
        "reefer",
        facility=MARKET,
        sku="vaccine",
        papers=INSURED,
        mkt=MKT,
        limits=[WIDE],
        cost_minor=9_000,
        cost_currency="CNY",
    ),
    lot("e", "box", facility=CAPPED, receipt=VALID, buyer="one", limits=[LIMIT], expires_at=moment(90)),
    lot("f", "reefer", facility=CAPPED, receipt=VALID, buyer="one", sku="vaccine", mkt=MKT, limits=[LIMIT]),
    lot(
        "g",
        "box",
        facility=CAPPED,
        receipt=VALID,
        buyer="two",
        sku="cells",
        quantity=300,
        counted=290,
        counted_at=moment(1),
    ),
    lot("h", "box", sku="cells", limits=[WIDE]),
    lot("i", facility=CAPPED, receipt={"id": "hall:1"}, buyer="one", limits=[LIMIT]),
    lot("j", facility=CAPPED, receipt={"id": "hall:1", "until": moment(30)}, sku="cells", quantity=600),
    lot("k", "box", facility=MARKET, receipt={"id": "hall:2"}, sku="cells", counted=650, counted_at=moment(1)),
]
PRODUCTS: list[dict[str, Any]] = [
    {"sku": "sofa", "loss": [{"kind": "outside", "unknown": "outside", "points": CURVE}]},
    {"sku": "vaccine", "loss": [{"kind": "outside", "points": CURVE}, LIFE]},
    {"sku": "cells", "series": "cells"},
]


def line(identity: str, policy: str, currency: str, **terms: Any) -> dict[str, Any]:
    """A facility."""
    shared = {"id": identity, "lender": "bank", "borrower": "exporter", "policy": policy, "currency": currency}
    return shared | {"outstanding_minor": 9_000_000} | terms


INTEREST = {"rate_bp": 800, "day_count": "act_360", "since": "2026-01-01T00:00:00Z"}
LINES = [
    line(LINE, "terms", "USD", interest=INTEREST),
    line(MARKET, "by-fix", "EUR", limit_minor=8_000_000),
    line(CAPPED, "caps", "USD"),
]
QUOTES = {
    "prices": [price("cells", f"2025-12-{30 + day}", f"{90 + 7 * day}", "CNY") for day in (0, 1)],
    "rates": [rate("USD", "2025-12-31", "1.17"), rate("CNY", "2025-12-31", "8.19")],
}


def bench_of(store: Store | None = None) -> Bench:
    """Three assets in the book above; the reefer's device was fitted before it was first heard."""
    bench = Bench(
        store=store,
        assets=ASSETS,
        kinds={"box": "container", "reefer": "other"},
        fitted={"reefer": moment(-1)},
        lots=LOTS,
        policies=POLICIES,
        facilities=LINES,
        products=PRODUCTS,
        voyages=[{"id": "voyage", "asset": "box", "legs": LEGS}],
        prices=[
            {"sku": "sofa", "unit_price_minor": 20_000, "currency": "USD"},
            {"sku": "vaccine", "unit_price_minor": 9_900, "currency": "EUR"},
        ],
    )
    bench.quote(QUOTES)
    bench.spine._snapshot_every_entries = 4
    return bench


# Histories: a step is how many minutes pass, what happens then, and two numbers for what it is about.

Step = tuple[int, str, int, int]
CELLS: list[tuple[Cell, ...]] = [
    (temperature(5_000),),
    (temperature(6_000), *position(IN_LOS_ANGELES)),
    (temperature(10_000),),
    (temperature(5_000), *position(AT_SEA)),
    position(IN_SHANGHAI),
    (temperature(14_000), *position(IN_LOS_ANGELES)),
    (temperature(0, Quality.SENSOR_GONE),),
    position(IN_LOS_ANGELES, Quality.HIGH_HDOP),
    position(AT_SEA),
]


def changed_lot(one: int, other: int) -> dict[str, Any]:
    """One lot is otherwise than at first, in one of many ways."""
    changes: list[dict[str, Any]] = [
        {"quantity": 800},
        {"quantity": 0},
        {"counted": 400, "counted_at": moment(0)},
        {"haircut_bp": 1_000},
        {"receipt": {"id": "receipt", "state": "frozen"}},
        {"receipt": {"id": f"hall:{one % len(LOTS)}-{other % 2}"}},
        {"papers": []},
        {"buyer": "two"},
        {"asset": ASSETS[other % 3]},
        {"facility": FACILITIES[other % 3]},
        {"expires_at": moment(40)},
        {"received_at": moment(-60)},
        {"cost_minor": 5_000},
        {"cost_minor": 4_000, "cost_currency": "CNY"},
        {"sku": "cells"},
        {},
    ]
    return {"lots": [LOTS[one % len(LOTS)] | changes[other % len(changes)]]}


def gone_on(bench: Bench, document: dict[str, Any], hour: float) -> dict[str, Any]:
    """Lots that are in another asset than before have left that at an hour; where they were before stays so."""
    for one in document["lots"]:
        known = bench.spine.state.book.lots.get(one["id"])
        if known is not None:
            stays = [{"asset": stay.asset, "until": iso(stay.until_ms)} for stay in known.stays]
            left = [{"asset": known.asset, "until": moment(hour)}] if known.asset != one["asset"] else []
            one["stays"] = [*stays, *left]
    return document


def changed_terms(one: int, other: int) -> dict[str, Any]:
    """Anything else of the book is otherwise."""
    share_bp, spread = 3_000 + 100 * (other % 50), other % 3
    movement = {"id": f"m-{one}", "at": moment(one), "amount_minor": 100_000 * (other + 1)}
    drawn = line(MARKET, "by-fix", "EUR", movements=[movement | {"kind": ("drawdown", "repayment")[other % 2]}])
    later = [LEGS[0], LEGS[1] | {"until": moment(20 + other)}]
    moved = {
        "type": "Feature",
        "id": "los-angeles",
        "properties": {"kind": ("forbidden", "port", "customs_zone")[spread]},
    }
    ring = [[-119, 33], [-117, 33], [-117, 34.5], [-119, 34.5], [-119, 33]]
    moved["geometry"] = {"type": "Polygon", "coordinates": [ring]}
    changes: list[dict[str, Any]] = [
        {"policies": [POLICIES[2] | {"advance_bp": lends(share_bp), "breach": "loss"}]},
        {"policies": [POLICIES[1] | {"evidence": {"by": "reading", "fresh_s": 3_000 + other, "stale_s": 40_000}}]},
        {"policies": [POLICIES[2] | {"cap_bp": {"buyer": share_bp}}]},
        {"facilities": [LINES[2] | {"policy": ("by-fix", "caps", "terms")[spread]}]},
        {"facilities": [LINES[0] | {"limit_minor": 10_000 * other}]},
        {"facilities": [drawn]},
        {"prices": [{"sku": "sofa", "unit_price_minor": 10_000 + 500 * other, "currency": ("USD", "EUR")[other % 2]}]},
        {"appraisals": [{"sku": "vaccine", "nolv_bp": share_bp, "until": moment(one + other)}]},
        {"voyages": [{"id": "voyage", "asset": "box", "legs": later}]},
        {"fences": {"type": "FeatureCollection", "features": [moved]}},
        {"products": [PRODUCTS[0] | {"loss": []}]},
        {"products": [{"sku": "vaccine", "loss": [LIFE | {"life_h": 40 + other}]}]},
        {"remove": {"lots": [LOTS[one % len(LOTS)]["id"]]}},
        {"lots": [lot(f"new-{spread}", ASSETS[spread], facility=FACILITIES[one % 3], limits=[LIMIT])]},
    ]
    return changes[one % len(changes)]


def quote_of(one: int, other: int, hour: float) -> dict[str, Any]:
    """A price or a rate of some day around now; a currency may be withdrawn."""
    date = iso(at_ms(hour + 24 * (other % 5 - 2)))[:10]
    kinds: list[dict[str, Any]] = [
        {"prices": [price("cells", date, f"{60 + other}.5", "CNY")]},
        {"rates": [rate("USD", date, f"1.{other + 10}")]},
        {"rates": [rate("CNY", date, f"{6 + other % 4}.{other}1")]},
        {"prices": [price("cells", date, f"{80 + other}", "CNY")], "rates": [rate("CNY", date, f"7.{other}1")]},
        {"rates": [{"currency": "CNY", "date": date, "withdrawn": True}]},
    ]
    return kinds[one % len(kinds)]


HAPPENINGS = ["measure"] * 6 + ["keep"] * 2 + ["send"] * 2 + ["tick"] * 4 + ["lot"] * 2 + ["terms"] * 2 + ["quote"] * 2
STEPS = st.tuples(
    st.sampled_from([0, 1, 17, 60, 61, 170, 400, 725, 1_500, 3_100]),
    st.sampled_from(HAPPENINGS),
    st.integers(0, 60),
    st.integers(0, 60),
)
HISTORIES = st.lists(STEPS, min_size=1, max_size=22)
SHORTER = st.lists(STEPS, min_size=1, max_size=12)
HALF_AS_MANY = settings(max_examples=settings().max_examples // 2)
FEWER = settings(max_examples=settings().max_examples // 4)
"""For laws that fold a journal several times an example."""


class Told(NamedTuple):
    """The state after an entry, what every facility's base was, and its lots."""

    state: State
    bases: dict[str, tuple[Base, list[LotLine]]]


def on(sheet: Sheet) -> dict[str, tuple[Base, list[LotLine]]]:
    """What a sheet says of every facility."""
    return {one.id: (bases.base_of(sheet, one.id), bases.lines_of(sheet, one.id)) for one in sheet.goods.lines}


def weak_assets(desk: Desk | None) -> set[str]:
    """The assets that have lots without fresh evidence."""
    assert desk is not None
    return {asset for asset, place in desk.place.items() if desk.is_weak[place]}


def told(bench: Bench) -> Told:
    desk = bench.spine.state.desk
    assert desk is not None
    return Told(bench.spine.state, on(desk.sheet))


def happens(bench: Bench, step: Step) -> None:
    """One step of a history; a change that is refused, or none, changes nothing."""
    minutes, what, one, other = step
    hour = (bench.clock.at_ms - at_ms(0)) / HOUR_MS + minutes / 60
    bench.come_to(hour)
    asset = ASSETS[one % 3]
    match what:
        case "measure":
            if bench.waits(asset):
                bench.send(asset)
            bench.measure(asset, *sorted(CELLS[other % len(CELLS)]))
        case "keep":
            bench.keep(asset, hour, *sorted(CELLS[other % len(CELLS)]))
        case "send":
            if bench.waits(asset):
                bench.send(asset)
        case "tick":
            bench.tick()
        case "quote":
            attempt(bench.quote, quote_of(one, other, hour), bench)
        case "lot":
            attempt(bench.amend, gone_on(bench, changed_lot(one, other), hour - other % 3), bench)
        case "terms":
            attempt(bench.amend, changed_terms(one, other), bench)


def attempt(take: Callable[[dict[str, Any]], None], document: dict[str, Any], bench: Bench) -> None:
    """Take a document, unless it is refused or says nothing new."""
    try:
        if take == bench.amend:
            is_new = bench.spine.state.book != book_module.amend(bench.spine.state.book, document)
        else:
            is_new = bench.spine.state.market != bench.spine.state.market.quoted(document)
    except (BookError, MarketError):
        return
    if is_new:
        take(document)


def lived(steps: Iterable[Step], bench: Bench) -> list[Told]:
    """A history, with what was told after each of its entries."""
    found = [told(bench)]
    for step in steps:
        happens(bench, step)
        if bench.spine.state is not found[-1].state:
            found.append(told(bench))
    return found


@given(HISTORIES)
@HALF_AS_MANY
def test_the_desk_that_was_carried_on_says_what_one_made_anew_says(steps: list[Step]) -> None:
    for state, found in lived(steps, bench_of()):
        known = Known(state.book, state.market, state.facts, state.assets, state.held)
        anew = desk_module.opened(known, state.losses, state.recorded_at_ms)
        assert on(anew.sheet) == found
        assert weak_assets(anew) == weak_assets(state.desk)


@given(HISTORIES)
@FEWER
def test_a_restart_after_any_entry_changes_nothing(steps: list[Step]) -> None:
    """The desk is dropped after every entry, and each entry leads to the same events, messages and state."""
    bench = bench_of()
    after = {one.state.entry: one.state for one in lived(steps, bench)}
    state = state_module.first(bench.store.journal)
    for written in bench.store.entries():
        state = state_module.from_bytes(state_module.to_bytes(state))
        assert state.desk is None
        state = repeat(bench.store, state, form.read_entry(written), written.outcome)[1].state
        if state.entry in after:
            assert state_module.to_bytes(state) == state_module.to_bytes(after[state.entry])
    assert state_module.to_bytes(recover(bench.store)) == state_module.to_bytes(bench.spine.state)


@given(HISTORIES, st.lists(st.integers(0, 30), min_size=3, max_size=3))
@FEWER
def test_what_was_said_at_any_moment_can_be_had_again(steps: list[Step], places: list[int]) -> None:
    bench = bench_of()
    found = {one.state.recorded_at_ms: one for one in lived(steps, bench)}
    moments = list(found)
    for recorded_at_ms in {moments[place % len(moments)] for place in places}:
        state, bases = found[recorded_at_ms]
        for facility in state.book.facilities:
            again = base_at(bench.store, facility, recorded_at_ms, recorded_at_ms)
            assert (again.entry, again.base, again.lines) == (state.entry, *bases[facility])
            assert again.base == state.facilities[facility].base


@given(HISTORIES, st.integers(0, 30))
@FEWER
def test_the_base_as_it_stands_is_what_the_journal_folded_anew_says(steps: list[Step], place: int) -> None:
    """To the last ground of a lot, at the end of a history and within it."""
    bench = bench_of()
    found = list({one.state.recorded_at_ms: one.state for one in lived(steps, bench)}.values())
    for state, is_past in ((found[place % len(found)], True), (bench.spine.state, False)):
        for facility in state.book.facilities:
            folded = base_at(bench.store, facility, None, state.recorded_at_ms if is_past else None)
            assert base_now(state, facility).as_json(lots=True) == folded.as_json(lots=True)


@given(SHORTER, st.integers(1, 5_000))
@FEWER
def test_what_is_said_of_a_moment_after_the_last_entry_is_what_a_tick_would_say(
    steps: list[Step], minutes: int
) -> None:
    """A tick that has heard nothing more, though it could have."""
    bench = bench_of()
    lived(steps, bench)
    bench.tick()
    later_ms = bench.clock.at_ms + minutes * MINUTE_MS
    asked = {facility: base_at(bench.store, facility, later_ms, later_ms) for facility in FACILITIES}
    bench.clock.at_ms = later_ms
    bench.tick(heard_until_ms=later_ms)
    assert {facility: (one.base, one.lines) for facility, one in asked.items()} == told(bench).bases


LATER = st.lists(
    st.tuples(
        st.sampled_from([1, 60, 61, 400, 1_500]), st.sampled_from(["measure", "tick"]), *[st.integers(0, 60)] * 2
    ),
    min_size=1,
    max_size=8,
)


def up_to_the_hour(bench: Bench) -> int:
    """The next full hour has come, and it is said so: nothing waits any more, not in a device and not for its time."""
    for asset in ASSETS:
        if bench.waits(asset):
            bench.send(asset)
    bench.clock.at_ms = bench.clock.at_ms // HOUR_MS * HOUR_MS + HOUR_MS
    bench.tick()
    return bench.clock.at_ms


@given(SHORTER, LATER)
@FEWER
def test_what_was_true_then_stays_so_while_nothing_is_learnt_of_it(steps: list[Step], later: list[Step]) -> None:
    bench = bench_of()
    lived(steps, bench)
    hour_ms = up_to_the_hour(bench)
    bases = told(bench).bases
    for step in later:
        happens(bench, step)
    for facility in FACILITIES:
        known_then = base_at(bench.store, facility, hour_ms, hour_ms)
        known_now = base_at(bench.store, facility, hour_ms)
        assert (known_then.base, known_then.lines) == bases[facility]
        assert (known_now.base, known_now.lines) == bases[facility]
    learnt = list(amendments(bench.store, known_then, known_now))
    assert [one for one in learnt if not one.keys().isdisjoint({"amendment", "quotes", "readings"})] == []


@given(SHORTER, SHORTER, st.sampled_from(FACILITIES))
@FEWER
def test_whatever_is_another_base_afterwards_has_an_amendment(
    steps: list[Step], later: list[Step], facility: str
) -> None:
    """Late readings, quotes and amendments of the book: what they make of an earlier moment is told with its reason,
    and the same however often it is asked."""
    bench = bench_of()
    lived(steps, bench)
    bench.clock.at_ms = bench.clock.at_ms // HOUR_MS * HOUR_MS + HOUR_MS
    bench.tick()
    hour_ms = bench.clock.at_ms
    lived(later, bench)
    for asset in ASSETS:
        if bench.waits(asset):
            bench.send(asset)
    then, now = base_at(bench.store, facility, hour_ms, hour_ms), base_at(bench.store, facility, hour_ms)
    found = list(amendments(bench.store, then, now))
    assert (now.base, now.lines) == (then.base, then.lines) or found
    again = base_at(bench.store, facility, hour_ms)
    assert (again.base, again.lines) == (now.base, now.lines)
    assert found == list(amendments(bench.store, then, again))


@given(SHORTER, SHORTER, st.sampled_from([0, 1, 500_000]))
@FEWER
def test_whatever_takes_of_a_lot_has_a_ground_at_any_moment(
    steps: list[Step], later: list[Step], aside_ms: int
) -> None:
    """Just as it was said, by all that was learnt since, and of a moment that is still to come."""
    bench = bench_of()
    moment_ms = lived(steps, bench)[-1].state.recorded_at_ms + aside_ms
    lived(later, bench)
    last_ms = max(bench.spine.state.recorded_at_ms, moment_ms)
    pairs = {(moment_ms, moment_ms), (moment_ms, last_ms), (last_ms + 9 * HOUR_MS,) * 2}
    for facility in FACILITIES:
        for as_of_ms, known_at_ms in pairs:
            found = base_at(bench.store, facility, as_of_ms, known_at_ms)
            for one in found.lines:
                named = {text.partition(":")[0] for text in found.grounds.get(one.id, ())}
                assert named == {*one.ineligible, *(["unvalued"] if one.is_unvalued else [])}


SEEDED: list[Step] = [
    (17, "measure", one, 7 * one) if one % 3 else (400, what, one, 5 * one)
    for one, what in enumerate(["tick", "lot", "keep", "quote", "terms", "send", "tick"] * 6)
]


def test_a_long_history_on_disk_recovers_with_snapshots_and_without(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    bench = bench_of(store)
    found = lived(SEEDED, bench)
    assert len(found) > 30
    whole = state_module.to_bytes(bench.spine.state)
    assert state_module.to_bytes(recover(store)) == whole
    middle = found[len(found) // 2].state
    assert state_module.to_bytes(recover(store, middle.recorded_at_ms)) == state_module.to_bytes(
        [one.state for one in found if one.state.recorded_at_ms == middle.recorded_at_ms][-1]
    )
    again = base_at(store, CAPPED)
    assert (again.base, again.lines) == found[-1].bases[CAPPED]
    assert list(store.snapshots())
    store.close()
    without = _WithoutSnapshots(tmp_path, read_only=True)
    assert state_module.to_bytes(recover(without)) == whole
    without.close()


class _WithoutSnapshots(SqliteStore):
    """A journal of which every snapshot is lost."""

    def snapshots(self) -> Iterator[tuple[int, bytes]]:
        """None."""
        return iter(())


def test_histories_reach_what_they_should() -> None:
    """The laws above say nothing about what never happens: this history has lots that lose by their condition, evidence
    of every age, calls and defaults, and goods without a value."""
    bench = bench_of()
    seen: set[str] = set()
    for state, found in lived(SEEDED, bench):
        seen |= {name for base, _ in found.values() for name in base.ineligible}
        seen |= {one.covenant.cover.name for one in state.facilities.values()}
        seen |= {"unvalued" for base, _ in found.values() if base.unvalued}
        seen |= {f"held {one.state}" for one in state.held.values()}
    assert {one.kind for one in bench.store.entries()} == {"readings", "amendment", "quotation", "tick"}
    assert {"condition_loss", "evidence", "evidence_ageing", "place", "CALLED", "DEFAULT", "CLEAR", "unvalued"} <= seen
    assert {"receipt", "shortfall", "held valid", "held frozen"} <= seen
