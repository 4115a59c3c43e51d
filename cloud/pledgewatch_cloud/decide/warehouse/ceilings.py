"""Ceilings: what bins are kept to hold at most, once a count has missed goods of their pool, until they are counted.

What a count has missed must not come back by a stock system's word about bins that nobody has looked into. So after a
count that finds less than was kept, or than the stock system has, of every other key of the pool there is kept at most
what had been heard of it before the count was made, and the goods that came and went since: what was received or
returned, shipped or sold at a later moment, and what was moved, which adds to one bin what it takes from another. What
the stock system corrects, and what it tells late of the time before, adds nothing. A count of the key itself lifts its
ceiling. As long as the pool is short of what receipts claim since then, which is a *loss* (see losses), what comes in
adds nothing either until it was counted: of any bin, also one that was counted before it came.

It follows from the counts and from when each row was heard, so it does not matter how long a count took to be handed
in, what was booked meanwhile, or which of two came first. A count that is older than any that may still come is worked
out for good.

A pool has its ceiling for as long as any count of it is known; each later count of the pool sets it anew, so what is
told late of the time between two counts adds nothing either.

What is about moments before the stock book's horizon is folded, so counts, ceilings and what has left are carried over
it: what was kept at the horizon stands for all that was before.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from pledgewatch_cloud.decide.receipts.life import SKEW_MS
from pledgewatch_cloud.decide.receipts.receipt_book import ReceiptBook
from pledgewatch_cloud.decide.shelves import Shelves
from pledgewatch_cloud.decide.stock.rows import StockKey
from pledgewatch_cloud.decide.stock.stock_book import StockBook
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.decide.warehouse.counting import OLDEST_MS, Count
from pledgewatch_cloud.decide.warehouse.course import (
    Ceiling,
    Counted,
    Course,
    Gone,
    cap_of,
    known_milli,
    unbooked_milli,
)
from pledgewatch_cloud.decide.warehouse.gates import Departure, Strays
from pledgewatch_cloud.decide.warehouse.shortfall import Counts, Kept, Pool
from pledgewatch_cloud.decide.warehouse.watch import Watch

MOMENTS_MAX = 64
"""Counts of a pool that may still change what came of others; of more, the oldest are worked out for good."""


def gone_of(departures: Iterable[Departure]) -> dict[StockKey, list[Gone]]:
    """What has left by name, by key, the earliest first."""
    found: dict[StockKey, list[Gone]] = {}
    for one in departures:
        found.setdefault(one.of.key, []).append(Gone(one.since_ms, one.milli))
    for some in found.values():
        some.sort()
    return found


def unbooked_of(stock: StockBook, departures: Iterable[Departure], at_ms: int) -> dict[Departure, int]:
    """How much of each departure the stock system has not booked out by a moment, in thousandths: it has booked out the
    earliest of a key first. All departures of a key must be among them."""
    by_key: dict[StockKey, list[Departure]] = {}
    for one in sorted(departures, key=lambda each: (each.since_ms, each.receipt, each.line, each)):
        by_key.setdefault(one.of.key, []).append(one)
    found = {}
    for key, some in by_key.items():
        gone = [Gone(one.since_ms, one.milli) for one in some]
        booked_milli = sum(one.milli for one in some) - unbooked_milli(stock, key, gone, at_ms)
        for one in some:
            found[one] = one.milli - min(booked_milli, one.milli)
            booked_milli -= min(booked_milli, one.milli)
    return found


def after_count(
    watch: Watch, before: Watch, count: Count, stock: StockBook, gone: Mapping[StockKey, Sequence[Gone]], now_ms: int
) -> Watch:
    """The watch after a count that is heard now, with its ceilings and what its bins owe: `watch` has it, `before` has
    not."""
    at_ms = min(count.at_ms, now_ms)
    after = {pool: one for pool, one in before.ceilings.items() if any(True for _ in watch.counts.keys_of(pool))}
    for pool in sorted({Pool.of(key) for key, _ in count.rows}):
        by_key = {
            key: [
                *_short_ms(
                    stock,
                    key,
                    Counted(at_ms, count.digest, milli, count.by, count.at_ms, at_ms, milli),
                    before.counts.get(key),
                    gone.get(key, ()),
                )
            ]
            for key, milli in count.rows
            if Pool.of(key) == pool
        }
        short = [moment for some in by_key.values() for moment in some]
        known = before.ceilings.get(pool, Ceiling())
        moments = tuple(sorted({*known.moments, (at_ms, count.digest)}))
        one = known._replace(moments=moments, short_ms=min([known.short_ms, *short]))
        missed = {key for key, some in by_key.items() if some}
        one = one._replace(missed=frozenset({*(known.missed - by_key.keys()), *missed}))
        late = [moment for moment, _ in moments if moment < now_ms - OLDEST_MS - SKEW_MS]
        late += [moment for moment, _ in moments[:-MOMENTS_MAX]]
        kept = Kept(stock, watch.counts, Shelves[Course](), gone, {})
        after[pool] = _worked_out(pool, one, kept, gone, max(late)) if late else one
    counts = dict(watch.counts.of)
    for key, _ in count.rows:
        if counts[key].digest == count.digest:
            known = before.ceilings.get(Pool.of(key), Ceiling())
            owed_milli = _owed_milli(stock, key, before.counts.get(key), gone.get(key, ()), known, at_ms)
            counts[key] = counts[key]._replace(debt_milli=owed_milli)
    return replace(watch, counts=Counts(counts), ceilings=after)


def _owed_milli(
    stock: StockBook, key: StockKey, before: Counted | None, gone: Sequence[Gone], known: Ceiling, at_ms: int
) -> int:
    """By how much less than nothing was kept of a key under its ceiling when it was counted, by what had been heard."""
    early = tuple(moment for moment in known.moments if moment[0] < at_ms)
    cap = cap_of(stock, key, before, gone, known._replace(moments=(*early, (at_ms, ""))))
    return max(0, -cap[1]) if cap is not None and cap[0] == at_ms else 0


def _short_ms(
    stock: StockBook, key: StockKey, count: Counted, other: Counted | None, gone: Sequence[Gone]
) -> Iterator[int]:
    """The moments of counts of a key that missed goods: of one that is heard now, and of one that is known, whichever
    was made first. Each is held against what had been heard before it was made."""
    if count.milli < known_milli(stock, key, None, (), count.at_ms):
        yield count.at_ms
    if other is not None:
        first, then = sorted((count, other), key=lambda one: one.order)
        if then.milli < known_milli(stock, key, first, gone, then.at_ms):
            yield then.at_ms


def _worked_out(
    pool: Pool, one: Ceiling, kept: Kept, gone: Mapping[StockKey, Sequence[Gone]], until_ms: int
) -> Ceiling:
    """A ceiling with what came of counts up to a moment worked out for good."""
    early = one._replace(moments=tuple(each for each in one.moments if each[0] <= until_ms))
    later = tuple(each for each in one.moments if each[0] > until_ms)
    if not early.set_ms:
        return one._replace(moments=later)
    caps = {key: cap_of(kept.stock, key, kept.counts.get(key), gone.get(key, ()), early) for key in kept.keys_of(pool)}
    known = {key: cap[1] for key, cap in caps.items() if cap is not None and cap[1]}
    return one._replace(moments=later, from_ms=early.set_ms[-1], kept=known)


def _before_folding(
    pool: Pool, one: Ceiling, kept: Kept, gone: Mapping[StockKey, Sequence[Gone]], horizon_ms: int
) -> Ceiling:
    """A ceiling before a stock book is folded: what was heard late of the time that is folded would be known by then
    after it."""
    moments = one.set_ms
    heard_ms = max((kept.stock.heard_of_before(key, horizon_ms) for key in kept.keys_of(pool)), default=-NEVER)
    if moments and (moments[0] < horizon_ms or heard_ms >= moments[0]):
        return _worked_out(pool, one, kept, gone, moments[-1])
    return one


def carried(watch: Watch, receipts: ReceiptBook, stock: StockBook, horizon_ms: int) -> Watch:
    """The watch once a stock book is folded up to a horizon; `stock` is what it was before."""
    if horizon_ms <= stock.horizon_ms:
        return watch
    assert all(receipts.get(name) is not None for name, _ in watch.gone), (
        "goods have left of a receipt that is not known"
    )
    last_ms = horizon_ms - 1
    gone = gone_of(watch.departures())
    bare = Kept(stock, watch.counts, Shelves[Course](), gone, {})
    known = {pool: _before_folding(pool, one, bare, gone, horizon_ms) for pool, one in watch.ceilings.items()}
    kept = Kept(stock, watch.counts, Shelves[Course](), gone, known)
    counts = {
        key: one._replace(from_ms=last_ms, from_milli=bare.milli(key, last_ms), debt_milli=kept.course(key).debt_milli)
        if one.from_ms < last_ms
        else one
        for key, one in watch.counts.of.items()
    }
    ceilings = {
        pool: one._replace(
            from_ms=last_ms, kept={key: milli for key in kept.keys_of(pool) if (milli := kept.at(key, one, last_ms))}
        )
        if -NEVER < one.from_ms < last_ms
        else one
        for pool, one in known.items()
    }
    unbooked = unbooked_of(stock, (one for one in watch.departures() if one.since_ms < horizon_ms), last_ms)
    after = {one: one._replace(booked_milli=one.booked_milli + one.milli - milli) for one, milli in unbooked.items()}
    departures = {place: after.get(one, one) for place, one in watch.gone.items()}
    # What was booked out before the horizon is gone for good, so a stray of which that is all is no more.
    strays = Strays(one for one in (after.get(each, each) for each in watch.strays.of) if one.milli)
    return replace(watch, counts=Counts(counts), ceilings=ceilings, gone=departures, strays=strays)
