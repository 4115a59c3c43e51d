"""Payloads as they were received, to arrivals with their readings as columns.

What `pledgewatch_wire.codec.decode` does for one payload, this does for as many as came together. Live ones go a way of
their own (live.py). Of the others protobuf parses each, their fields are laid end to end, and the differences are
summed, the bounds checked and the cells put in their places for all of them at once. A payload about which anything is
odd is given to `decode`, which names the fault (tests/test_payloads.py holds the two against each other).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pledgewatch_cloud.decide.batch import Arrival
from pledgewatch_cloud.decide.columns import Columns, Numbers, Truths, between, columns_of, starts_of
from pledgewatch_cloud.decide.live import read_live
from pledgewatch_wire.codec import (
    LAST_CLOCK,
    MAX_CELLS,
    MAX_READINGS,
    MAX_SEQUENCE,
    MAX_TIME_MS,
    MIN_TIME_MS,
    TIME_ZERO_MS,
    VALUE_LIMIT,
    Checkpoint,
    PayloadError,
    Reason,
    Thinned,
    channels_of,
    checkpoints_of,
    decode,
    parse,
    thinned_of,
)
from pledgewatch_wire.reading import NO_VALUE_FROM

CELLS_AT_ONCE = 250_000
_SHORT = 16  # readings; shorter columns are gathered in a list, longer ones are taken as arrays


class Received(NamedTuple):
    """A payload as it came in."""

    operator: str
    device: str
    received_at_ms: int
    raw: bytes


def read(received: Sequence[Received]) -> list[Arrival | PayloadError]:
    """Read payloads, in order: what each holds, or why it cannot be read.

    Reads the first CELLS_AT_ONCE cells' worth and at least one payload, so the answer may be shorter than what was
    given; the others are to be given again.
    """
    found: list[Arrival | PayloadError | None] = [None] * len(received)
    live = read_live([one.raw for one in received])
    rows = zip(live.places, live.epochs, live.wanted, live.sequences, live.times_ms, strict=True)
    for row, (place, epoch, wanted, sequence, at_ms) in enumerate(rows):
        found[place] = Arrival(*received[place], epoch, wanted, (), (), sequence, 1, at_ms, live.columns, row)
    others = [place for place, one in enumerate(found) if one is None]
    if others:
        some = _read_others([received[place] for place in others])
        for place, one in zip(others, some, strict=False):
            found[place] = one
        if len(some) < len(others):
            del found[others[len(some)] :]
    return [one for one in found if one is not None]


def _read_others(received: Sequence[Received]) -> list[Arrival | PayloadError]:
    """Read payloads of any kind, as many as `read` may."""
    gathered = _Gathered()
    found: list[Arrival | PayloadError | None] = []
    heads: list[tuple[int, _Head]] = []
    for one in received:
        if gathered.cells >= CELLS_AT_ONCE:
            break
        try:
            head = gathered.add(parse(one.raw))
        except PayloadError as error:
            found.append(error)
            continue
        if head is not None:
            heads.append((len(found), head))
        found.append(None)
    columns, until_ms, sound = gathered.columns()
    if columns is None:
        good = [place for (place, _), is_sound in zip(heads, sound, strict=True) if is_sound]
        for place, again in zip(good, _read_others([received[place] for place in good]), strict=True):
            found[place] = again
    else:
        for number, (place, head) in enumerate(heads):
            start, count = gathered.starts[number], gathered.counts[number]
            epoch, wanted, signed, thinned, first = head
            found[place] = Arrival(
                *received[place], epoch, wanted, signed, thinned, first, count, until_ms[number], columns, start
            )
    return [_fault(received[place].raw) if one is None else one for place, one in enumerate(found)]


def read_all(received: Sequence[Received]) -> list[Arrival]:
    """Read payloads that are sound, however many. Raises PayloadError where one is not."""
    arrivals: list[Arrival] = []
    while len(arrivals) < len(received):
        for one in read(received[len(arrivals) :]):
            if isinstance(one, PayloadError):
                raise one
            arrivals.append(one)
    return arrivals


class _Head(NamedTuple):
    """What a payload says besides its readings."""

    epoch: int
    committed_wanted: bool
    checkpoints: tuple[Checkpoint, ...]
    thinned: tuple[Thinned, ...]
    first_sequence: int


class _Stretch:
    """Whole numbers of many payloads end to end: short pieces by way of a list, long ones as the arrays they are."""

    __slots__ = ("_pieces", "short", "total")

    def __init__(self) -> None:
        self.short: list[int] = []
        self.total = 0
        self._pieces: list[Any] = []

    def add(self, numbers: Any, length: int) -> None:
        self.total += length
        if length <= 8 * _SHORT:
            self.short += numbers[:]
        else:
            self._flush()
            self._pieces.append(np.array(numbers, dtype=np.int64))

    def whole(self) -> Numbers:
        self._flush()
        return np.concatenate(self._pieces) if self._pieces else np.zeros(0, dtype=np.int64)

    def _flush(self) -> None:
        if self.short:
            self._pieces.append(np.array(self.short, dtype=np.int64))
            self.short = []


class _Gathered:
    """The fields of payloads whose shape is sound, end to end."""

    def __init__(self) -> None:
        self.cells = 0
        self.starts: list[int] = []
        self.counts: list[int] = []
        self._readings = 0
        self._firsts: list[int] = []
        self._clocks: list[int] = []
        self._times = _Stretch()
        self._values = _Stretch()
        self._offsets = _Stretch()
        self._marked = _Stretch()
        self._codes = _Stretch()
        self._group_payload: list[int] = []
        self._group_mask: list[int] = []
        self._group_rows: list[int] = []
        self._group_width: list[int] = []
        self._group_offsets: list[tuple[int, int]] = []  # (group, how many) where it names its readings
        self._group_marks: list[tuple[int, int]] = []  # (group, how many) where it has cells that are not good

    def add(self, message: Any) -> _Head | None:
        """Take a message in; None, and nothing is taken, where its shape is not sound."""
        times = message.measured_at_ms
        count, first, clock = len(times), message.first_sequence, message.clock
        if not 1 <= count <= MAX_READINGS or not 1 <= first <= MAX_SEQUENCE - count or clock > LAST_CLOCK:
            return None
        groups = [_group(one, count) for one in message.groups]
        cells = 0
        for group in groups:
            if group is None:
                return None
            cells += group.cells
        if not groups or cells > MAX_CELLS:
            return None
        try:
            signed, thinned = checkpoints_of(message), thinned_of(message, first, count)
        except PayloadError:
            return None
        number = len(self.counts)
        for group in groups:
            assert group is not None
            self._add_group(number, group)
        self._times.add(times, count)
        self._firsts.append(first)
        self._clocks.append(clock)
        self.starts.append(self._readings)
        self.counts.append(count)
        self._readings += count
        self.cells += cells
        return _Head(message.epoch, message.committed_wanted, signed, thinned, first)

    def _add_group(self, payload: int, group: "_Group") -> None:
        number = len(self._group_payload)
        self._group_payload.append(payload)
        self._group_mask.append(group.mask)
        self._group_rows.append(group.rows)
        self._group_width.append(group.width)
        self._values.add(group.message.values, group.cells)
        if group.named:
            self._group_offsets.append((number, group.named))
            self._offsets.add(group.message.offsets, group.named)
        if group.marks:
            self._group_marks.append((number, group.marks))
            self._marked.add(group.message.marked_cells, group.marks)
            self._codes.add(group.message.marked_qualities, group.marks)

    def columns(self) -> tuple[Columns | None, list[int], list[bool]]:
        """The columns of all, the newest moment of each payload, and which payloads are sound in what they hold.

        None where any of them is not.
        """
        counts = np.array(self.counts, dtype=np.int64)
        payloads, readings = len(counts), self._readings
        starts = np.array(self.starts, dtype=np.int64)
        firsts = np.array(self._firsts, dtype=np.int64)
        sound = np.ones(payloads, dtype=np.bool_)
        if not payloads:
            return columns_of(()), [], []
        payload_of_row = np.repeat(np.arange(payloads), counts)
        times = _summed(self._times.whole(), counts, starts) + TIME_ZERO_MS
        sound &= np.logical_and.reduceat((times >= MIN_TIME_MS) & (times <= MAX_TIME_MS), starts)
        sequence = firsts[payload_of_row] + np.arange(readings) - starts[payload_of_row]

        group_payload = np.array(self._group_payload, dtype=np.int64)
        group_rows = np.array(self._group_rows, dtype=np.int64)
        group_width = np.array(self._group_width, dtype=np.int64)
        group_mask = np.array(self._group_mask, dtype=np.int64)
        row_from = starts_of(group_rows)
        row_of, named_well = self._rows(group_payload, group_rows, row_from, starts, counts)
        sound[group_payload[~named_well]] = False
        held = np.bincount(row_of, minlength=readings)
        sound &= np.logical_and.reduceat(held == 1, starts)

        lengths = np.ones(readings, dtype=np.int64)
        lengths[row_of] = np.repeat(group_width, group_rows)
        mask = np.zeros(readings, dtype=np.int64)
        mask[row_of] = np.repeat(group_mask, group_rows)
        value_from = starts_of(group_rows * group_width)
        column_rows = np.repeat(group_rows, group_width)
        column_from = starts_of(column_rows)
        value = _summed(self._values.whole(), column_rows, column_from[:-1])
        quality = np.zeros(len(value), dtype=np.int64)
        self._mark(quality, value_from, group_payload, sound)
        possible = (value > -VALUE_LIMIT) & (value < VALUE_LIMIT) & ((quality < NO_VALUE_FROM) | (value == 0))
        sound[group_payload[~np.logical_and.reduceat(possible, value_from[:-1])]] = False
        if not sound.all():
            return None, [], sound.tolist()

        column_number = np.arange(len(column_rows)) - np.repeat(starts_of(group_width)[:-1], group_width)
        channel = np.repeat(_channels(group_mask, group_width), column_rows)
        cell_from = starts_of(lengths)
        if len(column_rows) != len(value):  # more than one row somewhere: from column by column to row by row
            rows_of_column = between(
                np.repeat(row_from[:-1], group_width), np.repeat(row_from[:-1], group_width) + column_rows
            )
            target = cell_from[row_of[rows_of_column]] + np.repeat(column_number, column_rows)
            channel, value, quality = (_scattered(one, target, int(cell_from[-1])) for one in (channel, value, quality))
        elif len(group_payload) != payloads:
            target = np.repeat(cell_from[row_of], group_width) + column_number
            channel, value, quality = (_scattered(one, target, int(cell_from[-1])) for one in (channel, value, quality))
        clock = np.array(self._clocks, dtype=np.int64)[payload_of_row]
        columns = Columns(sequence, times, clock, mask, cell_from, channel, value, quality)
        return columns, np.maximum.reduceat(times, starts).tolist(), sound.tolist()

    def _rows(
        self, group_payload: Numbers, group_rows: Numbers, row_from: Numbers, starts: Numbers, counts: Numbers
    ) -> tuple[Numbers, Truths]:
        """The reading that each row of each group is, and which groups name only readings that there are."""
        named_well = np.ones(len(group_rows), dtype=np.bool_)
        offsets = between(np.zeros(len(group_rows), dtype=np.int64), group_rows)
        if self._group_offsets:
            groups, named = np.array(self._group_offsets, dtype=np.int64).T
            said = _summed(self._offsets.whole(), named, starts_of(named)[:-1])
            offsets[between(row_from[groups], row_from[groups] + named)] = said
            highest = said[starts_of(named)[1:] - 1]
            named_well[groups] = highest < counts[group_payload[groups]]
        rows = np.repeat(starts[group_payload], group_rows)
        bounds = np.repeat(counts[group_payload], group_rows)
        return rows + np.minimum(offsets, bounds - 1), named_well

    def _mark(self, quality: Numbers, value_from: Numbers, group_payload: Numbers, sound: Truths) -> None:
        """Write down the qualities of the cells that are not good."""
        if not self._group_marks:
            return
        groups, marks = np.array(self._group_marks, dtype=np.int64).T
        codes = self._codes.whole()
        starts = starts_of(marks)[:-1]
        cells = _summed(self._marked.whole(), marks, starts)
        sizes = np.repeat(value_from[groups + 1] - value_from[groups], marks)
        good = (cells < sizes) & (codes > 0) & (codes <= 255)
        sound[group_payload[groups[~np.logical_and.reduceat(good, starts)]]] = False
        quality[np.repeat(value_from[groups], marks)[good] + cells[good]] = codes[good]


class _Group(NamedTuple):
    """A group whose shape is sound. `named`: how many readings it names (0: it holds all of them)."""

    message: Any
    mask: int
    rows: int
    width: int
    cells: int
    named: int
    marks: int


def _group(message: Any, count: int) -> _Group | None:
    mask = message.channels
    width, cells, named = len(channels_of(mask)), len(message.values), len(message.offsets)
    marks = len(message.marked_cells)
    rows = named or count
    if not width or rows > count or cells != rows * width or marks != len(message.marked_qualities):
        return None
    return _Group(message, mask, rows, width, cells, named, marks)


def _summed(deltas: Numbers, lengths: Numbers, starts: Numbers) -> Numbers:
    """Sums along stretches of differences, modulo 2**64.

    From within 62 bits one difference of 64 leads beyond them, wrapped or not: the first sum of a stretch that is not
    what `decode` has there is out of range, and is found out.
    """
    if len(lengths) == len(deltas):
        return deltas
    total: Numbers = np.cumsum(deltas)
    return total - np.repeat(total[starts] - deltas[starts], lengths)


def _channels(masks: Numbers, widths: Numbers) -> Numbers:
    """The channels of every group, end to end."""
    kinds, kind = np.unique(masks, return_inverse=True)
    table = [channels_of(one) for one in kinds.tolist()]
    flat = np.array([channel for one in table for channel in one], dtype=np.int64)
    starts = starts_of(np.array([len(one) for one in table], dtype=np.int64))[kind]
    return flat[between(starts, starts + widths)]


def _scattered(numbers: Numbers, target: Numbers, size: int) -> Numbers:
    found = np.zeros(size, dtype=np.int64)
    found[target] = numbers
    return found


def _fault(raw: bytes) -> PayloadError:
    """Why a payload cannot be read."""
    try:
        decode(raw)
    except PayloadError as error:
        return error
    return PayloadError(Reason.BAD_COLUMNS, "its columns cannot be laid out")
