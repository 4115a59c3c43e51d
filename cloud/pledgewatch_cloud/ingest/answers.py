"""When to tell a device what is committed.

Lazily, or it would double the broker's work and the device's bill: after so many readings or so many seconds with
news, at once when the device asks (its window is full, its backlog is drained), when it connects, and when it sends
again what is there already, for then it has missed the word.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from pledgewatch_cloud.decide.admission import Admission
from pledgewatch_cloud.ingest.decode import DeviceStatus


class Stream(NamedTuple):
    """One epoch of one device, under its operator's name."""

    operator: str
    device: str
    epoch: int


@dataclass(slots=True)
class _Unsaid:
    """What a device has not been told. `since_s` is when the oldest of it was committed."""

    readings: int
    since_s: float
    at_once: bool


class Answers:
    """Which devices are due a `committed`. Holds one small record for each stream with news, none for the others."""

    def __init__(self, *, after_readings: int, after_s: float) -> None:
        self._after_readings = after_readings
        self._after_s = after_s
        self._unsaid: dict[Stream, _Unsaid] = {}

    def took(self, admission: Admission, now_s: float) -> None:
        """News from a batch that is on disk."""
        for arrival in admission.accepted:
            stream = Stream(arrival.operator, arrival.device, arrival.epoch)
            self._note(stream, arrival.count, now_s, at_once=arrival.committed_wanted)
        for arrival in admission.known:
            self._note(Stream(arrival.operator, arrival.device, arrival.epoch), 0, now_s, at_once=True)

    def connected(self, statuses: Iterable[DeviceStatus], now_s: float) -> None:
        """Devices that have just come online want to know where they stand."""
        for one in statuses:
            if one.status.online and one.status.epoch:
                self._note(Stream(one.operator, one.device, one.status.epoch), 0, now_s, at_once=True)

    def due(self, now_s: float) -> list[Stream]:
        """The streams to tell now."""
        return [
            stream
            for stream, unsaid in self._unsaid.items()
            if unsaid.at_once
            or unsaid.readings >= self._after_readings
            or (unsaid.readings and now_s - unsaid.since_s >= self._after_s)
        ]

    def said(self, stream: Stream) -> None:
        """The device has been told all that is committed."""
        self._unsaid.pop(stream, None)

    def _note(self, stream: Stream, readings: int, now_s: float, *, at_once: bool) -> None:
        unsaid = self._unsaid.setdefault(stream, _Unsaid(0, now_s, at_once=False))
        unsaid.readings += readings
        unsaid.at_once = unsaid.at_once or at_once
