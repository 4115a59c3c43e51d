"""Devices with a listener of their own at a real Mosquitto: whoever connects is who the certificate says, so no device
ends the connection of another, and a gateway goes on having as many connections as it has zones.

What must not happen is waited for by something that comes after it.
"""

import asyncio
import ssl
import time
from collections.abc import Callable, Iterator

import pytest
from broker_clients import Client
from claiming import Claimant
from cryptography.hazmat.primitives.asymmetric import ec
from letting_in import ASSET, BESIDE, LOOK_S, MINE, WITHIN_S, World, let_in

from pledgewatch_cloud.__main__ import main

KEY = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"  # RFC 8032, 7.1
HALL, DOCK = "pw/1/harbour-line/hall", "pw/1/harbour-line/dock"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    zones = [{"device": zone, **ASSET, "public_key": KEY, "gateway": "site"} for zone in ("hall", "dock")]
    with let_in(tmp_path_factory.mktemp("world"), apart=True, more=zones) as one:
        yield one


@pytest.fixture
def client(world: World) -> Iterator[Callable[..., Client]]:
    with world.clients() as connected:
        yield connected


@pytest.mark.parametrize("taken", ["harbour-line.box-2", "box-2"])
def test_a_device_that_calls_itself_another_ends_no_connection_of_it(client: Callable[..., Client], taken: str) -> None:
    cloud = client("cloud")
    cloud.ask("pw/1/+/+/up", "pw/1/+/+/status")
    other = client("box-2", as_client=taken, will=f"{BESIDE}/status", keep=True)
    for _ in range(3):
        thief = client("box-1", as_client=taken, will=f"{MINE}/status")
        assert thief.say(f"{MINE}/up", b"as myself")
        thief.leave()
    assert other.say(f"{BESIDE}/up", b"still here")
    heard = cloud.hears(f"{BESIDE}/up", b"still here")
    assert (f"{BESIDE}/status", b"gone") not in heard
    assert other.ended == 0


@pytest.mark.parametrize(("whose", "taken"), [("cloud", "cloud-test"), ("site", "harbour-line.hall")])
def test_nor_of_the_cloud_or_a_gateway(client: Callable[..., Client], whose: str, taken: str) -> None:
    other = client(whose, as_client=taken)
    thief = client("box-1", as_client=taken)
    assert thief.say(f"{MINE}/up", b"as myself")
    said = f"{BESIDE}/committed" if whose == "cloud" else f"{HALL}/up"
    assert other.say(said)
    assert other.ended == 0


def test_a_gateway_has_a_connection_for_each_of_its_zones(client: Callable[..., Client]) -> None:
    hall, dock = client("site", as_client="harbour-line.hall"), client("site", as_client="harbour-line.dock")
    assert hall.say(f"{HALL}/up")
    assert dock.say(f"{DOCK}/up")
    assert hall.say(f"{HALL}/up")
    assert (hall.ended, dock.ended) == (0, 0)


def test_each_listener_lets_in_whom_it_is_for(world: World) -> None:
    for name, port, is_let_in in (
        ("box-1", world.devices_port, True),
        ("box-1", world.broker.port, False),
        ("cloud", world.broker.port, True),
        ("cloud", world.devices_port, False),
        ("site", world.devices_port, False),
    ):
        context = ssl.create_default_context(cafile=str(world.folder / "ca.pem"))
        context.load_cert_chain(world.folder / f"{name}.pem", world.folder / f"{name}.key")
        assert (world.shaken(context, name, port=port) is not None) is is_let_in, (name, port)


def test_what_waits_for_a_device_waits_under_its_name(client: Callable[..., Client]) -> None:
    cloud, box = client("cloud"), client("box-2", as_client="one", keep=True)
    box.ask(f"{BESIDE}/committed")
    box.leave()
    assert cloud.say(f"{BESIDE}/committed", b"waited")
    assert client("box-2", as_client="another", keep=True).hears(f"{BESIDE}/committed", b"waited") == []


def test_a_session_of_an_older_certificate_ends_with_the_newer_one_and_comes_back_no_more(
    world: World, client: Callable[..., Client]
) -> None:
    """Somebody has a copy of a device's card. The device renews, connects with the new certificate and confirms it."""
    holder, said = world.claimed("box-8"), "pw/1/harbour-line/box-8/up"
    asyncio.run(world.files.keep())
    copy = client("box-8", as_client="a copy")
    deadline = time.monotonic() + WITHIN_S
    while not copy.say(said):
        assert time.monotonic() < deadline, "the access list has the new device"
    key, now_ms = ec.generate_private_key(ec.SECP256R1()), world.cloud.world.at_ms
    answer = world.cloud.post("/devices/renewals", holder.renewal(now_ms, key=key))
    assert answer.status_code == 201
    older = world.folder / "box-8.pem", world.folder / "box-8.key"
    kept = [path.read_bytes() for path in older]
    newer = Claimant("box-8")
    newer.tls, newer.certificate = key, answer.json()["certificate"]
    newer.write(world.folder)
    device = client("box-8", as_client="the device")
    copy.until(lambda: copy.ended > 0)
    assert device.say(said)
    copy.leave()
    assert world.cloud.post("/devices/confirmations", newer.confirmation(now_ms)).json()["changed"]
    asyncio.run(world.files.keep())
    for path, data in zip(older, kept, strict=True):
        path.write_bytes(data)
    while not world.refused("box-8"):
        assert time.monotonic() < deadline
        time.sleep(LOOK_S)
    newer.write(world.folder)
    assert not world.refused("box-8")


def test_a_session_of_a_revoked_device_ends_and_has_no_word_when_the_name_is_claimed_anew(
    world: World, client: Callable[..., Client], record_property: Callable[[str, object], None]
) -> None:
    """Mosquitto looks at a certificate once, and ends no connection for its lists: the cloud does it."""
    world.claimed("box-9")
    asyncio.run(world.files.keep())
    cloud, thief, said = client("cloud"), client("box-9", keep=True), "pw/1/harbour-line/box-9"
    cloud.ask("pw/1/+/+/up")
    thief.ask(f"{said}/committed")
    deadline = time.monotonic() + WITHIN_S
    while not thief.say(f"{said}/up", b"good"):
        assert time.monotonic() < deadline, "the access list has the new device"
    begun = time.monotonic()
    world.cloud.post("/devices/box-9/revocation", {"why": "stolen"})
    asyncio.run(world.files.keep())
    thief.until(lambda: thief.ended > 0)
    record_property("put_out_after_s", round(time.monotonic() - begun, 2))
    assert world.refused("box-9"), "and nobody comes in after it"
    thief.leave()
    (world.folder / "box-9.pem").unlink()
    back = Claimant("box-9", seed=31)
    world.cloud.claimed(back, world.cloud.invite("box-9"))
    asyncio.run(world.files.keep())
    back.write(world.folder)
    device = client("box-9", keep=True)
    assert device.say(f"{said}/up", b"of the new device")
    assert cloud.say(f"{said}/committed", b"to the new device")
    assert cloud.hears(f"{said}/up", b"of the new device") == [(f"{said}/up", b"good")]
    assert thief.heard == []
    assert device.ended == 0


@pytest.mark.parametrize("is_known_of_before", [True, False], ids=["runs", "starts"])
def test_who_holds_a_session_of_before_is_put_out_when_a_card_is_claimed_anew(
    world: World, client: Callable[..., Client], *, is_known_of_before: bool
) -> None:
    """Nobody had revoked it: a card that was copied, or stolen, and another was made. The cloud that was told of the
    claim may be gone before it has put anybody out."""
    name = f"box-{6 + is_known_of_before}"
    world.claimed(name)
    asyncio.run(world.files.keep())
    thief, said = client(name), f"pw/1/harbour-line/{name}/up"
    deadline = time.monotonic() + WITHIN_S
    while not thief.say(said):
        assert time.monotonic() < deadline, "the access list has the new device"
    back = Claimant(name, seed=32 + is_known_of_before)
    world.cloud.claimed(back, world.cloud.invite(name))
    files = world.files if is_known_of_before else world.files_anew()
    asyncio.run(files.keep())
    thief.until(lambda: thief.ended > 0)
    thief.leave()
    back.write(world.folder)
    device = client(name)
    assert device.say(said)
    asyncio.run(files.keep())
    assert device.say(said)
    assert device.ended == 0, "who is put out is put out once"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--devices-port", "8884"], "needs --devices-port and --devices-ca-file"),
        (["--devices-crl-file", "/crl.pem"], "needs --devices-port and --devices-ca-file"),
        (["--devices-port", "8883", "--devices-ca-file", "/d.pem"], "is 8883 like --port"),
        (["--devices-port", "8884", "--devices-ca-file", "/mosquitto/config/ca.pem"], "like --ca-file, so they would"),
    ],
)
def test_a_listener_that_would_hold_nobody_apart_is_refused(
    more: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["broker", "conf", *more]) == 2
    assert said in capsys.readouterr().err
    assert main(["broker", "conf"]) == 0
    assert "clientid" not in capsys.readouterr().out
