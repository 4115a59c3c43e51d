"""What is owed on a facility at a moment: what is drawn, and simple interest on it.

    outstanding = drawn + interest accrued
    interest    = Σ over whole UTC days of (drawn at the start of the day × days of the day ÷ basis) × rate

Drawn is the facility's opening amount, as of the beginning of its interest where it has one, with the movements whose
moment has come. Interest is not compounded: what has accrued bears none. It accrues by whole days, at the midnight that
ends each, for the days that begin at `since` or later; whoever draws at noon pays from the next midnight on, whoever
repays at noon pays for that day.

Day counts, as ISDA's 2006 Definitions name them, section 4.16: `act_360` is (e) Actual/360, `act_365` (d) Actual/365
(Fixed), `thirty_360` (f) 30/360, the bond basis, whose days between two dates y/m/d are

    360 × (y2 − y1) + 30 × (m2 − m1) + (d2 − d1),   d1 = 31 becoming 30, d2 = 31 becoming 30 where d1 is 30 or was 31

There the days of a day are those from the beginning of interest to its end less those to its start, so that any number
of days together are what a banker counts from the one date to the other: none on a 31st, three on February 28th.

A repayment pays what is drawn first, then interest that has accrued. What goes beyond is no loan of the borrower's to
the bank: it counts for nothing, and nobody ever owes less than 0. All is summed as whole numbers over one divisor and
rounded up to a minor unit once, at the end.
"""

from datetime import date
from typing import NamedTuple

from pledgewatch_cloud.decide.items.facilities import Facility, Interest, Movement
from pledgewatch_cloud.decide.money import BASIS_POINTS
from pledgewatch_cloud.decide.stretches import NEVER

DAY_MS = 86_400_000
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_BASIS_DAYS = {"act_360": 360, "act_365": 365, "thirty_360": 360}
_NO_INTEREST = Interest(0, "act_365", 0)


class _Account(NamedTuple):
    """A loan while its movements are followed: what is drawn; what was at the start of the day `day`, up to which
    interest is accrued; and the interest, in minor units times days times basis points."""

    drawn: int
    bearing: int
    day: int
    interest: int


def outstanding_minor(facility: Facility, now_ms: int) -> int:
    """What is owed as of now, in minor units, rounded up."""
    terms = facility.interest or _NO_INTEREST
    account = _followed(facility, now_ms)
    return -(-(account.drawn * _divisor(terms) + account.interest) // _divisor(terms))


def next_change_ms(facility: Facility, now_ms: int) -> int:
    """Before this moment time alone changes nothing of what is owed; NEVER where it never will."""
    coming = [one.at_ms for one in facility.movements if one.at_ms > now_ms]
    terms = facility.interest
    account = _followed(facility, now_ms)
    if terms and terms.rate_bp and (account.drawn or account.bearing):
        coming.append((max(now_ms // DAY_MS, _first_day(terms)) + 1) * DAY_MS)
    return min(coming, default=NEVER)


def days_between(day_count: str, first: int, last: int) -> int:
    """The days of a day count from one day to another that is not before it, both in whole days since 1970-01-01."""
    if day_count != "thirty_360":
        return last - first
    one, other = date.fromordinal(first + _EPOCH_ORDINAL), date.fromordinal(last + _EPOCH_ORDINAL)
    one_day = min(one.day, 30)
    other_day = 30 if other.day == 31 and one_day == 30 else other.day
    return 360 * (other.year - one.year) + 30 * (other.month - one.month) + other_day - one_day


def _followed(facility: Facility, now_ms: int) -> _Account:
    terms = facility.interest or _NO_INTEREST
    opening = facility.outstanding_minor
    account = _Account(opening, opening, _first_day(terms), 0)
    for one in facility.movements:
        if one.at_ms <= now_ms:
            account = _moved(_accrued(account, terms, one.at_ms), terms, one)
    return _accrued(account, terms, now_ms)


def _accrued(account: _Account, terms: Interest, to_ms: int) -> _Account:
    """The account with the interest of the days that have ended by a moment."""
    today = to_ms // DAY_MS
    if today <= account.day:
        return account
    first, begun, ended = _first_day(terms), account.day, account.day + 1
    until = [days_between(terms.day_count, first, day) for day in (begun, ended, today)]
    borne = account.bearing * (until[1] - until[0]) + account.drawn * (until[2] - until[1])
    return account._replace(bearing=account.drawn, day=today, interest=account.interest + borne * terms.rate_bp)


def _moved(account: _Account, terms: Interest, one: Movement) -> _Account:
    """The account after a movement; interest has accrued up to it."""
    drawn, interest = account.drawn + one.amount_minor, account.interest
    if one.kind == "repayment":
        drawn = max(0, account.drawn - one.amount_minor)
        beyond = max(0, one.amount_minor - account.drawn)
        interest = max(0, interest - beyond * _divisor(terms))
    is_at_start = one.at_ms <= account.day * DAY_MS
    return account._replace(drawn=drawn, bearing=drawn if is_at_start else account.bearing, interest=interest)


def _first_day(terms: Interest) -> int:
    """The first whole day that bears interest."""
    return -(-terms.since_ms // DAY_MS)


def _divisor(terms: Interest) -> int:
    return BASIS_POINTS * _BASIS_DAYS[terms.day_count]
