"""Small true things to test with: a device that signs, a book, payloads."""

from collections.abc import Iterable, Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pledgewatch_cloud.decide.batch import Arrival
from pledgewatch_cloud.decide.payloads import Received, read_all
from pledgewatch_wire import chain
from pledgewatch_wire.codec import Checkpoint, Payload, encode
from pledgewatch_wire.reading import Cell, Channel, Clock, Quality, Reading

NOON_MS = 1_767_268_800_000  # 2026-01-01T12:00:00Z
MINUTE_MS = 60_000

# A square of one degree around Los Angeles' harbour, and one around Shanghai's.
LOS_ANGELES = [[-118.8, 33.2], [-117.8, 33.2], [-117.8, 34.2], [-118.8, 34.2], [-118.8, 33.2]]
SHANGHAI = [[121.5, 30.8], [122.5, 30.8], [122.5, 31.8], [121.5, 31.8], [121.5, 30.8]]
IN_LOS_ANGELES = (337_000_000, -1_182_700_000)
IN_SHANGHAI = (313_000_000, 1_220_000_000)
AT_SEA = (400_000_000, 1_700_000_000)


class Device:
    """A device as the wire knows it: it numbers readings, keeps the chain and signs checkpoints."""

    def __init__(self, name: str = "container-1", *, epoch: int = 1, seed: int = 1) -> None:
        self.name = name
        self.epoch = epoch
        self.key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
        self.public_key = self.key.public_key().public_bytes_raw().hex()
        self.sequence = 0
        self.hash = chain.genesis(name, epoch)
        self.readings: list[Reading] = []

    def measure(self, at_ms: int, *cells: Cell, clock: Clock = Clock.GPS) -> Reading:
        """One more reading."""
        self.sequence += 1
        reading = Reading(self.sequence, at_ms, clock, tuple(sorted(cells)))
        self.hash = chain.extend(self.hash, chain.leaf(reading))
        self.readings.append(reading)
        return reading

    def checkpoint(self) -> Checkpoint:
        """A signature over all readings so far."""
        return Checkpoint(self.sequence, chain.sign(self.key, self.name, self.epoch, self.sequence, self.hash))

    def payload(
        self, readings: Sequence[Reading] | None = None, checkpoints: Iterable[Checkpoint] = (), *, wanted: bool = False
    ) -> Payload:
        """A payload of these readings, or of all so far."""
        return Payload(self.epoch, tuple(readings or self.readings), tuple(checkpoints), wanted)

    def arrival(
        self,
        readings: Sequence[Reading] | None = None,
        checkpoints: Iterable[Checkpoint] = (),
        *,
        received_at_ms: int = NOON_MS,
        operator: str = "harbour-line",
    ) -> Arrival:
        """The payload as it comes in."""
        raw = encode(self.payload(readings, checkpoints))
        return read_all([Received(operator, self.name, received_at_ms, raw)])[0]


def position(place: tuple[int, int], quality: Quality = Quality.GOOD) -> tuple[Cell, Cell]:
    """The cells of a fix."""
    return Cell(Channel.LATITUDE_E7, place[0], quality), Cell(Channel.LONGITUDE_E7, place[1], quality)


def temperature(value_mc: int, quality: Quality = Quality.GOOD) -> Cell:
    """The cell of a probe."""
    return Cell(Channel.TEMPERATURE_MC, value_mc, quality)


def fence(identity: str, ring: list[list[float]], kind: str = "port") -> dict[str, Any]:
    """A fence as a GeoJSON feature."""
    return {
        "type": "Feature",
        "id": identity,
        "properties": {"kind": kind},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }


def book_document(*devices: Device, **changes: Any) -> dict[str, Any]:
    """A book with one facility, and for each device an asset with one lot of cooled goods and a milestone."""
    document: dict[str, Any] = {
        "fences": {
            "type": "FeatureCollection",
            "features": [fence("los-angeles", LOS_ANGELES), fence("shanghai", SHANGHAI)],
        },
        "installations": [
            {
                "device": one.name,
                "operator": "harbour-line",
                "asset": f"asset-{one.name}",
                "public_key": one.public_key,
                "silent_after_s": 3_600,
            }
            for one in devices
        ],
        "facilities": [
            {
                "id": "facility-1",
                "lender": "bank",
                "borrower": "exporter",
                "currency": "USD",
                "outstanding_minor": 5_000_000,
            }
        ],
        "prices": [{"sku": "sofa", "unit_price_minor": 20_000, "currency": "USD"}],
        "lots": [
            {
                "id": f"lot-{one.name}",
                "asset": f"asset-{one.name}",
                "facility": "facility-1",
                "sku": "sofa",
                "quantity": 1_000,
                "haircut_bp": 5_000,
                "limits": [{"channel": "temperature_mc", "low": 2_000, "high": 8_000, "grace_s": 600}],
            }
            for one in devices
        ],
        "milestones": [
            {
                "id": f"milestone-{one.name}",
                "facility": "facility-1",
                "lot": f"lot-{one.name}",
                "payee": "exporter",
                "when": {"upon": {"fact": "gated_in", "fence": "los-angeles"}, "that": {"fact": "condition_kept"}},
                "release": {"amount_minor": 2_500_000},
            }
            for one in devices
        ],
        "parties": [{"id": "exporter", "name": "Example Exporter"}, {"id": "bank", "name": "Example Bank"}],
    }
    return {**document, **changes}


class ManualClock:
    """A clock that says what it is set to."""

    def __init__(self, at_ms: int = NOON_MS) -> None:
        self.at_ms = at_ms

    def now_ms(self) -> int:
        """What it is set to."""
        return self.at_ms
