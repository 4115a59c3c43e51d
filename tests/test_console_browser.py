"""The console in a real browser: each page's main act, who asks, what changes while one looks, and what axe finds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_cloud import TOKEN
from browsing import HOURS, Fleet, chromium, opened, served, turned_to, violations
from builders import NOON_MS, position, temperature
from playwright.sync_api import Browser, Page, expect
from receipting import BANK, FIRST
from seeing import HALL_LOT, USERS, Seeing

LOOKED_AT = ["assets/asset-coral", "facilities/facility-1", "", "alerts"]
MORE = ["lots/lot-coral", "milestones", "devices", "milestones/milestone-amber", "receipts"]
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
MARK = """id => {
    const map = document.querySelector(".map"), box = map.getBoundingClientRect();
    for (let y = box.top + 6; y < box.bottom; y += 8)
        for (let x = box.left + 6; x < box.right; x += 8) {
            const under = document.elementFromPoint(x, y) ?? map;
            under.dispatchEvent(new MouseEvent("mousemove", { clientX: x, clientY: y, bubbles: true }));
            if (map.title === id) return [x, y];
        }
}"""
"""Where on the screen the map tells an asset's name."""
NOT_SEEN = "There is nothing of that name, or it is not yours to see."


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    made = Fleet(tmp_path_factory.mktemp("fleet"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def url(fleet: Fleet) -> Iterator[str]:
    with served(fleet.cloud.client.app) as address:
        yield address


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of its own, which asks nobody else and where nothing goes wrong."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
    made = context.new_page()
    hosts: set[str] = set()
    faults: list[str] = []
    made.on("request", lambda one: hosts.add(one.url.split("/")[2] if "://" in one.url else ""))
    made.on("pageerror", lambda error: faults.append(str(error)))
    made.on("console", lambda one: faults.append(one.text) if "Content Security" in one.text else None)
    yield made
    context.close()
    assert len(hosts) <= 1, hosts
    assert not faults


def test_a_key_is_asked_for_and_kept_for_the_tab_alone(page: Page, url: str) -> None:
    page.goto(url)
    field = page.locator("#key")
    expect(field).to_be_focused()
    assert violations(page) == []
    field.fill("pwk_wrong")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("This key is not known.")).to_be_visible()
    page.locator("#key").fill(TOKEN)
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#who")).to_have_text("keeper")
    assert TOKEN not in page.url
    assert TOKEN not in page.evaluate("JSON.stringify(localStorage) + document.cookie")
    page.get_by_role("button", name="Forget the key").click()
    expect(page.locator("#key")).to_be_visible()


def test_the_overview_finds_an_asset_and_its_mark_on_the_map_opens_it(page: Page, url: str) -> None:
    opened(page, url)
    expect(page.locator("table").last.locator("tbody tr")).to_have_count(5)
    page.get_by_label("Find").fill("ONYX")
    expect(page.get_by_role("link", name="asset-onyx")).to_be_visible()
    expect(page.get_by_role("link", name="asset-amber")).to_have_count(0)
    place = page.evaluate(MARK, "asset-pearl")
    assert place, "its mark tells its name"
    page.mouse.click(*place)
    expect(page.get_by_role("heading", name="Asset asset-pearl")).to_be_visible()
    assert page.url.endswith("#/assets/asset-pearl")


def test_an_asset_shows_its_way_its_temperatures_and_where_nothing_was_read(page: Page, url: str) -> None:
    opened(page, url, "assets/asset-coral")
    chart = page.locator("svg.chart")
    said = chart.get_attribute("aria-label") or ""
    assert "6 beyond a limit; 1 × no readings" in said
    assert chart.locator(".hole").count() == 1
    assert (chart.locator(".stroke").get_attribute("d") or "").count("M") == 2, "the line is open over the gap"
    kinds = page.evaluate(
        """async () => {
            const { asset } = await import("/console/things.js");
            return (await asset.load("asset-amber")).pieces.map(one => [one.kind, one.way.at(-1)[0] > 180]);
        }"""
    )
    assert kinds == [["seen", False], ["dark", True], ["seen", True]], "across the 180th meridian it goes on"


def test_the_two_clocks_show_the_base_of_another_moment(page: Page, url: str) -> None:
    opened(page, url, "facilities/facility-1")
    chart = page.get_by_role("img", name="How the base comes about")
    assert "Base USD 500,000.00; Outstanding USD 420,000.00" in (chart.get_attribute("aria-label") or "").replace(
        "\xa0", " "
    )
    known_at = page.get_by_label("By what was known at")
    with page.expect_response(lambda one: "known_at=" in one.url) as answer:
        known_at.focus()
        known_at.press("Home")
    assert answer.value.status in (200, 422)
    assert page.get_by_label("As of", exact=True).input_value() == "0", "what was only after it nobody knew then"
    with page.expect_response(lambda one: "as_of=" in one.url):
        known_at.press("End")
    expect(page.get_by_text("As of 2026-01-01", exact=False)).to_be_visible()
    page.get_by_role("button", name="Now").click()
    expect(page.get_by_label("As of", exact=True)).to_have_value("1000")


def test_an_alert_is_taken_on(page: Page, url: str) -> None:
    opened(page, url, "alerts")
    page.get_by_label("Your name").fill("Kim")
    page.get_by_role("button", name="Acknowledge").first.click()
    expect(page.get_by_role("cell", name="Kim")).to_be_visible()
    expect(page.get_by_role("cell", name="acknowledged")).to_be_visible()


def test_an_alert_is_commented_on_and_put_aside_until_a_moment(page: Page, url: str) -> None:
    page.clock.set_fixed_time((NOON_MS + HOURS * 3_600_000) / 1_000)
    opened(page, url, "alerts")
    page.get_by_label("Your name").fill("Kim")
    row = page.get_by_role("row").nth(1)
    name = row.get_by_role("rowheader").inner_text()
    row.get_by_text("Comments (0)").click()
    page.get_by_role("button", name=f"Silence {name}").click()
    expect(page.get_by_role("alert")).to_have_text("Write a comment, or why it is silenced.")
    page.get_by_label("Comment, or reason of a silence").fill("The plug was loose.")
    page.get_by_role("button", name=f"Comment {name}").click()
    expect(page.get_by_text("Kim: The plug was loose.")).to_be_visible()
    page.get_by_label("Comment, or reason of a silence").fill("It is mended on Monday.")
    page.get_by_role("button", name=f"Silence {name}").click()
    expect(page.get_by_role("rowheader", name=name)).to_have_count(0)
    page.get_by_label("with silenced ones (1)").check()
    expect(page.get_by_role("rowheader", name=name)).to_be_visible()
    expect(page.get_by_text("It is mended on Monday. (Kim)")).to_be_visible()
    assert violations(page) == []
    page.get_by_label("Comment, or reason of a silence").fill("It is mended.")
    page.get_by_role("button", name=f"Lift the silence {name}").click()
    expect(page.get_by_label("with silenced ones (0)")).to_be_visible()


def test_the_loan_to_value_is_drawn_over_time(page: Page, url: str) -> None:
    opened(page, url, "facilities/facility-1")
    chart = page.get_by_role("img", name="LTV over time")
    told = page.evaluate(
        """async () => {
            const headers = { authorization: `Bearer ${sessionStorage.getItem("key")}` };
            return (await fetch("facilities/facility-1/ltv", { headers })).json();
        }"""
    )
    line = chart.locator(".stroke").get_attribute("d") or ""
    assert line.count("H") == sum(one["ltv_bp"] is not None for one in told["bases"]) > 1
    assert chart.locator(".hole").count() == sum(one["ltv_bp"] is None for one in told["bases"])
    assert chart.locator(".limit").count() == sum(one is not None for one in told["levels"].values())
    assert chart.locator(".breach").count() == len(told["calls"])
    page.locator("summary", has_text="LTV as a table").click()
    expect(page.get_by_role("table", name="LTV as a table")).to_be_visible()


def test_devices_and_milestones_tell_what_they_wait_for(page: Page, url: str) -> None:
    opened(page, url, "devices")
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="amber"))
    expect(row).to_contain_text("no gap")
    opened(page, url, "milestones")
    page.get_by_role("link", name="milestone-amber").click()
    expect(page.get_by_text("has not been seen by a good fix to have entered los-angeles")).to_be_visible()


def test_language_and_light_are_kept(page: Page, url: str) -> None:
    opened(page, url, "alerts")
    page.get_by_role("button", name="中文").click()
    expect(page.get_by_role("heading", name="警报")).to_be_visible()
    page.get_by_role("button", name="深色").click()
    page.reload()
    expect(page.get_by_role("heading", name="警报")).to_be_visible()
    assert page.evaluate("document.documentElement.lang + document.documentElement.dataset.theme") == "zh-Hansdark"
    assert violations(page) == []


def test_what_changes_is_drawn_and_the_focus_stays(page: Page, url: str, fleet: Fleet) -> None:
    page.clock.install()
    opened(page, url, "devices")
    link = page.get_by_role("link", name="asset-jade")
    link.focus()
    device = next(one for one in fleet.devices if one.name == "jade")
    at_ms = NOON_MS + HOURS * 3_600_000
    fleet.cloud.spine.take([device.arrival([device.measure(at_ms, *position((0, 0)), temperature(5_000))])])
    page.clock.run_for(6_000)
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="jade"))
    expect(row).to_contain_text(str(device.sequence))
    expect(page.get_by_role("link", name="asset-jade")).to_be_focused()


def test_a_service_that_is_away_is_waited_for_and_what_is_not_there_is_not(page: Page, url: str) -> None:
    page.clock.install()
    opened(page, url, "receipts/ghost")
    expect(page.get_by_text(NOT_SEEN)).to_be_visible()
    page.locator("#theme").focus()
    page.clock.run_for(6_000)
    expect(page.locator("#theme")).to_be_focused()
    page.route("**/devices", lambda route: route.abort())
    turned_to(page, "devices")
    expect(page.get_by_text("the service does not answer")).to_be_visible()
    page.unroute("**/devices")
    page.clock.run_for(6_000)
    expect(page.get_by_role("heading", name="Devices")).to_be_visible()


def test_a_stream_of_changes_is_followed_from_where_it_broke_off(page: Page, url: str) -> None:
    asked: list[dict[str, str]] = []

    def answer(route: Any) -> None:
        asked.append(route.request.headers)
        route.fulfill(status=200, content_type="text/event-stream", body="id: 41\ndata: {}\n\nid: 42\ndata: {}\n\n")

    page.route("**/live", answer)
    opened(page, url, "devices")
    with page.expect_request(lambda one: one.url.endswith("/devices")):  # which is what a change leads to
        pass
    if len(asked) < 2:
        page.wait_for_event("response", lambda one: one.url.endswith("/live"))
    assert asked[0]["authorization"] == f"Bearer {TOKEN}"
    assert "last-event-id" not in asked[0]
    assert asked[1]["last-event-id"] == "42"


def test_who_lends_sees_lot_and_receipt_and_another_does_not(page: Page, tmp_path: Path) -> None:
    seeing = Seeing(tmp_path)
    seeing.pledge(FIRST, BANK)
    with served(seeing.client.app) as url:
        opened(page, url, f"lots/{HALL_LOT}", USERS["lender-one"].key)
        expect(page.locator("#who")).to_contain_text("lender-one")
        page.get_by_role("link", name=FIRST).click()
        expect(page.get_by_role("heading", name=f"Receipt {FIRST}")).to_be_visible()
        acts = page.locator("ol.trail > li")
        expect(acts).to_have_count(1)  # the pledge: what was before it is not the lender's to see
        acts.first.get_by_text("the act as it was signed").click()
        expect(acts.first.locator("pre")).to_contain_text('"pledgee"')
        assert violations(page) == []
        opened(page, url, f"receipts/{FIRST}", USERS["lender-two"].key)
        expect(page.get_by_text(NOT_SEEN)).to_be_visible()
        opened(page, url, "", USERS["operator-one"].key)
        expect(page.get_by_role("columnheader", name="Base")).to_have_count(0)
    seeing.close()


def test_no_page_has_a_serious_fault_for_who_does_not_see_or_points(browser: Browser, url: str) -> None:
    assert_sound(browser, url, "light", WIDE, [*LOOKED_AT, *MORE])


def test_a_phone_in_the_dark_has_none_of_colours_and_sizes(browser: Browser, url: str) -> None:
    assert_sound(browser, url, "dark", PHONE, LOOKED_AT, "color-contrast", "target-size")


def test_the_page_of_operations_has_none(page: Page, url: str) -> None:
    page.goto(f"{url}/docs")
    expect(page.get_by_role("heading", name="alerts")).to_be_visible()
    assert violations(page) == []


def assert_sound(browser: Browser, url: str, scheme: Any, size: Any, places: list[str], *rules: str) -> None:
    """No page has a fault by these rules, by default by all, and none is wider than the screen."""
    context = browser.new_context(color_scheme=scheme, viewport=size, locale="en-GB")
    page = context.new_page()
    opened(page, url, "receipts")
    for place in places:
        turned_to(page, place)
        assert violations(page, *rules) == [], place
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], f"{place} is wider than its page"
    context.close()
