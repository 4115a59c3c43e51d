"""Of whom the broker is to end what is open: those of whom nobody is let in any more by what he had."""

import asyncio
from pathlib import Path

import pytest
from builders import book_document
from claiming import DAY_MS, Claimant, ClaimCloud
from cryptography.hazmat.primitives.asymmetric import ec
from letting_in import ASSET

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.identity_book import IdentityBook
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
    assert tried == ["box-1"]
    assert await files.known(writer.state), "who claims is let in"
    await files.keep()
    await files.keep()
    assert tried == ["box-1", "box-2", "box-1", "box-1"]
    assert caplog.text.count("nobody is there") == 1
    is_well.append(True)
    for _ in range(2):
        await files.keep()
    assert tried == ["box-1", "box-2", "box-1", "box-1", "box-1"]
    cloud.cloud.close()


async def test_a_broker_that_is_not_there_is_named(tmp_path: Path) -> None:
    cloud = await asyncio.to_thread(cloud_in, tmp_path)
    settings = DevicesSettings(
        authority_certificate_file=cloud.authority_file,
        authority_key_file=cloud.authority_key_file,
        care_key_file=cloud.authority_key_file,
        public_url="https://cloud.example",
        broker_host="127.0.0.1",
        broker_port=free_port(),
        broker_ca_file=cloud.authority_file,
    )
    put_out = putting_out_of(settings, cloud.authority, cloud.world.now_ms)
    with pytest.raises(PuttingOutError, match=f"connected as box-1 may be so yet: 127.0.0.1:{settings.broker_port}"):
        await put_out("harbour-line", "box-1")
    cloud.cloud.close()
