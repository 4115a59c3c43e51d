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

What was claimed is known by when it was heard, for acts on receipts are not late.
What was claimed before a count had missed goods is not known: what was claimed when that was heard is taken for it. A
pool that nothing is claimed of any more keeps what was claimed of it last; one of which a count misses goods while
nothing is claimed is short of all there could be, for who issues a receipt on what comes in after goods were lost must
show it.
"""

from collections.abc import Callable, Iterable
from itertools import groupby

from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.decide.warehouse.course import Ceiling, Course, Span

SPANS_MAX = 64
"""Losses of a pool, and changes of what is claimed of it, that are told apart; of more, the oldest are one."""

ALL = NEVER
"""More than there ever is of any goods, in thousandths."""


def claimed(one: Ceiling, milli: int | None, now_ms: int, *, is_missed: bool) -> Ceiling:
    """The ceiling of a pool of which so much is claimed from now on, or nothing (None). `is_missed`: a count that is
    heard now has missed goods."""
    if milli is None:
        if one.claimed and not is_missed:
            return one
        milli = ALL
    if not one.claimed:
        return one._replace(claimed=((-NEVER, milli),))
    if one.claimed[-1][1] == milli:
        return one
    steps = [*(step for step in one.claimed if step[0] < now_ms), (now_ms, milli)]
    while len(steps) > SPANS_MAX:
        (since_ms, first), (_, second), *rest = steps
        steps = [(since_ms, max(first, second)), *rest]
    return one._replace(claimed=tuple(steps))


def heard(one: Ceiling, now_ms: int, *, is_short: bool) -> Ceiling:
    """The ceiling of a pool that is known to be short or not, from now on."""
    if is_short == any(until_ms == NEVER for _, until_ms in one.heard):
        return one
    if is_short:
        return one._replace(heard=_bounded((*one.heard, (now_ms, NEVER))))
    return one._replace(heard=tuple((from_ms, min(until_ms, now_ms)) for from_ms, until_ms in one.heard))


def found(one: Ceiling, courses: Callable[[Ceiling], Iterable[Course]]) -> Ceiling:
    """The ceiling of a pool with its losses. `courses` are those of all its keys under a ceiling. What was worked out
    for good stays as it was found then."""
    begin_ms = max(one.short_ms, one.from_ms)
    early = [(from_ms, min(until_ms, begin_ms)) for from_ms, until_ms in one.losses if from_ms < begin_ms]
    spans = tuple(early) if one.from_ms > one.short_ms else ()
    while True:
        known = one._replace(losses=_together(spans, one.heard))
        since_ms = _first(known, courses(known), begin_ms, is_short=True)
        if since_ms == NEVER:
            return known
        known = one._replace(losses=_together((*spans, (since_ms, NEVER)), one.heard))
        begin_ms = _first(known, courses(known), since_ms, is_short=False)
        spans = _bounded((*spans, (since_ms, begin_ms)))
        if begin_ms == NEVER:
            return known


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


def _together(spans: Iterable[Span], others: Iterable[Span]) -> tuple[Span, ...]:
    """Spans of time of two kinds as one row of them, without what stands twice."""
    row: list[Span] = []
    for from_ms, until_ms in sorted((*spans, *others)):
        if row and from_ms <= row[-1][1]:
            row[-1] = row[-1][0], max(row[-1][1], until_ms)
        else:
            row.append((from_ms, until_ms))
    return tuple(row)


def _bounded(spans: tuple[Span, ...]) -> tuple[Span, ...]:
    """At most so many spans of time: the oldest are taken for one."""
    while len(spans) > SPANS_MAX:
        spans = ((spans[0][0], spans[1][1]), *spans[2:])
    return spans
