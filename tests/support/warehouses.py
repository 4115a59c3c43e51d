"""A warehouse of the book with a zone, a gate and a fence, its devices, and counts that are signed."""

from base64 import urlsafe_b64encode
from collections.abc import Iterable
from typing import Any

from builders import LOS_ANGELES, NOON_MS, Device, fence
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from receipting import DEPOSITOR, PARTIES, WAREHOUSE, signed
from receipting import KEYS as PARTY_KEYS

from pledgewatch_cloud.decide import book as book_module
from pledgewatch_cloud.decide.batch import AssetReading, Batch, asset_reading, batch_of_readings
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_wire.reading import Cell, Channel, Clock, Quality, Reading

SURVEYOR = "surveyor"
KEYS = {**PARTY_KEYS, SURVEYOR: Ed25519PrivateKey.from_private_bytes(bytes([99]) * 32)}
ZONE, DOCK, TRACKER = "zone-a", "dock", "tracker"
"""The devices; each asset is called as its device with an `asset-` before it."""
HALL, GATE, BOX = f"asset-{ZONE}", f"asset-{DOCK}", f"asset-{TRACKER}"
PHOTO = "0f" * 32
SOFA_WEIGHT_G = 42_000
PLACE: dict[str, Any] = {
    "id": WAREHOUSE,
    "zones": [{"asset": HALL, "bins": ["A-01", "A-02"], "weight_tolerance_g": 50_000, "pieces_tolerance": 2}],
    "gates": [GATE],
    "fences": ["yard"],
    "unit_weights_g": {"SOFA-3": SOFA_WEIGHT_G},
    "inspectors": [SURVEYOR],
}


def party(identity: str) -> dict[str, Any]:
    """A party of the book with its key."""
    return {"id": identity, "name": identity, "keys": [{"kid": "k1", "x": _x(KEYS[identity])}]}


def _x(key: Ed25519PrivateKey) -> str:
    return urlsafe_b64encode(key.public_key().public_bytes_raw()).rstrip(b"=").decode()


def installation(name: str, number: int, **changes: Any) -> dict[str, Any]:
    """A device of the warehouse, fitted to the asset that is called as it is."""
    public_key = Device(name, seed=number).public_key
    return {"device": name, "operator": "harbour-line", "asset": f"asset-{name}", "public_key": public_key, **changes}


def document(**changes: Any) -> dict[str, Any]:
    """An amendment with the warehouse; `changes` are of it."""
    return {
        "fences": {"type": "FeatureCollection", "features": [fence("yard", LOS_ANGELES, kind="warehouse")]},
        "installations": [installation(name, number) for number, name in enumerate((ZONE, DOCK, TRACKER), 51)],
        "parties": [party(one) for one in (*PARTIES, SURVEYOR)],
        "warehouses": [{**PLACE, **changes}],
    }


def book_with(**changes: Any) -> Book:
    """A book with the warehouse; `changes` are of it."""
    return book_module.amend(book_module.empty(), document(**changes))


def said(
    device: str, sequence: int, at_ms: int, *cells: Cell, epoch: int = 1, clock: Clock = Clock.NTP
) -> AssetReading:
    """A reading of a device."""
    return asset_reading(device, epoch, Reading(sequence, at_ms, clock, tuple(sorted(cells))))


def cell(channel: Channel, value: int, quality: Quality = Quality.GOOD) -> Cell:
    """A cell."""
    return Cell(channel, value, quality)


def batch(*readings: AssetReading) -> Batch:
    """Readings as they come into the journal."""
    return batch_of_readings(readings)


def count_says(rows: Iterable[tuple[str, str, int]] = (("SOFA-3", "A-01", 40),), **changes: Any) -> dict[str, Any]:
    """What a count says: rows of SKU, bin and whole units."""
    return {
        "count": "",
        "warehouse": WAREHOUSE,
        "by": SURVEYOR,
        "at": iso(NOON_MS),
        "rows": [
            {"owner": DEPOSITOR, "sku": sku, "bin": place, "unit": "piece", "quantity_milli": 1_000 * units}
            for sku, place, units in rows
        ],
        "photos": [PHOTO],
        **changes,
    }


def count_text(
    rows: Iterable[tuple[str, str, int]] = (("SOFA-3", "A-01", 40),),
    *,
    key: Ed25519PrivateKey | None = None,
    **changes: Any,
) -> str:
    """A count as it is handed in."""
    says = count_says(rows, **changes)
    return signed(str(says["by"]), says, key=key or KEYS.get(str(says["by"])))
