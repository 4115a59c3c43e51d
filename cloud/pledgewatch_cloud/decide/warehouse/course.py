"""The course of goods: what is kept of a key from moment to moment, by the stock system, a count, and what has left.

    not counted      what the stock system has
    counted          what was counted, and the goods that came and went since; of corrections only what takes away more
                     than the count had found missing already
    with a ceiling   not more than was kept at its moment, and the goods that came and went since
    in a loss        without what came in while it was open, until the bin is counted

What has left by name is not kept any more, whatever the stock system says, until that has booked it out as shipped or
sold. The goods of a key cannot be told apart, so what was shipped or sold at or after the moment at which goods left is
taken for others as long as there are any by the book: only what brings the book below what has left books it out, the
earliest first. What was moved elsewhere since is still somewhere, so it counts as in the book. A correction or a return
that puts goods back puts back what was booked out, as far as it goes; a correction that takes goods away books nothing
out, for another would put them into another bin. A count from after they left has not found them, so it says all of
that already.

A ceiling is what the stock system may say of a bin that nobody has counted since goods of the pool were missed by a
count: its corrections, and what it tells late of the time before, would put goods there that nobody has seen. So would
a delivery that is told while that loss is open, or a move: it counts once somebody has counted it. What leaves then is
taken from what is known, and only what goes beyond that from what came in; what is moved on is first what came in, and
after the loss none of it.

A count that finds nothing in a bin of which the stock system has less than nothing has found nobody's goods: what was
booked out of the wrong bin is a *debt* of the others.
"""

from array import array
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple

from pledgewatch_cloud.decide.stock.rows import StockKey
from pledgewatch_cloud.decide.stock.stock_book import StockBook
from pledgewatch_cloud.decide.stretches import NEVER

_CORRECTS = frozenset({"adjusted", "unreconciled"})
_PUTS_BACK = _CORRECTS | {"returned"}
_COMES = frozenset({"received", "returned", "moved"})
_LEAVES = frozenset({"shipped", "sold"})
Span = tuple[int, int]
"""Since when and until when; until NEVER while it lasts."""
# Moments are held in 64 bits; a quantity may need more than that nowhere, for rows and their quantities are bounded.
_BEFORE_ALL_MS = -NEVER


class Counted(NamedTuple):
    """The newest count of a key: when, by which document, how much, and by whom. `at_ms` is never later than when it
    was heard; `said_ms` is its own word. `from_ms` and `from_milli` are the same count carried to the stock book's
    horizon, with what came and went until then, and `debt_milli` what its bin owed by then."""

    at_ms: int
    digest: str
    milli: int
    by: str
    said_ms: int
    from_ms: int
    from_milli: int
    debt_milli: int = 0

    @property
    def order(self) -> tuple[int, str]:
        """What counts of one key are ordered by."""
        return self.said_ms, self.digest


class Ceiling(NamedTuple):
    """The counts of a pool, by moment and digest, and the moment of the earliest that missed goods (`short_ms`). From
    then on each sets the ceiling anew. What came of those up to `from_ms` is worked out: `kept` then, else nothing.
    `missed`: the keys whose newest count has missed goods. `claimed`: since when how much was claimed of the pool, and
    `heard`: when it was known to be short. `short`: when it was short, as follows from all that (see losses).
    """

    moments: tuple[tuple[int, str], ...] = ()
    short_ms: int = NEVER
    from_ms: int = -NEVER
    kept: Mapping[StockKey, int] = {}
    missed: frozenset[StockKey] = frozenset()
    claimed: tuple[tuple[int, int], ...] = ()
    heard: tuple[Span, ...] = ()
    short: tuple[Span, ...] = ()

    @property
    def losses(self) -> tuple[Span, ...]:
        """When a loss was open."""
        row: list[Span] = []
        for from_ms, until_ms in sorted((*self.short, *self.heard)):
            if row and from_ms <= row[-1][1]:
                row[-1] = row[-1][0], max(row[-1][1], until_ms)
            else:
                row.append((from_ms, until_ms))
        return tuple(row)

    @property
    def is_short(self) -> bool:
        """Whether a loss is open."""
        return any(until_ms == NEVER for _, until_ms in self.losses)

    @property
    def set_ms(self) -> list[int]:
        """When it was set anew, of what is not worked out yet."""
        return sorted({at_ms for at_ms, _ in self.moments if at_ms >= self.short_ms and at_ms > self.from_ms})


class Gone(NamedTuple):
    """Goods of a key that left by name: since when, and how much the stock system had not booked out then."""

    at_ms: int
    milli: int


class Course:
    """What is kept of a key as a function of time. It changes at `moments`."""

    __slots__ = ("debt_milli", "levels", "may_lose", "moments", "opening", "told")

    def __init__(
        self,
        opening: int,
        moments: "array[int]",
        levels: "array[int]",
        told: "array[int]",
        *,
        may_lose: bool = False,
        debt_milli: int = 0,
    ) -> None:
        """`told` is the same without a ceiling; the same object where there is none. `may_lose`: it would be another
        one with other losses. `debt_milli`: by how much less than nothing the stock system had when it was counted."""
        self.opening, self.moments, self.levels, self.told = opening, moments, levels, told
        self.may_lose, self.debt_milli = may_lose, debt_milli

    def milli(self, at_ms: int) -> int:
        """What was kept at a moment, all that happened at it included; below nothing where more went than ever came."""
        place = bisect_right(self.moments, at_ms)
        return self.levels[place - 1] if place else self.opening

    def told_milli(self, at_ms: int) -> int:
        """What would be kept without a ceiling."""
        place = bisect_right(self.moments, at_ms)
        return self.told[place - 1] if place else self.opening

    def differs_ms(self, other: "Course") -> int:
        """The first moment at which another course may be another; NEVER where it is the same."""
        if self is other:
            return NEVER
        if (self.opening, self.may_lose, self.debt_milli) != (other.opening, other.may_lose, other.debt_milli):
            return -NEVER
        ours, theirs = (zip(one.moments, one.levels, one.told, strict=True) for one in (self, other))
        for one, two in zip_longest(ours, theirs):
            if one != two:
                return min(each[0] for each in (one, two) if each is not None)
        return NEVER

    def after(self, at_ms: int) -> list[tuple[int, int]]:
        """What changes after a moment: when, and by how much."""
        level, found = self.milli(at_ms), []
        for place in range(bisect_right(self.moments, at_ms), len(self.moments)):
            found.append((self.moments[place], self.levels[place] - level))
            level = self.levels[place]
        return found


NOTHING = Course(0, *(array("q") for _ in range(3)))
"""The course of a key that nothing is known of."""


class _Point(NamedTuple):
    """Sums up to a moment: of goods that came and went, of corrections, and what has left and is not booked out."""

    goods: int
    corrections: int
    left: int


def course_of(
    stock: StockBook, key: StockKey, counted: Counted | None, gone: Sequence[Gone], ceiling: Ceiling | None
) -> Course:
    """The course of a key. `gone` is what has left of it, by when."""
    cap = cap_of(stock, key, counted, gone, ceiling) if ceiling is not None else None
    begin, levels, points = _levels(stock, key, counted, gone, [cap[0]] if cap else [])
    moments, told = array("q", levels), array("q", levels.values())
    debt_milli = _debt_milli(stock, key, counted)
    may_lose = ceiling is not None and _has_come(stock, key, counted, ceiling.short_ms)
    unseen = _unseen(stock, key, counted, ceiling, levels) if ceiling is not None else {}
    if cap is None and not any(unseen.values()):
        return Course(begin, moments, told, told, may_lose=may_lose, debt_milli=debt_milli)
    seen = [
        min(level - unseen[at_ms], _capped(cap, points, unseen, at_ms))
        if cap and at_ms >= cap[0]
        else level - unseen[at_ms]
        for at_ms, level in levels.items()
    ]
    return Course(begin, moments, array("q", seen), told, may_lose=may_lose, debt_milli=debt_milli)


def cap_of(
    stock: StockBook, key: StockKey, counted: Counted | None, gone: Sequence[Gone], ceiling: Ceiling
) -> tuple[int, int] | None:
    """The newest moment at which a ceiling was set for a key, and how much was known of it then; None where it was
    counted since."""
    counted_ms = counted.at_ms if counted is not None else -NEVER
    cap = (ceiling.from_ms, ceiling.kept.get(key, 0)) if ceiling.from_ms > counted_ms else None
    for at_ms in ceiling.set_ms:
        if at_ms > counted_ms:
            marks = [at_ms, cap[0]] if cap else [at_ms]
            _, levels, points = _levels(stock, key, counted, gone, marks, at_ms)
            unseen = _unseen(stock, key, counted, ceiling, levels, at_ms)
            milli = levels[at_ms] - unseen[at_ms]
            cap = at_ms, min(milli, _capped(cap, points, unseen, at_ms)) if cap else milli
    return cap


def _capped(cap: tuple[int, int], points: Mapping[int, _Point], unseen: Mapping[int, int], at_ms: int) -> int:
    """What a ceiling lets a key have at a later moment."""
    since_ms, kept = cap
    here, base = points[at_ms], points[since_ms]
    return kept + (here.goods - base.goods) - (here.left - base.left) - (unseen[at_ms] - unseen[since_ms])


def _debt_milli(stock: StockBook, key: StockKey, counted: Counted | None) -> int:
    """By how much less than nothing the stock system had of a key when it was counted, or was kept of it under its
    ceiling: by what had been heard then, or by what was heard since, whichever is more. What is told late puts nothing
    right."""
    if counted is None:
        return 0
    if counted.from_ms > counted.at_ms:
        return counted.debt_milli
    least_milli = -counted.debt_milli
    for known_ms in (None, counted.at_ms):
        opening, story = stock.story(key, known_ms)
        least_milli = min(least_milli, opening + sum(milli for at_ms, _, milli in story if at_ms <= counted.at_ms))
    return -least_milli


def kept_at(
    stock: StockBook, key: StockKey, counted: Counted | None, gone: Sequence[Gone], ceiling: Ceiling, at_ms: int
) -> int:
    """What is kept of a key at a moment under the ceilings that were set by then."""
    early = ceiling._replace(moments=tuple(one for one in ceiling.moments if one[0] <= at_ms))
    return course_of(stock, key, counted, gone, early).milli(at_ms)


def _has_come(stock: StockBook, key: StockKey, counted: Counted | None, since_ms: int) -> bool:
    """Whether anything came in after a moment that was not counted since."""
    since_ms = max(since_ms, counted.at_ms) if counted is not None else since_ms
    return any(kind in _COMES and milli > 0 and at_ms > since_ms for at_ms, kind, milli in stock.story(key)[1])


def _unseen(
    stock: StockBook,
    key: StockKey,
    counted: Counted | None,
    ceiling: Ceiling,
    levels: Mapping[int, int],
    known_ms: int | None = None,
) -> dict[int, int]:
    """How much of what is told of a key at each moment came in while a loss was open, and was not counted since."""
    counted_ms = counted.at_ms if counted is not None else -NEVER
    came, went, moved, losses = dict[int, int](), dict[int, int](), dict[int, int](), ceiling.losses
    for at_ms, kind, milli in stock.story(key, known_ms)[1] if losses else ():
        is_loss = at_ms > counted_ms and any(from_ms < at_ms <= until_ms for from_ms, until_ms in losses)
        if is_loss and kind in _COMES and milli > 0:
            came[at_ms] = came.get(at_ms, 0) + milli
        elif is_loss and kind == "moved":
            moved[at_ms] = moved.get(at_ms, 0) - milli
        elif kind in _LEAVES:
            went[at_ms] = went.get(at_ms, 0) - milli
    unseen, found = 0, dict[int, int]()
    for at_ms, level in levels.items():
        unseen += came.get(at_ms, 0)
        unseen -= min(unseen, moved.get(at_ms, 0))
        unseen -= min(unseen, went.get(at_ms, 0), max(0, unseen - level))
        found[at_ms] = unseen
    return found


def known_milli(stock: StockBook, key: StockKey, counted: Counted | None, gone: Sequence[Gone], at_ms: int) -> int:
    """What was kept of a key at a moment, by what had been heard before it."""
    return _levels(stock, key, counted, gone, [at_ms], at_ms)[1][at_ms]


def _levels(
    stock: StockBook,
    key: StockKey,
    counted: Counted | None,
    gone: Sequence[Gone],
    marks: Sequence[int],
    known_ms: int | None = None,
) -> tuple[int, dict[int, int], dict[int, _Point]]:
    """What is kept of a key without a ceiling: before all, and with the sums at every moment that matters, at `marks`
    too. `known_ms`: only by what of the stock system was heard before that moment."""
    opening, points = _points(stock, key, gone, [*marks, counted.from_ms] if counted else marks, known_ms)
    if counted is None:
        return (
            opening,
            {at_ms: opening + one.goods + one.corrections - one.left for at_ms, one in points.items()},
            points,
        )
    base = points[counted.from_ms]
    gap = min(0, counted.from_milli - opening - base.goods - base.corrections)
    levels = {
        at_ms: counted.from_milli
        + (one.goods - base.goods)
        - (one.left - base.left)
        + (min(0, one.corrections - base.corrections - gap) if at_ms >= counted.from_ms else 0)
        for at_ms, one in points.items()
    }
    return counted.from_milli - base.goods + base.left, levels, points


def unbooked_milli(stock: StockBook, key: StockKey, gone: Sequence[Gone], at_ms: int) -> int:
    """How much of what has left of a key the stock system has not booked out by a moment."""
    left = 0
    for moment, one in _points(stock, key, gone, ())[1].items():
        if moment > at_ms:
            break
        left = one.left
    return left


def _points(
    stock: StockBook, key: StockKey, gone: Sequence[Gone], marks: Sequence[int], known_ms: int | None = None
) -> tuple[int, dict[int, _Point]]:
    """What was folded of a key, and the sums at every moment that matters, in order."""
    opening, story = stock.story(key, known_ms)
    said = [(one.at_ms, 0, "gone", one.milli) for one in gone] + [(at_ms, 1, "", 0) for at_ms in marks]
    every = [(at_ms, 1, kind, milli) for at_ms, kind, milli in story]
    if said:
        every = sorted([*every, *said], key=lambda one: one[:2])
    goods = corrections = left = booked = elsewhere = 0
    points: dict[int, _Point] = {}
    for at_ms, _, kind, milli in every:
        if kind == "gone":
            left += milli
        elif kind in _CORRECTS:
            corrections += milli
        else:
            goods += milli
        if kind == "moved" and milli < 0 and left:
            elsewhere -= milli
        there = max(0, opening + goods + corrections + elsewhere)
        change = 0
        if kind in _LEAVES and milli < 0:
            change = max(milli, min(0, there - left))
        elif kind in _PUTS_BACK and milli > 0:
            change = min(milli, booked)
        left, booked = left + change, booked - change
        points[at_ms] = _Point(goods, corrections, left)
    return opening, points
