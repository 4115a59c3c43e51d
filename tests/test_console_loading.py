"""What the console shows and asks while answers are slow: a page that is on its way is named at once, and no page is
asked for anew while it is being asked for."""

from collections.abc import Iterator

import pytest
from browsing import opened
from playwright.sync_api import Browser, Page, Route, expect

from pledgewatch_cloud.spine import base_at as base_at_module

FACILITY = "facilities/facility-1"
EVERY_MS = 5_000
"""How often a page asks by itself."""


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale=getattr(request, "param", "en-GB"))
    yield context.new_page()
    context.close()


class Held:
    """What is asked of a path, and waits until the test lets it go."""

    def __init__(self, page: Page, path: str) -> None:
        self.routes: list[Route] = []
        self._page = page

        def held(route: Route) -> None:
            self.routes.append(route)

        page.route(f"**/{path}", held)

    def count(self, many: int) -> int:
        """How many have been asked for in all, once it is so many, or five seconds later."""
        for _ in range(100):
            if len(self.routes) >= many:
                break
            self._page.wait_for_timeout(50)
        return len(self.routes)

    def answer(self) -> None:
        """The last that was asked for is answered."""
        self.routes[-1].continue_()


@pytest.mark.parametrize(
    ("page", "asset", "facility"),
    [("en-GB", "Asset asset-coral", "Facility facility-1"), ("zh-CN", "资产 asset-coral", "授信额度 facility-1")],
    indirect=["page"],
)
@pytest.mark.parametrize("path", ["viewer", FACILITY])
def test_a_page_that_is_on_its_way_is_named_at_once_and_shows_nothing_of_another(
    page: Page, url: str, asset: str, facility: str, path: str
) -> None:
    opened(page, url, "assets/asset-coral")
    expect(page.locator("h1")).to_have_text(asset)
    held = Held(page, path)
    page.evaluate("place => { location.hash = place }", f"#/{FACILITY}")
    assert held.count(1) == 1
    expect(page.locator("h1")).to_have_text(facility)
    expect(page.locator("main")).to_have_attribute("aria-busy", "true")
    assert page.locator("main > *").count() == 2, "its name, and that it is on its way"
    assert page.title() == f"{facility} · pledgewatch"
    expect(page.locator("nav [aria-current]")).to_have_count(0)
    held.answer()
    expect(page.locator("main")).to_have_attribute("aria-busy", "false")
    expect(page.locator("h1")).to_have_text(facility)
    assert page.locator("main > *").count() > 5


def follows(page: Page, told: str) -> None:
    """The stream of changes tells this and ends, again and again."""
    page.clock.install()
    page.route("**/live", lambda route: route.fulfill(status=200, content_type="text/event-stream", body=told))


def goes_on(page: Page, ms: int) -> None:
    """Time goes on for the page, and what is asked is answered."""
    page.clock.run_for(ms)
    page.wait_for_timeout(100)


def test_a_page_is_not_asked_for_while_it_is_being_asked_for(page: Page, url: str) -> None:
    follows(page, "retry: 2000\n\n")
    opened(page, url, FACILITY)
    held = Held(page, f"{FACILITY}/evidence")
    goes_on(page, EVERY_MS)
    assert held.count(1) == 1
    for _ in range(5):
        goes_on(page, EVERY_MS)
    assert held.count(1) == 1
    held.answer()
    page.wait_for_timeout(300)
    assert held.count(1) == 1
    goes_on(page, EVERY_MS)
    assert held.count(2) == 2


def test_news_that_come_meanwhile_are_asked_for_right_after(page: Page, url: str) -> None:
    follows(page, "id: 41\ndata: {}\n\n")
    opened(page, url, FACILITY)
    held = Held(page, f"{FACILITY}/evidence")
    for _ in range(4):
        goes_on(page, 1_000)
    assert held.count(1) == 1
    held.answer()
    assert held.count(2) == 2


def test_who_goes_on_waits_for_no_page_of_before(page: Page, url: str) -> None:
    follows(page, "retry: 2000\n\n")
    opened(page, url, FACILITY)
    of_before = Held(page, f"{FACILITY}/evidence")
    goes_on(page, EVERY_MS)
    assert of_before.count(1) == 1
    page.evaluate("() => { location.hash = '#/devices' }")
    expect(page.locator("main")).to_have_attribute("aria-busy", "false")
    expect(page.locator("h1")).to_have_text("Devices")
    held = Held(page, "devices?*")
    goes_on(page, EVERY_MS)
    assert held.count(1) == 1
    of_before.answer()
    page.wait_for_timeout(300)
    expect(page.locator("h1")).to_have_text("Devices")


def test_a_facility_tells_what_time_it_is_and_folds_no_journal_for_it(
    page: Page, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url))
    monkeypatch.setattr(base_at_module, "recover", None)
    opened(page, url, FACILITY)
    expect(page.locator("output[for=known_at]")).to_have_text("Now (2026-01-05 12:00Z)")
    assert not [one for one in asked if one.split("?")[0].endswith("/base")]
