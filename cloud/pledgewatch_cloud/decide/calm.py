"""The calm lane: readings that change nothing but what is newest, folded for a whole batch at once.

Nearly every reading of a fleet comes in order, good in all it says, near the last place and in the same fences, inside
every limit, before anybody was missed. The fold (`asset.py`) finds nothing in it and moves a dozen numbers. Here those
numbers stand in columns, a row for each calm asset (`calm_row.py`), and a batch moves them with some hundred operations
of numpy, whatever its length: each reading is judged as if all before it were calm, up to the first of its asset that
is not. That one and all later ones of its asset are left to the fold; after it the asset gets its row anew.

The lane is a way to be fast and no part of what is known: with it and without, a journal leads to the same bytes
(tests/test_calm.py). What is not certain here is for the fold: a test may be narrower than the fold's, never wider.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pledgewatch_cloud.decide import calm_row
from pledgewatch_cloud.decide.asset import (
    LATEST_MS,
    SAVE_EVERY_READINGS,
    SAVE_PAUSE_MS,
    SAVE_SPACE_MS,
    AssetState,
    saved,
)
from pledgewatch_cloud.decide.batch import Batch
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.calm_row import KINETICS, LOW_BITS, LOW_MASK, PLACE_MASK, SLOTS, WEIGHT_MAX, Row, Shape
from pledgewatch_cloud.decide.columns import Numbers, Truths, between
from pledgewatch_cloud.decide.geodesy import HALF_TURN_E7, POLE_E7
from pledgewatch_cloud.decide.geofence import FenceIndex
from pledgewatch_cloud.decide.kinetic import weight
from pledgewatch_cloud.decide.plausibility import (
    JUMP_SLACK_MM,
    MM_PER_E7,
    MOVING_MMPS,
    POWER_ON_MC,
    POWER_ON_NEAR_MC,
    RANGES,
    TEMPERATURES,
)
from pledgewatch_wire.reading import FEW_SATELLITES_BELOW, HIGH_HDOP_ABOVE_CENTI, Channel, Clock

READINGS_MIN = 12  # fewer cost more than to fold them one by one
INSIDES_MAX = 65_536
_CHANNELS = max(Channel) + 1
_STRETCH_MAX_MS = 2**30
_MARGIN = 1e-9
_FAR = 2**62
_VALUE_MAX_MC = 2**20

Floats = NDArray[np.float64]


class Fixed(NamedTuple):
    """What calm readings do not move, by row; slots and kinetics in further columns."""

    epoch: Numbers
    leg_from_ms: Numbers
    leg_until_ms: Numbers
    save_after_ms: Numbers
    unready: Numbers
    inside: Numbers
    max_speed_mmps: Numbers
    calibrated_until_ms: Numbers
    ahead_ms: Numbers
    patience_ms: Numbers
    channel: Numbers
    low: Numbers
    high: Numbers
    slot_patience_ms: Numbers
    stuck_ms: Numbers
    kinetic_slot: Numbers
    gap_ms: Numbers
    activation_j_mol: Numbers
    level: Numbers
    unknown_ms: Numbers
    bound_high: Floats
    bound_low: Floats
    bound_worst: Floats


class Moving(NamedTuple):
    """What calm readings move, by row."""

    calm: Truths
    moved: Truths
    newest_ms: Numbers
    sequence: Numbers
    floor_ms: Numbers
    unsaved: Numbers
    fix_ms: Numbers
    fix_sequence: Numbers
    latitude_e7: Numbers
    longitude_e7: Numbers
    south: Numbers
    north: Numbers
    west: Numbers
    east: Numbers
    at_ms: Numbers
    slot_sequence: Numbers
    value: Numbers
    since_ms: Numbers
    sum_high: Numbers
    sum_low: Numbers
    known_ms: Numbers
    weight: Numbers


_WIDE = {"channel", "low", "high", "slot_patience_ms", "stuck_ms", "at_ms", "slot_sequence", "value", "since_ms"}
_KINETIC = {"kinetic_slot", "gap_ms", "activation_j_mol", "level", "unknown_ms", "bound_high", "bound_low"}
_KINETIC |= {"bound_worst", "sum_high", "sum_low", "known_ms", "weight"}


def _columns(kind: Any, rows: int) -> Any:
    """Columns of zeros."""
    types = {"calm": np.bool_, "moved": np.bool_, "bound_high": np.float64, "bound_low": np.float64}
    types["bound_worst"] = np.float64
    found: list[NDArray[Any]] = []
    for name in kind._fields:
        shape: tuple[int, ...] = (rows, SLOTS) if name in _WIDE else (rows, KINETICS) if name in _KINETIC else (rows,)
        found.append(np.zeros(shape, dtype=types.get(name, np.int64)))
    return kind(*found)


def _copied(columns: Any) -> Any:
    return type(columns)(*(column.copy() for column in columns))


class Table(NamedTuple):
    """The rows. Never changed once it belongs to a state: what moves is copied before.

    `rows` and `devices` give an asset's and a device's row, `shapes` and `assets` what stands in it; `insides` the
    fences that a number stands for, `inside_numbers` the way back. Both only grow, so older tables may share them.
    """

    rows: dict[str, int]
    devices: dict[str, int]
    assets: list[str]
    shapes: list[Shape]
    fixed: Fixed
    moving: Moving
    insides: list[tuple[str, ...]]
    inside_numbers: dict[tuple[str, ...], int]


def empty() -> Table:
    """No rows."""
    return Table({}, {}, [], [], _columns(Fixed, 0), _columns(Moving, 0), [()], {(): 0})


class Assets(Mapping[str, AssetState]):
    """Every asset's state by name: as the fold left it, and what calm readings have moved since."""

    def __init__(self, folded: Mapping[str, AssetState], table: Table | None = None) -> None:
        """`folded` are the states that the table's rows were made from, and those without a row."""
        self.folded = folded
        self.table = empty() if table is None else table

    def __getitem__(self, asset: str) -> AssetState:
        """The state; KeyError for an asset that nothing is known of."""
        state = self.folded[asset]
        row = self.table.rows.get(asset)
        if row is None or not self.table.moving.moved[row]:
            return state
        return calm_row.state_of(state, self.table.shapes[row], _row(self.table, row))

    def __iter__(self) -> Iterator[str]:
        """The assets' names."""
        return iter(self.folded)

    def __len__(self) -> int:
        """How many there are."""
        return len(self.folded)

    def __contains__(self, asset: object) -> bool:
        """Whether anything is known of it."""
        return asset in self.folded

    def overdue(self, horizon_ms: int) -> set[str]:
        """The assets of which time alone may show something when it has come to the horizon."""
        table, moving = self.table, self.table.moving
        found = {table.assets[row] for row in np.flatnonzero(moving.calm & (_due_ms(table) < horizon_ms)).tolist()}
        calm = {table.assets[row] for row in np.flatnonzero(moving.calm).tolist()}
        found.update(asset for asset, one in self.folded.items() if asset not in calm and one.due_ms < horizon_ms)
        return found

    def steady(self, now_ms: int) -> dict[str, tuple[int, int]]:
        """By name the calm assets with a place of which time alone shows nothing yet: their latitude and longitude."""
        table, moving = self.table, self.table.moving
        rows = np.flatnonzero(moving.calm & (_due_ms(table) >= now_ms) & (table.fixed.unready & PLACE_MASK == 0))
        places = zip(*(one[rows].tolist() for one in (moving.latitude_e7, moving.longitude_e7)), strict=True)
        return dict(zip((table.assets[row] for row in rows.tolist()), places, strict=True))

    @property
    def whole(self) -> "Assets":
        """The assets of which these are what somebody sees; here these themselves."""
        return self

    @property
    def names(self) -> Iterable[str]:
        """The names that may be in here; of what is seen, the same object for as long as the same assets are."""
        return self.folded

    def refolded(self, states: Mapping[str, AssetState], book: Book) -> "Assets":
        """The same with some states as the fold has left them."""
        if not states:
            return self
        table = self.table
        if len(table.insides) > INSIDES_MAX:
            return Assets(dict(self) | dict(states))
        return Assets({**self.folded, **states}, _with_rows(table, states, book))


def _due_ms(table: Table) -> Numbers:
    """By row, up to when time alone shows nothing of a calm asset."""
    fixed, moving, most = table.fixed, table.moving, np.iinfo(np.int64).max
    slots: Numbers = np.where(fixed.channel >= 0, moving.at_ms + fixed.slot_patience_ms, most).min(axis=1, initial=most)
    return np.where(slots < moving.newest_ms + fixed.patience_ms, slots, moving.newest_ms + fixed.patience_ms)


class Left(NamedTuple):
    """What the lane has done with a batch: the assets after it, and the rows of the readings that are for the fold."""

    assets: Assets
    rows: Numbers


def fold(assets: Assets, index: FenceIndex, batch: Batch, wanted: Numbers, now_ms: int) -> Left:
    """Fold the calm ones of a batch's readings, of which the rows `wanted` are new, in any order."""
    known = assets.table.devices
    row = np.array([known.get(device, -1) for device in batch.devices], dtype=np.int64)[batch.payload[wanted]]
    mine = np.flatnonzero(row >= 0)
    mine = mine[assets.table.moving.calm[row[mine]]]
    if len(mine) < READINGS_MIN:
        return Left(assets, wanted)
    row = row[mine]
    assets = _saved(assets, row)
    table = assets.table
    told = _told(table, index, batch, wanted[mine], row)
    moving: Moving = _copied(table.moving)
    calm = _advance(table.fixed, moving, told, now_ms)
    left = np.ones(len(batch), dtype=np.bool_)
    left[told.place[calm]] = False
    return Left(Assets(assets.folded, table._replace(moving=moving)), wanted[left[wanted]])


def _saved(assets: Assets, rows: Numbers) -> Assets:
    """The assets with a save of each that is about to move and has moved far since the last one."""
    table = assets.table
    moving = table.moving
    concerned = np.unique(rows[rows >= 0])
    due = concerned[moving.calm[concerned] & (moving.unsaved[concerned] >= SAVE_EVERY_READINGS)]
    if not len(due):
        return assets
    names = [table.assets[row] for row in due.tolist()]
    states = {name: saved(assets[name]) for name in names}
    save_after_ms, unsaved = table.fixed.save_after_ms.copy(), moving.unsaved.copy()
    save_after_ms[due] = [states[name].saves[-1].until_ms + SAVE_SPACE_MS for name in names]
    unsaved[due] = 0
    table = table._replace(
        fixed=table.fixed._replace(save_after_ms=save_after_ms), moving=moving._replace(unsaved=unsaved)
    )
    return Assets({**assets.folded, **states}, table)


class _Told(NamedTuple):
    """Readings as columns, asset by asset and each one's in order. `place` in the batch, `row` in the table; `start`
    where the readings of the asset begin; `mask` the channels, `inside` the fences' number."""

    place: Numbers
    row: Numbers
    start: Numbers
    at_ms: Numbers
    epoch: Numbers
    sequence: Numbers
    mask: Numbers
    clean: Truths
    values: Numbers
    inside: Numbers

    def before(self, there: Truths) -> Numbers:
        """For each reading where the newest one before it of its asset stands that has `there`; -1 for none."""
        places = np.where(there, np.arange(len(there)), -1)
        newest = np.full(len(there), -1)
        np.maximum.accumulate(places[:-1], out=newest[1:])
        newest[newest < self.start] = -1
        return newest

    def summed(self, terms: Numbers) -> Numbers:
        """For each reading the sum of its asset's terms up to its own."""
        total: Numbers = np.cumsum(terms)
        total -= (total - terms)[self.start]
        return total


def _told(table: Table, index: FenceIndex, batch: Batch, place: Numbers, row: Numbers) -> _Told:
    columns = batch.columns
    epoch = np.array(batch.epochs, dtype=np.int64)[batch.payload[place]]
    order = np.lexsort((columns.sequence[place], epoch, columns.measured_at_ms[place], row))
    place, row, epoch, count = place[order], row[order], epoch[order], len(place)
    is_first = np.ones(count, dtype=np.bool_)
    is_first[1:] = row[1:] != row[:-1]
    start: Numbers = np.maximum.accumulate(np.where(is_first, np.arange(count), 0))
    firsts, lengths = columns.cell_from[place], columns.cell_from[place + 1] - columns.cell_from[place]
    cells = between(firsts, firsts + lengths)
    of = np.repeat(np.arange(count), lengths)
    values = np.zeros((count, _CHANNELS), dtype=np.int64)
    values[of, columns.channel[cells]] = columns.value[cells]
    clean = (lengths > 0) & ~np.isin(columns.clock[place], (Clock.UNSET, Clock.BACKDATED))
    clean[of[columns.quality[cells] != 0]] = False
    mask = columns.mask[place]
    inside = np.zeros(count, dtype=np.int64)
    placed = np.flatnonzero((mask & PLACE_MASK == PLACE_MASK) & clean)
    for one, fences in fences_at(index, values[placed, Channel.LATITUDE_E7], values[placed, Channel.LONGITUDE_E7]):
        number = table.inside_numbers.get(fences)
        if number is None:
            number = table.inside_numbers[fences] = len(table.insides)
            table.insides.append(fences)
        inside[placed[one]] = number
    at_ms, sequence = columns.measured_at_ms[place], columns.sequence[place]
    return _Told(place, row, start, at_ms, epoch, sequence, mask, clean, values, inside)


def fences_at(index: FenceIndex, latitudes: Numbers, longitudes: Numbers) -> Iterator[tuple[int, tuple[str, ...]]]:
    """The fences around each place that lies in any, in order of id. What is no place on earth lies in none."""
    on_earth = np.flatnonzero((np.abs(latitudes) <= POLE_E7) & (np.abs(longitudes) <= HALF_TURN_E7))
    places, fences = index.containing(latitudes[on_earth], longitudes[on_earth])
    if not len(places):
        return
    places = on_earth[places]
    starts = [0, *((places[1:] != places[:-1]).nonzero()[0] + 1).tolist(), len(places)]
    numbers = fences.tolist()
    for start, end in pairwise(starts):
        yield int(places[start]), tuple(index.ids[one] for one in numbers[start:end])


def _advance(fixed: Fixed, moving: Moving, told: _Told, now_ms: int) -> Truths:
    """Move the rows by the calm ones of some readings; says which they are.

    Each is judged as if all before it were calm, and is so where they are.
    """
    row, mask, at_ms, count = told.row, told.mask, told.at_ms, len(told.row)
    has_fix = mask & PLACE_MASK == PLACE_MASK
    calm = _is_in_time(fixed, moving, told, now_ms)
    calm &= told.clean & (mask & fixed.unready[row] == 0) & _is_plausible(told.values, mask)
    calm &= _is_near(fixed, moving, told, has_fix)
    slots = [_slot(fixed, moving, told, slot) for slot in range(int((fixed.channel[row] >= 0).sum(axis=1).max()))]
    for slot in slots:
        calm &= slot.calm
    sums = [one for number in range(KINETICS) if (one := _sums(fixed, moving, told, slots, number)) is not None]
    for one in sums:
        calm &= one.calm
    calm = np.equal(told.summed((~calm).astype(np.int64)), 0)
    starts = np.flatnonzero(np.arange(count) == told.start)
    lengths = np.add.reduceat(calm.astype(np.int64), starts)
    begun = lengths > 0
    starts, lengths = starts[begun], lengths[begun]
    newest, row = starts + lengths - 1, row[starts]  # of each asset that moves, the last calm reading and its row
    moving.moved[row] = True
    moving.newest_ms[row] = moving.floor_ms[row] = at_ms[newest]
    moving.sequence[row] = told.sequence[newest]
    moving.unsaved[row] += lengths
    _move_places(moving, told, has_fix & calm, starts, newest)
    for number, slot in enumerate(slots):
        last = _last(slot.there, starts, newest)
        some, last = row[last >= 0], last[last >= 0]
        moving.at_ms[some, number], moving.slot_sequence[some, number] = at_ms[last], told.sequence[last]
        moving.value[some, number], moving.since_ms[some, number] = slot.value[last], slot.since_ms[last]
    for one in sums:
        last = _last(one.there, starts, newest)
        some, last = row[last >= 0], last[last >= 0]
        moving.sum_high[some, one.number], moving.sum_low[some, one.number] = one.high[last], one.low[last]
        moving.known_ms[some, one.number], moving.weight[some, one.number] = one.known_ms[last], one.weight[last]
    return calm


def _last(there: Truths, starts: Numbers, ends: Numbers) -> Numbers:
    """The last place from each of `starts` to the end beside it that is `there`; -1 for none."""
    found: Numbers = np.maximum.accumulate(np.where(there, np.arange(len(there)), -1))[ends]
    found[found < starts] = -1
    return found


def _move_places(moving: Moving, told: _Told, there: Truths, starts: Numbers, ends: Numbers) -> None:
    """Move the newest places and the boxes around all."""
    last = _last(there, starts, ends)
    has_moved = last >= 0
    starts, last = starts[has_moved], last[has_moved]
    if not len(last):
        return
    row = told.row[starts]
    latitude, longitude = told.values[:, Channel.LATITUDE_E7], told.values[:, Channel.LONGITUDE_E7]
    moving.fix_ms[row], moving.fix_sequence[row] = told.at_ms[last], told.sequence[last]
    moving.latitude_e7[row], moving.longitude_e7[row] = latitude[last], longitude[last]
    for value, low, high in ((latitude, moving.south, moving.north), (longitude, moving.west, moving.east)):
        # Up to the next asset that moves there is nobody else who is `there`.
        low[row] = np.minimum(low[row], np.minimum.reduceat(np.where(there, value, _FAR), starts))
        high[row] = np.maximum(high[row], np.maximum.reduceat(np.where(there, value, -_FAR), starts))


def _is_in_time(fixed: Fixed, moving: Moving, told: _Told, now_ms: int) -> Truths:
    """In order, neither early nor late, in the same leg, and no pause that is worth a save."""
    row, at_ms = told.row, told.at_ms
    before = told.before(np.ones(len(row), dtype=np.bool_))
    newest_ms = np.where(before < 0, moving.newest_ms[row], at_ms[before])
    found: Truths = (told.epoch == fixed.epoch[row]) & (at_ms <= newest_ms + fixed.patience_ms[row])
    found &= told.sequence > np.where(before < 0, moving.sequence[row], told.sequence[before])
    found &= at_ms > np.where(before < 0, moving.floor_ms[row], at_ms[before])
    found &= (at_ms <= now_ms + fixed.ahead_ms[row]) & (at_ms + LATEST_MS >= now_ms)
    found &= at_ms <= fixed.calibrated_until_ms[row]
    found &= (at_ms >= fixed.leg_from_ms[row]) & (at_ms < fixed.leg_until_ms[row])
    found &= (at_ms - newest_ms <= SAVE_PAUSE_MS) | (newest_ms < fixed.save_after_ms[row])
    return found


def _is_plausible(values: Numbers, mask: Numbers) -> Truths:
    """Every value inside what its quantity can be, none near what a probe gives at power-on, no poor fix."""
    found = np.ones(len(mask), dtype=np.bool_)
    there = int(np.bitwise_or.reduce(mask)) if len(mask) else 0
    for channel in range(_CHANNELS):
        if there >> channel & 1:
            value = values[:, channel]  # 0 where the reading does not have it, which is inside every range
            if channel in RANGES:
                found &= (value >= RANGES[channel][0]) & (value <= RANGES[channel][1])
            if channel in TEMPERATURES:
                found &= value < POWER_ON_MC - POWER_ON_NEAR_MC
            if channel == Channel.SATELLITES:
                found &= (value >= FEW_SATELLITES_BELOW) | (mask >> channel & 1 == 0)
            if channel == Channel.HDOP_CENTI:
                found &= (value >= 0) & (value <= HIGH_HDOP_ABOVE_CENTI)
    return found


def _is_near(fixed: Fixed, moving: Moving, told: _Told, has_fix: Truths) -> Truths:
    """Without a place; or with one in the same fences that can have been reached since the last, and is not frozen."""
    row, values = told.row, told.values
    before = told.before(has_fix)
    is_first = before < 0
    latitude, longitude = values[:, Channel.LATITUDE_E7], values[:, Channel.LONGITUDE_E7]
    north_e7 = np.abs(latitude - np.where(is_first, moving.latitude_e7[row], latitude[before]))
    around_e7 = np.abs(longitude - np.where(is_first, moving.longitude_e7[row], longitude[before]))
    around_e7 = np.minimum(around_e7, 3_600_000_000 - around_e7)
    speed = fixed.max_speed_mmps[row]
    fix_ms = np.where(is_first, moving.fix_ms[row], told.at_ms[before])
    reach_mm = speed * (told.at_ms - fix_ms) // 1_000 + JUMP_SLACK_MM
    near = (speed == 0) | (north_e7 * MM_PER_E7 + around_e7 * MM_PER_E7 <= reach_mm)
    moves = (north_e7 > 0) | (around_e7 > 0) | (values[:, Channel.SPEED_MMPS] < MOVING_MMPS)
    near &= moves & (told.inside == fixed.inside[row])
    found: Truths = (told.mask & PLACE_MASK == 0) | (has_fix & near)
    return found


class _Slot(NamedTuple):
    """What readings say of the channel in one slot of their asset's row. `calm`: inside its limits, not stuck, in time.

    `there`: the reading has the channel; then `value`, and `since_ms` since when it has not moved. `before`: where the
    newest one before it that had the channel stands, with `before_ms` when that was measured.
    """

    calm: Truths
    there: Truths
    value: Numbers
    since_ms: Numbers
    before: Numbers
    before_ms: Numbers


def _slot(fixed: Fixed, moving: Moving, told: _Told, slot: int) -> _Slot:
    row, at_ms = told.row, told.at_ms
    channel = fixed.channel[row, slot]
    known = np.maximum(channel, 0)
    value = told.values[np.arange(len(row)), known]
    there = (channel >= 0) & (told.mask >> known & 1 == 1)
    before = told.before(there)
    is_first = before < 0
    before_ms = np.where(is_first, moving.at_ms[row, slot], at_ms[before])
    changed = there & (value != np.where(is_first, moving.value[row, slot], value[before]))
    changed_before = told.before(changed)
    still_ms = np.where(changed_before < 0, moving.since_ms[row, slot], at_ms[changed_before])
    since_ms = np.where(changed, at_ms, still_ms)
    inside = (value >= fixed.low[row, slot]) & (value <= fixed.high[row, slot])
    calm = ~there | (inside & (at_ms - since_ms <= fixed.stuck_ms[row, slot]))
    calm &= (channel < 0) | (at_ms <= before_ms + fixed.slot_patience_ms[row, slot])
    return _Slot(calm, there, value, since_ms, before, before_ms)


class _Sums(NamedTuple):
    """Kinetic sums after each reading that gives the temperature; `calm`: certain, and the level stays."""

    number: int
    calm: Truths
    there: Truths
    high: Numbers
    low: Numbers
    known_ms: Numbers
    weight: Numbers


def _sums(fixed: Fixed, moving: Moving, told: _Told, slots: Sequence[_Slot], number: int) -> _Sums | None:
    row = told.row
    at_slot = fixed.kinetic_slot[row, number]
    there = np.zeros(len(row), dtype=np.bool_)
    value, before, before_ms = (np.zeros(len(row), dtype=np.int64) for _ in range(3))
    for slot, one in enumerate(slots):
        mine = (at_slot == slot) & one.there
        there |= mine
        for column, of_slot in ((value, one.value), (before, one.before), (before_ms, one.before_ms)):
            np.copyto(column, of_slot, where=mine)
    if not there.any():
        return None
    weights = np.zeros(len(row), dtype=np.int64)
    weights[there] = _weights(value[there], fixed.activation_j_mol[row, number][there])
    length_ms = np.where(there, told.at_ms - before_ms, 0)
    calm = (length_ms <= fixed.gap_ms[row, number]) & (length_ms < _STRETCH_MAX_MS) & (weights >= 0)
    np.copyto(length_ms, 0, where=~calm)
    doubled = np.where(before < 0, moving.weight[row, number], weights[before]) + weights
    low = (doubled & LOW_MASK) * length_ms
    high = (doubled >> LOW_BITS) * length_ms + (low >> LOW_BITS)
    # A sum that goes beyond 64 bits begins anew at the other end: the rough one tells.
    rough = moving.sum_high[row, number] + told.summed(high.astype(np.float64))
    low = moving.sum_low[row, number] + told.summed(low & LOW_MASK)
    high = moving.sum_high[row, number] + told.summed(high) + (low >> LOW_BITS)
    low &= LOW_MASK
    known_ms = moving.known_ms[row, number] + told.summed(length_ms)
    calm &= (rough < 2.0**60) & _keeps_level(fixed, row, number, high, known_ms)
    return _Sums(number, calm | ~there, there, high, low, known_ms, weights)


def _keeps_level(fixed: Fixed, row: Numbers, number: int, high: Numbers, known_ms: Numbers) -> Truths:
    """Whether the story stands to its rule as before, and nowhere near the edge."""
    unknown_ms = fixed.unknown_ms[row, number]
    total = high * float(1 << LOW_BITS)  # what is missing in `low` is far less than the margin
    borne = fixed.bound_high[row, number] * (known_ms + unknown_ms)
    lower = total + fixed.bound_low[row, number] * unknown_ms
    upper = total + fixed.bound_worst[row, number] * unknown_ms
    less, more = borne * (1 - _MARGIN) - (1 << LOW_BITS), borne * (1 + _MARGIN)
    kept = upper <= less
    uncertain = (lower <= less) & (upper > more)
    exceeded = lower > more
    found: Truths = np.choose(fixed.level[row, number], [kept, uncertain, exceeded])
    return found


def _weights(values_mc: Numbers, activations: Numbers) -> Numbers:
    """The weight of each temperature; -1 where it is too heavy for the lane, or no temperature of any goods."""
    found = np.full(len(values_mc), -1)
    likely = np.flatnonzero(np.abs(values_mc) < _VALUE_MAX_MC)
    # Probes know few values: each pair is worked out once.
    pairs, pair = np.unique(
        activations[likely] * 2 * _VALUE_MAX_MC + values_mc[likely] + _VALUE_MAX_MC, return_inverse=True
    )
    weights = [weight(one % (2 * _VALUE_MAX_MC) - _VALUE_MAX_MC, one // (2 * _VALUE_MAX_MC)) for one in pairs.tolist()]
    found[likely] = np.array([one if one <= WEIGHT_MAX else -1 for one in weights], dtype=np.int64)[pair]
    return found


def _with_rows(table: Table, states: Mapping[str, AssetState], book: Book) -> Table:
    """The table with some assets' rows made anew."""
    shapes, moving, fixed = list(table.shapes), table.moving, table.fixed
    rows, devices, assets = table.rows, table.devices, table.assets
    wanted: list[tuple[int, Shape, Row]] = []
    gone: list[int] = []
    for asset, state in states.items():
        number = rows.get(asset)
        of = calm_row.shape(book.plan_of(asset), state)
        row = calm_row.row_of(state, of) if of else None
        if of is None or row is None:
            if number is not None:
                gone.append(number)
            continue
        if number is None:
            if rows is table.rows:
                rows, assets = dict(rows), list(assets)
            number = rows[asset] = len(assets)
            assets.append(asset)
            shapes.append(of)
        if devices.get(of.device) != number:
            devices = devices if devices is not table.devices else dict(devices)
            devices[of.device] = number
        shapes[number] = of
        wanted.append((number, of, row))
    size = len(moving.calm)
    if len(assets) > size:
        fixed, moving = _grown(fixed, len(assets)), _grown(moving, len(assets))
    else:
        fixed, moving = _copied(fixed), _copied(moving)
    moving.calm[gone] = False
    moving.moved[gone] = False
    if wanted:
        _put(table, fixed, moving, wanted)
    return Table(rows, devices, assets, shapes, fixed, moving, table.insides, table.inside_numbers)


def _grown(columns: Any, rows: int) -> Any:
    fresh = _columns(type(columns), max(rows, 2 * len(columns[0]), 64))
    for new, old in zip(fresh, columns, strict=True):
        new[: len(old)] = old
    return fresh


def _put(table: Table, fixed: Fixed, moving: Moving, wanted: Iterable[tuple[int, Shape, Row]]) -> None:
    """Write rows into columns that nobody else has."""
    numbers, fixed_lines, moving_lines = [], [], []
    for number, of, row in wanted:
        numbers.append(number)
        fixed_lines.append(_fixed_line(table, of, row))
        moving_lines.append(_moving_line(row))
    for columns, lines in ((fixed, fixed_lines), (moving, moving_lines)):
        for column, values in zip(columns, zip(*lines, strict=True), strict=True):
            column[numbers] = values


def _fixed_line(table: Table, of: Shape, row: Row) -> tuple[Any, ...]:
    number = table.inside_numbers.get(row.inside)
    if number is None:
        number = table.inside_numbers[row.inside] = len(table.insides)
        table.insides.append(row.inside)
    rules = of.fitted.rules
    head = row.epoch, row.leg_from_ms, row.leg_until_ms, row.save_after_ms, row.unready, number
    fitted = rules.max_speed_mmps, rules.calibrated_until_ms, of.fitted.ahead_ms, of.patience_ms
    slots = _padded([tuple(slot) for slot in of.slots], SLOTS, (-1, 0, 0, 0, 0))
    kinetics = _padded(
        [(one.slot, one.gap_ms, one.activation_j_mol, one.level, one.unknown_ms, *one.bounds) for one in row.kinetics],
        KINETICS,
        (-1, 0, 1, 0, 0, 0.0, 0.0, 0.0),
    )
    return *head, *fitted, *slots, *kinetics


def _moving_line(row: Row) -> tuple[Any, ...]:
    head = True, False, row.newest_ms, row.sequence, row.floor_ms, row.unsaved
    place = row.fix_ms, row.fix_sequence, row.latitude_e7, row.longitude_e7, *row.box
    slots = _padded([tuple(one) for one in row.slots], SLOTS, (0, 0, 0, 0))
    sums = [(one.high, one.low, one.known_ms, one.weight) for one in row.kinetics]
    return *head, *place, *slots, *_padded(sums, KINETICS, (0, 0, 0, 0))


def _padded(lines: list[tuple[Any, ...]], length: int, nothing: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """Lines turned into columns of one length."""
    return list(zip(*lines, *([nothing] * (length - len(lines))), strict=True))


def _row(table: Table, number: int) -> Row:
    """A row as it stands now."""
    of, fixed, moving = table.shapes[number], table.fixed, table.moving
    return Row(
        epoch=int(fixed.epoch[number]),
        newest_ms=int(moving.newest_ms[number]),
        sequence=int(moving.sequence[number]),
        floor_ms=int(moving.floor_ms[number]),
        leg_from_ms=int(fixed.leg_from_ms[number]),
        leg_until_ms=int(fixed.leg_until_ms[number]),
        save_after_ms=int(fixed.save_after_ms[number]),
        unsaved=int(moving.unsaved[number]),
        unready=int(fixed.unready[number]),
        fix_ms=int(moving.fix_ms[number]),
        fix_sequence=int(moving.fix_sequence[number]),
        latitude_e7=int(moving.latitude_e7[number]),
        longitude_e7=int(moving.longitude_e7[number]),
        box=(
            int(moving.south[number]),
            int(moving.north[number]),
            int(moving.west[number]),
            int(moving.east[number]),
        ),
        inside=table.insides[int(fixed.inside[number])],
        slots=tuple(
            calm_row.SlotRow(
                int(moving.at_ms[number, slot]),
                int(moving.slot_sequence[number, slot]),
                int(moving.value[number, slot]),
                int(moving.since_ms[number, slot]),
            )
            for slot in range(len(of.slots))
        ),
        kinetics=tuple(_kinetic_row(fixed, moving, number, place) for place in range(len(of.kinetics))),
    )


def _kinetic_row(fixed: Fixed, moving: Moving, number: int, place: int) -> calm_row.KineticRow:
    return calm_row.KineticRow(
        slot=int(fixed.kinetic_slot[number, place]),
        gap_ms=int(fixed.gap_ms[number, place]),
        activation_j_mol=int(fixed.activation_j_mol[number, place]),
        level=int(fixed.level[number, place]),
        unknown_ms=int(fixed.unknown_ms[number, place]),
        bounds=(
            float(fixed.bound_high[number, place]),
            float(fixed.bound_low[number, place]),
            float(fixed.bound_worst[number, place]),
        ),
        high=int(moving.sum_high[number, place]),
        low=int(moving.sum_low[number, place]),
        known_ms=int(moving.known_ms[number, place]),
        weight=int(moving.weight[number, place]),
    )
