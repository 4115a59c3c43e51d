"""The registry that several banks share, as this cloud stands to it: what is claimed there, and what clashed."""

from typing import Any

from fastapi import APIRouter, Depends

from pledgewatch_cloud.api.access import ServiceOf, for_keepers
from pledgewatch_cloud.decide.moments import iso

router = APIRouter(prefix="/registry", tags=["registry"], dependencies=[Depends(for_keepers)])


@router.get("")
async def read_registry(service: ServiceOf) -> dict[str, Any]:
    """How the registry stands to the receipts that are pledged here, by the last look at all of it (docs/REGISTRY.md).

    `unclaimed` are receipts that are pledged here and not claimed there: who reads that has to act.
    """
    if service.membership is None:
        return {"configured": False}
    found = service.membership.standing
    unclaimed = [{"receipt": receipt, "clash": clash} for receipt, clash in sorted(found.clashing.items())]
    unclaimed += [{"receipt": receipt, "refused": why} for receipt, why in sorted(found.refused.items())]
    return {
        "configured": True,
        "looked_at": iso(found.looked_ms) if found.looked_ms else None,
        "fault": found.fault,
        "claimed": found.claimed,
        "due": found.due,
        "strange": found.strange,
        "unclaimed": unclaimed,
        "clashes": [
            {"clash": one.id, "receipt": one.receipt, "refused": one.is_refused, "newest_at": one.newest_at}
            for one in found.clashes
        ],
    }
