"""Facilities with their lots and a market, drawn from dice: small ones for every edge, big ones with every rule on.

What is drawn is good as a rule and at fault now and then, one thing at a time, for a lot that fails every test says
nothing about the later ones. Moments, counts and ages are put on their bounds and one beside them as often as not.
"""

from random import Random
from typing import NamedTuple, TypeVar

import numpy as np
from hypothesis import strategies as st

from pledgewatch_cloud.decide.collateral.standing import LotStanding
from pledgewatch_cloud.decide.collateral.terms import (
    BREACH,
    CLASSES,
    DARK,
    DIMENSIONS,
    RESERVE_KINDS,
    Band,
    EvidencePolicy,
    Line,
    Policy,
    Reserve,
    SubLimit,
    Swing,
)
from pledgewatch_cloud.decide.market import Market, PriceQuote, RateQuote
from pledgewatch_cloud.decide.stretches import NEVER

T = TypeVar("T")
NOW_MS = 1_781_530_631_123  # 2026-06-15T13:37:11.123Z
DAY_MS = 86_400_000
TODAY = NOW_MS // DAY_MS
MOST_MINOR = 10**15
BIG_SERIES = 60
SEEDS = st.integers(0, 2**32)
"""Of dice, for hypothesis: were it to make every throw itself, a portfolio would take it a hundred times as long."""

# Units for one euro, as (digits, scale). Yen and Chilean pesos have no decimals, dinars three.
EUROS_WORTH = {
    "USD": (10_843, 4),
    "JPY": (16_235, 2),
    "KWD": (334_127, 6),
    "GBP": (84_120, 5),
    "CLP": (102_170, 2),
}
NO_LONGER = "HRK"  # its last quote says that it is withdrawn
NEVER_QUOTED = "AUD"
TO_COME, UNKNOWN = "series-to-come", "series-unknown"
CURRENCIES = ("EUR", *EUROS_WORTH)
FENCES = ("rotterdam", "los-angeles", "bonded-hall")
COUNTRIES = ("NL", "US", "CN", "JP")
PAPERS = ("bill_of_lading", "insurance", "origin")


class Portfolio(NamedTuple):
    """What a base is worked out from."""

    lines: tuple[Line, ...]
    lots: tuple[LotStanding, ...]
    market: Market
    now_ms: int = NOW_MS

    def lots_of(self, facility: str) -> list[LotStanding]:
        """The lots of one facility."""
        return [one for one in self.lots if one.facility == facility]


def frozen(value: T) -> T:
    """The same value, no column of which may be written to any more."""
    if isinstance(value, np.ndarray):
        value.flags.writeable = False
    elif isinstance(value, tuple):
        for one in value:
            frozen(one)
    return value


def rarely(dice: Random, often: float = 0.04) -> bool:
    """Now and then."""
    return dice.random() < often


def beside(dice: Random, bound: int, spread: int) -> int:
    """On a bound, right beside it, or well within."""
    return dice.choice((bound, bound + 1, bound - 1, bound - dice.randint(0, spread), bound - dice.randint(0, spread)))


# The market.


def days_of(dice: Random, quotes: int) -> list[int]:
    """Ascending days with week-ends and gaps between, up to today as a rule; now and then tomorrow is among them."""
    day = TODAY - (dice.choice((0, 0, 0, 0, 1, 3, 4)) if dice.random() < 0.9 else dice.choice((5, 6, 30)))
    days = [TODAY + 1] if rarely(dice, 0.1) else []
    for _ in range(quotes):
        days.append(day)
        day -= dice.choice((1, 1, 1, 1, 3, 5))
    return days[::-1]


def rates_of(dice: Random, currency: str, quotes: int) -> tuple[RateQuote, ...]:
    """A currency's rates, a walk around what it was; one has ended, and another may have ended once and begun anew."""
    digits, scale = EUROS_WORTH.get(currency, (75_345, 4))
    found = [
        RateQuote(day, max(1, digits * dice.randint(9_700, 10_300) // 10_000), scale) for day in days_of(dice, quotes)
    ]
    if currency == NO_LONGER:
        found.append(RateQuote(found[-1].day + 1, 0, 0))
    elif rarely(dice):
        place = dice.randrange(len(found))
        found[place] = RateQuote(found[place].day, 0, 0)
    return tuple(found)


def prices_of(dice: Random, currency: str, quotes: int) -> tuple[PriceQuote, ...]:
    """A series' prices; a few are steady, a few change what they are for."""
    price, per, swing = dice.randint(900, 90_000), dice.choice((1, 1, 1, 12, 1_000)), dice.choice((0, 50, 400, 2_500))
    found = []
    for day in days_of(dice, quotes):
        amount = max(1, price * dice.randint(10_000 - swing, 10_000 + swing) // 10_000)
        many = dice.choice((1, 1, 1, 10)) if per == 12 else 1
        found.append(PriceQuote(day, amount * many, per * many, currency))
    return tuple(found)


def market_of(dice: Random, series: int, quotes_most: int) -> Market:
    """A market with so many series that have a quote, most of them in a currency that has a rate, and one to come."""
    rates = {one: rates_of(dice, one, dice.randint(1, quotes_most)) for one in (*EUROS_WORTH, NO_LONGER)}
    prices = {}
    for number in range(series):
        currency = dice.choice(CURRENCIES)
        if rarely(dice):
            currency = dice.choice((NO_LONGER, NEVER_QUOTED))
        prices[f"series-{number}"] = prices_of(dice, currency, dice.randint(1, quotes_most))
    return Market({**prices, TO_COME: (PriceQuote(TODAY + 1, 100, 1, "USD"),)}, rates)


# The terms.


def bands_of(dice: Random) -> tuple[Band, ...]:
    """A ladder of haircuts."""
    days = sorted(dice.sample((0, 5, 30, 31, 60, 90, 120, 365), dice.randint(1, 4)))
    return tuple(Band(one, dice.randint(1, 3_000)) for one in days)


def swing_of(dice: Random, quotes_most: int) -> Swing:
    """A fixed haircut or one from history."""
    if dice.random() < 0.5:
        return Swing(dice.choice((0, 37, 500)))
    return Swing(25, dice.randint(2, quotes_most + 2), dice.choice((1, 5, 10, 30)), dice.choice((500, 1_645, 2_326)))


def sub_limits_of(dice: Random, worth: int) -> tuple[SubLimit, ...]:
    """A tree of sub-limits, parents before and after their children. `worth` is about what there is to limit."""
    classes = list(CLASSES)
    found: list[SubLimit] = []
    dice.shuffle(classes)
    while classes and dice.random() < 0.8:
        some = tuple(classes.pop() for _ in range(dice.randint(1, len(classes))))
        within = dice.choice(("", *(one.id for one in found)))
        found.append(
            SubLimit(
                f"limit-{len(found)}",
                within,
                some,
                dice.choice((worth // 9, worth // 3, worth * 2)) * (not rarely(dice)),
            )
        )
    dice.shuffle(found)
    return tuple(found)


def reserves_of(dice: Random, worth: int) -> tuple[Reserve, ...]:
    """Fixed ones, shares and both."""
    return tuple(
        Reserve(
            f"reserve-{number}", dice.choice(RESERVE_KINDS), dice.choice((0, worth // 90)), dice.choice((0, 1, 150))
        )
        for number in range(dice.randint(0, 3))
    )


def policy_of(dice: Random, often: float, quotes_most: int, worth: int) -> Policy:
    """A policy in which each rule is there so often; 1: all of them."""

    def maybe(rule: T, none: T) -> T:
        return rule if dice.random() < often else none

    fresh_s = dice.choice((600, 3_600))
    evidence = EvidencePolicy(
        dice.choice(("reading", "fix")),
        fresh_s,
        fresh_s * dice.randint(1, 5),
        dice.randint(0, 2_500),
        dice.choice(DARK),
    )
    advance_bp = tuple(0 if rarely(dice) else dice.choice((4_000, 6_500, 6_500, 8_500, 10_000)) for _ in CLASSES)
    caps = tuple(maybe(0 if rarely(dice) else dice.choice((2_000, 4_000, 6_000, 9_000)), 10_000) for _ in DIMENSIONS)
    return Policy(
        "policy",
        maybe(advance_bp, (10_000,) * len(CLASSES)),
        maybe(evidence, EvidencePolicy()),
        maybe(dice.choice((1, 4, 5)), 0),
        maybe(dice.choice((1, 4, 5)), 0),
        maybe(dice.random() < 0.5, False),  # noqa: FBT003
        maybe(dice.random() < 0.5, False),  # noqa: FBT003
        maybe(dice.random() < 0.5, False),  # noqa: FBT003
        maybe(86_400, 0),
        maybe(tuple(dice.sample(FENCES, 2)), ()),
        maybe(tuple(dice.sample(COUNTRIES, 3)), ()),
        maybe(dice.choice(BREACH), "loss"),
        maybe(tuple(dice.sample(PAPERS, dice.randint(1, 2))), ()),
        maybe(dice.choice((120, 365)), 0),
        maybe(dice.choice((10, 30)), 0),
        maybe(bands_of(dice), ()),
        maybe(dice.choice((30, 90)), 0),
        maybe(bands_of(dice), ()),
        maybe(swing_of(dice, quotes_most), Swing()),
        maybe(swing_of(dice, quotes_most), Swing()),
        caps,
        maybe(reserves_of(dice, worth), ()),
        maybe(sub_limits_of(dice, worth), ()),
    )


def all_on(policy: Policy) -> Policy:
    """A policy that asks for everything, with caps that bind in every dimension and something lent on every class."""
    return policy._replace(
        advance_bp=(6_500, 8_500, 5_000, 9_000),
        evidence=EvidencePolicy("reading", 3_600, 7_200, 1_200, "ageing"),
        appraisal=True,
        receipt=True,
        stock_count=True,
        breach="ineligible",
        age_bands=(Band(0, 15), Band(60, 700)),
        on_hand_bands=(Band(0, 9), Band(20, 400)),
        fx=Swing(310) if policy.fx.window == 0 else policy.fx._replace(window=9, horizon_days=5),
        price=Swing(210) if policy.price.window == 0 else policy.price._replace(window=12, horizon_days=1),
        cap_bp=(1_900, 1_750, 2_600, 1_800, 1_450),
    )


def line_of(dice: Random, name: str, policy: Policy, worth: int) -> Line:
    """A facility, drawn to somewhere about its base."""
    return Line(
        name,
        dice.choice(CURRENCIES),
        policy._replace(id=f"{name}-policy"),
        dice.choice((0, worth // 4, worth * 100)),
        dice.choice((0, worth // 5, worth * 3)),
    )


# The lots.


def lot_of(dice: Random, name: str, line: Line, series: int, fault: float) -> LotStanding:
    """A lot that is as its facility asks, but for a fault so often in each thing that is asked."""
    policy = line.policy
    quantity = dice.choice((1, 7, 400, 1_000, dice.randint(1, 20_000)))
    if rarely(dice, fault / 4):
        quantity = 0
    per = dice.choice((1, 1, 12))
    fresh_ms, stale_ms = policy.evidence.fresh_s * 1_000, policy.evidence.stale_s * 1_000
    sold = dice.choice((-1, quantity * 100, quantity * 40 + 1, quantity * 12)) if not rarely(dice, fault) else 0
    received = NOW_MS - beside(dice, dice.choice((0, 30, 60, 90, 120)), 30) * DAY_MS - dice.choice((0, 1, 40_000_000))
    lot = LotStanding(
        name,
        line.id,
        f"sku-{min(dice.randint(0, 9), dice.randint(0, 9))}",
        dice.choice((TO_COME, UNKNOWN)) if rarely(dice, fault / 2) else f"series-{dice.randrange(series)}",
        quantity,
        haircut_bp=dice.choice((0, 0, 250, 10_000 if rarely(dice) else 1)),
        counted=dice.choice((-1 if not policy.stock_count else quantity, quantity, quantity + 3)),
        counted_ms=NOW_MS - dice.choice((0, 86_400_000, dice.randint(0, 86_400_000))),
        receipt_state="valid",
        receipt_until_ms=dice.choice((NEVER, NOW_MS + 1, NOW_MS + DAY_MS)),
        in_class=dice.choice(CLASSES),
        fences=tuple(dice.sample(FENCES, dice.randint(2, 3))),
        evidence_ms=NOW_MS - dice.choice((0, fresh_ms, fresh_ms // 2, fresh_ms + 1, stale_ms)),
        loss_bp=dice.choice((0, 0, 0, 333)),
        papers=tuple((one, dice.choice((NEVER, NOW_MS + 1))) for one in policy.papers),
        received_ms=received,
        expires_ms=dice.choice((NEVER, NOW_MS + 31 * DAY_MS)),
        sold_milli_per_day=sold,
        nolv_bp=dice.choice((10_000, 9_000, 7_777)) if policy.appraisal else dice.choice((-1, 8_000)),
        nolv_until_ms=dice.choice((NEVER, NOW_MS + 1)),
        buyer=dice.choice(("", *(f"buyer-{one}" for one in "abcde"))),
        country=dice.choice(policy.countries or ("", *COUNTRIES)),
        vessel=dice.choice(("", "ever-given", "ever-green", "emma", "tonnerre")),
        warehouse=dice.choice(("", "hall-1", "hall-2", "hall-3", "hall-4", "hall-5")),
    )
    if dice.random() < 0.3:
        cost = dice.choice((dice.randint(500, 60_000) * per, 10**9))
        lot = lot._replace(cost_minor=cost, cost_per=per, cost_currency=dice.choice((line.currency, "JPY", "KWD")))
    return at_fault(dice, lot, policy, fault)


def at_fault(dice: Random, lot: LotStanding, policy: Policy, fault: float) -> LotStanding:
    """The lot with each of its virtues lost so often."""
    stale_ms = policy.evidence.stale_s * 1_000
    faults = (
        lot._replace(counted=dice.randint(0, max(lot.quantity - 1, 0))),
        lot._replace(counted=-1, counted_ms=-NEVER),
        lot._replace(counted_ms=NOW_MS - 86_400_001),
        lot._replace(receipt_state=dice.choice(("", "spent", "disputed"))),
        lot._replace(receipt_until_ms=NOW_MS),
        lot._replace(missing=max(0, beside(dice, lot.quantity, lot.quantity))),
        lot._replace(is_matched=True, counted=-1, counted_ms=-NEVER),
        lot._replace(is_matched=True, counted=-1, counted_ms=NOW_MS - 86_400_000 - dice.randint(0, 1)),
        lot._replace(missing=dice.randint(0, 9), counted=dice.randint(0, max(lot.quantity - 1, 0))),
        lot._replace(evidence_ms=dice.choice((-NEVER, NOW_MS - stale_ms - 1, NOW_MS - stale_ms))),
        lot._replace(evidence_ms=dice.choice((-NEVER, NOW_MS - stale_ms - 1)), is_dark=True),
        lot._replace(is_dark=True),
        lot._replace(is_forbidden=True),
        lot._replace(fences=dice.choice(((), ("los-angeles",)))),
        lot._replace(country=dice.choice(("", "XK"))),
        lot._replace(is_breached=True, loss_bp=dice.choice((0, 1, 2_000, 10_000))),
        lot._replace(papers=lot.papers[1:]),
        lot._replace(papers=tuple((kind, NOW_MS) for kind, _ in lot.papers)),
        lot._replace(received_ms=dice.choice((-NEVER, NOW_MS - 366 * DAY_MS, NOW_MS - 365 * DAY_MS - 1, NOW_MS + 1))),
        lot._replace(expires_ms=NOW_MS + beside(dice, 10, 12) * DAY_MS + dice.choice((-1, 0, 1))),
        lot._replace(sold_milli_per_day=dice.choice((1, lot.quantity * 10))),
        lot._replace(nolv_bp=-1),
        lot._replace(nolv_until_ms=NOW_MS),
        lot._replace(cost_minor=dice.randint(0, 10**6), cost_per=7, cost_currency=dice.choice((NO_LONGER, "GBP"))),
    )
    changed: dict[str, object] = {}
    for one in faults:
        if rarely(dice, fault):
            changed |= {key: value for key, value in one._asdict().items() if value != getattr(lot, key)}
    return lot._replace(**changed)  # type: ignore[arg-type]


# Whole portfolios.


def small_portfolio(dice: Random) -> Portfolio:
    """A few facilities with a few lots each; a rule is there in every other policy. One lot may be worth about as much
    as a lot can be."""
    quotes_most = dice.choice((2, 4, 7))
    series = dice.randint(1, 4)
    market = market_of(dice, series, quotes_most)
    giants = f"giants-{dice.randint(0, 2)}"
    giant = PriceQuote(TODAY, MOST_MINOR // dice.choice((1, 2, 3)), 1, dice.choice(CURRENCIES))
    market = Market({**market.prices, giants: (giant,)}, market.rates)
    fault, often = dice.choice((0.0, 0.03, 0.12)), dice.choice((0.15, 0.5, 0.9))
    lines: list[Line] = []
    lots: list[LotStanding] = []
    for number in range(dice.randint(1, 2)):
        worth = dice.choice((10**5, 10**7))
        line = line_of(dice, f"facility-{number}", policy_of(dice, often, quotes_most, worth), worth)
        lines.append(line)
        for _ in range(dice.randint(0, 9)):
            lot = lot_of(dice, f"lot-{len(lots):02}", line, series, fault)
            if rarely(dice):
                lot = lot._replace(series=giants, quantity=dice.randint(1, 4))
            lots.append(lot)
    dice.shuffle(lots)
    return Portfolio(tuple(lines), tuple(lots), market)


def portfolio(seed: int, lots: int, facilities: int = 4) -> Portfolio:
    """A big one: so many lots over some facilities in as many currencies, with all rules on. Same seed, same lots."""
    dice = Random(seed)
    market = market_of(dice, BIG_SERIES, 30)
    lines = []
    for number, currency in enumerate(dice.sample(CURRENCIES, facilities)):
        worth = lots // facilities * 10**6
        policy = all_on(policy_of(dice, 1.0, 30, worth))
        lines.append(line_of(dice, f"facility-{number}", policy, worth)._replace(currency=currency))
    found = [lot_of(dice, f"lot-{one:06}", dice.choice(lines), BIG_SERIES, 0.02) for one in range(lots)]
    dice.shuffle(found)
    return Portfolio(tuple(lines), tuple(found), market)
