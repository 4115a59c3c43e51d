"""The console in a real browser: Debian's Chromium driven by Playwright, over the API in a thread of the test's own
process, and a small fleet at sea for it to show."""

import contextlib
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from api_cloud import TOKEN, ApiCloud
from builders import LOS_ANGELES, MINUTE_MS, NOON_MS, SHANGHAI, Device, book_document, fence, position, temperature
from needed import system_program
from playwright.sync_api import Browser, Page, expect, sync_playwright

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.serving import Server
from pledgewatch_wire.reading import Quality

AXE = Path(__file__).resolve().parents[1] / "data" / "axe-core" / "axe.min.js"
HOUR_MS = 60 * MINUTE_MS
HOURS = 96
PATIENCE_MS = 30_000
"""How long anything is waited for; a machine that has much else to do takes seconds for a page."""
DARK = (30, 60)
"""The hours of the voyage in which nothing is heard, as planned."""
_LANES = {
    "amber": ((31.3, 122.0), (33.7, -118.27 + 360)),
    "coral": ((-24.0, -46.3), (48.5, -6.5)),
    "jade": ((-35.0, 18.0), (-32.0, 114.9)),
    "pearl": ((-12.0, -77.5), (-36.5, 175.5 - 360)),
    "onyx": ((19.0, 72.8), (-4.0, 39.7)),
}


@contextlib.contextmanager
def served(app: Any, port: int = 0) -> Iterator[str]:
    """The address of an application while it is served; port 0: any free one."""
    import uvicorn  # noqa: PLC0415 - what only a browser needs

    listening = socket.create_server(("127.0.0.1", port))
    server = Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="console")
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = server.force_exit = True  # a page that is still open follows what changes
        thread.join(timeout=10)
        listening.close()


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium without a window. Skips where it is not installed."""
    # The shell is the same Chromium without what draws windows, which costs more than many a page.
    program = system_program("chromium-headless-shell", "chromium")
    with sync_playwright() as playwright:
        # As root there is no sandbox, and without a card the map is drawn by the processor.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"])
        expect.set_options(timeout=PATIENCE_MS)
        yield browser
        browser.close()


class Fleet:
    """Containers under way, each with a lot: one warm, one silent, and each dark over the middle of its voyage."""

    def __init__(self, folder: Path, **others: Any) -> None:
        self.devices = [Device(name, seed=place + 1) for place, name in enumerate(_LANES)]
        self.cloud = ApiCloud(folder, at_ms=NOON_MS - MINUTE_MS, token=TOKEN, **others)
        document = book_document(*self.devices)
        document["fences"]["features"] = [fence("los-angeles", LOS_ANGELES), fence("shanghai", SHANGHAI)]
        document["voyages"] = [
            {"id": f"voyage-{one.name}", "asset": f"asset-{one.name}", "legs": [_leg(one.name)]} for one in self.devices
        ]
        for one in document["installations"]:
            one["silent_after_s"] = 3 * 3_600
        document["facilities"][0]["outstanding_minor"] = 42_000_000
        self.cloud.spine.commit(drafts.amend, document)
        for hour in range(0, HOURS, 2):
            self.cloud.clock.at_ms = NOON_MS + hour * HOUR_MS
            if not DARK[0] <= hour < DARK[1]:
                self._hour(hour)
        self.cloud.clock.at_ms = NOON_MS + HOURS * HOUR_MS
        self.cloud.spine.tick()
        self.cloud.feeder.catch_up()

    def close(self) -> None:
        """Let go of the files."""
        self.cloud.close()

    def _hour(self, hour: int) -> None:
        for place, one in enumerate(self.devices):
            if one.name == "onyx" and hour > 70:
                continue
            (south, west), (north, east) = _LANES[one.name]
            share = min(1.0, (hour + 4 * place) / HOURS)
            bow = 8 * math.sin(math.pi * share)
            at = south + (north - south) * share + bow, (west + (east - west) * share + 180) % 360 - 180
            warm = 9_300 if one.name == "coral" and 64 <= hour < 76 else 5_000
            cell = temperature(warm + round(700 * math.sin(hour / 5)), Quality.GOOD)
            cells = *position((round(at[0] * 1e7), round(at[1] * 1e7))), cell
            at_ms = NOON_MS + hour * HOUR_MS
            arrival = one.arrival([one.measure(at_ms, *cells)], [one.checkpoint()], received_at_ms=at_ms)
            self.cloud.spine.take([arrival])


def _leg(name: str) -> dict[str, Any]:
    since, until = (iso(NOON_MS + hour * HOUR_MS) for hour in DARK)
    return {"id": f"leg-{name}", "kind": "sea", "signal": "dark", "from": since, "until": until}


def opened(page: Page, url: str, place: str = "", key: str = TOKEN) -> None:
    """A page of the console, opened by who shows a key, and drawn."""
    page.goto(f"{url}/healthz")
    page.evaluate("key => sessionStorage.setItem('key', key)", key)
    page.goto(f"{url}/#/{place}")
    page.wait_for_selector("main[aria-busy=false] h1")


def turned_to(page: Page, place: str) -> None:
    """Another page of a console that is open, drawn; or the same one."""
    turn = """place => location.hash === place || new Promise(turned => {
        addEventListener("hashchange", turned, { once: true });
        location.hash = place;
    })"""
    page.evaluate(turn, f"#/{place}")
    page.wait_for_selector("main[aria-busy=false]")


def arrived(page: Page, heading: str) -> None:
    """The page of this heading has come, and is drawn: one is named before what it shows is there. Of its level is no
    other, so the page of before has none of that name."""
    expect(page.get_by_role("heading", name=heading, level=1)).to_be_visible()
    page.wait_for_selector("main[aria-busy=false]")


def has_become(page: Page, is_so: Callable[[], bool]) -> None:
    """Wait until something is so that is no element of the page, as what it has asked for."""
    until_s = time.monotonic() + PATIENCE_MS / 1_000
    while not is_so():
        assert time.monotonic() < until_s
        page.wait_for_timeout(20)


def violations(page: Page, *rules: str) -> list[str]:
    """What axe finds that is serious or worse, each with the first element that it is about; by these rules alone,
    where some are named."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    asked = list(rules) or ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
    found = page.evaluate("asked => axe.run(document, {runOnly: asked})", asked)["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in ("serious", "critical")]
