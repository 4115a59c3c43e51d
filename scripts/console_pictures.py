"""Takes the pictures of the console that README shows, of the fleet that its tests are about.

.venv/bin/python scripts/console_pictures.py
"""

import sys
import tempfile
from pathlib import Path
from typing import Literal, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "tests")]

from browsing import Fleet, chromium, opened, served  # noqa: E402 - tests' helpers are not installed


class Picture(NamedTuple):
    """One picture: of which page, in which light, how wide and high."""

    name: str
    place: str
    scheme: Literal["light", "dark"]
    width: int
    height: int


PICTURES = (
    Picture("overview", "", "light", 1280, 900),
    Picture("asset", "assets/asset-coral", "dark", 1280, 1060),
    Picture("facility-phone", "facilities/facility-1", "light", 390, 844),
)


def main() -> int:
    """Take them all."""
    folder = ROOT / "docs" / "pictures"
    folder.mkdir(exist_ok=True)
    fleet = Fleet(Path(tempfile.mkdtemp(prefix="pledgewatch-")))
    with served(fleet.cloud.client.app) as url, chromium() as browser:
        for one in PICTURES:
            size = {"width": one.width, "height": one.height}
            context = browser.new_context(color_scheme=one.scheme, viewport=size, locale="en-GB")  # type: ignore[arg-type]
            page = context.new_page()
            opened(page, url, one.place)
            page.wait_for_timeout(1_000)
            page.screenshot(path=folder / f"{one.name}.png")
            context.close()
            print(f"{one.name}.png: {(folder / f'{one.name}.png').stat().st_size} bytes")
    fleet.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
