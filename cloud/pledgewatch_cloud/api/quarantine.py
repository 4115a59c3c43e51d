"""Quarantine: what could not be taken, and why."""

import base64
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.concurrency import run_in_threadpool

from pledgewatch_cloud.api.access import ServiceOf, for_keepers

router = APIRouter(prefix="/quarantine", tags=["quarantine"], dependencies=[Depends(for_keepers)])


@router.get("")
async def list_quarantine(service: ServiceOf, limit: Annotated[int, Query(ge=1, le=1_000)] = 100) -> dict[str, Any]:
    """Counts by reason since the journal began, and the newest items with their bytes in base64."""
    items = await run_in_threadpool(service.store.quarantined, limit)
    counts = await run_in_threadpool(service.store.quarantine_counts)
    return {
        "counts": counts,
        "items": [{**one._asdict(), "raw": base64.b64encode(one.raw).decode()} for one in items],
    }
