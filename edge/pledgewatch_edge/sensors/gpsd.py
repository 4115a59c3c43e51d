"""A receiver behind gpsd: fixes from its JSON socket, for where another program has the serial line.

gpsd speaks first (VERSION), is asked to watch, and then reports each device's fixes as TPV and its satellites as SKY,
an object a line (gpsd_json, protocol 3). A TPV is one fix; what SKY said of the same device is told with it for as long
as SKY_HOLDS_S. gpsd's `mode` says how many dimensions a fix has and its `status` what it rests on: dead reckoning (5,
and 6 with satellites), a surveyed place (7, a place that somebody has entered) and a simulation (8) are no evidence.

gpsd hands on the time of a receiver that has just woken as it is, so only fixes in three dimensions set our clock
(fix_sampler.py says from which on). Its reports say nothing about spoofing: who wants that told reads the receiver
itself (gps.py).

What is no JSON, or no report, says nothing; a socket that sends such or falls silent is closed and opened again. It is
silent while the receiver is, whatever gpsd says of itself and of others. A receiver without a fix may give skies and no
TPV; fix_sampler.py says what becomes of that.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.config import DAY_S, require_within
from pledgewatch_edge.fixes import Fix, FixKind, FixQuality
from pledgewatch_edge.logs import World
from pledgewatch_edge.sample import FIX_CHANNELS, Sample
from pledgewatch_edge.sensors import SensorSettings
from pledgewatch_edge.sensors.fix_sampler import Absence, FixSampler
from pledgewatch_wire.codec import MAX_TIME_MS, MIN_TIME_MS
from pledgewatch_wire.hosts import require_host
from pledgewatch_wire.reading import FEW_SATELLITES_BELOW, HIGH_HDOP_ABOVE_CENTI, Channel

LINE_MAX_BYTES: Final = 65_536  # a SKY of every constellation has ten thousand
SKY_HOLDS_S: Final = 10.0
CONNECT_S: Final = 5.0
REOPEN_FIRST_S: Final = 0.1
REOPEN_MAX_S: Final = 5.0
_WATCH: Final = b'?WATCH={"enable":true,"json":true};\n'
_KINDS: Final = {2: FixKind.TWO, 3: FixKind.THREE}
_UNTRUE: Final = {5: FixQuality.ESTIMATED, 6: FixQuality.ESTIMATED, 7: FixQuality.MANUAL, 8: FixQuality.SIMULATED}
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class GpsdSettings(SensorSettings):
    """gpsd's socket. `device` is the one whose fixes are taken where it has several, as gpsd calls it; empty takes any.
    `interval_s` 0 takes every fix; after `silent_after_s` without a report the connection is made anew."""

    host: str = "127.0.0.1"
    port: int = 2_947
    device: str = ""
    interval_s: float = 0.0
    silent_after_s: float = 30.0

    def __post_init__(self) -> None:
        if not self.host:
            raise ValueError("host is empty; name the machine on which gpsd runs")
        require_host("host", self.host)
        require_within("port", self.port, 1, 65_535)
        require_within("interval_s", self.interval_s, 0.0, DAY_S)
        require_within("silent_after_s", self.silent_after_s, 0.1, DAY_S)

    @property
    def channels(self) -> frozenset[Channel]:
        """See SensorSettings."""
        return FIX_CHANNELS

    def sensor(self, clock: AgentClock) -> "GpsdSensor":
        """The receiver behind gpsd."""
        return GpsdSensor(self, clock)


class _LostError(OSError):
    """gpsd is not there, or of no use any more."""


def fix_of(tpv: Mapping[str, Any], sky: Mapping[str, Any]) -> Fix:
    """The fix of a TPV, and of the SKY that goes with it. A member that holds what it cannot is not said."""
    kind = _KINDS.get(_whole(tpv, "mode") or 0, FixKind.NONE)
    latitude, longitude = _scaled(tpv, "lat", 10_000_000, 90), _scaled(tpv, "lon", 10_000_000, 180)
    has_place = kind is not FixKind.NONE and latitude is not None and longitude is not None
    satellites, hdop_centi = _whole(sky, "uSat"), _scaled(sky, "hdop", 100, 1_000)
    time_ms = _time_ms(tpv.get("time"))
    return Fix(
        time_ms,
        latitude if has_place else None,
        longitude if has_place else None,
        _scaled(tpv, "altMSL", 1_000, 100_000),
        _scaled(tpv, "speed", 1_000, 100_000),
        _scaled(tpv, "track", 100, 360),
        satellites,
        hdop_centi,
        kind if has_place else FixKind.NONE,
        _quality(tpv, has_place=has_place, has_time=time_ms is not None, satellites=satellites, hdop_centi=hdop_centi),
    )


def _quality(
    tpv: Mapping[str, Any], *, has_place: bool, has_time: bool, satellites: int | None, hdop_centi: int | None
) -> FixQuality:
    if not has_place:
        return FixQuality.NO_FIX
    untrue = _UNTRUE.get(_whole(tpv, "status") or 0)
    if untrue is not None:
        return untrue
    if not has_time:
        return FixQuality.NO_TIME
    if satellites is not None and satellites < FEW_SATELLITES_BELOW:
        return FixQuality.FEW_SATELLITES
    if hdop_centi is not None and hdop_centi > HIGH_HDOP_ABOVE_CENTI:
        return FixQuality.HIGH_HDOP
    return FixQuality.GOOD


def _whole(report: Mapping[str, Any], name: str) -> int | None:
    value = report.get(name)
    return value if type(value) is int and 0 <= value <= 1_000 else None


def _scaled(report: Mapping[str, Any], name: str, scale: int, most: int) -> int | None:
    value = report.get(name)
    if not isinstance(value, int | Decimal) or isinstance(value, bool) or not -most <= value <= most:
        return None
    return round(value * scale)


def _time_ms(text: object) -> int | None:
    """Unix milliseconds of ISO 8601 in UTC, which is what gpsd writes; None too where no payload can hold it."""
    if not isinstance(text, str) or not text.endswith("Z"):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    time_ms = round((found - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000)
    return time_ms if MIN_TIME_MS <= time_ms <= MAX_TIME_MS else None


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except ArithmeticError:
        return None


def report_of(line: bytes) -> Mapping[str, Any]:
    """The object of a line. Raises ValueError where it is none. Numbers keep their decimal digits; one that is none, or
    beyond what Decimal holds, is None."""
    found = json.loads(line, parse_float=_number, parse_constant=lambda _: None)
    if not isinstance(found, dict):
        raise ValueError("a report is an object")  # noqa: TRY004 - it is the line that is wrong
    return found


class GpsdSensor:
    """The receiver behind gpsd."""

    name = "gpsd"

    def __init__(
        self, settings: GpsdSettings, clock: AgentClock, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._monotonic = monotonic
        self._world = World(log, f"gpsd at {settings.host}:{settings.port}")
        self._sampler = FixSampler(clock, settings.interval_s)
        self._absence = Absence(clock, self._world, settings.interval_s, settings.silent_after_s, monotonic)
        self._skies: dict[str, tuple[float, Mapping[str, Any]]] = {}
        self._spoke_s = 0.0

    async def samples(self) -> AsyncGenerator[Sample, None]:
        """A sample for each fix that is due, and what is due while there is no receiver. Connects, and connects again
        for as long as it takes."""
        wait_s = REOPEN_FIRST_S
        self._absence.begin()
        while True:
            try:
                async with contextlib.aclosing(self._connection_samples()) as samples:
                    async for sample in samples:
                        wait_s = REOPEN_FIRST_S
                        yield sample
            except (OSError, TimeoutError) as error:
                self._world.lost(str(error) or type(error).__name__)
            for sample in self._absence.samples():
                yield sample
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, REOPEN_MAX_S)

    async def _connection_samples(self) -> AsyncGenerator[Sample, None]:
        """The samples of one connection. Raises OSError or TimeoutError when it is over."""
        settings = self._settings
        self._skies = {}
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(settings.host, settings.port, limit=LINE_MAX_BYTES)
        self._spoke_s = self._monotonic()
        try:
            writer.write(_WATCH)
            while True:
                for sample in self._hear(await self._line(reader)):
                    yield sample
        finally:
            writer.close()

    async def _line(self, reader: asyncio.StreamReader) -> bytes:
        left_s = self._spoke_s + self._settings.silent_after_s - self._monotonic()
        if left_s <= 0:
            raise _LostError("is silent")
        try:
            async with asyncio.timeout(left_s):
                line = await reader.readline()
        except TimeoutError:
            raise _LostError("is silent") from None
        except ValueError:
            raise _LostError(f"sends a line of more than {LINE_MAX_BYTES} bytes") from None
        if not line.endswith(b"\n"):
            raise _LostError("has closed the connection")
        return line

    def _hear(self, line: bytes) -> list[Sample]:
        """The samples of one line. Raises _LostError where it is no report of gpsd."""
        try:
            report = report_of(line)
        except (ValueError, RecursionError):
            raise _LostError("sends what is no report of gpsd") from None
        device, kind = str(report.get("device", "")), report.get("class")
        if kind == "ERROR":
            raise _LostError(f"refuses to watch: {report.get('message')}")
        is_of_a_receiver = device or kind in ("SKY", "TPV")
        if not is_of_a_receiver or (self._settings.device and device != self._settings.device):
            return []
        self._spoke_s = self._monotonic()
        self._world.back()
        if kind == "TPV":
            self._absence.told()
            return self._take(fix_of(report, self._sky_of(device)))
        # A sky that only counts satellites, of a receiver between two, takes nothing back.
        if kind == "SKY" and ("hdop" in report or "uSat" in report):
            self._skies = {device: (self._monotonic(), report)}
        return self._absence.fixless(fix_of({}, self._sky_of(device)))

    def _sky_of(self, device: str) -> Mapping[str, Any]:
        heard_s, sky = self._skies.get(device, (0.0, {}))
        return sky if self._monotonic() - heard_s <= SKY_HOLDS_S else {}

    def _take(self, fix: Fix) -> list[Sample]:
        return self._sampler.take(fix, self._clock.mark(), is_of_use_as_time=fix.fix is FixKind.THREE)
