"""A registry's API: one route for all that members ask, since what is asked is what is signed."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from itertools import islice
from typing import Any

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response

import pledgewatch_cloud
from pledgewatch_cloud.api.body import raw_json_body
from pledgewatch_cloud.api.bounded import HELD_OPEN_MAX, Bounded
from pledgewatch_cloud.api.problems import Problem, answer_problems, problem_response
from pledgewatch_cloud.clock import Clock
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.registry import request as request_module
from pledgewatch_cloud.decide.registry.claim_book import ClaimBook, FullError
from pledgewatch_cloud.decide.registry.request import ListingClaims, ListingClashes, OvertakenError, RequestError
from pledgewatch_cloud.journal.form import DamagedError
from pledgewatch_cloud.notices.senders import SenderError, Senders
from pledgewatch_cloud.registry.kept import KeptBook, Signed, TooManyError

BODY_MAX_BYTES = 2 * 1024 * 1024
CLAIMS_SHOWN_MAX = 5_000
MESSAGE_MAX, SIGNATURE_MAX = 100, 400
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Desk:
    """What the API speaks for: the book, who its members are, how often each may ask in an hour, and a clock."""

    kept: KeptBook
    members: Senders
    questions_an_hour: Mapping[str, int]
    clock: Clock


_BODY_S = 60.0


def create_app(desk: Desk) -> FastAPI:
    """The API over a registry."""
    # Nothing of what can be asked is a secret, and a page that describes one route is not worth its door.
    app = FastAPI(
        title="pledgewatch registry",
        version=pledgewatch_cloud.__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.add_middleware(Bounded, most=lambda _: BODY_MAX_BYTES, within_s=_BODY_S, held_max=HELD_OPEN_MAX)
    answer_problems(app)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """That it is there."""
        return {"status": "ok"}

    @app.post("/requests")
    async def ask(request: Request) -> Response:
        """A member's request; see docs/REGISTRY.md."""
        body = await raw_json_body(request)
        headers = dict(request.headers)
        try:
            member = desk.members.of_request(headers, body, desk.clock.now_ms())
        except SenderError as error:
            raise Problem(HTTPStatus.UNAUTHORIZED, str(error)) from None
        message, signature = headers["webhook-id"], headers["webhook-signature"]
        if len(message) > MESSAGE_MAX or len(signature) > SIGNATURE_MAX:
            text = f"webhook-id has at most {MESSAGE_MAX} characters, webhook-signature {SIGNATURE_MAX}"
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, text)
        signed = Signed(member, message, int(headers["webhook-timestamp"]), signature, body)
        return await run_in_threadpool(answer, desk, signed)

    return app


def answer(desk: Desk, signed: Signed) -> Response:
    """What a member is answered. Raises Problem, StoreError."""
    book = desk.kept.book
    try:
        match asked := request_module.read(signed.body):
            case ListingClaims():
                return JSONResponse(_claims(book, signed.member, asked.after))
            case ListingClashes():
                return JSONResponse(_clashes(book, signed.member))
            case _:
                found = desk.kept.ask(signed, _kept(asked), desk.clock.now_ms(), desk.questions_an_hour[signed.member])
    except TooManyError as error:
        answered = problem_response(HTTPStatus.TOO_MANY_REQUESTS, str(error))
        answered.headers["retry-after"] = str(error.wait_s)
        return answered
    except OvertakenError as error:
        raise Problem(HTTPStatus.CONFLICT, str(error)) from None
    except FullError as error:
        raise Problem(HTTPStatus.INSUFFICIENT_STORAGE, str(error)) from None
    except RequestError as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None
    except DamagedError as error:
        log.error("the registry's file is damaged: %s", error)
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "the registry's file is damaged") from None
    return JSONResponse(found.as_json())


def _kept(asked: request_module.Request) -> request_module.KeptRequest:
    assert not isinstance(asked, ListingClaims | ListingClashes), "these are answered without being kept"
    return asked


def _claims(book: ClaimBook, member: str, after: str) -> dict[str, Any]:
    """A member's own live claims, in order of their references, of marks as many digits as tell them apart; and the
    turn of its newest question."""
    ordered = sorted((one for one in book.live(member) if one.reference > after), key=lambda one: one.reference)
    shown = [
        {
            "reference": one.reference,
            "marks": {key: request_module.digest_of(marks) for key, marks in one.marks},
            "claimed_at": iso(one.claimed_ms),
        }
        for one in islice(ordered, CLAIMS_SHOWN_MAX)
    ]
    keys = {"key": book.keys.key, "next_key": book.keys.next_key}
    turn, more = book.turns.get(member, 0), len(ordered) > len(shown)
    return {"answer": "claims", "turn": turn, "keys": keys, "claims": shown, "more": more}


def _clashes(book: ClaimBook, member: str) -> dict[str, Any]:
    shown = [
        {
            "clash": one.id,
            "reference": one.reference,
            "refused": one.is_refused,
            "first_at": iso(one.first_ms),
            "newest_at": iso(one.newest_ms),
            "times": one.times,
        }
        for one in book.clashes_of(member)[:CLAIMS_SHOWN_MAX]
    ]
    return {"answer": "clashes", "clashes": shown}
