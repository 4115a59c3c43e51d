"""How the service is."""

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Depends
from fastapi.concurrency import run_in_threadpool

from pledgewatch_cloud.api.access import ServiceOf, for_keepers
from pledgewatch_cloud.api.problems import Problem

router = APIRouter(tags=["status"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Whether the service answers, whatever it has to say."""
    return {"status": "ok"}


@router.get("/readyz")
async def readyz(service: ServiceOf) -> dict[str, str]:
    """The service takes readings; 503 with what stands in its way where it does not."""
    ways = {
        "the broker is away": not service.broker_connected(),
        "the disk takes no commits": service.writer.is_lost,
    }
    if any(ways.values()):
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "; ".join(text for text, stands in ways.items() if stands))
    return {"status": "ready"}


@router.get("/status", dependencies=[Depends(for_keepers)])
async def read_status(service: ServiceOf) -> dict[str, Any]:
    """The journal, what has gone through since start, and whether the broker is there."""
    state = service.writer.state
    return {
        "journal": state.journal,
        "entry": state.entry,
        "recorded_at_ms": state.recorded_at_ms,
        "horizon_ms": state.horizon_ms,
        "readings": service.writer.readings,
        "broker_connected": service.broker_connected(),
        "series_entry": service.series.cursor,
        "counts": (await run_in_threadpool(service.store.counts))._asdict(),
        "since_start": service.metrics.since_start(),
    }
