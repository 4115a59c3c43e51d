"""A console that is open all day: in many windows, behind others, with a key that ends, over another journal, under
hands that click twice and a clock that is wrong."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from api_cloud import TOKEN, shown
from browsing import Fleet, has_become, opened, turned_to, violations
from playwright.sync_api import Browser, Page, Route, expect
from seeing import USERS

from pledgewatch_cloud.decide.moments import iso

FACILITY = "facilities/facility-1"
SEEN_AS = """state => {
    for (const [name, value] of [["hidden", state === "hidden"], ["visibilityState", state]])
        Object.defineProperty(document, name, { value, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""
"""A page without a window is never behind another by itself."""


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page of its own, where no script fails."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale=getattr(request, "param", "en-GB"))
    made = context.new_page()
    faults: list[str] = []
    made.on("pageerror", lambda error: faults.append(str(error)))
    yield made
    context.close()
    assert not faults


def asked_of(page: Page, path: str) -> list[dict[str, str]]:
    """The headers of whatever is asked of a path from now on."""
    found: list[dict[str, str]] = []
    page.on("request", lambda one: found.append(one.headers) if one.url.endswith(path) else None)
    return found


def test_seven_windows_of_one_browser_are_drawn_and_turn_their_pages(browser: Browser, url: str) -> None:
    """A browser has six connections to a host for all its windows, and a stream takes one for good."""
    context = browser.new_context(locale="en-GB")
    pages = [context.new_page() for _ in range(7)]
    for one in pages:
        opened(one, url, FACILITY)
    for one in pages:
        expect(one.locator("#status")).not_to_contain_text("connecting")
    live = [one for one in pages if (one.locator("#status").text_content() or "").startswith("live")]
    assert len(live) == 4
    turned_to(live[0], "alerts")
    expect(live[0].get_by_role("heading", name="Alerts", level=1)).to_be_visible()
    live[0].close()
    others = [one for one in pages if one not in live]
    has_become(others[0], lambda: any((one.locator("#status").text_content() or "")[:4] == "live" for one in others))
    context.close()


def test_a_page_that_nobody_sees_gives_its_stream_up_and_goes_on_from_where_it_was(
    page: Page, url: str, fleet: Fleet
) -> None:
    asked = asked_of(page, "/live")
    opened(page, url, "devices")
    expect(page.locator("#status")).to_contain_text("live")
    with page.expect_event("requestfailed", lambda one: one.url.endswith("/live")):
        page.evaluate(SEEN_AS, "hidden")
    page.wait_for_timeout(2_500)
    assert len(asked) == 1, "nothing is asked for while nobody looks"
    stood = fleet.cloud.spine.state.entry
    (alert, *_) = fleet.cloud.client.get("/alerts", headers=shown(TOKEN)).json()
    say = {"by": "another desk", "text": "seen"}
    path = f"/alerts/{alert['id']}/comments"
    assert fleet.cloud.client.post(path, json=say, headers=shown(TOKEN)).status_code == 200
    page.evaluate(SEEN_AS, "visible")
    has_become(page, lambda: len(asked) == 2)
    assert asked[1]["last-event-id"].partition(".")[0] == str(stood)
    expect(page.locator("#status")).to_contain_text("live")


def test_escape_answers_no_question_for_a_key_however_often(page: Page, url: str) -> None:
    page.goto(url)
    field = page.locator("#key")
    expect(field).to_be_focused()
    field.fill(TOKEN)
    for _ in range(4):
        page.keyboard.press("Escape")
        page.wait_for_timeout(100)
        expect(page.get_by_role("dialog")).to_be_visible()
        expect(field).to_be_focused()
    assert violations(page) == []
    page.keyboard.press("Enter")
    expect(page.locator("#who")).to_have_text("keeper")
    expect(page.get_by_role("dialog")).to_have_count(0)


@pytest.mark.parametrize(
    ("page", "said"),
    [("en-GB", "Nothing is shown until you say who you are."), ("zh-CN", "确认您的身份之前不显示任何内容。")],
    indirect=["page"],
)
def test_of_who_is_let_in_no_more_nothing_stays_on_the_screen(page: Page, url: str, fleet: Fleet, said: str) -> None:
    lender = USERS["lender-one"]
    until = iso(fleet.cloud.clock.at_ms + 60_000)
    user = {**lender.user, "party": "bank", "keys": [{**lender.user["keys"][0], "until": until}]}
    answer = fleet.cloud.client.post("/book/amendments", json={"users": [user]}, headers=shown(TOKEN))
    assert answer.status_code == 200
    opened(page, url, FACILITY, lender.key)
    expect(page.locator("main")).to_contain_text("USD")
    expect(page.locator("#who")).to_contain_text("lender-one")
    fleet.cloud.clock.at_ms += 120_000
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.locator("#status")).to_have_text(said)
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url))
    for _ in range(2):
        page.keyboard.press("Escape")
    page.wait_for_timeout(6_000)
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.locator("main")).not_to_contain_text("USD")
    expect(page.locator("main")).to_contain_text(said)
    expect(page.locator("#who")).to_have_text("")
    expect(page.locator("#status")).to_have_text(said)
    assert asked == [], "a key that opens nothing is shown no more"
    assert violations(page) == []
    page.locator("#key").fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_contain_text("USD")
    expect(page.locator("#status")).not_to_have_text(said)


@pytest.mark.parametrize(("off_s", "hours"), [(180, 720), (-7_200, 1), (0, 72)])
def test_a_silence_is_as_long_as_was_chosen_whatever_the_browser_s_clock_says(
    page: Page, url: str, fleet: Fleet, off_s: int, hours: int
) -> None:
    page.clock.set_fixed_time(fleet.cloud.clock.at_ms / 1_000 + off_s)
    opened(page, url, "alerts")
    name, row = commenting(page, "The probe is replaced on Monday.")
    row.get_by_role("combobox").select_option(str(hours))
    row.get_by_role("button", name="Silence").click()
    expect(page.get_by_role("rowheader", name=name)).to_have_count(0)
    assert alert_of(fleet, name)["silence"]["until_ms"] == fleet.cloud.clock.at_ms + hours * 3_600_000
    lifted = {"by": "desk", "why": "looked at"}
    assert fleet.cloud.client.post(f"/alerts/{name}/silence", json=lifted, headers=shown(TOKEN)).status_code == 200


def test_a_slip_in_the_year_is_no_moment_and_no_end_of_the_page(page: Page, url: str) -> None:
    opened(page, url, FACILITY)
    field = page.get_by_label("As of: exact moment, UTC")
    field.focus()
    for keys in ("01", "05", "20266"):
        page.keyboard.type(keys)
    assert "20266" not in field.evaluate("one => one.value + one.validity.valid")
    assert field.get_attribute("max") == "9999-12-31T23:59:59"
    field.evaluate("one => { one.value = '20266-05-01T10:00:00'; one.dispatchEvent(new Event('change')); one.blur(); }")
    expect(page.locator("output[for=as_of]")).to_contain_text("Now")
    with page.expect_response(lambda one: one.url.endswith(f"/{FACILITY}")):
        pass  # it asks again, and draws
    page.wait_for_timeout(300)
    expect(page.locator("#status")).to_contain_text("changed at")


@pytest.mark.parametrize(
    ("locale", "fault", "lost"),
    [("en-GB", "this page has a fault: ", "the service does not answer: "), ("zh-CN", "此页面有错误", "服务无响应")],
)
def test_a_fault_of_the_page_is_not_told_as_an_absent_service(
    browser: Browser, url: str, locale: str, fault: str, lost: str
) -> None:
    page = browser.new_context(locale=locale).new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    opened(page, url, "devices")
    page.route("**/devices?*", lambda route: route.fulfill(json=[{"device": "x"}]))
    expect(page.locator("#status")).to_contain_text(fault)
    assert faults, "whoever looks after the page finds where it is"
    page.unroute("**/devices?*")
    page.route("**/devices?*", lambda route: route.abort())
    expect(page.locator("#status")).to_contain_text(lost)
    page.unroute("**/devices?*")
    expect(page.locator("#status")).not_to_contain_text(lost)
    page.context.close()


def test_over_another_journal_a_page_is_live_again(page: Page, url: str) -> None:
    asked: list[dict[str, str]] = []

    def answer(route: Route) -> None:
        asked.append(route.request.headers)
        if len(asked) == 1:
            route.fulfill(status=200, content_type="text/event-stream", body="id: 999999999\ndata: {}\n\n")
        else:
            route.continue_()  # the service knows of no such entry, and answers 409

    page.route("**/live", answer)
    opened(page, url, "devices")
    has_become(page, lambda: len(asked) == 3)
    assert asked[1]["last-event-id"] == "999999999"
    assert "last-event-id" not in asked[2]
    expect(page.locator("#status")).to_contain_text("live")


@pytest.mark.parametrize("slow_s", [0.0, 0.6])
def test_a_double_click_says_it_once_and_complains_of_nothing(
    page: Page, url: str, fleet: Fleet, slow_s: float
) -> None:
    def slowly(route: Route) -> None:
        time.sleep(slow_s)
        route.continue_()

    page.route("**/comments", slowly)
    opened(page, url, "alerts")
    name, row = commenting(page, f"twice {slow_s}")
    row.get_by_role("button", name="Comment").dblclick()
    expect(row.get_by_role("textbox")).to_have_value("")
    page.wait_for_timeout(1_500)
    expect(page.get_by_role("alert")).to_be_empty()
    assert [one["text"] for one in alert_of(fleet, name)["comments"]].count(f"twice {slow_s}") == 1


def test_what_is_said_again_as_its_answer_was_lost_is_said_once(page: Page, url: str, fleet: Fleet) -> None:
    keys: list[str] = []

    def lost(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) == 1:
            route.fetch()
            route.abort()
        else:
            route.continue_()

    page.route("**/comments", lost)
    opened(page, url, "alerts")
    name, row = commenting(page, "over a bad line")
    row.get_by_role("button", name="Comment").click()
    expect(page.get_by_role("alert")).not_to_be_empty()
    row.get_by_role("button", name="Comment").press("Enter")
    expect(row.get_by_role("textbox")).to_have_value("")
    expect(page.get_by_role("alert")).to_be_empty()
    assert keys[0] == keys[1]
    assert [one["text"] for one in alert_of(fleet, name)["comments"]].count("over a bad line") == 1
    row.get_by_role("textbox").fill("over a bad line")
    row.get_by_role("button", name="Comment").click()
    expect(row.get_by_role("textbox")).to_have_value("")
    assert keys[2] != keys[1], "what is said anew is another act"


def test_why_an_act_was_refused_stands_until_the_page_shows_it(page: Page, url: str, fleet: Fleet) -> None:
    opened(page, url, "alerts")
    page.route("**/alerts?*", lambda route: route.abort())
    take = page.get_by_role("button", name="Acknowledge").first
    name = (take.get_attribute("id") or "").removeprefix("take-")
    say = {"by": "another desk"}
    answer = fleet.cloud.client.post(f"/alerts/{name}/acknowledgement", json=say, headers=shown(TOKEN))
    assert answer.status_code == 200
    take.click()
    expect(page.get_by_role("alert")).to_contain_text("no open alert")
    page.wait_for_timeout(6_000)
    expect(page.get_by_role("alert")).to_contain_text("no open alert")
    page.unroute("**/alerts?*")
    expect(page.get_by_role("cell", name="another desk")).to_be_visible()
    expect(page.get_by_role("alert")).to_be_empty()


def commenting(page: Page, text: str) -> tuple[str, Any]:
    """The first alert and its row, with this as what is being written of it."""
    row = page.get_by_role("row").nth(1)
    row.get_by_text("Comments (").click()
    row.get_by_role("textbox").fill(text)
    return row.get_by_role("rowheader").inner_text(), row


def alert_of(fleet: Fleet, name: str) -> Any:
    """An alert as the API has it."""
    found = fleet.cloud.client.get("/alerts", headers=shown(TOKEN)).json()
    return next(one for one in found if one["id"] == name)
