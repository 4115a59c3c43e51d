"""A fleet of devices: valid, chained, signed traffic of as many as are asked for, made before the clock starts.

It shares `wire` with the cloud and nothing else. Each device tells position, temperature, humidity and battery, every
quarter of an hour, one reading a message; and before that, where a backlog is asked for, a reading every five minutes
in payloads of some hundreds. Every so many readings it signs.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pledgewatch_wire import chain, topics
from pledgewatch_wire.codec import Checkpoint, Payload, encode
from pledgewatch_wire.reading import Cell, Channel, Clock, Reading
from pledgewatch_wire.topics import Kind

OPERATOR = "fleet"
LIVE_STEP_MS = 900_000
BACKLOG_STEP_MS = 300_000
BACKLOG_PAYLOAD = 480  # readings
CHECKPOINT_EVERY = 48  # as often as an agent that speaks every quarter of an hour
_LOTS_EACH_FACILITY = 100
DAY_MS = 86_400_000
_STORIES = 16  # of a backlog; devices take turns with them, as what they hash differs from its start on


class Sent(NamedTuple):
    """A message of the fleet."""

    topic: str
    payload: bytes
    readings: int


class Device:
    """One device: what it has said so far, as its chain knows it."""

    __slots__ = ("_epoch", "_key", "_name", "_running", "number", "sequence", "topic")

    def __init__(self, number: int, epoch: int) -> None:
        self.number = number
        self._name = name_of(number)
        self._epoch = epoch
        self._key = _key_of(number)
        self._running = chain.genesis(self._name, epoch)
        self.sequence = 0
        self.topic = topics.topic(OPERATOR, self._name, Kind.UP)

    def say(self, readings: tuple[Reading, ...], leaves: list[bytes]) -> Sent:
        """A payload of the next readings, signed at its end where a checkpoint is due."""
        for leaf in leaves:
            self._running = chain.extend(self._running, leaf)
        before, self.sequence = self.sequence, readings[-1].sequence
        signed: tuple[Checkpoint, ...] = ()
        if before // CHECKPOINT_EVERY != self.sequence // CHECKPOINT_EVERY:
            signature = chain.sign(self._key, self._name, self._epoch, self.sequence, self._running)
            signed = (Checkpoint(self.sequence, signature),)
        return Sent(self.topic, encode(Payload(self._epoch, readings, signed)), len(readings))


class Fleet:
    """Devices whose live readings come in rounds, the last of them due at `until_ms`."""

    def __init__(
        self,
        devices: range,
        *,
        rounds: int,
        until_ms: int,
        backlog_days: float = 0.0,
        epoch: int = 1,
        said: int = 0,
        step_ms: int = LIVE_STEP_MS,
    ) -> None:
        """`rounds` live readings of each device, `step_ms` apart, after `backlog_days` of them that were kept.

        `devices` are numbers. `said`: how many readings each has kept in a fleet's backlog in the epoch before; it goes
        on from the place where that has left it.
        """
        self._devices = [Device(number, epoch) for number in devices]
        self._said = said
        self._rounds, self._step_ms = rounds, step_ms
        self._live_from_ms = until_ms - rounds * step_ms
        self._backlog = int(backlog_days * DAY_MS) // BACKLOG_STEP_MS
        self._stories = min(_STORIES, len(self._devices))

    def live(self) -> Iterator[Sent]:
        """Round after round, every device in turn."""
        for place in range(self._rounds):
            at_ms = self._live_from_ms + place * self._step_ms
            for number, device in enumerate(self._devices):
                story = number % self._stories if self._backlog or self._said else device.number
                reading = _reading(story, device.sequence + 1, at_ms + device.number % self._step_ms, self._said)
                yield device.say((reading,), [chain.leaf(reading)])

    def backlog(self) -> Iterator[Sent]:
        """What was kept: the oldest payload of every device, then the next of every device, and so on."""
        from_ms = self._live_from_ms - self._backlog * BACKLOG_STEP_MS
        for start in range(0, self._backlog, BACKLOG_PAYLOAD):
            places = range(start, min(start + BACKLOG_PAYLOAD, self._backlog))
            stories = []
            for story in range(self._stories):
                some = tuple(_reading(story, place + 1, from_ms + place * BACKLOG_STEP_MS) for place in places)
                stories.append((some, [chain.leaf(one) for one in some]))
            for number, device in enumerate(self._devices):
                yield device.say(*stories[number % len(stories)])


def book(devices: range, fences: int) -> dict[str, Any]:
    """The book that knows the devices: an asset and a lot for each, facilities, and fences along their way.

    Every lot has limits and a mean kinetic temperature, every asset a speed and a patience, so every stage of a step is
    on.
    """
    facility = {"lender": "bank", "borrower": "exporter", "currency": "USD", "outstanding_minor": 1_000_000}
    limits = [
        {"channel": "temperature_mc", "low": 2_000, "high": 8_000, "grace_s": 3_600, "max_gap_s": 40_000},
        {"channel": "humidity_cpercent", "low": 0, "high": 9_000, "max_gap_s": 40_000},
    ]
    mkt = {"channel": "temperature_mc", "high_mc": 20_000, "worst_low_mc": 0, "worst_high_mc": 40_000}
    installation = {"operator": OPERATOR, "silent_after_s": 86_400, "overdue_after_s": 40_000}
    return {
        "fences": {"type": "FeatureCollection", "features": [_fence(number) for number in range(fences)]},
        "assets": [{"id": name_of(number), "kind": "container"} for number in devices],
        "installations": [
            {"device": name_of(number), "asset": name_of(number), "public_key": _public_key(number), **installation}
            for number in devices
        ],
        "facilities": [
            {"id": f"facility-{number}", **facility}
            for number in sorted({number // _LOTS_EACH_FACILITY for number in devices})
        ],
        "prices": [{"sku": "box", "unit_price_minor": 10_000, "currency": "USD"}],
        "lots": [
            {
                "id": f"lot-{number}",
                "asset": name_of(number),
                "facility": f"facility-{number // _LOTS_EACH_FACILITY}",
                "sku": "box",
                "quantity": 100,
                "haircut_bp": 5_000,
                "limits": limits,
                "mkt": mkt,
            }
            for number in devices
        ],
    }


def name_of(number: int) -> str:
    """A device's name, and its asset's."""
    return f"unit-{number}"


def _key_of(number: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(number.to_bytes(32, "big"))


def _public_key(number: int) -> str:
    return _key_of(number).public_key().public_bytes_raw().hex()


def _reading(number: int, sequence: int, at_ms: int, said: int = 0) -> Reading:
    """A unit's reading: it moves a little, with a receiver's scatter of metres; it keeps cold, in steps of a sixteenth
    of a degree as a DS18B20 has them; its battery sinks. `said`: how many it has said in the epoch before."""
    turn = said + sequence
    cells = (
        Cell(Channel.LATITUDE_E7, _latitude_e7(number) + turn % 1_000 * 300 + _scatter(number, turn, 1, 400)),
        Cell(Channel.LONGITUDE_E7, _longitude_e7(number) - turn % 1_000 * 500 + _scatter(number, turn, 2, 400)),
        Cell(Channel.TEMPERATURE_MC, 4_500 + (_scatter(number, turn, 3, 8) * 1_000 + 8) // 16),
        Cell(Channel.HUMIDITY_CPERCENT, 6_000 + _scatter(number, turn, 4, 40)),
        Cell(Channel.BATTERY_MV, 3_900 - turn // 100 + _scatter(number, turn, 5, 3)),
    )
    return Reading(sequence, at_ms, Clock.GPS, cells)


def _scatter(number: int, sequence: int, salt: int, spread: int) -> int:
    """What looks like chance and is the same every time: from -spread to spread."""
    mixed = (number * 0x9E3779B1 + sequence * 0x85EBCA6B + salt * 0xC2B2AE35) & 0xFFFFFFFF
    mixed = (mixed ^ mixed >> 15) * 0x2C1B3CED & 0xFFFFFFFF
    return (mixed ^ mixed >> 12) % (2 * spread + 1) - spread


def _latitude_e7(number: int) -> int:
    return -500_000_000 + number * 7_919 % 100_000 * 10_000


def _longitude_e7(number: int) -> int:
    return -1_750_000_000 + number * 104_729 % 350_000 * 10_000


def _fence(number: int) -> dict[str, Any]:
    """A port of eight corners somewhere in the world."""
    x, y = -175 + number * 15_485_863 % 350_000 / 1_000, -60 + number * 32_452_843 % 120_000 / 1_000
    ring = [[2, 0], [4, 0], [6, 2], [6, 4], [4, 6], [2, 6], [0, 4], [0, 2], [2, 0]]
    corners = [[round(x + east / 50, 5), round(y + north / 50, 5)] for east, north in ring]
    return {
        "type": "Feature",
        "id": f"port-{number}",
        "properties": {"kind": "port"},
        "geometry": {"type": "Polygon", "coordinates": [corners]},
    }
