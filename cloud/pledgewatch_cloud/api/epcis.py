"""GS1 EPCIS 2.0 over REST: capture of what senders saw, and the query of what is known here.

Capture takes a document whole or not at all (`rollback`), and the commit is the end of the job: the answer comes when
it is done. A job is the entry that took the document; where all of it was known, the entry by which it was.
"""

from http import HTTPStatus
from typing import Any, NoReturn

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from pledgewatch_cloud.api import examples
from pledgewatch_cloud.api.access import Service, ServiceOf, ViewOf, for_keepers
from pledgewatch_cloud.api.notices import hand_in, signed_body
from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.api.tellings import Tellings
from pledgewatch_cloud.decide.batch import Submission
from pledgewatch_cloud.decide.events import SaidEvent
from pledgewatch_cloud.decide.moments import MomentError, iso, moment_ms
from pledgewatch_cloud.decide.trade import epcis, epcis_out
from pledgewatch_cloud.decide.trade.epcis_out import Document, Query
from pledgewatch_cloud.journal import form
from pledgewatch_cloud.notices.intake import DOCUMENT_MAX_BYTES, RefusedError

router = APIRouter(prefix="/epcis", tags=["epcis"])

PER_PAGE, PER_PAGE_MAX = 30, 1_000
_KNOWN = "known."
_ROLLBACK = "rollback"
_HEADERS = {
    "GS1-EPCIS-Version": epcis_out.SCHEMA_VERSION,
    "GS1-EPCIS-Capture-File-Size-Limit": str(DOCUMENT_MAX_BYTES),
    "GS1-Capture-Error-Behaviour": _ROLLBACK,
}
# The query's parameters, by what they ask for: several values of one are divided by `|`.
_VALUES = {
    "eventType": "types",
    "EQ_action": "actions",
    "EQ_bizStep": "steps",
    "EQ_disposition": "dispositions",
    "EQ_readPoint": "read_points",
    "EQ_bizLocation": "locations",
    "MATCH_epc": "epcs",
    "MATCH_anyEPC": "epcs",
    "MATCH_epcClass": "classes",
    "MATCH_anyEPCClass": "classes",
    "EQ_eventID": "ids",
}
_EVENT_TIMES = {"GE_eventTime": "from_ms", "LT_eventTime": "until_ms"}
_RECORD_TIMES = ("GE_recordTime", "LT_recordTime")
_ERRORS_ONLY = "EXISTS_errorDeclaration"
_PARAMETERS = {*_VALUES, *_EVENT_TIMES, *_RECORD_TIMES, _ERRORS_ONLY, "perPage", "nextPageToken"}


@router.post("/capture", status_code=HTTPStatus.ACCEPTED, openapi_extra=examples.json_body(examples.EPCIS))
async def capture(service: ServiceOf, request: Request) -> Response:
    """Capture an EPCISDocument. `Location` names the capture job."""
    sender, raw = await signed_body(service, request)
    job, changed = await _captured(service, request, sender, raw)
    headers = {**_HEADERS, "Location": f"{router.prefix}/capture/{job}"}
    content = {"captureID": job} | ({} if changed else {"detail": "already known"})
    return JSONResponse(content, HTTPStatus.ACCEPTED, headers)


@router.get("/capture/{capture_id}", dependencies=[Depends(for_keepers)])
async def read_capture_job(view: ViewOf, service: ServiceOf, capture_id: str) -> Response:
    """How a capture stands, for keepers: what is in the journal has been captured, and nothing else has."""
    number = capture_id.removeprefix(_KNOWN)
    entry = int(number) if number.isascii() and number.isdigit() and len(number) < 16 else 0
    if not 1 <= entry <= service.writer.state.entry:
        raise _no_job(capture_id)
    if not capture_id.startswith(_KNOWN) and not await run_in_threadpool(_is_capture, service, entry):
        raise _no_job(capture_id)
    at = iso(await run_in_threadpool(view.recorded_at_ms, entry))
    content = {
        "captureID": capture_id,
        "createdAt": at,
        "finishedAt": at,
        "running": False,
        "success": True,
        "captureErrorBehaviour": _ROLLBACK,
        "errors": [],
    }
    return JSONResponse(content, headers=_HEADERS)


@router.post("/events", status_code=HTTPStatus.CREATED, openapi_extra=examples.json_body(examples.EPCIS_EVENT))
async def capture_event(service: ServiceOf, request: Request) -> Response:
    """Capture one event. `Location` is the query that finds it."""
    sender, raw = await signed_body(service, request)
    _, changed = await _captured(service, request, sender, raw)
    identity = epcis_out.notice_id(epcis.read(sender, raw.decode())[0].key)
    headers = {**_HEADERS, "Location": f"{router.prefix}/events?EQ_eventID={identity.replace('%', '%25')}"}
    content = {"eventID": identity} | ({} if changed else {"detail": "already known"})
    return JSONResponse(content, HTTPStatus.CREATED, headers)


@router.get("/events")
async def query_events(view: ViewOf, service: ServiceOf, request: Request) -> Response:
    """What is known here of goods and money, and what senders said, as an EPCISQueryDocument.

    Parameters, of which all must hold: eventType, EQ_action, EQ_bizStep, EQ_disposition, EQ_readPoint, EQ_bizLocation,
    MATCH_epc, MATCH_anyEPC, MATCH_epcClass, MATCH_anyEPCClass and EQ_eventID (several values divided by `|`), GE_ and
    LT_ of eventTime and recordTime, EXISTS_errorDeclaration; perPage and nextPageToken. `Link` names the next page.
    """
    query = _query(request)
    size = _per_page(request.query_params.get("perPage", str(PER_PAGE)))
    token = request.query_params.get("nextPageToken", "")
    times = [_moment(request, name) for name in _RECORD_TIMES]
    tellings = Tellings(view)

    def tell(said: SaidEvent) -> list[Document]:
        return [document for document in tellings.in_epcis(said) if epcis_out.answers(document, query)]

    found = await run_in_threadpool(
        lambda: tellings.page(token, size, tellings.entries(*times), tell, epcis_out.recorded)
    )
    headers = {"GS1-EPCIS-Version": epcis_out.SCHEMA_VERSION}
    if found.next_token:
        following = request.url.include_query_params(nextPageToken=found.next_token)
        headers |= {"Link": f'<{following.path}?{following.query}>; rel="next"'}
    content = epcis_out.query_document(found.documents, service.delivery_clock.now_ms())
    return JSONResponse(content, headers=headers)


async def _captured(service: Service, request: Request, sender: str, raw: bytes) -> tuple[str, bool]:
    """The capture job of a document, and whether it brought anything new."""
    wanted = request.headers.get("gs1-capture-error-behaviour", _ROLLBACK)
    if wanted != _ROLLBACK:
        raise Problem(
            HTTPStatus.NOT_IMPLEMENTED,
            f"a document is taken whole or not at all: GS1-Capture-Error-Behaviour can be {_ROLLBACK}, not {wanted!r}",
            kind="epcisException:ImplementationException",
        )
    try:
        entry = await hand_in(service, sender, "epcis", raw)
    except RefusedError as error:
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "nothing of the document is captured; it is kept in quarantine",
            error.errors,
            "epcisException:ValidationException",
        ) from None
    if entry is None:
        return f"{_KNOWN}{service.writer.state.entry}", False
    return str(entry), True


def _is_capture(service: Service, number: int) -> bool:
    written = next(iter(service.store.entries(number - 1)))
    content = form.read_entry(written).content if written.kind == "submission" else None
    return isinstance(content, Submission) and content.form == "epcis"


def _no_job(capture_id: str) -> Problem:
    text = f"there is no capture job {capture_id[:40]!r}"
    return Problem(HTTPStatus.NOT_FOUND, text, kind="epcisException:NoSuchResourceException")


def _query(request: Request) -> Query:
    parameters = request.query_params
    unknown = sorted(set(parameters) - _PARAMETERS)
    if unknown:
        _refuse(f"{', '.join(unknown)}: is no parameter here; there are {', '.join(sorted(_PARAMETERS))}")
    asked: dict[str, Any] = {}
    for name, field in _VALUES.items():
        values = {value for given in parameters.getlist(name) for value in given.split("|") if value}
        if values:
            asked[field] = tuple(sorted(values & set(asked[field]) if field in asked else values))
            if not asked[field]:
                both = " and ".join(one for one in _VALUES if _VALUES[one] == field)
                _refuse(f"{both} have no value in common")
    for name, field in _EVENT_TIMES.items():
        asked[field] = _moment(request, name)
    return Query(**asked, wrong_only=_ERRORS_ONLY in parameters)


def _moment(request: Request, name: str) -> int | None:
    written = request.query_params.get(name)
    try:
        return None if written is None else moment_ms(name, written.replace(" ", "+"))
    except MomentError as error:
        _refuse(str(error))


def _per_page(written: str) -> int:
    size = int(written) if written.isascii() and written.isdigit() and len(written) < 8 else 0
    if not 1 <= size <= PER_PAGE_MAX:
        _refuse(f"perPage: {written[:20]!r}: a number from 1 to {PER_PAGE_MAX} is needed")
    return size


def _refuse(text: str) -> NoReturn:
    raise Problem(HTTPStatus.BAD_REQUEST, text, kind="epcisException:QueryParameterException")
