"""The API's composition: routers, one for each noun, over what the service hands in."""

import functools
import time

from fastapi import APIRouter, Depends, FastAPI
from starlette.routing import BaseRoute

import pledgewatch_cloud
from pledgewatch_cloud.api import (
    alerts,
    assets,
    audit,
    book,
    care,
    clusters,
    console,
    dcsa,
    devices,
    epcis,
    events,
    exposures,
    facilities,
    fences,
    identities,
    live,
    login,
    lots,
    market,
    metrics,
    milestones,
    notices,
    outbox,
    quarantine,
    receipts,
    registry,
    status,
    stock,
    stress,
    warehouses,
)
from pledgewatch_cloud.api.access import Service, for_writers
from pledgewatch_cloud.api.around import Around
from pledgewatch_cloud.api.described import Described
from pledgewatch_cloud.api.etags import Etags
from pledgewatch_cloud.api.heads import Heads
from pledgewatch_cloud.api.idempotency import Answers, Idempotency
from pledgewatch_cloud.api.kept import Kept
from pledgewatch_cloud.api.problems import PROBLEM, answer_problems

# Routes are looked for one after the other: what is asked most comes first.
_ASKED_MOST = (assets, facilities, lots, alerts, clusters, events)
_NOUNS = (
    audit,
    book,
    care,
    console,
    dcsa,
    devices,
    exposures,
    fences,
    live,
    market,
    milestones,
    outbox,
    quarantine,
    registry,
    stress,
)
# What is handed in there, is handed in by senders, or signed by parties and devices, who show that they are by that
# alone; and what anybody may know: whether the service is there, and what verifies a credential. Who logs in is not
# known yet. Routes of these that are for users (devices' identities are listed and invited there, too) ask for a user
# themselves.
_OPEN = (notices, epcis, stock, receipts, warehouses, identities, status, metrics, login)


def create_app(service: Service, *, stage: str = "") -> FastAPI:
    """The API over a running service. `stage`: of a demo, whose banner the console shows then."""
    app = Described(
        title="pledgewatch",
        version=pledgewatch_cloud.__version__,
        docs_url=None,
        redoc_url=None,
        telemetry={
            "tracing": False,
            "metrics": False,
            "logs": False,
        },  # what is told of requests is ours (api/metrics.py)
        redirect_slashes=False,  # it would lead to whatever host a request names
        responses={"default": PROBLEM},
    )
    app.state.service = service
    # The last that is added is around all others.
    app.add_middleware(Idempotency, answers=Answers(time.monotonic))
    app.add_middleware(Kept, views=service.views)
    app.add_middleware(Etags)
    app.add_middleware(Around, service=service)
    app.add_middleware(Heads)
    answer_problems(app)
    app.router.routes.extend(_routes(stage))
    return app


@functools.cache
def _routes(stage: str) -> tuple[BaseRoute, ...]:
    """The routes of all nouns. They hold nothing of a service, and what each asks for is worked out at its first
    request: for all services of a process once."""
    router = APIRouter(responses={"default": PROBLEM})
    for module in _ASKED_MOST:
        router.include_router(module.router, dependencies=[Depends(for_writers)])
    for module in _OPEN:  # /devices/identities is found before /devices/{device}, and is no device's name
        router.include_router(module.router)
    for module in _NOUNS:
        router.include_router(module.router, dependencies=[Depends(for_writers)])
    router.include_router(console.console_router(stage))
    return tuple(router.routes)
