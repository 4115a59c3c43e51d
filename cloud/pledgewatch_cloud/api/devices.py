"""Devices: what has come from each, how far it is signed, what is missing, and what it says of itself."""

from typing import Any

from fastapi import APIRouter

from pledgewatch_cloud.api.access import ServiceOf, ViewOf
from pledgewatch_wire.codec import Status

router = APIRouter(prefix="/devices", tags=["devices"])


@router.get("")
async def list_devices(view: ViewOf, service: ServiceOf) -> list[dict[str, Any]]:
    """Every installed device with its epochs.

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
                "received": one.marks.total,
                "missing": [list(gap) for gap in one.marks.missing],
                "signed": one.signed_sequence,
                "chain_hash": one.chain_hash.hex(),
                "suspicions": one.suspicions,
            }
        )
    return [
        {
            "device": one.device,
            "operator": one.operator,
            "asset": one.asset,
            "epochs": epochs.get(one.device, []),
            "said": _said(said.get(one.device)),
        }
        for _, one in sorted(state.book.installations.items())
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
