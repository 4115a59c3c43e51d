"""Real input, end to end: captures of real receivers, played over a pty into the real agent, through a real broker,
into the cloud's journal. What was committed equals gpsd's golden output.
"""

import asyncio
from pathlib import Path

import pytest
from brokers import BrokerProcess, started
from golden import DATA, EXCEPTIONS, SPREAD, WANTED_SHARE, Found, golden_fixes, missed
from station import OPERATOR, Station, opened

from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_sim.play import play
from pledgewatch_sim.pty_port import PtyPort
from pledgewatch_wire.reading import NO_VALUE_FROM, Channel

needs_data = pytest.mark.skipif(not DATA.exists(), reason=f"needs ../shared/data/{DATA.name}")


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
        names = [device_of(log) for log in logs]
        await station.until_async(lambda: _all_committed(station, names), "all readings to be committed", 120)
        for name in names:
            assert station.agents[name].end() == 0
        assert station.get(station.api_port, "/quarantine")["counts"] == {}
        assert station.cloud.end() == 0
    store = SqliteStore(folder / "data")
    try:
        return {log.name: committed_fixes(store, device_of(log)) for log in logs}
    finally:
        store.close()


async def _play_one(station: Station, log: Path) -> None:
    name, size = device_of(log), len(await asyncio.to_thread(log.read_bytes))
    async with PtyPort(station.folder / name / "tty") as port:
        station.agents[name].start()
        async with asyncio.timeout(60):
            await port.wait_for_reader()
        assert await play(log, port, speed=0) == size
        # The last cycle is taken when the line falls silent.
        await asyncio.sleep(3)


def _all_committed(station: Station, names: list[str]) -> bool:
    devices = {one["device"]: one["epochs"] for one in station.get(station.api_port, "/devices")}
    for name in names:
        measured = station.edge_says(name, "status")["measured"]
        if sum(epoch["received"] for epoch in devices[name]) < measured or not measured:
            return False
    return True


def check(log_name: str, found: list[Found]) -> None:
    """What was committed is what gpsd found, or falls short as the list of exceptions says."""
    golden = golden_fixes(DATA / log_name)
    short = missed(golden, found)
    met = len(golden) - len(short)
    if log_name in EXCEPTIONS:
        assert met < WANTED_SHARE * len(golden), f"{log_name} is no longer an exception"
    else:
        assert met >= WANTED_SHARE * len(golden), f"{log_name}: {met} of {len(golden)}, missed {short[:4]}"


@needs_data
async def test_ten_receivers_from_the_serial_line_to_the_journal(tmp_path: Path) -> None:
    broker = started("mosquitto", tmp_path / "broker")
    try:
        found = await play_all(tmp_path / "station", broker, [DATA / name for name in SPREAD])
    finally:
        broker.kill()
    for name in SPREAD:
        check(name, found[name])


@needs_data
async def test_a_receiver_through_the_embedded_broker(tmp_path: Path) -> None:
    broker = started("amqtt", tmp_path / "broker")
    try:
        found = await play_all(tmp_path / "station", broker, [DATA / "bu353s4.log"])
    finally:
        broker.kill()
    check("bu353s4.log", found["bu353s4.log"])
