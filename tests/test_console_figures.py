"""The console's arithmetic in a real browser, as tables: what it is given, and what it writes."""

from collections.abc import Iterator
from typing import Any

import pytest
from api_cloud import ApiCloud
from browsing import served
from playwright.sync_api import Browser, Page

from pledgewatch_cloud.decide.currencies import EXPONENTS
from pledgewatch_cloud.decide.money import AMOUNT_MAX_MINOR, Amount


@pytest.fixture(scope="module")
def page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    cloud = ApiCloud(tmp_path_factory.mktemp("cloud"))
    with served(cloud.client.app) as url:
        made = browser.new_page(locale="en-GB")
        made.goto(url)
        yield made
    cloud.close()


def said(page: Page, module: str, name: str, *given: Any) -> Any:
    """What a function of the console answers."""
    call = """async ([module, name, given]) => (await import(`/console/${module}.js`))[name](...given)"""
    return page.evaluate(call, [module, name, given])


def amount(page: Page, minor: int | None, currency: str) -> str:
    """An amount as the console writes it, with plain spaces."""
    return str(said(page, "draw", "money", minor, currency)).replace("\xa0", " ")


@pytest.mark.parametrize(
    ("minor", "currency", "written"),
    [
        (42_000_000, "USD", "USD 420,000.00"),
        (42_000_000, "HUF", "HUF 420,000.00"),
        (42_000_000, "IQD", "IQD 42,000.000"),
        (42_000_000, "KWD", "KWD 42,000.000"),
        (42_000_000, "JPY", "JPY 42,000,000"),
        (42_000_000, "CLF", "CLF 4,200.0000"),
        (5, "USD", "USD 0.05"),
        (0, "USD", "USD 0.00"),
        (-1_234, "EUR", "-EUR 12.34"),
        (None, "USD", "—"),
        (42, "", "42"),
        (42, "QQQ", "QQQ 42"),
        (AMOUNT_MAX_MINOR - 1, "USD", "USD 9,999,999,999,999.99"),
        (2**53 - 1, "USD", "USD 90,071,992,547,409.91"),
    ],
)
def test_an_amount_has_the_decimals_of_its_currency(page: Page, minor: int, currency: str, written: str) -> None:
    assert amount(page, minor, currency) == written


def test_every_currency_that_the_cloud_takes_is_written_with_the_clouds_decimals(page: Page) -> None:
    minor = 123_456_789
    wanted = {one: f"{one} {Amount(minor, digits).text(grouped=True)}" for one, digits in EXPONENTS.items()}
    call = """async ([minor, all]) => {
        const { money } = await import("/console/draw.js");
        return Object.fromEntries(all.map(one => [one, money(minor, one).replaceAll("\\u00a0", " ")]));
    }"""
    assert page.evaluate(call, [minor, list(EXPONENTS)]) == wanted
