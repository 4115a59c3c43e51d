"""Devices: what has come from each, how far it is signed, what is missing, and what it says of itself."""

from typing import Any

from fastapi import APIRouter

from pledgewatch_cloud.api.access import ServiceOf, ViewOf
from pledgewatch_cloud.api.paging import PagingOf
from pledgewatch_wire.codec import Status

router = APIRouter(prefix="/devices", tags=["devices"])


@router.get("")
async def list_devices(
    view: ViewOf, service: ServiceOf, paging: PagingOf, operator: str = "", asset: str = ""
) -> list[dict[str, Any]]:
    """Installed devices with their epochs, by id, of an operator or at an asset where one is named.

    `said` is its last status, null where none was heard since the start: `measured` beyond an epoch's `contiguous` is
    what is still to come, or lost.
    """
    state, said = view.state, service.metrics.said
    epochs: dict[str, list[dict[str, Any]]] = {}
    for (device, epoch), one in sorted(state.devices.items()):
        epochs.setdefault(device, []).append(
            {
                "epoch": epoch,
                "contiguous": one.marks.contiguous,
                "received": one.marks.total - one.thinned,
                "thinned": one.thinned,
                "missing": [list(gap) for gap in one.marks.missing],
                "signed": one.signed_sequence,
                "chain_hash": one.chain_hash.hex(),
                "suspicions": one.suspicions,
            }
        )
    page = paging.page(
        (one.device, one)
        for one in state.book.installations.values()
        if operator in ("", one.operator) and asset in ("", one.asset)
    )
    return [
        {
            "device": one.device,
            "operator": one.operator,
            "asset": one.asset,
            "epochs": epochs.get(one.device, []),
            "said": _said(said.get(one.device)),
        }
        for one in page.items
    ]


def _said(status: Status | None) -> dict[str, Any] | None:
    if status is None:
        return None
    return {
        "online": status.online,
        "epoch": status.epoch,
        "measured": status.head_sequence,
        "spooled": status.spooled_readings,
        "agent_version": status.agent_version,
    }
