"""Of whom the broker is to end what is open: those of whom nobody is let in any more by what he had."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from authority import Authority
from builders import book_document
from claiming import DAY_MS, Claimant, ClaimCloud
from cryptography.hazmat.primitives.asymmetric import ec
from letting_in import ASSET

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.identity_book import IdentityBook
from pledgewatch_cloud.identity import putting_out
from pledgewatch_cloud.identity.broker_files import BrokerFiles
from pledgewatch_cloud.identity.putting_out import PuttingOutError, ousted, putting_out_of
from pledgewatch_cloud.identity.settings import DevicesSettings
from pledgewatch_sim.programs import free_port


def cloud_in(folder: Path) -> ClaimCloud:
    cloud = ClaimCloud(folder)
    cloud.cloud.spine.commit(drafts.amend, book_document(cloud.cloud.device))
    return cloud


def claimed(cloud: ClaimCloud, name: str, seed: int) -> Claimant:
    one = Claimant(name, seed=seed)
    cloud.claimed(one, cloud.invite(name, **ASSET))
    return one


def test_of_whom_it_is_in_the_life_of_a_device(tmp_path: Path) -> None:
    cloud = cloud_in(tmp_path)
    seen = cloud.cloud.writer.state.identities

    def ended() -> set[str]:
        nonlocal seen
        before, seen = seen, cloud.cloud.writer.state.identities
        assert ousted(seen, seen, cloud.world.at_ms) == set()
        return ousted(before, seen, cloud.world.at_ms)

    box = claimed(cloud, "box-1", 21)
    assert ended() == set(), "the first, of whom nobody had anything"
    cloud.world.at_ms += 61 * DAY_MS
    key = ec.generate_private_key(ec.SECP256R1())
    answer = cloud.post("/devices/renewals", box.renewal(cloud.world.at_ms, key=key))
    assert answer.status_code == 201, answer.text
    assert ended() == set(), "the one before counts yet"
    newer = Claimant("box-1")
    newer.tls, newer.certificate = key, answer.json()["certificate"]
    assert cloud.post("/devices/confirmations", newer.confirmation(cloud.world.at_ms)).json()["changed"]
    assert cloud.cloud.writer.state.identities.of("box-1").revoked
    assert ended() == set(), "the device is connected by the newer one"
    assert ousted(None, seen, cloud.world.at_ms) == set(), "nor at a start"
    claimed(cloud, "box-1", 22)
    assert ended() == {"box-1"}, "another card"
    assert cloud.post("/devices/box-1/revocation", {"why": "stolen"}).status_code == 200
    assert ended() == {"box-1"}
    claimed(cloud, "box-1", 23)
    assert ended() == {"box-1"}, "he may have come in meanwhile, where the broker was not told"
    taken_ms = max(one.at_ms for one in seen.of("box-1").revoked)
    assert ousted(None, seen, taken_ms + DAY_MS - 1) == {"box-1"}, "at a start, of the last day"
    assert ousted(None, seen, taken_ms + DAY_MS) == set()
    assert ousted(None, IdentityBook(), 0) == set()
    cloud.world.at_ms += 200 * DAY_MS
    claimed(cloud, "box-1", 24)
    assert ended() == {"box-1"}, "the last had expired"
    assert cloud.post("/devices/box-1/revocation", {"why": "stolen"}).status_code == 200
    assert ended() == {"box-1"}
    cloud.world.at_ms += 100 * DAY_MS
    claimed(cloud, "box-1", 25)
    assert ended() == {"box-1"}, "whatever was open since before it was revoked"
    claimed(cloud, "box-2", 26)
    assert ended() == set()
    assert cloud.post("/devices/container-1/revocation", {"why": "lost"}).status_code == 200
    assert ended() == set(), "who never claimed has a certificate of somebody else, and would come in again"
    cloud.cloud.close()


def renewed(cloud: ClaimCloud, one: Claimant) -> Claimant:
    """The device with the certificate that it was given for another key."""
    newer = Claimant(one.name)
    newer.tls = ec.generate_private_key(ec.SECP256R1())
    answer = cloud.post("/devices/renewals", one.renewal(cloud.world.at_ms, key=newer.tls))
    assert answer.status_code == 201, answer.text
    newer.certificate = answer.json()["certificate"]
    return newer


def test_at_a_start_a_renewal_hides_nobody_whose_certificates_were_taken_away(tmp_path: Path) -> None:
    cloud = cloud_in(tmp_path)
    claimed(cloud, "box-1", 21)
    cloud.world.at_ms += 30 * DAY_MS
    box, taken_ms = claimed(cloud, "box-1", 22), cloud.world.at_ms
    cloud.world.at_ms += DAY_MS // 2
    newer = renewed(cloud, box)
    assert ousted(None, cloud.cloud.writer.state.identities, cloud.world.at_ms) == {"box-1"}
    assert cloud.post("/devices/confirmations", newer.confirmation(cloud.world.at_ms)).json()["changed"]
    seen = cloud.cloud.writer.state.identities
    assert ousted(None, seen, taken_ms + DAY_MS - 1) == {"box-1"}
    assert len(seen.of("box-1").revoked) == 2, "the one that was taken away, and the one that was replaced"
    cloud.cloud.close()


@pytest.mark.parametrize(("seed", "epoch"), [(22, 0), (21, 3)], ids=["another card", "the same card"])
def test_at_a_start_who_claimed_anew_within_the_day_is_put_out_though_all_before_had_expired(
    tmp_path: Path, seed: int, epoch: int
) -> None:
    cloud = cloud_in(tmp_path)
    claimed(cloud, "box-1", 21)
    assert ousted(None, cloud.cloud.writer.state.identities, cloud.world.at_ms) == set(), "the first"
    cloud.world.at_ms += 100 * DAY_MS
    box, claimed_ms = Claimant("box-1", seed=seed, epoch=epoch), cloud.world.at_ms
    cloud.claimed(box, cloud.invite("box-1"))
    assert cloud.cloud.writer.state.identities.of("box-1").revoked == ()
    assert ousted(None, cloud.cloud.writer.state.identities, claimed_ms) == {"box-1"}
    cloud.world.at_ms += DAY_MS // 2
    renewed(cloud, box)
    seen = cloud.cloud.writer.state.identities
    assert ousted(None, seen, claimed_ms + DAY_MS - 1_000) == {"box-1"}
    assert ousted(None, seen, claimed_ms + DAY_MS) == set()
    cloud.cloud.close()


async def test_one_who_cannot_be_put_out_keeps_nobody_else_and_no_claim(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cloud, tried, is_well = await asyncio.to_thread(cloud_in, tmp_path), list[str](), list[bool]()

    async def reload() -> None:
        pass

    async def put_out(operator: str, device: str) -> None:
        assert operator == "harbour-line"
        tried.append(device)
        if device == "box-1" and not is_well:
            raise PuttingOutError("nobody is there")

    writer = cloud.cloud.writer
    named = {"cloud": "cloud", "health": ""}
    files = BrokerFiles(writer, cloud.authority, tmp_path, cloud.world, reload, put_out=put_out, **named)  # type: ignore[arg-type]
    for seed, name in enumerate(("box-1", "box-2"), 21):
        await asyncio.to_thread(claimed, cloud, name, seed)
    await files.keep()
    assert tried == []
    for seed, name in enumerate(("box-1", "box-2"), 31):
        await asyncio.to_thread(claimed, cloud, name, seed)
    await files.keep()
    assert tried == ["box-1", "box-2"]
    assert await files.known(writer.state, ["box-1"]), "who claims is let in"
    await files.keep()
    await files.keep()
    assert tried == ["box-1", "box-2", "box-1", "box-1"]
    assert caplog.text.count("nobody is there") == 1
    is_well.append(True)
    for _ in range(2):
        await files.keep()
    assert tried == ["box-1", "box-2", "box-1", "box-1", "box-1"]
    cloud.cloud.close()


class Listener:
    """A broker's listener that answers each CONNECT as it is told (with nothing: b""), and keeps what it has heard."""

    def __init__(self, folder: Path, answer: bytes) -> None:
        Authority(folder).issue("server")
        self.ca_file, self._answer, self.heard = folder / "ca.pem", answer, list[bytes]()
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(folder / "server.pem", folder / "server.key")

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """The port."""
        server = await asyncio.start_server(self._heard, "127.0.0.1", 0, ssl=self._context)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()

    async def _heard(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError):
            self.heard.append(await reader.read(4_096))
            writer.write(self._answer)
            self.heard.append(await reader.read(4_096))
        writer.close()


def settings_of(cloud: ClaimCloud, ca_file: Path, port: int) -> DevicesSettings:
    return DevicesSettings(
        authority_certificate_file=cloud.authority_file,
        authority_key_file=cloud.authority_key_file,
        care_key_file=cloud.authority_key_file,
        public_url="https://cloud.example",
        broker_host="127.0.0.1",
        broker_port=port,
        broker_ca_file=ca_file,
    )


@pytest.mark.parametrize(
    ("operator", "device", "length"),
    [("harbour-line", "box-1", b"\x1e"), ("", "d" * 64, b"\x4c"), ("o" * 64, "d" * 64, b"\x8d\x01")],
)
async def test_it_asks_for_a_clean_start_under_the_devices_name_and_leaves(
    tmp_path: Path, operator: str, device: str, length: bytes
) -> None:
    cloud = await asyncio.to_thread(ClaimCloud, tmp_path, world_ms=time.time_ns() // 1_000_000)
    broker = Listener(tmp_path, b"\x20\x02\x00\x00")
    async with broker.listening() as port:
        put_out = putting_out_of(settings_of(cloud, broker.ca_file, port), cloud.authority, cloud.world.now_ms)
        await put_out(operator, device)
        async with asyncio.timeout(20):
            while len(broker.heard) < 2:
                await asyncio.sleep(0.01)
    client_id = f"{operator}.{device}" if operator else device
    body = b"\x00\x04MQTT\x04\x02\x00\x0a" + len(client_id).to_bytes(2, "big") + client_id.encode()
    assert broker.heard == [b"\x10" + length + body, b"\xe0\x00"], "the length in as few bytes as there may be"
    cloud.cloud.close()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"\x20\x02\x00\x05", "the broker answers 20020005"),
        (b"\x30\x02\x00\x00", "the broker answers 30020000"),
        (b"", "it has not answered within 0.5 s"),
    ],
    ids=["refuses", "says something else", "is silent"],
)
async def test_a_broker_that_lets_nobody_in_has_put_out_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes, said: str
) -> None:
    monkeypatch.setattr(putting_out, "PATIENCE_S", 0.5 if not answer else 20.0)
    cloud = await asyncio.to_thread(ClaimCloud, tmp_path, world_ms=time.time_ns() // 1_000_000)
    broker = Listener(tmp_path, answer)
    async with broker.listening() as port:
        put_out = putting_out_of(settings_of(cloud, broker.ca_file, port), cloud.authority, cloud.world.now_ms)
        async with asyncio.timeout(40):
            with pytest.raises(PuttingOutError, match=said):
                await put_out("harbour-line", "box-1")
    cloud.cloud.close()


async def test_a_broker_that_is_not_there_is_named(tmp_path: Path) -> None:
    cloud = await asyncio.to_thread(cloud_in, tmp_path)
    settings = settings_of(cloud, cloud.authority_file, free_port())
    put_out = putting_out_of(settings, cloud.authority, cloud.world.now_ms)
    with pytest.raises(PuttingOutError, match=f"connected as box-1 may be so yet: 127.0.0.1:{settings.broker_port}"):
        await put_out("harbour-line", "box-1")
    cloud.cloud.close()
