"""The market: what goods were quoted at and what currencies were worth, day by day.

A quote belongs to a UTC calendar day and counts from its day on until a newer one: over a weekend Friday's holds, and
how old it may be is for a facility's policy to say. So every question here carries the day that it is asked for, and
what is dated later has no part in the answer. Quotes come in documents, each taken whole or refused whole with every
fault's place; the quote of a series and day that is there already is replaced, which is how a correction is made.

Exchange rates are the euro's reference rates, units of the currency for one euro; any two currencies are compared over
the euro. A currency that was given up has a last rate, but that rate is worth nothing: it is withdrawn by a quote of
its own, and asking for it from that day on is an error, not an old number.

All is whole numbers. docs/BORROWING_BASE.md says what is computed, docs/MARKET.md how documents are written.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Context, Decimal, localcontext
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

from pledgewatch_cloud.decide.currencies import exponent
from pledgewatch_cloud.decide.item import BookError, Item
from pledgewatch_cloud.decide.moments import short
from pledgewatch_cloud.decide.money import AMOUNT_MAX_MINOR, BASIS_POINTS
from pledgewatch_cloud.decide.sentences import say

EURO = "EUR"
QUOTES_KEPT = 1_000
"""Of each series and each currency, the newest; older ones are in the journal."""
QUOTES_PER_DOCUMENT_MAX = 200_000
AHEAD_MAX_DAYS = 31
"""How far ahead of the day a quote may be dated."""
PER_MAX = 10**9
RATE_DIGITS_MAX = 10**15
RATE_SCALE_MAX = 15
RATE_MAX = 10_000_000
"""Between it and one by it lie all rates to the euro there ever were (the old lira: 1,900,000)."""

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,29})(?:\.([0-9]{1,30}))?")
_SIGNIFICANT = 9
_SWING_QUOTES_MIN = 3
_CONTEXT = Context(prec=28, rounding=ROUND_HALF_EVEN)
# What 28 digits cannot tell from nothing: a true 200 basis points must not become 201 by it.
_NOISE_BP = Decimal("1e-12")


class MarketError(ValueError):
    """What the market cannot take or answer. `errors` holds one sentence for each fault, each naming its place."""

    def __init__(self, errors: Sequence[str]) -> None:
        super().__init__("; ".join(errors[:20]) + (f"; and {len(errors) - 20} more" if len(errors) > 20 else ""))
        self.errors = tuple(errors)


class PriceQuote(NamedTuple):
    """A price on a day, in whole days since 1970-01-01 UTC: `price_minor` minor units for every `per` units."""

    day: int
    price_minor: int
    per: int
    currency: str


class RateQuote(NamedTuple):
    """1 EUR = digits × 10^-scale of the currency, in major units. `digits` 0: the currency was withdrawn that day."""

    day: int
    digits: int
    scale: int


class Cross(NamedTuple):
    """A rate from minor unit to minor unit: amount_to = ⌊amount_from × mantissa ÷ 10^exponent⌋.

    `day`: the older of the days of the two quotes that it rests on.
    """

    mantissa: int
    exponent: int
    day: int


_Quote = TypeVar("_Quote", PriceQuote, RateQuote)


@dataclass(frozen=True, slots=True)
class Market:
    """Quotes by series and rates by currency, each ascending by day, one of a day; never changed, only succeeded."""

    prices: Mapping[str, tuple[PriceQuote, ...]]
    rates: Mapping[str, tuple[RateQuote, ...]]

    def price(self, series: str, day: int) -> PriceQuote | None:
        """The newest quote on or before a day."""
        return _newest(self.prices.get(series, ()), day)

    def only(self, series: str = "", currency: str = "") -> "Market":
        """The quotes of one series and of one currency alone."""
        return Market(
            {series: self.prices[series]} if series in self.prices else {},
            {currency: self.rates[currency]} if currency in self.rates else {},
        )

    def rate(self, currency: str, day: int) -> RateQuote | None:
        """The newest rate on or before a day. The euro's is 1, and of the day that is asked for."""
        return RateQuote(day, 1, 0) if currency == EURO else _newest(self.rates.get(currency, ()), day)

    def cross(self, source: str, target: str, day: int) -> Cross:
        """The rate between two currencies as of a day, over the euro; 1 between equal ones.

        Nine significant digits, rounded down: 10^8 ≤ mantissa < 10^9. Where the rate itself has more than nine digits
        before the point, the exponent is 0 and the mantissa those nine digits with zeros behind. Raises MarketError for
        a currency that has no rate or is withdrawn as of the day.
        """
        if source == target:
            return Cross(1, 0, day)
        errors = [error for one in (source, target) if (error := self._rate_error(one, day))]
        one, other = self.rate(source, day), self.rate(target, day)
        if errors or one is None or other is None:
            raise MarketError(errors)
        above = other.digits * 10 ** (one.scale + exponent(target))
        below = one.digits * 10 ** (other.scale + exponent(source))
        return Cross(*_nine_digits(above, below), min(one.day, other.day))

    def price_swing_bp(self, series: str, day: int, window: int, horizon_days: int, z_milli: int) -> int:
        """How far a price may move within a horizon, by its quotes on or before a day; see `_swing_bp`."""
        quotes = _until(self.prices.get(series, ()), day)[-window:] if window > 0 else ()
        return _price_swing_bp(quotes, horizon_days, z_milli)

    def rate_swing_bp(self, source: str, target: str, day: int, window: int, horizon_days: int, z_milli: int) -> int:
        """The same for the rate between two currencies, by the days on or before `day` on which both have a quote.

        The rates are those quoted, not cut to nine digits. What was quoted before a currency was withdrawn is no
        history of it. Between equal currencies it is 0.
        """
        if source == target:
            return 0
        ones, others = self._since_withdrawn(source, day), self._since_withdrawn(target, day)
        if source == EURO:
            ones = {at: RateQuote(at, 1, 0) for at in others}
        elif target == EURO:
            others = {at: RateQuote(at, 1, 0) for at in ones}
        days = sorted(ones.keys() & others.keys())[-window:] if window > 0 else []
        pairs = [(ones[at], others[at]) for at in days]
        levels = [(other.digits * 10**one.scale, one.digits * 10**other.scale) for one, other in pairs]
        return _swing_bp(levels, horizon_days, z_milli)

    def quoted(self, document: object, until_day: int | None = None) -> "Market":
        """The market after a document of quotes, taken whole. Raises MarketError with every fault's place.

        `until_day`: nothing may be dated after it.
        """
        errors: list[str] = []
        sections = _sections(document, errors)
        prices = _merged(self.prices, _read("prices", sections["prices"], price_quote, errors))
        rates = _merged(self.rates, _read("rates", sections["rates"], rate_quote, errors))
        errors += _mixed(prices)
        if until_day is not None:
            errors += _too_early(prices, until_day) + _too_early(rates, until_day)
        if errors:
            raise MarketError(errors)
        return Market({**self.prices, **prices}, {**self.rates, **rates})

    def _rate_error(self, currency: str, day: int) -> str:
        quote = self.rate(currency, day)
        if quote is None:
            return say("no_rate", currency=currency, day=day_text(day))
        return "" if quote.digits else say("rate_withdrawn", currency=currency, day=day_text(quote.day))

    def _since_withdrawn(self, currency: str, day: int) -> dict[int, RateQuote]:
        found: dict[int, RateQuote] = {}
        for one in _until(self.rates.get(currency, ()), day):
            if one.digits:
                found[one.day] = one
            else:
                found.clear()
        return found


def empty() -> Market:
    """The market before the first quote."""
    return Market({}, {})


def as_document(market: Market) -> dict[str, Any]:
    """The document that makes this market out of the empty one: by series, then by day."""
    prices = [
        {
            "series": series,
            "date": day_text(one.day),
            "price": _decimal_text(one.price_minor, exponent(one.currency)),
            "currency": one.currency,
            "per": one.per,
        }
        for series, quotes in sorted(market.prices.items())
        for one in quotes
    ]
    rates = [
        {"currency": currency, "date": day_text(one.day)}
        | ({"rate": _decimal_text(one.digits, one.scale)} if one.digits else {"withdrawn": True})
        for currency, quotes in sorted(market.rates.items())
        for one in quotes
    ]
    return {"prices": prices, "rates": rates}


def day_text(day: int) -> str:
    """A day as documents write it, from whole days since 1970-01-01."""
    return date.fromordinal(day + _EPOCH_ORDINAL).isoformat()


def day_of(text: str) -> int | None:
    """Whole days since 1970-01-01 of a day like 2026-01-31; None where it is none."""
    try:
        return date.fromisoformat(text).toordinal() - _EPOCH_ORDINAL if _DATE.fullmatch(text) else None
    except ValueError:
        return None


def price_quote(place: str, value: object) -> tuple[str, PriceQuote]:
    """A series and its quote, from an item of `prices`. Raises MarketError.

    Digits beyond the minor unit go into `per`: 5.2047 USD for 1,000 is 52,047 cents for 100,000.
    """
    try:
        item = _QuoteItem(place, value)
        series, day = item.text("series"), item.day("date")
        digits, scale = item.decimal("price")
        currency, per = item.currency("currency"), item.integer("per", 1, PER_MAX, 1)
        item.end()
        beyond = scale - exponent(currency)
        price_minor, per = digits * 10 ** max(0, -beyond), per * 10 ** max(0, beyond)
        if price_minor > AMOUNT_MAX_MINOR or per > PER_MAX:
            text = f"has too many digits: {price_minor} minor units for {per}; at most 10^15 for 10^9"
            raise item.error("price", text)
    except BookError as error:
        raise MarketError(error.errors) from None
    return series, PriceQuote(day, price_minor, per, currency)


def rate_quote(place: str, value: object) -> tuple[str, RateQuote]:
    """A currency and its rate, or its end, from an item of `rates`. Raises MarketError."""
    try:
        item = _QuoteItem(place, value)
        currency, day = item.currency("currency"), item.day("date")
        if currency == EURO:
            raise item.error("currency", "the euro is always 1: leave it out")
        digits, scale = (0, 0) if item.flag("withdrawn") else item.decimal("rate")
        item.end()
        if digits > RATE_DIGITS_MAX or scale > RATE_SCALE_MAX:
            raise item.error("rate", "has too many digits: at most 15 in all, and behind the point")
        if digits and not 10**scale <= digits * RATE_MAX <= RATE_MAX**2 * 10**scale:
            raise item.error("rate", f"is no rate of a currency: it must lie between 1 / {RATE_MAX:,} and {RATE_MAX:,}")
    except BookError as error:
        raise MarketError(error.errors) from None
    return currency, RateQuote(day, digits, scale)


class _QuoteItem(Item):
    """An item of a document of quotes: also days and decimal numbers."""

    def day(self, key: str) -> int:
        """A day, in whole days since 1970-01-01."""
        value = self._take(key)
        day = day_of(value) if isinstance(value, str) else None
        if day is None:
            raise self.error(key, f"{short(value)} is not a day, as 2026-01-31")
        return day

    def decimal(self, key: str) -> tuple[int, int]:
        """Digits and scale of a number above 0: digits × 10^-scale, without zeros at the end of a fraction."""
        value = self._take(key)
        if isinstance(value, float):
            raise self.error(key, f'{value!r} is a binary fraction and not what was quoted: write "{value!r}", as text')
        matched = _DECIMAL.fullmatch(str(value)) if isinstance(value, str | int) else None
        if matched is None:
            raise self.error(key, f'{short(value)} is not a decimal number above 0, as "5.2047"')
        fraction = (matched[2] or "").rstrip("0")
        digits = int(matched[1] + fraction)
        if digits == 0:
            raise self.error(key, f"{short(value)} is not above 0")
        return digits, len(fraction)

    def flag(self, key: str) -> bool:
        """Whether a key is there; it may only be true."""
        if key not in self._left:
            return False
        value = self._take(key)
        if value is not True:
            raise self.error(key, f"{short(value)}: true, or leave it out")
        return True


def _sections(document: object, errors: list[str]) -> dict[str, list[object]]:
    """The two lists of a document; empty where they are none."""
    found: dict[str, list[object]] = {"prices": [], "rates": []}
    if not isinstance(document, dict):
        errors.append("a document of quotes is a JSON object with prices, rates or both")
        return found
    unknown = sorted({str(key) for key in document} - found.keys())
    errors += [f"{key}: no such section; there are prices, rates" for key in unknown]
    for name in found:
        value = document.get(name, [])
        if isinstance(value, list):
            found[name] = value
        else:
            errors.append(f"{name}: a list is needed")
    count = sum(map(len, found.values()))
    if count > QUOTES_PER_DOCUMENT_MAX:
        errors.append(f"{count} quotes; a document has at most {QUOTES_PER_DOCUMENT_MAX}: split it")
        return {"prices": [], "rates": []}
    return found


def _read(
    section: str, items: list[object], reader: Callable[[str, object], tuple[str, _Quote]], errors: list[str]
) -> dict[str, dict[int, _Quote]]:
    """A section's quotes by name and day, with what is wrong with the others added to `errors`."""
    found: dict[str, dict[int, _Quote]] = {}
    for place, one in enumerate(items):
        try:
            name, quote = reader(f"{section}[{place}]", one)
        except MarketError as error:
            errors += error.errors
            continue
        if quote.day in found.setdefault(name, {}):
            errors.append(f"{section}[{place}].date: {name} comes twice on {day_text(quote.day)}")
        found[name][quote.day] = quote
    return found


def _merged(
    before: Mapping[str, tuple[_Quote, ...]], given: Mapping[str, Mapping[int, _Quote]]
) -> dict[str, tuple[_Quote, ...]]:
    """The series that quotes were given of, with them: the newest QUOTES_KEPT of each."""
    after = {}
    for name, quotes in given.items():
        by_day = {one.day: one for one in before.get(name, ())} | dict(quotes)
        after[name] = tuple(by_day[day] for day in sorted(by_day)[-QUOTES_KEPT:])
    return after


def _too_early(quotes: Mapping[str, tuple[_Quote, ...]], until_day: int) -> list[str]:
    """What is quoted for a day that is too far ahead: it would take the place of what counts now."""
    text = f"is quoted for a day after {day_text(until_day)}; send it when its time is nearer"
    return [f"{name}: {text}" for name, some in quotes.items() if some and some[-1].day > until_day]


def _mixed(prices: Mapping[str, tuple[PriceQuote, ...]]) -> list[str]:
    """Series in more than one currency: between two of their quotes there is no relative change."""
    errors = []
    for series, quotes in prices.items():
        currencies = sorted({one.currency for one in quotes})
        if len(currencies) > 1:
            errors.append(f"prices {series}.currency: {' and '.join(currencies)}; a series keeps to one, name another")
    return errors


def _newest(quotes: tuple[_Quote, ...], day: int) -> _Quote | None:
    place = bisect_right(quotes, day, key=lambda one: one.day)
    return quotes[place - 1] if place else None


def _until(quotes: tuple[_Quote, ...], day: int) -> tuple[_Quote, ...]:
    return quotes[: bisect_right(quotes, day, key=lambda one: one.day)]


def _nine_digits(above: int, below: int) -> tuple[int, int]:
    """Mantissa and exponent of a ratio, nine significant digits, rounded down; the exponent never below 0."""
    shift = _SIGNIFICANT - (len(str(above)) - len(str(below)))
    mantissa = _shifted(above, below, shift)
    if mantissa >= 10**_SIGNIFICANT:
        shift -= 1
        mantissa = _shifted(above, below, shift)
    return (mantissa, shift) if shift >= 0 else (mantissa * 10**-shift, 0)


def _shifted(above: int, below: int, shift: int) -> int:
    """⌊above ÷ below × 10^shift⌋."""
    return int(above * 10 ** max(0, shift) // (below * 10 ** max(0, -shift)))


@lru_cache(maxsize=16_384)
def _price_swing_bp(quotes: tuple[PriceQuote, ...], horizon_days: int, z_milli: int) -> int:
    return _swing_bp([(one.price_minor, one.per) for one in quotes], horizon_days, z_milli)


def _swing_bp(levels: Sequence[tuple[int, int]], horizon_days: int, z_milli: int) -> int:
    """Sample standard deviation of the relative changes between neighbours × √horizon × z, in basis points, rounded up.

    `levels` are ratios of whole numbers, oldest first. Fewer than three: 10,000, and never more. Each change is rounded
    once, to 28 digits; what is below 10^-12 basis points at the end is their noise, and is rounded off before.
    """
    if len(levels) < _SWING_QUOTES_MIN:
        return BASIS_POINTS
    with localcontext(_CONTEXT):
        changes = [
            Decimal(above * below_before - above_before * below) / Decimal(above_before * below)
            for (above_before, below_before), (above, below) in pairwise(levels)
        ]
        mean = sum(changes, Decimal(0)) / len(changes)
        variance = sum(((one - mean) ** 2 for one in changes), Decimal(0)) / (len(changes) - 1)
        swing_bp = (variance * horizon_days).sqrt() * z_milli * BASIS_POINTS / 1_000
        if swing_bp >= BASIS_POINTS:
            return BASIS_POINTS
        return int(swing_bp.quantize(_NOISE_BP).to_integral_value(ROUND_CEILING))


def _decimal_text(digits: int, scale: int) -> str:
    """digits × 10^-scale as text, with all of its decimals."""
    padded = str(digits).rjust(scale + 1, "0")
    return f"{padded[:-scale]}.{padded[-scale:]}" if scale else padded
