"""The borrowing base lot by lot, with `decimal`, as docs/BORROWING_BASE.md says it and nothing else.

It is slow and plain on purpose: one function for each row of each table, each reading like the row. Every amount is a
Decimal in a context of so many digits that products are exact and a quotient lies on the right side of the whole
number that it is rounded to. Prices and rates are read from the market's quotes themselves; crosses and swings are
computed here again, swings with fractions, so that no digit is lost before the one rounding.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from itertools import pairwise
from math import isqrt

from pledgewatch_cloud.decide.collateral.result import STEPS, Base, LotLine
from pledgewatch_cloud.decide.collateral.standing import LotStanding
from pledgewatch_cloud.decide.collateral.terms import CLASSES, DARK, DIMENSIONS, Band, Line, SubLimit, Swing
from pledgewatch_cloud.decide.currencies import EXPONENTS
from pledgewatch_cloud.decide.market import Market, PriceQuote, RateQuote
from pledgewatch_cloud.decide.stretches import NEVER

DAY_MS = 86_400_000
MOST_MINOR = 10**15
_DOWN = Context(prec=100, rounding=ROUND_FLOOR)
_UP = Context(prec=100, rounding=ROUND_CEILING)
_NINE = Context(prec=9, rounding=ROUND_FLOOR)
_ONE = Decimal(1)
_NOTHING = Decimal(0)
_WHOLE = Decimal(10_000)


class NoRateError(Exception):
    """Two currencies between which there is no rate."""


def floor_of(amount: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    """⌊amount × part ÷ whole⌋."""
    return _DOWN.divide(_DOWN.multiply(amount, part), whole).quantize(_ONE, ROUND_FLOOR, _DOWN)


def ceiling_of(amount: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    """⌈amount × part ÷ whole⌉."""
    return _UP.divide(_UP.multiply(amount, part), whole).quantize(_ONE, ROUND_CEILING, _UP)


def total(amounts: Sequence[Decimal]) -> Decimal:
    """The sum, exactly."""
    found = _NOTHING
    for one in amounts:
        found = _DOWN.add(found, one)
    return found


@dataclass
class Case:
    """A lot on its way: what it is worth, what is left of that, and what each step took."""

    line: Line
    lot: LotStanding
    now_ms: int
    lots: int
    quote: PriceQuote | None = None
    rate_days: list[int] = field(default_factory=list)
    value: Decimal = _NOTHING
    left: Decimal = _NOTHING
    is_unvalued: bool = True
    taken: dict[str, Decimal] = field(default_factory=dict)

    def keep(self, name: str, kept: Decimal) -> None:
        """Leaves so much of it; the rest is the ineligible of this name."""
        if kept < self.left:
            self.taken[name] = _DOWN.subtract(self.left, kept)
            self.left = kept

    @property
    def advance_bp(self) -> int:
        """The advance rate of its class."""
        return self.line.policy.advance_bp[CLASSES.index(self.lot.in_class)]

    @property
    def age_days(self) -> int:
        """Whole days since it was received, 0 before; beyond all bounds where that is not known."""
        return max(0, self.now_ms - self.lot.received_ms) // DAY_MS

    @property
    def has_appraisal(self) -> bool:
        """Whether one is in force."""
        return self.lot.nolv_bp >= 0 and self.now_ms < self.lot.nolv_until_ms


# Section 1: value.


def quote_on(market: Market, series: str, day: int) -> PriceQuote | None:
    """The newest quote of a series dated on or before a day."""
    found = None
    for quote in market.prices.get(series, ()):
        if quote.day <= day:
            found = quote
    return found


def rate_on(market: Market, currency: str, day: int) -> RateQuote:
    """The newest rate of a currency to the euro dated on or before a day. Raises NoRateError."""
    found = None
    for quote in market.rates.get(currency, ()):
        if quote.day <= day:
            found = quote
    if found is None or found.digits == 0 or currency not in EXPONENTS:
        raise NoRateError(currency)
    return found


def for_one_euro(market: Market, currency: str, day: int, days: list[int]) -> Decimal:
    """How much of a currency is one euro, in whole units of it; the day of the quote is added to `days`."""
    if currency == "EUR":
        return _ONE
    quote = rate_on(market, currency, day)
    days.append(quote.day)
    return Decimal(quote.digits).scaleb(-quote.scale, _DOWN)


def cross(market: Market, source: str, target: str, day: int, days: list[int]) -> Decimal:
    """The rate from minor unit to minor unit, of nine significant digits. Raises NoRateError."""
    if source == target:
        return _ONE
    above, below = for_one_euro(market, target, day, days), for_one_euro(market, source, day, days)
    return _NINE.divide(above, below).scaleb(EXPONENTS[target] - EXPONENTS[source], _DOWN)


def put_value(case: Case, market: Market) -> None:
    """What the lot is worth, where that can be said."""
    lot, target, day = case.lot, case.line.currency, case.now_ms // DAY_MS
    case.quote = quote_on(market, lot.series, day)
    if case.quote is None:
        return
    quantity = Decimal(lot.quantity)
    try:
        rate = cross(market, case.quote.currency, target, day, case.rate_days)
        amounts = [floor_of(quantity, Decimal(case.quote.price_minor), Decimal(case.quote.per))]
        amounts.append(floor_of(amounts[0], rate, _ONE))
        value = amounts[1]
        if lot.cost_minor >= 0:
            rate = cross(market, lot.cost_currency, target, day, case.rate_days)
            amounts.append(floor_of(quantity, Decimal(lot.cost_minor), Decimal(lot.cost_per)))
            amounts.append(floor_of(amounts[2], rate, _ONE))
            value = min(value, amounts[3])
    except NoRateError:
        return
    if max(amounts) > MOST_MINOR:
        return
    if lot.nolv_bp >= 0:
        value = min(value, floor_of(value, Decimal(lot.nolv_bp), _WHOLE))
    if value <= min(MOST_MINOR, 4 * 10**18 // max(case.lots, 1)):
        case.value = case.left = value
        case.is_unvalued = False


# Section 2: the tests. Each says what is kept.


def _all_unless(keeps: bool, case: Case) -> Decimal:
    return case.left if keeps else _NOTHING


def price_stale(case: Case) -> Decimal:
    """All, where the quote is too old."""
    most = case.line.policy.price_stale_days
    assert case.quote
    return _all_unless(not most or case.now_ms // DAY_MS - case.quote.day <= most, case)


def rate_stale(case: Case) -> Decimal:
    """All, where the older of the rates that were used is too old."""
    most = case.line.policy.rate_stale_days
    return _all_unless(
        not most or not case.rate_days or case.now_ms // DAY_MS - min(case.rate_days) <= most,
        case,
    )


def appraisal(case: Case) -> Decimal:
    """All, where one is asked for and none is in force."""
    return _all_unless(not case.line.policy.appraisal or case.has_appraisal, case)


def receipt(case: Case) -> Decimal:
    """All, where one is asked for and there is none that is valid and has not ended."""
    is_good = case.lot.receipt_state == "valid" and case.now_ms < case.lot.receipt_until_ms
    is_asked = case.line.policy.receipt or case.lot.is_matched
    return _all_unless(not is_asked or is_good, case)


def stock(case: Case) -> Decimal:
    """The share that is not counted; all, where a count is asked for and there is none, or it is too old."""
    policy, lot = case.line.policy, case.lot
    is_counted = lot.counted >= 0
    if policy.stock_count and not is_counted and not lot.is_matched:
        return _NOTHING
    is_told = is_counted or lot.is_matched
    if is_told and policy.count_stale_s and case.now_ms - lot.counted_ms > policy.count_stale_s * 1_000:
        return _NOTHING
    if is_counted and lot.counted < lot.quantity:
        return floor_of(case.left, Decimal(lot.counted), Decimal(lot.quantity))
    return case.left


def shortfall(case: Case) -> Decimal:
    """What of its value is not missing; what is not counted is missing already."""
    there = Decimal(max(0, case.lot.quantity - case.lot.missing))
    if not case.lot.missing:
        return case.left
    return min(case.left, floor_of(case.value, there, Decimal(max(1, case.lot.quantity))))


def evidence_state(case: Case) -> str:
    """fresh, ageing or stale."""
    policy, age_ms = case.line.policy.evidence, case.now_ms - case.lot.evidence_ms
    if not policy.stale_s or age_ms <= policy.fresh_s * 1_000:
        return "fresh"
    if case.lot.evidence_ms == -NEVER:
        return "stale"
    state = "ageing" if age_ms <= policy.stale_s * 1_000 else "stale"
    if case.lot.is_dark and DARK.index(policy.dark) < DARK.index(state):
        return policy.dark
    return state


def evidence(case: Case) -> Decimal:
    """All, where it is stale."""
    return _all_unless(evidence_state(case) != "stale", case)


def place(case: Case) -> Decimal:
    """All, where the goods are not where they may be, or nothing is lent on goods that are there."""
    policy, lot = case.line.policy, case.lot
    is_in = not policy.fences or any(one in policy.fences for one in lot.fences)
    is_of = not policy.countries or lot.country in policy.countries
    return _all_unless(not lot.is_forbidden and is_in and is_of and case.advance_bp > 0, case)


def condition(case: Case) -> Decimal:
    """All, where a breach makes ineligible and one stands."""
    return _all_unless(not (case.line.policy.breach == "ineligible" and case.lot.is_breached), case)


def papers(case: Case) -> Decimal:
    """All, where a kind is missing or has ended."""
    there = [kind for kind, until_ms in case.lot.papers if case.now_ms < until_ms]
    return _all_unless(all(kind in there for kind in case.line.policy.papers), case)


def age(case: Case) -> Decimal:
    """All, where they are too old or end too soon; what has ended is never lent on."""
    policy = case.line.policy
    if policy.age_max_days and case.age_days > policy.age_max_days:
        return _NOTHING
    if case.lot.expires_ms - case.now_ms <= policy.expiry_min_days * DAY_MS:
        return _NOTHING
    return case.left


def slow(case: Case) -> Decimal:
    """What is more than so many days of sales."""
    most_days, sold, quantity = case.line.policy.on_hand_max_days, case.lot.sold_milli_per_day, case.lot.quantity
    if not most_days or sold < 0:
        return case.left
    most = floor_of(Decimal(sold), Decimal(most_days), Decimal(1_000))
    return floor_of(case.left, most, Decimal(quantity)) if most < quantity else case.left


TESTS: tuple[Callable[[Case], Decimal], ...] = (
    price_stale,
    rate_stale,
    appraisal,
    receipt,
    stock,
    shortfall,
    evidence,
    place,
    condition,
    papers,
    age,
    slow,
)


# Section 3: concentration.


def concentrate(cases: Sequence[Case], line: Line) -> None:
    """Cuts the groups that are too great, one dimension after the other."""
    all_of_it = total([case.left for case in cases])
    in_turn = sorted(cases, key=lambda case: (-case.advance_bp, case.lot.id))
    for word, cap_bp in zip(DIMENSIONS, line.policy.cap_bp, strict=True):
        most = floor_of(all_of_it, Decimal(cap_bp), _WHOLE)
        kept: dict[str, Decimal] = {}
        for case in in_turn:
            group = getattr(case.lot, word)
            if group:
                before = kept.get(group, _NOTHING)
                case.keep(f"concentration_{word}", min(case.left, _DOWN.subtract(most, before)))
                kept[group] = _DOWN.add(before, case.left)


# Section 4: haircuts. Each says how many basis points.


def condition_loss(case: Case, market: Market) -> int:
    """What the lot's condition costs."""
    return case.lot.loss_bp


def evidence_ageing(case: Case, market: Market) -> int:
    """Where the evidence is ageing."""
    return case.line.policy.evidence.ageing_bp if evidence_state(case) == "ageing" else 0


def of_bands(bands: Sequence[Band], days: int) -> int:
    """The basis points of the last band that is reached."""
    found = 0
    for band in bands:
        if band.from_days <= days:
            found = band.bp
    return found


def age_haircut(case: Case, market: Market) -> int:
    """By the lot's age."""
    return of_bands(case.line.policy.age_bands, case.age_days)


def sell_through(case: Case, market: Market) -> int:
    """By the days that it takes to sell the lot."""
    sold = case.lot.sold_milli_per_day
    if sold < 0:
        return 0
    days = case.lot.quantity * 1_000 // sold if sold else 1_000_000
    return of_bands(case.line.policy.on_hand_bands, days)


def fx_haircut(case: Case, market: Market) -> int:
    """Where the price is in another currency."""
    assert case.quote
    source, target, swing = case.quote.currency, case.line.currency, case.line.policy.fx
    if source == target:
        return 0
    return rate_swing(market, source, target, case.now_ms // DAY_MS, swing) if swing.window else swing.bp


def volatility(case: Case, market: Market) -> int:
    """For what the price may change."""
    swing = case.line.policy.price
    return price_swing(market, case.lot.series, case.now_ms // DAY_MS, swing) if swing.window else swing.bp


def lot_haircut(case: Case, market: Market) -> int:
    """The lot's own."""
    return case.lot.haircut_bp


HAIRCUTS: tuple[Callable[[Case, Market], int], ...] = (
    condition_loss,
    evidence_ageing,
    age_haircut,
    sell_through,
    fx_haircut,
    volatility,
    lot_haircut,
)


def take_haircuts(case: Case, market: Market) -> None:
    """One after the other."""
    for haircut in HAIRCUTS:
        bp = min(haircut(case, market), 10_000)
        case.keep(haircut.__name__, floor_of(case.left, Decimal(10_000 - bp), _WHOLE))


# Section 6: haircuts from history.


def swing_of(values: Sequence[Fraction], swing: Swing) -> int:
    """⌈s × √horizon_days × z × 10,000⌉, s being the sample standard deviation of the changes between neighbours."""
    values = values[-swing.window :]
    if len(values) < 3:
        return 10_000
    changes = [(after - before) / before for before, after in pairwise(values)]
    mean = sum(changes, Fraction(0)) / len(changes)
    variance = sum(((one - mean) ** 2 for one in changes), Fraction(0)) / (len(changes) - 1)
    square = variance * swing.horizon_days * Fraction(swing.z_milli * 10, 1) ** 2
    root = isqrt(square.numerator // square.denominator)
    return root if root * root == square else root + 1


def price_swing(market: Market, series: str, day: int, swing: Swing) -> int:
    """Of the prices of a series up to a day."""
    quotes = [one for one in market.prices.get(series, ()) if one.day <= day]
    return swing_of([Fraction(one.price_minor, one.per) for one in quotes], swing)


def rate_swing(market: Market, source: str, target: str, day: int, swing: Swing) -> int:
    """Of what one unit of a currency was in another up to a day: on each day that has a rate of both,
    since the currency was last withdrawn."""
    by_day: list[dict[int, Fraction]] = []
    for currency in (target, source):
        found: dict[int, Fraction] = {}
        for one in market.rates.get(currency, ()):
            if one.day <= day and one.digits:
                found[one.day] = Fraction(one.digits, 10**one.scale)
            elif one.day <= day:
                found = {}
        by_day.append(found)
    targets, sources = by_day
    if target == "EUR":
        targets = dict.fromkeys(sources, Fraction(1))
    if source == "EUR":
        sources = dict.fromkeys(targets, Fraction(1))
    days = sorted(set(targets) & set(sources))
    return swing_of([targets[one] / sources[one] for one in days], swing)


# Section 7: from the eligible to the base.


def let_through(
    limit: SubLimit, limits: Sequence[SubLimit], advance: Mapping[str, Decimal], held: dict[str, Decimal]
) -> Decimal:
    """What a sub-limit lets through of its classes' advances and of what those within it let through."""
    own = [advance[one] for one in limit.classes]
    within = [let_through(one, limits, advance, held) for one in limits if one.within == limit.id]
    comes = total([*own, *within])
    passes = min(Decimal(limit.limit_minor), comes)
    held[f"sub_limit_{limit.id}"] = _DOWN.subtract(comes, passes)
    return passes


def ratio(part: Decimal, whole: Decimal, rounded: Callable[[Decimal, Decimal, Decimal], Decimal]) -> int:
    """In basis points; -1 where there is no divisor."""
    return int(rounded(part, _WHOLE, whole)) if whole else -1


def summed_up(line: Line, cases: Sequence[Case], advances: Mapping[str, Decimal]) -> Base:
    """The base of a facility from its lots and what each is lent."""
    policy = line.policy
    advance = {one: total([advances[case.lot.id] for case in cases if case.lot.in_class == one]) for one in CLASSES}
    held: dict[str, Decimal] = {}
    for limit in policy.sub_limits:
        if not limit.within:
            let_through(limit, policy.sub_limits, advance, held)
    eligible = total([case.left for case in cases])
    cut = [case.taken.get(haircut.__name__, _NOTHING) for case in cases for haircut in HAIRCUTS]
    before_haircuts = total([eligible, *cut])
    reserves = {
        one.id: _UP.add(Decimal(one.amount_minor), ceiling_of(before_haircuts, Decimal(one.bp), _WHOLE))
        for one in policy.reserves
    }
    rest = total([*advance.values(), *(-one for one in held.values()), *(-one for one in reserves.values())])
    base = max(_NOTHING, rest)
    outstanding, limit_minor = Decimal(line.outstanding_minor), Decimal(line.limit_minor)
    headroom = _DOWN.subtract(min(base, limit_minor) if limit_minor else base, outstanding)
    ineligible = {name: total([case.taken.get(name, _NOTHING) for case in cases]) for name in STEPS}
    return Base(
        gross_minor=int(total([case.value for case in cases])),
        ineligible={name: int(amount) for name, amount in ineligible.items() if amount},
        eligible_minor=int(eligible),
        advance={one: int(amount) for one, amount in advance.items()},
        held_back={f"sub_limit_{one.id}": int(held[f"sub_limit_{one.id}"]) for one in policy.sub_limits},
        reserves={one: int(amount) for one, amount in reserves.items()},
        base_minor=int(base),
        limit_minor=line.limit_minor,
        outstanding_minor=line.outstanding_minor,
        availability_minor=int(max(_NOTHING, headroom)),
        headroom_minor=int(headroom),
        ltv_bp=ratio(outstanding, eligible, ceiling_of),
        cover_bp=ratio(eligible, outstanding, floor_of),
        lots=len(cases),
        unvalued=sum(case.is_unvalued for case in cases),
    )


def reference(line: Line, lots: Sequence[LotStanding], market: Market, now_ms: int) -> tuple[Base, list[LotLine]]:
    """The base of one facility as of `now_ms` and what became of each of its lots, by id."""
    own = sorted((lot for lot in lots if lot.facility == line.id), key=lambda lot: lot.id)
    cases = [Case(line, lot, now_ms, len(own)) for lot in own]
    for case in cases:
        put_value(case, market)
        if not case.is_unvalued:
            for test in TESTS:
                case.keep(test.__name__, test(case))
    concentrate(cases, line)
    for case in cases:
        if not case.is_unvalued:
            take_haircuts(case, market)
    advances = {case.lot.id: floor_of(case.left, Decimal(case.advance_bp), _WHOLE) for case in cases}
    lines = [
        LotLine(
            id=case.lot.id,
            value_minor=int(case.value),
            ineligible={name: int(case.taken[name]) for name in STEPS if name in case.taken},
            eligible_minor=int(case.left),
            advance_minor=int(advances[case.lot.id]),
            in_class=case.lot.in_class,
            is_unvalued=case.is_unvalued,
        )
        for case in cases
    ]
    return summed_up(line, cases, advances), lines
