"""The market: quotes that count from their day on, rates over the euro, swings from history, corrections."""

import csv
import math
import statistics
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from needed import DATA, needs

from pledgewatch_cloud.decide import canonical, currencies, market
from pledgewatch_cloud.decide.currencies import EXPONENTS, UnknownCurrencyError, exponent
from pledgewatch_cloud.decide.market import Cross, Market, MarketError, PriceQuote, RateQuote
from pledgewatch_cloud.decide.moments import ID, ID_IS


def day(text: str) -> int:
    found = market.day_of(text)
    assert found is not None
    return found


def price(date: str, text: object, currency: str = "USD", series: str = "oil", **more: object) -> dict[str, Any]:
    return {"series": series, "date": date, "price": text, "currency": currency, **more}


def rate(date: str, currency: str, text: object) -> dict[str, Any]:
    return {"currency": currency, "date": date, "rate": text}


def quoted(*, prices: Any = (), rates: Any = (), before: Market | None = None) -> Market:
    return (before or market.empty()).quoted({"prices": list(prices), "rates": list(rates)})


def faults(document: object) -> tuple[str, ...]:
    with pytest.raises(MarketError) as caught:
        market.empty().quoted(document)
    return caught.value.errors


def converted(amount_minor: int, cross: Cross) -> int:
    return int(amount_minor * cross.mantissa // 10**cross.exponent)


# --- currencies


def test_days_are_counted_from_1970() -> None:
    assert [day(text) for text in ("1970-01-01", "1970-01-02", "1999-01-04", "1969-12-31")] == [0, 1, 10_595, -1]
    assert market.day_text(10_595) == "1999-01-04"


@pytest.mark.parametrize(
    ("code", "digits"),
    [("USD", 2), ("JPY", 0), ("KRW", 0), ("ISK", 0), ("KWD", 3), ("TND", 3), ("CLF", 4), ("UYW", 4), ("HRK", 2)],
)
def test_minor_units_have_the_decimals_of_the_standard(code: str, digits: int) -> None:
    assert exponent(code) == digits


@pytest.mark.parametrize("code", ["XAU", "ABC", "usd", "", "EURO"])
def test_what_is_no_money_has_no_minor_unit(code: str) -> None:
    with pytest.raises(UnknownCurrencyError, match="no currency of ISO 4217"):
        exponent(code)


@needs("places-countries")
def test_every_active_currency_of_iso_4217_is_known_with_its_exponent() -> None:
    with (DATA / "places-countries" / "currency-codes-all.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    active = {
        row["AlphabeticCode"]: int(row["MinorUnit"])
        for row in rows
        if not row["WithdrawalDate"] and row["MinorUnit"].isdigit()
    }
    assert len(active) == 165
    withdrawn = {"BGN", "CYP", "EEK", "HRK", "LTL", "LVL", "MTL", "ROL", "SIT", "SKK", "TRL"}
    assert dict(currencies.EXPONENTS) == active | {code: 0 if code == "TRL" else 2 for code in withdrawn}


# --- prices


@pytest.mark.parametrize(
    ("currency", "text", "per", "price_minor", "for_units"),
    [
        ("USD", "5.2047", 1_000, 52_047, 100_000),
        ("USD", "5.20", 1, 520, 1),
        ("USD", "5.2000", 1, 520, 1),
        ("USD", "5", 1, 500, 1),
        ("USD", 5, 1, 500, 1),
        ("USD", "0.001", 1, 1, 10),
        ("JPY", "150", 1, 150, 1),
        ("JPY", "150.5", 1, 1_505, 10),
        ("KWD", "1.234", 1, 1_234, 1),
        ("KWD", "1.2345", 12, 12_345, 120),
        ("CLF", "1.5", 1, 15_000, 1),
        ("USD", "10000000000000", 1, 10**15, 1),
        ("USD", "0.00000000001", 1, 1, 10**9),
    ],
)
def test_a_price_is_whole_minor_units_for_whole_units(
    currency: str, text: object, per: int, price_minor: int, for_units: int
) -> None:
    known = quoted(prices=[price("2026-01-30", text, currency, per=per)])
    assert known.price("oil", day("2026-01-30")) == PriceQuote(day("2026-01-30"), price_minor, for_units, currency)


def test_a_price_counts_from_its_day_until_a_newer_one() -> None:
    known = quoted(prices=[price("2026-02-02", "3"), price("2026-01-30", "2")])
    story = [
        (text, quote and quote.price_minor)
        for text in ("2026-01-29", "2026-01-30", "2026-02-01", "2026-02-02", "2030-01-01")
        for quote in [known.price("oil", day(text))]
    ]
    assert story == [
        ("2026-01-29", None),
        ("2026-01-30", 200),
        ("2026-02-01", 200),
        ("2026-02-02", 300),
        ("2030-01-01", 300),
    ]
    assert known.price("gas", day("2026-02-02")) is None


def test_a_later_document_corrects_a_quote_and_leaves_the_market_before_alone() -> None:
    before = quoted(prices=[price("2026-01-30", "2"), price("2026-02-02", "3")], rates=[rate("2026-01-30", "USD", "1")])
    after = quoted(prices=[price("2026-01-30", "2.5")], rates=[rate("2026-01-30", "USD", "1.25")], before=before)
    assert [one.price_minor for one in after.prices["oil"]] == [250, 300]
    assert after.rates["USD"] == (RateQuote(day("2026-01-30"), 125, 2),)
    assert [one.price_minor for one in before.prices["oil"]] == [200, 300]
    assert before.rates["USD"] == (RateQuote(day("2026-01-30"), 1, 0),)


def test_a_series_keeps_its_newest_quotes() -> None:
    days = [market.day_text(day("2020-01-01") + one) for one in range(market.QUOTES_KEPT + 5)]
    known = quoted(prices=[price(text, "1") for text in days])
    assert len(known.prices["oil"]) == market.QUOTES_KEPT
    assert known.price("oil", day(days[4])) is None
    assert known.price("oil", day(days[5])) is not None
    same = quoted(prices=[price("2019-12-31", "9")], before=known)
    assert same == known


def test_a_series_keeps_to_one_currency() -> None:
    before = quoted(prices=[price("2026-01-30", "2", "HRK")])
    with pytest.raises(MarketError, match=r"prices oil\.currency: EUR and HRK; a series keeps to one"):
        quoted(prices=[price("2026-02-02", "2", "EUR")], before=before)
    assert quoted(prices=[price("2026-01-30", "2", "EUR")], before=before).prices["oil"][0].currency == "EUR"


# --- rates


def test_the_euro_is_always_one() -> None:
    assert market.empty().rate("EUR", 5) == RateQuote(5, 1, 0)
    assert market.empty().rate("USD", 5) is None


@pytest.mark.parametrize(
    ("source", "target", "cross"),
    [
        # 1 EUR = 1.1684 USD = 186.75 JPY = 0.36 KWD; from cent to cent, to yen (no decimals) and to fils (three)
        ("EUR", "USD", (116_840_000, 8)),
        ("USD", "EUR", (855_871_276, 9)),
        ("USD", "JPY", (159_833_960, 8)),
        ("JPY", "USD", (625_649_263, 9)),
        ("USD", "KWD", (308_113_659, 8)),
        ("KWD", "JPY", (518_750_000, 9)),
        ("EUR", "JPY", (186_750_000, 8)),
        ("EUR", "KWD", (360_000_000, 8)),
        ("USD", "USD", (1, 0)),
    ],
)
def test_cross_rates_in_minor_units(source: str, target: str, cross: tuple[int, int]) -> None:
    known = quoted(
        rates=[
            rate("2026-04-13", "USD", "1.1684"),
            rate("2026-04-10", "JPY", "186.75"),
            rate("2026-04-09", "KWD", "0.36"),
        ]
    )
    found = known.cross(source, target, day("2026-04-14"))
    days = {"USD": "2026-04-13", "JPY": "2026-04-10", "KWD": "2026-04-09", "EUR": "2026-04-14"}
    older = "2026-04-14" if source == target else min(days[source], days[target])
    assert found == Cross(*cross, day(older))


def test_a_rate_beyond_nine_digits_has_zeros_behind_them() -> None:
    known = quoted(rates=[rate("2026-01-01", "USD", "0.0000007"), rate("2026-01-01", "VND", "9999999")])
    # 9,999,999 / 0.0000007 dong for a dollar, and a hundredth of it for a cent
    cross = known.cross("USD", "VND", day("2026-01-01"))
    assert cross == Cross(142_857_128 * 10**3, 0, day("2026-01-01"))


@pytest.mark.parametrize("text", ["117890000000", "10000001", "0.00000009"])
def test_a_rate_that_no_currency_has_is_refused(text: str) -> None:
    with pytest.raises(MarketError, match="must lie between 1 / 10,000,000 and 10,000,000"):
        quoted(rates=[rate("2026-01-01", "USD", text)])


def test_what_is_quoted_too_far_ahead_is_refused() -> None:
    document = {"rates": [rate("2026-02-01", "USD", "1.17")], "prices": [price("2026-02-02", "5", series="gas")]}
    assert market.empty().quoted(document, day("2026-02-02")).rates["USD"]
    with pytest.raises(MarketError, match="gas: is quoted for a day after 2026-02-01; send it when"):
        market.empty().quoted(document, day("2026-02-01"))


def test_a_withdrawn_currency_is_an_error_that_says_since_when() -> None:
    known = quoted(
        rates=[
            rate("2022-12-30", "HRK", "7.5365"),
            {"currency": "HRK", "date": "2023-01-02", "withdrawn": True},
            rate("2022-12-30", "USD", "1.0666"),
        ]
    )
    assert known.cross("HRK", "USD", day("2023-01-01")).day == day("2022-12-30")
    for pair in (("HRK", "USD"), ("USD", "HRK"), ("HRK", "EUR")):
        with pytest.raises(MarketError) as caught:
            known.cross(*pair, day("2023-06-01"))
        assert caught.value.errors == ("HRK: withdrawn since 2023-01-02",)
    with pytest.raises(MarketError) as caught:
        known.cross("GBP", "HRK", day("1986-02-02"))
    assert caught.value.errors == (
        "GBP: there is no exchange rate on or before 1986-02-02",
        "HRK: there is no exchange rate on or before 1986-02-02",
    )
    again = quoted(rates=[rate("2024-01-01", "HRK", "7.5")], before=known)
    assert again.cross("EUR", "HRK", day("2024-01-01")).mantissa == 750_000_000


def is_rate(one: tuple[int, int]) -> bool:
    """Whether digits and scale are within what a rate may be."""
    digits, scale = one
    least: int = 10**scale
    return least <= digits * 10**7 <= least * 10**14


RATES = st.tuples(st.integers(1, 10**15), st.integers(0, 15)).filter(is_rate)
CODES = st.sampled_from(sorted(EXPONENTS))


def written(parts: tuple[int, int]) -> str:
    return f"{Decimal(parts[0]).scaleb(-parts[1]):f}"


@given(CODES, CODES, RATES, RATES)
def test_a_cross_rate_is_within_one_unit_of_its_ninth_digit_below_the_exact_one(
    source: str, target: str, one: tuple[int, int], other: tuple[int, int]
) -> None:
    if source == target or "EUR" in (source, target):
        return
    known = quoted(rates=[rate("2026-01-01", source, written(one)), rate("2026-01-01", target, written(other))])
    cross = known.cross(source, target, day("2026-01-01"))
    exact = Fraction(written(other)) / Fraction(written(one)) * Fraction(10) ** (exponent(target) - exponent(source))
    found = Fraction(cross.mantissa, 10**cross.exponent)
    assert cross.exponent >= 0
    unit = 10 ** (len(str(cross.mantissa)) - 9)
    assert unit == 1 or cross.exponent == 0
    assert cross.mantissa % unit == 0
    assert len(str(cross.mantissa)) >= 9
    assert found <= exact < found + Fraction(unit, 10**cross.exponent)
    back = known.cross(target, source, day("2026-01-01"))
    assert found * Fraction(back.mantissa, 10**back.exponent) <= 1


@given(st.integers(0, 10**15), RATES, RATES)
def test_money_that_goes_there_and_back_never_grows(
    amount_minor: int, one: tuple[int, int], other: tuple[int, int]
) -> None:
    known = quoted(rates=[rate("2026-01-01", "USD", written(one)), rate("2026-01-01", "JPY", written(other))])
    there = converted(amount_minor, known.cross("USD", "JPY", day("2026-01-01")))
    assert converted(there, known.cross("JPY", "USD", day("2026-01-01"))) <= amount_minor


# --- swings


def rounded_up_root(square: Fraction) -> int:
    """The least whole number whose square is not below."""
    root = math.isqrt(square.numerator // square.denominator)
    return root if root * root >= square else root + 1


def swing_by_hand(levels: list[Fraction], horizon_days: int, z_milli: int) -> int:
    """The same with exact fractions: σ² × horizon × z², and the root of it by whole numbers."""
    if len(levels) < 3:
        return 10_000
    changes = [after / before - 1 for before, after in pairwise(levels)]
    variance = Fraction(statistics.variance(changes))
    return min(10_000, rounded_up_root(variance * horizon_days * (Fraction(z_milli, 1_000) * 10_000) ** 2))


SWINGS: list[tuple[list[str], int, int, int, int]] = [
    # prices, window, horizon, z, basis points
    # +10%, -10%: mean 0, s² = 0.02; s = 0.141421…
    (["100", "110", "99"], 3, 1, 1_000, 1_415),
    # the same over two days: √(0.02 × 2) = 0.2 exactly, and three quarters of it
    (["100", "110", "99"], 3, 2, 1_000, 2_000),
    (["100", "110", "99"], 3, 2, 750, 1_500),
    # only the last three
    (["1", "5", "100", "110", "99"], 3, 2, 1_000, 2_000),
    # those that are there
    (["100", "110", "99"], 250, 2, 1_000, 2_000),
    # growth that never changes its rate does not swing
    (["100", "110", "121", "133.1"], 4, 10, 2_330, 0),
    (["7", "7", "7"], 3, 10, 2_330, 0),
    # −1/3, −1/2: √(1/72 × 2) = 1/6, times 2.1: exactly 0.35, though a third has no end and 28 digits give a trace more
    (["3", "2", "1"], 3, 2, 2_100, 3_500),
    # +1%, +1%, +4%: mean 2%, s² = 0.0003; √(0.0003 × 12) = 0.06
    (["10000", "10100", "10201", "10609.04"], 4, 12, 1_000, 600),
    # too few
    (["100", "110"], 3, 2, 1_000, 10_000),
    (["100", "110", "99"], 2, 2, 1_000, 10_000),
    (["100", "110", "99"], 0, 2, 1_000, 10_000),
    ([], 3, 2, 1_000, 10_000),
    # and never more than all
    (["1", "9", "1"], 3, 100, 3_000, 10_000),
]


@pytest.mark.parametrize(("texts", "window", "horizon_days", "z_milli", "swing_bp"), SWINGS)
def test_swings_from_history(texts: list[str], window: int, horizon_days: int, z_milli: int, swing_bp: int) -> None:
    days = [market.day_text(one) for one in range(100, 100 + len(texts))]
    known = quoted(
        prices=[price(one, text) for one, text in zip(days, texts, strict=True)],
        rates=[rate(one, "USD", text) for one, text in zip(days, texts, strict=True)],
    )
    assert known.price_swing_bp("oil", 200, window, horizon_days, z_milli) == swing_bp
    assert known.rate_swing_bp("EUR", "USD", 200, window, horizon_days, z_milli) == swing_bp


@given(
    st.lists(st.integers(1, 10**7), min_size=0, max_size=12),
    st.integers(3, 12),
    st.integers(1, 60),
    st.integers(1, 5_000),
)
def test_a_swing_is_what_fractions_say(cents: list[int], window: int, horizon_days: int, z_milli: int) -> None:
    known = quoted(
        prices=[price(market.day_text(place), written((one, 2)), per=1 + place % 3) for place, one in enumerate(cents)]
    )
    levels = [Fraction(one, 1 + place % 3) for place, one in enumerate(cents)][-window:]
    by_hand = swing_by_hand(levels, horizon_days, z_milli)
    assert known.price_swing_bp("oil", 100, window, horizon_days, z_milli) == by_hand


def test_a_swing_knows_nothing_of_later_quotes() -> None:
    quotes = [price(market.day_text(one), text) for one, text in enumerate(["100", "110", "99", "5", "900"])]
    assert quoted(prices=quotes).price_swing_bp("oil", 2, 3, 2, 1_000) == 2_000


def test_a_rate_swings_by_the_days_on_which_both_are_quoted() -> None:
    dollars = {10: "1", 11: "1.1", 12: "2", 13: "1.21", 14: "1.331"}
    yen = {10: "100", 11: "121", 13: "119.79", 15: "7"}
    known = quoted(
        rates=[
            rate(market.day_text(at), code, text)
            for code, texts in (("USD", dollars), ("JPY", yen))
            for at, text in texts.items()
        ]
    )
    # yen for a dollar on the 10th, 11th and 13th: 100, 110, 99; dollars for a yen are their reciprocals
    assert known.rate_swing_bp("USD", "JPY", 20, 250, 2, 1_000) == 2_000
    reciprocals = [Fraction(1, 100), Fraction(1, 110), Fraction(1, 99)]
    assert known.rate_swing_bp("JPY", "USD", 20, 250, 2, 1_000) == swing_by_hand(reciprocals, 2, 1_000) == 2_021
    assert known.rate_swing_bp("USD", "JPY", 12, 250, 2, 1_000) == 10_000
    assert known.rate_swing_bp("USD", "USD", 20, 250, 2, 1_000) == 0
    assert known.rate_swing_bp("USD", "GBP", 20, 250, 2, 1_000) == 10_000


def test_what_was_quoted_before_a_currency_was_withdrawn_is_no_history() -> None:
    quotes = [rate(market.day_text(10 + place), "ISK", text) for place, text in enumerate(["100", "110", "99"])]
    known = quoted(rates=[*quotes, {"currency": "ISK", "date": market.day_text(13), "withdrawn": True}])
    assert known.rate_swing_bp("ISK", "EUR", 12, 3, 2, 1_000) == 2_021
    assert known.rate_swing_bp("ISK", "EUR", 13, 3, 2, 1_000) == 10_000
    assert (
        quoted(rates=[rate(market.day_text(14), "ISK", "98")], before=known).rate_swing_bp(
            "ISK", "EUR", 14, 3, 2, 1_000
        )
        == 10_000
    )


# --- documents


FAULTS: list[tuple[object, str]] = [
    ([], "a document of quotes is a JSON object with prices, rates or both"),
    ({"quotes": []}, "quotes: no such section; there are prices, rates"),
    ({"prices": {}}, "prices: a list is needed"),
    ({"prices": [7]}, "prices[0]: an object is needed, not int"),
    ({"prices": [{"series": "oil", "price": "1", "currency": "USD"}]}, "prices[0].date: is missing"),
    ({"prices": [price("31.01.2026", "1")]}, "prices[0].date: '31.01.2026' is not a day, as 2026-01-31"),
    ({"prices": [price("20260131", "1")]}, "prices[0].date: '20260131' is not a day, as 2026-01-31"),
    ({"prices": [price("2026-02-30", "1")]}, "prices[0].date: '2026-02-30' is not a day, as 2026-01-31"),
    (
        {"prices": [price("2026-01-31T00:00:00Z", "1")]},
        "prices[0].date: '2026-01-31T00:00:00Z' is not a day, as 2026-01-31",
    ),
    (
        {"prices": [price("2026-01-31", 5.2)]},
        'prices[0].price: 5.2 is a binary fraction and not what was quoted: write "5.2", as text',
    ),
    ({"prices": [price("2026-01-31", "0.00")]}, "prices[0].price: '0.00' is not above 0"),
    *(
        (
            {"prices": [price("2026-01-31", bad)]},
            f'prices[0].price: {bad!r} is not a decimal number above 0, as "5.2047"',
        )
        for bad in ("-36.98", -1, "1,5", "1e3", "", ".5", "5.", "007", "٣", True, None, " 1")
    ),
    (
        {"prices": [price("2026-01-31", "1", "ABC")]},
        "prices[0].currency: 'ABC' is no currency of ISO 4217 that has a minor unit",
    ),
    ({"prices": [price("2026-01-31", "1", "usd")]}, "prices[0].currency: 'usd' does not match [A-Z]{3}"),
    (
        {"prices": [price("2026-01-31", "10000000000000.01")]},
        "prices[0].price: has too many digits: 1000000000000001 minor units for 1; at most 10^15 for 10^9",
    ),
    (
        {"prices": [price("2026-01-31", "0.000000000001")]},
        "prices[0].price: has too many digits: 1 minor units for 10000000000; at most 10^15 for 10^9",
    ),
    (
        {"prices": [price("2026-01-31", "1", per=0)]},
        "prices[0].per: 0 is not a whole number from 1 to 1000000000",
    ),
    (
        {"prices": [price("2026-01-31", "1", series="crude oil")]},
        f"prices[0].series: 'crude oil' is no id: {ID_IS}",
    ),
    ({"prices": [price("2026-01-31", "1", unit="bbl")]}, "prices[0].unit: no such key"),
    ({"prices": [price("2026-01-31", "1")] * 2}, "prices[1].date: oil comes twice on 2026-01-31"),
    ({"rates": [rate("2026-01-31", "EUR", "1")]}, "rates[0].currency: the euro is always 1: leave it out"),
    ({"rates": [{"currency": "USD", "date": "2026-01-31"}]}, "rates[0].rate: is missing"),
    (
        {"rates": [{"currency": "USD", "date": "2026-01-31", "withdrawn": False}]},
        "rates[0].withdrawn: False: true, or leave it out",
    ),
    (
        {"rates": [rate("2026-01-31", "USD", "1") | {"withdrawn": True}]},
        "rates[0].rate: no such key",
    ),
    *(
        (
            {"rates": [rate("2026-01-31", "USD", bad)]},
            "rates[0].rate: has too many digits: at most 15 in all, and behind the point",
        )
        for bad in ("1.0000000000000001", "1000000000000000.1")
    ),
]


@pytest.mark.parametrize(("document", "fault"), FAULTS)
def test_a_fault_is_told_with_its_place(document: object, fault: str) -> None:
    assert faults(document) == (fault,)


def test_a_document_is_refused_whole_with_every_fault() -> None:
    before = quoted(prices=[price("2026-01-30", "2")])
    document = {
        "prices": [price("2026-01-31", "3"), price("soon", "3"), price("2026-01-31", "-3", series="gas")],
        "rates": [rate("2026-01-31", "USD", 1.5)],
        "more": 1,
    }
    with pytest.raises(MarketError) as caught:
        before.quoted(document)
    assert [error.partition(":")[0] for error in caught.value.errors] == [
        "more",
        "prices[1].date",
        "prices[2].price",
        "rates[0].rate",
    ]
    assert [one.price_minor for one in before.prices["oil"]] == [200]


def test_a_document_has_a_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(market, "QUOTES_PER_DOCUMENT_MAX", 3)
    three = [price(f"2026-01-0{one}", "1") for one in (1, 2, 3)]
    assert len(quoted(prices=three).prices["oil"]) == 3
    with pytest.raises(MarketError, match="4 quotes; a document has at most 3: split it"):
        quoted(prices=three, rates=[rate("2026-01-01", "USD", "1")])


DAYS = st.integers(-50_000, 50_000)
PRICES = st.builds(PriceQuote, DAYS, st.integers(1, 10**15), st.integers(1, 10**9), st.just(""))
SERIES = st.text("abcXYZ019._:/-", min_size=1, max_size=9).filter(lambda name: bool(ID.fullmatch(name)))


def rate_of(at: int, digits: int, scale: int) -> RateQuote:
    """A rate as documents give it: without zeros at the end of its fraction."""
    while scale and digits % 10 == 0:
        digits, scale = digits // 10, scale - 1
    return RateQuote(at, digits, scale)


def ascending(quotes: list[Any]) -> tuple[Any, ...]:
    by_day = {one.day: one for one in quotes}
    return tuple(by_day[at] for at in sorted(by_day))


MARKETS = st.builds(
    Market,
    st.dictionaries(
        SERIES,
        st.tuples(CODES, st.lists(PRICES, min_size=1, max_size=5)).map(
            lambda of: ascending([one._replace(currency=of[0]) for one in of[1]])
        ),
        max_size=4,
    ),
    st.dictionaries(
        CODES.filter("EUR".__ne__),
        st.lists(
            st.builds(lambda day, one: rate_of(day, *one), DAYS, RATES | st.just((0, 0))), min_size=1, max_size=5
        ).map(ascending),
        max_size=4,
    ),
)


@given(MARKETS)
def test_a_market_is_what_its_document_makes(known: Market) -> None:
    document = market.as_document(known)
    assert market.empty().quoted(document) == known
    shuffled = {name: document[name][::-1] for name in document}
    again = market.as_document(market.empty().quoted(canonical.decode(canonical.encode(shuffled))))
    assert canonical.encode(again) == canonical.encode(document)


def test_the_document_of_a_market_reads_as_prices_are_written() -> None:
    known = quoted(
        prices=[price("2026-01-31", "5.2047", per=1_000), price("2026-01-31", "0.5", "JPY", series="gas")],
        rates=[rate("2026-01-31", "USD", "1.1790"), {"currency": "HRK", "date": "2026-01-31", "withdrawn": True}],
    )
    assert market.as_document(known) == {
        "prices": [
            {"series": "gas", "date": "2026-01-31", "price": "5", "currency": "JPY", "per": 10},
            {"series": "oil", "date": "2026-01-31", "price": "520.47", "currency": "USD", "per": 100_000},
        ],
        "rates": [
            {"currency": "HRK", "date": "2026-01-31", "withdrawn": True},
            {"currency": "USD", "date": "2026-01-31", "rate": "1.179"},
        ],
    }
