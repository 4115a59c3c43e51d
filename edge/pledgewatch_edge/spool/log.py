"""The spool's files: a log in segments, of frames that each stand alone.

    spool/0003-0000000000001025.log      epoch 3, from reading 1025 on

A frame is `a5 5a`, the length of its body (u32), the CRC-32 of kind and body (u32), the kind (u8) and the body, numbers
big-endian. Whatever happens to the bytes around it, a frame whose CRC is right is what was written; one that is not is
passed over, and the next is found by its first two bytes. So damage costs the frames that it touches and no others.

A segment begins with a HEAD: whose log it is, its epoch, its first sequence and the running hash of the chain before
it; the newest segment alone is written to. A frame of READINGS holds a payload of the wire (pledgewatch_wire.codec), so
what is kept is as small as what is sent: a batch is delta-coded columns. It says before the payload which sequences it
holds, so that a segment can be gone through without reading what is in it.

What is no longer needed goes by whole segments: nothing is written twice for that, which is what wears flash out.
"""

import contextlib
import os
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Final, NamedTuple

from pledgewatch_edge.spool.errors import UNREADABLE, tried
from pledgewatch_wire.chain import HASH_BYTES, SIGNATURE_BYTES
from pledgewatch_wire.codec import Checkpoint, Payload, PayloadError, Thinned, decode, encode
from pledgewatch_wire.reading import Reading

FORMAT: Final = 3
SEGMENT_READINGS: Final = 1_024
SEGMENT_BYTES: Final = 65_536
BODY_MAX_BYTES: Final = 512 * 1024
_BLOCK_BYTES: Final = 4_096  # a page: the least that the kernel reads
_MAGIC: Final = b"\xa5\x5a"
_FRAME: Final = struct.Struct(">2sIIB")
_HEAD: Final = struct.Struct(">BIQQ32s")  # format, epoch, first sequence, signed up to, hash before; then the device
_RUN: Final = struct.Struct(">QH")  # first sequence, count; then the payload
_LATE: Final = struct.Struct(f">Q{SIGNATURE_BYTES}s")
_COUNT: Final = struct.Struct(">Q")
_THINNED: Final = struct.Struct(f">QQ{HASH_BYTES}s{HASH_BYTES}s{SIGNATURE_BYTES}s")  # then what was kept, u32 each
_NAME: Final = re.compile(r"(\d{4,})-(\d{16})\.log")


class Kind(IntEnum):
    """What a frame says."""

    HEAD = 1
    READINGS = 2
    URGENT = 3  # readings, which are never thinned
    LATE = 4  # a checkpoint of the reading before
    COMMITTED = 5  # up to where the cloud has everything
    THINNED = 6  # what of this segment has been dropped
    ENDED = 7  # why no number of this epoch may be given any more
    PUT_BACK = 14  # up to where it has everything after all, whatever COMMITTED before has said
    LIFE = 12  # what became of a life that is over (spool/ended.py, in a file of its own)
    MOVED = 13  # of which files of a broken log this segment was made (spool/moving.py)
    # Of what waits for a date (undated.py), in a file of its own:
    BOOT = 8  # of which start of the computer its moments are
    HANDED = 10  # which of them are about to be numbered or refused, and from which number on
    UNDATED = 11  # samples (9 was these without their places)


class Frame(NamedTuple):
    """A frame that is whole, and where it ends in its file."""

    kind: int
    body: bytes
    end: int


class Head(NamedTuple):
    """How a segment begins."""

    device: str
    epoch: int
    first: int
    signed: int
    chain_hash: bytes


class Run(NamedTuple):
    """Readings of one frame, not yet read."""

    first: int
    last: int
    is_urgent: bool
    payload: bytes


class Content(NamedTuple):
    """What stands in a file. `end`: up to where it is whole; `is_holed`: whole frames follow one that is not."""

    frames: list[Frame]
    end: int
    is_holed: bool


def segment_name(epoch: int, first: int) -> str:
    """What the file of a segment is called; names sort as their sequences do."""
    return f"{epoch:04d}-{first:016d}.log"


def segments_in(folder: Path) -> list[tuple[int, int, Path]]:
    """The segments of a folder: epoch, first sequence, file; in order."""
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        named = _NAME.fullmatch(path.name)
        if named:
            found.append((int(named[1]), int(named[2]), path))
    return sorted(found)


def frame(kind: Kind, body: bytes) -> bytes:
    """The bytes of a frame."""
    return _FRAME.pack(_MAGIC, len(body), zlib.crc32(body, zlib.crc32(bytes([kind]))), kind) + body


def read_around(path: Path) -> bytes:
    """A file's bytes, with zeros for those that the disk cannot read. Raises OSError where it cannot be opened, or
    refuses for another reason."""
    try:
        return tried(path.read_bytes)
    except OSError as error:
        if error.errno not in UNREADABLE:
            raise
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        blocks = ((at, min(_BLOCK_BYTES, size - at)) for at in range(0, size, _BLOCK_BYTES))
        return b"".join(_block(descriptor, at, length) for at, length in blocks)
    finally:
        os.close(descriptor)


def _block(descriptor: int, at: int, length: int) -> bytes:
    try:
        return os.pread(descriptor, length, at).ljust(length, b"\0")
    except OSError as error:
        if error.errno not in UNREADABLE:
            raise
        return bytes(length)


def content_of(data: bytes) -> Content:
    """The whole frames of a file's bytes."""
    frames: list[Frame] = []
    place, end, is_holed = 0, 0, False
    while place < len(data):
        found = _frame_at(data, place)
        if found is None:
            place = data.find(_MAGIC, place + 1)
            if place < 0:
                break
            continue
        is_holed |= place != end
        frames.append(found)
        place = end = found.end
    return Content(frames, end, is_holed)


def broken_at(data: bytes, place: int) -> Frame | None:
    """A frame that is as long as it says, and whose CRC is wrong; None where none begins at a place."""
    if place + _FRAME.size > len(data):
        return None
    magic, length, _, kind = _FRAME.unpack_from(data, place)
    end = place + _FRAME.size + length
    if magic != _MAGIC or length > BODY_MAX_BYTES or end > len(data):
        return None
    return Frame(kind, data[place + _FRAME.size : end], end)


def _frame_at(data: bytes, place: int) -> Frame | None:
    body_at = place + _FRAME.size
    if body_at > len(data):
        return None
    magic, length, crc, kind = _FRAME.unpack_from(data, place)
    if magic != _MAGIC or length > BODY_MAX_BYTES or body_at + length > len(data):
        return None
    body = data[body_at : body_at + length]
    return Frame(kind, body, body_at + length) if zlib.crc32(body, zlib.crc32(bytes([kind]))) == crc else None


def head_frame(head: Head) -> bytes:
    """The frame that a segment begins with."""
    fixed = _HEAD.pack(FORMAT, head.epoch, head.first, head.signed, head.chain_hash)
    return frame(Kind.HEAD, fixed + head.device.encode())


def head_of(body: bytes) -> Head:
    """What a head says. Raises ValueError where it is of another format."""
    if len(body) < _HEAD.size or body[0] != FORMAT:
        raise ValueError(f"it is of another format than {FORMAT}")
    _, epoch, first, signed, chain_hash = _HEAD.unpack_from(body)
    return Head(body[_HEAD.size :].decode(), epoch, first, signed, chain_hash)


def readings_frame(
    epoch: int, readings: Sequence[Reading], checkpoints: Sequence[Checkpoint], *, is_urgent: bool
) -> bytes:
    """The frame of consecutive readings of one clock."""
    payload = encode(Payload(epoch, tuple(readings), tuple(checkpoints)))
    kind = Kind.URGENT if is_urgent else Kind.READINGS
    return frame(kind, _RUN.pack(readings[0].sequence, len(readings)) + payload)


def run_of(one: Frame) -> Run | None:
    """The readings of a frame; None where it holds none."""
    if one.kind not in {Kind.READINGS, Kind.URGENT} or len(one.body) < _RUN.size:
        return None
    first, count = _RUN.unpack_from(one.body)
    return Run(first, first + count - 1, one.kind == Kind.URGENT, one.body[_RUN.size :])


def payload_of(run: Run) -> Payload:
    """What is in a run. Raises ValueError where it is not what it says."""
    try:
        payload = decode(run.payload)
    except PayloadError as error:
        raise ValueError(f"readings {run.first} to {run.last} cannot be read: {error}") from None
    if (payload.first_sequence, payload.last_sequence) != (run.first, run.last):
        raise ValueError(f"readings {run.first} to {run.last} are others")
    return payload


def late_frame(checkpoint: Checkpoint) -> bytes:
    """The frame of a checkpoint that was signed after its reading was written."""
    return frame(Kind.LATE, _LATE.pack(*checkpoint))


def late_of(one: Frame) -> Checkpoint | None:
    """The checkpoint of such a frame."""
    is_one = one.kind == Kind.LATE and len(one.body) == _LATE.size
    return Checkpoint(*_LATE.unpack(one.body)) if is_one else None


def committed_frame(contiguous: int) -> bytes:
    """The frame that says how far the cloud has everything."""
    return frame(Kind.COMMITTED, _COUNT.pack(contiguous))


def put_back_frame(contiguous: int) -> bytes:
    """The frame that says how far the cloud has everything though it has said more before."""
    return frame(Kind.PUT_BACK, _COUNT.pack(contiguous))


def committed_in(frames: Sequence[Frame], before: int = 0) -> int:
    """How far the cloud had everything, by some frames and those before them; 0 where none says it."""
    for one in frames:
        if one.kind == Kind.COMMITTED:
            before = max(before, *_COUNT.unpack(one.body))
        elif one.kind == Kind.PUT_BACK:
            (before,) = _COUNT.unpack(one.body)
    return before


def last_word(frames: Sequence[Frame]) -> bytes:
    """One frame that says, behind any others, what some frames say of how far it had everything; empty where none
    does."""
    kinds = {one.kind for one in frames} & {Kind.COMMITTED, Kind.PUT_BACK}
    if not kinds:
        return b""
    said = committed_in(frames)
    return put_back_frame(said) if Kind.PUT_BACK in kinds else committed_frame(said)


def ended_in(frames: Sequence[Frame]) -> str:
    """Why no number may be given any more, by some frames; empty where they may."""
    return next((one.body.decode("utf-8", "replace") for one in frames if one.kind == Kind.ENDED), "")


def thinned_frame(thinned: Thinned) -> bytes:
    """The frame that says what of its segment was dropped."""
    fixed = _THINNED.pack(thinned.first, thinned.last, thinned.chain_hash, thinned.kept_digest, thinned.signature)
    offsets = [sequence - thinned.first for sequence in thinned.kept]
    return frame(Kind.THINNED, fixed + struct.pack(f">{len(offsets)}I", *offsets))


def thinned_in(frames: Sequence[Frame]) -> Thinned | None:
    """What of a segment was dropped; None where nothing was."""
    for one in frames:
        if one.kind == Kind.THINNED and len(one.body) > _THINNED.size:
            first, last, chain_hash, digest, signature = _THINNED.unpack_from(one.body)
            offsets = struct.unpack_from(f">{(len(one.body) - _THINNED.size) // 4}I", one.body, _THINNED.size)
            return Thinned(first, last, tuple(first + offset for offset in offsets), chain_hash, digest, signature)
    return None


def runs_in(frames: Sequence[Frame]) -> Iterator[Run]:
    """The runs of some frames, in order."""
    for one in frames:
        found = run_of(one)
        if found is not None:
            yield found


def write_durably(descriptor: int, data: bytes, at: int) -> None:
    """Write bytes at the end of a file and wait until the disk has them. Raises OSError, and then the file is as it
    was, unless the disk refuses that too: who writes there again cuts it off at `at` before that."""
    try:
        written = 0
        while written < len(data):
            written += os.pwrite(descriptor, data[written:], at + written)
        os.fdatasync(descriptor)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, at)
        raise
