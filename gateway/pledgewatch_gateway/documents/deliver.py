"""The way of documents to the cloud: one after the other, each signed, until the cloud has taken or refused it.

    POST <cloud>/stock/reports?source=wms-la-3&form=csv
    webhook-id, webhook-timestamp, webhook-signature: Standard Webhooks; the id is the same whenever it is sent again

Taken is what the cloud says it has taken: a 2xx with its own JSON, for a login page of the building's network is a 200
too. Refused is what it calls refused, by problem details about the document (400, 409, 413, 415, 422): that is set
aside with the reasons. Everything else is nobody's judgement of the document (who we are, where we ask, how they are):
it waits, and is tried again, less and less often. A document that the cloud stumbles over keeps no other from it, nor
does a source of which too much is refused, or that cannot sign or is not known by its signature (401, 403): of such a
one a single document is tried each time.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from enum import Enum
from random import Random
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from pledgewatch_edge.logs import World
from pledgewatch_gateway.documents import AwayError, Document, Form, FullError
from pledgewatch_gateway.documents.credentials import key_in, signed
from pledgewatch_gateway.documents.document_queue import DamagedError, Queue, source_of
from pledgewatch_gateway.documents.settings import DocumentsSettings
from pledgewatch_gateway.documents.web import Reply, Web
from pledgewatch_wire.backoff import jittered_backoff

ANSWER_MAX_BYTES: Final = 4 * 1024 * 1024  # a refusal tells each fault
LOOK_S: Final = 5.0  # for what another process has put back
TROUBLES_MAX: Final = 3  # one after the other, after which it is not the documents
REASONS_MAX: Final = 1_000
CONTENT_TYPES: Final = {
    Form.JSON: "application/json",
    Form.CSV: "text/csv",
    Form.X12: "application/edi-x12",
}
_REFUSED: Final = frozenset({400, 409, 413, 415, 422})
_NOT_KNOWN: Final = frozenset({401, 403})  # would say the same to every other document of the source
_BUSY: Final = frozenset({429, 503})  # would say the same to every other document
log = logging.getLogger(__name__)


class Word(Enum):
    """What the cloud makes of a document."""

    TAKEN = "taken"
    REFUSED = "refused"
    LATER = "later"


class Answer(NamedTuple):
    """What came of an attempt. `reasons` say why it was refused or has to wait; `asked_s` how long at least;
    `is_about_source`: another document of the source would fare no better now; `is_about_all`: nor would any."""

    word: Word
    reasons: tuple[str, ...] = ()
    asked_s: float = 0.0
    is_about_source: bool = False
    is_about_all: bool = False


class Delivery:
    """Delivers what is in a queue."""

    def __init__(self, settings: DocumentsSettings, queue: Queue, now_ms: Callable[[], int]) -> None:
        self.stirred = asyncio.Event()  # there may be something new in the queue
        self.taken = 0
        self.taken_ms: int | None = None
        self.trouble = ""  # why it does not go on, empty where it does
        self.held = ""  # why some sources' documents are left waiting, empty where none are
        self._settings = settings
        self._queue = queue
        self._now_ms = now_ms
        self._stumbled: set[str] = set()
        self._world = World(log, "the cloud that takes documents")
        self._room = World(log, "room for what the cloud refuses")

    async def run(self) -> None:
        """Deliver for ever."""
        random, attempts = Random(), 0  # noqa: S311 - jitter
        while True:
            asked_s = await self.deliver()
            if self.trouble:
                wait_s = jittered_backoff(attempts, maximum_s=self._settings.retry_max_s, random=random)
                attempts += 1
                await asyncio.sleep(max(wait_s, asked_s))
                continue
            attempts = 0
            try:
                async with asyncio.timeout(LOOK_S):
                    await self.stirred.wait()
            except TimeoutError:
                continue

    async def deliver(self) -> float:
        """Try all that waits once; how many seconds the cloud asks us to wait. `trouble` says what is in the way,
        `held` what was not tried."""
        self.stirred.clear()
        try:
            asked_s, trouble = await self._round()
        except OSError as error:
            asked_s, trouble = 0.0, str(error)
        self.trouble = trouble
        if trouble:
            self._world.lost(trouble)
        else:
            self._world.back()
        if self.held:
            self._room.lost(self.held)
        else:
            self._room.back()
        return asked_s

    async def _round(self) -> tuple[float, str]:
        """As `deliver`. Raises OSError."""
        self.held, held = "", dict[str, str]()
        names = await asyncio.to_thread(self._queue.waiting)
        if not names:
            return 0.0, ""
        self._stumbled &= set(names)
        not_known = set[str]()
        trouble, asked_s, troubles = "", 0.0, 0
        async with Web(self._settings.timeout_s, self._settings.ca_file) as web:
            for name in sorted(names, key=lambda one: (one in self._stumbled, one)):
                source = source_of(name)
                if source in held or source in not_known:
                    continue
                try:
                    answer = await self._offer(web, name)
                except FullError as error:
                    held[source] = str(error)
                    self.held = "; ".join(held.values())
                    continue
                if answer.word is not Word.LATER:
                    troubles = 0
                    continue
                trouble, asked_s = answer.reasons[0], max(asked_s, answer.asked_s)
                if answer.is_about_source:
                    trouble = f"{source}: {trouble}"
                    not_known.add(source)
                    continue
                if answer.is_about_all:
                    break
                troubles += 1
                self._stumbled.add(name)
                if troubles == TROUBLES_MAX:
                    break
        return asked_s, trouble

    async def _offer(self, web: Web, name: str) -> Answer:
        """Offer one document, and do what the answer asks for. Raises OSError, and FullError where there is no room for
        it if it is refused."""
        await asyncio.to_thread(self._queue.require_room, name)
        try:
            document = await asyncio.to_thread(self._queue.read, name)
        except FileNotFoundError:
            return Answer(Word.TAKEN)
        except DamagedError as error:
            await asyncio.to_thread(self._queue.set_aside, name, [str(error)])
            log.error("%s; it is set aside", error)
            return Answer(Word.REFUSED)
        try:
            key = await self._key_of(document.source)
        except AwayError as error:
            return Answer(Word.LATER, (str(error),), is_about_source=True)
        try:
            answer = meaning(await self._post(web, document, key), self._now_ms() / 1_000)
        except AwayError as error:
            return Answer(Word.LATER, (str(error),))
        match answer.word:
            case Word.TAKEN:
                await asyncio.to_thread(self._queue.remove, name)
                self.taken += 1
                self.taken_ms = self._now_ms()
                if answer.reasons:
                    log.warning("%r of %s: taken but for %s", document.name, document.source, answer.reasons[0])
            case Word.REFUSED:
                about = _line(f"{document.source}, {document.form}: {document.name}")
                await asyncio.to_thread(self._queue.set_aside, name, [about, *answer.reasons])
                log.warning("%r of %s is refused and set aside: %s", document.name, document.source, answer.reasons[0])
        return answer

    async def _key_of(self, source: str) -> bytes:
        """What a source signs with. Raises AwayError where there is nothing."""
        secret = self._settings.secrets.get(source)
        if secret is None:
            raise AwayError("no section of [documents] has it as source any more, so nothing of it can be signed")
        return await asyncio.to_thread(key_in, secret)

    async def _post(self, web: Web, document: Document, key: bytes) -> Reply:
        """Offer a document. Raises AwayError where no answer came."""
        asked = urlencode({"source": document.source, "form": document.form.value})
        headers = {
            "content-type": CONTENT_TYPES[document.form],
            "x-pledgewatch-sender": document.source,
            **await asyncio.to_thread(_signed, key, document, self._now_ms() // 1_000),
        }
        url = f"{self._settings.cloud.rstrip('/')}/stock/reports?{asked}"
        return await web.ask("POST", url, headers, content=document.data, max_bytes=ANSWER_MAX_BYTES)


def _signed(key: bytes, document: Document, at_s: int) -> Mapping[str, str]:
    return signed(key, f"stock-{document.digest}", at_s, document.data)


def meaning(reply: Reply, now_s: float) -> Answer:
    """What an answer says of the document that was offered."""
    said = _said(reply) if reply.is_json else {}
    if 200 <= reply.status < 300 and "changed" in said:
        return Answer(Word.TAKEN, _reasons(said))
    if reply.status in _REFUSED and said.get("status") == reply.status:
        return Answer(Word.REFUSED, _reasons(said) or (reply.words,))
    return Answer(
        Word.LATER,
        (f"answers {_line(said.get('detail') or reply.words)}",),
        reply.asked_s(now_s),
        is_about_source=reply.status in _NOT_KNOWN,
        is_about_all=reply.status in _BUSY or reply.status < 400,
    )


def _said(reply: Reply) -> Mapping[str, Any]:
    try:
        found = json.loads(reply.body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _reasons(said: Mapping[str, Any]) -> tuple[str, ...]:
    """The cloud's sentences, a line each: what a problem says, or which rows of what was taken have faults."""
    told = said.get("errors") or said.get("faults") or ()
    faults = [f"{one.get('line')}: {one.get('text')}" if isinstance(one, dict) else one for one in told]
    found = [said.get("detail"), *faults]
    return tuple(_line(one) for one in found if one)[:REASONS_MAX]


def _line(said: object) -> str:
    """As one line that every file and page can hold: JSON and names of files may have what is no character."""
    return " ".join(str(said).encode("utf-8", "backslashreplace").decode("utf-8").split())
