"""The straightforward ingestor that `ingest` is held against: aiomqtt, JSON, an insert and a commit for each reading.

Run as a program: `bench_baseline.py PORT DATABASE COUNT`; it ends when it has COUNT readings on disk.
"""

import asyncio
import json
import sqlite3
import sys
from typing import Any

import aiomqtt

from pledgewatch_wire.codec import decode
from pledgewatch_wire.reading import Channel

TOPIC = "plain/+/up"


async def _ingest(port: int, database: str, count: int) -> None:
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(
        "CREATE TABLE reading (device TEXT, measured_at_ms INTEGER, latitude REAL, longitude REAL, temperature REAL,"
        " humidity REAL, battery REAL)"
    )
    async with aiomqtt.Client("127.0.0.1", port, identifier="plain", clean_session=False) as client:
        await client.subscribe(TOPIC, qos=1)
        print("ready", flush=True)
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            one = json.loads(message.payload)
            connection.execute("INSERT INTO reading VALUES (?, ?, ?, ?, ?, ?, ?)", tuple(one.values()))
            connection.commit()
            count -= 1
            if not count:
                return


def as_json(topic: str, payload: bytes) -> tuple[str, bytes]:
    """A live payload of the fleet as a plain one of the same content."""
    device = topic.split("/")[3]
    (reading,) = decode(payload).readings
    value = {Channel(cell.channel).name.lower(): cell.value for cell in reading.cells}
    plain: dict[str, Any] = {
        "device": device,
        "measured_at_ms": reading.measured_at_ms,
        "latitude": value["latitude_e7"] / 1e7,
        "longitude": value["longitude_e7"] / 1e7,
        "temperature": value["temperature_mc"] / 1e3,
        "humidity": value["humidity_cpercent"] / 1e2,
        "battery": value["battery_mv"] / 1e3,
    }
    return f"plain/{device}/up", json.dumps(plain, separators=(",", ":")).encode()


if __name__ == "__main__":
    asyncio.run(_ingest(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
