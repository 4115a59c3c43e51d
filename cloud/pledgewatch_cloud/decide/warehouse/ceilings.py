"""Ceilings: what bins are kept to hold at most, once a count has missed goods of their pool, until they are counted.

What a count has missed must not come back by a stock system's word about bins that nobody has looked into. So after a
count that finds less than was kept, or than the stock system has, of every other key of the pool there is kept at most
what was known of it when the count was heard, and the goods that came and went since: what was received or returned,
shipped or sold at a later moment, and what was moved, which adds to one bin what it takes from another. What the stock
system corrects, and what it tells late of the time before, adds nothing. A count of the key itself lifts its ceiling.

A pool has its ceiling for as long as any count of it is known; each later count of the pool sets it anew, so what is
told late of the time between two counts adds nothing either.

What is about moments before the stock book's horizon is folded, so counts, ceilings and what has left are carried over
it: what was kept at the horizon stands for all that was before.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pledgewatch_cloud.decide.receipts.receipt_book import ReceiptBook
from pledgewatch_cloud.decide.shelves import Shelves
from pledgewatch_cloud.decide.stock.rows import StockKey
from pledgewatch_cloud.decide.stock.stock_book import StockBook
from pledgewatch_cloud.decide.warehouse.counting import Count
from pledgewatch_cloud.decide.warehouse.course import Ceiling, Course, Gone, unbooked_milli
from pledgewatch_cloud.decide.warehouse.gates import Departure, Strays
from pledgewatch_cloud.decide.warehouse.shortfall import Counts, Kept, Pool
from pledgewatch_cloud.decide.warehouse.watch import Watch


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
    watch: Watch, before: Watch, count: Count, stock: StockBook, gone: Mapping[StockKey, Sequence[Gone]]
) -> Mapping[Pool, Ceiling]:
    """The ceilings after a count: `watch` has it, `before` has not."""
    known = Kept(stock, before.counts, Shelves[Course](), gone, before.ceilings)
    bare = Kept(stock, watch.counts, Shelves[Course](), gone, {})
    taken = {key: one for key, _ in count.rows if (one := watch.counts.get(key)) and one.digest == count.digest}
    after = {pool: one for pool, one in before.ceilings.items() if any(True for _ in watch.counts.keys_of(pool))}
    for pool in sorted({Pool.of(key) for key in taken}):
        here = {key: one for key, one in taken.items() if Pool.of(key) == pool}
        at_ms = next(iter(here.values())).at_ms
        is_short = any(
            one.milli < max(known.milli(key, at_ms), stock.on_hand_milli(key, at_ms)) for key, one in here.items()
        )
        ceiling = before.ceilings.get(pool)
        if ceiling is not None or is_short:
            at_ms = max(at_ms, ceiling.at_ms) if ceiling else at_ms
            after[pool] = _set(at_ms, {key: bare if key in here else known for key in bare.keys_of(pool)}, watch)
    return after


def _set(at_ms: int, said_by: Mapping[StockKey, Kept], watch: Watch) -> Ceiling:
    """The ceiling of a pool as of a moment; `said_by` is what says how much there was of each key."""
    kept = {}
    for key, by in said_by.items():
        counted = watch.counts.get(key)
        if (counted is None or counted.at_ms < at_ms) and (milli := by.milli(key, at_ms)):
            kept[key] = milli
    return Ceiling(at_ms, kept)


def carried(watch: Watch, receipts: ReceiptBook, stock: StockBook, horizon_ms: int) -> Watch:
    """The watch once a stock book is folded up to a horizon; `stock` is what it was before."""
    if horizon_ms <= stock.horizon_ms:
        return watch
    assert all(receipts.get(name) is not None for name, _ in watch.gone), (
        "goods have left of a receipt that is not known"
    )
    last_ms = horizon_ms - 1
    gone = gone_of(watch.departures())
    kept = Kept(stock, watch.counts, Shelves[Course](), gone, watch.ceilings)
    bare = Kept(stock, watch.counts, Shelves[Course](), gone, {})
    counts = {
        key: one._replace(from_ms=last_ms, from_milli=bare.milli(key, last_ms)) if one.from_ms < last_ms else one
        for key, one in watch.counts.of.items()
    }
    ceilings = {
        pool: Ceiling(last_ms, {key: milli for key in kept.keys_of(pool) if (milli := kept.milli(key, last_ms))})
        if one.at_ms < last_ms
        else one
        for pool, one in watch.ceilings.items()
    }
    unbooked = unbooked_of(stock, (one for one in watch.departures() if one.since_ms < horizon_ms), last_ms)
    after = {one: one._replace(booked_milli=one.booked_milli + one.milli - milli) for one, milli in unbooked.items()}
    departures = {place: after.get(one, one) for place, one in watch.gone.items()}
    # What was booked out before the horizon is gone for good, so a stray of which that is all is no more.
    strays = Strays(one for one in (after.get(each, each) for each in watch.strays.of) if one.milli)
    return replace(watch, counts=Counts(counts), ceilings=ceilings, gone=departures, strays=strays)
