"""Measures how smoothly the console's map moves: frames a second in headless Chromium while it is dragged and zoomed.

    .venv/bin/python scripts/map_frames.py [--assets 10000] [--seconds 5]

The assets are made here and answered in the API's stead, so that it is the page that is measured; the API's own code
puts them together to clusters, and how long that takes is told beside. What is counted are the frames that the browser
has made (requestAnimationFrame) while a hand drags the map there and back, without a pause.
"""

import argparse
import itertools
import json
import math
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
from playwright.sync_api import Page, Route

from pledgewatch_cloud.api.clusters import Box, Fleet, clusters, fleet

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "tests")]

from browsing import Fleet as Ships  # noqa: E402 - tests' helpers are not installed
from browsing import chromium, opened, served  # noqa: E402 - tests' helpers are not installed

COUNT = """() => {
    const frames = [];
    let isOn = true;
    const one = at => { frames.push(at); if (isOn) requestAnimationFrame(one); };
    requestAnimationFrame(one);
    globalThis.stopped = () => { isOn = false; return frames; };
}"""


def fleet_at_sea(count: int) -> Fleet:
    """Assets along lanes over all oceans, every hundredth with a breach and an alert."""
    dice = random.Random(8)
    places, bad = [], []
    for place in range(count):
        share, lane = dice.random(), dice.randrange(40)
        east, north = -170 + (lane * 67) % 300 + 60 * share, 60 * math.sin(lane + 3 * share) * 0.8
        places.append((east + dice.gauss(0, 1.5), north + dice.gauss(0, 1.5)))
        bad.append(place % 100 == 0)
    is_bad = np.array(bad, dtype=np.int64)
    return fleet([f"asset-{place}" for place in range(count)], np.array(places), 2 * is_bad, 2 * is_bad)


class Answers:
    """Answers in the API's stead, and how long each took."""

    def __init__(self, known: Fleet) -> None:
        self._known = known
        self.took_ms: list[float] = []

    def assets(self, route: Route) -> None:
        """The table's first page, which is not what is measured."""
        body = {"type": "FeatureCollection", "features": [], "count": len(self._known.ids), "next_after": ""}
        route.fulfill(body=json.dumps(body), content_type="application/json")

    def clusters(self, route: Route) -> None:
        """The clusters of what is on the screen."""
        query = parse_qs(urlsplit(route.request.url).query)
        began_s = time.perf_counter()
        box = Box(*map(float, query.get("bbox", ["-180,-90,180,90"])[0].split(",")))
        body = json.dumps(clusters(self._known, box, int(query["zoom"][0])))
        self.took_ms.append(1_000 * (time.perf_counter() - began_s))
        route.fulfill(body=body, content_type="application/json")


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
    answers = Answers(fleet_at_sea(options.assets))
    ships = Ships(Path(tempfile.mkdtemp(prefix="pledgewatch-")))
    with served(ships.cloud.client.app) as url, chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.route("**/assets?*", answers.assets)
        page.route("**/clusters?*", answers.clusters)
        opened(page, url)
        page.wait_for_timeout(2_000)
        for act, frames in (("dragged", dragged(page, options.seconds)), ("zoomed", zoomed(page, 3))):
            a_second, longest_ms = rate(frames)
            print(f"{options.assets} assets {act}: {a_second:.1f} frames/s, longest frame {longest_ms:.0f} ms")
    print(f"{len(answers.took_ms)} answers with clusters, median {statistics.median(answers.took_ms):.1f} ms to make")
    ships.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
