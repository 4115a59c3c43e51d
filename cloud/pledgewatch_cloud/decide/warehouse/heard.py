"""When the goods of lots with electronic receipts were last spoken of: by the stock system, or by who counted them.

A stock system that falls silent, or whose reports find no room any more, says nothing wrong, and receipts go on as they
were. So each lot has the newest moment that anything was said of its pool is about, in whichever bin; a policy says how
old that may be (`count_stale_s`).

It follows from stock, counts and receipts as they stand, whatever the way there; what has not changed is not looked at.
"""

from dataclasses import replace

from pledgewatch_cloud.decide.items.lots import Lot
from pledgewatch_cloud.decide.receipts.receipt import Receipt
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.decide.warehouse.held import HeldByReceipt
from pledgewatch_cloud.decide.warehouse.shortfall import Counts, Pool


def followed(before: State, state: State) -> State:
    """The state with the moments of which was spoken of its lots, after an entry; `before` is the state before it."""
    counts = state.watch.counts
    is_same = state.held is before.held and state.stock is before.stock and counts is before.watch.counts
    if is_same or not state.held:
        return state
    lots = {name for name, one in state.held.items() if one is not before.held.get(name)}
    for pool in _spoken_of(before, state):
        for receipt in state.receipts.claiming(*pool):
            lots.update(one.id for one in state.book.lots_on_receipt(receipt))
    moments: dict[Pool, int] = {}
    found: dict[str, HeldByReceipt] = {}
    for name in lots:
        lot = state.book.lots[name]
        assert lot.receipt is not None, f"{name} names no receipt"
        at_ms = min(
            (_moment_of(moments, pool, state) for pool in _pools_of(lot, state.receipts.get(lot.receipt.id))),
            default=-NEVER,
        )
        if at_ms != state.held[name].heard_ms:
            found[name] = state.held[name]._replace(heard_ms=at_ms)
    return replace(state, held={**state.held, **found}) if found else state


def _spoken_of(before: State, state: State) -> set[Pool]:
    """The pools of which an entry has brought something."""
    keys = state.stock.changed_keys(before.stock)
    counted, known = state.watch.counts.of, before.watch.counts.of
    if counted is not known:
        keys = keys | {key for key in counted.keys() | known.keys() if counted.get(key) is not known.get(key)}
    return {Pool.of(key) for key in keys}


def _pools_of(lot: Lot, receipt: Receipt | None) -> set[Pool]:
    """The pools of a lot's goods, one but for receipts that have its SKU in several units; none where nothing is
    claimed."""
    if receipt is None or not receipt.is_live:
        return set()
    return {Pool.of(key) for key in receipt.totals_milli if key.sku == lot.sku}


def _moment_of(moments: dict[Pool, int], pool: Pool, state: State) -> int:
    """The newest moment of which was spoken of a pool; each is looked up once."""
    if pool not in moments:
        moments[pool] = max(_stocked_ms(pool, state), _counted_ms(pool, state.watch.counts))
    return moments[pool]


def _stocked_ms(pool: Pool, state: State) -> int:
    return max((state.stock.newest_ms(key) for key in state.stock.keys_of(*pool)), default=-NEVER)


def _counted_ms(pool: Pool, counts: Counts) -> int:
    found = (counts.get(key) for key in counts.keys_of(pool))
    return max((one.at_ms for one in found if one is not None), default=-NEVER)
