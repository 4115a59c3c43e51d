"""Assets, what devices are fitted to, and installations, which device is fitted to which.

An asset need not be said: it is known by the devices that are fitted to it. An installation may be retired, but neither
moved nor removed.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

from pledgewatch_cloud.decide.item import CHANNEL_NAMES, MAX_WAIT_S, Item
from pledgewatch_cloud.decide.items.sections import Sections, said
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.silence import Patience
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_wire import chain

AHEAD_S = 60

# The greatest speed that an asset of a kind can have had, in millimetres a second; 0: not judged.
ASSET_KINDS: Mapping[str, int] = {
    "container": 45_000,
    "trailer": 45_000,
    "truck": 45_000,
    "railcar": 60_000,
    "vessel": 25_000,
    "warehouse": 5_000,
    "aircraft": 350_000,
    "other": 0,
}


class Asset(NamedTuple):
    """What a device is fitted to. `max_speed_mmps` 0: its speed is not judged."""

    id: str
    kind: str
    max_speed_mmps: int


TAKEN_NAMES = ("claims", "confirmations", "identities", "invitations", "renewals")
"""No device has one of these names: the API has something else under it, beside the devices (`/devices/identities`)."""


class Installation(NamedTuple):
    """Which device is fitted to which asset, and how long it and each of its sensors may be quiet.

    `retired` 1: nothing more is taken from it; what it said stands. Before `fitted_ms` nothing that it says is
    evidence; after `calibrated_until_ms` its values are fair at most. `gateway`: what it speaks through, if anything.
    A reading dated more than `ahead_s` beyond the cloud's own clock waits until time has come to it.
    """

    device: str
    operator: str
    asset: str
    public_key: str
    retired: int
    patience: Patience
    gateway: str
    fitted_ms: int
    calibrated_until_ms: int
    ahead_s: int
    sensors: tuple[tuple[int, Patience], ...]


def _asset(item: Item) -> Asset:
    identity = item.text("id")
    kind = item.one_of("kind", tuple(ASSET_KINDS))
    return Asset(identity, kind, item.integer("max_speed_mmps", 0, 1_000_000, ASSET_KINDS[kind]))


def _installation(item: Item) -> Installation:
    key_text = item.text("public_key", re.compile(r"[0-9a-f]{64}"))
    if not chain.is_public_key(key_text):
        raise item.error("public_key", "is no Ed25519 public key; `pledgewatch-edge identity` prints it")
    sensors = {}
    device, operator = item.name("device"), item.name("operator")
    if device in TAKEN_NAMES:
        raise item.error("device", taken_name(device))
    for one in item.items("sensors"):
        channel = one.channel()
        if channel in sensors:
            raise one.error("channel", "is listed twice")
        sensors[channel] = _patience(one)
        one.end()
    return Installation(
        device,
        operator,
        item.text("asset"),
        key_text,
        item.integer("retired", 0, 1, 0),
        _patience(item),
        item.text("gateway", default=""),
        item.moment("fitted_at", -NEVER),
        item.moment("calibrated_until", NEVER),
        item.integer("ahead_s", 0, MAX_WAIT_S, AHEAD_S),
        tuple(sorted(sensors.items())),
    )


def taken_name(device: str) -> str:
    """What is said of a name that no device may have."""
    return f"/devices/{device} is another thing of the API; name the device otherwise, {device}-1 perhaps"


def _patience(item: Item) -> Patience:
    patience = Patience(
        item.integer("overdue_after_s", 0, MAX_WAIT_S, 0), item.integer("silent_after_s", 0, MAX_WAIT_S, 0)
    )
    if patience.silent_after_s and patience.overdue_after_s >= patience.silent_after_s:
        raise item.error("overdue_after_s", f"{patience.overdue_after_s} is not below silent_after_s")
    return patience


READERS: dict[str, Callable[[Item], Any]] = {"assets": _asset, "installations": _installation}
"""How an item of each section is read."""


def as_document(section: str, item: Any) -> dict[str, Any]:
    """An item as an amendment says it."""
    return _installation_document(item) if section == "installations" else said(item)


def _installation_document(one: Installation) -> dict[str, Any]:
    held_otherwise = ("patience", "fitted_ms", "calibrated_until_ms")
    written = {key: value for key, value in said(one).items() if key not in held_otherwise}
    written |= one.patience._asdict()
    for name, at_ms in (("fitted_at", one.fitted_ms), ("calibrated_until", one.calibrated_until_ms)):
        if abs(at_ms) != NEVER:
            written[name] = iso(at_ms)
    if one.sensors:
        written["sensors"] = [
            {"channel": CHANNEL_NAMES[channel], **patience._asdict()} for channel, patience in one.sensors
        ]
    return written


def assets_known(sections: Sections) -> AbstractSet[str]:
    """The assets that are said, and those that a device is fitted to."""
    return {*sections["assets"], *(one.asset for one in sections["installations"].values())}


def asset_absent(known: AbstractSet[str], place: str, asset: str) -> Iterator[str]:
    """The fault of a place that names an asset, where it is none of those known."""
    if asset not in known:
        yield f"{place}: there is no {asset!r} among assets, and no device is fitted to it"


def moved(before: Mapping[str, Installation], after: Mapping[str, Installation]) -> Iterator[str]:
    """An installation may be retired but neither moved nor removed: what its device said is told by it for ever."""
    for device, was in before.items():
        now = after.get(device)
        if now is None:
            yield f"remove.installations: {device} cannot be removed, its readings stand; set retired to 1"
        elif (now.asset, now.operator) != (was.asset, was.operator):
            yield f"installations {device}: fitted to {was.asset} by {was.operator}; give the unit a new name"
