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

from pledgewatch_edge.clock import APART_MS, RELEASED_MS, AgentClock, Held
from pledgewatch_edge.config import BrokerSettings, DeviceSettings, StationSettings
from pledgewatch_edge.past import HELD_ANEW_MS, HELD_FILE, PAST_FILE, Past
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
    monotonic_ms: int = 5_000

    def clock(self) -> AgentClock:
        return AgentClock(
            system_ms=lambda: self.system_ms,
            monotonic_ms=lambda: self.monotonic_ms,
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


@pytest.mark.parametrize(("days", "is_gone_by"), [(1, True), (2, False), (180, False)])
def test_a_battery_that_shows_what_is_past_stamps_nothing(tmp_path: Path, days: int, *, is_gone_by: bool) -> None:
    """A board whose clock has no battery, and that starts with the time of its image."""
    (tmp_path / PAST_FILE).write_text(str(NOW_MS))
    machine = Machine(system_ms=NOW_MS - days * DAY_MS)
    clock = machine.clock()
    past = Past(tmp_path, None, clock)
    past.begin()
    assert clock.now() == (machine.system_ms, Clock.RTC if is_gone_by else Clock.UNSET)
    assert (clock.dated(0) is not None) is is_gone_by
    machine.is_synchronised = True
    assert clock.now() == (machine.system_ms, Clock.NTP), "a time service is asked each time"
    past.keep()
    machine.is_synchronised = False
    assert clock.now() == (machine.system_ms, Clock.NTP), "and held as it was"


def test_a_receiver_that_tells_what_is_past_is_not_held(tmp_path: Path) -> None:
    machine = Machine()
    clock = machine.clock()
    clock.set_by_fix(NOW_MS - 10 * DAY_MS)
    clock.not_before(NOW_MS)
    assert clock.now()[1] is Clock.GPS, "followed for a day, as any"
    machine.monotonic_ms += DAY_MS + 1
    machine.system_ms += DAY_MS + 1
    assert clock.now() == (NOW_MS + DAY_MS + 1, Clock.RTC)
    machine.keeps_time = False
    alone = machine.clock()
    alone.set_by_fix(NOW_MS - 10 * DAY_MS)
    alone.not_before(NOW_MS)
    machine.monotonic_ms += DAY_MS + 1
    assert alone.now() == (machine.system_ms, Clock.UNSET)
    assert alone.dated(alone.mark()) is None


def begun(folder: Path, machine: Machine, boot: str = "first") -> tuple[AgentClock, Past]:
    """A clock as the agent has it after a restart."""
    clock = machine.clock()
    past = Past(folder, None, clock, boot=lambda: boot)
    past.begin()
    return clock, past


@pytest.mark.parametrize("by", [Clock.GPS, Clock.NTP])
def test_an_agent_that_is_started_again_knows_what_the_one_before_was_told(tmp_path: Path, by: Clock) -> None:
    """Under deck, on a board without a clock of its own."""
    machine = Machine(system_ms=1_000, keeps_time=False)
    clock, past = begun(tmp_path, machine)
    past.keep()
    assert not (tmp_path / HELD_FILE).exists(), "nobody has told it anything"
    if by is Clock.GPS:
        clock.set_by_fix(NOW_MS)
    else:
        machine.system_ms, machine.is_synchronised = NOW_MS, True
        assert clock.now()[1] is by
        machine.system_ms, machine.is_synchronised = 1_000, False
    past.keep()
    machine.monotonic_ms += 5 * DAY_MS
    again, _ = begun(tmp_path, machine)
    assert again.now() == (NOW_MS + 5 * DAY_MS, by)
    assert again.dated(again.mark()) == clock.dated(clock.mark())
    other, _ = begun(tmp_path, machine, "second")
    assert other.now() == (1_000, Clock.UNSET), "another start of the computer counts anew"
    again.set_by_fix(NOW_MS)
    Past(tmp_path, None, again, boot=lambda: "first").begin()
    assert again.now() == (NOW_MS, Clock.GPS), "what is kept is older"


def test_the_time_that_is_held_is_written_seldom(tmp_path: Path) -> None:
    machine = Machine()
    clock, past = begun(tmp_path, machine)
    written = set[str]()
    for _ in range(2 * DAY_MS // 60_000):
        clock.set_by_fix(NOW_MS + machine.monotonic_ms)
        past.keep()
        written.add((tmp_path / HELD_FILE).read_text())
        machine.monotonic_ms += 60_000
        machine.system_ms += 60_000
    assert len(written) == 2 * DAY_MS // HELD_ANEW_MS


def test_another_time_that_is_held_is_written_at_once(tmp_path: Path) -> None:
    machine = Machine()
    clock, past = begun(tmp_path, machine)

    def kept() -> list[str]:
        past.keep()
        return (tmp_path / HELD_FILE).read_text().split()

    clock.set_by_fix(NOW_MS)
    before = kept()
    assert before == ["first", str(NOW_MS - 5_000), "5000", "GPS", "0"]
    machine.monotonic_ms += 60_000
    machine.system_ms += DAY_MS
    assert kept() == [*before[:-1], "1"], "the computer's clock was set wrong"
    machine.system_ms = NOW_MS + 60_000
    assert kept() == before
    clock.set_by_fix(NOW_MS + 60_000 - 10_000)
    assert kept() == before, "for ten seconds it is not worth it"
    clock.set_by_fix(NOW_MS + 60_000 - 10_001)
    before = kept()
    assert before == ["first", str(NOW_MS - 15_001), "65000", "GPS", "0"]
    machine.monotonic_ms += 1
    clock.hold(Held(NOW_MS - 15_001, 65_001, Clock.NTP))
    assert kept() == ["first", str(NOW_MS - 15_001), "65001", "NTP", "0"]
    past = Past(tmp_path, None, clock, boot=lambda: "second")
    past.begin()
    assert kept()[0] == "second"


def test_a_battery_that_was_found_wrong_is_not_gone_by_after_a_new_start(tmp_path: Path) -> None:
    machine = Machine(system_ms=NOW_MS + 3 * DAY_MS)
    clock, past = begun(tmp_path, machine)
    assert clock.now()[1] is Clock.RTC, "nobody knows it yet"
    clock.set_by_fix(NOW_MS)
    past.keep()
    machine.monotonic_ms = 100
    for boot in ("second", "third"):
        clock, past = begun(tmp_path, machine, boot)
        past.keep()
        assert clock.now() == (NOW_MS + 3 * DAY_MS, Clock.UNSET)
    machine.is_synchronised = True
    past.keep()  # a time service has set it, and the kernel its battery's clock
    machine.is_synchronised = False
    clock, past = begun(tmp_path, machine, "fourth")
    assert clock.now()[1] is Clock.RTC
    clock.set_by_fix(NOW_MS + 3 * DAY_MS)
    past.keep()
    assert begun(tmp_path, machine, "fifth")[0].now()[1] is Clock.RTC, "found right"


@pytest.mark.parametrize(
    "kept",
    [
        *("", "soon", "first 1 2 GPS", "first x 2 GPS 0", "first 1 2 SUN 0", "\xff" * 9),
        "first {now} 5001 GPS 0",  # heard in what is to come
        "first {now} -1 GPS 0",
        "first {now} 1 RTC 0",
        "first 0 5000 GPS 0",  # in 1970
        f"first {10**15} 5000 GPS 0",
    ],
)
def test_a_held_time_that_cannot_be_is_none(tmp_path: Path, kept: str) -> None:
    (tmp_path / HELD_FILE).write_text(kept.format(now=NOW_MS), encoding="latin-1")
    assert begun(tmp_path, Machine(system_ms=1_000))[0].now() == (1_000, Clock.UNSET)


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
