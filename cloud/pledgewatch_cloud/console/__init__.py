"""The console: a web page over the API, served by the service itself: the files of this folder (docs/CONSOLE.md).

`currencies.js` is made of the table of currencies of the cloud: a browser has decimals of its own for some, and what
is divided by those is another amount.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from html import escape
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".LICENSE": "text/plain; charset=utf-8",
}
"""The types of what is served, by how its name ends; nothing else of the folder is."""


class Page(NamedTuple):
    """A file as it is served. `tag` is its entity tag, the same as long as its bytes are."""

    body: bytes
    kind: str
    tag: str


def pages(exponents: Mapping[str, int]) -> dict[str, Page]:
    """Every file of the console, by its path in the folder, and the table of the decimals of each currency."""
    by: dict[int, list[str]] = {}
    for name, digits in exponents.items():
        by.setdefault(digits, []).append(name)
    table = json.dumps({digits: "".join(some) for digits, some in by.items()}, separators=(",", ":"))
    each = "Object.entries(NAMES).flatMap(([by, some]) => (some.match(/.../g) ?? []).map(one => [one, Number(by)]))"
    text = (
        f"const NAMES = {table};\n"
        f"/** The decimals of the minor unit, by currency. */\nexport const EXPONENTS = Object.fromEntries({each});\n"
    )
    return {**dict(_pages(files(__name__), "")), "currencies.js": _page(text.encode(), KINDS[".js"])}


def staged(page: Page, stage: str) -> Page:
    """The page of a demo: it names the demo's stage, which `demo.js` asks."""
    named = f'<meta name="stage" content="{escape(stage, quote=True)}">\n</head>'
    return _page(page.body.replace(b"</head>", named.encode()), page.kind)


def _pages(folder: Traversable, place: str) -> Iterator[tuple[str, Page]]:
    for one in folder.iterdir():
        if one.is_dir():
            yield from _pages(one, f"{place}{one.name}/")
            continue
        kind = next((kind for end, kind in KINDS.items() if one.name.endswith(end)), None)
        if kind is not None:
            yield f"{place}{one.name}", _page(one.read_bytes(), kind)


def _page(body: bytes, kind: str) -> Page:
    return Page(body, kind, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
