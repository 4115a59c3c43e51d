"""The index of readings: which entry holds which sequences of a device, and at which place.

A row for each payload would cost more than all else that a commit writes, as each lands in another page of the tree. So
spans are gathered in memory and written for one device after the other: devices fall into BUCKETS by their name, and
with entry n the bucket n modulo BUCKETS is written, what came up to entry n - 1. What is not written yet can be read
again from the last BUCKETS entries, so nothing is lost by a kill; and as it depends on the entries alone, a replay
knows the very bytes that must stand in every row.

A row holds spans of one device and epoch that begin within SEQUENCES_MAX of each other, as five signed 64-bit numbers
each, big-endian: first, last, entry, place, until_ms.
"""

import struct
import zlib
from array import array
from collections.abc import Iterable, Iterator
from typing import ClassVar, NamedTuple

from pledgewatch_cloud.decide.batch import Entry, Readings

SEQUENCES_MAX = 65_536
_FIELDS = 5


class Span(NamedTuple):
    """Where a payload's readings are: sequences `first` to `last` in the payload at `place` of `entry`; `until_ms` is
    the newest moment among them."""

    device: str
    epoch: int
    first: int
    last: int
    entry: int
    place: int
    until_ms: int


class SpanRow(NamedTuple):
    """Spans of one device and epoch as they are written down with entry `entry`."""

    device: str
    epoch: int
    first: int
    entry: int
    last: int
    until_ms: int
    body: bytes


def spans_of(entry: Entry) -> list[Span]:
    """The spans of an entry's payloads."""
    if not isinstance(entry.content, Readings):
        return []
    return [
        Span(one.device, one.epoch, one.first_sequence, one.last_sequence, entry.number, place, one.until_ms)
        for place, one in enumerate(entry.content.arrivals)
    ]


def spans_in(device: str, epoch: int, body: bytes) -> Iterator[Span]:
    """The spans of a row. Raises struct.error for a body that is none."""
    for first, last, entry, place, until_ms in struct.iter_unpack(f">{_FIELDS}q", body):
        yield Span(device, epoch, first, last, entry, place, until_ms)


class SpanTail:
    """The spans that are not written down yet."""

    BUCKETS: ClassVar[int] = 256

    def __init__(self) -> None:
        self._buckets: list[dict[tuple[str, int], array[int]]] = [{} for _ in range(self.BUCKETS)]
        self._bucket_of: dict[str, int] = {}  # for each device that ever spoke

    def due(self, entry: int) -> list[SpanRow]:
        """The rows to write with an entry, before its own spans are added."""
        rows = []
        for (device, epoch), numbers in sorted(self._buckets[entry % self.BUCKETS].items()):
            spans = sorted(zip(*(numbers[field::_FIELDS] for field in range(_FIELDS)), strict=True))
            start = 0
            for place in range(1, len(spans) + 1):
                if place == len(spans) or spans[place][0] - spans[start][0] >= SEQUENCES_MAX:
                    rows.append(_row(device, epoch, entry, spans[start:place]))
                    start = place
        return rows

    def move_on(self, entry: Entry) -> None:
        """An entry is on disk, and the rows that were due with it."""
        self._buckets[entry.number % self.BUCKETS] = {}
        self._add(entry, None)

    def take_up(self, entry: Entry, last: int) -> None:
        """An entry is read again; `last` is the journal's last one. Spans whose bucket came since are written."""
        self._add(entry, last)

    def of(self, device: str, epoch: int | None = None) -> Iterator[Span]:
        """The spans of a device, of one epoch or of all."""
        for (name, number), numbers in self._buckets[self._bucket(device)].items():
            if name == device and epoch in (None, number):
                for fields in zip(*(numbers[field::_FIELDS] for field in range(_FIELDS)), strict=True):
                    yield Span(device, number, *fields)

    def _add(self, entry: Entry, last: int | None) -> None:
        if not isinstance(entry.content, Readings):
            return
        number, buckets, bucket_of = entry.number, self._buckets, self._bucket_of
        for place, one in enumerate(entry.content.arrivals):
            device, first = one.device, one.first_sequence
            bucket = bucket_of.get(device)
            if bucket is None:
                bucket = bucket_of[device] = self._bucket(device)
            if last is not None and number + (bucket - number - 1) % self.BUCKETS + 1 <= last:
                continue  # written with the next entry of its bucket
            fields = (first, first + one.count - 1, number, place, one.until_ms)
            spans = buckets[bucket].get((device, one.epoch))
            if spans is None:
                buckets[bucket][device, one.epoch] = array("q", fields)
            else:
                spans.extend(fields)

    def _bucket(self, device: str) -> int:
        return zlib.crc32(device.encode()) % self.BUCKETS


def _row(device: str, epoch: int, entry: int, spans: list[tuple[int, ...]]) -> SpanRow:
    numbers = [number for span in spans for number in span]
    return SpanRow(
        device,
        epoch,
        spans[0][0],
        entry,
        max(span[1] for span in spans),
        max(span[4] for span in spans),
        struct.pack(f">{len(numbers)}q", *numbers),
    )


def overlapping(spans: Iterable[Span], first: int, last: int) -> list[Span]:
    """Those that hold any of the sequences, in order."""
    found = {span for span in spans if span.first <= last and span.last >= first}
    return sorted(found, key=lambda span: (span.first, span.entry, span.place))
