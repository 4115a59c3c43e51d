"""Readings as columns: numbers side by side instead of objects, for as many payloads as came together.

A reading is a row, a cell a place in three further columns; a reading's cells follow one another, ascending by channel.
What wants a reading as an object makes it from its row (`readings`).
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pledgewatch_wire.reading import Cell, Reading

Numbers = NDArray[np.int64]
Truths = NDArray[np.bool_]


class Columns:
    """Readings. All columns are int64: `sequence`, `measured_at_ms`, `clock` and `mask` (channels as bits) by row,
    `channel`, `value` and `quality` by cell; the cells of row r lie from `cell_from[r]` up to `cell_from[r + 1]`.

    Nobody changes them once they are made.
    """

    __slots__ = ("_leaves", "cell_from", "channel", "clock", "mask", "measured_at_ms", "quality", "sequence", "value")

    def __init__(
        self,
        sequence: Numbers,
        measured_at_ms: Numbers,
        clock: Numbers,
        mask: Numbers,
        cell_from: Numbers,
        channel: Numbers,
        value: Numbers,
        quality: Numbers,
    ) -> None:
        """Take the columns as they are."""
        self.sequence = sequence
        self.measured_at_ms = measured_at_ms
        self.clock = clock
        self.mask = mask
        self.cell_from = cell_from
        self.channel = channel
        self.value = value
        self.quality = quality
        self._leaves: list[bytes] | None = None

    def __len__(self) -> int:
        """How many readings there are."""
        return len(self.sequence)

    @property
    def leaves(self) -> list[bytes]:
        """Each reading's fingerprint; see pledgewatch_wire.chain.leaf. Worked out once."""
        if self._leaves is None:
            self._leaves = _leaves(self)
        return self._leaves

    def rows(self, wanted: Numbers) -> "Columns":
        """Some of the readings, by their rows."""
        cells = between(self.cell_from[wanted], self.cell_from[wanted + 1])
        lengths = self.cell_from[wanted + 1] - self.cell_from[wanted]
        return Columns(
            self.sequence[wanted],
            self.measured_at_ms[wanted],
            self.clock[wanted],
            self.mask[wanted],
            starts_of(lengths),
            self.channel[cells],
            self.value[cells],
            self.quality[cells],
        )

    def readings(self, first: int = 0, last: int | None = None) -> list[Reading]:
        """The readings of rows `first` up to `last` (not included) as objects."""
        last = len(self) if last is None else last
        bounds = self.cell_from[first : last + 1].tolist()
        if not bounds:
            return []
        start, end = bounds[0], bounds[-1]
        cells = list(
            map(
                Cell,
                self.channel[start:end].tolist(),
                self.value[start:end].tolist(),
                self.quality[start:end].tolist(),
            )
        )
        heads = zip(
            self.sequence[first:last].tolist(),
            self.measured_at_ms[first:last].tolist(),
            self.clock[first:last].tolist(),
            bounds,
            bounds[1:],
            strict=False,
        )
        return [
            Reading(sequence, at_ms, clock, tuple(cells[low - start : high - start]))
            for sequence, at_ms, clock, low, high in heads
        ]


def columns_of(readings: Sequence[Reading]) -> Columns:
    """Readings that are objects already, as columns."""
    cells = [cell for one in readings for cell in one.cells]
    lengths = np.array([len(one.cells) for one in readings], dtype=np.int64)
    return Columns(
        np.array([one.sequence for one in readings], dtype=np.int64),
        np.array([one.measured_at_ms for one in readings], dtype=np.int64),
        np.array([one.clock for one in readings], dtype=np.int64),
        np.array([one.channels for one in readings], dtype=np.int64),
        starts_of(lengths),
        *(np.array([cell[place] for cell in cells], dtype=np.int64) for place in range(3)),
    )


def joined(pieces: Sequence[Columns]) -> Columns:
    """The readings of all pieces, one piece after the other."""
    if len(pieces) == 1:
        return pieces[0]
    if not pieces:
        return columns_of(())
    lengths = np.concatenate([np.diff(one.cell_from) for one in pieces])
    return Columns(
        np.concatenate([one.sequence for one in pieces]),
        np.concatenate([one.measured_at_ms for one in pieces]),
        np.concatenate([one.clock for one in pieces]),
        np.concatenate([one.mask for one in pieces]),
        starts_of(lengths),
        np.concatenate([one.channel for one in pieces]),
        np.concatenate([one.value for one in pieces]),
        np.concatenate([one.quality for one in pieces]),
    )


def starts_of(lengths: Numbers) -> Numbers:
    """Where each of several stretches laid end to end begins, and, one more, where the last ends."""
    starts = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=starts[1:])
    return starts


def between(firsts: Numbers, ends: Numbers) -> Numbers:
    """All numbers of the stretches from each of `firsts` up to the `ends` beside it (not included), end to end."""
    lengths = ends - firsts
    starts = starts_of(lengths)
    found: Numbers = np.repeat(firsts - starts[:-1], lengths) + np.arange(starts[-1], dtype=np.int64)
    return found


def _leaves(columns: Columns) -> list[bytes]:
    """SHA-256 of every reading's canonical form (pledgewatch_wire.chain.canonical): those of one width at a time."""
    widths = np.diff(columns.cell_from)
    found: list[bytes] = [b""] * len(columns)
    sha256 = hashlib.sha256
    for width in np.unique(widths).tolist():
        rows = np.flatnonzero(widths == width)
        cells = columns.cell_from[rows][:, np.newaxis] + np.arange(width)
        forms = np.empty(len(rows), dtype=_form(width))
        forms["sequence"] = columns.sequence[rows]
        forms["measured_at_ms"] = columns.measured_at_ms[rows]
        forms["clock"] = columns.clock[rows]
        forms["mask"] = columns.mask[rows]
        forms["values"] = columns.value[cells]
        forms["qualities"] = columns.quality[cells]
        size, text = forms.itemsize, forms.tobytes()
        leaves = [sha256(text[place : place + size]).digest() for place in range(0, len(text), size)]
        if len(rows) == len(found):
            return leaves
        for row, leaf in zip(rows.tolist(), leaves, strict=True):
            found[row] = leaf
    return found


def _form(width: int) -> np.dtype[np.void]:
    """The canonical form of a reading with so many cells."""
    return np.dtype(
        [
            ("sequence", ">u8"),
            ("measured_at_ms", ">i8"),
            ("clock", "u1"),
            ("mask", ">u8"),
            ("values", ">i8", (width,)),
            ("qualities", "u1", (width,)),
        ]
    )
