"""The audit: what users have asked of the API, out of the journal. For keepers."""

from typing import Any

from fastapi import APIRouter, Depends
from fastapi.concurrency import run_in_threadpool

from pledgewatch_cloud.api.access import Service, ServiceOf, for_keepers
from pledgewatch_cloud.api.paging import JournalPaging, JournalPagingOf
from pledgewatch_cloud.decide.batch import Accesses
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.journal import form

router = APIRouter(prefix="/audit", tags=["audit"], dependencies=[Depends(for_keepers)])
_FIELDS = ("user", "party", "role", "method", "path", "status", "after_entry", "count")
_ENTRIES = 200


@router.get("")
async def list_accesses(service: ServiceOf, paging: JournalPagingOf, user: str = "") -> dict[str, Any]:
    """What was asked, oldest first, of one user where one is named: whole entries of the journal beyond `after_entry`,
    about `limit` rows. Go on from `next_after_entry`, until nothing comes; `Link` names the next page."""
    return await run_in_threadpool(_page, service, user, paging)


def _page(service: Service, user: str, paging: JournalPaging) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    after_entry, newest = paging.after_entry, service.writer.state.entry
    while len(rows) < paging.limit:
        written = service.store.entries_of("accesses", after_entry, _ENTRIES)
        for one in written:
            content = form.read_entry(one).content
            assert isinstance(content, Accesses), f"entry {one.number} is of another kind"
            rows += [_row(one.number, row) for row in content.rows if user in ("", row[1])]
            after_entry = one.number
            if len(rows) >= paging.limit:
                break
        if len(written) < _ENTRIES:
            break
    return {"rows": rows, "next_after_entry": paging.go_on(after_entry, newest)}


def _row(entry: int, row: list[Any]) -> dict[str, Any]:
    at_ms, *told = row
    return {"entry": entry, "first_at": iso(at_ms), **dict(zip(_FIELDS, told, strict=True))}
