"""A client of the API for Python: pages followed, answers that are known not fetched again, writes that may be said
twice, the stream of changes taken up where it was cut.

    with Client("https://pledgewatch.example", key) as client:
        for lot in client.each("/lots", facility="autumn-line"):
            ...
        client.write("/facilities/autumn-line/movements", {"movements": [...]})
        for change in client.changes(after_entry=812):
            ...

It needs httpx2 and nothing else of this package. Every call raises ApiError where the API refuses, and httpx2's errors
where it cannot be reached.
"""

import json
import time
import uuid
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urljoin

import httpx2

_ITEMS = ("features", "receipts", "events", "acts", "rows", "goods", "items", "exposures")
"""What the items of a list are called that is an object."""
KNOWN_MAX = 64
"""Answers that are kept by their tag; of more, the one that was asked for longest ago is let go."""
_AGAIN_MAX = 5
_AGAIN = frozenset({409, 429, 503})


class ApiError(Exception):
    """The API has refused: its status, why, and every fault."""

    def __init__(
        self, status: int, detail: str, errors: tuple[str, ...] = (), retry_after_s: float | None = None
    ) -> None:
        super().__init__("; ".join((f"{status}: {detail}", *errors)))
        self.status, self.detail, self.errors, self.retry_after_s = status, detail, errors, retry_after_s


class Change(NamedTuple):
    """An event as it was committed. `id` is what to go on from."""

    id: str
    type: str
    event: dict[str, Any]


class Client:
    """One address, one key. Not for use by two threads at once."""

    def __init__(self, url: str, key: str = "", *, transport: httpx2.BaseTransport | None = None) -> None:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._http = httpx2.Client(base_url=url, headers=headers, transport=transport, timeout=30)
        self._known: OrderedDict[str, tuple[str, bytes]] = OrderedDict()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the connection."""
        self._http.close()

    def get(self, path: str, **query: str | int) -> Any:
        """The JSON at a path."""
        return self._get(str(httpx2.URL(path, params=query) if query else path))[0]

    def each(self, path: str, **query: str | int) -> Iterator[dict[str, Any]]:
        """Every item of a list, its pages one after the other; EPCIS and DCSA events are lists too. Raises ValueError
        for what is no list."""
        at: str | None = str(httpx2.URL(path, params=query) if query else path)
        while at:
            found, link = self._get(at)
            yield from _items_of(path, found)
            at = urljoin(at, link) if link else None

    def table(self, path: str, **query: str | int) -> str:
        """A list as CSV: one page of it."""
        answer = self._http.get(path, params=query, headers={"accept": "text/csv"})
        _check(answer)
        return answer.text

    def write(self, path: str, document: Any, key: str = "") -> Any:
        """Write once, however often it must be said: with a key of its own, and again where the answer was lost or
        the API says to wait. After a restart of the service a repetition is a write of its own, which says
        `changed: false` where it is known."""
        headers = {"idempotency-key": f'"{key or uuid.uuid4()}"'}
        for attempt in range(_AGAIN_MAX):
            is_last = attempt == _AGAIN_MAX - 1
            try:
                answer = self._http.post(path, json=document, headers=headers)
                _check(answer)
            except httpx2.TransportError:
                if is_last:
                    raise
                time.sleep(2**attempt / 10)
            except ApiError as error:
                if is_last or error.status not in _AGAIN or error.retry_after_s is None:
                    raise
                time.sleep(error.retry_after_s)
            else:
                return answer.json()
        raise AssertionError("the last attempt returns or raises")

    def changes(self, after_entry: int | None = None, last_id: str = "") -> Iterator[Change]:
        """Events as they are committed, until the stream ends: when the service stops, or the key opens no more. Go on
        with the `id` of the last one."""
        headers = {"last-event-id": last_id} if last_id else {}
        query = {} if after_entry is None else {"after_entry": after_entry}
        # A heartbeat comes every 15 s: a stream that says nothing for longer is broken.
        with self._http.stream("GET", "/live", headers=headers, params=query, timeout=45) as answer:
            if answer.status_code != 200:
                answer.read()
            _check(answer)
            fields: dict[str, str] = {}
            for line in _lines(answer.iter_text()):
                name, _, value = line.partition(":")
                if line:
                    fields[name] = value.removeprefix(" ")
                    continue
                if "data" in fields:
                    yield Change(fields["id"], fields["event"], json.loads(fields["data"]))
                fields = {}

    def _get(self, url: str) -> tuple[Any, str]:
        """What is at an address, and the address of the next page."""
        # As bytes: what was given out is whose it was given to, to change or to keep.
        tag, known = self._known.pop(url, ("", b""))
        answer = self._http.get(url, headers={"if-none-match": tag} if tag else {})
        if answer.status_code != 304:
            _check(answer)
            tag, known = answer.headers.get("etag", ""), answer.content
        if tag:
            self._known[url] = tag, known
            while len(self._known) > KNOWN_MAX:
                self._known.popitem(last=False)
        # Of this answer, also where what it says is known: a page may have become the last, or be it no more. DCSA has
        # a header of its own for it.
        following = answer.links.get("next", {}).get("url", "") or answer.headers.get("next-page", "")
        return json.loads(known), following


def _items_of(path: str, found: Any) -> list[Any]:
    """The items of a page. Raises ValueError where it is none."""
    if isinstance(found, list):
        return found
    if isinstance(found, dict) and found.get("type") == "EPCISQueryDocument":
        found = found["epcisBody"]["queryResults"]["resultsBody"]
        return list(found["eventList"])
    if isinstance(found, dict):
        for name in _ITEMS:
            if isinstance(found.get(name), list):
                return list(found[name])
    raise ValueError(f"{path} is no list")


def _lines(pieces: Iterable[str]) -> Iterator[str]:
    """Lines that end with a line feed, and with nothing else: words may have what Unicode ends lines with in them."""
    rest = ""
    for piece in pieces:
        *whole, rest = (rest + piece).split("\n")
        yield from whole


def _check(answer: httpx2.Response) -> None:
    """Raises ApiError where it is no success."""
    if answer.is_success:
        return
    try:
        said = answer.json()
    except ValueError:
        said = {}
    said = said if isinstance(said, dict) else {}
    wait = answer.headers.get("retry-after", "")
    detail, errors = str(said.get("detail", answer.reason_phrase)), tuple(map(str, said.get("errors", ())))
    raise ApiError(answer.status_code, detail, errors, float(wait) if wait.isdigit() else None)
