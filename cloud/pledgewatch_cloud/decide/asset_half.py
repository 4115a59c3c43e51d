"""The asset half: what an entry's readings, and the time that has passed, mean for each asset.

Readings take one of two lanes: calm ones move columns (`calm.py`), the others are folded asset by asset (`asset.py`).
`share_out` takes the calm lane and names the assets that must be folded again and since when; what their devices said
since then and what was said about them is fetched from disk and given to `judge`, which does the rest.

A payload of a device that comes back holds hundreds of readings, and the one that is not calm is seldom more than the
first: so of many readings of an asset a few are folded, the rest is tried by the lane again, and so on, more each time.
"""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from pledgewatch_cloud.decide import asset as asset_module
from pledgewatch_cloud.decide import calm
from pledgewatch_cloud.decide.asset import AssetState, Key, Placed
from pledgewatch_cloud.decide.batch import AssetReading, Batch, Entry, Readings, Tick, batch_of_readings
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.calm import Assets
from pledgewatch_cloud.decide.columns import Numbers
from pledgewatch_cloud.decide.events import Because, EventType, Found, SaidEvent, difference, event, retraction
from pledgewatch_cloud.decide.geofence import E7
from pledgewatch_cloud.decide.grade import Doubt
from pledgewatch_cloud.decide.log import Log
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_wire.reading import Channel

# So many readings of an asset are folded before the lane is tried with the rest; each time FEW times as many.
FEW = 4
NO_ROWS: Numbers = np.zeros(0, dtype=np.int64)


class AssetHistory(NamedTuple):
    """What an asset's devices have said, measured after `since_ms`, in any order; and the events about it that stand
    and were first found after that moment."""

    since_ms: int
    readings: tuple[AssetReading, ...]
    said: tuple[SaidEvent, ...]


class Share(NamedTuple):
    """Readings of one asset for the fold, in order: evidence, and what is none with the reason.

    `withheld_ms` is the earliest of those that time has not come to yet; `rest` the rows of those that follow, which
    nobody has looked at.
    """

    evidence: list[AssetReading]
    withheld_ms: int
    disregarded: list[tuple[AssetReading, Doubt]]
    rest: Numbers = NO_ROWS


class Work(NamedTuple):
    """What is left of an entry after the calm lane.

    `assets` are those after the lane, `shares` what it has left of `batch`, by asset. `wanted`: the assets whose
    history `judge` must be given, and the moment after which it is needed.
    """

    assets: Assets
    batch: Batch
    shares: Mapping[str, Share]
    wanted: Mapping[str, int]


def share_out(book: Book, assets: Assets, batch: Batch, now_ms: int) -> Work:
    """Fold the calm ones of new readings, and look at how the others come."""
    assets, rows = calm.fold(assets, book.fence_index, batch, np.arange(len(batch)), now_ms)
    shares = _shares(book, batch, rows, FEW, now_ms)
    wanted: dict[str, int] = {}
    for asset, first in shares.items():
        known, share = assets.get(asset, asset_module.EMPTY), first
        if len(share.rest) and (not _goes_on(known, share.evidence) or known.withheld_ms <= now_ms):
            share = shares[asset] = _with_rest(book, asset, batch, share, now_ms)
        is_late = share.evidence and not asset_module.in_order(known, book.plan_of(asset), share.evidence)
        if is_late or known.withheld_ms <= now_ms:
            # What waits for its time is known to the disk alone: a fold anew begins before it.
            first_ms = min([known.withheld_ms, *(fresh.measured_at_ms for fresh in share.evidence[:1])])
            wanted[asset] = asset_module.start_before(known, first_ms)[0]
    return Work(assets, batch, shares, wanted)


def time_come(assets: Assets, now_ms: int) -> Work:
    """What a tick leaves: assets with readings whose time has come."""
    wanted = {}
    for asset, waiting in assets.folded.items():
        if waiting.withheld_ms <= now_ms:
            known = assets[asset]
            wanted[asset] = asset_module.start_before(known, known.withheld_ms)[0]
    return Work(assets, batch_of_readings(()), {}, wanted)


def amended(state: State, after: Book) -> Work:
    """What an amendment leaves: assets that are to be folded again from the beginning."""
    return Work(state.assets, batch_of_readings(()), {}, dict.fromkeys(_amended_assets(state, after), -NEVER))


def nothing(assets: Assets) -> Work:
    """What an entry leaves that is about no asset."""
    return Work(assets, batch_of_readings(()), {}, {})


def judge(state: State, work: Work, history: Mapping[str, AssetHistory], entry: Entry, log: Log) -> Assets:
    """Fold the readings of each asset on, or again from before them where history was asked for; then time passes.

    `state` has the entry's time, horizon and book already.
    """
    book, horizon_ms = state.book, state.horizon_ms
    folding = _Folding(state, work, history, entry.recorded_at_ms)
    folding.fold_all()
    for asset in sorted(folding.disregarded):
        _tell_of_clocks(asset, folding.disregarded[asset], entry, log)
    touched = set(folding.found)
    if isinstance(entry.content, Tick):
        touched |= folding.assets.overdue(horizon_ms) | (book.assets_waited_for - folding.assets.keys())
    for asset in sorted(touched):
        known = folding.state_of(asset)
        after, passed = asset_module.pass_time(known, asset, book.plan_of(asset), horizon_ms)
        withheld_ms = folding.withheld_ms.get(asset, known.withheld_ms)
        if withheld_ms != after.withheld_ms:
            after = after._replace(withheld_ms=withheld_ms)
        if after is not known:
            folding.states[asset] = after
        # In the order of the fold's own time, wherever the fold began.
        found = sorted([*folding.found.get(asset, ()), *passed], key=_told_ms)
        if asset in history:
            is_late = isinstance(entry.content, Readings)
            _say_difference(history[asset].said, found, Because.LATE_READING if is_late else "", log)
        else:
            for one in found:
                log.say(*one)
    return folding.assets.refolded(folding.states, book)


class _Folding:
    """The folds of an entry. After them `states` has those that `assets` has not yet."""

    def __init__(self, state: State, work: Work, history: Mapping[str, AssetHistory], now_ms: int) -> None:
        self.assets = work.assets
        self.states: dict[str, AssetState] = {}
        self.found: dict[str, list[Found]] = {}
        self.disregarded: dict[str, list[tuple[AssetReading, Doubt]]] = {}
        self.withheld_ms: dict[str, int] = {}
        self._book, self._batch, self._now_ms = state.book, work.batch, now_ms
        self._shares = dict(work.shares)
        for asset, past in history.items():
            known = work.assets.get(asset, asset_module.EMPTY)
            begun = asset_module.start_before(known, past.since_ms + 1)[1]
            self.states[asset] = begun._replace(withheld_ms=NEVER)
            fresh = self._shares.get(asset, Share([], NEVER, []))
            before = _share(self._book, asset, past.readings, now_ms)
            every = {one.key: one for one in (*before.evidence, *fresh.evidence)}
            evidence = [every[key] for key in sorted(every)]
            withheld_ms = min(before.withheld_ms, fresh.withheld_ms)
            self._shares[asset] = Share(evidence, withheld_ms, fresh.disregarded)

    def state_of(self, asset: str) -> AssetState:
        """The asset's state as far as the fold has come."""
        known = self.states.get(asset)
        return self.assets.get(asset, asset_module.EMPTY) if known is None else known

    def fold_all(self) -> None:
        """Fold every share; what is left of it by the lane again, and by the fold."""
        book, few = self._book, FEW
        while self._shares:
            placed = _placed(book, {asset: share.evidence for asset, share in self._shares.items()})
            for asset, share in self._shares.items():
                known = self.state_of(asset)
                self.states[asset], found = asset_module.fold(known, asset, book.plan_of(asset), placed[asset])
                self.found.setdefault(asset, []).extend(found)
                self.disregarded.setdefault(asset, []).extend(share.disregarded)
                withheld_ms = self.withheld_ms.get(asset, known.withheld_ms)
                self.withheld_ms[asset] = min(withheld_ms, share.withheld_ms)
            rests = [share.rest for share in self._shares.values() if len(share.rest)]
            if not rests:
                return
            few *= FEW
            begun = {asset: self.states.pop(asset) for asset, share in self._shares.items() if len(share.rest)}
            self.assets = self.assets.refolded(begun, book)
            rest = np.concatenate(rests)
            self.assets, left = calm.fold(self.assets, book.fence_index, self._batch, rest, self._now_ms)
            self._shares = _shares(book, self._batch, left, few, self._now_ms)


def _goes_on(known: AssetState, evidence: list[AssetReading]) -> bool:
    """Whether readings begin after all that is known, so that those after them do too."""
    if not evidence:
        return False
    first = evidence[0]
    return first.measured_at_ms > known.told_ms and (known.newest is None or first.key > known.newest)


def _shares(book: Book, batch: Batch, rows: Numbers, few: int, now_ms: int) -> dict[str, Share]:
    """Readings by the asset that their device is fitted to; where they are many of one device, a few and the rest."""
    if not len(rows):
        return {}
    asset_of = [book.installations[device].asset for device in batch.devices]
    numbers = {asset: number for number, asset in enumerate(dict.fromkeys(asset_of))}
    columns, payload = batch.columns, batch.payload[rows]
    number = np.array([numbers[asset] for asset in asset_of], dtype=np.int64)[payload]
    epoch = np.array(batch.epochs, dtype=np.int64)[payload]
    order = np.lexsort((columns.sequence[rows], epoch, columns.measured_at_ms[rows], number))
    rows, number, payload = rows[order], number[order], payload[order]
    bounds = [0, *(np.flatnonzero(number[1:] != number[:-1]) + 1).tolist(), len(rows)]
    cuts = []
    for first, last in pairwise(bounds):
        asset = asset_of[payload[first]]
        is_many = last - first > 2 * few and len(book.devices_of_asset(asset)) == 1
        cuts.append((asset, first, first + few if is_many else last, last))
    objects = batch.objects(np.concatenate([rows[first:cut] for _, first, cut, _ in cuts]))
    found, place = {}, 0
    for asset, first, cut, last in cuts:
        some = sorted(objects[place : place + cut - first], key=_key)
        place += cut - first
        found[asset] = _share(book, asset, some, now_ms)._replace(rest=rows[cut:last])
    return found


def _key(one: AssetReading) -> Key:
    return one.key


def _with_rest(book: Book, asset: str, batch: Batch, share: Share, now_ms: int) -> Share:
    """A share with the rest looked at too."""
    evidence, withheld_ms, disregarded, rest = share
    more = _share(book, asset, batch.objects(rest), now_ms)
    return Share(evidence + more.evidence, min(withheld_ms, more.withheld_ms), disregarded + more.disregarded)


def _share(book: Book, asset: str, readings: Iterable[AssetReading], now_ms: int) -> Share:
    devices = book.plan_of(asset).devices
    evidence: list[AssetReading] = []
    withheld_ms = NEVER
    disregarded = []
    for one in readings:
        fitted = devices[one.device]
        doubt = asset_module.disregarded(one, fitted, now_ms)
        if doubt is not None:
            disregarded.append((one, doubt))
        elif one.measured_at_ms > now_ms + fitted.ahead_ms:
            withheld_ms = min(withheld_ms, one.measured_at_ms)
            disregarded.append((one, Doubt.IN_THE_FUTURE))
        else:
            evidence.append(one)
    return Share(evidence, withheld_ms, disregarded)


def _told_ms(found: Found) -> int:
    return found.told_ms


def _say_difference(said: Iterable[SaidEvent], found: Iterable[Found], because: str, log: Log) -> None:
    amended = difference(said, found)
    for one in amended.retracted:
        log.say(retraction(one.id, one.event), because=because)
    for one_new, replaces in amended.news:
        log.say(one_new.event, one_new.told_ms, replaces, because)


def _tell_of_clocks(asset: str, disregarded: Iterable[tuple[AssetReading, Doubt]], entry: Entry, log: Log) -> None:
    """One event for each device and doubt of a batch whose readings are no evidence because of their time."""
    told = set()
    for one, doubt in disregarded:
        if (one.device, doubt) in told:
            continue
        told.add((one.device, doubt))
        about: dict[str, int | str] = {"device": one.device, "epoch": one.epoch, "sequence": one.sequence}
        measured = {"measured_at_ms": one.measured_at_ms, "doubt": doubt.value}
        log.say(event(EventType.CLOCK_DOUBTED, entry.recorded_at_ms, asset, **about, **measured))


def story(
    book: Book, asset: str, readings: Iterable[AssetReading], horizon_ms: int, as_of_ms: int, known_at_ms: int
) -> tuple[AssetState, list[Found]]:
    """What readings, known at a moment, tell of an asset as of another: its state then, and what was found by then.

    `horizon_ms` is how far devices were heard; see Tick.
    """
    plan = book.plan_of(asset)
    evidence = [one for one in _share(book, asset, readings, known_at_ms).evidence if one.measured_at_ms <= as_of_ms]
    placed = _placed(book, {asset: sorted(evidence, key=_key)})
    state, found = asset_module.fold(asset_module.EMPTY, asset, plan, placed[asset])
    state, passed = asset_module.pass_time(state, asset, plan, min(horizon_ms, as_of_ms))
    return state, sorted([*found, *passed], key=_told_ms)


def _placed(book: Book, evidence: Mapping[str, list[AssetReading]]) -> dict[str, list[Placed]]:
    """Every asset's readings with their fences, from one pass over all of them."""
    latitudes: list[int] = []
    longitudes: list[int] = []
    rows: list[int] = []
    row = 0
    for some in evidence.values():
        for one in some:
            latitude = longitude = None
            for channel, value, _ in one.reading.cells:
                if channel == Channel.LATITUDE_E7:
                    latitude = value
                elif channel == Channel.LONGITUDE_E7:
                    longitude = value
                    break
            if latitude is not None and longitude is not None:
                latitudes.append(latitude)
                longitudes.append(longitude)
                rows.append(row)
            row += 1
    columns = np.array(latitudes, dtype=np.int64), np.array(longitudes, dtype=np.int64)
    inside = {rows[place]: fences for place, fences in calm.fences_at(book.fence_index, *columns)}
    placed = {}
    row = 0
    for asset, some in evidence.items():
        placed[asset] = [Placed(one, inside.get(row + place, ())) for place, one in enumerate(some)]
        row += len(some)
    return placed


def _amended_assets(state: State, after: Book) -> frozenset[str]:
    """Assets whose story an amendment may change: those judged by something else, or that came near a changed fence."""
    before = state.book
    changed = [
        book.fence_index.reach_deg(fence)
        for book, other in ((before, after), (after, before))
        for fence, known in book.fences.items()
        if other.fences.get(fence) != known
    ]
    near = {
        asset
        for asset, known in state.assets.items()
        if known.presence is not None and any(_meets(known.presence.box, reach) for reach in changed)
    }
    return frozenset(near) | frozenset(
        asset
        for asset in state.assets
        if after.plan_of(asset)._replace(ground=state.book.ground)
        != state.book.plan_of(asset)._replace(ground=state.book.ground)
    )


def _meets(box: tuple[int, int, int, int], reach: tuple[float, float, float, float]) -> bool:
    """Whether a box in 1e-7 degrees has anything in common with one in degrees. One beyond ±180 meets all round."""
    south, north, west, east = reach
    if south > box[1] / E7 or north < box[0] / E7:
        return False
    return west < -180 or east > 180 or (west <= box[3] / E7 and east >= box[2] / E7)
