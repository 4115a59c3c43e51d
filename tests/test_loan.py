"""What is owed, against tables that a banker can work out on paper, and against a day-by-day reckoning in fractions."""

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pledgewatch_cloud.decide.collateral.loan import DAY_MS, days_between, next_change_ms, outstanding_minor
from pledgewatch_cloud.decide.items.facilities import DAY_COUNTS, Facility, Interest, Movement
from pledgewatch_cloud.decide.stretches import NEVER


def at(text: str) -> int:
    """Unix milliseconds of a day, or of an hour and minute of it, UTC."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000


def day(text: str) -> int:
    return at(text) // DAY_MS


def facility(
    opening: int, moved: list[tuple[str, int]] | None = None, *, interest: tuple[int, str, str] | None = None
) -> Facility:
    """A facility with movements (moment, amount; a repayment is below 0) and interest (rate, day count, since)."""
    movements = tuple(
        Movement(f"m-{number}", "drawdown" if amount > 0 else "repayment", at(moment), abs(amount))
        for number, (moment, amount) in enumerate(moved or [])
    )
    terms = Interest(interest[0], interest[1], at(interest[2])) if interest else None
    return Facility("facility", "bank", "exporter", "USD", opening, movements=movements, interest=terms)


DRAWN = [("2026-01-05 09:00", 200_000), ("2026-01-20 15:00", -150_000)]


@pytest.mark.parametrize(
    ("as_of", "minor"),
    [
        ("2026-01-01", 500_000),
        ("2026-01-05 08:59", 500_000),
        ("2026-01-05 09:00", 700_000),  # what is due at a moment has come at that moment
        ("2026-01-20 14:59", 700_000),
        ("2026-01-20 15:00", 550_000),
        ("2036-01-01", 550_000),
    ],
)
def test_without_interest_only_movements_count(as_of: str, minor: int) -> None:
    assert outstanding_minor(facility(500_000, DRAWN), at(as_of)) == minor


# 10,000.00 at 7.25 %; day by day by hand. A day of act/360 costs 1,000,000 × 725 ÷ 10,000 ÷ 360 = 201.388… minor units.
INTEREST = [
    # day count, since, as of, what is owed
    ("act_360", "2026-01-01", "2026-01-01", 1_000_000),
    ("act_360", "2026-01-01", "2026-01-01 23:59", 1_000_000),  # the first day has not ended
    ("act_360", "2026-01-01", "2026-01-02", 1_000_202),  # 201.39
    ("act_360", "2026-01-01", "2026-01-03", 1_000_403),  # 402.78
    ("act_360", "2026-01-01", "2027-01-01", 1_073_507),  # 365 days: 73,506.94
    ("act_365", "2026-01-01", "2027-01-01", 1_072_500),  # 365 of 365: 72,500 to the unit
    ("act_365", "2028-01-01", "2029-01-01", 1_072_699),  # 366 of 365: 72,698.63
    ("thirty_360", "2026-01-01", "2027-01-01", 1_072_500),  # 360 of 360
    ("thirty_360", "2026-02-01", "2026-03-01", 1_006_042),  # February is 30 days: 6,041.67
    ("act_360", "2026-02-01", "2026-03-01", 1_005_639),  # 28 days: 5,638.89
    ("act_360", "2026-01-01 00:01", "2026-01-02", 1_000_000),  # the day of `since` was not whole
    ("act_360", "2026-01-01 00:01", "2026-01-03", 1_000_202),
    ("act_360", "2027-01-01", "2026-06-01", 1_000_000),  # not yet
]


@pytest.mark.parametrize(("day_count", "since", "as_of", "minor"), INTEREST)
def test_interest_on_ten_thousand_at_seven_and_a_quarter(day_count: str, since: str, as_of: str, minor: int) -> None:
    assert outstanding_minor(facility(1_000_000, interest=(725, day_count, since)), at(as_of)) == minor


# ISDA's 30/360: d1 of 31 is 30; d2 of 31 is 30 where d1 is 30 then.
THIRTY = [
    ("2026-01-15", "2026-01-30", 15),
    ("2026-01-15", "2026-01-31", 16),
    ("2026-01-15", "2026-02-01", 16),
    ("2026-01-30", "2026-01-31", 0),
    ("2026-01-31", "2026-02-01", 1),
    ("2026-01-31", "2026-02-28", 28),
    ("2026-01-31", "2026-03-31", 60),
    ("2026-02-28", "2026-03-01", 3),  # 28 February to 1 March: the 29th and the 30th count, too
    ("2026-02-28", "2026-03-31", 33),  # the last of February is no 30th here
    ("2028-02-28", "2028-02-29", 1),
    ("2028-02-29", "2028-03-01", 2),
    ("2028-02-29", "2028-03-31", 32),
    ("2026-12-31", "2027-12-31", 360),
]


@pytest.mark.parametrize(("first", "last", "days"), THIRTY)
def test_thirty_three_hundred_and_sixtieths(first: str, last: str, days: int) -> None:
    assert days_between("thirty_360", day(first), day(last)) == days
    owed = outstanding_minor(facility(3_600_000, interest=(10_000, "thirty_360", first)), at(last))
    assert owed == 3_600_000 + days * 10_000


# 3,600.00 at 100 % by act/360: a day on 360,000 costs 1,000 minor units. Drawn at 9:00, it costs from the next day on.
MOVED: list[tuple[list[tuple[str, int]], str, int]] = [
    # movements, as of, what is owed
    ([("2026-01-02 09:00", 360_000)], "2026-01-02 09:00", 360_000 + 1_000 + 360_000),
    ([("2026-01-02 09:00", 360_000)], "2026-01-03", 720_000 + 2_000),
    ([("2026-01-02 09:00", 360_000)], "2026-01-04", 720_000 + 4_000),
    ([("2026-01-02", 360_000)], "2026-01-03", 720_000 + 3_000),  # drawn at midnight it costs from that day on
    ([("2026-01-02 09:00", -180_000)], "2026-01-03", 180_000 + 2_000),  # whoever repays at 9:00 pays for the day
    ([("2026-01-02 09:00", -180_000)], "2026-01-04", 180_000 + 2_500),
    ([("2026-01-02 09:00", -360_000)], "2026-01-02 09:00", 1_000),  # the interest of the 1st is still owed
    ([("2026-01-02 09:00", -360_000)], "2026-01-05", 2_000),  # and that of the 2nd, and no more
    ([("2026-01-02 09:00", -361_000)], "2026-01-02 09:00", 0),
    ([("2026-01-02 09:00", -999_000)], "2026-01-02 09:00", 0),  # nobody owes less than nothing
    ([("2026-01-02 09:00", -999_000)], "2026-01-09", 1_000),
    # what was paid beyond is not set off against what is drawn later
    ([("2026-01-02 09:00", -999_000), ("2026-01-03", 360_000)], "2026-01-04", 360_000 + 2_000),
]


@pytest.mark.parametrize(("moved", "as_of", "minor"), MOVED)
def test_interest_follows_what_is_drawn(moved: list[tuple[str, int]], as_of: str, minor: int) -> None:
    assert outstanding_minor(facility(360_000, moved, interest=(10_000, "act_360", "2026-01-01")), at(as_of)) == minor


def test_fractions_are_kept_and_rounded_once() -> None:
    """A ten-thousandth of a unit a day: ten thousand days make one unit, not ten thousand."""
    one = facility(360, interest=(1, "act_360", "2026-01-01"))
    assert [outstanding_minor(one, at("2026-01-01") + days * DAY_MS) for days in (1, 10_000, 10_001)] == [361, 361, 362]


@pytest.mark.parametrize(
    ("moved", "interest", "as_of", "then"),
    [
        ([], None, "2026-01-01", ""),
        (DRAWN, None, "2026-01-05 08:59", "2026-01-05 09:00"),
        (DRAWN, None, "2026-01-05 09:00", "2026-01-20 15:00"),
        (DRAWN, None, "2026-01-20 15:00", ""),
        ([], (725, "act_360", "2026-01-01"), "2026-01-03 13:00", "2026-01-04"),
        ([], (725, "act_360", "2026-01-01"), "2026-01-03", "2026-01-04"),
        ([], (725, "act_360", "2026-02-01"), "2026-01-03", "2026-02-02"),
        (DRAWN, (725, "act_360", "2026-01-01"), "2026-01-05 08:00", "2026-01-05 09:00"),
        ([], (0, "act_360", "2026-01-01"), "2026-01-03", ""),
        ([("2026-01-02 09:00", -500_000)], (725, "act_360", "2026-01-01"), "2026-01-02 10:00", "2026-01-03"),
        ([("2026-01-02 09:00", -500_000)], (725, "act_360", "2026-01-01"), "2026-01-03", ""),
    ],
)
def test_when_time_alone_changes_it(
    moved: list[tuple[str, int]], interest: tuple[int, str, str] | None, as_of: str, then: str
) -> None:
    due_ms = next_change_ms(facility(500_000, moved, interest=interest), at(as_of))
    assert due_ms == (at(then) if then else NEVER)


HOURS = st.integers(0, 24 * 70)
START = date(2028, 1, 20)


@st.composite
def facilities(draw: st.DrawFn) -> Facility:
    """A facility that begins on 20 January of a leap year, with movements by the hour."""
    start_ms = at(START.isoformat())
    moved = draw(
        st.lists(st.tuples(HOURS, st.sampled_from(["drawdown", "repayment"]), st.integers(1, 900)), max_size=6)
    )
    movements = [
        Movement(f"m-{number}", kind, start_ms + hour * 3_600_000, amount)
        for number, (hour, kind, amount) in enumerate(moved)
    ]
    movements.sort(key=lambda one: (one.at_ms, one.kind, one.id))
    interest = draw(
        st.none() | st.builds(Interest, st.integers(0, 9_999), st.sampled_from(DAY_COUNTS), st.just(start_ms))
    )
    opening = draw(st.integers(0, 500))
    return Facility("facility", "bank", "exporter", "USD", opening, movements=tuple(movements), interest=interest)


def by_the_day(one: Facility, now_ms: int) -> int:
    """The same hour by hour, with fractions, as somebody would do who keeps the account by hand."""
    terms = one.interest or Interest(0, "act_365", at(START.isoformat()))
    drawn, interest, bearing = one.outstanding_minor, Fraction(0), one.outstanding_minor
    basis = 365 if terms.day_count == "act_365" else 360
    moment_ms = terms.since_ms
    while moment_ms <= now_ms:
        hours = (moment_ms - terms.since_ms) // 3_600_000
        if hours and hours % 24 == 0:
            yesterday = START + timedelta(days=hours // 24 - 1)
            days = _days(terms.day_count, yesterday)
            interest += Fraction(bearing * days * terms.rate_bp, 10_000 * basis)
        for movement in one.movements:
            if movement.at_ms == moment_ms and movement.kind == "drawdown":
                drawn += movement.amount_minor
            elif movement.at_ms == moment_ms:
                paid = min(drawn, movement.amount_minor)
                drawn -= paid
                interest = max(Fraction(0), interest - (movement.amount_minor - paid))
        if hours % 24 == 0:
            bearing = drawn
        moment_ms += 3_600_000
    return ceil(drawn + interest)


def _days(day_count: str, one: date) -> int:
    """Days of a day in a story that begins on the 20th: the 31st of a month is none, the last of February the rest."""
    following = one + timedelta(days=1)
    if day_count != "thirty_360":
        return 1
    if following.day == 31:
        return 1
    if one.day == 31:
        return 0
    return 31 - one.day if following.day == 1 else 1


@given(one=facilities(), hour=HOURS)
def test_it_is_what_is_reckoned_by_the_day(one: Facility, hour: int) -> None:
    now_ms = at(START.isoformat()) + hour * 3_600_000 + 1_234
    assert outstanding_minor(one, now_ms) == by_the_day(one, now_ms)


@given(one=facilities(), hour=HOURS)
def test_up_to_the_next_change_it_stays(one: Facility, hour: int) -> None:
    now_ms = at(START.isoformat()) + hour * 3_600_000
    due_ms = next_change_ms(one, now_ms)
    assert due_ms > now_ms
    last_ms = min(due_ms, now_ms + 90 * DAY_MS) - 1
    assert outstanding_minor(one, last_ms) == outstanding_minor(one, now_ms)
