"""What the API speaks for, how a route reaches it, and who may write."""

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Request

from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.clock import Clock, SystemClock
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
    """What the API speaks for. `token` None: whoever reaches the address may write (loopback only, see config).

    `senders` may hand in notices and reports of stock, and nothing else; each shows that it is one (see
    notices/senders.py). `relays` are by their endpoints; `payers` are those of them that pay. `clock` says when what is
    handed in came, as entries of the journal say when they were recorded; `delivery_clock` is the world's. `signer`
    makes credentials of receipts; None where no issuer is configured.
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


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


ServiceOf = Annotated[Service, Depends(_service)]


def may_write(request: Request, service: ServiceOf) -> None:
    """Whoever changes something shows the token."""
    if service.token is None or request.method in {"GET", "HEAD", "OPTIONS"}:
        return
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(shown.encode(), service.token.encode()):
        raise Problem(HTTPStatus.UNAUTHORIZED, "this needs `Authorization: Bearer` with the token of [api] token_file")
