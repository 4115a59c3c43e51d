"""Live payloads, one reading each and nothing odd: nearly all that a fleet sends, read as columns in one go.

Such a payload, as every serializer of protobuf writes it, is a row of varints and nothing else:

    08 epoch 10 first_sequence 1a length time 22 length 08 channels 1a length value ... [30 clock] [38 01]

So the varints of all payloads are told apart at once, and payloads with equally many of them stand under one another as
a matrix whose columns are those fields. Whatever does not match to the byte is left to protobuf: this lane may be
narrower than the codec, never different (tests/test_payloads.py).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pledgewatch_cloud.decide.columns import Columns, Numbers, Truths, joined, starts_of
from pledgewatch_wire.codec import (
    LAST_CLOCK,
    MAX_SEQUENCE,
    MAX_TIME_MS,
    MIN_TIME_MS,
    TIME_ZERO_MS,
    VALUE_LIMIT,
    channels_of,
)
from pledgewatch_wire.reading import KNOWN_CHANNELS_MASK

LONGEST_BYTES = 120  # so that every length is one byte
FEWEST = 8  # payloads; fewer are not worth the trouble
_VARINT_BYTES = 9
_HEAD = 13  # varints before the first value
_CONSTANTS = {0: 0x08, 2: 0x10, 4: 0x1A, 7: 0x22, 9: 0x08, 11: 0x1A}
_SHORT = [*_CONSTANTS, 5, 8, 12]  # one byte each, as no serializer writes them otherwise


class Live(NamedTuple):
    """What was read: the places of the payloads among those given, their heads, and a row of `columns` for each."""

    places: list[int]
    epochs: list[int]
    sequences: list[int]
    times_ms: list[int]
    wanted: list[bool]
    columns: Columns


def read_live(raws: Sequence[bytes]) -> Live:
    """Read those payloads that are live ones."""
    lengths = np.fromiter(map(len, raws), np.int64, len(raws))
    kept = np.flatnonzero((lengths > _HEAD) & (lengths <= LONGEST_BYTES))
    pieces: list[_Piece] = []
    if len(kept) >= FEWEST:
        text = np.frombuffer(b"".join([raws[place] for place in kept.tolist()]), dtype=np.uint8)
        varints = _Varints(text, lengths[kept])
        for count in np.unique(varints.counts).tolist():
            if count > _HEAD:
                pieces += varints.matrix(kept, count)
    columns = joined([piece.columns for piece in pieces])
    return Live(
        [place for piece in pieces for place in piece.places.tolist()],
        [epoch for piece in pieces for epoch in piece.epochs.tolist()],
        columns.sequence.tolist(),
        columns.measured_at_ms.tolist(),
        [wanted for piece in pieces for wanted in piece.wanted.tolist()],
        columns,
    )


class _Piece(NamedTuple):
    """Live payloads with the same channels."""

    places: Numbers
    epochs: Numbers
    wanted: Truths
    columns: Columns


class _Varints:
    """The varints of texts laid end to end. `counts` how many each text has, -1 where it ends within one."""

    def __init__(self, text: NDArray[np.uint8], lengths: Numbers) -> None:
        last = np.flatnonzero(text < 0x80)
        self.text_from = starts_of(lengths)
        whole = text[self.text_from[1:] - 1] < 0x80
        number = np.searchsorted(last, self.text_from)  # of the first varint of each text
        self.counts = np.where(whole, np.diff(number), -1)
        self._number = number
        self._first = np.empty(len(last), dtype=np.int64)
        self._first[:1] = 0
        self._first[1:] = last[:-1] + 1
        self._sizes = last - self._first + 1
        self._text = text.astype(np.uint64)

    def matrix(self, kept: Numbers, count: int) -> list[_Piece]:
        """The live payloads among the texts that have so many varints."""
        texts = np.flatnonzero(self.counts == count)
        numbers = self._number[texts][:, np.newaxis] + np.arange(count)
        first, sizes = self._first[numbers], self._sizes[numbers]
        good = (first[:, 0] == self.text_from[texts]) & (sizes <= _VARINT_BYTES).all(axis=1)
        good &= (sizes[:, _SHORT] == 1).all(axis=1)
        texts, numbers, first, sizes = texts[good], numbers[good], first[good], sizes[good]
        if not len(texts):
            return []
        found = self._text[first] & 0x7F
        for place in range(1, int(sizes.max())):
            more = sizes > place
            found[more] |= (self._text[first[more] + place] & 0x7F) << np.uint64(7 * place)
        values = found.view(np.int64)  # at most 63 bits
        return _live(kept[texts], values, first, self.text_from[texts + 1])


def _live(places: Numbers, values: Numbers, first: Numbers, text_until: Numbers) -> list[_Piece]:
    """Those rows of a matrix of varints that are live payloads, a piece for each set of channels."""
    count = values.shape[1]
    good = np.ones(len(values), dtype=np.bool_)
    for column, constant in _CONSTANTS.items():
        good &= values[:, column] == constant
    pieces = []
    masks = values[:, 10]
    for mask in np.unique(masks[good]).tolist():
        if not mask or mask & ~KNOWN_CHANNELS_MASK:
            continue
        channels = channels_of(mask)
        end = _HEAD + len(channels)
        rest = count - end
        if rest not in (0, 2, 4):
            continue
        rows = np.flatnonzero(good & (masks == mask))
        pieces.append(_piece(places[rows], values[rows], first[rows], text_until[rows], channels, mask))
    return pieces


def _piece(
    places: Numbers, values: Numbers, first: Numbers, until: Numbers, channels: tuple[int, ...], mask: int
) -> _Piece:
    count, end = values.shape[1], _HEAD + len(channels)
    good = np.ones(len(values), dtype=np.bool_)
    # What follows a varint begins at the next one's first byte, or where the text ends.
    after = np.concatenate([first[:, 1:], until[:, np.newaxis]], axis=1)
    good &= values[:, 5] == after[:, 6] - first[:, 6]
    good &= values[:, 8] == after[:, end - 1] - first[:, 9]
    good &= values[:, 12] == after[:, end - 1] - first[:, 13]
    clock, wanted = np.zeros(len(values), dtype=np.int64), np.zeros(len(values), dtype=np.bool_)
    for place in range(end, count, 2):
        tag, said = values[:, place], values[:, place + 1]
        is_clock = (tag == 0x30) & (place == end)
        is_wanted = (tag == 0x38) & (place == count - 2)
        good &= (is_clock | (is_wanted & (said == 1))) & (after[:, place] - first[:, place] == 1)
        clock[is_clock] = said[is_clock]
        wanted |= is_wanted
    epoch, sequence = values[:, 1], values[:, 3]
    good &= (epoch < 2**32) & (sequence >= 1) & (sequence < MAX_SEQUENCE) & (clock <= LAST_CLOCK)
    cells = _signed(values[:, _HEAD:end])
    good &= ((cells > -VALUE_LIMIT) & (cells < VALUE_LIMIT)).all(axis=1)
    times = _signed(values[:, 6]) + TIME_ZERO_MS
    good &= (times >= MIN_TIME_MS) & (times <= MAX_TIME_MS)
    rows = np.flatnonzero(good)
    size, width = len(rows), len(channels)
    columns = Columns(
        sequence[rows],
        times[rows],
        clock[rows],
        np.full(size, mask, dtype=np.int64),
        np.arange(size + 1, dtype=np.int64) * width,
        np.tile(np.array(channels, dtype=np.int64), size),
        cells[rows].reshape(-1),
        np.zeros(size * width, dtype=np.int64),
    )
    return _Piece(places[rows], epoch[rows], wanted[rows], columns)


def _signed(zigzag: Numbers) -> Numbers:
    """The signed numbers behind zigzag-coded ones of at most 63 bits."""
    found: Numbers = (zigzag >> 1) ^ -(zigzag & 1)
    return found
