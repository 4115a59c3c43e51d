"""The banner of a demo: what the stage tells is shown, what one breaks is broken, and nobody else may use it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_cloud import TOKEN, ApiCloud
from browsing import arrived, opened, served, violations
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, expect

from pledgewatch_cloud.api.app import create_app
from pledgewatch_cloud.config import DemoSettings
from pledgewatch_sim.demo.beats import Figure, Told
from pledgewatch_sim.demo.stage import Poke, Stage
from pledgewatch_sim.demo.words import Words

BREACH = Told(
    "breach",
    Words("coral was too warm", "coral 温度过高"),
    Words("Half a day costs a quarter.", "半天损失四分之一。"),
    "#/alerts",
    (Figure("haircut", 1, 1),),
    "2.0",
    1,
)
THEFT = BREACH._replace(
    beat="theft",
    head=Words("A load has left", "一批货物已离开"),
    why=Words("Nobody had released it.", "无人放行。"),
    link="#/receipts",
)
CONSOLE = "http://127.0.0.1:1"


def stage_of(done: list[str]) -> Stage:
    async def act() -> Words:
        done.append("broker")
        return Words("The broker is killed.", "消息代理已被杀死。")

    return Stage(8, {"broker": Poke(Words("Kill the broker", "杀死消息代理"), act)})


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
        assert client.post("/pokes/broker", headers={"origin": CONSOLE}).json() == {
            "poked": {"en": "The broker is killed.", "zh": "消息代理已被杀死。"}
        }
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


def test_the_banner_tells_what_has_happened_and_a_button_breaks_something(cloud: ApiCloud, browser: Browser) -> None:
    done: list[str] = []
    stage = stage_of(done)
    consoles: list[str] = []

    class Late:
        """The stage's application, once the console's address is known."""

        async def __call__(self, scope: object, receive: object, send: object) -> None:
            await stage.application(consoles[0])(scope, receive, send)  # type: ignore[arg-type]

    with served(Late()) as place, served(create_app(service_of(cloud), stage=place)) as url:
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
        arrived(page, "Receipts")
        stage.ended = Words("The story is told.", "故事讲完了。")
        page.get_by_role("button", name="中文").click()
        chinese = page.get_by_role("region", name="演示")
        for words in ("一批货物已离开", "无人放行。", "coral 温度过高", "消息代理已被杀死。", "故事讲完了。"):
            expect(chinese).to_contain_text(words)
        expect(chinese.get_by_role("button", name="杀死消息代理")).to_be_visible()
        for words in ("A load has left", "Nobody had", "coral was", "Kill the broker", "is killed", "is told"):
            expect(chinese).not_to_contain_text(words)


def test_a_button_after_the_demos_end_says_that_nothing_answers(cloud: ApiCloud, browser: Browser) -> None:
    stage = stage_of([])
    consoles: list[str] = []

    class Late:
        """The stage's application, once the console's address is known."""

        async def __call__(self, scope: object, receive: object, send: object) -> None:
            await stage.application(consoles[0])(scope, receive, send)  # type: ignore[arg-type]

    with contextlib.ExitStack() as ending:
        place = ending.enter_context(served(Late()))
        with served(create_app(service_of(cloud), stage=place)) as url:
            consoles.append(url)
            page = browser.new_context(locale="en-GB").new_page()
            faults: list[str] = []
            page.on("pageerror", lambda error: faults.append(str(error)))
            opened(page, url, "devices")
            banner = page.get_by_role("region", name="The demo")
            banner.get_by_role("button", name="Kill the broker").click()
            expect(banner).to_contain_text("The broker is killed.")
            ending.close()
            banner.get_by_role("button", name="Kill the broker").click()
            expect(banner.get_by_role("status")).to_have_text("the service does not answer")
            assert not faults
