"""Series: what dashboards draw, carried over from the journal by a cursor. A projection: it may be dropped and rebuilt.

Two things are kept. *Points*: every value of every channel of every asset, by when it was measured. *Gauges*: what was
found, by when: a facility's value, an alert's state, the age of an asset's evidence; series/shape.py lists them. Any
implementation passes tests/test_series_contract.py.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from pledgewatch_cloud.decide.columns import Columns, Numbers


class SeriesError(Exception):
    """The series cannot be written or read now. Nothing is lost: the cursor stays where it is."""


class Point(NamedTuple):
    """One value of one channel. `value` counts the channel's unit; `quality` is a wire Quality; `device` said so, where
    that is asked for: an asset may have several thermometers."""

    measured_at_ms: int
    value: int
    quality: int
    device: str = ""


class Stretch(NamedTuple):
    """The good values of one channel in [from_ms, from_ms + step): how many, the least, the greatest, their mean."""

    from_ms: int
    readings: int
    low: int
    high: int
    mean: float


class Gauge(NamedTuple):
    """What was found at a moment. `kind` is one of shape.SUBJECT_TAGS, `place` tells gauges of one moment apart."""

    kind: str
    subject: str
    at_ms: int
    place: str
    values: Mapping[str, int | str]


class Points(NamedTuple):
    """Readings as columns: row r is of `assets[asset[r]]`, told by `devices[device[r]]` in its `epoch[r]`."""

    assets: list[str]
    devices: list[str]
    asset: Numbers
    device: Numbers
    epoch: Numbers
    columns: Columns


class Fitted(NamedTuple):
    """What a device is fitted to, since when this is known, and whether it still is."""

    asset: str
    since_ms: int
    is_retired: bool = False


class Told(NamedTuple):
    """What the entries up to `entry` add. `fitted` are devices that an amendment names, `heard` the newest moment of
    each device that said something, `gauged_ms` and `pipeline_ms` when gauges were last written though nothing had
    happened, `standing` what changed of what stands (series/standing.py), by name; empty where nothing is left."""

    entry: int
    points: Points
    gauges: list[Gauge]
    fitted: Mapping[str, Fitted]
    heard: Mapping[str, int]
    gauged_ms: int
    pipeline_ms: int
    standing: Mapping[str, str]


class Bookmark(NamedTuple):
    """How far a series has come, and what its feeder must know to go on; see Told."""

    entry: int
    fitted: Mapping[str, Fitted]
    heard: Mapping[str, int]
    gauged_ms: int
    pipeline_ms: int
    standing: Mapping[str, str]


class Series(Protocol):
    """A place for series. Any method may raise SeriesError. Safe to call from several threads."""

    @property
    def cursor(self) -> int:
        """The newest entry whose points are in."""
        ...

    def bookmark(self) -> Bookmark:
        """Where the feeder goes on."""
        ...

    def write(self, told: Told) -> None:
        """Put in what entries add, and move the cursor after them. Writing the same again changes nothing."""
        ...

    def points(self, asset: str, channel: int, from_ms: int, to_ms: int, limit: int) -> list[Point]:
        """The newest `limit` points with from_ms <= measured_at_ms < to_ms, in order of time, each with its device."""
        ...

    def stretches(self, asset: str, channel: int, from_ms: int, to_ms: int, step_ms: int) -> list[Stretch]:
        """The good values with from_ms <= measured_at_ms < to_ms in steps, each called by its beginning, a whole
        multiple of `step_ms`; steps without any are left out. What the span cuts off a step is not in it: who may see
        the span alone is shown nothing of before it."""
        ...

    def last(self, asset: str, until_ms: int) -> dict[int, Point]:
        """The newest point of each channel of an asset, of those measured at `until_ms` or before, without devices."""
        ...

    def gauges(self, kind: str, subject: str, from_ms: int, to_ms: int) -> list[Gauge]:
        """The gauges with from_ms <= at_ms < to_ms, in order of time."""
        ...

    def init(self) -> str:
        """Make what the series needs where it is not there, set its retention, and say so in a sentence."""
        ...

    def clear(self) -> None:
        """Forget everything; the cursor goes back to the journal's beginning."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...
