"""What is missing of goods that receipts claim.

Goods of one owner, SKU and unit in a warehouse cannot be told apart, in whichever bin they are: they are a *pool*, and
what is there of it stands for all receipts of it.

    needed  = quantity - surrendered, of all live receipts of the pool
    left    = what has left by itself, without a release
    kept    = by key, what the stock system has; where it was counted, what was counted, and what came and went since;
              without what has left by itself (see course)
    unseen  = by key, what a zone holds less than is kept there, by its scales, counters and tags
    present = kept - unseen, of all keys of the pool: the least of now and of every later moment that was told
    missing = left, and what is present less than needed - left

Goods that are still to come cover nothing now, and goods that are still to go cover nothing any more: what is told of
later moments counts in at once where it takes away, and when its moment has come where it adds.

A count is newer and nearer than a stock system: it stands until the next one, and what the stock system corrects
afterwards counts only where it takes away more than the count already had. A zone is held against what was kept there
at the moment of its measurement, so goods that come or go later say nothing, and a late row of the stock system is
where it belongs. Goods whose weight nobody knows weigh nothing here, so a zone is short of the others by that much at
least. What a zone is short of is taken from its goods in proportion, for a scale does not know one from
another: of each pool in whole units, as many as lie within its tolerance, the most of these, rounded up where none
does; the keys of a pool share that in proportion, to a thousandth.

What a zone has missed and only the stock system's word has put elsewhere since is not present either (see unfound).

What is missing is shared by the receipts of the pool in proportion to what they claim, rounded up; what left by itself,
known by its container, seal or device, is missing of its own receipt.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from pledgewatch_cloud.decide.receipts.receipt_book import ReceiptBook
from pledgewatch_cloud.decide.shelves import Shelves
from pledgewatch_cloud.decide.stock.rows import MILLI, StockKey
from pledgewatch_cloud.decide.stock.stock_book import StockBook
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.decide.warehouse.course import Ceiling, Counted, Course, Gone, course_of, kept_at
from pledgewatch_cloud.decide.warehouse.signals import Signals
from pledgewatch_cloud.decide.warehouse.terms import Warehouse, Zone
from pledgewatch_wire.reading import WEIGHT_CHANNELS, Channel

WEIGHT, PIECES = "weight_below", "pieces_below"
"""What a zone can be short by; they are kinds of cases."""
CHANNELS: Mapping[str, tuple[int, ...]] = {
    WEIGHT: WEIGHT_CHANNELS,
    PIECES: (Channel.PIECES_PRESENT, Channel.TAGS_PRESENT),
}
Said = Mapping[int, tuple[int, int]]
"""By channel, when something was measured last, and the value."""


class Pool(NamedTuple):
    """Goods that cannot be told apart: of one owner, SKU and unit in a warehouse, whatever the bin."""

    warehouse: str
    owner: str
    sku: str
    unit: str

    @staticmethod
    def of(key: StockKey) -> "Pool":
        """The pool that a stock key is part of."""
        return Pool(key.warehouse, key.owner, key.sku, key.unit)


class Shortage(NamedTuple):
    """What is missing of a pool, in thousandths of its unit: in all, and of each live receipt (`shares`, by id).
    `cases` are the ids of the cases that say so."""

    missing_milli: int = 0
    shares: Mapping[str, int] = {}
    cases: tuple[str, ...] = ()

    def of(self, receipt: str) -> int:
        """What is missing of the goods of a receipt."""
        return self.shares.get(receipt, 0)


NOTHING_MISSING = Shortage()


class Counts:
    """The newest counts by key; a value. A key may be known from a count alone."""

    __slots__ = ("_by_bin", "_by_pool", "of")

    def __init__(self, of: Mapping[StockKey, Counted] | None = None) -> None:
        self.of = of or {}
        self._by_pool: dict[Pool, list[StockKey]] = {}
        self._by_bin: dict[tuple[str, str], list[StockKey]] = {}
        for key in self.of:
            self._by_pool.setdefault(Pool.of(key), []).append(key)
            self._by_bin.setdefault((key.warehouse, key.bin), []).append(key)

    def get(self, key: StockKey) -> Counted | None:
        """The newest count of a key; None where it never was counted."""
        return self.of.get(key)

    def keys_of(self, pool: Pool) -> Iterable[StockKey]:
        """The keys of a pool that were counted."""
        return self._by_pool.get(pool, ())

    def keys_in(self, warehouse: str, place: str) -> Iterable[StockKey]:
        """The keys that were counted in a bin."""
        return self._by_bin.get((warehouse, place), ())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Counts) and self.of == other.of

    def __hash__(self) -> int:
        return hash(len(self.of))


class Claims(NamedTuple):
    """What live receipts claim of a pool, and of that, what has left; in thousandths. By receipt, and by key."""

    of: Mapping[str, int]
    left: Mapping[str, int]
    keys: Mapping[StockKey, int]

    @property
    def needed_milli(self) -> int:
        """What must be there."""
        return sum(self.of.values())

    @property
    def staying_milli(self) -> int:
        """What must be there of what has not left."""
        return self.needed_milli - sum(self.left.values())


class Deficit(NamedTuple):
    """By how much a zone was below what was kept there, in grams or pieces, at the moment of its measurement. `kept` is
    what was kept there then of what the instrument tells of, by key, in thousandths, and `expected` what that comes to;
    `tolerance` what says nothing.
    """

    kind: str
    at_ms: int
    expected: int
    deficit: int
    tolerance: int
    kept: Mapping[StockKey, int]


Lines = Iterable[tuple[str, int]]
"""Lines of receipts, by id and number."""


class Kept:
    """What is kept of goods, by the newest counts, the stock system, what has left by name (`gone`) and ceilings.
    `known` are courses that were found before and still hold; they are found once, for a key may have a long story."""

    def __init__(
        self,
        stock: StockBook,
        counts: Counts,
        known: Shelves[Course],
        gone: Mapping[StockKey, Sequence[Gone]],
        ceilings: Mapping[Pool, Ceiling],
    ) -> None:
        self.stock, self.counts = stock, counts
        self._gone, self._ceilings = gone, ceilings
        self._known, self._found = known, dict[str, Course]()

    @property
    def known(self) -> Shelves[Course]:
        """The courses that are known by now."""
        return self._known.put(self._found) if self._found else self._known

    def under(self, pool: Pool, ceiling: Ceiling, *, is_settled: bool = False) -> None:
        """From now on a pool is kept under another ceiling, which has other losses, or losses that were worked out for
        good."""
        names = [name_of(key) for key in self.keys_of(pool) if is_settled or self.course(key).may_lose]
        self._ceilings = {**self._ceilings, pool: ceiling}
        self._known = self._known.without(frozenset(names))
        for name in names:
            self._found.pop(name, None)

    def course(self, key: StockKey) -> Course:
        """What is kept of a key from moment to moment."""
        name = name_of(key)
        found = self._found.get(name) or self._known.get(name)
        if found is None:
            found = self._course(key, self._ceilings.get(Pool.of(key)) if self._ceilings else None)
            self._found[name] = found
        return found

    def courses(self, pool: Pool, ceiling: Ceiling) -> list[Course]:
        """What would be kept of the keys of a pool under its ceiling with other losses."""
        is_known = self._ceilings[pool].losses == ceiling.losses
        some = ((key, self.course(key)) for key in self.keys_of(pool))
        return [self._course(key, ceiling) if one.may_lose and not is_known else one for key, one in some]

    def _course(self, key: StockKey, ceiling: Ceiling | None) -> Course:
        return course_of(self.stock, key, self.counts.get(key), self._gone.get(key, ()), ceiling)

    def milli(self, key: StockKey, at_ms: int) -> int:
        """What was kept of a key at a moment; below nothing where more went than ever came."""
        return self.course(key).milli(at_ms)

    def least(self, keys: Iterable[StockKey], now_ms: int) -> tuple[int, int]:
        """What is there of some keys for good: the least of now and of every later moment that was told; and the next
        moment at which that may be more."""
        courses = [self.course(key) for key in keys]
        level = least = sum(one.milli(now_ms) for one in courses)
        coming = sorted(change for one in courses for change in one.after(now_ms))
        for _, some in groupby(coming, key=itemgetter(0)):
            level += sum(milli for _, milli in some)
            least = min(least, level)
        return least, coming[0][0] if coming else NEVER

    def at(self, key: StockKey, ceiling: Ceiling, at_ms: int) -> int:
        """What was kept of a key at a moment under the ceilings that were set by then."""
        return kept_at(self.stock, key, self.counts.get(key), self._gone.get(key, ()), ceiling, at_ms)

    def debt_milli(self, keys: Iterable[StockKey]) -> int:
        """What was booked out of keys that had nothing: all of it, unless all that there was by the newest count of
        them had been counted since."""
        debts = [(counted.at_ms, self.course(key).debt_milli) for key in keys if (counted := self.counts.get(key))]
        milli = sum(one for _, one in debts)
        if not milli:
            return 0
        since_ms, last_ms = max(at_ms for at_ms, one in debts if one), max(at_ms for at_ms, _ in debts)
        there = (self.counts.get(key) for key in keys if self.milli(key, last_ms) > 0)
        return 0 if all(one is not None and one.at_ms >= since_ms for one in there) else milli

    def keys_of(self, pool: Pool) -> set[StockKey]:
        """The keys of a pool that anything was ever said of."""
        known = self._ceilings.get(pool)
        return {*self.stock.keys_of(*pool), *self.counts.keys_of(pool), *(known.kept if known else ())}

    def put_milli(self, keys: Iterable[StockKey], since_ms: int, now_ms: int) -> int:
        """How much has been put into bins since a moment."""
        changes = (change for key in keys for change in self.course(key).after(since_ms))
        return sum(milli for at_ms, milli in changes if at_ms <= now_ms and milli > 0)

    def keys_in(self, warehouse: str, zone: Zone) -> set[StockKey]:
        """The keys of all goods that were ever in a zone's bins."""
        known = {key for place in zone.bins for key in self.stock.keys_in(warehouse, place)}
        return known.union(*(self.counts.keys_in(warehouse, place) for place in zone.bins))

    def within(self, warehouse: str, zone: Zone, at_ms: int) -> dict[StockKey, int]:
        """What was kept in a zone at a moment, by key."""
        keys = sorted(self.keys_in(warehouse, zone))
        return {key: milli for key in keys if (milli := self.milli(key, at_ms)) > 0}


def name_of(key: StockKey) -> str:
    """A key as one text; no word holds the sign between them."""
    return "\x1f".join(key)


def claims_of(pool: Pool, receipts: ReceiptBook, gone: Lines) -> Claims:
    """What live receipts claim of a pool. `gone`: lines that have left, by receipt and number."""
    of: dict[str, int] = {}
    left: dict[str, int] = {}
    keys: dict[StockKey, int] = {}
    lines = frozenset(gone)
    for name in receipts.claiming(*pool):
        one = receipts.get(name)
        assert one is not None, f"{name} claims goods and is not known"
        for line, goods in enumerate(one.goods):
            key = goods.key(one.warehouse, one.depositor)
            milli = goods.quantity_milli - one.ordered_milli[line]
            if Pool.of(key) == pool and milli > 0:
                of[name] = of.get(name, 0) + milli
                keys[key] = keys.get(key, 0) + (0 if (name, line) in lines else milli)
                left[name] = left.get(name, 0) + (milli if (name, line) in lines else 0)
    return Claims(of, left, keys)


def claimed_since(pool: Pool, receipts: ReceiptBook) -> list[tuple[int, int]]:
    """Since when how much more was claimed of a pool, or less, by all receipts that there ever were."""
    found = []
    for one in receipts.receipts():
        keys = [goods.key(one.warehouse, one.depositor) for goods in one.goods]
        lines = [line for line, key in enumerate(keys) if Pool.of(key) == pool]
        if not lines or not one.issued_ms:
            continue
        before = receipts.get(one.parent or one.replaces) if one.parent or one.replaces else None
        milli = sum(one.goods[line].quantity_milli for line in lines)
        staying_milli = milli - sum(one.ordered_milli[line] for line in lines) if one.is_live else 0
        found.append((max(one.issued_ms, before.at_ms if before is not None else 0), milli))
        if staying_milli < milli:
            found.append((one.ordered_ms or one.at_ms, staying_milli - milli))
    return found


def shortage_of(claims: Claims, present_milli: int) -> Shortage:
    """What is missing, and of which receipt how much: what has left of its own, the rest in proportion. What is present
    is without what has left."""
    gone_milli = sum(claims.left.values())
    missing_milli = gone_milli + max(0, claims.staying_milli - present_milli)
    if missing_milli <= 0:
        return NOTHING_MISSING
    rest_milli, staying_milli = missing_milli - gone_milli, claims.staying_milli
    shares = {}
    for name, milli in claims.of.items():
        left = claims.left[name]
        shares[name] = left + (-(-rest_milli * (milli - left) // staying_milli) if rest_milli else 0)
    return Shortage(missing_milli, {name: share for name, share in shares.items() if share})


def deficits_by(
    said: Said, warehouse: Warehouse, zone: Zone, kept: Kept, within: Callable[[int], Mapping[StockKey, int]]
) -> dict[str, Deficit]:
    """By how much a zone is below what is kept there (above: a negative number), by kind, by what was `said` of it; of
    what nobody can tell there is nothing. `within` is what was kept there at a moment. Of pieces and tags the one that
    is farther below counts."""
    found: dict[str, Deficit] = {}
    for kind, at_ms, measured in _measured(said):
        if at_ms < kept.stock.horizon_ms:
            continue
        there = within(at_ms)
        if kind == WEIGHT:
            there = {key: milli for key, milli in there.items() if key.sku in warehouse.unit_weights_g}
            expected = sum(milli * warehouse.unit_weights_g[key.sku] for key, milli in there.items()) // MILLI
            tolerance = zone.weight_tolerance_g
        else:
            expected, tolerance = sum(there.values()) // MILLI, zone.pieces_tolerance
        if kind not in found or expected - measured > found[kind].deficit:
            found[kind] = Deficit(kind, at_ms, expected, expected - measured, tolerance, there)
    return found


def unseen_of(one: Deficit, tare: int, counts: Counts) -> dict[StockKey, int]:
    """What a zone is short of by key, in thousandths; nothing within its tolerance, and nothing of what was counted
    since. `tare` is the part of the deficit that a count has shown to be the instrument's own."""
    deficit = one.deficit - tare
    if deficit <= one.tolerance or not one.expected:
        return {}
    pools: dict[Pool, dict[StockKey, int]] = {}
    for key, milli in one.kept.items():
        counted = counts.get(key)
        if counted is None or counted.at_ms <= one.at_ms:
            pools.setdefault(Pool.of(key), {})[key] = milli
    found = {}
    for some in pools.values():
        kept_milli = sum(some.values())
        least = -(-kept_milli * (deficit - one.tolerance) // (one.expected * MILLI))
        most = kept_milli * (deficit + one.tolerance) // (one.expected * MILLI)
        found.update(_shared(min(kept_milli, MILLI * max(least, most)), some))
    return found


def _shared(milli: int, kept: Mapping[StockKey, int]) -> dict[StockKey, int]:
    """So much, at most all, shared in proportion: each share rounded up or down, all of them exact together."""
    found, total, until, given = {}, sum(kept.values()), 0, 0
    for key, part_milli in kept.items():
        until += part_milli
        found[key] = milli * until // total - given
        given += found[key]
    return found


def tells_of(warehouse: Warehouse, zone: Zone, sku: str, signals: Signals, since_ms: int) -> bool:
    """Whether a zone has said since a moment how much it holds of an SKU."""
    measured = _measured(said_of(zone, signals))
    return any(at_ms >= since_ms and (kind == PIECES or sku in warehouse.unit_weights_g) for kind, at_ms, _ in measured)


def said_of(zone: Zone, signals: Signals, counted_ms: int = -NEVER) -> Said:
    """What the channels of a zone have said last. Of scales that were silent since all of the zone was counted, while
    others were not, nothing: what lies on them is as it was counted, as far as anybody knows."""
    newest = ((one, signals.latest(zone.asset, one)) for channels in CHANNELS.values() for one in channels)
    said = {int(channel): (one.at_ms, one.value) for channel, one in newest if one is not None}
    silent = [one for one in CHANNELS[WEIGHT] if one in said and said[one][0] <= counted_ms]
    if len(silent) == sum(one in said for one in CHANNELS[WEIGHT]):
        return said
    return {channel: one for channel, one in said.items() if channel not in silent}


def _measured(said: Said) -> Iterable[tuple[str, int, int]]:
    """What was measured of a zone: what it is held against, when, and the value. Weights are added up, and are as old
    as the oldest of them: what came or went since then not all of them have seen."""
    weights = [one for channel, one in said.items() if channel in WEIGHT_CHANNELS]
    if weights:
        yield WEIGHT, min(at_ms for at_ms, _ in weights), sum(value for _, value in weights)
    for channel in CHANNELS[PIECES]:
        if channel in said:
            yield PIECES, *said[channel]
