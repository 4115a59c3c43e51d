"""Readings to bytes and back.

`encode` writes what the device sends; `decode` reads what anybody may have sent, so it believes nothing: sizes are
bounded before anything is allocated, columns must fit exactly, an unknown channel or version is an error with a name,
because a value that we cannot read is a value that somebody else may rely on.

Unknown protobuf fields are skipped, as the format's own rules have it: a newer device may say more.
"""

import zlib
from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import NamedTuple

from google.protobuf.message import DecodeError

from pledgewatch_wire import payload_pb2
from pledgewatch_wire.chain import HASH_BYTES, SIGNATURE_BYTES
from pledgewatch_wire.reading import KNOWN_CHANNELS_MASK, NO_VALUE_FROM, Cell, Clock, Quality, Reading

VERSION = 0
TIME_ZERO_MS = 1_704_067_200_000  # 2024-01-01T00:00:00Z: what the payload counts from
MAX_READINGS = 4_096
MAX_PAYLOAD_BYTES = 256 * 1024
MAX_INFLATED_BYTES = 2 * 1024 * 1024
MAX_CHECKPOINTS = 64
MAX_EPOCH = 1_023  # a life of a counter ends when its spool breaks: a device has few of them
MAX_CELLS = 32_768
MAX_RANGES = 64  # of a `committed`: one with so many may leave out others
MAX_VERSION_CHARACTERS = 64  # of an agent
MAX_SEQUENCE = 2**53
_DEFLATE_FROM_BYTES = 256  # below this zlib's own header eats what it gains
MIN_TIME_MS = 0  # 1970: what a clock without a battery says
MAX_TIME_MS = 2**43  # the year 2248
VALUE_LIMIT = 2**62
LAST_CLOCK = max(Clock)
_GOOD = int(Quality.GOOD)


class Reason(StrEnum):
    """Why a payload cannot be read; the words that quarantine shows."""

    TOO_LARGE = "too large"
    NOT_PROTOBUF = "truncated or not a payload"
    UNKNOWN_VERSION = "unknown version"
    UNKNOWN_CHANNEL = "unknown channel"
    BAD_INFLATION = "does not inflate within bounds"
    EMPTY = "no readings"
    BAD_SEQUENCE = "sequence out of range"
    BAD_TIME = "time out of range"
    BAD_CLOCK = "unknown clock"
    BAD_COLUMNS = "columns do not fit"
    BAD_CHECKPOINT = "checkpoint malformed"
    BAD_THINNING = "thinning malformed"


class PayloadError(ValueError):
    """A payload that cannot be read. `reason` is one of Reason, `detail` a sentence that names the place."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Checkpoint(NamedTuple):
    """A device's signature over its chain up to `sequence` (see pledgewatch_wire.chain)."""

    sequence: int
    signature: bytes


class Thinned(NamedTuple):
    """A device's word that of its readings first to last it has those of `kept` alone (see pledgewatch_wire.chain), in
    order; the last of them is `last`, with which it travels."""

    first: int
    last: int
    kept: tuple[int, ...]
    chain_hash: bytes
    kept_digest: bytes
    signature: bytes

    @property
    def dropped(self) -> int:
        """How many will not come."""
        return self.last - self.first + 1 - len(self.kept)


class Payload(NamedTuple):
    """What one message of a device says. `readings` are consecutive in sequence and never empty."""

    epoch: int
    readings: tuple[Reading, ...]
    checkpoints: tuple[Checkpoint, ...] = ()
    committed_wanted: bool = False
    thinned: tuple[Thinned, ...] = ()

    @property
    def first_sequence(self) -> int:
        """Sequence of the first reading."""
        return self.readings[0].sequence

    @property
    def last_sequence(self) -> int:
        """Sequence of the last reading."""
        return self.readings[-1].sequence


class Committed(NamedTuple):
    """The cloud's word to a device: all up to `contiguous`, and every (first, last) in `ranges`, is on disk.

    `contiguous` + 1 is not. Of what else lies between the ranges nothing is known where there are MAX_RANGES of them:
    then they are the newest and some of the others.

    `chain_mark` is chain.mark of the running hash at `contiguous`, `range_marks` that of the leaf of each range's last
    reading; empty: not said.
    """

    epoch: int
    contiguous: int
    ranges: tuple[tuple[int, int], ...] = ()
    chain_mark: bytes = b""
    range_marks: tuple[bytes, ...] = ()

    def covers(self, sequence: int) -> bool:
        """Whether the reading with this sequence is committed."""
        return sequence <= self.contiguous or any(first <= sequence <= last for first, last in self.ranges)

    @property
    def names_all(self) -> bool:
        """Whether what it does not name is surely not on disk."""
        return len(self.ranges) < MAX_RANGES


class Status(NamedTuple):
    """What a device says of itself: connected or not, its epoch, and how its spool stands (counts of readings).

    Of the epoch's readings `dropped_readings` will not come, and the cloud was not told yet as far as the device knows;
    of those that are spooled `held_back_readings` wait for the budget of bytes. `refused_readings` were measured and
    could not be kept, ever: they have no number.
    """

    online: bool
    epoch: int
    head_sequence: int
    spooled_readings: int
    agent_version: str
    dropped_readings: int = 0
    held_back_readings: int = 0
    refused_readings: int = 0


def encode(payload: Payload) -> bytes:
    """The bytes to send. Deflated when that is shorter.

    The readings must be consecutive in sequence and share one clock (a payload stamps all with one).
    Raises ValueError where they do not, or where there are none or more than MAX_READINGS.
    """
    readings = payload.readings
    if not 1 <= len(readings) <= MAX_READINGS:
        raise ValueError(f"a payload holds 1 to {MAX_READINGS} readings, not {len(readings)}")
    cells = sum(len(one.cells) for one in readings)
    if cells > MAX_CELLS:
        raise ValueError(f"a payload holds at most {MAX_CELLS} cells, not {cells}")
    first = readings[0]
    if any(reading.sequence != first.sequence + place for place, reading in enumerate(readings)):
        raise ValueError("a payload's readings must be consecutive in sequence")
    if any(reading.clock != first.clock for reading in readings):
        raise ValueError("a payload's readings must share one clock")
    message = payload_pb2.Payload(
        epoch=payload.epoch,
        first_sequence=first.sequence,
        measured_at_ms=_deltas([reading.measured_at_ms - TIME_ZERO_MS for reading in readings]),
        groups=_groups(readings),
        checkpoints=[
            payload_pb2.Checkpoint(sequence=one.sequence, signature=one.signature) for one in payload.checkpoints
        ],
        clock=first.clock,
        committed_wanted=payload.committed_wanted,
        thinned=[_thinned(one) for one in payload.thinned],
        version=VERSION,
    )
    plain = message.SerializeToString()
    if len(plain) < _DEFLATE_FROM_BYTES:
        return plain
    deflated = payload_pb2.Payload(deflated=zlib.compress(plain, 6), version=VERSION).SerializeToString()
    return deflated if len(deflated) < len(plain) else plain


def decode(data: bytes) -> Payload:
    """What a payload says. Raises PayloadError for anything that is not exactly a payload."""
    message = parse(data)
    count = len(message.measured_at_ms)
    if not 1 <= count <= MAX_READINGS:
        reason = Reason.EMPTY if count == 0 else Reason.TOO_LARGE
        raise PayloadError(reason, f"{count} readings; a payload holds 1 to {MAX_READINGS}")
    first = message.first_sequence
    if not 1 <= first <= MAX_SEQUENCE - count:
        raise PayloadError(Reason.BAD_SEQUENCE, f"first_sequence is {first}")
    if message.clock > LAST_CLOCK:
        raise PayloadError(Reason.BAD_CLOCK, f"clock is {message.clock}; known are 0 to {max(Clock)}")
    times = [TIME_ZERO_MS + offset for offset in accumulate(message.measured_at_ms)]
    if min(times) < MIN_TIME_MS or max(times) > MAX_TIME_MS:
        raise PayloadError(Reason.BAD_TIME, "measured_at_ms lies outside any receiver's range")
    cells = _cells(message.groups, count)
    readings = tuple(Reading(first + place, times[place], message.clock, tuple(cells[place])) for place in range(count))
    return Payload(
        message.epoch, readings, checkpoints_of(message), message.committed_wanted, thinned_of(message, first, count)
    )


def encode_committed(committed: Committed) -> bytes:
    """The bytes of the cloud's word to a device."""
    return payload_pb2.Committed(
        epoch=committed.epoch,
        contiguous=committed.contiguous,
        ranges=[payload_pb2.Range(first=first, last=last) for first, last in committed.ranges],
        chain_mark=committed.chain_mark,
        range_marks=committed.range_marks,
    ).SerializeToString()


def decode_committed(data: bytes) -> Committed:
    """The cloud's word to a device. Raises PayloadError where it is none."""
    try:
        message = payload_pb2.Committed.FromString(data)
    except DecodeError as error:
        raise PayloadError(Reason.NOT_PROTOBUF, str(error)) from None
    ranges = tuple((one.first, one.last) for one in message.ranges)
    return Committed(message.epoch, message.contiguous, ranges, message.chain_mark, tuple(message.range_marks))


def encode_status(status: Status) -> bytes:
    """The bytes of a device's status; its version is cut where it is longer than the cloud reads."""
    said = status._replace(agent_version=status.agent_version[:MAX_VERSION_CHARACTERS])
    return payload_pb2.Status(**said._asdict()).SerializeToString()


def decode_status(data: bytes) -> Status:
    """A device's status. Raises PayloadError where it is none."""
    if len(data) > MAX_PAYLOAD_BYTES:
        raise PayloadError(Reason.TOO_LARGE, f"{len(data)} bytes")
    try:
        message = payload_pb2.Status.FromString(data)
    except DecodeError as error:
        raise PayloadError(Reason.NOT_PROTOBUF, str(error)) from None
    characters = len(message.agent_version)
    if characters > MAX_VERSION_CHARACTERS:
        detail = f"agent_version has {characters} characters; at most {MAX_VERSION_CHARACTERS}"
        raise PayloadError(Reason.TOO_LARGE, detail)
    return Status(
        message.online,
        message.epoch,
        message.head_sequence,
        message.spooled_readings,
        message.agent_version,
        message.dropped_readings,
        message.held_back_readings,
        message.refused_readings,
    )


def parse(data: bytes) -> payload_pb2.Payload:
    """The message behind a payload, inflated within bounds; nothing in it has been looked at but its version.

    Raises PayloadError.
    """
    if len(data) > MAX_PAYLOAD_BYTES:
        raise PayloadError(Reason.TOO_LARGE, f"{len(data)} bytes; at most {MAX_PAYLOAD_BYTES}")
    message = _message(data)
    if not message.deflated:
        return message
    inflater = zlib.decompressobj()
    try:
        plain = inflater.decompress(message.deflated, MAX_INFLATED_BYTES)
    except zlib.error as error:
        raise PayloadError(Reason.BAD_INFLATION, str(error)) from None
    if not inflater.eof or inflater.unused_data:
        raise PayloadError(Reason.BAD_INFLATION, f"not one whole stream of at most {MAX_INFLATED_BYTES} bytes")
    inner = _message(plain)
    if inner.deflated:
        raise PayloadError(Reason.BAD_INFLATION, "deflated twice")
    return inner


def _message(data: bytes) -> payload_pb2.Payload:
    try:
        message = payload_pb2.Payload.FromString(data)
    except DecodeError as error:
        raise PayloadError(Reason.NOT_PROTOBUF, str(error)) from None
    if message.version != VERSION:
        raise PayloadError(Reason.UNKNOWN_VERSION, f"version is {message.version}; this program reads {VERSION}")
    return message


def _groups(readings: Sequence[Reading]) -> list[payload_pb2.Group]:
    """One group for each set of channels, in the order in which the sets first appear."""
    members: dict[int, list[int]] = {}
    for offset, reading in enumerate(readings):
        members.setdefault(reading.channels, []).append(offset)
    groups = []
    for channels, offsets in members.items():
        rows = [readings[offset].cells for offset in offsets]
        columns = list(zip(*rows, strict=True))
        flat = [cell for column in columns for cell in column]
        marked = [index for index, cell in enumerate(flat) if cell.quality != Quality.GOOD]
        groups.append(
            payload_pb2.Group(
                channels=channels,
                offsets=[] if len(offsets) == len(readings) else _deltas(offsets),
                values=[delta for column in columns for delta in _deltas([cell.value for cell in column])],
                marked_cells=_deltas(marked),
                marked_qualities=[flat[index].quality for index in marked],
            )
        )
    return groups


@lru_cache(maxsize=4_096)
def channels_of(mask: int) -> tuple[int, ...]:
    """The channels of a bit mask, ascending; none where any of them is unknown."""
    return () if mask & ~KNOWN_CHANNELS_MASK else tuple(bit for bit in range(mask.bit_length()) if mask >> bit & 1)


def _cells(groups: Sequence[payload_pb2.Group], count: int) -> list[list[Cell]]:
    """The cells of each reading of the payload, by its offset. Every reading must be in exactly one group."""
    total = sum(len(group.values) for group in groups)
    if total > MAX_CELLS:
        raise PayloadError(Reason.TOO_LARGE, f"{total} cells; a payload holds at most {MAX_CELLS}")
    cells: list[list[Cell] | None] = [None] * count
    for number, group in enumerate(groups):
        for offset, row in zip(*_rows(number, group, count), strict=True):
            if cells[offset] is not None:
                raise PayloadError(Reason.BAD_COLUMNS, f"reading {offset} is in two groups")
            cells[offset] = row
    whole = [row for row in cells if row is not None]
    if len(whole) != count:
        raise PayloadError(Reason.BAD_COLUMNS, f"{count - len(whole)} of {count} readings are in no group")
    return whole


def _rows(number: int, group: payload_pb2.Group, count: int) -> tuple[Sequence[int], list[list[Cell]]]:
    """Offsets and cells of one group's readings."""
    if group.channels & ~KNOWN_CHANNELS_MASK:
        bits = group.channels & ~KNOWN_CHANNELS_MASK
        raise PayloadError(Reason.UNKNOWN_CHANNEL, f"group {number} has channel {bits.bit_length() - 1}")
    channels = channels_of(group.channels)
    offsets = list(accumulate(group.offsets)) or range(count)
    rows = len(offsets)
    if not channels or rows > count or offsets[-1] >= count or len(group.values) != rows * len(channels):
        raise PayloadError(
            Reason.BAD_COLUMNS,
            f"group {number} has {len(group.values)} values for {rows} readings of {len(channels)} channels",
        )
    qualities = _qualities(number, group)
    result: list[list[Cell]] = [[] for _ in range(rows)]
    values = list(group.values)
    for column, channel in enumerate(channels):
        start = column * rows
        for row, value in enumerate(accumulate(values[start : start + rows])):
            quality = qualities.get(start + row, _GOOD)
            if not -VALUE_LIMIT < value < VALUE_LIMIT or (quality >= NO_VALUE_FROM and value != 0):
                raise PayloadError(Reason.BAD_COLUMNS, f"group {number} channel {channel} holds an impossible value")
            result[row].append(Cell(channel, value, quality))
    return offsets, result


def _qualities(number: int, group: payload_pb2.Group) -> dict[int, int]:
    marked = list(accumulate(group.marked_cells))
    if len(marked) != len(group.marked_qualities) or any(index >= len(group.values) for index in marked):
        raise PayloadError(Reason.BAD_COLUMNS, f"group {number} marks cells that it does not have")
    if any(not 0 < code <= 255 for code in group.marked_qualities):
        raise PayloadError(Reason.BAD_COLUMNS, f"group {number} has a quality outside 1 to 255")
    return dict(zip(marked, group.marked_qualities, strict=True))


def checkpoints_of(message: payload_pb2.Payload) -> tuple[Checkpoint, ...]:
    """The checkpoints of a message. Raises PayloadError where one is malformed."""
    if not message.checkpoints:
        return ()
    if len(message.checkpoints) > MAX_CHECKPOINTS:
        raise PayloadError(Reason.BAD_CHECKPOINT, f"{len(message.checkpoints)} checkpoints in one payload")
    for one in message.checkpoints:
        if len(one.signature) != SIGNATURE_BYTES or not 1 <= one.sequence <= MAX_SEQUENCE:
            raise PayloadError(Reason.BAD_CHECKPOINT, f"at sequence {one.sequence}")
    return tuple(Checkpoint(one.sequence, one.signature) for one in message.checkpoints)


def thinned_of(message: payload_pb2.Payload, first: int, count: int) -> tuple[Thinned, ...]:
    """What a message of readings `first` on declares to be dropped. Raises PayloadError where one is malformed."""
    if len(message.thinned) > MAX_CHECKPOINTS:
        raise PayloadError(Reason.BAD_THINNING, f"{len(message.thinned)} stretches in one payload")
    found = []
    for one in message.thinned:
        if not 1 <= one.first <= one.last <= MAX_SEQUENCE or not first <= one.last < first + count:
            raise PayloadError(Reason.BAD_THINNING, f"readings {one.first} to {one.last}")
        kept = tuple(one.first + offset for offset in accumulate(one.kept))
        is_ascending = all(difference > 0 for difference in one.kept[1:])
        if not kept or kept[-1] != one.last or not is_ascending or len(kept) > min(MAX_READINGS, one.last - one.first):
            raise PayloadError(Reason.BAD_THINNING, f"{len(kept)} kept of {one.first} to {one.last}")
        found.append(Thinned(one.first, one.last, kept, one.chain_hash, one.kept_digest, one.signature))
        if (len(one.chain_hash), len(one.kept_digest), len(one.signature)) != (HASH_BYTES, HASH_BYTES, SIGNATURE_BYTES):
            raise PayloadError(Reason.BAD_THINNING, f"readings {one.first} to {one.last} without hashes and signature")
    return tuple(found)


def _thinned(one: Thinned) -> payload_pb2.Thinned:
    kept = _deltas([sequence - one.first for sequence in one.kept])
    return payload_pb2.Thinned(**one._replace(kept=())._asdict() | {"kept": kept})


def _deltas(values: Sequence[int]) -> list[int]:
    """The first value, then each less the one before."""
    return [after - before for before, after in pairwise((0, *values))]
