"""A fleet of devices for measurements: valid, chained, signed traffic, made before the clock starts.

It shares `wire` with the cloud and nothing else. Publishing is plain MQTT 5 at QoS 1 with a window of unacknowledged
messages, fast enough to be no bottleneck to whoever listens.
"""

import asyncio
from typing import Any, NamedTuple

import mqtt5
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pledgewatch_wire import chain, topics
from pledgewatch_wire.codec import Checkpoint, Payload, encode
from pledgewatch_wire.reading import Cell, Channel, Clock, Reading
from pledgewatch_wire.topics import Kind

OPERATOR = "fleet"
START_MS = 1_767_225_600_000
STEP_MS = 900_000  # a reading each quarter of an hour
CHECKPOINT_EVERY = 60
WINDOW = 4_000


class Fleet(NamedTuple):
    """Messages as (topic, payload) in the order in which a fleet sends them, and the book that knows its devices."""

    messages: list[tuple[str, bytes]]
    book: dict[str, Any]


def make_fleet(devices: int, readings_each: int) -> Fleet:
    """Every device sends one reading a message: position, temperature, humidity, battery."""
    rounds: list[list[tuple[str, bytes]]] = [[] for _ in range(readings_each)]
    installations = []
    for number in range(devices):
        name = f"unit-{number}"
        key = Ed25519PrivateKey.from_private_bytes(number.to_bytes(32, "big"))
        topic = topics.topic(OPERATOR, name, Kind.UP)
        running = chain.genesis(name, 1)
        for place in range(readings_each):
            reading = _reading(number, place)
            running = chain.extend(running, chain.leaf(reading))
            signed: tuple[Checkpoint, ...] = ()
            if reading.sequence % CHECKPOINT_EVERY == 0:
                signature = chain.sign(key, name, 1, reading.sequence, running)
                signed = (Checkpoint(reading.sequence, signature),)
            rounds[place].append((topic, encode(Payload(1, (reading,), signed))))
        public_key = key.public_key().public_bytes_raw().hex()
        installations.append(
            {"device": name, "operator": OPERATOR, "asset": name, "public_key": public_key, "silent_after_s": 7_200}
        )
    return Fleet([one for some in rounds for one in some], {"installations": installations, **_pledges(devices)})


async def publish(host: str, port: int, messages: list[tuple[str, bytes]]) -> None:
    """Send everything at QoS 1, as fast as the broker acknowledges. Raises ConnectionError where it is lost."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(mqtt5.ConnectPacket("fleet", clean_start=True, keep_alive=60).write())
    room = asyncio.Semaphore(WINDOW)
    acknowledging = asyncio.create_task(_release(reader, room))
    packet_id = 0
    for topic, payload in messages:
        await room.acquire()
        packet_id = packet_id % 65_535 + 1
        packet = mqtt5.PublishPacket(topic, payload, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=packet_id)
        writer.write(packet.write())
        if packet_id % 256 == 0:
            await writer.drain()
    for _ in range(WINDOW):
        await room.acquire()
    acknowledging.cancel()
    writer.write(mqtt5.DisconnectPacket().write())
    writer.close()
    await writer.wait_closed()


async def _release(reader: asyncio.StreamReader, room: asyncio.Semaphore) -> None:
    """Give a place back for each acknowledgement."""
    buffer = b""
    while data := await reader.read(65_536):
        buffer += data
        view, place = memoryview(buffer), 0
        while True:
            try:
                packet, length = mqtt5.read(view[place:])
            except IndexError:
                break
            place += length
            if isinstance(packet, mqtt5.PubAckPacket):
                room.release()
        buffer = buffer[place:]
    raise ConnectionError("the broker closed the connection")


def _reading(number: int, place: int) -> Reading:
    """A unit's reading: it moves a little, keeps cold, and its battery sinks."""
    cells = (
        Cell(Channel.LATITUDE_E7, 300_000_000 + number * 10_000 + place * 3_000),
        Cell(Channel.LONGITUDE_E7, 1_200_000_000 + number * 20_000 - place * 5_000),
        Cell(Channel.TEMPERATURE_MC, 4_000 + (number * 31 + place * 17) % 900),
        Cell(Channel.HUMIDITY_CPERCENT, 6_000 + (number + place) % 50),
        Cell(Channel.BATTERY_MV, 3_900 - place),
    )
    return Reading(place + 1, START_MS + place * STEP_MS + number, Clock.GPS, cells)


def _pledges(devices: int) -> dict[str, Any]:
    """A lot in every unit, a facility for every hundred, a hundred fences."""
    facility = {"lender": "bank", "borrower": "exporter", "currency": "USD", "outstanding_minor": 1_000_000}
    limit = {"channel": "temperature_mc", "low": 2_000, "high": 8_000, "grace_s": 3_600}
    return {
        "fences": {"type": "FeatureCollection", "features": [_fence(number) for number in range(100)]},
        "facilities": [{"id": f"facility-{number}", **facility} for number in range((devices + 99) // 100)],
        "prices": [{"sku": "box", "unit_price_minor": 10_000, "currency": "USD"}],
        "lots": [
            {
                "id": f"lot-{number}",
                "asset": f"unit-{number}",
                "facility": f"facility-{number // 100}",
                "sku": "box",
                "quantity": 100,
                "haircut_bp": 5_000,
                "limits": [limit],
            }
            for number in range(devices)
        ],
    }


def _fence(number: int) -> dict[str, Any]:
    west, south = 100 + number % 10 * 4, 20 + number // 10 * 2
    ring = [[west, south], [west + 1, south], [west + 1, south + 1], [west, south + 1], [west, south]]
    return {
        "type": "Feature",
        "id": f"port-{number}",
        "properties": {"kind": "port"},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
