"""Measures how smoothly the console's map moves: frames a second in headless Chromium while it is dragged and zoomed.

    .venv/bin/python scripts/map_frames.py [--assets 10000] [--seconds 5]

The assets are made here and answered in the API's stead, so that it is the page that is measured. What is counted are
the frames that the browser has made (requestAnimationFrame) while a hand drags the map there and back, without a pause.
"""

import argparse
import itertools
import json
import math
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "tests")]

from browsing import Fleet, chromium, opened, served  # noqa: E402 - tests' helpers are not installed

COUNT = """() => {
    const frames = [];
    let isOn = true;
    const one = at => { frames.push(at); if (isOn) requestAnimationFrame(one); };
    requestAnimationFrame(one);
    globalThis.stopped = () => { isOn = false; return frames; };
}"""


def assets(count: int) -> dict[str, Any]:
    """Assets along lanes over all oceans, every hundredth with a breach."""
    dice = random.Random(8)
    features = []
    for place in range(count):
        share, lane = dice.random(), dice.randrange(40)
        east, north = -170 + (lane * 67) % 300 + 60 * share, 60 * math.sin(lane + 3 * share) * 0.8
        state = "breached" if place % 100 == 0 else "kept"
        properties = {
            "measured_at_ms": 1_767_268_800_000,
            "fences": [],
            "conditions": [{"lot": f"lot-{place}", "limit": "temperature_mc", "state": state, "breaches": 0}],
            "sources": [{"device": f"device-{place}", "channel": None, "state": "live", "at_ms": 1_767_268_800_000}],
            "lots": [],
        }
        point = {"type": "Point", "coordinates": [east + dice.gauss(0, 1.5), north + dice.gauss(0, 1.5)]}
        features.append({"type": "Feature", "id": f"asset-{place}", "geometry": point, "properties": properties})
    return {"type": "FeatureCollection", "features": features}


def rate(frames: list[float]) -> tuple[float, float]:
    """Frames a second on average, and the longest time between two of them in milliseconds."""
    between = [later - sooner for sooner, later in itertools.pairwise(frames)]
    return 1_000 * len(between) / sum(between), max(between)


def dragged(page: Page, seconds: float) -> list[float]:
    """The moments of the frames while the map is dragged to and fro."""
    box = page.locator(".map").bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.evaluate(COUNT)
    until = page.evaluate("performance.now()") + 1_000 * seconds
    while page.evaluate("performance.now()") < until:
        page.mouse.move(x, y)
        page.mouse.down()
        for step in range(40):
            page.mouse.move(x + 250 * math.sin(step / 6), y + 60 * math.sin(step / 9))
        page.mouse.up()
    found: list[float] = page.evaluate("stopped()")
    return found


def zoomed(page: Page, times: int) -> list[float]:
    """The moments of the frames while it is zoomed in and out again."""
    page.evaluate(COUNT)
    for name in ["Zoom in"] * times + ["Zoom out"] * times:
        page.get_by_role("button", name=name).click()
        page.wait_for_timeout(350)
    found: list[float] = page.evaluate("stopped()")
    return found


def main() -> int:
    """Measure, and print one line for each act."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--assets", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    body = json.dumps(assets(options.assets))
    fleet = Fleet(Path(tempfile.mkdtemp(prefix="pledgewatch-")))
    with served(fleet.cloud.client.app) as url, chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.route("**/assets", lambda route: route.fulfill(body=body, content_type="application/json"))
        opened(page, url)
        page.wait_for_timeout(2_000)
        for act, frames in (("dragged", dragged(page, options.seconds)), ("zoomed", zoomed(page, 3))):
            a_second, longest_ms = rate(frames)
            print(f"{options.assets} assets {act}: {a_second:.1f} frames/s, longest frame {longest_ms:.0f} ms")
    fleet.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
