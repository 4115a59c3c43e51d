"""A claimed device and a real Mosquitto: it is let in by its certificate, renews it on the way, and knows when it is
not let in. Mosquitto listens twice, for devices with TLS and for the cloud of the test without."""

import asyncio
import contextlib
import datetime as dt
import os
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from brokers import BrokerProcess
from edge_support import Cloud, cloud, new_spool, samples, until
from enrolling import OPERATOR, Enrolling, enrolling

from pledgewatch_edge.claiming import carry_out
from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.command import identity_of, status_of
from pledgewatch_edge.config import BrokerSettings, DeviceSettings, StationSettings
from pledgewatch_edge.connection import Connector
from pledgewatch_edge.past import Past
from pledgewatch_edge.spool.file import status
from pledgewatch_edge.station import Station, run_station
from pledgewatch_edge.status_words import status_words
from pledgewatch_edge.tls import Shown, shown_to_broker
from pledgewatch_edge.tls_identity import TlsIdentity, standing_of
from pledgewatch_sim.programs import free_port

DEVICE = "cont-0417"
DAY = dt.timedelta(days=1)
WILL = aiomqtt.Will(f"pw/1/{OPERATOR}/{DEVICE}/status", b"", qos=1)
_CONFIGURATION = """
listener %d 127.0.0.1
cafile {folder}/ca.pem
certfile {folder}/server.pem
keyfile {folder}/server.key
crlfile {folder}/crl.pem
require_certificate true
use_identity_as_username true
listener {plain} 127.0.0.1
allow_anonymous true
acl_file {folder}/acl
"""


class Harbour:
    """An authority, a broker that believes it, and one device."""

    def __init__(self, folder: Path, enrolled: Enrolling) -> None:
        self.folder, self.enrolled, self.state = folder, enrolled, folder / "state"
        self.plain = free_port()
        own = f"user {DEVICE}\ntopic readwrite pw/1/{OPERATOR}/{DEVICE}/#\n"
        (enrolled.folder / "acl").write_text(f"topic readwrite #\n{own}", encoding="ascii")
        self.revoke([])
        extra = _CONFIGURATION.format(folder=enrolled.folder, plain=self.plain)
        self.broker = BrokerProcess("mosquitto", folder / "broker", extra=extra)
        enrolled.broker_port = self.broker.port

    def revoke(self, serials: list[int]) -> None:
        """The broker's list is to have these."""
        self.enrolled.authority.revoke(serials, self.enrolled.folder / "crl.pem")

    def start(self) -> None:
        """The broker, until it listens at both."""
        self.broker.start()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.plain), 1).close()
                return
        raise AssertionError("the broker does not listen")

    def claim(self) -> None:
        """The device is claimed."""
        carry_out(
            self.enrolled.invite(DEVICE),
            config=self.folder / "edge.toml",
            state_folder=self.state,
            ca_file=None,
            replace=False,
            say=lambda _: None,
        )

    def settings(self) -> StationSettings:
        """As the claim has written them."""
        state = self.state
        return StationSettings(
            device=DeviceSettings(operator=OPERATOR, name=DEVICE, state_folder=state, cloud_url=self.enrolled.url),
            broker=BrokerSettings(
                host="127.0.0.1",
                port=self.broker.port,
                ca_file=state / "broker-ca.crt",
                certificate_file=state / "tls.crt",
                key_file=state / "tls.key",
                reconnect_max_s=0.2,
            ),
        )

    def shown(self) -> Shown | None:
        """What the device shows to the broker."""
        settings = self.settings()
        return shown_to_broker(settings.broker, settings.device, self.state / "tls.crt")

    def connector(self, **how: Any) -> Connector:
        """What connects to the broker as the device does."""
        return Connector(self.settings().broker, "x", self.shown(), **how)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The device, running."""
        stop = asyncio.Event()
        station = asyncio.create_task(run_station(self.settings(), [], stop))
        try:
            yield
        finally:
            stop.set()
            await asyncio.wait_for(station, 60)

    def wrong(self) -> str:
        """What `status` says is wrong."""
        return " | ".join(map(str, standing_of(self.state)["wrong"]))  # type: ignore[call-overload]


@pytest.fixture
def harbour(tmp_path: Path) -> Iterator[Harbour]:
    (tmp_path / "broker").mkdir()
    with enrolling(tmp_path / "authority") as enrolled:
        one = Harbour(tmp_path, enrolled)
        yield one
        one.broker.kill()


@pytest.fixture
def claimed(harbour: Harbour) -> Harbour:
    """The harbour, with its device claimed; the broker does not run yet."""
    harbour.claim()
    return harbour


async def _all_committed(harbour: Harbour, heard: Cloud, count: int) -> None:
    await until(lambda: len(heard.readings) >= count, "the readings to be heard")
    await until(lambda: status(harbour.state)["spooled"] == 0, "the readings to be committed")
    assert heard.conflicts == 0


async def test_it_is_let_in_and_renews_while_readings_go_on(
    harbour: Harbour, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    answer, may_answer = harbour.enrolled.answer, threading.Event()
    now = dt.datetime.now(dt.UTC)
    harbour.enrolled.begin, harbour.enrolled.end = now - 80 * DAY, now + 10 * DAY  # which is late
    harbour.claim()
    first = TlsIdentity(harbour.state).certificate()
    harbour.enrolled.begin, harbour.enrolled.end = now - DAY, now + 89 * DAY
    with new_spool(harbour.state) as spool:
        spool.append(samples(50))
    monkeypatch.setattr(
        harbour.enrolled, "answer", lambda path, said: answer(path, said) if may_answer.wait(20) else {}
    )
    harbour.start()
    async with cloud(harbour.plain) as heard, harbour.running():
        await _all_committed(harbour, heard, 50)  # while the cloud takes its time
        may_answer.set()
        await until(lambda: "certificate renewed" in caplog.text, "the renewal")
        await until(lambda: caplog.text.count("connected protocol=5") == 2, "the second connection")
    harbour.revoke(harbour.enrolled.serials[DEVICE][:1])
    harbour.broker.stop()
    harbour.start()
    async with harbour.running():
        await until(lambda: caplog.text.count("connected protocol=5") == 3, "the connection by the new one alone")
    assert TlsIdentity(harbour.state).certificate() != first
    assert TlsIdentity(harbour.state).is_whole()
    assert harbour.wrong() == ""
    assert "is refused" not in caplog.text


async def test_one_that_was_replaced_says_so_once_and_keeps_its_readings(
    claimed: Harbour, caplog: pytest.LogCaptureFixture
) -> None:
    with new_spool(claimed.state) as spool:
        spool.append(samples(50))
    [serial] = claimed.enrolled.serials[DEVICE]
    claimed.revoke([serial])
    claimed.enrolled.revoked.add(serial)
    claimed.start()
    async with claimed.running():
        await until(lambda: "box-2 stands in its place" in claimed.wrong(), "the cloud's word")
        await asyncio.sleep(1.0)  # some more tries
    assert "the broker refuses this device: its certificate is revoked" in claimed.wrong()
    assert caplog.text.count("this device is refused by=broker") == 1
    assert caplog.text.count("this device is refused by=cloud") == 1
    assert status(claimed.state)["spooled"] == 50
    claimed.revoke([])
    claimed.broker.stop()
    claimed.start()
    async with cloud(claimed.plain) as heard, claimed.running():
        await _all_committed(claimed, heard, 50)  # who is let in again sends what it kept
    assert "broker" not in claimed.wrong()


async def test_a_certificate_that_has_ended_is_refused(harbour: Harbour) -> None:
    now = dt.datetime.now(dt.UTC)
    harbour.enrolled.begin, harbour.enrolled.end = now - 2 * DAY, now - DAY
    harbour.claim()
    harbour.start()
    with pytest.raises(aiomqtt.MqttError, match="its certificate has ended"):
        async with harbour.connector().connect(WILL):
            pass
    assert "the certificate has ended; ask for a new claim" in harbour.wrong()
    without = BrokerSettings(host="127.0.0.1", port=harbour.broker.port, ca_file=harbour.state / "broker-ca.crt")
    with pytest.raises(aiomqtt.MqttError, match="it shows no certificate"):
        async with Connector(without, "x").connect(WILL):
            pass


async def test_a_new_certificate_that_is_refused_leaves_the_old_one_in_force(
    harbour: Harbour, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    now = dt.datetime.now(dt.UTC)
    harbour.enrolled.begin, harbour.enrolled.end = now - 70 * DAY, now + 20 * DAY  # which is due
    harbour.claim()
    first = TlsIdentity(harbour.state).certificate()
    harbour.enrolled.begin, harbour.enrolled.end = now - 2 * DAY, now - DAY
    with new_spool(harbour.state) as spool:
        spool.append(samples(50))
    harbour.start()
    async with cloud(harbour.plain) as heard, harbour.running():
        await until(lambda: "the one in force stays" in caplog.text, "the try")
        await _all_committed(harbour, heard, 50)
    assert TlsIdentity(harbour.state).certificate() == first
    assert "is refused" not in caplog.text
    assert harbour.wrong() == ""


async def test_one_that_may_say_nothing_any_more_knows_it(claimed: Harbour, caplog: pytest.LogCaptureFixture) -> None:
    """As long as its certificate is not on the broker's list, it may connect; and a broker that drops what it says
    acknowledges it all the same."""
    with new_spool(claimed.state) as spool:
        spool.append(samples(50))
    acl = claimed.enrolled.folder / "acl"
    before = acl.read_text(encoding="ascii")
    acl.write_text("topic readwrite #\nuser nobody\n", encoding="ascii")
    claimed.start()
    async with claimed.running():
        await until(lambda: "it may say nothing under its topics" in claimed.wrong(), "the refusal")
        await until(lambda: "broker lets in neither" in caplog.text, "the try by another certificate")
        assert status(claimed.state)["spooled"] == 50
    assert caplog.text.count("this device is refused by=broker") == 1
    acl.write_text(before, encoding="ascii")
    claimed.broker.stop()
    claimed.start()
    async with cloud(claimed.plain) as heard, claimed.running():
        await _all_committed(claimed, heard, 50)
    assert claimed.wrong() == ""


async def test_a_revocation_reaches_a_broker_that_runs(claimed: Harbour, caplog: pytest.LogCaptureFixture) -> None:
    claimed.start()
    caplog.set_level("INFO")
    async with claimed.running():
        await until(lambda: "connected protocol=5" in caplog.text, "the connection")
        [serial] = claimed.enrolled.serials[DEVICE]
        claimed.revoke([serial])
        claimed.enrolled.revoked.add(serial)
        assert claimed.broker._process is not None
        os.kill(claimed.broker._process.pid, signal.SIGHUP)
        async with aiomqtt.Client("127.0.0.1", claimed.plain, identifier=f"{OPERATOR}.{DEVICE}"):
            pass  # who connects under its client id ends its connection
        await until(lambda: "its certificate is revoked" in claimed.wrong(), "the refusal")


async def test_a_board_at_1970_does_not_judge_the_broker_by_time(
    claimed: Harbour, caplog: pytest.LogCaptureFixture
) -> None:
    claimed.enrolled.authority.issue("server", until=-dt.timedelta(minutes=1))
    claimed.start()
    with pytest.raises(aiomqtt.MqttError, match="certificate has expired"):
        async with claimed.connector().connect(WILL):
            pass
    timeless = claimed.connector(now_ms=lambda: 1_000)
    for _ in range(2):
        async with timeless.connect(WILL) as client:
            await client.publish(f"pw/1/{OPERATOR}/{DEVICE}/up", b"x", qos=1)
    assert caplog.text.count("clock is not set") == 1


def clock_of(*, receiver: dt.timedelta, is_synchronised: bool = False) -> AgentClock:
    """The clock of a computer of now, beside a receiver that tells another time."""
    clock = AgentClock(is_synchronised=lambda: is_synchronised)
    clock.set_by_fix(round((dt.datetime.now(dt.UTC) + receiver).timestamp() * 1_000))
    return clock


async def test_a_computer_whose_clock_is_days_ahead_judges_the_broker_by_the_receiver(
    claimed: Harbour, caplog: pytest.LogCaptureFixture
) -> None:
    claimed.enrolled.authority.issue("server", since=5 * DAY, until=-2 * DAY)
    claimed.start()
    right = claimed.connector(clock=clock_of(receiver=-3 * DAY))
    for _ in range(2):
        async with right.connect(WILL) as client:
            await client.publish(f"pw/1/{OPERATOR}/{DEVICE}/up", b"x", qos=1)
    assert caplog.text.count("3 days ahead of the receiver's, so the broker's certificate is judged by that too") == 1
    for clock, why in (
        (clock_of(receiver=dt.timedelta()), "it has ended; or this computer's clock is ahead$"),
        (
            clock_of(receiver=-9 * DAY),
            r"clock may be behind \(this computer's clock is 9 days ahead of the receiver's\)",
        ),
        (clock_of(receiver=-3 * DAY, is_synchronised=True), r"is ahead \(this computer's clock is 3 days ahead of"),
    ):
        with pytest.raises(aiomqtt.MqttError, match=f"^the broker's certificate cannot be believed: .*{why}"):
            async with claimed.connector(clock=clock).connect(WILL):
                pass


@pytest.mark.parametrize(
    ("since", "until_", "why"),
    [
        (5 * DAY, -2 * DAY, "it has ended; or this computer's clock is ahead"),
        (-2 * DAY, 5 * DAY, "it is not good yet; this computer's clock may be behind"),
    ],
    ids=["ended", "not yet"],
)
async def test_who_looks_is_told_that_the_broker_is_not_believed_by_this_clock(
    claimed: Harbour, since: dt.timedelta, until_: dt.timedelta, why: str
) -> None:
    claimed.enrolled.authority.issue("server", since=since, until=until_)
    claimed.start()
    async with claimed.running():
        await until(lambda: bool(claimed.wrong()), "it to be noted")
    told = claimed.wrong()
    assert "the broker's certificate cannot be believed: " in told
    assert why in told
    assert f"this computer's clock says {dt.datetime.now(dt.UTC):%Y-%m-%d}T" in told
    one = Station(claimed.settings(), list, {})
    assert claimed.wrong()[:40] in str(identity_of(one)["wrong"])
    words = status_words({"operator": OPERATOR, "device": DEVICE, **status_of(one)})
    assert any(line.startswith("  wrong") and why in line for line in words)
    written = (claimed.state / "doubted").stat().st_mtime_ns
    async with claimed.running():
        await asyncio.sleep(1.0)
    assert (claimed.state / "doubted").stat().st_mtime_ns == written, "each try costs the card nothing"
    claimed.broker.kill()
    claimed.enrolled.authority.issue("server")
    claimed.start()
    async with claimed.running():
        await until(lambda: not claimed.wrong(), "the broker to be believed again")
    assert "wrong" not in identity_of(one)


async def test_a_board_at_1970_with_a_receiver_judges_the_broker_by_that(
    claimed: Harbour, caplog: pytest.LogCaptureFixture
) -> None:
    claimed.start()
    clock = AgentClock(system_ms=lambda: 1_000, is_synchronised=lambda: False)
    connector = claimed.connector(now_ms=lambda: 1_000, clock=clock)
    clock.set_by_fix(round((dt.datetime.now(dt.UTC) + 10 * DAY).timestamp() * 1_000))
    with pytest.raises(aiomqtt.MqttError, match="it has ended"):
        async with connector.connect(WILL):
            pass
    clock.set_by_fix(round(dt.datetime.now(dt.UTC).timestamp() * 1_000))
    async with connector.connect(WILL):
        pass
    assert "clock is not set" not in caplog.text


async def test_a_receiver_that_is_led_back_brings_no_certificate_back_that_has_ended(claimed: Harbour) -> None:
    claimed.enrolled.authority.issue("server", since=12 * DAY, until=-8 * DAY)
    claimed.start()
    clock = clock_of(receiver=-10 * DAY)
    async with claimed.connector(clock=clock).connect(WILL):
        pass  # nobody knows better
    shown = claimed.shown()
    Past(claimed.state, shown and shown.certificate_file, clock).begin()
    why = r"it has ended.* 10 days ahead of the receiver's, which tells a time that is past\)$"
    with pytest.raises(aiomqtt.MqttError, match=why):
        async with claimed.connector(clock=clock).connect(WILL):
            pass


async def test_whose_receiver_is_deceived_keeps_its_link(claimed: Harbour) -> None:
    claimed.start()
    taken = []
    for days in (4_000, -90):
        clock = clock_of(receiver=days * DAY)
        assert f" {abs(days):,} days " in clock.apart(), "it is deceived"
        async with claimed.connector(clock=clock).connect(WILL) as client:
            await client.publish(f"pw/1/{OPERATOR}/{DEVICE}/up", b"x", qos=1)
            taken.append(days)
    assert taken == [4_000, -90]
