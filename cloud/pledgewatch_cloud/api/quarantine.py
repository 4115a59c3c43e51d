"""Quarantine: what could not be taken, and why."""

import base64
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Depends
from fastapi.concurrency import run_in_threadpool

from pledgewatch_cloud.api.access import ServiceOf, for_keepers
from pledgewatch_cloud.api.paging import PagingOf
from pledgewatch_cloud.api.problems import Problem

router = APIRouter(prefix="/quarantine", tags=["quarantine"], dependencies=[Depends(for_keepers)])
ITEMS_MAX = 100
"""Each may have 256 KiB, so a page has fewer of them than of other lists, whatever `limit` says."""
_DIGITS_MAX = 19


@router.get("")
async def list_quarantine(service: ServiceOf, paging: PagingOf) -> dict[str, Any]:
    """Counts by reason since the journal began, and what is in quarantine, the newest first, with its bytes in
    base64."""
    after = paging.after
    if after and not (after.isascii() and after.isdigit() and len(after) < _DIGITS_MAX):
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{after[:40]!r} is no `next_after` that was given here")
    limit = min(paging.limit, ITEMS_MAX)
    some = await run_in_threadpool(service.store.quarantined, limit + 1, int(after) if after else None)
    counts = await run_in_threadpool(service.store.quarantine_counts)
    page = paging.cut([(str(one.number), one) for one in some], limit)
    return {
        "counts": counts,
        "items": [{**one._asdict(), "raw": base64.b64encode(one.raw).decode()} for one in page.items],
        "next_after": page.next_after,
    }
