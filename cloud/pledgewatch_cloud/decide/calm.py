"""The calm lane: readings that change nothing but what is newest, folded for a whole batch at once.

Nearly every reading of a fleet comes in order, good in all it says, near the last place and in the same fences, inside
every limit, before anybody was missed. The fold (`asset.py`) finds nothing in it and moves a dozen numbers. Here those
numbers stand in columns, a row for each calm asset (`calm_row.py`), and a batch moves them with a hundred operations of
numpy, whatever its length. A reading that is anything else, and all later ones of its asset in the batch, are left to
the fold; after it the asset gets its row anew.

    for each wave of a batch (the first reading of every asset, the second, ...): judge ─► move

The lane is a way to be fast and no part of what is known: with it and without, a journal leads to the same bytes
(tests/test_calm.py). What is not certain here is for the fold: a test may be narrower than the fold's, never wider.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pledgewatch_cloud.decide import calm_row
from pledgewatch_cloud.decide.asset import SAVE_EVERY_READINGS, SAVE_PAUSE_MS, SAVE_SPACE_MS, AssetState, saved
from pledgewatch_cloud.decide.batch import AssetReading, Batch
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.calm_row import KINETICS, LOW_BITS, LOW_MASK, PLACE_MASK, SLOTS, WEIGHT_MAX, Row, Shape
from pledgewatch_cloud.decide.columns import Numbers, Truths
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
from pledgewatch_wire.reading import Channel, Clock

WIDTH_MIN = 12  # narrower waves cost more than the fold of as many readings
INSIDES_MAX = 65_536
_CHANNELS = max(Channel) + 1
_STRETCH_MAX_MS = 2**30
_MARGIN = 1e-9

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
        table = self.table
        fixed, moving = table.fixed, table.moving
        due = moving.newest_ms + fixed.patience_ms
        slots = np.where(fixed.channel >= 0, moving.at_ms + fixed.slot_patience_ms, np.iinfo(np.int64).max)
        due = np.minimum(due, slots.min(axis=1, initial=np.iinfo(np.int64).max))
        found = {table.assets[row] for row in np.flatnonzero(moving.calm & (due < horizon_ms)).tolist()}
        calm = {table.assets[row] for row in np.flatnonzero(moving.calm).tolist()}
        found.update(asset for asset, one in self.folded.items() if asset not in calm and one.due_ms < horizon_ms)
        return found

    def refolded(self, states: Mapping[str, AssetState], book: Book) -> "Assets":
        """The same with some states as the fold has left them."""
        if not states:
            return self
        table = self.table
        if len(table.insides) > INSIDES_MAX:
            return Assets(dict(self) | dict(states))
        return Assets({**self.folded, **states}, _with_rows(table, states, book))


class Left(NamedTuple):
    """What the lane has done with a batch: the assets after it, and the readings that are for the fold."""

    assets: Assets
    readings: Sequence[AssetReading]


def fold(assets: Assets, index: FenceIndex, batch: Batch, now_ms: int) -> Left:
    """Fold the calm ones of new readings, in any order."""
    known = assets.table.devices
    rows = np.array([known.get(device, -1) for device in batch.devices], dtype=np.int64)[batch.payload]
    lengths = np.diff(batch.columns.cell_from)
    if np.count_nonzero(rows >= 0) < WIDTH_MIN or not lengths.all():
        return Left(assets, batch.objects(np.arange(len(batch))))
    assets = _saved(assets, rows)
    table = assets.table
    told = _told(table, index, batch, rows, lengths)
    moving: Moving = _copied(table.moving)
    order = np.lexsort((told.sequence, told.epoch, told.at_ms, told.row))
    ranks = _ranks(told.row[order])
    folded = np.zeros(len(rows), dtype=np.bool_)
    is_open = moving.calm.copy()
    for rank in range(int(ranks.max()) + 1):
        wave = order[ranks == rank]
        wave = wave[told.row[wave] >= 0]
        wave = wave[is_open[told.row[wave]]]
        if len(wave) < WIDTH_MIN:
            break
        calm = _advance(table.fixed, moving, told, wave, now_ms)
        folded[wave[calm]] = True
        is_open[told.row[wave[~calm]]] = False
    left = batch.objects(np.flatnonzero(~folded))
    return Left(Assets(assets.folded, table._replace(moving=moving)), left)


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
    """Readings as columns. `row` -1: of an asset without one; `mask` the channels, `inside` the fences' number."""

    row: Numbers
    at_ms: Numbers
    epoch: Numbers
    sequence: Numbers
    mask: Numbers
    clean: Truths
    values: Numbers
    inside: Numbers


def _told(table: Table, index: FenceIndex, batch: Batch, rows: Numbers, lengths: Numbers) -> _Told:
    columns, count = batch.columns, len(rows)
    values = np.zeros((count, _CHANNELS), dtype=np.int64)
    values[np.repeat(np.arange(count), lengths), columns.channel] = columns.value
    bad = np.bitwise_or.reduceat(columns.quality, columns.cell_from[:-1])
    clean = (bad == 0) & (columns.clock != Clock.UNSET)
    epoch = np.array(batch.epochs, dtype=np.int64)[batch.payload]
    inside = np.zeros(count, dtype=np.int64)
    placed = np.flatnonzero((columns.mask & PLACE_MASK == PLACE_MASK) & clean & (rows >= 0))
    for place, fences in fences_at(index, values[placed, Channel.LATITUDE_E7], values[placed, Channel.LONGITUDE_E7]):
        number = table.inside_numbers.get(fences)
        if number is None:
            number = table.inside_numbers[fences] = len(table.insides)
            table.insides.append(fences)
        inside[placed[place]] = number
    return _Told(rows, columns.measured_at_ms, epoch, columns.sequence, columns.mask, clean, values, inside)


def fences_at(index: FenceIndex, latitudes: Numbers, longitudes: Numbers) -> Iterator[tuple[int, tuple[str, ...]]]:
    """The fences around each place that lies in any, in order of id."""
    places, fences = index.containing(latitudes, longitudes)
    if not len(places):
        return
    starts = [0, *((places[1:] != places[:-1]).nonzero()[0] + 1).tolist(), len(places)]
    numbers = fences.tolist()
    for start, end in pairwise(starts):
        yield int(places[start]), tuple(index.ids[one] for one in numbers[start:end])


def _ranks(rows: Numbers) -> Numbers:
    """How many equal ones stand before each, of rows in order."""
    place = np.arange(len(rows))
    is_first = np.ones(len(rows), dtype=np.bool_)
    is_first[1:] = rows[1:] != rows[:-1]
    ranks: Numbers = place - np.maximum.accumulate(np.where(is_first, place, 0))
    return ranks


def _advance(fixed: Fixed, moving: Moving, told: _Told, wave: Numbers, now_ms: int) -> Truths:
    """Move the rows of the calm ones of a wave, which has one reading of each row; says which they are."""
    row, mask, values = told.row[wave], told.mask[wave], told.values[wave]
    at_ms, sequence = told.at_ms[wave], told.sequence[wave]
    calm = _is_in_time(fixed, moving, told, wave, now_ms)
    calm &= told.clean[wave] & (mask & fixed.unready[row] == 0) & _is_plausible(values, mask)
    has_fix = mask & PLACE_MASK == PLACE_MASK
    calm &= _is_near(fixed, moving, told, wave)
    slots = range(int((fixed.channel[row] >= 0).sum(axis=1).max(initial=0)))
    present = np.zeros((len(wave), SLOTS), dtype=np.bool_)
    slot_values = np.zeros((len(wave), SLOTS), dtype=np.int64)
    everyone = np.arange(len(wave))
    for slot in slots:
        channel = fixed.channel[row, slot]
        known = np.maximum(channel, 0)
        value = values[everyone, known]
        present[:, slot] = (channel >= 0) & (mask >> known & 1 == 1)
        slot_values[:, slot] = value
        inside = (value >= fixed.low[row, slot]) & (value <= fixed.high[row, slot])
        still_ms = np.where(value == moving.value[row, slot], at_ms - moving.since_ms[row, slot], 0)
        calm &= ~present[:, slot] | (inside & (still_ms <= fixed.stuck_ms[row, slot]))
        calm &= (channel < 0) | (at_ms <= moving.at_ms[row, slot] + fixed.slot_patience_ms[row, slot])
    sums = [_sums(fixed, moving, row, at_ms, present, slot_values, number) for number in range(KINETICS)]
    for one in sums:
        if one is not None:
            calm &= one.calm
    row, at_ms, sequence, has_fix = row[calm], at_ms[calm], sequence[calm], has_fix[calm]
    for number, one in enumerate(sums):
        if one is not None:
            one.put(moving, row, calm, number)
    for slot in slots:
        there = present[calm, slot]
        some, value = row[there], slot_values[calm, slot][there]
        changed = value != moving.value[some, slot]
        moving.since_ms[some[changed], slot] = at_ms[there][changed]
        moving.value[some, slot] = value
        moving.at_ms[some, slot], moving.slot_sequence[some, slot] = at_ms[there], sequence[there]
    moving.moved[row] = True
    moving.newest_ms[row], moving.sequence[row], moving.floor_ms[row] = at_ms, sequence, at_ms
    moving.unsaved[row] += 1
    some, placed = row[has_fix], values[calm][has_fix]
    latitude, longitude = placed[:, Channel.LATITUDE_E7], placed[:, Channel.LONGITUDE_E7]
    moving.fix_ms[some], moving.fix_sequence[some] = at_ms[has_fix], sequence[has_fix]
    moving.latitude_e7[some], moving.longitude_e7[some] = latitude, longitude
    moving.south[some] = np.minimum(moving.south[some], latitude)
    moving.north[some] = np.maximum(moving.north[some], latitude)
    moving.west[some] = np.minimum(moving.west[some], longitude)
    moving.east[some] = np.maximum(moving.east[some], longitude)
    return calm


def _is_in_time(fixed: Fixed, moving: Moving, told: _Told, wave: Numbers, now_ms: int) -> Truths:
    """In order, neither early nor late, in the same leg, and no pause that is worth a save."""
    row, at_ms = told.row[wave], told.at_ms[wave]
    newest_ms = moving.newest_ms[row]
    found: Truths = (told.epoch[wave] == fixed.epoch[row]) & (told.sequence[wave] > moving.sequence[row])
    found &= (at_ms > moving.floor_ms[row]) & (at_ms <= newest_ms + fixed.patience_ms[row])
    found &= at_ms <= now_ms + fixed.ahead_ms[row]
    found &= at_ms <= fixed.calibrated_until_ms[row]
    found &= (at_ms >= fixed.leg_from_ms[row]) & (at_ms < fixed.leg_until_ms[row])
    found &= (at_ms - newest_ms <= SAVE_PAUSE_MS) | (newest_ms < fixed.save_after_ms[row])
    return found


def _is_plausible(values: Numbers, mask: Numbers) -> Truths:
    """Every value inside what its quantity can be, and none near what a probe gives at power-on."""
    found = np.ones(len(mask), dtype=np.bool_)
    there = int(np.bitwise_or.reduce(mask)) if len(mask) else 0
    for channel in range(_CHANNELS):
        if there >> channel & 1:
            value = values[:, channel]  # 0 where the reading does not have it, which is inside every range
            if channel in RANGES:
                found &= (value >= RANGES[channel][0]) & (value <= RANGES[channel][1])
            if channel in TEMPERATURES:
                found &= value < POWER_ON_MC - POWER_ON_NEAR_MC
    return found


def _is_near(fixed: Fixed, moving: Moving, told: _Told, wave: Numbers) -> Truths:
    """Without a place; or with one in the same fences that can have been reached since the last, and is not frozen."""
    row, mask, values = told.row[wave], told.mask[wave], told.values[wave]
    north_e7 = np.abs(values[:, Channel.LATITUDE_E7] - moving.latitude_e7[row])
    around_e7 = np.abs(values[:, Channel.LONGITUDE_E7] - moving.longitude_e7[row])
    around_e7 = np.minimum(around_e7, 3_600_000_000 - around_e7)
    speed = fixed.max_speed_mmps[row]
    reach_mm = speed * (told.at_ms[wave] - moving.fix_ms[row]) // 1_000 + JUMP_SLACK_MM
    near = (speed == 0) | (north_e7 * MM_PER_E7 + around_e7 * MM_PER_E7 <= reach_mm)
    moves = (north_e7 > 0) | (around_e7 > 0) | (values[:, Channel.SPEED_MMPS] < MOVING_MMPS)
    near &= moves & (told.inside[wave] == fixed.inside[row])
    found: Truths = (mask & PLACE_MASK == 0) | ((mask & PLACE_MASK == PLACE_MASK) & near)
    return found


class _Sums(NamedTuple):
    """Kinetic sums after a wave, for the rows that give the temperature; `calm`: certain, and the level stays."""

    calm: Truths
    there: Truths
    high: Numbers
    low: Numbers
    known_ms: Numbers
    weight: Numbers

    def put(self, moving: Moving, row: Numbers, calm: Truths, number: int) -> None:
        there = self.there[calm]
        some = row[there]
        moving.sum_high[some, number] = self.high[calm][there]
        moving.sum_low[some, number] = self.low[calm][there]
        moving.known_ms[some, number] = self.known_ms[calm][there]
        moving.weight[some, number] = self.weight[calm][there]


def _sums(
    fixed: Fixed, moving: Moving, row: Numbers, at_ms: Numbers, present: Truths, values: Numbers, number: int
) -> _Sums | None:
    slot = fixed.kinetic_slot[row, number]
    used = np.flatnonzero(slot >= 0)
    if not len(used):
        return None
    everyone = np.arange(len(row))
    at_slot = np.maximum(slot, 0)
    there = (slot >= 0) & present[everyone, at_slot]
    weights = np.zeros(len(row), dtype=np.int64)
    weights[there] = _weights(values[everyone, at_slot][there], fixed.activation_j_mol[row, number][there])
    length_ms = np.where(there, at_ms - moving.at_ms[row, at_slot], 0)
    calm = ~there | ((length_ms <= fixed.gap_ms[row, number]) & (length_ms < _STRETCH_MAX_MS) & (weights >= 0))
    length_ms[~calm] = 0
    doubled = moving.weight[row, number] + weights
    low = moving.sum_low[row, number] + (doubled & LOW_MASK) * length_ms
    high = moving.sum_high[row, number] + (doubled >> LOW_BITS) * length_ms + (low >> LOW_BITS)
    low &= LOW_MASK
    known_ms = moving.known_ms[row, number] + length_ms
    calm &= (high < 2**61) & _keeps_level(fixed, row, number, high, known_ms)
    return _Sums(calm | ~there, there, high, low, known_ms, weights)


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
    """The weight of each temperature; -1 where it is too heavy for the lane."""
    found = [weight(*one) for one in zip(values_mc.tolist(), activations.tolist(), strict=True)]
    return np.array([one if one <= WEIGHT_MAX else -1 for one in found], dtype=np.int64)


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
