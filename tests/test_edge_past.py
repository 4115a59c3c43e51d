"""What is known to be past: who says it, and that it is kept."""

import asyncio
import datetime as dt
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from authority import Authority
from cryptography import x509
from enrolling import enrolling

from pledgewatch_edge.clock import APART_MS, RELEASED_MS, AgentClock
from pledgewatch_edge.config import BrokerSettings, DeviceSettings, StationSettings
from pledgewatch_edge.past import PAST_FILE, Past
from pledgewatch_edge.renewal import Renewal
from pledgewatch_edge.station import run_station
from pledgewatch_edge.tls import Shown
from pledgewatch_edge.tls_identity import Standing, TlsIdentity
from pledgewatch_wire.reading import Clock

DAY_MS = 86_400_000
NOW_MS = round(dt.datetime.now(dt.UTC).timestamp() * 1_000)


@dataclass
class Machine:
    """A computer without a time service, unless that is said."""

    system_ms: int = NOW_MS
    is_synchronised: bool = False
    keeps_time: bool = True

    def clock(self) -> AgentClock:
        return AgentClock(
            system_ms=lambda: self.system_ms,
            monotonic_ms=lambda: 5_000,
            is_synchronised=lambda: self.is_synchronised,
            keeps_time=self.keeps_time,
        )


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The device's certificate: ten days old, and good for twenty more."""
    Authority(tmp_path).issue("device", since=dt.timedelta(days=10), until=dt.timedelta(days=20))
    return tmp_path / "device.pem"


def term_ms(own: Path) -> tuple[int, int]:
    """When a certificate begins and when it ends."""
    found = x509.load_pem_x509_certificate(own.read_bytes())
    begin, end = (round(one.timestamp() * 1_000) for one in (found.not_valid_before_utc, found.not_valid_after_utc))
    assert round((end - begin) / DAY_MS) == 30
    return begin, end


def test_a_receiver_that_tells_what_is_past_is_not_gone_by() -> None:
    machine = Machine()
    clock = machine.clock()
    clock.set_by_fix(NOW_MS - 10 * DAY_MS)
    assert clock.judged_at() == (NOW_MS - 10 * DAY_MS, NOW_MS)
    clock.not_before(NOW_MS - 10 * DAY_MS + APART_MS)
    clock.not_before(0)
    assert len(clock.judged_at()) == 2, "to a day, for clocks differ"
    clock.not_before(NOW_MS - 10 * DAY_MS + APART_MS + 1)
    assert clock.judged_at() == ()
    assert clock.apart() == "this computer's clock is 10 days ahead of the receiver's, which tells a time that is past"
    machine.system_ms = NOW_MS + 4_000 * DAY_MS
    clock.set_by_fix(NOW_MS)
    assert clock.judged_at() == (NOW_MS, machine.system_ms), "a computer that is years ahead keeps its link"


@pytest.mark.parametrize(
    ("machine", "receiver_days", "sure_days"),
    [
        (Machine(), None, None),
        (Machine(), -10, None),
        (Machine(), -0.5, -0.5),
        (Machine(), 0.5, 0),
        (Machine(is_synchronised=True), None, 0),
        (Machine(is_synchronised=True), -10, None),
        (Machine(keeps_time=False), None, None),
        (Machine(is_synchronised=True, keeps_time=False), None, 0),
        (Machine(system_ms=1_000), 0, None),
    ],
)
def test_the_time_is_sure_where_two_tell_it(
    machine: Machine, receiver_days: float | None, sure_days: float | None
) -> None:
    clock = machine.clock()
    if receiver_days is not None:
        clock.set_by_fix(NOW_MS + round(receiver_days * DAY_MS))
    assert clock.sure_ms() == (None if sure_days is None else NOW_MS + round(sure_days * DAY_MS))


def test_it_begins_with_the_certificate_and_goes_on_with_what_was_sure(tmp_path: Path, own: Path) -> None:
    machine = Machine(is_synchronised=True)
    clock = machine.clock()
    past = Past(tmp_path, own, clock)
    past.begin()
    assert clock.past_ms == term_ms(own)[0]
    past.keep()
    assert clock.past_ms == NOW_MS
    machine.system_ms += DAY_MS - 1
    past.keep()
    assert (tmp_path / PAST_FILE).read_text() == str(NOW_MS), "once a day"
    machine.is_synchronised, machine.system_ms = False, NOW_MS
    after = machine.clock()
    Past(tmp_path, own, after).begin()
    assert after.past_ms == NOW_MS, "also after a restart"


def test_a_clock_that_was_led_ahead_closes_nobody_out_for_longer_than_the_certificate(
    tmp_path: Path, own: Path
) -> None:
    machine = Machine(system_ms=NOW_MS + 4_000 * DAY_MS, is_synchronised=True)
    clock = machine.clock()
    Past(tmp_path, own, clock).keep()
    assert clock.past_ms == term_ms(own)[1]
    (tmp_path / PAST_FILE).write_text(str(NOW_MS + 4_000 * DAY_MS))
    again = machine.clock()
    Past(tmp_path, own, again).begin()
    assert again.past_ms == term_ms(own)[1]


def test_one_wrong_word_of_the_cloud_counts_no_further_than_the_certificate(tmp_path: Path, own: Path) -> None:
    """A computer that is years ahead beside a receiver that is right, and an answer of a cloud that was days ahead."""
    machine = Machine(system_ms=NOW_MS + 800 * DAY_MS)
    clock = machine.clock()
    clock.set_by_fix(NOW_MS)
    past = Past(tmp_path, own, clock)
    past.begin()
    clock.not_before(NOW_MS + 300 * DAY_MS)  # as cloud_api.py does
    end_ms = term_ms(own)[1]
    assert clock.past_ms == end_ms
    past.keep()
    assert (tmp_path / PAST_FILE).read_text() == str(end_ms)
    clock.set_by_fix(end_ms - APART_MS)
    assert len(clock.judged_at()) == 2, "once it has ended the receiver is heard again"
    Authority(tmp_path).issue("device", since=dt.timedelta(days=1), until=dt.timedelta(days=400))
    past.keep()
    assert clock.past_ms == end_ms, "a later certificate brings back nothing of it"
    again = machine.clock()
    Past(tmp_path, own, again).begin()
    assert again.past_ms == end_ms, "also after a restart"


def test_what_was_kept_beyond_the_certificate_is_kept_shorter(tmp_path: Path, own: Path) -> None:
    (tmp_path / PAST_FILE).write_text(str(NOW_MS + 300 * DAY_MS))
    past = Past(tmp_path, own, Machine().clock())
    past.begin()
    past.keep()
    assert (tmp_path / PAST_FILE).read_text() == str(term_ms(own)[1])


@pytest.mark.parametrize("kept", [b"", b"soon", b"\xff", b"-5", b"12", b"9" * 5_000, str(RELEASED_MS - 1).encode()])
def test_what_was_kept_and_cannot_be_used_is_nothing(tmp_path: Path, kept: bytes) -> None:
    (tmp_path / PAST_FILE).write_bytes(kept)
    (tmp_path / "none.pem").write_bytes(b"x")
    for certificate_file in (None, tmp_path / "none.pem", tmp_path / "missing.pem"):
        clock = Machine().clock()
        Past(tmp_path, certificate_file, clock).begin()
        assert clock.past_ms == 0


def test_a_disk_that_does_not_take_it_ends_nothing(tmp_path: Path) -> None:
    clock = Machine(is_synchronised=True).clock()
    past = Past(tmp_path / "gone", None, clock)
    past.keep()
    assert clock.past_ms == NOW_MS


async def test_a_station_begins_with_it(tmp_path: Path, own: Path) -> None:
    broker = BrokerSettings(
        host="127.0.0.1",
        port=9,
        ca_file=tmp_path / "ca.pem",
        certificate_file=own,
        key_file=tmp_path / "device.key",
    )
    device = DeviceSettings(operator="harbour-line", name="box-1", state_folder=tmp_path / "state")
    clock, stop = Machine().clock(), asyncio.Event()
    stop.set()
    await run_station(StationSettings(device=device, broker=broker), [], stop, clock=clock)
    assert clock.past_ms == term_ms(own)[0]


async def test_where_receiver_and_computer_are_days_apart_the_cloud_is_asked(tmp_path: Path) -> None:
    async def tries(_: Shown) -> bool:
        return True

    with enrolling(tmp_path / "cloud", tls=True) as cloud:
        own = cloud.authority
        own.issue("tls")
        state = tmp_path / "state"
        state.mkdir()
        (state / "tls.crt").write_bytes((cloud.folder / "tls.pem").read_bytes())
        (state / "tls.key").write_bytes((cloud.folder / "tls.key").read_bytes())
        device = DeviceSettings(
            operator="harbour-line",
            name="box-1",
            state_folder=state,
            cloud_url=cloud.url,
            cloud_ca_file=cloud.folder / "ca.pem",
        )
        clock = Machine().clock()
        clock.set_by_fix(NOW_MS - 10 * DAY_MS)
        assert clock.now()[1] is Clock.GPS
        await Renewal(device, TlsIdentity(state), Standing(state), tries, clock).step()
        assert clock.past_ms == pytest.approx(time.time() * 1_000, abs=60_000)
        assert clock.judged_at() == ()
