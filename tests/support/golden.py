"""gpsd's golden output beside its captures: what each log's fixes must be.

A golden fix is a TPV report with a place and a mode of 2 or more; gpsd reports several times within a cycle, so equal
ones count once. It is met when one of ours has the same place to five decimals and, where gpsd knew the time, the same
second.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from needed import DATA

from pledgewatch_edge.fixes import Fix, FixAssembler

CAPTURES = DATA / "nmea-gpsd"
WANTED_SHARE = 0.98
_HALF_A_DIGIT = 5.1e-6


class Golden(NamedTuple):
    """A golden fix: seconds since 1970 or None, degrees."""

    time_s: int | None
    latitude: float
    longitude: float


class Found(NamedTuple):
    """A fix of ours."""

    time_ms: int | None
    latitude_e7: int
    longitude_e7: int


def golden_fixes(log: Path) -> list[Golden]:
    """The golden fixes of a log, each once, in order."""
    fixes: dict[Golden, None] = {}
    for line in log.with_name(log.name + ".chk").read_text(encoding="utf-8", errors="replace").splitlines():
        if not line.startswith('{"class":"TPV"'):
            continue
        report = json.loads(line)
        if report.get("mode", 0) >= 2 and "lat" in report and "lon" in report:
            time_s = None
            if "time" in report:
                moment = datetime.fromisoformat(report["time"].replace("Z", "+00:00"))
                time_s = int(moment.astimezone(UTC).timestamp())
            fixes[Golden(time_s, report["lat"], report["lon"])] = None
    return list(fixes)


def missed(golden: Iterable[Golden], found: Iterable[Found]) -> list[Golden]:
    """The golden fixes that none of ours meets."""
    by_time: dict[int | None, list[Found]] = {}
    for one in found:
        by_time.setdefault(None if one.time_ms is None else one.time_ms // 1_000, []).append(one)
    everything = [one for some in by_time.values() for one in some]
    return [
        one
        for one in golden
        if not any(_meets(one, ours) for ours in (everything if one.time_s is None else by_time.get(one.time_s, [])))
    ]


def _meets(one: Golden, ours: Found) -> bool:
    latitude, longitude = ours.latitude_e7 / 1e7, ours.longitude_e7 / 1e7
    return abs(one.latitude - latitude) < _HALF_A_DIGIT and abs(one.longitude - longitude) < _HALF_A_DIGIT


# Logs of which fewer than 98 % can be met, each with its reason.
EXCEPTIONS = {
    "ericsson-gru04-02-70sec.log": "2 of 73 golden places come from the proprietary $PERC,GPavp, a surveyed average",
    "neo-m8n.log": "gpsd took the week to have rolled over and moved every time by 1,024 weeks",
    "rst39.log": "gpsd took the week to have rolled over and moved every time by 1,024 weeks",
    "tr737A+.log": "1 of 9 golden places comes from a GGA whose quality is 0: the receiver itself calls it void",
}

# Ten receivers that have little in common: chipset, sentences, talkers, rates, odd habits, an exception.
SPREAD = (
    "GPSmap-76S.log",
    "ac12_binary.log",
    "ait250.log",
    "beidou-bd.log",
    "bu353s4.log",
    "neo-m8n.log",
    "nmea-fuzzy-cases.log",
    "quectel-L70.log",
    "skytraq-dgps.log",
    "venus634lp.log",
)


def logs() -> list[Path]:
    """Every capture that has golden output."""
    return [log for log in sorted(CAPTURES.glob("*.log")) if log.with_name(log.name + ".chk").exists()]


def cycles_in(data: bytes, *, chunk: int) -> list[Fix]:
    """What the agent's parser finds in bytes handed over in chunks, with a place and without."""
    assembler = FixAssembler()
    fixes = [fix for at in range(0, len(data), chunk) for fix in assembler.feed(data[at : at + chunk])]
    return [*fixes, *assembler.flush()]


def found_in(data: bytes, *, chunk: int) -> list[Found]:
    """Those of them with a place."""
    return [
        Found(fix.time_ms, fix.latitude_e7, fix.longitude_e7)
        for fix in cycles_in(data, chunk=chunk)
        if fix.latitude_e7 is not None and fix.longitude_e7 is not None
    ]
