"""Takes the pictures of the console that README shows, from the demo while it plays: each once its beat was told.

.venv/bin/python scripts/console_pictures.py
"""

import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any, Literal, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "tests")]

from browsing import chromium  # noqa: E402 - tests' helpers are not installed

PATIENCE_S = 400.0


class Picture(NamedTuple):
    """One picture: of which page, once which beat was told, in which light, how wide and high."""

    name: str
    place: str
    beat: str
    scheme: Literal["light", "dark"]
    width: int
    height: int


PICTURES = (
    Picture("facility-phone", "facilities/cold-line", "breach", "light", 390, 1000),
    Picture("overview", "", "dark", "light", 1280, 1000),
    Picture("dark-leg", "assets/onyx", "double-pledge", "light", 1280, 1000),
    Picture("theft", "receipts/la-3%3A0001", "theft", "light", 1280, 1000),
    Picture("asset", "assets/coral", "theft", "dark", 1280, 1200),
)
"""In the order in which their beats are told."""


def main() -> int:
    """Play the demo and take them all."""
    pictures = ROOT / "docs" / "pictures"
    pictures.mkdir(exist_ok=True)
    with chromium() as browser, tempfile.TemporaryDirectory(prefix="pledgewatch-") as folder:
        command = [sys.executable, "-m", "pledgewatch_sim", "demo", "--headless", "--folder", folder]
        playing = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert playing.stdout is not None
        console = next(found[1] for line in playing.stdout if (found := re.search(r"console and API: (\S+)", line)))
        text = (Path(folder) / "cloud.toml").read_text(encoding="utf-8")
        stage = re.findall(r'stage = "(.*)"', text)[0]
        for one in PICTURES:
            _wait_for(stage, one.beat)
            size: Any = {"width": one.width, "height": one.height}
            context = browser.new_context(color_scheme=one.scheme, viewport=size, locale="en-GB")
            page = context.new_page()
            page.goto(f"{console}/#/{one.place}")
            page.wait_for_selector("main[aria-busy=false] h1")
            page.wait_for_timeout(2_500)
            page.screenshot(path=pictures / f"{one.name}.png")
            context.close()
            print(f"{one.name}.png: {(pictures / f'{one.name}.png').stat().st_size} bytes", flush=True)
        rest, _ = playing.communicate()
        print(rest.splitlines()[-1])
        return playing.returncode


def _wait_for(stage: str, beat: str) -> None:
    """Until a beat was told."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"{stage}/told", timeout=30) as answer:
            if beat in {one["beat"] for one in json.load(answer)["told"]}:
                return
        time.sleep(0.5)
    raise SystemExit(f"{beat} was not told")


if __name__ == "__main__":
    sys.exit(main())
