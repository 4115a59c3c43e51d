"""Days and months of UTC, and what happened to stock in one: the lines of a roll-forward."""

from datetime import timedelta
from functools import lru_cache
from typing import NamedTuple

from pledgewatch_cloud.decide.moments import EPOCH

DAY_MS = 86_400_000


class Period(NamedTuple):
    """A day or month of UTC: what there was, what changed it, what there is; all in thousandths of the unit.

    `moved` is what came from other bins less what went to them; `unreconciled` is what counts found more (or, negative,
    less) than all else explains.
    """

    name: str
    from_ms: int
    until_ms: int
    opening: int
    received: int
    shipped: int
    sold: int
    returned: int
    adjusted: int
    moved: int
    unreconciled: int
    closing: int


def period_of(name: str, from_ms: int, until_ms: int, opening: int, columns: list[int]) -> Period:
    """A period of a name, from its opening and what changed it, by kind of row and last what is unreconciled."""
    received, shipped, sold, returned, adjusted, moved, unreconciled = columns
    closing = opening + sum(columns)
    return Period(
        *(name, from_ms, until_ms, opening, received, -shipped, -sold, returned, adjusted, moved, unreconciled, closing)
    )


def frame_of(at_ms: int, length: str) -> tuple[str, int, int]:
    """The name of the period that a moment is in, its beginning and its end. Raises ValueError for another length."""
    return _frame_of_day(at_ms // DAY_MS, length)


@lru_cache(maxsize=1_000)
def _frame_of_day(number: int, length: str) -> tuple[str, int, int]:
    """The same by the number of a day: all keys have the same days."""
    day = EPOCH + timedelta(days=number)
    if length == "day":
        return f"{day:%Y-%m-%d}", number * DAY_MS, (number + 1) * DAY_MS
    if length != "month":
        raise ValueError(f"a period is a day or a month, not {length!r}")
    first = day.replace(day=1)
    then = (first + timedelta(days=31)).replace(day=1)
    return f"{first:%Y-%m}", (first - EPOCH).days * DAY_MS, (then - EPOCH).days * DAY_MS
