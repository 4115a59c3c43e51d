"""The stock book: every movement of stock and every count that was taken, and what they add up to.

For each key (warehouse, owner, SKU, bin, unit) rows are ordered by the moment they are about, never by when they came:

    closing = opening + received - shipped - sold + returned + adjusted + moved + unreconciled

A count holds everything that happened up to and at its moment. What it says more or less than was rolled forward to
there is `unreconciled`, a line of its own at that moment; nothing is spread, and nothing is hidden. It shrinks when a
late row explains it. The first count of a key is unreconciled in full unless a row before it says where the goods came
from: a system that goes live with stock says so by an adjustment. A complete snapshot counts nothing of every other
key of its owner and warehouse.

What is known is a set: rows by source and id, each id with one content. So order and repetition mean nothing, and a
row may be taken back before it is here. What was taken back once never counts again, whatever becomes of the row that
did it; what takes back a row that has not come is kept until the time at which it was heard is folded. When each was
heard is kept too: what was known at a moment is what was heard before it.

Bounds: rows that are about a moment before `horizon_ms` are folded into one total for each key, by kind, so that the
footing holds over the horizon too; what comes later about that time is refused with that reason. A book that is full
refuses, and drops nothing. A book is a value; taking a report makes another that shares all but a few shelves with it.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

from pledgewatch_cloud.decide import canonical
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.shelves import Shelves
from pledgewatch_cloud.decide.stock.ages import Aged, Step, ages_of
from pledgewatch_cloud.decide.stock.periods import DAY_MS, Period, frame_of, period_of
from pledgewatch_cloud.decide.stock.rows import (
    COUNTED,
    KINDS,
    SIGNS,
    Fault,
    Report,
    Snapshot,
    StockError,
    StockFullError,
    StockKey,
    StockRow,
)

ROWS_MAX = 300_000
"""Rows that are kept, counts included; a report that would go beyond it is refused."""
KEYS_MAX = 100_000
"""Keys that anything was ever said of."""
CANCELS_MAX = 30_000
"""Room beyond ROWS_MAX for reports that only take back: nobody may fill the book so that no slip can be undone."""
KEEP_DAYS = 400
"""How many days of rows are kept where nothing else is said."""

_SNAPSHOT, _COMPLETE = "snapshot", "complete"  # kinds of the row that stands for a snapshot as such
_UNRECONCILED = len(KINDS)
_COLUMNS = len(KINDS) + 1
_KINDS = (*KINDS, "unreconciled")
_LEAVES = frozenset({KINDS.index("shipped"), KINDS.index("sold")})
_BEFORE_ALL_MS = -(2**62)
_ALWAYS_MS = 2**62
_SEPARATOR = "\x1f"  # no word and no id holds one
_One = TypeVar("_One", bound=str | tuple[Any, ...])
_Value = TypeVar("_Value")


def horizon_ms(now_ms: int, keep_days: int = KEEP_DAYS) -> int:
    """The beginning of the first day of UTC that is kept: what is about moments before it is folded."""
    return now_ms // DAY_MS * DAY_MS - keep_days * DAY_MS


class StockLot(NamedTuple):
    """A part of what is on hand that rows name by its lot; under an empty name, all that none do.

    `received_ms` is since when there have been goods of the lot in the bin; 0 where no row says that any came.
    """

    name: str
    quantity_milli: int
    received_ms: int = 0
    expiry_ms: int = 0
    cost_minor: int | None = None
    currency: str = ""


class _Entry(NamedTuple):
    """How a row bears on one key. `is_count` orders counts behind what happened at the same moment."""

    at_ms: int
    is_count: int
    item: str
    column: int
    milli: int


class _Account(NamedTuple):
    """What is known of a key: the totals by column of what was folded, its lots, and the entries since, in order."""

    key: StockKey
    folded: tuple[int, ...] = (0,) * _COLUMNS
    folded_lots: tuple[StockLot, ...] = ()
    entries: tuple[_Entry, ...] = ()

    @property
    def is_spent(self) -> bool:
        """Whether there is nothing of it, and all that ever was said of it is folded."""
        return not self.entries and not sum(self.folded)


class _Change(NamedTuple):
    at_ms: int
    column: int
    milli: int
    item: str


@dataclass(frozen=True, slots=True)
class StockBook:
    """Rows by source and id; accounts by key; complete snapshots by owner; keys by goods and by bin; what is
    taken back, and by what."""

    horizon_ms: int = _BEFORE_ALL_MS
    _rows: Shelves[StockRow] = field(default_factory=Shelves[StockRow])
    _accounts: Shelves[_Account] = field(default_factory=Shelves[_Account])
    _complete: Shelves[tuple[tuple[int, str], ...]] = field(default_factory=Shelves[tuple[tuple[int, str], ...]])
    _goods: Shelves[tuple[StockKey, ...]] = field(default_factory=Shelves[tuple[StockKey, ...]])
    _cancels: Shelves[tuple[str, ...]] = field(default_factory=Shelves[tuple[str, ...]])

    def __len__(self) -> int:
        return self._rows.count

    def fresh(self, report: Report) -> Report:
        """What of a report is not known yet, each row once; what cannot be taken is among its faults.

        A fault is a known id with other content, and a moment before the horizon.
        """
        rows: list[StockRow] = []
        faults: list[Fault] = list(report.faults)
        coming: dict[str, StockRow] = {}
        for row in report.rows:
            why, is_new = self._judged(_item(report.source, row.id), row, coming)
            if why:
                faults.append(Fault(row.line, why))
            elif is_new:
                rows.append(row)
        snapshots = [
            one for one in (self._fresh_snapshot(report.source, one, coming, faults) for one in report.snapshots) if one
        ]
        return report._replace(rows=tuple(rows), snapshots=tuple(snapshots), faults=tuple(sorted(faults)))

    def taken(self, report: Report, heard_ms: int = _ALWAYS_MS) -> "StockBook":
        """The book with the rows and snapshots of a report more, heard at a moment; its faults are not looked at.

        Raises StockError, and nothing is taken, where something in it cannot be: other content under a known id, a
        moment before the horizon; StockFullError where there is no room.
        """
        fresh = self.fresh(report._replace(faults=()))
        if fresh.faults:
            raise StockError(fresh.faults)
        return self.with_fresh(fresh, heard_ms)

    def with_fresh(self, report: Report, heard_ms: int = _ALWAYS_MS) -> "StockBook":
        """The book with the rows and snapshots more of a report that `fresh` of this book has given. Raises
        StockFullError where there is no room."""
        items = _items(report)
        if not items:
            return self
        only_cancels = all(row.cancels and not row.kind for row in items.values())
        most = ROWS_MAX + (CANCELS_MAX if only_cancels else 0)
        if len(self) + len(items) > most:
            text = f"{len(self)} rows are kept and {len(items)} more would be over {most}: nothing is taken"
            raise StockFullError((Fault(0, text),))
        found = self.put({name: row._replace(heard_ms=heard_ms) for name, row in items.items()})
        if found.key_count > KEYS_MAX:
            raise StockFullError((Fault(0, f"more than {KEYS_MAX} goods and bins: nothing is taken"),))
        return found

    def on_hand_milli(self, key: StockKey, at_ms: int = _ALWAYS_MS) -> int:
        """What there is of a key at a moment, all that happened at it included; before the horizon, what was folded."""
        account = self._account(key)
        return sum(account.folded) + sum(one.milli for one in self._changes(account, at_ms))

    def unreconciled_milli(self, key: StockKey, at_ms: int = _ALWAYS_MS) -> int:
        """The sum of what counts up to a moment found more or less than all else explains, ever."""
        account = self._account(key)
        changes = self._changes(account, at_ms)
        return account.folded[_UNRECONCILED] + sum(one.milli for one in changes if one.column == _UNRECONCILED)

    def before(self, key: StockKey) -> Period:
        """What was folded of a key, as one period that begins with nothing and ends at the horizon."""
        return period_of("before", _BEFORE_ALL_MS, self.horizon_ms, 0, list(self._account(key).folded))

    def periods(self, key: StockKey, length: str) -> list[Period]:
        """The roll-forward of a key by `day` or `month` of UTC, in order, without those in which nothing happened.

        The first opens with what was folded; each opens with what the one before closed with.
        """
        account = self._account(key)
        opening = sum(account.folded)
        found: list[Period] = []
        columns = [0] * _COLUMNS
        frame = ("", 0, 0)
        for change in self._changes(account, _ALWAYS_MS):
            if change.at_ms >= frame[2] or not frame[0]:
                if frame[0]:
                    found.append(period_of(*frame, opening, columns))
                    opening, columns = found[-1].closing, [0] * _COLUMNS
                frame = frame_of(change.at_ms, length)
            columns[change.column] += change.milli
        return [*found, period_of(*frame, opening, columns)] if frame[0] else found

    def lots(self, key: StockKey, at_ms: int = _ALWAYS_MS) -> list[StockLot]:
        """What there is of a key by lot, by name; they add up to what is on hand.

        What counts found is put to no lot, so it stands under the empty name, as does all that names none.
        """
        account = self._account(key)
        found = {lot.name: lot for lot in account.folded_lots}
        for change in self._changes(account, at_ms):
            row = self._rows.get(change.item)
            if change.column != _UNRECONCILED and row is not None and row.lot:
                found[row.lot] = _grown(found.get(row.lot), row, change)
        rest = self.on_hand_milli(key, at_ms) - sum(lot.quantity_milli for lot in found.values())
        if rest:
            found[""] = StockLot("", rest)
        return [found[name] for name in sorted(found) if found[name].quantity_milli]

    def sold_milli_per_day(self, warehouse: str, owner: str, sku: str, unit: str, until_ms: int, days: int) -> int:
        """What was sold less what came back, a day, over the days up to a moment; rounded down, never below nothing."""
        since_ms = until_ms - days * DAY_MS
        total = 0
        for key in self.keys_of(warehouse, owner, sku, unit):
            for one in self._changes(self._account(key), until_ms):
                if one.at_ms > since_ms and one.column in {KINDS.index("sold"), KINDS.index("returned")}:
                    total -= one.milli
        return max(0, total) // days

    @property
    def key_count(self) -> int:
        """How many keys anything was ever said of."""
        return self._accounts.count

    def known_keys(self) -> list[StockKey]:
        """Every key that anything was ever said of, in order."""
        return sorted(account.key for account in self._accounts.values())

    def keys_of(self, warehouse: str, owner: str, sku: str, unit: str) -> tuple[StockKey, ...]:
        """The keys of goods in all bins, in order."""
        return self._goods.get(_SEPARATOR.join((warehouse, owner, sku, unit))) or ()

    def keys_in(self, warehouse: str, place: str) -> tuple[StockKey, ...]:
        """The keys of all goods that were ever in a bin, in order."""
        return self._goods.get(_SEPARATOR.join((warehouse, place))) or ()

    def story(self, key: StockKey, known_ms: int | None = None) -> tuple[int, list[tuple[int, str, int]]]:
        """What was folded of a key, and what has changed it since, in order: when, by which kind (of KINDS, or
        `unreconciled`), and by how many thousandths. `known_ms`: only by what was heard before that moment."""
        account = self._account(key)
        changes = self._changes(account, _ALWAYS_MS, known_ms)
        return sum(account.folded), [(one.at_ms, _KINDS[one.column], one.milli) for one in changes]

    def heard_of_before(self, key: StockKey, at_ms: int) -> int:
        """When what bears on a key about moments before one was heard last, or taken back; long ago where nothing
        does."""
        account = self._account(key)
        complete = self._complete.get(_owner_name(key)) or ()
        names = [one.item for one in account.entries if one.at_ms < at_ms]
        names += [name for moment, name in complete if moment < at_ms]
        names += [other for name in names for other in self._cancels.get(_snapshot_item(name)) or ()]
        return max(map(self._heard_ms, names), default=_BEFORE_ALL_MS)

    def ages(self, key: StockKey, at_ms: int) -> list[Aged]:
        """What there is of a key at a moment by when it came into the warehouse, the earliest first (see ages)."""
        folded: dict[StockKey, int] = {}
        found: list[tuple[tuple[int, bool, str, int], Step]] = []
        asked = [key]
        while asked:
            one = asked.pop()
            if one in folded:
                continue
            account = self._account(one)
            folded[one] = sum(account.folded)
            for change in self._changes(account, at_ms):
                kind = _KINDS[change.column]
                # In the order of the entries, and of what was moved, what left a bin before what came to another.
                order = change.at_ms, kind == "unreconciled", change.item, change.milli
                found.append((order, Step(change.at_ms, one, kind, change.milli)))
                if kind == "moved" and change.milli > 0:
                    source = self._rows.get(change.item)
                    assert source is not None, f"{change.item} is not folded and is not known"
                    asked.append(source.key)
        found.sort(key=itemgetter(0))
        return ages_of(key, folded, self.horizon_ms, (step for _, step in found))

    def gained_milli(self, key: StockKey) -> int:
        """What a key has gained by all but goods that left: what came in, was moved, adjusted and unreconciled."""
        account = self._account(key)
        folded = sum(milli for column, milli in enumerate(account.folded) if column not in _LEAVES)
        changes = self._changes(account, _ALWAYS_MS)
        return folded + sum(one.milli for one in changes if one.column not in _LEAVES)

    def newest_ms(self, key: StockKey) -> int:
        """The moment of the newest that was said of a key, whether it counts or not; long ago where nothing was. What
        is dated ahead was said when it was heard."""
        newest = _BEFORE_ALL_MS
        entries, complete = self._account(key).entries, self._complete.get(_owner_name(key)) or ()
        for some in ([(one.at_ms, one.item) for one in entries], complete):
            for at_ms, name in reversed(some):
                if at_ms <= newest:
                    break
                newest = max(newest, min(at_ms, self._heard_ms(name)))
        return newest

    def changed_keys(self, before: "StockBook") -> set[StockKey]:
        """The keys of which there may be more or less than in a book that this one was made of."""
        if self is before:
            return set()
        known = before._accounts  # noqa: SLF001 - a book
        accounts = (self._accounts.get(name) or known.get(name) for name in self._accounts.changed(known))
        keys = {one.key for one in accounts if one is not None}
        owners = set(self._complete.changed(before._complete))  # noqa: SLF001 - a book
        snapshots = set[str]()
        for item in self._cancels.changed(before._cancels):  # noqa: SLF001 - a book
            row = self._rows.get(item)
            if row is not None and row.kind == _COMPLETE:
                owners.add(_owner_name(row.key))
            elif row is not None and row.kind == _SNAPSHOT:
                snapshots.add(item)
            elif row is not None:
                keys.update(key for key, _ in _entries(item, row))
        if snapshots:
            keys |= {row.key for name, row in self._rows.items() if _snapshot_item(name) in snapshots}
        return keys | ({key for key in self.known_keys() if _owner_name(key) in owners} if owners else set())

    def only(self, wanted: Callable[[StockKey], bool]) -> "StockBook":
        """The book of some goods, as if nothing had ever been said of others. It is there to be read: what was taken
        back of others' rows is not in it, so it takes no reports."""
        keys = {one.key for one in self._accounts.values() if wanted(one.key)}
        if len(keys) == self.key_count:
            return self
        owners = {_owner_name(key) for key in keys}
        rows = {name: row for name, row in self._rows.items() if row.key in keys}
        kept = rows.keys()
        return StockBook(
            self.horizon_ms,
            _shelved(rows),
            _shelved({_name(one.key): one for one in self._accounts.values() if one.key in keys}),
            _shelved({name: some for name, some in self._complete.items() if name in owners}),
            _shelved(_goods_of(keys)),
            _shelved({name: others for name, others in self._cancels.items() if name in kept}),
        )

    def unmatched(self) -> list[tuple[str, StockRow]]:
        """Rows that take back what is not here, each with its source: it has yet to come, was folded before them, or
        never was. In order."""
        found = [
            (_source(other), row)
            for name, others in self._cancels.items()
            if self._rows.get(name) is None
            for other in others
            if (row := self._rows.get(other))
        ]
        return sorted(found, key=lambda one: (one[1].at_ms, one[0], one[1].id))

    def folded(self, before_ms: int) -> "StockBook":
        """The book with all that is about moments before one folded: what there is from then on stays the same."""
        if before_ms <= self.horizon_ms:
            return self
        old = {name: row for name, row in self._rows.items() if row.at_ms < before_ms}
        waiting = {name: _taking_back(row) for name, row in old.items() if self._is_waiting(name, row, before_ms)}
        gone = frozenset(old.keys() - waiting.keys())
        matched = frozenset(
            name
            for name, others in self._cancels.items()
            if name in gone or (self._rows.get(name) is None and gone.issuperset(others))
        )
        accounts = {
            name: self._folded_account(one, before_ms)
            for name, one in self._accounts.items()
            if self._begins_before(one, before_ms)
        }
        spent = frozenset(name for name, one in accounts.items() if one.is_spent)
        accounts = {name: one for name, one in accounts.items() if name not in spent}
        complete = {name: tuple(one for one in some if one[0] >= before_ms) for name, some in self._complete.items()}
        return replace(
            self,
            horizon_ms=before_ms,
            _rows=self._rows.without(gone).put(waiting),
            _accounts=self._accounts.without(spent).put(accounts),
            _goods=self._without_goods(spent),
            _complete=_shelved({name: some for name, some in complete.items() if some}),
            _cancels=self._cancels.without(matched),
        )

    def as_json(self) -> dict[str, Any]:
        """The book as JSON; equal books give equal JSON."""
        return {
            "accounts": list(self._folded_rows()),
            "cancels": list(self._cancel_rows()),
            "horizon_ms": self.horizon_ms,
            "rows": list(self._kept_rows()),
        }

    def pieces(self) -> Iterator[bytes]:
        """The canonical bytes of the book's JSON, bit by bit."""
        yield b'{"accounts":'
        yield from canonical.encode_array(self._folded_rows())
        yield b',"cancels":'
        yield from canonical.encode_array(self._cancel_rows())
        yield b',"horizon_ms":' + canonical.encode(self.horizon_ms) + b',"rows":'
        yield from canonical.encode_array(self._kept_rows())
        yield b"}"

    @staticmethod
    def from_json(value: dict[str, Any]) -> "StockBook":
        """The book behind its JSON."""
        found = [
            _Account(StockKey(*key), tuple(folded), tuple(StockLot(*one) for one in lots))
            for key, folded, lots in value["accounts"]
        ]
        keys: dict[tuple[str, ...], StockKey] = {one.key: one.key for one in found}
        rows = {
            name: StockRow(identity, kind, at_ms, keys.get(tuple(key)) or StockKey(*key), *rest)
            for name, (identity, kind, at_ms, key, *rest) in value["rows"]
        }
        book = StockBook(
            value["horizon_ms"],
            _accounts=_shelved({_name(one.key): one for one in found}),
            _goods=_shelved(_goods_of(keys.values())),
        )
        return replace(book.put(rows), _cancels=_shelved({name: tuple(others) for name, others in value["cancels"]}))

    def _folded_rows(self) -> Iterator[list[Any]]:
        for account in sorted(self._accounts.values()):
            yield [account.key, account.folded, account.folded_lots]

    def _cancel_rows(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        yield from sorted(self._cancels.items())

    def _kept_rows(self) -> Iterator[tuple[str, StockRow]]:
        yield from sorted(self._rows.items())

    def _judged(self, name: str, row: StockRow, coming: dict[str, StockRow]) -> tuple[str, bool]:
        """What speaks against a row (nothing: empty), and whether it is new; one that is, is coming."""
        if row.at_ms < self.horizon_ms:
            return f"{row.id} is about {iso(row.at_ms)}: what was before {iso(self.horizon_ms)} is closed", False
        known = self._rows.get(name) or coming.get(name)
        if known is None:
            coming[name] = row
            return "", True
        changed = [
            "set of rows" if one == "reason" and row.kind == _COMPLETE else one
            for one in StockRow._fields
            if one not in ("line", "heard_ms") and getattr(known, one) != getattr(row, one)
        ]
        if not changed:
            return "", False
        cure = "a correction has an id of its own and says what it cancels"
        if row.kind == COUNTED:
            cure = f"{cure}; all lots of goods in a bin come in one document, for they are one count"
        return f"{row.id}: was said before with another {', '.join(changed)}; {cure}", False

    def _fresh_snapshot(
        self, source: str, one: Snapshot, coming: dict[str, StockRow], faults: list[Fault]
    ) -> Snapshot | None:
        """The snapshot with its new rows; None where there are none, or it cannot be taken."""
        frame = _frame_row(one)
        why, is_new = self._judged(_item(source, one.id), frame, coming)
        if why:
            faults.append(Fault(one.line, why))
            return None
        rows = []
        for row in one.rows:
            text, row_is_new = self._judged(_count_item(source, row), row, coming)
            if text:
                faults.append(Fault(row.line, text))
            elif row_is_new:
                rows.append(row)
        return one._replace(rows=tuple(rows)) if rows or is_new else None

    def put(self, items: Mapping[str, StockRow]) -> "StockBook":
        """The book with rows by name, `<source>/<id>`, whatever its bounds."""
        entries: dict[StockKey, list[_Entry]] = {}
        cancels: dict[str, list[str]] = {}
        complete: dict[str, list[tuple[int, str]]] = {}
        for name, row in items.items():
            if row.cancels:
                cancels.setdefault(_item(_source(name), row.cancels), []).append(name)
            if row.kind == _COMPLETE:
                complete.setdefault(_owner_name(row.key), []).append((row.at_ms, name))
            for key, entry in _entries(name, row):
                entries.setdefault(key, []).append(entry)
        new = [key for key in entries if self._accounts.get(_name(key)) is None]
        shared = {key: self._account(key).key for key in entries}  # one key for all rows of it, which are many
        items = {name: _kept(row, shared.get(row.key, row.key)) for name, row in items.items()}
        return replace(
            self,
            _rows=self._rows.put(items),
            _accounts=self._accounts.put({_name(key): self._grown_account(key, some) for key, some in entries.items()}),
            _complete=self._complete.put(
                {name: _inserted(self._complete.get(name), some) for name, some in complete.items()}
            ),
            _goods=self._goods.put(
                {name: _inserted(self._goods.get(name), list(some)) for name, some in _goods_of(new).items()}
            ),
            _cancels=self._cancels.put(
                {name: _inserted(self._cancels.get(name), some) for name, some in cancels.items()}
            ),
        )

    def _account(self, key: StockKey) -> _Account:
        return self._accounts.get(_name(key)) or _Account(key)

    def _grown_account(self, key: StockKey, entries: list[_Entry]) -> _Account:
        account = self._account(key)
        return account._replace(entries=_inserted(account.entries, entries))

    def _heard_ms(self, name: str) -> int:
        row = self._rows.get(name)
        return row.heard_ms if row is not None else _BEFORE_ALL_MS

    def _is_waiting(self, name: str, row: StockRow, before_ms: int) -> bool:
        """Whether a row takes back what may still come."""
        is_here = not row.cancels or self._rows.get(_item(_source(name), row.cancels)) is not None
        return not is_here and row.heard_ms >= before_ms

    def _without_goods(self, spent: frozenset[str]) -> Shelves[tuple[StockKey, ...]]:
        """The keys by goods and by bin, without some accounts."""
        names = _goods_of(one.key for one in map(self._accounts.get, spent) if one is not None)
        found = {name: tuple(key for key in self._goods.get(name) or () if _name(key) not in spent) for name in names}
        empty = frozenset(name for name, some in found.items() if not some)
        return self._goods.put(found).without(empty)

    def _begins_before(self, account: _Account, at_ms: int) -> bool:
        """Whether anything that bears on a key is about a moment before one."""
        complete = self._complete.get(_owner_name(account.key))
        return any(some and some[0][0] < at_ms for some in (account.entries, complete))

    def _folded_account(self, account: _Account, before_ms: int) -> _Account:
        totals = list(account.folded)
        for change in self._changes(account, before_ms - 1):
            totals[change.column] += change.milli
        lots = tuple(lot for lot in self.lots(account.key, before_ms - 1) if lot.name)
        return _Account(
            account.key, tuple(totals), lots, tuple(one for one in account.entries if one.at_ms >= before_ms)
        )

    def _changes(self, account: _Account, until_ms: int, known_ms: int | None = None) -> Iterator[_Change]:
        """What changed a key up to a moment, in order; a count changes by what it says more than was rolled forward.
        `known_ms`: only by what was heard before that moment."""
        level = sum(account.folded)
        for entry in self._counting(account, known_ms):
            if entry.at_ms > until_ms:
                return
            milli = entry.milli - level if entry.is_count else entry.milli
            level += milli
            if milli or _SEPARATOR in entry.item or not entry.is_count:  # nothing of what is not there is no change
                yield _Change(entry.at_ms, entry.column, milli, entry.item)

    def _counting(self, account: _Account, known_ms: int | None) -> Iterator[_Entry]:
        """The entries that count, with those of complete snapshots, which count nothing of what they leave out."""
        entries = [
            one
            for one in account.entries
            if not self._is_cancelled(_counted_by(one), known_ms) and self._is_known(one.item, known_ms)
        ]
        complete = self._complete.get(_owner_name(account.key))
        if complete:
            # Its name sorts before those of its counts: it sets nothing of any key, and then what it counts.
            entries += [
                _Entry(at_ms, 1, name, _UNRECONCILED, 0)
                for at_ms, name in complete
                if not self._is_cancelled(name, known_ms) and self._is_known(name, known_ms)
            ]
            entries.sort()
        yield from entries

    def _is_known(self, name: str, known_ms: int | None) -> bool:
        return known_ms is None or self._heard_ms(name) < known_ms

    def _is_cancelled(self, name: str, known_ms: int | None) -> bool:
        return any(self._is_known(other, known_ms) for other in self._cancels.get(name) or ())


def _items(report: Report) -> dict[str, StockRow]:
    """The rows of a report by name, snapshots laid out: a row that stands for each as such, and one for each key."""
    found = {_item(report.source, row.id): row for row in report.rows}
    for one in report.snapshots:
        found[_item(report.source, one.id)] = _frame_row(one)
        found.update((_count_item(report.source, row), row) for row in one.rows)
    return found


def _frame_row(one: Snapshot) -> StockRow:
    """What stands for a snapshot as such; of a complete one it holds the digest of its rows, so none can be added."""
    key = StockKey(one.warehouse, one.owner, "", "", "")
    rows = sorted((row.key, row.quantity_milli, row.lot) for row in one.rows)
    said = canonical.digest(rows) if one.complete else ""
    return StockRow(one.id, _COMPLETE if one.complete else _SNAPSHOT, one.at_ms, key, reason=said, cancels=one.cancels)


def _entries(name: str, row: StockRow) -> Iterator[tuple[StockKey, _Entry]]:
    if row.kind == COUNTED:
        yield row.key, _Entry(row.at_ms, 1, name, _UNRECONCILED, row.quantity_milli)
    elif row.kind in SIGNS:
        column = KINDS.index(row.kind)
        yield row.key, _Entry(row.at_ms, 0, name, column, SIGNS[row.kind] * row.quantity_milli)
        if row.kind == "moved":
            yield row.key._replace(bin=row.to_bin), _Entry(row.at_ms, 0, name, column, row.quantity_milli)


def _counted_by(entry: _Entry) -> str:
    """What would have to be taken back for an entry to count no more: of a snapshot all of it."""
    return _snapshot_item(entry.item) if entry.is_count else entry.item


def _taking_back(row: StockRow) -> StockRow:
    """What stays of a row that is folded, where it takes back another."""
    return StockRow(row.id, "", row.at_ms, cancels=row.cancels, heard_ms=row.heard_ms)


def _kept(row: StockRow, key: StockKey) -> StockRow:
    """A row as it is kept: with the key that all rows of it share, and no line, which is the document's."""
    return row if row.key is key and not row.line else row._replace(key=key, line=0)


def _grown(lot: StockLot | None, row: StockRow, change: _Change) -> StockLot:
    known = lot if lot is not None and lot.quantity_milli else StockLot(row.lot, 0)  # a lot that is gone begins anew
    return StockLot(
        row.lot,
        known.quantity_milli + change.milli,
        known.received_ms or (change.at_ms if change.milli > 0 else 0),
        known.expiry_ms or row.expiry_ms,
        row.cost_minor if known.cost_minor is None else known.cost_minor,
        known.currency or row.currency,
    )


def _name(key: StockKey) -> str:
    return _SEPARATOR.join(key)


def _owner_name(key: StockKey) -> str:
    return _SEPARATOR.join((key.warehouse, key.owner))


def _item(source: str, identity: str) -> str:
    return f"{source}/{identity}"


def _count_item(source: str, row: StockRow) -> str:
    return f"{source}/{row.id}{_SEPARATOR}{_name(row.key)}"


def _snapshot_item(item: str) -> str:
    return item.partition(_SEPARATOR)[0]


def _source(item: str) -> str:
    return item.partition("/")[0]


def _goods_of(keys: Iterable[StockKey]) -> dict[str, tuple[StockKey, ...]]:
    found: dict[str, list[StockKey]] = {}
    for key in keys:
        for words in ((key.warehouse, key.owner, key.sku, key.unit), (key.warehouse, key.bin)):
            found.setdefault(_SEPARATOR.join(words), []).append(key)
    return {name: tuple(sorted(some)) for name, some in found.items()}


def _inserted(known: tuple[_One, ...] | None, some: Iterable[_One]) -> tuple[_One, ...]:
    """Things in order with some more, each once."""
    found = list(known or ())
    for one in some:
        place = bisect_left(found, one)
        if place == len(found) or found[place] != one:
            found.insert(place, one)
    return tuple(found)


def _shelved(items: Mapping[str, _Value]) -> Shelves[_Value]:
    return Shelves[_Value]().put(items)
