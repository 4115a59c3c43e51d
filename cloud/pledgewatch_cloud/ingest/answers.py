"""When to tell a device what is committed.

Lazily, or it would double the broker's work and the device's bill: after so many readings or so many seconds with
news. At once when the device asks (its window is full, its backlog is drained), when it connects, when it sends again
what is there already, for then it has missed the word, and when a gap opens: what is missing was lost on the way, and
who hears of it sends it again.

Where a device has left so many gaps that one word cannot name all that is there, a word costs it more than many an
alarm and tells it of hardly any loss. So a gap that opens there is told of at once only if none was in the last
GAP_AGAIN_S, and in the other case then; and of what is there a word names what has come since the word before, new or
not, so that the device need not wait for its turn to hear of it.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

from pledgewatch_cloud.decide.admission import Admission, EpochState, committed_of, named_up_to
from pledgewatch_cloud.decide.batch import Arrival
from pledgewatch_cloud.ingest.decode import DeviceStatus
from pledgewatch_wire.codec import MAX_EPOCH, MAX_SEQUENCE, Committed

GAP_AGAIN_S = 600.0
_GAP_AGAIN_MAX_S = 21_600.0


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


class _Gap(NamedTuple):
    """A stream with a gap: where its last range begins, when its device was told, and how often without a new one."""

    stream: tuple[str, str, int]
    newest: int
    told_s: float
    times: int

    @property
    def again_s(self) -> float:
        """When to tell it again: later each time, for what is lost for good is never sent."""
        return self.told_s + min(GAP_AGAIN_S * 2.0**self.times, _GAP_AGAIN_MAX_S)


class Answers:
    """Which devices are due a `committed`. Holds one small record for each stream with news, none for the others."""

    def __init__(self, *, after_readings: int, after_s: float) -> None:
        self._after_readings = after_readings
        self._after_s = after_s
        self._unsaid: dict[tuple[str, str, int], _Unsaid] = {}  # oldest first, so only those that are due are looked at
        self._at_once: dict[tuple[str, str, int], None] = {}
        self._gaps: dict[tuple[str, int], _Gap] = {}  # device, epoch: of streams with a gap
        self._gaps_due_s = math.inf  # none of them is due before
        self._named: dict[Stream, int] = {}  # up to where, of streams with more ranges than a word names
        self._fresh: dict[Stream, int] = {}  # of those, the lowest that has come since
        self._online: dict[tuple[str, str], int] = {}  # the epoch that a device has just come online with

    def took(self, admission: Admission, now_s: float) -> None:
        """News from a batch that is on disk."""
        known, enough = self._unsaid, self._after_readings
        for arrival in admission.accepted:
            stream = (arrival.operator, arrival.device, arrival.epoch)  # equals the Stream of the same, and costs less
            unsaid = known.get(stream)
            if unsaid is None:
                unsaid = known[stream] = _Unsaid(0, now_s)
            unsaid.readings += arrival.count
            if arrival.committed_wanted or unsaid.readings >= enough:
                self._at_once[stream] = None
        for arrival in admission.known:
            self._at_once[Stream(arrival.operator, arrival.device, arrival.epoch)] = None
        if self._named:
            self._freshen((*admission.accepted, *admission.known))
        gaps = {key: state.marks.ranges[-1][0] for key, state in admission.devices.items() if state.marks.ranges}
        if self._gaps:
            for key in admission.devices.keys() - gaps.keys():
                self._gaps.pop(key, None)
        if gaps:
            self._open(admission, gaps, now_s)

    def _open(self, admission: Admission, gaps: Mapping[tuple[str, int], int], now_s: float) -> None:
        """Tell of gaps that have opened; `gaps` by device and epoch, as where the last range beyond one begins."""
        for arrival in admission.accepted:
            key = arrival.device, arrival.epoch
            before, newest = self._gaps.get(key), gaps.get(key, 0)
            if newest > (before.newest if before else 0):
                stream = Stream(arrival.operator, *key)
                if before and stream in self._named:
                    gap = before._replace(newest=newest, times=0)
                else:
                    gap = _Gap(stream, newest, now_s, 0)
                    self._at_once[stream] = None
                self._gaps[key] = gap
                self._gaps_due_s = min(self._gaps_due_s, gap.again_s)

    def _freshen(self, arrivals: Iterable[Arrival]) -> None:
        """Have the next word to a device begin no later than with what has come, where it cannot name all."""
        for arrival in arrivals:
            stream = Stream(arrival.operator, arrival.device, arrival.epoch)
            if stream in self._named:
                first = arrival.first_sequence
                self._fresh[stream] = min(first, self._fresh.get(stream, first))

    def _tell_again(self, now_s: float) -> None:
        """Tell of gaps that have stood for long."""
        for key, gap in self._gaps.items():
            if gap.again_s <= now_s:
                self._gaps[key] = gap._replace(told_s=now_s, times=gap.times + 1)
                self._at_once[gap.stream] = None
        self._gaps_due_s = min((gap.again_s for gap in self._gaps.values()), default=math.inf)

    def connected(self, statuses: Iterable[DeviceStatus]) -> None:
        """Devices that have just come online want to know where they stand."""
        for one in statuses:
            if one.status.online and 1 <= one.status.epoch <= MAX_EPOCH:
                self._online[one.operator, one.device] = one.status.epoch

    def due(self, now_s: float) -> list[Stream]:
        """The streams to tell now."""
        if self._gaps_due_s <= now_s:
            self._tell_again(now_s)
        late = takewhile(lambda one: now_s - one[1].since_s >= self._after_s, self._unsaid.items())
        online = ((*names, epoch) for names, epoch in self._online.items())
        return [Stream(*one) for one in dict.fromkeys([*self._at_once, *online, *(stream for stream, _ in late)])]

    def word(self, stream: Stream, state: EpochState | None) -> Committed:
        """What to tell a device now; it counts as told."""
        named, fresh = self._named.get(stream, 0), self._fresh.pop(stream, MAX_SEQUENCE)
        word = committed_of(stream.epoch, state, named, fresh)
        if word.names_all:
            self._named.pop(stream, None)
        else:
            is_fresh = word.ranges[-2][1] >= fresh
            self._named[stream] = named_up_to(word, fresh - 1 if is_fresh else named)
        self._unsaid.pop(stream, None)
        self._at_once.pop(stream, None)
        if self._online.get(stream[:2]) == stream.epoch:
            del self._online[stream[:2]]
        return word

    def not_taken(self, stream: Stream, word: Committed) -> None:
        """The broker has not taken a word: another is due, which names the same if nothing has come since."""
        self._at_once[stream] = None
        if not word.names_all:
            self._named[stream] = word.ranges[0][0] - 1
