"""Devices: what has come from each, how far it is signed, what is missing."""

from typing import Any

from fastapi import APIRouter

from pledgewatch_cloud.api.access import ServiceOf

router = APIRouter(prefix="/devices", tags=["devices"])


@router.get("")
async def list_devices(service: ServiceOf) -> list[dict[str, Any]]:
    """Every installed device with its epochs."""
    state = service.writer.state
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
        {"device": one.device, "operator": one.operator, "asset": one.asset, "epochs": epochs.get(one.device, [])}
        for _, one in sorted(state.book.installations.items())
    ]
