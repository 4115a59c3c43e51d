"""What the API speaks for, who asks, and how a route reaches either.

A route that answers takes a `View`: it cannot say more than who asks may see. One that writes takes the `Service` too,
behind a check of who may: `for_keepers`, or `for_writers` where a party writes of what is its own. Those that speak of
the service as a whole are for its keepers.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Request

from pledgewatch_cloud.access.audit import Audit
from pledgewatch_cloud.access.identify import UnknownError, viewer_of
from pledgewatch_cloud.access.rates import Rates
from pledgewatch_cloud.access.view import View, Views
from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.api.streams import Streams
from pledgewatch_cloud.clock import Clock, SystemClock
from pledgewatch_cloud.decide.access.scope import Viewer
from pledgewatch_cloud.decide.access.users import Role
from pledgewatch_cloud.ingest.metrics import Metrics
from pledgewatch_cloud.ingest.subscriber import SubscriberCounts
from pledgewatch_cloud.journal.outbox import CORE
from pledgewatch_cloud.journal.store import Store
from pledgewatch_cloud.membership.membership import Membership
from pledgewatch_cloud.notices.metrics import Submissions
from pledgewatch_cloud.notices.senders import Senders
from pledgewatch_cloud.outbox.relay import Relay
from pledgewatch_cloud.receipts.signer import Signer
from pledgewatch_cloud.series.series import Series
from pledgewatch_cloud.spine.writer import Writer
from pledgewatch_cloud.stock.reports import StockReports


@dataclass(frozen=True, slots=True)
class Service:
    """What the API speaks for. `token` is the keeper's; None and a book without users: whoever reaches the address is
    one (loopback only, see config).

    `senders` may hand in notices and reports of stock, and nothing else; each shows that it is one (see
    notices/senders.py). `relays` are by their endpoints; `payers` are those of them that pay. `clock` says when what is
    handed in came, as entries of the journal say when they were recorded; `delivery_clock` is the world's. `signer`
    makes credentials of receipts; None where no issuer is configured. The last four are made of the rest.
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
    requests_per_minute: int = 12_000
    views: Views = field(init=False)
    audit: Audit = field(init=False)
    rates: Rates = field(init=False)
    streams: Streams = field(default_factory=Streams, init=False)

    def __post_init__(self) -> None:
        """Make what follows from the rest."""
        object.__setattr__(self, "views", Views(self.store, self.writer, self.series))
        object.__setattr__(self, "audit", Audit(self.writer, self.delivery_clock))
        object.__setattr__(self, "rates", Rates(self.requests_per_minute, time.monotonic))


def service_of(request: Request) -> Service:
    """The service that a request reaches."""
    service: Service = request.app.state.service
    return service


ServiceOf = Annotated[Service, Depends(service_of)]


def asking(request: Request, service: ServiceOf) -> Viewer:
    """Who asks; noted on the request, so that what it comes to is noted of them. Raises Problem: 401; 429 where they
    ask too often; 503 where what is asked cannot be noted."""
    header = request.headers.get("authorization", "")
    address = request.client.host if request.client else ""
    try:
        viewer = viewer_of(header, service.token, service.writer.state.book, service.clock.now_ms())
    except UnknownError as error:
        _count(service, f"address {address}")
        headers = {"www-authenticate": 'Bearer realm="pledgewatch"'}
        raise Problem(HTTPStatus.UNAUTHORIZED, str(error), headers=headers) from None
    if viewer.user and service.audit.is_full:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "what is asked cannot be noted now, so nothing is answered")
    request.state.viewer = viewer
    _count(service, f"user {viewer.user}" if viewer.user else f"address {address}")
    return viewer


def _count(service: Service, name: str) -> None:
    wait_s = service.rates.wait_s(name)
    if wait_s:
        text = f"that is more than {service.requests_per_minute} requests a minute; ask again in {wait_s} s"
        raise Problem(HTTPStatus.TOO_MANY_REQUESTS, text, headers={"retry-after": str(wait_s)})


ViewerOf = Annotated[Viewer, Depends(asking)]


def view_of(service: ServiceOf, viewer: ViewerOf) -> View:
    """What who asks may see."""
    return service.views.of(viewer)


ViewOf = Annotated[View, Depends(view_of)]


def for_money(viewer: ViewerOf, view: ViewOf) -> None:
    """Only who sees money goes on. Raises Problem: 403."""
    if not view.scope.sees_money:
        raise Problem(HTTPStatus.FORBIDDEN, f"amounts are not for an {viewer.role}")


def for_keepers(request: Request, viewer: ViewerOf) -> None:
    """Only keepers go on, and those of them who write may write. Raises Problem: 403."""
    if viewer.role is not Role.KEEPER:
        raise Problem(HTTPStatus.FORBIDDEN, f"this is for keepers; {viewer.user} asks as {viewer.role}")
    _check_writing(request, viewer)


def for_writers(request: Request, viewer: ViewerOf) -> None:
    """Who may write goes on, of what they see; an auditor and an insurer never do. Raises Problem: 403."""
    if viewer.role in (Role.AUDITOR, Role.INSURER) and request.method != "GET":
        raise Problem(HTTPStatus.FORBIDDEN, f"an {viewer.role} reads, and changes nothing")
    _check_writing(request, viewer)


def by_of(viewer: Viewer, said: str) -> str:
    """Who is named for what is written: a user themselves; whom a keeper without a name says."""
    return said if viewer.role is Role.KEEPER else viewer.user


def _check_writing(request: Request, viewer: Viewer) -> None:
    if request.method not in {"GET", "HEAD", "OPTIONS"} and not viewer.may_write:
        raise Problem(HTTPStatus.FORBIDDEN, f"the key of {viewer.user} is for reading; write with one of scope write")
