"""The `revalue` measurement: a million lots on another price and another rate, one reading's news among a hundred
thousand, and twenty shocks over the million.

Every rule is on: stale quotes, receipts, counts, evidence, countries, papers, age, sell-through, five caps of which
some bind, swings of prices and rates from their history, reserves. All of it runs on one core. The baseline is the
decimal reference of the tests (tests/support/reference_base.py), lot by lot, over a part of the same lots; its swings
are worked out once.
"""

import gc
import os
import random
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import reference_base
from builders import NOON_MS, Device, book_document, position, temperature

from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.admission import Fleet, admit
from pledgewatch_cloud.decide.batch import Amendment, Entry, Readings, Tick
from pledgewatch_cloud.decide.collateral import bases, desk, stress
from pledgewatch_cloud.decide.collateral import sheet as sheet_module
from pledgewatch_cloud.decide.collateral.desk import Known
from pledgewatch_cloud.decide.collateral.goods import DAY_MS, goods_of
from pledgewatch_cloud.decide.collateral.quotes import quotes_of
from pledgewatch_cloud.decide.collateral.result import Base
from pledgewatch_cloud.decide.collateral.sheet import Sheet
from pledgewatch_cloud.decide.collateral.standing import LotStanding
from pledgewatch_cloud.decide.collateral.stress import Shock
from pledgewatch_cloud.decide.collateral.terms import CLASSES, Band, EvidencePolicy, Line, Policy, Reserve, Swing
from pledgewatch_cloud.decide.market import Market, PriceQuote, RateQuote
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.decide.step import NO_ADMISSION, prepare, step

LOTS = 1_000_000
LINES = 100
SERIES = 500
REFERENCE_LOTS = 20_000
INCREMENTAL_LOTS = 100_000
INCREMENTAL_ASSETS = 10_000
RUNS = 7
DAY = NOON_MS // DAY_MS
POLICY = Policy(
    "all",
    advance_bp=(5_000, 6_000, 6_500, 7_000),
    evidence=EvidencePolicy("reading", 14_400, 86_400, 500, "ageing"),
    price_stale_days=5,
    rate_stale_days=5,
    receipt=True,
    stock_count=True,
    count_stale_s=7 * 86_400,
    countries=("US", "DE"),
    papers=("insurance",),
    age_max_days=365,
    expiry_min_days=10,
    age_bands=(Band(90, 500), Band(180, 1_500)),
    on_hand_max_days=400,
    on_hand_bands=(Band(60, 200),),
    fx=Swing(0, 60, 10, 2_330),
    price=Swing(0, 60, 10, 2_330),
    cap_bp=(1_000, 2_500, 9_500, 500, 3_000),
    reserves=(Reserve("rent", "rent", 100_000, 50),),
)


def revalue() -> list[dict[str, Any]]:
    """The rows of price, rate, one reading and stress."""
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(everywhere)})
    try:
        return [*_million(), *_one_reading()]
    finally:
        os.sched_setaffinity(0, everywhere)


def _million() -> list[dict[str, Any]]:
    dice = random.Random(1)
    market = _market(dice)
    lines = [Line(f"f{one:04}", ("USD", "CNY", "EUR")[one % 3], POLICY, 10**14, 10**12) for one in range(LINES)]
    lots = [_lot(dice, number) for number in range(LOTS)]
    plain = _by_reference(lines, lots[:REFERENCE_LOTS], market) / REFERENCE_LOTS * LOTS
    sheet = sheet_module.revalued(goods_of(lines, lots), market, NOON_MS)
    lots.clear()
    gc.collect()
    gc.freeze()
    other_price = Market(
        {**market.prices, "s0": (*market.prices["s0"][:-1], PriceQuote(DAY, 999, 1, "USD"))}, market.rates
    )
    other_rate = Market(market.prices, {**market.rates, "CNY": (*market.rates["CNY"][:-1], RateQuote(DAY, 77_777, 4))})
    rows = []
    for name, other in (("revalue-price", other_price), ("revalue-rate", other_rate)):
        runs = _seconds(partial(_revalued, sheet, other), RUNS)
        value = statistics.median(runs)
        unit = f"ms, {LOTS:,} lots of {LINES} facilities on one core; baseline: decimal, lot by lot"
        rows.append(_row(name, 1_000 * value, unit, [1_000 * one for one in runs], 1_000 * plain, plain / value))
    shocks = [
        Shock(f"shock-{one}", -500 * (one % 8), {}, {"CNY": 100 * one}, {"vessel": (f"v{one}",)}) for one in range(20)
    ]
    runs = _seconds(lambda: list(stress.stressed(sheet, shocks, {})), 3)
    rows.append(_row("stress", statistics.median(runs), f"s, 20 shocks over {LOTS:,} lots", runs))
    return rows


def _revalued(sheet: Sheet, market: Market) -> None:
    """What a quote leads to: every lot anew, and every facility's base."""
    quotes = quotes_of(sheet.goods, market, DAY)
    after = sheet_module.repriced(sheet, quotes, DAY)
    for line in after.goods.lines:
        bases.base_of(after, line.id)


def _by_reference(lines: list[Line], lots: list[LotStanding], market: Market) -> float:
    """How many seconds the reference takes."""
    known = reference_base.price_swing, reference_base.rate_swing
    reference_base.price_swing = _once(known[0])
    reference_base.rate_swing = _once(known[1])
    began_s = time.perf_counter()
    for line in lines:
        reference_base.reference(line, [one for one in lots if one.facility == line.id], market, NOON_MS)
    took_s = time.perf_counter() - began_s
    reference_base.price_swing, reference_base.rate_swing = known
    return took_s


def _once(swing: Callable[..., int]) -> Callable[..., int]:
    """The same, asked once for each series or pair and day."""
    known: dict[tuple[Any, ...], int] = {}

    def asked(market: Market, *about: Any) -> int:
        if about not in known:
            known[about] = swing(market, *about)
        return known[about]

    return asked


def _one_reading() -> list[dict[str, Any]]:
    """One payload of one reading whose asset was silent too long, so that its lots count again: a whole step for it,
    and of that the desk and the base alone."""
    device = Device()
    state = _lending_state(device)
    at_ms = NOON_MS + 2 * DAY_MS
    gc.collect()
    gc.freeze()
    reading = device.measure(at_ms, *position((330_000_000, -1_180_000_000)), temperature(5_000))
    admission = admit(state.devices, Fleet(state.book.installations, state.identities), [device.arrival([reading])], {})
    entry = Entry(state.entry + 1, at_ms, Readings(admission.accepted))
    said: list[int] = []

    def decide() -> State:
        outcome = step(state, prepare(state, entry, admission), {})
        said.append(sum(one.event.type == "base_recomputed" for one in outcome.events))
        return outcome.state

    after = decide()
    was, known = (Known(one.book, one.market, one.facts, one.assets, one.held) for one in (state, after))
    (facility,) = state.book.facilities
    told = after.facilities[facility].base
    found: list[Base] = []

    def follow() -> None:
        assert state.desk is not None
        followed, _ = desk.follow(state.desk, was, known, (), admission.readings.devices, at_ms)
        found.append(bases.base_of(followed.sheet, facility))

    steps, bases_alone = _seconds(decide, 15), _seconds(follow, 15)
    assert set(said) == {1}, "the reading was no news"
    assert all(one == told for one in found), "the desk alone comes to another base"
    unit = f"one reading's news at {INCREMENTAL_LOTS:,} lots of one facility"
    rows = (
        ("one-reading", "ms, a whole step with", steps),
        ("one-reading-base", "ms, the base alone after", bases_alone),
    )
    return [
        _row(name, 1_000 * statistics.median(runs), f"{what} {unit}", [1_000 * one for one in runs])
        for name, what, runs in rows
    ]


def _lending_state(device: Device) -> State:
    document = book_document(device)
    asset, lot = f"asset-{device.name}", document["lots"][0]
    document["assets"] = [{"id": f"a{one}", "kind": "warehouse"} for one in range(1, INCREMENTAL_ASSETS)]
    document["prices"] = [{"sku": f"k{one}", "unit_price_minor": 900 + one, "currency": "USD"} for one in range(SERIES)]
    document["milestones"] = []
    lots_each = INCREMENTAL_LOTS // INCREMENTAL_ASSETS
    document["policies"] = [
        {
            "id": "asked",
            "advance_bp": {"in_transit": 5_000, "at_port": 6_000, "bonded": 6_500, "warehouse": 7_000},
            "evidence": {"fresh_s": 14_400, "stale_s": 86_400, "ageing_bp": 500},
            "cap_bp": {"sku": 1_000, "buyer": 2_500},
            "reserves": [{"id": "rent", "kind": "rent", "bp": 50, "amount_minor": 0}],
        }
    ]
    document["facilities"][0]["policy"] = "asked"
    places = [asset, *(f"a{one}" for one in range(1, INCREMENTAL_ASSETS))]
    document["lots"] = [
        {**lot, "id": f"l{number:06}", "asset": place, "sku": f"k{number % SERIES}", "quantity": 100 + number % 50}
        | {"buyer": f"b{number % 30}", "limits": []}
        for number, place in enumerate(place for place in places for _ in range(lots_each))
    ]
    state = state_module.first("bench")
    for entry in (Entry(1, NOON_MS, Amendment(document)), Entry(2, NOON_MS + 2 * DAY_MS - 1_000, Tick(NOON_MS))):
        state = step(state, prepare(state, entry, NO_ADMISSION), {}).state
    return state


def _market(dice: random.Random) -> Market:
    prices = {}
    for number in range(SERIES):
        price, currency = dice.randrange(500, 100_000), ("USD", "EUR", "CNY")[number % 3] if number else "USD"
        prices[f"s{number}"] = tuple(
            PriceQuote(DAY - 90 + day, price + dice.randrange(price // 20), 1 if number % 4 else 100, currency)
            for day in range(91)
        )
    rates = {
        currency: tuple(RateQuote(DAY - 90 + day, digits + dice.randrange(digits // 50), 4) for day in range(91))
        for currency, digits in (("USD", 11_700), ("CNY", 78_000))
    }
    return Market(prices, rates)


def _lot(dice: random.Random, number: int) -> LotStanding:
    quantity = 100 + dice.randrange(900)
    return LotStanding(
        f"l{number:07}",
        f"f{number % LINES:04}",
        f"k{number // LINES % 300}",
        f"s{number % SERIES}",
        quantity,
        haircut_bp=dice.choice((0, 0, 100)),
        cost_minor=dice.randrange(500, 100_000),
        cost_currency=("CNY", "USD")[number % 2],
        counted=quantity - (number % 50 == 0),
        counted_ms=NOON_MS - 3_600_000,
        receipt_state="valid" if number % 40 else "",
        in_class=CLASSES[dice.randrange(4)],
        evidence_ms=NOON_MS - dice.randrange(100_000_000),
        papers=(("insurance", NOON_MS + 10**9),),
        received_ms=NOON_MS - dice.randrange(380) * DAY_MS,
        sold_milli_per_day=10_000 if number % 3 else -1,
        buyer=f"b{number // LINES % 40}",
        country="CN" if number % 31 == 0 else "US",
        vessel=f"v{number // LINES % 150}",
        warehouse=f"w{number // LINES % 20}",
        loss_bp=200 if number % 97 == 0 else 0,
    )


def _seconds(work: Callable[[], object], runs: int) -> list[float]:
    found = []
    for _ in range(runs):
        began_s = time.perf_counter()
        work()
        found.append(time.perf_counter() - began_s)
    return found


def _row(
    name: str, value: float, unit: str, runs: list[float], baseline: float | None = None, ratio: float | None = None
) -> dict[str, Any]:
    return {
        "name": name,
        "value": round(value, 2),
        "unit": unit,
        "baseline": None if baseline is None else round(baseline, 1),
        "ratio": None if ratio is None else round(ratio, 1),
        "runs": [round(one, 2) for one in runs],
    }
