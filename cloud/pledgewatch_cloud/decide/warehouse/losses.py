"""Losses: when a pool of which a count has missed goods was short of what its receipts claim.

    by its moments   from a count that has missed goods on, as long as less is kept than is claimed
    as it was heard  from when it was known to be short, by a count or by a zone, until it was known to be so no more

While a loss is open, what comes in covers nothing until somebody has counted it (see course): otherwise a delivery that
nobody saw would end it. So losses follow from what is kept, and what is kept from losses. A moment of a loss changes
only what is kept later, which gives an order in which to find them: the earliest moment at which the pool is short
begins a loss, and with nothing of what comes in after it, the first moment at which it is short no more ends it.

Those by moments are found anew from the newest counts, the stock system's rows and what was claimed when: it does not
matter in which order counts and rows were heard. As a later count of a bin says what was in it since the one before, it
may say that there never was a loss; but what came in while everybody knew of one is not believed for that.

What was claimed is known by when it was heard, for acts on receipts are not late; before a count had missed goods, by
when receipts were issued and ended. A pool that is short when the last claim ends keeps that claim, and one of
which a count misses goods while nothing is claimed is short of all there could be: who issues a receipt on what comes
in after goods were lost must show it.

Of many losses, and of many changes of what is claimed, the oldest are worked out for good: what was kept after them is
what later moments begin with.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import groupby

from pledgewatch_cloud.decide.stock.rows import StockKey
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.decide.warehouse.course import Ceiling, Course

SHORT_MAX = 16
"""Losses of a pool that are found anew at a time: of more, the oldest are worked out for good."""
CLAIMED_MAX = 1_000
"""Changes of what is claimed of a pool that are told apart, likewise."""
HEARD_MAX = 64
"""Times in which a pool was known to be short, likewise."""

ALL = NEVER
"""More than there ever is of any goods, in thousandths."""


def begun(one: Ceiling, claims: Iterable[tuple[int, int]], now_milli: int | None, now_ms: int) -> Ceiling:
    """The ceiling of a pool of which a count has missed goods for the first time, with what was claimed more or less
    since when. `now_milli`: what is claimed now; None where nothing is."""
    steps: dict[int, int] = {}
    milli = 0
    for since_ms, more in sorted(claims):
        milli += more
        steps[since_ms] = milli
    known = [(since_ms, max(0, of)) for since_ms, of in steps.items() if since_ms < now_ms]
    if not known and now_milli is None:
        return one._replace(claimed=((-NEVER, ALL),))
    return one._replace(claimed=((-NEVER, 0), *known, (now_ms, ALL if now_milli is None else now_milli)))


def claimed(one: Ceiling, milli: int | None, now_ms: int, *, is_missed: bool) -> Ceiling:
    """The ceiling of a pool of which so much is claimed from now on, or nothing (None). `is_missed`: a count that is
    heard now has missed goods."""
    if milli is None:
        last_milli = one.claimed[-1][1]
        milli = ALL if is_missed or last_milli == ALL else last_milli if one.is_short else 0
    if one.claimed[-1][1] == milli:
        return one
    return one._replace(claimed=(*(step for step in one.claimed if step[0] < now_ms), (now_ms, milli)))


def heard(one: Ceiling, now_ms: int, *, is_short: bool) -> Ceiling:
    """The ceiling of a pool that is known to be short or not, from now on."""
    if is_short == any(until_ms == NEVER for _, until_ms in one.heard):
        return one
    if is_short:
        return one._replace(heard=(*one.heard, (now_ms, NEVER)))
    return one._replace(heard=tuple((from_ms, min(until_ms, now_ms)) for from_ms, until_ms in one.heard))


def found(one: Ceiling, courses: Callable[[Ceiling], Iterable[Course]], since_ms: int = -NEVER) -> Ceiling:
    """The ceiling of a pool with its losses. `courses` are those of all its keys under a ceiling. Before `since_ms`
    nothing is otherwise than it was when they were found last. What was worked out for good stays as it was."""
    base_ms = max(one.short_ms, one.from_ms)
    begin_ms = max(base_ms, since_ms)
    before = [span for span in one.short if base_ms < span[1] and base_ms < begin_ms]
    spans = tuple(span for span in before if span[1] <= begin_ms)
    cut = next((from_ms for from_ms, until_ms in before if from_ms < begin_ms < until_ms), None)
    while True:
        known = one._replace(short=spans)
        begun_ms = cut if cut is not None else _first(known, courses(known), begin_ms, is_short=True)
        if begun_ms == NEVER:
            return known
        known = one._replace(short=(*spans, (begun_ms, NEVER)))
        begin_ms = _first(known, courses(known), max(begin_ms, begun_ms), is_short=False)
        spans, cut = (*spans, (begun_ms, begin_ms)), None
        if begin_ms == NEVER:
            return known


def settled_ms(one: Ceiling) -> int:
    """Up to when the losses of a pool are worked out for good, for there are too many; where there are not, never."""
    ended = [until_ms for _, until_ms in (*one.short[:-SHORT_MAX], *one.heard[:-HEARD_MAX])]
    steps = [since_ms for since_ms, _ in one.claimed[:-CLAIMED_MAX]]
    return max([*ended, *steps], default=-NEVER)


def settled(one: Ceiling, kept: Mapping[StockKey, int], until_ms: int) -> Ceiling:
    """The ceiling with its losses up to a moment worked out for good; `kept` is what was kept of its keys then."""
    if until_ms <= one.from_ms:  # what came of these is in what is kept from a later moment on
        return one._replace(heard=tuple(span for span in one.heard if span[1] > until_ms))
    last_milli = [milli for since_ms, milli in one.claimed if since_ms <= until_ms][-1]
    steps = ((-NEVER, last_milli), *(step for step in one.claimed if step[0] > until_ms))
    short, told = (
        tuple((max(from_ms, until_ms), to_ms) for from_ms, to_ms in spans if to_ms > until_ms)
        for spans in (one.short, one.heard)
    )
    return one._replace(from_ms=until_ms, kept=kept, claimed=steps, short=short, heard=told)


def _first(one: Ceiling, courses: Iterable[Course], begin_ms: int, *, is_short: bool) -> int:
    """The first moment from one on at which a pool is short of what was claimed of it then, or is not; NEVER where
    there is none."""
    some = [*courses]
    kept = sum(course.milli(begin_ms) for course in some)
    claimed_milli = [milli for since_ms, milli in one.claimed if since_ms <= begin_ms][-1]
    changes = [(at_ms, milli, None) for course in some for at_ms, milli in course.after(begin_ms)]
    steps = [(at_ms, 0, milli) for at_ms, milli in one.claimed if at_ms > begin_ms]
    if (claimed_milli > max(0, kept)) == is_short:
        return begin_ms
    every: list[tuple[int, int, int | None]] = [*changes, *steps]
    for at_ms, together in groupby(sorted(every, key=_moment), key=_moment):
        for _, milli, step in together:
            kept += milli
            claimed_milli = claimed_milli if step is None else step
        if (claimed_milli > max(0, kept)) == is_short:
            return at_ms
    return NEVER


def _moment(one: tuple[int, int, int | None]) -> int:
    return one[0]
