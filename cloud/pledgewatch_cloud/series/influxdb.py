"""Series in InfluxDB 2, so that Grafana needs nothing else.

Line protocol in batches, written before the cursor moves; a batch that is written twice is the same points again. The
cursor lies in a small file of ours, as InfluxDB cannot move it together with the points: whoever empties the bucket
runs `pledgewatch-cloud series rebuild`.

    reading,asset=…,device=…,epoch=… <channel>=…i                     a value that nothing is wrong with
                                     <channel>_doubted=…i,<channel>_quality=…i     one that something is wrong with
    facility,facility=…   alert,group=…   evidence,asset=…   …        gauges; series/shape.py has all

A point is told from others by its tags and its time. Readings of one device may share a millisecond, so the nanoseconds
within it are the last six digits of their sequence: no device measures a million times in one millisecond. Those of a
gauge come from the number of the event that it rests on.
"""

import logging
import sqlite3
import threading
from collections.abc import Iterator
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

from influxdb_client import BucketRetentionRules, InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError

from pledgewatch_cloud.series import bookmark
from pledgewatch_cloud.series.series import Bookmark, Gauge, Point, Points, SeriesError, Stretch, Told
from pledgewatch_cloud.series.shape import MEASUREMENTS, SUBJECT_TAGS
from pledgewatch_wire.reading import NO_VALUE_FROM, Channel

log = logging.getLogger(__name__)

FILE_NAME = "series-influxdb.sqlite"
LINES_AT_ONCE = 5_000
_NS_IN_MS = 1_000_000
_WHOLE_TIME = "1970-01-01T00:00:00Z", "2200-01-01T00:00:00Z"
_NAMES = {channel.value: channel.name.lower() for channel in Channel}
# Nanoseconds as a whole number: the client reads moments to the microsecond.
_AT_NS = "|> map(fn: (r) => ({r with at_ns: int(v: r._time)}))"


class InfluxSeries:
    """The Series in a bucket; see pledgewatch_cloud.series.series.Series for the contract."""

    def __init__(
        self,
        folder: Path,
        journal: str,
        *,
        url: str,
        token: str,
        org: str,
        bucket: str,
        retention_days: int = 0,
        timeout_s: float = 10.0,
    ) -> None:
        """`folder` holds the cursor. Nothing is asked of the server yet."""
        self._retention_days = retention_days
        self._journal, self._org, self._bucket = journal, org, bucket
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        self._client = InfluxDBClient(url=url, token=token, org=org, timeout=int(timeout_s * 1_000), enable_gzip=True)
        self._writer = self._client.write_api(write_options=SYNCHRONOUS)
        self._connection = sqlite3.connect(
            folder / FILE_NAME, isolation_level=None, check_same_thread=False, timeout=30
        )
        if not bookmark.is_of(self._connection, journal):
            bookmark.clear(self._connection, journal)

    @property
    def cursor(self) -> int:
        """The newest entry whose points are in."""
        return self.bookmark().entry

    def bookmark(self) -> Bookmark:
        """Where the feeder goes on; see Series."""
        with self._lock:
            return bookmark.read(self._connection)

    def write(self, told: Told) -> None:
        """Put in what entries add; see Series."""
        lines = [*_reading_lines(told.points), *map(_gauge_line, told.gauges)]
        for start in range(0, len(lines), LINES_AT_ONCE):
            text = "\n".join(lines[start : start + LINES_AT_ONCE]).encode()
            try:
                self._asked(partial(self._writer.write, self._bucket, self._org, text))
            except _UnfitError as error:
                log.warning("InfluxDB has taken all but some of the points: %s", error)
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            bookmark.move(self._connection, told)
            self._connection.execute("COMMIT")

    def points(self, asset: str, channel: int, from_ms: int, to_ms: int, limit: int) -> list[Point]:
        """The newest points in a span; see Series."""
        name = _NAMES[channel]
        good = self._values(asset, name, from_ms, to_ms, limit)
        doubted = self._values(asset, f"{name}_doubted", from_ms, to_ms, limit)
        codes = self._values(asset, f"{name}_quality", from_ms, to_ms, limit)
        found = [(key, value, 0) for key, value in good.items()]
        found += [(key, doubted.get(key, 0), code) for key, code in codes.items()]
        return [
            Point(key.at_ns // _NS_IN_MS, value, quality, key.device) for key, value, quality in sorted(found)[-limit:]
        ]

    def stretches(self, asset: str, channel: int, from_ms: int, to_ms: int, step_ms: int) -> list[Stretch]:
        """Good values in steps; see Series."""
        every = f'|> aggregateWindow(every: {step_ms}ms, fn: %s, timeSrc: "_start", createEmpty: false)'
        parts = [
            self._values(asset, _NAMES[channel], from_ms, to_ms, 0, every % function)
            for function in ("count", "min", "max", "mean")
        ]
        count, low, high, mean = parts
        # A window's `_start` is cut at where the range begins; here a step is called by its own beginning.
        return [
            Stretch(
                key.at_ns // _NS_IN_MS // step_ms * step_ms,
                *(int(count[key]), int(low[key]), int(high[key]), float(mean[key])),
            )
            for key in sorted(count)
        ]

    def last(self, asset: str, until_ms: int) -> dict[int, Point]:
        """The newest point of each channel; see Series."""
        found = {}
        for channel in Channel:
            newest = self.points(asset, channel, 0, until_ms + 1, 1)
            if newest:
                found[channel.value] = newest[0]._replace(device="")
        return found

    def gauges(self, kind: str, subject: str, from_ms: int, to_ms: int) -> list[Gauge]:
        """Gauges in a span; see Series."""
        query = (
            f"from(bucket: {_quoted(self._bucket)}) |> range(start: {_moment(from_ms)}, stop: {_moment(to_ms)})"
            f" |> filter(fn: (r) => r._measurement == {_quoted(kind)}"
            f" and r.{SUBJECT_TAGS[kind]} == {_quoted(subject)})"
            ' |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value") |> group()'
            f' |> sort(columns: ["_time"]) {_AT_NS}'
        )
        known = {"result", "table", "at_ns", "place", SUBJECT_TAGS[kind]}
        return [
            Gauge(
                kind,
                subject,
                row["at_ns"] // _NS_IN_MS,
                str(row["place"]),
                {name: value for name, value in row.items() if name not in known and not name.startswith("_")},
            )
            for row in self._rows(query)
        ]

    def init(self) -> str:
        """Make the bucket, or set its retention; see Series."""
        rules = BucketRetentionRules(type="expire", every_seconds=self._retention_days * 86_400)

        def made() -> str:
            api = self._client.buckets_api()
            known = api.find_bucket_by_name(self._bucket)
            if known is None:
                api.create_bucket(bucket_name=self._bucket, org=self._org, retention_rules=rules)
                return "was made"
            known.retention_rules = [rules]
            api.update_bucket(bucket=known)
            return "is there"

        kept = f"for {self._retention_days} days" if self._retention_days else "for ever"
        return f"the bucket {self._bucket} {self._asked(made)}; points are kept {kept}"

    def clear(self) -> None:
        """Forget everything; see Series."""
        delete = self._client.delete_api().delete
        for measurement in MEASUREMENTS:
            predicate = f'_measurement="{measurement}"'
            self._asked(partial(delete, *_WHOLE_TIME, predicate, self._bucket, self._org))
        with self._lock:
            bookmark.clear(self._connection, self._journal)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
        self._connection.close()

    def _values(
        self, asset: str, field: str, from_ms: int, to_ms: int, limit: int, aggregate: str = ""
    ) -> dict["_Key", Any]:
        """One field's values, in steps those of all devices together."""
        newest = f'|> sort(columns: ["_time"], desc: true) |> limit(n: {limit})' if limit else ""
        query = (
            f"from(bucket: {_quoted(self._bucket)}) |> range(start: {_moment(from_ms)}, stop: {_moment(to_ms)})"
            f' |> filter(fn: (r) => r._measurement == "reading" and r.asset == {_quoted(asset)}'
            f" and r._field == {_quoted(field)}) |> group() {aggregate} {newest} {_AT_NS}"
        )
        return {
            _Key(row["at_ns"], str(row.get("device", "")), int(row.get("epoch", 0))): row["_value"]
            for row in self._rows(query)
        }

    def _rows(self, query: str) -> list[dict[str, Any]]:
        tables = self._asked(lambda: self._client.query_api().query(query, self._org))
        return [record.values for table in tables for record in table.records]

    def _asked(self, call: Any) -> Any:
        try:
            return call()
        except (ApiException, HTTPError, OSError) as error:
            reason = getattr(error, "message", None) or getattr(error, "reason", None) or error
            kind = _UnfitError if getattr(error, "status", 0) == HTTPStatus.UNPROCESSABLE_ENTITY else SeriesError
            raise kind(f"InfluxDB: {reason}") from None


class _Key(NamedTuple):
    """What tells a value from others of its field: two devices may read in the same nanosecond, as we write those."""

    at_ns: int
    device: str
    epoch: int


class _UnfitError(SeriesError):
    """It will never take some of the points, which lie outside its retention; the others it has."""


def _reading_lines(points: Points) -> Iterator[str]:
    told = points.columns
    bounds, cells = (
        told.cell_from.tolist(),
        zip(told.channel.tolist(), told.value.tolist(), told.quality.tolist(), strict=True),
    )
    assets, devices = list(map(_tag, points.assets)), list(map(_tag, points.devices))
    heads = zip(
        points.asset.tolist(),
        points.device.tolist(),
        points.epoch.tolist(),
        told.sequence.tolist(),
        told.measured_at_ms.tolist(),
        bounds,
        bounds[1:],
        strict=False,  # `bounds` has one more
    )
    for asset, device, epoch, sequence, at_ms, first, end in heads:
        fields = ",".join(_field(*next(cells)) for _ in range(end - first))
        at_ns = at_ms * _NS_IN_MS + sequence % _NS_IN_MS
        yield f"reading,asset={assets[asset]},device={devices[device]},epoch={epoch} {fields} {at_ns}"


def _field(channel: int, value: int, quality: int) -> str:
    name = _NAMES[channel]
    if not quality:
        return f"{name}={value}i"
    if quality >= NO_VALUE_FROM:
        return f"{name}_quality={quality}i"
    return f"{name}_doubted={value}i,{name}_quality={quality}i"


def _gauge_line(one: Gauge) -> str:
    entry, _, place = one.place.partition(".")
    at_ns = one.at_ms * _NS_IN_MS + (int(entry) * 1_000 + int(place or 0)) % _NS_IN_MS
    fields = ",".join(
        f"{name}={value}i" if isinstance(value, int) else f"{name}={_quoted(str(value))}"
        for name, value in sorted({**one.values, "place": one.place}.items())
    )
    return f"{one.kind},{SUBJECT_TAGS[one.kind]}={_tag(one.subject)} {fields} {at_ns}"


def _tag(text: str) -> str:
    """A tag's value (line protocol: commas, equals signs and blanks are escaped)."""
    return text.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=").replace(" ", "\\ ").replace("\n", "\\n")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _moment(at_ms: int) -> str:
    """A moment in Flux, kept within what its 64-bit nanoseconds hold."""
    return f"time(v: {min(max(at_ms, 0), 2**63 // _NS_IN_MS - 1) * _NS_IN_MS})"
