"""How the service is."""

from typing import Any

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool

from pledgewatch_cloud.api.access import ServiceOf

router = APIRouter(tags=["status"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The service answers."""
    return {"status": "ok"}


@router.get("/status")
async def read_status(service: ServiceOf) -> dict[str, Any]:
    """The journal, what has gone through since start, and whether the broker is there."""
    state = service.writer.state
    return {
        "journal": state.journal,
        "entry": state.entry,
        "recorded_at_ms": state.recorded_at_ms,
        "horizon_ms": state.horizon_ms,
        "readings": sum(one.marks.total for one in state.devices.values()),
        "broker_connected": service.broker_connected(),
        "series_entry": service.series.cursor,
        "counts": (await run_in_threadpool(service.store.counts))._asdict(),
        "since_start": {name: getattr(service.metrics, name) for name in service.metrics.__slots__},
    }
