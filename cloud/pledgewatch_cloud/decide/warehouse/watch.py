"""What is remembered of warehouses: what was heard and counted, what does not fit, and what has been said of it.

A watch is a value: an entry makes another. What it holds follows from the journal alone; `judged` only saves work: it
is what was held against each other last, so that the next entry looks at what has changed since.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from pledgewatch_cloud.decide.receipts.receipt_book import ReceiptBook
from pledgewatch_cloud.decide.shelves import Shelves
from pledgewatch_cloud.decide.stock.rows import StockKey
from pledgewatch_cloud.decide.stock.stock_book import StockBook
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.decide.warehouse.cases import Case
from pledgewatch_cloud.decide.warehouse.counting import Count
from pledgewatch_cloud.decide.warehouse.course import Ceiling, Counted, Course, Gone
from pledgewatch_cloud.decide.warehouse.gates import Departure, Strays
from pledgewatch_cloud.decide.warehouse.shortfall import Counts, Pool, Shortage
from pledgewatch_cloud.decide.warehouse.signals import Signals
from pledgewatch_cloud.decide.warehouse.tares import Tare
from pledgewatch_cloud.decide.warehouse.unfound import Unfound

STRAYS_MAX = 10_000
"""Strays that are kept. An act that would make one more is refused: what has left is not forgotten for want of room."""
KEYS_MAX = 100_000
"""Keys of a warehouse whose newest count is kept; of more, those that were counted longest ago are let go, those of
pools of which a count has missed goods last, and never those that a shortage rests on: a count is refused instead."""


_POOL = len(Pool._fields)


class Telling(NamedTuple):
    """What was said of a lot and is still so: that goods of a line of its receipt have left (`line` from 0), or, where
    `line` is -1, that some of it is missing. `asset` is what it was said about."""

    lot: str
    asset: str
    receipt: str
    line: int


class Differing(NamedTuple):
    """That a zone is below what is kept there, or was: since when the one or the other, and by how much longer it had
    been below than not by then. `is_lasting`: once that was the grace, until it is nothing, or the zone has measured
    that it is not; `said_ms` is when it had measured last while it was below."""

    is_below: bool
    since_ms: int
    owed_ms: int
    is_lasting: bool
    said_ms: int

    def owed_at_ms(self, now_ms: int, most_ms: int) -> int:
        """By how much longer it has been below than not by now, at most so long."""
        passed_ms = now_ms - self.since_ms
        return min(most_ms, max(0, self.owed_ms + (passed_ms if self.is_below else -passed_ms)))

    def lasts(self, now_ms: int, grace_ms: int) -> bool:
        """Whether it has been below by the grace longer than not, or was, and rows alone have explained that for less
        long: one that explains it for a moment explains nothing."""
        owed_ms = self.owed_at_ms(now_ms, grace_ms)
        return owed_ms >= grace_ms or (self.is_lasting and owed_ms > 0)


class Judged(NamedTuple):
    """What was held against each other last, and the next moment at which time alone may change what came of it.
    `known`: what is kept of goods, as far as that was asked, and `gone` what has left of them by name. `coming`: by
    pool, the next moment at which what is there changes as it was told. `lacked_room`: some cases wait until there is
    room."""

    stock: StockBook
    receipts: ReceiptBook
    next_ms: int
    known: Shelves[Course]
    gone: Mapping[StockKey, Sequence[Gone]]
    coming: Mapping[Pool, int]
    lacked_room: bool


@dataclass(frozen=True, slots=True)
class Watch:
    """Signals; the newest count by key; cases by id, and how many there ever were; shortages by pool.

    `differing`: by zone and kind, for how long what is measured differs from the stock. `tares`: by zone and kind,
    by how much it did when all was counted. `answered`: by zone, the moment up to which a
    count of all its goods has answered everything. `gone`: lines of receipts that have left and were not found since by
    a count; `found`: those that were. `strays`: what has left, and is claimed by its names no
    more. `told`: what was said of lots and is still so. `ceilings`: by pool, what its bins
    are kept to hold at most as long as nobody counts them, since a count has missed goods.
    `unfound`: by zone, kind and pool, what a zone that differs or did has missed, and what was put elsewhere since.
    """

    signals: Signals = field(default_factory=Signals)
    counts: Counts = field(default_factory=Counts)
    cases: Mapping[str, Case] = field(default_factory=dict)
    numbered: int = 0
    shortages: Mapping[Pool, Shortage] = field(default_factory=dict)
    differing: Mapping[tuple[str, str], Differing] = field(default_factory=dict)
    tares: Mapping[tuple[str, str], Tare] = field(default_factory=dict)
    answered: Mapping[str, int] = field(default_factory=dict)
    gone: Mapping[tuple[str, int], Departure] = field(default_factory=dict)
    found: Mapping[tuple[str, int], Departure] = field(default_factory=dict)
    told: frozenset[Telling] = frozenset()
    ceilings: Mapping[Pool, Ceiling] = field(default_factory=dict)
    unfound: Mapping[tuple[str, str, Pool], Unfound] = field(default_factory=dict)
    strays: Strays = field(default_factory=Strays)
    judged: Judged | None = field(default=None, compare=False, repr=False)

    def open_cases(self) -> list[Case]:
        """The cases that are open, the most urgent first."""
        found = (one for one in self.cases.values() if one.is_open)
        return sorted(found, key=lambda one: (-one.risk, one.opened_ms, one.about))

    def departures(self) -> Iterator[Departure]:
        """All that has left by name and was not found since, whether a live receipt claims it or not."""
        yield from self.gone.values()
        yield from self.strays.of

    def knows(self, count: Count) -> bool:
        """Whether a count was heard: of one that is older than the newest it may still matter that it missed goods."""
        known = (self.ceilings.get(Pool.of(key), Ceiling()) for key, _ in count.rows)
        return all(any(digest == count.digest for _, digest in one.moments) for one in known)

    def counted(self, count: Count, now_ms: int) -> "Watch":
        """The watch with what somebody has counted, which is heard now; it counts as of now where it is dated ahead."""
        at_ms = min(count.at_ms, now_ms)
        news = {
            key: Counted(at_ms, count.digest, milli, count.by, count.at_ms, at_ms, milli) for key, milli in count.rows
        }
        newer = {
            key: one for key, one in news.items() if (known := self.counts.get(key)) is None or known.order < one.order
        }
        counts = {**self.counts.of, **newer}
        may_go = self._may_go(count)
        gone = frozenset(sorted(may_go, key=self._order)[: self._over(count)])
        return replace(self, counts=Counts({key: one for key, one in counts.items() if key not in gone}))

    def has_room(self, count: Count) -> bool:
        """Whether a count may be taken, and nothing is let go that a shortage rests on."""
        return len(self._may_go(count)) >= self._over(count)

    def _over(self, count: Count) -> int:
        """How many keys of a count's warehouse must be let go for it."""
        known = sum(key.warehouse == count.warehouse for key in self.counts.of)
        return max(0, known + sum(key not in self.counts.of for key, _ in count.rows) - KEYS_MAX)

    def _may_go(self, count: Count) -> list[StockKey]:
        """The keys of a count's warehouse whose counts may be let go for it: not its own, not those of pools that are
        short, and not those that have missed goods."""
        if not self._over(count):
            return []
        own = {key for key, _ in count.rows}
        here = (key for key in self.counts.of if key.warehouse == count.warehouse and key not in own)
        return [key for key in here if Pool.of(key) not in self.shortages and not self._rests_on(key)]

    def _rests_on(self, key: StockKey) -> bool:
        """Whether the ceiling of a pool rests on what was counted of a key."""
        one = self.ceilings.get(Pool.of(key))
        return one is not None and (one.is_short or key in one.missed)

    def _order(self, key: StockKey) -> tuple[bool, tuple[int, str], StockKey]:
        return self._has_missed(Pool.of(key)), self.counts.of[key].order, key

    def _has_missed(self, pool: Pool) -> bool:
        """Whether a count has missed goods of a pool: what it says then must not be forgotten."""
        one = self.ceilings.get(pool)
        return one is not None and one.short_ms < NEVER

    def as_json(self) -> dict[str, Any]:
        """The watch as JSON; equal watches give equal JSON."""
        return {
            "answered": dict(self.answered),
            "cases": [self.cases[name].as_row() for name in sorted(self.cases)],
            "ceilings": [
                [
                    *pool,
                    one.moments,
                    one.short_ms,
                    one.from_ms,
                    sorted([*key, milli] for key, milli in one.kept.items()),
                    sorted(one.missed),
                    one.claimed,
                    one.heard,
                    one.short,
                ]
                for pool, one in sorted(self.ceilings.items())
            ],
            "counts": [[*key, *one] for key, one in sorted(self.counts.of.items())],
            "differing": [[*key, *one] for key, one in sorted(self.differing.items())],
            "found": [self.found[key].as_row() for key in sorted(self.found)],
            "gone": [self.gone[key].as_row() for key in sorted(self.gone)],
            "numbered": self.numbered,
            "shortages": [
                [*pool, one.missing_milli, dict(one.shares), one.cases] for pool, one in sorted(self.shortages.items())
            ],
            "signals": self.signals.as_json(),
            "strays": [one.as_row() for one in self.strays.of],
            "tares": [[*key, *tare] for key, tare in sorted(self.tares.items())],
            "told": sorted(self.told),
            "unfound": [[*place, *pool, *one.as_row()] for (*place, pool), one in sorted(self.unfound.items())],
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "Watch":
        """The watch behind its JSON."""
        cases = [Case.from_row(row) for row in value["cases"]]
        gone, found = ([Departure.from_row(row) for row in value[name]] for name in ("gone", "found"))
        return Watch(
            Signals.from_json(value["signals"]),
            Counts({StockKey(*row[:5]): Counted(*row[5:]) for row in value["counts"]}),
            {one.id: one for one in cases},
            value["numbered"],
            {
                Pool(*pool): Shortage(missing, shares, tuple(some))
                for *pool, missing, shares, some in value["shortages"]
            },
            {(asset, kind): Differing(*one) for asset, kind, *one in value["differing"]},
            {
                (asset, kind): Tare(at_ms, tuple((channel, *one) for channel, *one in said), *rest)
                for asset, kind, at_ms, said, *rest in value["tares"]
            },
            value["answered"],
            {(one.receipt, one.line): one for one in gone},
            {(one.receipt, one.line): one for one in found},
            frozenset(Telling(*one) for one in value["told"]),
            {
                Pool(*pool): Ceiling(
                    tuple((at_ms, digest) for at_ms, digest in moments),
                    short_ms,
                    from_ms,
                    {StockKey(*key): milli for *key, milli in kept},
                    frozenset(StockKey(*key) for key in missed),
                    *(tuple((one, other) for one, other in pairs) for pairs in spans),
                )
                for *pool, moments, short_ms, from_ms, kept, missed, claimed, heard, short in value["ceilings"]
                for spans in [(claimed, heard, short)]
            },
            {
                (asset, kind, Pool(*rest[:_POOL])): Unfound.from_row(rest[_POOL:])
                for asset, kind, *rest in value["unfound"]
            },
            Strays(map(Departure.from_row, value["strays"])),
        )
