"""Logging in at the console in a real browser: at the development issuer, a process of its own on another site."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from api_cloud import shown
from browsing import arrived, has_become, violations
from logging_in import Console, Issuer
from playwright.sync_api import Browser, Page, expect
from receipting import BANK, FIRST
from seeing import HALL_LOT, USERS

from pledgewatch_sim.programs import free_port

PORT = free_port()
URL = f"http://localhost:{PORT}"
"""The console is at `localhost` and the issuer at 127.0.0.1, so to a browser they are two sites."""


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    folder = tmp_path_factory.mktemp("login")
    with Issuer(folder / "issuer", URL) as issuer:
        made = Console(folder, issuer.url, PORT, base_url=URL)
        made.seeing.pledge(FIRST, BANK)
        made.seeing.tick()
        made.seeing.keeping.row("sold", 10, minute=made.seeing.minute)
        with made:
            yield made


@pytest.fixture
def page(browser: Browser, console: Console) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 390, "height": 844}, locale="en-GB")
    made = context.new_page()
    faults: list[str] = []
    made.on("pageerror", lambda error: faults.append(str(error)))
    made.on("console", lambda one: faults.append(one.text) if "Content Security" in one.text else None)
    yield made
    context.close()
    assert not faults


def logged_in(page: Page, name: str, place: str = "") -> None:
    """Somebody goes to a page of the console, and is asked who they are on the way."""
    page.goto(f"{URL}/{place}")
    page.get_by_role("link", name="Log in").click()
    page.get_by_role("button", name=name).click()
    page.wait_for_selector("main[aria-busy=false] h1")


def test_who_logs_in_comes_back_to_where_they_were_and_may_do_what_their_role_may(page: Page, console: Console) -> None:
    page.goto(f"{URL}/#/lots/{HALL_LOT}")
    expect(page.locator("#login")).to_be_focused()
    expect(page.locator("#key")).to_be_visible()
    assert violations(page) == []
    page.locator("#login").press("Enter")
    expect(page.get_by_role("heading", name="Who are you?")).to_be_visible()
    page.get_by_role("button", name="Anna Kern").click()
    expect(page.locator("#who")).to_contain_text("lender-one")
    assert page.url == f"{URL}/#/lots/{HALL_LOT}"
    arrived(page, f"Lot {HALL_LOT}")
    assert violations(page) == []
    (session,) = (one for one in page.context.cookies() if one["name"] == "pledgewatch")
    assert (session["httpOnly"], session["sameSite"]) == (True, "Strict")
    kept = page.evaluate("document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)")
    assert session["value"] not in kept
    assert "code=" not in page.url
    taken = page.evaluate(
        """async () => {
            const { ask, tell } = await import("/console/api.js");
            const [alert] = await ask("alerts");
            await tell(`alerts/${alert.id}/acknowledgement`, { by: "somebody else" });
            return (await ask("alerts"))[0].acknowledged_by;
        }"""
    )
    assert taken == "lender-one"
    bare = page.evaluate(
        """async () => (await fetch("book/amendments", { method: "POST", body: "{}",
            headers: { "content-type": "application/json" } })).status"""
    )
    assert bare == 403, "without what a page says, a session writes nothing"


def test_who_logs_out_is_asked_again_and_a_session_is_no_use_any_more(page: Page, console: Console) -> None:
    logged_in(page, "Kim Ode")
    expect(page.locator("#who")).to_contain_text("keeper-kim")
    cookies = page.context.cookies()
    page.get_by_role("button", name="Log out").click()
    expect(page.locator("#login")).to_be_visible()
    assert [one for one in page.context.cookies() if one["name"].startswith("pledgewatch")] == []
    kept: Any = [one for one in cookies if one["name"].startswith("pledgewatch")]
    page.context.add_cookies(kept)
    page.reload()
    expect(page.locator("#login")).to_be_visible()


def test_whom_nobody_knows_is_told_so_in_both_languages(page: Page) -> None:
    logged_in(page, "Bo <Lin>")
    assert page.url == f"{URL}/#/refused/stranger"
    expect(page.get_by_text("this service does not know you")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("button", name="中文").click()
    expect(page.get_by_text("本服务中没有您的用户")).to_be_visible()
    page.get_by_role("link", name="重新登录").click()
    page.get_by_role("button", name="Anna Kern").click()
    expect(page.locator("#who")).to_contain_text("lender-one")
    expect(page.get_by_role("button", name="退出登录")).to_be_visible()


def test_who_is_taken_out_of_the_book_is_told_so_and_can_log_out(page: Page, console: Console) -> None:
    logged_in(page, "Anna Kern")
    user = console.seeing.writer.state.book.users["lender-one"]
    amend(console, [{**USERS["lender-one"].user, "subjects": []}])
    page.reload()
    expect(page.get_by_text("this service does not know you")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("button", name="Log out").click()
    expect(page.locator("#login")).to_be_visible()
    subjects = [one._asdict() for one in user.subjects]
    amend(console, [{**USERS["lender-one"].user, "subjects": subjects}])


def test_a_key_is_taken_beside_logins(page: Page) -> None:
    page.goto(URL)
    page.locator("#key").fill(USERS["operator-one"].key)
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#who")).to_contain_text("operator-one")
    expect(page.get_by_role("button", name="Forget the key")).to_be_visible()


def test_a_page_that_nobody_touches_keeps_no_session_going(page: Page) -> None:
    page.clock.install()
    logged_in(page, "Anna Kern", "#/devices")
    asked: list[bool] = []
    page.on("request", lambda one: asked.append("x-unattended" in one.headers) if "/devices?" in one.url else None)
    page.clock.run_for(11_000)
    has_become(page, lambda: bool(asked))
    assert not any(asked)
    page.clock.run_for(120_000)
    # While an answer is under way nothing is asked, and the page's time goes on by itself.
    has_become(page, lambda: asked[-1] is True)
    page.keyboard.press("Shift")
    page.clock.run_for(6_000)
    has_become(page, lambda: asked[-1] is False)


def amend(console: Console, users: list[dict[str, object]]) -> None:
    """The book's keeper amends it over the API."""
    headers = shown("not-a-secret")
    assert (
        httpx2.post(f"{console.url}/book/amendments", json={"users": users}, headers=headers, timeout=60).status_code
        == 200
    )
