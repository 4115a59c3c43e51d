"""What the edge agent's tests share: settings, a configuration, samples, a cloud of a few lines, and waiting."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiomqtt
from brokers import BrokerProcess, started

from pledgewatch_edge.config import (
    BrokerSettings,
    DeviceSettings,
    StationSettings,
    UplinkSettings,
)
from pledgewatch_edge.identity import load_or_create_key
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.spool.file import open_spool
from pledgewatch_edge.spool.marks import OwnMarks
from pledgewatch_edge.spool.spool import Limits, Spool
from pledgewatch_wire import chain
from pledgewatch_wire.codec import Checkpoint, Committed, Payload, Status, decode, decode_status, encode_committed
from pledgewatch_wire.marks import Marks
from pledgewatch_wire.mqtt_settings import MqttProtocol
from pledgewatch_wire.reading import Cell, Channel, Clock, Reading

OPERATOR = "harbour-line"
DEVICE = "cont-0417"
TIME_MS = 1_780_000_000_000
PROBE = "28-0316a2794e2f"
SHOWN = "72 01 4b 46 7f ff 0e 10 57 : crc=57 YES\n72 01 4b 46 7f ff 0e 10 57 t=4062\n"
WIDE = Limits(bytes_max=2**26, every_readings=60, every_s=1e9)


def sample(number: int, *, clock: int = Clock.GPS) -> Sample:
    """A sample that tells its number: one second and one thousandth of a degree for each."""
    cells = (Cell(Channel.LATITUDE_E7, 337_000_000 - number), Cell(Channel.TEMPERATURE_MC, number))
    return Sample(TIME_MS + 1_000 * number, clock, cells)


def samples(count: int, start: int = 1) -> list[Sample]:
    """Samples `start` to `start` + `count` - 1."""
    return [sample(start + place) for place in range(count)]


def new_spool(
    folder: Path, limits: Limits = WIDE, *, device: str = DEVICE, monotonic: Callable[[], float] = lambda: 0.0
) -> Spool:
    """The spool of a state folder."""
    return open_spool(folder, device, load_or_create_key(folder), limits, monotonic)


def true_word(spool: Spool, contiguous: int, ranges: tuple[tuple[int, int], ...] = ()) -> Committed:
    """What a cloud says that has these readings of a spool. It has a mark of each, also where the spool has not."""

    own = OwnMarks(spool._contents)
    own._known = dict(spool._marks._known)  # of what it has let go since too

    def mark(sequence: int, *, of_chain: bool) -> bytes:
        return own.at(spool._segments, sequence, of_chain=of_chain) or b"\xff" * chain.MARK_BYTES

    marks = tuple(mark(last, of_chain=False) for _, last in ranges)
    return Committed(spool.epoch, contiguous, ranges, mark(contiguous, of_chain=True) if contiguous else b"", marks)


def station(
    folder: Path,
    port: int,
    *,
    device: str = DEVICE,
    protocol: str = "auto",
    send_every_s: float = 0.0,
    readings_per_payload: int = 20,
    in_flight_readings: int = 200,
    resend_after_s: float = 30.0,
    keep_alive_s: int = 5,
) -> StationSettings:
    """Settings for a broker on this machine, quick to reconnect."""
    return StationSettings(
        device=DeviceSettings(operator=OPERATOR, name=device, state_folder=folder),
        broker=BrokerSettings(
            host="127.0.0.1", port=port, protocol=MqttProtocol(protocol), keep_alive_s=keep_alive_s, reconnect_max_s=0.2
        ),
        uplink=UplinkSettings(
            send_every_s=send_every_s,
            readings_per_payload=readings_per_payload,
            in_flight_readings=in_flight_readings,
            resend_after_s=resend_after_s,
        ),
    )


def configuration(folder: Path, port: int = 1, *, interval_s: float, shown: str = SHOWN, more: str = "") -> Path:
    """An agent's configuration in a folder, and the one probe that it names, which shows something; `more` are further
    sections. The file."""
    probe = folder / "w1" / PROBE
    probe.mkdir(parents=True, exist_ok=True)
    (probe / "w1_slave").write_text(shown, encoding="ascii")
    file = folder / "edge.toml"
    file.write_text(
        f"""[device]
operator = "{OPERATOR}"
name = "{DEVICE}"
state_folder = "state"
[broker]
host = "127.0.0.1"
port = {port}
keep_alive_s = 5
reconnect_max_s = 0.2
[onewire]
probes = ["{PROBE}"]
root = "w1"
interval_s = {interval_s}
{more}
""",
        encoding="utf-8",
    )
    return file


@contextmanager
def running_broker(kind: str, folder: Path) -> Iterator[BrokerProcess]:
    """A broker in a process of its own. Skips the test where the machine does not have it."""
    process = started(kind, folder)
    try:
        yield process
    finally:
        process.kill()


async def until(condition: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
    """Wait until something outside this process has happened."""
    try:
        async with asyncio.timeout(timeout_s):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"waited {timeout_s} s for: {what}") from None


class Cloud:
    """Hears one device, keeps what it hears, and says `committed` when asked to or, with `commits`, by itself."""

    def __init__(self, client: aiomqtt.Client, device: str, *, commits: bool) -> None:
        self.client = client
        self.device = device
        self.commits = commits
        self.marks: dict[int, Marks] = {}
        self.readings: dict[tuple[int, int], Reading] = {}
        self.checkpoints: set[Checkpoint] = set()
        self.payloads: list[Payload] = []
        self.statuses: list[Status] = []
        self.conflicts = 0

    async def listen(self) -> None:
        async for message in self.client.messages:
            assert isinstance(message.payload, bytes)
            if str(message.topic).endswith("/status"):
                status = decode_status(message.payload)
                self.statuses.append(status)
                if status.online and self.commits:
                    await self.commit(status.epoch)
                continue
            payload = decode(message.payload)
            self.payloads.append(payload)
            self.checkpoints |= set(payload.checkpoints)
            marks = self.marks.get(payload.epoch, Marks())
            self.marks[payload.epoch] = marks.add(payload.first_sequence, payload.last_sequence)
            for reading in payload.readings:
                known = self.readings.setdefault((payload.epoch, reading.sequence), reading)
                self.conflicts += known != reading
            if self.commits and payload.committed_wanted:
                await self.commit(payload.epoch)

    async def commit(self, epoch: int) -> None:
        """Say what is here."""
        marks = self.marks.get(epoch, Marks())
        await self.say(Committed(epoch, marks.contiguous, marks.ranges))

    def _marked(self, committed: Committed) -> Committed:
        """A word with its marks; of readings that were never heard they are those of another life."""
        heard = {sequence: one for (epoch, sequence), one in self.readings.items() if epoch == committed.epoch}
        other = b"\xff" * chain.MARK_BYTES
        whole = [heard[one] for one in range(1, committed.contiguous + 1) if one in heard]
        running = chain.genesis(self.device, committed.epoch)
        for one in whole:
            running = chain.extend(running, chain.leaf(one))
        chain_mark = chain.mark(running) if len(whole) == committed.contiguous else other
        marks = (chain.mark(chain.leaf(heard[last])) if last in heard else other for _, last in committed.ranges)
        return committed._replace(chain_mark=chain_mark if committed.contiguous else b"", range_marks=tuple(marks))

    async def say(self, committed: Committed) -> None:
        """Say anything, with its marks."""
        word = encode_committed(self._marked(committed))
        await self.client.publish(f"pw/1/{OPERATOR}/{self.device}/committed", word, qos=1)


@asynccontextmanager
async def cloud(port: int, *, device: str = DEVICE, commits: bool = True) -> AsyncIterator[Cloud]:
    """A cloud for one device at a broker on this machine. Speaks 3.1.1, which every broker does."""
    async with aiomqtt.Client(
        "127.0.0.1", port, identifier=f"cloud.{device}", protocol=aiomqtt.ProtocolVersion.V311, clean_session=False
    ) as client:
        await client.subscribe([(f"pw/1/+/{device}/up", 1), (f"pw/1/+/{device}/status", 1)])
        listener = Cloud(client, device, commits=commits)
        task = asyncio.create_task(listener.listen(), name="cloud")
        try:
            yield listener
            assert not task.done(), task.exception()
        finally:
            while not task.done():  # aiomqtt may swallow a cancellation (connection.heed_cancellation)
                task.cancel()
                await asyncio.wait([task], timeout=1)
