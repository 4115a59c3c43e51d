"""The site: where what sources read becomes readings of zones, and what was last known of each.

Every value goes the same way: by its row of the roster to a cell, with the other cells of its moment to a sample, into
the inbox of its zone. The zone's station takes the inbox as it takes a sensor, so from there on nothing is new:
recorder, spool, uplink. Nothing here waits. What would be too much is left out and counted: a row has
READINGS_PER_S_MAX in the long run and READINGS_BURST_MAX at once, so that a device gone mad cannot fill the spool of
its zone; an inbox that a broken disk does not empty keeps what it has. A passage of a tag is never too much, for
nobody would say it again: a flood of them is counted, and told all the same. One that finds the inbox full counts as
not seen, so that it is told when the reader sees the tag next.

Rules are told of each value that becomes the newest, at once (`hearers`): of a door that opens and closes again before
anybody looks they would know nothing else.

A sensor that the roster does not have, and a message that cannot be read, is said once and counted. Moments are the
gateway's own clock's, except where a message names its own and that can be.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Final, NamedTuple

from pledgewatch_edge.clock import RELEASED_MS, AgentClock
from pledgewatch_edge.logs import World
from pledgewatch_edge.sample import Sample
from pledgewatch_gateway.presence import Presence
from pledgewatch_gateway.roster import Roster, RowSettings, tag_of
from pledgewatch_gateway.sources import EVERY_FIELD, MalformedError, Value
from pledgewatch_wire.reading import PASSAGE_CHANNELS, STATE_CHANNELS, Cell, Channel, Clock, Quality, tag_number

INBOX_MAX: Final = 4_096
READINGS_PER_S_MAX: Final = 10
READINGS_BURST_MAX: Final = 1_000
TOLD_MAX: Final = 1_000
AHEAD_MAX_MS: Final = 10_000
PRESENCE_EVERY_MS: Final = 60_000
_SAID_MAX_CHARACTERS: Final = 120
log = logging.getLogger(__name__)


class Newest(NamedTuple):
    """What was last known of a channel of a zone. `value` is None where there was none; `heard_ms` is of the monotonic
    clock, and lies back where the message was late; `valued_ms` is the same of the newest that had a value, if any."""

    value: int | None
    quality: Quality
    measured_at_ms: int
    heard_ms: int
    valued_ms: int | None


class _Meter:
    """How much one row has said: a bucket that refills."""

    def __init__(self, now_ms: int) -> None:
        self.milli = READINGS_BURST_MAX * 1_000
        self.at_ms = now_ms

    def take(self, now_ms: int) -> bool:
        """Whether one more reading may go."""
        self.milli = min(self.milli + (now_ms - self.at_ms) * READINGS_PER_S_MAX, READINGS_BURST_MAX * 1_000)
        self.at_ms = now_ms
        if self.milli < 1_000:
            return False
        self.milli -= 1_000
        return True


class ZoneSensor:
    """All that a zone's sensors say, as one sensor of its station."""

    def __init__(self, zone: str, inbox: asyncio.Queue[Sample]) -> None:
        self.name = f"zone {zone}"
        self._inbox = inbox

    async def samples(self) -> AsyncGenerator[Sample, None]:
        """What comes into the inbox, for ever."""
        while True:
            yield await self._inbox.get()


class Site:
    """Takes what sources read (it is their Listener), and has it for the stations, the rules and the status page."""

    def __init__(
        self,
        roster: Roster,
        zones: Sequence[str],
        clock: AgentClock,
        monotonic_ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000,
    ) -> None:
        self.roster = roster
        self.counts: Counter[tuple[str, str]] = Counter()  # by source and kind
        self.newest: dict[tuple[str, int], Newest] = {}
        self.hearers: list[Callable[[str, Channel, Newest], None]] = []  # told of each newest value of a zone's channel
        self.monotonic_ms = monotonic_ms
        self._clock = clock
        self._inboxes = {zone: asyncio.Queue[Sample](INBOX_MAX) for zone in zones}
        self._rooms = {zone: World(log, f"room in the inbox of zone {zone}") for zone in zones}
        self._told: set[tuple[str, str, str]] = set()
        self._meters: dict[tuple[str, str, str], _Meter] = {}
        self._said_ms: dict[tuple[str, str, str], int] = {}  # by row, the moment of its newest reading
        self._presences = {
            row.key: Presence(round(row.window_s * 1_000), frozenset(tag_number(tag) for tag in row.own_tags))
            for row in roster.rows
            if row.number in {*PASSAGE_CHANNELS, Channel.TAGS_PRESENT}
        }
        self._gates: dict[tuple[str, int], list[Presence]] = {}
        for row in roster.rows:
            if row.number in PASSAGE_CHANNELS:
                self._gates.setdefault((row.zone, row.number), []).append(self._presences[row.key])

    def sensor_of(self, zone: str) -> ZoneSensor:
        """What the station of a zone measures with."""
        return ZoneSensor(zone, self._inboxes[zone])

    def now(self) -> tuple[int, Clock]:
        """Unix milliseconds UTC and the clock that tells them."""
        return self._clock.now()

    def hear(self, source: str, values: Sequence[Value]) -> None:
        """Take what was said at one moment."""
        if not values:
            return
        self.counts[source, "heard"] += 1
        taken: dict[tuple[str, int], list[Cell]] = {}
        used: set[str] = set()
        for value in values:
            rows = self.roster.rows_of(source, value)
            if rows or value.field == EVERY_FIELD:
                used.add(value.sensor)
            for row in rows:
                self._take(row, value, taken)
        for sensor in dict.fromkeys(value.sensor for value in values):
            if not self.roster.knows(source, sensor):
                self._tell(source, "unknown", sensor, "is not in the roster; add a [[sensors]] row for it")
            elif sensor not in used:
                self._tell(source, "unused", sensor, "says nothing that the roster has a row for")
        for (zone, at_ms), cells in taken.items():
            for cell in self._put(zone, at_ms, cells):
                self._forget_passage(zone, cell)

    def complain(self, source: str, about: str, reason: str) -> None:
        """Count what cannot be read. The same reason about the same thing is said once."""
        self._tell(source, "malformed", about, reason)

    def tick(self) -> None:
        """Time has gone by: tell how many tags are present, where that has changed or was not told for a while."""
        now_ms = self.monotonic_ms()
        for row in self.roster.rows:
            if row.number != Channel.TAGS_PRESENT or row.key not in self._said_ms:
                continue
            count = self._presences[row.key].count(now_ms)
            before = self.newest[row.zone, row.number]
            changed = before.value != count and now_ms - before.heard_ms >= row.every_s * 1_000
            if changed or now_ms - before.heard_ms >= PRESENCE_EVERY_MS:
                cell = _presence(row, count, _silent(before.quality))
                self._known(row, cell, None)
                self._put(row.zone, self._clock.now()[0], [cell])

    def _take(self, row: RowSettings, value: Value, taken: dict[tuple[str, int], list[Cell]]) -> None:
        """Turn a value into the cell of its row, where it is one and is due."""
        try:
            found = self._counted(row, value) if row.number == Channel.TAGS_PRESENT else row.cell(value)
        except MalformedError as error:
            self._tell(row.source, "malformed", f"{row.sensor_name} {row.field}", str(error))
            return
        is_passage = row.number in PASSAGE_CHANNELS and value.value is not None
        if found is None or (is_passage and self._is_same_passage(row, found)):
            return
        at_ms = self._moment_ms(row, value)
        is_told = self._is_due(row, found, at_ms)
        if not is_told:
            self.counts[row.source, "thinned"] += 1
        elif not self._meters.setdefault(row.key, _Meter(self.monotonic_ms())).take(self.monotonic_ms()):
            cure = "all of it is told" if is_passage else "set its every_s"
            self._tell(row.source, "flood", f"{row.sensor_name} {row.field}", f"says too much; {cure}")
            is_told = is_passage
        if is_told or row.number != Channel.TAGS_PRESENT:  # whose newest is what was told of it: see `tick`
            self._known(row, found, value.at_ms and at_ms)
        if is_told:
            self._said_ms[row.key] = at_ms
            taken.setdefault((row.zone, at_ms), []).append(found)

    def _counted(self, row: RowSettings, value: Value) -> Cell | None:
        """The count of tags with one more seen; None where it is what it was. A reader that has not seen for a window
        is there, and has no count. Raises MalformedError."""
        presence, now_ms = self._presences[row.key], self.monotonic_ms()
        if value.value is None:
            presence.clear()
            return Cell(row.number, 0, value.quality)
        if not presence.see(tag_number(tag_of(value.value)), now_ms):
            raise MalformedError("has more tags than can be counted")
        found = _presence(row, presence.count(now_ms), Quality.NOT_REPORTED)
        before = self.newest.get((row.zone, row.number))
        is_known = before is not None and (before.value, before.quality) == (_value_of(found), found.quality)
        return None if is_known else found

    def _is_same_passage(self, row: RowSettings, cell: Cell) -> bool:
        """Whether a tag that passes is one that has just passed, and is seen again on its way."""
        presence, now_ms = self._presences[row.key], self.monotonic_ms()
        is_same = presence.is_present(cell.value, now_ms)
        presence.see(cell.value, now_ms)
        return is_same

    def _forget_passage(self, zone: str, cell: Cell) -> None:
        """A cell was not taken: the tag that passed, if it is one, has not been seen."""
        for presence in self._gates.get((zone, cell.channel), ()):
            presence.forget(cell.value)

    def _is_due(self, row: RowSettings, cell: Cell, at_ms: int) -> bool:
        """Whether the row has not said anything for long enough; news of a state, a tag or a sensor that is gone is
        always due."""
        said_ms, before = self._said_ms.get(row.key), self.newest.get((row.zone, row.number))
        if said_ms is None or before is None or row.number in PASSAGE_CHANNELS or before.quality != cell.quality:
            return True
        if row.number in STATE_CHANNELS and before.value != cell.value:
            return True
        return abs(at_ms - said_ms) >= row.every_s * 1_000

    def _moment_ms(self, row: RowSettings, value: Value) -> int:
        """When the value was measured: what its message says, if that can be, else now."""
        now_ms, _ = self._clock.now()
        if value.at_ms is None:
            return now_ms
        if not RELEASED_MS <= value.at_ms <= now_ms + AHEAD_MAX_MS:
            self._tell(row.source, "clock", row.sensor_name, "is told with a time that cannot be; look at its clock")
            return now_ms
        return min(value.at_ms, now_ms)

    def _known(self, row: RowSettings, cell: Cell, named_ms: int | None) -> None:
        """Remember a cell as the newest of its channel, and tell who listens, unless something newer is known."""
        now_ms, heard_ms = self._clock.now()[0], self.monotonic_ms()
        at_ms = now_ms if named_ms is None else named_ms
        heard_ms -= now_ms - at_ms
        before = self.newest.get((row.zone, row.number))
        if before is None or heard_ms >= before.heard_ms:
            value = _value_of(cell)
            valued_ms = heard_ms if value is not None else before and before.valued_ms
            newest = self.newest[row.zone, row.number] = Newest(
                value, Quality(cell.quality), at_ms, heard_ms, valued_ms
            )
            for hear in self.hearers:
                hear(row.zone, row.number, newest)

    def _put(self, zone: str, at_ms: int, cells: Sequence[Cell]) -> list[Cell]:
        """Hand samples to the zone's station: one, or as many as a channel has cells (tags that pass together). The
        cells that it does not take."""
        rows: list[dict[int, Cell]] = [{}]
        for cell in cells:
            place = next((row for row in rows if cell.channel not in row), None)
            if place is None:
                rows.append(place := {})
            place[cell.channel] = cell
        _, clock = self._clock.now()
        inbox, room, dropped = self._inboxes[zone], self._rooms[zone], list[Cell]()
        for row in rows:
            try:
                inbox.put_nowait(Sample(at_ms, clock, tuple(row[channel] for channel in sorted(row))))
            except asyncio.QueueFull:
                self.counts[zone, "dropped"] += 1
                dropped += row.values()
                room.lost("its station takes nothing; the newest readings are dropped and counted")
            else:
                room.back()
        return dropped

    def _tell(self, source: str, kind: str, about: str, reason: str) -> None:
        """Count, and say it if it was not said: a thing once for each reason, and no more than TOLD_MAX in all."""
        self.counts[source, kind] += 1
        about = about[:_SAID_MAX_CHARACTERS]
        if (source, about, reason) in self._told or len(self._told) > TOLD_MAX:
            return
        self._told.add((source, about, reason))
        if len(self._told) > TOLD_MAX:
            log.warning("more of this is counted and no more said")
        else:
            log.warning("%s %r %s kind=%s", source, about, reason, kind)


def _value_of(cell: Cell) -> int | None:
    return None if cell.quality >= Quality.NO_FIX else cell.value


def _presence(row: RowSettings, count: int | None, silence: Quality) -> Cell:
    """A count of tags as a cell; where there is none, `silence` says why."""
    return Cell(row.number, 0, silence) if count is None else Cell(row.number, count, Quality.GOOD)


def _silent(before: Quality) -> Quality:
    """A reader that sees nothing says nothing; one that is gone stays gone."""
    return before if before == Quality.SENSOR_GONE else Quality.NOT_REPORTED


def counts_of(counts: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    """Counts by source, then kind."""
    found: dict[str, dict[str, int]] = {}
    for (source, kind), count in sorted(counts.items()):
        found.setdefault(source, {})[kind] = count
    return found
