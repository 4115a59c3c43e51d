"""The course of goods: what is kept of a key from moment to moment, by the stock system, a count, and what has left.

    not counted      what the stock system has
    counted          what was counted, and the goods that came and went since; of corrections only what takes away more
                     than the count had found missing already
    with a ceiling   not more than was kept at its moment, and the goods that came and went since

What has left by name is not kept any more, whatever the stock system says, until that has booked it out: what was
shipped, sold, or found less by its own counts of the key at or after the moment at which goods left is taken for them,
the earliest first. A count from after they left has not found them, so it says all of that already.

A ceiling is what the stock system may say of a bin that nobody has counted since goods of the pool were missed by a
count: its corrections, and what it tells late of the time before, would put goods there that nobody has seen.
"""

from array import array
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pledgewatch_cloud.decide.stock.rows import StockKey
from pledgewatch_cloud.decide.stock.stock_book import StockBook
from pledgewatch_cloud.decide.stretches import NEVER

_BOOKS_OUT = frozenset({"shipped", "sold", "unreconciled"})
_CORRECTS = frozenset({"adjusted", "unreconciled"})
# Moments are held in 64 bits; a quantity may need more than that nowhere, for rows and their quantities are bounded.
_BEFORE_ALL_MS = -NEVER


class Counted(NamedTuple):
    """The newest count of a key: when, by which document, how much, and by whom. `at_ms` is never later than when it
    was heard; `said_ms` is its own word. `from_ms` and `from_milli` are the same count carried to the stock book's
    horizon, with what came and went until then."""

    at_ms: int
    digest: str
    milli: int
    by: str
    said_ms: int
    from_ms: int
    from_milli: int

    @property
    def order(self) -> tuple[int, str]:
        """What counts of one key are ordered by."""
        return self.said_ms, self.digest


class Ceiling(NamedTuple):
    """What was kept of the keys of a pool at the moment of a count that missed goods of it; of others nothing."""

    at_ms: int
    kept: Mapping[StockKey, int]


class Gone(NamedTuple):
    """Goods of a key that left by name: since when, and how much the stock system had not booked out then."""

    at_ms: int
    milli: int


class Course:
    """What is kept of a key as a function of time. It changes at `moments`."""

    __slots__ = ("levels", "moments", "opening", "told")

    def __init__(self, opening: int, moments: "array[int]", levels: "array[int]", told: "array[int]") -> None:
        """`told` is the same without a ceiling; the same object where there is none."""
        self.opening, self.moments, self.levels, self.told = opening, moments, levels, told

    def milli(self, at_ms: int) -> int:
        """What was kept at a moment, all that happened at it included; below nothing where more went than ever came."""
        place = bisect_right(self.moments, at_ms)
        return self.levels[place - 1] if place else self.opening

    def told_milli(self, at_ms: int) -> int:
        """What would be kept without a ceiling."""
        place = bisect_right(self.moments, at_ms)
        return self.told[place - 1] if place else self.opening

    def after(self, at_ms: int) -> list[tuple[int, int]]:
        """What changes after a moment: when, and by how much."""
        level, found = self.milli(at_ms), []
        for place in range(bisect_right(self.moments, at_ms), len(self.moments)):
            found.append((self.moments[place], self.levels[place] - level))
            level = self.levels[place]
        return found


class _Point(NamedTuple):
    """Sums up to a moment: of goods that came and went, of corrections, and what has left and is not booked out."""

    goods: int
    corrections: int
    left: int


def course_of(
    stock: StockBook, key: StockKey, counted: Counted | None, gone: Sequence[Gone], ceiling: Ceiling | None
) -> Course:
    """The course of a key. `gone` is what has left of it, by when."""
    opening, points = _points(stock, key, counted, gone, ceiling)
    if counted is None:
        levels = {at_ms: opening + one.goods + one.corrections - one.left for at_ms, one in points.items()}
        begin = opening
    else:
        base = points[counted.from_ms]
        gap = min(0, counted.from_milli - opening - base.goods - base.corrections)
        begin = counted.from_milli - base.goods + base.left
        levels = {
            at_ms: counted.from_milli
            + (one.goods - base.goods)
            - (one.left - base.left)
            + (min(0, one.corrections - base.corrections - gap) if at_ms >= counted.from_ms else 0)
            for at_ms, one in points.items()
        }
    moments, told = array("q", levels), array("q", levels.values())
    if ceiling is None or (counted is not None and counted.at_ms >= ceiling.at_ms):
        return Course(begin, moments, told, told)
    base, kept = points[ceiling.at_ms], ceiling.kept.get(key, 0)
    capped = [
        min(level, kept + (points[at_ms].goods - base.goods) - (points[at_ms].left - base.left))
        if at_ms >= ceiling.at_ms
        else level
        for at_ms, level in levels.items()
    ]
    return Course(begin, moments, array("q", capped), told)


def unbooked_milli(stock: StockBook, key: StockKey, gone: Sequence[Gone], at_ms: int) -> int:
    """How much of what has left of a key the stock system has not booked out by a moment."""
    left = 0
    for moment, one in _points(stock, key, None, gone, None)[1].items():
        if moment > at_ms:
            break
        left = one.left
    return left


def _points(
    stock: StockBook, key: StockKey, counted: Counted | None, gone: Sequence[Gone], ceiling: Ceiling | None
) -> tuple[int, dict[int, _Point]]:
    """What was folded of a key, and the sums at every moment that matters, in order."""
    opening, story = stock.story(key)
    marks = [(one.at_ms, 0, "gone", one.milli) for one in gone]
    marks += [(counted.from_ms, 1, "", 0)] if counted else []
    marks += [(ceiling.at_ms, 1, "", 0)] if ceiling else []
    every = [(at_ms, 1, kind, milli) for at_ms, kind, milli in story]
    if marks:
        every = sorted([*every, *marks], key=lambda one: one[:2])
    goods = corrections = left = 0
    points: dict[int, _Point] = {}
    for at_ms, _, kind, milli in every:
        if kind == "gone":
            left += milli
        elif kind in _CORRECTS:
            corrections += milli
        else:
            goods += milli
        if kind in _BOOKS_OUT and milli < 0:
            left = max(0, left + milli)
        points[at_ms] = _Point(goods, corrections, left)
    return opening, points
