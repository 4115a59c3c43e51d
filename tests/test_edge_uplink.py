"""The uplink against a real broker: everything arrives, nothing is forgotten too early, and it carries on by itself."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import cast

import aiomqtt
import pytest
from brokers import BrokerProcess
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from edge_support import DEVICE, OPERATOR, cloud, new_spool, running_broker, sample, samples, station, true_word, until
from fault_proxy import FaultProxy

from pledgewatch_edge import body as body_module
from pledgewatch_edge import uplink as uplink_module
from pledgewatch_edge.sending import one_clock
from pledgewatch_edge.spool.errors import SpoolCorruptError
from pledgewatch_edge.spool.spool import Limits, Spool
from pledgewatch_edge.station import run_station
from pledgewatch_edge.uplink import Uplink
from pledgewatch_wire.codec import Committed, encode_committed
from pledgewatch_wire.marks import Marks
from pledgewatch_wire.reading import Clock, Reading
from pledgewatch_wire.topics import Kind


@pytest.fixture(params=["mosquitto", "amqtt"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BrokerProcess]:
    with running_broker(request.param, tmp_path / "broker") as process:
        yield process


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[BrokerProcess]:
    with running_broker("mosquitto", tmp_path / "broker") as process:
        yield process


@asynccontextmanager
async def running(uplink: Uplink) -> AsyncIterator[None]:
    """The uplink in a task, ended in good order."""
    task = asyncio.create_task(uplink.run(), name="uplink")
    try:
        yield
        assert not task.done(), task.exception()
    finally:
        uplink.finish()
        await asyncio.wait_for(task, 60)


def numbers(spool: Spool) -> list[int]:
    return [reading.sequence for reading in spool.read(0, 100_000)]


async def test_everything_arrives_once_and_the_spool_empties(broker: BrokerProcess, tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(500))
        uplink = Uplink(station(tmp_path, broker.port), spool)
        async with cloud(broker.port) as listener, running(uplink):
            await until(lambda: spool.spooled == 0, "the backlog to be committed")
            for number in range(501, 521):
                spool.append([sample(number)])
                uplink.wake()
            await until(lambda: listener.marks[1].contiguous == 520, "the live readings to arrive")
            assert spool.spooled == 20  # `committed` is lazy: nobody has asked for one
            assert listener.conflicts == 0
            assert listener.readings == {(1, n): Reading(n, *sample(n)[:3]) for n in range(1, 521)}
            assert [one.sequence for one in sorted(listener.checkpoints)] == [60, 120, 180, 240, 300, 360, 420, 480]
            assert sum(len(payload.readings) for payload in listener.payloads) == 520  # and nothing was sent twice
            assert {status.online for status in listener.statuses} == {True}
        assert uplink.counts.connections == 1


async def test_a_range_that_is_asked_for_is_sent_once_more_and_nothing_else(
    mosquitto: BrokerProcess, tmp_path: Path
) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(60))
        uplink = Uplink(station(tmp_path, mosquitto.port), spool)
        async with cloud(mosquitto.port, commits=False) as listener, running(uplink):
            await until(lambda: listener.marks.get(1, Marks()).contiguous == 60, "all to arrive")
            before = len(listener.payloads)
            uplink.resend(15, 44)
            uplink.resend(70, 80)  # they were never measured: nothing comes
            uplink.resend(60, 60)
            await until(lambda: len(listener.payloads) == before + 3, "the ranges")
            await listener.say(Committed(1, 60))
            await until(lambda: spool.spooled == 0, "all to be committed")
            uplink.resend(1, 60)
            await uplink.answer(b"an answer")  # behind it in the same order
            again = [(one.first_sequence, one.last_sequence) for one in listener.payloads[before:]]
            assert again == [(15, 34), (35, 44), (60, 60)]


async def test_it_says_anew_how_it_stands_when_a_cloud_that_was_put_back_is_sent_again_what_it_lacks(
    mosquitto: BrokerProcess, tmp_path: Path
) -> None:
    """By what was said at the connection, before, all of it would be lost."""
    with new_spool(tmp_path) as spool:
        spool.append(samples(120))
        spool.forget(true_word(spool, 120))
        uplink = Uplink(station(tmp_path, mosquitto.port), spool)
        async with cloud(mosquitto.port, commits=False) as listener, running(uplink):
            await until(lambda: [one.spooled_readings for one in listener.statuses] == [0], "the connection")

            async def told(number: int) -> None:
                spool.append([sample(number)])
                uplink.wake()
                await until(lambda: (1, number) in listener.readings, "it to arrive")
                word = encode_committed(true_word(spool, 100, ((121, number),)))
                await listener.client.publish(f"pw/1/{OPERATOR}/{DEVICE}/committed", word, qos=1)
                await until(lambda: uplink.counts.words == number - 120, "the word to be heard")

            await told(121)
            await told(122)
            await until(lambda: (1, 120) in listener.readings, "what it lacks to arrive")
            await until(lambda: len(listener.statuses) > 1, "its status")
            assert [one.spooled_readings for one in listener.statuses] == [0, 20]


async def test_what_is_held_back_goes_at_once_when_it_is_asked_for(mosquitto: BrokerProcess, tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        uplink = Uplink(station(tmp_path, mosquitto.port, send_every_s=600.0), spool)
        async with cloud(mosquitto.port) as listener, running(uplink):
            await until(lambda: uplink.is_connected, "the connection")
            spool.append(samples(1))
            uplink.wake()
            await uplink.answer(b"an answer")
            assert not listener.payloads
            uplink.send_now()
            await until(lambda: len(listener.payloads) == 1, "the reading")


async def test_it_falls_back_to_311_at_once(tmp_path: Path) -> None:
    with running_broker("amqtt", tmp_path / "broker") as broker, new_spool(tmp_path) as spool:
        spool.append(samples(5))
        uplink = Uplink(station(tmp_path, broker.port), spool)
        async with cloud(broker.port), running(uplink):
            await until(lambda: spool.spooled == 0, "the readings to be committed")
            assert uplink.protocol == "3.1.1"


@pytest.mark.parametrize("protocol", ["auto", "5", "3.1.1"])
async def test_the_protocol_may_be_forced(mosquitto: BrokerProcess, tmp_path: Path, protocol: str) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(5))
        uplink = Uplink(station(tmp_path, mosquitto.port, protocol=protocol), spool)
        async with cloud(mosquitto.port), running(uplink):
            await until(lambda: spool.spooled == 0, "the readings to be committed")
            assert uplink.protocol == ("3.1.1" if protocol == "3.1.1" else "5")


async def test_nothing_is_forgotten_before_committed(mosquitto: BrokerProcess, tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(450))
        uplink = Uplink(station(tmp_path, mosquitto.port), spool)
        async with cloud(mosquitto.port, commits=False) as listener, running(uplink):
            await until(lambda: listener.marks.get(1, (0,))[0] == 200, "the window to be full")
            await listener.say(Committed(1, 0))
            await until(lambda: uplink.counts.words == 1, "the word to be heard")
            assert spool.spooled == 450
            spans = [(one.first_sequence, one.last_sequence, one.committed_wanted) for one in listener.payloads]
            # The newest first; then the window of the backlog is closed, and a word is wanted from half of it on.
            assert spans == [(431, 450, False), (1, 100, True), (101, 200, True)]
            await listener.say(Committed(1, 100, ((431, 450),)))
            await until(lambda: listener.marks[1].contiguous == 300, "the window to slide")
            assert numbers(spool) == [*range(101, 431)]
            await listener.commit(1)
            await until(lambda: listener.marks[1].contiguous == 450, "the rest to arrive")
            assert uplink.resends == 0, "what was not sent yet is no loss"
            await listener.commit(1)
            await until(lambda: spool.spooled == 0, "the spool to be empty")
            assert listener.conflicts == 0


async def test_words_that_are_not_about_us_change_nothing(mosquitto: BrokerProcess, tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(10))
        uplink = Uplink(station(tmp_path, mosquitto.port), spool)
        async with cloud(mosquitto.port, commits=False) as listener, running(uplink):
            await until(lambda: listener.marks.get(1, (0,))[0] == 10, "the readings to arrive")
            await listener.say(Committed(7, 10))
            await listener.client.publish(f"pw/1/{OPERATOR}/{DEVICE}/committed", b"\xff\xff\xff", qos=1)
            await until(lambda: uplink.counts.words_ignored == 2, "the words to be heard")
            assert spool.spooled == 10
            await listener.say(Committed(1, 10))
            await until(lambda: spool.spooled == 0, "the true word")


async def test_a_word_about_another_life_of_the_counter_stops_the_agent(
    mosquitto: BrokerProcess, tmp_path: Path
) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(10))
        uplink = Uplink(station(tmp_path, mosquitto.port), spool)
        running_uplink = asyncio.create_task(uplink.run())
        async with cloud(mosquitto.port, commits=False) as listener:
            await until(lambda: listener.marks.get(1, (0,))[0] == 10, "the readings to arrive")
            await listener.say(Committed(1, 11))
            async with asyncio.timeout(60):
                with pytest.raises(ExceptionGroup) as caught:
                    await running_uplink
        assert caught.group_contains(SpoolCorruptError, match="the counter has been put back")
        assert spool.spooled == 10


async def test_what_stays_uncommitted_is_sent_again(mosquitto: BrokerProcess, tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(60))
        uplink = Uplink(station(tmp_path, mosquitto.port, resend_after_s=0.3), spool)
        async with cloud(mosquitto.port, commits=False) as listener, running(uplink):
            await until(lambda: listener.marks.get(1, (0,))[0] == 60, "the readings to arrive")
            before = uplink.resends  # where the readings were slow to arrive, all was sent again meanwhile
            await listener.say(Committed(1, 10, ((21, 60),)))
            await until(lambda: uplink.counts.words == 1, "the word to be heard")

            def newest() -> list[tuple[int, int, bool]]:
                some = listener.payloads[-3:]
                return [(one.first_sequence, one.last_sequence, one.committed_wanted) for one in some]

            await until(lambda: newest() == [(11, 20, True)] * 3, "sending again, three times")
            assert 3 <= uplink.resends - before <= 4  # each time it waits twice as long
            await listener.say(Committed(1, 15))
            await until(lambda: uplink._sending._fruitless_resends == 0, "its patience to begin anew with the news")
            await listener.say(Committed(1, 60))
            await until(lambda: spool.spooled == 0, "the last word")
            assert listener.conflicts == 0


async def test_a_gap_is_sent_again_at_once_and_once(mosquitto: BrokerProcess, tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        spool.append(samples(60))
        uplink = Uplink(station(tmp_path, mosquitto.port, resend_after_s=25_200.0), spool)
        async with cloud(mosquitto.port, commits=False) as listener, running(uplink):
            await until(lambda: listener.marks.get(1, (0,))[0] == 60, "the readings to arrive")
            listener.payloads.clear()
            await listener.say(Committed(1, 10, ((21, 60),)))
            await listener.say(Committed(1, 10, ((21, 60),)))
            await until(lambda: uplink.counts.words == 2, "the words to be heard")
            await until(lambda: len(listener.payloads) == 1, "what is missing")
            assert {(payload.first_sequence, payload.last_sequence) for payload in listener.payloads} == {(11, 20)}
            await listener.say(Committed(1, 15, ((21, 60),)))
            await until(lambda: len(listener.payloads) == 2, "the rest of it")
            assert listener.payloads[-1].first_sequence == 16
            await listener.say(Committed(1, 60))
            await until(lambda: spool.spooled == 0, "the last word")
            assert uplink.resends == 2


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_a_broker_that_goes_away(
    broker: BrokerProcess, tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with new_spool(tmp_path) as spool:
        uplink = Uplink(station(tmp_path, broker.port), spool)
        async with running(uplink):
            async with cloud(broker.port, commits=False) as listener:
                spool.append(samples(100))
                uplink.wake()
                await until(lambda: listener.marks.get(1, (0,))[0] == 100, "the first readings")
                first = dict(listener.readings)
            getattr(broker, how)()
            await until(lambda: not uplink.is_connected, "the loss to be noticed")
            spool.append(samples(300, 101))
            uplink.wake()
            broker.start()
            async with cloud(broker.port) as listener:
                await until(lambda: spool.spooled == 0, "everything to be committed")
                assert listener.marks[1].contiguous == 400
                assert listener.conflicts == 0
                assert all(listener.readings[identity] == reading for identity, reading in first.items())
    said = [record.getMessage().split(" reason")[0] for record in caplog.records if "uplink to" in record.getMessage()]
    assert said == [f"uplink to 127.0.0.1:{broker.port} lost", f"uplink to 127.0.0.1:{broker.port} back"]


async def test_a_broker_that_is_not_there_at_first(
    mosquitto: BrokerProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mosquitto.stop()
    with new_spool(tmp_path) as spool:
        spool.append(samples(3))
        uplink = Uplink(station(tmp_path, mosquitto.port), spool)
        async with running(uplink):
            await until(lambda: "uplink to" in caplog.text, "the first try to fail")
            mosquitto.start()
            async with cloud(mosquitto.port) as listener:
                await until(lambda: spool.spooled == 0, "the readings to be committed")
                assert (listener.marks[1].contiguous, listener.conflicts) == (3, 0)


async def test_a_link_that_is_cut_again_and_again(mosquitto: BrokerProcess, tmp_path: Path) -> None:
    async with FaultProxy(mosquitto.port, Random(7)) as link, cloud(mosquitto.port) as listener:
        link.loss_share = 0.02
        with new_spool(tmp_path) as spool:
            uplink = Uplink(station(tmp_path, link.port, in_flight_readings=60), spool)
            async with running(uplink):
                for start in range(1, 1_501, 100):
                    spool.append(samples(100, start))
                    uplink.wake()
                    await until(lambda: listener.marks.get(1, (0,))[0] >= start, "some readings to arrive")  # noqa: B023 - waited for at once
                    link.cut()
                await until(lambda: spool.spooled == 0, "everything to be committed", 120)
            assert listener.marks[1].contiguous == 1_500
            assert listener.conflicts == 0
            assert uplink.counts.connections > 10


async def test_a_half_open_link_is_noticed(mosquitto: BrokerProcess, tmp_path: Path) -> None:
    async with FaultProxy(mosquitto.port, Random(7)) as link, cloud(mosquitto.port) as listener:
        with new_spool(tmp_path) as spool:
            uplink = Uplink(station(tmp_path, link.port, keep_alive_s=1), spool)
            async with running(uplink):
                await until(lambda: uplink.is_connected, "the connection")
                link.half_open()
                spool.append(samples(50))
                uplink.wake()
                await until(lambda: not uplink.is_connected, "the silence to be noticed")
                link.cut()
                link.resume()
                await until(lambda: spool.spooled == 0, "everything to be committed")
            assert listener.conflicts == 0


async def test_tls_with_a_certificate_of_the_device(tmp_path: Path) -> None:
    authority, broker_key, device_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    store(tmp_path / "ca.pem", certificate("authority", authority, authority))
    for name, key in (("127.0.0.1", broker_key), (DEVICE, device_key)):
        store(tmp_path / f"{name}.pem", certificate(name, key, authority))
        store(tmp_path / f"{name}.key", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    listener = f"""listener %d 127.0.0.1
cafile {tmp_path}/ca.pem
certfile {tmp_path}/127.0.0.1.pem
keyfile {tmp_path}/127.0.0.1.key
require_certificate true
use_identity_as_username true
allow_anonymous false"""
    broker = BrokerProcess("mosquitto", tmp_path, extra=listener)
    broker.start()
    try:
        with new_spool(tmp_path / "state") as spool:
            plain = station(tmp_path, broker.port)
            secure = dataclasses.replace(
                plain.broker,
                ca_file=tmp_path / "ca.pem",
                certificate_file=tmp_path / f"{DEVICE}.pem",
                key_file=tmp_path / f"{DEVICE}.key",
            )
            uplink = Uplink(dataclasses.replace(plain, broker=secure), spool)
            async with running(uplink):
                await until(lambda: uplink.is_connected, "the connection")
            stranger = dataclasses.replace(secure, certificate_file=None, key_file=None)
            uplink = Uplink(dataclasses.replace(plain, broker=stranger), spool)
            async with running(uplink):
                await until(lambda: uplink.is_lost, "the refusal")
                assert uplink.counts.connections == 0
    finally:
        broker.kill()


def store(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o644)


def certificate(name: str, key: ec.EllipticCurvePrivateKey, authority: ec.EllipticCurvePrivateKey) -> bytes:
    """A certificate for a name, in PEM; one signed by itself is an authority's."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=key is authority, path_length=None), critical=True)
    )
    if key is not authority:
        alternative = x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
        builder = builder.add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
    return builder.sign(authority, hashes.SHA256()).public_bytes(Encoding.PEM)


async def test_status_tells_online_offline_and_the_last_will(mosquitto: BrokerProcess, tmp_path: Path) -> None:
    async with cloud(mosquitto.port) as listener:
        with new_spool(tmp_path) as spool:
            spool.append(samples(4))
            spool.refuse(3)
            uplink = Uplink(station(tmp_path, mosquitto.port), spool)
            async with running(uplink):
                await until(lambda: len(listener.statuses) == 1, "online")
            await until(lambda: len(listener.statuses) == 2, "offline")
            online, offline = listener.statuses
            assert (online.online, online.epoch, online.head_sequence, online.spooled_readings) == (True, 1, 4, 4)
            assert (offline.online, offline.epoch, offline.head_sequence) == (False, 1, 4)
            assert (online.refused_readings, offline.refused_readings) == (3, 3)
            task = asyncio.create_task(Uplink(station(tmp_path, mosquitto.port), spool).run())
            await until(lambda: len(listener.statuses) == 3, "online again")
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await until(lambda: len(listener.statuses) == 4, "offline after being cancelled")
            assert [status.online for status in listener.statuses] == [True, False, True, False]


async def test_readings_wait_for_their_time(mosquitto: BrokerProcess, tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        uplink = Uplink(station(tmp_path, mosquitto.port, send_every_s=0.5), spool)
        async with cloud(mosquitto.port) as listener, running(uplink):
            await until(lambda: uplink.is_connected, "the connection")
            for number in range(1, 101):
                spool.append([sample(number)])
                uplink.wake()
                await asyncio.sleep(0.01)
            await until(lambda: listener.marks.get(1, (0,))[0] == 100, "the readings to arrive")
            assert len(listener.payloads) <= 12


async def test_payloads_are_of_one_clock_and_carry_their_checkpoints(mosquitto: BrokerProcess, tmp_path: Path) -> None:
    clocks = [Clock.UNSET] * 5 + [Clock.GPS] * 100 + [Clock.RTC] * 2
    with new_spool(tmp_path, Limits(2**20, 1, 1e9)) as spool:
        spool.append([sample(number + 1, clock=clock) for number, clock in enumerate(clocks)])
        settings = station(tmp_path, mosquitto.port, readings_per_payload=100)
        async with cloud(mosquitto.port) as listener, running(Uplink(settings, spool)):
            await until(lambda: spool.spooled == 0, "the readings to be committed")
            assert [len(payload.readings) for payload in listener.payloads] == [5, 64, 36, 2]
            assert {one.sequence for one in listener.checkpoints} == set(range(1, 108))


async def test_a_late_checkpoint_travels_at_the_end(mosquitto: BrokerProcess, tmp_path: Path) -> None:
    with new_spool(tmp_path) as spool:
        uplink = Uplink(station(tmp_path, mosquitto.port), spool)
        async with cloud(mosquitto.port, commits=False) as listener:
            async with running(uplink):
                spool.append(samples(5))
                uplink.wake()
                await until(lambda: listener.marks.get(1, (0,))[0] == 5, "the readings to arrive")
                late = spool.checkpoint()
            await until(lambda: late in listener.checkpoints, "the checkpoint to arrive")
            assert listener.payloads[-1].checkpoints == (late,)
            assert [one.sequence for one in listener.payloads[-1].readings] == [5], (
                "it goes with the reading that it is of"
            )


def test_a_payload_is_one_run_of_one_clock() -> None:
    def readings(*parts: tuple[int, Clock]) -> list[Reading]:
        return [Reading(number, *sample(number, clock=clock)[:3]) for number, clock in parts]

    mixed = readings((3, Clock.GPS), (4, Clock.GPS), (6, Clock.GPS), (7, Clock.RTC))
    assert one_clock(mixed, 99) == mixed[:2]
    assert one_clock(mixed, 3) == mixed[:1]
    assert one_clock(mixed[2:], 99) == mixed[2:3]
    assert one_clock([], 99) == []


async def test_what_the_cloud_says_under_another_kind_goes_to_who_hears_it(
    mosquitto: BrokerProcess, tmp_path: Path
) -> None:
    heard: list[bytes] = []

    async def hear_settings(said: bytes) -> str | None:
        heard.append(said)
        return None if said else "it is empty"

    with new_spool(tmp_path) as spool:
        spool.append(samples(10))
        uplink = Uplink(station(tmp_path, mosquitto.port), spool, hearers={Kind.SETTINGS: hear_settings})
        async with cloud(mosquitto.port, commits=False) as listener, running(uplink):
            await until(lambda: listener.marks.get(1, (0,))[0] == 10, "the readings to arrive")
            for said in (b"first", b"", b"second"):
                await listener.client.publish(f"pw/1/{OPERATOR}/{DEVICE}/settings", said, qos=1)
            await listener.client.publish(f"pw/1/{OPERATOR}/{DEVICE}/command", b"nobody asked", qos=1)
            await listener.say(Committed(1, 10))
            await until(lambda: spool.spooled == 0, "the word that readings are committed")
        assert heard == [b"first", b"", b"second"]
        assert (uplink.counts.words, uplink.counts.words_ignored) == (1, 1)


async def test_a_word_on_another_topic_is_nobodys(tmp_path: Path) -> None:
    """A broker may deliver what nobody asked for: another device's word is not ours."""
    with new_spool(tmp_path) as spool:
        spool.append(samples(10))
        uplink = Uplink(station(tmp_path, 1), spool)
        word = encode_committed(true_word(spool, 10))

        async def messages() -> AsyncIterator[SimpleNamespace]:
            for kind in ("up", "status"):
                yield SimpleNamespace(topic=f"pw/1/{OPERATOR}/{DEVICE}/{kind}", payload=word)
            yield SimpleNamespace(topic=f"pw/1/{OPERATOR}/other/committed", payload=word)

        await uplink._listen(cast("aiomqtt.Client", SimpleNamespace(messages=messages())))
        assert (spool.spooled, uplink.counts.words, uplink.counts.words_ignored) == (10, 0, 3)


async def test_what_swallows_a_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As aiomqtt does up to Python 3.11, now and then: the connection would never end, nor another begin."""
    monkeypatch.setattr(uplink_module, "CANCELLED_AGAIN_S", 0.01)
    swallowed = []

    async def deaf(times: int) -> None:
        while True:
            try:
                await asyncio.sleep(3_600)
            except asyncio.CancelledError:
                swallowed.append(times)
                if swallowed.count(times) > times:
                    raise

    async def broken() -> None:
        raise SpoolCorruptError("gone")

    async with asyncio.timeout(60):
        tasks = [asyncio.create_task(one) for one in (deaf(0), deaf(1), deaf(3), broken())]
        await asyncio.sleep(0)
        errors, cancelled = await uplink_module._end(tasks)
        assert ([str(one) for one in errors], cancelled) == (["gone"], None)
    assert sorted(swallowed) == [0, 1, 1, 3, 3, 3, 3]


async def test_a_station_that_is_stopped_leaves_nothing_of_its_uplink(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who ends a station cancels its uplink again after as long as that waits for its own tasks."""
    monkeypatch.setattr(uplink_module, "CANCELLED_AGAIN_S", 0.2)
    monkeypatch.setattr(body_module, "CANCEL_AGAIN_S", 0.2)
    begun, left = asyncio.Event(), 2

    async def deaf(*_: object) -> None:
        nonlocal left
        begun.set()
        while left:
            try:
                await asyncio.sleep(3_600)
            except asyncio.CancelledError:
                left -= 1
        raise asyncio.CancelledError

    monkeypatch.setattr(Uplink, "_greet", deaf)
    with running_broker("mosquitto", tmp_path / "broker") as broker:
        stop = asyncio.Event()
        running = asyncio.create_task(run_station(station(tmp_path / "state", broker.port), [], stop))
        await asyncio.wait_for(begun.wait(), 60)
        stop.set()
        await asyncio.wait_for(running, 60)
    names = [one.get_name() for one in asyncio.all_tasks()]
    assert [one for one in names if one.startswith("uplink")] == []
    assert left == 0
