"""A story folded through the real spine: one device on one asset, some readings, what is found."""

from collections.abc import Iterable
from typing import Any

from builders import Device, ManualClock, book_document

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.events import Event, EventType
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.spine.spine import Spine
from pledgewatch_wire.reading import Cell, Channel

AT_ONCE = 1_000


def fold(
    readings: Iterable[tuple[int, tuple[Cell, ...]]],
    *,
    fences: list[dict[str, Any]] | None = None,
    limits: list[dict[str, Any]] | None = None,
    asset: dict[str, Any] | None = None,
    installation: dict[str, Any] | None = None,
    **sections: Any,
) -> list[Event]:
    """The standing events about an asset whose device measured these (Unix ms, cells), in the order of their time."""
    spine, store, device = spine_for(fences=fences, limits=limits, asset=asset, installation=installation, **sections)
    told = [device.measure(at_ms, *sorted(cells)) for at_ms, cells in sorted(readings)]
    spine._clock = ManualClock(max(one.measured_at_ms for one in told))
    for start in range(0, len(told), AT_ONCE):
        spine.take([device.arrival(told[start : start + AT_ONCE])])
    return told_of(store)


def spine_for(
    *,
    fences: list[dict[str, Any]] | None = None,
    limits: list[dict[str, Any]] | None = None,
    asset: dict[str, Any] | None = None,
    installation: dict[str, Any] | None = None,
    **sections: Any,
) -> tuple[Spine, MemoryStore, Device]:
    """A device on an asset, and a spine whose book says this of them."""
    device = Device()
    name = f"asset-{device.name}"
    document = book_document(device)
    document["milestones"] = []
    document["installations"][0] |= {"silent_after_s": 0, **(installation or {})}
    document["fences"] = {"type": "FeatureCollection", "features": fences or []}
    document["lots"][0]["limits"] = limits or []
    if asset:
        document["assets"] = [{"id": name, **asset}]
    store = MemoryStore()
    spine = Spine(store, ManualClock(0))
    spine.commit(drafts.amend, document | sections)
    return spine, store, device


def told_of(store: MemoryStore) -> list[Event]:
    """The standing events about the asset, but for those that say since when a condition is known."""
    standing = [one.event for one in store.standing(f"asset-{Device().name}", 10**9)]
    told = [one for one in standing if one.type not in (EventType.CONDITION_KNOWN, EventType.MKT_KNOWN)]
    return sorted(told, key=lambda one: (one.at_ms, one))


def fix(
    latitude: float, longitude: float, *, speed_mmps: int | None = None, hdop: float | None = None
) -> tuple[Cell, ...]:
    """The cells of a fix, in degrees."""
    cells = [Cell(Channel.LATITUDE_E7, round(latitude * 1e7)), Cell(Channel.LONGITUDE_E7, round(longitude * 1e7))]
    if speed_mmps is not None:
        cells.append(Cell(Channel.SPEED_MMPS, speed_mmps))
    if hdop is not None:
        cells.append(Cell(Channel.HDOP_CENTI, round(hdop * 100)))
    return tuple(cells)


def feature(identity: str, geometry: str, coordinates: Any, **properties: Any) -> dict[str, Any]:
    """A fence as GeoJSON."""
    shape = {"type": geometry, "coordinates": coordinates}
    return {"type": "Feature", "id": identity, "properties": properties, "geometry": shape}


def box(identity: str, west: float, south: float, east: float, north: float, **properties: Any) -> dict[str, Any]:
    """A rectangular fence."""
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return feature(identity, "Polygon", [ring], **properties)
