"""The agent's clock: who told the time, and that it does not run backwards."""

import datetime as dt
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pledgewatch_edge.agent import ClockSettings
from pledgewatch_edge.clock import (
    BELIEVED_UNTIL_MS,
    DRIFT_PPM,
    HOLDOVER_MS,
    JUMP_SAID_EVERY_MS,
    LEAP_MS,
    RELEASED_MS,
    STEP_MS,
    UNCERTAINTY_MS,
    AgentClock,
    boot_ms,
    kernel_is_synchronised,
    machine_keeps_time,
)
from pledgewatch_wire.reading import Clock

NOW_MS = RELEASED_MS + 10_000_000
HELD_MS = (UNCERTAINTY_MS[Clock.RTC] - UNCERTAINTY_MS[Clock.GPS]) * 1_000_000 // DRIFT_PPM


@dataclass
class Machine:
    system_ms: int = NOW_MS
    monotonic_ms: int = 5_000
    is_synchronised: bool = False

    def clock(self) -> AgentClock:
        return AgentClock(
            system_ms=lambda: self.system_ms,
            monotonic_ms=lambda: self.monotonic_ms,
            is_synchronised=lambda: self.is_synchronised,
        )

    def pass_ms(self, span_ms: int) -> None:
        self.system_ms += span_ms
        self.monotonic_ms += span_ms


def test_a_machine_without_a_receiver() -> None:
    machine = Machine()
    clock = machine.clock()
    assert clock.now() == (NOW_MS, Clock.RTC)
    machine.is_synchronised = True
    assert clock.now() == (NOW_MS, Clock.NTP)


def test_a_clock_at_1970_is_unset_until_gps_sets_it() -> None:
    machine = Machine(system_ms=12_345)
    clock = machine.clock()
    assert clock.now() == (12_345, Clock.UNSET)
    clock.set_by_fix(NOW_MS)
    machine.pass_ms(1_500)
    assert clock.now() == (NOW_MS + 1_500, Clock.GPS)


def test_a_clock_in_the_future_is_put_back_by_gps() -> None:
    machine = Machine(system_ms=NOW_MS + 10**10)
    clock = machine.clock()
    assert clock.now() == (NOW_MS + 10**10, Clock.RTC)
    clock.set_by_fix(NOW_MS)
    assert clock.now() == (NOW_MS, Clock.GPS)


def test_the_system_clock_may_leap_without_effect() -> None:
    machine = Machine()
    clock = machine.clock()
    clock.set_by_fix(NOW_MS)
    machine.system_ms -= 10**9
    machine.monotonic_ms += 10
    assert clock.now() == (NOW_MS + 10, Clock.GPS)


def test_jitter_makes_it_wait_and_a_step_back_is_followed() -> None:
    machine = Machine()
    clock = machine.clock()
    clock.set_by_fix(NOW_MS)
    machine.pass_ms(1_100)
    assert clock.now()[0] == NOW_MS + 1_100
    clock.set_by_fix(NOW_MS + 1_000)  # the sentence came 100 ms late
    assert clock.now()[0] == NOW_MS + 1_100
    machine.pass_ms(150)
    assert clock.now()[0] == NOW_MS + 1_150
    clock.set_by_fix(NOW_MS - STEP_MS)
    assert clock.now() == (NOW_MS - STEP_MS, Clock.GPS)


def test_a_time_that_was_heard_a_while_ago() -> None:
    machine = Machine()
    clock = machine.clock()
    heard_at = clock.mark()
    machine.pass_ms(900)
    clock.set_by_fix(NOW_MS, heard_at)
    assert clock.now() == (NOW_MS + 900, Clock.GPS)


@pytest.mark.parametrize(
    ("told_ms", "is_passed_over"),
    [
        (RELEASED_MS - 1, True),
        (RELEASED_MS, False),
        (BELIEVED_UNTIL_MS - 1, False),
        (BELIEVED_UNTIL_MS, True),  # of a receiver whose weeks have rolled over the other way
        (253_370_764_800_000, True),  # the year 9999
        (-62_135_596_800_000, True),  # the year 1
    ],
)
def test_a_time_that_cannot_be_is_passed_over(told_ms: int, *, is_passed_over: bool) -> None:
    clock = Machine().clock()
    clock.set_by_fix(told_ms)
    assert clock.now() == ((NOW_MS, Clock.RTC) if is_passed_over else (told_ms, Clock.GPS))


def test_a_receiver_whose_time_is_compressed() -> None:
    machine = Machine()
    clock = machine.clock()
    for minute in range(5):
        clock.set_by_fix(NOW_MS + 60_000 * minute)
        assert clock.now() == (NOW_MS + 60_000 * minute, Clock.GPS)
        machine.pass_ms(1_000)


def test_what_a_receiver_told_is_held_as_long_as_it_is_as_good_as_a_battery() -> None:
    """A board without a clock of its own: after twenty days it stamps no more, but dates what it measures yet."""
    machine = Machine(system_ms=1)
    clock = machine.clock()
    clock.set_by_fix(NOW_MS)
    machine.pass_ms(HELD_MS)
    assert clock.now() == (NOW_MS + HELD_MS, Clock.GPS)
    assert clock.dated(clock.mark()) == (NOW_MS + HELD_MS, UNCERTAINTY_MS[Clock.RTC])
    machine.pass_ms(10_000)
    assert clock.now() == (NOW_MS + HELD_MS + 10_000, Clock.UNSET)
    assert clock.dated(clock.mark()) == (NOW_MS + HELD_MS + 10_000, UNCERTAINTY_MS[Clock.RTC] + 1)
    assert clock.can_date()
    clock.set_by_fix(NOW_MS + HELD_MS + 10_000 - 90_000)
    assert clock.now() == (NOW_MS + HELD_MS - 80_000, Clock.GPS), "a new fix is followed back"


@given(st.lists(st.tuples(st.integers(0, 2_000), st.integers(-STEP_MS + 1, 100_000)), max_size=30))
def test_under_gps_it_never_runs_backwards(events: list[tuple[int, int]]) -> None:
    """Whatever the jitter, as long as the receiver does not step back."""
    machine = Machine()
    clock = machine.clock()
    clock.set_by_fix(NOW_MS)
    before, _ = clock.now()
    for span_ms, jitter_ms in events:
        machine.pass_ms(span_ms)
        clock.set_by_fix(max(clock.now()[0] + jitter_ms, before - STEP_MS))
        now, source = clock.now()
        assert now >= before
        assert source == Clock.GPS
        before = now


def test_this_machine_has_the_sources() -> None:
    assert isinstance(kernel_is_synchronised(), bool)
    assert 0 < boot_ms() <= boot_ms()
    assert AgentClock().now()[0] > 0


def test_a_clock_that_is_not_to_be_believed_is_unset_until_a_time_service_or_a_fix_sets_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A board whose clock has no battery, in a steel hall with a network: a time service counts before none."""
    machine = Machine()
    clock = ClockSettings(trust_system=False).clock()
    monkeypatch.setattr(clock, "_system_ms", lambda: machine.system_ms)
    monkeypatch.setattr(clock, "_monotonic_ms", lambda: machine.monotonic_ms)
    monkeypatch.setattr(clock, "_is_synchronised", lambda: machine.is_synchronised)
    assert clock.now() == (NOW_MS, Clock.UNSET)
    clock.set_by_fix(NOW_MS + 5)
    assert clock.now() == (NOW_MS + 5, Clock.GPS)
    machine.pass_ms(HELD_MS + 10_000)
    assert clock.now()[1] is Clock.UNSET
    machine.is_synchronised = True
    assert clock.now() == (machine.system_ms, Clock.NTP)


def test_a_machine_without_a_clock_of_its_own_is_believed_while_a_time_service_keeps_it() -> None:
    is_synchronised = False
    clock = AgentClock(
        system_ms=lambda: NOW_MS, monotonic_ms=lambda: 0, is_synchronised=lambda: is_synchronised, keeps_time=False
    )
    assert clock.now() == (NOW_MS, Clock.UNSET)
    is_synchronised = True
    assert clock.now() == (NOW_MS, Clock.NTP)
    clock.set_by_fix(RELEASED_MS + 5)
    assert clock.now() == (RELEASED_MS + 5, Clock.GPS)


@pytest.mark.parametrize(
    ("machine", "trust_system", "expected"),
    [
        ("none listed", None, Clock.UNSET),
        ("none listed", True, Clock.RTC),
        ("none listed", False, Clock.UNSET),
        ("one listed", None, Clock.RTC),
        ("one listed", True, Clock.RTC),
        ("one listed", False, Clock.UNSET),
        ("no list", None, Clock.RTC),
    ],
)
def test_where_nothing_is_configured_the_machine_is_asked(
    machine: str,
    trust_system: bool | None,
    expected: Clock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    clocks = tmp_path / "rtc"
    if machine != "no list":
        clocks.mkdir()
    if machine == "one listed":
        (clocks / "rtc0").mkdir()
    monkeypatch.setattr("pledgewatch_edge.agent.machine_keeps_time", lambda: machine_keeps_time(clocks))
    clock = ClockSettings(trust_system=trust_system).clock()
    monkeypatch.setattr(clock, "_is_synchronised", lambda: False)
    assert clock.now()[1] is expected
    is_told = machine == "none listed" and trust_system is None
    assert ("no clock of its own on this computer" in caplog.text) == is_told


def test_a_leap_of_the_clock_is_said_once_an_hour_and_when_it_became_known(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    machine = Machine(system_ms=12_345)
    clock = machine.clock()
    clock.now()
    machine.pass_ms(60_000)
    machine.system_ms += STEP_MS  # as a time service may slew it
    clock.now()
    assert caplog.messages == []
    machine.system_ms = NOW_MS
    clock.now()
    assert caplog.messages == [f"clock known by=RTC moved_ms={NOW_MS - 82_345}"]
    for _ in range(3):
        machine.pass_ms(1_000)
        machine.system_ms -= STEP_MS + 1
        clock.now()
    machine.is_synchronised = True
    machine.pass_ms(JUMP_SAID_EVERY_MS)
    machine.system_ms += 50_000
    clock.now()
    assert caplog.messages[1:] == [
        "clock leapt by_ms=-10001 from=RTC to=RTC",
        "clock leapt by_ms=50000 from=RTC to=NTP",
    ]


def test_a_moment_before_the_time_was_known_is_dated_by_what_the_machine_has_counted() -> None:
    machine = Machine(system_ms=1)
    clock = machine.clock()
    marked_at = clock.mark()
    machine.pass_ms(3_600_000)
    assert clock.dated(marked_at) is None
    clock.set_by_fix(NOW_MS)
    hour_ms = UNCERTAINTY_MS[Clock.GPS] + 3_600_000 * DRIFT_PPM // 1_000_000
    assert clock.dated(marked_at) == (NOW_MS - 3_600_000, hour_ms)
    machine.pass_ms(1_800_000)  # the time is known as of the fix, not as of when it is asked for
    assert clock.dated(marked_at) == (NOW_MS - 3_600_000, hour_ms)


@pytest.mark.parametrize(
    ("off_days", "is_synchronised", "said", "is_set"),
    [
        (0.9, False, "", True),
        (1.2, False, "this computer's clock is 1 day ahead of the receiver's", True),
        (4_000, False, "this computer's clock is 4,000 days ahead of the receiver's", True),
        (4_000, True, "this computer's clock is 4,000 days ahead of the receiver's", True),
        (-90, False, "this computer's clock is 90 days behind the receiver's", False),
    ],
)
def test_a_computer_whose_clock_is_days_off_judges_certificates_by_the_receiver_too(
    off_days: float, is_synchronised: bool, said: str, is_set: bool
) -> None:
    machine = Machine(system_ms=NOW_MS, is_synchronised=is_synchronised)
    clock = machine.clock()
    assert (clock.apart(), clock.judged_at()) == ("", ())
    clock.set_by_fix(NOW_MS)
    machine.system_ms += round(off_days * 86_400_000)
    assert clock.apart() == said
    by_both: tuple[int, ...] = (NOW_MS, machine.system_ms) if is_set else (NOW_MS,)
    assert clock.judged_at() == (by_both if said and not is_synchronised else ())
    for passed_ms in (HOLDOVER_MS + 1, 30 * HOLDOVER_MS):  # no fix any more: as good as before, to a day
        machine.pass_ms(passed_ms)
        by_both = tuple(one + passed_ms for one in by_both)
        assert clock.apart() == said
        assert clock.judged_at() == (by_both if said and not is_synchronised else ())


@pytest.mark.parametrize("is_synchronised", [False, True])
@pytest.mark.parametrize("off_days", [-3, 3, 3_000])
def test_a_clock_that_was_found_apart_is_not_gone_back_to(off_days: int, *, is_synchronised: bool) -> None:
    """Neither a battery's, nor that of a time service, which may be a ship's that tells the time of day."""
    machine = Machine(system_ms=NOW_MS + off_days * HOLDOVER_MS, is_synchronised=is_synchronised)
    clock = machine.clock()
    clock.set_by_fix(NOW_MS)
    for passed_ms, by in ((HOLDOVER_MS, Clock.GPS), (1, Clock.GPS), (HELD_MS - HOLDOVER_MS + 9_999, Clock.UNSET)):
        machine.pass_ms(passed_ms)
        assert clock.now() == (NOW_MS + machine.monotonic_ms - 5_000, by)
    machine.system_ms = clock.now()[0]  # somebody has set it
    assert clock.now()[1] is (Clock.NTP if is_synchronised else Clock.RTC)


@pytest.mark.parametrize(
    ("off_ms", "is_synchronised", "then"),
    [
        (0, False, Clock.RTC),
        (UNCERTAINTY_MS[Clock.RTC] + UNCERTAINTY_MS[Clock.GPS], False, Clock.RTC),
        (UNCERTAINTY_MS[Clock.RTC] + UNCERTAINTY_MS[Clock.GPS] + 1, False, Clock.UNSET),
        (0, True, Clock.NTP),
        (-UNCERTAINTY_MS[Clock.RTC] - UNCERTAINTY_MS[Clock.NTP] - 1, True, Clock.NTP),  # held is as doubtful by then
        (-UNCERTAINTY_MS[Clock.RTC] - UNCERTAINTY_MS[Clock.NTP] - 2, True, Clock.UNSET),
    ],
)
def test_after_twenty_days_a_clock_that_agreed_is_gone_by(off_ms: int, then: Clock, *, is_synchronised: bool) -> None:
    machine = Machine(system_ms=NOW_MS + off_ms)
    clock = machine.clock()
    clock.set_by_fix(NOW_MS)
    machine.pass_ms(HELD_MS)
    assert clock.now()[1] is Clock.GPS, "of equals the receiver"
    machine.is_synchronised = is_synchronised
    machine.pass_ms(10_000)
    assert clock.now()[1] is then
    assert (clock.now()[0] == machine.system_ms) is (then is not Clock.UNSET or not off_ms)


def test_a_time_service_is_better_than_a_fix_of_yesterday_and_held_when_it_goes() -> None:
    machine = Machine(system_ms=1)
    clock = machine.clock()
    clock.set_by_fix(NOW_MS)
    machine.system_ms, machine.is_synchronised = NOW_MS + 4_000, True
    machine.pass_ms(HOLDOVER_MS)
    assert clock.now() == (NOW_MS + HOLDOVER_MS, Clock.GPS)
    machine.pass_ms(1)
    assert clock.now() == (NOW_MS + HOLDOVER_MS + 4_001, Clock.NTP)
    machine.is_synchronised = False
    machine.pass_ms(HELD_MS)
    machine.system_ms = 7  # somebody has set it
    told_ms = NOW_MS + HOLDOVER_MS + 4_001 + HELD_MS
    assert clock.now() == (told_ms, Clock.NTP)
    assert clock.dated(clock.mark()) == (told_ms, UNCERTAINTY_MS[Clock.RTC])
    machine.pass_ms(10_000)
    assert clock.now() == (told_ms + 10_000, Clock.UNSET)
    assert clock.dated(clock.mark()) == (told_ms + 10_000, UNCERTAINTY_MS[Clock.RTC] + 1)


def test_a_time_service_may_correct_itself() -> None:
    machine = Machine(is_synchronised=True)
    clock = machine.clock()
    for off_ms in (0, 3 * 86_400_000, 86_400_000):
        machine.system_ms = NOW_MS + off_ms
        assert clock.now() == (NOW_MS + off_ms, Clock.NTP)
    machine.system_ms = 1_000
    assert clock.now() == (NOW_MS + 86_400_000, Clock.NTP), "what it said last, for that cannot be"


def test_a_second_that_was_put_in_is_in_the_doubt() -> None:
    """On the last of June or December, which no count knows of."""
    july_ms = round(dt.datetime(2026, 7, 1, tzinfo=dt.UTC).timestamp() * 1_000)
    machine = Machine(system_ms=1)
    clock = machine.clock()
    clock.set_by_fix(july_ms - 10_000)
    before_at = clock.mark()
    machine.pass_ms(20_000)
    assert clock.dated(clock.mark()) == (july_ms + 10_000, UNCERTAINTY_MS[Clock.GPS] + LEAP_MS + 2)
    assert clock.dated(before_at) == (july_ms - 10_000, UNCERTAINTY_MS[Clock.GPS])
    assert clock.dated(2**62) is not None
    assert clock.dated(-(2**62)) is not None


def test_a_computer_that_slept_counts_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.clock_gettime_ns", lambda kept: {time.CLOCK_BOOTTIME: 7_000_000}[kept])
    assert boot_ms() == 7
