"""The banner of a demo: what the stage tells is shown, what one breaks is broken, and nobody else may use it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_cloud import TOKEN, ApiCloud
from browsing import chromium, opened, served, violations
from fastapi.testclient import TestClient
from playwright.sync_api import expect

from pledgewatch_cloud.api.app import create_app
from pledgewatch_cloud.config import DemoSettings
from pledgewatch_sim.demo.beats import Figure, Told
from pledgewatch_sim.demo.stage import Poke, Stage

BREACH = Told(
    "breach", "coral was too warm", "Half a day costs a quarter.", "#/alerts", (Figure("haircut", 1, 1),), "2.0", 1
)
THEFT = BREACH._replace(beat="theft", head="A load has left", why="Nobody had released it.", link="#/receipts")
CONSOLE = "http://127.0.0.1:1"


def stage_of(done: list[str]) -> Stage:
    async def act() -> str:
        done.append("broker")
        return "The broker is killed."

    return Stage(8, {"broker": Poke("Kill the broker", act)})


def test_only_the_demos_console_may_ask_and_poke() -> None:
    done: list[str] = []
    stage = stage_of(done)
    stage.told.append(BREACH)
    with TestClient(stage.application(CONSOLE)) as client:
        assert client.get("/told", headers={"origin": "https://evil.example"}).status_code == 403
        assert client.post("/pokes/broker", headers={"origin": "https://evil.example"}).status_code == 403
        assert done == []
        answer = client.get("/told", headers={"origin": CONSOLE})
        assert answer.headers["access-control-allow-origin"] == CONSOLE
        assert answer.json()["told"][0]["figures"] == [{"name": "haircut", "expected": 1, "found": 1, "holds": True}]
        assert client.post("/pokes/broker", headers={"origin": CONSOLE}).json() == {"poked": "The broker is killed."}
        assert client.post("/pokes/other").status_code == 404
    assert done == ["broker"]


@pytest.mark.parametrize(
    "stage", ["https://127.0.0.1:1", "http://example.org:1", "http://127.0.0.1:1/x", "127.0.0.1:1"]
)
def test_a_stage_is_of_this_machine(stage: str) -> None:
    with pytest.raises(ValueError, match=r"stage|url"):
        DemoSettings(stage)


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[ApiCloud]:
    made = ApiCloud(tmp_path, token=TOKEN)
    yield made
    made.close()


def service_of(cloud: ApiCloud) -> Any:
    """What the API is over."""
    app: Any = cloud.client.app
    return app.state.service


def test_without_a_demo_the_page_names_no_stage_and_may_ask_nobody_else(cloud: ApiCloud) -> None:
    answer = cloud.client.get("/")
    assert "stage" not in answer.text
    assert "connect-src" not in answer.headers["content-security-policy"]
    with TestClient(create_app(service_of(cloud), stage="http://127.0.0.1:9")) as client:
        answer = client.get("/")
        assert '<meta name="stage" content="http://127.0.0.1:9">' in answer.text
        assert answer.headers["content-security-policy"].endswith("connect-src 'self' http://127.0.0.1:9")
        assert "script-src 'self';" in answer.headers["content-security-policy"]


def test_the_banner_tells_what_has_happened_and_a_button_breaks_something(cloud: ApiCloud) -> None:
    done: list[str] = []
    stage = stage_of(done)
    consoles: list[str] = []

    class Late:
        """The stage's application, once the console's address is known."""

        async def __call__(self, scope: object, receive: object, send: object) -> None:
            await stage.application(consoles[0])(scope, receive, send)  # type: ignore[arg-type]

    with served(Late()) as place, served(create_app(service_of(cloud), stage=place)) as url, chromium() as browser:
        consoles.append(url)
        page = browser.new_context(locale="en-GB").new_page()
        opened(page, url, "devices")
        banner = page.get_by_role("region", name="The demo")
        expect(banner).to_contain_text("The demo begins")
        expect(banner).to_contain_text("0/8")
        stage.told += [BREACH, THEFT]
        expect(banner.get_by_role("link", name="A load has left")).to_be_visible()
        expect(banner).to_contain_text("Nobody had released it.")
        banner.get_by_text("What happened before").click()
        expect(banner.get_by_role("link", name="coral was too warm")).to_be_visible()
        banner.get_by_role("button", name="Kill the broker").click()
        expect(banner).to_contain_text("The broker is killed.")
        assert done == ["broker"]
        assert violations(page) == []
        banner.get_by_role("link", name="A load has left").click()
        expect(page.get_by_role("heading", name="Receipts")).to_be_visible()
