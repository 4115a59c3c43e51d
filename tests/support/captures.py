"""Captures of real receivers played over a pty into the real agent, through a real broker, into the cloud's journal."""

import asyncio
from pathlib import Path

from brokers import BrokerProcess
from golden import Found, cycles_in
from station import OPERATOR, Station, opened

from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_sim.play import play
from pledgewatch_sim.pty_port import PtyPort
from pledgewatch_wire.reading import NO_VALUE_FROM, Channel


def device_of(log: Path) -> str:
    """A log's name as a device's."""
    return "".join(one if one.isascii() and one.isalnum() else "-" for one in log.stem.lower()).strip("-")


def book_of(keys: dict[str, str]) -> dict[str, object]:
    """A book in which every device is fitted to an asset of its own."""
    installations = [
        {"device": one, "operator": OPERATOR, "asset": one, "public_key": key} for one, key in keys.items()
    ]
    return {"installations": installations}


def committed_fixes(store: SqliteStore, device: str) -> list[Found]:
    """The places that the journal holds of a device. A reading whose receiver had no time has time None."""
    fixes = []
    for one in store.readings([device], 10**12):
        latitude, longitude = one.reading.cell(Channel.LATITUDE_E7), one.reading.cell(Channel.LONGITUDE_E7)
        if latitude and longitude and latitude.quality < NO_VALUE_FROM:
            has_time = one.reading.clock == 0
            fixes.append(Found(one.measured_at_ms if has_time else None, latitude.value, longitude.value))
    return fixes


async def play_all(folder: Path, broker: BrokerProcess, logs: list[Path]) -> dict[str, list[Found]]:
    """Play every log into an agent of its own. Returns the committed fixes by log name."""
    station = Station(folder, broker)
    keys = {}
    for log in logs:
        name = device_of(log)
        gps = f'[gps]\nport = "{folder / name / "tty"}"\nbaud = 115200\ninterval_s = 0.0\n'
        keys[name] = station.add_device(name, sensors=gps)
    station.set_book(book_of(keys))
    with opened(station):
        await asyncio.gather(*(_play_one(station, log) for log in logs))
        for log in logs:
            assert station.agents[device_of(log)].end() == 0
        assert station.get(station.api_port, "/quarantine")["counts"] == {}
        assert station.cloud.end() == 0
    store = SqliteStore(folder / "data")
    try:
        return {log.name: committed_fixes(store, device_of(log)) for log in logs}
    finally:
        store.close()


async def _play_one(station: Station, log: Path) -> None:
    name, data = device_of(log), await asyncio.to_thread(log.read_bytes)
    cycles = len(cycles_in(data, chunk=len(data)))
    async with PtyPort(station.folder / name / "tty") as port:
        station.agents[name].start()
        async with asyncio.timeout(60):
            await port.wait_for_reader()
        assert await play(log, port, speed=0) == len(data)
        # The last cycle is taken when the line has fallen silent, so the line is kept until it is committed.
        await station.until_async(lambda: committed(station, name) == cycles, f"all {cycles} cycles of {name}", 120)


def committed(station: Station, device: str) -> int:
    """How many readings of a device the cloud has."""
    (known,) = [one for one in station.get(station.api_port, "/devices") if one["device"] == device]
    return sum(int(epoch["received"]) for epoch in known["epochs"])
