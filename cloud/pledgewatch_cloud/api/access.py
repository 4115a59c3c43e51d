"""What the API speaks for, who asks, and how a route reaches either.

Who asks is found out before any route is (api/around.py), and stands in the request's state as its `Viewer`; where
nobody is known, why not. A route that answers takes a `View`: it cannot say more than who asks may see. One that writes
takes the `Service` too, behind a check of who may: `for_keepers`, or `for_writers` where a party writes of what is its
own. Those that speak of the service as a whole are for its keepers.

All of these are coroutines, though they wait for nothing: FastAPI runs what is none in a thread, and each way there and
back waits for the interpreter beside a batch that is being taken in. Those that nearly every route has take the request
and ask for nothing else by `Depends`: each such step costs a read a tenth of a millisecond.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Request

from pledgewatch_cloud.access.audit import Audit
from pledgewatch_cloud.access.identify import (
    ChangedError,
    Door,
    ProviderAwayError,
    Shown,
    StrangerError,
    UnguardedError,
    UnknownError,
)
from pledgewatch_cloud.access.rates import Rates
from pledgewatch_cloud.access.view import View, Views
from pledgewatch_cloud.addresses import counted_as
from pledgewatch_cloud.api.paths import READING, is_open
from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.api.refolds import Refolds
from pledgewatch_cloud.api.streams import Streams
from pledgewatch_cloud.clock import Clock, SystemClock
from pledgewatch_cloud.decide.access.scope import Viewer
from pledgewatch_cloud.decide.access.users import UNCHANGING, Role
from pledgewatch_cloud.identity.carer import Carer
from pledgewatch_cloud.identity.registrar import Registrar
from pledgewatch_cloud.ingest.metrics import Metrics
from pledgewatch_cloud.ingest.subscriber import SubscriberCounts
from pledgewatch_cloud.journal.outbox import CORE
from pledgewatch_cloud.journal.store import Store
from pledgewatch_cloud.login.login import Login
from pledgewatch_cloud.membership.membership import Membership
from pledgewatch_cloud.notices.metrics import Submissions
from pledgewatch_cloud.notices.senders import Senders
from pledgewatch_cloud.outbox.relay import Relay
from pledgewatch_cloud.receipts.signer import Signer
from pledgewatch_cloud.series.series import Series
from pledgewatch_cloud.spine.writer import Writer
from pledgewatch_cloud.stock.reports import StockReports

"""How much of an address of IPv6 is a network's; the rest is for its host to choose."""
LOGINS_PER_MINUTE = 120
"""Steps of logins from one address; each login has two, and there may be many people behind one address."""


@dataclass(frozen=True, slots=True)
class Service:
    """What the API speaks for. `token` is the keeper's; None and a book without users: whoever reaches the address is
    one (loopback only, see config).

    `senders` may hand in notices and reports of stock, and nothing else; each shows that it is one (see
    notices/senders.py). `relays` are by their endpoints; `payers` are those of them that pay. `clock` says when what is
    handed in came, as entries of the journal say when they were recorded; `delivery_clock` is the world's. `signer`
    makes credentials of receipts; None where no issuer is configured. `login`: by which provider people log in, if they
    do. `registrar` gives devices their identities and `carer` sets them and has them do things, where an authority is
    configured. `requests_per_minute_of` are of roles that may ask more or less often than others. A body must be whole
    within `body_s`. `state_stands_s`: see Views. What follows these is made of the rest.
    """

    store: Store
    writer: Writer
    series: Series
    metrics: Metrics
    delivery_clock: Clock
    wake_relay: Callable[[], None]
    broker_connected: Callable[[], bool]
    broker_counts: Callable[[], SubscriberCounts]
    token: str | None
    senders: Senders = field(default_factory=Senders)
    submissions: Submissions = field(default_factory=Submissions)
    stock_reports: StockReports = field(default_factory=StockReports)
    relays: Mapping[str, Relay] = field(default_factory=dict)
    payers: frozenset[str] = frozenset({CORE})
    clock: Clock = field(default_factory=SystemClock)
    membership: Membership | None = None
    signer: Signer | None = None
    login: Login | None = None
    registrar: Registrar | None = None
    carer: Carer | None = None
    requests_per_minute: int = 12_000
    requests_per_minute_of: Mapping[Role, int] = field(default_factory=dict)
    body_s: float = 60.0
    state_stands_s: float = 0.0
    door: Door = field(init=False)
    views: Views = field(init=False)
    audit: Audit = field(init=False)
    rates: Rates = field(init=False)
    rates_of_addresses: Rates = field(init=False)
    rates_of: Mapping[Role, Rates] = field(init=False)
    logins: Rates = field(init=False)
    streams: Streams = field(default_factory=Streams, init=False)
    refolds: Refolds = field(default_factory=Refolds, init=False)

    def __post_init__(self) -> None:
        """Make what follows from the rest."""
        object.__setattr__(self, "door", Door(self.token, self.login))
        views = Views(self.store, self.writer, self.series, self.clock, state_stands_s=self.state_stands_s)
        object.__setattr__(self, "views", views)
        object.__setattr__(self, "audit", Audit(self.writer, self.delivery_clock))
        object.__setattr__(self, "rates", Rates(self.requests_per_minute, time.monotonic))
        # Apart from users', so that strangers with many addresses make nobody else's be forgotten.
        object.__setattr__(self, "rates_of_addresses", Rates(self.requests_per_minute, time.monotonic))
        of = {role: Rates(most, time.monotonic) for role, most in self.requests_per_minute_of.items()}
        object.__setattr__(self, "rates_of", of)
        object.__setattr__(self, "logins", Rates(LOGINS_PER_MINUTE, time.monotonic))


async def service_of(request: Request) -> Service:
    """The service that a request reaches."""
    service: Service = request.app.state.service
    return service


ServiceOf = Annotated[Service, Depends(service_of)]


def shown_by(request: Request, service: Service) -> Shown:
    """What a request shows of who asks."""
    headers, login = request.headers, service.login
    return Shown(
        headers.get("authorization", ""),
        "" if login is None else request.cookies.get(login.cookies.session, ""),
        headers.get("x-csrf-token", ""),
        headers.get("origin", ""),
        is_write=request.method not in READING,
        is_attended=headers.get("x-unattended") is None,
        host=headers.get("host", ""),
    )


async def viewer_showing(service: Service, shown: Shown) -> Viewer:
    """Who shows this, now. Raises UnknownError."""
    return await service.door.viewer_of(shown, service.writer.state.book, service.clock.now_ms())


async def ask_again(request: Request, service: Service) -> Viewer:
    """Who asks, found out anew after a wait: it is the same as before. Raises Problem: 401, 403 or 503 as `admit` does,
    and 403 where they may other things now."""
    try:
        viewer = await viewer_showing(service, shown_by(request, service))
        if viewer != request.state.viewer:
            raise ChangedError
    except UnknownError as error:
        raise unknown(error, service) from None
    return viewer


async def admit(request: Request, service: Service) -> None:
    """Find out who asks, and count the request as theirs. Its state has the `viewer` then; or none, and the `refusal`
    of a route that needs one.

    Raises Problem: 429 where they ask too often; 503 where what is asked cannot be noted, or whose token it is cannot
    be told; and where nobody is known and the path is not open, 401, or 403 for who is no user of the book or writes by
    a session from elsewhere.
    """
    request.state.viewer = request.state.refusal = None
    try:
        viewer = await viewer_showing(service, shown_by(request, service))
    except UnknownError as error:
        _count_of_address(request, service)
        request.state.refusal = unknown(error, service)
        if not is_open(request.method, request.scope["path"]):
            raise request.state.refusal from None
        return
    if not viewer.user:
        _count_of_address(request, service)
    elif service.audit.is_full:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "what is asked cannot be noted now, so nothing is answered")
    request.state.viewer = viewer
    if viewer.user:
        _count(service.rates_of.get(viewer.role, service.rates), viewer.user, "requests")


async def asking(request: Request) -> Viewer:
    """Who asks. Raises Problem where nobody is known."""
    viewer: Viewer | None = request.state.viewer
    if viewer is None:
        refusal: Problem = request.state.refusal
        raise refusal
    return viewer


def unknown(error: UnknownError, service: Service) -> Problem:
    """Why who asks gets no answer. Where people can log in, `login` says at which path."""
    more = {} if service.login is None else {"login": "/login"}
    if isinstance(error, StrangerError | UnguardedError | ChangedError):
        return Problem(HTTPStatus.FORBIDDEN, str(error), more=more)
    if isinstance(error, ProviderAwayError):
        return Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), headers={"retry-after": "5"})
    headers = {"www-authenticate": 'Bearer realm="pledgewatch"'}
    return Problem(HTTPStatus.UNAUTHORIZED, str(error), more=more, headers=headers)


def _count_of_address(request: Request, service: Service) -> None:
    """Count a request of somebody who is known by no name. Raises Problem: 429."""
    _count(service.rates_of_addresses, address_of(request), "requests")


def count_login(request: Request, service: Service) -> None:
    """Count a step of a login, which asks more of the provider and of us than a read. Raises Problem: 429."""
    _count(service.logins, address_of(request), "steps of logins")


def address_of(request: Request) -> str:
    """Where a request comes from, as it is counted."""
    return counted_as(request.client.host if request.client else "")


def _count(rates: Rates, name: str, what: str) -> None:
    """Raises Problem: 429."""
    wait_s = rates.wait_s(name)
    if wait_s:
        text = f"that is more than {rates.per_minute} {what} a minute; ask again in {wait_s} s"
        raise Problem(HTTPStatus.TOO_MANY_REQUESTS, text, headers={"retry-after": str(wait_s)})


ViewerOf = Annotated[Viewer, Depends(asking)]


async def view_of(request: Request) -> View:
    """What who asks may see. Raises Problem where nobody is known."""
    view: View | None = getattr(request.state, "view", None)  # a read's is there already (api/kept.py)
    if view is None:
        views: Views = request.app.state.service.views
        view = views.of(await asking(request))
    return view


ViewOf = Annotated[View, Depends(view_of)]


async def state_view_of(request: Request) -> View:
    """The same for a route whose answer follows from `View.state`, the path, the query and `accept`, and from nothing
    else: it is not asked again as long as that is the state (api/kept.py)."""
    request.state.is_of_state = True
    return await view_of(request)


StateViewOf = Annotated[View, Depends(state_view_of)]


async def for_money(viewer: ViewerOf, view: ViewOf) -> None:
    """Only who sees money goes on. Raises Problem: 403."""
    if not view.scope.sees_money:
        raise Problem(HTTPStatus.FORBIDDEN, f"amounts are not for an {viewer.role}")


async def for_keepers(request: Request) -> None:
    """Only keepers go on, and those of them who write may write. Raises Problem: 403."""
    viewer = await asking(request)
    if viewer.role is not Role.KEEPER:
        raise Problem(HTTPStatus.FORBIDDEN, f"this is for keepers; {viewer.user} asks as {viewer.role}")
    _check_writing(request, viewer)


async def for_writers(request: Request) -> None:
    """Who may write goes on, of what they see; an auditor and an insurer never do. Raises Problem: 403."""
    viewer = await asking(request)
    if viewer.role in UNCHANGING and request.method != "GET":
        raise Problem(HTTPStatus.FORBIDDEN, f"an {viewer.role} reads, and changes nothing")
    _check_writing(request, viewer)


def by_of(viewer: Viewer, said: str) -> str:
    """Who is named for what is written: a user themselves; where it is no user of the book, as with the keeper's token,
    whom they say."""
    return viewer.user if viewer.party else said


def _check_writing(request: Request, viewer: Viewer) -> None:
    if request.method not in READING and not viewer.may_write:
        raise Problem(HTTPStatus.FORBIDDEN, f"the key of {viewer.user} is for reading; write with one of scope write")
