"""The sandbox financing core: what a bank's system would be at the other end of the outbox.

It believes nothing that is not signed (Standard Webhooks) and fresh, books every message once by its id, in SQLite and
before it answers 2xx, and shows at /ledger what follows: alerts open, releases, values. It counts what a bank's auditor
would ask for: repeats, conflicts, messages out of order, gaps, double releases. On request it misbehaves.
"""

import asyncio
import contextlib
import errno
import json
import logging
import re
import signal
import socket
import sqlite3
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from random import Random
from secrets import token_bytes
from typing import Annotated, Any

import uvicorn
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from standardwebhooks import Webhook, WebhookVerificationError
from starlette.exceptions import HTTPException

from pledgewatch_wire.settings import SettingsError

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 256 * 1024
MESSAGES_A_PAGE = 500
_SECRET_BYTES = range(24, 65)  # what Standard Webhooks asks of a secret
_SHUTDOWN_S = 5
_PREFIX, _SUFFIX = "com.pledgewatch.", ".v1"
# What CloudEvents 1.0 requires, what it leaves to us, and our own two extension attributes.
_TEXTS = ("id", "source", "type", "specversion", "subject", "facility", "sequence")
# What a message can ask for. The simulator imports nothing of the cloud; a test holds the two lists together.
_TYPES = frozenset(
    f"{_PREFIX}{name}{_SUFFIX}"
    for name in (
        "raise_alert",
        "acknowledge_alert",
        "escalate_alert",
        "de_escalate_alert",
        "repeat_alert",
        "amend_alert",
        "clear_alert",
        "withdraw_alert",
        "release_disbursement",
        "question_release",
        "reaffirm_release",
        "record_base",
        "record_breach",
        "call_margin",
        "record_cover",
    )
)
_SEQUENCE = re.compile(r"[0-9]{1,20}")
_SEQUENCE_MAX = 2**63 - 1  # what an integer of the ledger holds

_SCHEMA = """
CREATE TABLE IF NOT EXISTS message (
    arrival INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, type TEXT NOT NULL, facility TEXT NOT NULL,
    sequence INTEGER NOT NULL, subject TEXT NOT NULL, received_at_ms INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS count (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""
COUNTS = (
    "received",
    "verified",
    "booked",
    "repeats",
    "rejected",
    "conflicts",
    "out_of_order",
    "gaps",
    "double_releases",
)


@dataclass(frozen=True, slots=True)
class BankSettings:
    """Where the core listens, what it keeps, and whose signatures it knows (several secrets while keys rotate).

    `port` 0: any free one. `port_file`: where the port is written once it is listened on.
    """

    database: Path
    secret_files: tuple[Path, ...]
    host: str = "127.0.0.1"
    port: int = 8430
    port_file: Path | None = None

    def __post_init__(self) -> None:
        if not self.secret_files:
            raise ValueError("secret_files is empty; without a secret nothing can be believed")
        if not 0 <= self.port <= 65_535:
            raise ValueError(f"port is {self.port}; it must be 0 to 65535")


@dataclass(frozen=True, slots=True)
class MisbehaviourSettings:
    """How it misbehaves: 503 to the first requests, 500 before booking, 504 after booking, each answer late."""

    fail_first: int = 0
    answer_500_share: float = 0.0
    lose_answer_share: float = 0.0
    slow_s: float = 0.0
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("answer_500_share", "lose_answer_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}; a share is 0 to 1")
        for name in ("fail_first", "slow_s"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must not be below 0")


@dataclass(frozen=True, slots=True)
class BankFile:
    """The configuration file."""

    bank: BankSettings
    misbehave: MisbehaviourSettings = field(default_factory=MisbehaviourSettings)


class Ledger:
    """The messages that were booked, on disk. Safe to call from several threads."""

    def __init__(self, path: Path) -> None:
        """Open the ledger, or make it. Raises OSError where there is something that is none."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise OSError(errno.EIO, str(error), str(path)) from None

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def count(self, *names: str) -> None:
        """One more of each."""
        with self._transaction() as connection:
            _count(connection, names)

    def book(self, event: dict[str, Any], body: str) -> HTTPStatus:
        """Book a verified message. OK for a new one and for a repeat, CONFLICT for an id with another body."""
        with self._transaction() as connection:
            known = connection.execute("SELECT body FROM message WHERE id = ?", (event["id"],)).fetchone()
            if known is not None:
                _count(connection, ["repeats"] if known[0] == body else ["conflicts"])
                return HTTPStatus.OK if known[0] == body else HTTPStatus.CONFLICT
            facility, sequence, name = event["facility"], int(event["sequence"]), _name(event["type"])
            (last,) = connection.execute(
                "SELECT coalesce(max(sequence), 0) FROM message WHERE facility = ?", (facility,)
            ).fetchone()
            oddities = ["out_of_order"] if sequence <= last else ["gaps"] if sequence > last + 1 else []
            if name == "release_disbursement" and self._released(connection, event["subject"]):
                oddities.append("double_releases")
            connection.execute(
                "INSERT INTO message (id, type, facility, sequence, subject, received_at_ms, body)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (event["id"], name, facility, sequence, event["subject"], time.time_ns() // 1_000_000, body),
            )
            _count(connection, ["booked", *oddities])
        return HTTPStatus.OK

    def counts(self) -> dict[str, int]:
        """All counts since the ledger began."""
        with self._lock:
            found = dict(self._connection.execute("SELECT name, value FROM count"))
        return {name: found.get(name, 0) for name in COUNTS}

    def messages(self, after: int, limit: int) -> list[dict[str, Any]]:
        """Messages beyond an arrival number, in order of arrival."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT arrival, id, type, facility, sequence, subject, received_at_ms, body FROM message"
                " WHERE arrival > ? ORDER BY arrival LIMIT ?",
                (after, limit),
            ).fetchall()
        names = ("arrival", "id", "type", "facility", "sequence", "subject", "received_at_ms")
        return [{**dict(zip(names, row[:-1], strict=True)), "data": json.loads(row[-1])["data"]} for row in rows]

    def latest(self, limit: int) -> list[dict[str, Any]]:
        """The last messages to arrive, in order of arrival, without what they say."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT id, type, facility, sequence, received_at_ms FROM message ORDER BY arrival DESC LIMIT ?",
                (limit,),
            ).fetchall()
        names = ("id", "type", "facility", "sequence", "received_at_ms")
        return [dict(zip(names, row, strict=True)) for row in reversed(rows)]

    def facilities(self) -> dict[str, dict[str, Any]]:
        """What the messages, in each facility's own order, lead to."""
        books: dict[str, dict[str, Any]] = {}
        with self._lock:
            rows = self._connection.execute(
                "SELECT id, type, facility, subject, body FROM message ORDER BY facility, sequence, arrival"
            )
            for identity, name, facility, subject, body in rows:
                book = books.setdefault(
                    facility,
                    {
                        "alerts_open": [],
                        "releases": {},
                        "base": None,
                        "cover": None,
                        "margin_call": None,
                    },
                )
                _apply(book, identity, name, subject, json.loads(body)["data"])
        return books

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    @staticmethod
    def _released(connection: sqlite3.Connection, milestone: str) -> bool:
        found = connection.execute(
            "SELECT 1 FROM message WHERE type = 'release_disbursement' AND subject = ? LIMIT 1", (milestone,)
        ).fetchone()
        return found is not None


class RejectedError(Exception):
    """A request that is not booked, with the status that says why."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


def create_bank(ledger: Ledger, secrets: list[str], misbehave: MisbehaviourSettings) -> FastAPI:
    """The core's HTTP side over a ledger."""
    app = FastAPI(title="sandbox financing core", docs_url=None, redoc_url=None)
    dice = Random(misbehave.seed)
    turns = iter(range(10**12))

    @app.post("/messages")
    async def take(request: Request) -> JSONResponse:
        if misbehave.slow_s:
            await asyncio.sleep(misbehave.slow_s)
        if next(turns) < misbehave.fail_first:
            return _problem(HTTPStatus.SERVICE_UNAVAILABLE, "not open yet")
        if dice.random() < misbehave.answer_500_share:
            return _problem(HTTPStatus.INTERNAL_SERVER_ERROR, "misbehaving as asked")
        await asyncio.to_thread(ledger.count, "received")
        try:
            event, body = await _verified(request, secrets)
        except RejectedError as error:
            await asyncio.to_thread(ledger.count, "rejected")
            return _problem(error.status, error.detail)
        await asyncio.to_thread(ledger.count, "verified")
        status = await asyncio.to_thread(ledger.book, event, body)
        if status is HTTPStatus.CONFLICT:
            return _problem(status, f"{event['id']} was booked with another body")
        if dice.random() < misbehave.lose_answer_share:
            return _problem(HTTPStatus.GATEWAY_TIMEOUT, "booked, and the answer lost, as asked")
        return JSONResponse({"id": event["id"]})

    _add_readers(app, ledger)
    return app


def _add_readers(app: FastAPI, ledger: Ledger) -> None:
    """What anybody may look at."""

    @app.get("/ledger")
    async def read_ledger() -> dict[str, Any]:
        return {
            "facilities": await asyncio.to_thread(ledger.facilities),
            "counts": await asyncio.to_thread(ledger.counts),
            "messages": await asyncio.to_thread(ledger.latest, MESSAGES_A_PAGE),
        }

    @app.get("/ledger/messages")
    async def read_messages(after: Annotated[int, Query(ge=0, le=2**62)] = 0) -> list[dict[str, Any]]:
        return await asyncio.to_thread(ledger.messages, after, MESSAGES_A_PAGE)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    _answer_with_problems(app)


def _answer_with_problems(app: FastAPI) -> None:
    """What the framework refuses by itself is said the same way (RFC 9457)."""

    @app.exception_handler(RequestValidationError)
    async def bad_request(_: Request, error: RequestValidationError) -> JSONResponse:
        return _problem(HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(one["msg"] for one in error.errors()))

    @app.exception_handler(HTTPException)
    async def no_such_thing(_: Request, error: HTTPException) -> JSONResponse:
        return _problem(HTTPStatus(error.status_code), error.detail)


async def run(settings: BankFile) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises SettingsError for a secret that cannot be used, OSError for an address or a file that cannot.
    """
    for path in settings.bank.secret_files:
        if not path.exists():
            make_secret(path)
            log.info("made %s: who sends signs with it", path)
    secrets = read_secrets(settings.bank.secret_files)
    ledger = Ledger(settings.bank.database)
    try:
        app = create_bank(ledger, secrets, settings.misbehave)
        config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=_SHUTDOWN_S)
        server = _Server(config)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, server.stop)
        with _listen(settings.bank) as listener:
            await server.serve([listener])
        log.info("stopped")
    finally:
        ledger.close()


def make_secret(path: Path) -> None:
    """A new secret, in a file that only its owner may read. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text("whsec_" + b64encode(token_bytes(_SECRET_BYTES.start)).decode(), encoding="ascii")


def read_secrets(files: tuple[Path, ...]) -> list[str]:
    """The secrets in files, one in each: `whsec_` and base64. Raises SettingsError for a file that holds none."""
    secrets = []
    for path in files:
        try:
            secret = path.read_text(encoding="ascii").strip()
            raw = b64decode(secret.removeprefix("whsec_"), validate=True)
        except OSError as error:
            raise SettingsError(path, [f"cannot be read: {error.strerror}"]) from None
        except ValueError:
            raise SettingsError(path, ["is not whsec_ and base64"]) from None
        if len(raw) not in _SECRET_BYTES:
            raise SettingsError(path, [f"holds {len(raw)} bytes; a secret has 24 to 64"])
        secrets.append(secret)
    return secrets


class _Server(uvicorn.Server):
    """uvicorn's own way with signals ends the process by the signal, before the ledger is closed; this one returns."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to whoever runs us."""
        yield

    def stop(self) -> None:
        """Finish what is under way and return from `serve`."""
        self.should_exit = True


def _listen(settings: BankSettings) -> socket.socket:
    """A listening socket; its port goes to `port_file` as soon as connections are taken."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.create_server((settings.host, settings.port), family=family)
    port = listener.getsockname()[1]
    if settings.port_file is not None:
        # By rename: whoever waits for the file never reads half a number.
        fresh = settings.port_file.with_name(f"{settings.port_file.name}.new")
        fresh.write_text(f"{port}\n", encoding="ascii")
        fresh.replace(settings.port_file)
    log.info("the sandbox core listens on http://%s:%d", settings.host, port)
    return listener


async def _verified(request: Request, secrets: list[str]) -> tuple[dict[str, Any], str]:
    """The CloudEvent of a request, once its size, signature, freshness and form are right."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise RejectedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {MAX_BODY_BYTES} bytes")
    headers = dict(request.headers)
    try:
        text = body.decode()
        reasons = [_signature_fault(secret, text, headers) for secret in secrets]
    except UnicodeDecodeError:
        raise RejectedError(HTTPStatus.UNPROCESSABLE_ENTITY, "the body is not UTF-8") from None
    if all(reasons):
        raise RejectedError(HTTPStatus.UNAUTHORIZED, str(reasons[0]))
    event = _event(text)
    if event["id"] != headers["webhook-id"]:
        raise RejectedError(HTTPStatus.UNPROCESSABLE_ENTITY, "webhook-id is not the event's id")
    return event, text


def _event(text: str) -> dict[str, Any]:
    """The body as a CloudEvent 1.0 with our extension attributes. Raises RejectedError where it is none."""
    try:
        event = json.loads(text)
        # What cannot be written again (a lone surrogate, an infinite number) is not booked: /ledger must stay readable.
        json.dumps(event, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise RejectedError(HTTPStatus.UNPROCESSABLE_ENTITY, f"the body is not JSON: {error}") from None
    if not isinstance(event, dict):
        raise RejectedError(HTTPStatus.UNPROCESSABLE_ENTITY, "the body is no JSON object")
    wrong = [name for name in _TEXTS if not isinstance(event.get(name), str) or not event[name]]
    if not isinstance(event.get("data"), dict):
        wrong.append("data")
    if "specversion" not in wrong and event["specversion"] != "1.0":
        wrong.append("specversion")
    if "sequence" not in wrong and not _is_sequence(event["sequence"]):
        wrong.append("sequence")
    if wrong:
        raise RejectedError(HTTPStatus.UNPROCESSABLE_ENTITY, f"attributes missing or wrong: {', '.join(wrong)}")
    if event["type"] not in _TYPES:
        raise RejectedError(HTTPStatus.UNPROCESSABLE_ENTITY, f"there is no message of the type {event['type']!r}")
    if _name(event["type"]) == "release_disbursement" and not _is_amount(event["data"].get("amount_minor")):
        raise RejectedError(HTTPStatus.UNPROCESSABLE_ENTITY, "data.amount_minor must be a whole number above 0")
    return event


def _is_amount(value: object) -> bool:
    return type(value) is int and 0 < value <= _SEQUENCE_MAX


def _is_sequence(text: str) -> bool:
    return _SEQUENCE.fullmatch(text) is not None and int(text) <= _SEQUENCE_MAX


def _signature_fault(secret: str, text: str, headers: dict[str, str]) -> str | None:
    try:
        Webhook(secret).verify(text, headers, json_parse=False)
    except (WebhookVerificationError, ValueError) as error:
        return f"the signature does not verify: {error}"
    return None


def _apply(book: dict[str, Any], identity: str, name: str, subject: str, data: dict[str, Any]) -> None:
    """What one message does to a facility's book. A second release of a milestone moves nothing and is shown."""
    match name:
        case "raise_alert":
            if subject not in book["alerts_open"]:
                book["alerts_open"].append(subject)
        case "clear_alert" | "withdraw_alert":
            book["alerts_open"] = [alert for alert in book["alerts_open"] if alert != subject]
        case "release_disbursement" if subject in book["releases"]:
            book["releases"][subject]["refused"].append(identity)
        case "release_disbursement":
            details = {key: data.get(key) for key in ("amount_minor", "currency", "payee")}
            book["releases"][subject] = {**details, "message": identity, "status": "released", "refused": []}
        case "question_release" | "reaffirm_release":
            if subject in book["releases"]:
                book["releases"][subject]["status"] = "in question" if name == "question_release" else "released"
        case "record_base":
            book["base"] = data
        case "record_breach" | "record_cover":
            book["cover"] = data.get("cover")
            if name == "record_cover":
                book["margin_call"] = None
        case "call_margin":
            book["margin_call"] = {key: data.get(key) for key in ("call_minor", "currency", "cure_by_ms")}


def _name(event_type: str) -> str:
    return event_type.removeprefix(_PREFIX).removesuffix(_SUFFIX)


def _count(connection: sqlite3.Connection, names: tuple[str, ...] | list[str]) -> None:
    connection.executemany(
        "INSERT INTO count VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1",
        [(name,) for name in names],
    )


def _problem(status: HTTPStatus, detail: str) -> JSONResponse:
    content = {"type": "about:blank", "title": status.phrase, "status": int(status), "detail": detail}
    return JSONResponse(content, status_code=status, media_type="application/problem+json")
