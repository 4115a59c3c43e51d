"""A real Mosquitto with configuration, access list and revocation list as the cloud makes them: who has claimed speaks
for itself and for nobody else; who is revoked or has expired does not get in.

The files are made by the code that runs in the service, from the state behind the API, and Mosquitto is told by SIGHUP.
How long it takes until a revoked device is refused is measured: from the answer to who revokes.
"""

import asyncio
import datetime as dt
import os
import signal
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from broker_clients import Client
from builders import book_document
from claiming import DAY_MS, Claimant, ClaimCloud
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from letting_in import ASSET, BESIDE, LOOK_S, MINE, WITHIN_S, World, let_in, now_ms
from needed import system_program

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.identity.broker_files import BrokerFiles, ReloadError, files_of
from pledgewatch_cloud.identity.settings import DevicesSettings

KEY = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"  # RFC 8032, 7.1


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with let_in(tmp_path_factory.mktemp("world")) as one:
        yield one


@pytest.fixture
def client(world: World) -> Iterator[Callable[..., Client]]:
    with world.clients() as connected:
        yield connected


def test_who_has_claimed_speaks_for_itself_and_for_nobody_else(world: World, client: Callable[..., Client]) -> None:
    cloud, one, other = client("cloud"), client("box-1"), client("box-2")
    cloud.ask("pw/1/+/+/up", "pw/1/+/+/status")
    one.ask(f"{BESIDE}/committed", f"{BESIDE}/command", "pw/#", f"{MINE}/committed")
    other.ask(f"{BESIDE}/committed")
    assert not any(one.say_all([f"{BESIDE}/{kind}" for kind in ("up", "status", "committed", "command")]).values())
    assert one.say(f"{MINE}/up", b"my own")
    assert cloud.hears(f"{MINE}/up", b"my own") == []
    assert cloud.say(f"{BESIDE}/committed", b"of box-2")
    assert cloud.say(f"{MINE}/committed", b"the last")
    assert other.hears(f"{BESIDE}/committed", b"of box-2") == []
    assert {topic for topic, _ in one.hears(f"{MINE}/committed", b"the last")} <= {f"{MINE}/committed"}


def test_who_is_revoked_is_refused_within_a_minute_and_an_open_session_falls_silent(
    world: World, client: Callable[..., Client], record_property: Callable[[str, object], None]
) -> None:
    box = world.claimed("box-3")
    asyncio.run(world.files.keep())
    spoken = client("box-3")
    deadline = time.monotonic() + WITHIN_S
    while not spoken.say("pw/1/harbour-line/box-3/status", b"online"):
        assert time.monotonic() < deadline, "the access list has the new device"
    assert not world.refused("box-3")

    async def revoked() -> float:
        """The service's loop runs as it does there; seconds until the broker refuses."""
        task = asyncio.create_task(world.files.run())
        answer = await asyncio.to_thread(world.cloud.post, "/devices/box-3/revocation", {"why": "stolen"})
        assert answer.status_code == 200
        begun = time.monotonic()
        while not await asyncio.to_thread(world.refused, "box-3"):
            assert time.monotonic() < begun + WITHIN_S
            await asyncio.sleep(LOOK_S)
        task.cancel()
        return time.monotonic() - begun

    took_s = asyncio.run(revoked())
    record_property("refused_after_s", round(took_s, 2))
    assert took_s < WITHIN_S
    assert not spoken.say("pw/1/harbour-line/box-3/up", b"still here"), "the session is open, and may say nothing"
    cloud = client("cloud")
    assert cloud.say("pw/1/harbour-line/box-3/committed", b"unheard")
    assert spoken.heard == []
    assert not world.refused("box-1")
    back = Claimant("box-3", seed=30)
    world.cloud.claimed(back, world.cloud.invite("box-3"))
    asyncio.run(world.files.keep())
    (world.folder / "box-3.pem").unlink()
    back.write(world.folder)
    assert client("box-3", as_client="anew").refused is None
    assert box.certificate != back.certificate


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_of_tls_that_was_kept_does_not_open_again(world: World, version: ssl.TLSVersion) -> None:
    name = f"box-{version.value % 10 + 3}"
    world.claimed(name)
    asyncio.run(world.files.keep())
    context = ssl.create_default_context(cafile=str(world.folder / "ca.pem"))
    context.maximum_version = version
    context.load_cert_chain(world.folder / f"{name}.pem", world.folder / f"{name}.key")
    kept = world.kept(context, name)
    world.cloud.post(f"/devices/{name}/revocation", {"why": "stolen"})
    asyncio.run(world.files.keep())
    deadline = time.monotonic() + WITHIN_S
    while not world.refused(name):
        assert time.monotonic() < deadline
    assert world.shaken(context, name, kept) is None, "the broker takes for granted what it has seen before"


@pytest.mark.parametrize("made", ["here", "by hand"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_nor_once_its_certificate_has_ended(world: World, version: ssl.TLSVersion, made: str) -> None:
    """Whoever has a copy of the older of two certificates of a device, the newer of which is not confirmed yet, or of
    one that was made by hand."""
    name, at_ms = "box-8" if version is ssl.TLSVersion.TLSv1_2 else "box-10", world.cloud.world.at_ms
    ends_ms = now_ms() // 1_000 * 1_000 + 8_000
    if made == "here":
        world.cloud.world.at_ms = ends_ms - 90 * DAY_MS
        one = world.claimed(name)
        world.cloud.world.at_ms = now_ms()
        key = ec.generate_private_key(ec.SECP256R1())
        answer = world.cloud.post("/devices/renewals", one.renewal(world.cloud.world.at_ms, key=key))
        assert answer.status_code == 201
    else:
        name = "site"
        world.own.issue(name, until=dt.timedelta(milliseconds=ends_ms - now_ms()))
    now_s = time.monotonic()
    files = BrokerFiles(
        *(world.cloud.cloud.writer, world.cloud.authority, world.folder, world.cloud.world, world.files.tell),
        cloud="cloud",
        health="",
        more_lists=world.settings.broker_crl_files,
        now_s=lambda: now_s,
    )
    asyncio.run(files.keep())
    context = ssl.create_default_context(cafile=str(world.folder / "ca.pem"))
    context.maximum_version = version
    context.load_cert_chain(world.folder / f"{name}.pem", world.folder / f"{name}.key")
    kept = world.kept(context, name)
    assert now_ms() < ends_ms
    try:
        while now_ms() < ends_ms or not world.refused(name):
            time.sleep(LOOK_S)
        now_s += WITHIN_S - 1
        world.cloud.world.at_ms = ends_ms + int(WITHIN_S - 1) * 1_000
        asyncio.run(files.keep())
        deadline = time.monotonic() + WITHIN_S
        while world.shaken(context, name, kept) is not None:
            assert time.monotonic() < deadline, "the broker takes for granted what it has seen before"
            time.sleep(LOOK_S)
        assert not world.refused("box-1"), "it is the certificate and nothing else"
    finally:
        world.cloud.world.at_ms = at_ms


def test_an_expired_certificate_is_refused(world: World) -> None:
    at_ms = world.cloud.world.at_ms
    world.cloud.world.at_ms = now_ms() - 100 * DAY_MS  # it is good for 90 days, of which none are left
    try:
        world.claimed("box-6")
    finally:
        world.cloud.world.at_ms = at_ms
    asyncio.run(world.files.keep())
    assert world.refused("box-6")
    assert not world.refused("box-1"), "it is the certificate and nothing else"


def test_a_certificate_that_expires_silences_a_session_that_is_open(
    world: World, client: Callable[..., Client]
) -> None:
    at_ms = world.cloud.world.at_ms
    world.cloud.world.at_ms = now_ms() - 89 * DAY_MS  # it is good for a day from now
    world.claimed("box-9")
    world.cloud.world.at_ms = at_ms
    asyncio.run(world.files.keep())
    one, other = client("box-9"), client("box-1", as_client="beside-it")
    deadline = time.monotonic() + WITHIN_S
    while not one.say("pw/1/harbour-line/box-9/up", b"good"):
        assert time.monotonic() < deadline, "the access list has the new device"
    world.cloud.world.at_ms += DAY_MS + 60_000
    try:
        asyncio.run(world.files.keep())
        while one.say("pw/1/harbour-line/box-9/up", b"expired"):
            assert time.monotonic() < deadline
            time.sleep(LOOK_S)
        assert other.say(f"{MINE}/up", b"good"), "it is the certificate and nothing else"
    finally:
        world.cloud.world.at_ms = at_ms
        asyncio.run(world.files.keep())


async def test_who_expires_leaves_the_access_list_in_that_moment_and_comes_back_with_a_claim(tmp_path: Path) -> None:
    cloud, told = ClaimCloud(tmp_path), list[int]()
    cloud.cloud.spine.commit(drafts.amend, book_document(cloud.cloud.device))

    async def reload() -> None:
        told.append(1)

    files = BrokerFiles(cloud.cloud.writer, cloud.authority, tmp_path, cloud.world, reload, cloud="cloud", health="")

    async def listed_at(at_ms: int) -> bool:
        cloud.world.at_ms = at_ms
        await files.keep()
        text = (tmp_path / "acl").read_text(encoding="ascii")
        assert "container-1/up" in text, "who never claimed has a certificate of another authority"
        return "box-1/up" in text

    one = Claimant("box-1", seed=21)
    code = await asyncio.to_thread(cloud.invite, "box-1", **ASSET)
    await asyncio.to_thread(cloud.claimed, one, code)
    (cert,) = cloud.cloud.writer.state.identities.of("box-1").certificates
    assert await listed_at(cert.not_after_ms - 2)
    assert await listed_at(cert.not_after_ms - 1)
    before = len(told)
    assert not await listed_at(cert.not_after_ms)
    assert not await listed_at(cert.not_after_ms + 1)
    assert len(told) == before + 1
    code = await asyncio.to_thread(cloud.invite, "box-1")
    await asyncio.to_thread(cloud.claimed, Claimant("box-1", seed=22), code)
    assert await listed_at(cert.not_after_ms + 2)
    cloud.cloud.close()


def test_the_revocation_list_is_one(world: World) -> None:
    world.claimed("box-7")
    world.cloud.post("/devices/box-7/revocation", {"why": "lost"})
    asyncio.run(world.files.keep())
    listed = (world.folder / "crl.pem").read_bytes()
    found = x509.load_pem_x509_crl(listed)
    key = world.cloud.authority.certificate.public_key()
    assert found.is_signature_valid(key)  # type: ignore[arg-type]
    revoked = {int(one.serial, 16) for one in world.cloud.cloud.writer.state.identities.revoked}
    assert {one.serial_number for one in found} == revoked
    assert revoked
    begun_s = world.cloud.world.at_ms // 1_000 - 86_400
    assert found.last_update_utc.timestamp() == begun_s, "a broker's clock may be behind"
    assert found.next_update_utc is not None
    assert found.next_update_utc.timestamp() * 1_000 > world.cloud.world.at_ms + 29 * DAY_MS
    command = [system_program("openssl"), "crl", "-noout", "-verify", "-CAfile", str(world.cloud.authority_file)]
    run = subprocess.run(command, input=listed, capture_output=True, timeout=20, check=True)
    assert b"verify OK" in run.stderr


async def test_files_are_signed_anew_every_day_and_tried_until_the_broker_knows(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cloud, told, fails = ClaimCloud(tmp_path), list[str](), True
    folder = tmp_path / "files"
    cloud.cloud.spine.commit(drafts.amend, book_document(cloud.cloud.device))

    async def reload() -> None:
        if fails:
            raise ReloadError("nobody is there")
        told.append((folder / "crl.pem").read_text(encoding="ascii"))

    writer = cloud.cloud.writer
    files = BrokerFiles(writer, cloud.authority, folder, cloud.world, reload, cloud="cloud", health="")
    await files.keep()
    await files.keep()
    assert len(caplog.records) == 1, "said once, and tried on"
    folder.mkdir()
    await files.keep()
    assert "container-1/up" in (folder / "acl").read_text(encoding="ascii")
    assert told == []
    fails = False
    await files.keep()
    await files.keep()
    assert len(told) == 1
    cloud.world.at_ms += DAY_MS
    await files.keep()
    assert len(told) == 2
    assert told[0] != told[1]
    await asyncio.to_thread(cloud.post, "/devices/container-1/revocation", {"why": "lost"})
    await files.keep()
    assert len(told) == 3
    assert "container-1" not in (folder / "acl").read_text(encoding="ascii")
    cloud.cloud.close()


async def test_one_fault_keeps_no_revocation_from_the_broker(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cloud, told = ClaimCloud(tmp_path), list[int]()
    cloud.cloud.spine.commit(drafts.amend, book_document(cloud.cloud.device))
    others = tmp_path / "others.pem"
    others.write_bytes(b"of another authority\n")

    async def reload() -> None:
        told.append(1)

    files = BrokerFiles(
        *(cloud.cloud.writer, cloud.authority, tmp_path, cloud.world, reload),
        cloud="cloud",
        health="",
        more_lists=(others,),
    )
    one = Claimant("box-1", seed=21)
    code = await asyncio.to_thread(cloud.invite, "box-1", **ASSET)
    await asyncio.to_thread(cloud.claimed, one, code)
    await files.keep()
    assert "box-1/up" in (tmp_path / "acl").read_text(encoding="ascii")
    fitted = {"operator": "harbour-line", "asset": "asset-container-1", "public_key": KEY}
    entry = fitted | {"device": "zone-1", "gateway": "GW7", "fitted_at": "2026-03-01T00:00:00Z"}
    cloud.cloud.spine.commit(drafts.amend, {"installations": [entry]})
    others.unlink()
    answer = await asyncio.to_thread(cloud.post, "/devices/box-1/revocation", {"why": "stolen"})
    assert answer.status_code == 200
    before = len(told)
    for _ in range(3):
        await files.keep()
    assert len(told) == before + 1, "told, and once"
    access = (tmp_path / "acl").read_text(encoding="ascii")
    assert "box-1/up" not in access
    assert "zone-1" not in access
    assert "container-1/up" in access
    lists = (tmp_path / "crl.pem").read_bytes()
    assert [f"{number.serial_number:x}" for number in x509.load_pem_x509_crl(lists)] == [
        gone.serial for gone in cloud.cloud.writer.state.identities.revoked
    ]
    assert lists.endswith(b"of another authority\n"), "as it was read last"
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert any("gateway of zone-1: 'GW7' cannot be a user" in text for text in said)
    assert any("others.pem cannot be read" in text for text in said)
    others.write_bytes(b"a newer one\n")
    await files.keep()
    assert len(told) == before + 2
    assert (tmp_path / "crl.pem").read_bytes().endswith(b"a newer one\n")
    cloud.cloud.close()


def test_what_another_authority_lists_counts_as_soon_as_it_is_in_the_file(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Who has a certificate that was made by hand, and the cloud, which has its own of the same authority."""
    listed = world.folder / "own-crl.pem"

    def looked(name: str, *, is_refused: bool) -> bool:
        """The broker is told by one look; whether it goes by it within a while."""
        asyncio.run(world.files.keep())
        deadline = time.monotonic() + WITHIN_S
        while world.refused(name) != is_refused and time.monotonic() < deadline:
            time.sleep(LOOK_S)
        return world.refused(name) == is_refused

    world.own.issue("hall")
    serial = x509.load_pem_x509_certificate((world.folder / "hall.pem").read_bytes()).serial_number
    assert looked("hall", is_refused=False)
    try:
        world.own.revoke([serial], listed)
        assert looked("hall", is_refused=True)
        assert looked("cloud", is_refused=False)
        world.own.revoke([serial], listed, until=dt.timedelta(minutes=-30))
        assert looked("cloud", is_refused=True)
        assert "own-crl.pem has ended, so whoever has a certificate of its authority is refused" in caplog.text
        world.own.revoke([serial], listed)
        assert looked("cloud", is_refused=False)
        assert looked("hall", is_refused=True)
    finally:
        world.own.revoke([], listed)
        assert looked("hall", is_refused=False)


async def test_a_list_of_another_authority_is_taken_once_it_is_whole(tmp_path: Path) -> None:
    cloud, told, others = ClaimCloud(tmp_path), list[bytes](), tmp_path / "others.pem"
    cloud.cloud.spine.commit(drafts.amend, book_document(cloud.cloud.device))

    async def reload() -> None:
        told.append((tmp_path / "crl.pem").read_bytes())

    whole = [b"-----BEGIN X509 CRL-----\n%d\n-----END X509 CRL-----\n" % number for number in range(2)]
    others.write_bytes(whole[0])
    writer = cloud.cloud.writer
    files = BrokerFiles(
        *(writer, cloud.authority, tmp_path, cloud.world, reload), cloud="cloud", health="", more_lists=(others,)
    )
    await files.keep()
    for half in (b"", whole[1][:30], whole[0]):
        others.write_bytes(half)
        await files.keep()
    assert len(told) == 1
    assert told[0].endswith(whole[0])
    others.write_bytes(whole[1])
    await files.keep()
    await files.keep()
    assert len(told) == 2
    assert told[1].endswith(whole[1])
    cloud.cloud.close()


@pytest.mark.parametrize(
    ("name", "written_ago_s", "is_told"),
    [
        ("other-broker", 0, True),
        ("other-broker", 3_600, False),  # the number was another's when the file was written
        ("mosquitto", 3_600, True),  # its clock was set after it had begun
    ],
)
def test_who_has_the_number_of_a_broker_that_has_ended_is_not_told(
    tmp_path: Path, name: str, written_ago_s: int, is_told: bool
) -> None:
    cloud = ClaimCloud(tmp_path)
    program, heard = tmp_path / name, tmp_path / "heard"
    program.symlink_to("/bin/sh")
    script = f"trap 'touch {heard}' HUP; touch {tmp_path}/ready; while :; do sleep 0.05; done"
    # A shell that begins with a signal ignored, as under nohup, cannot trap it.
    process = subprocess.Popen([program, "-c", script], preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))  # noqa: PLW1509 - nothing else runs here yet
    try:
        while not (tmp_path / "ready").exists():
            time.sleep(LOOK_S)
        pid_file = tmp_path / "pid"
        pid_file.write_text(str(process.pid), encoding="ascii")
        written_s = time.time() - written_ago_s
        os.utime(pid_file, (written_s, written_s))
        settings = DevicesSettings(
            authority_certificate_file=cloud.authority_file,
            authority_key_file=cloud.authority_key_file,
            care_key_file=cloud.authority_key_file,
            public_url="https://cloud.example",
            broker_host="127.0.0.1",
            broker_ca_file=cloud.authority_file,
            broker_files_folder=tmp_path,
            broker_pid_file=pid_file,
        )
        files = files_of(settings, cloud.cloud.writer, cloud.authority, cloud.world)
        assert files is not None
        if is_told:
            asyncio.run(files.tell())
            until_s = time.monotonic() + 60
            while not heard.exists():
                assert time.monotonic() < until_s, "it is not told"
                time.sleep(LOOK_S)
        else:
            with pytest.raises(ReloadError, match="is another one, which began after the file was written"):
                asyncio.run(files.tell())
            time.sleep(4 * LOOK_S)
            assert not heard.exists()
    finally:
        process.kill()
        process.wait()
        cloud.cloud.close()


async def test_a_broker_that_cannot_be_told_is_said(tmp_path: Path) -> None:
    cloud = ClaimCloud(tmp_path)
    base = {
        "authority_certificate_file": cloud.authority_file,
        "authority_key_file": cloud.authority_key_file,
        "care_key_file": cloud.authority_key_file,
        "public_url": "https://cloud.example",
        "broker_host": "127.0.0.1",
        "broker_ca_file": cloud.authority_file,
        "broker_files_folder": tmp_path,
    }
    (tmp_path / "pid").write_text("0", encoding="ascii")
    for more, said in (
        ({"broker_pid_file": tmp_path / "none"}, "cannot be told"),
        ({"broker_pid_file": tmp_path / "pid"}, "0 is no process of a broker"),
        ({"broker_reload": ("false",)}, "false ended with 1"),
        ({"broker_reload": (str(tmp_path / "nothing"),)}, "cannot be run"),
    ):
        settings = DevicesSettings(**(base | more))  # type: ignore[arg-type]
        files = files_of(settings, cloud.cloud.writer, cloud.authority, cloud.world)
        assert files is not None
        with pytest.raises(ReloadError, match=said):
            await files.tell()
    cloud.cloud.close()
