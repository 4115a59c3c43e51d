"""Warehouse receipts: signed acts in; receipts, their histories, credentials, sheets and status lists out.

Who hands in an act needs no token: its signature shows who has decided it, whoever brings it. What is refused leaves no
trace, and says of other parties' receipts no more than its signer may know.
"""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.concurrency import run_in_threadpool

from pledgewatch_cloud.access.view import View
from pledgewatch_cloud.api import examples
from pledgewatch_cloud.api.access import Service, ServiceOf, ViewOf
from pledgewatch_cloud.api.body import signed_text
from pledgewatch_cloud.api.paging import JournalPagingOf, Paging, PagingOf
from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.decide.batch import SignedAct
from pledgewatch_cloud.decide.events import EventType, SaidEvent
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.receipts import act as act_module
from pledgewatch_cloud.decide.receipts import life
from pledgewatch_cloud.decide.receipts.act import Act, ActError, NoPartError, OvertakenError
from pledgewatch_cloud.decide.receipts.receipt import Receipt, State
from pledgewatch_cloud.decide.receipts.receipt_book import ReceiptBook
from pledgewatch_cloud.decide.receipts.register import register_of
from pledgewatch_cloud.journal import form
from pledgewatch_cloud.journal.store import Store
from pledgewatch_cloud.membership.client import RegistryError
from pledgewatch_cloud.membership.membership import ClashError, commit_act
from pledgewatch_cloud.receipts import sheet
from pledgewatch_cloud.receipts.credential import MEDIA_TYPE, PURPOSES, CredentialError
from pledgewatch_cloud.receipts.issuer import jwk_of
from pledgewatch_cloud.receipts.shown import as_json
from pledgewatch_cloud.receipts.signer import Signer, lists_of

router = APIRouter(prefix="/receipts", tags=["receipts"])
NumberOf = Annotated[int, Path(ge=0, le=2**53)]


def _of(media: str) -> dict[int | str, dict[str, Any]]:
    """What a route says of an answer that is no JSON."""
    return {200: {"content": {media: {"schema": {"type": "string"}}}}}


_ACTS = frozenset({EventType.RECEIPT_CHANGED})
"""Events of a receipt, and not of something else that goes by the same name."""
_NO_ISSUER = "no issuer is configured; set [receipts] issuer_key_file and base_url, and credentials are made"


@router.post("/acts", openapi_extra=examples.signed_body(), status_code=HTTPStatus.CREATED)
async def hand_in(service: ServiceOf, request: Request, response: Response) -> dict[str, Any]:
    """Take a signed act, a compact JWS (docs/RECEIPTS.md): 201 where it is taken, 200 where it was before, each with
    its receipt as it stands, or none where its signer has no part in that any more; 409 where another act came first or
    the goods are claimed at the registry, 422 where it is refused, 503 where it needs the registry and that is away."""
    text = await signed_text(request)
    act: Act | None = None
    has_part = True
    try:
        act = act_module.read(text)
        outcome = await commit_act(service.writer, service.membership, text, service.clock.now_ms())
    except RegistryError as error:
        raise _unclaimed(error) from None
    except ActError as error:
        is_late, has_part = isinstance(error, OvertakenError), not isinstance(error, NoPartError)
        if act is None or (has_part and not is_late) or not await run_in_threadpool(_was_taken, service.store, act):
            status = HTTPStatus.CONFLICT if is_late else HTTPStatus.UNPROCESSABLE_ENTITY
            raise _refusal(status, error, service.writer.state.receipts, act) from None
        outcome = None
    if outcome is None:
        response.status_code = HTTPStatus.OK
    receipt = as_json(_known(service.writer.state.receipts, act.receipt)) if has_part else None
    entry = None if outcome is None else outcome.state.entry
    return {"entry": entry, "changed": outcome is not None, "receipt": receipt}


@router.get("")
async def list_receipts(
    view: ViewOf,
    paging: PagingOf,
    warehouse: str = "",
    holder: str = "",
    pledgee: str = "",
    state: State | None = None,
) -> dict[str, Any]:
    """Receipts by id, of a warehouse, holder, pledgee or state where one is named."""
    wanted = {"warehouse": warehouse, "holder": holder, "pledgee": pledgee, "state": state or ""}
    asked = [(name, value) for name, value in wanted.items() if value]
    return await run_in_threadpool(_page, view.state.receipts, asked, paging)


@router.get("/register")
async def read_register(service: ServiceOf) -> dict[str, str]:
    """What this register is called: the first act of a receipt names it."""
    return {"register": register_of(service.writer.state.journal)}


@router.get("/issuer")
async def read_issuer(service: ServiceOf) -> dict[str, str]:
    """The public key that credentials are signed with, a JSON Web Key. Whoever verifies takes it by another way too."""
    issuer = _signer(service).issuer
    return {**jwk_of(issuer.public_key), "kid": issuer.kid}


@router.get("/status-lists/{number}", response_class=Response, responses=_of("text/plain"))
async def read_status_lists(service: ServiceOf, number: NumberOf) -> Response:
    """The file of both status lists that hold a credential's bits, a line each, of one moment."""
    return Response(await _lists(service, number), media_type="text/plain")


@router.get("/status-lists/{purpose}/{number}", response_class=Response, responses=_of(MEDIA_TYPE))
async def read_status_list(service: ServiceOf, purpose: str, number: NumberOf) -> Response:
    """One status list, at the address that credentials name."""
    if purpose not in PURPOSES:
        raise Problem(HTTPStatus.NOT_FOUND, f"there is no status list for {purpose!r}, but for {', '.join(PURPOSES)}")
    lists = (await _lists(service, number)).splitlines()
    return Response(lists[PURPOSES.index(purpose)], media_type=MEDIA_TYPE)


@router.get("/{receipt:path}/acts")
async def list_acts(view: ViewOf, paging: JournalPagingOf, receipt: str) -> dict[str, Any]:
    """What became of a receipt, oldest first: each act as it was signed, and where evidence alone has changed it, that.
    Go on from `next_after_entry`, until nothing comes; `Link` names the next page."""
    acts = await run_in_threadpool(_acts, view, receipt, paging.after_entry, paging.limit)
    if not acts and (not paging.after_entry or not await run_in_threadpool(_acts, view, receipt, 0, 1)):
        _receipt(view, receipt)
    # From the last that is seen: how far was looked would tell of acts that are not.
    last = acts[-1]["entry"] if acts else paging.after_entry
    return {"acts": acts, "next_after_entry": paging.go_on(last, last + (len(acts) >= paging.limit))}


@router.get("/{receipt:path}/credential", response_class=Response, responses=_of(MEDIA_TYPE))
async def read_credential(view: ViewOf, service: ServiceOf, receipt: str) -> Response:
    """The credential of a receipt as it stands, a compact JWS: the same bytes until the receipt says something else."""
    return Response(await _credential(service, _receipt(view, receipt)), media_type=MEDIA_TYPE)


@router.get("/{receipt:path}/credentials/{number}", response_class=Response, responses=_of(MEDIA_TYPE))
async def read_numbered_credential(view: ViewOf, service: ServiceOf, receipt: str, number: NumberOf) -> Response:
    """The credential of a receipt at the address that it names itself, as long as it is the newest."""
    known = _receipt(view, receipt)
    if not number or number > known.number:
        raise Problem(HTTPStatus.NOT_FOUND, f"receipt {receipt} has no credential {number}")
    if number != known.number:
        raise Problem(HTTPStatus.GONE, f"credential {number} does not hold any more: {receipt} says something else now")
    return Response(await _credential(service, known), media_type=MEDIA_TYPE)


@router.get("/{receipt:path}/sheet", response_class=Response, responses=_of("application/pdf"))
async def read_sheet(view: ViewOf, service: ServiceOf, receipt: str) -> Response:
    """The credential of a receipt as a sheet for people, a PDF that holds it."""
    token = await _credential(service, _receipt(view, receipt))
    return Response(await run_in_threadpool(sheet.pdf, token), media_type="application/pdf")


@router.get("/{receipt:path}")
async def read_receipt(view: ViewOf, receipt: str) -> dict[str, Any]:
    """One receipt as it stands, and who may do what with it."""
    return as_json(_receipt(view, receipt))


def _refusal(status: HTTPStatus, error: ActError, receipts: ReceiptBook, act: Act | None) -> Problem:
    """Why an act is refused, as its signer may read it. There are clashes only where the signature was found good."""
    more: dict[str, Any] = {"why": error.why, "cure": error.cure}
    if act is not None and error.clashes:
        own, hidden = life.seen(receipts, error, act.by)
        more |= {"clashes": own, "clashes_of_others": hidden}
        if error.asks:
            more["asks"] = sorted({clash.ask for clash in error.clashes})
    return Problem(status, life.told(receipts, error, act.by if act is not None else ""), more=more)


def _unclaimed(error: RegistryError) -> Problem:
    """Why goods cannot be claimed at the registry; of whose they are it says nothing, for nobody here knows."""
    more = {"why": error.why, "cure": error.cure}
    if isinstance(error, ClashError):
        return Problem(HTTPStatus.CONFLICT, str(error), more=more | {"registry_clash": error.clash})
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), more=more)


def _was_taken(store: Store, act: Act) -> bool:
    """Whether an act is among those that made its receipt what it is, so that who lost the answer may ask again."""
    after = 0
    while said := store.events(after, subject=act.receipt):
        if any(one.event.type in _ACTS and one.event.fact("head") == act.digest for one in said):
            return True
        after = _entry_of(said[-1])
    return False


def _receipt(view: View, name: str) -> Receipt:
    return _known(view.state.receipts, name)


def _known(receipts: ReceiptBook, name: str) -> Receipt:
    found = receipts.get(name)
    if found is None:
        raise Problem(HTTPStatus.NOT_FOUND, f"there is no receipt {name!r}")
    return found


def _page(receipts: ReceiptBook, asked: list[tuple[str, str]], paging: Paging) -> dict[str, Any]:
    page = paging.page(
        (one.id, one) for one in receipts.receipts() if all(getattr(one, name) == it for name, it in asked)
    )
    return {"receipts": [as_json(one) for one in page.items], "next_after": page.next_after}


def _acts(view: View, receipt: str, after_entry: int, limit: int) -> list[dict[str, Any]]:
    return [_history(view, one) for one in view.events(after_entry, limit, receipt, _ACTS)]


def _history(view: View, said: SaidEvent) -> dict[str, Any]:
    """An event of a receipt, with the text of the act that led to it."""
    written = next(iter(view.entries(_entry_of(said) - 1)))
    content = form.read_entry(written).content
    facts = dict(said.event.facts)
    text = {"text": content.text} if isinstance(content, SignedAct) and facts["act"] else {}
    return {
        "entry": written.number,
        "recorded": iso(written.recorded_at_ms),
        "event": said.event.type.value,
        "at": iso(said.event.at_ms),
        **facts,
        **text,
    }


def _entry_of(said: SaidEvent) -> int:
    return int(said.id.partition(".")[0])


def _signer(service: Service) -> Signer:
    if service.signer is None:
        raise Problem(HTTPStatus.NOT_FOUND, _NO_ISSUER)
    return service.signer


async def _credential(service: Service, receipt: Receipt) -> str:
    """Raises Problem where no credential can be made."""
    try:
        return await run_in_threadpool(_signer(service).credential, receipt)
    except CredentialError as error:
        raise Problem(HTTPStatus.CONFLICT, str(error)) from None


async def _lists(service: Service, number: int) -> str:
    """Raises Problem where there is no such list."""
    signer, receipts = _signer(service), service.writer.state.receipts
    if number >= lists_of(receipts):
        raise Problem(HTTPStatus.NOT_FOUND, f"there is no status list {number}; the last is {lists_of(receipts) - 1}")
    return await run_in_threadpool(signer.lists, receipts, number, service.clock.now_ms())
