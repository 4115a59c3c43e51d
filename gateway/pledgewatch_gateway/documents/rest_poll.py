"""A stock system that is asked over HTTP for what is new: JSON, page by page, each page a document.

    GET <url>?updated_since=2026-03-01T09:25:00Z&page=2&limit=500
    Authorization: Bearer <token of a file>
    If-None-Match: "<ETag of the same question, asked before>"

What an answer is made of is said in the configuration (`wms_records.py`), and how it is asked for more (`position.py`).
How far it was read is a small file, replaced when the page's document is in the queue. That is for one address and one
way of paging: asked otherwise, the stock system is read from the beginning. What is no answer (a page for people, a
redirect, an error) is nobody's word about goods: nothing is taken of it, and the same is asked again.

A snapshot over several pages is one document, handed on at the end of its round. One whose moment is only the moment
of the answer is handed on when its rows have changed, and once a day: said anew each minute, the same count would fill
the stock book.
"""

import asyncio
import hashlib
import json
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from pledgewatch_edge.config import DAY_S, require_name, require_within
from pledgewatch_gateway.documents import AwayError, Document, Form, Put
from pledgewatch_gateway.documents.credentials import token_in
from pledgewatch_gateway.documents.kept import make_folder, replace
from pledgewatch_gateway.documents.position import (
    PagingSettings,
    Position,
    afresh,
    after,
    as_json,
    from_json,
    page_before,
    parameters,
    slipped,
)
from pledgewatch_gateway.documents.web import Reply, Web, is_encrypted, require_url
from pledgewatch_gateway.documents.wms_records import (
    RECORDS_MAX,
    RecordSettings,
    SnapshotSettings,
    movements,
    records_of,
    rows_of,
    snapshot,
    text_at,
)
from pledgewatch_gateway.sources import MalformedError
from pledgewatch_gateway.sources.strict_json import read_json

ANSWER_MAX_BYTES: Final = 16 * 1024 * 1024
PAGES_A_LOOK: Final = 1_000
LATELY_MAX: Final = 64
BEGUN_MAX: Final = 3  # how often a look begins a round again
ETAG_MAX: Final = 256
_DAY_MS: Final = 86_400_000
_OK, _NOT_MODIFIED, _GONE = 200, 304, 410
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestSettings:
    """A stock system that is asked. `source` is its id in the book, by which it is a sender of the cloud's too, with
    the secret of `secret_file`; `name` tells it from other sections of the same one (none: as the source). The token
    that it wants from us goes over an encrypted way only, unless `plain_token`."""

    source: str
    secret_file: Path
    url: str
    answer: RecordSettings
    name: str = ""
    paging: PagingSettings = PagingSettings()  # noqa: RUF009 - frozen
    every_s: float = 60.0
    timeout_s: float = 30.0
    token_file: Path | None = None
    plain_token: bool = False
    ca_file: Path | None = None

    def __post_init__(self) -> None:
        require_name("source", self.source)
        require_name("name", self.name or self.source)
        require_url("url", self.url, "https://wms.example.org/moves")
        require_within("every_s", self.every_s, 1.0, DAY_S)
        require_within("timeout_s", self.timeout_s, 0.1, 600.0)
        if self.token_file and not self.plain_token and not is_encrypted(self.url):
            raise ValueError("token_file needs https, or whoever listens has it; or say plain_token = true")
        if self.answer.snapshot is not None and self.paging.since:
            raise ValueError("paging since is for movements; a snapshot says all there is")

    @property
    def title(self) -> str:
        """What it is called in the log and on the status page."""
        return self.name or self.source


class _Page(NamedTuple):
    """An answer, its moment (Date), its rows, where it leads, and what keeps it from leading on."""

    answer: Any
    moment: datetime | None
    rows: Sequence[Mapping[str, str]]
    position: Position
    is_end: bool
    stuck: str


class RestSource:
    """A DocumentSource that polls."""

    def __init__(self, settings: RestSettings, folder: Path, now_ms: Callable[[], int]) -> None:
        """`folder` is where it is kept how far the source was read. Opens nothing."""
        self.name = settings.title
        self.every_s = settings.every_s
        self.held = ""
        self._settings = settings
        self._file = folder / f"{settings.title}.json"
        self._now_ms = now_ms
        self._lately: OrderedDict[str, None] = OrderedDict()  # digests of what was handed on

    async def look(self, put: Put) -> None:
        """See DocumentSource."""
        position = await asyncio.to_thread(self._kept)
        if position == Position():
            self._lately.clear()
        async with Web(self._settings.timeout_s, self._settings.ca_file) as web:
            if self._settings.answer.snapshot is None:
                await self._look_for_movements(web, position, put)
            else:
                await self._look_for_a_snapshot(web, position, put, self._settings.answer.snapshot)

    async def _look_for_movements(self, web: Web, position: Position, put: Put) -> None:
        """Hand on page after page, each before the position moves, and what has slipped into the page before it."""
        begun = 0
        for _ in range(PAGES_A_LOOK):
            page = await self._page(web, position)
            if page is None:
                return
            rows = await self._slipped(web, position)
            if rows is None and begun == BEGUN_MAX:
                raise AwayError("changes faster than it can be read page by page; ask for larger pages, or by a cursor")
            if rows is None:
                begun, position = begun + 1, afresh(position)
                continue
            if rows:
                await self._put_once(put, self._document(await asyncio.to_thread(movements, rows)))
            if page.rows:
                await self._put_once(put, self._document(await asyncio.to_thread(movements, page.rows)))
            if page.stuck:
                raise AwayError(page.stuck)
            position = page.position
            await asyncio.to_thread(self._keep, position)
            if page.is_end:
                return

    async def _look_for_a_snapshot(self, web: Web, kept: Position, put: Put, settings: SnapshotSettings) -> None:
        """Hand on one round of pages, if it says something new."""
        is_due = not settings.at and not 0 <= self._now_ms() - kept.told_ms < _DAY_MS
        position = afresh(kept)._replace(etag="" if is_due else kept.etag, etag_of=kept.etag_of)
        page = first = await self._page(web, position)
        if first is None:
            return
        rows = list(first.rows)
        for _ in range(PAGES_A_LOOK):
            if page is None or page.is_end or len(rows) > RECORDS_MAX:
                break
            page = await self._page(web, page.position)
            rows += [] if page is None else page.rows
        if page is None or not page.is_end or len(rows) > RECORDS_MAX:
            raise AwayError(f"has a snapshot without an end: {RECORDS_MAX} records or {PAGES_A_LOOK} pages are taken")
        at = text_at(first.answer, settings.at) if settings.at else ""
        digest = hashlib.sha256(json.dumps([at, rows]).encode()).hexdigest()
        position = page.position
        if digest != kept.told or is_due:
            moment = at or self._moment_of(first, settings)
            identity = text_at(first.answer, settings.id) if settings.id else f"{self.name}.{moment}"
            await put(self._document(snapshot(settings, identity.replace(" ", "T"), moment, rows)))
            position = position._replace(told=digest, told_ms=self._now_ms())
        await asyncio.to_thread(self._keep, position)

    async def _put_once(self, put: Put, document: Document) -> None:
        """Hand on a page, unless it was lately: what is put back in time is asked for again and again."""
        digest = document.digest
        if digest not in self._lately:
            await put(document)
        self._lately[digest] = None
        self._lately.move_to_end(digest)
        if len(self._lately) > LATELY_MAX:
            self._lately.popitem(last=False)

    def _moment_of(self, page: _Page, settings: SnapshotSettings) -> str:
        """The moment of an answer that names none. Raises AwayError where it should, or has no Date either."""
        if settings.at:
            raise AwayError(f"has no moment at {settings.at}; look at the snapshot of its section")
        if page.moment is None:
            raise AwayError("says no Date, which is the moment of its snapshot; name where that is (snapshot at)")
        return page.moment.strftime("%Y-%m-%dT%H:%M:%SZ")

    async def _page(self, web: Web, position: Position) -> _Page | None:
        """The next page, and where it leads; None where there is nothing new. Raises AwayError."""
        reply = await self._ask(web, position)
        if reply.status == _GONE and position.cursor:
            log.warning("%s knows its cursor no more; it is read from the beginning of the round", self.name)
            position = afresh(position)
            reply = await self._ask(web, position)
        if reply.status == _NOT_MODIFIED:
            return None
        if reply.status != _OK:
            raise AwayError(f"answers {reply.words}", reply.asked_s(self._now_ms() / 1_000))
        return await asyncio.to_thread(self._read, reply, position)

    async def _slipped(self, web: Web, position: Position) -> Sequence[Mapping[str, str]] | None:
        """The rows that have come into the page before since it was read; None where the round has to begin again.
        Raises AwayError."""
        before = page_before(self._settings.paging, position)
        if before is None:
            return ()
        reply = await self._ask(web, before)
        if reply.status != _OK:
            raise AwayError(f"answers {reply.words}", reply.asked_s(self._now_ms() / 1_000))
        records = slipped(position, records_of(self._settings.answer, await asyncio.to_thread(_answer, reply)))
        return None if records is None else rows_of(self._settings.answer, records)

    def _read(self, reply: Reply, position: Position) -> _Page:
        """What an answer says and where it leads. Raises AwayError where it is none."""
        answer = _answer(reply)
        records = records_of(self._settings.answer, answer)
        step = after(self._settings.paging, position, answer, records, self._now())
        rows = rows_of(self._settings.answer, step.fresh)
        etag = reply.headers.get("etag", "")
        can_be_asked = etag.isascii() and etag.isprintable() and len(etag) <= ETAG_MAX
        led = step.position._replace(etag=etag if can_be_asked else "", etag_of=self._url(position))
        return _Page(answer, reply.moment, rows, led, step.is_end, step.stuck)

    async def _ask(self, web: Web, position: Position) -> Reply:
        """One question. Raises AwayError where no answer came, or one from elsewhere."""
        settings, url = self._settings, self._url(position)
        headers = {}
        if settings.token_file is not None:
            token = await asyncio.to_thread(token_in, settings.token_file)
            headers["authorization"] = f"Bearer {token}"
        if position.etag and position.etag_of == url:
            headers["if-none-match"] = position.etag
        reply = await web.ask("GET", url, headers, max_bytes=ANSWER_MAX_BYTES)
        if reply.status == _NOT_MODIFIED and "if-none-match" not in headers:
            raise AwayError("answers HTTP 304, and was not asked for what has changed")
        if 300 <= reply.status < 400 and reply.status != _NOT_MODIFIED:
            raise AwayError(f"answers HTTP {reply.status}; redirects are not followed, so name the address itself")
        return reply

    def _document(self, data: bytes) -> Document:
        return Document(self._settings.source, Form.JSON, f"{self.name} {self._now():%Y-%m-%dT%H:%M:%SZ}", data)

    def _url(self, position: Position) -> str:
        asked = urlencode(parameters(self._settings.paging, position))
        joint = "&" if "?" in self._settings.url else "?"
        return f"{self._settings.url}{joint}{asked}" if asked else self._settings.url

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._now_ms() / 1_000, UTC)

    def _kept(self) -> Position:
        """How far the source was read; from the beginning where nothing is kept, or of another question."""
        try:
            kept = json.loads(self._file.read_bytes())
        except FileNotFoundError:
            return Position()
        except ValueError:
            kept = None
        position = from_json(kept.get("position")) if isinstance(kept, dict) else None
        if position is None or any(kept.get(name) != said for name, said in self._question().items()):
            log.warning(
                "%s: %s is not of this address and paging, or broken: it is read from the beginning",
                self.name,
                self._file,
            )
            return Position()
        return position

    def _question(self) -> dict[str, Any]:
        """What a position is of: by another way of paging it would lead elsewhere."""
        paging = self._settings.paging
        return {"url": self._settings.url, "paging": [paging.since, paging.cursor, paging.page]}

    def _keep(self, position: Position) -> None:
        make_folder(self._file.parent)
        kept = {**self._question(), "position": as_json(position)}
        replace(self._file, json.dumps(kept, indent=1).encode("ascii"))


def _answer(reply: Reply) -> Any:
    """What an answer says. Raises AwayError where it is no JSON."""
    if not reply.is_json:
        raise AwayError(f"answers {reply.words}, which is no JSON")
    try:
        return read_json(reply.body, ANSWER_MAX_BYTES)
    except MalformedError as error:
        raise AwayError(f"answers what {error}") from None
