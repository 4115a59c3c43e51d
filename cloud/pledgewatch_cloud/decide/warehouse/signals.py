"""Signals: the newest that the devices of a warehouse have said of its zones, its doors and what passed its gates.

What is kept depends on which readings there are, never on the order in which they came: of each channel of a zone the
newest good value, of each tag its newest passage of a gate and its newest on the way out, of each quarter of an hour
the first reading that said that a door was open. Each is ordered by when it was measured, then by identity, and of many
the newest are kept.

A value says something only where it is evidence: of good quality, within what the quantity can be, from a clock that
can be believed, since the device was fitted, and for a weight while the scale's calibration is in force. A value that
is dated ahead of time, by a clock that is not set, or longer ago than anybody keeps a reading (LATEST_MS) says nothing:
it would keep all later ones away, or is of nobody knows when. A passage is never let go for that: goods have passed,
whatever the clock says, and it counts as of when it was heard. A clock that is slow by less cannot be told from a
reading that comes late.

Of each channel the newest value of each quarter of an hour is kept too, for a count that is handed in late is held
against what the instrument had said by then.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import Any, NamedTuple, TypeVar

import numpy as np

from pledgewatch_cloud.decide.asset import LATEST_MS
from pledgewatch_cloud.decide.batch import Batch
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.columns import Numbers, Truths, between
from pledgewatch_cloud.decide.plausibility import RANGES
from pledgewatch_cloud.decide.warehouse.terms import Watched
from pledgewatch_wire.reading import PASSAGE_CHANNELS, WEIGHT_CHANNELS, Channel, Clock, Quality

TAGS_MAX = 20_000
"""Tags of one gate whose newest passage is kept."""
OPENINGS_MAX = 200
"""Quarters of an hour of one door that are kept."""
VALUES_MAX = 200
"""Quarters of an hour of one channel of a zone whose newest value is kept."""
QUARTER_MS = 900_000
VALUE_CHANNELS = (*WEIGHT_CHANNELS, Channel.PIECES_PRESENT, Channel.TAGS_PRESENT, Channel.DOOR_OPEN)
_MASK = sum(1 << channel for channel in (*VALUE_CHANNELS, *PASSAGE_CHANNELS))
_NUMBERS = range(max(Channel) + 1)
_RANGES: dict[int, tuple[int, int]] = {**RANGES, Channel.DOOR_OPEN: (0, 1)}
_RANGES |= dict.fromkeys(PASSAGE_CHANNELS, (0, 2**52 - 1))
_EVERY = (-(2**63), 2**63 - 1)
_LOW, _HIGH = (np.array([_RANGES.get(one, _EVERY)[end] for one in _NUMBERS], dtype=np.int64) for end in (0, 1))
_IS_WEIGHT, _IS_VALUE, _IS_PASSAGE = (
    np.array([one in some for one in _NUMBERS]) for some in (WEIGHT_CHANNELS, VALUE_CHANNELS, PASSAGE_CHANNELS)
)


class Signal(NamedTuple):
    """A value of a channel, and the reading that said it."""

    at_ms: int
    device: str
    epoch: int
    sequence: int
    value: int


class Passage(NamedTuple):
    """A tag that passed a gate. `tag` is its number; see tag_number of the wire's readings. Where one reading says in
    and out of one tag, it is out."""

    at_ms: int
    device: str
    epoch: int
    sequence: int
    is_out: bool
    tag: int


class Opening(NamedTuple):
    """The first reading of a quarter of an hour of UTC that said that a door was open."""

    at_ms: int
    device: str
    epoch: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Signals:
    """What is kept: signals by asset and channel, passages by gate and tag, openings by asset and quarter, signals by
    asset and channel, and then by quarter, and the passages on the way out by gate and tag. A value."""

    values: Mapping[tuple[str, int], Signal] = field(default_factory=dict)
    passed: Mapping[str, Mapping[int, Passage]] = field(default_factory=dict)
    opened: Mapping[str, Mapping[int, Opening]] = field(default_factory=dict)
    quarters: Mapping[tuple[str, int], Mapping[int, Signal]] = field(default_factory=dict)
    went_out: Mapping[str, Mapping[int, Passage]] = field(default_factory=dict)

    def latest(self, asset: str, channel: int) -> Signal | None:
        """The newest value of a channel of a zone; None where there was none."""
        return self.values.get((asset, channel))

    def value_at(self, asset: str, channel: int, at_ms: int) -> Signal | None:
        """The newest value of a channel that was measured by a moment, of those that are kept."""
        some = self.quarters.get((asset, channel), {})
        return max((one for one in some.values() if one.at_ms <= at_ms), default=None)

    def passage(self, gate: str, tag: int) -> Passage | None:
        """The newest passage of a tag at a gate; None where none is known."""
        return self.passed.get(gate, {}).get(tag)

    def passages(self, asset: str) -> tuple[Passage, ...]:
        """The newest passage of each tag at a gate, in order."""
        return tuple(sorted(self.passed.get(asset, {}).values()))

    def out(self, gate: str, tag: int) -> Passage | None:
        """The newest passage of a tag on its way out at a gate, whatever it has passed since; None where none is
        known."""
        return self.went_out.get(gate, {}).get(tag)

    def openings(self, asset: str) -> tuple[Opening, ...]:
        """When a door was open, in order."""
        return tuple(sorted(self.opened.get(asset, {}).values()))

    def tags_since(self, before: "Signals") -> frozenset[int]:
        """The tags that have passed a gate since, and those whose passage is known no more."""
        found = set[int]()
        for now, then in ((self.passed, before.passed), (self.went_out, before.went_out)):
            for gate, some in now.items():
                known = then.get(gate, {})
                if some is not known:
                    found.update(tag for tag in some.keys() | known.keys() if known.get(tag) != some.get(tag))
        return frozenset(found)

    def within(self, book: Book) -> "Signals":
        """Without what is no zone and no gate any more."""
        zones = {one.asset for one in book.watched.values()}
        return Signals(
            {key: one for key, one in self.values.items() if key[0] in zones},
            {asset: some for asset, some in self.passed.items() if asset in zones},
            {asset: some for asset, some in self.opened.items() if asset in zones},
            {key: some for key, some in self.quarters.items() if key[0] in zones},
            {asset: some for asset, some in self.went_out.items() if asset in zones},
        )

    def as_json(self) -> dict[str, Any]:
        """As JSON; equal signals give equal JSON."""
        return {
            "latest": [[*key, *one] for key, one in sorted(self.values.items())],
            "openings": [[asset, *one] for asset in sorted(self.opened) for one in self.openings(asset)],
            "outs": [[gate, *one] for gate, some in sorted(self.went_out.items()) for one in sorted(some.values())],
            "passages": [[asset, *one] for asset in sorted(self.passed) for one in self.passages(asset)],
            "quarters": [[*key, *one] for key, some in sorted(self.quarters.items()) for one in sorted(some.values())],
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "Signals":
        """The signals behind their JSON."""
        passages, outs = (_passages_from(value[name]) for name in ("passages", "outs"))
        openings: dict[str, dict[int, Opening]] = {}
        for asset, *rest in value["openings"]:
            opening = Opening(*rest)
            openings.setdefault(asset, {})[opening.at_ms // QUARTER_MS] = opening
        latest = {(asset, channel): Signal(*rest) for asset, channel, *rest in value["latest"]}
        quarters: dict[tuple[str, int], dict[int, Signal]] = {}
        for asset, channel, *rest in value["quarters"]:
            signal = Signal(*rest)
            quarters.setdefault((asset, channel), {})[signal.at_ms // QUARTER_MS] = signal
        return Signals(latest, passages, openings, quarters, outs)


def _passages_from(rows: list[list[Any]]) -> dict[str, dict[int, Passage]]:
    found: dict[str, dict[int, Passage]] = {}
    for gate, *rest in rows:
        one = Passage(*rest)
        found.setdefault(gate, {})[one.tag] = one
    return found


def heard(signals: Signals, book: Book, batch: Batch, now_ms: int) -> Signals:
    """The signals with what new readings say, heard at `now_ms`; the same ones where they say nothing new."""
    watched = book.watched
    if not watched or watched.keys().isdisjoint(batch.devices):
        return signals
    cells = _evidence(batch, _sources(batch, watched), now_ms)
    return _joined(signals, cells) if cells is not None else signals


class _Sources(NamedTuple):
    """The payloads of a batch, and which of them are of devices at zones and gates; numbers of 0 elsewhere.

    `device` and `asset` are places in `devices` and `assets`, which are in order.
    """

    devices: list[str]
    assets: list[str]
    is_watched: Truths
    is_zone: Truths
    is_gate: Truths
    device: Numbers
    asset: Numbers
    epoch: Numbers
    fitted_ms: Numbers
    calibrated_until_ms: Numbers
    ahead_ms: Numbers


class _Cells(NamedTuple):
    """Cells that are evidence, side by side. `undated`: nobody can believe their date; it is when they were heard."""

    sources: _Sources
    payload: Numbers
    channel: Numbers
    value: Numbers
    at_ms: Numbers
    sequence: Numbers
    undated: Truths

    def some(self, wanted: Truths) -> "_Cells":
        """Some of them."""
        return _Cells(
            self.sources,
            self.payload[wanted],
            self.channel[wanted],
            self.value[wanted],
            self.at_ms[wanted],
            self.sequence[wanted],
            self.undated[wanted],
        )

    @property
    def asset(self) -> Numbers:
        """The asset of each, by its place."""
        return self.sources.asset[self.payload]

    def order(self) -> tuple[Numbers, ...]:
        """What they are ordered by, the first last, as numpy.lexsort wants it."""
        sources = self.sources
        return self.sequence, sources.epoch[self.payload], sources.device[self.payload], self.at_ms

    def keys(self, places: Numbers) -> Iterator[tuple[str, int, str, int, int, int]]:
        """The asset of some, what they are ordered by, and the value."""
        sources, payloads = self.sources, self.payload[places]
        yield from zip(
            [sources.assets[one] for one in sources.asset[payloads].tolist()],
            self.at_ms[places].tolist(),
            [sources.devices[one] for one in sources.device[payloads].tolist()],
            sources.epoch[payloads].tolist(),
            self.sequence[places].tolist(),
            self.value[places].tolist(),
            strict=True,
        )


def _sources(batch: Batch, watched: Mapping[str, Watched]) -> _Sources:
    known = [watched.get(device) for device in batch.devices]
    devices = sorted({device for device in batch.devices if device in watched})
    assets = sorted({watched[device].asset for device in devices})
    device_place, asset_place = ({name: place for place, name in enumerate(names)} for names in (devices, assets))

    def numbers(of: Callable[[Watched], int]) -> Numbers:
        return np.array([of(one) if one else 0 for one in known], dtype=np.int64)

    return _Sources(
        devices,
        assets,
        np.array([one is not None for one in known]),
        np.array([one is not None and one.is_zone for one in known]),
        np.array([one is not None and one.is_gate for one in known]),
        np.array([device_place.get(device, 0) for device in batch.devices], dtype=np.int64),
        numbers(lambda one: asset_place[one.asset]),
        np.array(batch.epochs, dtype=np.int64),
        numbers(lambda one: one.fitted_ms),
        numbers(lambda one: one.calibrated_until_ms),
        numbers(lambda one: one.ahead_ms),
    )


def _evidence(batch: Batch, sources: _Sources, now_ms: int) -> _Cells | None:
    """The cells of a batch that are evidence; None where there are none."""
    columns = batch.columns
    rows = np.flatnonzero(sources.is_watched[batch.payload] & ((columns.mask & _MASK) != 0))
    payload, at_ms = batch.payload[rows], columns.measured_at_ms[rows]
    # A moment that was reckoned back is fair at most, and what counts here must be better.
    undated = np.isin(columns.clock[rows], (Clock.UNSET, Clock.BACKDATED))
    undated |= at_ms > now_ms + sources.ahead_ms[payload]
    undated |= at_ms + LATEST_MS < now_ms
    # What bears no date that can be believed was heard by now, all the same.
    at_ms = np.where(undated, now_ms, at_ms)
    fitted = at_ms >= sources.fitted_ms[payload]
    rows, payload, at_ms, undated = rows[fitted], payload[fitted], at_ms[fitted], undated[fitted]
    if not len(rows):
        return None
    lengths = columns.cell_from[rows + 1] - columns.cell_from[rows]
    places = between(columns.cell_from[rows], columns.cell_from[rows + 1])
    cells = _Cells(
        sources,
        np.repeat(payload, lengths),
        columns.channel[places],
        columns.value[places],
        np.repeat(at_ms, lengths),
        np.repeat(columns.sequence[rows], lengths),
        np.repeat(undated, lengths),
    )
    channel, value = cells.channel, cells.value
    good = (columns.quality[places] == Quality.GOOD) & (value >= _LOW[channel]) & (value <= _HIGH[channel])
    expired = cells.at_ms > sources.calibrated_until_ms[cells.payload]
    good &= ~(_IS_WEIGHT[channel] & expired)
    return cells.some(good)


def _joined(signals: Signals, cells: _Cells) -> Signals:
    sources = cells.sources
    is_zone, is_gate = sources.is_zone[cells.payload], sources.is_gate[cells.payload]
    is_door = cells.channel == Channel.DOOR_OPEN
    values = cells.some(~cells.undated & np.where(is_door, is_zone | is_gate, is_zone & _IS_VALUE[cells.channel]))
    doors = cells.some(is_door & (cells.value == 1))
    passing = cells.some(is_gate & _IS_PASSAGE[cells.channel])
    latest = _latest(signals, values)
    quarters = _quarters(signals, values.some(values.channel != Channel.DOOR_OPEN))
    passages = _passages(signals.passed, passing)
    outs = _passages(signals.went_out, passing.some(passing.channel == Channel.TAG_OUT))
    openings = _openings(signals, doors)
    if not (latest or passages or openings or quarters or outs):
        return signals
    return Signals(
        {**signals.values, **latest} if latest else signals.values,
        _without_older(signals.passed, passages) if passages else signals.passed,
        {**signals.opened, **openings} if openings else signals.opened,
        {**signals.quarters, **quarters} if quarters else signals.quarters,
        {**signals.went_out, **outs} if outs else signals.went_out,
    )


def _latest(signals: Signals, cells: _Cells) -> dict[tuple[str, int], Signal]:
    """The signals that are newer than what is known."""
    found = {}
    places = _ends(cells, (cells.asset, cells.channel), of=-1)
    for channel, (asset, at_ms, device, epoch, sequence, value) in zip(
        cells.channel[places].tolist(), cells.keys(places), strict=True
    ):
        one, known = Signal(at_ms, device, epoch, sequence, value), signals.latest(asset, channel)
        if known is None or one > known:
            found[asset, channel] = one
    return found


def _quarters(signals: Signals, cells: _Cells) -> dict[tuple[str, int], Mapping[int, Signal]]:
    """The values by quarter of the channels of which one is new."""
    found: dict[tuple[str, int], dict[int, Signal]] = {}
    places = _ends(cells, (cells.asset, cells.channel, cells.at_ms // QUARTER_MS), of=-1)
    for channel, (asset, at_ms, device, epoch, sequence, value) in zip(
        cells.channel[places].tolist(), cells.keys(places), strict=True
    ):
        one, known = Signal(at_ms, device, epoch, sequence, value), signals.quarters.get((asset, channel), {})
        quarter = at_ms // QUARTER_MS
        if quarter not in known or one > known[quarter]:
            found.setdefault((asset, channel), {})[quarter] = one
    newest = {key: _newest({**signals.quarters.get(key, {}), **some}, VALUES_MAX) for key, some in found.items()}
    return {key: some for key, some in newest.items() if some != signals.quarters.get(key)}


def _without_older(
    passed: Mapping[str, Mapping[int, Passage]], changed: Mapping[str, Mapping[int, Passage]]
) -> dict[str, Mapping[int, Passage]]:
    """All passages after some gates' have changed. Where one of a tag is let go, so are older ones of it at other
    gates: they would be its newest else, and say what is so no longer."""
    after = {**passed, **changed}
    for gate, some in changed.items():
        for tag, one in passed.get(gate, {}).items():
            for other in [name for name in after if tag not in some and after[name].get(tag, one) < one]:
                after[other] = {key: kept for key, kept in after[other].items() if key != tag}
    return after


def _passages(passed: Mapping[str, Mapping[int, Passage]], cells: _Cells) -> dict[str, Mapping[int, Passage]]:
    """The passages of gates at which one is newer than those that are known."""
    found: dict[str, dict[int, Passage]] = {}
    is_out = cells.channel == Channel.TAG_OUT
    places = _ends(cells, (cells.asset, cells.value), (is_out,), of=-1)
    for out, (gate, at_ms, device, epoch, sequence, tag) in zip(
        is_out[places].tolist(), cells.keys(places), strict=True
    ):
        one, known = Passage(at_ms, device, epoch, sequence, out, tag), passed.get(gate, {}).get(tag)
        if known is None or one > known:
            found.setdefault(gate, {})[tag] = one
    return {gate: _newest({**passed.get(gate, {}), **some}, TAGS_MAX) for gate, some in found.items()}


def _openings(signals: Signals, cells: _Cells) -> dict[str, Mapping[int, Opening]]:
    """The openings of doors at which a quarter of an hour is new or began earlier."""
    found: dict[str, dict[int, Opening]] = {}
    for asset, at_ms, device, epoch, sequence, _ in cells.keys(
        _ends(cells, (cells.asset, cells.at_ms // QUARTER_MS), of=0)
    ):
        one, known = Opening(at_ms, device, epoch, sequence), signals.opened.get(asset, {})
        quarter = at_ms // QUARTER_MS
        if quarter not in known or one < known[quarter]:
            found.setdefault(asset, {})[quarter] = one
    return {asset: _newest({**signals.opened.get(asset, {}), **some}, OPENINGS_MAX) for asset, some in found.items()}


_Item = TypeVar("_Item", Passage, Opening, Signal)


def _newest(some: Mapping[int, _Item], most: int) -> Mapping[int, _Item]:
    """Without the oldest, where there are more than that."""
    gone = {key for key, _ in nsmallest(len(some) - most, some.items(), key=lambda one: one[1])}
    return {key: one for key, one in some.items() if key not in gone} if gone else some


def _ends(cells: _Cells, groups: tuple[Numbers, ...], last: tuple[Truths, ...] = (), *, of: int) -> Numbers:
    """The places of the first (`of` 0) or last (-1) cell of each group; `last` decides between equals."""
    if not len(cells.value):
        return np.zeros(0, dtype=np.int64)
    order = np.lexsort((*last, *cells.order(), *groups))
    changes = np.zeros(len(order) - 1, dtype=np.bool_)
    for group in groups:
        changes |= np.diff(group[order]) != 0
    bounds = np.concatenate([changes, [True]]) if of else np.concatenate([[True], changes])
    found: Numbers = order[bounds]
    return found
