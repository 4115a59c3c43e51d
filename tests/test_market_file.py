"""Files of quotes: the central bank's table of rates, plain tables, columns of price tables; every slip by its line."""

import json
from pathlib import Path
from typing import Any

import pytest
from needed import DATA, needs
from test_market import converted, day

from pledgewatch_cloud import market_file
from pledgewatch_cloud.decide import market
from pledgewatch_cloud.decide.market import Market, MarketError, PriceQuote, RateQuote
from pledgewatch_cloud.market_file import MarketFileError, read_market_file, read_price_table

ECB = DATA / "fx-ecb" / "eurofxref-hist.csv"
PRICES = DATA / "prices-commodity"


def file(folder: Path, text: str, name: str = "quotes.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def faults(path: Path, kind: str | None = None) -> list[str]:
    """The faults, without the folder."""
    with pytest.raises(MarketFileError) as caught:
        read_market_file(path, kind)
    return [error.removeprefix(f"{path.parent}/") for error in caught.value.errors]


def of(document: dict[str, Any]) -> Market:
    return market.empty().quoted(document)


# --- the central bank's own history


@pytest.fixture(scope="module")
def rates() -> Market:
    return of(read_market_file(ECB))


@pytest.fixture(scope="module")
def history_document() -> dict[str, Any]:
    """Every rate of the file, also those that a market no longer keeps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(market_file, "QUOTES_KEPT", 10_000)
        return read_market_file(ECB)


def as_of(document: dict[str, Any], on: str) -> Market:
    """The market of a day, from the quotes of the ten days before."""
    return of({"rates": [one for one in document["rates"] if day(on) - 10 <= day(one["date"]) <= day(on)]})


@needs("fx-ecb")
def test_the_history_gives_every_currency_its_newest_rates(rates: Market) -> None:
    assert len(rates.rates) == 41
    assert len(rates.rates["USD"]) == market.QUOTES_KEPT
    assert rates.rate("USD", day("2026-04-20")) == RateQuote(day("2026-04-13"), 11_684, 4)
    assert rates.rate("IDR", day("2026-04-13")) == RateQuote(day("2026-04-13"), 2_008_205, 2)


@needs("fx-ecb")
def test_the_first_day_of_the_euro(history_document: dict[str, Any]) -> None:
    early = as_of(history_document, "1999-01-08")
    assert early.rate("USD", day("1999-01-04")) == RateQuote(day("1999-01-04"), 11_789, 4)
    assert converted(1_000, early.cross("EUR", "USD", day("1999-01-04"))) == 1_178
    assert early.rate("USD", day("1999-01-03")) is None
    assert early.rate("TRL", day("1999-01-04")) == RateQuote(day("1999-01-04"), 372_274, 0)


KNOWN = [
    # amount, from, to, on, amount in minor units, quote of
    # published conversions of 10 units, rounded down to the minor unit
    (1_000, "EUR", "USD", "2013-03-21", 1_291, "2013-03-21"),
    (1_000, "EUR", "USD", "2014-03-28", 1_375, "2014-03-28"),
    (1_000, "USD", "EUR", "2014-03-28", 726, "2014-03-28"),
    (1_000, "EUR", "EUR", "2014-03-28", 1_000, "2014-03-28"),
    # a Sunday has Friday's
    (1_000, "BGN", "EUR", "2010-11-21", 511, "2010-11-19"),
    (1_000, "USD", "EUR", "2019-12-08", 901, "2019-12-06"),
]


@needs("fx-ecb")
@pytest.mark.parametrize(("amount_minor", "source", "target", "on", "expected_minor", "quoted_on"), KNOWN)
def test_known_conversions(
    history_document: dict[str, Any],
    amount_minor: int,
    source: str,
    target: str,
    on: str,
    expected_minor: int,
    quoted_on: str,
) -> None:
    cross = as_of(history_document, on).cross(source, target, day(on))
    assert converted(amount_minor, cross) == expected_minor
    assert cross.day == day(quoted_on)


@needs("fx-ecb")
def test_a_known_conversion_to_nine_digits(history_document: dict[str, Any]) -> None:
    cross = as_of(history_document, "2014-03-28").cross("USD", "EUR", day("2014-03-28"))
    # published: 10 USD are 7.267970055963369… EUR
    assert (cross.mantissa, cross.exponent) == (726_797_005, 9)


WITHDRAWN = {
    "BGN": "2026-01-02",
    "CYP": "2008-01-02",
    "EEK": "2011-01-03",
    "HRK": "2023-01-02",
    "LTL": "2015-01-02",
    "LVL": "2014-01-02",
    "MTL": "2008-01-02",
    "ROL": "2005-07-01",
    "RUB": "2022-03-02",
    "SIT": "2007-01-02",
    "SKK": "2009-01-02",
    "TRL": "2005-01-03",
}


@needs("fx-ecb")
def test_currencies_that_were_given_up_are_withdrawn_and_no_others(rates: Market) -> None:
    found = {
        currency: market.day_text(one.day)
        for currency, quotes in rates.rates.items()
        for one in quotes
        if one.digits == 0
    }
    assert found == WITHDRAWN
    assert rates.cross("BGN", "EUR", day("2026-01-01")).day == day("2025-12-31")
    with pytest.raises(MarketError, match="BGN: withdrawn since 2026-01-02"):
        rates.cross("BGN", "USD", day("2026-04-13"))
    # nine years without a rate, and then again: Iceland's was never withdrawn
    assert rates.cross("EUR", "ISK", day("2026-04-13")).mantissa == 143_200_000


# --- the central bank's form


def test_the_file_of_one_day(tmp_path: Path) -> None:
    path = file(tmp_path, "Date, USD, JPY, BGN, \r\n3 April 2026, 1.1684, 186.75, N/A, \r\n")
    assert read_market_file(path) == {
        "rates": [
            {"currency": "JPY", "date": "2026-04-03", "rate": "186.75"},
            {"currency": "USD", "date": "2026-04-03", "rate": "1.1684"},
        ]
    }


def history(newer: int, *, again: bool = False) -> str:
    """A dollar that is quoted always, a kuna that is quoted once and then not for some days, newest first."""
    days = [market.day_text(day("2026-01-01") + one) for one in range(newer + 1)]
    rows = [f"{one},1.5,N/A," for one in days]
    rows[0] = f"{days[0]},1.5,7.5,"
    if again:
        rows[-1] = f"{days[-1]},1.5,7.6,"
    return "\n".join(["Date,USD,HRK,", *rows[::-1]])


@pytest.mark.parametrize(
    ("text", "withdrawn"),
    [(history(30), ["2026-01-02"]), (history(29), []), (history(30, again=True), []), (history(1), [])],
)
def test_thirty_days_without_a_rate_are_a_withdrawal(tmp_path: Path, text: str, withdrawn: list[str]) -> None:
    document = read_market_file(file(tmp_path, text))
    assert [one["date"] for one in document["rates"] if "withdrawn" in one] == withdrawn


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "Date,USD,JPY,\n2026-01-02,1.5,\n2026-01-03,1.5,150,\n",
            ["quotes.csv:2: 3 columns where the header has 4: each number needs its name"],
        ),
        (
            "Date,USD,\n2026-01-02,1.5,7\n",
            ["quotes.csv:2: '7' stands in a column without a name"],
        ),
        (
            "Date,USD\n02/01/2026,1.5\n2026-01-02,1.5\n2026-01-02,1.6\n",
            [
                "quotes.csv:2: date: '02/01/2026' is not a day, as 2026-01-31",
                "quotes.csv:4: 2026-01-02 comes twice, first in line 3",
            ],
        ),
        (
            "Date,USD\n2026-01-02,n.a.\n2026-01-03,-1\n",
            [
                "quotes.csv:2: rate: 'n.a.' is not a decimal number above 0, as \"5.2047\"",
                "quotes.csv:3: rate: '-1' is not a decimal number above 0, as \"5.2047\"",
            ],
        ),
        (
            "Date,USD,AAA,USD\n2026-01-02,1,2,3\n",
            ["quotes.csv:1: AAA is no currency of ISO 4217", "quotes.csv:1: USD has two columns"],
        ),
    ],
)
def test_a_slip_in_a_table_of_rates_is_told_by_its_line(tmp_path: Path, text: str, told: list[str]) -> None:
    assert faults(file(tmp_path, text)) == told


def test_a_table_that_is_said_to_be_the_banks_must_be(tmp_path: Path) -> None:
    path = file(tmp_path, "date,currency,rate\n2026-01-02,USD,1.5\n")
    assert faults(path, "ecb") == [
        "quotes.csv:1: a header like Date,USD,JPY is needed, currencies by their ISO 4217 codes"
    ]
    assert faults(path, "xls") == ["quotes.csv: 'xls' is no kind of file; there are ecb, csv, json"]


# --- plain tables


NEEDS_A_HEADER = (
    "quotes.csv:1: a header date,series,price,currency (and per) or date,currency,rate is needed; "
    "read one column of a table of prices by its name; separate columns by commas"
)


def test_a_plain_table_of_prices(tmp_path: Path) -> None:
    text = "\ufeffSeries,Date,Price,Currency,Per\nlfp,2026-01-31,5.2047,USD,1000\nlfp,2026-01-30,5,USD,\n"
    assert of(read_market_file(file(tmp_path, text))).prices == {
        "lfp": (PriceQuote(day("2026-01-30"), 500, 1, "USD"), PriceQuote(day("2026-01-31"), 52_047, 100_000, "USD"))
    }


def test_a_plain_table_of_rates(tmp_path: Path) -> None:
    text = "date,currency,rate\n2026-01-31,USD,1.5\n2026-01-30,JPY,150\n2026-02-01,USD,1.6\n"
    document = read_market_file(file(tmp_path, text), "csv", until="2026-01-31")
    assert of(document).rates == {
        "JPY": (RateQuote(day("2026-01-30"), 150, 0),),
        "USD": (RateQuote(day("2026-01-31"), 15, 1),),
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ["quotes.csv: empty; a header with the names of columns is needed"]),
        (
            "Date,Price\n2026-01-31,5\n",
            [NEEDS_A_HEADER],
        ),
        (
            "date;currency;rate\n2026-01-31;USD;1\n",
            [NEEDS_A_HEADER],
        ),
        (
            "date,currency,rate\n\n2026-01-31,USD,1\n2026-01-31,USD,2\n,USD,3\n2026-02-01,USD,\n",
            [
                "quotes.csv:4: USD comes twice on 2026-01-31, first in line 3",
                "quotes.csv:5: date: is missing",
                "quotes.csv:6: rate: is missing",
            ],
        ),
        (
            "date,series,price,currency,per\n2026-01-31,oil,5,USD,many\n",
            ["quotes.csv:2: per: 'many' is not a whole number from 1 to 1000000000"],
        ),
        ('date,currency,rate\n2026-01-31,"USD,1\n', ["quotes.csv:2: no CSV: unexpected end of data"]),
    ],
)
def test_a_slip_in_a_plain_table_is_told_by_its_line(tmp_path: Path, text: str, told: list[str]) -> None:
    assert faults(file(tmp_path, text)) == told


def test_a_file_has_a_most_and_is_utf_8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file(tmp_path, "date,currency,rate\n")
    assert read_market_file(path) == {"rates": []}
    monkeypatch.setattr(market_file, "MAX_FILE_BYTES", 18)
    assert faults(path) == ["quotes.csv: more than 18 bytes: split it"]
    path.write_bytes(b"date,\xff")
    assert faults(path) == ["quotes.csv: not UTF-8 at byte 5: save it as UTF-8"]


def test_a_document_is_taken_as_it_is(tmp_path: Path) -> None:
    document = {"rates": [{"currency": "USD", "date": "2026-01-31", "rate": "1.5"}]}
    path = file(tmp_path, json.dumps(document), "quotes.json")
    assert read_market_file(path) == document
    assert read_market_file(file(tmp_path, json.dumps(document), "quotes.txt"), "json") == document
    with pytest.raises(MarketFileError, match="taken whole"):
        read_market_file(path, until="2026-01-31")
    assert faults(file(tmp_path, "[]", "quotes.json")) == [
        "quotes.json: an object with prices, rates or both is needed"
    ]
    twice = '{"rates": [],\n "rates": []}'
    assert faults(file(tmp_path, twice, "quotes.json")) == ["quotes.json: the key 'rates' comes twice in one object"]


def test_until_must_be_a_day(tmp_path: Path) -> None:
    with pytest.raises(MarketFileError, match="until: 'May' is not a day"):
        read_market_file(file(tmp_path, "date,currency,rate\n"), until="May")


# --- tables of prices


@needs("prices-commodity")
def test_a_daily_price_and_how_old_it_is() -> None:
    brent = of(read_price_table(PRICES / "brent-daily.csv", "Price", "brent", "USD"))
    friday, sunday = brent.price("brent", day("2026-08-14")), brent.price("brent", day("2026-08-16"))
    assert friday == sunday
    last = brent.price("brent", day("2026-09-17"))
    assert last == PriceQuote(day("2026-08-18"), 9_529, 1, "USD")
    assert last is not None
    # with price_stale_days of 30 it is fresh on the thirtieth day after, and stale on the next
    assert [day(on) - last.day > 30 for on in ("2026-09-17", "2026-09-18")] == [False, True]


@needs("prices-commodity")
def test_early_prices_and_their_units() -> None:
    table = PRICES / "brent-daily.csv"
    barrels = of(read_price_table(table, "Price", "brent", "USD", per=1_000, until="1987-05-20"))
    assert barrels.prices == {"brent": (PriceQuote(day("1987-05-20"), 1_863, 1_000, "USD"),)}


@needs("prices-commodity")
def test_the_day_on_which_oil_cost_less_than_nothing_is_told() -> None:
    with pytest.raises(MarketFileError) as caught:
        read_price_table(PRICES / "wti-daily.csv", "Price", "wti", "USD")
    (fault,) = caught.value.errors
    assert "wti-daily.csv:8645: price: '-36.98' is not a decimal number above 0" in fault


@needs("prices-commodity")
def test_a_table_whose_header_is_shorter_than_its_rows_is_not_believed() -> None:
    # in this published file the numbers under Copper are not those of copper
    with pytest.raises(MarketFileError, match="csv:2: 95 columns where the header has 64: each number needs its name"):
        read_price_table(PRICES / "commodity-prices_v2.csv", "Copper", "copper", "USD")


def test_one_column_of_many(tmp_path: Path) -> None:
    path = file(tmp_path, "Date,Copper,Zinc\n2026-01-31,9000.1234567,\n2026-01-30,N/A,2800\n2026-01-29,8999.99,1\n")
    document = read_price_table(path, "Copper", "copper", "USD", decimals=4)
    assert of(document).prices == {
        "copper": (
            PriceQuote(day("2026-01-29"), 899_999, 1, "USD"),
            PriceQuote(day("2026-01-31"), 90_001_234, 100, "USD"),
        )
    }
    assert read_price_table(path, "Copper", "copper", "USD", decimals=0)["prices"][1]["price"] == "9000"
    with pytest.raises(MarketFileError, match=r":1: one column Date and one 'Tin' are needed; there are Date, Copper"):
        read_price_table(path, "Tin", "tin", "USD")


@pytest.mark.parametrize("number", ["1.2345678x", "1.2.3", "0.0000001", "1e5", "٣.٣"])
def test_a_number_that_is_none_is_not_cut_into_one(tmp_path: Path, number: str) -> None:
    path = file(tmp_path, f"Date,Copper\n2026-01-30,1\n2026-01-31,{number}\n")
    with pytest.raises(MarketFileError, match=r"quotes\.csv:3: price: "):
        read_price_table(path, "Copper", "copper", "USD")
