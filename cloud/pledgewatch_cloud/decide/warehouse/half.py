"""The warehouse half: receipts, stock systems and what can be seen of goods, held against each other after each entry.

    signals, stock, receipts, counts ─► what has left ─► receipts are frozen
                                     └► what zones are short of ─► what pools are short of ─► cases ─► lots

What is so is found anew, whatever was said before; an event says that it has become so, or is so no longer. So it does
not matter in which order stock rows and readings come. Only what an entry touches is looked at: the zones of which
something was heard, the goods of which there are more or less, the receipts that are not as they were, and what time
brings: a mismatch that lasts, a count that is overdue.

A receipt is frozen when goods of it are found to have left, once for each time, also where that was over before it was
heard: a count had found them since, or a gate had read them on their way in; but not for what a count had found before
the receipt was issued. It is not thawed when they are back, or
when later news show that they never left: who controls it says whether the goods are accepted again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from pledgewatch_cloud.decide.batch import Batch, Entry, Tick
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.events import EventType, event
from pledgewatch_cloud.decide.log import Log
from pledgewatch_cloud.decide.receipts import life
from pledgewatch_cloud.decide.receipts.receipt import Receipt
from pledgewatch_cloud.decide.receipts.receipt_book import ReceiptBook
from pledgewatch_cloud.decide.shelves import Shelves
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.decide.stock.rows import StockKey
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.decide.warehouse import ceilings, gates, held, shortfall, signals, tares, unfound
from pledgewatch_cloud.decide.warehouse.case_book import CaseBook
from pledgewatch_cloud.decide.warehouse.cases import Mismatch
from pledgewatch_cloud.decide.warehouse.counting import Count
from pledgewatch_cloud.decide.warehouse.course import Course, Gone
from pledgewatch_cloud.decide.warehouse.gates import Departure, Strays
from pledgewatch_cloud.decide.warehouse.held import HeldByReceipt
from pledgewatch_cloud.decide.warehouse.losing import Losing
from pledgewatch_cloud.decide.warehouse.shortfall import (
    NOTHING_MISSING,
    PIECES,
    WEIGHT,
    Claims,
    Deficit,
    Kept,
    Pool,
    Shortage,
    name_of,
)
from pledgewatch_cloud.decide.warehouse.teller import Teller
from pledgewatch_cloud.decide.warehouse.terms import Warehouse, Zone
from pledgewatch_cloud.decide.warehouse.watch import Differing, Judged

STOCK, COUNT, DOOR, LEFT, MISPLACED, UNCOUNTED = (
    *("stock_below_receipts", "count_below", "door_out_of_hours", "goods_left", "misplaced", "uncounted"),
)
_OF_ZONES = (WEIGHT, PIECES, DOOR)
_OF_POOLS = (STOCK, COUNT)


def judge(
    state: State, batch: Batch, refolded: Iterable[str], count: Count | None, is_amended: bool, log: Log
) -> State:
    """The state after what an entry has brought of warehouses: readings, stock, acts, a count, another book, time.

    Stock, receipts and assets of the state are those after the entry; `batch` is what is new of its readings,
    `refolded` are assets that were folded again, whatever it holds.
    """
    watch, book = state.watch, state.book
    heard = signals.heard(watch.signals, book, batch, state.recorded_at_ms)
    assets = _fixed(state, batch, refolded)
    tags = heard.tags_since(watch.signals)
    moved = gates.concerned(book, state.receipts, tags, assets)
    strays = watch.strays.concerned(book, tags, assets)
    # What was measured before the stock book's horizon says nothing any more, so all is looked at.
    is_folded = watch.judged is not None and watch.judged.stock.horizon_ms != state.stock.horizon_ms
    before = None if is_amended or is_folded else watch.judged
    zones = {one.asset for device in batch.devices if (one := book.watched.get(device)) and one.is_zone}
    spoken = frozenset(zones) if heard is not watch.signals else frozenset[str]()
    if before is None:
        judging = _Judging(state, heard.within(book), count, spoken, log)
        judging.touch_all()
        return judging.judged()
    is_same = before.stock is state.stock and before.receipts is state.receipts and count is None
    if is_same and heard is watch.signals and not moved and not strays and state.recorded_at_ms < before.next_ms:
        return state
    judging = _Judging(state, heard, count, spoken, log)
    judging.touch(before, set(spoken), moved, strays)
    return judging.judged()


def shortages_with(state: State, receipts: ReceiptBook, now_ms: int) -> Mapping[Pool, Shortage]:
    """What would be missing of pools if receipts were these, at a moment: what `judge` would find by all that is known.
    Nothing comes of it."""
    now_ms = max(now_ms, state.recorded_at_ms)
    state = replace(state, receipts=receipts, recorded_at_ms=now_ms)
    log = Log(state.journal, Entry(state.entry, now_ms, Tick(0)), {})
    judging = _Judging(state, state.watch.signals, None, frozenset(), log)
    if state.watch.judged is None:
        judging.touch_all()
    else:
        judging.touch(state.watch.judged, set(), set(), set())
    return judging.judged().watch.shortages


def _fixed(state: State, batch: Batch, refolded: Iterable[str]) -> set[str]:
    """The assets that may be elsewhere than before, where that matters to a receipt."""
    if not len(state.receipts) or not any(one.fences for one in state.book.warehouses.values()):
        return set()
    known = (state.book.installations.get(device) for device in batch.devices)
    return {*refolded, *(one.asset for one in known if one is not None)}


class _Judging:
    """One entry: what it touches, and then what becomes of that."""

    def __init__(
        self, state: State, heard: signals.Signals, count: Count | None, spoken: frozenset[str], log: Log
    ) -> None:
        self._state, self._heard, self._spoken, self._log = state, heard, spoken, log
        self._book, self._receipts = state.book, state.receipts
        self._now_ms = state.recorded_at_ms
        watch = state.watch
        if count:
            gone, counted = ceilings.gone_of(watch.departures()), watch.counted(count, self._now_ms)
            watch = ceilings.after_count(counted, watch, count, state.stock, gone, self._now_ms)
        self._watch, self._counts = watch, watch.counts
        self._courses = Shelves[Course]()
        self._kept = Kept(state.stock, watch.counts, self._courses, {}, watch.ceilings)
        self._counted = frozenset(key for key, _ in count.rows) if count else frozenset[StockKey]()
        self._cases = CaseBook(watch.cases, watch.numbered, watch.counts, count, self._now_ms, log)
        self._differing, self._tares = dict(watch.differing), dict(watch.tares)
        self._answered, self._gone = dict(watch.answered), dict(watch.gone)
        self._found = dict(watch.found)
        self._brief = dict[tuple[str, int], Departure]()  # what had left, and is over by the time that it is heard
        self._strays, self._touched = watch.strays, set[Departure]()
        self._coming = dict[Pool, int]()
        self._unfound = dict(watch.unfound)
        self._shortages = dict(watch.shortages)
        self._unseen: dict[StockKey, int] = {}
        self._unseen_by: dict[StockKey, list[tuple[str, ...]]] = {}
        self._pools: set[Pool] = set()
        self._zones: set[str] = set()
        self._names: set[str] = set()  # receipts of which goods may have left, or be back
        self._concerned: set[str] = set()  # receipts whose lots may stand otherwise
        self._is_all = False
        if count:
            about: dict[str, int | str] = {"by": count.by, "rows": len(count.rows), "digest": count.digest}
            about |= {"case": count.case} if count.case else {}
            log.say(event(EventType.COUNT_TAKEN, min(count.at_ms, self._now_ms), count.warehouse, **about))

    def touch_all(self) -> None:
        """Everything: the book is another one, or it is not known what was judged last."""
        self._is_all = True
        live = [one for one in self._receipts.receipts() if one.is_live]
        self._pools = {pool for one in live for pool in _pools_of(one)} | self._shortages.keys()
        self._zones = {*self._book.zones, *self._not_at_rest()}
        for case in self._cases.open.values():
            if case.kind in _OF_ZONES:
                self._zones.add(case.subject[0])
            elif case.kind != LEFT:
                self._pools |= {Pool.of(key) for key in case.keys}
        self._names = {one.id for one in live} | {name for name, _ in (*self._gone, *self._found)}
        self._touched = {*self._strays.of}

    def touch(self, before: Judged, zones: set[str], moved: set[str], strays: set[Departure]) -> None:
        """What is not as it was, with `zones` that were heard of, receipts of which goods have `moved`, and `strays`
        that have; and what time brings."""
        keys = self._state.stock.changed_keys(before.stock) | self._counted_otherwise()
        self._courses = before.known.without(frozenset(map(name_of, keys)))
        self._coming = {pool: at_ms for pool, at_ms in before.coming.items() if at_ms > self._now_ms}
        names = set(self._receipts.changed(before.receipts))
        for book in (before.receipts, self._receipts):
            some = (book.get(name) for name in names)
            self._pools |= {pool for one in some if one is not None for pool in _pools_of(one)}
        self._pools |= {Pool.of(key) for key in keys} | (before.coming.keys() - self._coming.keys())
        self._zones = zones | self._not_at_rest() | _zones_of(self._book, keys)
        pools = {Pool.of(key) for key in self._counted}
        counted = {name for pool in pools for name in self._receipts.claiming(*pool)}
        self._names = names | moved | counted
        self._touched = strays | self._strays.of_keys(keys | self._counted)
        self._concerned |= names

    def _not_at_rest(self) -> set[str]:
        """The zones that differ, or have missed what was not found since."""
        return {asset for asset, _ in self._differing} | {asset for asset, _, _ in self._unfound}

    def _counted_otherwise(self) -> set[StockKey]:
        """The keys that were counted, or whose count or ceiling is another one or known no more."""
        before, now = self._state.watch, self._watch
        if now is before:
            return set()
        found = {*self._counted, *(before.counts.of.keys() - now.counts.of.keys())}
        for pool in before.ceilings.keys() | now.ceilings.keys():
            if before.ceilings.get(pool) is not now.ceilings.get(pool):
                found |= self._kept.keys_of(pool)
        return found

    def judged(self) -> State:
        """The state after the entry."""
        self._departures()
        self._find_losses()
        self._judge_zones()
        for pool in sorted(self._pools):
            self._pool(pool)
        self._forget_what_is_due()
        self._cases.fall_due()
        lots = self._lots()
        left = self._gone, self._strays, self._brief
        teller = Teller(self._book, self._receipts, *left, lots, self._log, self._now_ms)
        told = teller.tell(self._watch.told, None if self._is_all else self._concerned)
        watch = replace(
            self._watch,
            ceilings=self._losing.ceilings,
            signals=self._heard,
            cases=self._cases.kept(),
            numbered=self._cases.numbered,
            shortages=self._shortages,
            differing=self._differing,
            tares=self._tares,
            answered=self._answered,
            gone=self._gone,
            found=self._found,
            unfound=self._unfound,
            strays=self._strays,
            told=told,
            judged=self._done(),
        )
        return replace(self._state, receipts=self._receipts, watch=watch, held=lots)

    def _done(self) -> Judged | None:
        """What need not be looked at again; None where cases that found no room can be opened now."""
        before = self._watch.judged
        lacked_room = self._cases.lacked_room or (before is not None and before.lacked_room and not self._is_all)
        if lacked_room and self._cases.has_room:
            return None
        return Judged(
            self._state.stock,
            self._receipts,
            self._next_ms(),
            self._kept.known,
            self._gone_by_key,
            self._coming,
            lacked_room,
        )

    def _departures(self) -> None:
        """What has left, and was not found by a count since; a receipt of which goods are newly found to have left is
        frozen."""
        before = [one for one in (*self._gone.values(), *self._found.values()) if one.receipt in self._names]
        found = {*self._found.values()}
        known = gates.followed(self._receipts, self._names, before)
        # What a count has found and is surrendered since may leave: nothing is known of it any more.
        known = {place: one for place, one in known.items() if one not in found or self._claimed_milli(place)}
        was_found = {place for place, one in known.items() if one in found}
        lost = {*before} - found - {*known.values()}
        some = gates.left(self._book, self._receipts, self._heard, self._state.assets, self._names, known)
        for one in before:
            self._gone.pop(one.place, None)
            self._found.pop(one.place, None)
        for one in some:
            place, was = one.place, known.get(one.place)
            after, is_found = self._asked(one, was, was_found=place in was_found)
            if is_found and not self._claimed_milli(place):
                continue
            (self._found if is_found else self._gone)[place] = after
            # What a count has found before the receipt was issued is none of its departures.
            is_new = was is None and not (is_found and after.counted_ms <= one.of.issued_ms)
            if is_new or (was is not None and place in was_found and was.counted_ms <= one.at_ms):
                self._freeze(one.receipt)
            if is_new and is_found:
                self._brief[place] = after
        self._freeze_what_is_back({one.place for one in some} | (known.keys() - was_found))
        strays = self._stray(lost)
        assert all(self._is_kept(one, known) or self._has_ended(one) for one in {*before} - found), (
            "goods that had left are forgotten"
        )
        changed = {*before, *some, *strays}
        self._stock_without_what_left({one.of.key for one in changed})
        self._cases_of_what_left(changed)
        for name in {name for name, _ in self._brief}:
            self._touch_receipt(name)

    def _claimed_milli(self, place: tuple[str, int]) -> int:
        """How much of a line of a receipt nobody has surrendered."""
        name, number = place
        return gates.line_of(self._known(name), number).goods.quantity_milli

    def _is_kept(self, one: Departure, known: Mapping[tuple[str, int], Departure]) -> bool:
        """Whether what had left is known to be away still, or was found, on a line or as a stray."""
        places = [place for place, was in known.items() if was == one]
        strays = [
            stray for stray in self._strays.of_receipt(one.receipt) if (stray.place, stray.of) == (one.place, one.of)
        ]
        return len(strays) + sum((place in self._gone) + (place in self._found) for place in places) == 1

    def _has_ended(self, one: Departure) -> bool:
        """Whether goods are back, or a count says what there is of their key since."""
        counted = self._counts.get(one.of.key)
        is_counted = counted is not None and counted.at_ms > one.at_ms
        return is_counted or gates.gone(self._book, one, self._heard, self._state.assets) is None

    def _freeze_what_is_back(self, away: set[tuple[str, int]]) -> None:
        """Freeze the receipts of lines that were away and are back before that is heard: all that went out but for
        those that are `away`, or were known to be."""
        for one in gates.went_out(self._book, self._receipts, self._names, self._watch.signals, self._heard):
            if one.place not in away:
                self._freeze(one.receipt)
                self._brief[one.place] = one

    def _stray(self, lost: set[Departure]) -> set[Departure]:
        """What has left and is claimed by its names no more, with what is `lost` now, as far as it is not back, and its
        key was not counted since: what a count says is so from then on. Those that were touched, as they were before
        and as they are."""
        changed = lost | self._touched
        after = []
        for one in changed:
            known = gates.gone(self._book, one, self._heard, self._state.assets)
            counted = self._counts.get(one.of.key)
            if known is not None and (counted is None or counted.at_ms <= known.at_ms):
                after.append(known)
        if lost or {*after} != self._touched:
            self._strays = Strays([*({*self._strays.of} - self._touched), *after])
        return changed.union(after)

    def _cases_of_what_left(self, changed: set[Departure]) -> None:
        """A case for each line of a receipt of which goods have left: all that a live receipt claims of them, and
        what the stock system has not booked out where that is more."""
        keys = {one.of.key for one in changed}
        places = {one.place for one in (*changed, *self._strays.of_keys(keys))}
        strays = [one for name in {name for name, _ in places} for one in self._strays.of_receipt(name)]
        surrendered = {place for place in places if place in self._gone and self._claims_less(self._gone[place])}
        beside = {one.of.key for one in (*strays, *(self._gone[place] for place in surrendered))}
        every = {*self._strays.of_keys(beside), *(one for one in self._gone.values() if one.of.key in beside)}
        unbooked = ceilings.unbooked_of(self._state.stock, every if beside else (), NEVER)
        for place in sorted(places):
            found = {one: unbooked[one] for one in strays if one.place == place and unbooked[one]}
            live = self._gone.get(place)
            if live is not None:
                milli = max(self._claimed_milli(place), unbooked[live] if place in surrendered else 0)
                found |= {live: milli} if milli else {}
            about = LEFT, self._known(place[0]).warehouse, (place[0], str(place[1]))
            mismatch = None
            if found:
                milli, some = sum(found.values()), tuple(sorted({one.of.key for one in found}))
                was_counted = all(one.counted_ms > one.at_ms for one in found)
                mismatch = Mismatch(*about, milli, milli, some, was_counted=was_counted)
            self._cases.settle((*about[:2], *about[2]), mismatch)
            self._touch_receipt(place[0])
        for key in keys:
            self._pools.add(Pool.of(key))

    def _claims_less(self, one: Departure) -> bool:
        """Whether some of what has left of a line was surrendered since."""
        return self._claimed_milli(one.place) < one.of.goods.quantity_milli

    def _asked(self, one: Departure, before: Departure | None, *, was_found: bool) -> tuple[Departure, bool]:
        """A departure, and whether a count of its key has found the goods since: all that is claimed of the key is
        there. Each count is asked once, when it or the departure is new; what a count has found stays found where the
        count itself is known no more."""
        since_ms = min([one.at_ms, *(out.passage.at_ms for out in one.outs), *([before.since_ms] if before else [])])
        one = one._replace(since_ms=since_ms, booked_milli=before.booked_milli if before else 0)
        key = one.of.key
        counted = self._counts.get(key)
        is_asked = before is not None and before.counted_ms > one.at_ms
        if before is not None and is_asked and (counted is None or counted.digest == before.by_count):
            return one._replace(by_count=before.by_count, counted_ms=before.counted_ms), was_found
        if counted is None or counted.at_ms <= one.at_ms:
            return one, False
        claims = shortfall.claims_of(Pool.of(key), self._receipts, ())
        one = one._replace(by_count=counted.digest, counted_ms=counted.at_ms)
        return one, counted.milli >= claims.keys.get(key, 0)

    def _stock_without_what_left(self, keys: set[StockKey]) -> None:
        """What is kept, without what has left by name; `keys` are those of which that may be another than before."""
        before = None if self._is_all else self._watch.judged
        self._gone_by_key: Mapping[StockKey, Sequence[Gone]] = (
            before.gone
            if before is not None and not keys
            else ceilings.gone_of((*self._gone.values(), *self._strays.of))
        )
        self._courses = self._courses.without(frozenset(map(name_of, keys)))
        self._kept = Kept(self._state.stock, self._counts, self._courses, self._gone_by_key, self._watch.ceilings)
        self._zones |= _zones_of(self._book, keys)

    def _freeze(self, name: str) -> None:
        before = self._receipts
        self._receipts = life.frozen(before, name)
        if self._receipts is not before:
            one = self._known(name)
            about = {"act": "", "by": "", "head": one.head, "state": one.state.value, "controller": one.controller}
            self._log.say(event(EventType.RECEIPT_CHANGED, self._now_ms, name, **about))

    def _touch_receipt(self, name: str) -> None:
        self._concerned.add(name)
        one = self._receipts.get(name)
        self._pools |= _pools_of(one) if one is not None else set()

    def _find_losses(self) -> None:
        """When pools of which a count has missed goods were short; what is kept of those may be another than before."""
        ceilings_of, before = self._watch.ceilings, None if self._is_all else self._watch.judged
        known = before.known if before is not None else None
        self._losing = Losing(self._kept, ceilings_of, self._state.watch.ceilings, known, self._now_ms)
        for pool in self._losing.of(ceilings_of if self._is_all else self._pools):
            claims = shortfall.claims_of(pool, self._receipts, self._gone)
            is_missed = not self._counted.isdisjoint(ceilings_of[pool].missed)
            since = partial(shortfall.claimed_since, pool, self._receipts)
            if self._losing.find(pool, claims, since, is_missed=is_missed):
                self._zones |= _zones_of(self._book, self._kept.keys_of(pool))

    def _judge_zones(self) -> None:
        """Every zone that is touched, and those that differ always are; what they are short of touches the pools of
        their goods."""
        for asset in sorted(self._zones):
            was = self._is_differing(asset)
            self._pools |= self._missed_in(asset)
            self._zone(asset)
            if was or self._is_differing(asset):
                warehouse, zone = self._book.zones[asset]
                pools = {Pool.of(key) for key in self._kept.keys_in(warehouse.id, zone)}
                self._pools |= {pool for pool in pools if self._receipts.claiming(*pool)}

    def _is_differing(self, asset: str) -> bool:
        return asset in self._book.zones and any((asset, kind) in self._differing for kind in (WEIGHT, PIECES))

    def _missed_in(self, asset: str) -> set[Pool]:
        """The pools of which a zone has missed goods that were not found since."""
        return {pool for zone, _, pool in self._unfound if zone == asset}

    def _zone(self, asset: str) -> None:
        """What a zone is short of, and whether its door was open when it should not have been."""
        known = self._book.zones.get(asset)
        if known is None:
            for about in [one for one in self._cases.open if one[0] in _OF_ZONES and one[2] == asset]:
                self._cases.settle(about, None)
            for kind in (WEIGHT, PIECES):
                self._differing.pop((asset, kind), None)
                self._tares.pop((asset, kind), None)
                self._remember((asset, kind), {}, NEVER, is_lasting=False)
            self._answered.pop(asset, None)
            return
        warehouse, zone = known
        if not self._counted.isdisjoint(self._kept.keys_in(warehouse.id, zone)):
            self._answer(warehouse, zone)
        for kind in (WEIGHT, PIECES):
            mismatch = self._below(warehouse, zone, kind)
            self._cases.settle((kind, warehouse.id, asset), mismatch)
        self._cases.settle((DOOR, warehouse.id, asset), self._door(warehouse, zone))

    def _below(self, warehouse: Warehouse, zone: Zone, kind: str) -> Mismatch | None:
        """What a zone is short of for longer than the warehouse's grace."""
        place, about = (zone.asset, kind), (kind, warehouse.id, zone.asset)
        one, tare = self._deficit(warehouse, zone, kind)
        unseen = {} if one is None else shortfall.unseen_of(one, tare, self._counts)
        at_ms = one.at_ms if one is not None else NEVER
        is_lasting = self._is_lasting(place, 1_000 * warehouse.grace_s, at_ms, is_below=bool(unseen))
        self._remember(place, unseen, at_ms, is_lasting=is_lasting)
        if one is None or not unseen or not is_lasting:
            return None
        for key, milli in unseen.items():
            self._unseen[key] = max(milli, self._unseen.get(key, 0))
            self._unseen_by.setdefault(key, []).append(about)
        keys = tuple(sorted(one.kept))
        missing_milli, of_milli = sum(unseen.values()), sum(one.kept.values())
        return Mismatch(kind, warehouse.id, (zone.asset,), missing_milli, of_milli, keys, one.deficit - tare)

    def _is_lasting(self, place: tuple[str, str], grace_ms: int, at_ms: int, *, is_below: bool) -> bool:
        """Whether a zone has differed by the grace longer than it has not; it is noted whether it does now. `at_ms`: by
        what it has measured then."""
        known = self._differing.pop(place, None)
        owed_ms = known.owed_at_ms(self._now_ms, grace_ms) if known is not None else 0
        is_lasting = known.lasts(self._now_ms, grace_ms) if known is not None else not grace_ms
        said_ms = at_ms if known is None or is_below else known.said_ms
        after = Differing(is_below, self._now_ms, owed_ms, is_lasting and (is_below or at_ms <= said_ms), said_ms)
        is_same = known is not None and (known.is_below, known.is_lasting) == (after.is_below, after.is_lasting)
        if is_below or owed_ms:
            self._differing[place] = known._replace(said_ms=said_ms) if known is not None and is_same else after
        return is_lasting

    def _remember(
        self, place: tuple[str, str], unseen: Mapping[StockKey, int], at_ms: int, *, is_lasting: bool
    ) -> None:
        """Remember what a zone misses, and what of it was put elsewhere without anybody having seen it."""
        missed = dict.fromkeys((pool for *at, pool in self._unfound if tuple(at) == place), 0)
        for key, milli in unseen.items():
            missed[Pool.of(key)] = missed.get(Pool.of(key), 0) + milli
        for pool, milli in missed.items():
            keys = {one.bin: one for one in self._kept.keys_of(pool)}
            own = [key for key in keys.values() if self._book.zone_of_bin.get((key.warehouse, key.bin)) == place[0]]
            stock = self._state.stock
            gained = {name: stock.gained_milli(key) for name, key in keys.items() if key not in own}
            told = unfound.Told(self._now_ms, sum(map(stock.on_hand_milli, own)), gained)
            known = self._unfound.pop((*place, pool), None) or unfound.first(milli, told)
            one = known.after(
                milli,
                told,
                partial(self._is_found, place[0], pool, keys),
                is_lasting=is_lasting,
                put_milli=0 if place[0] in self._spoken else self._kept.put_milli(own, at_ms, self._now_ms),
            )
            if milli or one.milli or one.due_milli:
                self._unfound[*place, pool] = one

    def _forget_what_is_due(self) -> None:
        """What was taken out of a zone may come in elsewhere only as long as something is missing."""
        for place, one in list(self._unfound.items()):
            if not one.missed_milli and not one.milli and place[-1] not in self._shortages:
                del self._unfound[place]

    def _is_found(self, asset: str, pool: Pool, keys: Mapping[str, StockKey], place: str, since_ms: int) -> bool:
        """Whether what a bin has gained was seen there since, or is there no more; of a zone's own, whether it has
        spoken."""
        if place == unfound.OWN:
            known = self._book.zones.get(asset)
            zone_of_bin = self._book.zone_of_bin
            own = [key for key in keys.values() if zone_of_bin.get((key.warehouse, key.bin)) == asset]
            is_told = known is None or shortfall.tells_of(*known, pool.sku, self._heard, since_ms)
            return is_told or self._are_counted(own, since_ms)
        key = keys[place]
        return self._are_counted([key], since_ms) or self._is_watched(key, since_ms)

    def _are_counted(self, keys: Iterable[StockKey], since_ms: int) -> bool:
        """Whether each of some keys of which there is anything was counted since."""
        counted = (self._counts.get(key) for key in keys if self._kept.course(key).told_milli(self._now_ms) > 0)
        return all(one is not None and one.at_ms >= since_ms for one in counted)

    def _is_watched(self, key: StockKey, since_ms: int) -> bool:
        """Whether a zone has said since a moment how much there is in a key's bin, and is not short; what it has been
        short of for longer than the grace is missing there."""
        asset = self._book.zone_of_bin.get((key.warehouse, key.bin))
        if asset is None:
            return False
        warehouse, zone = self._book.zones[asset]
        if not shortfall.tells_of(warehouse, zone, key.sku, self._heard, since_ms):
            return False
        for kind in (WEIGHT, PIECES):
            one, tare = self._deficit(warehouse, zone, kind)
            known, grace_ms = self._differing.get((asset, kind)), 1_000 * warehouse.grace_s
            is_lasting = known is not None and known.lasts(self._now_ms, grace_ms)
            if one is not None and shortfall.unseen_of(one, tare, self._counts) and not is_lasting:
                return False
        return True

    def _deficit(self, warehouse: Warehouse, zone: Zone, kind: str) -> tuple[Deficit | None, int]:
        """By how much an instrument is below what is kept in its zone, and how much of that is its own."""
        place, counted_ms = (zone.asset, kind), tares.counted_ms(warehouse, zone, self._kept)
        said = shortfall.said_of(zone, self._heard, -NEVER if counted_ms is None else counted_ms)
        off = tares.offs(warehouse, zone, kind, self._kept)
        known, tare = self._tares.pop(place, None), 0
        if counted_ms is not None:
            before = self._watch.signals
            known, tare = tares.tare_of(known, place, said, counted_ms, self._heard, before, off)
            if known is not None:
                self._tares[place] = known
        return off(said), tare

    def _answer(self, warehouse: Warehouse, zone: Zone) -> None:
        """Note that all that is kept in a zone was counted, and when."""
        at_ms = tares.counted_ms(warehouse, zone, self._kept)
        if at_ms is not None:
            self._answered[zone.asset] = max(at_ms, self._answered.get(zone.asset, at_ms))

    def _door(self, warehouse: Warehouse, zone: Zone) -> Mismatch | None:
        """How often a zone's door was open out of hours since its goods were counted; where there were none, it was
        not."""
        if warehouse.hours is None:
            return None
        case = self._cases.open.get((DOOR, warehouse.id, zone.asset))
        counted_ms = self._cases.answered_ms(case) if case else None
        if counted_ms is not None:
            self._answered[zone.asset] = max(counted_ms, self._answered.get(zone.asset, counted_ms))
        since_ms = self._answered.get(zone.asset, -NEVER)
        moments = [one.at_ms for one in self._heard.openings(zone.asset) if one.at_ms > since_ms]
        moments = [at_ms for at_ms in moments if not warehouse.hours.is_open(at_ms)]
        kept = self._kept.within(warehouse.id, zone, moments[-1]) if moments else {}
        about = DOOR, warehouse.id, (zone.asset,), 0, sum(kept.values()), tuple(sorted(kept)), len(moments)
        return Mismatch(*about) if kept else None

    def _pool(self, pool: Pool) -> None:
        """What receipts claim of a pool against what is there."""
        claims = shortfall.claims_of(pool, self._receipts, self._gone)
        keys = {*self._kept.keys_of(pool), *claims.keys} if claims.of else set[StockKey]()
        kept = {key: self._kept.milli(key, self._now_ms) for key in keys}
        unseen = {key: min(self._unseen.get(key, 0), max(0, milli)) for key, milli in kept.items()}
        least_milli, next_ms = self._kept.least(keys, self._now_ms)
        least_milli -= self._kept.debt_milli(keys)
        self._coming.pop(pool, None)
        if next_ms < NEVER:
            self._coming[pool] = next_ms
        unfound_milli = self._unfound_milli(pool)
        shortage = shortfall.shortage_of(claims, max(0, least_milli - sum(unseen.values()) - unfound_milli))
        below_milli = claims.staying_milli - max(0, least_milli)
        self._below_receipts(pool, claims, kept, below_milli)
        is_short = shortage.missing_milli > sum(claims.left.values())
        if kept and self._losing.hear(pool, is_short=is_short):
            self._pool(pool)  # what is told ahead may count otherwise
            return
        self._uncounted(pool, kept, unfound_milli, is_short=below_milli > 0 or (unfound_milli > 0 and is_short))
        self._misplaced(pool, claims, kept, is_covered=below_milli <= 0)
        before = self._shortages.pop(pool, NOTHING_MISSING)
        if shortage.missing_milli:
            shortage = shortage._replace(cases=self._cases_of(pool, claims, unseen))
            self._shortages[pool] = shortage
        if shortage != before:
            self._concerned.update(before.shares, shortage.shares)

    def _unfound_milli(self, pool: Pool) -> int:
        """What zones have missed of a pool, and nobody has found since: of each zone by what has missed more."""
        by_zone = dict[str, int]()
        for (asset, _, one), known in self._unfound.items():
            if one == pool:
                by_zone[asset] = max(known.milli, by_zone.get(asset, 0))
        return sum(by_zone.values())

    def _uncounted(self, pool: Pool, kept: dict[StockKey, int], unfound_milli: int, *, is_short: bool) -> None:
        """A case of goods that a count or a zone has missed and that the stock system has in bins which nobody has
        counted since."""
        told = {key: self._kept.course(key).told_milli(self._now_ms) for key in kept}
        above = {key: milli - kept[key] for key, milli in told.items() if milli > kept[key]}
        places = {place for (*_, about), one in self._unfound.items() if about == pool for place in one.hiding()}
        hiding = [key for key, milli in told.items() if milli > 0 and key.bin in places]
        keys = tuple(sorted({*above, *hiding}))
        more_milli, of_milli = sum(above.values()) + unfound_milli, sum(told[key] for key in keys)
        about = UNCOUNTED, pool.warehouse, pool[1:], more_milli, of_milli, keys
        self._cases.settle((UNCOUNTED, *_about(pool)), Mismatch(*about) if keys and is_short else None)

    def _below_receipts(self, pool: Pool, claims: Claims, kept: dict[StockKey, int], below_milli: int) -> None:
        """A case where stock and counts are below what receipts claim: by the stock system's word, which asks for a
        count, or by that of a count."""
        stock, count = ((kind, *_about(pool)) for kind in _OF_POOLS)
        case = self._cases.open.get(stock)
        is_counted = not self._counted.isdisjoint(kept)
        if case is not None:
            is_counted = self._cases.answered_ms(case) is not None
        is_counted = is_counted or count in self._cases.open
        mismatch = None
        if below_milli > 0:
            keys = tuple(sorted(key for key, milli in kept.items() if milli or key in claims.keys))
            kind = COUNT if is_counted else STOCK
            mismatch = Mismatch(kind, pool.warehouse, pool[1:], below_milli, claims.staying_milli, keys)
        self._cases.settle(stock, mismatch if mismatch and mismatch.kind == STOCK else None)
        self._cases.settle(count, mismatch if mismatch and mismatch.kind == COUNT else None)

    def _misplaced(self, pool: Pool, claims: Claims, kept: dict[StockKey, int], *, is_covered: bool) -> None:
        """Cases of goods that are there, but not in the bins of their receipts."""
        known = [one for one in self._cases.open.values() if one.kind == MISPLACED and Pool.of(one.keys[0]) == pool]
        for key in sorted({*claims.keys, *(case.keys[0] for case in known)}):
            needed = claims.keys.get(key, 0)
            less = needed - max(0, kept.get(key, 0))
            mismatch = Mismatch(MISPLACED, pool.warehouse, key[1:], less, needed, (key,))
            self._cases.settle(mismatch.about, mismatch if is_covered and less > 0 else None)

    def _cases_of(self, pool: Pool, claims: Claims, unseen: dict[StockKey, int]) -> tuple[str, ...]:
        """The ids of the cases that say that a pool is short."""
        abouts = {(kind, *_about(pool)) for kind in _OF_POOLS}
        abouts.update(about for key, milli in unseen.items() if milli for about in self._unseen_by[key])
        if self._unfound_milli(pool):
            abouts.add((UNCOUNTED, *_about(pool)))
        names = {name for name, milli in claims.left.items() if milli}
        abouts.update((LEFT, pool.warehouse, name, str(line)) for name, line in self._gone if name in names)
        found = (self._cases.open.get(about) for about in abouts)
        return tuple(sorted(case.id for case in found if case is not None))

    def _lots(self) -> dict[str, HeldByReceipt]:
        """How lots stand by their electronic receipts."""
        if self._is_all:
            return held.held_of(self._book, self._receipts, self._shortages)
        return {
            **self._state.held,
            **held.held_by(self._book, self._receipts, self._shortages, self._concerned),
        }

    def _next_ms(self) -> int:
        """The next moment at which time alone may change anything."""
        moments = [*(case.due_ms for case in self._cases.waiting()), *self._coming.values()]
        for (asset, _), one in self._differing.items():
            warehouse, _ = self._book.zones[asset]
            moments.append(one.since_ms + (1_000 * warehouse.grace_s - one.owed_ms if one.is_below else one.owed_ms))
        return min((at_ms for at_ms in moments if at_ms > self._now_ms), default=NEVER)

    def _known(self, name: str) -> Receipt:
        one = self._receipts.get(name)
        assert one is not None, f"there is no receipt {name}"
        return one


def _pools_of(receipt: Receipt) -> set[Pool]:
    return {Pool(receipt.warehouse, receipt.depositor, one.sku, one.unit) for one in receipt.goods}


def _zones_of(book: Book, keys: Iterable[StockKey]) -> set[str]:
    """The zones that goods are in."""
    found = (book.zone_of_bin.get((key.warehouse, key.bin)) for key in keys)
    return {asset for asset in found if asset is not None}


def _about(pool: Pool) -> tuple[str, ...]:
    return pool.warehouse, *pool[1:]
