"""Devices: what has come of each, how far it is signed, what is missing, how it is heard, what it says of itself."""

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool

from pledgewatch_cloud.api.access import ServiceOf, ViewerOf
from pledgewatch_cloud.api.assets import sources_of
from pledgewatch_cloud.api.completeness import Completeness, completeness
from pledgewatch_cloud.api.paging import PagingOf
from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.decide.admission import EpochState
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.ingest.metrics import Metrics
from pledgewatch_wire.codec import Status

router = APIRouter(prefix="/devices", tags=["devices"])
BATTERIES_MAX = 1_000
"""Each is read from the series, which may be another program's."""


@router.get("")
async def list_devices(
    viewer: ViewerOf,
    service: ServiceOf,
    paging: PagingOf,
    operator: str = "",
    asset: str = "",
    battery: bool = False,
) -> list[dict[str, Any]]:
    """Installed devices with their epochs, by id, of an operator or at an asset where one is named.

    `said` is its last status, null where none was ever heard: `measured` beyond an epoch's `contiguous` is
    what is still to come, or lost: `completeness` says which, in counts over all epochs and in words; `expected` is all
    that was measured and not thinned. What the device could not keep is lost: `refused` says how much of `lost` that
    is, at the least. `lost` is null where it is not known, and `unsure` says why then: `not_said` (the device has said
    nothing yet; `spooled` is null too), `ended_epoch` (of an epoch that has ended the device has not told yet how far
    it went) or `broken` (of what a broken spool has lost or thinned some may be here: `thinned` is the least then too);
    `lost_at_least` is what is lost whatever that was.
    `heard_ms` is when its newest reading was measured, `sources` how the device
    (`channel` null) and its sensors are heard; both may be a second old. `battery_mv` is the newest that the asset's
    devices have said, where `battery` asks for it: of at most 1,000 devices to a page.
    """
    # What devices say is in no state: beside an older one what they have sent since would be lost. So both are taken
    # here at once.
    view = service.views.of(viewer, of_newest=True)
    state = view.state
    page = paging.page(
        (one.device, one)
        for one in state.book.installations.values()
        if operator in ("", one.operator) and asset in ("", one.asset)
    )
    if battery and len(page.items) > BATTERIES_MAX:
        text = f"the battery is asked of at most {BATTERIES_MAX} devices at a time; ask for smaller pages"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, text)
    told = _told(state, service.metrics, {one.device for one in page.items})
    wanted = {one.asset for one in page.items} if battery else set()
    batteries = await run_in_threadpool(lambda: {name: view.battery_mv(name) for name in wanted})
    hearing = view.kept(_Hearing)
    return [
        {
            "device": one.device,
            "operator": one.operator,
            "asset": one.asset,
            **told[one.device],
            **hearing.of(state, one.device, one.asset),
            "battery_mv": batteries.get(one.asset),
        }
        for one in page.items
    ]


def _told(state: State, metrics: Metrics, devices: set[str]) -> dict[str, dict[str, Any]]:
    """By device what has come of each of its epochs, what of that is missing, and what it says of itself."""
    known: dict[str, dict[int, EpochState]] = {device: {} for device in devices}
    for (device, epoch), one in sorted(state.devices.items()):
        if device in known:
            known[device][epoch] = one
    said, ends = metrics.said, metrics.ends
    return {
        device: {
            "epochs": [_epoch(epoch, one) for epoch, one in epochs.items()],
            "completeness": _completeness(completeness(epochs, said.get(device), ends.get(device))),
            "said": _said(said.get(device)),
        }
        for device, epochs in known.items()
    }


def _epoch(epoch: int, one: EpochState) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "contiguous": one.marks.contiguous,
        "received": one.marks.total - one.thinned,
        "thinned": one.thinned,
        "missing": [list(gap) for gap in one.marks.missing],
        "signed": one.signed_sequence,
        "chain_hash": one.chain_hash.hex(),
        "suspicions": one.suspicions,
    }


class _Hearing:
    """How devices are heard, each found out once; made anew with each of the states that `View.kept` tells apart."""

    def __init__(self, _: State) -> None:
        """Nothing is known yet, and the state is not held on to."""
        self._known: dict[str, dict[str, Any]] = {}

    def of(self, state: State, device: str, asset: str) -> dict[str, Any]:
        """When a device was last heard, and how it and its sensors are."""
        if device not in self._known:
            known = state.assets.get(asset)
            heard = known.devices.get(device) if known else None
            self._known[device] = {
                "heard_ms": heard.key[0] if heard else None,
                "sources": [one for one in sources_of(state, asset, known) if one["device"] == device],
            }
        return self._known[device]


def _completeness(found: Completeness) -> dict[str, Any]:
    return {
        "expected": found.expected,
        "received": found.received,
        "thinned": found.thinned,
        "lost": found.lost,
        "lost_at_least": found.lost_at_least,
        "refused": found.refused,
        "unsure": found.unsure,
        "spooled": found.spooled,
        "words": found.words,
    }


def _said(status: Status | None) -> dict[str, Any] | None:
    if status is None:
        return None
    return {
        "online": status.online,
        "epoch": status.epoch,
        "measured": status.head_sequence,
        "spooled": status.spooled_readings,
        "held_back": status.held_back_readings,
        "refused": status.refused_readings,
        "agent_version": status.agent_version,
    }
